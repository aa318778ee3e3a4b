package codegen

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/targets/chip"
)

// productBound: a sum of k products rounds at most k times in the accumulator's format, each time relative to a partial sum that is
// no larger than the sum of magnitudes; the result rounds once more, or twice when K was cut and the parts were added. An accumulator that
// keeps fewer bits truncates (twice the error of rounding) once a group of products, and is emptied into an f32 sum now and then.
func productBound(r *chip.MatrixRate, out format.Format, k int64) bound {
	if !out.IsFloat() {
		return exact
	}
	b := bound{ulps: 1, terms: float64(k + 16), bits: 24}
	switch {
	case r.Acc == format.F64:
		b.bits = 53
	case r.AccBits > 0:
		n := k
		if r.Promote > 0 {
			n = min(n, int64(r.Promote))
		}
		b.terms, b.bits = float64(n)/float64(max(r.AccGroup, 1))+2, r.AccBits-1
	}
	return b
}

var specs = []struct {
	spec string
	a, b []int64
}{
	{"mk,nk->mn", []int64{1, 1}, []int64{1, 1}},
	{"mk,nk->mn", []int64{1, 1000}, []int64{33, 1000}},
	{"mk,nk->mn", []int64{70, 130}, []int64{90, 130}},
	{"mk,kn->mn", []int64{17, 40}, []int64{40, 65}},
	{"km,kn->mn", []int64{40, 17}, []int64{40, 9}},
	{"km,nk->nm", []int64{40, 17}, []int64{9, 40}},
	{"btd,fd->btf", []int64{2, 3, 64}, []int64{40, 64}},
	{"bthd,bshd->bhts", []int64{2, 5, 3, 16}, []int64{2, 7, 3, 16}},
	{"bhts,bshd->bthd", []int64{2, 3, 5, 7}, []int64{2, 7, 3, 16}},
	{"thd,dhe->the", []int64{5, 3, 8}, []int64{8, 3, 6}},
	{"abc,dbc->ad", []int64{5, 6, 32}, []int64{9, 6, 32}}, // two summed axes
	{"a,b->ab", []int64{40}, []int64{23}},                 // nothing summed
	{"a,a->", []int64{77}, []int64{77}},
	{"ab,a->b", []int64{20, 30}, []int64{20}},
	{"ab,cb->c", []int64{3, 32}, []int64{5, 32}}, // an axis of one operand summed
	{"ab,c->ac", []int64{3, 8}, []int64{16}},
	{"mk,nk->mn", []int64{0, 8}, []int64{4, 8}},
	{"mk,nk->mn", []int64{3, 0}, []int64{4, 0}},
}

// TestEinsum: every pair of formats that a chip multiplies, contractions of every form, into every format that the sum has a way to.
func TestEinsum(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F64, format.F32, format.TF32, format.HF32, format.BF16, format.F16, format.F8E4M3FN, format.F8E5M2, format.I8} {
			_, rate, ok := c.Matrix(fm, fm)
			if !ok {
				continue
			}
			f := newFn()
			f.orders = true
			outs := []format.Format{rate.Acc}
			if rate.Acc == format.F32 {
				outs = append(outs, format.BF16, format.F16)
			}
			for _, s := range specs {
				e, _ := op.ParseEinsum(s.spec)
				k := int64(1)
				for i := range e.A {
					if strings.IndexByte(e.Out, e.A[i]) < 0 {
						k *= max(s.a[i], 1)
					}
				}
				for _, out := range outs {
					f.out(productBound(rate, out, k), f.Op(op.Einsum, ir.A("spec", s.spec, "format", out), f.in(fm, s.a...), f.in(fm, s.b...)))
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestEinsumLarge: tiles, blocks and steps of K many times over on every chip as it is, ragged on every side.
func TestEinsumLarge(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		if strings.HasSuffix(c.name, "little") {
			return
		}
		f := newFn()
		f.orders = true
		_, rate, _ := c.Matrix(format.F32, format.F32)
		b := productBound(rate, format.F32, 2500)
		f.out(b, f.Op(op.Einsum, ir.A("spec", "mk,nk->mn"), f.in(format.F32, 300, 700), f.in(format.F32, 555, 700)))
		f.out(b, f.Op(op.Einsum, ir.A("spec", "mk,nk->mn"), f.in(format.F32, 2, 2500), f.in(format.F32, 30, 2500)))
		f.out(b, f.Op(op.Einsum, ir.A("spec", "km,kn->nm"), f.in(format.F32, 513, 130), f.in(format.F32, 513, 67)))
		f.hold(t, c, true)
	})
}

// TestScaledMatmul: block scales on either side, one scale a row, ragged blocks, groups without rows.
func TestScaledMatmul(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F8E4M3FN, format.I8} {
			_, rate, ok := c.Matrix(fm, fm)
			if !ok || fm == format.I8 && c.Chip.EnginesOf(chip.Vector) == nil {
				continue
			}
			f := newFn()
			f.orders = true
			for _, s := range []struct {
				a       []int64
				n, h, g int64
			}{
				{[]int64{5, 300}, 200, 128, 128}, {[]int64{1, 64}, 7, 1, 64}, {[]int64{2, 3, 96}, 40, 16, 32}, {[]int64{130, 256}, 136, 128, 128}, {[]int64{3, 40}, 9, 200, 128},
			} {
				k := s.a[len(s.a)-1]
				sa := append(append([]int64{}, s.a[:len(s.a)-1]...), ceilDiv(k, s.g))
				x, w := f.in(fm, s.a...), f.in(fm, s.n, k)
				b := productBound(rate, format.F32, k)
				b.terms += float64(ceilDiv(k, s.g)) * math.Exp2(float64(b.bits-23)) // the f32 sum of the blocks
				for _, out := range []format.Format{format.F32, format.BF16} {
					f.out(b, f.Op(op.ScaledMatmul, ir.A("block", []int64{s.h, s.g}, "format", out), x, w,
						f.input(positive, 0, format.F32, sa...), f.input(positive, 0, format.F32, ceilDiv(s.n, s.h), ceilDiv(k, s.g))))
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// blindScalar is a chip whose scalar unit reads global memory alone.
func blindScalar(c *chip.Chip) *chip.Chip {
	l := *c
	l.Engines = nil
	for _, e := range c.Engines {
		n := *e
		if n.Kind == chip.Scalar {
			n.Mem = nil
		}
		l.Engines = append(l.Engines, &n)
	}
	return &l
}

// TestGroupedMatmul: few rows for many groups and many for few, as group_rows sorts them, with scales and without; tile by tile, and group by
// group where the scalar unit reads no list.
func TestGroupedMatmul(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F32, format.BF16, format.F8E4M3FN} {
			_, rate, ok := c.Matrix(fm, fm)
			if !ok {
				continue
			}
			for _, on := range []target{c, {c.name + "/blind", blindScalar(c.Chip)}} {
				f := newFn()
				f.orders = true
				for _, s := range []struct{ rows, groups, d, n int64 }{{9, 3, 48, 40}, {4, 20, 32, 17}, {150, 2, 64, 33}, {1, 1, 8, 8}, {0, 3, 16, 8}} {
					ids := f.input(index, s.groups, format.I32, s.rows, 1)
					off := f.Create(op.GroupRows, ir.A("groups", s.groups), ids).Result(2)
					x, w := f.in(fm, s.rows, s.d), f.in(fm, s.groups, s.n, s.d)
					b := productBound(rate, format.F32, s.d)
					if fm != format.F8E4M3FN {
						f.out(b, f.Op(op.GroupedMatmul, ir.A("format", format.F32), x, w, off))
						continue
					}
					b.terms += 2
					f.out(b, f.Op(op.GroupedMatmul, ir.A("block", []int64{16, 32}, "format", format.F32), x, w, off,
						f.input(positive, 0, format.F32, s.rows, ceilDiv(s.d, 32)), f.input(positive, 0, format.F32, s.groups, ceilDiv(s.n, 16), ceilDiv(s.d, 32))))
				}
				t.Run(fm.String()+strings.TrimPrefix(on.name, c.name), func(t *testing.T) { f.hold(t, on, true) })
			}
		}
	})
}

// TestContractKernels: what a product may stand between.
func TestContractKernels(t *testing.T) {
	params := `%x: f32[3,5,64], %w: f32[48,64], %v: f32[48,64], %bias: f32[48], %r: f32[3,5,48], %h: f16[48,64], %state: f32[3,9,4,12], %at: i32[], %z: f32[3,48]`
	for i, src := range []string{
		`%y = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,48]
		 %a = add(%y, %bias) : f32[3,5,48]
		 %b = add(%a, %r) : f32[3,5,48]
		 yield(%b)`,
		`%g = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,48]
		 %u = einsum(%x, %v) {spec="btd,fd->btf"} : f32[3,5,48]
		 %s = sigmoid(%g) : f32[3,5,48]
		 %m = mul(%g, %s) : f32[3,5,48]
		 %y = mul(%m, %u) : f32[3,5,48]
		 yield(%y)`,
		`%y = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,48]
		 %h4 = reshape(%y) {shape=[3,5,4,12]} : f32[3,5,4,12]
		 %t = transpose(%h4) {perm=[0,2,1,3]} : f32[3,4,5,12]
		 yield(%t)`,
		`%y = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,48]
		 %h4 = reshape(%y) {shape=[3,5,4,12]} : f32[3,5,4,12]
		 %q = mul(%h4, %h4) : f32[3,5,4,12]
		 %u = update(%state, %q, %at) {axis=1} : f32[3,9,4,12]
		 yield(%u, %y)`,
		`%y = einsum(%x, %w) {spec="btd,fd->btf"} : f32[3,5,48]
		 %c = concat(%y, %r, %y) {axis=2} : f32[3,5,144]
		 %n = neg(%r) : f32[3,5,48]
		 yield(%c, %n)`,
		`%f = cast(%h) {format=f32} : f32[48,64]
		 %k = mul(%f, %w) : f32[48,64]
		 %y = einsum(%x, %k) {spec="btd,fd->btf"} : f32[3,5,48]
		 yield(%y)`,
		`%e = exp(%x) : f32[3,5,64]
		 %y = einsum(%e, %w) {spec="btd,fd->btf"} : f32[3,5,48]
		 %m = reduce(%y) {kind="max", axes=[2], keep=true} : f32[3,5,1]
		 %s = add(%y, %m) : f32[3,5,48]
		 yield(%s)`,
		`%y = einsum(%x, %z) {spec="btd,bf->btfd"} : f32[3,5,48,64]
		 yield(%y)`,
		`%y = einsum(%x, %w) {spec="btd,fd->tbf"} : f32[5,3,48]
		 %t = transpose(%y) {perm=[1,0,2]} : f32[3,5,48]
		 %a = add(%t, %r) : f32[3,5,48]
		 yield(%a)`,
	} {
		eachKernel(t, fmt.Sprint(i), params, "contract", src)
	}
}

// TestBatchedHalfBytes: a product along whose last axis a tile has one element is not followed by what is written in whole bytes.
func TestBatchedHalfBytes(t *testing.T) {
	for _, c := range targets() {
		f := kernel(t, `%x: f32[8,64], %w: f32[8,64]`, "contract", `%p = einsum(%x, %w) {spec="ab,ab->a"} : f32[8]
			%y = cast(%p) {format=f4e2m1} : f4e2m1[8]
			yield(%y)`, exact)
		if _, err := Compile(f.f, c.Chip, Options{}); err == nil || !strings.Contains(err.Error(), "which is one of both operands") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
