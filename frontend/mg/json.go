package mg

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"apogee/ir/diag"
)

// MaxConfig is the largest config.json read, in bytes; MaxConfigNesting how deep its objects and lists
// may go.
const (
	MaxConfig        = 4 << 20
	MaxConfigNesting = 64
)

// JSON is a JSON value with its place, so that a mistake in it can be shown.
type JSON struct {
	Range diag.Range
	// Value is nil, bool, json.Number, string, []*JSON or a *JSONObject.
	Value any
}

// JSONObject is an object with its fields in the order of the file.
type JSONObject struct {
	Keys   []string
	Ranges []diag.Range // of the keys
	Values []*JSON
}

// Get returns the value of a key, or nil. On a nil or other value than an object it is nil too.
func (j *JSON) Get(key string) *JSON {
	if j == nil {
		return nil
	}
	o, ok := j.Value.(*JSONObject)
	if !ok {
		return nil
	}
	for i, k := range o.Keys {
		if k == key {
			return o.Values[i]
		}
	}
	return nil
}

// Strings returns a string as a list of one and a list of strings as it is; what is no string in it is
// left out.
func (j *JSON) Strings() []string {
	if j == nil {
		return nil
	}
	switch v := j.Value.(type) {
	case string:
		return []string{v}
	case []*JSON:
		var out []string
		for _, x := range v {
			if s, ok := x.Value.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// String says what a value is, for messages.
func (j *JSON) String() string {
	switch v := j.Value.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return v.String()
	case string:
		return fmt.Sprintf("%q", v)
	case []*JSON:
		var b strings.Builder
		for i, x := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			if b.Len() > 60 {
				b.WriteString("…")
				break
			}
			b.WriteString(x.String())
		}
		return "[" + b.String() + "]"
	}
	return "an object"
}

// ParseJSON reads a JSON text with places. Mistakes go to diags; it returns nil where nothing could be
// read.
func ParseJSON(src *diag.Source, diags *diag.List) *JSON {
	if len(src.Text) > MaxConfig {
		diags.Errorf(CodeJSON, src.Range(0, 0), "the file is too big").
			Expect(fmt.Sprintf("at most %d bytes", MaxConfig), fmt.Sprintf("%d bytes", len(src.Text)))
		return nil
	}
	p := jsonParser{src: src, dec: json.NewDecoder(bytes.NewReader(src.Text)), diags: diags}
	p.dec.UseNumber()
	v := p.value(0)
	if v != nil && !p.failed {
		if _, err := p.dec.Token(); err != io.EOF {
			p.fail(int(p.dec.InputOffset()), "expected nothing after the value")
		}
	}
	if p.failed {
		return nil
	}
	return v
}

type jsonParser struct {
	src    *diag.Source
	dec    *json.Decoder
	diags  *diag.List
	failed bool
}

func (p *jsonParser) fail(at int, format string, args ...any) {
	if !p.failed {
		p.failed = true
		p.diags.Errorf(CodeJSON, p.src.Range(at, min(at+1, len(p.src.Text))), "not valid JSON: "+format, args...)
	}
}

// token returns the next token with its range.
func (p *jsonParser) token() (json.Token, diag.Range, bool) {
	start := int(p.dec.InputOffset())
	tok, err := p.dec.Token()
	if err != nil {
		switch e := err.(type) {
		case *json.SyntaxError:
			p.fail(p.blame(e), "%s", e.Error())
		default:
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				p.fail(len(p.src.Text), "the text ends too early")
			} else {
				p.fail(start, "%s", err.Error())
			}
		}
		return nil, diag.Range{}, false
	}
	end := int(p.dec.InputOffset())
	for start < end && strings.IndexByte(" \t\r\n,:", p.src.Text[start]) >= 0 {
		start++
	}
	return tok, p.src.Range(start, end), true
}

// blame finds the byte that an error is about: the decoder gives the offset before or behind it.
func (p *jsonParser) blame(e *json.SyntaxError) int {
	at := int(e.Offset)
	if at < len(p.src.Text) && strings.HasPrefix(e.Error(), fmt.Sprintf("invalid character %q", p.src.Text[at])) {
		return at
	}
	return max(0, min(at, len(p.src.Text))-1)
}

func (p *jsonParser) value(depth int) *JSON {
	tok, rng, ok := p.token()
	if !ok {
		return nil
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return &JSON{rng, tok}
	}
	if depth > MaxConfigNesting {
		p.fail(rng.Start, "nested more than %d deep", MaxConfigNesting)
		return nil
	}
	out := &JSON{Range: rng}
	if delim == '[' {
		list := []*JSON{}
		for p.dec.More() {
			v := p.value(depth + 1)
			if v == nil {
				return nil
			}
			list = append(list, v)
		}
		out.Value = list
	} else {
		obj := &JSONObject{}
		seen := map[string]bool{}
		for p.dec.More() {
			key, at, ok := p.token()
			if !ok {
				return nil
			}
			name, _ := key.(string)
			v := p.value(depth + 1)
			if v == nil {
				return nil
			}
			if seen[name] {
				p.diags.Errorf(CodeJSON, at, "%q is given twice", name)
				continue
			}
			seen[name] = true
			obj.Keys, obj.Ranges, obj.Values = append(obj.Keys, name), append(obj.Ranges, at), append(obj.Values, v)
		}
		out.Value = obj
	}
	_, end, ok := p.token()
	if !ok {
		return nil
	}
	out.Range = rng.Join(end)
	return out
}
