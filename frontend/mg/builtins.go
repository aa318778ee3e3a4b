package mg

import (
	"math"
	"strings"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// builtin is a function of the language that is no op of the table.
type builtin struct {
	name     string
	min, max int      // arguments by place
	keywords []string // arguments by name
	doc      string
	fn       func(l *lowering, c *builtinCode, args, kw []value) value
}

// builtins by name. See also reductions.
var builtins = map[string]*builtin{}

// reductions are the functions that fold axes of a tensor: mean(x, axis=-1, keep=true). max and min are
// also ops between two tensors; these are meant where an axis is named.
var reductions = map[string]*builtin{}

func init() {
	for _, b := range []*builtin{
		{"len", 1, 1, nil, "len(list) is the number of items of a list.", builtinLen},
		{"shape", 1, 1, nil, "shape(x) is the list of a tensor's dimensions.", builtinShape},
		{"rank", 1, 1, nil, "rank(x) is the number of a tensor's dimensions.", builtinRank},
		{"format_of", 1, 1, nil, "format_of(x) is a tensor's number format.", builtinFormat},
		{"float", 1, 1, nil, "float(n) is a number as a 64-bit float.", builtinFloat},
		{"int", 1, 1, nil, "int(x) is a number that is whole, as an int.", builtinInt},
		{"covers", 2, 2, nil, "covers(names, name) says whether a list of dotted names has a name, or one that begins or ends it at a dot.", builtinCovers},
		{"full", 3, 3, nil, "full(format, shape, number) is a tensor filled with a number.", builtinFull},
	} {
		builtins[b.name] = b
	}
	for _, k := range []string{"sum", "prod", "max", "min", "mean", "all", "any"} {
		b := &builtin{k, 1, 1, []string{"axis", "axes", "keep"}, k + "(x, axis=-1, keep=false) folds an axis, or several: axes=[0, 1].", nil}
		b.fn = func(l *lowering, c *builtinCode, args, kw []value) value { return reduction(l, c, k, args[0], kw) }
		reductions[k] = b
		if k != "max" && k != "min" {
			builtins[k] = b
		}
	}
}

func (c *builtinCode) eval(l *lowering, fr []value) value {
	if !l.step(c.place) {
		return bad
	}
	args, kw := make([]value, len(c.args)), make([]value, len(c.kw))
	ok := true
	for i, x := range c.args {
		args[i] = x.eval(l, fr)
		ok = ok && args[i].kind != kBad
	}
	for i, x := range c.kw {
		kw[i] = none
		if x != nil {
			kw[i] = x.eval(l, fr)
			ok = ok && kw[i].kind != kBad
		}
	}
	if !ok {
		return bad
	}
	return c.fn.fn(l, c, args, kw)
}

// wrong reports an argument of the wrong kind.
func (l *lowering) wrong(c *builtinCode, i int, want string, v value) value {
	l.report(CodeType, c.args[i].where(), "%s takes %s", c.fn.name, want).Expect(want, v.describe())
	return bad
}

func builtinLen(l *lowering, c *builtinCode, args, _ []value) value {
	if args[0].kind != kList {
		return l.wrong(c, 0, "a list", args[0])
	}
	return intValue(int64(len(args[0].list())))
}

func builtinShape(l *lowering, c *builtinCode, args, _ []value) value {
	if args[0].kind != kTensor {
		return l.wrong(c, 0, "a tensor", args[0])
	}
	s := args[0].tensor().Type.Shape
	list := make([]value, len(s))
	for i, d := range s {
		list[i] = dimValue(d)
	}
	return listValue(list)
}

func builtinRank(l *lowering, c *builtinCode, args, _ []value) value {
	if args[0].kind != kTensor {
		return l.wrong(c, 0, "a tensor", args[0])
	}
	return intValue(int64(args[0].tensor().Type.Rank()))
}

func builtinFormat(l *lowering, c *builtinCode, args, _ []value) value {
	if args[0].kind != kTensor {
		return l.wrong(c, 0, "a tensor", args[0])
	}
	return formatValue(args[0].tensor().Type.Format)
}

func builtinFloat(l *lowering, c *builtinCode, args, _ []value) value {
	f, known, ok := args[0].number()
	if !ok || !known {
		return l.wrong(c, 0, "a number", args[0])
	}
	return floatValue(f)
}

func builtinInt(l *lowering, c *builtinCode, args, _ []value) value {
	d, ok := args[0].dim()
	if !ok {
		return l.wrong(c, 0, "a whole number", args[0])
	}
	return dimValue(d)
}

func builtinCovers(l *lowering, c *builtinCode, args, _ []value) value {
	if args[0].kind != kList || !allKind(args[0].list(), kString) {
		return l.wrong(c, 0, "a list of strings", args[0])
	}
	if args[1].kind != kString {
		return l.wrong(c, 1, "a string", args[1])
	}
	name := args[1].str()
	for _, v := range args[0].list() {
		m := v.str()
		if m == name || m != "" && (strings.HasPrefix(name, m) && name[len(m)] == '.' || strings.HasSuffix(name, m) && name[len(name)-len(m)-1] == '.') {
			return boolValue(true)
		}
	}
	return boolValue(false)
}

func builtinFull(l *lowering, c *builtinCode, args, _ []value) value {
	if args[0].kind != kFormat {
		return l.wrong(c, 0, "a format", args[0])
	}
	if args[1].kind != kList {
		return l.wrong(c, 1, "a list of dimensions", args[1])
	}
	s, ok := l.dims(args[1], c.args[1])
	if !ok {
		return bad
	}
	v := l.scalar(args[2], args[0].format(), c.args[2].where())
	if v == nil {
		return bad
	}
	return one(l.emit(c.place, op.Broadcast, ir.A("shape", s), v))
}

// reduction folds axes of a tensor, or adds up a list of numbers.
func reduction(l *lowering, c *builtinCode, kind string, x value, kw []value) value {
	if x.kind == kList {
		return listReduction(l, c, kind, x.list())
	}
	if x.kind != kTensor {
		return l.wrong(c, 0, "a tensor", x)
	}
	axes := kw[0]
	at := c.place
	if c.kw[0] != nil {
		at = c.kw[0].where()
	}
	if axes.kind == kNone {
		axes = kw[1]
		if c.kw[1] != nil {
			at = c.kw[1].where()
		}
	}
	var list []int64
	switch axes.kind {
	case kInt:
		n, _ := axes.int()
		list = []int64{n}
	case kList:
		for _, v := range axes.list() {
			n, ok := v.int()
			if !ok {
				l.report(CodeType, at, "axes is a list of ints").Expect("an int", v.describe())
				return bad
			}
			list = append(list, n)
		}
	case kNone:
		l.report(CodeArguments, c.place, "%s needs an axis", kind).Expect("axis=…, or axes=[…]", "none").Helpf("the tensor is %s", x)
		return bad
	default:
		l.report(CodeType, at, "an axis is an int").Expect("an int, or a list of ints", axes.describe())
		return bad
	}
	attrs := ir.A("kind", kind, "axes", list)
	if kw[2].kind == kBool && kw[2].bool() {
		attrs = append(attrs, op.Attr{Name: "keep", Value: true})
	} else if kw[2].kind != kNone && kw[2].kind != kBool {
		l.report(CodeType, c.kw[2].where(), "keep is a bool").Expect("true or false", kw[2].describe())
		return bad
	}
	return one(l.emit(c.place, op.Reduce, attrs, x.tensor()))
}

// listReduction folds numbers known now.
func listReduction(l *lowering, c *builtinCode, kind string, list []value) value {
	if kind == "all" || kind == "any" {
		r := kind == "all"
		for _, v := range list {
			if v.kind != kBool {
				return l.wrong(c, 0, "a list of bools", v)
			}
			if v.bool() != r {
				return boolValue(!r)
			}
		}
		return boolValue(r)
	}
	if len(list) == 0 && kind != "sum" && kind != "prod" {
		l.report(CodeMath, c.place, "%s of an empty list has no value", kind)
		return bad
	}
	ints, floats := shape.Const(0), 0.0
	if kind == "prod" {
		ints, floats = shape.Const(1), 1.0
	}
	allInts := kind == "sum" || kind == "prod"
	for i, v := range list {
		f, known, ok := v.number()
		if !ok || !known && v.kind != kInt {
			return l.wrong(c, 0, "a list of numbers", v)
		}
		allInts = allInts && v.kind == kInt
		switch kind {
		case "sum", "mean":
			floats += f
			ints = ints.Add(v.n)
		case "prod":
			floats *= f
			ints = ints.Mul(v.n)
		case "max", "min":
			if i == 0 || kind == "max" && f > floats || kind == "min" && f < floats {
				floats = f
			}
		}
	}
	if allInts {
		return l.checkDim(ints, c.place)
	}
	if kind == "mean" {
		floats /= float64(len(list))
	}
	if floats == math.Trunc(floats) && kind != "mean" && allKind(list, kInt) {
		return intValue(int64(floats))
	}
	return floatValue(floats)
}

func allKind(list []value, k kind) bool {
	for _, v := range list {
		if v.kind != k {
			return false
		}
	}
	return true
}
