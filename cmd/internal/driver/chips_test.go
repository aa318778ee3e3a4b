package driver

import (
	"context"
	"math"
	"testing"

	"apogee/targets/chip"
	"apogee/targets/chips"
	"apogee/targets/sim/clock"
)

// TestEveryChip: every shipped chip compiles and times a whole DeepSeek-V3, layer by layer as its config says, and a small checkpoint.
// What comes out is a time that the chip's bandwidth allows.
func TestEveryChip(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles two models for every chip")
	}
	ctx := context.Background()
	for _, x := range []struct {
		model, entry string
	}{{"../../../examples/deepseek-v3/config.json", "decode"}, {"../../../examples/r1-nano", "prefill"}, {"../../../examples/r1-nano", "decode"}} {
		for _, name := range chips.List() {
			t.Run(x.entry+"/"+name+"/"+x.model[len("../../../examples/"):], func(t *testing.T) {
				t.Parallel()
				m, err := Open(x.model)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				c, err := chip.Load(name)
				if err != nil {
					t.Fatal(err)
				}
				built, err := m.Compile(ctx, Request{Entry: x.entry, Chip: c})
				if err != nil {
					t.Fatal(err)
				}
				r, err := clock.Run(built.Plan, c, clock.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if s := r.Seconds; !(s > 0) || math.IsInf(s, 0) || s < r.MemoryBytes/c.Global().Bandwidth.Value*0.99 {
					t.Errorf("%g s for %g B at %g B/s", s, r.MemoryBytes, c.Global().Bandwidth.Value)
				}
			})
		}
	}
}
