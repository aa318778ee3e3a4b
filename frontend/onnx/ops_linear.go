package onnx

import (
	"sort"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "MatMul", Since: 1, Lower: func(n *node) { n.set(0, n.matmul(n.arg(0), n.arg(1), format.Invalid)) }, Doc: "The op einsum, by NumPy's rules for matmul."},
		Row{Op: "Gemm", Since: 1, Lower: lowerGemm, Doc: "alpha·A·B + beta·C, A and B transposed where asked."},
		Row{Op: "Einsum", Since: 12, Lower: lowerEinsum, Doc: "The op einsum, two operands at a time; repeated letters take diagonals, an ellipsis stands for axes."},
		Row{Op: "Det", Since: 11, Lower: lowerDet, Doc: "Gaussian elimination with the largest pivot of each column."},
	)
}

func lowerGemm(n *node) {
	a, b := n.arg(0), n.arg(1)
	if len(a.Type.Shape) != 2 || len(b.Type.Shape) != 2 {
		n.fail("it takes two matrices, found %s and %s", a.Type, b.Type)
	}
	sa, sb := "mk", "kn"
	if n.attrBool("transA", false) {
		sa = "km"
	}
	if n.attrBool("transB", false) {
		sb = "nk"
	}
	f := a.Type.Format
	wide := f
	if f.IsFloat() && f.Bits() < 32 {
		wide = format.F32
	}
	y := n.einsum(sa+","+sb+"->mn", a, b, wide)
	alpha, beta := n.attrFloat("alpha", 1), n.attrFloat("beta", 1)
	if alpha != 1 {
		y = n.scaled(y, alpha)
	}
	if c := n.opt(2); c != nil && beta != 0 {
		c = n.cast(c, wide)
		if beta != 1 {
			c = n.scaled(c, beta)
		}
		s, err := shape.Broadcast(y.Type.Shape, c.Type.Shape)
		if err != nil || !s.Equal(y.Type.Shape) {
			n.fail("C %s does not broadcast to [%s]", n.arg(2).Type, y.Type.Shape)
		}
		y = n.add(y, c)
	}
	n.set(0, n.cast(y, f))
}

// scaled multiplies with a factor that need not be an integer where x is.
func (n *node) scaled(x *ir.Value, by float64) *ir.Value {
	if x.Type.Format.IsFloat() {
		return n.mulc(x, by)
	}
	f := n.floatFor(x.Type.Format)
	return n.cast(n.mulc(n.cast(x, f), by), x.Type.Format)
}

// term is an operand of an einsum while it is worked on: a letter for each axis.
type term struct {
	v       *ir.Value
	letters []rune
}

// has says whether an operand has a letter, and where.
func (t term) index(c rune) int {
	for i, l := range t.letters {
		if l == c {
			return i
		}
	}
	return -1
}

// ellipsisLetter is the letter of axis i, from the last, of an ellipsis: none that an equation can have.
func ellipsisLetter(i int) rune { return rune(0x2460 + i) }

func lowerEinsum(n *node) {
	n.need("equation")
	eq := strings.ReplaceAll(n.attrStr("equation", ""), " ", "")
	if len(eq) > 1024 {
		n.fail("an equation of %d letters", len(eq))
	}
	lhs, rhs, explicit := strings.Cut(eq, "->")
	parts := strings.Split(lhs, ",")
	xs := n.args(0)
	if len(parts) != len(xs) || len(xs) == 0 {
		n.fail("equation %q has %d terms for %d operands", eq, len(parts), len(xs))
	}
	terms := make([]term, len(xs))
	widest := 0
	count := map[rune]int{}
	for i, p := range parts {
		letters, dots := n.termLetters(eq, p, len(xs[i].Type.Shape))
		widest = max(widest, dots)
		for _, c := range letters {
			count[c]++
		}
		terms[i] = term{xs[i], letters}
	}
	var out []rune
	if explicit {
		before, after, dotted := strings.Cut(rhs, "...")
		out = []rune(before)
		if dotted {
			for i := widest - 1; i >= 0; i-- {
				out = append(out, ellipsisLetter(i))
			}
		}
		out = append(out, []rune(after)...)
	} else {
		for i := widest - 1; i >= 0; i-- {
			out = append(out, ellipsisLetter(i))
		}
		var once []rune
		for c, k := range count {
			if k == 1 && c < 0x80 {
				once = append(once, c)
			}
		}
		sort.Slice(once, func(i, j int) bool { return once[i] < once[j] })
		out = append(out, once...)
	}
	seen := map[rune]bool{}
	for _, c := range out {
		if seen[c] || count[c] == 0 {
			n.fail("equation %q: a letter of the result stands twice there or in no operand", eq)
		}
		seen[c] = true
	}
	size := map[rune]shape.Dim{}
	for i := range terms {
		terms[i] = n.diagonals(terms[i])
		for a, c := range terms[i].letters {
			d := terms[i].v.Type.Shape[a]
			if old, ok := size[c]; !ok || old == shape.Const(1) {
				size[c] = d
			} else if d != shape.Const(1) && !d.Equal(old) {
				n.fail("equation %q: the sizes %s and %s of one letter differ", eq, old, d)
			}
		}
	}
	for i := range terms {
		terms[i] = n.narrowed(terms[i], size)
	}
	f := xs[0].Type.Format
	acc := terms[0]
	for i := 1; i < len(terms); i++ {
		keep := map[rune]bool{}
		for _, c := range out {
			keep[c] = true
		}
		for _, t := range terms[i+1:] {
			for _, c := range t.letters {
				keep[c] = true
			}
		}
		acc = n.product(acc, terms[i], keep)
	}
	n.set(0, n.cast(n.finish(acc, out, size), f))
}

// termLetters spells a term out for an operand's rank; dots is how many axes the ellipsis stands for.
func (n *node) termLetters(eq, p string, rank int) (letters []rune, dots int) {
	before, after, dotted := strings.Cut(p, "...")
	named := len(before) + len(after)
	if named > rank || !dotted && named != rank {
		n.fail("equation %q: %q does not fit an operand of %d axes", eq, p, rank)
	}
	for _, s := range []string{before, after} {
		for _, c := range s {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				n.fail("equation %q: %q is no letter", eq, c)
			}
		}
	}
	dots = rank - named
	letters = []rune(before)
	for i := dots - 1; i >= 0; i-- {
		letters = append(letters, ellipsisLetter(i))
	}
	return append(letters, []rune(after)...), dots
}

// diagonals takes the diagonal of axes with one letter: of [n,n] as [n·n], every (n+1)-th element.
func (n *node) diagonals(t term) term {
	for i := 0; i < len(t.letters); i++ {
		j := i + 1
		for j < len(t.letters) && t.letters[j] != t.letters[i] {
			j++
		}
		if j == len(t.letters) {
			continue
		}
		d := t.v.Type.Shape[i]
		if !d.Equal(t.v.Type.Shape[j]) {
			n.fail("a repeated letter names axes of %s and %s", d, t.v.Type.Shape[j])
		}
		k := n.size(d, "an axis whose diagonal is taken")
		v := n.moveAxis(t.v, j, i+1)
		s := v.Type.Shape
		merged := append(append(append(shape.Shape{}, s[:i]...), shape.Const(k*k)), s[i+2:]...)
		v = n.slice(n.reshape(v, merged), i, shape.Const(0), shape.Const(k*k), k+1)
		t = term{v, append(append([]rune{}, t.letters[:j]...), t.letters[j+1:]...)}
		i--
	}
	return t
}

// narrowed drops axes of size 1 whose letter is larger elsewhere.
func (n *node) narrowed(t term, size map[rune]shape.Dim) term {
	var drop []int
	var letters []rune
	for i, c := range t.letters {
		if t.v.Type.Shape[i] == shape.Const(1) && size[c] != shape.Const(1) {
			drop = append(drop, i)
		} else {
			letters = append(letters, c)
		}
	}
	return term{n.squeeze(t.v, drop...), letters}
}

// product multiplies two operands and sums the letters that nobody needs any more.
func (n *node) product(a, b term, keep map[rune]bool) term {
	name := map[rune]byte{}
	spell := func(t term) string {
		s := make([]byte, len(t.letters))
		for i, c := range t.letters {
			if name[c] == 0 {
				if len(name) == 26 {
					failf(CodeLimit, "an einsum with more than 26 letters in two operands")
				}
				name[c] = byte('a' + len(name))
			}
			s[i] = name[c]
		}
		return string(s)
	}
	sa, sb := spell(a), spell(b)
	var out []rune
	for _, t := range []term{a, b} {
		for _, c := range t.letters {
			if keep[c] && (term{nil, out}).index(c) < 0 {
				out = append(out, c)
			}
		}
	}
	return term{n.einsum(sa+","+sb+"->"+spell(term{nil, out}), a.v, b.v, format.Invalid), out}
}

// finish sums what is left over, and brings the axes into the order of the result.
func (n *node) finish(t term, out []rune, size map[rune]shape.Dim) *ir.Value {
	var fold []int
	var letters []rune
	for i, c := range t.letters {
		if (term{nil, out}).index(c) < 0 {
			fold = append(fold, i)
		} else {
			letters = append(letters, c)
		}
	}
	if len(fold) > 0 {
		t = term{n.reduce("sum", t.v, false, fold...), letters}
	}
	perm := make([]int, 0, len(out))
	for _, c := range out {
		if i := t.index(c); i >= 0 {
			perm = append(perm, i)
		}
	}
	v := n.transpose(t.v, perm...)
	s := make(shape.Shape, len(out))
	for i, c := range out {
		s[i] = size[c]
	}
	return n.broadcast(n.reshape(v, n.withOnes(v.Type.Shape, t, out, perm)), s)
}

// withOnes is the shape of a transposed term with axes of size 1 for the letters it lacks.
func (n *node) withOnes(s shape.Shape, t term, out []rune, _ []int) shape.Shape {
	full := make(shape.Shape, len(out))
	k := 0
	for i, c := range out {
		full[i] = shape.Const(1)
		if t.index(c) >= 0 {
			full[i] = s[k]
			k++
		}
	}
	return full
}

// maxDet is the largest matrix whose elimination is written out.
const maxDet = 128

// lowerDet eliminates column by column. Instead of exchanging rows, the first row takes the pivot's place and the pivot row is
// used on its own; the sign turns when they are two.
func lowerDet(n *node) {
	x := n.arg(0)
	s := x.Type.Shape
	rank := len(s)
	if rank < 2 || !s[rank-1].Equal(s[rank-2]) || !x.Type.Format.IsFloat() {
		n.fail("it takes square matrices of floats, found %s", x.Type)
	}
	m := n.size(s[rank-1], "the matrices' size")
	if m > maxDet {
		failf(CodeLimit, "the determinant of a matrix of %d rows, more than %d", m, maxDet)
	}
	batch := append(shape.Shape{}, s[:rank-2]...)
	a := n.reshape(n.wide(x), shape.Shape{batch.Numel(), shape.Const(m), shape.Const(m)})
	det := n.full(a.Type.Format, shape.Shape{batch.Numel()}, 1)
	for k := m; k > 0; k-- {
		col := n.squeeze(n.cut(a, 2, 0, 1), 2) // [B,k]
		p := n.do(op.ArgMax, ir.A("axis", 1), n.abs(col))
		is := n.unsqueeze(n.eq(n.unsqueeze(p, 1), n.iota(format.I32, dims(1, k), 1)), 2) // [B,k,1]
		row := n.reduce("sum", n.sel(is, a, n.like(a, 0)), true, 1)                      // [B,1,k]
		pivot := n.squeeze(n.cut(row, 2, 0, 1), 1, 2)
		swapped := n.ne(p, n.scalar(format.I32, 0))
		det = n.mul(det, n.sel(swapped, n.neg(pivot), pivot))
		if k == 1 {
			break
		}
		a = n.sel(is, n.cut(a, 1, 0, 1), a)
		lower := n.cut(a, 1, 1, k)
		safe := n.sel(n.eq(pivot, n.like(pivot, 0)), n.like(pivot, 1), pivot)
		factor := n.div(n.cut(lower, 2, 0, 1), n.unsqueeze(safe, 1, 2))
		a = n.cut(n.sub(lower, n.mul(factor, row)), 2, 1, k)
	}
	n.set(0, n.cast(n.reshape(det, batch), x.Type.Format))
}
