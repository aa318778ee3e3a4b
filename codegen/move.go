package codegen

import (
	"sort"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// mover streams data from buffers, or one number, to sinks, through one staging buffer that all of them share: each block moves one
// tile of one sink. Nothing is bound by a memory's size, since every axis can be cut.
type mover struct {
	b      *build
	list   []moving
	mem    int
	budget int64 // bytes of a tile
	slots  int
}

// moving is one sink that is streamed. Axes are those of the sink, without those of one element, neighbours joined that both
// sides step through evenly.
type moving struct {
	s        *sink
	f        format.Format
	size     []int64
	src, dst []int64 // elements
	from, to int64   // elements
	source   *ir.Value
	perRow   bool // axis 0 is not to be cut larger than one
	ext      []int64
	tiles    int64
}

func (b *build) newMover(sinks []sink, tight float64) (*mover, error) {
	mem, err := b.T.StageMem()
	if err != nil {
		return nil, err
	}
	for i := range sinks {
		if sinks[i].v == nil { // numbers are made where vectors work
			if mem, _, err = b.T.VectorMem(vecFormat); err != nil {
				return nil, err
			}
		}
	}
	m := &mover{b: b, mem: mem, slots: 3}
	total := int64(0)
	for i := range sinks {
		g := newMoving(&sinks[i])
		m.list = append(m.list, g)
		total += numel(g.size) * int64(g.f.Bits()) / 8
	}
	m.budget = int64(float64(b.T.Memories[mem].Size) / tight / float64(m.slots) / 1.1)
	// A few tiles for each core, of a size at which a transfer's start does not matter.
	m.budget = max(min(m.budget, max(total/(4*b.T.Cores()), 4<<10), 32<<10), 8)
	for i := range m.list {
		m.list[i].cut(m.budget)
	}
	return m, nil
}

// newMoving sorts out what is moved how.
func newMoving(s *sink) moving {
	g := moving{s: s, to: s.offset, perRow: s.perRow()}
	size, src := s.size, make([]int64, len(s.size))
	if s.v == nil {
		g.f = s.fill.Type.Format
	} else {
		g.f = s.v.Type.Format
		w, _ := view.Of(s.v)
		g.source, g.from, src = w.Source, w.Offset, w.Stride
	}
	type axis struct{ n, src, dst int64 }
	var axes []axis
	for i, n := range size {
		if n == 1 && !(g.perRow && i == 0) {
			continue
		}
		axes = append(axes, axis{n, src[i], s.stride[i]})
	}
	keep := 0
	if g.perRow {
		keep = 1
	}
	// The destination's order decides; what it steps through backwards, the source does instead.
	rest := axes[keep:]
	for i := range rest {
		if rest[i].dst < 0 {
			g.to += (rest[i].n - 1) * rest[i].dst
			g.from += (rest[i].n - 1) * rest[i].src
			rest[i].dst, rest[i].src = -rest[i].dst, -rest[i].src
		}
	}
	sort.SliceStable(rest, func(a, b int) bool { return rest[a].dst > rest[b].dst })
	for i, a := range axes {
		if n := len(g.size); n > keep && i > keep && g.src[n-1] == a.src*a.n && g.dst[n-1] == a.dst*a.n {
			g.size[n-1] *= a.n
			g.src[n-1], g.dst[n-1] = a.src, a.dst
			continue
		}
		g.size, g.src, g.dst = append(g.size, a.n), append(g.src, a.src), append(g.dst, a.dst)
	}
	if len(g.size) == 0 {
		g.size, g.src, g.dst = []int64{1}, []int64{1}, []int64{1}
	}
	g.asBytes()
	return g
}

// asBytes turns a sub-byte format into bytes where both sides are contiguous in whole bytes.
func (g *moving) asBytes() {
	bits := int64(g.f.Bits())
	if bits >= 8 {
		return
	}
	n := len(g.size) - 1
	scale := func(x int64) (int64, bool) { return x * bits / 8, x*bits%8 == 0 }
	if n == 0 && g.src[0] == 1 && g.dst[0] == 1 && g.from == 0 && g.to == 0 && g.s.update == nil && g.size[0] == numel(shapeOf(g.source)) {
		g.f, g.size = format.U8, []int64{(g.size[0]*bits + 7) / 8} // a whole buffer, with its last byte
		return
	}
	out := *g
	out.f, out.size, out.src, out.dst = format.U8, append([]int64(nil), g.size...), make([]int64, n+1), make([]int64, n+1)
	ok := g.src[n] == 1 && g.dst[n] == 1
	all := func(to *int64, x int64) {
		var fine bool
		*to, fine = scale(x)
		ok = ok && fine
	}
	all(&out.size[n], g.size[n])
	all(&out.from, g.from)
	all(&out.to, g.to)
	for i := 0; i < n; i++ {
		all(&out.src[i], g.src[i])
		all(&out.dst[i], g.dst[i])
	}
	out.src[n], out.dst[n] = 1, 1
	if g.s.update != nil {
		step := *g.s
		all(&step.step, g.s.step)
		out.s = &step
	}
	if ok {
		*g = out
	}
}

// cut chooses the tile: long enough along the axes that are contiguous on either side, then the destination's order from the
// inside out.
func (g *moving) cut(budget int64) {
	bytes := max(int64(g.f.Bits())/8, 1)
	least, most := make([]int64, len(g.size)), append([]int64(nil), g.size...)
	for i := range least {
		least[i] = 1
	}
	long := func(stride []int64) {
		best := -1
		for i, s := range stride {
			if s != 0 && g.size[i] > 1 && (best < 0 || abs(s) <= abs(stride[best])) {
				best = i
			}
		}
		if best >= 0 {
			least[best] = max(line/bytes, 1)
		}
	}
	long(g.src)
	long(g.dst)
	if g.perRow {
		most[0] = 1
	}
	g.ext = chooseTile(g.size, least, most, max(budget/bytes, 1))
	g.tiles = 1
	for i, n := range g.size {
		g.tiles *= ceilDiv(n, g.ext[i])
	}
}

func abs(x int64) int64 { return max(x, -x) }

// emit writes the code of all sinks for blocks from first on, and returns the number of blocks in all.
func (m *mover) emit(first int64) int64 {
	b := m.b
	bytes := int64(0)
	for i := range m.list {
		bytes = max(bytes, tile.TileBytes(m.list[i].f, m.list[i].ext))
	}
	stage := b.Alloc("stage", m.mem, bytes, m.slots)
	for i := range m.list {
		g := &m.list[i]
		if len(m.list) == 1 && first == 0 {
			m.tile(g, b.Block(), stage)
		} else {
			one := b.Less(b.Block(), plan.C(first+g.tiles)) // this sink's block, or an earlier one's
			if first > 0 {
				one = b.Set(plan.VMin, one, b.Less(plan.C(first-1), b.Block()))
			}
			b.If(one, func() {
				// Bounded, so that it shows from the number alone that nothing is reached outside.
				m.tile(g, b.Min(b.Max(b.Block().AddC(-first), plan.C(0)), plan.C(g.tiles-1)), stage)
			})
		}
		first += g.tiles
	}
	return first
}

// tile moves one tile of a sink.
func (m *mover) tile(g *moving, number plan.Val, stage *tile.Buf) {
	b := m.b
	b.What = "copy"
	from, to := plan.C(g.from), plan.C(g.to)
	d := newDigits(b.K, number, g.tiles)
	size := make([]plan.Val, len(g.size))
	var row plan.Val
	for i := len(g.size) - 1; i >= 0; i-- {
		start := d.next(ceilDiv(g.size[i], g.ext[i])).Scale(g.ext[i])
		size[i] = b.Rest(g.ext[i], plan.C(g.size[i]), start)
		from, to = from.Add(start.Scale(g.src[i])), to.Add(start.Scale(g.dst[i]))
		if i == 0 {
			row = start
		}
	}
	if g.s.update != nil {
		to = to.Add(b.start(g.s.update, g.s.last, row).Scale(g.s.step))
	}
	dst := b.global(b.result(g.s.result), g.f, to, size, g.dst)
	if g.s.v == nil {
		b.Move(dst, m.number(g, size, stage))
		return
	}
	// What the source repeats is loaded once.
	once, dims := append([]plan.Val(nil), size...), append([]int64(nil), g.ext...)
	for i, s := range g.src {
		if s == 0 {
			once[i], dims[i] = plan.C(1), 1
		}
	}
	t := b.Dense(stage, g.f, dims, once)
	b.Transfer(b.global(b.in(g.source), g.f, from, once, g.src), m.mem, dims, 1, t)
	b.Transfer(stretch(t, size), 0, g.ext, 1, dst)
}

// number fills the staging buffer with the number of a box, as far as one row of a tile needs it.
func (m *mover) number(g *moving, size []plan.Val, stage *tile.Buf) tile.View {
	b := m.b
	_, queue, err := b.T.VectorMem(vecFormat)
	if err != nil {
		b.Fail("%v", err)
	}
	n := len(size) - 1
	row := b.Dense(stage, g.f, []int64{g.ext[n]}, []plan.Val{size[n]})
	b.What = "pad"
	if c, ok := scalar(g.s.fill); ok {
		b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Imm: c}, row, tile.View{}, tile.View{}, tile.View{})
	} else {
		s, err := newSpace([]*ir.Value{g.s.fill}, nil)
		if err != nil {
			b.Fail("%v", err)
			return row
		}
		e := b.newEval(s, nil, 1)
		e.count(g.s.fill)
		l := e.value(g.s.fill)
		x := l.v
		x.Size, x.Stride = tile.Consts(1), []int64{0}
		b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, row, stretch(x, row.Size), tile.View{}, tile.View{})
	}
	out := row
	out.Size, out.Stride = size, make([]int64, len(size))
	out.Stride[n] = int64(g.f.Bits()) / 8
	return out
}
