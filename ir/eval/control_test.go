package eval_test

import (
	"context"
	"fmt"
	"testing"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

func scalar(t *testing.T, f format.Format, x int64) *tensor.Tensor {
	t.Helper()
	s, err := tensor.FromI64(f, nil, []int64{x})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// euclid is the greatest common divisor of a and b in at most limit rounds: two carried values change places.
func euclid(t *testing.T, limit op.Attrs) *ir.Func {
	t.Helper()
	m := ir.NewModule("euclid")
	f := m.NewFunc("gcd")
	f.Entry, f.Results = true, []string{"gcd", "rest"}
	n := f.AddInput("n", ir.Tensor(format.I64))
	a, b := f.AddInput("a", ir.Tensor(format.I32)), f.AddInput("b", ir.Tensor(format.I32))
	at := ir.AtEnd(f.Body)
	zero := at.Scalar(format.I32, 0)
	nonzero := func(at *ir.Builder, x *ir.Value) *ir.Value { return at.Op(op.Ne, nil, x, zero) }
	out := at.Loop(n, nonzero(at, b), limit, []*ir.Value{a, b}, func(in *ir.Builder, _ *ir.Value, v []*ir.Value) (*ir.Value, []*ir.Value) {
		rest := in.Op(op.Rem, nil, v[0], v[1])
		return nonzero(in, rest), []*ir.Value{v[1], rest}
	})
	at.Return(out...)
	if at.Err != nil {
		t.Fatal(at.Err)
	}
	if list := ir.Verify(m); list.HasErrors() {
		t.Fatal(list)
	}
	return f
}

func TestLoop(t *testing.T) {
	for _, c := range []struct {
		limit     op.Attrs
		n, a, b   int64
		gcd, rest int64
	}{
		{nil, 100, 48, 18, 6, 0},
		{nil, 100, 18, 48, 6, 0},
		{nil, 100, 7, 0, 7, 0}, // the condition is false before the first round
		{nil, 0, 48, 18, 48, 18},
		{nil, -3, 48, 18, 48, 18},
		{nil, 1, 48, 18, 18, 12},
		{ir.A("limit", shape.Const(2)), 100, 48, 18, 12, 6},
		{ir.A("limit", shape.Const(0)), 100, 48, 18, 48, 18},
		{ir.A("limit", shape.Sym("L")), 100, 48, 18, 18, 12},
	} {
		e := eval.Evaluator{Bind: map[string]int64{"L": 1}}
		got, _, err := e.Run(context.Background(), euclid(t, c.limit), map[string]*tensor.Tensor{
			"n": scalar(t, format.I64, c.n), "a": scalar(t, format.I32, c.a), "b": scalar(t, format.I32, c.b)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := got["gcd"].I64s()
		r, _ := got["rest"].I64s()
		if g[0] != c.gcd || r[0] != c.rest {
			t.Errorf("%+v: got %d, %d", c, g[0], r[0])
		}
	}
}

const nested = `module @m {
  func entry @f(%n: i32[], %odd: bool[], state %s: i32[4]) -> (y) {
    %yes = constant {value=bool[] true} : bool[]
    %y, %s2 = loop(%n, %yes, %n, %s, %odd) {limit=9} (%i: i32[], %a: i32[], %t: i32[4], %o: bool[]) {
      %b, %flip = if(%o, %a, %i) (%p: i32[], %j: i32[]) {
        %two = constant {value=i32[] 2} : i32[]
        %true = constant {value=bool[] true} : bool[]
        %q = loop(%two, %true, %p, %j) (%k: i32[], %r: i32[], %l: i32[]) {
          %u = add(%r, %l) : i32[]
          %more = constant {value=bool[] true} : bool[]
          yield(%more, %u)
        } : i32[]
        %no = constant {value=bool[] false} : bool[]
        yield(%q, %no)
      } (%p_1: i32[], %j_1: i32[]) {
        %one = constant {value=i32[] 1} : i32[]
        %q_1 = sub(%p_1, %one) : i32[]
        %t1 = constant {value=bool[] true} : bool[]
        yield(%q_1, %t1)
      } : i32[], bool[]
      %row = reshape(%b) {shape=[1]} : i32[1]
      %t2 = update(%t, %row, %i) {axis=0} : i32[4]
      %go = constant {value=bool[] true} : bool[]
      yield(%go, %b, %t2)
    } : i32[], i32[4]
    return(%y, %s2)
  }
}
`

func TestNestedControl(t *testing.T) {
	m, err := ir.ParseString(nested)
	if err != nil {
		t.Fatal(err)
	}
	if list := ir.Verify(m); list.HasErrors() {
		t.Fatal(list)
	}
	if got := m.String(); got != nested {
		t.Fatal(ir.TextDiff("in", nested, "out", got))
	}
	for _, c := range []struct {
		n, odd int64
		want   string
	}{{0, 0, "0 [0 0 0 0]"}, {3, 0, "0 [2 1 0 0]"}, {4, 1, "16 [4 6 10 16]"}} {
		e := eval.Evaluator{}
		got, next, err := e.Run(context.Background(), m.Funcs[0], map[string]*tensor.Tensor{
			"n": scalar(t, format.I32, c.n), "odd": scalar(t, format.Bool, c.odd)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		y, _ := got["y"].I64s()
		s, _ := next["s"].I64s()
		if text := fmt.Sprint(y[0], s); text != c.want {
			t.Errorf("%+v: got %s", c, text)
		}
	}
}

// What does not fit is told, and leaves no op behind.
func TestBadRegions(t *testing.T) {
	m := ir.NewModule("bad")
	f := m.NewFunc("f")
	x, c := f.AddInput("x", ir.Tensor(format.F32, shape.Const(2))), f.AddInput("c", ir.Tensor(format.Bool))
	b := ir.AtEnd(f.Body)
	yields := func(v ...*ir.Value) func(*ir.Builder) []*ir.Value {
		return func(*ir.Builder) []*ir.Value { return v }
	}
	if b.If(c, yields(x), yields(c)); b.Err == nil {
		t.Error("regions that yield different types are taken")
	}
	b = ir.AtEnd(f.Body)
	if b.If(x, yields(x), yields(x)); b.Err == nil {
		t.Error("a condition that is no bool is taken")
	}
	b = ir.AtEnd(f.Body)
	b.Loop(x, c, nil, nil, func(*ir.Builder, *ir.Value, []*ir.Value) (*ir.Value, []*ir.Value) { return c, nil })
	if b.Err == nil {
		t.Error("a trip count that is no integer is taken")
	}
	if n := f.Body.Len(); n != 0 || x.NumUses() != 0 || c.NumUses() != 0 {
		t.Errorf("%d ops are left, and %d and %d uses", n, x.NumUses(), c.NumUses())
	}
}
