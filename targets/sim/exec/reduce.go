package exec

import (
	"math"

	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/sim/kernels"
)

// runReduce folds rows.
func runReduce(c *core, f *frame) error {
	switch f.in.class {
	case inF32:
		if f.in.direct && c.reduce32(f) {
			return nil
		}
		reduceRows(c.f32(), &c.row32, f, f.in.fold32)
	case inF64:
		reduceRows(c.f64(), &c.row64, f, f.in.fold64)
	default:
		reduceRows(c.i64(), &c.rowInt, f, f.in.foldInt)
	}
	return nil
}

func reduceRows[T lane](b *bank[T], scratch *[]T, f *frame, fold func(row []T) T) {
	in := f.in
	cols := f.a.lastDim()
	rows := f.a.rows()
	d, a := f.dst.walk(), f.a.walk()
	*scratch = grow(*scratch, cols+2)
	row := (*scratch)[:cols]
	var two [2]T
	for range rows {
		x := direct[T](f.a.o, f.a.buf, a.at, 0, f.a.o.colStride(), 1, cols)
		if x == nil || in.flush || in.fn == plan.VAbsMax {
			x = row
			loadRow(b, x, f.a.o, f.a.buf, a.at)
			if in.flush {
				flushLane(f.a.o.fmt, x)
			}
		}
		two[1] = fold(x)
		if f.acc != 0 {
			loadRow(b, two[:1], f.dst.o, f.dst.buf, d.at)
			if in.flush {
				flushLane(f.dst.o.fmt, two[:1])
			}
			two[1] = fold(two[:])
		}
		if in.flush && f.dst.o.fmt == format.F32 {
			flushLane(format.F32, two[1:])
		}
		storeRow(b, f.dst.o, f.dst.buf, d.at, two[1:], in.mode)
		d.next()
		a.next()
	}
}

func (in *instr) checkReduce(flush bool, lanes int) error {
	if in.a == nil || in.b != nil || in.c != nil {
		return problem("reduce takes one operand")
	}
	f := in.a.fmt
	in.class = classOf(f)
	if classOf(in.dst.fmt) != in.class {
		return problem("reduce of %s gives %s", f, in.dst.fmt)
	}
	in.mode = in.dst.fmt.DefaultMode()
	in.flush = flush && f.IsFloat()
	in.mode.FlushSubnormals = in.flush
	switch in.class {
	case inF32:
		in.fold32 = foldF32(in.fn, lanes)
		in.lanes = lanes
		in.fold = kernelFold[in.fn]
		in.direct = f == format.F32
	case inF64:
		in.fold64 = foldF64(in.fn)
	default:
		in.foldInt = foldInt(in.fn, in.class, f)
	}
	if in.fold32 == nil && in.fold64 == nil && in.foldInt == nil {
		return problem("reduce does not fold %s with %s", f, in.fn)
	}
	return nil
}

func foldF64(fn plan.Fn) func([]float64) float64 {
	fold := func(start float64, g func(a, b float64) float64) func([]float64) float64 {
		return func(x []float64) float64 {
			s := start
			for _, v := range x {
				s = g(s, v)
			}
			return canonical64(s)
		}
	}
	switch fn {
	case plan.VAdd:
		return fold(0, func(a, b float64) float64 { return a + b })
	case plan.VMul:
		return fold(1, func(a, b float64) float64 { return a * b })
	case plan.VMax:
		return fold(math.Inf(-1), func(a, b float64) float64 { return max(a, b) })
	case plan.VMin:
		return fold(math.Inf(1), func(a, b float64) float64 { return min(a, b) })
	case plan.VAbsMax:
		return fold(0, func(a, b float64) float64 { return max(math.Abs(a), math.Abs(b)) })
	}
	return nil
}

func foldInt(fn plan.Fn, cl class, f format.Format) func([]int64) int64 {
	fold := func(start int64, g func(a, b int64) int64) func([]int64) int64 {
		return func(x []int64) int64 {
			s := start
			for _, v := range x {
				s = g(s, v)
			}
			return s
		}
	}
	lo, hi := f.MinInt(), f.MaxInt()
	if cl == inU64 {
		hi = -1
	}
	less := func(a, b int64) bool { return a < b }
	if cl == inU64 {
		less = func(a, b int64) bool { return uint64(a) < uint64(b) }
	}
	switch fn {
	case plan.VAnd:
		return fold(-1, func(a, b int64) int64 { return a & b })
	case plan.VOr:
		return fold(0, func(a, b int64) int64 { return a | b })
	}
	if f == format.Bool {
		return nil
	}
	switch fn {
	case plan.VAdd:
		return fold(0, func(a, b int64) int64 { return a + b })
	case plan.VMul:
		return fold(1, func(a, b int64) int64 { return a * b })
	case plan.VMax:
		return fold(lo, func(a, b int64) int64 {
			if less(a, b) {
				return b
			}
			return a
		})
	case plan.VMin:
		return fold(hi, func(a, b int64) int64 {
			if less(b, a) {
				return b
			}
			return a
		})
	case plan.VAbsMax:
		if !f.IsSigned() {
			return foldInt(plan.VMax, cl, f)
		}
		return fold(0, func(a, b int64) int64 { return max(a, b, -b) })
	}
	return nil
}

// kernelFold names the reductions of f32 in package kernels; the largest magnitude is the largest of the magnitudes.
var kernelFold = map[plan.Fn]kernels.BinaryOp{
	plan.VAdd: kernels.Add, plan.VMul: kernels.Mul, plan.VMax: kernels.Max, plan.VMin: kernels.Min, plan.VAbsMax: kernels.Max,
}

// foldF32 is how a row of f32 is folded into one by so many lanes; nil when there is no such way. The row may be changed.
func foldF32(fn plan.Fn, lanes int) func([]float32) float32 {
	op, ok := kernelFold[fn]
	if !ok {
		return nil
	}
	return func(x []float32) float32 {
		var d [1]float32
		if fn == plan.VAbsMax {
			kernels.Unary(kernels.Abs, x, x)
		}
		kernels.ReduceRows(op, lanes, d[:], x, len(x), 1, len(x))
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
		kernels.ReduceRows(in.fold, in.lanes, y, x, int(cols), 1, int(cols))
		aw.next()
		dw.next()
	}
	return true
}
