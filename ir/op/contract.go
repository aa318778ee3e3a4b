package op

import (
	"fmt"
	"strings"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// Einsum is the one contraction: matrix products, batched products, outer and inner products.
var Einsum = &Info{
	Name: "einsum", Class: Contraction, Results: []string{"y"},
	Doc: "Sum of products in Einstein's notation, of two operands: `btd,fd->btf` is a linear layer with a weight stored [out, in]. " +
		"One lower-case letter an axis, none twice in one operand; a letter of both operands has one size; a letter missing from the result is summed. " +
		"The reference sums in float64 and rounds once to the result's format; integers sum exactly and wrap. `format` is the result's; absent, it is the operands'.",
	Operands: []Operand{{Name: "a", Doc: "float or integer tensor"}, {Name: "b", Doc: "float or integer tensor; its format may differ from a's within floats or within integers"}},
	Attrs: []AttrSpec{
		{Name: "spec", Kind: String, Required: true, Doc: "the letters, as in ab,bc->ac"},
		{Name: "format", Kind: Fmt, Doc: "the result's format"},
	},
	Infer: func(in Input) ([]Type, error) {
		a, b := in.Args[0], in.Args[1]
		e, err := ParseEinsum(in.Attrs.Str("spec", ""))
		if err != nil {
			return nil, err
		}
		if len(e.A) != len(a.Shape) || len(e.B) != len(b.Shape) {
			return nil, fmt.Errorf("einsum %s names %d and %d axes, found %s and %s", e, len(e.A), len(e.B), a, b)
		}
		if a.Format == format.Bool || a.Format.IsFloat() != b.Format.IsFloat() {
			return nil, fmt.Errorf("einsum multiplies floats with floats or integers with integers, found %s and %s", a, b)
		}
		out := in.Attrs.Format("format", a.Format)
		if out.IsFloat() != a.Format.IsFloat() {
			return nil, fmt.Errorf("einsum of %s and %s cannot give %s", a, b, out)
		}
		size := func(c byte) shape.Dim {
			if i := strings.IndexByte(e.A, c); i >= 0 {
				return a.Shape[i]
			}
			return b.Shape[strings.IndexByte(e.B, c)]
		}
		for i := 0; i < len(e.B); i++ {
			if d := size(e.B[i]); !d.Equal(b.Shape[i]) {
				return nil, fmt.Errorf("einsum %s: %c is %s in %s but %s in %s", e, e.B[i], d, a, b.Shape[i], b)
			}
		}
		s := make(shape.Shape, len(e.Out))
		for i := range s {
			s[i] = size(e.Out[i])
		}
		return []Type{{out, s}}, nil
	},
	Flops: func(in Input, res []Type) float64 {
		e, err := ParseEinsum(in.Attrs.Str("spec", ""))
		if err != nil {
			return 0
		}
		f := 2 * numel(res[0])
		for i := 0; i < len(e.A); i++ {
			if strings.IndexByte(e.Out, e.A[i]) < 0 {
				n, _ := in.Args[0].Shape[i].Value()
				f *= float64(n)
			}
		}
		for i := 0; i < len(e.B); i++ {
			if strings.IndexByte(e.Out, e.B[i]) < 0 && strings.IndexByte(e.A, e.B[i]) < 0 {
				n, _ := in.Args[1].Shape[i].Value()
				f *= float64(n)
			}
		}
		return f
	},
	Example: "%y = einsum(%x, %w) {spec=\"btd,fd->btf\"} : bf16[B,T,F]",
}

// EinsumSpec is a parsed specification: the letters of both operands and of the result.
type EinsumSpec struct{ A, B, Out string }

func (e EinsumSpec) String() string { return e.A + "," + e.B + "->" + e.Out }

// ParseEinsum reads a specification such as `btd,fd->btf`.
func ParseEinsum(s string) (EinsumSpec, error) {
	lhs, out, ok := strings.Cut(s, "->")
	a, b, ok2 := strings.Cut(lhs, ",")
	e := EinsumSpec{a, b, out}
	if !ok || !ok2 {
		return e, fmt.Errorf("einsum: expected a specification such as \"btd,fd->btf\", found %q", s)
	}
	for _, t := range []string{a, b, out} {
		for i := 0; i < len(t); i++ {
			if t[i] < 'a' || t[i] > 'z' {
				return e, fmt.Errorf("einsum %q: an axis is one letter a…z, found %q", s, t[i])
			}
			if strings.IndexByte(t[i+1:], t[i]) >= 0 {
				return e, fmt.Errorf("einsum %q: %c stands twice in %q", s, t[i], t)
			}
		}
	}
	for i := 0; i < len(out); i++ {
		if strings.IndexByte(a, out[i]) < 0 && strings.IndexByte(b, out[i]) < 0 {
			return e, fmt.Errorf("einsum %q: %c of the result is in neither operand", s, out[i])
		}
	}
	return e, nil
}
