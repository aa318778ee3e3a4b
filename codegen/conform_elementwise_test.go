package codegen

import (
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

// shapes that every op of one operand meets: a scalar, nothing, single elements, ragged sizes, six axes, more than a little chip's
// memory.
var shapes = [][]int64{{}, {0}, {3, 0, 2}, {1}, {7}, {33}, {5, 1, 3}, {2, 3, 1, 5, 1, 4}, {1, 1, 1, 1, 1, 1}, {1000}, {3, 4001}}

// pairs of shapes that broadcast, on either side and on both.
var pairs = [][2][]int64{
	{{}, {}}, {{}, {5}}, {{7, 3}, {}}, {{3, 1}, {1, 4}}, {{2, 3, 4}, {4}}, {{4}, {2, 3, 4}}, {{2, 1, 4}, {3, 1}}, {{0, 3}, {1, 3}},
	{{2, 1, 3, 1, 2, 1}, {1, 5, 1, 2, 1, 3}}, {{5, 700}, {5, 1}}, {{1, 900}, {6, 900}},
}

var computeFormats = []format.Format{format.F64, format.F32, format.F16, format.BF16, format.I64, format.U64, format.I32, format.U32, format.I16, format.U16, format.I8, format.U8, format.Bool}

// elementBound: basic arithmetic and roots round once, in f32 and then in the format where it is narrower, which can differ from
// rounding once by a unit; transcendental functions are good to a unit of f32.
func elementBound(i *op.Info, f format.Format) bound {
	if !f.IsFloat() {
		return exact
	}
	switch i {
	case op.Neg, op.Abs, op.Sign, op.Floor, op.Ceil, op.Round, op.Max, op.Min:
		return exact
	case op.Add, op.Sub, op.Mul, op.Div, op.Reciprocal, op.Sqrt:
		if f == format.F32 || f == format.F64 {
			return exact
		}
	}
	return bound{ulps: 1}
}

// domain is the kind of numbers an op is defined for.
func domain(i *op.Info) kindOf {
	switch i {
	case op.Log, op.Sqrt, op.Rsqrt, op.Reciprocal, op.Div, op.Rem, op.Pow:
		return positive
	}
	return normal
}

func TestElementwise(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range computeFormats {
			f := newFn()
			for _, i := range op.All() {
				if i.Class != op.Elementwise || i == op.Cast || i == op.Bitcast {
					continue
				}
				switch len(i.Operands) {
				case 1:
					for _, s := range shapes {
						if v := f.tryOp(i, nil, f.input(domain(i), 0, fm, s...)); v != nil {
							f.out(elementBound(i, fm), v)
						}
					}
				case 2:
					for _, p := range pairs {
						if v := f.tryOp(i, nil, f.input(domain(i), 0, fm, p[0]...), f.input(domain(i), 0, fm, p[1]...)); v != nil {
							f.out(elementBound(i, fm), v)
						}
					}
					// One operand a constant, on either side.
					if x := f.input(domain(i), 0, fm, 3, 5); f.tryOp(i, nil, x, x) != nil {
						n := f.Scalar(fm, 3)
						f.out(elementBound(i, fm), f.Op(i, nil, x, n), f.Op(i, nil, n, x))
					}
				case 3:
					for _, p := range pairs {
						v := f.Op(i, nil, f.in(format.Bool, p[0]...), f.in(fm, p[1]...), f.in(fm, p[0]...))
						w := f.Op(i, nil, f.in(format.Bool, 3, 1), f.Scalar(fm, 1), f.in(fm, 3, 5))
						u := f.Op(i, nil, f.in(format.Bool, 4), f.in(fm), f.Scalar(fm, 2))
						f.out(exact, v, w, u)
					}
				}
			}
			if len(f.bounds) > 0 {
				t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
			}
		}
	})
}

// TestSpecialValues: zeros of both signs, infinities, NaN, subnormals and the largest values, on the chips that keep subnormals.
func TestSpecialValues(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F32, format.F16, format.BF16, format.F64, format.I32} {
			f := newFn()
			for _, i := range op.All() {
				if i.Class != op.Elementwise || i == op.Cast || i == op.Bitcast || c.FlushSubnormals {
					continue
				}
				switch len(i.Operands) {
				case 1:
					if v := f.tryOp(i, nil, f.input(special, 0, fm, 40)); v != nil {
						f.out(elementBound(i, fm), v)
					}
				case 2:
					if v := f.tryOp(i, nil, f.input(special, 0, fm, 12, 1), f.input(special, 0, fm, 13)); v != nil {
						f.out(elementBound(i, fm), v)
					}
				}
			}
			if len(f.bounds) > 0 {
				t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
			}
		}
	})
}

// TestCast: every pair of formats, which the chip converts in one step, over formats that lose nothing, or by a routine.
func TestCast(t *testing.T) {
	all := []format.Format{format.F64, format.F32, format.F16, format.BF16, format.F8E4M3FN, format.F8E5M2, format.I64, format.U64, format.I32, format.U32, format.I16, format.U16, format.I8, format.U8, format.Bool}
	eachTarget(t, func(t *testing.T, c target) {
		f := newFn()
		for _, a := range all {
			for _, b := range all {
				bd := bound{}
				if b.IsFloat() && b.Bits() < 32 {
					bd.ulps = 1 // over f32: f64 rounds to odd first, other sources are exact
				}
				for _, s := range [][]int64{{}, {0, 2}, {5, 7}, {2001}} {
					f.out(bd, f.Op(op.Cast, ir.A("format", b), f.in(a, s...)))
				}
				if b.IsFloat() && b.Bits() <= 16 && a.IsFloat() && a != b {
					f.out(bd, f.Op(op.Cast, ir.A("format", b, "saturate", true), f.input(special, 0, a, 30)))
				}
			}
		}
		// i8 to f32 and back where there is only a way over f16, and a bitcast.
		for _, p := range [][2]format.Format{{format.I8, format.F32}, {format.U8, format.F32}, {format.I8, format.I32}, {format.Bool, format.I32}} {
			f.out(exact, f.Op(op.Cast, ir.A("format", p[1]), f.in(p[0], 3, 11)))
		}
		f.out(exact, f.Op(op.Bitcast, ir.A("format", format.I32), f.in(format.F32, 4, 9)))
		f.out(exact, f.Op(op.Bitcast, ir.A("format", format.U8), f.in(format.I8, 77)))
		f.hold(t, c, true)
	})
}
