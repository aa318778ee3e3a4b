package plan

// walk runs the scalar code of one block with numbers, without data: what is loaded is what the instruction assumes. Of
// long loops it runs the first and last rounds only, and then knows no longer what they hand from one to the next.
type walk struct {
	k       *Kernel
	regs    []int64
	unknown []bool
	visit   func(i int)
	budget  int // instructions left
	all     func(loop int) (every, skip bool)
	inner   map[int][2][]Reg // loop → registers set, carried
}

// walkBudget is how many instructions a walk runs at most.
const walkBudget = 1 << 18

func newWalk(k *Kernel, block, cores int64) *walk {
	w := &walk{k: k, regs: make([]int64, k.Regs), unknown: make([]bool, k.Regs), budget: walkBudget, inner: map[int][2][]Reg{}}
	cores = max(cores, 1)
	w.regs[RegBlock], w.regs[RegCore], w.regs[RegCores] = block, block%cores, cores
	return w
}

func (w *walk) known(v Val) bool {
	for _, t := range v.Terms {
		if w.unknown[t.Reg] {
			return false
		}
	}
	return true
}

// knows says whether all that a tile names is known.
func (w *walk) knows(t *Tile) bool {
	ok := w.known(t.Base)
	for _, v := range t.Size {
		ok = ok && w.known(v)
	}
	return ok
}

// idle says whether an instruction does nothing since a tile of it is empty.
func (w *walk) idle(in *Instr) bool {
	for _, s := range in.slots() {
		if absent(s.Tile) {
			continue
		}
		for _, v := range s.Tile.Size {
			if v.Eval(w.regs) <= 0 {
				return true
			}
		}
	}
	return false
}

func (w *walk) run(from, to int) {
	for i := from; i < to && w.budget > 0; i++ {
		w.budget--
		in := &w.k.Code[i]
		if w.visit != nil {
			w.visit(i)
		}
		switch in.Op {
		case Loop:
			w.loop(i, in)
			i = in.Jump
		case Set:
			w.regs[in.Reg] = in.Fn.Scalar(in.X.Eval(w.regs), in.Y.Eval(w.regs))
			w.unknown[in.Reg] = !w.known(in.X) || !w.known(in.Y)
		case LoadScalar:
			w.regs[in.Reg] = in.Assume.Value(w.regs)
			w.unknown[in.Reg] = true
		}
	}
}

func (w *walk) loop(i int, in *Instr) {
	x, n := in.X.Eval(w.regs), in.Y.Eval(w.regs)
	loose := !w.known(in.X) || !w.known(in.Y)
	skip := false
	every := n <= 5
	if w.all != nil {
		every, skip = w.all(i)
	}
	for r := int64(0); r < n && w.budget > 0; r++ {
		w.budget--
		if skip && r < n-1 {
			r = n - 1
			w.forget(i, in)
		} else if !every && r == 2 && n > 5 {
			r = n - 2
			w.forget(i, in)
		}
		w.regs[in.Reg], w.unknown[in.Reg] = x+r, loose
		w.run(i+1, in.Jump)
	}
}

// forget marks what a loop's rounds hand on as unknown.
func (w *walk) forget(i int, in *Instr) {
	s, ok := w.inner[i]
	if !ok {
		s[0], s[1] = assigned(w.k.Code, i+1, in.Jump)
		w.inner[i] = s
	}
	for _, r := range s[1] {
		w.unknown[r] = true
	}
}

// Scalar computes a function of Set. What it does not know, and a division by what is not positive, gives 0.
func (f Fn) Scalar(x, y int64) int64 {
	switch f {
	case VAdd:
		return x + y
	case VSub:
		return x - y
	case VMul:
		return x * y
	case VMin:
		return min(x, y)
	case VMax:
		return max(x, y)
	case SDiv:
		if y > 0 {
			return floorDiv64(x, y)
		}
	case SMod:
		if y > 0 {
			return x - y*floorDiv64(x, y)
		}
	case SLt:
		if x < y {
			return 1
		}
	}
	return 0
}

func floorDiv64(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Value is what is assumed for given registers; 0 when nothing is.
func (a *Assume) Value(regs []int64) int64 {
	if a == nil || a.Div < 1 {
		return 0
	}
	return floorDiv64(a.Index.Eval(regs)*a.Mul, a.Div)
}
