package guard

import "sync/atomic"

// bitmap says of each byte of a buffer whether it was written. Cores that run side by side may mark at once.
type bitmap struct {
	bits []uint64
	size int64
}

func newBitmap(size int64) *bitmap { return &bitmap{make([]uint64, (size+63)/64), size} }

func (b *bitmap) clear() { clear(b.bits) }

// set marks the bytes lo to hi.
func (b *bitmap) set(lo, hi int64) {
	i, j := lo>>6, (hi-1)>>6
	first, last := ^uint64(0)<<(lo&63), ^uint64(0)>>(63-(hi-1)&63)
	if i == j {
		b.or(i, first&last)
		return
	}
	b.or(i, first)
	for k := i + 1; k < j; k++ {
		if atomic.LoadUint64(&b.bits[k]) != ^uint64(0) {
			atomic.StoreUint64(&b.bits[k], ^uint64(0))
		}
	}
	b.or(j, last)
}

func (b *bitmap) or(i int64, m uint64) {
	if atomic.LoadUint64(&b.bits[i])&m != m {
		atomic.OrUint64(&b.bits[i], m)
	}
}

// firstZero is the first byte of lo to hi that is not marked, hi when all are.
func (b *bitmap) firstZero(lo, hi int64) int64 {
	for at := lo; at < hi; {
		w := ^atomic.LoadUint64(&b.bits[at>>6]) >> (at & 63)
		if w != 0 {
			for w&1 == 0 {
				w >>= 1
				at++
			}
			return min(at, hi)
		}
		at = at&^63 + 64
	}
	return hi
}
