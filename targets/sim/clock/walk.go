package clock

import (
	"context"
	"fmt"
	"slices"

	"apogee/ir/diag"
	"apogee/targets/plan"
)

// What data decides a timed run does not know. Of an if it takes the branch that takes longer, and of a loop as many rounds as the
// plan says (Control.Assume), unless a recorded run tells; the result repeats what was taken. Every decision, and every number of a round
// that is written, takes the time of a launch: the host looks and launches, or the device launches itself.
//
// A loop's rounds differ only in what the cache holds when they begin. They are walked until a round leaves the cache as
// it found it, or launches the same as the round before; the others are known from that one.

// walker times steps in the order in which they run.
type walker struct {
	*runner
	to      []int // as plan.Nest gives it
	entries []Step
	now     Ticks
	notes   []string
}

// walk times the steps from … end-1, which are whole ifs and loops.
func (w *walker) walk(from, end int) error {
	for i := from; i < end; i++ {
		s := &w.m.p.Steps[i]
		if err := w.look(s); err != nil {
			return err
		}
		switch s.Op {
		case plan.LaunchStep:
			n, err := w.step(s)
			if err != nil {
				return err
			}
			w.add(Step{Name: s.Name, Step: i, Launch: n, Count: 1, BoundBy: w.timings[n].Split.Main()}, w.timings[n].Ticks)
			if w.now > maxTicks/2 {
				return w.m.errLong(&w.m.p.Kernels[s.Kernel], "the run takes longer than the clock can count")
			}
		case plan.IfStep:
			if err := w.branch(i); err != nil {
				return err
			}
			if i = w.to[i]; w.m.p.Steps[i].Op == plan.ElseStep {
				i = w.to[i]
			}
		case plan.LoopStep:
			if err := w.loop(i); err != nil {
				return err
			}
			i = w.to[i]
		}
	}
	return nil
}

// add notes an entry that begins now.
func (w *walker) add(s Step, t Ticks) {
	s.start, s.Ticks = w.now, t
	w.entries = append(w.entries, s)
	w.now += t
}

// decide is a look at what an if or a loop goes by.
func (w *walker) decide(i int) {
	w.add(Step{Name: w.m.p.Steps[i].Name, Step: i, Launch: plan.None, Count: 1, BoundBy: Launch}, w.m.launch)
}

// ran is how often a step ran in the recorded run; ok is false without one.
func (w *walker) ran(i int) (n int64, ok bool) {
	if i >= len(w.o.Ran) {
		return 0, false
	}
	return w.o.Ran[i], true
}

// state is where a walk stands.
type state struct {
	entries, notes int
	now            Ticks
	cache          lru
}

func (w *walker) state() state {
	c := w.cache
	c.list = slices.Clone(c.list)
	return state{len(w.entries), len(w.notes), w.now, c}
}

func (w *walker) branch(i int) error {
	w.decide(i)
	other := w.to[i]
	end := other
	if w.m.p.Steps[other].Op == plan.ElseStep {
		end = w.to[other]
	}
	first := func() error { return w.walk(i+1, other) }
	second := func() error { return w.walk(min(other+1, end), end) }
	if reached, ok := w.ran(i); ok && reached > 0 {
		otherwise := int64(0)
		if other != end {
			otherwise = w.o.Ran[other]
			if otherwise == reached {
				return second()
			}
		}
		if otherwise == 0 && w.o.Ran[end] > 0 && other != end {
			return first()
		}
	}
	before := w.state()
	if err := first(); err != nil {
		return err
	}
	taken := w.state()
	entries, notes := slices.Clone(w.entries[before.entries:]), slices.Clone(w.notes[before.notes:])
	w.entries, w.notes, w.now, w.cache = w.entries[:before.entries], w.notes[:before.notes], before.now, before.cache
	if err := second(); err != nil {
		return err
	}
	which := "second"
	if taken.now >= w.now {
		which = "first"
		w.entries, w.notes = append(w.entries[:before.entries], entries...), append(w.notes[:before.notes], notes...)
		w.now, w.cache = taken.now, taken.cache
	}
	w.note("%s is taken to go the %s way, which takes longer", w.m.p.Steps[i].Name, which)
	return nil
}

func (w *walker) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *walker) loop(i int) error {
	s, end := &w.m.p.Steps[i], w.to[i]
	x := s.Control
	rounds := x.Limit
	if x.Data() {
		w.decide(i)
		rounds = x.Assume
		reached, ok := w.ran(i)
		switch {
		case ok && reached > 0:
			rounds = (w.o.Ran[end] + reached/2) / reached
			w.note("%s is taken to make %d rounds, as it did in a run", s.Name, rounds)
		case x.Limit >= 0 && rounds >= x.Limit:
			rounds = x.Limit
			w.note("%s is taken to make %d rounds, the most it can", s.Name, rounds)
		default:
			w.note("%s is taken to make %d rounds, a guess: data decides", s.Name, rounds)
		}
	}
	previous := -1 // where the entries of the round before begin
	for k := int64(0); k < rounds; k++ {
		begin := w.state()
		if x.Cond != plan.None || x.Index != plan.None {
			w.decide(i)
		}
		if err := w.walk(i+1, end); err != nil {
			return err
		}
		left := rounds - k - 1
		steady := slices.Equal(begin.cache.list, w.cache.list) ||
			!w.o.Exact && previous >= 0 && same(w.entries[previous:begin.entries], w.entries[begin.entries:])
		previous = begin.entries
		if left == 0 || !steady {
			continue
		}
		// The others are as this one.
		round := w.now - begin.now
		if round > 0 && left > int64((maxTicks/2-w.now)/round) {
			return w.long(s)
		}
		for j := begin.entries; j < len(w.entries); j++ {
			w.entries[j].Count *= left + 1
			if w.entries[j].Count < 0 || w.entries[j].Count > int64(maxTicks) {
				return w.long(s)
			}
		}
		w.now += round * Ticks(left)
		w.notes = slices.Compact(w.notes)
		return nil
	}
	return nil
}

// same reports whether two rounds did the same.
func same(a, b []Step) bool {
	return slices.EqualFunc(a, b, func(x, y Step) bool { return x.Step == y.Step && x.Launch == y.Launch && x.Count == y.Count })
}

// look takes a step off the budget, which also bounds what is kept.
func (w *walker) look(s *plan.Step) error {
	if w.m.budget -= 8; w.m.budget < 0 {
		return w.long(s)
	}
	select {
	case <-w.m.done:
		return context.Canceled
	default:
		return nil
	}
}

func (w *walker) long(s *plan.Step) error {
	d := diag.Errorf(codeLong, diag.Range{}, "the steps at %s run too often, or differ too much from round to round, to be timed", s.Name)
	return d.Helpf("state fewer rounds behind assume in the plan's text")
}
