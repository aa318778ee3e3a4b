package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// codes are formats whose values are drawn: significant bits, the smallest normal and the largest exponent.
var codes = []struct{ bits, low, high int }{{4, -6, 8}, {3, -14, 15}, {11, -14, 15}, {8, -50, 20}, {12, -50, 20}}

// draw gives a value of a format: often a zero, a subnormal, or near one exponent, so that sums cancel.
func draw(r *rand.Rand, f int, near int) float32 {
	c := codes[f]
	e := c.low + r.IntN(c.high-c.low+1)
	switch r.IntN(6) {
	case 0:
		return float32(math.Copysign(0, float64(r.IntN(2))-0.5))
	case 1:
		e = c.low
	case 2, 3:
		e = min(max(near+r.IntN(5)-2, c.low), c.high)
	}
	s := r.IntN(1 << c.bits)
	if e > c.low || c.low == limitedLow {
		s |= 1 << (c.bits - 1)
	}
	x := math.Ldexp(float64(s), e-c.bits+1)
	if r.IntN(2) == 0 {
		x = -x
	}
	return float32(x)
}

// The vector form gives the bits of the one that goes product by product, on every level that has it.
func TestLimitedVectors(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	for _, level := range Levels() {
		if level < AVX2 {
			continue
		}
		t.Run(level.String(), func(t *testing.T) {
			defer SetLevel(level)()
			r := rand.New(rand.NewPCG(31, 32))
			for round := range rounds {
				fa, fb := r.IntN(len(codes)), r.IntN(len(codes))
				minExp := func(f int) int {
					if codes[f].low == limitedLow {
						return []int{0, -126}[r.IntN(2)]
					}
					return codes[f].low
				}
				l := Limited{Group: 1 + r.IntN(40), MinExpA: minExp(fa), MinExpB: minExp(fb)}
				if round%2 == 0 {
					l.Group = 32
				}
				l.FracBits = 1 + r.IntN(16)
				l.AccBits = 1 + r.IntN(23)
				if round%3 == 0 {
					l.FracBits, l.AccBits = 13, 13
				}
				m, n, kk := 1+r.IntN(9), 1+r.IntN(70), 1+r.IntN(150)
				p, after := r.IntN(20), r.IntN(20)
				k := p + kk + after
				lda, ldc := kk+r.IntN(3), n+r.IntN(3)
				a, b, c := make([]float32, m*lda), make([]float32, k*n), make([]float32, m*ldc)
				near := r.IntN(12) - 6
				for i := range a {
					a[i] = draw(r, fa, near)
				}
				for i := range b {
					b[i] = draw(r, fb, near)
				}
				for i := range c {
					switch r.IntN(3) {
					case 0:
						c[i] = float32(math.Ldexp(r.Float64()-0.5, r.IntN(30)-15))
					case 1:
						c[i] = float32(math.Ldexp(r.Float64()+1, r.IntN(198)-100))
					}
				}
				pb := make([]float32, PackedBLen(k, n))
				PackB(pb, b, k, n, n, false)
				g := limitedProduct{c: append([]float32(nil), c...), ldc: ldc, a: a, lda: lda, pb: pb, m: m, n: n, k: k, p: p, kk: kk, acc: round%4 != 0, l: &l}
				want := g
				want.c = append([]float32(nil), c...)
				want.slow()
				if !g.fast() {
					if l.narrow() {
						t.Fatalf("round %d: vectors do not take %+v of %v by %v", round, l, codes[fa], codes[fb])
					}
					continue
				}
				sameBits(t, fmt.Sprintf("round %d: %d x %d x %d %+v", round, m, n, kk, l), g.c, want.c)
			}
		})
	}
}

// What the vector form would get wrong is left to the other.
func TestLimitedVectorsDecline(t *testing.T) {
	for _, level := range Levels() {
		defer SetLevel(level)()
		for name, c := range map[string]struct {
			x, y, c float32
			l       Limited
		}{
			"infinity": {float32(math.Inf(1)), 1, 0, fp8Unit}, "NaN": {1, nan, 0, fp8Unit}, "13 bits": {1 + 0x1p-12, 1, 0, fp8Unit}, "large": {0x1p21, 1, 0, fp8Unit},
			"tiny": {1, 0x1p-51, 0, Limited{Group: 32, FracBits: 13, AccBits: 13}}, "below the format": {0x1p-19, 1, 0, fp8Unit}, "large sum": {1, 1, 0x1p100, fp8Unit},
			"infinite sum": {1, 1, float32(math.Inf(-1)), fp8Unit}, "tiny sum": {1, 1, 0x1p-101, fp8Unit}, "wide": {1, 1, 0, Limited{Group: 16, FracBits: 25, AccBits: 23}},
			"downward": {1, 1, 0, Limited{Group: 16, FracBits: 13, AccBits: 13, Align: Downward}},
		} {
			pb := make([]float32, tileN)
			pb[0] = c.y
			g := limitedProduct{c: []float32{c.c}, ldc: 1, a: []float32{c.x}, lda: 1, pb: pb, m: 1, n: 1, k: 1, kk: 1, acc: true, l: &c.l}
			if g.fast() {
				t.Errorf("%s: %s is taken", level, name)
			}
		}
	}
}

func BenchmarkLimitedLevels(b *testing.B) {
	for _, s := range [][3]int{{64, 128, 128}, {1, 128, 128}, {128, 512, 2048}} {
		m, n, k := s[0], s[1], s[2]
		r := rand.New(rand.NewPCG(33, 34))
		x, y, c := make([]float32, m*k), make([]float32, PackedBLen(k, n)), make([]float32, m*n)
		for i := range x {
			x[i] = draw(r, 0, 0)
		}
		for i := range y {
			y[i] = draw(r, 0, 0)
		}
		for _, level := range Levels() {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, level), func(b *testing.B) {
				defer SetLevel(level)()
				start := time.Now()
				for b.Loop() {
					GemmLimitedPart(c, n, x, k, y, m, n, k, 0, k, true, fp8Unit, false)
				}
				b.ReportMetric(float64(b.N)*2*float64(m*n*k)/time.Since(start).Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
