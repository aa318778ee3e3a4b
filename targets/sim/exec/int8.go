package exec

import (
	"unsafe"

	"apogee/ir/format"
	"apogee/targets/sim/kernels"
)

// isInt8 says whether a product is one of 8-bit integers into a result that lies row by row, which package kernels does.
func (in *instr) isInt8() bool {
	d := in.dst
	return in.mma == mmaInt && in.a.fmt == format.I8 && in.b.fmt == format.I8 && d.stride[1] == 4 && d.stride[0]%4 == 0 && d.stride[0] > 0
}

// productInt8 sums 8-bit integers; false when the result does not lie as it must.
func (c *core) productInt8(v *view, a, b operandRef, m, n, k int64, acc bool) bool {
	s0 := v.o.stride[0]
	if m > 1 && s0 < 4*n {
		return false
	}
	ld := s0 / 4
	if m == 1 {
		ld = n
	}
	d := i32s(v.buf, v.off, (m-1)*ld+n)
	if d == nil {
		return false
	}
	var x []int8
	lda := a.s0
	switch {
	case a.s1 == 1 && (a.s0 >= k || m == 1) || k == 1 && a.s0 >= 1:
		if m == 1 {
			lda = k
		}
		x = i8s(a.buf, a.off, (m-1)*lda+k)
	default:
		c.ints = grow(c.ints, m*k)
		for i := range m {
			for p := range k {
				c.ints[i*k+p] = int8(a.buf[a.off+i*a.s0+p*a.s1])
			}
		}
		x, lda = c.ints, k
	}
	kernels.GemmInt8(d, int(ld), x, int(lda), c.packedInt8(b, k, n), int(m), acc)
	return true
}

// packedInt8 packs a right operand, once for a constant one.
func (c *core) packedInt8(b operandRef, k, n int64) *kernels.Int8B {
	if !b.fixed {
		c.packInt8(&c.int8B, b, k, n)
		return &c.int8B
	}
	key := packKey{uintptr(unsafe.Pointer(unsafe.SliceData(b.buf))), b.off, b.s0, b.s1, k, n, b.fmt}
	if x, ok := c.packs8[key]; ok {
		return x
	}
	p := &c.dev.packs
	p.mu.Lock()
	x, ok := p.ints[key]
	if !ok && p.bytes+k*n <= p.limit {
		p.bytes += k * n
		x = new(kernels.Int8B)
		c.packInt8(x, b, k, n)
		p.ints[key] = x
		ok = true
	}
	p.mu.Unlock()
	if !ok {
		c.packInt8(&c.int8B, b, k, n)
		return &c.int8B
	}
	c.packs8[key] = x
	return x
}

func (c *core) packInt8(x *kernels.Int8B, b operandRef, k, n int64) {
	switch {
	case b.s0 == 1 && (b.s1 >= k || n == 1):
		ld := b.s1
		if n == 1 {
			ld = k
		}
		x.Pack(i8s(b.buf, b.off, (n-1)*ld+k), int(k), int(n), int(ld), true)
	case b.s1 == 1 && (b.s0 >= n || k == 1):
		ld := b.s0
		if k == 1 {
			ld = n
		}
		x.Pack(i8s(b.buf, b.off, (k-1)*ld+n), int(k), int(n), int(ld), false)
	default:
		t := make([]int8, k*n)
		for p := range k {
			for j := range n {
				t[p*n+j] = int8(b.buf[b.off+p*b.s0+j*b.s1])
			}
		}
		x.Pack(t, int(k), int(n), int(n), false)
	}
}
