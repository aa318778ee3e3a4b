package export

import (
	"context"
	"errors"
	"fmt"

	onnx "apogee/frontend/onnx"
	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// Opset is the version of the standard operator set that exported models ask for, unless an element type or an op in them came with
// a later one.
const Opset = 21

// irVersions are the versions of the file's format that go with operator sets: the first whose set is not older.
var irVersions = []struct{ opset, ir int64 }{{22, 10}, {23, 11}, {24, 12}, {26, 13}}

// Codes of what cannot be exported.
var (
	CodeOp     = diag.Register("EXPORT001", "An op, a number format or a symbol that the exported format cannot express; the message says which and why.", "")
	CodeWeight = diag.Register("EXPORT002", "A weight that the model's checkpoint does not have, or has in another format or shape.", "")
)

// Options say how to export.
type Options struct {
	// Name is the model's name, kept in the file's metadata; Producer and Version name the program that writes it.
	Name, Producer, Version string
	// Bind replaces dimension symbols by numbers; others stay symbols of the model.
	Bind map[string]int64
	// Weights gives the tensors that weight ops name. They are looked at when the function is converted, and read when the file is
	// written.
	Weights eval.Weights
	// Context ends a conversion and the reading of weights; nil is the background.
	Context context.Context
}

// Convert makes an ONNX model of a function of a verified module. The error is a *diag.List with everything that ONNX cannot
// express, each with its op and place. The module is not changed.
func Convert(f *ir.Func, opt Options) (*File, error) {
	x := &exporter{
		f: f, opt: opt, opset: Opset, diags: &diag.List{},
		graph: &pb.GraphProto{Name: f.Module.Name}, before: &pb.GraphProto{}, into: &pb.GraphProto{},
		names: map[string]bool{"": true}, count: map[string]int{}, consts: map[string]string{}, shapes: map[string]string{},
		vals: map[*ir.Value]string{}, inputs: map[*ir.Value]string{}, kept: map[string]*source{}, said: map[string]bool{}, env: map[string]shape.Dim{},
	}
	if x.opt.Context == nil {
		x.opt.Context = context.Background()
	}
	for s, n := range opt.Bind {
		x.env[s] = shape.Const(n)
	}
	if f.Return() == nil {
		return nil, fmt.Errorf("function %s has no return", f.Name)
	}
	if err := x.function(); err != nil {
		return nil, err
	}
	if err := x.diags.Err(); err != nil {
		return nil, err
	}
	x.graph.Node = append(x.before.Node, x.into.Node...)
	x.unread()
	m := &pb.ModelProto{
		ProducerName: opt.Producer, ProducerVersion: opt.Version, Graph: x.graph,
		OpsetImport: []*pb.OperatorSetIdProto{{Version: x.opset}},
	}
	for _, v := range irVersions {
		if m.IrVersion = v.ir; x.opset <= v.opset {
			break
		}
	}
	for _, kv := range [][2]string{{"model", opt.Name}, {"entry", f.Name}} {
		if kv[1] != "" {
			m.MetadataProps = append(m.MetadataProps, &pb.StringStringEntryProto{Key: kv[0], Value: kv[1]})
		}
	}
	return &File{model: m, weights: x.weights, ctx: x.opt.Context}, nil
}

// exporter writes one function.
type exporter struct {
	f     *ir.Func
	opt   Options
	env   map[string]shape.Dim // what Options.Bind gives
	diags *diag.List
	opset int64

	graph  *pb.GraphProto // the outermost: inputs, results, initialisers
	before *pb.GraphProto // nodes of the outermost graph that come before its ops: shapes
	into   *pb.GraphProto // what nodes are added to

	op   *ir.Op // what is being written
	base string // what its values are called

	names  map[string]bool   // that stand for something, in whatever graph
	count  map[string]int    // how many names were made of a wish
	consts map[string]string // initialisers by their type and bytes
	shapes map[string]string // values of the prelude
	vals   map[*ir.Value]string
	inputs map[*ir.Value]string // parameters as the model gives them, in their own formats
	said   map[string]bool      // symbols that were complained about

	weights []*source
	kept    map[string]*source
}

// fail says that the current op cannot be exported. What is returned for it is never written.
func (x *exporter) fail(format string, args ...any) {
	d := x.diags.Errorf(CodeOp, diag.Range{}, format, args...)
	if x.op != nil {
		d.Message = x.op.Info.Name + ": " + d.Message
		d.At(x.op.String())
	}
}

// unbound complains about a symbol that no input has as a dimension of its own.
func (x *exporter) unbound(s string) {
	if x.said[s] {
		return
	}
	x.said[s] = true
	d := diag.Errorf(CodeOp, diag.Range{}, "the symbol %s is no dimension of an input or state by itself, so that the model could not find its value", s)
	x.diags.Add(d.Helpf("give it a value: --set %s=…", s))
}

// shape is a type's shape with the symbols replaced that have values.
func (x *exporter) shape(t ir.Type) shape.Shape { return t.Shape.Subst(x.env) }

func (x *exporter) arg(i int) ir.Type { return x.sub(x.op.Arg(i).Type) }

func (x *exporter) result(i int) ir.Type { return x.sub(x.op.Result(i).Type) }

func (x *exporter) sub(t ir.Type) ir.Type {
	if len(x.env) == 0 {
		return t
	}
	return ir.Type{Format: t.Format, Shape: x.shape(t)}
}

// attrDim is an attribute that is a dimension.
func (x *exporter) attrDim(name string) (shape.Dim, bool) {
	d, ok := x.op.Attrs.Dim(name)
	return d.Subst(x.env), ok
}

// info describes an input or result of a graph.
func (x *exporter) info(name string, t ir.Type) *pb.ValueInfoProto {
	s := &pb.TensorShapeProto{}
	for _, d := range x.shape(t) {
		dim := &pb.TensorShapeProto_Dimension{}
		if n, ok := d.Value(); ok {
			dim.Value = &pb.TensorShapeProto_Dimension_DimValue{DimValue: n}
		} else {
			dim.Value = &pb.TensorShapeProto_Dimension_DimParam{DimParam: d.String()}
		}
		s.Dim = append(s.Dim, dim)
	}
	return &pb.ValueInfoProto{Name: name, Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{
		TensorType: &pb.TypeProto_Tensor{ElemType: onnx.DataType(t.Format), Shape: s},
	}}}
}

// port checks that an input or result can have its format, and its shape.
func (x *exporter) port(what, name string, t ir.Type) {
	if onnx.DataType(t.Format) == 0 {
		x.diags.Errorf(CodeOp, diag.Range{}, "%s %s is %s: ONNX has no element type for this format", what, name, t)
	}
	for _, d := range x.shape(t) {
		if n, ok := d.Value(); !d.Valid() || ok && n < 0 {
			x.diags.Errorf(CodeOp, diag.Range{}, "%s %s is %s: with the values that are set, a dimension is %s", what, name, t, d)
		}
	}
	x.need(since[t.Format])
}

func (x *exporter) function() error {
	// The names that users know are taken first.
	n := len(x.f.Inputs())
	for i, p := range x.f.Body.Params {
		name := p.Name
		if i >= n && x.names[name] {
			name += ".state"
		}
		if name == "" {
			name = "input"
		}
		x.inputs[p] = x.fresh(name)
		x.port("input", p.Name, p.Type)
		x.graph.Input = append(x.graph.Input, x.info(x.inputs[p], p.Type))
	}
	ret := x.f.Return()
	var outs []string
	for i := range ret.NumArgs() {
		name := fmt.Sprintf("result%d", i)
		if k := i - (ret.NumArgs() - x.f.States); k >= 0 {
			name = x.f.StateParams()[k].Name + ".next"
		} else if i < len(x.f.Results) {
			name = x.f.Results[i]
		}
		if x.names[name] { // a result called like an input
			name += ".out"
		}
		x.port("result", name, ret.Arg(i).Type)
		outs = append(outs, x.fresh(name))
		x.graph.Output = append(x.graph.Output, x.info(outs[i], ret.Arg(i).Type))
	}
	if x.diags.HasErrors() {
		return x.diags.Err()
	}
	for _, p := range x.f.Body.Params {
		x.base = p.Name
		x.vals[p] = x.enter(x.inputs[p], p.Type.Format)
	}
	if err := x.block(x.f.Body); err != nil {
		return err
	}
	x.op = nil
	for i, name := range outs {
		v := ret.Arg(i)
		x.base = name
		from := x.vals[v]
		if carrier(v.Type.Format) == v.Type.Format {
			x.add("Identity", nil, []string{from}, []string{name})
			continue
		}
		a := attrs{"to", onnx.DataType(v.Type.Format)}
		if eightBits(v.Type.Format) {
			a = append(a, "saturate", 0)
		}
		x.add("Cast", a, []string{from}, []string{name})
	}
	return nil
}

// block writes the ops of a block; what its terminator reads is left to the caller.
func (x *exporter) block(b *ir.Block) error {
	for o := b.First(); o != nil; o = o.Next() {
		if err := x.opt.Context.Err(); err != nil {
			return err
		}
		if o.Info.Terminator {
			return nil
		}
		if err := x.one(o); err != nil {
			return err
		}
	}
	return errors.New("a block without terminator")
}

func (x *exporter) one(o *ir.Op) error {
	if len(o.Results()) == 0 {
		return nil
	}
	row := table[o.Info]
	x.op, x.base = o, o.Info.Name
	if n := o.Result(0).Name; n != "" {
		x.base = n
	}
	if s := o.Pos.Scope; s > 0 && int(s) <= len(x.f.Module.Scopes) {
		x.base = x.f.Module.Scopes[s-1] + "/" + x.base
	}
	if row == nil {
		x.fail("ONNX has no form for this op")
		for _, r := range o.Results() {
			x.vals[r] = "?"
		}
		return nil
	}
	args := make([]string, o.NumArgs())
	for i := range args {
		args[i] = x.vals[o.Arg(i)]
	}
	out := row.emit(x, o, args)
	if len(out) != len(o.Results()) {
		return fmt.Errorf("%s: %d results were written, expected %d", o, len(out), len(o.Results()))
	}
	for i, r := range o.Results() {
		x.vals[r] = out[i]
	}
	return nil
}

// Row is an entry of the table of ops: what one becomes.
type Row struct {
	Op   *op.Info
	Doc  string // one sentence: the nodes it becomes, and why more than one
	emit func(x *exporter, o *ir.Op, a []string) []string
}

var table = map[*op.Info]*Row{}

func register(rows ...Row) {
	for i := range rows {
		if table[rows[i].Op] != nil {
			panic("export table: " + rows[i].Op.Name + " stands twice")
		}
		table[rows[i].Op] = &rows[i]
	}
}

// Rows lists the table in the order of the op table.
func Rows() []*Row {
	var out []*Row
	for _, i := range op.All() {
		if r := table[i]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// one1 makes a row's function of one that gives one result.
func one1(f func(x *exporter, o *ir.Op, a []string) string) func(x *exporter, o *ir.Op, a []string) []string {
	return func(x *exporter, o *ir.Op, a []string) []string { return []string{f(x, o, a)} }
}
