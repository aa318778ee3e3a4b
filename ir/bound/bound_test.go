package bound_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"apogee/ir/bound"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
)

func run(t *testing.T, src string, a bound.Arithmetic, args ...*tensor.Tensor) []*bound.Value {
	t.Helper()
	m := irtest.Parse(t, "module @m {\n  func entry @f"+src+"\n  }\n}\n")
	r := bound.Runner{Eval: &eval.Evaluator{}, Arith: a}
	out, err := r.Run(context.Background(), m.Funcs[0], args)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func floats(t *testing.T, f format.Format, dims []int64, v ...float64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.FromF64(f, dims, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// What every chip computes alike has no error; what depends on the order of a sum or on an approximation has one, and it grows with what comes in.
func TestErrors(t *testing.T) {
	x := floats(t, format.F32, []int64{4}, 1, -2, 0.5, 3)
	unit := math.Ldexp(1, -24)
	for _, c := range []struct {
		name, src string
		arith     bound.Arithmetic
		lo, hi    float64 // of the first element's error
	}{
		{"product", "(%x: f32[4]) -> (y) {\n %y = mul(%x, %x) : f32[4]\n return(%y)", bound.Arithmetic{}, 0, 0},
		{"moved", "(%x: f32[4]) -> (y) {\n %y = reverse(%x) {axes=[0]} : f32[4]\n return(%y)", bound.Arithmetic{}, 0, 0},
		{"sum", "(%x: f32[4]) -> (y) {\n %y = reduce(%x) {kind=\"sum\", axes=[0]} : f32[]\n return(%y)", bound.Arithmetic{}, 6.5 * unit, 100 * unit},
		{"function", "(%x: f32[4]) -> (y) {\n %y = exp(%x) : f32[4]\n return(%y)", bound.Arithmetic{}, unit, 40 * unit},
		{"narrow", "(%x: f32[4]) -> (y) {\n %y = cast(%x) {format=bf16} : bf16[4]\n return(%y)", bound.Arithmetic{Narrow: true}, math.Ldexp(1, -8), math.Ldexp(1, -6)},
		{"operands", "(%x: f32[4]) -> (y) {\n %y = einsum(%x, %x) {spec=\"a,a->\"} : f32[]\n return(%y)", bound.Arithmetic{Operand: math.Ldexp(1, -9)}, 14.25 * 2 * math.Ldexp(1, -9), 14.25 * 3 * math.Ldexp(1, -9)},
		{"flushed", "(%x: f32[4]) -> (y) {\n %c = constant {value=f32[] 0} : f32[]\n %y = mul(%x, %c) : f32[4]\n return(%y)", bound.Arithmetic{Flush: 0x1p-126}, 0x1p-126, 0x1p-124},
		{"choice", "(%x: f32[4]) -> (y) {\n %e = exp(%x) : f32[4]\n %f = exp(%x) : f32[4]\n %y = lt(%e, %f) : bool[4]\n return(%y)", bound.Arithmetic{}, 1, 1},
	} {
		got := run(t, c.src, c.arith, x)[0].Err[0]
		if got < c.lo || got > c.hi {
			t.Errorf("%s: the error is %g, expected %g to %g", c.name, got, c.lo, c.hi)
		}
	}
}

// An index that is not known makes what it picks unknown, a sure one does not.
func TestUnknown(t *testing.T) {
	src := "(%x: f32[3]) -> (v, i, g) {\n %e = exp(%x) : f32[3]\n %v, %i = top_k(%e) {k=1} : f32[1], i32[1]\n %g = gather(%x, %i) {axis=0} : f32[1]\n return(%v, %i, %g)"
	far := run(t, src, bound.Arithmetic{}, floats(t, format.F32, []int64{3}, 0, 1, 2))
	if far[1].Err[0] != 0 || far[2].Err[0] != 0 {
		t.Errorf("of numbers far apart the largest is known: %v, %v", far[1].Err, far[2].Err)
	}
	near := run(t, src, bound.Arithmetic{}, floats(t, format.F32, []int64{3}, 0, 1, 1))
	if !math.IsInf(near[1].Err[0], 1) || !math.IsInf(near[2].Err[0], 1) {
		t.Errorf("of two equal ones either may be first: %v, %v", near[1].Err, near[2].Err)
	}
}

// A scale that is a power of two is known unless the largest magnitude is close to one, and then codes and products are known to within
// both scales.
func TestPowerScales(t *testing.T) {
	src := "(%x: f32[2,4]) -> (q, s, y) {\n %e = exp(%x) : f32[2,4]\n %q, %s = quantize(%e) {block=[4], format=f8e4m3fn, scale=\"mx\"} : f8e4m3fn[2,4], f32[2,1]\n" +
		" %t = cast(%s) {format=f8e8m0} : f8e8m0[2,1]\n %y = scaled_matmul(%q, %q, %t, %t) {block=[1,4], format=f32} : f32[2,2]\n return(%q, %s, %y)"
	out := run(t, src, bound.Arithmetic{Narrow: true}, floats(t, format.F32, []int64{2, 4}, 0.25, -1, 0.5, -2, 0, -1, -3, -2))
	q, s, y := out[0], out[1], out[2]
	if s.F[0] != 0x1p-8 || s.Err[0] != 0 || q.Err[0] > 0x1p5 || y.Err[0] > 0.1*y.F[0] {
		t.Errorf("the largest is far from a power of two: scale %g ± %g, codes ± %v, product %g ± %g", s.F[0], s.Err[0], q.Err, y.F[0], y.Err[0])
	}
	if s.F[1] != 0x1p-8 || s.Err[1] < 0x1p-9 || q.Err[4] < 190 || y.Err[3] < 0.1*y.F[3] || math.IsInf(y.Err[3], 1) {
		t.Errorf("the largest is about 1: scale %g ± %g, codes ± %v, product %g ± %g", s.F[1], s.Err[1], q.Err, y.F[3], y.Err[3])
	}
}

// Check takes what is within the errors and names what is not.
func TestCheck(t *testing.T) {
	v := run(t, "(%x: f32[2]) -> (y) {\n %y = exp(%x) : f32[2]\n return(%y)", bound.Arithmetic{}, floats(t, format.F32, []int64{2}, 0, 1))[0]
	if err := v.Check(floats(t, format.F32, []int64{2}, 1, math.E)); err != nil {
		t.Error(err)
	}
	if err := v.Check(floats(t, format.F32, []int64{2}, 1, math.E+1e-4)); err == nil || !strings.Contains(err.Error(), "1 of 2 elements are off, first element 1") {
		t.Errorf("found %v", err)
	}
	if err := v.Check(floats(t, format.F32, []int64{1}, 1)); err == nil {
		t.Error("another shape passes")
	}
}
