package guard

import (
	"math/rand"
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// TestShadow holds ranges against a model that knows every byte by itself.
func TestShadow(t *testing.T) {
	type byteState struct {
		write int64
		reads map[int16]int64
	}
	for seed := range int64(200) {
		r := rand.New(rand.NewSource(seed))
		const size = 64
		var model [size]byteState
		s := &shadow{}
		if seed%2 == 0 {
			s.segs = make([]seg, 0, 4)
		}
		for step := int64(1); step < 200; step++ {
			lo := r.Int63n(size)
			hi := lo + 1 + r.Int63n(size-lo)
			e := event{time: step, queue: int16(r.Intn(3))}
			seen := map[int64][2]int64{} // by write time: bytes
			note := func(g *seg, lo, hi int64) bool {
				for at := lo; at < hi; at++ {
					if g.write.time != model[at].write {
						t.Fatalf("seed %d, step %d: byte %d was written at %d, the model says %d", seed, step, at, g.write.time, model[at].write)
					}
					if len(g.reads) != len(model[at].reads) {
						t.Fatalf("seed %d, step %d: byte %d has %d readers, the model %d", seed, step, at, len(g.reads), len(model[at].reads))
					}
					for _, x := range g.reads {
						if model[at].reads[x.queue] != x.time {
							t.Fatalf("seed %d, step %d: byte %d was read at %d, the model says %d", seed, step, at, x.time, model[at].reads[x.queue])
						}
					}
				}
				seen[lo] = [2]int64{lo, hi}
				return true
			}
			covered := int64(0)
			if r.Intn(2) == 0 {
				s.write(lo, hi, e, note)
				for at := lo; at < hi; at++ {
					model[at] = byteState{write: step, reads: map[int16]int64{}}
				}
			} else {
				s.read(lo, hi, e, note, func(lo, hi int64) bool {
					for at := lo; at < hi; at++ {
						if model[at].write != 0 {
							t.Fatalf("seed %d, step %d: byte %d counts as unwritten", seed, step, at)
						}
						covered++
					}
					return true
				})
				for _, x := range seen {
					covered += x[1] - x[0]
				}
				if covered != hi-lo {
					t.Fatalf("seed %d, step %d: %d of %d bytes were judged", seed, step, covered, hi-lo)
				}
				for at := lo; at < hi; at++ {
					if model[at].reads == nil {
						model[at].reads = map[int16]int64{}
					}
					model[at].reads[e.queue] = step
				}
			}
			for i := range s.segs {
				if g := &s.segs[i]; g.lo >= g.hi || i > 0 && s.segs[i-1].hi > g.lo {
					t.Fatalf("seed %d, step %d: segs are not in order", seed, step)
				}
			}
			if r.Intn(50) == 0 {
				s.reset()
				model = [size]byteState{}
			}
		}
	}
}

func TestBitmap(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 300 {
		size := 1 + r.Int63n(300)
		b := newBitmap(size)
		model := make([]bool, size)
		for range 20 {
			lo := r.Int63n(size)
			hi := lo + 1 + r.Int63n(size-lo)
			b.set(lo, hi)
			for i := lo; i < hi; i++ {
				model[i] = true
			}
			from := r.Int63n(size)
			want := from
			for want < size && model[want] {
				want++
			}
			if got := b.firstZero(from, size); got != want {
				t.Fatalf("first unmarked byte from %d of %d is %d, want %d", from, size, got, want)
			}
		}
	}
}

// TestRuns cuts strided areas into ranges: every byte once, no other.
func TestRuns(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	for range 2000 {
		rank := r.Intn(4)
		var n, s [plan.MaxTileRank]int64
		tail := 1 + r.Int63n(4)
		lo, hi := int64(0), tail
		at := tail
		for _, i := range r.Perm(rank) {
			n[i] = 1 + r.Int63n(4)
			s[i] = at + r.Int63n(3)
			switch r.Intn(6) {
			case 0:
				s[i] = 0
			case 1:
				s[i] = -s[i]
			}
			if s[i] < 0 {
				lo += (n[i] - 1) * s[i]
			} else {
				hi += (n[i] - 1) * s[i]
			}
			at = hi - lo
		}
		want := map[int64]bool{}
		var visit func(axis int, at int64)
		visit = func(axis int, at int64) {
			if axis == rank {
				for k := range tail {
					want[at+k] = true
				}
				return
			}
			for k := range n[axis] {
				visit(axis+1, at+k*s[axis])
			}
		}
		visit(0, 100)
		a := Area{Off: 100, Lo: 100 + lo, Hi: 100 + hi, Rank: rank, N: &n, Stride: &s, Tail: tail}
		got := map[int64]bool{}
		a.runs(func(lo, hi int64) bool {
			for k := lo; k < hi; k++ {
				got[k] = true
			}
			return true
		})
		if len(got) != len(want) {
			t.Fatalf("n %v, strides %v, tail %d: %d bytes, want %d", n[:rank], s[:rank], tail, len(got), len(want))
		}
		for k := range want {
			if !got[k] {
				t.Fatalf("n %v, strides %v: byte %d is missing", n[:rank], s[:rank], k)
			}
		}
	}
}

// TestClocks follows signals, waits and credits between three queues.
func TestClocks(t *testing.T) {
	p := &plan.Plan{
		Memories: []plan.Memory{{Name: "gm", Size: 1 << 20}, {Name: "ub", Size: 4096}},
		Queues:   []plan.Queue{{Name: "s", Kind: plan.Scalar}, {Name: "in", Kind: plan.DMA}, {Name: "v", Kind: plan.Vector}, {Name: "out", Kind: plan.DMA}},
		Kernels: []plan.Kernel{{
			Name: "k", Locals: []plan.Local{{Name: "a", Mem: 1, Size: 64}, {Name: "b", Mem: 1, Addr: 64, Size: 64}},
			Flags: []plan.Flag{{Name: "f0", From: 1, To: 2}, {Name: "f1", From: 2, To: 3}, {Name: "f2", From: 3, To: 1, Credits: 1}},
			Code:  make([]plan.Instr, 20),
		}},
		Steps: []plan.Step{{Name: "step", Grid: 1}},
	}
	var n, s [plan.MaxTileRank]int64
	n[0], s[0] = 64, 1
	area := func(local int) *Area {
		at := int64(64 * local)
		return &Area{Local: local, Mem: 1, Param: -1, Off: at, Lo: at, Hi: at + 64, Rank: 1, N: &n, Stride: &s, Tail: 1}
	}
	start := func() *Core {
		c := new(Core)
		c.Start(New(p, 0, nil).Launch(0), 0)
		return c
	}
	const in, v, out = 1, 2, 3
	check := func(err error, kind Kind, word string) {
		t.Helper()
		f, ok := err.(*Fault)
		if !ok || f.Kind != kind || !strings.Contains(err.Error(), word) {
			t.Errorf("%v, want %v with %q", err, kind, word)
		}
	}
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}

	// Knowledge passes on: in → v → out orders in's write before out's read.
	c := start()
	c.Exec(in, 0, 0, nil)
	fine(c.Write(area(0)))
	c.Signal(in, 0, nil)
	c.Wait(v, 0, nil)
	c.Signal(v, 1, nil)
	c.Wait(out, 1, nil)
	c.Exec(out, 1, 0, nil)
	fine(c.Read(area(0)))
	// The first wait on f2 is by credit: it orders nothing.
	c.Wait(in, 2, nil)
	c.Exec(in, 2, 0, nil)
	check(c.Write(area(0)), TwoQueues, "in writes what out reads")
	// The second is.
	c.Signal(out, 2, nil)
	c.Wait(in, 2, nil)
	c.Exec(in, 3, 0, nil)
	fine(c.Write(area(0)))

	// A signal before the access does not cover it.
	c = start()
	c.Signal(in, 0, nil)
	c.Exec(in, 4, 7, nil)
	fine(c.Write(area(0)))
	c.Wait(v, 0, nil)
	c.Exec(v, 5, 7, nil)
	check(c.Read(area(0)), NotArrived, "v reads what in writes")

	// What the scalar unit knows at issue, a queue knows from then on; what it learns later, not.
	c = start()
	c.Exec(in, 6, 0, nil)
	fine(c.Write(area(0)))
	early := c.Issue(nil)
	c.Signal(in, 0, nil)
	c.Wait(0, 0, nil)
	c.Exec(v, 7, 0, early)
	check(c.Read(area(0)), NotArrived, "")
	c.Exec(v, 8, 0, nil)
	fine(c.Read(area(0)))

	// Writes in any order, a read that nobody wrote, and bytes of another local.
	c = start()
	c.Exec(in, 9, 0, nil)
	fine(c.Write(area(0)))
	c.Exec(v, 10, 0, nil)
	check(c.Write(area(0)), TwoQueues, "v writes what in writes")
	check(c.Read(area(1)), Unwritten, "local ub.b")
	c = start()
	c.Exec(v, 11, 0, nil)
	fine(c.Write(area(0)))
	over := area(0)
	over.Local = 1
	check(c.Read(over), Overlap, "local b is read where local a was written last")

	// Another core's launch starts afresh.
	c.Start(c.l, 1)
	c.Exec(v, 12, 1, nil)
	check(c.Read(area(0)), Unwritten, "")
}

// TestGlobal checks temporaries, and that cores of one launch leave each other's bytes alone.
func TestGlobal(t *testing.T) {
	p := &plan.Plan{
		Memories: []plan.Memory{{Name: "gm", Size: 1 << 20}},
		Queues:   []plan.Queue{{Name: "s", Kind: plan.Scalar}, {Name: "in", Kind: plan.DMA}, {Name: "out", Kind: plan.DMA}},
		Buffers: []plan.Buffer{
			{Name: "t", Kind: plan.Temp, Format: format.U8, Shape: []int64{1 << 18}, Size: 1 << 18, First: 0, Last: 2},
			{Name: "y", Kind: plan.Output, Format: format.U8, Shape: []int64{8}, Addr: 1 << 18, Size: 8, Last: 2},
		},
		Kernels: []plan.Kernel{{Name: "k", Params: []plan.Param{{Name: "p", Size: 1 << 17, Read: true, Write: true}, {Name: "q", Size: 8, Write: true}}, Code: make([]plan.Instr, 8)}},
		Steps:   []plan.Step{{Name: "a", Grid: 2, Args: []plan.Arg{{Buffer: 0, Offset: 1 << 17}, {Buffer: 1}}}, {Name: "b", Grid: 2, Args: []plan.Arg{{Buffer: 0, Offset: 1 << 17}, {Buffer: 1}}}},
	}
	g := New(p, 0, nil)
	area := func(param int, lo, n int64) *Area {
		var size, stride [plan.MaxTileRank]int64
		size[0], stride[0] = n, 1
		return &Area{Local: -1, Param: param, Off: lo, Lo: lo, Hi: lo + n, Rank: 1, N: &size, Stride: &stride, Tail: 1}
	}
	check := func(err error, kind Kind, word string) {
		t.Helper()
		f, ok := err.(*Fault)
		if !ok || f.Kind != kind || !strings.Contains(err.Error(), word) {
			t.Errorf("%v, want %v with %q", err, kind, word)
		}
	}
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	g.Begin()
	l := g.Launch(0)
	a, b := new(Core), new(Core)
	a.Start(l, 0)
	a.Exec(1, 0, 0, nil)
	check(a.Read(area(0, 100, 4)), Unwritten, "parameter p (buffer t)")
	fine(a.Write(area(0, 0, 1<<16)))
	b.Start(l, 1)
	b.Exec(1, 1, 1, nil)
	fine(b.Write(area(0, 1<<16, 1<<16)))
	check(b.Read(area(0, 1<<16-1, 2)), TwoCores, "core 1 reads what core 0 writes")
	check(b.Write(area(0, 40000, 1)), TwoCores, "core 1 writes what core 0 writes")
	b.Exec(2, 2, 1, nil)
	check(b.Read(area(0, 1<<16, 1)), NotArrived, "out reads what in writes")
	// The next launch may read all of it, by any core and queue.
	l = g.Launch(1)
	b.Start(l, 1)
	b.Exec(2, 3, 1, nil)
	fine(b.Read(area(0, 0, 1<<17)))
	b.Exec(1, 4, 1, nil)
	check(b.Write(area(0, 5, 1)), TwoQueues, "in writes what out reads")
	fine(b.Write(area(1, 0, 7)))
	check(g.End(), Unwritten, "byte 0x7 of output y")
	fine(b.Write(area(1, 7, 1)))
	fine(g.End())
	g.Begin()
	check(g.End(), Unwritten, "byte 0x0 of output y")
	// A temporary is unwritten again when its life begins.
	l = g.Launch(0)
	a.Start(l, 0)
	a.Exec(1, 0, 0, nil)
	check(a.Read(area(0, 0, 1)), Unwritten, "")
}
