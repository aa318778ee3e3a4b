package plan

import (
	"fmt"
	"strings"

	"apogee/ir/diag"
)

// room gives the bytes that a tile may touch: a parameter from its start, or a local.
func room(k *Kernel, t *Tile) (lo, hi int64, name string) {
	if t.Mem == 0 {
		p := &k.Params[t.Param]
		return 0, p.Size, "parameter " + p.Name
	}
	l := &k.Locals[t.Local]
	return l.Addr, l.Addr + l.Size, "local " + l.Name
}

// rowBytes is how many bytes n elements of a tile's row span, counted from the first.
func rowBytes(t *Tile, n int64) int64 {
	b := int64(t.Format.Bits())
	if b >= 8 {
		return satAdd(satMul(n-1, t.Stride[len(t.Stride)-1]), b/8)
	}
	return (satMul(n, b) + 7) / 8 // a whole row, packed
}

// row is the axis that rows run along.
func (t *Tile) row() int {
	if t.Format.Bits() < 8 {
		return t.DenseAxis()
	}
	return len(t.Size) - 1
}

// reach gives a tile's first byte and the one after its last, for given registers, and whether it has any.
func reach(t *Tile, regs []int64) (lo, hi int64, any bool) {
	lo = t.Base.Eval(regs)
	hi = lo
	last := t.row()
	for a := range t.Size {
		n := t.Size[a].Eval(regs)
		if n <= 0 {
			return lo, lo, false
		}
		if a == 0 && t.Index != nil { // rows stand where the list says
			if a == last {
				hi = satAdd(hi, int64(t.Format.Bits()+7)/8)
			}
			continue
		}
		span := satMul(n-1, t.Stride[a])
		if a == last {
			span = rowBytes(t, n)
			if t.Format.Bits() >= 8 && t.Stride[a] < 0 {
				e := int64(t.Format.Bits() / 8)
				lo, hi = satAdd(lo, span-e), satAdd(hi, e)
				continue
			}
		}
		if span < 0 {
			lo = satAdd(lo, span)
		} else {
			hi = satAdd(hi, span)
		}
	}
	return lo, hi, true
}

// ranges checks that no tile reaches outside what it names. First a proof by bounds is tried; where it fails, blocks are
// walked to find an instruction that does reach outside. What is neither is remarked, since data may decide it.
func (c *checker) ranges(k *Kernel, grid int64) {
	cores := int64(0)
	if c.rules != nil {
		cores = c.rules.Cores
	}
	type doubt struct {
		i    int
		tile *Tile
		data bool
	}
	var doubts []doubt
	open := map[*Tile]bool{}
	walkBounds(k, 0, grid-1, cores, func(i int, b *bounds) {
		for _, s := range k.Code[i].slots() {
			for t := s.Tile; t != nil && !absent(t); t = t.Index {
				if ok, data := b.inside(&k.Code[i], t); !ok && !open[t] {
					open[t] = true
					doubts = append(doubts, doubt{i, t, data})
				}
			}
		}
	})
	if len(doubts) == 0 {
		return
	}
	found := map[*Tile]bool{}
	for _, block := range sampleBlocks(grid) {
		w := newWalk(k, block, cores)
		w.visit = func(i int) {
			for _, s := range k.Code[i].slots() {
				for t := s.Tile; t != nil && !absent(t); t = t.Index {
					if open[t] && !found[t] && w.knows(t) && !w.idle(&k.Code[i]) {
						if c.witness(k, i, t, w) {
							found[t] = true
						}
					}
				}
			}
		}
		w.run(0, len(k.Code))
	}
	for _, d := range doubts {
		if found[d.tile] {
			continue
		}
		lo, hi, name := room(k, d.tile)
		why := "its range cannot be derived from the code"
		if d.data {
			why = "where it reaches depends on data"
		}
		f := diag.Errorf(codeUnproven, diag.Range{}, "nothing shows that this stays inside %s: %s", name, why).
			Expect(fmt.Sprintf("bytes %d to %d", lo, hi), "unknown")
		f.Severity = diag.Info
		c.locate(f, k, d.i)
		c.list.Add(f)
	}
}

// inside says whether a tile is proven to stay where it belongs, and whether data has a say in it.
func (b *bounds) inside(in *Instr, t *Tile) (ok, data bool) {
	// An instruction with an empty tile does nothing, so all sizes are positive.
	lim := limits{}
	idle := false
	for _, s := range in.slots() {
		if absent(s.Tile) {
			continue
		}
		for _, v := range s.Tile.Size {
			idle = b.positive(b.eval(v), lim, 8) || idle
		}
	}
	if idle {
		return true, false
	}
	// In bytes, or in bits where several elements share one.
	unit := int64(1)
	if t.Format.Bits() < 8 {
		unit = 8
	}
	fine := true
	add := func(a *affine, s affine, k int64) {
		var o bool
		*a, o = a.plus(s, k)
		fine = fine && o
	}
	var low, high affine
	add(&low, b.eval(t.Base), unit)
	add(&high, b.eval(t.Base), unit)
	last := t.row()
	for a := range t.Size {
		if a == 0 && t.Index != nil {
			if a == last {
				high.c = satAdd(high.c, satMul(int64(t.Format.Bits()+7)/8, unit))
			}
			continue
		}
		n := b.eval(t.Size[a])
		data = data || isData(n)
		stride := satMul(t.Stride[a], unit)
		if a == last {
			if unit > 1 {
				add(&high, n, int64(t.Format.Bits()))
				continue
			}
			high.c = satAdd(high.c, int64(t.Format.Bits()/8))
		}
		n.c = satAdd(n.c, -1)
		if stride < 0 {
			add(&low, n, stride)
		} else {
			add(&high, n, stride)
		}
	}
	data = data || isData(low)
	from, to, _ := room(b.k, t)
	from, to = satMul(from, unit), satMul(to, unit)
	if !fine {
		return false, data
	}
	budget := 400
	if high.upper(lim, to, &budget) > to {
		return false, data
	}
	budget = 400
	return low.negate().upper(lim, -from, &budget) <= -from, data
}

// positive narrows values by a being at least 1, and says whether it cannot be.
func (b *bounds) positive(a affine, lim limits, depth int) bool {
	_, hi := a.interval(lim)
	if hi < 1 {
		return true
	}
	for i, t := range a.terms {
		// k·v ≥ 1 − (the most that the rest is)
		rest := affine{c: a.c}
		rest.terms = append(append(rest.terms, a.terms[:i]...), a.terms[i+1:]...)
		_, most := rest.interval(lim)
		if most == maxInf {
			continue
		}
		lo, hi := lim.of(t.v)
		need := satAdd(1, -most)
		if t.k > 0 {
			lo = max(lo, -floorDiv(-need, t.k))
		} else {
			hi = min(hi, floorDiv(-need, -t.k))
		}
		lim[t.v] = [2]int64{lo, hi}
	}
	if len(a.terms) == 1 && a.terms[0].k == 1 && depth > 0 {
		for _, u := range a.terms[0].v.ups { // u ≥ v ≥ 1 − c
			u.c = satAdd(u.c, a.c)
			if b.positive(u, lim, depth-1) {
				return true
			}
		}
	}
	return false
}

// witness reports a tile that reaches outside for the walk's registers.
func (c *checker) witness(k *Kernel, i int, t *Tile, w *walk) bool {
	lo, hi, any := reach(t, w.regs)
	from, to, name := room(k, t)
	if !any || lo >= from && hi <= to {
		return false
	}
	seen := map[Reg]bool{}
	var regs []string
	for _, v := range append([]Val{t.Base}, t.Size...) {
		for _, x := range v.Terms {
			if !seen[x.Reg] {
				seen[x.Reg] = true
				regs = append(regs, fmt.Sprintf("%s = %d", regText(x.Reg), w.regs[x.Reg]))
			}
		}
	}
	d := diag.Errorf(codeRange, diag.Range{}, "the instruction reaches outside %s", name).
		Expect(fmt.Sprintf("bytes %d to %d", from, to), fmt.Sprintf("bytes %d to %d in block %d", lo, hi, w.regs[RegBlock]))
	c.locate(d, k, i)
	if len(regs) > 0 {
		d.Note(diag.Range{}, "with %s", strings.Join(regs, ", "))
	}
	c.list.Add(d)
	return true
}

func regText(r Reg) string {
	if int(r) < len(regNames) {
		return regNames[r]
	}
	return fmt.Sprintf("r%d", r)
}

// sampleBlocks gives the blocks that a walk looks at: first, second, middle and last.
func sampleBlocks(grid int64) []int64 {
	var out []int64
	for _, b := range [...]int64{0, 1, grid / 2, grid - 1} {
		if b >= 0 && b < grid && (len(out) == 0 || b > out[len(out)-1]) {
			out = append(out, b)
		}
	}
	return out
}
