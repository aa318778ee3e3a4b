package codegen

import (
	"fmt"
	"strings"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

func init() {
	templates["contract"] = contractKernel
	templates["grouped"] = contractKernel
}

// axisKind says where an axis of a product's result comes from.
type axisKind uint8

const (
	axisBatch axisKind = iota // both operands
	axisM                     // the left one
	axisN                     // the right one
)

// product is one sum of products in a kernel, its axes sorted out.
type product struct {
	op     *ir.Op
	a, b   *ir.Value
	sa, sb *ir.Value // scales of a and b, or nil
	block  []int64   // h and g of the scales
	res    *ir.Value
	kind   []axisKind // of each axis of the result
	inA    []int      // where the axis stands in a, or -1
	inB    []int
	kA, kB []int // the summed axes in a and b
	kSize  []int64
	offset *ir.Value // of grouped products: where the groups begin; axis 0 of b is the group

	engine *chip.Engine
	rate   *chip.MatrixRate
	// what the kernel builds
	acc tile.View
	sum tile.View // running f32 sum beside the accumulator, when there are scales or promotion
}

func isProduct(o *ir.Op) bool {
	return o.Is(op.Einsum) || o.Is(op.ScaledMatmul) || o.Is(op.GroupedMatmul)
}

// newProduct sorts out the axes of a product; it fails for sums over an axis of one operand alone, which fuse never puts here.
func newProduct(t *tile.Target, o *ir.Op) (*product, error) {
	p := &product{op: o, a: o.Arg(0), b: o.Arg(1), res: o.Result(0)}
	rank := len(p.res.Type.Shape)
	p.kind, p.inA, p.inB = make([]axisKind, rank), make([]int, rank), make([]int, rank)
	switch o.Info {
	case op.Einsum:
		e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
		if err != nil {
			return nil, err
		}
		for i := 0; i < rank; i++ {
			p.inA[i], p.inB[i] = strings.IndexByte(e.A, e.Out[i]), strings.IndexByte(e.B, e.Out[i])
			switch {
			case p.inB[i] < 0:
				p.kind[i] = axisM
			case p.inA[i] < 0:
				p.kind[i] = axisN
			}
		}
		for i := 0; i < len(e.A); i++ {
			if strings.IndexByte(e.Out, e.A[i]) >= 0 {
				continue
			}
			j := strings.IndexByte(e.B, e.A[i])
			if j < 0 {
				return nil, fmt.Errorf("einsum %s sums %c of one operand alone", e, e.A[i])
			}
			p.kA, p.kB, p.kSize = append(p.kA, i), append(p.kB, j), append(p.kSize, shapeOf(p.a)[i])
		}
		for i := 0; i < len(e.B); i++ {
			if strings.IndexByte(e.Out, e.B[i]) < 0 && strings.IndexByte(e.A, e.B[i]) < 0 {
				return nil, fmt.Errorf("einsum %s sums %c of one operand alone", e, e.B[i])
			}
		}
	case op.ScaledMatmul, op.GroupedMatmul:
		lead := 0
		if o.Is(op.GroupedMatmul) {
			lead, p.offset = 1, o.Arg(2)
			if o.NumArgs() > 3 {
				p.sa, p.sb = o.Arg(3), o.Arg(4)
			}
		} else {
			p.sa, p.sb = o.Arg(2), o.Arg(3)
		}
		p.block = o.Attrs.Ints("block")
		for i := 0; i < rank; i++ {
			p.kind[i], p.inA[i], p.inB[i] = axisM, i, -1
		}
		p.kind[rank-1], p.inA[rank-1], p.inB[rank-1] = axisN, -1, lead
		k := len(p.a.Type.Shape) - 1
		p.kA, p.kB, p.kSize = []int{k}, []int{lead + 1}, []int64{shapeOf(p.a)[k]}
	}
	var ok bool
	p.engine, p.rate, ok = t.Chip.Matrix(p.a.Type.Format, p.b.Type.Format)
	if !ok {
		return nil, fmt.Errorf("%s multiplies no %s by %s", t.Chip.Name, p.a.Type.Format, p.b.Type.Format)
	}
	return p, nil
}

// sizes of one kernel's tiles.
type tiling struct {
	ext    []int64 // of each axis of the result
	k      []int64 // of each summed axis of the first product
	slots  int     // of the operands' buffers
	twoAcc bool
}

// bands splits a number of elements over axes from the last one on: as much as fits of each, one of the axes before a cut one.
func bands(size []int64, want int64) []int64 {
	out := make([]int64, len(size))
	for i := len(size) - 1; i >= 0; i-- {
		d := max(size[i], 1)
		out[i] = min(d, max(want, 1))
		if out[i] < d {
			want = 1
		} else {
			want /= d
		}
	}
	return out
}

func pick(size []int64, axes []int) []int64 {
	out := make([]int64, len(axes))
	for i, a := range axes {
		out[i] = size[a]
	}
	return out
}

func prod(s []int64) int64 {
	n := int64(1)
	for _, x := range s {
		n *= max(x, 1)
	}
	return n
}

// contractKernel computes one or more products of one iteration, tile by tile, then whatever follows elementwise.
func contractKernel(j *job, level int) (*compiled, error) {
	var ps []*product
	fixed := map[*ir.Value]bool{}
	for o := j.region.First(); o != nil; o = o.Next() {
		if isProduct(o) {
			p, err := newProduct(j.t, o)
			if err != nil {
				return nil, err
			}
			ps = append(ps, p)
			fixed[p.res] = true
		}
	}
	if len(ps) == 0 {
		return nil, fmt.Errorf("kernel %s multiplies nothing", j.op.Attrs.Str("name", ""))
	}
	out := shapeOf(ps[0].res)
	for _, p := range ps {
		if !equalInts(shapeOf(p.res), out) || !equalInts(p.kSize, ps[0].kSize) || (p.offset == nil) != (ps[0].offset == nil) {
			return nil, fmt.Errorf("the products of kernel %s differ in shape", j.op.Attrs.Str("name", ""))
		}
		for i := range out {
			if p.kind[i] != ps[0].kind[i] {
				return nil, fmt.Errorf("the products of kernel %s differ in their axes", j.op.Attrs.Str("name", ""))
			}
		}
	}
	s := trySpace(j.results, fixed, len(out))
	if s == nil || !equalInts(s.outer, out) {
		return nil, fmt.Errorf("what follows the product of kernel %s is not elementwise", j.op.Attrs.Str("name", ""))
	}
	for _, p := range ps {
		s.lead[p.res] = 0
	}
	k, params, outs := j.begin()
	if empty(j) {
		return j.end(k, 1)
	}
	c := &contraction{j: j, k: k, ps: ps, space: s, params: params, out: out}
	if err := c.tile(level); err != nil {
		return nil, err
	}
	grid := c.build(outs)
	return j.end(k, grid)
}

// contraction is one contract kernel being built.
type contraction struct {
	j      *job
	k      *tile.K
	ps     []*product
	space  *space
	params map[*ir.Value]int
	out    []int64
	tiling
	part []extent
}

func (c *contraction) axes(kind axisKind) []int {
	var out []int
	for i, x := range c.ps[0].kind {
		if x == kind {
			out = append(out, i)
		}
	}
	return out
}

// groups is the number of groups of a grouped product, else 1.
func (c *contraction) groups() int64 {
	if c.ps[0].offset == nil {
		return 1
	}
	return shapeOf(c.ps[0].b)[0]
}

// tile chooses the tile sizes: large enough to use the engine well, small enough for the memories, and as many blocks as there are cores if
// the work allows it. Each level asks for a third less memory.
func (c *contraction) tile(level int) error {
	p := c.ps[0]
	t := c.j.t
	mAxes, nAxes := c.axes(axisM), c.axes(axisN)
	m, n, kk := prod(pick(c.out, mAxes)), prod(pick(c.out, nAxes)), prod(p.kSize)
	batch := prod(pick(c.out, c.axes(axisBatch))) * c.groups()
	mAvg := ceilDiv(m, c.groups())
	ea, eb := int64(p.a.Type.Format.Bits()), int64(p.b.Type.Format.Bits())
	mt := min(m, up(min(mAvg, 128), int64(p.rate.M)))
	mt = min(mt, m)
	nt := min(n, int64(256))
	kt := min(kk, 128*8*8/max(ea, eb))
	if mt <= 16 {
		kt = min(kk, 256*8*8/max(ea, eb))
	}
	if g := c.scaleBlock(); g > 0 {
		kt = min(kt, g)
	}
	if h := c.rowsPerScale(); h > 1 {
		nt = min(nt, h)
	}
	c.slots, c.twoAcc = 2, true
	factor := 1.0
	for i := 0; i < level; i++ {
		factor *= 1.5
	}
	if level > 1 {
		c.twoAcc = false
	}
	if level > 3 {
		c.slots = 1
	}
	fits := func() bool {
		used := make([]float64, len(t.Memories))
		add := func(mem string, bytes int64) { used[t.Mem(mem)] += float64(bytes) }
		stage := func(mem string, bytes int64) {
			from := 0
			for _, w := range t.Route(from, t.Mem(mem)) {
				if w != 0 {
					used[w] += float64(bytes)
				}
			}
		}
		acc := int64(1)
		if c.twoAcc {
			acc = 2
		}
		// Products of one left operand share its tile.
		lefts := map[*ir.Value]bool{}
		for _, q := range c.ps {
			if !lefts[q.a] {
				lefts[q.a] = true
				stage(q.engine.A, mt*kt*ea/8*int64(c.slots))
			}
			stage(q.engine.B, nt*kt*eb/8*int64(c.slots))
			add(q.engine.Acc, mt*nt*4*acc)
		}
		vm, _, err := t.VectorMem(format.F32)
		if err == nil {
			used[vm] += float64(mt * nt * 4 * c.epilogueTiles())
		}
		for i := 1; i < len(used); i++ {
			if used[i]*factor > float64(t.Memories[i].Size)*0.95 {
				return false
			}
		}
		return true
	}
	gm, gn, gk := int64(max(p.rate.M, 1)), int64(max(p.rate.N, 8)), int64(max(p.rate.K, 8))
	half := func(x *int64, to int64) bool {
		if *x <= to {
			return false
		}
		*x = max(up(ceilDiv(*x, 2), to), 1)
		return true
	}
	for !fits() {
		// Shrink what costs least: a long K first, then the wider side.
		switch {
		case kt > 64 && half(&kt, gk):
		case nt >= mt && half(&nt, gn):
		case half(&mt, gm):
		case half(&nt, gn):
		case half(&kt, gk):
		default:
			return errTight
		}
	}
	for batch*ceilDiv(m, mt*c.groups())*ceilDiv(n, nt) < t.Cores() {
		if nt > mt && nt > 32 && half(&nt, gn) || mt > 32 && half(&mt, gm) || nt > 32 && half(&nt, gn) {
			continue
		}
		break
	}
	if h := c.rowsPerScale(); h > 1 { // tiles of N must not straddle a block of scales
		for h%nt != 0 {
			nt--
		}
	}
	c.ext = make([]int64, len(c.out))
	for i := range c.ext {
		c.ext[i] = 1
	}
	set := func(axes []int, want int64) {
		for i, e := range bands(pick(c.out, axes), want) {
			c.ext[axes[i]] = e
		}
	}
	set(mAxes, mt)
	set(nAxes, nt)
	c.tiling.k = bands(p.kSize, kt)
	return nil
}

// scaleBlock is how many elements of K share a scale, or how many may add up before promotion; 0 for all.
func (c *contraction) scaleBlock() int64 {
	p := c.ps[0]
	if p.sa != nil {
		return p.block[1]
	}
	return 0
}

func (c *contraction) rowsPerScale() int64 {
	if p := c.ps[0]; p.sa != nil {
		return p.block[0]
	}
	return 0
}

// epilogueTiles estimates how many tiles the vector engine holds at once after the product.
func (c *contraction) epilogueTiles() int64 {
	n := int64(len(c.ps))
	for o := c.j.region.First(); o != nil; o = o.Next() {
		if o.Info.Class == op.Elementwise {
			n++
		}
	}
	if c.ps[0].sa != nil {
		n += 2
	}
	if n == int64(len(c.ps)) && c.direct() {
		return 0
	}
	return min(n+1, 6)
}

// direct reports whether the accumulator goes out as it is, converted by the path.
func (c *contraction) direct() bool {
	if len(c.ps) != 1 || len(c.j.results) != 1 || c.j.results[0] != c.ps[0].res || c.ps[0].sa != nil || c.ps[0].rate.Promote > 0 {
		return false
	}
	p := c.ps[0]
	acc := c.j.t.Mem(p.engine.Acc)
	return c.j.t.Direct(acc, 0) && (p.res.Type.Format == p.rate.Acc || c.j.t.PathCasts(acc, 0, p.rate.Acc, p.res.Type.Format))
}

// build emits the kernel and returns its grid.
func (c *contraction) build(outs []int) int64 {
	k := c.k
	c.part = make([]extent, len(c.out))
	grid := int64(1)
	rest := k.Block()
	mAxes := c.axes(axisM)
	grouped := c.ps[0].offset != nil
	take := func(n int64) plan.Val { // the next digit of the block's number
		grid *= n
		if n == 1 {
			return plan.C(0)
		}
		i := k.Mod(rest, n)
		rest = k.Div(rest, n)
		return i
	}
	// The rows of A vary fastest, so that neighbouring cores share a tile of B.
	order := append([]int(nil), mAxes...)
	order = append(order, c.axes(axisN)...)
	order = append(order, c.axes(axisBatch)...)
	for x := len(order) - 1; x >= 0; x-- {
		i := order[len(order)-1-x]
		if grouped && c.ps[0].kind[i] == axisM {
			continue
		}
		tiles := ceilDiv(max(c.out[i], 1), c.ext[i])
		start := take(tiles).Scale(c.ext[i])
		n := plan.C(c.ext[i])
		if c.out[i]%c.ext[i] != 0 {
			n = k.Rest(c.ext[i], plan.C(c.out[i]), start)
		}
		c.part[i] = extent{start, n, c.ext[i]}
	}
	if !grouped {
		c.block(plan.Val{}, outs)
		return grid
	}
	g := take(c.groups())
	from := c.offsetAt(g)
	to := c.offsetAt(g.AddC(1))
	row := mAxes[0]
	k.Tiles(to.Add(from.Scale(-1)), c.ext[row], func(start, n plan.Val) {
		c.part[row] = extent{from.Add(start), n, c.ext[row]}
		c.block(g, outs)
	})
	return grid
}

// offsetAt loads where a group begins.
func (c *contraction) offsetAt(g plan.Val) plan.Val {
	v := c.ps[0].offset
	w, ok := view.Of(v)
	if !ok || w.Source.Def() != nil {
		c.k.Fail("the offsets of the groups must come from a buffer")
		return plan.C(0)
	}
	src := c.k.Global(c.params[w.Source], format.I32, g.Scale(4*w.Stride[0]).AddC(4*w.Offset), tile.Consts(1), []int64{4})
	return c.k.LoadScalar(src, plan.Assume{Index: g, Mul: c.out[0], Div: c.groups(), Why: "rows are spread evenly over the groups"})
}

// axisPart is the part of one axis of an operand that a tile takes.
type axisPart struct {
	axis int
	extent
}

// block emits the work on one tile of the result.
func (c *contraction) block(group plan.Val, outs []int) {
	k := c.k
	for _, p := range c.ps {
		slots := 1
		if c.twoAcc {
			slots = 2
		}
		dims := []int64{c.extOf(axisM), c.extOf(axisN)}
		b := k.Alloc("acc", k.T.Mem(p.engine.Acc), tile.TileBytes(p.rate.Acc, dims), slots)
		p.acc = k.Dense(b, p.rate.Acc, dims, []plan.Val{c.count(axisM), c.count(axisN)})
	}
	e, err := newEval(k, c.space, c.part, c.params, c.slots)
	if err != nil {
		k.Fail("%v", err)
		return
	}
	if c.ps[0].sa != nil || c.ps[0].rate.Promote > 0 {
		c.scaled(e, group)
	} else {
		c.kLoop(c.wholeK(), func(parts []extent, first plan.Val) { c.step(parts, group, first, e) })
	}
	if c.direct() {
		l := &local{v: c.unfold(c.ps[0].acc, c.ps[0].rate.Acc)}
		c.storeDirect(e, l, outs[0])
		return
	}
	for _, p := range c.ps {
		if p.sum.Valid() {
			c.bindSum(e, p)
			continue
		}
		c.bindAcc(e, p)
	}
	e.count(c.j.results...)
	for _, r := range c.j.results {
		e.final[r] = true
	}
	for i, r := range c.j.results {
		e.store(r, e.value(r), outs[i])
		e.drop(r)
	}
}

func (c *contraction) extOf(kind axisKind) int64 { return prod(pick(c.ext, c.axes(kind))) }

// count is how many rows or columns the tile really has: only its first cut axis can be ragged.
func (c *contraction) count(kind axisKind) plan.Val {
	n := plan.C(1)
	for _, i := range c.axes(kind) {
		x := c.part[i].n
		if x.IsConst() {
			n = n.Scale(x.C)
		} else {
			n = x.Scale(n.C)
		}
	}
	return n
}

// unfold gives an accumulator tile [M,N] one axis for each axis of the result again.
func (c *contraction) unfold(v tile.View, f format.Format) tile.View {
	out := v
	out.Size, out.Stride = make([]plan.Val, len(c.out)), make([]int64, len(c.out))
	for _, kind := range []axisKind{axisM, axisN} {
		s := v.Stride[0]
		if kind == axisN {
			s = v.Stride[1]
		}
		axes := c.axes(kind)
		for x := len(axes) - 1; x >= 0; x-- {
			i := axes[x]
			out.Size[i], out.Stride[i] = c.part[i].n, s
			s *= c.ext[i]
		}
	}
	for _, i := range c.axes(axisBatch) {
		out.Size[i], out.Stride[i] = plan.C(1), 0
	}
	return out
}

func (c *contraction) wholeK() []extent {
	out := make([]extent, len(c.ps[0].kSize))
	for i, n := range c.ps[0].kSize {
		out[i] = extent{plan.C(0), plan.C(n), n}
	}
	return out
}

// kLoop loops over tiles of the summed axes within the given ranges. first is 0 in the first round and positive afterwards.
func (c *contraction) kLoop(within []extent, f func(parts []extent, first plan.Val)) {
	parts := make([]extent, len(within))
	var rec func(i int, first plan.Val)
	rec = func(i int, first plan.Val) {
		if i == len(within) {
			f(append([]extent(nil), parts...), first)
			return
		}
		size := min(c.tiling.k[i], within[i].max)
		c.k.Tiles(within[i].n, size, func(start, n plan.Val) {
			parts[i] = extent{within[i].start.Add(start), n, size}
			rec(i+1, first.Add(start))
		})
	}
	rec(0, plan.C(0))
}

// step loads the operands' tiles of one part of K and multiplies them.
func (c *contraction) step(parts []extent, group, first plan.Val, e *eval) {
	lefts := map[*ir.Value]tile.View{}
	for _, p := range c.ps {
		a, ok := lefts[p.a]
		if !ok {
			a = c.operand(p.a, c.side(p, axisM), c.batch(p, p.inA, p.kA, parts), c.sumParts(p.kA, parts), p.engine.A)
			lefts[p.a] = a
		}
		g := c.batch(p, p.inB, p.kB, parts)
		if p.offset != nil {
			g = append(g, axisPart{0, extent{group, plan.C(1), 1}})
		}
		b := c.operand(p.b, c.side(p, axisN), g, c.sumParts(p.kB, parts), p.engine.B)
		b.Size[0], b.Size[1] = b.Size[1], b.Size[0] // [N,K] → [K,N]
		b.Stride[0], b.Stride[1] = b.Stride[1], b.Stride[0]
		c.k.Mma(p.engine.Name, p.acc, a, b, first)
	}
}

func (c *contraction) side(p *product, kind axisKind) []axisPart {
	at := p.inA
	if kind == axisN {
		at = p.inB
	}
	var out []axisPart
	for i, k := range p.kind {
		if k == kind {
			out = append(out, axisPart{at[i], c.part[i]})
		}
	}
	return out
}

func (c *contraction) batch(p *product, at, _ []int, _ []extent) []axisPart {
	var out []axisPart
	for i, k := range p.kind {
		if k == axisBatch {
			out = append(out, axisPart{at[i], c.part[i]})
		}
	}
	return out
}

func (c *contraction) sumParts(axes []int, parts []extent) []axisPart {
	var out []axisPart
	for i, a := range axes {
		out = append(out, axisPart{a, parts[i]})
	}
	return out
}

// operand brings a tile of an operand to a matrix memory as [rows, columns], rows and cols being the axes that make them up. The layout in
// memory follows the source's: its contiguous axis stays the contiguous one.
func (c *contraction) operand(v *ir.Value, rows, batch, cols []axisPart, mem string) tile.View {
	k := c.k
	n := len(v.Type.Shape)
	ext := make([]extent, n)
	for _, ps := range [][]axisPart{rows, batch, cols} {
		for _, p := range ps {
			ext[p.axis] = p.extent
		}
	}
	bytes := int64(v.Type.Format.Bits()) / 8
	var src tile.View
	if isLeaf(v) {
		w, _ := view.Of(v)
		src = tile.View{Param: c.params[w.Source], Format: v.Type.Format, Base: plan.C(w.Offset * bytes), Size: make([]plan.Val, n), Stride: make([]int64, n)}
		for i := range ext {
			src.Size[i], src.Stride[i] = ext[i].n, w.Stride[i]*bytes
			src.Base = src.Base.Add(ext[i].start.Scale(w.Stride[i] * bytes))
		}
	} else {
		src = c.computed(v, ext)
	}
	swap := false // whether rows are the contiguous side
	if len(rows) > 0 && len(cols) > 0 {
		swap = src.Stride[rows[len(rows)-1].axis] == bytes && src.Stride[cols[len(cols)-1].axis] != bytes && rows[len(rows)-1].max > 1
	}
	first, second := rows, cols
	if swap {
		first, second = cols, rows
	}
	var dims []int64
	var size []plan.Val
	lay := src
	lay.Size, lay.Stride = nil, nil
	for _, ps := range [][]axisPart{batch, first, second} {
		for _, p := range ps {
			if p.max == 1 && p.n.IsConst() {
				continue
			}
			dims, size = append(dims, p.max), append(size, p.n)
			lay.Size, lay.Stride = append(lay.Size, p.n), append(lay.Stride, src.Stride[p.axis])
		}
	}
	if len(dims) == 0 {
		dims, size = []int64{1}, tile.Consts(1)
		lay.Size, lay.Stride = tile.Consts(1), []int64{bytes}
	}
	dst := k.Transfer(lay, k.T.Mem(mem), dims, c.slots, tile.View{})
	// The tile is dense: fold its axes into two.
	out := dst
	nf, ns := fold(first), fold(second)
	rowBytes := int64(1)
	for _, p := range second {
		rowBytes *= p.max
	}
	out.Size = []plan.Val{nf, ns}
	out.Stride = []int64{rowBytes * bytes, bytes}
	if swap {
		out.Size[0], out.Size[1] = out.Size[1], out.Size[0]
		out.Stride[0], out.Stride[1] = out.Stride[1], out.Stride[0]
	}
	return out
}

func fold(ps []axisPart) plan.Val {
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

// computed evaluates an operand that is no plain view of a buffer, such as a cast of one, and leaves it in the vector memory.
func (c *contraction) computed(v *ir.Value, ext []extent) tile.View {
	shape := shapeOf(v)
	s := trySpace([]*ir.Value{v}, nil, len(shape))
	if s == nil {
		c.k.Fail("an operand of a product is computed in a way that cannot be cut in tiles")
		return tile.View{Size: make([]plan.Val, len(shape)), Stride: make([]int64, len(shape))}
	}
	e, err := newEval(c.k, s, ext, c.params, c.slots)
	if err != nil {
		c.k.Fail("%v", err)
		return tile.View{Size: make([]plan.Val, len(shape)), Stride: make([]int64, len(shape))}
	}
	e.count(v)
	e.final[v] = true
	l := e.value(v)
	if l.buf == nil || repeats(l.v, l.v.Size) {
		l = e.dense(l, v.Type.Format)
	}
	return l.v
}

// bindAcc hands the accumulator to the epilogue, in the vector memory and in the result's format.
func (c *contraction) bindAcc(e *eval, p *product) {
	k := c.k
	v := p.acc
	dims := []int64{c.extOf(axisM), c.extOf(axisN)}
	if v.Mem() != e.mem {
		v = k.Transfer(v, e.mem, dims, c.slots, tile.View{})
	}
	u := c.unfold(v, p.rate.Acc)
	dimsOut := append([]int64(nil), c.ext...)
	if p.res.Type.Format != p.rate.Acc {
		l := e.alloc("product", p.res.Type.Format, dimsOut, u.Size, 1)
		k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, l.v, u, tile.View{}, tile.View{})
		e.done[p.res] = l
		return
	}
	e.bind(p.res, u, dimsOut)
}

// storeDirect moves the accumulator to the result's buffer, the path converting.
func (c *contraction) storeDirect(e *eval, l *local, param int) {
	r := c.j.results[0]
	stride := view.Strides(c.out)
	bytes := int64(r.Type.Format.Bits()) / 8
	g := tile.View{Param: param, Format: r.Type.Format, Stride: make([]int64, len(c.out)), Size: l.v.Size}
	for i := range c.out {
		g.Stride[i] = stride[i] * bytes
		g.Base = g.Base.Add(c.part[i].start.Scale(stride[i] * bytes))
	}
	c.k.Move(squeeze(g, c.ext), squeeze(l.v, c.ext))
}

// squeeze drops axes of one element, which is all that a rank limit asks of most tiles.
func squeeze(v tile.View, ext []int64) tile.View {
	out := v
	out.Size, out.Stride = nil, nil
	for i := range v.Size {
		if ext[i] == 1 && v.Size[i].IsConst() && v.Size[i].C == 1 {
			continue
		}
		out.Size, out.Stride = append(out.Size, v.Size[i]), append(out.Stride, v.Stride[i])
	}
	if len(out.Size) == 0 {
		out.Size, out.Stride = tile.Consts(1), []int64{int64(v.Format.Bits()) / 8}
	}
	return out
}
