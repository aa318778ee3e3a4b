package mg

import (
	"fmt"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// specKey is a specification with the number of axes that .. stands for.
type specKey struct {
	spec string
	rest int
}

// einsumCall evaluates einsum's attributes and adds it.
func (l *lowering) einsumCall(c *opCode, vals []*ir.Value, fr []value) value {
	spec := ""
	var out *format.Format
	for _, a := range c.attrs {
		v, ok := l.attr(a.spec, a.x, fr)
		if !ok {
			return bad
		}
		switch x := v.(type) {
		case string:
			spec = x
		case format.Format:
			out = &x
		}
	}
	at := *c.place
	for _, a := range c.attrs {
		if a.spec.Name == "spec" {
			w := a.x.where()
			if w.id == at.id {
				at.start, at.end = min(at.start, w.start), max(at.end, w.end)
			}
		}
	}
	return l.einsum(&at, spec, vals[0], vals[1], out)
}

// einsum adds a contraction. In the specification .. stands for leading axes, the same ones wherever it
// is written.
func (l *lowering) einsum(at *place, spec string, a, b *ir.Value, out *format.Format) value {
	full := spec
	if strings.Contains(spec, ".") {
		lhs, res, ok := strings.Cut(spec, "->")
		sa, sb, ok2 := strings.Cut(lhs, ",")
		rest, why := -1, ""
		if !ok || !ok2 {
			why = "expected two operands and a result, as in \"..d,fd->..f\""
		}
		for i, s := range []string{sa, sb} {
			if t, has := strings.CutPrefix(s, ".."); has && why == "" {
				n := []*ir.Value{a, b}[i].Type.Rank() - len(t)
				switch {
				case n < 0:
					why = fmt.Sprintf("%q names %d axes", s, len(t))
				case rest >= 0 && rest != n:
					why = fmt.Sprintf(".. stands for %d axes in one operand and for %d in the other", rest, n)
				}
				rest = n
			}
		}
		if why == "" && strings.HasPrefix(res, "..") && rest < 0 {
			why = ".. of the result is in neither operand"
		}
		if why != "" {
			l.report(CodeShape, at, "einsum %q does not fit: %s", spec, why).Note(diag.Range{}, "the operands are %s and %s", a.Type, b.Type)
			return bad
		}
		key := specKey{spec, rest}
		if full = l.specs[key]; full == "" {
			letters, ok := freeLetters(spec, rest)
			if !ok {
				l.report(CodeShape, at, "einsum %q: more than 26 axes", spec)
				return bad
			}
			full = strings.ReplaceAll(spec, "..", letters)
			l.specs[key] = full
		}
	}
	if d := einsumMismatch(full, a.Type, b.Type); d != "" {
		if l.abstract && openType(a.Type, b.Type) && ranksFit(full, a.Type, b.Type) {
			return bad
		}
		l.report(CodeShape, at, "einsum %q does not fit: %s", spec, d).Note(diag.Range{}, "the operands are %s and %s", a.Type, b.Type)
		return bad
	}
	attrs := make(op.Attrs, 1, 2)
	attrs[0] = op.Attr{Name: "spec", Value: full}
	if out != nil && *out != a.Type.Format {
		attrs = append(attrs, op.Attr{Name: "format", Value: *out})
	}
	return one(l.emit(at, op.Einsum, attrs, a, b))
}

// freeLetters returns n letters that a specification does not use.
func freeLetters(spec string, n int) (string, bool) {
	var b strings.Builder
	for _, c := range "pqrstuvwxyzabcdefghijklmno" {
		if b.Len() < n && !strings.ContainsRune(spec, c) {
			b.WriteRune(c)
		}
	}
	return b.String(), b.Len() == n
}

// ranksFit reports whether a specification names as many axes as its operands have.
func ranksFit(spec string, a, b op.Type) bool {
	lhs, _, _ := strings.Cut(spec, "->")
	sa, sb, _ := strings.Cut(lhs, ",")
	return len(sa) == len(a.Shape) && len(sb) == len(b.Shape)
}

// einsumMismatch says in words why operands do not fit a specification, or "" where the op table is to
// judge.
func einsumMismatch(spec string, a, b op.Type) string {
	lhs, _, ok := strings.Cut(spec, "->")
	sa, sb, ok2 := strings.Cut(lhs, ",")
	if !ok || !ok2 {
		return ""
	}
	if len(sa) != len(a.Shape) {
		return fmt.Sprintf("%q names %d axes, found %s", sa, len(sa), a)
	}
	if len(sb) != len(b.Shape) {
		return fmt.Sprintf("%q names %d axes, found %s", sb, len(sb), b)
	}
	var other shape.Dim
	for i := range len(sb) {
		j := strings.IndexByte(sa, sb[i])
		if j < 0 {
			continue
		}
		if other = a.Shape[j]; other != b.Shape[i] {
			return fmt.Sprintf("%c is %s in %s but %s in %s", sb[i], other, a, b.Shape[i], b)
		}
	}
	return ""
}
