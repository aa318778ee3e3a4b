package onnx

import (
	"fmt"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

// maxPad bounds the axes that are padded by index.
const maxPad = 1 << 24

func init() {
	register(
		Row{Op: "Pad", Since: 1, Lower: func(n *node) { n.need("paddings"); n.padByAttrs("paddings") }, Doc: "The op pad, or a gather by mirrored, clamped or wrapped indices."},
		Row{Op: "Pad", Since: 2, Lower: func(n *node) { n.need("pads"); n.padByAttrs("pads") }, Doc: "As before, the attribute having another name."},
		Row{Op: "Pad", Since: 11, Lower: lowerPad, Doc: "As before, by operands."},
		Row{Op: "CenterCropPad", Since: 18, Lower: lowerCenterCropPad, Doc: "Crops or pads with zeros, the middle staying in the middle."},
	)
}

func (n *node) padByAttrs(name string) {
	x := n.arg(0)
	n.padAxes(n.attrInts(name), nil, n.scalar(x.Type.Format, n.attrFloat("value", 0)))
}

func lowerPad(n *node) {
	x := n.arg(0)
	value := n.opt(2)
	if value == nil {
		value = n.zero(x.Type.Format)
	}
	n.padAxes(n.ints(1), n.optInts(3), n.reshape(value, shape.Shape{}))
}

// zero is 0, or false.
func (n *node) zero(f format.Format) *ir.Value {
	if f == format.Bool {
		return n.boolConst(false)
	}
	return n.scalar(f, 0)
}

// padAxes pads by widths: those before each axis, then those behind.
func (n *node) padAxes(pads, list []int64, value *ir.Value) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if list != nil {
		axes = n.axes(list, rank)
	}
	if len(pads) != 2*len(axes) {
		n.fail("%d widths for %d axes", len(pads), len(axes))
	}
	low, high := make([]int64, rank), make([]int64, rank)
	for i, a := range axes {
		low[a], high[a] = pads[i], pads[i+len(axes)]
	}
	for i := range rank {
		for _, w := range []int64{low[i], high[i]} {
			if w < -1<<40 || w > 1<<40 {
				n.fail("a width of %d", w)
			}
		}
		if size, ok := x.Type.Shape[i].Value(); ok && size+min(low[i], 0)+min(high[i], 0) < 0 {
			n.fail("widths %d and %d crop more than the %d elements of axis %d", low[i], high[i], size, i)
		}
	}
	mode := n.attrStr("mode", "constant", "constant", "reflect", "edge", "wrap")
	if mode == "constant" {
		n.set(0, n.pad(x, low, high, value))
		return
	}
	for a := range rank {
		x = n.padByIndex(x, a, low[a], high[a], mode)
	}
	n.set(0, x)
}

// padByIndex pads one axis with elements of its own.
func (n *node) padByIndex(x *ir.Value, a int, low, high int64, mode string) *ir.Value {
	// What is removed goes first: the rest pads itself.
	start, limit := shape.Const(max(-low, 0)), x.Type.Shape[a].Add(shape.Const(min(high, 0)))
	x, low, high = n.slice(x, a, start, limit, 1), max(low, 0), max(high, 0)
	if low == 0 && high == 0 {
		return x
	}
	d := x.Type.Shape[a]
	if mode == "edge" {
		return n.padEdge(x, a, low, high)
	}
	if !d.IsConst() {
		return n.padBySlices(x, a, low, high, mode)
	}
	size := n.size(d, fmt.Sprintf("axis %d, which is padded with its own elements,", a))
	if low+high+size > maxPad {
		failf(CodeLimit, "axis %d is padded to %d elements, more than %d", a, low+high+size, maxPad)
	}
	if size == 0 {
		n.fail("axis %d has no elements to pad with", a)
	}
	idx := make([]int64, 0, low+high+size)
	for i := -low; i < size+high; i++ {
		k := i
		switch {
		case mode == "wrap":
			k = ((i % size) + size) % size
		case size == 1:
			k = 0
		default: // reflect, the ends not repeated
			period := 2 * (size - 1)
			if k = ((i % period) + period) % period; k >= size {
				k = period - k
			}
		}
		idx = append(idx, k)
	}
	return n.gather(x, n.intsConst(format.I64, idx...), a)
}

// padBySlices pads one axis of a size that is not known yet, which is taken to be larger than the padding.
func (n *node) padBySlices(x *ir.Value, a int, low, high int64, mode string) *ir.Value {
	size := x.Type.Shape[a]
	parts := []*ir.Value{x}
	end := func(start, limit shape.Dim) *ir.Value {
		s := n.slice(x, a, start, limit, 1)
		if mode == "reflect" {
			s = n.reverse(s, a)
		}
		return s
	}
	skip := shape.Const(0) // elements at the ends that are not repeated
	if mode == "reflect" {
		skip = shape.Const(1)
	}
	l, h := shape.Const(low), shape.Const(high)
	before, behind := [2]shape.Dim{skip, skip.Add(l)}, [2]shape.Dim{size.Sub(skip).Sub(h), size.Sub(skip)}
	if mode == "wrap" {
		before, behind = [2]shape.Dim{size.Sub(l), size}, [2]shape.Dim{skip, h}
	}
	if low > 0 {
		parts = append([]*ir.Value{end(before[0], before[1])}, parts...)
	}
	if high > 0 {
		parts = append(parts, end(behind[0], behind[1]))
	}
	return n.concat(a, parts...)
}

// padEdge repeats the first and the last element.
func (n *node) padEdge(x *ir.Value, a int, low, high int64) *ir.Value {
	size := x.Type.Shape[a]
	parts := []*ir.Value{x}
	end := func(at shape.Dim, width int64) *ir.Value {
		one := n.slice(x, a, at, at.Add(shape.Const(1)), 1)
		s := append(shape.Shape{}, one.Type.Shape...)
		s[a] = shape.Const(width)
		return n.broadcast(one, s)
	}
	if low > 0 {
		parts = append([]*ir.Value{end(shape.Const(0), low)}, parts...)
	}
	if high > 0 {
		parts = append(parts, end(size.Sub(shape.Const(1)), high))
	}
	return n.concat(a, parts...)
}

func lowerCenterCropPad(n *node) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if list := n.attrInts("axes"); list != nil {
		axes = n.axes(list, rank)
	}
	want := n.ints(1)
	if len(want) != len(axes) {
		n.fail("%d sizes for %d axes", len(want), len(axes))
	}
	low, high := make([]int64, rank), make([]int64, rank)
	for i, a := range axes {
		size := n.size(x.Type.Shape[a], fmt.Sprintf("axis %d, which is cropped or padded,", a))
		if want[i] < 0 || want[i] > 1<<40 {
			n.fail("a size of %d", want[i])
		}
		if more := want[i] - size; more >= 0 {
			low[a], high[a] = more/2, more-more/2
		} else {
			less := -more
			low[a], high[a] = -(less / 2), -(less - less/2)
		}
	}
	n.set(0, n.pad(x, low, high, n.zero(x.Type.Format)))
}
