package ir

import (
	"encoding/base64"
	"io"
	"math"
	"strconv"
	"strings"

	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// PrintOptions say what a printed module leaves out. The zero value leaves out nothing.
type PrintOptions struct {
	// NoPositions leaves out positions and the tables they refer to. The text still parses.
	NoPositions bool

	structure bool // for hashing: no docs, values as numbers
}

// Print writes a module as text that Parse reads back: parsing it and printing again gives the same
// bytes, whatever stage the module is at, and nothing is lost (NaN payloads and negative zeros included).
// The error is the writer's, or that of a constant whose bytes cannot be read.
func Print(w io.Writer, m *Module) error { return PrintWith(w, m, PrintOptions{}) }

// PrintWith is Print with options.
func PrintWith(w io.Writer, m *Module, o PrintOptions) error {
	p := printer{w: w, PrintOptions: o, b: make([]byte, 0, min(flushAt+4096, 1024+128*int(m.nops)))}
	p.module(m)
	p.flush()
	return p.err
}

// String returns the text of the module.
func (m *Module) String() string {
	var s strings.Builder
	_ = Print(&s, m)
	return s.String()
}

// String returns the text of the function as it stands in its module's.
func (f *Func) String() string {
	var s strings.Builder
	p := printer{w: &s, names: Names{label: make([]int32, f.Module.nvalues)}}
	p.function(f)
	p.flush()
	return s.String()
}

// Text returns the op as it stands in the text of its module, without indentation; for messages, since it names all
// values of the function first. Use Names.Text for many ops.
func (o *Op) Text() string {
	if o.block == nil || o.block.Func == nil {
		return o.Info.Name + " (in no function)"
	}
	return NewNames(o.block.Func).Text(o)
}

// Text returns the op as it stands in the text of its module, without indentation. Regions print as {…}.
func (n *Names) Text(o *Op) string {
	p := printer{w: io.Discard, names: *n, brief: true}
	p.op(o, 0)
	return strings.TrimSuffix(string(p.b), "\n")
}

// flushAt is how many bytes the printer gathers before it writes.
const flushAt = 1 << 16

type printer struct {
	PrintOptions
	w     io.Writer
	b     []byte
	err   error
	names Names
	brief bool // regions as {…}
}

func (p *printer) flush() {
	if p.err == nil && len(p.b) > 0 {
		_, p.err = p.w.Write(p.b)
	}
	p.b = p.b[:0]
}

func (p *printer) str(s string) { p.b = append(p.b, s...) }

func (p *printer) module(m *Module) {
	p.str("module @")
	p.b = appendName(p.b, m.Name)
	if len(m.Attrs) > 0 {
		p.str(" {")
		for i, a := range m.Attrs {
			if i > 0 {
				p.str(", ")
			}
			p.b = appendName(p.b, a.Key)
			p.b = append(p.b, '=')
			p.b = appendQuoted(p.b, a.Value)
		}
		p.b = append(p.b, '}')
	}
	p.str(" {\n")
	if !p.NoPositions {
		p.table("files", m.Files)
		p.table("scopes", m.Scopes)
	}
	p.names.label = make([]int32, m.nvalues)
	for _, f := range m.Funcs {
		p.function(f)
	}
	p.str("}\n")
}

// table prints a list of strings, one a line when there are several.
func (p *printer) table(word string, list []string) {
	if len(list) == 0 {
		return
	}
	p.str("  ")
	p.str(word)
	p.str(" [")
	for i, s := range list {
		if i > 0 {
			p.b = append(p.b, ',')
		}
		if len(list) > 1 {
			p.str("\n    ")
		}
		p.b = appendQuoted(p.b, s)
		if len(p.b) > flushAt {
			p.flush()
		}
	}
	if len(list) > 1 {
		p.str("\n  ")
	}
	p.str("]\n")
}

func (p *printer) function(f *Func) {
	p.names.add(f)
	p.str("  func ")
	if f.Entry {
		p.str("entry ")
	}
	p.b = append(p.b, '@')
	p.b = appendName(p.b, f.Name)
	p.params(f.Body, len(f.Body.Params)-f.States)
	p.str(" -> (")
	for i, r := range f.Results {
		if i > 0 {
			p.str(", ")
		}
		p.b = appendName(p.b, r)
	}
	p.b = append(p.b, ')')
	p.pos(f.Pos)
	if f.Doc != "" && !p.structure {
		p.str(" doc ")
		p.b = appendQuoted(p.b, f.Doc)
	}
	p.str(" {\n")
	p.block(f.Body, 2)
	p.str("  }\n")
}

// params prints a block's parameters; those from number states on are states.
func (p *printer) params(b *Block, states int) {
	p.b = append(p.b, '(')
	for i, v := range b.Params {
		if i > 0 {
			p.str(", ")
		}
		if i >= states {
			p.str("state ")
		}
		p.b = p.names.append(p.b, v)
		p.str(": ")
		p.typ(v.Type)
	}
	p.b = append(p.b, ')')
}

func (p *printer) block(b *Block, depth int) {
	for o := b.first; o != nil; o = o.next {
		p.op(o, depth)
		if len(p.b) > flushAt && !p.brief {
			p.flush()
		}
	}
}

func (p *printer) indent(depth int) {
	for range depth {
		p.b = append(p.b, ' ', ' ')
	}
}

func (p *printer) op(o *Op, depth int) {
	p.indent(depth)
	for i, r := range o.results {
		if i > 0 {
			p.str(", ")
		}
		p.b = p.names.append(p.b, r)
	}
	if len(o.results) > 0 {
		p.str(" = ")
	}
	p.str(o.Info.Name)
	if len(o.args) > 0 {
		p.b = append(p.b, '(')
		for i := range o.args {
			if i > 0 {
				p.str(", ")
			}
			if v := o.args[i].val; v != nil {
				p.b = p.names.append(p.b, v)
			} else {
				p.str(`%"(none)"`)
			}
		}
		p.b = append(p.b, ')')
	}
	p.attrs(o.Attrs)
	for _, r := range o.Regions {
		p.b = append(p.b, ' ')
		if p.brief {
			p.str("{…}")
			continue
		}
		p.params(r, len(r.Params))
		p.str(" {\n")
		p.block(r, depth+1)
		p.indent(depth)
		p.b = append(p.b, '}')
	}
	for i, r := range o.results {
		if i == 0 {
			p.str(" : ")
		} else {
			p.str(", ")
		}
		p.typ(r.Type)
	}
	p.pos(o.Pos)
	p.b = append(p.b, '\n')
}

func (p *printer) typ(t Type) {
	p.str(t.Format.String())
	p.b = append(p.b, '[')
	p.b = t.Shape.Append(p.b)
	p.b = append(p.b, ']')
}

// pos prints @file:line:col:scope, the zeros at the end left out.
func (p *printer) pos(x Pos) {
	if p.NoPositions || x == (Pos{}) {
		return
	}
	p.str(" @")
	p.b = strconv.AppendInt(p.b, int64(x.File), 10)
	if x.Line == 0 && x.Col == 0 && x.Scope == 0 {
		return
	}
	p.b = append(p.b, ':')
	p.b = strconv.AppendInt(p.b, int64(x.Line), 10)
	if x.Col == 0 && x.Scope == 0 {
		return
	}
	p.b = append(p.b, ':')
	p.b = strconv.AppendInt(p.b, int64(x.Col), 10)
	if x.Scope == 0 {
		return
	}
	p.b = append(p.b, ':')
	p.b = strconv.AppendInt(p.b, int64(x.Scope), 10)
}

func (p *printer) attrs(list op.Attrs) {
	if len(list) == 0 {
		return
	}
	p.str(" {")
	for i := range list {
		if i > 0 {
			p.str(", ")
		}
		p.str(list[i].Name)
		p.b = append(p.b, '=')
		p.attr(list[i].Value)
	}
	p.b = append(p.b, '}')
}

func (p *printer) attr(v any) {
	switch v := v.(type) {
	case int64:
		p.b = strconv.AppendInt(p.b, v, 10)
	case float64:
		p.b = appendFloat(p.b, v)
	case string:
		p.b = appendQuoted(p.b, v)
	case bool:
		p.b = strconv.AppendBool(p.b, v)
	case []int64:
		p.b = append(p.b, '[')
		for i, n := range v {
			if i > 0 {
				p.b = append(p.b, ',')
			}
			p.b = strconv.AppendInt(p.b, n, 10)
		}
		p.b = append(p.b, ']')
	case []string:
		p.b = append(p.b, '[')
		for i, s := range v {
			if i > 0 {
				p.b = append(p.b, ',')
			}
			p.b = appendQuoted(p.b, s)
		}
		p.b = append(p.b, ']')
	case format.Format:
		p.str(v.String())
	case shape.Dim:
		p.b = v.Append(p.b)
	case shape.Shape:
		p.b = append(p.b, '[')
		p.b = v.Append(p.b)
		p.b = append(p.b, ']')
	case *tensor.Tensor:
		if p.brief {
			p.b = appendBriefLiteral(p.b, v)
			return
		}
		p.literal(v)
	default:
		p.str("?") // only in a broken module; the verifier names it
	}
}

// literal prints a tensor. The bytes of a large one go out piece by piece.
func (p *printer) literal(t *tensor.Tensor) {
	err := error(nil)
	if t.NumBytes() <= flushAt {
		p.b, err = appendLiteral(p.b, t)
	} else {
		p.b = append(p.b, t.String()...)
		p.str(` base64"`)
		const piece = flushAt / 4 * 3 // of base64's groups of three bytes
		for at := int64(0); at < t.NumBytes() && err == nil; at += piece {
			var data []byte
			if data, err = t.ReadRange(at, min(piece, t.NumBytes()-at)); err == nil {
				if at+piece >= t.NumBytes() {
					data = clearTail(t.Format, t.Numel(), data)
				}
				p.b = base64.StdEncoding.AppendEncode(p.b, data)
				p.flush()
			}
		}
		p.b = append(p.b, '"')
	}
	if err != nil && p.err == nil {
		p.err = err
	}
}

// appendFloat appends a float64 so that it reads back to the same bits: shortest, or the pattern of a NaN other than
// the usual one as 0x….
func appendFloat(b []byte, x float64) []byte {
	if x != x && math.Float64bits(x) != math.Float64bits(math.NaN()) {
		return strconv.AppendUint(append(b, "0x"...), math.Float64bits(x), 16)
	}
	if x != x {
		return append(b, "nan"...)
	}
	if math.IsInf(x, 0) {
		if x > 0 {
			return append(b, "inf"...)
		}
		return append(b, "-inf"...)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}
