package exec

import (
	"cmp"
	"fmt"

	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// resolve evaluates an instruction's operands with the registers of now. empty says that a size is not above zero: the instruction
// does nothing.
func (c *core) resolve(in *instr, f *frame) (empty bool, err error) {
	f.in = in
	f.block = c.block
	if in.counts {
		f.x, f.y, f.z = in.x.eval(c.regs), in.y.eval(c.regs), in.z.eval(c.regs)
	}
	f.acc = in.acc.eval(c.regs)
	f.dst.o, f.dst2.o, f.a.o, f.b.o, f.c.o, f.d.o = nil, nil, nil, nil, nil, nil
	if o := in.dst; o != nil {
		if empty, err = c.view(f, o, &f.dst); empty || err != nil {
			return empty, err
		}
	}
	if o := in.a; o != nil {
		if empty, err = c.view(f, o, &f.a); empty || err != nil {
			return empty, err
		}
	}
	if o := in.b; o != nil {
		if empty, err = c.view(f, o, &f.b); empty || err != nil {
			return empty, err
		}
	}
	if o := in.c; o != nil {
		if empty, err = c.view(f, o, &f.c); empty || err != nil {
			return empty, err
		}
	}
	if o := in.d; o != nil {
		if empty, err = c.view(f, o, &f.d); empty || err != nil {
			return empty, err
		}
	}
	if o := in.dst2; o != nil {
		if empty, err = c.view(f, o, &f.dst2); empty || err != nil {
			return empty, err
		}
	}
	if in.indexed {
		f.dstIndex.o, f.aIndex.o = nil, nil
		if in.dst.index != nil {
			if empty, err = c.view(f, in.dst.index, &f.dstIndex); empty || err != nil {
				return empty, err
			}
		}
		if in.a.index != nil {
			if empty, err = c.view(f, in.a.index, &f.aIndex); empty || err != nil {
				return empty, err
			}
		}
	}
	if !in.fits {
		if msg := in.misfit(f); msg != "" {
			return false, c.fault(in, guard.BadValue, "%s", msg)
		}
	}
	return false, nil
}

// view evaluates one operand and checks its bounds.
func (c *core) view(f *frame, o *operand, v *view) (empty bool, err error) {
	v.o = o
	if o.empty {
		return true, nil
	}
	off := o.base.eval(c.regs)
	v.off = off
	if o.param >= 0 {
		v.buf = c.params[o.param]
	} else {
		v.buf = c.mems[o.mem]
	}
	if o.fixed {
		v.n = &o.n
		v.lo, v.hi = off+o.lo, off+o.hi
	} else {
		v.n = &v.dyn
		for i := 0; i < o.rank; i++ {
			v.dyn[i] = o.size[i].eval(c.regs)
			if v.dyn[i] <= 0 {
				return true, nil
			}
		}
		lo, hi, ok := o.extent(v.n)
		if !ok {
			return false, c.outside(f, v, off, off, "a tile of %s does not fit", sizes(v.n[:o.rank]))
		}
		v.lo, v.hi = off+lo, off+hi
	}
	if off < o.min || off > o.max || v.lo < o.min || v.hi > o.max {
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

// misfit says what is wrong with the sizes of an instruction's tiles, "" if nothing is.
func (in *instr) misfit(f *frame) string {
	show := func(v *view) string { return sizes(v.n[:v.o.rank]) }
	if in.dst != nil && f.dst.elements() < 0 {
		return fmt.Sprintf("the result's elements lie over each other: %s with strides %s", show(&f.dst), sizes(f.dst.o.stride[:f.dst.o.rank]))
	}
	if in.indexed {
		if in.dst.index != nil && f.dstIndex.n[0] != f.dst.n[0] {
			return fmt.Sprintf("%d rows by a list of %d", f.dst.n[0], f.dstIndex.n[0])
		}
		if in.a.index != nil && f.aIndex.n[0] != f.a.n[0] {
			return fmt.Sprintf("%d rows by a list of %d", f.a.n[0], f.aIndex.n[0])
		}
	}
	// differs compares with the result, on all axes or all but the last.
	differs := func(v *view, last bool) string {
		if !v.has() {
			return ""
		}
		n := v.o.rank
		if !last {
			n--
		}
		for i := 0; i < n; i++ {
			if v.n[i] != f.dst.n[i] {
				return fmt.Sprintf("tiles of different sizes: %s and %s", show(&f.dst), show(v))
			}
		}
		return ""
	}
	switch in.op {
	case plan.LoadScalar:
		if f.a.numel() != 1 {
			return "load_scalar reads one element, found " + show(&f.a)
		}
	case plan.Move, plan.Vec:
		return cmp.Or(differs(&f.a, true), differs(&f.b, true), differs(&f.c, true))
	case plan.Mma:
		k, n := f.b.n[0], f.b.n[1]
		if in.turned {
			k, n = n, k
		}
		if f.a.n[0] != f.dst.n[0] || n != f.dst.n[1] || f.a.n[1] != k {
			return fmt.Sprintf("a product of %s by %s into %s", show(&f.a), sizes([]int64{k, n}), show(&f.dst))
		}
		if !f.c.has() {
			return ""
		}
		if q := (k + in.scaleBlock - 1) / in.scaleBlock; f.c.n[0] != f.dst.n[0] || f.d.n[1] != n || f.c.n[1] != q || f.d.n[0] != q {
			return fmt.Sprintf("a product of %s by %s with scales %s and %s for blocks of %d", show(&f.a), sizes([]int64{k, n}), show(&f.c), show(&f.d), in.scaleBlock)
		}
	case plan.VReduce:
		if f.dst.lastDim() != 1 {
			return "a reduction gives one element a row, found " + show(&f.dst)
		}
		return differs(&f.a, false)
	case plan.VScan:
		if f.b.has() && f.b.lastDim() != 1 {
			return "a scan begins with one element a row, found " + show(&f.b)
		}
		return cmp.Or(differs(&f.a, true), differs(&f.b, false))
	case plan.VTopK:
		if k, n := f.dst.lastDim(), f.a.lastDim(); k > n {
			return fmt.Sprintf("the best %d of a row of %d", k, n)
		}
		return cmp.Or(differs(&f.a, false), differs(&f.dst2, true))
	case plan.VTake:
		return cmp.Or(differs(&f.a, false), differs(&f.b, true))
	case plan.VPut:
		if n, k := f.a.lastDim(), f.b.lastDim(); n != k {
			return fmt.Sprintf("%d values by %d columns", n, k)
		}
		return cmp.Or(differs(&f.a, false), differs(&f.b, false))
	case plan.VGroup:
		if f.dst.numel() != f.a.numel() {
			return fmt.Sprintf("an order of %d for %d slots", f.dst.numel(), f.a.numel())
		}
	}
	return ""
}

// checkFit compares sizes that are constants once and for all.
func (in *instr) checkFit() error {
	for _, o := range []*operand{in.dst, in.a} {
		in.indexed = in.indexed || o != nil && o.index != nil
	}
	f := frame{in: in}
	for _, x := range []struct {
		o *operand
		v *view
	}{{in.dst, &f.dst}, {in.dst2, &f.dst2}, {in.a, &f.a}, {in.b, &f.b}, {in.c, &f.c}, {in.d, &f.d}} {
		if x.o == nil {
			continue
		}
		if !x.o.fixed || x.o.empty || x.o.index != nil {
			return nil
		}
		x.v.o, x.v.n, x.v.lo, x.v.hi = x.o, &x.o.n, x.o.lo, x.o.hi
	}
	if msg := in.misfit(&f); msg != "" {
		return problem("%s", msg)
	}
	in.fits = true
	return nil
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
