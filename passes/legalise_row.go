package passes

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/passes/rewrite"
)

// rowRules cut ops whose rows do not fit the vector memory. What they leave fits, or is cut again.
var rowRules = rewrite.Set{
	{Name: "SplitReduceAxes", Doc: "A reduction of several axes too large to be on chip together folds one after the other, the last first.", Roots: []*op.Info{op.Reduce}, Apply: splitReduceAxes},
	{Name: "SplitReduceRow", Doc: "A reduction of a row that does not fit folds parts of it, then what they gave. What is left of even parts is a part of its own.", Roots: []*op.Info{op.Reduce}, Apply: splitReduceRow},
	{Name: "SplitSearchRow", Doc: "A top_k or argmax of a row that does not fit looks for the best of each part, then for the best of those.", Roots: []*op.Info{op.TopK, op.ArgMax}, Apply: splitSearchRow},
	{Name: "SplitCumsumRow", Doc: "A running sum, product or extreme along a row that does not fit runs in parts, each going on from what those before gave.", Roots: []*op.Info{op.Cumsum}, Apply: splitCumsumRow},
	{Name: "SplitQuantiseRow", Doc: "A quantize or dequantize whose row does not fit works on rows of one or more whole blocks.", Roots: []*op.Info{op.Quantize, op.Dequantize}, Apply: splitQuantiseRow},
	{Name: "TurnConcatIntoUpdates", Doc: "A concat along an axis that does not fit writes its operands into their places one by one.", Roots: []*op.Info{op.Concat}, Apply: concatIntoUpdates},
	{Name: "TurnPadIntoUpdate", Doc: "A pad of rows that do not fit writes what is padded into its place in a tensor of the padding.", Roots: []*op.Info{op.Pad}, Apply: padIntoUpdate},
	{Name: "SplitElementGather", Doc: "A gather of elements along a row that does not fit looks in each part of the row.", Roots: []*op.Info{op.GatherElements}, Apply: splitElementGather},
	{Name: "SplitElementScatter", Doc: "A scatter of elements along a row that does not fit writes each part of the row, with one place more for what belongs elsewhere.", Roots: []*op.Info{op.ScatterElements}, Apply: splitElementScatter},
}

// fitsAlone reports whether a kernel of this op alone fits the vector memory, all operands being read from buffers.
func (l *legaliser) fitsAlone(o *ir.Op) bool {
	for _, v := range append(o.Args(), o.Results()...) {
		if !v.Type.Shape.IsConst() {
			return true
		}
	}
	// Most rows are far from the limit.
	n := int64(0)
	for i := 0; i < o.NumArgs(); i++ {
		n += max(count(o.Arg(i))*8, 64)
	}
	for _, v := range o.Results() {
		n += max(count(v)*8, 64)
	}
	if n*2 <= l.limit {
		return true
	}
	if l.space == nil {
		l.space = newSpace(o.Func().Module, nil)
	}
	s := l.space
	s.leaf = func(v *ir.Value) bool { return v.Def() != o }
	s.grow(o.Func().Module)
	results := o.Results()
	return s.find(results) && s.row(results, l.limit) <= l.limit
}

// part is how many elements of a format a part of a row has: few enough for several tiles of it to fit, and a multiple of 64.
func (l *legaliser) part(f format.Format, beside int64) int64 {
	bytes := int64(max(f.Bits(), 32)) / 8
	n := l.limit / (6 * bytes * max(beside, 1))
	return max(n/64*64, min(n, 64), 1)
}

// inner is the number of elements behind an axis that an op must have on chip with it.
func inner(v *ir.Value, ax int) int64 {
	n := int64(1)
	for i := ax + 1; i < v.Type.Rank(); i++ {
		n *= dim(v, i)
	}
	return n
}

// toLast brings an axis to the end, and back gives the permutation that undoes it.
func toLast(b *ir.Builder, v *ir.Value, ax int) (last *ir.Value, back []int64) {
	rank := v.Type.Rank()
	if ax == rank-1 {
		return v, nil
	}
	var perm []int64
	for i := 0; i < rank; i++ {
		if i != ax {
			perm = append(perm, int64(i))
		}
	}
	perm = append(perm, int64(ax))
	back = make([]int64, rank)
	for i, a := range perm {
		back[a] = int64(i)
	}
	return b.Op(op.Transpose, ir.A("perm", perm), v), back
}

func splitReduceAxes(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	as := axes(o.Attrs.Ints("axes"), o.Arg(0).Type.Rank())
	if len(as) < 2 || l.fitsAlone(o) {
		return false
	}
	last := 0
	for i := range as {
		if as[i] > as[last] {
			last = i
		}
	}
	kind := o.Attrs.Str("kind", "")
	n := int64(1)
	for _, a := range as {
		n *= dim(o.Arg(0), a)
	}
	b := r.At(o)
	k := kind
	if kind == "mean" {
		k = "sum"
	}
	x := b.Op(op.Reduce, ir.A("kind", k, "axes", []int64{int64(as[last])}, "keep", true), o.Arg(0))
	var rest []int64
	for i, a := range as {
		if i != last {
			rest = append(rest, int64(a))
		}
	}
	x = b.Op(op.Reduce, ir.A("kind", k, "axes", rest, "keep", true), x)
	if kind == "mean" {
		x = b.Op(op.Div, nil, x, b.Scalar(x.Type.Format, float64(n)))
	}
	r.Replace(o, b.Reshape(x, o.Result(0).Type.Shape))
	return true
}

// parts cuts the last axis of a value: whole parts of m elements as [..., k, m], and the rest, which is nil if there is none.
func parts(b *ir.Builder, x *ir.Value, m int64) (whole, rest *ir.Value, k int64) {
	rank := x.Type.Rank()
	n := dim(x, rank-1)
	k = n / m
	lead := x.Type.Shape[:rank-1]
	if n%m != 0 {
		rest = slice(b, x, rank-1, shape.Const(k*m), shape.Const(n), 1)
		x = slice(b, x, rank-1, shape.Dim{}, shape.Const(k*m), 1)
	}
	return b.Reshape(x, append(append(shape.Shape(nil), lead...), shape.Const(k), shape.Const(m))), rest, k
}

var combine = map[string]*op.Info{"sum": op.Add, "prod": op.Mul, "max": op.Max, "min": op.Min, "all": op.And, "any": op.Or}

func splitReduceRow(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	x := o.Arg(0)
	as := axes(o.Attrs.Ints("axes"), x.Type.Rank())
	if len(as) != 1 || l.fitsAlone(o) {
		return false
	}
	n := dim(x, as[0])
	beside := inner(x, as[0]) // stays inner where the axis is not the last
	if beside > 1 {
		// Read with the axis last, nothing else is inner.
		b := r.At(o)
		t, _ := toLast(b, x, as[0])
		y := b.Op(op.Reduce, ir.A("kind", o.Attrs.Str("kind", ""), "axes", []int64{-1}), t)
		r.Replace(o, b.Reshape(y, o.Result(0).Type.Shape))
		return true
	}
	m := l.part(x.Type.Format, 1)
	if m >= n || m < 2 {
		return false
	}
	kind := o.Attrs.Str("kind", "")
	k := kind
	if kind == "mean" {
		k = "sum"
	}
	b := r.At(o)
	whole, rest, _ := parts(b, x, m)
	attrs := ir.A("kind", k, "axes", []int64{-1})
	y := b.Op(op.Reduce, attrs, b.Op(op.Reduce, attrs, whole))
	if rest != nil {
		y = b.Op(combine[k], nil, y, b.Op(op.Reduce, attrs, rest))
	}
	if kind == "mean" {
		y = b.Op(op.Div, nil, y, b.Scalar(y.Type.Format, float64(n)))
	}
	r.Remark(o, "a row of %s does not fit %s: it is folded in parts of %d", size(n*int64(x.Type.Format.Bits())/8), vectorMemory(l.c).Name, m)
	r.Replace(o, b.Reshape(y, o.Result(0).Type.Shape))
	return true
}

func splitSearchRow(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if l.fitsAlone(o) {
		return false
	}
	x := o.Arg(0)
	rank := x.Type.Rank()
	b := r.At(o)
	if o.Is(op.ArgMax) {
		ax := axis(o.Attrs.Int("axis", -1), rank)
		if ax != rank-1 {
			t, _ := toLast(b, x, ax)
			r.Replace(o, b.Op(op.ArgMax, nil, t))
			return true
		}
		top := b.Create(op.TopK, ir.A("k", shape.Const(1)), x)
		if top == nil {
			return true
		}
		r.Replace(o, b.Reshape(top.Result(1), o.Result(0).Type.Shape))
		return true
	}
	d, _ := o.Attrs.Dim("k")
	k, _ := d.Value()
	n := dim(x, rank-1)
	m := l.part(x.Type.Format, 1)
	if k*2 > m || m >= n {
		return false // more is kept than a part holds: nothing is won by cutting
	}
	attrs := o.Attrs
	whole, rest, c := parts(b, x, m)
	best := b.Create(op.TopK, attrs, whole) // [.., c, k]
	if best == nil {
		return true
	}
	lead := x.Type.Shape[: rank-1 : rank-1]
	// Where each part begins, added to the index within it.
	base := b.Op(op.Mul, nil, b.Op(op.Iota, ir.A("format", format.I32, "shape", shape.Of(c, 1))), b.Scalar(format.I32, float64(m)))
	index := b.Op(op.Add, nil, best.Result(1), base)
	flat := append(append(shape.Shape(nil), lead...), shape.Const(c*k))
	values, index := b.Reshape(best.Result(0), flat), b.Reshape(index, flat)
	if rest != nil {
		kr := min(k, dim(rest, rank-1))
		tail := b.Create(op.TopK, attrs.With("k", shape.Const(kr)), rest)
		if tail == nil {
			return true
		}
		values = b.Op(op.Concat, ir.A("axis", int64(rank-1)), values, tail.Result(0))
		index = b.Op(op.Concat, ir.A("axis", int64(rank-1)), index, b.Op(op.Add, nil, tail.Result(1), b.Scalar(format.I32, float64(c*m))))
	}
	all := b.Create(op.TopK, attrs, values)
	if all == nil {
		return true
	}
	r.Remark(o, "a row of %s does not fit %s: it is searched in parts of %d", size(n*int64(x.Type.Format.Bits())/8), vectorMemory(l.c).Name, m)
	r.Replace(o, all.Result(0), b.Op(op.GatherElements, nil, index, all.Result(1)))
	return true
}

func splitCumsumRow(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if l.fitsAlone(o) {
		return false
	}
	x := o.Arg(0)
	rank := x.Type.Rank()
	ax := axis(o.Attrs.Int("axis", 0), rank)
	b := r.At(o)
	if inner(x, ax) > 1 {
		t, back := toLast(b, x, ax)
		y := b.Op(op.Cumsum, o.Attrs.With("axis", int64(-1)), t)
		r.Replace(o, b.Op(op.Transpose, ir.A("perm", back), y))
		return true
	}
	m := l.part(x.Type.Format, 1)
	if m >= dim(x, ax) || m < 2 {
		return false
	}
	if o.Attrs.Bool("reverse", false) {
		flip := ir.A("axes", []int64{int64(ax)})
		a, _ := op.Cumsum.Normalise(o.Attrs.With("reverse", false))
		y := b.Op(op.Cumsum, a, b.Op(op.Reverse, flip, x))
		r.Replace(o, b.Op(op.Reverse, flip, y))
		return true
	}
	kind := o.Attrs.Str("kind", "sum")
	join := map[string]*op.Info{"sum": op.Add, "prod": op.Mul, "max": op.Max, "min": op.Min}[kind]
	whole, rest, k := parts(b, b.Reshape(x, x.Type.Shape[:ax+1]), m)
	in := b.Op(op.Cumsum, o.Attrs.With("axis", int64(-1)), whole) // [.., k, m]
	sums := b.Op(op.Reduce, ir.A("kind", kind, "axes", []int64{-1}), whole)
	before := b.Op(op.Cumsum, ir.A("axis", int64(-1), "kind", kind, "exclusive", true), sums) // [.., k]
	lead := x.Type.Shape[:ax:ax]
	y := b.Op(join, nil, in, b.Reshape(before, append(append(shape.Shape(nil), lead...), shape.Const(k), one)))
	y = b.Reshape(y, append(append(shape.Shape(nil), lead...), shape.Const(k*m)))
	if rest != nil {
		total := b.Op(op.Reduce, ir.A("kind", kind, "axes", []int64{-1}, "keep", true), sums)
		tail := b.Op(join, nil, b.Op(op.Cumsum, o.Attrs.With("axis", int64(-1)), rest), total)
		y = b.Op(op.Concat, ir.A("axis", int64(ax)), y, tail)
	}
	r.Replace(o, b.Reshape(y, o.Result(0).Type.Shape))
	return true
}

func splitQuantiseRow(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	x := o.Arg(0)
	rank := x.Type.Rank()
	block := o.Attrs.Ints("block")
	if l.fitsAlone(o) || len(block) == 0 {
		return false
	}
	n, g := dim(x, rank-1), block[len(block)-1]
	if o.Is(op.Dequantize) && len(block) > 1 {
		// Repeat the scales along all blocked axes but the last: then rows are rows.
		return splitDequantise(r, o)
	}
	if len(block) != 1 {
		return false
	}
	if g >= n { // one scale a row, which cannot be cut: op by op, of which the reduction folds parts
		if o.Is(op.Quantize) {
			return quantiseRow(r, o)
		}
		return splitDequantise(r, o)
	}
	b := r.At(o)
	if n%g != 0 { // whole blocks, and the ragged one
		k := n / g
		ax := int64(rank - 1)
		head, tail := slice(b, x, rank-1, shape.Dim{}, shape.Const(k*g), 1), slice(b, x, rank-1, shape.Const(k*g), shape.Const(n), 1)
		if o.Is(op.Quantize) {
			h, t := b.Create(op.Quantize, o.Attrs, head), b.Create(op.Quantize, o.Attrs, tail)
			if h == nil || t == nil {
				return true
			}
			r.Replace(o, b.Op(op.Concat, ir.A("axis", ax), h.Result(0), t.Result(0)), b.Op(op.Concat, ir.A("axis", ax), h.Result(1), t.Result(1)))
			return true
		}
		s := o.Arg(1)
		h := b.Op(op.Dequantize, o.Attrs, head, slice(b, s, rank-1, shape.Dim{}, shape.Const(k), 1))
		t := b.Op(op.Dequantize, o.Attrs, tail, slice(b, s, rank-1, shape.Const(k), shape.Const(k+1), 1))
		r.Replace(o, b.Op(op.Concat, ir.A("axis", ax), h, t))
		return true
	}
	lead := x.Type.Shape[: rank-1 : rank-1]
	cut := append(append(shape.Shape(nil), lead...), shape.Const(n/g), shape.Const(g))
	if o.Is(op.Quantize) {
		q := b.Create(op.Quantize, o.Attrs, b.Reshape(x, cut))
		if q == nil {
			return true
		}
		r.Replace(o, b.Reshape(q.Result(0), x.Type.Shape), b.Reshape(q.Result(1), o.Result(1).Type.Shape))
		return true
	}
	s := b.Reshape(o.Arg(1), append(append(shape.Shape(nil), lead...), shape.Const(n/g), one))
	r.Replace(o, b.Reshape(b.Op(op.Dequantize, o.Attrs, b.Reshape(x, cut), s), x.Type.Shape))
	return true
}

// quantiseRow quantises rows with one scale each in elementwise ops and a reduction, which give the same codes and scales.
func quantiseRow(r *rewrite.Rewriter, o *ir.Op) bool {
	b := r.At(o)
	x := b.Cast(o.Arg(0), format.F32)
	codes := o.Result(0).Type.Format
	largest := codes.Info().MaxFinite
	if codes.IsInt() {
		largest = float64(codes.MaxInt())
	}
	s := b.Op(op.Reduce, ir.A("kind", "max", "axes", []int64{-1}, "keep", true), b.Op(op.Abs, nil, x))
	s = b.Op(op.Max, nil, s, b.Scalar(format.F32, o.Attrs.Float("floor", 1e-4)))
	s = b.Op(op.Div, nil, s, b.Scalar(format.F32, largest))
	q := b.Op(op.Div, nil, x, s)
	if codes.IsInt() {
		q = b.Op(op.Round, nil, q)
		q = b.Op(op.Max, nil, b.Op(op.Min, nil, q, b.Scalar(format.F32, largest)), b.Scalar(format.F32, float64(codes.MinInt())))
		q = b.Cast(q, codes)
	} else {
		q = b.Op(op.Cast, ir.A("format", codes, "saturate", true), q)
	}
	r.Remark(o, "a row of %s does not fit %s: it is quantised op by op", size(dim(x, x.Type.Rank()-1)*4), vectorMemory(r.Data.(*legaliser).c).Name)
	r.Replace(o, q, b.Reshape(s, o.Result(1).Type.Shape))
	return true
}

// splitDequantise multiplies codes by scales that are repeated to their shape.
func splitDequantise(r *rewrite.Rewriter, o *ir.Op) bool {
	x, s := o.Arg(0), o.Arg(1)
	rank := x.Type.Rank()
	block := o.Attrs.Ints("block")
	first := rank - len(block)
	b := r.At(o)
	s = b.Cast(s, format.F32)
	for i := 0; i < len(block); i++ {
		ax := first + i
		n := dim(x, ax)
		if block[i] == 1 || dim(s, ax) == 1 {
			continue
		}
		// [.., k, ..] → [.., k, g, ..] → [.., k·g, ..] → the first n.
		sh := append(append(append(shape.Shape(nil), s.Type.Shape[:ax+1]...), one), s.Type.Shape[ax+1:]...)
		wide := append(shape.Shape(nil), sh...)
		wide[ax+1] = shape.Const(block[i])
		k := dim(s, ax) * block[i]
		t := b.Op(op.Broadcast, ir.A("shape", wide), b.Reshape(s, sh))
		joined := append(shape.Shape(nil), s.Type.Shape...)
		joined[ax] = shape.Const(k)
		s = b.Reshape(t, joined)
		if k != n {
			s = slice(b, s, ax, shape.Dim{}, shape.Const(n), 1)
		}
	}
	y := b.Op(op.Mul, nil, b.Cast(x, format.F32), s)
	r.Replace(o, b.Cast(y, o.Result(0).Type.Format))
	return true
}

// filled is a tensor of one number.
func filled(b *ir.Builder, v *ir.Value, s shape.Shape) *ir.Value {
	return b.Op(op.Broadcast, ir.A("shape", s), v)
}

func zeroOf(b *ir.Builder, f format.Format) *ir.Value {
	t, err := tensor.New(f, nil)
	if err != nil {
		if b.Err == nil {
			b.Err = err
		}
		return nil
	}
	return b.Op(op.Constant, ir.A("value", t))
}

func concatIntoUpdates(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if l.fitsAlone(o) {
		return false
	}
	b := r.At(o)
	ax := axis(o.Attrs.Int("axis", 0), o.Arg(0).Type.Rank())
	y := filled(b, zeroOf(b, o.Result(0).Type.Format), o.Result(0).Type.Shape)
	at := int64(0)
	for i := 0; i < o.NumArgs(); i++ {
		y = b.Op(op.Update, ir.A("axis", int64(ax)), y, o.Arg(i), b.Scalar(format.I32, float64(at)))
		at += dim(o.Arg(i), ax)
	}
	r.Remark(o, "its rows do not fit %s: the operands are copied one by one", vectorMemory(l.c).Name)
	r.Replace(o, y)
	return true
}

func padIntoUpdate(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if l.fitsAlone(o) {
		return false
	}
	b := r.At(o)
	y := o.Arg(0)
	lo, hi := o.Attrs.Ints("low"), o.Attrs.Ints("high")
	for i := range lo {
		if lo[i] == 0 && hi[i] == 0 {
			continue
		}
		s := append(shape.Shape(nil), y.Type.Shape...)
		s[i] = shape.Const(dim(y, i) + lo[i] + hi[i])
		y = b.Op(op.Update, ir.A("axis", int64(i)), filled(b, o.Arg(1), s), y, b.Scalar(format.I32, float64(lo[i])))
	}
	r.Replace(o, y)
	return true
}

// wrapped brings indices along n elements into 0…n-1 as the op table says: negative ones count from the end, others are clamped.
func wrapped(b *ir.Builder, v *ir.Value, n int64) *ir.Value {
	v = b.Cast(v, format.I32)
	zero := b.Scalar(format.I32, 0)
	v = b.Op(op.Select, nil, b.Op(op.Lt, nil, v, zero), b.Op(op.Add, nil, v, b.Scalar(format.I32, float64(n))), v)
	return b.Op(op.Min, nil, b.Op(op.Max, nil, v, zero), b.Scalar(format.I32, float64(n-1)))
}

// mostParts bounds how many parts a row of single elements is cut into: each is an op of its own.
const mostParts = 256

func splitElementGather(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if l.fitsAlone(o) {
		return false
	}
	x, ix := o.Arg(0), o.Arg(1)
	rank := x.Type.Rank()
	ax := axis(o.Attrs.Int("axis", -1), rank)
	b := r.At(o)
	if inner(x, ax) > 1 {
		t, back := toLast(b, x, ax)
		i, _ := toLast(b, ix, ax)
		y := b.Op(op.GatherElements, nil, t, i)
		r.Replace(o, b.Op(op.Transpose, ir.A("perm", back), y))
		return true
	}
	n, k := dim(x, ax), dim(ix, ax)
	m := l.part(x.Type.Format, 1)
	if k > m { // the indices are too many: cut them first
		whole, rest, c := parts(b, b.Reshape(ix, ix.Type.Shape[:ax+1]), m)
		flat := b.Reshape(x, x.Type.Shape[:ax+1])
		lead := x.Type.Shape[:ax:ax]
		wide := append(append(shape.Shape(nil), lead...), shape.Const(c), shape.Const(n))
		rep := b.Op(op.Broadcast, ir.A("shape", wide), b.Reshape(flat, append(append(shape.Shape(nil), lead...), one, shape.Const(n))))
		y := b.Reshape(b.Op(op.GatherElements, nil, rep, whole), append(append(shape.Shape(nil), lead...), shape.Const(c*m)))
		if rest != nil {
			y = b.Op(op.Concat, ir.A("axis", int64(ax)), y, b.Op(op.GatherElements, nil, flat, rest))
		}
		r.Replace(o, b.Reshape(y, o.Result(0).Type.Shape))
		return true
	}
	if m >= n || (n+m-1)/m > mostParts {
		return false
	}
	i := wrapped(b, ix, n)
	var y *ir.Value
	for at := int64(0); at < n; at += m {
		end := min(at+m, n)
		in := b.Op(op.Sub, nil, i, b.Scalar(format.I32, float64(at)))
		g := b.Op(op.GatherElements, ir.A("axis", int64(ax)), slice(b, x, ax, shape.Const(at), shape.Const(end), 1), b.Op(op.Max, nil, in, b.Scalar(format.I32, 0)))
		if y == nil {
			y = g
			continue
		}
		y = b.Op(op.Select, nil, b.Op(op.Ge, nil, in, b.Scalar(format.I32, 0)), g, y)
	}
	r.Replace(o, y)
	return true
}

func splitElementScatter(r *rewrite.Rewriter, o *ir.Op) bool {
	l := r.Data.(*legaliser)
	if l.fitsAlone(o) {
		return false
	}
	x, ix, u := o.Arg(0), o.Arg(1), o.Arg(2)
	rank := x.Type.Rank()
	ax := axis(o.Attrs.Int("axis", -1), rank)
	b := r.At(o)
	if inner(x, ax) > 1 {
		t, back := toLast(b, x, ax)
		i, _ := toLast(b, ix, ax)
		if u.Type.Rank() > 0 {
			u, _ = toLast(b, u, ax)
		}
		y := b.Op(op.ScatterElements, o.Attrs.With("axis", int64(-1)), t, i, u)
		r.Replace(o, b.Op(op.Transpose, ir.A("perm", back), y))
		return true
	}
	n := dim(x, ax)
	m := l.part(x.Type.Format, 1)
	if m >= n || (n+m-1)/m > mostParts || dim(ix, ax) > m {
		return false
	}
	i := wrapped(b, ix, n)
	var all []*ir.Value
	for at := int64(0); at < n; at += m {
		end := min(at+m, n)
		k := end - at
		p := slice(b, x, ax, shape.Const(at), shape.Const(end), 1)
		spare := append(shape.Shape(nil), p.Type.Shape...)
		spare[ax] = one
		p = b.Op(op.Concat, ir.A("axis", int64(ax)), p, filled(b, zeroOf(b, x.Type.Format), spare))
		in := b.Op(op.Sub, nil, i, b.Scalar(format.I32, float64(at)))
		here := b.Op(op.And, nil, b.Op(op.Ge, nil, in, b.Scalar(format.I32, 0)), b.Op(op.Lt, nil, in, b.Scalar(format.I32, float64(k))))
		in = b.Op(op.Select, nil, here, in, b.Scalar(format.I32, float64(k)))
		p = b.Op(op.ScatterElements, o.Attrs.With("axis", int64(ax)), p, in, u)
		all = append(all, slice(b, p, ax, shape.Dim{}, shape.Const(k), 1))
	}
	r.Replace(o, b.Op(op.Concat, ir.A("axis", int64(ax)), all...))
	return true
}
