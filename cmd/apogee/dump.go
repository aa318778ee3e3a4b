package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/frontend/mg"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/passes"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

func init() {
	register(&command{
		name: "dump", args: "MODEL|FILE", short: "Print a stage of the way from source to plan",
		long: `
--emit ast prints the syntax tree of a .mg file, ir the module of primitive ops, fused the module of kernels, plan the instructions in the
chip's vocabulary. --after PASS gives the IR behind a pass (the last of that name); up to the first pass that asks the chip, no --target
is needed. What ir and fused print is a MODEL again: every
command takes it.`,
		example: `  apogee dump examples/r1-nano --emit ir > r1.ir
  apogee dump r1.ir --emit fused --target ascend-910b --entry decode
  apogee dump examples/r1-nano --emit ir --after absorb --target nvidia-h100 --entry decode
  apogee dump decode.plan --emit plan`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			emit := f.String("emit", "ir", "the `STAGE` to print: ast, ir, fused or plan")
			after := f.String("after", "", "stop behind `PASS`")
			positions := f.Bool("positions", true, "print source positions in IR")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				return dump(ctx, a, m, path, *emit, *after, *positions)
			}
		},
	})
}

func dump(ctx context.Context, a *app, m *modelFlags, path, emit, after string, positions bool) error {
	w := bufio.NewWriter(a.out)
	defer w.Flush()
	switch emit {
	case "ast", "ir", "fused", "plan":
	default:
		return usagef("--emit takes ast, ir, fused or plan, found %q", emit)
	}
	if after != "" && emit != "ir" && emit != "fused" {
		return usagef("--after prints IR as a pass leaves it; it goes with --emit ir or fused")
	}
	if emit == "ast" {
		return dumpTree(w, path)
	}
	j, err := m.open(a, path, chipMaybe)
	if err != nil {
		return err
	}
	defer j.Close()
	if j.Plan != nil {
		if emit != "plan" {
			return fmt.Errorf("%s is a plan: --emit plan prints it; the IR it came from is not in it", path)
		}
		return printPlan(w, j.Plan, j.chip)
	}
	if emit == "ir" && after == "" {
		var mod *ir.Module
		if *m.entry != "" {
			mod, _, err = j.Lower(j.req)
		} else {
			mod, err = j.LowerAll(j.req)
		}
		a.warn(j.Warnings)
		if err != nil {
			return err
		}
		return printIR(w, mod, positions)
	}
	if j.chip == nil && after == "" { // passes that ask the chip say so themselves
		return usagef("--emit %s%s needs a chip: name one with --target", emit, map[bool]string{true: " --after " + after}[after != ""])
	}
	a.progress.Step("compiling "+path, 0, 0)
	if after != "" {
		text, err := upTo(j.req.Pipeline, after)
		if err != nil {
			return err
		}
		mod, err := j.Passes(ctx, j.req, text)
		a.warn(j.Warnings)
		if err != nil {
			return err
		}
		return printIR(w, mod, positions)
	}
	b, err := j.Compile(ctx, j.req)
	a.warn(j.Warnings)
	if err != nil {
		return err
	}
	if emit == "fused" {
		return printIR(w, b.Module, positions)
	}
	return printPlan(w, b.Plan, j.chip)
}

// dumpTree prints the syntax tree of a source, or of the shipped one that a checkpoint picks.
func dumpTree(w *bufio.Writer, path string) error {
	model, err := driver.Open(path)
	if err != nil {
		return err
	}
	defer model.Close()
	src, err := model.Source()
	if err != nil {
		return err
	}
	var diags diag.List
	t := mg.Parse(src, &diags)
	if err := diags.Err(); err != nil {
		return err
	}
	return printTree(w, t.File)
}

func printIR(w *bufio.Writer, m *ir.Module, positions bool) error {
	return ir.PrintWith(w, m, ir.PrintOptions{NoPositions: !positions})
}

func printPlan(w *bufio.Writer, p *plan.Plan, c *chip.Chip) error {
	if c == nil {
		c, _ = chip.Load(p.Chip)
	}
	var v plan.Vocab
	if c != nil {
		v = bind.Vocab(c)
	}
	return plan.Print(w, p, v)
}

// upTo cuts a pipeline behind the last pass of a name.
func upTo(pipeline, pass string) (string, error) {
	if pipeline == "" {
		pipeline = passes.Default(passes.MaxLevel)
	}
	depth, start, end := 0, 0, -1
	var names []string
	for i := 0; i <= len(pipeline); i++ {
		if i == len(pipeline) || pipeline[i] == ',' && depth == 0 {
			name, _, _ := strings.Cut(strings.TrimSpace(pipeline[start:i]), "{")
			names = append(names, name)
			if name == pass {
				end = i
			}
			start = i + 1
			continue
		}
		switch pipeline[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
	}
	if end < 0 {
		slices.Sort(names)
		return "", unknownName("pass of the pipeline", pass, slices.Compact(names))
	}
	return pipeline[:end], nil
}
