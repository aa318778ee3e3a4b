package regex

import (
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// span is a range of code points, both ends included.
type span struct{ lo, hi rune }

// ranges is a set of code points: sorted, disjoint, not touching.
type ranges []span

// all is every code point.
var all = ranges{{0, utf8.MaxRune}}

// normal sorts and joins.
func normal(r ranges) ranges {
	slices.SortFunc(r, func(a, b span) int {
		if a.lo != b.lo {
			return int(a.lo - b.lo)
		}
		return int(a.hi - b.hi)
	})
	out := r[:0]
	for _, s := range r {
		if n := len(out); n > 0 && s.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	return out
}

// union returns a ∪ b.
func union(a, b ranges) ranges { return normal(append(slices.Clone(a), b...)) }

// negate returns the complement.
func negate(a ranges) ranges {
	var out ranges
	next := rune(0)
	for _, s := range a {
		if s.lo > next {
			out = append(out, span{next, s.lo - 1})
		}
		next = s.hi + 1
	}
	if next <= utf8.MaxRune {
		out = append(out, span{next, utf8.MaxRune})
	}
	return out
}

// intersect returns a ∩ b.
func intersect(a, b ranges) ranges {
	var out ranges
	for i, j := 0, 0; i < len(a) && j < len(b); {
		lo, hi := max(a[i].lo, b[j].lo), min(a[i].hi, b[j].hi)
		if lo <= hi {
			out = append(out, span{lo, hi})
		}
		if a[i].hi < b[j].hi {
			i++
		} else {
			j++
		}
	}
	return out
}

// contains says whether r is in the set, by bisection.
func (a ranges) contains(r rune) bool {
	lo, hi := 0, len(a)
	for lo < hi {
		m := (lo + hi) / 2
		if r > a[m].hi {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo < len(a) && r >= a[lo].lo
}

// foldable lists the code points that have another case.
var foldable = sync.OnceValue(func() []rune {
	var out []rune
	seen := map[rune]bool{}
	for _, c := range unicode.CaseRanges {
		for r := rune(c.Lo); r <= rune(c.Hi); r++ {
			for f := r; !seen[f] && unicode.SimpleFold(f) != f; f = unicode.SimpleFold(f) {
				seen[f] = true
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
})

// fold adds the other cases of every member.
func fold(a ranges) ranges {
	var extra ranges
	for _, r := range foldable() {
		if a.contains(r) {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				extra = append(extra, span{f, f})
			}
		}
	}
	return union(a, extra)
}

// set is a compiled class: a bit for each code point of the basic plane, ranges above it.
type set struct {
	bits  *[1024]uint64
	above ranges
	// one is the only member, or -1.
	one rune
}

func newSet(a ranges) *set {
	s := &set{bits: new([1024]uint64), one: -1}
	if len(a) == 1 && a[0].lo == a[0].hi {
		s.one = a[0].lo
	}
	for _, r := range a {
		for c := r.lo; c <= min(r.hi, 0xFFFF); c++ {
			s.bits[c>>6] |= 1 << (c & 63)
		}
		if r.hi > 0xFFFF {
			s.above = append(s.above, span{max(r.lo, 0x10000), r.hi})
		}
	}
	return s
}

// has says whether r is a member.
func (s *set) has(r rune) bool {
	if uint32(r) <= 0xFFFF {
		return s.bits[r>>6]>>(uint(r)&63)&1 != 0
	}
	return s.above.contains(r)
}
