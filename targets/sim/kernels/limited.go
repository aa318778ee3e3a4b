package kernels

import (
	"fmt"
	"math"
	"math/bits"
)

// Rounding is what becomes of bits that a limited accumulator drops.
type Rounding uint8

const (
	TowardZero  Rounding = iota // the magnitude is cut
	Downward                    // an arithmetic shift: toward -Inf
	NearestEven                 // to the nearest, ties to even
)

// Limited describes a matrix unit that adds many products at once in fixed point
// and keeps its sum in few bits. For each element of C and each Group of steps of k
// it
//
//  1. multiplies exactly;
//  2. takes E, the largest exponent among the products and, unless Separate, the
//     accumulator. A product's exponent is the sum of its operands' exponents, not
//     normalised, a subnormal operand's being that of its format's smallest normal
//     number; a zero has none;
//  3. brings all terms to multiples of 2^(E-FracBits), by Align, and adds them
//     exactly;
//  4. with Separate, brings that sum and the accumulator to the larger exponent of
//     the two in the same way, and adds them;
//  5. rounds to AccBits fraction bits, by Result, for the next group's accumulator
//     and for C. Its exponents are float32's, subnormals included.
//
// Known cases. DeepSeek-V3 (arXiv 2412.19437, sections 3.3.2 and 3.5.2) found that
// FP8 matrix units of its time align 32 products by right shifts, keep the highest
// 14 bits of each and drop the rest, and accumulate in registers of about as many.
// MMA-Sim (arXiv 2511.10909), which reproduces such units bit for bit, gives for
// FP8 into float32: Group 32, FracBits 13, AccBits 13, all toward zero, accumulator
// aligned with the products. For f16 and bf16 inputs of the same units: Group 16,
// FracBits 25, AccBits 23; the generation before, Group 8 and FracBits 24.
//
// An infinity or NaN among the operands gives what IEEE 754 arithmetic would.
type Limited struct {
	Group    int      // products added at once, 1 to 65536
	FracBits int      // fraction bits of an aligned term, 1 to 40
	AccBits  int      // fraction bits of the accumulator, 1 to 23
	Align    Rounding // of terms: TowardZero or Downward
	Result   Rounding // of the accumulator
	Separate bool     // the accumulator is added after the products

	// The exponents of the smallest normal numbers of the operands' formats, such as
	// -6 for f8e4m3fn, -14 for f8e5m2 and f16. 0 means float32's and bf16's -126.
	MinExpA, MinExpB int
}

func (l *Limited) check() {
	if l.Group < 1 || l.Group > 1<<16 || l.FracBits < 1 || l.FracBits > 40 || l.AccBits < 1 || l.AccBits > 23 ||
		l.Align > Downward || l.Result > NearestEven || min(l.MinExpA, l.MinExpB) < -126 || max(l.MinExpA, l.MinExpB) > 127 {
		panic(fmt.Sprintf("kernels: GemmLimited: no such accumulator: %+v", *l))
	}
}

// GemmLimited computes C = A·B, or C += A·B with acc, as the unit l does. The
// operands are row-major, A m × k, B k × n and C m × n. It allocates 4 to 12 bytes
// for each element of A and B.
func GemmLimited(c []float32, ldc int, a []float32, lda int, b []float32, ldb, m, n, k int, acc bool, l Limited) {
	l.check()
	checkMatrix("GemmLimited", "C", len(c), m, n, ldc)
	checkMatrix("GemmLimited", "A", len(a), m, k, lda)
	checkMatrix("GemmLimited", "B", len(b), k, n, ldb)
	pb := make([]float32, PackedBLen(k, n))
	PackB(pb, b, k, n, ldb, false)
	GemmLimitedPart(c, ldc, a, lda, pb, m, n, k, 0, k, acc, l, false)
}

// GemmLimitedPart is [GemmPartUnpackedA] as the unit l does it. Where the operands
// are of few bits and not far from 1, as those of 8-bit and 16-bit formats are, it is
// about as fast as other products; else it goes one product at a time, and
// allocates 8 bytes for each element of A and B. fits says that the part of B is
// known to be such, see [Limited.Fits]; else it is looked at.
func GemmLimitedPart(c []float32, ldc int, a []float32, lda int, pb []float32, m, n, k, p, kk int, acc bool, l Limited, fits bool) {
	l.check()
	checkPart("GemmLimitedPart", c, ldc, pb, m, n, k, p, kk)
	checkMatrix("GemmLimitedPart", "A", len(a), m, kk, lda)
	g := limitedProduct{c: c, ldc: ldc, a: a, lda: lda, pb: pb, m: m, n: n, k: k, p: p, kk: kk, acc: acc, l: &l, known: fits}
	if !g.fast() {
		g.slow()
	}
}

// limitedProduct is steps p to p+kk of k of a product.
type limitedProduct struct {
	c              []float32
	ldc            int
	a              []float32
	lda            int
	pb             []float32
	m, n, k, p, kk int
	acc            bool
	l              *Limited
	known          bool // B fits
}

// panel returns the steps of the panel of B that begins with column j.
func (g *limitedProduct) panel(j int) []float32 { return g.pb[j*g.k+g.p*tileN:][:g.kk*tileN] }

// slow computes one product at a time, in integers.
func (g *limitedProduct) slow() {
	l := g.l
	rows, columns := newTerms(g.m, g.kk), newTerms(g.n, g.kk)
	for i := range g.m {
		for p := range g.kk {
			rows.set(i, p, g.a[i*g.lda+p], l.MinExpA)
		}
	}
	for j := range g.n {
		panel := g.panel(j / tileN * tileN)
		for p := range g.kk {
			columns.set(j, p, panel[p*tileN+j%tileN], l.MinExpB)
		}
	}
	for i := range g.m {
		for j := range g.n {
			sum := float32(0)
			if g.acc {
				sum = g.c[i*g.ldc+j]
			}
			if rows.special[i] || columns.special[j] || sum-sum != 0 {
				g.c[i*g.ldc+j] = specialDot(sum, g.a[i*g.lda:][:g.kk], g.panel(j / tileN * tileN)[min(j%tileN, g.kk*tileN):], tileN)
				continue
			}
			x, y := rows.of(i), columns.of(j)
			for p := 0; p < g.kk; p += l.Group {
				end := min(p+l.Group, g.kk)
				sum = l.dot(sum, x[p:end], y[p:end])
			}
			if g.kk == 0 {
				sum = canonical(sum)
			}
			g.c[i*g.ldc+j] = sum
		}
	}
}

// term is a finite operand: significand·2^(exponent-23), not normalised where the
// operand is subnormal. A zero's exponent is so low that it never is the largest.
type term struct{ significand, exponent int32 }

const noExponent = -1 << 20

func termOf(x float32, minExp int) term {
	if minExp == 0 {
		minExp = -126
	}
	u := math.Float32bits(x)
	s, e := int32(u&(1<<23-1)), int32(u>>23&255)
	if e == 0 {
		e = 1
	} else {
		s |= 1 << 23
	}
	e -= 127
	if s == 0 {
		return term{0, noExponent}
	}
	if below := int32(minExp) - e; below > 0 {
		// Exact for a value of the format: its low bits are zeros.
		s, e = s>>min(below, 31), int32(minExp)
	}
	if u>>31 != 0 {
		s = -s
	}
	return term{s, e}
}

// terms are vectors of k operands.
type terms struct {
	k       int
	data    []term
	special []bool // the vector holds an infinity or a NaN
}

func newTerms(count, k int) terms { return terms{k, make([]term, count*k), make([]bool, count)} }

func (t *terms) of(i int) []term { return t.data[i*t.k:][:t.k] }

func (t *terms) set(i, p int, x float32, minExp int) {
	if x-x != 0 {
		t.special[i] = true
		return
	}
	t.data[i*t.k+p] = termOf(x, minExp)
}

// dot adds one group to the accumulator c.
func (l *Limited) dot(c float32, x, y []term) float32 {
	y = y[:len(x)]
	largest := int32(2 * noExponent)
	for p, t := range x {
		largest = max(largest, t.exponent+y[p].exponent)
	}
	acc := termOf(c, 0)
	if !l.Separate {
		largest = max(largest, acc.exponent)
	}
	if largest <= noExponent/2 {
		return 0 // all are zeros
	}
	// A product of two significands counts units of 2^(exponent-46).
	f := int32(l.FracBits)
	var sum int64
	if l.Align == Downward {
		for p, t := range x {
			sum += int64(t.significand) * int64(y[p].significand) >> uint32(46-f+largest-t.exponent-y[p].exponent)
		}
	} else {
		for p, t := range x {
			v := int64(t.significand) * int64(y[p].significand)
			sign := v >> 63
			// Shifting the magnitude cuts toward zero.
			v = (v ^ sign) - sign
			v >>= uint32(46 - f + largest - t.exponent - y[p].exponent)
			sum += (v ^ sign) - sign
		}
	}
	if l.Separate {
		if sum == 0 {
			return l.round(int64(acc.significand), acc.exponent-23)
		}
		if acc.significand == 0 {
			return l.round(sum, largest-f)
		}
		e := largest - f + int32(bits.Len64(magnitude(sum))) - 1
		unit := max(e, acc.exponent) - f
		sum = l.align(sum, largest-f, unit) + l.align(int64(acc.significand), acc.exponent-23, unit)
		return l.round(sum, unit)
	}
	return l.round(sum+l.align(int64(acc.significand), acc.exponent-23, largest-f), largest-f)
}

// align brings v·2^from to a multiple of 2^to. What it does not cut fits: the
// value's exponent is at most to+40.
func (l *Limited) align(v int64, from, to int32) int64 {
	switch {
	case v == 0:
		return 0
	case from >= to:
		return v << uint32(from-to)
	case l.Align == Downward || v > 0:
		return v >> uint32(to-from)
	}
	return -(-v >> uint32(to-from))
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return uint64(-v)
	}
	return uint64(v)
}

// round returns v·2^e with AccBits fraction bits.
func (l *Limited) round(v int64, e int32) float32 {
	if v == 0 {
		return 0
	}
	m := magnitude(v)
	exponent := max(e+int32(bits.Len64(m))-1, -126)
	if drop := exponent - int32(l.AccBits) - e; drop > 0 {
		d := uint32(drop)
		rest := m & (1<<d - 1)
		m >>= d
		switch l.Result {
		case Downward:
			if v < 0 && rest != 0 {
				m++
			}
		case NearestEven:
			if half := uint64(1) << (d - 1); rest > half || rest == half && m&1 != 0 {
				m++
			}
		}
		e += drop
	}
	// At most 24 bits are left, so that only the range can still matter.
	r := float32(math.Ldexp(float64(m), int(e)))
	if v < 0 {
		return -r
	}
	return r
}

// specialDot is the sum where an operand is not finite: an infinity or NaN.
func specialDot(sum float32, x, y []float32, ldy int) float32 {
	s := float64(sum)
	for p, v := range x {
		// Finite products cannot overflow float64, and do not matter.
		if t := float64(v) * float64(y[p*ldy]); t-t != 0 {
			s += t
		}
	}
	return canonical(float32(s))
}
