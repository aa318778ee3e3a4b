package passes

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
)

var canonicaliseInfo = &Info{
	Name: "canonicalise",
	Doc: "Brings ops that mean the same into one form and removes those that do nothing. No value changes by a bit, but for the sign of a zero " +
		"where x+0 becomes x.",
	Rules: rewrite.Join(castRules, movementRules, arithmeticRules, contractionRules, controlRules),
	run:   func(p *Pass) error { return p.rewrite(p.Info.Rules, nil) },
}

// castRules are about changes of format.
var castRules = rewrite.Set{
	{
		Name: "RemoveIdentityCast", Doc: "A cast to the format that the value has already goes.", Roots: []*op.Info{op.Cast, op.Bitcast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if o.Arg(0).Type.Format != o.Result(0).Type.Format {
				return false
			}
			r.Replace(o, o.Arg(0))
			return true
		},
	},
	{
		Name: "MergeCastPair", Doc: "A cast of a cast is one cast if the first loses nothing.", Roots: []*op.Info{op.Cast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Cast) {
				return false
			}
			from, by, to := d.Arg(0).Type.Format, d.Result(0).Type.Format, o.Result(0).Type.Format
			if !exact(from, by) || from.IsInt() && by.IsFloat() && to.IsInt() {
				return false // an integer that went through a float saturates on its way back, one that did not wraps
			}
			r.Replace(o, r.At(o).Op(op.Cast, o.Attrs, d.Arg(0)))
			return true
		},
	},
}

// contractionRules are about einsum and the movement around it.
var contractionRules = rewrite.Set{
	{
		Name: "SinkTransposeIntoEinsum", Doc: "An einsum of a transposed operand names the operand's axes in another order instead.", Roots: []*op.Info{op.Einsum},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			for i := 0; i < 2; i++ {
				d := o.Arg(i).Def()
				if d == nil || !d.Is(op.Transpose) {
					continue
				}
				e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
				if err != nil {
					return false
				}
				letters := e.A
				if i == 1 {
					letters = e.B
				}
				back := make([]byte, len(letters))
				for k, a := range d.Attrs.Ints("perm") {
					back[a] = letters[k]
				}
				if i == 0 {
					e.A = string(back)
				} else {
					e.B = string(back)
				}
				args := []*ir.Value{o.Arg(0), o.Arg(1)}
				args[i] = d.Arg(0)
				r.Replace(o, r.At(o).Op(op.Einsum, o.Attrs.With("spec", e.String()), args...))
				return true
			}
			return false
		},
	},
	{
		Name: "SinkTransposeOfEinsum", Doc: "A transpose of what only it reads of an einsum becomes the order of the einsum's result.", Roots: []*op.Info{op.Transpose},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Einsum) || o.Arg(0).NumUses() != 1 {
				return false
			}
			e, err := op.ParseEinsum(d.Attrs.Str("spec", ""))
			if err != nil {
				return false
			}
			out := make([]byte, len(e.Out))
			for k, a := range o.Attrs.Ints("perm") {
				out[k] = e.Out[a]
			}
			e.Out = string(out)
			r.Replace(o, r.At(o).Op(op.Einsum, d.Attrs.With("spec", e.String()), d.Arg(0), d.Arg(1)))
			return true
		},
	},
	{
		Name: "RemoveWideningBeforeEinsum", Doc: "An einsum of two operands that were cast from one narrower float format without loss takes them as they were; its result keeps its format.",
		Roots: []*op.Info{op.Einsum},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			narrow := func(v *ir.Value) *ir.Value {
				d := v.Def()
				if d == nil || !d.Is(op.Cast) || !d.Arg(0).Type.Format.IsFloat() || !exact(d.Arg(0).Type.Format, v.Type.Format) {
					return nil
				}
				return d.Arg(0)
			}
			a, b := narrow(o.Arg(0)), narrow(o.Arg(1))
			if a == nil || b == nil || a.Type.Format != b.Type.Format || a.Type.Format.Bits() < 16 {
				return false
			}
			attrs := o.Attrs.With("format", o.Result(0).Type.Format)
			r.Replace(o, r.At(o).Op(op.Einsum, attrs, a, b))
			return true
		},
	},
}

func sameShape(a, b *ir.Value) bool { return a.Type.Shape.Equal(b.Type.Shape) }

// arithmeticRules are identities of numbers.
var arithmeticRules = rewrite.Set{
	{
		Name: "MoveConstantRight", Doc: "The literal of a commutative op stands on the right.",
		Roots: []*op.Info{op.Add, op.Mul, op.Max, op.Min, op.And, op.Or, op.Xor, op.Eq, op.Ne},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if !isConst(o.Arg(0)) || isConst(o.Arg(1)) {
				return false
			}
			a, b := o.Arg(0), o.Arg(1)
			r.SetArg(o, 0, b)
			r.SetArg(o, 1, a)
			return true
		},
	},
	{
		Name: "TurnComparisonRound", Doc: "A comparison with a literal on the left is turned round.", Roots: []*op.Info{op.Lt, op.Le, op.Gt, op.Ge},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if !isConst(o.Arg(0)) || isConst(o.Arg(1)) {
				return false
			}
			to := map[*op.Info]*op.Info{op.Lt: op.Gt, op.Le: op.Ge, op.Gt: op.Lt, op.Ge: op.Le}[o.Info]
			r.Replace(o, r.At(o).Op(to, nil, o.Arg(1), o.Arg(0)))
			return true
		},
	},
	{
		Name: "RemoveAddOfZero", Doc: "x+0 and x-0 are x where x has the result's shape.", Roots: []*op.Info{op.Add, op.Sub, op.Or, op.Xor, op.Shl, op.Shr},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if !isNumber(o.Arg(1), 0) || o.Arg(0).Type.Format == format.Bool {
				return false
			}
			r.Replace(o, o.Arg(0))
			return true
		},
	},
	{
		Name: "RemoveMulByOne", Doc: "x*1 and x/1 are x.", Roots: []*op.Info{op.Mul, op.Div},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if !isNumber(o.Arg(1), 1) {
				return false
			}
			r.Replace(o, o.Arg(0))
			return true
		},
	},
	{
		Name: "TurnDivIntoMul", Doc: "A division of floats by a power of two is a product with its inverse, which is exact.", Roots: []*op.Info{op.Div},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			c, ok := constant(o.Arg(1))
			f := o.Arg(1).Type.Format
			if !ok || c == 0 || math.IsInf(c, 0) || math.IsNaN(c) || !f.IsFloat() {
				return false
			}
			m, _ := math.Frexp(c)
			in := f.Info()
			if math.Abs(m) != 0.5 || math.Abs(1/c) > in.MaxFinite || math.Abs(1/c) < in.MinNormal || math.Abs(c) < in.MinNormal {
				return false
			}
			b := r.At(o)
			r.Replace(o, b.Op(op.Mul, nil, o.Arg(0), b.Scalar(f, 1/c)))
			return true
		},
	},
	{
		Name: "TurnPowIntoMul", Doc: "x to the power 2 is x*x, which rounds the same.", Roots: []*op.Info{op.Pow},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if isNumber(o.Arg(1), 1) {
				r.Replace(o, o.Arg(0))
				return true
			}
			if !isNumber(o.Arg(1), 2) {
				return false
			}
			r.Replace(o, r.At(o).Op(op.Mul, nil, o.Arg(0), o.Arg(0)))
			return true
		},
	},
	{
		Name: "RemoveDoubleNegation", Doc: "-(-x) and not(not(x)) are x.", Roots: []*op.Info{op.Neg, op.Not},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if d := o.Arg(0).Def(); d != nil && d.Info == o.Info {
				r.Replace(o, d.Arg(0))
				return true
			}
			return false
		},
	},
	{
		Name: "TurnAddOfNegIntoSub", Doc: "a+(-b) is a-b, and a-(-b) is a+b.", Roots: []*op.Info{op.Add, op.Sub},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(1).Def()
			if d == nil || !d.Is(op.Neg) {
				return false
			}
			to := op.Sub
			if o.Is(op.Sub) {
				to = op.Add
			}
			r.Replace(o, r.At(o).Op(to, nil, o.Arg(0), d.Arg(0)))
			return true
		},
	},
	{
		Name: "RemoveEqualChoice", Doc: "A select between two equal values, max(x,x) and min(x,x) are the value; a select by a literal is the side it picks.",
		Roots: []*op.Info{op.Select, op.Max, op.Min},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if !o.Is(op.Select) {
				if o.Arg(0) != o.Arg(1) {
					return false
				}
				r.Replace(o, o.Arg(0))
				return true
			}
			pick := o.Arg(1)
			if c, ok := constant(o.Arg(0)); ok && c == 0 {
				pick = o.Arg(2)
			} else if !ok && o.Arg(1) != o.Arg(2) {
				return false
			}
			if !sameShape(pick, o.Result(0)) {
				return false
			}
			r.Replace(o, pick)
			return true
		},
	},
	{
		Name: "RemoveUnitReduce", Doc: "Folding axes of one element, or none, is a reshape.", Roots: []*op.Info{op.Reduce},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			x := o.Arg(0)
			for _, a := range axes(o.Attrs.Ints("axes"), x.Type.Rank()) {
				if !x.Type.Shape[a].Equal(one) {
					return false
				}
			}
			r.Replace(o, r.At(o).Reshape(x, o.Result(0).Type.Shape))
			return true
		},
	},
	{
		Name: "TurnDimIntoConstant", Doc: "The value of a dimension that is a number is a literal.", Roots: []*op.Info{op.DimValue},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d, _ := o.Attrs.Dim("of")
			n, ok := d.Value()
			if !ok || n > math.MaxInt32 || n < math.MinInt32 {
				return false
			}
			r.Replace(o, r.At(o).Scalar(format.I32, float64(n)))
			return true
		},
	},
}

func slice(b *ir.Builder, x *ir.Value, ax int, start, limit shape.Dim, stride int64) *ir.Value {
	return b.Op(op.Slice, ir.A("axis", ax, "start", start, "limit", limit, "stride", stride), x)
}
