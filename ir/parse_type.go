package ir

import (
	"hash/maphash"
	"math"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// typ reads a type such as bf16[B,T,7168].
func (p *parser) typ() (Type, bool) {
	if !identStart[p.peek()] {
		p.expected("a type, such as f32[B,7168]")
		return Type{}, false
	}
	from := p.at
	i := from + 1
	for ; i < len(p.src) && p.src[i] != ']'; i++ {
		if p.src[i] == '\n' || i-from > maxDims*16 {
			break
		}
	}
	if i < len(p.src) && p.src[i] == ']' {
		text := p.sub(from, i+1)
		s := &p.types[maphash.String(nameSeed, text)&uint64(len(p.types)-1)]
		if s.text == text {
			p.at = i + 1
			return s.t, true
		}
		t, ok := p.newType()
		if ok && p.at == i+1 {
			*s = typeSlot{text, t}
		}
		return t, ok
	}
	return p.newType()
}

// newType reads a type that was not read lately.
func (p *parser) newType() (t Type, ok bool) {
	from := p.at
	name := p.ident()
	if t.Format, ok = format.Parse(name); !ok {
		p.error(CodeSyntax, from, p.at, "no number format is called %s", name).Suggest(name, formatNames())
		return t, false
	}
	if !p.want('[') {
		return t, false
	}
	if t.Shape, ok = p.dims(); !ok {
		return t, false
	}
	if err := t.Shape.Err(); err != nil {
		p.error(CodeSyntax, from, p.at, "%s", err)
		return t, false
	}
	return t, true
}

func formatNames() []string {
	var out []string
	for _, f := range format.All() {
		out = append(out, f.String())
	}
	return out
}

// dims reads dimensions up to and with the closing bracket.
func (p *parser) dims() (shape.Shape, bool) {
	var buf [8]shape.Dim
	s := buf[:0]
	for !p.take(']') {
		if len(s) == maxDims {
			p.error(CodeLimit, p.at, p.at+1, "a shape has more than %d dimensions", maxDims)
			return nil, false
		}
		d, ok := p.dim()
		if !ok {
			return nil, false
		}
		s = append(s, d)
		if p.peek() != ']' && !p.want(',') {
			return nil, false
		}
	}
	return append(shape.Shape(nil), s...), true
}

// dim reads a dimension: up to a comma, a bracket, a brace or a line's end that is not in parentheses.
func (p *parser) dim() (shape.Dim, bool) {
	p.peek()
	from, i, depth := p.at, p.at, 0
	number := true
loop:
	for ; i < len(p.src); i++ {
		switch c := p.src[i]; c {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				break loop
			}
		case ',', ']', '}', '{', '[', '\n', '%', '@':
			break loop
		default:
			number = number && c >= '0' && c <= '9'
		}
	}
	if number && i > from && i-from < 18 && depth == 0 {
		n, _ := p.digits(math.MaxInt64)
		return shape.Const(n), true
	}
	text := p.sub(from, i)
	if d, ok := p.dimTexts[text]; ok {
		p.at = i
		return d, true
	}
	// An expression takes some hundred bytes whatever its length, so their number is bounded by the text's.
	if max := 4096 + len(p.src)/256; len(p.dimTexts) >= max {
		p.error(CodeLimit, from, i, "the text has more than %d different symbolic dimensions", max)
		return shape.Dim{}, false
	}
	d, err := shape.ParseDim(text)
	if err == nil {
		err = d.Err()
	}
	if err != nil {
		p.error(CodeSyntax, from, max(i, from+1), "%s", err)
		return d, false
	}
	if p.dimTexts == nil {
		p.dimTexts = map[string]shape.Dim{}
	}
	p.dimTexts[text] = d
	p.at = i
	return d, true
}
