package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/targets/plan"
)

// special emits the ops that are neither elementwise nor mere views.
func (e *eval) special(o *ir.Op, v *ir.Value) *local {
	switch o.Info {
	case op.Constant:
		x, _ := scalar(v)
		return e.fill(v.Type.Format, x, len(e.space.outer))
	case op.DimValue:
		d, _ := o.Attrs.Dim("of")
		n, _ := d.Value()
		return e.fill(v.Type.Format, float64(n), len(e.space.outer))
	case op.Iota:
		return e.iota(o)
	case op.Reduce:
		return e.reduce(o)
	case op.Concat:
		return e.concat(o)
	case op.Pad:
		return e.pad(o)
	case op.TopK, op.ArgMax:
		return e.topK(o, v)
	case op.GatherElements:
		r := o.Result(0)
		ax := e.innerAxis(r, o.Attrs.Int("axis", -1))
		size, dims := e.size(r)
		x, idx := e.value(o.Arg(0)), e.value(o.Arg(1))
		ix, tmp := e.index(idx, o.Arg(1), atAxis(shapeOf(o.Arg(0)), o.Attrs.Int("axis", -1)))
		out := e.alloc(name(r), r.Type.Format, dims, size, 1)
		e.k.Vec(e.queue, plan.Instr{Op: plan.VTake}, lastView(out.v, ax), lastView(x.v, ax), lastView(ix.v, ax), tile.View{})
		e.giveBack(tmp)
		return out
	case op.ScatterElements:
		return e.scatter(o)
	case op.Cumsum:
		return e.cumsum(o)
	case op.Quantize:
		return e.quantize(o, v)
	case op.Dequantize:
		return e.dequantize(o)
	}
	e.k.Fail("%s cannot be part of a map kernel", o.Info.Name)
	size, dims := e.size(v)
	return e.alloc(name(v), v.Type.Format, dims, size, 1)
}

func atAxis(shape []int64, axis int64) int64 {
	if axis < 0 {
		axis += int64(len(shape))
	}
	return shape[axis]
}

func (e *eval) giveBack(l *local) {
	if l != nil && l.buf != nil {
		e.release(l.buf)
	}
}

func (e *eval) iota(o *ir.Op) *local {
	r := o.Result(0)
	p := len(e.space.outer)
	size, dims := e.size(r)
	ax := o.Attrs.Int("axis", 0)
	if ax < 0 {
		ax += int64(len(r.Type.Shape))
	}
	c := int(ax) + e.space.lead[r]
	at := e.innerAxis(r, ax)
	start := plan.C(0)
	if c < p && e.space.outer[c] > 1 {
		start = e.part[c].start
	}
	small := make([]int64, len(dims))
	for i := range small {
		small[i] = 1
	}
	small[at] = dims[at]
	sz := tile.Consts(small...)
	sz[at] = size[at]
	out := e.alloc("iota", r.Type.Format, small, sz, 1)
	line := out.v
	line.Size, line.Stride = []plan.Val{size[at]}, []int64{out.v.Stride[at]}
	e.k.Vec(e.queue, plan.Instr{Op: plan.VIota, X: start, Z: plan.C(1)}, line, tile.View{}, tile.View{}, tile.View{})
	return &local{v: stretch(out.v, size), dims: dims, buf: out.buf}
}

var reduceFns = map[string]plan.Fn{"sum": plan.VAdd, "mean": plan.VAdd, "prod": plan.VMul, "max": plan.VMax, "min": plan.VMin, "all": plan.VAnd, "any": plan.VOr}

func (e *eval) reduce(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	a := e.value(x)
	p := len(e.space.outer)
	kind := o.Attrs.Str("kind", "")
	fold := map[int]bool{}
	count := int64(1)
	for _, ax := range o.Attrs.Ints("axes") {
		fold[e.innerAxis(x, ax)] = true
		count *= atAxis(shapeOf(x), ax)
	}
	cur := &local{v: a.v, dims: a.dims}
	// Fold from the last axis to the first: the innermost is the one that engines stream along.
	for ax := len(a.dims) - 1; ax >= p; ax-- {
		if !fold[ax] {
			continue
		}
		dims := append([]int64(nil), cur.dims...)
		size := append([]plan.Val(nil), cur.v.Size...)
		dims[ax], size[ax] = 1, plan.C(1)
		out := e.alloc(name(r), r.Type.Format, dims, size, 1)
		e.k.Vec(e.queue, plan.Instr{Op: plan.VReduce, Fn: reduceFns[kind]}, lastView(out.v, ax), lastView(cur.v, ax), tile.View{}, tile.View{})
		e.giveBack(cur)
		cur = out
	}
	if cur.buf == nil { // nothing folded
		cur = e.dense(cur, r.Type.Format)
	}
	if kind == "mean" {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VDiv, Imm: float64(count)}, cur.v, cur.v, tile.View{}, tile.View{})
	}
	if o.Attrs.Bool("keep", false) {
		return cur
	}
	w, dims := cur.v, []int64(nil)
	w.Size, w.Stride = nil, nil
	for i := range cur.dims {
		if !fold[i] {
			dims = append(dims, cur.dims[i])
			w.Size, w.Stride = append(w.Size, cur.v.Size[i]), append(w.Stride, cur.v.Stride[i])
		}
	}
	return &local{v: w, dims: dims, buf: cur.buf}
}

func (e *eval) concat(o *ir.Op) *local {
	r := o.Result(0)
	size, dims := e.size(r)
	ax := e.innerAxis(r, o.Attrs.Int("axis", 0))
	out := e.alloc(name(r), r.Type.Format, dims, size, 1)
	at := int64(0)
	for i := 0; i < o.NumArgs(); i++ {
		a := o.Arg(i)
		n := atAxis(shapeOf(a), o.Attrs.Int("axis", 0))
		dst := out.v.Slice(ax, plan.C(at), plan.C(n))
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, dst, e.align(e.value(a), a, r, dst.Size), tile.View{}, tile.View{})
		at += n
	}
	return out
}

func (e *eval) pad(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	size, dims := e.size(r)
	out := e.alloc(name(r), r.Type.Format, dims, size, 1)
	if c, ok := scalar(o.Arg(1)); ok {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Imm: c}, out.v, tile.View{}, tile.View{}, tile.View{})
	} else {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, out.v, e.align(e.value(o.Arg(1)), o.Arg(1), r, size), tile.View{}, tile.View{})
	}
	a := e.value(x)
	dst := out.v
	for i, lo := range o.Attrs.Ints("low") {
		ax := e.innerAxis(r, int64(i))
		if ax >= len(e.space.outer) {
			dst = dst.Slice(ax, plan.C(lo), a.v.Size[ax])
		}
	}
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, dst, a.v, tile.View{}, tile.View{})
	return out
}

func (e *eval) topK(o *ir.Op, v *ir.Value) *local {
	x := o.Arg(0)
	a := e.value(x)
	axis := int64(-1)
	if o.Info == op.ArgMax {
		axis = o.Attrs.Int("axis", -1)
	}
	ax := e.innerAxis(x, axis)
	dims := append([]int64(nil), a.dims...)
	size := append([]plan.Val(nil), a.v.Size...)
	n := int64(1)
	if o.Info == op.TopK {
		d, _ := o.Attrs.Dim("k")
		n, _ = d.Value()
	}
	dims[ax], size[ax] = n, plan.C(n)
	fn := plan.VMax
	if !o.Attrs.Bool("largest", true) {
		fn = plan.VMin
	}
	val := e.alloc("values", x.Type.Format, dims, size, 1)
	idx := e.alloc("indices", format.I32, dims, size, 1)
	e.k.Vec2(e.queue, plan.Instr{Op: plan.VTopK, Fn: fn}, lastView(val.v, ax), lastView(idx.v, ax), lastView(a.v, ax), tile.View{}, tile.View{})
	if o.Info == op.ArgMax {
		e.giveBack(val)
		w := idx.v
		w.Size = append(append([]plan.Val(nil), w.Size[:ax]...), w.Size[ax+1:]...)
		w.Stride = append(append([]int64(nil), w.Stride[:ax]...), w.Stride[ax+1:]...)
		return &local{v: w, dims: append(append([]int64(nil), dims[:ax]...), dims[ax+1:]...), buf: idx.buf}
	}
	// Both results are computed at once: keep the one that was not asked for until its own turn.
	for i, l := range []*local{val, idx} {
		res := o.Result(i)
		if res == v {
			continue
		}
		if e.uses[res] > 0 {
			e.done[res] = l
		} else {
			e.giveBack(l)
		}
	}
	if v == o.Result(0) {
		return val
	}
	return idx
}

// index brings indices into range: negative ones count from the end, others are clamped. The result is a temporary.
func (e *eval) index(l *local, v *ir.Value, n int64) (out, tmp *local) {
	f := v.Type.Format
	if f != format.I32 {
		c := e.alloc("index", format.I32, l.dims, l.v.Size, 1)
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, c.v, l.v, tile.View{}, tile.View{})
		l = c
	} else if inRange(v, n) {
		return l, nil
	}
	t := e.alloc("index", format.I32, l.dims, l.v.Size, 1)
	neg := e.alloc("negative", format.Bool, l.dims, l.v.Size, 1)
	none := tile.View{}
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VLt}, neg.v, l.v, none, none)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VAdd, Imm: float64(n)}, t.v, l.v, none, none)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VSelect}, t.v, neg.v, t.v, l.v)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMax}, t.v, t.v, none, none)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMin, Imm: float64(n - 1)}, t.v, t.v, none, none)
	e.giveBack(neg)
	if f != format.I32 {
		e.giveBack(l)
	}
	return t, t
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
		return v.Index() == len(o.Results())-1 && atAxis(shapeOf(o.Arg(0)), axis) <= n
	case op.Reshape, op.Slice, op.Transpose, op.Broadcast:
		return inRange(o.Arg(0), n)
	}
	return false
}

var putFns = map[string]plan.Fn{"none": plan.VCopy, "add": plan.VAdd, "mul": plan.VMul, "max": plan.VMax, "min": plan.VMin}

func (e *eval) scatter(o *ir.Op) *local {
	r := o.Result(0)
	size, dims := e.size(r)
	axis := o.Attrs.Int("axis", -1)
	ax := e.innerAxis(r, axis)
	x, idx := o.Arg(0), e.value(o.Arg(1))
	out := e.alloc(name(r), r.Type.Format, dims, size, 1)
	if c, ok := scalar(x); ok {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Imm: c}, out.v, tile.View{}, tile.View{}, tile.View{})
	} else {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, out.v, e.align(e.value(x), x, r, size), tile.View{}, tile.View{})
	}
	ix, tmp := e.index(idx, o.Arg(1), atAxis(shapeOf(r), axis))
	var upd tile.View
	var one *local
	if c, ok := scalar(o.Arg(2)); ok {
		one = e.fill(r.Type.Format, c, len(size))
		upd = stretch(one.v, ix.v.Size)
	} else {
		upd = e.align(e.value(o.Arg(2)), o.Arg(2), r, ix.v.Size)
	}
	e.k.Vec(e.queue, plan.Instr{Op: plan.VPut, Fn: putFns[o.Attrs.Str("reduce", "none")]}, lastView(out.v, ax), lastView(upd, ax), lastView(ix.v, ax), tile.View{})
	e.giveBack(tmp)
	e.giveBack(one)
	return out
}

func (e *eval) cumsum(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	size, dims := e.size(r)
	ax := e.innerAxis(r, o.Attrs.Int("axis", 0))
	a := e.value(x)
	out := e.alloc(name(r), r.Type.Format, dims, size, 1)
	dst, src := out.v, a.v
	if o.Attrs.Bool("reverse", false) {
		dst, src = backwards(dst, ax), backwards(src, ax)
	}
	i := plan.Instr{Op: plan.VScan, Fn: plan.VAdd}
	if o.Attrs.Bool("exclusive", false) {
		i.Imm = 1
	}
	e.k.Vec(e.queue, i, lastView(dst, ax), lastView(src, ax), tile.View{}, tile.View{})
	return out
}

func backwards(v tile.View, ax int) tile.View {
	v.Base = v.Base.Add(v.Size[ax].AddC(-1).Scale(v.Stride[ax]))
	v.Stride = append([]int64(nil), v.Stride...)
	v.Stride[ax] = -v.Stride[ax]
	return v
}

// blocks cuts the last axes of a tile in blocks and calls f for each run of equal blocks: x has one axis more for each blocked one,
// scale one element a block. Ragged ends are runs of their own.
func blocks(x, s tile.View, from int, block, shape []int64, f func(x, s tile.View)) {
	if len(block) == 0 {
		f(x, s)
		return
	}
	b, n := block[0], shape[0]
	ax := from
	part := func(start, count, width int64) {
		y := x
		y.Base = x.Base.Add(plan.C(start * b * x.Stride[ax]))
		y.Size = insert(x.Size, ax, plan.C(count), plan.C(width))
		y.Stride = insert(x.Stride, ax, x.Stride[ax]*b, x.Stride[ax])
		t := s
		t.Base = s.Base.Add(plan.C(start * s.Stride[ax]))
		t.Size = insert(s.Size, ax, plan.C(count), plan.C(1))
		t.Stride = insert(s.Stride, ax, s.Stride[ax], 0)
		blocks(y, t, ax+2, block[1:], shape[1:], f)
	}
	if n/b > 0 {
		part(0, n/b, b)
	}
	if n%b > 0 {
		part(n/b, 1, n%b)
	}
}

func insert[T any](s []T, i int, vs ...T) []T {
	out := append([]T(nil), s[:i]...)
	out = append(out, vs...)
	return append(out, s[i+1:]...)
}

// blockAxes splits block sizes into those of outer axes (which must be 1) and those of the inner ones.
func (e *eval) blockAxes(x *ir.Value, block []int64) (from int, inner, shape []int64) {
	sh := shapeOf(x)
	first := len(sh) - len(block)
	for i := range block {
		if block[i] == 1 && len(inner) == 0 {
			first++
			continue
		}
		inner = append(inner, block[i])
	}
	shape = sh[len(sh)-len(inner):]
	if len(inner) > 0 {
		from = e.innerAxis(x, int64(len(sh)-len(inner)))
	}
	return from, inner, shape
}

func (e *eval) quantize(o *ir.Op, v *ir.Value) *local {
	x := o.Arg(0)
	a := e.value(x)
	codes, scale := o.Result(0), o.Result(1)
	// The second result stands where the first does: same rank.
	e.space.lead[codes], e.space.lead[scale] = e.space.lead[x], e.space.lead[x]
	none := tile.View{}
	src := a.v
	var wide *local
	if x.Type.Format != format.F32 {
		wide = e.alloc("wide", format.F32, a.dims, a.v.Size, 1)
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, wide.v, a.v, none, none)
		src = wide.v
	}
	ssize, sdims := e.size(scale)
	csize, cdims := e.size(codes)
	s := e.alloc("scale", format.F32, sdims, ssize, 1)
	q := e.alloc("codes", codes.Type.Format, cdims, csize, 1)
	from, block, shape := e.blockAxes(x, o.Attrs.Ints("block"))
	largest := format.Format(codes.Type.Format).Info().MaxFinite
	if codes.Type.Format.IsInt() {
		largest = float64(codes.Type.Format.MaxInt())
	}
	fold := func(y, t tile.View) {
		// Fold each block: bring the block axes to the end, one after the other.
		if len(block) == 1 {
			e.k.Vec(e.queue, plan.Instr{Op: plan.VReduce, Fn: plan.VAbsMax}, lastView(t, from+1), lastView(y, from+1), none, none)
			return
		}
		e.k.Fail("quantize with blocks over %d axes", len(block))
	}
	if len(block) == 0 {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VAbs}, s.v, src, none, none)
	} else {
		blocks(src, s.v, from, block, shape, fold)
	}
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMax, Imm: o.Attrs.Float("floor", 1e-4)}, s.v, s.v, none, none)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VDiv, Imm: largest}, s.v, s.v, none, none)
	t := e.alloc("scaled", format.F32, cdims, csize, 1)
	div := func(dst, y, sc tile.View) {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VDiv}, dst, y, stretch(sc, y.Size), none)
	}
	if len(block) == 0 {
		div(t.v, src, s.v)
	} else {
		var parts []tile.View
		blocks(t.v, s.v, from, block, shape, func(y, _ tile.View) { parts = append(parts, y) })
		n := 0
		blocks(src, s.v, from, block, shape, func(y, sc tile.View) {
			div(parts[n], y, sc)
			n++
		})
	}
	if codes.Type.Format.IsInt() {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VRound}, t.v, t.v, none, none)
	}
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast, Saturate: true}, q.v, t.v, none, none)
	e.giveBack(t)
	e.giveBack(wide)
	for i, l := range []*local{q, s} {
		if res := o.Result(i); res != v {
			if e.uses[res] > 0 {
				e.done[res] = l
			} else {
				e.giveBack(l)
			}
		}
	}
	if v == codes {
		return q
	}
	return s
}

func (e *eval) dequantize(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	a, sc := e.value(x), e.value(o.Arg(1))
	size, dims := e.size(r)
	none := tile.View{}
	w := e.alloc("wide", format.F32, dims, size, 1)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, w.v, a.v, none, none)
	from, block, shape := e.blockAxes(x, o.Attrs.Ints("block"))
	if len(block) == 0 {
		e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMul}, w.v, w.v, stretch(sc.v, w.v.Size), none)
	} else {
		blocks(w.v, sc.v, from, block, shape, func(y, s tile.View) {
			e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VMul}, y, y, stretch(s, y.Size), none)
		})
	}
	if r.Type.Format == format.F32 {
		return w
	}
	out := e.alloc(name(r), r.Type.Format, dims, size, 1)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, out.v, w.v, none, none)
	e.giveBack(w)
	return out
}
