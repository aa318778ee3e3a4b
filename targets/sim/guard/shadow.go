package guard

import "sort"

// event is an access in the past.
type event struct {
	time  int64 // of its queue on its core, from 1; 0 for none
	block int64
	instr int32
	queue int16
	local int16
	core  int32
}

// seg is a range of bytes with one history: who wrote it last, and who has read it since, one reader a queue and core.
type seg struct {
	lo, hi int64
	write  event
	reads  []event
}

// shadow is what is known of a memory: segs in order, apart from each other. Bytes in no seg are untouched.
type shadow struct {
	segs []seg
	free [][]event // lists of readers to be used again
}

func (s *shadow) reset() {
	for i := range s.segs {
		s.drop(&s.segs[i])
	}
	s.segs = s.segs[:0]
}

func (s *shadow) drop(g *seg) {
	if cap(g.reads) > 0 {
		s.free = append(s.free, g.reads[:0])
		g.reads = nil
	}
}

// readers returns a copy of a list of readers.
func (s *shadow) readers(r []event) []event {
	if len(r) == 0 {
		return nil
	}
	var to []event
	if n := len(s.free); n > 0 {
		to, s.free = s.free[n-1], s.free[:n-1]
	}
	return append(to, r...)
}

// find is the first seg that ends behind lo.
func (s *shadow) find(lo int64) int {
	n := len(s.segs)
	if n == 0 || s.segs[n-1].hi <= lo {
		return n
	}
	if n <= 8 {
		for i := range s.segs {
			if s.segs[i].hi > lo {
				return i
			}
		}
	}
	return sort.Search(n, func(i int) bool { return s.segs[i].hi > lo })
}

// insert makes room for count segs at i.
func (s *shadow) insert(i, count int) {
	for range count {
		s.segs = append(s.segs, seg{})
	}
	copy(s.segs[i+count:], s.segs[i:])
	for k := range count {
		s.segs[i+k] = seg{}
	}
}

// cut splits the seg at i, if need be, so that one begins at the address. It returns the index of that one.
func (s *shadow) cut(i int, at int64) int {
	g := &s.segs[i]
	if at <= g.lo {
		return i
	}
	s.insert(i+1, 1)
	g = &s.segs[i]
	s.segs[i+1] = seg{at, g.hi, g.write, s.readers(g.reads)}
	g.hi = at
	return i + 1
}

// read notes a read of the bytes lo to hi by e. check judges each write that is read; gap is called for bytes that nobody wrote. The first
// that returns false ends the read.
func (s *shadow) read(lo, hi int64, e event, check func(g *seg, lo, hi int64) bool, gap func(lo, hi int64) bool) bool {
	i := s.find(lo)
	if i < len(s.segs) && s.segs[i].lo == lo && s.segs[i].hi == hi && s.segs[i].write.time > 0 {
		// The usual case: what was written as one is read as one.
		g := &s.segs[i]
		if !check(g, lo, hi) {
			return false
		}
		s.note(g, e)
		return true
	}
	for at := lo; at < hi; {
		if i == len(s.segs) || s.segs[i].lo > at {
			end := hi
			if i < len(s.segs) {
				end = min(end, s.segs[i].lo)
			}
			if !gap(at, end) {
				return false
			}
			s.insert(i, 1)
			s.segs[i] = seg{lo: at, hi: end}
			s.note(&s.segs[i], e)
			at = end
			i++
			continue
		}
		i = s.cut(i, at)
		if s.segs[i].hi > hi {
			s.cut(i, hi)
		}
		g := &s.segs[i]
		if g.write.time == 0 {
			if !gap(g.lo, g.hi) {
				return false
			}
		} else if !check(g, g.lo, g.hi) {
			return false
		}
		s.note(g, e)
		at = g.hi
		i++
	}
	return true
}

// note adds a reader to a seg, in place of an earlier one of its queue.
func (s *shadow) note(g *seg, e event) {
	for i := range g.reads {
		if r := &g.reads[i]; r.queue == e.queue && r.core == e.core {
			*r = e
			return
		}
	}
	if g.reads == nil {
		if n := len(s.free); n > 0 {
			g.reads, s.free = s.free[n-1], s.free[:n-1]
		}
	}
	g.reads = append(g.reads, e)
}

// write notes a write of the bytes lo to hi by e. check judges each access that lies below, and its result false ends the write.
func (s *shadow) write(lo, hi int64, e event, check func(g *seg, lo, hi int64) bool) bool {
	i := s.find(lo)
	if i < len(s.segs) && s.segs[i].lo == lo && s.segs[i].hi == hi {
		g := &s.segs[i]
		if !check(g, lo, hi) {
			return false
		}
		g.write = e
		g.reads = g.reads[:0]
		return true
	}
	j := i
	for ; j < len(s.segs) && s.segs[j].lo < hi; j++ {
		g := &s.segs[j]
		if !check(g, max(g.lo, lo), min(g.hi, hi)) {
			return false
		}
	}
	if i < j {
		i2 := s.cut(i, lo)
		j += i2 - i
		i = i2
		if last := &s.segs[j-1]; last.hi > hi {
			s.cut(j-1, hi)
		}
	}
	// segs i to j-1 become one.
	for k := i; k < j; k++ {
		s.drop(&s.segs[k])
	}
	switch {
	case i == j:
		s.insert(i, 1)
	case j-i > 1:
		copy(s.segs[i+1:], s.segs[j:])
		s.segs = s.segs[:len(s.segs)-(j-i-1)]
	}
	s.segs[i] = seg{lo: lo, hi: hi, write: e}
	return true
}
