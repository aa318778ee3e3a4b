package regex

import "unicode/utf8"

// escaped reads what follows a backslash, in a class or outside: a class of characters (true) or a single one.
func (p *parser) escaped() (ranges, bool) {
	c := p.next()
	single := func(r rune) (ranges, bool) { return ranges{{r, r}}, false }
	switch c {
	case 's':
		return space(), true
	case 'S':
		return negate(space()), true
	case 'd':
		return digit(), true
	case 'D':
		return negate(digit()), true
	case 'w':
		return word(), true
	case 'W':
		return negate(word()), true
	case 'h':
		return hexDigit, true
	case 'H':
		return negate(hexDigit), true
	case 'N':
		return negate(ranges{{'\n', '\n'}}), true
	case 'p', 'P':
		return p.property(c == 'P'), true
	case 'n':
		return single('\n')
	case 'r':
		return single('\r')
	case 't':
		return single('\t')
	case 'f':
		return single('\f')
	case 'v':
		return single('\v')
	case 'a':
		return single('\a')
	case 'e':
		return single(0x1B)
	case '0':
		return single(p.number(8, 2))
	case 'x':
		if p.take("{") {
			r := p.number(16, 8)
			if !p.take("}") {
				p.fail("\\x{ without its }")
			}
			return single(r)
		}
		return single(p.number(16, 2))
	case 'u':
		return single(p.number(16, 4))
	}
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '1' && c <= '9' {
		p.pos--
		p.fail("\\%c is not supported", c)
	}
	return single(c)
}

// number reads up to digits digits of a code point.
func (p *parser) number(base rune, digits int) rune {
	v := rune(0)
	for ; digits > 0; digits-- {
		c := rune(p.peek())
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return v
		}
		if c >= base {
			break
		}
		if v = v*base + c; v > utf8.MaxRune {
			p.fail("a code point over U+10FFFF")
		}
		p.pos++
	}
	return v
}

// property reads {name}, {^name} or a single letter.
func (p *parser) property(not bool) ranges {
	at := p.pos
	name := ""
	if p.take("{") {
		if p.take("^") {
			not = !not
		}
		start := p.pos
		for p.next() != '}' {
		}
		name = p.src[start : p.pos-1]
	} else {
		name = string(p.next())
	}
	r, ok := property(name)
	if !ok {
		p.pos = at
		p.fail("there is no Unicode property %q", name)
	}
	if not {
		return negate(r)
	}
	return r
}

// class reads a bracket class after its [.
func (p *parser) class() ranges {
	p.enter()
	defer func() { p.depth-- }()
	not := p.take("^")
	var result, part ranges
	intersecting := false
	first := true
	flush := func() {
		s := normal(part)
		if p.flags.fold {
			s = fold(s)
		}
		if intersecting {
			s = intersect(result, s)
		}
		result, part = s, nil
	}
	for ; ; first = false {
		if !p.more() {
			p.fail("a [ without its ]")
		}
		if p.peek() == ']' && !first {
			p.pos++
			break
		}
		if p.take("&&") {
			flush()
			intersecting = true
			continue
		}
		lo, isClass := p.classItem()
		if !isClass && p.peek() == '-' && p.pos+1 < len(p.src) && p.src[p.pos+1] != ']' {
			at := p.pos
			p.pos++
			hi, hiClass := p.classItem()
			if hiClass {
				p.pos = at
				p.fail("a range whose end is a class")
			}
			if hi[0].lo < lo[0].lo {
				p.pos = at
				p.fail("a range whose end is before its start")
			}
			lo = ranges{{lo[0].lo, hi[0].lo}}
		}
		part = append(part, lo...)
	}
	flush()
	if not {
		result = negate(result)
	}
	return result
}

// classItem reads one member of a class: a class of its own (true) or a single character.
func (p *parser) classItem() (ranges, bool) {
	switch p.peek() {
	case '[':
		p.pos++
		if p.peek() == ':' {
			if r, ok := p.posixClass(); ok {
				return r, true
			}
		}
		return p.class(), true
	case '\\':
		p.pos++
		if p.peek() == 'b' {
			p.pos++
			return ranges{{'\b', '\b'}}, false
		}
		return p.escaped()
	}
	r := p.next()
	return ranges{{r, r}}, false
}

// posixClass reads [:name:] or [:^name:] after its [.
func (p *parser) posixClass() (ranges, bool) {
	start := p.pos
	p.pos++
	not := p.take("^")
	from := p.pos
	for c := p.peek(); c >= 'a' && c <= 'z'; c = p.peek() {
		p.pos++
	}
	f, ok := posix[p.src[from:p.pos]]
	if !ok || !p.take(":]") {
		p.pos = start
		return nil, false
	}
	if not {
		return negate(f()), true
	}
	return f(), true
}
