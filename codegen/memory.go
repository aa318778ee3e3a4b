package codegen

import (
	"sort"

	"apogee/targets/plan"
)

// lifetimes finds the first and last step that touches each buffer. Only temporaries die.
func (b *compiler) lifetimes() {
	for i, s := range b.p.Steps {
		for _, a := range s.Args {
			x := &b.p.Buffers[a.Buffer]
			if x.First < 0 {
				x.First = i
			}
			x.Last = i
		}
	}
	for i := range b.p.Buffers {
		if x := &b.p.Buffers[i]; x.Kind != plan.Temp || x.First < 0 {
			x.First, x.Last = 0, max(len(b.p.Steps)-1, 0)
		}
	}
}

// addresses places the buffers in global memory: what lives throughout first, then the temporaries, the largest first, each at the
// lowest address where it meets no other while both are alive.
func (b *compiler) addresses() {
	align := b.t.Memories[0].Align
	if align < 1 {
		align = 1
	}
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
	var placed []int // by address
	for _, i := range temps {
		x := &b.p.Buffers[i]
		at := top
		for _, j := range placed {
			y := &b.p.Buffers[j]
			if y.Last < x.First || y.First > x.Last {
				continue
			}
			if y.Addr-at >= x.Size {
				break
			}
			at = max(at, up(y.Addr+y.Size, align))
		}
		x.Addr = at
		n := sort.Search(len(placed), func(k int) bool { return b.p.Buffers[placed[k]].Addr > at })
		placed = append(placed, 0)
		copy(placed[n+1:], placed[n:])
		placed[n] = i
	}
}

func up(n, to int64) int64 { return (n + to - 1) / to * to }
