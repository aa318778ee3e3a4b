package codegen

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"apogee/codegen/codegentest"
	"apogee/ir"
	"apogee/ir/diag"
	oracle "apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// target is a chip that tests compile for.
type target struct {
	name string
	*chip.Chip
}

// families are chips that differ in kind: one of each family, and both vector widths that a simt chip comes in. What any chip of the list
// computes is for package conform to check.
var families = []string{"ascend-910b", "hygon-k100-ai", "loongson-3c6000", "nvidia-h100"}

// targets are such chips as they are, and each once more with a fraction of its cores' memories, so that small tensors are larger
// than a memory, and with three cores, so that a core has many blocks.
var targets = sync.OnceValue(func() []target {
	var out []target
	for _, name := range families {
		c, err := chip.Load(name)
		if err != nil {
			panic(err)
		}
		out = append(out, target{name, c}, target{name + "/little", little(c, 32)})
	}
	return out
})

func little(c *chip.Chip, part float64) *chip.Chip {
	l := *c
	l.Cores.Value = 3
	l.Memories = nil
	for _, m := range c.Memories {
		n := *m
		if m.Scope == chip.Core {
			n.Size.Value = math.Floor(m.Size.Value/part/1024) * 1024
		}
		l.Memories = append(l.Memories, &n)
	}
	return &l
}

// eachTarget runs a test for every target, side by side.
func eachTarget(t *testing.T, f func(t *testing.T, c target)) {
	t.Helper()
	for _, c := range targets() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f(t, c)
		})
	}
}

// kind of numbers that a test wants in an input.
type kindOf int

const (
	normal   kindOf = iota // around zero; small integers of both signs as far as the format has them
	positive               // from 0.25 to 4
	special                // zeros, infinities, NaN, subnormals, the largest
	index                  // 0 to limit-1
	anyIndex               // -2·limit to 2·limit
)

// fn is a function under test: inputs, ops on them, results with their bounds.
type fn struct {
	*ir.Builder
	f      *ir.Func
	limit  map[string]int64
	kinds  map[string]kindOf
	bounds []bound
	ready  bool // has its return
	orders bool // is run in a random legal order as well
}

// bound is how far a result may be from the oracle's: ulps units in the last place of its format, and terms·2^-bits of what the
// result is when every input is replaced by its magnitude (the condition of a sum). Integers are exact.
type bound struct {
	ulps  float64
	terms float64
	bits  int
	abs   float64
}

var exact = bound{}

func newFn() *fn {
	m := ir.NewModule("test")
	f := m.NewFunc("f")
	f.Entry = true
	return &fn{Builder: ir.AtEnd(f.Body), f: f, limit: map[string]int64{}, kinds: map[string]kindOf{}}
}

func (f *fn) in(fm format.Format, dims ...int64) *ir.Value { return f.input(normal, 4, fm, dims...) }

func (f *fn) input(k kindOf, limit int64, fm format.Format, dims ...int64) *ir.Value {
	name := fmt.Sprintf("x%d", len(f.f.Body.Params))
	v := f.f.AddInput(name, ir.Type{Format: fm, Shape: shape.Of(dims...)})
	f.kinds[name], f.limit[name] = k, limit
	return v
}

// out makes a value a result.
func (f *fn) out(b bound, vs ...*ir.Value) {
	for _, v := range vs {
		v.Name = fmt.Sprintf("y%d_%s", len(f.bounds), v.Def().Info.Name)
		f.bounds = append(f.bounds, b)
		f.f.Results = append(f.f.Results, v.Name)
	}
}

// done adds the return.
func (f *fn) done(t testing.TB) {
	t.Helper()
	var rets []*ir.Value
	for _, n := range f.f.Results {
		f.f.Body.Walk(func(o *ir.Op) {
			for _, r := range o.Results() {
				if r.Name == n {
					rets = append(rets, r)
				}
			}
		})
	}
	f.Return(rets...)
	if f.Err != nil {
		t.Fatal(f.Err)
	}
}

// data makes a tensor for an input.
func data(r *rand.Rand, f format.Format, dims []int64, k kindOf, limit int64) *tensor.Tensor {
	n := numel(dims)
	if f.IsFloat() {
		v := make([]float64, n)
		for i := range v {
			switch k {
			case positive:
				v[i] = math.Exp2(4*r.Float64() - 2)
			case special:
				in := f.Info()
				list := []float64{0, math.Copysign(0, -1), in.MaxFinite, -in.MaxFinite, in.MinNormal, -in.MinSubnormal, 1, -1.5, 0.1, 3}
				if in.HasInf {
					list = append(list, math.Inf(1), math.Inf(-1))
				}
				if in.HasNaN {
					list = append(list, math.NaN())
				}
				v[i] = list[r.IntN(len(list))]
			default:
				v[i] = r.NormFloat64()
			}
			if k != special { // round to the format first, saturating
				v[i] = min(max(v[i], -f.Info().MaxFinite), f.Info().MaxFinite)
			}
		}
		x, err := tensor.FromF64(f, dims, v)
		if err != nil {
			panic(err)
		}
		return x
	}
	v := make([]int64, n)
	for i := range v {
		switch {
		case f == format.Bool:
			v[i] = r.Int64N(2)
		case k == index:
			v[i] = r.Int64N(max(limit, 1))
		case k == anyIndex:
			if v[i] = r.Int64N(4*limit) - 2*limit; f == format.I64 && r.IntN(8) == 0 { // beyond 32 bits
				v[i] = []int64{math.MaxInt64, math.MinInt64, 1<<32 + 1, -1<<40 + 3}[r.IntN(4)]
			}
		case k == special:
			v[i] = []int64{0, 1, -1, f.MaxInt(), f.MinInt(), 7, 100}[r.IntN(7)]
		case k == positive:
			v[i] = 1 + r.Int64N(6)
		default:
			v[i] = r.Int64N(19) - 9
		}
		if !f.IsSigned() && f != format.Bool && v[i] < 0 {
			v[i] = -v[i]
		}
		v[i] = min(max(v[i], f.MinInt()), f.MaxInt())
	}
	x, err := tensor.FromI64(f, dims, v)
	if err != nil {
		panic(err)
	}
	return x
}

// inputs makes tensors for all parameters.
func (f *fn) inputs(seed uint64) map[string]*tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 9))
	out := map[string]*tensor.Tensor{}
	for _, p := range f.f.Body.Params {
		out[p.Name] = data(r, p.Type.Format, shapeOf(p), f.kinds[p.Name], f.limit[p.Name])
	}
	return out
}

// magnitudes replaces numbers by their absolute values, indices excepted.
func (f *fn) magnitudes(in map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for k, x := range in {
		out[k] = x
		switch {
		case x.Format.IsFloat():
			v, _ := x.F64s()
			for i := range v {
				v[i] = math.Abs(v[i])
			}
			out[k], _ = tensor.FromF64(x.Format, x.Shape, v)
		case f.kinds[k] == normal:
			v, _ := x.I64s()
			for i := range v {
				v[i] = max(v[i], -v[i])
			}
			out[k], _ = tensor.FromI64(x.Format, x.Shape, v)
		}
	}
	return out
}

// hold compiles the function for a target, each op alone or as it is, and holds a guarded run against the oracle.
func (f *fn) hold(t *testing.T, c target, alone bool) {
	t.Helper()
	if !f.ready {
		f.done(t)
	}
	in := f.inputs(1)
	want := f.oracle(t, in)
	var mags map[string]*tensor.Tensor
	for _, b := range f.bounds {
		if b.terms > 0 && mags == nil {
			mags = f.oracle(t, f.magnitudes(in))
		}
	}
	if alone {
		codegentest.EachAlone(f.f)
	}
	got := runPlan(t, c, f.f, in, exec.Options{})
	if got == nil {
		return
	}
	if f.orders { // in another legal order the bits are the same
		again := runPlan(t, c, f.f, in, exec.Options{Order: exec.Random(uint64(len(f.bounds)))})
		for _, name := range f.f.Results {
			if ok, err := again[name].Equal(got[name]); err != nil || !ok {
				t.Errorf("%s: a random order of the queues gives other numbers", name)
			}
		}
	}
	for i, name := range f.f.Results {
		if msg := differs(got[name], want[name], mags[name], f.bounds[i]); msg != "" {
			t.Errorf("%s: %s", name, msg)
		}
	}
}

func (f *fn) oracle(t *testing.T, in map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	t.Helper()
	want, _, err := (&oracle.Evaluator{}).Run(context.Background(), f.f, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// runPlan compiles and runs a function under the guard; the plan must pass the checker without a finding that is more than a remark
// on what only data can tell.
func runPlan(t *testing.T, c target, f *ir.Func, in map[string]*tensor.Tensor, opt exec.Options) map[string]*tensor.Tensor {
	t.Helper()
	p, err := Compile(f, c.Chip, Options{})
	if err != nil {
		t.Errorf("compile: %v", err)
		return nil
	}
	checkPlan(t, p, c)
	opt.Guard, opt.Workers = true, 1
	m, err := exec.New(p, c.Chip, nil, opt)
	if err != nil {
		t.Errorf("load: %v", err)
		return nil
	}
	got, err := m.Run(context.Background(), in)
	if err != nil {
		t.Errorf("run: %v", err)
		return nil
	}
	return got
}

func checkPlan(t *testing.T, p *plan.Plan, c target) {
	t.Helper()
	l := plan.Check(p, bind.Rules(c.Chip))
	for _, d := range l.Items() {
		if d.Severity != diag.Info || !strings.Contains(d.Message, "depends on data") {
			t.Errorf("check: %v", d)
			return
		}
	}
}

// differs says how a result breaks its bound, or nothing.
func differs(got, want, mag *tensor.Tensor, b bound) string {
	if got == nil {
		return "is missing"
	}
	if got.Format != want.Format || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) {
		return fmt.Sprintf("is %v, expected %v", got, want)
	}
	if !want.Format.IsFloat() {
		x, _ := got.I64s()
		y, _ := want.I64s()
		for i := range x {
			if x[i] != y[i] {
				return fmt.Sprintf("element %d of %v is %d, expected %d", i, want.Shape, x[i], y[i])
			}
		}
		return ""
	}
	x, _ := got.F64s()
	y, _ := want.F64s()
	var m []float64
	if mag != nil {
		m, _ = mag.F64s()
	}
	in := want.Format.Info()
	for i := range x {
		if x[i] == y[i] || math.IsNaN(x[i]) && math.IsNaN(y[i]) {
			continue
		}
		tol := b.abs + b.ulps*max(math.Abs(y[i])*math.Exp2(-float64(in.ManBits)), in.MinSubnormal)
		if b.terms > 0 {
			tol += b.terms * math.Exp2(-float64(b.bits)) * m[i]
		}
		if !(math.Abs(x[i]-y[i]) <= tol) {
			return fmt.Sprintf("element %d of %v is %g, expected %g within %g", i, want.Shape, x[i], y[i], tol)
		}
	}
	return ""
}

// tryOp adds an op if the table accepts it.
func (f *fn) tryOp(i *op.Info, attrs op.Attrs, args ...*ir.Value) *ir.Value {
	if _, _, err := ir.Check(i, attrs, args, nil); err != nil {
		return nil
	}
	return f.Op(i, attrs, args...)
}

// eachKernel compiles one kernel given as text for every target: its inputs are the function's. Integers among them are below 4; a
// bound of 4 units and of 64 terms of f32 holds all that small kernels compute.
func eachKernel(t *testing.T, name, params, kind, body string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		eachTarget(t, func(t *testing.T, c target) {
			kernel(t, params, kind, body, bound{ulps: 4, terms: 64, bits: 24}).hold(t, c, false)
		})
	})
}

// kernel makes a function of one kernel; the body ends in yield.
func kernel(t *testing.T, params, kind, body string, b bound) *fn {
	t.Helper()
	at := strings.Index(body, "yield(")
	n := strings.Count(body[at:], ",") + 1
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("y%d", i))
	}
	m := mustParse(t, "module @m {\n  func entry @f("+params+") -> ("+strings.Join(names, ", ")+") {\n"+strings.Replace(body, "yield(", "return(", 1)+"\n}\n}\n")
	f := &fn{f: m.Funcs[0], limit: map[string]int64{}, kinds: map[string]kindOf{}, ready: true}
	for range n {
		f.bounds = append(f.bounds, b)
	}
	for _, p := range f.f.Body.Params {
		f.limit[p.Name] = 4
		if p.Type.Format.IsInt() {
			f.kinds[p.Name] = index
		}
	}
	var ops []*ir.Op
	for _, o := range f.f.Body.Ops() {
		if !o.Is(op.Return) && !(o.Is(op.Constant) && numel(shapeOf(o.Result(0))) != 1) {
			ops = append(ops, o)
		}
	}
	ir.AtEnd(f.f.Body).Kernel("kernel", kind, ops, f.f.Return().Args())
	return f
}

func mustParse(t testing.TB, src string) *ir.Module {
	t.Helper()
	m, l := ir.Parse(diag.NewSource("test.ir", []byte(src)))
	if l.HasErrors() {
		t.Fatal(l.Err())
	}
	return m
}

// eachAlone makes every op of the function a kernel.
func eachAlone(f *fn) { codegentest.EachAlone(f.f) }
