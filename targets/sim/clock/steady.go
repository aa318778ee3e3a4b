package clock

import (
	"slices"

	"apogee/targets/plan"
)

// A loop becomes regular when the state at the head of a round is that of an earlier head, shifted in time: what queues hold,
// when they are free, which signals are under way, and what memory and cache still have to serve, all relative to now. What lies
// before now no longer matters. As long as rounds cost the same, what follows then is the same as well, shifted by as much, so the
// rest of the rounds is that much time each. Nothing is estimated: the next rounds would come out to the same tick.

// frame is a loop that is being run.
type frame struct {
	loop          int
	at, end, step int64 // counter
	stretch       int64 // rounds up to here cost the same
	recent        []*snapshot
	next          int // of recent, to be overwritten
	far           *snapshot
	power, since  int64
	anchor        *anchor
}

// snapshot is the state at the head of a round.
type snapshot struct {
	at     int64
	now    Ticks
	sig    []int64 // what repeats
	by     []Split // of each moment that is still to come, the scalar unit's first
	all    []Ticks // every moment
	count  []int64 // of the core's counters, one after the other
	queues []Ticks
}

// anchor is a head that repeated an earlier one, period rounds before, and by how much each moment grew since.
type anchor struct {
	snap   *snapshot
	period int64 // in counts of the loop's counter
	grown  []Split
}

// keepRecent is how many heads are kept to find short periods; longer ones are found by keeping one for ever longer (Brent, "An
// improved Monte Carlo factorization algorithm", BIT 20, 1980).
const keepRecent = 4

// roundHead begins a round of the innermost loop, after leaving out as many as can be known.
func (c *core) roundHead() {
	f := &c.frames[len(c.frames)-1]
	if f.loop == plan.Blocks {
		c.k.StartRegs(c.regs, f.at, c.w.core, c.m.cores)
	}
	if !c.exact {
		c.shortcut(f)
	}
	if f.loop == plan.Blocks {
		c.regs[plan.RegBlock] = f.at
		c.pc = 0
		return
	}
	c.regs[c.k.Code[f.loop].Reg] = f.at
	c.pc = f.loop + 1
}

// endBlock ends the code of a block.
func (c *core) endBlock() {
	f := &c.frames[0]
	c.spend(c.m.issue, Scalar)
	if f.at += f.step; f.at < f.end {
		c.roundHead()
		return
	}
	c.frames = c.frames[:0]
	c.state = finished
}

// rounds is how many rounds there are from the counter's value at up to end.
func (f *frame) rounds(end int64) int64 { return (end - f.at + f.step - 1) / f.step }

// minRounds is how many rounds must be left for a look at the state to pay.
const minRounds = 4

func (c *core) shortcut(f *frame) {
	if f.at >= f.stretch {
		if f.rounds(f.end) < minRounds {
			return
		}
		f.stretch = c.w.fold.Stretch(f.loop, c.regs, f.at, f.end)
		f.recent, f.next, f.far, f.anchor, f.power, f.since = f.recent[:0], 0, nil, nil, 1, 0
	}
	left := f.rounds(f.stretch)
	if left < minRounds && f.anchor == nil || left < 2 {
		return
	}
	if a := f.anchor; a != nil {
		if f.at < a.snap.at+a.period {
			return
		}
		now := c.snapshot(f, &snapshot{})
		if !slices.Equal(now.sig, a.snap.sig) { // cannot be; look for a period anew
			f.anchor = nil
			return
		}
		grown := growth(a.snap, now)
		if slices.Equal(grown, a.grown) {
			c.skip(f, a, now, grown)
			return
		}
		a.snap, a.grown = now, grown
		return
	}
	var now *snapshot
	if len(f.recent) < keepRecent {
		now = c.snapshot(f, &snapshot{})
	} else {
		old := f.recent[f.next]
		if old == nil || old == f.far { // it is kept longer
			old = &snapshot{}
		}
		now = c.snapshot(f, old)
		f.recent[f.next] = nil
	}
	for i := len(f.recent); i >= 0; i-- {
		s := f.far
		if i > 0 {
			if s = f.recent[(f.next+i-1)%len(f.recent)]; s == now {
				continue
			}
		}
		if s != nil && slices.Equal(s.sig, now.sig) {
			f.anchor = &anchor{now, now.at - s.at, growth(s, now)}
			return
		}
	}
	if len(f.recent) < keepRecent {
		f.recent = append(f.recent, now)
	} else {
		f.recent[f.next] = now
	}
	f.next = (f.next + 1) % keepRecent
	if f.since++; f.far == nil || f.since >= f.power {
		f.far, f.since = now, 0
		f.power *= 2
	}
}

// growth is by how much each moment's parts grew from one snapshot to another of equal signature.
func growth(a, b *snapshot) []Split {
	out := make([]Split, len(b.by))
	for i := range out {
		for r := range out[i] {
			out[i][r] = b.by[i][r] - a.by[i][r]
		}
	}
	return out
}

// stamps calls visit for every moment of the state, always in the same order for the same signature.
func (c *core) stamps(visit func(*stamp)) {
	visit(&c.scalar)
	visit(&c.mem)
	visit(&c.cache)
	for q := range c.queues {
		visit(&c.queues[q].free)
		visit(&c.queues[q].done)
		for j := c.queues[q].head; j < len(c.queues[q].fifo); j++ {
			visit(&c.queues[q].fifo[j].issued)
		}
	}
	for i := range c.flags {
		f := &c.flags[i]
		for j := f.head; j < len(f.tokens); j++ {
			visit(&f.tokens[j])
		}
	}
}

func (c *core) snapshot(f *frame, s *snapshot) *snapshot {
	now := c.scalar.t
	s.at, s.now = f.at, now
	s.sig, s.by, s.all = s.sig[:0], s.by[:0], s.all[:0]
	for _, r := range c.w.fold.Carried(f.loop) {
		s.sig = append(s.sig, c.regs[r])
	}
	for q := range c.queues {
		x := &c.queues[q]
		s.sig = append(s.sig, int64(x.len()))
		for j := x.head; j < len(x.fifo); j++ {
			id := -1
			if k := x.fifo[j].c; k != nil {
				id = k.id
			}
			s.sig = append(s.sig, int64(x.fifo[j].i), int64(id))
		}
	}
	for i := range c.flags {
		s.sig = append(s.sig, int64(c.flags[i].len()))
	}
	first := true
	c.stamps(func(x *stamp) {
		s.all = append(s.all, x.t)
		if x.t >= now || first {
			s.sig = append(s.sig, int64(x.t-now))
			s.by = append(s.by, x.by)
		} else {
			s.sig = append(s.sig, -1)
		}
		first = false
	})
	s.count = append(append(append(s.count[:0], c.count...), c.busy...), c.held...)
	s.queues = append(s.queues[:0], c.queueBusy...)
	return s
}

// skip leaves out as many periods as the stretch has, but for a last round.
func (c *core) skip(f *frame, a *anchor, now *snapshot, grown []Split) {
	per := a.period / f.step
	n := (f.rounds(f.stretch) - 1) / per
	if n < 1 {
		return
	}
	delta := now.now - a.snap.now
	if delta > 0 && n > int64((maxTicks-now.now)/delta) {
		c.err = c.m.errLong(c.k, "the launch takes longer than any run")
		return
	}
	if c.hook != nil {
		c.hook(event{i: max(f.loop, 0), start: now.now, end: now.now + delta*Ticks(n), times: n * per})
	}
	live, i := 0, 0
	c.stamps(func(x *stamp) {
		switch {
		case x.t >= now.now || i == 0:
			x.t += delta * Ticks(n)
			x.by.Add(&grown[live], n)
			live++
		case x.t-a.snap.all[i] == delta: // past, but how long a queue was idle is counted from it
			x.t += delta * Ticks(n)
		}
		i++
	})
	code := len(c.count)
	for i := range c.count {
		c.count[i] += n * (now.count[i] - a.snap.count[i])
		c.busy[i] += n * (now.count[code+i] - a.snap.count[code+i])
		c.held[i] += n * (now.count[2*code+i] - a.snap.count[2*code+i])
	}
	for q := range c.queueBusy {
		c.queueBusy[q] += Ticks(n) * (now.queues[q] - a.snap.queues[q])
	}
	f.at += n * a.period
	f.anchor, f.far = nil, nil
	f.recent = f.recent[:0]
	f.stretch = min(f.stretch, f.at) // what is left is walked
	if f.loop == plan.Blocks {
		c.k.StartRegs(c.regs, f.at, c.w.core, c.m.cores)
	}
}
