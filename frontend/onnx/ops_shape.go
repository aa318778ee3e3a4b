package onnx

import (
	"fmt"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

func init() {
	register(
		Row{Op: "Constant", Since: 1, Lower: lowerConstant, Doc: "The attribute's tensor, as a constant or, when it is large, a weight."},
		Row{Op: "ConstantOfShape", Since: 9, Lower: lowerConstantOfShape, Doc: "A number repeated to a shape."},
		Row{Op: "Shape", Since: 1, Lower: lowerShape, Doc: "The dimensions, or from version 15 on some of them."},
		Row{Op: "Size", Since: 1, Lower: func(n *node) { n.set(0, n.dim(format.I64, n.arg(0).Type.Shape.Numel())) }, Doc: "The number of elements."},
		Row{Op: "Reshape", Since: 1, Lower: lowerReshapeAttr, Doc: "The op reshape; the shape is an attribute."},
		Row{Op: "Reshape", Since: 5, Lower: lowerReshape, Doc: "The op reshape; 0 stands for the size that the axis has, -1 for what is left."},
		Row{Op: "Flatten", Since: 1, Lower: lowerFlatten, Doc: "Two axes: the product of those before axis, and of the others."},
		Row{Op: "Squeeze", Since: 1, Lower: func(n *node) { n.squeezeAxes(n.attrInts("axes")) }, Doc: "Drops axes of size 1, named by an attribute."},
		Row{Op: "Squeeze", Since: 13, Lower: func(n *node) { n.squeezeAxes(n.optInts(1)) }, Doc: "Drops axes of size 1, named by an operand."},
		Row{Op: "Unsqueeze", Since: 1, Lower: func(n *node) { n.need("axes"); n.unsqueezeAxes(n.attrInts("axes")) }, Doc: "Adds axes of size 1, named by an attribute."},
		Row{Op: "Unsqueeze", Since: 13, Lower: func(n *node) { n.unsqueezeAxes(n.ints(1)) }, Doc: "Adds axes of size 1, named by an operand."},
		Row{Op: "Transpose", Since: 1, Lower: lowerTranspose, Doc: "The op transpose; by default the axes are reversed."},
		Row{Op: "Expand", Since: 8, Lower: lowerExpand, Doc: "The op broadcast, by NumPy's rule in both directions."},
		Row{Op: "Tile", Since: 1, Lower: lowerTileAttr, Doc: "Repeats one axis; operands are how often and the axis."},
		Row{Op: "Tile", Since: 6, Lower: lowerTile, Doc: "Repeats each axis."},
		Row{Op: "DepthToSpace", Since: 1, Lower: lowerDepthToSpace, Doc: "Blocks of channels become blocks of pixels."},
		Row{Op: "SpaceToDepth", Since: 1, Lower: lowerSpaceToDepth, Doc: "Blocks of pixels become blocks of channels."},
	)
}

// optInts gives the elements of operand i, which must be known if it is there, else nil.
func (n *node) optInts(i int) []int64 {
	if !n.has(i) {
		return nil
	}
	if v := n.ints(i); v != nil {
		return v
	}
	return []int64{}
}

// lowerConstant takes whichever of the attributes is given.
func lowerConstant(n *node) {
	switch {
	case n.hasAttr("value"):
		n.set(0, n.importer.literalOrWeight(n.name, n.attrTensor("value")))
	case n.hasAttr("value_float"):
		n.set(0, n.scalar(format.F32, n.attrFloat("value_float", 0)))
	case n.hasAttr("value_int"):
		t, err := tensor.FromI64(format.I64, nil, []int64{n.attrInt("value_int", 0)})
		if err != nil {
			n.fail("%s", err)
		}
		n.set(0, n.literal(t))
	case n.hasAttr("value_floats"):
		v := n.attrFloats("value_floats")
		n.set(0, n.floatsConst(format.F32, []int64{int64(len(v))}, v))
	case n.hasAttr("value_ints"):
		n.set(0, n.intsConst(format.I64, n.attrInts("value_ints")...))
	case n.hasAttr("value_string"), n.hasAttr("value_strings"):
		failf(CodeScope, "Constant: %s", forStrings)
	case n.hasAttr("sparse_value"):
		n.set(0, n.sparse())
	default:
		n.fail("it has none of the attributes value, value_float, value_int, value_floats, value_ints and sparse_value")
	}
}

// sparse scatters the elements of a sparse tensor into zeros.
func (n *node) sparse() *ir.Value {
	s := n.attrs["sparse_value"].SparseTensor
	if s.GetValues() == nil || s.GetIndices() == nil {
		n.fail("attribute sparse_value holds no sparse tensor")
	}
	vals, err := n.m.decode(s.Values)
	if err != nil {
		n.fail("sparse_value: %s", err)
	}
	idx, err := n.m.decode(s.Indices)
	if err != nil {
		n.fail("sparse_value: %s", err)
	}
	at, err := idx.I64s()
	if err != nil {
		n.fail("sparse_value: %s", err)
	}
	total, _, err := tensor.Count(vals.Format, s.Dims)
	if err != nil {
		n.fail("sparse_value: %s", err)
	}
	rank := int64(len(s.Dims))
	count := vals.Numel()
	flat := make([]int64, count)
	switch {
	case len(idx.Shape) == 1 && idx.Shape[0] == count:
		copy(flat, at)
	case len(idx.Shape) == 2 && idx.Shape[0] == count && idx.Shape[1] == rank:
		for i := range flat {
			for a := range rank {
				k := at[int64(i)*rank+a]
				if k < 0 || k >= s.Dims[a] {
					n.fail("sparse_value: index %d of axis %d is out of range", k, a)
				}
				flat[i] = flat[i]*s.Dims[a] + k
			}
		}
	default:
		n.fail("sparse_value: indices %s do not fit values %s", idx, vals)
	}
	for _, k := range flat {
		if k < 0 || k >= total {
			n.fail("sparse_value: index %d is out of range", k)
		}
	}
	zeros := n.full(vals.Format, dims(total), 0)
	if count > 0 {
		zeros = n.do(op.ScatterElements, ir.A("axis", 0), zeros, n.intsConst(format.I64, flat...), n.literal(vals))
	}
	return n.reshape(zeros, shape.Of(s.Dims...))
}

func lowerConstantOfShape(n *node) {
	v := n.scalar(format.F32, 0)
	if p := n.attrTensor("value"); p != nil {
		t, err := n.m.decode(p)
		if err != nil {
			n.fail("attribute value: %s", err)
		}
		if t.Numel() != 1 {
			n.fail("attribute value holds one element, found %s", t)
		}
		v = n.reshape(n.literal(t), shape.Shape{})
	}
	n.set(0, n.broadcast(v, n.targetShape(0)))
}

// targetShape is operand i as a shape, its elements checked.
func (n *node) targetShape(i int) shape.Shape {
	v := n.arg(i)
	if len(v.Type.Shape) > 1 {
		n.fail("%s is a vector of dimensions, found %s", n.argName(i), v.Type)
	}
	s := shape.Shape(n.dimsOf(i))
	n.checkShape(s)
	return s
}

// checkShape refuses negative and absurd dimensions.
func (n *node) checkShape(s shape.Shape) {
	if len(s) > MaxRank {
		n.fail("%d axes, more than %d", len(s), MaxRank)
	}
	if err := s.Err(); err != nil {
		n.fail("%s", err)
	}
	if err := s.Numel().Err(); err != nil {
		n.fail("shape [%s]: %s", s, err)
	}
}

func lowerShape(n *node) {
	s := n.arg(0).Type.Shape
	clamp := func(a int64) int {
		if a < 0 {
			a += int64(len(s))
		}
		return int(min(max(a, 0), int64(len(s))))
	}
	start, end := clamp(n.attrInt("start", 0)), clamp(n.attrInt("end", int64(len(s))))
	if n.version < 15 {
		start, end = 0, len(s)
	}
	n.set(0, n.dimVector(format.I64, s[start:max(start, end)]))
}

func lowerReshapeAttr(n *node) {
	n.need("shape")
	var s []shape.Dim
	for _, d := range n.attrInts("shape") {
		s = append(s, shape.Const(d))
	}
	n.reshapeTo(s, false)
}

func lowerReshape(n *node) { n.reshapeTo(n.dimsOf(1), n.attrBool("allowzero", false)) }

// reshapeTo completes a shape by the rules of Reshape.
func (n *node) reshapeTo(want []shape.Dim, allowZero bool) {
	x := n.arg(0)
	if len(want) > MaxRank {
		n.fail("%d axes, more than %d", len(want), MaxRank)
	}
	s := make(shape.Shape, len(want))
	open := -1
	for i, d := range want {
		s[i] = d
		switch v, ok := d.Value(); {
		case ok && v == -1:
			if open >= 0 {
				n.fail("-1 stands twice in [%s]", shape.Shape(want))
			}
			open = i
			s[i] = shape.Const(1)
		case ok && v == 0 && !allowZero:
			if i >= len(x.Type.Shape) {
				n.fail("[%s] takes over axis %d, which %s does not have", shape.Shape(want), i, x.Type)
			}
			s[i] = x.Type.Shape[i]
		case ok && v < 0:
			n.fail("a dimension is %d in [%s]", v, shape.Shape(want))
		}
	}
	if open >= 0 {
		s[open] = n.rest(x.Type.Shape, s, open)
	}
	n.checkShape(s)
	if a, b := x.Type.Shape.Numel(), s.Numel(); !a.Equal(b) {
		if _, ok := a.Sub(b).Value(); !ok {
			n.unequal(a, b, fmt.Sprintf("%s cannot take shape [%s]", x.Type, s))
		}
		n.fail("%s has %s elements, shape [%s] has %s", x.Type, a, s, b)
	}
	n.set(0, n.reshape(x, s))
}

// rest is what -1 stands for: the elements of x over those of the other axes. Equal factors are cancelled first, so that
// symbols divide out.
func (n *node) rest(from, s shape.Shape, open int) shape.Dim {
	var left, right shape.Shape
	left = append(left, from...)
	for i, d := range s {
		if i == open {
			continue
		}
		found := false
		for j := range left {
			if left[j].Equal(d) && d != (shape.Dim{}) {
				left = append(left[:j:j], left[j+1:]...)
				found = true
				break
			}
		}
		if !found {
			right = append(right, d)
		}
	}
	a, b := left.Numel(), right.Numel()
	if b == (shape.Dim{}) {
		if a == (shape.Dim{}) {
			return shape.Const(0)
		}
		n.fail("-1 stands for nothing beside an axis of size 0")
	}
	q, ok := a.Div(b)
	if !ok {
		if _, okA := a.Value(); okA {
			if _, okB := b.Value(); okB {
				n.fail("%s elements do not divide into [%s] with -1 for axis %d", from.Numel(), s, open)
			}
		}
		n.unequal(a, b, fmt.Sprintf("what -1 stands for is %s over %s", a, b))
	}
	return q
}

// unequal reports that two expressions cannot be compared while they have symbols.
func (n *node) unequal(a, b shape.Dim, what string) {
	syms := append(a.Symbols(), b.Symbols()...)
	d := diag.Errorf(CodeValue, diag.Range{}, "%s, which is not known to fit", what)
	if len(syms) > 0 {
		d.Helpf("give the symbol a value: --set %s=…", syms[0])
	}
	panic(bail{d})
}

func lowerFlatten(n *node) {
	x := n.arg(0)
	rank := int64(len(x.Type.Shape))
	a := n.attrInt("axis", 1)
	if a < -rank || a > rank {
		n.fail("axis %d is out of range for rank %d", a, rank)
	}
	if a < 0 {
		a += rank
	}
	n.set(0, n.reshape(x, shape.Shape{x.Type.Shape[:a].Numel(), x.Type.Shape[a:].Numel()}))
}

// squeezeAxes drops axes; nil drops all of size 1.
func (n *node) squeezeAxes(list []int64) {
	x := n.arg(0)
	var axes []int
	if list == nil {
		for i, d := range x.Type.Shape {
			if d == shape.Const(1) {
				axes = append(axes, i)
			}
		}
	} else {
		axes = n.axes(list, len(x.Type.Shape))
		for _, a := range axes {
			if d := x.Type.Shape[a]; d != shape.Const(1) {
				if !d.IsConst() {
					n.symbolic(d, fmt.Sprintf("axis %d, which is dropped,", a))
				}
				n.fail("axis %d of %s is not 1", a, x.Type)
			}
		}
	}
	n.set(0, n.squeeze(x, axes...))
}

func (n *node) unsqueezeAxes(list []int64) {
	x := n.arg(0)
	if len(list) > MaxRank {
		n.fail("%d axes, more than %d", len(list), MaxRank)
	}
	n.set(0, n.unsqueeze(x, n.axes(list, len(x.Type.Shape)+len(list))...))
}

func lowerTranspose(n *node) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	if p := n.attrInts("perm"); p != nil {
		if len(p) != rank {
			n.fail("perm %v does not fit %s", p, x.Type)
		}
		perm = n.axes(p, rank)
	}
	n.set(0, n.transpose(x, perm...))
}

func lowerExpand(n *node) {
	x, s := n.arg(0), n.targetShape(1)
	t, err := shape.Broadcast(x.Type.Shape, s)
	if err != nil {
		n.fail("%s", err)
	}
	n.checkShape(t)
	n.set(0, n.broadcast(x, t))
}

func lowerTileAttr(n *node) {
	x := n.arg(0)
	counts, along := n.wholes(1), n.wholes(2)
	if len(counts) != 1 || len(along) != 1 {
		n.fail("there are %d counts and %d axes, expected one each", len(counts), len(along))
	}
	times, axis := counts[0], n.axis(along[0], len(x.Type.Shape))
	reps := make([]shape.Dim, len(x.Type.Shape))
	for i := range reps {
		reps[i] = shape.Const(1)
	}
	reps[axis] = shape.Const(times)
	n.set(0, n.tile(x, reps))
}

func lowerTile(n *node) {
	x, reps := n.arg(0), n.dimsOf(1)
	if len(reps) != len(x.Type.Shape) {
		n.fail("%d repeats for %s", len(reps), x.Type)
	}
	n.set(0, n.tile(x, reps))
}

// tile repeats along each axis: an axis of size 1 before each repeated one is broadcast, and the two become one.
func (n *node) tile(x *ir.Value, reps []shape.Dim) *ir.Value {
	n.checkShape(reps)
	var split, wide, final shape.Shape
	for i, d := range x.Type.Shape {
		if reps[i] != shape.Const(1) {
			split = append(split, shape.Const(1))
			wide = append(wide, reps[i])
		}
		split, wide = append(split, d), append(wide, d)
		final = append(final, d.Mul(reps[i]))
	}
	n.checkShape(final)
	return n.reshape(n.broadcast(n.reshape(x, split), wide), final)
}

// block gives the sizes of an image [N,C,H,W] and the block size.
func (n *node) block() (x *ir.Value, s shape.Shape, size int64) {
	x = n.arg(0)
	n.need("blocksize")
	size = n.attrInt("blocksize", 0)
	if len(x.Type.Shape) != 4 || size < 1 || size > 1<<20 {
		n.fail("it takes [N,C,H,W] and a block size of at least 1, found %s and %d", x.Type, size)
	}
	return x, x.Type.Shape, size
}

// exact divides a dimension that must be a multiple.
func (n *node) exact(d shape.Dim, by int64, what string) shape.Dim {
	q, ok := d.Div(shape.Const(by))
	if !ok {
		if !d.IsConst() {
			n.symbolic(d, what)
		}
		n.fail("%s is %s, no multiple of %d", what, d, by)
	}
	return q
}

func lowerDepthToSpace(n *node) {
	x, s, b := n.block()
	k := shape.Const(b)
	c := n.exact(s[1], b*b, "the number of channels")
	if n.attrStr("mode", "DCR", "DCR", "CRD") == "DCR" {
		x = n.transpose(n.reshape(x, shape.Shape{s[0], k, k, c, s[2], s[3]}), 0, 3, 4, 1, 5, 2)
	} else {
		x = n.transpose(n.reshape(x, shape.Shape{s[0], c, k, k, s[2], s[3]}), 0, 1, 4, 2, 5, 3)
	}
	n.set(0, n.reshape(x, shape.Shape{s[0], c, s[2].Mul(k), s[3].Mul(k)}))
}

func lowerSpaceToDepth(n *node) {
	x, s, b := n.block()
	k := shape.Const(b)
	h, w := n.exact(s[2], b, "the height"), n.exact(s[3], b, "the width")
	x = n.transpose(n.reshape(x, shape.Shape{s[0], s[1], h, k, w, k}), 0, 3, 5, 1, 2, 4)
	n.set(0, n.reshape(x, shape.Shape{s[0], s[1].Mul(shape.Const(b * b)), h, w}))
}
