package onnxsuite_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"apogee/cmd/internal/onnxsuite"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/targets/chip"
)

// scope says of each test of the corpus whether it is in scope.
func scope(t *testing.T, corpus string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, "scope.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, l := range strings.Split(string(text), "\n")[1:] {
		if c := strings.Split(l, "\t"); len(c) > 2 {
			out[c[1]+"/"+c[0]] = c[2] == "in"
		}
	}
	return out
}

// chipsOfEachFamily are the chips that the corpus runs on besides the reference, one for each kind of execution.
var chipsOfEachFamily = []string{"ascend-910b", "hygon-k100-ai", "nvidia-h100", "loongson-3c6000"}

// Every test in scope passes, and of the others none fails: it is unsupported, or there happens to be nothing in it that is.
func TestCorpus(t *testing.T) {
	corpus := irtest.Corpus(t, "onnx")
	in := scope(t, corpus)
	targets := []string{"reference"}
	if os.Getenv("APOGEE_CORPUS") == "required" {
		for _, c := range chipsOfEachFamily {
			targets = append(targets, c+"/f32", c+"/auto")
		}
	}
	for _, target := range targets {
		for _, category := range []string{"node", "simple", "pytorch-operator", "pytorch-converted"} {
			t.Run(target+"/"+category, func(t *testing.T) {
				opt := onnxsuite.Options{Rtol: 1e-3, Atol: 1e-7, Timeout: 2 * time.Minute, MaxBytes: 2 << 30, Jobs: runtime.GOMAXPROCS(0), Guard: true}
				if name, precision, ok := strings.Cut(target, "/"); ok {
					c, err := chip.Load(name)
					if err != nil {
						t.Fatal(err)
					}
					opt.Chip, opt.Precision = c, precision
				}
				tests, err := onnxsuite.Find(filepath.Join(corpus, category))
				if err != nil {
					t.Fatal(err)
				}
				results, err := onnxsuite.Run(t.Context(), corpus, tests, opt)
				if err != nil {
					t.Fatal(err)
				}
				count := map[onnxsuite.Status]int{}
				for _, r := range results {
					count[r.Status]++
					inScope, known := in[r.Test]
					if r.Status == onnxsuite.Fail || known && inScope && r.Status != onnxsuite.Pass {
						t.Errorf("%s: %s: %s", r.Test, r.Status, r.Why)
					}
				}
				t.Logf("%d passed, %d failed, %d unsupported", count[onnxsuite.Pass], count[onnxsuite.Fail], count[onnxsuite.Unsupported])
			})
		}
	}
}

// Trained models give what another runtime gave, within the tolerance that their README suggests.
func TestTrainedModels(t *testing.T) {
	models, err := filepath.Glob(filepath.Join(irtest.Corpus(t, "models"), "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		t.Skip("some billion operations on the reference")
	}
	for _, m := range models {
		dir := filepath.Dir(m)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			hold(t, dir, onnxsuite.Options{Rtol: 1e-3, Atol: 1e-4, Jobs: 1})
		})
	}
}

func TestCompare(t *testing.T) {
	f32 := func(v ...float64) *tensor.Tensor {
		x, err := tensor.FromF64(format.F32, []int64{int64(len(v))}, v)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		got, want *tensor.Tensor
		err       string
	}{
		{f32(1, nan, inf), f32(1, nan, inf), ""},
		{f32(1.0009), f32(1), ""},
		{f32(1.0011), f32(1), "1 of 1 elements differ, the most at [0]: expected 1, found 1.001"},
		{f32(0, 5e-8), f32(0, 0), ""},
		{f32(2e-7), f32(0), "differ"},
		{f32(nan), f32(1), "differ"},
		{f32(1), f32(nan), "differ"},
		{f32(inf), f32(-inf), "differ"},
		{f32(inf), f32(1), "differ"},
		{f32(1, 2), f32(1), "expected f32[1], found f32[2]"},
	} {
		_, err := onnxsuite.Compare(c.got, c.want, 1e-3, 1e-7, nil)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("expected %q, found %v", c.err, err)
		}
	}
}

// A folder without what a test needs is a failure that says so, and so is a model that is none.
func TestBrokenFolders(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), []byte("no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	res, err := onnxsuite.Run(context.Background(), dir, []string{dir}, onnxsuite.Options{})
	if err != nil || res[0].Status != onnxsuite.Fail || !strings.Contains(res[0].Why, "no ONNX model") {
		t.Errorf("found %v %v", res, err)
	}
	if _, err := onnxsuite.Find(t.TempDir()); err == nil {
		t.Error("an empty folder has no tests")
	}
}
