package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// vecFormat is the format whose vector engine computes everything that is no matrix product.
const vecFormat = format.F32

// extent is the part of an axis that a tile takes.
type extent struct {
	start plan.Val
	n     plan.Val
	max   int64 // the largest n
}

// local is a value's tile: a view with the value's axes, each cut as its class of the iteration is.
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

// eval computes the values of a region tile by tile on the vector engine. A value is computed when it is first asked for, and its
// buffer is used again once its last reader is done.
type eval struct {
	b     *build
	space *space
	part  []extent // of each class of axes
	slots int      // of buffers that another queue fills or empties

	mem, queue int // the vector memory and its queue
	done       map[*ir.Value]*local
	uses       map[*ir.Value]int  // uses still to come
	final      map[*ir.Value]bool // values that leave the kernel: their buffers have slots
	free       []*tile.Buf
}

func (b *build) newEval(s *space, part []extent, slots int) *eval {
	mem, queue, err := b.T.VectorMem(vecFormat)
	if err != nil {
		b.Fail("%v", err)
	}
	return &eval{b: b, space: s, part: part, slots: slots, mem: mem, queue: queue,
		done: map[*ir.Value]*local{}, uses: map[*ir.Value]int{}, final: map[*ir.Value]bool{}}
}

// count prepares the number of uses of every value that the results need, so that buffers can be used again.
func (e *eval) count(results ...*ir.Value) {
	seen := map[*ir.Value]bool{}
	var visit func(v *ir.Value)
	visit = func(v *ir.Value) {
		e.uses[v]++
		if seen[v] || e.done[v] != nil || isLeaf(v) {
			return
		}
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

// size gives the sizes of a value's tile, and the largest ones.
func (e *eval) size(v *ir.Value) (size []plan.Val, dims []int64) {
	shape := shapeOf(v)
	size, dims = make([]plan.Val, len(shape)), make([]int64, len(shape))
	for i, n := range shape {
		size[i], dims[i] = plan.C(n), n
		if c := e.coord(v, i); c.class >= 0 {
			p := &e.part[c.class]
			size[i], dims[i] = e.divide(p.n, c.weight), ceilDiv(p.max, c.weight)
		}
	}
	return size, dims
}

// coord is where an axis is in the iteration; a value that the space does not know is whole.
func (e *eval) coord(v *ir.Value, axis int) coord {
	if at := e.space.at[v]; at != nil {
		return at[axis]
	}
	return coord{-1, 1}
}

// start is where a value's tile begins along an axis.
func (e *eval) start(v *ir.Value, axis int) plan.Val {
	c := e.coord(v, axis)
	if c.class < 0 {
		return plan.C(0)
	}
	return e.divide(e.part[c.class].start, c.weight)
}

// divide gives a multiple of w, divided by it.
func (e *eval) divide(v plan.Val, w int64) plan.Val { return e.b.divide(v, w) }

func (b *build) divide(v plan.Val, w int64) plan.Val {
	if w == 1 {
		return v
	}
	out := plan.C(v.C / w)
	for _, t := range v.Terms {
		if t.K%w != 0 || v.C%w != 0 {
			return b.Div(v, w)
		}
		out = out.Add(plan.R(t.Reg).Scale(t.K / w))
	}
	return out
}

// alloc takes a buffer of the vector memory for a dense tile, one that is free if there is one.
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
		b = e.b.Alloc(name, e.mem, bytes, slots)
	}
	return &local{v: e.b.Dense(b, f, dims, size), dims: dims, buf: &held{b, 1}}
}

// allocFor takes a buffer for the tile of a value.
func (e *eval) allocFor(v *ir.Value) *local {
	size, dims := e.size(v)
	slots := 1
	if e.final[v] {
		slots = e.slots
	}
	return e.alloc(name(v), v.Type.Format, dims, size, slots)
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

// giveBack releases a temporary.
func (e *eval) giveBack(l *local) {
	if l != nil && l.buf != nil {
		e.release(l.buf)
	}
}

// share is another view of a tile's buffer.
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

// load brings a leaf's tile in. Axes along which it repeats are loaded once.
func (e *eval) load(v *ir.Value) *local {
	w, _ := view.Of(v)
	size, dims := e.size(v)
	at, stride := plan.C(w.Offset), make([]int64, len(size))
	for i, n := range w.Size {
		if n != 1 {
			stride[i] = w.Stride[i]
			at = at.Add(e.start(v, i).Scale(w.Stride[i]))
		}
	}
	once, small := append([]plan.Val{}, size...), append([]int64{}, dims...)
	for i, s := range stride {
		if s == 0 {
			once[i], small[i] = plan.C(1), 1
		}
	}
	e.b.What = "load"
	to := e.alloc(name(v), v.Type.Format, small, once, e.slots)
	e.b.Transfer(e.b.global(e.b.in(w.Source), v.Type.Format, at, once, stride), e.mem, small, e.slots, to.v)
	return &local{v: stretch(to.v, size), dims: dims, buf: to.buf}
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

// repeats reports whether a view shows some element more than once.
func repeats(v tile.View) bool {
	for i, s := range v.Stride {
		if s == 0 && !(v.Size[i].IsConst() && v.Size[i].C == 1) {
			return true
		}
	}
	return false
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

// scalar gives the number of a constant of one element, if float64 holds it exactly.
func scalar(v *ir.Value) (float64, bool) {
	if !v.DefIs(op.Constant) || numel(shapeOf(v)) != 1 {
		return 0, false
	}
	t := v.Def().Attrs.Tensor("value")
	if v.Type.Format.IsFloat() {
		x, err := t.F64s()
		if err != nil {
			return 0, false
		}
		return x[0], true
	}
	x, err := t.I64s()
	if err != nil || x[0] > 1<<53 || x[0] < -1<<53 {
		return 0, false
	}
	return float64(x[0]), true
}

// align brings an operand's tile to the axes of a result, the last ones to the last ones.
func (e *eval) align(a *local, size []plan.Val) tile.View {
	v := a.v
	d := len(size) - len(a.v.Size)
	v.Size, v.Stride = make([]plan.Val, len(size)), make([]int64, len(size))
	for i := range size {
		v.Size[i] = plan.C(1)
		if i >= d {
			v.Size[i], v.Stride[i] = a.v.Size[i-d], a.v.Stride[i-d]
		}
	}
	return stretch(v, size)
}

// vec emits an elementwise instruction; operands that are missing take imm.
func (e *eval) vec(fn plan.Fn, dst tile.View, imm float64, src ...tile.View) {
	var s [3]tile.View
	copy(s[:], src)
	e.b.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: fn, Imm: imm}, dst, s[0], s[1], s[2])
}

// number makes a tile of one number that broadcasts everywhere.
func (e *eval) number(f format.Format, x float64, axes int) *local {
	dims := make([]int64, axes)
	for i := range dims {
		dims[i] = 1
	}
	l := e.alloc("const", f, dims, tile.Consts(dims...), 1)
	e.vec(plan.VCopy, l.v, x)
	return l
}

// compute emits the instructions of one op.
func (e *eval) compute(v *ir.Value) *local {
	o := v.Def()
	if at := e.b.Pos; o.Pos.Line > 0 { // instructions know the op they come from, not only the kernel
		e.b.Pos = plan.Pos{File: o.Pos.File, Line: o.Pos.Line, Col: o.Pos.Col}
		defer func() { e.b.Pos = at }()
	}
	e.b.What = o.Info.Name
	var out *local
	switch {
	case o.Is(op.Cast):
		out = e.cast(o)
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

// special emits the ops that are neither elementwise nor mere views.
func (e *eval) special(o *ir.Op, v *ir.Value) *local {
	switch o.Info {
	case op.Constant:
		return e.constant(v)
	case op.DimValue:
		d, _ := o.Attrs.Dim("of")
		n, _ := d.Value()
		return e.number(v.Type.Format, float64(n), 0)
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
	case op.Gather:
		return e.gather(o)
	case op.GatherElements:
		return e.gatherElements(o)
	case op.ScatterElements:
		return e.scatter(o)
	case op.Cumsum:
		return e.cumsum(o)
	case op.Quantize:
		return e.quantize(o, v)
	case op.Dequantize:
		return e.dequantize(o)
	}
	e.b.Fail("%s cannot be part of a map kernel", o.Info.Name)
	return e.allocFor(v)
}

// constant makes the tile of a constant of one element.
func (e *eval) constant(v *ir.Value) *local {
	axes := len(v.Type.Shape)
	if x, ok := scalar(v); ok {
		return e.number(v.Type.Format, x, axes)
	}
	// A 64-bit integer that no float64 holds: its halves.
	x, err := v.Def().Attrs.Tensor("value").I64s()
	if err != nil {
		e.b.Fail("%v", err)
		return e.number(v.Type.Format, 0, axes)
	}
	l := e.number(v.Type.Format, float64(x[0]>>32), axes)
	e.vec(plan.VShl, l.v, 32, l.v)
	e.vec(plan.VAdd, l.v, float64(x[0]&0xffffffff), l.v)
	return l
}

// other keeps the second result of an op that computes both at once, until its own turn; v is the one that was asked for.
func (e *eval) other(o *ir.Op, v *ir.Value, both [2]*local) *local {
	for i, l := range both {
		if res := o.Result(i); res != v {
			if e.uses[res] > 0 {
				e.done[res] = l
			} else {
				e.giveBack(l)
			}
		}
	}
	return both[v.Index()]
}
