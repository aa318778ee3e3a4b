package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	// Operators that are one op of ours.
	for name, info := range map[string]*op.Info{
		"Neg": op.Neg, "Exp": op.Exp, "Log": op.Log, "Sqrt": op.Sqrt, "Sin": op.Sin, "Cos": op.Cos,
		"Tanh": op.Tanh, "Sigmoid": op.Sigmoid, "Erf": op.Erf, "Floor": op.Floor, "Ceil": op.Ceil, "Round": op.Round, "Not": op.Not,
		"BitwiseNot": op.Not, "Reciprocal": op.Reciprocal,
	} {
		register(Row{Op: name, Since: 1, Lower: unary(info), Doc: "The op " + info.Name + "."})
	}
	for name, info := range map[string]*op.Info{"Add": op.Add, "Sub": op.Sub, "Mul": op.Mul, "Div": op.Div} {
		register(
			Row{Op: name, Since: 1, Lower: legacyBinary(info), Doc: "The op " + info.Name + "; the second operand broadcasts by the attributes broadcast and axis."},
			Row{Op: name, Since: 7, Lower: pair(info), Doc: "The op " + info.Name + "."},
		)
	}
	for name, info := range map[string]*op.Info{
		"And": op.And, "Or": op.Or, "Xor": op.Xor, "Equal": op.Eq, "Greater": op.Gt, "Less": op.Lt,
	} {
		register(
			Row{Op: name, Since: 1, Lower: legacyBinary(info), Doc: "The op " + info.Name + "; the second operand broadcasts by the attributes broadcast and axis."},
			Row{Op: name, Since: 7, Lower: pair(info), Doc: "The op " + info.Name + "."},
		)
	}
	for name, info := range map[string]*op.Info{"BitwiseAnd": op.And, "BitwiseOr": op.Or, "BitwiseXor": op.Xor} {
		register(Row{Op: name, Since: 18, Lower: pair(info), Doc: "The op " + info.Name + "."})
	}
	register(
		Row{Op: "Abs", Since: 1, Lower: lowerAbs, Doc: "The op abs; an unsigned number is its own."},
		Row{Op: "Sign", Since: 9, Lower: lowerSign, Doc: "The op sign; of unsigned numbers, whether they are not zero."},
		Row{Op: "GreaterOrEqual", Since: 12, Lower: pair(op.Ge), Doc: "The op ge."},
		Row{Op: "LessOrEqual", Since: 12, Lower: pair(op.Le), Doc: "The op le."},
		Row{Op: "Pow", Since: 1, Lower: legacyBinary(op.Pow), Doc: "The op pow; the exponent broadcasts by the attributes broadcast and axis."},
		Row{Op: "Pow", Since: 7, Lower: lowerPow, Doc: "The op pow; the exponent may be of another format."},
		Row{Op: "Mod", Since: 10, Lower: lowerMod, Doc: "Remainder with the sign of the divisor, or, with fmod, of the dividend."},
		Row{Op: "BitShift", Since: 11, Lower: lowerBitShift, Doc: "The op shl or shr."},
		Row{Op: "Max", Since: 1, Lower: variadic((*builder).max), Doc: "The op max, over all operands."},
		Row{Op: "Min", Since: 1, Lower: variadic((*builder).min), Doc: "The op min, over all operands."},
		Row{Op: "Sum", Since: 1, Lower: variadic((*builder).add), Doc: "The op add, over all operands."},
		Row{Op: "Mean", Since: 1, Lower: lowerMean, Doc: "The sum of all operands over their number."},
		Row{Op: "Identity", Since: 1, Lower: func(n *node) { n.set(0, n.arg(0)) }, Doc: "The operand."},
		Row{Op: "Where", Since: 9, Lower: lowerWhere, Doc: "The op select."},
		Row{Op: "IsNaN", Since: 9, Lower: func(n *node) { x := n.arg(0); n.set(0, n.ne(x, x)) }, Doc: "x ≠ x."},
		Row{Op: "IsInf", Since: 10, Lower: lowerIsInf, Doc: "x equal to the infinities that are asked for."},
		Row{Op: "Clip", Since: 1, Lower: lowerClipAttrs, Doc: "Bounds by attributes."},
		Row{Op: "Clip", Since: 11, Lower: lowerClip, Doc: "Bounds by operands."},
	)
}

// unary lowers an operator that is one op of ours.
func unary(info *op.Info) func(n *node) {
	return func(n *node) { n.set(0, n.do(info, nil, n.arg(0))) }
}

// pair lowers an operator of two operands that broadcast by NumPy's rule.
func pair(info *op.Info) func(n *node) {
	return func(n *node) { n.set(0, n.do(info, nil, n.arg(0), n.arg(1))) }
}

// legacyBinary lowers the form of versions 1 to 6: with broadcast = 1, the second operand's axes are those of the first from axis on,
// by default the last ones.
func legacyBinary(info *op.Info) func(n *node) {
	return func(n *node) { n.set(0, n.do(info, nil, n.arg(0), n.legacyOperand())) }
}

// legacyOperand is operand 1 with axes of size 1 behind, so that it broadcasts by NumPy's rule.
func (n *node) legacyOperand() *ir.Value {
	x, y := n.arg(0), n.arg(1)
	if !n.attrBool("broadcast", false) {
		if !x.Type.Shape.Equal(y.Type.Shape) {
			n.fail("without the attribute broadcast both operands have one shape, found %s and %s", x.Type, y.Type)
		}
		return y
	}
	if !n.hasAttr("axis") {
		return y
	}
	rank := len(x.Type.Shape)
	at := n.axis(n.attrInt("axis", 0), max(rank, 1))
	behind := rank - at - len(y.Type.Shape)
	if behind < 0 {
		n.fail("%s does not fit %s from axis %d on", y.Type, x.Type, at)
	}
	s := append(shape.Shape{}, y.Type.Shape...)
	for range behind {
		s = append(s, shape.Const(1))
	}
	return n.reshape(y, s)
}

// variadic folds all operands with an op.
func variadic(f func(b *builder, x, y *ir.Value) *ir.Value) func(n *node) {
	return func(n *node) {
		xs := n.args(0)
		if len(xs) == 0 {
			n.fail("it takes at least one operand")
		}
		v := xs[0]
		for _, x := range xs[1:] {
			v = f(n.builder, v, x)
		}
		n.set(0, v)
	}
}

func unsigned(f format.Format) bool { return f.IsInt() && !f.IsSigned() }

func lowerAbs(n *node) {
	x := n.arg(0)
	if !unsigned(x.Type.Format) {
		x = n.abs(x)
	}
	n.set(0, x)
}

func lowerSign(n *node) {
	x := n.arg(0)
	if unsigned(x.Type.Format) {
		n.set(0, n.cast(n.ne(x, n.like(x, 0)), x.Type.Format))
		return
	}
	n.set(0, n.do(op.Sign, nil, x))
}

func lowerMean(n *node) {
	xs := n.args(0)
	if len(xs) == 0 {
		n.fail("it takes at least one operand")
	}
	v := n.wide(xs[0])
	for _, x := range xs[1:] {
		v = n.add(v, n.wide(x))
	}
	n.set(0, n.cast(n.divc(v, float64(len(xs))), xs[0].Type.Format))
}

func lowerWhere(n *node) { n.set(0, n.sel(n.arg(0), n.arg(1), n.arg(2))) }

// lowerPow computes in the format of the base, or in a float format when only the exponent is one.
func lowerPow(n *node) {
	x, y := n.arg(0), n.arg(1)
	f := x.Type.Format
	if !f.IsFloat() && y.Type.Format.IsFloat() {
		wide := format.F64
		n.set(0, n.cast(n.pow(n.cast(x, wide), n.cast(y, wide)), f))
		return
	}
	n.set(0, n.pow(x, n.cast(y, f)))
}

// lowerMod takes the divisor's sign for integers: the remainder of C, and the divisor once more where the signs differ.
func lowerMod(n *node) {
	x, y := n.arg(0), n.arg(1)
	r := n.do(op.Rem, nil, x, y)
	if n.attrBool("fmod", false) {
		n.set(0, r)
		return
	}
	if x.Type.Format.IsFloat() {
		n.fail("floats need fmod = 1, found %s", x.Type)
	}
	zero := n.like(r, 0)
	differ := n.and(n.ne(r, zero), n.do(op.Xor, nil, n.lt(r, zero), n.lt(y, zero)))
	n.set(0, n.sel(differ, n.add(r, y), r))
}

func lowerBitShift(n *node) {
	n.need("direction")
	info := op.Shl
	if n.attrStr("direction", "", "LEFT", "RIGHT") == "RIGHT" {
		info = op.Shr
	}
	n.set(0, n.do(info, nil, n.arg(0), n.arg(1)))
}

func lowerIsInf(n *node) {
	x := n.arg(0)
	pos, neg := n.attrBool("detect_positive", true), n.attrBool("detect_negative", true)
	inf := n.scalar(format.F32, math.Inf(1))
	y := n.cast(x, wider(x.Type.Format))
	inf = n.cast(inf, y.Type.Format)
	switch {
	case pos && neg:
		n.set(0, n.eq(n.abs(y), inf))
	case pos:
		n.set(0, n.eq(y, inf))
	case neg:
		n.set(0, n.eq(y, n.neg(inf)))
	default:
		n.set(0, n.broadcast(n.boolConst(false), x.Type.Shape))
	}
}

// wider is a format of at least 32 bits that holds all numbers of a float format.
func wider(f format.Format) format.Format {
	if f.IsFloat() && f.Bits() < 32 {
		return format.F32
	}
	return f
}

func lowerClipAttrs(n *node) {
	x := n.arg(0)
	v := x
	if n.hasAttr("min") {
		v = n.maxc(v, n.attrFloat("min", 0))
	}
	if n.hasAttr("max") {
		v = n.minc(v, n.attrFloat("max", 0))
	}
	n.set(0, v)
}

func lowerClip(n *node) {
	v := n.arg(0)
	if lo := n.opt(1); lo != nil {
		v = n.max(v, n.reshape(lo, shape.Shape{}))
	}
	if hi := n.opt(2); hi != nil {
		v = n.min(v, n.reshape(hi, shape.Shape{}))
	}
	n.set(0, v)
}
