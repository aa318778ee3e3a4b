package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/format"
	"apogee/targets/plan"
)

// parts finishes a kernel whose blocks each walk a part of the keys: they leave their maximum, their sum and their weighted values, and
// a second launch joins them, as flash decoding does (Dao et al., 2023).
func (a *attention) parts(total int64) error {
	b, j := a.b, a.j
	sum, acc := a.walk()
	rows := a.nb * a.t * a.h
	// [splits, batch, queries, heads, …]
	values := j.newTemp(format.F32, a.splits, rows, a.e)
	marks := j.newTemp(format.F32, 2, a.splits, rows)
	row := a.split.Scale(rows).Add(a.bi.Scale(a.t * a.h)).Add(a.ti.Scale(a.h)).Add(a.hi)
	put := func(v tile.View, temp int, at plan.Val, width int64) {
		size := []plan.Val{plan.C(a.heads), a.tn, plan.C(width)}
		g := b.global(b.temp(temp, false, true), format.F32, at, size, []int64{width, a.h * width, 1})
		b.Transfer(v, 0, []int64{a.heads, a.tt, width}, 1, g)
	}
	put(acc, values, row.Scale(a.e), a.e)
	put(a.max, marks, row, 1)
	put(sum, marks, row.AddC(a.splits*rows), 1)
	if err := b.end(total, j.flops()); err != nil {
		return err
	}
	return a.join(values, marks)
}

// join adds the launch that joins the parts: with m the largest maximum, each part counts exp(its maximum - m).
func (a *attention) join(values, marks int) error {
	j := a.j
	b := j.begin()
	a.b = b
	b.What = a.o.Info.Name
	rows := a.nb * a.t * a.h
	// A tile is some heads of one query; all parts of their values are on chip together.
	mem := j.t.Memories[a.vm].Size
	n := min(a.h, max(mem/2/(4*a.e*4), 1), max(ceilDiv(rows, j.t.Cores()), 1))
	n = largestDivisor(a.h, n)
	tiles := rows / n
	first := b.Block().Scale(n)
	d := newDigits(b.K, b.Block(), tiles)
	hi := d.next(a.h / n).Scale(n)
	ti := d.next(a.t)
	bi := d.next(a.nb)
	none := tile.View{}
	dims := []int64{n, a.splits}
	load := func(name string, which int64) tile.View {
		size := tile.Consts(dims...)
		src := b.global(b.temp(marks, true, false), format.F32, first.AddC(which*a.splits*rows), size, []int64{1, rows})
		return b.Transfer(src, a.vm, dims, 1, none)
	}
	top, sums := load("max", 0), load("sum", 1)
	line := func(name string) tile.View {
		return b.New(name, a.vm, format.F32, []int64{n, 1}, tile.Consts(n, 1), 1)
	}
	m, sum := line("m"), line("total")
	b.Vec(a.vq, plan.Instr{Op: plan.VReduce, Fn: plan.VMax}, m, top, none, none)
	a.vec(plan.VSub, top, 0, top, stretch(m, top.Size))
	a.vec(plan.VExp, top, 0, top)
	a.vec(plan.VMul, sums, 0, sums, top)
	b.Vec(a.vq, plan.Instr{Op: plan.VReduce, Fn: plan.VAdd}, sum, sums, none, none)
	a.vec(plan.VMax, sum, 1e-30, sum)
	acc := b.New("o", a.vm, format.F32, []int64{n, a.e}, tile.Consts(n, a.e), 1)
	a.vec(plan.VCopy, acc, 0)
	b.LoopAhead(plan.C(a.splits), func(s plan.Val) {
		src := b.global(b.temp(values, true, false), format.F32, s.Scale(rows).Add(first).Scale(a.e), tile.Consts(n, a.e), []int64{a.e, 1})
		v := b.Transfer(src, a.vm, []int64{n, a.e}, 2, none)
		w := top
		w.Base = w.Base.Add(s.Scale(4))
		w.Size = tile.Consts(n, 1)
		a.vec(plan.VFma, acc, 0, v, stretch(w, acc.Size), acc)
	})
	a.vec(plan.VDiv, acc, 0, acc, stretch(sum, acc.Size))
	part := []extent{{bi, plan.C(1), 1}, {ti, plan.C(1), 1}, {hi, plan.C(n), n}, {plan.C(0), plan.C(a.e), a.e}}
	w := acc
	w.Size, w.Stride = tile.Consts(1, 1, n, a.e), []int64{0, 0, acc.Stride[0], acc.Stride[1]}
	a.emitResult(part, w)
	return b.end(tiles, 0)
}

func largestDivisor(n, most int64) int64 {
	for d := min(n, max(most, 1)); d > 1; d-- {
		if n%d == 0 {
			return d
		}
	}
	return 1
}
