package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// grouped emits a kernel in which each block computes the tiles of one group of rows, for one range of columns.
func (c *contraction) grouped() int64 {
	c.part = make([]extent, len(c.out))
	p := c.ps[0]
	total := c.count(axisN) * c.groups()
	d := newDigits(c.b.K, c.b.Block(), total)
	c.take(d, axisN)
	g := d.next(c.groups())
	from, to := c.offsetAt(g), c.offsetAt(g.AddC(1))
	row := p.axes(axisM)[0]
	c.b.Tiles(to.Add(from.Scale(-1)), c.ext[row], func(start, n plan.Val) {
		c.part[row] = extent{from.Add(start), n, c.ext[row]}
		c.tile(g)
	})
	return total
}

// offsetAt loads where a group begins.
func (c *contraction) offsetAt(g plan.Val) plan.Val {
	v := c.ps[0].offset
	if !isLeaf(v) {
		c.b.Fail("the offsets of the groups must come from a buffer")
		return plan.C(0)
	}
	w, _ := view.Of(v)
	src := c.b.global(c.b.in(w.Source), format.I32, plan.C(w.Offset).Add(g.Scale(w.Stride[0])), tile.Consts(1), []int64{1})
	return c.b.LoadScalar(src, plan.Assume{Index: g.Scale(c.out[0]).AddC(c.groups() - 1), Mul: 1, Div: c.groups(), Why: "rows are spread evenly over the groups"})
}
