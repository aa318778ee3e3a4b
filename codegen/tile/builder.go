package tile

import (
	"fmt"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// K builds one kernel.
type K struct {
	T    *Target
	Kern plan.Kernel
	Pos  plan.Pos // given to the instructions that follow

	root  *node // the code of one block
	cur   *node
	bufs  []*Buf
	regs  int
	space int // parameter of the workspace, or -1
	err   error
}

// node is an instruction or a loop of instructions.
type node struct {
	ins    plan.Instr
	body   []*node // of a loop
	loop   bool
	parent *node
	access []access
	// before and after hold what sync.go adds around this node.
	before, after []plan.Instr
}

type access struct {
	buf   *Buf
	write bool
}

// Buf is a piece of a memory of a core (or of its part of the workspace in global memory).
type Buf struct {
	Name  string
	Mem   int
	Bytes int64 // of one slot
	Slots int
	slot  plan.Reg // which slot is in use, when there are several
	id    int
	addr  int64
}

// View is a strided tile: of a buffer, or of a parameter when Buf is nil.
type View struct {
	Buf    *Buf
	Param  int
	Format format.Format
	Base   plan.Val   // bytes from the start of the slot or of the parameter
	Size   []plan.Val // along each axis
	Stride []int64    // bytes
}

// New starts a kernel.
func New(t *Target, name string) *K {
	k := &K{T: t, regs: int(plan.FirstReg), space: -1}
	k.Kern.Name = name
	k.root = &node{loop: true}
	k.cur = k.root
	return k
}

// Fail keeps the first error; Finish returns it.
func (k *K) Fail(format string, args ...any) {
	if k.err == nil {
		k.err = fmt.Errorf("kernel %s: "+format, append([]any{k.Kern.Name}, args...)...)
	}
}

// Param adds a buffer that the kernel is given at launch; bytes is how much of it the kernel may touch.
func (k *K) Param(name string, f format.Format, bytes int64, read, write bool) int {
	k.Kern.Params = append(k.Kern.Params, plan.Param{Name: name, Format: f, Size: bytes, Read: read, Write: write})
	return len(k.Kern.Params) - 1
}

// Workspace is the parameter of the scratch in global memory, or -1 if the kernel needs none; WorkspaceBytes is what one
// core needs of it.
func (k *K) Workspace() int { return k.space }

// Block is the number of the block.
func (k *K) Block() plan.Val { return plan.R(plan.RegBlock) }

// Reg makes a new register.
func (k *K) Reg() plan.Reg {
	k.regs++
	return plan.Reg(k.regs - 1)
}

// Set computes X fn Y into a new register and returns its value; constants are folded.
func (k *K) Set(fn plan.Fn, x, y plan.Val) plan.Val {
	if x.IsConst() && y.IsConst() {
		return plan.C(ScalarFn(fn, x.C, y.C))
	}
	switch {
	case fn == plan.VAdd:
		return x.Add(y)
	case fn == plan.VSub:
		return x.Add(y.Scale(-1))
	case fn == plan.VMul && x.IsConst():
		return y.Scale(x.C)
	case fn == plan.VMul && y.IsConst():
		return x.Scale(y.C)
	case fn == plan.SDiv && y.IsConst() && y.C == 1:
		return x
	case fn == plan.SMod && y.IsConst() && y.C == 1:
		return plan.C(0)
	}
	r := k.Reg()
	k.emit(plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: fn, X: x, Y: y, Reg: r})
	return plan.R(r)
}

// SetReg computes X fn Y into a given register, for values that change in a loop.
func (k *K) SetReg(r plan.Reg, fn plan.Fn, x, y plan.Val) {
	k.emit(plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: fn, X: x, Y: y, Reg: r})
}

// ScalarFn is the meaning of Set's functions.
func ScalarFn(fn plan.Fn, x, y int64) int64 {
	switch fn {
	case plan.VAdd:
		return x + y
	case plan.VSub:
		return x - y
	case plan.VMul:
		return x * y
	case plan.VMax:
		return max(x, y)
	case plan.VMin:
		return min(x, y)
	case plan.SDiv:
		q := x / y
		if x%y < 0 {
			q--
		}
		return q
	case plan.SMod:
		return x - y*ScalarFn(plan.SDiv, x, y)
	case plan.SLt:
		if x < y {
			return 1
		}
		return 0
	}
	panic("tile: not a scalar function")
}

// Min, Div, Mod and CeilDiv are short for Set.
func (k *K) Min(x, y plan.Val) plan.Val           { return k.Set(plan.VMin, x, y) }
func (k *K) Max(x, y plan.Val) plan.Val           { return k.Set(plan.VMax, x, y) }
func (k *K) Div(x plan.Val, y int64) plan.Val     { return k.Set(plan.SDiv, x, plan.C(y)) }
func (k *K) Mod(x plan.Val, y int64) plan.Val     { return k.Set(plan.SMod, x, plan.C(y)) }
func (k *K) CeilDiv(x plan.Val, y int64) plan.Val { return k.Set(plan.SDiv, x.AddC(y-1), plan.C(y)) }

// Rest is how many of total elements are left for a tile of the given size that starts at start: min(size, total-start).
func (k *K) Rest(size int64, total, start plan.Val) plan.Val {
	left := total.Add(start.Scale(-1))
	if left.IsConst() {
		return plan.C(min(size, left.C))
	}
	return k.Min(plan.C(size), left)
}

// Tiles loops over tiles of the given size that cover total elements: f gets the start and the length of each. A single tile needs
// no loop, and lengths are constant where the size divides the total.
func (k *K) Tiles(total plan.Val, size int64, f func(start, n plan.Val)) {
	if total.IsConst() && total.C <= size {
		if total.C > 0 {
			f(plan.C(0), total)
		}
		return
	}
	k.Loop(k.CeilDiv(total, size), func(i plan.Val) {
		start := i.Scale(size)
		if total.IsConst() && total.C%size == 0 {
			f(start, plan.C(size))
			return
		}
		f(start, k.Rest(size, total, start))
	})
}

// Loop runs body n times, with the counter from 0.
func (k *K) Loop(n plan.Val, body func(i plan.Val)) { k.LoopFrom(plan.C(0), n, body) }

// LoopFrom runs body n times, with the counter from a first value.
func (k *K) LoopFrom(from, n plan.Val, body func(i plan.Val)) {
	r := k.Reg()
	l := &node{loop: true, parent: k.cur, ins: plan.Instr{Op: plan.Loop, Queue: k.T.scalar, Reg: r, X: from, Y: n, Pos: k.Pos}}
	k.clearTiles(&l.ins)
	k.cur.body = append(k.cur.body, l)
	k.cur = l
	body(plan.R(r))
	k.cur = l.parent
}

// If runs body when cond is not 0; cond must be 0 or 1.
func (k *K) If(cond plan.Val, body func()) {
	if cond.IsConst() {
		if cond.C != 0 {
			body()
		}
		return
	}
	k.Loop(cond, func(plan.Val) { body() })
}

// Alloc reserves a buffer of a memory. With several slots, each round of the innermost loop that contains all its uses works in the
// next slot, so that the round after may begin to fill while this one is still read.
func (k *K) Alloc(name string, mem int, bytes int64, slots int) *Buf {
	b := &Buf{Name: name, Mem: mem, Bytes: roundUp(bytes, k.T.Memories[mem].Align), Slots: max(slots, 1), id: len(k.bufs)}
	if b.Slots > 1 {
		b.slot = k.Reg()
	}
	if mem == 0 && k.space < 0 {
		k.space = k.Param("workspace", format.U8, 0, true, true)
	}
	k.bufs = append(k.bufs, b)
	return b
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// Dense is the view of a whole buffer as a dense tile whose rows are padded to dims (the largest sizes); sizes are what is in
// use. dims and size have one entry an axis.
func (k *K) Dense(b *Buf, f format.Format, dims []int64, size []plan.Val) View {
	v := View{Buf: b, Param: -1, Format: f, Size: size, Stride: DenseStrides(f, dims)}
	return v
}

// DenseStrides are the byte strides of a dense row-major tile.
func DenseStrides(f format.Format, dims []int64) []int64 {
	s := make([]int64, len(dims))
	n := int64(f.Bits()) // bits
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = n / 8
		n *= dims[i]
	}
	return s
}

// Global is a view of a parameter.
func (k *K) Global(param int, f format.Format, base plan.Val, size []plan.Val, stride []int64) View {
	return View{Param: param, Format: f, Base: base, Size: size, Stride: stride}
}

// Consts makes constant values.
func Consts(n ...int64) []plan.Val {
	out := make([]plan.Val, len(n))
	for i, x := range n {
		out[i] = plan.C(x)
	}
	return out
}

// Mem is the number of the memory the view is in.
func (v View) Mem() int {
	if v.Buf != nil {
		return v.Buf.Mem
	}
	return 0
}

// Slice narrows one axis to n elements from start.
func (v View) Slice(axis int, start, n plan.Val) View {
	v.Base = v.Base.Add(start.Scale(v.Stride[axis]))
	v.Size = append([]plan.Val(nil), v.Size...)
	v.Size[axis] = n
	return v
}

// Valid reports whether the view names anything.
func (v View) Valid() bool { return v.Size != nil }

func (k *K) tile(v View) plan.Tile {
	if !v.Valid() {
		return plan.NoTile
	}
	t := plan.Tile{Mem: v.Mem(), Format: v.Format, Base: v.Base, Size: v.Size, Stride: v.Stride, Param: -1, Local: -1}
	if v.Buf == nil {
		t.Param = v.Param
		return t
	}
	t.Local = v.Buf.id
	if v.Buf.Slots > 1 {
		t.Base = t.Base.Add(plan.R(v.Buf.slot).Scale(v.Buf.Bytes))
	}
	return t
}

func (k *K) clearTiles(i *plan.Instr) {
	for _, t := range []*plan.Tile{&i.Dst, &i.Dst2, &i.A, &i.B, &i.C} {
		if t.Size == nil {
			*t = plan.NoTile
		}
	}
}

func (k *K) emit(i plan.Instr, acc ...access) *node {
	k.clearTiles(&i)
	i.Pos = k.Pos
	n := &node{ins: i, parent: k.cur}
	for _, a := range acc {
		if a.buf != nil {
			n.access = append(n.access, a)
		}
	}
	k.cur.body = append(k.cur.body, n)
	return n
}

// Move copies a tile along the direct path between the two memories.
func (k *K) Move(dst, src View) { k.MoveIndexed(dst, src, View{}, View{}) }

// MoveIndexed is Move with index lists (i32) for axis 0 of the destination or the source.
func (k *K) MoveIndexed(dst, src, dstIndex, srcIndex View) {
	p := k.T.path(src.Mem(), dst.Mem())
	if p < 0 {
		k.Fail("no path from %s to %s", k.T.Memories[src.Mem()].Name, k.T.Memories[dst.Mem()].Name)
		return
	}
	if !dstIndex.Valid() && !srcIndex.Valid() {
		coalesce(false, &dst, &src)
		// A transfer has so many axes and no more: the scalar unit steps through the others.
		if limit := max(k.T.Chip.Paths[p].MaxDims, 2); len(dst.Size) > limit {
			k.Loop(dst.Size[0], func(i plan.Val) {
				k.Move(dst.Slice(0, i, plan.C(1)), src.Slice(0, i, plan.C(1)))
			})
			return
		}
	}
	i := plan.Instr{Op: plan.Move, Queue: k.T.Queue(k.T.Chip.Paths[p].Engine), Path: p, Dst: k.tile(dst), A: k.tile(src)}
	acc := []access{{dst.Buf, true}, {src.Buf, false}}
	if dstIndex.Valid() {
		t := k.tile(dstIndex)
		i.Dst.Index = &t
		acc = append(acc, access{dstIndex.Buf, false})
	}
	if srcIndex.Valid() {
		t := k.tile(srcIndex)
		i.A.Index = &t
		acc = append(acc, access{srcIndex.Buf, false})
	}
	k.emit(i, acc...)
}

// Transfer brings a tile to another memory, over intermediate memories where no direct path exists; those stages
// get buffers of their own with the given number of slots. dims are the tile's largest sizes. The destination must be a buffer of mem, or
// an invalid view to have one allocated.
func (k *K) Transfer(src View, mem int, dims []int64, slots int, dst View) View {
	way := k.T.Route(src.Mem(), mem)
	if way == nil {
		k.Fail("no way from %s to %s", k.T.Memories[src.Mem()].Name, k.T.Memories[mem].Name)
		return src
	}
	for i, m := range way {
		var next View
		if i == len(way)-1 && dst.Valid() {
			next = dst
		} else {
			next = k.Dense(k.Alloc("stage", m, TileBytes(src.Format, dims), slots), src.Format, dims, src.Size)
		}
		k.Move(next, src)
		src = next
	}
	return src
}

// TileBytes is the size of a dense tile.
func TileBytes(f format.Format, dims []int64) int64 {
	n := int64(f.Bits())
	for _, d := range dims {
		n *= d
	}
	return (n + 7) / 8
}

// Mma adds A·B to acc, or sets acc to it while keep is 0.
func (k *K) Mma(engine string, acc, a, b View, keep plan.Val) {
	k.emit(plan.Instr{Op: plan.Mma, Queue: k.T.Queue(engine), Dst: k.tile(acc), A: k.tile(a), B: k.tile(b), Acc: keep},
		access{a.Buf, false}, access{b.Buf, false}, access{acc.Buf, true})
}

// Vec emits an instruction of the vector family (Vec, VReduce, VScan, VIota, VTopK, VTake, VPut, VGroup) on the queue of the vector
// engine; the caller fills everything but Queue and the tiles.
func (k *K) Vec(queue int, i plan.Instr, dst, a, b, c View) { k.Vec2(queue, i, dst, View{}, a, b, c) }

// Vec2 is Vec with a second result.
func (k *K) Vec2(queue int, i plan.Instr, dst, dst2, a, b, c View) {
	i.Queue = queue
	switch i.Op {
	case plan.Vec:
		coalesce(false, &dst, &a, &b, &c)
	case plan.VReduce, plan.VScan, plan.VTopK, plan.VTake, plan.VPut:
		coalesce(true, &dst, &dst2, &a, &b, &c)
	}
	i.Dst, i.Dst2, i.A, i.B, i.C = k.tile(dst), k.tile(dst2), k.tile(a), k.tile(b), k.tile(c)
	k.emit(i, access{a.Buf, false}, access{b.Buf, false}, access{c.Buf, false}, access{dst.Buf, true}, access{dst2.Buf, true})
}

// LoadScalar reads one integer into a new register. src has one element; assume stands for it when there is no data.
func (k *K) LoadScalar(src View, assume plan.Assume) plan.Val {
	r := k.Reg()
	k.emit(plan.Instr{Op: plan.LoadScalar, Queue: k.T.scalar, A: k.tile(src), Reg: r, Assume: &assume}, access{src.Buf, false})
	return plan.R(r)
}
