package tile

import (
	"fmt"

	"apogee/targets/plan"
)

// Full is the error of a kernel whose buffers do not fit a memory.
type Full struct {
	Memory     string
	Need, Have int64 // bytes
}

func (e *Full) Error() string {
	return fmt.Sprintf("needs %d bytes of %s, which has %d", e.Need, e.Memory, e.Have)
}

// Finish adds synchronisation, places the buffers and flattens the loops. The workspace parameter, if there is one,
// gets its size for all cores. An error of type *Full (wrapped) says which memory is too small.
func (k *K) Finish() (*plan.Kernel, error) {
	if k.err != nil {
		return nil, k.err
	}
	k.sync()
	k.hoist(k.root)
	k.prune()
	if err := k.place(); err != nil {
		return nil, err
	}
	space := k.local(0)
	if k.space >= 0 {
		k.Kern.Params[k.space].Size = space * k.T.Cores()
	}
	locals := map[int]int{}
	for _, b := range k.bufs {
		if b.Mem != 0 {
			locals[b.id] = len(k.Kern.Locals)
			k.Kern.Locals = append(k.Kern.Locals, plan.Local{Name: b.Name, Mem: b.Mem, Addr: b.addr, Size: b.Bytes * int64(b.Slots), Slots: b.Slots})
		}
	}
	k.flatten(k.root.body, func(t *plan.Tile) {
		if !t.Has() || t.Param >= 0 {
			return
		}
		b := k.bufs[t.Local]
		t.Base = t.Base.AddC(b.addr)
		if b.Mem == 0 {
			t.Param, t.Local = k.space, -1
			t.Base = t.Base.Add(plan.R(plan.RegCore).Scale(space))
			return
		}
		t.Local = locals[b.id]
	})
	for i := range k.Kern.Locals {
		k.Kern.Locals[i].Last = len(k.Kern.Code) - 1
	}
	k.Kern.Regs = k.regs
	return &k.Kern, nil
}

// local is how much of a memory the buffers take that have an address so far.
func (k *K) local(mem int) int64 {
	top := int64(0)
	for _, b := range k.bufs {
		if b.Mem == mem {
			top = max(top, b.addr+b.Bytes*int64(b.Slots))
		}
	}
	return roundUp(top, k.T.Memories[mem].Align)
}

// Used is how much of a memory the buffers so far take.
func (k *K) Used(mem int) int64 {
	n := int64(0)
	for _, b := range k.bufs {
		if b.Mem == mem {
			n += b.Bytes * int64(b.Slots)
		}
	}
	return n
}

// place gives every buffer its address: all live throughout the kernel.
func (k *K) place() error {
	used := make([]int64, len(k.T.Memories))
	for _, b := range k.bufs {
		b.addr = roundUp(used[b.Mem], k.T.Memories[b.Mem].Align)
		used[b.Mem] = b.addr + b.Bytes*int64(b.Slots)
	}
	var worst *Full
	for m := 1; m < len(used); m++ {
		have := k.T.Memories[m].Size
		if used[m] > have && (worst == nil || float64(used[m])/float64(have) > float64(worst.Need)/float64(worst.Have)) {
			worst = &Full{k.T.Memories[m].Name, used[m], have}
		}
	}
	if worst != nil {
		return fmt.Errorf("kernel %s: %w", k.Kern.Name, worst)
	}
	return nil
}

// prune drops registers that are computed and never read.
func (k *K) prune() {
	for again := true; again; {
		again = false
		read := map[plan.Reg]bool{}
		var see func(n *node)
		see = func(n *node) {
			eachVal(&n.ins, func(v *plan.Val) {
				for _, t := range v.Terms {
					read[t.Reg] = true
				}
			})
			for _, c := range n.prologue {
				see(c)
			}
			for _, c := range n.body {
				see(c)
			}
		}
		see(k.root)
		var clean func(list []*node) []*node
		clean = func(list []*node) []*node {
			out := list[:0]
			for _, n := range list {
				if n.ins.Op == plan.Set && !n.loop && !read[n.ins.Reg] && len(n.before)+len(n.after) == 0 {
					again = true
					continue
				}
				n.body, n.prologue = clean(n.body), clean(n.prologue)
				out = append(out, n)
			}
			return out
		}
		k.root.body = clean(k.root.body)
	}
}

// flatten writes the code out, fix completing its tiles.
func (k *K) flatten(body []*node, fix func(*plan.Tile)) {
	put := func(i plan.Instr) { k.Kern.Code = append(k.Kern.Code, i) }
	for _, n := range body {
		for _, i := range n.before {
			put(i)
		}
		k.flatten(n.prologue, fix)
		if n.loop {
			at := len(k.Kern.Code)
			put(n.ins)
			k.flatten(n.body, fix)
			end := plan.Instr{Op: plan.End, Queue: n.ins.Queue, Jump: at, Pos: n.ins.Pos}
			k.clearTiles(&end)
			put(end)
			k.Kern.Code[at].Jump = len(k.Kern.Code) - 1
		} else {
			i := n.ins
			for _, t := range i.Tiles() {
				fix(t)
				if t.Index != nil {
					ix := *t.Index
					fix(&ix)
					t.Index = &ix
				}
			}
			put(i)
		}
		for _, i := range n.after {
			put(i)
		}
	}
}
