package codegen

import (
	"fmt"
	"slices"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/targets/plan"
)

// contractKernel compiles kernels of one or more sums of products (einsum, scaled_matmul, grouped_matmul) of one iteration, and what
// follows them element by element. It accepts:
//
//   - operands that are views of buffers, or are computed from buffers without any op along their axes (casts, dequantize, scaling);
//   - any einsum of two operands, sums over an axis of only one of them included;
//   - after the products, ops that treat every axis of the result as a row (elementwise, broadcasts), results that are views, parts of a
//     concat, or updates of a buffer;
//   - products that share their left operand, whose tile is then loaded once, such as gate and up of a gated MLP;
//   - beside that, results that are only moved or computed from buffers, as in a map kernel.
//
// It never splits a product's row over cores where results follow that need all of it, and never keeps more than a tile on chip. K is cut
// into several blocks only where too few blocks would be left to use the cores.
func contractKernel(j *job) error {
	c := &contraction{j: j}
	fixed := map[*ir.Value]bool{}
	for o := j.region.First(); o != nil; o = o.Next() {
		if isProduct(o) {
			p, err := newProduct(j.t, o)
			if err != nil {
				return err
			}
			c.ps = append(c.ps, p)
			fixed[p.res] = true
		}
	}
	if len(c.ps) == 0 {
		return fmt.Errorf("kernel %s multiplies nothing", j.name())
	}
	c.out = shapeOf(c.ps[0].res)
	for _, p := range c.ps {
		if err := c.ps[0].sameIteration(p); err != nil {
			return fmt.Errorf("kernel %s: %w", j.name(), err)
		}
	}
	var before, beside []sink
	for i := range j.results {
		first, list := j.sinks(i)
		before = append(before, first...)
		for _, s := range list {
			if s.v != nil && j.needs(s.v, fixed) {
				c.sinks = append(c.sinks, s)
			} else {
				beside = append(beside, s)
			}
		}
	}
	if len(before) > 0 {
		if err := j.mapSinks(before, 0); err != nil {
			return err
		}
	}
	if len(c.sinks) > 0 {
		var err error
		if c.space, err = newSpace(sinkValues(c.sinks), fixed); err != nil {
			return fmt.Errorf("kernel %s: %w", j.name(), err)
		}
		if err := j.fit(c.compile); err != nil {
			return err
		}
	}
	if len(beside) > 0 {
		return j.mapSinks(beside, 0)
	}
	return nil
}

// needs reports whether a value is computed from one of the given ones.
func (j *job) needs(v *ir.Value, from map[*ir.Value]bool) bool {
	if from[v] {
		return true
	}
	if v.Def() != nil {
		for _, a := range v.Def().Args() {
			if j.needs(a, from) {
				return true
			}
		}
	}
	return false
}

// contraction is one contract kernel being built.
type contraction struct {
	j     *job
	b     *build
	ps    []*product
	space *space
	sinks []sink
	out   []int64 // the result's shape
	tiling
	ext              []int64 // tile of the result
	kext             []int64 // step of each summed axis
	part             []extent
	lefts, rowScales map[*ir.Value]tile.View // resident tiles of left operands, and scales of their rows
	colScales        []tile.View             // of each product, where the engine takes them
	split            plan.Val                // which part of K the block sums
	temps            []int                   // where split sums go
}

// groups is the number of groups of a grouped product, else 1.
func (c *contraction) groups() int64 {
	if c.ps[0].offset == nil {
		return 1
	}
	return shapeOf(c.ps[0].b)[0]
}

// scaled reports whether there is a running f32 sum beside the accumulator.
func (c *contraction) scaled() bool {
	for _, p := range c.ps {
		if p.sa != nil && !p.native || p.sa == nil && p.rate.Promote > 0 && int64(p.rate.Promote) < prod(p.kSize) {
			return true
		}
	}
	return false
}

func (c *contraction) rowsPerScale() int64 {
	if p := c.ps[0]; p.sa != nil {
		return p.block[0]
	}
	return 0
}

// noTerms reports whether the sums have no terms at all: the products are 0.
func (c *contraction) noTerms() bool { return numel(c.ps[0].kSize) == 0 }

// direct reports whether the accumulator goes out as it is, converted by the path.
func (c *contraction) direct() bool {
	p := c.ps[0]
	if len(c.ps) != 1 || len(c.sinks) != 1 || c.sinks[0].v != p.res || c.scaled() || c.noTerms() {
		return false
	}
	acc := c.j.t.Mem(p.engine.Acc)
	return c.j.t.Direct(acc, 0) && (p.res.Type.Format == p.rate.Acc || c.j.t.PathCasts(acc, 0, p.rate.Acc, p.res.Type.Format))
}

// canSplit reports whether K may be cut into parts that different blocks sum.
func (c *contraction) canSplit() bool {
	p := c.ps[0]
	if p.offset != nil || len(p.kSize) != 1 || c.scaled() || c.noTerms() {
		return false
	}
	for _, q := range c.ps {
		if !isLeaf(q.a) || !isLeaf(q.b) || !c.j.t.Direct(c.j.t.Mem(q.engine.Acc), 0) {
			return false
		}
	}
	for _, s := range c.sinks {
		if s.perRow() {
			return false
		}
	}
	return true
}

// compile adds the launches of the products.
func (c *contraction) compile(tight float64) error {
	t, ok := newTiler(c).find(tight)
	if !ok {
		return errTight
	}
	c.tiling = t
	if err := c.j.settled(t.mt, t.nt, t.kp, t.kt, t.slots, t.accs, t.resident, t.slice, t.splits); err != nil {
		return err
	}
	p := c.ps[0]
	c.ext = make([]int64, len(c.out))
	for _, i := range p.axes(axisBatch) {
		c.ext[i] = 1
	}
	for kind, want := range map[axisKind]int64{axisM: t.mt, axisN: t.nt} {
		axes := p.axes(kind)
		for i, e := range bands(pick(c.out, axes), want) {
			c.ext[axes[i]] = e
		}
	}
	for i, e := range c.ext { // as what follows allows
		c.ext[i] = min(up(e, c.unitOf(i)), max(c.out[i], 1))
		if p.kind[i] == axisBatch && c.ext[i] > 1 {
			return fmt.Errorf("kernel %s: what follows the product wants %d elements of axis %d at once, which is one of both operands", c.j.name(), c.ext[i], i)
		}
	}
	c.kext = bands(p.kSize, t.kp)
	c.b, c.lefts, c.temps = c.j.begin(), nil, nil
	if c.splits > 1 {
		for _, q := range c.ps {
			c.temps = append(c.temps, c.j.newTemp(q.rate.Acc, append([]int64{c.splits}, c.out...)...))
		}
	}
	grid := int64(0)
	if p.offset != nil {
		grid = c.grouped()
	} else {
		grid = c.blocks()
	}
	if err := c.b.end(grid, c.j.flops()); err != nil {
		return err
	}
	if c.splits > 1 {
		return c.addParts()
	}
	return nil
}

// tiles is how many tiles the result has along an axis.
func (c *contraction) tiles(i int) int64 { return ceilDiv(max(c.out[i], 1), c.ext[i]) }

// take splits a number into the tile of each axis. The rows of A vary fastest, so that neighbouring cores share a tile of B.
func (c *contraction) take(d *digits, kinds ...axisKind) {
	for _, kind := range kinds {
		axes := c.ps[0].axes(kind)
		for x := len(axes) - 1; x >= 0; x-- {
			i := axes[x]
			start := d.next(c.tiles(i)).Scale(c.ext[i])
			c.part[i] = extent{start, c.b.Rest(c.ext[i], plan.C(c.out[i]), start), c.ext[i]}
		}
	}
}

// count is how many tiles of some kinds of axes there are.
func (c *contraction) count(kinds ...axisKind) int64 {
	n := int64(1)
	for _, kind := range kinds {
		for _, i := range c.ps[0].axes(kind) {
			n *= c.tiles(i)
		}
	}
	return n
}

// blocks emits a kernel whose blocks each compute one tile, and returns their number.
func (c *contraction) blocks() int64 {
	c.part = make([]extent, len(c.out))
	total := c.count(axisM, axisN, axisBatch) * c.splits
	d := newDigits(c.b.K, c.b.Block(), total)
	if n := c.band(); n > 0 {
		i := c.ps[0].axes(axisM)[0]
		row := d.next(n)
		c.take(d, axisN)
		start := d.next(c.tiles(i) / n).Scale(n).Add(row).Scale(c.ext[i])
		c.part[i] = extent{start, c.b.Rest(c.ext[i], plan.C(c.out[i]), start), c.ext[i]}
		c.take(d, axisBatch)
	} else {
		c.take(d, axisM, axisN, axisBatch)
	}
	c.split = d.next(c.splits)
	c.loadLefts()
	c.tile(plan.Val{})
	return total
}

// band is how many tiles of rows vary before the columns do, so that the blocks that run side by side share as much as they can: a
// divisor of their number, or 0 when all of them vary first.
func (c *contraction) band() int64 {
	p := c.ps[0]
	rows := p.axes(axisM)
	if len(rows) != 1 {
		return 0
	}
	tiles, cores := c.tiles(rows[0]), c.j.t.Cores()
	columns := c.count(axisN)
	if tiles <= 2 || columns <= 1 || tiles*columns <= cores {
		return 0
	}
	a, b := c.ext[rows[0]]*bits(p.a), c.extOf(axisN)*bits(p.b)*int64(len(c.ps))
	wave := func(n int64) int64 { // of what the blocks of a wave read, for each element of K
		return min(n, cores)*a + min(ceilDiv(cores, n), columns)*b
	}
	best := tiles
	for n := int64(1); n < tiles; n++ {
		if tiles%n == 0 && 20*wave(n) < 19*wave(best) {
			best = n
		}
	}
	if best == tiles {
		return 0
	}
	return best
}

// loadLefts loads the tiles of left operands that stay for all of K, and the scales of their rows.
func (c *contraction) loadLefts() {
	c.lefts, c.rowScales = map[*ir.Value]tile.View{}, map[*ir.Value]tile.View{}
	c.b.What = c.ps[0].op.Info.Name
	if c.noTerms() {
		return
	}
	for _, p := range c.ps {
		if _, ok := c.lefts[p.a]; !ok && c.resident {
			c.lefts[p.a] = c.left(p, c.depth(), c.once)
		}
		if _, ok := c.rowScales[p.sa]; ok || p.sa == nil {
			continue
		}
		if !p.native {
			c.rowScales[p.sa] = c.loadRowScales(p)
		} else {
			c.rowScales[p.sa] = c.scalesOfRows(p)
		}
	}
}

// tile emits the work on one tile of the result.
func (c *contraction) tile(group plan.Val) {
	b := c.b
	b.What = c.ps[0].op.Info.Name
	if !c.noTerms() {
		for _, p := range c.ps {
			dims := []int64{c.extOf(axisM), c.extOf(axisN)}
			p.acc = b.New("acc", b.T.Mem(p.engine.Acc), p.rate.Acc, dims, []plan.Val{c.size(axisM), c.size(axisN)}, c.accs)
		}
		c.colScales = make([]tile.View, len(c.ps))
		for i, p := range c.ps {
			if p.native {
				c.colScales[i] = c.scalesOfColumns(p, group)
			}
		}
		if c.scaled() {
			c.promoted(group)
		} else {
			c.kLoop(c.depth(), func(parts []extent, first plan.Val) { c.step(parts, group, first) })
		}
	}
	switch {
	case c.splits > 1:
		for i, p := range c.ps {
			c.storePart(p, c.temps[i])
		}
	case c.direct():
		c.storeAcc()
	default:
		c.epilogue()
	}
}

// extOf is the largest size of a tile's side, size the real one: only its first cut axis can be ragged.
func (c *contraction) extOf(kind axisKind) int64 { return prod(pick(c.ext, c.ps[0].axes(kind))) }

func (c *contraction) size(kind axisKind) plan.Val {
	var ps []extent
	for _, i := range c.ps[0].axes(kind) {
		ps = append(ps, c.part[i])
	}
	return product1(ps)
}

// product1 multiplies sizes of which at most one is not constant.
func product1(ps []extent) plan.Val {
	n := plan.C(1)
	for _, p := range ps {
		if p.n.IsConst() {
			n = n.Scale(p.n.C)
		} else {
			n = p.n.Scale(n.C)
		}
	}
	return n
}

// depth is the part of the summed axes that a block sums.
func (c *contraction) depth() []extent {
	out := make([]extent, len(c.ps[0].kSize))
	for i, n := range c.ps[0].kSize {
		out[i] = extent{plan.C(0), plan.C(n), n}
	}
	if c.splits > 1 {
		n := c.ps[0].kSize[0]
		d := c.splitDepth()
		start := c.split.Scale(d)
		out[0] = extent{start, c.b.Rest(d, plan.C(n), start), d}
	}
	return out
}

// splitDepth is how many terms one part of K has.
func (c *contraction) splitDepth() int64 {
	p := c.ps[0]
	return up(ceilDiv(p.kSize[0], c.splits), max(int64(p.rate.K), p.scaleStep(), 1))
}

// kLoop loops over steps of the summed axes within the given ranges. first is 0 in the first round and positive afterwards.
func (c *contraction) kLoop(within []extent, f func(parts []extent, first plan.Val)) {
	parts := make([]extent, len(within))
	var rec func(i int, first plan.Val)
	rec = func(i int, first plan.Val) {
		if i == len(within) {
			f(slices.Clone(parts), first)
			return
		}
		size := min(c.kext[i], within[i].max)
		tiles := c.b.Tiles
		if i == len(within)-1 { // the next step is on its way while this one is multiplied
			tiles = c.b.TilesAhead
		}
		tiles(within[i].n, size, func(start, n plan.Val) {
			parts[i] = extent{within[i].start.Add(start), n, size}
			rec(i+1, first.Add(start))
		})
	}
	rec(0, plan.C(0))
}

// step loads the operands' tiles of one part of K and multiplies them.
func (c *contraction) step(parts []extent, group, first plan.Val) {
	depth := int64(1)
	for _, x := range parts {
		depth *= x.max
	}
	c.multiply(c.load(parts, group), plan.C(0), product1(parts), depth, first)
}

// stepTiles are the operands' tiles of one part of K: by left operand, and for each product. The scales are there where the engine takes them.
type stepTiles struct {
	lefts     map[*ir.Value]tile.View // [rows, K]
	rights    []tile.View             // [columns, K]
	rowScales map[*ir.Value]tile.View // [rows, blocks of K]
	colScales []tile.View             // [columns, blocks of K]
}

// load loads the operands' tiles of one part of K.
func (c *contraction) load(parts []extent, group plan.Val) stepTiles {
	s := stepTiles{map[*ir.Value]tile.View{}, make([]tile.View, len(c.ps)), map[*ir.Value]tile.View{}, make([]tile.View, len(c.ps))}
	for i, p := range c.ps {
		if _, ok := s.lefts[p.a]; !ok {
			if whole, ok := c.lefts[p.a]; ok {
				s.lefts[p.a] = c.within(whole, parts)
			} else {
				s.lefts[p.a] = c.left(p, parts, c.slots)
			}
		}
		s.rights[i] = c.right(p, parts, group)
		if !p.native {
			continue
		}
		k := c.blocksWithin(p, parts[0])
		if _, ok := s.rowScales[p.sa]; !ok {
			s.rowScales[p.sa] = c.rowScales[p.sa].Slice(1, k.start, k.n)
		}
		s.colScales[i] = c.colScales[i].Slice(1, k.start, k.n)
	}
	return s
}

// multiply multiplies columns from to from+n of loaded tiles, in as many instructions as the engine's memories ask for. The
// accumulators start from zero if first is 0.
func (c *contraction) multiply(s stepTiles, from, n plan.Val, most int64, first plan.Val) {
	b := c.b
	b.Tiles(n, min(c.kt, most), func(k0, kn plan.Val) {
		near := map[*ir.Value]tile.View{}
		for i, p := range c.ps {
			at := from.Add(k0)
			a, ok := near[p.a]
			if !ok {
				a = c.near(s.lefts[p.a].Slice(1, at, kn), p.engine.A, c.extOf(axisM), c.kt)
				near[p.a] = a
			}
			w := c.near(s.rights[i].Slice(1, at, kn), p.engine.B, c.extOf(axisN), c.kt)
			if !p.native {
				b.Mma(p.engine.Name, p.acc, a, flip(w), first.Add(k0))
				continue
			}
			k := c.blocksOf(p, at, min(c.kt, most), s.colScales[i].Size[1])
			rows, ok := near[p.sa]
			if !ok {
				rows = c.near(s.rowScales[p.sa].Slice(1, k.start, k.n), p.engine.A, c.extOf(axisM), k.max)
				near[p.sa] = rows
			}
			cols := c.near(s.colScales[i].Slice(1, k.start, k.n), p.engine.B, c.extOf(axisN), k.max)
			b.MmaScaled(p.engine.Name, p.acc, a, flip(w), rows, flip(cols), first.Add(k0))
		}
	})
}

// flip sees a tile [N,K] as [K,N].
func flip(v tile.View) tile.View {
	w := v
	w.Size, w.Stride = []plan.Val{v.Size[1], v.Size[0]}, []int64{v.Stride[1], v.Stride[0]}
	return w
}

// within is the part of a resident tile [rows, all of K] that a step takes.
func (c *contraction) within(v tile.View, parts []extent) tile.View {
	at, inner := plan.C(0), int64(1)
	base := c.depth()
	for i := len(parts) - 1; i >= 0; i-- {
		at = at.Add(parts[i].start.Add(base[i].start.Scale(-1)).Scale(inner))
		inner *= base[i].max
	}
	return v.Slice(1, at, product1(parts))
}

// near brings a step's tile of at most so many rows and columns to the memory that the engine reads, if it is not there already.
func (c *contraction) near(v tile.View, mem string, rows, cols int64) tile.View {
	m := c.b.T.Mem(mem)
	if v.Mem() == m {
		return v
	}
	return c.b.Transfer(v, m, []int64{rows, cols}, 2, tile.View{})
}

// unfold gives a tile [M,N] one axis for each axis of the result again.
func (c *contraction) unfold(v tile.View) tile.View {
	out := v
	out.Size, out.Stride = make([]plan.Val, len(c.out)), make([]int64, len(c.out))
	for side, kind := range []axisKind{axisM, axisN} {
		s := v.Stride[side]
		axes := c.ps[0].axes(kind)
		for x := len(axes) - 1; x >= 0; x-- {
			i := axes[x]
			out.Size[i], out.Stride[i] = c.part[i].n, s
			s *= c.ext[i]
		}
	}
	for _, i := range c.ps[0].axes(axisBatch) {
		out.Size[i], out.Stride[i] = plan.C(1), 0
	}
	return out
}

// storeAcc moves the accumulator to the one sink there is, the path converting.
func (c *contraction) storeAcc() {
	e := c.b.newEval(c.space, c.parts(c.part), 1)
	e.store(&c.sinks[0], &local{v: c.unfold(c.ps[0].acc)})
}

// parts gives the part of each class of axes of what follows the products.
func (c *contraction) parts(part []extent) []extent {
	out, err := c.space.parts(c.b, c.ps[0].res, part)
	if err != nil {
		c.b.Fail("what follows the product: %v", err)
		return make([]extent, len(c.space.classes))
	}
	return out
}

// epilogue computes what follows the products, slice by slice of the tile.
func (c *contraction) epilogue() {
	b := c.b
	// Where the vector engine finds the sums: in its memory, or on a way to it that it takes slice by slice.
	sums := make([]tile.View, len(c.ps))
	dims := []int64{c.extOf(axisM), c.extOf(axisN)}
	for i, p := range c.ps {
		switch {
		case c.noTerms():
		case p.sum.Valid():
			sums[i] = c.unfold(p.sum)
		default:
			v := p.acc
			if way := b.T.Route(v.Mem(), c.vecMem()); len(way) > 1 { // over global memory: all of it at once
				f := v.Format
				if b.T.PathCasts(v.Mem(), way[0], f, p.res.Type.Format) {
					f = p.res.Type.Format
				}
				w := b.New("sums", way[0], f, dims, v.Size, c.accs)
				b.Move(w, v)
				v = w
			}
			sums[i] = c.unfold(v)
		}
	}
	sub := c.slices()
	part := slices.Clone(c.part)
	var rec func(i int)
	rec = func(i int) {
		if i == len(c.out) {
			c.slicePart(part, sums)
			return
		}
		if sub[i] >= c.ext[i] {
			rec(i + 1)
			return
		}
		b.Tiles(c.part[i].n, sub[i], func(start, n plan.Val) {
			saved := slices.Clone(sums)
			for s := range sums {
				if sums[s].Valid() {
					sums[s] = sums[s].Slice(i, start, n)
				}
			}
			part[i] = extent{c.part[i].start.Add(start), n, sub[i]}
			rec(i + 1)
			part[i] = c.part[i]
			copy(sums, saved)
		})
	}
	rec(0)
}

func (c *contraction) vecMem() int {
	mem, _, err := c.b.T.VectorMem(vecFormat)
	if err != nil {
		c.b.Fail("%v", err)
	}
	return mem
}
