package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "Dropout", Since: 1, Lower: lowerDropout, Doc: "The operand; the mask is true everywhere."},
		Row{Op: "BatchNormalization", Since: 1, Lower: lowerBatchNormalization, Doc: "(x - mean)/√(var + epsilon)·scale + bias, of inference."},
	)
}

// lowerDropout is what is left of it in inference. Where version 12's operand asks for training with a ratio of 0, that is the same.
func lowerDropout(n *node) {
	x := n.arg(0)
	if n.has(2) && n.version >= 12 {
		if mode, err := n.tensor(2).I64s(); err != nil || len(mode) != 1 {
			n.fail("%s is one bool", n.argName(2))
		} else if mode[0] != 0 && (!n.has(1) || n.float(1) != 0) {
			failf(CodeScope, "Dropout: %s", forTraining)
		}
	}
	n.set(0, x)
	mask := format.Bool
	if n.version < 10 {
		mask = x.Type.Format
	}
	if n.wants(1) {
		n.set(1, n.broadcast(n.cast(n.boolConst(true), mask), x.Type.Shape))
	}
}

// lowerBatchNormalization has all versions: before 9, spatial = 0 has parameters for each element and not for each channel.
func lowerBatchNormalization(n *node) {
	if n.attrBool("training_mode", false) {
		failf(CodeScope, "BatchNormalization: %s", forTraining)
	}
	for i := 1; i < len(n.proto.Output); i++ {
		if n.wants(i) {
			failf(CodeScope, "BatchNormalization with more than one output: %s", forTraining)
		}
	}
	x := n.arg(0)
	f := x.Type.Format
	wide := n.wide(x)
	rank := len(x.Type.Shape)
	spatial := n.version >= 9 || n.attrBool("spatial", true)
	param := func(i int) *ir.Value {
		p := n.cast(n.arg(i), wide.Type.Format)
		if !spatial || rank < 2 {
			return p
		}
		if len(p.Type.Shape) != 1 || !p.Type.Shape[0].Equal(x.Type.Shape[1]) {
			n.fail("%s has one number a channel of %s, found %s", n.argName(i), x.Type, p.Type)
		}
		s := ones(rank - 1)
		s[0] = p.Type.Shape[0]
		return n.reshape(p, append(shape.Shape{}, s...))
	}
	scale, bias, mean, variance := param(1), param(2), param(3), param(4)
	root := n.sqrt(n.addc(variance, n.attrFloat("epsilon", 1e-5)))
	y := n.add(n.mul(n.div(n.sub(wide, mean), root), scale), bias)
	n.set(0, n.cast(y, f))
}
