package guard

import (
	"fmt"
	"sync"

	"apogee/targets/plan"
)

// Guard watches the runs of one plan.
type Guard struct {
	p       *plan.Plan
	vocab   plan.Vocab
	scalar  int // the scalar unit's queue
	queues  int
	written []*bitmap // by buffer: what has been written of temporaries, workspaces and outputs; nil for others
}

// New makes a guard. scalar is the number of the scalar unit's queue, which may be one more than the plan's last; v has the words in
// which faults show instructions, and may be nil.
func New(p *plan.Plan, scalar int, v plan.Vocab) *Guard {
	g := &Guard{p: p, vocab: v, scalar: scalar, queues: max(len(p.Queues), scalar+1), written: make([]*bitmap, len(p.Buffers))}
	for i := range p.Buffers {
		switch b := &p.Buffers[i]; b.Kind {
		case plan.Temp, plan.Workspace, plan.Output:
			g.written[i] = newBitmap(b.Size)
		}
	}
	return g
}

// Check finds what is wrong with a kernel's locals before anything runs: two that lie over each other while both are alive, and
// instructions that use one outside of its lifetime.
func Check(p *plan.Plan, k *plan.Kernel, v plan.Vocab) error {
	fault := func(kind Kind, at, other int, l *plan.Local, detail string, args ...any) error {
		return &Fault{Kind: kind, Plan: p, Kernel: k, Vocab: v, At: Place{Instr: at}, Other: Place{Instr: other},
			What: "local " + l.Name, Lo: l.Addr, Hi: l.Addr + l.Size, Detail: fmt.Sprintf(detail, args...)}
	}
	for i := range k.Locals {
		a := &k.Locals[i]
		for j := range i {
			b := &k.Locals[j]
			if a.Mem == b.Mem && a.Addr < b.Addr+b.Size && b.Addr < a.Addr+a.Size && a.First <= b.Last && b.First <= a.Last {
				return fault(Overlap, a.First, b.First, a, "locals %s and %s share the bytes %#x to %#x (exclusive) and are both alive from instruction %d to %d",
					b.Name, a.Name, max(a.Addr, b.Addr), min(a.Addr+a.Size, b.Addr+b.Size), max(a.First, b.First), min(a.Last, b.Last))
			}
		}
	}
	for i := range k.Code {
		in := &k.Code[i]
		tiles := in.Tiles()
		for _, t := range append(tiles[:], in.Dst.Index, in.A.Index) {
			if t == nil || !t.Has() || t.Mem == 0 || t.Local < 0 || t.Local >= len(k.Locals) {
				continue
			}
			if l := &k.Locals[t.Local]; i < l.First || i > l.Last {
				return fault(Lifetime, i, -1, l, "local %s is alive from instruction %d to %d", l.Name, l.First, l.Last)
			}
		}
	}
	return nil
}

// Begin prepares for a run of the whole plan: outputs are unwritten again.
func (g *Guard) Begin() {
	for i, w := range g.written {
		if w != nil && g.p.Buffers[i].Kind == plan.Output {
			w.clear()
		}
	}
}

// End checks, after a run, that every output was written.
func (g *Guard) End() error {
	for i, w := range g.written {
		b := &g.p.Buffers[i]
		if w == nil || b.Kind != plan.Output {
			continue
		}
		if at := w.firstZero(0, b.Size); at < b.Size {
			return &Fault{Kind: Unwritten, Plan: g.p, At: Place{Instr: -1}, Other: Place{Instr: -1}, What: "output " + b.Name,
				Lo: at, Hi: at + 1, Detail: fmt.Sprintf("the plan ends, but byte %#x of output %s was never written", at, b.Name)}
		}
	}
	return nil
}

// Launch watches one launch of a kernel.
type Launch struct {
	g      *Guard
	step   *plan.Step
	kernel *plan.Kernel
	track  []int // by parameter: index into buffers of what the launch writes, -1 for a buffer that it only reads
	mu     sync.Mutex
	pages  []map[int64]*shadow // by buffer tracked
}

// Launch begins a step.
func (g *Guard) Launch(step int) *Launch {
	s := &g.p.Steps[step]
	l := &Launch{g: g, step: s, kernel: &g.p.Kernels[s.Kernel], track: make([]int, len(s.Args))}
	slot := map[int]int{}
	for j := range s.Args {
		if l.kernel.Params[j].Write {
			b := s.Args[j].Buffer
			if _, ok := slot[b]; !ok {
				slot[b] = len(l.pages)
				l.pages = append(l.pages, map[int64]*shadow{})
			}
		}
	}
	for j, a := range s.Args {
		l.track[j] = -1
		if i, ok := slot[a.Buffer]; ok {
			l.track[j] = i
		}
		// Temporaries begin with nothing in them; nothing of a workspace outlives a kernel.
		if b := &g.p.Buffers[a.Buffer]; g.written[a.Buffer] != nil && (b.Kind == plan.Workspace || b.Kind == plan.Temp && b.First == step) {
			g.written[a.Buffer].clear()
		}
	}
	return l
}

// Area is the bytes of a tile: Tail bytes at Off + Σ i·Stride for every i below N.
type Area struct {
	Local  int // which local of the kernel, or -1
	Mem    int // its memory
	Param  int // which parameter, or -1
	Off    int64
	Lo, Hi int64 // from the lowest byte to behind the highest
	Rank   int
	N      *[plan.MaxTileRank]int64
	Stride *[plan.MaxTileRank]int64
	Tail   int64
}

// runs cuts an area into ranges without gaps and hands them to f, until it returns false.
func (a *Area) runs(f func(lo, hi int64) bool) bool {
	var n, s [plan.MaxTileRank]int64
	k := 0
	for i := 0; i < a.Rank; i++ {
		m, t := a.N[i], a.Stride[i]
		if t < 0 {
			t = -t
		}
		if m <= 1 || t == 0 {
			continue
		}
		// Sorted by stride, widest first.
		j := k
		for j > 0 && s[j-1] < t {
			s[j], n[j] = s[j-1], n[j-1]
			j--
		}
		s[j], n[j] = t, m
		k++
	}
	run := a.Tail
	for k > 0 && s[k-1] <= run {
		run += (n[k-1] - 1) * s[k-1]
		k--
	}
	if k == 0 {
		return f(a.Lo, a.Hi)
	}
	var idx [plan.MaxTileRank]int64
	at := a.Lo
	for {
		if !f(at, at+run) {
			return false
		}
		i := k - 1
		for ; i >= 0; i-- {
			at += s[i]
			if idx[i]++; idx[i] < n[i] {
				break
			}
			at -= s[i] * n[i]
			idx[i] = 0
		}
		if i < 0 {
			return true
		}
	}
}
