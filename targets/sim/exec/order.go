package exec

import (
	"math/rand/v2"

	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// Order decides, for each core in each step, in which order its queues do what was issued to them. It is called from several
// goroutines.
type Order func(step int, core int64) Chooser

// Chooser picks one of the queues that can go on; the scalar unit's number means that it issues the next instruction. ready is
// ascending and never empty; a result that is not in it is an error of the run.
type Chooser func(ready []int) int

// Random is an order that respects queues and flags and nothing else, different for every seed: it brings out waits that are missing.
func Random(seed uint64) Order {
	return func(step int, core int64) Chooser {
		r := rand.New(rand.NewPCG(seed, uint64(step)<<32^uint64(core)))
		last := -1
		return func(ready []int) int {
			// Now and then one queue runs far ahead of the others.
			if r.IntN(4) > 0 {
				for _, q := range ready {
					if q == last {
						return q
					}
				}
			}
			last = ready[r.IntN(len(ready))]
			return last
		}
	}
}

// Replay is a recorded order: the numbers of the queues in the order in which they did their instructions, signals and waits included,
// the scalar unit's own ones left out: it issues as far as needed.
func Replay(record func(step int, core int64) []int) Order {
	return func(step int, core int64) Chooser {
		list := record(step, core)
		return func(ready []int) int {
			if len(list) > 0 {
				for _, q := range ready {
					if q == list[0] {
						list = list[1:]
						return q
					}
				}
			}
			// Not issued yet: the scalar unit goes on.
			return scalarNext
		}
	}
}

// scalarNext stands for the scalar unit's queue, whatever its number.
const scalarNext = -1

// depth is how far the scalar unit may run ahead of a queue in an order that is not the plan's.
const depth = 4096

// runOrdered plays a core with the order that choose gives.
func (c *core) runOrdered() error {
	scalar := c.prog.scalar
	var held *instr // a wait of the scalar unit
	finished := false
	ready := make([]int, 0, c.prog.queues)
	for {
		if c.stop.Load() {
			return errStopped
		}
		ready = ready[:0]
		full, canIssue := false, false
		for q := range c.prog.queues {
			if q == scalar {
				ready = append(ready, q)
				continue
			}
			l := c.pending[q]
			full = full || len(l) >= depth
			if len(l) > 0 && (l[0].in.op != plan.Wait || c.flags[l[0].in.flag] > 0) {
				ready = append(ready, q)
			}
		}
		canIssue = !finished && !full && (held == nil || c.flags[held.flag] > 0)
		if !canIssue {
			for i, q := range ready {
				if q == scalar {
					ready = append(ready[:i], ready[i+1:]...)
					break
				}
			}
		}
		if len(ready) == 0 {
			if err := c.deadlock(held); err != nil {
				return err
			}
			return c.settle()
		}
		q := c.choose(ready)
		if q == scalarNext && canIssue {
			q = scalar
		}
		ok := false
		for _, r := range ready {
			ok = ok || r == q
		}
		if !ok {
			return c.fault(&instr{index: -1}, guard.Stuck, "the order to replay names a queue that cannot go on")
		}
		if q != scalar {
			if _, err := c.doFirst(q); err != nil {
				return err
			}
			continue
		}
		if held != nil {
			c.took(held, nil)
			held = nil
			continue
		}
		in, err := c.next()
		if err != nil {
			return err
		}
		switch {
		case in == nil:
			finished = true
		case in.queue != scalar:
			err = c.postpone(in)
		case in.op == plan.Wait:
			held = in
		case in.op == plan.Signal:
			c.raise(in, nil)
		default:
			var empty bool
			if empty, err = c.resolve(in, &c.frame); !empty && err == nil {
				c.frame.clock = nil
				err = c.do(&c.frame)
			}
		}
		if err != nil {
			return err
		}
	}
}
