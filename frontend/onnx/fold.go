package onnx

import (
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// maxFold is how many elements an operand or a result may have to be evaluated while importing.
const maxFold = 1024

// fold gives the results of an op that was just added. Where its operands are known, the op goes and constants take its place;
// for small tensors of integers the elements are followed as dimension expressions too.
func (im *importer) fold(o *ir.Op) []*ir.Value {
	if vals := im.evaluate(o); vals != nil {
		out := make([]*ir.Value, len(vals))
		large := false
		for _, t := range vals {
			large = large || t.Numel() > MaxLiteral
		}
		if large { // the op stays: its text is shorter than its value's
			for i, t := range vals {
				im.known[o.Result(i)] = t
			}
			return o.Results()
		}
		o.Erase()
		for i, t := range vals {
			out[i] = im.literal(t)
		}
		return out
	}
	if len(o.Results()) != 1 {
		return o.Results()
	}
	if t := im.compare(o); t != nil {
		o.Erase()
		return []*ir.Value{im.literal(t)}
	}
	if !im.tracks(o.Result(0).Type) {
		return o.Results()
	}
	d := im.track(o)
	if d == nil {
		return o.Results()
	}
	for _, x := range d {
		if !x.Valid() {
			return o.Results()
		}
	}
	v := o.Result(0)
	im.dims[v] = d
	if n, err := shape.Shape(d).Ints(); err == nil {
		s, _ := v.Type.Shape.Ints()
		if t, err := tensor.FromI64(v.Type.Format, s, n); err == nil {
			o.Erase()
			return []*ir.Value{im.literal(t)}
		}
	}
	return o.Results()
}

// evaluate gives the results of an op if all its operands are known and small, else nil.
func (im *importer) evaluate(o *ir.Op) []*tensor.Tensor {
	if o.Is(op.DimValue) || o.Is(op.Weight) || o.Is(op.Constant) || len(o.Regions) > 0 {
		return nil
	}
	small := func(t ir.Type) bool {
		n := int64(1)
		for _, d := range t.Shape {
			v, ok := d.Value()
			if !ok || v < 0 || v > maxFold {
				return false
			}
			if n *= v; n > maxFold {
				return false
			}
		}
		return true
	}
	for _, t := range o.ResultTypes() {
		if !small(t) {
			return nil
		}
	}
	args := make([]*eval.Value, o.NumArgs())
	for i := range args {
		t := im.known[o.Arg(i)]
		if t == nil || !small(o.Arg(i).Type) {
			return nil
		}
		v, err := eval.FromTensor(t)
		if err != nil {
			return nil
		}
		args[i] = v
	}
	res, err := eval.Op(o, args)
	if err != nil {
		return nil
	}
	out := make([]*tensor.Tensor, len(res))
	for i, v := range res {
		if out[i], err = v.Tensor(); err != nil {
			return nil
		}
	}
	return out
}

// maxTrack is how many elements a tensor of integers may have to be followed as expressions.
const maxTrack = 64

// tracks says whether values of a type may be followed.
func (im *importer) tracks(t ir.Type) bool {
	if t.Format != format.I64 && t.Format != format.I32 {
		return false
	}
	n := int64(1)
	for _, d := range t.Shape {
		v, ok := d.Value()
		if !ok || v < 0 || v > maxTrack {
			return false
		}
		if n *= v; n > maxTrack {
			return false
		}
	}
	return true
}

// exprs gives the elements of a value as expressions, or nil.
func (im *importer) exprs(v *ir.Value) []shape.Dim {
	if d := im.dims[v]; d != nil {
		return d
	}
	t := im.known[v]
	if t == nil || !im.tracks(v.Type) {
		return nil
	}
	n, err := t.I64s()
	if err != nil {
		return nil
	}
	out := make([]shape.Dim, len(n))
	for i, x := range n {
		out[i] = shape.Const(x)
	}
	return out
}

// track gives the elements of an op's result as expressions, or nil where they cannot be followed.
func (im *importer) track(o *ir.Op) []shape.Dim {
	switch {
	case o.Is(op.DimValue):
		d, _ := o.Attrs.Dim("of")
		return []shape.Dim{d}
	case o.Is(op.Cast):
		return im.exprs(o.Arg(0))
	case o.Is(op.Select):
		return im.trackSelect(o)
	case o.Is(op.Reduce):
		return im.trackReduce(o)
	case o.Info.Class == op.Movement:
		return im.trackMovement(o)
	case o.Is(op.Neg):
		return im.trackPairs(o, func(a, _ shape.Dim) (shape.Dim, bool) { return shape.Const(0).Sub(a), true })
	case o.Is(op.Add):
		return im.trackPairs(o, func(a, b shape.Dim) (shape.Dim, bool) { return a.Add(b), true })
	case o.Is(op.Sub):
		return im.trackPairs(o, func(a, b shape.Dim) (shape.Dim, bool) { return a.Sub(b), true })
	case o.Is(op.Mul):
		return im.trackPairs(o, func(a, b shape.Dim) (shape.Dim, bool) { return a.Mul(b), true })
	case o.Is(op.Div):
		return im.trackPairs(o, func(a, b shape.Dim) (shape.Dim, bool) {
			if q, ok := a.Div(b); ok {
				return q, true
			}
			k, ok := b.Value()
			if !ok || k <= 0 || !natural(a) {
				return shape.Dim{}, false
			}
			return a.FloorDiv(k), true
		})
	}
	return nil
}

// natural says whether a dimension expression cannot be negative: all its terms are added.
func natural(d shape.Dim) bool {
	// The text of a dimension has a minus sign for every term that is taken off, and quotients are of sums.
	for _, c := range d.String() {
		if c == '-' {
			return false
		}
	}
	return true
}

// trackPairs applies f elementwise; the operands broadcast.
func (im *importer) trackPairs(o *ir.Op, f func(a, b shape.Dim) (shape.Dim, bool)) []shape.Dim {
	s := o.Result(0).Type.Shape
	a := im.spread(o.Arg(0), s)
	b := a
	if o.NumArgs() > 1 {
		b = im.spread(o.Arg(1), s)
	}
	if a == nil || b == nil {
		return nil
	}
	out := make([]shape.Dim, len(a))
	for i := range a {
		d, ok := f(a[i], b[i])
		if !ok {
			return nil
		}
		out[i] = d
	}
	return out
}

// comparisons decide between two integers.
var comparisons = map[*op.Info]func(a, b int64) bool{
	op.Eq: func(a, b int64) bool { return a == b }, op.Ne: func(a, b int64) bool { return a != b },
	op.Lt: func(a, b int64) bool { return a < b }, op.Le: func(a, b int64) bool { return a <= b },
	op.Gt: func(a, b int64) bool { return a > b }, op.Ge: func(a, b int64) bool { return a >= b },
}

// compare decides a comparison of integers that are known as expressions, or gives nil: the two sides must differ by a number, or
// one be negative and the other a size.
func (im *importer) compare(o *ir.Op) *tensor.Tensor {
	decide := comparisons[o.Info]
	if decide == nil || !im.tracks(o.Arg(0).Type) {
		return nil
	}
	s, err := o.Result(0).Type.Shape.Ints()
	if err != nil {
		return nil
	}
	var out []int64
	ok := im.trackPairs(o, func(a, b shape.Dim) (shape.Dim, bool) {
		x, y := int64(0), int64(0)
		av, aok := a.Value()
		bv, bok := b.Value()
		if d, ok := a.Sub(b).Value(); ok {
			x = d
		} else if bok && bv < 0 && natural(a) {
			x = 1
		} else if aok && av < 0 && natural(b) {
			y = 1
		} else {
			return shape.Dim{}, false
		}
		v := int64(0)
		if decide(x, y) {
			v = 1
		}
		out = append(out, v)
		return shape.Dim{}, true
	})
	if ok == nil {
		return nil
	}
	t, err := tensor.FromI64(format.Bool, s, out)
	if err != nil {
		return nil
	}
	return t
}

// spread gives the expressions of a value broadcast to a shape, or nil.
func (im *importer) spread(v *ir.Value, s shape.Shape) []shape.Dim {
	e := im.exprs(v)
	if e == nil {
		return nil
	}
	from, err1 := v.Type.Shape.Ints()
	to, err2 := s.Ints()
	if err1 != nil || err2 != nil {
		return nil
	}
	n := int64(1)
	for _, d := range to {
		n *= d
	}
	out := make([]shape.Dim, n)
	for i := range out {
		idx := tensor.Index(to, int64(i))
		at := int64(0)
		for a := range from {
			k := idx[len(to)-len(from)+a]
			if from[a] == 1 {
				k = 0
			}
			at = at*from[a] + k
		}
		out[i] = e[at]
	}
	return out
}

// trackMovement follows elements through an op that only moves them: it moves their numbers instead.
func (im *importer) trackMovement(o *ir.Op) []shape.Dim {
	var pool []shape.Dim
	args := make([]*eval.Value, o.NumArgs())
	for i := range args {
		v := o.Arg(i)
		s, err := v.Type.Shape.Ints()
		if err != nil {
			return nil
		}
		index := (o.Is(op.Gather) || o.Is(op.GatherElements)) && i == 1
		if index || o.Is(op.ScatterElements) && i == 1 || o.Is(op.Update) && i == 2 {
			t := im.known[v]
			if t == nil {
				return nil
			}
			if args[i], err = eval.FromTensor(t); err != nil {
				return nil
			}
			continue
		}
		e := im.exprs(v)
		if e == nil {
			return nil
		}
		x := &eval.Value{Format: format.I64, Shape: s, I: make([]int64, len(e))}
		for k := range e {
			x.I[k] = int64(len(pool) + k)
		}
		pool = append(pool, e...)
		args[i] = x
	}
	if o.Is(op.ScatterElements) && o.Attrs.Str("reduce", "none") != "none" {
		return nil
	}
	res, err := eval.Op(o, args)
	if err != nil {
		return nil
	}
	out := make([]shape.Dim, len(res[0].I))
	for i, k := range res[0].I {
		if k < 0 || k >= int64(len(pool)) {
			return nil
		}
		out[i] = pool[k]
	}
	return out
}

// trackReduce follows sums and products of all elements.
func (im *importer) trackReduce(o *ir.Op) []shape.Dim {
	e := im.exprs(o.Arg(0))
	if e == nil {
		return nil
	}
	n := int64(1)
	for _, d := range o.Result(0).Type.Shape {
		v, ok := d.Value()
		if !ok {
			return nil
		}
		n *= v
	}
	if n != 1 {
		return nil
	}
	switch o.Attrs.Str("kind", "") {
	case "sum":
		d := shape.Const(0)
		for _, x := range e {
			d = d.Add(x)
		}
		return []shape.Dim{d}
	case "prod":
		return []shape.Dim{shape.Shape(e).Numel()}
	}
	return nil
}

// trackSelect follows a choice whose condition is known.
func (im *importer) trackSelect(o *ir.Op) []shape.Dim {
	s := o.Result(0).Type.Shape
	c := im.known[o.Arg(0)]
	a, b := im.spread(o.Arg(1), s), im.spread(o.Arg(2), s)
	if c == nil || a == nil || b == nil || !o.Arg(0).Type.Shape.Equal(s) {
		return nil
	}
	cond, err := c.I64s()
	if err != nil {
		return nil
	}
	out := make([]shape.Dim, len(a))
	for i := range out {
		if out[i] = b[i]; cond[i] != 0 {
			out[i] = a[i]
		}
	}
	return out
}
