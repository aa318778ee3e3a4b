package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	// Functions of one operand, computed in at least f32 and rounded once.
	for _, r := range []struct {
		name  string
		since int64
		f     func(n *node, x *ir.Value) *ir.Value
		doc   string
	}{
		{"Acos", 7, (*node).acos, "2·atan(√((1-x)/(1+x)))."},
		{"Acosh", 9, (*node).acosh, "log(x + √(x-1)·√(x+1))."},
		{"Asin", 7, (*node).asin, "2·atan(x / (1+√((1-x)(1+x))))."},
		{"Asinh", 9, (*node).asinh, "log1p(|x| + x²/(1+√(x²+1))) with the sign of x."},
		{"Atan", 7, func(n *node, x *ir.Value) *ir.Value { return n.do(op.Atan, nil, x) }, "The op atan."},
		{"Atanh", 9, (*node).atanh, "log1p(2|x|/(1-|x|))/2 with the sign of x."},
		{"Cosh", 9, (*node).cosh, "(e^x + e^-x)/2."},
		{"Sinh", 9, (*node).sinh, "(e^x - e^-x)/2, by e^x - 1 where x is small."},
		{"Tan", 7, func(n *node, x *ir.Value) *ir.Value { return n.div(n.do(op.Sin, nil, x), n.do(op.Cos, nil, x)) }, "sin x / cos x."},
		{"Celu", 12, (*node).celu, "max(0,x) + min(0, alpha·(e^(x/alpha) - 1))."},
		{"Elu", 1, (*node).elu, "x, or alpha·(e^x - 1) where x < 0."},
		{"Gelu", 20, (*node).gelu, "x·(1+erf(x/√2))/2, or its approximation with tanh."},
		{"HardSigmoid", 1, (*node).hardSigmoid, "alpha·x + beta between 0 and 1."},
		{"HardSwish", 14, func(n *node, x *ir.Value) *ir.Value { return n.mul(x, n.unit(x, 1.0/6, 0.5)) }, "x·HardSigmoid(x) with alpha 1/6 and beta 1/2."},
		{"Mish", 18, func(n *node, x *ir.Value) *ir.Value { return n.mul(x, n.do(op.Tanh, nil, n.softplus(x))) }, "x·tanh(log(1+e^x))."},
		{"Selu", 1, (*node).selu, "gamma·x, or gamma·alpha·(e^x - 1) where x ≤ 0."},
		{"Softplus", 1, (*node).softplus, "log(1+e^x)."},
		{"Softsign", 1, func(n *node, x *ir.Value) *ir.Value { return n.div(x, n.addc(n.abs(x), 1)) }, "x/(1+|x|)."},
		{"Swish", 24, (*node).swish, "x·sigmoid(alpha·x)."},
		{"ScaledTanh", 1, (*node).scaledTanh, "alpha·tanh(beta·x), of the first versions."},
		{"Affine", 1, func(n *node, x *ir.Value) *ir.Value {
			return n.addc(n.mulc(x, n.attrFloat("alpha", 1)), n.attrFloat("beta", 0))
		}, "alpha·x + beta, of the first versions."},
	} {
		f := r.f
		register(Row{Op: r.name, Since: r.since, Doc: r.doc, Lower: func(n *node) {
			x := n.arg(0)
			if !x.Type.Format.IsFloat() {
				n.fail("it takes floats, found %s", x.Type)
			}
			n.set(0, n.cast(f(n, n.wide(x)), x.Type.Format))
		}})
	}
	register(
		Row{Op: "Relu", Since: 1, Lower: func(n *node) { n.set(0, n.maxc(n.arg(0), 0)) }, Doc: "max(x, 0)."},
		Row{Op: "LeakyRelu", Since: 1, Lower: lowerLeakyRelu, Doc: "x, or alpha·x where x < 0."},
		Row{Op: "PRelu", Since: 1, Lower: lowerPReluChannels, Doc: "x, or slope·x where x < 0; the slope is one number, or one a channel."},
		Row{Op: "PRelu", Since: 7, Lower: lowerPRelu, Doc: "x, or slope·x where x < 0; the slope broadcasts."},
		Row{Op: "Shrink", Since: 9, Lower: lowerShrink, Doc: "x moved by bias toward zero outside of ±lambd, else 0."},
		Row{Op: "ThresholdedRelu", Since: 1, Lower: lowerThresholdedRelu, Doc: "x where x > alpha, else 0."},
		Row{Op: "SwiGLU", Since: 28, Lower: lowerSwiGLU, Doc: "a·sigmoid(alpha·a)·b."},
	)
}

// signed gives y the sign of x, by which y ≥ 0 was computed.
func (n *node) signed(x, y *ir.Value) *ir.Value {
	return n.sel(n.lt(x, n.like(x, 0)), n.neg(y), y)
}

// log1p is log(1+u) for u ≥ -1, right where u is small: the rounding error of w = 1+u is in both log(w) and w-1 (Kahan).
func (n *node) log1p(u *ir.Value) *ir.Value {
	one := n.like(u, 1)
	w := n.add(u, one)
	l := n.log(w)
	small := n.sel(n.eq(w, one), u, n.mul(l, n.div(u, n.sub(w, one))))
	return n.sel(n.gt(u, one), l, small)
}

// expm1 is e^x - 1, right where x is small: as log1p.
func (n *node) expm1(x *ir.Value) *ir.Value {
	one := n.like(x, 1)
	u := n.exp(x)
	d := n.sub(u, one)
	small := n.sel(n.eq(u, one), x, n.mul(d, n.div(x, n.log(u))))
	return n.sel(n.gt(n.abs(x), one), d, small)
}

func (n *node) acos(x *ir.Value) *ir.Value {
	one := n.like(x, 1)
	return n.mulc(n.do(op.Atan, nil, n.sqrt(n.div(n.sub(one, x), n.add(one, x)))), 2)
}

func (n *node) asin(x *ir.Value) *ir.Value {
	one := n.like(x, 1)
	root := n.sqrt(n.mul(n.sub(one, x), n.add(one, x)))
	return n.mulc(n.do(op.Atan, nil, n.div(x, n.add(one, root))), 2)
}

func (n *node) acosh(x *ir.Value) *ir.Value {
	one := n.like(x, 1)
	return n.log(n.add(x, n.mul(n.sqrt(n.sub(x, one)), n.sqrt(n.add(x, one)))))
}

func (n *node) asinh(x *ir.Value) *ir.Value {
	one := n.like(x, 1)
	a := n.abs(x)
	// a²/(1+√(a²+1)) is written so that a² does not overflow.
	u := n.add(a, n.mul(a, n.div(a, n.add(one, n.sqrt(n.add(n.mul(a, a), one))))))
	big := n.addc(n.log(a), math.Ln2) // where a² overflows, or nearly
	return n.signed(x, n.sel(n.gt(a, n.like(x, 1e9)), big, n.log1p(u)))
}

func (n *node) atanh(x *ir.Value) *ir.Value {
	a := n.abs(x)
	u := n.div(n.mulc(a, 2), n.sub(n.like(x, 1), a))
	return n.signed(x, n.mulc(n.log1p(u), 0.5))
}

func (n *node) cosh(x *ir.Value) *ir.Value {
	return n.add(n.exp(n.subc(x, math.Ln2)), n.exp(n.subc(n.neg(x), math.Ln2)))
}

func (n *node) sinh(x *ir.Value) *ir.Value {
	a := n.abs(x)
	t := n.expm1(a)
	small := n.mulc(n.add(t, n.div(t, n.addc(t, 1))), 0.5)
	big := n.sub(n.exp(n.subc(a, math.Ln2)), n.exp(n.subc(n.neg(a), math.Ln2)))
	return n.signed(x, n.sel(n.gt(a, n.like(a, 1)), big, small))
}

func (n *node) celu(x *ir.Value) *ir.Value {
	alpha := n.attrFloat("alpha", 1)
	return n.add(n.maxc(x, 0), n.mulc(n.expm1(n.divc(n.minc(x, 0), alpha)), alpha))
}

func (n *node) elu(x *ir.Value) *ir.Value {
	zero := n.like(x, 0)
	return n.sel(n.lt(x, zero), n.mulc(n.expm1(n.min(x, zero)), n.attrFloat("alpha", 1)), x)
}

func (n *node) selu(x *ir.Value) *ir.Value {
	// The defaults are those of version 6, in which they were corrected; version 1 had them with fewer digits.
	alpha, gamma := float64(float32(1.67326319217681884765625)), float64(float32(1.05070102214813232421875))
	if n.version < 6 {
		alpha, gamma = 1.6732, 1.0507
	}
	alpha, gamma = n.attrFloat("alpha", alpha), n.attrFloat("gamma", gamma)
	zero := n.like(x, 0)
	return n.mulc(n.sel(n.gt(x, zero), x, n.mulc(n.expm1(n.min(x, zero)), alpha)), gamma)
}

func (n *node) gelu(x *ir.Value) *ir.Value {
	if n.attrStr("approximate", "none", "none", "tanh") == "none" {
		return n.mul(n.mulc(x, 0.5), n.addc(n.do(op.Erf, nil, n.mulc(x, math.Sqrt2/2)), 1))
	}
	cube := n.mul(x, n.mul(x, x))
	inner := n.mulc(n.add(x, n.mulc(cube, 0.044715)), math.Sqrt(2/math.Pi))
	return n.mul(n.mulc(x, 0.5), n.addc(n.do(op.Tanh, nil, inner), 1))
}

// unit is alpha·x + beta between 0 and 1.
func (n *node) unit(x *ir.Value, alpha, beta float64) *ir.Value {
	return n.maxc(n.minc(n.addc(n.mulc(x, alpha), beta), 1), 0)
}

func (n *node) hardSigmoid(x *ir.Value) *ir.Value {
	return n.unit(x, n.attrFloat("alpha", 0.2), n.attrFloat("beta", 0.5))
}

func (n *node) softplus(x *ir.Value) *ir.Value {
	return n.add(n.maxc(x, 0), n.log1p(n.exp(n.neg(n.abs(x)))))
}

func (n *node) swish(x *ir.Value) *ir.Value {
	return n.mul(x, n.do(op.Sigmoid, nil, n.mulc(x, n.attrFloat("alpha", 1))))
}

func (n *node) scaledTanh(x *ir.Value) *ir.Value {
	return n.mulc(n.do(op.Tanh, nil, n.mulc(x, n.attrFloat("beta", 1))), n.attrFloat("alpha", 1))
}

func lowerLeakyRelu(n *node) {
	x := n.arg(0)
	n.set(0, n.sel(n.lt(x, n.like(x, 0)), n.mulc(x, n.attrFloat("alpha", 0.01)), x))
}

func lowerPRelu(n *node) { n.prelu(n.arg(1)) }

// lowerPReluChannels brings a slope of one number a channel to axis 1.
func lowerPReluChannels(n *node) {
	x, slope := n.arg(0), n.arg(1)
	if len(slope.Type.Shape) == 1 && len(x.Type.Shape) > 2 {
		s := append(shape.Shape{}, slope.Type.Shape...)
		for range len(x.Type.Shape) - 2 {
			s = append(s, shape.Const(1))
		}
		slope = n.reshape(slope, s)
	}
	n.prelu(slope)
}

func (n *node) prelu(slope *ir.Value) {
	x := n.arg(0)
	n.set(0, n.sel(n.lt(x, n.like(x, 0)), n.mul(slope, x), x))
}

// lowerShrink also takes integers, for which lambd and bias are compared and added as floats.
func lowerShrink(n *node) {
	x := n.arg(0)
	lambd, bias := n.attrFloat("lambd", 0.5), n.attrFloat("bias", 0)
	y := x
	if !x.Type.Format.IsFloat() {
		y = n.cast(x, n.floatFor(x.Type.Format))
	}
	zero := n.like(y, 0)
	v := n.sel(n.lt(y, n.like(y, -lambd)), n.addc(y, bias), n.sel(n.gt(y, n.like(y, lambd)), n.subc(y, bias), zero))
	n.set(0, n.cast(v, x.Type.Format))
}

func lowerThresholdedRelu(n *node) {
	x := n.arg(0)
	n.set(0, n.sel(n.gt(x, n.like(x, n.attrFloat("alpha", 1))), x, n.like(x, 0)))
}

func lowerSwiGLU(n *node) {
	a, b := n.arg(0), n.arg(1)
	if !a.Type.Shape.Equal(b.Type.Shape) {
		n.fail("both operands have one shape, found %s and %s", a.Type, b.Type)
	}
	n.set(0, n.cast(n.mul(n.swish(n.wide(a)), n.wide(b)), a.Type.Format))
}
