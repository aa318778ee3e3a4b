package conform

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// large are compositions whose rows, columns or lists are longer than a core's memory, or numerous.
var large = []pattern{
	{name: "long rows of i64", build: func(b *builder) {
		x := b.x(format.I64, 3, 40001)
		b.op(op.Reduce, ir.A("kind", "sum", "axes", []int64{1}), x)
		b.op(op.ArgMax, ir.A("axis", 1), x)
		b.op(op.Cumsum, ir.A("axis", 1, "reverse", true), x)
		b.op(op.Transpose, ir.A("perm", []int64{1, 0}), x)
	}},
	{name: "long rows of f64", build: func(b *builder) {
		x := b.x(format.F64, 2, 50001)
		b.op(op.Reduce, ir.A("kind", "mean", "axes", []int64{0, 1}), x)
		b.op(op.TopK, ir.A("k", shape.Const(5)), x)
		b.op(op.Cumsum, ir.A("axis", 1, "kind", "max"), x)
	}},
	{name: "bytes by columns", build: func(b *builder) {
		x := b.x(format.U8, 701, 333)
		b.op(op.Transpose, ir.A("perm", []int64{1, 0}), x)
		b.op(op.Reduce, ir.A("kind", "max", "axes", []int64{0}), x)
		b.op(op.Concat, ir.A("axis", 1), x, x, x)
		b.op(op.Window, ir.A("axis", 0, "size", 5, "stride", 7), x)
		b.op(op.Reverse, ir.A("axes", []int64{0, 1}), x)
	}},
	{name: "many operands", build: func(b *builder) {
		var xs []*ir.Value
		for i := range int64(120) {
			xs = append(xs, b.x(format.F32, 1+i%3, 5))
		}
		b.op(op.Concat, ir.A("axis", 0), xs...)
	}},
	{name: "eight axes", build: func(b *builder) {
		x := b.x(format.F32, 3, 2, 5, 2, 3, 4, 2, 7)
		y := b.Op(op.Transpose, ir.A("perm", []int64{7, 2, 5, 0, 3, 6, 1, 4}), x)
		b.out(y)
		b.op(op.Reduce, ir.A("kind", "sum", "axes", []int64{1, 3, 6}), y)
		b.op(op.Add, nil, y, b.x(format.F32, 3, 1, 2, 2, 1))
		b.op(op.Cumsum, ir.A("axis", 3), x)
		b.op(op.ArgMax, ir.A("axis", 2), x)
	}},
	{name: "long lists of places", build: func(b *builder) {
		x := b.x(format.F32, 2000, 9)
		b.op(op.Gather, ir.A("axis", 0), x, b.input(anyIndex, 2000, format.I64, 1501))
		b.op(op.Gather, ir.A("axis", 1), x, b.input(anyIndex, 9, format.I32, 3))
		b.op(op.ScatterElements, ir.A("axis", 0, "reduce", "max"), x, b.input(anyIndex, 2000, format.I32, 1200, 9), b.x(format.F32, 1200, 9))
		b.op(op.GatherElements, ir.A("axis", 0), x, b.input(anyIndex, 2000, format.I64, 1200, 9))
	}},
	{name: "a broad chain", build: func(b *builder) {
		x, y, z := b.x(format.F32, 300, 1, 40), b.x(format.F32, 1, 50, 1), b.x(format.F32, 40)
		s := b.Op(op.Mul, nil, b.Op(op.Add, nil, x, y), z)
		m := b.Op(op.Reduce, ir.A("kind", "max", "axes", []int64{0}, "keep", true), s)
		b.op(op.Sub, nil, s, m)
	}},
	{name: "half bytes", build: func(b *builder) {
		x := b.x(format.I4, 301, 206)
		b.op(op.Add, nil, x, x)
		b.op(op.Transpose, ir.A("perm", []int64{1, 0}), b.x(format.U4, 300, 202))
	}},
}
