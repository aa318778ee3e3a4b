package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "Gather", Since: 1, Lower: lowerGather, Doc: "The op gather."},
		Row{Op: "GatherElements", Since: 11, Lower: lowerGatherElements, Doc: "The op gather_elements."},
		Row{Op: "GatherND", Since: 11, Lower: lowerGatherND, Doc: "The op gather on flattened axes, by flattened indices."},
		Row{Op: "Scatter", Since: 9, Lower: lowerScatterElements, Doc: "The op scatter_elements."},
		Row{Op: "ScatterElements", Since: 11, Lower: lowerScatterElements, Doc: "The op scatter_elements."},
		Row{Op: "ScatterND", Since: 11, Lower: lowerScatterND, Doc: "The op scatter_elements on flattened axes, by flattened indices."},
		Row{Op: "ReverseSequence", Since: 10, Lower: lowerReverseSequence, Doc: "The op gather_elements by the mirrored index within each sequence's length."},
	)
}

// index brings indices into i32, which no axis is too long for.
func (n *node) index(v *ir.Value) *ir.Value {
	if f := v.Type.Format; f != format.I32 && f != format.I64 {
		n.fail("indices are int32 or int64, found %s", v.Type)
	}
	return n.cast(v, format.I32)
}

func lowerGather(n *node) {
	x := n.arg(0)
	n.set(0, n.gather(x, n.index(n.arg(1)), n.axis(n.attrInt("axis", 0), len(x.Type.Shape))))
}

// within cuts x down to the sizes of an index tensor along all axes but one.
func (n *node) within(x *ir.Value, s shape.Shape, axis int) *ir.Value {
	if len(s) != len(x.Type.Shape) {
		n.fail("indices have the rank of the data, found [%s] for %s", s, x.Type)
	}
	for i := range s {
		if i != axis && !s[i].Equal(x.Type.Shape[i]) {
			x = n.slice(x, i, shape.Const(0), s[i], 1)
		}
	}
	return x
}

func lowerGatherElements(n *node) {
	x, idx := n.arg(0), n.index(n.arg(1))
	axis := n.axis(n.attrInt("axis", 0), len(x.Type.Shape))
	n.set(0, n.do(op.GatherElements, ir.A("axis", axis), n.within(x, idx.Type.Shape, axis), idx))
}

// flatIndex brings indices [P…, k] into the first k axes of a tensor into one: [P…]. Negative ones count from the end.
func (n *node) flatIndex(idx *ir.Value, s shape.Shape) *ir.Value {
	last := len(idx.Type.Shape) - 1
	var flat *ir.Value
	for i, d := range s {
		k := n.squeeze(n.cut(idx, last, int64(i), int64(i)+1), last)
		size := n.dim(k.Type.Format, d)
		k = n.sel(n.lt(k, n.like(k, 0)), n.add(k, size), k)
		if flat != nil {
			k = n.add(n.mul(flat, size), k)
		}
		flat = k
	}
	if flat == nil {
		return n.full(idx.Type.Format, idx.Type.Shape[:last], 0)
	}
	return flat
}

func lowerGatherND(n *node) {
	x, idx := n.arg(0), n.index(n.arg(1))
	batch := n.attrInt("batch_dims", 0)
	rx, ri := len(x.Type.Shape), len(idx.Type.Shape)
	if ri < 1 || batch < 0 || batch >= int64(ri) || batch >= int64(rx) {
		n.fail("batch_dims %d does not fit %s and %s", batch, x.Type, idx.Type)
	}
	b := int(batch)
	for i := range b {
		if !x.Type.Shape[i].Equal(idx.Type.Shape[i]) {
			n.fail("axis %d differs between %s and %s", i, x.Type, idx.Type)
		}
	}
	k := int(n.size(idx.Type.Shape[ri-1], "the last axis of the indices"))
	if k < 1 || b+k > rx {
		n.fail("indices of %d axes, of a tensor %s with batch_dims %d", k, x.Type, b)
	}
	picked, rest := x.Type.Shape[b:b+k], x.Type.Shape[b+k:]
	flat := n.flatIndex(idx, picked)
	if b > 0 { // the batch's elements follow each other in the flattened axis
		lead := flat.Type.Shape[:b]
		at := append(append(shape.Shape{}, lead.Numel()), ones(len(flat.Type.Shape)-b)...)
		offset := n.mul(n.iota(flat.Type.Format, at, 0), n.dim(flat.Type.Format, picked.Numel()))
		merged := append(shape.Shape{lead.Numel()}, flat.Type.Shape[b:]...)
		flat = n.reshape(n.add(n.reshape(flat, merged), offset), flat.Type.Shape)
	}
	rows := append(shape.Shape{x.Type.Shape[:b+k].Numel()}, rest...)
	n.set(0, n.gather(n.reshape(x, rows), flat, 0))
}

// ones is a shape of so many axes of size 1.
func ones(n int) shape.Shape {
	s := make(shape.Shape, n)
	for i := range s {
		s[i] = shape.Const(1)
	}
	return s
}

// scatterKind is the op's word for the attribute reduction.
func (n *node) scatterKind() string {
	return n.attrStr("reduction", "none", "none", "add", "mul", "max", "min")
}

// scatter writes updates at indices along an axis; later updates win, or are combined.
func (n *node) scatter(x, idx, updates *ir.Value, axis int, kind string) *ir.Value {
	if x.Type.Format == format.Bool && kind != "none" { // as numbers: what is not zero is true
		u8 := func(v *ir.Value) *ir.Value { return n.cast(v, format.U8) }
		if kind == "add" {
			kind = "max"
		}
		return n.cast(n.scatter(u8(x), idx, u8(updates), axis, kind), format.Bool)
	}
	return n.do(op.ScatterElements, ir.A("axis", axis, "reduce", kind), x, idx, updates)
}

func lowerScatterElements(n *node) {
	x, idx, updates := n.arg(0), n.index(n.arg(1)), n.arg(2)
	s, at := x.Type.Shape, idx.Type.Shape
	axis := n.axis(n.attrInt("axis", 0), len(s))
	if len(at) != len(s) || !updates.Type.Shape.Equal(at) {
		n.fail("data, indices and updates have one rank, indices and updates one shape: found %s, %s and %s", x.Type, idx.Type, updates.Type)
	}
	kind := n.scatterKind()
	same := true
	for i := range s {
		same = same && (i == axis || s[i].Equal(at[i]))
	}
	if same {
		n.set(0, n.scatter(x, idx, updates, axis, kind))
		return
	}
	// Fewer indices than the data has rows: everything is flattened.
	f := idx.Type.Format
	size := n.dim(f, s[axis])
	idx = n.sel(n.lt(idx, n.like(idx, 0)), n.add(idx, size), idx)
	var flat *ir.Value
	for i := range s {
		k := idx
		if i != axis {
			one := ones(len(s))
			one[i] = at[i]
			k = n.iota(f, one, i)
		}
		if flat != nil {
			k = n.add(n.mul(flat, n.dim(f, s[i])), k)
		}
		flat = k
	}
	flat = n.reshape(n.broadcast(flat, at), shape.Shape{at.Numel()})
	out := n.scatter(n.reshape(x, shape.Shape{s.Numel()}), flat, n.reshape(updates, shape.Shape{at.Numel()}), 0, kind)
	n.set(0, n.reshape(out, s))
}

func lowerScatterND(n *node) {
	x, idx, updates := n.arg(0), n.index(n.arg(1)), n.arg(2)
	s, ri := x.Type.Shape, len(idx.Type.Shape)
	if ri < 1 {
		n.fail("indices have at least one axis")
	}
	k := int(n.size(idx.Type.Shape[ri-1], "the last axis of the indices"))
	if k < 0 || k > len(s) {
		n.fail("indices of %d axes, of a tensor %s", k, x.Type)
	}
	want := append(append(shape.Shape{}, idx.Type.Shape[:ri-1]...), s[k:]...)
	if !updates.Type.Shape.Equal(want) {
		n.fail("updates are [%s], found %s", want, updates.Type)
	}
	rows, width, count := s[:k].Numel(), s[k:].Numel(), idx.Type.Shape[:ri-1].Numel()
	flat := n.reshape(n.flatIndex(idx, s[:k]), shape.Shape{count, shape.Const(1)})
	flat = n.broadcast(flat, shape.Shape{count, width})
	out := n.scatter(n.reshape(x, shape.Shape{rows, width}), flat, n.reshape(updates, shape.Shape{count, width}), 0, n.scatterKind())
	n.set(0, n.reshape(out, s))
}

func lowerReverseSequence(n *node) {
	x, lens := n.arg(0), n.arg(1)
	rank := len(x.Type.Shape)
	batch, time := n.axis(n.attrInt("batch_axis", 1), rank), n.axis(n.attrInt("time_axis", 0), rank)
	if batch == time {
		n.fail("batch_axis and time_axis are both %d", batch)
	}
	if len(lens.Type.Shape) != 1 || !lens.Type.Shape[0].Equal(x.Type.Shape[batch]) {
		n.fail("sequence_lens %s does not fit axis %d of %s", lens.Type, batch, x.Type)
	}
	n.set(0, n.do(op.GatherElements, ir.A("axis", time), x, n.mirrored(x.Type.Shape, lens, batch, time)))
}

// mirrored is for each element of a shape the index along time that it is taken from when the first lens[batch] are reversed.
func (n *node) mirrored(s shape.Shape, lens *ir.Value, batch, time int) *ir.Value {
	f := format.I32
	at := ones(len(s))
	at[time] = s[time]
	t := n.iota(f, at, time)
	at = ones(len(s))
	at[batch] = s[batch]
	l := n.reshape(n.index(lens), at)
	return n.broadcast(n.sel(n.lt(t, l), n.sub(n.subc(l, 1), t), t), s)
}
