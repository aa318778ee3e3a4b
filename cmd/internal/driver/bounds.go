package driver

import (
	"context"
	"math"

	"apogee/ir/bound"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/chip"
)

// Arithmetic is how accurately a chip computes at a precision: operands of products are rounded to its formats, sums are kept in its
// accumulator, and values between ops may be in its activation format.
func Arithmetic(c *chip.Chip, p chip.Precision) bound.Arithmetic {
	a := bound.Arithmetic{Narrow: true}
	if c.FlushSubnormals {
		a.Flush = format.F32.Info().MinNormal
	}
	unit := func(f format.Format) float64 { return math.Ldexp(1, -f.Info().ManBits-1) }
	for _, f := range []format.Format{p.Activation, p.Weight, p.A, p.B} {
		if f.IsFloat() && f.Info().ManBits < 23 {
			a.Operand = max(a.Operand, unit(f))
		}
	}
	if _, r, ok := c.MatrixAcc(p.A, p.B, p.Acc); ok && p.Acc.IsFloat() {
		a.Sum = max(unit(p.Acc), 0x1p-24)
		if r.AccBits > 0 {
			a.Sum = max(a.Sum, math.Ldexp(1, -r.AccBits))
		}
	}
	return a
}

// Bounds gives the reference's results for inputs, each element with how far from it the chip's at the request's precision may be.
func (m *Model) Bounds(ctx context.Context, req Request, inputs Tensors) (map[string]*bound.Value, error) {
	p, err := choosePrecision(req.Chip, req.Precision, m.StoresFP8())
	if err != nil {
		return nil, err
	}
	arith := Arithmetic(req.Chip, p)
	req.Inputs, req.Context, req.Chip, req.Precision = inputs, ctx, nil, ""
	_, f, err := m.Lower(req)
	if err != nil {
		return nil, err
	}
	bind := map[string]int64{}
	in, err := adapt(f.Name, paramsOf(f), inputs, bind)
	if err != nil {
		return nil, err
	}
	var args []*tensor.Tensor
	for _, x := range f.Inputs() {
		args = append(args, in[x.Name])
	}
	r := bound.Runner{Eval: &eval.Evaluator{Weights: m.weights(), Bind: m.bindings(f, bind)}, Arith: arith}
	vals, err := r.Run(ctx, f, args)
	if err != nil {
		return nil, err
	}
	out := map[string]*bound.Value{}
	for i, n := range f.Results {
		out[n] = vals[i]
	}
	return out, nil
}
