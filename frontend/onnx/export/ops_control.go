package export

import (
	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: op.Kernel, Doc: "The ops of its region, in line.", emit: func(x *exporter, o *ir.Op, a []string) []string {
			return x.region(o.Regions[0], a)
		}},
		Row{Op: op.If, Doc: "If, whose branches read from the graph around.", emit: func(x *exporter, o *ir.Op, a []string) []string {
			branch := func(i int) *pb.GraphProto {
				return x.subgraph(o.Info.Name, func() ([]string, []ir.Type) {
					out := x.region(o.Regions[i], a[1:])
					return out, carried(o.ResultTypes())
				})
			}
			base := x.base
			then, otherwise := branch(0), branch(1)
			x.op, x.base = o, base
			if len(o.Results()) == 0 {
				return nil
			}
			return x.node("If", attrs{"then_branch", then, "else_branch", otherwise}, len(o.Results()), a[0])
		}},
		Row{Op: op.Loop, Doc: "Loop, with the least of trip and limit; what is the same in every round is read from the graph around.", emit: func(x *exporter, o *ir.Op, a []string) []string {
			trip, f := a[0], o.Arg(0).Type.Format
			if f != format.I64 {
				trip = x.to(trip, format.I64)
			}
			if d, ok := x.attrDim("limit"); ok {
				trip = x.n("Min", trip, x.dim0(d))
			}
			n := o.Carried()
			if n == 0 {
				return nil
			}
			base := x.base
			out := x.loop(trip, a[1], carried(o.ResultTypes()), a[2:2+n], func(i string, in []string) (string, []string) {
				if f != format.I64 {
					i = x.to(i, f)
				}
				out := x.region(o.Regions[0], append(append([]string{i}, in...), a[2+n:]...))
				x.op, x.base = o, base
				return out[0], out[1:]
			})
			x.op, x.base = o, base
			return out
		}},
	)
}

// carried are types in their carriers.
func carried(types []ir.Type) []ir.Type {
	out := make([]ir.Type, len(types))
	for i, t := range types {
		out[i] = ir.Type{Format: carrier(t.Format), Shape: t.Shape}
	}
	return out
}

// region writes a region's ops where the exporter stands and gives what it yields.
func (x *exporter) region(b *ir.Block, args []string) []string {
	for i, p := range b.Params {
		x.vals[p] = args[i]
	}
	if err := x.block(b); err != nil {
		x.fail("%s", err)
	}
	last := b.Last()
	out := make([]string, last.NumArgs())
	for i := range out {
		out[i] = x.vals[last.Arg(i)]
	}
	return out
}

// subgraph makes a graph of the nodes that f adds, with what f gives as its results. Results get names of their own: a graph may
// not hand on what it has from outside.
func (x *exporter) subgraph(name string, f func() ([]string, []ir.Type)) *pb.GraphProto {
	outer := x.into
	g := &pb.GraphProto{Name: name}
	x.into = g
	vals, types := f()
	for i, v := range vals {
		y := x.n("Identity", v)
		g.Output = append(g.Output, x.info(y, types[i]))
	}
	x.into = outer
	return g
}

// loop adds a Loop and gives the carried values. The condition may be "" for always, and so may be what body gives for it.
func (x *exporter) loop(trip, cond string, types []ir.Type, start []string, body func(i string, in []string) (string, []string)) []string {
	scalar := func(f format.Format) ir.Type { return ir.Type{Format: f, Shape: shape.Shape{}} }
	base := x.base
	count, again := x.fresh(base+"_round"), x.fresh(base+"_go")
	var in []string
	for range start {
		in = append(in, x.fresh(base+"_in"))
	}
	g := x.subgraph("loop", func() ([]string, []ir.Type) {
		next, out := body(count, in)
		if next == "" {
			next = again
		}
		return append([]string{next}, out...), append([]ir.Type{scalar(format.Bool)}, types...)
	})
	g.Input = append(g.Input, x.info(count, scalar(format.I64)), x.info(again, scalar(format.Bool)))
	for i, n := range in {
		g.Input = append(g.Input, x.info(n, types[i]))
	}
	x.base = base
	return x.node("Loop", attrs{"body", g}, len(start), append([]string{trip, cond}, start...)...)
}
