package export

import (
	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// windows are ops window along axes 2, 4, … of one value, as a convolution or a pooling is spelled: [N, C, …] → [N, C, out, size, …].
type windows struct {
	x                         *ir.Value // before them, and before a pad that counts as theirs
	kernel, stride, dilations []int64
	pads                      []int64 // at the beginnings, then at the ends
}

// windowsOf finds the windows that give a value; fill is what a pad before them must surround with to be part of it.
func windowsOf(v *ir.Value, fill float64) *windows {
	w := &windows{}
	for v.DefIs(op.Window) {
		o := v.Def()
		w.kernel = append([]int64{o.Attrs.Int("size", 1)}, w.kernel...)
		w.stride = append([]int64{o.Attrs.Int("stride", 1)}, w.stride...)
		w.dilations = append([]int64{o.Attrs.Int("dilation", 1)}, w.dilations...)
		v = o.Arg(0)
	}
	rank := len(w.kernel)
	if rank < 1 || rank > 3 || len(v.Type.Shape) != rank+2 {
		return nil
	}
	w.x, w.pads = v, make([]int64, 2*rank)
	return w.padded(fill)
}

// padded takes a pad in front of the windows in, where a runtime's own pads mean the same.
func (w *windows) padded(fill float64) *windows {
	if !w.x.DefIs(op.Pad) || !w.x.Def().Arg(1).DefIs(op.Constant) {
		return w
	}
	o, rank := w.x.Def(), len(w.kernel)
	v, err := o.Arg(1).Def().Attrs.Tensor("value").F64s()
	low, high := o.Attrs.Ints("low"), o.Attrs.Ints("high")
	if err != nil || v[0] != fill || low[0] != 0 || low[1] != 0 || high[0] != 0 || high[1] != 0 {
		return w
	}
	for i := range rank {
		if low[i+2] >= w.kernel[i] || high[i+2] >= w.kernel[i] { // runtimes refuse what could be windows of nothing but padding
			return w
		}
	}
	w.pads = append(append([]int64(nil), low[2:]...), high[2:]...)
	w.x = o.Arg(0)
	return w
}

// along checks the axes of the windows: the first op's is 2, the next one's 4, and so on.
func along(v *ir.Value, rank int) bool {
	for i := rank - 1; i >= 0; i-- {
		o := v.Def()
		if axis(o.Attrs.Int("axis", 0), len(o.Arg(0).Type.Shape)) != 2+2*i {
			return false
		}
		v = o.Arg(0)
	}
	return true
}

func (w *windows) attrs() attrs {
	return attrs{"kernel_shape", w.kernel, "strides", w.stride, "dilations", w.dilations, "pads", w.pads}
}

// convolution writes a contraction over windows in f32 as Conv, or gives "". What was written for the windows is left behind unread.
func (x *exporter) convolution(o *ir.Op, weight string) string {
	v := o.Arg(0)
	grouped := v.DefIs(op.Reshape) && v.Def().Arg(0).DefIs(op.Window)
	if grouped {
		v = v.Def().Arg(0)
	}
	w := windowsOf(v, 0)
	if w == nil || !along(v, len(w.kernel)) || carrier(w.x.Type.Format) != format.F32 || carrier(o.Result(0).Type.Format) != format.F32 || carrier(o.Arg(1).Type.Format) != format.F32 {
		return ""
	}
	for _, d := range x.sub(v.Type).Shape {
		if n, ok := d.Value(); ok && n < 1 {
			return ""
		}
	}
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	rank := len(w.kernel)
	lead := len(e.A) - 2*rank
	if err != nil || lead != 2 && lead != 3 || grouped != (lead == 3) {
		return ""
	}
	ks, outs := "", ""
	for i := range rank {
		outs, ks = outs+e.A[lead+2*i:lead+2*i+1], ks+e.A[lead+2*i+1:lead+2*i+2]
	}
	ws := x.arg(1).Shape
	if len(e.B) < len(ks)+1 || e.B[len(e.B)-len(ks):] != ks || len(e.Out) < rank || e.Out[len(e.Out)-rank:] != outs {
		return ""
	}
	roles, result := e.B[:len(e.B)-len(ks)], e.Out[:len(e.Out)-rank]
	n, c := e.A[:1], e.A[1:lead]
	one := shape.Const(1)
	kernel := ws[len(roles):]
	group, kernels := int64(1), append(shape.Shape(nil), ws...)
	switch {
	case lead == 2 && len(roles) == 2 && roles[1:] == c && result == n+roles[:1]:
	case lead == 2 && roles == c && result == n+c:
		g, ok := ws[0].Value()
		if !ok {
			return ""
		}
		group, kernels = g, append(shape.Shape{ws[0], one}, kernel...)
	case lead == 2 && len(roles) == 2 && roles[:1] == c && result == n+roles:
		g, ok := ws[0].Value()
		if !ok {
			return ""
		}
		group, kernels = g, append(shape.Shape{ws[0].Mul(ws[1]), one}, kernel...)
	case lead == 3 && len(roles) == 3 && roles[:1] == c[:1] && roles[2:] == c[1:] && result == n+roles[:2]:
		g, ok := ws[0].Value()
		// The reshape must have split the channels alone.
		s, t := x.sub(v.Type).Shape, x.arg(0).Shape
		if !ok || len(t) != len(s)+1 || t[0] != s[0] || !t[1].Mul(t[2]).Equal(s[1]) || !t[3:].Equal(s[2:]) {
			return ""
		}
		group, kernels = g, append(shape.Shape{ws[0].Mul(ws[1]), ws[2]}, kernel...)
	default:
		return ""
	}
	if !kernels.Equal(ws) {
		weight = x.reshape(weight, kernels)
	}
	y := x.na("Conv", append(w.attrs(), "group", group), x.vals[w.x], weight)
	if t := x.result(0).Shape; len(t) != rank+2 {
		y = x.reshape(y, t)
	}
	return y
}

// pooling writes the largest element of windows in f32 as MaxPool, or gives "".
func (x *exporter) pooling(o *ir.Op) string {
	v := o.Arg(0)
	w := windowsOf(v, -infinity)
	if o.Attrs.Str("kind", "") != "max" || o.Attrs.Bool("keep", false) || w == nil || !along(v, len(w.kernel)) || carrier(w.x.Type.Format) != format.F32 {
		return ""
	}
	axes := o.Attrs.Ints("axes")
	want := map[int]bool{}
	for i := range w.kernel {
		want[3+2*i] = true
	}
	for _, a := range axes {
		delete(want, axis(a, len(v.Type.Shape)))
	}
	if len(axes) != len(w.kernel) || len(want) > 0 {
		return ""
	}
	for _, d := range x.sub(v.Type).Shape {
		if n, ok := d.Value(); ok && n < 1 {
			return ""
		}
	}
	return x.na("MaxPool", w.attrs(), x.vals[w.x])
}

// sweep drops nodes of a graph that nothing reads, and gives what the others read from outside of it.
func sweep(g *pb.GraphProto) map[string]bool {
	read := map[string]bool{}
	for _, o := range g.Output {
		read[o.Name] = true
	}
	kept := g.Node[:0:0]
	for i := len(g.Node) - 1; i >= 0; i-- {
		n := g.Node[i]
		used := false
		for _, o := range n.Output {
			used = used || read[o]
		}
		if !used {
			continue
		}
		kept = append(kept, n)
		for _, in := range n.Input {
			read[in] = true
		}
		for _, a := range n.Attribute {
			if a.G != nil {
				for name := range sweep(a.G) {
					read[name] = true
				}
			}
		}
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	g.Node = kept
	return read
}

// unread drops nodes, constants and weights of the model that no result depends on.
func (x *exporter) unread() {
	read := sweep(x.graph)
	inits := x.graph.Initializer[:0:0]
	for _, t := range x.graph.Initializer {
		if read[t.Name] {
			inits = append(inits, t)
		}
	}
	x.graph.Initializer = inits
	weights := x.weights[:0:0]
	for _, w := range x.weights {
		if read[w.name] {
			weights = append(weights, w)
		}
	}
	x.weights = weights
}
