package exec

import (
	"slices"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// forward lets products write to global memory themselves where a trace copies their whole result there and nothing else uses it: the copy
// would cost as much as a twentieth of a product. The product comes to be where the copy was, which is as good, since what it reads does
// not change during a launch.
func (t *trace) forward(prog *program) {
	pairs := 0
	for j := 0; j < len(t.effects); j++ {
		store := t.effects[j].frame
		if t.effects[j].kind != effectInstr || !store.in.plainStore() {
			continue
		}
		i := j - 1
		for i >= 0 && !t.effects[i].touches(prog, store.a.o.mem, store.a.lo, store.a.hi) {
			i--
		}
		if pairs += len(t.effects) - max(i, 0); pairs > dropLimit {
			return
		}
		if i < 0 || t.effects[i].kind != effectSum || !t.effects[i].sum.fills(store) || t.wanted(prog, j+1, t.effects[i].sum) {
			continue
		}
		s := *t.effects[i].sum
		n := s.dst.dyn
		s.dst = store.dst
		s.dst.dyn = n
		t.effects[j] = effect{kind: effectSum, sum: &s}
		t.effects = slices.Delete(t.effects, i, i+1)
		j--
	}
}

// plainStore says whether an instruction copies f32 of two axes as they are from a core's memory to global memory.
func (in *instr) plainStore() bool {
	return in.op == plan.Move && !in.cast && !in.indexed && in.dst.rank == 2 && in.a.rank == 2 && in.dst.param >= 0 && in.a.param < 0 &&
		in.a.fmt == format.F32 && in.dst.fmt == format.F32
}

// fills says whether a sum, which begins anew, is all that a store reads.
func (s *sum) fills(store *frame) bool {
	d, a := &s.dst, &store.a
	return !s.acc && s.a.fmt.IsFloat() && d.o.fmt == format.F32 && d.o.param < 0 && d.o.mem == a.o.mem && d.off == a.off && d.lo == a.lo && d.hi == a.hi &&
		d.o.stride == a.o.stride && store.size(a) == [2]int64{s.m, s.n}
}

// size is the sizes of a view of two axes, in a frame of a trace.
func (f *frame) size(v *view) [2]int64 {
	n := &v.dyn
	if v.o.fixed {
		n = &v.o.n
	}
	return [2]int64{n[0], n[1]}
}

// wanted says whether an effect from the given one on may use the result of a sum.
func (t *trace) wanted(prog *program, from int, s *sum) bool {
	for i := from; i < len(t.effects); i++ {
		e := &t.effects[i]
		if !e.touches(prog, s.dst.o.mem, s.dst.lo, s.dst.hi) {
			continue
		}
		x := e.sum
		return e.kind != effectSum || x.acc || x.dst.off != s.dst.off || x.dst.lo > s.dst.lo || x.dst.hi < s.dst.hi ||
			x.dst.o.stride != s.dst.o.stride || x.m < s.m || x.n < s.n
	}
	return false
}
