package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/targets/plan"
)

// blocks cuts the last axes of a tile in blocks and calls f for each run of equal blocks: x has one axis more for each blocked one,
// scale one element a block. The ragged end of an axis is a run of its own; an axis that the iteration cuts has none.
func (e *eval) blocks(v *ir.Value, block []int64, x, s tile.View, f func(x, s tile.View)) {
	shape := shapeOf(v)
	first := len(shape) - len(block)
	var rec func(i, ax int, x, s tile.View)
	rec = func(i, ax int, x, s tile.View) {
		if i == len(block) {
			f(x, s)
			return
		}
		part := func(start int64, count plan.Val, width int64) {
			y, t := x, s
			y.Base = x.Base.AddC(start * block[i] * x.Stride[ax])
			y.Size = insert(x.Size, ax, count, plan.C(width))
			y.Stride = insert(x.Stride, ax, x.Stride[ax]*block[i], x.Stride[ax])
			t.Base = s.Base.AddC(start * s.Stride[ax])
			t.Size = insert(s.Size, ax, count, plan.C(1))
			t.Stride = insert(s.Stride, ax, s.Stride[ax], 0)
			rec(i+1, ax+2, y, t)
		}
		b, n := block[i], shape[first+i]
		if e.coord(v, first+i).class >= 0 {
			part(0, s.Size[ax], b)
			return
		}
		if n/b > 0 {
			part(0, plan.C(n/b), b)
		}
		if n%b > 0 {
			part(n/b, plan.C(1), n%b)
		}
	}
	rec(0, first, x, s)
}

func insert[T any](s []T, i int, vs ...T) []T {
	out := append([]T{}, s[:i]...)
	out = append(out, vs...)
	return append(out, s[i+1:]...)
}

// quantize computes codes and scales as the op table says.
func (e *eval) quantize(o *ir.Op, v *ir.Value) *local {
	x := o.Arg(0)
	a := e.value(x)
	e.b.What = o.Info.Name
	codes, scale := o.Result(0), o.Result(1)
	src := a.v
	var wide *local
	if x.Type.Format != format.F32 {
		wide = e.alloc("wide", format.F32, a.dims, a.v.Size, 1)
		e.convert(wide.v, a.v, a.dims, false)
		src = wide.v
	}
	csize, cdims := e.size(codes)
	s, q := e.allocFor(scale), e.allocFor(codes)
	block := o.Attrs.Ints("block")
	f := codes.Type.Format
	e.blocks(x, block, src, s.v, func(y, t tile.View) { e.foldBlocks(y, t, len(x.Type.Shape)-len(block), block) })
	e.vec(plan.VMax, s.v, o.Attrs.Float("floor", 1e-4), s.v)
	fn, by := plan.VDiv, s // what each element is divided by, or multiplied with
	kind := o.Attrs.Str("scale", "exact")
	bits := s.v
	bits.Format = format.I32
	if kind != "mx" {
		e.vec(plan.VDiv, s.v, f.LargestCode(), s.v)
	}
	if kind == "ue8m0" { // up to the next power of two; what is no number is an infinity
		e.vec(plan.VMin, bits, 0x7F800000, bits)
		e.vec(plan.VAdd, bits, 0x007FFFFF, bits)
	}
	if kind != "exact" {
		e.vec(plan.VAnd, bits, 0x7F800000, bits)
		if kind == "mx" {
			e.vec(plan.VMul, s.v, float64(format.MXScale(f, 1)), s.v)
		}
		// The reciprocal of a power of two is exact, and multiplying by it is as dividing.
		fn, by = plan.VMul, e.alloc("reciprocal", format.F32, s.dims, s.v.Size, 1)
		defer e.giveBack(by)
		e.vec(plan.VDiv, by.v, 1, tile.View{}, s.v)
	}
	t := wide // what is divided is not needed again
	if t == nil {
		t = e.alloc("scaled", format.F32, cdims, csize, 1)
	}
	var parts []tile.View
	e.blocks(x, block, t.v, s.v, func(y, _ tile.View) { parts = append(parts, y) })
	n := 0
	e.blocks(x, block, src, by.v, func(y, sc tile.View) {
		e.vec(fn, parts[n], 0, y, stretch(sc, y.Size))
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

// foldBlocks folds the largest magnitude of each block of a tile, whose axes within blocks stand at from+1, from+3, …; the scale has
// one element there.
func (e *eval) foldBlocks(y, t tile.View, from int, block []int64) {
	var axes []int
	for i, b := range block {
		if b > 1 {
			axes = append(axes, from+1+2*i)
		}
	}
	if len(axes) == 0 {
		e.vec(plan.VAbs, t, 0, y)
		return
	}
	fn := plan.VAbsMax
	var temps []*local
	for i := len(axes) - 1; i >= 0; i-- {
		dst := t
		if i > 0 {
			size := append([]plan.Val{}, y.Size...)
			size[axes[i]] = plan.C(1)
			dims := make([]int64, len(size))
			for k := range size {
				if dims[k] = size[k].C; !size[k].IsConst() {
					dims[k] = e.most(size[k])
				}
			}
			l := e.alloc("fold", format.F32, dims, size, 1)
			temps = append(temps, l)
			dst = l.v
		}
		e.b.Vec(e.queue, plan.Instr{Op: plan.VReduce, Fn: fn}, lastView(dst, axes[i]), lastView(y, axes[i]), tile.View{}, tile.View{})
		y, fn = dst, plan.VMax
	}
	for _, l := range temps {
		e.giveBack(l)
	}
}

// most bounds a size that is not constant: it is that of a part of some class.
func (e *eval) most(n plan.Val) int64 {
	most := int64(1)
	for _, p := range e.part {
		most = max(most, p.max)
	}
	return most
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
	e.blocks(x, o.Attrs.Ints("block"), w.v, scale, func(y, s tile.View) { e.vec(plan.VMul, y, 0, y, stretch(s, y.Size)) })
	e.giveBack(wide)
	if r.Type.Format == format.F32 {
		return w
	}
	out := e.allocFor(r)
	e.convert(out.v, w.v, dims, false)
	e.giveBack(w)
	return out
}
