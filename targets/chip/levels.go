package chip

import (
	"fmt"
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// This file reads what data sheets quote at different levels and in different ways: die, device and card; dense and sparse;
// one direction and both; at another clock; and what else is said about a number.

func readPeak(c *cursor, in within) {
	p := Peak{Format: c.format(), Range: c.s.line()}
	name := "peak " + p.Format.String()
	c.number(&p.FlopsPerSecond, name, dimFlops)
	c.inRange(&p.FlopsPerSecond, math.SmallestNonzeroFloat64, math.MaxFloat64, "a number above 0")
	for !c.bad && len(c.pending) > 0 {
		switch {
		case c.acceptWord("dense"):
		case c.acceptWord("sparse"):
			p.Sparse = true
		case c.acceptWord("of"):
			p.Of = c.word("level", PeakOf)
		case c.acceptWord("at"):
			pend := c.pending
			c.pending = nil
			c.number(&p.Clock, name+": clock", dimHertz)
			c.inRange(&p.Clock, 1e6, 1e11, "1 MHz to 100 GHz")
			if len(c.pending) > 0 { // one clause for both
				c.pending = append(pend, c.pending...)
			} else if !c.bad {
				for _, q := range pend {
					q.q.Source, q.q.Confidence = p.Clock.Source, p.Clock.Confidence
					c.r.chip.Facts = append(c.r.chip.Facts, Fact{q.name, *q.q})
				}
			}
		default:
			c.clause()
			if len(c.pending) > 0 {
				return // finish reports it
			}
		}
	}
	if !c.bad && c.room(len(in.chip.Peaks), "peaks") {
		in.chip.Peaks = append(in.chip.Peaks, p)
	}
}

// oneWay reads a bandwidth of a link; one that is said to count both directions is halved.
func (c *cursor) oneWay(q *Quantity, name string) {
	c.positive(q, name, dimBytesPerSecond)
	switch {
	case c.bad || len(c.pending) == 0:
		return
	case c.acceptWord("both_ways"):
		q.Value /= 2
		q.Written += " both_ways"
	case c.acceptWord("one_way"):
		q.Written += " one_way"
	}
	c.clause()
}

func readLinkBandwidth(c *cursor, in within) { c.oneWay(&in.link.Bandwidth, "bandwidth") }

func readDies(c *cursor, in within) {
	d := &Dies{Range: c.s.line()}
	var q Quantity
	c.count(&q, "dies", 2)
	c.inRange(&q, 2, 64, "2 to 64 dies")
	if c.bad {
		return
	}
	d.Count = q.Int()
	in.chip.Dies = d
	c.r.block(diesKeys, c.s.Block.Stmts, within{name: "dies", chip: in.chip, dies: d}, d.Range)
}

func readReached(c *cursor, in within) {
	r := Reached{Range: c.s.line()}
	want := dimBytesPerSecond
	switch w := c.peekWord(); w {
	case "memory", "link":
		c.i++
		n, _ := c.name("a name")
		r.What = w + " " + n
	default:
		r.What = "peak " + c.format().String()
		want = dimFlops
	}
	c.positive(&r.Value, "reached "+r.What, want)
	if !c.bad && c.room(len(in.chip.Reached), "reached rates") {
		in.chip.Reached = append(in.chip.Reached, r)
	}
}

func readAccept(c *cursor, in within) {
	a := Accept{Range: c.s.line()}
	a.Code, _ = c.name("the code of a warning, such as CHIP037")
	if c.bad {
		return
	}
	known := false
	for _, d := range diag.Codes() {
		known = known || d.ID == a.Code
	}
	if !known {
		c.fail(codeAccept, a.Range, "there is no warning %s", a.Code).Helpf("apogee check FILE prints the codes")
		return
	}
	a.Reason = c.str("the reason")
	if !c.bad && c.room(len(in.chip.Accepts), "answers") {
		in.chip.Accepts = append(in.chip.Accepts, a)
	}
}

// fact finds a number by its name.
func (c *Chip) fact(name string) *Fact {
	for i := range c.Facts {
		if c.Facts[i].Name == name {
			return &c.Facts[i]
		}
	}
	return nil
}

func readContested(c *cursor, in within) {
	x := Contested{Range: c.s.line()}
	var at diag.Range
	x.Fact, at = c.name(`the name of a number, as apogee chip show prints it`)
	if c.bad || !c.room(len(in.chip.Contested), "contested numbers") {
		return
	}
	f := in.chip.fact(x.Fact)
	if f == nil {
		var names []string
		for _, f := range in.chip.Facts {
			names = append(names, f.Name)
		}
		c.fail(codeContested, at, "no number is called %q", x.Fact).Suggest(x.Fact, names).
			Helpf("the names are those that apogee chip show prints")
		return
	}
	c.r.block(contestedKeys, c.s.Block.Stmts, within{name: "contested " + x.Fact, chip: in.chip, contest: &x}, x.Range)
	in.chip.Contested = append(in.chip.Contested, x)
}

func readAlso(c *cursor, in within) {
	f := in.chip.fact(in.contest.Fact)
	var q Quantity
	c.number(&q, "also", dimOf(f.Unit))
	if c.bad || !c.room(len(in.contest.Also), "figures") {
		return
	}
	if math.Abs(q.Value-f.Value) <= 1e-3*math.Abs(f.Value) {
		c.fail(codeContested, q.Range, "this is no contradiction: it is the number that stands in the file").
			Note(f.Range, "here it stands")
		return
	}
	in.contest.Also = append(in.contest.Also, q)
}

// dimOf is what a quantity of a base unit measures.
func dimOf(unit string) dim {
	for d, info := range dims {
		if info.base == unit && d != dimTime && d != dimRatio {
			return d
		}
	}
	return dimCount
}

// aggregate turns the numbers of one die into those of the package, and takes the smaller of what a memory gives and what the
// cores can take.
func (r *reader) aggregate() {
	c := r.chip
	scale := func(q *Quantity, name, how string, n float64) {
		if !q.Stated() {
			return
		}
		q.Value *= n
		q.Written = fmt.Sprintf("%g x %s", n, q.Written)
		q.Source += "; " + how
		r.restate(name, *q)
	}
	if d := c.Dies; d != nil && d.PerDie && d.Count > 1 {
		n := float64(d.Count)
		how := fmt.Sprintf("%d dies", d.Count)
		scale(&c.Cores, "cores", how, n)
		for _, m := range c.Memories {
			if m.Scope != Card {
				continue
			}
			scale(&m.Size, "memory "+m.Name+": size", how, n)
			scale(&m.Bandwidth, "memory "+m.Name+": bandwidth", how, n)
		}
		for i := range c.Reached {
			scale(&c.Reached[i].Value, "reached "+c.Reached[i].What, how, n)
		}
	}
	for i := range c.Peaks {
		if p := &c.Peaks[i]; p.Of == "" && c.Dies != nil && c.Dies.PerDie {
			p.Of = "die"
		} else if p.Of == "" {
			p.Of = "device"
		}
	}
	for _, m := range c.Memories {
		m.Rated = m.Bandwidth
		if !m.CoreRate.Stated() || !c.Cores.Stated() || !c.Clock.Stated() {
			continue
		}
		take := m.CoreRate.Value * c.Cores.Value * c.Clock.Value
		if m.Bandwidth.Stated() && m.Bandwidth.Value <= take {
			continue
		}
		weaker := max(m.CoreRate.Confidence, Derived)
		m.Bandwidth = Quantity{Value: take, Unit: "B/s", Written: fmt.Sprintf("%g GB/s", take/1e9), Confidence: weaker, Range: m.CoreRate.Range,
			Source: fmt.Sprintf("%s x %s cores x %s, what the cores take", m.CoreRate.Written, c.Cores.Written, c.Clock.Written)}
		r.restate("memory "+m.Name+": bandwidth", m.Bandwidth)
	}
}

// restate replaces a number among the facts, or adds it.
func (r *reader) restate(name string, q Quantity) {
	if f := r.chip.fact(name); f != nil {
		f.Quantity = q
		return
	}
	r.chip.Facts = append(r.chip.Facts, Fact{name, q})
}

// integer says whether a format's peak is quoted in TOPS.
func integer(f format.Format) bool { return f != format.Invalid && !f.IsFloat() }
