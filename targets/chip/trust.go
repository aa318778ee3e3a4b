package chip

import (
	"fmt"
	"math"
	"strings"

	"apogee/ir/format"
)

// Grade says how far the times of a chip can be believed.
type Grade uint8

const (
	// NotCredible: a rate that decides nearly every time is a guess, or most of what times lean on is.
	NotCredible Grade = iota + 1
	// Fair: the rates are known, much of the memory system and of the costs besides is not.
	Fair
	// Good: engines, memories and their ways are known.
	Good
)

var gradeNames = []string{"", "not credible", "fair", "good"}

// String gives the word.
func (g Grade) String() string { return nameOf(gradeNames, int(g)) }

// Leaning is one thing that times lean on, and how well it is known.
type Leaning struct {
	// Name is such as "compute" or "memory bandwidth".
	Name string
	// Weight is the part of the times that lean on it, as [Chip.Leanings] sums up; Known is from 0, a guess, to 1, published.
	Weight, Known float64
}

// known is what a number of a confidence counts.
func known(k Confidence) float64 {
	switch k {
	case Published, Measured:
		return 1
	case Derived:
		return 0.9
	case Reported:
		return 0.7
	}
	return 0
}

// Leanings lists what the times of a model lean on, with weights that sum up to 1. The weights are those of decode and prefill of a large
// model: decode reads weights (memory bandwidth), prefill multiplies (compute), both are tiled by the memories of a core
// and cut into kernels.
//
// Compute counts as known as the weakest of rate, cores and clock; or, where the vendor quotes the peak that these three give, as that
// quote, since only their product matters then. A number about which sources contradict one another counts as a report.
func (c *Chip) Leanings() []Leaning {
	contested := map[string]bool{}
	for _, x := range c.Contested {
		contested[x.Fact] = true
	}
	of := func(name string, q Quantity) float64 {
		k := known(q.Confidence)
		if contested[name] {
			k = math.Min(k, known(Reported))
		}
		return k
	}
	var list []Leaning
	add := func(name string, weight float64, each ...float64) {
		sum := 0.0
		for _, k := range each {
			sum += k
		}
		if len(each) > 0 {
			sum /= float64(len(each))
		}
		list = append(list, Leaning{name, weight, sum})
	}
	// The formats that models multiply in share a matrix unit: the best known says how fast it is.
	compute := 0.0
	for _, f := range []format.Format{format.BF16, format.F16, format.F8E4M3FN, format.I8, format.F32} {
		_, r, ok := c.Matrix(f, f)
		if !ok {
			continue
		}
		compute = math.Max(compute, math.Min(of("cores", c.Cores), math.Min(of("clock", c.Clock), known(r.FlopsPerCycle.Confidence))))
		for _, p := range c.Peaks {
			if p.Format == f {
				compute = math.Max(compute, of("peak "+f.String(), p.FlopsPerSecond))
			}
		}
	}
	bandwidth := 0.0
	if g := c.Global(); g != nil {
		bandwidth = of("memory "+g.Name+": bandwidth", g.Bandwidth)
	}
	for _, r := range c.Reached { // what was reached bounds the peak from below
		if c.Global() != nil && r.What == "memory "+c.Global().Name {
			bandwidth = math.Max(bandwidth, reachedKnown)
		} else if strings.HasPrefix(r.What, "peak ") {
			compute = math.Max(compute, reachedKnown)
		}
	}
	add("compute", 0.25, compute)
	g := c.Global()
	if g == nil {
		return list
	}
	add("memory bandwidth", 0.3, bandwidth)
	add("memory size", 0.05, of("memory "+g.Name+": size", g.Size))
	add("cores and clock", 0.1, of("cores", c.Cores), of("clock", c.Clock))
	var sizes, ways []float64
	for _, m := range c.Memories {
		switch {
		case m.Is(RoleCache):
			ways = append(ways, of("memory "+m.Name+": size", m.Size))
			if m.Bandwidth.Stated() {
				ways = append(ways, of("memory "+m.Name+": bandwidth", m.Bandwidth))
			}
		case m != g:
			sizes = append(sizes, of("memory "+m.Name+": size", m.Size))
		}
	}
	add("memories of a core", 0.1, sizes...)
	for _, p := range c.Paths {
		ways = append(ways, known(p.Rate.Confidence))
	}
	add("caches and paths", 0.1, ways...)
	var lanes []float64
	for _, e := range c.Engines {
		if r := e.Rate(format.F32, Basic); r != nil {
			lanes = append(lanes, known(r.ElementsPerCycle.Confidence))
		}
	}
	add("vector rates", 0.03, lanes...)
	add("launch and latency", 0.04, known(c.Launch.Confidence), known(g.Latency.Confidence))
	var links []float64
	for _, k := range c.Links {
		links = append(links, known(k.Bandwidth.Confidence))
	}
	add("links", 0.03, links...)
	return list
}

// Grade says how far the times of the chip can be believed, and which part of what they lean on is known. It is good when nearly all
// is known, the caches and paths are not all guesses, and results were measured on the chip that the times can be held against, or
// caches and paths are published to the byte. It is not credible when less than half is known, or a guess decides the time
// of all reading or, unless much else is known, of all multiplying.
func (c *Chip) Grade() (Grade, float64) {
	by := map[string]float64{}
	sum := 0.0
	for _, x := range c.Leanings() {
		sum += x.Weight * x.Known
		by[x.Name] = x.Known
	}
	measured := len(c.Reached) > 0
	for _, f := range c.Facts {
		measured = measured || f.Confidence == Measured
	}
	ways := by["caches and paths"]
	switch {
	case sum < 0.45 || by["memory bandwidth"] == 0 || by["compute"] == 0 && sum < 0.55 && !measured || by["cores and clock"] == 0 && sum < 0.55:
		return NotCredible, sum
	case sum >= 0.65 && ways >= 0.2 && (measured || ways >= 0.7):
		return Good, sum
	}
	return Fair, sum
}

// reachedKnown is how well a rate is known of which only the part is that somebody reached.
const reachedKnown = 0.8

// Trust sums up in one line how far the description can be trusted: its grade, how many numbers have which confidence, and which of
// the assumed ones decide the speed of a model.
func (c *Chip) Trust() string {
	var count [Assumed + 1]int
	var matter []string
	for _, f := range c.Facts {
		count[f.Confidence]++
		if f.Confidence == Assumed && decides(f) {
			matter = append(matter, f.Name)
		}
	}
	var parts []string
	for k := Published; k <= Assumed; k++ {
		if count[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[k], k))
		}
	}
	grade, part := c.Grade()
	line := fmt.Sprintf("%s, %.0f %% of what times lean on is known; %d numbers: %s", grade, 100*part, len(c.Facts), strings.Join(parts, ", "))
	if len(matter) > 0 {
		line += "; assumed and decisive: " + strings.Join(matter, ", ")
	}
	return line
}
