package codegen

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
)

// sink is a place for a value's elements: a strided part of the buffer of a result. A result that is only moved together from others, by
// concat, pad, transpose, reshape and the like, is cut into sinks for what it is moved together from, so that no tile of it
// is ever put together on chip.
type sink struct {
	v      *ir.Value // whose elements; nil for a box of one number
	fill   *ir.Value // the number, when v is nil
	size   []int64   // of v, or of the box
	result int
	offset int64   // elements from the start of the result
	stride []int64 // elements, one an axis of size
	// An update moves the sink by its start, along the axis whose elements are step apart. Where there is one start for each index of
	// axis 0, the sink's axis 0 is that axis.
	update *ir.Op
	step   int64
	last   int64 // the largest start
}

// perRow reports whether each index of axis 0 has a start of its own.
func (s *sink) perRow() bool { return s.update != nil && numel(shapeOf(s.update.Arg(2))) > 1 }

// sinks cuts result i of a job into sinks. An update that is not done in place first needs all of what it updates in the result:
// those sinks come first, as before.
func (j *job) sinks(i int) (before, out []sink) {
	r := j.results[i]
	shape := shapeOf(r)
	if !r.DefIs(op.Update) {
		return nil, split(sink{v: r, size: shape, result: i, stride: view.Strides(shape)}, nil)
	}
	o := r.Def()
	if j.inPlace[i] < 0 {
		before = split(sink{v: o.Arg(0), size: shape, result: i, stride: view.Strides(shape)}, nil)
	}
	ax := axisOf(o.Attrs.Int("axis", 0), len(shape))
	y := o.Arg(1)
	s := sink{v: y, size: shapeOf(y), result: i, stride: view.Strides(shape), update: o}
	s.step, s.last = s.stride[ax], shape[ax]-s.size[ax]
	return before, split(s, nil)
}

// split follows a sink's value back through ops that only move elements.
func split(s sink, out []sink) []sink {
	if numel(s.size) == 0 {
		return out
	}
	if s.v == nil || isLeaf(s.v) || s.v.Def() == nil {
		return append(out, s)
	}
	o := s.v.Def()
	to := func(v *ir.Value, offset int64, stride []int64) sink {
		t := s
		t.v, t.size, t.offset, t.stride = v, shapeOf(v), offset, stride
		return t
	}
	keepsFirst := true // axis 0 stays axis 0
	switch o.Info {
	case op.Cast:
		if x := o.Arg(0); x.Type.Format == s.v.Type.Format && !o.Attrs.Bool("saturate", false) {
			return split(to(x, s.offset, s.stride), out)
		}
	case op.Transpose:
		stride := make([]int64, len(s.size))
		for i, a := range o.Attrs.Ints("perm") {
			stride[a] = s.stride[i]
			keepsFirst = keepsFirst && (i != 0 || a == 0)
		}
		if s.perRow() && !keepsFirst {
			break
		}
		return split(to(o.Arg(0), s.offset, stride), out)
	case op.Reverse:
		off, stride := s.offset, append([]int64(nil), s.stride...)
		for _, a := range o.Attrs.Ints("axes") {
			i := axisOf(a, len(s.size))
			off += (s.size[i] - 1) * stride[i]
			stride[i] = -stride[i]
			keepsFirst = keepsFirst && i != 0
		}
		if s.perRow() && !keepsFirst {
			break
		}
		return split(to(o.Arg(0), off, stride), out)
	case op.Reshape:
		x := shapeOf(o.Arg(0))
		w, ok := view.View{Offset: s.offset, Size: s.size, Stride: s.stride}.Reshape(x)
		if !ok || s.perRow() && (len(x) == 0 || x[0] != s.size[0]) {
			break
		}
		return split(to(o.Arg(0), w.Offset, w.Stride), out)
	case op.Concat:
		ax := axisOf(o.Attrs.Int("axis", 0), len(s.size))
		if s.perRow() && ax == 0 {
			break
		}
		at := s.offset
		for _, a := range o.Args() {
			out = split(to(a, at, s.stride), out)
			at += shapeOf(a)[ax] * s.stride[ax]
		}
		return out
	case op.Pad:
		lo, hi, x := o.Attrs.Ints("low"), o.Attrs.Ints("high"), o.Arg(0)
		if s.perRow() && lo[0]+hi[0] > 0 {
			break
		}
		off := s.offset
		size := append([]int64(nil), s.size...) // of what is left to be cut
		box := func(ax int, start, n int64) {
			if n == 0 {
				return
			}
			b := s
			b.v, b.fill = nil, o.Arg(1)
			b.size, b.stride = append([]int64(nil), size...), s.stride
			b.size[ax] = n
			b.offset = off + start*s.stride[ax]
			out = split(b, out)
		}
		for ax := range lo {
			box(ax, 0, lo[ax])
			box(ax, size[ax]-hi[ax], hi[ax])
			off += lo[ax] * s.stride[ax]
			size[ax] -= lo[ax] + hi[ax]
		}
		return split(to(x, off, s.stride), out)
	}
	return append(out, s)
}
