package onnx

import (
	"fmt"
	"slices"
	"strings"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// Limits of importing, against small files that mean huge modules.
const (
	DefaultMaxOps = 1_500_000 // ops of a module, unless Options says otherwise
	MaxNodes      = 100_000   // nodes lowered, those of functions and of rounds written out counted each time; and 64 for each that the file has
	MaxRank       = 64        // axes of a tensor
	MaxLiteral    = 64        // elements of an initialiser that becomes a constant of the module; more stay a weight
)

// Options say how to import.
type Options struct {
	// Bind replaces dimension symbols by numbers; see Model.Symbols.
	Bind map[string]int64
	// Values gives what is known of the graph's inputs, nil where nothing is: shapes that depend on an input's elements are taken
	// from there, and the module is then right for those elements only.
	Values func(input string) *tensor.Tensor
	// Shapes gives the format and dimensions of an input whose type the file leaves open; nil where they are not known. Where it is
	// nil itself, Values is asked.
	Shapes func(input string) *ir.Type
	// Eval runs a module whose one entry has the model's inputs, and gives its results by name: it answers for values that decide
	// shapes and are computed from inputs. Nil makes each of them an error.
	Eval func(m *ir.Module) (map[string]*tensor.Tensor, error)
	// MaxOps bounds the module; 0 is DefaultMaxOps.
	MaxOps int
}

// Import builds a module with one entry, main, whose inputs and results are those of the graph, by their names. The error is a
// *diag.List with everything that is wrong.
func (m *Model) Import(opt Options) (*ir.Module, error) {
	if l := m.Check(); l.HasErrors() {
		return nil, l.Err()
	}
	if opt.MaxOps <= 0 {
		opt.MaxOps = DefaultMaxOps
	}
	im := &importer{
		m: m, opt: opt, diags: &diag.List{}, mod: ir.NewModule(moduleName(m)), known: map[*ir.Value]*tensor.Tensor{}, dims: map[*ir.Value][]shape.Dim{},
	}
	im.builder, im.scalars = &builder{im: im}, map[string]*ir.Value{}
	im.file = im.mod.File(m.Path)
	err := im.guard(func() { im.model() })
	if err != nil {
		im.diags.AddError(CodeNode, err)
	}
	m.locate(im.diags)
	if err := im.diags.Err(); err != nil {
		return nil, err
	}
	return im.mod, nil
}

func moduleName(m *Model) string {
	if n := m.proto.Graph.Name; n != "" {
		return n
	}
	return "model"
}

// importer is the state of one Import.
type importer struct {
	*builder
	m     *Model
	opt   Options
	diags *diag.List
	mod   *ir.Module
	fn    *ir.Func
	file  int32
	known map[*ir.Value]*tensor.Tensor // elements, where they are literals
	dims  map[*ir.Value][]shape.Dim    // elements of small tensors of integers as expressions
	asked map[*ir.Value]*tensor.Tensor // what Options.Eval and Options.Values gave
	// scalars are the constants without axes in the entry's body, by format and bytes.
	scalars map[string]*ir.Value
	nodes   int                  // lowered so far
	own     int                  // nodes in the file, counted when it matters
	calls   []funcKey            // functions being expanded
	inputs  map[*ir.Value]string // parameters of the entry
}

// bail carries an error up to the next guard.
type bail struct{ err error }

// guard runs f and returns the error that fail was called with in it.
func (im *importer) guard(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case bail:
			err = r.err
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// failf ends what is being imported with an error; guard returns it.
func failf(code, format string, args ...any) {
	panic(bail{diag.Errorf(code, diag.Range{}, format, args...)})
}

// model imports the main graph.
func (im *importer) model() {
	g := im.m.proto.Graph
	im.fn = im.mod.NewFunc("main")
	im.fn.Entry = true
	im.fn.Pos = ir.Pos{File: im.file}
	im.b = ir.Builder{Block: im.fn.Body, Pos: im.fn.Pos}
	im.inputs, im.asked = map[*ir.Value]string{}, map[*ir.Value]*tensor.Tensor{}
	sc := &scope{graph: g, vals: map[string]*ir.Value{}, opsets: im.m.opsets}
	sc.addInitialisers(g)
	bad := false
	for _, p := range im.m.Inputs() {
		if _, twice := sc.vals[p.Name]; twice || p.Name == "" {
			im.diags.Errorf(CodeGraph, diag.Range{}, "input %q: the name is empty or stands twice", p.Name)
			bad = true
			continue
		}
		t, err := im.inputType(p)
		if err != nil {
			im.diags.Errorf(CodeGraph, diag.Range{}, "input %q: %s", p.Name, err)
			bad = true
			continue
		}
		v := im.fn.AddInput(p.Name, t)
		im.inputs[v] = p.Name
		sc.vals[p.Name] = v
	}
	if bad {
		return
	}
	im.graph(sc, g.Node)
	var results []*ir.Value
	seen := map[string]bool{}
	for _, o := range g.Output {
		if seen[o.Name] {
			im.diags.Errorf(CodeGraph, diag.Range{}, "output %q stands twice", o.Name)
			continue
		}
		seen[o.Name] = true
		v, ok := im.lookup(sc, o.Name)
		if !ok {
			im.diags.Errorf(CodeGraph, diag.Range{}, "output %q: no node gives it", o.Name)
		}
		if v == nil {
			continue
		}
		if v.Type.Format == format.Invalid {
			continue
		}
		im.checkOutput(portOf(o, false), v)
		results = append(results, v)
		im.fn.Results = append(im.fn.Results, o.Name)
	}
	if im.diags.HasErrors() {
		return
	}
	im.b.Pos = im.fn.Pos
	im.b.Return(results...)
	if im.b.Err != nil {
		panic(bail{im.b.Err})
	}
	sweep(im.fn.Body)
}

// inputType is the type that an input of the entry gets.
func (im *importer) inputType(p Port) (ir.Type, error) {
	if p.Err != nil {
		return ir.Type{}, p.Err
	}
	t := ir.Type{Format: p.Format, Shape: p.Shape}
	if t.Format == format.Invalid || t.Shape == nil {
		given := im.shapeOf(p.Name)
		if given == nil {
			return t, fmt.Errorf("the model leaves its format or rank open: give the input itself, so that they are known")
		}
		if t.Format == format.Invalid {
			t.Format = given.Format
		}
		if t.Shape == nil {
			t.Shape = given.Shape
		}
	}
	if len(t.Shape) > MaxRank {
		return t, fmt.Errorf("%d axes, more than %d", len(t.Shape), MaxRank)
	}
	env := map[string]shape.Dim{}
	for s, n := range im.opt.Bind {
		env[s] = shape.Const(n)
	}
	t.Shape = t.Shape.Subst(env)
	if err := t.Shape.Err(); err != nil {
		return t, err
	}
	if s, err := t.Shape.Ints(); err == nil {
		if _, _, err := tensor.Count(t.Format, s); err != nil {
			return t, err
		}
	}
	return t, nil
}

// shapeOf is what the options say of an input's type.
func (im *importer) shapeOf(name string) *ir.Type {
	if im.opt.Shapes != nil {
		return im.opt.Shapes(name)
	}
	if im.opt.Values != nil {
		if t := im.opt.Values(name); t != nil {
			return &ir.Type{Format: t.Format, Shape: shape.Of(t.Shape...)}
		}
	}
	return nil
}

// checkOutput holds a result against the type that the file declares for it. Only a format is binding: declared shapes are often
// wrong or wider.
func (im *importer) checkOutput(p Port, v *ir.Value) {
	if p.Err == nil && p.Format != format.Invalid && p.Format != v.Type.Format {
		im.diags.Errorf(CodeGraph, diag.Range{}, "output %q is declared as %s, but the nodes give %s", p.Name, p.Format, v.Type)
	}
}

// sweep erases what nothing reads. All ops are pure.
func sweep(b *ir.Block) {
	for o := b.Last(); o != nil; {
		prev := o.Prev()
		used := o.Info.Terminator
		for _, r := range o.Results() {
			used = used || r.NumUses() > 0
		}
		if !used {
			o.Erase()
		}
		o = prev
	}
}

// scope is what names mean in one graph or function.
type scope struct {
	parent *scope // of the graph around; nil for the main graph and for functions
	graph  *pb.GraphProto
	// vals has a nil value for a name whose node could not be imported: what depends on it is left out in silence.
	vals   map[string]*ir.Value
	inits  map[string]*pb.TensorProto
	made   map[string]*ir.Value // of inits, in the entry's body
	path   string               // the nodes that lead here, each with a slash
	opsets map[string]int64
	attrs  map[string]*pb.AttributeProto // of a function's call
	isFunc bool
}

func (sc *scope) addInitialisers(g *pb.GraphProto) {
	sc.inits, sc.made = map[string]*pb.TensorProto{}, map[string]*ir.Value{}
	for _, t := range g.Initializer {
		if sc.inits[t.Name] != nil || t.Name == "" {
			failf(CodeGraph, "initialiser %q: the name is empty or stands twice", sc.path+t.Name)
		}
		sc.inits[t.Name] = t
	}
}

// lookup finds a value by name, in the graphs around too. ok is false when there is none; the value is nil when its node could not
// be imported.
func (im *importer) lookup(sc *scope, name string) (v *ir.Value, ok bool) {
	for s := sc; s != nil; s = s.parent {
		v, ok := s.vals[name]
		if ok && v != nil && v.Def() != nil && v.Def().Block() == nil {
			ok = false // an initialiser that was read in an attempt, which was taken back
		}
		if ok {
			return v, true
		}
		if t := s.inits[name]; t != nil {
			if v := s.made[name]; alive(v) {
				return v, true
			}
			v := im.literalOrWeight(s.path+name, t)
			if im.b.Block == im.fn.Body {
				s.made[name] = v
			}
			return v, true
		}
	}
	return nil, false
}

// alive says whether there is a value and its op has not been erased, as happens to those of a branch that could not be imported.
func alive(v *ir.Value) bool { return v != nil && (v.Def() == nil || v.Def().Block() != nil) }

// literalOrWeight adds a tensor of the file: as a constant when it is small, else as a weight of that name.
func (im *importer) literalOrWeight(name string, t *pb.TensorProto) *ir.Value {
	f, err := formatOf(t.DataType)
	if err != nil {
		failf(CodeScope, "tensor %q: %s", name, err)
	}
	n, _, err := tensor.Count(f, t.Dims)
	if err == nil && len(t.Dims) > MaxRank {
		err = fmt.Errorf("%d axes, more than %d", len(t.Dims), MaxRank)
	}
	if err != nil {
		failf(CodeGraph, "tensor %q: %s", name, err)
	}
	x, err := im.m.decode(t)
	if err != nil {
		failf(CodeGraph, "tensor %q: %s", name, err)
	}
	weight, ok := im.m.names[t]
	if n <= MaxLiteral || !ok {
		v := im.literal(x)
		if v.Name == "" {
			v.Name = name
		}
		return v
	}
	o := im.b.Declare(op.Weight, ir.A("name", weight), []ir.Type{{Format: f, Shape: shape.Of(t.Dims...)}})
	if o == nil {
		panic(bail{im.b.Err})
	}
	v := o.Result(0)
	v.Name = name
	im.known[v] = x
	return v
}

// spend counts a node that is lowered, or a round that is written out: with functions that call functions twice, or a loop whose
// rounds cannot stay a loop, a small file can mean as many as it likes.
func (im *importer) spend() {
	if im.nodes++; im.nodes <= MaxNodes {
		return
	}
	if im.own == 0 {
		im.m.eachNode(func(*pb.NodeProto) { im.own++ })
	}
	if most := MaxNodes + 64*im.own; im.nodes > most {
		failf(CodeLimit, "more than %d nodes, those of functions and of rounds that are written out counted each time", most)
	}
}

// graph imports nodes one after the other. What cannot be imported is reported, and its results are marked as missing.
func (im *importer) graph(sc *scope, nodes []*pb.NodeProto) {
	for i, p := range nodes {
		im.spend()
		im.node(sc, p, nodeName(p, i), nodes[i:])
		if im.diags.Full() {
			return
		}
	}
}

// node imports one node. rest is for the message about names that come too late.
func (im *importer) node(sc *scope, p *pb.NodeProto, name string, rest []*pb.NodeProto) {
	where := sc.path + name
	pos := im.b.Pos
	im.b.Pos = ir.Pos{File: im.file, Scope: im.mod.Scope(where)}
	defer func() { im.b.Pos = pos }()
	n := &node{importer: im, proto: p, sc: sc, name: where}
	skip := false
	err := im.guard(func() {
		for _, in := range p.Input {
			if in == "" {
				n.in = append(n.in, nil)
				continue
			}
			v, ok := im.lookup(sc, in)
			if !ok {
				im.noValue(in, rest)
			}
			skip = skip || v == nil
			if v == absent {
				v = nil
			}
			n.in = append(n.in, v)
		}
		for _, o := range p.Output {
			if o == "" {
				continue
			}
			if _, twice := sc.vals[o]; twice || sc.inits[o] != nil {
				failf(CodeGraph, "value %q is given twice", o)
			}
		}
		for _, a := range p.Attribute {
			n.addAttr(a)
		}
		if !skip {
			n.out = make([]*ir.Value, len(p.Output))
			n.lower()
		}
	})
	if err != nil {
		im.b.Err = nil
		im.report(err, n)
	}
	for i, o := range p.Output {
		if o == "" {
			continue
		}
		var v *ir.Value
		if err == nil && !skip {
			v = n.out[i]
			if v == nil {
				im.diags.Errorf(CodeNode, diag.Range{}, "%s has no output %d (%q)", n.op(), i+1, o).At(where)
			}
		}
		if v != nil && v.Name == "" {
			v.Name = o
		}
		sc.vals[o] = v
	}
}

// report adds what stopped a node.
func (im *importer) report(err error, n *node) {
	d, ok := err.(*diag.Diagnostic)
	if d == errSkipped {
		return
	}
	if !ok {
		d = diag.Errorf(CodeNode, diag.Range{}, "%s", err.Error())
	}
	if d.Where == "" {
		d.Where = n.name
		if (d.Code == CodeNode || d.Code == CodeValue) && !strings.HasPrefix(d.Message, n.op()) {
			d.Message = n.op() + ": " + d.Message
		}
	}
	im.diags.Add(d)
}

func (im *importer) noValue(name string, rest []*pb.NodeProto) {
	for i, r := range rest {
		if slices.Contains(r.Output, name) {
			failf(CodeGraph, "value %q is read before node %q gives it: the graph has a cycle, or its nodes stand in the wrong order", name, nodeName(r, i))
		}
	}
	failf(CodeGraph, "value %q is read, but nothing gives it", name)
}

// lower imports the node: as a function of the model, or by the table.
func (n *node) lower() {
	k := funcKey{domainOf(n.proto.Domain), n.proto.OpType, n.proto.Overload}
	if f := n.m.funcs[k]; f != nil {
		n.call(f, k)
		return
	}
	row, d := find(k.domain, k.name, n.sc.opsets)
	if d != nil {
		panic(bail{d})
	}
	n.row, n.version = row, n.sc.opsets[k.domain]
	row.Lower(n)
}

// call expands a function of the model.
func (n *node) call(f *pb.FunctionProto, k funcKey) {
	if slices.Contains(n.calls, k) {
		failf(CodeGraph, "function %s calls itself", k)
	}
	if len(n.calls) >= MaxDepth {
		failf(CodeLimit, "functions call each other more than %d deep", MaxDepth)
	}
	n.calls = append(n.calls, k)
	im := n.importer
	defer func() { im.calls = im.calls[:len(im.calls)-1] }()
	sets, err := opsetsOf(f.OpsetImport)
	if err != nil {
		failf(CodeGraph, "function %s: %s", k, err)
	}
	for d, v := range n.sc.opsets { // a function that imports nothing of a domain inherits it
		if _, ok := sets[d]; !ok {
			sets[d] = v
		}
	}
	sc := &scope{vals: map[string]*ir.Value{}, path: n.name + "/", opsets: sets, attrs: map[string]*pb.AttributeProto{}, isFunc: true}
	if len(n.in) > len(f.Input) {
		failf(CodeNode, "function %s takes %d operands, found %d", k, len(f.Input), len(n.in))
	}
	for i, name := range f.Input {
		if _, twice := sc.vals[name]; twice || name == "" {
			failf(CodeGraph, "function %s: input %q has no name or stands twice", k, name)
		}
		if i < len(n.in) && n.in[i] != nil {
			sc.vals[name] = n.in[i]
		} else {
			sc.vals[name] = absent
		}
	}
	for _, a := range f.AttributeProto {
		sc.attrs[a.Name] = a
	}
	for name, a := range n.attrs {
		sc.attrs[name] = a
	}
	for _, a := range f.Attribute {
		if _, ok := sc.attrs[a]; !ok {
			sc.attrs[a] = nil // an attribute without a default that the call leaves out
		}
	}
	n.importer.graph(sc, f.Node)
	for i, name := range f.Output {
		if i >= len(n.out) {
			break
		}
		v, ok := n.importer.lookup(sc, name)
		if !ok {
			failf(CodeGraph, "function %s: no node gives output %q", k, name)
		}
		n.out[i] = v
		if v == nil {
			panic(bail{errSkipped})
		}
	}
}

// errSkipped marks a node that depends on one that was reported already.
var errSkipped = &diag.Diagnostic{Severity: diag.Info, Message: "depends on a node that could not be imported"}

// absent stands for an optional input of a function that the call leaves out.
var absent = &ir.Value{}
