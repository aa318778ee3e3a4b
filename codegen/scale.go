package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/targets/plan"
)

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
	out := append([]T{}, s[:i]...)
	out = append(out, vs...)
	return append(out, s[i+1:]...)
}

// blockAxes splits block sizes into those of outer axes (which must be 1) and those of the inner ones.
func (e *eval) blockAxes(x *ir.Value, block []int64) (from int, inner, shape []int64) {
	sh := shapeOf(x)
	for i := range block {
		if block[i] != 1 || len(inner) > 0 {
			inner = append(inner, block[i])
		}
	}
	shape = sh[len(sh)-len(inner):]
	if len(inner) > 0 {
		from = e.innerAxis(x, int64(len(sh)-len(inner)))
	}
	return from, inner, shape
}

// quantize computes codes and scales as the op table says.
func (e *eval) quantize(o *ir.Op, v *ir.Value) *local {
	x := o.Arg(0)
	a := e.value(x)
	e.b.What = o.Info.Name
	codes, scale := o.Result(0), o.Result(1)
	// Both results stand where the operand does: same rank.
	e.space.lead[codes], e.space.lead[scale] = e.space.lead[x], e.space.lead[x]
	src := a.v
	var wide *local
	if x.Type.Format != format.F32 {
		wide = e.alloc("wide", format.F32, a.dims, a.v.Size, 1)
		e.convert(wide.v, a.v, a.dims, false)
		src = wide.v
	}
	csize, cdims := e.size(codes)
	s, q := e.allocFor(scale), e.allocFor(codes)
	from, block, shape := e.blockAxes(x, o.Attrs.Ints("block"))
	f := codes.Type.Format
	largest := f.Info().MaxFinite
	if f.IsInt() {
		largest = float64(f.MaxInt())
	}
	if len(block) == 0 {
		e.vec(plan.VAbs, s.v, 0, src)
	} else {
		blocks(src, s.v, from, block, shape, func(y, t tile.View) { e.foldBlock(y, t, from, len(block)) })
	}
	e.vec(plan.VMax, s.v, o.Attrs.Float("floor", 1e-4), s.v)
	e.vec(plan.VDiv, s.v, largest, s.v)
	t := e.alloc("scaled", format.F32, cdims, csize, 1)
	var parts []tile.View
	blocks(t.v, s.v, from, block, shape, func(y, _ tile.View) { parts = append(parts, y) })
	n := 0
	blocks(src, s.v, from, block, shape, func(y, sc tile.View) {
		e.vec(plan.VDiv, parts[n], 0, y, stretch(sc, y.Size))
		n++
	})
	saturate := true
	if f.IsInt() {
		e.vec(plan.VRound, t.v, 0, t.v)
		// A ragged rounding of the quotient may pass the largest code.
		e.vec(plan.VMin, t.v, float64(f.MaxInt()), t.v)
		e.vec(plan.VMax, t.v, float64(f.MinInt()), t.v)
		saturate = false
	}
	e.b.What = o.Info.Name
	e.narrow(q.v, t.v, cdims, saturate)
	e.giveBack(t)
	e.giveBack(wide)
	return e.other(o, v, [2]*local{q, s})
}

// narrow casts f32 codes to their format; whole numbers of a narrow integer may go over f16, which holds them all.
func (e *eval) narrow(dst, src tile.View, dims []int64, saturate bool) {
	if dst.Format.IsInt() && !e.b.T.Casts(src.Format, dst.Format) && e.b.T.Casts(format.F32, format.F16) && e.b.T.Casts(format.F16, dst.Format) {
		h := e.alloc("narrow", format.F16, dims, src.Size, 1)
		e.vec(plan.VCast, h.v, 0, src)
		e.vec(plan.VCast, dst, 0, h.v)
		e.giveBack(h)
		return
	}
	e.convert(dst, src, dims, saturate)
}

// foldBlock folds the largest magnitude of each block: its axes stand at from+1, from+3, …, the scale has 1 there.
func (e *eval) foldBlock(y, t tile.View, from, axes int) {
	fn := plan.VAbsMax
	var temps []*local
	for i := axes - 1; i >= 0; i-- {
		ax := from + 1 + 2*i
		dst := t
		if i > 0 {
			size := append([]plan.Val{}, y.Size...)
			size[ax] = plan.C(1)
			dims := make([]int64, len(size))
			for k := range size {
				dims[k] = size[k].C
				if !size[k].IsConst() {
					dims[k] = e.part[k].max
				}
			}
			l := e.alloc("fold", format.F32, dims, size, 1)
			temps = append(temps, l)
			dst = l.v
		}
		e.b.Vec(e.queue, plan.Instr{Op: plan.VReduce, Fn: fn}, lastView(dst, ax), lastView(y, ax), tile.View{}, tile.View{})
		y, fn = dst, plan.VMax
	}
	for _, l := range temps {
		e.giveBack(l)
	}
}

func (e *eval) dequantize(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	a, sc := e.value(x), e.value(o.Arg(1))
	e.b.What = o.Info.Name
	size, dims := e.size(r)
	w := e.alloc("wide", format.F32, dims, size, 1)
	e.convert(w.v, a.v, dims, false)
	scale := sc.v
	var wide *local
	if scale.Format != format.F32 {
		wide = e.alloc("wide", format.F32, sc.dims, sc.v.Size, 1)
		e.convert(wide.v, scale, sc.dims, false)
		scale = wide.v
	}
	from, block, shape := e.blockAxes(x, o.Attrs.Ints("block"))
	blocks(w.v, scale, from, block, shape, func(y, s tile.View) { e.vec(plan.VMul, y, 0, y, stretch(s, y.Size)) })
	e.giveBack(wide)
	if r.Type.Format == format.F32 {
		return w
	}
	out := e.allocFor(r)
	e.convert(out.v, w.v, dims, false)
	e.giveBack(w)
	return out
}
