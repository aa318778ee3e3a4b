package onnx

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// FuzzOpen reads and imports arbitrary bytes: there is an error or a module that verifies, and never a panic.
func FuzzOpen(f *testing.F) {
	for _, c := range hostile {
		if data, err := proto.Marshal(c.p()); err == nil && len(data) < 1<<14 {
			f.Add(data)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		if data, err := proto.Marshal(randomModel(r)); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := OpenBytes("fuzz.onnx", data)
		if err != nil {
			return
		}
		try(t, m)
	})
}

// FuzzNodes imports models of random nodes: every operator with operands, attributes and constants of all kinds, most of which do
// not fit it. What imports verifies and, where it is small, runs.
func FuzzNodes(f *testing.F) {
	for seed := range uint64(400) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		data, err := proto.Marshal(randomModel(r))
		if err != nil {
			t.Skip()
		}
		m, err := OpenBytes("fuzz.onnx", data)
		if err != nil {
			return
		}
		try(t, m)
	})
}

// try imports a model and runs what comes of it.
func try(t *testing.T, m *Model) {
	run := func(mod *ir.Module) (map[string]*tensor.Tensor, error) {
		f := mod.Func("main")
		in := map[string]*tensor.Tensor{}
		for _, p := range f.Inputs() {
			s, err := p.Type.Shape.Eval(nil)
			if err != nil {
				return nil, err
			}
			if n, _, err := tensor.Count(p.Type.Format, s); err != nil || n > 1<<12 {
				return nil, errNoRun
			}
			x, err := tensor.New(p.Type.Format, s)
			if err != nil {
				return nil, err
			}
			in[p.Name] = x
		}
		if !small(mod) {
			return nil, errNoRun
		}
		out, _, err := (&eval.Evaluator{Weights: m}).Run(t.Context(), f, in, nil)
		return out, err
	}
	mod, err := m.Import(Options{MaxOps: 5000, Eval: run})
	if err != nil {
		return
	}
	if l := ir.Verify(mod); l.HasErrors() {
		t.Fatalf("the module does not verify: %s\n%s", l.Error(), mod)
	}
	_, _ = run(mod)
}

// small says whether a module can be evaluated in little time.
func small(mod *ir.Module) bool {
	total := int64(0)
	for _, f := range mod.Funcs {
		f.Body.Walk(func(o *ir.Op) {
			for _, r := range o.Results() {
				n := int64(1)
				for _, d := range r.Type.Shape {
					v, ok := d.Value()
					if !ok || v > 1<<12 {
						n = 1 << 20
						break
					}
					if n *= v; n > 1<<20 {
						break
					}
				}
				total = min(total+n, 1<<40)
			}
		})
	}
	return total < 1<<14
}

// attrNames are attributes that operators have, with the kinds of values they take: f, i, s, F, I, t.
var attrNames = map[string]string{
	"axis": "i", "axes": "I", "perm": "I", "alpha": "f", "beta": "f", "gamma": "f", "bias": "f", "lambd": "f", "to": "i", "dtype": "i", "k": "i", "keepdims": "i",
	"noop_with_empty_axes": "i", "transA": "i", "transB": "i", "broadcast": "i", "blocksize": "i", "mode": "s", "direction": "s", "equation": "s", "epsilon": "f",
	"kernel_shape": "I", "strides": "I", "dilations": "I", "pads": "I", "auto_pad": "s", "group": "i", "ceil_mode": "i", "count_include_pad": "i", "output_padding": "I",
	"output_shape": "I", "p": "i", "starts": "I", "ends": "I", "split": "I", "num_outputs": "i", "shape": "I", "value_int": "i", "value_ints": "I", "value_float": "f",
	"value_floats": "F", "value": "t", "start": "i", "end": "i", "largest": "i", "sorted": "i", "exclusive": "i", "reverse": "i", "upper": "i", "fmod": "i", "approximate": "s",
	"hidden_size": "i", "activations": "S", "layout": "i", "linear_before_reset": "i", "clip": "f", "batch_dims": "i", "reduction": "s", "saturate": "i", "round_mode": "s",
	"block_size": "i", "q_num_heads": "i", "kv_num_heads": "i", "is_causal": "i", "scale": "f", "softcap": "f", "num_heads": "i", "interleaved": "i", "size": "i",
	"coordinate_transformation_mode": "s", "nearest_mode": "s", "antialias": "i", "exclude_outside": "i", "align_corners": "i", "padding_mode": "s", "onesided": "i", "inverse": "i",
	"batch_axis": "i", "time_axis": "i", "training_mode": "i", "spatial": "i", "max": "f", "min": "f", "select_last_index": "i", "allowzero": "i", "stash_type": "i",
	"output_height": "i", "output_width": "i", "sampling_ratio": "i", "spatial_scale": "f", "pooled_shape": "I", "num_scan_inputs": "i", "detect_negative": "i", "detect_positive": "i",
}

var words = []string{"constant", "reflect", "edge", "wrap", "linear", "cubic", "nearest", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "LEFT", "RIGHT", "forward", "reverse",
	"bidirectional", "add", "mul", "max", "min", "none", "tanh", "DCR", "CRD", "ij,jk->ik", "...i->...", "ii->i", "i,j", "up", "down", "half_pixel", "asymmetric", "avg", "zeros", ""}

// randomModel is a few random nodes over random inputs.
func randomModel(r *rand.Rand) *pb.ModelProto {
	version := 20 + r.Int64N(8)
	if r.IntN(3) == 0 {
		version = 1 + r.Int64N(28)
	}
	p := &pb.ModelProto{IrVersion: 10, OpsetImport: []*pb.OperatorSetIdProto{{Version: version}, {Domain: "ai.onnx.preview", Version: 1}}, Graph: randomGraph(r, 0, nil)}
	return p
}

var randomFormats = []format.Format{format.F32, format.F32, format.F32, format.I64, format.I64, format.Bool, format.F16, format.BF16, format.F64, format.I32, format.U8, format.I8, format.I4, format.F8E4M3FN, format.U64}

func randomGraph(r *rand.Rand, depth int, outer []string) *pb.GraphProto {
	g := &pb.GraphProto{Name: "g"}
	names := append([]string{}, outer...)
	prefix := string(rune('a' + depth))
	fresh := func() string {
		n := prefix + string(rune('0'+len(names)%60))
		names = append(names, n)
		return n
	}
	// One format and a few shapes are common, so that operands often fit each other.
	common := randomFormats[r.IntN(len(randomFormats))]
	anyFormat := func() format.Format {
		if r.IntN(4) > 0 {
			return common
		}
		return randomFormats[r.IntN(len(randomFormats))]
	}
	var pool [3][]int64
	for i := range pool {
		for range r.IntN(5) {
			pool[i] = append(pool[i], []int64{0, 1, 1, 2, 3, 4, 4}[r.IntN(7)])
		}
	}
	dims := func() (ports []any, sizes []int64) {
		for _, n := range pool[r.IntN(len(pool))] {
			sizes = append(sizes, n)
			switch r.IntN(12) {
			case 0:
				ports = append(ports, "N")
			case 1:
				ports = append(ports, nil)
			default:
				ports = append(ports, int(n))
			}
		}
		return ports, sizes
	}
	for range 1 + r.IntN(3) {
		d, _ := dims()
		g.Input = append(g.Input, port(fresh(), anyFormat(), d...))
	}
	for range r.IntN(4) {
		_, d := dims()
		g.Initializer = append(g.Initializer, randomTensor(r, fresh(), anyFormat(), d))
	}
	ops := Operators()
	for range 1 + r.IntN(3) {
		row := ops[r.IntN(len(ops))]
		n := &pb.NodeProto{OpType: row.Op, Domain: row.Domain}
		for range []int{1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7}[r.IntN(11)] {
			if len(names) > 0 && r.IntN(12) > 0 {
				n.Input = append(n.Input, names[r.IntN(len(names))])
			} else {
				n.Input = append(n.Input, "")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(attrNames)) {
			if r.IntN(12) == 0 {
				n.Attribute = append(n.Attribute, randomAttr(r, name, attrNames[name]))
			}
		}
		if depth < 2 {
			for _, name := range []string{"body", "then_branch", "else_branch"} {
				if r.IntN(4) > 0 && (row.Op == "If" || row.Op == "Loop" || row.Op == "Scan") {
					n.Attribute = append(n.Attribute, attr(name, randomGraph(r, depth+1, names)))
				}
			}
		}
		var outs []string
		for range []int{1, 1, 1, 1, 1, 2, 3}[r.IntN(7)] {
			outs = append(outs, fresh())
		}
		n.Output = outs
		g.Node = append(g.Node, n)
	}
	for range 1 + r.IntN(2) {
		n := names[len(names)-1-r.IntN(min(3, len(names)))]
		o := port(n, common)
		o.Type.GetTensorType().ElemType = 0
		g.Output = append(g.Output, o)
	}
	return g
}

func randomTensor(r *rand.Rand, name string, f format.Format, d []int64) *pb.TensorProto {
	if r.IntN(3) == 0 { // what decides shapes: a short vector of integers
		n := r.Int64N(6)
		t := init64(name, []int64{n})
		for range n {
			t.Int64Data = append(t.Int64Data, randomInt(r))
		}
		return t
	}
	_, size, _ := tensor.Count(f, d)
	t := &pb.TensorProto{Name: name, Dims: d, DataType: DataType(f), RawData: make([]byte, size)}
	for i := range t.RawData {
		t.RawData[i] = byte(r.IntN(256))
	}
	return t
}

func randomInt(r *rand.Rand) int64 {
	switch r.IntN(12) {
	case 0:
		return -1 << 63
	case 1:
		return 1<<63 - 1
	case 2:
		return r.Int64N(1 << 40)
	}
	return r.Int64N(8) - 3
}

func randomAttr(r *rand.Rand, name, kind string) *pb.AttributeProto {
	ints := func() []int64 {
		v := []int64{}
		for range r.IntN(6) {
			v = append(v, randomInt(r))
		}
		return v
	}
	switch kind {
	case "f":
		return attr(name, r.NormFloat64()*2)
	case "i":
		return attr(name, int(randomInt(r)))
	case "s":
		return attr(name, words[r.IntN(len(words))])
	case "F":
		return attr(name, []float32{float32(r.NormFloat64())})
	case "t":
		return attr(name, randomTensor(r, "", randomFormats[r.IntN(len(randomFormats))], []int64{1 + r.Int64N(3)}))
	case "S":
		a := &pb.AttributeProto{Name: name, Type: pb.AttributeProto_STRINGS}
		for range r.IntN(7) {
			a.Strings = append(a.Strings, []byte([]string{"Sigmoid", "Tanh", "Relu", "Affine", "x"}[r.IntN(5)]))
		}
		return a
	}
	return attr(name, ints())
}
