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
		Row{Op: "LayerNormalization", Since: 17, Lower: layerNorm, Doc: "(x - mean)/√(var + epsilon)·scale + bias over the axes from one on."},
		Row{Op: "RMSNormalization", Since: 23, Lower: rmsNorm, Doc: "x/√(mean of squares + epsilon)·scale over the axes from one on."},
		Row{Op: "InstanceNormalization", Since: 1, Lower: instanceNorm, Doc: "Each channel of each batch element to mean 0 and variance 1, then scale and bias."},
		Row{Op: "GroupNormalization", Since: 18, Lower: func(n *node) { n.groupNorm(true) }, Doc: "Groups of channels; a scale and bias for each group."},
		Row{Op: "GroupNormalization", Since: 21, Lower: func(n *node) { n.groupNorm(false) }, Doc: "A scale and bias for each channel."},
		Row{Op: "MeanVarianceNormalization", Since: 9, Lower: meanVarianceNorm, Doc: "(x - mean)/(√var + 1e-9) over given axes."},
		Row{Op: "LpNormalization", Since: 1, Lower: lpNorm, Doc: "x over its p-norm along an axis, zero where that is zero."},
		Row{Op: "LRN", Since: 1, Lower: localResponse, Doc: "x over a power of the mean of squares of the channels around."},
	)
}

// stash is the float in which statistics are computed.
func (n *node) stash(x *ir.Value) format.Format {
	f := n.attrFormat("stash_type", format.F32)
	if !f.IsFloat() {
		n.fail("attribute stash_type names %s, no float", f)
	}
	if x.Type.Format == format.F64 {
		return format.F64
	}
	return f
}

// standardise gives (x - mean)/√(var + eps) over axes, the mean and 1/√(var + eps).
func (n *node) standardise(x *ir.Value, eps float64, axes ...int) (y, mean, inv *ir.Value) {
	mean = n.reduce("mean", x, true, axes...)
	d := n.sub(x, mean)
	inv = n.do(op.Rsqrt, nil, n.addc(n.reduce("mean", n.mul(d, d), true, axes...), eps))
	return n.mul(d, inv), mean, inv
}

// from lists the axes from one on.
func from(axis, rank int) []int {
	var out []int
	for i := axis; i < rank; i++ {
		out = append(out, i)
	}
	return out
}

func layerNorm(n *node) {
	x, scale := n.arg(0), n.arg(1)
	rank := len(x.Type.Shape)
	axes := from(n.axis(n.attrInt("axis", -1), rank), rank)
	y, mean, inv := n.standardise(n.cast(x, n.stash(x)), n.attrFloat("epsilon", 1e-5), axes...)
	y = n.mul(n.cast(y, x.Type.Format), n.cast(scale, x.Type.Format))
	if b := n.opt(2); b != nil {
		y = n.add(y, n.cast(b, x.Type.Format))
	}
	n.set(0, y)
	n.set(1, mean)
	n.set(2, inv)
}

func rmsNorm(n *node) {
	x, scale := n.arg(0), n.arg(1)
	rank := len(x.Type.Shape)
	axes := from(n.axis(n.attrInt("axis", -1), rank), rank)
	w := n.cast(x, n.stash(x))
	inv := n.do(op.Rsqrt, nil, n.addc(n.reduce("mean", n.mul(w, w), true, axes...), n.attrFloat("epsilon", 1e-5)))
	n.set(0, n.mul(n.cast(n.mul(w, inv), scale.Type.Format), scale))
}

func instanceNorm(n *node) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	if rank < 3 {
		n.fail("x is %s, expected [N, C, D…]", x.Type)
	}
	y, _, _ := n.standardise(n.wide(x), n.attrFloat("epsilon", 1e-5), from(2, rank)...)
	f := y.Type.Format
	y = n.add(n.mul(y, n.perAxis(n.cast(n.arg(1), f), rank, 1)), n.perAxis(n.cast(n.arg(2), f), rank, 1))
	n.set(0, n.cast(y, x.Type.Format))
}

func (n *node) groupNorm(perGroup bool) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	count := n.attrInt("num_groups", 0)
	if rank < 2 || count < 1 {
		n.fail("x is %s with num_groups = %d, expected [N, C, D…] and at least one group", x.Type, count)
	}
	per, ok := x.Type.Shape[1].Div(shape.Const(count))
	if !ok {
		n.fail("num_groups = %d does not divide the %s channels of x", count, x.Type.Shape[1])
	}
	g := shape.Const(count)
	split := append(shape.Shape{x.Type.Shape[0], g, per}, x.Type.Shape[2:]...)
	w := n.cast(x, n.stash(x))
	y, _, _ := n.standardise(n.reshape(w, split), n.attrFloat("epsilon", 1e-5), from(2, rank+1)...)
	y = n.cast(y, x.Type.Format)
	if perGroup {
		y = n.add(n.mul(y, n.perAxis(n.arg(1), rank+1, 1)), n.perAxis(n.arg(2), rank+1, 1))
		n.set(0, n.reshape(y, x.Type.Shape))
		return
	}
	y = n.reshape(y, x.Type.Shape)
	n.set(0, n.add(n.mul(y, n.perAxis(n.arg(1), rank, 1)), n.perAxis(n.arg(2), rank, 1)))
}

func meanVarianceNorm(n *node) {
	x := n.arg(0)
	list := n.attrInts("axes")
	if list == nil {
		list = []int64{0, 2, 3}
	}
	axes := n.axes(list, len(x.Type.Shape))
	w := n.wide(x)
	mean := n.reduce("mean", w, true, axes...)
	d := n.sub(w, mean)
	// The variance from the differences, which the specification's difference of means equals without its cancellation.
	std := n.sqrt(n.reduce("mean", n.mul(d, d), true, axes...))
	n.set(0, n.cast(n.div(d, n.addc(std, 1e-9)), x.Type.Format))
}

func lpNorm(n *node) {
	x := n.arg(0)
	p := n.attrInt("p", 2)
	if p != 1 && p != 2 {
		n.fail("attribute p is %d, expected 1 or 2", p)
	}
	w := n.wide(x)
	norm := n.root(n.reduce("sum", n.toPower(w, float64(p)), true, n.axis(n.attrInt("axis", -1), len(x.Type.Shape))), float64(p))
	none := n.eq(norm, n.like(norm, 0))
	n.set(0, n.cast(n.sel(none, n.like(w, 0), n.div(w, n.sel(none, n.like(norm, 1), norm))), x.Type.Format))
}

func localResponse(n *node) {
	x := n.arg(0)
	size := n.attrInt("size", 0)
	rank := len(x.Type.Shape)
	if size < 1 || rank < 2 {
		n.fail("x is %s and size %d, expected [N, C, D…] and at least 1", x.Type, size)
	}
	w := n.wide(x)
	lo, hi := make([]int64, rank), make([]int64, rank)
	lo[1], hi[1] = (size-1)/2, size/2 // floor and ceil of (size-1)/2
	sq := n.pad(n.mul(w, w), lo, hi, n.like(w, 0))
	sum := n.reduce("sum", n.do(op.Window, ir.A("axis", 1, "size", size), sq), false, 2)
	base := n.addc(n.mulc(sum, n.attrFloat("alpha", 1e-4)/float64(size)), n.attrFloat("bias", 1))
	beta := n.attrFloat("beta", 0.75)
	var y *ir.Value
	if beta == 0.5 {
		y = n.div(w, n.sqrt(base))
	} else {
		y = n.div(w, n.pow(base, n.like(base, math.Abs(beta))))
		if beta < 0 {
			y = n.mul(w, n.pow(base, n.like(base, -beta)))
		}
	}
	n.set(0, n.cast(y, x.Type.Format))
}
