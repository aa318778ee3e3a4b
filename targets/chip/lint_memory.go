package chip

import (
	"fmt"
	"math"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// This file holds sizes and bandwidths against one another and against what accelerators have.

// checkLevels looks whether die, device and card go together.
func checkLevels(c *Chip, l *diag.List) {
	if d := c.Dies; d != nil && !d.PerDie {
		if n := c.Cores.Value / float64(d.Count); n != math.Trunc(n) {
			l.Warnf(codeLevel, c.Cores.Range, "%g cores do not divide among %d dies", c.Cores.Value, d.Count).
				Helpf("if they are those of one die, write numbers die").Note(d.Range, "the dies")
		}
	}
}

// checkBandwidths holds what memories give against what the cores can take: the smaller counts.
func checkBandwidths(c *Chip, l *diag.List) {
	g := c.Global()
	if g == nil || !g.Rated.Stated() || c.Cores.Value == 0 {
		return
	}
	a := g.Rated.Value / c.Cores.Value / c.Clock.Value // B/cycle and core
	whole := a >= 8 && math.Abs(a-math.Round(a)) < 1e-3*a && g.Rated.Confidence == Derived ||
		a >= 16 && math.Abs(a-math.Round(a)) < 1e-5*a && g.Rated.Confidence != Assumed &&
			math.Mod(c.Cores.Value*c.Clock.Value, 1e9) != 0 // where the factors are round, so are products
	switch {
	case g.CoreRate.Stated() && math.Abs(a/g.CoreRate.Value-1) < 5e-3:
		l.Warnf(codeCoreSide, g.Rated.Range, "%s is just what the cores can take, %s × %g cores × %g GHz", g.Rated.Written, g.CoreRate.Written,
			c.Cores.Value, c.Clock.Value/1e9).Note(g.CoreRate.Range, "what a core can take").
			Helpf("as bandwidth write the rating of the memory itself, or leave it out where none is known; the smaller of the two counts")
	case whole && !g.CoreRate.Stated():
		l.Warnf(codeCoreSide, g.Rated.Range, "%s is %.0f B/cycle × %g cores × %g GHz: what the cores can take, not what %s gives",
			g.Rated.Written, math.Round(a), c.Cores.Value, c.Clock.Value/1e9, g.Name).
			Helpf("write core_rate %.0f B/cycle for it, and as bandwidth the rating of the memory; the smaller of the two counts", math.Round(a))
	}
	take := 0.0
	seen := map[string]bool{}
	for _, p := range c.Paths {
		if p.From == g.Name && !seen[p.Engine] {
			seen[p.Engine] = true
			take += p.Rate.Value
		}
	}
	if take *= c.Cores.Value * c.Clock.Value; take > 0 && take < 0.9*g.Bandwidth.Value {
		l.Warnf(codeCoreSide, g.Bandwidth.Range, "all paths out of %s together take less than it gives", g.Name).
			Expect(fmt.Sprintf("paths of %.4g GB/s or more", g.Bandwidth.Value/1e9), fmt.Sprintf("%.4g GB/s", take/1e9)).
			Helpf("a path's rate is of one core: B/cycle × cores × clock")
	}
	for _, m := range c.Memories {
		if !m.Is(RoleCache) || m.Caches != g.Name {
			continue
		}
		if m.Bandwidth.Stated() && m.Bandwidth.Value < g.Bandwidth.Value {
			l.Warnf(codeCacheRate, m.Bandwidth.Range, "cache %s is slower than the memory behind it", m.Name).
				Expect("at least "+g.Bandwidth.Written, m.Bandwidth.Written).Note(g.Bandwidth.Range, "that memory's bandwidth")
		}
		if m.Latency.Stated() && g.Latency.Stated() && m.Latency.Value > g.Latency.Value {
			l.Warnf(codeCacheRate, m.Latency.Range, "cache %s answers later than the memory behind it", m.Name).
				Expect("at most "+g.Latency.Written, m.Latency.Written).Note(g.Latency.Range, "that memory's latency")
		}
		if m.Size.Value >= g.Size.Value {
			l.Warnf(codeSize, m.Size.Range, "cache %s is no smaller than the memory behind it", m.Name).
				Expect("less than "+g.Size.Written, m.Size.Written)
		}
	}
}

// checkSizes looks for decimal units on memories that come in powers of two.
func checkSizes(c *Chip, l *diag.List) {
	for _, m := range c.Memories {
		if m.Scope == Core && m.Size.Stated() && math.Mod(m.Size.Value, 256) != 0 {
			kib := m.Size.Value / 1000
			d := l.Warnf(codeSize, m.Size.Range, "%s is no whole number of lines: memories of a core are counted in KiB", m.Name)
			if kib == math.Trunc(kib) {
				d.Expect(fmt.Sprintf("%g KiB, if that is meant", kib), m.Size.Written)
			}
		}
	}
}

// checkRanges looks for numbers that no accelerator has. The bounds are two to four times beyond the chips of the field.
func checkRanges(c *Chip, l *diag.List) {
	odd := func(q Quantity, what string, got, lo, hi float64, unit, help string) {
		if !q.Stated() || got >= lo && got <= hi {
			return
		}
		l.Warnf(codeField, q.Range, "%s of %.3g %s", what, got, unit).Expect(fmt.Sprintf("%g to %g %s", lo, hi, unit), q.Written).Helpf("%s", help)
	}
	odd(c.Clock, "a clock", c.Clock.Value/1e9, 0.2, 6, "GHz", "is the unit MHz, or is it a clock of the memory?")
	odd(c.Cores, "a number of cores", c.Cores.Value, 1, 1024, "cores",
		"a core owns its engines and memories: a multiprocessor or compute unit, not a lane")
	odd(c.Launch, "a launch", c.Launch.Value*1e6, 0.1, 200, "us", "it is the time between two kernels that are both queued")
	odd(c.Barrier, "a barrier", c.Barrier.Value*1e6, 0.02, 200, "us", "it is over all cores inside a kernel")
	odd(c.SyncLatency, "a signal between queues", c.SyncLatency.Value, 0, 5000, "cycles", "is the unit ns?")
	odd(c.Configure, "a configuration", c.Configure.Value*1e6, 0, 1e6, "us", "it is for one kernel")
	for _, m := range c.Memories {
		odd(m.Latency, "a latency of "+m.Name, m.Latency.Value*1e9, 0.2, 5000, "ns", "is the unit cycles, or us for ns?")
	}
	for _, p := range c.Paths {
		odd(p.Rate, "a rate from "+p.From+" to "+p.To, p.Rate.Value, 0.5, 8192, "B/cycle", "it is of one core: B/s / (cores × clock)")
		odd(p.Startup, "a start-up from "+p.From+" to "+p.To, p.Startup.Value, 0, 20000, "cycles", "is the unit ns?")
	}
	for _, d := range c.Derates {
		if !strings.HasPrefix(d.What, "latency") && !strings.HasPrefix(d.What, "launch") {
			odd(d.Factor, "a derate of "+d.What, 100*d.Factor.Value, 20, 100, "%", "a part so small is another limit than this one: a peak with sparsity, another clock, a wrong rate")
		}
	}
	g := c.Global()
	if g == nil {
		return
	}
	odd(g.Size, "a memory", g.Size.Value/1e9, 1, 4096, "GB", "is the prefix right, and is it the memory of one device?")
	bw := g.Bandwidth
	odd(bw, "a bandwidth of memory", bw.Value/1e9, 5, 20000, "GB/s", "are these bits a second (Gb/s), or one channel?")
	if bw.Value > 0 {
		odd(bw, "a time to read the whole memory once", g.Size.Value/bw.Value*1e3, 12, 20000, "ms",
			"too little: bits taken for bytes, or the bandwidth of several devices beside the memory of one; too much: the bandwidth of one channel")
	}
	best := 0.0
	for _, f := range []format.Format{format.F16, format.BF16} {
		best = max(best, c.Peak(f))
	}
	if best > 0 && bw.Value > 0 {
		odd(bw, "a machine balance", best/bw.Value, 4, 1200, "flop/B in 16 bits",
			"peak and bandwidth are of different things: die against card, sparse against dense, bits against bytes")
	}
	if best > 0 && c.Power.Stated() {
		odd(c.Power, "an efficiency", best/c.Power.Value/1e12*float64(c.Devices), 0.02, 8, "TFLOPS/W in 16 bits", "is it the power of a card, a server, a chip?")
	}
	for _, e := range c.Engines {
		if r := e.Rate(format.F32, Basic); r != nil {
			odd(r.ElementsPerCycle, "a vector unit", r.ElementsPerCycle.Value, 1, 4096, "f32 elements a cycle",
				"the rate is of one unit of one core")
		}
	}
}
