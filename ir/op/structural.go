package op

import (
	"fmt"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// Ops that hold a module together.
var (
	Constant = &Info{
		Name: "constant", Class: Structural, Results: []string{"y"},
		Doc:   "A literal tensor. A scalar broadcasts wherever it is used.",
		Attrs: []AttrSpec{{Name: "value", Kind: Literal, Required: true, Doc: "the elements"}},
		Infer: func(in Input) ([]Type, error) {
			t := in.Attrs.Tensor("value")
			s := make(shape.Shape, len(t.Shape))
			for i, n := range t.Shape {
				s[i] = shape.Const(n)
			}
			return []Type{{t.Format, s}}, nil
		},
		Example: "%c = constant {value=f32[] 1e-06} : f32[]",
	}
	Weight = &Info{
		Name: "weight", Class: Structural, Results: []string{"w"}, Declared: true,
		Doc: "A tensor of the checkpoint, by name. Where `stack` is n, the name holds one `{}` and the value is the n tensors named with 0…n-1 in its place, stacked on a new first axis. " +
			"`stored` is the format in the file when it differs from the value's: the loader converts once, before the first run. " +
			"With `scale`, the loader multiplies each `block` of the stored matrix (its last two axes) by the element of that tensor (DeepSeek's weight_scale_inv; ragged edges allowed) before converting. " +
			"With `quantise`, the loader then makes codes in f32 as the op quantize does, with a floor of 1e-12 and scales of the kind `quantise_scale`: one scale for each row (the last axis), or for each `quantise_block` of a matrix. " +
			"The value is the codes, or, with `width`, and `rows` where there are blocks, the scales of matrices of that size, one element a row or block: f32, or f8e8m0 of the kind mx.",
		Attrs: []AttrSpec{
			{Name: "name", Kind: String, Required: true, Doc: "the tensor's name in the checkpoint"},
			{Name: "stack", Kind: Int, Doc: "how many tensors are stacked; absent for one tensor as it is"},
			{Name: "stored", Kind: Fmt, Doc: "format in the file, when the loader converts"},
			{Name: "scale", Kind: String, Doc: "name of the tensor of block scales that the loader multiplies in"},
			{Name: "block", Kind: Ints, Doc: "rows and columns that share one stored scale"},
			{Name: "quantise", Kind: Fmt, Doc: "format of the codes that the loader makes"},
			{Name: "quantise_block", Kind: Ints, Doc: "rows and columns that share one scale that the loader makes; absent, those of a row"},
			{Name: "quantise_scale", Kind: String, Default: "exact", OneOf: []string{"exact", "mx"}, Doc: "what such a scale is, as quantize's attribute scale"},
			{Name: "width", Kind: Int, Doc: "elements of a stored row, where the value is the scales"},
			{Name: "rows", Kind: Int, Doc: "rows of a stored matrix, where the value is the scales of blocks"},
		},
		Check: func(in Input, results []Type) error {
			t := results[0]
			if n := in.Attrs.Int("stack", -1); n != -1 && (len(t.Shape) == 0 || !t.Shape[0].Equal(shape.Const(n))) {
				return fmt.Errorf("a weight stacked %d times has %d as its first dimension, found %s", n, n, t)
			}
			if in.Attrs.Has("scale") != in.Attrs.Has("block") {
				return fmt.Errorf("weight: scale and block go together")
			}
			return checkMade(in.Attrs, t)
		},
		Example: "%w = weight {name=\"model.norm.weight\"} : bf16[7168]",
	}
	Iota = &Info{
		Name: "iota", Class: Structural, Results: []string{"y"},
		Doc: "Each element is its own index along `axis`, as a number of the format.",
		Attrs: []AttrSpec{
			{Name: "format", Kind: Fmt, Required: true, Doc: "the result's format"},
			{Name: "shape", Kind: Dims, Required: true, Doc: "the result's shape"},
			{Name: "axis", Kind: Int, Default: int64(0), Doc: "the axis that counts"},
		},
		Infer: func(in Input) ([]Type, error) {
			s := in.Attrs.Dims("shape")
			if _, err := axisOf("iota", in.Attrs.Int("axis", 0), len(s)); err != nil {
				return nil, err
			}
			return []Type{{in.Attrs.Format("format", format.Invalid), s}}, nil
		},
		Example: "%i = iota {format=i32, shape=[S]} : i32[S]",
	}
	DimValue = &Info{
		Name: "dim", Class: Structural, Results: []string{"n"},
		Doc:     "The value of a dimension expression, as an i32 scalar.",
		Attrs:   []AttrSpec{{Name: "of", Kind: Dim, Required: true, Doc: "the expression, such as S or 2*T+1"}},
		Infer:   func(in Input) ([]Type, error) { return []Type{{format.I32, nil}}, nil },
		Example: "%n = dim {of=T} : i32[]",
	}
	Kernel = &Info{
		Name: "kernel", Class: Structural, Regions: 1, Results: []string{"results"},
		Doc: "Ops that run as one kernel: what its region computes from the operands, intermediates never leaving on-chip memory. " +
			"The region's parameters stand for the operands, one each; it sees no other value from outside.",
		Operands: []Operand{{Name: "inputs", Optional: true, Variadic: true, Doc: "what the kernel reads; nothing where it makes a table from literals alone"}},
		Attrs: []AttrSpec{
			{Name: "name", Kind: String, Required: true, Doc: "what a trace calls it"},
			{Name: "kind", Kind: String, Required: true, Doc: "the code generator's template",
				OneOf: []string{"map", "reduce", "contract", "attention", "grouped", "gather", "scatter", "search", "copy"}},
		},
		Infer: func(in Input) ([]Type, error) {
			r := in.Regions[0]
			if len(r.Params) != len(in.Args) {
				return nil, fmt.Errorf("the kernel's region takes %d parameters, but the kernel has %d operands", len(r.Params), len(in.Args))
			}
			for i, p := range r.Params {
				if !p.Equal(in.Args[i]) {
					return nil, fmt.Errorf("parameter %d of the kernel's region is %s, but the operand is %s", i+1, p, in.Args[i])
				}
			}
			return r.Results, nil
		},
		Example: "%y = kernel(%x) {name=\"norm\", kind=\"map\"} {…} : f32[B,D]",
	}
	Return = &Info{
		Name: "return", Class: Structural, Terminator: true,
		Doc:      "Ends a function: its results, then the new value of each state, in the order of the signature.",
		Operands: []Operand{{Name: "results", Variadic: true, Doc: "as the function declares them"}},
		Infer:    func(in Input) ([]Type, error) { return nil, nil },
		Example:  "return(%logits, %kv)",
	}
	Yield = &Info{
		Name: "yield", Class: Structural, Terminator: true,
		Doc:      "Ends a region: what the enclosing op gives as results.",
		Operands: []Operand{{Name: "results", Variadic: true, Doc: "one for each result of the enclosing op"}},
		Infer:    func(in Input) ([]Type, error) { return nil, nil },
		Example:  "yield(%y)",
	}
)

// checkMade checks a weight that the loader quantises: its codes or their scales.
func checkMade(a Attrs, t Type) error {
	q := a.Format("quantise", format.Invalid)
	if q == format.Invalid {
		for _, name := range []string{"quantise_block", "quantise_scale", "width", "rows"} {
			if a.Has(name) {
				return fmt.Errorf("weight: %s goes with quantise", name)
			}
		}
		return nil
	}
	block, rank, scale := a.Ints("quantise_block"), len(t.Shape), format.F32
	if q == format.Bool || q.Bits() > 8 {
		return fmt.Errorf("weight: quantise is a format of at most 8 bits, found %s", q)
	}
	if a.Str("quantise_scale", "exact") == "mx" {
		if scale = format.F8E8M0; !q.IsMX() || !q.IsFloat() {
			return errMX("weight", q)
		}
	}
	if block != nil && (len(block) != 2 || block[0] < 1 || block[1] < 1 || rank < 2) {
		return fmt.Errorf("weight: quantise_block is rows and columns of a matrix, found %v of %s", block, t)
	}
	if !a.Has("width") {
		if a.Has("rows") || t.Format != q || rank == 0 {
			return fmt.Errorf("weight: the codes of a weight quantised to %s have that format, found %s", q, t)
		}
		return nil
	}
	if a.Has("rows") != (block != nil) {
		return fmt.Errorf("weight: scales of blocks state rows and width, those of rows width alone")
	}
	width, rows := a.Int("width", 0), a.Int("rows", 1)
	if width < 1 || rows < 1 {
		return fmt.Errorf("weight: a matrix of %d rows of %d elements has no scales", rows, width)
	}
	last := shape.Of(1)
	if block != nil {
		last = shape.Of((rows-1)/block[0]+1, (width-1)/block[1]+1)
	}
	if t.Format != scale || rank < len(last) || !t.Shape[rank-len(last):].Equal(last) {
		return fmt.Errorf("weight: the scales of such rows are %s [.., %s], found %s", scale, last, t)
	}
	return nil
}

// axisOf brings a possibly negative axis into 0…rank-1.
func axisOf(name string, axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("%s: axis %d is out of range for rank %d", name, axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}
