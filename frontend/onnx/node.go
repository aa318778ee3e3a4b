package onnx

import (
	"fmt"
	"math"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// node is one node while it is lowered: its operands, attributes and results, and through the importer the vocabulary to build with.
type node struct {
	*importer
	proto   *pb.NodeProto
	sc      *scope
	name    string // with the nodes that lead there
	row     *Row
	version int64 // of the operator set that the node's domain is imported in
	in      []*ir.Value
	out     []*ir.Value
	attrs   map[string]*pb.AttributeProto
}

// op is the operator's name for messages.
func (n *node) op() string { return opName(domainOf(n.proto.Domain), n.proto.OpType) }

// fail reports a mistake of the node; it does not return.
func (n *node) fail(format string, args ...any) {
	panic(bail{diag.Errorf(CodeNode, diag.Range{}, format, args...)})
}

// has says whether operand i is there.
func (n *node) has(i int) bool { return i < len(n.in) && n.in[i] != nil }

// arg is operand i, which must be there.
func (n *node) arg(i int) *ir.Value {
	if !n.has(i) {
		n.fail("operand %d is missing", i+1)
	}
	return n.in[i]
}

// opt is operand i, or nil.
func (n *node) opt(i int) *ir.Value {
	if !n.has(i) {
		return nil
	}
	return n.in[i]
}

// args are the operands that are there, from i on: those of a variadic operator.
func (n *node) args(i int) []*ir.Value {
	var out []*ir.Value
	for ; i < len(n.in); i++ {
		out = append(out, n.arg(i))
	}
	return out
}

// set makes v output i; it is no mistake when the node does not name that output.
func (n *node) set(i int, v *ir.Value) {
	if i < len(n.out) {
		n.out[i] = v
	}
}

// wants says whether output i is named.
func (n *node) wants(i int) bool { return i < len(n.proto.Output) && n.proto.Output[i] != "" }

// argName names operand i for messages.
func (n *node) argName(i int) string {
	if i < len(n.proto.Input) {
		return fmt.Sprintf("operand %d (%q)", i+1, n.proto.Input[i])
	}
	return fmt.Sprintf("operand %d", i+1)
}

// addAttr takes an attribute of the node, in a function's body with the value that the call gives it.
func (n *node) addAttr(a *pb.AttributeProto) {
	if n.attrs == nil {
		n.attrs = map[string]*pb.AttributeProto{}
	}
	if _, twice := n.attrs[a.Name]; twice {
		n.fail("attribute %q is given twice", a.Name)
	}
	if a.RefAttrName != "" {
		sc := n.sc
		for sc.parent != nil {
			sc = sc.parent
		}
		v, ok := sc.attrs[a.RefAttrName]
		if !ok {
			n.fail("attribute %q refers to %q, which is no attribute of the function around", a.Name, a.RefAttrName)
		}
		if v == nil {
			return // not given, no default: as if it were not there
		}
		n.attrs[a.Name] = v
		return
	}
	n.attrs[a.Name] = a
}

// attr gives an attribute of one of the types, or nil when there is none. Files of the first versions leave the type open.
func (n *node) attr(name string, types ...pb.AttributeProto_AttributeType) *pb.AttributeProto {
	a := n.attrs[name]
	if a == nil {
		return nil
	}
	for _, t := range types {
		if a.Type == t || a.Type == pb.AttributeProto_UNDEFINED {
			return a
		}
	}
	n.fail("attribute %s is of type %s, expected %s", name, a.Type, types[0])
	return nil
}

// hasAttr says whether an attribute is given.
func (n *node) hasAttr(name string) bool { return n.attrs[name] != nil }

// attrInt is an integer attribute, or def.
func (n *node) attrInt(name string, def int64) int64 {
	if a := n.attr(name, pb.AttributeProto_INT); a != nil {
		return a.I
	}
	return def
}

// attrBool is an integer attribute that is 0 or 1, or def.
func (n *node) attrBool(name string, def bool) bool {
	if a := n.attr(name, pb.AttributeProto_INT); a != nil {
		return a.I != 0
	}
	return def
}

// attrFloat is a float attribute, or def.
func (n *node) attrFloat(name string, def float64) float64 {
	if a := n.attr(name, pb.AttributeProto_FLOAT); a != nil {
		return float64(a.F)
	}
	return def
}

// attrStr is a string attribute, or def. With allowed values it must be one of them.
func (n *node) attrStr(name, def string, allowed ...string) string {
	s := def
	if a := n.attr(name, pb.AttributeProto_STRING); a != nil {
		s = string(a.S)
	}
	if len(allowed) == 0 {
		return s
	}
	for _, x := range allowed {
		if s == x {
			return s
		}
	}
	n.fail("attribute %s is %q, expected one of %q", name, s, allowed)
	return ""
}

// attrInts is a list of integers, nil when there is none.
func (n *node) attrInts(name string) []int64 {
	if a := n.attr(name, pb.AttributeProto_INTS); a != nil {
		if a.Ints == nil {
			return []int64{}
		}
		return a.Ints
	}
	return nil
}

// attrFloats is a list of floats, nil when there is none.
func (n *node) attrFloats(name string) []float64 {
	a := n.attr(name, pb.AttributeProto_FLOATS)
	if a == nil {
		return nil
	}
	out := make([]float64, len(a.Floats))
	for i, x := range a.Floats {
		out[i] = float64(x)
	}
	return out
}

// attrStrs is a list of strings, nil when there is none.
func (n *node) attrStrs(name string) []string {
	a := n.attr(name, pb.AttributeProto_STRINGS)
	if a == nil {
		return nil
	}
	out := make([]string, len(a.Strings))
	for i, x := range a.Strings {
		out[i] = string(x)
	}
	return out
}

// attrTensor is a tensor attribute, nil when there is none.
func (n *node) attrTensor(name string) *pb.TensorProto {
	if a := n.attr(name, pb.AttributeProto_TENSOR); a != nil {
		if a.T == nil {
			n.fail("attribute %s holds no tensor", name)
		}
		return a.T
	}
	return nil
}

// attrGraph is a graph attribute, which must be there.
func (n *node) attrGraph(name string) *pb.GraphProto {
	if a := n.attr(name, pb.AttributeProto_GRAPH); a != nil && a.G != nil {
		return a.G
	}
	n.fail("attribute %s, a graph, is missing", name)
	return nil
}

// attrFormat is an attribute that holds an element type's number, or def.
func (n *node) attrFormat(name string, def format.Format) format.Format {
	a := n.attr(name, pb.AttributeProto_INT)
	if a == nil {
		return def
	}
	if a.I < math.MinInt32 || a.I > math.MaxInt32 {
		n.fail("attribute %s: %d is no element type", name, a.I)
	}
	f, err := formatOf(int32(a.I))
	if err != nil {
		n.fail("attribute %s: %s", name, err)
	}
	return f
}

// need fails unless the attribute is given.
func (n *node) need(name string) {
	if !n.hasAttr(name) {
		n.fail("attribute %s is missing", name)
	}
}

// axis brings an axis into 0…rank-1.
func (n *node) axis(a int64, rank int) int {
	if a < -int64(rank) || a >= int64(rank) {
		n.fail("axis %d is out of range for rank %d", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a)
}

// axes brings axes into 0…rank-1 and refuses one that stands twice.
func (n *node) axes(list []int64, rank int) []int {
	out := make([]int, len(list))
	seen := make([]bool, rank)
	for i, a := range list {
		ax := n.axis(a, rank)
		if seen[ax] {
			n.fail("axis %d stands twice in %v", a, list)
		}
		seen[ax], out[i] = true, ax
	}
	return out
}

// tensor gives the elements of operand i, which must be known; see static.
func (n *node) tensor(i int) *tensor.Tensor { return n.static(n.arg(i), n.argName(i)) }

// ints gives the elements of operand i, a tensor of integers which must be known.
func (n *node) ints(i int) []int64 {
	v := n.arg(i)
	if v.Type.Format.IsFloat() {
		n.fail("%s holds integers, found %s", n.argName(i), v.Type)
	}
	out, err := n.tensor(i).I64s()
	if err != nil {
		n.fail("%s: %s", n.argName(i), err)
	}
	return out
}

// wholes gives the elements of operand i, which must be known and whole numbers, though of a float format: the first versions of some
// operators have one format for data, counts and axes.
func (n *node) wholes(i int) []int64 {
	if !n.arg(i).Type.Format.IsFloat() {
		return n.ints(i)
	}
	v := n.floats(i)
	out := make([]int64, len(v))
	for k, x := range v {
		if x != math.Trunc(x) || math.Abs(x) >= 1<<53 {
			n.fail("%s holds %v, expected whole numbers", n.argName(i), x)
		}
		out[k] = int64(x)
	}
	return out
}

// int gives operand i, a known tensor of one integer.
func (n *node) int(i int) int64 {
	v := n.ints(i)
	if len(v) != 1 {
		n.fail("%s holds one integer, found %d", n.argName(i), len(v))
	}
	return v[0]
}

// floats gives the elements of operand i, a tensor of numbers which must be known.
func (n *node) floats(i int) []float64 {
	out, err := n.tensor(i).F64s()
	if err != nil {
		n.fail("%s: %s", n.argName(i), err)
	}
	return out
}

// float gives operand i, a known tensor of one number.
func (n *node) float(i int) float64 {
	v := n.floats(i)
	if len(v) != 1 {
		n.fail("%s holds one number, found %d", n.argName(i), len(v))
	}
	return v[0]
}

// dimsOf gives the elements of operand i, a vector of integers, as dimensions that may have symbols. What is not known that way
// must be known as ints.
func (n *node) dimsOf(i int) []shape.Dim {
	v := n.arg(i)
	if d, ok := n.dims[v]; ok {
		return d
	}
	list := n.ints(i)
	out := make([]shape.Dim, len(list))
	for i, x := range list {
		out[i] = shape.Const(x)
	}
	return out
}

// size gives a dimension that must be a number.
func (n *node) size(d shape.Dim, what string) int64 {
	v, ok := d.Value()
	if !ok {
		n.symbolic(d, what)
	}
	return v
}

// sizes gives a shape that must be of numbers.
func (n *node) sizes(s shape.Shape, what string) []int64 {
	out := make([]int64, len(s))
	for i, d := range s {
		out[i] = n.size(d, what)
	}
	return out
}

// symbolic reports that a dimension must be a number; it does not return.
func (n *node) symbolic(d shape.Dim, what string) {
	e := diag.Errorf(CodeValue, diag.Range{}, "%s is %s, and must be a number here", what, d)
	if s := d.Symbols(); len(s) > 0 {
		e.Helpf("give the symbol a value: --set %s=…", s[0])
	}
	panic(bail{e})
}

// inline imports a subgraph in place, its inputs standing for args, and gives its outputs. Names that it does not define are those
// around the node. round names the copy, where a graph is imported several times.
func (n *node) inline(g *pb.GraphProto, round string, args ...*ir.Value) []*ir.Value {
	sc := n.subscope(g, round)
	if len(g.Input) != len(args) {
		n.fail("the subgraph takes %d inputs, found %d", len(g.Input), len(args))
	}
	for i, in := range g.Input {
		if _, twice := sc.vals[in.Name]; twice || in.Name == "" {
			n.fail("input %q of the subgraph has no name or stands twice", in.Name)
		}
		sc.vals[in.Name] = args[i]
	}
	return n.body(sc, g)
}

// subscope is the scope of a subgraph of the node, without its inputs.
func (n *node) subscope(g *pb.GraphProto, round string) *scope {
	sc := &scope{parent: n.sc, graph: g, vals: map[string]*ir.Value{}, path: n.name + "/", opsets: n.sc.opsets}
	if round != "" {
		sc.path += round + "/"
	}
	sc.addInitialisers(g)
	return sc
}

// body imports the nodes of a subgraph and gives its outputs.
func (n *node) body(sc *scope, g *pb.GraphProto) []*ir.Value {
	n.importer.graph(sc, g.Node)
	out := make([]*ir.Value, len(g.Output))
	for i, o := range g.Output {
		v, ok := n.lookup(sc, o.Name)
		if !ok {
			n.fail("no node of the subgraph gives its output %q", o.Name)
		}
		if v == nil {
			panic(bail{errSkipped})
		}
		out[i] = v
	}
	return out
}
