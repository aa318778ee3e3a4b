package onnx

import (
	"fmt"
	"slices"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// builder is the vocabulary that lowerings build with: the IR's ops by short names, their types inferred, what is known folded. A
// mistake ends the node that is being lowered (see failf), so that no call needs to be checked.
type builder struct {
	im *importer
	b  ir.Builder
}

// emit adds an op and gives its results, folded where everything is known.
func (b *builder) emit(info *op.Info, attrs op.Attrs, args ...*ir.Value) []*ir.Value {
	b.room()
	o := b.b.Create(info, attrs, args...)
	if b.b.Err != nil {
		err := b.b.Err
		b.b.Err = nil
		misfit(err.Error(), args...)
	}
	for _, r := range o.Results() {
		if n, ok := r.Type.Shape.Numel().Value(); ok && n > maxElements {
			failf(CodeLimit, "%s has more elements than any memory", r.Type)
		}
	}
	return b.im.fold(o)
}

// maxElements bounds a tensor, so that its bytes and what is counted of them fit an int64.
const maxElements = 1 << 56

// misfit reports operands that do not fit each other; it does not return. Where dimensions are symbols, they may fit once they have
// values.
func misfit(message string, args ...*ir.Value) {
	var symbols []string
	for _, a := range args {
		for _, s := range a.Type.Shape.Symbols() {
			if !slices.Contains(symbols, s) {
				symbols = append(symbols, s)
			}
		}
	}
	if len(symbols) == 0 {
		failf(CodeNode, "%s", message)
	}
	panic(bail{diag.Errorf(CodeValue, diag.Range{}, "%s", message).
		Helpf("where that depends on %s, give the values: --set %s=…", strings.Join(symbols, " and "), strings.Join(symbols, "=… --set "))})
}

// room counts an op.
func (b *builder) room() {
	if b.im.mod.MaxOp() > b.im.opt.MaxOps {
		failf(CodeLimit, "the module has more than %d ops", b.im.opt.MaxOps)
	}
}

// do adds an op of one result.
func (b *builder) do(info *op.Info, attrs op.Attrs, args ...*ir.Value) *ir.Value {
	return b.emit(info, attrs, args...)[0]
}

// literal gives a constant. Equal numbers without axes are one op of the entry.
func (b *builder) literal(t *tensor.Tensor) *ir.Value {
	key, share := "", len(t.Shape) == 0 && b.b.Block == b.im.fn.Body && b.b.Before == nil
	if share {
		if raw, err := t.Bytes(); err == nil {
			key = t.Format.String() + string(raw)
		}
		if v := b.im.scalars[key]; alive(v) {
			return v
		}
	}
	b.room()
	v := b.b.Op(op.Constant, ir.A("value", t))
	if b.b.Err != nil {
		err := b.b.Err
		b.b.Err = nil
		failf(CodeNode, "%s", err.Error())
	}
	b.im.known[v] = t
	if share {
		b.im.scalars[key] = v
	}
	return v
}

// scalar is a constant number of a format, without axes.
func (b *builder) scalar(f format.Format, x float64) *ir.Value {
	t, err := tensor.FromF64(f, nil, []float64{x})
	if err != nil {
		failf(CodeNode, "%s", err.Error())
	}
	return b.literal(t)
}

// like is a constant number of x's format.
func (b *builder) like(x *ir.Value, v float64) *ir.Value { return b.scalar(x.Type.Format, v) }

// intsConst is a constant vector of integers.
func (b *builder) intsConst(f format.Format, v ...int64) *ir.Value {
	t, err := tensor.FromI64(f, []int64{int64(len(v))}, v)
	if err != nil {
		failf(CodeNode, "%s", err.Error())
	}
	return b.literal(t)
}

// floatsConst is a constant of a shape.
func (b *builder) floatsConst(f format.Format, dims []int64, v []float64) *ir.Value {
	t, err := tensor.FromF64(f, dims, v)
	if err != nil {
		failf(CodeNode, "%s", err.Error())
	}
	return b.literal(t)
}

// boolConst is a constant truth.
func (b *builder) boolConst(v bool) *ir.Value {
	x := int64(0)
	if v {
		x = 1
	}
	t, _ := tensor.FromI64(format.Bool, nil, []int64{x})
	return b.literal(t)
}

// The arithmetic. Operands are of one format; shapes broadcast by NumPy's rule.

func (b *builder) add(x, y *ir.Value) *ir.Value { return b.do(op.Add, nil, x, y) }
func (b *builder) sub(x, y *ir.Value) *ir.Value { return b.do(op.Sub, nil, x, y) }
func (b *builder) mul(x, y *ir.Value) *ir.Value { return b.do(op.Mul, nil, x, y) }
func (b *builder) div(x, y *ir.Value) *ir.Value { return b.do(op.Div, nil, x, y) }
func (b *builder) max(x, y *ir.Value) *ir.Value { return b.do(op.Max, nil, x, y) }
func (b *builder) min(x, y *ir.Value) *ir.Value { return b.do(op.Min, nil, x, y) }
func (b *builder) pow(x, y *ir.Value) *ir.Value { return b.do(op.Pow, nil, x, y) }

// addc, mulc and their like take a constant second operand.

func (b *builder) addc(x *ir.Value, c float64) *ir.Value { return b.add(x, b.like(x, c)) }
func (b *builder) subc(x *ir.Value, c float64) *ir.Value { return b.sub(x, b.like(x, c)) }
func (b *builder) mulc(x *ir.Value, c float64) *ir.Value { return b.mul(x, b.like(x, c)) }
func (b *builder) divc(x *ir.Value, c float64) *ir.Value { return b.div(x, b.like(x, c)) }
func (b *builder) maxc(x *ir.Value, c float64) *ir.Value { return b.max(x, b.like(x, c)) }
func (b *builder) minc(x *ir.Value, c float64) *ir.Value { return b.min(x, b.like(x, c)) }

func (b *builder) neg(x *ir.Value) *ir.Value  { return b.do(op.Neg, nil, x) }
func (b *builder) abs(x *ir.Value) *ir.Value  { return b.do(op.Abs, nil, x) }
func (b *builder) exp(x *ir.Value) *ir.Value  { return b.do(op.Exp, nil, x) }
func (b *builder) log(x *ir.Value) *ir.Value  { return b.do(op.Log, nil, x) }
func (b *builder) sqrt(x *ir.Value) *ir.Value { return b.do(op.Sqrt, nil, x) }
func (b *builder) not(x *ir.Value) *ir.Value  { return b.do(op.Not, nil, x) }

// The comparisons give bools.

func (b *builder) eq(x, y *ir.Value) *ir.Value { return b.do(op.Eq, nil, x, y) }
func (b *builder) ne(x, y *ir.Value) *ir.Value { return b.do(op.Ne, nil, x, y) }
func (b *builder) lt(x, y *ir.Value) *ir.Value { return b.do(op.Lt, nil, x, y) }
func (b *builder) le(x, y *ir.Value) *ir.Value { return b.do(op.Le, nil, x, y) }
func (b *builder) gt(x, y *ir.Value) *ir.Value { return b.do(op.Gt, nil, x, y) }
func (b *builder) ge(x, y *ir.Value) *ir.Value { return b.do(op.Ge, nil, x, y) }

func (b *builder) and(x, y *ir.Value) *ir.Value { return b.do(op.And, nil, x, y) }
func (b *builder) or(x, y *ir.Value) *ir.Value  { return b.do(op.Or, nil, x, y) }

// sel is x where c is true, else y.
func (b *builder) sel(c, x, y *ir.Value) *ir.Value { return b.do(op.Select, nil, c, x, y) }

// cast converts to a format, if x has another.
func (b *builder) cast(x *ir.Value, f format.Format) *ir.Value {
	if x.Type.Format == f {
		return x
	}
	return b.do(op.Cast, ir.A("format", f), x)
}

// wide gives x in a float format of at least 32 bits, in which a composition loses nothing that matters before it is rounded back.
func (b *builder) wide(x *ir.Value) *ir.Value {
	if f := x.Type.Format; f.IsFloat() && f.Bits() < 32 {
		return b.cast(x, format.F32)
	}
	return x
}

// shapeOfDims makes a shape from numbers.
func dims(n ...int64) shape.Shape { return shape.Of(n...) }

// reshape gives x another shape with as many elements.
func (b *builder) reshape(x *ir.Value, s shape.Shape) *ir.Value {
	if x.Type.Shape.Equal(s) {
		return x
	}
	return b.do(op.Reshape, ir.A("shape", s), x)
}

// unsqueeze puts axes of size 1 where the result has them.
func (b *builder) unsqueeze(x *ir.Value, axes ...int) *ir.Value {
	rank := len(x.Type.Shape) + len(axes)
	at := make([]bool, rank)
	for _, a := range axes {
		if a < 0 {
			a += rank
		}
		at[a] = true
	}
	s := make(shape.Shape, 0, rank)
	k := 0
	for i := range rank {
		if at[i] {
			s = append(s, shape.Const(1))
		} else {
			s = append(s, x.Type.Shape[k])
			k++
		}
	}
	return b.reshape(x, s)
}

// squeeze drops axes, which have size 1.
func (b *builder) squeeze(x *ir.Value, axes ...int) *ir.Value {
	drop := map[int]bool{}
	for _, a := range axes {
		if a < 0 {
			a += len(x.Type.Shape)
		}
		drop[a] = true
	}
	s := shape.Shape{}
	for i, d := range x.Type.Shape {
		if !drop[i] {
			s = append(s, d)
		}
	}
	return b.reshape(x, s)
}

// transpose permutes the axes: axis i of the result is axis perm[i] of x.
func (b *builder) transpose(x *ir.Value, perm ...int) *ir.Value {
	p := make([]int64, len(perm))
	same := true
	for i, a := range perm {
		p[i] = int64(a)
		same = same && a == i
	}
	if same && len(perm) == len(x.Type.Shape) {
		return x
	}
	return b.do(op.Transpose, ir.A("perm", p), x)
}

// moveAxis gives x with one axis at another place, the others in their order.
func (b *builder) moveAxis(x *ir.Value, from, to int) *ir.Value {
	var perm []int
	for i := range x.Type.Shape {
		if i != from {
			perm = append(perm, i)
		}
	}
	perm = append(perm[:to], append([]int{from}, perm[to:]...)...)
	return b.transpose(x, perm...)
}

// broadcast repeats x to a larger shape.
func (b *builder) broadcast(x *ir.Value, s shape.Shape) *ir.Value {
	if x.Type.Shape.Equal(s) {
		return x
	}
	return b.do(op.Broadcast, ir.A("shape", s), x)
}

// full is a tensor of one number.
func (b *builder) full(f format.Format, s shape.Shape, x float64) *ir.Value {
	return b.broadcast(b.scalar(f, x), s)
}

// slice takes the elements start, start+stride, … below limit along an axis.
func (b *builder) slice(x *ir.Value, axis int, start, limit shape.Dim, stride int64) *ir.Value {
	if stride == 1 && start == (shape.Dim{}) && limit.Equal(x.Type.Shape[axis]) {
		return x
	}
	return b.do(op.Slice, ir.A("axis", axis, "start", start, "limit", limit, "stride", stride), x)
}

// cut is slice for numbers.
func (b *builder) cut(x *ir.Value, axis int, start, limit int64) *ir.Value {
	return b.slice(x, axis, shape.Const(start), shape.Const(limit), 1)
}

// concat joins tensors along an axis.
func (b *builder) concat(axis int, xs ...*ir.Value) *ir.Value {
	if len(xs) == 1 {
		return xs[0]
	}
	return b.do(op.Concat, ir.A("axis", axis), xs...)
}

// pad surrounds x with a scalar of its format. Negative widths crop.
func (b *builder) pad(x *ir.Value, low, high []int64, value *ir.Value) *ir.Value {
	lo, hi := make([]int64, len(low)), make([]int64, len(high))
	any := false
	for i := range low {
		start, limit := shape.Const(0), x.Type.Shape[i]
		if low[i] < 0 {
			start = shape.Const(-low[i])
		}
		if high[i] < 0 {
			limit = limit.Add(shape.Const(high[i]))
		}
		x = b.slice(x, i, start, limit, 1)
		lo[i], hi[i] = max(low[i], 0), max(high[i], 0)
		any = any || lo[i] > 0 || hi[i] > 0
	}
	if !any {
		return x
	}
	return b.do(op.Pad, ir.A("low", lo, "high", hi), x, value)
}

// reverse reverses the order along axes.
func (b *builder) reverse(x *ir.Value, axes ...int) *ir.Value {
	if len(axes) == 0 {
		return x
	}
	return b.do(op.Reverse, ir.A("axes", int64s(axes)), x)
}

// gather takes slices of x along an axis by index, i32 or i64; negative ones count from the end.
func (b *builder) gather(x, index *ir.Value, axis int) *ir.Value {
	return b.do(op.Gather, ir.A("axis", axis), x, index)
}

// reduce folds axes; kind is one of the op reduce's. No axes leaves x as it is.
func (b *builder) reduce(kind string, x *ir.Value, keep bool, axes ...int) *ir.Value {
	return b.do(op.Reduce, ir.A("kind", kind, "axes", int64s(axes), "keep", keep), x)
}

// einsum is the sum of products in Einstein's notation; out may be format.Invalid for the format of x.
func (b *builder) einsum(spec string, x, y *ir.Value, out format.Format) *ir.Value {
	attrs := ir.A("spec", spec)
	if out != format.Invalid && out != x.Type.Format {
		attrs = append(attrs, op.Attr{Name: "format", Value: out})
	}
	return b.do(op.Einsum, attrs, x, y)
}

// iota has each element be its own index along an axis.
func (b *builder) iota(f format.Format, s shape.Shape, axis int) *ir.Value {
	return b.do(op.Iota, ir.A("format", f, "shape", s, "axis", axis))
}

// dim is a dimension as a scalar of a format.
func (b *builder) dim(f format.Format, d shape.Dim) *ir.Value {
	if n, ok := d.Value(); ok {
		t, err := tensor.FromI64(f, nil, []int64{n})
		if err != nil {
			failf(CodeNode, "%s", err.Error())
		}
		return b.literal(t)
	}
	return b.cast(b.do(op.DimValue, ir.A("of", d)), f)
}

// dimVector is dimensions as a vector of a format.
func (b *builder) dimVector(f format.Format, s []shape.Dim) *ir.Value {
	if n, err := shape.Shape(s).Ints(); err == nil {
		return b.intsConst(f, n...)
	}
	var xs []*ir.Value
	for _, d := range s {
		xs = append(xs, b.reshape(b.dim(f, d), dims(1)))
	}
	v := b.concat(0, xs...)
	b.im.dims[v] = s
	return v
}

// softmax is e^x over its sum along an axis, with the largest taken off first.
func (b *builder) softmax(x *ir.Value, axis int) *ir.Value {
	e := b.exp(b.sub(x, b.reduce("max", x, true, axis)))
	return b.div(e, b.reduce("sum", e, true, axis))
}

// matmul is NumPy's matmul: the last two axes are matrices, the others broadcast; a vector is a row on the left and a column on
// the right, and its axis is dropped.
func (b *builder) matmul(x, y *ir.Value, out format.Format) *ir.Value {
	rx, ry := len(x.Type.Shape), len(y.Type.Shape)
	if rx == 0 || ry == 0 {
		failf(CodeNode, "a product takes at least one axis on each side, found %s and %s", x.Type, y.Type)
	}
	row, col := rx == 1, ry == 1
	if row {
		x, rx = b.unsqueeze(x, 0), 2
	}
	if col {
		y, ry = b.unsqueeze(y, 1), 2
	}
	batch, err := shape.Broadcast(x.Type.Shape[:rx-2], y.Type.Shape[:ry-2])
	if err != nil {
		misfit(fmt.Sprintf("the leading axes of %s and %s do not broadcast", x.Type, y.Type), x, y)
	}
	if len(batch) > 20 {
		failf(CodeLimit, "a product of more than 20 leading axes")
	}
	// A letter for each leading axis; an operand whose axis is 1 where the batch's is not goes without it.
	letters := "abcdefghijklopqrstuvwxyz"
	specs, ops := [2]string{}, [2]*ir.Value{x, y}
	for k, v := range ops {
		s := v.Type.Shape
		lead := s[:len(s)-2]
		var keep shape.Shape
		for i, d := range lead {
			at := len(batch) - len(lead) + i
			if d.Equal(batch[at]) {
				specs[k] += letters[at : at+1]
				keep = append(keep, d)
			}
		}
		ops[k] = b.reshape(v, append(append(shape.Shape{}, keep...), s[len(s)-2:]...))
	}
	if !x.Type.Shape[rx-1].Equal(y.Type.Shape[ry-2]) {
		misfit(fmt.Sprintf("the matrices of %s and %s do not fit: %s columns, %s rows", x.Type, y.Type, x.Type.Shape[rx-1], y.Type.Shape[ry-2]), x, y)
	}
	rowLetter, colLetter := "m", letters[20:21]
	if row {
		ops[0], rowLetter = b.squeeze(ops[0], -2), ""
	}
	if col {
		ops[1], colLetter = b.squeeze(ops[1], -1), ""
	}
	spec := specs[0] + rowLetter + "n," + specs[1] + "n" + colLetter + "->" + letters[:len(batch)] + rowLetter + colLetter
	return b.einsum(spec, ops[0], ops[1], out)
}

func int64s(list []int) []int64 {
	out := make([]int64, len(list))
	for i, x := range list {
		out[i] = int64(x)
	}
	return out
}
