package plantest

import (
	"fmt"
	"math/rand/v2"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// Random makes a plan of one launch with random loops, some of them ragged, short, long or with a counter that inner ones
// depend on, and stages that hand tiles on through flags. It never hangs, and passes plan.Validate.
func Random(seed uint64) *plan.Plan {
	g := &random{r: rand.New(rand.NewPCG(seed, 1)), next: plan.FirstReg}
	g.b.Name = fmt.Sprintf("random_%d", seed)
	g.b.Params = []plan.Param{{Name: "x", Format: format.F32, Size: 1 << 24, Read: true}, {Name: "y", Format: format.F32, Size: 1 << 24, Write: true},
		{Name: "n", Format: format.I32, Size: 4096, Read: true}}
	g.b.Locals = []plan.Local{{Name: "u", Mem: UB, Size: 64 << 10, Slots: 1}, {Name: "c", Mem: L0C, Size: 64 << 10, Slots: 1},
		{Name: "a", Mem: L0A, Size: 32 << 10, Slots: 1}, {Name: "b", Mem: L0B, Size: 32 << 10, Slots: 1}, {Name: "l", Mem: L1, Size: 64 << 10, Slots: 1}}
	g.live = []plan.Val{plan.R(plan.RegBlock)}
	g.body(0)
	g.b.Regs = int(g.next)
	for i := range g.b.Locals {
		g.b.Locals[i].Last = len(g.b.Code) - 1
	}
	grid := []int64{1, 2, 5, 40, 100}[g.r.IntN(5)]
	return &plan.Plan{
		Model: "random", Entry: "main", Chip: "toy", Memories: Memories(), Queues: Queues(), Files: []string{"r.mg"}, Scopes: []string{"r"},
		Kernels: []plan.Kernel{g.b.Kernel},
		Buffers: []plan.Buffer{{Name: "x", Kind: plan.Input, Format: format.F32, Shape: []int64{1 << 22}, Size: 1 << 24},
			{Name: "y", Kind: plan.Output, Format: format.F32, Shape: []int64{1 << 22}, Addr: 1 << 24, Size: 1 << 24},
			{Name: "n", Kind: plan.Input, Format: format.I32, Shape: []int64{1024}, Addr: 1 << 25, Size: 4096}},
		Steps: []plan.Step{{Name: "launch", Grid: grid, Args: []plan.Arg{{Buffer: 0}, {Buffer: 1}, {Buffer: 2}}}},
	}
}

type random struct {
	r    *rand.Rand
	b    Builder
	next plan.Reg
	live []plan.Val // that sizes and counts may come from
}

func (g *random) reg() plan.Reg {
	g.next++
	return g.next - 1
}

func (g *random) pick() plan.Val { return g.live[g.r.IntN(len(g.live))] }

// size makes a number from 1 to 64, or rarely 0, constant or not.
func (g *random) size() plan.Val {
	if g.r.IntN(3) > 0 {
		return plan.C(int64(1 + g.r.IntN(64)))
	}
	r := g.reg()
	whole := int64(8 << g.r.IntN(4))
	switch g.r.IntN(4) {
	case 0: // the last round is smaller
		g.b.Set(r, plan.VMin, plan.C(whole), plan.C(whole*int64(1+g.r.IntN(300))/3).Add(g.pick().Scale(-whole)))
	case 1: // changes with every round
		g.b.Set(r, plan.SMod, g.pick(), plan.C(int64(1+g.r.IntN(5))))
	case 2: // the first round differs
		g.b.Set(r, plan.SLt, plan.C(0), g.pick())
		q := g.reg()
		g.b.Set(q, plan.VAdd, plan.R(r).Scale(7), plan.C(1))
		r = q
	default:
		g.b.Set(r, plan.SDiv, g.pick(), plan.C(whole))
		q := g.reg()
		g.b.Set(q, plan.VMin, plan.R(r).AddC(1), plan.C(9))
		r = q
	}
	q := g.reg()
	g.b.Set(q, plan.VMax, plan.R(r), plan.C(int64(g.r.IntN(2))))
	return plan.R(q)
}

func (g *random) body(depth int) {
	for n := 1 + g.r.IntN(3); n > 0; n-- {
		switch x := g.r.IntN(10); {
		case x < 4 && depth < 3:
			times := plan.C([]int64{0, 1, 3, 8, 20, 50}[g.r.IntN(6)])
			if depth >= 2 {
				times = plan.C(int64(g.r.IntN(12)))
			}
			if g.r.IntN(4) == 0 {
				times = g.size()
			}
			r := g.reg()
			g.b.Loop(r, plan.C(int64(g.r.IntN(3))), times)
			g.live = append(g.live, plan.R(r))
			g.body(depth + 1)
			g.live = g.live[:len(g.live)-1]
			g.b.End()
		case x < 5:
			r := g.reg()
			g.b.Load(r, Tile(GM, 2, format.I32, plan.C(0), Dim{plan.C(1), 4}), &plan.Assume{Index: g.pick(), Mul: 3, Div: 2, Why: "spread evenly"})
			g.live = append(g.live, plan.R(r))
		default:
			g.stage()
		}
	}
}

// stage hands tiles from one queue to the next through two flags.
func (g *random) stage() {
	from, to := g.r.IntN(5)+1, g.r.IntN(5)+1
	if from == to {
		to = from%5 + 1
	}
	free, full := len(g.b.Flags), len(g.b.Flags)+1
	g.b.Flags = append(g.b.Flags, plan.Flag{Name: fmt.Sprintf("free%d", free), From: to, To: from, Credits: 1 + g.r.IntN(3)},
		plan.Flag{Name: fmt.Sprintf("full%d", full), From: from, To: to})
	g.b.Wait(free)
	for n := g.r.IntN(3); n >= 0; n-- {
		g.work(from)
	}
	g.b.Signal(full)
	g.b.Wait(full)
	g.work(to)
	g.b.Signal(free)
}

func (g *random) work(queue int) {
	rows, cols := g.size(), g.size()
	tile := func(mem, what int, f format.Format, width int64) plan.Tile {
		return Tile(mem, what, f, plan.C(0), Dim{rows, width}, Dim{cols, int64(f.Bits() / 8)})
	}
	switch queue {
	case In:
		g.b.Move(In, PathUB, tile(UB, 0, format.F32, 256), tile(GM, 0, format.F32, int64(256<<g.r.IntN(4))))
	case Feed:
		g.b.Move(Feed, PathA, tile(L0A, 2, format.F16, 128), tile(L1, 4, format.F16, 128))
	case M:
		k := g.size()
		g.b.Mma(tile(L0C, 1, format.F32, 256), Tile(L0A, 2, format.F16, plan.C(0), Dim{rows, 128}, Dim{k, 2}),
			Tile(L0B, 3, format.F16, plan.C(0), Dim{k, 128}, Dim{cols, 2}), plan.C(0))
	case Out:
		g.b.Move(Out, PathUBOut, tile(GM, 1, format.F32, 256), tile(UB, 0, format.F32, 256))
	case V:
		fn := []plan.Fn{plan.VExp, plan.VCopy, plan.VReciprocal, plan.VSigmoid}[g.r.IntN(4)]
		g.b.Vec(fn, 0, tile(UB, 0, format.F32, 256), tile(UB, 0, format.F32, 256))
	}
}
