package exec

import (
	"context"
	"math"
	"math/rand"
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// scaledPlan is one product with scales on an Ascend: x [m,k] by w into y, blocks of g along k; w is [n,k], or [k,n] with columns.
func scaledPlan(t testing.TB, c *chip.Chip, f, scale format.Format, m, n, k, g int64, start, columns bool) *builder {
	b := newBuilder(t, c)
	q := (k + g - 1) / g
	wr, wc := n, k
	if columns {
		wr, wc = k, n
	}
	x, w := b.buffer("x", plan.Input, f, m, k), b.buffer("w", plan.Input, f, wr, wc)
	sx, sw := b.buffer("sx", plan.Input, scale, m, q), b.buffer("sw", plan.Input, scale, n, q)
	y := b.buffer("y", plan.Output, format.F32, m, n)
	b.kernel("scaled")
	_, mte2 := b.path("gm", "l1")
	_, mte1 := b.path("l1", "l0a")
	_, fix := b.path("l0c", "gm")
	cube := b.queue("cube")
	f1, f2, f3 := b.flag("f1", mte2, mte1, 0), b.flag("f2", mte1, cube, 0), b.flag("f3", cube, fix, 0)
	bits := func(f format.Format, n int64) int64 { return (n*int64(f.Bits()) + 7) / 8 }
	type operand struct {
		param, far, near int
		f                format.Format
		rows, cols       int64
	}
	var all []operand
	for i, o := range []operand{{f: f, rows: m, cols: k}, {f: f, rows: wr, cols: wc}, {f: scale, rows: m, cols: q}, {f: scale, rows: n, cols: q}} {
		name := []string{"x", "w", "sx", "sw"}[i]
		o.param = b.param([]int{x, w, sx, sw}[i], true, false)
		o.far = b.local(name+"1", "l1", o.rows*bits(o.f, o.cols), 1)
		o.near = b.local(name+"0", []string{"l0a", "l0b"}[i%2], o.rows*bits(o.f, o.cols), 1)
		all = append(all, o)
	}
	py := b.param(y, false, true)
	acc := b.local("acc", "l0c", m*n*4, 1)
	tile := func(t plan.Tile, o *operand) plan.Tile { return strided(t, bits(o.f, o.cols), int64(o.f.Bits()/8)) }
	for i := range all {
		o := &all[i]
		b.move(tile(b.at(o.far, o.f, plan.C(0), o.rows, o.cols), o), tile(b.global(o.param, o.f, plan.C(0), o.rows, o.cols), o))
	}
	b.signal(f1)
	b.wait(f1)
	for i := range all {
		o := &all[i]
		b.move(tile(b.at(o.near, o.f, plan.C(0), o.rows, o.cols), o), tile(b.at(o.far, o.f, plan.C(0), o.rows, o.cols), o))
	}
	b.signal(f2)
	b.wait(f2)
	near := func(i int) plan.Tile {
		return tile(b.at(all[i].near, all[i].f, plan.C(0), all[i].rows, all[i].cols), &all[i])
	}
	flip := func(t plan.Tile) plan.Tile {
		t.Size, t.Stride = []plan.Val{t.Size[1], t.Size[0]}, []int64{t.Stride[1], t.Stride[0]}
		return t
	}
	right := near(1)
	if !columns {
		right = flip(right)
	}
	in := plan.Instr{Op: plan.Mma, Queue: cube, Dst: b.at(acc, format.F32, plan.C(0), m, n), A: near(0), B: right, C: near(2), D: flip(near(3))}
	b.emit(in)
	if start { // and once more, on top of that
		in.Acc = plan.C(1)
		b.emit(in)
	}
	b.signal(f3)
	b.wait(f3)
	b.move(b.global(py, format.F32, plan.C(0), m, n), b.at(acc, format.F32, plan.C(0), m, n))
	b.launch(1, x, w, sx, sw, y)
	return b
}

// sumScaled is what such a product is, in plain arithmetic: the sum of each block, and one rounding where it is added times its scales.
func sumScaled(r *chip.MatrixRate, x, y, sx, sy []float64, start float64) float64 {
	g, s := r.ScaleBlock, start
	for q := 0; q*g < len(x); q++ {
		end := min((q+1)*g, len(x))
		part := sumAs(r, x[q*g:end], y[q*g:end], 0)
		s = float64(format.F32.Round(oddSum(part*sx[q]*sy[q], s)))
	}
	return s
}

func TestScaledProducts(t *testing.T) {
	for _, tc := range []struct {
		name       string
		f          format.Format
		m, n, k    int64
		acc, group int
		wild       bool // scales from one end to the other
		columns    bool // the right operand lies row by row of K
	}{
		{"mxfp8", format.F8E4M3FN, 5, 40, 96, 0, 0, false, false},
		{"a ragged end of K", format.F8E4M3FN, 20, 33, 70, 0, 0, false, false},
		{"mxfp8 of the wide kind", format.F8E5M2, 3, 7, 64, 0, 0, false, false},
		{"mxfp4", format.F4E2M1, 16, 33, 96, 0, 0, false, false},
		{"mxfp4, ragged", format.F4E2M1, 1, 5, 38, 0, 0, false, false},
		{"fewer bits within a block", format.F8E4M3FN, 6, 20, 96, 14, 4, false, false},
		{"scales beyond f32 together", format.F8E4M3FN, 6, 20, 96, 0, 0, true, false},
		{"mxfp8, K outside", format.F8E4M3FN, 5, 40, 96, 0, 0, false, true},
		{"mxfp4, K outside", format.F4E2M1, 5, 40, 96, 0, 0, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := loadChip(t, "ascend-950pr")
			rate := *rateOf(t, c, tc.f)
			rate.AccBits, rate.AccGroup = tc.acc, tc.group
			withRate(c, &rate)
			g := int64(rate.ScaleBlock)
			q := (tc.k + g - 1) / g
			r := rand.New(rand.NewSource(3))
			scales := func(rows int64) *tensor.Tensor {
				v := make([]float64, rows*q)
				for i := range v {
					if v[i] = math.Ldexp(1, r.Intn(13)-6); tc.wild {
						v[i] = math.Ldexp(1, r.Intn(250)-125)
					}
				}
				s, err := tensor.FromF64(rate.Scale, []int64{rows, q}, v)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			wr, wc := tc.n, tc.k
			if tc.columns {
				wr, wc = wc, wr
			}
			in := map[string]*tensor.Tensor{"x": random(t, r, tc.f, tc.m, tc.k), "w": random(t, r, tc.f, wr, wc), "sx": scales(tc.m), "sw": scales(tc.n)}
			x, w, sx, sw := f64s(t, in["x"]), f64s(t, in["w"]), f64s(t, in["sx"]), f64s(t, in["sw"])
			if tc.columns { // seen as the others
				turned := make([]float64, len(w))
				for p := range tc.k {
					for j := range tc.n {
						turned[j*tc.k+p] = w[p*tc.n+j]
					}
				}
				w = turned
			}
			for _, again := range []bool{false, true} {
				b := scaledPlan(t, c, tc.f, rate.Scale, tc.m, tc.n, tc.k, g, again, tc.columns)
				for _, o := range []Order{nil, Random(1)} {
					mach, err := New(b.p, c, nil, Options{Guard: true, Order: o})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := mach.Run(context.Background(), in); err != nil { // which leaves something where the next sums begin
						t.Fatal(err)
					}
					out, err := mach.Run(context.Background(), in)
					if err != nil {
						t.Fatal(err)
					}
					got := f64s(t, out["y"])
					for i := range tc.m {
						for j := range tc.n {
							row := func(v []float64, i, n int64) []float64 { return v[i*n:][:n] }
							want := sumScaled(&rate, row(x, i, tc.k), row(w, j, tc.k), row(sx, i, q), row(sw, j, q), 0)
							if again {
								want = sumScaled(&rate, row(x, i, tc.k), row(w, j, tc.k), row(sx, i, q), row(sw, j, q), want)
							}
							if have := got[i*tc.n+j]; have != want && !(math.IsNaN(have) && math.IsNaN(want)) {
								t.Fatalf("element %d,%d is %v, want %v", i, j, have, want)
							}
						}
					}
				}
			}
		})
	}
}

// TestScalesRefused: scales that a chip does not take are refused before anything runs.
func TestScalesRefused(t *testing.T) {
	c := loadChip(t, "ascend-950pr")
	for _, tc := range []struct {
		name, want string
		change     func(b *builder, in *plan.Instr)
		f          format.Format
	}{
		{"of one side only", "scales of both or of none", func(b *builder, in *plan.Instr) { in.D = plan.NoTile }, format.F8E4M3FN},
		{"in another format", "expected f8e8m0", func(b *builder, in *plan.Instr) { in.C.Format, in.D.Format = format.U8, format.U8 }, format.F8E4M3FN},
		{"too few", "scales", func(b *builder, in *plan.Instr) { in.C.Size[1], in.D.Size[0] = plan.C(2), plan.C(2) }, format.F8E4M3FN},
		{"for formats that have none", "takes no scales", nil, format.HIF8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := scaledPlan(t, c, tc.f, format.F8E8M0, 4, 8, 96, 32, false, false)
			if tc.change != nil {
				for i := range b.k.Code {
					if in := &b.k.Code[i]; in.Op == plan.Mma {
						tc.change(b, in)
					}
				}
			}
			_, err := New(b.p, c, nil, Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, expected %q", err, tc.want)
			}
		})
	}
}

// rateOf is the rate of products of a format with itself.
func rateOf(t *testing.T, c *chip.Chip, f format.Format) *chip.MatrixRate {
	_, r, ok := c.Matrix(f, f)
	if !ok {
		t.Fatalf("%s does not multiply %s", c.Name, f)
	}
	return r
}

// withRate gives a chip another rate for the same formats.
func withRate(c *chip.Chip, r *chip.MatrixRate) {
	engines := append([]*chip.Engine(nil), c.Engines...)
	for i, e := range engines {
		own := *e
		own.Matrix = append([]chip.MatrixRate(nil), e.Matrix...)
		for j := range own.Matrix {
			if x := &own.Matrix[j]; x.A == r.A && x.B == r.B && x.Acc == r.Acc {
				*x = *r
			}
		}
		engines[i] = &own
	}
	c.Engines = engines
}
