package driver

import (
	"context"

	"apogee/cmd/internal/accuracy"
	"apogee/ir/bound"
	"apogee/ir/eval"
	"apogee/ir/tensor"
)

// Bounds gives the reference's results for inputs, each element with how far from it the chip's at the request's precision may be.
func (m *Model) Bounds(ctx context.Context, req Request, inputs Tensors) (map[string]*bound.Value, error) {
	p, err := choosePrecision(req.Chip, req.Precision, m.StoresFP8())
	if err != nil {
		return nil, err
	}
	arith := accuracy.Of(req.Chip, p)
	req.Inputs, req.Context, req.Chip, req.Precision = inputs, ctx, nil, ""
	_, f, err := m.Lower(req)
	if err != nil {
		return nil, err
	}
	bind := map[string]int64{}
	in, err := adaptInputs(f.Name, paramsOf(f), inputs, bind)
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
