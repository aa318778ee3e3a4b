package codegen

import (
	"math"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

var negInf, nan = math.Inf(-1), math.NaN()

// index brings indices into range as i32: negative ones count from the end, others are clamped. The result is a temporary of its
// own, or the tile itself with a second hold.
func (e *eval) index(l *local, v *ir.Value, n int64) *local {
	f := v.Type.Format
	if f == format.I32 && inRange(v, n) {
		return e.share(l, l.v, l.dims)
	}
	t := e.alloc("index", format.I32, l.dims, l.v.Size, 1)
	if f != format.I32 {
		wide := e.alloc("index", f, l.dims, l.v.Size, 1)
		e.vec(plan.VMax, wide.v, math.MinInt32, l.v) // a conversion would drop the upper half of one that is far out of range
		e.vec(plan.VMin, wide.v, math.MaxInt32, wide.v)
		e.convert(t.v, wide.v, l.dims, false)
		e.giveBack(wide)
		l = t
	}
	neg := e.alloc("negative", format.Bool, l.dims, l.v.Size, 1)
	end := e.alloc("index", format.I32, l.dims, l.v.Size, 1)
	e.vec(plan.VLt, neg.v, 0, l.v)
	e.vec(plan.VAdd, end.v, float64(n), l.v)
	e.vec(plan.VSelect, t.v, 0, neg.v, end.v, l.v)
	e.vec(plan.VMax, t.v, 0, t.v)
	e.vec(plan.VMin, t.v, float64(n-1), t.v)
	e.giveBack(neg)
	e.giveBack(end)
	return t
}

// inRange reports whether a value is known to hold only indices 0…n-1.
func inRange(v *ir.Value, n int64) bool {
	o := v.Def()
	if o == nil {
		return false
	}
	switch o.Info {
	case op.TopK, op.ArgMax:
		axis := int64(-1)
		if o.Info == op.ArgMax {
			axis = o.Attrs.Int("axis", -1)
		}
		return v.Index() == len(o.Results())-1 && shapeOf(o.Arg(0))[axisOf(axis, len(o.Arg(0).Type.Shape))] <= n
	case op.Reshape, op.Slice, op.Transpose, op.Broadcast, op.Reverse:
		return inRange(o.Arg(0), n)
	}
	return false
}

func (e *eval) gatherElements(o *ir.Op) *local {
	r := o.Result(0)
	axis := o.Attrs.Int("axis", -1)
	ax := axisOf(axis, len(r.Type.Shape))
	x, idx := e.value(o.Arg(0)), e.value(o.Arg(1))
	e.b.What = o.Info.Name
	ix := e.index(idx, o.Arg(1), shapeOf(o.Arg(0))[axisOf(axis, len(r.Type.Shape))])
	out := e.allocFor(r)
	e.b.Vec(e.queue, plan.Instr{Op: plan.VTake}, lastView(out.v, ax), lastView(x.v, ax), lastView(ix.v, ax), tile.View{})
	e.giveBack(ix)
	return out
}

var putFns = map[string]plan.Fn{"none": plan.VCopy, "add": plan.VAdd, "mul": plan.VMul, "max": plan.VMax, "min": plan.VMin}

func (e *eval) scatter(o *ir.Op) *local {
	r := o.Result(0)
	size, _ := e.size(r)
	axis := o.Attrs.Int("axis", -1)
	ax := axisOf(axis, len(r.Type.Shape))
	x := o.Arg(0)
	out := e.allocFor(r)
	if c, ok := scalar(x); ok {
		e.vec(plan.VCopy, out.v, c)
	} else {
		a := e.value(x)
		e.b.What = o.Info.Name
		e.vec(plan.VCopy, out.v, 0, e.align(a, size))
	}
	if numel(shapeOf(o.Arg(1))) == 0 {
		return out
	}
	idx := e.value(o.Arg(1))
	e.b.What = o.Info.Name
	ix := e.index(idx, o.Arg(1), shapeOf(r)[axisOf(axis, len(r.Type.Shape))])
	var upd tile.View
	var one *local
	if o.Arg(2).DefIs(op.Constant) {
		one = e.constant(o.Arg(2))
		upd = e.align(one, ix.v.Size)
	} else {
		upd = e.align(e.value(o.Arg(2)), ix.v.Size)
	}
	e.b.What = o.Info.Name
	e.b.Vec(e.queue, plan.Instr{Op: plan.VPut, Fn: putFns[o.Attrs.Str("reduce", "none")]}, lastView(out.v, ax), lastView(upd, ax), lastView(ix.v, ax), tile.View{})
	e.giveBack(ix)
	e.giveBack(one)
	return out
}

// gather loads rows of a buffer by number: x [P…, N, Q…] at indices [I…] gives [P…, I…, Q…]. Where the path takes a list, the rows of one
// tile are one transfer; elsewhere the scalar unit steps through the list, which is on chip as well.
func (e *eval) gather(o *ir.Op) *local {
	r, x, iv := o.Result(0), o.Arg(0), o.Arg(1)
	b := e.b
	w, _ := view.Of(x)
	ax := axisOf(o.Attrs.Int("axis", 0), len(w.Size))
	rank := len(iv.Type.Shape)
	if w.Size[ax] == 0 {
		b.Fail("gather from an axis of no elements")
		return e.allocFor(r)
	}
	idx := e.value(iv)
	b.What = o.Info.Name
	ix := e.index(idx, iv, w.Size[ax])
	if !dense(ix.v, ix.dims) {
		d := e.dense(ix, format.I32)
		e.giveBack(ix)
		ix = d
	}
	size, dims := e.size(r)
	slots := 1
	if rank > 0 || e.final[r] {
		slots = e.slots
	}
	out := e.alloc(name(r), r.Type.Format, dims, size, slots)
	bits := int64(r.Type.Format.Bits())
	rowStride := w.Stride[ax] * bits / 8
	if w.Stride[ax]*bits%8 != 0 {
		b.Fail("gather of rows of %s that do not begin at whole bytes: cast it first", r.Type.Format)
	}
	// The list of rows is made of the index's axes, as many from the last on as lie one after the other; the others are looped over.
	type loop struct {
		n        plan.Val
		dst, idx int64 // bytes a round
	}
	var loops []loop
	list, listStride := plan.C(1), int64(0)
	idxStride := tile.DenseStrides(format.I32, ix.dims)
	for i := rank - 1; i >= 0; i-- {
		t := ax + i
		if len(loops) > 0 || !list.IsConst() || listStride != 0 && out.v.Stride[t] != listStride*list.C {
			loops = append([]loop{{size[t], out.v.Stride[t], idxStride[i]}}, loops...)
			continue
		}
		if listStride == 0 {
			listStride = out.v.Stride[t]
		}
		list = size[t].Scale(list.C)
	}
	// Rows and what is before them: axes of x as axes of the tile.
	at := plan.C(w.Offset)
	to := out.v
	to.Size, to.Stride = nil, nil
	var srcStride, rowDims []int64
	for i := range w.Size {
		if i == ax {
			continue
		}
		t := i // the axis of the result
		if i > ax {
			t = i + rank - 1
		}
		at = at.Add(e.start(r, t).Scale(w.Stride[i]))
		to.Size, to.Stride = append(to.Size, size[t]), append(to.Stride, out.v.Stride[t])
		srcStride, rowDims = append(srcStride, w.Stride[i]), append(rowDims, dims[t])
	}
	if len(to.Size) == ax { // rows of one element
		to.Size, to.Stride = append(to.Size, plan.C(1)), append(to.Stride, (bits+7)/8)
		srcStride, rowDims = append(srcStride, 1), append(rowDims, 1)
	}
	from := b.global(b.in(w.Source), r.Type.Format, at, to.Size, srcStride)
	rows := func(from, to, numbers tile.View) {
		if b.T.Indirect(0, e.mem) && bits >= 8 {
			from.Size, from.Stride = append([]plan.Val{list}, from.Size...), append([]int64{rowStride}, from.Stride...)
			to.Size, to.Stride = append([]plan.Val{list}, to.Size...), append([]int64{listStride}, to.Stride...)
			numbers.Size, numbers.Stride = []plan.Val{list}, []int64{4}
			b.MoveRows(to, from, tile.View{}, numbers)
			return
		}
		b.Loop(list, func(i plan.Val) {
			f, t, number := from, to, numbers
			number.Base = number.Base.Add(i.Scale(4))
			n := b.LoadScalar(number, plan.Assume{Index: i, Mul: 1, Div: 1, Why: "gathered rows follow one another"})
			f.Base = f.Base.Add(b.Min(b.Max(n, plan.C(0)), plan.C(w.Size[ax]-1)).Scale(rowStride))
			t.Base = t.Base.Add(i.Scale(listStride))
			b.Transfer(f, e.mem, rowDims[ax:], 1, t)
		})
	}
	var nest func(before, loop int, from, to, numbers tile.View)
	nest = func(before, l int, from, to, numbers tile.View) {
		switch {
		case before > 0:
			b.Loop(from.Size[0], func(i plan.Val) { nest(before-1, l, dropAxis(from, i), dropAxis(to, i), numbers) })
		case l < len(loops):
			b.Loop(loops[l].n, func(i plan.Val) {
				t, n := to, numbers
				t.Base, n.Base = t.Base.Add(i.Scale(loops[l].dst)), n.Base.Add(i.Scale(loops[l].idx))
				nest(0, l+1, from, t, n)
			})
		default:
			rows(from, to, numbers)
		}
	}
	nest(ax, 0, from, to, ix.v)
	e.giveBack(ix)
	return out
}

// dropAxis takes element i of the first axis.
func dropAxis(v tile.View, i plan.Val) tile.View {
	v.Base = v.Base.Add(i.Scale(v.Stride[0]))
	v.Size, v.Stride = v.Size[1:], v.Stride[1:]
	return v
}

// dense reports whether a tile's elements stand in row-major order of its largest sizes.
func dense(v tile.View, dims []int64) bool {
	want := tile.DenseStrides(v.Format, dims)
	for i := range want {
		if dims[i] != 1 && v.Stride[i] != want[i] {
			return false
		}
	}
	return true
}
