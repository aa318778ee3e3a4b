package export

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: op.Reduce, Doc: "ReduceSum, -Prod, -Max, -Min, -Mean; all and any count; the largest of windows is MaxPool.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			if y := x.pooling(o); y != "" {
				return y
			}
			return x.reduce(o.Attrs.Str("kind", ""), a[0], x.arg(0), o.Attrs.Ints("axes"), o.Attrs.Bool("keep", false))
		})},
		Row{Op: op.Cumsum, Doc: "CumSum; products, largest and smallest are a Scan along the axis.", emit: one1((*exporter).cumulative)},
		Row{Op: op.TopK, Doc: "TopK; where NaN stands is the runtime's matter.", emit: func(x *exporter, o *ir.Op, a []string) []string {
			f := o.Arg(0).Type.Format
			k, _ := x.attrDim("k")
			out := x.node("TopK", attrs{"axis", -1, "largest", o.Attrs.Bool("largest", true), "sorted", 1}, 2, x.ordered(a[0], f), x.dim(k))
			return []string{x.ordered(out[0], f), x.to(out[1], format.I32)}
		}},
		Row{Op: op.ArgMax, Doc: "ArgMax, the first of equal ones.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			ax := axis(o.Attrs.Int("axis", -1), len(x.arg(0).Shape))
			v := x.ordered(a[0], o.Arg(0).Type.Format)
			return x.to(x.na("ArgMax", attrs{"axis", ax, "keepdims", 0, "select_last_index", 0}, v), format.I32)
		})},
		Row{Op: op.GroupRows, Doc: "TopK sorts the slots by group, which keeps their order within one; places are where each slot went, offsets count smaller groups.",
			emit: func(x *exporter, o *ir.Op, a []string) []string {
				s := x.arg(0).Shape
				n := s.Numel()
				flat := x.reshape(a[0], shape.Shape{n})
				order := x.node("TopK", attrs{"axis", -1, "largest", 0, "sorted", 1}, 2, flat, x.dim(n))[1]
				rows := x.to(x.n("Div", order, x.dim(s[1])), format.I32)
				count := x.to(x.count64(n), format.I32)
				places := x.reshape(x.na("ScatterElements", attrs{"axis", 0}, count, order, count), s)
				groups := shape.Shape{shape.Const(o.Attrs.Int("groups", 0) + 1), shape.Const(1)}
				below := x.n("Less", flat, x.to(x.lay(x.count64(groups[0]), 0, groups), format.I32))
				offsets := x.na("ReduceSum", attrs{"keepdims", 0}, x.to(below, format.I32), x.i64s(1))
				return []string{rows, places, offsets}
			}},
		Row{Op: op.Einsum, Doc: "Einsum in f32, f64, i32 or i64, whichever holds operands and result; over windows in f32 it is Conv.", emit: one1(func(x *exporter, o *ir.Op, a []string) string {
			f := o.Result(0).Type.Format
			if y := x.convolution(o, a[1]); y != "" {
				return x.fit(y, f)
			}
			c := carrier(f)
			for i := range a {
				if b := carrier(o.Arg(i).Type.Format); b == format.F64 || b == format.I64 && c == format.I32 {
					c = b
				}
			}
			for i := range a {
				a[i] = x.widen(a[i], o.Arg(i).Type.Format, c)
			}
			y := x.einsum(o.Attrs.Str("spec", ""), a[0], a[1], c)
			if b := carrier(f); b != c {
				y = x.to(y, b)
			}
			return x.fit(y, f)
		})},
	)
}

// widen brings a value of a format from its carrier to a wider one.
func (x *exporter) widen(v string, f, c format.Format) string {
	if carrier(f) == c {
		return v
	}
	return x.to(v, c)
}

// einsum contracts two values of a carrier. A scalar has no letter, which runtimes do not take: it is multiplied in.
func (x *exporter) einsum(spec, a, b string, c format.Format) string {
	e, err := op.ParseEinsum(spec)
	if err != nil {
		x.fail("%s", err)
		return a
	}
	if e.A != "" && e.B != "" {
		return x.na("Einsum", attrs{"equation", e.String()}, a, b)
	}
	letters := e.A + e.B
	y := x.n("Mul", a, b)
	var drop, perm []int64
	kept := ""
	for i := range letters {
		if strings.IndexByte(e.Out, letters[i]) < 0 {
			drop = append(drop, int64(i))
		} else {
			kept += letters[i : i+1]
		}
	}
	if len(drop) > 0 {
		y = x.na("ReduceSum", attrs{"keepdims", 0}, y, x.i64s(drop...))
	}
	for i := range e.Out {
		perm = append(perm, int64(strings.IndexByte(kept, e.Out[i])))
	}
	if kept != e.Out {
		y = x.na("Transpose", attrs{"perm", perm}, y)
	}
	return y
}

// reduce folds axes of a value of type t.
func (x *exporter) reduce(kind, v string, t ir.Type, axes []int64, keep bool) string {
	if len(axes) == 0 {
		return v
	}
	list := make([]int64, len(axes))
	for i, a := range axes {
		list[i] = int64(axis(a, len(t.Shape)))
	}
	do := func(node, v string) string { return x.na(node, attrs{"keepdims", keep}, v, x.i64s(list...)) }
	zero := func() string { return x.ints(format.I32, nil, 0) }
	switch kind {
	case "sum":
		return x.fit(do("ReduceSum", v), t.Format)
	case "mean":
		return x.fit(do("ReduceMean", v), t.Format)
	case "prod":
		return x.fit(do("ReduceProd", v), t.Format)
	case "any":
		return x.n("Greater", do("ReduceSum", x.to(v, format.I32)), zero())
	case "all":
		return x.n("Equal", do("ReduceSum", x.to(x.n("Not", v), format.I32)), zero())
	case "max":
		return x.ordered(do("ReduceMax", x.ordered(v, t.Format)), t.Format)
	}
	return x.ordered(do("ReduceMin", x.ordered(v, t.Format)), t.Format)
}

// cumulative folds along an axis and gives every step.
func (x *exporter) cumulative(o *ir.Op, a []string) string {
	t := x.arg(0)
	ax := axis(o.Attrs.Int("axis", 0), len(t.Shape))
	excl, reverse, kind := o.Attrs.Bool("exclusive", false), o.Attrs.Bool("reverse", false), o.Attrs.Str("kind", "sum")
	if kind == "sum" {
		return x.fit(x.na("CumSum", attrs{"exclusive", excl, "reverse", reverse}, a[0], x.ints(format.I64, nil, int64(ax))), t.Format)
	}
	c := carrier(t.Format)
	rest := append(append(shape.Shape(nil), t.Shape[:ax]...), t.Shape[ax+1:]...)
	step := ir.Type{Format: c, Shape: rest}
	start := x.n("Expand", x.first(kind, t.Format), x.dims(rest))
	node := map[string]string{"prod": "Mul", "max": "Max", "min": "Min"}[kind]
	base := x.base
	sum, next := x.fresh(base+"_sum"), x.fresh(base+"_next")
	body := x.subgraph("scan", func() ([]string, []ir.Type) {
		var y string
		if kind != "prod" {
			y = x.extreme(node, sum, next, t.Format)
		} else if y = x.n(node, sum, next); t.Format.IsInt() {
			y = x.fit(y, t.Format)
		}
		if excl {
			return []string{y, sum}, []ir.Type{step, step}
		}
		return []string{y, y}, []ir.Type{step, step}
	})
	body.Input = append(body.Input, x.info(sum, step), x.info(next, step))
	x.base = base
	way := []int64{0}
	if reverse {
		way[0] = 1
	}
	y := x.node("Scan", attrs{
		"body", body, "num_scan_inputs", 1, "scan_input_axes", []int64{int64(ax)}, "scan_output_axes", []int64{int64(ax)},
		"scan_input_directions", way, "scan_output_directions", way,
	}, 2, start, a[0])[1]
	if t.Format.IsFloat() && kind == "prod" {
		y = x.fit(y, t.Format)
	}
	return y
}

// first is what stands before the first element of a running product, largest or smallest.
func (x *exporter) first(kind string, f format.Format) string {
	c := carrier(f)
	switch {
	case kind == "prod":
		return x.num(c, 1)
	case f.IsFloat() && kind == "max":
		return x.num(c, -infinity)
	case f.IsFloat():
		return x.num(c, infinity)
	case kind == "max":
		return x.ints(c, nil, f.MinInt())
	case wide64(f):
		return x.ints(c, nil, -1)
	}
	return x.ints(c, nil, f.MaxInt())
}
