package op

import (
	"fmt"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// Ops that fold an axis, or order it.
var (
	Reduce = &Info{
		Name: "reduce", Class: Reduction, Results: []string{"y"},
		Doc:      "Folds axes: sum, product, largest, smallest, mean, logical and, logical or. A mean or sum of a float format is computed exactly by the reference and rounded once.",
		Operands: []Operand{{Name: "x", Doc: "any tensor; bool for all and any"}},
		Attrs: []AttrSpec{
			{Name: "kind", Kind: String, Required: true, OneOf: []string{"sum", "prod", "max", "min", "mean", "all", "any"}, Doc: "how elements combine"},
			{Name: "axes", Kind: Ints, Required: true, Doc: "the axes folded; negative counts from the end"},
			{Name: "keep", Kind: Bool, Default: false, Doc: "leave the folded axes with size 1"},
		},
		Infer: func(in Input) ([]Type, error) {
			x, kind := in.Args[0], in.Attrs.Str("kind", "")
			logical := kind == "all" || kind == "any"
			if logical != (x.Format == format.Bool) || kind == "mean" && !x.Format.IsFloat() {
				return nil, fmt.Errorf("reduce %s does not take %s", kind, x)
			}
			drop := make([]bool, len(x.Shape))
			for _, a := range in.Attrs.Ints("axes") {
				ax, err := axisOf("reduce", a, len(x.Shape))
				if err != nil {
					return nil, err
				}
				if drop[ax] {
					return nil, fmt.Errorf("reduce: axis %d is given twice", ax)
				}
				drop[ax] = true
			}
			var s shape.Shape
			for i, d := range x.Shape {
				if !drop[i] {
					s = append(s, d)
				} else if in.Attrs.Bool("keep", false) {
					s = append(s, shape.Const(1))
				}
			}
			return []Type{{x.Format, s}}, nil
		},
		Flops: func(in Input, _ []Type) float64 { return numel(in.Args[0]) },

		Example: "%y = reduce(%x) {kind=\"mean\", axes=[-1], keep=true} : f32[B,T,1]",
	}
	Cumsum = &Info{
		Name: "cumsum", Class: Reduction, Results: []string{"y"},
		Doc:      "Running sum along an axis, or running product, largest or smallest element. What stands before the first is 0 of a sum, 1 of a product, the least value of a format (-inf of floats) of max and the greatest of min.",
		Operands: []Operand{{Name: "x", Doc: "float or integer tensor"}},
		Attrs: []AttrSpec{
			{Name: "axis", Kind: Int, Required: true, Doc: "the axis; negative counts from the end"},
			{Name: "kind", Kind: String, Default: "sum", OneOf: []string{"sum", "prod", "max", "min"}, Doc: "how elements combine"},
			{Name: "exclusive", Kind: Bool, Default: false, Doc: "leave the element itself out"},
			{Name: "reverse", Kind: Bool, Default: false, Doc: "from the end"},
		},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			if x.Format == format.Bool {
				return nil, fmt.Errorf("cumsum takes a float or integer tensor, found %s", x)
			}
			if _, err := axisOf("cumsum", in.Attrs.Int("axis", 0), len(x.Shape)); err != nil {
				return nil, err
			}
			return in.Args[:1:1], nil
		},
		Flops:   func(in Input, _ []Type) float64 { return numel(in.Args[0]) },
		Example: "%y = cumsum(%x) {axis=-1} : f32[B,D]",
	}
	TopK = &Info{
		Name: "top_k", Class: Search, Results: []string{"values", "indices"},
		Doc: "The k largest (or smallest) elements along the last axis, best first; of equal ones the lower index first; NaN counts as largest. " +
			"x: [P…, N] → [P…, k] of x's format and i32 [P…, k]. With k = N it sorts.",
		Operands: []Operand{{Name: "x", Doc: "float or integer tensor of rank 1 or more"}},
		Attrs: []AttrSpec{
			{Name: "k", Kind: Dim, Required: true, Doc: "how many"},
			{Name: "largest", Kind: Bool, Default: true, Doc: "false takes the smallest"},
		},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			k, _ := in.Attrs.Dim("k")
			if len(x.Shape) == 0 || x.Format == format.Bool {
				return nil, fmt.Errorf("top_k takes a float or integer tensor with at least one axis, found %s", x)
			}
			last := x.Shape[len(x.Shape)-1]
			kv, ok := k.Value()
			n, okn := last.Value()
			if ok && kv < 0 || ok && okn && kv > n {
				return nil, fmt.Errorf("top_k: k = %s, but the last axis of %s has %s", k, x, last)
			}
			s := append(shape.Shape(nil), x.Shape...)
			s[len(s)-1] = k
			return []Type{{x.Format, s}, {format.I32, s}}, nil
		},
		Flops:   func(in Input, _ []Type) float64 { return numel(in.Args[0]) },
		Example: "%v, %i = top_k(%scores) {k=8} : f32[N,8], i32[N,8]",
	}
	ArgMax = &Info{
		Name: "argmax", Class: Search, Results: []string{"y"},
		Doc:      "Index of the largest element along an axis, the lowest of equal ones, as i32; the axis is dropped. NaN counts as largest.",
		Operands: []Operand{{Name: "x", Doc: "float or integer tensor"}},
		Attrs:    []AttrSpec{{Name: "axis", Kind: Int, Default: int64(-1), Doc: "the axis; negative counts from the end"}},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			ax, err := axisOf("argmax", in.Attrs.Int("axis", -1), len(x.Shape))
			if err != nil {
				return nil, err
			}
			s := append(append(shape.Shape(nil), x.Shape[:ax]...), x.Shape[ax+1:]...)
			return []Type{{format.I32, s}}, nil
		},
		Flops:   func(in Input, _ []Type) float64 { return numel(in.Args[0]) },
		Example: "%y = argmax(%x) : i32[B]",
	}
	GroupRows = &Info{
		Name: "group_rows", Class: Search, Results: []string{"rows", "places", "offsets"},
		Doc: "Sorts slots by the group they name, keeping the order within a group. ids: [N, K] with values in 0…groups-1 → " +
			"`rows` i32 [N*K]: the row n of each slot (n, k), the slots of group 0 first; `places` i32 [N, K]: where each slot went; `offsets` i32 [groups+1]: where each group begins. " +
			"It is how routed experts find their tokens: gather x by rows, multiply group by group, gather the result by places.",
		Operands: []Operand{{Name: "ids", Doc: "i32 [N, K]"}},
		Attrs:    []AttrSpec{{Name: "groups", Kind: Int, Required: true, Doc: "number of groups"}},
		Infer: func(in Input) ([]Type, error) {
			ids, g := in.Args[0], in.Attrs.Int("groups", 0)
			if ids.Format != format.I32 || len(ids.Shape) != 2 || g < 1 {
				return nil, fmt.Errorf("group_rows takes ids i32[N,K] and at least one group, found %s and %d", ids, g)
			}
			return []Type{
				{format.I32, shape.Shape{ids.Shape[0].Mul(ids.Shape[1])}}, {format.I32, ids.Shape}, {format.I32, shape.Shape{shape.Const(g + 1)}},
			}, nil
		},
		Flops:   func(in Input, _ []Type) float64 { return numel(in.Args[0]) },
		Example: "%rows, %places, %offsets = group_rows(%ids) {groups=256} : i32[8*N], i32[N,8], i32[257]",
	}
)

// numel is the number of elements of a type whose symbols are bound; 0 if one is not.
func numel(t Type) float64 {
	n := 1.0
	for _, d := range t.Shape {
		v, ok := d.Value()
		if !ok {
			return 0
		}
		n *= float64(v)
	}
	return n
}
