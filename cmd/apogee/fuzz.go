package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/cmd/internal/fuzz"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/targets/chip"
	"apogee/targets/chips"
)

func init() {
	register(&command{
		name: "fuzz", args: "models", short: "Look for miscompiles with random models",
		long: `
Grows random valid models from the op table and runs each on the reference, after every pass, and on simulated chips under the guard. Results must
agree within bounds that follow from the formats. A model on which they do not is shrunk and printed as IR, with the pass and the rule
after which it is wrong, or the word that the code generator or the simulator is to blame, and the command that replays it.

The same seed gives the same model everywhere. A chip that cannot do an op says so; such refusals are counted, and --refused lists them.
Without --target one shipped chip of each family is tried.`,
		example: `  apogee fuzz models -n 1000
  apogee fuzz models --seed 790 -n 1 --target ascend-910b,./my.chip
  apogee fuzz models -n 10000 --out found
  apogee fuzz models --replay found/790-ascend-910b.ir --seed 790 --target ascend-910b`,
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			o := &fuzzing{
				targets:   f.StringSlice("target", nil, "try `CHIPS`: names that apogee chips lists or paths of .chip files; default: one of each family"),
				precision: f.String("precision", "f32", "the precision `P` of every chip"),
				seed:      f.Uint64("seed", 0, "`SEED` of the first model; the others follow"),
				n:         f.IntP("number", "n", 1000, "how many `MODELS`"),
				ops:       f.Int("ops", 0, "about how many `OPS` a model has; 0 varies"),
				stop:      f.Int("stop", 5, "stop after so many `MISMATCHES`; 0 never stops"),
				jobs:      f.Int("jobs", 0, "models at once; 0 is one a processor"),
				out:       f.String("out", "", "write the shrunk models into folder `DIR`"),
				replay:    f.String("replay", "", "try the model of `FILE`, an .ir, with the inputs of --seed"),
				refused:   f.Bool("refused", false, "list what chips refused, by reason"),
				json:      f.Bool("json", false, "print JSON"),
			}
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) != 1 || args[0] != "models" {
					return usagef("expected: apogee fuzz models, found %q", strings.TrimRight("apogee fuzz "+strings.Join(args, " "), " "))
				}
				if *o.n < 1 || *o.ops < 0 || *o.stop < 0 || *o.jobs < 0 {
					return usagef("-n is at least 1; --ops, --stop and --jobs are not negative")
				}
				return o.run(ctx, a)
			}
		},
	})
}

// fuzzing is what the flags of fuzz ask for.
type fuzzing struct {
	targets                *[]string
	precision, out, replay *string
	seed                   *uint64
	n, ops, stop, jobs     *int
	refused, json          *bool
}

// mismatch is one finding, as it is printed.
type mismatch struct {
	Seed   uint64 `json:"seed"`
	Target string `json:"target"`
	Stage  string `json:"stage"`
	Pass   string `json:"pass,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Error  string `json:"error"`
	Ops    int    `json:"ops"`
	IR     string `json:"ir"`
	File   string `json:"file,omitempty"`
	Replay string `json:"replay"`
}

func (o *fuzzing) run(ctx context.Context, a *app) error {
	names := *o.targets
	var err error
	if len(names) == 0 {
		if names, err = onePerFamily(); err != nil {
			return err
		}
	}
	if *o.out != "" {
		if err := os.MkdirAll(*o.out, 0o777); err != nil { // now, not after an hour
			return fmt.Errorf("cannot make folder %s: %w", *o.out, reason(err))
		}
	}
	var targets []*fuzz.Target
	for _, n := range names {
		c, err := chip.Load(n)
		if err != nil {
			return err
		}
		if _, ok := c.Precision(*o.precision); !ok && *o.precision != driver.Auto {
			return fmt.Errorf("%s cannot do --precision %s", n, *o.precision)
		}
		targets = append(targets, &fuzz.Target{Chip: c, Precision: *o.precision})
	}
	opt := fuzz.Options{Seed: *o.seed, N: *o.n, Ops: *o.ops, Targets: targets, Jobs: *o.jobs, Stop: *o.stop}
	module := func(seed uint64) *ir.Module { return fuzz.Module(seed, *o.ops) }
	if *o.replay != "" {
		m, err := driver.Open(*o.replay)
		if err != nil {
			return err
		}
		defer m.Close()
		if m.IR == nil {
			return fmt.Errorf("%s is no IR: --replay takes a module as --out writes it", *o.replay)
		}
		module = func(uint64) *ir.Module {
			mod, list := ir.Parse(diag.NewSource(*o.replay, m.IR))
			if list.HasErrors() {
				return nil
			}
			return mod
		}
		opt.N = 1
	}
	opt.Module = module
	var found []*mismatch
	opt.Each = func(seed uint64, _ []error, f *fuzz.Failure) {
		a.progress.Step("models tried", int(seed-*o.seed)+1, opt.N)
		if f != nil {
			found = append(found, o.shrunk(ctx, module(seed), f, names))
		}
	}
	rep, err := fuzz.Models(ctx, opt)
	if err != nil {
		return err
	}
	for _, m := range found {
		if err := o.save(ctx, a, m); err != nil {
			return err
		}
	}
	if err := a.files.Commit(); err != nil {
		return err
	}
	if *o.json {
		j := json.NewEncoder(a.out)
		j.SetIndent("", "  ")
		j.SetEscapeHTML(false)
		err = j.Encode(map[string]any{"tried": rep.Tried, "runs": rep.Runs, "refused": rep.Refused, "mismatches": append([]*mismatch{}, found...)})
	} else {
		o.text(a.out, rep, found)
	}
	if err == nil && len(found) > 0 {
		err = errFound
	}
	return err
}

// shrunk makes a failure small and says how to replay it.
func (o *fuzzing) shrunk(ctx context.Context, m *ir.Module, f *fuzz.Failure, names []string) *mismatch {
	small, last := fuzz.Smallest(ctx, m, f)
	x := &mismatch{Seed: f.Seed, Stage: string(last.Stage), Pass: last.Pass, Rule: fuzz.Rule(ctx, small, last), Error: last.Error(), IR: small.String()}
	for _, f := range small.Funcs {
		f.Body.Walk(func(op *ir.Op) {
			if !op.Info.Terminator {
				x.Ops++
			}
		})
	}
	target := ""
	if f.Target != nil {
		x.Target = f.Target.Chip.Name
		for _, n := range names { // as it was named: a path stays one
			if c, err := chip.Load(n); err == nil && c.Name == x.Target {
				target = n
			}
		}
	}
	x.Replay = fmt.Sprintf("apogee fuzz models --seed %d -n 1 --target %s", f.Seed, target)
	if *o.ops != 0 {
		x.Replay += fmt.Sprintf(" --ops %d", *o.ops)
	}
	if *o.replay != "" {
		x.Replay = fmt.Sprintf("apogee fuzz models --replay %s --seed %d --target %s", *o.replay, f.Seed, target)
	}
	if *o.out != "" {
		x.File = filepath.Join(*o.out, fmt.Sprintf("%d-%s.ir", f.Seed, x.Target))
		x.Replay = fmt.Sprintf("apogee fuzz models --replay %s --seed %d --target %s", x.File, f.Seed, target)
	}
	if *o.precision != "f32" {
		x.Replay += " --precision " + *o.precision
	}
	return x
}

func (o *fuzzing) save(ctx context.Context, a *app, m *mismatch) error {
	if m.File == "" {
		return nil
	}
	f, err := a.files.Create(ctx, m.File)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(f, m.IR); err != nil {
		return fmt.Errorf("cannot write %s: %w", m.File, reason(err))
	}
	return nil
}

func (o *fuzzing) text(w io.Writer, rep *fuzz.Report, found []*mismatch) {
	for _, m := range found {
		fmt.Fprintf(w, "seed %d: %s\n", m.Seed, m.Error)
		if m.Rule != "" {
			fmt.Fprintf(w, "first wrong after rule: %s\n", m.Rule)
		}
		fmt.Fprintf(w, "%sreplay: %s\n\n", m.IR, m.Replay)
	}
	refused := 0
	for _, n := range rep.Refused {
		refused += n
	}
	fmt.Fprintf(w, "%d models, %d runs on chips, %d refused, %d mismatches\n", rep.Tried, rep.Runs, refused, len(found))
	if !*o.refused {
		return
	}
	var why []string
	for r := range rep.Refused {
		why = append(why, r)
	}
	slices.SortFunc(why, func(a, b string) int {
		if d := rep.Refused[b] - rep.Refused[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, r := range why {
		fmt.Fprintf(w, "%6d  %s\n", rep.Refused[r], r)
	}
}

// onePerFamily names a shipped chip of each family, the first by name.
func onePerFamily() ([]string, error) {
	seen := map[chip.Family]bool{}
	var out []string
	for _, n := range chips.List() {
		c, err := chip.Load(n)
		if err != nil {
			return nil, err
		}
		if !seen[c.Family] {
			seen[c.Family] = true
			out = append(out, n)
		}
	}
	return out, nil
}
