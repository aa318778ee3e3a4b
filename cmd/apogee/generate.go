package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/frontend/tokenizer"
	"apogee/targets/report"
)

func init() {
	register(&command{
		name: "generate", args: "CHECKPOINT", short: "Let a checkpoint answer on a simulated chip",
		long: `
Reads the prompt in one prefill, then writes one token after the other through the cache, always the likeliest. --prompt is raw text,
--chat goes through the checkpoint's chat template, --tokens are token numbers. It stops at an end-of-sequence token or after -n tokens; with
--tokens it writes exactly -n. The times are those of the simulated chip: ttft to the first token, tpot for each further one. The tokens that begin, end and pad texts
are left out of the text; tokens in --json has them.

--check runs the reference evaluator beside the chip on the same tokens and tells the largest and the root-mean-square difference of the scores.`,
		example: `  apogee generate examples/r1-nano --target ascend-910b --chat '384+957=' --check
  apogee generate examples/r1-nano --target nvidia-h100 --tokens 0,4,12,13,20,14,22,5 -n 16 --json`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f, "entry", "weights", "config")
			g := &generation{
				precision: m.precision,

				prompt: f.String("prompt", "", "go on from `TEXT` as it is"),
				chat:   f.String("chat", "", "answer `TEXT`, a user's message, through the chat template"),
				tokens: f.String("tokens", "", "go on from token `NUMBERS`, as 1,2,3"),
				n:      f.IntP("count", "n", 64, "write at most `N` tokens"),
				json:   f.Bool("json", false, "print JSON"),
				check:  f.Bool("check", false, "compare with the reference evaluator"),
				room:   f.Int64("cache", 0, "make room for `N` tokens in the cache; default: what the prompt and -n need"),
			}
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "CHECKPOINT")
				if err != nil {
					return err
				}
				n := 0
				for _, flag := range []string{"prompt", "chat", "tokens"} {
					if f.Changed(flag) {
						n++
						g.given = flag
					}
				}
				if n != 1 {
					return usagef("give one of --prompt, --chat and --tokens")
				}
				if *g.n < 1 {
					return usagef("-n %d: at least 1", *g.n)
				}
				if *g.n > mostTokens {
					return usagef("-n %d: at most %d", *g.n, mostTokens)
				}
				if *g.room < 0 {
					return usagef("--cache %d: at least 1", *g.room)
				}
				j, err := m.open(a, path, chipOrReference)
				if err != nil {
					return err
				}
				defer j.Close()
				return g.run(ctx, a, j)
			}
		},
	})
}

type generation struct {
	given                string
	prompt, chat, tokens *string
	n                    *int
	json, check          *bool
	room                 *int64
	precision            *string
}

// answer is what generate tells. Times are null on the reference, which has none.
type answer struct {
	PromptTokens []int32            `json:"prompt_tokens"`
	Tokens       []int32            `json:"tokens"`
	Text         string             `json:"text"`
	TTFT         *float64           `json:"ttft_s"`
	TPOT         *float64           `json:"tpot_s"`
	BoundBy      map[string]float64 `json:"bound_by"`
	Target       string             `json:"target"`
	Precision    string             `json:"precision"`
	MaxError     *float64           `json:"max_error,omitempty"`
	RMSError     *float64           `json:"rms_error,omitempty"`
	Notes        []string           `json:"notes,omitempty"`
}

// mostTokens bounds -n.
const mostTokens = 1 << 20

// places is how many tokens the cache must hold: all but the last, which is read by no step.
func (g *generation) places(ids []int32) (int64, error) {
	need := int64(len(ids) + *g.n - 1)
	if *g.room == 0 {
		return (need + 63) / 64 * 64, nil // so that prompts of about one length share a plan's shapes
	}
	if *g.room < need {
		return 0, fmt.Errorf("--cache %d: %d prompt tokens and %d more need %d places", *g.room, len(ids), *g.n, need)
	}
	return *g.room, nil
}

func (g *generation) run(ctx context.Context, a *app, j *job) error {
	model, c := j.Model, j.chip
	if model.Checkpoint == nil || model.Checkpoint.Weights == nil {
		return fmt.Errorf("%s is no checkpoint folder with weights, which is what generate takes", model.Path)
	}
	tok, ids, err := g.encode(a, model)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return fmt.Errorf("the prompt has no tokens")
	}
	room, err := g.places(ids)
	if err != nil {
		return err
	}
	if most := model.MaxPositions(); most > 0 && int64(len(ids)+*g.n-1) > most {
		fmt.Fprintf(a.err, "warning: %d prompt tokens and %d more go beyond the %d positions that the model was made for\n", len(ids), *g.n, most)
	}
	s, err := model.NewSession(j.req, room)
	if err != nil {
		return err
	}
	var ref driver.Session
	if *g.check && c != nil {
		r := j.req
		r.Chip, r.Precision = nil, ""
		if ref, err = model.NewSession(r, room); err != nil {
			return err
		}
	}
	ans := &answer{PromptTokens: ids, Tokens: []int32{}, Target: referenceTarget, Precision: "f32", BoundBy: map[string]float64{}}
	if c != nil {
		ans.Target = c.Name
	}
	stop := map[int32]bool{}
	if tok != nil && g.given != "tokens" {
		for _, id := range tok.EOS() {
			stop[id] = true
		}
	}
	var cmp comparison
	a.progress.Step("prefill", 0, 0)
	scores, err := s.Prefill(ctx, ids)
	if err == nil && ref != nil {
		var want []float32
		if want, err = ref.Prefill(ctx, ids); err == nil {
			cmp.add(scores, want)
		}
	}
	silent := silentTokens(model, tok)
	say := g.speaker(a, tok, silent)
	for err == nil {
		if slices.ContainsFunc(scores, func(x float32) bool { return x != x }) {
			return fmt.Errorf("the scores of token %d are no numbers (NaN): at --precision %s something overflows", len(ans.Tokens)+1, *g.precision)
		}
		id := driver.Best(scores)
		ans.Tokens = append(ans.Tokens, id)
		if say != nil {
			say(id)
		}
		if stop[id] || len(ans.Tokens) == *g.n {
			break
		}
		if say == nil {
			a.progress.Step("token", len(ans.Tokens), *g.n)
		}
		if scores, err = s.Decode(ctx, id); err == nil && ref != nil {
			var want []float32
			if want, err = ref.Decode(ctx, id); err == nil {
				cmp.add(scores, want)
			}
		}
	}
	a.warn(model.Warnings)
	if err != nil {
		return err
	}
	if tok != nil {
		// Numbers that the tokenizer does not know leave no trace.
		if ans.Text, err = tok.Decode(slices.DeleteFunc(slices.Clone(ans.Tokens), silent), false); err != nil {
			var unknown *tokenizer.UnknownIDError
			if !errors.As(err, &unknown) {
				ans.Text = ""
			}
		}
	}
	if cs, ok := s.(*driver.ChipSession); ok {
		t, err := cs.Time(ctx, c, int64(len(ids)), int64(len(ids)+len(ans.Tokens)-1))
		if err != nil {
			return err
		}
		ttft, tpot := t.Prefill.Seconds, t.Decode.Seconds
		ans.TTFT, ans.TPOT = &ttft, &tpot
		ans.BoundBy = t.BoundBy(len(ans.Tokens) - 1)
		ans.Precision = cs.Precision()
		ans.Notes = t.Notes()
	}
	if ref != nil {
		rms := cmp.rms()
		ans.MaxError, ans.RMSError = &cmp.max, &rms
	}
	if *g.json {
		j := json.NewEncoder(a.out)
		j.SetEscapeHTML(false)
		return j.Encode(ans)
	}
	if say == nil {
		fmt.Fprint(a.out, ans.Text)
	}
	return ans.print(a)
}

// silentTokens says which tokens are no part of the text: those that begin, end and pad texts. Other special tokens, such as those round a model's
// reasoning, are what the user reads it by.
func silentTokens(model *driver.Model, tok *tokenizer.Tokenizer) func(id int32) bool {
	ids := map[int32]bool{}
	if tok != nil {
		for _, id := range tok.EOS() {
			ids[id] = true
		}
	}
	g := model.Checkpoint.Generation
	for _, id := range []*int64{g.BOS, g.PAD} {
		if id != nil {
			ids[int32(*id)] = true
		}
	}
	return func(id int32) bool { return ids[id] }
}

// speaker writes tokens to a terminal as they come; nil where nobody watches.
func (g *generation) speaker(a *app, tok *tokenizer.Tokenizer, silent func(int32) bool) func(id int32) {
	if *g.json || tok == nil || !a.terminal {
		return nil
	}
	s := tok.Stream(false)
	return func(id int32) {
		if silent(id) {
			return
		}
		a.progress.done()
		if text, err := s.Push(id); err == nil {
			fmt.Fprint(a.out, text)
			_ = a.out.Flush() // its error is kept, and reported at the end
		}
	}
}

// encode gives the prompt's tokens. The tokenizer is nil when the checkpoint has none that works and token numbers were given.
func (g *generation) encode(a *app, model *driver.Model) (*tokenizer.Tokenizer, []int32, error) {
	if g.given != "tokens" && !model.Checkpoint.HasTokenizer() {
		return nil, nil, fmt.Errorf("%s has no tokenizer.json; give token numbers with --tokens", model.Path)
	}
	tok, err := model.Checkpoint.Tokenizer()
	if g.given == "tokens" {
		if err != nil {
			if tok = nil; model.Checkpoint.HasTokenizer() {
				fmt.Fprintf(a.err, "warning: no text: %v\n", err)
			}
		}
		var ids []int32
		for _, s := range strings.Split(*g.tokens, ",") {
			n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
			if err != nil || n < 0 {
				return nil, nil, usagef("--tokens takes numbers as 1,2,3, found %q", s)
			}
			ids = append(ids, int32(n))
		}
		if v := model.VocabSize(); v > 0 {
			for _, id := range ids {
				if int64(id) >= v {
					return nil, nil, fmt.Errorf("token %d: the model has %d", id, v)
				}
			}
		}
		return tok, ids, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if g.given == "prompt" {
		ids, err := tok.Encode(*g.prompt, true)
		return tok, ids, err
	}
	text, err := tok.ChatPrompt([]tokenizer.Message{{Role: "user", Content: *g.chat}}, true)
	if err != nil {
		return nil, nil, err
	}
	ids, err := tok.Encode(text, false)
	return tok, ids, err
}

// comparison gathers differences of scores.
type comparison struct {
	max, sum float64
	n        int
}

func (c *comparison) add(got, want []float32) {
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= c.max) {
			c.max = d
		}
		c.sum += d * d
		c.n++
	}
}

func (c *comparison) rms() float64 {
	if c.n == 0 {
		return 0
	}
	return math.Sqrt(c.sum / float64(c.n))
}

func (ans *answer) print(a *app) error {
	fmt.Fprintf(a.out, "\n\n%d prompt tokens, %d written: %s\n", len(ans.PromptTokens), len(ans.Tokens), strings.Trim(fmt.Sprint(ans.Tokens), "[]"))
	if ans.TTFT != nil {
		fmt.Fprintf(a.out, "simulated %s at %s: %s to the first token, %s for each further one\n", ans.Target, ans.Precision, report.Seconds(*ans.TTFT), report.Seconds(*ans.TPOT))
		fmt.Fprintf(a.out, "bound by: %s\n", shares(ans.BoundBy))
	}
	if ans.MaxError != nil {
		fmt.Fprintf(a.out, "scores against the reference: at most %.2g apart, %.2g root mean square\n", *ans.MaxError, *ans.RMSError)
	}
	return nil
}
