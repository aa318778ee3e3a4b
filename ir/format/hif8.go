package format

import (
	"math"
	"sort"
)

// HiFloat8 (Luo et al., arXiv 2409.16626, section 2): a sign bit, then a prefix
// code D that says how wide the exponent is, then exponent and mantissa:
//
//	D code  exponent bits  mantissa bits  exponents
//	11      4              1              ±8..±15
//	10      3              2              ±4..±7
//	01      2              3              ±2, ±3
//	001     1              3              ±1
//	0001    0              3              0
//	0000    denormal       3              2^(M-23), M = 1..7
//
// The exponent is sign and magnitude, its leading magnitude bit implied. The
// only zero is 0x00, the only NaN 0x80; the pattern that would be 1.5*2^15 is
// infinity (0x6F, 0xEF).
const (
	hif8NaN          = 0x80
	hif8Inf          = 0x6F
	hif8Max          = 0x1p15
	hif8MinNormal    = 0x1p-15
	hif8MinSubnormal = 0x1p-22
)

// hif8Decode returns the value of a HiFloat8 pattern.
func hif8Decode(p uint8) float64 {
	sign := 1.0
	if p&0x80 != 0 {
		sign = -1
	}
	mag := p & 0x7F
	switch {
	case p == hif8NaN:
		return math.Float64frombits(f64Inf | f64Quiet)
	case mag == 0:
		return 0
	case mag == hif8Inf:
		return math.Inf(int(sign))
	}
	var expBits, manBits uint
	switch {
	case mag>>5 == 3:
		expBits, manBits = 4, 1
	case mag>>5 == 2:
		expBits, manBits = 3, 2
	case mag>>5 == 1:
		expBits, manBits = 2, 3
	case mag>>4 == 1:
		expBits, manBits = 1, 3
	case mag>>3 == 1:
		expBits, manBits = 0, 3
	default:
		return sign * math.Ldexp(1, int(mag)-23)
	}
	m := 1 + float64(mag&(1<<manBits-1))/float64(uint(1)<<manBits)
	e := 0
	if expBits > 0 {
		field := mag >> manBits & (1<<expBits - 1)
		low := field & (1<<(expBits-1) - 1)
		e = int(low | 1<<(expBits-1))
		if field>>(expBits-1) != 0 {
			e = -e
		}
	}
	return sign * m * math.Ldexp(1, e)
}

// hif8Steps holds the positive finite values in ascending order, zero first, then
// the value that stands for infinity; hif8Codes their patterns.
var hif8Steps, hif8Codes = func() ([]float64, []uint8) {
	codes := make([]uint8, 0, 128)
	for p := 0; p < 128; p++ {
		if p != hif8Inf {
			codes = append(codes, uint8(p))
		}
	}
	sort.Slice(codes, func(i, j int) bool { return hif8Decode(codes[i]) < hif8Decode(codes[j]) })
	steps := make([]float64, 0, 128)
	for _, c := range codes {
		steps = append(steps, hif8Decode(c))
	}
	return append(steps, 1.5*0x1p15), append(codes, hif8Inf)
}()

// hif8Encode returns the pattern of x. A tie between two neighbours goes to the
// one with the even mantissa bit under NearestEven, up under NearestAway.
func hif8Encode(x float64, m Mode) uint8 {
	if x != x {
		return hif8NaN
	}
	neg := math.Signbit(x)
	a := math.Abs(x)
	var code uint8
	last := len(hif8Steps) - 1 // infinity
	switch i := sort.SearchFloat64s(hif8Steps, a); {
	case i > last: // beyond the value in infinity's place
		code = hif8Inf
		if !math.IsInf(a, 1) && !m.Round.overflows(neg) {
			code = hif8Codes[last-1]
		}
	case i == last && !m.Round.overflows(neg):
		code = hif8Codes[last-1]
	case hif8Steps[i] == a:
		code = hif8Codes[i]
	default:
		// steps[i-1] < a < steps[i]; the distances are exact, as both ends
		// have few bits, except for the tiniest a, where their order is still
		// right.
		lo, hi := hif8Steps[i-1], hif8Steps[i]
		down, up := a-lo, hi-a
		rem := uint64(1)
		switch {
		case down == up:
			rem = 2
		case down > up:
			rem = 3
		}
		code = hif8Codes[i-1]
		if m.Round.roundUp(hif8Odd(i-1), neg, rem, 2) && (i < last || m.Round.overflows(neg)) {
			code = hif8Codes[i]
		}
	}
	if code == hif8Inf && m.Saturate {
		code = hif8Codes[last-1]
	}
	if m.FlushSubnormals && code < 8 {
		code = 0
	}
	if neg && code != 0 {
		code |= 0x80
	}
	return code
}

// hif8Odd says which of the ascending values counts as odd in a tie: the one
// whose lowest pattern bit is set.
func hif8Odd(i int) bool { return hif8Codes[i]&1 != 0 }
