package conform

import (
	"fmt"
	"math"
	"math/rand/v2"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// numbers is a kind of numbers that an input holds.
type numbers uint8

const (
	normal   numbers = iota // around zero; small integers of both signs as far as the format has them
	positive                // from 0.25 to 4; integers from 1 to 6
	whole                   // small integers, in float formats too
	index                   // 0 to limit-1
	anyIndex                // -limit to limit-1
	offsets                 // ascending from 0 to limit
)

// input says what one parameter holds.
type input struct {
	kind  numbers
	limit int64
}

// builder makes the function of a case: inputs, ops on them, results.
type builder struct {
	*ir.Builder
	f   *ir.Func
	in  map[string]input
	std bool // the standard size, for timing, instead of small and odd ones
}

func newBuilder(std bool) *builder {
	m := ir.NewModule("case")
	f := m.NewFunc("f")
	f.Entry = true
	return &builder{Builder: ir.AtEnd(f.Body), f: f, in: map[string]input{}, std: std}
}

func (b *builder) input(k numbers, limit int64, f format.Format, dims ...int64) *ir.Value {
	name := fmt.Sprintf("x%d", len(b.f.Body.Params))
	b.in[name] = input{k, limit}
	return b.f.AddInput(name, ir.Type{Format: f, Shape: shape.Of(dims...)})
}

func (b *builder) x(f format.Format, dims ...int64) *ir.Value { return b.input(normal, 0, f, dims...) }

// op adds an op whose results are the function's, if the op table takes it.
func (b *builder) op(i *op.Info, attrs op.Attrs, args ...*ir.Value) bool {
	for _, a := range args {
		if a == nil {
			return false
		}
	}
	if _, _, err := ir.Check(i, attrs, args, nil); err != nil {
		return false
	}
	if o := b.Create(i, attrs, args...); o != nil {
		b.out(o.Results()...)
	}
	return true
}

func (b *builder) out(vs ...*ir.Value) {
	for _, v := range vs {
		v.Name = fmt.Sprintf("y%d", len(b.f.Results))
		b.f.Results = append(b.f.Results, v.Name)
	}
}

// done adds the return; false if there is nothing to return.
func (b *builder) done() (*ir.Module, error) {
	if len(b.f.Results) == 0 {
		return nil, b.Err
	}
	named := map[string]*ir.Value{}
	b.f.Body.Walk(func(o *ir.Op) {
		for _, r := range o.Results() {
			named[r.Name] = r
		}
	})
	rets := make([]*ir.Value, len(b.f.Results))
	for i, n := range b.f.Results {
		rets[i] = named[n]
	}
	b.Return(rets...)
	return b.f.Module, b.Err
}

// data makes tensors for the parameters of a function, in order.
func data(f *ir.Func, in map[string]input, seed uint64) ([]*tensor.Tensor, error) {
	r := rand.New(rand.NewPCG(seed, 9))
	var out []*tensor.Tensor
	for _, p := range f.Body.Params {
		dims, err := p.Type.Shape.Ints()
		if err != nil {
			return nil, err
		}
		t, err := numbersOf(r, p.Type.Format, dims, in[p.Name])
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func numbersOf(r *rand.Rand, f format.Format, dims []int64, in input) (*tensor.Tensor, error) {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	if f.IsFloat() {
		v := make([]float64, n)
		for i := range v {
			switch in.kind {
			case positive:
				v[i] = math.Exp2(4*r.Float64() - 2)
			case whole:
				v[i] = float64(r.IntN(7) - 3)
			default:
				v[i] = r.NormFloat64()
			}
			v[i] = min(max(v[i], -f.Info().MaxFinite), f.Info().MaxFinite)
		}
		return tensor.FromF64(f, dims, v)
	}
	v := make([]int64, n)
	for i := range v {
		switch {
		case f == format.Bool:
			v[i] = r.Int64N(2)
		case in.kind == index:
			v[i] = r.Int64N(max(in.limit, 1))
		case in.kind == anyIndex:
			v[i] = r.Int64N(max(2*in.limit, 1)) - in.limit
		case in.kind == offsets:
			v[i] = in.limit * int64(i) / max(n-1, 1)
		case in.kind == positive:
			v[i] = 1 + r.Int64N(6)
		case f.Bits() > 16 && r.IntN(4) == 0: // the ends of the format
			v[i] = int64(r.Uint64()) >> (64 - f.Bits())
			if !f.IsSigned() {
				v[i] = int64(r.Uint64() >> (64 - f.Bits()))
			}
		default:
			v[i] = r.Int64N(19) - 9
		}
		if in.kind == normal || in.kind == whole {
			if !f.IsSigned() && f.Bits() < 64 {
				v[i] = max(v[i], -v[i])
			}
			if f.Bits() < 64 {
				v[i] = min(max(v[i], f.MinInt()), f.MaxInt())
			}
		}
		if in.kind == positive {
			v[i] = min(v[i], f.MaxInt())
		}
	}
	return tensor.FromI64(f, dims, v)
}

func dimsOf(n ...int64) shape.Shape { return shape.Of(n...) }
