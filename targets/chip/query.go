package chip

import (
	"math/bits"
	"sort"

	"apogee/ir/format"
)

// Memory gives the memory with a name, or nil.
func (c *Chip) Memory(name string) *Memory {
	for _, m := range c.Memories {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Global gives the global memory. A description that passed [Load] has exactly one.
func (c *Chip) Global() *Memory {
	for _, m := range c.Memories {
		if m.Is(RoleGlobal) {
			return m
		}
	}
	return nil
}

// CacheOf gives the cache in front of a memory, the largest when there are several, or nil.
func (c *Chip) CacheOf(memory string) *Memory {
	var best *Memory
	for _, m := range c.Memories {
		if m.Is(RoleCache) && m.Caches == memory && (best == nil || m.Size.Value > best.Size.Value) {
			best = m
		}
	}
	return best
}

// MemoriesFor gives the memories with a role, in the file's order.
func (c *Chip) MemoriesFor(role string) []*Memory {
	var out []*Memory
	for _, m := range c.Memories {
		if m.Is(role) {
			out = append(out, m)
		}
	}
	return out
}

// Engine gives the engine with a name, or nil.
func (c *Chip) Engine(name string) *Engine {
	for _, e := range c.Engines {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// EnginesOf gives the engines of a kind, in the file's order.
func (c *Chip) EnginesOf(kind EngineKind) []*Engine {
	var out []*Engine
	for _, e := range c.Engines {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// Queues gives the names of the queues of a core, each once, in the order of the engines.
func (c *Chip) Queues() []string {
	var out []string
	seen := map[string]bool{}
	for _, e := range c.Engines {
		if !seen[e.Queue] {
			seen[e.Queue] = true
			out = append(out, e.Queue)
		}
	}
	return out
}

// Matrix gives the engine and rate that multiply a tile of format a by one of format b: the fastest; among
// equals the widest accumulator, then the first in the file.
func (c *Chip) Matrix(a, b format.Format) (*Engine, *MatrixRate, bool) {
	return c.matrix(func(r *MatrixRate) bool { return r.A == a && r.B == b })
}

// MatrixAcc is [Chip.Matrix] for a given accumulator format.
func (c *Chip) MatrixAcc(a, b, acc format.Format) (*Engine, *MatrixRate, bool) {
	return c.matrix(func(r *MatrixRate) bool { return r.A == a && r.B == b && r.Acc == acc })
}

// ScaleBlock gives how many elements of K share a scale where the engine of [Chip.Matrix] itself multiplies with the scales of MX
// blocks, in f8e8m0; 0 where it does not.
func (c *Chip) ScaleBlock(a, b format.Format) int64 {
	if _, r, ok := c.Matrix(a, b); ok && r.Scale == format.F8E8M0 {
		return int64(r.ScaleBlock)
	}
	return 0
}

func (c *Chip) matrix(want func(*MatrixRate) bool) (*Engine, *MatrixRate, bool) {
	var engine *Engine
	var rate *MatrixRate
	better := func(r *MatrixRate) bool {
		if rate == nil || r.FlopsPerCycle.Value != rate.FlopsPerCycle.Value {
			return rate == nil || r.FlopsPerCycle.Value > rate.FlopsPerCycle.Value
		}
		return r.Acc.Bits() > rate.Acc.Bits()
	}
	for _, e := range c.Engines {
		for i := range e.Matrix {
			if r := &e.Matrix[i]; want(r) && better(r) {
				engine, rate = e, r
			}
		}
	}
	return engine, rate, rate != nil
}

// Padded is the work of multiplying a tile of m by k by one of k by n, in flop at the full rate, with the padding of the instruction that
// takes least.
func (r *MatrixRate) Padded(m, k, n int64) float64 {
	pad := func(v int64, to int) float64 {
		t := int64(max(to, 1))
		return float64((v + t - 1) / t * t)
	}
	work := 2 * pad(m, r.M) * pad(k, r.K) * pad(n, r.N)
	if share := r.SmallShare.Value; share > 0 {
		work = min(work, 2*pad(m, r.SmallM)*pad(k, r.SmallK)*pad(n, r.SmallN)/share)
	}
	return work
}

// CanVector says whether a vector engine computes in a format: whether there is a "basic" rate for it.
func (c *Chip) CanVector(f format.Format) bool {
	_, _, ok := c.Vector(f, Basic)
	return ok
}

// Vector gives the engine and rate for a class of operations on a format: the fastest over all units of an
// engine, then the first in the file.
func (c *Chip) Vector(f format.Format, op OpClass) (*Engine, *VectorRate, bool) {
	var engine *Engine
	var rate *VectorRate
	best := 0.0
	for _, e := range c.Engines {
		for i := range e.Vector {
			r := &e.Vector[i]
			if v := r.ElementsPerCycle.Value * float64(e.Units); r.Format == f && r.Op == op && v > best {
				engine, rate, best = e, r, v
			}
		}
	}
	return engine, rate, rate != nil
}

// Rate gives the rate of one format and class on this engine, or nil.
func (e *Engine) Rate(f format.Format, op OpClass) *VectorRate {
	for i := range e.Vector {
		if r := &e.Vector[i]; r.Format == f && r.Op == op {
			return r
		}
	}
	return nil
}

// FoldLanes is in how many lanes a vector engine adds up a row in f32: element j joins lane j modulo that, and then halves of the lanes are
// added until one is left, as the lanes of a warp do. It is the chip's width, rounded down to a power of two and at most 256; 16 where the
// file states none or says that work is not done in vectors of lanes.
func (c *Chip) FoldLanes() int {
	const usual, most = 16, 256
	if !c.Width.Stated() || c.Width.Value < 2 {
		return usual
	}
	return 1 << (bits.Len(uint(min(c.Width.Value, most))) - 1)
}

// TakesScales says whether the engine multiplies the products of each block by scales of two formats itself, for a block of h rows of the
// right operand by g elements of K.
func (r *MatrixRate) TakesScales(a, b format.Format, block []int64) bool {
	return r.ScaleBlock > 0 && a == r.Scale && b == r.Scale && len(block) == 2 && block[0] == 1 && block[1] == int64(r.ScaleBlock)
}

// CanCast says whether the engine converts one format into another.
func (e *Engine) CanCast(from, to format.Format) bool {
	return hasPair(e.Casts, from, to)
}

// CanCast says whether the path converts on the way.
func (p *Path) CanCast(from, to format.Format) bool {
	return hasPair(p.Casts, from, to)
}

func hasPair(pairs []FormatPair, from, to format.Format) bool {
	for _, p := range pairs {
		if p.From == from && p.To == to {
			return true
		}
	}
	return false
}

// Path gives the direct path between two memories, or nil.
func (c *Chip) Path(from, to string) *Path {
	for _, p := range c.Paths {
		if p.From == from && p.To == to {
			return p
		}
	}
	return nil
}

// Route gives the chain of fewest paths from one memory to another, empty when they are the same. Among chains
// of one length the one whose paths stand first in the file wins. ok is false when there is none.
func (c *Chip) Route(from, to string) (route []*Path, ok bool) {
	if c.Memory(from) == nil || c.Memory(to) == nil {
		return nil, false
	}
	if from == to {
		return nil, true
	}
	via := map[string]*Path{}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, p := range c.Paths {
			if p.From != queue[0] || p.To == from || via[p.To] != nil {
				continue
			}
			via[p.To] = p
			if p.To != to {
				queue = append(queue, p.To)
				continue
			}
			for at := to; at != from; at = via[at].From {
				route = append(route, via[at])
			}
			for i, j := 0, len(route)-1; i < j; i, j = i+1, j-1 {
				route[i], route[j] = route[j], route[i]
			}
			return route, true
		}
	}
	return nil, false
}

// Peak gives the flop/s of the whole card when both operands of a matrix product have format a, from the
// rates, the cores and the clock; 0 when it cannot.
func (c *Chip) Peak(a format.Format) float64 {
	_, r, ok := c.Matrix(a, a)
	if !ok {
		return 0
	}
	return r.FlopsPerCycle.Value * c.Cores.Value * c.Clock.Value
}

// Precision gives the precision with a name.
func (c *Chip) Precision(name string) (Precision, bool) {
	for _, p := range c.Precisions {
		if p.Name == name {
			return p, true
		}
	}
	return Precision{}, false
}

// AutoPrecisions gives what --precision auto tries, in order; the first is what it takes unless the model
// says otherwise.
func (c *Chip) AutoPrecisions() []Precision {
	var out []Precision
	for _, p := range c.Precisions {
		if p.Auto > 0 {
			out = append(out, p)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Auto < out[j].Auto })
	return out
}

// Derate gives the factor for "memory", "engine", "path", "link" or "latency" and its name, or for "launch" and ""; 1 when none is
// given.
func (c *Chip) Derate(kind, name string) float64 {
	what := kind
	if name != "" {
		what += " " + name
	}
	for _, d := range c.Derates {
		if d.What == what {
			return d.Factor.Value
		}
	}
	return 1
}

// Word gives the chip's own word for a neutral one, or the neutral one itself.
func (c *Chip) Word(neutral string) string {
	if w, ok := c.Words[neutral]; ok {
		return w
	}
	return neutral
}

// Cycles turns seconds into cycles of the core clock.
func (c *Chip) Cycles(seconds float64) float64 { return seconds * c.Clock.Value }

// Assumed gives the numbers that nobody published.
func (c *Chip) Assumed() []Fact {
	var out []Fact
	for _, f := range c.Facts {
		if f.Confidence == Assumed {
			out = append(out, f)
		}
	}
	return out
}

// decides says whether a number goes into the time of nearly every kernel: the clock, the cores, a bandwidth
// or a rate of moving or multiplying, the launch.
func decides(f Fact) bool {
	switch f.Unit {
	case "Hz", "B/s", "B/cycle", "flop/cycle":
		return true
	}
	return f.Name == "cores" || f.Name == "launch"
}
