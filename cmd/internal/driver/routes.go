package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
	"apogee/targets/sim/exec"
)

// Rule is how --precision auto chooses a route, for readers.
const Rule = "auto takes fp8 where the model stores FP8 and the chip multiplies it, else the first of bf16, f16 and f32 that the chip multiplies: what changes numbers beyond rounding is never taken unasked"

// Route is one lawful way to run a model on a chip: a precision, with what it takes and gives.
type Route struct {
	Precision chip.Precision
	Auto      bool   // what --precision auto takes
	How       string // what happens to the weights and the activations

	Weights, State, Total int64 // bytes of the larger of both entries
	Size                  int64 // bytes of one card's memory
	Cards                 int64 // that hold it, weights and state split evenly; 0 when activations alone exceed a card

	Prefill, Decode float64  // seconds, simulated, on one card as if it held all
	Tokens          int64    // of the prefill
	Timed           []string // the entries that were timed, each with its sizes: "prefill B=1 S=4096 T=128"

	// Error is the largest difference of prefill logits from the reference, relative to the largest logit; Same is the share of positions
	// with the reference's best token. Both are NaN when there are no weights, or too many to run here.
	Error, Same float64
	// Right is the share of Problems answered; NaN without any.
	Right    float64
	Problems int
}

// RouteOptions say what is measured of routes.
type RouteOptions struct {
	Problems []Problem
	Most     int64 // bytes of weights up to which a model is run for its numbers; 0 is 2 GiB
	// Step, when set, is told what is being done.
	Step func(what string)
}

// Problem is a question with the one right answer, as a line of a checkpoint's eval.jsonl states it.
type Problem struct {
	Answer string  `json:"answer"`
	IDs    []int32 `json:"prompt_ids"`
}

// ReadProblems reads a file of problems, one JSON object a line; most bounds how many, 0 is all. A checkpoint folder stands for its
// eval.jsonl, and gives none if there is no such file.
func ReadProblems(path string, most int) ([]Problem, error) {
	if s, err := os.Stat(path); err == nil && s.IsDir() {
		path = filepath.Join(path, "eval.jsonl")
		if !exists(path) {
			return nil, nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	defer f.Close()
	var out []Problem
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for line := 1; s.Scan() && (most == 0 || len(out) < most); line++ {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		var p Problem
		if err := json.Unmarshal(s.Bytes(), &p); err != nil {
			return nil, fmt.Errorf("%s:%d: expected an object with answer and prompt_ids: %w", path, line, err)
		}
		if len(p.IDs) == 0 || p.Answer == "" {
			return nil, fmt.Errorf("%s:%d: a problem has an answer and prompt_ids", path, line)
		}
		out = append(out, p)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// how says what a precision does with what the model stores.
func (m *Model) how(c *chip.Chip, p chip.Precision) string {
	stored := "weights"
	if m.StoresFP8() {
		stored = "FP8 weights"
	}
	switch p.Name {
	case "fp8":
		if m.StoresFP8() {
			return "FP8 weights as stored; activations quantised to FP8, one scale for 128 elements; products in FP8"
		}
		return "weights quantised to FP8, one scale for 128 x 128; activations for 128 elements; products in FP8"
	case "w8a8":
		return stored + " requantised to i8, one scale a row; activations to i8, one scale a token; products in i8"
	case "hif8":
		return stored + " brought to HiF8 when loaded, activations on the way to products; no scales; products in HiF8"
	case "mxfp8", "mxfp4":
		n := c.ScaleBlock(p.A, p.B)
		return fmt.Sprintf("%s requantised to %s, one power of two for %d elements; activations likewise; products in the codes, scaled by the engine", stored, p.B, n)
	case "w8a16":
		return stored + " requantised to i8, one scale a row, and brought to " + p.A.String() + " on the way to each product"
	}
	return stored + " brought to " + p.A.String() + " when loaded; products in " + p.A.String()
}

// Routes finds what each precision of the request's chip takes and gives for the model.
func (m *Model) Routes(ctx context.Context, req Request, opt RouteOptions) ([]Route, error) {
	step := opt.Step
	if step == nil {
		step = func(string) {}
	}
	if opt.Most == 0 {
		opt.Most = 2 << 30
	}
	auto, err := choosePrecision(req.Chip, Auto, m.StoresFP8())
	if err != nil {
		return nil, err
	}
	var out []Route
	var ids []int32
	var want Tensors
	for _, p := range req.Chip.Precisions {
		r := Route{Precision: p, Auto: p.Name == auto.Name, How: m.how(req.Chip, p), Error: math.NaN(), Same: math.NaN(), Right: math.NaN()}
		req := req
		req.Precision = p.Name
		step("timing at " + p.Name)
		times, err := m.Time(ctx, req, clock.Options{})
		if err != nil {
			return nil, fmt.Errorf("at %s: %w", p.Name, err)
		}
		for i, t := range times {
			u := plan.Measure(t.Plan)
			if u.Total >= r.Total {
				r.Weights, r.State, r.Total, r.Size = u.Weights, u.State, u.Total, u.Size
				r.Cards = 1
				if each := u.Activation + u.Workspace + u.Inout; u.Over() > 0 {
					if r.Cards = 0; u.Size > each {
						r.Cards = (u.Weights + u.State + u.Size - each - 1) / (u.Size - each)
					}
				}
			}
			at := t.Plan.Entry
			for _, s := range t.Plan.Symbols {
				at += fmt.Sprintf(" %s=%d", s.Name, s.Value)
			}
			r.Timed = append(r.Timed, at)
			switch sec := t.Result.Seconds; {
			case i == 0:
				r.Prefill = sec
				for _, s := range t.Plan.Symbols {
					if s.Name == "T" {
						r.Tokens = s.Value
					}
				}
			default:
				r.Decode = sec
			}
		}
		if m.weights() != nil && r.Weights <= opt.Most {
			if want == nil {
				step("running the reference")
				ids = m.sampleTokens(opt.Problems)
				if want, err = m.RunReference(ctx, Request{Entry: "prefill", Set: req.Set}, Tensors{"tokens": tokens(ids)}); err != nil {
					return nil, err
				}
			}
			step("running at " + p.Name)
			run := req
			run.Entry, run.Bind = "prefill", nil
			got, _, err := m.Run(ctx, run, Tensors{"tokens": tokens(ids)}, exec.Options{})
			if err != nil {
				return nil, fmt.Errorf("at %s: %w", p.Name, err)
			}
			if r.Error, r.Same, err = compareLogits(got["logits"], want["logits"]); err != nil {
				return nil, err
			}
			if r.Problems = len(opt.Problems); r.Problems > 0 {
				if r.Right, err = m.answered(ctx, req, opt.Problems, step); err != nil {
					return nil, fmt.Errorf("at %s: %w", p.Name, err)
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// sampleTokens gives a text to compare logits on: the first problems, or numbers spread over the vocabulary.
func (m *Model) sampleTokens(list []Problem) []int32 {
	const most = 64
	var ids []int32
	for _, p := range list {
		ids = append(ids, p.IDs...)
	}
	if len(ids) == 0 {
		v := max(m.VocabSize(), 2)
		for i := range int64(32) {
			ids = append(ids, int32((i*2654435761+1)%v))
		}
	}
	n := int64(most)
	if p := m.MaxPositions(); p > 0 {
		n = min(n, p)
	}
	return ids[:min(int64(len(ids)), n)]
}

// compareLogits gives the largest difference relative to the largest logit, and the share of positions with one best token.
func compareLogits(got, want *tensor.Tensor) (worst, same float64, err error) {
	if got == nil || want == nil || got.Numel() != want.Numel() || len(want.Shape) == 0 {
		return 0, 0, fmt.Errorf("the model gives no logits to compare")
	}
	g, err := got.F64s()
	if err != nil {
		return 0, 0, err
	}
	w, err := want.F64s()
	if err != nil {
		return 0, 0, err
	}
	most := 0.0
	for i := range w {
		most = max(most, math.Abs(w[i]))
		worst = max(worst, math.Abs(g[i]-w[i]))
	}
	n := int(want.Shape[len(want.Shape)-1])
	best := func(v []float64) int {
		at := 0
		for i := range v {
			if v[i] > v[at] {
				at = i
			}
		}
		return at
	}
	rows, agree := 0, 0
	for i := 0; n > 0 && i+n <= len(w); i += n {
		rows++
		if best(g[i:i+n]) == best(w[i:i+n]) {
			agree++
		}
	}
	if most > 0 {
		worst /= most
	}
	if rows > 0 {
		same = float64(agree) / float64(rows)
	}
	return worst, same, nil
}

// maxAnswer is how many tokens an answer may take.
const maxAnswer = 128

// answered is the share of problems whose greedy answer, what stands behind the last </think> if there is one, is the right one.
func (m *Model) answered(ctx context.Context, req Request, list []Problem, step func(string)) (float64, error) {
	tok, err := m.Checkpoint.Tokenizer()
	if err != nil {
		return 0, err
	}
	room := int64(0)
	for _, p := range list {
		room = max(room, int64(len(p.IDs))+maxAnswer)
	}
	if p := m.MaxPositions(); p > 0 {
		room = min(room, p)
	}
	req.Entry, req.Bind = "", nil
	s, err := m.NewSession(req, room)
	if err != nil {
		return 0, err
	}
	stop := m.Checkpoint.Generation.EOS
	right := 0
	for i, p := range list {
		step(fmt.Sprintf("answering %d of %d at %s", i+1, len(list), req.Precision))
		row, err := s.Prefill(ctx, p.IDs)
		var ids []int32
		for err == nil && int64(len(p.IDs)+len(ids)) < room {
			id := Best(row)
			if slices.Contains(stop, int64(id)) {
				break
			}
			ids = append(ids, id)
			if int64(len(p.IDs)+len(ids)) < room {
				row, err = s.Decode(ctx, id)
			}
		}
		if err != nil {
			return 0, err
		}
		text, err := tok.Decode(ids, false)
		if err != nil {
			return 0, err
		}
		if i := strings.LastIndex(text, "</think>"); i >= 0 {
			text = text[i+len("</think>"):]
		}
		if strings.TrimSpace(text) == p.Answer {
			right++
		}
	}
	return float64(right) / float64(len(list)), nil
}
