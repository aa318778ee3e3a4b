package plan

// Folder tells which rounds of a kernel's loops do the same work, so that counting and timing need not walk them one by
// one. What an instruction costs depends on the sizes of its tiles and not on where they stand; a loop's rounds cost the same as long as
// no size and no number of rounds in them changes with the counter. The values that data decides are those that
// LoadScalar assumes.
type Folder struct {
	k *Kernel
	// relevant says which registers sizes and numbers of rounds come from.
	relevant []bool
	loops    map[int]*foldLoop
	env      []rangeVal // scratch of same
	spent    int64
}

type foldLoop struct {
	carried  []Reg // relevant ones that a round hands to the next
	sets     []Reg
	constant bool // the counter is not relevant, and nothing relevant is carried
}

// rangeVal is what a register holds in a stretch of rounds: an interval, and whether it may change from round to round.
type rangeVal struct {
	lo, hi int64
	varies bool
}

// Blocks is the loop, in calls of [Folder.Stretch], that the blocks of a launch make, with RegBlock as its counter.
const Blocks = -1

// NewFolder analyses a kernel that passed [Validate].
func NewFolder(k *Kernel) *Folder {
	f := &Folder{k: k, relevant: make([]bool, k.Regs), loops: map[int]*foldLoop{}, env: make([]rangeVal, k.Regs)}
	mark := func(v Val) (changed bool) {
		for _, t := range v.Terms {
			changed = changed || !f.relevant[t.Reg]
			f.relevant[t.Reg] = true
		}
		return changed
	}
	for again := true; again; {
		again = false
		for i := range k.Code {
			in := &k.Code[i]
			switch in.Op {
			case Loop:
				again = mark(in.Y) || again
				if f.relevant[in.Reg] {
					again = mark(in.X) || again
				}
			case Set:
				if f.relevant[in.Reg] {
					again = mark(in.X) || again
					again = mark(in.Y) || again
				}
			case LoadScalar:
				if f.relevant[in.Reg] && in.Assume != nil {
					again = mark(in.Assume.Index) || again
				}
			}
			in.sizes(func(v Val) { again = mark(v) || again })
		}
	}
	for i := range k.Code {
		if in := &k.Code[i]; in.Op == Loop {
			f.addLoop(i, i+1, in.Jump, in.Reg)
		}
	}
	f.addLoop(Blocks, 0, len(k.Code), RegBlock)
	return f
}

func (f *Folder) addLoop(loop, from, to int, counter Reg) {
	sets, carried := assigned(f.k.Code, from, to)
	l := &foldLoop{sets: sets}
	if loop == Blocks { // every block starts with fresh registers
		carried = nil
	}
	for _, r := range carried {
		if f.relevant[r] && r != counter {
			l.carried = append(l.carried, r)
		}
	}
	l.constant = len(l.carried) == 0 && !f.relevant[counter]
	f.loops[loop] = l
}

// sizes calls g for every size of the instruction's tiles.
func (in *Instr) sizes(g func(Val)) {
	if in.Op == LoadScalar {
		return // always one element
	}
	for _, t := range in.Tiles() {
		for ; t != nil && t.Has(); t = t.Index {
			for _, v := range t.Size {
				g(v)
			}
		}
	}
}

// Carried gives the registers that decide costs and that a round of a loop hands to the next.
func (f *Folder) Carried(loop int) []Reg { return f.loops[loop].carried }

// UsesCore says whether what a block costs depends on the core that it runs on, beside its number.
func (f *Folder) UsesCore() bool { return f.relevant[RegCore] }

// Spent is how many instructions were looked at so far, to bound the work that a plan from anywhere can ask for.
func (f *Folder) Spent() int64 { return f.spent }

// Stretch gives the end of the longest run of rounds from the counter's value at, and not beyond end, that cost the same given
// the registers' values at the loop's start: at + 1 when the next already differs. What a round hands to the next ([Folder.Carried])
// is taken to be the same in all of them.
func (f *Folder) Stretch(loop int, regs []int64, at, end int64) int64 {
	l := f.loops[loop]
	if end-at <= 1 || l.constant {
		return max(end, at+1)
	}
	// The first round and, often, the last are special; ask for everything first.
	good, bad := at+1, end+1
	for _, try := range [...]int64{end, end - 1} {
		if try < good {
			break
		}
		if f.same(loop, regs, at, try) {
			good = try
			break
		}
		bad = try
	}
	for step := int64(1); good+step < bad; step *= 2 {
		if !f.same(loop, regs, at, good+step) {
			bad = good + step
			break
		}
		good += step
	}
	for bad-good > 1 {
		if mid := good + (bad-good)/2; f.same(loop, regs, at, mid) {
			good = mid
		} else {
			bad = mid
		}
	}
	return good
}

// same says whether the rounds from at to end-1 of a loop provably cost the same.
func (f *Folder) same(loop int, regs []int64, at, end int64) bool {
	if end-at <= 1 {
		return true
	}
	for i, x := range regs {
		f.env[i] = rangeVal{x, x, false}
	}
	from, to, counter := 0, len(f.k.Code), RegBlock
	if loop != Blocks {
		from, to, counter = loop+1, f.k.Code[loop].Jump, f.k.Code[loop].Reg
	}
	for _, r := range f.loops[loop].carried {
		f.env[r] = rangeVal{minInf, maxInf, false}
	}
	f.env[counter] = rangeVal{at, end - 1, true}
	f.spent += int64(to - from)
	return f.sameCode(from, to)
}

func (f *Folder) eval(v Val) rangeVal {
	out := rangeVal{v.C, v.C, false}
	for _, t := range v.Terms {
		r := f.env[t.Reg]
		lo, hi := satMul(t.K, r.lo), satMul(t.K, r.hi)
		if t.K < 0 {
			lo, hi = hi, lo
		}
		out.lo, out.hi = satAdd(out.lo, lo), satAdd(out.hi, hi)
		out.varies = out.varies || r.varies && t.K != 0
	}
	return out.settle()
}

// settle says that what has one value only does not vary.
func (r rangeVal) settle() rangeVal {
	if r.lo == r.hi {
		r.varies = false
	}
	return r
}

func (f *Folder) sameCode(from, to int) bool {
	for i := from; i < to; i++ {
		in := &f.k.Code[i]
		switch in.Op {
		case Loop:
			y := f.eval(in.Y)
			if y.varies {
				return false
			}
			if y.hi <= 0 {
				i = in.Jump
				continue
			}
			x := f.eval(in.X)
			for _, r := range f.loops[i].carried {
				f.env[r] = rangeVal{minInf, maxInf, true}
			}
			before := append([]rangeVal(nil), f.env...)
			f.env[in.Reg] = rangeVal{x.lo, satAdd(satAdd(x.hi, y.hi), -1), x.varies}
			if !f.sameCode(i+1, in.Jump) {
				return false
			}
			if y.lo < 1 { // perhaps no round: what was before may still hold
				for _, r := range f.loops[i].sets {
					a, b := before[r], f.env[r]
					f.env[r] = rangeVal{min(a.lo, b.lo), max(a.hi, b.hi), a.varies || b.varies}
				}
			}
			i = in.Jump
		case Set:
			f.env[in.Reg] = foldSet(in.Fn, f.eval(in.X), f.eval(in.Y))
		case LoadScalar:
			f.env[in.Reg] = rangeVal{}
			if a := in.Assume; a != nil && a.Div > 0 {
				v := f.eval(a.Index)
				lo, hi := satMul(v.lo, a.Mul), satMul(v.hi, a.Mul)
				f.env[in.Reg] = rangeVal{floorDiv(min(lo, hi), a.Div), floorDiv(max(lo, hi), a.Div), v.varies}.settle()
			}
		default:
			varies := false
			in.sizes(func(v Val) { varies = varies || f.eval(v).varies })
			if varies {
				return false
			}
		}
	}
	return true
}

func foldSet(fn Fn, x, y rangeVal) rangeVal {
	out := rangeVal{minInf, maxInf, x.varies || y.varies}
	switch fn {
	case VAdd:
		out.lo, out.hi = satAdd(x.lo, y.lo), satAdd(x.hi, y.hi)
	case VSub:
		out.lo, out.hi = satAdd(x.lo, satMul(y.hi, -1)), satAdd(x.hi, satMul(y.lo, -1))
	case VMul:
		p := [4]int64{satMul(x.lo, y.lo), satMul(x.lo, y.hi), satMul(x.hi, y.lo), satMul(x.hi, y.hi)}
		out.lo, out.hi = min(p[0], p[1], p[2], p[3]), max(p[0], p[1], p[2], p[3])
	case VMin:
		switch {
		case x.hi <= y.lo:
			return x
		case y.hi <= x.lo:
			return y
		}
		out.lo, out.hi = min(x.lo, y.lo), min(x.hi, y.hi)
	case VMax:
		switch {
		case x.lo >= y.hi:
			return x
		case y.lo >= x.hi:
			return y
		}
		out.lo, out.hi = max(x.lo, y.lo), max(x.hi, y.hi)
	case SDiv, SMod:
		if y.lo != y.hi || y.lo < 1 {
			if fn == SMod && y.lo > 0 {
				out.lo, out.hi = 0, satAdd(y.hi, -1)
			}
			return out
		}
		lo, hi := floorDiv(x.lo, y.lo), floorDiv(x.hi, y.lo)
		switch {
		case fn == SDiv:
			out.lo, out.hi = lo, hi
		case lo == hi && x.lo != minInf && x.hi != maxInf:
			out.lo, out.hi = x.lo-lo*y.lo, x.hi-lo*y.lo
		default:
			out.lo, out.hi = 0, y.lo-1
		}
	case SLt:
		out.lo, out.hi = 0, 1
		if x.hi < y.lo {
			out.lo = 1
		} else if x.lo >= y.hi {
			out.hi = 0
		}
	}
	return out.settle()
}

// Walk runs the scalar code of one block, given its registers, and calls emit for every instruction and how often it runs
// so: rounds that cost the same are one call. It stops when emit says no, and then says no itself. The registers change.
func (f *Folder) Walk(regs []int64, emit func(i int, regs []int64, times int64) bool) bool {
	return f.walk(0, len(f.k.Code), regs, 1, emit)
}

func (f *Folder) walk(from, to int, regs []int64, times int64, emit func(int, []int64, int64) bool) bool {
	for i := from; i < to; i++ {
		f.spent++
		in := &f.k.Code[i]
		switch in.Op {
		case Loop:
			x, n := in.X.Eval(regs), max(0, in.Y.Eval(regs))
			for at := x; at < x+n; {
				end := at + 1
				if len(f.loops[i].carried) == 0 {
					end = f.Stretch(i, regs, at, x+n)
				}
				// The last round of the stretch stands for all: it leaves the registers as they are after it.
				regs[in.Reg] = end - 1
				if !emit(i, regs, times*(end-at)) || !f.walk(i+1, in.Jump, regs, times*(end-at), emit) {
					return false
				}
				at = end
			}
			i = in.Jump
		case Set:
			regs[in.Reg] = in.Fn.Scalar(in.X.Eval(regs), in.Y.Eval(regs))
			if !emit(i, regs, times) {
				return false
			}
		case LoadScalar:
			regs[in.Reg] = in.Assume.Value(regs)
			fallthrough
		default:
			if !emit(i, regs, times) {
				return false
			}
		}
	}
	return true
}

// StartRegs sets registers to what they hold when a block begins on a core.
func (k *Kernel) StartRegs(regs []int64, block, core, cores int64) {
	clear(regs)
	regs[RegBlock], regs[RegCore], regs[RegCores] = block, core, cores
}
