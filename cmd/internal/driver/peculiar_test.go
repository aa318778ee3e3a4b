package driver

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/sim/clock"
	"apogee/targets/sim/exec"
)

// TestPeculiarities holds that what a chip file says of a chip's arithmetic decides the bits that come out, and what it says of its rates
// the time: one statement more or less, everything else equal.
func TestPeculiarities(t *testing.T) {
	product := `entry main(x: FMT[T, K], w: FMT[N, K]) -> (y: f32[T, N]) { einsum("tk,nk->tn", x, w, format=f32) }`
	whole := `entry main(x: FMT[T, K], w: FMT[N, K]) -> (y: i32[T, N]) { einsum("tk,nk->tn", x, w, format=i32) }`
	small := `entry main(x: FMT[T, K], w: FMT[N, K]) -> (y: f32[T, K]) { x * 1e-20 }`
	sum := `entry main(x: f32[T, K], w: f32[N, K]) -> (y: f32[T]) { sum(x, axis=-1) }`
	scaled := `entry main(x: f8e4m3fn[T, K], w: f8e4m3fn[N, K], s: f32[T, ceil(K / 512)], z: f32[ceil(N / 16), ceil(K / 512)]) -> (y: f32[T, N]) {
		scaled_matmul(x, w, s, z, block=[16, 512], format=f32) }`
	fp8 := "engine tensor { rate f8e4m3fn, f8e4m3fn -> f32 { %s } }"
	for _, c := range []struct {
		name, model, format string
		base, with          string // the chip, and a statement over it
		precision           string
		scale               float64 // of the operands
		bits, time          bool    // what the statement changes
	}{
		{"fourteen bits of accumulator", scaled, "f8e4m3fn", "nvidia-h100", fmt.Sprintf(fp8, "without accumulate"), "", 1, true, false},
		{"promotion every 128 of K", product, "f8e4m3fn", "nvidia-h100", fmt.Sprintf(fp8, "without promote"), "fp8", 1, true, true},
		{"promotion every 64", product, "f8e4m3fn", "nvidia-h100", fmt.Sprintf(fp8, `promote 64 assumed "a test"`), "fp8", 1, true, true},
		{"products aligned in groups", scaled, "f8e4m3fn", "nvidia-h100", fmt.Sprintf(fp8, `group 16 assumed "a test"`), "", 1, true, false},
		{"TF32", product, "f32", "nvidia-h100", "precision tf32 { weight f32; activation f32; rate f32, f32 -> f32 }", "tf32", 1, true, true},
		{"HF32", product, "f32", "ascend-910b", "precision hf32 { weight f32; activation f32; rate f32, f32 -> f32 }", "hf32", 1, true, true},
		{"subnormals are flushed", small, "f32", "nvidia-h100", "subnormals flush", "f32", 1e-20, true, false},
		{"HiF8 is multiplied natively", product, "hif8", "ascend-950pr", "engine cube { without rate hif8, hif8 -> f32 }", "fp8", 1, false, true},
		{"so is MXFP4's element", product, "f4e2m1", "ascend-950pr", "engine cube { without rate f4e2m1, f4e2m1 -> f32 }", "fp8", 1, false, true},
		{"an integer engine", whole, "i8", "nvidia-a100", "engine tensor { without rate i8, i8 -> i32 }", "", 50, false, true},
		{"no BF16", product, "bf16", "ascend-910b", "engine cube { without rate bf16, bf16 -> f32 }\n without peak bf16", "", 1, false, true},
		{"a warp of 64 lanes", sum, "f32", "nvidia-h100", `width 64 assumed "a test"`, "f32", 1, true, false},
		{"a warp of 128 lanes", sum, "f32", "nvidia-h100", `width 128 assumed "a test"`, "f32", 1, true, false},
		{"a wave of 32 lanes", sum, "f32", "hygon-k100-ai", `width 32 assumed "a test"`, "f32", 1, true, false},
		{"a wider wave", small, "f32", "nvidia-h100", `width 65536 assumed "a test"`, "f32", 1, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.mg")
			if err := os.WriteFile(path, bytes.ReplaceAll([]byte(c.model), []byte("FMT"), []byte(c.format)), 0o644); err != nil {
				t.Fatal(err)
			}
			f, _ := format.Parse(c.format)
			rng := rand.New(rand.NewPCG(1, 2))
			random := func(rows, cols int64) *tensor.Tensor {
				values := make([]float64, rows*cols)
				for i := range values {
					values[i] = c.scale * rng.NormFloat64()
					if !f.IsFloat() {
						values[i] = math.Round(values[i])
					}
				}
				x, err := tensor.FromF64(f, []int64{rows, cols}, values)
				if err != nil {
					t.Fatal(err)
				}
				return x
			}
			in := Tensors{"x": random(8, 512), "w": random(16, 512)}
			if c.model == scaled {
				one, err := tensor.FromF32(format.F32, []int64{8, 1}, []float32{1, 1, 1, 1, 1, 1, 1, 1})
				if err != nil {
					t.Fatal(err)
				}
				in["s"] = one
				if in["z"], err = tensor.FromF32(format.F32, []int64{1, 1}, []float32{1}); err != nil {
					t.Fatal(err)
				}
			}
			run := func(with string) ([]byte, float64) { return runOn(t, path, c.base, with, c.precision, in, "y") }
			bits, seconds := run("")
			otherBits, otherSeconds := run(c.with)
			if again, _ := run(""); !bytes.Equal(bits, again) {
				t.Error("the same chip gives other bits")
			}
			if differ := !bytes.Equal(bits, otherBits); differ != c.bits {
				t.Errorf("bits differ: %v, want %v", differ, c.bits)
			}
			if differ := seconds != otherSeconds; c.time && !differ {
				t.Errorf("both take %g s", seconds)
			}
		})
	}
}

// runOn runs a model on a chip with a statement over its file, and gives the bits of a result and the simulated time.
func runOn(t *testing.T, path, base, with, precision string, in Tensors, result string) ([]byte, float64) {
	t.Helper()
	one, l := chip.Read(diag.NewSource("x.chip", []byte(fmt.Sprintf("chip \"x\" {\n extends %q\n %s\n}\n", base, with))), chip.Shipped)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	out, p, err := open(t, path).Run(context.Background(), Request{Chip: one, Precision: precision}, in, exec.Options{Guard: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := clock.Run(p, one, clock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := out[result].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b, r.Seconds
}

// TestPeculiarFormats holds the same of formats that a model's weights are brought to: of HiF8, and of MX codes with the blocks of the
// engine that takes their scales.
func TestPeculiarFormats(t *testing.T) {
	const example = "../../../examples/r1-nano"
	tokens, err := tensor.FromI64(format.I32, []int64{1, 12}, []int64{6, 12, 18, 15, 18, 8, 22, 9, 9, 23, 16, 18})
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(f string, n int) string {
		return fmt.Sprintf("engine cube { rate %s, %s -> f32 { scale f8e8m0 %d assumed \"a test\" } }", f, f, n)
	}
	seen := map[string]string{}
	for _, c := range []struct{ name, with, precision string }{
		{"bf16", "", "bf16"},
		{"no BF16, so that auto takes F16", "engine cube { without rate bf16, bf16 -> f32 }\n without peak bf16", Auto},
		{"an integer engine", "", "w8a8"},
		{"FP8 with scales of blocks of 128", "", "fp8"},
		{"HiF8", "", "hif8"},
		{"MXFP8", "", "mxfp8"},
		{"MXFP8 in blocks of 16", blocks("f8e4m3fn", 16), "mxfp8"},
		{"MXFP4", "", "mxfp4"},
		{"MXFP4 in blocks of 64", blocks("f4e2m1", 64), "mxfp4"},
	} {
		bits, _ := runOn(t, example, "ascend-950pr", c.with, c.precision, Tensors{"tokens": tokens}, "logits")
		if again, _ := runOn(t, example, "ascend-950pr", c.with, c.precision, Tensors{"tokens": tokens}, "logits"); !bytes.Equal(bits, again) {
			t.Errorf("%s: the same chip gives other bits", c.name)
		}
		if same := seen[string(bits)]; same != "" {
			t.Errorf("%s gives the bits of %s", c.name, same)
		}
		seen[string(bits)] = c.name
	}
}
