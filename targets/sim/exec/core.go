package exec

import (
	"errors"
	"sync/atomic"

	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// core plays one core of the chip at a time: its memories, registers and queues, and scratch for computing.
type core struct {
	mems   [][]byte // by memory; global is empty
	regs   []int64
	rounds []round
	flags  []int64
	stop   *atomic.Bool

	// What runs.
	prog   *program
	params [][]byte
	launch string
	bound  func(param int) string // names the buffer of a parameter, for errors
	id     int64
	block  int64
	grid   int64
	cores  int64
	left   int64 // instructions until the limit
	frame  frame

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
	ta, tb     []float32
	pa, pb     []float32
}

// round is where a loop stands.
type round struct{ at, left int64 }

var errStopped = errors.New("stopped")

func newCore(p *plan.Plan) *core {
	c := &core{mems: make([][]byte, len(p.Memories))}
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
	for c.block = id; c.block < c.grid; c.block += c.cores {
		c.regs[plan.RegBlock] = c.block
		if err := c.walk(); err != nil {
			return err
		}
	}
	return c.settle()
}

// walk issues the code of one block.
func (c *core) walk() error {
	code := c.prog.code
	regs := c.regs
	for pc := 0; pc < len(code); pc++ {
		in := &code[pc]
		if c.left--; c.left < 0 {
			return c.fault(in, guard.BadValue, "more instructions than the limit allows")
		}
		switch in.op {
		case plan.Loop:
			n := in.y.eval(regs)
			if n <= 0 {
				pc = in.jump
				continue
			}
			at := in.x.eval(regs)
			c.rounds[in.loop] = round{at, n}
			regs[in.reg] = at
		case plan.End:
			if c.stop.Load() {
				return errStopped
			}
			r := &c.rounds[in.loop]
			if r.left--; r.left > 0 {
				r.at++
				regs[in.reg] = r.at
				pc = in.jump
			}
		case plan.Set:
			if err := c.setRegister(in); err != nil {
				return err
			}
		default:
			if err := c.issue(in); err != nil {
				return err
			}
		}
	}
	return nil
}

// issue gives an instruction to its queue, which does it at once unless it waits.
func (c *core) issue(in *instr) error {
	if c.stop.Load() {
		return errStopped
	}
	if c.waiting > 0 && in.queue != c.prog.scalar && len(c.pending[in.queue]) > 0 {
		return c.postpone(in)
	}
	switch in.op {
	case plan.Signal:
		return c.signal(in)
	case plan.Wait:
		if c.flags[in.flag] > 0 {
			c.flags[in.flag]--
			return nil
		}
		if in.queue == c.prog.scalar {
			return c.fault(in, guard.Stuck, "the scalar unit waits for flag %s, which nothing issued so far signals", c.prog.kernel.Flags[in.flag].Name)
		}
		c.waiting++
		return c.postpone(in)
	}
	f := &c.frame
	empty, err := c.resolve(in, f)
	if empty || err != nil {
		return err
	}
	return in.run(c, f)
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
	c.pending[in.queue] = append(q, f)
	return nil
}

// signal raises a flag and lets the queue go on that waits for it.
func (c *core) signal(in *instr) error {
	c.flags[in.flag]++
	to := c.prog.kernel.Flags[in.flag].To
	if c.waiting == 0 || len(c.pending[to]) == 0 {
		return nil
	}
	return c.drain(to)
}

// drain does what a queue can do.
func (c *core) drain(q int) error {
	done := 0
	var err error
	list := c.pending[q]
	for done < len(list) && err == nil {
		f := list[done]
		switch f.in.op {
		case plan.Wait:
			if c.flags[f.in.flag] == 0 {
				goto out
			}
			c.flags[f.in.flag]--
		case plan.Signal:
			c.flags[f.in.flag]++
			// Queues that this one wakes go on when it stops.
		default:
			err = f.in.run(c, f)
		}
		c.free = append(c.free, f)
		done++
	}
out:
	c.pending[q] = append(list[:0], list[done:]...)
	if len(c.pending[q]) == 0 {
		c.waiting--
	}
	if err != nil || done == 0 {
		return err
	}
	for o := range c.pending {
		if l := c.pending[o]; len(l) > 0 && l[0].in.op == plan.Wait && c.flags[l[0].in.flag] > 0 {
			if err := c.drain(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle checks that nothing is left when the core has issued all.
func (c *core) settle() error {
	for _, l := range c.pending {
		if len(l) > 0 {
			in := l[0].in
			c.block = l[0].block
			return c.fault(in, guard.Stuck, "a wait for flag %s that no signal ends", c.prog.kernel.Flags[in.flag].Name)
		}
	}
	for i, f := range c.prog.kernel.Flags {
		if c.flags[i] != int64(f.Credits) {
			e := c.fault(&instr{index: -1}, guard.Stuck, "flag %s ends at %d: a kernel leaves a flag at its credits, here %d", f.Name, c.flags[i], f.Credits)
			return e
		}
	}
	return nil
}
