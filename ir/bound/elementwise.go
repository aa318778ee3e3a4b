package bound

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

type rule func(r *run, o *ir.Op, args, out []*Value) error

// functions are computed by approximations, not rounded correctly.
var functions = map[*op.Info]bool{
	op.Exp: true, op.Log: true, op.Sin: true, op.Cos: true, op.Tanh: true, op.Sigmoid: true, op.Erf: true, op.Pow: true,
	op.Rsqrt: true, op.Reciprocal: true, op.Sqrt: true, op.Div: true,
}

// elementwise bounds ops that work element by element, by what they give at the ends of their operands' intervals: all but a few are
// monotone in each operand.
func elementwise(r *run, o *ir.Op, args, out []*Value) error {
	v := out[0]
	f := spread(o)
	x, e, idx := make([]float64, len(args)), make([]float64, len(args)), make([][]int, len(args))
	for k, a := range args {
		idx[k] = places(a.Shape, v.Shape)
	}
	for i := range v.Err {
		any := false
		for k, a := range args {
			j := idx[k][i]
			x[k], e[k] = a.at(j), a.Err[j]
			any = any || e[k] != 0
		}
		if any || o.Is(op.Bitcast) && args[0].F != nil && x[0] == 0 { // a zero's sign is nobody's promise
			v.Err[i] = f(o, x, e, v.at(i))
		}
		if v.F != nil && functions[o.Info] {
			y := v.F[i]
			v.Err[i] += r.Arith.Function * ulp(working(v.Format), y)
			if o.Is(op.Pow) && x[0] > 0 { // exp(y log x): the logarithm's error grows with the exponent
				v.Err[i] += math.Abs(y) * (1 + math.Abs(x[1]*math.Log(x[0]))) * r.Arith.Function * 0x1p-23
			}
			if o.Is(op.Sin) || o.Is(op.Cos) { // reduced by a rounded multiple of pi
				v.Err[i] += math.Abs(x[0]) * 0x1p-23
			}
		}
	}
	r.rounded(v)
	return nil
}

// spread gives the function that bounds the error of one element: of an op at x, known within ±e, whose result is y.
func spread(o *ir.Op) func(o *ir.Op, x, e []float64, y float64) float64 {
	switch o.Info {
	case op.Sin, op.Cos:
		return func(_ *ir.Op, _, e []float64, _ float64) float64 { return min(e[0], 2) }
	case op.Abs, op.Neg:
		return func(_ *ir.Op, _, e []float64, _ float64) float64 { return e[0] }
	case op.Eq, op.Ne, op.Lt, op.Le, op.Gt, op.Ge:
		return func(_ *ir.Op, x, e []float64, _ float64) float64 {
			if d := math.Abs(x[0] - x[1]); d > e[0]+e[1] {
				return 0
			}
			return 1
		}
	case op.Select:
		return func(_ *ir.Op, x, e []float64, _ float64) float64 {
			switch {
			case e[0] != 0 && x[1] == x[2]:
				return max(e[1], e[2])
			case e[0] != 0:
				return math.Abs(x[1]-x[2]) + max(e[1], e[2])
			case x[0] != 0:
				return e[1]
			}
			return e[2]
		}
	case op.Not, op.And, op.Or, op.Xor:
		if o.Result(0).Type.Format == format.Bool {
			return func(*ir.Op, []float64, []float64, float64) float64 { return 1 }
		}
		return anything
	case op.Shl, op.Shr, op.Bitcast, op.Rem:
		return anything
	case op.Cast:
		return castSpread
	case op.Reciprocal, op.Rsqrt, op.Log, op.Sqrt:
		return func(o *ir.Op, x, e []float64, y float64) float64 {
			if x[0]-e[0] <= 0 && (x[0] != 0 || e[0] != 0) {
				return math.Inf(1)
			}
			return corners(o, x, e, y)
		}
	case op.Div:
		if !o.Result(0).Type.Format.IsFloat() {
			return anything
		}
		return func(o *ir.Op, x, e []float64, y float64) float64 {
			if math.Abs(x[1]) <= e[1] {
				return math.Inf(1)
			}
			return corners(o, x, e, y)
		}
	case op.Pow:
		if !o.Result(0).Type.Format.IsFloat() {
			return anything
		}
		return func(o *ir.Op, x, e []float64, y float64) float64 {
			if x[0]-e[0] <= 0 {
				return math.Inf(1)
			}
			return corners(o, x, e, y)
		}
	}
	return corners
}

func anything(*ir.Op, []float64, []float64, float64) float64 { return math.Inf(1) }

// corners evaluates an op at all combinations of its operands' ends.
func corners(o *ir.Op, x, e []float64, y float64) float64 {
	if o.Info.Real == nil {
		return math.Inf(1)
	}
	worst := 0.0
	var at [3]float64
	for c := range 1 << len(x) {
		for k := range x {
			at[k] = x[k] + e[k]
			if c>>k&1 == 1 {
				at[k] = x[k] - e[k]
			}
		}
		d := math.Abs(o.Info.Real(at[:len(x)]) - y)
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	return worst
}

// castSpread bounds a conversion.
func castSpread(o *ir.Op, x, e []float64, y float64) float64 {
	to, from := o.Result(0).Type.Format, o.Arg(0).Type.Format
	switch {
	case to == format.Bool:
		if math.Abs(x[0]) > e[0] {
			return 0
		}
		return 1
	case to.IsFloat():
		return e[0]
	case from.IsFloat():
		lo, hi := math.Trunc(x[0]-e[0]), math.Trunc(x[0]+e[0])
		return max(math.Abs(hi-y), math.Abs(lo-y))
	}
	return e[0]
}

// places gives, for each element of a shape, the element of a tensor that broadcasts to it.
func places(from, to []int64) []int {
	n := 1
	for _, d := range to {
		n *= int(d)
	}
	out := make([]int, n)
	stride, step := make([]int, len(to)), 1
	for i := len(from) - 1; i >= 0; i-- {
		if from[i] != 1 {
			stride[i+len(to)-len(from)] = step
		}
		step *= int(from[i])
	}
	idx := make([]int64, len(to))
	at := 0
	for i := range out {
		out[i] = at
		for d := len(to) - 1; d >= 0; d-- {
			idx[d]++
			at += stride[d]
			if idx[d] < to[d] {
				break
			}
			at -= stride[d] * int(to[d])
			idx[d] = 0
		}
	}
	return out
}
