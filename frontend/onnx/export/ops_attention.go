package export

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(Row{Op: op.Attention, Doc: "Einsum, the mask, Softmax, Einsum, in f32; where all may be hidden the softmax is spelled out, so that it gives 0.", emit: one1((*exporter).attention)})
}

func (x *exporter) attention(o *ir.Op, a []string) string {
	q, k, v := x.arg(0).Shape, x.arg(1).Shape, x.arg(2).Shape
	// Inside, all is f32, but f64 for operands that are.
	c := format.F32
	for _, v := range o.Args() {
		if v.Type.Format == format.F64 {
			c = format.F64
		}
	}
	in := func(i int) string { return x.widen(a[i], o.Arg(i).Type.Format, c) }
	operand := func(name string) int { return op.AttentionOperand(o.Attrs, name) }
	all := shape.Shape{q[0], q[2], q[1], k[1]}

	// split gives heads as groups of those that read the same keys.
	split := func(s shape.Shape, g shape.Dim) shape.Shape {
		per, _ := s[2].Div(g)
		return shape.Shape{s[0], s[1], g, per, s[3]}
	}
	scores := func(q, k int) string {
		qs, ks := x.arg(q).Shape, x.arg(k).Shape
		y := x.na("Einsum", attrs{"equation", "btghd,bsgd->bghts"}, x.reshape(in(q), split(qs, ks[2])), in(k))
		return x.reshape(y, all)
	}
	s := scores(0, 1)
	if q2 := operand("q2"); q2 >= 0 {
		s = x.n("Add", s, scores(q2, operand("k2")))
	}
	s = x.n("Mul", s, x.num(c, o.Attrs.Float("scale", 1)))
	if cap := o.Attrs.Float("softcap", 0); cap > 0 {
		s = x.n("Mul", x.n("Tanh", x.n("Div", s, x.num(c, cap))), x.num(c, cap))
	}
	hidden := false
	hide := func(visible string) {
		hidden = true
		s = x.n("Where", visible, s, x.num(c, -infinity))
	}
	if m := operand("mask"); m >= 0 {
		if o.Arg(m).Type.Format == format.Bool {
			hide(a[m])
		} else {
			hidden = true
			s = x.n("Add", s, in(m))
		}
	}
	if o.Attrs.Bool("causal", false) {
		last := x.lay(x.count64(q[1]), 0, shape.Shape{q[1], shape.Const(1)})
		if p := operand("pos"); p >= 0 {
			first := x.to(a[p], format.I64)
			if len(x.arg(p).Shape) == 1 {
				first = x.lay(first, 0, all)
			}
			last = x.n("Add", last, first)
		}
		hide(x.n("LessOrEqual", x.count64(k[1]), last))
	}
	if !hidden {
		s = x.na("Softmax", attrs{"axis", -1}, s)
	} else {
		over := x.i64s(3)
		most := x.na("ReduceMax", attrs{"keepdims", 1}, s, over)
		none := x.n("Equal", most, x.num(c, -infinity))
		e := x.n("Exp", x.n("Sub", s, x.n("Where", none, x.num(c, 0), most)))
		sum := x.na("ReduceSum", attrs{"keepdims", 1}, e, over)
		s = x.n("Div", e, x.n("Where", none, x.num(c, 1), sum))
	}
	per, _ := q[2].Div(v[2])
	s = x.reshape(s, shape.Shape{q[0], v[2], per, q[1], k[1]})
	y := x.na("Einsum", attrs{"equation", "bghts,bsge->btghe"}, s, in(2))
	return x.cast(x.reshape(y, x.result(0).Shape), c, o.Result(0).Type.Format, false)
}
