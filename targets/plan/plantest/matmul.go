package plantest

import (
	"apogee/ir/format"
	"apogee/targets/plan"
)

// The memories of the toy chip, as indices into Plan.Memories.
const (
	GM = iota
	L1
	L0A
	L0B
	L0C
	UB
)

// The queues of the toy chip.
const (
	S = iota
	In
	Feed
	M
	Out
	V
)

// The paths of the toy chip.
const (
	PathIn = iota
	PathA
	PathB
	PathC
	PathUB
	PathUBOut
)

// Memories are those of the toy chip.
func Memories() []plan.Memory {
	return []plan.Memory{
		{Name: "gm", Size: 1 << 30, Align: 32},
		{Name: "l1", Size: 512 << 10, Align: 32},
		{Name: "l0a", Size: 64 << 10, Align: 32},
		{Name: "l0b", Size: 64 << 10, Align: 32},
		{Name: "l0c", Size: 128 << 10, Align: 32},
		{Name: "ub", Size: 192 << 10, Align: 32},
	}
}

// Queues are those of the toy chip.
func Queues() []plan.Queue {
	return []plan.Queue{
		{Name: "s", Kind: plan.Scalar}, {Name: "mte2", Kind: plan.DMA}, {Name: "mte1", Kind: plan.DMA},
		{Name: "m", Kind: plan.Matrix}, {Name: "fix", Kind: plan.DMA}, {Name: "v", Kind: plan.Vector},
	}
}

// Instr makes an instruction without tiles.
func Instr(op plan.Opcode, queue int) plan.Instr {
	in := plan.Instr{Op: op, Queue: queue}
	in.NoTiles()
	return in
}

// Tile makes a tile of any rank: sizes and strides alternate.
func Tile(mem, what int, f format.Format, base plan.Val, dims ...Dim) plan.Tile {
	t := plan.Tile{Mem: mem, Format: f, Base: base}
	if mem == 0 {
		t.Param = what
	} else {
		t.Local = what
	}
	for _, d := range dims {
		t.Size = append(t.Size, d.Size)
		t.Stride = append(t.Stride, d.Stride)
	}
	return t
}

// Dim is one axis of a tile.
type Dim struct {
	Size   plan.Val
	Stride int64
}

// Builder collects the code of a kernel.
type Builder struct {
	plan.Kernel
	open []int
	pos  int32
}

func (b *Builder) add(in plan.Instr) {
	b.pos++
	in.Pos = plan.Pos{File: 1, Line: b.pos, Col: 3, Scope: 1}
	b.Code = append(b.Code, in)
}

// Loop opens a loop.
func (b *Builder) Loop(r plan.Reg, from, times plan.Val) {
	in := Instr(plan.Loop, S)
	in.Reg, in.X, in.Y = r, from, times
	b.open = append(b.open, len(b.Code))
	b.add(in)
}

// End closes the innermost loop.
func (b *Builder) End() {
	in := Instr(plan.End, S)
	in.Jump = b.open[len(b.open)-1]
	b.Code[in.Jump].Jump = len(b.Code)
	b.open = b.open[:len(b.open)-1]
	b.add(in)
}

// Set computes a register.
func (b *Builder) Set(r plan.Reg, fn plan.Fn, x, y plan.Val) {
	in := Instr(plan.Set, S)
	in.Reg, in.Fn, in.X, in.Y = r, fn, x, y
	b.add(in)
}

// Load reads a scalar.
func (b *Builder) Load(r plan.Reg, from plan.Tile, a *plan.Assume) {
	in := Instr(plan.LoadScalar, S)
	in.Reg, in.A, in.Assume = r, from, a
	b.add(in)
}

// Signal signals a flag.
func (b *Builder) Signal(flag int) {
	in := Instr(plan.Signal, b.Flags[flag].From)
	in.Flag = flag
	b.add(in)
}

// Wait waits for a flag.
func (b *Builder) Wait(flag int) {
	in := Instr(plan.Wait, b.Flags[flag].To)
	in.Flag = flag
	b.add(in)
}

// Move moves a tile.
func (b *Builder) Move(queue, path int, dst, src plan.Tile) {
	in := Instr(plan.Move, queue)
	in.Path, in.Dst, in.A = path, dst, src
	b.add(in)
}

// Mma multiplies.
func (b *Builder) Mma(dst, x, y plan.Tile, acc plan.Val) {
	in := Instr(plan.Mma, M)
	in.Dst, in.A, in.B, in.Acc = dst, x, y, acc
	b.add(in)
}

// Vec works elementwise.
func (b *Builder) Vec(fn plan.Fn, imm float64, dst plan.Tile, from ...plan.Tile) {
	in := Instr(plan.Vec, V)
	in.Fn, in.Imm, in.Dst = fn, imm, dst
	for i, t := range from {
		*[...]*plan.Tile{&in.A, &in.B, &in.C}[i] = t
	}
	b.add(in)
}

// Size is the problem and tile sizes of [Matmul].
type Size struct {
	M, K, N    int64
	BM, BK, BN int64
}

// MatmulKernel is C[M,N] f32 = A[M,K] f16 · B[K,N] f16 with two slots in every memory on the way. Block b makes the tile
// of C at row b / (N/BN), column b mod (N/BN).
func MatmulKernel(s Size) plan.Kernel {
	const (
		rm, rn, rmm, rnn, rk, rkk, slot, more = plan.Reg(3), plan.Reg(4), plan.Reg(5), plan.Reg(6), plan.Reg(7), plan.Reg(8), plan.Reg(9), plan.Reg(10)
	)
	const (
		l1Free = iota
		l1Full
		l0Free
		l0Full
		cFree
		cFull
	)
	r, c := plan.R, plan.C
	b := &Builder{Kernel: plan.Kernel{
		Name: "matmul",
		Params: []plan.Param{
			{Name: "a", Format: format.F16, Size: s.M * s.K * 2, Read: true},
			{Name: "b", Format: format.F16, Size: s.K * s.N * 2, Read: true},
			{Name: "c", Format: format.F32, Size: s.M * s.N * 4, Write: true},
		},
		Flags: []plan.Flag{
			{Name: "l1_free", From: Feed, To: In, Credits: 2}, {Name: "l1_full", From: In, To: Feed},
			{Name: "l0_free", From: M, To: Feed, Credits: 2}, {Name: "l0_full", From: Feed, To: M},
			{Name: "c_free", From: Out, To: M, Credits: 1}, {Name: "c_full", From: M, To: Out},
		},
		Regs:  11,
		Flops: 2 * float64(s.M*s.K*s.N),
	}}
	sa, sb, sc := s.BM*s.BK*2, s.BK*s.BN*2, s.BM*s.BN*4
	nk, nn := (s.K+s.BK-1)/s.BK, (s.N+s.BN-1)/s.BN
	b.Locals = []plan.Local{
		{Name: "l1_a", Mem: L1, Addr: 0, Size: 2 * sa, Slots: 2},
		{Name: "l1_b", Mem: L1, Addr: 2 * sa, Size: 2 * sb, Slots: 2},
		{Name: "l0_a", Mem: L0A, Size: 2 * sa, Slots: 2},
		{Name: "l0_b", Mem: L0B, Size: 2 * sb, Slots: 2},
		{Name: "l0_c", Mem: L0C, Size: sc, Slots: 1},
	}
	at := func(mem, local int, base plan.Val, rows, cols plan.Val, width int64) plan.Tile {
		return Tile(mem, local, format.F16, base, Dim{rows, width * 2}, Dim{cols, 2})
	}
	b.Set(rm, plan.SDiv, r(plan.RegBlock), c(nn))
	b.Set(rn, plan.SMod, r(plan.RegBlock), c(nn))
	b.Set(rmm, plan.VMin, c(s.BM), c(s.M).Add(r(rm).Scale(-s.BM)))
	b.Set(rnn, plan.VMin, c(s.BN), c(s.N).Add(r(rn).Scale(-s.BN)))
	b.Wait(cFree)
	b.Loop(rk, c(0), c(nk))
	b.Set(rkk, plan.VMin, c(s.BK), c(s.K).Add(r(rk).Scale(-s.BK)))
	b.Set(slot, plan.SMod, r(rk), c(2))
	b.Set(more, plan.SLt, c(0), r(rk))
	b.Wait(l1Free)
	gmA := at(GM, 0, r(rm).Scale(s.BM*s.K*2).Add(r(rk).Scale(s.BK*2)), r(rmm), r(rkk), s.K)
	gmB := at(GM, 1, r(rk).Scale(s.BK*s.N*2).Add(r(rn).Scale(s.BN*2)), r(rkk), r(rnn), s.N)
	l1A := at(L1, 0, r(slot).Scale(sa), r(rmm), r(rkk), s.BK)
	l1B := at(L1, 1, r(slot).Scale(sb).AddC(2*sa), r(rkk), r(rnn), s.BN)
	l0A := at(L0A, 2, r(slot).Scale(sa), r(rmm), r(rkk), s.BK)
	l0B := at(L0B, 3, r(slot).Scale(sb), r(rkk), r(rnn), s.BN)
	l0C := Tile(L0C, 4, format.F32, c(0), Dim{r(rmm), s.BN * 4}, Dim{r(rnn), 4})
	b.Move(In, PathIn, l1A, gmA)
	b.Move(In, PathIn, l1B, gmB)
	b.Signal(l1Full)
	b.Wait(l1Full)
	b.Wait(l0Free)
	b.Move(Feed, PathA, l0A, l1A)
	b.Move(Feed, PathB, l0B, l1B)
	b.Signal(l1Free)
	b.Signal(l0Full)
	b.Wait(l0Full)
	b.Mma(l0C, l0A, l0B, r(more))
	b.Signal(l0Free)
	b.End()
	b.Signal(cFull)
	b.Wait(cFull)
	gmC := Tile(GM, 2, format.F32, r(rm).Scale(s.BM*s.N*4).Add(r(rn).Scale(s.BN*4)), Dim{r(rmm), s.N * 4}, Dim{r(rnn), 4})
	b.Move(Out, PathC, gmC, l0C)
	b.Signal(cFree)
	for i := range b.Locals {
		b.Locals[i].Last = len(b.Code) - 1
	}
	return b.Kernel
}

// Matmul is a plan of one launch of [MatmulKernel].
func Matmul(s Size) *plan.Plan {
	k := MatmulKernel(s)
	nm, nn := (s.M+s.BM-1)/s.BM, (s.N+s.BN-1)/s.BN
	p := &plan.Plan{
		Model: "toy", Entry: "main", Chip: "toy", Precision: "f16",
		Memories: Memories(), Queues: Queues(), Files: []string{"toy.mg"}, Scopes: []string{"layers.0.proj"},
		Kernels: []plan.Kernel{k},
	}
	at := int64(0)
	for i, prm := range k.Params {
		kind := [...]plan.BufferKind{plan.Input, plan.Weight, plan.Output}[i]
		shape := [...][]int64{{s.M, s.K}, {s.K, s.N}, {s.M, s.N}}[i]
		buf := plan.Buffer{Name: prm.Name, Kind: kind, Format: prm.Format, Shape: shape, Addr: at, Size: prm.Size}
		if kind == plan.Weight {
			buf.Source = &plan.Source{Name: "layers.0.proj.weight", Stored: format.F16, Shape: shape}
		}
		p.Buffers = append(p.Buffers, buf)
		at += (prm.Size + 31) / 32 * 32
	}
	p.Steps = []plan.Step{{Name: "layers.0.proj", Grid: nm * nn, Pos: plan.Pos{File: 1, Line: 1, Col: 1, Scope: 1},
		Args: []plan.Arg{{Buffer: 0}, {Buffer: 1}, {Buffer: 2}}}}
	return p
}
