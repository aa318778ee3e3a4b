package random

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// recipes say, for each op of the table but the terminators and kernel, how to add one with operands that fit and
// keep numbers mild. A recipe may add nothing. TestRandomCoversTable fails when an op has none.
var recipes map[string]func(g *gen, i *op.Info)

func init() {
	recipes = map[string]func(g *gen, i *op.Info){
		"constant": func(g *gen, i *op.Info) {
			g.need(ir.Type{Format: choose(g, format.F32, format.BF16, format.I32, format.Bool, format.I8), Shape: g.shape(g.r.IntN(3))}, 0)
		},
		"weight": func(g *gen, i *op.Info) {
			g.weight(ir.Type{Format: choose(g, g.o.Formats...), Shape: g.shape(1 + g.r.IntN(2))})
		},
		"iota": func(g *gen, i *op.Info) {
			s := g.shape(1 + g.r.IntN(2))
			axis := g.r.IntN(len(s))
			f := choose(g, format.I32, format.I64, format.F32, format.BF16)
			v := g.b.Op(i, ir.A("format", f, "shape", s, "axis", axis))
			g.add(v, float64(size(s[axis])), size(s[axis]))
		},
		"dim": func(g *gen, i *op.Info) {
			d := choose(g, shape.Const(1+g.r.Int64N(5)))
			if g.o.Symbols {
				d = choose(g, d, g.f.Body.Params[0].Type.Shape[0].Add(shape.Const(1)))
			}
			g.add(g.b.Op(i, ir.A("of", d)), 0, size(d)+1)
		},
		"if": ifOp, "loop": loop,
		"neg": signed, "abs": signed, "sign": signed,
		"exp":   func(g *gen, i *op.Info) { floatOp(g, i, 3, math.Exp) },
		"log":   func(g *gen, i *op.Info) { awayOp(g, i, func(b float64) float64 { return max(1, math.Log(b)) }) },
		"sqrt":  func(g *gen, i *op.Info) { awayOp(g, i, func(b float64) float64 { return max(1, math.Sqrt(b)) }) },
		"rsqrt": func(g *gen, i *op.Info) { awayOp(g, i, func(float64) float64 { return 1.5 }) }, "reciprocal": func(g *gen, i *op.Info) { awayOp(g, i, func(float64) float64 { return 2 }) },
		"sin": unit, "cos": unit, "tanh": unit, "sigmoid": unit, "erf": unit, "atan": unit,
		"floor": step, "ceil": step, "round": step,
		"not": func(g *gen, i *op.Info) {
			if x, ok := g.pick(func(v val) bool { return !v.Type.Format.IsFloat() }); ok {
				g.op(i, 0, nil, x)
			}
		},
		"add": func(g *gen, i *op.Info) { arith(g, i, func(a, b float64) float64 { return a + b }) },
		"sub": func(g *gen, i *op.Info) { arith(g, i, func(a, b float64) float64 { return a + b }) },
		"mul": func(g *gen, i *op.Info) { arith(g, i, func(a, b float64) float64 { return a * b }) },
		"max": func(g *gen, i *op.Info) { arith(g, i, math.Max) },
		"min": func(g *gen, i *op.Info) { arith(g, i, math.Max) },
		"div": quotient, "rem": quotient,
		"pow": func(g *gen, i *op.Info) {
			if g.one(3) {
				arithInt(g, i)
				return
			}
			if x, ok := g.float(mild-1, 0); ok {
				y := g.op(op.Tanh, 1, nil, g.partner(x, mild))
				g.op(i, max(2, x.bound+0.5), nil, g.away(x), y)
			}
		},
		"and": bits, "or": bits, "xor": bits, "shl": arithInt, "shr": arithInt,
		"eq": compare, "ne": compare, "lt": compare, "le": compare, "gt": compare, "ge": compare,
		"select": func(g *gen, i *op.Info) {
			a, ok := g.any(0)
			if !ok {
				return
			}
			b := g.partner(a, max(a.bound, 2))
			s, err := shape.Broadcast(a.Type.Shape, b.Type.Shape)
			if err != nil {
				return
			}
			c, ok := g.pick(func(v val) bool {
				_, err := shape.Broadcast(s, v.Type.Shape)
				return err == nil && v.Type.Format == format.Bool
			})
			if !ok {
				c = g.need(ir.Type{Format: format.Bool, Shape: s}, 0)
			}
			v := g.b.Op(i, nil, c.Value, a.Value, b.Value)
			limit := int64(0)
			if a.limit > 0 && b.limit > 0 {
				limit = max(a.limit, b.limit)
			}
			g.add(v, max(a.bound, b.bound), limit)
		},
		"cast": func(g *gen, i *op.Info) {
			x, ok := g.any(0)
			if !ok {
				return
			}
			if usable(x.Type.Format) && x.bound > mild {
				x = g.op(op.Tanh, 1, nil, x)
			}
			f := choose(g, format.F32, format.BF16, format.F16, format.F64, format.TF32, format.HF32, format.F8E4M3FN, format.F8E5M2, format.HIF8,
				format.I32, format.I8, format.I64, format.U8, format.Bool)
			if x.Type.Format.IsInt() && x.limit == 0 && f.IsFloat() {
				f = format.F64 // which holds any integer without infinity
			}
			attrs := ir.A("format", f)
			if f.IsFloat() && g.one(3) {
				attrs = ir.A("format", f, "saturate", true)
			}
			bound, limit := x.bound, int64(0)
			switch {
			case x.Type.Format.IsInt() && x.limit == 0:
				bound = math.Ldexp(1, 64)
			case x.Type.Format.IsInt():
				bound, limit = float64(x.limit), x.limit
			case x.Type.Format == format.Bool:
				bound = 1
			}
			if !f.IsInt() {
				limit = 0
			}
			g.add(g.b.Op(i, attrs, x.Value), bound, limit)
		},
		"bitcast": func(g *gen, i *op.Info) {
			to := map[int][]format.Format{64: {format.I64, format.U64}, 32: {format.I32, format.U32}, 16: {format.I16, format.U16}, 8: {format.I8, format.U8}}
			if x, ok := g.pick(func(v val) bool { return to[v.Type.Format.Bits()] != nil && v.Type.Format != format.Bool }); ok {
				g.op(i, 0, ir.A("format", choose(g, to[x.Type.Format.Bits()]...)), x)
			}
		},
		"reduce": reduce,
		"cumsum": func(g *gen, i *op.Info) {
			x, ok := g.pick(func(v val) bool {
				return (usable(v.Type.Format) || v.Type.Format.IsInt()) && len(v.Type.Shape) > 0
			})
			if !ok {
				return
			}
			axis := g.r.IntN(len(x.Type.Shape))
			n := float64(size(x.Type.Shape[axis]))
			if x.Type.Format.IsFloat() && x.bound*n > mild {
				x = g.op(op.Tanh, 1, nil, x)
			}
			kind, bound := choose(g, "sum", "sum", "max", "min"), x.bound*n
			if g.one(3) && (x.Type.Format.IsInt() || x.bound <= 1) {
				kind, bound = "prod", max(x.bound, 1)
			}
			exclusive := g.one(2) && (kind == "sum" || kind == "prod" || x.Type.Format.IsInt()) // an extreme of nothing is infinite
			g.op(i, bound, ir.A("axis", g.signed(axis, x), "kind", kind, "exclusive", exclusive, "reverse", g.one(2)), x)
		},
		"top_k": func(g *gen, i *op.Info) {
			if x, ok := g.pick(func(v val) bool { return lastFixed(v) && v.Type.Format != format.Bool }); ok {
				g.topK(x, 0)
			}
		},
		"argmax": func(g *gen, i *op.Info) {
			x, ok := g.pick(func(v val) bool {
				return len(v.Type.Shape) > 0 && v.Type.Format != format.Bool && v.Type.Format != format.F8E8M0
			})
			if ok {
				axis := g.r.IntN(len(x.Type.Shape))
				v := g.b.Op(i, ir.A("axis", g.signed(axis, x)), x.Value)
				g.add(v, 0, size(x.Type.Shape[axis]))
			}
		},
		"group_rows":      func(g *gen, i *op.Info) { g.groups() },
		"einsum":          einsum,
		"reshape":         reshape,
		"transpose":       transpose,
		"broadcast":       broadcast,
		"slice":           slice,
		"concat":          concat,
		"pad":             pad,
		"reverse":         func(g *gen, i *op.Info) { reverse(g, i) },
		"window":          window,
		"gather":          gather,
		"gather_elements": gatherElements, "scatter_elements": scatterElements,
		"update":     updateState,
		"dequantize": dequantize, "quantize": func(g *gen, i *op.Info) {
			if x, ok := g.float(mild, 1); ok {
				if g.one(3) {
					g.mx(x, g.blocks(1+g.r.IntN(len(x.Type.Shape))), g.mxFormat())
					return
				}
				g.quantize(x, g.blocks(1+g.r.IntN(len(x.Type.Shape))), choose(g, format.F8E4M3FN, format.F8E5M2, format.I8))
			}
		},
		"scaled_matmul":  scaledMatmul,
		"attention":      attention,
		"grouped_matmul": groupedMatmul,
	}
}

func lastFixed(v val) bool {
	n := len(v.Type.Shape)
	return n > 0 && v.Type.Shape[n-1].IsConst() && v.Type.Format != format.F8E8M0
}

// signed returns an axis counted from the front or the end.
func (g *gen) signed(axis int, x val) int64 {
	if g.one(2) {
		return int64(axis - len(x.Type.Shape))
	}
	return int64(axis)
}

func signed(g *gen, i *op.Info) {
	if g.one(4) {
		if x, ok := g.integer(0); ok {
			g.op(i, 0, nil, x)
			return
		}
	}
	floatOp(g, i, math.Inf(1), func(b float64) float64 { return max(b, 1) })
}

func floatOp(g *gen, i *op.Info, limit float64, bound func(float64) float64) {
	if x, ok := g.float(limit, 0); ok {
		g.op(i, bound(x.bound), nil, x)
	}
}

func awayOp(g *gen, i *op.Info, bound func(float64) float64) {
	if x, ok := g.float(mild, 0); ok {
		y := g.away(x)
		g.op(i, bound(y.bound), nil, y)
	}
}

func unit(g *gen, i *op.Info) { floatOp(g, i, mild, func(float64) float64 { return 1 }) }

func step(g *gen, i *op.Info) {
	floatOp(g, i, mild, func(b float64) float64 { return b + 1 })
}

func arith(g *gen, i *op.Info, bound func(a, b float64) float64) {
	if g.one(4) {
		arithInt(g, i)
		return
	}
	x, ok := g.float(mild, 0)
	if !ok {
		return
	}
	y := g.partner(x, mild)
	if bound(x.bound, y.bound) > mild {
		x = g.op(op.Tanh, 1, nil, x)
		y = g.op(op.Tanh, 1, nil, y)
	}
	if g.one(2) {
		x, y = y, x
	}
	g.op(i, bound(x.bound, y.bound), nil, x, y)
}

func arithInt(g *gen, i *op.Info) {
	if x, ok := g.integer(0); ok {
		g.op(i, 0, nil, x, g.partner(x, math.Inf(1)))
	}
}

func bits(g *gen, i *op.Info) {
	if x, ok := g.pick(func(v val) bool { return !v.Type.Format.IsFloat() }); ok {
		g.op(i, 0, nil, x, g.partner(x, math.Inf(1)))
	}
}

func quotient(g *gen, i *op.Info) {
	if g.one(4) {
		arithInt(g, i)
		return
	}
	if x, ok := g.float(mild/2, 0); ok {
		y := g.away(g.partner(x, mild))
		g.op(i, 2*x.bound, nil, x, y)
	}
}

func compare(g *gen, i *op.Info) {
	ordered := i != op.Eq && i != op.Ne
	x, ok := g.pick(func(v val) bool {
		return v.Type.Format != format.F8E8M0 && !(ordered && v.Type.Format == format.Bool)
	})
	if ok {
		g.op(i, 1, nil, x, g.partner(x, math.Inf(1)))
	}
}

func reduce(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok {
		return
	}
	var axes []int64
	n := 1.0
	for a, d := range x.Type.Shape {
		if g.one(2) {
			axes = append(axes, g.signed(a, x))
			n *= float64(size(d))
		}
	}
	if len(axes) == 0 {
		axes, n = []int64{-1}, float64(size(x.Type.Shape[len(x.Type.Shape)-1]))
	}
	kind, bound := choose(g, "max", "min", "sum"), x.bound
	switch {
	case x.Type.Format == format.Bool:
		kind = choose(g, "all", "any")
	case x.Type.Format.IsFloat():
		kind = choose(g, "max", "min", "sum", "mean", "prod")
	}
	if x.Type.Format.IsFloat() {
		if kind == "sum" && bound*n > mild || kind == "prod" && math.Pow(max(1, bound), n) > mild {
			x = g.op(op.Tanh, 1, nil, x)
			bound = 1
		}
		switch kind {
		case "sum":
			bound *= n
		case "prod":
			bound = math.Pow(max(1, bound), n)
		}
		if bound > mild {
			return
		}
	}
	v := g.b.Op(i, ir.A("kind", kind, "axes", axes, "keep", g.one(2)), x.Value)
	limit := int64(0)
	if kind == "max" || kind == "min" {
		limit = x.limit
	}
	g.add(v, bound, limit)
}

// topK adds a top_k of x along its last axis and returns the indices, which are below limit.
func (g *gen) topK(x val, k int64) val {
	n := size(x.Type.Shape[len(x.Type.Shape)-1])
	if k == 0 {
		k = 1 + g.r.Int64N(n)
	}
	o := g.b.Create(op.TopK, ir.A("k", shape.Const(k), "largest", !g.one(4)), x.Value)
	if o == nil {
		return x
	}
	g.add(o.Result(0), x.bound, x.limit)
	return g.add(o.Result(1), 0, n)
}

// groups adds group_rows of a router's choice and gives its offsets, the number of groups, and the number of slots.
func (g *gen) groups() (offsets val, groups int64, slots shape.Dim) {
	ids, ok := g.pick(func(v val) bool {
		return v.limit > 0 && v.Type.Format == format.I32 && len(v.Type.Shape) == 2
	})
	if !ok || g.one(2) {
		scores := g.need(ir.Type{Format: format.F32, Shape: shape.Of(1+g.r.Int64N(4), 4)}, 0)
		ids = g.topK(scores, 1+g.r.Int64N(2))
	}
	o := g.b.Create(op.GroupRows, ir.A("groups", ids.limit), ids.Value)
	if o == nil {
		return
	}
	slots = ids.Type.Shape[0].Mul(ids.Type.Shape[1])
	g.add(o.Result(0), 0, size(ids.Type.Shape[0]))
	g.add(o.Result(1), 0, size(slots))
	return g.add(o.Result(2), 0, size(slots)+1), ids.limit, slots
}
