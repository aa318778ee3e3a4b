package passes

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// isConst reports whether a value is a literal.
func isConst(v *ir.Value) bool { return v.DefIs(op.Constant) }

// constant gives the number of a literal scalar.
func constant(v *ir.Value) (x float64, ok bool) {
	if !v.DefIs(op.Constant) || len(v.Type.Shape) != 0 {
		return 0, false
	}
	b, err := v.Def().Attrs.Tensor("value").Bytes()
	if err != nil {
		return 0, false
	}
	f := v.Type.Format
	if f.IsFloat() {
		return f.Decode(format.Get(f, b, 0)), true
	}
	return float64(f.DecodeInt(format.Get(f, b, 0))), true
}

// isNumber reports whether a value is the literal scalar x, of either zero's sign.
func isNumber(v *ir.Value, x float64) bool {
	c, ok := constant(v)
	return ok && c == x
}

// through looks at what a value is cast, reshaped or broadcast from as long as the ops are of the given kinds.
func through(v *ir.Value, kinds ...*op.Info) *ir.Value {
	for d := v.Def(); d != nil; d = v.Def() {
		found := false
		for _, k := range kinds {
			found = found || d.Is(k)
		}
		if !found {
			break
		}
		v = d.Arg(0)
	}
	return v
}

// axis brings an axis that may count from the end into 0…rank-1.
func axis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(a)
}

// axes is axis for a list.
func axes(list []int64, rank int) []int {
	out := make([]int, len(list))
	for i, a := range list {
		out[i] = axis(a, rank)
	}
	return out
}

// ints gives a value's shape as numbers; nil when it has symbols.
func ints(v *ir.Value) []int64 {
	s, err := v.Type.Shape.Ints()
	if err != nil {
		return nil
	}
	if s == nil {
		s = []int64{}
	}
	return s
}

// count is the number of elements of a concrete shape.
func count(v *ir.Value) int64 {
	n := int64(1)
	for _, d := range v.Type.Shape {
		k, ok := d.Value()
		if !ok {
			return 0
		}
		n *= k
	}
	return n
}

// bytes is how much memory a value of concrete shape takes.
func bytes(v *ir.Value) int64 {
	b, _ := format.NumBytes(v.Type.Format, count(v))
	return b
}

// exact reports whether every value of format f is a value of g, so that a cast from f to g and back changes nothing.
func exact(f, g format.Format) bool {
	if f == g {
		return true
	}
	switch {
	case f == format.Bool:
		return g != format.F8E8M0
	case f.IsFloat() && g.IsFloat():
		a, b := f.Info(), g.Info()
		if f == format.HIF8 || g == format.HIF8 {
			return f == format.HIF8 && (g == format.F32 || g == format.F64 || g == format.BF16)
		}
		return a.ManBits <= b.ManBits && a.MaxFinite <= b.MaxFinite && a.MinNormal >= b.MinNormal && a.MinSubnormal >= b.MinSubnormal &&
			(!a.HasInf || b.HasInf) && (!a.HasNaN || b.HasNaN) && (!a.Signed || b.Signed) && (!a.HasZero || b.HasZero)
	case f.IsInt() && g.IsInt():
		return f.MinInt() >= g.MinInt() && f.MaxUint() <= g.MaxUint()
	case f.IsInt() && g.IsFloat():
		in := g.Info()
		largest := math.Ldexp(1, in.ManBits+1)
		return in.HasZero && in.Signed && float64(f.MaxUint()) <= math.Min(largest, in.MaxFinite) && -float64(f.MinInt()) <= math.Min(largest, in.MaxFinite)
	}
	return false
}

// one is the dimension 1.
var one = shape.Const(1)

// isIdentityPerm reports whether a permutation moves nothing.
func isIdentityPerm(p []int64) bool {
	for i, a := range p {
		if int64(i) != a {
			return false
		}
	}
	return true
}
