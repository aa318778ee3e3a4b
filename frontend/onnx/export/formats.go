package export

import (
	"math"

	onnx "apogee/frontend/onnx"
	"apogee/ir/format"
)

// carrier is the format in which values of another are computed with: it holds all of them, u64 bit for bit.
func carrier(f format.Format) format.Format {
	switch {
	case f == format.F64 || f == format.Bool:
		return f
	case f.IsFloat():
		return format.F32
	case f.Bits() == 64 || f == format.U32:
		return format.I64
	}
	return format.I32
}

// wide64 says whether a format's values in their carrier, i64, are to be read as unsigned.
func wide64(f format.Format) bool { return f == format.U64 }

// enter brings what has the element type of a format to its carrier.
func (x *exporter) enter(v string, f format.Format) string {
	x.need(since[f])
	if c := carrier(f); c != f {
		return x.to(v, c)
	}
	return v
}

// leave brings a value that fits a format from the carrier to the format's element type.
func (x *exporter) leave(v string, f format.Format) string {
	if carrier(f) == f {
		return v
	}
	return x.narrow(v, f, false)
}

// narrow casts to a format's element type. With saturate what is beyond the range of an 8-bit float becomes its largest value.
func (x *exporter) narrow(v string, f format.Format, saturate bool) string {
	if eightBits(f) {
		x.need(since[f])
		return x.na("Cast", attrs{"to", onnx.DataType(f), "saturate", saturate}, v)
	}
	return x.to(v, f)
}

func eightBits(f format.Format) bool {
	return f == format.F8E4M3FN || f == format.F8E4M3FNUZ || f == format.F8E5M2 || f == format.F8E5M2FNUZ
}

// fit brings what was computed in the carrier of a format to a value of the format: floats round, integers wrap.
func (x *exporter) fit(v string, f format.Format) string {
	c := carrier(f)
	switch {
	case f == c || f == format.U64:
		return v
	case f.IsFloat():
		return x.round(v, f, false)
	case f.IsSigned() && f.Bits() >= 8:
		return x.to(x.to(v, f), c)
	}
	mask := int64(f.MaxUint())
	if f.IsSigned() { // i4, i2: the low bits, the highest of them taken off
		top := int64(1) << (f.Bits() - 1)
		low := x.n("BitwiseAnd", v, x.ints(c, nil, 2*top-1))
		return x.n("Sub", x.n("BitwiseXor", low, x.ints(c, nil, top)), x.ints(c, nil, top))
	}
	return x.n("BitwiseAnd", v, x.ints(c, nil, mask))
}

// round rounds floats in f32 to a narrower format, where ONNX has it.
func (x *exporter) round(v string, f format.Format, saturate bool) string {
	switch {
	case f == format.F32 || f == format.F64:
		return v
	case f == format.F8E8M0:
		if saturate {
			v = x.n("Min", v, x.num(format.F32, f.Info().MaxFinite))
		}
		return x.powerOfTwo(v)
	case onnx.DataType(f) == 0:
		x.fail("rounding to %s: ONNX has no cast to this format", f)
		return v
	case saturate && !eightBits(f) && f != format.F4E2M1:
		v = x.clip(v, format.F32, -f.Info().MaxFinite, f.Info().MaxFinite)
	}
	return x.to(x.narrow(v, f, saturate), format.F32)
}

// powerOfTwo rounds floats in f32 to the nearest power of two that f8e8m0 has, of two equally near ones to that with the even exponent code;
// what is negative or not finite becomes NaN. ONNX's own cast knows no ties.
func (x *exporter) powerOfTwo(v string) string {
	i := func(n int64) string { return x.ints(format.I32, nil, n) }
	const low = 1<<23 - 1 // of the mantissa; the code above it counts from the same bias as f8e8m0's
	bits := x.bitcast(v, format.F32, format.I32)
	rest := x.n("BitwiseAnd", bits, i(low))
	odd := x.n("Equal", x.n("BitwiseAnd", bits, i(low+1)), i(low+1))
	up := x.n("Or", x.n("Greater", rest, i(1<<22)), x.n("And", odd, x.n("Equal", rest, i(1<<22))))
	code := x.n("Add", x.n("Sub", bits, rest), x.n("Where", up, i(low+1), i(0)))
	code = x.n("Min", code, i(254<<23))
	// 2^-127, of code 0, is a subnormal: half way to the next number is 3<<21.
	least := x.n("Where", x.n("Greater", bits, i(3<<21)), i(1<<23), i(1<<22))
	code = x.n("Where", x.n("Less", bits, i(1<<23)), least, code)
	wrong := x.n("Or", x.n("Less", v, x.num(format.F32, 0)), x.n("GreaterOrEqual", x.n("BitwiseAnd", bits, i(math.MaxInt32)), i(255<<23)))
	return x.n("Where", wrong, x.num(format.F32, math.NaN()), x.bitcast(code, format.I32, format.F32))
}

// clip bounds a value of a carrier. NaN stays as the runtime has it.
func (x *exporter) clip(v string, c format.Format, lo, hi float64) string {
	return x.n("Clip", v, x.num(c, lo), x.num(c, hi))
}

// cast converts a value in its carrier from one format to another, as the op cast says.
func (x *exporter) cast(v string, from, f format.Format, saturate bool) string {
	a, b := carrier(from), carrier(f)
	switch {
	case from == f:
		return v
	case f == format.Bool:
		return x.to(v, format.Bool)
	case f.IsFloat() && from.IsFloat():
		if b == format.F32 && a == format.F64 {
			if f == format.F32 && saturate {
				v = x.clip(v, a, -f.Info().MaxFinite, f.Info().MaxFinite)
			}
			v = x.to(v, b)
		} else if a != b {
			v = x.to(v, b)
		}
		if holds(f, from) {
			return v
		}
		return x.round(v, f, saturate)
	case f.IsFloat():
		if wide64(from) {
			v = x.to(v, format.U64)
		}
		v = x.to(v, b)
		if from == format.Bool || f == format.F32 || f == format.F64 {
			return v
		}
		return x.round(v, f, saturate)
	case from.IsFloat():
		return x.truncate(v, a, f)
	}
	if a != b {
		v = x.to(v, b)
	}
	if from == format.Bool || holdsInt(f, from) {
		return v
	}
	return x.fit(v, f)
}

// holds says whether a float format has all values of another.
func holds(f, from format.Format) bool {
	a, b := f.Info(), from.Info()
	return f == format.F64 || f == format.F32 && from != format.F64 ||
		a.ManBits >= b.ManBits && a.MaxFinite >= b.MaxFinite && a.MinSubnormal <= b.MinSubnormal && a.HasInf && a.HasNaN && from != format.HIF8 && onnx.DataType(f) != 0
}

// holdsInt says whether an integer format has all values of another.
func holdsInt(f, from format.Format) bool {
	return f.IsSigned() == from.IsSigned() && f.Bits() >= from.Bits() || f.IsSigned() && f.Bits() > from.Bits()
}

// truncate converts floats to integers: toward zero, saturating, NaN becomes 0. What the runtime's cast does out of range is not
// defined, so the bounds are taken first, in a float format that has them.
func (x *exporter) truncate(v string, from, f format.Format) string {
	c := carrier(f)
	v = x.n("Where", x.n("IsNaN", v), x.num(from, 0), v)
	lo, hi := float64(f.MinInt()), float64(f.MaxUint())
	if f.IsSigned() {
		hi = float64(f.MaxInt())
	}
	if f.Bits() >= 32 && from == format.F32 {
		v, from = x.to(v, format.F64), format.F64
	}
	if f.Bits() < 64 {
		return x.to(x.clip(v, from, lo, hi), c)
	}
	// 2^63 and 2^64 are floats, one less is none.
	limit := math.Ldexp(1, 63)
	in := x.clip(v, from, lo, math.Nextafter(limit, 0))
	y := x.to(in, c)
	if f == format.I64 {
		return x.n("Where", x.n("GreaterOrEqual", v, x.num(from, limit)), x.ints(c, nil, math.MaxInt64), y)
	}
	over := x.clip(x.n("Sub", v, x.num(from, 2*limit)), from, -limit, 0)
	y = x.n("Where", x.n("GreaterOrEqual", v, x.num(from, limit)), x.to(over, c), y)
	return x.n("Where", x.n("GreaterOrEqual", v, x.num(from, 2*limit)), x.ints(c, nil, -1), y)
}

// flip maps the bits of u64 to i64 so that the order stays, and back.
func (x *exporter) flip(v string) string {
	return x.n("BitwiseXor", v, x.ints(format.I64, nil, math.MinInt64))
}

// ordered is a value in which comparisons of the carrier are those of the format; restore takes it back.
func (x *exporter) ordered(v string, f format.Format) string {
	if wide64(f) {
		return x.flip(v)
	}
	return v
}

func dataType(f format.Format) int32 { return onnx.DataType(f) }

// known says whether ONNX has an element type for a format.
func known(f format.Format) bool { return dataType(f) != 0 }
