package passes_test

import (
	"context"
	"math"
	"testing"

	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/passes"
)

// A quantised product differs from the plain one by no more than its codes do from what they stand for. With δx and δw the largest error of an
// element of x and of w, each term x·w is off by at most |x|δw + |w|δx + δxδw, and f32 adds K rounding errors of 2⁻²⁴.
func TestQuantisedProductBound(t *testing.T) {
	const rows, n, k = 5, 12, 256
	src := `module @m {
  func entry @f(%x: f32[5,256]) -> (y) {
    %w = weight {name="w"} : f8e4m3fn[12,256]
    %s = weight {name="s"} : f32[1,2]
    %d = dequantize(%w, %s) {block=[128,128], format=f32} : f32[12,256]
    %p = einsum(%x, %d) {spec="bd,fd->bf"} : f32[5,12]
    %y = neg(%p) : f32[5,12]
    return(%y)
  }
}
`
	m := irtest.Parse(t, src)
	w, err := irtest.WeightTensors(m, 7)
	if err != nil {
		t.Fatal(err)
	}
	ins, err := irtest.Inputs(m.Funcs[0], 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*tensor.Tensor{"x": ins[0]}
	x, _ := ins[0].F64s()
	codes, _ := w["w"].F64s()
	scale, _ := w["s"].F64s()
	wv := make([]float64, n*k)
	for i := range wv {
		wv[i] = codes[i] * scale[i%k/128]
	}
	for _, c := range []struct{ precision, chip string }{{"fp8", "nvidia-h100"}, {"w8a8", "nvidia-h100"}, {"w8a8", "ascend-910b"}, {"w8a8", "loongson-3c6000"}, {"mxfp8", "ascend-950pr"}, {"mxfp4", "ascend-950pr"}} {
		k8 := m.Clone()
		rep, err := passes.Run(context.Background(), k8, passes.Default(1), passes.Options{Chip: loadChip(t, c.chip), Precision: c.precision, Verify: true})
		if err != nil {
			t.Fatalf("%s for %s: %v", c.precision, c.chip, err)
		}
		if rep.Fired("QuantiseProduct") != 1 || rep.Precision != c.precision {
			t.Errorf("%s for %s: QuantiseProduct fired %d times", c.precision, c.chip, rep.Fired("QuantiseProduct"))
		}
		e := eval.Evaluator{Weights: weights(w)}
		out, _, err := e.Run(context.Background(), k8.Funcs[0], in, nil)
		if err != nil {
			t.Fatal(err)
		}
		y, _ := out["y"].F64s()
		// A code of i8 is off by half a step of most/127; one of f8e4m3fn by 2⁻⁴ of itself, or half the least subnormal step. Beside a power
		// of two an element may be up to 512 or 8 and saturates at 448 or 6: it is off by an eighth or a quarter.
		errorOf := func(v, most float64) float64 {
			switch c.precision {
			case "w8a8":
				return most / 254
			case "mxfp8":
				return math.Max(math.Abs(v)/8, math.Ldexp(most, -8-10))
			case "mxfp4":
				return math.Max(math.Abs(v)/4, most/4/4)
			}
			return math.Max(math.Abs(v)/16, most/448*math.Ldexp(1, -10))
		}
		most := func(v []float64) float64 {
			m := 0.0
			for _, a := range v {
				m = math.Max(m, math.Abs(a))
			}
			return m
		}
		for r := range rows {
			for f := range n {
				want, bound, all := 0.0, 0.0, 0.0
				for i := range k {
					xr, wr := x[r*k:(r+1)*k], wv[f*k:(f+1)*k]
					lo, hi := 0, k
					switch c.precision {
					case "fp8":
						lo, hi = i/128*128, (i/128+1)*128
					case "mxfp8", "mxfp4":
						lo, hi = i/32*32, (i/32+1)*32
					}
					dw := errorOf(wr[i], most(wr[lo:hi]))
					if c.precision == "fp8" {
						dw = 0 // the weight is stored so
					}
					dx := errorOf(xr[i], most(xr[lo:hi]))
					want -= xr[i] * wr[i]
					all += math.Abs(xr[i] * wr[i])
					bound += math.Abs(xr[i])*dw + math.Abs(wr[i])*dx + dx*dw
				}
				bound = bound*(1+1e-6) + all*k*math.Ldexp(1, -24)
				if d := math.Abs(y[r*n+f] - want); d > bound {
					t.Fatalf("%s for %s: element %d,%d is %g instead of %g, off by %g, at most %g is the codes'", c.precision, c.chip, r, f, y[r*n+f], want, d, bound)
				}
			}
		}
		if f := out["y"].Format; f != format.F32 {
			t.Errorf("the result is %s", f)
		}
	}
}
