package clock

import (
	"apogee/targets/chip"
)

// Link stands for the time between cards, which no launch has. It is not among the reasons that divide a run.
const Link = NumReasons

// spreads is how far, as a part of it, time that goes into a reason may be off on a chip whose number for it was measured. They are
// rounded up from what nine of ten rows of the accuracy study stay within; see docs/calibration.md.
var spreads = map[Reason]float64{
	Launch: 0.45, Memory: 0.22, Cache: 0.38, Path: 0.30, Startup: 0.35, Latency: 0.32, Matrix: 0.24, Vector: 0.35, Scalar: 0.35, Sync: 0.35,
	Link: 0.45,
}

// jitter is what any time may be off by, in s: from one run to the next, and the step of the clocks that benchmarks read.
const jitter = 0.8e-6

// doubt is by how much a spread grows with the confidence of the number behind it.
func doubt(k chip.Confidence) float64 {
	switch k {
	case chip.Published, chip.Measured:
		return 1
	case chip.Derived:
		return 1.1
	case chip.Reported:
		return 1.4
	}
	return 1.6
}

// behind gives the confidence of the number that time of a reason hangs on most: a measured derate settles it.
func behind(c *chip.Chip, r Reason) chip.Confidence {
	derated := func(what string) bool {
		for _, d := range c.Derates {
			if d.What == what && d.Factor.Confidence == chip.Measured {
				return true
			}
		}
		return false
	}
	mem := c.Global()
	cache := c.CacheOf(mem.Name)
	switch r {
	case Memory:
		if derated("memory " + mem.Name) {
			return chip.Measured
		}
		return mem.Bandwidth.Confidence
	case Cache:
		if cache == nil || derated("memory "+cache.Name) {
			return chip.Measured
		}
		return cache.Bandwidth.Confidence
	case Latency:
		if derated("latency "+mem.Name) || cache != nil && derated("latency "+cache.Name) {
			return chip.Measured
		}
		return mem.Latency.Confidence
	case Matrix, Vector:
		kind := chip.Matrix
		if r == Vector {
			kind = chip.Vector
		}
		best := chip.Assumed
		for _, e := range c.Engines {
			if e.Kind != kind {
				continue
			}
			if derated("engine " + e.Name) {
				return chip.Measured
			}
			for i := range e.Matrix {
				best = min(best, e.Matrix[i].FlopsPerCycle.Confidence)
			}
			for i := range e.Vector {
				best = min(best, e.Vector[i].ElementsPerCycle.Confidence)
			}
		}
		return best
	case Launch:
		if derated("launch") {
			return chip.Measured
		}
		return c.Launch.Confidence
	case Link:
		for _, l := range c.Links {
			if derated("link " + l.Name) {
				return chip.Measured
			}
		}
		return chip.Published
	}
	return chip.Published
}

// Spread gives the range in which a time lies in nine cases of ten, in s, from what it is made of, in s by reason.
func Spread(c *chip.Chip, by map[Reason]float64) (low, high float64) {
	total, off := 0.0, 0.0
	for r := Reason(0); r <= Link; r++ {
		total += by[r]
		off += by[r] * spreads[r] * doubt(behind(c, r))
	}
	w := off / max(total, 1e-30)
	return max(0, total/(1+w)-jitter), total*(1+w) + jitter
}

// Range is [Spread] of a run: the range in which its time lies in nine cases of ten.
func (r *Result) Range(c *chip.Chip) (low, high float64) { return Spread(c, r.By()) }

// By divides the time of a run among reasons, in s.
func (r *Result) By() map[Reason]float64 {
	by := map[Reason]float64{}
	for k := Reason(0); k < NumReasons; k++ {
		by[k] = r.Second(r.Total[k])
	}
	return by
}

// Main gives the reason with the greatest part.
func (t *LaneTime) Main() Reason {
	best := Launch
	for r := Reason(0); r < NumReasons; r++ {
		if t.By[r] > t.By[best] {
			best = r
		}
	}
	return best
}
