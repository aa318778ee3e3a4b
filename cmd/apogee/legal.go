package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/targets/report"
)

func init() {
	register(&command{
		name: "legal", args: "MODEL", short: "List the lawful ways to run a model on a chip, with what each costs",
		long: `
For each precision that the chip can run the model in: what happens to weights and activations, the bytes it takes, how many cards hold them,
the simulated time of a prefill and of a decode step as if one card held all, and, where the weights are there and no larger than --most,
how far the logits are from the reference and how many problems of the checkpoint's eval.jsonl are answered right.

The route that --precision auto takes is marked. It takes fp8 where the model stores FP8 and the chip multiplies it, else the first of
bf16, f16 and f32 that the chip multiplies: what changes numbers beyond rounding is never taken unasked.`,
		example: `  apogee legal examples/r1-nano --target ascend-910b
  apogee legal config.json --target kunlunxin-p800 --set B=8,T=1024,S=8192
  apogee legal examples/r1-nano --target nvidia-h100 --problems 50 --json`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f, "precision", "entry", "pipeline", "disable-rule", "verify-each")
			problems := f.Int("problems", 20, "answer so many `N` problems; 0 answers none")
			eval := f.String("eval", "", "take problems from `FILE`, lines of JSON with prompt_ids and answer; default: the checkpoint's eval.jsonl")
			most := f.Int64("most", 2048, "run models of up to so many `MIB` of weights for their numbers")
			asJSON := f.Bool("json", false, "print JSON")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				if *problems < 0 || *most < 0 {
					return usagef("--problems and --most are not negative")
				}
				j, err := m.open(a, path, chipOnly)
				if err != nil {
					return err
				}
				defer j.Close()
				if j.Plan != nil {
					return fmt.Errorf("%s is a plan, whose precision is chosen; legal takes the model that it was made from", path)
				}
				opt := driver.RouteOptions{Most: max(*most<<20, 1), Step: func(what string) { a.progress.Step(what, 0, 0) }}
				from := *eval
				if s, err := os.Stat(path); from == "" && err == nil && s.IsDir() {
					from = path
				}
				if *problems > 0 && from != "" && j.Checkpoint != nil {
					if opt.Problems, err = driver.ReadProblems(from, *problems); err != nil {
						return err
					}
				}
				routes, err := j.Routes(ctx, j.req, opt)
				a.warn(j.Warnings)
				if err != nil {
					return err
				}
				if *asJSON {
					return routesJSON(a.out, j, routes)
				}
				return routesText(a.out, j, routes)
			}
		},
	})
}

// percent prints a share, or a dash where there is none.
func percent(x float64, digits int) string {
	if math.IsNaN(x) {
		return "-"
	}
	return fmt.Sprintf("%.*f %%", digits, 100*x)
}

func routesText(w io.Writer, j *job, routes []driver.Route) error {
	fmt.Fprintf(w, "%s on %s, %s of memory a card\ntimed: %s\n\n", j.Path, j.chip.Name, report.Bytes(float64(routes[0].Size)), strings.Join(routes[0].Timed, ", "))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "precision\tweights\tcards\tprefill\tdecode\tlogits off by\tsame best token\tanswers")
	for _, r := range routes {
		name := r.Precision.Name
		if r.Auto {
			name += " (auto)"
		}
		cards := fmt.Sprint(r.Cards)
		if r.Cards == 0 {
			cards = "none"
		}
		answers := percent(r.Right, 1)
		if r.Problems > 0 {
			answers += fmt.Sprintf(" of %d", r.Problems)
		}
		off := "-"
		if !math.IsNaN(r.Error) {
			off = fmt.Sprintf("%.2g", r.Error)
		}
		decode := "-"
		if r.Decode > 0 {
			decode = report.Seconds(r.Decode)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, report.Bytes(float64(r.Weights)), cards, report.Seconds(r.Prefill), decode, off, percent(r.Same, 1), answers)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, r := range routes {
		fmt.Fprintf(w, "%s: %s\n", r.Precision.Name, r.How)
	}
	_, err := fmt.Fprintf(w, "%s\n", driver.Rule)
	return err
}

func routesJSON(w io.Writer, j *job, routes []driver.Route) error {
	number := func(x float64) any {
		if math.IsNaN(x) {
			return nil
		}
		return x
	}
	list := []map[string]any{}
	for _, r := range routes {
		list = append(list, map[string]any{
			"precision": r.Precision.Name, "auto": r.Auto, "how": r.How, "weights": r.Weights, "state": r.State, "total": r.Total, "cards": r.Cards,
			"prefill_s": r.Prefill, "prefill_tokens": r.Tokens, "decode_s": r.Decode,
			"logits_error": number(r.Error), "same_best": number(r.Same), "right": number(r.Right), "problems": r.Problems,
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(map[string]any{"model": j.Path, "chip": j.chip.Name, "memory": routes[0].Size, "rule": driver.Rule, "routes": list})
}
