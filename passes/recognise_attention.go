package passes

import (
	"math"
	"strings"

	"apogee/ir"
	"apogee/ir/op"
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
