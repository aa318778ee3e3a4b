package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "QuantizeLinear", Since: 10, Lower: quantizeLinear, Doc: "saturate(round(x / scale) + zero point), one scale a tensor, an axis' element, or a block."},
		Row{Op: "DequantizeLinear", Since: 10, Lower: dequantizeLinear, Doc: "(x - zero point) · scale, scales as for QuantizeLinear."},
		Row{Op: "DynamicQuantizeLinear", Since: 11, Lower: dynamicQuantizeLinear, Doc: "Scale and zero point of u8 from the range of x, and its codes."},
		Row{Op: "MatMulInteger", Since: 10, Lower: matMulInteger, Doc: "Product of 8-bit codes less their zero points, in i32."},
		Row{Op: "QLinearMatMul", Since: 10, Lower: qLinearMatMul, Doc: "Product of codes, requantised."},
	)
}

// quantParam gives scales or zero points the shape in which they broadcast against x: one number, one an element of an axis, or one a
// block along the axis, repeated.
func (n *node) quantParam(p, x *ir.Value, axis, block int64) *ir.Value {
	s := p.Type.Shape
	rank := len(x.Type.Shape)
	if one, ok := s.Numel().Value(); ok && one == 1 && len(s) <= 1 {
		return n.reshape(p, dims())
	}
	ax := n.axis(axis, rank)
	if block == 0 {
		if len(s) != 1 {
			n.fail("a scale has no axis, one axis, or with block_size as many as x; found %s for %s", p.Type, x.Type)
		}
		to := make(shape.Shape, rank)
		for i := range to {
			to[i] = shape.Const(1)
		}
		to[ax] = s[0]
		if !s[0].Equal(x.Type.Shape[ax]) {
			n.fail("axis %d of %s has %s elements, but there are %s scales", ax, x.Type, x.Type.Shape[ax], s[0])
		}
		return n.reshape(p, to)
	}
	if len(s) != rank || block < 0 {
		n.fail("with block_size %d a scale has as many axes as x; found %s for %s", block, p.Type, x.Type)
	}
	// Each scale block times along the axis, what is too much cut off.
	wide := append(append(append(shape.Shape{}, s[:ax+1]...), shape.Const(block)), s[ax+1:]...)
	flat := append(shape.Shape{}, s...)
	flat[ax] = s[ax].Mul(shape.Const(block))
	v := n.reshape(n.broadcast(n.unsqueeze(p, ax+1), wide), flat)
	if !flat[ax].Equal(x.Type.Shape[ax]) {
		if a, ok := flat[ax].Value(); ok {
			if b, ok := x.Type.Shape[ax].Value(); ok && a < b {
				n.fail("%s blocks of %d do not cover axis %d of %s", s[ax], block, ax, x.Type)
			}
		}
		v = n.slice(v, ax, shape.Const(0), x.Type.Shape[ax], 1)
	}
	return v
}

// limits are the smallest and the largest number of an integer format.
func limits(f format.Format) (lo, hi float64) {
	return float64(f.MinInt()), f.Info().MaxFinite
}

// clampRound rounds to the nearest integer, ties to even, adds a zero point and saturates to an integer format. x is a float.
func (n *node) clampRound(x, zero *ir.Value, f format.Format) *ir.Value {
	lo, hi := limits(f)
	y := n.do(op.Round, nil, x)
	if zero != nil {
		y = n.add(y, n.cast(zero, y.Type.Format))
	}
	return n.cast(n.minc(n.maxc(y, lo), hi), f)
}

func quantizeLinear(n *node) {
	x, scale, zero := n.arg(0), n.arg(1), n.opt(2)
	axis, block := n.attrInt("axis", 1), n.attrInt("block_size", 0)
	to := format.U8
	if n.attrInt("output_dtype", 0) != 0 {
		to = n.attrFormat("output_dtype", to)
	} else if zero != nil {
		to = zero.Type.Format
	}
	if zero != nil && zero.Type.Format != to {
		n.fail("output_dtype is %s, but the zero point is %s", to, zero.Type)
	}
	// The division is done in the scale's format, or in that of precision; e8m0 holds scales only.
	work := scale.Type.Format
	if n.attrInt("precision", 0) != 0 {
		work = n.attrFormat("precision", work)
	}
	if !work.IsFloat() || work == format.F8E8M0 {
		work = format.F32
		if x.Type.Format.IsFloat() {
			work = x.Type.Format
		}
	}
	s := n.quantParam(n.cast(scale, work), x, axis, block)
	y := n.div(n.cast(x, work), s)
	if zero != nil {
		zero = n.quantParam(zero, x, axis, block)
	}
	if to.IsFloat() {
		n.set(0, n.castSaturating(y, to, n.attrBool("saturate", true) || to == format.F4E2M1))
		return
	}
	n.set(0, n.clampRound(n.wide(y), zero, to))
}

// castSaturating converts to a narrow float; with saturate, what is too large becomes the largest finite number.
func (n *node) castSaturating(x *ir.Value, f format.Format, saturate bool) *ir.Value {
	return n.do(op.Cast, ir.A("format", f, "saturate", saturate), x)
}

func dequantizeLinear(n *node) {
	x, scale, zero := n.arg(0), n.arg(1), n.opt(2)
	axis, block := n.attrInt("axis", 1), n.attrInt("block_size", 0)
	out := scale.Type.Format
	if n.attrInt("output_dtype", 0) != 0 {
		out = n.attrFormat("output_dtype", out)
	}
	if out == format.F8E8M0 {
		out = format.F32
	}
	var y *ir.Value
	switch {
	case zero != nil && !x.Type.Format.IsFloat():
		if zero.Type.Format != x.Type.Format {
			n.fail("x is %s, but its zero point is %s", x.Type, zero.Type)
		}
		y = n.cast(n.sub(n.cast(x, format.I32), n.quantParam(n.cast(zero, format.I32), x, axis, block)), format.F32)
	default: // the zero point of a float is zero
		y = n.cast(x, format.F32)
	}
	n.set(0, n.cast(n.mul(y, n.quantParam(n.cast(scale, format.F32), x, axis, block)), out))
}

func dynamicQuantizeLinear(n *node) {
	x := n.arg(0)
	var all []int
	for i := range x.Type.Shape {
		all = append(all, i)
	}
	lo := n.minc(n.reduce("min", x, false, all...), 0)
	hi := n.maxc(n.reduce("max", x, false, all...), 0)
	scale := n.divc(n.sub(hi, lo), math.MaxUint8)
	// Of a tensor of zeros any scale does; the specification's body would divide zero by zero.
	scale = n.sel(n.eq(hi, lo), n.like(scale, 1.0/math.MaxUint8), scale)
	zero := n.do(op.Round, nil, n.minc(n.maxc(n.neg(n.div(lo, scale)), 0), math.MaxUint8))
	n.set(0, n.clampRound(n.div(x, scale), zero, format.U8))
	n.set(1, scale)
	n.set(2, n.cast(zero, format.U8))
}

// centred gives codes less their zero point in i32: one zero point, or one for each element of an axis.
func (n *node) centred(x, zero *ir.Value, axis int) *ir.Value {
	v := n.cast(x, format.I32)
	if zero == nil {
		return v
	}
	z := n.cast(zero, format.I32)
	if len(z.Type.Shape) <= 1 {
		z = n.perAxis(z, len(x.Type.Shape), axis)
	}
	return n.sub(v, z)
}

// perAxis gives a vector the shape in which it broadcasts along an axis of a tensor of a rank, and one number no axis.
func (n *node) perAxis(v *ir.Value, rank, axis int) *ir.Value {
	if k, ok := v.Type.Shape.Numel().Value(); ok && k == 1 || len(v.Type.Shape) == 0 {
		return n.reshape(v, dims())
	}
	if axis < 0 || axis >= rank {
		n.fail("%s has no axis for %s", v.Type, n.argName(0))
	}
	to := make(shape.Shape, rank)
	for i := range to {
		to[i] = shape.Const(1)
	}
	to[axis] = v.Type.Shape[0]
	return n.reshape(v, to)
}

// rowAxis and colAxis are the axes of a left and a right factor that zero points may differ along.
func rowAxis(x *ir.Value) int { return max(len(x.Type.Shape)-2, 0) }
func colAxis(x *ir.Value) int { return max(len(x.Type.Shape)-1, 0) }

func matMulInteger(n *node) {
	a, b := n.arg(0), n.arg(1)
	n.set(0, n.matmul(n.centred(a, n.opt(2), rowAxis(a)), n.centred(b, n.opt(3), colAxis(b)), format.I32))
}

func qLinearMatMul(n *node) {
	a, b := n.arg(0), n.arg(3)
	sum := n.matmul(n.centred(a, n.arg(2), rowAxis(a)), n.centred(b, n.arg(5), colAxis(b)), format.I32)
	rank := len(sum.Type.Shape)
	scale := func(i, axis int) *ir.Value {
		s := n.arg(i)
		if len(s.Type.Shape) <= 1 {
			s = n.perAxis(s, rank, axis)
		}
		return s
	}
	factor := n.div(n.mul(scale(1, max(rank-2, 0)), scale(4, max(rank-1, 0))), scale(6, max(rank-2, 0)))
	zero := n.arg(7)
	if len(zero.Type.Shape) <= 1 {
		zero = n.perAxis(zero, rank, max(rank-2, 0))
	}
	n.set(0, n.clampRound(n.mul(n.cast(sum, format.F32), n.cast(factor, format.F32)), zero, n.arg(7).Type.Format))
}
