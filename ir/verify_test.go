package ir_test

import (
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// vec is f32[4].
var vec = ir.Tensor(format.F32, shape.Const(4))

// small returns a valid module: y = neg(x + x), with a state.
func small(t *testing.T) (*ir.Module, *ir.Func) {
	m := irtest.Parse(t, `module @m {
  files ["model.mg"]
  scopes ["layers.0"]
  func entry @f(%x: f32[4], state %s: f32[4]) -> (y) {
    %a = add(%x, %x) : f32[4] @1:3:5:1
    %b = neg(%a) : f32[4] @1:4:5:1
    return(%b, %s)
  }
}
`)
	return m, m.Funcs[0]
}

// Each case breaks one rule through the API, as a faulty pass would; the verifier must say so.
func TestVerifyFinds(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(m *ir.Module, f *ir.Func)
		want  string // all of these words, separated by |
	}{
		{"type", func(m *ir.Module, f *ir.Func) { f.Body.First().Result(0).Type = ir.Tensor(format.BF16, shape.Const(4)) },
			"@f: %a = add at model.mg:3:5 (layers.0)|IR006|expected f32[4], found bf16[4]|after pass fuse"},
		{"no type", func(m *ir.Module, f *ir.Func) { f.Body.First().Result(0).Type = ir.Type{} }, "no valid type"},
		{"parameter type", func(m *ir.Module, f *ir.Func) { f.Body.Params[0].Type.Shape = shape.Of(-4) }, "%x has no valid type"},
		{"order", func(m *ir.Module, f *ir.Func) { f.Body.First().MoveBefore(f.Return()) }, "IR012|%a is set after this op"},
		{"erased", func(m *ir.Module, f *ir.Func) {
			n := f.Body.NewOp(op.Neg, ir.Pos{}, []*ir.Value{f.Body.Params[0]}, nil, []ir.Type{vec}, f.Return())
			v := n.Result(0)
			n.Erase()
			f.Return().SetArg(0, v)
		}, "erased"},
		{"other function", func(m *ir.Module, f *ir.Func) {
			g := m.NewFunc("g")
			x := g.AddInput("x", vec)
			g.Results = []string{"y"}
			ir.AtEnd(g.Body).Return(x)
			f.Return().SetArg(0, x)
		}, "value of another function"},
		{"other module", func(m *ir.Module, f *ir.Func) {
			g := ir.NewModule("n").NewFunc("g")
			f.Return().SetArg(0, g.AddInput("x", vec))
		}, "value of another function"},
		{"attribute order", func(m *ir.Module, f *ir.Func) {
			f.Body.NewOp(op.Reduce, ir.Pos{}, []*ir.Value{f.Body.Params[0]},
				ir.A("axes", []int64{0}, "kind", "sum"), []ir.Type{ir.Tensor(format.F32)}, f.Return())
		}, "IR005|not in the order of the op table"},
		{"attribute default", func(m *ir.Module, f *ir.Func) {
			f.Body.NewOp(op.Reduce, ir.Pos{}, []*ir.Value{f.Body.Params[0]},
				ir.A("kind", "sum", "axes", []int64{0}, "keep", false), []ir.Type{ir.Tensor(format.F32)}, f.Return())
		}, "IR005|state a default"},
		{"attribute kind", func(m *ir.Module, f *ir.Func) {
			f.Body.NewOp(op.Cast, ir.Pos{}, []*ir.Value{f.Body.Params[0]}, ir.A("format", "bf16"), []ir.Type{vec}, f.Return())
		}, "expected format, found string"},
		{"operands", func(m *ir.Module, f *ir.Func) { f.Body.First().SetArgs(f.Body.Params[:1]) }, "IR007|expected 2 operands, found 1"},
		{"results", func(m *ir.Module, f *ir.Func) {
			f.Body.NewOp(op.Neg, ir.Pos{}, []*ir.Value{f.Body.Params[0]}, nil, []ir.Type{vec, vec}, f.Return())
		}, "IR007|results of neg|expected 1, found 2"},
		{"no region", func(m *ir.Module, f *ir.Func) {
			f.Body.NewOp(op.Kernel, ir.Pos{}, []*ir.Value{f.Body.Params[0]}, ir.A("name", "k", "kind", "map"), []ir.Type{vec}, f.Return())
		}, "regions of kernel|expected 1, found 0"},
		{"region looks out", func(m *ir.Module, f *ir.Func) {
			k := ir.AtEnd(f.Body).Kernel("k", "map", []*ir.Op{f.Body.First()}, f.Body.First().Results())
			k.Regions[0].First().SetArg(1, f.Body.Params[1])
		}, "IR012|%s is set outside this region"},
		{"region leaks", func(m *ir.Module, f *ir.Func) {
			k := ir.AtEnd(f.Body).Kernel("k", "map", []*ir.Op{f.Body.First()}, f.Body.First().Results())
			f.Return().SetArg(0, k.Regions[0].First().Result(0))
		}, "IR012|set inside a region"},
		{"no terminator", func(m *ir.Module, f *ir.Func) { f.Return().Erase() }, "@f|does not end in return"},
		{"two terminators", func(m *ir.Module, f *ir.Func) { ir.AtEnd(f.Body).Return(f.Body.Params[0], f.Body.Params[1]) }, "return ends a block"},
		{"state type", func(m *ir.Module, f *ir.Func) {
			b := ir.At(f.Return())
			f.Return().SetArg(1, b.Cast(f.Body.Params[1], format.BF16))
		}, "state s has another type|expected f32[4], found bf16[4]"},
		{"too few results", func(m *ir.Module, f *ir.Func) { f.Return().SetArgs(f.Body.Params[:1]) }, "expected 2 values (1 results and 1 states), found 1"},
		{"result names", func(m *ir.Module, f *ir.Func) { f.Results = []string{""} }, "result 1 has no name"},
		{"input names", func(m *ir.Module, f *ir.Func) { f.Body.Params[1].Name = "x" }, "two parameters of an entry are called x"},
		{"unnamed input", func(m *ir.Module, f *ir.Func) { f.Body.Params[0].Name = "" }, "parameter 1 of an entry has no name"},
		{"states", func(m *ir.Module, f *ir.Func) { f.States = 3 }, "2 parameters but 3 states"},
		{"file", func(m *ir.Module, f *ir.Func) { f.Return().Pos.File = 2 }, "IR011|@2:0:0:0 is not in the module's tables of 1 files and 1 scopes"},
		{"scope", func(m *ir.Module, f *ir.Func) { f.Return().Pos.Scope = -1 }, "IR011"},
		{"function names", func(m *ir.Module, f *ir.Func) { m.CloneFunc(f, "f") }, "two functions have this name"},
		{"function of another module", func(m *ir.Module, f *ir.Func) { m.Funcs = append(m.Funcs, ir.NewModule("n").NewFunc("g")) }, "of another module"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, f := small(t)
			c.spoil(m, f)
			list := ir.VerifyAfter(m, "fuse")
			text := list.Error()
			for _, w := range strings.Split(c.want, "|") {
				if !strings.Contains(text, w) {
					t.Errorf("expected %q in:\n%s", w, text)
				}
			}
			_ = m.String() // a broken module prints all the same
			for o := f.Body.First(); o != nil; o = o.Next() {
				_ = o.Text()
			}
		})
	}
}

func TestVerifyAccepts(t *testing.T) {
	m, _ := small(t)
	if err := ir.Verify(m).Err(); err != nil {
		t.Error(err)
	}
	if err := ir.Verify(ir.NewModule("empty")).Err(); err != nil {
		t.Error(err)
	}
}
