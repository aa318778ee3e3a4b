package op

import (
	"fmt"
	"math"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// Ops that move elements and do not change them.
var (
	Reshape = &Info{
		Name: "reshape", Class: Movement, Results: []string{"y"},
		Doc:      "The same elements in row-major order under another shape with as many elements.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}},
		Attrs:    []AttrSpec{{Name: "shape", Kind: Dims, Required: true, Doc: "the result's shape"}},
		Infer: func(in Input) ([]Type, error) {
			x, s := in.Args[0], in.Attrs.Dims("shape")
			if a, b := x.Shape.Numel(), s.Numel(); !a.Equal(b) {
				return nil, fmt.Errorf("reshape keeps the number of elements: %s has %s, [%s] has %s", x, a, s, b)
			}
			return []Type{{x.Format, s}}, nil
		},
		Example: "%y = reshape(%x) {shape=[B,T,H,128]} : f32[B,T,H,128]",
	}
	Transpose = &Info{
		Name: "transpose", Class: Movement, Results: []string{"y"},
		Doc:      "Permutes the axes: axis i of the result is axis `perm[i]` of x.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}},
		Attrs:    []AttrSpec{{Name: "perm", Kind: Ints, Required: true, Doc: "a permutation of 0…rank-1"}},
		Infer: func(in Input) ([]Type, error) {
			x, p := in.Args[0], in.Attrs.Ints("perm")
			if len(p) != len(x.Shape) {
				return nil, fmt.Errorf("transpose of %s needs a permutation of %d axes, found %v", x, len(x.Shape), p)
			}
			s := make(shape.Shape, len(p))
			seen := make([]bool, len(p))
			for i, a := range p {
				if a < 0 || a >= int64(len(p)) || seen[a] {
					return nil, fmt.Errorf("transpose: %v is not a permutation of 0…%d", p, len(p)-1)
				}
				seen[a] = true
				s[i] = x.Shape[a]
			}
			return []Type{{x.Format, s}}, nil
		},
		Example: "%y = transpose(%x) {perm=[0,2,1,3]} : f32[B,H,T,128]",
	}
	Broadcast = &Info{
		Name: "broadcast", Class: Movement, Results: []string{"y"},
		Doc:      "Repeats x to a larger shape by NumPy's rule.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}},
		Attrs:    []AttrSpec{{Name: "shape", Kind: Dims, Required: true, Doc: "the result's shape"}},
		Infer: func(in Input) ([]Type, error) {
			x, s := in.Args[0], in.Attrs.Dims("shape")
			b, err := shape.Broadcast(x.Shape, s)
			if err != nil || !b.Equal(s) {
				return nil, fmt.Errorf("broadcast: %s does not repeat to [%s]", x, s)
			}
			return []Type{{x.Format, s}}, nil
		},
		Example: "%y = broadcast(%x) {shape=[B,T,D]} : f32[B,T,D]",
	}
	Slice = &Info{
		Name: "slice", Class: Movement, Results: []string{"y"},
		Doc:      "Elements start, start+stride, … below limit along one axis.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}},
		Attrs: []AttrSpec{
			{Name: "axis", Kind: Int, Required: true, Doc: "the axis; negative counts from the end"},
			{Name: "start", Kind: Dim, Required: true, Doc: "first index"},
			{Name: "limit", Kind: Dim, Required: true, Doc: "one past the last index"},
			{Name: "stride", Kind: Int, Default: int64(1), Doc: "step, at least 1"},
		},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			ax, err := axisOf("slice", in.Attrs.Int("axis", 0), len(x.Shape))
			if err != nil {
				return nil, err
			}
			start, _ := in.Attrs.Dim("start")
			limit, _ := in.Attrs.Dim("limit")
			stride := in.Attrs.Int("stride", 1)
			if stride < 1 {
				return nil, fmt.Errorf("slice: stride %d, expected at least 1", stride)
			}
			size, ok := x.Shape[ax].Value()
			a, ok1 := start.Value()
			b, ok2 := limit.Value()
			if ok1 && a < 0 || ok1 && ok2 && b < a || ok && ok2 && b > size {
				return nil, fmt.Errorf("slice [%s:%s] is outside axis %d of %s", start, limit, ax, x)
			}
			n := limit.Sub(start)
			if stride > 1 {
				n = n.CeilDiv(stride)
			}
			s := append(shape.Shape(nil), x.Shape...)
			s[ax] = n
			return []Type{{x.Format, s}}, nil
		},
		Example: "%y = slice(%x) {axis=-1, start=0, limit=512} : bf16[B,T,512]",
	}
	Concat = &Info{
		Name: "concat", Class: Movement, Results: []string{"y"},
		Doc:      "Joins tensors along one axis; the other dimensions are equal.",
		Operands: []Operand{{Name: "xs", Variadic: true, Doc: "tensors of one format"}},
		Attrs:    []AttrSpec{{Name: "axis", Kind: Int, Required: true, Doc: "the axis; negative counts from the end"}},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			ax, err := axisOf("concat", in.Attrs.Int("axis", 0), len(x.Shape))
			if err != nil {
				return nil, err
			}
			s := append(shape.Shape(nil), x.Shape...)
			for _, y := range in.Args[1:] {
				ok := y.Format == x.Format && len(y.Shape) == len(s)
				for i := 0; ok && i < len(s); i++ {
					ok = i == ax || y.Shape[i].Equal(s[i])
				}
				if !ok {
					return nil, fmt.Errorf("concat along axis %d: %s does not fit %s", ax, y, x)
				}
				s[ax] = s[ax].Add(y.Shape[ax])
			}
			return []Type{{x.Format, s}}, nil
		},
		Example: "%y = concat(%a, %b) {axis=-1} : f32[B,T,192]",
	}
	Pad = &Info{
		Name: "pad", Class: Movement, Results: []string{"y"},
		Doc:      "Surrounds x with copies of a scalar: `low[i]` before and `high[i]` after along axis i.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}, {Name: "value", Doc: "scalar of the same format"}},
		Attrs: []AttrSpec{
			{Name: "low", Kind: Ints, Required: true, Doc: "elements before, one number an axis, not negative"},
			{Name: "high", Kind: Ints, Required: true, Doc: "elements after, one number an axis, not negative"},
		},
		Infer: func(in Input) ([]Type, error) {
			x, v := in.Args[0], in.Args[1]
			lo, hi := in.Attrs.Ints("low"), in.Attrs.Ints("high")
			if len(lo) != len(x.Shape) || len(hi) != len(x.Shape) {
				return nil, fmt.Errorf("pad of %s needs %d numbers in low and high, found %v and %v", x, len(x.Shape), lo, hi)
			}
			if v.Format != x.Format || len(v.Shape) != 0 {
				return nil, fmt.Errorf("pad of %s needs a scalar %s[], found %s", x, x.Format, v)
			}
			s := make(shape.Shape, len(lo))
			for i := range s {
				if lo[i] < 0 || hi[i] < 0 {
					return nil, fmt.Errorf("pad: low %v and high %v must not be negative; use slice to crop", lo, hi)
				}
				s[i] = x.Shape[i].Add(shape.Const(lo[i])).Add(shape.Const(hi[i]))
			}
			return []Type{{x.Format, s}}, nil
		},
		Example: "%y = pad(%x, %zero) {low=[0,1], high=[0,1]} : f32[B,10]",
	}
	Reverse = &Info{
		Name: "reverse", Class: Movement, Results: []string{"y"},
		Doc:      "Reverses the order along the given axes.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}},
		Attrs:    []AttrSpec{{Name: "axes", Kind: Ints, Required: true, Doc: "the axes; negative counts from the end"}},
		Infer: func(in Input) ([]Type, error) {
			for _, a := range in.Attrs.Ints("axes") {
				if _, err := axisOf("reverse", a, len(in.Args[0].Shape)); err != nil {
					return nil, err
				}
			}
			return in.Args[:1:1], nil
		},
		Example: "%y = reverse(%x) {axes=[-1]} : f32[B,D]",
	}
	Window = &Info{
		Name: "window", Class: Movement, Results: []string{"y"},
		Doc: "Sliding windows along one axis: the axis of n elements becomes two, [P…, n, Q…] → [P…, out, size, Q…] with y[…,o,k,…] = x[…,o*stride+k*dilation,…] " +
			"and out = (n - (size-1)*dilation - 1)/stride + 1, rounded down. Pad, windows and einsum make a convolution; pad, windows and reduce a pooling.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}},
		Attrs: []AttrSpec{
			{Name: "axis", Kind: Int, Required: true, Doc: "the axis; negative counts from the end"},
			{Name: "size", Kind: Int, Required: true, Doc: "elements of a window, at least 1"},
			{Name: "stride", Kind: Int, Default: int64(1), Doc: "from one window's first element to the next one's, at least 1"},
			{Name: "dilation", Kind: Int, Default: int64(1), Doc: "from one element of a window to the next, at least 1"},
		},
		Infer: func(in Input) ([]Type, error) {
			x := in.Args[0]
			ax, err := axisOf("window", in.Attrs.Int("axis", 0), len(x.Shape))
			if err != nil {
				return nil, err
			}
			size, stride, dilation := in.Attrs.Int("size", 0), in.Attrs.Int("stride", 1), in.Attrs.Int("dilation", 1)
			if size < 1 || stride < 1 || dilation < 1 {
				return nil, fmt.Errorf("window: size %d, stride %d and dilation %d, expected at least 1", size, stride, dilation)
			}
			if size-1 > (math.MaxInt64-1)/dilation {
				return nil, fmt.Errorf("window: %d elements with dilation %d are too long", size, dilation)
			}
			reach := (size-1)*dilation + 1
			if n, ok := x.Shape[ax].Value(); ok && n < reach-1 {
				return nil, fmt.Errorf("window: a window reaches over %d elements, but axis %d of %s has fewer", reach, ax, x)
			}
			s := append(shape.Shape(nil), x.Shape[:ax]...)
			s = append(s, x.Shape[ax].Sub(shape.Const(reach-1)).CeilDiv(stride), shape.Const(size))
			return []Type{{x.Format, append(s, x.Shape[ax+1:]...)}}, nil
		},
		Example: "%y = window(%x) {axis=2, size=3, stride=2} : f32[B,C,112,3,224]",
	}
	Gather = &Info{
		Name: "gather", Class: Movement, Results: []string{"y"},
		Doc: "Takes slices of x along `axis` by index: the index's axes replace the axis. " +
			"x: [P…, N, Q…], indices: [I…] → [P…, I…, Q…]. A negative index counts from the end; one out of range is clamped to the ends.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}, {Name: "indices", Doc: "i32 or i64"}},
		Attrs:    []AttrSpec{{Name: "axis", Kind: Int, Default: int64(0), Doc: "the axis; negative counts from the end"}},
		Infer: func(in Input) ([]Type, error) {
			x, idx := in.Args[0], in.Args[1]
			if err := wantIndex("gather", idx); err != nil {
				return nil, err
			}
			ax, err := axisOf("gather", in.Attrs.Int("axis", 0), len(x.Shape))
			if err != nil {
				return nil, err
			}
			s := append(shape.Shape(nil), x.Shape[:ax]...)
			s = append(s, idx.Shape...)
			s = append(s, x.Shape[ax+1:]...)
			return []Type{{x.Format, s}}, nil
		},
		Example: "%e = gather(%table, %tokens) {axis=0} : bf16[B,T,D]",
	}
	GatherElements = &Info{
		Name: "gather_elements", Class: Movement, Results: []string{"y"},
		Doc:      "For each element of the index tensor, the element of x at that index along `axis` and at the same place along the others. Index rules as for gather.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}, {Name: "indices", Doc: "i32 or i64, of x's rank, equal to x but along the axis"}},
		Attrs:    []AttrSpec{{Name: "axis", Kind: Int, Default: int64(-1), Doc: "the axis; negative counts from the end"}},
		Infer: func(in Input) ([]Type, error) {
			x, idx := in.Args[0], in.Args[1]
			if err := wantIndex("gather_elements", idx); err != nil {
				return nil, err
			}
			if err := sameButAxis("gather_elements", x, idx, in.Attrs.Int("axis", -1)); err != nil {
				return nil, err
			}
			return []Type{{x.Format, idx.Shape}}, nil
		},
		Example: "%w = gather_elements(%scores, %ids) : f32[N,8]",
	}
	ScatterElements = &Info{
		Name: "scatter_elements", Class: Movement, Results: []string{"y"},
		Doc: "x with the updates written at their indices along `axis`; later updates win, or are combined by `reduce`. Index rules as for gather.",
		Operands: []Operand{
			{Name: "x", Doc: "any tensor"}, {Name: "indices", Doc: "i32 or i64, of x's rank, equal to x but along the axis"},
			{Name: "updates", Doc: "of x's format and the indices' shape, or a scalar"},
		},
		Attrs: []AttrSpec{
			{Name: "axis", Kind: Int, Default: int64(-1), Doc: "the axis; negative counts from the end"},
			{Name: "reduce", Kind: String, Default: "none", OneOf: []string{"none", "add", "mul", "max", "min"}, Doc: "how an update meets what is there"},
		},
		Infer: func(in Input) ([]Type, error) {
			x, idx, u := in.Args[0], in.Args[1], in.Args[2]
			if err := wantIndex("scatter_elements", idx); err != nil {
				return nil, err
			}
			if err := sameButAxis("scatter_elements", x, idx, in.Attrs.Int("axis", -1)); err != nil {
				return nil, err
			}
			if u.Format != x.Format || len(u.Shape) != 0 && !u.Shape.Equal(idx.Shape) {
				return nil, fmt.Errorf("scatter_elements: updates %s do not fit x %s and indices %s", u, x, idx)
			}
			return in.Args[:1:1], nil
		},
		Example: "%m = scatter_elements(%zeros, %groups, %one) : f32[N,8]",
	}
	Update = &Info{
		Name: "update", Class: Movement, Results: []string{"y"},
		Doc: "x with y written from index `at` on along `axis` (0 ≤ at ≤ S-T). x: [B, …, S, …], y: the same with T for S; `at` a scalar, or [B] with one start for each index of axis 0. " +
			"On a state this is done in place.",
		Operands: []Operand{{Name: "x", Doc: "any tensor"}, {Name: "y", Doc: "of the same format"}, {Name: "at", Doc: "i32 or i64, scalar or [B]"}},
		Attrs:    []AttrSpec{{Name: "axis", Kind: Int, Required: true, Doc: "the axis; negative counts from the end"}},
		Infer: func(in Input) ([]Type, error) {
			x, y, at := in.Args[0], in.Args[1], in.Args[2]
			if err := wantIndex("update", at); err != nil {
				return nil, err
			}
			if x.Format != y.Format {
				return nil, fmt.Errorf("update: formats differ, x is %s and y is %s: cast one of them", x, y)
			}
			if err := sameButAxis("update", x, y, in.Attrs.Int("axis", 0)); err != nil {
				return nil, err
			}
			ax, _ := axisOf("update", in.Attrs.Int("axis", 0), len(x.Shape))
			if n, ok := x.Shape[ax].Value(); ok {
				if m, ok := y.Shape[ax].Value(); ok && m > n {
					return nil, fmt.Errorf("update: y %s is longer than x %s along axis %d", y, x, ax)
				}
			}
			if len(at.Shape) > 1 || len(at.Shape) == 1 && (ax == 0 || !at.Shape[0].Equal(x.Shape[0])) {
				return nil, fmt.Errorf("update: at is a scalar, or has one start for each index of axis 0; found %s for x %s, axis %d", at, x, ax)
			}
			return in.Args[:1:1], nil
		},
		Example: "%kv2 = update(%kv, %new, %pos) {axis=1} : bf16[B,S,512]",
	}
)

func wantIndex(name string, t Type) error {
	if t.Format != format.I32 && t.Format != format.I64 {
		return fmt.Errorf("%s takes i32 or i64 indices, found %s", name, t)
	}
	return nil
}

func sameButAxis(name string, x, y Type, axis int64) error {
	ax, err := axisOf(name, axis, len(x.Shape))
	if err != nil {
		return err
	}
	ok := len(x.Shape) == len(y.Shape)
	for i := 0; ok && i < len(x.Shape); i++ {
		ok = i == ax || x.Shape[i].Equal(y.Shape[i])
	}
	if !ok {
		return fmt.Errorf("%s: %s and %s must agree but along axis %d", name, x, y, ax)
	}
	return nil
}
