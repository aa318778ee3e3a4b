package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// extent is the part of one outer axis that a tile takes.
type extent struct {
	start plan.Val
	n     plan.Val
	max   int64 // the largest n
}

// local is a value's tile: a view with one axis for each outer coordinate (1 where the value broadcasts), then the value's inner axes.
type local struct {
	v    tile.View
	dims []int64 // the largest size of each axis, for laying out what is computed from it
	buf  *held   // what to give back when the value is dead; nil if it is not ours
}

// held counts the values that live in a buffer.
type held struct {
	buf  *tile.Buf
	refs int
}

// eval computes the values of a region tile by tile on the vector engine.
type eval struct {
	k      *tile.K
	space  *space
	part   []extent // one an outer axis
	params map[*ir.Value]int
	slots  int // of buffers that another queue fills or empties

	mem, queue int // the vector memory and its queue
	done       map[*ir.Value]*local
	uses       map[*ir.Value]int  // uses still to come
	final      map[*ir.Value]bool // values that leave the kernel: their buffers have slots
	free       []*tile.Buf
}

func newEval(k *tile.K, s *space, part []extent, params map[*ir.Value]int, slots int) (*eval, error) {
	mem, queue, err := k.T.VectorMem(format.F32)
	if err != nil {
		return nil, err
	}
	return &eval{k: k, space: s, part: part, params: params, slots: slots, mem: mem, queue: queue,
		done: map[*ir.Value]*local{}, uses: map[*ir.Value]int{}, final: map[*ir.Value]bool{}}, nil
}

// count prepares the number of uses of every value that the results need, so that buffers can be reused.
func (e *eval) count(results ...*ir.Value) {
	seen := map[*ir.Value]bool{}
	var visit func(v *ir.Value)
	visit = func(v *ir.Value) {
		e.uses[v]++
		if seen[v] || e.done[v] != nil || isLeaf(v) {
			return
		}
		seen[v] = true
		o := v.Def()
		for _, r := range o.Results() {
			seen[r] = true
		}
		for i := 0; i < o.NumArgs(); i++ {
			visit(o.Arg(i))
		}
	}
	for _, r := range results {
		visit(r)
	}
}

// bind gives a value's tile from outside. The view has the space's axes.
func (e *eval) bind(v *ir.Value, w tile.View, dims []int64) { e.done[v] = &local{v: w, dims: dims} }

// size splits a value's shape into the tile's axes: outer coordinates, then inner axes.
func (e *eval) size(v *ir.Value) (size []plan.Val, dims []int64) {
	lead := e.space.lead[v]
	shape := shapeOf(v)
	p := len(e.space.outer)
	for c := 0; c < p; c++ {
		if at(shape, c-lead) == 1 {
			size, dims = append(size, plan.C(1)), append(dims, 1)
		} else {
			size, dims = append(size, e.part[c].n), append(dims, e.part[c].max)
		}
	}
	for i, n := range shape {
		if i+lead >= p {
			size, dims = append(size, plan.C(n)), append(dims, n)
		}
	}
	return size, dims
}

// innerAxis gives the tile axis of a value's axis.
func (e *eval) innerAxis(v *ir.Value, axis int64) int {
	rank := len(v.Type.Shape)
	if axis < 0 {
		axis += int64(rank)
	}
	lead := e.space.lead[v]
	if lead >= len(e.space.outer) {
		return len(e.space.outer) + int(axis)
	}
	return int(axis) + lead
}

// alloc takes a buffer of the vector memory for a dense tile, reusing one that is free.
func (e *eval) alloc(name string, f format.Format, dims []int64, size []plan.Val, slots int) *local {
	bytes := tile.TileBytes(f, dims)
	best := -1
	if slots == 1 {
		for i, b := range e.free {
			if b.Bytes >= bytes && (best < 0 || b.Bytes < e.free[best].Bytes) {
				best = i
			}
		}
	}
	var b *tile.Buf
	if best >= 0 {
		b = e.free[best]
		e.free = append(e.free[:best], e.free[best+1:]...)
	} else {
		b = e.k.Alloc(name, e.mem, bytes, slots)
	}
	return &local{v: e.k.Dense(b, f, dims, size), dims: dims, buf: &held{b, 1}}
}

// drop says that one use of a value is over.
func (e *eval) drop(v *ir.Value) {
	e.uses[v]--
	if e.uses[v] > 0 {
		return
	}
	if l := e.done[v]; l != nil && l.buf != nil {
		e.release(l.buf)
		l.buf = nil
	}
}

func (e *eval) release(h *held) {
	h.refs--
	if h.refs == 0 && h.buf.Slots == 1 {
		e.free = append(e.free, h.buf)
	}
}

func (e *eval) share(l *local, v tile.View, dims []int64) *local {
	if l.buf != nil {
		l.buf.refs++
	}
	return &local{v: v, dims: dims, buf: l.buf}
}

// value computes a value's tile.
func (e *eval) value(v *ir.Value) *local {
	if l := e.done[v]; l != nil {
		return l
	}
	var l *local
	if isLeaf(v) {
		l = e.load(v)
	} else {
		l = e.compute(v)
	}
	e.done[v] = l
	return l
}

// leafView is the part of a parameter that a leaf's tile reads.
func (e *eval) leafView(v *ir.Value) (tile.View, []int64) {
	w, _ := view.Of(v)
	size, dims := e.size(v)
	lead := e.space.lead[v]
	p := len(e.space.outer)
	bytes := int64(v.Type.Format.Bits()) / 8
	g := tile.View{Param: e.params[w.Source], Format: v.Type.Format, Base: plan.C(w.Offset * bytes), Size: size, Stride: make([]int64, len(size))}
	for i, n := range w.Size {
		c := i + lead
		if c >= p {
			ax := e.innerAxis(v, int64(i))
			g.Stride[ax] = w.Stride[i] * bytes
			continue
		}
		if c >= 0 && n != 1 {
			g.Stride[c] = w.Stride[i] * bytes
			g.Base = g.Base.Add(e.part[c].start.Scale(w.Stride[i] * bytes))
		}
	}
	return g, dims
}

// load brings a leaf's tile in. Axes along which it repeats are loaded once.
func (e *eval) load(v *ir.Value) *local {
	g, dims := e.leafView(v)
	if v.Type.Format.Bits()%8 != 0 {
		e.k.Fail("a %s tensor cannot be addressed by element: cast it first", v.Type.Format)
		return &local{v: g, dims: dims}
	}
	once := g
	once.Size = append([]plan.Val(nil), g.Size...)
	small := append([]int64(nil), dims...)
	for i, s := range g.Stride {
		if s == 0 {
			once.Size[i], small[i] = plan.C(1), 1
		}
	}
	to := e.alloc(name(v), v.Type.Format, small, once.Size, e.slots)
	e.k.Transfer(once, e.mem, small, e.slots, to.v)
	return &local{v: stretch(to.v, g.Size), dims: dims, buf: to.buf}
}

// stretch repeats a view along axes where it has one element and more are wanted.
func stretch(v tile.View, size []plan.Val) tile.View {
	out := v
	out.Stride = append([]int64(nil), v.Stride...)
	out.Size = size
	for i := range size {
		if v.Size[i].IsConst() && v.Size[i].C == 1 && !(size[i].IsConst() && size[i].C == 1) {
			out.Stride[i] = 0
		}
	}
	return out
}

func name(v *ir.Value) string {
	if v.Name != "" {
		return v.Name
	}
	if v.Def() != nil {
		return v.Def().Info.Name
	}
	return "in"
}

// scalar gives the number of a constant scalar.
func scalar(v *ir.Value) (float64, bool) {
	if !v.DefIs(op.Constant) || len(v.Type.Shape) != 0 {
		return 0, false
	}
	t := v.Def().Attrs.Tensor("value")
	if v.Type.Format.IsFloat() {
		x, err := t.F64s()
		return x[0], err == nil
	}
	x, err := t.I64s()
	return float64(x[0]), err == nil
}

// align brings an operand's tile to the axes of a result.
func (e *eval) align(a *local, av, rv *ir.Value, size []plan.Val) tile.View {
	p := len(e.space.outer)
	n := len(size)
	innerA := len(a.v.Size) - p
	innerR := n - p
	v := a.v
	v.Size = append(append([]plan.Val(nil), a.v.Size[:p]...), make([]plan.Val, innerR)...)
	v.Stride = append(append([]int64(nil), a.v.Stride[:p]...), make([]int64, innerR)...)
	for i := 0; i < innerR; i++ {
		j := i - (innerR - innerA)
		if j < 0 {
			v.Size[p+i] = plan.C(1)
			continue
		}
		v.Size[p+i], v.Stride[p+i] = a.v.Size[p+j], a.v.Stride[p+j]
	}
	return stretch(v, size)
}

// fill makes a tile of one number that broadcasts everywhere.
func (e *eval) fill(f format.Format, x float64, axes int) *local {
	dims := make([]int64, axes)
	for i := range dims {
		dims[i] = 1
	}
	l := e.alloc("const", f, dims, tile.Consts(dims...), 1)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Imm: x}, l.v, tile.View{}, tile.View{}, tile.View{})
	return l
}

var vecFns = map[*op.Info]plan.Fn{
	op.Neg: plan.VNeg, op.Abs: plan.VAbs, op.Sign: plan.VSign, op.Exp: plan.VExp, op.Log: plan.VLog, op.Sqrt: plan.VSqrt, op.Rsqrt: plan.VRsqrt,
	op.Reciprocal: plan.VReciprocal, op.Sin: plan.VSin, op.Cos: plan.VCos, op.Tanh: plan.VTanh, op.Sigmoid: plan.VSigmoid, op.Erf: plan.VErf,
	op.Floor: plan.VFloor, op.Ceil: plan.VCeil, op.Round: plan.VRound, op.Not: plan.VNot, op.Cast: plan.VCast, op.Bitcast: plan.VBitcast,
	op.Add: plan.VAdd, op.Sub: plan.VSub, op.Mul: plan.VMul, op.Div: plan.VDiv, op.Rem: plan.VRem, op.Pow: plan.VPow, op.Max: plan.VMax, op.Min: plan.VMin,
	op.And: plan.VAnd, op.Or: plan.VOr, op.Xor: plan.VXor, op.Shl: plan.VShl, op.Shr: plan.VShr,
	op.Eq: plan.VEq, op.Ne: plan.VNe, op.Lt: plan.VLt, op.Le: plan.VLe, op.Gt: plan.VGt, op.Ge: plan.VGe, op.Select: plan.VSelect,
}

// compute emits the instructions of one op.
func (e *eval) compute(v *ir.Value) *local {
	o := v.Def()
	if at := e.k.Pos; o.Pos.Line > 0 { // instructions know the op they come from, not only the kernel
		e.k.Pos = plan.Pos{File: o.Pos.File, Line: o.Pos.Line, Col: o.Pos.Col}
		defer func() { e.k.Pos = at }()
	}
	var out *local
	switch {
	case o.Info.Class == op.Elementwise:
		out = e.elementwise(o)
	case view.Is(o):
		out = e.moved(o)
	default:
		out = e.special(o, v)
	}
	for i := 0; i < o.NumArgs(); i++ {
		e.drop(o.Arg(i))
	}
	return out
}

func (e *eval) elementwise(o *ir.Op) *local {
	r := o.Result(0)
	size, dims := e.size(r)
	i := plan.Instr{Op: plan.Vec, Fn: vecFns[o.Info], Saturate: o.Attrs.Bool("saturate", false)}
	ops := make([]tile.View, 3)
	imm := false
	var temps []*local
	for n := 0; n < o.NumArgs(); n++ {
		a := o.Arg(n)
		if x, ok := scalar(a); ok && a.Type.Format.Bits() <= 32 {
			if !imm && o.NumArgs() > 1 {
				i.Imm, imm = x, true
				continue
			}
			t := e.fill(a.Type.Format, x, len(size))
			temps = append(temps, t)
			ops[n] = stretch(t.v, size)
			continue
		}
		ops[n] = e.align(e.value(a), a, r, size)
	}
	slots := 1
	if e.final[r] {
		slots = e.slots
	}
	out := e.alloc(name(r), r.Type.Format, dims, size, slots)
	e.k.Vec(e.queue, i, out.v, ops[0], ops[1], ops[2])
	for _, t := range temps {
		e.release(t.buf)
	}
	return out
}

// dense copies a tile so that its elements stand in row-major order.
func (e *eval) dense(l *local, f format.Format) *local {
	out := e.alloc("dense", f, l.dims, l.v.Size, 1)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, out.v, l.v, tile.View{}, tile.View{})
	return out
}

// moved resolves a movement op as another view of the operand's tile, copying first if strides do not suffice.
func (e *eval) moved(o *ir.Op) *local {
	x, r := o.Arg(0), o.Result(0)
	a := e.value(x)
	p := len(e.space.outer)
	size, dims := e.size(r)
	switch o.Info {
	case op.Broadcast:
		return e.share(a, e.align(a, x, r, size), dims)
	case op.Slice:
		ax := e.innerAxis(x, o.Attrs.Int("axis", 0))
		d, _ := o.Attrs.Dim("start")
		start, _ := d.Value()
		w := a.v.Slice(ax, plan.C(start), size[ax])
		w.Stride = append([]int64(nil), w.Stride...)
		w.Stride[ax] *= o.Attrs.Int("stride", 1)
		return e.share(a, w, dims)
	case op.Transpose:
		w := a.v
		w.Size, w.Stride = append([]plan.Val(nil), a.v.Size...), append([]int64(nil), a.v.Stride...)
		for i, s := range o.Attrs.Ints("perm") {
			to, from := e.innerAxis(r, int64(i)), e.innerAxis(x, s)
			w.Size[to], w.Stride[to] = a.v.Size[from], a.v.Stride[from]
		}
		return e.share(a, w, dims)
	case op.Reverse:
		w := a.v
		w.Stride = append([]int64(nil), a.v.Stride...)
		for _, s := range o.Attrs.Ints("axes") {
			ax := e.innerAxis(x, s)
			w.Base = w.Base.Add(w.Size[ax].AddC(-1).Scale(w.Stride[ax]))
			w.Stride[ax] = -w.Stride[ax]
		}
		return e.share(a, w, dims)
	}
	// Reshape: the outer axes stay, the inner ones are regrouped.
	for try := 0; ; try++ {
		in := view.View{Size: a.dims[p:], Stride: a.v.Stride[p:]}
		w, ok := in.Reshape(dims[p:])
		if ok {
			u := a.v
			u.Size = append(append([]plan.Val(nil), a.v.Size[:p]...), size[p:]...)
			u.Stride = append(append([]int64(nil), a.v.Stride[:p]...), w.Stride...)
			if try == 1 {
				return &local{v: u, dims: dims, buf: a.buf}
			}
			return e.share(a, u, dims)
		}
		a = e.dense(a, x.Type.Format)
	}
}

// lastView moves one tile axis to the end and, for ops that work along the last axis only, leaves the rest as rows.
func lastView(v tile.View, ax int) tile.View {
	n := len(v.Size)
	w := v
	w.Size, w.Stride = nil, nil
	for i := 0; i < n; i++ {
		if i != ax {
			w.Size, w.Stride = append(w.Size, v.Size[i]), append(w.Stride, v.Stride[i])
		}
	}
	w.Size, w.Stride = append(w.Size, v.Size[ax]), append(w.Stride, v.Stride[ax])
	return w
}
