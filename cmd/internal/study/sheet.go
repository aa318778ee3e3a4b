package study

import (
	"apogee/targets/chip"
)

// Usual is what part of its peaks a chip reaches of which nothing was measured. The figures are rounded from what chips of several
// vendors reached that were measured; see docs/calibration.md. They stand in for derates, and a fit begins with them.
var Usual = struct{ Matrix, Memory, Link float64 }{
	Matrix: 0.85, // clocks fall under load, and instructions between products take issue slots
	Memory: 0.92, // refresh, and turning between reads and writes
	Link:   0.80, // headers and flow control
}

// Sheet is a chip as its data sheet has it: without the derates that were measured on it, and with the usual ones in their place.
func Sheet(c *chip.Chip) *chip.Chip {
	out := *c
	out.Derates = nil
	for _, d := range c.Derates {
		if k := d.Factor.Confidence; k != chip.Measured && k != chip.Derived {
			out.Derates = append(out.Derates, d)
		}
	}
	has := func(what string) bool {
		for _, d := range out.Derates {
			if d.What == what {
				return true
			}
		}
		return false
	}
	usual := func(what string, factor float64) {
		if !has(what) {
			out.Derates = append(out.Derates, chip.Derate{What: what,
				Factor: chip.Quantity{Value: factor, Confidence: chip.Assumed, Source: "usual of chips that were measured"}})
		}
	}
	for _, e := range c.Engines {
		if e.Kind == chip.Matrix {
			usual("engine "+e.Name, Usual.Matrix)
		}
	}
	usual("memory "+c.Global().Name, Usual.Memory)
	for _, l := range c.Links {
		usual("link "+l.Name, Usual.Link)
	}
	return &out
}

// withDerates is a chip with some derates replaced.
func withDerates(c *chip.Chip, set map[string]float64) *chip.Chip {
	out := *c
	out.Derates = nil
	for _, d := range c.Derates {
		if _, ok := set[d.What]; !ok {
			out.Derates = append(out.Derates, d)
		}
	}
	for _, what := range sortedKeys(set) {
		out.Derates = append(out.Derates, chip.Derate{What: what, Factor: chip.Quantity{Value: set[what], Confidence: chip.Measured, Source: "fitted"}})
	}
	return &out
}
