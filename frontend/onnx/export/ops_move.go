package export

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: op.Constant, Doc: "An initialiser, in the carrier of its format.", emit: one1(func(x *exporter, o *ir.Op, _ []string) string {
			v, err := x.literal(o.Attrs.Tensor("value"))
			if err != nil {
				x.fail("%s", err)
			}
			return v
		})},
		Row{Op: op.Weight, Doc: "An initialiser in the stored format, cast and scaled as the loader would.", emit: one1((*exporter).weight)},
		Row{Op: op.Iota, Doc: "Range, reshaped and expanded.", emit: one1(func(x *exporter, o *ir.Op, _ []string) string {
			t := x.result(0)
			ax := axis(o.Attrs.Int("axis", 0), len(t.Shape))
			v := x.cast(x.count64(t.Shape[ax]), format.I64, t.Format, false)
			if len(t.Shape) == 1 {
				return v
			}
			return x.n("Expand", x.lay(v, ax, t.Shape), x.dims(t.Shape))
		})},
		Row{Op: op.DimValue, Doc: "A small graph over Shape of an input that has the symbols.", emit: one1(func(x *exporter, _ *ir.Op, _ []string) string {
			d, _ := x.attrDim("of")
			return x.to(x.dim0(d), format.I32)
		})},
		Row{Op: op.Reshape, Doc: "Reshape to dimensions that are numbers, or computed.", emit: one1(func(x *exporter, _ *ir.Op, a []string) string {
			return x.reshape(a[0], x.result(0).Shape)
		})},
		Row{Op: op.Transpose, Doc: "Transpose.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.na("Transpose", attrs{"perm", o.Attrs.Ints("perm")}, a[0])
		})},
		Row{Op: op.Broadcast, Doc: "Expand.", emit: one1(func(x *exporter, _ *ir.Op, a []string) string {
			return x.n("Expand", a[0], x.dims(x.result(0).Shape))
		})},
		Row{Op: op.Slice, Doc: "Slice.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			start, _ := x.attrDim("start")
			limit, _ := x.attrDim("limit")
			ax := axis(o.Attrs.Int("axis", 0), len(x.arg(0).Shape))
			return x.n("Slice", a[0], x.dim(start), x.dim(limit), x.i64s(int64(ax)), x.i64s(o.Attrs.Int("stride", 1)))
		})},
		Row{Op: op.Reverse, Doc: "Slice with a step of -1.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			var starts, ends, axes, steps []int64
			for _, ax := range o.Attrs.Ints("axes") {
				starts, ends, steps = append(starts, -1), append(ends, math.MinInt64), append(steps, -1)
				axes = append(axes, int64(axis(ax, len(x.arg(0).Shape))))
			}
			if len(axes) == 0 {
				return a[0]
			}
			return x.n("Slice", a[0], x.i64s(starts...), x.i64s(ends...), x.i64s(axes...), x.i64s(steps...))
		})},
		Row{Op: op.Concat, Doc: "Concat.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			return x.na("Concat", attrs{"axis", axis(o.Attrs.Int("axis", 0), len(x.result(0).Shape))}, a...)
		})},
		Row{Op: op.Pad, Doc: "Pad with a constant.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			if len(x.result(0).Shape) == 0 {
				return a[0]
			}
			return x.n("Pad", a[0], x.i64s(append(append([]int64(nil), o.Attrs.Ints("low")...), o.Attrs.Ints("high")...)...), a[1])
		})},
		Row{Op: op.Window, Doc: "Gather with the matrix of all windows' indices.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			t := x.result(0)
			ax := axis(o.Attrs.Int("axis", 0), len(x.arg(0).Shape))
			pair := shape.Shape{t.Shape[ax], t.Shape[ax+1]}
			at := x.n("Mul", x.lay(x.count64(pair[0]), 0, pair), x.i64s(o.Attrs.Int("stride", 1)))
			index := x.n("Add", at, x.n("Mul", x.count64(pair[1]), x.i64s(o.Attrs.Int("dilation", 1))))
			return x.na("Gather", attrs{"axis", ax}, a[0], index)
		})},
		Row{Op: op.Gather, Doc: "Gather, with the indices clipped unless they are known to be in range.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			ax := axis(o.Attrs.Int("axis", 0), len(x.arg(0).Shape))
			return x.na("Gather", attrs{"axis", ax}, a[0], x.inRange(a[1], 1, x.arg(0).Shape[ax]))
		})},
		Row{Op: op.GatherElements, Doc: "GatherElements, with the indices clipped unless they are known to be in range.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			ax := axis(o.Attrs.Int("axis", -1), len(x.arg(0).Shape))
			return x.na("GatherElements", attrs{"axis", ax}, a[0], x.inRange(a[1], 1, x.arg(0).Shape[ax]))
		})},
		Row{Op: op.ScatterElements, Doc: "ScatterElements, with the indices clipped unless they are known to be in range.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			t := x.arg(0)
			ax := axis(o.Attrs.Int("axis", -1), len(t.Shape))
			kind := o.Attrs.Str("reduce", "none")
			into, u := a[0], a[2]
			if len(x.arg(2).Shape) == 0 {
				u = x.n("Expand", u, x.dims(x.arg(1).Shape))
			}
			back := func(v string) string { return x.fit(v, t.Format) }
			switch {
			case t.Format == format.Bool && kind != "none": // the ops on numbers, of which the last bit stays
				into, u = x.to(into, format.I32), x.to(u, format.I32)
				back = func(v string) string { return x.to(x.n("BitwiseAnd", v, x.ints(format.I32, nil, 1)), format.Bool) }
			case wide64(t.Format) && (kind == "max" || kind == "min"):
				into, u, back = x.flip(into), x.flip(u), x.flip
			case kind == "none":
				back = func(v string) string { return v }
			}
			return back(x.na("ScatterElements", attrs{"axis", ax, "reduction", kind}, into, x.inRange(a[1], 1, t.Shape[ax]), u))
		})},
		Row{Op: op.Update, Doc: "ScatterElements at the start plus a Range along the axis.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			y := x.arg(1).Shape
			ax := axis(o.Attrs.Int("axis", 0), len(y))
			at := a[2]
			if o.Arg(2).Type.Format != format.I64 {
				at = x.to(at, format.I64)
			}
			if len(x.arg(2).Shape) == 1 {
				at = x.lay(at, 0, y)
			}
			index := x.n("Expand", x.n("Add", x.lay(x.count64(y[ax]), ax, y), at), x.dims(y))
			return x.na("ScatterElements", attrs{"axis", ax}, a[0], index, a[1])
		})},
	)
}

// axis is an axis counted from the front.
func axis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(a)
}

// reshape adds a Reshape. Zero is a dimension here, not a copy of the operand's.
func (x *exporter) reshape(v string, s shape.Shape) string {
	var a attrs
	for _, d := range s {
		if n, ok := d.Value(); !ok || n == 0 {
			a = attrs{"allowzero", 1}
		}
	}
	return x.na("Reshape", a, v, x.dims(s))
}

// maxLiteral is how many numbers of a count become an initialiser.
const maxLiteral = 4096

// count64 is the vector 0…n-1 of i64.
func (x *exporter) count64(n shape.Dim) string {
	if k, ok := n.Value(); ok && k <= maxLiteral {
		v := make([]int64, k)
		for i := range v {
			v[i] = int64(i)
		}
		return x.i64s(v...)
	}
	return x.prelude("range "+n.String(), func() string {
		return x.n("Range", x.ints(format.I64, nil, 0), x.dim0(n), x.ints(format.I64, nil, 1))
	})
}

// lay gives a vector as many axes as a shape has, its own along one of them.
func (x *exporter) lay(v string, ax int, s shape.Shape) string {
	if len(s) == 1 {
		return v
	}
	one := make([]int64, len(s))
	for i := range one {
		one[i] = 1
	}
	one[ax] = -1
	return x.n("Reshape", v, x.i64s(one...))
}

// inRange brings the indices that are an operand of the current op into -n…n-1, unless they are there: out of range the op takes the
// ends, where ONNX has an error.
func (x *exporter) inRange(v string, arg int, n shape.Dim) string {
	i := x.op.Arg(arg)
	if size, ok := n.Value(); ok && bounded(i, size) {
		return v
	}
	c := i.Type.Format
	hi := x.n("Sub", x.dim0(n), x.ints(format.I64, nil, 1))
	lo := x.n("Neg", x.dim0(n))
	if size, ok := n.Value(); ok {
		return x.n("Clip", v, x.ints(c, nil, -size), x.ints(c, nil, size-1))
	}
	if c != format.I64 {
		hi, lo = x.to(hi, c), x.to(lo, c)
	}
	return x.n("Clip", v, lo, hi)
}

// bounded says whether the indices are known to be in range of n elements, by where they come from.
func bounded(v *ir.Value, n int64) bool {
	for v.Def() != nil {
		o := v.Def()
		below := func(d shape.Dim) bool { k, ok := d.Value(); return ok && k <= n }
		switch {
		case o.Is(op.Constant):
			t := o.Attrs.Tensor("value")
			xs, err := t.I64s()
			if err != nil {
				return false
			}
			for _, k := range xs {
				if k < -n || k >= n {
					return false
				}
			}
			return true
		case o.Is(op.Iota):
			s := v.Type.Shape
			return below(s[axis(o.Attrs.Int("axis", 0), len(s))])
		case o.Is(op.ArgMax):
			s := o.Arg(0).Type.Shape
			return below(s[axis(o.Attrs.Int("axis", -1), len(s))])
		case o.Is(op.TopK):
			s := o.Arg(0).Type.Shape
			return v.Index() == 1 && below(s[len(s)-1])
		case o.Is(op.GroupRows):
			s := o.Arg(0).Type.Shape
			return v.Index() == 0 && below(s[0]) || v.Index() == 1 && below(s.Numel())
		case o.Is(op.Reshape), o.Is(op.Transpose), o.Is(op.Broadcast), o.Is(op.Slice), o.Is(op.Reverse), o.Is(op.Gather), o.Is(op.GatherElements):
			v = o.Arg(0)
		case o.Is(op.Cast) && o.Arg(0).Type.Format.IsInt() && v.Type.Format.IsInt() && v.Type.Format.Bits() >= 32:
			v = o.Arg(0)
		default:
			return false
		}
	}
	return false
}
