package op

import (
	"fmt"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// attentionExtras are the optional operands of attention, in their order.
var attentionExtras = []string{"q2", "k2", "pos", "mask"}

// AttentionOperand returns the operand of attention with the given name (q, k, v, q2, k2, pos, mask) by its
// index, or -1 if this one does not have it.
func AttentionOperand(a Attrs, name string) int {
	for i, n := range []string{"q", "k", "v"} {
		if n == name {
			return i
		}
	}
	for i, n := range a.Strs("with") {
		if n == name {
			return 3 + i
		}
	}
	return -1
}

// Compositions with a name of their own.
var (
	Attention = &Info{
		Name: "attention", Class: Fused, Results: []string{"y"},
		Doc: "Scaled dot-product attention with grouped heads. q: [B,T,H,D], k: [B,S,G,D], v: [B,S,G,E] → [B,T,H,E], H a multiple of G, head h reads group h/(H/G). " +
			"score[b,h,t,s] = scale · (q·k + q2·k2) + mask; y = softmax over s of score, times v, in f32 inside. " +
			"Optional operands, named in `with` in this order: q2 [B,T,H,C] and k2 [B,S,G2,C] (a second part of the score, such as MLA's rotary part; H a multiple of G2), " +
			"pos i32 [] or [B] (the position of query 0; without it 0), mask (bool, true = visible, or float, added; broadcasts to [B,H,T,S]). " +
			"With `causal`, query t sees the keys s ≤ pos + t. With `softcap` c, score becomes c·tanh(score/c) before the mask. A query that sees nothing gives 0.",
		Operands: []Operand{{Name: "q", Doc: "queries"}, {Name: "k", Doc: "keys"}, {Name: "v", Doc: "values"}, {Name: "extras", Optional: true, Variadic: true, Doc: "as `with` says"}},
		Attrs: []AttrSpec{
			{Name: "scale", Kind: Float, Required: true, Doc: "factor of the scores"},
			{Name: "causal", Kind: Bool, Default: false, Doc: "hide keys after the query"},
			{Name: "softcap", Kind: Float, Default: float64(0), Doc: "bound of the scores; 0 is none"},
			{Name: "with", Kind: Strings, Doc: "names of the optional operands that are there"},
		},
		Infer: inferAttention,
		Flops: func(in Input, res []Type) float64 {
			q, k, v := in.Args[0].Shape, in.Args[1].Shape, in.Args[2].Shape
			n := numel(Type{Shape: shape.Shape{q[0], q[1], q[2], k[1]}})
			d := numel(Type{Shape: shape.Shape{q[3]}}) + numel(Type{Shape: shape.Shape{v[3]}})
			if i := AttentionOperand(in.Attrs, "q2"); i >= 0 {
				d += numel(Type{Shape: in.Args[i].Shape[3:]})
			}
			return n * (2*d + 5)
		},
		Example: "%y = attention(%q, %k, %v, %pos) {scale=0.125, causal=true, with=[\"pos\"]} : bf16[B,T,H,64]",
	}
	GroupedMatmul = &Info{
		Name: "grouped_matmul", Class: Fused, Results: []string{"y"},
		Doc: "Rows sorted by group, each times the matrix of its group. x: [R,D], w: [E,F,D], offsets i32 [E+1] (from group_rows: group e has the rows offsets[e] ≤ r < offsets[e+1]) → " +
			"y: [R,F], y[r,f] = Σ_d x[r,d] · w[group of r, f, d]. With scales (`block`): x and w are codes, scale_x and scale_w follow, and the sum is as in scaled_matmul.",
		Operands: []Operand{
			{Name: "x", Doc: "rows, sorted by group"}, {Name: "w", Doc: "one matrix a group"}, {Name: "offsets", Doc: "i32 [E+1]"},
			{Name: "scale_x", Optional: true, Doc: "f32 or f8e8m0 [R,ceil(D/g)]"}, {Name: "scale_w", Optional: true, Doc: "as scale_x, [E,ceil(F/h),ceil(D/g)]"},
		},
		Attrs: []AttrSpec{
			{Name: "block", Kind: Ints, Doc: "h and g, when there are scales"},
			{Name: "format", Kind: Fmt, Doc: "the result's format; absent, x's"},
		},
		Infer: func(in Input) ([]Type, error) {
			x, w, offsets := in.Args[0], in.Args[1], in.Args[2]
			if len(w.Shape) != 3 || len(x.Shape) != 2 || !x.Shape[1].Equal(w.Shape[2]) {
				return nil, fmt.Errorf("grouped_matmul takes x [R,D] and w [E,F,D], found %s and %s", x, w)
			}
			if !offsets.Shape.Equal(shape.Shape{w.Shape[0].Add(shape.Const(1))}) || offsets.Format != format.I32 {
				return nil, fmt.Errorf("grouped_matmul of %s and %s: offsets is i32 [E+1], found %s", x, w, offsets)
			}
			if len(in.Args) == 3 {
				if f := in.Attrs.Format("format", x.Format); !x.Format.IsFloat() || !w.Format.IsFloat() || !f.IsFloat() {
					return nil, fmt.Errorf("grouped_matmul without scales multiplies floats, found %s and %s into %s", x, w, f)
				}
				return []Type{{in.Attrs.Format("format", x.Format), shape.Shape{x.Shape[0], w.Shape[1]}}}, nil
			}
			if len(in.Args) != 5 {
				return nil, fmt.Errorf("grouped_matmul takes both scales or none")
			}
			return scaledProduct("grouped_matmul", in, x, w, in.Args[3], in.Args[4], w.Shape[1])
		},
		Flops: func(in Input, res []Type) float64 {
			d, _ := in.Args[1].Shape[2].Value()
			return 2 * numel(res[0]) * float64(d)
		},
		Example: "%y = grouped_matmul(%x, %w, %offsets) : bf16[8*N,2048]",
	}
)

func inferAttention(in Input) ([]Type, error) {
	with := in.Attrs.Strs("with")
	if len(in.Args) != 3+len(with) {
		return nil, fmt.Errorf("attention with %v takes %d operands, found %d", with, 3+len(with), len(in.Args))
	}
	next := 0
	for _, n := range with {
		at := -1
		for i := next; i < len(attentionExtras); i++ {
			if attentionExtras[i] == n {
				at = i
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("attention: with names some of %v in that order, found %v", attentionExtras, with)
		}
		next = at + 1
	}
	q, k, v := in.Args[0], in.Args[1], in.Args[2]
	if len(q.Shape) != 4 || len(k.Shape) != 4 || len(v.Shape) != 4 {
		return nil, fmt.Errorf("attention takes q [B,T,H,D], k [B,S,G,D], v [B,S,G,E], found %s, %s, %s", q, k, v)
	}
	if !q.Format.IsFloat() || !k.Format.IsFloat() || !v.Format.IsFloat() {
		return nil, fmt.Errorf("attention takes floats, found %s, %s, %s", q, k, v)
	}
	pair := func(q, k Type) error {
		if !q.Shape[0].Equal(k.Shape[0]) || !q.Shape[3].Equal(k.Shape[3]) {
			return fmt.Errorf("attention: queries %s and keys %s differ in batch or width", q, k)
		}
		h, ok1 := q.Shape[2].Value()
		g, ok2 := k.Shape[2].Value()
		if !ok1 || !ok2 || g < 1 || h%g != 0 {
			return fmt.Errorf("attention: the heads of %s must be a multiple of the groups of %s", q, k)
		}
		return nil
	}
	if err := pair(q, k); err != nil {
		return nil, err
	}
	if !k.Shape[:3].Equal(v.Shape[:3]) {
		return nil, fmt.Errorf("attention: keys %s and values %s differ", k, v)
	}
	q2, k2 := AttentionOperand(in.Attrs, "q2"), AttentionOperand(in.Attrs, "k2")
	if (q2 < 0) != (k2 < 0) {
		return nil, fmt.Errorf("attention: q2 and k2 go together")
	}
	if q2 >= 0 {
		if len(in.Args[q2].Shape) != 4 || len(in.Args[k2].Shape) != 4 || !in.Args[q2].Shape[:3].Equal(q.Shape[:3]) || !in.Args[k2].Shape[:2].Equal(k.Shape[:2]) {
			return nil, fmt.Errorf("attention: q2 %s and k2 %s do not fit q %s and k %s", in.Args[q2], in.Args[k2], q, k)
		}
		if !in.Args[q2].Format.IsFloat() || !in.Args[k2].Format.IsFloat() {
			return nil, fmt.Errorf("attention takes floats, found %s and %s", in.Args[q2], in.Args[k2])
		}
		if err := pair(in.Args[q2], in.Args[k2]); err != nil {
			return nil, err
		}
	}
	if p := AttentionOperand(in.Attrs, "pos"); p >= 0 {
		t := in.Args[p]
		if t.Format != format.I32 || len(t.Shape) > 1 || len(t.Shape) == 1 && !t.Shape[0].Equal(q.Shape[0]) {
			return nil, fmt.Errorf("attention: pos is i32 [] or [B], found %s", t)
		}
	}
	if m := AttentionOperand(in.Attrs, "mask"); m >= 0 {
		full := shape.Shape{q.Shape[0], q.Shape[2], q.Shape[1], k.Shape[1]}
		s, err := shape.Broadcast(in.Args[m].Shape, full)
		if err != nil || !s.Equal(full) || in.Args[m].Format.IsInt() {
			return nil, fmt.Errorf("attention: the mask is bool or float and broadcasts to [%s], found %s", full, in.Args[m])
		}
	}
	return []Type{{q.Format, shape.Shape{q.Shape[0], q.Shape[1], q.Shape[2], v.Shape[3]}}}, nil
}
