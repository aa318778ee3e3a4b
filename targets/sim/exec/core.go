package exec

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
	"apogee/targets/sim/kernels"
)

// core plays one core of the chip at a time: its memories, registers and queues, and scratch for computing.
type core struct {
	mems   [][]byte // by memory; global is empty
	regs   []int64
	rounds []round
	flags  []int64
	stop   *atomic.Bool

	// What runs.
	dev    *Device
	plan   *plan.Plan
	prog   *program
	params [][]byte
	args   []binding
	bufs   [][]byte // all of the plan's buffers
	launch string
	bound  func(param int) string // names the buffer of a parameter, for errors
	id     int64
	block  int64
	grid   int64
	cores  int64
	left   int64 // instructions until the limit
	pc     int
	frame  frame

	// What watches, and who decides what comes next; nil for nobody and the plan.
	guard   *guard.Core
	watcher *guard.Core // for guard, when it is on
	watched *guard.Launch
	choose  Chooser
	area    guard.Area

	// What is done later: moves by local, and open sums.
	lazyOn bool
	lazy   [][]lazyTile
	sums   []sum
	packs  map[packKey]*pack // the device's, as far as this core has met them
	recent [recentPacks]recentPack
	packs8 map[packKey]*kernels.Int8B

	// The trace that is being made, nil for none, and what was left of the instructions when it began.
	record   *trace
	recorded int64

	// Queues that wait: what was issued to them since.
	waiting int
	pending [][]*frame
	free    []*frame

	// Scratch.
	loop       loop
	banks      [4]any
	raw, tmp   []byte
	row32      []float32
	row64      []float64
	rowInt     []int64
	order      []int32
	ma, mb, md []float32
	// Of products with scales: decoded scales, sums of a block, and factors of a row.
	scalesA, scalesB   []float64
	blockSums, factors []float32
	ta, tb             []float32
	pa, pb             []float32
	ints               []int8
	int8B              kernels.Int8B
}

// binding is the buffer of a parameter in a launch.
type binding struct {
	buf    []byte // the whole buffer
	buffer int
	off    int64 // where the parameter begins
	stable bool  // nothing writes it during the launch
	fixed  bool  // nothing ever writes it
}

// round is where a loop stands.
type round struct{ at, left int64 }

var errStopped = errors.New("stopped")

func newCore(d *Device, p *plan.Plan) *core {
	c := &core{dev: d, packs: map[packKey]*pack{}, packs8: map[packKey]*kernels.Int8B{}, mems: make([][]byte, len(p.Memories))}
	for i := 1; i < len(p.Memories); i++ {
		c.mems[i] = alloc(p.Memories[i].Size)
	}
	return c
}

func (c *core) f32() *bank[float32] {
	if c.banks[0] == nil {
		c.banks[0] = newBank(format.DecodeF32, format.EncodeF32)
	}
	return c.banks[0].(*bank[float32])
}

func (c *core) f64() *bank[float64] {
	if c.banks[1] == nil {
		c.banks[1] = newBank(format.DecodeF64, format.EncodeF64)
	}
	return c.banks[1].(*bank[float64])
}

func (c *core) odd64() *bank[float64] {
	if c.banks[2] == nil {
		c.banks[2] = newBank(decodeOdd, format.EncodeF64)
	}
	return c.banks[2].(*bank[float64])
}

func (c *core) i64() *bank[int64] {
	if c.banks[3] == nil {
		c.banks[3] = newBank(format.DecodeI64, encodeI64)
	}
	return c.banks[3].(*bank[int64])
}

func (c *core) bytes(n int) []byte {
	if len(c.tmp) < n {
		c.tmp = alloc(int64(n))
	}
	return c.tmp[:n]
}

// run plays core id: blocks id, id+cores, … of the grid.
func (c *core) run(prog *program, id int64) error {
	c.prog, c.id = prog, id
	k := prog.kernel
	c.regs = grow(c.regs, int64(k.Regs))
	clear(c.regs)
	c.regs[plan.RegCore], c.regs[plan.RegCores] = id, c.cores
	c.rounds = grow(c.rounds, int64(prog.loops))
	c.flags = grow(c.flags, int64(len(k.Flags)))
	for i := range k.Flags {
		c.flags[i] = int64(k.Flags[i].Credits)
	}
	if len(c.pending) < prog.queues {
		c.pending = make([][]*frame, prog.queues)
	}
	for q := range c.pending {
		c.pending[q] = c.pending[q][:0]
	}
	c.waiting = 0
	c.sums = c.sums[:0]
	for len(c.lazy) < len(k.Locals) {
		c.lazy = append(c.lazy, nil)
	}
	for i := range c.lazy {
		c.lazy[i] = c.lazy[i][:0]
	}
	c.lazyOn = c.choose == nil
	if c.guard != nil {
		c.guard.Start(c.watched, id)
	}
	c.block = id - c.cores
	c.pc = len(prog.code)
	if c.choose != nil {
		return c.runOrdered()
	}
	for {
		in, err := c.next()
		if err != nil {
			return err
		}
		if in == nil {
			return c.settle()
		}
		if err := c.issue(in); err != nil {
			return err
		}
	}
}

// next walks the code, from block to block, up to the next instruction that is not the scalar unit's own; nil at the end of all.
func (c *core) next() (*instr, error) {
	code := c.prog.code
	regs := c.regs
	for {
		if c.pc >= len(code) {
			c.block += c.cores
			if c.block >= c.grid {
				return nil, nil
			}
			regs[plan.RegBlock] = c.block
			c.pc = 0
			if c.stop.Load() {
				return nil, errStopped
			}
			if len(code) == 0 {
				return nil, nil
			}
		}
		in := &code[c.pc]
		if c.left--; c.left < 0 {
			return nil, c.fault(in, guard.BadValue, "more instructions than the limit allows")
		}
		c.pc++
		switch in.op {
		case plan.Loop:
			n := in.y.eval(regs)
			if n <= 0 {
				c.pc = in.jump + 1
				continue
			}
			at := in.x.eval(regs)
			c.rounds[in.loop] = round{at, n}
			regs[in.reg] = at
		case plan.End:
			if c.stop.Load() {
				return nil, errStopped
			}
			r := &c.rounds[in.loop]
			if r.left--; r.left > 0 {
				r.at++
				regs[in.reg] = r.at
				c.pc = in.jump + 1
			}
		case plan.Set:
			if err := c.setRegister(in); err != nil {
				return nil, err
			}
		default:
			return in, nil
		}
	}
}

// issue gives an instruction to its queue, which does it at once unless it waits.
func (c *core) issue(in *instr) error {
	if c.waiting > 0 && in.queue != c.prog.scalar && len(c.pending[in.queue]) > 0 {
		return c.postpone(in)
	}
	switch in.op {
	case plan.Signal:
		return c.signal(in, nil)
	case plan.Wait:
		if c.flags[in.flag] > 0 {
			c.took(in, nil)
			return nil
		}
		if in.queue == c.prog.scalar {
			return c.deadlock(in)
		}
		c.waiting++
		return c.postpone(in)
	}
	if c.stop.Load() {
		return errStopped
	}
	f := &c.frame
	empty, err := c.resolve(in, f)
	if empty || err != nil {
		return err
	}
	return c.do(f)
}

// do executes an instruction.
func (c *core) do(f *frame) error {
	if c.guard != nil {
		if err := c.watch(f); err != nil {
			return err
		}
	}
	if len(c.sums) > 0 {
		for i, v := range [...]*view{&f.dst, &f.dst2, &f.a, &f.b, &f.c, &f.d} {
			// A product sees to its result itself: it may belong to an open sum.
			if v.has() && (i > 0 || f.in.op != plan.Mma) {
				c.settleSums(v)
			}
		}
	}
	if c.record != nil && f.in.op != plan.Mma && !f.in.lazy { // those note themselves what is left of them
		c.noteInstr(effectInstr, f, operandRef{}, operandRef{})
	}
	return f.in.run(c, f)
}

// took notes that a wait is over.
func (c *core) took(in *instr, clock []int64) {
	c.flags[in.flag]--
	if c.guard != nil {
		c.guard.Wait(in.queue, in.flag, clock)
	}
}

// raise notes a signal.
func (c *core) raise(in *instr, clock []int64) {
	c.flags[in.flag]++
	if c.guard != nil {
		c.guard.Signal(in.queue, in.flag, clock)
	}
}

// maxPending bounds what a waiting queue holds.
const maxPending = 1 << 16

// postpone keeps an instruction for a queue that waits. Operands are evaluated now.
func (c *core) postpone(in *instr) error {
	q := c.pending[in.queue]
	if len(q) >= maxPending {
		return c.fault(in, guard.Stuck, "%d instructions are issued to a queue that waits", len(q))
	}
	var f *frame
	if n := len(c.free); n > 0 {
		f, c.free = c.free[n-1], c.free[:n-1]
	} else {
		f = new(frame)
	}
	f.in, f.block = in, c.block
	if in.op != plan.Signal && in.op != plan.Wait {
		empty, err := c.resolve(in, f)
		if empty || err != nil {
			c.free = append(c.free, f)
			return err
		}
	}
	if c.guard != nil {
		f.clock = c.guard.Issue(f.clock)
	}
	c.pending[in.queue] = append(q, f)
	return nil
}

// signal raises a flag and lets the queue go on that waits for it.
func (c *core) signal(in *instr, clock []int64) error {
	c.raise(in, clock)
	to := c.prog.kernel.Flags[in.flag].To
	if c.waiting == 0 || len(c.pending[to]) == 0 {
		return nil
	}
	return c.drain(to)
}

// doFirst executes the first instruction that a queue holds; false if that is a wait that is not over.
func (c *core) doFirst(q int) (bool, error) {
	f := c.pending[q][0]
	var err error
	switch f.in.op {
	case plan.Wait:
		if c.flags[f.in.flag] == 0 {
			return false, nil
		}
		c.took(f.in, f.clock)
	case plan.Signal:
		c.raise(f.in, f.clock)
	default:
		err = c.do(f)
	}
	c.pending[q] = c.pending[q][1:]
	c.free = append(c.free, f)
	return true, err
}

// drain does what a queue that waited can do, and then what others can do for its signals.
func (c *core) drain(q int) error {
	list := c.pending[q]
	for len(c.pending[q]) > 0 {
		ok, err := c.doFirst(q)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	c.pending[q] = append(list[:0], c.pending[q]...)
	if len(c.pending[q]) == 0 {
		c.waiting--
	}
	for o, l := range c.pending {
		if len(l) > 0 && l[0].in.op == plan.Wait && c.flags[l[0].in.flag] > 0 {
			return c.drain(o)
		}
	}
	return nil
}

// settle checks that nothing is left when the core has issued all.
func (c *core) settle() error {
	for len(c.sums) > 0 {
		c.closeSum(0)
	}
	if err := c.deadlock(nil); err != nil {
		return err
	}
	for i, f := range c.prog.kernel.Flags {
		if c.flags[i] != int64(f.Credits) {
			return c.fault(&instr{index: -1}, guard.Stuck, "flag %s ends at %d: a kernel leaves a flag at its credits, here %d", f.Name, c.flags[i], f.Credits)
		}
	}
	return nil
}

// deadlock makes an error that lists what waits when nothing can go on, nil when nothing waits. held is a wait of the scalar unit.
func (c *core) deadlock(held *instr) error {
	var first *instr
	var block int64
	var list []string
	add := func(in *instr, b int64) {
		if first == nil {
			first, block = in, b
		}
		list = append(list, fmt.Sprintf("%s waits for flag %s at instruction %d of block %d",
			guard.QueueName(c.prog.plan, in.queue), c.prog.kernel.Flags[in.flag].Name, in.index, b))
	}
	if held != nil {
		add(held, c.block)
	}
	for _, l := range c.pending {
		if len(l) > 0 {
			add(l[0].in, l[0].block)
		}
	}
	if first == nil {
		return nil
	}
	c.block = block
	return c.fault(first, guard.Stuck, "no signal will come: %s", strings.Join(list, "; "))
}
