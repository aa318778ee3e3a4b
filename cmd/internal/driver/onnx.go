package driver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"apogee/frontend/mg"
	"apogee/frontend/onnx"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/targets/sim/exec"
)

// imported is the last module that was imported, kept because a run asks for it twice.
type imported struct {
	key    string
	inputs Tensors
	mod    *ir.Module
}

// lowerONNX imports an ONNX model: with the request's symbols, and for the inputs given, which also settle what only a run can know.
func (m *Model) lowerONNX(req Request, entries []string) (*mg.Lowered, error) {
	if len(req.Taps) > 0 {
		return nil, fmt.Errorf("%s is an ONNX model, which has no taps: make what you want to see an output of its graph", m.Path)
	}
	if len(entries) > 1 || len(entries) == 1 && entries[0] != onnxEntry {
		return nil, fmt.Errorf("%s has one entry, %s", m.Path, onnxEntry)
	}
	symbols := m.ONNX.Symbols()
	bind := map[string]int64{}
	for k, v := range req.Bind {
		bind[k] = v
	}
	for _, k := range slices.Sorted(maps.Keys(req.Set)) {
		if !slices.Contains(symbols, k) {
			return nil, unknownSetting(m, k)
		}
		n, err := strconv.ParseInt(req.Set[k], 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s=%s: a dimension is a number, at least 0", k, req.Set[k])
		}
		bind[k] = n
	}
	inputs, err := m.bindInputs(req.Inputs, bind)
	if err != nil {
		return nil, err
	}
	key := ""
	for _, k := range slices.Sorted(maps.Keys(bind)) {
		key += fmt.Sprintf("%s=%d ", k, bind[k])
	}
	if c := m.last; c != nil && c.key == key && maps.Equal(c.inputs, inputs) {
		return &mg.Lowered{Module: c.mod.Clone(), Warnings: &diag.List{}}, nil
	}
	opt := onnx.Options{Bind: bind, MaxOps: maxOps}
	if inputs != nil {
		opt.Values = func(name string) *tensor.Tensor { return inputs[name] }
		opt.Eval = func(mod *ir.Module) (Tensors, error) { return m.stage(req, mod, inputs) }
	}
	mod, err := m.ONNX.Import(opt)
	if err != nil {
		return nil, err
	}
	if req.Check != nil {
		if err := req.Check(mod); err != nil {
			return nil, err
		}
	}
	m.last = &imported{key, inputs, mod}
	return &mg.Lowered{Module: mod.Clone(), Warnings: &diag.List{}}, nil
}

// onnxEntry is the entry that the importer makes of a graph.
const onnxEntry = "main"

// bindInputs gives the inputs in the formats that the model declares, and binds its symbols by their shapes. Nil stays nil.
func (m *Model) bindInputs(given Tensors, bind map[string]int64) (Tensors, error) {
	if given == nil {
		return nil, nil
	}
	out := Tensors{}
	var names []string
	for _, p := range m.ONNX.Inputs() {
		names = append(names, p.Name)
	}
	for _, n := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, n) {
			return nil, notAmong("input", onnxEntry, n, names)
		}
	}
	for _, p := range m.ONNX.Inputs() { // an input may have an expression over what a later one binds
		if t := given[p.Name]; t != nil && p.Shape != nil {
			eval.Bind(ir.Type{Format: p.Format, Shape: p.Shape}, t, bind)
		}
	}
	for _, p := range m.ONNX.Inputs() {
		t := given[p.Name]
		if t == nil || p.Err != nil || !p.Format.Valid() {
			continue // the import says what is missing
		}
		typ := ir.Type{Format: p.Format, Shape: p.Shape}
		if p.Shape == nil {
			typ.Shape = shape.Of(t.Shape...)
		}
		one, err := adaptInputs(onnxEntry, []param{{p.Name, typ}}, Tensors{p.Name: t}, bind)
		if err != nil {
			return nil, err
		}
		out[p.Name] = one[p.Name]
	}
	return out, nil
}

// stage answers the importer: it runs what has been imported so far on the target of the request.
func (m *Model) stage(req Request, mod *ir.Module, inputs Tensors) (Tensors, error) {
	ctx := req.Context
	if ctx == nil {
		ctx = context.Background()
	}
	req.Keep, req.Set, req.Bind = nil, nil, nil
	part := &Model{Path: m.Path, ONNX: m.ONNX, staged: mod, Warnings: &diag.List{}}
	used := Tensors{}
	for _, p := range mod.Func(onnxEntry).Inputs() {
		if t := inputs[p.Name]; t != nil {
			used[p.Name] = t
		}
	}
	if req.Chip == nil {
		return part.RunReference(ctx, req, used)
	}
	out, _, err := part.Run(ctx, req, used, exec.Options{})
	return out, err
}

// openONNX opens an ONNX file.
func (m *Model) openONNX(path string) error {
	var err error
	m.ONNX, err = onnx.Open(path)
	return err
}

// checkONNX lists what of an ONNX model cannot be imported. Where all operators are known and no shape depends on an input, the module
// is made and verified as well.
func (m *Model) checkONNX() *diag.List {
	l := m.ONNX.Check()
	if l.HasErrors() {
		return l
	}
	mod, err := m.ONNX.Import(onnx.Options{MaxOps: maxOps})
	if err != nil {
		add := &diag.List{}
		add.AddError("", err)
		for _, d := range add.Items() {
			if d.Code == onnx.CodeValue { // a matter of the inputs, not of the model
				e := *d
				e.Severity = diag.Info
				d = &e
			}
			l.Add(d)
		}
		return l
	}
	l.Merge(ir.Verify(mod))
	return l
}

var _ eval.Weights = (*onnx.Model)(nil)
