package ir

import (
	"hash/maphash"
	"math"
	"strconv"

	"apogee/ir/format"
	"apogee/ir/op"
)

// attrs reads attributes after the opening brace. Fatal means that what follows cannot be told.
func (p *parser) attrs(info *op.Info) (out op.Attrs, ok, fatal bool) {
	from := p.at
	end := p.closing()
	var slot *attrSlot
	if end > 0 && end-from < 256 {
		text := p.sub(from, end)
		slot = &p.attrSets[(maphash.String(nameSeed, text)^uint64(info.ID))&uint64(len(p.attrSets)-1)]
		if slot.info == info && slot.text == text {
			p.at = end
			return slot.attrs, true, false
		}
	}
	list := p.attrBuf[:0]
	ok = true
	for !p.take('}') {
		at := p.identAt()
		name := p.ident()
		if name == "" {
			p.expected("the name of an attribute")
			return nil, false, true
		}
		to := p.at
		if !p.want('=') {
			return nil, false, true
		}
		spec := info.AttrSpec(name)
		if spec == nil {
			var names []string
			for _, s := range info.Attrs {
				names = append(names, s.Name)
			}
			p.error(CodeAttr, at, to, "%s has no attribute %s", info.Name, name).Suggest(name, names)
			p.skipValue()
			ok = false
		} else {
			v, good := p.attrValue(info, spec)
			if !good {
				p.skipValue()
				ok = false
				if p.at >= len(p.src) || p.src[p.at] == '\n' {
					return nil, false, true
				}
			}
			list = append(list, op.Attr{Name: spec.Name, Value: v})
		}
		if p.peek() != '}' && !p.want(',') {
			return nil, false, true
		}
	}
	p.attrBuf = list
	if !ok {
		return nil, false, false
	}
	norm, err := info.Normalise(list)
	if err != nil {
		p.error(CodeAttr, from, p.at, "%s", err)
		return nil, false, false
	}
	if len(norm) > 0 {
		out = p.attrMem.take(len(norm))
		copy(out, norm)
	}
	if slot != nil {
		*slot = attrSlot{info, p.sub(from, end), out}
	}
	clear(p.attrBuf)
	return out, true, false
}

// closing returns the place after the brace that closes the attributes, 0 if it is not on this line.
func (p *parser) closing() int {
	for i := p.at; i < len(p.src); i++ {
		switch p.src[i] {
		case '}':
			return i + 1
		case '\n':
			return 0
		case '"':
			for i++; i < len(p.src) && p.src[i] != '"' && p.src[i] != '\n'; i++ {
				if p.src[i] == '\\' {
					i++
				}
			}
		}
	}
	return 0
}

// skipValue moves to the comma or brace that ends an attribute that was not understood.
func (p *parser) skipValue() {
	depth := 0
	for ; p.at < len(p.src); p.at++ {
		switch p.src[p.at] {
		case '[', '(':
			depth++
		case ']', ')':
			depth--
		case ',':
			if depth <= 0 {
				return
			}
		case '}', '\n':
			return
		case '"':
			for p.at++; p.at < len(p.src) && p.src[p.at] != '"' && p.src[p.at] != '\n'; p.at++ {
				if p.src[p.at] == '\\' {
					p.at++
				}
			}
			if p.at >= len(p.src) || p.src[p.at] == '\n' {
				return
			}
		}
	}
	p.at = min(p.at, len(p.src))
}

// attrValue reads a value of the kind that the op table says.
func (p *parser) attrValue(info *op.Info, spec *op.AttrSpec) (any, bool) {
	from := p.identAt()
	bad := func() (any, bool) {
		found, end := p.token()
		p.error(CodeAttr, from, max(end, p.at), "attribute %s of %s", spec.Name, info.Name).Expect(kindText[spec.Kind], found)
		return nil, false
	}
	switch spec.Kind {
	case op.Int:
		s := p.atom()
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			p.at = from
			return bad()
		}
		return n, true
	case op.Float:
		s := p.atom()
		x, err := parseFloat(s)
		if err != nil {
			p.at = from
			return bad()
		}
		return x, true
	case op.String:
		if p.peek() != '"' {
			return bad()
		}
		return p.anyStr()
	case op.Bool:
		switch {
		case p.word("true"):
			return true, true
		case p.word("false"):
			return false, true
		}
		return bad()
	case op.Ints:
		if !p.take('[') {
			return bad()
		}
		out := []int64{}
		for !p.take(']') {
			at := p.identAt()
			n, err := strconv.ParseInt(p.atom(), 10, 64)
			if err != nil {
				p.at = at
				return bad()
			}
			out = append(out, n)
			if p.peek() != ']' && !p.want(',') {
				return nil, false
			}
		}
		return out, true
	case op.Strings:
		if !p.take('[') {
			return bad()
		}
		out := []string{}
		for !p.take(']') {
			if p.peek() != '"' {
				return bad()
			}
			s, ok := p.str()
			if !ok {
				return nil, false
			}
			out = append(out, s)
			if p.peek() != ']' && !p.want(',') {
				return nil, false
			}
		}
		return out, true
	case op.Fmt:
		name := p.ident()
		f, ok := format.Parse(name)
		if !ok {
			p.at = from
			v, _ := bad()
			return v, false
		}
		return f, true
	case op.Dim:
		return p.anyDim()
	case op.Dims:
		if !p.take('[') {
			return bad()
		}
		s, ok := p.dims()
		return s, ok
	case op.Literal:
		return p.literal()
	}
	return bad()
}

func (p *parser) anyStr() (any, bool) { return p.str() }

func (p *parser) anyDim() (any, bool) { return p.dim() }

var kindText = map[op.AttrKind]string{
	op.Int: "an integer", op.Float: "a number", op.String: "a string in quotes", op.Bool: "true or false",
	op.Ints: "integers in brackets, such as [0,-1]", op.Strings: "strings in brackets", op.Fmt: "a number format, such as bf16",
	op.Dim: "a dimension, such as T or 2*S+1", op.Dims: "dimensions in brackets, such as [B,T,128]",
	op.Literal: "a tensor, such as f32[2] [0.5, 1]",
}

// atom reads a number or word: letters, digits, signs and dots.
func (p *parser) atom() string {
	p.peek()
	from := p.at
	for p.at < len(p.src) && (identByte[p.src[p.at]] || p.src[p.at] == '-' || p.src[p.at] == '+') {
		p.at++
	}
	return p.sub(from, p.at)
}

// parseFloat is the inverse of appendFloat.
func parseFloat(s string) (float64, error) {
	switch {
	case len(s) > 2 && s[:2] == "0x":
		u, err := strconv.ParseUint(s[2:], 16, 64)
		return math.Float64frombits(u), err
	case s == "nan":
		return math.NaN(), nil
	case s == "inf":
		return math.Inf(1), nil
	case s == "-inf":
		return math.Inf(-1), nil
	}
	return strconv.ParseFloat(s, 64)
}
