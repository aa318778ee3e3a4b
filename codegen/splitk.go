package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// Where a product has few rows and few columns, there are not enough tiles for all cores, and each has a long sum to go through. Then K is
// cut: one launch writes the sums of each part, a second one adds them up in order and does what follows the product. Nothing
// is added atomically, so the result does not depend on who comes first.

// storePart moves an accumulator to its place in the buffer of partial sums [splits, result…].
func (c *contraction) storePart(p *product, temp int) {
	b := c.b
	at := c.split.Scale(numel(c.out))
	stride := view.Strides(c.out)
	for i := range c.out {
		at = at.Add(c.part[i].start.Scale(stride[i]))
	}
	v := c.unfold(p.acc)
	b.Move(b.global(b.temp(temp, false, true), p.rate.Acc, at, v.Size, stride), v)
}

// addParts adds the launch that sums the parts.
func (c *contraction) addParts() error {
	j := c.j
	b := j.begin()
	least, most := make([]int64, len(c.out)), make([]int64, len(c.out))
	for i, n := range c.out {
		least[i], most[i] = min(c.space.step(c.ps[0].res, i), max(n, 1)), max(n, 1)
	}
	rows := min(max(ceilDiv(prod(c.out), 2*j.t.Cores()), 256), 4<<10)
	ext := chooseTile(c.out, least, most, rows)
	for i := range ext {
		ext[i] = min(up(ext[i], least[i]), most[i])
	}
	tiles := int64(1)
	for i, n := range c.out {
		tiles *= ceilDiv(max(n, 1), ext[i])
	}
	part := make([]extent, len(c.out))
	d := newDigits(b.K, b.Block(), tiles)
	dims, size := make([]int64, len(ext)), make([]plan.Val, len(ext))
	for i := len(ext) - 1; i >= 0; i-- {
		start := d.next(ceilDiv(max(c.out[i], 1), ext[i])).Scale(ext[i])
		part[i] = extent{start, b.Rest(ext[i], plan.C(c.out[i]), start), ext[i]}
		dims[i], size[i] = ext[i], part[i].n
	}
	e := b.newEval(c.space, nil, 1)
	sums := make([]tile.View, len(c.ps))
	for i, p := range c.ps {
		b.What = p.op.Info.Name
		at := plan.C(0)
		stride := view.Strides(c.out)
		for a := range c.out {
			at = at.Add(part[a].start.Scale(stride[a]))
		}
		load := func(s plan.Val) tile.View {
			src := b.global(b.temp(c.temps[i], true, false), p.rate.Acc, at.Add(s.Scale(numel(c.out))), size, stride)
			return b.Transfer(src, e.mem, dims, 2, tile.View{})
		}
		sum := e.alloc("sum", p.rate.Acc, dims, size, 1)
		e.vec(plan.VCopy, sum.v, 0)
		b.LoopAhead(plan.C(c.splits), func(s plan.Val) { e.vec(plan.VAdd, sum.v, 0, sum.v, load(s)) })
		sums[i] = sum.v
	}
	c.b = b
	c.slicePart(part, sums)
	return b.end(tiles, 0)
}
