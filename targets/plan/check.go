package plan

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// Check verifies a plan, knowing nothing of how it was made: what [Validate] checks, and
//
//   - buffers are aligned, and no two that are alive in one step share bytes;
//   - locals are aligned, within their memory, used only while they are alive, and no two alive at once share bytes;
//   - no instruction reaches outside the parameter or local that its tile names, for any value that its registers
//     can have ([codeUnproven] remarks where data decides);
//   - tiles of an instruction have sizes that belong together, by form where they are not constant;
//   - the queue's engine does such work, in these formats, and the path that a move takes is there;
//   - flags order the queues that they are used on and are back at their credits when a block ends;
//   - steps use buffers while they live, and write none that must stay as it is; on every way through ifs and loops a temporary is written
//     before it is read, and one that a loop finds alive lives to the loop's end.
//
// What needs more than the global memory is a warning ([Measure] gives the figures); the rest are errors. rules may be nil: then
// nothing is asked of the chip.
func Check(p *Plan, rules *Rules) *diag.List {
	c := newChecker(p, rules)
	c.structure()
	if c.list.HasErrors() {
		return &c.list
	}
	if len(p.Memories) > 0 {
		c.buffers()
		c.capacity()
	}
	grids := make([]int64, len(p.Kernels))
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Op != LaunchStep {
			continue
		}
		grids[s.Kernel] = max(grids[s.Kernel], s.Grid)
		c.step(i, s)
	}
	c.flow()
	for i := range p.Kernels {
		k := &p.Kernels[i]
		c.locals(k)
		for j := range k.Code {
			c.instr(k, j)
		}
		if grids[i] > 0 {
			c.ranges(k, grids[i])
			c.flags(k, grids[i])
		}
	}
	return &c.list
}

// Usage is how much global memory a plan takes, by what for. Buffers that share an address at different times count once in
// Total but each in its own kind.
type Usage struct {
	Weights    int64 `json:"weights_bytes"` // weights and constants
	State      int64 `json:"state_bytes"`
	Inout      int64 `json:"inout_bytes"`      // inputs and outputs
	Activation int64 `json:"activation_bytes"` // the most that buffers of kind temp hold at once
	Workspace  int64 `json:"workspace_bytes"`
	Total      int64 `json:"total_bytes"`    // the end of the last buffer
	Size       int64 `json:"capacity_bytes"` // of the memory
}

// Over is by how many bytes the plan exceeds the memory; 0 if it fits.
func (u Usage) Over() int64 { return max(0, u.Total-u.Size) }

// String gives the breakdown in words.
func (u Usage) String() string {
	return fmt.Sprintf("weights %s, state %s, activations %s, inputs and outputs %s, workspace %s",
		sizeText(u.Weights), sizeText(u.State), sizeText(u.Activation), sizeText(u.Inout), sizeText(u.Workspace))
}

// Measure gives how much global memory a plan takes.
func Measure(p *Plan) Usage {
	var u Usage
	if len(p.Memories) > 0 {
		u.Size = p.Memories[0].Size
	}
	type change struct {
		step  int
		delta int64
	}
	var changes []change
	for i := range p.Buffers {
		b := &p.Buffers[i]
		u.Total = max(u.Total, b.Addr+b.Size)
		switch b.Kind {
		case Weight, Const:
			u.Weights += b.Size
		case State:
			u.State += b.Size
		case Input, Output:
			u.Inout += b.Size
		case Workspace:
			u.Workspace += b.Size
		case Temp:
			changes = append(changes, change{b.First, b.Size}, change{b.Last + 1, -b.Size})
		}
	}
	sort.SliceStable(changes, func(i, j int) bool {
		if changes[i].step != changes[j].step {
			return changes[i].step < changes[j].step
		}
		return changes[i].delta < changes[j].delta
	})
	now := int64(0)
	for _, x := range changes {
		now += x.delta
		u.Activation = max(u.Activation, now)
	}
	return u
}

func (c *checker) capacity() {
	u := Measure(c.p)
	if over := u.Over(); over > 0 {
		d := c.list.Warnf(codeCapacity, diag.Range{}, "the plan needs %s more global memory than the chip has", sizeText(over)).
			At("memory " + c.p.Memories[0].Name)
		d.Expect("at most "+sizeText(u.Size), sizeText(u.Total)+": "+u.String())
		d.Helpf("it can be timed but not run; %d chips would hold it if it were divided evenly", (u.Total+max(u.Size, 1)-1)/max(u.Size, 1))
	}
}

// piece is something that lies at an address for some time.
type piece struct {
	name        string
	addr, size  int64
	first, last int
}

// overlaps reports pieces that are alive at once and share bytes. It sweeps over time with the living sorted by address.
func (c *checker) overlaps(where, unit string, pieces []piece) {
	order := make([]int, 0, len(pieces))
	for i := range pieces {
		if pieces[i].size > 0 && pieces[i].first <= pieces[i].last {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return pieces[order[a]].first < pieces[order[b]].first })
	byEnd := append([]int(nil), order...)
	sort.SliceStable(byEnd, func(a, b int) bool { return pieces[byEnd[a]].last < pieces[byEnd[b]].last })
	var alive []int // sorted by address; disjoint as long as nothing was reported
	find := func(addr int64) int {
		return sort.Search(len(alive), func(j int) bool { return pieces[alive[j]].addr >= addr })
	}
	dead := 0
	clash := func(a, b *piece) {
		from, to := max(a.first, b.first), min(a.last, b.last)
		c.errorf(codeOverlap, where, "%s and %s share %s", a.name, b.name,
			sizeText(min(a.addr+a.size, b.addr+b.size)-max(a.addr, b.addr))).
			Expect("disjoint addresses while both are alive", fmt.Sprintf("[%#x, %#x) and [%#x, %#x) in %s %d..%d",
				a.addr, a.addr+a.size, b.addr, b.addr+b.size, unit, from, to))
	}
	for _, i := range order {
		x := &pieces[i]
		for ; dead < len(byEnd) && pieces[byEnd[dead]].last < x.first; dead++ {
			for j := find(pieces[byEnd[dead]].addr); j < len(alive) && pieces[alive[j]].addr == pieces[byEnd[dead]].addr; j++ {
				if alive[j] == byEnd[dead] {
					alive = append(alive[:j], alive[j+1:]...)
					break
				}
			}
		}
		j := find(x.addr)
		bad := false
		if j > 0 {
			if y := &pieces[alive[j-1]]; y.addr+y.size > x.addr {
				clash(y, x)
				bad = true
			}
		}
		for n := j; n < len(alive) && pieces[alive[n]].addr < x.addr+x.size; n++ {
			clash(&pieces[alive[n]], x)
			bad = true
		}
		if bad { // keep those alive disjoint, so that the next is judged rightly
			continue
		}
		alive = append(alive, 0)
		copy(alive[j+1:], alive[j:])
		alive[j] = i
	}
}

func (c *checker) buffers() {
	pieces := make([]piece, len(c.p.Buffers))
	for i := range c.p.Buffers {
		b := &c.p.Buffers[i]
		if a := c.p.Memories[0].Align; b.Addr%a != 0 {
			c.errorf(codeAlign, "buffer "+b.Name, "the buffer is not aligned").
				Expect(fmt.Sprintf("a multiple of %d", a), fmt.Sprintf("%#x", b.Addr))
		}
		first, last := b.First, b.Last
		if b.Kind != Temp {
			first, last = 0, max(0, len(c.p.Steps)-1)
		}
		pieces[i] = piece{b.Name, b.Addr, b.Size, first, last}
	}
	c.overlaps("memory "+c.p.Memories[0].Name, "steps", pieces)
}

func (c *checker) step(i int, s *Step) {
	k := &c.p.Kernels[s.Kernel]
	for j, a := range s.Args {
		b, prm := &c.p.Buffers[a.Buffer], &k.Params[j]
		where := fmt.Sprintf("step %d %s", i, s.Name)
		if b.Kind == Temp && (i < b.First || i > b.Last) {
			c.errorf(codeLife, where, "buffer %s is used outside its lifetime", b.Name).
				Expect(fmt.Sprintf("a step from %d to %d", b.First, b.Last), fmt.Sprint(i))
		}
		if prm.Write && (b.Kind == Weight || b.Kind == Const || b.Kind == Input) {
			c.errorf(codeLife, where, "kernel %s writes %s %s", k.Name, b.Kind, b.Name).
				Expect("a buffer that may be written", "one of kind "+b.Kind.String())
		}
	}
}

func (c *checker) locals(k *Kernel) {
	byMem := make([][]piece, len(c.p.Memories))
	for i := range k.Locals {
		l := &k.Locals[i]
		m := &c.p.Memories[l.Mem]
		where := "kernel " + k.Name
		if l.Addr%m.Align != 0 {
			c.errorf(codeAlign, where, "local %s is not aligned", l.Name).
				Expect(fmt.Sprintf("a multiple of %d", m.Align), fmt.Sprintf("%#x", l.Addr))
		}
		if l.Addr+l.Size > m.Size {
			c.errorf(codeMemory, where, "local %s does not fit into %s", l.Name, m.Name).
				Expect("an end of at most "+sizeText(m.Size), sizeText(l.Addr+l.Size))
		}
		byMem[l.Mem] = append(byMem[l.Mem], piece{"local " + l.Name, l.Addr, l.Size, l.First, l.Last})
	}
	for m, pieces := range byMem {
		c.overlaps("kernel "+k.Name+", memory "+c.p.Memories[m].Name, "instructions", pieces)
	}
}

// instr checks what can be seen of an instruction alone.
func (c *checker) instr(k *Kernel, i int) {
	ins := &k.Code[i]
	q := &c.p.Queues[ins.Queue]
	switch ins.Op {
	case Signal, Wait:
		f := &k.Flags[ins.Flag]
		side, want := "From", f.From
		if ins.Op == Wait {
			side, want = "To", f.To
		}
		if ins.Queue != want {
			c.at(codeFlag, k, i, "this %s is not on the flag's %s queue", ins.Op, side).Expect(c.p.Queues[want].Name, q.Name)
		}
	default:
		c.queue(k, i, q)
	}
	for _, s := range ins.slots() {
		for t := s.Tile; t != nil && !absent(t); t = t.Index {
			if t.Mem == 0 {
				prm := &k.Params[t.Param]
				if writes := (s.Letter == 'D' || s.Letter == 'E') && t != s.Tile.Index; writes && !prm.Write || !writes && !prm.Read {
					word := map[bool]string{true: "written", false: "read"}[writes]
					c.at(codeLife, k, i, "parameter %s is %s but not declared so", prm.Name, word).
						Expect("the parameter marked as "+word, "a parameter that is not")
				}
			} else if l := &k.Locals[t.Local]; i < l.First || i > l.Last {
				c.at(codeMemory, k, i, "local %s is used outside its lifetime", l.Name).
					Expect(fmt.Sprintf("instructions %d to %d", l.First, l.Last), fmt.Sprint(i))
			}
		}
	}
	c.shapes(k, i)
	c.formats(k, i)
}

// queue checks that the queue does such work. One engine may do several kinds in order: its queue then has the first.
func (c *checker) queue(k *Kernel, i int, q *Queue) {
	ins := &k.Code[i]
	if ins.Op.Kind() == Scalar && q.Kind != Scalar || q.Kind > ins.Op.Kind() || q.Kind != ins.Op.Kind() && c.rules == nil {
		c.at(codeQueue, k, i, "queue %s does not run %s", q.Name, ins.Op).Expect("a queue of kind "+ins.Op.Kind().String(), q.Kind.String())
		return
	}
	r := c.rules
	if r == nil || ins.Op.Kind() == Scalar {
		return
	}
	ok := true
	switch ins.Op.Kind() {
	case DMA:
		ok = c.path(k, i)
	case Matrix:
		ok = r.Matrix == nil
		for j := range r.Matrix {
			ok = ok || r.Matrix[j].Queue == q.Name
		}
	case Vector:
		ok = r.Vector == nil
		for j := range r.Vector {
			ok = ok || r.Vector[j].Queue == q.Name
		}
	}
	if !ok {
		c.at(codeQueue, k, i, "queue %s has no engine for %s", q.Name, ins.Op)
	}
}

// path checks a move against the chip's paths, and says whether the queue is right.
func (c *checker) path(k *Kernel, i int) bool {
	ins := &k.Code[i]
	r := c.rules
	if r.Paths == nil {
		return true
	}
	from, to := c.p.Memories[ins.A.Mem].Name, c.p.Memories[ins.Dst.Mem].Name
	if ins.Path < 0 || ins.Path >= len(r.Paths) || r.Paths[ins.Path].From != from || r.Paths[ins.Path].To != to {
		found := "no such path"
		if ins.Path >= 0 && ins.Path < len(r.Paths) {
			found = fmt.Sprintf("path %d from %s to %s", ins.Path, r.Paths[ins.Path].From, r.Paths[ins.Path].To)
		}
		var have []string
		for j := range r.Paths {
			if r.Paths[j].From == from && r.Paths[j].To == to {
				have = append(have, fmt.Sprint(j))
			}
		}
		want := "no move: the chip has no path from " + from + " to " + to
		if len(have) > 0 {
			want = "path " + strings.Join(have, " or ") + " from " + from + " to " + to
		}
		c.at(codePath, k, i, "the move does not take a path of the chip").Expect(want, found)
		return true
	}
	path := &r.Paths[ins.Path]
	if (ins.A.Index != nil || ins.Dst.Index != nil) && !path.Indirect {
		c.at(codePath, k, i, "the path from %s to %s takes no index list", from, to)
	}
	if a, d := ins.A.Format, ins.Dst.Format; a != d && !hasCast(path.Casts, a, d) {
		c.at(codePath, k, i, "the path from %s to %s does not convert %s to %s", from, to, a, d)
	}
	return path.Queue == c.p.Queues[ins.Queue].Name
}

func hasCast(casts []Cast, from, to format.Format) bool {
	for _, x := range casts {
		if x.From == from && x.To == to {
			return true
		}
	}
	return false
}

// formats checks the formats of an instruction's tiles against each other and the engines.
func (c *checker) formats(k *Kernel, i int) {
	ins := &k.Code[i]
	bad := func(what, want string, got format.Format) {
		c.at(codeFormat, k, i, "%s has the wrong format", what).Expect(want, got.String())
	}
	integer := func(what string, t *Tile) {
		if t.Has() && t.Format != format.I32 {
			bad(what, "i32", t.Format)
		}
	}
	switch ins.Op {
	case LoadScalar:
		if f := ins.A.Format; f != format.I32 && f != format.I64 {
			bad("A", "i32 or i64", f)
		}
	case Mma:
		c.matrixFormats(k, i)
	case VTake:
		integer("B", &ins.B)
	case VPut:
		integer("B", &ins.B)
	case VTopK:
		integer("Dst2", &ins.Dst2)
	case VGroup:
		integer("A", &ins.A)
		integer("Dst", &ins.Dst)
		integer("Dst2", &ins.Dst2)
	}
	if ins.Op.Kind() == Vector {
		c.vectorFormats(k, i)
	}
}

func (c *checker) matrixFormats(k *Kernel, i int) {
	if c.rules == nil || c.rules.Matrix == nil {
		return
	}
	ins := &k.Code[i]
	name := func(t *Tile) string { return c.p.Memories[t.Mem].Name }
	var have []string
	formats := false
	for j := range c.rules.Matrix {
		r := &c.rules.Matrix[j]
		if r.Queue != c.p.Queues[ins.Queue].Name {
			continue
		}
		if r.A != ins.A.Format || r.B != ins.B.Format || r.Acc != ins.Dst.Format {
			have = append(have, fmt.Sprintf("%s · %s → %s", r.A, r.B, r.Acc))
			continue
		}
		formats = true
		if ins.C.Has() && !c.scales(k, i, r) {
			return
		}
		if (r.MemA == "" || r.MemA == name(&ins.A)) && (r.MemB == "" || r.MemB == name(&ins.B)) && (r.MemAcc == "" || r.MemAcc == name(&ins.Dst)) {
			return
		}
	}
	if formats {
		c.at(codePath, k, i, "the matrix engine does not work in these memories").
			Expect("its operand and accumulator memories", name(&ins.A)+" · "+name(&ins.B)+" → "+name(&ins.Dst))
		return
	}
	c.at(codeFormat, k, i, "the matrix engine does not multiply these formats").
		Expect("one of "+strings.Join(have, ", "), fmt.Sprintf("%s · %s → %s", ins.A.Format, ins.B.Format, ins.Dst.Format))
}

// scales checks the scales of a product against those that the rate takes: they stand where the operands do.
func (c *checker) scales(k *Kernel, i int, r *MatrixRule) bool {
	ins := &k.Code[i]
	found := ins.C.Format.String()
	switch {
	case r.ScaleBlock == 0:
		c.at(codeFormat, k, i, "the matrix engine takes no scales for %s · %s", r.A, r.B)
		return false
	case ins.C.Format != r.Scale || ins.D.Format != r.Scale:
		if ins.C.Format == r.Scale {
			found = ins.D.Format.String()
		}
		c.at(codeFormat, k, i, "the scales of a product have the wrong format").Expect(r.Scale.String(), found)
		return false
	case r.MemA != "" && c.p.Memories[ins.C.Mem].Name != r.MemA || r.MemB != "" && c.p.Memories[ins.D.Mem].Name != r.MemB:
		c.at(codePath, k, i, "the scales of a product are not in the memories of its operands").
			Expect(r.MemA+" and "+r.MemB, c.p.Memories[ins.C.Mem].Name+" and "+c.p.Memories[ins.D.Mem].Name)
		return false
	}
	if n, blocks := ins.A.Size[1], ins.C.Size[1]; n.IsConst() && blocks.IsConst() && (n.C+r.ScaleBlock-1)/r.ScaleBlock != blocks.C {
		c.at(codeShape, k, i, "a product of %d of K has another number of scales than blocks of %d", n.C, r.ScaleBlock).
			Expect(fmt.Sprint((n.C+r.ScaleBlock-1)/r.ScaleBlock), fmt.Sprint(blocks.C))
		return false
	}
	return true
}

func (c *checker) vectorFormats(k *Kernel, i int) {
	if c.rules == nil || c.rules.Vector == nil {
		return
	}
	ins := &k.Code[i]
	q := c.p.Queues[ins.Queue].Name
	for _, s := range ins.slots() {
		t := s.Tile
		if absent(t) {
			continue
		}
		mem, ok := c.p.Memories[t.Mem].Name, false
		for j := range c.rules.Vector {
			r := &c.rules.Vector[j]
			ok = ok || r.Queue == q && slices.Contains(r.Mems, mem)
		}
		if !ok {
			c.at(codePath, k, i, "the engines of queue %s do not work in %s", q, mem)
			return
		}
	}
	var have []string
	for j := range c.rules.Vector {
		r := &c.rules.Vector[j]
		if r.Queue != q {
			continue
		}
		if r.takes(ins) {
			return
		}
		for _, f := range r.Formats {
			have = append(have, f.String())
		}
	}
	if ins.Op == Vec && ins.Fn == VCast {
		c.at(codeFormat, k, i, "no vector engine of queue %s converts %s to %s", q, ins.A.Format, ins.Dst.Format)
		return
	}
	c.at(codeFormat, k, i, "no vector engine of queue %s works on %s", q, ins.WorkFormat()).
		Expect("one of "+strings.Join(have, ", "), ins.WorkFormat().String())
}

// takes says whether a vector engine does an instruction in its formats. What only moves bits needs a format that is as wide at
// least, and a bool is worked on as any integer.
func (r *VectorRule) takes(in *Instr) bool {
	if r.Emulates {
		return true
	}
	f := in.WorkFormat()
	if in.Op == Vec && in.Fn == VCast {
		return in.A.Format == in.Dst.Format || hasCast(r.Casts, in.A.Format, in.Dst.Format)
	}
	for _, g := range r.Formats {
		if g == f || f == format.Bool && g.IsInt() || in.MovesBits() && g.Bits() >= f.Bits() {
			return true
		}
	}
	return false
}
