package random

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func einsum(g *gen, i *op.Info) {
	x, ok := g.pick(func(v val) bool {
		n := len(v.Type.Shape)
		return n > 0 && n < 5 && (usable(v.Type.Format) || v.Type.Format.IsInt())
	})
	if !ok {
		return
	}
	// Each axis of x is summed, shared by both and kept (batch), or its own.
	var a, b, out strings.Builder
	var s shape.Shape
	sum, letter := 1.0, byte('a')
	for _, d := range x.Type.Shape {
		c := letter
		letter++
		a.WriteByte(c)
		switch g.r.IntN(4) {
		case 0:
			out.WriteByte(c)
		case 1:
			b.WriteByte(c)
			out.WriteByte(c)
			s = append(s, d)
		case 2:
			b.WriteByte(c)
			s = append(s, d)
			sum *= float64(size(d))
		default:
			out.WriteByte(c)
			if g.one(3) {
				b.WriteByte(c)
				s = append(s, d)
			}
		}
	}
	for range g.r.IntN(3) {
		b.WriteByte(letter)
		if g.one(4) {
			sum *= 3
			s = append(s, shape.Const(3))
		} else {
			out.WriteByte(letter)
			s = append(s, shape.Const(1+g.r.Int64N(4)))
		}
		letter++
	}
	f := x.Type.Format
	if f.IsFloat() && x.bound*2*sum > mild {
		x = g.op(op.Tanh, 1, nil, x)
	}
	if f.IsFloat() && x.bound*2*sum > mild {
		return
	}
	y := g.need(ir.Type{Format: f, Shape: s}, 0)
	attrs := ir.A("spec", a.String()+","+b.String()+"->"+out.String())
	if f.IsFloat() && g.one(3) {
		attrs = ir.A("spec", a.String()+","+b.String()+"->"+out.String(), "format", choose(g, format.F32, format.BF16))
	}
	g.op(i, x.bound*y.bound*sum, attrs, x, y)
}

func reshape(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok {
		return
	}
	s := append(shape.Shape(nil), x.Type.Shape...)
	switch at := g.r.IntN(len(s)); {
	case g.one(3):
		s = append(s, shape.Const(1))
	case at+1 < len(s):
		s[at] = s[at].Mul(s[at+1])
		s = append(s[:at+1], s[at+2:]...)
	default:
		if n, ok := s[at].Value(); ok && n%2 == 0 {
			s[at] = shape.Const(n / 2)
			s = append(s, shape.Const(2))
		}
	}
	g.keep(i, x, ir.A("shape", s), x)
}

// keep adds an op that moves x's elements only.
func (g *gen) keep(i *op.Info, x val, attrs op.Attrs, args ...val) {
	vs := make([]*ir.Value, len(args))
	for k, a := range args {
		vs[k] = a.Value
	}
	g.add(g.b.Op(i, attrs, vs...), x.bound, x.limit)
}

func transpose(g *gen, i *op.Info) {
	if x, ok := g.any(1); ok {
		perm := make([]int64, len(x.Type.Shape))
		for k, v := range g.r.Perm(len(perm)) {
			perm[k] = int64(v)
		}
		g.keep(i, x, ir.A("perm", perm), x)
	}
}

func broadcast(g *gen, i *op.Info) {
	x, ok := g.any(0)
	if !ok || len(x.Type.Shape) > 4 {
		return
	}
	s := append(shape.Shape(nil), x.Type.Shape...)
	for k := range s {
		if s[k].Equal(shape.Const(1)) && g.one(2) {
			s[k] = shape.Const(1 + g.r.Int64N(4))
		}
	}
	if g.one(2) {
		s = append(g.shape(1), s...)
	}
	g.keep(i, x, ir.A("shape", s), x)
}

func slice(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	n, ok := x.Type.Shape[axis].Value()
	if !ok {
		return
	}
	start := g.r.Int64N(n)
	limit := start + 1 + g.r.Int64N(n-start)
	g.keep(i, x, ir.A("axis", g.signed(axis, x), "start", shape.Const(start), "limit", shape.Const(limit), "stride", 1+g.r.IntN(2)), x)
}

func concat(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	y, ok := g.pick(func(v val) bool {
		same := v.Type.Format == x.Type.Format && len(v.Type.Shape) == len(x.Type.Shape)
		for k := 0; same && k < len(x.Type.Shape); k++ {
			same = k == axis || v.Type.Shape[k].Equal(x.Type.Shape[k])
		}
		return same
	})
	if !ok || size(x.Type.Shape[axis]) > 20 || size(y.Type.Shape[axis]) > 20 {
		return
	}
	limit := max(x.limit, y.limit)
	if x.limit == 0 || y.limit == 0 {
		limit = 0
	}
	g.keep(i, val{x.Value, max(x.bound, y.bound), limit}, ir.A("axis", g.signed(axis, x)), x, y)
}

func pad(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok {
		return
	}
	lo, hi := make([]int64, len(x.Type.Shape)), make([]int64, len(x.Type.Shape))
	for k := range lo {
		lo[k], hi[k] = g.r.Int64N(2), g.r.Int64N(2)
	}
	zero := g.need(ir.Type{Format: x.Type.Format}, x.limit)
	x.bound = max(x.bound, zero.bound)
	g.keep(i, x, ir.A("low", lo, "high", hi), x, zero)
}

func reverse(g *gen, i *op.Info) {
	if x, ok := g.any(1); ok {
		g.keep(i, x, ir.A("axes", []int64{g.signed(g.r.IntN(len(x.Type.Shape)), x)}), x)
	}
}

func window(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok || len(x.Type.Shape) > 4 {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	n, ok := x.Type.Shape[axis].Value()
	if !ok || n < 1 {
		return
	}
	dilation := 1 + g.r.Int64N(2)
	length := 1 + g.r.Int64N(min((n-1)/dilation+1, 4))
	g.keep(i, x, ir.A("axis", g.signed(axis, x), "size", length, "stride", 1+g.r.Int64N(3), "dilation", dilation), x)
}

// index draws or makes indices.
func (g *gen) index(s shape.Shape, limit int64) val {
	return g.need(ir.Type{Format: choose(g, format.I32, format.I64), Shape: s}, limit)
}

func gather(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok || len(x.Type.Shape) > 4 {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	idx, ok := g.pick(func(v val) bool {
		return (v.Type.Format == format.I32 || v.Type.Format == format.I64) && len(v.Type.Shape) < 3
	})
	if !ok {
		return
	}
	g.keep(i, x, ir.A("axis", g.signed(axis, x)), x, idx)
}

func gatherElements(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	s := append(shape.Shape(nil), x.Type.Shape...)
	s[axis] = shape.Const(1 + g.r.Int64N(4))
	g.keep(i, x, ir.A("axis", g.signed(axis, x)), x, g.index(s, size(x.Type.Shape[axis])))
}

func scatterElements(g *gen, i *op.Info) {
	x, ok := g.any(1)
	if !ok || x.Type.Format == format.Bool {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	n := size(x.Type.Shape[axis])
	s := append(shape.Shape(nil), x.Type.Shape...)
	count := 1 + g.r.Int64N(3)
	s[axis] = shape.Const(count)
	idx := g.index(s, n)
	u := g.need(ir.Type{Format: x.Type.Format, Shape: s}, 0)
	if g.one(3) {
		u = g.need(ir.Type{Format: x.Type.Format}, 0)
	}
	kind, bound := choose(g, "none", "max", "min", "add"), max(x.bound, u.bound)
	if kind == "add" {
		bound = x.bound + float64(count)*u.bound
	}
	if x.Type.Format.IsFloat() && bound > mild {
		return
	}
	g.op(i, bound, ir.A("axis", g.signed(axis, x), "reduce", kind), x, idx, u)
}

func updateState(g *gen, i *op.Info) {
	x, ok := g.pick(func(v val) bool { return len(v.Type.Shape) > 1 && fixed(v) && v.Type.Format != format.F8E8M0 })
	if !ok {
		return
	}
	axis := g.r.IntN(len(x.Type.Shape))
	n := size(x.Type.Shape[axis])
	s := append(shape.Shape(nil), x.Type.Shape...)
	part := 1 + g.r.Int64N(n)
	s[axis] = shape.Const(part)
	y := g.need(ir.Type{Format: x.Type.Format, Shape: s}, x.limit)
	var starts shape.Shape
	if axis > 0 && g.one(2) {
		starts = shape.Shape{x.Type.Shape[0]}
	}
	at := g.index(starts, n-part+1)
	x.bound = max(x.bound, y.bound)
	g.keep(i, x, ir.A("axis", g.signed(axis, x)), x, y, at)
}

// blocks returns n block sizes.
func (g *gen) blocks(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = 1 + g.r.Int64N(4)
	}
	return out
}

// quantize adds a quantize of x and returns codes and scales.
func (g *gen) quantize(x val, block []int64, f format.Format) (codes, scale val) {
	o := g.b.Create(op.Quantize, ir.A("block", block, "format", f), x.Value)
	if o == nil {
		return x, x
	}
	codes = g.add(o.Result(0), f.Info().MaxFinite, 0)
	return codes, g.add(o.Result(1), max(x.bound, 1), 0)
}

// mx adds a quantize of x with scales that are powers of two and returns codes and scales, these in f8e8m0.
func (g *gen) mx(x val, block []int64, f format.Format) (codes, scale val) {
	attrs := ir.A("block", block, "format", f, "scale", choose(g, "mx", "mx", "ue8m0"))
	if g.one(3) {
		attrs = append(attrs, op.Attr{Name: "floor", Value: choose(g, 0x1p-100, 1e-12, 0.75)})
	}
	o := g.b.Create(op.Quantize, attrs, x.Value)
	if o == nil {
		return x, x
	}
	codes = g.add(o.Result(0), f.Info().MaxFinite, 0)
	scale = g.add(o.Result(1), max(x.bound, 1), 0)
	return codes, g.op(op.Cast, scale.bound, ir.A("format", format.F8E8M0), scale)
}

// mxFormat draws a format of MX elements.
func (g *gen) mxFormat() format.Format {
	if g.one(12) {
		return choose(g, format.F6E3M2, format.F6E2M3)
	}
	return choose(g, format.F8E4M3FN, format.F8E4M3FN, format.F8E5M2, format.F4E2M1, format.F4E2M1)
}

func dequantize(g *gen, i *op.Info) {
	x, ok := g.float(mild, 1)
	if !ok {
		return
	}
	block := g.blocks(1 + g.r.IntN(len(x.Type.Shape)))
	if g.one(4) {
		codes, scale := g.mx(x, block, g.mxFormat())
		g.op(i, x.bound*1.3+1, ir.A("block", block, "format", choose(g, format.F32, format.BF16)), codes, scale)
		return
	}
	codes, scale := g.quantize(x, block, choose(g, format.F8E4M3FN, format.F8E5M2, format.I8, format.I4))
	g.op(i, x.bound*1.1+1, ir.A("block", block, "format", choose(g, format.F32, format.BF16)), codes, scale)
}

func scaledMatmul(g *gen, i *op.Info) {
	m, n, k := 1+g.r.Int64N(4), 1+g.r.Int64N(6), 1+g.r.Int64N(6)
	block := g.blocks(2)
	if g.one(2) {
		k, block = g.mxBlocks()
		f := g.mxFormat()
		a := g.need(ir.Type{Format: choose(g, g.o.Formats...), Shape: shape.Of(m, k)}, 0)
		b := g.need(ir.Type{Format: choose(g, g.o.Formats...), Shape: shape.Of(n, k)}, 0)
		ca, sa := g.mx(a, block[1:], f)
		cb, sb := g.mx(b, block, f)
		g.op(i, 7*float64(k), ir.A("block", block, "format", choose(g, format.F32, format.BF16)), ca, cb, sa, sb)
		return
	}
	a := g.need(ir.Type{Format: format.F32, Shape: shape.Of(m, k)}, 0)
	b := g.need(ir.Type{Format: format.F32, Shape: shape.Of(n, k)}, 0)
	ca, sa := g.quantize(a, block[1:], format.F8E4M3FN)
	cb, sb := g.quantize(b, block, format.F8E4M3FN)
	g.op(i, 5*float64(k), ir.A("block", block, "format", choose(g, format.F32, format.BF16)), ca, cb, sa, sb)
}

// mxBlocks draws the K of a product of MX blocks, often a ragged one, and the blocks.
func (g *gen) mxBlocks() (k int64, block []int64) {
	return choose[int64](g, 3, 16, 32, 33, 40, 64, 70, 96), []int64{choose[int64](g, 1, 1, 1, 2), choose[int64](g, 32, 32, 16)}
}

func attention(g *gen, i *op.Info) {
	b, t, s := 1+g.r.Int64N(2), 1+g.r.Int64N(3), 1+g.r.Int64N(4)
	groups, d, e := 1+g.r.Int64N(2), 1+g.r.Int64N(4), 1+g.r.Int64N(4)
	h := groups * (1 + g.r.Int64N(2))
	f := choose(g, g.o.Formats...)
	need := func(dims ...int64) val { return g.need(ir.Type{Format: f, Shape: shape.Of(dims...)}, 0) }
	args := []val{need(b, t, h, d), need(b, s, groups, d), need(b, s, groups, e)}
	var with []string
	if g.one(3) {
		c := 1 + g.r.Int64N(3)
		with = append(with, "q2", "k2")
		args = append(args, need(b, t, h, c), need(b, s, 1, c))
	}
	if g.one(2) {
		with = append(with, "pos")
		args = append(args, g.need(ir.Type{Format: format.I32, Shape: choose(g, shape.Shape{}, shape.Of(b))}, s))
	}
	if g.one(3) {
		with = append(with, "mask")
		args = append(args, g.need(ir.Type{Format: format.Bool, Shape: shape.Of(t, s)}, 0))
	}
	attrs := ir.A("scale", choose(g, 0.125, 0.5, 1.0), "causal", g.one(2), "softcap", choose(g, 0.0, 0.0, 30.0))
	if len(with) > 0 {
		attrs = append(attrs, op.Attr{Name: "with", Value: with})
	}
	g.op(i, 2, attrs, args...)
}

func groupedMatmul(g *gen, i *op.Info) {
	offsets, groups, slots := g.groups()
	if groups == 0 {
		return
	}
	d, f := 1+g.r.Int64N(4), 1+g.r.Int64N(4)
	kind := choose(g, g.o.Formats...)
	if g.one(3) {
		k, block := g.mxBlocks()
		q := g.mxFormat()
		cx, sx := g.mx(g.need(ir.Type{Format: kind, Shape: shape.Shape{slots, shape.Const(k)}}, 0), block[1:], q)
		cw, sw := g.mx(g.need(ir.Type{Format: kind, Shape: shape.Of(groups, f, k)}, 0), block, q)
		g.op(i, 7*float64(k), ir.A("block", block, "format", format.F32), cx, cw, offsets, sx, sw)
		return
	}
	x := g.need(ir.Type{Format: kind, Shape: shape.Shape{slots, shape.Const(d)}}, 0)
	w := g.need(ir.Type{Format: kind, Shape: shape.Of(groups, f, d)}, 0)
	bound := 4 * float64(d)
	if g.one(3) {
		block := g.blocks(2)
		cx, sx := g.quantize(x, block[1:], format.F8E4M3FN)
		cw, sw := g.quantize(w, block, format.F8E4M3FN)
		g.op(i, bound*1.2+1, ir.A("block", block, "format", format.F32), cx, cw, offsets, sx, sw)
		return
	}
	g.op(i, bound, nil, x, w, offsets)
}
