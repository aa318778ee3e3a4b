package random

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// deepest is how many regions of ifs and loops stand in each other at most.
const deepest = 3

// inside runs f with ops going to a region, in which the values of the pool may be read (the builder makes operands of
// them), and forgets the region's values afterwards.
func (g *gen) inside(b *ir.Builder, params []val, f func()) {
	outer, n := g.b, len(g.pool)
	outer.Pos, g.b = b.Pos, b
	g.depth++
	g.pool = append(g.pool[:n:n], params...)
	f()
	g.depth--
	g.b, g.pool = outer, g.pool[:n]
}

// some adds a few ops.
func (g *gen) some() {
	for range 1 + g.r.IntN(4) {
		g.draw()
	}
}

// flag draws a bool scalar that data decides as a rule.
func (g *gen) flag() val {
	if g.one(5) {
		return g.need(ir.Type{Format: format.Bool}, 0)
	}
	if c, ok := g.pick(func(v val) bool { return v.Type.Format == format.Bool && len(v.Type.Shape) == 0 }); ok && g.one(2) {
		return c
	}
	x, ok := g.float(mild, 0)
	if !ok {
		return g.need(ir.Type{Format: format.Bool}, 0)
	}
	if n := len(x.Type.Shape); n > 0 {
		axes := make([]int64, n)
		for k := range axes {
			axes[k] = int64(k)
		}
		x = g.op(op.Reduce, x.bound, ir.A("kind", choose(g, "max", "min"), "axes", axes), x)
	}
	return g.op(choose(g, op.Lt, op.Ge), 0, nil, x, g.scalar(x.Type.Format, choose(g, 0, 0.25, 0.5, 1)))
}

// alike draws or makes a value of a type whose elements are as mild as those of like.
func (g *gen) alike(like val) val {
	if usable(like.Type.Format) && g.one(2) {
		if v, ok := g.pick(func(v val) bool { return v.Type.Equal(like.Type) }); ok {
			if v.bound > like.bound {
				v = g.op(op.Tanh, 1, nil, v)
			}
			return v
		}
	}
	if v, ok := g.pick(func(v val) bool {
		return v.Type.Equal(like.Type) && v.bound <= like.bound && (like.limit == 0 || v.limit > 0 && v.limit <= like.limit)
	}); ok {
		return v
	}
	return g.need(like.Type, like.limit)
}

func (g *gen) values(list []val) []*ir.Value {
	out := make([]*ir.Value, len(list))
	for i, v := range list {
		out[i] = v.Value
	}
	return out
}

func ifOp(g *gen, _ *op.Info) {
	c := g.flag()
	var yields []val
	fill := func(f func()) func(*ir.Builder) []*ir.Value {
		return func(b *ir.Builder) []*ir.Value {
			var out []*ir.Value
			g.inside(b, nil, func() {
				g.some()
				n := len(yields)
				f()
				out = g.values(yields[n:])
			})
			return out
		}
	}
	n := 0
	results := g.b.If(c.Value, fill(func() {
		for range 1 + g.r.IntN(2) {
			if v, ok := g.any(0); ok {
				v.bound = max(v.bound, 2)
				yields = append(yields, v)
			}
		}
		n = len(yields)
	}), fill(func() {
		for _, v := range yields[:n] {
			yields = append(yields, g.alike(v))
		}
	}))
	for i, r := range results {
		g.add(r, yields[i].bound, yields[i].limit)
	}
}

func loop(g *gen, _ *op.Info) {
	trip := g.need(ir.Type{Format: choose(g, format.I32, format.I64)}, 4)
	if x, ok := g.pick(func(v val) bool {
		return (v.Type.Format == format.I32 || v.Type.Format == format.I64) && v.limit > 0 && v.limit <= 5 && len(v.Type.Shape) == 1
	}); ok && g.one(2) {
		trip = g.add(g.b.Op(op.Reduce, ir.A("kind", "max", "axes", []int64{0}), x.Value), 0, x.limit)
	}
	var carried []val
	for range g.r.IntN(4) {
		v, ok := g.any(0)
		switch {
		case !ok:
			continue
		case usable(v.Type.Format) && v.bound > 2:
			v = g.op(op.Tanh, 1, nil, v)
		case !usable(v.Type.Format):
			v.bound = 0
		}
		v.bound = max(v.bound, 2)
		carried = append(carried, v)
	}
	var attrs op.Attrs
	if g.one(2) {
		attrs = ir.A("limit", shape.Const(g.r.Int64N(5)))
	}
	results := g.b.Loop(trip.Value, g.flag().Value, attrs, g.values(carried), func(b *ir.Builder, i *ir.Value, params []*ir.Value) (*ir.Value, []*ir.Value) {
		top := int64(4)
		if trip.limit > 0 {
			top = trip.limit
		}
		in := []val{{i, 0, top}}
		for k, p := range params {
			in = append(in, val{p, carried[k].bound, carried[k].limit})
		}
		var again val
		var next []*ir.Value
		g.inside(b, in, func() {
			g.some()
			again = g.need(ir.Type{Format: format.Bool}, 0)
			switch g.r.IntN(3) {
			case 0:
				again = g.add(g.b.Op(op.Lt, nil, i, g.scalar(i.Type.Format, float64(g.r.IntN(4))).Value), 0, 0)
			case 1:
				again = g.flag()
			}
			for _, c := range carried {
				next = append(next, g.alike(c).Value)
			}
		})
		return again.Value, next
	})
	for i, r := range results {
		g.add(r, carried[i].bound, carried[i].limit)
	}
}
