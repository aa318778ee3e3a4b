package clock

import (
	"apogee/ir/diag"
	"apogee/targets/bind"
	"apogee/targets/plan"
)

// QueueDepth is how many instructions a queue holds before it holds up the scalar unit. No data sheet says it; what matters
// is that the scalar unit runs ahead of the engines, and 16 is some rounds of a double-buffered loop.
const QueueDepth = 16

// core simulates the busiest core of one launch. Things happen in the order of their times: the scalar unit and the heads of
// the queues are the actors, and the one that can act first does; of equals the scalar unit, then the queue with the lower number.
type core struct {
	m     *machine
	w     *work
	k     *plan.Kernel
	exact bool // no shortcut
	hook  func(event)

	// Of this core's part of the bandwidths: cycles a byte. 0: not the limit.
	memByte, cacheByte  float64
	missRead, missWrite []float64
	alike               []float64 // by parameter, cores that read the same at once
	timed               []timed   // by cost.id

	regs    []int64
	pc      int
	scalar  stamp
	state   scalarState
	frames  []frame
	watches map[int]*watch // by loop
	block   int64

	queues     []queue
	flags      []flag
	mem, cache stamp // when all that was asked of them is served

	// What is counted, by instruction.
	count, busy, held []int64
	queueBusy         []Ticks
	loads             map[string]bool
	events            int64
	err               error
}

// scalarState is what the scalar unit is about.
type scalarState uint8

const (
	running scalarState = iota
	full                // the queue of the next instruction is full
	waiting             // a wait on the scalar queue
	finished
)

// timed is a cost with what depends on the launch.
type timed struct {
	known              bool
	mem, cache, latent Ticks
}

type pending struct {
	i      int
	c      *cost
	issued stamp
}

type queue struct {
	fifo []pending // the first is at head
	head int
	free stamp // when it can start the next
	done stamp // when all before is done
	// for the trace
	lastFlag int
}

func (q *queue) len() int { return len(q.fifo) - q.head }

func (q *queue) push(p pending) {
	if q.head > 64 && q.head*2 > len(q.fifo) {
		q.fifo = append(q.fifo[:0], q.fifo[q.head:]...)
		q.head = 0
	}
	q.fifo = append(q.fifo, p)
}

// flag holds the signals that nobody has waited for yet: credits first, which are there from the start.
type flag struct {
	credits int
	tokens  []stamp
	head    int
}

func (f *flag) len() int { return f.credits + len(f.tokens) - f.head }

// next is when the first of them is there.
func (f *flag) next() Ticks {
	if f.credits > 0 {
		return 0
	}
	return f.tokens[f.head].t
}

func (f *flag) push(s stamp) {
	if f.head > 64 && f.head*2 > len(f.tokens) {
		f.tokens = append(f.tokens[:0], f.tokens[f.head:]...)
		f.head = 0
	}
	f.tokens = append(f.tokens, s)
}

func (f *flag) pop() stamp {
	if f.credits > 0 {
		f.credits--
		return stamp{}
	}
	s := f.tokens[f.head]
	f.head++
	if f.head == len(f.tokens) {
		f.tokens, f.head = f.tokens[:0], 0
	}
	return s
}

// event is what a hook is told of an instruction that held a queue.
type event struct {
	i          int
	c          *cost
	start, end Ticks
	held       Ticks // since the queue was free
	flag       int   // it waited for, or None
	bound      Reason
	times      int64 // > 0: not an instruction but a stretch that is repeated so often
}

func newCore(m *machine, w *work, t *traffic) *core {
	c := &core{
		m: m, w: w, k: w.k, missRead: t.missRead, missWrite: t.missWrite, alike: t.alike,
		regs: make([]int64, w.k.Regs), queues: make([]queue, len(m.p.Queues)), flags: make([]flag, len(w.k.Flags)),
		count: make([]int64, len(w.k.Code)), busy: make([]int64, len(w.k.Code)), held: make([]int64, len(w.k.Code)),
		queueBusy: make([]Ticks, len(m.p.Queues)), loads: map[string]bool{}, watches: map[int]*watch{},
	}
	if m.memBytes > 0 {
		c.memByte = m.hz / (m.memBytes * w.share)
	}
	if m.cache != nil && m.cacheBytes > 0 {
		c.cacheByte = m.hz / (m.cacheBytes * w.share)
	}
	for i := range c.flags {
		c.flags[i].credits = w.k.Flags[i].Credits
	}
	c.block = w.core
	return c
}

// maxSignals is how many signals of a flag may be on the way.
const maxSignals = 1 << 14

// run simulates the launch to its end and gives the time of its end.
func (c *core) run() (stamp, error) {
	c.k.StartRegs(c.regs, c.block, c.w.core, c.m.cores)
	c.frames = append(c.frames, frame{loop: plan.Blocks, at: c.block, end: c.w.grid, step: c.m.cores})
	c.roundHead()
	for c.err == nil {
		best, at := -2, Ticks(0)
		if c.state == running {
			best, at = -1, c.scalar.t
		}
		for q := range c.queues {
			if t, ok := c.ready(q); ok && (best == -2 || t < at) {
				best, at = q, t
			}
		}
		if at > maxTicks/2 {
			return stamp{}, c.m.errLong(c.k, "the launch takes longer than any run")
		}
		if c.events++; c.events&0xfff == 0 {
			if err := c.m.spend(c.k, 0x1000); err != nil {
				return stamp{}, err
			}
		}
		switch best {
		case -1:
			c.scalarStep()
		case -2:
			if c.state == full { // nothing else can move: the queue takes one more
				c.issueNow(true)
				continue
			}
			if c.state == finished && c.idle() {
				return c.end(), nil
			}
			return stamp{}, c.hang()
		default:
			c.act(best)
		}
	}
	return stamp{}, c.err
}

func (c *core) idle() bool {
	for q := range c.queues {
		if c.queues[q].len() > 0 {
			return false
		}
	}
	return true
}

// end is the moment when all is done; of equals the scalar unit counts, then the lower queue.
func (c *core) end() stamp {
	out := c.scalar
	for q := range c.queues {
		if c.queues[q].done.t > out.t {
			out = c.queues[q].done
		}
	}
	return out
}

// ready says when the head of a queue can start, and whether it can.
func (c *core) ready(q int) (Ticks, bool) {
	x := &c.queues[q]
	if x.head == len(x.fifo) {
		return 0, false
	}
	p := &x.fifo[x.head]
	t := max(x.free.t, p.issued.t)
	if in := &c.k.Code[p.i]; in.Op == plan.Wait {
		f := &c.flags[in.Flag]
		if f.len() == 0 {
			return 0, false
		}
		t = max(t, f.next())
	}
	return t, true
}

// act runs the head of a queue, which is ready.
func (c *core) act(q int) {
	x := &c.queues[q]
	p := x.fifo[x.head]
	x.head++
	if x.head == len(x.fifo) {
		x.fifo, x.head = x.fifo[:0], 0
	}
	in := &c.k.Code[p.i]
	c.count[p.i]++
	start := x.free
	if p.issued.t > start.t {
		start = p.issued
	}
	if in.Op == plan.Wait {
		token := c.flags[in.Flag].pop()
		if token.t > start.t {
			c.held[p.i] += int64(token.t - start.t)
			start = token
			x.lastFlag = in.Flag + 1
		}
	}
	if c.state == full && c.k.Code[c.pc].Queue == q { // there is room now
		c.state = running
		if start.t > c.scalar.t {
			c.scalar = start
		}
	}
	switch in.Op {
	case plan.Wait:
		x.free = start
	case plan.Signal:
		done := x.done
		if start.t > done.t {
			done = start
		}
		x.free = start
		c.signal(in.Flag, done.plus(c.m.sync, Sync))
	default:
		c.perform(q, &p, start)
	}
}

// signal gives a flag one more, and wakes the scalar unit if it waits for it.
func (c *core) signal(flag int, s stamp) {
	if c.flags[flag].len() > maxSignals && c.err == nil {
		c.err = c.m.errLong(c.k, "flag "+c.k.Flags[flag].Name+" has more signals than anybody waits for")
		return
	}
	c.flags[flag].push(s)
	if c.state == waiting && c.k.Code[c.pc].Flag == flag {
		c.state = running
	}
}

// perform runs an instruction that takes time on a queue, from start on.
func (c *core) perform(q int, p *pending, start stamp) {
	x := &c.queues[q]
	k := p.c
	if k.idle {
		x.free = start
		if start.t > x.done.t {
			x.done = start
		}
		return
	}
	begin := start.plus(k.startup, startReason(k))
	finish := begin.plus(k.work, k.reason)
	bound, latent := k.reason, Ticks(0)
	if k.param >= 0 {
		t := c.timing(k)
		latent = t.latent
		serve := func(s *stamp, d Ticks, r Reason) {
			if d == 0 {
				return
			}
			from := begin
			if s.t > from.t {
				from = *s
			}
			*s = from.plus(d, r)
			if s.t >= finish.t {
				finish, bound = *s, r
			}
		}
		serve(&c.cache, t.cache, Cache)
		serve(&c.mem, t.mem, Memory)
	}
	if c.hook != nil {
		e := event{i: p.i, c: k, start: start.t, end: finish.t, bound: bound, flag: x.lastFlag - 1, held: start.t - x.free.t}
		if x.done.t < start.t {
			e.held = start.t - x.done.t
		}
		c.hook(e)
	}
	x.lastFlag = 0
	held := finish.t - start.t
	c.busy[p.i] += int64(held)
	c.queueBusy[q] += held
	x.free = finish
	done := finish.plus(latent, Latency)
	if done.t >= x.done.t {
		x.done = done
	}
}

// startReason says what an instruction's start-up counts as.
func startReason(k *cost) Reason {
	if k.reason == Path {
		return Startup
	}
	return k.reason
}

// timing gives what a move asks of memory and cache in this launch.
func (c *core) timing(k *cost) timed {
	for len(c.timed) <= k.id {
		c.timed = append(c.timed, timed{})
	}
	t := &c.timed[k.id]
	if t.known {
		return *t
	}
	miss := c.missRead[k.param]
	if k.write {
		miss = c.missWrite[k.param]
	}
	t.known = true
	t.mem = ticks(float64(k.far) * miss * c.memByte)
	t.cache = ticks(float64(k.far) * c.cacheByte / max(1, min(float64(k.feeds), c.alike[k.param])))
	if !k.write {
		t.latent = c.latency(miss)
	}
	return *t
}

// latency is the way of the first byte when a part of the bytes comes from memory and the rest from the cache, the mean of both.
func (c *core) latency(miss float64) Ticks {
	if c.m.cache == nil {
		return c.m.memLatency
	}
	return ticks((float64(float64(c.m.memLatency)*miss) + float64(float64(c.m.cacheLate)*(1-miss))) / PerCycle)
}

// loadLatency is how long the scalar unit waits for a value.
func (c *core) loadLatency(t *plan.Tile) Ticks {
	if t.Mem != 0 {
		return 0
	}
	return c.latency(c.missRead[t.Param])
}

// scalarStep runs the next instruction of the code on the scalar unit.
func (c *core) scalarStep() {
	if c.pc == len(c.k.Code) {
		c.endBlock()
		return
	}
	in := &c.k.Code[c.pc]
	switch in.Op {
	case plan.Loop:
		c.count[c.pc]++
		c.spend(c.m.issue, Scalar)
		x, n := in.X.Eval(c.regs), in.Y.Eval(c.regs)
		if n > 1<<50 || x > 1<<60 || x < -1<<60 {
			c.err = c.m.errLong(c.k, "a loop has more rounds than can be run")
			return
		}
		if n <= 0 {
			c.pc = in.Jump + 1
			return
		}
		c.frames = append(c.frames, frame{loop: c.pc, at: x, end: x + n, step: 1})
		c.roundHead()
	case plan.End:
		c.count[c.pc]++
		c.spend(c.m.issue, Scalar)
		f := &c.frames[len(c.frames)-1]
		if f.at += f.step; f.at < f.end {
			c.roundHead()
			return
		}
		c.frames = c.frames[:len(c.frames)-1]
		c.pc++
	case plan.Set:
		c.count[c.pc]++
		c.regs[in.Reg] = in.Fn.Scalar(in.X.Eval(c.regs), in.Y.Eval(c.regs))
		c.spend(c.m.issue, Scalar)
		c.pc++
	case plan.LoadScalar:
		c.count[c.pc]++
		c.regs[in.Reg] = in.Assume.Value(c.regs)
		if in.Assume != nil {
			c.loads[in.Assume.Why] = true
		}
		c.spend(c.m.issue, Scalar)
		c.spend(c.loadLatency(&in.A), Latency)
		c.pc++
	default:
		c.issueNow(false)
	}
}

func (c *core) spend(d Ticks, r Reason) { c.scalar = c.scalar.plus(d, r) }

// issueNow gives the instruction at pc to its queue, or runs it at once if that is the scalar unit's own. A full queue takes
// it only when forced to.
func (c *core) issueNow(force bool) {
	i := c.pc
	in := &c.k.Code[i]
	x := &c.queues[in.Queue]
	own := c.m.queues[in.Queue].scalar
	if !own && !force && x.len() >= QueueDepth {
		c.state = full
		return
	}
	if own && in.Op == plan.Wait && c.flags[in.Flag].len() == 0 {
		c.state = waiting
		return
	}
	var k *cost
	if in.Op != plan.Signal && in.Op != plan.Wait {
		var err error
		if k, err = c.w.costs.of(i, c.regs); err != nil {
			c.err = err
			return
		}
	}
	c.pc++
	c.state = running
	switch {
	case !own:
		c.spend(c.m.issue, Scalar)
		x.push(pending{i, k, c.scalar})
		return
	case in.Op == plan.Wait:
		token := c.flags[in.Flag].pop()
		if token.t > c.scalar.t {
			c.held[i] += int64(token.t - c.scalar.t)
			c.scalar = token
		}
		c.spend(c.m.issue, Scalar)
	case in.Op == plan.Signal:
		c.spend(c.m.issue, Scalar)
		c.signal(in.Flag, c.scalar.plus(c.m.sync, Sync))
	default: // the scalar unit does the work itself, and waits for it
		c.spend(c.m.issue, Scalar)
		x.free, x.done = c.scalar, c.scalar
		c.perform(in.Queue, &pending{i, k, c.scalar}, c.scalar)
		c.scalar = x.done
	}
	c.count[i]++
}

// hang says which queues wait for what.
func (c *core) hang() error {
	var first *diag.Diagnostic
	report := func(i int, queue string) {
		if first == nil {
			first = c.m.at(codeHang, c.k, i, "the plan hangs: queue %s waits for a signal that never comes", queue)
			first.Expect("a signal of flag "+c.k.Flags[c.k.Code[i].Flag].Name, "none")
			return
		}
		first.Note(diag.Range{}, "queue %s waits at instruction %d: %s", queue, i, plan.InstrText(c.m.p, c.k, i, bind.Vocab(c.m.c)))
	}
	for q := range c.queues {
		if x := &c.queues[q]; x.len() > 0 {
			report(x.fifo[x.head].i, c.m.queues[q].name)
		}
	}
	if c.state == waiting {
		report(c.pc, c.m.queues[c.k.Code[c.pc].Queue].name)
	}
	if first == nil {
		return c.m.errLong(c.k, "the launch does not end")
	}
	return first
}
