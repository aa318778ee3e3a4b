package passes

import (
	"math"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
)

// softmaxOf takes softmax(x) over the last axis apart: exp(x-max)/sum, with or without the maximum, with a division or a product.
// It returns x, or nil.
func softmaxOf(p *ir.Value) *ir.Value {
	p = through(p, op.Cast)
	d := p.Def()
	if d == nil {
		return nil
	}
	var e, sum *ir.Value
	switch d.Info {
	case op.Div:
		e, sum = d.Arg(0), d.Arg(1)
	case op.Mul:
		for i := 0; i < 2; i++ {
			if r := d.Arg(i).Def(); r != nil && r.Is(op.Reciprocal) {
				e, sum = d.Arg(1-i), r.Arg(0)
			}
		}
	}
	if e == nil || !e.DefIs(op.Exp) {
		return nil
	}
	over := func(v *ir.Value, kind string, x *ir.Value) bool {
		o := v.Def()
		if o != nil && (o.Is(op.Reshape) || o.Is(op.Broadcast)) { // keep=true spelled as a reshape
			o = o.Arg(0).Def()
		}
		if o == nil || !o.Is(op.Reduce) || o.Attrs.Str("kind", "") != kind || o.Arg(0) != x {
			return false
		}
		a := o.Attrs.Ints("axes")
		return len(a) == 1 && axis(a[0], x.Type.Rank()) == x.Type.Rank()-1
	}
	if !over(sum, "sum", e) {
		return nil
	}
	x := e.Def().Arg(0)
	if s := x.Def(); s != nil && s.Is(op.Sub) && over(s.Arg(1), "max", s.Arg(0)) {
		x = s.Arg(0)
	}
	return x
}

// scoreTerm is one product of queries and keys.
type scoreTerm struct {
	q, k   *ir.Value
	qa, ka string // letters of their axes
	out    string
}

// attentionMatch is a softmax attention taken apart. Axes are those of the scores.
type attentionMatch struct {
	o     *ir.Op
	v     *ir.Value
	va    string // letters of v's axes, as the product with the values names them
	pa    string // letters of the scores' axes there
	out   string
	terms []scoreTerm
	scale float64
	cap   float64
	masks []*ir.Value // bool, true is visible; all must hold
	bias  *ir.Value   // added
	sc    *ir.Value   // what the softmax is of: gives the scores' shape

	b, g, h, t, s int // axes; -1 where there is none
	causal        bool
	pos           *ir.Value
	posBase       int64
	why           string
}

func matchAttention(r *rewrite.Rewriter, o *ir.Op) bool {
	var m *attentionMatch
	for i := 0; i < 2 && m == nil; i++ {
		x := softmaxOf(o.Arg(i))
		if x == nil {
			continue
		}
		e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
		if err != nil {
			return false
		}
		m = &attentionMatch{o: o, v: o.Arg(1 - i), va: e.B, pa: e.A, out: e.Out, sc: x, scale: 1}
		if i == 1 {
			m.va, m.pa = e.A, e.B
		}
	}
	if m == nil || !m.sc.Type.Shape.IsConst() {
		return false
	}
	if !m.scores(m.sc, 0) || !m.roles() || !m.see() {
		r.Remark(o, "a softmax times a value is not attention: %s", m.why)
		return false
	}
	y := m.build(r.At(o))
	if y == nil {
		r.Remark(o, "a softmax times a value is not attention: %s", m.why)
		return false
	}
	r.Replace(o, y)
	return true
}

func (m *attentionMatch) no(why string) bool {
	m.why = why
	return false
}

// scores walks down from what the softmax is of to the products.
func (m *attentionMatch) scores(v *ir.Value, depth int) bool {
	d := v.Def()
	if d == nil || depth > 8 {
		return m.no("the scores are no product")
	}
	switch d.Info {
	case op.Cast:
		if !d.Arg(0).Type.Format.IsFloat() {
			return m.no("the scores are cast from integers")
		}
		return m.scores(d.Arg(0), depth+1)
	case op.Select:
		if m.scale != 1 || m.cap != 0 {
			return m.no("scores are scaled after the mask")
		}
		if c, ok := constant(d.Arg(2)); ok && c <= -1e4 && sameShape(d.Arg(1), v) {
			m.masks = append(m.masks, d.Arg(0))
			return m.scores(d.Arg(1), depth+1)
		}
		return m.no("a select chooses something else than between scores and a large negative number")
	case op.Mul, op.Div:
		c, ok := constant(d.Arg(1))
		if !ok {
			return m.no("scores are multiplied by something that is no literal")
		}
		if d.Is(op.Div) {
			c = 1 / c
		}
		if t := through(d.Arg(0), op.Cast).Def(); t != nil && t.Is(op.Tanh) && m.cap == 0 && m.scale == 1 {
			m.cap = c
			if s := t.Arg(0).Def(); s != nil && (s.Is(op.Mul) || s.Is(op.Div)) {
				if k, ok := constant(s.Arg(1)); ok {
					if s.Is(op.Div) {
						k = 1 / k
					}
					if math.Abs(k*c-1) < 1e-6 {
						return m.scores(s.Arg(0), depth+1)
					}
					m.scale = k * c
					return m.scores(s.Arg(0), depth+1)
				}
			}
			return m.no("the soft cap has another form")
		}
		m.scale *= c
		return m.scores(d.Arg(0), depth+1)
	case op.Add:
		for i := 0; i < 2; i++ {
			x, y := d.Arg(i), d.Arg(1-i)
			if m.product(x) && m.product(y) && sameShape(x, v) && sameShape(y, v) {
				return m.term(x) && m.term(y)
			}
		}
		for i := 0; i < 2; i++ {
			if x, y := d.Arg(i), d.Arg(1-i); sameShape(x, v) && m.leads(x) && !m.leads(y) {
				if m.scale != 1 || m.cap != 0 || m.bias != nil {
					return m.no("scores are scaled after a bias")
				}
				m.bias = y
				return m.scores(x, depth+1)
			}
		}
		return m.no("scores are a sum of other things than products and a bias")
	case op.Einsum:
		return m.term(v)
	}
	return m.no("the scores come from " + d.Info.Name)
}

// product reports whether a value is a matrix product, perhaps cast.
func (m *attentionMatch) product(v *ir.Value) bool { return through(v, op.Cast).DefIs(op.Einsum) }

// leads reports whether a value is made of products by scaling and masks.
func (m *attentionMatch) leads(v *ir.Value) bool {
	for i := 0; i < 8; i++ {
		v = through(v, op.Cast)
		d := v.Def()
		switch {
		case d == nil:
			return false
		case d.Is(op.Einsum):
			return true
		case d.Is(op.Mul), d.Is(op.Div), d.Is(op.Add):
			v = d.Arg(0)
		case d.Is(op.Select):
			v = d.Arg(1)
		default:
			return false
		}
	}
	return false
}

func (m *attentionMatch) term(v *ir.Value) bool {
	d := through(v, op.Cast).Def()
	e, err := op.ParseEinsum(d.Attrs.Str("spec", ""))
	if err != nil || len(m.terms) == 2 {
		return m.no("there are more than two products in the scores")
	}
	// Which operand holds the keys: the one with the axis that the softmax runs over.
	s := e.Out[len(e.Out)-1]
	a, b := strings.IndexByte(e.A, s) >= 0, strings.IndexByte(e.B, s) >= 0
	switch {
	case a == b:
		return m.no("queries depend on the axis that the softmax runs over")
	case b:
		m.terms = append(m.terms, scoreTerm{d.Arg(0), d.Arg(1), e.A, e.B, e.Out})
	default:
		m.terms = append(m.terms, scoreTerm{d.Arg(1), d.Arg(0), e.B, e.A, e.Out})
	}
	return true
}

// roles finds which axis of the scores is the batch, the group of heads, the head within the group, the query and the key.
func (m *attentionMatch) roles() bool {
	rank := m.sc.Type.Rank()
	m.b, m.g, m.h, m.t, m.s = -1, -1, -1, -1, rank-1
	if rank < 1 || rank > 26 {
		return m.no("the scores have no axes")
	}
	if strings.IndexByte(m.out, m.pa[m.s]) >= 0 || strings.IndexByte(m.va, m.pa[m.s]) < 0 {
		return m.no("the axis of the softmax is not summed with the values")
	}
	var keyed, queries []int
	for i := 0; i < rank-1; i++ {
		if strings.IndexByte(m.out, m.pa[i]) < 0 {
			return m.no("an axis of the weights besides that of the softmax is summed")
		}
		k := strings.IndexByte(m.va, m.pa[i]) >= 0
		for _, t := range m.terms {
			k = k || strings.IndexByte(t.ka, t.out[i]) >= 0
		}
		if k {
			keyed = append(keyed, i)
		} else {
			queries = append(queries, i)
		}
	}
	// The axis along which a mask varies with the key is that of the queries.
	varies := func(i int) bool {
		for _, v := range append(append([]*ir.Value(nil), m.masks...), m.bias) {
			if v != nil && dim(v, i-rank+v.Type.Rank()) > 1 {
				return true
			}
		}
		return false
	}
	switch {
	case len(keyed) > 2 || len(queries) > 2:
		return m.no("the scores have more axes than batch, group, head and query")
	case len(queries) == 2:
		m.h, m.t = queries[0], queries[1]
		if varies(m.h) && !varies(m.t) {
			m.h, m.t = m.t, m.h
		}
	case len(queries) == 1:
		m.t = queries[0]
	}
	switch len(keyed) {
	case 2:
		m.b, m.g = keyed[0], keyed[1]
	case 1:
		m.b = keyed[0]
	}
	return true
}

// see takes the masks apart: causal ones become a flag and a position.
func (m *attentionMatch) see() bool {
	var rest []*ir.Value
	list := m.masks
	for n := 0; len(list) > 0; n++ {
		v := list[0]
		list = list[1:]
		if d := v.Def(); d != nil && d.Is(op.And) && n < 16 {
			list = append(list, d.Arg(0), d.Arg(1))
			continue
		}
		if !m.causal && m.isCausal(v) {
			continue
		}
		rest = append(rest, v)
	}
	m.masks = rest
	if len(m.masks) > 1 || len(m.masks) == 1 && m.bias != nil {
		return m.no("there is more than one mask besides the causal one")
	}
	return true
}

// isCausal recognises key ≤ position + query.
func (m *attentionMatch) isCausal(v *ir.Value) bool {
	d := v.Def()
	for d != nil && (d.Is(op.Reshape) || d.Is(op.Broadcast)) {
		// A mask that was given axes of one element: compare below, place above.
		break
	}
	if d != nil && d.Is(op.Reshape) {
		// The comparison's operands get the same axes.
		x := d.Arg(0).Def()
		if x == nil {
			return false
		}
		return m.causalOf(x, v)
	}
	return d != nil && m.causalOf(d, v)
}

// causalOf looks at comparison d whose result, perhaps reshaped, is the mask v.
func (m *attentionMatch) causalOf(d *ir.Op, v *ir.Value) bool {
	lo, hi := 0, 1 // lo ≤ hi + less
	less := int64(0)
	switch d.Info {
	case op.Le:
	case op.Lt:
		less = -1
	case op.Ge:
		lo, hi = 1, 0
	case op.Gt:
		lo, hi, less = 1, 0, -1
	default:
		return false
	}
	r := d.Result(0).Type.Rank()
	x, ok1 := affineOf(d.Arg(lo), 0)
	y, ok2 := affineOf(d.Arg(hi), 0)
	if !ok1 || !ok2 {
		return false
	}
	z, ok := y.align(r).plus(x.align(r).times(-1)) // visible where z + less ≥ 0
	if !ok {
		return false
	}
	if d.Result(0) != v {
		if z, ok = z.reshape(d.Result(0), v); !ok {
			return false
		}
	}
	rank := m.sc.Type.Rank()
	z = z.align(rank)
	if len(z.coef) != rank || z.sym != nil && z.mul != 1 {
		return false
	}
	for i, c := range z.coef {
		switch {
		case i == m.s:
			if c != -1 && dim(m.sc, i) != 1 {
				return false
			}
		case i == m.t:
			if c != 1 && dim(m.sc, i) != 1 {
				return false
			}
		case c != 0 && dim(m.sc, i) != 1:
			return false
		}
	}
	// One key: key 0 must not count for more than its number, which is 0.
	if z.axis >= 0 && z.axis != m.b {
		return false
	}
	if z.sym != nil && !z.sym.Type.Format.IsInt() {
		return false
	}
	m.causal, m.pos, m.posBase = true, z.sym, z.base+less
	return true
}

// arrange brings a value with letters to the axes given, each a list of letters that become one axis; letters it lacks count as
// axes of one element, repeated to the size in want where that is given. It only adds views.
func arrange(b *ir.Builder, v *ir.Value, letters string, to []string, size map[byte]int64) *ir.Value {
	// Axes in the order wanted.
	var perm []int64
	var have string
	for _, group := range to {
		for i := range []byte(group) {
			if at := strings.IndexByte(letters, group[i]); at >= 0 {
				perm = append(perm, int64(at))
				have += string(group[i])
			}
		}
	}
	if len(perm) != len(letters) {
		return nil
	}
	if !isIdentityPerm(perm) {
		v = b.Op(op.Transpose, ir.A("perm", perm), v)
	}
	// Give it all axes, then repeat, then join.
	var full, wide, joined shape.Shape
	for _, group := range to {
		n := int64(1)
		for i := range []byte(group) {
			ch := group[i]
			n *= size[ch]
			wide = append(wide, shape.Const(size[ch]))
			if strings.IndexByte(have, ch) >= 0 {
				full = append(full, shape.Const(size[ch]))
			} else {
				full = append(full, one)
			}
		}
		joined = append(joined, shape.Const(n))
	}
	if !full.Equal(wide) {
		v = b.Reshape(v, full)
		v = b.Op(op.Broadcast, ir.A("shape", wide), v)
	}
	return b.Reshape(v, joined)
}

// build adds the attention op and what brings its result to the old one's axes.
func (m *attentionMatch) build(b *ir.Builder) *ir.Value {
	dims := func(i int) int64 {
		if i < 0 {
			return 1
		}
		return dim(m.sc, i)
	}
	// Roles by letters of their own: b g h t s, d for what is summed, e for the values' width.
	role := func(letters string, at func(i int) byte) func(byte) byte {
		return func(ch byte) byte {
			for i, axis := range []int{m.b, m.g, m.h, m.t, m.s} {
				if axis >= 0 && at(axis) == ch {
					return "bghts"[i]
				}
			}
			return 0
		}
	}
	size := map[byte]int64{'b': dims(m.b), 'g': dims(m.g), 'h': dims(m.h), 't': dims(m.t), 's': dims(m.s)}
	rename := func(letters string, f func(byte) byte, other byte) (string, bool) {
		out := make([]byte, len(letters))
		others := 0
		for i := range out {
			if out[i] = f(letters[i]); out[i] == 0 {
				out[i] = other
				others++
			}
		}
		return string(out), others == 1
	}
	attrs := ir.A("scale", m.scale)
	if m.causal {
		attrs = append(attrs, op.Attr{Name: "causal", Value: true})
	}
	if m.cap != 0 {
		attrs = append(attrs, op.Attr{Name: "softcap", Value: m.cap})
	}
	var args, extras []*ir.Value
	var with []string
	// The term whose keys have as many groups as the values comes first if the other does not.
	terms := m.terms
	vf := role(m.va, func(i int) byte { return m.pa[i] })
	va, ok := rename(m.va, vf, 'e')
	if !ok {
		m.no("the values have more than one axis of their own")
		return nil
	}
	grouped := func(letters string) bool { return strings.IndexByte(letters, 'g') >= 0 }
	type side struct {
		q, k   *ir.Value
		qa, ka string
	}
	var sides []side
	for _, t := range terms {
		f := role(t.out, func(i int) byte { return t.out[i] })
		qa, ok1 := rename(t.qa, f, 'd')
		ka, ok2 := rename(t.ka, f, 'd')
		if !ok1 || !ok2 || strings.IndexByte(qa, 's') >= 0 || strings.IndexByte(ka, 't') >= 0 || strings.IndexByte(ka, 'h') >= 0 {
			m.no("queries and keys share more than one summed axis")
			return nil
		}
		sides = append(sides, side{t.q, t.k, qa, ka})
	}
	if len(sides) == 2 && grouped(sides[0].ka) != grouped(va) && grouped(sides[1].ka) == grouped(va) {
		sides[0], sides[1] = sides[1], sides[0]
	}
	for i, s := range sides {
		size['d'] = dim(s.q, strings.IndexByte(s.qa, 'd'))
		q := arrange(b, s.q, s.qa, []string{"b", "t", "gh", "d"}, size)
		kg := "g"
		if i > 0 && !grouped(s.ka) {
			kg = ""
		}
		if i == 0 && !grouped(s.ka) && !grouped(va) && m.g >= 0 {
			m.no("no keys have the axis of the groups")
			return nil
		}
		k := arrange(b, s.k, s.ka, []string{"b", "s", kg, "d"}, size)
		if q == nil || k == nil {
			m.no("queries or keys have axes that the scores lack")
			return nil
		}
		if i == 0 {
			args = append(args, q, k)
		} else {
			if q.Type.Format != args[0].Type.Format {
				q = b.Cast(q, args[0].Type.Format)
			}
			extras = append(extras, q, k)
			with = append(with, "q2", "k2")
		}
	}
	size['e'] = dim(m.v, strings.IndexByte(va, 'e'))
	v := arrange(b, m.v, va, []string{"b", "s", "g", "e"}, size)
	if v == nil {
		m.no("the values have axes that the scores lack")
		return nil
	}
	args = append(args, v)
	if m.causal && (m.pos != nil || m.posBase != 0) {
		p := m.position(b, size['b'])
		if p == nil {
			m.no("the position is neither one number nor one for each sequence")
			return nil
		}
		extras, with = append(extras, p), append(with, "pos")
	}
	if mask := m.mask(); mask != nil {
		w := m.arrangeMask(b, mask, size)
		if w == nil {
			m.no("the mask has axes that do not fit")
			return nil
		}
		extras, with = append(extras, w), append(with, "mask")
	}
	if len(with) > 0 {
		attrs = append(attrs, op.Attr{Name: "with", Value: with})
	}
	y := b.Op(op.Attention, attrs, append(args, extras...)...)
	if b.Err != nil {
		return y
	}
	// [B,T,G·h,E] to the axes that the old result had.
	var axes shape.Shape
	order := "btghe"
	old := ""
	for i := range []byte(m.out) {
		ch := vf(m.out[i])
		if ch == 0 {
			ch = 'e'
		}
		old += string(ch)
	}
	kept := ""
	for i := range []byte(order) {
		if strings.IndexByte(old, order[i]) >= 0 {
			kept += string(order[i])
			axes = append(axes, shape.Const(size[order[i]]))
		}
	}
	y = b.Reshape(y, axes)
	perm := make([]int64, len(old))
	for i := range []byte(old) {
		perm[i] = int64(strings.IndexByte(kept, old[i]))
	}
	if !isIdentityPerm(perm) {
		y = b.Op(op.Transpose, ir.A("perm", perm), y)
	}
	return b.Cast(y, m.o.Result(0).Type.Format)
}

func (m *attentionMatch) mask() *ir.Value {
	if m.bias != nil {
		return m.bias
	}
	if len(m.masks) > 0 {
		return m.masks[0]
	}
	return nil
}

// position gives pos as i32 [] or [B].
func (m *attentionMatch) position(b *ir.Builder, batch int64) *ir.Value {
	if m.pos == nil {
		return b.Scalar(format.I32, float64(m.posBase))
	}
	p := m.pos
	switch n := count(p); {
	case n == 1:
		p = b.Reshape(p, shape.Shape{})
	case n == batch:
		p = b.Reshape(p, shape.Of(batch))
	default:
		return nil
	}
	p = b.Cast(p, format.I32)
	if m.posBase != 0 {
		p = b.Op(op.Add, nil, p, b.Scalar(format.I32, float64(m.posBase)))
	}
	return p
}

// arrangeMask brings a mask, whose axes stand at the scores' from the right, to what broadcasts to [B,H,T,S].
func (m *attentionMatch) arrangeMask(b *ir.Builder, v *ir.Value, size map[byte]int64) *ir.Value {
	rank := m.sc.Type.Rank()
	if v.Type.Format != format.Bool && !v.Type.Format.IsFloat() {
		return nil
	}
	// Axes of one element go, so that the rest can be named.
	letters := ""
	var s shape.Shape
	for i := 0; i < v.Type.Rank(); i++ {
		if dim(v, i) == 1 {
			continue
		}
		at := i + rank - v.Type.Rank()
		ch := byte(0)
		for k, a := range []int{m.b, m.g, m.h, m.t, m.s} {
			if a == at {
				ch = "bghts"[k]
			}
		}
		if ch == 0 {
			return nil
		}
		letters += string(ch)
		s = append(s, shape.Const(dim(v, i)))
	}
	v = b.Reshape(v, s)
	to := []string{"", "", "", ""}
	for i, group := range []string{"b", "gh", "t", "s"} {
		for k := range []byte(group) {
			if strings.IndexByte(letters, group[k]) >= 0 {
				to[i] = group // heads of one group may differ: then all axes of heads are there
			}
		}
	}
	return arrange(b, v, letters, to, size)
}
