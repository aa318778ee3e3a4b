package onnx

import (
	"fmt"
	"math"

	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "Concat", Since: 1, Lower: lowerConcat, Doc: "The op concat; in the first versions the axis is 1 by default."},
		Row{Op: "Split", Since: 1, Lower: lowerSplit, Doc: "Slices that follow each other along an axis, by their sizes or in equal parts."},
		Row{Op: "Slice", Since: 1, Lower: lowerSliceAttrs, Doc: "The op slice along several axes, by attributes."},
		Row{Op: "Slice", Since: 10, Lower: lowerSlice, Doc: "The op slice along several axes, by operands, with steps; a negative step reverses first."},
	)
}

func lowerConcat(n *node) {
	xs := n.args(0)
	if len(xs) == 0 {
		n.fail("it takes at least one operand")
	}
	def := int64(1)
	if n.version >= 4 {
		n.need("axis")
	}
	axis := n.axis(n.attrInt("axis", def), len(xs[0].Type.Shape))
	n.set(0, n.concat(axis, xs...))
}

// lowerSplit has all versions: sizes as operand 1, or as attribute split, or the number of parts as num_outputs, or by the outputs.
func lowerSplit(n *node) {
	x := n.arg(0)
	axis := n.axis(n.attrInt("axis", 0), len(x.Type.Shape))
	size := x.Type.Shape[axis]
	var parts []shape.Dim
	switch {
	case n.has(1) && n.version < 2:
		for _, d := range n.wholes(1) {
			parts = append(parts, shape.Const(d))
		}
	case n.has(1):
		parts = n.dimsOf(1)
	case n.hasAttr("split"):
		for _, d := range n.attrInts("split") {
			parts = append(parts, shape.Const(d))
		}
	default:
		count := int64(len(n.proto.Output))
		if n.hasAttr("num_outputs") {
			count = n.attrInt("num_outputs", 0)
		}
		if count < 1 || count < int64(len(n.proto.Output)) || count > 1<<16 {
			n.fail("%d parts for %d outputs", count, len(n.proto.Output))
		}
		part, even := size.Div(shape.Const(count))
		if !even {
			part = size.CeilDiv(count) // the last one is smaller
		}
		left := size
		for range count {
			if v, ok := left.Sub(part).Value(); ok && v < 0 {
				part = left
			}
			parts = append(parts, part)
			left = left.Sub(part)
		}
		if !even {
			n.size(size, "the axis that is split in unequal parts")
		}
	}
	if len(parts) < len(n.proto.Output) {
		n.fail("%d parts for %d outputs", len(parts), len(n.proto.Output))
	}
	at := shape.Const(0)
	for i, p := range parts {
		if v, ok := p.Value(); ok && v < 0 {
			n.fail("part %d has size %d", i, v)
		}
		end := at.Add(p)
		if n.wants(i) {
			n.set(i, n.slice(x, axis, at, end, 1))
		}
		at = end
	}
	if !at.Equal(size) {
		if _, ok := at.Sub(size).Value(); !ok {
			n.unequal(at, size, fmt.Sprintf("the parts add up to %s of %s", at, size))
		}
		n.fail("the parts add up to %s of an axis of %s", at, size)
	}
}

func lowerSliceAttrs(n *node) {
	n.need("starts")
	n.need("ends")
	consts := func(v []int64) (out []shape.Dim) {
		for _, x := range v {
			out = append(out, shape.Const(x))
		}
		return out
	}
	n.sliceBy(consts(n.attrInts("starts")), consts(n.attrInts("ends")), n.attrInts("axes"), nil)
}

func lowerSlice(n *node) { n.sliceBy(n.dimsOf(1), n.dimsOf(2), n.optInts(3), n.optInts(4)) }

// sliceBy slices axis by axis. Bounds count from the end when they are negative and are clamped to the axis.
func (n *node) sliceBy(starts, ends []shape.Dim, axes, steps []int64) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if steps == nil {
		for range starts {
			steps = append(steps, 1)
		}
	}
	if len(starts) != len(ends) || len(starts) != len(axes) || len(starts) != len(steps) {
		n.fail("%d starts, %d ends, %d axes and %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	for i, axis := range n.axes(axes, rank) {
		step := steps[i]
		if step == 0 || step == math.MinInt64 {
			n.fail("step %d", step)
		}
		size := x.Type.Shape[axis]
		if step > 0 {
			start := n.bound(starts[i], size, shape.Const(0), size)
			end := n.bound(ends[i], size, shape.Const(0), size)
			x = n.slice(x, axis, start, n.atLeast(end, start), step)
			continue
		}
		// From the end: index k of the reversed axis is size-1-k of x. The specification clamps the first index to the axis, so
		// that one before it means the first element, and the end to one before the axis.
		start := n.bound(starts[i], size, shape.Const(0), size.Sub(shape.Const(1)))
		end := n.bound(ends[i], size, shape.Const(-1), size.Sub(shape.Const(1)))
		if v, ok := size.Value(); ok && v == 0 {
			continue
		}
		last := size.Sub(shape.Const(1))
		from, to := last.Sub(start), last.Sub(end)
		x = n.slice(n.reverse(x, axis), axis, from, n.atLeast(to, from), -step)
	}
	n.set(0, x)
}

// bound brings a bound of a slice into lo…hi, counting from the end where it is negative.
func (n *node) bound(d, size, lo, hi shape.Dim) shape.Dim {
	v, known := d.Value()
	s, fixed := size.Value()
	l, _ := lo.Value()
	switch {
	case known && fixed:
		h, _ := hi.Value()
		if v < 0 {
			v = max(v, -s-1) // so that the sum does not overflow
			v += s
		}
		return shape.Const(min(max(v, l), h))
	case known && v >= 1<<31-1: // to the end, as exporters write it
		return hi
	case known && v >= 0:
		// A symbol is taken to be large enough: the op's verification says so once it has a number.
		return d
	case known && v <= -(1<<31-1):
		return lo
	case known:
		return size.Add(d)
	}
	if diff, ok := d.Sub(size).Value(); ok { // size itself, or some less or more
		if diff >= 0 {
			return hi
		}
		return d
	}
	if natural(d) {
		if k, ok := d.Sub(hi).Value(); ok && k > 0 {
			return hi
		}
		return d
	}
	n.symbolic(d, "a bound of the slice")
	return d
}

// atLeast is a, or b where a is known to be smaller.
func (n *node) atLeast(a, b shape.Dim) shape.Dim {
	if d, ok := a.Sub(b).Value(); ok && d < 0 {
		return b
	}
	return a
}
