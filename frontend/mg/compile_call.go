package mg

import (
	"fmt"
	"sort"

	"apogee/ir/format"
	"apogee/ir/op"
)

// argument is one argument of a call, resolved.
type argument struct {
	name string // "" by place
	at   *Arg
	x    code
}

// arguments resolves the arguments of a call: those by place first, each name once.
func (c *compiler) arguments(call *Call) (args []argument, ok bool) {
	ok = true
	seen := map[string]bool{}
	for _, a := range call.Args {
		if a.Value == nil {
			if len(args) > 0 && args[len(args)-1].name != "" {
				c.errorf(CodeArguments, a, "an argument by place follows one by name").Helpf("put it first, or give its name")
				ok = false
			}
			args = append(args, argument{at: a, x: c.expr(a.Name)})
			continue
		}
		x := c.expr(a.Value)
		if len(a.Name.Tokens) != 1 || a.Name.Tokens[0].Type != tokIdent {
			c.errorf(CodeArguments, a.Name, "the name of an argument is a word").Helpf("equality is written ==")
			ok = false
			continue
		}
		name := a.Name.Tokens[0].Value
		if seen[name] {
			c.errorf(CodeArguments, a.Name, "the argument %s is given twice", name)
			ok = false
			continue
		}
		seen[name] = true
		args = append(args, argument{name: name, at: a, x: x})
	}
	return args, ok
}

// call resolves NAME(…).
func (c *compiler) call(n *Name, call *Call) code {
	word := n.Ident.Value
	p := c.at(n)
	args, ok := c.arguments(call)
	p.end = max(p.end, c.at(call).end)
	if !ok {
		return c.badAt(p)
	}
	if l := c.find(word); l != nil {
		return c.castCall(p, &localCode{c.at(n), l.slot, word}, args, call)
	}
	switch d := c.file.lookup(word).(type) {
	case *defDecl:
		return c.defCall(p, d, args, call)
	case nil:
	default:
		if _, isLet := d.(*letDecl); isLet {
			return c.castCall(p, c.name(n), args, call)
		}
		c.errorf(CodeUse, n, "%s is a state, not a def", word)
		return c.badAt(p)
	}
	if _, ok := format.Parse(word); ok || word == "act" {
		return c.castCall(p, c.name(n), args, call)
	}
	info := op.Lookup(word)
	if r := reductions[word]; r != nil && (info == nil || hasAxis(args)) {
		return c.builtinCall(p, r, args, call)
	}
	if b := builtins[word]; b != nil {
		return c.builtinCall(p, b, args, call)
	}
	if info != nil {
		return c.opCall(p, info, args, call)
	}
	if !c.file.src.lost[word] {
		d := c.errorf(CodeUnknown, n, "no def, op or function is named %s", word)
		var names []string
		for _, x := range c.file.candidates() {
			if _, isDef := c.file.lookup(x).(*defDecl); isDef {
				names = append(names, x)
			}
		}
		var more []string
		for b := range builtins {
			more = append(more, b)
		}
		sort.Strings(more)
		names = append(append(names, op.Names()...), more...)
		for _, f := range format.All() {
			names = append(names, f.String())
		}
		d.Suggest(word, names)
		if d.Suggestion == "" {
			if _, ok := libraryDefs[word]; ok {
				d.Helpf("it may need an import, such as import \"std\"")
			}
		}
	}
	return c.badAt(p)
}

// libraryDefs are names that people expect to be there, so that forgetting the import is told.
var libraryDefs = map[string]bool{
	"rms_norm": true, "linear": true, "silu": true, "softmax": true, "attend": true, "rotary": true, "causal": true,
}

func hasAxis(args []argument) bool {
	for _, a := range args {
		if a.name == "axis" || a.name == "axes" {
			return true
		}
	}
	return false
}

func (c *compiler) castCall(p *place, to code, args []argument, call *Call) code {
	if len(args) != 1 || args[0].name != "" {
		c.errorf(CodeArguments, call, "a cast takes one value").Expect("1 argument", plural(len(args), "argument"))
		return c.badAt(p)
	}
	return &castCode{p, to, args[0].x}
}

func (c *compiler) defCall(p *place, d *defDecl, args []argument, call *Call) code {
	if d.entry {
		c.errorf(CodeUse, call, "%s is an entry, which is run and not called", d.name).
			Helpf("put what both need into a def").Note(d.at, "it is defined here")
		return c.badAt(p)
	}
	if c.def != nil {
		c.def.calls = append(c.def.calls, callEdge{d, p})
	}
	y := &callCode{p, d, nil}
	c.pending(y, args, call)
	return y
}

// pending puts the arguments of a call in the order of the def's parameters. The def's signature is read
// from the tree, since it may not be resolved yet.
func (c *compiler) pending(y *callCode, args []argument, call *Call) {
	d := y.def
	y.args = make([]code, len(d.paramNames))
	next := 0
	for _, a := range args {
		i := -1
		if a.name == "" {
			i = next
			next++
		} else {
			for k, n := range d.paramNames {
				if n == a.name {
					i = k
				}
			}
			if i < 0 {
				c.errorf(CodeArguments, a.at.Name, "%s has no parameter %s", d.name, a.name).
					Suggest(a.name, d.paramNames).Note(d.at, "it is defined here")
				continue
			}
		}
		switch {
		case i >= len(y.args):
			c.errorf(CodeArguments, a.at, "%s is given too many arguments", d.name).
				Expect(plural(len(y.args), "argument"), fmt.Sprint(len(call.Args))).Note(d.at, "it is defined here")
			return
		case y.args[i] != nil:
			c.errorf(CodeArguments, a.at, "the parameter %s of %s is given twice", d.paramNames[i], d.name)
		default:
			y.args[i] = a.x
		}
	}
	for i, x := range y.args {
		if x == nil && !d.paramDefault[i] {
			c.errorf(CodeArguments, call, "the call of %s lacks the argument %s", d.name, d.paramNames[i]).
				Expect(d.signature, "("+string(call.text(c.file.src))+")").Note(d.at, "it is defined here")
			y.args[i] = c.badAt(y.place)
		}
	}
}

// text is what stands between the parentheses of a call.
func (call *Call) text(s *Source) []byte {
	b := s.rangeOf(call).Text()
	if len(b) >= 2 {
		b = b[1 : len(b)-1]
	}
	return b
}

func (c *compiler) builtinCall(p *place, b *builtin, args []argument, call *Call) code {
	y := &builtinCode{place: p, fn: b, kw: make([]code, len(b.keywords))}
	for _, a := range args {
		if a.name == "" {
			y.args = append(y.args, a.x)
			continue
		}
		found := false
		for i, k := range b.keywords {
			if k == a.name {
				y.kw[i], found = a.x, true
			}
		}
		if !found {
			c.errorf(CodeArguments, a.at.Name, "%s has no argument named %s", b.name, a.name).Suggest(a.name, b.keywords)
			return c.badAt(p)
		}
	}
	if n := len(y.args); n < b.min || n > b.max {
		want := plural(b.min, "argument")
		if b.max > b.min {
			want = fmt.Sprintf("%d to %d arguments", b.min, b.max)
		}
		c.errorf(CodeArguments, call, "%s takes %s", b.name, want).Expect(want, fmt.Sprint(n)).Helpf("%s", b.doc)
		return c.badAt(p)
	}
	return y
}

// opCall resolves a call of an op of the table: arguments by place fill the operands and then the
// attributes in the order of the table; einsum takes its specification first, as everybody writes it.
func (c *compiler) opCall(p *place, info *op.Info, args []argument, call *Call) code {
	if info.Class == op.Structural && info != op.Iota && info != op.DimValue {
		d := c.errorf(CodeUse, call, "%s cannot be called", info.Name)
		if info == op.Constant {
			d.Helpf("a tensor of numbers is written f32([1, 2, 3])")
		}
		return c.badAt(p)
	}
	y := &opCode{place: p, info: info}
	attrs := make([]code, len(info.Attrs))
	give := func(i int, a argument) {
		if attrs[i] != nil {
			c.errorf(CodeArguments, a.at, "the attribute %s of %s is given twice", info.Attrs[i].Name, info.Name)
		}
		attrs[i] = a.x
	}
	variadic := info.MaxArgs() < 0
	operands := make([]code, len(info.Operands))
	next, nextAttr := 0, 0
	if info == op.Einsum && len(args) > 0 && args[0].name == "" && isText(args[0].x) {
		give(0, args[0])
		args = args[1:]
		nextAttr = 1
	}
	var rest []code
	bad := false
	for _, a := range args {
		if a.name != "" {
			if i := attrIndex(info, a.name); i >= 0 {
				give(i, a)
				continue
			}
			i := -1
			for k, o := range info.Operands {
				if o.Name == a.name && !o.Variadic {
					i = k
				}
			}
			if i >= 0 {
				if operands[i] != nil {
					c.errorf(CodeArguments, a.at, "the operand %s of %s is given twice", a.name, info.Name)
				}
				operands[i] = a.x
				continue
			}
			c.errorf(CodeArguments, a.at.Name, "%s has no operand or attribute %s", info.Name, a.name).
				Suggest(a.name, argNames(info)).Expect(opSignature(info), a.name)
			bad = true
			continue
		}
		for next < len(operands) && operands[next] != nil {
			next++
		}
		switch {
		case variadic && next >= len(operands)-1:
			rest = append(rest, a.x)
		case next < len(operands):
			operands[next] = a.x
			next++
		case nextAttr < len(info.Attrs):
			give(nextAttr, a)
			nextAttr++
		default:
			c.errorf(CodeArguments, a.at, "%s is given too many arguments", info.Name).Expect(opSignature(info), plural(len(args), "argument"))
			return c.badAt(p)
		}
	}
	if bad {
		return c.badAt(p)
	}
	for i, o := range operands {
		if variadic && i == len(operands)-1 {
			y.args = append(y.args, rest...)
			if len(rest) == 0 && !info.Operands[i].Optional {
				c.errorf(CodeArguments, call, "%s lacks the operand %s", info.Name, info.Operands[i].Name).Expect(opSignature(info), plural(len(args), "argument"))
				return c.badAt(p)
			}
			break
		}
		if o == nil {
			if info.Operands[i].Optional {
				continue
			}
			c.errorf(CodeArguments, call, "%s lacks the operand %s (%s)", info.Name, info.Operands[i].Name, info.Operands[i].Doc).
				Expect(opSignature(info), plural(len(args), "argument"))
			return c.badAt(p)
		}
		y.args = append(y.args, o)
	}
	for i, x := range attrs {
		s := &info.Attrs[i]
		if x != nil {
			y.attrs = append(y.attrs, attrCode{s, x})
		} else if s.Required {
			c.errorf(CodeArguments, call, "%s lacks the attribute %s (%s)", info.Name, s.Name, s.Doc).Expect(opSignature(info), plural(len(args), "argument"))
			return c.badAt(p)
		}
	}
	return y
}

func isText(x code) bool {
	switch x := x.(type) {
	case *constCode:
		return x.v.kind == kString
	case *textCode:
		return true
	}
	return false
}

func attrIndex(info *op.Info, name string) int {
	for i := range info.Attrs {
		if info.Attrs[i].Name == name {
			return i
		}
	}
	return -1
}

func argNames(info *op.Info) []string {
	var out []string
	for _, o := range info.Operands {
		out = append(out, o.Name)
	}
	for _, a := range info.Attrs {
		out = append(out, a.Name)
	}
	return out
}

// opSignature spells how an op is called.
func opSignature(info *op.Info) string {
	s := info.Name + "("
	sep := ""
	if info == op.Einsum {
		return `einsum("ab,bc->ac", a, b, format=…)`
	}
	for _, o := range info.Operands {
		s += sep + o.Name
		if o.Variadic {
			s += "…"
		}
		sep = ", "
	}
	for _, a := range info.Attrs {
		s += sep + a.Name
		if !a.Required {
			s += "=…"
		}
		sep = ", "
	}
	return s + ")"
}
