package chip

import (
	"fmt"
	"math"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// This file holds rates against one another and against the peaks that are quoted.

const (
	// peakClose is how far a quoted peak may be from cores × rate × clock: vendors round to three digits.
	peakClose = 0.02
	// peakLoose is the same where one of the factors is assumed: it was chosen to fit, and fits no better.
	peakLoose = 0.05
	// peakAbsurd is where a difference is no rounding, boost or choice any more.
	peakAbsurd = 0.25
)

// checkPeaks holds the quoted peaks against clock × cores × rate, at the level they are quoted for.
func checkPeaks(c *Chip, l *diag.List) {
	for _, p := range c.Peaks {
		q := p.FlopsPerSecond
		if tops := len(q.Written) > 4 && q.Written[len(q.Written)-4:] == "TOPS"; tops != integer(p.Format) {
			word := "TFLOPS"
			if integer(p.Format) {
				word = "TOPS"
			}
			l.Warnf(codeTops, q.Range, "the peak of %s is not quoted in this unit", p.Format).Expect(word, q.Written).
				Helpf("either the unit or the format is that of another row of the data sheet")
		}
		got := c.Peak(p.Format)
		if got == 0 {
			l.Warnf(codePeak, q.Range, "a peak is quoted for %s, but there is no rate for it", p.Format).
				Helpf("add to a matrix engine: rate %s, %s -> %s NUMBER flop/cycle tile MxKxN", p.Format, p.Format, accOf(p.Format))
			continue
		}
		_, r, _ := c.Matrix(p.Format, p.Format)
		switch p.Of {
		case "die":
			if c.Dies == nil {
				l.Errorf(codeLevel, p.Range, "a peak of a die, but the chip has one").Helpf("state dies, or take the words away")
				continue
			}
			got /= float64(c.Dies.Count)
		case "card":
			got *= float64(c.Devices)
		}
		if p.Clock.Stated() {
			got *= p.Clock.Value / c.Clock.Value
		}
		quoted := q.Value
		if p.Sparse {
			quoted /= 2
		}
		ratio := quoted / got
		close := peakClose
		for _, f := range []Quantity{c.Clock, c.Cores, r.FlopsPerCycle} {
			if f.Confidence == Assumed {
				close = peakLoose
			}
		}
		for _, x := range c.Contested {
			if x.Fact == "clock" || x.Fact == "cores" || x.Fact == "peak "+p.Format.String() {
				close = max(close, peakLoose)
			}
		}
		if math.Abs(ratio-1) <= close {
			continue
		}
		d := &diag.Diagnostic{}
		if math.Abs(ratio-1) > peakAbsurd {
			d = l.Errorf(codePeak, q.Range, "the rates do not give this peak")
		} else {
			d = l.Warnf(codePeak, q.Range, "the rates do not give this peak")
		}
		d.Expect(fmt.Sprintf("%.4g %s", got/1e12, map[bool]string{true: "TOPS", false: "TFLOPS"}[integer(p.Format)]), q.Written).
			Note(r.FlopsPerCycle.Range, "%.6g flop/cycle × %.6g cores × %.6g GHz", r.FlopsPerCycle.Value, c.Cores.Value, c.Clock.Value/1e9)
		d.Helpf("%s", c.whyPeak(p, ratio, quoted))
	}
}

// accOf is the usual accumulator of a format.
func accOf(f format.Format) format.Format {
	switch {
	case integer(f):
		return format.I32
	case f == format.F64:
		return format.F64
	}
	return format.F32
}

// whyPeak guesses from a quoted peak's ratio to the rates what went wrong.
func (c *Chip) whyPeak(p Peak, ratio, quoted float64) string {
	near := func(x float64) bool { return math.Abs(ratio/x-1) < 0.06 }
	row := ""
	for _, f := range format.All() {
		if other := c.Peak(f); row == "" && f != p.Format && other > 0 && math.Abs(quoted/other-1) < peakClose {
			row = fmt.Sprintf("; or the row of another format: it is the peak of %s by the rates", f)
		}
	}
	switch {
	case c.Devices > 1 && near(float64(c.Devices)):
		return "it is that of all devices of the card: write of card behind it"
	case c.Dies != nil && near(float64(c.Dies.Count)):
		return "it is that of all dies: write of device behind it"
	case c.Dies != nil && near(1/float64(c.Dies.Count)):
		return "it is that of one die: write of die behind it"
	}
	switch {
	case near(2):
		return "twice: a figure with sparsity is no rate here (write sparse behind it); one of a card of two devices says: of card; " +
			"and a multiply-add counts as two in flop/cycle" + row
	case near(0.5):
		return "half: is the rate one with sparsity, does it count a multiply-add twice over, or are the cores those of two dies and the peak that of one (of die)?" + row
	case near(4):
		return "four times: with sparsity and of two dies, or the row of a format a quarter as wide" + row
	case near(8), near(0.125):
		return "eight times off: bits for bytes, or lanes for cores?"
	case row != "":
		return row[len("; or "):]
	case ratio > 900 && ratio < 1100, ratio > 1/1100.0 && ratio < 1/900.0:
		return "a thousand times off: the prefix of a unit"
	case ratio > 0.6 && ratio < 1.7:
		return fmt.Sprintf("at %.4g GHz the rates give it: if it was rated at that clock, write: at %.4g GHz; if sources contradict one another, "+
			"keep one and name the other under contested", c.Clock.Value*ratio/1e9, c.Clock.Value*ratio/1e9)
	}
	return "peak = flop/cycle × cores × clock: one of the three is not what the data sheet means"
}

// checkRatios looks at the rates of formats that matrix units share multipliers between: half the bits are as fast or twice as
// fast, save for integers beside floats, which may be up to four times.
func checkRatios(c *Chip, l *diag.List) {
	ratio := func(narrow, wide format.Format, allowed ...float64) {
		on, n, ok1 := c.Matrix(narrow, narrow)
		ow, w, ok2 := c.Matrix(wide, wide)
		if !ok1 || !ok2 || on != ow { // other engines share no multipliers: a chip may have a matrix unit for integers only
			return
		}
		q := n.FlopsPerCycle.Value / w.FlopsPerCycle.Value
		var words string
		for i, a := range allowed {
			if math.Abs(q/a-1) < 0.06 {
				return
			}
			if i > 0 {
				words += " or "
			}
			words += fmt.Sprint(a)
		}
		report := l.Warnf
		if q < 0.5 || q > 8 {
			report = l.Errorf
		}
		d := report(codeRatio, n.Range, "%s runs at %.3g times the rate of %s", narrow, q, wide).
			Expect(words+" times", fmt.Sprintf("%.3g", q)).Note(w.Range, "the rate of %s", wide)
		switch {
		case q > allowed[len(allowed)-1]:
			d.Helpf("is the rate of %s one with sparsity, or that of %s one of a slower unit?", narrow, wide)
		case q < 1:
			d.Helpf("is the rate of %s one with sparsity, or are the two swapped?", wide)
		}
	}
	ratio(format.BF16, format.F16, 1)
	for _, f8 := range []format.Format{format.F8E4M3FN, format.F8E5M2, format.F8E4M3FNUZ, format.HIF8} {
		ratio(f8, format.BF16, 1, 2)
		ratio(f8, format.F16, 1, 2)
	}
	ratio(format.I8, format.F16, 1, 2, 4)
	ratio(format.I8, format.BF16, 1, 2, 4)
	ratio(format.I8, format.F8E4M3FN, 0.5, 1)
	ratio(format.I4, format.I8, 1, 2)
	ratio(format.F4E2M1, format.F8E4M3FN, 1, 2)
	ratio(format.F16, format.TF32, 1, 2, 4)
	ratio(format.F16, format.HF32, 1, 2, 4)
}

// checkSteps demands that a matrix rate is a whole number of steps of its tile a cycle, or a step a whole number of cycles.
func checkSteps(c *Chip, l *diag.List) {
	for _, e := range c.Engines {
		for i := range e.Matrix {
			r := &e.Matrix[i]
			if r.FlopsPerCycle.Confidence == Assumed {
				continue
			}
			steps := r.FlopsPerCycle.Value / float64(2*r.M*r.K*r.N)
			if steps < 1 {
				steps = 1 / steps
			}
			if math.Abs(steps-math.Round(steps)) > 0.02 {
				l.Warnf(codeStep, r.FlopsPerCycle.Range, "%g flop/cycle are %.4g steps of %dx%dx%d", r.FlopsPerCycle.Value,
					r.FlopsPerCycle.Value/float64(2*r.M*r.K*r.N), r.M, r.K, r.N).
					Helpf("a step of this tile is %d flop; a rate worked out from a peak rounds to a power of two of them", 2*r.M*r.K*r.N)
			}
		}
	}
}

// checkAccumulate looks whether the rules of a narrow accumulator fit the formats and the tile.
func checkAccumulate(c *Chip, l *diag.List) {
	for _, e := range c.Engines {
		for i := range e.Matrix {
			r := &e.Matrix[i]
			if r.Promote > 0 && r.Promote%r.K != 0 {
				l.Warnf(codeStep, r.Range, "sums are promoted every %d of K, which is no whole number of steps of %d", r.Promote, r.K).
					Expect(fmt.Sprintf("a multiple of %d", r.K), fmt.Sprint(r.Promote))
			}
			if most := precision(r.Acc); r.AccBits > most && most > 0 {
				l.Warnf(codeStep, r.Range, "the accumulator keeps %d bits, and %s has %d", r.AccBits, r.Acc, most).
					Helpf("leave accumulate out where it keeps all")
			}
			if r.ScaleBlock > 0 && r.ScaleBlock%min(r.K, r.ScaleBlock) != 0 {
				l.Warnf(codeStep, r.Range, "a block of %d scaled products is no whole number of steps of %d", r.ScaleBlock, r.K)
			}
		}
	}
}

// precision is how many significant bits a float format has; 0 for others.
func precision(f format.Format) int {
	switch f {
	case format.F64:
		return 53
	case format.F32:
		return 24
	case format.F16:
		return 11
	case format.BF16:
		return 8
	}
	return 0
}

// checkTiles demands that the formats of one matrix unit take as many steps of their tiles a cycle: half the bits are twice as many
// products along K.
func checkTiles(c *Chip, l *diag.List) {
	shared := map[format.Format]bool{format.F16: true, format.BF16: true, format.I8: true, format.I4: true, format.TF32: true,
		format.F8E4M3FN: true, format.F8E5M2: true, format.HIF8: true, format.F4E2M1: true}
	for _, e := range c.Engines {
		var first *MatrixRate
		for i := range e.Matrix {
			r := &e.Matrix[i]
			if !shared[r.A] || r.A != r.B || r.FlopsPerCycle.Confidence == Assumed {
				continue
			}
			if first == nil {
				first = r
				continue
			}
			steps := func(r *MatrixRate) float64 { return r.FlopsPerCycle.Value / float64(2*r.M*r.K*r.N) }
			if q := steps(r) / steps(first); q > 1.9 || q < 0.53 {
				l.Warnf(codeStep, r.Range, "%s takes %.3g steps of its tile a cycle, %s %.3g", r.A, steps(r), first.A, steps(first)).
					Note(first.Range, "the tile of %s", first.A).
					Helpf("the rate or the tile is that of another format: half the bits are twice as many products along K, in the same steps")
			}
		}
	}
}

// checkReached holds what was measured against the peaks: nothing runs above its peak.
func checkReached(c *Chip, l *diag.List) {
	var peak float64
	for _, r := range c.Reached {
		what := ""
		switch {
		case r.What[:4] == "peak":
			f, _ := format.Parse(r.What[5:])
			peak, what = c.Peak(f), "the rates"
			for _, p := range c.Peaks {
				if p.Format == f && p.Of == "device" && !p.Sparse && p.FlopsPerSecond.Value < peak {
					peak, what = p.FlopsPerSecond.Value, "the quoted peak"
				}
			}
		case r.What[:4] == "memo":
			if m := c.Memory(r.What[7:]); m != nil {
				peak, what = m.Bandwidth.Value, "the memory's bandwidth"
			}
		default:
			for _, k := range c.Links {
				if "link "+k.Name == r.What {
					peak, what = k.Bandwidth.Value, "the link's bandwidth"
				}
			}
		}
		switch {
		case what == "":
			l.Errorf(codeDerate, r.Range, "there is no %s that could have been measured", r.What)
		case peak == 0:
			l.Warnf(codeReached, r.Range, "%s was measured, but nothing here does it", r.What)
		case r.Value.Value > peak*1.005:
			l.Errorf(codeReached, r.Value.Range, "%s was measured above %s", r.Value.Written, what).
				Expect(fmt.Sprintf("at most %.4g T%s", peak/1e12, r.Value.Unit), fmt.Sprintf("%.4g T%s", r.Value.Value/1e12, r.Value.Unit)).
				Helpf("the hardware that was measured is another variant than the one described: choose the variant whose peak is above it, " +
					"and name the figures of others under contested")
		}
	}
	for _, d := range c.Derates {
		if d.Factor.Confidence != Measured && d.Factor.Confidence != Published || strings.HasSuffix(d.Factor.Source, FitMark) {
			continue // a fit finds the part of the very number that stands in the file
		}
		if q := c.peakOf(d.What); q.Confidence == Assumed && d.Factor.Range.Source == c.File { // not one that an extended file measured
			l.Warnf(codeReached, d.Factor.Range, "a measured part of a peak that is assumed").Note(q.Range, "the peak").
				Helpf("a ratio to a peak that was not disclosed gives no rate: find the peak the ratio was printed against, or mark the part as assumed")
		}
	}
}

// FitMark ends the source of derates that were fitted to the numbers of the file they stand in.
const FitMark = "by apogee chip fit"

// peakOf gives the number that a derate is a part of.
func (c *Chip) peakOf(what string) (q Quantity) {
	for _, m := range c.Memories {
		if what == "memory "+m.Name {
			q = m.Rated
		}
	}
	for _, k := range c.Links {
		if what == "link "+k.Name {
			q = k.Bandwidth
		}
	}
	return q
}
