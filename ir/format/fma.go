package format

import "math"

// FMA32 returns a*b+c rounded once to float32, to nearest even: the fused
// multiply-add of IEEE 754-2019, 5.4.1, in arithmetic that every machine has. A
// NaN result is always the positive quiet NaN without payload, so that the bits
// are the same everywhere.
//
// The product of two float32 is exact in float64. Their float64 sum is rounded,
// and rounding that again to float32 would go wrong only when the first rounding
// landed on the middle between two float32, or among subnormals, where the middles
// lie elsewhere: those go through a sum that is rounded to odd, after which the
// second rounding is exact (Boldo and Melquiond, "Emulation of a FMA and
// correctly rounded sums: proved algorithms using rounding to odd", 2008). The
// conversions keep the compiler from fusing operations itself.
func FMA32(a, b, c float32) float32 {
	p := float64(float64(a) * float64(b))
	s := float64(p + float64(c))
	u := math.Float64bits(s)
	if u&0x1FFFFFFF == 0x10000000 || u<<1 < 0x3810000000000000<<1 || u<<1 >= f64Inf<<1 {
		return fma32Rare(p, float64(c), s)
	}
	return float32(s)
}

// fma32Rare finishes FMA32 where s = p + c may not simply be rounded again: a
// middle, the subnormal range, zero, infinity, NaN.
func fma32Rare(p, c, s float64) float32 {
	if s != s {
		return canonical(float32(s))
	}
	if math.IsInf(s, 0) || s == 0 {
		return float32(s)
	}
	// TwoSum (Knuth): s + err is exactly p + c.
	bb := float64(s - p)
	err := float64(float64(p-float64(s-bb)) + float64(c-bb))
	u := math.Float64bits(s)
	if err != 0 && u&1 == 0 {
		if (err > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return float32(math.Float64frombits(u))
}
