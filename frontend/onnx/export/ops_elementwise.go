package export

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

func init() {
	for _, r := range []struct {
		op   *op.Info
		node string
	}{
		{op.Exp, "Exp"}, {op.Log, "Log"}, {op.Sqrt, "Sqrt"}, {op.Reciprocal, "Reciprocal"}, {op.Sin, "Sin"}, {op.Cos, "Cos"}, {op.Tanh, "Tanh"},
		{op.Sigmoid, "Sigmoid"}, {op.Erf, "Erf"}, {op.Atan, "Atan"}, {op.Floor, "Floor"}, {op.Ceil, "Ceil"}, {op.Round, "Round"},
		{op.Neg, "Neg"}, {op.Add, "Add"}, {op.Sub, "Sub"}, {op.Mul, "Mul"},
	} {
		node := r.node
		register(Row{Op: r.op, Doc: node + ", brought back to the format.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.fit(x.n(node, a...), o.Result(0).Type.Format)
		})})
	}
	for _, r := range []struct {
		op          *op.Info
		bools, ints string
	}{{op.And, "And", "BitwiseAnd"}, {op.Or, "Or", "BitwiseOr"}, {op.Xor, "Xor", "BitwiseXor"}, {op.Not, "Not", "BitwiseNot"}} {
		r := r
		register(Row{Op: r.op, Doc: r.bools + " of bools, " + r.ints + " of integers.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			if f == format.Bool {
				return x.n(r.bools, a...)
			}
			return x.fit(x.n(r.ints, a...), f)
		})})
	}
	for _, r := range []struct {
		op   *op.Info
		node string
	}{{op.Lt, "Less"}, {op.Le, "LessOrEqual"}, {op.Gt, "Greater"}, {op.Ge, "GreaterOrEqual"}} {
		node := r.node
		register(Row{Op: r.op, Doc: node + "; of u64 with the upper bit turned, since it is carried in i64.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Arg(0).Type.Format
			return x.n(node, x.ordered(a[0], f), x.ordered(a[1], f))
		})})
	}
	for _, r := range []struct {
		op   *op.Info
		node string
	}{{op.Max, "Max"}, {op.Min, "Min"}} {
		node := r.node
		register(Row{Op: r.op, Doc: node + "; of what is carried in i64 a comparison and Where.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.extreme(node, a[0], a[1], o.Arg(0).Type.Format)
		})})
	}
	register(
		Row{Op: op.Rsqrt, Doc: "Sqrt, then Reciprocal.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.fit(x.n("Reciprocal", x.n("Sqrt", a[0])), o.Result(0).Type.Format)
		})},
		Row{Op: op.Abs, Doc: "Abs; of u64 nothing.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			if wide64(f) {
				return a[0]
			}
			return x.fit(x.n("Abs", a[0]), f)
		})},
		Row{Op: op.Sign, Doc: "Sign; NaN is kept.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			switch f := o.Result(0).Type.Format; {
			case wide64(f):
				return x.to(x.to(a[0], format.Bool), format.I64)
			case f.IsFloat():
				return x.n("Where", x.n("IsNaN", a[0]), a[0], x.n("Sign", a[0]))
			}
			return x.sign(a[0], carrier(o.Result(0).Type.Format))
		})},
		Row{Op: op.Eq, Doc: "Equal.", emit: one1(func(x *exporter, _ *ir.Op, a []string) string { return x.n("Equal", a...) })},
		Row{Op: op.Ne, Doc: "Not of Equal.", emit: one1(func(x *exporter, _ *ir.Op, a []string) string { return x.n("Not", x.n("Equal", a...)) })},
		Row{Op: op.Div, Doc: "Div; of integers with the divisors 0 and -1 taken out, for which ONNX leaves it open.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			switch {
			case f.IsFloat():
				return x.fit(x.n("Div", a...), f)
			case wide64(f):
				q, _ := x.unsignedDiv(a[0], a[1])
				return q
			}
			q, _ := x.signedDiv(a[0], a[1], f)
			return q
		})},
		Row{Op: op.Rem, Doc: "Mod of floats; of integers what Div leaves.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			switch {
			case f.IsFloat():
				return x.fit(x.na("Mod", attrs{"fmod", 1}, a...), f)
			case wide64(f):
				_, r := x.unsignedDiv(a[0], a[1])
				return r
			}
			_, r := x.signedDiv(a[0], a[1], f)
			return r
		})},
		Row{Op: op.Pow, Doc: "Pow of floats; of integers a Loop that squares and multiplies, since powers wrap.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			if f.IsFloat() {
				return x.fit(x.n("Pow", a...), f)
			}
			return x.power(a[0], a[1], f)
		})},
		Row{Op: op.Shl, Doc: "BitShift of the unsigned bits; 0 where the shift is out of range.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			c := carrier(f)
			in, by := x.shift(a[1], f)
			y := x.to(x.na("BitShift", attrs{"direction", "LEFT"}, x.to(a[0], unsignedOf(c)), by), c)
			return x.fit(x.n("Where", in, y, x.ints(c, nil, 0)), f)
		})},
		Row{Op: op.Shr, Doc: "BitShift of the unsigned bits, of the complement where negative; all signs where the shift is out of range.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			c := carrier(f)
			in, by := x.shift(a[1], f)
			zero := x.ints(c, nil, 0)
			right := func(v string) string {
				return x.to(x.na("BitShift", attrs{"direction", "RIGHT"}, x.to(v, unsignedOf(c)), by), c)
			}
			if !f.IsSigned() {
				return x.n("Where", in, right(a[0]), zero)
			}
			neg := x.n("Less", a[0], zero)
			y := right(x.n("Where", neg, x.n("BitwiseNot", a[0]), a[0]))
			y = x.n("Where", in, y, zero)
			return x.n("Where", neg, x.n("BitwiseNot", y), y)
		})},
		Row{Op: op.Select, Doc: "Where; of bools in logic, for which runtimes have no Where.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			if o.Result(0).Type.Format == format.Bool {
				return x.n("Or", x.n("And", a[0], a[1]), x.n("And", x.n("Not", a[0]), a[2]))
			}
			return x.n("Where", a...)
		})},
		Row{Op: op.Cast, Doc: "Cast; from floats to integers with Clip before it, since ONNX leaves open what is out of range.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.cast(a[0], o.Arg(0).Type.Format, o.Result(0).Type.Format, o.Attrs.Bool("saturate", false))
		})},
		Row{Op: op.Bitcast, Doc: "Wrapping between integers, BitCast (operator set 26) where floats are involved.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.bitcast(a[0], o.Arg(0).Type.Format, o.Result(0).Type.Format)
		})},
	)
}

// extreme is Max or Min of two values of a format. Compiled with some vector instructions, ONNX Runtime's kernels for i64 compare
// only the lower halves (seen in 1.30 for numbers from 2^31 to 2^32); its comparisons do not.
func (x *exporter) extreme(node, a, b string, f format.Format) string {
	if carrier(f) != format.I64 {
		return x.n(node, a, b)
	}
	compare := map[string]string{"Max": "Greater", "Min": "Less"}[node]
	return x.n("Where", x.n(compare, x.ordered(a, f), x.ordered(b, f)), a, b)
}

// sign is Sign of a carrier; see extreme for i64.
func (x *exporter) sign(v string, c format.Format) string {
	if c != format.I64 {
		return x.n("Sign", v)
	}
	zero := x.ints(c, nil, 0)
	return x.n("Sub", x.to(x.n("Greater", v, zero), c), x.to(x.n("Less", v, zero), c))
}

// unsignedOf is the unsigned format as wide as a carrier.
func unsignedOf(c format.Format) format.Format {
	if c == format.I32 {
		return format.U32
	}
	return format.U64
}

// shift says whether a shift is in range, and gives it as an unsigned number, 0 where it is not.
func (x *exporter) shift(b string, f format.Format) (in, by string) {
	c := carrier(f)
	zero := x.ints(c, nil, 0)
	in = x.n("And", x.n("GreaterOrEqual", b, zero), x.n("Less", b, x.ints(c, nil, int64(f.Bits()))))
	return in, x.to(x.n("Where", in, b, zero), unsignedOf(c))
}

// signedDiv divides integers in their carrier: quotient and remainder.
func (x *exporter) signedDiv(a, b string, f format.Format) (q, r string) {
	c := carrier(f)
	zero, one := x.ints(c, nil, 0), x.ints(c, nil, 1)
	none := x.n("Equal", b, zero)
	minus := x.n("Equal", b, x.ints(c, nil, -1))
	by := x.n("Where", x.n("Or", none, minus), one, b)
	d := x.n("Div", a, by)
	q = x.fit(x.n("Where", none, zero, x.n("Where", minus, x.n("Neg", a), d)), f)
	return q, x.n("Sub", a, x.n("Mul", d, by))
}

// unsignedDiv divides u64 with the signed division that there is. Half of a by b gives the quotient but for its last bit; a divisor
// with its upper bit set goes into a once or not at all.
func (x *exporter) unsignedDiv(a, b string) (q, r string) {
	zero, one := x.ints(format.I64, nil, 0), x.ints(format.I64, nil, 1)
	none := x.n("Equal", b, zero)
	huge := x.n("Less", b, zero)
	by := x.n("Where", x.n("Or", none, huge), one, b)
	half := x.to(x.na("BitShift", attrs{"direction", "RIGHT"}, x.to(a, format.U64), x.to(one, format.U64)), format.I64)
	d := x.n("Mul", x.n("Div", half, by), x.ints(format.I64, nil, 2))
	rest := x.n("Sub", a, x.n("Mul", d, by))
	d = x.n("Add", d, x.to(x.n("GreaterOrEqual", x.flip(rest), x.flip(by)), format.I64))
	once := x.to(x.n("GreaterOrEqual", x.flip(a), x.flip(b)), format.I64)
	q = x.n("Where", none, zero, x.n("Where", huge, once, d))
	r = x.n("Where", none, zero, x.n("Sub", a, x.n("Mul", q, b)))
	return q, r
}

// power raises integers to integers, wrapping.
func (x *exporter) power(a, b string, f format.Format) string {
	c := carrier(f)
	zero, one := x.ints(c, nil, 0), x.ints(c, nil, 1)
	t := x.result(0)
	same := x.dims(t.Shape)
	a, b = x.n("Expand", a, same), x.n("Expand", b, same)
	start := x.n("Expand", one, same)
	y := x.loop(x.ints(format.I64, nil, int64(f.Bits())), "", []ir.Type{{Format: c, Shape: t.Shape}, {Format: c, Shape: t.Shape}, {Format: c, Shape: t.Shape}}, []string{start, a, b},
		func(_ string, in []string) (string, []string) {
			r, base, e := in[0], in[1], in[2]
			odd := x.n("Equal", x.n("BitwiseAnd", e, one), one)
			r = x.n("Where", odd, x.n("Mul", r, base), r)
			u := unsignedOf(c)
			e = x.to(x.na("BitShift", attrs{"direction", "RIGHT"}, x.to(e, u), x.to(one, u)), c)
			return "", []string{r, x.n("Mul", base, base), e}
		})[0]
	if f.IsSigned() { // 1/aⁿ is 0 but for 1 and -1
		odd := x.n("Equal", x.n("BitwiseAnd", b, one), one)
		minus := x.n("Where", odd, x.ints(c, nil, -1), one)
		inverse := x.n("Where", x.n("Equal", a, one), one, x.n("Where", x.n("Equal", a, x.ints(c, nil, -1)), minus, zero))
		y = x.n("Where", x.n("Less", b, zero), inverse, y)
	}
	return x.fit(y, f)
}

func (x *exporter) bitcast(v string, from, f format.Format) string {
	switch {
	case from == f:
		return v
	case f == format.Bool:
		if from.IsFloat() {
			x.fail("the bits of %s as bool: ONNX's BitCast does not give bools that are not 0 or 1", from)
		}
		return x.to(v, format.Bool)
	case !from.IsFloat() && !f.IsFloat():
		return x.cast(v, from, f, false)
	case from == format.F8E8M0 || f == format.F8E8M0 || from.Bits() < 8 || from == format.Bool || !known(from) || !known(f):
		x.fail("ONNX has no BitCast from %s to %s", from, f)
		return v
	}
	x.need(26)
	return x.enter(x.na("BitCast", attrs{"to", dataType(f)}, x.leave(v, from)), f)
}

// infinity is the value that the greatest (or, negated, the least) of a float format is compared with.
var infinity = math.Inf(1)
