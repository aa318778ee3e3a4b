package onnx

import (
	"fmt"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "TopK", Since: 1, Lower: func(n *node) {
			n.need("k")
			n.topK(shape.Const(n.attrInt("k", 0)))
		}, Doc: "The op top_k; the count is an attribute."},
		Row{Op: "TopK", Since: 10, Lower: func(n *node) {
			d := n.dimsOf(1)
			if len(d) != 1 {
				n.fail("K is one number, found %d", len(d))
			}
			n.topK(d[0])
		}, Doc: "The op top_k; the count is an operand."},
		Row{Op: "NonZero", Since: 9, Lower: lowerNonZero, Doc: "The places of elements that are not zero, in order; their number must be known."},
		Row{Op: "Compress", Since: 9, Lower: lowerCompress, Doc: "The op gather at the places where the condition is true; their number must be known."},
		Row{Op: "Unique", Since: 11, Lower: lowerUnique, Doc: "Sorts, and takes what differs from the element before; the number of different ones must be known."},
	)
}

// topK selects along the attribute axis; largest and sorted came with version 11. What is sorted is right where order is free.
func (n *node) topK(k shape.Dim) {
	x := n.arg(0)
	axis := n.axis(n.attrInt("axis", -1), len(x.Type.Shape))
	if v, ok := k.Value(); ok {
		if size, fixed := x.Type.Shape[axis].Value(); v < 0 || fixed && v > size {
			n.fail("k is %d for axis %d of %s", v, axis, x.Type)
		}
	}
	last := len(x.Type.Shape) - 1
	r := n.emit(op.TopK, ir.A("k", k, "largest", n.attrBool("largest", true)), n.moveAxis(x, axis, last))
	n.set(0, n.moveAxis(r[0], last, axis))
	n.set(1, n.cast(n.moveAxis(r[1], last, axis), format.I64))
}

// places gives the indices at which a vector of bools is true, in order, as i32. Their number, which becomes a dimension, must be
// known; what names it where it is not.
func (n *node) places(hit *ir.Value, what string) *ir.Value {
	size := hit.Type.Shape[0]
	count := n.static(n.reduce("sum", n.cast(hit, format.I32), false, 0), what)
	v, err := count.I64s()
	if err != nil {
		n.fail("%s: %s", what, err)
	}
	// The true places keep their number, the others get one behind all: the smallest are those wanted, in order.
	i := n.iota(format.I32, shape.Shape{size}, 0)
	keys := n.sel(hit, i, n.dim(format.I32, size))
	return n.smallest(keys, v[0])
}

// smallest gives the k smallest elements of a vector in order.
func (n *node) smallest(x *ir.Value, k int64) *ir.Value {
	return n.emit(op.TopK, ir.A("k", shape.Const(k), "largest", false), x)[0]
}

func lowerNonZero(n *node) {
	x := n.arg(0)
	s := x.Type.Shape
	hit := n.reshape(x, shape.Shape{s.Numel()})
	if x.Type.Format != format.Bool {
		wide := n.wide(hit)
		hit = n.ne(wide, n.like(wide, 0))
	}
	at := n.places(hit, "the number of elements that are not zero")
	count := at.Type.Shape[0]
	if len(s) == 0 {
		n.set(0, n.full(format.I64, shape.Shape{shape.Const(0), count}, 0))
		return
	}
	// The flat index comes apart from the last axis on.
	rows := make([]*ir.Value, len(s))
	for i := len(s) - 1; i >= 0; i-- {
		size := n.dim(format.I32, s[i])
		rows[i] = n.reshape(n.do(op.Rem, nil, at, size), shape.Shape{shape.Const(1), count})
		at = n.div(at, size)
	}
	n.set(0, n.cast(n.concat(0, rows...), format.I64))
}

func lowerCompress(n *node) {
	x, cond := n.arg(0), n.arg(1)
	axis := 0
	if n.hasAttr("axis") {
		axis = n.axis(n.attrInt("axis", 0), len(x.Type.Shape))
	} else {
		x = n.reshape(x, shape.Shape{x.Type.Shape.Numel()})
	}
	if len(cond.Type.Shape) != 1 || cond.Type.Format != format.Bool {
		n.fail("the condition is a vector of bools, found %s", cond.Type)
	}
	if a, ok := cond.Type.Shape[0].Value(); ok {
		if size, fixed := x.Type.Shape[axis].Value(); fixed && a > size {
			cond = n.cut(cond, 0, 0, size) // what is beyond selects nothing
		}
	}
	n.set(0, n.gather(x, n.places(cond, "the number of true elements of the condition"), axis))
}

// maxUniqueRows bounds the comparison of each slice with each other.
const maxUniqueRows = 1 << 12

func lowerUnique(n *node) {
	x := n.arg(0)
	if !n.hasAttr("axis") {
		flat := n.reshape(x, shape.Shape{x.Type.Shape.Numel()})
		r := n.emit(op.TopK, ir.A("k", flat.Type.Shape[0], "largest", false), n.ordered(flat))
		sorted, order := r[0], r[1]
		size := flat.Type.Shape[0]
		if v, ok := size.Value(); ok && v == 0 {
			n.uniqueOutputs(flat, 0, order, n.full(format.Bool, shape.Shape{size}, 1))
			return
		}
		last := size.Sub(shape.Const(1))
		differ := n.ne(n.slice(sorted, 0, shape.Const(1), size, 1), n.slice(sorted, 0, shape.Const(0), last, 1))
		n.uniqueOutputs(flat, 0, order, n.concat(0, n.reshape(n.boolConst(true), dims(1)), differ))
		return
	}
	axis := n.axis(n.attrInt("axis", 0), len(x.Type.Shape))
	order, first := n.sortedSlices(n.ordered(x), axis)
	n.uniqueOutputs(x, axis, order, first)
}

// ordered gives x in a format that has an order: bools as numbers.
func (n *node) ordered(x *ir.Value) *ir.Value {
	if x.Type.Format == format.Bool {
		return n.cast(x, format.U8)
	}
	return x
}

// sortedSlices orders the slices along an axis by their elements, the first that differs deciding. It gives the order as i32, and of
// the slices in that order which differ from the one before.
func (n *node) sortedSlices(x *ir.Value, axis int) (order, first *ir.Value) {
	rows := n.moveAxis(x, axis, 0)
	s := rows.Type.Shape
	count := n.size(s[0], fmt.Sprintf("axis %d, whose slices are compared,", axis))
	if count > maxUniqueRows {
		failf(CodeLimit, "Unique over %d slices, more than %d", count, maxUniqueRows)
	}
	width := s[1:].Numel()
	rows = n.wide(n.reshape(rows, shape.Shape{s[0], width}))
	if count == 0 || width == (shape.Dim{}) {
		return n.iota(format.I32, shape.Shape{s[0]}, 0), n.eq(n.iota(format.I32, shape.Shape{s[0]}, 0), n.scalar(format.I32, 0))
	}
	// For each pair (i, j) the first element in which they differ, and there who is smaller.
	a, b := n.unsqueeze(rows, 1), n.unsqueeze(rows, 0)
	at := n.unsqueeze(n.do(op.ArgMax, ir.A("axis", 2), n.cast(n.ne(a, b), format.I32)), 2)
	pick := func(v *ir.Value) *ir.Value {
		full := n.broadcast(v, shape.Shape{s[0], s[0], width})
		return n.squeeze(n.do(op.GatherElements, ir.A("axis", 2), full, at), 2)
	}
	x1, x2 := pick(a), pick(b) // [i,j]
	i := n.iota(format.I32, shape.Shape{s[0], shape.Const(1)}, 0)
	j := n.iota(format.I32, shape.Shape{shape.Const(1), s[0]}, 1)
	same := n.eq(x1, x2)
	before := n.or(n.lt(x2, x1), n.and(same, n.lt(j, i))) // j comes before i
	rank := n.reduce("sum", n.cast(before, format.I32), false, 1)
	order = n.inverse(rank)
	// A slice is the first of its kind if none before it in x equals it.
	isFirst := n.not(n.reduce("any", n.and(same, n.lt(j, i)), false, 1))
	return order, n.gather(isFirst, order, 0)
}

// inverse gives for a permutation p, a vector of i32, the one that undoes it.
func (n *node) inverse(p *ir.Value) *ir.Value {
	s := p.Type.Shape
	return n.do(op.ScatterElements, ir.A("axis", 0), n.full(format.I32, s, 0), p, n.iota(format.I32, s, 0))
}

// uniqueOutputs sets the results from the order in which the slices along an axis are sorted, equal ones by their place, and from which
// of them, in that order, begin a new kind.
func (n *node) uniqueOutputs(x *ir.Value, axis int, order, first *ir.Value) {
	size := first.Type.Shape[0]
	begins := n.places(first, "the number of different elements")
	k := begins.Type.Shape[0]
	kind := n.subc(n.do(op.Cumsum, ir.A("axis", 0), n.cast(first, format.I32)), 1) // of each slice, in sorted order
	source := n.gather(order, begins, 0)                                           // where in x each kind stands first
	v, _ := k.Value()
	end := n.dim(format.I32, size)
	counts := begins
	if v > 0 {
		counts = n.sub(n.concat(0, n.cut(begins, 0, 1, v), n.reshape(end, dims(1))), begins)
	}
	inverse := n.do(op.ScatterElements, ir.A("axis", 0), n.full(format.I32, shape.Shape{size}, 0), order, kind)
	if !n.attrBool("sorted", true) {
		by := n.emit(op.TopK, ir.A("k", k, "largest", false), source)
		source, counts = by[0], n.gather(counts, by[1], 0)
		inverse = n.gather(n.inverse(by[1]), inverse, 0)
	}
	n.set(0, n.gather(x, source, axis))
	for i, r := range []*ir.Value{source, inverse, counts} {
		n.set(i+1, n.cast(r, format.I64))
	}
}
