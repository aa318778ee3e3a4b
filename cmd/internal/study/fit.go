package study

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"

	"apogee/targets/chip"
)

// Param is one fitted derate of a chip.
type Param struct {
	// What is as in a chip file: "engine tensor", "memory gm", "latency gm", "launch".
	What string `json:"what"`
	// Factor is the fitted value, Low and High its interval of one standard error, Start where the fit began.
	Factor float64 `json:"factor"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Start  float64 `json:"start"`
	// Rows is how many rows it changes by more than a hundredth when it changes by a tenth.
	Rows int `json:"rows"`
}

// Errors sums up |predicted/measured - 1| over rows.
type Errors struct {
	N      int     `json:"rows"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	Worst  float64 `json:"worst"`
	// Bias is the median of predicted/measured - 1.
	Bias float64 `json:"bias"`
}

// errorsOf sums up signed relative errors.
func errorsOf(e []float64) Errors {
	if len(e) == 0 {
		return Errors{}
	}
	abs := make([]float64, len(e))
	for i, x := range e {
		abs[i] = math.Abs(x)
	}
	sort.Float64s(abs)
	signed := append([]float64(nil), e...)
	sort.Float64s(signed)
	at := func(s []float64, q float64) float64 { return s[int(q*float64(len(s)-1)+0.5)] }
	return Errors{N: len(e), Median: at(abs, 0.5), P90: at(abs, 0.9), Worst: abs[len(abs)-1], Bias: at(signed, 0.5)}
}

// FitOptions steer a fit. The zero value is what users want.
type FitOptions struct {
	// Rows is how many rows are taken of each benchmark of each table; 0 means 12, below 0 all.
	Rows int
	// Rounds bounds the iterations; 0 means 6.
	Rounds int
}

// Fitted is what a fit found.
type Fitted struct {
	Chip    string  `json:"chip"`
	Params  []Param `json:"params"`
	Rows    int     `json:"rows"`
	Skipped int     `json:"skipped"`
	// Why are the reasons for which rows were skipped, most frequent first.
	Why []string `json:"why_skipped,omitempty"`
	// Sheet is the error from the data sheet, Fit with the fitted derates, LeaveOneOut with each row predicted by derates that were
	// fitted without it.
	Sheet       Errors `json:"sheet"`
	Fit         Errors `json:"fitted"`
	LeaveOneOut Errors `json:"leave_one_out"`
}

// ForChip takes the rows of a chip. Rows of a table that names none, as one lying beside the chip's file, belong to it.
func ForChip(rows []Row, name string) []Row {
	var out []Row
	for _, r := range rows {
		if r.Chip == name || r.Chip == "" {
			out = append(out, r)
		}
	}
	return out
}

// ErrNoRows says that no row could be used.
var ErrNoRows = errors.New("no row of the table can be predicted")

// Fit finds the derates of a chip with which predictions meet measurements best: few numbers for all rows, in logarithms, so that a
// half too much and a half too little count alike, with Huber's weights, so that outliers count little (Huber 1964), and held near the
// usual values where rows say nothing (a normal prior of a third). Plans are compiled once; every step times them anew.
func Fit(ctx context.Context, c *chip.Chip, rows []Row, o FitOptions) (*Fitted, error) {
	n := o.Rows
	if n == 0 {
		n = 12
	}
	f := &Fitted{Chip: c.Name}
	sheet := Sheet(c)
	var use []fitRow
	why := map[string]int{}
	cache := map[string]timed{}
	for _, r := range Sample(rows, n) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.Skip != "" {
			why[r.Skip]++
			f.Skipped++
			continue
		}
		key := r.What()
		t, ok := cache[key]
		if !ok {
			t = prepare(ctx, &r, sheet)
			cache[key] = t
		}
		p, err := t.run(ctx, sheet)
		if err != nil {
			why[err.Error()]++
			f.Skipped++
			continue
		}
		use = append(use, fitRow{r, t, p.add(&r).Seconds})
	}
	for k, v := range why {
		f.Why = append(f.Why, fmt.Sprintf("%d x %s", v, k))
	}
	sort.Strings(f.Why)
	f.Rows = len(use)
	if len(use) == 0 {
		return f, ErrNoRows
	}
	var before []float64
	for i := range use {
		before = append(before, use[i].sheet/use[i].row.Seconds-1)
	}
	f.Sheet = errorsOf(before)

	// The residuals of all rows for some derates.
	residuals := func(set map[string]float64) ([]float64, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d := withDerates(sheet, set)
		done := map[string]float64{}
		out := make([]float64, len(use))
		for i := range use {
			key := use[i].row.What()
			s, ok := done[key]
			if !ok {
				p, err := use[i].t.run(ctx, d)
				if err != nil {
					return nil, err
				}
				s = p.Seconds
				done[key] = s
			}
			out[i] = math.Log(use[i].row.of(s) / use[i].row.Seconds)
		}
		return out, nil
	}
	params := candidates(sheet)
	s, err := solve(params, residuals, o.Rounds)
	if err != nil {
		return nil, err
	}
	f.Params = s.params
	f.Fit, f.LeaveOneOut = errorsOf(relative(s.residuals)), errorsOf(relative(s.leaveOut))
	return f, nil
}

type fitRow struct {
	row   Row
	t     timed
	sheet float64
}

func relative(logs []float64) []float64 {
	out := make([]float64, len(logs))
	for i, x := range logs {
		out[i] = math.Expm1(x)
	}
	return out
}

// candidates are the derates that may be fitted, with where they begin and how far they may go.
func candidates(c *chip.Chip) []freeParam {
	var out []freeParam
	add := func(what string, most float64) {
		start := 1.0
		for _, d := range c.Derates {
			if d.What == what {
				start = d.Factor.Value
			}
		}
		width := 0.33
		if most > 1 { // times are known better than how they are filled
			width = 0.2
		}
		out = append(out, freeParam{what, start, 0.1, most, width})
	}
	for _, e := range c.Engines {
		if e.Kind == chip.Matrix || e.Kind == chip.Vector {
			add("engine "+e.Name, 1)
		}
	}
	g := c.Global()
	add("memory "+g.Name, 1)
	if g.Latency.Stated() {
		add("latency "+g.Name, 4)
	}
	if k := c.CacheOf(g.Name); k != nil {
		if k.Bandwidth.Stated() {
			add("memory "+k.Name, 1)
		}
		if k.Latency.Stated() {
			add("latency "+k.Name, 4)
		}
	}
	for _, l := range c.Links {
		add("link "+l.Name, 1)
	}
	add("launch", 4)
	return out
}

// Statements gives the fitted derates as lines of a chip file.
func (f *Fitted) Statements(source string) string {
	var b strings.Builder
	for _, p := range f.Params {
		fmt.Fprintf(&b, "derate %s %.3g %% measured %q\n", p.What, 100*p.Factor, source)
	}
	return b.String()
}

// Text reports the fit.
func (f *Fitted) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d rows, %d skipped\n", f.Chip, f.Rows, f.Skipped)
	for _, w := range f.Why {
		fmt.Fprintf(&b, "  skipped %s\n", w)
	}
	line := func(what string, e Errors) {
		fmt.Fprintf(&b, "%-15s median %5.1f %%   p90 %5.1f %%   worst %6.1f %%   bias %+6.1f %%\n", what, 100*e.Median, 100*e.P90, 100*e.Worst, 100*e.Bias)
	}
	line("data sheet", f.Sheet)
	if f.Rows > 0 {
		line("fitted", f.Fit)
		line("leave-one-out", f.LeaveOneOut)
	}
	for _, p := range f.Params {
		fmt.Fprintf(&b, "%-20s %6.1f %%  (%.1f to %.1f, from %.0f, %d rows)\n", p.What, 100*p.Factor, 100*p.Low, 100*p.High, 100*p.Start, p.Rows)
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
