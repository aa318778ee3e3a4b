package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// hide applies the masks to a tile of scores [heads, tn, sn].
func (a *attention) hide(x tile.View, s extent) {
	b := a.b
	if a.mask != nil {
		a.applyMask(x, s)
	}
	if !a.o.Attrs.Bool("causal", false) {
		return
	}
	last := a.first.Add(a.ti) // what the first query of the tile sees
	// Only a tile that reaches beyond that hides anything.
	b.If(b.Less(last, s.start.Add(s.n).AddC(-1)), func() {
		key := b.New("key", a.vm, format.I32, []int64{1, a.st}, []plan.Val{plan.C(1), s.n}, 1)
		query := b.New("query", a.vm, format.I32, []int64{a.tt, 1}, []plan.Val{a.tn, plan.C(1)}, 1)
		none := tile.View{}
		b.Vec(a.vq, plan.Instr{Op: plan.VIota, X: s.start, Z: plan.C(1)}, key, none, none, none)
		b.Vec(a.vq, plan.Instr{Op: plan.VIota, X: last, Y: plan.C(1)}, query, none, none, none)
		size := []plan.Val{a.tn, s.n}
		see := b.New("see", a.vm, format.Bool, []int64{a.tt, a.st}, size, 1)
		a.vec(plan.VLe, see, 0, stretch(key, size), stretch(query, size))
		w := see // lacks the axis of heads
		w.Size = append([]plan.Val{x.Size[0]}, see.Size...)
		w.Stride = append([]int64{0}, see.Stride...)
		a.vec(plan.VSelect, x, negInf, w, x)
	})
}

// applyMask loads the part of the mask for a tile of scores and applies it.
func (a *attention) applyMask(x tile.View, s extent) {
	b := a.b
	if !isLeaf(a.mask) {
		b.Fail("the mask of an attention must come from a buffer")
		return
	}
	w, _ := view.Of(a.mask)
	f := a.mask.Type.Format
	w = w.Align([]int64{a.nb, a.h, a.t, a.s})
	at := plan.C(w.Offset).Add(a.bi.Scale(w.Stride[0])).Add(a.hi.Scale(w.Stride[1])).Add(a.ti.Scale(w.Stride[2])).Add(s.start.Scale(w.Stride[3]))
	size := []plan.Val{plan.C(a.heads), a.tn, s.n}
	dims := []int64{a.heads, a.tt, a.st}
	// What the mask repeats is loaded once.
	once, small := append([]plan.Val{}, size...), append([]int64{}, dims...)
	for i, st := range w.Stride[1:] {
		if st == 0 {
			once[i], small[i] = plan.C(1), 1
		}
	}
	m := b.Transfer(b.global(b.in(w.Source), f, at, once, w.Stride[1:]), a.vm, small, a.slots, tile.View{})
	if f == format.Bool {
		a.vec(plan.VSelect, x, negInf, stretch(m, size), x)
		return
	}
	if f != format.F32 {
		y := b.New("mask", a.vm, format.F32, small, once, 1)
		a.vec(plan.VCast, y, 0, m)
		m = y
	}
	a.vec(plan.VAdd, x, 0, x, stretch(m, size))
}
