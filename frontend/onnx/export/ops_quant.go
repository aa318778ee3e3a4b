package export

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: op.Dequantize, Doc: "Mul in f32 with the scales, which a Gather repeats along each block.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			y := x.n("Mul", x.f32(a[0], o.Arg(0)), x.spread(x.f32(a[1], o.Arg(1)), x.arg(0).Shape, o.Attrs.Ints("block")))
			return x.cast(y, format.F32, f, false)
		})},
		Row{Op: op.Quantize, Doc: "The largest magnitude of each block gives the scale; Div, Round or Cast, and Clip the codes.", emit: func(x *exporter, o *ir.Op, a []string) []string {
			return x.quantise(x.f32(a[0], o.Arg(0)), x.arg(0).Shape, o.Result(0).Type.Format, o.Attrs.Ints("block"), o.Attrs.Str("scale", "exact"), o.Attrs.Float("floor", 1e-4))
		}},
		Row{Op: op.ScaledMatmul, Doc: "MatMul of both operands times their scales, in f32.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			block := o.Attrs.Ints("block")
			m := x.scaled(x.f32(a[0], o.Arg(0)), x.arg(0).Shape, x.f32(a[2], o.Arg(2)), block[1:])
			w := x.scaled(x.f32(a[1], o.Arg(1)), x.arg(1).Shape, x.f32(a[3], o.Arg(3)), block)
			y := x.n("MatMul", m, x.na("Transpose", attrs{"perm", []int64{1, 0}}, w))
			return x.cast(y, format.F32, o.Result(0).Type.Format, false)
		})},
		Row{Op: op.GroupedMatmul, Doc: "A Loop over the groups: MatMul with the group's matrix, kept for the group's rows.", emit: one1((*exporter).grouped)},
	)
}

// f32 is the value of an operand in f32.
func (x *exporter) f32(v string, of *ir.Value) string {
	f := of.Type.Format
	if wide64(f) {
		v = x.to(v, format.U64)
	} else if carrier(f) == format.F32 {
		return v
	}
	return x.to(v, format.F32)
}

// scaled is codes times the scales of their blocks.
func (x *exporter) scaled(v string, s shape.Shape, scale string, block []int64) string {
	return x.n("Mul", v, x.spread(scale, s, block))
}

// spread repeats scales for the elements of their blocks along the last axes of a shape.
func (x *exporter) spread(scale string, s shape.Shape, block []int64) string {
	for i, b := range block {
		ax := len(s) - len(block) + i
		if n, ok := s[ax].CeilDiv(b).Value(); b == 1 || ok && n == 1 {
			continue // one each, or one for all, which broadcasts
		}
		scale = x.na("Gather", attrs{"axis", ax}, scale, x.n("Div", x.count64(s[ax]), x.i64s(b)))
	}
	return scale
}

// quantise gives the codes of floats in f32, in the carrier of their format, and the scales of their blocks, of the kind that the op names.
func (x *exporter) quantise(v string, s shape.Shape, f format.Format, block []int64, kind string, floor float64) []string {
	first := len(s) - len(block)
	most := x.n("Abs", v)
	var axes []int64
	split := append(shape.Shape(nil), s[:first]...)
	even := true
	for i, b := range block {
		n := s[first+i].CeilDiv(b)
		even = even && n.Mul(shape.Const(b)) == s[first+i]
		if b > 1 {
			axes = append(axes, int64(len(split)+1))
			split = append(split, n, shape.Const(b))
		} else {
			split = append(split, n)
		}
	}
	if even {
		most = x.reshape(most, split)
	} else { // the last block of an axis takes its last element as often as one is missing
		at := first
		for i, b := range block {
			if b > 1 {
				pair := shape.Shape{s[first+i].CeilDiv(b), shape.Const(b)}
				index := x.n("Add", x.n("Mul", x.lay(x.count64(pair[0]), 0, pair), x.i64s(b)), x.count64(pair[1]))
				index = x.n("Min", index, x.n("Sub", x.dim0(s[first+i]), x.ints(format.I64, nil, 1)))
				most = x.na("Gather", attrs{"axis", at}, most, index)
				at++
			}
			at++
		}
	}
	if len(axes) > 0 {
		most = x.na("ReduceMax", attrs{"keepdims", 0}, most, x.i64s(axes...))
	}
	most = x.n("Max", most, x.num(format.F32, floor))
	scale := most
	power := func(bits string) string {
		return x.bitcast(x.n("BitwiseAnd", bits, x.ints(format.I32, nil, 0x7F800000)), format.I32, format.F32)
	}
	if kind != "mx" {
		scale = x.n("Div", most, x.num(format.F32, f.LargestCode()))
	}
	switch kind {
	case "mx":
		scale = x.n("Mul", power(x.bitcast(scale, format.F32, format.I32)), x.num(format.F32, float64(format.MXScale(f, 1))))
	case "ue8m0":
		scale = power(x.n("Add", x.n("Min", x.bitcast(scale, format.F32, format.I32), x.ints(format.I32, nil, 0x7F800000)), x.ints(format.I32, nil, 0x7FFFFF)))
	}
	q := x.n("Div", v, x.spread(scale, s, block))
	if f.IsInt() {
		return []string{x.truncate(x.n("Round", q), format.F32, f), scale}
	}
	return []string{x.round(q, f, true), scale}
}

// grouped multiplies rows with the matrices of their groups. Every round computes all rows and keeps those of its group: the shapes
// do not depend on the data.
func (x *exporter) grouped(o *ir.Op, a []string) string {
	f := o.Result(0).Type.Format
	c := carrier(f)
	block := o.Attrs.Ints("block")
	t := x.result(0).Shape
	w := x.arg(1).Shape
	m := a[0]
	with := len(a) > 3
	if with {
		m, c = x.scaled(x.f32(m, o.Arg(0)), x.arg(0).Shape, x.f32(a[3], o.Arg(3)), block[1:]), format.F32
	} else {
		for i := range 2 {
			if o.Arg(i).Type.Format == format.F64 {
				c = format.F64
			}
		}
		m = x.widen(m, o.Arg(0).Type.Format, c)
	}
	rows := x.lay(x.to(x.count64(t[0]), format.I32), 0, t)
	start := x.n("Expand", x.num(c, 0), x.dims(t))
	y := x.loop(x.dim0(w[0]), "", []ir.Type{{Format: c, Shape: t}}, []string{start}, func(i string, in []string) (string, []string) {
		of := func(v string) string { return x.na("Gather", attrs{"axis", 0}, v, i) }
		mat := of(a[1])
		if with {
			mat = x.scaled(x.f32(mat, o.Arg(1)), w[1:], of(x.f32(a[4], o.Arg(4))), block)
		} else {
			mat = x.widen(mat, o.Arg(1).Type.Format, c)
		}
		after := x.na("Gather", attrs{"axis", 0}, a[2], x.n("Add", i, x.ints(format.I64, nil, 1)))
		mine := x.n("And", x.n("GreaterOrEqual", rows, of(a[2])), x.n("Less", rows, after))
		return "", []string{x.n("Where", mine, x.n("MatMul", m, x.na("Transpose", attrs{"perm", []int64{1, 0}}, mat)), in[0])}
	})[0]
	return x.cast(y, c, f, false)
}
