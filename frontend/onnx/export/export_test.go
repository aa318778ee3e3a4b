package export_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"strings"
	"testing"

	"apogee/frontend/onnx"
	"apogee/frontend/onnx/export"
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/op"
	"apogee/ir/random"
	"apogee/ir/tensor"
)

var (
	seeds = flag.Int("seeds", 100, "how many random modules are exported and imported again")
	from  = flag.Int("from", 0, "the first seed")
)

// checkpoint is weights in memory.
type checkpoint map[string]*tensor.Tensor

func (c checkpoint) Tensor(name string) (*tensor.Tensor, error) {
	if t := c[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no tensor %q", name)
}

// converted exports a function and gives the file's bytes.
func converted(t testing.TB, f *ir.Func, opt export.Options) []byte {
	t.Helper()
	file, err := export.Convert(f, opt)
	if err != nil {
		t.Fatalf("%s\n%s", err, f.Module)
	}
	var b bytes.Buffer
	if err := file.Write(&b); err != nil {
		t.Fatal(err)
	}
	if n, err := file.Size(); err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes were written, %d were told (%v)", b.Len(), n, err)
	}
	return b.Bytes()
}

// imported runs an exported model on the evaluator.
func imported(t testing.TB, data []byte, inputs map[string]*tensor.Tensor) (*ir.Module, map[string]*tensor.Tensor) {
	t.Helper()
	m, err := onnx.OpenBytes("exported.onnx", data)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := m.Import(onnx.Options{})
	if err != nil {
		t.Fatalf("the exported model cannot be imported: %s", err)
	}
	if l := ir.Verify(mod); l.HasErrors() {
		t.Fatal(l.Error())
	}
	e := &eval.Evaluator{Weights: m}
	out, _, err := e.Run(context.Background(), mod.Func("main"), inputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mod, out
}

// given are the inputs and states of a function by the names that the exported model has for them.
func given(t testing.TB, f *ir.Func, seed uint64) (inputs, states, all map[string]*tensor.Tensor) {
	t.Helper()
	list, err := random.Inputs(f, seed, random.Env())
	if err != nil {
		t.Fatal(err)
	}
	inputs, states, all = map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
	for i, p := range f.Body.Params {
		if all[p.Name] = list[i]; i < len(f.Inputs()) {
			inputs[p.Name] = list[i]
		} else {
			states[p.Name] = list[i]
		}
	}
	return inputs, states, all
}

// exportable leaves out bitcast, which shows the last bit of what was rounded before it as a number; TestBitcast has it.
func exportable(i *op.Info) bool { return i != op.Bitcast }

// Random modules compute the same after export and import.
func TestRandomModules(t *testing.T) {
	refused := 0
	for s := *from; s < *from+*seeds; s++ {
		seed := uint64(s)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := random.Options{Ops: 30, Symbols: s%2 == 1, Weights: s%3 == 1, States: s%4 == 2, Kernels: s%5 == 3, Control: s%3 == 2, Only: exportable}
			m := random.Module(seed, o)
			f := m.Funcs[0]
			w, err := random.Weights(m, seed)
			if err != nil {
				t.Fatal(err)
			}
			opt := export.Options{Weights: checkpoint(w)}
			_, err = export.Convert(f, opt)
			if err != nil && strings.Contains(err.Error(), "the symbol") {
				opt.Bind = random.Env()
				_, err = export.Convert(f, opt)
			}
			if err != nil { // rounding to a format that ONNX does not have
				refused++
				t.Skip(err)
			}
			inputs, states, all := given(t, f, seed)
			e := &eval.Evaluator{Weights: checkpoint(w), Bind: random.Env()}
			want, next, err := e.Run(context.Background(), f, inputs, states)
			if err != nil {
				t.Fatal(err)
			}
			for n, v := range next {
				want[n+".next"] = v
			}
			data := converted(t, f, opt)
			_, got := imported(t, data, all)
			same(t, f.Module, got, want)
			if again := converted(t, f, opt); !bytes.Equal(again, data) {
				t.Error("two exports differ")
			}
		})
	}
	t.Logf("%d of %d were refused", refused, *seeds)
	if refused > *seeds/5 {
		t.Errorf("%d of %d modules cannot be exported", refused, *seeds)
	}
}

// same holds results against those of the module: integers are equal, floats differ by roundings of their format.
func same(t testing.TB, m *ir.Module, got, want map[string]*tensor.Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d results, expected %d", len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		if g == nil {
			t.Errorf("no result %s", name)
			continue
		}
		if g.Format != w.Format || tensor.Dims(g.Shape) != tensor.Dims(w.Shape) {
			t.Errorf("result %s is %s, expected %s", name, g, w)
			continue
		}
		rtol, atol := 0.0, 0.0
		if w.Format.IsFloat() {
			rtol = math.Max(1e-4, math.Ldexp(4, -w.Format.Info().ManBits))
			atol = math.Max(1e-5, rtol)
			if w.Format.Bits() > 16 {
				atol = 1e-5
			}
		}
		if err := tensor.AllClose(g, w, rtol, atol); err != nil {
			t.Errorf("result %s: %s\n%s", name, err, m)
		}
	}
}
