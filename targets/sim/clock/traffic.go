package clock

import (
	"math"
	"sort"

	"apogee/targets/plan"
)

// What hits the cache is not simulated line by line. From the instruction stream come, for each parameter, the bytes
// that moves read (R), the different ones among them (U), and the different ones that a wave reads, that is as many blocks as there are
// cores (V). With a cache of C bytes:
//
//   - what the launch before left in the cache (least recently used goes first) is a hit;
//   - of the rest, every different byte is missed once, and again
//   - not at all, if U and one wave of the other parameters fit into C;
//   - else once a wave that touches it: blocks that run side by side walk together, and share what they read however long it is.
//
// Where a path feeds several cores with one read, the cache gives what a wave reads alike that many times less often.
//
// Without a cache all R come from memory. Written bytes go to memory once.

// traffic is how a launch's bytes divide between cache and memory.
type traffic struct {
	missRead, missWrite []float64 // by parameter: the part of its bytes that memory serves
	alike               []float64 // by parameter: how many cores of a wave read the same bytes
	memory, cache       float64   // bytes
}

// divide finds the traffic of a launch of which so many bytes of each parameter are in the cache.
func (w *work) divide(m *machine, resident []int64) *traffic {
	t := &traffic{missRead: make([]float64, len(w.read)), missWrite: make([]float64, len(w.read)), alike: make([]float64, len(w.read))}
	size := 0.0
	if m.cache != nil {
		size = m.cache.Size.Value
	}
	waves := math.Ceil(float64(w.grid) / float64(m.cores))
	total, wave := 0.0, 0.0
	for i := range w.read {
		total += w.read[i].footprint + w.written[i].footprint
		wave += w.read[i].wave + w.written[i].wave
	}
	// The smallest first, as long as they fit beside one wave of the rest.
	order := make([]int, len(w.read))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return w.read[order[a]].footprint < w.read[order[b]].footprint })
	held := wave
	for _, i := range order {
		f := &w.read[i]
		if f.bytes <= 0 {
			continue
		}
		miss := f.bytes
		if m.cache != nil {
			fresh := max(0, f.footprint-float64(resident[i]))
			again := min(f.bytes, max(f.footprint, waves*f.wave)) // once a wave
			switch {
			case total <= size:
				miss = fresh
			case held-f.wave+f.footprint <= size:
				held += f.footprint - f.wave
				miss = fresh
			default: // the blocks of a wave walk side by side: what one reads, the next finds
				miss = max(fresh, again-float64(resident[i]))
			}
		}
		miss = min(miss, f.bytes)
		t.missRead[i] = miss / f.bytes
		if f.wave > 0 {
			t.alike[i] = f.bytes / waves / f.wave
		}
		t.memory += miss
		t.cache += f.bytes
	}
	for i := range w.written {
		f := &w.written[i]
		if f.bytes <= 0 {
			continue
		}
		miss := f.bytes
		if m.cache != nil {
			miss = f.footprint
		}
		t.missWrite[i] = miss / f.bytes
		t.memory += miss
		t.cache += f.bytes
	}
	if m.cache == nil {
		t.cache = 0
	}
	return t
}

// lru follows which parts of buffers the cache holds from launch to launch, the least recently used first.
type lru struct {
	size  int64
	total int64
	list  []held
}

// held is a part of a buffer, of which some bytes are in the cache.
type held struct {
	buffer   int
	from, to int64
	bytes    int64
}

// resident gives how many bytes of a part of a buffer are in the cache.
func (l *lru) resident(buffer int, from, to int64) int64 {
	n := int64(0)
	for i := range l.list {
		h := &l.list[i]
		if h.buffer != buffer {
			continue
		}
		if a, b := max(from, h.from), min(to, h.to); a < b {
			n += int64(float64(h.bytes) * (float64(b-a) / float64(h.to-h.from)))
		}
	}
	return n
}

// touch notes that bytes of a part of a buffer were used.
func (l *lru) touch(buffer int, from, to, bytes int64) {
	bytes = min(bytes, l.size, to-from)
	if bytes <= 0 {
		return
	}
	keep := l.list[:0]
	for _, h := range l.list {
		if h.buffer == buffer && h.from < to && from < h.to {
			// The parts outside stay, with as much of the bytes as they are of it.
			part := func(a, b int64) {
				if a < b {
					n := int64(float64(h.bytes) * (float64(b-a) / float64(h.to-h.from)))
					keep = append(keep, held{buffer, a, b, n})
				}
			}
			if h.from >= from && h.to <= to || len(keep) > 1000 {
				continue
			}
			if h.from < from && h.to > to { // one that would become two: the larger part
				if from-h.from > h.to-to {
					part(h.from, from)
				} else {
					part(to, h.to)
				}
				continue
			}
			part(h.from, min(h.to, from))
			part(max(h.from, to), h.to)
			continue
		}
		keep = append(keep, h)
	}
	l.list = append(keep, held{buffer, from, to, bytes})
	l.total = 0
	for _, h := range l.list {
		l.total += h.bytes
	}
	drop := 0
	for l.total > l.size {
		over := l.total - l.size
		h := &l.list[drop]
		if h.bytes <= over {
			l.total -= h.bytes
			drop++
			continue
		}
		h.bytes -= over
		l.total -= over
	}
	l.list = append(l.list[:0], l.list[drop:]...)
}

// before gives what the cache holds of a step's parameters.
func (l *lru) before(s *plan.Step, w *work) []int64 {
	out := make([]int64, len(s.Args))
	if l.size <= 0 {
		return out
	}
	for i, a := range s.Args {
		if f := &w.read[i]; f.footprint > 0 {
			n := l.resident(a.Buffer, a.Offset, a.Offset+max(w.k.Params[i].Size, 1))
			out[i] = min(n, int64(f.footprint))
		}
	}
	return out
}

// after notes what a step leaves in the cache: what it read, then what it wrote.
func (l *lru) after(s *plan.Step, w *work) {
	if l.size <= 0 {
		return
	}
	for _, flows := range [...][]flow{w.read, w.written} {
		for i, a := range s.Args {
			l.touch(a.Buffer, a.Offset, a.Offset+w.k.Params[i].Size, int64(min(flows[i].footprint, float64(l.size))))
		}
	}
}
