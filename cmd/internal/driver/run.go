package driver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// Tensors are tensors by name.
type Tensors = map[string]*tensor.Tensor

// param is an input of an entry.
type param struct {
	name string
	typ  ir.Type
}

func paramsOf(f *ir.Func) []param {
	var out []param
	for _, p := range f.Inputs() {
		out = append(out, param{p.Name, p.Type})
	}
	return out
}

// adaptInputs gives inputs the formats that an entry wants where that loses nothing: an i64 or i32 file for an i32 or i64 input. It binds the
// entry's symbols by the inputs' shapes. Missing, unknown and wrongly shaped inputs are errors that name them.
func adaptInputs(entry string, params []param, inputs Tensors, bind map[string]int64) (Tensors, error) {
	return adapt("input", entry, params, inputs, bind, func(p param) error {
		return fmt.Errorf("entry %s needs --input %s=FILE: %s", entry, p.name, p.typ)
	})
}

// adapt does it for inputs or states, whichever role says; missing is the error of one that is not given.
func adapt(role, entry string, params []param, given Tensors, bind map[string]int64, missing func(param) error) (Tensors, error) {
	var names []string
	for _, p := range params {
		names = append(names, p.name)
	}
	for _, n := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, n) {
			return nil, notAmong(role, entry, n, names)
		}
	}
	for _, p := range params { // one may have an expression over what a later one binds
		if t := given[p.name]; t != nil {
			eval.Bind(p.typ, t, bind)
		}
	}
	out := Tensors{}
	for _, p := range params {
		t := given[p.name]
		if t == nil {
			return nil, missing(p)
		}
		t, err := convert(t, p.typ)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", role, p.name, err)
		}
		if eval.Match(p.typ, t, bind) != nil {
			return nil, fmt.Errorf("%s %s: expected %s%s, found %s", role, p.name, p.typ, where(p.typ, bind), t)
		}
		out[p.name] = t
	}
	return out, nil
}

// where tells the values of a type's symbols, as " with B=1, T=7".
func where(t ir.Type, bind map[string]int64) string {
	var known []string
	for _, d := range t.Shape {
		for _, s := range d.Symbols() {
			if v, ok := bind[s]; ok {
				if kv := fmt.Sprintf("%s=%d", s, v); !slices.Contains(known, kv) {
					known = append(known, kv)
				}
			}
		}
	}
	if len(known) == 0 {
		return ""
	}
	return " with " + strings.Join(known, ", ")
}

// notAmong is the error of a name that an entry does not have among its inputs, states or results.
func notAmong(role, entry, name string, names []string) error {
	d := diag.Errorf("", diag.Range{}, "entry %s has no %s %q", entry, role, name).Suggest(name, names)
	switch shown := names[:min(len(names), mostNames)]; {
	case len(names) == 0:
		d.Expected = "no " + role + "s"
	case len(shown) < len(names):
		d.Expected = fmt.Sprintf("one of %s and %d more", strings.Join(shown, ", "), len(names)-len(shown))
	default:
		d.Expected = "one of " + strings.Join(shown, ", ")
	}
	return d
}

// mostNames is how many names an error lists.
const mostNames = 12

// keep holds the names of results that are wanted against those that there will be.
func keep(entry string, want, have []string) error {
	for _, n := range want {
		if !slices.Contains(have, n) {
			return notAmong("result", entry, n, have)
		}
	}
	return nil
}

// mostState bounds what the reference evaluator keeps between runs, in bytes.
const mostState = 16 << 30

// fitsReference refuses states that would take all memory.
func fitsReference(f *ir.Func, bind map[string]int64) error {
	total := int64(0)
	for _, p := range f.StateParams() {
		shape, err := p.Type.Shape.Eval(bind)
		if err != nil {
			continue // a symbol that the inputs will bind
		}
		_, n, err := tensor.Count(p.Type.Format, shape)
		if err != nil {
			return fmt.Errorf("state %s: %w", p.Name, err)
		}
		if total += n; total > mostState || total < 0 {
			return fmt.Errorf("the states of entry %s take more than the %d GiB that the reference keeps: %s is %s[%s]", f.Name, mostState>>30, p.Name, p.Type.Format, tensor.Dims(shape))
		}
	}
	return nil
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

// inVocabulary holds a checkpoint's tokens against its vocabulary: what a table gives for a row that it does not have is nobody's
// answer.
func (m *Model) inVocabulary(inputs Tensors) error {
	t, most := inputs["tokens"], m.VocabSize()
	if t == nil || most == 0 || t.Format.IsFloat() {
		return nil
	}
	v, err := t.I64s()
	if err != nil {
		return fmt.Errorf("input tokens: %w", err)
	}
	for i, id := range v {
		if id < 0 || id >= most {
			return fmt.Errorf("input tokens: element %d is %d; the vocabulary has %d tokens", i, id, most)
		}
	}
	return nil
}

// firstWeight is the name of the first weight that a function reads, or "".
func firstWeight(f *ir.Func) string {
	for o := f.Body.First(); o != nil; o = o.Next() {
		if o.Is(op.Weight) {
			return o.Attrs.Str("name", "")
		}
	}
	return ""
}

// RunReference runs an entry on the reference evaluator and gives its results.
func (m *Model) RunReference(ctx context.Context, req Request, inputs Tensors) (Tensors, error) {
	if m.Plan != nil {
		return nil, fmt.Errorf("%s is a plan for %s; the reference runs models", m.Path, m.Plan.Chip)
	}
	req.Inputs, req.Context = inputs, ctx
	_, f, err := m.Lower(req)
	if err != nil {
		return nil, err
	}
	bind := map[string]int64{}
	for k, v := range req.Bind {
		bind[k] = v
	}
	if err := keep(f.Name, req.Keep, f.Results); err != nil {
		return nil, err
	}
	in, err := adaptInputs(f.Name, paramsOf(f), inputs, bind)
	if err != nil {
		return nil, err
	}
	states, err := adaptStates(f.Name, statesOf(f), req.States, bind)
	if err != nil {
		return nil, err
	}
	if err := m.inVocabulary(in); err != nil {
		return nil, err
	}
	if w := firstWeight(f); w != "" && m.weights() == nil {
		return nil, noWeights(f.Name, w)
	}
	if err := fitsReference(f, m.bindings(f, bind)); err != nil {
		return nil, err
	}
	e := &eval.Evaluator{Weights: m.weights(), Bind: m.bindings(f, bind)}
	out, left, err := e.Run(ctx, f, in, states)
	if err == nil && req.Left != nil {
		err = req.Left(left)
	}
	return out, err
}

// Run compiles an entry for the inputs' shapes and runs it on the simulated chip. The plan is returned with the results.
func (m *Model) Run(ctx context.Context, req Request, inputs Tensors, opt exec.Options) (Tensors, *plan.Plan, error) {
	p := m.Plan
	if p == nil {
		req.Inputs, req.Context = inputs, ctx
		_, f, err := m.Lower(req)
		if err != nil {
			return nil, nil, err
		}
		if err := keep(f.Name, req.Keep, f.Results); err != nil {
			return nil, nil, err
		}
		bind := map[string]int64{}
		for k, v := range req.Bind {
			bind[k] = v
		}
		if inputs, err = adaptInputs(f.Name, paramsOf(f), inputs, bind); err != nil {
			return nil, nil, err
		}
		if _, err := adaptStates(f.Name, statesOf(f), req.States, bind); err != nil {
			return nil, nil, err
		}
		if err := m.inVocabulary(inputs); err != nil {
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
		inputs = inPlan(p, inputs)
	} else {
		var results []string
		for i := range p.Buffers {
			if p.Buffers[i].Kind == plan.Output {
				results = append(results, p.Buffers[i].Name)
			}
		}
		if err := keep(p.Entry, req.Keep, results); err != nil {
			return nil, nil, err
		}
	}
	out, err := m.runPlan(ctx, p, &req, inputs, opt)
	return out, p, err
}

// inPlan leaves out inputs of the entry that nothing reads, which a plan has no buffer for.
func inPlan(p *plan.Plan, inputs Tensors) Tensors {
	out := Tensors{}
	for i := range p.Buffers {
		if b := &p.Buffers[i]; b.Kind == plan.Input && inputs[b.Name] != nil {
			out[b.Name] = inputs[b.Name]
		}
	}
	return out
}

func noWeights(entry, name string) error {
	return fmt.Errorf("there are no weights: entry %s reads %s; name the checkpoint with --weights", entry, name)
}

// runPlan runs a plan on the chip of a request, from and to its states.
func (m *Model) runPlan(ctx context.Context, p *plan.Plan, req *Request, inputs Tensors, opt exec.Options) (Tensors, error) {
	w := m.weights()
	if u := plan.Measure(p); u.Total > u.Size {
		return nil, fmt.Errorf("the plan does not fit %s and cannot be run: %s", p.Chip, Capacity(p))
	}
	var params []param
	for i := range p.Buffers {
		switch b := &p.Buffers[i]; {
		case b.Kind == plan.Weight && w == nil:
			return nil, noWeights(p.Entry, b.Name)
		case b.Kind == plan.Input:
			params = append(params, param{b.Name, ir.Type{Format: b.Format, Shape: shape.Of(b.Shape...)}})
		}
	}
	inputs, err := adaptInputs(p.Entry, params, inputs, map[string]int64{})
	if err != nil {
		return nil, err
	}
	mach, err := exec.New(p, req.Chip, w, opt)
	if err != nil {
		return nil, err
	}
	if err := req.begin(mach); err != nil {
		return nil, err
	}
	out, err := mach.Run(ctx, inputs)
	if err == nil {
		err = req.end(mach)
	}
	return out, err
}
