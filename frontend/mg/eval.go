package mg

import (
	"math"
	"strconv"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/shape"
)

func (c *constCode) eval(*lowering, []value) value      { return c.v }
func (c *localCode) eval(_ *lowering, fr []value) value { return fr[c.slot] }
func (c *letCode) eval(l *lowering, _ []value) value    { return l.let(c.let, c.place)[c.item] }
func (c *symbolCode) eval(l *lowering, _ []value) value { return dimValue(l.symbol(c.name)) }
func (c *actCode) eval(l *lowering, _ []value) value    { return formatValue(l.opt.Activation) }
func (c *stateCode) eval(l *lowering, fr []value) value {
	s := l.stateSlot(c.state, c.index, fr, c.place)
	if s == nil {
		return bad
	}
	return tensorValue(*s)
}

func (c *rootCode) eval(l *lowering, _ []value) value {
	if c.options {
		return value{kind: kObject, ref: l.options}
	}
	return value{kind: kObject, ref: l.config}
}

func (c *memberCode) eval(l *lowering, fr []value) value {
	base := c.base.eval(l, fr)
	switch base.kind {
	case kBad:
		return bad
	case kObject:
		return l.member(c, base.ref.(*object))
	case kNone:
		l.report(CodeType, c.base.where(), "%s is none here, so it has no field %s", c.base.where().rng().Text(), c.name).
			Helpf("ask first: if %s != none { … }", c.base.where().rng().Text())
		return bad
	}
	l.report(CodeType, c.base.where(), "%s has no fields", base.describe()).Expect("an object of config", base.describe())
	return bad
}

func (c *unaryCode) eval(l *lowering, fr []value) value {
	x := c.x.eval(l, fr)
	switch x.kind {
	case kBad:
		return bad
	case kTensor:
		return l.unaryOp(c, x)
	case kBool:
		if c.op == "not" {
			return boolValue(!x.bool())
		}
	case kInt:
		if c.op == "-" {
			return l.checkDim(shape.Const(0).Sub(x.n), c.place)
		}
	case kRatio:
		if c.op == "-" {
			x.n = shape.Const(0).Sub(x.n)
			return x
		}
	case kFloat:
		if c.op == "-" {
			return floatValue(-x.f)
		}
	}
	want := "a number or a tensor"
	if c.op == "not" {
		want = "a bool"
	}
	l.report(CodeType, c.x.where(), "%s is not for %s", c.op, x.describe()).Expect(want, x.describe())
	return bad
}

func (c *binaryCode) eval(l *lowering, fr []value) value {
	a := c.left.eval(l, fr)
	if c.op == "and" || c.op == "or" {
		if a.kind == kBool && a.bool() == (c.op == "or") {
			return a
		}
		b := c.right.eval(l, fr)
		switch {
		case a.kind == kBad || b.kind == kBad:
			return bad
		case a.kind == kBool && b.kind == kBool:
			return b
		case a.kind == kTensor || b.kind == kTensor:
			return l.tensorBinary(c, a, b)
		}
		x, at := a, c.left.where()
		if a.kind == kBool {
			x, at = b, c.right.where()
		}
		l.report(CodeType, at, "%s joins bools", c.op).Expect("a bool", x.describe())
		return bad
	}
	b := c.right.eval(l, fr)
	if a.kind == kBad || b.kind == kBad {
		return bad
	}
	if (a.kind == kTensor || b.kind == kTensor) && c.op != "in" && c.op != ".." && a.kind != kNone && b.kind != kNone {
		return l.tensorBinary(c, a, b)
	}
	switch c.op {
	case "==", "!=", "<", "<=", ">", ">=":
		r, why := compareValues(c.op, a, b)
		if why != "" {
			code := CodeType
			if a.kind == kInt && b.kind == kInt {
				code = CodeOpen
			}
			l.report(code, c.place, "%s", why).Helpf("%s", compareHelp(code))
			return bad
		}
		return boolValue(r)
	case "in":
		return l.contains(c, a, b)
	case "..":
		return l.rangeList(c, a, b)
	}
	return l.arithmetic(c, a, b)
}

func compareHelp(code string) string {
	if code == CodeOpen {
		return "bind the symbol to a number, or compare tensors: dim(S) gives a dimension as a tensor"
	}
	return "compare numbers with numbers, strings with strings, or anything with none"
}

// compareValues compares values known now; why says what is in the way.
func compareValues(op string, a, b value) (r bool, why string) {
	if op == "==" || op == "!=" {
		eq, ok := a.equal(b)
		if !ok {
			return false, "whether " + a.String() + " " + op + " " + b.String() + " holds cannot be told: " + kindsOpen(a, b)
		}
		return eq == (op == "=="), ""
	}
	x, _, ok1 := a.number()
	y, _, ok2 := b.number()
	if !ok1 || !ok2 {
		return false, op + " compares numbers, found " + a.describe() + " and " + b.describe()
	}
	if a.kind == kInt && b.kind == kInt {
		d, known := a.n.Sub(b.n).Value()
		if !known {
			return false, "whether " + a.String() + " " + op + " " + b.String() + " holds cannot be told: " + kindsOpen(a, b)
		}
		x, y = float64(d), 0
	}
	switch op {
	case "<":
		return x < y, ""
	case "<=":
		return x <= y, ""
	case ">":
		return x > y, ""
	}
	return x >= y, ""
}

func kindsOpen(a, b value) string {
	if _, _, ok := a.number(); ok {
		if _, _, ok := b.number(); ok {
			return "symbols are not known when the module is built"
		}
	}
	return a.describe() + " and " + b.describe() + " are of different kinds"
}

// compare is compareValues with the error reported at a range, for the constraints of config.
func (l *lowering) compare(op string, a, b value, at diag.Range) value {
	r, why := compareValues(op, a, b)
	if why != "" {
		l.diags.Errorf(CodeType, at, "%s", why)
		return bad
	}
	return boolValue(r)
}

func (l *lowering) contains(c *binaryCode, a, b value) value {
	if b.kind != kList {
		l.report(CodeType, c.right.where(), "in asks whether a list holds a value").Expect("a list", b.describe())
		return bad
	}
	for _, x := range b.list() {
		if eq, ok := a.equal(x); ok && eq {
			return boolValue(true)
		}
	}
	return boolValue(false)
}

// rangeList is a..b: the ints from a to b, b left out.
func (l *lowering) rangeList(c *binaryCode, a, b value) value {
	lo, ok1 := a.int()
	hi, ok2 := b.int()
	if l.abstract && isNumber(a) && isNumber(b) && !(ok1 && ok2) {
		return listValue([]value{dimValue(shape.Sym("parameter.index"))})
	}
	if !ok1 || !ok2 {
		x, at := a, c.left.where()
		if ok1 {
			x, at = b, c.right.where()
		}
		code := CodeType
		if x.kind == kInt {
			code = CodeOpen
		}
		l.report(code, at, "a range goes from an int to an int").Expect("an int known when the module is built", x.describe())
		return bad
	}
	if hi-lo > MaxList || lo < math.MinInt64/2 || hi > math.MaxInt64/2 {
		l.halt(c.place, "the range has more than %d items", MaxList)
		return bad
	}
	list := make([]value, 0, max(0, hi-lo))
	for i := lo; i < hi; i++ {
		list = append(list, intValue(i))
	}
	l.steps += len(list)
	return listValue(list)
}

func (l *lowering) checkDim(d shape.Dim, at *place) value {
	if err := d.Err(); err != nil {
		l.report(CodeMath, at, "%s", err.Error())
		return bad
	}
	return dimValue(d)
}

// arithmetic computes with values known now: exactly on ints and symbols, in float64 otherwise. A
// division of ints that comes out even is an int; one that does not stays a quotient, which floor and
// ceil round exactly and everything else takes as a float.
func (l *lowering) arithmetic(c *binaryCode, a, b value) value {
	if c.op == "+" {
		switch {
		case a.kind == kString && b.kind == kString:
			return l.checkText(a.str()+b.str(), c.place)
		case a.kind == kList && b.kind == kList:
			n := len(a.list()) + len(b.list())
			if l.steps += n; n > MaxList {
				l.halt(c.place, "the list has more than %d items", MaxList)
				return bad
			}
			return listValue(append(a.list()[:len(a.list()):len(a.list())], b.list()...))
		}
	}
	if a.kind == kInt && b.kind == kInt {
		if v, ok := l.intArithmetic(c, a.n, b.n); ok {
			return v
		}
	}
	x, known1, ok1 := a.number()
	y, known2, ok2 := b.number()
	if !ok1 || !ok2 || c.op == "@" {
		l.report(CodeType, c.place, "%s is not for %s and %s", c.op, a.describe(), b.describe()).
			Expect("numbers or tensors", a.describe()+" and "+b.describe())
		return bad
	}
	if !known1 || !known2 {
		l.report(CodeOpen, c.place, "%s %s %s has a symbol in it, which no float can hold", a, c.op, b)
		return bad
	}
	switch c.op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	case "/":
		if y == 0 {
			l.report(CodeMath, c.place, "division by zero")
			return bad
		}
		x /= y
	case "%":
		if y == 0 {
			l.report(CodeMath, c.place, "division by zero")
			return bad
		}
		x = math.Mod(x, y)
	}
	return floatValue(x)
}

func (l *lowering) intArithmetic(c *binaryCode, a, b shape.Dim) (value, bool) {
	switch c.op {
	case "+":
		return l.checkDim(a.Add(b), c.place), true
	case "-":
		return l.checkDim(a.Sub(b), c.place), true
	case "*":
		return l.checkDim(a.Mul(b), c.place), true
	case "/":
		if b == shape.Const(0) {
			l.report(CodeMath, c.place, "division by zero")
			return bad, true
		}
		if q, ok := a.Div(b); ok {
			return dimValue(q), true
		}
		return value{kind: kRatio, n: a, ref: b}, true
	case "%":
		x, ok1 := a.Value()
		y, ok2 := b.Value()
		if ok1 && ok2 && y != 0 && !(x == math.MinInt64 && y == -1) {
			return intValue(x % y), true
		}
	}
	return bad, false
}

func (l *lowering) checkText(s string, at *place) value {
	if len(s) > MaxText {
		l.halt(at, "the string has more than %d bytes", MaxText)
		return bad
	}
	return stringValue(s)
}

func (c *textCode) eval(l *lowering, fr []value) value {
	var b strings.Builder
	for _, p := range c.parts {
		switch v := p.eval(l, fr); v.kind {
		case kBad:
			return bad
		case kString:
			b.WriteString(v.str())
		case kInt:
			if n, ok := v.n.Value(); ok {
				b.WriteString(strconv.FormatInt(n, 10))
			} else {
				b.WriteString(v.n.String())
			}
		case kMark:
			b.WriteString("{}")
		case kFloat, kBool, kFormat, kRatio:
			b.WriteString(v.String())
		default:
			l.report(CodeType, p.where(), "%s has no place in a string", v.describe()).Expect("a number, string, bool or format", v.describe())
			return bad
		}
	}
	return l.checkText(b.String(), c.place)
}

func (c *listCode) eval(l *lowering, fr []value) value {
	list := make([]value, 0, len(c.items))
	ok := true
	for _, it := range c.items {
		v := it.x.eval(l, fr)
		if v.kind == kBad {
			ok = false
			continue
		}
		if !it.spread {
			list = append(list, v)
			continue
		}
		if v.kind != kList {
			l.report(CodeType, it.x.where(), ".. spreads a list").Expect("a list", v.describe())
			ok = false
			continue
		}
		list = append(list, v.list()...)
		if l.steps += len(v.list()); len(list) > MaxList {
			l.halt(c.place, "the list has more than %d items", MaxList)
			return bad
		}
	}
	if !ok || l.halted {
		return bad
	}
	return listValue(list)
}

func (c *genCode) eval(l *lowering, fr []value) value {
	over, ok := l.iterable(c.over, fr)
	if !ok {
		return bad
	}
	list := make([]value, 0, len(over))
	for _, x := range over {
		if !l.step(c.place) {
			return bad
		}
		fr[c.slot] = x
		if c.cond != nil {
			keep, ok := l.condition(c.cond, fr)
			if !ok {
				return bad
			}
			if !keep {
				continue
			}
		}
		v := c.value.eval(l, fr)
		if v.kind == kBad {
			return bad
		}
		list = append(list, v)
	}
	return listValue(list)
}

func (c *tupleCode) eval(l *lowering, fr []value) value {
	list := make([]value, len(c.items))
	for i, x := range c.items {
		list[i] = x.eval(l, fr)
	}
	return value{kind: kTuple, ref: list}
}

// iterable evaluates what a loop goes over.
func (l *lowering) iterable(x code, fr []value) ([]value, bool) {
	v := x.eval(l, fr)
	switch v.kind {
	case kBad:
		return nil, false
	case kList:
		return v.list(), true
	}
	l.report(CodeType, x.where(), "a loop goes over a range or a list").Expect("a range such as 0..n, or a list", v.describe())
	return nil, false
}

// condition evaluates a condition, which must be known now.
func (l *lowering) condition(x code, fr []value) (yes, ok bool) {
	v := x.eval(l, fr)
	switch v.kind {
	case kBad:
		return false, false
	case kBool:
		return v.bool(), true
	case kTensor:
		l.report(CodeOpen, x.where(), "the condition is a tensor, which is not known when the module is built").
			Expect("a bool", v.describe()).Helpf("select(condition, a, b) chooses element by element")
	default:
		d := l.report(CodeType, x.where(), "the condition is not a bool").Expect("a bool", v.describe())
		if v.kind == kInt || v.kind == kFloat {
			d.Helpf("compare it: %s != 0", x.where().rng().Text())
		} else {
			d.Helpf("compare it: %s != none", x.where().rng().Text())
		}
	}
	return false, false
}

func (c *ifCode) eval(l *lowering, fr []value) value {
	for i, x := range c.conds {
		yes, ok := l.condition(x, fr)
		if !ok {
			if l.abstract {
				return c.ifAbstract(l, fr)
			}
			return bad
		}
		if yes {
			return c.blocks[i].eval(l, fr)
		}
	}
	if c.els != nil {
		return c.els.eval(l, fr)
	}
	return none
}

func (c *blockCode) eval(l *lowering, fr []value) value {
	scope, id := l.scope, l.scopeID
	for _, s := range c.stmts {
		if l.halted {
			return bad
		}
		s.run(l, fr)
	}
	v := none
	if c.result != nil {
		v = c.result.eval(l, fr)
	}
	l.scope, l.scopeID = scope, id
	return v
}

func (c *callCode) eval(l *lowering, fr []value) value {
	if !l.step(c.place) {
		return bad
	}
	if len(l.calls) >= MaxCallDepth {
		l.halt(c.place, "defs call each other more than %d deep", MaxCallDepth)
		return bad
	}
	d := c.def
	f, save := l.frame(d.slots)
	defer l.release(save)
	ok := true
	for i, p := range d.params {
		if i < len(c.args) && c.args[i] != nil {
			f[p.slot] = c.args[i].eval(l, fr)
		} else if p.def != nil {
			f[p.slot] = p.def.eval(l, f)
		}
		ok = ok && f[p.slot].kind != kBad
	}
	if l.abstract {
		return l.callAbstract(c, f)
	}
	if !ok || !l.matchParams(c, f) {
		return bad
	}
	return c.expand(l, f)
}

// expand evaluates the body of the def that a call names.
func (c *callCode) expand(l *lowering, f []value) value {
	d := c.def
	l.calls = append(l.calls, c)
	scope, id := l.scope, l.scopeID
	v := d.body.eval(l, f)
	l.scope, l.scopeID = scope, id
	if v.kind != kBad && len(d.results) > 0 {
		v = l.matchResults(d, f, v)
	}
	l.calls = l.calls[:len(l.calls)-1]
	return v
}
