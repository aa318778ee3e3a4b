package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	for _, r := range []struct {
		name string
		f    func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value
		// byOperand is the version from which on the axes are an operand.
		byOperand int64
		doc       string
	}{
		{"ReduceSum", (*node).reduceSum, 13, "Sum."},
		{"ReduceMean", (*node).reduceMean, 18, "Sum over count; of integers, without the fraction."},
		{"ReduceProd", func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value { return n.reduce("prod", x, keep, axes...) }, 18, "Product."},
		{"ReduceMax", (*node).reduceMax, 18, "Largest; of bools, whether one is true."},
		{"ReduceMin", (*node).reduceMin, 18, "Smallest; of bools, whether all are true."},
		{"ReduceL1", func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value {
			if !unsigned(x.Type.Format) {
				x = n.abs(x)
			}
			return n.reduceSum(x, axes, keep)
		}, 18, "Sum of magnitudes."},
		{"ReduceSumSquare", func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value {
			return n.inFloat(x, false, func(x *ir.Value) *ir.Value { return n.reduceSum(n.mul(x, x), axes, keep) })
		}, 18, "Sum of squares."},
		{"ReduceL2", func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value {
			return n.inFloat(x, true, func(x *ir.Value) *ir.Value { return n.sqrt(n.reduceSum(n.mul(x, x), axes, keep)) })
		}, 18, "Root of the sum of squares."},
		{"ReduceLogSum", func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value {
			return n.inFloat(x, true, func(x *ir.Value) *ir.Value { return n.log(n.reduceSum(x, axes, keep)) })
		}, 18, "Logarithm of the sum."},
		{"ReduceLogSumExp", func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value {
			return n.inFloat(x, true, func(x *ir.Value) *ir.Value { return n.logSumExp(x, axes, keep) })
		}, 18, "Logarithm of the sum of exponentials, the largest taken off first."},
	} {
		f := r.f
		register(
			Row{Op: r.name, Since: 1, Doc: r.doc + " The axes are an attribute.", Lower: func(n *node) { n.set(0, n.reduceBy(f, n.attrInts("axes"))) }},
			Row{Op: r.name, Since: r.byOperand, Doc: r.doc + " The axes are an operand.", Lower: func(n *node) { n.set(0, n.reduceBy(f, n.optInts(1))) }},
		)
	}
	register(
		Row{Op: "ArgMax", Since: 1, Lower: func(n *node) { n.set(0, n.arg1(n.arg(0))) }, Doc: "The op argmax; of equal ones the first, or the last."},
		Row{Op: "ArgMin", Since: 1, Lower: func(n *node) { n.set(0, n.arg1(n.opposite(n.arg(0)))) }, Doc: "The op argmax of what is in the opposite order."},
		Row{Op: "CumSum", Since: 11, Lower: func(n *node) { n.set(0, n.running("sum")) }, Doc: "The op cumsum."},
		Row{Op: "CumProd", Since: 26, Lower: func(n *node) { n.set(0, n.running("prod")) }, Doc: "The op cumsum of kind prod."},
		Row{Op: "Softmax", Since: 1, Lower: flattened(softmaxOf), Doc: "Softmax over all axes from axis on as one."},
		Row{Op: "Softmax", Since: 13, Lower: alongAxis(softmaxOf), Doc: "Softmax along one axis."},
		Row{Op: "LogSoftmax", Since: 1, Lower: flattened((*node).logSoftmax), Doc: "Logarithm of the softmax over all axes from axis on as one."},
		Row{Op: "LogSoftmax", Since: 13, Lower: alongAxis((*node).logSoftmax), Doc: "Logarithm of the softmax along one axis."},
		Row{Op: "Hardmax", Since: 1, Lower: flattened((*node).hardmax), Doc: "1 for the first of the largest of all axes from axis on, else 0."},
		Row{Op: "Hardmax", Since: 13, Lower: alongAxis((*node).hardmax), Doc: "1 for the first of the largest along one axis, else 0."},
	)
}

// reduceBy folds the axes given, or all when none are and noop_with_empty_axes does not say otherwise.
func (n *node) reduceBy(f func(n *node, x *ir.Value, axes []int, keep bool) *ir.Value, list []int64) *ir.Value {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	axes := n.axes(list, rank)
	if len(list) == 0 && !n.attrBool("noop_with_empty_axes", false) {
		axes = make([]int, rank)
		for i := range axes {
			axes[i] = i
		}
	}
	return f(n, x, axes, n.attrBool("keepdims", true))
}

// inFloat computes a composition in at least f32; always says that integers take part in floats too.
func (n *node) inFloat(x *ir.Value, always bool, f func(x *ir.Value) *ir.Value) *ir.Value {
	y := n.wide(x)
	if always && !x.Type.Format.IsFloat() {
		y = n.cast(x, n.floatFor(x.Type.Format))
	}
	return n.cast(f(y), x.Type.Format)
}

func (n *node) reduceSum(x *ir.Value, axes []int, keep bool) *ir.Value {
	return n.reduce("sum", x, keep, axes...)
}

func (n *node) reduceMean(x *ir.Value, axes []int, keep bool) *ir.Value {
	if x.Type.Format.IsFloat() {
		return n.reduce("mean", x, keep, axes...)
	}
	count := shape.Const(1)
	for _, a := range axes {
		count = count.Mul(x.Type.Shape[a])
	}
	f := n.floatFor(x.Type.Format)
	sum := n.cast(n.reduce("sum", n.cast(x, format.I64), keep, axes...), f)
	return n.cast(n.div(sum, n.cast(n.dim(format.I64, count), f)), x.Type.Format)
}

func (n *node) reduceMax(x *ir.Value, axes []int, keep bool) *ir.Value {
	if x.Type.Format == format.Bool {
		return n.reduce("any", x, keep, axes...)
	}
	return n.reduce("max", x, keep, axes...)
}

func (n *node) reduceMin(x *ir.Value, axes []int, keep bool) *ir.Value {
	if x.Type.Format == format.Bool {
		return n.reduce("all", x, keep, axes...)
	}
	return n.reduce("min", x, keep, axes...)
}

// logSumExp takes the largest off where it is finite: of nothing but -inf the sum is 0 and the logarithm -inf.
func (n *node) logSumExp(x *ir.Value, axes []int, keep bool) *ir.Value {
	m := n.reduce("max", x, true, axes...)
	m = n.sel(n.lt(n.abs(m), n.like(m, math.Inf(1))), m, n.like(m, 0))
	s := n.log(n.reduce("sum", n.exp(n.sub(x, m)), keep, axes...))
	return n.add(s, n.reshape(m, s.Type.Shape))
}

// opposite gives numbers in the opposite order.
func (n *node) opposite(x *ir.Value) *ir.Value {
	if x.Type.Format.IsInt() {
		return n.not(x)
	}
	return n.neg(x)
}

// arg1 is ArgMax of x with the node's attributes.
func (n *node) arg1(x *ir.Value) *ir.Value {
	axis := n.axis(n.attrInt("axis", 0), len(x.Type.Shape))
	last := n.attrBool("select_last_index", false)
	if last {
		x = n.reverse(x, axis)
	}
	i := n.cast(n.do(op.ArgMax, ir.A("axis", axis), x), format.I64)
	if last {
		i = n.sub(n.dim(format.I64, x.Type.Shape[axis].Sub(shape.Const(1))), i)
	}
	if n.attrBool("keepdims", true) {
		i = n.unsqueeze(i, axis)
	}
	return i
}

// running is CumSum or CumProd.
func (n *node) running(kind string) *ir.Value {
	x := n.arg(0)
	axis := n.axis(n.int(1), len(x.Type.Shape))
	return n.do(op.Cumsum, ir.A("axis", axis, "kind", kind, "exclusive", n.attrBool("exclusive", false), "reverse", n.attrBool("reverse", false)), x)
}

func softmaxOf(n *node, x *ir.Value, axis int) *ir.Value { return n.softmax(x, axis) }

func (n *node) logSoftmax(x *ir.Value, axis int) *ir.Value {
	d := n.sub(x, n.reduce("max", x, true, axis))
	return n.sub(d, n.log(n.reduce("sum", n.exp(d), true, axis)))
}

func (n *node) hardmax(x *ir.Value, axis int) *ir.Value {
	best := n.unsqueeze(n.do(op.ArgMax, ir.A("axis", axis), x), axis)
	at := ones(len(x.Type.Shape))
	at[axis] = x.Type.Shape[axis]
	return n.cast(n.eq(best, n.iota(format.I32, at, axis)), x.Type.Format)
}

// alongAxis applies f along the attribute axis, by default the last, in at least f32.
func alongAxis(f func(n *node, x *ir.Value, axis int) *ir.Value) func(n *node) {
	return func(n *node) {
		x := n.arg(0)
		axis := n.axis(n.attrInt("axis", -1), len(x.Type.Shape))
		n.set(0, n.cast(f(n, n.wide(x), axis), x.Type.Format))
	}
}

// flattened applies f to a matrix whose rows are the axes from the attribute axis on, by default 1.
func flattened(f func(n *node, x *ir.Value, axis int) *ir.Value) func(n *node) {
	return func(n *node) {
		x := n.arg(0)
		s := x.Type.Shape
		rank := int64(len(s))
		a := n.attrInt("axis", 1)
		if a < -rank || a > rank {
			n.fail("axis %d is out of range for rank %d", a, rank)
		}
		if a < 0 {
			a += rank
		}
		if a == rank-1 {
			n.set(0, n.cast(f(n, n.wide(x), int(a)), x.Type.Format))
			return
		}
		y := f(n, n.wide(n.reshape(x, shape.Shape{s[:a].Numel(), s[a:].Numel()})), 1)
		n.set(0, n.reshape(n.cast(y, x.Type.Format), s))
	}
}
