package onnx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
)

// static gives the elements of a value: a literal, what Options.Values says of an input, or what Options.Eval computes. what names
// the value in the error there is otherwise.
func (im *importer) static(v *ir.Value, what string) *tensor.Tensor {
	if t := im.known[v]; t != nil {
		return t
	}
	if t := im.asked[v]; t != nil {
		return t
	}
	if name, ok := im.inputs[v]; ok && im.opt.Values != nil {
		if t := im.opt.Values(name); t != nil {
			if t.Format != v.Type.Format || len(t.Shape) != len(v.Type.Shape) {
				failf(CodeValue, "input %q is %s, but the value given is %s", name, v.Type, t)
			}
			im.asked[v] = t
			return t
		}
	}
	if d := im.dims[v]; d != nil {
		for _, x := range d {
			if s := x.Symbols(); len(s) > 0 {
				panic(bail{diag.Errorf(CodeValue, diag.Range{}, "%s is computed from the dimension %s, and must be known when the model is imported", what, x).
					Helpf("give the symbol a value: --set %s=…", s[0])})
			}
		}
	}
	if v.Type.Format == format.Invalid {
		failf(CodeValue, "%s is not known", what)
	}
	t, err := im.stage(v)
	if errors.Is(err, errNoRun) {
		d := diag.Errorf(CodeValue, diag.Range{}, "%s must be known when the model is imported", what)
		inputs, symbols := im.sources(v)
		switch name, ok := im.inputs[v]; {
		case ok:
			d.Helpf("it is the input %q: give its elements with --input, or make it an initialiser of the model", name)
		case len(inputs) > 0:
			d.Helpf("it is computed from the inputs %s: the model can be run, but not compiled without them", strings.Join(inputs, ", "))
		case len(symbols) > 0:
			d.Helpf("it is computed from dimensions: give their symbols a value, --set %s=…", strings.Join(symbols, "=… --set "))
		}
		panic(bail{d})
	}
	if err != nil {
		d := diag.Errorf(CodeValue, diag.Range{}, "%s must be known when the model is imported, and computing it failed: %s", what, err)
		if _, symbols := im.sources(v); len(symbols) > 0 {
			d.Helpf("it is computed from dimensions: give their symbols a value, --set %s=…", strings.Join(symbols, "=… --set "))
		}
		panic(bail{d})
	}
	im.asked[v] = t
	return t
}

// stage runs what has been imported so far up to a value.
func (im *importer) stage(v *ir.Value) (*tensor.Tensor, error) {
	if im.b.Block != im.fn.Body {
		return nil, fmt.Errorf("it is inside of a loop or branch")
	}
	m := im.mod.Clone()
	f := m.Func(im.fn.Name)
	w := counterpart(im.fn.Body, f.Body, v)
	if w == nil {
		return nil, fmt.Errorf("it is inside of a loop or branch")
	}
	const result = "value"
	f.Results = []string{result}
	ir.AtEnd(f.Body).Return(w)
	sweep(f.Body)
	for i := len(f.Body.Params) - 1; i >= 0; i-- {
		if f.Body.Params[i].NumUses() == 0 {
			f.Body.RemoveParam(i)
		}
	}
	run := im.opt.Eval
	if whole(f.Body) {
		run = im.onHost
	}
	if run == nil {
		return nil, errNoRun
	}
	out, err := run(m)
	if err != nil {
		return nil, err
	}
	t := out[result]
	if t == nil {
		return nil, fmt.Errorf("the run gave no value")
	}
	return t.Load()
}

// errNoRun says that nobody can run a part of the model now.
var errNoRun = errors.New("nobody runs it")

// whole says whether all values of a block are whole numbers or bools, whose arithmetic is exact everywhere.
func whole(b *ir.Block) bool {
	ok := true
	b.Walk(func(o *ir.Op) {
		for _, r := range o.Results() {
			ok = ok && !r.Type.Format.IsFloat()
		}
		for i := range o.NumArgs() {
			ok = ok && !o.Arg(i).Type.Format.IsFloat()
		}
	})
	return ok
}

// onHost evaluates arithmetic on shapes and indices where the importer runs, as a runtime does.
func (im *importer) onHost(m *ir.Module) (map[string]*tensor.Tensor, error) {
	f := m.Func(im.fn.Name)
	in := map[string]*tensor.Tensor{}
	for _, p := range f.Inputs() {
		var t *tensor.Tensor
		if im.opt.Values != nil {
			t = im.opt.Values(p.Name)
		}
		if t == nil {
			return nil, errNoRun
		}
		in[p.Name] = t
	}
	e := &eval.Evaluator{Weights: im.m, Bind: im.opt.Bind}
	out, _, err := e.Run(context.Background(), f, in, nil)
	return out, err
}

// counterpart finds the value of a copied block that stands for one of the original.
func counterpart(from, to *ir.Block, v *ir.Value) *ir.Value {
	for i, p := range from.Params {
		if p == v {
			return to.Params[i]
		}
	}
	a, b := from.First(), to.First()
	for a != nil && b != nil {
		for i, r := range a.Results() {
			if r == v {
				return b.Result(i)
			}
		}
		a, b = a.Next(), b.Next()
	}
	return nil
}

// sources lists what a value is computed from: inputs of the entry, quoted, in their order, and symbols of dimensions.
func (im *importer) sources(v *ir.Value) (inputs, symbols []string) {
	seen := map[*ir.Value]bool{}
	dims := map[string]bool{}
	for work := []*ir.Value{v}; len(work) > 0; {
		v := work[len(work)-1]
		work = work[:len(work)-1]
		d := v.Def()
		if seen[v] {
			continue
		}
		if seen[v] = true; d == nil {
			continue
		}
		work = append(work, d.Args()...)
		if of, ok := d.Attrs.Dim("of"); ok && d.Is(op.DimValue) {
			for _, s := range of.Symbols() {
				dims[s] = true
			}
		}
	}
	for _, p := range im.fn.Body.Params {
		if name, ok := im.inputs[p]; ok && seen[p] {
			inputs = append(inputs, strconv.Quote(name))
		}
	}
	return inputs, slices.Sorted(maps.Keys(dims))
}
