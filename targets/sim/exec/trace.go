package exec

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"apogee/targets/plan"
)

// What a core does in a launch depends on the plan alone, unless its kernel reads a scalar from memory: the same instructions on the same
// tiles each time. Most of them leave nothing to be done, such as loops, flags, and moves that a product makes needless. The first time,
// a core notes what it really had to do; the next time it does that again, with the data of that time. Nobody watches then: a guard and
// an [Order] want each instruction.

// effect is something that a core had to do. Tiles are as resolved, without the bytes that they are in: those differ from run to run.
type effect struct {
	kind  effectKind
	frame *frame     // of an instruction
	a, b  operandRef // of a product
	sum   *sum
	tile  *lazyTile
	local int // of the tile
}

type effectKind uint8

const (
	effectInstr effectKind = iota
	effectProduct
	effectSum
	effectMove
)

// trace is what a core has to do in a launch.
type trace struct {
	effects []effect
	bytes   int64
	over    bool // it is not worth its memory
}

const (
	// traceLimit bounds the bytes that a machine spends on traces.
	traceLimit = 32 << 20
	// traceTrial is how many effects are noted before that counts.
	traceTrial = 32
)

// traceGain is how many instructions an effect must stand for. Tests change it.
var traceGain int64 = 8

// noTrace stands for a core and launch of which no trace is kept.
var noTrace = new(trace)

// traceable says whether all that a kernel does is known without its data.
func traceable(code []instr) bool {
	later := false
	for i := range code {
		if code[i].op == plan.LoadScalar {
			return false
		}
		later = later || code[i].op == plan.Mma
	}
	return later
}

// runTraced is run, by the trace in the slot if there is one; else it may leave one there. left is what the machine may still spend.
func (c *core) runTraced(prog *program, id int64, slot **trace, left *atomic.Int64) error {
	if *slot == noTrace || c.guard != nil || c.choose != nil {
		return c.run(prog, id)
	}
	if *slot != nil {
		return c.replay(prog, id, *slot)
	}
	t := &trace{}
	c.record, c.recorded = t, c.left
	err := c.run(prog, id)
	c.record = nil
	if err != nil {
		return err
	}
	*slot = noTrace
	t.drop(prog)
	t.forward(prog)
	if t.over || c.recorded-c.left < traceGain*int64(len(t.effects)) {
		return nil
	}
	if left.Add(-t.bytes) < 0 {
		left.Add(t.bytes)
		return nil
	}
	*slot = t
	return nil
}

// dropLimit bounds the pairs of effects that drop looks at.
const dropLimit = 1 << 20

// drop forgets moves into bytes that nothing uses afterwards. A core makes them when a tile is overwritten in part: the rest might have been
// wanted. What a launch leaves in a core's memories is nobody's.
func (t *trace) drop(prog *program) {
	pairs := 0
	for i := len(t.effects) - 1; i >= 0; i-- {
		e := &t.effects[i]
		if e.kind != effectMove {
			continue
		}
		if pairs += len(t.effects) - i; pairs > dropLimit {
			return
		}
		mem, used := prog.kernel.Locals[e.local].Mem, false
		for j := i + 1; j < len(t.effects) && !used; j++ {
			used = t.effects[j].touches(prog, mem, e.tile.lo, e.tile.hi)
		}
		if !used {
			t.effects = slices.Delete(t.effects, i, i+1)
		}
	}
}

// touches says whether an effect may read some bytes of a core's memory. Writing counts as well, since it may keep part of them.
func (e *effect) touches(prog *program, mem int, lo, hi int64) bool {
	over := func(v *view) bool {
		return v.has() && v.o.param < 0 && v.o.mem == mem && v.lo < hi && lo < v.hi
	}
	switch e.kind {
	case effectSum:
		return over(&e.sum.dst)
	case effectMove:
		return prog.kernel.Locals[e.local].Mem == mem && e.tile.lo < hi && lo < e.tile.hi
	case effectProduct:
		return over(&e.frame.dst) || over(&e.frame.c) || over(&e.frame.d) || e.a.buffer < 0 && over(&e.frame.a) || e.b.buffer < 0 && over(&e.frame.b)
	}
	for _, v := range e.frame.views() {
		if over(v) {
			return true
		}
	}
	return false
}

// note adds an effect to the trace that is being made.
func (c *core) note(e effect, size uintptr) {
	t := c.record
	n := int64(len(t.effects)) + 1
	t.bytes += int64(size + unsafe.Sizeof(e))
	if t.over = t.over || n > traceTrial && c.recorded-c.left < n*traceGain || t.bytes > traceLimit; t.over {
		t.effects = nil
		return
	}
	e.a.buf, e.b.buf = nil, nil
	t.effects = append(t.effects, e)
}

// noteInstr notes an instruction that is done now. It needs a trace that is being made.
func (c *core) noteInstr(kind effectKind, f *frame, a, b operandRef) {
	if c.record.over {
		return
	}
	g := *f
	g.clock = nil
	for _, v := range g.views() {
		v.buf, v.n = nil, nil
		if !f.in.indexed && (v == &g.dstIndex || v == &g.aIndex) {
			v.o = nil
		}
	}
	c.note(effect{kind: kind, frame: &g, a: a, b: b}, unsafe.Sizeof(g))
}

func (c *core) noteSum(s *sum) {
	if c.record == nil || c.record.over {
		return
	}
	x := *s
	x.dst.buf, x.dst.n, x.a.buf, x.b.buf = nil, nil, nil, nil
	c.note(effect{kind: effectSum, sum: &x}, unsafe.Sizeof(x))
}

func (c *core) noteMove(local int, t *lazyTile) {
	if c.record == nil || c.record.over {
		return
	}
	x := *t
	x.src.buf, x.by, x.seen = nil, nil, nil
	c.note(effect{kind: effectMove, tile: &x, local: local}, unsafe.Sizeof(x))
}

// views are all operands of a frame, those that it does not have among them.
func (f *frame) views() [8]*view {
	return [...]*view{&f.dst, &f.dst2, &f.a, &f.b, &f.c, &f.d, &f.dstIndex, &f.aIndex}
}

// rebind gives a view of a trace the bytes of this run.
func (c *core) rebind(v *view) {
	o := v.o
	if o.param >= 0 {
		v.buf = c.params[o.param]
	} else {
		v.buf = c.mems[o.mem]
	}
	if v.n = &v.dyn; o.fixed {
		v.n = &o.n
	}
}

// bytesOf is a buffer of the plan in this run, or the bytes of the view for one that is none.
func (c *core) bytesOf(buffer int, v *view) []byte {
	if buffer >= 0 {
		return c.bufs[buffer]
	}
	return v.buf
}

// replay does what a trace says.
func (c *core) replay(prog *program, id int64, t *trace) error {
	c.prog, c.id = prog, id
	f := &c.frame
	for i := range t.effects {
		if c.stop.Load() {
			return errStopped
		}
		switch e := &t.effects[i]; e.kind {
		case effectSum:
			s := *e.sum
			c.rebind(&s.dst)
			s.dst.n = &s.dst.dyn
			s.a.buf, s.b.buf = c.bytesOf(s.a.buffer, nil), c.bytesOf(s.b.buffer, nil)
			c.multiply(&s)
		case effectMove:
			x := *e.tile
			x.src.buf = c.bytesOf(x.src.buffer, nil)
			c.moveNow(e.local, &x)
		default:
			*f = *e.frame
			c.block = f.block
			for _, v := range f.views() {
				if v.has() {
					c.rebind(v)
				}
			}
			var err error
			switch {
			case e.kind == effectProduct:
				a, b := e.a, e.b
				a.buf, b.buf = c.bytesOf(a.buffer, &f.a), c.bytesOf(b.buffer, &f.b)
				c.productNow(f, a, b)
			case f.in.op == plan.Move:
				err = c.moveTile(f)
			default:
				err = f.in.run(c, f)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
