package format

import (
	"math"
	"math/bits"
)

const (
	f64Sign    = uint64(1) << 63
	f64Inf     = uint64(0x7FF) << 52
	f64Frac    = uint64(1)<<52 - 1
	f64Quiet   = uint64(1) << 51
	f64Magn    = f64Sign - 1
	f32QuietU  = uint32(1) << 22
	f32MagnU   = uint32(1)<<31 - 1
	f32InfBits = uint32(0x7F800000)
)

// Decode returns the value of a pattern; bits above f.Bits() are ignored, as are
// the padding bits of tf32 and hf32. Every value of every format but i64 and u64
// is exact; those are rounded to nearest even. Invalid decodes to NaN.
func (f Format) Decode(pattern uint64) float64 {
	l := f.layout()
	if l.bits < 64 {
		pattern &= uint64(1)<<l.bits - 1
	}
	switch l.class {
	case classFloat:
		return l.decode(pattern)
	case classScale:
		return decodeE8M0(pattern)
	case classTaper:
		return hif8Decode(uint8(pattern))
	case classSigned:
		return float64(f.DecodeInt(pattern))
	case classUnsigned:
		return float64(pattern)
	case classBool:
		if pattern != 0 {
			return 1
		}
		return 0
	}
	return math.Float64frombits(f64Inf | f64Quiet)
}

// decode reads a classFloat pattern that has no bits above l.bits.
func (l *layout) decode(p uint64) float64 {
	if l.bits == 64 {
		if p&f64Magn > f64Inf {
			p |= f64Quiet
		}
		return math.Float64frombits(p)
	}
	mag := p >> l.pad
	signBit := uint64(1) << (l.exp + l.man)
	neg := mag&signBit != 0
	mag &= signBit - 1
	sign := uint64(0)
	if neg {
		sign = f64Sign
	}
	switch l.nan {
	case nanIEEE:
		inf := (uint64(1)<<l.exp - 1) << l.man
		if mag == inf && p&(uint64(1)<<l.pad-1) != 0 {
			// A NaN whose payload lies in the padding alone.
			return math.Float64frombits(sign | f64Inf | f64Quiet)
		}
		if mag >= inf {
			frac := (mag - inf) << (52 - l.man)
			if frac != 0 {
				frac |= f64Quiet
			}
			return math.Float64frombits(sign | f64Inf | frac)
		}
	case nanAllOnes:
		if mag == signBit-1 {
			return math.Float64frombits(sign | f64Inf | f64Quiet)
		}
	case nanNegZero:
		if neg && mag == 0 {
			return math.Float64frombits(f64Inf | f64Quiet)
		}
	}
	e := int(mag >> l.man)
	m := mag & (uint64(1)<<l.man - 1)
	if e == 0 {
		if m == 0 {
			return math.Float64frombits(sign)
		}
		// Subnormal: bring the leading one to the implied place.
		up := l.man + 1 - bits.Len64(m)
		m = m << up & (uint64(1)<<l.man - 1)
		e = 1 - up
	}
	return math.Float64frombits(sign | uint64(e-l.bias+1023)<<52 | m<<(52-l.man))
}

// Encode returns the pattern nearest to x under [Format.DefaultMode]: round to
// nearest, ties to even (hif8: ties away), in one step. What is too big becomes
// infinity, or NaN in formats that have no infinity, or the largest value in f6,
// f4 and f8e8m0. NaN becomes the largest positive value in f6 and f4, as in NVIDIA's conversions (CUDA Math API,
// "FP6" and "FP4"). f8e8m0 has no zero and no sign: what lies below 2^-127,
// zeros included, becomes 2^-127; negative numbers and infinities become NaN.
// Integers: see [Format.EncodeMode].
func (f Format) Encode(x float64) uint64 { return f.EncodeMode(x, f.DefaultMode()) }

// Round returns x as f holds it: Decode(Encode(x)).
func (f Format) Round(x float64) float64 { return f.Decode(f.Encode(x)) }

// RoundMode is Decode(EncodeMode(x, m)).
func (f Format) RoundMode(x float64, m Mode) float64 { return f.Decode(f.EncodeMode(x, m)) }

// EncodeMode returns the pattern of x under m. An integer format takes x rounded
// to an integer under m.Round and clamped to its range whatever m.Saturate says;
// NaN gives 0. Bool is true for anything but zero. Invalid gives 0.
func (f Format) EncodeMode(x float64, m Mode) uint64 {
	l := f.layout()
	switch l.class {
	case classFloat:
		return l.encode(math.Float64bits(x), m)
	case classScale:
		return encodeE8M0(x, m)
	case classTaper:
		return uint64(hif8Encode(x, m))
	case classSigned:
		return f.encodeSigned(roundInt(x, m.Round))
	case classUnsigned:
		return f.encodeUnsigned(roundInt(x, m.Round))
	case classBool:
		if x != 0 {
			return 1
		}
	}
	return 0
}

// roundUp says whether a magnitude whose kept part is odd or not, and whose
// dropped part is rem of a whole (half = the middle), goes to the next pattern.
func (r RoundingMode) roundUp(odd, neg bool, rem, half uint64) bool {
	switch r {
	case NearestEven:
		return rem > half || rem == half && odd
	case NearestAway:
		return rem >= half
	case TowardZero:
		return false
	case TowardPositive:
		return rem != 0 && !neg
	case TowardNegative:
		return rem != 0 && neg
	case ToOdd:
		return rem != 0 && !odd
	}
	return rem > half || rem == half && odd // what is no mode counts as NearestEven
}

// overflows says whether a magnitude beyond the largest finite value leaves the
// finite range (true) or becomes the largest finite value.
func (r RoundingMode) overflows(neg bool) bool {
	switch r {
	case TowardZero, ToOdd:
		return false
	case TowardPositive:
		return !neg
	case TowardNegative:
		return neg
	}
	return true
}

// encode turns the bits of a float64 into a classFloat pattern.
//
// The magnitude becomes an integer count of the target's steps in its binade; a
// pattern's magnitude bits, read as an integer, grow by one from each value to
// the next across binades, so a carry out of the mantissa needs no care.
func (l *layout) encode(u uint64, m Mode) uint64 {
	neg := u&f64Sign != 0
	mag := u & f64Magn
	switch {
	case mag > f64Inf:
		return l.encodeNaN(u, neg)
	case mag == f64Inf:
		return l.encodeOverflow(neg, m.Saturate)
	case mag == 0:
		return l.withSign(0, neg)
	}
	if l.bits == 64 {
		if m.FlushSubnormals && mag>>52 == 0 {
			mag = 0
		}
		return l.withSign(mag, neg)
	}
	e := int(mag >> 52)
	frac := mag & f64Frac
	if e == 0 {
		up := 53 - bits.Len64(frac)
		frac <<= up
		e = 1 - up
	} else {
		frac |= 1 << 52
	}
	e += l.bias - 1023 // the target's biased exponent
	drop := 52 - l.man
	base := uint64(0) // pattern of the binade's first value, less its implied one
	if e >= 1 {
		base = uint64(e-1) << l.man
	} else {
		drop += 1 - e
	}
	var code uint64
	if drop > 63 {
		// Below half of the smallest step by far.
		if m.Round.roundUp(false, neg, 1, 2) {
			code = 1
		}
	} else {
		code = base + frac>>drop
		rem := frac & (uint64(1)<<drop - 1)
		if rem != 0 && m.Round.roundUp(code&1 != 0, neg, rem, uint64(1)<<(drop-1)) {
			code++
		}
	}
	if code > l.maxMag {
		if m.Saturate || !m.Round.overflows(neg) {
			return l.withSign(l.maxMag, neg)
		}
		return l.encodeOverflow(neg, false)
	}
	if m.FlushSubnormals && code>>l.man == 0 {
		code = 0
	}
	return l.withSign(code, neg)
}

// withSign puts the sign before a magnitude and the padding behind it.
func (l *layout) withSign(mag uint64, neg bool) uint64 {
	if neg && (mag != 0 || l.nan != nanNegZero) {
		mag |= uint64(1) << (l.exp + l.man)
	}
	return mag << l.pad
}

func (l *layout) encodeOverflow(neg, saturate bool) uint64 {
	switch {
	case saturate || l.nan == nanNone:
		return l.withSign(l.maxMag, neg)
	case l.nan == nanIEEE:
		return l.withSign(l.maxMag+1, neg)
	case l.nan == nanAllOnes:
		return l.withSign(l.maxMag+1, neg)
	}
	return uint64(1) << (l.exp + l.man)
}

func (l *layout) encodeNaN(u uint64, neg bool) uint64 {
	switch l.nan {
	case nanIEEE:
		inf := (uint64(1)<<l.exp - 1) << l.man
		frac := (u&f64Frac)>>(52-l.man) | uint64(1)<<(l.man-1)
		return l.withSign(inf|frac, neg)
	case nanAllOnes:
		return l.withSign(uint64(1)<<(l.exp+l.man)-1, neg)
	case nanNegZero:
		return uint64(1) << (l.exp + l.man)
	}
	return l.maxMag
}

// decodeE8M0 reads an OCP MX scale: 2^(p-127), 0xFF is NaN.
func decodeE8M0(p uint64) float64 {
	if p == 0xFF {
		return math.Float64frombits(f64Inf | f64Quiet)
	}
	return math.Float64frombits((p - 127 + 1023) << 52)
}

func encodeE8M0(x float64, m Mode) uint64 {
	const nan, largest = 0xFF, 0xFE
	u := math.Float64bits(x)
	switch {
	case x != x || x < 0:
		return nan
	case u == f64Inf:
		if m.Saturate {
			return largest
		}
		return nan
	case x < 0x1p-127:
		return 0
	}
	code := u>>52 - 1023 + 127
	rem := u & f64Frac
	if rem != 0 && m.Round.roundUp(code&1 != 0, false, rem, 1<<51) {
		code++
	}
	if code > largest {
		code = largest
	}
	return code
}
