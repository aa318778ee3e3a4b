package jinja

import (
	"fmt"
	"slices"
)

// maxDepth bounds how deep expressions and blocks may be nested in the source.
const maxDepth = 150

// maxArgs bounds the arguments of a call.
const maxArgs = 255

// maxSource is the longest template, in bytes.
const maxSource = 1 << 22

// Template is a parsed template. Any number of goroutines may render it at once.
type Template struct {
	body []stmt
	size int
}

// Parse reads a template. The error is an *[Error].
func Parse(src string) (*Template, error) {
	if len(src) > maxSource {
		return nil, &Error{1, fmt.Sprintf("the template has %d bytes, over the limit of %d", len(src), maxSource), false}
	}
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	body, err := p.parse()
	if err != nil {
		return nil, err
	}
	return &Template{body, len(src)}, nil
}

type parser struct {
	toks  []tok
	pos   int
	depth int
	loops int // the for statements around, in the same macro
}

func (p *parser) parse() (body []stmt, err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			body, err = nil, e
		}
	}()
	return p.block(), nil
}

// fail unwinds to parse, which returns the error.
func (p *parser) fail(format string, args ...any) {
	panic(&Error{p.tok().line, fmt.Sprintf(format, args...), false})
}

func (p *parser) tok() tok { return p.toks[p.pos] }

func (p *parser) advance() tok {
	t := p.toks[p.pos]
	if t.kind != tEnd {
		p.pos++
	}
	return t
}

func (p *parser) line() pos { return pos(p.tok().line) }

// enter counts a level of nesting; its result, deferred, leaves it.
func (p *parser) enter() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }
}

func (p *parser) isOp(op string) bool { return p.tok().kind == tOp && p.tok().text == op }

func (p *parser) isName(names ...string) bool {
	return p.tok().kind == tName && slices.Contains(names, p.tok().text)
}

func (p *parser) takeOp(op string) bool {
	if p.isOp(op) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) takeName(name string) bool {
	if p.isName(name) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expectOp(op string) {
	if !p.takeOp(op) {
		p.fail("expected %q, found %s", op, p.tok().describe())
	}
}

func (p *parser) expect(kind tokenKind) tok {
	if p.tok().kind != kind {
		p.fail("expected %s, found %s", tok{kind: kind, text: "a name"}.describe(), p.tok().describe())
	}
	return p.advance()
}

// block reads statements up to a tag with one of the names, which is left after its {%, or to the end of the template.
func (p *parser) block(ends ...string) []stmt {
	defer p.enter()()
	var out []stmt
	for {
		switch t := p.tok(); t.kind {
		case tEnd:
			if len(ends) > 0 {
				p.fail("expected {%% %s %%}, found the end of the template", ends[len(ends)-1])
			}
			return out
		case tData:
			p.pos++
			out = append(out, &textStmt{pos(t.line), t.text})
		case tVarOpen:
			p.pos++
			x := p.exprList()
			p.expect(tVarEnd)
			out = append(out, &printStmt{pos(t.line), x})
		case tTagOpen:
			p.pos++
			if p.isName(ends...) {
				return out
			}
			out = append(out, p.statement())
		}
	}
}

// body reads a block up to {% end %}, all of it.
func (p *parser) body(end string) []stmt {
	p.expect(tTagEnd)
	b := p.block(end)
	p.pos++
	p.expect(tTagEnd)
	return b
}

func (p *parser) statement() stmt {
	at := p.line()
	t := p.expect(tName)
	switch t.text {
	case "if":
		return p.ifStatement(at)
	case "for":
		return p.forStatement(at)
	case "set":
		return p.setStatement(at)
	case "with":
		return p.withStatement(at)
	case "macro":
		name := p.expect(tName).text
		m := p.signature(at, name)
		m.body = p.macroBody("endmacro")
		return &macroStmt{at, m}
	case "call":
		m := &macro{pos: at, name: "caller"}
		if p.isOp("(") {
			m = p.signature(at, "caller")
		}
		m.caller = true
		call, ok := p.expr().(*callExpr)
		if !ok {
			p.fail("expected a call after {%% call")
		}
		m.body = p.macroBody("endcall")
		return &callStmt{at, m, call}
	case "filter":
		f := p.filters(nil, true)
		return &filterStmt{at, f, p.body("endfilter")}
	case "generation":
		return &blockStmt{at, p.body("endgeneration")}
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside a loop", t.text)
		}
		p.expect(tTagEnd)
		return &jumpStmt{at, t.text == "break"}
	}
	p.pos--
	p.fail("the tag %q is not supported here; known are if, for, set, with, macro, call, filter, generation, break, continue and raw", t.text)
	return nil
}

// macroBody reads a macro's body, in which the loops around do not count.
func (p *parser) macroBody(end string) []stmt {
	saved := p.loops
	p.loops = 0
	b := p.body(end)
	p.loops = saved
	return b
}

func (p *parser) ifStatement(at pos) stmt {
	s := &ifStmt{pos: at}
	for {
		s.tests = append(s.tests, p.exprTuple(true))
		p.expect(tTagEnd)
		s.bodies = append(s.bodies, p.block("elif", "else", "endif"))
		if !p.takeName("elif") {
			break
		}
	}
	if p.takeName("else") {
		p.expect(tTagEnd)
		s.bodies = append(s.bodies, p.block("endif"))
	}
	p.pos++
	p.expect(tTagEnd)
	return s
}

func (p *parser) forStatement(at pos) stmt {
	s := &forStmt{pos: at, target: p.targets()}
	if !p.takeName("in") {
		p.fail("expected \"in\", found %s", p.tok().describe())
	}
	s.iter = p.exprTuple(false)
	if p.takeName("if") {
		s.filter = p.expr()
	}
	s.recursive = p.takeName("recursive")
	p.expect(tTagEnd)
	p.loops++
	s.body = p.block("else", "endfor")
	p.loops--
	if p.takeName("else") {
		p.expect(tTagEnd)
		s.orElse = p.block("endfor")
	}
	p.pos++
	p.expect(tTagEnd)
	return s
}

func (p *parser) setStatement(at pos) stmt {
	s := &setStmt{pos: at}
	if p.tok().kind == tName && p.toks[p.pos+1].kind == tOp && p.toks[p.pos+1].text == "." {
		s.target.name = p.advance().text
		p.pos++
		s.target.attr = p.expect(tName).text
	} else {
		s.target = p.targets()
	}
	if p.takeOp("=") {
		s.value = p.exprList()
		p.expect(tTagEnd)
		return s
	}
	if p.isOp("|") {
		s.filter = p.filters(nil, false)
	}
	s.body = p.body("endset")
	return s
}

func (p *parser) withStatement(at pos) stmt {
	s := &withStmt{pos: at}
	for p.tok().kind != tTagEnd {
		if len(s.targets) > 0 {
			p.expectOp(",")
		}
		s.targets = append(s.targets, p.oneTarget())
		p.expectOp("=")
		s.values = append(s.values, p.expr())
	}
	s.body = p.body("endwith")
	return s
}

// reserved names cannot be assigned to.
var reserved = []string{"true", "false", "none", "True", "False", "None", "and", "or", "not", "if", "else", "elif", "in", "is"}

func (p *parser) oneTarget() target {
	defer p.enter()()
	if p.takeOp("(") {
		t := p.targets()
		p.expectOp(")")
		return t
	}
	if p.isName(reserved...) {
		p.fail("%s cannot be assigned to", p.tok().describe())
	}
	return target{name: p.expect(tName).text}
}

func (p *parser) targets() target {
	t := p.oneTarget()
	if !p.isOp(",") {
		return t
	}
	t = target{many: []target{t}}
	for p.takeOp(",") {
		if p.tok().kind != tName && !p.isOp("(") || p.isName("in") {
			break
		}
		t.many = append(t.many, p.oneTarget())
	}
	return t
}

// signature reads (a, b=1).
func (p *parser) signature(at pos, name string) *macro {
	m := &macro{pos: at, name: name}
	p.expectOp("(")
	for !p.takeOp(")") {
		if len(m.params) > 0 {
			p.expectOp(",")
		}
		t := p.oneTarget()
		if len(m.params) == maxArgs {
			p.fail("more than %d parameters", maxArgs)
		}
		if t.name == "" || slices.Contains(m.params, t.name) {
			p.fail("expected a new parameter name")
		}
		m.params = append(m.params, t.name)
		if p.takeOp("=") {
			m.defaults = append(m.defaults, p.expr())
		} else if len(m.defaults) > 0 {
			p.fail("a parameter without a default after one with a default")
		}
	}
	return m
}
