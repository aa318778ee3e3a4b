package kernels

import "math"

// nan is the one NaN that kernels write.
var nan = math.Float32frombits(0x7fc00000)

// canonical returns x, or the canonical NaN for any NaN.
func canonical(x float32) float32 {
	if x != x {
		return nan
	}
	return x
}

const (
	// A float64 that lies half way between two normal float32 neighbours ends in
	// these 29 bits.
	tailMask = 1<<29 - 1
	tailHalf = 1 << 28
	// minNormalBits is the float64 pattern of 2^-126, shifted left by one so that
	// the sign is gone.
	minNormalBits = (1023 - 126) << 53
)

// fma returns x*y+z, rounded once. NaNs are as they come.
//
// The product of two float32 is exact in float64, so the only danger is rounding
// the sum twice. Rounding to float64 first cannot move a value across a midpoint
// of float32, only onto it: that, and the subnormal results whose midpoints lie
// elsewhere, go the slow way.
func fma(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	if doubtful(s) {
		return roundSum(p, float64(z), s)
	}
	return float32(s)
}

// doubtful reports whether s, a sum rounded to float64, could round to another
// float32 than the sum itself.
func doubtful(s float64) bool {
	u := math.Float64bits(s)
	return u&tailMask == tailHalf || u<<1 < minNormalBits
}

// roundSum rounds p+z to float32 once, given s, the sum rounded to float64. It
// finds what that rounding lost (Knuth's TwoSum), rounds to odd instead, and
// only then to float32: with 29 bits more, rounding to odd makes the second
// rounding right (Boldo and Melquiond, "Emulation of FMA and correctly rounded
// sums", 2008).
//
//go:noinline
func roundSum(p, z, s float64) float32 {
	if s == 0 || s-s != 0 {
		return float32(s)
	}
	zz := s - p
	lost := (p - (s - zz)) + (z - zz)
	u := math.Float64bits(s)
	if lost != 0 && u&1 == 0 {
		if (lost > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return float32(math.Float64frombits(u))
}
