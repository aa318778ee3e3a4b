package exec

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"apogee/ir/format"
	"apogee/targets/sim/kernels"
)

// panel is the width of the panels that package kernels packs right operands in.
const panel = 32

// operandRef is a matrix in bytes that stay as they are while it is used: element (i, j) is at off + i·s0 + j·s1.
type operandRef struct {
	buf    []byte
	buffer int // number in the plan, for an origin; -1 for a core's memory
	off    int64
	s0, s1 int64
	fmt    format.Format
	fixed  bool
	stable bool
}

// packKey names a right operand of k steps and n columns.
type packKey struct {
	base   uintptr // of the buffer's bytes
	off    int64
	s0, s1 int64
	k, n   int64
	fmt    format.Format
}

// pack is a constant right operand in panels, each packed when it is first needed.
type pack struct {
	ref  operandRef
	k, n int64
	data []float32
	done []uint32 // by panel
	fits []uint32 // by panel: 1 if it fits vectors of a limited accumulator, 2 if not, 0 if nobody asked
	mu   sync.Mutex
}

// packs are the packed operands of a device. They live as long as it does.
type packs struct {
	mu    sync.Mutex
	all   map[packKey]*pack
	ints  map[packKey]*kernels.Int8B
	bytes int64
	limit int64
}

// get finds or makes an operand's panels; nil when there is no room for it.
func (p *packs) get(key packKey, ref operandRef) *pack {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x, ok := p.all[key]; ok {
		return x
	}
	size := 4 * key.k * ((key.n + panel - 1) / panel * panel)
	var x *pack
	if p.bytes+size <= p.limit {
		p.bytes += size
		x = &pack{ref: ref, k: key.k, n: key.n, data: make([]float32, size/4), done: make([]uint32, (key.n+panel-1)/panel), fits: make([]uint32, (key.n+panel-1)/panel)}
	}
	p.all[key] = x
	return x
}

// columns returns the panels from column j on, packing what is not packed yet of n columns.
func (x *pack) columns(c *core, j, n int64) []float32 {
	for p := j / panel; p*panel < j+n; p++ {
		if atomic.LoadUint32(&x.done[p]) != 0 {
			continue
		}
		x.mu.Lock()
		if x.done[p] == 0 {
			ref := x.ref
			ref.off += p * panel * ref.s1
			c.packB(x.data[p*panel*x.k:][:panel*x.k], ref, x.k, min(panel, x.n-p*panel))
			atomic.StoreUint32(&x.done[p], 1)
		}
		x.mu.Unlock()
	}
	return x.data[j*x.k:]
}

// narrow reports whether n columns from j on, which are packed, fit a limited accumulator's vectors; the operand's format says all of the unit
// that matters.
func (x *pack) narrow(l *kernels.Limited, j, n int64) bool {
	for p := j / panel; p*panel < j+n; p++ {
		f := atomic.LoadUint32(&x.fits[p])
		if f == 0 {
			f = 2
			if l.Fits(x.data[p*panel*x.k:][:panel*x.k]) {
				f = 1
			}
			atomic.StoreUint32(&x.fits[p], f)
		}
		if f == 2 {
			return false
		}
	}
	return true
}

// packed finds the panels of a constant right operand of k steps and n columns: those of the whole matrix that it is a part of, by
// the buffer's shape, or else its own. The product's steps begin at step p of whole.
func (c *core) packed(b operandRef, k, n int64) (pb []float32, whole, p int64, ok bool) {
	x, j, p := c.packOf(b, k, n)
	if x == nil {
		return nil, k, 0, false
	}
	return x.columns(c, j, n), x.k, p, true
}

// recentPacks is how many operands a core finds again without a map; a power of two.
const recentPacks = 16

// recentPack is one of them.
type recentPack struct {
	key packKey
	x   *pack
}

// packOf finds the packed matrix that a constant right operand is a part of, nil if there is no room for it, and the part's first column and step.
func (c *core) packOf(b operandRef, k, n int64) (x *pack, j, p int64) {
	key, ref, j, p := c.matrixOf(b, k, n)
	at := &c.recent[(key.base>>8^uintptr(key.off)>>6)%recentPacks]
	if at.x != nil && at.key == key {
		return at.x, j, p
	}
	x, ok := c.packs[key]
	if !ok {
		x = c.dev.packs.get(key, ref)
		c.packs[key] = x
	}
	*at = recentPack{key, x}
	return x, j, p
}

// matrixOf finds the matrix of a buffer that an operand is a part of, and the part's first column and step.
func (c *core) matrixOf(b operandRef, k, n int64) (key packKey, ref operandRef, j, p int64) {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(b.buf)))
	shape := c.plan.Buffers[b.buffer].Shape
	es := int64(b.fmt.Bits() / 8)
	if r := len(shape); r >= 2 && c.plan.Buffers[b.buffer].Format.Bits() == b.fmt.Bits() {
		rows, cols := shape[r-2], shape[r-1]
		pitch := cols * es
		size := rows * pitch
		first := b.off / size * size
		row, col := (b.off-first)/pitch, (b.off-first)%pitch/es
		inner, outer := b.s0, b.s1 // strides along a row and between rows, if W is [N, K]
		nr, nc := n, k
		trans := true
		if (b.s1 == es || n == 1) && (b.s0 == pitch || k == 1) && !((b.s0 == es || k == 1) && (b.s1 == pitch || n == 1)) {
			inner, outer, nr, nc, trans = b.s1, b.s0, k, n, false
		}
		ok := (inner == es || nc == 1) && (outer == pitch || nr == 1) && row+nr <= rows && col+nc <= cols && b.off%es == 0
		j, p = row, col
		if !trans {
			j, p = col, row
		}
		if ok && j%panel == 0 {
			ref = b
			ref.off = first
			key = packKey{base: base, off: first, fmt: b.fmt}
			if trans {
				ref.s0, ref.s1, key.k, key.n = es, pitch, cols, rows
			} else {
				ref.s0, ref.s1, key.k, key.n = pitch, es, rows, cols
			}
			key.s0, key.s1 = ref.s0, ref.s1
			return key, ref, j, p
		}
	}
	return packKey{base, b.off, b.s0, b.s1, k, n, b.fmt}, b, 0, 0
}

// packB packs k × n elements.
func (c *core) packB(dst []float32, b operandRef, k, n int64) {
	if b.fmt == format.F32 && b.off%4 == 0 && b.s0%4 == 0 && b.s1%4 == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(b.buf)))%4 == 0 {
		if b.s0 == 4 && (b.s1 >= 4*k || n == 1) {
			kernels.PackB(dst, f32s(b.buf, b.off, ((n-1)*b.s1)/4+k), int(k), int(n), int(max(b.s1/4, k)), true)
			return
		}
		if b.s1 == 4 && (b.s0 >= 4*n || k == 1) {
			kernels.PackB(dst, f32s(b.buf, b.off, ((k-1)*b.s0)/4+n), int(k), int(n), int(max(b.s0/4, n)), false)
			return
		}
	}
	es := int64(b.fmt.Bits() / 8)
	trans := b.s0 == es || b.s1 != es
	rs, cs, cols := b.s0, b.s1, n
	if trans {
		rs, cs, cols = b.s1, b.s0, k
	}
	c.mb = grow(c.mb, int64(kernels.PackBRowsScratch(int(k), int(n), trans)))
	kernels.PackBRows(dst, int(k), int(n), trans, c.mb, func(i int, out []float32) {
		c.decodeRow(out[:cols], b.fmt, b.buf, b.off+int64(i)*rs, cs)
	})
}

// decodeRow decodes elements a stride apart; tf32 and hf32 are rounded to nearest even, as their engines take f32.
func (c *core) decodeRow(out []float32, f format.Format, buf []byte, at, stride int64) {
	plain := f
	if f == format.TF32 || f == format.HF32 {
		plain = format.F32
	}
	o := operand{fmt: plain, esize: int64(f.Bits() / 8), bits: int64(f.Bits())}
	b := c.f32()
	for k := 0; k < len(out); k += chunk {
		part := out[k:min(k+chunk, len(out))]
		if o.esize == 0 {
			b.decodeBits(part, &o, buf, at, int64(k))
			continue
		}
		b.load(part, &o, buf, at+int64(k)*stride, 0, stride, 1, int64(len(part)), 0)
	}
	if plain != f {
		format.RoundF32(f, out)
	}
}

// leftKey names a left operand of one launch.
type leftKey struct {
	base   uintptr
	off    int64
	s0, s1 int64
	m, k   int64
	fmt    format.Format
}

// leftPack is a left operand, packed once for all cores of a launch.
type leftPack struct {
	data []float32
	mu   sync.Mutex
	done bool
}

// lefts are the left operands packed during a launch, in memory that is used again by the next.
type lefts struct {
	mu    sync.Mutex
	all   map[leftKey]*leftPack
	arena []float32
	used  int
}

// leftLimit bounds the elements that a launch keeps packed.
const leftLimit = 64 << 20

func (l *lefts) reset() {
	clear(l.all)
	l.used = 0
}

// get finds or makes room for one; nil when there is none.
func (l *lefts) get(key leftKey) *leftPack {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x, ok := l.all[key]; ok {
		return x
	}
	n := int(key.m * key.k)
	if l.used+n > len(l.arena) {
		if l.used+n > leftLimit {
			return nil
		}
		// What was handed out keeps the old arena alive until the launch ends.
		l.arena = make([]float32, min(max(2*len(l.arena), n, 1<<16), leftLimit))
		l.used = 0
	}
	x := &leftPack{data: l.arena[l.used:][:n]}
	l.used += n
	l.all[key] = x
	return x
}

// packedLeft returns a stable left operand packed, shared by the cores of the launch; nil when there is no room.
func (c *core) packedLeft(a operandRef, m, k int64) []float32 {
	key := leftKey{uintptr(unsafe.Pointer(unsafe.SliceData(a.buf))), a.off, a.s0, a.s1, m, k, a.fmt}
	x := c.dev.lefts.get(key)
	if x == nil {
		return nil
	}
	x.mu.Lock()
	if !x.done {
		c.packA(x.data, a, m, k)
		x.done = true
	}
	x.mu.Unlock()
	return x.data
}

// packA packs m × k elements.
func (c *core) packA(dst []float32, a operandRef, m, k int64) {
	if x, lda, trans := a.inPlace(m, k); x != nil {
		kernels.PackA(dst, x, int(m), int(k), lda, trans)
		return
	}
	const rows = 12 // as many as a panel of kernels has
	c.ma = grow(c.ma, rows*k)
	for i := int64(0); i < m; i += rows {
		h := min(rows, m-i)
		for r := range h {
			c.decodeRow(c.ma[r*k:][:k], a.fmt, a.buf, a.off+(i+r)*a.s0, a.s1)
		}
		kernels.PackA(dst[i*k:], c.ma, int(h), int(k), int(k), false)
	}
}

// inPlace sees a matrix of r × q float32 where it lies; nil when it is something else. trans says that it is the transpose that lies
// there.
func (a *operandRef) inPlace(r, q int64) (x []float32, ld int, trans bool) {
	if a.fmt != format.F32 || a.s0%4 != 0 || a.s1%4 != 0 {
		return nil, 0, false
	}
	switch {
	case (a.s1 == 4 || q == 1) && (a.s0 >= 4*q || r == 1):
		ld := max(a.s0/4, q)
		if r == 1 {
			ld = q
		}
		return f32s(a.buf, a.off, (r-1)*ld+q), int(ld), false
	case (a.s0 == 4 || r == 1) && a.s1 >= 4*r:
		return f32s(a.buf, a.off, (q-1)*a.s1/4+r), int(a.s1 / 4), true
	}
	return nil, 0, false
}
