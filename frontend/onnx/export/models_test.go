package export_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/frontend/hf"
	"apogee/frontend/mg"
	"apogee/frontend/models"
	"apogee/frontend/onnx"
	"apogee/frontend/onnx/export"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/irtest"
	"apogee/ir/random"
	"apogee/ir/tensor"
)

// source lowers a .mg file.
func source(t testing.TB, path string) *ir.Module {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, l := mg.Check(diag.NewSource(path, text), models.Import)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	low, err := mg.Lower(p, mg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return low.Module
}

// The examples compute the same after export and import, with their symbols kept and with them bound.
func TestExamples(t *testing.T) {
	root := filepath.Join(irtest.Root(t), "examples")
	c, err := hf.Open(filepath.Join(root, "r1-nano"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	nano, err := c.Module(mg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type example struct {
		m     *ir.Module
		entry string
		w     eval.Weights
		env   map[string]int64
	}
	for _, e := range []example{
		{source(t, filepath.Join(root, "norm.mg")), "layer", nil, map[string]int64{"T": 5, "N": 3}},
		{source(t, filepath.Join(root, "linear_attention.mg")), "step", nil, map[string]int64{"B": 2, "T": 3, "H": 4}},
		{nano, "prefill", c.Weights, map[string]int64{"B": 2, "T": 5, "S": 9}},
		{nano, "decode", c.Weights, map[string]int64{"B": 2, "T": 1, "S": 9}},
	} {
		f := e.m.Func(e.entry)
		if f == nil {
			t.Fatalf("no entry %s in %s", e.entry, e.m.Name)
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
		ev := &eval.Evaluator{Weights: e.w, Bind: e.env}
		want, next, err := ev.Run(context.Background(), f, inputs, states)
		if err != nil {
			t.Fatal(err)
		}
		for n, v := range next {
			want[n+".next"] = v
		}
		for _, how := range []struct {
			name string
			bind map[string]int64
		}{{"symbols", nil}, {"numbers", e.env}} {
			t.Run(e.m.Name+"/"+e.entry+"/"+how.name, func(t *testing.T) {
				data := converted(t, f, export.Options{Weights: e.w, Bind: how.bind})
				mod, got := imported(t, data, all)
				if k := len(mod.Func("main").Symbols()); (k > 0) != (how.bind == nil) {
					t.Errorf("%d symbols are left", k)
				}
				same(t, &ir.Module{}, got, want)
			})
		}
	}
}

// The models of ONNX's conformance tests compute the same when they are exported and imported again.
func TestConformanceModels(t *testing.T) {
	root := irtest.Corpus(t, "onnx", "node")
	dirs, err := filepath.Glob(filepath.Join(root, "*"))
	if err != nil {
		t.Fatal(err)
	}
	every := 8
	if os.Getenv("APOGEE_CORPUS") == "required" {
		every = 1
	}
	tried, refused := 0, map[string]int{}
	for i := 0; i < len(dirs); i += every {
		dir := dirs[i]
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := onnx.Open(filepath.Join(dir, "model.onnx"))
			if err != nil {
				t.Skip(err)
			}
			defer m.Close()
			inputs := map[string]*tensor.Tensor{}
			for k, n := range m.GraphInputs() {
				if x, _, err := onnx.ReadTensor(filepath.Join(dir, "test_data_set_0", "input_"+string(rune('0'+k))+".pb")); err == nil {
					inputs[n] = x
				}
			}
			run := func(m *onnx.Model, mod *ir.Module) (map[string]*tensor.Tensor, error) {
				e := &eval.Evaluator{Weights: m}
				out, _, err := e.Run(context.Background(), mod.Func("main"), inputs, nil)
				return out, err
			}
			load := func(m *onnx.Model) (*ir.Module, error) {
				return m.Import(onnx.Options{
					Values: func(n string) *tensor.Tensor { return inputs[n] },
					Eval:   func(mod *ir.Module) (map[string]*tensor.Tensor, error) { return run(m, mod) },
				})
			}
			mod, err := load(m)
			if err != nil {
				t.Skip(err) // out of scope
			}
			want, err := run(m, mod)
			if err != nil {
				t.Skip(err)
			}
			tried++
			file, err := export.Convert(mod.Func("main"), export.Options{Weights: m})
			if err != nil {
				text := err.Error()
				if at := strings.Index(text, "error["); at >= 0 {
					text, _, _ = strings.Cut(text[at:], "\n")
				}
				refused[text]++
				t.Skip(err)
			}
			_ = file
			again, err := onnx.OpenBytes("again.onnx", converted(t, mod.Func("main"), export.Options{Weights: m}))
			if err != nil {
				t.Fatal(err)
			}
			back, err := load(again)
			if err != nil {
				t.Fatal(err)
			}
			got, err := run(again, back)
			if err != nil {
				t.Fatal(err)
			}
			same(t, mod, got, want)
		})
	}
	t.Logf("%d models, refused: %v", tried, refused)
}
