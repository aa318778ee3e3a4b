package codegen

import (
	"fmt"
	"strings"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// Options steer a compilation.
type Options struct {
	Precision string // recorded in the plan
	Symbols   []plan.Symbol
	Notes     []string // assumptions that the plan repeats
}

// Error is a kernel that could not be compiled, with where it comes from.
type Error struct {
	Op    *ir.Op
	Where string
	Err   error
}

func (e *Error) Error() string {
	if e.Where == "" {
		return e.Err.Error()
	}
	return e.Where + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Compile makes the plan of one function. All symbols must be bound, and every op of the body must be a kernel, a constant, a
// weight or a reshape.
func Compile(f *ir.Func, c *chip.Chip, opt Options) (*plan.Plan, error) {
	t, err := tile.NewTarget(c)
	if err != nil {
		return nil, err
	}
	b := &compiler{
		t: t, f: f, cache: map[string]*cached{}, buffer: map[*ir.Value]int{},
		p: &plan.Plan{
			Model: f.Module.Name, Entry: f.Name, Chip: c.Name, ChipHash: c.Hash(), Precision: opt.Precision, Symbols: opt.Symbols,
			Memories: t.Memories, Queues: t.Queues, Files: f.Module.Files, Scopes: f.Module.Scopes, Notes: opt.Notes,
		},
		space: -1,
	}
	if err := b.run(); err != nil {
		return nil, err
	}
	return b.p, nil
}

type cached struct {
	index int
	c     *compiled
}

type compiler struct {
	t      *tile.Target
	f      *ir.Func
	p      *plan.Plan
	cache  map[string]*cached
	buffer map[*ir.Value]int
	space  int // the workspace buffer, or -1
	names  map[string]int
}

func (b *compiler) run() error {
	for i, v := range b.f.Body.Params {
		kind := plan.Input
		if i >= len(b.f.Body.Params)-b.f.States {
			kind = plan.State
		}
		b.newBuffer(v, v.Name, kind)
	}
	for o := b.f.Body.First(); o != nil; o = o.Next() {
		if err := b.step(o); err != nil {
			return &Error{o, b.f.Module.PosString(o.Pos), err}
		}
	}
	b.lifetimes()
	b.addresses()
	return nil
}

func (b *compiler) newBuffer(v *ir.Value, name string, kind plan.BufferKind) int {
	shape := shapeOf(v)
	if shape == nil {
		shape = []int64{}
	}
	if b.names == nil {
		b.names = map[string]int{}
	}
	if name == "" {
		name = "t"
	}
	n := b.names[name]
	b.names[name]++
	if n > 0 || name == "t" {
		name = fmt.Sprintf("%s.%d", name, n)
	}
	b.p.Buffers = append(b.p.Buffers, plan.Buffer{Name: name, Kind: kind, Format: v.Type.Format, Shape: shape, Size: bytesOf(v), First: -1, Last: -1})
	i := len(b.p.Buffers) - 1
	b.buffer[v] = i
	return i
}

func (b *compiler) pos(p ir.Pos) plan.Pos {
	return plan.Pos{File: p.File, Line: p.Line, Col: p.Col, Scope: p.Scope}
}

func (b *compiler) step(o *ir.Op) error {
	switch o.Info {
	case op.Weight:
		name := o.Attrs.Str("name", "")
		v := o.Result(0)
		for i := range b.p.Buffers { // the same tensor loaded in the same way is there once
			if x := &b.p.Buffers[i]; x.Kind == plan.Weight && x.Source.Name == name && x.Format == v.Type.Format && equalInts(x.Shape, shapeOf(v)) {
				b.buffer[v] = i
				return nil
			}
		}
		i := b.newBuffer(v, name, plan.Weight)
		s := &plan.Source{Name: name, Stack: o.Attrs.Int("stack", 0), Stored: o.Attrs.Format("stored", v.Type.Format), Scale: o.Attrs.Str("scale", ""), Block: o.Attrs.Ints("block"), Shape: shapeOf(v)}
		if s.Stack > 0 {
			s.Shape = s.Shape[1:]
		}
		b.p.Buffers[i].Source = s
		return nil
	case op.Constant:
		if o.Result(0).NumUses() == 0 {
			return nil
		}
		i := b.newBuffer(o.Result(0), "const", plan.Const)
		data, err := o.Attrs.Tensor("value").Bytes()
		if err != nil {
			return err
		}
		b.p.Buffers[i].Data = data
		return nil
	case op.Reshape:
		b.buffer[o.Result(0)] = b.buffer[o.Arg(0)]
		return nil
	case op.Return:
		return b.finish(o)
	case op.Kernel:
		return b.launch(o)
	}
	return fmt.Errorf("%s is not part of a kernel: run the fuse pass before code generation", o.Info.Name)
}

func equalInts(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// launch compiles a kernel, or takes an equal one, and adds the step that runs it.
func (b *compiler) launch(o *ir.Op) error {
	key := kernelKey(o)
	k, ok := b.cache[key]
	if !ok {
		pos := b.pos(o.Pos)
		pos.Scope = 0 // the code serves all layers; the step says which one it runs for
		c, err := compileKernel(b.t, o, pos)
		if err != nil {
			return err
		}
		b.p.Kernels = append(b.p.Kernels, *c.kernel)
		k = &cached{len(b.p.Kernels) - 1, c}
		b.cache[key] = k
	}
	s := plan.Step{Kernel: k.index, Grid: k.c.grid, Pos: b.pos(o.Pos), Name: b.stepName(o)}
	for i := 0; i < o.NumArgs(); i++ {
		s.Args = append(s.Args, plan.Arg{Buffer: b.buffer[o.Arg(i)]})
	}
	y := o.Regions[0].Last()
	for i, r := range o.Results() {
		if from := inPlace(o, y.Arg(i)); from >= 0 {
			if err := b.alias(o, r, from, &s); err != nil {
				return err
			}
		} else {
			s.Args = append(s.Args, plan.Arg{Buffer: b.newBuffer(r, r.Name, plan.Temp)})
		}
	}
	if k.c.workspace > 0 {
		if b.space < 0 {
			b.p.Buffers = append(b.p.Buffers, plan.Buffer{Name: "workspace", Kind: plan.Workspace, Shape: []int64{0}, First: -1, Last: -1})
			b.space = len(b.p.Buffers) - 1
			b.p.Buffers[b.space].Format = b.p.Kernels[k.index].Params[len(s.Args)].Format
		}
		w := &b.p.Buffers[b.space]
		w.Size = max(w.Size, k.c.workspace)
		w.Shape[0] = w.Size
		s.Args = append(s.Args, plan.Arg{Buffer: b.space})
	}
	b.p.Steps = append(b.p.Steps, s)
	return nil
}

func (b *compiler) stepName(o *ir.Op) string {
	n := o.Attrs.Str("name", "kernel")
	if s := o.Pos.Scope; s > 0 && int(s) <= len(b.p.Scopes) {
		return b.p.Scopes[s-1] + "." + n
	}
	return n
}

// inPlace is the operand whose buffer a kernel's result overwrites, or -1.
func inPlace(o *ir.Op, y *ir.Value) int {
	if !y.DefIs(op.Update) {
		return -1
	}
	w, ok := view.Of(y.Def().Arg(0))
	if ok && w.Source.Def() == nil && w.Dense() {
		return w.Source.Index()
	}
	return -1
}

// alias lets a result live in its operand's buffer; the operand is copied first if somebody still reads it.
func (b *compiler) alias(o *ir.Op, r *ir.Value, from int, s *plan.Step) error {
	x := o.Arg(from)
	buf := b.buffer[x]
	if k := b.p.Buffers[buf].Kind; b.readLater(x, o) || k == plan.Input || k == plan.Weight || k == plan.Const {
		to := b.newBuffer(r, r.Name, plan.Temp)
		if err := b.copy(x, buf, to, o); err != nil {
			return err
		}
		s.Args[from].Buffer = to
		buf = to
	}
	b.buffer[r] = buf
	s.Args = append(s.Args, plan.Arg{Buffer: buf})
	return nil
}

// readLater reports whether something after o in the block reads the buffer of x in its state before o.
func (b *compiler) readLater(x *ir.Value, o *ir.Op) bool {
	later := false
	x.EachUse(func(u *ir.Op) {
		if u == o || later {
			return
		}
		for p := o.Next(); p != nil; p = p.Next() {
			if p == u {
				later = true
				return
			}
		}
	})
	if later {
		return true
	}
	if d := x.Def(); d != nil && d.Is(op.Reshape) {
		return b.readLater(d.Arg(0), o)
	}
	return false
}

// copy adds a step that copies one buffer to another of the same type.
func (b *compiler) copy(like *ir.Value, from, to int, at *ir.Op) error {
	m := ir.NewModule("copy")
	f := m.NewFunc("copy")
	x := f.AddInput("x", like.Type)
	bl := ir.AtEnd(f.Body)
	bl.Return(x)
	k := f.Body.NewOp(op.Kernel, ir.Pos{}, []*ir.Value{x}, ir.A("name", "copy", "kind", "copy"), []ir.Type{like.Type}, f.Return())
	r := k.NewRegion()
	p := r.AddParam("x", like.Type)
	ir.AtEnd(r).Yield(p)
	key := kernelKey(k)
	c, ok := b.cache[key]
	if !ok {
		out, err := compileKernel(b.t, k, plan.Pos{})
		if err != nil {
			return err
		}
		b.p.Kernels = append(b.p.Kernels, *out.kernel)
		c = &cached{len(b.p.Kernels) - 1, out}
		b.cache[key] = c
	}
	b.p.Steps = append(b.p.Steps, plan.Step{Kernel: c.index, Grid: c.c.grid, Args: []plan.Arg{{Buffer: from}, {Buffer: to}}, Pos: b.pos(at.Pos), Name: "copy"})
	return nil
}

// finish binds results and states to the buffers that the caller reads.
func (b *compiler) finish(ret *ir.Op) error {
	f := b.f
	results := ret.NumArgs() - f.States
	taken := map[int]bool{}
	for i := 0; i < results; i++ {
		v := ret.Arg(i)
		buf := b.buffer[v]
		name := fmt.Sprintf("result%d", i)
		if i < len(f.Results) {
			name = f.Results[i]
		}
		if x := &b.p.Buffers[buf]; x.Kind == plan.Temp && !taken[buf] {
			x.Kind, x.Name, x.Shape = plan.Output, name, shapeOf(v)
			taken[buf] = true
			continue
		}
		// An input, a weight or a value returned twice: the result is a copy.
		b.p.Buffers = append(b.p.Buffers, plan.Buffer{Name: name, Kind: plan.Output, Format: v.Type.Format, Shape: shapeOf(v), Size: bytesOf(v), First: -1, Last: -1})
		to := len(b.p.Buffers) - 1
		if err := b.copy(v, buf, to, ret); err != nil {
			return err
		}
	}
	for i, s := range f.StateParams() {
		v := ret.Arg(results + i)
		if from, to := b.buffer[v], b.buffer[s]; from != to {
			if err := b.copy(v, from, to, ret); err != nil {
				return err
			}
		}
	}
	return nil
}

// kernelKey is equal for kernels that compile to the same code.
func kernelKey(o *ir.Op) string {
	var s strings.Builder
	num := map[*ir.Value]int{}
	id := func(v *ir.Value) int {
		n, ok := num[v]
		if !ok {
			n = len(num)
			num[v] = n
		}
		return n
	}
	s.WriteString(o.Attrs.Str("kind", ""))
	for _, r := range o.Regions {
		for _, p := range r.Params {
			fmt.Fprintf(&s, "|%d:%s", id(p), p.Type)
		}
		for p := r.First(); p != nil; p = p.Next() {
			s.WriteString("|" + p.Info.Name)
			for i := 0; i < p.NumArgs(); i++ {
				fmt.Fprintf(&s, " %d", id(p.Arg(i)))
			}
			for _, a := range p.Attrs {
				if t := p.Attrs.Tensor(a.Name); t != nil {
					h, err := t.Hash()
					if err != nil { // unreadable: equal to nothing else
						fmt.Fprintf(&s, " %s=%p", a.Name, t)
					}
					fmt.Fprintf(&s, " %s=%x", a.Name, h)
				} else {
					fmt.Fprintf(&s, " %s=%v", a.Name, a.Value)
				}
			}
			for _, r := range p.Results() {
				fmt.Fprintf(&s, " ->%d:%s", id(r), r.Type)
			}
		}
	}
	return s.String()
}
