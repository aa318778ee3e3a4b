package codegen

import (
	"testing"

	"apogee/codegen/codegentest"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// scaledTargets are chips whose matrix engine takes block scales: one that says so, and one of each other family that is given such rates.
func scaledTargets(t *testing.T) []target {
	load := func(name string) *chip.Chip {
		c, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	withScales := func(c *chip.Chip) *chip.Chip {
		l := *c
		l.Engines = nil
		for _, e := range c.Engines {
			n := *e
			if e.Kind == chip.Matrix {
				n.Matrix = append([]chip.MatrixRate(nil), e.Matrix...)
				for i := range e.Matrix {
					if r := n.Matrix[i]; r.Acc == format.F32 && len(n.Matrix) == len(e.Matrix) {
						for _, f := range []format.Format{format.F8E4M3FN, format.F4E2M1} {
							r.A, r.B, r.Acc, r.Scale, r.ScaleBlock = f, f, format.F32, format.F8E8M0, 32
							n.Matrix = append(n.Matrix, r)
						}
					}
				}
			}
			l.Engines = append(l.Engines, &n)
		}
		return &l
	}
	ascend := load("ascend-950pr")
	var out []target
	for _, c := range []target{{"ascend-950pr", ascend}, {"simt", withScales(load("hygon-k100-ai"))}, {"simd", withScales(load("loongson-3c6000"))}} {
		out = append(out, c, target{c.name + "/little", little(c.Chip, 16)})
	}
	return out
}

// TestBlockScales: products whose scales the engine itself takes, as codes of one byte and of half of one: ragged blocks, rows and columns,
// sums longer than a step, two products of one left operand, groups.
func TestBlockScales(t *testing.T) {
	for _, c := range scaledTargets(t) {
		for _, fm := range []format.Format{format.F8E4M3FN, format.F4E2M1} {
			_, rate, ok := c.Matrix(fm, fm)
			if !ok || rate.ScaleBlock == 0 {
				t.Fatalf("%s has no scales for %s", c.name, fm)
			}
			t.Run(c.name+"/"+fm.String(), func(t *testing.T) {
				t.Parallel()
				f := newFn()
				f.orders = true
				scale := func(dims ...int64) *ir.Value { return f.input(positive, 0, format.F8E8M0, dims...) }
				attrs := ir.A("block", []int64{1, 32}, "format", format.F32)
				for _, s := range []struct {
					a []int64
					n int64
				}{{[]int64{5, 320}, 200}, {[]int64{1, 64}, 7}, {[]int64{2, 3, 96}, 40}, {[]int64{40, 70}, 33}, {[]int64{3, 24}, 9}, {[]int64{1, 3000}, 64}, {[]int64{2, 8000}, 16}, {[]int64{130, 1024}, 136}} {
					k := s.a[len(s.a)-1]
					sa := append(append([]int64{}, s.a[:len(s.a)-1]...), ceilDiv(k, 32))
					x, sx := f.in(fm, s.a...), scale(sa...)
					b := productBound(rate, format.F32, k)
					f.out(b, f.Op(op.ScaledMatmul, attrs, x, f.in(fm, s.n, k), sx, scale(s.n, ceilDiv(k, 32))))
				}
				for _, s := range []struct{ rows, groups, d, n int64 }{{9, 3, 48, 40}, {4, 20, 32, 17}, {150, 2, 64, 33}, {0, 3, 16, 8}} {
					ids := f.input(index, s.groups, format.I32, s.rows, 1)
					off := f.Create(op.GroupRows, ir.A("groups", s.groups), ids).Result(2)
					f.out(productBound(rate, format.F32, s.d), f.Op(op.GroupedMatmul, attrs, f.in(fm, s.rows, s.d), f.in(fm, s.groups, s.n, s.d), off,
						scale(s.rows, ceilDiv(s.d, 32)), scale(s.groups, s.n, ceilDiv(s.d, 32))))
				}
				f.hold(t, c, true)
			})
		}
	}
}

// TestBlockScalesAreTheEngines: no vector instruction touches such scales, and each product has a tile of them for each operand.
func TestBlockScalesAreTheEngines(t *testing.T) {
	for _, c := range scaledTargets(t) {
		f := newFn()
		x, w := f.in(format.F8E4M3FN, 40, 256), f.in(format.F8E4M3FN, 64, 256)
		f.out(exact, f.Op(op.ScaledMatmul, ir.A("block", []int64{1, 32}, "format", format.F32), x, w, f.in(format.F8E8M0, 40, 8), f.in(format.F8E8M0, 64, 8)))
		f.done(t)
		codegentest.EachAlone(f.f)
		p, err := Compile(f.f, c.Chip, Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		n := 0
		for _, k := range p.Kernels {
			for i := range k.Code {
				in := &k.Code[i]
				if in.Op == plan.Mma {
					n++
					if !in.C.Has() || !in.D.Has() {
						t.Errorf("%s: a product without scales", c.name)
					}
				}
				if in.Op.Kind() == plan.Vector && (in.A.Has() && in.A.Format == format.F8E8M0 || in.Op == plan.Vec && in.Fn == plan.VMul) {
					t.Errorf("%s: %s scales", c.name, in.Op)
				}
			}
		}
		if n == 0 {
			t.Errorf("%s: nothing is multiplied", c.name)
		}
	}
}
