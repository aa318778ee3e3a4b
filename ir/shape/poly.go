package shape

import (
	"fmt"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"weak"
)

// An expression is a sum of terms; a term is a coefficient, not zero, times a
// product of atoms; an atom is a symbol or a quotient rounded down. A constant
// term lives beside the expression, in Dim.n, so that adding numbers never makes a
// new one. Atoms are ordered by text; terms by falling degree, then by their atoms in
// turn, which is the graded lexicographic order: multiplication keeps it.
//
// A quotient floor((r+c)/k) has 0 <= c < k, no common divisor of k and all of r's
// coefficients, those coefficients in (-k/2, k/2], and the first of them that is
// not k/2 positive. It prints as ceil(r/k) when c = k-1.
//
// Expressions are interned by text, so that equal ones are one pointer. The table
// holds them weakly: what nothing refers to is collected.
type expr struct {
	text  string
	terms []term
	bad   string // why it is invalid; then there are no terms
}

type term struct {
	coef  int64
	key   string // the atoms' texts joined by *
	atoms []*atom
}

type atom struct {
	text string // the name, or the quotient as printed
	num  Dim    // quotient: the numerator
	div  int64  // quotient: the divisor; 0 for a symbol
}

var interned struct {
	sync.Mutex
	m map[string]weak.Pointer[expr]
}

// intern returns the one expression with this text, making it with mk when there
// is none.
func intern(text string, mk func() *expr) *expr {
	interned.Lock()
	defer interned.Unlock()
	if p, ok := interned.m[text]; ok {
		if e := p.Value(); e != nil {
			return e
		}
	}
	e := mk()
	if interned.m == nil {
		interned.m = map[string]weak.Pointer[expr]{}
	}
	p := weak.Make(e)
	interned.m[text] = p
	runtime.AddCleanup(e, func(text string) {
		interned.Lock()
		defer interned.Unlock()
		if q, ok := interned.m[text]; ok && q.Value() == nil {
			delete(interned.m, text)
		}
	}, text)
	return e
}

func symbol(name string) *expr {
	return intern(name, func() *expr {
		return &expr{text: name, terms: []term{{1, name, []*atom{{text: name}}}}}
	})
}

// invalid returns the Dim that says why it is none.
func invalid(why string) Dim {
	text := "invalid(" + why + ")"
	return Dim{e: intern(text, func() *expr { return &expr{text: text, bad: why} })}
}

// poly is an expression with its constant, still being made.
type poly struct {
	terms []term
	n     int64
}

func (d Dim) terms() []term {
	if d.e == nil {
		return nil
	}
	return d.e.terms
}

func (d Dim) poly() poly { return poly{d.terms(), d.n} }

func (p poly) dim() Dim { return build(p.terms, p.n) }

// build makes the Dim of ordered terms.
func build(terms []term, n int64) Dim {
	if len(terms) == 0 {
		return Dim{n: n}
	}
	if len(terms) > MaxTerms {
		return invalid(fmt.Sprintf("a sum of %d terms, more than %d", len(terms), MaxTerms))
	}
	var b []byte
	for i, t := range terms {
		if t.coef > 0 && i > 0 {
			b = append(b, '+')
		}
		switch t.coef {
		case 1:
		case -1:
			b = append(b, '-')
		default:
			b = strconv.AppendInt(b, t.coef, 10)
			b = append(b, '*')
		}
		b = append(b, t.key...)
		if len(b) > MaxText {
			return invalid(fmt.Sprintf("an expression of more than %d bytes", MaxText))
		}
	}
	text := string(b)
	return Dim{n, intern(text, func() *expr { return &expr{text: text, terms: terms} })}
}

// less orders terms.
func (t term) less(o term) bool {
	if len(t.atoms) != len(o.atoms) {
		return len(t.atoms) > len(o.atoms)
	}
	for i, a := range t.atoms {
		if b := o.atoms[i]; a.text != b.text {
			return a.text < b.text
		}
	}
	return false
}

// addTerms merges a + sign*b; false on overflow.
func addTerms(a, b []term, sign int64) ([]term, bool) {
	out := make([]term, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].less(b[0]):
			out = append(out, a[0])
			a = a[1:]
		case len(a) == 0 || b[0].less(a[0]):
			t := b[0]
			c, ok := mul64(t.coef, sign)
			if !ok {
				return nil, false
			}
			t.coef = c
			out = append(out, t)
			b = b[1:]
		default:
			t := a[0]
			var c int64
			var ok bool
			if sign < 0 {
				c, ok = sub64(t.coef, b[0].coef)
			} else {
				c, ok = add64(t.coef, b[0].coef)
			}
			if !ok {
				return nil, false
			}
			if t.coef = c; c != 0 {
				out = append(out, t)
			}
			a, b = a[1:], b[1:]
		}
	}
	return out, true
}

// mulPoly multiplies; the string says what went wrong.
func mulPoly(a, b poly) (poly, string) {
	const over = "int64 overflow"
	n, ok := mul64(a.n, b.n)
	if !ok {
		return poly{}, over
	}
	if (len(a.terms)+1)*(len(b.terms)+1) > 4*MaxTerms*MaxTerms {
		return poly{}, fmt.Sprintf("a product of more than %d terms", MaxTerms)
	}
	var out []term
	for _, s := range a.terms {
		for _, t := range b.terms {
			c, ok := mul64(s.coef, t.coef)
			if !ok {
				return poly{}, over
			}
			if len(s.atoms)+len(t.atoms) > MaxDegree {
				return poly{}, fmt.Sprintf("a product of more than %d factors", MaxDegree)
			}
			p := mulAtoms(s, t)
			p.coef = c
			out = append(out, p)
		}
	}
	scale := func(terms []term, k int64) bool {
		if k == 0 {
			return true
		}
		for _, t := range terms {
			c, ok := mul64(t.coef, k)
			if !ok {
				return false
			}
			t.coef = c
			out = append(out, t)
		}
		return true
	}
	if !scale(a.terms, b.n) || !scale(b.terms, a.n) {
		return poly{}, over
	}
	terms, ok := collectTerms(out)
	if !ok {
		return poly{}, over
	}
	return poly{terms, n}, ""
}

// collectTerms orders terms and adds up those with the same atoms.
func collectTerms(ts []term) ([]term, bool) {
	sort.SliceStable(ts, func(i, j int) bool { return ts[i].less(ts[j]) })
	out := ts[:0]
	for _, t := range ts {
		if k := len(out); k > 0 && out[k-1].key == t.key {
			c, ok := add64(out[k-1].coef, t.coef)
			if !ok {
				return nil, false
			}
			out[k-1].coef = c
			continue
		}
		if k := len(out); k > 0 && out[k-1].coef == 0 {
			out = out[:k-1]
		}
		out = append(out, t)
	}
	if k := len(out); k > 0 && out[k-1].coef == 0 {
		out = out[:k-1]
	}
	return out, true
}

// mulAtoms returns the product of two terms without a coefficient.
func mulAtoms(s, t term) term {
	atoms := make([]*atom, 0, len(s.atoms)+len(t.atoms))
	a, b := s.atoms, t.atoms
	for len(a) > 0 && len(b) > 0 {
		if a[0].text <= b[0].text {
			atoms = append(atoms, a[0])
			a = a[1:]
		} else {
			atoms = append(atoms, b[0])
			b = b[1:]
		}
	}
	atoms = append(append(atoms, a...), b...)
	return term{1, keyOf(atoms), atoms}
}

func keyOf(atoms []*atom) string {
	if len(atoms) == 1 {
		return atoms[0].text
	}
	texts := make([]string, len(atoms))
	for i, a := range atoms {
		texts[i] = a.text
	}
	return strings.Join(texts, "*")
}

// divAtoms returns s/t without coefficients, false when t does not divide s.
func divAtoms(s, t term) (term, bool) {
	rest := make([]*atom, 0, len(s.atoms))
	b := t.atoms
	for _, a := range s.atoms {
		if len(b) > 0 && a.text == b[0].text {
			b = b[1:]
			continue
		}
		rest = append(rest, a)
	}
	if len(b) > 0 {
		return term{}, false
	}
	return term{1, keyOf(rest), rest}, true
}

// divPoly divides by long division on the leading terms. The order of terms is kept
// by multiplication, so the remainder ends at zero exactly when o divides d.
func divPoly(d, o Dim) (Dim, bool) {
	rest, q := d, Dim{}
	lead := o.e.terms[0]
	for rest != (Dim{}) {
		if rest.e == nil {
			return Dim{}, false
		}
		t := rest.e.terms[0]
		f, ok := divAtoms(t, lead)
		if !ok || t.coef%lead.coef != 0 {
			return Dim{}, false
		}
		part := Dim{n: t.coef / lead.coef}
		if len(f.atoms) > 0 {
			f.coef = part.n
			part = build([]term{f}, 0)
		}
		// Each round takes the leading term away; q's terms are bounded, so are rounds.
		q, rest = q.Add(part), rest.Sub(part.Mul(o))
		if !rest.Valid() || !q.Valid() {
			return Dim{}, false
		}
	}
	return q, true
}

// quotient returns floor(d/k), d symbolic, k > 0, in canonical form.
func quotient(d Dim, k int64) Dim {
	if k == 1 {
		return d
	}
	whole := Dim{}
	num := d
	sign := int64(1)
	for num.Valid() && whole.Valid() {
		// Take out what k divides: coefficients to (-k/2, k/2], constant to [0, k).
		var out, in []term
		for _, t := range num.terms() {
			q, r := nearDiv(t.coef, k)
			if q != 0 {
				t.coef = q
				out = append(out, t)
			}
			if r != 0 {
				t.coef = r
				in = append(in, t)
			}
		}
		q := floorDiv64(num.n, k)
		c := num.n - q*k
		whole = whole.Add(build(out, q).Mul(Const(sign)))
		if len(in) == 0 {
			return whole // floor(c/k) is 0
		}
		g := k
		for _, t := range in {
			g = gcd(g, t.coef)
		}
		if g > 1 {
			// floor((g*r+c)/(g*k)) = floor((r+floor(c/g))/k)
			for i := range in {
				in[i].coef /= g
			}
			c, k = c/g, k/g
			num = build(in, c)
			continue
		}
		if inner, c2, k2, ok := nested(in, c, k); ok {
			num, k = inner.Add(Const(c2)), k2
			continue
		}
		if lead := firstNotHalf(in, k); lead < 0 {
			// floor((r+c)/k) = -floor((-r+k-1-c)/k)
			for i := range in {
				in[i].coef = -in[i].coef
			}
			sign = -sign
			num = build(in, k-1-c)
			continue
		}
		return whole.Add(quotientAtom(build(in, c), c, k).Mul(Const(sign)))
	}
	bad, _ := firstInvalid(num, whole)
	return bad
}

// nested unrolls floor((floor(x/a)+c)/k) to floor((x+c*a)/(a*k)).
func nested(in []term, c, k int64) (num Dim, c2, k2 int64, ok bool) {
	if len(in) != 1 || in[0].coef != 1 || len(in[0].atoms) != 1 || in[0].atoms[0].div == 0 {
		return Dim{}, 0, 0, false
	}
	a := in[0].atoms[0]
	k2, ok1 := mul64(a.div, k)
	c2, ok2 := mul64(c, a.div)
	return a.num, c2, k2, ok1 && ok2
}

// firstNotHalf returns the first coefficient that is not k/2; 0 when all are.
func firstNotHalf(ts []term, k int64) int64 {
	for _, t := range ts {
		if k%2 != 0 || t.coef != k/2 {
			return t.coef
		}
	}
	return 0
}

// quotientAtom makes the atom floor(num/k), whose constant is c.
func quotientAtom(num Dim, c, k int64) Dim {
	if !num.Valid() {
		return num
	}
	name, shown := "floor(", num
	if c == k-1 {
		name, shown = "ceil(", Dim{e: num.e}
	}
	text := name + shown.String() + "/" + strconv.FormatInt(k, 10) + ")"
	if len(num.e.terms) > 1 || shown.n != 0 {
		text = name + "(" + shown.String() + ")/" + strconv.FormatInt(k, 10) + ")"
	}
	if len(text) > MaxText {
		return invalid(fmt.Sprintf("an expression of more than %d bytes", MaxText))
	}
	a := &atom{text: text, num: num, div: k}
	return Dim{e: intern(text, func() *expr { return &expr{text: text, terms: []term{{1, text, []*atom{a}}}} })}
}

// nearDiv returns q and r with n = q*k+r and r in (-k/2, k/2].
func nearDiv(n, k int64) (q, r int64) {
	q = floorDiv64(n, k)
	r = n - q*k
	if r > k-r {
		q, r = q+1, r-k
	}
	return q, r
}

func gcd(a, b int64) int64 {
	if b < 0 {
		b = -b
	}
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
