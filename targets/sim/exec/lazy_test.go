package exec

import (
	"context"
	"math/rand"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

// atOnce is the order of issue, but by way of queues: with it nothing is done later than the plan says.
func atOnce(scalar int) Order {
	return func(int, int64) Chooser {
		return func(ready []int) int {
			for _, q := range ready {
				if q != scalar {
					return q
				}
			}
			return scalar
		}
	}
}

// TestLater runs random kernels of moves into operand memories, whole, in parts and over each other, between such memories, and products of
// tiles of them into several results, with and without doing things later, and again from what was noted the first time: the bits are the same.
func TestLater(t *testing.T) {
	c := loadChip(t, "ascend-910b")
	defer func(n int64) { traceGain = n }(traceGain)
	traceGain = 0 // however little is gained
	for seed := range int64(60) {
		r := rand.New(rand.NewSource(seed))
		b := newBuilder(t, c)
		const rows, cols = 48, 80
		f := format.F32
		if seed%4 == 3 {
			f = format.BF16
		}
		es := int64(f.Bits() / 8)
		x, w := b.buffer("x", plan.Input, f, rows, cols), b.buffer("w", plan.Weight, f, rows, cols)
		st := b.buffer("s", plan.State, f, rows, cols)
		y := b.buffer("y", plan.Output, format.F32, 40, 32, 32)
		b.kernel("later")
		src := []int{b.param(x, true, false), b.param(w, true, false), b.param(st, true, seed%2 == 0)}
		py := b.param(y, false, true)
		const side = 24
		l1 := []int{b.local("l1", "l1", side*side*es, 1), b.local("l1b", "l1", side*side*es, 1)}
		la, lb := b.local("a", "l0a", side*side*es, 1), b.local("b", "l0b", side*side*es, 1)
		acc := []int{b.local("c0", "l0c", 32*32*4, 1), b.local("c1", "l0c", 32*32*4, 1)}
		// part picks a tile of a square of the given width in a local or a parameter.
		part := func(tile func(off int64, m, n int64) plan.Tile, width int64, m, n int64, height int64) plan.Tile {
			i, j := int64(0), int64(0)
			if height > m {
				i = r.Int63n(height - m + 1)
			}
			if width > n {
				j = r.Int63n(width - n + 1)
			}
			return strided(tile((i*width+j)*es, m, n), width*es, es)
		}
		local := func(l int) func(off, m, n int64) plan.Tile {
			return func(off, m, n int64) plan.Tile { return b.at(l, f, plan.C(off), m, n) }
		}
		global := func(p int) func(off, m, n int64) plan.Tile {
			return func(off, m, n int64) plan.Tile { return b.global(p, f, plan.C(off), m, n) }
		}
		dim := func() int64 { return []int64{1, 2, 3, 8, 16, side}[r.Intn(6)] }
		turn := func(t plan.Tile) plan.Tile {
			if r.Intn(3) > 0 {
				return t
			}
			t.Size[0], t.Size[1] = t.Size[1], t.Size[0]
			t.Stride[0], t.Stride[1] = t.Stride[1], t.Stride[0]
			return t
		}
		_, out := b.path("l0c", "gm")
		_ = out
		stored := int64(0)
		k := int64(0)
		for range 60 {
			switch r.Intn(8) {
			case 0, 1:
				m, n := dim(), dim()
				if r.Intn(2) == 0 {
					m, n = side, side
				}
				a := part(global(src[r.Intn(3)]), cols, m, n, rows)
				d := part(local(l1[r.Intn(2)]), side, m, n, side)
				if r.Intn(3) == 0 && m == n {
					a = turn(a)
				}
				b.move(d, a)
			case 2, 3:
				m, n := dim(), dim()
				if r.Intn(2) == 0 {
					m, n = side, side
				}
				to := la
				if r.Intn(2) == 0 {
					to = lb
				}
				from := l1[r.Intn(2)]
				if r.Intn(4) == 0 { // whole rows, as one run
					b.move(b.at(to, f, plan.C(0), m*side), b.at(from, f, plan.C(0), m*side))
					break
				}
				b.move(part(local(to), side, m, n, side), part(local(from), side, m, n, side))
			case 4, 5, 6:
				m, n, kk := dim(), dim(), dim()
				at, bt := part(local(la), side, m, kk, side), part(local(lb), side, kk, n, side)
				if r.Intn(4) == 0 {
					bt = part(local(lb), side, n, kk, side)
					bt.Size[0], bt.Size[1] = bt.Size[1], bt.Size[0]
					bt.Stride[0], bt.Stride[1] = bt.Stride[1], bt.Stride[0]
				}
				d := strided(b.at(acc[r.Intn(2)], format.F32, plan.C(0), m, n), 32*4, 4)
				keep := plan.C(int64(r.Intn(3)))
				b.emit(plan.Instr{Op: plan.Mma, Queue: b.queue("cube"), Dst: d, A: at, B: bt, Acc: keep})
				// Go on along K, as kernels do.
				for p := int64(1); p < 3 && r.Intn(2) == 0; p++ {
					d2 := d
					b.emit(plan.Instr{Op: plan.Mma, Queue: b.queue("cube"), Dst: d2, A: at, B: bt, Acc: plan.C(1)})
					if r.Intn(2) == 0 {
						b.move(part(local(lb), side, 2, 2, side), part(local(l1[0]), side, 2, 2, side))
					}
				}
				if r.Intn(2) == 0 && stored < 40 { // the whole result and no more, which may then never be in the core's memory
					b.move(strided(b.global(py, format.F32, plan.C(stored*32*32*4), m, n), 32*4, 4), d)
					stored++
				}
				k++
			case 7:
				if stored < 40 {
					b.move(b.global(py, format.F32, plan.C(stored*32*32*4), 32, 32), b.at(acc[r.Intn(2)], format.F32, plan.C(0), 32, 32))
					stored++
				}
			}
		}
		b.launch(1, x, w, st, y)
		ins := []*tensor.Tensor{random(t, r, f, rows, cols), random(t, r, f, rows, cols), random(t, r, f, rows, cols)}
		ws := weights{"w": random(t, r, f, rows, cols)}
		want := make([]*tensor.Tensor, len(ins))
		for i, o := range []Options{{Order: atOnce(b.queue("scalar"))}, {}, {PackLimit: -1}} {
			m, err := New(b.p, b.c, ws, o)
			if err != nil {
				t.Fatal(seed, err)
			}
			for j, in := range ins {
				out, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": in})
				if err != nil {
					t.Fatal(seed, err)
				}
				// These kernels read what nothing wrote.
				for _, mem := range m.d.cores[0].mems {
					clear(mem)
				}
				if i == 0 {
					want[j] = out["y"]
				} else if ok, _ := out["y"].Equal(want[j]); !ok {
					t.Fatalf("seed %d, options %d, run %d: another result when moves and sums are done later", seed, i, j)
				}
			}
			if tr := m.traces[0]; i > 0 && (tr == nil || tr[0] == nil || tr[0] == noTrace) {
				t.Fatalf("seed %d, options %d: nothing was traced", seed, i)
			}
		}
	}
}
