package mg

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"apogee/ir/diag"
)

// source is a program of n defs, about nine lines each.
func source(n int) []byte {
	var b strings.Builder
	b.WriteString("entry main(x: f32[B, 64]) -> (y: f32[B, 64]) {\n  var y = x\n")
	for i := range n {
		fmt.Fprintf(&b, "  y = layer_%d(%d, y)\n", i, i)
	}
	b.WriteString("  y\n}\n")
	for i := range n {
		fmt.Fprintf(&b, `
// Layer %d.
def layer_%d(i: int, x: f32[.., D], eps: float = 1e-6) -> f32[.., D] {
  scope "layers.{i}"
  weight w: f32[D, D] = "layers.{i}.weight" // stored [out, in]
  let n = x * rsqrt(mean(x * x, axis=-1, keep=true) + eps)
  let h = einsum("..d,fd->..f", n, w)
  x + select(h > 0, h, h * 0.01)
}
`, i, i)
	}
	return []byte(b.String())
}

func sized(b *testing.B, run func(b *testing.B, text []byte)) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("defs=%d", n), func(b *testing.B) {
			text := source(n)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			run(b, text)
		})
	}
}

// BenchmarkParse is text to tree.
func BenchmarkParse(b *testing.B) {
	sized(b, func(b *testing.B, text []byte) {
		for b.Loop() {
			var diags diag.List
			Parse(diag.NewSource("a", text), &diags)
			if diags.HasErrors() {
				b.Fatal(&diags)
			}
		}
	})
}

// BenchmarkLoad is text to resolved program.
func BenchmarkLoad(b *testing.B) {
	sized(b, func(b *testing.B, text []byte) {
		for b.Loop() {
			if _, err := Load(diag.NewSource("a", text), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFormat is text to canonical text.
func BenchmarkFormat(b *testing.B) {
	sized(b, func(b *testing.B, text []byte) {
		for b.Loop() {
			if _, err := Format("a", text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLower is resolved program to module, by the number of layers of one loop.
func BenchmarkLower(b *testing.B) {
	std, err := os.ReadFile("../models/std.mg")
	if err != nil {
		b.Fatal(err)
	}
	text := `import "std"

options {
  layers: int = 1
}

entry main(x: f32[B, 64]) -> (y: f32[B, 64]) {
  var y = x
  for i in 0..options.layers {
    scope "layers.{i}"
    weight gain: [64] = "layers.{i}.norm"
    weight w: [64, 64] = "layers.{i}.weight"
    y = y + silu(linear(rms_norm(y, gain, 1e-6), w))
  }
  y
}
`
	p, err := Load(diag.NewSource("a.mg", []byte(text)), func(_, _ string) (string, []byte, error) { return "std.mg", std, nil })
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []string{"100", "1000", "10000"} {
		b.Run("layers="+n, func(b *testing.B) {
			b.ReportAllocs()
			ops := 0
			for b.Loop() {
				low, err := Lower(p, Options{Set: map[string]string{"layers": n}})
				if err != nil {
					b.Fatal(err)
				}
				ops = low.Module.NumOps()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(ops), "ns/IRop")
		})
	}
}
