package irtest_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
)

type weights map[string]*tensor.Tensor

func (w weights) Tensor(name string) (*tensor.Tensor, error) {
	if t := w[name]; t != nil {
		return t, nil
	}
	return nil, errors.New("no weight " + name)
}

// Random modules run on the inputs made for them, and hardly ever give a NaN or an infinity: such a result would hide
// every difference behind it.
func TestRandomModulesRun(t *testing.T) {
	bad, all := 0, 0
	for seed := range uint64(150) {
		m := irtest.Random(seed, options(seed))
		w, err := irtest.WeightTensors(m, seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Funcs {
			ins, err := irtest.Inputs(f, seed, irtest.Env())
			if err != nil {
				t.Fatal(err)
			}
			inputs, states := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
			for i, p := range f.Body.Params {
				if i < len(f.Inputs()) {
					inputs[p.Name] = ins[i]
				} else {
					states[p.Name] = ins[i]
				}
			}
			first := true
			e := eval.Evaluator{Weights: weights(w), Bind: irtest.Env(), Observe: func(o *ir.Op, results []*eval.Value) {
				for _, r := range results {
					x, err := r.Tensor()
					if err != nil || !x.Format.IsFloat() {
						continue
					}
					all++
					xs, _ := x.F64s()
					for _, v := range xs {
						if math.IsNaN(v) || math.IsInf(v, 0) {
							bad++
							if first {
								t.Logf("seed %d: %s gives %v", seed, o.Text(), v)
								first = false
							}
							break
						}
					}
				}
			}}
			if _, _, err := e.Run(context.Background(), f, inputs, states); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
	}
	if all < 1000 {
		t.Errorf("only %d float results were seen", all)
	}
	if bad > 0 {
		t.Errorf("%d of %d float results hold a NaN or an infinity", bad, all)
	}
}
