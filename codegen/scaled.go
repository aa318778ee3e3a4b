package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// scaled sums products whose operands carry scales along K, or whose accumulator is too narrow to sum all of K: a block of K adds up in
// the matrix engine's accumulator, then the vector engine scales it and adds it to an f32 sum of its own. This is the
// promotion of DeepSeek-V3 (arXiv 2412.19437, section 3.3.2).
func (c *contraction) scaled(e *eval, group plan.Val) {
	k := c.k
	p0 := c.ps[0]
	whole := p0.kSize[len(p0.kSize)-1]
	g := whole
	if p0.sa != nil {
		g = p0.block[1]
	} else if p := int64(p0.rate.Promote); p > 0 {
		g = p
	}
	dims := []int64{c.extOf(axisM), c.extOf(axisN)}
	size := []plan.Val{c.count(axisM), c.count(axisN)}
	none := tile.View{}
	for _, p := range c.ps {
		b := k.Alloc("sum", e.mem, tile.TileBytes(format.F32, dims), 1)
		p.sum = k.Dense(b, format.F32, dims, size)
		k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, p.sum, none, none, none)
	}
	outer := c.wholeK()
	last := len(outer) - 1
	// Axes of K before the last one are summed block by block as well.
	var rec func(i int, parts []extent)
	rec = func(i int, parts []extent) {
		if i < last {
			k.Loop(outer[i].n, func(x plan.Val) { rec(i+1, append(parts, extent{x, plan.C(1), 1})) })
			return
		}
		k.Tiles(outer[last].n, min(g, whole), func(start, n plan.Val) {
			within := append(append([]extent(nil), parts...), extent{start, n, min(g, whole)})
			c.kLoop(within, func(ks []extent, _ plan.Val) {
				first := ks[last].start.Add(start.Scale(-1))
				c.step(ks, group, first, e)
			})
			c.promote(e, start, group, dims, size)
		})
	}
	rec(0, nil)
}

// promote adds the accumulators to the running sums, scaled.
func (c *contraction) promote(e *eval, kStart, group plan.Val, dims []int64, size []plan.Val) {
	k := c.k
	none := tile.View{}
	lefts := map[*ir.Value]tile.View{}
	for _, p := range c.ps {
		v := p.acc
		if v.Mem() != e.mem {
			v = k.Transfer(v, e.mem, dims, c.slots, none)
		}
		t := k.Dense(k.Alloc("scaled", e.mem, tile.TileBytes(format.F32, dims), 1), format.F32, dims, size)
		if v.Format != format.F32 {
			k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, t, v, none, none)
			v = t
		}
		if p.sa != nil {
			a, ok := lefts[p.sa]
			if !ok {
				a = c.rowScales(e, p, kStart)
				lefts[p.sa] = a
			}
			k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMul}, t, v, stretch(a, size), none)
			k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMul}, t, t, stretch(c.colScales(e, p, kStart, group), size), none)
			v = t
		}
		k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VAdd}, p.sum, p.sum, v, none)
	}
}

// scaleIndex is the number of the block of K that begins at kStart; blocks are g wide.
func (c *contraction) scaleIndex(p *product, kStart plan.Val) plan.Val {
	g := p.block[1]
	if g >= p.kSize[0] || kStart.IsConst() && kStart.C == 0 {
		return plan.C(0)
	}
	return c.k.Div(kStart, g)
}

// rowScales loads the scales of the tile's rows of a for one block of K as [M,1].
func (c *contraction) rowScales(e *eval, p *product, kStart plan.Val) tile.View {
	w, ok := view.Of(p.sa)
	if !ok || w.Source.Def() != nil {
		c.k.Fail("the scales of a product must come from a buffer")
		return tile.View{}
	}
	src := tile.View{Param: c.params[w.Source], Format: p.sa.Type.Format, Base: c.scaleIndex(p, kStart).Scale(4 * w.Stride[len(w.Stride)-1]).AddC(4 * w.Offset)}
	var dims []int64
	for _, x := range c.side(p, axisM) {
		src.Base = src.Base.Add(x.start.Scale(4 * w.Stride[x.axis]))
		src.Size, src.Stride, dims = append(src.Size, x.n), append(src.Stride, 4*w.Stride[x.axis]), append(dims, x.max)
	}
	if len(dims) == 0 {
		src.Size, src.Stride, dims = tile.Consts(1), []int64{4}, []int64{1}
	}
	v := c.k.Transfer(src, e.mem, dims, c.slots, tile.View{})
	v.Size, v.Stride = []plan.Val{c.count(axisM), plan.C(1)}, []int64{4, 4}
	return v
}

// colScales loads the scales of the tile's columns of b for one block of K as [1,N], or [1,1] where they share one.
func (c *contraction) colScales(e *eval, p *product, kStart, group plan.Val) tile.View {
	w, ok := view.Of(p.sb)
	if !ok || w.Source.Def() != nil {
		c.k.Fail("the scales of a product must come from a buffer")
		return tile.View{}
	}
	n := len(w.Stride)
	src := tile.View{Param: c.params[w.Source], Format: p.sb.Type.Format, Base: c.scaleIndex(p, kStart).Scale(4 * w.Stride[n-1]).AddC(4 * w.Offset)}
	if p.offset != nil {
		src.Base = src.Base.Add(group.Scale(4 * w.Stride[0]))
	}
	x := c.side(p, axisN)[0]
	h := p.block[0]
	if h == 1 {
		src.Base = src.Base.Add(x.start.Scale(4 * w.Stride[n-2]))
		src.Size, src.Stride = []plan.Val{x.n}, []int64{4 * w.Stride[n-2]}
		v := c.k.Transfer(src, e.mem, []int64{x.max}, c.slots, tile.View{})
		v.Size, v.Stride = []plan.Val{plan.C(1), x.n}, []int64{4, 4}
		return v
	}
	// The tile lies within one block of rows of b.
	at := plan.C(0)
	if h < p.bRows() && !(x.start.IsConst() && x.start.C == 0) {
		at = c.k.Div(x.start, h)
	}
	src.Base = src.Base.Add(at.Scale(4 * w.Stride[n-2]))
	src.Size, src.Stride = tile.Consts(1), []int64{4}
	v := c.k.Transfer(src, e.mem, []int64{1}, c.slots, tile.View{})
	v.Size, v.Stride = tile.Consts(1, 1), []int64{4, 4}
	return v
}

func (p *product) bRows() int64 {
	s := shapeOf(p.b)
	return s[len(s)-2]
}

// bindSum hands the running sum to the epilogue in the result's format.
func (c *contraction) bindSum(e *eval, p *product) {
	u := c.unfold(p.sum, format.F32)
	dims := append([]int64(nil), c.ext...)
	if p.res.Type.Format == format.F32 {
		e.bind(p.res, u, dims)
		return
	}
	l := e.alloc("product", p.res.Type.Format, dims, u.Size, 1)
	c.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, l.v, u, tile.View{}, tile.View{})
	e.done[p.res] = l
}
