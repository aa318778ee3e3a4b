package codegen_test

import (
	"context"
	"strings"
	"testing"

	"apogee/codegen"
	"apogee/frontend/hf"
	"apogee/frontend/mg"
	"apogee/ir/diag"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/ir/tensor/npy"
	"apogee/passes"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// TestCheckpoints runs the prefill and some steps of decoding of every small checkpoint on every chip under the guard, each op alone and
// fused, in f32: no finding, a clean plan, logits as near the reference's as its README demands, and the same bits in a random legal
// order of the queues.
func TestCheckpoints(t *testing.T) {
	const room = 24
	for _, name := range []string{"models/r1-nano", "checkpoints/ds-tiny-fp32", "checkpoints/ds-tiny-fp8", "checkpoints/llama-tiny", "checkpoints/qwen2-tiny"} {
		dir := irtest.Corpus(t, name)
		t.Run(name, func(t *testing.T) {
			c, err := hf.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			read := func(file string) *tensor.Tensor {
				x, err := npy.ReadFile(dir + "/reference/" + file)
				if err != nil {
					t.Fatal(err)
				}
				return x
			}
			tokens, want := read("len7.tokens.npy"), read("len7.logits.npy")
			for i, chipName := range []string{"ascend-910b", "hygon-k100-ai", "loongson-3c6000", "nvidia-h100"} {
				t.Run(chipName, func(t *testing.T) {
					t.Parallel()
					ch, err := chip.Load(chipName)
					if err != nil {
						t.Fatal(err)
					}
					for level := 0; level <= passes.MaxLevel; level++ {
						order := exec.Options{Guard: true, Workers: 1}
						if level > 0 {
							order.Order = exec.Random(uint64(i))
						}
						dev := exec.NewDevice(ch, c.Weights, order)
						prefill := compile(t, c, ch, level, "prefill", map[string]int64{"B": 1, "T": 7, "S": room})
						decode := compile(t, c, ch, level, "decode", map[string]int64{"B": 1, "T": 1, "S": room})
						got := run(t, dev, prefill, map[string]*tensor.Tensor{"tokens": tokens})
						if d, err := tensor.Compare(got, want, 0, 2e-4); err != nil || d.Far > 0 {
							t.Errorf("level %d: prefill: %v %v", level, d, err)
						}
						// Decoding the prompt's last tokens again, into the states as they are, gives the last rows again.
						for at := int64(5); at < 7; at++ {
							tok := part(t, tokens, at, 1, 1)
							in := map[string]*tensor.Tensor{"tokens": tok}
							for i := range decode.Buffers {
								if b := &decode.Buffers[i]; b.Kind == plan.Input && b.Name == "pos" {
									if in["pos"], err = tensor.FromI64(b.Format, b.Shape, []int64{at}); err != nil {
										t.Fatal(err)
									}
								}
							}
							got := run(t, dev, decode, in)
							if d, err := tensor.Compare(got, part(t, want, at, got.Shape...), 0, 2e-4); err != nil || d.Far > 0 {
								t.Errorf("level %d: decode at %d: %v %v", level, at, d, err)
							}
						}
					}
				})
			}
		})
	}
}

// part is element at of a tensor's second axis, in a given shape.
func part(t *testing.T, x *tensor.Tensor, at int64, shape ...int64) *tensor.Tensor {
	t.Helper()
	y, err := x.Reshape(x.Shape[1:])
	if err == nil {
		y, err = y.Slice(at, at+1)
	}
	if err == nil {
		y, err = y.Reshape(shape)
	}
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// compile compiles one entry of a checkpoint; the plan must pass the checker.
func compile(t *testing.T, c *hf.Checkpoint, ch *chip.Chip, level int, entry string, bindings map[string]int64) *plan.Plan {
	t.Helper()
	low, err := c.Lower(mg.Options{Entries: []string{entry}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := passes.Run(context.Background(), low.Module, passes.Default(level), passes.Options{Chip: ch, Precision: "f32", Bind: bindings}); err != nil {
		t.Fatal(err)
	}
	p, err := codegen.Compile(low.Module.Func(entry), ch, codegen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range plan.Check(p, bind.Rules(ch)).Items() {
		if d.Severity != diag.Info || !strings.Contains(d.Message, "depends on data") {
			t.Fatal(d)
		}
	}
	return p
}

// run runs a plan and gives its logits.
func run(t *testing.T, dev *exec.Device, p *plan.Plan, in map[string]*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	m, err := dev.Machine(p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out["logits"]
}
