package main

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/targets/plan"
)

func init() {
	register(&command{
		name: "compile", args: "MODEL", short: "Compile an entry of a model to a plan",
		long: `
Writes the plan in its binary form: instructions, buffers at fixed addresses, weights by name. No weights are needed: a config.json will
do. Symbols that --set leaves open are B=1, T=128 (1 for an entry with a position) and S=4096.
A plan that exceeds the chip's memory is written all the same, with a warning that says by how much and what would fit.`,
		example: `  apogee compile examples/r1-nano --target ascend-910b --entry decode --set S=256 -o decode.plan
  apogee compile config.json --target nvidia-h100 --set B=1,T=128,S=4096 -o prefill.plan --remarks`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			out := f.StringP("output", "o", "", "write the plan to `FILE`")
			remarks := f.Bool("remarks", false, "tell why fusions did not happen")
			stats := f.Bool("stats", false, "tell how long each pass took and which rules fired")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				if *out == "" {
					return usagef("compile needs -o FILE.plan")
				}
				file, err := a.files.Create(ctx, *out)
				if err != nil {
					return err
				}
				j, err := m.open(a, path, chipOnly)
				if err != nil {
					return err
				}
				defer j.Close()
				if j.Plan != nil {
					return fmt.Errorf("%s is a plan; it is compiled already", path)
				}
				a.progress.Step("compiling "+path, 0, 0)
				b, err := j.Compile(ctx, j.req)
				a.warn(j.Warnings)
				if err != nil {
					return err
				}
				w := bufio.NewWriter(file)
				if err = plan.Encode(w, b.Plan); err == nil {
					err = w.Flush()
				}
				if err != nil {
					return fmt.Errorf("cannot write %s: %w", *out, reason(err))
				}
				if err := a.files.Commit(); err != nil {
					return err
				}
				if *remarks {
					for _, r := range b.Report.Remarks {
						fmt.Fprintf(a.err, "remark: %s %s: %s\n", r.Pass, r.Pos, r.Message)
					}
				}
				if *stats {
					printStats(a, b)
				}
				u := plan.Measure(b.Plan)
				fmt.Fprintf(a.out, "%s: entry %s for %s at %s%s, %d launches of %d kernels\n%s of %s: %s\n", *out, b.Plan.Entry, b.Plan.Chip, b.Precision.Name,
					symbols(b.Plan), b.Plan.Launches(), len(b.Plan.Kernels), size(u.Total), size(u.Size), u)
				if u.Over() > 0 {
					fmt.Fprintf(a.err, "warning: the plan does not fit %s: %s\n", b.Plan.Chip, driver.Capacity(b.Plan))
				}
				return nil
			}
		},
	})
}

func printStats(a *app, b *driver.Built) {
	for _, p := range b.Report.Passes {
		fmt.Fprintf(a.err, "%-13s %8.2f ms", p.Pass, float64(p.Time.Microseconds())/1e3)
		for _, r := range p.Fired {
			fmt.Fprintf(a.err, "  %s %d", r.Rule, r.N)
		}
		fmt.Fprintln(a.err)
	}
}

// symbols are the values that a plan was compiled for, as " B=1 T=128".
func symbols(p *plan.Plan) string {
	s := ""
	for _, x := range p.Symbols {
		s += fmt.Sprintf(" %s=%d", x.Name, x.Value)
	}
	return s
}
