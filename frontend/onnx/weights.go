package onnx

import (
	"fmt"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/tensor"
)

// collect names the tensors that a module may read as weights: the initialisers of all graphs, and the constants of nodes that are
// too large for a literal. The names of the main graph's initialisers are theirs; others have the nodes that lead there before
// them, as in outer/loop/w, and a number behind them where that name is taken.
type collect struct {
	m *Model
}

func (c *collect) all() {
	for _, t := range c.m.proto.Graph.Initializer {
		c.m.names[t] = t.Name
	}
	c.nodes(c.m.proto.Graph.Node, "")
	for _, f := range c.m.proto.Functions {
		c.nodes(f.Node, funcKey{domainOf(f.Domain), f.Name, f.Overload}.String()+"/")
		for _, a := range f.AttributeProto {
			c.tensor(a.T, f.Name+"/"+a.Name)
		}
	}
}

func (c *collect) nodes(nodes []*pb.NodeProto, path string) {
	for i, n := range nodes {
		for _, a := range n.Attribute {
			where := path + nodeName(n, i)
			c.tensor(a.T, where)
			if a.G != nil {
				c.graph(a.G, where+"/")
			}
			for k, g := range a.Graphs {
				c.graph(g, fmt.Sprintf("%s/%d/", where, k))
			}
		}
	}
}

func (c *collect) graph(g *pb.GraphProto, path string) {
	for _, t := range g.Initializer {
		c.tensor(t, path+t.Name)
	}
	c.nodes(g.Node, path)
}

func (c *collect) tensor(t *pb.TensorProto, name string) {
	if t == nil {
		return
	}
	f, err := formatOf(t.DataType)
	if err != nil {
		return
	}
	if n, _, err := tensor.Count(f, t.Dims); err != nil || n <= MaxLiteral {
		return
	}
	base := name
	for k := 2; c.m.tensors[name] != nil; k++ {
		name = fmt.Sprintf("%s#%d", base, k)
	}
	c.m.tensors[name], c.m.names[t] = t, name
}
