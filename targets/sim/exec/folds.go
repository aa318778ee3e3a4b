package exec

import (
	"apogee/targets/plan"
	"apogee/targets/sim/kernels"
)

// kernelFold names the reductions of f32 in package kernels; the largest magnitude is the largest of the magnitudes.
var kernelFold = map[plan.Fn]kernels.BinaryOp{
	plan.VAdd: kernels.Add, plan.VMul: kernels.Mul, plan.VMax: kernels.Max, plan.VMin: kernels.Min, plan.VAbsMax: kernels.Max,
}

// foldF32 is how a row of f32 is folded into one; nil when there is no such way. The row may be changed.
func foldF32(fn plan.Fn) func([]float32) float32 {
	op, ok := kernelFold[fn]
	if !ok {
		return nil
	}
	return func(x []float32) float32 {
		var d [1]float32
		if fn == plan.VAbsMax {
			kernels.Unary(kernels.Abs, x, x)
		}
		kernels.ReduceRows(op, d[:], x, len(x), 1, len(x))
		return d[0]
	}
}

// reduce32 folds f32 rows that lie dense into f32: the usual case, without decoding. False when the tiles are something else.
func (c *core) reduce32(f *frame) bool {
	in := f.in
	a, d := &f.a, &f.dst
	if in.flush || f.acc != 0 || a.o.fmt != d.o.fmt || in.fn == plan.VAbsMax {
		return false
	}
	cols := a.lastDim()
	if cols > 1 && a.o.colStride() != 4 {
		return false
	}
	aw, dw := a.walk(), d.walk()
	for range a.rows() {
		x, y := f32s(a.buf, aw.at, cols), f32s(d.buf, dw.at, 1)
		if x == nil || y == nil {
			return false
		}
		kernels.ReduceRows(in.fold, y, x, int(cols), 1, int(cols))
		aw.next()
		dw.next()
	}
	return true
}
