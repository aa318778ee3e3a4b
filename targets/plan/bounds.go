package plan

import (
	"math"
	"math/bits"
	"slices"
)

// What registers can hold is found by walking the code once with values instead of numbers. A value is one definition
// of a register: it has an interval, and what it is made of: a sum of earlier values, or something bounded by sums of earlier
// values, such as a minimum or a loop counter. So base + size of a ragged tile is bounded by M although base and size each
// depend on the loop.

// value is one definition of a register.
type value struct {
	id     int
	lo, hi int64 // both included; infinite is minInf and maxInf
	// sum is what the value is, exactly; nil when it is none.
	sum *affine
	// ups and downs are sums of earlier values that it is not above or below.
	ups, downs []affine
	// of and by: the value is of/by rounded down.
	of *affine
	by int64
	// data: the value comes from memory, directly or not.
	data bool
}

const (
	minInf = math.MinInt64
	maxInf = math.MaxInt64
)

// affine is a constant and multiples of values, in the order of their ids.
type affine struct {
	c     int64
	terms []vterm
}

type vterm struct {
	v *value
	k int64
}

// satAdd and satMul keep infinities, and become infinite on overflow.
func satAdd(a, b int64) int64 {
	switch {
	case a == minInf || b == minInf:
		return minInf
	case a == maxInf || b == maxInf:
		return maxInf
	}
	s := a + b
	if a > 0 && b > 0 && s < 0 {
		return maxInf
	}
	if a < 0 && b < 0 && s >= 0 {
		return minInf
	}
	return s
}

func satMul(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	neg := (a < 0) != (b < 0)
	hi, lo := bits.Mul64(mag(a), mag(b))
	if hi != 0 || lo > math.MaxInt64 || a == minInf || b == minInf || a == maxInf || b == maxInf {
		if neg {
			return minInf
		}
		return maxInf
	}
	if neg {
		return -int64(lo)
	}
	return int64(lo)
}

func mag(a int64) uint64 {
	if a < 0 {
		return uint64(-a)
	}
	return uint64(a)
}

func floorDiv(a, b int64) int64 {
	if a == minInf || a == maxInf {
		return a
	}
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// plus returns a + k·b. Factors that overflow make it wrong, so it reports whether none did.
func (a affine) plus(b affine, k int64) (affine, bool) {
	ok := true
	mul := func(x int64) int64 {
		p := satMul(x, k)
		ok = ok && p != minInf && p != maxInf
		return p
	}
	out := affine{c: satAdd(a.c, mul(b.c))}
	ok = ok && out.c != minInf && out.c != maxInf
	out.terms = make([]vterm, 0, len(a.terms)+len(b.terms))
	i, j := 0, 0
	for i < len(a.terms) || j < len(b.terms) {
		switch {
		case j == len(b.terms) || i < len(a.terms) && a.terms[i].v.id < b.terms[j].v.id:
			out.terms = append(out.terms, a.terms[i])
			i++
		case i == len(a.terms) || b.terms[j].v.id < a.terms[i].v.id:
			out.terms = append(out.terms, vterm{b.terms[j].v, mul(b.terms[j].k)})
			j++
		default:
			k := satAdd(a.terms[i].k, mul(b.terms[j].k))
			ok = ok && k != minInf && k != maxInf
			if k != 0 {
				out.terms = append(out.terms, vterm{a.terms[i].v, k})
			}
			i, j = i+1, j+1
		}
	}
	return out, ok
}

// limits narrows values for one question, such as "as far as all sizes are positive".
type limits map[*value][2]int64

func (l limits) of(v *value) (lo, hi int64) {
	if r, ok := l[v]; ok {
		return r[0], r[1]
	}
	return v.lo, v.hi
}

// interval bounds a sum by the intervals of its values alone.
func (a affine) interval(l limits) (lo, hi int64) {
	lo, hi = a.c, a.c
	for _, t := range a.terms {
		vl, vh := l.of(t.v)
		if t.k < 0 {
			vl, vh = vh, vl
		}
		lo, hi = satAdd(lo, satMul(t.k, vl)), satAdd(hi, satMul(t.k, vh))
	}
	return lo, hi
}

// upper bounds a sum from above by its intervals and by what its values are bounded by, as far as a budget of
// substitutions goes. enough stops the search: a bound at most that will do.
func (a affine) upper(l limits, enough int64, budget *int) int64 {
	_, best := a.interval(l)
	// Sums that bound the first one, of which the one with the lowest bound is looked into next: each of its values is replaced by what
	// bounds that. Bounds are made of earlier values, so this ends.
	open := []bounded{{a, best}}
	for len(open) > 0 && best > enough && *budget > 0 {
		*budget--
		at := 0
		for i := range open {
			if open[i].hi < open[at].hi {
				at = i
			}
		}
		s := open[at].s
		open[at] = open[len(open)-1]
		open = open[:len(open)-1]
		for i, t := range s.terms {
			rest := affine{c: s.c, terms: make([]vterm, 0, len(s.terms))}
			rest.terms = append(append(rest.terms, s.terms[:i]...), s.terms[i+1:]...)
			try := func(b affine, k int64) {
				if n, ok := rest.plus(b, k); ok {
					_, hi := n.interval(l)
					best = min(best, hi)
					open = append(open, bounded{n, hi})
				}
			}
			bounds := t.v.ups
			if t.k < 0 {
				bounds = t.v.downs
			}
			for _, b := range bounds {
				try(b, t.k)
			}
			if t.v.of != nil && t.k%t.v.by == 0 {
				b := *t.v.of
				if t.k < 0 { // of/by rounded down is at least (of-(by-1))/by
					b.c = satAdd(b.c, 1-t.v.by)
				}
				try(b, t.k/t.v.by)
			}
			if best <= enough {
				return best
			}
		}
	}
	return best
}

// bounded is a sum and the upper end of its interval.
type bounded struct {
	s  affine
	hi int64
}

func (a affine) negate() affine {
	out, _ := affine{}.plus(a, -1)
	return out
}

// bounds walks one kernel.
type bounds struct {
	k     *Kernel
	env   []*value // what each register holds
	ids   int
	quiet bool
	spent int                    // instructions walked
	visit func(i int, b *bounds) // called once for each instruction, with the registers as they are before it
}

// walkBounds calls visit for every instruction of a kernel, in order, with what its registers can hold when blocks from to
// last run on cores cores; 0 cores if unknown.
func walkBounds(k *Kernel, first, last, cores int64, visit func(i int, b *bounds)) {
	b := &bounds{k: k, env: make([]*value, k.Regs), visit: visit}
	zero := b.fresh(0, 0)
	for i := range b.env {
		b.env[i] = zero
	}
	b.env[RegBlock] = b.fresh(first, last)
	if cores <= 0 {
		cores = maxInf
	}
	b.env[RegCores] = b.fresh(1, cores)
	b.env[RegCore] = b.fresh(0, satAdd(cores, -1))
	b.run(0, len(k.Code))
}

// boundsBudget is after how many instructions the walk no longer looks at a loop's code twice, which doubles the work
// with each loop inside another.
const boundsBudget = 1 << 17

func (b *bounds) fresh(lo, hi int64) *value {
	b.ids++
	return &value{id: b.ids, lo: lo, hi: hi}
}

// eval makes a sum of what registers hold. When it overflows, it is a fresh value without bounds.
func (b *bounds) eval(v Val) affine {
	out := affine{c: v.C}
	ok := true
	for _, t := range v.Terms {
		x := b.env[t.Reg]
		s := affine{terms: []vterm{{x, 1}}}
		if x.sum != nil {
			s = *x.sum
		}
		var fine bool
		out, fine = out.plus(s, t.K)
		ok = ok && fine
	}
	if !ok {
		return affine{terms: []vterm{{b.fresh(minInf, maxInf), 1}}}
	}
	return out
}

func isData(a affine) bool {
	for _, t := range a.terms {
		if t.v.data {
			return true
		}
	}
	return false
}

// assigned gives the registers that code[from:to] sets, and those of them that it may read before setting them.
func assigned(code []Instr, from, to int) (sets, carried []Reg) {
	set, exposed := map[Reg]bool{}, map[Reg]bool{}
	certain := []map[Reg]bool{{}} // set on every way to here, for each loop that is open
	read := func(v Val) {
		for _, t := range v.Terms {
			if sure := func() bool {
				for _, c := range certain {
					if c[t.Reg] {
						return true
					}
				}
				return false
			}(); !sure {
				exposed[t.Reg] = true
			}
		}
	}
	for i := from; i < to; i++ {
		in := &code[i]
		in.vals(read)
		switch in.Op {
		case Loop:
			set[in.Reg] = true
			certain = append(certain, map[Reg]bool{in.Reg: true})
		case End: // what the loop set is not certain after it: it may have had no round
			certain = certain[:len(certain)-1]
		case Set, LoadScalar:
			set[in.Reg] = true
			certain[len(certain)-1][in.Reg] = true
		}
	}
	for r := range set {
		sets = append(sets, r)
		if exposed[r] {
			carried = append(carried, r)
		}
	}
	slices.Sort(sets)
	slices.Sort(carried)
	return sets, carried
}

// vals calls f for every value that the instruction names.
func (in *Instr) vals(f func(Val)) {
	f(in.X)
	f(in.Y)
	f(in.Z)
	f(in.Acc)
	for _, t := range in.Tiles() {
		for ; t != nil && t.Has(); t = t.Index {
			f(t.Base)
			for _, v := range t.Size {
				f(v)
			}
		}
	}
	if in.Assume != nil {
		f(in.Assume.Index)
	}
}

func (b *bounds) run(from, to int) {
	for i := from; i < to; i++ {
		b.spent++
		in := &b.k.Code[i]
		if b.visit != nil && !b.quiet {
			b.visit(i, b)
		}
		switch in.Op {
		case Loop:
			b.loop(i, in)
			i = in.Jump
		case Set:
			b.env[in.Reg] = b.set(in.Fn, b.eval(in.X), b.eval(in.Y))
		case LoadScalar:
			v := b.fresh(minInf, maxInf)
			v.data = true
			b.env[in.Reg] = v
		}
	}
}

func (b *bounds) loop(i int, in *Instr) {
	x, y := b.eval(in.X), b.eval(in.Y)
	xlo, xhi := x.interval(nil)
	ylo, yhi := y.interval(nil)
	sets, carried := assigned(b.k.Code, i+1, in.Jump)
	before := append([]*value(nil), b.env...)
	unknown := func(r Reg, lo, hi int64) {
		v := b.fresh(lo, hi)
		v.data = before[r].data
		b.env[r] = v
	}
	counter := func() {
		v := b.fresh(xlo, satAdd(satAdd(xhi, yhi), -1))
		v.data = isData(x) || isData(y)
		v.downs = []affine{x}
		if s, ok := x.plus(y, 1); ok {
			s.c = satAdd(s.c, -1)
			v.ups = []affine{s}
		}
		b.env[in.Reg] = v
	}
	if len(carried) > 0 && yhi > 1 && b.spent > boundsBudget {
		for _, r := range carried {
			unknown(r, minInf, maxInf)
		}
	} else if len(carried) > 0 && yhi > 1 {
		// What a round finds: what was there before, and what a round leaves, as far as that comes to rest; else what a round leaves
		// whatever it finds.
		quiet := b.quiet
		b.quiet = true
		type held struct {
			lo, hi int64
			data   bool
		}
		find := make([]held, len(carried))
		for j, r := range carried {
			lo, hi := b.hold(before[r])
			find[j] = held{lo, hi, before[r].data}
		}
		round := func(any bool) (grew bool) {
			for j, r := range carried {
				lo, hi := find[j].lo, find[j].hi
				if any {
					lo, hi = minInf, maxInf
				}
				unknown(r, lo, hi)
				b.env[r].data = find[j].data
			}
			counter()
			b.run(i+1, in.Jump)
			for j, r := range carried {
				lo, hi := b.hold(b.env[r])
				if any {
					l2, h2 := b.hold(before[r])
					find[j] = held{min(lo, l2), max(hi, h2), find[j].data || b.env[r].data}
					continue
				}
				n := held{min(lo, find[j].lo), max(hi, find[j].hi), find[j].data || b.env[r].data}
				grew = grew || n != find[j]
				find[j] = n
			}
			copy(b.env, before)
			return grew
		}
		for try := 0; round(try == 12); try++ {
		}
		for j, r := range carried {
			unknown(r, find[j].lo, find[j].hi)
			b.env[r].data = find[j].data
		}
		b.quiet = quiet
	}
	if yhi <= 0 { // no round
		copy(b.env, before)
		return
	}
	counter()
	b.run(i+1, in.Jump)
	b.visitEnd(in.Jump)
	for _, r := range append(sets, in.Reg) {
		lo, hi := b.hold(b.env[r])
		data := b.env[r].data || before[r].data
		if ylo < 1 {
			l2, h2 := b.hold(before[r])
			lo, hi = min(lo, l2), max(hi, h2)
		}
		unknown(r, lo, hi)
		b.env[r].data = data
	}
}

func (b *bounds) visitEnd(i int) {
	if b.visit != nil && !b.quiet {
		b.visit(i, b)
	}
}

// hold gives the interval of a value.
func (b *bounds) hold(v *value) (lo, hi int64) {
	if v.sum != nil {
		return v.sum.interval(nil)
	}
	return v.lo, v.hi
}

// tight is the interval of a sum, narrowed by what its values are bounded by.
func (a affine) tight() (lo, hi int64) {
	budget := 60
	hi = a.upper(nil, minInf, &budget)
	budget = 60
	if l := a.negate().upper(nil, minInf, &budget); l > minInf {
		return -l, hi
	}
	return minInf, hi
}

// set gives the value of a scalar function.
func (b *bounds) set(fn Fn, x, y affine) *value {
	xl, xh := x.interval(nil)
	yl, yh := y.interval(nil)
	if fn == SDiv || fn == SMod {
		xl, xh = x.tight()
	}
	exact := func(s affine, ok bool) *value {
		if !ok {
			v := b.fresh(minInf, maxInf)
			v.data = isData(x) || isData(y)
			return v
		}
		lo, hi := s.interval(nil)
		v := b.fresh(lo, hi)
		v.sum = &s
		v.data = isData(s)
		return v
	}
	v := b.fresh(minInf, maxInf)
	v.data = isData(x) || isData(y)
	switch fn {
	case VAdd:
		return exact(x.plus(y, 1))
	case VSub:
		return exact(x.plus(y, -1))
	case VMul:
		if yl == yh && len(y.terms) == 0 {
			return exact(affine{}.plus(x, yl))
		}
		if xl == xh && len(x.terms) == 0 {
			return exact(affine{}.plus(y, xl))
		}
		p := [4]int64{satMul(xl, yl), satMul(xl, yh), satMul(xh, yl), satMul(xh, yh)}
		v.lo, v.hi = min(p[0], p[1], p[2], p[3]), max(p[0], p[1], p[2], p[3])
	case VMin:
		if d, ok := x.plus(y, -1); ok {
			if lo, hi := d.interval(nil); hi <= 0 {
				return exact(x, true)
			} else if lo >= 0 {
				return exact(y, true)
			}
		}
		v.lo, v.hi, v.ups = min(xl, yl), min(xh, yh), []affine{x, y}
	case VMax:
		if d, ok := x.plus(y, -1); ok {
			if lo, hi := d.interval(nil); hi <= 0 {
				return exact(y, true)
			} else if lo >= 0 {
				return exact(x, true)
			}
		}
		v.lo, v.hi, v.downs = max(xl, yl), max(xh, yh), []affine{x, y}
	case SDiv:
		if yl < 1 {
			return v
		}
		if yl == yh {
			v.lo, v.hi, v.of, v.by = floorDiv(xl, yl), floorDiv(xh, yl), &x, yl
			return v
		}
		v.lo = min(floorDiv(xl, yl), floorDiv(xl, yh))
		v.hi = max(floorDiv(xh, yl), floorDiv(xh, yh))
	case SMod:
		if yl < 1 {
			return v
		}
		v.lo, v.hi = 0, satAdd(yh, -1)
		if xl >= 0 && yl == yh && xh < yl {
			return exact(x, true)
		}
		if xl >= 0 {
			v.hi = min(v.hi, xh)
			v.ups = []affine{x}
		}
		if len(y.terms) > 0 {
			s := y
			s.c = satAdd(s.c, -1)
			v.ups = append(v.ups, s)
		}
	case SLt:
		v.lo, v.hi = 0, 1
		switch {
		case xh < yl:
			v.lo = 1
		case xl >= yh:
			v.hi = 0
		}
	}
	return v
}
