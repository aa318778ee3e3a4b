package ir

import (
	"math"
)

// valueName reads %name, %12 or %"any name".
func (p *parser) valueName() (tok nameTok, ok bool) {
	if p.at >= len(p.src) || p.src[p.at] != '%' {
		if p.peek() != '%' {
			p.expected("a value, such as %x")
			return tok, false
		}
	}
	tok.from = p.at
	tok.num = -1
	i := p.at + 1
	var c byte
	if i < len(p.src) {
		c = p.src[i]
	}
	switch {
	case identStart[c]:
		for i++; i < len(p.src) && identByte[p.src[i]]; i++ {
		}
		tok.name = p.sub(p.at+1, i)
		p.at = i
	case c >= '0' && c <= '9':
		p.at = i
		if tok.num, ok = p.digits(math.MaxInt32); !ok {
			p.error(CodeSyntax, tok.from, p.at+1, "this number of a value is too large")
			return tok, false
		}
		if p.at < len(p.src) && identByte[p.src[p.at]] {
			p.error(CodeSyntax, tok.from, p.at+1, "a name of a value begins with a letter or is in quotes")
			return tok, false
		}
	case c == '"':
		p.at = i
		if tok.name, ok = p.str(); !ok {
			return tok, false
		}
		if tok.name == "" {
			p.error(CodeSyntax, tok.from, p.at, "a value's name is empty")
			return tok, false
		}
	default:
		p.at = i
		p.expected("a name after %")
		return tok, false
	}
	tok.to = p.at
	return tok, true
}

// define gives a value the name that was read for it.
func (p *parser) define(tok nameTok, v *Value) {
	var other *Value
	if tok.num >= 0 {
		switch {
		case tok.num < int64(len(p.nums)):
			other = p.nums[tok.num]
		case tok.num == int64(len(p.nums)) && p.odd[tok.num] == nil:
			p.nums = append(p.nums, v)
		default:
			if other = p.odd[tok.num]; other == nil {
				if p.odd == nil {
					p.odd = map[int64]*Value{}
				}
				p.odd[tok.num] = v
			}
		}
	} else {
		v.Name = tok.name
		other = p.names.put(v)
	}
	if other != nil {
		p.error(CodeTwice, tok.from, tok.to, "%s is set twice in @%s", p.sub(tok.from, tok.to), p.f.Name)
		return
	}
	if p.late != nil {
		if u := p.late[p.sub(tok.from, tok.to)]; u != nil {
			for _, d := range u.d {
				d.Note(p.text.Range(tok.from, tok.to), "it is set here, after its use")
			}
			u.d = nil
		}
	}
}

// use returns the value of a name; a stand-in of no type when there is none, which is reported.
func (p *parser) use(tok nameTok) *Value {
	var v *Value
	if tok.num >= 0 {
		if tok.num < int64(len(p.nums)) {
			v = p.nums[tok.num]
		} else {
			v = p.odd[tok.num]
		}
	} else {
		v = p.names.lookup(tok.name)
	}
	if v != nil {
		return v
	}
	if p.list.Full() {
		return &p.nothing
	}
	text := p.sub(tok.from, tok.to)
	d := p.error(CodeValue, tok.from, tok.to, "no value %s is set before this op in @%s", text, p.f.Name)
	if p.late == nil {
		p.late = map[string]*lateUse{}
	}
	u := p.late[text]
	if u == nil {
		u = &lateUse{}
		p.late[text] = u
		if tok.num < 0 {
			d.Suggest(tok.name, p.near(tok.name))
			if d.Suggestion != "" {
				d.Suggestion = "%" + d.Suggestion
			}
		}
	}
	u.d = append(u.d, d)
	return &p.nothing
}

// near returns names among which a suggestion is looked for: the last few hundred.
func (p *parser) near(name string) []string {
	var out []string
	for i := p.names.n - 1; i >= 0 && len(out) < 512; i-- {
		out = append(out, p.names.val(i).v.Name)
	}
	return out
}
