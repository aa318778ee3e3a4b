package exec

import (
	"apogee/targets/plan"
)

// A move into a matrix operand's memory need not move anything yet: while a kernel runs, global memory that it does not write
// stays as it is, so it is enough to remember where the tile lies. Matrix products then read it there, or, for weights, from panels
// that were packed once. Whatever else asks for the bytes gets them: they are moved then.
//
// Which locals are treated so is decided when a kernel is compiled (lazyLocals): nothing but moves may write them, nothing but
// products and moves to other such locals may read them, and no other local may share their bytes.

// lazyTile is a tile that was not moved yet.
type lazyTile struct {
	lo, hi int64 // bytes of the core's memory that it stands for
	off    int64 // of its first element
	rank   int
	n      [maxRank]int64
	stride [maxRank]int64 // in the core's memory
	from   [maxRank]int64 // in global memory
	src    origin
	size   int64 // bytes of an element

	// What is the same each time round a loop: the move whose layout this is, and the last tile that was looked for here.
	by   *instr
	seen *operand
	at   int64          // its first element's distance from off
	skip int64          // and the distance of that in global memory from src.off
	step [maxRank]int64 // and its strides there
}

// origin is where the elements really are: bytes that do not change during the launch.
type origin struct {
	buf    []byte // the whole buffer
	buffer int    // its number in the plan
	off    int64
	fixed  bool // it never changes: a weight or a constant
}

// lazyLocals finds the locals of a kernel that moves may fill later.
func lazyLocals(k *plan.Kernel, code []instr) []bool {
	ok := make([]bool, len(k.Locals))
	for i := range code {
		if in := &code[i]; in.op == plan.Mma {
			for _, o := range []*operand{in.a, in.b} {
				if o.local >= 0 {
					ok[o.local] = true
				}
			}
		}
	}
	// Locals on the way to those.
	for again := true; again; {
		again = false
		for i := range code {
			if in := &code[i]; in.op == plan.Move && in.dst.local >= 0 && in.a.local >= 0 && ok[in.dst.local] && !ok[in.a.local] {
				ok[in.a.local] = true
				again = true
			}
		}
	}
	for i := range k.Locals {
		for j := range k.Locals {
			a, b := &k.Locals[i], &k.Locals[j]
			if i != j && a.Mem == b.Mem && a.Addr < b.Addr+b.Size && b.Addr < a.Addr+a.Size {
				ok[i] = false
			}
		}
	}
	for again := true; again; {
		again = false
		strike := func(o *operand) {
			if o != nil && o.local >= 0 && ok[o.local] {
				ok[o.local] = false
				again = true
			}
		}
		for i := range code {
			in := &code[i]
			simple := in.op == plan.Move && !in.cast && in.dst.index == nil && in.a.index == nil && in.dst.esize > 0
			if !simple || in.dst.local < 0 {
				strike(in.dst)
				strike(in.dst2)
			}
			switch {
			case in.op == plan.Mma:
				for _, o := range []*operand{in.a, in.b} {
					if o.esize == 0 {
						strike(o)
					}
				}
				strike(in.c)
				strike(in.d)
			case simple && in.dst.local >= 0 && ok[in.dst.local]:
			default:
				strike(in.a)
				strike(in.b)
				strike(in.c)
			}
			for _, o := range []*operand{in.dst, in.a} {
				if o != nil && o.index != nil {
					strike(o.index)
				}
			}
		}
	}
	return ok
}

// moveLater remembers a move; false when it must be done now.
func (c *core) moveLater(f *frame) bool {
	a, d := &f.a, &f.dst
	list := &c.lazy[d.o.local]
	if a.o.param >= 0 {
		arg := &c.args[a.o.param]
		if !arg.stable {
			c.claim(d)
			return false
		}
		for i := range *list {
			// Tiles of a list do not share bytes, so that the one in the same place is all there is to replace.
			if t := &(*list)[i]; t.lo == d.lo && t.hi == d.hi && t.by == f.in && f.in.fits {
				t.src.off = arg.off + a.off
				return true
			}
		}
		c.claim(d)
		t := c.newLazy(list)
		t.by = f.in
		t.src = origin{arg.buf, arg.buffer, arg.off + a.off, arg.fixed}
		t.set(d, &a.o.stride)
		return true
	}
	var x axes
	src, ok := c.whenceMove(a, d, &x)
	c.claim(d)
	if !ok {
		return false
	}
	t := c.newLazy(list)
	t.by = nil
	t.src = src
	t.setAxes(d, &x)
	return true
}

func (c *core) newLazy(list *[]lazyTile) *lazyTile {
	n := len(*list)
	if n < cap(*list) {
		*list = (*list)[:n+1]
	} else {
		*list = append(*list, lazyTile{})
	}
	return &(*list)[n]
}

// axes are those of a move between tiles of equal sizes.
type axes struct {
	rank   int
	n      [maxRank]int64
	stride [maxRank]int64 // of what is read
	to     [maxRank]int64 // of what is written
	from   [maxRank]int64 // in global memory
}

// set fills in a tile's layout.
func (t *lazyTile) set(d *view, from *[maxRank]int64) {
	t.setAxes(d, &axes{rank: d.o.rank, n: *d.n, to: d.o.stride, from: *from})
}

// setAxes is set for axes that are not the view's own. Axes of one element are left out, axes that are one in both memories merged.
func (t *lazyTile) setAxes(d *view, x *axes) {
	t.lo, t.hi, t.off, t.size, t.seen = d.lo, d.hi, d.off, d.o.esize, nil
	k := 0
	for i := 0; i < x.rank; i++ {
		n, s, g := x.n[i], x.to[i], x.from[i]
		if n == 1 {
			continue
		}
		if k > 0 && t.stride[k-1] == s*n && t.from[k-1] == g*n {
			t.n[k-1] *= n
			t.stride[k-1], t.from[k-1] = s, g
			continue
		}
		t.n[k], t.stride[k], t.from[k] = n, s, g
		k++
	}
	t.rank = k
}

// claim makes room for a write to a local: what was to be moved there is forgotten, or moved now when the write does not cover all of it.
func (c *core) claim(d *view) {
	local := d.o.local
	list := c.lazy[local]
	if len(list) == 0 {
		return
	}
	whole := d.numel()*d.o.esize == d.hi-d.lo // no gaps
	for i := 0; i < len(list); {
		t := &list[i]
		if t.lo >= d.hi || d.lo >= t.hi {
			i++
			continue
		}
		if !(whole && t.lo >= d.lo && t.hi <= d.hi) && !t.within(d) {
			c.moveNow(local, t)
		}
		last := len(list) - 1
		list[i] = list[last]
		list = list[:last]
	}
	c.lazy[local] = list
}

// within says whether a view of the same layout covers the tile.
func (t *lazyTile) within(d *view) bool {
	if t.off != d.off || t.size != d.o.esize {
		return false
	}
	k := 0
	for i := 0; i < d.o.rank && k < t.rank; i++ {
		if d.o.stride[i] == t.stride[k] && d.n[i] >= t.n[k] {
			k++
		}
	}
	return k == t.rank
}

// settleLocal moves what is still to be moved to bytes of a local.
func (c *core) settleLocal(local int, lo, hi int64) {
	list := c.lazy[local]
	for i := 0; i < len(list); {
		t := &list[i]
		if t.lo >= hi || lo >= t.hi {
			i++
			continue
		}
		c.moveNow(local, t)
		last := len(list) - 1
		list[i] = list[last]
		list = list[:last]
	}
	c.lazy[local] = list
}

// moveNow does a move.
func (c *core) moveNow(local int, t *lazyTile) {
	c.noteMove(local, t)
	mem := c.mems[c.prog.kernel.Locals[local].Mem]
	l := &c.loop
	l.rows, l.cols, l.outer = 1, 1, 0
	l.rs, l.cs = [4]int64{}, [4]int64{}
	if t.rank > 0 {
		l.cols, l.cs[0], l.cs[1] = t.n[t.rank-1], t.stride[t.rank-1], t.from[t.rank-1]
	} else {
		l.cs[0], l.cs[1] = t.size, t.size
	}
	if t.rank > 1 {
		l.rows, l.rs[0], l.rs[1] = t.n[t.rank-2], t.stride[t.rank-2], t.from[t.rank-2]
	}
	for i := t.rank - 3; i >= 0; i-- {
		l.n[l.outer], l.s[0][l.outer], l.s[1][l.outer] = t.n[i], t.stride[i], t.from[i]
		l.outer++
	}
	copyLoop(l, mem, t.off, t.src.buf, t.src.off, t.size)
}

// whence finds where the elements of a tile of a lazy local really are, and their strides there. When no single move holds them all, what
// is missing is moved and ok is false: they are in the local.
func (c *core) whence(v *view, from *[maxRank]int64) (src origin, ok bool) {
	list := c.lazy[v.o.local]
	for i := range list {
		t := &list[i]
		if t.lo > v.lo || t.hi < v.hi || t.size != v.o.esize {
			continue
		}
		if t.seen == v.o && v.o.fixed && t.at == v.off-t.off {
			src = t.src
			src.off += t.skip
			*from = t.step
			return src, true
		}
		if off, ok := t.locate(v.off, v.o.rank, v.n, &v.o.stride, from); ok {
			t.seen, t.at, t.skip, t.step = v.o, v.off-t.off, off-t.src.off, *from
			src = t.src
			src.off = off
			return src, true
		}
	}
	c.settleLocal(v.o.local, v.lo, v.hi)
	return origin{}, false
}

// whenceMove is whence for what a move reads. Its axes may become more: one that runs through several axes of a tile that lie behind each
// other, as when rows are copied as one run of bytes, is split.
func (c *core) whenceMove(a, d *view, x *axes) (src origin, ok bool) {
	list := c.lazy[a.o.local]
	for i := range list {
		t := &list[i]
		if t.lo > a.lo || t.hi < a.hi || t.size != a.o.esize {
			continue
		}
		if !t.split(a, d, x) {
			continue
		}
		if off, ok := t.locate(a.off, x.rank, &x.n, &x.stride, &x.from); ok {
			src = t.src
			src.off = off
			return src, true
		}
	}
	c.settleLocal(a.o.local, a.lo, a.hi)
	return origin{}, false
}

// split lists the axes of a move from a to d, cut where the tile's own are; false when they are too many.
func (t *lazyTile) split(a, d *view, x *axes) bool {
	x.rank = 0
	for i := a.o.rank - 1; i >= 0; i-- { // innermost first
		n, s, to := a.n[i], a.o.stride[i], d.o.stride[i]
		for k := 0; k < t.rank && n > 1; k++ {
			if m := t.n[k]; t.stride[k] == s && n > m && n%m == 0 {
				if !x.add(m, s, to) {
					return false
				}
				n, s, to, k = n/m, s*m, to*m, -1
			}
		}
		if n > 1 && !x.add(n, s, to) {
			return false
		}
	}
	for i, j := 0, x.rank-1; i < j; i, j = i+1, j-1 {
		x.n[i], x.n[j] = x.n[j], x.n[i]
		x.stride[i], x.stride[j] = x.stride[j], x.stride[i]
		x.to[i], x.to[j] = x.to[j], x.to[i]
	}
	return true
}

func (x *axes) add(n, stride, to int64) bool {
	if x.rank == maxRank {
		return false
	}
	x.n[x.rank], x.stride[x.rank], x.to[x.rank] = n, stride, to
	x.rank++
	return true
}

// locate maps a tile of the core's memory, of the given sizes and strides, to where the lazy tile's elements are.
func (t *lazyTile) locate(first int64, rank int, sizes, strides, from *[maxRank]int64) (int64, bool) {
	// Coordinates of the first element, widest stride first.
	var at [maxRank]int64
	rest := first - t.off
	off := t.src.off
	var done [maxRank]bool
	for range t.rank {
		w := -1
		for i := 0; i < t.rank; i++ {
			if !done[i] && (w < 0 || t.stride[i] > t.stride[w]) {
				w = i
			}
		}
		done[w] = true
		if t.stride[w] <= 0 {
			return 0, false
		}
		q := min(rest/t.stride[w], t.n[w]-1)
		if rest < 0 {
			return 0, false
		}
		at[w] = q
		rest -= q * t.stride[w]
		off += q * t.from[w]
	}
	if rest != 0 {
		return 0, false
	}
	var used [maxRank]bool
	for a := 0; a < rank; a++ {
		n := sizes[a]
		from[a] = 0
		if n == 1 {
			continue
		}
		found := false
		for i := 0; i < t.rank && !found; i++ {
			if used[i] || strides[a]%t.stride[i] != 0 {
				continue
			}
			// A step of several of the tile's, such as every other column.
			k := strides[a] / t.stride[i]
			if k < 1 || at[i]+(n-1)*k >= t.n[i] {
				continue
			}
			used[i], found = true, true
			from[a] = k * t.from[i]
		}
		if !found {
			return 0, false
		}
	}
	return off, true
}
