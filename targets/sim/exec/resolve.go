package exec

import (
	"fmt"

	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// resolve evaluates an instruction's operands with the registers of now. empty says that a size is not above zero: the instruction
// does nothing.
func (c *core) resolve(in *instr, f *frame) (empty bool, err error) {
	f.in = in
	f.block = c.block
	f.x, f.y, f.z, f.acc = in.x.eval(c.regs), in.y.eval(c.regs), in.z.eval(c.regs), in.acc.eval(c.regs)
	if in.dst != nil {
		if empty, err = c.view(f, in.dst, &f.dst); empty || err != nil {
			return empty, err
		}
		if n := f.dst.elements(); n < 0 {
			return false, c.outside(f, &f.dst, f.dst.lo, f.dst.hi, "the result's elements lie over each other")
		}
	} else {
		f.dst.o = nil
	}
	for _, p := range [...]struct {
		o *operand
		v *view
	}{{in.dst2, &f.dst2}, {in.a, &f.a}, {in.b, &f.b}, {in.c, &f.c}} {
		if p.o == nil {
			p.v.o = nil
			continue
		}
		if empty, err = c.view(f, p.o, p.v); empty || err != nil {
			return empty, err
		}
	}
	f.dstIndex.o, f.aIndex.o = nil, nil
	if in.dst != nil && in.dst.index != nil {
		if empty, err = c.view(f, in.dst.index, &f.dstIndex); empty || err != nil {
			return empty, err
		}
		if f.dstIndex.n[0] != f.dst.n[0] {
			return false, c.fault(in, guard.BadValue, "%d rows by a list of %d", f.dst.n[0], f.dstIndex.n[0])
		}
	}
	if in.a != nil && in.a.index != nil {
		if empty, err = c.view(f, in.a.index, &f.aIndex); empty || err != nil {
			return empty, err
		}
		if f.aIndex.n[0] != f.a.n[0] {
			return false, c.fault(in, guard.BadValue, "%d rows by a list of %d", f.a.n[0], f.aIndex.n[0])
		}
	}
	return false, c.fit(in, f)
}

// view evaluates one operand and checks its bounds.
func (c *core) view(f *frame, o *operand, v *view) (empty bool, err error) {
	v.o = o
	if o.empty {
		return true, nil
	}
	v.off = o.base.eval(c.regs)
	var lo, hi int64
	if o.fixed {
		v.n = &o.n
		lo, hi = o.lo, o.hi
	} else {
		v.n = &v.dyn
		for i := 0; i < o.rank; i++ {
			v.dyn[i] = o.size[i].eval(c.regs)
			if v.dyn[i] <= 0 {
				return true, nil
			}
		}
		var ok bool
		if lo, hi, ok = o.extent(v.n); !ok {
			return false, c.outside(f, v, v.off, v.off, "a tile of %s does not fit", sizes(v.n[:o.rank]))
		}
	}
	if o.param >= 0 {
		v.buf = c.params[o.param]
	} else {
		v.buf = c.mems[o.mem]
	}
	v.lo, v.hi = v.off+lo, v.off+hi
	if v.off < o.min || v.off > o.max || v.lo < o.min || v.hi > o.max {
		return false, c.outside(f, v, v.lo, v.hi, "a tile of %s reaches outside", sizes(v.n[:o.rank]))
	}
	return false, nil
}

// elements is how many elements a result has, or -1 when there are more than its bytes hold apart: some lie over each other. A
// result by an index counts one row.
func (v *view) elements() int64 {
	n := int64(1)
	for i := 0; i < v.o.rank; i++ {
		if i == 0 && v.o.index != nil {
			continue
		}
		n *= v.n[i]
		if n*v.o.bits > (v.hi-v.lo)*8 {
			return -1
		}
	}
	return n
}

// fit checks that the sizes of an instruction's tiles agree.
func (c *core) fit(in *instr, f *frame) error {
	same := func(v *view, last bool) error {
		if !v.has() {
			return nil
		}
		n := v.o.rank
		if !last {
			n--
		}
		for i := 0; i < n; i++ {
			if v.n[i] != f.dst.n[i] {
				return c.fault(in, guard.BadValue, "tiles of different sizes: %s and %s", sizes(f.dst.n[:f.dst.o.rank]), sizes(v.n[:v.o.rank]))
			}
		}
		return nil
	}
	var err error
	switch in.op {
	case plan.LoadScalar:
		if f.a.numel() != 1 {
			return c.fault(in, guard.BadValue, "load_scalar reads one element, found %s", sizes(f.a.n[:f.a.o.rank]))
		}
		return nil
	case plan.Move, plan.Vec:
		for _, v := range []*view{&f.a, &f.b, &f.c} {
			if err = same(v, true); err != nil {
				return err
			}
		}
	case plan.Mma:
		if f.a.n[0] != f.dst.n[0] || f.b.n[1] != f.dst.n[1] || f.a.n[1] != f.b.n[0] {
			return c.fault(in, guard.BadValue, "a product of %s by %s into %s", sizes(f.a.n[:2]), sizes(f.b.n[:2]), sizes(f.dst.n[:2]))
		}
	case plan.VReduce:
		if err = same(&f.a, false); err == nil && f.dst.lastDim() != 1 {
			err = c.fault(in, guard.BadValue, "a reduction gives one element a row, found %s", sizes(f.dst.n[:f.dst.o.rank]))
		}
	case plan.VScan:
		if err = same(&f.a, true); err == nil && f.b.has() {
			if err = same(&f.b, false); err == nil && f.b.lastDim() != 1 {
				err = c.fault(in, guard.BadValue, "a scan begins with one element a row, found %s", sizes(f.b.n[:f.b.o.rank]))
			}
		}
	case plan.VTopK:
		if err = same(&f.a, false); err == nil && f.dst2.has() {
			err = same(&f.dst2, true)
		}
	case plan.VTake:
		if err = same(&f.a, false); err == nil {
			err = same(&f.b, true)
		}
	case plan.VPut:
		if err = same(&f.a, false); err == nil {
			err = same(&f.b, false)
		}
		if err == nil && f.b.lastDim() != f.a.lastDim() {
			err = c.fault(in, guard.BadValue, "%s values by %s columns", sizes(f.a.n[:f.a.o.rank]), sizes(f.b.n[:f.b.o.rank]))
		}
	case plan.VGroup:
		if f.dst.numel() != f.a.numel() {
			err = c.fault(in, guard.BadValue, "an order of %d for %d slots", f.dst.numel(), f.a.numel())
		}
	}
	return err
}

// fault makes an error about an instruction.
func (c *core) fault(in *instr, kind guard.Kind, format string, args ...any) error {
	return &guard.Fault{
		Kind: kind, Plan: c.prog.plan, Vocab: c.dev.vocab, Kernel: c.prog.kernel, Launch: c.launch, Core: c.id,
		At: guard.Place{Instr: in.index, Block: c.block}, Other: guard.Place{Instr: -1},
		Detail: fmt.Sprintf(format, args...),
	}
}

// outside makes an error about bytes that an instruction may not touch, or data in them.
func (c *core) outside(f *frame, v *view, lo, hi int64, format string, args ...any) error {
	e := c.fault(f.in, guard.OutOfRange, format, args...).(*guard.Fault)
	e.At.Block = f.block
	e.Lo, e.Hi = lo, hi
	e.What = guard.Name(c.prog.plan, c.prog.kernel, v.o.tile)
	e.Detail += fmt.Sprintf(": %s has bytes %#x to %#x (exclusive)", e.What, v.o.min, v.o.max)
	if c.prog.kernel != nil && v.o.param >= 0 {
		e.What = "parameter " + e.What + c.bound(v.o.param)
	} else {
		e.What = "local " + e.What
	}
	return e
}
