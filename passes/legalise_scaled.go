package passes

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

// dequantiseProduct stands in for products of codes: in legalise where no engine multiplies the codes, and in precision where f32 is asked
// for, so that no accumulator narrower than f32 has a say.
var dequantiseProduct = &rewrite.Rule{
	Name:  "DequantiseProduct",
	Doc:   "A product of codes with scales, in formats that no matrix engine multiplies or where f32 is asked for, is a product of the values in f32.",
	Roots: []*op.Info{op.ScaledMatmul, op.GroupedMatmul},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		grouped := o.Is(op.GroupedMatmul)
		i, k, ok := scalesOf(o)
		if !ok || o.Arg(0).Type.Rank() > 11 { // eleven axes are more than there are letters for
			return false
		}
		x, w := o.Arg(0), o.Arg(1)
		if l, ok := r.Data.(*legaliser); ok && (l.multiplies(x.Type.Format, w.Type.Format) || !l.reads(x) || !l.reads(w)) {
			return false
		}
		sx, sw := o.Arg(i), o.Arg(k)
		block, out := o.Attrs.Ints("block"), o.Result(0).Type.Format
		b := r.At(o)
		a := b.Op(op.Dequantize, ir.A("block", block[1:], "format", format.F32), x, sx)
		c := b.Op(op.Dequantize, ir.A("block", block, "format", format.F32), w, sw)
		if grouped {
			attrs := ir.A()
			if out != format.F32 {
				attrs = ir.A("format", out)
			}
			r.Replace(o, b.Op(op.GroupedMatmul, attrs, a, c, o.Arg(2)))
			return true
		}
		rows := "abcdefghij"[:x.Type.Rank()-1]
		r.Replace(o, b.Einsum(rows+"k,nk->"+rows+"n", a, c, out))
		return true
	},
}

// scalesOf gives the places of both scales of a product of codes, or false if the op is none.
func scalesOf(o *ir.Op) (a, b int, ok bool) {
	switch {
	case o.Is(op.ScaledMatmul):
		return 2, 3, true
	case o.Is(op.GroupedMatmul) && o.NumArgs() == 5:
		return 3, 4, true
	}
	return 0, 0, false
}

// multipliesScales reports whether a matrix engine takes a product's codes and their scales as they are.
func (a *ability) multipliesScales(o *ir.Op) bool {
	i, k, ok := scalesOf(o)
	if !ok {
		return false
	}
	_, rate, ok := a.c.Matrix(o.Arg(0).Type.Format, o.Arg(1).Type.Format)
	return ok && rate.TakesScales(o.Arg(i).Type.Format, o.Arg(k).Type.Format, o.Attrs.Ints("block"))
}

// widenScales brings scales to where they are multiplied with.
var widenScales = &rewrite.Rule{
	Name:  "WidenScales",
	Doc:   "The f8e8m0 scales of a product of codes are cast to f32, in which the vector engine multiplies sums with them, unless a matrix engine multiplies scales of such blocks itself.",
	Roots: []*op.Info{op.ScaledMatmul, op.GroupedMatmul},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		i, k, ok := scalesOf(o)
		if !ok || o.Arg(i).Type.Format != format.F8E8M0 || r.Data.(*legaliser).multipliesScales(o) {
			return false
		}
		b := r.At(o)
		args := o.Args()
		args[i], args[k] = b.Cast(args[i], format.F32), b.Cast(args[k], format.F32)
		r.Replace(o, b.Op(o.Info, o.Attrs, args...))
		return true
	},
}

// reads reports whether the vector engine, or the loader, can bring codes to f32.
func (a *ability) reads(codes *ir.Value) bool {
	f := codes.Type.Format
	return codes.DefIs(op.Weight) || a.can(f, chip.Basic) || a.engines.CastRoute(f, format.F32, func(g format.Format) bool { return exact(f, g) }) != nil
}
