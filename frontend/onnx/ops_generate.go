package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "Range", Since: 11, Lower: lowerRange, Doc: "start + i·delta."},
		Row{Op: "EyeLike", Since: 9, Lower: lowerEyeLike, Doc: "Ones on a diagonal."},
		Row{Op: "Trilu", Since: 14, Lower: lowerTrilu, Doc: "One triangle of matrices, the other zero."},
		Row{Op: "OneHot", Since: 9, Lower: lowerOneHot, Doc: "Whether the index is that of the place along a new axis."},
	)
}

// lowerRange needs the number of elements; the elements are computed from the operands.
func lowerRange(n *node) {
	start, delta := n.arg(0), n.arg(2)
	f := start.Type.Format
	var count shape.Dim
	if d := n.rangeDims(); d != nil {
		count = *d
	} else {
		a, b, step := n.float(0), n.float(1), n.float(2)
		if f.IsInt() {
			ia, ib, is := n.int(0), n.int(1), n.int(2)
			if is == 0 {
				n.fail("delta is 0")
			}
			c := int64(0)
			if is > 0 && ib > ia {
				c = int64((uint64(ib)-uint64(ia)-1)/uint64(is)) + 1
			} else if is < 0 && ib < ia {
				c = int64((uint64(ia)-uint64(ib)-1)/(-uint64(is))) + 1
			}
			if c < 0 {
				n.fail("the range from %d to %d by %d does not fit", ia, ib, is)
			}
			count = shape.Const(c)
		} else {
			c := math.Ceil((b - a) / step)
			if step == 0 || c != c || c > 1<<40 {
				n.fail("the range from %v to %v by %v has no end", a, b, step)
			}
			count = shape.Const(int64(max(c, 0)))
		}
	}
	g := f
	if f.IsFloat() && f.Bits() < 32 {
		g = format.F32
	}
	i := n.iota(g, shape.Shape{count}, 0)
	scalar := func(v *ir.Value) *ir.Value { return n.cast(n.reshape(v, shape.Shape{}), g) }
	n.set(0, n.cast(n.add(scalar(start), n.mul(i, scalar(delta))), f))
}

// rangeDims is the number of elements where the bounds are expressions and the step is 1.
func (n *node) rangeDims() *shape.Dim {
	if !n.arg(0).Type.Format.IsInt() {
		return nil
	}
	a, b, step := n.exprs(n.arg(0)), n.exprs(n.arg(1)), n.exprs(n.arg(2))
	if len(a) != 1 || len(b) != 1 || len(step) != 1 {
		return nil
	}
	k, ok := step[0].Value()
	if !ok || k < 1 || a[0].IsConst() && b[0].IsConst() {
		return nil
	}
	d := b[0].Sub(a[0])
	if !natural(d) {
		return nil
	}
	d = d.CeilDiv(k)
	return &d
}

func lowerEyeLike(n *node) {
	x := n.arg(0)
	if len(x.Type.Shape) != 2 {
		n.fail("it takes a matrix, found %s", x.Type)
	}
	f := n.attrFormat("dtype", x.Type.Format)
	n.set(0, n.cast(n.diagonal(x.Type.Shape, n.attrInt("k", 0), (*builder).eq), f))
}

// diagonal compares the column with the row + k.
func (n *node) diagonal(s shape.Shape, k int64, cmp func(b *builder, col, row *ir.Value) *ir.Value) *ir.Value {
	row, col := n.iota(format.I32, shape.Shape{s[0], shape.Const(1)}, 0), n.iota(format.I32, shape.Shape{shape.Const(1), s[1]}, 1)
	k = min(max(k, -1<<30), 1<<30)
	return n.broadcast(cmp(n.builder, col, n.add(row, n.scalar(format.I32, float64(k)))), s)
}

func lowerTrilu(n *node) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	if rank < 2 {
		n.fail("it takes matrices, found %s", x.Type)
	}
	k := int64(0)
	if n.has(1) {
		k = n.int(1)
	}
	cmp := (*builder).ge
	if !n.attrBool("upper", true) {
		cmp = (*builder).le
	}
	keep := n.diagonal(x.Type.Shape[rank-2:], k, cmp)
	if x.Type.Format == format.Bool {
		n.set(0, n.and(x, keep))
		return
	}
	n.set(0, n.sel(keep, x, n.like(x, 0)))
}

// clampIndex brings numbers of 64 bits to those of 32 bits that are as far out of range of any axis.
func (n *node) clampIndex(v *ir.Value) *ir.Value {
	switch f := v.Type.Format; {
	case f == format.I64:
		return n.maxc(n.minc(v, 1<<30), -1<<30)
	case f == format.U32 || f == format.U64:
		return n.minc(v, 1<<30)
	}
	return v
}

func lowerOneHot(n *node) {
	idx, values := n.arg(0), n.arg(2)
	var depth shape.Dim
	if n.arg(1).Type.Format.IsFloat() {
		depth = shape.Const(int64(n.float(1)))
	} else {
		d := n.dimsOf(1)
		if len(d) != 1 {
			n.fail("depth is one number, found %d", len(d))
		}
		depth = d[0]
	}
	if v, ok := depth.Value(); ok && v < 0 {
		n.fail("depth is %d", v)
	}
	if v, ok := values.Type.Shape.Numel().Value(); !ok || v != 2 {
		n.fail("values are two elements, off and on, found %s", values.Type)
	}
	rank := len(idx.Type.Shape) + 1
	axis := n.axis(n.attrInt("axis", -1), rank)
	if idx.Type.Format.IsFloat() {
		idx = n.cast(idx, format.I64)
	}
	at := ones(rank)
	at[axis] = depth
	i := n.unsqueeze(n.cast(n.clampIndex(idx), format.I32), axis)
	i = n.sel(n.lt(i, n.like(i, 0)), n.add(i, n.dim(format.I32, depth)), i)
	hit := n.eq(i, n.iota(format.I32, at, axis))
	flat := n.reshape(values, dims(2))
	off, on := n.reshape(n.cut(flat, 0, 0, 1), shape.Shape{}), n.reshape(n.cut(flat, 0, 1, 2), shape.Shape{})
	n.set(0, n.sel(hit, on, off))
}
