package passes

import (
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

var fuseInfo = &Info{
	Name: "fuse",
	Doc: "Puts every op into a kernel of a kind that the code generator has a template for: map (row by row), contract, grouped, attention, gather, search, copy. " +
		"It needs numbers for all dimensions and legal ops. Afterwards a function, and each region of an if or a loop, holds kernels, weights, literals that are no scalars, reshapes of what it gives, ifs and loops. " +
		"Views are cloned into the kernels that read through them. Two kernels become one where less data moves, a row of all that is alive at once fits the vector memory, and nothing waits for itself. " +
		"It costs a walk over the members of a kernel for each op that asks to join it, and there are at most `max` of them.",
	Options: []OptionInfo{{Name: "max", Default: "64", Number: true, Doc: "the most ops in a kernel, views and scalars not counted"}},
	Rules: rewrite.Set{
		repeatCast, fuseElementwise, fuseReduction, fuseMovement, fuseSearch, fuseQuantise, fuseUpdate, fuseSiblings, fuseEpilogue, fuseGate, fusePrologue, copyView,
	},
	Chip: true,
	run:  fuse,
}

// The rules of fuse. Each is one reason for two kernels to become one.
var (
	fuseElementwise = &rewrite.Rule{Name: "FuseElementwise", Doc: "An elementwise op joins the kernels that compute its operands row by row."}
	fuseReduction   = &rewrite.Rule{Name: "FuseReduction", Doc: "A reduction along axes that stay on chip joins the kernel of its operand: norms and softmax become one kernel."}
	fuseMovement    = &rewrite.Rule{Name: "FuseMovement", Doc: "A concat, pad or element gather within rows joins the kernels of its operands: rotary positions become one kernel."}
	fuseSearch      = &rewrite.Rule{Name: "FuseSearch", Doc: "A top_k or argmax along axes that stay on chip joins the kernel of its operand: a router becomes one kernel."}
	fuseQuantise    = &rewrite.Rule{Name: "FuseQuantise", Doc: "A quantize or dequantize joins the kernel of its operand."}
	fuseUpdate      = &rewrite.Rule{Name: "FuseUpdate", Doc: "An update of a state joins the kernel that computes the rows to be written, which then stores them in place."}
	fuseEpilogue    = &rewrite.Rule{Name: "FuseEpilogue", Doc: "Elementwise ops on the result of a matrix product (bias, residual, activation, scale, cast) are done on its tile while it is on chip, if less data moves."}
	fuseGate        = &rewrite.Rule{Name: "FuseGate", Doc: "Matrix products of one left operand with equal shapes, of which one feeds the other's epilogue, share a kernel and the tiles of the left operand: gated layers."}
	fuseSiblings    = &rewrite.Rule{Name: "FuseSiblings", Doc: "Two kernels that compute row by row, read a buffer both, and do not wait for each other, become one: a launch less, and what both read is read once."}
	repeatCast      = &rewrite.Rule{Name: "RepeatCast", Doc: "A cast to a wider format is repeated by every op that reads it, so that the narrow value is what goes from kernel to kernel. Within a kernel the copies merge again."}
	copyView        = &rewrite.Rule{Name: "CopyView", Doc: "A view that no strides can step through in one go is copied into a buffer in two. It is not optional and never switched off."}
)

// joinRule is the rule by which an op may join the kernels of its operands, or nil if it never does.
func joinRule(o *ir.Op) *rewrite.Rule {
	switch o.Info {
	case op.Reduce, op.Cumsum:
		return fuseReduction
	case op.TopK, op.ArgMax:
		return fuseSearch
	case op.Concat, op.Pad, op.GatherElements, op.ScatterElements:
		return fuseMovement
	case op.Quantize, op.Dequantize:
		return fuseQuantise
	case op.Update:
		return fuseUpdate
	}
	if o.Info.Class == op.Elementwise {
		return fuseElementwise
	}
	return nil
}

// kernelKind is the template that an op alone needs.
func kernelKind(o *ir.Op) string {
	switch o.Info {
	case op.Einsum, op.ScaledMatmul:
		return "contract"
	case op.GroupedMatmul:
		return "grouped"
	case op.Attention:
		return "attention"
	case op.Gather:
		return "gather"
	case op.GroupRows:
		return "search"
	}
	if view.Is(o) || o.Is(op.Constant) {
		return "copy"
	}
	return "map"
}

// cluster is a kernel to be: ops of one block that will run together.
type cluster struct {
	kind string
	ops  []*ir.Op // in program order
	into *cluster // set when it was merged into another

	visit   uint32
	state   uint8      // of emission: 0 not yet, 1 its producers are being emitted, 2 done
	needs   []*cluster // at emission
	readers []*cluster
}

func (c *cluster) first() *ir.Op { return c.ops[0] }

// fuser is the fusing of one function.
type fuser struct {
	p    *Pass
	m    *ir.Module
	body *ir.Block
	max  int
	mem  int64 // bytes of the vector memory that a row may take
	name string

	// of global memory, in bytes a second, and what a launch costs in seconds
	bandwidth, launch float64
	cores             int64

	ops   []*ir.Op    // what must be computed, in program order
	pos   []int32     // by op ID: index in ops; -1 for what is cloned where it is read
	root  []view.View // by value ID: the buffer behind a value, as strides
	has   []bool      // by value ID: root is known
	force []bool      // by value ID: a view, iota or literal that must be a buffer
	cl    []*cluster  // by op ID
	cons  [][]*ir.Op  // by value ID: ops that read the value, through views too; the return counts

	in    []uint32 // by op ID: in the set that is being judged, if equal to epoch
	epoch uint32
	visit uint32
	space *space
	said  []said
	moved map[*ir.Op]bool // views that were moved to where kernels are emitted
}

// fuse costs O(ops · max).
func fuse(p *Pass) error {
	list := &diag.List{}
	for _, f := range p.Module.Funcs {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		u := &fuser{p: p, m: p.Module, max: int(max(p.number("max"), 1))}
		if err := u.limits(); err != nil {
			return err
		}
		for _, u.body = range bodies(f) {
			if err := u.run(); err != nil {
				list.AddError(CodeFormat, err)
			}
		}
	}
	return list.Err()
}

// bodies are the blocks of a function that kernels stand in: its body, and the regions of ifs and loops, each behind the block
// that its op is in.
func bodies(f *ir.Func) []*ir.Block {
	list := []*ir.Block{f.Body}
	for i := 0; i < len(list); i++ {
		for o := list[i].First(); o != nil; o = o.Next() {
			if o.Is(op.If) || o.Is(op.Loop) {
				list = append(list, o.Regions...)
			}
		}
	}
	return list
}

// stays reports whether an op is no part of a kernel to be made and reads buffers: what ends a block, and what has regions.
func stays(o *ir.Op) bool { return o.Info.Terminator || len(o.Regions) > 0 }

// grown makes a table at least n long.
func grown[T any](list []T, n int) []T {
	if n <= len(list) {
		return list
	}
	return append(list, make([]T, n-len(list))...)
}

// vectorMemory is the memory that the vector engine for f32 works in, or nil.
func vectorMemory(c *chip.Chip) *chip.Memory {
	e, _, ok := c.Vector(format.F32, chip.Basic)
	if !ok || len(e.Mem) == 0 {
		return nil
	}
	return c.Memory(e.Mem[0])
}

func (u *fuser) limits() error {
	c := u.p.Chip
	mem := vectorMemory(c)
	if mem == nil {
		return diag.Errorf(CodeFormat, diag.Range{}, "%s has no vector engine for f32", c.Name).Helpf("state a rate for f32 basic in its chip file")
	}
	u.mem = rowLimit(c)
	u.name = mem.Name
	u.cores = int64(max(c.Cores.Value, 1))
	u.launch = c.Launch.Value
	u.bandwidth = c.Global().Bandwidth.Value
	if u.bandwidth <= 0 {
		for _, p := range c.Paths {
			if p.From == c.Global().Name {
				u.bandwidth = max(u.bandwidth, p.Rate.Value*c.Cores.Value*c.Clock.Value)
			}
		}
	}
	if u.bandwidth <= 0 {
		u.bandwidth = 1
	}
	return nil
}

// rowLimit is how many bytes of the vector memory one row of a map kernel may take: nine tenths, the rest is alignment and small
// constants.
func rowLimit(c *chip.Chip) int64 {
	mem := vectorMemory(c)
	if mem == nil {
		return 0
	}
	return int64(mem.Size.Value * 0.9)
}

// free reports whether an op is cloned wherever it is read and never is a kernel of its own.
func free(o *ir.Op) bool {
	return view.Is(o) || o.Is(op.Iota) || o.Is(op.DimValue) || o.Is(op.Constant) && len(o.Result(0).Type.Shape) == 0
}

// buffer reports whether an op's result is a buffer of the plan without a kernel.
func buffer(o *ir.Op) bool {
	return o.Is(op.Weight) || o.Is(op.Constant)
}

func (u *fuser) run() error {
	if u.max > 1 {
		u.repeatCasts()
	}
	u.sweep()
	if err := u.survey(); err != nil {
		return err
	}
	if u.space == nil {
		u.space = newSpace(u.m, u.leaf)
	}
	u.space.grow(u.m)
	u.joinMaps()
	u.joinAgain()
	u.joinSiblings()
	u.pullEpilogues()
	u.mergeGates()
	u.pullPrologues()
	u.say()
	u.emit()
	return nil
}

// sweep erases what nothing reads: a kernel gives something.
func (u *fuser) sweep() {
	for o := u.body.Last(); o != nil; {
		prev := o.Prev()
		used := stays(o)
		for _, r := range o.Results() {
			used = used || r.NumUses() > 0
		}
		if !used {
			o.Erase()
		}
		o = prev
	}
}

// repeatCasts gives every reader of a widening cast a cast of its own.
func (u *fuser) repeatCasts() {
	for o := u.body.First(); o != nil; o = o.Next() {
		if !widens(o) || o.Result(0).NumUses() < 2 {
			continue
		}
		users := o.Result(0).Users()
		first := users[len(users)-1]
		for _, user := range users {
			if user == first || user.Block() != u.body || stays(user) {
				continue
			}
			if !u.p.fire(repeatCast, o) {
				return
			}
			c := u.body.NewOp(op.Cast, o.Pos, []*ir.Value{o.Arg(0)}, o.Attrs, o.ResultTypes(), user).Result(0)
			c.Name = o.Result(0).Name
			for i := 0; i < user.NumArgs(); i++ {
				if user.Arg(i) == o.Result(0) {
					user.SetArg(i, c)
				}
			}
		}
	}
}

// survey finds what must be computed, resolves views to the buffers behind them, and lists who reads what.
func (u *fuser) survey() error {
	n, k := u.m.MaxValue(), u.m.MaxOp()
	u.ops, u.said, u.moved = nil, nil, map[*ir.Op]bool{}
	u.root, u.has, u.force, u.cons = grown(u.root, n), grown(u.has, n), grown(u.force, n), grown(u.cons, n)
	u.pos, u.cl, u.in = grown(u.pos, k), grown(u.cl, k), grown(u.in, k)
	for _, v := range u.body.Params {
		if err := u.concrete(v, nil); err != nil {
			return err
		}
	}
	for o := u.body.First(); o != nil; o = o.Next() {
		for _, r := range o.Results() {
			if err := u.concrete(r, o); err != nil {
				return err
			}
		}
		switch {
		case stays(o):
			for i := 0; i < o.NumArgs(); i++ {
				u.returned(o.Arg(i))
			}
		case view.Is(o):
			u.resolve(o)
		case !free(o) && !buffer(o):
			u.operands(o)
		}
	}
	for o := u.body.First(); o != nil; o = o.Next() {
		u.pos[o.ID()] = -1
		if !buffer(o) && (!free(o) || u.force[o.Result(0).ID()]) {
			u.pos[o.ID()] = int32(len(u.ops))
			u.ops = append(u.ops, o)
			for i := 0; i < o.NumArgs(); i++ {
				if d := u.rootOf(o.Arg(i)).Def(); d != nil {
					id := u.rootOf(o.Arg(i)).ID()
					if l := u.cons[id]; len(l) == 0 || l[len(l)-1] != o {
						u.cons[id] = append(l, o)
					}
				}
			}
		}
	}
	return nil
}

func (u *fuser) concrete(v *ir.Value, o *ir.Op) error {
	if v.Type.Shape.IsConst() {
		return nil
	}
	d := diag.Errorf(CodeSymbol, diag.Range{}, "kernels are made for numbers, but %%%s is %s: run specialise first", v.Name, v.Type)
	if o != nil {
		d.Where = where(u.m, o)
	}
	return d
}

// rootOf is the buffer, or the value cloned into kernels, that a value is a view of.
func (u *fuser) rootOf(v *ir.Value) *ir.Value {
	if id := v.ID(); u.has[id] {
		return u.root[id].Source
	}
	return v
}

func (u *fuser) viewOf(v *ir.Value) view.View {
	id := v.ID()
	if !u.has[id] {
		u.root[id], _ = view.Whole(v)
		u.has[id] = true
	}
	return u.root[id]
}

// resolve finds the view that a movement op gives. Where strides cannot describe it, its operand becomes a buffer.
func (u *fuser) resolve(o *ir.Op) {
	x, r := o.Arg(0), o.Result(0)
	w, ok := u.viewOf(x).Apply(o)
	if !ok {
		u.copied(x)
		w, ok = u.viewOf(x).Apply(o)
		if !ok {
			u.copied(r)
			return
		}
	}
	u.root[r.ID()], u.has[r.ID()] = w, true
}

// copied makes a value that is cloned into kernels a buffer of its own.
func (u *fuser) copied(v *ir.Value) {
	d := v.Def()
	if d == nil || !free(d) || u.force[v.ID()] || d.Is(op.Constant) {
		return
	}
	u.force[v.ID()] = true
	u.root[v.ID()], _ = view.Whole(v)
	u.has[v.ID()] = true
	u.p.Control.Op, u.p.Control.Rule = d, copyView
	u.p.Control.Note(copyView)
}

// operands makes sure that what a template reads from buffers is in buffers.
func (u *fuser) operands(o *ir.Op) {
	for i := 0; i < o.NumArgs(); i++ {
		a := o.Arg(i)
		src := u.rootOf(a).Def()
		counted := src != nil && free(src) && !u.force[u.rootOf(a).ID()] // iota, dim or a scalar
		switch {
		case kernelKind(o) == "map" && !o.Is(op.Update):
		case o.Is(op.Update) && i == 1:
		case o.Is(op.Update) && i == 0:
			if counted || !u.viewOf(a).Dense() || count(a) != count(u.rootOf(a)) {
				u.buffered(a)
			}
		case src != nil && src.Is(op.Constant): // becomes a parameter, or is known as a number
		case counted:
			u.buffered(u.rootOf(a))
		}
	}
}

// buffered is copied for a value that may also be a literal scalar.
func (u *fuser) buffered(v *ir.Value) {
	if d := v.Def(); d != nil && d.Is(op.Constant) && len(v.Type.Shape) == 0 {
		return // codegen keeps it as a buffer where it is read as one
	}
	u.copied(v)
}

// returned makes sure that what a function returns, or a kernel that is there already reads, is a buffer in its own order: a result of
// a kernel, a parameter, a literal, or a reshape of one.
func (u *fuser) returned(v *ir.Value) {
	x := v
	for x.Def() != nil && view.Is(x.Def()) && !u.force[x.ID()] {
		if !x.Def().Is(op.Reshape) {
			u.copied(v)
			return
		}
		x = x.Def().Arg(0)
	}
	if d := x.Def(); d != nil && (d.Is(op.Iota) || d.Is(op.DimValue)) {
		u.copied(x)
	}
}

// leaf reports whether a kernel of the ops marked in reads the value from a buffer.
func (u *fuser) leaf(v *ir.Value) bool {
	d := u.rootOf(v).Def()
	if d == nil {
		return true
	}
	if u.in[d.ID()] == u.epoch {
		return u.rootOf(v) == v && view.Is(d) // a view that is copied reads a buffer itself
	}
	return !free(d) || u.force[u.rootOf(v).ID()]
}

// mark makes the ops the set that leaf judges by.
func (u *fuser) mark(sets ...[]*ir.Op) {
	u.epoch++
	for _, s := range sets {
		for _, o := range s {
			u.in[o.ID()] = u.epoch
		}
	}
}

// escaping lists the values that the marked ops give to others, in program order.
func (u *fuser) escaping(ops []*ir.Op) []*ir.Value {
	var out []*ir.Value
	for _, o := range ops {
		for _, r := range o.Results() {
			for _, c := range u.cons[r.ID()] {
				if u.in[c.ID()] != u.epoch {
					out = append(out, r)
					break
				}
			}
		}
	}
	return out
}

func (u *fuser) clusterOf(o *ir.Op) *cluster {
	c := u.cl[o.ID()]
	for c != nil && c.into != nil {
		c = c.into
	}
	if c != nil {
		u.cl[o.ID()] = c
	}
	return c
}

// before orders ops as the program has them.
func (u *fuser) before(a, b *ir.Op) bool { return u.pos[a.ID()] < u.pos[b.ID()] }
