package passes

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
)

// expertRules turn products with gathered matrices into grouped products.
var expertRules = rewrite.Set{
	{
		Name: "GroupGatheredProduct",
		Doc: "A product of rows with the matrices that their indices pick from a stack sorts the rows by matrix and multiplies group by group; the result is gathered back. " +
			"No matrix is copied, and each is read once however many rows it serves.",
		Roots: []*op.Info{op.Einsum}, Apply: groupGathered,
	},
	{
		Name:  "SinkGatherOfPlaces",
		Doc:   "An elementwise op on rows gathered back from their groups works on the sorted rows; what it gives is gathered.",
		Roots: elementwiseOps(), Apply: sinkGather,
	},
}

// groupGathered rewrites einsum(x, gather(w, ids)).
func groupGathered(r *rewrite.Rewriter, o *ir.Op) bool {
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	if err != nil {
		return false
	}
	for i := 0; i < 2; i++ {
		g := o.Arg(i).Def()
		if g == nil || !g.Is(op.Gather) || !fromWeight(g.Arg(0)) || g.Arg(0).Type.Rank() != 3 || axis(g.Attrs.Int("axis", 0), 3) != 0 {
			continue
		}
		x, xa, wa := o.Arg(1-i), e.A, e.B
		if i == 0 {
			xa, wa = e.B, e.A
		}
		ids := g.Arg(1)
		slots := ids.Type.Rank()
		if slots == 0 || !o.Result(0).Type.Shape.IsConst() || !o.Result(0).Type.Format.IsFloat() {
			continue
		}
		// Letters: those of the ids (rows, then perhaps the choice), then the matrix's two.
		idl, ml := wa[:slots], wa[slots:]
		var d, f byte // summed, and kept
		for k := range []byte(ml) {
			switch in, out := strings.IndexByte(xa, ml[k]) >= 0, strings.IndexByte(e.Out, ml[k]) >= 0; {
			case in && !out:
				d = ml[k]
			case !in && out:
				f = ml[k]
			}
		}
		if d == 0 || f == 0 {
			r.Remark(o, "an axis of the gathered matrices is neither summed nor kept")
			return false
		}
		// x has d and some of the ids' letters, nothing else; the result all of the ids' letters and f.
		own := ""
		for k := range []byte(xa) {
			if xa[k] != d {
				own += xa[k : k+1]
			}
		}
		if !strings.HasPrefix(idl, own) || len(e.Out) != slots+1 {
			r.Remark(o, "the rows have axes that the indices lack")
			return false
		}
		size := map[byte]int64{}
		for k := range []byte(xa) {
			size[xa[k]] = dim(x, k)
		}
		for k := range []byte(wa) {
			size[wa[k]] = dim(g.Result(0), k)
		}
		prod := func(s string) int64 {
			n := int64(1)
			for k := range []byte(s) {
				n *= size[s[k]]
			}
			return n
		}
		n, k := prod(own), prod(idl[len(own):])
		b := r.At(o)
		w := g.Arg(0)
		if ml[0] == d { // [E,D,F]: seen as [E,F,D]
			w = b.Op(op.Transpose, ir.A("perm", []int64{0, 2, 1}), w)
		}
		groups := dim(w, 0)
		var sorted, places, offsets *ir.Value
		if s, gr := sortedRows(x, xa, d); s != nil && sameIDs(gr.Arg(0), ids) && gr.Attrs.Int("groups", 0) == groups {
			// The rows come from the groups: they are sorted already.
			sorted, places, offsets = s, gr.Result(1), gr.Result(2)
		} else {
			gr := groupRows(r, o, ids, n, k, groups)
			if gr == nil {
				return false
			}
			places, offsets = gr.Result(1), gr.Result(2)
			b = r.At(o)
			rows := arrange(b, x, xa, []string{own, string(d)}, size)
			sorted = b.Op(op.Gather, nil, rows, gr.Result(0))
		}
		attrs := ir.A()
		if f := o.Result(0).Type.Format; f != sorted.Type.Format {
			attrs = ir.A("format", f)
		}
		y := b.Op(op.GroupedMatmul, attrs, sorted, w, offsets)
		back := b.Op(op.Gather, nil, y, places) // [n, k, F]
		var full shape.Shape
		for c := range []byte(idl) {
			full = append(full, shape.Const(size[idl[c]]))
		}
		back = b.Reshape(back, append(full, shape.Const(size[f])))
		perm := make([]int64, len(e.Out))
		for c := range []byte(e.Out) {
			perm[c] = int64(strings.IndexByte(idl+string(f), e.Out[c]))
		}
		if !isIdentityPerm(perm) {
			back = b.Op(op.Transpose, ir.A("perm", perm), back)
		}
		r.Replace(o, back)
		return true
	}
	return false
}

// groupRows gives the op that sorts ids [n,k] by group, one for all products with these indices: it stands right behind the indices.
func groupRows(r *rewrite.Rewriter, o *ir.Op, ids *ir.Value, n, k, groups int64) *ir.Op {
	is := func(u *ir.Op) bool {
		return u.Is(op.GroupRows) && u.Attrs.Int("groups", 0) == groups && dim(u.Arg(0), 0) == n && dim(u.Arg(0), 1) == k
	}
	for _, u := range ids.Users() {
		if is(u) {
			return u
		}
		if u.Is(op.Reshape) || u.Is(op.Cast) {
			for _, w := range u.Result(0).Users() {
				if is(w) {
					return w
				}
			}
		}
	}
	b := &ir.Builder{Block: o.Block(), Before: o.Block().First(), Pos: o.Pos}
	if d := ids.Def(); d != nil {
		b.Before = d.Next()
	}
	gr := b.Create(op.GroupRows, ir.A("groups", groups), b.Reshape(b.Cast(ids, format.I32), shape.Of(n, k)))
	if b.Err == nil {
		r.Push(gr)
	}
	return gr
}

// sortedRows finds that x's rows were gathered back from groups: it returns the sorted rows and the op that sorted them.
func sortedRows(x *ir.Value, letters string, d byte) (*ir.Value, *ir.Op) {
	if letters[len(letters)-1] != d {
		return nil, nil
	}
	g := through(x, op.Reshape).Def()
	if g == nil || !g.Is(op.Gather) || g.Attrs.Int("axis", 0) != 0 || g.Arg(0).Type.Rank() != 2 || g.Result(0).Type.Rank() != 3 {
		return nil, nil
	}
	if dim(g.Result(0), 2) != dim(x, x.Type.Rank()-1) {
		return nil, nil
	}
	gr := g.Arg(1).Def()
	if gr == nil || !gr.Is(op.GroupRows) || g.Arg(1) != gr.Result(1) {
		return nil, nil
	}
	return g.Arg(0), gr
}

// sameIDs reports whether two index tensors hold the same numbers in the same order.
func sameIDs(a, b *ir.Value) bool {
	return through(a, op.Reshape, op.Cast) == through(b, op.Reshape, op.Cast) && count(a) == count(b)
}

// sinkGather rewrites f(gather(a, places), gather(b, places)) to gather(f(a, b), places).
func sinkGather(r *rewrite.Rewriter, o *ir.Op) bool {
	var places *ir.Value
	args := make([]*ir.Value, o.NumArgs())
	for i := range args {
		a := o.Arg(i)
		if _, ok := constant(a); ok {
			args[i] = a
			continue
		}
		g := a.Def()
		if g == nil || !g.Is(op.Gather) || g.Attrs.Int("axis", 0) != 0 || !sameShape(a, o.Result(0)) {
			return false
		}
		gr := g.Arg(1).Def()
		if gr == nil || !gr.Is(op.GroupRows) || g.Arg(1) != gr.Result(1) || places != nil && places != g.Arg(1) {
			return false
		}
		places, args[i] = g.Arg(1), g.Arg(0)
	}
	if places == nil {
		return false
	}
	b := r.At(o)
	r.Replace(o, b.Op(op.Gather, nil, b.Op(o.Info, o.Attrs, args...), places))
	return true
}
