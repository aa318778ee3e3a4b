package exec

import (
	"context"
	"math"
	"math/rand"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// sumAs is what a rate says an element is, in plain arithmetic.
func sumAs(r *chip.MatrixRate, x, y []float64, start float64) float64 {
	round := func(f format.Format, v float64) float64 {
		if f == format.TF32 || f == format.HF32 {
			return f.Round(v)
		}
		return v
	}
	if r.AccBits > 0 {
		s := start
		g := max(r.AccGroup, 1)
		for p := 0; p < len(x); p += g {
			s = sumLimited(s, x[p:min(p+g, len(x))], y[p:], r)
		}
		return s
	}
	s := start
	for p := range x {
		a, b := round(r.A, x[p]), round(r.B, y[p])
		switch r.Acc {
		case format.F32:
			s = float64(format.FMA32(float32(a), float32(b), float32(s)))
		case format.F64:
			s = math.FMA(a, b, s)
		case format.I32:
			s = float64(int32(int64(s) + int64(a)*int64(b)))
		}
	}
	return s
}

// sumLimited adds the products of a group and the accumulator: each cut toward zero to the accumulator's bits below the largest exponent
// of all, a product's exponent being the sum of its factors'.
func sumLimited(s float64, x, y []float64, r *chip.MatrixRate) float64 {
	exponent := func(v, least float64) int {
		_, e := math.Frexp(math.Max(math.Abs(v), least))
		return e - 1
	}
	top := math.MinInt32
	if s != 0 {
		top = exponent(s, 0)
	}
	for p := range x {
		if x[p] != 0 && y[p] != 0 {
			top = max(top, exponent(x[p], r.A.Info().MinNormal)+exponent(y[p], r.B.Info().MinNormal))
		}
	}
	if top == math.MinInt32 {
		return 0
	}
	unit := math.Ldexp(1, top-(r.AccBits-1))
	sum := math.Trunc(s/unit) * unit
	for p := range x {
		sum += math.Trunc(x[p]*y[p]/unit) * unit
	}
	if sum == 0 {
		return 0
	}
	unit = math.Ldexp(1, exponent(sum, 0)-(r.AccBits-1))
	return math.Trunc(sum/unit) * unit
}

// TestRates multiplies in every combination of formats of every shipped chip, on tiles that do not divide the sizes, and compares
// all bits.
func TestRates(t *testing.T) {
	r := rand.New(rand.NewSource(13))
	for _, name := range []string{"loongson-3c6000", "nvidia-h100", "ascend-910b", "hygon-k100-ai"} {
		c := loadChip(t, name)
		for _, e := range c.EnginesOf(chip.Matrix) {
			for i := range e.Matrix {
				rate := &e.Matrix[i]
				if rate.A.Bits() < 8 {
					continue // TestInt4
				}
				via := func(mem string) []string {
					if p := c.Path(c.Global().Name, mem); p != nil {
						return []string{mem}
					}
					route, _ := c.Route(c.Global().Name, mem)
					var out []string
					for _, p := range route {
						out = append(out, p.To)
					}
					return out
				}
				for _, kn := range []bool{false, true} {
					for _, m := range []int64{1, 30} {
						s := gemmShape{chip: name, engine: e.Name, f: rate.A, acc: rate.Acc, m: m, n: 50, k: 150, tm: 16, tn: 32, tk: 32,
							viaA: via(e.A), viaB: via(e.B), accMem: e.Acc, weightKN: kn}
						if c.Path(e.Acc, c.Global().Name) == nil {
							t.Fatalf("%s: no path out of %s", name, e.Acc)
						}
						testRate(t, r, s, rate)
					}
				}
			}
		}
	}
}

func testRate(t *testing.T, r *rand.Rand, s gemmShape, rate *chip.MatrixRate) {
	t.Helper()
	operand := func(f format.Format, shape ...int64) *tensor.Tensor {
		if f != format.TF32 && f != format.HF32 {
			return random(t, r, f, shape...)
		}
		data, _ := random(t, r, format.F32, shape...).Bytes() // bits beyond the format's are rounded away by the engine
		out, err := tensor.FromBytes(f, shape, data)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	exact := func(x *tensor.Tensor) []float64 {
		data, _ := x.Bytes()
		out := make([]float64, x.Numel())
		f := x.Format
		if f == format.TF32 || f == format.HF32 {
			f = format.F32
		}
		format.DecodeF64(f, out, data)
		return out
	}
	b := gemmPlan(t, s)
	ws := []int64{s.n, s.k}
	if s.weightKN {
		ws = []int64{s.k, s.n}
	}
	x, w := operand(rate.A, s.m, s.k), operand(rate.B, ws...)
	xs, ys := exact(x), exact(w)
	for _, o := range []Order{nil, Random(1)} {
		m, err := New(b.p, b.c, weights{"w": w}, Options{Guard: true, Order: o})
		if err != nil {
			t.Fatalf("%s, %s: %v", s.chip, s.engine, err)
		}
		out, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": x})
		if err != nil {
			t.Fatalf("%s, %s: %v", s.chip, s.engine, err)
		}
		got := f64s(t, out["y"])
		col := make([]float64, s.k)
		for j := range s.n {
			for k := range s.k {
				if s.weightKN {
					col[k] = ys[k*s.n+j]
				} else {
					col[k] = ys[j*s.k+k]
				}
			}
			for i := range s.m {
				// Tiles along K begin where the accumulator stands: groups do not reach over their ends.
				want := 0.0
				for k := int64(0); k < s.k; k += s.tk {
					e := min(k+s.tk, s.k)
					want = sumAs(rate, xs[i*s.k+k:i*s.k+e], col[k:e], want)
				}
				if got[i*s.n+j] != want {
					t.Fatalf("%s, %s, %s × %s → %s: element %d,%d is %v, want %v", s.chip, s.engine, rate.A, rate.B, rate.Acc, i, j, got[i*s.n+j], want)
				}
			}
		}
	}
}

// TestInt4 multiplies packed 4-bit integers.
func TestInt4(t *testing.T) {
	r := rand.New(rand.NewSource(14))
	const m, n, k = 5, 18, 32
	b := newBuilder(t, loadChip(t, "ascend-910b"))
	x, w, y := b.buffer("x", plan.Input, format.I4, m, k), b.buffer("w", plan.Input, format.I4, k, n), b.buffer("y", plan.Output, format.I32, m, n)
	b.kernel("int4")
	px, pw, py := b.param(x, true, false), b.param(w, true, false), b.param(y, false, true)
	xt, wt := b.global(px, format.I4, plan.C(0), m, k), b.global(pw, format.I4, plan.C(0), k, n)
	x1, w1 := b.local("x1", "l1", m*k/2, 1), b.local("w1", "l1", k*n/2, 1)
	x0, w0, c0 := b.local("x0", "l0a", m*k/2, 1), b.local("w0", "l0b", k*n/2, 1), b.local("c0", "l0c", m*n*4, 1)
	_, mte2 := b.path("gm", "l1")
	_, mte1 := b.path("l1", "l0a")
	_, fix := b.path("l0c", "gm")
	q := b.queue("cube")
	f1, f2, f3 := b.flag("f1", mte2, mte1, 0), b.flag("f2", mte1, q, 0), b.flag("f3", q, fix, 0)
	b.move(b.at(x1, format.I4, plan.C(0), m, k), xt)
	b.move(b.at(w1, format.I4, plan.C(0), k, n), wt)
	b.signal(f1)
	b.wait(f1)
	b.move(b.at(x0, format.I4, plan.C(0), m, k), b.at(x1, format.I4, plan.C(0), m, k))
	b.move(b.at(w0, format.I4, plan.C(0), k, n), b.at(w1, format.I4, plan.C(0), k, n))
	b.signal(f2)
	b.wait(f2)
	b.emit(plan.Instr{Op: plan.Mma, Queue: q, Dst: b.at(c0, format.I32, plan.C(0), m, n), A: b.at(x0, format.I4, plan.C(0), m, k), B: b.at(w0, format.I4, plan.C(0), k, n)})
	b.signal(f3)
	b.wait(f3)
	b.move(b.global(py, format.I32, plan.C(0), m, n), b.at(c0, format.I32, plan.C(0), m, n))
	b.launch(1, x, w, y)
	mach, err := New(b.p, b.c, nil, Options{Guard: true})
	if err != nil {
		t.Fatal(err)
	}
	xv, wv := randomTile(t, r, format.I4, m, k), randomTile(t, r, format.I4, k, n)
	out, err := mach.Run(context.Background(), map[string]*tensor.Tensor{"x": xv.t, "w": wv.t})
	if err != nil {
		t.Fatal(err)
	}
	xs, ws, got := f64s(t, xv.t), f64s(t, wv.t), f64s(t, out["y"])
	for i := range m {
		for j := range n {
			want := 0.0
			for p := range k {
				want += xs[i*k+p] * ws[p*n+j]
			}
			if got[i*n+j] != want {
				t.Fatalf("element %d,%d is %v, want %v", i, j, got[i*n+j], want)
			}
		}
	}
}
