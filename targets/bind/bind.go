// Package bind says what a chip's description means for plans: the rules that the plan checker holds instructions against, and the
// words that the plan printer uses.
//
// Packages chip and plan know nothing of each other; whoever has both asks here. The package must not know how plans are made or run.
package bind

import (
	"apogee/ir/format"
	"strings"

	"apogee/targets/chip"
	"apogee/targets/plan"
)

// Vocab gives the chip's words for instructions.
func Vocab(c *chip.Chip) plan.Vocab {
	v := plan.Vocab{}
	own := func(neutral string) string { return c.Words[neutral] }
	for _, w := range plan.Words() {
		for _, n := range []string{w, strings.TrimPrefix(w, "vec_"), strings.TrimPrefix(w, "v")} {
			if s := own(n); s != "" {
				v[w] = s
				break
			}
		}
	}
	for w, s := range map[string]string{"signal": c.Sync.Signal, "wait": c.Sync.Wait} {
		if s != "" {
			v[w] = s
		}
	}
	for _, p := range c.Paths {
		if p.Word != "" {
			v["dma_"+p.From+"_"+p.To] = p.Word
		}
	}
	return v
}

// Rules gives what the chip's engines and paths can do.
func Rules(c *chip.Chip) *plan.Rules {
	r := &plan.Rules{Cores: int64(c.Cores.Value), Vocab: Vocab(c)}
	casts := func(ps []chip.FormatPair) []plan.Cast {
		var out []plan.Cast
		for _, p := range ps {
			out = append(out, plan.Cast{From: p.From, To: p.To})
		}
		return out
	}
	for _, p := range c.Paths {
		queue := p.Engine
		if e := c.Engine(p.Engine); e != nil {
			queue = e.Queue
		}
		r.Paths = append(r.Paths, plan.PathRule{From: p.From, To: p.To, Queue: queue, Indirect: p.Indirect, Casts: casts(p.Casts)})
	}
	for _, e := range c.Engines {
		for _, m := range e.Matrix {
			r.Matrix = append(r.Matrix, plan.MatrixRule{Queue: e.Queue, MemA: e.A, MemB: e.B, MemAcc: e.Acc, A: m.A, B: m.B, Acc: m.Acc, Scale: m.Scale, ScaleBlock: int64(m.ScaleBlock)})
		}
		if e.Kind != chip.Vector {
			continue
		}
		v := plan.VectorRule{Queue: e.Queue, Mems: e.Mem, Casts: casts(e.Casts), Emulates: e.Emulate(format.F32, chip.Basic) != nil}
		for _, x := range e.Vector {
			known := false
			for _, f := range v.Formats {
				known = known || f == x.Format
			}
			if !known {
				v.Formats = append(v.Formats, x.Format)
			}
		}
		r.Vector = append(r.Vector, v)
	}
	return r
}
