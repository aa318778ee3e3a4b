package exec

// loop is the common walk of several operands of equal sizes: axes merged where every operand allows it, the two innermost apart.
type loop struct {
	outer      int // number of axes outside of the two innermost
	n          [maxRank]int64
	s          [4][maxRank]int64 // strides in bytes, one row an operand
	rows, cols int64
	rs, cs     [4]int64
}

// build merges the axes of the views; missing ones count as repeated. All have the same sizes, which are those of v[0]. Axis from is the
// first to be walked: 0, or 1 when the caller walks axis 0 by an index.
func (l *loop) build(from int, v ...*view) {
	o := v[0].o
	nd := 0
	// Innermost first; reversed at the end.
	sub := false
	for _, w := range v {
		sub = sub || w.has() && w.o.esize == 0
	}
	for a := o.rank - 1; a >= from; a-- {
		n := v[0].n[a]
		if n == 1 && a != o.rank-1 {
			continue
		}
		merge := nd > 0 && !(sub && nd == 1) // rows of sub-byte formats stay apart
		if merge {
			for i, w := range v {
				if w.has() && w.o.stride[a] != l.s[i][nd-1]*l.n[nd-1] {
					merge = false
					break
				}
			}
		}
		if merge {
			l.n[nd-1] *= n
			continue
		}
		l.n[nd] = n
		for i, w := range v {
			if w.has() {
				l.s[i][nd] = w.o.stride[a]
				if w.o.esize == 0 && a == o.rank-1 {
					l.s[i][nd] = 0
				}
			} else {
				l.s[i][nd] = 0
			}
		}
		nd++
	}
	l.rows, l.cols = 1, 1
	for i := range v {
		l.rs[i], l.cs[i] = 0, 0
	}
	if nd > 0 {
		l.cols = l.n[0]
		for i := range v {
			l.cs[i] = l.s[i][0]
		}
	}
	if nd > 1 {
		l.rows = l.n[1]
		for i := range v {
			l.rs[i] = l.s[i][1]
		}
	}
	l.outer = max(nd-2, 0)
	// What is left, outermost first.
	for k := 0; k < l.outer; k++ {
		l.n[k] = l.n[k+2]
		for i := range v {
			l.s[i][k] = l.s[i][k+2]
		}
	}
}

// steps walks the outer axes: axis 0 of what build left is the innermost of them.
type steps struct {
	at  [4]int64
	idx [maxRank]int64
}

// next moves to the next pair of inner axes; false at the end.
func (s *steps) next(l *loop) bool {
	for k := 0; k < l.outer; k++ {
		s.idx[k]++
		if s.idx[k] < l.n[k] {
			for i := range s.at {
				s.at[i] += l.s[i][k]
			}
			return true
		}
		for i := range s.at {
			s.at[i] -= l.s[i][k] * (l.n[k] - 1)
		}
		s.idx[k] = 0
	}
	return false
}
