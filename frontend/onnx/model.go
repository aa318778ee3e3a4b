package onnx

import (
	"fmt"
	"sort"
	"strings"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/shape"
)

// MaxOpset is the newest version of the standard operator set that the importer knows.
const MaxOpset = 27

// index resolves what the structure's names mean.
func (m *Model) index() error {
	m.tensors, m.funcs = map[string]*pb.TensorProto{}, map[funcKey]*pb.FunctionProto{}
	var err error
	if m.opsets, err = opsetsOf(m.proto.OpsetImport); err != nil {
		return err
	}
	if len(m.proto.OpsetImport) == 0 {
		m.opsets[""] = 1 // files of the first versions name none
	}
	for _, f := range m.proto.Functions {
		k := funcKey{domainOf(f.Domain), f.Name, f.Overload}
		if m.funcs[k] != nil {
			return fmt.Errorf("function %s is defined twice", k)
		}
		m.funcs[k] = f
	}
	for _, t := range m.proto.Graph.Initializer {
		if t.Name == "" {
			return fmt.Errorf("an initialiser has no name")
		}
		if m.tensors[t.Name] != nil {
			return fmt.Errorf("there are two initialisers %q", t.Name)
		}
		m.tensors[t.Name] = t
	}
	m.names = map[*pb.TensorProto]string{}
	(&collect{m}).all()
	return nil
}

func (k funcKey) String() string {
	s := k.name
	if k.domain != "" {
		s = k.domain + "." + s
	}
	if k.overload != "" {
		s += ":" + k.overload
	}
	return s
}

func opsetsOf(list []*pb.OperatorSetIdProto) (map[string]int64, error) {
	out := map[string]int64{}
	for _, o := range list {
		d := domainOf(o.Domain)
		if v, ok := out[d]; ok && v != o.Version {
			return nil, fmt.Errorf("operator set %q is imported in versions %d and %d", o.Domain, v, o.Version)
		}
		out[d] = o.Version
	}
	return out, nil
}

// domainOf brings the standard domain's two spellings into one.
func domainOf(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// Opset is the version of an operator set that the model imports; 0 is none. The standard one is "".
func (m *Model) Opset(domain string) int64 { return m.opsets[domainOf(domain)] }

// IRVersion is the version of the file's format.
func (m *Model) IRVersion() int64 { return m.proto.IrVersion }

// Name is the graph's name.
func (m *Model) Name() string { return m.proto.Graph.Name }

// Port is an input or output of the graph.
type Port struct {
	Name   string
	Format format.Format // Invalid where the file does not say, or where it is no tensor of numbers
	// Shape has the file's symbols, spelled as the IR has them; nil where the file does not say. A dimension without a name gets
	// one from the input and its axis.
	Shape shape.Shape
	Err   error // why the type is not supported
}

// String prints the port as NAME format[shape].
func (p Port) String() string {
	s := p.Name + " " + p.Format.String()
	if p.Shape == nil {
		return s + "[?]"
	}
	return s + "[" + p.Shape.String() + "]"
}

// Inputs are the graph's inputs in its order, those with an initialiser left out: those are weights.
func (m *Model) Inputs() []Port {
	var out []Port
	alone := map[string]bool{} // symbols that are a dimension by themselves
	for _, i := range m.proto.Graph.Input {
		if m.tensors[i.Name] == nil {
			out = append(out, portOf(i, true))
			eachDimParam(i, func(_ int, text string) { alone[text] = true })
		}
	}
	at := 0
	for _, i := range m.proto.Graph.Input {
		if m.tensors[i.Name] != nil {
			continue
		}
		p := out[at]
		at++
		eachDimParam(i, func(axis int, text string) {
			if d, ok := expression(text, alone); ok && p.Shape != nil {
				p.Shape[axis] = d
			}
		})
	}
	return out
}

// eachDimParam calls f for the dimensions of an input that have a name.
func eachDimParam(v *pb.ValueInfoProto, f func(axis int, text string)) {
	for i, d := range v.GetType().GetTensorType().GetShape().GetDim() {
		if text := d.GetDimParam(); text != "" {
			f(i, text)
		}
	}
}

// expression reads the name of a dimension that is arithmetic over other dimensions of inputs, such as 2*past+1, as exporters write
// what they know of a shape. Without those it is a name like any other.
func expression(text string, alone map[string]bool) (shape.Dim, bool) {
	if !strings.ContainsAny(text, "+-*(") {
		return shape.Dim{}, false
	}
	d, err := shape.ParseDim(text)
	if err != nil || d.IsConst() {
		return shape.Dim{}, false
	}
	for _, s := range d.Symbols() {
		if !alone[s] || Symbol(s) != s {
			return shape.Dim{}, false
		}
	}
	return d, true
}

// Outputs are the graph's outputs in its order.
func (m *Model) Outputs() []Port {
	var out []Port
	for _, o := range m.proto.Graph.Output {
		out = append(out, portOf(o, false))
	}
	return out
}

// Symbols are the dimension symbols of the inputs, in order of appearance.
func (m *Model) Symbols() []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range m.Inputs() {
		for _, d := range p.Shape {
			for _, s := range d.Symbols() {
				if !seen[s] {
					seen[s] = true
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// portOf reads the type of an input or output. Dimensions without a name get one only for inputs.
func portOf(v *pb.ValueInfoProto, input bool) Port {
	p := Port{Name: v.Name}
	t := v.GetType()
	switch {
	case t.GetSequenceType() != nil:
		p.Err = fmt.Errorf("it is a sequence")
	case t.GetOptionalType() != nil:
		p.Err = fmt.Errorf("it is an optional")
	case t.GetMapType() != nil:
		p.Err = fmt.Errorf("it is a map")
	case t.GetSparseTensorType() != nil:
		p.Err = fmt.Errorf("it is a sparse tensor")
	}
	tt := t.GetTensorType()
	if tt == nil {
		return p
	}
	if tt.ElemType != 0 {
		p.Format, p.Err = formatOf(tt.ElemType)
	}
	if tt.Shape == nil {
		return p
	}
	p.Shape = shape.Shape{}
	for i, d := range tt.Shape.Dim {
		switch x := d.Value.(type) {
		case *pb.TensorShapeProto_Dimension_DimValue:
			p.Shape = append(p.Shape, shape.Const(x.DimValue))
			if x.DimValue < 0 {
				if input && x.DimValue == -1 { // what some exporters write for an unknown size
					p.Shape[i] = shape.Sym(Symbol(fmt.Sprintf("%s.%d", v.Name, i)))
				} else if p.Err == nil {
					p.Err = fmt.Errorf("axis %d has size %d", i, x.DimValue)
				}
			}
		case *pb.TensorShapeProto_Dimension_DimParam:
			if x.DimParam == "" {
				p.Shape = append(p.Shape, shape.Sym(Symbol(fmt.Sprintf("%s.%d", v.Name, i))))
			} else {
				p.Shape = append(p.Shape, shape.Sym(Symbol(x.DimParam)))
			}
		default:
			p.Shape = append(p.Shape, shape.Sym(Symbol(fmt.Sprintf("%s.%d", v.Name, i))))
		}
	}
	return p
}

// Symbol spells the name of a dimension as the IR's symbols are: a letter, then letters, digits, underscores or dots.
func Symbol(name string) string {
	b := []byte(name)
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.') {
			b[i] = '_'
		}
	}
	if len(b) > shape.MaxName-2 {
		b = b[:shape.MaxName-2]
	}
	s := string(b)
	if s == "" || !(s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') {
		s = "d" + s
	}
	if s == "ceil" || s == "floor" {
		s += "_"
	}
	return s
}

// Codes of mistakes in models.
var (
	CodeScope = diag.Register("ONNX001", "An operator or a type that is out of scope: training, strings, sequences, classical machine learning, random output.", "")
	CodeOp    = diag.Register("ONNX002", "An operator that the importer does not know, in the version of the operator set that the model imports.", "")
	CodeNode  = diag.Register("ONNX003", "A node whose operands or attributes the operator's specification does not allow.", "")
	CodeGraph = diag.Register("ONNX004", "A graph that is not well formed: names that stand twice or come too late, functions that call themselves.", "")
	CodeValue = diag.Register("ONNX005", "A shape, an axis or a count that depends on a value which is not known when the model is imported.", "")
	CodeLimit = diag.Register("ONNX006", "A model larger than the importer's limits.", "")
)

// Check lists everything in the model that cannot be imported, whatever the inputs: operators that are out of scope or unknown, in
// the order of the graph, each with its node and the reason.
func (m *Model) Check() *diag.List {
	l := &diag.List{}
	for _, p := range m.Inputs() {
		if p.Err != nil {
			l.Errorf(CodeScope, diag.Range{}, "input %q: %s", p.Name, p.Err)
		}
	}
	for _, p := range m.Outputs() {
		if p.Err != nil {
			l.Errorf(CodeScope, diag.Range{}, "output %q: %s", p.Name, p.Err)
		}
	}
	c := &checker{m: m, list: l, seen: map[funcKey]bool{}, told: map[string]*told{}}
	c.graph(m.proto.Graph, m.opsets, "", 0)
	c.finish()
	for _, t := range m.proto.Graph.SparseInitializer {
		l.Errorf(CodeScope, diag.Range{}, "initialiser %q is a sparse tensor", t.GetValues().GetName())
	}
	m.locate(l)
	return l
}

type checker struct {
	m    *Model
	list *diag.List
	seen map[funcKey]bool
	told map[string]*told // by message
}

// told is a finding that several nodes may have in common.
type told struct {
	d     *diag.Diagnostic
	nodes []string
}

// add reports what is wrong with a node; what is wrong with several is one finding, at the first.
func (c *checker) add(d *diag.Diagnostic, where string) {
	if t := c.told[d.Message]; t != nil {
		t.nodes = append(t.nodes, where)
		return
	}
	c.told[d.Message] = &told{d, nil}
	c.list.Add(d.At(where))
}

// maxNamed is how many nodes a finding names.
const maxNamed = 8

// finish adds to each finding which other nodes it is about.
func (c *checker) finish() {
	for _, t := range c.told {
		n := len(t.nodes)
		if n == 0 {
			continue
		}
		more := ""
		if n > maxNamed {
			more = ", …"
		}
		t.d.Note(diag.Range{}, "the same in %d more: %s%s", n, strings.Join(t.nodes[:min(n, maxNamed)], ", "), more)
	}
}

// locate puts the file's name before the place of each finding.
func (m *Model) locate(l *diag.List) {
	for _, d := range l.Items() {
		switch {
		case d.Where == "":
			d.Where = m.Path
		case !strings.HasPrefix(d.Where, m.Path+" ("):
			d.Where = m.Path + " (" + d.Where + ")"
		}
	}
}

// Node is the node that a finding of Check or Import is about, without the file; "" when it is about none.
func (m *Model) Node(d *diag.Diagnostic) string {
	s, ok := strings.CutPrefix(d.Where, m.Path+" (")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(s, ")")
}

func (c *checker) graph(g *pb.GraphProto, opsets map[string]int64, path string, depth int) {
	c.nodes(g.Node, opsets, path, depth)
}

func (c *checker) nodes(nodes []*pb.NodeProto, opsets map[string]int64, path string, depth int) {
	if depth > MaxDepth {
		return // the importer says so
	}
	for i, n := range nodes {
		where := path + nodeName(n, i)
		k := funcKey{domainOf(n.Domain), n.OpType, n.Overload}
		if f := c.m.funcs[k]; f != nil {
			if !c.seen[k] {
				c.seen[k] = true
				sets, err := opsetsOf(f.OpsetImport)
				if err != nil {
					c.list.Errorf(CodeGraph, diag.Range{}, "function %s: %s", k, err)
				} else {
					c.nodes(f.Node, sets, where+"/", depth+1)
				}
			}
			continue
		}
		if _, d := find(k.domain, k.name, opsets); d != nil {
			c.add(d, where)
		}
		for _, a := range n.Attribute {
			if a.G != nil {
				c.graph(a.G, opsets, where+"/", depth+1)
			}
			for _, g := range a.Graphs {
				c.graph(g, opsets, where+"/", depth+1)
			}
		}
	}
}

// nodeName is what messages and scopes call a node: its name, else that of its first output, else its operator and number.
func nodeName(n *pb.NodeProto, i int) string {
	if n.Name != "" {
		return n.Name
	}
	for _, o := range n.Output {
		if o != "" {
			return o
		}
	}
	return fmt.Sprintf("%s_%d", n.OpType, i)
}

// opName prints an operator with its domain.
func opName(domain, name string) string {
	if domain == "" {
		return name
	}
	return domain + "." + name
}

// find gives the lowering of an operator for the imported version of its domain, or what is wrong.
func find(domain, name string, opsets map[string]int64) (*Row, *diag.Diagnostic) {
	if why := outOfScope(domain, name); why != "" {
		return nil, diag.Errorf(CodeScope, diag.Range{}, "%s is not supported: %s", opName(domain, name), why)
	}
	v, imported := opsets[domain]
	rows := table[tableKey{domain, name}]
	if len(rows) == 0 {
		d := diag.Errorf(CodeOp, diag.Range{}, "%s is not known", opName(domain, name))
		switch {
		case domain == "":
			d.Suggest(name, namesOf(domain))
		case len(namesOf(domain)) == 0:
			d.Helpf("operators of domain %q are known only where the model defines them as functions", domain)
		}
		return nil, d
	}
	if !imported {
		return nil, diag.Errorf(CodeOp, diag.Range{}, "%s is used, but the model imports no operator set %q", opName(domain, name), domain)
	}
	var row *Row
	for i := range rows {
		if rows[i].Since <= v {
			row = rows[i]
		}
	}
	if row == nil {
		return nil, diag.Errorf(CodeOp, diag.Range{}, "%s came with version %d of its operator set; the model imports version %d", opName(domain, name), rows[0].Since, v)
	}
	if domain == "" && v > MaxOpset {
		return row, nil // newer sets mostly leave operators as they are
	}
	return row, nil
}

// namesOf are the operators of a domain, sorted.
func namesOf(domain string) []string {
	var out []string
	for k := range table {
		if k.domain == domain {
			out = append(out, k.name)
		}
	}
	sort.Strings(out)
	return out
}

// outOfScope says why an operator is never supported, or "".
func outOfScope(domain, name string) string {
	if strings.HasPrefix(domain, "ai.onnx.ml") {
		return "classical machine learning (ai.onnx.ml) is out of scope"
	}
	if domain == "ai.onnx.training" || domain == "ai.onnx.preview.training" {
		return "training is out of scope"
	}
	if domain == "" {
		return excluded[name]
	}
	return ""
}

// GraphInputs are the names of all inputs of the graph, those with an initialiser included: the files of a test count these.
func (m *Model) GraphInputs() []string {
	var out []string
	for _, i := range m.proto.Graph.Input {
		out = append(out, i.Name)
	}
	return out
}

// HasInitialiser says whether the graph gives a name a value of its own.
func (m *Model) HasInitialiser(name string) bool {
	_, ok := m.tensors[name]
	return ok
}

// OpTypes lists the operators of the model, those of subgraphs and functions included, sorted, each with how often it stands there
// where that is more than once: Add,Concat*5.
func (m *Model) OpTypes() string {
	count := map[string]int{}
	var nodes func(list []*pb.NodeProto)
	nodes = func(list []*pb.NodeProto) {
		for _, n := range list {
			count[opName(domainOf(n.Domain), n.OpType)]++
			for _, a := range n.Attribute {
				if a.G != nil {
					nodes(a.G.Node)
				}
				for _, g := range a.Graphs {
					nodes(g.Node)
				}
			}
		}
	}
	nodes(m.proto.Graph.Node)
	for _, f := range m.proto.Functions {
		nodes(f.Node)
	}
	var out []string
	for k, n := range count {
		if n > 1 {
			k += fmt.Sprintf("*%d", n)
		}
		out = append(out, k)
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}
