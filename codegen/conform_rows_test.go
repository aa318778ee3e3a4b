package codegen

import (
	"errors"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// sumBound: a sum of n terms in f32 is off by at most n-1 roundings of partial sums, each no larger than the sum of magnitudes; a format
// narrower than f32 rounds once for each axis that is folded.
func sumBound(f format.Format, n int64, axes int) bound {
	b := bound{ulps: float64(axes) + 1, terms: float64(n), bits: 24}
	if f == format.F64 {
		b.bits = 53
	}
	if f.Bits() < 32 && f.IsFloat() {
		b.terms, b.bits = float64(axes)+1, f.Info().ManBits
	}
	return b
}

// TestReduce: every kind along every axis, with and without keeping it, also of no elements.
func TestReduce(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range computeFormats {
			f := newFn()
			for _, s := range [][]int64{{1}, {9}, {0, 3}, {4, 5, 6}, {2, 1, 300}, {2, 2, 3, 2, 1, 3}} {
				x := f.in(fm, s...)
				for mask := 1; mask < min(1<<len(s), 10); mask++ {
					var axes []int64
					n := int64(1)
					for i := range s {
						if mask>>i&1 != 0 {
							axes = append(axes, int64(i))
							n *= s[i]
						}
					}
					for _, kind := range []string{"sum", "prod", "max", "min", "mean", "all", "any"} {
						if n == 0 && (kind == "mean" || kind == "max" || kind == "min") {
							continue // 0/0, and what is below all: covered where it is asked for
						}
						attrs := ir.A("kind", kind, "axes", axes, "keep", mask&1 == 0)
						if v := f.tryOp(op.Reduce, attrs, x); v != nil {
							b := sumBound(fm, n, len(axes))
							switch {
							case kind == "max" || kind == "min":
								b = exact
							case kind == "prod": // each factor rounds once
								b = bound{ulps: float64(n + 1)}
							}
							f.out(b, v)
						}
					}
				}
			}
			if fm != format.Bool {
				x := f.in(fm, 2, 0)
				for _, kind := range []string{"max", "min", "sum", "prod"} {
					f.out(exact, f.Op(op.Reduce, ir.A("kind", kind, "axes", []int64{1}), x))
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestCumsum: both ways, with the element and without, along every axis.
func TestCumsum(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F64, format.F32, format.F16, format.BF16, format.I64, format.U64, format.I32, format.I8, format.U16} {
			f := newFn()
			for _, s := range [][]int64{{1}, {7}, {0, 2}, {3, 4, 5}, {2, 800}} {
				x := f.in(fm, s...)
				for ax := range s {
					for k := 0; k < 4; k++ {
						b := sumBound(fm, s[ax], 0)
						if fm.Bits() < 32 { // the running sum is rounded at every step
							b.terms = float64(s[ax])
						}
						f.out(b, f.Op(op.Cumsum, ir.A("axis", ax, "exclusive", k&1 != 0, "reverse", k&2 != 0), x))
						for _, kind := range []string{"max", "min", "prod"} {
							if b = exact; kind == "prod" {
								b = bound{ulps: float64(s[ax] + 1)}
							}
							f.out(b, f.Op(op.Cumsum, ir.A("axis", ax, "kind", kind, "exclusive", k&1 != 0, "reverse", k&2 != 0), x))
						}
					}
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestCumsumLong: rows that no memory of a core holds are summed chunk by chunk.
func TestCumsumLong(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		f := newFn()
		x := f.in(format.F32, 2, 90000)
		for k := 0; k < 4; k++ {
			f.out(sumBound(format.F32, 90000, 0), f.Op(op.Cumsum, ir.A("axis", 1, "exclusive", k&1 != 0, "reverse", k&2 != 0), x))
		}
		f.out(exact, f.Op(op.Cumsum, ir.A("axis", 0), f.in(format.I32, 70000, 2)))
		f.hold(t, c, true)
	})
}

// TestSearch: top_k and argmax, equal elements and NaN among them.
func TestSearch(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F64, format.F32, format.F16, format.I64, format.U64, format.I32, format.U32, format.I16, format.U8} {
			f := newFn()
			for _, s := range [][]int64{{1}, {8}, {3, 17}, {2, 3, 64}, {5, 1, 256}} {
				for _, kd := range []kindOf{normal, special} {
					x := f.input(kd, 4, fm, s...)
					n := s[len(s)-1]
					for _, k := range []int64{0, 1, n/2 + 1, n} {
						if k > n {
							continue
						}
						o := f.Create(op.TopK, ir.A("k", shape.Const(k), "largest", k%2 == 0), x)
						f.out(exact, o.Results()...)
					}
					for ax := range s {
						f.out(exact, f.Op(op.ArgMax, ir.A("axis", ax), x))
					}
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestTooLong: a row to be sorted that does not fit is an error that says how much is missing where.
func TestTooLong(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		f := newFn()
		f.out(exact, f.Op(op.ArgMax, ir.A("axis", 1), f.in(format.F32, 2, 200000)))
		f.done(t)
		eachAlone(f)
		_, err := Compile(f.f, c.Chip, Options{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "needs") || !strings.Contains(err.Error(), "which has") || !strings.Contains(err.Error(), "cannot be tiled") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestIndex: gather, gather_elements and scatter_elements with indices in range, from the end and beyond, of both formats.
func TestIndex(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F32, format.BF16, format.I64, format.U64, format.F64, format.U8} {
			f := newFn()
			for _, ixf := range []format.Format{format.I32, format.I64} {
				for _, s := range []struct {
					x, i []int64
					ax   int
				}{
					{[]int64{5}, []int64{}, 0}, {[]int64{5, 3}, []int64{4}, 0}, {[]int64{5, 3}, []int64{2, 3}, 1}, {[]int64{4, 5, 6}, []int64{3, 2}, 1},
					{[]int64{9, 700}, []int64{20}, 0}, {[]int64{3, 1, 5}, []int64{1, 1, 2}, -1}, {[]int64{7, 2, 2}, []int64{0}, 0}, {[]int64{6}, []int64{400, 3}, 0},
				} {
					n := s.x[axisOf(int64(s.ax), len(s.x))]
					f.out(exact, f.Op(op.Gather, ir.A("axis", s.ax), f.in(fm, s.x...), f.input(anyIndex, n, ixf, s.i...)))
				}
				for _, s := range [][]int64{{6}, {3, 5}, {2, 4, 3}} {
					for ax := range s {
						is := append([]int64{}, s...)
						is[ax] = 4
						ix := f.input(anyIndex, s[ax], ixf, is...)
						x := f.in(fm, s...)
						f.out(exact, f.Op(op.GatherElements, ir.A("axis", ax), x, ix))
						f.out(exact, f.Op(op.ScatterElements, ir.A("axis", ax), x, ix, f.in(fm, is...)))
						f.out(exact, f.Op(op.ScatterElements, ir.A("axis", ax), x, ix, f.Scalar(fm, 2)))
						{
							for _, r := range []string{"add", "mul", "max", "min"} {
								b := exact
								if fm.IsFloat() && (r == "add" || r == "mul") { // each of up to four updates rounds, in f32 and in the format
									b = bound{ulps: 8, terms: 8, bits: fm.Info().ManBits}
								}
								f.out(b, f.Op(op.ScatterElements, ir.A("axis", ax, "reduce", r), x, ix, f.in(fm, is...)))
							}
						}
					}
				}
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestGroupRows: more slots than fit at once, groups without any, a single group.
func TestGroupRows(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		f := newFn()
		for _, s := range []struct {
			n, k   int64
			groups int64
		}{{1, 1, 1}, {5, 2, 3}, {0, 2, 4}, {40, 8, 16}, {700, 3, 5}, {9, 1, 256}, {9000, 2, 7}} {
			o := f.Create(op.GroupRows, ir.A("groups", s.groups), f.input(index, s.groups, format.I32, s.n, s.k))
			f.out(exact, o.Results()...)
		}
		f.hold(t, c, true)
	})
}

// TestScales: quantize gives the same codes and scales but where a quotient lies within two roundings of the middle between codes, which
// random numbers do not meet; dequantize rounds a product once.
func TestScales(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, q := range []format.Format{format.I8, format.F8E4M3FN, format.F8E5M2, format.U8} {
			f := newFn()
			for _, s := range []struct{ x, block []int64 }{
				{[]int64{8}, []int64{8}}, {[]int64{3, 10}, []int64{4}}, {[]int64{3, 300}, []int64{128}}, {[]int64{5, 1, 6}, []int64{1}},
				{[]int64{2, 6, 9}, []int64{4, 4}}, {[]int64{4, 7}, []int64{3, 1}}, {[]int64{0, 4}, []int64{2}},
			} {
				for _, fm := range []format.Format{format.F32, format.F16} {
					o := f.Create(op.Quantize, ir.A("block", s.block, "format", q), f.in(fm, s.x...))
					f.out(bound{ulps: 1}, o.Results()...)
					f.out(bound{ulps: 1}, f.Op(op.Dequantize, ir.A("block", s.block, "format", fm), f.in(q, s.x...), f.in(format.F32, shapeOf(o.Result(1))...)))
				}
			}
			t.Run(q.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestPowerScales: quantize with scales that are powers of two gives the very codes and scales of the reference, also of what is not
// finite, and a cast to f8e8m0 keeps the scales.
func TestPowerScales(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, q := range []format.Format{format.F8E4M3FN, format.F8E5M2, format.F6E2M3, format.F4E2M1} {
			f := newFn()
			for _, s := range []struct{ x, block []int64 }{
				{[]int64{8}, []int64{8}}, {[]int64{3, 300}, []int64{32}}, {[]int64{5, 1, 8}, []int64{1}}, {[]int64{2, 6, 12}, []int64{4, 4}}, {[]int64{0, 4}, []int64{2}},
			} {
				for _, k := range []kindOf{normal, special} {
					for _, fm := range []format.Format{format.F32, format.F16} {
						for _, kind := range []string{"mx", "ue8m0"} {
							o := f.Create(op.Quantize, ir.A("block", s.block, "format", q, "scale", kind, "floor", 1e-12), f.input(k, 4, fm, s.x...))
							f.out(exact, o.Results()...)
							f.out(exact, f.Cast(o.Result(1), format.F8E8M0))
						}
					}
				}
			}
			t.Run(q.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}
