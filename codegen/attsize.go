package codegen

import (
	"math"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/targets/chip"
)

// attTiling is how an attention kernel is cut.
type attTiling struct {
	heads, tt  int64 // of a block: heads of one group, queries
	st         int64 // keys a round
	kt, et     int64 // width of a product's step, and of the values a product gives
	slots      int   // of the tiles of keys and values
	scoreSlots int
	splits     int64 // parts of the keys
	max        tile.View
}

// size finds the tiling with the least estimated time that fits.
func (a *attention) size(tight float64) (attTiling, bool) {
	group := a.h / a.g
	if a.k2 != nil { // heads of a block must share the second keys as well
		per := a.h / shapeOf(a.k2)[2]
		if group%per != 0 && per%group != 0 {
			group = 1
		}
		group = min(group, per)
	}
	best, cost := attTiling{}, math.Inf(1)
	for heads := int64(1); heads <= min(group, 128); heads++ {
		if group%heads != 0 {
			continue
		}
		for _, tt := range candidates(a.t, 1, 1) {
			if heads > 1 && a.t%tt != 0 { // ragged only with one head
				continue
			}
			if heads*tt > 256 {
				continue
			}
			for st := min(up(a.s, 16), 512); st >= 1; st /= 2 {
				for slots := 2; slots >= 1; slots-- {
					t := attTiling{heads: heads, tt: tt, st: min(st, a.s), slots: slots, scoreSlots: slots, splits: 1}
					if !a.fits(&t, tight) {
						continue
					}
					for splits := int64(1); splits <= 64; splits *= 2 {
						t.splits = splits
						if splits > 1 && (a.blocks(&t) > 2*a.j.t.Cores() || ceilDiv(a.s, t.st) < splits) {
							break
						}
						if c := a.estimate(&t); c < cost {
							best, cost = t, c
						}
					}
				}
				if st <= 16 && !math.IsInf(cost, 1) {
					break
				}
			}
		}
	}
	return best, !math.IsInf(cost, 1)
}

func (a *attention) blocks(t *attTiling) int64 {
	return a.nb * (a.h / t.heads) * ceilDiv(a.t, t.tt) * t.splits
}

// fits checks the memories, choosing the steps of the products.
func (a *attention) fits(t *attTiling, tight float64) bool {
	var used [16]float64
	tg := a.j.t
	size := func(mem int) float64 {
		n := float64(tg.Memories[mem].Size) / tight
		if mem == a.vm { // what is counted there leaves out some small tiles
			n *= 0.98
		}
		return n
	}
	bytes := func(n int64, f format.Format) float64 { return float64(n*int64(f.Bits())+7) / 8 }
	m := t.heads * t.tt
	width := a.d + a.d2
	stage := func(mem string) int { return tg.Route(0, tg.Mem(mem))[0] }
	used[stage(a.qk.A)] += bytes(m*width, a.q.Type.Format)
	for _, v := range []struct {
		v     *ir.Value
		width int64
	}{{a.q, a.d}, {a.q2, a.d2}} {
		if v.v != nil && !isLeaf(v.v) {
			used[a.vm] += 4 * bytes(m*v.width, format.F32)
		}
	}
	load := float64(t.slots) * bytes(t.st*width, a.k.Type.Format)
	used[stage(a.qk.B)] += load
	if !a.joined {
		used[stage(a.pv.B)] += float64(t.slots) * bytes(t.st*a.e, a.v.Type.Format)
	}
	for _, v := range []*ir.Value{a.k, a.v} {
		if !isLeaf(v) {
			used[a.vm] += 4 * bytes(t.st*shapeOf(v)[3], format.F32)
		}
	}
	// The engines' own memories bound the steps. Both parts of the score, the weights and the values have buffers of their own there.
	t.kt, t.et = max(a.d, a.d2), a.e
	far := func(mem string) bool { return len(tg.Route(0, tg.Mem(mem))) > 1 }
	if far(a.qk.A) || far(a.qk.B) {
		parts := int64(1)
		if a.q2 != nil {
			parts = 2
		}
		f, g := a.q.Type.Format, a.v.Type.Format
		slots := int64(t.slots)
		near := func(mem string, n int64, f format.Format) float64 { // with the memory's alignment
			m := tg.Mem(mem)
			return float64(slots * up(int64(bytes(n, f)), tg.Memories[m].Align))
		}
		weights := near(a.pv.A, m*t.st, g)
		t.kt = min(t.kt, stepFor(size(tg.Mem(a.qk.A))-weights, slots*parts*m, f), stepFor(size(tg.Mem(a.qk.B))/2, slots*parts*t.st, f))
		t.et = min(t.et, stepFor(size(tg.Mem(a.pv.B))/2, slots*t.st, g))
		if t.kt < 1 || t.et < 1 {
			return false
		}
		used[tg.Mem(a.qk.A)] += float64(parts) * near(a.qk.A, m*t.kt, f)
		used[tg.Mem(a.pv.A)] += weights
		used[tg.Mem(a.qk.B)] += float64(parts) * near(a.qk.B, t.st*t.kt, f)
		used[tg.Mem(a.pv.B)] += near(a.pv.B, t.st*t.et, g)
	}
	for _, w := range tg.Route(a.vm, tg.Mem(a.pv.A)) {
		if w != 0 && w != tg.Mem(a.pv.A) || !far(a.pv.A) && w != 0 {
			used[w] += 2 * bytes(m*t.st, a.v.Type.Format)
		}
	}
	acc := tg.Mem(a.qk.Acc)
	used[acc] += float64(t.scoreSlots) * bytes(m*t.st, a.qkRate.Acc)
	if acc != a.vm {
		used[a.vm] += bytes(m*t.st, a.qkRate.Acc)
	}
	if a.qkRate.Acc != format.F32 {
		used[a.vm] += bytes(m*t.st, format.F32)
	}
	if !a.inPlace {
		pa := tg.Mem(a.pv.Acc)
		room := size(pa) - used[pa]
		t.et = min(t.et, int64(room/float64(m*4)))
		if t.et < 1 {
			return false
		}
		used[pa] += bytes(m*t.et, a.pvRate.Acc)
		if pa != a.vm {
			used[a.vm] += bytes(m*t.et, format.F32)
		}
	}
	used[a.vm] += bytes(m*a.e, format.F32) + 6*256 + 4*bytes(m, format.F32)
	if a.v.Type.Format != format.F32 {
		used[a.vm] += bytes(m*t.st, a.v.Type.Format)
	}
	if a.y.Type.Format != format.F32 {
		used[a.vm] += bytes(m*a.e, a.y.Type.Format)
	}
	if a.o.Attrs.Bool("causal", false) {
		used[a.vm] += float64(t.tt*t.st + 4*t.st + 4*t.tt)
	}
	if a.mask != nil {
		used[a.vm] += float64(t.slots)*bytes(m*t.st, a.mask.Type.Format) + bytes(m*t.st, format.F32)
	}
	for i := 1; i < len(tg.Memories); i++ {
		if used[i] > size(i) {
			return false
		}
	}
	return true
}

// stepFor is how many columns of so many rows fit a memory.
func stepFor(size float64, rows int64, f format.Format) int64 {
	n := int64(size * 8 / float64(rows*int64(f.Bits())))
	if n > 16 {
		n = n / 16 * 16
	}
	return n
}

// estimate is the time of the kernel in cycles, in broad strokes.
func (a *attention) estimate(t *attTiling) float64 {
	tg, ch := a.j.t, a.j.t.Chip
	rate := func(class chip.OpClass) float64 {
		if e, r, ok := ch.Vector(vecFormat, class); ok {
			return r.ElementsPerCycle.Value * float64(max(e.Units, 1))
		}
		return 1
	}
	m := float64(t.heads * t.tt)
	st, e := float64(t.st), float64(a.e)
	width := float64(a.d + a.d2)
	pad := func(n float64, to int) float64 { return math.Ceil(n/float64(max(to, 1))) * float64(max(to, 1)) }
	qk := 2 * pad(m, a.qkRate.M) * pad(st, a.qkRate.N) * width / a.qkRate.FlopsPerCycle.Value
	pv := 2 * pad(m, a.pvRate.M) * pad(st, a.pvRate.K) * e / a.pvRate.FlopsPerCycle.Value
	chunks := float64(ceilDiv(a.e, t.et))
	matrix := qk + pv + a.qk.Startup.Value*float64(ceilDiv(a.d, t.kt)+ceilDiv(a.d2, t.kt)) + a.pv.Startup.Value*chunks
	vector := m*st*(2/rate(chip.Reduce)+2/rate(chip.Basic)+1/rate(chip.Transcendental)) + m*e/rate(chip.Basic) + (13+chunks)*20
	bytes := st * (width*float64(bits(a.k)) + 0) / 8
	if !a.joined {
		bytes += st * e * float64(bits(a.v)) / 8
	}
	blocks := float64(a.blocks(t))
	cores := float64(tg.Cores())
	active := math.Min(blocks, cores)
	path := tg.Path(0, tg.Route(0, tg.Mem(a.qk.B))[0])
	load := bytes/path.Rate.Value + 2*path.Startup.Value
	if g := ch.CacheOf(ch.Global().Name); g != nil && g.Bandwidth.Stated() {
		load = math.Max(load, bytes*active/(g.Bandwidth.Value/ch.Clock.Value))
	}
	chain := 0.0
	if tg.Mem(a.qk.Acc) != a.vm && !tg.Direct(tg.Mem(a.qk.Acc), a.vm) { // over global memory and back, three times
		chain = 3 * ch.Cycles(ch.Global().Latency.Value)
		load += 3 * m * st * 4 / path.Rate.Value
	}
	round := math.Max(math.Max(matrix, vector), load)
	if t.slots == 1 {
		round = matrix + vector + load
	}
	if ch.Engine(a.qk.Name).Queue == tg.Queues[a.vq].Name {
		round = math.Max(matrix+vector, load)
	}
	round = math.Max(round, chain+(matrix+vector)/2) + 100
	rounds := math.Ceil(float64(a.s) / st / float64(t.splits))
	if a.t > 1 && a.o.Attrs.Bool("causal", false) && a.s == a.t {
		rounds = (rounds + 1) / 2
	}
	fixed := ch.Cycles(ch.Global().Latency.Value)*2 + m*width*float64(bits(a.q))/8/path.Rate.Value + 2*m*e/rate(chip.Basic)
	total := math.Ceil(blocks/cores) * (rounds*round + fixed)
	if t.splits > 1 {
		total += ch.Cycles(ch.Launch.Value) + 3*ch.Cycles(ch.Global().Latency.Value) + float64(a.nb*a.t*a.h*t.splits)*e*4/cores/path.Rate.Value*2
	}
	return total
}
