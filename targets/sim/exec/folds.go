package exec

import (
	"math"

	"apogee/targets/plan"
)

// foldF32 is how a row of f32 is folded into one.
func foldF32(fn plan.Fn) func([]float32) float32 {
	fold := func(start float32, g func(a, b float32) float32) func([]float32) float32 {
		return func(x []float32) float32 {
			s := start
			for _, v := range x {
				s = g(s, v)
			}
			return canonical(s)
		}
	}
	switch fn {
	case plan.VAdd:
		return fold(0, func(a, b float32) float32 { return a + b })
	case plan.VMul:
		return fold(1, func(a, b float32) float32 { return a * b })
	case plan.VMax:
		return fold(float32(math.Inf(-1)), func(a, b float32) float32 { return max(a, b) })
	case plan.VMin:
		return fold(float32(math.Inf(1)), func(a, b float32) float32 { return min(a, b) })
	case plan.VAbsMax:
		return fold(0, func(a, b float32) float32 {
			return max(a, math.Float32frombits(math.Float32bits(b)&^(1<<31)))
		})
	}
	return nil
}
