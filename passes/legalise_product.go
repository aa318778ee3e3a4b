package passes

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

// productRules bring sums of products to what matrix engines do, or to elementwise products and sums.
var productRules = rewrite.Set{
	dequantiseProduct, widenScales,
	{
		Name: "ReduceLoneAxis", Doc: "An axis of one operand alone that is summed is summed before the product.", Roots: []*op.Info{op.Einsum},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
			if err != nil {
				return false
			}
			for i := 0; i < 2; i++ {
				mine, other := e.A, e.B
				if i == 1 {
					mine, other = e.B, e.A
				}
				var lone []int64
				left := ""
				for k := range []byte(mine) {
					if strings.IndexByte(other, mine[k]) < 0 && strings.IndexByte(e.Out, mine[k]) < 0 {
						lone = append(lone, int64(k))
					} else {
						left += mine[k : k+1]
					}
				}
				if len(lone) == 0 {
					continue
				}
				b := r.At(o)
				args := o.Args()
				// In a format that holds the sum as well as the result does.
				out := o.Result(0).Type.Format
				if from := args[i].Type.Format; from.IsInt() && out.Bits() > from.Bits() {
					args[i] = b.Cast(args[i], out)
				} else if from.IsFloat() && from != format.F64 && from != format.F32 {
					args[i] = b.Cast(args[i], format.F32)
				}
				args[i] = b.Op(op.Reduce, ir.A("kind", "sum", "axes", lone), args[i])
				if i == 0 {
					e.A = left
				} else {
					e.B = left
				}
				r.Replace(o, b.Op(op.Einsum, o.Attrs.With("spec", e.String()), args...))
				return true
			}
			return false
		},
	},
	{
		Name: "ShiftUnsignedProduct", Doc: "A product of unsigned bytes on an engine that multiplies signed ones is one of the bytes less 128, and 128 times the sums that this leaves out.",
		Roots: []*op.Info{op.Einsum}, Apply: shiftUnsigned,
	},
	{
		Name: "TurnProductIntoSum", Doc: "A sum of products that no matrix engine does (integers, f64, nothing summed), or that would leave it idle (a few terms for each element, and one side without rows of its own), is an elementwise product and a sum.",
		Roots: []*op.Info{op.Einsum}, Apply: productIntoSum,
	},
	{
		Name: "CastProductOperands", Doc: "Operands of a product in formats that no matrix engine takes are cast to f32, or to the other operand's format if that loses nothing.",
		Roots: []*op.Info{op.Einsum, op.GroupedMatmul, op.Attention}, Apply: castProduct,
	},
	{
		Name: "CastProductResult", Doc: "A product gives what its accumulator holds, or what that is converted to in one step; other formats are cast to afterwards.",
		Roots: []*op.Info{op.Einsum}, Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			l := r.Data.(*legaliser)
			_, rate, ok := l.c.Matrix(o.Arg(0).Type.Format, o.Arg(1).Type.Format)
			f := o.Result(0).Type.Format
			if !ok || f == rate.Acc || l.engines.CanCast(rate.Acc, f) && f.IsFloat() && f.Bits() >= 8 || rate.Acc.IsFloat() != f.IsFloat() {
				return false
			}
			b := r.At(o)
			y := b.Einsum(o.Attrs.Str("spec", ""), o.Arg(0), o.Arg(1), rate.Acc)
			r.Replace(o, b.Cast(y, f))
			return true
		},
	},
}

// few is how many terms a sum of products may have for the vector engine to do it where the matrix engine has one row to work on.
const few = 32

func productIntoSum(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	if err != nil {
		return false
	}
	x, y := o.Arg(0), o.Arg(1)
	size := map[byte]int64{}
	for k := range []byte(e.A) {
		size[e.A[k]] = dim(x, k)
	}
	for k := range []byte(e.B) {
		size[e.B[k]] = dim(y, k)
	}
	m, n, batch, terms := int64(1), int64(1), int64(1), int64(1)
	sum := ""
	for k := range []byte(e.A) {
		ch := e.A[k]
		switch inB, out := strings.IndexByte(e.B, ch) >= 0, strings.IndexByte(e.Out, ch) >= 0; {
		case !out && inB:
			terms *= size[ch]
			sum += string(ch)
		case !out:
			return false // ReduceLoneAxis comes first
		case inB:
			batch *= size[ch]
		default:
			m *= size[ch]
		}
	}
	for k := range []byte(e.B) {
		ch := e.B[k]
		in, out := strings.IndexByte(e.A, ch) >= 0, strings.IndexByte(e.Out, ch) >= 0
		if !in && !out {
			return false
		}
		if !in {
			n *= size[ch]
		}
	}
	f := x.Type.Format
	possible := l.multiplies(f, y.Type.Format) || f.IsFloat() && f != format.F64 && l.multiplies(format.F32, format.F32)
	if f.IsInt() && possible {
		_, rate, _ := l.c.Matrix(f, y.Type.Format)
		possible = rate.Acc.IsInt() && rate.Acc == format.I32
	}
	idle := (m == 1 || n == 1) && terms <= few && !(ownWeight(x) || ownWeight(y))
	if possible && !idle && sum != "" {
		return false
	}
	// In which format: one that adds without rounding twice.
	g := o.Result(0).Type.Format
	switch {
	case f.IsFloat() && f != format.F64 && g != format.F64:
		g = format.F32
	case f.IsFloat():
		g = format.F64
	case g.Bits() > 32: // sums wrap, with a sign or without
		g = format.I64
	default:
		g = format.I32
	}
	if !l.can(g, chip.Basic) || sum != "" && !l.can(g, chip.Reduce) {
		return false
	}
	b := r.At(o)
	// Views first: they are free on what is in a buffer.
	a := b.Cast(arrangeFor(b, x, e.A, e.Out+sum), g)
	c := b.Cast(arrangeFor(b, y, e.B, e.Out+sum), g)
	p := b.Op(op.Mul, nil, a, c)
	// An operand that both sides repeat: the product lacks no axis, since every letter is in one of them.
	if sum != "" {
		var axes []int64
		for k := range []byte(sum) {
			axes = append(axes, int64(len(e.Out)+k))
		}
		p = b.Op(op.Reduce, ir.A("kind", "sum", "axes", axes), p)
	}
	r.Replace(o, b.Cast(p, o.Result(0).Type.Format))
	return true
}

// shiftUnsigned multiplies u8 by way of i8: with x = x' + 128 and y = y' + 128, Σxy = Σx'y' + 128 Σx' + 128 Σy' + 128² terms, as
// far as x and y are unsigned. All of it wraps in 32 bits, which the result has at most.
func shiftUnsigned(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	x, y := o.Arg(0), o.Arg(1)
	f, g := x.Type.Format, y.Type.Format
	out := o.Result(0).Type.Format
	signed := func(f format.Format) bool { return f == format.I8 }
	if f != format.U8 && g != format.U8 || f != format.U8 && !signed(f) || g != format.U8 && !signed(g) || out.Bits() > 32 || l.multiplies(f, g) {
		return false
	}
	if _, rate, ok := l.c.Matrix(format.I8, format.I8); !ok || rate.Acc != format.I32 {
		return false
	}
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	if err != nil {
		return false
	}
	sum, terms := "", int64(1)
	for k := range []byte(e.A) {
		switch inB, kept := strings.IndexByte(e.B, e.A[k]) >= 0, strings.IndexByte(e.Out, e.A[k]) >= 0; {
		case !inB && !kept:
			return false // ReduceLoneAxis comes first
		case inB && !kept:
			sum += e.A[k : k+1]
			terms *= dim(x, k)
		}
	}
	if sum == "" || terms <= few {
		return false
	}
	for k := range []byte(e.B) {
		if strings.IndexByte(e.A, e.B[k]) < 0 && strings.IndexByte(e.Out, e.B[k]) < 0 {
			return false
		}
	}
	b := r.At(o)
	half := b.Scalar(format.I32, 128)
	shift := func(v *ir.Value) *ir.Value {
		if v.Type.Format == format.I8 {
			return v
		}
		return b.Cast(b.Op(op.Sub, nil, b.Cast(v, format.I32), half), format.I8)
	}
	// sums adds up what is left of a side over the summed letters, in the result's order of axes.
	sums := func(v *ir.Value, letters string) *ir.Value {
		var axes []int64
		left := ""
		for k := range []byte(letters) {
			if strings.IndexByte(sum, letters[k]) >= 0 {
				axes = append(axes, int64(k))
			} else {
				left += letters[k : k+1]
			}
		}
		s := b.Op(op.Reduce, ir.A("kind", "sum", "axes", axes), b.Cast(v, format.I32))
		return b.Op(op.Mul, nil, arrangeFor(b, s, left, e.Out), half)
	}
	xs, ys := shift(x), shift(y)
	res := b.Op(op.Einsum, ir.A("spec", e.String(), "format", format.I32), xs, ys)
	if f == format.U8 {
		res = b.Op(op.Add, nil, res, sums(ys, e.B))
	}
	if g == format.U8 {
		res = b.Op(op.Add, nil, res, sums(xs, e.A))
	}
	if f == format.U8 && g == format.U8 {
		res = b.Op(op.Add, nil, res, b.Scalar(format.I32, float64(int32(128*128*terms))))
	}
	r.Replace(o, b.Cast(res, out))
	return true
}

// arrangeFor transposes a value to the order of letters and gives it axes of one element for those it lacks.
func arrangeFor(b *ir.Builder, v *ir.Value, have, want string) *ir.Value {
	var perm []int64
	var s shape.Shape
	for k := range []byte(want) {
		at := strings.IndexByte(have, want[k])
		if at < 0 {
			s = append(s, one)
			continue
		}
		perm = append(perm, int64(at))
		s = append(s, v.Type.Shape[at])
	}
	if !isIdentityPerm(perm) {
		v = b.Op(op.Transpose, ir.A("perm", perm), v)
	}
	return b.Reshape(v, s)
}

// productFormat is the format that both operands of a product of floats are cast to when no engine takes them as they are.
func (l *legaliser) productFormat(a, b format.Format) format.Format {
	for _, f := range []format.Format{a, b, format.F32, format.F16, format.BF16, format.F64} {
		if f.IsFloat() && l.multiplies(f, f) && exact(a, f) && exact(b, f) {
			return f
		}
	}
	if a != format.F64 && b != format.F64 && l.multiplies(format.F32, format.F32) {
		return format.F32
	}
	return format.Invalid
}

func castProduct(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if o.Is(op.GroupedMatmul) && o.NumArgs() > 3 {
		return false
	}
	x, y := o.Arg(0).Type.Format, o.Arg(1).Type.Format
	if o.Is(op.Attention) {
		v := o.Arg(2).Type.Format
		if l.multiplies(x, y) && l.multiplies(v, v) {
			return false
		}
		f := l.productFormat(x, y)
		if f == format.Invalid || v == format.F64 {
			return false
		}
		if !exact(v, f) {
			f = format.F32
		}
		b := r.At(o)
		args := o.Args()
		for _, n := range []string{"q", "k", "v", "q2", "k2"} {
			if i := op.AttentionOperand(o.Attrs, n); i >= 0 {
				args[i] = b.Cast(args[i], f)
			}
		}
		r.Replace(o, b.Cast(b.Op(op.Attention, o.Attrs, args...), o.Result(0).Type.Format))
		return true
	}
	if l.multiplies(x, y) || !x.IsFloat() || !y.IsFloat() {
		if !x.IsInt() || !y.IsInt() || l.multiplies(x, y) {
			return false
		}
		// Integers: what both fit in without loss and an engine takes.
		for _, f := range []format.Format{x, y, format.I8, format.I32} {
			if l.multiplies(f, f) && exact(x, f) && exact(y, f) {
				b := r.At(o)
				args := o.Args()
				args[0], args[1] = b.Cast(args[0], f), b.Cast(args[1], f)
				r.Replace(o, b.Op(o.Info, withFormat(o, f), args...))
				return true
			}
		}
		return false
	}
	f := l.productFormat(x, y)
	if f == format.Invalid {
		return false
	}
	b := r.At(o)
	args := o.Args()
	args[0], args[1] = b.Cast(args[0], f), b.Cast(args[1], f)
	r.Replace(o, b.Op(o.Info, withFormat(o, f), args...))
	return true
}

// withFormat keeps the result's format when the operands' changes to f.
func withFormat(o *ir.Op, f format.Format) op.Attrs {
	a := o.Attrs.Without("format")
	if out := o.Result(0).Type.Format; out != f {
		a = a.With("format", out)
	}
	return a
}
