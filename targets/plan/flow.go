package plan

import "fmt"

// flow checks what ifs and loops ask of buffers. That ranges of steps prove that buffers may share bytes rests on this: what a step
// reads of a temporary was written before on every way to it, in the same round if the buffer lives within a round only; and a
// buffer that lives when a loop begins and is used in it lives to the loop's end, since the next round finds it as this one
// left it.
func (c *checker) flow() {
	to, ok := Nest(c.p.Steps)
	if !ok {
		return // [Validate] tells
	}
	f := &flow{checker: c, to: to, written: make([]uint64, (len(c.p.Buffers)+63)/64)}
	for i := range c.p.Buffers {
		if k := c.p.Buffers[i].Kind; k != Temp && k != Workspace {
			f.set(i)
		}
	}
	f.walk(0, len(c.p.Steps))
	f.loops()
}

type flow struct {
	*checker
	to      []int
	written []uint64 // by buffer: something was written to it, on every way here
	told    map[int]bool
}

func (f *flow) set(buffer int)      { f.written[buffer>>6] |= 1 << (buffer & 63) }
func (f *flow) has(buffer int) bool { return f.written[buffer>>6]&(1<<(buffer&63)) != 0 }

// where names a step.
func (f *flow) where(i int) string { return fmt.Sprintf("step %d %s", i, f.p.Steps[i].Name) }

func (f *flow) reads(i, buffer int) {
	if buffer == None || f.has(buffer) || f.p.Buffers[buffer].Kind != Temp || f.told[buffer] {
		return
	}
	if f.told == nil {
		f.told = map[int]bool{}
	}
	f.told[buffer] = true
	f.errorf(codeLife, f.where(i), "buffer %s is read, but not every way here writes it", f.p.Buffers[buffer].Name).
		Expect("a step before, on each branch and in each round, that writes it", "a way without one")
}

// walk goes through the steps from … to-1, which are whole ifs and loops.
func (f *flow) walk(from, end int) {
	for i := from; i < end; i++ {
		s := &f.p.Steps[i]
		switch s.Op {
		case LaunchStep:
			k := &f.p.Kernels[s.Kernel]
			for j, a := range s.Args {
				if !k.Params[j].Write && k.Params[j].Read {
					f.reads(i, a.Buffer)
				}
			}
			for j, a := range s.Args {
				if k.Params[j].Write {
					f.set(a.Buffer)
				}
			}
		case IfStep:
			f.lives(i, s.Control.Cond, i)
			f.reads(i, s.Control.Cond)
			before := append([]uint64(nil), f.written...)
			f.walk(i+1, f.to[i])
			last := f.to[i]
			if f.p.Steps[last].Op == ElseStep {
				one := f.written
				f.written = before
				f.walk(last+1, f.to[last])
				for w := range one {
					f.written[w] &= one[w]
				}
				last = f.to[last]
			} else {
				f.written = before
			}
			i = last
		case LoopStep:
			x := s.Control
			f.lives(i, x.Trip, i)
			f.lives(i, x.Cond, f.to[i])
			f.lives(i, x.Index, i)
			f.reads(i, x.Trip)
			f.reads(i, x.Cond)
			if b := x.Index; b != None {
				if k := f.p.Buffers[b].Kind; k == Weight || k == Const || k == Input {
					f.errorf(codeLife, f.where(i), "the loop writes its round's number to %s %s", k, f.p.Buffers[b].Name).
						Expect("a buffer that may be written", "one of kind "+k.String())
				}
			}
			before := append([]uint64(nil), f.written...)
			if x.Index != None {
				f.set(x.Index)
			}
			f.walk(i+1, f.to[i])
			f.written = before
			i = f.to[i]
		}
	}
}

// lives checks that a buffer that step i goes by lives then, and to step last.
func (f *flow) lives(i, buffer, last int) {
	if buffer == None {
		return
	}
	if b := &f.p.Buffers[buffer]; b.Kind == Temp && (i < b.First || last > b.Last) {
		f.errorf(codeLife, f.where(i), "buffer %s is used outside its lifetime", b.Name).
			Expect(fmt.Sprintf("steps %d to %d", b.First, b.Last), fmt.Sprintf("%d to %d", i, last))
	}
}

// loops checks that no temporary dies within a loop that it was alive before.
func (f *flow) loops() {
	around := make([]int, len(f.p.Steps)) // the innermost loop around each step, or -1
	loop := -1
	var open []int
	for i := range f.p.Steps {
		if f.p.Steps[i].Op == EndStep && f.to[i] == loop {
			loop = open[len(open)-1]
			open = open[:len(open)-1]
		}
		around[i] = loop
		if f.p.Steps[i].Op == LoopStep {
			open = append(open, loop)
			loop = i
		}
	}
	for i := range f.p.Buffers {
		b := &f.p.Buffers[i]
		if b.Kind != Temp || b.Last >= len(around) || b.Last < 0 {
			continue
		}
		for l := around[b.Last]; l >= 0; l = around[l] {
			if b.First <= l && b.Size > 0 {
				f.errorf(codeLife, f.where(l), "buffer %s lives before the loop, but not to its end, though the next round finds it as this one leaves it", b.Name).
					Expect(fmt.Sprintf("a life to step %d", f.to[l]), fmt.Sprintf("steps %d..%d", b.First, b.Last))
				break
			}
		}
	}
}
