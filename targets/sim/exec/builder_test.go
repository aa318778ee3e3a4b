package exec

import (
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// builder writes plans by hand.
type builder struct {
	t    testing.TB
	c    *chip.Chip
	p    *plan.Plan
	addr int64
	k    *plan.Kernel // being written
	used []int64      // bytes of each memory
	loop []int
}

var chips sync.Map

// loadChip reads a shipped chip, once; the copy is the caller's to change at its top level.
func loadChip(t testing.TB, name string) *chip.Chip {
	t.Helper()
	c, ok := chips.Load(name)
	if !ok {
		x, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		c, _ = chips.LoadOrStore(name, x)
	}
	own := *c.(*chip.Chip)
	return &own
}

func newBuilder(t testing.TB, c *chip.Chip) *builder {
	b := &builder{t: t, c: c, p: &plan.Plan{Model: "test", Entry: "main", Chip: c.Name, Files: []string{"model.mg"}, Scopes: []string{"layers.0"}}}
	g := c.Global()
	b.p.Memories = append(b.p.Memories, plan.Memory{Name: g.Name, Size: int64(g.Size.Value), Align: int64(max(g.Align, 1))})
	for _, m := range c.Memories {
		if m != g && !m.Is(chip.RoleCache) {
			b.p.Memories = append(b.p.Memories, plan.Memory{Name: m.Name, Size: int64(m.Size.Value) * int64(max(m.Units, 1)), Align: int64(max(m.Align, 1))})
		}
	}
	for _, e := range c.Engines {
		if slices.IndexFunc(b.p.Queues, func(q plan.Queue) bool { return q.Name == e.Queue }) < 0 {
			kind := map[chip.EngineKind]plan.QueueKind{chip.Scalar: plan.Scalar, chip.DMA: plan.DMA, chip.Matrix: plan.Matrix, chip.Vector: plan.Vector}[e.Kind]
			b.p.Queues = append(b.p.Queues, plan.Queue{Name: e.Queue, Kind: kind})
		}
	}
	return b
}

func (b *builder) mem(name string) int {
	i := slices.IndexFunc(b.p.Memories, func(m plan.Memory) bool { return m.Name == name })
	if i < 0 {
		b.t.Fatalf("no memory %s", name)
	}
	return i
}

func (b *builder) queue(engine string) int {
	e := b.c.Engine(engine)
	if e == nil {
		b.t.Fatalf("no engine %s", engine)
	}
	return slices.IndexFunc(b.p.Queues, func(q plan.Queue) bool { return q.Name == e.Queue })
}

func (b *builder) buffer(name string, kind plan.BufferKind, f format.Format, shape ...int64) int {
	_, size, err := tensor.Count(f, shape)
	if err != nil {
		b.t.Fatal(err)
	}
	buf := plan.Buffer{Name: name, Kind: kind, Format: f, Shape: shape, Addr: b.addr, Size: size}
	if kind == plan.Weight {
		buf.Source = &plan.Source{Name: name, Stored: f, Shape: shape}
	}
	b.p.Buffers = append(b.p.Buffers, buf)
	b.addr += (size + 255) / 256 * 256
	return len(b.p.Buffers) - 1
}

// kernel begins a kernel; its parameters are whole buffers.
func (b *builder) kernel(name string) {
	b.p.Kernels = append(b.p.Kernels, plan.Kernel{Name: name, Regs: int(plan.FirstReg)})
	b.k = &b.p.Kernels[len(b.p.Kernels)-1]
	b.used = make([]int64, len(b.p.Memories))
}

func (b *builder) param(buffer int, read, write bool) int {
	buf := &b.p.Buffers[buffer]
	b.k.Params = append(b.k.Params, plan.Param{Name: buf.Name, Format: buf.Format, Size: buf.Size, Read: read, Write: write})
	return len(b.k.Params) - 1
}

// launch adds a step with the given buffers.
func (b *builder) launch(grid int64, buffers ...int) {
	s := plan.Step{Kernel: len(b.p.Kernels) - 1, Grid: grid, Name: b.k.Name}
	for _, x := range buffers {
		s.Args = append(s.Args, plan.Arg{Buffer: x})
	}
	b.p.Steps = append(b.p.Steps, s)
	for i := range b.k.Locals {
		b.k.Locals[i].Last = len(b.k.Code) - 1
	}
	for i := range b.p.Buffers {
		b.p.Buffers[i].Last = len(b.p.Steps) - 1
	}
}

func (b *builder) local(name, mem string, bytes int64, slots int) int {
	m := b.mem(mem)
	align := b.p.Memories[m].Align
	bytes = (bytes + align - 1) / align * align * int64(slots)
	b.k.Locals = append(b.k.Locals, plan.Local{Name: name, Mem: m, Addr: b.used[m], Size: bytes, Slots: slots})
	b.used[m] += bytes
	return len(b.k.Locals) - 1
}

func (b *builder) reg() plan.Reg { b.k.Regs++; return plan.Reg(b.k.Regs - 1) }

func (b *builder) flag(name string, from, to, credits int) int {
	b.k.Flags = append(b.k.Flags, plan.Flag{Name: name, From: from, To: to, Credits: credits})
	return len(b.k.Flags) - 1
}

func (b *builder) emit(in plan.Instr) int {
	for _, t := range in.Tiles() {
		if t.Size == nil && t.Format == format.Invalid {
			*t = plan.NoTile
		}
	}
	in.Pos = plan.Pos{File: 1, Line: int32(len(b.k.Code) + 1), Col: 3, Scope: 1}
	b.k.Code = append(b.k.Code, in)
	return len(b.k.Code) - 1
}

func (b *builder) set(fn plan.Fn, x, y plan.Val) plan.Val {
	r := b.reg()
	b.emit(plan.Instr{Op: plan.Set, Fn: fn, X: x, Y: y, Reg: r})
	return plan.R(r)
}

func (b *builder) begin(n plan.Val) plan.Val {
	r := b.reg()
	b.loop = append(b.loop, b.emit(plan.Instr{Op: plan.Loop, Reg: r, X: plan.C(0), Y: n}))
	return plan.R(r)
}

func (b *builder) end() {
	at := b.loop[len(b.loop)-1]
	b.loop = b.loop[:len(b.loop)-1]
	b.k.Code[at].Jump = b.emit(plan.Instr{Op: plan.End, Jump: at})
}

func (b *builder) signal(flag int) {
	b.emit(plan.Instr{Op: plan.Signal, Queue: b.k.Flags[flag].From, Flag: flag})
}
func (b *builder) wait(flag int) {
	b.emit(plan.Instr{Op: plan.Wait, Queue: b.k.Flags[flag].To, Flag: flag})
}

// tile of a local, dense.
func (b *builder) at(local int, f format.Format, base plan.Val, size ...int64) plan.Tile {
	l := &b.k.Locals[local]
	t := denseTile(f, size...)
	t.Mem, t.Local, t.Param, t.Base = l.Mem, local, -1, base.AddC(l.Addr)
	return t
}

// tile of a parameter, dense.
func (b *builder) global(param int, f format.Format, base plan.Val, size ...int64) plan.Tile {
	t := denseTile(f, size...)
	t.Mem, t.Local, t.Param, t.Base = 0, -1, param, base
	return t
}

func denseTile(f format.Format, size ...int64) plan.Tile {
	t := plan.Tile{Format: f, Stride: make([]int64, len(size))}
	bits := int64(f.Bits())
	for i := len(size) - 1; i >= 0; i-- {
		t.Stride[i] = bits / 8
		bits *= size[i]
	}
	for _, n := range size {
		t.Size = append(t.Size, plan.C(n))
	}
	return t
}

// strided replaces the strides, in bytes.
func strided(t plan.Tile, stride ...int64) plan.Tile {
	t.Stride = stride
	return t
}

func (b *builder) path(from, to string) (path, queue int) {
	for i, p := range b.c.Paths {
		if p.From == from && p.To == to {
			return i, b.queue(p.Engine)
		}
	}
	b.t.Fatalf("no path from %s to %s", from, to)
	return 0, 0
}

func (b *builder) move(dst, a plan.Tile) {
	p, q := b.path(b.p.Memories[a.Mem].Name, b.p.Memories[dst.Mem].Name)
	b.emit(plan.Instr{Op: plan.Move, Queue: q, Path: p, Dst: dst, A: a})
}

// weights is a set of tensors.
type weights map[string]*tensor.Tensor

func (w weights) Tensor(name string) (*tensor.Tensor, error) {
	if t := w[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

func random(t testing.TB, r *rand.Rand, f format.Format, shape ...int64) *tensor.Tensor {
	t.Helper()
	n, _, err := tensor.Count(f, shape)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
		if f.IsInt() {
			x[i] = float64(r.Intn(200) - 100)
		}
	}
	out, err := tensor.FromF64(f, shape, x)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
