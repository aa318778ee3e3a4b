package kernels

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// transcendental pairs each function with a float64 one whose error, of a unit in
// the last place or so, is nothing against float32's.
var transcendental = []struct {
	op     UnaryOp
	f      func(float32) float32
	double func(float64) float64
	exact  func(*big.Float) *big.Float // to 200 bits, for finite x in its domain
}{
	{Exp, exp, math.Exp, bigExp},
	{Log, log, math.Log, bigLog},
	{Tanh, tanh, math.Tanh, func(x *big.Float) *big.Float {
		e := bigExp(bigOf(2).Mul(bigOf(2), x))
		return bigOf(0).Quo(bigOf(0).Sub(e, bigOf(1)), bigOf(0).Add(e, bigOf(1)))
	}},
	{Sigmoid, sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, func(x *big.Float) *big.Float {
		return bigOf(0).Quo(bigOf(1), bigOf(0).Add(bigOf(1), bigExp(bigOf(0).Neg(x))))
	}},
	{Erf, erf, math.Erf, bigErf},
	{Atan, atan, math.Atan, bigAtan},
	{Sin, sin, math.Sin, func(x *big.Float) *big.Float { return bigSinCos(x, 0) }},
	{Cos, cos, math.Cos, func(x *big.Float) *big.Float { return bigSinCos(x, 1) }},
	{Rsqrt, rsqrt, func(x float64) float64 { return 1 / math.Sqrt(x) }, func(x *big.Float) *big.Float {
		return bigOf(0).Quo(bigOf(1), bigOf(0).Sqrt(x))
	}},
}

// ulps is the distance of got from want in units in got's last place, and 0 for
// an overflow where there should be one.
func ulps(got float32, want float64) float64 {
	if math.Abs(want) >= 0x1.ffffffp127 && math.IsInf(float64(got), 0) && (want > 0) == (got > 0) || float64(got) == want {
		return 0
	}
	e := -126
	if want != 0 {
		e = max(e, math.Ilogb(want))
	}
	return math.Abs(float64(got)-want) / math.Ldexp(1, e-23)
}

// TestTranscendental walks through all of float32 in steps of a prime.
func TestTranscendental(t *testing.T) {
	step := uint64(2003)
	if testing.Short() {
		step = 20011
	}
	for _, c := range transcendental {
		worst, at := 0.0, float32(0)
		for u := uint64(0); u < 1<<32; u += step {
			x := math.Float32frombits(uint32(u))
			got, want := c.f(x), c.double(float64(x))
			if math.IsNaN(want) {
				if math.Float32bits(got) != 0x7fc00000 {
					t.Fatalf("%s(%g) = %g, want the canonical NaN", c.op, x, got)
				}
				continue
			}
			if d := ulps(got, want); !(d <= worst) {
				worst, at = d, x
			}
		}
		if worst > 0.5001 {
			t.Errorf("%s(%g) is off by %.5f ulp", c.op, at, worst)
		}
	}
}

// TestTranscendentalExact holds a few hundred points against exact arithmetic.
func TestTranscendentalExact(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, c := range transcendental {
		for i := range 300 {
			x := float32(math.Ldexp(r.NormFloat64(), r.IntN(24)-16))
			if i%10 == 0 {
				x = math.Float32frombits(r.Uint32() & 0x807fffff)
			}
			switch c.op {
			case Log, Rsqrt:
				x = abs(x)
			case Sin, Cos:
				if i%3 == 0 {
					x = math.Float32frombits(r.Uint32()&0x807fffff | uint32(130+r.IntN(124))<<23)
				}
			case Erf:
				x = min(4, max(-4, x))
			default:
				x = min(87, max(-103, x))
			}
			if x == 0 {
				continue
			}
			want, _ := c.exact(new(big.Float).SetPrec(200).SetFloat64(float64(x))).Float64()
			if got := c.f(x); !(ulps(got, want) <= 0.5001) {
				t.Errorf("%s(%x) = %x, want %x", c.op, x, got, want)
			}
		}
	}
}

func TestTranscendentalSpecial(t *testing.T) {
	inf, zero := float32(math.Inf(1)), float32(0)
	minus := float32(math.Copysign(0, -1))
	tiny := math.Float32frombits(1)
	for _, c := range []struct {
		op      UnaryOp
		x, want float32
	}{
		{Exp, inf, inf}, {Exp, -inf, 0}, {Exp, 0, 1}, {Exp, minus, 1}, {Exp, 89, inf}, {Exp, -104, 0}, {Exp, -103.5, tiny}, {Exp, tiny, 1},
		{Log, 1, 0}, {Log, 0, -inf}, {Log, minus, -inf}, {Log, inf, inf}, {Log, -1, nan}, {Log, -inf, nan}, {Log, tiny, -103.27893},
		{Tanh, inf, 1}, {Tanh, -inf, -1}, {Tanh, minus, minus}, {Tanh, -tiny, -tiny}, {Tanh, 10, 1},
		{Sigmoid, inf, 1}, {Sigmoid, -inf, 0}, {Sigmoid, 0, 0.5}, {Sigmoid, -104, 0},
		{Erf, inf, 1}, {Erf, -inf, -1}, {Erf, minus, minus}, {Erf, tiny, tiny}, {Erf, -4, -1},
		{Atan, inf, math.Pi / 2}, {Atan, -inf, -math.Pi / 2}, {Atan, minus, minus}, {Atan, tiny, tiny}, {Atan, 1, math.Pi / 4},
		{Sin, inf, nan}, {Sin, -inf, nan}, {Sin, minus, minus}, {Sin, tiny, tiny}, {Cos, inf, nan}, {Cos, tiny, 1},
		{Sqrt, -1, nan}, {Sqrt, minus, minus}, {Sqrt, inf, inf}, {Sqrt, 2, math.Sqrt2},
		{Rsqrt, 0, inf}, {Rsqrt, minus, -inf}, {Rsqrt, inf, 0}, {Rsqrt, -1, nan}, {Rsqrt, 4, 0.5},
		{Reciprocal, 0, inf}, {Reciprocal, -inf, minus}, {Reciprocal, 0x1p127, 0x1p-127},
		{Floor, -0.5, -1}, {Ceil, -0.5, minus}, {Round, 2.5, 2}, {Round, 3.5, 4}, {Round, -0.5, minus}, {Floor, inf, inf},
		{Sign, -3, -1}, {Sign, tiny, 1}, {Sign, minus, minus}, {Sign, zero, 0}, {Sign, inf, 1},
	} {
		dst := make([]float32, 1)
		Unary(c.op, dst, []float32{c.x})
		if math.Float32bits(dst[0]) != math.Float32bits(c.want) {
			t.Errorf("%s(%g) = %g, want %g", c.op, c.x, dst[0], c.want)
		}
	}
}

func TestPow(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	check := func(x, y float32) {
		t.Helper()
		got, want := pow(x, y), math.Pow(float64(x), float64(y))
		if math.IsNaN(want) != (got != got) || got == got && !(ulps(got, want) <= 0.5001) || want == 0 && math.Signbit(want) != math.Signbit(float64(got)) {
			t.Fatalf("pow(%g, %g) = %g, want %g", x, y, got, want)
		}
	}
	inf := float32(math.Inf(1))
	edge := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 2, -2, 3, 0.5, -0.5, inf, -inf, nan, 1 << 24, 1<<24 - 1, -(1<<24 - 1), math.MaxFloat32, math.Float32frombits(1), 0.99999994, 1.0000001, -3, 33}
	for _, x := range edge {
		for _, y := range edge {
			check(x, y)
		}
	}
	for range 200000 {
		check(float32(math.Exp(3*r.NormFloat64())), float32(10*r.NormFloat64()))
		check(1+float32(r.NormFloat64())/1024, float32(10000*r.NormFloat64()))
		check(-float32(r.IntN(20)), float32(r.IntN(21)-10))
	}
}

// The rest is the exact reference: series and Newton's method in 200 bits.

func bigOf(x float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(x) }

// series is the sum of terms beginning with 1, each the one before times next(i),
// till they vanish.
func series(next func(i int) *big.Float) *big.Float {
	sum, term := bigOf(1), bigOf(1)
	for i := 1; term.Sign() != 0 && term.MantExp(nil) > -400; i++ {
		term.Mul(term, next(i))
		sum.Add(sum, term)
	}
	return sum
}

func bigExp(x *big.Float) *big.Float {
	// (e^(x/2^16))^(2^16)
	small := bigOf(0).SetMantExp(x, -16)
	y := series(func(i int) *big.Float { return bigOf(0).Quo(small, bigOf(float64(i))) })
	for range 16 {
		y.Mul(y, y)
	}
	return y
}

func bigLog(x *big.Float) *big.Float {
	f, _ := x.Float64()
	y := bigOf(math.Log(f))
	for range 3 {
		// y += x·e^-y - 1 doubles the digits.
		y.Add(y, bigOf(0).Sub(bigOf(0).Mul(x, bigExp(bigOf(0).Neg(y))), bigOf(1)))
	}
	return y
}

// bigAtan halves the angle five times, atan x = 2·atan(x/(1+√(1+x²))), and then takes the series.
func bigAtan(x *big.Float) *big.Float {
	y := bigOf(0).Set(x)
	for range 5 {
		root := bigOf(0).Sqrt(bigOf(0).Add(bigOf(1), bigOf(0).Mul(y, y)))
		y = bigOf(0).Quo(y, bigOf(0).Add(bigOf(1), root))
	}
	sum, power, square := bigOf(0), bigOf(0).Set(y), bigOf(0).Mul(y, y)
	for k := 1; k < 60; k += 2 {
		term := bigOf(0).Quo(power, bigOf(float64(k)))
		if k%4 == 3 {
			term.Neg(term)
		}
		sum.Add(sum, term)
		power.Mul(power, square)
	}
	return sum.Mul(sum, bigOf(32))
}

// bigErf is 2x/√π · e^(-x²) · Σ (2x²)^i/(1·3·…·(2i+1)).
func bigErf(x *big.Float) *big.Float {
	z := bigOf(0).Mul(x, x)
	s := series(func(i int) *big.Float {
		return bigOf(0).Quo(bigOf(0).Mul(z, bigOf(2)), bigOf(float64(2*i+1)))
	})
	s.Mul(s, bigOf(0).Mul(x, bigOf(2)))
	s.Mul(s, bigExp(bigOf(0).Neg(z)))
	return s.Quo(s, bigOf(0).Sqrt(bigPi()))
}

// bigPi is Machin's 16·atan(1/5) - 4·atan(1/239), to 400 bits.
func bigPi() *big.Float {
	atan := func(n float64) *big.Float {
		sum, power := new(big.Float).SetPrec(400), new(big.Float).SetPrec(400).Quo(big.NewFloat(1).SetPrec(400), big.NewFloat(n))
		square := big.NewFloat(n * n)
		for i := 0; power.Sign() != 0 && power.MantExp(nil) > -400; i++ {
			term := new(big.Float).SetPrec(400).Quo(power, big.NewFloat(float64(2*i+1)))
			if i%2 == 1 {
				term.Neg(term)
			}
			sum.Add(sum, term)
			power.Quo(power, square)
		}
		return sum
	}
	a, b := atan(5), atan(239)
	a.Mul(a, big.NewFloat(16))
	return a.Sub(a, b.Mul(b, big.NewFloat(4)))
}

// bigSinCos is sin(x + quarter·π/2), for |x| below 2^128.
func bigSinCos(x *big.Float, quarter int) *big.Float {
	half := bigPi()
	half.SetMantExp(half, -1)
	q := new(big.Float).SetPrec(400).Quo(x, half)
	k, _ := q.Int(nil)
	r := new(big.Float).SetPrec(400).SetInt(k)
	r.Sub(new(big.Float).SetPrec(400).Set(x), r.Mul(r, half))
	n := new(big.Int).Add(k, big.NewInt(int64(quarter)))
	n.And(n, big.NewInt(3))
	z := new(big.Float).SetPrec(200).Mul(r, r)
	z.Neg(z)
	odd := n.Int64()&1 == 0
	s := series(func(i int) *big.Float {
		d := float64((2*i - 1) * 2 * i)
		if odd {
			d = float64(2 * i * (2*i + 1))
		}
		return bigOf(0).Quo(z, bigOf(d))
	})
	if odd {
		s.Mul(s, r)
	}
	if n.Int64()&2 != 0 {
		s.Neg(s)
	}
	return s
}
