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

// attentionKernel compiles a kernel around one attention op. It accepts:
//
//   - operands that are views of buffers, or computed from buffers element by element (a rotary position, a cast);
//   - all options of the op: grouped heads, a second part of the score, positions, masks, softcap;
//   - results that are the op's, or computed from it element by element, moved, concatenated, or written by an update;
//   - beside that, results that are only moved or computed from buffers, as in a map kernel.
//
// A block computes some queries of some heads and walks the keys tile by tile with an online softmax (Milakov and
// Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135): scores never leave the core, but for a chip whose matrix and vector units
// have no other way to each other. Where too few blocks would be left to use the cores, the keys are cut in parts, each a block of its
// own, and a second launch joins them. It is exact but for rounding: nothing is skipped that is visible.
func attentionKernel(j *job) error {
	o := only(j, op.Attention)
	if o == nil {
		return fmt.Errorf("kernel %s has no attention", j.name())
	}
	y := o.Result(0)
	fixed := map[*ir.Value]bool{y: true}
	a := &attention{j: j, o: o, y: y, q: o.Arg(0), k: o.Arg(1), v: o.Arg(2)}
	var before, beside []sink
	for i := range j.results {
		first, list := j.sinks(i)
		before = append(before, first...)
		for _, s := range list {
			if s.v != nil && j.needs(s.v, fixed) {
				a.sinks = append(a.sinks, s)
			} else {
				beside = append(beside, s)
			}
		}
	}
	if len(before) > 0 {
		if err := j.mapSinks(before, 0); err != nil {
			return err
		}
	}
	if len(beside) > 0 { // first, since the attention may overwrite what they read
		if err := j.mapSinks(beside, 0); err != nil {
			return err
		}
	}
	if len(a.sinks) == 0 {
		return nil
	}
	var err error
	if a.space, err = newSpace(sinkValues(a.sinks), fixed); err != nil {
		return fmt.Errorf("kernel %s: %w", j.name(), err)
	}
	if err := a.operands(); err != nil {
		return fmt.Errorf("kernel %s: %w", j.name(), err)
	}
	return j.fit(a.compile)
}

// attention is one attention kernel being built.
type attention struct {
	j     *job
	b     *build
	o     *ir.Op
	y     *ir.Value
	sinks []sink
	space *space

	q, k, v   *ir.Value
	q2, k2    *ir.Value // second part of the score, or nil
	pos, mask *ir.Value
	joined    bool // values are the keys themselves: one tile serves both

	nb, t, h, g, s, d, d2, e int64 // sizes: batch, queries, heads, groups, keys, widths
	qk, pv                   *chip.Engine
	qkRate, pvRate           *chip.MatrixRate
	vm, vq                   int  // vector memory and queue
	inPlace                  bool // the second product adds up in the vector memory

	attTiling

	bi, hi, ti plan.Val // where the block begins: batch, head, query
	tn         plan.Val // queries in the block
	rows       plan.Val // heads times queries
	first      plan.Val // position of query 0 of the batch
	split      plan.Val // which part of the keys
}

// operands sorts out the op's operands and finds engines for both products.
func (a *attention) operands() error {
	o, t := a.o, a.j.t
	arg := func(name string) *ir.Value {
		if i := op.AttentionOperand(o.Attrs, name); i >= 0 {
			return o.Arg(i)
		}
		return nil
	}
	a.q2, a.k2, a.pos, a.mask = arg("q2"), arg("k2"), arg("pos"), arg("mask")
	qs, ks := shapeOf(a.q), shapeOf(a.k)
	a.nb, a.t, a.h, a.d = qs[0], qs[1], qs[2], qs[3]
	a.s, a.g, a.e = ks[1], ks[2], shapeOf(a.v)[3]
	if a.q2 != nil {
		a.d2 = shapeOf(a.q2)[3]
	}
	a.joined = a.v == a.k || sameLeaf(a.v, a.k)
	var ok1, ok2 bool
	a.qk, a.qkRate, ok1 = t.Chip.Matrix(a.q.Type.Format, a.k.Type.Format)
	a.pv, a.pvRate, ok2 = t.Chip.Matrix(a.v.Type.Format, a.v.Type.Format)
	switch {
	case !ok1:
		return fmt.Errorf("attention: %s multiplies no %s by %s", t.Chip.Name, a.q.Type.Format, a.k.Type.Format)
	case !ok2:
		return fmt.Errorf("attention: %s multiplies no %s by %s", t.Chip.Name, a.v.Type.Format, a.v.Type.Format)
	case a.q2 != nil && (a.q2.Type.Format != a.q.Type.Format || a.k2.Type.Format != a.k.Type.Format):
		return fmt.Errorf("attention: both parts of the score must have the same formats")
	case !a.q.Type.Format.IsFloat():
		return fmt.Errorf("attention of %s: cast it to a float first", a.q.Type.Format)
	}
	var err error
	a.vm, a.vq, err = t.VectorMem(vecFormat)
	a.inPlace = t.Mem(a.pv.Acc) == a.vm && a.pvRate.Acc == format.F32
	return err
}

// sameLeaf reports whether two values are the same view of the same buffer.
func sameLeaf(v, w *ir.Value) bool {
	if !isLeaf(v) || !isLeaf(w) {
		return false
	}
	a, _ := view.Of(v)
	b, _ := view.Of(w)
	return a.Source == b.Source && a.Offset == b.Offset && equalInts(a.Size, b.Size) && equalInts(a.Stride, b.Stride)
}

// compile adds the launches.
func (a *attention) compile(tight float64) error {
	t, ok := a.size(tight)
	if !ok {
		return errTight
	}
	a.attTiling = t
	if err := a.j.settled(t.heads, t.tt, t.st, t.et, t.kt, t.slots, t.splits); err != nil {
		return err
	}
	a.b = a.j.begin()
	a.b.What = a.o.Info.Name
	b := a.b
	tTiles, hTiles := ceilDiv(a.t, a.tt), a.h/a.heads
	total := tTiles * hTiles * a.nb * a.splits
	d := newDigits(b.K, b.Block(), total)
	a.ti = d.next(tTiles).Scale(a.tt)
	a.hi = d.next(hTiles).Scale(a.heads)
	a.split = d.next(a.splits)
	a.bi = d.next(a.nb)
	a.tn = b.Rest(a.tt, plan.C(a.t), a.ti)
	a.rows = a.tn.Scale(a.heads)
	a.first = plan.C(0)
	if a.pos != nil {
		a.first = a.position()
	}
	if a.splits == 1 {
		sum, acc := a.walk()
		a.finish(sum, acc)
		return b.end(total, a.j.flops())
	}
	return a.parts(total)
}

// position loads where query 0 of the batch stands.
func (a *attention) position() plan.Val {
	assume := plan.Assume{Index: plan.C(max(a.s-a.t, 0)), Mul: 1, Div: 1, Why: "the state is filled up to its last place"}
	return a.b.integer(a.pos, a.bi, assume)
}

// keys is the range of keys that the block walks: those that some query of it sees, and of those its part.
func (a *attention) keys() (from, n plan.Val) {
	b := a.b
	end := plan.C(a.s)
	if a.o.Attrs.Bool("causal", false) {
		end = b.Max(b.Min(plan.C(a.s), a.first.Add(a.ti).Add(a.tn)), plan.C(0))
	}
	if a.splits == 1 {
		return plan.C(0), end
	}
	// Each part has as many tiles, of the keys that there are.
	size := b.CeilDiv(b.CeilDiv(end, a.st), a.splits).Scale(a.st)
	from = b.Set(plan.VMul, a.split, size)
	return from, b.Max(b.Min(size, end.Add(from.Scale(-1))), plan.C(0))
}

func (a *attention) vec(fn plan.Fn, dst tile.View, imm float64, src ...tile.View) {
	var s [3]tile.View
	copy(s[:], src)
	a.b.Vec(a.vq, plan.Instr{Op: plan.Vec, Fn: fn, Imm: imm}, dst, s[0], s[1], s[2])
}

// buf is a tile of the vector memory with heads·tt rows, seen as [heads, tn, n].
func (a *attention) buf(name string, f format.Format, n int64, cols plan.Val) tile.View {
	return a.b.New(name, a.vm, f, []int64{a.heads, a.tt, n}, []plan.Val{plan.C(a.heads), a.tn, cols}, 1)
}

// folded sees a product [rows, n] as [heads, tn, n].
func (a *attention) folded(v tile.View) tile.View {
	w := v
	w.Size = []plan.Val{plan.C(a.heads), a.tn, v.Size[1]}
	w.Stride = []int64{a.tt * v.Stride[0], v.Stride[0], v.Stride[1]}
	return w
}

// flat sees a [heads, tn, n] tile as the [rows, n] of a product: tn is ragged only when there is one head, so the rows are dense.
func (a *attention) flat(v tile.View) tile.View {
	w := v
	w.Size, w.Stride = []plan.Val{a.rows, v.Size[2]}, []int64{v.Stride[1], v.Stride[2]}
	return w
}

// queries loads the block's queries as [rows, width].
func (a *attention) queries(v *ir.Value, width int64) tile.View {
	rows := []axisPart{{2, extent{a.hi, plan.C(a.heads), a.heads}}, {1, extent{a.ti, a.tn, a.tt}}}
	batch := []axisPart{{0, extent{a.bi, plan.C(1), 1}}}
	return a.b.operand(v, rows, batch, []axisPart{{3, extent{plan.C(0), plan.C(width), width}}}, a.qk.A, 1)
}

// tileOf loads a tile of keys or values as [keys, width].
func (a *attention) tileOf(v *ir.Value, s extent, mem string) tile.View {
	shape := shapeOf(v)
	g := plan.C(0)
	if groups := shape[2]; groups > 1 {
		g = a.b.Div(a.hi, a.h/groups)
	}
	batch := []axisPart{{0, extent{a.bi, plan.C(1), 1}}, {2, extent{g, plan.C(1), 1}}}
	return a.b.operand(v, []axisPart{{1, s}}, batch, []axisPart{{3, extent{plan.C(0), plan.C(shape[3]), shape[3]}}}, mem, a.slots)
}

// near brings a part of a tile to the memory that an engine reads.
func (a *attention) near(v tile.View, mem string, dims ...int64) tile.View {
	m := a.b.T.Mem(mem)
	if v.Mem() == m {
		return v
	}
	return a.b.Transfer(v, m, dims, a.slots, tile.View{})
}

// walk goes through the keys and leaves the sum of the weights and the weighted sum of the values, both as yet undivided, and the
// maximum that they are relative to in a.max.
func (a *attention) walk() (sum, acc tile.View) {
	b := a.b
	m := a.heads * a.tt
	queries := []tile.View{a.queries(a.q, a.d)}
	if a.q2 != nil {
		queries = append(queries, a.queries(a.q2, a.d2))
	}
	a.max = a.buf("max", format.F32, 1, plan.C(1))
	sum = a.buf("sum", format.F32, 1, plan.C(1))
	next, alpha := a.buf("next", format.F32, 1, plan.C(1)), a.buf("alpha", format.F32, 1, plan.C(1))
	acc = a.buf("o", format.F32, a.e, plan.C(a.e))
	a.vec(plan.VCopy, a.max, lowest)
	a.vec(plan.VCopy, sum, 0)
	a.vec(plan.VCopy, acc, 0)

	scale := a.o.Attrs.Float("scale", 1)
	softcap := a.o.Attrs.Float("softcap", 0)
	from, n := a.keys()
	b.TilesAhead(n, a.st, func(s0, sn plan.Val) {
		s := extent{from.Add(s0), sn, a.st}
		scores := b.New("scores", b.T.Mem(a.qk.Acc), a.qkRate.Acc, []int64{m, a.st}, []plan.Val{a.rows, sn}, a.scoreSlots)
		var values tile.View
		b.Ahead(func() {
			keys := []tile.View{a.tileOf(a.k, s, a.qk.B)}
			if a.k2 != nil {
				keys = append(keys, a.tileOf(a.k2, s, a.qk.B))
			}
			if a.joined {
				values = keys[0]
			} else {
				values = a.tileOf(a.v, s, a.pv.B)
			}
			for i, q := range queries {
				width := []int64{a.d, a.d2}[i]
				b.Tiles(plan.C(width), min(a.kt, width), func(c, cn plan.Val) {
					left := a.near(q.Slice(1, c, cn), a.qk.A, m, a.kt)
					right := a.near(keys[i].Slice(1, c, cn), a.qk.B, a.st, a.kt)
					b.Mma(a.qk.Name, scores, left, flip(right), c.AddC(int64(i)))
				})
			}
		})
		sc := scores
		if sc.Mem() != a.vm {
			sc = b.Transfer(sc, a.vm, []int64{m, a.st}, 1, tile.View{})
		}
		x := a.folded(sc)
		if x.Format != format.F32 {
			y := a.buf("scores32", format.F32, a.st, sn)
			a.vec(plan.VCast, y, 0, x)
			x = y
		}
		// Scores stay unscaled as long as they can: the scale then joins the exponential's argument.
		late := scale
		if softcap > 0 || a.mask != nil && a.mask.Type.Format != format.Bool || !(scale > 0) {
			a.vec(plan.VMul, x, scale, x)
			late = 1
		}
		if softcap > 0 {
			a.vec(plan.VDiv, x, softcap, x)
			a.vec(plan.VTanh, x, 0, x)
			a.vec(plan.VMul, x, softcap, x)
		}
		a.hide(x, s)
		b.Vec(a.vq, plan.Instr{Op: plan.VReduce, Fn: plan.VMax}, next, x, tile.View{}, tile.View{})
		if late != 1 {
			a.vec(plan.VMul, next, late, next)
		}
		a.vec(plan.VMax, next, 0, next, a.max)
		a.vec(plan.VSub, alpha, 0, a.max, next)
		a.vec(plan.VExp, alpha, 0, alpha)
		a.vec(plan.VCopy, a.max, 0, next)
		a.vec(plan.VNeg, next, 0, next)
		a.vec(plan.VFma, x, late, x, tile.View{}, stretch(next, x.Size))
		a.vec(plan.VExp, x, 0, x)
		a.vec(plan.VMul, sum, 0, sum, alpha)
		b.Vec(a.vq, plan.Instr{Op: plan.VReduce, Fn: plan.VAdd, Acc: plan.C(1)}, sum, x, tile.View{}, tile.View{})
		// The weights as the left operand of the second product.
		p := x
		if f := a.v.Type.Format; f != format.F32 {
			p = a.buf("p", f, a.st, sn)
			a.vec(plan.VCast, p, 0, x)
		}
		left := a.near(a.flat(p), a.pv.A, m, a.st)
		if a.inPlace {
			a.vec(plan.VMul, acc, 0, acc, stretch(alpha, acc.Size))
		}
		b.Tiles(plan.C(a.e), a.et, func(c, n plan.Val) {
			right := a.near(values.Slice(1, c, n), a.pv.B, a.st, a.et)
			part := acc.Slice(2, c, n)
			if a.inPlace {
				b.Mma(a.pv.Name, a.flat(part), left, right, plan.C(1))
				return
			}
			o := b.New("pv", b.T.Mem(a.pv.Acc), a.pvRate.Acc, []int64{m, a.et}, []plan.Val{a.rows, n}, 1)
			b.Mma(a.pv.Name, o, left, right, plan.C(0))
			if o.Mem() != a.vm {
				o = b.Transfer(o, a.vm, []int64{m, a.et}, 1, tile.View{})
			}
			y := a.folded(o)
			if y.Format != format.F32 {
				w := a.buf("pv32", format.F32, a.et, n)
				a.vec(plan.VCast, w, 0, y)
				y = w
			}
			a.vec(plan.VFma, part, 0, part, stretch(alpha, part.Size), y)
		})
	})
	return sum, acc
}

// lowest is what a maximum starts from: below every score, but finite, so that differences are no NaN.
const lowest = -1e30

// finish divides by the sum and hands the result on. A query that saw nothing has the sum 0 and gives 0.
func (a *attention) finish(sum, acc tile.View) {
	a.vec(plan.VMax, sum, 1e-30, sum)
	a.vec(plan.VDiv, acc, 0, acc, stretch(sum, acc.Size))
	part := []extent{{a.bi, plan.C(1), 1}, {a.ti, a.tn, a.tt}, {a.hi, plan.C(a.heads), a.heads}, {plan.C(0), plan.C(a.e), a.e}}
	// [heads, tn, e] as [1, tn, heads, e].
	w := acc
	w.Size = []plan.Val{plan.C(1), a.tn, plan.C(a.heads), plan.C(a.e)}
	w.Stride = []int64{0, acc.Stride[1], acc.Stride[0], acc.Stride[2]}
	a.emitResult(part, w)
}

// emitResult computes the sinks from a tile of the op's result in f32, with the result's axes.
func (a *attention) emitResult(part []extent, w tile.View) {
	parts, err := a.space.parts(a.b, a.y, part)
	if err != nil {
		a.b.Fail("what follows the attention: %v", err)
		return
	}
	e := a.b.newEval(a.space, parts, 1)
	dims := make([]int64, len(part))
	for i := range part {
		dims[i] = part[i].max
	}
	if f := a.y.Type.Format; f != format.F32 {
		l := e.alloc("y", f, dims, w.Size, 1)
		e.convert(l.v, w, dims, false)
		e.done[a.y] = l
	} else {
		e.bind(a.y, w, dims)
	}
	values := sinkValues(a.sinks)
	e.count(values...)
	for i := range a.sinks {
		e.store(&a.sinks[i], e.value(a.sinks[i].v))
		e.drop(a.sinks[i].v)
	}
}
