package export_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/frontend/onnx"
	"apogee/frontend/onnx/export"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/tensor"
)

// Every op of the table has a row, but for the two that end blocks.
func TestTableIsComplete(t *testing.T) {
	has := map[*op.Info]bool{}
	for _, r := range export.Rows() {
		has[r.Op] = true
		if !strings.HasSuffix(r.Doc, ".") {
			t.Errorf("%s: the sentence %q has no end", r.Op.Name, r.Doc)
		}
	}
	for _, i := range op.All() {
		if !has[i] && !i.Terminator {
			t.Errorf("%s has no row", i.Name)
		}
	}
}

// What ONNX cannot hold is listed at once, with op and place.
func TestErrors(t *testing.T) {
	m := irtest.Parse(t, `module @m {
  files ["m.mg"]
  func entry @f(%x: f32[2*T], %c: hif8[4]) -> (y, z) @1:1:1 {
    %0 = cast(%x) {format=tf32} : tf32[2*T] @1:2:3
    %1 = cast(%0) {format=f32} : f32[2*T] @1:2:9
    %2 = cast(%c) {format=f32} : f32[4] @1:3:3
    %3 = cast(%2) {format=hif8} : hif8[4] @1:3:9
    %4 = cast(%3) {format=f32} : f32[4] @1:3:20
    return(%1, %4) @1:4:1
  }
}
`)
	_, err := export.Convert(m.Func("f"), export.Options{})
	if err == nil || !strings.Contains(err.Error(), "input c is hif8[4]: ONNX has no element type for this format") {
		t.Errorf("found %v", err)
	}
	m = irtest.Parse(t, `module @m {
  files ["m.mg"]
  func entry @f(%x: f32[2*T], %c: f32[4]) -> (y, z, n) @1:1:1 {
    %0 = cast(%x) {format=tf32} : tf32[2*T] @1:2:3
    %1 = cast(%0) {format=f32} : f32[2*T] @1:2:9
    %3 = cast(%c) {format=hif8} : hif8[4] @1:3:9
    %4 = cast(%3) {format=f32} : f32[4] @1:3:20
    %w = weight {name="w"} : f32[4] @1:3:30
    %5 = add(%4, %w) : f32[4] @1:3:32
    %n = dim {of=T} : i32[] @1:5:2
    return(%1, %5, %n) @1:4:1
  }
}
`)
	_, err = export.Convert(m.Func("f"), export.Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"cast: rounding to tf32: ONNX has no cast to this format", "m.mg:2:3", "cast: rounding to hif8", "m.mg:3:9",
		"the symbol T is no dimension of an input", "--set T=", "the model has no weights",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("expected %q in\n%s", want, err)
		}
	}
	_, err = export.Convert(m.Func("f"), export.Options{Bind: map[string]int64{"T": 3}, Weights: checkpoint{"w": zeros(t, format.F32, 5)}})
	if err == nil || !strings.Contains(err.Error(), "weight w: expected f32[4], found f32[5]") || strings.Contains(err.Error(), "symbol") {
		t.Errorf("found %v", err)
	}
}

func zeros(t testing.TB, f format.Format, dims ...int64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.New(f, dims)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func ints(t testing.TB, f format.Format, v ...int64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.FromI64(f, []int64{int64(len(v))}, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// edges are integers at which an op could go wrong.
func edges(f format.Format) []int64 {
	lo, hi := f.MinInt(), f.MaxInt()
	return []int64{0, 1, -1, 2, 3, -3, 7, 8, 31, 32, 63, 64, lo, lo + 1, hi, hi - 1, -128, 100}
}

// Integers at their edges: division by zero and of the least by -1, shifts by the width and more, wrapping, powers.
func TestIntegerEdges(t *testing.T) {
	for _, f := range []format.Format{format.I4, format.U4, format.I8, format.U8, format.I16, format.U16, format.I32, format.U32, format.I64, format.U64} {
		var a, b []int64
		for _, x := range edges(f) {
			for _, y := range edges(f) {
				a, b = append(a, x), append(b, y)
			}
		}
		body := ""
		names := ""
		for _, o := range []string{"add", "sub", "mul", "div", "rem", "pow", "max", "min", "and", "or", "xor", "shl", "shr"} {
			body += "    %" + o + " = " + o + "(%a, %b) : " + f.String() + "[N]\n"
			names += ", %" + o
		}
		for _, o := range []string{"neg", "abs", "sign", "not"} {
			body += "    %" + o + " = " + o + "(%a) : " + f.String() + "[N]\n"
			names += ", %" + o
		}
		for _, o := range []string{"eq", "ne", "lt", "le", "gt", "ge"} {
			body += "    %" + o + " = " + o + "(%a, %b) : bool[N]\n"
			names += ", %" + o
		}
		for _, to := range []string{"i4", "u8", "i16", "i32", "u32", "i64", "u64", "f32", "f64", "bf16", "bool"} {
			if to != f.String() {
				body += "    %to" + to + " = cast(%a) {format=" + to + "} : " + to + "[N]\n"
				names += ", %to" + to
			}
		}
		list := strings.ReplaceAll(names[2:], "%", "")
		m := irtest.Parse(t, "module @m {\n  func entry @f(%a: "+f.String()+"[N], %b: "+f.String()+"[N]) -> ("+list+") {\n"+body+"    return("+names[2:]+")\n  }\n}\n")
		in := map[string]*tensor.Tensor{"a": ints(t, f, a...), "b": ints(t, f, b...)}
		roundTrip(t, f.String(), m, in)
	}
}

// roundTrip holds a module against itself after export and import.
func roundTrip(t *testing.T, name string, m *ir.Module, in map[string]*tensor.Tensor) {
	t.Run(name, func(t *testing.T) {
		e := &eval.Evaluator{}
		want, _, err := e.Run(context.Background(), m.Func("f"), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, got := imported(t, converted(t, m.Func("f"), export.Options{}), in)
		same(t, m, got, want)
	})
}

// Floats to integers saturate, NaN becomes 0; to narrow floats they round, overflow or saturate.
func TestFloatEdges(t *testing.T) {
	inf := []float64{0, -0.5, 0.5, 1.5, -1.5, 2.5, 126.9, 127.5, 128, -128.9, -129, 255.9, 256, 447, 460, 500, 65519, 65520, 7e4, 2147483520, 2147483648, -2147483648, -3e9,
		4294967040, 5e9, 9.2e18, 9.3e18, -9.3e18, 1.8e19, 2e19, 1e30, -1e30, 1e-8, 3e-6, 3, 6, 0x1p-127, 0x1.8p-127, 0x1.9p-127, 0x1p-130, 0x1p127, 0x1.8p127}
	x, err := tensor.FromF64(format.F64, []int64{int64(len(inf))}, inf)
	if err != nil {
		t.Fatal(err)
	}
	body, names := "    %s = cast(%x) {format=f32} : f32[N]\n    %z = sub(%x, %x) : f64[N]\n    %nan = div(%z, %z) : f64[N]\n", ""
	for _, to := range []string{"i4", "u4", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool", "f32", "bf16", "f16", "f8e4m3fn", "f8e5m2", "f8e8m0"} {
		for _, v := range []string{"x", "s", "nan"} {
			if v == "s" && to == "f32" {
				continue
			}
			body += "    %" + v + to + " = cast(%" + v + ") {format=" + to + "} : " + to + "[N]\n"
			names += ", %" + v + to
			if to == "f8e8m0" { // a logarithm shows which power of two it is, however small
				body += "    %wide" + v + " = cast(%" + v + to + ") {format=f32} : f32[N]\n    %log" + v + " = log(%wide" + v + ") : f32[N]\n"
				names += ", %log" + v
			}
			if strings.HasPrefix(to, "f8") || to == "bf16" || to == "f16" {
				body += "    %sat" + v + to + " = cast(%" + v + ") {format=" + to + ", saturate=true} : " + to + "[N]\n"
				names += ", %sat" + v + to
			}
		}
	}
	m := irtest.Parse(t, "module @m {\n  func entry @f(%x: f64[N]) -> ("+strings.ReplaceAll(names[2:], "%", "")+") {\n"+body+"    return("+names[2:]+")\n  }\n}\n")
	roundTrip(t, "casts", m, map[string]*tensor.Tensor{"x": x})
}

// Bits read as another format.
func TestBitcast(t *testing.T) {
	m := irtest.Parse(t, `module @m {
  func entry @f(%a: i32[N], %b: u8[N]) -> (f, i, s, u) {
    %f = bitcast(%a) {format=f32} : f32[N]
    %i = bitcast(%f) {format=u32} : u32[N]
    %s = bitcast(%b) {format=i8} : i8[N]
    %u = bitcast(%s) {format=u8} : u8[N]
    return(%f, %i, %s, %u)
  }
}
`)
	roundTrip(t, "bitcast", m, map[string]*tensor.Tensor{"a": ints(t, format.I32, 0, 1, -5, 1078530011), "b": ints(t, format.U8, 0, 127, 128, 255)})
}

// With SetExternal the weights lie in a file beside the model, at aligned places, and both are the same every time.
func TestExternalData(t *testing.T) {
	m := irtest.Parse(t, `module @m {
  func entry @f(%x: f32[70]) -> (y) {
    %a = weight {name="a"} : f32[70]
    %b = weight {name="l.{}", stack=3} : f32[3,70]
    %0 = add(%x, %a) : f32[70]
    %y = mul(%b, %0) : f32[3,70]
    return(%y)
  }
}
`)
	w := checkpoint{}
	for i, n := range []string{"a", "l.0", "l.1", "l.2"} {
		x := zeros(t, format.F32, 70)
		b, _ := x.Bytes()
		for k := range b {
			b[k] = byte(k/4%50+i) & 0x3f
		}
		w[n] = x
	}
	file, err := export.Convert(m.Func("f"), export.Options{Name: "m", Weights: w})
	if err != nil {
		t.Fatal(err)
	}
	file.SetExternal("m.onnx.data")
	dir := t.TempDir()
	var model, data bytes.Buffer
	if err := file.Write(&model); err != nil {
		t.Fatal(err)
	}
	if err := file.WriteData(&data); err != nil {
		t.Fatal(err)
	}
	if n, _ := file.Size(); n != int64(model.Len()) || int64(data.Len()) < file.WeightBytes() {
		t.Errorf("%d and %d bytes, told %d and %d", model.Len(), data.Len(), n, file.WeightBytes())
	}
	for name, b := range map[string][]byte{"m.onnx": model.Bytes(), "m.onnx.data": data.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o, err := onnx.Open(filepath.Join(dir, "m.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	mod, err := o.Import(onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*tensor.Tensor{"x": zeros(t, format.F32, 70)}
	got, _, err := (&eval.Evaluator{Weights: o}).Run(context.Background(), mod.Func("main"), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := (&eval.Evaluator{Weights: w}).Run(context.Background(), m.Func("f"), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, m, got, want)

	ctx, stop := context.WithCancel(context.Background())
	file, err = export.Convert(m.Func("f"), export.Options{Weights: w, Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := file.Write(&bytes.Buffer{}); err != context.Canceled {
		t.Errorf("a cancelled export: %v", err)
	}
}

// Contractions and largest elements of windows become Conv and MaxPool, their pads included, and nothing is left of the windows.
func TestWindowsBecomeConv(t *testing.T) {
	for _, c := range []struct{ name, text, ops string }{
		{"plain", `module @m {
  func entry @f(%x: f32[B,3,9,8], %w: f32[4,3,3,2]) -> (y) {
    %0 = constant {value=f32[] 0} : f32[]
    %p = pad(%x, %0) {low=[0,0,1,0], high=[0,0,2,1]} : f32[B,3,12,9]
    %a = window(%p) {axis=2, size=3, stride=2} : f32[B,3,5,3,9]
    %b = window(%a) {axis=4, size=2, dilation=3} : f32[B,3,5,3,6,2]
    %y = einsum(%b, %w) {spec="nchijk,mcik->nmhj"} : f32[B,4,5,6]
    return(%y)
  }
}
`, "Conv,Identity"},
		{"depthwise", `module @m {
  func entry @f(%x: bf16[2,3,9], %w: bf16[3,4]) -> (y) {
    %a = window(%x) {axis=2, size=4} : bf16[2,3,6,4]
    %y = einsum(%a, %w) {spec="ngij,gj->ngi"} : bf16[2,3,6]
    return(%y)
  }
}
`, "Cast*5,Conv,Reshape"},
		{"pool", `module @m {
  func entry @f(%x: f32[2,3,9]) -> (y) {
    %0 = constant {value=f32[] -inf} : f32[]
    %p = pad(%x, %0) {low=[0,0,1], high=[0,0,1]} : f32[2,3,11]
    %a = window(%p) {axis=2, size=4, stride=3} : f32[2,3,3,4]
    %y = reduce(%a) {kind="max", axes=[-1]} : f32[2,3,3]
    return(%y)
  }
}
`, "Identity,MaxPool"},
		{"other order", `module @m {
  func entry @f(%x: f32[2,9,3], %w: f32[4,3,2]) -> (y) {
    %a = window(%x) {axis=1, size=2} : f32[2,8,2,3]
    %y = einsum(%a, %w) {spec="nhkc,mck->nmh"} : f32[2,4,8]
    return(%y)
  }
}
`, "Add,Einsum,Gather,Identity,Mul*2,Reshape"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := irtest.Parse(t, c.text)
			data := converted(t, m.Func("f"), export.Options{})
			o, err := onnx.OpenBytes("m.onnx", data)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.OpTypes(); got != c.ops {
				t.Errorf("the nodes are %s, expected %s", got, c.ops)
			}
			_, _, in := given(t, m.Func("f"), 3)
			want, _, err := (&eval.Evaluator{}).Run(context.Background(), m.Func("f"), in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, got := imported(t, data, in)
			same(t, m, got, want)
		})
	}
}

// Names of inputs, states and results are those of the entry; a result called like an input is told apart.
func TestNames(t *testing.T) {
	m := irtest.Parse(t, `module @m {
  func entry @f(%x: f32[2], state %kv: f32[2]) -> (x, y) {
    %y = add(%x, %kv) : f32[2]
    return(%x, %y, %y)
  }
}
`)
	o, err := onnx.OpenBytes("m.onnx", converted(t, m.Func("f"), export.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range append(o.Inputs(), o.Outputs()...) {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "x kv x.out y kv.next" {
		t.Errorf("found %s", got)
	}
}
