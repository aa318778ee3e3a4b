package onnx

import (
	"fmt"
	"sort"
	"strings"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/diag"
)

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
