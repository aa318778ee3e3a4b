package clock

import (
	"fmt"
	"math"

	"apogee/ir/diag"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// cost is what one instruction takes with tiles of given sizes, whatever else runs.
type cost struct {
	id      int
	idle    bool   // an empty tile: nothing happens
	startup Ticks  // holds the queue
	work    Ticks  // holds the queue: the engine's or the path's own part
	reason  Reason // of work
	param   int    // parameter whose bytes are moved from or to global memory; −1 if none
	write   bool   // to global memory
	far     int64  // bytes moved from or to global memory, in whole units of its alignment
	raw     int64  // the same, counting elements
	bytes   int64  // moved, on the wider side
	feeds   int    // cores that one read of the cache can feed; 0 and 1 one
	useful  float64
	flops   float64 // of a product, padding included; useful without
	elems   float64 // of a vector operation
}

// costs has the costs of one kernel's instructions, each found once for each combination of sizes.
type costs struct {
	m    *machine
	k    *plan.Kernel
	seen [][]costEntry
	all  []*cost
	key  []int64
}

type costEntry struct {
	key []int64
	c   *cost
}

func newCosts(m *machine, k *plan.Kernel) *costs {
	return &costs{m: m, k: k, seen: make([][]costEntry, len(k.Code))}
}

// of gives the cost of an instruction that a queue runs, other than signals and waits, for the registers' values.
func (cs *costs) of(i int, regs []int64) (*cost, error) {
	in := &cs.k.Code[i]
	key := cs.key[:0]
	for _, t := range in.Tiles() {
		if t.Has() {
			for _, v := range t.Size {
				key = append(key, v.Eval(regs))
			}
		}
	}
	cs.key = key
	for j := range cs.seen[i] {
		if e := &cs.seen[i][j]; sameInts(e.key, key) {
			return e.c, nil
		}
	}
	c, err := cs.find(i, in, regs)
	if err != nil {
		return nil, err
	}
	if c.startup > maxTicks/4 || c.work > maxTicks/4 {
		return nil, cs.m.at(codeLong, cs.k, i, "the instruction takes too long to be true")
	}
	c.id = len(cs.all)
	cs.all = append(cs.all, c)
	cs.seen[i] = append(cs.seen[i], costEntry{append([]int64(nil), key...), c})
	return c, nil
}

func sameInts(a, b []int64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func (cs *costs) find(i int, in *plan.Instr, regs []int64) (*cost, error) {
	for _, t := range in.Tiles() {
		if !t.Has() {
			continue
		}
		n := t.Elements(regs)
		if n <= 0 {
			return &cost{idle: true, param: plan.None}, nil
		}
		if n > 1<<44 {
			return nil, cs.m.at(codeLong, cs.k, i, "the instruction works on %d elements", n)
		}
	}
	switch in.Op.Kind() {
	case plan.DMA:
		return cs.move(i, in, regs)
	case plan.Matrix:
		return cs.matrix(i, in, regs)
	case plan.Vector:
		return cs.vector(i, in, regs)
	}
	return &cost{param: plan.None}, nil
}

// shape is a tile with its sizes evaluated.
type shape struct {
	size, stride []int64 // stride in bytes
	bits         int64
	index        bool
}

func shapeOf(t *plan.Tile, regs []int64) shape {
	s := shape{stride: t.Stride, bits: int64(t.Format.Bits()), index: t.Index != nil}
	for _, v := range t.Size {
		s.size = append(s.size, v.Eval(regs))
	}
	return s
}

// rows says how a tile lies in memory: the bytes of its longest contiguous runs at the end, and how many there are.
// Elements that lie apart, but nearer than a unit of the memory, make one run with the gaps between them. Repeated elements
// (stride 0) count once.
func (s shape) rows(unit int64) (run, count int64) {
	n := len(s.size) - 1
	e := max(1, s.bits/8)
	count = 1
	last, stride := s.size[n], s.stride[n]
	if stride < 0 {
		stride = -stride
	}
	switch {
	case s.bits < 8:
		run = (last*s.bits + 7) / 8
	case stride == 0:
		run = e
	case stride <= max(unit, e):
		run = (last-1)*stride + e
	default:
		run, count = e, last
	}
	whole := s.bits < 8 || stride == e // the run has no gaps, so that rows may follow on
	for a := n - 1; a >= 0; a-- {
		listed := a == 0 && s.index
		switch {
		case s.stride[a] == 0 && !listed || s.size[a] == 1:
		case whole && count == 1 && s.stride[a] == run && !listed:
			run *= s.size[a]
		default:
			count *= s.size[a]
			whole = false
		}
	}
	return run, count
}

// dims is how many dimensions a strided transfer between two tiles has: axes that follow one another in both are one, axes
// of one element none. outer gives the sizes from the outside in.
func dims(a, b shape) (outer []int64) {
	prev := -1
	for i := range a.size {
		if a.size[i] == 1 && len(a.size) > 1 {
			continue
		}
		if prev >= 0 && !(prev == 0 && (a.index || b.index)) && a.stride[prev] == a.size[i]*a.stride[i] && b.stride[prev] == b.size[i]*b.stride[i] {
			outer[len(outer)-1] *= a.size[i]
		} else {
			outer = append(outer, a.size[i])
		}
		prev = i
	}
	return outer
}

func (cs *costs) move(i int, in *plan.Instr, regs []int64) (*cost, error) {
	m := cs.m
	from, to := m.mems[in.A.Mem].Name, m.mems[in.Dst.Mem].Name
	if in.Path < 0 || in.Path >= len(m.c.Paths) || m.c.Paths[in.Path].From != from || m.c.Paths[in.Path].To != to {
		return nil, m.at(codeChip, cs.k, i, "path %d of %s is not from %s to %s", in.Path, m.c.Name, from, to)
	}
	p := m.c.Paths[in.Path]
	name := "path " + from + " -> " + to
	rate := m.use(name+": rate", p.Rate) * m.derate("path", from+" -> "+to)
	if !(rate > 0) {
		return nil, m.at(codeRate, cs.k, i, "the path from %s to %s has no rate", from, to)
	}
	a, d := shapeOf(&in.A, regs), shapeOf(&in.Dst, regs)
	elems := int64(1)
	for _, n := range d.size {
		elems *= n
	}
	wide := max(a.bits, d.bits)
	c := &cost{param: plan.None, reason: Path, bytes: (elems*wide + 7) / 8}
	pathBytes := c.bytes
	global := func(t *plan.Tile, s shape) {
		run, count := s.rows(m.align)
		c.param, c.write = t.Param, t == &in.Dst
		c.far = count * ((run + m.align - 1) / m.align * m.align)
		c.raw = (elems*s.bits + 7) / 8
		pathBytes = max(pathBytes, c.far*wide/s.bits)
	}
	if in.Dst.Mem == 0 {
		global(&in.Dst, d)
	}
	if in.A.Mem == 0 {
		global(&in.A, a)
	}
	transfers := int64(1)
	if outer := dims(a, d); len(outer) > max(p.MaxDims, 1) {
		for _, n := range outer[:len(outer)-max(p.MaxDims, 1)] {
			transfers *= n
		}
	}
	if (a.index || d.index) && !p.Indirect {
		transfers = max(transfers, d.size[0])
	}
	if in.A.Mem == 0 {
		c.feeds = p.Multicast
	}
	c.startup = ticks(m.use(name+": startup", p.Startup) * float64(transfers))
	c.work = ticks(float64(pathBytes) / rate)
	return c, nil
}

func (cs *costs) matrix(i int, in *plan.Instr, regs []int64) (*cost, error) {
	m := cs.m
	var engine *chip.Engine
	var rate *chip.MatrixRate
	for _, e := range m.queues[in.Queue].engines {
		for j := range e.Matrix {
			r := &e.Matrix[j]
			if r.A == in.A.Format && r.B == in.B.Format && r.Acc == in.Dst.Format && (rate == nil || r.FlopsPerCycle.Value > rate.FlopsPerCycle.Value) {
				engine, rate = e, r
			}
		}
	}
	if rate == nil || !(rate.FlopsPerCycle.Value > 0) {
		return nil, m.at(codeRate, cs.k, i, "no engine of queue %s multiplies %s by %s into %s", m.queues[in.Queue].name, in.A.Format, in.B.Format, in.Dst.Format).
			Helpf("give the engine a rate: rate %s, %s -> %s", in.A.Format, in.B.Format, in.Dst.Format)
	}
	mm, kk, nn := in.A.Size[0].Eval(regs), in.A.Size[1].Eval(regs), in.B.Size[1].Eval(regs)
	name := "engine " + engine.Name
	c := &cost{param: plan.None, reason: Matrix, useful: 2 * float64(mm) * float64(kk) * float64(nn)}
	c.flops = rate.Padded(mm, kk, nn)
	what := fmt.Sprintf("%s: rate %s, %s -> %s", name, rate.A, rate.B, rate.Acc)
	c.startup = ticks(m.use(name+": startup", engine.Startup))
	c.work = whole(c.flops / (m.use(what, rate.FlopsPerCycle) * m.derate("engine", engine.Name)))
	return c, nil
}

func (cs *costs) vector(i int, in *plan.Instr, regs []int64) (*cost, error) {
	m := cs.m
	// The elements that it goes through: what it folds or sorts, else what it writes.
	work := &in.Dst
	switch in.Op {
	case plan.VReduce, plan.VScan, plan.VTopK, plan.VGroup, plan.VPut:
		work = &in.A
	}
	f, list := bind.VectorPasses(in, in.Dst.Size[len(in.Dst.Size)-1].Eval(regs))
	engine, rates, missing := bind.VectorEngine(m.queues[in.Queue].engines, in, f, list)
	if engine == nil {
		return nil, m.at(codeRate, cs.k, i, "no engine of queue %s has a rate for %s operations on %s", m.queues[in.Queue].name, missing, f).
			Helpf("give the engine a rate: rate %s %s", f, missing)
	}
	s := shapeOf(work, regs)
	rows, columns := int64(1), s.size[len(s.size)-1]
	for _, n := range s.size[:len(s.size)-1] {
		rows *= n
	}
	units := int64(max(engine.Units, 1))
	elems := (rows + units - 1) / units * columns
	if run, count := s.rows(1); count > 1 && s.bits >= 8 { // rows that lie apart take whole lines each
		line := max(1, int64(m.mems[work.Mem].Align)*8/s.bits)
		n := run * 8 / s.bits
		elems = (count + units - 1) / units * ((n + line - 1) / line * line)
	}
	if w := m.width; w > 1 {
		// Lanes of a warp that have no element do nothing; a row is folded or sorted by whole warps.
		switch in.Op {
		case plan.VReduce, plan.VScan, plan.VTopK, plan.VGroup:
			if columns%w != 0 && columns > 0 {
				elems = elems / columns * ((columns + w - 1) / w * w)
			}
		}
		elems = (elems + w - 1) / w * w
	}
	c := &cost{param: plan.None, reason: Vector, elems: float64(rows * columns)}
	name := "engine " + engine.Name
	derate := m.derate("engine", engine.Name)
	cycles := 0.0
	for j, p := range list {
		r := rates[j]
		v := r.ElementsPerCycle.Value
		if r.Emulated() == "" {
			m.use(fmt.Sprintf("%s: rate %s %s", name, r.Format, r.Op), r.ElementsPerCycle)
		}
		cycles += math.Ceil(float64(elems*p.Times)/(v*derate) - 1e-9)
	}
	c.startup = ticks(m.use(name+": startup", engine.Startup))
	c.work = whole(cycles)
	return c, nil
}

// errLong is the error of a plan whose simulation does not end in time.
func (m *machine) errLong(k *plan.Kernel, what string) error {
	return diag.Errorf(codeLong, diag.Range{}, "%s", what).At("kernel " + k.Name)
}
