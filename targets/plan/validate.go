package plan

import (
	"fmt"
	"slices"
	"strings"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// Validate checks that a plan can be walked without looking twice: every index is in range, loops nest, sizes are
// sane, and each instruction has the operands that its opcode needs and no others. What runs, times or rewrites a plan from a
// file calls it first. [Check] goes on from there. The error is a [diag.List] in which every entry says where.
func Validate(p *Plan) error {
	c := newChecker(p, nil)
	c.structure()
	return c.list.Err()
}

// maxPlanSize bounds every size, address and count of a plan, so that no sum or product of two overflows unseen.
const maxPlanSize = 1 << 50

// maxRegs is how many registers a kernel can have.
const maxRegs = 4096

// checker collects what is wrong with a plan.
type checker struct {
	p     *Plan
	rules *Rules
	list  diag.List
	print *printer // for the text of instructions, made when first needed
}

func newChecker(p *Plan, r *Rules) *checker { return &checker{p: p, rules: r} }

func (c *checker) errorf(code, where, format string, args ...any) *diag.Diagnostic {
	return c.list.Errorf(code, diag.Range{}, format, args...).At(where)
}

// at reports something about an instruction, with its text and its place in the source.
func (c *checker) at(code string, k *Kernel, i int, format string, args ...any) *diag.Diagnostic {
	d := diag.Errorf(code, diag.Range{}, format, args...)
	c.locate(d, k, i)
	c.list.Add(d)
	return d
}

// locate gives a finding the name of its kernel and instruction.
func (c *checker) locate(d *diag.Diagnostic, k *Kernel, i int) {
	if c.list.Full() {
		return
	}
	d.Where = fmt.Sprintf("kernel %s, instruction %d", k.Name, i)
	d.Note(diag.Range{}, "%s", c.text(k, i))
	if pos := PosText(c.p, k.Code[i].Pos); pos != "" {
		d.Note(diag.Range{}, "it comes from %s", pos)
	}
}

func (c *checker) text(k *Kernel, i int) string {
	if c.print == nil {
		var v Vocab
		if c.rules != nil {
			v = c.rules.Vocab
		}
		c.print = newPrinter(c.p, v)
	}
	if c.print.k != k {
		c.print.enter(k)
	}
	c.print.b = c.print.b[:0]
	c.print.instr(&k.Code[i])
	return string(c.print.b)
}

func in(i, n int) bool { return i >= 0 && i < n }

func sane(x int64) bool { return x >= 0 && x <= maxPlanSize }

func (c *checker) structure() {
	p := c.p
	if len(p.Memories) == 0 && len(p.Kernels)+len(p.Buffers) > 0 {
		c.errorf(codeIndex, "plan", "the plan has no memories").Expect("at least the global one", "none")
	}
	for i, m := range p.Memories {
		if !sane(m.Size) || m.Align < 1 || m.Align > 1<<20 {
			c.errorf(codeSize, "memory "+m.Name, "memory %d has size %d and alignment %d", i, m.Size, m.Align).
				Expect("a size of at most 1 PiB and an alignment of 1 B to 1 MiB", "others")
		}
	}
	for i := range p.Queues {
		if int(p.Queues[i].Kind) >= len(queueKindNames) {
			c.errorf(codeIndex, "queue "+p.Queues[i].Name, "the queue has no kind")
		}
	}
	for i := range p.Buffers {
		c.bufferStructure(&p.Buffers[i])
	}
	for i := range p.Kernels {
		c.kernelStructure(&p.Kernels[i])
	}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Op == LaunchStep {
			c.stepStructure(i, s)
		} else {
			c.controlStructure(i, s)
		}
	}
	if _, ok := Nest(p.Steps); !ok {
		c.errorf(codeLoop, "steps", "ifs, loops and ends do not belong together, or stand in each other more than %d deep", maxStepNesting)
	}
}

// controlStructure checks a step that is no launch.
func (c *checker) controlStructure(i int, s *Step) {
	where := fmt.Sprintf("step %d %s", i, s.Name)
	x := s.Control
	if s.Op > EndStep || (x != nil) != s.Op.controls() {
		c.errorf(codeOperand, where, "the step is of no kind, or what it goes by is missing or too much")
		return
	}
	if x == nil {
		return
	}
	scalar := func(what string, n int, formats ...format.Format) {
		if n == None {
			return
		}
		if !in(n, len(c.p.Buffers)) {
			c.errorf(codeIndex, where, "there is no buffer %d", n)
			return
		}
		b := &c.p.Buffers[n]
		for _, d := range b.Shape {
			if d != 1 {
				c.errorf(codeShape, where, "%s %s is no scalar", what, b.Name).Expect("one element", fmt.Sprint(b.Shape))
				return
			}
		}
		if !slices.Contains(formats, b.Format) {
			c.errorf(codeFormat, where, "%s %s has the wrong format", what, b.Name).Expect(fmt.Sprint(formats), b.Format.String())
		}
	}
	scalar("condition", x.Cond, format.Bool)
	scalar("trip count", x.Trip, format.I32, format.I64)
	scalar("index", x.Index, format.I32, format.I64)
	switch {
	case s.Op == IfStep:
		if x.Cond == None || x.Trip != None || x.Index != None || x.Limit != NoLimit || x.Assume != 0 {
			c.errorf(codeOperand, where, "an if goes by a condition and by nothing else")
		}
	case x.Limit < NoLimit || x.Limit > maxPlanSize || x.Assume < 0 || x.Assume > maxPlanSize:
		c.errorf(codeSize, where, "the loop has a limit of %d rounds and is taken to make %d", x.Limit, x.Assume)
	case !x.Data() && x.Limit == NoLimit:
		c.errorf(codeOperand, where, "nothing ends the loop").Expect("a limit, a trip count or a condition", "none")
	}
}

func (c *checker) bufferStructure(b *Buffer) {
	where := "buffer " + b.Name
	if int(b.Kind) >= len(bufferKindNames) {
		c.errorf(codeIndex, where, "the buffer has no kind")
	}
	if !sane(b.Addr) || !sane(b.Size) {
		c.errorf(codeSize, where, "address %d and size %d are not those of a buffer", b.Addr, b.Size).Expect("0 to 1 PiB", "others")
	}
	if b.First < 0 || b.Last < b.First-1 {
		c.errorf(codeIndex, where, "steps %d..%d are no range", b.First, b.Last)
	}
	n := int64(1)
	for _, d := range b.Shape {
		if d < 0 || d > 0 && n > maxPlanSize/d {
			c.errorf(codeSize, where, "the shape %v is too large or negative", b.Shape)
			return
		}
		n *= d
	}
	size, ok := format.NumBytes(b.Format, n)
	if b.Kind == Workspace && !ok {
		return
	}
	if !ok || size > b.Size {
		c.errorf(codeSize, where, "the buffer is smaller than its tensor").
			Expect(fmt.Sprintf("at least %d B for %v of %s", size, b.Shape, b.Format), fmt.Sprintf("%d B", b.Size))
	}
	if b.Kind == Const && int64(len(b.Data)) > b.Size {
		c.errorf(codeSize, where, "the constant has more bytes than its buffer").
			Expect(fmt.Sprintf("at most %d", b.Size), fmt.Sprint(len(b.Data)))
	}
}

func (c *checker) stepStructure(i int, s *Step) {
	where := fmt.Sprintf("step %d %s", i, s.Name)
	if !in(s.Kernel, len(c.p.Kernels)) {
		c.errorf(codeIndex, where, "there is no kernel %d", s.Kernel)
		return
	}
	k := &c.p.Kernels[s.Kernel]
	if s.Grid < 1 || s.Grid > 1<<40 {
		c.errorf(codeSize, where, "the grid has %d blocks", s.Grid).Expect("1 to 2^40", fmt.Sprint(s.Grid))
	}
	if len(s.Args) != len(k.Params) {
		c.errorf(codeOperand, where, "kernel %s is launched with the wrong number of arguments", k.Name).
			Expect(fmt.Sprint(len(k.Params)), fmt.Sprint(len(s.Args)))
		return
	}
	for j, a := range s.Args {
		if !in(a.Buffer, len(c.p.Buffers)) {
			c.errorf(codeIndex, where, "there is no buffer %d", a.Buffer)
			continue
		}
		b := &c.p.Buffers[a.Buffer]
		if prm := &k.Params[j]; a.Offset < 0 || a.Offset > b.Size || prm.Size > b.Size-a.Offset {
			c.errorf(codeSize, where, "parameter %s of kernel %s does not fit into buffer %s", prm.Name, k.Name, b.Name).
				Expect(fmt.Sprintf("%d B from byte %d", prm.Size, a.Offset), fmt.Sprintf("a buffer of %d B", b.Size))
		}
	}
}

func (c *checker) kernelStructure(k *Kernel) {
	where := "kernel " + k.Name
	p := c.p
	if k.Regs < int(FirstReg) || k.Regs > maxRegs {
		c.errorf(codeIndex, where, "the kernel has %d registers", k.Regs).Expect(fmt.Sprintf("3 to %d", maxRegs), fmt.Sprint(k.Regs))
		return
	}
	for _, a := range k.Params {
		if !sane(a.Size) {
			c.errorf(codeSize, where, "parameter %s has size %d", a.Name, a.Size)
		}
	}
	for i := range k.Locals {
		l := &k.Locals[i]
		if !in(l.Mem, len(p.Memories)) || l.Mem == 0 {
			c.errorf(codeIndex, where, "local %s is in no memory of a core", l.Name)
		}
		if !sane(l.Addr) || !sane(l.Size) || l.Slots < 1 {
			c.errorf(codeSize, where, "local %s has address %d, size %d and %d slots", l.Name, l.Addr, l.Size, l.Slots)
		}
	}
	for _, f := range k.Flags {
		if !in(f.From, len(p.Queues)) || !in(f.To, len(p.Queues)) {
			c.errorf(codeIndex, where, "flag %s is between queues %d and %d, which are not there", f.Name, f.From, f.To)
		}
		if f.Credits < 0 || f.Credits > 1<<12 {
			c.errorf(codeSize, where, "flag %s has %d credits", f.Name, f.Credits).Expect("0 to 4096", fmt.Sprint(f.Credits))
		}
	}
	jumps, nested := matchLoops(k.Code)
	depth := 0
	for i := range k.Code {
		in := &k.Code[i]
		if (in.Op == Loop || in.Op == End) && (in.Jump != jumps[i] || in.Jump == i || in.Op == Loop && in.Jump < i) {
			c.at(codeLoop, k, i, "this %s has no other half where it jumps to", in.Op)
		}
		if in.Op == Loop {
			depth++
		} else if in.Op == End {
			if depth--; depth < 0 {
				c.at(codeLoop, k, i, "this end ends no loop")
				depth = 0
			}
		}
		c.instrStructure(k, i)
	}
	if !nested && depth > 0 {
		c.errorf(codeLoop, where, "%d loops are not ended", depth)
	}
}

// slots gives an instruction's tiles with the letters of the table of opcodes.
func (in *Instr) slots() [6]struct {
	Letter byte
	Tile   *Tile
} {
	return [6]struct {
		Letter byte
		Tile   *Tile
	}{{'D', &in.Dst}, {'E', &in.Dst2}, {'A', &in.A}, {'B', &in.B}, {'C', &in.C}, {'F', &in.D}}
}

var slotNames = map[byte]string{'D': "Dst", 'E': "Dst2", 'A': "A", 'B': "B", 'C': "C", 'F': "D"}

// takes gives the tiles that the instruction must and may have, as in the table of opcodes.
func (in *Instr) takes() string {
	t := infos[in.Op].tiles
	if in.Op == Vec { // by arity; a missing operand takes Imm
		switch in.Fn.Arity() {
		case 1:
			t = "Da"
		case 2:
			t = "Dab"
		default:
			t = "Dabc"
		}
	}
	return t
}

func (c *checker) instrStructure(k *Kernel, i int) {
	ins := &k.Code[i]
	if ins.Op >= numOpcodes || ins.Fn >= NumFns {
		c.errorf(codeIndex, fmt.Sprintf("kernel %s, instruction %d", k.Name, i), "there is no such opcode or function")
		return
	}
	if !in(ins.Queue, len(c.p.Queues)) {
		c.at(codeIndex, k, i, "there is no queue %d", ins.Queue)
	}
	if (ins.Op == Signal || ins.Op == Wait) && !in(ins.Flag, len(k.Flags)) {
		c.at(codeIndex, k, i, "there is no flag %d", ins.Flag)
	}
	c.valStructure(k, i, ins.X)
	c.valStructure(k, i, ins.Y)
	c.valStructure(k, i, ins.Z)
	c.valStructure(k, i, ins.Acc)
	if a := ins.Assume; a != nil {
		c.valStructure(k, i, a.Index)
		if a.Div < 1 {
			c.at(codeOperand, k, i, "the assumption divides by %d", a.Div).Expect("a divisor of at least 1", fmt.Sprint(a.Div))
		}
	}
	if (ins.Op == Loop || ins.Op == Set || ins.Op == LoadScalar) && int(ins.Reg) >= k.Regs {
		c.at(codeIndex, k, i, "there is no register %d", ins.Reg).Expect(fmt.Sprintf("one of %d", k.Regs), fmt.Sprint(ins.Reg))
	}
	takes := ins.takes()
	for _, s := range ins.slots() {
		must, may := strings.IndexByte(takes, s.Letter) >= 0, strings.IndexByte(takes, s.Letter+'a'-'A') >= 0
		switch {
		case !must && !may:
			if !absent(s.Tile) {
				c.at(codeOperand, k, i, "%s takes no tile %s", ins.Op, slotNames[s.Letter])
			}
		case must && absent(s.Tile):
			c.at(codeOperand, k, i, "%s lacks its tile %s", ins.Op, slotNames[s.Letter])
		case s.Tile.Has() && absent(s.Tile):
			c.at(codeOperand, k, i, "the tile %s is neither given nor missing", slotNames[s.Letter]).
				Expect("a tile or NoTile", "the zero Tile")
		case s.Tile.Has():
			c.tileStructure(k, i, s.Tile, slotNames[s.Letter])
		}
	}
}

func (c *checker) valStructure(k *Kernel, i int, v Val) {
	for _, t := range v.Terms {
		if int(t.Reg) >= k.Regs {
			c.at(codeIndex, k, i, "there is no register %d", t.Reg).Expect(fmt.Sprintf("one of %d", k.Regs), fmt.Sprint(t.Reg))
			return
		}
		if t.K > maxPlanSize || t.K < -maxPlanSize {
			c.at(codeSize, k, i, "the factor %d is too large", t.K)
		}
	}
	if v.C > maxPlanSize || v.C < -maxPlanSize {
		c.at(codeSize, k, i, "the number %d is too large", v.C)
	}
}

func (c *checker) tileStructure(k *Kernel, i int, t *Tile, what string) {
	if !in(t.Mem, len(c.p.Memories)) {
		c.at(codeIndex, k, i, "tile %s is in memory %d, which is not there", what, t.Mem)
		return
	}
	if t.Mem == 0 && !in(t.Param, len(k.Params)) {
		c.at(codeIndex, k, i, "tile %s is of parameter %d, which is not there", what, t.Param)
	} else if t.Mem != 0 && !in(t.Local, len(k.Locals)) {
		c.at(codeIndex, k, i, "tile %s is of local %d, which is not there", what, t.Local)
	} else if t.Mem != 0 && k.Locals[t.Local].Mem != t.Mem {
		c.at(codeOperand, k, i, "tile %s is in %s but its local %s is not", what, c.p.Memories[t.Mem].Name, k.Locals[t.Local].Name)
	}
	if !t.Format.Valid() {
		c.at(codeOperand, k, i, "tile %s has no format", what)
	}
	if len(t.Size) < 1 || len(t.Size) > MaxTileRank || len(t.Size) != len(t.Stride) {
		c.at(codeOperand, k, i, "tile %s has %d sizes and %d strides", what, len(t.Size), len(t.Stride)).
			Expect(fmt.Sprintf("one stride for each of 1 to %d axes", MaxTileRank), fmt.Sprintf("%d and %d", len(t.Size), len(t.Stride)))
	}
	c.valStructure(k, i, t.Base)
	for _, v := range t.Size {
		c.valStructure(k, i, v)
	}
	for _, s := range t.Stride {
		if s > maxPlanSize || s < -maxPlanSize {
			c.at(codeSize, k, i, "tile %s has the stride %d", what, s)
		}
	}
	if x := t.Index; x != nil {
		if k.Code[i].Op != Move {
			c.at(codeOperand, k, i, "tile %s has an index, which only a move takes", what)
		}
		if x.Index != nil || x.Format != format.I32 || len(x.Size) != 1 {
			c.at(codeOperand, k, i, "the index of tile %s is not a list of i32", what)
		}
		if !x.Has() || x.Index != nil {
			c.at(codeOperand, k, i, "the index of tile %s is missing, or has an index itself", what)
			return
		}
		c.tileStructure(k, i, x, "index of "+what)
	}
}
