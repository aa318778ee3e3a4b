package ort_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"apogee/cmd/internal/ort"
	"apogee/frontend/onnx/export"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/tensor"
)

// module makes a function of lines that each give a result of their own name.
func module(t testing.TB, params string, lines []string) *ir.Module {
	var names []string
	for _, l := range lines {
		n, _, _ := strings.Cut(l, " ")
		names = append(names, n)
	}
	list := strings.Join(names, ", ")
	return irtest.Parse(t, "module @m {\n  func entry @f("+params+") -> ("+strings.ReplaceAll(list, "%", "")+") {\n    "+strings.Join(lines, "\n    ")+"\n    return("+list+")\n  }\n}\n")
}

// Integers and casts at their edges are exact: what the specification leaves open is settled by the nodes.
func TestEdges(t *testing.T) {
	r := ort.Find(t)
	var mods []*ir.Module
	var inputs []map[string]*tensor.Tensor
	for _, f := range []format.Format{format.I8, format.U8, format.I16, format.U16, format.I32, format.U32, format.I64, format.U64} {
		lo, hi := f.MinInt(), f.MaxInt()
		edge := []int64{0, 1, -1, 2, 3, -3, 7, 8, 31, 32, 63, 64, lo, lo + 1, hi, hi - 1, -128, 100}
		var a, b []int64
		for _, x := range edge {
			for _, y := range edge {
				a, b = append(a, x), append(b, y)
			}
		}
		var lines []string
		for _, o := range []string{"add", "sub", "mul", "div", "rem", "pow", "max", "min", "and", "or", "xor", "shl", "shr"} {
			lines = append(lines, fmt.Sprintf("%%%s = %s(%%a, %%b) : %s[N]", o, o, f))
		}
		for _, o := range []string{"neg", "abs", "sign", "not"} {
			lines = append(lines, fmt.Sprintf("%%%s = %s(%%a) : %s[N]", o, o, f))
		}
		for _, o := range []string{"eq", "ne", "lt", "le", "gt", "ge"} {
			lines = append(lines, fmt.Sprintf("%%%s = %s(%%a, %%b) : bool[N]", o, o))
		}
		for _, to := range []string{"u8", "i16", "i32", "u32", "i64", "u64", "f32", "f64", "bf16", "bool"} {
			if to != f.String() {
				lines = append(lines, fmt.Sprintf("%%to%s = cast(%%a) {format=%s} : %s[N]", to, to, to))
			}
		}
		mods = append(mods, module(t, fmt.Sprintf("%%a: %s[N], %%b: %s[N]", f, f), lines))
		inputs = append(inputs, map[string]*tensor.Tensor{"a": integers(t, f, a), "b": integers(t, f, b)})
	}
	v := []float64{0, -0.5, 0.5, 1.5, -1.5, 2.5, 126.9, 127.5, 128, -128.9, -129, 255.9, 256, 447, 460, 65519, 65520, 7e4, 2147483520, 2147483648, -2147483648, -3e9,
		4294967040, 5e9, 9.2e18, 9.3e18, -9.3e18, 1.8e19, 2e19, 1e30, -1e30, 1e-8, 3e-6}
	x, err := tensor.FromF64(format.F64, []int64{int64(len(v))}, v)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"%s = cast(%x) {format=f32} : f32[N]", "%z = sub(%x, %x) : f64[N]", "%nan = div(%z, %z) : f64[N]"}
	for _, to := range []string{"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "bool", "bf16", "f16"} {
		for _, v := range []string{"x", "s", "nan"} {
			lines = append(lines, fmt.Sprintf("%%%s%s = cast(%%%s) {format=%s} : %s[N]", v, to, v, to, to))
		}
	}
	mods = append(mods, module(t, "%x: f64[N]", lines))
	inputs = append(inputs, map[string]*tensor.Tensor{"x": x})

	var jobs []ort.Job
	var wants []map[string]*tensor.Tensor
	for i, m := range mods {
		file, err := export.Convert(m.Func("f"), export.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if err := file.Write(&data); err != nil {
			t.Fatal(err)
		}
		want, _, err := (&eval.Evaluator{}).Run(context.Background(), m.Func("f"), inputs[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		jobs, wants = append(jobs, ort.Job{Model: data.Bytes(), Inputs: inputs[i]}), append(wants, want)
	}
	got, err := r.Run(context.Background(), t.TempDir(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if g.Err != nil {
			t.Errorf("%s: %s", mods[i].Funcs[0].Body.Params[0].Type, g.Err)
			continue
		}
		for n := range wants[i] {
			if err := equal(ort.Result{Outputs: g.Outputs}, map[string]*tensor.Tensor{n: wants[i][n]}); err != nil {
				t.Errorf("%s: %s", mods[i].Funcs[0].Body.Params[0].Type, err)
			}
		}
	}
}

func integers(t testing.TB, f format.Format, v []int64) *tensor.Tensor {
	t.Helper()
	x, err := tensor.FromI64(f, []int64{int64(len(v))}, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
