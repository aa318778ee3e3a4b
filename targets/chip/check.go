package chip

import (
	"fmt"
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// Check says what is wrong with a description as a whole, beyond its text: data that cannot get somewhere, rates
// that are missing, numbers that contradict each other. [Load] has run it already.
func Check(c *Chip) *diag.List {
	l := &diag.List{}
	check(c, l)
	l.Sort()
	return l
}

// check adds what it finds to a list, but for the warnings that the file answers.
func check(c *Chip, to *diag.List) {
	l := &diag.List{}
	checkAll(c, l)
	c.answer(l, to)
}

// answer hands on what was found, but for the warnings that the file answers.
func (c *Chip) answer(l, to *diag.List) {
	came := map[string]bool{}
	for _, d := range l.Items() {
		answered := false
		for _, a := range c.Accepts {
			if a.Code == d.Code && d.Severity == diag.Warning {
				answered, came[a.Code] = true, true
			}
		}
		if !answered {
			to.Add(d)
		}
	}
	for _, a := range c.Accepts {
		if !came[a.Code] {
			to.Warnf(codeAccept, a.Range, "there is no warning %s to answer", a.Code).Helpf("take the line away")
		}
	}
}

func checkAll(c *Chip, l *diag.List) {
	checkMemories(c, l)
	checkEngines(c, l)
	checkReach(c, l)
	checkVector(c, l)
	checkMatrix(c, l)
	checkRatios(c, l)
	checkSteps(c, l)
	checkTiles(c, l)
	checkAccumulate(c, l)
	checkPeaks(c, l)
	checkReached(c, l)
	checkLevels(c, l)
	checkBandwidths(c, l)
	checkSizes(c, l)
	checkRanges(c, l)
	checkLinks(c, l)
	checkSources(c, l)
	checkServed(c.Served, l)
	checkPrecisions(c, l)
	checkNames(c, l)
}

func checkMemories(c *Chip, l *diag.List) {
	globals := c.MemoriesFor(RoleGlobal)
	if len(globals) != 1 {
		d := l.Errorf(codeGlobal, c.Range, "a chip has one global memory").Expect("one", fmt.Sprint(len(globals)))
		for _, m := range globals {
			d.Note(m.Range, "this is one")
		}
	}
	for _, m := range c.Memories {
		if !m.Is(RoleCache) {
			if m.Caches != "" {
				l.Errorf(codeCache, m.Range, "memory %s caches %s but has no role cache", m.Name, m.Caches)
			}
			continue
		}
		if len(m.Roles) > 1 {
			l.Errorf(codeCache, m.Range, "memory %s is a cache and something else: plans cannot address a cache", m.Name)
		}
		if of := c.Memory(m.Caches); m.Caches == m.Name || of != nil && of.Is(RoleCache) {
			l.Errorf(codeCache, m.Range, "memory %s must cache a memory that plans address", m.Name).
				Expect("such a memory", m.Caches)
		}
	}
}

func checkEngines(c *Chip, l *diag.List) {
	use := func(e *Engine, memory, role string) {
		m := c.Memory(memory)
		switch {
		case m == nil:
		case m.Is(RoleCache):
			l.Errorf(codeCache, e.Range, "engine %s works in %s, which is a cache", e.Name, memory)
		case !m.Is(role):
			l.Errorf(codeRole, e.Range, "engine %s works in %s", e.Name, memory).
				Expect("a memory with role "+role, "roles "+join(m.Roles)).Note(m.Range, "here it is described")
		}
	}
	for _, e := range c.Engines {
		switch e.Kind {
		case Matrix:
			use(e, e.A, RoleMatrixA)
			use(e, e.B, RoleMatrixB)
			use(e, e.Acc, RoleAccumulator)
		case Vector:
			for _, m := range e.Mem {
				use(e, m, RoleVector)
			}
		}
		if e.Kind == DMA {
			used := false
			for _, p := range c.Paths {
				used = used || p.Engine == e.Name
			}
			if !used {
				l.Warnf(codeUnused, e.Range, "engine %s moves nothing: no path names it", e.Name)
			}
		}
	}
}

func join(s []string) string {
	out := ""
	for i, x := range s {
		if i > 0 {
			out += ", "
		}
		out += x
	}
	return out
}

// checkReach demands that what an engine reads can be brought from global memory and what it writes can be
// taken back.
func checkReach(c *Chip, l *diag.List) {
	for _, p := range c.Paths {
		if p.From == p.To {
			l.Errorf(codePath, p.Range, "a path leads from %s to itself", p.From)
		}
		for _, n := range []string{p.From, p.To} {
			if m := c.Memory(n); m != nil && m.Is(RoleCache) {
				l.Errorf(codeCache, p.Range, "%s is a cache: hardware moves its data", n).
					Helpf("let the path begin or end at %s", m.Caches)
			}
		}
	}
	g := c.Global()
	if g == nil {
		return
	}
	for _, m := range c.Memories {
		if m == g || m.Is(RoleCache) {
			continue
		}
		in := m.Is(RoleScratch) || m.Is(RoleMatrixA) || m.Is(RoleMatrixB) || m.Is(RoleVector)
		out := m.Is(RoleAccumulator) || m.Is(RoleVector)
		if _, ok := c.Route(g.Name, m.Name); in && !ok {
			l.Errorf(codeReach, m.Range, "nothing can get into %s: there is no chain of paths from %s", m.Name, g.Name).
				Helpf("add: path %s -> %s { engine NAME; rate NUMBER B/cycle …; startup NUMBER cycles …; dims NUMBER … }", c.lastReached(g.Name, true, m.Name), m.Name)
		}
		if _, ok := c.Route(m.Name, g.Name); out && !ok {
			l.Errorf(codeReach, m.Range, "nothing can get out of %s: there is no chain of paths to %s", m.Name, g.Name).
				Helpf("add: path %s -> %s { engine NAME; rate NUMBER B/cycle …; startup NUMBER cycles …; dims NUMBER … }", m.Name, c.lastReached(g.Name, false, m.Name))
		}
	}
}

// lastReached names where a chain of paths can begin or go on to close a gap: the scratch memory that is joined to global
// memory, or that memory itself.
func (c *Chip) lastReached(global string, in bool, but string) string {
	for _, m := range c.MemoriesFor(RoleScratch) {
		if m.Name == but || m.Is(RoleCache) {
			continue
		}
		from, to := global, m.Name
		if !in {
			from, to = to, from
		}
		if _, ok := c.Route(from, to); ok {
			return m.Name
		}
	}
	return global
}

// checkVector demands every class for f32, arithmetic for i32, and for every other float format that computes
// what a model does with it.
func checkVector(c *Chip, l *diag.List) {
	need := func(f format.Format, at diag.Range, ops ...OpClass) {
		for _, op := range ops {
			if _, _, ok := c.Vector(f, op); !ok {
				l.Errorf(codeVector, at, "no vector engine has a rate for %s %s", f, op).
					Helpf("add: rate %s %s NUMBER element/cycle", f, op)
			}
		}
	}
	need(format.F32, c.Range, OpClasses...)
	need(format.I32, c.Range, Basic)
	seen := map[format.Format]bool{format.F32: true, format.I32: true}
	for _, e := range c.Engines {
		for _, r := range e.Vector {
			if seen[r.Format] {
				continue
			}
			seen[r.Format] = true
			if r.Format.IsFloat() {
				need(r.Format, r.Range, Basic, Transcendental, Divide, Reduce)
			} else {
				need(r.Format, r.Range, Basic)
			}
		}
	}
}

func checkMatrix(c *Chip, l *diag.List) {
	if _, _, ok := c.MatrixAcc(format.F32, format.F32, format.F32); !ok {
		l.Errorf(codeMatmul, c.Range, "no matrix engine multiplies f32 by f32 into f32").
			Helpf("if there is no such unit, describe what runs it: vector FMA is a matrix engine of its own")
	}
	for _, e := range c.Engines {
		if e.Kind != Matrix {
			continue
		}
		for i := range e.Matrix {
			r := &e.Matrix[i]
			fits := func(name string, rows, cols int, f format.Format) {
				m := c.Memory(name)
				if m == nil {
					return
				}
				need := float64(rows) * float64(cols) * float64(f.Bits()) / 8
				if need > m.Size.Value {
					l.Errorf(codeTile, r.Range, "a step of %dx%d %s does not fit into %s", rows, cols, f, name).
						Expect("at most "+bytesText(int(m.Size.Value)), bytesText(int(math.Ceil(need))))
				} else if 2*need > m.Size.Value {
					d := l.Warnf(codeTile, r.Range, "two steps of %dx%d %s do not fit into %s", rows, cols, f, name)
					d.Helpf("loading and multiplying cannot overlap")
				}
			}
			fits(e.A, r.M, r.K, r.A)
			fits(e.B, r.K, r.N, r.B)
			fits(e.Acc, r.M, r.N, r.Acc)
		}
	}
}

func checkPrecisions(c *Chip, l *diag.List) {
	casts := func(from, to format.Format) bool {
		if from == to {
			return true
		}
		for _, e := range c.Engines {
			if e.CanCast(from, to) {
				return true
			}
		}
		for _, p := range c.Paths {
			if p.CanCast(from, to) {
				return true
			}
		}
		return false
	}
	for _, p := range c.Precisions {
		if _, _, ok := c.MatrixAcc(p.A, p.B, p.Acc); !ok {
			l.Errorf(codePrecision, p.Range, "precision %s needs a matrix rate %s, %s -> %s", p.Name, p.A, p.B, p.Acc)
			continue
		}
		if p.MX && c.ScaleBlock(p.A, p.B) == 0 {
			l.Errorf(codePrecision, p.Range, "precision %s needs a matrix rate %s, %s -> %s that multiplies scales", p.Name, p.A, p.B, p.Acc).
				Helpf("add to the rate: scale f8e8m0 NUMBER")
		}
		// Activations are made by vector engines, in f32 if they do not compute in the format.
		to := p.A
		if to == format.TF32 || to == format.HF32 {
			to = format.F32 // rounded by the matrix engine itself
		}
		if p.Auto > 0 && !c.CanVector(to) && !casts(format.F32, to) {
			l.Errorf(codePrecision, p.Range, "precision %s needs a conversion from f32 to %s", p.Name, to).
				Helpf("add it to the casts of a vector engine or a path")
		}
	}
}

// checkNames looks for what names nothing or says the opposite of something else.
func checkNames(c *Chip, l *diag.List) {
	for _, d := range c.Derates {
		ok := d.What == "launch"
		for _, m := range c.Memories {
			ok = ok || d.What == "memory "+m.Name || d.What == "latency "+m.Name && m.Latency.Stated()
		}
		for _, e := range c.Engines {
			ok = ok || d.What == "engine "+e.Name
		}
		for _, p := range c.Paths {
			ok = ok || d.What == "path "+p.From+" -> "+p.To
		}
		for _, k := range c.Links {
			ok = ok || d.What == "link "+k.Name
		}
		if !ok {
			l.Errorf(codeDerate, d.Factor.Range, "there is no %s to derate", d.What).
				Helpf("a file that takes it away says also: without derate %s", d.What)
		}
	}
	for _, name := range c.Lacks {
		f, ok := format.Parse(name)
		if !ok {
			continue
		}
		for _, e := range c.Engines {
			for _, r := range e.Matrix {
				if r.A == f || r.B == f {
					l.Errorf(codeLacks, r.Range, "the chip is said to lack %s", f)
				}
			}
			for _, r := range e.Vector {
				if r.Format == f {
					l.Errorf(codeLacks, r.Range, "the chip is said to lack %s", f)
				}
			}
		}
	}
}
