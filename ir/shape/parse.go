package shape

import (
	"fmt"
	"strconv"
)

const maxNesting = 32

// ParseDim reads a dimension: integers and symbols joined by +, - and *, with
// parentheses, and the rounded quotients ceil(x/k) and floor(x/k), k a positive
// integer. Blanks are skipped. The result is canonical whatever the spelling:
// "1+S*2" gives 2*S+1. Errors name the byte offset.
func ParseDim(text string) (Dim, error) {
	if len(text) > 2*MaxText {
		return Dim{}, fmt.Errorf("a dimension of %d bytes, more than %d", len(text), 2*MaxText)
	}
	p := dimParser{text: text}
	d, err := p.sum(0)
	if err == nil && p.peek() != 0 {
		err = p.fail("an operator or the end")
	}
	if err != nil {
		return Dim{}, err
	}
	return d, nil
}

type dimParser struct {
	text string
	at   int
}

// peek returns the next byte that is no blank, 0 at the end.
func (p *dimParser) peek() byte {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *dimParser) fail(want string) error {
	found := "the end"
	if p.at < len(p.text) {
		found = strconv.Quote(p.text[p.at:min(len(p.text), p.at+1)])
	}
	return fmt.Errorf("dimension %q, offset %d: expected %s, found %s", clip(p.text), p.at, want, found)
}

// check turns an invalid intermediate result into an error with a position.
func (p *dimParser) check(d Dim) (Dim, error) {
	if err := d.Err(); err != nil {
		return Dim{}, fmt.Errorf("dimension %q, offset %d: %w", clip(p.text), p.at, err)
	}
	return d, nil
}

func (p *dimParser) sum(depth int) (Dim, error) {
	if depth > maxNesting {
		return Dim{}, fmt.Errorf("dimension %q, offset %d: nested more than %d deep", clip(p.text), p.at, maxNesting)
	}
	d, err := p.product(depth)
	for err == nil {
		op := p.peek()
		if op != '+' && op != '-' {
			return d, nil
		}
		p.at++
		var o Dim
		if o, err = p.product(depth); err != nil {
			break
		}
		if op == '+' {
			d = d.Add(o)
		} else {
			d = d.Sub(o)
		}
		d, err = p.check(d)
	}
	return Dim{}, err
}

func (p *dimParser) product(depth int) (Dim, error) {
	neg := false
	for p.peek() == '-' {
		neg = !neg
		p.at++
	}
	if c := p.peek(); neg && c >= '0' && c <= '9' {
		// The sign belongs to the number, or the smallest int64 could not be read.
		p.at--
		for p.text[p.at] != '-' {
			p.at--
		}
		neg = false
	}
	d, err := p.factor(depth)
	for err == nil && p.peek() == '*' {
		p.at++
		var o Dim
		if o, err = p.factor(depth); err == nil {
			d, err = p.check(d.Mul(o))
		}
	}
	if err == nil && neg {
		d, err = p.check(Dim{}.Sub(d))
	}
	return d, err
}

func (p *dimParser) factor(depth int) (Dim, error) {
	c := p.peek()
	switch {
	case c == '(':
		p.at++
		d, err := p.sum(depth + 1)
		if err != nil {
			return Dim{}, err
		}
		return d, p.expect(')')
	case c == '-' || c >= '0' && c <= '9':
		n, err := p.integer()
		return Const(n), err
	case isLetter(c):
		start := p.at
		for p.at < len(p.text) && isNameByte(p.text[p.at]) {
			p.at++
		}
		name := p.text[start:p.at]
		if name == "ceil" || name == "floor" {
			return p.quotient(name, depth)
		}
		return p.check(Sym(name))
	}
	return Dim{}, p.fail("a number, a symbol or '('")
}

func (p *dimParser) quotient(name string, depth int) (Dim, error) {
	if err := p.expect('('); err != nil {
		return Dim{}, err
	}
	d, err := p.sum(depth + 1)
	if err != nil {
		return Dim{}, err
	}
	if err := p.expect('/'); err != nil {
		return Dim{}, err
	}
	p.peek()
	k, err := p.integer()
	if err != nil {
		return Dim{}, err
	}
	if err := p.expect(')'); err != nil {
		return Dim{}, err
	}
	if name == "ceil" {
		return p.check(d.CeilDiv(k))
	}
	return p.check(d.FloorDiv(k))
}

func (p *dimParser) integer() (int64, error) {
	start := p.at
	if p.at < len(p.text) && p.text[p.at] == '-' {
		p.at++
	}
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	if p.at < len(p.text) && isNameByte(p.text[p.at]) || p.at == start {
		return 0, p.fail("a number")
	}
	n, err := strconv.ParseInt(p.text[start:p.at], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("dimension %q, offset %d: %q is no int64", clip(p.text), start, clip(p.text[start:p.at]))
	}
	return n, nil
}

func (p *dimParser) expect(c byte) error {
	if p.peek() != c {
		return p.fail(strconv.QuoteRune(rune(c)))
	}
	p.at++
	return nil
}

func isLetter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isNameByte(c byte) bool { return isLetter(c) || c == '.' || c >= '0' && c <= '9' }

func checkName(name string) error {
	if name == "ceil" || name == "floor" {
		return fmt.Errorf("%s is a function, not a symbol", name)
	}
	if len(name) > MaxName {
		return fmt.Errorf("a symbol's name of %d bytes, more than %d", len(name), MaxName)
	}
	ok := name != "" && isLetter(name[0])
	for i := 0; ok && i < len(name); i++ {
		ok = isNameByte(name[i])
	}
	if !ok {
		return fmt.Errorf("%q is no symbol: expected a letter, then letters, digits, underscores or dots", clip(name))
	}
	return nil
}
