package passes_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"apogee/codegen"
	"apogee/frontend/hf"
	"apogee/frontend/mg"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/tensor"
	tnpy "apogee/ir/tensor/npy"
	"apogee/passes"
	"apogee/targets/chip"
	"apogee/targets/chips"
)

var checkpoints = []string{"ds-tiny-fp32", "ds-tiny-bf16", "ds-tiny-fp8", "llama-tiny", "qwen2-tiny"}

func open(t testing.TB, elem ...string) *hf.Checkpoint {
	t.Helper()
	c, err := hf.Open(irtest.Corpus(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func loadChip(t testing.TB, name string) *chip.Chip {
	t.Helper()
	c, err := chip.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func npy(t testing.TB, elem ...string) *tensor.Tensor {
	t.Helper()
	x, err := tnpy.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// far is the largest difference of two results, relative to 1 or the wanted value if that is larger.
func far(t testing.TB, got, want *tensor.Tensor) float64 {
	t.Helper()
	if got == nil || want == nil || got.Format != want.Format || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
		t.Fatalf("%v instead of %v", got, want)
	}
	g, err1 := got.F64s()
	w, err2 := want.F64s()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	worst := 0.0
	for i := range g {
		if d := math.Abs(g[i]-w[i]) / math.Max(1, math.Abs(w[i])); d > worst || math.IsNaN(d) {
			worst = d
		}
	}
	return worst
}

// TestModelsKeepTheirMeaning runs every checkpoint on the oracle before and after all passes: a prefill, then a decode step on the state that it left.
func TestModelsKeepTheirMeaning(t *testing.T) {
	for n, name := range checkpoints {
		t.Run(name, func(t *testing.T) {
			c := open(t, "checkpoints", name)
			tokens := npy(t, irtest.Corpus(t, "checkpoints", name, "reference", "len7.tokens.npy"))
			next, _ := tensor.FromI64(format.I32, []int64{1, 1}, []int64{5})
			pos, _ := tensor.FromI64(format.I32, nil, []int64{7})
			type result struct {
				logits *tensor.Tensor
				states map[string]*tensor.Tensor
			}
			run := func(m *ir.Module, entry string, in, states map[string]*tensor.Tensor) result {
				e := &eval.Evaluator{Weights: c.Weights, Bind: map[string]int64{"S": 12}}
				out, next, err := e.Run(context.Background(), m.Func(entry), in, states)
				if err != nil {
					t.Fatalf("%s: %v", entry, err)
				}
				return result{out["logits"], next}
			}
			build := func(entry string) *ir.Module {
				m, err := c.Module(mg.Options{Entries: []string{entry}})
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			pair, _ := tensor.FromI64(format.I32, []int64{2, 1}, []int64{5, 9})
			places, _ := tensor.FromI64(format.I32, []int64{2}, []int64{10, 4})
			batch := map[string]*tensor.Tensor{"tokens": npy(t, irtest.Corpus(t, "checkpoints", name, "reference", "batch2.tokens.npy"))}
			each := map[string]*tensor.Tensor{"tokens": pair, "pos": places}
			prefill := map[string]*tensor.Tensor{"tokens": tokens}
			decode := map[string]*tensor.Tensor{"tokens": next, "pos": pos}
			first := run(build("prefill"), "prefill", prefill, nil)
			second := run(build("decode"), "decode", decode, first.states)
			third := run(build("prefill"), "prefill", batch, nil)
			fourth := run(build("decode_each"), "decode_each", each, third.states)
			names := chips.List()
			for i := range 2 { // every chip has its turn
				target := names[(n+2*i)%len(names)]
				ch := loadChip(t, target)
				passed := func(entry string, T int64) *ir.Module {
					m := build(entry)
					B := int64(1)
					if T == 12 || entry == "decode_each" {
						B = 2
					}
					_, err := passes.Run(context.Background(), m, passes.Default(1), passes.Options{
						Chip: ch, Precision: "f32", Bind: map[string]int64{"B": B, "T": T, "S": 12}, Verify: true,
					})
					if err != nil {
						t.Fatalf("%s: %v", target, err)
					}
					if _, err := codegen.Compile(m.Func(entry), ch, codegen.Options{}); err != nil {
						t.Errorf("%s: %s: %v", target, entry, err)
					}
					return m
				}
				a := run(passed("prefill", 7), "prefill", prefill, nil)
				if d := far(t, a.logits, first.logits); d > 2e-5 {
					t.Errorf("%s: logits of prefill differ by %g", target, d)
				}
				b := run(passed("decode", 1), "decode", decode, a.states)
				if d := far(t, b.logits, second.logits); d > 2e-5 {
					t.Errorf("%s: logits of decode differ by %g", target, d)
				}
				c := run(passed("prefill", 12), "prefill", batch, nil)
				if d := far(t, c.logits, third.logits); d > 2e-5 {
					t.Errorf("%s: logits of a batch differ by %g", target, d)
				}
				e := run(passed("decode_each", 1), "decode_each", each, c.states)
				if d := far(t, e.logits, fourth.logits); d > 2e-5 {
					t.Errorf("%s: logits of decode_each differ by %g", target, d)
				}
				if testing.Short() {
					break
				}
			}
		})
	}
}

// BenchmarkModel runs all passes on the real DeepSeek-V3, 61 layers with 256 experts.
func BenchmarkModel(b *testing.B) {
	c := open(b, "configs", "deepseek-v3", "config.json")
	for _, entry := range []string{"prefill", "decode"} {
		for _, target := range chips.List() {
			ch := loadChip(b, target)
			b.Run(entry+"/"+target, func(b *testing.B) {
				src, err := c.Module(mg.Options{Entries: []string{entry}, Activation: format.BF16})
				if err != nil {
					b.Fatal(err)
				}
				T := int64(128)
				if entry == "decode" {
					T = 1
				}
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					m := src.Clone()
					b.StartTimer()
					_, err := passes.Run(context.Background(), m, passes.Default(1), passes.Options{
						Chip: ch, Bind: map[string]int64{"B": 1, "T": T, "S": 4096},
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkUnrolled runs all passes on a module of so many ops, most of them experts written out one by one: time an op must not grow.
func BenchmarkUnrolled(b *testing.B) {
	ch := loadChip(b, "ascend-910b")
	for _, n := range []int{10_000, 100_000, irtest.LargeOps} {
		b.Run(fmt.Sprintf("ops=%d", n), func(b *testing.B) {
			src := irtest.Large(n)
			for b.Loop() {
				b.StopTimer()
				m := src.Clone()
				b.StartTimer()
				_, err := passes.Run(context.Background(), m, passes.Default(1), passes.Options{Chip: ch, Bind: map[string]int64{"B": 1, "T": 128}})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/op-in-module")
		})
	}
}

// Every model that users come with compiles to the kernels one expects: one attention a layer and no softmax beside a router's, two grouped
// products a layer of experts, and no matrix that is gathered.
func TestConfigs(t *testing.T) {
	names := chips.List()
	for n, cfg := range []struct {
		name            string
		layers, experts int
	}{
		{"deepseek-v3", 61, 58}, {"deepseek-r1", 61, 58}, {"kimi-k2", 61, 60}, {"qwen3-235b-a22b", 94, 94}, {"r1-distill-llama-8b", 32, 0}, {"r1-distill-llama-70b", 80, 0},
		{"r1-distill-qwen-1.5b", 28, 0}, {"r1-distill-qwen-7b", 28, 0}, {"r1-distill-qwen-32b", 64, 0},
	} {
		t.Run(cfg.name, func(t *testing.T) {
			c := open(t, "configs", cfg.name, "config.json")
			for e, entry := range []string{"prefill", "decode", "decode_each"} {
				for _, target := range []string{names[(n+e)%len(names)]} { // every chip has its turn
					m, err := c.Module(mg.Options{Entries: []string{entry}, Activation: format.BF16})
					if err != nil {
						t.Fatal(err)
					}
					bind := map[string]int64{"B": 1, "T": 128, "S": 2048}
					if entry != "prefill" {
						bind["B"], bind["T"] = 4, 1
					}
					if _, err := passes.Run(context.Background(), m, passes.Default(1), passes.Options{Chip: loadChip(t, target), Bind: bind, Verify: true}); err != nil {
						t.Fatalf("%s for %s: %v", entry, target, err)
					}
					kinds, names := map[string]int{}, map[string]int{}
					for o := m.Funcs[0].Body.First(); o != nil; o = o.Next() {
						if !o.Is(op.Kernel) {
							continue
						}
						kinds[o.Attrs.Str("kind", "")]++
						names[o.Attrs.Str("name", "")]++
						if o.Attrs.Str("kind", "") == "gather" && o.Arg(0).DefIs(op.Weight) && o.Arg(0).Type.Rank() > 2 {
							t.Errorf("%s for %s gathers matrices: %v", entry, target, o.Arg(0).Type)
						}
					}
					if kinds["attention"] != cfg.layers || names["softmax"] > cfg.experts {
						t.Errorf("%s for %s has %d attention kernels and %d softmaxes for %d layers", entry, target, kinds["attention"], names["softmax"], cfg.layers)
					}
					if kinds["grouped"] != 2*cfg.experts {
						t.Errorf("%s for %s has %d grouped products for %d layers of experts", entry, target, kinds["grouped"], cfg.experts)
					}
				}
			}
		})
	}
}
