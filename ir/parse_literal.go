package ir

import (
	"encoding/base64"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// literal reads a tensor: its type, then a number, nested lists, or base64"…".
func (p *parser) literal() (any, bool) {
	from := p.identAt()
	if !identStart[p.peek()] {
		p.expected("a tensor, such as f32[2] [0.5, 1]")
		return nil, false
	}
	t, ok := p.typ()
	if !ok {
		return nil, false
	}
	dims, err := t.Shape.Ints()
	if err != nil {
		p.error(CodeLiteral, from, p.at, "a literal's dimensions are numbers, found %s", t)
		return nil, false
	}
	n, size, err := tensor.Count(t.Format, dims)
	if err != nil {
		p.error(CodeLiteral, from, p.at, "%s", err)
		return nil, false
	}
	start := p.identAt()
	var data []byte
	if p.word("base64") {
		data, ok = p.base64(t, size)
	} else {
		data, ok = p.lists(t, dims, n, size)
	}
	if !ok {
		return nil, false
	}
	out, err := tensor.FromBytes(t.Format, dims, data)
	if err != nil {
		p.error(CodeLiteral, start, p.at, "%s", err)
		return nil, false
	}
	return out, true
}

// base64 reads the bytes of a literal; memory is taken only once as many are there as the type asks for.
func (p *parser) base64(t Type, size int64) ([]byte, bool) {
	from := p.at
	if p.peek() != '"' {
		p.expected("bytes in quotes")
		return nil, false
	}
	i := p.at + 1
	for i < len(p.src) && plainByte[p.src[i]] {
		i++
	}
	if i >= len(p.src) || p.src[i] != '"' {
		p.error(CodeLiteral, from, from+1, "these bytes have no end on their line, or are not base64")
		return nil, false
	}
	text := p.src[p.at+1 : i]
	if int64(len(text)) != (size+2)/3*4 {
		p.error(CodeLimit, from, i+1, "%s takes %d bytes, which are %d letters of base64, found %d", t, size, (size+2)/3*4, len(text))
		return nil, false
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	k, err := base64.StdEncoding.Strict().Decode(data, text)
	if err != nil || int64(k) != size {
		p.error(CodeLiteral, from, i+1, "these are not %d bytes in base64", size)
		return nil, false
	}
	p.at = i + 1
	return data[:k], true
}

// lists reads a scalar or nested lists.
func (p *parser) lists(t Type, dims []int64, n, size int64) ([]byte, bool) {
	if n == 0 {
		if !p.want('[') || !p.want(']') {
			return nil, false
		}
		return []byte{}, true
	}
	// Every element takes a byte of text at least.
	if n > int64(len(p.src)-p.at) {
		p.error(CodeLimit, p.at, p.at+1, "%s has %d elements, more than the text holds", t, n)
		return nil, false
	}
	if len(dims) > maxNesting {
		p.error(CodeLimit, p.at, p.at+1, "lists are nested more than %d deep", maxNesting)
		return nil, false
	}
	data := make([]byte, size)
	at := 0
	return data, p.nested(t.Format, data, dims, &at)
}

func (p *parser) nested(f format.Format, data []byte, dims []int64, at *int) bool {
	if len(dims) == 0 {
		from := p.identAt()
		pattern, err := parseElement(f, p.atom())
		if err != nil {
			found, end := "", p.at
			if p.at == from {
				found, end = p.token()
			} else {
				found = p.sub(from, p.at)
			}
			p.error(CodeLiteral, from, end, "an element of a literal").Expect(err.Error(), found)
			return false
		}
		format.Put(f, data, *at, pattern)
		*at++
		return true
	}
	if !p.want('[') {
		return false
	}
	for i := range dims[0] {
		if i > 0 {
			if p.peek() == ']' {
				p.error(CodeLiteral, p.at, p.at+1, "this list ends after %d of %d", i, dims[0])
				return false
			}
			if !p.want(',') {
				return false
			}
		}
		if !p.nested(f, data, dims[1:], at) {
			return false
		}
	}
	return p.want(']')
}
