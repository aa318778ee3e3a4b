package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apogee/targets/bind"
	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
	"apogee/targets/sim/clock"
	"apogee/targets/trace"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

// sample is a plan of two kernels, one launched for two layers, and its timing with a trace.
func sample(t *testing.T) (*plan.Plan, *clock.Result, *trace.Trace) {
	t.Helper()
	p := plantest.Matmul(plantest.Size{M: 64, K: 1024, N: 1024, BM: 64, BK: 64, BN: 128})
	tall := plantest.MatmulKernel(plantest.Size{M: 16, K: 1024, N: 500, BM: 16, BK: 64, BN: 128})
	tall.Name = "matmul_tall"
	p.Kernels = append(p.Kernels, tall)
	second, third := p.Steps[0], p.Steps[0]
	second.Name, second.Kernel, second.Grid = "layers.0.out", 1, 4
	third.Name = "layers.1.proj"
	p.Steps = append(p.Steps, second, third)
	p.Notes = []string{"the experts are spread evenly"}
	p.Memories[0].Size = 1 << 20
	tr := &trace.Trace{}
	r, err := clock.Run(p, plantest.Chip(), clock.Options{Trace: tr, TraceSteps: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	return p, r, tr
}

func TestText(t *testing.T) {
	p, r, tr := sample(t)
	c := plantest.Chip()
	var b bytes.Buffer
	if err := WriteText(&b, New(p, c, r), TextOptions{Roofline: true, Assumed: true}); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	if err := WriteText(&b, New(p, c, r), TextOptions{Rows: 1}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.Bytes())
	b.Reset()
	if err := WriteKernel(&b, p, r, 0, bind.Vocab(c)); err != nil {
		t.Fatal(err)
	}
	golden(t, "kernel.txt", b.Bytes())
	b.Reset()
	if err := WriteTimeline(&b, tr, TimelineOptions{Rows: 24}); err != nil {
		t.Fatal(err)
	}
	if err := WriteTimeline(&b, tr, TimelineOptions{Step: 2}); err != nil {
		t.Fatal(err)
	}
	golden(t, "timeline.txt", b.Bytes())
}

// TestSums holds that parts sum up to the whole, and that JSON has what text has.
func TestSums(t *testing.T) {
	p, res, _ := sample(t)
	r := New(p, plantest.Chip(), res)
	for name, groups := range map[string][]Group{"kernels": r.Kernels, "places": r.Places} {
		seconds, fraction, launches := 0.0, 0.0, 0
		for _, g := range groups {
			seconds += g.Seconds
			fraction += g.Fraction
			launches += g.Launches
		}
		if math.Abs(seconds-r.Seconds) > 1e-12 || math.Abs(fraction-1) > 1e-9 || launches != 3 {
			t.Errorf("%s: %g s of %g, %g, %d launches", name, seconds, r.Seconds, fraction, launches)
		}
	}
	if len(r.Places) != 2 || r.Places[0].Name != "layers.*.proj" || r.Places[0].Launches != 2 {
		t.Errorf("places: %+v", r.Places)
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Seconds float64
		BoundBy map[string]float64 `json:"bound_by"`
		Over    int64              `json:"over_capacity_bytes"`
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range got.BoundBy {
		sum += f
	}
	if got.Seconds != r.Seconds || math.Abs(sum-1) > 1e-9 || got.BoundBy["matrix"] != r.BoundBy[0].Fraction || got.Over <= 0 {
		t.Errorf("%+v", got)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Seconds(0), "0 s"}, {Seconds(1.5e-8), "15 ns"}, {Seconds(2.34567e-5), "23.5 us"}, {Seconds(0.123456), "123 ms"}, {Seconds(70), "70.0 s"},
		{Bytes(999), "999 B"}, {Bytes(1.6e12), "1.60 TB"}, {Flops(353.9e12), "354 TFLOPS"}, {starred("layers.12.mlp.w13"), "layers.*.mlp.w13"}, {starred("a..7"), "a..*"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// TestEmpty holds that a plan without steps is shown, too.
func TestEmpty(t *testing.T) {
	p := plantest.Matmul(plantest.Size{M: 1, K: 1, N: 1, BM: 16, BK: 16, BN: 16})
	p.Steps = nil
	r, err := clock.Run(p, plantest.Chip(), clock.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteText(&b, New(p, plantest.Chip(), r), TextOptions{Roofline: true}); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&b, New(p, plantest.Chip(), r)); err != nil {
		t.Fatal(err)
	}
}
