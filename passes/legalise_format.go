package passes

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

// formatRules bring ops to formats that the vector engine has.
var formatRules = rewrite.Set{
	{
		Name: "RemoveExactRoundTrip", Doc: "A cast to a narrower float and back goes if the value was one of the narrower format all along: what chooses, negates or moves such values gives such values.",
		Roots: []*op.Info{op.Cast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Cast) {
				return false
			}
			x, mid := d.Arg(0), o.Arg(0).Type.Format
			if x.Type.Format != o.Result(0).Type.Format || !x.Type.Format.IsFloat() || !mid.IsFloat() || !exact(mid, x.Type.Format) || !fits(x, mid, 0) {
				return false
			}
			r.Replace(o, x)
			return true
		},
	},
	{
		Name: "RouteCast", Doc: "A cast that the chip does not do in one step takes the steps that it does: by way of formats that hold the value, as a comparison with zero, or by clamping or wrapping first.",
		Roots: []*op.Info{op.Cast}, Apply: routeCast,
	},
	{
		Name: "ReduceBoolAsInt", Doc: "All and any of bools are the least and greatest of 0 and 1.", Roots: []*op.Info{op.Reduce},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			l := r.Data.(*legaliser)
			kind := o.Attrs.Str("kind", "")
			if kind != "any" && kind != "all" || l.has(format.Bool, chip.Reduce) {
				return false
			}
			f := l.standIn(format.Bool, chip.Reduce, chip.Basic)
			if f == format.Invalid || f == format.Bool {
				return false
			}
			to := "max"
			if kind == "all" {
				to = "min"
			}
			b := r.At(o)
			n := b.Op(op.Select, nil, o.Arg(0), b.Scalar(f, 1), b.Scalar(f, 0))
			m := b.Op(op.Reduce, o.Attrs.With("kind", to), n)
			r.Replace(o, b.Op(op.Gt, nil, m, b.Scalar(f, 0))) // of none, the least number there is or the greatest
			return true
		},
	},
	{
		Name: "WidenOp", Doc: "An op in a format that the chip does not compute in is done in f32, or i32, between casts. Sums of narrow floats are always f32, so that they round once.",
		Roots: append(elementwiseOps(), op.Reduce, op.Cumsum, op.TopK, op.ArgMax, op.ScatterElements, op.Iota), Apply: widenAround,
	},
	{
		Name: "ExpandIntegerDivision", Doc: "A division of integers on a chip that divides floats alone is a division of floats, corrected until it is exact.",
		Roots: []*op.Info{op.Div, op.Rem}, Apply: expandDivision,
	},
	{
		Name: "ExpandIntegerPower", Doc: "A power of integers is a product of squares.", Roots: []*op.Info{op.Pow}, Apply: expandPower,
	},
}

// fits reports whether every element of a value is surely one of a narrower float format.
func fits(v *ir.Value, f format.Format, depth int) bool {
	if exact(v.Type.Format, f) {
		return true
	}
	o := v.Def()
	if o == nil || depth > 8 {
		return false
	}
	switch o.Info {
	case op.Cast:
		return o.Arg(0).Type.Format.IsFloat() && fits(o.Arg(0), f, depth+1) || o.Arg(0).Type.Format == format.Bool
	case op.Constant:
		if o.Attrs.Tensor("value").Numel() > 16 {
			return false
		}
		x, err := o.Attrs.Tensor("value").F64s()
		if err != nil {
			return false
		}
		for _, n := range x {
			if f.Round(n) != n {
				return false
			}
		}
		return true
	case op.Neg, op.Abs, op.Sign, op.Reshape, op.Transpose, op.Broadcast, op.Slice, op.Reverse, op.Gather, op.GatherElements:
		return fits(o.Arg(0), f, depth+1)
	case op.Max, op.Min, op.Concat, op.Pad:
		for i := 0; i < o.NumArgs(); i++ {
			if !fits(o.Arg(i), f, depth+1) {
				return false
			}
		}
		return true
	case op.Select:
		return fits(o.Arg(1), f, depth+1) && fits(o.Arg(2), f, depth+1)
	case op.Reduce:
		k := o.Attrs.Str("kind", "")
		return (k == "max" || k == "min") && fits(o.Arg(0), f, depth+1)
	case op.TopK:
		return v.Index() == 0 && fits(o.Arg(0), f, depth+1)
	}
	return false
}

// steps casts along a route.
func steps(b *ir.Builder, x *ir.Value, way []format.Format, last op.Attrs) *ir.Value {
	for i, f := range way {
		a := ir.A("format", f)
		if i == len(way)-1 && last != nil {
			a = last
		}
		x = b.Op(op.Cast, a, x)
	}
	return x
}

func routeCast(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	x := o.Arg(0)
	from, to := x.Type.Format, o.Result(0).Type.Format
	if from == to || l.engines.CanCast(from, to) {
		return false
	}
	b := r.At(o)
	switch {
	case to == format.Bool:
		f := l.standIn(from, chip.Basic)
		if f == format.Invalid {
			return false
		}
		r.Replace(o, b.Op(op.Ne, nil, b.Cast(x, f), b.Scalar(f, 0)))
		return true
	case from == format.Bool:
		if !l.moves(to) {
			f := l.standIn(to, chip.Basic)
			if f == format.Invalid || f == to {
				return false
			}
			r.Replace(o, b.Cast(b.Cast(x, f), to))
			return true
		}
		r.Replace(o, b.Op(op.Select, nil, x, b.Scalar(to, 1), b.Scalar(to, 0)))
		return true
	case to.IsFloat():
		// The last step alone may round.
		way := l.engines.CastRoute(from, to, func(g format.Format) bool { return exact(from, g) })
		if way == nil && from.IsInt() {
			way = l.engines.CastRoute(from, to, func(g format.Format) bool { return g == format.F32 && exact(to, g) || exact(from, g) })
		}
		if len(way) < 2 {
			return false
		}
		r.Replace(o, steps(b, x, way, o.Attrs))
		return true
	case from.IsFloat():
		// Toward zero and saturating, in i32, then to what is known to fit.
		in := func(g format.Format) bool { return exact(to, g) }
		if to == format.I32 || !exact(to, format.I32) {
			way := l.engines.CastRoute(from, to, func(g format.Format) bool { return exact(from, g) })
			if len(way) < 2 {
				return false
			}
			r.Replace(o, steps(b, x, way, o.Attrs))
			return true
		}
		way := l.engines.CastRoute(format.I32, to, in)
		if way == nil || !l.has(format.I32, chip.Basic) {
			return false
		}
		i := b.Cast(x, format.I32)
		i = b.Op(op.Max, nil, i, b.Scalar(format.I32, float64(to.MinInt())))
		i = b.Op(op.Min, nil, i, b.Scalar(format.I32, float64(to.MaxInt())))
		r.Replace(o, steps(b, i, way, nil))
		return true
	}
	// Between integers: widening holds the value, narrowing wraps first.
	if exact(from, to) {
		way := l.engines.CastRoute(from, to, func(g format.Format) bool { return exact(from, g) })
		if len(way) < 2 {
			return false
		}
		r.Replace(o, steps(b, x, way, nil))
		return true
	}
	if from != format.I32 {
		if !exact(from, format.I32) || !l.has(format.I32, chip.Basic) {
			return false
		}
		r.Replace(o, b.Op(op.Cast, o.Attrs, b.Cast(x, format.I32)))
		return true
	}
	way := l.engines.CastRoute(from, to, func(g format.Format) bool { return exact(to, g) })
	if way == nil || to.Bits() > 16 || !l.has(format.I32, chip.Basic) {
		return false
	}
	if to.IsSigned() {
		n := b.Scalar(format.I32, float64(32-to.Bits()))
		x = b.Op(op.Shr, nil, b.Op(op.Shl, nil, x, n), n)
	} else {
		x = b.Op(op.And, nil, x, b.Scalar(format.I32, float64(to.MaxInt())))
	}
	r.Replace(o, steps(b, x, way, nil))
	return true
}

// widenAround does an op in another format.
func widenAround(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	f := o.Result(0).Type.Format
	var classes []chip.OpClass
	var g format.Format
	switch o.Info {
	case op.Cast, op.Bitcast:
		return false
	case op.Select:
		if l.moves(f) {
			return false
		}
		g = l.standIn(f, chip.Basic)
	case op.Iota:
		g = l.standIn(f, chip.Basic)
		if g == f || g == format.Invalid {
			return false
		}
		b := r.At(o)
		r.Replace(o, b.Cast(b.Op(op.Iota, o.Attrs.With("format", g)), f))
		return true
	case op.ScatterElements:
		if o.Attrs.Str("reduce", "none") == "none" {
			if l.moves(f) {
				return false
			}
		}
		g = l.standIn(f, chip.Basic)
	case op.Reduce, op.Cumsum:
		f = o.Arg(0).Type.Format
		kind := o.Attrs.Str("kind", "sum")
		if f == format.Bool {
			return false
		}
		classes = []chip.OpClass{chip.Reduce}
		if kind == "mean" {
			classes = append(classes, chip.Divide)
		}
		g = l.standIn(f, classes...)
		if narrowFloat(f) && kind != "max" && kind != "min" && l.has(format.F32, classes...) {
			g = format.F32
		}
	case op.TopK, op.ArgMax:
		f = o.Arg(0).Type.Format
		g = l.standIn(f, chip.Sort)
	default:
		f = o.Arg(0).Type.Format
		if (o.Is(op.Div) || o.Is(op.Rem) || o.Is(op.Pow)) && !f.IsFloat() && (f == format.I32 || f == format.I64) {
			return false // rules of their own
		}
		classes = classesOf(o)
		if (o.Is(op.Div) || o.Is(op.Rem) || o.Is(op.Pow)) && !f.IsFloat() {
			// The quotient of two numbers of at most 16 bits is one of 32.
			if g = format.I32; !exact(f, g) {
				g = f
			}
			break
		}
		g = l.standIn(f, classes...)
	}
	if g == f || g == format.Invalid {
		return false
	}
	b := r.At(o)
	args := o.Args()
	for i, a := range args {
		if a.Type.Format != f || o.Is(op.Select) && i == 0 || o.Is(op.ScatterElements) && i == 1 {
			continue
		}
		args[i] = b.Op(op.Cast, ir.A("format", g), a)
	}
	n := b.Create(o.Info, o.Attrs, args...)
	if n == nil {
		return true
	}
	out := make([]*ir.Value, len(n.Results()))
	for i, v := range n.Results() {
		// The largest of nothing is the least of the format, not of the stand-in.
		if kind := o.Attrs.Str("kind", ""); f.IsInt() && (kind == "max" || kind == "min") && foldsNothing(o) {
			if kind == "max" {
				v = b.Op(op.Max, nil, v, b.Scalar(g, float64(f.MinInt())))
			} else {
				v = b.Op(op.Min, nil, v, b.Scalar(g, float64(f.MaxUint())))
			}
		}
		out[i] = b.Cast(v, o.Result(i).Type.Format)
	}
	r.Replace(o, out...)
	return true
}

// foldsNothing reports whether some result of a reduction or a running one folds no element.
func foldsNothing(o *ir.Op) bool {
	if o.Is(op.Cumsum) {
		return o.Attrs.Bool("exclusive", false)
	}
	x := o.Arg(0)
	for _, a := range o.Attrs.Ints("axes") {
		if dim(x, axis(a, x.Type.Rank())) == 0 {
			return true
		}
	}
	return false
}

// scalarLike is a literal scalar of a value's format.
func scalarLike(b *ir.Builder, v *ir.Value, x int64) *ir.Value {
	t, err := tensor.FromI64(v.Type.Format, nil, []int64{x})
	if err != nil {
		if b.Err == nil {
			b.Err = err
		}
		return v
	}
	return b.Op(op.Constant, ir.A("value", t))
}

// expandDivision divides i32 in f32. f32 keeps 24 bits, so each round leaves at most 2^-22 of the dividend to be divided; after two the
// quotient is off by one at most, which a comparison mends.
func expandDivision(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	a, d := o.Arg(0), o.Arg(1)
	f := a.Type.Format
	if f != format.I32 || l.has(f, chip.Divide) || !l.has(format.F32, chip.Divide) || !l.has(f, chip.Basic) {
		return false
	}
	b := r.At(o)
	zero, one := scalarLike(b, a, 0), scalarLike(b, a, 1)
	if n, ok := constant(d); ok && n > 0 && math.Trunc(math.Log2(n)) == math.Log2(n) {
		// A power of two: shift, after rounding toward zero by adding d-1 to what is negative.
		k := scalarLike(b, a, int64(math.Log2(n)))
		down := b.Op(op.And, nil, b.Op(op.Shr, nil, a, scalarLike(b, a, 31)), scalarLike(b, a, int64(n)-1))
		q := b.Op(op.Shr, nil, b.Op(op.Add, nil, a, down), k)
		if o.Is(op.Rem) {
			q = b.Op(op.Sub, nil, a, b.Op(op.Shl, nil, q, k))
		}
		r.Replace(o, q)
		return true
	}
	none := b.Op(op.Eq, nil, d, zero)
	safe := b.Op(op.Select, nil, none, one, d)
	fd := b.Cast(safe, format.F32)
	var q *ir.Value
	rest := a
	for i := 0; i < 3; i++ {
		part := b.Cast(b.Op(op.Div, nil, b.Cast(rest, format.F32), fd), format.I32)
		if q == nil {
			q = part
		} else {
			q = b.Op(op.Add, nil, q, part)
		}
		rest = b.Op(op.Sub, nil, a, b.Op(op.Mul, nil, q, safe))
	}
	// rest has the sign of a and is smaller than d, or is off by one d.
	ar, ad := b.Op(op.Abs, nil, rest), b.Op(op.Abs, nil, safe)
	toward := b.Op(op.Mul, nil, b.Op(op.Sign, nil, rest), b.Op(op.Sign, nil, safe))
	over := b.Op(op.Ge, nil, ar, ad)
	q = b.Op(op.Add, nil, q, b.Op(op.Select, nil, over, toward, zero))
	rest = b.Op(op.Sub, nil, a, b.Op(op.Mul, nil, q, safe))
	wrong := b.Op(op.Lt, nil, b.Op(op.Mul, nil, b.Op(op.Sign, nil, rest), b.Op(op.Sign, nil, a)), zero)
	back := b.Op(op.Mul, nil, b.Op(op.Sign, nil, a), b.Op(op.Sign, nil, safe))
	q = b.Op(op.Sub, nil, q, b.Op(op.Select, nil, wrong, back, zero))
	res := q
	if o.Is(op.Rem) {
		res = b.Op(op.Sub, nil, a, b.Op(op.Mul, nil, q, safe))
	}
	res = b.Op(op.Select, nil, none, zero, res)
	r.Replace(o, res)
	return true
}

func expandPower(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	x, n := o.Arg(0), o.Arg(1)
	f := x.Type.Format
	if f != format.I32 && f != format.I64 || !l.has(f, chip.Basic) {
		return false
	}
	b := r.At(o)
	zero, one := scalarLike(b, x, 0), scalarLike(b, x, 1)
	most := f.Bits() - 1
	bits := most
	if c, ok := constant(n); ok && c >= 0 {
		for bits = 0; bits < most && c >= math.Ldexp(1, bits); bits++ {
		}
	}
	res, sq := b.Op(op.Broadcast, ir.A("shape", o.Result(0).Type.Shape), one), x
	for i := 0; i < bits; i++ {
		odd := b.Op(op.Ne, nil, b.Op(op.And, nil, n, scalarLike(b, x, 1<<i)), zero)
		res = b.Op(op.Select, nil, odd, b.Op(op.Mul, nil, res, sq), res)
		if i+1 < bits {
			sq = b.Op(op.Mul, nil, sq, sq)
		}
	}
	// To a negative power 1 stays, -1 alternates, all else is 0.
	neg := b.Op(op.Lt, nil, n, zero)
	odd := b.Op(op.Ne, nil, b.Op(op.And, nil, n, one), zero)
	minus := scalarLike(b, x, -1)
	small := b.Op(op.Select, nil, b.Op(op.Eq, nil, x, one), one,
		b.Op(op.Select, nil, b.Op(op.Eq, nil, x, minus), b.Op(op.Select, nil, odd, minus, one), zero))
	r.Replace(o, b.Op(op.Select, nil, neg, small, res))
	return true
}
