package kernels

import "math"

// log x = e·ln 2 + log m with x = 2^e·m and m from sqrt(1/2) to sqrt 2;
// log m = s·(2 + z·(log0 + …)) with s = (m-1)/(m+1) and z = s².
const (
	ln2       = 0x1.62e42fefa39efp-1
	sqrtHalf  = 0x1.6a09e667f3bcdp-1
	mantissa  = 1<<52 - 1
	oneBits   = 1023 << 52
	logOffset = oneBits - 0x3fe6a09e667f3bcd // pattern of 1 less that of sqrt(1/2)
	log0      = 0x1.5555555555558p-1
	log1      = 0x1.99999999952d7p-2
	log2      = 0x1.2492492df281ap-2
	log3      = 0x1.c71c62e3f11e6p-3
	log4      = 0x1.7462b51cb66b1p-3
	log5      = 0x1.39fe51a7c18f9p-3
	log6      = 0x1.2b5900de53b32p-3
)

func log(x float32) float32 {
	switch {
	case !(x > 0):
		if x == 0 {
			return float32(math.Inf(-1))
		}
		return nan
	case x > math.MaxFloat32:
		return x
	}
	return float32(logParts(float64(x)))
}

// logParts is the logarithm in float64, with a relative error below 2^-50. x is
// positive, finite and normal in float64, as every float32 above zero is.
func logParts(x float64) float64 {
	u := math.Float64bits(x) + logOffset
	e := float64(int64(u>>52) - 1023)
	m := math.Float64frombits(u&mantissa + oneBits - logOffset)
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	z2 := float64(z * z)
	p := (log0 + float64(z*log1)) + float64(z2*(log2+float64(z*log3))) +
		float64(float64(z2*z2)*((log4+float64(z*log5))+float64(z2*log6)))
	return float64(e*ln2) + float64(s*(2+float64(z*p)))
}

// pow is e^(y·log x), for negative x and integer y with the sign of an odd y. The
// exponent's absolute error stays below 2^-43 where the result is finite.
func pow(x, y float32) float32 {
	fx, fy := float64(x), float64(y)
	switch {
	case y == 0 || x == 1:
		return 1
	case x != x || y != y:
		return nan
	case x == 0 || fx-fx != 0 || fy-fy != 0:
		return canonical(float32(math.Pow(fx, fy))) // special cases only: exact
	}
	negative := false
	if x < 0 {
		whole := math.Floor(fy)
		if whole != fy {
			return nan
		}
		// From 2^24 on all are even.
		negative = math.Abs(fy) < 1<<24 && int64(fy)&1 != 0
		fx = -fx
	}
	t := float64(fy * logParts(fx))
	if t < expLow {
		t = expLow
	} else if t > expHigh {
		t = expHigh
	}
	s, q := expParts(t)
	r := float32(s + float64(s*q))
	if negative {
		r = -r
	}
	return r
}
