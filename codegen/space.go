package codegen

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
)

// space is how the ops of a map kernel share one iteration: the leading axes that every op treats row by row.
//
// Axis i of value v stands at coordinate i+lead[v] of the iteration. Coordinates below len(outer) are outer: a tile takes a part of
// them, and an op may only broadcast along them. The axes behind are inner: a tile has them whole.
type space struct {
	outer  []int64
	lead   map[*ir.Value]int
	placed []*ir.Value // the values that have a lead, in the order they were met
}

// isLeaf reports whether tiles of the value come from a buffer: it is a parameter of the region, or strides over one.
func isLeaf(v *ir.Value) bool {
	w, ok := view.Of(v)
	return ok && w.Source.Def() == nil
}

// findSpace finds the iteration with the most outer axes for which all ops that the values need are row by row. Values in fixed are
// taken as given (their producers are not looked into).
func findSpace(results []*ir.Value, fixed map[*ir.Value]bool) *space {
	most := 0
	for _, r := range results {
		most = max(most, len(r.Type.Shape))
	}
	for p := most; p >= 0; p-- {
		if s := trySpace(results, fixed, p); s != nil {
			return s
		}
	}
	return nil
}

func trySpace(results []*ir.Value, fixed map[*ir.Value]bool, p int) *space {
	s := &space{outer: make([]int64, p), lead: map[*ir.Value]int{}}
	for i := range s.outer {
		s.outer[i] = -1
	}
	for _, r := range results {
		if !s.place(r, 0, fixed) {
			return nil
		}
	}
	for i := range s.outer {
		if s.outer[i] < 0 {
			s.outer[i] = 1
		}
	}
	// Every result must cover the outer axes fully: a tile is stored once.
	for _, r := range results {
		shape := shapeOf(r)
		for c := range s.outer {
			if n := at(shape, c); n != s.outer[c] {
				return nil
			}
		}
	}
	return s
}

func at(shape []int64, i int) int64 {
	if i < 0 || i >= len(shape) {
		return 1
	}
	return shape[i]
}

// place records where a value's axes stand and does the same for what it is computed from; false if some op is not row by row.
func (s *space) place(v *ir.Value, lead int, fixed map[*ir.Value]bool) bool {
	p := len(s.outer)
	shape := shapeOf(v)
	if old, ok := s.lead[v]; ok {
		return old == lead || !s.touches(shape, old) && !s.touches(shape, lead)
	}
	s.lead[v] = lead
	s.placed = append(s.placed, v)
	for i, n := range shape {
		c := i + lead
		if c < 0 {
			return false
		}
		if c >= p || n == 1 {
			continue
		}
		if s.outer[c] < 0 {
			s.outer[c] = n
		} else if s.outer[c] != n {
			return false
		}
	}
	if fixed[v] || isLeaf(v) {
		return true
	}
	o := v.Def()
	rank := len(shape)
	inner := func(axis int64, rank int) bool { // an axis the op works along must not be cut
		if axis < 0 {
			axis += int64(rank)
		}
		return int(axis)+lead >= p
	}
	arg := func(i int) *ir.Value { return o.Arg(i) }
	same := func(vs ...*ir.Value) bool {
		for _, a := range vs {
			if !s.place(a, lead, fixed) {
				return false
			}
		}
		return true
	}
	switch o.Info {
	case op.Constant:
		return numel(shape) == 1
	case op.Iota, op.DimValue:
		return true
	case op.Reduce:
		for _, a := range o.Attrs.Ints("axes") {
			if !inner(a, len(arg(0).Type.Shape)) {
				return false
			}
		}
		return same(arg(0))
	case op.TopK, op.ArgMax:
		ax := int64(-1)
		if o.Info == op.ArgMax {
			ax = o.Attrs.Int("axis", -1)
		}
		return inner(ax, len(arg(0).Type.Shape)) && same(arg(0))
	case op.Cumsum:
		return inner(o.Attrs.Int("axis", 0), rank) && same(arg(0))
	case op.Concat, op.Slice:
		return inner(o.Attrs.Int("axis", 0), rank) && same(o.Args()...)
	case op.GatherElements:
		return inner(o.Attrs.Int("axis", -1), rank) && same(arg(0), arg(1))
	case op.ScatterElements:
		if !inner(o.Attrs.Int("axis", -1), rank) || !same(arg(0), arg(1)) {
			return false
		}
		return s.place(arg(2), lead+rank-len(arg(2).Type.Shape), fixed)
	case op.Reverse:
		for _, a := range o.Attrs.Ints("axes") {
			if !inner(a, rank) {
				return false
			}
		}
		return same(arg(0))
	case op.Pad:
		lo, hi := o.Attrs.Ints("low"), o.Attrs.Ints("high")
		for i := range lo {
			if (lo[i] != 0 || hi[i] != 0) && !inner(int64(i), rank) {
				return false
			}
		}
		return same(arg(0)) && s.place(arg(1), lead+rank, fixed)
	case op.Transpose:
		for i, a := range o.Attrs.Ints("perm") {
			if i+lead < p && int(a) != i {
				return false
			}
		}
		return same(arg(0))
	case op.Reshape:
		in := shapeOf(arg(0))
		if lead == 0 {
			for c := 0; c < p; c++ {
				if at(in, c) != at(shape, c) || c >= len(in) && c < len(shape) && shape[c] != 1 {
					return false
				}
			}
			return same(arg(0))
		}
		return !s.touches(shape, lead) && !s.touches(in, lead) && same(arg(0))
	case op.Quantize, op.Dequantize:
		for i := range o.Attrs.Ints("block") {
			n := o.Attrs.Ints("block")[i]
			ax := len(arg(0).Type.Shape) - len(o.Attrs.Ints("block")) + i
			if n != 1 && !inner(int64(ax), len(arg(0).Type.Shape)) {
				return false
			}
		}
		return same(o.Args()...)
	case op.Gather:
		// The index's axes take the place of one axis of a buffer: rows are loaded by number.
		x, ix := arg(0), arg(1)
		if !isLeaf(x) {
			return false
		}
		ax := axisOf(o.Attrs.Int("axis", 0), len(x.Type.Shape))
		return s.place(ix, lead+ax, fixed)
	case op.Update:
		return false
	}
	if o.Info.Class == op.Elementwise || o.Info == op.Broadcast {
		for i := 0; i < o.NumArgs(); i++ {
			a := arg(i)
			if !s.place(a, lead+rank-len(a.Type.Shape), fixed) {
				return false
			}
		}
		return true
	}
	return false
}

// touches reports whether an axis with more than one element stands at an outer coordinate.
func (s *space) touches(shape []int64, lead int) bool {
	for i, n := range shape {
		if n != 1 && i+lead < len(s.outer) {
			return true
		}
	}
	return false
}
