package npy

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// corpus returns a path in the shared test material, which lies beside the
// repository and is not everywhere.
func corpus(t *testing.T, elem ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
	path := filepath.Join(append([]string{dir, "..", "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("APOGEE_CORPUS") == "required" {
			t.Fatalf("test material is missing: %v", err)
		}
		t.Skipf("no test material: %v", err)
	}
	return path
}

// TestFP8Vectors holds the block quantisation of activations against the reference
// checkpoint's single-linear vectors: codes and scales to the bit.
func TestFP8Vectors(t *testing.T) {
	dir := corpus(t, "checkpoints", "ds-tiny-fp8", "reference_w8a8")
	load := func(tag, what string) *tensor.Tensor {
		x, err := ReadFile(filepath.Join(dir, fmt.Sprintf("linear.%s.%s.npy", tag, what)))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, tag := range []string{"kv_a", "o", "gate0", "down_dense"} {
		x, scale := load(tag, "x"), load(tag, "act_scale")
		codes, err := As(load(tag, "act_codes"), format.F8E4M3FN)
		if err != nil {
			t.Fatal(err)
		}
		xs, err := x.F32s()
		if err != nil {
			t.Fatal(err)
		}
		want, err := codes.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		wantScale, err := scale.F32s()
		if err != nil {
			t.Fatal(err)
		}
		got, gotScale := make([]byte, len(xs)), make([]float32, len(wantScale))
		if err := format.FP8BlockQuantise(got, gotScale, xs, int(x.Shape[1]), format.FP8Group); err != nil {
			t.Fatalf("%s: %v", tag, err)
		}
		for i := range gotScale {
			if math.Float32bits(gotScale[i]) != math.Float32bits(wantScale[i]) {
				t.Fatalf("%s: scale %d is %x, want %x", tag, i, gotScale[i], wantScale[i])
			}
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: code %d is %#x, want %#x", tag, i, got[i], want[i])
			}
		}
	}
}

// TestCorpusReads reads every .npy file of the reference checkpoints.
func TestCorpusReads(t *testing.T) {
	dir := corpus(t, "checkpoints")
	files, err := filepath.Glob(filepath.Join(dir, "*", "reference*", "*.npy"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if _, err := ReadFile(f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
