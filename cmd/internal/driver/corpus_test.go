package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/ir/irtest"
	"apogee/ir/tensor"
	"apogee/ir/tensor/npy"
	"apogee/targets/chip"
	"apogee/targets/sim/exec"
)

// checkpoints are the folders with reference numbers, below the corpus.
var checkpoints = []string{
	"checkpoints/ds-tiny-fp32", "checkpoints/ds-tiny-bf16", "checkpoints/ds-tiny-fp8", "checkpoints/llama-tiny", "checkpoints/qwen2-tiny",
	"models/r1-nano", "models/r1-nano-fp8", "models/aidreams260k",
}

// families are chips that differ in kind: one of each family, and both vector widths that a simt chip comes in. They stand for all where
// that takes long; TestEveryChip and TestEveryChipAnswers have them all.
var families = []string{"ascend-910b", "hygon-k100-ai", "loongson-3c6000", "nvidia-h100", "tsingmicro-tx81"}

// targets are a chip of each kind and, as nil, the reference.
func targets(t *testing.T) map[string]*chip.Chip {
	t.Helper()
	out := map[string]*chip.Chip{"reference": nil}
	for _, n := range families {
		c, err := chip.Load(n)
		if err != nil {
			t.Fatal(err)
		}
		out[n] = c
	}
	return out
}

func open(t *testing.T, path string) *Model {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func read(t *testing.T, path string) *tensor.Tensor {
	t.Helper()
	x, err := npy.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func near(t *testing.T, what string, got, want *tensor.Tensor, atol float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is missing", what)
		return
	}
	d, err := tensor.Compare(got, want, 0, atol)
	if err != nil || d.Far > 0 {
		t.Errorf("%s: %v %v", what, d, err)
	}
}

// TestCheckpointsPrefill: logits of every case of every checkpoint within the tolerance of its README, routing equal, on the reference and, at
// --precision f32 with the guard on, on every chip.
func TestCheckpointsPrefill(t *testing.T) {
	corpus := irtest.Corpus(t)
	for _, n := range checkpoints {
		for name, c := range targets(t) {
			t.Run(n+"/"+name, func(t *testing.T) {
				dir := filepath.Join(corpus, n, "reference")
				m := open(t, filepath.Join(corpus, n))
				cases, _ := filepath.Glob(filepath.Join(dir, "*.tokens.npy"))
				if len(cases) == 0 {
					t.Fatal("no cases")
				}
				for _, f := range cases {
					cs := strings.TrimSuffix(filepath.Base(f), ".tokens.npy")
					tok := read(t, f)
					req := Request{Entry: "prefill", Chip: c, Precision: "f32"}
					ids := filepath.Join(dir, cs+".topk_ids.npy")
					if _, err := os.Stat(ids); err == nil {
						req.Taps = []string{"topk_ids.*"}
					}
					var out Tensors
					var err error
					if c == nil {
						out, err = m.RunReference(context.Background(), req, Tensors{"tokens": tok})
					} else {
						out, _, err = m.Run(context.Background(), req, Tensors{"tokens": tok}, exec.Options{Guard: true})
					}
					if err != nil {
						t.Fatalf("%s: %v", cs, err)
					}
					near(t, cs+" logits", out["logits"], read(t, filepath.Join(dir, cs+".logits.npy")), 2e-4)
					if req.Taps != nil {
						sameRouting(t, cs, out, read(t, ids))
					}
				}
			})
		}
	}
}

// sameRouting compares the chosen experts, as sets, with ids [layers,B,S,k], which are sorted.
func sameRouting(t *testing.T, cs string, out Tensors, want *tensor.Tensor) {
	t.Helper()
	w, err := want.I64s()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := 0; i < 1000; i++ {
		if n := fmt.Sprintf("topk_ids.%d", i); out[n] != nil {
			names = append(names, n)
		}
	}
	if int64(len(names)) != want.Shape[0] {
		t.Fatalf("%s: %d layers route, expected %d", cs, len(names), want.Shape[0])
	}
	k := want.Shape[3]
	per := want.Numel() / want.Shape[0]
	for l, n := range names {
		g, err := out[n].I64s()
		if err != nil {
			t.Fatal(err)
		}
		for r := int64(0); r < per/k; r++ {
			set := map[int64]bool{}
			for _, x := range g[r*k : (r+1)*k] {
				set[x] = true
			}
			for _, x := range w[int64(l)*per+r*k : int64(l)*per+(r+1)*k] {
				if !set[x] {
					t.Errorf("%s %s: token %d goes to %v, expected %v", cs, n, r, g[r*k:(r+1)*k], w[int64(l)*per+r*k:int64(l)*per+(r+1)*k])
					return
				}
			}
		}
	}
}

// TestCheckpointsGreedy: greedy tokens equal and logits within tolerance, one token after the other through the cache.
func TestCheckpointsGreedy(t *testing.T) {
	corpus := irtest.Corpus(t)
	for _, n := range checkpoints {
		for name, c := range targets(t) {
			t.Run(n+"/"+name, func(t *testing.T) {
				dir := filepath.Join(corpus, n, "reference")
				m := open(t, filepath.Join(corpus, n))
				ids, _ := filepath.Glob(filepath.Join(dir, "*.ids.npy"))
				for _, f := range ids {
					cs := strings.TrimSuffix(filepath.Base(f), ".ids.npy")
					want, _ := read(t, f).I64s()
					prompt := []int32{1} // aidreams260k begins with bos alone
					if p := filepath.Join(dir, cs+".prompt.npy"); exists(p) {
						prompt = nil
						v, _ := read(t, p).I64s()
						for _, x := range v {
							prompt = append(prompt, int32(x))
						}
					}
					s, err := m.NewSession(Request{Chip: c, Precision: "f32"}, int64(len(prompt)+len(want)))
					if err != nil {
						t.Fatal(err)
					}
					logits := read(t, filepath.Join(dir, cs+".logits.npy"))
					all, _ := logits.F32s()
					v := int(logits.Shape[2])
					row, err := s.Prefill(context.Background(), prompt)
					for i, id := range want {
						if err != nil {
							t.Fatalf("%s token %d: %v", cs, i, err)
						}
						for j, x := range row {
							if d := x - all[i*v+j]; d > 2e-4 || d < -2e-4 || d != d {
								t.Fatalf("%s token %d: score %d is %g, expected %g", cs, i, j, x, all[i*v+j])
							}
						}
						if got := Best(row); int64(got) != id {
							t.Fatalf("%s token %d: %d, expected %d", cs, i, got, id)
						}
						if i+1 < len(want) {
							row, err = s.Decode(context.Background(), int32(id))
						}
					}
				}
			})
		}
	}
}

// problem is a line of eval.jsonl.
type problem struct {
	Prompt        string  `json:"prompt"`
	Answer        string  `json:"answer"`
	PromptIDs     []int32 `json:"prompt_ids"`
	CompletionIDs []int32 `json:"completion_ids"`
}

func problems(t *testing.T, path string) []problem {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []problem
	s := bufio.NewScanner(f)
	for s.Scan() {
		var p problem
		if err := json.Unmarshal(s.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// answered is the share of problems answered right, with greedy tokens.
func answered(t *testing.T, m *Model, c *chip.Chip, precision string, list []problem) float64 {
	t.Helper()
	tok, err := m.Checkpoint.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.NewSession(Request{Chip: c, Precision: precision}, 128)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for _, p := range list {
		row, err := s.Prefill(context.Background(), p.PromptIDs)
		var ids []int32
		for err == nil && len(ids) < 80 {
			id := Best(row)
			if id == 1 { // <eos>
				break
			}
			ids = append(ids, id)
			row, err = s.Decode(context.Background(), id)
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := tok.Decode(ids, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, answer, ok := strings.Cut(text, "</think>"); ok && answer == p.Answer {
			right++
		}
	}
	return float64(right) / float64(len(list))
}

// TestAccuracy: the trained models answer at least 98 % of eval.jsonl right at --precision auto on a chip of each kind, and docs/chips.md has
// the figures; -update writes them.
func TestAccuracy(t *testing.T) {
	corpus := irtest.Corpus(t)
	if os.Getenv("APOGEE_CORPUS") != "required" && !irtest.Update() {
		t.Skip("takes minutes: it runs with APOGEE_CORPUS=required")
	}
	models := []string{"r1-nano", "r1-nano-fp8"}
	list := problems(t, filepath.Join(corpus, "models", "r1-nano", "eval.jsonl"))
	shown := make([][]string, 4)
	t.Run("all", func(t *testing.T) { // two at a time: each is one core's work
		for i, name := range families[:4] {
			c, err := chip.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			shown[i] = make([]string, len(models))
			for k, n := range models {
				t.Run(n+"/"+name, func(t *testing.T) {
					t.Parallel()
					m := open(t, filepath.Join(corpus, "models", n))
					p, err := choosePrecision(c, Auto, m.StoresFP8())
					if err != nil {
						t.Fatal(err)
					}
					a := answered(t, m, c, Auto, list)
					shown[i][k] = fmt.Sprintf(" %.1f %% at %s |", 100*a, p.Name)
					if a < 0.98 {
						t.Errorf("%.1f %% right, expected at least 98 %%", 100*a)
					}
				})
			}
		}
	})
	var table strings.Builder
	table.WriteString("| chip | r1-nano | r1-nano-fp8 |\n|---|---|---|\n")
	for i, name := range families[:4] {
		fmt.Fprintf(&table, "| %s |%s\n", name, strings.Join(shown[i], ""))
	}
	page := filepath.Join(irtest.Root(t), "docs", "chips.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "<!-- accuracy")
	mark, rest, ok1 := strings.Cut(rest, "-->")
	_, tail, ok2 := strings.Cut(rest, "<!-- end of accuracy -->")
	if !ok || !ok1 || !ok2 {
		t.Fatal("docs/chips.md has no section accuracy")
	}
	want := head + "<!-- accuracy" + mark + "-->\n\n" + table.String() + "\n<!-- end of accuracy -->" + tail
	switch {
	case want == string(text):
	case irtest.Update() && !t.Failed():
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("docs/chips.md has other figures than these; -update writes them\n%s", table.String())
	}
}

// TestExampleAnswers is the shipped example on a chip of each kind, without the corpora: a few problems at f32 and auto.
func TestExampleAnswers(t *testing.T) {
	list := problems(t, "../../../examples/r1-nano/eval.jsonl")[:6]
	for name, c := range targets(t) {
		if c == nil {
			continue
		}
		for _, p := range []string{"f32", Auto} {
			t.Run(name+"/"+p, func(t *testing.T) {
				m := open(t, "../../../examples/r1-nano")
				if a := answered(t, m, c, p, list); a != 1 {
					t.Errorf("%.0f %% right", 100*a)
				}
			})
		}
	}
}
