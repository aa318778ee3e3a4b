package codegen

import (
	"errors"
	"fmt"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/op"
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

// Tight reports whether fewer ops in the kernel may do what so many cannot: its smallest tiles do not fit a core's memories, or one of its ops
// works on whole tensors only.
func (e *Error) Tight() bool {
	var full *tile.Full
	return errors.Is(e.Err, errTight) || errors.Is(e.Err, errApart) || errors.As(e.Err, &full)
}

// Compile makes the plan of one function. All symbols must be bound, and every op of the body must be a kernel, a constant, a
// weight or a reshape, or an if or a loop of such ops. An error is an [*Error] that names the op.
func Compile(f *ir.Func, c *chip.Chip, opt Options) (*plan.Plan, error) {
	t, err := tile.NewTarget(c)
	if err != nil {
		return nil, err
	}
	b := &compiler{
		t: t, f: f, cache: map[kernelKey]*cached{}, buffer: map[*ir.Value]int{}, frozen: map[*ir.Value]bool{}, target: map[*ir.Value]int{}, weights: map[string]int{}, names: map[string]int{},
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

// compiler makes one plan.
type compiler struct {
	t       *tile.Target
	f       *ir.Func
	p       *plan.Plan
	cache   map[kernelKey]*cached
	buffer  map[*ir.Value]int
	frozen  map[*ir.Value]bool // parameters of regions whose buffers must stay as they are
	target  map[*ir.Value]int  // buffers that values are to be made in
	weights map[string]int     // buffers of weights by what they hold
	names   map[string]int     // of buffers, and how often each is taken
	last    map[*ir.Value]int
	order   map[*ir.Op]int
	space   int // the workspace buffer, or -1
}

// kernelKey is equal for kernels that compile to the same code.
type kernelKey struct {
	kind string
	hash [32]byte
}

// cached is a compiled kernel op, and the plan's kernels that its launches are.
type cached struct {
	*compiled
	kernels []int
}

func (b *compiler) run() error {
	b.liveness()
	for i, v := range b.f.Body.Params {
		kind := plan.Input
		if i >= len(b.f.Body.Params)-b.f.States {
			kind = plan.State
		}
		b.newBuffer(v, v.Name, kind)
	}
	if err := b.block(b.f.Body); err != nil {
		return err
	}
	b.lifetimes()
	b.addresses()
	return nil
}

// step compiles one op of the function's body, or of a region of an if or a loop.
func (b *compiler) step(o *ir.Op) error {
	switch o.Info {
	case op.Weight:
		b.weight(o)
		return nil
	case op.Constant:
		if o.Result(0).NumUses() == 0 || unread(o.Result(0)) {
			return nil
		}
		data, err := o.Attrs.Tensor("value").Bytes()
		if err != nil {
			return err
		}
		b.p.Buffers[b.newBuffer(o.Result(0), "const", plan.Const)].Data = data
		return nil
	case op.Reshape:
		b.buffer[o.Result(0)] = b.buffer[o.Arg(0)]
		return nil
	case op.Return:
		return b.finish(o)
	case op.Kernel:
		return b.launch(o)
	case op.If:
		return b.branch(o)
	case op.Loop:
		return b.loop(o)
	case op.Yield:
		return nil // the op around it brings the values where they belong
	}
	return fmt.Errorf("%s is not part of a kernel: run the fuse pass before code generation", o.Info.Name)
}

func (b *compiler) pos(p ir.Pos) plan.Pos {
	return plan.Pos{File: p.File, Line: p.Line, Col: p.Col, Scope: p.Scope}
}

// compile gives the code of a kernel op, that of an equal one if there was one before.
func (b *compiler) compile(o *ir.Op, pos plan.Pos) (*cached, error) {
	key := kernelKey{o.Attrs.Str("kind", ""), o.Regions[0].Hash()}
	if k := b.cache[key]; k != nil {
		return k, nil
	}
	pos.Scope = 0 // the code serves all layers; the step says which one it runs for
	c, err := compileKernel(b.t, o, pos)
	if err != nil {
		return nil, err
	}
	k := &cached{compiled: c}
	for i := range c.launches {
		k.kernels = append(k.kernels, len(b.p.Kernels))
		b.p.Kernels = append(b.p.Kernels, *c.launches[i].kernel)
	}
	b.cache[key] = k
	return k, nil
}

// launch adds the steps that run a kernel op.
func (b *compiler) launch(o *ir.Op) error {
	k, err := b.compile(o, b.pos(o.Pos))
	if err != nil {
		return err
	}
	operands, results := make([]int, o.NumArgs()), make([]int, len(o.Results()))
	for i := range operands {
		operands[i] = b.buffer[o.Arg(i)]
	}
	for i, r := range o.Results() {
		if from := inPlace(o, i); from >= 0 {
			if results[i], err = b.alias(o, from); err != nil {
				return err
			}
			operands[from] = results[i]
			b.buffer[r] = results[i]
			continue
		}
		results[i] = b.resultBuffer(r)
	}
	b.steps(k, operands, results, b.stepName(o), b.pos(o.Pos))
	return nil
}

// steps adds one step for each launch of a kernel op.
func (b *compiler) steps(k *cached, operands, results []int, name string, pos plan.Pos) {
	temps := make([]int, len(k.temps))
	for i, t := range k.temps {
		temps[i] = b.addBuffer(name, plan.Temp, t.format, t.shape)
	}
	for i := range k.launches {
		l := &k.launches[i]
		s := plan.Step{Kernel: k.kernels[i], Grid: l.grid, Pos: pos, Name: name}
		if i > 0 {
			s.Name = fmt.Sprintf("%s.%d", name, i+1)
		}
		for j, a := range l.args {
			buf := -1
			switch a.kind {
			case toOperand:
				buf = operands[a.index]
			case toResult:
				buf = results[a.index]
			case toTemp:
				buf = temps[a.index]
			case toWorkspace:
				buf = b.workspace(l.kernel.Params[j].Size)
			}
			s.Args = append(s.Args, plan.Arg{Buffer: buf})
		}
		b.p.Steps = append(b.p.Steps, s)
	}
}

func (b *compiler) stepName(o *ir.Op) string { return b.scoped(o, o.Attrs.Str("name", "kernel")) }

// scoped puts the place in the model that an op comes from before a name.
func (b *compiler) scoped(o *ir.Op, n string) string {
	if s := o.Pos.Scope; s > 0 && int(s) <= len(b.p.Scopes) {
		return b.p.Scopes[s-1] + "." + n
	}
	return n
}
