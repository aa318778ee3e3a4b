package onnx

import (
	"fmt"
	"sort"
	"strings"

	pb "apogee/frontend/onnx/onnxpb"
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
	m.eachNode(func(n *pb.NodeProto) { count[opName(domainOf(n.Domain), n.OpType)]++ })
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

// eachNode visits the nodes of the graph, of subgraphs and of local functions.
func (m *Model) eachNode(f func(n *pb.NodeProto)) {
	var nodes func(list []*pb.NodeProto)
	nodes = func(list []*pb.NodeProto) {
		for _, n := range list {
			f(n)
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
	for _, fn := range m.proto.Functions {
		nodes(fn.Node)
	}
}
