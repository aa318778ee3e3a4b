package codegen

import (
	"fmt"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

func init() { templates["attention"] = attentionKernel }

// attention is one attention kernel being built: for a few queries of a few heads it walks the keys tile by tile with an online softmax
// (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135). Scores never leave the core.
type attention struct {
	*contraction
	o      *ir.Op
	q, kv  *ir.Value // queries, keys
	v      *ir.Value
	q2, k2 *ir.Value // second part of the score, or nil
	pos    *ir.Value
	mask   *ir.Value

	b, t, h, g, s, d, e int64
	heads               int64 // heads a block, all of one group
	tt, st, dt, et      int64 // tile sizes: queries, keys, width of keys, width of values
	resident            bool  // the queries' tiles stay for the whole walk
	qk, pv              *chip.Engine
	qkRate, pvRate      *chip.MatrixRate
	vm, vq              int // vector memory and queue

	bi, hi, ti plan.Val // where the block begins: batch, head, query
	tn         plan.Val // queries in the block
	first      plan.Val // position of query 0 of the batch
}

func attentionKernel(j *job, level int) (*compiled, error) {
	var o *ir.Op
	for p := j.region.First(); p != nil; p = p.Next() {
		if p.Is(op.Attention) {
			o = p
		}
	}
	if o == nil || len(j.results) != 1 || j.results[0] != o.Result(0) {
		return nil, fmt.Errorf("kernel %s: an attention kernel gives the result of its attention op", j.op.Attrs.Str("name", ""))
	}
	k, params, outs := j.begin()
	if empty(j) {
		return j.end(k, 1)
	}
	arg := func(name string) *ir.Value {
		if i := op.AttentionOperand(o.Attrs, name); i >= 0 {
			return o.Arg(i)
		}
		return nil
	}
	a := &attention{contraction: &contraction{j: j, k: k, params: params}, o: o, q: o.Arg(0), kv: o.Arg(1), v: o.Arg(2),
		q2: arg("q2"), k2: arg("k2"), pos: arg("pos"), mask: arg("mask")}
	qs, ks, vs := shapeOf(a.q), shapeOf(a.kv), shapeOf(a.v)
	a.b, a.t, a.h, a.d, a.s, a.g, a.e = qs[0], qs[1], qs[2], qs[3], ks[1], ks[2], vs[3]
	var ok1, ok2 bool
	a.qk, a.qkRate, ok1 = j.t.Chip.Matrix(a.q.Type.Format, a.kv.Type.Format)
	a.pv, a.pvRate, ok2 = j.t.Chip.Matrix(a.v.Type.Format, a.v.Type.Format)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%s multiplies no %s by %s", j.t.Chip.Name, a.q.Type.Format, a.kv.Type.Format)
	}
	var err error
	if a.vm, a.vq, err = j.t.VectorMem(format.F32); err != nil {
		return nil, err
	}
	if err := a.sizes(level); err != nil {
		return nil, err
	}
	return j.end(k, a.emit(outs[0]))
}

// sizes chooses the tiles; each level wants a third less.
func (a *attention) sizes(level int) error {
	a.heads = a.h / a.g
	if a.k2 != nil {
		if per := a.h / shapeOf(a.k2)[2]; per < a.heads {
			a.heads = per
			if (a.h/a.g)%per != 0 {
				a.heads = 1
			}
		}
	}
	group := a.heads
	a.heads = largestDivisor(group, 64)
	for a.heads > 16 && a.b*(a.h/a.heads)*a.t < a.j.t.Cores() && a.heads%2 == 0 {
		a.heads /= 2
	}
	a.tt = max(min(a.t, 128/a.heads), 1)
	a.st, a.dt, a.et = min(a.s, 128), min(a.d, 128), min(a.e, 128)
	a.slots, a.twoAcc = 2, false
	factor := 1.0
	for i := 0; i < level; i++ {
		factor *= 1.5
	}
	if level > 2 {
		a.slots = 1
	}
	bytes := func(v *ir.Value) int64 { return int64(v.Type.Format.Bits()) / 8 }
	width := a.d
	if a.q2 != nil {
		width += shapeOf(a.q2)[3]
	}
	fits := func(resident bool) bool {
		used := make([]float64, len(a.j.t.Memories))
		stage := func(from int, mem string, n int64) {
			for _, w := range a.j.t.Route(from, a.j.t.Mem(mem)) {
				if w != 0 {
					used[w] += float64(n)
				}
			}
		}
		m, sl := a.heads*a.tt, int64(a.slots)
		if resident {
			stage(0, a.qk.A, m*width*bytes(a.q))
		} else {
			stage(0, a.qk.A, m*a.dt*bytes(a.q)*sl*2)
		}
		stage(0, a.qk.B, a.st*a.dt*bytes(a.kv)*sl*2)
		stage(0, a.pv.B, a.st*a.et*bytes(a.v)*sl)
		stage(a.vm, a.pv.A, m*a.st*bytes(a.v)*sl)
		used[a.j.t.Mem(a.qk.Acc)] += float64(m * a.st * 4)
		used[a.j.t.Mem(a.pv.Acc)] += float64(m * a.et * 4)
		used[a.vm] += float64(m*a.st*4*4 + m*a.e*4*2 + m*a.et*4 + a.tt*a.st*5)
		for i := 1; i < len(used); i++ {
			if used[i]*factor > float64(a.j.t.Memories[i].Size)*0.95 {
				return false
			}
		}
		return true
	}
	half := func(x *int64, least int64) bool {
		if *x <= least {
			return false
		}
		*x = ceilDiv(*x, 2)
		return true
	}
	for {
		if fits(true) {
			a.resident = true
			return nil
		}
		if fits(false) && a.heads*a.tt <= 16 {
			return nil
		}
		switch {
		case half(&a.tt, 16), half(&a.st, 64), half(&a.dt, 64), half(&a.et, 64):
		case a.heads > 1 && a.heads*a.tt > 16:
			a.heads = largestDivisor(group, a.heads/2)
		case half(&a.tt, 1), half(&a.st, 8), half(&a.dt, 8), half(&a.et, 8):
		case a.heads > 1:
			a.heads = largestDivisor(group, a.heads/2)
		case fits(false):
			return nil
		default:
			return errTight
		}
	}
}

func largestDivisor(n, most int64) int64 {
	for d := min(n, max(most, 1)); d > 1; d-- {
		if n%d == 0 {
			return d
		}
	}
	return 1
}

// at is the part of an axis that is one element.
func at1(x plan.Val) extent { return extent{x, plan.C(1), 1} }

// left loads a tile of queries as [heads·tt, columns].
func (a *attention) left(v *ir.Value, col extent, slots int) tile.View {
	old := a.slots
	a.slots = slots
	defer func() { a.slots = old }()
	rows := []axisPart{{2, extent{a.hi, plan.C(a.heads), a.heads}}, {1, extent{a.ti, a.tn, a.tt}}}
	return a.operand(v, rows, []axisPart{{0, at1(a.bi)}}, []axisPart{{3, col}}, a.qk.A)
}

// right loads a tile of keys or values with s as rows or columns of the product.
func (a *attention) right(v *ir.Value, s, col extent, mem string, transposed bool) tile.View {
	groups := shapeOf(v)[2]
	g := plan.C(0)
	if groups > 1 {
		g = a.k.Div(a.hi, a.h/groups)
	}
	batch := []axisPart{{0, at1(a.bi)}, {2, at1(g)}}
	w := a.operand(v, []axisPart{{1, s}}, batch, []axisPart{{3, col}}, mem)
	if transposed { // [S,D] → [D,S]
		w.Size[0], w.Size[1] = w.Size[1], w.Size[0]
		w.Stride[0], w.Stride[1] = w.Stride[1], w.Stride[0]
	}
	return w
}

func (a *attention) vec(fn plan.Fn, dst, x, y tile.View) {
	a.k.Vec(a.vq, plan.Instr{Op: plan.Vec, Fn: fn}, dst, x, y, tile.View{})
}

func (a *attention) veci(fn plan.Fn, dst, x tile.View, imm float64) {
	a.k.Vec(a.vq, plan.Instr{Op: plan.Vec, Fn: fn, Imm: imm}, dst, x, tile.View{}, tile.View{})
}

// buf is a tile of the vector memory with heads·tt rows, seen as [heads, tn, n].
func (a *attention) buf(name string, f format.Format, n int64, cols plan.Val) tile.View {
	dims := []int64{a.heads, a.tt, n}
	return a.k.Dense(a.k.Alloc(name, a.vm, tile.TileBytes(f, dims), 1), f, dims, []plan.Val{plan.C(a.heads), a.tn, cols})
}

// flat sees a [heads, tn, n] tile as the [rows, n] of a product: tn is ragged only when there is one head, so the rows are dense.
func flat(v tile.View, rows plan.Val) tile.View {
	w := v
	w.Size = []plan.Val{rows, v.Size[2]}
	w.Stride = []int64{v.Stride[1], v.Stride[2]}
	return w
}

// emit writes the kernel and returns its grid.
func (a *attention) emit(out int) int64 {
	k := a.k
	none := tile.View{}
	// A tile of queries is cut only along t, and ragged only when one head is in the block; otherwise tt divides t.
	if a.heads > 1 {
		a.tt = largestDivisor(a.t, a.tt)
	}
	tTiles, hTiles := ceilDiv(a.t, a.tt), a.h/a.heads
	rest := k.Block()
	digit := func(n int64) plan.Val {
		if n == 1 {
			return plan.C(0)
		}
		d := k.Mod(rest, n)
		rest = k.Div(rest, n)
		return d
	}
	a.ti = digit(tTiles).Scale(a.tt)
	a.hi = digit(hTiles).Scale(a.heads)
	a.bi = digit(a.b)
	a.tn = plan.C(a.tt)
	if a.t%a.tt != 0 {
		a.tn = k.Rest(a.tt, plan.C(a.t), a.ti)
	}
	rows := a.tn.Scale(a.heads)
	a.first = plan.C(0)
	if a.pos != nil {
		a.first = a.position()
	}

	// Queries.
	type part struct {
		q, kv *ir.Value
		col   extent
		tile  tile.View
	}
	var parts []part
	split := func(q, kv *ir.Value, width int64) {
		for c := int64(0); c < width; c += a.dt {
			n := min(a.dt, width-c)
			parts = append(parts, part{q: q, kv: kv, col: extent{plan.C(c), plan.C(n), n}})
		}
	}
	split(a.q, a.kv, a.d)
	if a.q2 != nil {
		split(a.q2, a.k2, shapeOf(a.q2)[3])
	}
	if a.resident {
		for i := range parts {
			parts[i].tile = a.left(parts[i].q, parts[i].col, 1)
		}
	}
	// Running maximum, sum and result.
	big := a.buf("max", format.F32, 1, plan.C(1))
	sum := a.buf("sum", format.F32, 1, plan.C(1))
	next := a.buf("next", format.F32, 1, plan.C(1))
	alpha := a.buf("alpha", format.F32, 1, plan.C(1))
	acc := a.buf("o", format.F32, a.e, plan.C(a.e))
	a.veci(plan.VCopy, big, none, -1e30)
	a.veci(plan.VCopy, sum, none, 0)
	a.veci(plan.VCopy, acc, none, 0)

	causal := a.o.Attrs.Bool("causal", false)
	seen := plan.C(a.s)
	if causal {
		seen = k.Min(plan.C(a.s), a.first.Add(a.ti).Add(a.tn))
		seen = k.Max(seen, plan.C(0))
	}
	m := a.heads * a.tt
	k.Tiles(seen, a.st, func(s0, sn plan.Val) {
		s := extent{s0, sn, a.st}
		scores := k.Dense(k.Alloc("scores", k.T.Mem(a.qk.Acc), m*a.st*4, 1), a.qkRate.Acc, []int64{m, a.st}, []plan.Val{rows, sn})
		for i, p := range parts {
			q := p.tile
			if !a.resident {
				q = a.left(p.q, p.col, a.slots)
			}
			kt := a.right(p.kv, s, p.col, a.qk.B, true)
			k.Mma(a.qk.Name, scores, q, kt, plan.C(int64(min(i, 1))))
		}
		sc := scores
		if sc.Mem() != a.vm {
			sc = k.Transfer(sc, a.vm, []int64{m, a.st}, 1, none)
		}
		x := sc
		x.Size, x.Stride = []plan.Val{plan.C(a.heads), a.tn, sn}, []int64{a.tt * a.st * 4, a.st * 4, 4}
		if x.Format != format.F32 {
			y := a.buf("scores32", format.F32, a.st, sn)
			a.vec(plan.VCast, y, x, none)
			x = y
		}
		a.veci(plan.VMul, x, x, a.o.Attrs.Float("scale", 1))
		if c := a.o.Attrs.Float("softcap", 0); c > 0 {
			a.veci(plan.VDiv, x, x, c)
			a.vec(plan.VTanh, x, x, none)
			a.veci(plan.VMul, x, x, c)
		}
		a.hide(x, s, causal)
		// next = max(big, row maximum)
		k.Vec(a.vq, plan.Instr{Op: plan.VReduce, Fn: plan.VMax}, next, x, none, none)
		a.vec(plan.VMax, next, next, big)
		a.vec(plan.VSub, alpha, big, next)
		a.vec(plan.VExp, alpha, alpha, none)
		a.vec(plan.VCopy, big, next, none)
		a.vec(plan.VSub, x, x, stretch(big, x.Size))
		a.vec(plan.VExp, x, x, none)
		a.vec(plan.VMul, sum, sum, alpha)
		k.Vec(a.vq, plan.Instr{Op: plan.VReduce, Fn: plan.VAdd, Acc: plan.C(1)}, sum, x, none, none)
		a.vec(plan.VMul, acc, acc, stretch(alpha, acc.Size))
		// The weights as the left operand of the second product.
		p := x
		if a.v.Type.Format != format.F32 {
			p = a.buf("p", a.v.Type.Format, a.st, sn)
			a.vec(plan.VCast, p, x, none)
		}
		left := flat(p, rows)
		if left.Mem() != k.T.Mem(a.pv.A) {
			left = k.Transfer(left, k.T.Mem(a.pv.A), []int64{m, a.st}, a.slots, none)
		}
		for c := int64(0); c < a.e; c += a.et {
			n := min(a.et, a.e-c)
			vt := a.right(a.v, s, extent{plan.C(c), plan.C(n), n}, a.pv.B, false)
			o := k.Dense(k.Alloc("pv", k.T.Mem(a.pv.Acc), m*a.et*4, 1), a.pvRate.Acc, []int64{m, a.et}, []plan.Val{rows, plan.C(n)})
			k.Mma(a.pv.Name, o, left, vt, plan.C(0))
			if o.Mem() != a.vm {
				o = k.Transfer(o, a.vm, []int64{m, a.et}, 1, none)
			}
			y := o
			y.Size, y.Stride = []plan.Val{plan.C(a.heads), a.tn, plan.C(n)}, []int64{a.tt * a.et * 4, a.et * 4, 4}
			part := acc.Slice(2, plan.C(c), plan.C(n))
			a.vec(plan.VAdd, part, part, y)
		}
	})
	// A row that saw something has a sum of at least 1.
	a.veci(plan.VMax, sum, sum, 1)
	a.vec(plan.VDiv, acc, acc, stretch(sum, acc.Size))
	res := acc
	if f := a.o.Result(0).Type.Format; f != format.F32 {
		res = a.buf("y", f, a.e, plan.C(a.e))
		a.vec(plan.VCast, res, acc, none)
	}
	bytes := int64(res.Format.Bits()) / 8
	g := tile.View{Param: out, Format: res.Format, Size: res.Size,
		Stride: []int64{a.e * bytes, a.h * a.e * bytes, bytes}}
	g.Base = a.bi.Scale(a.t * a.h * a.e * bytes).Add(a.ti.Scale(a.h * a.e * bytes)).Add(a.hi.Scale(a.e * bytes))
	k.Transfer(res, 0, []int64{a.heads, a.tt, a.e}, a.slots, g)
	return tTiles * hTiles * a.b
}

// position loads where query 0 of the batch stands.
func (a *attention) position() plan.Val {
	if c, ok := scalar(a.pos); ok {
		return plan.C(int64(c))
	}
	w, ok := view.Of(a.pos)
	if !ok || w.Source.Def() != nil {
		a.k.Fail("the position of an attention must come from a buffer")
		return plan.C(0)
	}
	src := a.k.Global(a.params[w.Source], format.I32, plan.C(4*w.Offset), tile.Consts(1), []int64{4})
	if len(w.Stride) == 1 {
		src.Base = src.Base.Add(a.bi.Scale(4 * w.Stride[0]))
	}
	return a.k.LoadScalar(src, plan.Assume{Index: plan.C(max(a.s-a.t, 0)), Mul: 1, Div: 1, Why: "the state is filled up to its last place"})
}

// hide applies the masks to a tile of scores [heads, tn, sn].
func (a *attention) hide(x tile.View, s extent, causal bool) {
	k := a.k
	none := tile.View{}
	if a.mask != nil {
		a.applyMask(x, s)
	}
	if !causal {
		return
	}
	last := a.first.Add(a.ti) // what the first query of the tile sees
	// Only a tile that reaches beyond that hides anything.
	reaches := k.Set(plan.SLt, last, s.start.Add(s.n).AddC(-1))
	k.If(reaches, func() {
		key := k.Dense(k.Alloc("key", a.vm, a.st*4, 1), format.I32, []int64{1, a.st}, []plan.Val{plan.C(1), s.n})
		query := k.Dense(k.Alloc("query", a.vm, a.tt*4, 1), format.I32, []int64{a.tt, 1}, []plan.Val{a.tn, plan.C(1)})
		k.Vec(a.vq, plan.Instr{Op: plan.VIota, X: s.start, Z: plan.C(1)}, key, none, none, none)
		k.Vec(a.vq, plan.Instr{Op: plan.VIota, X: last, Y: plan.C(1)}, query, none, none, none)
		size := []plan.Val{a.tn, s.n}
		see := k.Dense(k.Alloc("see", a.vm, a.tt*a.st, 1), format.Bool, []int64{a.tt, a.st}, size)
		k.Vec(a.vq, plan.Instr{Op: plan.Vec, Fn: plan.VLe}, see, stretch(key, size), stretch(query, size), none)
		a.choose(x, see)
	})
}

// choose keeps the scores where see is true and hides the others; see lacks the axis of heads.
func (a *attention) choose(x, see tile.View) {
	w := see
	w.Size = append([]plan.Val{x.Size[0]}, see.Size...)
	w.Stride = append([]int64{0}, see.Stride...)
	a.k.Vec(a.vq, plan.Instr{Op: plan.Vec, Fn: plan.VSelect, Imm: negInf}, x, w, x, tile.View{})
}

// applyMask loads the part of the mask for a tile of scores and applies it.
func (a *attention) applyMask(x tile.View, s extent) {
	w, ok := view.Of(a.mask)
	if !ok || w.Source.Def() != nil {
		a.k.Fail("the mask of an attention must come from a buffer")
		return
	}
	f := a.mask.Type.Format
	bytes := int64(f.Bits()) / 8
	w = w.Align([]int64{a.b, a.h, a.t, a.s})
	src := tile.View{Param: a.params[w.Source], Format: f, Base: plan.C(w.Offset * bytes)}
	src.Base = src.Base.Add(a.bi.Scale(w.Stride[0] * bytes)).Add(a.hi.Scale(w.Stride[1] * bytes)).Add(a.ti.Scale(w.Stride[2] * bytes)).Add(s.start.Scale(w.Stride[3] * bytes))
	src.Size = []plan.Val{plan.C(a.heads), a.tn, s.n}
	src.Stride = []int64{w.Stride[1] * bytes, w.Stride[2] * bytes, w.Stride[3] * bytes}
	dims := []int64{a.heads, a.tt, a.st}
	m := a.k.Transfer(src, a.vm, dims, a.slots, tile.View{})
	if f == format.Bool {
		a.k.Vec(a.vq, plan.Instr{Op: plan.Vec, Fn: plan.VSelect, Imm: negInf}, x, m, x, tile.View{})
		return
	}
	if f != format.F32 {
		y := a.buf("mask", format.F32, a.st, s.n)
		a.vec(plan.VCast, y, m, tile.View{})
		m = y
	}
	a.vec(plan.VAdd, x, x, m)
}
