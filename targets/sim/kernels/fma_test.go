package kernels

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is x*y+z of finite operands in exact arithmetic, rounded once.
func exactFMA(x, y, z float32) float32 {
	p := new(big.Float).SetPrec(2000).SetFloat64(float64(x))
	p.Mul(p, big.NewFloat(float64(y)))
	zero := p.Sign() == 0 && z == 0
	p.Add(p, big.NewFloat(float64(z)))
	if zero || p.Sign() == 0 {
		// big.Float's zero sums have signs of their own.
		return float32(float64(x)*float64(y) + float64(z))
	}
	f, _ := p.Float32()
	return f
}

func TestFMA(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(x, y, z float32) {
		t.Helper()
		for _, v := range []float32{x, y, z} {
			if v-v != 0 {
				return
			}
		}
		got, want := fma(x, y, z), exactFMA(x, y, z)
		if math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("fma(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	}
	for range 100000 {
		x, y := randomElement(r, awkward), randomElement(r, awkward)
		check(x, y, randomElement(r, awkward))
		// Near cancellation, and a hair beside a tie of the sum.
		check(x, y, -x*y)
		check(x, y, math.Float32frombits(math.Float32bits(-x*y)+uint32(r.IntN(3))))
		check(float32(1+r.IntN(4096)), float32(1+r.IntN(4096)), float32(math.Ldexp(1, 24+r.IntN(8))))
		check(x, y, math.Float32frombits(r.Uint32()))
		check(math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()), math.Float32frombits(r.Uint32()))
	}
	// A subnormal result: x*y is a hair beside half its last place, too little for
	// float64 to see next to z.
	for _, a := range []float32{0x1p-20, -0x1p-20, 0x1p-22, 0} {
		for z := uint32(1 << 20); z < 1<<20+4; z++ {
			for _, sign := range []float32{1, -1} {
				x, y := (1+a)*0x1p-75, (1-abs(a))*0x1p-75
				check(sign*x, y, math.Float32frombits(z))
				check(x, y, sign*math.Float32frombits(z))
				check(x, (1+abs(a))*0x1p-75, sign*math.Float32frombits(z))
			}
		}
	}
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, y, z, want float32 }{
		{inf, 1, 1, inf}, {-inf, 1, 1, -inf}, {1, 1, -inf, -inf}, {math.MaxFloat32, 2, -inf, -inf},
		{math.MaxFloat32, 2, 0, inf}, {math.MaxFloat32, 2, -math.MaxFloat32, math.MaxFloat32},
	} {
		if got := fma(c.x, c.y, c.z); got != c.want {
			t.Errorf("fma(%g, %g, %g) = %g, want %g", c.x, c.y, c.z, got, c.want)
		}
	}
	for _, c := range [][3]float32{{inf, 0, 1}, {inf, 1, -inf}, {nan, 1, 1}, {1, nan, 1}, {1, 1, nan}} {
		if got := fma(c[0], c[1], c[2]); got == got {
			t.Errorf("fma(%g, %g, %g) = %g, want NaN", c[0], c[1], c[2], got)
		}
	}
}
