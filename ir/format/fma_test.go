package format

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// fmaExact is a*b+c by exact arithmetic and one rounding, for finite arguments.
func fmaExact(a, b, c float32) float32 {
	big64 := func(x float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(x)) }
	s := new(big.Float).SetPrec(2000).Mul(big64(a), big64(b))
	s.Add(s, big64(c))
	if s.Sign() == 0 {
		// IEEE 754, 6.3: the sign of a sum of two zeros.
		p := math.Copysign(0, 1)
		if math.Signbit(float64(a)) != math.Signbit(float64(b)) {
			p = math.Copysign(0, -1)
		}
		if a != 0 && b != 0 {
			return 0 // cancelled
		}
		return float32(p + float64(c))
	}
	v, _ := s.Float32()
	return v
}

func TestFMA32(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	f := math.Float32frombits
	special := []float32{0, f(1 << 31), 1, -1, math.MaxFloat32, -math.MaxFloat32, f(1), f(1<<31 | 1), f(0x007FFFFF), f(0x00800000),
		f(0x3F7FFFFF), f(0x3F800001), 3, 0.1, f(0x7F7FFFFE), f(0x33800000), f(0x4B800001)}
	check := func(a, b, c float32) {
		t.Helper()
		got, want := FMA32(a, b, c), fmaExact(a, b, c)
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("FMA32(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
	for _, a := range special {
		for _, b := range special {
			for _, c := range special {
				check(a, b, c)
			}
		}
	}
	random := func() float32 {
		switch rng.IntN(4) {
		case 0: // few bits: ties are frequent
			return float32(math.Ldexp(float64(rng.IntN(64)-32), rng.IntN(60)-30))
		case 1: // near one
			return f(0x3F800000 + uint32(rng.IntN(1<<24)) - 1<<23)
		case 2: // anything finite
			for {
				if v := f(rng.Uint32()); v-v == 0 {
					return v
				}
			}
		}
		return float32(math.Ldexp(rng.Float64(), rng.IntN(80)-140)) // subnormal and near
	}
	for range 200000 {
		check(random(), random(), random())
	}
	// c beside the middle of what a*b needs: the case that two roundings miss.
	for range 100000 {
		a, b := random(), random()
		p := float64(a) * float64(b)
		c := float32(-p) * (1 + float32(rng.IntN(3)-1)*f(0x34000000))
		if c-c == 0 {
			check(a, b, c)
		}
		tie := math.Float32frombits(math.Float32bits(float32(math.Ldexp(p, 24+rng.IntN(30)))))
		if tie-tie == 0 {
			check(a, b, tie)
		}
	}
	// 1 + 2^-24 + a little: rounding to float64 and then to float32 gives 1.
	check(f(0x3F800001), f(0x33800000), 1)
	check(f(0x33800000), f(0x3F800001), 1)
	// The same among subnormals, whose middles have fewer bits: just under a middle
	// whose even neighbour is the upper one.
	ldexp := func(m float64, e int) float32 { return float32(math.Ldexp(m, e)) }
	check(ldexp(1+0x1p-23, -75), ldexp(1-0x1p-23, -75), ldexp(1, -127)+ldexp(1, -149))
	check(-ldexp(1+0x1p-23, -75), ldexp(1-0x1p-23, -75), -ldexp(1, -127)-ldexp(1, -149))
	inf := float32(math.Inf(1))
	for _, c := range []struct{ a, b, c, want float32 }{
		{inf, 1, 0, inf}, {inf, -1, 1, -inf}, {1, 1, -inf, -inf}, {math.MaxFloat32, 2, 0, inf},
	} {
		if got := FMA32(c.a, c.b, c.c); got != c.want {
			t.Errorf("FMA32(%v, %v, %v) = %v, want %v", c.a, c.b, c.c, got, c.want)
		}
	}
	nan := float32(math.NaN())
	for _, c := range [][3]float32{{nan, 1, 1}, {1, nan, 1}, {1, 1, nan}, {inf, 0, 1}, {inf, 1, -inf}, {f(0xFFC12345), 1, 2}} {
		if got := math.Float32bits(FMA32(c[0], c[1], c[2])); got != 0x7FC00000 {
			t.Errorf("FMA32(%v) = %#x, want the canonical NaN", c, got)
		}
	}
}
