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
	watch         *watch
}

// watch looks for heads that repeat. Each loop has one, which is begun anew with each stretch.
type watch struct {
	// The last heads find short periods; longer ones are found by one that is kept for ever longer (Brent, "An improved Monte
	// Carlo factorization algorithm", BIT 20, 1980).
	recent       [keepRecent]*snapshot
	n            int // how many heads were kept so far
	far          *snapshot
	hasFar       bool
	power, since int64
	looks, pause int64 // snapshots taken; rounds until the next
	// When a head was that of period counts before, anchor is the later one and grown by how much each moment grew since.
	period int64 // 0: none yet
	anchor *snapshot
	grown  []Split
	spare  *snapshot
	other  []Split
}

const keepRecent = 4

func newWatch() *watch {
	w := &watch{far: &snapshot{}, anchor: &snapshot{}, spare: &snapshot{}}
	for i := range w.recent {
		w.recent[i] = &snapshot{}
	}
	return w
}

// reset begins anew; what was allocated is kept.
func (w *watch) reset() {
	w.n, w.hasFar, w.power, w.since, w.looks, w.pause, w.period = 0, false, 1, 0, 0, 0, 0
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

// maxWaiting is with how many signals on the way the state is no longer looked at: they pile up, and it does not repeat.
const maxWaiting = 1 << 10

// minRounds is how many rounds must be left for a look at the state to pay.
const minRounds = 4

func (c *core) shortcut(f *frame) {
	if f.at >= f.stretch {
		if f.rounds(f.end) < minRounds {
			return
		}
		before := c.w.fold.Spent()
		f.stretch = c.w.fold.Stretch(f.loop, c.regs, f.at, f.end)
		if c.err = c.m.spend(c.k, c.w.fold.Spent()-before); c.err != nil {
			return
		}
		if f.watch = c.watches[f.loop]; f.watch == nil {
			f.watch = newWatch()
			c.watches[f.loop] = f.watch
		}
		f.watch.reset()
	}
	w := f.watch
	left := f.rounds(f.stretch)
	if left < minRounds && w.period == 0 || left < 2 {
		return
	}
	if w.period > 0 && f.at < w.anchor.at+w.period {
		return
	}
	if w.pause--; w.pause > 0 && w.period == 0 {
		return
	}
	// What does not repeat soon is looked at ever more rarely, so that looking costs less than walking.
	w.looks++
	w.pause = 1 << min(2*(w.looks/64), 40)
	waiting := 0
	for i := range c.flags {
		waiting += c.flags[i].len() - c.flags[i].credits
	}
	if waiting > maxWaiting {
		return
	}
	now := c.snapshot(f, w.spare)
	if c.err = c.m.spend(c.k, int64(len(now.sig)+len(now.count)+20*len(now.by))/8); c.err != nil {
		return
	}
	if w.period > 0 {
		if !slices.Equal(now.sig, w.anchor.sig) { // cannot be; look for a period anew
			w.reset()
			return
		}
		w.other = growth(w.other, w.anchor, now)
		if slices.Equal(w.other, w.grown) {
			c.skip(f, w.anchor, now, w.grown)
			return
		}
		w.grown, w.other = w.other, w.grown
		w.anchor, w.spare = w.spare, w.anchor
		return
	}
	for i := 0; i <= keepRecent; i++ {
		s := w.far
		switch {
		case i == keepRecent && !w.hasFar || i < keepRecent && i >= w.n:
			continue
		case i < keepRecent:
			s = w.recent[(w.n-1-i)%keepRecent]
		}
		if slices.Equal(s.sig, now.sig) {
			w.period = now.at - s.at
			w.grown = growth(w.grown, s, now)
			w.anchor, w.spare = w.spare, w.anchor
			return
		}
	}
	at := w.n % keepRecent
	w.recent[at], w.spare = w.spare, w.recent[at]
	w.n++
	if w.since++; !w.hasFar || w.since >= w.power {
		w.far = c.snapshot(f, w.far)
		w.hasFar, w.since = true, 0
		w.power *= 2
	}
}

// growth is by how much each moment's parts grew from one snapshot to another of equal signature. It takes the room of out.
func growth(out []Split, a, b *snapshot) []Split {
	out = out[:0]
	for i := range b.by {
		var d Split
		for r := range d {
			d[r] = b.by[i][r] - a.by[i][r]
		}
		out = append(out, d)
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
		s.sig = append(s.sig, int64(c.flags[i].credits), int64(c.flags[i].len()))
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
func (c *core) skip(f *frame, before, now *snapshot, grown []Split) {
	per := (now.at - before.at) / f.step
	n := (f.rounds(f.stretch) - 1) / per
	if n < 1 {
		return
	}
	delta := now.now - before.now
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
		case x.t-before.all[i] == delta: // past, but how long a queue was idle is counted from it
			x.t += delta * Ticks(n)
		}
		i++
	})
	code := len(c.count)
	for i := range c.count {
		c.count[i] += n * (now.count[i] - before.count[i])
		c.busy[i] += n * (now.count[code+i] - before.count[code+i])
		c.held[i] += n * (now.count[2*code+i] - before.count[2*code+i])
	}
	for q := range c.queueBusy {
		c.queueBusy[q] += Ticks(n) * (now.queues[q] - before.queues[q])
	}
	f.at += n * (now.at - before.at)
	f.watch.reset()
	f.stretch = min(f.stretch, f.at) // what is left is walked
	if f.loop == plan.Blocks {
		c.k.StartRegs(c.regs, f.at, c.w.core, c.m.cores)
	}
}
