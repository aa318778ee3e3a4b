package driver

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// Tensors are tensors by name.
type Tensors = map[string]*tensor.Tensor

// adapt gives inputs the formats that an entry wants where that loses nothing: an i64 or i32 file for an i32 or i64 input. It binds the
// entry's symbols by the inputs' shapes. Missing, unknown and wrongly shaped inputs are errors that name them.
func adapt(f *ir.Func, inputs Tensors, bind map[string]int64) (Tensors, error) {
	out := Tensors{}
	var names []string
	for _, p := range f.Inputs() {
		names = append(names, p.Name)
		t := inputs[p.Name]
		if t == nil {
			return nil, fmt.Errorf("entry %s needs --input %s=FILE: %s", f.Name, p.Name, p.Type)
		}
		t, err := convert(t, p.Type)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", p.Name, err)
		}
		if err := eval.Match(p.Type, t, bind); err != nil {
			return nil, fmt.Errorf("input %s: %w", p.Name, err)
		}
		out[p.Name] = t
	}
	var extra []string
	for n := range inputs {
		if out[n] == nil {
			extra = append(extra, n)
		}
	}
	if len(extra) > 0 {
		sort.Strings(extra)
		return nil, fmt.Errorf("entry %s has no input %s; it has %s", f.Name, extra[0], strings.Join(names, ", "))
	}
	return out, nil
}

// convert changes the format of an input if every element survives.
func convert(t *tensor.Tensor, want ir.Type) (*tensor.Tensor, error) {
	if t.Format == want.Format {
		return t, nil
	}
	switch {
	case t.Format.IsFloat() && want.Format.IsFloat():
		v, err := t.F64s()
		if err != nil {
			return nil, err
		}
		return tensor.FromF64(want.Format, t.Shape, v)
	case !t.Format.IsFloat() && !want.Format.IsFloat():
		v, err := t.I64s()
		if err != nil {
			return nil, err
		}
		for i, x := range v {
			if want.Format.DecodeInt(want.Format.EncodeInt(x)) != x {
				return nil, fmt.Errorf("element %d is %d, which %s does not hold", i, x, want.Format)
			}
		}
		return tensor.FromI64(want.Format, t.Shape, v)
	}
	return nil, fmt.Errorf("expected %s, found %s", want, t)
}

// RunReference runs an entry on the reference evaluator and gives its results.
func (m *Model) RunReference(ctx context.Context, req Request, inputs Tensors) (Tensors, error) {
	if m.Plan != nil {
		return nil, fmt.Errorf("%s is a plan for %s; the reference runs models", m.Path, m.Plan.Chip)
	}
	_, f, err := m.Lower(req)
	if err != nil {
		return nil, err
	}
	bind := map[string]int64{}
	for k, v := range req.Bind {
		bind[k] = v
	}
	in, err := adapt(f, inputs, bind)
	if err != nil {
		return nil, err
	}
	e := &eval.Evaluator{Weights: m.weights(), Bind: m.bindings(f, bind)}
	out, _, err := e.Run(ctx, f, in, nil)
	return out, err
}

// Run compiles an entry for the inputs' shapes and runs it on the simulated chip. The plan is returned with the results.
func (m *Model) Run(ctx context.Context, req Request, inputs Tensors, opt exec.Options) (Tensors, *plan.Plan, error) {
	p := m.Plan
	if p == nil {
		_, f, err := m.Lower(req)
		if err != nil {
			return nil, nil, err
		}
		bind := map[string]int64{}
		for k, v := range req.Bind {
			bind[k] = v
		}
		if inputs, err = adapt(f, inputs, bind); err != nil {
			return nil, nil, err
		}
		if t, ok := bind["T"]; ok {
			if _, given := bind["S"]; !given && f.Name == "prefill" {
				bind["S"] = t // a prefill alone needs no more room than its tokens
			}
		}
		req.Bind = bind
		b, err := m.Compile(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		p = b.Plan
	}
	out, err := RunPlan(ctx, p, req.Chip, m.weights(), inputs, opt)
	return out, p, err
}

// RunPlan runs a plan on its chip.
func RunPlan(ctx context.Context, p *plan.Plan, c *chip.Chip, w eval.Weights, inputs Tensors, opt exec.Options) (Tensors, error) {
	if u := plan.Measure(p); u.Total > u.Size {
		return nil, fmt.Errorf("the plan does not fit %s and cannot be run: %s", p.Chip, Capacity(p))
	}
	mach, err := exec.New(p, c, w, opt)
	if err != nil {
		return nil, err
	}
	fixed := Tensors{}
	for i := range p.Buffers {
		b := &p.Buffers[i]
		if b.Kind != plan.Input || inputs[b.Name] == nil {
			continue
		}
		t, err := convert(inputs[b.Name], ir.Type{Format: b.Format})
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", b.Name, err)
		}
		fixed[b.Name] = t
	}
	for n, t := range inputs {
		if fixed[n] == nil {
			fixed[n] = t // unknown: the machine names it
		}
	}
	return mach.Run(ctx, fixed)
}
