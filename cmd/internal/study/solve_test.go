package study

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"apogee/targets/chip"
)

// TestSolve: of data made from known parameters, with noise and outliers, the parameters are found again, and leaving a row out tells more
// than the fit itself admits.
func TestSolve(t *testing.T) {
	want := map[string]float64{"engine m": 0.7, "memory g": 0.55, "launch": 1.3}
	rng := rand.New(rand.NewPCG(1, 2))
	type row struct{ flops, bytes, noise float64 }
	var rows []row
	for i := range 200 {
		r := row{math.Exp(rng.Float64() * 8), math.Exp(rng.Float64() * 8), math.Exp(0.05 * rng.NormFloat64())}
		if i%20 == 0 {
			r.noise *= 3
		}
		rows = append(rows, r)
	}
	time := func(r row, p map[string]float64) float64 {
		return 5/p["launch"] + math.Max(r.flops/p["engine m"], r.bytes/p["memory g"])
	}
	residuals := func(p map[string]float64) ([]float64, error) {
		var out []float64
		for _, r := range rows {
			out = append(out, math.Log(time(r, p)/(time(r, want)*r.noise)))
		}
		return out, nil
	}
	free := []freeParam{{"engine m", 0.85, 0.1, 1, 0.33}, {"memory g", 0.92, 0.1, 1, 0.33}, {"launch", 1, 0.1, 4, 0.2}, {"nothing", 0.5, 0.1, 1, 0.33}}
	residualsWithout := residuals
	s, err := solve(free, residualsWithout, 20)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.params) != 3 {
		t.Fatalf("%d parameters, want the three that rows feel: %v", len(s.params), s.params)
	}
	for _, p := range s.params {
		if e := p.Factor/want[p.What] - 1; math.Abs(e) > 0.04 {
			t.Errorf("%s is %.3f, was %.3f", p.What, p.Factor, want[p.What])
		}
		if !(p.Low < p.Factor && p.Factor < p.High) {
			t.Errorf("%s: %g to %g around %g", p.What, p.Low, p.High, p.Factor)
		}
	}
	fit, out := errorsOf(relative(s.residuals)), errorsOf(relative(s.leaveOut))
	if fit.Median > 0.06 || out.Median < fit.Median {
		t.Errorf("median %.3f fitted, %.3f left out", fit.Median, out.Median)
	}
}

// TestFit recovers derates from the simulator's own times on a chip with other derates.
func TestFit(t *testing.T) {
	c, err := chip.Load("nvidia-a100")
	if err != nil {
		t.Fatal(err)
	}
	secret := map[string]float64{"engine tensor": 0.6, "memory gm": 0.7}
	truth := withDerates(Sheet(c), secret)
	var rows []Row
	for _, cs := range []Case{
		newCase("gemm", "f16", 4096, 4096, 4096), newCase("gemm", "f16", 2048, 8192, 4096), newCase("gemm", "f16", 8192, 2048, 4096), newCase("gemm", "f16", 1024, 4096, 8192),
		newCase("add", "f16", 1<<26), newCase("add", "f16", 1<<27), newCase("add", "f16", 1<<28), newCase("gelu", "f16", 1, 1<<28), newCase("copy", "f32", 1<<27), newCase("copy", "f32", 1<<28),
	} {
		r := Row{Chip: c.Name, Benchmark: cs.String(), Class: cs.Class(), Case: cs}
		tm := prepare(context.Background(), &r, Sheet(c))
		p, err := tm.run(context.Background(), truth)
		if err != nil {
			t.Fatal(err)
		}
		r.Seconds = p.Seconds
		rows = append(rows, r)
	}
	f, err := Fit(context.Background(), c, rows, FitOptions{Rounds: 12})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Params {
		if w, ok := secret[p.What]; ok && math.Abs(p.Factor/w-1) > 0.06 {
			t.Errorf("%s is %.3f, was %.3f\n%s", p.What, p.Factor, w, f.Text())
		}
	}
	if f.Fit.Median > 0.03 || f.Sheet.Median < 0.2 {
		t.Errorf("fit:\n%s", f.Text())
	}
	if s := f.Statements("a table"); !strings.Contains(s, "derate engine tensor ") || !strings.Contains(s, `measured "a table"`) {
		t.Errorf("statements:\n%s", s)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Fit(ctx, c, rows, FitOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled fit gives %v", err)
	}
	if _, err := Fit(context.Background(), c, []Row{{Skip: "no time"}}, FitOptions{}); !errors.Is(err, ErrNoRows) {
		t.Errorf("a fit of nothing gives %v", err)
	}
}
