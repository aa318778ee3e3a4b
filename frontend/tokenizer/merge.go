package tokenizer

import "math/bits"

// mergeTable maps a pair of ids to the rank of its merge and to the id that it makes. It is a hash table with open
// addressing: encoding spends most of its time here.
type mergeTable struct {
	keys   []uint64 // pair + 1; 0 is free
	values []merge
	shift  int
}

// merge is what becomes of a pair; a lower rank goes first.
type merge struct {
	rank uint32
	id   int32
}

// noMerge is the rank of a pair that does not merge.
const noMerge = 1<<32 - 1

func newMergeTable(n int) *mergeTable {
	size := 1 << bits.Len(uint(n+n/2))
	return &mergeTable{keys: make([]uint64, size), values: make([]merge, size), shift: 64 - bits.Len(uint(size-1))}
}

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// slot returns where the key is or belongs.
func (t *mergeTable) slot(key uint64) int {
	mask := len(t.keys) - 1
	// Fibonacci hashing; the shift is 64 for a table of one, where only slot 0 exists.
	i := int(key * 0x9E3779B97F4A7C15 >> t.shift)
	for t.keys[i] != 0 && t.keys[i] != key+1 {
		i = (i + 1) & mask
	}
	return i
}

// put adds a pair; a pair that is there already is replaced.
func (t *mergeTable) put(a, b int32, m merge) {
	i := t.slot(pairKey(a, b))
	t.keys[i], t.values[i] = pairKey(a, b)+1, m
}

// get returns the merge of a pair, with rank noMerge when there is none.
func (t *mergeTable) get(a, b int32) merge {
	i := t.slot(pairKey(a, b))
	if t.keys[i] == 0 {
		return merge{rank: noMerge}
	}
	return t.values[i]
}

// shortWord is the length up to which the pair to merge next is found by looking at all of them.
const shortWord = 32

// merger applies merges to one word after the other, keeping its memory.
type merger struct {
	merges []merge // short words: of each symbol with the next
	heap   []candidate
	next   []int32 // long words: the symbols as a list
	prev   []int32
}

// candidate is a pair that may be merged: the symbol at pos with the one after it.
type candidate struct {
	merge
	pos int32
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.pos < d.pos
}

// apply merges ids in place, the lowest rank first and the leftmost of equal ones, until no pair merges, and returns
// what is left. Time: n log n for n ids.
func (m *merger) apply(t *mergeTable, ids []int32) []int32 {
	if len(ids) < 2 || len(t.keys) == 0 {
		return ids
	}
	if len(ids) <= shortWord {
		return m.short(t, ids)
	}
	return m.long(t, ids)
}

func (m *merger) short(t *mergeTable, ids []int32) []int32 {
	ms := m.merges[:0]
	for i := range len(ids) - 1 {
		ms = append(ms, t.get(ids[i], ids[i+1]))
	}
	m.merges = ms
	for len(ms) > 0 {
		best := 0
		for i := 1; i < len(ms); i++ {
			if ms[i].rank < ms[best].rank {
				best = i
			}
		}
		if ms[best].rank == noMerge {
			break
		}
		ids[best] = ms[best].id
		ids = append(ids[:best+1], ids[best+2:]...)
		ms = append(ms[:best], ms[best+1:]...)
		if best < len(ms) {
			ms[best] = t.get(ids[best], ids[best+1])
		}
		if best > 0 {
			ms[best-1] = t.get(ids[best-1], ids[best])
		}
	}
	return ids
}

func (m *merger) long(t *mergeTable, ids []int32) []int32 {
	n := int32(len(ids))
	m.next, m.prev, m.heap = m.next[:0], m.prev[:0], m.heap[:0]
	for i := range n {
		m.next, m.prev = append(m.next, i+1), append(m.prev, i-1)
		if i+1 < n {
			if g := t.get(ids[i], ids[i+1]); g.rank != noMerge {
				m.heap = append(m.heap, candidate{g, i})
			}
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	const gone = -1 // an id that was merged into the one before it
	for len(m.heap) > 0 {
		c := m.heap[0]
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
		m.sink(0)
		// The pair may have been merged or changed since: then the candidate is stale.
		right := m.next[c.pos]
		if ids[c.pos] == gone || right >= n || t.get(ids[c.pos], ids[right]) != c.merge {
			continue
		}
		ids[c.pos], ids[right] = c.id, gone
		after := m.next[right]
		m.next[c.pos] = after
		if after < n {
			m.prev[after] = c.pos
			if g := t.get(ids[c.pos], ids[after]); g.rank != noMerge {
				m.push(candidate{g, c.pos})
			}
		}
		if before := m.prev[c.pos]; before >= 0 {
			if g := t.get(ids[before], ids[c.pos]); g.rank != noMerge {
				m.push(candidate{g, before})
			}
		}
	}
	out := ids[:0]
	for i := int32(0); i < n; i = m.next[i] {
		out = append(out, ids[i])
	}
	return out
}

func (m *merger) push(c candidate) {
	m.heap = append(m.heap, c)
	for i := len(m.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !m.heap[i].before(m.heap[up]) {
			return
		}
		m.heap[i], m.heap[up] = m.heap[up], m.heap[i]
		i = up
	}
}

func (m *merger) sink(i int) {
	for {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < len(m.heap); k++ {
			if m.heap[k].before(m.heap[least]) {
				least = k
			}
		}
		if least == i {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}
