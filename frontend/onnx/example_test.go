package onnx

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
)

// noise gives n numbers between -scale and scale, always the same ones.
func noise(n int, seed uint32, scale float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = (float32(seed>>8)/(1<<23) - 1) * scale
	}
	return out
}

// digits is a small classifier of images of 8 by 8, written as an exporter would: the batch is a symbol, and the shape of the
// flattened features is computed in the graph.
func digits() *pb.ModelProto {
	p := model(17, ports(port("image", format.F32, "batch", 1, 8, 8)), ports(port("probability", format.F32, "batch", 10)),
		nd("Conv", s("image", "conv.weight", "conv.bias"), s("features"), "kernel_shape", []int64{3, 3}, "pads", []int64{1, 1, 1, 1}),
		nd("Relu", s("features"), s("positive")),
		nd("MaxPool", s("positive"), s("pooled"), "kernel_shape", []int64{2, 2}, "strides", []int64{2, 2}),
		nd("Shape", s("pooled"), s("shape"), "end", 1),
		nd("Concat", s("shape", "rest"), s("flat_shape"), "axis", 0),
		nd("Reshape", s("pooled", "flat_shape"), s("flat")),
		nd("Gemm", s("flat", "linear.weight", "linear.bias"), s("score"), "transB", 1),
		nd("Softmax", s("score"), s("probability"), "axis", -1),
	)
	p.ProducerName = "apogee"
	p.Graph.Name = "digits"
	p.Graph.Initializer = []*pb.TensorProto{
		initF("conv.weight", []int64{4, 1, 3, 3}, noise(36, 1, 0.5)...), initF("conv.bias", []int64{4}, noise(4, 2, 0.1)...),
		initF("linear.weight", []int64{10, 64}, noise(640, 3, 0.25)...), initF("linear.bias", []int64{10}, noise(10, 4, 0.1)...),
		init64("rest", []int64{1}, -1),
	}
	for i, n := range p.Graph.Node {
		n.Name = []string{"conv", "relu", "pool", "shape", "concat", "flatten", "linear", "softmax"}[i]
	}
	return p
}

// The example that the documents use is this model, with one image and what comes of it.
func TestExample(t *testing.T) {
	image := noise(2*64, 5, 1)
	in := make([]float64, len(image))
	for i, x := range image {
		in[i] = float64(x)
	}
	x := f32s(t, []int64{2, 1, 8, 8}, in...)
	y := ran(t, digits(), map[string]*tensor.Tensor{"image": x})["probability"]
	dir := filepath.Join(irtest.Root(t), "examples", "digits")
	for name, want := range map[string]proto.Message{
		"model.onnx":                  digits(),
		"test_data_set_0/input_0.pb":  tensorMessage(t, "image", x),
		"test_data_set_0/output_0.pb": tensorMessage(t, "probability", y),
	} {
		path := filepath.Join(dir, name)
		if irtest.Update() {
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(path), 0o777)
			}
			if err == nil {
				err = os.WriteFile(path, data, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := want.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s is not what the test makes; run it with -update (%v)", name, err)
		}
	}
}

func tensorMessage(t *testing.T, name string, x *tensor.Tensor) *pb.TensorProto {
	t.Helper()
	data, err := EncodeTensor(name, x)
	if err != nil {
		t.Fatal(err)
	}
	p := &pb.TensorProto{}
	if err := proto.Unmarshal(data, p); err != nil {
		t.Fatal(err)
	}
	return p
}
