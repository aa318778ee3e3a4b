package clock_test

import (
	"math"
	"testing"

	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
	"apogee/targets/sim/clock"
)

// TestWords holds that each word of a chip file about how it executes changes a time, by what it says: in cycles of 1 ns.
func TestWords(t *testing.T) {
	num := func(v float64) chip.Quantity { return chip.Quantity{Value: v, Confidence: chip.Assumed} }
	move := func(b *plantest.Builder) {
		b.Move(plantest.In, plantest.PathUB, tile(plantest.UB, 0, format.F32, 1, 1024, 4096), tile(plantest.GM, 0, format.F32, 1, 1024, 4096))
	}
	exp := func(rows, cols int64) func(b *plantest.Builder) {
		return func(b *plantest.Builder) {
			b.Vec(plan.VExp, 0, tile(plantest.UB, 0, format.F32, rows, cols, cols*4), tile(plantest.UB, 0, format.F32, rows, cols, cols*4))
		}
	}
	for _, c := range []struct {
		name  string
		steps int
		build func(b *plantest.Builder)
		set   func(c *chip.Chip)
		more  float64 // cycles more than without
		leans string  // an assumed number that the result says it leans on
	}{
		{"a spatial array is laid out once for launches of one kernel", 3, move, func(c *chip.Chip) { c.Configure = num(20e-6) }, 20000, "configure"},
		// 8 rows of 3 elements on two units: 12 a unit are a warp of 32, at 16 a cycle
		{"a warp is no shorter for few elements", 1, exp(8, 3), func(c *chip.Chip) { c.Width = num(32) }, 2 - 1, "width"},
		{"nor for a narrower warp by as much", 1, exp(8, 3), func(c *chip.Chip) { c.Width = num(16) }, 0, "width"},
		{"a wave of 64 wastes more", 1, exp(8, 3), func(c *chip.Chip) { c.Width = num(64) }, 4 - 1, "width"},
		{"width 1 wastes nothing", 1, exp(8, 3), func(c *chip.Chip) { c.Width = num(1) }, 0, "width"},
		// all of 4096 B cross at 2 x 10 B/cycle instead of 64, and wait 100 cycles longer
		{"memory of the other die", 1, move, func(c *chip.Chip) {
			c.Dies = &chip.Dies{Count: 2, Bandwidth: num(10e9), Latency: num(100e-9), Local: num(0)}
		}, 4096/20.0 - 64 + 100, "dies: bandwidth"},
		{"half of it", 1, move, func(c *chip.Chip) {
			c.Dies = &chip.Dies{Count: 2, Bandwidth: num(10e9), Latency: num(100e-9), Local: num(0.5)}
		}, 4096/40.0 - 64 + 50, "dies: local"},
		{"none of it", 1, move, func(c *chip.Chip) {
			c.Dies = &chip.Dies{Count: 2, Bandwidth: num(10e9), Latency: num(100e-9), Local: num(1)}
		}, 0, "dies: local"},
	} {
		b := builder()
		c.build(b)
		p := kernel(b, c.steps, 1)
		before := run(t, p, clock.Options{})
		with := plantest.Chip()
		c.set(with)
		after, err := clock.Run(p, with, clock.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := (after.Seconds - before.Seconds) * 1e9; math.Abs(got-c.more) > 0.01 {
			t.Errorf("%s: %.2f cycles more, want %.2f", c.name, got, c.more)
		}
		said := false
		for _, a := range after.Assumed {
			said = said || a.Name == c.leans
		}
		if !said {
			t.Errorf("%s: nothing says that the time leans on %s: %+v", c.name, c.leans, after.Assumed)
		}
	}
}
