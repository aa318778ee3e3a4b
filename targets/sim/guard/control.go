package guard

import (
	"fmt"

	"apogee/targets/plan"
)

// Enter says that steps from … to-1, a branch or a round, are about to run: temporaries that live in them alone begin with nothing
// in them, whatever an earlier round left.
func (g *Guard) Enter(from, to int) {
	for i, w := range g.written {
		if b := &g.p.Buffers[i]; w != nil && b.Kind == plan.Temp && b.First >= from && b.First < to {
			w.clear()
		}
	}
}

// Scalar judges the read of a buffer that an if or a loop goes by.
func (g *Guard) Scalar(step, buffer int) error {
	w, b := g.written[buffer], &g.p.Buffers[buffer]
	if w == nil {
		return nil
	}
	size := int64(b.Format.Bits()+7) / 8
	if at := w.firstZero(0, size); at < size {
		s := &g.p.Steps[step]
		return &Fault{Kind: Unwritten, Plan: g.p, Launch: s.Name, At: Place{Instr: -1}, Other: Place{Instr: -1}, What: "buffer " + b.Name,
			Lo: at, Hi: at + 1, Detail: fmt.Sprintf("step %d, %s %s, goes by buffer %s, but its byte %#x was never written", step, s.Op, s.Name, b.Name, at)}
	}
	return nil
}

// Wrote says that the plan's steps themselves wrote a whole buffer.
func (g *Guard) Wrote(buffer int) {
	if w := g.written[buffer]; w != nil {
		w.set(0, g.p.Buffers[buffer].Size)
	}
}
