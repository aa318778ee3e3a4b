package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/study"
)

func init() {
	register(&command{
		name: "study", args: "accuracy", short: "Hold simulated times against measured ones",
		long: `
Reads the tables of measured kernel times below --data, times each kernel on the description of its chip, and reports by how much prediction and
measurement differ: from the data sheet alone, and with the derates that the chip's file has from measurements; and how many rows lie in the range
that comes with each prediction. The tables are not part of apogee. Of each benchmark of each table --rows rows are taken, always the same ones.`,
		example: "  apogee study accuracy --data ../shared\n  apogee study accuracy --data ../shared --chip nvidia-h100 --worst 20\n  apogee study accuracy --data my.csv --json",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			o := &accuracy{
				data:  f.String("data", "../shared", "the folder or table with the measurements, `DIR`"),
				chips: f.StringSlice("chip", nil, "take rows of chip `CHIP` only"),
				rows:  f.Int("rows", study.DefaultRows, "take `N` rows of each benchmark of each table; 0 takes all"),
				worst: f.Int("worst", 10, "show the `N` rows that are missed most"),
				all:   f.Bool("all", false, "show every row"),
				json:  f.Bool("json", false, "print JSON"),
			}
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) != 1 || args[0] != "accuracy" {
					return usagef("expected: apogee study accuracy")
				}
				if *o.rows < 0 || *o.worst < 0 {
					return usagef("--rows and --worst are not negative")
				}
				return o.run(ctx, a)
			}
		},
	})
}

// accuracy is what the flags of study ask for.
type accuracy struct {
	data        *string
	chips       *[]string
	rows, worst *int
	all, json   *bool
}

func (o *accuracy) run(ctx context.Context, a *app) error {
	a.progress.Step("reading "+*o.data, 0, 0)
	rows, _, err := study.Load(*o.data)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w. The tables are no part of apogee: --data names yours, docs/calibration.md says what they are", err)
	}
	if err != nil {
		return err
	}
	n := *o.rows
	if n == 0 {
		n = -1
	}
	opt := study.Options{Rows: n, Step: func(done, of int) { a.progress.Step("timing", done, of) }}
	if len(*o.chips) > 0 {
		opt.Chips = *o.chips
	}
	r, err := study.Run(ctx, rows, opt)
	if err != nil {
		return err
	}
	if r.Timed == 0 && len(*o.chips) > 0 {
		return fmt.Errorf("%s has no row of these chips that can be predicted", *o.data)
	}
	if *o.json {
		return o.writeJSON(a.out, r)
	}
	o.text(a.out, r)
	return nil
}

// rowLine is a row in JSON.
type rowLine struct {
	Chip      string           `json:"chip"`
	Class     study.Class      `json:"class"`
	Benchmark string           `json:"benchmark"`
	Case      string           `json:"case"`
	Place     string           `json:"place"`
	Measured  float64          `json:"measured_seconds"`
	Sheet     study.Prediction `json:"sheet"`
	Fitted    study.Prediction `json:"fitted"`
}

func (o *accuracy) writeJSON(w io.Writer, r *study.Report) error {
	list := r.Entries
	if !*o.all {
		list = r.Worst(*o.worst)
	}
	lines := []rowLine{}
	for i := range list {
		e := &list[i]
		lines = append(lines, rowLine{e.Row.Chip, e.Row.Class, e.Row.Benchmark, e.Row.What(), e.Row.Place(), e.Row.Seconds, e.Sheet, e.Fitted})
	}
	out := struct {
		*study.Report
		Entries []rowLine `json:"entries"`
	}{r, lines}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func (o *accuracy) text(w io.Writer, r *study.Report) {
	fmt.Fprintf(w, "%d rows, %d taken, %d predicted\n\n", r.Rows, r.Sampled, r.Timed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\t\trows\tdata sheet: median\tp90\tworst\tin range\tfitted: median\tp90\tworst\tin range\t")
	line := func(chip string, class study.Class, s *study.Summary) {
		p := func(x float64) string {
			if x >= 9.995 {
				return fmt.Sprintf("x %.0f", x+1)
			}
			return fmt.Sprintf("%.1f %%", 100*x)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%.0f %%\t%s\t%s\t%s\t%.0f %%\t\n", chip, class, s.Sheet.N, p(s.Sheet.Median), p(s.Sheet.P90), p(s.Sheet.Worst),
			100*s.SheetWithin, p(s.Fitted.Median), p(s.Fitted.P90), p(s.Fitted.Worst), 100*s.Within)
	}
	for i := range r.Groups {
		line(r.Groups[i].Chip, r.Groups[i].Class, &r.Groups[i])
	}
	for i := range r.Classes {
		line("all", r.Classes[i].Class, &r.Classes[i])
	}
	line("all", "", &r.Total)
	line("all", "aim", &r.Aim)
	t.Flush()
	fmt.Fprintln(w, "\nThe aim is over products, attention, norms, element-wise and memory rows.")
	list, title := r.Worst(*o.worst), "\nThe rows that are missed most:"
	if *o.all {
		list, title = r.Entries, "\nAll rows:"
	}
	if len(list) > 0 {
		fmt.Fprintln(w, title)
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for i := range list {
			e := &list[i]
			fmt.Fprintf(t, "%s\t%s\t%s\tmeasured %.4g us\tpredicted %.4g us (%.4g to %.4g)\t%s\t\n", e.Row.Chip, e.Row.What(), e.Row.Benchmark, e.Row.Seconds*1e6, e.Fitted.Seconds*1e6,
				e.Fitted.Low*1e6, e.Fitted.High*1e6, e.Fitted.Bound)
		}
		t.Flush()
	}
	if len(r.Skipped) > 0 {
		fmt.Fprintln(w, "\nNot predicted:")
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, s := range r.Skipped {
			fmt.Fprintf(t, "%d\t%s\t%s\n", s.Rows, s.Chip, s.Why)
		}
		t.Flush()
	}
}
