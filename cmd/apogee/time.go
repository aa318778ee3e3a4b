package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/ir/diag"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/report"
	"apogee/targets/sim/clock"
	"apogee/targets/trace"
)

func init() {
	register(&command{
		name: "time", args: "MODEL|FILE.plan", short: "Time a model on a simulated chip, without weights",
		long: `
Times the plan of an entry, or, for a model with both, a prefill and a decode step. Symbols that --set leaves open are B=1, T=128 (1 for decode)
and S=4096; a decode step is timed with a full cache. A plan that exceeds the chip's memory is timed all the same and marked. --json has the
range in which the time lies in nine cases of ten, as apogee study accuracy found it for measured kernels.

--kernel shows the instructions of a kernel with what each took, --timeline when each ran, --trace writes all launches (and the
instructions of --kernel) for Perfetto or Chrome's trace viewer.`,
		example: `  apogee time examples/r1-nano --target ascend-910b
  apogee time config.json --target nvidia-h100 --set B=8,T=1024,S=8192 --rows 20 --roofline
  apogee time decode.plan --json
  apogee time examples/norm.mg --target ascend-910b --set N=64 --kernel contract --timeline`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			o := &timing{
				json:     f.Bool("json", false, "print JSON"),
				rows:     f.Int("rows", 5, "show the `N` kernels and places that take most"),
				roofline: f.Bool("roofline", false, "show how each kernel stands to the chip's roofs"),
				assumed:  f.Bool("assumed", false, "list the assumed numbers that went into the time"),
				kernel:   f.String("kernel", "", "show the instructions of kernel `NAME`"),
				timeline: f.Bool("timeline", false, "show when each instruction of --kernel ran"),
				trace:    f.String("trace", "", "write a trace to `FILE`, for Perfetto"),
			}
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				if *o.timeline && *o.kernel == "" {
					return usagef("--timeline needs --kernel NAME")
				}
				if *o.json && *o.kernel != "" {
					return usagef("--json and --kernel do not go together")
				}
				if *o.rows < 1 {
					return usagef("--rows %d: at least 1", *o.rows)
				}
				j, err := m.open(a, path, chipOnly)
				if err != nil {
					return err
				}
				defer j.Close()
				a.progress.Step("timing "+path, 0, 0)
				return o.run(ctx, a, j)
			}
		},
	})
}

// timing is what the flags of time ask for.
type timing struct {
	json, roofline, assumed, timeline *bool
	rows                              *int
	kernel, trace                     *string
}

func (o *timing) run(ctx context.Context, a *app, j *job) error {
	if *o.trace != "" && j.Plan == nil && j.req.Entry == "" {
		return usagef("--trace writes one entry: name it with --entry")
	}
	var file *outFile
	var err error
	if *o.trace != "" {
		if file, err = a.files.Create(ctx, *o.trace); err != nil {
			return err
		}
	}
	list, err := j.Time(ctx, j.req, clock.Options{})
	a.warn(j.Warnings)
	if err != nil {
		return err
	}
	if *o.json {
		err = timesJSON(a.out, j.chip, list)
	} else {
		err = o.text(a.out, j.chip, list)
	}
	if err != nil || file == nil {
		return err
	}
	// Timed again for the trace: which launches it details is known only from the first time.
	t := list[0]
	tr := &trace.Trace{Name: fmt.Sprintf("%s %s on %s", t.Plan.Model, t.Plan.Entry, t.Plan.Chip)}
	opt := clock.Options{Trace: tr}
	if *o.kernel != "" {
		step, _, err := launchOf(t, *o.kernel)
		if err != nil {
			return err
		}
		opt.TraceSteps = []int{step}
	}
	if _, err := clock.Run(t.Plan, j.chip, opt); err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	if err = trace.WriteChrome(w, tr); err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", *o.trace, reason(err))
	}
	return a.files.Commit()
}

func (o *timing) text(w io.Writer, c *chip.Chip, list []driver.Timed) error {
	found := false
	var names []string
	for i, t := range list {
		if *o.kernel == "" {
			if i > 0 {
				fmt.Fprintln(w)
			}
			r := report.New(t.Plan, c, t.Result)
			r.Precision += symbols(t.Plan)
			if err := report.WriteText(w, r, report.TextOptions{Rows: *o.rows, Roofline: *o.roofline, Assumed: *o.assumed}); err != nil {
				return err
			}
			continue
		}
		step, launch, err := launchOf(t, *o.kernel)
		if err != nil {
			for i := range t.Plan.Kernels {
				names = append(names, t.Plan.Kernels[i].Name)
			}
			continue
		}
		if found {
			fmt.Fprintln(w)
		}
		found = true
		if err := o.showKernel(w, c, t, step, launch); err != nil {
			return err
		}
	}
	if *o.kernel != "" && !found {
		slices.Sort(names)
		d := diag.Errorf("", diag.Range{}, "there is no kernel %q", *o.kernel).Suggest(*o.kernel, names)
		d.Expected = "one of " + strings.Join(slices.Compact(names), ", ")
		return d
	}
	return nil
}

func (o *timing) showKernel(w io.Writer, c *chip.Chip, t driver.Timed, step, launch int) error {
	if !*o.timeline {
		return report.WriteKernel(w, t.Plan, t.Result, launch, bind.Vocab(c))
	}
	tr := &trace.Trace{}
	if _, err := clock.Run(t.Plan, c, clock.Options{Trace: tr, TraceSteps: []int{step}}); err != nil {
		return err
	}
	return report.WriteTimeline(w, tr, report.TimelineOptions{Step: step})
}

// launchOf finds the launch of a kernel that takes longest: the first step of it, and what is equal to it.
func launchOf(t driver.Timed, kernel string) (step, launch int, err error) {
	step = -1
	longest := int64(-1)
	for _, s := range t.Result.Steps {
		if s.Launch == plan.None || t.Plan.Kernels[t.Plan.Steps[s.Step].Kernel].Name != kernel {
			continue
		}
		split := t.Result.Launches[s.Launch].Split
		if total := int64(split.Sum()); total > longest {
			step, launch, longest = s.Step, s.Launch, total
		}
	}
	if step < 0 {
		return 0, 0, fmt.Errorf("no kernel %q", kernel)
	}
	return step, launch, nil
}

// timesJSON prints a list of reports, one an entry.
func timesJSON(w io.Writer, c *chip.Chip, list []driver.Timed) error {
	type entry struct {
		*report.Report
		// In nine cases of ten the time lies between these, as far as one can tell from kernels that were measured.
		Low     float64          `json:"low_seconds"`
		High    float64          `json:"high_seconds"`
		Symbols map[string]int64 `json:"symbols"`
	}
	out := []entry{}
	for _, t := range list {
		e := entry{Report: report.New(t.Plan, c, t.Result), Symbols: map[string]int64{}}
		e.Low, e.High = t.Result.Range(c)
		for _, s := range t.Plan.Symbols {
			e.Symbols[s.Name] = s.Value
		}
		out = append(out, e)
	}
	j := json.NewEncoder(w)
	j.SetIndent("", "  ")
	j.SetEscapeHTML(false)
	return j.Encode(out)
}
