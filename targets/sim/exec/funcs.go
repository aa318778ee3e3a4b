package exec

import (
	"math"

	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/sim/kernels"
)

// The functions of elements on dense rows: f32 is package kernels' business; f64 and integers, which models hardly use, are plain loops.

// kernelUnary, kernelBinary and kernelCompare name the functions of f32 in package kernels.
var (
	kernelUnary = map[plan.Fn]kernels.UnaryOp{
		plan.VNeg: kernels.Neg, plan.VAbs: kernels.Abs, plan.VSign: kernels.Sign, plan.VExp: kernels.Exp, plan.VLog: kernels.Log,
		plan.VSqrt: kernels.Sqrt, plan.VRsqrt: kernels.Rsqrt, plan.VReciprocal: kernels.Reciprocal, plan.VSin: kernels.Sin,
		plan.VCos: kernels.Cos, plan.VTanh: kernels.Tanh, plan.VSigmoid: kernels.Sigmoid, plan.VErf: kernels.Erf, plan.VAtan: kernels.Atan,
		plan.VFloor: kernels.Floor, plan.VCeil: kernels.Ceil, plan.VRound: kernels.Round,
	}
	kernelBinary = map[plan.Fn]kernels.BinaryOp{
		plan.VAdd: kernels.Add, plan.VSub: kernels.Sub, plan.VMul: kernels.Mul, plan.VDiv: kernels.Div, plan.VRem: kernels.Rem,
		plan.VPow: kernels.Pow, plan.VMax: kernels.Max, plan.VMin: kernels.Min,
	}
	kernelCompare = map[plan.Fn]kernels.CompareOp{
		plan.VEq: kernels.Eq, plan.VNe: kernels.Ne, plan.VLt: kernels.Lt, plan.VLe: kernels.Le, plan.VGt: kernels.Gt, plan.VGe: kernels.Ge,
	}
)

// laneF32 is a function of f32 on dense rows; nil when there is none.
func laneF32(fn plan.Fn) func(d, x, y, z []float32) {
	if op, ok := kernelUnary[fn]; ok {
		return func(d, x, _, _ []float32) { kernels.Unary(op, d, x[:len(d)]) }
	}
	if op, ok := kernelBinary[fn]; ok {
		return func(d, x, y, _ []float32) { kernels.Binary(op, d, x[:len(d)], y[:len(d)]) }
	}
	if fn == plan.VFma {
		return func(d, x, y, z []float32) { kernels.FMA(d, x[:len(d)], y[:len(d)], z[:len(d)]) }
	}
	return nil
}

func canonical(v float32) float32 {
	if v != v {
		return math.Float32frombits(0x7fc00000)
	}
	return v
}

func canonical64(v float64) float64 {
	if v != v {
		return math.Float64frombits(0x7ff8000000000000)
	}
	return v
}

func laneF64(fn plan.Fn) func(d, x, y, z []float64) {
	one := func(g func(float64) float64) func(d, x, y, z []float64) {
		return func(d, x, _, _ []float64) {
			for i, v := range x[:len(d)] {
				d[i] = g(v)
			}
		}
	}
	two := func(g func(a, b float64) float64) func(d, x, y, z []float64) {
		return func(d, x, y, _ []float64) {
			x, y = x[:len(d)], y[:len(d)]
			for i := range d {
				d[i] = canonical64(g(x[i], y[i]))
			}
		}
	}
	test := func(g func(a, b float64) bool) func(d, x, y, z []float64) {
		return two(func(a, b float64) float64 {
			if g(a, b) {
				return 1
			}
			return 0
		})
	}
	switch fn {
	case plan.VNeg:
		return one(func(v float64) float64 { return math.Float64frombits(math.Float64bits(v) ^ 1<<63) })
	case plan.VAbs:
		return one(math.Abs)
	case plan.VSign:
		return one(func(v float64) float64 {
			switch {
			case v > 0:
				return 1
			case v < 0:
				return -1
			}
			return canonical64(v)
		})
	case plan.VExp:
		return one(math.Exp)
	case plan.VLog:
		return one(math.Log)
	case plan.VSqrt:
		return one(math.Sqrt)
	case plan.VRsqrt:
		return one(func(x float64) float64 { return 1 / math.Sqrt(x) })
	case plan.VReciprocal:
		return one(func(x float64) float64 { return 1 / x })
	case plan.VSin:
		return one(math.Sin)
	case plan.VCos:
		return one(math.Cos)
	case plan.VTanh:
		return one(math.Tanh)
	case plan.VSigmoid:
		return one(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })
	case plan.VErf:
		return one(math.Erf)
	case plan.VAtan:
		return one(math.Atan)
	case plan.VFloor:
		return one(math.Floor)
	case plan.VCeil:
		return one(math.Ceil)
	case plan.VRound:
		return one(math.RoundToEven)
	case plan.VAdd:
		return two(func(a, b float64) float64 { return a + b })
	case plan.VSub:
		return two(func(a, b float64) float64 { return a - b })
	case plan.VMul:
		return two(func(a, b float64) float64 { return a * b })
	case plan.VDiv:
		return two(func(a, b float64) float64 { return a / b })
	case plan.VRem:
		return two(math.Mod)
	case plan.VPow:
		return two(math.Pow)
	case plan.VMax:
		return two(func(a, b float64) float64 { return max(a, b) })
	case plan.VMin:
		return two(func(a, b float64) float64 { return min(a, b) })
	case plan.VEq:
		return test(func(a, b float64) bool { return a == b })
	case plan.VNe:
		return test(func(a, b float64) bool { return a != b })
	case plan.VLt:
		return test(func(a, b float64) bool { return a < b })
	case plan.VLe:
		return test(func(a, b float64) bool { return a <= b })
	case plan.VGt:
		return test(func(a, b float64) bool { return a > b })
	case plan.VGe:
		return test(func(a, b float64) bool { return a >= b })
	case plan.VFma:
		return func(d, x, y, z []float64) {
			x, y, z = x[:len(d)], y[:len(d)], z[:len(d)]
			for i := range d {
				d[i] = canonical64(math.FMA(x[i], y[i], z[i]))
			}
		}
	}
	return nil
}

func laneInt(fn plan.Fn, cl class, f format.Format) func(d, x, y, z []int64) {
	one := func(g func(int64) int64) func(d, x, y, z []int64) {
		return func(d, x, _, _ []int64) {
			for i, v := range x[:len(d)] {
				d[i] = g(v)
			}
		}
	}
	two := func(g func(a, b int64) int64) func(d, x, y, z []int64) {
		return func(d, x, y, _ []int64) {
			x, y = x[:len(d)], y[:len(d)]
			for i := range d {
				d[i] = g(x[i], y[i])
			}
		}
	}
	test := func(g func(a, b int64) bool) func(d, x, y, z []int64) {
		return two(func(a, b int64) int64 {
			if g(a, b) {
				return 1
			}
			return 0
		})
	}
	wide := cl == inU64
	isBool := f == format.Bool
	switch fn {
	case plan.VAnd:
		return two(func(a, b int64) int64 { return a & b })
	case plan.VOr:
		return two(func(a, b int64) int64 { return a | b })
	case plan.VXor:
		return two(func(a, b int64) int64 { return a ^ b })
	case plan.VEq:
		return test(func(a, b int64) bool { return a == b })
	case plan.VNe:
		return test(func(a, b int64) bool { return a != b })
	case plan.VNot:
		if isBool {
			return one(func(v int64) int64 { return v ^ 1 })
		}
		return one(func(v int64) int64 { return ^v })
	}
	if isBool {
		return nil
	}
	order := func(g func(a, b int64) bool) func(d, x, y, z []int64) {
		if wide {
			return test(func(a, b int64) bool { return g(a^math.MinInt64, b^math.MinInt64) })
		}
		return test(g)
	}
	switch fn {
	case plan.VNeg:
		return one(func(v int64) int64 { return -v })
	case plan.VAbs:
		if !f.IsSigned() {
			return one(func(v int64) int64 { return v })
		}
		return one(func(v int64) int64 { return max(v, -v) })
	case plan.VSign:
		if wide {
			return one(func(v int64) int64 {
				if v != 0 {
					return 1
				}
				return 0
			})
		}
		return one(func(v int64) int64 {
			switch {
			case v > 0:
				return 1
			case v < 0:
				return -1
			}
			return 0
		})
	case plan.VAdd:
		return two(func(a, b int64) int64 { return a + b })
	case plan.VSub:
		return two(func(a, b int64) int64 { return a - b })
	case plan.VMul:
		return two(func(a, b int64) int64 { return a * b })
	case plan.VDiv:
		if wide {
			return two(func(a, b int64) int64 {
				if b == 0 {
					return 0
				}
				return int64(uint64(a) / uint64(b))
			})
		}
		return two(func(a, b int64) int64 {
			if b == 0 {
				return 0
			}
			return a / b
		})
	case plan.VRem:
		if wide {
			return two(func(a, b int64) int64 {
				if b == 0 {
					return 0
				}
				return int64(uint64(a) % uint64(b))
			})
		}
		return two(func(a, b int64) int64 {
			if b == 0 {
				return 0
			}
			return a % b
		})
	case plan.VPow:
		return two(func(a, b int64) int64 { return powInt(a, b, wide) })
	case plan.VMax:
		if wide {
			return two(func(a, b int64) int64 { return int64(max(uint64(a), uint64(b))) })
		}
		return two(func(a, b int64) int64 { return max(a, b) })
	case plan.VMin:
		if wide {
			return two(func(a, b int64) int64 { return int64(min(uint64(a), uint64(b))) })
		}
		return two(func(a, b int64) int64 { return min(a, b) })
	case plan.VShl:
		return two(func(a, b int64) int64 { return a << uint64(b) })
	case plan.VShr:
		if wide {
			return two(func(a, b int64) int64 { return int64(uint64(a) >> uint64(b)) })
		}
		return two(func(a, b int64) int64 { return a >> uint64(b) })
	case plan.VLt:
		return order(func(a, b int64) bool { return a < b })
	case plan.VLe:
		return order(func(a, b int64) bool { return a <= b })
	case plan.VGt:
		return order(func(a, b int64) bool { return a > b })
	case plan.VGe:
		return order(func(a, b int64) bool { return a >= b })
	case plan.VFma:
		return func(d, x, y, z []int64) {
			x, y, z = x[:len(d)], y[:len(d)], z[:len(d)]
			for i := range d {
				d[i] = x[i]*y[i] + z[i]
			}
		}
	}
	return nil
}

// powInt is a to the power b, wrapping; a negative power gives what truncation leaves of the fraction.
func powInt(a, b int64, wide bool) int64 {
	if b < 0 && !wide {
		switch a {
		case 1:
			return 1
		case -1:
			return 1 - 2*(b&1)
		}
		return 0
	}
	r := int64(1)
	for u := uint64(b); u > 0; u >>= 1 {
		if u&1 != 0 {
			r *= a
		}
		a *= a
	}
	return r
}
