package tile

import (
	"fmt"

	"apogee/targets/plan"

	"apogee/ir/format"
)

// K builds one kernel. Methods that add code append it to the innermost open loop; the first error is kept and
// returned by [K.Finish].
type K struct {
	T    *Target
	Kern plan.Kernel
	Pos  plan.Pos // given to the instructions that follow
	What string   // what the instructions that follow compute, for errors

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
	ahead  bool           // a loop whose loads may be issued a round ahead, see ahead.go
	first  bool           // of such a loop: to be issued ahead
	take   map[*node]bool // what is issued ahead in the end
	parent *node
	access []access
	// before and after hold the waits and signals that sync.go puts around this node, and before those, code that
	// ahead.go puts ahead of a loop.
	before, after []plan.Instr
	prologue      []*node
}

// access says that an instruction reads or writes a buffer.
type access struct {
	buf   *Buf
	write bool
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

// Err is the first error so far.
func (k *K) Err() error { return k.err }

// Param adds a buffer that the kernel is given at launch; bytes is how much of it the kernel may touch.
func (k *K) Param(name string, f format.Format, bytes int64, read, write bool) int {
	k.Kern.Params = append(k.Kern.Params, plan.Param{Name: name, Format: f, Size: bytes, Read: read, Write: write})
	return len(k.Kern.Params) - 1
}

// Workspace is the parameter of the scratch in global memory, or -1 if the kernel needs none. Every core has a part
// of its own of it.
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
	if x.IsConst() && y.IsConst() && (fn != plan.SDiv && fn != plan.SMod || y.C > 0) {
		return plan.C(fn.Scalar(x.C, y.C))
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
	k.SetReg(r, fn, x, y)
	return plan.R(r)
}

// SetReg computes X fn Y into a given register, for values that change in a loop.
func (k *K) SetReg(r plan.Reg, fn plan.Fn, x, y plan.Val) {
	k.emit(plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: fn, X: x, Y: y, Reg: r})
}

// Min, Max, Div, Mod and CeilDiv are short for Set.
func (k *K) Min(x, y plan.Val) plan.Val           { return k.Set(plan.VMin, x, y) }
func (k *K) Max(x, y plan.Val) plan.Val           { return k.Set(plan.VMax, x, y) }
func (k *K) Div(x plan.Val, y int64) plan.Val     { return k.Set(plan.SDiv, x, plan.C(y)) }
func (k *K) Mod(x plan.Val, y int64) plan.Val     { return k.Set(plan.SMod, x, plan.C(y)) }
func (k *K) CeilDiv(x plan.Val, y int64) plan.Val { return k.Div(x.AddC(y-1), y) }

// Rest is how many of total elements are left for a tile of the given size that starts at start: min(size, total-start).
// It is constant where size divides total, or where start is constant.
func (k *K) Rest(size int64, total, start plan.Val) plan.Val {
	left := total.Add(start.Scale(-1))
	switch {
	case left.IsConst():
		return plan.C(min(size, left.C))
	case total.IsConst() && total.C%size == 0 && multiple(start, size):
		return plan.C(size)
	}
	return k.Min(plan.C(size), left)
}

// multiple reports whether a value is a multiple of n whatever its registers hold.
func multiple(v plan.Val, n int64) bool {
	if v.C%n != 0 {
		return false
	}
	for _, t := range v.Terms {
		if t.K%n != 0 {
			return false
		}
	}
	return true
}

// Tiles loops over tiles of the given size that cover total elements: f gets the start and the length of each. A single tile needs
// no loop, and lengths are constant where the size divides the total.
func (k *K) Tiles(total plan.Val, size int64, f func(start, n plan.Val)) {
	k.tiles(total, size, false, f)
}

// TilesAhead is Tiles in a [K.LoopAhead].
func (k *K) TilesAhead(total plan.Val, size int64, f func(start, n plan.Val)) {
	k.tiles(total, size, true, f)
}

func (k *K) tiles(total plan.Val, size int64, ahead bool, f func(start, n plan.Val)) {
	if total.IsConst() && total.C <= size {
		if total.C > 0 {
			f(plan.C(0), total)
		}
		return
	}
	k.loop(plan.C(0), k.CeilDiv(total, size), ahead, func(i plan.Val) {
		start := i.Scale(size)
		f(start, k.Rest(size, total, start))
	})
}

// Loop runs body n times, with the counter from 0.
func (k *K) Loop(n plan.Val, body func(i plan.Val)) { k.loop(plan.C(0), n, false, body) }

// LoopAhead is Loop where moves from parameters are issued one round ahead of the rest, so that a round's data is on its way while
// the round before computes. It needs buffers with two slots or more to make a difference, and leaves the loop as it is where
// a move depends on what only the round itself knows.
func (k *K) LoopAhead(n plan.Val, body func(i plan.Val)) { k.loop(plan.C(0), n, true, body) }

func (k *K) loop(from, n plan.Val, ahead bool, body func(i plan.Val)) {
	if n.IsConst() && n.C <= 0 {
		return
	}
	if n.IsConst() && n.C == 1 {
		body(from)
		return
	}
	r := k.Reg()
	l := &node{loop: true, ahead: ahead, parent: k.cur, ins: plan.Instr{Op: plan.Loop, Queue: k.T.scalar, Reg: r, X: from, Y: n, Pos: k.Pos}}
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
	k.loop(plan.C(0), cond, false, func(plan.Val) { body() })
}

// Less is 1 if x < y, else 0.
func (k *K) Less(x, y plan.Val) plan.Val { return k.Set(plan.SLt, x, y) }

func (k *K) clearTiles(i *plan.Instr) {
	for _, t := range i.Tiles() {
		if t.Size == nil {
			*t = plan.NoTile
		}
	}
}

func (k *K) emit(i plan.Instr, acc ...access) {
	k.clearTiles(&i)
	i.Pos = k.Pos
	n := &node{ins: i, parent: k.cur}
	for _, a := range acc {
		if a.buf != nil {
			n.access = append(n.access, a)
		}
	}
	k.cur.body = append(k.cur.body, n)
}
