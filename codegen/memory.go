package codegen

import (
	"sort"

	"apogee/targets/plan"
)

// lifetimes finds the first and last step that touches each buffer. Only temporaries die. One that is touched within a loop and
// outside of it lives throughout the loop, since the next round needs it as well.
func (b *compiler) lifetimes() {
	steps := b.p.Steps
	to, _ := plan.Nest(steps)
	around := make([]int, len(steps)) // the innermost loop around each step, -1 for none; a loop and its end are not in it
	loop := -1
	for i := range steps {
		if steps[i].Op == plan.EndStep && to[i] == loop {
			loop = around[loop]
		}
		around[i] = loop
		if steps[i].Op == plan.LoopStep {
			loop = i
		}
	}
	touches := func(f func(step, buffer int)) {
		for i := range steps {
			for _, a := range steps[i].Args {
				f(i, a.Buffer)
			}
			if c := steps[i].Control; c != nil {
				for _, x := range [...]int{c.Cond, c.Trip, c.Index} {
					if x != plan.None {
						f(i, x)
					}
				}
				if steps[i].Op == plan.LoopStep && c.Cond != plan.None {
					f(to[i], c.Cond)
				}
				if steps[i].Op == plan.LoopStep && c.Index != plan.None {
					f(to[i], c.Index)
				}
			}
		}
	}
	// The innermost loop that has all touches of a buffer in it.
	const untouched = -2
	within := make([]int, len(b.p.Buffers))
	for i := range within {
		within[i] = untouched
	}
	touches(func(i, buf int) {
		w := around[i]
		if x := within[buf]; x != untouched {
			for w != x { // to where both are: loops further in have greater numbers
				if w > x {
					w = around[w]
				} else {
					x = around[x]
				}
			}
		}
		within[buf] = w
	})
	touches(func(i, buf int) {
		first, last := i, i
		for l := around[i]; l != within[buf]; l = around[l] {
			first, last = l, to[l]
		}
		x := &b.p.Buffers[buf]
		if x.First < 0 || first < x.First {
			x.First = first
		}
		x.Last = max(x.Last, last)
	})
	for i := range b.p.Buffers {
		if x := &b.p.Buffers[i]; x.Kind != plan.Temp || x.First < 0 {
			x.First, x.Last = 0, max(len(b.p.Steps)-1, 0)
		}
	}
}

// addresses places the buffers in global memory: what lives throughout first, then the temporaries, the largest first, each at the
// lowest address where it meets no other while both are alive.
func (b *compiler) addresses() {
	align := max(b.t.Memories[0].Align, 1)
	top := int64(0)
	var temps []int
	for i := range b.p.Buffers {
		x := &b.p.Buffers[i]
		if x.Kind == plan.Temp {
			temps = append(temps, i)
			continue
		}
		x.Addr = top
		top = up(top+x.Size, align)
	}
	sort.SliceStable(temps, func(i, j int) bool { return b.p.Buffers[temps[i]].Size > b.p.Buffers[temps[j]].Size })
	placed := newLives(len(b.p.Steps))
	var meet []int
	for _, i := range temps {
		x := &b.p.Buffers[i]
		meet = placed.meeting(x.First, x.Last, meet[:0])
		sort.Slice(meet, func(a, c int) bool {
			if p, q := b.p.Buffers[meet[a]].Addr, b.p.Buffers[meet[c]].Addr; p != q {
				return p < q
			}
			return meet[a] < meet[c]
		})
		at := top
		for _, j := range meet {
			y := &b.p.Buffers[j]
			if y.Addr-at >= x.Size {
				break
			}
			at = max(at, up(y.Addr+y.Size, align))
		}
		x.Addr = at
		if x.Size > 0 {
			placed.add(i, x.First, x.Last)
		}
	}
}

// lives finds which of the buffers placed so far are alive in a stretch of steps: those that begin in it, listed by their first
// step, and those alive at its start, found in a tree of halves of the run (each life is cut in at most 2 log n pieces).
type lives struct {
	size   int
	starts [][]int
	tree   [][]int
}

func newLives(steps int) *lives {
	n := 1
	for n < steps {
		n *= 2
	}
	return &lives{size: n, starts: make([][]int, n), tree: make([][]int, 2*n)}
}

func (l *lives) add(id, first, last int) {
	l.starts[first] = append(l.starts[first], id)
	for a, z := first+l.size, last+1+l.size; a < z; a, z = a/2, z/2 {
		if a&1 == 1 {
			l.tree[a] = append(l.tree[a], id)
			a++
		}
		if z&1 == 1 {
			z--
			l.tree[z] = append(l.tree[z], id)
		}
	}
}

// meeting appends the buffers alive in some step from first to last.
func (l *lives) meeting(first, last int, out []int) []int {
	for n := first + l.size; n > 0; n /= 2 {
		out = append(out, l.tree[n]...)
	}
	for s := first + 1; s <= last; s++ {
		out = append(out, l.starts[s]...)
	}
	return out
}
