package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"apogee/frontend/hf"
	"apogee/ir/diag"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/sim/exec"
)

// linearFP8 is one linear layer of ds-tiny-fp8 as its reference has it: activations quantised per token and 128 channels, codes multiplied
// block by block; beside it the same weight dequantised, with the activations as they are.
func linearFP8(weight string, m, k, n int64) string {
	kb, nb := (k+127)/128, (n+127)/128
	return fmt.Sprintf(`module @linear {
  func entry @w8a8(%%x: f32[%[1]d,%[2]d]) -> (codes, scale, y) {
    %%w = weight {name="%[6]s"} : f8e4m3fn[%[3]d,%[2]d]
    %%s = weight {name="%[6]s_scale_inv"} : f32[%[5]d,%[4]d]
    %%codes, %%scale = quantize(%%x) {block=[128], format=f8e4m3fn} : f8e4m3fn[%[1]d,%[2]d], f32[%[1]d,%[4]d]
    %%y = scaled_matmul(%%codes, %%w, %%scale, %%s) {block=[128,128], format=f32} : f32[%[1]d,%[3]d]
    return(%%codes, %%scale, %%y)
  }
  func entry @w8a16(%%x: f32[%[1]d,%[2]d]) -> (y) {
    %%w = weight {name="%[6]s"} : f8e4m3fn[%[3]d,%[2]d]
    %%s = weight {name="%[6]s_scale_inv"} : f32[%[5]d,%[4]d]
    %%d = dequantize(%%w, %%s) {block=[128,128], format=f32} : f32[%[3]d,%[2]d]
    %%y = einsum(%%x, %%d) {spec="mk,nk->mn"} : f32[%[1]d,%[3]d]
    return(%%y)
  }
}
`, m, k, n, kb, nb, weight)
}

// TestFP8Linear: on a chip with FP8 the codes and scales of single linear layers are exact. The products are within what its
// accumulator of 14 bits allows (arXiv 2412.19437, section 3.3.2: relative errors of some 2^-13 a block of 128), and within 1e-5 of the
// largest of the row on the reference and at --precision f32, whether the model states the codes or not.
func TestFP8Linear(t *testing.T) {
	corpus := irtest.Corpus(t)
	dir := filepath.Join(corpus, "checkpoints", "ds-tiny-fp8")
	ck, err := hf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	text, err := os.ReadFile(filepath.Join(dir, "reference_w8a8", "linear.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tags map[string]string
	if err := json.Unmarshal(text, &tags); err != nil {
		t.Fatal(err)
	}
	h100, err := chip.Load("nvidia-h100")
	if err != nil {
		t.Fatal(err)
	}
	for tag, weight := range tags {
		want := func(what string) *tensor.Tensor {
			return read(t, filepath.Join(dir, "reference_w8a8", "linear."+tag+"."+what+".npy"))
		}
		x := want("x")
		w, err := ck.Weights.Tensor(weight)
		if err != nil {
			t.Fatal(err)
		}
		m := &Model{Path: tag, IR: []byte(linearFP8(weight, x.Shape[0], x.Shape[1], w.Shape[0])), Warnings: &diag.List{}}
		if err := m.UseWeights(dir); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		for _, c := range []struct {
			name, entry, precision, want string
			chip                         *chip.Chip
			bound                        float64 // of the largest of the row
		}{
			{"reference", "w8a8", "", "y_w8a8", nil, 1e-5},
			{"reference", "w8a16", "", "y_w8a16", nil, 1e-5},
			{"h100 fp8", "w8a8", "fp8", "y_w8a8", h100, math.Ldexp(1, -11)},
			{"h100 f32", "w8a16", "f32", "y_w8a16", h100, 1e-5},
			{"h100 f32", "w8a8", "f32", "y_w8a8", h100, 1e-5},
		} {
			t.Run(tag+"/"+c.name+"/"+c.entry, func(t *testing.T) {
				req := Request{Entry: c.entry, Chip: c.chip, Precision: c.precision}
				var out Tensors
				var err error
				if c.chip == nil {
					out, err = m.RunReference(context.Background(), req, Tensors{"x": x})
				} else {
					out, _, err = m.Run(context.Background(), req, Tensors{"x": x}, exec.Options{Guard: true})
				}
				if err != nil {
					t.Fatal(err)
				}
				if c.entry == "w8a8" {
					exactCodes(t, out, want("act_codes"), want("act_scale"))
				}
				rowsNear(t, out["y"], want(c.want), c.bound)
			})
		}
	}
}

func exactCodes(t *testing.T, out Tensors, codes, scale *tensor.Tensor) {
	t.Helper()
	got, err := out["codes"].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want, err := codes.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("code %d is %#x, expected %#x", i, got[i], want[i])
		}
	}
	near(t, "scale", out["scale"], scale, 0)
}

// rowsNear holds each row of got against want, within a part of the row's largest magnitude.
func rowsNear(t *testing.T, got, want *tensor.Tensor, bound float64) {
	t.Helper()
	a, err := got.F64s()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.F64s()
	if err != nil {
		t.Fatal(err)
	}
	n := int(want.Shape[1])
	worst := 0.0
	for r := 0; r < len(b)/n; r++ {
		big, off := 0.0, 0.0
		for i := r * n; i < (r+1)*n; i++ {
			big = math.Max(big, math.Abs(b[i]))
			off = math.Max(off, math.Abs(a[i]-b[i]))
		}
		worst = math.Max(worst, off/big)
	}
	t.Logf("at most %.2g of the row's largest", worst)
	if !(worst <= bound) {
		t.Errorf("%.3g of the row's largest, expected at most %.3g", worst, bound)
	}
}
