package passes

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
)

// space finds how the ops of a map kernel share one iteration: the leading axes that every op treats row by row. It is the
// contract with the code generator's template for such kernels: what is found here, that template accepts.
//
// Axis i of value v stands at coordinate i+lead of v. Coordinates below len(outer) are outer: a block of the kernel takes a part of
// them, and an op may only broadcast along them. The axes behind are inner: a block holds them whole on chip.
type space struct {
	leaf  func(v *ir.Value) bool // tiles of the value come from a buffer
	outer []int64

	lead  []int32 // by value ID, valid where stamp is epoch
	stamp []uint32
	epoch uint32
	peak  peak
}

func newSpace(m *ir.Module, leaf func(v *ir.Value) bool) *space {
	s := &space{leaf: leaf}
	s.grow(m)
	return s
}

// grow makes room for values that were made since.
func (s *space) grow(m *ir.Module) {
	if n := m.MaxValue(); n > len(s.lead) {
		n += n/4 + 64
		s.lead, s.stamp = append(s.lead, make([]int32, n-len(s.lead))...), append(s.stamp, make([]uint32, n-len(s.stamp))...)
		s.peak.grow(n)
	}
}

// rowsOf is the value whose rows a result stores: what an update writes, else the result itself.
func rowsOf(r *ir.Value) *ir.Value {
	if r.DefIs(op.Update) {
		return r.Def().Arg(1)
	}
	return r
}

// dim is a dimension of a concrete shape; axes outside count as 1.
func dim(v *ir.Value, i int) int64 {
	if i < 0 || i >= len(v.Type.Shape) {
		return 1
	}
	n, _ := v.Type.Shape[i].Value()
	return n
}

// find looks for the iteration with the most outer axes; false if there is none.
func (s *space) find(results []*ir.Value) bool {
	most := 0
	for _, r := range results {
		most = max(most, r.Type.Rank())
	}
	for p := most; p >= 0; p-- {
		if s.try(results, p) {
			return true
		}
	}
	return false
}

// try looks for an iteration with p outer axes.
func (s *space) try(results []*ir.Value, p int) bool {
	s.epoch++
	s.outer = s.outer[:0]
	for i := 0; i < p; i++ {
		s.outer = append(s.outer, -1)
	}
	for _, r := range results {
		if !s.place(rowsOf(r), 0) {
			return false
		}
	}
	for i := range s.outer {
		if s.outer[i] < 0 {
			s.outer[i] = 1
		}
	}
	// Every result must cover the outer axes fully: a tile is stored once.
	for _, r := range results {
		y := rowsOf(r)
		for c := range s.outer {
			if dim(y, c) != s.outer[c] {
				return false
			}
		}
	}
	return true
}

// leadOf is where a placed value's axes stand.
func (s *space) leadOf(v *ir.Value) int {
	if s.stamp[v.ID()] != s.epoch {
		return 0
	}
	return int(s.lead[v.ID()])
}

// place records where a value's axes stand and does the same for what it is computed from; false if some op is not row by row.
func (s *space) place(v *ir.Value, lead int) bool {
	p := len(s.outer)
	id := v.ID()
	rank := v.Type.Rank()
	if s.stamp[id] == s.epoch {
		return rank == 0 || int(s.lead[id]) == lead // one tile serves all readers
	}
	s.stamp[id], s.lead[id] = s.epoch, int32(lead)
	for i := 0; i < rank; i++ {
		n := dim(v, i)
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
	if s.leaf(v) {
		return true
	}
	o := v.Def()
	inner := func(a int64, rank int) bool { // an axis the op works along must not be cut
		return axis(a, rank)+lead >= p
	}
	same := func() bool {
		for i := 0; i < o.NumArgs(); i++ {
			if !s.place(o.Arg(i), lead) {
				return false
			}
		}
		return true
	}
	switch o.Info {
	case op.Constant:
		return rank == 0
	case op.Iota, op.DimValue:
		return true
	case op.Reduce:
		for _, a := range o.Attrs.Ints("axes") {
			if !inner(a, o.Arg(0).Type.Rank()) {
				return false
			}
		}
		return same()
	case op.TopK, op.ArgMax:
		ax := int64(-1)
		if o.Info == op.ArgMax {
			ax = o.Attrs.Int("axis", -1)
		}
		return inner(ax, o.Arg(0).Type.Rank()) && same()
	case op.Cumsum, op.Concat, op.Slice:
		return inner(o.Attrs.Int("axis", 0), rank) && same()
	case op.Window:
		return inner(o.Attrs.Int("axis", 0), o.Arg(0).Type.Rank()) && same()
	case op.GatherElements:
		return inner(o.Attrs.Int("axis", -1), rank) && same()
	case op.ScatterElements:
		return inner(o.Attrs.Int("axis", -1), rank) && s.place(o.Arg(0), lead) && s.place(o.Arg(1), lead) &&
			s.place(o.Arg(2), lead+rank-o.Arg(2).Type.Rank())
	case op.Reverse:
		for _, a := range o.Attrs.Ints("axes") {
			if !inner(a, rank) {
				return false
			}
		}
		return same()
	case op.Pad:
		lo, hi := o.Attrs.Ints("low"), o.Attrs.Ints("high")
		for i := range lo {
			if (lo[i] != 0 || hi[i] != 0) && !inner(int64(i), rank) {
				return false
			}
		}
		return s.place(o.Arg(0), lead) && s.place(o.Arg(1), lead+rank)
	case op.Transpose:
		for i, a := range o.Attrs.Ints("perm") {
			if i+lead < p && int(a) != i {
				return false
			}
		}
		return same()
	case op.Reshape:
		x := o.Arg(0)
		if lead == 0 {
			for c := 0; c < p; c++ {
				if dim(x, c) != dim(v, c) || c >= x.Type.Rank() && c < rank && dim(v, c) != 1 {
					return false
				}
			}
			return same()
		}
		return !s.touches(v, lead) && !s.touches(x, lead) && same()
	case op.Quantize, op.Dequantize:
		block := o.Attrs.Ints("block")
		r := o.Arg(0).Type.Rank()
		for i, n := range block {
			if n != 1 && !inner(int64(r-len(block)+i), r) {
				return false
			}
		}
		return same()
	case op.Update:
		return false
	}
	if o.Info.Class == op.Elementwise || o.Info == op.Broadcast {
		for i := 0; i < o.NumArgs(); i++ {
			if a := o.Arg(i); !s.place(a, lead+rank-a.Type.Rank()) {
				return false
			}
		}
		return true
	}
	return false
}

// touches reports whether an axis with more than one element stands at an outer coordinate.
func (s *space) touches(v *ir.Value, lead int) bool {
	for i := 0; i < v.Type.Rank() && i+lead < len(s.outer); i++ {
		if dim(v, i) != 1 {
			return true
		}
	}
	return false
}

// peak follows what one row of a map kernel occupies on chip while it is computed, in the order in which the code generator computes
// it: depth first from each result, a value's memory going back when its last reader is done, the smallest free buffer that is
// large enough being taken again.
type peak struct {
	uses  []int32
	state []uint32 // visited in counting: 2*epoch; computed: 2*epoch+1
	buf   []int32  // which buffer holds the value
	epoch uint32
	bufs  []struct {
		size int64
		refs int32
	}
	free  []int32
	total int64
	limit int64
}

func (k *peak) grow(n int) {
	more := n - len(k.uses)
	k.uses, k.state, k.buf = append(k.uses, make([]int32, more)...), append(k.state, make([]uint32, more)...), append(k.buf, make([]int32, more)...)
}

// row returns the bytes that one row of the outer axes needs, for the results that find or try just placed. It gives up above limit, since
// then the number no longer matters.
func (s *space) row(results []*ir.Value, limit int64) int64 {
	k := &s.peak
	k.epoch++
	k.bufs, k.free, k.total, k.limit = k.bufs[:0], k.free[:0], 0, limit
	for _, r := range results {
		s.countUses(rowsOf(r))
	}
	for _, r := range results {
		y := rowsOf(r)
		s.compute(y)
		if r.DefIs(op.Update) || s.leaf(y) || s.moves(y) {
			k.give(k.take(s.tile(y)))
		}
		s.drop(y)
		if k.total > limit {
			break
		}
	}
	return k.total
}

// moves reports whether a value is another view of something on chip, and so stored by way of a copy.
func (s *space) moves(v *ir.Value) bool { return v.Def() != nil && view.Is(v.Def()) }

func (s *space) countUses(v *ir.Value) {
	k := &s.peak
	id := v.ID()
	if k.state[id] != 2*k.epoch {
		k.uses[id] = 0
	}
	k.uses[id]++
	if k.state[id] == 2*k.epoch {
		return
	}
	k.state[id] = 2 * k.epoch
	if s.leaf(v) {
		return
	}
	o := v.Def()
	for _, r := range o.Results() {
		if r != v && k.state[r.ID()] != 2*k.epoch {
			k.state[r.ID()], k.uses[r.ID()] = 2*k.epoch, 0
		}
	}
	for i := 0; i < o.NumArgs(); i++ {
		s.countUses(o.Arg(i))
	}
}

// tile is the bytes of a value's tile for one row.
func (s *space) tile(v *ir.Value) int64 {
	lead := s.leadOf(v)
	n := int64(max(v.Type.Format.Bits(), 8)) / 8
	for i := range v.Type.Shape {
		if i+lead >= len(s.outer) {
			n *= dim(v, i)
		}
	}
	return (n + 63) / 64 * 64
}

func (k *peak) take(size int64) int32 {
	best := -1
	for i, b := range k.free {
		if k.bufs[b].size >= size && (best < 0 || k.bufs[b].size < k.bufs[k.free[best]].size) {
			best = i
		}
	}
	if best >= 0 {
		b := k.free[best]
		k.free = append(k.free[:best], k.free[best+1:]...)
		k.bufs[b].refs = 1
		return b
	}
	k.total += size
	k.bufs = append(k.bufs, struct {
		size int64
		refs int32
	}{size, 1})
	return int32(len(k.bufs) - 1)
}

func (k *peak) give(b int32) {
	if k.bufs[b].refs--; k.bufs[b].refs == 0 {
		k.free = append(k.free, b)
	}
}

func (s *space) drop(v *ir.Value) {
	k := &s.peak
	id := v.ID()
	if k.uses[id]--; k.uses[id] == 0 && k.state[id] == 2*k.epoch+1 && k.buf[id] >= 0 {
		k.give(k.buf[id])
		k.buf[id] = -1
	}
}

func (s *space) compute(v *ir.Value) {
	k := &s.peak
	id := v.ID()
	if k.state[id] == 2*k.epoch+1 || k.total > k.limit {
		return
	}
	set := func(b int32) { k.state[id], k.buf[id] = 2*k.epoch+1, b }
	if s.leaf(v) {
		set(k.take(s.tile(v)))
		return
	}
	o := v.Def()
	if len(o.Attrs) > 0 && o.Is(op.Constant) || o.Is(op.Iota) {
		set(k.take(min(s.tile(v), 64*1024)))
		return
	}
	for i := 0; i < o.NumArgs(); i++ {
		s.compute(o.Arg(i))
	}
	switch {
	case view.Is(o) && !o.Is(op.Reshape):
		b := k.buf[o.Arg(0).ID()]
		if b >= 0 {
			k.bufs[b].refs++
		}
		set(b)
	case o.Is(op.Reduce):
		x := s.tile(o.Arg(0))
		n := len(o.Attrs.Ints("axes"))
		if n > 1 { // folded one axis after the other
			last := axis(o.Attrs.Ints("axes")[n-1], o.Arg(0).Type.Rank())
			t := k.take(x / max(dim(o.Arg(0), last), 1))
			defer k.give(t)
		}
		set(k.take(s.tile(v)))
	case o.Is(op.Quantize):
		x := s.tile(o.Arg(0)) * 4 / int64(max(o.Arg(0).Type.Format.Bits()/8, 1))
		wide, scaled := k.take(x), k.take(x)
		for _, r := range o.Results() {
			if k.state[r.ID()] != 2*k.epoch+1 {
				k.state[r.ID()], k.buf[r.ID()] = 2*k.epoch+1, k.take(s.tile(r))
			}
		}
		k.give(wide)
		k.give(scaled)
	case o.Is(op.TopK), o.Is(op.ArgMax):
		for _, r := range o.Results() {
			if k.state[r.ID()] != 2*k.epoch+1 {
				k.state[r.ID()], k.buf[r.ID()] = 2*k.epoch+1, k.take(s.tile(r))
			}
		}
		if o.Is(op.ArgMax) {
			k.give(k.take(64))
		}
	case o.Is(op.GatherElements), o.Is(op.ScatterElements):
		ix := s.tile(o.Arg(1))
		a, b := k.take(ix), k.take(ix)
		set(k.take(s.tile(v)))
		k.give(a)
		k.give(b)
	case o.Is(op.Dequantize):
		t := k.take(s.tile(v) * 4 / int64(max(v.Type.Format.Bits()/8, 1)))
		set(k.take(s.tile(v)))
		k.give(t)
	default:
		set(k.take(s.tile(v)))
	}
	for i := 0; i < o.NumArgs(); i++ {
		s.drop(o.Arg(i))
	}
}
