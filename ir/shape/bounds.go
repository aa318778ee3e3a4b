package shape

import "fmt"

// Range is the integers from Lo to Hi, both included.
type Range struct{ Lo, Hi int64 }

// String prints the range as lo..hi.
func (r Range) String() string { return fmt.Sprintf("%d..%d", r.Lo, r.Hi) }

// Bounds returns a range that d stays in when each symbol stays in its range. It is
// exact when no symbol occurs twice, else possibly wider than need be. It fails when
// a symbol has no range or an empty one, when d is invalid, and on overflow.
func (d Dim) Bounds(env map[string]Range) (Range, error) {
	if err := d.Err(); err != nil {
		return Range{}, err
	}
	sum := Range{d.n, d.n}
	for _, t := range d.terms() {
		p := Range{t.coef, t.coef}
		for _, a := range t.atoms {
			r, err := a.bounds(env)
			if err != nil {
				return Range{}, err
			}
			var ok bool
			if p, ok = mulRange(p, r); !ok {
				return Range{}, fmt.Errorf("int64 overflow in the bounds of %s", d)
			}
		}
		var ok1, ok2 bool
		sum.Lo, ok1 = add64(sum.Lo, p.Lo)
		sum.Hi, ok2 = add64(sum.Hi, p.Hi)
		if !ok1 || !ok2 {
			return Range{}, fmt.Errorf("int64 overflow in the bounds of %s", d)
		}
	}
	return sum, nil
}

func (a *atom) bounds(env map[string]Range) (Range, error) {
	if a.div == 0 {
		r, ok := env[a.text]
		if !ok {
			return r, fmt.Errorf("symbol %s has no range", a.text)
		}
		if r.Lo > r.Hi {
			return r, fmt.Errorf("symbol %s has the empty range %s", a.text, r)
		}
		return r, nil
	}
	r, err := a.num.Bounds(env)
	return Range{floorDiv64(r.Lo, a.div), floorDiv64(r.Hi, a.div)}, err
}

func mulRange(a, b Range) (Range, bool) {
	var out Range
	for i, p := range [4][2]int64{{a.Lo, b.Lo}, {a.Lo, b.Hi}, {a.Hi, b.Lo}, {a.Hi, b.Hi}} {
		v, ok := mul64(p[0], p[1])
		if !ok {
			return out, false
		}
		if i == 0 {
			out = Range{v, v}
		}
		out.Lo, out.Hi = min(out.Lo, v), max(out.Hi, v)
	}
	return out, true
}
