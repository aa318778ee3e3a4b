package eval_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// TestPowerScales: quantize with scale mx, its scales cast to f8e8m0, gives the MX blocks of package format, whose rule is the
// specification's, for numbers above the floor.
func TestPowerScales(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, cols = 5, 70
	for _, q := range []format.Format{format.F8E4M3FN, format.F8E5M2, format.F6E3M2, format.F6E2M3, format.F4E2M1} {
		x := make([]float32, rows*cols)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * math.Ldexp(1, rng.IntN(40)-20))
			if i%7 == 0 { // on the edge between two scales, and close to it
				x[i] = math.Nextafter32(float32(math.Ldexp(1, i%50-20)), float32(i%3))
			}
		}
		in, err := tensor.FromF32(format.F32, []int64{rows, cols}, x)
		if err != nil {
			t.Fatal(err)
		}
		m := ir.NewModule("m")
		f := m.NewFunc("f")
		f.Entry, f.Results = true, []string{"codes", "scales"}
		at := ir.AtEnd(f.Body)
		o := at.Create(op.Quantize, ir.A("block", []int64{format.MXBlock}, "format", q, "scale", "mx", "floor", 1e-12), f.AddInput("x", ir.Tensor(format.F32, shape.Of(rows, cols)...)))
		if at.Err != nil {
			t.Fatal(at.Err)
		}
		at.Return(o.Result(0), at.Cast(o.Result(1), format.F8E8M0))
		var e eval.Evaluator
		out, _, err := e.Run(context.Background(), f, map[string]*tensor.Tensor{"x": in}, nil)
		if err != nil {
			t.Fatal(err)
		}
		codes, scales := make([]byte, out["codes"].NumBytes()), make([]byte, rows*3)
		if err := format.MXQuantise(q, codes, scales, x, cols); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][]byte{"codes": codes, "scales": scales} {
			if got, err := out[name].Bytes(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: the %s are %v, expected %v (%v)", q, name, got, want, err)
			}
		}
	}
}
