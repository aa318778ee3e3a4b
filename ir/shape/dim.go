package shape

import (
	"errors"
	"fmt"
	"math/bits"
	"sort"
	"strconv"
)

// Limits of a symbolic dimension. What would exceed one becomes invalid.
const (
	MaxTerms  = 64   // terms of a sum
	MaxDegree = 16   // factors of a product
	MaxText   = 2048 // bytes of the canonical text
	MaxName   = 128  // bytes of a symbol's name
)

// Dim is a dimension: a number, an expression over symbols, or invalid. The zero
// value is the number 0. Dims are canonical: equal dimensions are == and print the
// same. A Dim is two words; numbers take no other memory.
type Dim struct {
	n int64 // the number, or the constant term of the expression
	e *expr // the terms with symbols; nil for a number
}

// Const returns the number n.
func Const(n int64) Dim { return Dim{n: n} }

// Sym returns the symbol of that name: a letter or underscore, then letters,
// digits, underscores and dots. Another name, or ceil or floor, gives an invalid
// Dim.
func Sym(name string) Dim {
	if err := checkName(name); err != nil {
		return invalid(err.Error())
	}
	return Dim{e: symbol(name)}
}

// IsConst reports whether d is a number.
func (d Dim) IsConst() bool { return d.e == nil }

// Value returns the number; false when d is symbolic or invalid.
func (d Dim) Value() (int64, bool) { return d.n, d.e == nil }

// Err says why d is invalid; nil when it is not.
func (d Dim) Err() error {
	if d.e == nil || d.e.bad == "" {
		return nil
	}
	return errors.New(d.e.bad)
}

// Valid reports whether d is a number or an expression.
func (d Dim) Valid() bool { return d.e == nil || d.e.bad == "" }

// Equal reports whether d and o are the same; it is ==.
func (d Dim) Equal(o Dim) bool { return d == o }

// String returns the canonical text, such as 7168, B*T or 2*S+1. Parsing it gives
// d again. An invalid Dim prints as "invalid(why)".
func (d Dim) String() string {
	if d.e == nil {
		return strconv.FormatInt(d.n, 10)
	}
	if d.n == 0 {
		return d.e.text
	}
	return string(d.Append(nil))
}

// Append appends the text of String to b.
func (d Dim) Append(b []byte) []byte {
	if d.e == nil {
		return strconv.AppendInt(b, d.n, 10)
	}
	b = append(b, d.e.text...)
	if d.n > 0 && d.e.bad == "" {
		b = append(b, '+')
	}
	if d.n != 0 {
		b = strconv.AppendInt(b, d.n, 10)
	}
	return b
}

// Add returns d+o.
func (d Dim) Add(o Dim) Dim {
	if d.e == nil && o.e == nil {
		if n, ok := add64(d.n, o.n); ok {
			return Dim{n: n}
		}
		return overflow(d, "+", o)
	}
	if bad, ok := firstInvalid(d, o); ok {
		return bad
	}
	n, ok := add64(d.n, o.n)
	if !ok {
		return overflow(d, "+", o)
	}
	switch {
	case o.e == nil:
		return Dim{n, d.e}
	case d.e == nil:
		return Dim{n, o.e}
	}
	terms, ok := addTerms(d.e.terms, o.e.terms, 1)
	if !ok {
		return overflow(d, "+", o)
	}
	return build(terms, n)
}

// Sub returns d-o.
func (d Dim) Sub(o Dim) Dim {
	if bad, ok := firstInvalid(d, o); ok {
		return bad
	}
	n, ok := sub64(d.n, o.n)
	if !ok {
		return overflow(d, "-", o)
	}
	if o.e == nil {
		return Dim{n, d.e}
	}
	if o.e == d.e {
		return Dim{n: n}
	}
	terms, ok := addTerms(d.terms(), o.e.terms, -1)
	if !ok {
		return overflow(d, "-", o)
	}
	return build(terms, n)
}

// Mul returns d*o.
func (d Dim) Mul(o Dim) Dim {
	if d.e == nil && o.e == nil {
		if n, ok := mul64(d.n, o.n); ok {
			return Dim{n: n}
		}
		return overflow(d, "*", o)
	}
	if bad, ok := firstInvalid(d, o); ok {
		return bad
	}
	switch {
	case d.e == nil && d.n == 1:
		return o
	case o.e == nil && o.n == 1:
		return d
	case d.e == nil && d.n == 0 || o.e == nil && o.n == 0:
		return Dim{}
	}
	p, err := mulPoly(d.poly(), o.poly())
	if err != "" {
		return invalid(fmt.Sprintf("%s: (%s)*(%s)", err, clip(d.String()), clip(o.String())))
	}
	return p.dim()
}

// Div returns the quotient when o divides d without remainder whatever the
// symbols stand for: 6*B*T/(2*T) is 3*B. Otherwise, and for o = 0, it is false.
func (d Dim) Div(o Dim) (Dim, bool) {
	if !d.Valid() || !o.Valid() || o == (Dim{}) {
		return Dim{}, false
	}
	if o.e == nil {
		if o.n == -1 {
			q := Dim{}.Sub(d)
			return q, q.Valid()
		}
		if d.n%o.n != 0 {
			return Dim{}, false
		}
		if d.e == nil {
			return Dim{n: d.n / o.n}, true
		}
		terms := make([]term, len(d.e.terms))
		for i, t := range d.e.terms {
			if t.coef%o.n != 0 {
				return Dim{}, false
			}
			t.coef /= o.n
			terms[i] = t
		}
		return build(terms, d.n/o.n), true
	}
	if d == (Dim{}) {
		return Dim{}, true
	}
	if d == o {
		return Dim{n: 1}, true
	}
	return divPoly(d, o)
}

// FloorDiv returns d/k rounded down; CeilDiv rounded up. k must be positive, else
// the result is invalid. What k divides comes out of the rounding, so that
// (256*B+T).FloorDiv(128) is 2*B+floor(T/128).
func (d Dim) FloorDiv(k int64) Dim {
	if bad, ok := firstInvalid(d, d); ok {
		return bad
	}
	if k <= 0 {
		return invalid(fmt.Sprintf("division of %s by %d, which is not positive", clip(d.String()), k))
	}
	if d.e == nil {
		return Dim{n: floorDiv64(d.n, k)}
	}
	return quotient(d, k)
}

// CeilDiv: see FloorDiv.
func (d Dim) CeilDiv(k int64) Dim {
	if bad, ok := firstInvalid(d, d); ok {
		return bad
	}
	if k <= 0 {
		return d.FloorDiv(k)
	}
	if d.e == nil {
		q := d.n / k
		if d.n%k > 0 {
			q++
		}
		return Dim{n: q}
	}
	return d.Add(Const(k - 1)).FloorDiv(k)
}

// Symbols returns the names of the symbols in d, sorted, each once.
func (d Dim) Symbols() []string {
	set := map[string]bool{}
	d.collect(set)
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func (d Dim) collect(set map[string]bool) {
	for _, t := range d.terms() {
		for _, a := range t.atoms {
			if a.div != 0 {
				a.num.collect(set)
			} else {
				set[a.text] = true
			}
		}
	}
}

// Eval returns the number that d is when the symbols have the values in env. It
// fails when a symbol has none, when d is invalid, and on overflow.
func (d Dim) Eval(env map[string]int64) (int64, error) {
	if d.e == nil {
		return d.n, nil
	}
	if err := d.Err(); err != nil {
		return 0, err
	}
	sum := d.n
	for _, t := range d.e.terms {
		p := t.coef
		for _, a := range t.atoms {
			v, err := a.eval(env)
			if err != nil {
				return 0, err
			}
			var ok bool
			if p, ok = mul64(p, v); !ok {
				return 0, fmt.Errorf("int64 overflow evaluating %s", d)
			}
		}
		var ok bool
		if sum, ok = add64(sum, p); !ok {
			return 0, fmt.Errorf("int64 overflow evaluating %s", d)
		}
	}
	return sum, nil
}

func (a *atom) eval(env map[string]int64) (int64, error) {
	if a.div == 0 {
		v, ok := env[a.text]
		if !ok {
			return 0, fmt.Errorf("symbol %s has no value", a.text)
		}
		return v, nil
	}
	n, err := a.num.Eval(env)
	if err != nil {
		return 0, err
	}
	return floorDiv64(n, a.div), nil
}

// Subst returns d with each symbol in env replaced by its dimension, all at once;
// other symbols stay.
func (d Dim) Subst(env map[string]Dim) Dim {
	if d.e == nil || d.e.bad != "" || len(env) == 0 {
		return d
	}
	sum := Dim{n: d.n}
	for _, t := range d.e.terms {
		p := Dim{n: t.coef}
		for _, a := range t.atoms {
			p = p.Mul(a.subst(env))
		}
		sum = sum.Add(p)
	}
	return sum
}

func (a *atom) subst(env map[string]Dim) Dim {
	if a.div != 0 {
		return a.num.Subst(env).FloorDiv(a.div)
	}
	if v, ok := env[a.text]; ok {
		return v
	}
	return Dim{e: symbol(a.text)}
}

func firstInvalid(a, b Dim) (Dim, bool) {
	if !a.Valid() {
		return a, true
	}
	return b, !b.Valid()
}

func overflow(a Dim, op string, b Dim) Dim {
	return invalid(fmt.Sprintf("int64 overflow: (%s)%s(%s)", clip(a.String()), op, clip(b.String())))
}

// clip shortens a text for an error.
func clip(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}

func add64(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

func sub64(a, b int64) (int64, bool) {
	s := a - b
	return s, (s < a) == (b > 0)
}

func mul64(a, b int64) (int64, bool) {
	ua, ub := abs64(a), abs64(b)
	hi, lo := bits.Mul64(ua, ub)
	if hi != 0 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return int64(-lo), lo <= 1<<63
	}
	return int64(lo), lo < 1<<63
}

func abs64(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// floorDiv64 returns n/k rounded down for k > 0.
func floorDiv64(n, k int64) int64 {
	q := n / k
	if n%k < 0 {
		q--
	}
	return q
}
