package kernels

import "math"

// The transcendental functions of this package are evaluated in float64, in
// operations that every machine rounds alike, and rounded once to float32. A
// product that is an operand of a sum is converted to float64, which it is
// already: the language then forbids fusing the two. Polynomials are Chebyshev
// fits computed to 60 digits; each one's error over its range, relative to the
// function's value, is at most 2^-40, so that a result is within 0.5001 units in
// the last place of float32.

// e^x = 2^(k/16) · e^r with k the integer next to 16x/ln 2, so |r| <= ln 2/32.
// 2^(k/16) comes from a table of 16 and an exponent; e^r = 1 + r + r²·(exp0 + …).
const (
	exp16Ln2 = 0x1.71547652b82fep4   // 16/ln 2
	expLn2Hi = 0x1.62e42fefa2p-5     // ln 2/16 to 40 bits: its product with k is exact
	expLn2Lo = 0x1.9ef35793c7673p-45 // the rest
	roundInt = 0x1.8p52              // adding it rounds to an integer, left in the low bits
	exp0     = 0x1p-1
	exp1     = 0x1.55555554dcc9bp-3
	exp2     = 0x1.55555555190f9p-5
	exp3     = 0x1.11120b77051e7p-7
	exp4     = 0x1.6c17bbd1f560ap-10

	// Beyond these, results no longer change: they are 0 or infinite.
	expLow, expHigh = -110, 110
)

var exp2Table = [16]float64{
	0x1p0, 0x1.0b5586cf9890fp0, 0x1.172b83c7d517bp0, 0x1.2387a6e756238p0,
	0x1.306fe0a31b715p0, 0x1.3dea64c123422p0, 0x1.4bfdad5362a27p0, 0x1.5ab07dd485429p0,
	0x1.6a09e667f3bcdp0, 0x1.7a11473eb0187p0, 0x1.8ace5422aa0dbp0, 0x1.9c49182a3f09p0,
	0x1.ae89f995ad3adp0, 0x1.c199bdd85529cp0, 0x1.d5818dcfba487p0, 0x1.ea4afa2a490dap0,
}

// expParts returns s = 2^(k/16) and q = e^r - 1, so that e^x = s + s·q. x lies
// between expLow and expHigh.
func expParts(x float64) (s, q float64) {
	z := float64(x*exp16Ln2) + roundInt
	k := math.Float64bits(z)
	kf := z - roundInt
	r := x - float64(kf*expLn2Hi) - float64(kf*expLn2Lo)
	r2 := float64(r * r)
	p := (exp0 + float64(r*exp1)) + float64(r2*(exp2+float64(r*exp3)+float64(r2*exp4)))
	q = r + float64(r2*p)
	s = math.Float64frombits(math.Float64bits(exp2Table[k&15]) + k>>4<<52)
	return s, q
}

// clampExp limits x to the range of expParts and replaces a NaN.
func clampExp(x float32) float32 {
	if !(x > expLow) {
		return expLow
	}
	if x > expHigh {
		return expHigh
	}
	return x
}

// widen is float64(x) for normal x, and something below 2^-126 of its sign for
// subnormals and zeros. The conversion instruction of amd64 keeps part of its
// destination, and so would make one chain of what is computed for one element
// after the other: this is twice as fast.
func widen(x float32) float64 {
	u := math.Float32bits(x)
	return math.Float64frombits(uint64(u>>31)<<63 | uint64(u&(1<<31-1))<<29 + 896<<52)
}

func exp(x float32) float32 {
	s, q := expParts(widen(clampExp(x)))
	if x != x {
		return nan
	}
	return float32(s + float64(s*q))
}

// sigmoid is 1/(1+e^-x).
func sigmoid(x float32) float32 {
	s, q := expParts(widen(clampExp(-x)))
	if x != x {
		return nan
	}
	return float32(1 / (1 + (s + float64(s*q))))
}

// tanh is m/(m+2) with m = e^2|x| - 1 = (s-1) + s·q, which keeps its precision
// near zero, where s is 1.
func tanh(x float32) float32 {
	a := abs(x)
	if a < 0x1p-20 {
		return x // all that rounding would leave
	}
	if !(a < 20) {
		if x != x {
			return nan
		}
		a = 20
	}
	s, q := expParts(2 * widen(a))
	m := (s - 1) + float64(s*q)
	y := float32(m / (m + 2))
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}
