package codegen

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/targets/sim/exec"
)

// maker makes random regions on whole numbers small enough for f32 to hold every sum and product of them, so that a kernel's result is the
// oracle's to the bit whatever is fused, split or reordered.
type maker struct {
	*fn
	r     *rand.Rand
	pool  []made
	width int64 // of a long axis now and then
}

type made struct {
	*ir.Value
	most float64 // the largest magnitude
}

func (m *maker) dim() int64 {
	switch m.r.IntN(12) {
	case 0:
		return 1
	case 1:
		return m.width
	}
	return 1 + m.r.Int64N(6)
}

func (m *maker) shape() []int64 {
	s := make([]int64, m.r.IntN(5))
	for i := range s {
		s[i] = m.dim()
	}
	for numel(s) > 6000 {
		s[m.r.IntN(len(s))] = 1
	}
	return s
}

func (m *maker) add(v *ir.Value, most float64) { m.pool = append(m.pool, made{v, most}) }

func (m *maker) pick(ok func(made) bool) (made, bool) {
	for range 20 {
		if v := m.pool[m.r.IntN(len(m.pool))]; ok(v) {
			return v, true
		}
	}
	return made{}, false
}

// step adds one random op.
func (m *maker) step() {
	float := func(rank int) (made, bool) {
		return m.pick(func(v made) bool { return v.Type.Format == format.F32 && len(v.Type.Shape) >= rank })
	}
	axis := func(v made) int { return m.r.IntN(len(v.Type.Shape)) }
	switch m.r.IntN(17) {
	case 0, 1, 2: // two operands that broadcast
		a, ok := float(0)
		if !ok {
			return
		}
		b, ok := m.pick(func(v made) bool {
			_, err := shape.Broadcast(a.Type.Shape, v.Type.Shape)
			return err == nil && v.Type.Format == format.F32
		})
		if !ok {
			return
		}
		i := []*op.Info{op.Add, op.Sub, op.Max, op.Min, op.Mul}[m.r.IntN(5)]
		most := a.most + b.most
		if i == op.Mul {
			most = a.most * b.most
		}
		if most < 1<<16 && numel(shapeOf(a.Value))*numel(shapeOf(b.Value)) < 1<<26 {
			s, _ := shape.Broadcast(a.Type.Shape, b.Type.Shape)
			if n, _ := s.Ints(); numel(n) < 20000 {
				m.add(m.Op(i, nil, a.Value, b.Value), most)
			}
		}
	case 3:
		if a, ok := float(0); ok {
			i := []*op.Info{op.Neg, op.Abs, op.Floor, op.Sign}[m.r.IntN(4)]
			m.add(m.Op(i, nil, a.Value), max(a.most, 1))
		}
	case 4:
		if a, ok := float(0); ok {
			c := m.Op([]*op.Info{op.Lt, op.Ge, op.Ne}[m.r.IntN(3)], nil, a.Value, m.Scalar(format.F32, float64(m.r.IntN(3))))
			m.add(m.Op(op.Select, nil, c, a.Value, m.Scalar(format.F32, 1)), max(a.most, 1))
			m.add(c, 1)
		}
	case 5:
		if a, ok := float(1); ok && a.most < 1<<8 {
			var axes []int64
			for i := range a.Type.Shape {
				if m.r.IntN(2) == 0 {
					axes = append(axes, int64(i))
				}
			}
			n := float64(numel(shapeOf(a.Value)))
			if kind := []string{"sum", "max", "min"}[m.r.IntN(3)]; a.most*n < 1<<20 {
				m.add(m.Op(op.Reduce, ir.A("kind", kind, "axes", axes, "keep", m.r.IntN(2) == 0), a.Value), a.most*n)
			}
		}
	case 6, 7:
		if a, ok := m.pick(func(v made) bool { return len(v.Type.Shape) > 1 }); ok {
			perm := make([]int64, len(a.Type.Shape))
			for i, p := range m.r.Perm(len(perm)) {
				perm[i] = int64(p)
			}
			m.add(m.Op(op.Transpose, ir.A("perm", perm), a.Value), a.most)
		}
	case 8:
		if a, ok := m.pick(func(v made) bool { return len(v.Type.Shape) > 0 }); ok {
			ax := axis(a)
			n := shapeOf(a.Value)[ax]
			lo := m.r.Int64N(n)
			hi := lo + 1 + m.r.Int64N(n-lo)
			m.add(m.Op(op.Slice, ir.A("axis", ax, "start", shape.Const(lo), "limit", shape.Const(hi), "stride", 1+m.r.IntN(2)), a.Value), a.most)
		}
	case 9, 10:
		if a, ok := m.pick(func(v made) bool { return len(v.Type.Shape) > 0 }); ok {
			ax := axis(a)
			xs := []*ir.Value{a.Value}
			most := a.most
			for range 1 + m.r.IntN(2) {
				b, ok := m.pick(func(v made) bool {
					fits := v.Type.Format == a.Type.Format && len(v.Type.Shape) == len(a.Type.Shape)
					for i := range v.Type.Shape {
						fits = fits && (i == ax || v.Type.Shape[i].Equal(a.Type.Shape[i]))
					}
					return fits
				})
				if ok {
					xs, most = append(xs, b.Value), max(most, b.most)
				}
			}
			if numel(shapeOf(a.Value)) < 4000 {
				m.add(m.Op(op.Concat, ir.A("axis", ax), xs...), most)
			}
		}
	case 11:
		if a, ok := float(1); ok {
			lo, hi := make([]int64, len(a.Type.Shape)), make([]int64, len(a.Type.Shape))
			lo[axis(a)], hi[axis(a)] = m.r.Int64N(3), m.r.Int64N(3)
			m.add(m.Op(op.Pad, ir.A("low", lo, "high", hi), a.Value, m.Scalar(format.F32, 2)), max(a.most, 2))
		}
	case 12:
		if a, ok := m.pick(func(v made) bool { return len(v.Type.Shape) > 0 }); ok {
			m.add(m.Op(op.Reshape, ir.A("shape", m.regroup(shapeOf(a.Value))), a.Value), a.most)
		}
	case 13:
		if a, ok := float(1); ok {
			o := m.Create(op.TopK, ir.A("k", shape.Const(1+m.r.Int64N(shapeOf(a.Value)[len(a.Type.Shape)-1]))), a.Value)
			m.add(o.Result(0), a.most)
			m.add(o.Result(1), 1<<12)
		}
	case 14:
		if a, ok := float(1); ok && a.most < 1<<8 {
			m.add(m.Op(op.Cumsum, ir.A("axis", axis(a), "reverse", m.r.IntN(2) == 0), a.Value), a.most*float64(numel(shapeOf(a.Value))))
		}
	case 15:
		if a, ok := m.pick(func(v made) bool { return v.Def() == nil && len(v.Type.Shape) > 0 && v.Type.Format == format.F32 }); ok {
			ax := axis(a)
			ix := m.input(anyIndex, shapeOf(a.Value)[ax], format.I32, 1+m.r.Int64N(4))
			m.add(m.Op(op.Gather, ir.A("axis", ax), a.Value, ix), a.most)
		}
	case 16:
		if a, ok := m.pick(func(v made) bool { return len(v.Type.Shape) > 0 }); ok {
			m.add(m.Op(op.Reverse, ir.A("axes", []int64{int64(axis(a))}), a.Value), a.most)
		}
	}
}

// regroup gives another shape for as many elements.
func (m *maker) regroup(s []int64) shape.Shape {
	var out []int64
	for i := 0; i < len(s); i++ {
		switch {
		case i+1 < len(s) && m.r.IntN(2) == 0:
			out = append(out, s[i]*s[i+1])
			i++
		case s[i]%2 == 0 && m.r.IntN(2) == 0:
			out = append(out, s[i]/2, 2)
		default:
			out = append(out, s[i])
		}
	}
	return shape.Of(out...)
}

// whole fills the inputs of a function with small whole numbers.
func (f *fn) whole(seed uint64) map[string]*tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 5))
	out := f.inputs(seed)
	for _, p := range f.f.Body.Params {
		if p.Type.Format.IsFloat() {
			v := make([]float64, numel(shapeOf(p)))
			for i := range v {
				v[i] = float64(r.IntN(7) - 3)
			}
			out[p.Name], _ = tensor.FromF64(p.Type.Format, shapeOf(p), v)
		}
	}
	return out
}

// random makes one random kernel, or nil if the ops drawn gave nothing to return.
func random(seed uint64, product bool) *fn {
	f := newFn()
	m := &maker{fn: f, r: rand.New(rand.NewPCG(seed, 77)), width: 130}
	for range 3 {
		m.add(f.in(format.F32, m.shape()...), 3)
	}
	var first *ir.Value
	if product {
		a, k, b := 1+m.r.Int64N(9), 1+m.r.Int64N(40), 1+m.r.Int64N(30)
		first = f.Op(op.Einsum, ir.A("spec", "mk,nk->mn"), f.in(format.F32, a, k), f.in(format.F32, b, k))
		m.pool = []made{{first, 9 * float64(k)}, {f.in(format.F32, a, b), 3}, {f.in(format.F32, b), 3}, {f.in(format.F32, a, 1), 3}}
	}
	for range 3 + m.r.IntN(12) {
		m.step()
		if f.Err != nil {
			panic(f.Err)
		}
	}
	// What nothing reads, and now and then something else.
	var outs []*ir.Value
	for _, v := range m.pool {
		if v.Def() != nil && len(outs) < 4 && (v.NumUses() == 0 || m.r.IntN(6) == 0) {
			outs = append(outs, v.Value)
		}
	}
	if len(outs) == 0 {
		return nil
	}
	f.out(exact, outs...)
	return f
}

// asKernel puts all ops of a finished function into one kernel.
func (f *fn) asKernel(kind string) {
	var ops []*ir.Op
	for _, o := range f.f.Body.Ops() {
		if !o.Is(op.Return) {
			ops = append(ops, o)
		}
	}
	ir.AtEnd(f.f.Body).Kernel("kernel", kind, ops, f.f.Return().Args())
}

// holdRandom holds a random kernel against the oracle, in the plan's order and in two random ones, and says whether the template takes it.
func holdRandom(t *testing.T, c target, f *fn, kind string, seed uint64) bool {
	t.Helper()
	f.done(t)
	in := f.whole(seed)
	want := f.oracle(t, in)
	f.asKernel(kind)
	if _, err := Compile(f.f, c.Chip, Options{}); err != nil {
		for _, s := range []string{"cannot be tiled", "takes rows of a buffer", "worked along as a whole", "axis that", "multiples of"} {
			if strings.Contains(err.Error(), s) {
				return false
			}
		}
		t.Errorf("seed %d: %v\n%s", seed, err, f.f.Module)
		return false
	}
	for _, opt := range []exec.Options{{}, {Order: exec.Random(seed)}} {
		got := runPlan(t, c, f.f, in, opt)
		for i, name := range f.f.Results {
			if msg := differs(got[name], want[name], nil, f.bounds[i]); msg != "" {
				t.Errorf("seed %d: %s: %s", seed, name, msg)
			}
		}
		if t.Failed() {
			t.Log(f.f.Module)
			return true
		}
	}
	return true
}

var seeds = flag.Uint64("seeds", 16, "how many random kernels of each kind a target compiles")

// TestRandomKernels: random map and contract kernels, in the plan's order and in random legal ones. -seeds asks for more.
func TestRandomKernels(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		taken := uint64(0)
		for seed := uint64(1); seed <= *seeds; seed++ {
			if f := random(seed, false); f != nil && holdRandom(t, c, f, "map", seed) {
				taken++
			}
			if f := random(seed, true); f != nil && holdRandom(t, c, f, "contract", seed) {
				taken++
			}
			if t.Failed() {
				return
			}
		}
		if taken < *seeds*3/2 {
			t.Errorf("only %d of %d kernels were compiled", taken, 2**seeds)
		}
	})
}
