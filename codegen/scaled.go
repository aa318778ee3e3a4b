package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// promoted sums products whose operands carry scales along K, or whose accumulator is too narrow to sum all of K: a block of K adds up in
// the matrix engine's accumulator, then the vector engine scales it and adds it to an f32 sum of its own. This is the
// promotion of DeepSeek-V3 (arXiv 2412.19437, section 3.3.2).
func (c *contraction) promoted(group plan.Val) {
	b := c.b
	p0 := c.ps[0]
	whole := p0.kSize[len(p0.kSize)-1]
	g := whole
	if p0.sa != nil {
		g = p0.block[1]
	} else if p := int64(p0.rate.Promote); p > 0 {
		g = p
	}
	g = min(g, whole)
	e := b.newEval(c.space, nil, c.slots)
	dims := []int64{c.extOf(axisM), c.extOf(axisN)}
	size := []plan.Val{c.size(axisM), c.size(axisN)}
	for _, p := range c.ps {
		p.sum = b.New("sum", e.mem, format.F32, dims, size, 1)
		e.vec(plan.VCopy, p.sum, 0)
	}
	outer := c.depth()
	last := len(outer) - 1
	// Axes of K before the last one are summed block by block as well.
	var rec func(i int, parts []extent)
	rec = func(i int, parts []extent) {
		if i < last {
			b.Loop(outer[i].n, func(x plan.Val) { rec(i+1, append(parts, extent{x, plan.C(1), 1})) })
			return
		}
		b.Tiles(outer[last].n, g, func(start, n plan.Val) {
			within := append(append([]extent(nil), parts...), extent{start, n, g})
			c.kLoop(within, func(ks []extent, _ plan.Val) {
				c.step(ks, group, ks[last].start.Add(start.Scale(-1)))
			})
			c.promote(e, start, group, dims, size)
		})
	}
	rec(0, nil)
}

// promote adds the accumulators to the running sums, scaled.
func (c *contraction) promote(e *eval, kStart, group plan.Val, dims []int64, size []plan.Val) {
	lefts := map[*ir.Value]tile.View{}
	for _, p := range c.ps {
		v := p.acc
		if v.Mem() != e.mem {
			v = c.b.Transfer(v, e.mem, dims, c.slots, tile.View{})
		}
		if v.Format != format.F32 {
			t := c.b.New("wide", e.mem, format.F32, dims, size, 1)
			e.convert(t, v, dims, false)
			v = t
		}
		if p.sa == nil {
			e.vec(plan.VAdd, p.sum, 0, p.sum, v)
			continue
		}
		a, ok := lefts[p.sa]
		if !ok {
			a = c.rowScales(e, p, kStart)
			lefts[p.sa] = a
		}
		w := c.colScales(e, p, kStart, group)
		if one := w.Size[1]; one.IsConst() && one.C == 1 {
			// One scale for all columns: it joins those of the rows.
			f := c.b.New("factor", e.mem, format.F32, []int64{dims[0], 1}, a.Size, 1)
			e.vec(plan.VMul, f, 0, a, stretch(w, a.Size))
			e.vec(plan.VFma, p.sum, 0, v, stretch(f, size), p.sum)
			continue
		}
		t := c.b.New("scaled", e.mem, format.F32, dims, size, 1)
		e.vec(plan.VMul, t, 0, v, stretch(a, size))
		e.vec(plan.VFma, p.sum, 0, t, stretch(w, size), p.sum)
	}
}

// scaleIndex is the number of the block of K that begins at kStart; blocks are g wide.
func (c *contraction) scaleIndex(p *product, kStart plan.Val) plan.Val {
	g := p.block[1]
	if g >= p.kSize[0] || kStart.IsConst() && kStart.C == 0 {
		return plan.C(0)
	}
	return c.b.Div(kStart, g)
}

// rowScales loads the scales of the tile's rows of a for one block of K as [M,1].
func (c *contraction) rowScales(e *eval, p *product, kStart plan.Val) tile.View {
	parts := []axisPart{{len(p.sa.Type.Shape) - 1, extent{c.scaleIndex(p, kStart), plan.C(1), 1}}}
	v := c.scales(e, p.sa, append(c.side(p, axisM, p.inA), parts...))
	v.Size, v.Stride = []plan.Val{c.size(axisM), plan.C(1)}, []int64{4, 4}
	return v
}

// colScales loads the scales of the tile's columns of b for one block of K as [1,N], or [1,1] where they share one.
func (c *contraction) colScales(e *eval, p *product, kStart, group plan.Val) tile.View {
	n := len(p.sb.Type.Shape)
	parts := []axisPart{{n - 1, extent{c.scaleIndex(p, kStart), plan.C(1), 1}}}
	if p.offset != nil {
		parts = append(parts, axisPart{0, extent{group, plan.C(1), 1}})
	}
	x := c.side(p, axisN, p.inB)[0]
	size := x.n
	if h := p.block[0]; h > 1 {
		// The tile lies within one block of rows of b.
		at := plan.C(0)
		if rows := shapeOf(p.b); h < rows[len(rows)-2] && !(x.start.IsConst() && x.start.C == 0) {
			at = c.b.Div(x.start, h)
		}
		x.extent, size = extent{at, plan.C(1), 1}, plan.C(1)
	}
	x.axis = n - 2
	v := c.scales(e, p.sb, append(parts, x))
	v.Size, v.Stride = []plan.Val{plan.C(1), size}, []int64{4, 4}
	return v
}

// scales loads a part of a tensor of scales as f32.
func (c *contraction) scales(e *eval, s *ir.Value, parts []axisPart) tile.View {
	if !isLeaf(s) {
		c.b.Fail("the scales of a product must come from a buffer")
		return tile.View{}
	}
	w, _ := view.Of(s)
	at := plan.C(w.Offset)
	var size []plan.Val
	var dims, stride []int64
	for _, p := range parts {
		at = at.Add(p.start.Scale(w.Stride[p.axis]))
		if p.max > 1 || !p.n.IsConst() {
			size, dims, stride = append(size, p.n), append(dims, p.max), append(stride, w.Stride[p.axis])
		}
	}
	if size == nil {
		size, dims, stride = tile.Consts(1), []int64{1}, []int64{1}
	}
	v := c.b.Transfer(c.b.global(c.b.in(w.Source), s.Type.Format, at, size, stride), e.mem, dims, c.slots, tile.View{})
	if s.Type.Format != format.F32 {
		t := c.b.New("scales", e.mem, format.F32, dims, size, 1)
		e.convert(t, v, dims, false)
		v = t
	}
	return v
}
