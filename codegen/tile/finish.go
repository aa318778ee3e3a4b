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
	used := make([]int64, len(k.T.Memories))
	for _, b := range k.bufs {
		m := k.T.Memories[b.Mem]
		b.addr = roundUp(used[b.Mem], m.Align)
		used[b.Mem] = b.addr + b.Bytes*int64(b.Slots)
		if b.Mem != 0 && used[b.Mem] > m.Size {
			total := int64(0)
			for _, c := range k.bufs {
				if c.Mem == b.Mem {
					total = roundUp(total, m.Align) + c.Bytes*int64(c.Slots)
				}
			}
			return nil, fmt.Errorf("kernel %s: %w", k.Kern.Name, &Full{m.Name, total, m.Size})
		}
	}
	space := roundUp(used[0], k.T.Memories[0].Align)
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
	fix := func(t *plan.Tile) {
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
	}
	var flat func(body []*node)
	put := func(i plan.Instr) { k.Kern.Code = append(k.Kern.Code, i) }
	flat = func(body []*node) {
		for _, n := range body {
			for _, i := range n.before {
				put(i)
			}
			if n.loop {
				at := len(k.Kern.Code)
				put(n.ins)
				flat(n.body)
				end := plan.Instr{Op: plan.End, Queue: n.ins.Queue, Jump: at, Pos: n.ins.Pos}
				k.clearTiles(&end)
				put(end)
				k.Kern.Code[at].Jump = len(k.Kern.Code) - 1
			} else {
				i := n.ins
				for _, t := range []*plan.Tile{&i.Dst, &i.Dst2, &i.A, &i.B, &i.C} {
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
	flat(k.root.body)
	for i := range k.Kern.Locals {
		k.Kern.Locals[i].Last = len(k.Kern.Code) - 1
	}
	k.Kern.Regs = k.regs
	return &k.Kern, nil
}
