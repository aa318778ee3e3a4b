package passes

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
)

// expandRules take named compositions apart where no matrix engine multiplies their format: what is left are sums of elementwise products.
var expandRules = rewrite.Set{
	{
		Name: "ExpandAttention", Doc: "An attention in f64 on a chip that does not multiply f64 is scores, a softmax and a weighted sum.", Roots: []*op.Info{op.Attention},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			l := r.Data.(*legaliser)
			if !wideProduct(l, o.Arg(0), o.Arg(1)) && !wideProduct(l, o.Arg(2), o.Arg(2)) {
				return false
			}
			b := r.At(o)
			r.Replace(o, b.Cast(attentionOf(b, o), o.Result(0).Type.Format))
			return true
		},
	},
	{
		Name: "ExpandGroupedProduct", Doc: "A grouped product in f64 on a chip that does not multiply f64 gathers each row's matrix.", Roots: []*op.Info{op.GroupedMatmul},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			l := r.Data.(*legaliser)
			if o.NumArgs() > 3 || !wideProduct(l, o.Arg(0), o.Arg(1)) {
				return false
			}
			b := r.At(o)
			x, w, off := o.Arg(0), o.Arg(1), o.Arg(2)
			rows, groups := dim(x, 0), dim(w, 0)
			if rows == 0 || groups == 0 {
				return false
			}
			// The group of a row is how many of the inner offsets are not above it.
			at := b.Reshape(b.Op(op.Iota, ir.A("format", format.I32, "shape", shape.Of(rows), "axis", 0)), shape.Of(rows, 1))
			begin := func(lo, hi int64) *ir.Value {
				return b.Op(op.Slice, ir.A("axis", 0, "start", shape.Const(lo), "limit", shape.Const(hi)), off)
			}
			one, zero := b.Scalar(format.I32, 1), b.Scalar(format.I32, 0)
			group := b.Op(op.Broadcast, ir.A("shape", shape.Of(rows)), zero)
			if groups > 1 {
				group = b.Op(op.Reduce, ir.A("kind", "sum", "axes", []int64{1}), b.Op(op.Select, nil, b.Op(op.Ge, nil, at, begin(1, groups)), one, zero))
			}
			y := b.Einsum("rd,rfd->rf", x, b.Op(op.Gather, ir.A("axis", 0), w, group), format.F64)
			none := b.Op(op.Or, nil, b.Op(op.Lt, nil, at, begin(0, 1)), b.Op(op.Ge, nil, at, begin(groups, groups+1)))
			y = b.Op(op.Select, nil, none, b.Scalar(format.F64, 0), y)
			r.Replace(o, b.Cast(y, o.Result(0).Type.Format))
			return true
		},
	},
}

// wideProduct reports whether a product needs f64 and no engine does it.
func wideProduct(l *legaliser, x, y *ir.Value) bool {
	return (x.Type.Format == format.F64 || y.Type.Format == format.F64) && !l.multiplies(x.Type.Format, y.Type.Format) && !l.multiplies(format.F64, format.F64)
}

// attentionOf builds an attention from primitive ops, in f64.
func attentionOf(b *ir.Builder, o *ir.Op) *ir.Value {
	const f = format.F64
	arg := func(name string) *ir.Value {
		if i := op.AttentionOperand(o.Attrs, name); i >= 0 {
			return o.Arg(i)
		}
		return nil
	}
	q, k, v := o.Arg(0), o.Arg(1), o.Arg(2)
	nb, nt, nh, ns := dim(q, 0), dim(q, 1), dim(q, 2), dim(k, 1)
	all := shape.Of(nb, nh, nt, ns)
	scores := func(q, k *ir.Value) *ir.Value {
		g, d := dim(k, 2), dim(q, 3)
		x := b.Reshape(b.Cast(q, f), shape.Of(nb, nt, g, nh/g, d))
		return b.Reshape(b.Einsum("btgrd,bsgd->bgrts", x, b.Cast(k, f), f), all)
	}
	s := scores(q, k)
	if q2 := arg("q2"); q2 != nil {
		s = b.Op(op.Add, nil, s, scores(q2, arg("k2")))
	}
	s = b.Op(op.Mul, nil, s, b.Scalar(f, o.Attrs.Float("scale", 1)))
	if c := o.Attrs.Float("softcap", 0); c > 0 {
		s = b.Op(op.Mul, nil, b.Op(op.Tanh, nil, b.Op(op.Div, nil, s, b.Scalar(f, c))), b.Scalar(f, c))
	}
	hidden := b.Scalar(f, math.Inf(-1))
	if m := arg("mask"); m != nil {
		if m.Type.Format == format.Bool {
			s = b.Op(op.Select, nil, m, s, hidden)
		} else {
			s = b.Op(op.Add, nil, s, b.Cast(m, f))
		}
	}
	if o.Attrs.Bool("causal", false) {
		last := b.Reshape(b.Op(op.Iota, ir.A("format", format.I32, "shape", shape.Of(nt), "axis", 0)), shape.Of(nt, 1))
		if p := arg("pos"); p != nil {
			if p.Type.Rank() == 1 {
				p = b.Reshape(p, shape.Of(nb, 1, 1, 1))
			}
			last = b.Op(op.Add, nil, last, p)
		}
		at := b.Op(op.Iota, ir.A("format", format.I32, "shape", shape.Of(ns), "axis", 0))
		s = b.Op(op.Select, nil, b.Op(op.Gt, nil, at, last), hidden, s)
	}
	fold := func(kind string, x *ir.Value) *ir.Value {
		return b.Op(op.Reduce, ir.A("kind", kind, "axes", []int64{-1}, "keep", true), x)
	}
	// A query that sees nothing gives 0.
	top := fold("max", s)
	top = b.Op(op.Select, nil, b.Op(op.Eq, nil, top, hidden), b.Scalar(f, 0), top)
	e := b.Op(op.Exp, nil, b.Op(op.Sub, nil, s, top))
	sum := fold("sum", e)
	sum = b.Op(op.Select, nil, b.Op(op.Eq, nil, sum, b.Scalar(f, 0)), b.Scalar(f, 1), sum)
	g := dim(v, 2)
	p := b.Reshape(b.Op(op.Div, nil, e, sum), shape.Of(nb, g, nh/g, nt, ns))
	y := b.Einsum("bgrts,bsge->btgre", p, b.Cast(v, f), f)
	return b.Reshape(y, o.Result(0).Type.Shape)
}
