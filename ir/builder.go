package ir

import (
	"fmt"

	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// Builder adds ops at one place of a block, inferring and checking their types.
//
// The first error is kept in Err and makes every later call return a value of an invalid type, so that a
// builder's user checks once at the end, or after each op when the position matters.
type Builder struct {
	Block  *Block
	Before *Op // nil adds at the end
	Pos    Pos
	Err    error
}

// At returns a builder that adds before the given op, with its position.
func At(o *Op) *Builder { return &Builder{Block: o.block, Before: o, Pos: o.Pos} }

// AtEnd returns a builder that adds at the end of a block.
func AtEnd(b *Block) *Builder { return &Builder{Block: b} }

// Create adds an op whose result types follow from the table, and returns it; nil after an error.
func (b *Builder) Create(info *op.Info, attrs op.Attrs, args ...*Value) *Op {
	return b.create(info, attrs, nil, args)
}

// Declare adds an op whose result types are written with it, such as weight.
func (b *Builder) Declare(info *op.Info, attrs op.Attrs, results []Type, args ...*Value) *Op {
	return b.create(info, attrs, results, args)
}

func (b *Builder) create(info *op.Info, attrs op.Attrs, results []Type, args []*Value) *Op {
	if b.Err != nil {
		return nil
	}
	types, attrs, err := Check(info, attrs, args, results)
	if err != nil {
		b.Err = err
		return nil
	}
	return b.Block.NewOp(info, b.Pos, args, attrs, types, b.Before)
}

// Check applies the op table to operands and attributes: it returns the result types and the attributes in
// table order, or an error that says what does not fit.
func Check(info *op.Info, attrs op.Attrs, args []*Value, declared []Type) ([]Type, op.Attrs, error) {
	attrs, err := info.Normalise(attrs)
	if err != nil {
		return nil, nil, err
	}
	if n := len(args); n < info.MinArgs() || info.MaxArgs() >= 0 && n > info.MaxArgs() {
		return nil, nil, fmt.Errorf("%s takes %s, found %d", info.Name, arity(info), n)
	}
	in := op.Input{Attrs: attrs, Args: make([]Type, len(args))}
	for i, a := range args {
		in.Args[i] = a.Type
	}
	if info.Declared {
		if info.Check != nil {
			if err := info.Check(in, declared); err != nil {
				return nil, nil, err
			}
		}
		return declared, attrs, nil
	}
	types, err := info.Infer(in)
	return types, attrs, err
}

func arity(i *op.Info) string {
	lo, hi := i.MinArgs(), i.MaxArgs()
	switch {
	case hi < 0 && lo == 1:
		return "at least 1 operand"
	case hi < 0:
		return fmt.Sprintf("at least %d operands", lo)
	case lo == hi && lo == 1:
		return "1 operand"
	case lo == hi:
		return fmt.Sprintf("%d operands", lo)
	}
	return fmt.Sprintf("%d to %d operands", lo, hi)
}

// invalid stands for a value after an error.
var invalid = &Value{}

// Op adds an op with one result and returns that.
func (b *Builder) Op(info *op.Info, attrs op.Attrs, args ...*Value) *Value {
	o := b.Create(info, attrs, args...)
	if o == nil {
		return invalid
	}
	return o.results[0]
}

// A makes attributes from alternating names and values; an int value becomes int64.
func A(kv ...any) op.Attrs {
	out := make(op.Attrs, 0, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		v := kv[i+1]
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		out = append(out, op.Attr{Name: kv[i].(string), Value: v})
	}
	return out
}

// Scalar adds a constant scalar of a format, rounded to it.
func (b *Builder) Scalar(f format.Format, x float64) *Value {
	t, err := tensor.FromF64(f, nil, []float64{x})
	if err != nil {
		if b.Err == nil {
			b.Err = err
		}
		return invalid
	}
	return b.Op(op.Constant, A("value", t))
}

// Cast adds a cast unless x has the format already.
func (b *Builder) Cast(x *Value, f format.Format) *Value {
	if x.Type.Format == f {
		return x
	}
	return b.Op(op.Cast, A("format", f), x)
}

// Einsum adds a contraction; out may be format.Invalid for the format of a.
func (b *Builder) Einsum(spec string, x, y *Value, out format.Format) *Value {
	attrs := A("spec", spec)
	if out != format.Invalid && out != x.Type.Format {
		attrs = append(attrs, op.Attr{Name: "format", Value: out})
	}
	return b.Op(op.Einsum, attrs, x, y)
}

// Reshape adds a reshape unless the shape is x's already.
func (b *Builder) Reshape(x *Value, s shape.Shape) *Value {
	if x.Type.Shape.Equal(s) {
		return x
	}
	return b.Op(op.Reshape, A("shape", s), x)
}

// Return ends a function's body.
func (b *Builder) Return(results ...*Value) { b.Create(op.Return, nil, results...) }

// Yield ends a region.
func (b *Builder) Yield(results ...*Value) { b.Create(op.Yield, nil, results...) }

// Kernel moves ops, which must stand in one block in this order, into a new kernel that takes their place. Their
// operands from outside become the kernel's inputs in order of first use; outs, results of the ops, become its results and
// replace their uses outside. The kernel stands where the last of the ops stood.
func (b *Builder) Kernel(name, kind string, ops []*Op, outs []*Value) *Op {
	last := ops[len(ops)-1]
	inside := make(map[*Op]bool, len(ops))
	for _, o := range ops {
		inside[o] = true
	}
	var inputs []*Value
	at := map[*Value]int{}
	for _, o := range ops {
		for i := range o.args {
			v := o.args[i].val
			if v.def != nil && inside[v.def] {
				continue
			}
			if _, ok := at[v]; !ok {
				at[v] = len(inputs)
				inputs = append(inputs, v)
			}
		}
	}
	types := make([]Type, len(outs))
	for i, v := range outs {
		types[i] = v.Type
	}
	k := last.block.NewOp(op.Kernel, last.Pos, inputs, A("name", name, "kind", kind), types, last.next)
	r := k.NewRegion()
	for _, v := range inputs {
		r.AddParam(v.Name, v.Type)
	}
	for _, o := range ops {
		o.MoveToEnd(r)
		for i := range o.args {
			if v := o.args[i].val; v.def == nil || !inside[v.def] {
				o.args[i].set(r.Params[at[v]])
			}
		}
	}
	for i, v := range outs {
		k.results[i].Name = v.Name
		var outside []*Use
		for u := v.use; u != nil; u = u.next {
			if !inside[u.op] {
				outside = append(outside, u)
			}
		}
		for _, u := range outside {
			u.set(k.results[i])
		}
	}
	r.NewOp(op.Yield, last.Pos, outs, nil, nil, nil)
	return k
}
