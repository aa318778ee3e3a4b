package passes

import (
	"strings"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
)

var absorbInfo = &Info{
	Name: "absorb",
	Doc: "Reassociates products with what a weight was multiplied into, where that takes fewer operations at the sizes given. It is MLA's weight absorption " +
		"(DeepSeek-V2, arXiv 2405.04434, section 2.1.2): where few queries meet a long cache of latents, queries are brought into the latent space and results out of it, instead of every cached latent into keys and values.",
	Rules: rewrite.Set{absorbIntoQueries, absorbIntoResults},
	run:   func(p *Pass) error { return p.rewrite(p.Info.Rules, nil) },
}

var (
	absorbIntoQueries = &rewrite.Rule{
		Name: "AbsorbIntoQueries", Doc: "q·(c·W) becomes (q·W)·c if that takes fewer operations; W comes from a weight, q and c do not.", Roots: []*op.Info{op.Einsum},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool { return absorb(r, o, true) },
	}
	absorbIntoResults = &rewrite.Rule{
		Name: "AbsorbIntoResults", Doc: "p·(c·W) becomes (p·c)·W if that takes fewer operations; W comes from a weight, p and c do not.", Roots: []*op.Info{op.Einsum},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool { return absorb(r, o, false) },
	}
)

// lifted is a value written as one einsum of c and a view of a weight.
type lifted struct {
	c, w *ir.Value
	c1   string // letters of c's axes
	w1   string // of the weight's
	out  string // of the value's
	size map[byte]int64

	views []*ir.Op // the product, then the views of it, as they are applied
}

// association is one way to reassociate a product with a lifted operand.
type association struct {
	l           *lifted
	x           *ir.Value
	theirs, mid string
	cl, wl      string
	was, would  float64
	intoX       bool // x meets the weight first
}

// absorb rewrites einsum(x, views(einsum(c, W))) if the best way to do so is the one asked for.
func absorb(r *rewrite.Rewriter, o *ir.Op, intoX bool) bool {
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	if err != nil {
		return false
	}
	var best *association
	for i := 0; i < 2; i++ {
		x := o.Arg(1 - i)
		if ownWeight(x) || !x.Type.Shape.IsConst() {
			continue
		}
		mine, theirs := e.A, e.B
		if i == 1 {
			mine, theirs = e.B, e.A
		}
		steps, u, ok := viewsOfProduct(o.Arg(i))
		if !ok {
			continue
		}
		l, ok := lift(u, steps)
		if !ok {
			continue
		}
		names, size, ok := rename(l, mine, theirs, x)
		if !ok {
			continue
		}
		cl, wl := names(l.c1), names(l.w1)
		was := products(size, cl, wl) + products(size, e.A, e.B)
		for _, into := range []bool{true, false} {
			a := &association{l: l, x: x, theirs: theirs, cl: cl, wl: wl, was: was, intoX: into}
			if into {
				a.mid, a.would = associate(size, theirs, wl, cl, e.Out)
			} else {
				a.mid, a.would = associate(size, theirs, cl, wl, e.Out)
			}
			if best == nil || a.would/a.was < best.would/best.was {
				best = a
			}
		}
	}
	if best == nil {
		return false
	}
	if best.would >= best.was {
		if intoX && best.would < 4*best.was {
			r.Remark(o, "absorbing the weight would take %.3g operations, without it takes %.3g", best.would, best.was)
		}
		return false
	}
	if best.intoX != intoX {
		return false
	}
	b := r.At(o)
	w, c := best.l.build(b), best.l.c
	first, second, f := w, c, best.x.Type.Format
	fl, sl := best.wl, best.cl
	if !intoX {
		first, second, f = c, w, o.Result(0).Type.Format
		fl, sl = best.cl, best.wl
	}
	y := b.Einsum(best.theirs+","+fl+"->"+best.mid, best.x, first, f)
	r.Replace(o, b.Einsum(best.mid+","+sl+"->"+e.Out, y, second, o.Result(0).Type.Format))
	return true
}

// ownWeight reports whether a value is a weight, cast, scaled or seen through views: one matrix, not those that indices pick.
func ownWeight(v *ir.Value) bool {
	v = through(v, op.Reshape, op.Transpose, op.Slice, op.Cast)
	return v.DefIs(op.Weight) || v.DefIs(op.Dequantize) && v.Def().Arg(0).DefIs(op.Weight)
}

// products is how many operations a product of operands with these letters takes.
func products(size map[byte]int64, a, b string) float64 {
	all := a + b
	n := 2.0
	for k := range []byte(all) {
		if strings.IndexByte(all[:k], all[k]) < 0 {
			n *= float64(size[all[k]])
		}
	}
	return n
}

// associate gives the letters that are left when x meets first, before that meets second, and the operations of both products.
func associate(size map[byte]int64, x, first, second, out string) (mid string, flops float64) {
	for _, s := range []string{x, first} {
		for i := range []byte(s) {
			if strings.IndexByte(mid, s[i]) < 0 && (strings.IndexByte(out, s[i]) >= 0 || strings.IndexByte(second, s[i]) >= 0) {
				mid += s[i : i+1]
			}
		}
	}
	return mid, products(size, x, first) + products(size, mid, second)
}

// viewsOfProduct peels reshapes and slices off a product of a weight and something else. The steps come in the order in which they are
// applied.
func viewsOfProduct(v *ir.Value) (steps []*ir.Op, u *ir.Op, ok bool) {
	for d := v.Def(); d != nil; d = d.Arg(0).Def() {
		switch {
		case d.Is(op.Reshape), d.Is(op.Slice) && d.Attrs.Int("stride", 1) == 1:
			steps = append([]*ir.Op{d}, steps...)
			continue
		case d.Is(op.Einsum):
			return steps, d, ownWeight(d.Arg(0)) != ownWeight(d.Arg(1)) && v.Type.Shape.IsConst()
		}
		return nil, nil, false
	}
	return nil, nil, false
}

// lift moves the views of a product onto its weight; false if they touch more than the weight's own axes.
func lift(u *ir.Op, steps []*ir.Op) (*lifted, bool) {
	e, err := op.ParseEinsum(u.Attrs.Str("spec", ""))
	if err != nil {
		return nil, false
	}
	l := &lifted{c: u.Arg(0), w: u.Arg(1), c1: e.A, w1: e.B, out: e.Out, size: map[byte]int64{}}
	if ownWeight(l.c) {
		l.c, l.w, l.c1, l.w1 = l.w, l.c, e.B, e.A
	}
	for i := range []byte(l.c1) {
		l.size[l.c1[i]] = dim(l.c, i)
	}
	for i := range []byte(l.w1) {
		l.size[l.w1[i]] = dim(l.w, i)
	}
	next := byte('A')
	for _, s := range steps {
		if s.Is(op.Slice) {
			ax := axis(s.Attrs.Int("axis", 0), s.Result(0).Type.Rank())
			ch := l.out[ax]
			if strings.IndexByte(l.c1, ch) >= 0 {
				return nil, false
			}
			l.size[ch] = dim(s.Result(0), ax)
			continue
		}
		// A reshape: axes pair up one to one, but for the weight's own, which may split.
		to := ints(s.Result(0))
		out := ""
		j := 0
		for i := range []byte(l.out) {
			ch := l.out[i]
			n := l.size[ch]
			if j < len(to) && to[j] == n {
				out += string(ch)
				j++
				continue
			}
			if strings.IndexByte(l.c1, ch) >= 0 {
				return nil, false
			}
			parts := ""
			k := int64(1)
			for k < n && j < len(to) && n%(k*to[j]) == 0 {
				k *= to[j]
				parts += string(next)
				l.size[next] = to[j]
				next++
				j++
			}
			if k != n || next > 'P' {
				return nil, false
			}
			out += parts
			l.w1 = strings.Replace(l.w1, string(ch), parts, 1)
		}
		if j != len(to) {
			return nil, false
		}
		l.out = out
	}
	l.views = append([]*ir.Op{u}, steps...)
	return l, true
}

// rename maps the letters of a lifted value to those of the einsum that reads it, giving fresh ones to those that it sums.
func rename(l *lifted, mine, theirs string, x *ir.Value) (names func(string) string, size map[byte]int64, ok bool) {
	if len(mine) != len(l.out) {
		return nil, nil, false
	}
	to := map[byte]byte{}
	size = map[byte]int64{}
	for i := range []byte(l.out) {
		to[l.out[i]] = mine[i]
		size[mine[i]] = l.size[l.out[i]]
	}
	for i := range []byte(theirs) {
		size[theirs[i]] = dim(x, i)
	}
	for _, s := range []string{l.c1, l.w1} {
		for i := range []byte(s) {
			if _, done := to[s[i]]; done {
				continue
			}
			ch := byte('a')
			for ; ch <= 'z'; ch++ {
				if _, used := size[ch]; !used {
					break
				}
			}
			if ch > 'z' {
				return nil, nil, false
			}
			to[s[i]] = ch
			size[ch] = l.size[s[i]]
		}
	}
	return func(s string) string {
		b := []byte(s)
		for i := range b {
			b[i] = to[b[i]]
		}
		return string(b)
	}, size, true
}

// build repeats the views on the weight.
func (l *lifted) build(b *ir.Builder) *ir.Value {
	u := l.views[0]
	e, _ := op.ParseEinsum(u.Attrs.Str("spec", ""))
	letters := e.B
	if l.w == u.Arg(0) {
		letters = e.A
	}
	out := e.Out
	w := l.w
	size := map[byte]int64{}
	for i := range []byte(letters) {
		size[letters[i]] = dim(w, i)
	}
	next := byte('A')
	for _, s := range l.views[1:] {
		if s.Is(op.Slice) {
			ax := axis(s.Attrs.Int("axis", 0), s.Result(0).Type.Rank())
			at := strings.IndexByte(letters, out[ax])
			start, _ := s.Attrs.Dim("start")
			limit, _ := s.Attrs.Dim("limit")
			w = slice(b, w, at, start, limit, 1)
			size[out[ax]] = dim(s.Result(0), ax)
			continue
		}
		to := ints(s.Result(0))
		j, all := 0, ""
		for i := range []byte(out) {
			ch := out[i]
			n, own := size[ch]
			if !own || j < len(to) && to[j] == n {
				all += string(ch)
				j++
				continue
			}
			parts := ""
			for k := int64(1); k < n; j++ {
				k *= to[j]
				parts += string(next)
				size[next] = to[j]
				next++
			}
			all += parts
			letters = strings.Replace(letters, string(ch), parts, 1)
		}
		out = all
		sh := make(shape.Shape, len(letters))
		for i := range []byte(letters) {
			sh[i] = shape.Const(size[letters[i]])
		}
		w = b.Reshape(w, sh)
	}
	return w
}
