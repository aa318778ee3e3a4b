package onnx

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// attr makes an attribute from a Go value.
func attr(name string, v any) *pb.AttributeProto {
	a := &pb.AttributeProto{Name: name}
	switch v := v.(type) {
	case int:
		a.Type, a.I = pb.AttributeProto_INT, int64(v)
	case float64:
		a.Type, a.F = pb.AttributeProto_FLOAT, float32(v)
	case string:
		a.Type, a.S = pb.AttributeProto_STRING, []byte(v)
	case []int64:
		a.Type, a.Ints = pb.AttributeProto_INTS, v
	case []float32:
		a.Type, a.Floats = pb.AttributeProto_FLOATS, v
	case *pb.TensorProto:
		a.Type, a.T = pb.AttributeProto_TENSOR, v
	case *pb.GraphProto:
		a.Type, a.G = pb.AttributeProto_GRAPH, v
	default:
		panic(fmt.Sprintf("attribute of %T", v))
	}
	return a
}

// nd makes a node: its operator, the names of its inputs and outputs, and attributes as names and values.
func nd(op string, in, out []string, attrs ...any) *pb.NodeProto {
	n := &pb.NodeProto{OpType: op, Input: in, Output: out}
	for i := 0; i < len(attrs); i += 2 {
		n.Attribute = append(n.Attribute, attr(attrs[i].(string), attrs[i+1]))
	}
	return n
}

func s(names ...string) []string { return names }

// port makes a graph's input or output; dimensions are numbers, names, or nil for none.
func port(name string, f format.Format, dims ...any) *pb.ValueInfoProto {
	sh := &pb.TensorShapeProto{}
	for _, d := range dims {
		dim := &pb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			dim.Value = &pb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			dim.Value = &pb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		sh.Dim = append(sh.Dim, dim)
	}
	return &pb.ValueInfoProto{Name: name, Type: &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: &pb.TypeProto_Tensor{ElemType: DataType(f), Shape: sh}}}}
}

// init64 makes an initialiser of int64.
func init64(name string, dims []int64, v ...int64) *pb.TensorProto {
	return &pb.TensorProto{Name: name, Dims: dims, DataType: 7, Int64Data: v}
}

// initF makes an initialiser of float.
func initF(name string, dims []int64, v ...float32) *pb.TensorProto {
	return &pb.TensorProto{Name: name, Dims: dims, DataType: 1, FloatData: v}
}

// model makes a model of one version of the standard operator set.
func model(opset int64, in, out []*pb.ValueInfoProto, nodes ...*pb.NodeProto) *pb.ModelProto {
	return &pb.ModelProto{
		IrVersion: 10, OpsetImport: []*pb.OperatorSetIdProto{{Version: opset}},
		Graph: &pb.GraphProto{Name: "g", Node: nodes, Input: in, Output: out},
	}
}

func ports(p ...*pb.ValueInfoProto) []*pb.ValueInfoProto { return p }

// opened reads a model from its bytes.
func opened(t testing.TB, p *pb.ModelProto) *Model {
	t.Helper()
	data, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenBytes("test.onnx", data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// imported imports a model, which must succeed, and verifies the module.
func imported(t testing.TB, p *pb.ModelProto, opt Options) (*Model, *ir.Module) {
	t.Helper()
	m := opened(t, p)
	mod, err := m.Import(opt)
	if err != nil {
		t.Fatal(err)
	}
	if l := ir.Verify(mod); l.HasErrors() {
		t.Fatalf("%s\n%s", l.Error(), mod)
	}
	return m, mod
}

// ran imports a model for inputs and evaluates it.
func ran(t testing.TB, p *pb.ModelProto, inputs map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	t.Helper()
	var m *Model
	run := func(mod *ir.Module) (map[string]*tensor.Tensor, error) {
		in := map[string]*tensor.Tensor{}
		for _, p := range mod.Func("main").Inputs() {
			in[p.Name] = inputs[p.Name]
		}
		e := &eval.Evaluator{Weights: m}
		out, _, err := e.Run(t.Context(), mod.Func("main"), in, nil)
		return out, err
	}
	m = opened(t, p)
	mod, err := m.Import(Options{Values: func(name string) *tensor.Tensor { return inputs[name] }, Eval: run})
	if err != nil {
		t.Fatal(err)
	}
	if l := ir.Verify(mod); l.HasErrors() {
		t.Fatal(l.Error())
	}
	out, err := run(mod)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func f32s(t testing.TB, dims []int64, v ...float64) *tensor.Tensor {
	t.Helper()
	return num(t, format.F32, dims, v...)
}

func num(t testing.TB, f format.Format, dims []int64, v ...float64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.FromF64(f, dims, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func i64s(t testing.TB, dims []int64, v ...int64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.FromI64(format.I64, dims, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
