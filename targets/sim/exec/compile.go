package exec

import (
	"fmt"
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
	"apogee/targets/sim/kernels"
)

var (
	codePlan = diag.Register("EXEC001", "A plan cannot be run: an instruction, a buffer or a launch makes no sense, or asks of the chip what it cannot do. The plan is at fault, so there is no text to show.", "")
	codeFull = diag.Register("EXEC002", "A plan needs more memory than the chip has. It can be timed, but not run; compile it for a smaller batch or context, a narrower precision, or several chips.", "")
	codeHost = diag.Register("EXEC003", "A plan fits the chip but needs more memory on this machine than the limit allows.", "")
	codeIn   = diag.Register("EXEC004", "The inputs of a run do not match the plan's: a name, a format or a shape.", "")
)

// problem is a sentence about an instruction, to be completed with the place.
func problem(format string, args ...any) error { return fmt.Errorf(format, args...) }

// instr is an instruction, resolved.
type instr struct {
	op       plan.Opcode
	queue    int
	index    int // in the kernel's code
	fn       plan.Fn
	run      func(c *core, f *frame) error
	dst      *operand
	dst2     *operand
	a, b, c  *operand
	d        *operand
	x, y, z  affine
	acc      affine
	imm      float64
	reg      plan.Reg
	flag     int
	jump     int
	loop     int // number of the loop, for its counters
	saturate bool
	lazy     bool // a move that may be done later
	counts   bool // X, Y and Z are used
	indexed  bool // a tile has an index
	fits     bool // the sizes are constants and belong together

	// How it computes.
	arity      int
	useImm     bool
	cast       bool
	odd        bool
	flush      bool
	class      class
	mma        mmaKind
	within     mmaKind // of the blocks of a product with scales
	turned     bool    // the right operand of a product is [N,K]: rows of a sub-byte format are dense
	scaleBlock int64   // elements of K that share a scale
	limited    kernels.Limited
	int8       bool
	mode       format.Mode
	pattern    uint64 // of imm
	fn32       func(d, x, y, z []float32)
	unary      kernels.UnaryOp
	binary     kernels.BinaryOp
	comparison kernels.CompareOp
	fn64       func(d, x, y, z []float64)
	fnInt      func(d, x, y, z []int64)
	fold32     func([]float32) float32
	fold64     func([]float64) float64
	foldInt    func([]int64) int64
	fold       kernels.BinaryOp
	lanes      int  // of a fold in f32
	direct     bool // f32 in and out
}

// frame is one execution of an instruction: its operands with the registers' values at issue.
type frame struct {
	in               *instr
	block            int64
	dst, dst2        view
	a, b, c, d       view
	dstIndex, aIndex view
	x, y, z, acc     int64
	clock            []int64 // what the scalar unit knew at issue, for the guard
}

// program is a kernel, compiled.
type program struct {
	plan      *plan.Plan
	kernel    *plan.Kernel
	code      []instr
	loops     int
	scalar    int // the scalar unit's queue; len(plan.Queues) when the plan has none
	queues    int
	lazy      []bool // by local: moves to it may be done later
	traceable bool   // its data do not decide what it does
}

// compiler compiles the kernels of a plan.
type compiler struct {
	p      *plan.Plan
	c      *chip.Chip
	vocab  plan.Vocab
	scalar int
	queues int
	rates  map[rateKey]*chip.MatrixRate
}

type rateKey struct {
	queue     int
	a, b, acc format.Format
}

func newCompiler(p *plan.Plan, d *Device) *compiler {
	c := d.chip
	z := &compiler{p: p, c: c, vocab: d.vocab, scalar: -1, queues: len(p.Queues), rates: map[rateKey]*chip.MatrixRate{}}
	for _, e := range c.EnginesOf(chip.Scalar) {
		for i, q := range p.Queues {
			if q.Name == e.Queue && z.scalar < 0 {
				z.scalar = i
			}
		}
	}
	for i, q := range p.Queues {
		if q.Kind == plan.Scalar && z.scalar < 0 {
			z.scalar = i
		}
	}
	if z.scalar < 0 {
		z.scalar = z.queues
		z.queues++
	}
	return z
}

func (z *compiler) fail(k *plan.Kernel, i int, err error) error {
	d := diag.Errorf(codePlan, diag.Range{}, "%v", err)
	if k == nil {
		return d
	}
	where := "kernel " + k.Name
	if i >= 0 && i < len(k.Code) {
		where += fmt.Sprintf(", instruction %d", i)
		d.Note(diag.Range{}, "%s", plan.InstrText(z.p, k, i, z.vocab))
		if s := plan.PosText(z.p, k.Code[i].Pos); s != "" {
			d.Note(diag.Range{}, "from %s", s)
		}
	}
	return d.At(where)
}

const maxRegs = 1 << 16

// kernel compiles one.
func (z *compiler) kernel(k *plan.Kernel) (*program, error) {
	if k.Regs < int(plan.FirstReg) || k.Regs > maxRegs {
		return nil, z.fail(k, -1, problem("%d registers, expected between %d and %d", k.Regs, plan.FirstReg, maxRegs))
	}
	for _, l := range k.Locals {
		if l.Mem <= 0 || l.Mem >= len(z.p.Memories) || l.Addr < 0 || l.Size < 0 || l.Addr > z.p.Memories[l.Mem].Size-l.Size {
			return nil, z.fail(k, -1, problem("local %s of %d bytes at %#x does not fit memory %d", l.Name, l.Size, l.Addr, l.Mem))
		}
	}
	for _, f := range k.Flags {
		if f.From < 0 || f.From >= len(z.p.Queues) || f.To < 0 || f.To >= len(z.p.Queues) || f.Credits < 0 {
			return nil, z.fail(k, -1, problem("flag %s from queue %d to queue %d with %d credits", f.Name, f.From, f.To, f.Credits))
		}
	}
	prog := &program{plan: z.p, kernel: k, code: make([]instr, len(k.Code)), scalar: z.scalar, queues: z.queues}
	var open []int
	for i := range k.Code {
		in, src := &prog.code[i], &k.Code[i]
		in.index = i
		if err := z.instr(k, in, src); err != nil {
			return nil, z.fail(k, i, err)
		}
		switch in.op {
		case plan.Loop:
			in.loop = prog.loops
			prog.loops++
			open = append(open, i)
		case plan.End:
			if len(open) == 0 || src.Jump != open[len(open)-1] || k.Code[src.Jump].Jump != i {
				return nil, z.fail(k, i, problem("loop and end do not belong together"))
			}
			in.loop = prog.code[src.Jump].loop
			in.reg = prog.code[src.Jump].reg
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return nil, z.fail(k, open[0], problem("a loop without end"))
	}
	prog.lazy = lazyLocals(k, prog.code)
	prog.traceable = traceable(prog.code)
	for i := range prog.code {
		in := &prog.code[i]
		in.lazy = in.op == plan.Move && in.dst.local >= 0 && prog.lazy[in.dst.local]
	}
	return prog, nil
}

func (z *compiler) val(k *plan.Kernel, v plan.Val) (affine, error) {
	for _, t := range v.Terms {
		if int(t.Reg) >= k.Regs {
			return affine{}, problem("register %d of %d", t.Reg, k.Regs)
		}
	}
	return affine{v.C, v.Terms}, nil
}

// operand compiles a tile; nil for a missing one.
func (z *compiler) operand(k *plan.Kernel, t *plan.Tile, write bool) (*operand, error) {
	if !t.Has() {
		return nil, nil
	}
	o := &operand{mem: t.Mem, param: -1, local: -1, fmt: t.Format, rank: len(t.Size), tile: t}
	if !t.Format.Valid() {
		return nil, problem("a tile without a format")
	}
	if o.rank > maxRank || len(t.Stride) != o.rank {
		return nil, problem("a tile with %d sizes and %d strides, expected as many of both and at most %d", o.rank, len(t.Stride), maxRank)
	}
	o.bits = int64(t.Format.Bits())
	if o.bits >= 8 {
		o.esize = o.bits / 8
	}
	size := int64(0)
	switch {
	case t.Mem == 0:
		if t.Param < 0 || t.Param >= len(k.Params) {
			return nil, problem("parameter %d of %d", t.Param, len(k.Params))
		}
		p := &k.Params[t.Param]
		if write && !p.Write || !write && !p.Read {
			return nil, problem("parameter %s is not declared to be %s", p.Name, map[bool]string{true: "written", false: "read"}[write])
		}
		o.param, o.max, size = t.Param, p.Size, p.Size
	case t.Mem > 0 && t.Mem < len(z.p.Memories):
		if t.Local < 0 || t.Local >= len(k.Locals) || k.Locals[t.Local].Mem != t.Mem {
			return nil, problem("a tile in %s names local %d, which is not there", z.p.Memories[t.Mem].Name, t.Local)
		}
		l := &k.Locals[t.Local]
		o.local, o.min, o.max, size = t.Local, l.Addr, l.Addr+l.Size, l.Size
	default:
		return nil, problem("memory %d of %d", t.Mem, len(z.p.Memories))
	}
	var err error
	if o.base, err = z.val(k, t.Base); err != nil {
		return nil, err
	}
	o.fixed = true
	for i := range t.Size {
		if o.size[i], err = z.val(k, t.Size[i]); err != nil {
			return nil, err
		}
		o.n[i] = o.size[i].c
		o.fixed = o.fixed && o.size[i].isConst()
		o.empty = o.empty || o.size[i].isConst() && o.n[i] <= 0
		s := t.Stride[i]
		o.stride[i] = s
		switch {
		case o.esize == 0 && i == o.rank-1:
			if size > math.MaxInt64/8 {
				return nil, problem("a tile of %d bytes", size)
			}
			o.most[i] = size * 8 / o.bits
		case s == 0:
			o.most[i] = maxRepeat
		case s == math.MinInt64:
			return nil, problem("a stride of %d bytes", s)
		default:
			o.most[i] = size/max(s, -s) + 1
		}
	}
	if t.Index != nil {
		if o.rank == 0 {
			return nil, problem("an index needs an axis")
		}
		if t.Index.Index != nil {
			return nil, problem("an index list has no index of its own")
		}
		if o.index, err = z.operand(k, t.Index, false); err != nil {
			return nil, err
		}
		if o.index == nil || o.index.fmt != format.I32 || o.index.rank != 1 {
			return nil, problem("an index is a list of i32")
		}
		// Any row may be named: the list's length is bounded by its own memory.
		o.most[0] = max(o.most[0], o.index.most[0])
	}
	if o.fixed && !o.empty {
		var ok bool
		if o.lo, o.hi, ok = o.extent(&o.n); !ok {
			return nil, problem("%s does not fit %s", sizes(o.n[:o.rank]), guard.Name(z.p, k, t))
		}
	}
	return o, nil
}

func sizes(n []int64) string {
	s := "["
	for i, v := range n {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprint(v)
	}
	return s + "]"
}

// instr compiles one instruction.
func (z *compiler) instr(k *plan.Kernel, in *instr, src *plan.Instr) error {
	in.op, in.queue, in.fn, in.imm, in.reg, in.flag, in.jump, in.saturate = src.Op, src.Queue, src.Fn, src.Imm, src.Reg, src.Flag, src.Jump, src.Saturate
	var err error
	for _, v := range []struct {
		to   *affine
		from plan.Val
	}{{&in.x, src.X}, {&in.y, src.Y}, {&in.z, src.Z}, {&in.acc, src.Acc}} {
		if *v.to, err = z.val(k, v.from); err != nil {
			return err
		}
	}
	switch src.Op {
	case plan.Loop, plan.Set, plan.LoadScalar:
		if int(src.Reg) >= k.Regs {
			return problem("register %d of %d", src.Reg, k.Regs)
		}
	}
	switch src.Op {
	case plan.Loop, plan.End:
		if src.Jump < 0 || src.Jump >= len(k.Code) {
			return problem("a jump to instruction %d of %d", src.Jump, len(k.Code))
		}
		in.queue = z.scalar
		return nil
	case plan.Set:
		in.queue = z.scalar
		switch src.Fn {
		case plan.VAdd, plan.VSub, plan.VMul, plan.VMax, plan.VMin, plan.SDiv, plan.SMod, plan.SLt:
			return nil
		}
		return problem("set does not know the function %s", src.Fn)
	case plan.Signal, plan.Wait:
		if src.Flag < 0 || src.Flag >= len(k.Flags) {
			return problem("flag %d of %d", src.Flag, len(k.Flags))
		}
		f := &k.Flags[src.Flag]
		want := f.From
		if src.Op == plan.Wait {
			want = f.To
		}
		if src.Queue != want {
			return problem("flag %s is for queue %d, found %d", f.Name, want, src.Queue)
		}
		return nil
	}
	if int(src.Op) > int(plan.VGroup) {
		return problem("opcode %d is not known", src.Op)
	}
	if src.Queue < 0 || src.Queue >= len(z.p.Queues) {
		return problem("queue %d of %d", src.Queue, len(z.p.Queues))
	}
	for _, v := range []struct {
		to    **operand
		from  *plan.Tile
		write bool
	}{{&in.dst, &src.Dst, true}, {&in.dst2, &src.Dst2, true}, {&in.a, &src.A, false}, {&in.b, &src.B, false}, {&in.c, &src.C, false}, {&in.d, &src.D, false}} {
		if *v.to, err = z.operand(k, v.from, v.write); err != nil {
			return err
		}
		if o := *v.to; o != nil && o.index != nil && src.Op != plan.Move {
			return problem("only move takes an index")
		}
	}
	if src.Op == plan.LoadScalar {
		in.queue = z.scalar
		if in.a == nil || in.a.fmt != format.I32 && in.a.fmt != format.I64 {
			return problem("load_scalar reads one i32 or i64")
		}
		in.run = runLoadScalar
		return in.checkFit()
	}
	if in.dst == nil {
		return problem("%s needs a result", src.Op)
	}
	if src.Op == plan.Mma && in.b != nil && in.b.esize == 0 && in.b.rank == 2 && src.B.DenseAxis() == 0 {
		t := src.B
		t.Size, t.Stride = []plan.Val{t.Size[1], t.Size[0]}, []int64{t.Stride[1], 0}
		if in.b, err = z.operand(k, &t, false); err != nil {
			return err
		}
		in.turned = true
	}
	if in.d != nil && src.Op != plan.Mma {
		return problem("%s has three operands at most", src.Op)
	}
	if in.dst2 != nil && src.Op != plan.VTopK && src.Op != plan.VGroup {
		return problem("%s has one result", src.Op)
	}
	flush := z.c.FlushSubnormals
	switch src.Op {
	case plan.Move:
		in.run = runMove
		err = z.move(in, src)
	case plan.Mma:
		in.run = runMma
		var rate *chip.MatrixRate
		if in.a != nil && in.b != nil {
			rate = z.rate(rateKey{src.Queue, in.a.fmt, in.b.fmt, in.dst.fmt})
		}
		err = in.checkMma(rate)
	case plan.Vec:
		in.run = runVec
		err = in.checkVec(flush)
	case plan.VReduce:
		in.run = runReduce
		err = in.checkReduce(flush, z.c.FoldLanes())
	case plan.VScan:
		in.run = runScan
		err = in.checkScan(flush)
	case plan.VIota:
		in.run = runIota
		if in.a != nil || in.b != nil || in.c != nil || in.dst.fmt == format.Bool {
			err = problem("iota takes no operand and gives numbers")
		}
	case plan.VTopK:
		in.run = runTopK
		err = in.checkTopK()
	case plan.VTake:
		in.run = runTake
		err = in.checkTake()
	case plan.VPut:
		in.run = runPut
		err = in.checkPut(flush)
	case plan.VGroup:
		in.run = runGroup
		err = in.checkGroup()
	}
	if err != nil {
		return err
	}
	for _, o := range []*operand{in.dst2, in.a, in.b, in.c, in.d} {
		if o != nil && o.rank != in.dst.rank {
			return problem("tiles of %d and %d axes", in.dst.rank, o.rank)
		}
	}
	if in.dst.rank == 0 && src.Op != plan.Move && src.Op != plan.Vec && src.Op != plan.VIota {
		return problem("%s needs an axis", src.Op)
	}
	in.counts = src.Op == plan.VIota
	return in.checkFit()
}

// move checks a copy between memories.
func (z *compiler) move(in *instr, src *plan.Instr) error {
	if in.a == nil || in.b != nil || in.c != nil {
		return problem("move has one operand")
	}
	if src.Path < 0 || src.Path >= len(z.c.Paths) {
		return problem("path %d of %d", src.Path, len(z.c.Paths))
	}
	p := z.c.Paths[src.Path]
	from, to := z.p.Memories[in.a.mem].Name, z.p.Memories[in.dst.mem].Name
	if p.From != from || p.To != to {
		return problem("path %d goes from %s to %s, found %s to %s", src.Path, p.From, p.To, from, to)
	}
	if in.a.fmt != in.dst.fmt {
		if !p.CanCast(in.a.fmt, in.dst.fmt) {
			return problem("the path from %s to %s does not convert %s to %s", from, to, in.a.fmt, in.dst.fmt)
		}
		in.setCast(in.a.fmt, in.dst.fmt)
	}
	return nil
}

// rate finds how the chip multiplies: the engine of the queue first.
func (z *compiler) rate(key rateKey) *chip.MatrixRate {
	if r, ok := z.rates[key]; ok {
		return r
	}
	var best *chip.MatrixRate
	name := ""
	if key.queue < len(z.p.Queues) {
		name = z.p.Queues[key.queue].Name
	}
	for _, e := range z.c.EnginesOf(chip.Matrix) {
		for i := range e.Matrix {
			r := &e.Matrix[i]
			if r.A == key.a && r.B == key.b && r.Acc == key.acc && (best == nil || e.Queue == name) {
				best = r
				if e.Queue == name {
					break
				}
			}
		}
	}
	z.rates[key] = best
	return best
}
