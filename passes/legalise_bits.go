package passes

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
)

// bitRules bring formats that do not fill bytes to what addresses bytes.
var bitRules = rewrite.Set{
	{
		Name: "FlattenBitCast", Doc: "Rows of a format narrower than a byte that do not begin at whole bytes are cast as one row.", Roots: []*op.Info{op.Cast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			x, y := o.Arg(0), o.Result(0)
			if wholeRows(x) && wholeRows(y) {
				return false
			}
			b := r.At(o)
			n := x.Type.Shape.Numel()
			r.Replace(o, b.Reshape(b.Op(op.Cast, o.Attrs, b.Reshape(x, shape.Shape{n})), y.Type.Shape))
			return true
		},
	},
	{
		Name: "MoveBitsInBytes", Doc: "Elements narrower than a byte that move on their own, and not in rows of whole bytes, move in a wider format.",
		Roots: []*op.Info{op.Transpose, op.Slice, op.Broadcast, op.Reverse, op.Window, op.Concat, op.Pad, op.Gather, op.GatherElements, op.ScatterElements, op.Update, op.Bitcast},
		Apply: moveBits,
	},
}

// wholeRows reports whether the rows of a value begin at whole bytes, or there is but one.
func wholeRows(v *ir.Value) bool {
	bits := int64(v.Type.Format.Bits())
	if bits >= 8 {
		return true
	}
	n := v.Type.Rank()
	if n == 0 {
		return true
	}
	total, ok := v.Type.Shape.Numel().Value()
	return dim(v, n-1)*bits%8 == 0 || ok && total == dim(v, n-1)
}

// byteFormat is a format of whole bytes that has every value of one that has not.
func byteFormat(f format.Format) format.Format {
	switch {
	case f.IsFloat():
		return format.F16
	case f.IsSigned():
		return format.I8
	}
	return format.U8
}

func moveBits(r *rewrite.Rewriter, o *ir.Op) bool {
	f := o.Result(0).Type.Format
	if f.Bits() >= 8 || rowsMove(o) {
		return false
	}
	b := r.At(o)
	if o.Is(op.Bitcast) {
		return bitcastBits(r, b, o)
	}
	g := byteFormat(f)
	args := o.Args()
	for i, a := range args {
		if a.Type.Format == f {
			args[i] = b.Cast(a, g)
		}
	}
	r.Replace(o, b.Cast(b.Op(o.Info, o.Attrs, args...), f))
	return true
}

// rowsMove reports whether an op moves whole rows that begin at whole bytes.
func rowsMove(o *ir.Op) bool {
	v := o.Result(0)
	x := o.Arg(0)
	if !wholeRows(v) || !wholeRows(x) || v.Type.Rank() == 0 || x.Type.Rank() == 0 {
		return false
	}
	last := v.Type.Rank() - 1
	from := x.Type.Rank() - 1
	bits := int64(v.Type.Format.Bits())
	aligned := dim(v, last)*bits%8 == 0 && dim(x, from)*bits%8 == 0
	if !aligned {
		return false
	}
	switch o.Info {
	case op.Transpose:
		return o.Attrs.Ints("perm")[last] == int64(last)
	case op.Slice:
		return axis(o.Attrs.Int("axis", 0), last+1) != last
	case op.Broadcast:
		return dim(v, last) == dim(x, from)
	case op.Reverse:
		for _, a := range o.Attrs.Ints("axes") {
			if axis(a, last+1) == last {
				return false
			}
		}
		return true
	case op.Window, op.Gather:
		return axis(o.Attrs.Int("axis", 0), from+1) != from
	case op.Update:
		return axis(o.Attrs.Int("axis", 0), last+1) != last
	}
	return false
}

// bitcastBits reads a narrow format's bits as another's of its width by way of the unsigned one: integers by wrapping, floats through a
// table of all values.
func bitcastBits(r *rewrite.Rewriter, b *ir.Builder, o *ir.Op) bool {
	from, to := o.Arg(0).Type.Format, o.Result(0).Type.Format
	if from.IsInt() && to.IsInt() { // wraps
		r.Replace(o, b.Cast(o.Arg(0), to))
		return true
	}
	return false
}
