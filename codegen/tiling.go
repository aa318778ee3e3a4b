package codegen

import (
	"math"
	"slices"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/op"
	"apogee/targets/chip"
)

// tiling is how a contract kernel is cut.
type tiling struct {
	mt, nt   int64 // rows and columns of a result tile
	kp, kt   int64 // elements of K loaded from global memory at a time, and multiplied by one instruction
	slots    int   // of the operands' buffers
	accs     int   // of the accumulators'
	resident bool  // the left operand's tile is loaded once for all of K
	slice    int64 // elements of the tile that the epilogue works on at a time
	splits   int64 // parts that K is cut in, each a block of its own; their sums are added by a second launch
	once     int   // slots of what is loaded once a block
	list     bool  // a grouped product walks a list of tiles
	cycles   float64
}

// tiler finds the tiling of a contract kernel with the least estimated time. The estimate is that of the simulated chip in broad
// strokes: what each queue does for a block, waves of blocks over the cores, memory and cache shared by all. It is for choosing only, no
// result is made from it.
type tiler struct {
	t  *tile.Target
	c  *contraction
	ps []*product

	m, n, k, batch int64 // batch includes groups; m is of one of them
	wayA, wayB     []int // memories from global to the engine
	acc, vec       int   // memories
	// chip facts, per core and cycle
	memory, cache, cacheBytes float64
	latency, launch           float64
	vecRate                   float64
	passes                    int64   // of the vector engine over the result
	after                     float64 // bytes an element that the epilogue holds at once
	prologue                  int64   // tiles that a computed operand holds at once
	stepM, stepN              int64   // what follows wants tiles in multiples of these
	lefts                     []*ir.Value
	direct                    bool
	used                      []float64 // of each memory, in fits
}

func newTiler(c *contraction) *tiler {
	p := c.ps[0]
	t := c.j.t
	x := &tiler{t: t, c: c, ps: c.ps, used: make([]float64, len(t.Memories)), k: prod(p.kSize), n: prod(pick(c.out, p.axes(axisN)))}
	groups := c.groups()
	rows := prod(pick(c.out, p.axes(axisM)))
	x.m = max(ceilDiv(rows, groups), 1)
	x.batch = prod(pick(c.out, p.axes(axisBatch))) * min(groups, rows) // of groups, those with rows
	x.stepM, x.stepN = c.stepOf(axisM), c.stepOf(axisN)
	x.wayA, x.wayB = t.Route(0, t.Mem(p.engine.A)), t.Route(0, t.Mem(p.engine.B))
	x.acc = t.Mem(p.engine.Acc)
	ch := t.Chip
	g := ch.Global()
	perCore := func(m *chip.Memory) float64 {
		if m == nil || !m.Bandwidth.Stated() {
			return math.Inf(1)
		}
		return m.Bandwidth.Value * ch.Derate("memory", m.Name) / ch.Clock.Value / ch.Cores.Value
	}
	cache := ch.CacheOf(g.Name)
	x.memory, x.cache = perCore(g), perCore(cache)
	if cache != nil {
		x.cacheBytes = cache.Size.Value
	}
	x.latency, x.launch = ch.Cycles(g.Latency.Value), ch.Cycles(ch.Launch.Value)
	x.vec, _, _ = t.VectorMem(vecFormat)
	x.vecRate = 1
	if e, r, ok := ch.Vector(vecFormat, chip.Basic); ok {
		x.vecRate = r.ElementsPerCycle.Value * float64(max(e.Units, 1))
	}
	x.direct = c.direct()
	for _, q := range c.ps {
		if !slices.Contains(x.lefts, q.a) {
			x.lefts = append(x.lefts, q.a)
		}
		for _, v := range []*ir.Value{q.a, q.b} {
			if !isLeaf(v) {
				x.prologue = 4
			}
		}
	}
	for o := c.j.region.First(); o != nil; o = o.Next() {
		if o.Info.Class == op.Elementwise || o.Info.Class == op.Numeric {
			x.passes++
		}
	}
	if !x.direct {
		x.after = c.epilogueBytes()
	}
	return x
}

// find gives the best tiling that fits the memories when each is smaller by the factor tight.
func (x *tiler) find(tight float64) (tiling, bool) {
	p := x.ps[0]
	gm, gn, gk := max(int64(p.rate.M), 1), max(int64(p.rate.N), 1), max(int64(p.rate.K), 1)
	best := tiling{cycles: math.Inf(1)}
	found := false
	for _, mt := range candidates(x.m, gm, x.stepM) {
		for _, nt := range candidates(x.n, gn, x.stepN) {
			if h := x.c.rowsPerScale(); h > 1 && h < x.n { // tiles of N must not straddle a block of scales
				nt = min(nt, h)
				for h%nt != 0 {
					nt--
				}
			}
			for _, splits := range x.splits(mt, nt) {
				for v := 0; v < 24; v++ {
					t := tiling{mt: mt, nt: nt, splits: splits, resident: v&1 == 0, accs: 1 + v>>1&1, once: 1 + v>>2&1, slots: 2 << (v >> 3)}
					if t.once > 1 && !t.resident && !x.c.scaled() && !p.native {
						continue
					}
					if t.resident && len(p.kSize) > 1 && x.c.scaled() {
						continue
					}
					if !x.fill(&t, gk, tight) {
						continue
					}
					t.cycles = x.estimate(&t)
					if t.cycles < best.cycles {
						best, found = t, true
					}
				}
			}
		}
	}
	return best, found
}

// candidates are tile sizes for n elements: whole, even parts of it rounded to the engine's step, and its small multiples; all of them
// multiples of what others need, or whole.
func candidates(n, step, multiple int64) []int64 {
	const most = 512
	var out []int64
	add := func(v int64) {
		v = min(up(max(v, 1), multiple), n)
		if (v <= most || v <= multiple) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	for parts := int64(1); parts <= 160; parts += max(parts/8, 1) {
		add(up(ceilDiv(n, parts), step))
	}
	for v := step; v <= most && v < n; v *= 2 {
		add(v)
	}
	for v := min(step, n); v > 1; v /= 2 { // smaller than a step: for little memories
		add(v)
	}
	add(1)
	return out
}

// stepOf is what the tile's rows or columns must be a multiple of for what follows the product and for what its operands are computed from.
func (c *contraction) stepOf(kind axisKind) int64 {
	out, inner := int64(1), int64(1)
	axes := c.ps[0].axes(kind)
	for x := len(axes) - 1; x >= 0; x-- {
		i := axes[x]
		n := max(c.out[i], 1)
		if s := min(c.unitOf(i), n); s > 1 {
			out = s * inner
		}
		inner *= n
	}
	return out
}

// unitOf is what the tile's size along an axis of the result must be a multiple of, if it is not the whole.
func (c *contraction) unitOf(axis int) int64 {
	unit := c.space.step(c.ps[0].res, axis)
	for _, p := range c.ps {
		for _, x := range []struct {
			v  *ir.Value
			at []int
		}{{p.a, p.inA}, {p.b, p.inB}} {
			if at := x.at[axis]; at >= 0 && !isLeaf(x.v) {
				if s, err := newSpace([]*ir.Value{x.v}, nil); err == nil {
					n := s.step(x.v, at)
					unit = unit / gcd(unit, n) * n
				}
			}
		}
	}
	return unit
}

// splits are the numbers of parts that K may be cut in for a tile size: more than one only where blocks are few.
func (x *tiler) splits(mt, nt int64) []int64 {
	out := []int64{1}
	if !x.c.canSplit() {
		return out
	}
	blocks := x.batch * ceilDiv(x.m, mt) * ceilDiv(x.n, nt)
	for s := int64(2); s <= 64 && blocks*s <= 2*x.t.Cores() && x.k/s >= 256; s *= 2 {
		out = append(out, s)
	}
	return out
}

// scaledBlock is how many elements of K share a scale or may add up before promotion; 0 for all.
func (x *tiler) scaledBlock() int64 {
	p := x.ps[0]
	switch {
	case p.native:
		return 0
	case p.sa != nil && p.block[1] < x.k:
		return p.block[1]
	case p.sa == nil && p.rate.Promote > 0 && int64(p.rate.Promote) < x.k:
		return int64(p.rate.Promote)
	}
	return 0
}

func bits(v *ir.Value) int64 { return int64(v.Type.Format.Bits()) }

// fill completes a tiling with the largest steps of K that fit; false if none does.
func (x *tiler) fill(t *tiling, gk int64, tight float64) bool {
	p := x.ps[0]
	depth := ceilDiv(x.k, t.splits)
	if g := max(x.scaledBlock(), p.scaleStep()); g > 0 { // whole blocks, or parts of one where the scales are not the engine's
		gk = up(g, gk)
	}
	// Bytes of one step that hide a memory's latency and a transfer's start, and no more.
	ea, eb := bits(p.a), bits(p.b)
	per := (t.nt*eb*int64(len(x.ps)) + 7) / 8
	if !t.resident {
		per += (t.mt*ea + 7) / 8
	}
	want := max(min(depth, up(max(64<<10/max(per, 1), 1), gk)), 1)
	even := func(kp int64) int64 { // steps of one size, if it can be
		return min(up(ceilDiv(depth, ceilDiv(depth, kp)), gk), kp)
	}
	want = even(want)
	for kp := want; ; {
		t.kp = kp
		if x.fits(t, gk, tight) {
			return true
		}
		if kp <= max(p.scaleStep(), 1) {
			return false
		}
		next := ceilDiv(kp, 2)
		if next > gk {
			if next = up(next, gk); next >= kp {
				next = kp - gk
			}
		}
		if kp = max(next, 1); kp > gk {
			kp = even(kp)
		}
	}
}

// fits checks the memories, choosing the engine's step of K and the epilogue's slice.
func (x *tiler) fits(t *tiling, gk int64, tight float64) bool {
	p, used := x.ps[0], x.used
	clear(used)
	size := func(mem int) float64 { return float64(x.t.Memories[mem].Size) / tight * 0.98 }
	bytes := func(n, b int64) float64 { return float64((n*b + 7) / 8) }
	blocks := func(k int64) int64 { return ceilDiv(k, max(p.scaleStep(), 1)) }
	stage := func(way []int, rows, e int64, resident bool) {
		slots := float64(t.slots)
		k := t.kp
		if resident {
			slots, k = float64(t.once), x.k
		}
		used[way[0]] += slots * bytes(rows*k, e)
	}
	scales := func(way []int, q *product, s *ir.Value, rows int64) {
		if !q.native {
			return
		}
		used[way[0]] += float64(t.once) * bytes(rows*blocks(x.k), bits(s))
		for _, w := range way[1:] {
			used[w] += 2 * bytes(rows*blocks(t.kt), bits(s))
		}
	}
	if x.ps[0].offset != nil {
		list := float64(x.c.listBytes(t.mt))
		if t.list = x.c.lists() && list <= size(x.vec)/4; t.list {
			used[x.vec] += list
		}
	}
	depth := t.kp
	staged := len(x.wayA) > 1 || len(x.wayB) > 1
	if staged {
		// The engine's own memories bound its step.
		for _, w := range [...]struct {
			way  []int
			rows int64
			e    float64
			n    int
		}{
			{x.wayA, t.mt, float64(bits(p.a)) + p.scaleBits(p.sa), len(x.lefts)},
			{x.wayB, t.nt, float64(bits(p.b)) + p.scaleBits(p.sb), len(x.ps)},
		} {
			if last := w.way[len(w.way)-1]; len(w.way) > 1 {
				room := int64(size(last) * 8 / (2 * float64(w.rows) * w.e * float64(w.n)))
				if w.way[len(w.way)-1] == x.wayA[len(x.wayA)-1] && len(x.wayA) > 1 && len(x.wayB) > 1 && x.wayA[len(x.wayA)-1] == x.wayB[len(x.wayB)-1] {
					room /= 2
				}
				depth = min(depth, room)
			}
		}
		if depth < 1 {
			return false
		}
		if depth < t.kp && depth > gk {
			depth = depth / gk * gk
		}
		if depth < t.kp && depth < p.scaleStep() {
			return false
		}
	}
	t.kt = depth
	for i, q := range x.ps {
		if slices.Index(x.lefts, q.a) >= 0 && firstLeft(x.ps, i) {
			stage(x.wayA, t.mt, bits(q.a), t.resident)
			for _, w := range x.wayA[1:] {
				used[w] += 2 * bytes(t.mt*t.kt, bits(q.a))
			}
			scales(x.wayA, q, q.sa, t.mt)
			if !isLeaf(q.a) {
				k := t.kp
				if t.resident {
					k = x.k
				}
				used[x.vec] += float64(x.prologue) * bytes(t.mt*k, 32)
			}
		}
		stage(x.wayB, t.nt, bits(q.b), false)
		for _, w := range x.wayB[1:] {
			used[w] += 2 * bytes(t.nt*t.kt, bits(q.b))
		}
		scales(x.wayB, q, q.sb, t.nt)
		if !isLeaf(q.b) {
			used[x.vec] += float64(x.prologue) * bytes(t.nt*t.kp, 32)
		}
		accBits := int64(q.rate.Acc.Bits())
		used[x.acc] += float64(t.accs) * bytes(t.mt*t.nt, accBits)
		if x.c.scaled() {
			used[x.vec] += bytes(t.mt*t.nt, 32)
			if x.acc != x.vec {
				used[x.vec] += float64(t.slots) * bytes(t.mt*t.nt, 32)
			}
			if q.rate.Acc.IsInt() {
				used[x.vec] += bytes(t.mt*t.nt, 32)
			}
			if q.sa != nil && !q.native {
				cols := int64(1)
				if q.block[0] == 1 {
					cols = t.nt
					used[x.vec] += bytes(t.mt*t.nt, 32)
				}
				used[x.vec] += bytes((2*t.mt+cols)*ceilDiv(x.k, q.block[1]), 32) * float64(t.once)
			}
		}
	}
	t.slice = 0
	if !x.direct {
		// The epilogue takes what is left of the vector memory, in slices.
		area := t.mt * t.nt
		room := int64((size(x.vec) - used[x.vec]) / x.after)
		if least := min(x.stepM, t.mt) * min(x.stepN, t.nt); room < least {
			return false
		}
		t.slice = min(area, room, max(8<<10, min(x.stepM, t.mt)*min(x.stepN, t.nt)))
		used[x.vec] += x.after * float64(t.slice)
	}
	for m := 1; m < len(x.t.Memories); m++ {
		if used[m] > size(m) {
			return false
		}
	}
	return true
}

// firstLeft reports whether product i is the first with its left operand.
func firstLeft(ps []*product, i int) bool {
	for _, q := range ps[:i] {
		if q.a == ps[i].a {
			return false
		}
	}
	return true
}

// estimate is the time of the kernel in cycles.
func (x *tiler) estimate(t *tiling) float64 {
	p := x.ps[0]
	ch := x.t.Chip
	depth := ceilDiv(x.k, t.splits)
	steps, muls := float64(ceilDiv(depth, t.kp)), float64(ceilDiv(depth, min(t.kt, t.kp)))
	if g := x.scaledBlock(); g > 0 {
		muls = float64(ceilDiv(depth, g)) * float64(ceilDiv(g, min(t.kt, t.kp)))
		if t.kp < g {
			steps = float64(ceilDiv(depth, g)) * float64(ceilDiv(g, t.kp))
		}
	}
	blocks := x.batch * ceilDiv(x.m, t.mt) * ceilDiv(x.n, t.nt) * t.splits
	cores := float64(x.t.Cores())
	active := math.Min(cores, float64(blocks))

	queue := map[string]float64{}
	var loaded float64
	move := func(way []int, bytes, times float64) {
		from := 0
		for _, to := range way {
			path := x.t.Path(from, to)
			queue[ch.Engine(path.Engine).Queue] += bytes/(path.Rate.Value*ch.Derate("path", path.From+" -> "+path.To)) + times*path.Startup.Value
			if from == 0 { // what several cores of a wave ask for may be read from the cache once
				loaded += bytes / max(1, min(float64(path.Multicast), active/float64(max(ceilDiv(x.m, t.mt), ceilDiv(x.n, t.nt)))))
			}
			from, times = to, muls
		}
	}
	engine := 0.0
	for i, q := range x.ps {
		if firstLeft(x.ps, i) {
			times := steps
			if t.resident {
				times = 1
			}
			move(x.wayA, float64(t.mt*depth)*(float64(bits(q.a))+q.scaleBits(q.sa))/8, times)
		}
		move(x.wayB, float64(t.nt*depth)*(float64(bits(q.b))+q.scaleBits(q.sb))/8, steps)
		flops := q.rate.Padded(t.mt, ceilDiv(depth, int64(muls)), t.nt) * muls
		engine += flops/(q.rate.FlopsPerCycle.Value*ch.Derate("engine", q.engine.Name)) + muls*q.engine.Startup.Value
	}
	queue[ch.Engine(p.engine.Name).Queue] += engine
	// The vector engine: promotion, then the epilogue.
	area := float64(t.mt * t.nt)
	vector, out := 0.0, 0.0
	if x.c.scaled() {
		n := 1.0
		if g := x.scaledBlock(); g > 0 {
			n = float64(ceilDiv(depth, g))
		}
		vector += n * (area*2/x.vecRate + 60) * float64(len(x.ps))
	}
	if !x.direct {
		slices := 1.0
		if t.slice > 0 {
			slices = math.Ceil(area / float64(t.slice))
		}
		out += area*float64(x.passes+1)/x.vecRate + slices*float64(x.passes+1)*20
		if x.acc != x.vec && !x.t.Direct(x.acc, x.vec) { // over global memory and back
			out += area * 4 / 64
		}
	}
	stored := area * float64(len(x.c.j.results)*4)
	out += stored / 64
	busiest := loaded / (x.cache * cores / active)
	for _, q := range queue {
		busiest = math.Max(busiest, q)
	}
	busiest = math.Max(busiest, vector)
	// As many steps are on their way as there are slots, and each takes the memory's latency.
	busiest = math.Max(busiest, steps*x.latency/float64(t.slots))
	waves := math.Ceil(float64(blocks) / cores)
	// What memory has to give: everything once, and again what a wave displaces from the cache.
	bytesA, bytesB := float64(x.m*x.k*x.batch*bits(p.a))/8, float64(x.n*x.k*x.batch*bits(p.b))/8*float64(len(x.ps))
	unique := bytesA + bytesB
	read := bytesA*float64(ceilDiv(x.n, t.nt)) + bytesB*float64(ceilDiv(x.m, t.mt))
	miss := unique
	if unique > x.cacheBytes {
		tilesM := float64(ceilDiv(x.m, t.mt))
		wave := math.Min(tilesM, cores)*float64(t.mt*x.k*bits(p.a))/8 + math.Ceil(cores/tilesM)*float64(t.nt*x.k*bits(p.b))/8
		again := math.Min(read, math.Max(unique, waves*wave))
		miss = again
	}
	miss += float64(x.m*x.n*x.batch) * 4
	memory := miss / (x.memory * cores) / waves
	spare := 0.2 * busiest // of tilings that memory holds up alike, the one that leaves the cores most to spare
	busiest = math.Max(busiest, memory)
	if t.accs > 1 && waves > 1 {
		busiest = math.Max(busiest, out)
	} else {
		busiest += out
	}
	// A block's first data is asked for when the one before it is nearly done.
	total := waves*(busiest+x.latency+spare) + out
	if t.splits > 1 {
		partial := float64(x.m*x.n*x.batch*t.splits) * 4
		total += x.launch + x.latency + 2*partial/(x.cache*cores) + partial/4/(x.vecRate*cores) + 200
	}
	return total
}
