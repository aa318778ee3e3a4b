package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

func init() {
	register(
		Row{Op: "Cast", Since: 1, Lower: lowerCastByName, Doc: "The op cast; the format stands as a name."},
		Row{Op: "Cast", Since: 6, Lower: func(n *node) {
			n.need("to")
			n.set(0, n.castTo(n.arg(0), n.attrFormat("to", format.Invalid)))
		}, Doc: "The op cast."},
		Row{Op: "CastLike", Since: 15, Lower: func(n *node) { n.set(0, n.castTo(n.arg(0), n.arg(1).Type.Format)) }, Doc: "The op cast, to the format of the second operand."},
		Row{Op: "BitCast", Since: 26, Lower: func(n *node) {
			n.need("to")
			n.set(0, n.bitcast(n.arg(0), n.attrFormat("to", format.Invalid)))
		}, Doc: "The op bitcast."},
	)
}

// floatFor is the float format in which numbers of an integer format are computed with.
func (n *node) floatFor(f format.Format) format.Format {
	if f.Bits() > 16 {
		return format.F64
	}
	return format.F32
}

func (b *builder) bitcast(x *ir.Value, f format.Format) *ir.Value {
	if x.Type.Format == f {
		return x
	}
	return b.do(op.Bitcast, ir.A("format", f), x)
}

// typeNames are the element types as version 1 of Cast spells them: the names of the schema's enum.
var typeNames = map[string]int32{
	"FLOAT": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "STRING": 8, "BOOL": 9, "FLOAT16": 10, "DOUBLE": 11,
	"UINT32": 12, "UINT64": 13, "COMPLEX64": 14, "COMPLEX128": 15,
}

func lowerCastByName(n *node) {
	n.need("to")
	name := n.attrStr("to", "")
	f, err := formatOf(typeNames[name])
	if err != nil {
		n.fail("attribute to: %q: %s", name, err)
	}
	n.set(0, n.castTo(n.arg(0), f))
}

// castTo casts by the rules of Cast, with the node's attributes saturate and round_mode.
func (n *node) castTo(x *ir.Value, f format.Format) *ir.Value {
	from := x.Type.Format
	switch {
	case from == f:
		return x
	case f == format.F8E8M0:
		return n.toE8M0(x)
	case f == format.Bool && from.IsFloat() && from.Bits() < 16, f == format.Bool && from == format.F8E8M0:
		x = n.cast(x, format.F32)
	}
	switch f {
	case format.F8E4M3FN, format.F8E4M3FNUZ, format.F8E5M2, format.F8E5M2FNUZ:
		if n.attrBool("saturate", true) {
			return n.do(op.Cast, ir.A("format", f, "saturate", true), x)
		}
	}
	switch {
	case f == format.F4E2M1 && from.IsFloat():
		// There is no NaN to become; what produces and checks ONNX's own data takes negative zero.
		wide := n.wide(x)
		x = n.sel(n.ne(wide, wide), n.like(wide, math.Copysign(0, -1)), wide)
	case f.IsInt() && f.Bits() < 8 && from.IsFloat():
		x = n.cast(x, format.I32) // of what is out of range the low bits stay, as from an integer
	}
	return n.cast(x, f)
}

// toE8M0 gives the exponents of x: of an f32 they are its bits 23 to 30, which count from the same bias.
func (n *node) toE8M0(x *ir.Value) *ir.Value {
	mode := n.attrStr("round_mode", "up", "up", "down", "nearest")
	saturate := n.attrBool("saturate", true)
	bits := n.bitcast(n.cast(x, format.F32), format.I32)
	c := func(v float64) *ir.Value { return n.scalar(format.I32, v) }
	magnitude := n.and(bits, c(1<<31-1))
	exponent := n.do(op.Shr, nil, magnitude, c(23))
	mantissa := n.and(bits, c(1<<23-1))
	// 2^-127, the least number, is a subnormal of f32: there the code 0 stands for half of what the exponent 1 does.
	var up *ir.Value
	switch mode {
	case "up":
		least := n.sel(n.eq(exponent, c(0)), c(1<<22), c(0))
		up = n.gt(mantissa, least)
	case "nearest":
		half := n.sel(n.eq(exponent, c(0)), c(3<<21), c(1<<22))
		up = n.ge(mantissa, half)
	default:
		up = n.boolConst(false)
	}
	code := n.add(exponent, n.cast(up, format.I32))
	nan := n.gt(magnitude, c(0xff<<23))
	if saturate {
		code = n.min(code, c(254))
	} else {
		// Without saturation what is out of range is NaN, which is the code 255; zero is below the range.
		code = n.sel(n.eq(magnitude, c(0)), c(255), n.min(code, c(255)))
	}
	code = n.sel(nan, c(255), code)
	return n.bitcast(n.cast(code, format.U8), format.F8E8M0)
}
