package onnxsuite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apogee/cmd/internal/driver"
	"apogee/cmd/internal/ort"
	"apogee/frontend/onnx"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/sim/exec"
)

// BenchmarkModels imports the corpus' networks, their weights generated, and the pretrained models, and runs them functionally on two
// chips in f32 with two workers. The first run, which packs the weights, is not counted. Where ONNX Runtime is (see package ort), it
// runs the same file on the same inputs with two threads just before: ort-ms is its fastest run, its load time ort-load-ms, and x-ort
// and x-load our time as a multiple of its.
func BenchmarkModels(b *testing.B) {
	for _, m := range networks(b) {
		b.Run(m.name, func(b *testing.B) { m.bench(b) })
	}
}

type network struct {
	name, dir, set string
}

// networks lists the models that are benchmarked. A light model's folder is made when it is run.
func networks(b *testing.B) []network {
	seeded, err := filepath.Glob(filepath.Join(irtest.Corpus(b, "onnx", "light_seeded"), "*_seed1.npy"))
	if err != nil || len(seeded) == 0 {
		b.Fatal("no light models", err)
	}
	var out []network
	for _, path := range seeded {
		out = append(out, network{name: strings.TrimSuffix(filepath.Base(path), "_seed1.npy")})
	}
	real, err := filepath.Glob(filepath.Join(irtest.Corpus(b, "models"), "*", "model.onnx"))
	if err != nil || len(real) == 0 {
		b.Fatal("no pretrained models", err)
	}
	for _, path := range real {
		dir := filepath.Dir(path)
		out = append(out, network{filepath.Base(dir), dir, filepath.Join(dir, "test_data_set_0")})
	}
	return out
}

func (n network) bench(b *testing.B) {
	if n.dir == "" {
		n.dir = b.TempDir()
		n.set = filepath.Join(n.dir, "test_data_set_0")
		none, err := tensor.New(format.F32, []int64{1})
		if err != nil {
			b.Fatal(err)
		}
		lightFolder(b, n.dir, irtest.Corpus(b, "onnx", "light", n.name+".onnx"), none, 1)
	}
	path := filepath.Join(n.dir, "model.onnx")
	m, err := driver.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	inputs := driver.Tensors{}
	for k, name := range m.ONNX.GraphInputs() {
		if slices.ContainsFunc(m.ONNX.Inputs(), func(p onnx.Port) bool { return p.Name == name }) {
			if inputs[name], _, err = onnx.ReadTensor(filepath.Join(n.set, fmt.Sprintf("input_%d.pb", k))); err != nil {
				b.Fatal(err)
			}
		}
	}
	witness := measure(b, ort.Job{Path: path, Inputs: inputs, Threads: 2, Optimise: true, Runs: 5})

	b.Run("import", func(b *testing.B) {
		for b.Loop() {
			o, err := driver.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := o.Lower(driver.Request{Inputs: inputs}); err != nil {
				b.Fatal(err)
			}
			o.Close()
		}
		if witness != nil {
			b.ReportMetric(witness.Load.Seconds()*1e3, "ort-load-ms")
			b.ReportMetric(perRun(b)/witness.Load.Seconds(), "x-load")
		}
	})
	for _, target := range []string{"loongson-3c6000", "nvidia-h100"} {
		b.Run(target, func(b *testing.B) {
			c, err := chip.Load(target)
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			built, err := m.Compile(ctx, driver.Request{Chip: c, Precision: "f32", Inputs: inputs})
			if err != nil {
				b.Fatal(err)
			}
			mach, err := exec.New(built.Plan, c, m.ONNX, exec.Options{Workers: 2})
			if err != nil {
				b.Fatal(err)
			}
			used := map[string]*tensor.Tensor{}
			for i := range built.Plan.Buffers {
				if x := &built.Plan.Buffers[i]; inputs[x.Name] != nil {
					used[x.Name] = inputs[x.Name]
				}
			}
			run := func() {
				if _, err := mach.Run(ctx, used); err != nil {
					b.Fatal(err)
				}
			}
			run()
			for b.Loop() {
				run()
			}
			if witness != nil {
				best := slices.Min(witness.Runs)
				b.ReportMetric(best.Seconds()*1e3, "ort-ms")
				b.ReportMetric(perRun(b)/best.Seconds(), "x-ort")
			}
		})
	}
}

func perRun(b *testing.B) float64 { return (b.Elapsed() / time.Duration(b.N)).Seconds() }

// measure runs a job on ONNX Runtime, or gives nil where that is not here.
func measure(b *testing.B, j ort.Job) *ort.Result {
	r, err := ort.Lookup()
	if err != nil {
		b.Log(err)
		return nil
	}
	got, err := r.Run(context.Background(), b.TempDir(), []ort.Job{j})
	if err == nil {
		err = got[0].Err
	}
	if err != nil {
		b.Fatal(err)
	}
	return &got[0]
}
