package models

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"apogee/frontend/mg"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
)

// TestExamples holds that every .mg file among the examples is canonical, without a warning, and lowers.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(irtest.Root(t), "examples", "*.mg"))
	if err != nil || len(files) == 0 {
		t.Fatal("no examples")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out, err := mg.Format(file, text)
		if err != nil {
			t.Error(err)
			continue
		}
		irtest.Golden(t, file, out)
		p, diags := mg.Check(diag.NewSource(file, text), Import)
		diags.Merge(mg.CheckShapes(p))
		if diags.Len() > 0 {
			t.Error(diags)
			continue
		}
		low, err := mg.Lower(p, mg.Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		irtest.Verify(t, low.Module)
	}
}

// TestLinearAttention runs the example's op over 6 tokens at once, and over 2, 1 and 3, which must give the same.
func TestLinearAttention(t *testing.T) {
	file := filepath.Join(irtest.Root(t), "examples", "linear_attention.mg")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mg.Load(diag.NewSource(file, text), Import)
	if err != nil {
		t.Fatal(err)
	}
	low, err := mg.Lower(p, mg.Options{Set: map[string]string{"heads": "2", "channels": "3"}})
	if err != nil {
		t.Fatal(err)
	}
	const row = 2 * 3
	inputs := func(from, to int) map[string]*tensor.Tensor {
		out := map[string]*tensor.Tensor{}
		for i, name := range []string{"q", "k", "v"} {
			var v []float64
			for j := from * row; j < to*row; j++ {
				v = append(v, math.Sin(float64(j*7+i*3)))
			}
			x, err := tensor.FromF64(format.F32, []int64{1, int64(to - from), 2, 3}, v)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = x
		}
		return out
	}
	e := &eval.Evaluator{Bind: map[string]int64{"B": 1}}
	run := func(from, to int, states map[string]*tensor.Tensor) ([]float64, map[string]*tensor.Tensor) {
		out, next, err := e.Run(context.Background(), low.Module.Func("step"), inputs(from, to), states)
		if err != nil {
			t.Fatal(err)
		}
		y, err := out["y"].F64s()
		if err != nil {
			t.Fatal(err)
		}
		return y, next
	}
	whole, _ := run(0, 6, nil)
	a, states := run(0, 2, nil)
	b, states := run(2, 3, states)
	c, _ := run(3, 6, states)
	parts := append(append(a, b...), c...)
	for i := range whole {
		if d := math.Abs(whole[i] - parts[i]); !(d < 1e-5) {
			t.Fatalf("element %d: %g at once, %g in parts", i, whole[i], parts[i])
		}
	}
}
