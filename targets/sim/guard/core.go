package guard

import (
	"fmt"

	"apogee/targets/plan"
)

// Core watches one core during one launch. Its methods are called as the core's instructions are executed, each queue's in their order.
type Core struct {
	l      *Launch
	k      *plan.Kernel
	id     int64
	clock  [][]int64 // by queue: what it knows of every queue's time
	issued []int64   // by queue: version of the scalar unit's clock that it has taken in
	ver    int64     // version of the scalar unit's clock
	flags  []counter
	mems   []shadow
	now    event   // the instruction in execution
	known  []int64 // clock of its queue
	err    *Fault
}

// counter is a flag: credits left, and the clocks of the signals that no wait has taken yet.
type counter struct {
	credits int
	signals [][]int64
	head    int
	free    [][]int64
}

// Start begins a core's part of a launch; c is used again from one launch to the next. The order of execution within the launch
// before is over: everything that happened then is known to all.
func (c *Core) Start(l *Launch, id int64) {
	c.l, c.k, c.id = l, l.kernel, id
	g := l.g
	if len(c.clock) != g.queues {
		c.clock = make([][]int64, g.queues)
		for q := range c.clock {
			c.clock[q] = make([]int64, g.queues)
		}
		c.issued = make([]int64, g.queues)
	}
	for q := range c.clock {
		clear(c.clock[q])
	}
	clear(c.issued)
	c.ver = 0
	if len(c.mems) != len(g.p.Memories) {
		c.mems = make([]shadow, len(g.p.Memories))
	}
	for i := range c.mems {
		c.mems[i].reset()
	}
	if len(c.flags) < len(c.k.Flags) {
		c.flags = make([]counter, len(c.k.Flags))
	}
	for i := range c.k.Flags {
		f := &c.flags[i]
		f.credits = c.k.Flags[i].Credits
		f.free = append(f.free, f.signals[f.head:]...)
		f.signals, f.head = f.signals[:0], 0
	}
}

// Issue returns what the scalar unit knows now, for an instruction that its queue executes later; to is used if it is long enough.
func (c *Core) Issue(to []int64) []int64 {
	return append(to[:0], c.clock[c.l.g.scalar]...)
}

// Exec begins an instruction: the Read and Write calls that follow are its accesses. issue is what Issue returned; nil when it is
// executed at once.
func (c *Core) Exec(queue, instr int, block int64, issue []int64) {
	own := c.clock[queue]
	if queue != c.l.g.scalar {
		switch {
		case issue != nil:
			join(own, issue)
		case c.issued[queue] != c.ver:
			join(own, c.clock[c.l.g.scalar])
			c.issued[queue] = c.ver
		}
	} else {
		c.ver++
	}
	own[queue]++
	c.now = event{time: own[queue], block: block, instr: int32(instr), queue: int16(queue), core: int32(c.id)}
	c.known = own
}

func join(to, from []int64) {
	for i, v := range from {
		to[i] = max(to[i], v)
	}
}

// Signal notes a signal, executed by its queue.
func (c *Core) Signal(queue, flag int, issue []int64) {
	c.Exec(queue, -1, 0, issue)
	f := &c.flags[flag]
	var v []int64
	if n := len(f.free); n > 0 {
		v, f.free = f.free[n-1][:0], f.free[:n-1]
	}
	f.signals = append(f.signals, append(v, c.known...))
}

// Wait notes a wait that has ended: the n-th wait follows the n-th signal, credits counting as signals long ago.
func (c *Core) Wait(queue, flag int, issue []int64) {
	c.Exec(queue, -1, 0, issue)
	f := &c.flags[flag]
	if f.credits > 0 {
		f.credits--
		return
	}
	if f.head == len(f.signals) {
		return
	}
	v := f.signals[f.head]
	join(c.known, v)
	if queue == c.l.g.scalar {
		c.ver++
	}
	f.free = append(f.free, v)
	if f.head++; f.head == len(f.signals) {
		f.signals, f.head = f.signals[:0], 0
	} else if f.head > 64 {
		n := copy(f.signals, f.signals[f.head:])
		f.signals, f.head = f.signals[:n], 0
	}
}

// ordered says whether an access is known to be over.
func (c *Core) ordered(e *event) bool {
	return int64(e.core) == c.id && (e.queue == c.now.queue || c.known[e.queue] >= e.time)
}

func (c *Core) fault(kind Kind, a *Area, lo, hi int64, other *event, detail string, args ...any) *Fault {
	f := &Fault{
		Kind: kind, Plan: c.l.g.p, Vocab: c.l.g.vocab, Kernel: c.k, Launch: c.l.step.Name, Core: c.id,
		At: Place{int(c.now.instr), c.now.block}, Other: Place{Instr: -1}, Lo: lo, Hi: hi, Detail: fmt.Sprintf(detail, args...),
	}
	if other != nil {
		f.Other = Place{int(other.instr), other.block}
	}
	f.What = c.what(a)
	return f
}

func (c *Core) what(a *Area) string {
	if a.Local >= 0 {
		return "local " + c.l.g.p.Memories[a.Mem].Name + "." + c.k.Locals[a.Local].Name
	}
	arg := c.l.step.Args[a.Param]
	return fmt.Sprintf("parameter %s (buffer %s)", c.k.Params[a.Param].Name, c.l.g.p.Buffers[arg.Buffer].Name)
}

func (c *Core) queueName(q int16) string { return QueueName(c.l.g.p, int(q)) }

// Read notes that the instruction reads an area.
func (c *Core) Read(a *Area) error {
	c.err = nil
	if a.Local >= 0 {
		c.now.local = int16(a.Local)
		s := &c.mems[a.Mem]
		a.runs(func(lo, hi int64) bool { return c.readLocal(s, a, lo, hi) })
	} else {
		c.readGlobal(a)
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

func (c *Core) readLocal(s *shadow, a *Area, lo, hi int64) bool {
	return s.read(lo, hi, c.now,
		func(g *seg, lo, hi int64) bool { return c.afterWrite(g, a, lo, hi, true) },
		func(lo, hi int64) bool {
			c.err = c.fault(Unwritten, a, lo, hi, nil, "nothing has written these bytes of %s", c.what(a))
			c.err.Help = "write them first, in the same kernel"
			return false
		})
}

// afterWrite judges a read of what another instruction wrote.
func (c *Core) afterWrite(g *seg, a *Area, lo, hi int64, local bool) bool {
	w := &g.write
	if !c.ordered(w) {
		if int64(w.core) != c.id {
			c.err = c.fault(TwoCores, a, lo, hi, w, "core %d reads what core %d writes in the same launch", c.id, w.core)
			c.err.Help = "let the reader be a later kernel"
			return false
		}
		c.err = c.fault(NotArrived, a, lo, hi, w, "%s reads what %s writes, and no signal and wait order the two", c.queueName(c.now.queue), c.queueName(w.queue))
		c.err.Help = fmt.Sprintf("signal on %s after the write, and wait on %s before the read", c.queueName(w.queue), c.queueName(c.now.queue))
		return false
	}
	if local && int(w.local) != a.Local {
		c.err = c.fault(Overlap, a, lo, hi, w, "local %s is read where local %s was written last", c.k.Locals[a.Local].Name, c.k.Locals[w.local].Name)
		return false
	}
	return true
}

// Write notes that the instruction writes an area.
func (c *Core) Write(a *Area) error {
	c.err = nil
	if a.Local >= 0 {
		c.now.local = int16(a.Local)
		s := &c.mems[a.Mem]
		a.runs(func(lo, hi int64) bool {
			return s.write(lo, hi, c.now, func(g *seg, lo, hi int64) bool { return c.beforeWrite(g, a, lo, hi) })
		})
	} else {
		c.writeGlobal(a)
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

// beforeWrite judges a write over what others wrote and read.
func (c *Core) beforeWrite(g *seg, a *Area, lo, hi int64) bool {
	clash := func(e *event, did string) bool {
		if int64(e.core) != c.id {
			c.err = c.fault(TwoCores, a, lo, hi, e, "core %d writes what core %d %s in the same launch", c.id, e.core, did)
			return false
		}
		c.err = c.fault(TwoQueues, a, lo, hi, e, "%s writes what %s %s, and no signal and wait order the two", c.queueName(c.now.queue), c.queueName(e.queue), did)
		c.err.Help = fmt.Sprintf("signal on %s when it is done with the tile, and wait on %s before it is used again", c.queueName(e.queue), c.queueName(c.now.queue))
		return false
	}
	for i := range g.reads {
		if !c.ordered(&g.reads[i]) {
			return clash(&g.reads[i], "reads")
		}
	}
	if g.write.time > 0 && !c.ordered(&g.write) {
		return clash(&g.write, "writes")
	}
	return true
}

// A page of global memory has its own list of segs, so that narrow tiles of a wide matrix do not make one long list.
const pageBits = 15

// page finds the history of a piece of a tracked buffer.
func (l *Launch) page(slot int, at int64) *shadow {
	p := l.pages[slot][at>>pageBits]
	if p == nil {
		p = &shadow{}
		l.pages[slot][at>>pageBits] = p
	}
	return p
}

// paged cuts a range at page borders.
func paged(lo, hi int64, f func(lo, hi int64) bool) bool {
	for lo < hi {
		end := min(hi, (lo>>pageBits+1)<<pageBits)
		if !f(lo, end) {
			return false
		}
		lo = end
	}
	return true
}

func (c *Core) readGlobal(a *Area) {
	l := c.l
	arg := l.step.Args[a.Param]
	if w := l.g.written[arg.Buffer]; w != nil {
		a.runs(func(lo, hi int64) bool {
			if at := w.firstZero(arg.Offset+lo, arg.Offset+hi) - arg.Offset; at < hi {
				c.err = c.fault(Unwritten, a, at, hi, nil, "nothing has written these bytes of %s", c.what(a))
				return false
			}
			return true
		})
	}
	slot := l.track[a.Param]
	if slot < 0 || c.err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.runs(func(lo, hi int64) bool {
		return paged(arg.Offset+lo, arg.Offset+hi, func(lo, hi int64) bool {
			return l.page(slot, lo).read(lo, hi, c.now,
				func(g *seg, lo, hi int64) bool { return c.afterWrite(g, a, lo-arg.Offset, hi-arg.Offset, false) },
				func(lo, hi int64) bool { return true })
		})
	})
}

func (c *Core) writeGlobal(a *Area) {
	l := c.l
	arg := l.step.Args[a.Param]
	slot := l.track[a.Param]
	if slot >= 0 {
		l.mu.Lock()
		a.runs(func(lo, hi int64) bool {
			return paged(arg.Offset+lo, arg.Offset+hi, func(lo, hi int64) bool {
				return l.page(slot, lo).write(lo, hi, c.now,
					func(g *seg, lo, hi int64) bool { return c.beforeWrite(g, a, lo-arg.Offset, hi-arg.Offset) })
			})
		})
		l.mu.Unlock()
	}
	if w := l.g.written[arg.Buffer]; w != nil && c.err == nil {
		a.runs(func(lo, hi int64) bool {
			w.set(arg.Offset+lo, arg.Offset+hi)
			return true
		})
	}
}
