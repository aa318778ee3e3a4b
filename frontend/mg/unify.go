package mg

import (
	"fmt"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

// typeOf makes the type that a pattern without variables stands for.
func (l *lowering) typeOf(p *pattern, fr []value) (ir.Type, bool) {
	t := ir.Type{Format: format.Invalid}
	if p.fmtCode != nil {
		v := p.fmtCode.eval(l, fr)
		if v.kind != kFormat {
			if v.kind != kBad {
				l.report(CodeType, p.fmtCode.where(), "this is no format").Expect("a format such as f32", v.describe())
			}
			return t, false
		}
		t.Format = v.format()
	}
	ok := true
	t.Shape = make(shape.Shape, 0, len(p.dims))
	for i := range p.dims {
		d := &p.dims[i]
		switch {
		case d.rest:
			if d.slot < 0 {
				ok = false
				continue
			}
			for _, x := range fr[d.slot].list() {
				t.Shape = append(t.Shape, x.n)
			}
		case d.slot >= 0:
			t.Shape = append(t.Shape, fr[d.slot].n)
			ok = ok && fr[d.slot].kind == kInt
		default:
			n, good := l.dimension(d.x, fr)
			ok = ok && good
			t.Shape = append(t.Shape, n)
		}
	}
	return t, ok
}

// dimension evaluates a dimension: an int of at least 0, or an expression over symbols.
func (l *lowering) dimension(x code, fr []value) (shape.Dim, bool) {
	v := x.eval(l, fr)
	if v.kind == kBad {
		return shape.Dim{}, false
	}
	d, ok := v.dim()
	if !ok {
		d, ok = l.maybeWhole(v)
	}
	n, known := d.Value()
	if ok && (!known || n >= 0) {
		return d, true
	}
	if v.kind == kRatio || v.kind == kFloat {
		l.report(CodeMath, x.where(), "a dimension is a whole number").Expect("an int of at least 0", v.String()).
			Helpf("floor(…) and ceil(…) round")
		return shape.Dim{}, false
	}
	l.report(CodeType, x.where(), "a dimension is a whole number").Expect("an int of at least 0", v.describe())
	return shape.Dim{}, false
}

// maybeWhole takes a quotient of a symbol for a whole number where a program is checked for all of the symbol's values: for some it is one.
func (l *lowering) maybeWhole(v value) (shape.Dim, bool) {
	if v.kind != kRatio || !l.abstract || len(v.n.Symbols()) == 0 {
		return shape.Dim{}, false
	}
	by, known := v.ref.(shape.Dim).Value()
	if !known || by <= 0 {
		return shape.Dim{}, false
	}
	return v.n.FloorDiv(by), true
}

// matching is what is known while a signature is matched.
type matching struct {
	l  *lowering
	fr []value
	// later are dimensions with variables that were not bound yet.
	later []laterDim
}

type laterDim struct {
	p    *pattern
	dim  *dimPattern
	got  shape.Dim
	fail func(p *pattern)
}

// matchParams matches the arguments of a call against the signature and binds its variables.
func (l *lowering) matchParams(c *callCode, fr []value) bool {
	m := matching{l: l, fr: fr}
	ok := true
	for i, p := range c.def.params {
		if p.typ == nil || fr[p.slot].kind == kBad {
			continue
		}
		at := c.where()
		if i < len(c.args) && c.args[i] != nil {
			at = c.args[i].where()
		}
		fail := func(pat *pattern) {
			code, got := m.mismatch(pat, fr[p.slot])
			d := l.report(code, at, "the argument %s of %s does not fit", p.name, c.def.name)
			d.Expect(m.spell(pat), got).Note(pat.rng(), "the parameter is declared here")
		}
		if !m.match(p.typ, &fr[p.slot], fail) {
			ok = false
		}
	}
	return m.finish() && ok
}

// matchResults matches the value of a def's body against its results.
func (l *lowering) matchResults(d *defDecl, fr []value, v value) value {
	at := l.resultPlace(d)
	if !d.several {
		if v.kind == kTuple {
			v = l.spread(v, 1, at)[0]
		}
		if !l.matchValue(d.results[0], fr, v, at, "the result of "+d.name) {
			return bad
		}
		return v
	}
	vals := l.spread(v, len(d.results), at)
	ok := true
	for i, p := range d.results {
		ok = l.matchValue(p, fr, vals[i], at, fmt.Sprintf("result %d of %s", i+1, d.name)) && ok
	}
	if !ok {
		return bad
	}
	return value{kind: kTuple, ref: vals}
}

// matchValue matches one value against a pattern.
func (l *lowering) matchValue(p *pattern, fr []value, v value, at *place, what string) bool {
	if v.kind == kBad {
		return false
	}
	m := matching{l: l, fr: fr}
	fail := func(pat *pattern) {
		code, got := m.mismatch(pat, v)
		d := l.report(code, at, "%s does not fit its type", what)
		d.Expect(m.spell(pat), got).Note(pat.rng(), "the type is declared here")
		if code == CodeFormat && pat.fmtCode != nil {
			d.Helpf("a cast is written %s(…)", pat.fmtCode.where().rng().Text())
		}
	}
	return m.match(p, &v, fail) && m.finish()
}

// mismatch picks the code for a value that does not match a pattern.
func (m *matching) mismatch(p *pattern, v value) (code, found string) {
	if v.kind != kTensor || p.word != patTensor {
		return CodeType, v.describe()
	}
	if p.fmtCode != nil {
		if f := p.fmtCode.eval(m.l, m.fr); f.kind == kFormat && f.format() != v.tensor().Type.Format {
			return CodeFormat, v.String()
		}
	}
	return CodeShape, v.String()
}

// match matches a value; dims that cannot be judged yet are left for finish. A number is brought to the
// kind the pattern asks for.
func (m *matching) match(p *pattern, v *value, fail func(*pattern)) bool {
	if p.opt && v.kind == kNone {
		return true
	}
	if p.word != patTensor {
		if w, ok := acceptWord(p.word, *v); ok {
			*v = w
			return true
		}
		fail(p)
		return false
	}
	if v.kind != kTensor {
		fail(p)
		return false
	}
	t := v.tensor().Type
	if p.fmtSlot >= 0 && m.fr[p.fmtSlot].kind == kBad {
		m.fr[p.fmtSlot] = formatValue(t.Format)
	} else if p.fmtCode != nil {
		f := p.fmtCode.eval(m.l, m.fr)
		if f.kind != kFormat {
			if f.kind != kBad {
				m.l.report(CodeType, p.fmtCode.where(), "this is no format").Expect("a format such as f32", f.describe())
			}
			return false
		}
		if f.format() != t.Format {
			fail(p)
			return false
		}
	}
	return m.shape(p, t.Shape, fail)
}

func (m *matching) shape(p *pattern, s shape.Shape, fail func(*pattern)) bool {
	fixed := len(p.dims)
	if p.rest >= 0 {
		fixed--
	}
	if len(s) < fixed || p.rest < 0 && len(s) != fixed {
		fail(p)
		return false
	}
	at := 0
	for i := range p.dims {
		d := &p.dims[i]
		if d.rest {
			n := len(s) - fixed
			if !m.restDim(d, s[at:at+n]) {
				fail(p)
				return false
			}
			at += n
			continue
		}
		got := s[at]
		at++
		if d.slot >= 0 {
			if m.fr[d.slot].kind == kBad {
				m.fr[d.slot] = dimValue(got)
			} else if m.differ(m.fr[d.slot].n, got) {
				fail(p)
				return false
			}
			continue
		}
		if k, ok := d.x.(*constCode); ok && k.v.kind == kInt {
			if m.differ(k.v.n, got) {
				fail(p)
				return false
			}
			continue
		}
		if m.unbound(d) >= 0 {
			m.later = append(m.later, laterDim{p, d, got, fail})
			continue
		}
		want, ok := m.l.dimension(d.x, m.fr)
		if !ok {
			return false
		}
		if m.differ(want, got) {
			fail(p)
			return false
		}
	}
	return true
}

// differ compares dimensions; an abstract check lets pass what hangs on the unknown.
func (m *matching) differ(a, b shape.Dim) bool {
	return a != b && (!m.l.abstract || !open(a) && !open(b))
}

// restDim binds or compares the axes of a ..; without a slot any will do.
func (m *matching) restDim(d *dimPattern, s shape.Shape) bool {
	if d.slot < 0 {
		return true
	}
	if m.fr[d.slot].kind == kBad {
		list := make([]value, len(s))
		for i, x := range s {
			list[i] = dimValue(x)
		}
		m.fr[d.slot] = listValue(list)
		return true
	}
	have := m.fr[d.slot].list()
	if len(have) != len(s) {
		return false
	}
	for i, x := range s {
		if m.differ(have[i].n, x) {
			return false
		}
	}
	return true
}

// unbound returns the first variable of a dimension that has no value yet, or -1.
func (m *matching) unbound(d *dimPattern) int {
	for i, v := range d.vars {
		if m.fr[v.slot].kind == kBad {
			return i
		}
	}
	return -1
}

// finish judges the dimensions that waited for their variables. One with a single unbound variable in it
// once, as in 2*D, gives that variable its value.
func (m *matching) finish() bool {
	for i := range m.later {
		w := &m.later[i]
		if u := m.unbound(w.dim); u >= 0 && !m.solve(w, u) {
			if m.l.abstract && !w.got.IsConst() {
				return false
			}
			w.fail(w.p)
			return false
		}
		want, ok := m.l.dimension(w.dim.x, m.fr)
		if !ok {
			return false
		}
		if m.differ(want, w.got) {
			w.fail(w.p)
			return false
		}
	}
	return true
}

// solve finds the value of one variable: with x in its place the expression is a + b*x.
func (m *matching) solve(w *laterDim, u int) bool {
	slot := &m.fr[w.dim.vars[u].slot]
	probe := func(n int64) (shape.Dim, bool) {
		*slot = intValue(n)
		v := w.dim.x.eval(m.l, m.fr)
		return v.n, v.kind == kInt
	}
	a, ok1 := probe(0)
	b, ok2 := probe(1)
	*slot = bad
	if m.unbound(w.dim) != u || !ok1 || !ok2 {
		return false
	}
	q, ok := w.got.Sub(a).Div(b.Sub(a))
	if n, known := q.Value(); !ok || known && n < 0 {
		return false
	}
	*slot = dimValue(q)
	return true
}

// acceptWord checks a value against a type that is not a tensor's.
func acceptWord(k patternKind, v value) (value, bool) {
	switch k {
	case patInt:
		d, ok := v.dim()
		return dimValue(d), ok
	case patFloat:
		f, known, ok := v.number()
		return floatValue(f), ok && known
	case patBool:
		return v, v.kind == kBool
	case patString:
		return v, v.kind == kString || v.kind == kMark
	case patFormat:
		return v, v.kind == kFormat
	case patList:
		return v, v.kind == kList
	case patObject:
		return v, v.kind == kObject
	}
	return v, v.kind != kBad && v.kind != kTuple
}

// spell writes a pattern with the values of its variables: [.., D] with D = 64.
func (m *matching) spell(p *pattern) string {
	var with []string
	seen := map[string]bool{}
	add := func(name string, slot int) {
		if slot < 0 || name == "" || seen[name] || m.fr[slot].kind == kBad {
			return
		}
		seen[name] = true
		with = append(with, name+" = "+m.fr[slot].String())
	}
	if p.fmtSlot >= 0 {
		add(string(p.fmtCode.where().rng().Text()), p.fmtSlot)
	}
	for i := range p.dims {
		d := &p.dims[i]
		add(d.name, d.slot)
		for _, v := range d.vars {
			add(v.name, v.slot)
		}
		if d.x != nil && len(d.vars) == 0 {
			if _, plain := d.x.(*constCode); !plain {
				text := string(d.x.where().rng().Text())
				if v := d.x.eval(m.l, m.fr); v.kind != kBad && v.String() != text && !seen[text] {
					seen[text] = true
					with = append(with, text+" = "+v.String())
				}
			}
		}
	}
	if p.fmtCode != nil && p.fmtSlot < 0 {
		if v := p.fmtCode.eval(m.l, m.fr); v.kind == kFormat && v.String() != string(p.fmtCode.where().rng().Text()) {
			with = append(with, string(p.fmtCode.where().rng().Text())+" = "+v.String())
		}
	}
	if len(with) == 0 {
		return p.text
	}
	return p.text + " with " + strings.Join(with, ", ")
}
