package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// text is the function's text without positions.
func text(m *ir.Module) string {
	var out []string
	for _, l := range strings.Split(m.String(), "\n") {
		if at := strings.LastIndex(l, " @1"); at > 0 {
			l = l[:at] + strings.TrimLeft(l[at+3:], ":0123456789")
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// Shape arithmetic on a symbolic batch leaves nothing behind but the symbol.
func TestSymbolsSurvive(t *testing.T) {
	p := model(18, ports(port("x", format.F32, "N", 3, "H", 4)), ports(port("y", format.F32)),
		nd("Shape", s("x"), s("shape")),
		nd("Slice", s("shape", "zero", "one"), s("batch")),
		nd("Slice", s("shape", "two", "three"), s("height")),
		nd("Mul", s("height", "four"), s("area")),
		nd("Mul", s("area", "three"), s("all")),
		nd("Concat", s("batch", "all"), s("flat"), "axis", 0),
		nd("Reshape", s("x", "flat"), s("r")),
		nd("Shape", s("r"), s("rs")),
		nd("Gather", s("rs", "zeroth"), s("n")),
		nd("Unsqueeze", s("n", "zero"), s("n1")),
		nd("Equal", s("n1", "minus"), s("open")),
		nd("Where", s("open", "one", "n1"), s("rows")),
		nd("Concat", s("rows", "minus"), s("back"), "axis", 0),
		nd("Reshape", s("r", "back"), s("y")),
	)
	p.Graph.Initializer = []*pb.TensorProto{
		init64("zero", []int64{1}, 0), init64("one", []int64{1}, 1), init64("two", []int64{1}, 2), init64("three", []int64{1}, 3), init64("four", []int64{1}, 4),
		init64("zeroth", nil, 0), init64("minus", []int64{1}, -1),
	}
	_, mod := imported(t, p, Options{})
	got := text(mod)
	want := `%r = reshape(%x) {shape=[N,12*H]} : f32[N,12*H]`
	if !strings.Contains(got, want) || mod.NumOps() != 2 {
		t.Errorf("expected %s and return, found\n%s", want, got)
	}
}

// A shape that depends on a symbol in a way that cannot be followed names the symbol and the flag.
func TestSymbolInTheWay(t *testing.T) {
	p := model(18, ports(port("x", format.F32, "batch size", 5)), ports(port("y", format.F32)),
		nd("CenterCropPad", s("x", "n"), s("y")))
	p.Graph.Initializer = []*pb.TensorProto{init64("n", []int64{2}, 4, 4)}
	m := opened(t, p)
	_, err := m.Import(Options{})
	if err == nil || !strings.Contains(err.Error(), "--set batch_size=") {
		t.Fatalf("found %v", err)
	}
	if _, err := m.Import(Options{Bind: map[string]int64{"batch_size": 7}}); err != nil {
		t.Fatal(err)
	}
}

// What decides a shape is asked of the inputs, then of a run of what is there so far; without either every such value is listed.
func TestValuesThatDecideShapes(t *testing.T) {
	p := model(18, ports(port("x", format.F32, 6), port("shape", format.I64, 2)), ports(port("y", format.F32), port("z", format.I64)),
		nd("Reshape", s("x", "shape"), s("y")),
		nd("NonZero", s("x"), s("z")))
	m := opened(t, p)
	_, err := m.Import(Options{})
	for _, want := range []string{`operand 2 ("shape")`, `the input "shape"`, "the number of elements that are not zero", `computed from the inputs "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q in %v", want, err)
		}
	}
	out := ran(t, p, map[string]*tensor.Tensor{"x": f32s(t, []int64{6}, 0, 1, 0, 2, 3, 0), "shape": i64s(t, []int64{2}, 3, -1)})
	if got := out["y"].String(); got != "f32[3,2]" {
		t.Errorf("y is %s", got)
	}
	if v, _ := out["z"].I64s(); out["z"].String() != "i64[1,3]" || v[0] != 1 || v[1] != 3 || v[2] != 4 {
		t.Errorf("z is %s %v", out["z"], v)
	}
}

// Functions have attributes with defaults, overloads, operator sets and scopes of their own.
func TestFunctions(t *testing.T) {
	scale := &pb.FunctionProto{
		Domain: "mine", Name: "Scale", Input: s("v", "extra"), Output: s("w"), AttributeProto: []*pb.AttributeProto{attr("by", 3.0)},
		OpsetImport: []*pb.OperatorSetIdProto{{Version: 13}},
		Node: []*pb.NodeProto{
			{OpType: "Constant", Output: s("c"), Attribute: []*pb.AttributeProto{{Name: "value_float", RefAttrName: "by", Type: pb.AttributeProto_FLOAT}}},
			nd("Mul", s("v", "c"), s("w")),
		},
	}
	over := proto.Clone(scale).(*pb.FunctionProto)
	over.Overload = "neg"
	over.Node[1] = nd("Neg", s("v"), s("w"))
	call := nd("Scale", s("x"), s("a"), "by", 2.0)
	plain, neg := nd("Scale", s("a"), s("b")), nd("Scale", s("b"), s("y"))
	call.Domain, plain.Domain, neg.Domain, neg.Overload = "mine", "mine", "mine", "neg"
	p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), call, plain, neg)
	p.Functions = []*pb.FunctionProto{scale, over}
	p.OpsetImport = append(p.OpsetImport, &pb.OperatorSetIdProto{Domain: "mine", Version: 1})
	out := ran(t, p, map[string]*tensor.Tensor{"x": f32s(t, []int64{2}, 1, 2)})
	if v, _ := out["y"].F64s(); v[0] != -6 || v[1] != -12 {
		t.Errorf("found %v", v)
	}
}

// external writes a model whose weight lies at a place in another file.
func external(t *testing.T, dir string, data ...string) *pb.ModelProto {
	w := &pb.TensorProto{Name: "w", Dims: []int64{100}, DataType: 1, DataLocation: pb.TensorProto_EXTERNAL}
	for i := 0; i < len(data); i += 2 {
		w.ExternalData = append(w.ExternalData, &pb.StringStringEntryProto{Key: data[i], Value: data[i+1]})
	}
	p := model(18, ports(port("x", format.F32, 100)), ports(port("y", format.F32)), nd("Add", s("x", "w"), s("y")))
	p.Graph.Initializer = []*pb.TensorProto{w}
	raw, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "m.onnx"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExternalData(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "model")
	for _, d := range []string{dir, filepath.Join(dir, "sub")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	raw := make([]byte, 408)
	raw[8], raw[9], raw[10], raw[11] = 0, 0, 0x80, 0x3f
	for _, f := range []string{filepath.Join(root, "secret"), filepath.Join(dir, "w.bin"), filepath.Join(dir, "sub", "w.bin")} {
		if err := os.WriteFile(f, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(root, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		data []string
		want string // of the error; "" is none
	}{
		{[]string{"location", "w.bin", "offset", "8", "length", "400"}, ""},
		{[]string{"location", "sub/w.bin", "offset", "8"}, ""},
		{[]string{"location", "../secret", "offset", "8"}, "inside of the model's folder"},
		{[]string{"location", filepath.Join(root, "secret")}, "inside of the model's folder"},
		{[]string{"location", "sub/../../secret"}, "inside of the model's folder"},
		{[]string{"location", "link"}, "leads out of the model's folder"},
		{[]string{"location", "sub"}, "not a regular file"},
		{[]string{"location", "absent"}, "no such file"},
		{[]string{"location", ""}, "names no location"},
		{[]string{"location", "w.bin", "offset", "9"}, "asked of a file of 408"},
		{[]string{"location", "w.bin", "offset", "9223372036854775807"}, "asked of a file of 408"},
		{[]string{"location", "w.bin", "offset", "-1"}, "expected a number of bytes"},
		{[]string{"location", "w.bin", "length", "12"}, "its length is 12"},
	} {
		external(t, dir, c.data...)
		m, err := Open(filepath.Join(dir, "m.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Import(Options{})
		if c.want == "" {
			var w *tensor.Tensor
			if err == nil {
				w, err = m.Tensor("w")
			}
			if err != nil {
				t.Errorf("%v: %v", c.data, err)
			} else if v, _ := w.F64s(); v[0] != 1 || v[1] != 0 {
				t.Errorf("%v: the weight is %v", c.data, v[:2])
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: expected %q, found %v", c.data, c.want, err)
		}
		m.Close()
	}
}

// hostile are models that must be refused, each with a part of the message.
var hostile = []struct {
	name, want string
	p          func() *pb.ModelProto
}{
	{"unknown operator", "did you mean", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Rellu", s("x"), s("y")))
	}},
	{"later operator", "came with version 20", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Gelu", s("x"), s("y")))
	}},
	{"cycle", `read before node "b" gives it`, func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("b", format.F32)), nd("Add", s("x", "b"), s("a")), nd("Add", s("x", "a"), s("b")))
	}},
	{"nothing gives it", "nothing gives it", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Add", s("x", "q"), s("y")))
	}},
	{"output from nowhere", "no node gives it", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Neg", s("x"), s("z")))
	}},
	{"name twice", "given twice", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Neg", s("x"), s("y")), nd("Neg", s("x"), s("y")))
	}},
	{"input twice", "stands twice", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2), port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Neg", s("x"), s("y")))
	}},
	{"attribute twice", "given twice", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Elu", s("x"), s("y"), "alpha", 1.0, "alpha", 2.0))
	}},
	{"attribute type", "is of type STRING, expected FLOAT", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Elu", s("x"), s("y"), "alpha", "1"))
	}},
	{"too few operands", "operand 2 is missing", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Add", s("x"), s("y")))
	}},
	{"absurd dimensions", "does not fit an int64", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 1<<40, 1<<40)), ports(port("y", format.F32)), nd("Neg", s("x"), s("y")))
	}},
	{"negative dimension", "has size -5", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, -5)), ports(port("y", format.F32)), nd("Neg", s("x"), s("y")))
	}},
	{"wrong length", "takes 2 numbers, found 1", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Add", s("x", "w"), s("y")))
		p.Graph.Initializer = []*pb.TensorProto{initF("w", []int64{2}, 1)}
		return p
	}},
	{"huge tensor of few bytes", "takes 4000000000000 bytes, its raw data has 4", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Add", s("x", "w"), s("y")))
		p.Graph.Initializer = []*pb.TensorProto{{Name: "w", Dims: []int64{1e12}, DataType: 1, RawData: make([]byte, 4)}}
		return p
	}},
	{"unknown element type", "element type 99 is unknown", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Add", s("x", "w"), s("y")))
		p.Graph.Initializer = []*pb.TensorProto{{Name: "w", Dims: []int64{2}, DataType: 99, RawData: make([]byte, 4)}}
		return p
	}},
	{"recursive function", "calls itself", func() *pb.ModelProto {
		a, b := nd("B", s("x"), s("y")), nd("A", s("x"), s("y"))
		a.Domain, b.Domain = "f", "f"
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), a)
		p.Functions = []*pb.FunctionProto{
			{Domain: "f", Name: "A", Input: s("x"), Output: s("y"), Node: []*pb.NodeProto{a}},
			{Domain: "f", Name: "B", Input: s("x"), Output: s("y"), Node: []*pb.NodeProto{b}},
		}
		return p
	}},
	{"functions that double", "more than", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)))
		for i := range 40 {
			n := func(in, out string) *pb.NodeProto {
				if i == 0 {
					return nd("Neg", s(in), s(out))
				}
				c := nd("F"+string(rune('A'+i-1)), s(in), s(out))
				c.Domain = "f"
				return c
			}
			p.Functions = append(p.Functions, &pb.FunctionProto{Domain: "f", Name: "F" + string(rune('A'+i)), Input: s("x"), Output: s("y"),
				OpsetImport: p.OpsetImport, Node: []*pb.NodeProto{n("x", "m"), n("m", "y")}})
		}
		c := nd("F"+string(rune('A'+39)), s("x"), s("y"))
		c.Domain = "f"
		p.Graph.Node = []*pb.NodeProto{c}
		return p
	}},
	{"broadcast that does not fit", "Add", func() *pb.ModelProto {
		return model(18, ports(port("x", format.F32, 2), port("z", format.F32, 3)), ports(port("y", format.F32)), nd("Add", s("x", "z"), s("y")))
	}},
	{"reshape to billions", "has 1099511627776", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Reshape", s("x", "s"), s("y")))
		p.Graph.Initializer = []*pb.TensorProto{init64("s", []int64{1}, 1<<40)}
		return p
	}},
	{"mirrored padding of billions", "more than", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Pad", s("x", "s"), s("y"), "mode", "reflect"))
		p.Graph.Initializer = []*pb.TensorProto{init64("s", []int64{2}, 1<<39, 0)}
		return p
	}},
	{"training", "training is out of scope", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Dropout", s("x", "", "t"), s("y")))
		p.Graph.Initializer = []*pb.TensorProto{{Name: "t", DataType: 9, RawData: []byte{1}}}
		return p
	}},
	{"sequence input", "it is a sequence", func() *pb.ModelProto {
		p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Neg", s("x"), s("y")))
		p.Graph.Input[0].Type = &pb.TypeProto{Value: &pb.TypeProto_SequenceType{SequenceType: &pb.TypeProto_Sequence{}}}
		return p
	}},
}

func TestHostileModels(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			data, err := proto.Marshal(c.p())
			if err != nil {
				t.Fatal(err)
			}
			m, err := OpenBytes("test.onnx", data)
			if err == nil {
				_, err = m.Import(Options{MaxOps: 20_000})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("expected %q, found %v", c.want, err)
			}
		})
	}
}

// Every operator that is out of scope is listed, with its node and the reason, and one finding stands for several nodes.
func TestCheckListsAll(t *testing.T) {
	p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)),
		nd("Multinomial", s("x"), s("a")), nd("Nonsense", s("a"), s("b")), nd("Nonsense", s("b"), s("c")), nd("Relu", s("c"), s("y")))
	svm := nd("SVMClassifier", s("x"), s("z"))
	svm.Domain = "ai.onnx.ml"
	p.Graph.Node = append(p.Graph.Node, svm)
	l := opened(t, p).Check()
	got := l.Error()
	for _, want := range []string{"(a): error[ONNX001]: Multinomial", "random output", "(b): error[ONNX002]: Nonsense is not known", "the same in 1 more: c", "ai.onnx.ml.SVMClassifier", "classical machine learning"} {
		if !strings.Contains(got, want) {
			t.Errorf("expected %q in\n%s", want, got)
		}
	}
	if l.Errors() != 3 {
		t.Errorf("%d errors", l.Errors())
	}
}

// A file that is cut short or full of empty messages is refused before memory is taken for it.
func TestBrokenFiles(t *testing.T) {
	p := model(18, ports(port("x", format.F32, 100)), ports(port("y", format.F32)), nd("Add", s("x", "w"), s("y")))
	p.Graph.Initializer = []*pb.TensorProto{{Name: "w", Dims: []int64{100}, DataType: 1, RawData: make([]byte, 400)}}
	data, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if m, err := OpenBytes("cut.onnx", data[:n]); err == nil {
			_, _ = m.Import(Options{})
		}
	}
	empty := []byte{0x3a, 0x80, 0x80, 0x40} // a graph of 1 MiB
	for range 1 << 19 {
		empty = append(empty, 0x0a, 0x00) // an empty node
	}
	if _, err := OpenBytes("empty.onnx", empty); err == nil || !strings.Contains(err.Error(), "more messages than its size") {
		t.Errorf("found %v", err)
	}
	deep := []byte{}
	for range 300 { // nodes with a graph attribute each, one in the other
		g := append([]byte{0x0a}, length(len(deep))...)
		g = append(g, deep...)                                       // graph: node
		a := append([]byte{0x32}, length(len(g))...)                 // attribute: g
		a = append(a, g...)                                          //
		deep = append(append([]byte{0x2a}, length(len(a))...), a...) // node: attribute
	}
	g := append(append([]byte{0x0a}, length(len(deep))...), deep...)
	if _, err := OpenBytes("deep.onnx", append(append([]byte{0x3a}, length(len(g))...), g...)); err == nil || !strings.Contains(err.Error(), "nested") {
		t.Errorf("found %v", err)
	}
}

func length(n int) []byte {
	var out []byte
	for n >= 0x80 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(out, byte(n))
}

// The raw bytes of a model's weights are those of the file, not a copy.
func TestWeightsAreViews(t *testing.T) {
	p := model(18, ports(port("x", format.F32, 100)), ports(port("y", format.F32)), nd("Add", s("x", "w"), s("y")))
	p.Graph.Initializer = []*pb.TensorProto{{Name: "w", Dims: []int64{100}, DataType: 1, RawData: make([]byte, 400)}}
	data, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenBytes("test.onnx", data)
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.Tensor("w")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	raw[0] = 0x77 // the test's own memory
	found := false
	for _, b := range data {
		found = found || b == 0x77
	}
	if !found {
		t.Error("the weight is a copy")
	}
}

// Errors of an import are diagnostics with a code and the file's name.
func TestErrorsAreLocated(t *testing.T) {
	p := model(18, ports(port("x", format.F32, 2)), ports(port("y", format.F32)), nd("Flatten", s("x"), s("y"), "axis", 9))
	m := opened(t, p)
	_, err := m.Import(Options{})
	var d *diag.Diagnostic
	if !errors.As(err, &d) || d.Code != CodeNode || d.Where != "test.onnx (y)" || m.Node(d) != "y" {
		t.Errorf("found %#v", d)
	}
}

// A dimension's name that is arithmetic over dimensions of inputs is read as such, whatever the order; else it is a name.
func TestDimensionsAsExpressions(t *testing.T) {
	p := model(18, ports(port("y", format.F32, "2*N+1", 3), port("x", format.F32, "N", "a-b")), ports(port("z", format.F32)),
		nd("Slice", s("y", "zero", "two"), s("cut")), nd("Concat", s("y", "y"), s("z"), "axis", 0))
	p.Graph.Initializer = []*pb.TensorProto{init64("zero", []int64{1}, 0), init64("two", []int64{1}, 2)}
	m, mod := imported(t, p, Options{})
	if got := mod.Func("main").Inputs()[0].Type.String(); got != "f32[2*N+1,3]" {
		t.Errorf("y is %s", got)
	}
	if got := mod.Func("main").Inputs()[1].Type.String(); got != "f32[N,a_b]" {
		t.Errorf("x is %s", got)
	}
	if got := strings.Join(m.Symbols(), " "); got != "N a_b" {
		t.Errorf("symbols %s", got)
	}
	out := ran(t, p, map[string]*tensor.Tensor{"y": f32s(t, []int64{5, 3}, make([]float64, 15)...), "x": f32s(t, []int64{2, 1}, 0, 0)})
	if got := out["z"].String(); got != "f32[10,3]" {
		t.Errorf("z is %s", got)
	}
}

// A size that is computed in floats from a dimension wants the dimension's symbol.
func TestSizeFromDimension(t *testing.T) {
	p := model(18, ports(port("x", format.F32, "rows")), ports(port("y", format.F32)),
		nd("Shape", s("x"), s("shape")), nd("Cast", s("shape"), s("real"), "to", 1), nd("Mul", s("real", "half"), s("less")), nd("Ceil", s("less"), s("up")),
		nd("Cast", s("up"), s("size"), "to", 7), nd("CenterCropPad", s("x", "size"), s("y")))
	p.Graph.Initializer = []*pb.TensorProto{initF("half", nil, 0.5)}
	m := opened(t, p)
	if _, err := m.Import(Options{}); err == nil || !strings.Contains(err.Error(), "--set rows=…") {
		t.Errorf("found %v", err)
	}
	mod, err := m.Import(Options{Bind: map[string]int64{"rows": 5}})
	if err != nil {
		t.Fatal(err)
	}
	if got := mod.Func("main").Return().Arg(0).Type.String(); got != "f32[3]" {
		t.Errorf("y is %s", got)
	}
}

func TestUniqueBools(t *testing.T) {
	for axis, want := range map[int]string{-1: "bool[2]", 0: "bool[2,2]"} {
		n := nd("Unique", s("x"), s("y", "first", "inverse", "count"))
		if axis >= 0 {
			n.Attribute = append(n.Attribute, attr("axis", axis))
		}
		p := model(18, ports(port("x", format.Bool, 3, 2)), ports(port("y", format.Bool), port("count", format.I64)), n)
		out := ran(t, p, map[string]*tensor.Tensor{"x": num(t, format.Bool, []int64{3, 2}, 1, 0, 0, 1, 1, 0)})
		v, err := out["y"].I64s()
		if err != nil || out["y"].String() != want || v[0] != 0 {
			t.Errorf("axis %d: %s %v %v", axis, out["y"], v, err)
		}
	}
}

// Symbols that need not agree are no mistake of the model: they want values.
func TestSymbolsThatDiffer(t *testing.T) {
	p := model(18, ports(port("x", format.F32, "N"), port("z", format.F32, "M")), ports(port("y", format.F32)), nd("Add", s("x", "z"), s("y")))
	m := opened(t, p)
	_, err := m.Import(Options{})
	var d *diag.Diagnostic
	if !errors.As(err, &d) || d.Code != CodeValue || !strings.Contains(d.Help, "--set N=… --set M=…") {
		t.Errorf("found %v", err)
	}
	if _, err := m.Import(Options{Bind: map[string]int64{"N": 3, "M": 1}}); err != nil {
		t.Error(err)
	}
}
