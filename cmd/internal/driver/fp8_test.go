package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/frontend/hf"
	"apogee/frontend/safetensors"
	"apogee/ir/diag"
	"apogee/ir/format"
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

// TestFP8Made: at fp8 a weight that is stored otherwise is really quantised, 128 by 128 elements to a scale, and its activations 1 by 128, as
// DeepSeek-V3 does (arXiv 2412.19437, section 3.3.2): the product is that of the formula in float64, but for the accumulator.
func TestFP8Made(t *testing.T) {
	h100, err := chip.Load("nvidia-h100")
	if err != nil {
		t.Fatal(err)
	}
	const m, k, n = 3, 200, 140
	r := rand.New(rand.NewPCG(1, 2))
	numbers := func(rows, cols int, f format.Format) *tensor.Tensor {
		v := make([]float64, rows*cols)
		for i := range v {
			v[i] = r.NormFloat64() * float64(1+i%7)
		}
		x, err := tensor.FromF64(f, []int64{int64(rows), int64(cols)}, v)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	// coded rounds a matrix to codes times the scale of its block.
	coded := func(x *tensor.Tensor, high, broad int) []float64 {
		v, err := x.F64s()
		if err != nil {
			t.Fatal(err)
		}
		rows, cols := int(x.Shape[0]), int(x.Shape[1])
		most := map[[2]int]float64{}
		for i, y := range v {
			at := [2]int{i / cols / high, i % cols / broad}
			most[at] = math.Max(most[at], math.Abs(y))
		}
		out := make([]float64, rows*cols)
		for i, y := range v {
			scale := float32(most[[2]int{i / cols / high, i % cols / broad}]) / 448
			out[i] = format.F8E4M3FN.Round(float64(float32(y)/scale)) * float64(scale)
		}
		return out
	}
	for _, stored := range []format.Format{format.BF16, format.F32} {
		dir := t.TempDir()
		w, x := numbers(n, k, stored), numbers(m, k, format.F32)
		if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), []safetensors.Named{{Name: "w", Tensor: w}}, nil); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("module @m {\n  func entry @f(%%x: f32[%d,%d]) -> (y) {\n    %%w = weight {name=\"w\"} : %s[%d,%d]\n    %%c = cast(%%w) {format=f32} : f32[%d,%d]\n"+
			"    %%y = einsum(%%x, %%c) {spec=\"mk,nk->mn\"} : f32[%d,%d]\n    return(%%y)\n  }\n}\n", m, k, stored, n, k, n, k, m, n)
		if stored == format.F32 {
			text = strings.Replace(strings.Replace(text, "%c, ", "", 1), "    %c = cast(%w) {format=f32} : f32[140,200]\n", "", 1)
			text = strings.Replace(text, "(%x, %c)", "(%x, %w)", 1)
		}
		model := &Model{Path: "m.ir", IR: []byte(text), Warnings: &diag.List{}}
		if err := model.UseWeights(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(model.Close)
		out, _, err := model.Run(context.Background(), Request{Chip: h100, Precision: "fp8"}, Tensors{"x": x}, exec.Options{Guard: true})
		if err != nil {
			t.Fatal(err)
		}
		a, b := coded(x, 1, 128), coded(w, 128, 128)
		want, exact := make([]float64, m*n), make([]float64, m*n)
		xs, _ := x.F64s()
		ws, _ := w.F64s()
		for i := range want {
			for j := range k {
				want[i] += a[i/n*k+j] * b[i%n*k+j]
				exact[i] += xs[i/n*k+j] * ws[i%n*k+j]
			}
		}
		y := func(v []float64) *tensor.Tensor {
			x, err := tensor.FromF64(format.F32, []int64{m, n}, v)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		rowsNear(t, out["y"], y(want), math.Ldexp(1, -11))
		if f, _ := out["y"].F64s(); math.Abs(f[0]-exact[0]) < 1e-6 {
			t.Error("nothing was quantised")
		}
	}
}
