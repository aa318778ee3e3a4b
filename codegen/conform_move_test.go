package codegen

import (
	"fmt"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// moveFormats are formats of every width that stands in whole bytes; moving asks nothing else of a format.
var moveFormats = []format.Format{format.F64, format.F32, format.BF16, format.F8E4M3FN, format.Bool}

func dims(n ...int64) shape.Shape { return shape.Of(n...) }

// TestMove: ops that only move elements, at sizes from nothing to larger than any memory of a core, along every axis.
func TestMove(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range moveFormats {
			f := newFn()
			add := func(i *op.Info, attrs op.Attrs, xs ...*ir.Value) { f.out(exact, f.Op(i, attrs, xs...)) }
			for _, s := range [][]int64{{0}, {1}, {6}, {3, 5}, {2, 0, 3}, {4, 1, 6}, {300, 70}, {2, 3, 4, 5}, {3, 2, 1, 4, 2, 5}} {
				x := f.in(fm, s...)
				n := len(s)
				last := s[n-1]
				perm, back := make([]int64, n), make([]int64, n)
				for i := range perm {
					perm[i], back[i] = int64((i+1)%n), int64(n-1-i)
				}
				add(op.Transpose, ir.A("perm", perm), x)
				add(op.Transpose, ir.A("perm", back), x)
				add(op.Reverse, ir.A("axes", []int64{-1}), x)
				add(op.Reverse, ir.A("axes", perm), x)
				for ax := range s {
					add(op.Slice, ir.A("axis", ax, "start", shape.Const(s[ax]/3), "limit", shape.Const(s[ax])), x)
					add(op.Slice, ir.A("axis", ax, "start", shape.Const(0), "limit", shape.Const(s[ax]), "stride", 2), x)
					add(op.Concat, ir.A("axis", ax), x, f.in(fm, s...), x)
					for _, w := range [][3]int64{{1, 1, 1}, {2, 1, 1}, {3, 2, 1}, {2, 3, 2}} {
						if (w[0]-1)*w[2] < s[ax]+1 {
							add(op.Window, ir.A("axis", ax, "size", w[0], "stride", w[1], "dilation", w[2]), x)
						}
					}
					lo, hi := make([]int64, n), make([]int64, n)
					lo[ax], hi[(ax+1)%n] = 2, 3
					add(op.Pad, ir.A("low", lo, "high", hi), x, f.Scalar(fm, 1))
					add(op.Pad, ir.A("low", hi, "high", lo), x, f.in(fm))
				}
				add(op.Broadcast, ir.A("shape", append(dims(2, 3), x.Type.Shape...)), x)
				add(op.Broadcast, ir.A("shape", dims(5, 1, last)), f.in(fm, last))
				add(op.Broadcast, ir.A("shape", dims(4, 7)), f.in(fm, 4, 1))
				add(op.Reshape, ir.A("shape", dims(numel(s))), x)
			}
			add(op.Broadcast, ir.A("shape", dims(3, 4)), f.in(fm))
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestMoveLarge: rows and columns that no memory of a core holds.
func TestMoveLarge(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		f := newFn()
		x, y := f.in(format.F32, 3, 70000), f.in(format.F32, 70000, 3)
		f.out(exact, f.Op(op.Transpose, ir.A("perm", []int64{1, 0}), x), f.Op(op.Transpose, ir.A("perm", []int64{1, 0}), y))
		f.out(exact, f.Op(op.Concat, ir.A("axis", 1), x, x), f.Op(op.Concat, ir.A("axis", 0), y, y), f.Op(op.Reverse, ir.A("axes", []int64{0, 1}), y))
		f.out(exact, f.Op(op.Pad, ir.A("low", []int64{1, 2}, "high", []int64{0, 70000}), x, f.Scalar(format.F32, 7)))
		f.out(exact, f.Op(op.Slice, ir.A("axis", 0, "start", shape.Const(1), "limit", shape.Const(70000), "stride", 3), y))
		f.out(exact, f.Op(op.Broadcast, ir.A("shape", dims(2, 3, 70000)), f.in(format.F32, 3, 1)))
		f.hold(t, c, true)
	})
}

// TestMoveBits: what is narrower than a byte moves as long as it does so in whole bytes.
func TestMoveBits(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.I4, format.U4} {
			f := newFn()
			x := f.in(fm, 6, 4, 8)
			f.out(exact, f.Op(op.Transpose, ir.A("perm", []int64{1, 0, 2}), x))
			f.out(exact, f.Op(op.Slice, ir.A("axis", 1, "start", shape.Const(1), "limit", shape.Const(3)), x))
			f.out(exact, f.Op(op.Slice, ir.A("axis", 2, "start", shape.Const(2), "limit", shape.Const(6)), x))
			f.out(exact, f.Op(op.Concat, ir.A("axis", 2), x, x), f.Op(op.Concat, ir.A("axis", 0), x, x))
			f.out(exact, f.Op(op.Broadcast, ir.A("shape", dims(2, 6, 4, 8)), x))
			f.hold(t, c, true)
			g := newFn() // an odd number of elements, as a whole
			g.out(exact, g.Op(op.Slice, ir.A("axis", 0, "start", shape.Const(0), "limit", shape.Const(3)), g.in(fm, 3, 5)))
			g.hold(t, c, true)
		}
	})
}

// TestIotaAndDim counts along every axis.
func TestIotaAndDim(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		f := newFn()
		for _, fm := range []format.Format{format.I32, format.F32, format.Bool} {
			for _, s := range [][]int64{{1}, {7}, {0, 3}, {3, 5, 4}, {2, 3000}} {
				for ax := range s {
					f.out(exact, f.Op(op.Iota, ir.A("format", fm, "shape", dims(s...), "axis", ax)))
				}
			}
		}
		f.out(exact, f.Op(op.DimValue, ir.A("of", shape.Const(12))))
		f.hold(t, c, true)
	})
}

// TestUpdate: into the whole of a state, in place or not, at starts that are constant, read, or computed, one for all or one a row.
func TestUpdate(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F32, format.F16} {
			f := newFn()
			for _, s := range []struct {
				x, y []int64
				ax   int
			}{{[]int64{2, 9, 5}, []int64{2, 3, 5}, 1}, {[]int64{7}, []int64{2}, 0}, {[]int64{3, 4, 600}, []int64{3, 4, 100}, -1}, {[]int64{3, 5}, []int64{3, 5}, 1}, {[]int64{4, 1, 2}, []int64{4, 0, 2}, 1}} {
				ax := axisOf(int64(s.ax), len(s.x))
				room := s.x[ax] - s.y[ax] + 1
				at := f.input(index, room, format.I32)
				f.out(exact, f.Op(op.Update, ir.A("axis", s.ax), f.in(fm, s.x...), f.in(fm, s.y...), at))
				f.out(exact, f.Op(op.Update, ir.A("axis", s.ax), f.in(fm, s.x...), f.in(fm, s.y...), f.Scalar(format.I32, float64(room-1))))
				if ax > 0 {
					f.out(exact, f.Op(op.Update, ir.A("axis", s.ax), f.in(fm, s.x...), f.in(fm, s.y...), f.input(index, room, format.I64, s.x[0])))
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestUpdateKernels: updates fused with what computes their rows, their start, or reads what they overwrite.
func TestUpdateKernels(t *testing.T) {
	for i, src := range []string{
		`%a = transpose(%y) {perm=[1,0,2]} : f32[4,3,5]
		 %b = mul(%a, %a) : f32[4,3,5]
		 %r = update(%x, %b, %at) {axis=1} : f32[4,9,5]
		 yield(%r, %b)`,
		`%one = constant {value=i32[] 1} : i32[]
		 %next = add(%at, %one) : i32[]
		 %a = transpose(%y) {perm=[1,0,2]} : f32[4,3,5]
		 %r = update(%x, %a, %next) {axis=1} : f32[4,9,5]
		 yield(%r)`,
		`%a = slice(%x) {axis=1, start=2, limit=5} : f32[4,3,5]
		 %b = add(%a, %a) : f32[4,3,5]
		 %r = update(%x, %b, %at) {axis=1} : f32[4,9,5]
		 yield(%r)`,
		`%n = neg(%x) : f32[4,9,5]
		 %a = transpose(%y) {perm=[1,0,2]} : f32[4,3,5]
		 %r = update(%n, %a, %at) {axis=1} : f32[4,9,5]
		 yield(%r)`,
		`%p = concat(%y, %y) {axis=0} : f32[6,4,5]
		 %a = transpose(%p) {perm=[1,0,2]} : f32[4,6,5]
		 %r = update(%x, %a, %zero) {axis=1} : f32[4,9,5]
		 yield(%r)`,
		`%a = transpose(%y) {perm=[1,0,2]} : f32[4,3,5]
		 %b = exp(%a) : f32[4,3,5]
		 %r = update(%x, %b, %rows) {axis=1} : f32[4,9,5]
		 %q = update(%x, %a, %rows) {axis=1} : f32[4,9,5]
		 yield(%r, %q)`,
		`%one = constant {value=i32[] 1} : i32[]
		 %next = add(%rows, %one) : i32[4]
		 %a = transpose(%y) {perm=[1,0,2]} : f32[4,3,5]
		 %r = update(%x, %a, %next) {axis=1} : f32[4,9,5]
		 yield(%r)`,
	} {
		eachKernel(t, fmt.Sprint(i), `%x: f32[4,9,5], %y: f32[3,4,5], %at: i32[], %rows: i32[4], %zero: i32[]`, "map", src)
	}
}
