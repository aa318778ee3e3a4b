package codegen

import (
	"fmt"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

func only(j *job, info *op.Info) *ir.Op {
	for o := j.region.First(); o != nil; o = o.Next() {
		if o.Is(info) {
			return o
		}
	}
	return nil
}

// searchKernel compiles a group_rows whose ids come from a buffer and whose results leave the kernel, alone in it; every other search is
// a map kernel. The slots are sorted by one core. When they fit its memory all at once, one instruction does it; else they are sorted
// in chunks, after a first walk has counted the groups.
func searchKernel(j *job) error {
	o := only(j, op.GroupRows)
	if o == nil {
		return mapKernel(j)
	}
	ids := o.Arg(0)
	for i, r := range j.results {
		if r.Def() != o {
			return fmt.Errorf("kernel %s: a kernel of group_rows gives its results only, and not result %d", j.name(), i)
		}
	}
	if !isLeaf(ids) {
		return fmt.Errorf("kernel %s: group_rows takes its ids from a buffer", j.name())
	}
	shape := shapeOf(ids)
	if n := numel(shape); n >= 1<<23 {
		return fmt.Errorf("kernel %s: group_rows of %d slots: at most %d", j.name(), n, 1<<23)
	}
	chunk := numel(shape)
	return j.fit(func(tight float64) error {
		if tight > 1 {
			// Whole rows of ids, so that a chunk is one tile.
			next := max(int64(float64(chunk)/tight)/shape[1], 1) * shape[1]
			if next >= chunk {
				return errTight
			}
			chunk = next
		}
		g := &grouping{build: j.begin(), o: o, shape: shape, n: numel(shape), groups: o.Attrs.Int("groups", 0), chunk: chunk}
		return g.emit()
	})
}

// grouping is one group_rows kernel being built.
type grouping struct {
	*build
	o          *ir.Op
	shape      []int64
	n          int64 // slots
	groups     int64
	chunk      int64 // slots sorted at a time
	mem, queue int
}

func (g *grouping) line(name string, f format.Format, n int64, size plan.Val) tile.View {
	return g.New(name, g.mem, f, []int64{1, n}, []plan.Val{plan.C(1), size}, 1)
}

// result is the parameter for result i of the op, or -1 if it does not leave the kernel.
func (g *grouping) out(i int) int {
	for k, r := range g.j.results {
		if r == g.o.Result(i) {
			return g.result(k)
		}
	}
	return -1
}

func (g *grouping) vec(fn plan.Fn, dst tile.View, imm float64, src ...tile.View) {
	var s [3]tile.View
	copy(s[:], src)
	g.Vec(g.queue, plan.Instr{Op: plan.Vec, Fn: fn, Imm: imm}, dst, s[0], s[1], s[2])
}

// store writes n numbers of a line to a result from an element on.
func (g *grouping) store(v tile.View, param int, at, n plan.Val) {
	v.Size = []plan.Val{plan.C(1), n}
	g.Transfer(v, 0, []int64{1, g.chunk}, 1, tile.View{Param: param, Format: format.I32, Base: at.Scale(4), Size: v.Size, Stride: []int64{4, 4}})
}

func (g *grouping) emit() error {
	var err error
	if g.mem, g.queue, err = g.T.VectorMem(vecFormat); err != nil {
		return err
	}
	g.What = g.o.Info.Name
	offsets := g.line("offsets", format.I32, g.groups+1, plan.C(g.groups+1))
	if g.n == 0 {
		if p := g.out(2); p >= 0 {
			g.vec(plan.VCopy, offsets, 0)
			g.store(offsets, p, plan.C(0), plan.C(g.groups+1))
		}
		return g.end(1, 0)
	}
	rows, places := g.out(0), g.out(1)
	whole := g.chunk >= g.n
	base := offsets // where each group's next slot goes
	if !whole {
		base = g.line("base", format.I32, g.groups+1, plan.C(g.groups+1))
		g.vec(plan.VCopy, base, 0)
		g.Tiles(plan.C(g.n), g.chunk, func(start, n plan.Val) {
			_, off, _ := g.sort(start, n)
			// The ends of all groups up to each: summed over the chunks they are where the groups end.
			g.vec(plan.VAdd, base, 0, base, off)
		})
		if p := g.out(2); p >= 0 {
			g.store(base, p, plan.C(0), plan.C(g.groups+1))
		}
	}
	if whole {
		order, off, _ := g.sort(plan.C(0), plan.C(g.n))
		if p := g.out(2); p >= 0 {
			g.store(off, p, plan.C(0), plan.C(g.groups+1))
		}
		if rows >= 0 {
			g.store(g.rowOf(order, plan.C(0), plan.C(g.n)), rows, plan.C(0), plan.C(g.n))
		}
		if places >= 0 {
			count, put := g.line("count", format.I32, g.n, plan.C(g.n)), g.line("places", format.I32, g.n, plan.C(g.n))
			g.numbers(count)
			g.numbers(put) // a put keeps what it does not replace: the engine reads its target
			g.Vec(g.queue, plan.Instr{Op: plan.VPut, Fn: plan.VCopy}, put, count, order, tile.View{})
			g.store(put, places, plan.C(0), plan.C(g.n))
		}
		return g.end(1, g.j.flops())
	}
	if rows < 0 && places < 0 {
		return g.end(1, g.j.flops())
	}
	if !g.T.ScalarReads(g.mem) && rows >= 0 {
		return fmt.Errorf("the scalar unit of %s does not read %s", g.T.Chip.Name, g.T.Memories[g.mem].Name)
	}
	g.Tiles(plan.C(g.n), g.chunk, func(start, n plan.Val) {
		order, off, ids := g.sort(start, n)
		// Slot order[i] of the chunk goes to place i + (base - off) of its group.
		delta := g.line("delta", format.I32, g.groups+1, plan.C(g.groups+1))
		g.vec(plan.VSub, delta, 0, base, off)
		if places >= 0 {
			of, at := g.line("group", format.I32, g.chunk, n), g.line("at", format.I32, g.chunk, n)
			g.Vec(g.queue, plan.Instr{Op: plan.VTake}, of, ids, order, tile.View{})
			g.Vec(g.queue, plan.Instr{Op: plan.VTake}, at, delta, of, tile.View{})
			g.numbers(of)
			g.vec(plan.VAdd, at, 0, at, of)
			g.Vec(g.queue, plan.Instr{Op: plan.VPut, Fn: plan.VCopy}, of, at, order, tile.View{})
			g.store(of, places, start, n)
		}
		if rows >= 0 {
			// The slots of one group are neighbours in the chunk and in the result: one move a group.
			r := g.rowOf(order, start, n)
			g.Loop(plan.C(g.groups), func(e plan.Val) {
				at := func(v tile.View, shift int64) plan.Val {
					v.Base = v.Base.Add(e.AddC(shift).Scale(4))
					return g.LoadScalar(v, plan.Assume{Index: e.AddC(shift).Scale(g.chunk), Mul: 1, Div: g.groups, Why: "slots are spread evenly over the groups"})
				}
				from, to, d := at(off, 0), at(off, 1), at(delta, 0)
				part := r
				part.Base = part.Base.Add(from.Scale(4))
				g.store(part, rows, from.Add(d), to.Add(from.Scale(-1)))
			})
		}
		// The next chunk's slots of a group follow: base += off[e+1] - off[e].
		low, high := off, off
		low.Size, high.Size = []plan.Val{plan.C(1), plan.C(g.groups)}, []plan.Val{plan.C(1), plan.C(g.groups)}
		high.Base = high.Base.AddC(4)
		b := base
		b.Size = low.Size
		g.vec(plan.VAdd, b, 0, b, high)
		g.vec(plan.VSub, b, 0, b, low)
	})
	return g.end(1, g.j.flops())
}

// sort loads the ids of some slots and sorts the slots by them.
func (g *grouping) sort(start, n plan.Val) (order, offsets, ids tile.View) {
	w, _ := view.Of(g.o.Arg(0))
	width := g.shape[1]
	ids = g.line("ids", format.I32, g.chunk, n)
	two := ids
	rowsMax := g.chunk / width
	two.Size, two.Stride = []plan.Val{g.count(n, width), plan.C(width)}, tile.DenseStrides(format.I32, []int64{rowsMax, width})
	first := g.count(start, width)
	src := g.global(g.in(w.Source), format.I32, plan.C(w.Offset).Add(first.Scale(w.Stride[0])), two.Size, w.Stride)
	g.Transfer(src, g.mem, []int64{rowsMax, width}, 1, two)
	order = g.line("order", format.I32, g.chunk, n)
	offsets = g.line("ends", format.I32, g.groups+1, plan.C(g.groups+1))
	g.Vec2(g.queue, plan.Instr{Op: plan.VGroup}, order, offsets, ids, tile.View{}, tile.View{})
	return order, offsets, ids
}

// count is how many rows of ids a number of slots is, which is a multiple of the width.
func (g *grouping) count(slots plan.Val, width int64) plan.Val {
	if multiples(slots, width) {
		out := plan.C(slots.C / width)
		for _, t := range slots.Terms {
			out = out.Add(plan.R(t.Reg).Scale(t.K / width))
		}
		return out
	}
	return g.Div(slots, width)
}

func multiples(v plan.Val, n int64) bool {
	ok := v.C%n == 0
	for _, t := range v.Terms {
		ok = ok && t.K%n == 0
	}
	return ok
}

func (g *grouping) numbers(v tile.View) {
	g.Vec(g.queue, plan.Instr{Op: plan.VIota, Z: plan.C(1)}, v, tile.View{}, tile.View{}, tile.View{})
}

// rowOf is the row of each slot of an order: slot / width, exact in f32 below 2^23 slots.
func (g *grouping) rowOf(order tile.View, start, n plan.Val) tile.View {
	f, rows := g.line("slot", format.F32, g.chunk, n), g.line("rows", format.I32, g.chunk, n)
	none := tile.View{}
	cast := func(dst, src tile.View) {
		g.Vec(g.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, dst, src, none, none)
	}
	cast(f, order)
	g.vec(plan.VAdd, f, 0.5, f)
	g.vec(plan.VDiv, f, float64(g.shape[1]), f)
	g.vec(plan.VFloor, f, 0, f)
	cast(rows, f)
	if !(start.IsConst() && start.C == 0) {
		first := g.line("first", format.I32, 1, plan.C(1))
		g.Vec(g.queue, plan.Instr{Op: plan.VIota, X: g.count(start, g.shape[1])}, first, none, none, none)
		g.vec(plan.VAdd, rows, 0, rows, stretch(first, rows.Size))
	}
	return rows
}
