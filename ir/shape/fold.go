package shape

// Arithmetic is what [Fold] computes with in place of numbers.
type Arithmetic[T any] struct {
	Num func(n int64) T
	Sym func(name string) T
	Add func(a, b T) T
	Mul func(a, b T) T
	// Floor divides by a positive number, rounding down; of is the dimension that a stands for.
	Floor func(a T, of Dim, by int64) T
}

// Fold computes a valid dimension in another arithmetic, such as nodes of a graph: terms in their order, the number last.
func Fold[T any](d Dim, c Arithmetic[T]) T {
	var sum T
	empty := true
	add := func(x T) {
		if empty {
			sum, empty = x, false
		} else {
			sum = c.Add(sum, x)
		}
	}
	for _, t := range d.terms() {
		var p T
		for i, a := range t.atoms {
			var v T
			if a.div == 0 {
				v = c.Sym(a.text)
			} else {
				v = c.Floor(Fold(a.num, c), a.num, a.div)
			}
			if i == 0 {
				p = v
			} else {
				p = c.Mul(p, v)
			}
		}
		if t.coef != 1 {
			p = c.Mul(p, c.Num(t.coef))
		}
		add(p)
	}
	if d.n != 0 || empty {
		add(c.Num(d.n))
	}
	return sum
}
