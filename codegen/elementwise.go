package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

var vecFns = map[*op.Info]plan.Fn{
	op.Neg: plan.VNeg, op.Abs: plan.VAbs, op.Sign: plan.VSign, op.Exp: plan.VExp, op.Log: plan.VLog, op.Sqrt: plan.VSqrt, op.Rsqrt: plan.VRsqrt,
	op.Reciprocal: plan.VReciprocal, op.Sin: plan.VSin, op.Cos: plan.VCos, op.Tanh: plan.VTanh, op.Sigmoid: plan.VSigmoid, op.Erf: plan.VErf, op.Atan: plan.VAtan,
	op.Floor: plan.VFloor, op.Ceil: plan.VCeil, op.Round: plan.VRound, op.Not: plan.VNot, op.Bitcast: plan.VBitcast,
	op.Add: plan.VAdd, op.Sub: plan.VSub, op.Mul: plan.VMul, op.Div: plan.VDiv, op.Rem: plan.VRem, op.Pow: plan.VPow, op.Max: plan.VMax, op.Min: plan.VMin,
	op.And: plan.VAnd, op.Or: plan.VOr, op.Xor: plan.VXor, op.Shl: plan.VShl, op.Shr: plan.VShr,
	op.Eq: plan.VEq, op.Ne: plan.VNe, op.Lt: plan.VLt, op.Le: plan.VLe, op.Gt: plan.VGt, op.Ge: plan.VGe, op.Select: plan.VSelect,
}

// elementwise emits one instruction. One constant operand becomes its immediate number; others are made as tiles of one element.
func (e *eval) elementwise(o *ir.Op) *local {
	r := o.Result(0)
	size, dims := e.size(r)
	ops := make([]tile.View, 3)
	var imm float64
	used := false
	var temps []*local
	for n := 0; n < o.NumArgs(); n++ {
		a := o.Arg(n)
		// The first operand of a select is its mask, which has to be a tile, and so has some operand of any instruction.
		if x, ok := scalar(a); ok && !used && o.NumArgs() > 1 && !(o.Is(op.Select) && n == 0) {
			imm, used = x, true
			continue
		}
		if a.DefIs(op.Constant) {
			e.b.What = o.Info.Name
			t := e.constant(a)
			temps = append(temps, t)
			ops[n] = e.align(t, size)
			continue
		}
		ops[n] = e.align(e.value(a), size)
	}
	e.b.What = o.Info.Name
	out := e.reuse(o, r, size, dims)
	e.vec(vecFns[o.Info], out.v, imm, ops...)
	for _, t := range temps {
		e.giveBack(t)
	}
	return out
}

// reuse takes the buffer for an elementwise result: that of an operand that dies here, if its elements stand in the same
// places, else another.
func (e *eval) reuse(o *ir.Op, r *ir.Value, size []plan.Val, dims []int64) *local {
	if !e.final[r] {
		want := tile.DenseStrides(r.Type.Format, dims)
		for n := 0; n < o.NumArgs(); n++ {
			l := e.done[o.Arg(n)]
			if l == nil || l.buf == nil || l.buf.refs != 1 || l.buf.buf.Slots != 1 || e.uses[o.Arg(n)] != 1 || l.v.Format.Bits() != r.Type.Format.Bits() ||
				!equalInts(l.dims, dims) || !equalInts(l.v.Stride, want) || repeats(l.v) || l.v.Base.C != 0 || len(l.v.Base.Terms) > 0 {
				continue
			}
			v := l.v
			v.Format, v.Size = r.Type.Format, size
			return e.share(l, v, dims)
		}
	}
	return e.allocFor(r)
}

// cast converts formats: in one instruction if the engine does it, else over formats that lose nothing, or for bools by what
// they mean. Integers wrap, which only a direct conversion does.
func (e *eval) cast(o *ir.Op) *local {
	a, r := o.Arg(0), o.Result(0)
	size, dims := e.size(r)
	from, to := a.Type.Format, r.Type.Format
	var src *local
	if a.DefIs(op.Constant) {
		src = e.constant(a)
		defer e.giveBack(src)
	} else {
		src = e.value(a)
	}
	e.b.What = o.Info.Name
	v := e.align(src, size)
	if from == to {
		out := e.reuse(o, r, size, dims)
		if in := to.Info(); in.HasInf && o.Attrs.Bool("saturate", false) {
			e.vec(plan.VMin, out.v, in.MaxFinite, v)
			e.vec(plan.VMax, out.v, -in.MaxFinite, out.v)
			return out
		}
		e.vec(plan.VCopy, out.v, 0, v)
		return out
	}
	out := e.allocFor(r)
	e.convert(out.v, v, dims, o.Attrs.Bool("saturate", false))
	return out
}

// convert casts one tile into another of the same sizes.
func (e *eval) convert(dst, src tile.View, dims []int64, saturate bool) {
	t := e.b.T
	one := plan.Instr{Op: plan.Vec, Fn: plan.VCast, Saturate: saturate}
	none := tile.View{}
	from, to := src.Format, dst.Format
	switch {
	case t.Casts(from, to):
		e.b.Vec(e.queue, one, dst, src, none, none)
		return
	case to == format.Bool:
		e.vec(plan.VNe, dst, 0, src)
		return
	case from == format.Bool:
		yes := e.number(to, 1, len(dst.Size))
		e.vec(plan.VSelect, dst, 0, src, stretch(yes.v, dst.Size))
		e.giveBack(yes)
		return
	}
	// Formats in between must hold every value of the one or, if it is only the last step that rounds or saturates, of the other.
	way := t.CastRoute(from, to, func(f format.Format) bool {
		if from.IsInt() && to.IsInt() && !holds(to, from) { // wraps
			return f.IsInt() && f.Bits() >= to.Bits()
		}
		return holds(f, from)
	})
	if way == nil {
		e.b.Vec(e.queue, one, dst, src, none, none) // which says what is missing
		return
	}
	var prev *local
	for i, f := range way {
		next := dst
		var l *local
		if i < len(way)-1 {
			l = e.alloc("wide", f, dims, dst.Size, 1)
			next = l.v
		}
		e.b.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast, Saturate: saturate && i == len(way)-1}, next, src, none, none)
		e.giveBack(prev)
		src, prev = next, l
	}
}

// holds reports whether format f represents every value of g exactly.
func holds(f, g format.Format) bool {
	if f == g {
		return true
	}
	switch {
	case g == format.Bool:
		return true
	case f == format.Bool:
		return false
	case f.IsFloat() && g.IsFloat():
		a, b := f.Info(), g.Info()
		return (a.HasInf || !b.HasInf) && a.ManBits >= b.ManBits && a.MaxFinite >= b.MaxFinite && a.MinSubnormal <= b.MinSubnormal
	case f.IsFloat():
		bits := g.Bits()
		if g.IsSigned() {
			bits--
		}
		return f.Info().ManBits+1 >= bits && f.Info().MaxFinite >= float64(g.MaxUint())
	case g.IsFloat():
		return false
	case f.IsSigned():
		return f.Bits() > g.Bits() || g.IsSigned() && f.Bits() == g.Bits()
	}
	return !g.IsSigned() && f.Bits() >= g.Bits()
}

// dense copies a tile so that its elements stand in row-major order.
func (e *eval) dense(l *local, f format.Format) *local {
	out := e.alloc("dense", f, l.dims, l.v.Size, 1)
	e.vec(plan.VCopy, out.v, 0, l.v)
	return out
}

// moved resolves a movement op as another view of the operand's tile, copying first if strides do not suffice.
func (e *eval) moved(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	a := e.value(x)
	e.b.What = o.Info.Name
	size, dims := e.size(r)
	w := a.v
	w.Size, w.Stride = append([]plan.Val{}, a.v.Size...), append([]int64{}, a.v.Stride...)
	switch o.Info {
	case op.Broadcast:
		return e.share(a, e.align(a, size), dims)
	case op.Slice:
		ax := axisOf(o.Attrs.Int("axis", 0), len(x.Type.Shape))
		d, _ := o.Attrs.Dim("start")
		start, _ := d.Value()
		w = w.Slice(ax, plan.C(start), size[ax])
		w.Stride[ax] *= o.Attrs.Int("stride", 1)
		return e.share(a, w, dims)
	case op.Window:
		ax := axisOf(o.Attrs.Int("axis", 0), len(x.Type.Shape))
		step := a.v.Stride[ax]
		w.Size = append([]plan.Val{}, size...)
		w.Stride = append(append([]int64{}, a.v.Stride[:ax]...), step*o.Attrs.Int("stride", 1), step*o.Attrs.Int("dilation", 1))
		w.Stride = append(w.Stride, a.v.Stride[ax+1:]...)
		return e.share(a, w, dims)
	case op.Transpose:
		for i, s := range o.Attrs.Ints("perm") {
			w.Size[i], w.Stride[i] = a.v.Size[s], a.v.Stride[s]
		}
		return e.share(a, w, dims)
	case op.Reverse:
		for _, s := range o.Attrs.Ints("axes") {
			w = backwards(w, axisOf(s, len(x.Type.Shape)))
		}
		return e.share(a, w, dims)
	}
	// Reshape: by strides if they allow it. Of a run of axes that is regrouped only the first is cut, so largest sizes decide.
	for try := 0; ; try++ {
		if a.v.Format.Bits() < 8 {
			e.b.Fail("%s of a tile of %s: %w", o.Info.Name, a.v.Format, errApart)
			return e.allocFor(r)
		}
		if w, ok := (view.View{Size: a.dims, Stride: a.v.Stride}).Reshape(dims); ok {
			u := a.v
			u.Size, u.Stride = size, w.Stride
			if try > 0 {
				return &local{v: u, dims: dims, buf: a.buf}
			}
			return e.share(a, u, dims)
		}
		a = e.dense(a, x.Type.Format)
	}
}

// backwards steps through one axis from its end.
func backwards(v tile.View, ax int) tile.View {
	v.Base = v.Base.Add(v.Size[ax].AddC(-1).Scale(v.Stride[ax]))
	v.Stride = append([]int64{}, v.Stride...)
	v.Stride[ax] = -v.Stride[ax]
	return v
}

// lastView moves one tile axis to the end and, for ops that work along the last axis only, leaves the rest as rows.
func lastView(v tile.View, ax int) tile.View {
	w := v
	w.Size, w.Stride = nil, nil
	for i := range v.Size {
		if i != ax {
			w.Size, w.Stride = append(w.Size, v.Size[i]), append(w.Stride, v.Stride[i])
		}
	}
	w.Size, w.Stride = append(w.Size, v.Size[ax]), append(w.Stride, v.Stride[ax])
	return w
}

func (e *eval) concat(o *ir.Op) *local {
	r := o.Result(0)
	out := e.allocFor(r)
	ax := axisOf(o.Attrs.Int("axis", 0), len(r.Type.Shape))
	at := int64(0)
	for i := 0; i < o.NumArgs(); i++ {
		a := o.Arg(i)
		n := shapeOf(a)[axisOf(o.Attrs.Int("axis", 0), len(a.Type.Shape))]
		if n == 0 {
			continue
		}
		dst := out.v.Slice(ax, plan.C(at), plan.C(n))
		x := e.value(a)
		e.b.What = o.Info.Name
		e.vec(plan.VCopy, dst, 0, e.align(x, dst.Size))
		at += n
	}
	return out
}

func (e *eval) pad(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	size, _ := e.size(r)
	out := e.allocFor(r)
	if c, ok := scalar(o.Arg(1)); ok {
		e.vec(plan.VCopy, out.v, c)
	} else {
		e.vec(plan.VCopy, out.v, 0, e.align(e.value(o.Arg(1)), size))
	}
	if numel(shapeOf(x)) == 0 {
		return out
	}
	a := e.value(x)
	e.b.What = o.Info.Name
	dst := out.v
	for i, lo := range o.Attrs.Ints("low") {
		if e.coord(r, i).class < 0 {
			dst = dst.Slice(i, plan.C(lo), a.v.Size[i])
		}
	}
	e.vec(plan.VCopy, dst, 0, a.v)
	return out
}
