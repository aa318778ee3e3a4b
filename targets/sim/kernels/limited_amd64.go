package kernels

import (
	"math"
	"sync"
	"unsafe"
)

// add looks at more numbers.
func (s *span) add(x []float32) {
	lanes, run := 16, span512
	if active < AVX512 {
		lanes, run = 8, span256
	}
	whole := len(x) / lanes * lanes
	if whole > 0 {
		run(whole, unsafe.SliceData(x), (*[3][16]uint32)(s))
	}
	for _, v := range x[whole:] {
		u := math.Float32bits(v) &^ (1 << 31)
		s[0][0], s[1][0], s[2][0] = max(s[0][0], u), min(s[1][0], u-1), s[2][0]|u
	}
}

// limitedWith is what the assembly needs to know of a unit: the exponent field of the smallest normal number of B's format, 381+FracBits as
// such a field, and the bits of a float32 that the accumulator keeps.
type limitedWith [3]uint32

// Fits reports whether vectors can take numbers, packed or not, as the right operand of the unit.
func (l *Limited) Fits(b []float32) bool {
	if active < AVX2 {
		return false
	}
	s := newSpan()
	s.add(b)
	return s.fits(l.MinExpB)
}

// rowsPool holds rows of A made ready, which a product needs for its time.
var rowsPool = sync.Pool{New: func() any { return new([]float32) }}

// fast computes the product with vectors, if they can do it, and reports whether they did.
func (g *limitedProduct) fast() bool {
	if active < AVX2 || !g.l.narrow() || g.kk == 0 || g.m == 0 || g.n == 0 || !g.fits() {
		return false
	}
	l := g.l
	field := func(minExp int) uint32 {
		if minExp == 0 {
			return 0
		}
		return uint32(127+minExp) << 23
	}
	leastA := field(l.MinExpA)
	with := &limitedWith{field(l.MinExpB), uint32(381+l.FracBits) << 23, ^uint32(0) << (23 - l.AccBits)}
	most := 4
	if active < AVX512 {
		most = 2
	}
	ready := rowsPool.Get().(*[]float32)
	defer rowsPool.Put(ready)
	if need := 2 * min(most, g.m) * g.kk; cap(*ready) < need {
		*ready = make([]float32, need)
	}
	pa := (*ready)[:2*min(most, g.m)*g.kk]
	var c [4][tileN]float32
	for i := 0; i < g.m; i += most {
		rows := min(most, g.m-i)
		for r := range rows {
			for p, v := range g.a[(i+r)*g.lda:][:g.kk] {
				u := math.Float32bits(v)
				e := max(u&0x7f800000, leastA)
				if u<<1 == 0 {
					e = 0
				}
				at := pa[2*rows*p+r:][:rows+1]
				at[0], at[rows] = v, math.Float32frombits(e)
			}
		}
		for j := 0; j < g.n; j += tileN {
			cols := min(tileN, g.n-j)
			for r := range rows {
				if g.acc {
					copy(c[r][:cols], g.c[(i+r)*g.ldc+j:])
				} else {
					clear(c[r][:])
				}
			}
			g.runLimited(rows, cols, pa, g.panel(j), &c, with)
			for r := range rows {
				copy(g.c[(i+r)*g.ldc+j:][:cols], c[r][:])
			}
		}
	}
	return true
}

// fits reports whether the operands and the sums to begin with are such that vectors give the same bits.
func (g *limitedProduct) fits() bool {
	s := newSpan()
	for i := range g.m {
		s.add(g.a[i*g.lda:][:g.kk])
	}
	if !s.fits(g.l.MinExpA) {
		return false
	}
	for j := 0; j < g.n && !g.known; j += tileN {
		if !g.l.Fits(g.panel(j)) {
			return false
		}
	}
	if !g.acc {
		return true
	}
	s = newSpan()
	for i := range g.m {
		s.add(g.c[i*g.ldc:][:g.n])
	}
	return s.small()
}

// runLimited adds the products of up to 4 rows and one panel to c.
func (g *limitedProduct) runLimited(rows, cols int, pa, panel []float32, c *[4][tileN]float32, with *limitedWith) {
	k, group, a, b, out := g.kk, g.l.Group, unsafe.SliceData(pa), unsafe.SliceData(panel), &c[0][0]
	if active >= AVX512 && (cols > 16 || rows > 2) { // narrower vectors waste less on few columns
		switch rows {
		case 1:
			limited512x1(k, group, a, b, out, &with[0])
		case 2:
			limited512x2(k, group, a, b, out, &with[0])
		case 3:
			limited512x3(k, group, a, b, out, &with[0])
		case 4:
			limited512x4(k, group, a, b, out, &with[0])
		}
		return
	}
	for j := 0; j < cols; j += 16 {
		b, out := unsafe.SliceData(panel[j:]), &c[0][j]
		switch rows {
		case 1:
			limited256x1(k, group, a, b, out, &with[0])
		case 2:
			limited256x2(k, group, a, b, out, &with[0])
		}
	}
}
