package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/format"
	"apogee/targets/plan"
)

// slices is how much of each axis of the tile the epilogue takes at a time.
func (c *contraction) slices() []int64 {
	size, least := make([]int64, len(c.ext)), make([]int64, len(c.ext))
	rows := prod(c.ext)
	if c.slice > 0 {
		rows = min(rows, c.slice)
	}
	for i, e := range c.ext { // in steps that what follows allows
		step := min(c.space.step(c.ps[0].res, i), e)
		size[i], least[i] = ceilDiv(e, step), 1
		rows = ceilDiv(rows, step)
	}
	sub := chooseTile(size, least, size, rows)
	for i, e := range c.ext {
		sub[i] = min(sub[i]*min(c.space.step(c.ps[0].res, i), e), e)
	}
	return sub
}

// epilogueBytes is how many bytes an element of the result the epilogue holds at once, found by writing it down for a small tile.
func (c *contraction) epilogueBytes() float64 {
	t := *c
	t.b, t.part = c.j.begin(), make([]extent, len(c.out))
	t.slots = 2
	area := int64(1)
	for i := len(c.out) - 1; i >= 0; i-- {
		n := max(c.out[i], 1)
		e := min(up(max(min(n, 256/area), 1), min(c.space.step(c.ps[0].res, i), n)), n)
		t.part[i] = extent{plan.C(0), plan.C(e), e}
		area *= e
	}
	sums := make([]tile.View, len(c.ps))
	dims := make([]int64, len(c.out))
	for i := range dims {
		dims[i] = t.part[i].max
	}
	for i, p := range c.ps {
		if !c.noTerms() { // the accumulator, where it is
			sums[i] = t.b.New("acc", t.b.T.Mem(p.engine.Acc), p.rate.Acc, dims, tile.Consts(dims...), 1)
			if way := t.b.T.Route(sums[i].Mem(), t.vecMem()); len(way) > 1 {
				sums[i] = t.b.New("sums", 0, p.rate.Acc, dims, tile.Consts(dims...), 1)
			}
		}
	}
	before := t.b.Used(t.vecMem())
	t.slicePart(t.part, sums)
	return max(float64(t.b.Used(t.vecMem())-before)/float64(area), 4)
}

// slicePart computes the sinks for one slice, whose sums are given.
func (c *contraction) slicePart(part []extent, sums []tile.View) {
	e := c.b.newEval(c.space, c.parts(part), 2)
	values := sinkValues(c.sinks)
	for i, p := range c.ps {
		c.bind(e, p, part, sums[i])
	}
	e.count(values...)
	for _, v := range values {
		e.final[v] = true
	}
	for i := range c.sinks {
		e.store(&c.sinks[i], e.value(c.sinks[i].v))
		e.drop(c.sinks[i].v)
	}
}

// bind gives the epilogue a product's value, in the vector memory and in the result's format.
func (c *contraction) bind(e *eval, p *product, part []extent, v tile.View) {
	f := p.res.Type.Format
	dims := make([]int64, len(part))
	size := make([]plan.Val, len(part))
	for i := range part {
		dims[i], size[i] = part[i].max, part[i].n
	}
	e.b.What = p.op.Info.Name
	if !v.Valid() {
		l := e.alloc("product", f, dims, size, 1)
		e.vec(plan.VCopy, l.v, 0)
		e.done[p.res] = l
		return
	}
	if v.Mem() != e.mem {
		v = e.b.Transfer(v, e.mem, dims, 2, tile.View{})
	}
	if f == v.Format {
		e.bind(p.res, v, dims)
		return
	}
	l := e.alloc("product", f, dims, size, 2)
	if f.IsInt() && v.Format.IsFloat() || f == format.Bool {
		e.b.Fail("a sum in %s is no %s", v.Format, f)
	}
	e.convert(l.v, v, dims, false)
	e.done[p.res] = l
}
