package onnx

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// The first versions of Tile and Split hold counts, axes and sizes in the data's float format.
func TestCountsInFloats(t *testing.T) {
	x, err := tensor.FromF64(format.F32, []int64{1, 3}, []float64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		node  *pb.NodeProto
		inits []*pb.TensorProto
		want  string
	}{
		{nd("Tile", s("x", "n", "a"), s("y")), []*pb.TensorProto{initF("n", []int64{1}, 2), initF("a", []int64{1}, 1)}, "[1 2 3 1 2 3]"},
		{nd("Split", s("x", "n"), s("z", "y"), "axis", 1), []*pb.TensorProto{initF("n", []int64{2}, 1, 2)}, "[2 3]"},
	} {
		p := model(1, ports(port("x", format.F32, 1, 3)), ports(port("y", format.F32)), tt.node)
		p.Graph.Initializer = tt.inits
		y, err := ran(t, p, map[string]*tensor.Tensor{"x": x})["y"].F64s()
		if err != nil || fmt.Sprint(y) != tt.want {
			t.Errorf("%s: expected %s, found %v, %v", tt.node.OpType, tt.want, y, err)
		}
	}
}

// Padding is never where the largest element stands, not even where that is as low as its format goes.
func TestMaxPoolIndexOfLowest(t *testing.T) {
	x, err := tensor.FromF64(format.U8, []int64{1, 1, 3}, []float64{0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	p := model(22, ports(port("x", format.U8, 1, 1, 3)), ports(port("v", format.U8), port("y", format.I64)),
		nd("MaxPool", s("x"), s("v", "y"), "kernel_shape", []int64{2}, "auto_pad", "SAME_LOWER"))
	y, err := ran(t, p, map[string]*tensor.Tensor{"x": x})["y"].F64s()
	if err != nil || fmt.Sprint(y) != "[0 0 1]" {
		t.Errorf("expected [0 0 1], found %v, %v", y, err)
	}
}

// Places that come of f32 scales are f32: 1.5/0.6 less a half is 2 there, and a little less in f64.
func TestResizeOnBoundary(t *testing.T) {
	x, err := tensor.FromF64(format.F32, []int64{5}, []float64{0, 1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	p := model(19, ports(port("x", format.F32, 5)), ports(port("y", format.F32)), nd("Resize", s("x", "", "k"), s("y"), "nearest_mode", "floor"))
	p.Graph.Initializer = []*pb.TensorProto{initF("k", []int64{1}, 0.6)}
	y, err := ran(t, p, map[string]*tensor.Tensor{"x": x})["y"].F64s()
	if err != nil || fmt.Sprint(y) != "[0 2 3]" {
		t.Errorf("expected [0 2 3], found %v, %v", y, err)
	}
}

// Small files that mean huge modules are refused before they are made.
func TestHugeFromSmall(t *testing.T) {
	swap := &pb.GraphProto{Name: "b", Input: ports(port("i", format.I64), port("c", format.Bool), port("p", format.F32, 2, 3), port("q", format.F32)),
		Output: ports(port("c", format.Bool), port("q", format.F32), port("p", format.F32, 2, 3))}
	var doubling []*pb.FunctionProto
	for i := range 40 {
		next := fmt.Sprintf("f%d", i+1)
		call := func(in, out string) *pb.NodeProto { c := nd(next, s(in), s(out)); c.Domain = "f"; return c }
		nodes := []*pb.NodeProto{call("a", "q"), call("q", "b")}
		if i == 39 {
			nodes = []*pb.NodeProto{nd("Neg", s("a"), s("b"))}
		}
		doubling = append(doubling, &pb.FunctionProto{Name: fmt.Sprintf("f%d", i), Domain: "f", Input: s("a"), Output: s("b"), Node: nodes,
			OpsetImport: []*pb.OperatorSetIdProto{{Version: 18}, {Domain: "f", Version: 1}}})
	}
	first := nd("f0", s("x"), s("y"))
	first.Domain = "f"
	for _, tt := range []struct {
		name  string
		nodes []*pb.NodeProto
		inits []*pb.TensorProto
		want  string
	}{
		{"resize", []*pb.NodeProto{nd("Resize", s("x", "", "", "n"), s("y"))}, []*pb.TensorProto{init64("n", []int64{2}, 1<<30, 1<<30)}, "is resized to 1073741824 elements"},
		{"range", []*pb.NodeProto{nd("Range", s("a", "b", "c"), s("r")), nd("Cast", s("r"), s("y"), "to", 1)},
			[]*pb.TensorProto{init64("a", nil, 0), init64("b", nil, 1<<62), init64("c", nil, 1)}, "more elements than any memory"},
		{"rounds", []*pb.NodeProto{nd("ReduceSum", s("x"), s("r"), "keepdims", 0), nd("Loop", s("m", "", "x", "r"), s("y", "z"), "body", swap)},
			[]*pb.TensorProto{init64("m", nil, math.MaxInt64)}, "rounds that are written out"},
		{"functions", []*pb.NodeProto{first}, nil, "those of functions"},
	} {
		p := model(18, ports(port("x", format.F32, 2, 3)), ports(port("y", format.F32)), tt.nodes...)
		p.Graph.Initializer, p.Functions = tt.inits, nil
		if tt.name == "functions" {
			p.Functions = doubling
			p.OpsetImport = append(p.OpsetImport, &pb.OperatorSetIdProto{Domain: "f", Version: 1})
		}
		_, err := opened(t, p).Import(Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: expected an error with %q, found %v", tt.name, tt.want, err)
		}
	}
}

// Branches of different shapes are no mistake: the condition must be known, and what it needs is named.
func TestBranchesThatDiffer(t *testing.T) {
	then := &pb.GraphProto{Name: "t", Output: ports(port("a", format.F32)), Node: []*pb.NodeProto{nd("ReduceSum", s("x"), s("a"), "keepdims", 0)}}
	other := &pb.GraphProto{Name: "e", Output: ports(port("b", format.F32)), Node: []*pb.NodeProto{nd("Neg", s("x"), s("b"))}}
	p := model(18, ports(port("x", format.F32, "n", 3)), ports(port("y", format.F32)),
		nd("Size", s("x"), s("size")), nd("Less", s("size", "six"), s("c")), nd("If", s("c"), s("y"), "then_branch", then, "else_branch", other))
	p.Graph.Initializer = []*pb.TensorProto{init64("six", nil, 6)}
	_, err := opened(t, p).Import(Options{})
	var d *diag.Diagnostic
	if !errors.As(err, &d) || d.Code != CodeValue {
		t.Fatalf("expected %s, found %v", CodeValue, err)
	}
	imported(t, p, Options{Bind: map[string]int64{"n": 1}})
	imported(t, p, Options{Bind: map[string]int64{"n": 5}})
}
