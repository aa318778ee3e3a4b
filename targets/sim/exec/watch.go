package exec

import (
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// area is the bytes of a view, for the guard.
func (v *view) area(a *guard.Area) {
	o := v.o
	a.Local, a.Mem, a.Param = o.local, o.mem, o.param
	a.Off, a.Lo, a.Hi = v.off, v.lo, v.hi
	a.Rank, a.N, a.Stride = o.rank, v.n, &o.stride
	a.Tail = o.tail(v.n)
	if o.esize == 0 && o.rank > 0 {
		a.Rank-- // rows are dense
	}
}

// watch tells the guard what an instruction is about to read and write.
func (c *core) watch(f *frame) error {
	in := f.in
	c.guard.Exec(in.queue, in.index, f.block, f.clock)
	f.clock = f.clock[:0]
	for i, v := range [...]*view{&f.aIndex, &f.dstIndex, &f.a, &f.b, &f.c, &f.d} {
		if v.has() && (i > 1 || in.indexed) {
			if err := c.watchView(f, v, c.guard.Read); err != nil {
				return err
			}
		}
	}
	if in.keeps(f) {
		if err := c.watchView(f, &f.dst, c.guard.Read); err != nil {
			return err
		}
	}
	for _, v := range [...]*view{&f.dst, &f.dst2} {
		if v.has() {
			if err := c.watchView(f, v, c.guard.Write); err != nil {
				return err
			}
		}
	}
	return nil
}

// keeps says whether an instruction needs what its result tile holds.
func (in *instr) keeps(f *frame) bool {
	switch in.op {
	case plan.Mma, plan.VReduce:
		return f.acc != 0
	case plan.VPut:
		return true
	}
	return false
}

func (c *core) watchView(f *frame, v *view, note func(*guard.Area) error) error {
	a := &c.area
	v.area(a)
	if v.o.index == nil {
		return note(a)
	}
	// Row by row.
	index := &f.aIndex
	if v == &f.dst {
		index = &f.dstIndex
	}
	one := *v.n
	one[0] = 1
	a.N = &one
	for i := range v.n[0] {
		at, err := c.indexed(f, v, index, i)
		if err != nil {
			return err
		}
		a.Off, a.Lo, a.Hi = at, at+v.lo-v.off, at+v.hi-v.off
		if err := note(a); err != nil {
			return err
		}
	}
	return nil
}
