package exec

import (
	"context"
	"errors"
	"math/rand"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

// TestTrace runs products again and again on one machine, with other inputs each time: the results are those of a new machine, whatever the
// number of workers, and the runs after the first go by traces.
func TestTrace(t *testing.T) {
	shapes := map[string]gemmShape{
		"loongson ragged": gemms["loongson"].sized(200, 300, 500),
		"h100 ragged":     gemms["h100"].sized(130, 260, 777),
		"ascend ragged":   gemms["ascend"].sized(200, 300, 500),
		"loongson":        gemms["loongson"].sized(192, 256, 512),
		"h100":            gemms["h100"].sized(256, 256, 512),
		"ascend":          gemms["ascend"].sized(256, 256, 512),
		"ascend one row":  gemms["ascend"].sized(1, 512, 1024),
	}
	for _, chip := range []string{"ascend", "h100"} { // h100's tensor cores keep few bits of a sum
		s := gemms[chip].sized(100, 200, 900)
		s.f = format.BF16
		if chip == "h100" {
			s.engine = "tensor"
		}
		shapes[chip+" bf16"] = s
	}
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewSource(7))
			b := gemmPlan(t, s)
			ws := weights{"w": random(t, r, s.f, s.n, s.k)}
			for _, workers := range []int{1, 2} {
				m, err := New(b.p, b.c, ws, Options{Workers: workers})
				if err != nil {
					t.Fatal(err)
				}
				for run := range 4 {
					in := map[string]*tensor.Tensor{"x": random(t, r, s.f, s.m, s.k)}
					got, err := m.Run(context.Background(), in)
					if err != nil {
						t.Fatal(err)
					}
					fresh, err := New(b.p, b.c, ws, Options{Workers: 1})
					if err != nil {
						t.Fatal(err)
					}
					want, err := fresh.Run(context.Background(), in)
					if err != nil {
						t.Fatal(err)
					}
					if ok, _ := got["y"].Equal(want["y"]); !ok {
						t.Fatalf("%d workers, run %d: another result than a new machine's", workers, run)
					}
				}
				for id, x := range m.traces[0] {
					if x == nil || x == noTrace || len(x.effects) == 0 {
						t.Errorf("%d workers: core %d left no trace", workers, id)
						continue
					}
					for _, e := range x.effects {
						if e.kind != effectSum && gemms[name].chip != "" {
							t.Errorf("%d workers: core %d does more than whole products", workers, id)
						}
					}
				}
			}
		})
	}
}

// TestTraceLimits checks what is not traced: kernels that go by data, runs that somebody watches, and what a machine has no room for. A run by
// traces can be stopped.
func TestTraceLimits(t *testing.T) {
	product, read := instr{op: plan.Mma}, instr{op: plan.LoadScalar}
	for _, c := range []struct {
		code []instr
		want bool
	}{{[]instr{product}, true}, {[]instr{product, read}, false}, {nil, false}} {
		if got := traceable(c.code); got != c.want {
			t.Errorf("a kernel of %d instructions: traceable is %v", len(c.code), got)
		}
	}
	s := gemms["ascend"].sized(128, 256, 512)
	r := rand.New(rand.NewSource(8))
	b := gemmPlan(t, s)
	ws := weights{"w": random(t, r, s.f, s.n, s.k)}
	in := map[string]*tensor.Tensor{"x": random(t, r, s.f, s.m, s.k)}
	for _, opt := range []Options{{Guard: true}, {Order: atOnce(b.queue("scalar"))}, {}} {
		m, err := New(b.p, b.c, ws, opt)
		if err != nil {
			t.Fatal(err)
		}
		if !opt.Guard && opt.Order == nil {
			m.traceLeft.Store(0)
		}
		for range 2 {
			if _, err := m.Run(context.Background(), in); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range m.traces[0] {
			if x != nil && x != noTrace {
				t.Errorf("guard %v, order %v: a trace was kept", opt.Guard, opt.Order != nil)
			}
		}
	}
	m, err := New(b.p, b.c, ws, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Run(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Run(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was cancelled: %v", err)
	}
}
