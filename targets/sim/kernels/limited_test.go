package kernels

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

var fp8Unit = Limited{Group: 32, FracBits: 13, AccBits: 13, MinExpA: -6, MinExpB: -6}

// slowLimited is the description of Limited, word for word in rationals.
func slowLimited(c float32, x, y []float32, l Limited) float32 {
	exponent := func(v float32, minExp int) int {
		if minExp == 0 {
			minExp = -126
		}
		return max(minExp, math.Ilogb(float64(v)))
	}
	power := func(e int) *big.Rat {
		r := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(max(e, -e))))
		if e < 0 {
			r.Inv(r)
		}
		return r
	}
	round := func(v *big.Rat, unit int, how Rounding) *big.Rat {
		q := new(big.Rat).Quo(v, power(unit))
		i := new(big.Int)
		switch how {
		case TowardZero:
			i.Quo(q.Num(), q.Denom())
		case Downward:
			i.Div(q.Num(), q.Denom()) // Euclidean: down for a positive divisor
		case NearestEven:
			above := new(big.Rat).Add(q, big.NewRat(1, 2))
			i.Div(above.Num(), above.Denom())
			if above.IsInt() && i.Bit(0) == 1 {
				i.Sub(i, big.NewInt(1))
			}
		}
		return q.Mul(new(big.Rat).SetInt(i), power(unit))
	}
	exponentOf := func(v *big.Rat) int {
		return new(big.Float).SetPrec(500).SetRat(v).MantExp(nil) - 1
	}
	for p := 0; p < len(x); p += l.Group {
		end := min(p+l.Group, len(x))
		e, some := math.MinInt, false
		for i := p; i < end; i++ {
			if x[i] != 0 && y[i] != 0 {
				e, some = max(e, exponent(x[i], l.MinExpA)+exponent(y[i], l.MinExpB)), true
			}
		}
		if c != 0 && (!l.Separate || !some) {
			e = max(e, exponent(c, 0))
		}
		sum := new(big.Rat)
		for i := p; i < end; i++ {
			t := new(big.Rat).SetFloat64(float64(x[i]) * float64(y[i]))
			if t.Sign() != 0 {
				sum.Add(sum, round(t, e-l.FracBits, l.Align))
			}
		}
		acc := new(big.Rat).SetFloat64(float64(c))
		switch {
		case acc.Sign() == 0:
		case l.Separate && sum.Sign() == 0:
			sum = acc
		case l.Separate:
			e = max(exponentOf(sum), exponent(c, 0))
			sum = round(sum, e-l.FracBits, l.Align)
			sum.Add(sum, round(acc, e-l.FracBits, l.Align))
		default:
			sum.Add(sum, round(acc, e-l.FracBits, l.Align))
		}
		c = 0
		if sum.Sign() != 0 {
			f, _ := round(sum, max(exponentOf(sum), -126)-l.AccBits, l.Result).Float32()
			c = f
		}
	}
	return c
}

func TestLimitedByHand(t *testing.T) {
	one := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = 1
		}
		return x
	}
	down, nearest, separate := fp8Unit, fp8Unit, fp8Unit
	down.Align, down.Result = Downward, Downward
	nearest.Result = NearestEven
	separate.Separate = true
	for _, c := range []struct {
		what       string
		c          float32
		x, y       []float32
		l          Limited
		want       float32
		accumulate bool
	}{
		{"a term of the last bit", 0, []float32{1, 0x1p-6}, []float32{1, 0x1p-7}, fp8Unit, 1 + 0x1p-13, false},
		{"a term below it", 0, []float32{1, 0x1p-6, 0x1p-6}, []float32{1, 0x1p-8, 0x1p-8}, fp8Unit, 1, false},
		{"a negative one, toward zero", 0, []float32{1, -0x1p-6}, []float32{1, 0x1p-8}, fp8Unit, 1, false},
		// 1 - 2^-13 has exponent -1: 2^-13 is not its last bit, 14 fraction bits are kept.
		{"a negative one, downward", 0, []float32{1, -0x1p-6}, []float32{1, 0x1p-8}, down, 1 - 0x1p-13, false},
		// The product 1.5·1.5 = 2.25 counts with exponent 0: 2^-13 stays.
		{"a product above two", 0, []float32{1.5, 0x1p-6}, []float32{1.5, 0x1p-7}, fp8Unit, 2.25, false},
		{"its sum, rounded", 0, []float32{1.5, 0x1p-6, 0x1p-6}, []float32{1.5, 0x1p-7, 0x1p-7}, fp8Unit, 2.25 + 0x1p-12, false},
		// A subnormal's exponent is the format's: 2^-9 counts as 2^-6, so 2^-13 below it is cut.
		{"subnormal operands", 0, []float32{0x1p-9, 0x1p-9}, []float32{1, 0x1p-9}, fp8Unit, 0x1p-9 + 0x1p-18, false},
		{"the accumulator aligns the products", 1 << 20, one(32), one(32), fp8Unit, 1 << 20, true},
		{"products just large enough", 1 << 13, one(32), one(32), fp8Unit, 1<<13 + 32, true},
		{"summed before the accumulator", 1 << 14, one(32), one(32), separate, 1<<14 + 32, true},
		{"not summed before it", 1 << 14, one(32), one(32), fp8Unit, 1 << 14, true},
		{"the accumulator is cut", 1 + 0x1p-20, []float32{0}, []float32{1}, fp8Unit, 1, true},
		{"the accumulator is ignored", 7, []float32{1}, []float32{1}, fp8Unit, 1, false},
		{"zeros", float32(math.Copysign(0, -1)), []float32{0, 0}, []float32{-1, 1}, fp8Unit, 0, true},
		{"a tie to even", 0, []float32{1.5, 0x1p-6}, []float32{1.5, 0x1p-7}, nearest, 2.25, false},
		{"overflow", math.MaxFloat32, []float32{math.MaxFloat32}, []float32{1}, Limited{Group: 8, FracBits: 24, AccBits: 23}, float32(math.Inf(1)), true},
		{"an infinity", 1, []float32{float32(math.Inf(-1)), 3}, []float32{1, 1}, fp8Unit, float32(math.Inf(-1)), true},
		{"infinity times zero", 1, []float32{float32(math.Inf(1)), 3}, []float32{0, 1}, fp8Unit, nan, true},
		{"infinities of both signs", float32(math.Inf(1)), []float32{float32(math.Inf(-1)), 3}, []float32{1, 1}, fp8Unit, nan, true},
		{"a NaN", 1, []float32{nan}, []float32{1}, fp8Unit, nan, true},
		{"subnormal results", 0, []float32{0x1p-100, 0x1p-100}, []float32{0x1p-40, 0x1p-48}, Limited{Group: 2, FracBits: 24, AccBits: 23}, 0x1p-140 + 0x1p-148, false},
	} {
		got := []float32{c.c}
		GemmLimited(got, 1, c.x, len(c.x), c.y, 1, 1, 1, len(c.x), c.accumulate, c.l)
		if math.Float32bits(got[0]) != math.Float32bits(c.want) {
			t.Errorf("%s: %g (%x), want %g (%x)", c.what, got[0], got[0], c.want, c.want)
		}
	}
}

func TestGemmLimited(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	fp8 := func() float32 {
		// f8e4m3fn: four significant bits, subnormals below 2^-6.
		e := max(-6, r.IntN(15)-8)
		return float32(math.Ldexp(float64(r.IntN(31)-15), e-3))
	}
	units := []Limited{
		fp8Unit,
		{Group: 16, FracBits: 25, AccBits: 23},
		{Group: 7, FracBits: 10, AccBits: 9, Align: Downward, Result: NearestEven, MinExpA: -14, MinExpB: -6},
		{Group: 4, FracBits: 14, AccBits: 13, Separate: true, MinExpA: -6, MinExpB: -6},
		{Group: 8, FracBits: 24, AccBits: 23, Align: Downward, Result: Downward, Separate: true},
		{Group: 1, FracBits: 40, AccBits: 23, Result: NearestEven},
	}
	for _, l := range units {
		for _, s := range [][3]int{{1, 1, 1}, {3, 5, 40}, {2, 3, 70}, {2, 2, 0}} {
			m, n, k := s[0], s[1], s[2]
			lda, ldb, ldc := k+1, n+2, n+1
			a, b, c := make([]float32, m*lda), make([]float32, k*ldb), random(r, m*ldc, ordinary)
			for i := range a {
				a[i] = fp8()
			}
			for i := range b {
				b[i] = fp8()
			}
			for _, acc := range []bool{false, true} {
				want := append([]float32(nil), c...)
				for i := range m {
					for j := range n {
						y := make([]float32, k)
						for p := range y {
							y[p] = b[p*ldb+j]
						}
						start := want[i*ldc+j]
						if !acc {
							start = 0
						}
						want[i*ldc+j] = slowLimited(start, a[i*lda:][:k], y, l)
					}
				}
				got := append([]float32(nil), c...)
				GemmLimited(got, ldc, a, lda, b, ldb, m, n, k, acc, l)
				sameBits(t, fmt.Sprintf("%v %+v", s, l), got, want)
			}
		}
	}
}

func TestGemmLimitedChecks(t *testing.T) {
	x := make([]float32, 8)
	for _, l := range []Limited{{}, {Group: 1, FracBits: 41, AccBits: 1}, {Group: 1, FracBits: 1, AccBits: 24}, {Group: 1, FracBits: 1, AccBits: 1, Align: NearestEven}, {Group: 1, FracBits: 1, AccBits: 1, MinExpB: 128}} {
		mustPanic(t, fmt.Sprint(l), func() { GemmLimited(x, 2, x, 2, x, 2, 2, 2, 2, false, l) })
	}
	mustPanic(t, "B", func() { GemmLimited(x, 2, x, 2, x[:3], 2, 2, 2, 2, false, fp8Unit) })
}
