package op

import (
	"fmt"
	"math"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// Ops that change formats with scales.
var (
	Dequantize = &Info{
		Name: "dequantize", Class: Numeric, Results: []string{"y"},
		Doc: "Codes times their block's scale. The last axes of x are cut in blocks of `block` elements (the last block of an axis may be ragged); " +
			"x: [P…, M, N], scale: [P…, ceil(M/b0), ceil(N/b1)] → y[…,m,n] = x[…,m,n] * scale[…,m/b0,n/b1], computed in f32 and rounded to `format`.",
		Operands: []Operand{{Name: "x", Doc: "codes, a narrow float or integer format"}, {Name: "scale", Doc: "float, one element a block"}},
		Attrs: []AttrSpec{
			{Name: "block", Kind: Ints, Required: true, Doc: "block size along each of the last axes"},
			{Name: "format", Kind: Fmt, Required: true, Doc: "the result's format"},
			{Name: "activations", Kind: String, Default: "exact", OneOf: []string{"exact", "ue8m0"}, Doc: "what the scales of activations are that are quantised to meet these codes, as quantize's attribute scale; it has no say in the result"},
		},
		Infer: func(in Input) ([]Type, error) {
			x, s := in.Args[0], in.Args[1]
			want, err := blockShape("dequantize", x, in.Attrs.Ints("block"))
			if err != nil {
				return nil, err
			}
			if !s.Format.IsFloat() || !s.Shape.Equal(want) {
				return nil, fmt.Errorf("dequantize of %s in blocks of %v needs a float scale [%s], found %s", x, in.Attrs.Ints("block"), want, s)
			}
			f := in.Attrs.Format("format", format.F32)
			if !f.IsFloat() {
				return nil, fmt.Errorf("dequantize gives a float format, found %s", f)
			}
			return []Type{{f, x.Shape}}, nil
		},
		Flops:   func(in Input, res []Type) float64 { return numel(res[0]) },
		Example: "%w = dequantize(%q, %s) {block=[128,128], format=bf16} : bf16[F,D]",
	}
	Quantize = &Info{
		Name: "quantize", Class: Numeric, Results: []string{"codes", "scale"},
		Doc: "Codes and scales, a scale for each block of the last axes as in dequantize: scale = max(largest magnitude, `floor`) / largest finite code, in f32; " +
			"code = x / scale rounded to nearest even and saturated. With format f8e4m3fn, block [128] and floor 1e-4 it is DeepSeek's activation quantisation. " +
			"`scale` mx makes the scale a power of two, as section 6.3 of the OCP Microscaling Formats Specification 1.0 does: that of max(largest magnitude, `floor`) without its mantissa, over that of the format's largest code; an infinity or NaN gives an infinity. It is still f32, and a cast to f8e8m0 keeps it. " +
			"`scale` ue8m0 rounds the exact scale up to a power of two, as DeepSeek-V3.1 does for activations; an infinity or NaN gives an infinity.",
		Operands: []Operand{{Name: "x", Doc: "float tensor"}},
		Attrs: []AttrSpec{
			{Name: "block", Kind: Ints, Required: true, Doc: "block size along each of the last axes"},
			{Name: "format", Kind: Fmt, Required: true, Doc: "the codes' format"},
			{Name: "floor", Kind: Float, Default: 1e-4, Doc: "least magnitude a scale stands for, so that zeros do not divide by zero; with another scale than exact at least 2^-100"},
			{Name: "scale", Kind: String, Default: "exact", OneOf: []string{"exact", "mx", "ue8m0"}, Doc: "what a scale is: the largest magnitude over the largest code, or a power of two"},
		},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			if !x.Format.IsFloat() {
				return nil, fmt.Errorf("quantize takes a float tensor, found %s", x)
			}
			s, err := blockShape("quantize", x, in.Attrs.Ints("block"))
			if err != nil {
				return nil, err
			}
			f := in.Attrs.Format("format", format.Invalid)
			if f == format.Bool || f.Bits() > 8 {
				return nil, fmt.Errorf("quantize gives a format of at most 8 bits, found %s", f)
			}
			kind := in.Attrs.Str("scale", "exact")
			if kind == "mx" && (!f.IsMX() || !f.IsFloat()) {
				return nil, errMX("quantize", f)
			}
			if floor := in.Attrs.Float("floor", 1e-4); kind != "exact" && !(floor >= 0x1p-100 && floor <= math.MaxFloat32) {
				return nil, fmt.Errorf("quantize with scale %s has a finite floor of at least 2^-100, found %g", kind, floor)
			}
			return []Type{{f, x.Shape}, {format.F32, s}}, nil
		},
		Flops:   func(in Input, res []Type) float64 { return 3 * numel(res[0]) },
		Example: "%q, %s = quantize(%x) {block=[128], format=f8e4m3fn} : f8e4m3fn[M,K], f32[M,ceil(K/128)]",
	}
	ScaledMatmul = &Info{
		Name: "scaled_matmul", Class: Numeric, Results: []string{"y"},
		Doc: "Product of two quantised matrices. a: [P…, M, K], b: [N, K], scale_a: [P…, M, ceil(K/g)], scale_b: [ceil(N/h), ceil(K/g)] → y: [P…, M, N] = " +
			"Σ over blocks of K of (Σ a·b within the block) · scale_a · scale_b. Within a block the sum has the accumulator that the chip gives it (the reference: exact); blocks add up in f32, K ascending. " +
			"g is `block[1]`, h is `block[0]`. Scales are f32, or all f8e8m0: powers of two.",
		Operands: []Operand{{Name: "a", Doc: "codes of the activations"}, {Name: "b", Doc: "codes of the weight"}, {Name: "scale_a", Doc: "f32, or f8e8m0"}, {Name: "scale_b", Doc: "as scale_a"}},
		Attrs: []AttrSpec{
			{Name: "block", Kind: Ints, Required: true, Doc: "h and g: rows of b and elements of K that share a scale"},
			{Name: "format", Kind: Fmt, Required: true, Doc: "the result's format"},
		},
		Infer: func(in Input) ([]Type, error) {
			a, b := in.Args[0], in.Args[1]
			if len(a.Shape) < 2 || len(b.Shape) != 2 || !a.Shape[len(a.Shape)-1].Equal(b.Shape[1]) {
				return nil, fmt.Errorf("scaled_matmul takes a [P…,M,K] and b [N,K], found %s and %s", a, b)
			}
			return scaledProduct("scaled_matmul", in, a, b, in.Args[2], in.Args[3], b.Shape[0])
		},
		Flops: func(in Input, res []Type) float64 {
			k, _ := in.Args[1].Shape[1].Value()
			return 2 * numel(res[0]) * float64(k)
		},
		Example: "%y = scaled_matmul(%q, %w, %sq, %sw) {block=[128,128], format=bf16} : bf16[M,N]",
	}
)

// errMX says which formats have scales that are powers of two.
func errMX(what string, f format.Format) error {
	return fmt.Errorf("%s with scale mx gives one of the formats f8e4m3fn, f8e5m2, f6e3m2, f6e2m3 and f4e2m1, found %s", what, f)
}

// blockShape is the shape of the scales of x cut in blocks along its last axes.
func blockShape(name string, x Type, block []int64) (shape.Shape, error) {
	if len(block) == 0 || len(block) > len(x.Shape) {
		return nil, fmt.Errorf("%s: block %v does not fit %s", name, block, x)
	}
	s := append(shape.Shape(nil), x.Shape...)
	for i, b := range block {
		if b < 1 {
			return nil, fmt.Errorf("%s: block %v, expected sizes of at least 1", name, block)
		}
		ax := len(s) - len(block) + i
		s[ax] = s[ax].CeilDiv(b)
	}
	return s, nil
}

// scaledProduct checks the scales of a and b and gives a's shape with n in place of K.
func scaledProduct(name string, in Input, a, b, sa, sb Type, n shape.Dim) ([]Type, error) {
	if f := in.Attrs.Format("format", format.F32); !f.IsFloat() || a.Format == format.Bool || b.Format == format.Bool {
		return nil, fmt.Errorf("%s multiplies codes into a float format, found %s and %s into %s", name, a, b, f)
	}
	block := in.Attrs.Ints("block")
	if len(block) != 2 {
		return nil, fmt.Errorf("%s: block has two sizes, found %v", name, block)
	}
	wa, err := blockShape(name, a, block[1:])
	if err != nil {
		return nil, err
	}
	wb, err := blockShape(name, b, block)
	if err != nil {
		return nil, err
	}
	if !sa.Shape.Equal(wa) || !sb.Shape.Equal(wb) {
		return nil, fmt.Errorf("%s: scales of %s and %s in blocks of %v are [%s] and [%s], found %s and %s", name, a, b, block, wa, wb, sa, sb)
	}
	if f := sa.Format; f != format.F32 && f != format.F8E8M0 || sb.Format != f {
		return nil, fmt.Errorf("%s: scales are both f32 or both f8e8m0, found %s and %s", name, f, sb.Format)
	}
	s := append(shape.Shape(nil), a.Shape...)
	s[len(s)-1] = n
	return []Type{{in.Attrs.Format("format", format.F32), s}}, nil
}
