package codegen

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"apogee/ir"
	oracle "apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/passes"
	"apogee/targets/bind"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
	"apogee/targets/sim/exec"
)

// flow builds functions with ifs and loops: n and m are i32 scalars, c a bool, x and y f32[T,4] with T=3, s a state f32[5,4].
type flow struct {
	*ir.Builder
	n, m, c, x, y, s *ir.Value
}

func (f *flow) int(k int64) *ir.Value { return f.Scalar(format.I32, float64(k)) }

func (f *flow) bool(b bool) *ir.Value {
	x := 0.0
	if b {
		x = 1
	}
	return f.Scalar(format.Bool, x)
}

func (f *flow) add(x, y *ir.Value) *ir.Value { return f.Op(op.Add, nil, x, y) }

// in returns the builder of a region.
func (f *flow) in(b *ir.Builder) *flow {
	g := *f
	g.Builder = b
	return &g
}

func (f *flow) when(c *ir.Value, then, otherwise func(*flow) []*ir.Value) []*ir.Value {
	return f.If(c, func(b *ir.Builder) []*ir.Value { return then(f.in(b)) }, func(b *ir.Builder) []*ir.Value { return otherwise(f.in(b)) })
}

func (f *flow) times(n *ir.Value, attrs op.Attrs, carried []*ir.Value, body func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value) []*ir.Value {
	return f.Loop(n, f.bool(true), attrs, carried, func(b *ir.Builder, i *ir.Value, v []*ir.Value) (*ir.Value, []*ir.Value) {
		g := f.in(b)
		return g.bool(true), body(g, i, v)
	})
}

// row is row i of x, as f32[1,4].
func (f *flow) row(x, i *ir.Value) *ir.Value {
	return f.Reshape(f.Op(op.Gather, ir.A("axis", 0), x, i), shape.Of(1, 4))
}

// scaled is x times a number that data gives.
func (f *flow) scaled(x, i *ir.Value) *ir.Value { return f.Op(op.Mul, nil, x, f.Cast(i, format.F32)) }

var flows = []struct {
	name string
	make func(f *flow) []*ir.Value // results, then the state
}{
	{"swap", func(f *flow) []*ir.Value {
		r := f.times(f.n, nil, []*ir.Value{f.x, f.y}, func(_ *flow, _ *ir.Value, v []*ir.Value) []*ir.Value { return []*ir.Value{v[1], v[0]} })
		return append(r, f.s)
	}},
	{"rotate and add", func(f *flow) []*ir.Value {
		r := f.times(f.n, nil, []*ir.Value{f.x, f.y, f.x}, func(f *flow, _ *ir.Value, v []*ir.Value) []*ir.Value {
			return []*ir.Value{v[1], v[2], f.add(v[0], v[1])}
		})
		return append(r, f.s)
	}},
	{"greatest common divisor", func(f *flow) []*ir.Value {
		r := f.Loop(f.int(100), f.Op(op.Ne, nil, f.m, f.int(0)), nil, []*ir.Value{f.n, f.m}, func(b *ir.Builder, _ *ir.Value, v []*ir.Value) (*ir.Value, []*ir.Value) {
			g := f.in(b)
			rest := g.Op(op.Rem, nil, v[0], v[1])
			return g.Op(op.Ne, nil, rest, g.int(0)), []*ir.Value{v[1], rest}
		})
		return append(r, f.s)
	}},
	{"no bound but the condition", func(f *flow) []*ir.Value {
		r := f.Loop(f.Scalar(format.I64, 1<<40), f.c, nil, []*ir.Value{f.x, f.int(0)}, func(b *ir.Builder, i *ir.Value, v []*ir.Value) (*ir.Value, []*ir.Value) {
			g := f.in(b)
			k := g.add(v[1], g.int(1))
			return g.Op(op.Lt, nil, k, g.n), []*ir.Value{g.add(v[0], g.y), k}
		})
		return append(r, f.s)
	}},
	{"limit that cuts", func(f *flow) []*ir.Value {
		r := f.times(f.n, ir.A("limit", shape.Sym("T").Sub(shape.Const(1))), []*ir.Value{f.x}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
			return []*ir.Value{f.add(v[0], f.scaled(f.y, i))}
		})
		return append(r, f.s)
	}},
	{"condition that stays", func(f *flow) []*ir.Value {
		r := f.Loop(f.n, f.c, nil, []*ir.Value{f.x}, func(b *ir.Builder, i *ir.Value, v []*ir.Value) (*ir.Value, []*ir.Value) {
			g := f.in(b)
			return g.bool(true), []*ir.Value{g.add(v[0], g.y)}
		})
		return append(r, f.s)
	}},
	{"condition false after a round", func(f *flow) []*ir.Value {
		r := f.Loop(f.n, f.bool(true), nil, []*ir.Value{f.x}, func(b *ir.Builder, i *ir.Value, v []*ir.Value) (*ir.Value, []*ir.Value) {
			g := f.in(b)
			return g.bool(false), []*ir.Value{g.add(v[0], g.y)}
		})
		return append(r, f.s)
	}},
	{"scan", func(f *flow) []*ir.Value { // rows of x one after another, what each gives gathered in a carried buffer
		sum := f.Op(op.Broadcast, ir.A("shape", shape.Of(1, 4)), f.Scalar(format.F32, 0))
		out := f.Op(op.Broadcast, ir.A("shape", shape.Of(6, 4)), f.Scalar(format.F32, 0))
		r := f.times(f.n, nil, []*ir.Value{sum, out}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
			next := f.add(v[0], f.row(f.x, i))
			return []*ir.Value{next, f.Op(op.Update, ir.A("axis", 0), v[1], next, i)}
		})
		return append(r, f.s)
	}},
	{"state in a loop", func(f *flow) []*ir.Value {
		r := f.times(f.n, ir.A("limit", shape.Const(5)), []*ir.Value{f.s}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
			y := f.add(f.row(v[0], i), f.row(f.x, i))
			return []*ir.Value{f.Op(op.Update, ir.A("axis", 0), v[0], y, i)}
		})
		return []*ir.Value{f.Op(op.Reduce, ir.A("kind", "sum", "axes", []int64{0}), r[0]), r[0]}
	}},
	{"state in one branch", func(f *flow) []*ir.Value {
		r := f.when(f.c, func(f *flow) []*ir.Value {
			return []*ir.Value{f.Op(op.Update, ir.A("axis", 0), f.s, f.x, f.int(1))}
		}, func(f *flow) []*ir.Value { return []*ir.Value{f.s} })
		return []*ir.Value{f.add(r[0], f.Scalar(format.F32, 1)), r[0]}
	}},
	{"state read after it was changed in a branch", func(f *flow) []*ir.Value {
		r := f.when(f.c, func(f *flow) []*ir.Value {
			return []*ir.Value{f.Op(op.Update, ir.A("axis", 0), f.s, f.x, f.int(1))}
		}, func(f *flow) []*ir.Value { return []*ir.Value{f.Op(op.Neg, nil, f.s)} })
		return []*ir.Value{f.add(r[0], f.s), r[0]}
	}},
	{"branches that give what they are given", func(f *flow) []*ir.Value {
		r := f.when(f.c, func(f *flow) []*ir.Value { return []*ir.Value{f.x, f.y, f.y, f.n} },
			func(f *flow) []*ir.Value { return []*ir.Value{f.y, f.x, f.y, f.int(7)} })
		return append(r, f.s)
	}},
	{"temporaries that change places in a branch", func(f *flow) []*ir.Value {
		a, b := f.add(f.x, f.y), f.Op(op.Mul, nil, f.x, f.y)
		r := f.when(f.c, func(f *flow) []*ir.Value { return []*ir.Value{a, b} }, func(f *flow) []*ir.Value { return []*ir.Value{b, a} })
		return append(r, f.s)
	}},
	{"first value read again", func(f *flow) []*ir.Value {
		a := f.add(f.x, f.y)
		r := f.times(f.n, nil, []*ir.Value{a, a}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
			return []*ir.Value{f.add(v[0], a), f.add(v[1], v[1])}
		})
		return append(r, f.add(r[0], a), f.s)
	}},
	{"loop in if in loop", func(f *flow) []*ir.Value {
		r := f.times(f.n, nil, []*ir.Value{f.x, f.int(1)}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
			odd := f.Op(op.Eq, nil, f.Op(op.Rem, nil, i, f.int(2)), f.int(1))
			out := f.when(odd, func(f *flow) []*ir.Value {
				return f.times(f.m, nil, []*ir.Value{v[0], v[1]}, func(f *flow, j *ir.Value, w []*ir.Value) []*ir.Value {
					return []*ir.Value{f.add(w[0], f.scaled(f.y, j)), f.add(w[1], i)}
				})
			}, func(f *flow) []*ir.Value {
				return []*ir.Value{f.Op(op.Neg, nil, v[0]), f.Op(op.Mul, nil, v[1], f.int(2))}
			})
			return out
		})
		return append(r, f.s)
	}},
	{"if in if", func(f *flow) []*ir.Value {
		big := f.Op(op.Gt, nil, f.n, f.m)
		r := f.when(f.c, func(f *flow) []*ir.Value {
			return f.when(big, func(f *flow) []*ir.Value { return []*ir.Value{f.add(f.x, f.y)} }, func(f *flow) []*ir.Value { return []*ir.Value{f.x} })
		}, func(f *flow) []*ir.Value { return []*ir.Value{f.Op(op.Sub, nil, f.x, f.y)} })
		return append(r, f.s)
	}},
	{"product in a loop", func(f *flow) []*ir.Value {
		w, _ := tensor.FromF64(format.F32, []int64{4, 4}, []float64{0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1})
		k := f.Op(op.Constant, ir.A("value", w))
		r := f.times(f.n, nil, []*ir.Value{f.x}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
			return []*ir.Value{f.Op(op.Einsum, ir.A("spec", "mk,nk->mn"), v[0], k)}
		})
		return append(r, f.s)
	}},
	{"nothing carried", func(f *flow) []*ir.Value {
		f.times(f.n, nil, nil, func(*flow, *ir.Value, []*ir.Value) []*ir.Value { return nil })
		return []*ir.Value{f.add(f.x, f.y), f.s}
	}},
}

func makeFlow(t *testing.T, make func(f *flow) []*ir.Value) *ir.Func {
	t.Helper()
	m := ir.NewModule("flow")
	fn := m.NewFunc("f")
	fn.Entry = true
	f := &flow{Builder: ir.AtEnd(fn.Body)}
	scalar := func(name string, k format.Format) *ir.Value { return fn.AddInput(name, ir.Tensor(k)) }
	f.n, f.m, f.c = scalar("n", format.I32), scalar("m", format.I32), scalar("c", format.Bool)
	t34 := ir.Tensor(format.F32, shape.Sym("T"), shape.Const(4))
	f.x, f.y = fn.AddInput("x", t34), fn.AddInput("y", t34)
	f.s = fn.AddState("s", ir.Tensor(format.F32, shape.Const(5), shape.Const(4)))
	out := make(f)
	for i := range len(out) - 1 {
		fn.Results = append(fn.Results, fmt.Sprintf("r%d", i))
	}
	f.Return(out...)
	if f.Err != nil {
		t.Fatal(f.Err)
	}
	if l := ir.Verify(m); l.HasErrors() {
		t.Fatalf("%v\n%s", l, m)
	}
	return fn
}

// TestControl: ifs and loops on all families give the evaluator's numbers, whatever data decides, in two runs that share a state.
func TestControl(t *testing.T) {
	for _, c := range targets() {
		if strings.Contains(c.name, "/") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, x := range flows {
				for level := range 2 {
					f := makeFlow(t, x.make)
					holdFlow(t, c, f, fmt.Sprintf("%s at level %d", x.name, level), passes.Default(level))
				}
			}
		})
	}
}

func holdFlow(t *testing.T, c target, f *ir.Func, name, pipeline string) {
	t.Helper()
	k := f.Module.Clone()
	if _, err := passes.Run(context.Background(), k, pipeline, passes.Options{Chip: c.Chip, Precision: "f32", Bind: map[string]int64{"T": 3}, Verify: true}); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	p, err := Compile(k.Funcs[0], c.Chip, Options{})
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, k)
		return
	}
	checkPlan(t, p, c)
	text := plan.Text(p, nil)
	if r, err := clock.Run(p, c.Chip, clock.Options{}); err != nil || r.Seconds <= 0 {
		t.Errorf("%s: timed: %v", name, err)
	}
	e := &oracle.Evaluator{}
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range [][3]int64{{0, 3, 0}, {1, 0, 1}, {2, 2, 1}, {3, 1, 0}, {-1, 2, 1}, {3, 3, 1}} {
		in := map[string]*tensor.Tensor{}
		for i, n := range []string{"n", "m"} {
			in[n], _ = tensor.FromI64(format.I32, nil, []int64{d[i]})
		}
		in["c"], _ = tensor.FromI64(format.Bool, nil, []int64{d[2]})
		for _, n := range []string{"x", "y"} {
			v := make([]float64, 12)
			for i := range v {
				v[i] = float64(r.IntN(7) - 3)
			}
			in[n], _ = tensor.FromF64(format.F32, []int64{3, 4}, v)
		}
		var state map[string]*tensor.Tensor
		m, err := exec.New(p, c.Chip, nil, exec.Options{Guard: true, Workers: 1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for run := range 2 {
			want, next, err := e.Run(context.Background(), f, in, state)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Run(context.Background(), in)
			if err != nil {
				t.Errorf("%s, n=%d m=%d c=%d, run %d: %v\n%s\n%s", name, d[0], d[1], d[2], run, err, k, text)
				return
			}
			for _, n := range f.Results {
				if msg := differs(got[n], want[n], nil, exact); msg != "" {
					t.Errorf("%s, n=%d m=%d c=%d, run %d: %s %s\n%s\n%s", name, d[0], d[1], d[2], run, n, msg, k, steps(string(text)))
					return
				}
			}
			state = next
		}
	}
}

// steps is what a plan's text says of buffers and steps.
func steps(text string) string {
	var out []string
	for _, l := range strings.Split(text, "\n") {
		for _, w := range []string{"buffer ", "step ", "if ", "else", "loop ", "end"} {
			if l = strings.TrimRight(l, " "); strings.HasPrefix(strings.TrimLeft(l, " "), w) && !strings.Contains(l, ": ") {
				out = append(out, l)
				break
			}
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// TestControlPlan shows the steps that a loop with an if becomes.
func TestControlPlan(t *testing.T) {
	i := slices.IndexFunc(flows, func(x struct {
		name string
		make func(f *flow) []*ir.Value
	}) bool {
		return x.name == "loop in if in loop"
	})
	p := planned(t, targets()[0], flows[i].make)
	irtest.Golden(t, "testdata/control.steps", []byte(steps(string(plan.Text(p, nil)))))
}

// planned is the plan of a flow, with no pass that would do away with its ifs and loops.
func planned(t *testing.T, c target, make func(f *flow) []*ir.Value) *plan.Plan {
	t.Helper()
	k := makeFlow(t, make).Module
	if _, err := passes.Run(context.Background(), k, "specialise,precision,legalise,dce,fuse", passes.Options{Chip: c.Chip, Precision: "f32", Bind: map[string]int64{"T": 3}}); err != nil {
		t.Fatal(err)
	}
	p, err := Compile(k.Funcs[0], c.Chip, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func timed(t *testing.T, c target, p *plan.Plan, o clock.Options) *clock.Result {
	t.Helper()
	r, err := clock.Run(p, c.Chip, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestControlTime: a loop takes its rounds' time to the tick whether they are walked or not, an if that of its dearer side unless a run tells
// which it took, and no look is free.
func TestControlTime(t *testing.T) {
	sums := func(n int64) func(f *flow) []*ir.Value {
		return func(f *flow) []*ir.Value {
			r := f.times(f.int(n), nil, []*ir.Value{f.x}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
				return f.times(f.int(3), nil, v, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
					return []*ir.Value{f.add(v[0], f.y)}
				})
			})
			return append(r, f.s)
		}
	}
	for _, c := range targets() {
		if strings.Contains(c.name, "/") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			// Rounds that are known.
			var took [3]clock.Ticks
			for i, n := range []int64{10, 20, 30} {
				p := planned(t, c, sums(n))
				fast, exact := timed(t, c, p, clock.Options{}), timed(t, c, p, clock.Options{Exact: true})
				if fast.Total != exact.Total {
					t.Errorf("%d rounds take %v, walked one by one %v", n, fast.Total, exact.Total)
				}
				if len(fast.Data) > 0 {
					t.Errorf("nothing is up to data, but %q", fast.Data)
				}
				took[i] = fast.Total.Sum()
			}
			if took[2]-took[1] != took[1]-took[0] || took[1] == took[0] {
				t.Errorf("10, 20 and 30 rounds take %v", took)
			}
			// Rounds that data decides: what the plan assumes, or what happened.
			p := planned(t, c, func(f *flow) []*ir.Value {
				r := f.times(f.n, ir.A("limit", shape.Const(8)), []*ir.Value{f.x}, func(f *flow, i *ir.Value, v []*ir.Value) []*ir.Value {
					return f.when(f.c, func(f *flow) []*ir.Value { return []*ir.Value{f.add(f.add(v[0], f.y), f.scaled(f.y, i))} }, func(f *flow) []*ir.Value { return v })
				})
				return append(r, f.s)
			})
			all := timed(t, c, p, clock.Options{})
			if want := "loop is taken to make 8 rounds, the most it can"; !slices.Contains(all.Data, want) {
				t.Errorf("expected %q, found %q", want, all.Data)
			}
			if want := "if is taken to go the first way, which takes longer"; !slices.Contains(all.Data, want) {
				t.Errorf("expected %q, found %q", want, all.Data)
			}
			m, err := exec.New(p, c.Chip, nil, exec.Options{Guard: true, Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			run := func(n, yes int64) *clock.Result {
				in := map[string]*tensor.Tensor{}
				in["n"], _ = tensor.FromI64(format.I32, nil, []int64{n})
				in["m"] = in["n"]
				in["c"], _ = tensor.FromI64(format.Bool, nil, []int64{yes})
				in["x"], _ = tensor.FromF64(format.F32, []int64{3, 4}, make([]float64, 12))
				in["y"] = in["x"]
				if _, err := m.Run(context.Background(), in); err != nil {
					t.Fatal(err)
				}
				return timed(t, c, p, clock.Options{Ran: m.Ran()})
			}
			if r := run(8, 1); r.Total != all.Total {
				t.Errorf("8 rounds the dearer way take %v, assumed were %v", r.Total, all.Total)
			}
			none, three, cheap := run(0, 1).Total.Sum(), run(3, 1).Total.Sum(), run(3, 0).Total.Sum()
			if !(none < cheap && cheap < three && three < all.Total.Sum()) {
				t.Errorf("no round takes %d, three %d, cheap ones %d, eight %d", none, three, cheap, all.Total.Sum())
			}
			// Each round looks twice: for its number, and at the condition.
			launch := func(r *clock.Result) (n int64) {
				for _, s := range r.Steps {
					if s.Launch == plan.None {
						n += s.Count
					}
				}
				return n
			}
			if a, b := launch(run(3, 0)), launch(run(2, 0)); a-b != 2 {
				t.Errorf("three rounds look %d times, two %d", a, b)
			}
		})
	}
}

// TestControlFaults: what a loop goes by and nothing wrote is found by the checker, which runs nothing, and by the guard, which checks nothing; and so
// is a temporary whose life the plan ends within a loop that still needs it.
func TestControlFaults(t *testing.T) {
	c := targets()[0]
	i := slices.IndexFunc(flows, func(x struct {
		name string
		make func(f *flow) []*ir.Value
	}) bool {
		return x.name == "no bound but the condition"
	})
	find := func(p *plan.Plan) *plan.Control {
		for k := range p.Steps {
			if p.Steps[k].Op == plan.LoopStep {
				return p.Steps[k].Control
			}
		}
		t.Fatal("the plan has no loop")
		return nil
	}
	p := planned(t, c, flows[i].make)
	x := find(p)
	b := p.Buffers[x.Cond]
	b.Name, b.Addr = "never", 1<<20
	x.Cond = len(p.Buffers)
	p.Buffers = append(p.Buffers, b)
	if l := plan.Check(p, nil); !strings.Contains(l.Error(), "buffer never is read, but not every way here writes it") {
		t.Errorf("the checker says: %s", l.Error())
	}
	m, err := exec.New(p, c.Chip, nil, exec.Options{Guard: true, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*tensor.Tensor{}
	for _, b := range p.Buffers {
		if b.Kind == plan.Input {
			in[b.Name], _ = tensor.New(b.Format, b.Shape)
		}
	}
	if _, err := m.Run(context.Background(), in); err == nil || !strings.Contains(err.Error(), "goes by buffer never") {
		t.Errorf("the guard says: %v", err)
	}

	p = planned(t, c, flows[i].make)
	p.Buffers[find(p).Cond].Last--
	if l := plan.Check(p, nil); !strings.Contains(l.Error(), "outside its lifetime") {
		t.Errorf("the checker says: %s", l.Error())
	}
	if _, err := exec.New(p, c.Chip, nil, exec.Options{}); err != nil {
		t.Logf("and the machine: %v", err)
	}
}

// TestControlCancelled: a loop that nothing but the caller ends is ended by the caller.
func TestControlCancelled(t *testing.T) {
	c := targets()[2]
	p := planned(t, c, func(f *flow) []*ir.Value {
		r := f.times(f.Scalar(format.I64, 1<<60), nil, []*ir.Value{f.x}, func(f *flow, _ *ir.Value, v []*ir.Value) []*ir.Value { return []*ir.Value{f.add(v[0], f.y)} })
		return append(r, f.s)
	})
	m, err := exec.New(p, c.Chip, nil, exec.Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*tensor.Tensor{}
	for _, b := range p.Buffers {
		if b.Kind == plan.Input {
			in[b.Name], _ = tensor.New(b.Format, b.Shape)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := m.Run(ctx, in); err != context.DeadlineExceeded {
		t.Error(err)
	}
	if _, err := clock.Run(p, c.Chip, clock.Options{}); err == nil {
		t.Error("2^60 rounds were timed")
	}
}

// TestRandomControl: random modules with ifs and loops give on chips what the evaluator gives.
func TestRandomControl(t *testing.T) {
	only := func(i *op.Info) bool {
		return i.Class != op.Numeric && i != op.Bitcast
	}
	ran := 0
	for seed := range *seeds * 4 {
		opt := irtest.RandomOptions{Ops: 40, Control: true, States: seed%3 == 0, Symbols: seed%2 == 0, Weights: seed%5 == 0, Formats: []format.Format{format.F32}, Only: only}
		precision := "f32"
		if seed%8 >= 4 { // the numbers are others then
			opt.Formats, precision = nil, "auto"
		}
		m := irtest.Random(seed, opt)
		if text := m.String(); !strings.Contains(text, "= loop(") && !strings.Contains(text, "= if(") {
			continue
		}
		c := targets()[seed%4*2]
		if err := holdRandomFlow(m, seed, c, precision); err != nil {
			s := irtest.Shrink(m, func(m *ir.Module) bool { return holdRandomFlow(m, seed, c, precision) != nil })
			t.Fatalf("seed %d on %s: %v\nsmallest: %v\n%s", seed, c.name, err, holdRandomFlow(s, seed, c, precision), s)
		}
		ran++
	}
	if ran < int(*seeds) {
		t.Errorf("only %d modules had an if or a loop", ran)
	}
}

// rounds reports whether a module rounds to a float narrower than f32 on its way, which --precision f32 leaves out.
func rounds(m *ir.Module) bool {
	found := false
	for _, f := range m.Funcs {
		f.Body.Walk(func(o *ir.Op) {
			for _, r := range o.Results() {
				found = found || r.Type.Format.IsFloat() && r.Type.Format.Info().ManBits < 23
			}
		})
	}
	return found
}

// loaded are weights by name.
type loaded map[string]*tensor.Tensor

func (l loaded) Tensor(name string) (*tensor.Tensor, error) {
	if t := l[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no weight %s", name)
}

func holdRandomFlow(m *ir.Module, seed uint64, c target, precision string) error {
	f := m.Funcs[0]
	ins, err := irtest.Inputs(f, seed, irtest.Env())
	if err != nil {
		return err
	}
	in := map[string]*tensor.Tensor{}
	for i, p := range f.Inputs() {
		in[p.Name] = ins[i]
	}
	w, err := irtest.WeightTensors(m, seed)
	if err != nil {
		return err
	}
	e := &oracle.Evaluator{Bind: irtest.Env(), Weights: loaded(w)}
	want, state, err := e.Run(context.Background(), f, in, nil)
	if err != nil {
		return nil
	}
	want2, _, err := e.Run(context.Background(), f, in, state)
	if err != nil {
		return nil
	}
	k := m.Clone()
	if _, err := passes.Run(context.Background(), k, passes.Default(int(seed%2)), passes.Options{Chip: c.Chip, Precision: precision, Bind: irtest.Env(), Verify: true}); err != nil {
		if strings.Contains(err.Error(), passes.CodeFormat) {
			return nil
		}
		return err
	}
	p, err := Compile(k.Funcs[0], c.Chip, Options{})
	if err != nil {
		return err
	}
	if l := plan.Check(p, bind.Rules(c.Chip)); l.HasErrors() {
		return l.Err()
	}
	if _, err := clock.Run(p, c.Chip, clock.Options{}); err != nil {
		return err
	}
	x, err := exec.New(p, c.Chip, loaded(w), exec.Options{Guard: true, Workers: 1})
	if err != nil {
		return err
	}
	for _, want := range []map[string]*tensor.Tensor{want, want2} {
		got, err := x.Run(context.Background(), in)
		if err != nil {
			return err
		}
		if precision != "f32" || rounds(m) {
			continue
		}
		for n, w := range want {
			b := exact
			if w.Format.IsFloat() {
				v, _ := w.F64s()
				most := 1e-3
				for _, x := range v {
					most = max(most, math.Abs(x))
				}
				b.abs = 1e-4 * most
			}
			if msg := differs(got[n], w, nil, b); msg != "" {
				return fmt.Errorf("%s %s", n, msg)
			}
		}
	}
	return nil
}
