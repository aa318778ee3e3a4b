package study

import (
	"context"
	"errors"
	"testing"

	"apogee/ir/irtest"
	"apogee/targets/chip"
	"apogee/targets/chips"
)

// TestRun: a small table is predicted from the data sheet and with derates, every prediction lies in its own range, and chips without a
// description are named.
func TestRun(t *testing.T) {
	rows, _, err := Load("testdata/cases.csv")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), rows, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != 6 || r.Timed != 5 || len(r.Skipped) != 1 || r.Skipped[0].Chip != "nobodys-chip" {
		t.Errorf("%d rows, %d timed, skipped %v", r.Rows, r.Timed, r.Skipped)
	}
	for _, e := range r.Entries {
		for _, p := range []Prediction{e.Sheet, e.Fitted} {
			if !(p.Low < p.Seconds && p.Seconds < p.High) {
				t.Errorf("%s: %g is not within %g to %g", e.Row.What(), p.Seconds, p.Low, p.High)
			}
		}
		if !e.Within(e.Fitted) {
			t.Errorf("%s: measured %g, predicted %g to %g", e.Row.What(), e.Row.Seconds, e.Fitted.Low, e.Fitted.High)
		}
	}
	if r.Aim.Fitted.N != 5 || r.Aim.Fitted.Median > 0.2 {
		t.Errorf("aim: %+v", r.Aim)
	}
	again, err := Run(context.Background(), rows, Options{Chips: []string{"ascend-910b"}})
	if err != nil || again.Timed != 1 || len(again.Groups) != 1 {
		t.Errorf("one chip: %+v, %v", again, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Run(ctx, rows, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled study gives %v", err)
	}
}

// TestKinds: every kind compiles and is timed, with the library's form and without, in the formats that chips have.
func TestKinds(t *testing.T) {
	small := map[string][]int64{
		"gemm": {64, 256, 128}, "batched": {4, 64, 64, 64}, "grouped": {4, 16, 256, 128}, "decode": {2, 256, 2, 4, 64}, "prefill": {1, 128, 2, 2, 64, 64},
		"mla_decode": {1, 256, 16, 128, 64}, "scores": {16, 256, 128}, "rms_norm": {16, 256}, "layer_norm": {16, 256}, "softmax": {16, 256}, "gelu": {4, 256},
		"silu_mul": {16, 256}, "rope": {16, 4, 32}, "add": {4096}, "embedding": {16, 64, 100}, "copy": {4096}, "triad": {4096}, "read": {2, 4096},
	}
	formats := map[string]string{"grouped": "f8e4m3fn", "mla_decode": "bf16", "scores": "f8e4m3fn"}
	for _, name := range []string{"nvidia-h100", "ascend-910b"} {
		c, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range Kinds() {
			dims, ok := small[k]
			if !ok {
				t.Errorf("no sizes for %s", k)
				continue
			}
			f := "f16"
			if formats[k] != "" {
				f = formats[k]
			}
			if _, ok := c.Precision("fp8"); !ok && f == "f8e4m3fn" {
				continue
			}
			r := Row{Case: newCase(k, f, dims...)}
			tm := prepare(context.Background(), &r, c)
			if p, err := tm.run(context.Background(), c); err != nil || !(p.Seconds > 1e-7 && p.Seconds < 1e-2) {
				t.Errorf("%s on %s: %+v, %v", r.What(), name, p, err)
			}
		}
	}
}

// TestTables: the tables beside the code name chips that ship.
func TestTables(t *testing.T) {
	shipped := map[string]bool{}
	for _, n := range chips.List() {
		shipped[n] = true
	}
	for word, n := range chipNames {
		if !shipped[n] {
			t.Errorf("names.tsv calls %s %s, which does not ship", word, n)
		}
	}
	for k, h := range hosts {
		if !shipped[k.chip] || !(h.Before > 0 && h.Before < h.Total) {
			t.Errorf("hosts.tsv: %v %v", k, h)
		}
	}
	if len(chipNames) < 4 || len(hosts) < 4 || len(nodes) < 3 {
		t.Error("a table is empty")
	}
}

// TestAccuracy holds the errors and the ranges over the measured tables, so that a change that makes predictions worse shows. The bounds are
// those of the aim, with a little room for the sample.
func TestAccuracy(t *testing.T) {
	if testing.Short() {
		t.Skip("times some hundred kernels")
	}
	rows, _, err := Load(irtest.Corpus(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), rows, Options{Rows: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("aim: data sheet %+v, fitted %+v, within %.2f and %.2f", r.Aim.Sheet, r.Aim.Fitted, r.Aim.SheetWithin, r.Aim.Within)
	if r.Aim.Sheet.Median > 0.15 || r.Aim.Fitted.Median > 0.10 {
		t.Errorf("median errors of %.3f from data sheets and %.3f fitted, at most 0.15 and 0.10 are aimed at", r.Aim.Sheet.Median, r.Aim.Fitted.Median)
	}
	if r.Aim.Within < 0.90 {
		t.Errorf("%.2f of the rows lie in the range of the fitted prediction, at least 0.90 are aimed at", r.Aim.Within)
	}
	for _, s := range r.Classes {
		most := map[Class]float64{GEMM: 0.12, Norm: 0.12, Elementwise: 0.16, Memory: 0.12, Attention: 0.30, Grouped: 0.30}[s.Class]
		if most > 0 && s.Fitted.Median > most {
			t.Errorf("%s: median error %.3f, held at %.2f", s.Class, s.Fitted.Median, most)
		}
	}
}
