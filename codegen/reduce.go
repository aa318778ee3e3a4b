package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/targets/bind"
	"apogee/targets/plan"
)

var reduceFns = map[string]plan.Fn{"sum": plan.VAdd, "mean": plan.VAdd, "prod": plan.VMul, "max": plan.VMax, "min": plan.VMin, "all": plan.VAnd, "any": plan.VOr}

// reduce folds the axes of an op from the last to the first: the innermost is the one that engines stream along.
func (e *eval) reduce(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	f := r.Type.Format
	kind := o.Attrs.Str("kind", "")
	fold := map[int]bool{}
	count := int64(1)
	for _, ax := range o.Attrs.Ints("axes") {
		fold[axisOf(ax, len(x.Type.Shape))] = true
		count *= shapeOf(x)[axisOf(ax, len(x.Type.Shape))]
	}
	var cur *local
	if count == 0 { // of nothing: what leaves others as they are
		size, dims := e.size(x)
		for ax := range fold {
			size[ax], dims[ax] = plan.C(1), 1
		}
		cur = e.alloc(name(r), f, dims, size, 1)
		e.vec(plan.VCopy, cur.v, neutral(kind, f))
	} else {
		a := e.value(x)
		e.b.What = o.Info.Name
		cur = &local{v: a.v, dims: a.dims}
		for ax := len(a.dims) - 1; ax >= 0; ax-- {
			if fold[ax] {
				out := e.foldAxis(cur, f, reduceFns[kind], ax, name(r))
				e.giveBack(cur)
				cur = out
			}
		}
		if cur.buf == nil { // nothing folded
			cur = e.dense(cur, f)
		}
		if kind == "mean" {
			e.vec(plan.VDiv, cur.v, float64(count), cur.v)
		}
	}
	if o.Attrs.Bool("keep", false) {
		return cur
	}
	w, dims := cur.v, []int64{}
	w.Size, w.Stride = []plan.Val{}, []int64{}
	for i := range cur.dims {
		if !fold[i] {
			dims = append(dims, cur.dims[i])
			w.Size, w.Stride = append(w.Size, cur.v.Size[i]), append(w.Stride, cur.v.Stride[i])
		}
	}
	return &local{v: w, dims: dims, buf: cur.buf}
}

// neutral is what a reduction of no element gives. A mean of nothing is 0/0.
func neutral(kind string, f format.Format) float64 {
	switch kind {
	case "prod", "all":
		return 1
	case "mean":
		return nan
	case "max":
		if f.IsInt() {
			return float64(f.MinInt())
		}
		return negInf
	case "min":
		if f.IsInt() {
			return float64(f.MaxUint()) // of 64 bits rounded up, which saturates
		}
		return -negInf
	}
	return 0
}

// foldAxis folds one axis of a tile. An engine without a rate for reductions of the format, such as of bools, folds halves upon each
// other elementwise.
func (e *eval) foldAxis(cur *local, f format.Format, fn plan.Fn, ax int, name string) *local {
	dims := append([]int64{}, cur.dims...)
	size := append([]plan.Val{}, cur.v.Size...)
	n := dims[ax]
	none := tile.View{}
	if !e.reduces(f, fn) && n > 1 {
		h := ceilDiv(n, 2)
		dims[ax], size[ax] = h, plan.C(h)
		half := e.alloc(name, f, dims, size, 1)
		if h > n-h {
			e.vec(plan.VCopy, half.v.Slice(ax, plan.C(n-h), plan.C(2*h-n)), 0, cur.v.Slice(ax, plan.C(n-h), plan.C(2*h-n)))
		}
		for {
			m := n - h // pairs
			e.vec(fn, half.v.Slice(ax, plan.C(0), plan.C(m)), 0, cur.v.Slice(ax, plan.C(0), plan.C(m)), cur.v.Slice(ax, plan.C(h), plan.C(m)))
			if h == 1 {
				break
			}
			n, h = h, ceilDiv(h, 2)
			cur = half
		}
		out := *half
		out.dims = append([]int64{}, dims...)
		out.v = half.v.Slice(ax, plan.C(0), plan.C(1))
		out.dims[ax] = 1
		return &out
	}
	dims[ax], size[ax] = 1, plan.C(1)
	out := e.alloc(name, f, dims, size, 1)
	if n == 1 {
		e.vec(plan.VCopy, out.v, 0, cur.v)
		return out
	}
	e.b.Vec(e.queue, plan.Instr{Op: plan.VReduce, Fn: fn}, lastView(out.v, ax), lastView(cur.v, ax), none, none)
	return out
}

// reduces reports whether the vector engine folds rows of a format; if it does not even combine two of them, the reduction's own error is
// the better one.
func (e *eval) reduces(f format.Format, fn plan.Fn) bool {
	t := plan.Tile{Mem: e.mem, Format: f, Size: tile.Consts(1), Stride: []int64{1}}
	q := e.b.T.Queues[e.queue].Name
	one := plan.Instr{Op: plan.VReduce, Fn: fn}
	one.NoTiles()
	one.Dst, one.A = t, t
	if bind.NativeRate(e.b.T.Chip, q, &one) {
		return true
	}
	one.Op, one.B = plan.Vec, t
	return !bind.NativeRate(e.b.T.Chip, q, &one)
}

func (e *eval) cumsum(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	ax := axisOf(o.Attrs.Int("axis", 0), len(r.Type.Shape))
	a := e.value(x)
	e.b.What = o.Info.Name
	out := e.allocFor(r)
	dst, src := out.v, a.v
	if o.Attrs.Bool("reverse", false) {
		dst, src = backwards(dst, ax), backwards(src, ax)
	}
	i := plan.Instr{Op: plan.VScan, Fn: reduceFns[o.Attrs.Str("kind", "sum")]}
	if o.Attrs.Bool("exclusive", false) {
		i.Imm = 1
	}
	e.b.Vec(e.queue, i, lastView(dst, ax), lastView(src, ax), tile.View{}, tile.View{})
	return out
}

func (e *eval) iota(o *ir.Op) *local {
	r := o.Result(0)
	size, dims := e.size(r)
	at := axisOf(o.Attrs.Int("axis", 0), len(r.Type.Shape))
	start := e.start(r, at)
	small := make([]int64, len(dims))
	for i := range small {
		small[i] = 1
	}
	small[at] = dims[at]
	sz := tile.Consts(small...)
	sz[at] = size[at]
	if r.Type.Format == format.Bool { // the last bit
		n := e.alloc("iota", format.I32, small, sz, 1)
		e.count1(n, at, start)
		out := e.alloc("iota", format.Bool, small, sz, 1)
		e.vec(plan.VAnd, n.v, 1, n.v)
		e.vec(plan.VNe, out.v, 0, n.v)
		e.giveBack(n)
		return &local{v: stretch(out.v, size), dims: dims, buf: out.buf}
	}
	out := e.alloc("iota", r.Type.Format, small, sz, 1)
	e.count1(out, at, start)
	return &local{v: stretch(out.v, size), dims: dims, buf: out.buf}
}

// count1 fills the one long axis of a tile with numbers from start on.
func (e *eval) count1(l *local, ax int, start plan.Val) {
	row := l.v
	row.Size, row.Stride = []plan.Val{l.v.Size[ax]}, []int64{l.v.Stride[ax]}
	e.b.Vec(e.queue, plan.Instr{Op: plan.VIota, X: start, Z: plan.C(1)}, row, tile.View{}, tile.View{}, tile.View{})
}

// topK computes both results of top_k, or the one of argmax, which is the index of the first of one.
func (e *eval) topK(o *ir.Op, v *ir.Value) *local {
	x := o.Arg(0)
	a := e.value(x)
	e.b.What = o.Info.Name
	axis, n := int64(-1), int64(1)
	if o.Info == op.ArgMax {
		axis = o.Attrs.Int("axis", -1)
	} else {
		d, _ := o.Attrs.Dim("k")
		n, _ = d.Value()
	}
	ax := axisOf(axis, len(x.Type.Shape))
	dims := append([]int64{}, a.dims...)
	size := append([]plan.Val{}, a.v.Size...)
	dims[ax], size[ax] = n, plan.C(n)
	fn := plan.VMax
	if !o.Attrs.Bool("largest", true) {
		fn = plan.VMin
	}
	slots := func(i int) int {
		if i < len(o.Results()) && e.final[o.Result(i)] {
			return e.slots
		}
		return 1
	}
	last := len(o.Results()) - 1
	val := e.alloc("values", x.Type.Format, dims, size, slots(0))
	idx := e.alloc("indices", format.I32, dims, size, slots(last))
	if n > 0 {
		e.b.Vec2(e.queue, plan.Instr{Op: plan.VTopK, Fn: fn}, lastView(val.v, ax), lastView(idx.v, ax), lastView(a.v, ax), tile.View{}, tile.View{})
	}
	if o.Info == op.ArgMax {
		e.giveBack(val)
		w := idx.v
		w.Size = append(append([]plan.Val{}, w.Size[:ax]...), w.Size[ax+1:]...)
		w.Stride = append(append([]int64{}, w.Stride[:ax]...), w.Stride[ax+1:]...)
		return &local{v: w, dims: append(append([]int64{}, dims[:ax]...), dims[ax+1:]...), buf: idx.buf}
	}
	return e.other(o, v, [2]*local{val, idx})
}
