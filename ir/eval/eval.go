package eval

import (
	"context"
	"fmt"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// Weights gives the tensors of a checkpoint by name.
type Weights interface {
	Tensor(name string) (*tensor.Tensor, error)
}

// Evaluator runs functions of one module; it keeps decoded weights between runs.
type Evaluator struct {
	Weights Weights
	// Bind gives dimension symbols that the inputs do not determine, such as the capacity of a cache.
	Bind map[string]int64
	// Observe, when set, sees every op with its results after it ran.
	Observe func(o *ir.Op, results []*Value)

	weights map[string]*Value
}

// Error is a failure at one op.
type Error struct {
	Op  *ir.Op
	Err error
}

func (e *Error) Error() string { return e.Op.String() + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Run runs a function. Inputs and states are given by name; a state that is missing is zero. It returns the results by name and the
// new states, and leaves its arguments as they are.
func (e *Evaluator) Run(ctx context.Context, f *ir.Func, inputs, states map[string]*tensor.Tensor) (results, next map[string]*tensor.Tensor, err error) {
	env := map[string]int64{}
	for k, v := range e.Bind {
		env[k] = v
	}
	vals := map[*ir.Value]*Value{}
	n := len(f.Inputs())
	for i, p := range f.Body.Params { // an input may have an expression over what a later one binds
		if t := inputs[p.Name]; t != nil && i < n {
			Bind(p.Type, t, env)
		} else if t := states[p.Name]; t != nil && i >= n {
			Bind(p.Type, t, env)
		}
	}
	for i, p := range f.Body.Params {
		from, what := inputs, "input"
		if i >= n {
			from, what = states, "state"
		}
		t := from[p.Name]
		if t == nil {
			if i < n {
				return nil, nil, fmt.Errorf("%s needs input %s: %s", f.Name, p.Name, p.Type)
			}
			continue
		}
		if err := Match(p.Type, t, env); err != nil {
			return nil, nil, fmt.Errorf("%s %s of %s: %w", what, p.Name, f.Name, err)
		}
		if vals[p], err = FromTensor(t); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range f.StateParams() {
		if vals[p] != nil {
			continue
		}
		s, err := p.Type.Shape.Eval(env)
		if err != nil {
			return nil, nil, fmt.Errorf("state %s of %s: %w", p.Name, f.Name, err)
		}
		if _, _, err := tensor.Count(p.Type.Format, s); err != nil {
			return nil, nil, err
		}
		vals[p] = newValue(p.Type.Format, s)
	}
	r := &run{e: e, ctx: ctx, env: env, vals: vals}
	outs, err := r.block(f.Body)
	if err != nil {
		return nil, nil, err
	}
	results, next = map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
	names := len(outs) - f.States
	for i, v := range outs {
		t, err := v.Tensor()
		if err != nil {
			return nil, nil, err
		}
		switch {
		case i >= names:
			next[f.StateParams()[i-names].Name] = t
		case i < len(f.Results):
			results[f.Results[i]] = t
		default:
			results[fmt.Sprintf("result%d", i)] = t
		}
	}
	return results, next, nil
}

// Bind gives the symbols that are dimensions of a type by themselves the values that they have in a tensor, where env has none.
func Bind(t ir.Type, x *tensor.Tensor, env map[string]int64) {
	if len(x.Shape) != len(t.Shape) {
		return
	}
	for i, d := range t.Shape {
		if s := d.Symbols(); len(s) == 1 && d == shape.Sym(s[0]) {
			if _, ok := env[s[0]]; !ok {
				env[s[0]] = x.Shape[i]
			}
		}
	}
}

// Match holds a tensor against a parameter's type and binds the type's symbols in env.
func Match(t ir.Type, x *tensor.Tensor, env map[string]int64) error {
	bad := func() error { return fmt.Errorf("expected %s, found %s%v", t, x.Format, x.Shape) }
	if x.Format != t.Format || len(x.Shape) != len(t.Shape) {
		return bad()
	}
	Bind(t, x, env)
	for i, d := range t.Shape {
		if n, err := d.Eval(env); err != nil || n != x.Shape[i] {
			return bad()
		}
	}
	return nil
}

type run struct {
	e    *Evaluator
	ctx  context.Context
	env  map[string]int64
	vals map[*ir.Value]*Value
}

// block runs the ops of a block and returns the operands of its terminator.
func (r *run) block(b *ir.Block) ([]*Value, error) {
	for o := b.First(); o != nil; o = o.Next() {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		args := make([]*Value, o.NumArgs())
		for i := range args {
			if args[i] = r.vals[o.Arg(i)]; args[i] == nil {
				return nil, &Error{o, fmt.Errorf("operand %d has no value", i+1)}
			}
		}
		if o.Info.Terminator {
			return args, nil
		}
		res, err := r.op(o, args)
		if err != nil {
			if _, ok := err.(*Error); !ok && r.ctx.Err() == nil {
				err = &Error{o, err}
			}
			return nil, err
		}
		for i, v := range res {
			r.vals[o.Result(i)] = v
		}
		if r.e.Observe != nil {
			r.e.Observe(o, res)
		}
	}
	return nil, fmt.Errorf("a block without terminator")
}

// shape gives the concrete shape of result i of an op.
func (r *run) shape(o *ir.Op, i int) ([]int64, error) {
	s, err := o.Result(i).Type.Shape.Eval(r.env)
	if err != nil {
		return nil, err
	}
	_, _, err = tensor.Count(o.Result(i).Type.Format, s)
	return s, err
}

// Op evaluates one op on given operands, all its dimensions being concrete. It serves constant folding.
func Op(o *ir.Op, args []*Value) ([]*Value, error) {
	r := &run{e: &Evaluator{}, ctx: context.Background(), env: map[string]int64{}, vals: map[*ir.Value]*Value{}}
	return r.op(o, args)
}

// Op evaluates one op on given operands with the evaluator's weights; symbols are those of Bind. Regions are evaluated too.
func (e *Evaluator) Op(ctx context.Context, o *ir.Op, args []*Value) ([]*Value, error) {
	r := &run{e: e, ctx: ctx, env: e.Bind, vals: map[*ir.Value]*Value{}}
	return r.op(o, args)
}

func (r *run) op(o *ir.Op, args []*Value) ([]*Value, error) {
	shapes := make([][]int64, len(o.Results()))
	for i := range shapes {
		var err error
		if shapes[i], err = r.shape(o, i); err != nil {
			return nil, err
		}
	}
	if o.Is(op.Kernel) {
		for i, p := range o.Regions[0].Params {
			r.vals[p] = args[i]
		}
		return r.block(o.Regions[0])
	}
	if o.Info.Class == op.Elementwise {
		v, err := elementwise(o, args, shapes[0])
		return []*Value{v}, err
	}
	if err := rows(o, args); err != nil {
		return nil, err
	}
	f := table[o.Info]
	if f == nil {
		return nil, fmt.Errorf("the evaluator has no meaning for %s", o.Info.Name)
	}
	return f(r, o, args, shapes)
}

// rows refuses indices into an axis without elements: there is nothing that they could be clamped to.
func rows(o *ir.Op, args []*Value) error {
	if !o.Is(op.GatherElements) && !o.Is(op.ScatterElements) {
		return nil
	}
	if x := args[0].Shape; x[axis(o.Attrs.Int("axis", -1), len(x))] == 0 && numel(args[1].Shape) > 0 {
		return fmt.Errorf("%d indices into an axis without elements", numel(args[1].Shape))
	}
	return nil
}
