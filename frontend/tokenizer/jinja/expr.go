package jinja

import (
	"slices"
	"strconv"
	"strings"
)

// exprList reads an expression, or several that make a tuple.
func (p *parser) exprList() expr { return p.exprTuple(true) }

// exprTuple is exprList; without cond, an if is left for the for statement.
func (p *parser) exprTuple(cond bool) expr {
	one := p.orExpr
	if cond {
		one = p.expr
	}
	at := p.line()
	x := one()
	if !p.isOp(",") {
		return x
	}
	items := []expr{x}
	for p.takeOp(",") {
		if k := p.tok().kind; k == tVarEnd || k == tTagEnd || p.isOp(")") || !cond && p.isName("if", "recursive") {
			break
		}
		items = append(items, one())
	}
	return &seqExpr{at, items, true}
}

// expr reads an expression with its conditional.
func (p *parser) expr() expr {
	defer p.enter()()
	x := p.orExpr()
	for p.isName("if") {
		at := p.line()
		p.pos++
		c := &condExpr{pos: at, test: p.orExpr(), x: x}
		if p.takeName("else") {
			c.y = p.expr()
		}
		x = c
	}
	return x
}

func (p *parser) orExpr() expr {
	x := p.andExpr()
	for p.isName("or") {
		at := p.line()
		p.pos++
		x = &binaryExpr{at, "or", x, p.andExpr()}
	}
	return x
}

func (p *parser) andExpr() expr {
	x := p.notExpr()
	for p.isName("and") {
		at := p.line()
		p.pos++
		x = &binaryExpr{at, "and", x, p.notExpr()}
	}
	return x
}

func (p *parser) notExpr() expr {
	if p.isName("not") {
		defer p.enter()()
		at := p.line()
		p.pos++
		return &unaryExpr{at, "not", p.notExpr()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	at := p.line()
	x := p.sum()
	c := &compareExpr{pos: at, x: x}
	for {
		op := ""
		switch t := p.tok(); {
		case t.kind == tOp && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.text):
			op = t.text
			p.pos++
		case p.takeName("in"):
			op = "in"
		case p.isName("not") && p.toks[p.pos+1].kind == tName && p.toks[p.pos+1].text == "in":
			op = "not in"
			p.pos += 2
		}
		if op == "" {
			break
		}
		c.ops = append(c.ops, op)
		c.ys = append(c.ys, p.sum())
	}
	if len(c.ops) == 0 {
		return x
	}
	return c
}

// binary reads a left-associative level.
func (p *parser) binary(next func() expr, ops ...string) expr {
	x := next()
	for p.tok().kind == tOp && slices.Contains(ops, p.tok().text) {
		at := p.line()
		op := p.advance().text
		x = &binaryExpr{at, op, x, next()}
	}
	return x
}

func (p *parser) sum() expr     { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() expr  { return p.binary(p.product, "~") }
func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr {
	return p.binary(func() expr { return p.unary(true) }, "**")
}

func (p *parser) unary(withFilter bool) expr {
	at := p.line()
	var x expr
	if p.isOp("-") || p.isOp("+") {
		leave := p.enter()
		op := p.advance().text
		x = &unaryExpr{at, op, p.unary(false)}
		leave()
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if withFilter {
		x = p.filters(x, false)
	}
	return x
}

func (p *parser) primary() expr {
	defer p.enter()()
	at := p.line()
	t := p.tok()
	switch t.kind {
	case tName:
		p.pos++
		switch t.text {
		case "true", "True":
			return &constExpr{at, true}
		case "false", "False":
			return &constExpr{at, false}
		case "none", "None":
			return &constExpr{at, nil}
		}
		if slices.Contains(reserved, t.text) {
			p.pos--
			p.fail("expected an expression, found %s", t.describe())
		}
		return &nameExpr{at, t.text}
	case tString:
		var s strings.Builder
		for p.tok().kind == tString {
			s.WriteString(p.advance().text)
		}
		return &constExpr{at, s.String()}
	case tInt:
		p.pos++
		v, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			p.fail("the number %.40s does not fit 64 bits", t.text)
		}
		return &constExpr{at, v}
	case tFloat:
		p.pos++
		v, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			p.fail("the number %.40s does not fit 64 bits", t.text)
		}
		return &constExpr{at, v}
	}
	switch {
	case p.takeOp("("):
		if p.takeOp(")") {
			return &seqExpr{at, nil, true}
		}
		x := p.exprList()
		p.expectOp(")")
		return x
	case p.takeOp("["):
		s := &seqExpr{pos: at}
		for !p.takeOp("]") {
			if len(s.items) > 0 {
				if p.expectOp(","); p.takeOp("]") {
					break
				}
			}
			s.items = append(s.items, p.expr())
		}
		return s
	case p.takeOp("{"):
		d := &dictExpr{pos: at}
		for !p.takeOp("}") {
			if len(d.keys) > 0 {
				if p.expectOp(","); p.takeOp("}") {
					break
				}
			}
			d.keys = append(d.keys, p.expr())
			p.expectOp(":")
			d.values = append(d.values, p.expr())
		}
		return d
	}
	p.fail("expected an expression, found %s", t.describe())
	return nil
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(x expr) expr {
	for {
		at := p.line()
		switch {
		case p.takeOp("."):
			if t := p.tok(); t.kind == tInt {
				p.pos++
				v, err := strconv.ParseInt(t.text, 10, 64)
				if err != nil {
					p.fail("the number %.40s does not fit 64 bits", t.text)
				}
				x = &indexExpr{at, x, &constExpr{at, v}}
				continue
			}
			x = &attrExpr{at, x, p.expect(tName).text}
		case p.takeOp("["):
			x = p.subscript(at, x)
		case p.isOp("("):
			x = &callExpr{at, x, p.callArgs()}
		default:
			return x
		}
	}
}

func (p *parser) subscript(at pos, x expr) expr {
	s := &sliceExpr{pos: at, x: x}
	var parts [3]expr
	k, colon := 0, false
	for !p.takeOp("]") {
		switch {
		case p.takeOp(":"):
			if k++; k > 2 {
				p.fail("a slice with too many colons")
			}
			colon = true
		case parts[k] != nil:
			p.fail("expected ']', found %s", p.tok().describe())
		default:
			parts[k] = p.expr()
		}
	}
	if !colon {
		if parts[0] == nil {
			p.fail("an empty subscript")
		}
		return &indexExpr{at, x, parts[0]}
	}
	s.from, s.to, s.step = parts[0], parts[1], parts[2]
	return s
}

func (p *parser) callArgs() callArgs {
	var a callArgs
	p.expectOp("(")
	for first := true; !p.takeOp(")"); first = false {
		if !first {
			if p.expectOp(","); p.takeOp(")") {
				break
			}
		}
		if len(a.args)+len(a.names) == maxArgs {
			p.fail("more than %d arguments", maxArgs)
		}
		if p.isOp("*") || p.isOp("**") {
			p.fail("unpacked arguments are not supported")
		}
		if p.tok().kind == tName && p.toks[p.pos+1].kind == tOp && p.toks[p.pos+1].text == "=" {
			name := p.advance().text
			p.pos++
			if slices.Contains(a.names, name) {
				p.fail("the argument %q comes twice", name)
			}
			a.names = append(a.names, name)
			a.values = append(a.values, p.expr())
			continue
		}
		if len(a.names) > 0 {
			p.fail("an argument without a name after one with a name")
		}
		a.args = append(a.args, p.expr())
	}
	return a
}

// filters reads |filter and is tests after an expression; with bare, the first filter has no bar.
func (p *parser) filters(x expr, bare bool) expr {
	for {
		at := p.line()
		switch {
		case bare || p.takeOp("|"):
			bare = false
			name := p.expect(tName).text
			for p.takeOp(".") {
				name += "." + p.expect(tName).text
			}
			f := &filterExpr{pos: at, x: x, name: name}
			if p.isOp("(") {
				f.args = p.callArgs()
			}
			x = f
		case x != nil && p.isName("is"):
			p.pos++
			x = p.test(at, x)
		case x != nil && p.isOp("("):
			x = &callExpr{at, x, p.callArgs()}
		default:
			return x
		}
	}
}

func (p *parser) test(at pos, x expr) expr {
	t := &testExpr{pos: at, x: x, not: p.takeName("not")}
	t.name = p.expect(tName).text
	switch k := p.tok(); {
	case p.isOp("("):
		t.args = p.callArgs()
	case k.kind == tString || k.kind == tInt || k.kind == tFloat || p.isOp("[") || p.isOp("{"),
		k.kind == tName && !p.isName("else", "or", "and", "if", "is", "in", "not", "recursive"):
		t.args.args = []expr{p.postfix(p.primary())}
	}
	return t
}
