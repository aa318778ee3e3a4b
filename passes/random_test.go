package passes_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"apogee/codegen"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/passes"
	"apogee/targets/chips"
)

type weights map[string]*tensor.Tensor

func (w weights) Tensor(name string) (*tensor.Tensor, error) {
	if t := w[name]; t != nil {
		return t, nil
	}
	return nil, errors.New("no weight " + name)
}

// outcome runs all functions of a module on the oracle.
func outcome(m *ir.Module, w weights, in map[string]map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	out := map[string]*tensor.Tensor{}
	for _, f := range m.Funcs {
		e := eval.Evaluator{Weights: w, Bind: irtest.Env()}
		states := map[string]*tensor.Tensor{}
		for _, s := range f.StateParams() {
			states[s.Name] = in[f.Name][s.Name]
			if s.Type.Format != states[s.Name].Format { // precision f32 keeps states in f32
				x, err := states[s.Name].F64s()
				if err != nil {
					return nil, err
				}
				if states[s.Name], err = tensor.FromF64(s.Type.Format, states[s.Name].Shape, x); err != nil {
					return nil, err
				}
			}
		}
		res, next, err := e.Run(context.Background(), f, in[f.Name], states)
		if err != nil {
			return nil, err
		}
		for k, v := range res {
			out[f.Name+"."+k] = v
		}
		for k, v := range next {
			out[f.Name+".state."+k] = v
		}
	}
	return out, nil
}

// differ compares outcomes: tol is relative to the largest magnitude of a result. Not a number is one whatever its bits.
func differ(got, want map[string]*tensor.Tensor, tol float64) error {
	for k, w := range want {
		g := got[k]
		if g == nil || fmt.Sprint(g.Shape) != fmt.Sprint(w.Shape) {
			return fmt.Errorf("%s is %v instead of %v", k, g, w)
		}
		if !w.Format.IsFloat() {
			a, _ := g.I64s()
			b, _ := w.I64s()
			for i := range b {
				if a[i] != b[i] {
					return fmt.Errorf("%s: element %d is %d instead of %d", k, i, a[i], b[i])
				}
			}
			continue
		}
		a, _ := g.F64s()
		b, _ := w.F64s()
		most := 0.0
		for _, x := range b {
			if !math.IsInf(x, 0) && !math.IsNaN(x) {
				most = math.Max(most, math.Abs(x))
			}
		}
		for i := range b {
			if a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i]) {
				continue
			}
			if d := math.Abs(a[i] - b[i]); !(d <= tol*math.Max(most, 1e-6)) {
				return fmt.Errorf("%s %s: element %d is %g instead of %g", k, w, i, a[i], b[i])
			}
		}
	}
	return nil
}

func inputsOf(m *ir.Module, seed uint64) (map[string]map[string]*tensor.Tensor, error) {
	in := map[string]map[string]*tensor.Tensor{}
	for _, f := range m.Funcs {
		ins, err := irtest.Inputs(f, seed, irtest.Env())
		if err != nil {
			return nil, err
		}
		in[f.Name] = map[string]*tensor.Tensor{}
		for i, p := range f.Body.Params {
			in[f.Name][p.Name] = ins[i]
		}
	}
	return in, nil
}

// try runs a pipeline on a random module and holds the oracle's results before and after against each other.
func try(m *ir.Module, seed uint64, pipeline string, opt passes.Options, tol float64) error {
	w, err := irtest.WeightTensors(m, seed)
	if err != nil {
		return err
	}
	in, err := inputsOf(m, seed)
	if err != nil {
		return err
	}
	want, err := outcome(m, w, in)
	if err != nil {
		return nil // the module itself cannot be run
	}
	c := m.Clone()
	opt.Verify = true
	opt.Bind = irtest.Env()
	if _, err := passes.Run(context.Background(), c, pipeline, opt); err != nil {
		return fmt.Errorf("%s: %w", pipeline, err)
	}
	got, err := outcome(c, w, in)
	if err != nil {
		return fmt.Errorf("%s: %w", pipeline, err)
	}
	return differ(got, want, tol)
}

func shrunk(t *testing.T, m *ir.Module, seed uint64, err error, fails func(m *ir.Module) error) {
	t.Helper()
	s := irtest.Shrink(m, func(m *ir.Module) bool { return fails(m) != nil })
	t.Errorf("seed %d: %v\nsmallest: %v\n%s", seed, err, fails(s), s)
}

// The passes that move and merge change no bit, whatever the module.
func TestRandomExact(t *testing.T) {
	n := uint64(160)
	if testing.Short() {
		n = 60
	}
	bad := 0
	for seed := range n {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 40, Symbols: seed%3 == 0, Weights: seed%2 == 0, States: seed%5 == 0, Kernels: seed%7 == 0, Control: seed%4 == 1})
		pipeline := "specialise,canonicalise,fold,unroll,cse,dce"
		f := func(m *ir.Module) error { return try(m, seed, pipeline, passes.Options{}, 0) }
		if err := f(m); err != nil {
			shrunk(t, m, seed, err, f)
			if bad++; bad == 3 {
				return
			}
		}
	}
}

// All passes for every chip keep the meaning of modules in f32 and integers, up to the order of sums.
func TestRandomKeepsMeaning(t *testing.T) {
	n := uint64(160)
	if testing.Short() {
		n = 60
	}
	names := chips.List()
	bad := 0
	for seed := range n {
		m := irtest.Random(seed, compilable(seed))
		c := loadChip(t, names[seed%uint64(len(names))])
		f := func(m *ir.Module) error {
			tol := 1e-4
			if rounds(m) { // precision f32 leaves out what the module rounds on its way
				tol = 0
			}
			err := try(m, seed, passes.Default(int(seed/4%2)), passes.Options{Chip: c, Precision: "f32"}, tol)
			if tol == 0 && err != nil && strings.Contains(err.Error(), "instead of") {
				return nil
			}
			if err != nil && strings.Contains(err.Error(), passes.CodeFormat) {
				return nil // the chip cannot do it and says so
			}
			return err
		}
		if err := f(m); err != nil {
			t.Logf("chip %s", c.Name)
			shrunk(t, m, seed, err, f)
			if bad++; bad == 3 {
				return
			}
		}
	}
}

// A run that stops after any number of firings leaves a module that verifies and means the same: that is what bisection leans on.
func TestRandomStops(t *testing.T) {
	names := chips.List()
	for seed := range uint64(25) {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 24, Weights: seed%2 == 0, States: seed%5 == 0, Control: seed%4 == 1, Formats: []format.Format{format.F32}, Only: func(i *op.Info) bool { return i.Class != op.Numeric && i != op.Bitcast && i != op.Cast }})
		c := loadChip(t, names[seed%uint64(len(names))])
		for stop := int64(1); stop < 40; stop += 3 {
			err := try(m, seed, passes.Default(1), passes.Options{Chip: c, Precision: "f32", StopAfter: stop}, 1e-4)
			if err != nil && !strings.Contains(err.Error(), passes.CodeFormat) && !rounds(m) {
				t.Fatalf("seed %d, stopped after %d: %v", seed, stop, err)
			}
		}
	}
}

// The code generator takes what the passes leave of any module.
func TestRandomCompiles(t *testing.T) {
	n := uint64(100)
	if testing.Short() {
		n = 40
	}
	names := chips.List()
	bad := 0
	for seed := range n {
		m := irtest.Random(seed, compilable(seed))
		c := loadChip(t, names[seed%uint64(len(names))])
		f := func(m *ir.Module) (err error) {
			defer func() {
				if x := recover(); x != nil {
					err = fmt.Errorf("panic: %v", x)
				}
			}()
			k := m.Clone()
			if _, err := passes.Run(context.Background(), k, passes.Default(1), passes.Options{Chip: c, Precision: "f32", Bind: irtest.Env()}); err != nil {
				return nil
			}
			for _, f := range k.Funcs {
				if _, err := codegen.Compile(f, c, codegen.Options{}); err != nil {
					return err
				}
			}
			return nil
		}
		if err := f(m); err != nil {
			t.Logf("chip %s", c.Name)
			shrunk(t, m, seed, err, f)
			if bad++; bad == 3 {
				return
			}
		}
	}
}

// rounds reports whether a module computes in a float narrower than f32.
func rounds(m *ir.Module) bool {
	found := false
	for _, f := range m.Funcs {
		f.Body.Walk(func(o *ir.Op) {
			for _, r := range o.Results() {
				found = found || r.Type.Format.IsFloat() && r.Type.Format.Info().ManBits < 23
			}
		})
	}
	return found
}

func compilable(seed uint64) irtest.RandomOptions {
	return irtest.RandomOptions{Ops: 24, Symbols: seed%3 == 0, Weights: seed%2 == 0, States: seed%5 == 0, Control: seed%4 == 1, Formats: []format.Format{format.F32}, Only: runnable}
}

// runnable leaves out what no chip does in a vector engine: formats of codes come with ops of their own.
func runnable(i *op.Info) bool {
	switch i {
	case op.Bitcast, op.Quantize, op.Dequantize, op.ScaledMatmul:
		return false
	}
	return true
}
