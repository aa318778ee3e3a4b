package jinja

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FromJSON reads a JSON value, such as a list of tools, keeping the order of keys. It is a value that Render takes.
func FromJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("expected one JSON value, found more")
	}
	return v, nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("JSON nested more than %d deep", maxNesting)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			out := list{}
			for d.More() {
				v, err := decode(d, depth+1)
				if err != nil {
					return nil, err
				}
				out = append(out, v)
			}
			_, err := d.Token()
			return out, err
		}
		out := NewDict()
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decode(d, depth+1)
			if err != nil {
				return nil, err
			}
			out.set(k, v)
		}
		_, err := d.Token()
		return out, err
	case json.Number:
		if i, err := strconv.ParseInt(string(t), 10, 64); err == nil {
			return i, nil
		}
		f, err := strconv.ParseFloat(string(t), 64)
		return f, err
	}
	return t, nil // nil, bool or string
}

// toJSON is Python's json.dumps(v, ensure_ascii=False) with an indent, or none when it is negative.
func (r *run) toJSON(v any, indent int, ascii, sortKeys bool) (string, error) {
	var b strings.Builder
	item, colon := ", ", ": "
	if indent >= 0 {
		item = ","
	}
	w := &jsonWriter{r: r, b: &b, indent: indent, item: item, colon: colon, ascii: ascii, sortKeys: sortKeys}
	if err := w.value(v, 0); err != nil {
		return "", err
	}
	return b.String(), r.built(b.Len())
}

type jsonWriter struct {
	r           *run
	b           *strings.Builder
	indent      int
	item, colon string
	ascii       bool
	sortKeys    bool
}

func (w *jsonWriter) value(v any, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("values are nested more than %d deep", maxNesting)
	}
	if err := w.r.step(); err != nil {
		return err
	}
	if w.b.Len() > w.r.memory {
		return errMemory
	}
	switch v := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(v))
	case int64:
		w.b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		w.float(v)
	case string:
		w.str(v)
	case list:
		return w.seq(v, depth)
	case tuple:
		return w.seq(v, depth)
	case *Dict:
		return w.dict(v, depth)
	default:
		return fmt.Errorf("%s cannot be written as JSON", typeName(v))
	}
	return nil
}

func (w *jsonWriter) float(f float64) {
	switch {
	case math.IsInf(f, 1):
		w.b.WriteString("Infinity")
	case math.IsInf(f, -1):
		w.b.WriteString("-Infinity")
	case f != f:
		w.b.WriteString("NaN")
	default:
		w.b.WriteString(floatText(f))
	}
}

// line begins a line of an indented document.
func (w *jsonWriter) line(depth int) {
	if w.indent >= 0 {
		w.b.WriteByte('\n')
		for range min(w.indent, 64) * depth {
			w.b.WriteByte(' ')
		}
	}
}

func (w *jsonWriter) seq(items []any, depth int) error {
	w.b.WriteByte('[')
	for i, x := range items {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.line(depth + 1)
		if err := w.value(x, depth+1); err != nil {
			return err
		}
	}
	if len(items) > 0 {
		w.line(depth)
	}
	w.b.WriteByte(']')
	return nil
}

func (w *jsonWriter) dict(d *Dict, depth int) error {
	order, err := w.r.keyOrder(d, w.sortKeys)
	if err != nil {
		return err
	}
	w.b.WriteByte('{')
	for n, i := range order {
		if n > 0 {
			w.b.WriteString(w.item)
		}
		w.line(depth + 1)
		switch k := d.keys[i].(type) {
		case string:
			w.str(k)
		case float64:
			w.b.WriteByte('"')
			w.float(k)
			w.b.WriteByte('"')
		case nil:
			w.str("null")
		case bool:
			w.str(strconv.FormatBool(k))
		case int64:
			w.str(strconv.FormatInt(k, 10))
		}
		w.b.WriteString(w.colon)
		if err := w.value(d.values[i], depth+1); err != nil {
			return err
		}
	}
	if d.Len() > 0 {
		w.line(depth)
	}
	w.b.WriteByte('}')
	return nil
}

func (w *jsonWriter) str(s string) {
	b := w.b
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(c))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c < ' ' || w.ascii && c >= 0x7F && c <= 0xFFFF:
			fmt.Fprintf(b, `\u%04x`, c)
		case w.ascii && c > 0xFFFF:
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xD800+(c-0x10000)>>10, 0xDC00+(c-0x10000)&0x3FF)
		case c < utf8.RuneSelf:
			b.WriteByte(byte(c))
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
