package passes

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

// affine is an integer tensor written as base + Σ coef[i]·index i, plus at most one value that is a scalar or varies along one axis.
type affine struct {
	base int64
	coef []int64   // by axis; 0 along axes of one element
	sym  *ir.Value // added with factor mul, or nil
	mul  int64
	axis int // along which sym varies, or -1
}

// affineOf takes an integer value apart; ok is false when it is no such sum.
func affineOf(v *ir.Value, depth int) (a affine, ok bool) {
	rank := v.Type.Rank()
	if depth > 24 || !v.Type.Format.IsInt() || !v.Type.Shape.IsConst() {
		return a, false
	}
	a = affine{coef: make([]int64, rank), axis: -1}
	o := v.Def()
	if o != nil {
		switch o.Info {
		case op.Constant:
			if n, ok := splat(v); ok {
				a.base = n
				return a, true
			}
			return a, false
		case op.Iota:
			ax := axis(o.Attrs.Int("axis", 0), rank)
			if dim(v, ax) != 1 {
				a.coef[ax] = 1
			}
			return a, true
		case op.Add, op.Sub:
			x, ok1 := affineOf(o.Arg(0), depth+1)
			y, ok2 := affineOf(o.Arg(1), depth+1)
			if ok1 && ok2 {
				x, y = x.align(rank), y.align(rank)
				if o.Is(op.Sub) {
					y = y.times(-1)
				}
				if s, ok := x.plus(y); ok {
					return s, true
				}
			}
		case op.Mul:
			if c, ok := splat(o.Arg(1)); ok {
				if x, ok := affineOf(o.Arg(0), depth+1); ok {
					return x.align(rank).times(c), true
				}
			}
		case op.Neg:
			if x, ok := affineOf(o.Arg(0), depth+1); ok {
				return x.times(-1), true
			}
		case op.Cast:
			if f := o.Arg(0).Type.Format; f.IsInt() && exact(f, v.Type.Format) || f == format.I64 && v.Type.Format == format.I32 {
				if x, ok := affineOf(o.Arg(0), depth+1); ok {
					return x, true
				}
			}
		case op.Broadcast:
			if x, ok := affineOf(o.Arg(0), depth+1); ok {
				x = x.align(rank)
				if x.axis < 0 || dim(o.Arg(0), x.axis-(rank-o.Arg(0).Type.Rank())) == dim(v, x.axis) {
					return x, true
				}
			}
		case op.Reshape:
			if x, ok := affineOf(o.Arg(0), depth+1); ok {
				if y, ok := x.reshape(o.Arg(0), v); ok {
					return y, true
				}
			}
		}
	}
	// A value of its own: a number, or one for each index of one axis.
	at := -1
	for i := 0; i < rank; i++ {
		if dim(v, i) != 1 {
			if at >= 0 {
				return a, false
			}
			at = i
		}
	}
	a.sym, a.mul, a.axis = v, 1, at
	return a, true
}

// align puts axes of one element in front.
func (a affine) align(rank int) affine {
	lead := rank - len(a.coef)
	if lead <= 0 {
		return a
	}
	a.coef = append(make([]int64, lead), a.coef...)
	if a.axis >= 0 {
		a.axis += lead
	}
	return a
}

func (a affine) times(c int64) affine {
	out := a
	out.base *= c
	out.mul *= c
	out.coef = make([]int64, len(a.coef))
	for i := range a.coef {
		out.coef[i] = a.coef[i] * c
	}
	return out
}

func (a affine) plus(b affine) (affine, bool) {
	if a.sym != nil && b.sym != nil {
		return a, false
	}
	out := a
	if b.sym != nil {
		out.sym, out.mul, out.axis = b.sym, b.mul, b.axis
	}
	out.base += b.base
	out.coef = make([]int64, len(a.coef))
	for i := range a.coef {
		out.coef[i] = a.coef[i] + b.coef[i]
	}
	return out, true
}

// reshape follows a reshape that only adds or drops axes of one element.
func (a affine) reshape(from, to *ir.Value) (affine, bool) {
	out := affine{base: a.base, sym: a.sym, mul: a.mul, axis: -1, coef: make([]int64, to.Type.Rank())}
	j := 0
	for i := 0; i < from.Type.Rank(); i++ {
		if dim(from, i) == 1 {
			continue
		}
		for j < to.Type.Rank() && dim(to, j) == 1 {
			j++
		}
		if j == to.Type.Rank() || dim(to, j) != dim(from, i) {
			return out, false
		}
		out.coef[j] = a.coef[i]
		if a.axis == i {
			out.axis = j
		}
		j++
	}
	return out, true
}

// splat gives the integer that all elements of a literal are.
func splat(v *ir.Value) (int64, bool) {
	if !isConst(v) || !v.Type.Format.IsInt() {
		return 0, false
	}
	t := v.Def().Attrs.Tensor("value")
	if t.Numel() == 0 || t.Numel() > 4096 {
		return 0, false
	}
	x, err := t.I64s()
	if err != nil {
		return 0, false
	}
	for _, n := range x {
		if n != x[0] {
			return 0, false
		}
	}
	return x[0], true
}
