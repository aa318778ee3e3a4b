package passes

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

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
