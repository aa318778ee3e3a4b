package driver

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
	"apogee/targets/sim/exec"
	"apogee/targets/sim/kernels"
)

// large opens the real DeepSeek-V3 config.
func large(b *testing.B) *Model {
	b.Helper()
	m, err := Open(filepath.Join(irtest.Corpus(b), "configs", "deepseek-v3", "config.json"))
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkCompile compiles DeepSeek-V3 671B from its config to a plan: source, lowering, passes, code, addresses. The size is the number of layers.
func BenchmarkCompile(b *testing.B) {
	m := large(b)
	for _, target := range []string{"ascend-910b", "nvidia-h100"} {
		c, err := chip.Load(target)
		if err != nil {
			b.Fatal(err)
		}
		for _, layers := range []int{8, 16, 32, 61} {
			for _, entry := range []string{"prefill", "decode"} {
				b.Run(fmt.Sprintf("%s/layers=%d/%s", target, layers, entry), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := m.Compile(context.Background(), Request{Entry: entry, Chip: c, Set: map[string]string{"num_hidden_layers": fmt.Sprint(layers)}}); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// BenchmarkTime times the plans of DeepSeek-V3 671B; the size is the number of layers.
func BenchmarkTime(b *testing.B) {
	m := large(b)
	c, err := chip.Load("ascend-910b")
	if err != nil {
		b.Fatal(err)
	}
	for _, layers := range []int{8, 61} {
		for _, entry := range []string{"prefill", "decode"} {
			built, err := m.Compile(context.Background(), Request{Entry: entry, Chip: c, Set: map[string]string{"num_hidden_layers": fmt.Sprint(layers)}})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("layers=%d/%s", layers, entry), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := clock.Run(built.Plan, c, clock.Options{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// layerSource is one gated transformer layer as a user writes it, its weights inputs; D is the width.
const layerSource = `module @layer {
  func entry @layer(%%x: f32[%[1]d,%[2]d], %%q: f32[%[2]d,%[2]d], %%o: f32[%[2]d,%[2]d], %%g: f32[%[3]d,%[2]d], %%u: f32[%[3]d,%[2]d], %%d: f32[%[2]d,%[3]d]) -> (y) {
    %%a = einsum(%%x, %%q) {spec="td,nd->tn"} : f32[%[1]d,%[2]d]
    %%b = einsum(%%a, %%o) {spec="td,nd->tn"} : f32[%[1]d,%[2]d]
    %%r = add(%%x, %%b) : f32[%[1]d,%[2]d]
    %%g1 = einsum(%%r, %%g) {spec="td,nd->tn"} : f32[%[1]d,%[3]d]
    %%u1 = einsum(%%r, %%u) {spec="td,nd->tn"} : f32[%[1]d,%[3]d]
    %%s = sigmoid(%%g1) : f32[%[1]d,%[3]d]
    %%m = mul(%%g1, %%s) : f32[%[1]d,%[3]d]
    %%h = mul(%%m, %%u1) : f32[%[1]d,%[3]d]
    %%e = einsum(%%h, %%d) {spec="td,nd->tn"} : f32[%[1]d,%[2]d]
    %%y = add(%%r, %%e) : f32[%[1]d,%[2]d]
    return(%%y)
  }
}
`

// BenchmarkLayer runs the products and the gated MLP of a transformer layer functionally, tile by tile, beside the peak measured here. The size
// is the width of the layer, with 128 tokens.
func BenchmarkLayer(b *testing.B) {
	const tokens = 128
	peak := kernels.ProbePeakF32(1)
	for _, target := range []string{"loongson-3c6000", "nvidia-h100"} {
		c, err := chip.Load(target)
		if err != nil {
			b.Fatal(err)
		}
		for _, width := range []int64{256, 512, 1024} {
			b.Run(fmt.Sprintf("%s/D=%d", target, width), func(b *testing.B) {
				hidden := 3 * width
				m := &Model{Path: "layer", IR: []byte(fmt.Sprintf(layerSource, tokens, width, hidden)), Warnings: &diag.List{}}
				built, err := m.Compile(context.Background(), Request{Chip: c, Precision: "f32"})
				if err != nil {
					b.Fatal(err)
				}
				mach, err := exec.New(built.Plan, c, nil, exec.Options{Workers: 1})
				if err != nil {
					b.Fatal(err)
				}
				in := Tensors{}
				for _, x := range built.Plan.Buffers {
					if x.Kind != plan.Input {
						continue
					}
					v := make([]float32, tensorSize(x.Shape))
					for i := range v {
						v[i] = float32(i%13-6) / 64
					}
					t, err := tensor.FromF32(x.Format, x.Shape, v)
					if err != nil {
						b.Fatal(err)
					}
					in[x.Name] = t
				}
				b.ResetTimer()
				for b.Loop() {
					if _, err := mach.Run(context.Background(), in); err != nil {
						b.Fatal(err)
					}
				}
				flops := 2 * float64(tokens) * float64(2*width*width+3*width*hidden)
				rate := flops * float64(b.N) / b.Elapsed().Seconds() / 1e9
				b.ReportMetric(rate, "GFLOP/s")
				b.ReportMetric(100*rate*1e9/peak, "%peak")
			})
		}
	}
}

// linearSource is one product of rows by a square weight.
const linearSource = `module @linear {
  func entry @linear(%%x: f32[%[1]d,%[2]d]) -> (y) {
    %%w = weight() {name="w"} : f32[%[2]d,%[2]d]
    %%y = einsum(%%x, %%w) {spec="td,nd->tn"} : f32[%[1]d,%[2]d]
    return(%%y)
  }
}
`

// linear compiles such a product for a chip and runs it once: weights are packed in a machine's first run, and what a launch comes down to is
// noted.
func linear(b *testing.B, c *chip.Chip, rows, n int64, workers int) (*exec.Machine, Tensors) {
	b.Helper()
	filled := func(shape ...int64) *tensor.Tensor {
		v := make([]float32, tensorSize(shape))
		for i := range v {
			v[i] = float32(i%13-6) / 64
		}
		t, err := tensor.FromF32(format.F32, shape, v)
		if err != nil {
			b.Fatal(err)
		}
		return t
	}
	m := &Model{Path: "linear", IR: []byte(fmt.Sprintf(linearSource, rows, n)), Warnings: &diag.List{}}
	built, err := m.Compile(context.Background(), Request{Chip: c, Precision: "f32"})
	if err != nil {
		b.Fatal(err)
	}
	mach, err := exec.New(built.Plan, c, oneWeight{filled(n, n)}, exec.Options{Workers: workers})
	if err != nil {
		b.Fatal(err)
	}
	in := Tensors{"x": filled(rows, n)}
	if _, err := mach.Run(context.Background(), in); err != nil {
		b.Fatal(err)
	}
	return mach, in
}

// BenchmarkGEMM multiplies square matrices by plans as they come from the compiler, beside the machine's peak.
func BenchmarkGEMM(b *testing.B) {
	for _, target := range []string{"loongson-3c6000", "nvidia-h100", "ascend-910b", "hygon-k100-ai"} {
		c, err := chip.Load(target)
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int64{512, 1024, 2048} {
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/N=%d/workers=%d", target, n, workers), func(b *testing.B) {
					mach, in := linear(b, c, n, n, workers)
					took, peak := beside(b, mach, in, func() float64 { return 2 * float64(n*n*n) / kernels.ProbePeakF32(workers) })
					b.ReportMetric(2*float64(n*n*n)*float64(b.N)/took/1e9, "GFLOP/s")
					b.ReportMetric(100*peak/took, "%peak")
				})
			}
		}
	}
}

// BenchmarkGEMV multiplies one row by a matrix far larger than the caches, by plans as they come from the compiler, beside what the machine reads
// a second. The matrix is a constant, packed in the first run, as weights are.
func BenchmarkGEMV(b *testing.B) {
	const n = 8192
	memory := make([]float32, n*n)
	for i := range memory {
		memory[i] = 1 // pages of its own
	}
	for _, target := range []string{"loongson-3c6000", "nvidia-h100", "ascend-910b", "hygon-k100-ai"} {
		c, err := chip.Load(target)
		if err != nil {
			b.Fatal(err)
		}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/N=%d/workers=%d", target, n, workers), func(b *testing.B) {
				mach, in := linear(b, c, 1, n, workers)
				took, read := beside(b, mach, in, func() float64 { return 4 * n * n / kernels.ProbeReadRate(memory, workers) })
				b.ReportMetric(4*n*n*float64(b.N)/took/1e9, "GB/s")
				b.ReportMetric(100*read/took, "%read")
			})
		}
	}
}

// beside runs a machine b.N times and gives the seconds that took, and those that the probe says it should have: the machine's rate drifts, so
// each run has a probe beside it.
func beside(b *testing.B, m *exec.Machine, in Tensors, probe func() float64) (took, ideal float64) {
	for b.Loop() {
		start := time.Now()
		if _, err := m.Run(context.Background(), in); err != nil {
			b.Fatal(err)
		}
		took += time.Since(start).Seconds()
		b.StopTimer()
		ideal += probe()
		b.StartTimer()
	}
	return took, ideal
}

func tensorSize(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// oneWeight answers with one tensor whatever is asked for.
type oneWeight struct{ t *tensor.Tensor }

func (w oneWeight) Tensor(string) (*tensor.Tensor, error) { return w.t, nil }
