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
// promotion of DeepSeek-V3 (arXiv 2412.19437, section 3.3.2). The scales of a tile are loaded once for all of K.
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
		if p.sa != nil {
			c.loadScales(e, p, group)
		}
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
		if c.kp >= g { // several blocks a step
			b.TilesAhead(outer[last].n, min(c.kp, whole), func(start, n plan.Val) {
				within := append(append([]extent(nil), parts...), extent{start, n, min(c.kp, whole)})
				tiles := c.load(within, group)
				b.Tiles(n, g, func(at, m plan.Val) {
					c.multiply(tiles, at, m, g, plan.C(0))
					c.promote(e, start.Add(at), g, dims, size)
				})
			})
			return
		}
		b.Tiles(outer[last].n, g, func(start, n plan.Val) {
			within := append(append([]extent(nil), parts...), extent{start, n, g})
			c.kLoop(within, func(ks []extent, _ plan.Val) { c.step(ks, group, ks[last].start.Add(start.Scale(-1))) })
			c.promote(e, start, g, dims, size)
		})
	}
	rec(0, nil)
}

// blocksOfK is how many scales there are along K.
func (p *product) blocksOfK() int64 {
	s := shapeOf(p.sa)
	return s[len(s)-1]
}

// loadRowScales loads the scales of the tile's rows as [M, blocks of K].
func (c *contraction) loadRowScales(p *product) tile.View {
	n := p.blocksOfK()
	rows := c.scales(p.sa, append(c.side(p, axisM, p.inA), axisPart{len(p.sa.Type.Shape) - 1, extent{plan.C(0), plan.C(n), n}}))
	rows.Size, rows.Stride = []plan.Val{c.size(axisM), plan.C(n)}, []int64{4 * n, 4}
	return rows
}

// loadScales brings the scales of a tile's columns on chip and joins them with those of its rows where columns share one.
func (c *contraction) loadScales(e *eval, p *product, group plan.Val) {
	n := p.blocksOfK()
	all := extent{plan.C(0), plan.C(n), n}
	rows := c.rowScales[p.sa]
	var parts []axisPart
	if p.offset != nil {
		parts = append(parts, axisPart{0, extent{group, plan.C(1), 1}})
	}
	rank := len(p.sb.Type.Shape)
	x := c.side(p, axisN, p.inB)[0]
	x.axis = rank - 2
	h := p.block[0]
	if h == 1 {
		cols := c.scales(p.sb, append(parts, x, axisPart{rank - 1, all}))
		cols.Size, cols.Stride = []plan.Val{x.n, plan.C(n)}, []int64{4 * n, 4}
		p.rows, p.cols = rows, cols
		return
	}
	// The tile lies within one block of rows of b.
	at := plan.C(0)
	if rows := shapeOf(p.b); h < rows[len(rows)-2] && !(x.start.IsConst() && x.start.C == 0) {
		at = c.b.Div(x.start, h)
	}
	x.extent = extent{at, plan.C(1), 1}
	cols := c.scales(p.sb, append(parts, x, axisPart{rank - 1, all}))
	cols.Size, cols.Stride = tile.Consts(1, n), []int64{4 * n, 4}
	p.rows = c.b.New("factors", e.mem, format.F32, []int64{c.extOf(axisM), n}, rows.Size, 1)
	e.vec(plan.VMul, p.rows, 0, rows, stretch(cols, rows.Size))
}

// scales loads a part of a tensor of scales as f32.
func (c *contraction) scales(s *ir.Value, parts []axisPart) tile.View {
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
	b := c.b
	mem := c.vecMem()
	src := b.global(b.in(w.Source), s.Type.Format, at, size, stride)
	// Not on a queue that results leave by: they would hold up the scales of the next tile.
	if near := b.T.Route(0, b.T.Mem(c.ps[0].engine.A))[0]; near != mem && b.T.SameQueue(0, mem, mem, 0) && b.T.Direct(near, mem) {
		src = b.Transfer(src, near, dims, c.once, tile.View{})
	}
	v := b.Transfer(src, mem, dims, c.once, tile.View{})
	if s.Type.Format != format.F32 {
		t := b.New("scales", mem, format.F32, dims, size, 1)
		b.newEval(c.space, nil, 1).convert(t, v, dims, false)
		v = t
	}
	return v
}

// promote adds the accumulators of one block of K to the running sums, scaled.
func (c *contraction) promote(e *eval, kStart plan.Val, g int64, dims []int64, size []plan.Val) {
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
		k := plan.C(0)
		if g < p.kSize[0] {
			k = c.b.divide(kStart, g)
		}
		factor := p.rows.Slice(1, k, plan.C(1))
		if !p.cols.Valid() {
			e.vec(plan.VFma, p.sum, 0, v, stretch(factor, size), p.sum)
			continue
		}
		t := c.b.New("scaled", e.mem, format.F32, dims, size, 1)
		e.vec(plan.VMul, t, 0, v, stretch(factor, size))
		e.vec(plan.VFma, p.sum, 0, t, stretch(flip(p.cols.Slice(1, k, plan.C(1))), size), p.sum)
	}
}
