package format

import "math"

// DecodeInt returns the value of an integer (or bool: 0 or 1) pattern; bits above
// f.Bits() are ignored. A u64 above the largest int64 wraps. It is 0 for other
// formats.
func (f Format) DecodeInt(pattern uint64) int64 {
	l := f.layout()
	switch l.class {
	case classSigned:
		up := 64 - l.bits
		return int64(pattern<<up) >> up
	case classUnsigned:
		up := 64 - l.bits
		return int64(pattern << up >> up)
	case classBool:
		if pattern&0xFF != 0 {
			return 1
		}
	}
	return 0
}

// EncodeInt returns the low f.Bits() bits of v: out of range values wrap. For
// bool it is 1 for any v but 0, for formats that are neither 0.
func (f Format) EncodeInt(v int64) uint64 {
	l := f.layout()
	switch l.class {
	case classSigned, classUnsigned:
		return uint64(v) & (^uint64(0) >> (64 - l.bits))
	case classBool:
		if v != 0 {
			return 1
		}
	}
	return 0
}

// SaturateInt clamps v to the range of f.
func (f Format) SaturateInt(v int64) int64 {
	return min(max(v, f.MinInt()), f.MaxInt())
}

// MinInt returns the smallest value of an integer format; 0 for others.
func (f Format) MinInt() int64 {
	if l := f.layout(); l.class == classSigned {
		return math.MinInt64 >> (64 - l.bits)
	}
	return 0
}

// MaxInt returns the largest value of an integer format that an int64 holds, so
// the largest int64 for u64 (see [Format.MaxUint]); 1 for bool, 0 for others.
func (f Format) MaxInt() int64 {
	return int64(min(f.MaxUint(), math.MaxInt64))
}

// MaxUint is MaxInt without the limit of an int64.
func (f Format) MaxUint() uint64 {
	l := f.layout()
	switch l.class {
	case classSigned:
		return math.MaxInt64 >> (64 - l.bits)
	case classUnsigned:
		return math.MaxUint64 >> (64 - l.bits)
	case classBool:
		return 1
	}
	return 0
}

// roundInt rounds x to an integer under r; NaN gives 0.
func roundInt(x float64, r RoundingMode) float64 {
	switch r {
	case NearestAway:
		x = math.Round(x)
	case TowardZero:
		x = math.Trunc(x)
	case TowardPositive:
		x = math.Ceil(x)
	case TowardNegative:
		x = math.Floor(x)
	case ToOdd:
		if t := math.Trunc(x); t != x {
			if math.Mod(t, 2) == 0 {
				t += math.Copysign(1, x)
			}
			x = t
		}
	default:
		x = math.RoundToEven(x)
	}
	if x != x {
		return 0
	}
	return x
}

// encodeSigned and encodeUnsigned clamp an integral float64. Comparing before
// converting keeps away from Go's conversion of what does not fit, which differs
// between machines.
func (f Format) encodeSigned(x float64) uint64 {
	lo, hi := f.MinInt(), f.MaxInt()
	switch {
	case x >= float64(hi):
		return f.EncodeInt(hi)
	case x <= float64(lo):
		return f.EncodeInt(lo)
	}
	return f.EncodeInt(int64(x))
}

func (f Format) encodeUnsigned(x float64) uint64 {
	hi := f.MaxUint()
	switch {
	case x <= 0:
		return 0
	case x >= float64(hi):
		return hi
	case x >= 1<<63:
		return uint64(int64(x-1<<63)) | 1<<63
	}
	return uint64(int64(x))
}
