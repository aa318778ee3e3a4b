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
			s := bitShape(x, y)
			if s == nil {
				return false
			}
			b := r.At(o)
			r.Replace(o, b.Reshape(b.Op(op.Cast, o.Attrs, b.Reshape(x, s)), y.Type.Shape))
			return true
		},
	},
	{
		Name: "MergeBitReshapes", Doc: "A reshape of a format narrower than a byte is done on the wider value that it was cast from, if its rows begin at whole bytes; two reshapes are one.", Roots: []*op.Info{op.Reshape},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			x, y := o.Arg(0), o.Result(0)
			d := x.Def()
			if y.Type.Format.Bits() >= 8 || d == nil {
				return false
			}
			b := r.At(o)
			switch {
			case x.Type.Shape.Equal(y.Type.Shape):
				r.Replace(o, x)
			case d.Is(op.Reshape):
				r.Replace(o, b.Reshape(d.Arg(0), y.Type.Shape))
			case d.Is(op.Cast) && d.Arg(0).Type.Format.Bits() >= 8 && bitShape(y, y) == nil:
				r.Replace(o, b.Op(op.Cast, d.Attrs, b.Reshape(d.Arg(0), y.Type.Shape)))
			default:
				return false
			}
			return true
		},
	},
	{
		Name: "ScaleBitsInBytes", Doc: "Elements narrower than a byte whose rows do not begin at whole bytes are dequantised or quantised from a wider format; codes are quantised with zeros at the end of each row.",
		Roots: []*op.Info{op.Dequantize, op.Quantize}, Apply: scaleBits,
	},
	{
		Name: "MultiplyBitsInBytes", Doc: "Operands of products narrower than a byte are cast to the format of whole bytes that has their values, unless a matrix engine takes them with their scales.",
		Roots: []*op.Info{op.Einsum, op.ScaledMatmul, op.GroupedMatmul, op.Attention}, Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if r.Data.(*legaliser).multipliesScales(o) && wholeRows(o.Arg(0)) && wholeRows(o.Arg(1)) {
				return false
			}
			b := r.At(o)
			args := o.Args()
			narrow := false
			for i, a := range args {
				if f := a.Type.Format; f.Bits() < 8 {
					if narrow = true; f.IsFloat() {
						args[i] = b.Cast(a, format.F16)
					} else {
						args[i] = b.Cast(a, format.I8)
					}
				}
			}
			if !narrow {
				return false
			}
			out := o.Result(0).Type.Format
			if o.Is(op.Attention) {
				r.Replace(o, b.Cast(b.Op(o.Info, o.Attrs, args...), out))
				return true
			}
			r.Replace(o, b.Op(o.Info, o.Attrs.Without("format").With("format", out), args...))
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

// bitShape is the shape in which a cast from or to a format narrower than a byte is done: nil for the one it has, if rows begin at
// whole bytes and are not so long that a tile could not hold one.
func bitShape(x, y *ir.Value) shape.Shape {
	bits := int64(min(x.Type.Format.Bits(), y.Type.Format.Bits()))
	rank := x.Type.Rank()
	if bits >= 8 || rank == 0 {
		return nil
	}
	n, ok := x.Type.Shape.Numel().Value()
	if whole := wholeRows(x) && wholeRows(y); !ok || whole && dim(x, rank-1) <= longBits {
		return nil
	}
	unit := 8 / bits
	if bits == 6 {
		unit = 4
	}
	if n <= longBits || n%unit != 0 {
		if rank == 1 {
			return nil
		}
		return shape.Of(n)
	}
	for n%(2*unit) == 0 && unit < 64 {
		unit *= 2
	}
	return shape.Of(n/unit, unit)
}

// longBits is how many elements a row of a format narrower than a byte may have before it is cut.
const longBits = 512

func scaleBits(r *rewrite.Rewriter, o *ir.Op) bool {
	b := r.At(o)
	x := o.Arg(0)
	if !wholeRows(x) {
		args := o.Args()
		args[0] = b.Cast(x, byteFormat(x.Type.Format))
		if n := b.Create(o.Info, o.Attrs, args...); n != nil {
			r.Replace(o, n.Results()...)
		}
		return true
	}
	if o.Is(op.Dequantize) || wholeRows(o.Result(0)) {
		return false
	}
	rank := x.Type.Rank()
	n := dim(x, rank-1)
	more := (n+7)/8*8 - n
	low, high := make([]int64, rank), make([]int64, rank)
	high[rank-1] = more
	q := b.Create(op.Quantize, o.Attrs, b.Op(op.Pad, ir.A("low", low, "high", high), x, b.Scalar(x.Type.Format, 0)))
	if q == nil {
		return true
	}
	cut := func(v *ir.Value, n int64) *ir.Value {
		if dim(v, rank-1) == n {
			return v
		}
		return b.Op(op.Slice, ir.A("axis", rank-1, "start", shape.Const(0), "limit", shape.Const(n)), v)
	}
	r.Replace(o, cut(q.Result(0), n), cut(q.Result(1), dim(o.Result(1), rank-1)))
	return true
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
