package tile

import (
	"fmt"

	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// Target is a chip as kernels see it: memories and queues by the numbers that a plan uses.
type Target struct {
	Chip     *chip.Chip
	Memories []plan.Memory // 0 is global; caches are not addressed and have no number
	Queues   []plan.Queue

	mems   map[string]int
	queues map[string]int
	scalar int
	units  int64   // of the vector engine
	routes [][]int // by from*len(Memories)+to
	vector chip.VectorUnit
}

// NewTarget numbers a chip's memories and queues.
func NewTarget(c *chip.Chip) (*Target, error) {
	t := &Target{Chip: c, mems: map[string]int{}, queues: map[string]int{}, scalar: -1}
	add := func(m *chip.Memory) {
		t.mems[m.Name] = len(t.Memories)
		t.Memories = append(t.Memories, plan.Memory{Name: m.Name, Size: int64(m.Size.Value), Align: int64(max(m.Align, 1))})
	}
	g := c.Global()
	if g == nil {
		return nil, fmt.Errorf("chip %s has no global memory", c.Name)
	}
	add(g)
	for _, m := range c.Memories {
		if m != g && !m.Is(chip.RoleCache) {
			add(m)
		}
	}
	for _, e := range c.Engines {
		kind := map[chip.EngineKind]plan.QueueKind{chip.Scalar: plan.Scalar, chip.DMA: plan.DMA, chip.Matrix: plan.Matrix, chip.Vector: plan.Vector}[e.Kind]
		q, ok := t.queues[e.Queue]
		if !ok {
			q = len(t.Queues)
			t.queues[e.Queue] = q
			t.Queues = append(t.Queues, plan.Queue{Name: e.Queue, Kind: kind})
		}
		t.Queues[q].Kind = min(t.Queues[q].Kind, kind) // of engines that share a queue, in whatever order they stand, the first kind
		if e.Kind == chip.Scalar && t.scalar < 0 {
			t.scalar = q
		}
	}
	if t.scalar < 0 {
		t.scalar = len(t.Queues)
		t.Queues = append(t.Queues, plan.Queue{Name: "scalar", Kind: plan.Scalar})
	}
	t.units = 1
	if e, _, ok := c.Vector(format.F32, chip.Basic); ok {
		t.units = int64(max(e.Units, 1))
	}
	t.vector = c.VectorUnit()
	return t, nil
}

// Units is how many units the vector engine of a core has: rows of an instruction are divided among them.
func (t *Target) Units() int64 { return t.units }

// Casts reports whether the vector engine converts one format into another in one instruction.
func (t *Target) Casts(from, to format.Format) bool { return t.vector.CanCast(from, to) }

// CastRoute is how the vector engine converts one format into another: see [chip.VectorUnit.CastRoute].
func (t *Target) CastRoute(from, to format.Format, keep func(format.Format) bool) []format.Format {
	return t.vector.CastRoute(from, to, keep)
}

// ScalarReads reports whether the scalar unit reads a memory of the core.
func (t *Target) ScalarReads(mem int) bool {
	for _, e := range t.Chip.EnginesOf(chip.Scalar) {
		for _, m := range e.Mem {
			if t.mems[m] == mem {
				return true
			}
		}
	}
	return false
}

// Indirect reports whether the direct path between two memories takes a list of rows.
func (t *Target) Indirect(from, to int) bool {
	p := t.path(from, to)
	return p >= 0 && t.Chip.Paths[p].Indirect
}

// StageMem is the memory through which bytes go from global memory to global memory the fastest: it has a direct path in
// and one out.
func (t *Target) StageMem() (int, error) {
	best, rate := 0, 0.0
	for m := 1; m < len(t.Memories); m++ {
		in, out := t.path(0, m), t.path(m, 0)
		if in < 0 || out < 0 {
			continue
		}
		r := min(t.Chip.Paths[in].Rate.Value, t.Chip.Paths[out].Rate.Value)
		if r > rate || r == rate && t.Memories[m].Size > t.Memories[best].Size {
			best, rate = m, r
		}
	}
	if best == 0 {
		return 0, fmt.Errorf("%s has no memory with a path from %s and one back", t.Chip.Name, t.Memories[0].Name)
	}
	return best, nil
}

// Mem returns the number of a memory by name.
func (t *Target) Mem(name string) int {
	i, ok := t.mems[name]
	if !ok {
		panic("tile: no memory " + name)
	}
	return i
}

// Queue returns the number of a queue by the name of an engine.
func (t *Target) Queue(engine string) int {
	e := t.Chip.Engine(engine)
	if e == nil {
		panic("tile: no engine " + engine)
	}
	return t.queues[e.Queue]
}

// Cores is the number of cores.
func (t *Target) Cores() int64 { return int64(t.Chip.Cores.Value) }

// VectorMem returns the memory in which the vector engine for a format works, and its queue.
func (t *Target) VectorMem(f format.Format) (mem, queue int, err error) {
	e, _, ok := t.Chip.Vector(f, chip.Basic)
	if !ok || len(e.Mem) == 0 {
		return 0, 0, fmt.Errorf("%s has no vector engine for %s", t.Chip.Name, f)
	}
	return t.Mem(e.Mem[0]), t.queues[e.Queue], nil
}

// path finds the direct path between two memories, by number, or -1. When several exist the fastest wins, then the first.
func (t *Target) path(from, to int) int {
	best := -1
	for i, p := range t.Chip.Paths {
		if t.mems[p.From] == from && t.mems[p.To] == to && t.known(p.From) && t.known(p.To) {
			if best < 0 || p.Rate.Value > t.Chip.Paths[best].Rate.Value {
				best = i
			}
		}
	}
	return best
}

// Path gives the direct path between two memories, by number, or nil.
func (t *Target) Path(from, to int) *chip.Path {
	if p := t.path(from, to); p >= 0 {
		return t.Chip.Paths[p]
	}
	return nil
}

// SameQueue reports whether the direct paths from a to b and from c to d share a queue.
func (t *Target) SameQueue(a, b, c, d int) bool {
	p, q := t.Path(a, b), t.Path(c, d)
	return p != nil && q != nil && t.Queue(p.Engine) == t.Queue(q.Engine)
}

func (t *Target) known(mem string) bool { _, ok := t.mems[mem]; return ok }

// Direct reports whether data moves from one memory to another in one instruction.
func (t *Target) Direct(from, to int) bool { return from == to || t.path(from, to) >= 0 }

// Route returns the memories after from on the shortest way to to, ending in to; nil if there is none. Ties go to the
// way whose memories come first in the chip's file.
func (t *Target) Route(from, to int) []int {
	if from == to {
		return []int{}
	}
	if t.routes == nil {
		t.routes = make([][]int, len(t.Memories)*len(t.Memories))
	}
	if w := t.routes[from*len(t.Memories)+to]; w != nil {
		return w
	}
	prev := make([]int, len(t.Memories))
	for i := range prev {
		prev[i] = -1
	}
	prev[from] = from
	queue := []int{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for m := range t.Memories {
			if prev[m] < 0 && t.path(at, m) >= 0 {
				prev[m] = at
				queue = append(queue, m)
			}
		}
	}
	if prev[to] < 0 {
		return nil
	}
	var way []int
	for at := to; at != from; at = prev[at] {
		way = append([]int{at}, way...)
	}
	t.routes[from*len(t.Memories)+to] = way
	return way
}

// PathCasts reports whether the direct path between two memories converts formats on the way.
func (t *Target) PathCasts(from, to int, a, b format.Format) bool {
	i := t.path(from, to)
	if i < 0 {
		return false
	}
	for _, c := range t.Chip.Paths[i].Casts {
		if c.From == a && c.To == b {
			return true
		}
	}
	return false
}
