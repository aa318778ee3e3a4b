package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// maxUnroll is how many rounds of a loop of the importer's own are written out rather than looped over.
const maxUnroll = 4

// rounds runs a body once for each of n rounds, carrying values from round to round: body gets the round's number, an i64 scalar, and the
// carried values, and gives the next ones, of the same types. Values from outside may be used freely.
func (b *builder) rounds(n shape.Dim, carried []*ir.Value, body func(i *ir.Value, carried []*ir.Value) []*ir.Value) []*ir.Value {
	if k, ok := n.Value(); ok && k <= maxUnroll {
		for i := range k {
			t, _ := tensor.FromI64(format.I64, nil, []int64{i})
			carried = body(b.literal(t), carried)
		}
		return carried
	}
	trip := b.dim(format.I64, n)
	return b.loop(trip, b.boolConst(true), &n, carried, func(i *ir.Value, carried []*ir.Value) (*ir.Value, []*ir.Value) {
		next := body(i, carried)
		return b.boolConst(true), next
	})
}

// loop adds a loop of at most limit rounds; nil is no limit. The body says whether to go on.
func (b *builder) loop(trip, cond *ir.Value, limit *shape.Dim, carried []*ir.Value, body func(i *ir.Value, carried []*ir.Value) (*ir.Value, []*ir.Value)) []*ir.Value {
	b.room()
	var attrs op.Attrs
	if limit != nil {
		attrs = ir.A("limit", *limit)
	}
	out := b.b.Loop(trip, cond, attrs, carried, func(in *ir.Builder, i *ir.Value, carried []*ir.Value) (*ir.Value, []*ir.Value) {
		outer := b.b
		defer func() { b.b = outer }()
		b.b = *in
		again, next := body(i, carried)
		*in = b.b
		return again, next
	})
	b.built()
	return out
}

// branch adds an if.
func (b *builder) branch(cond *ir.Value, then, otherwise func() []*ir.Value) []*ir.Value {
	b.room()
	inside := func(fill func() []*ir.Value) func(in *ir.Builder) []*ir.Value {
		return func(in *ir.Builder) []*ir.Value {
			outer := b.b
			defer func() { b.b = outer }()
			b.b = *in
			out := fill()
			*in = b.b
			return out
		}
	}
	out := b.b.If(cond, inside(then), inside(otherwise))
	b.built()
	return out
}

// built reports what the builder refused.
func (b *builder) built() {
	if err := b.b.Err; err != nil {
		b.b.Err = nil
		failf(CodeNode, "%s", err.Error())
	}
}

// at takes slice i, an integer scalar, along an axis, which is dropped.
func (b *builder) at(x, i *ir.Value, axis int) *ir.Value { return b.gather(x, i, axis) }

// put writes y at index i, an integer scalar, along an axis that y lacks.
func (b *builder) put(x, y, i *ir.Value, axis int) *ir.Value {
	return b.do(op.Update, ir.A("axis", axis), x, b.unsqueeze(y, axis), b.cast(i, format.I32))
}
