package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// Grouped products. Which groups have rows, and how many, only data says. Every core first makes a list of the tiles of rows that there are,
// on chip: with tiles[g] = rows of group g / rows of a tile, rounded up, the group of tile j is the number of groups whose tiles end at
// or before j. A core then walks its share of all tiles of rows times tiles of columns. So few rows for many groups, as in
// decoding, cost no more than they must.

// groupList is the list, as the scalar unit reads it.
type groupList struct {
	offsets, groups, ends tile.View // where groups begin; the group of each tile; how many tiles groups up to each have
	count                 plan.Val  // tiles
	most                  int64     // of them
	rows                  int64     // of the operand
	n                     int64     // groups
}

// lists reports whether the chip can walk a list: its scalar unit reads the vector memory.
func (c *contraction) lists() bool {
	mem, _, err := c.j.t.VectorMem(vecFormat)
	return err == nil && c.j.t.ScalarReads(mem)
}

// listTiles is the most tiles of so many rows that there can be.
func (c *contraction) listTiles(tileRows int64) int64 {
	n, rows := c.groups(), c.out[c.ps[0].axes(axisM)[0]]
	return max(min(n, rows)+rows/tileRows, 1)
}

// listBytes is what the list takes on chip.
func (c *contraction) listBytes(tileRows int64) int64 {
	line := func(n int64) int64 { return up(4*n, 256) }
	return 4*line(c.groups()+1) + line(c.listTiles(tileRows)+1)
}

// grouped emits a kernel in which each block walks tiles of groups of rows, and returns the number of blocks.
func (c *contraction) grouped() int64 {
	b := c.b
	c.part = make([]extent, len(c.out))
	p := c.ps[0]
	row := p.axes(axisM)[0]
	if !isLeaf(p.offset) {
		b.Fail("the offsets of the groups must come from a buffer")
		return 1
	}
	if !c.list {
		return c.byGroup()
	}
	columns := c.count(axisN)
	l := c.groupTiles(c.ext[row])
	grid := min(b.T.Cores(), l.most*columns)
	// Each core takes as many tiles in a row, those of the columns of one tile of rows first: it loads rows once.
	total := l.count.Scale(columns)
	per := b.CeilDiv(total, grid)
	first := b.Set(plan.VMul, b.Block(), per)
	last := b.Min(first.Add(per), total)
	from := b.Div(first, columns)
	rounds := b.Set(plan.VMul, b.Less(first, last), b.Div(last.AddC(-1), columns).Add(from.Scale(-1)).AddC(1))
	axis := p.axes(axisN)[0]
	b.LoopAhead(rounds, func(i plan.Val) {
		j := from.Add(i)
		bounded := b.Max(b.Min(j, plan.C(l.most-1)), plan.C(0))
		g, start, n := l.at(b, bounded, c.ext[row])
		c.part[row] = extent{start, n, c.ext[row]}
		b.Ahead(c.loadLefts)
		low := b.Max(first.Add(j.Scale(-columns)), plan.C(0))
		high := b.Min(last.Add(j.Scale(-columns)), plan.C(columns))
		b.Loop(high.Add(low.Scale(-1)), func(k plan.Val) {
			at := b.Max(b.Min(low.Add(k), plan.C(columns-1)), plan.C(0)).Scale(c.ext[axis])
			c.part[axis] = extent{at, b.Rest(c.ext[axis], plan.C(c.out[axis]), at), c.ext[axis]}
			c.tile(g)
		})
	})
	return grid
}

// byGroup emits a kernel in which each block computes all tiles of one group, for one range of columns: where there is no list.
func (c *contraction) byGroup() int64 {
	b, p := c.b, c.ps[0]
	total := c.count(axisN) * c.groups()
	d := newDigits(b.K, b.Block(), total)
	c.take(d, axisN)
	g := d.next(c.groups())
	w, _ := view.Of(p.offset)
	begin := func(g plan.Val) plan.Val {
		src := b.global(b.in(w.Source), format.I32, plan.C(w.Offset).Add(g.Scale(w.Stride[0])), tile.Consts(1), []int64{1})
		return b.LoadScalar(src, plan.Assume{Index: g.Scale(c.out[0]).AddC(c.groups() - 1), Mul: 1, Div: c.groups(), Why: "rows are spread evenly over the groups"})
	}
	from, to := begin(g), begin(g.AddC(1))
	row := p.axes(axisM)[0]
	b.Tiles(to.Add(from.Scale(-1)), c.ext[row], func(start, n plan.Val) {
		c.part[row] = extent{from.Add(start), n, c.ext[row]}
		c.loadLefts()
		c.tile(g)
	})
	return total
}

// groupTiles makes the list for tiles of so many rows.
func (c *contraction) groupTiles(tileRows int64) *groupList {
	b := c.b
	v := c.ps[0].offset
	l := &groupList{n: c.groups(), rows: c.out[c.ps[0].axes(axisM)[0]]}
	l.most = c.listTiles(tileRows)
	mem, queue, _ := b.T.VectorMem(vecFormat)
	none := tile.View{}
	line := func(name string, n int64) tile.View {
		return b.New(name, mem, format.I32, []int64{1, n}, tile.Consts(1, n), 1)
	}
	part := func(v tile.View, from, n int64) tile.View { return v.Slice(1, plan.C(from), plan.C(n)) }
	vec := func(fn plan.Fn, dst tile.View, imm float64, src ...tile.View) {
		var s [3]tile.View
		copy(s[:], src)
		b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: fn, Imm: imm}, dst, s[0], s[1], s[2])
	}
	w, _ := view.Of(v)
	l.offsets = line("offsets", l.n+1)
	b.Transfer(b.global(b.in(w.Source), format.I32, plan.C(w.Offset), tile.Consts(1, l.n+1), []int64{0, w.Stride[0]}), mem, []int64{1, l.n + 1}, 1, l.offsets)
	tiles, ones := line("tiles", l.n), line("ones", l.n)
	vec(plan.VSub, tiles, 0, part(l.offsets, 1, l.n), part(l.offsets, 0, l.n))
	if tileRows > 1 {
		f := ones
		f.Format = format.F32
		c.divideUp(tiles, f, tileRows)
	}
	l.ends = line("ends", l.n)
	b.Vec(queue, plan.Instr{Op: plan.VScan, Fn: plan.VAdd}, l.ends, tiles, none, none)
	// A one where each group's tiles end, those beyond the list left out by a last place; the sum so far is the group of each tile.
	at := tiles
	vec(plan.VMin, at, float64(l.most), l.ends)
	vec(plan.VCopy, ones, 1)
	l.groups = line("groups", l.most+1)
	vec(plan.VCopy, l.groups, 0)
	b.Vec(queue, plan.Instr{Op: plan.VPut, Fn: plan.VAdd}, l.groups, ones, at, none)
	b.Vec(queue, plan.Instr{Op: plan.VScan, Fn: plan.VAdd}, l.groups, l.groups, none, none)
	l.count = b.Min(b.Max(l.load(b, l.ends, plan.C(l.n-1), plan.C(l.likely(tileRows)), 1), plan.C(0)), plan.C(l.most))
	return l
}

// likely is how many tiles there are when rows are spread evenly.
func (l *groupList) likely(tileRows int64) int64 {
	return max(min(l.n, l.rows)*ceilDiv(max(l.rows/max(l.n, 1), 1), tileRows), min(l.rows, 1))
}

// divideUp divides small whole numbers by a constant, rounding up: in f32, exact below 2^22. f is room for as many.
func (c *contraction) divideUp(v, f tile.View, by int64) {
	b := c.b
	_, queue, _ := b.T.VectorMem(vecFormat)
	vec := func(fn plan.Fn, dst tile.View, imm float64, src tile.View) {
		b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: fn, Imm: imm}, dst, src, tile.View{}, tile.View{})
	}
	vec(plan.VCast, f, 0, v)
	vec(plan.VAdd, f, float64(by)-0.5, f)
	vec(plan.VDiv, f, float64(by), f)
	vec(plan.VFloor, f, 0, f)
	vec(plan.VCast, v, 0, f)
}

func (l *groupList) load(b *build, v tile.View, at, assume plan.Val, div int64) plan.Val {
	v.Base = v.Base.Add(at.Scale(4))
	return b.LoadScalar(v, plan.Assume{Index: assume, Mul: 1, Div: div, Why: "rows are spread evenly over the groups"})
}

// at gives the group, the first row and the number of rows of tile j.
func (l *groupList) at(b *build, j plan.Val, tileRows int64) (g, from, n plan.Val) {
	likely := l.likely(tileRows)
	clamp := func(v plan.Val, most int64) plan.Val { return b.Min(b.Max(v, plan.C(0)), plan.C(most)) }
	// Group g, when tiles are spread evenly, is that of tile g·likely/n, rounded up.
	g = clamp(l.load(b, l.groups, j, j.Scale(l.n), max(likely, 1)), l.n-1)
	begin := func(g plan.Val) plan.Val {
		return clamp(l.load(b, l.offsets, g, g.Scale(l.rows).AddC(l.n-1), l.n), l.rows)
	}
	first, last := begin(g), begin(g.AddC(1))
	end := l.load(b, l.ends, g, g.AddC(1).Scale(likely).AddC(l.n-1), l.n)
	// The tile's number within its group, counted from the end: the last one ends with the group.
	behind := b.Set(plan.VMul, end.Add(j.Scale(-1)).AddC(-1), plan.C(tileRows))
	count := last.Add(first.Scale(-1))
	whole := b.Div(count.AddC(tileRows-1), tileRows).Scale(tileRows) // rows of all its tiles
	from = clamp(first.Add(whole).AddC(-tileRows).Add(behind.Scale(-1)), l.rows)
	return g, from, b.Max(b.Min(plan.C(tileRows), last.Add(from.Scale(-1))), plan.C(0))
}
