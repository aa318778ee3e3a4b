package ort_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/cmd/internal/driver"
	"apogee/cmd/internal/ort"
	"apogee/frontend/onnx"
	"apogee/frontend/onnx/export"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/random"
	"apogee/ir/tensor"
)

var (
	seeds   = flag.Int("ort.seeds", 60, "how many random modules are run")
	from    = flag.Int("ort.from", 0, "the first seed")
	symbols = flag.Bool("ort.symbols", true, "let some modules have symbols")
)

type checkpoint map[string]*tensor.Tensor

func (c checkpoint) Tensor(name string) (*tensor.Tensor, error) {
	if t := c[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

// exact leaves out bitcast, which shows the last bit of what was rounded before it as a number.
func exact(i *op.Info) bool { return i != op.Bitcast }

// Random modules give the same on ONNX Runtime as on the reference.
func TestRandomModules(t *testing.T) {
	r := ort.Find(t)
	ctx := context.Background()
	var jobs []ort.Job
	var wants []map[string]*tensor.Tensor
	var ids []int
	var texts []string
	refused := 0
	for s := *from; s < *from+*seeds; s++ {
		seed := uint64(s)
		m := random.Module(seed, random.Options{Ops: 30, Symbols: *symbols && s%2 == 1, Weights: s%3 == 1, States: s%4 == 2, Kernels: s%5 == 3, Control: s%3 == 2, Only: exact})
		f := m.Funcs[0]
		w, err := random.Weights(m, seed)
		if err != nil {
			t.Fatal(err)
		}
		file, err := export.Convert(f, export.Options{Weights: checkpoint(w)})
		if err != nil {
			file, err = export.Convert(f, export.Options{Weights: checkpoint(w), Bind: random.Env()})
		}
		if err != nil {
			refused++
			continue
		}
		var data bytes.Buffer
		if err := file.Write(&data); err != nil {
			t.Fatal(err)
		}
		list, err := random.Inputs(f, seed, random.Env())
		if err != nil {
			t.Fatal(err)
		}
		inputs, states, all := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
		for i, p := range f.Body.Params {
			if all[p.Name] = list[i]; i < len(f.Inputs()) {
				inputs[p.Name] = list[i]
			} else {
				states[p.Name] = list[i]
			}
		}
		e := &eval.Evaluator{Weights: checkpoint(w), Bind: random.Env()}
		want, next, err := e.Run(ctx, f, inputs, states)
		if err != nil {
			t.Fatal(err)
		}
		for n, v := range next {
			want[n+".next"] = v
		}
		jobs, wants, ids, texts = append(jobs, ort.Job{Model: data.Bytes(), Inputs: all}), append(wants, want), append(ids, s), append(texts, m.String())
	}
	got, err := r.Run(ctx, t.TempDir(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	agree, lacking := 0, 0
	for i, g := range got {
		if noKernel(g) {
			lacking++
			continue
		}
		if err := equal(g, wants[i]); err != nil {
			t.Errorf("seed %d: %s", ids[i], err)
			if testing.Verbose() {
				t.Log(texts[i])
			}
			continue
		}
		agree++
	}
	t.Logf("%d of %d agree, for %d the runtime has no kernel, %d could not be exported", agree, len(jobs), lacking, refused)
	if lacking > len(jobs)/10 { // of casts to f4e2m1, say
		t.Errorf("for %d of %d modules the runtime has no kernel", lacking, len(jobs))
	}
}

// noKernel says that the runtime does not implement an operator for a type, which says nothing of the model.
func noKernel(g ort.Result) bool {
	return g.Err != nil && (strings.Contains(g.Err.Error(), "Could not find an implementation") || strings.Contains(g.Err.Error(), "NOT_IMPLEMENTED"))
}

func equal(g ort.Result, want map[string]*tensor.Tensor) error {
	if g.Err != nil {
		return g.Err
	}
	for n, w := range want {
		v := g.Outputs[n]
		if v == nil || v.Format != w.Format || tensor.Dims(v.Shape) != tensor.Dims(w.Shape) {
			return fmt.Errorf("result %s is %s, expected %s", n, v, w)
		}
		rtol, atol := 0.0, 0.0
		if w.Format.IsFloat() { // one step of a narrow format, where that is more
			step := math.Ldexp(1, -w.Format.Info().ManBits)
			rtol, atol = max(1e-3, 4*step), max(1e-5, step)
		}
		if err := tensor.AllClose(v, w, rtol, atol); err != nil {
			return fmt.Errorf("result %s: %w", n, err)
		}
	}
	return nil
}

// The examples give the same on ONNX Runtime as on the reference, their symbols kept.
func TestExamples(t *testing.T) {
	r := ort.Find(t)
	ctx := context.Background()
	root := filepath.Join(irtest.Root(t), "examples")
	var jobs []ort.Job
	var wants []map[string]*tensor.Tensor
	var names []string
	for _, e := range []struct {
		path, entry string
		env         map[string]int64
	}{
		{"norm.mg", "layer", map[string]int64{"T": 5, "N": 3}},
		{"linear_attention.mg", "step", map[string]int64{"B": 2, "T": 3, "H": 4}},
		{"r1-nano", "prefill", map[string]int64{"B": 1, "T": 33, "S": 40}},
		{"r1-nano", "decode", map[string]int64{"B": 2, "T": 1, "S": 9}},
	} {
		m, err := driver.Open(filepath.Join(root, e.path))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		_, f, err := m.Lower(driver.Request{Entry: e.entry})
		if err != nil {
			t.Fatal(err)
		}
		file, err := export.Convert(f, export.Options{Weights: m.Weights()})
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if err := file.Write(&data); err != nil {
			t.Fatal(err)
		}
		list, err := random.Inputs(f, 7, e.env)
		if err != nil {
			t.Fatal(err)
		}
		inputs, states, all := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
		for i, p := range f.Body.Params {
			if all[p.Name] = list[i]; i < len(f.Inputs()) {
				inputs[p.Name] = list[i]
			} else {
				states[p.Name] = list[i]
			}
		}
		ev := &eval.Evaluator{Weights: m.Weights(), Bind: e.env}
		want, next, err := ev.Run(ctx, f, inputs, states)
		if err != nil {
			t.Fatal(err)
		}
		for n, v := range next {
			want[n+".next"] = v
		}
		jobs = append(jobs, ort.Job{Model: data.Bytes(), Inputs: all})
		wants, names = append(wants, want), append(names, e.path+" "+e.entry)
	}
	got, err := r.Run(ctx, t.TempDir(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if err := equal(g, wants[i]); err != nil {
			t.Errorf("%s: %s", names[i], err)
			continue
		}
		worst := 0.0
		for n, w := range wants[i] {
			if d, err := tensor.Compare(g.Outputs[n], w, 1e-3, 1e-5); err == nil {
				worst = max(worst, d.MaxAbs)
			}
		}
		t.Logf("%s: %d results, at most %.2g apart", names[i], len(wants[i]), worst)
	}
}

// The models of ONNX's conformance tests give the same on ONNX Runtime, after import and export, as on the reference.
func TestConformanceModels(t *testing.T) {
	r := ort.Find(t)
	dirs, err := filepath.Glob(filepath.Join(irtest.Corpus(t, "onnx", "node"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	every := 10
	if os.Getenv("APOGEE_CORPUS") == "required" {
		every = 2
	}
	ctx := context.Background()
	var jobs []ort.Job
	var wants []map[string]*tensor.Tensor
	var names []string
	for i := 0; i < len(dirs); i += every {
		m, err := onnx.Open(filepath.Join(dirs[i], "model.onnx"))
		if err != nil {
			continue
		}
		defer m.Close()
		inputs := map[string]*tensor.Tensor{}
		for k, n := range m.GraphInputs() {
			if x, _, err := onnx.ReadTensor(filepath.Join(dirs[i], "test_data_set_0", fmt.Sprintf("input_%d.pb", k))); err == nil {
				inputs[n] = x
			}
		}
		run := func(mod *ir.Module) (map[string]*tensor.Tensor, error) {
			e := &eval.Evaluator{Weights: m}
			out, _, err := e.Run(ctx, mod.Func("main"), inputs, nil)
			return out, err
		}
		mod, err := m.Import(onnx.Options{Values: func(n string) *tensor.Tensor { return inputs[n] }, Eval: run})
		if err != nil {
			continue // out of scope
		}
		want, err := run(mod)
		if err != nil {
			continue
		}
		file, err := export.Convert(mod.Func("main"), export.Options{Weights: m})
		if err != nil {
			continue // a format without a cast
		}
		var data bytes.Buffer
		if err := file.Write(&data); err != nil {
			t.Fatal(err)
		}
		used := map[string]*tensor.Tensor{}
		for _, p := range mod.Func("main").Inputs() {
			used[p.Name] = inputs[p.Name]
		}
		jobs, wants, names = append(jobs, ort.Job{Model: data.Bytes(), Inputs: used}), append(wants, want), append(names, filepath.Base(dirs[i]))
	}
	got, err := r.Run(ctx, t.TempDir(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	agree, lacking := 0, 0
	for i, g := range got {
		switch err := equal(g, wants[i]); {
		case err == nil:
			agree++
		case noKernel(g):
			lacking++
			t.Logf("%s: %s", names[i], g.Err)
		default:
			t.Errorf("%s: %s", names[i], err)
		}
	}
	t.Logf("%d of %d agree; for %d the runtime has no kernel", agree, len(jobs), lacking)
}
