package shape

import (
	"fmt"
	"math"
	"strings"
)

// Shape is the dimensions of a tensor, outermost first. Nil and empty are a
// scalar's shape.
type Shape []Dim

// Of returns the shape with those numbers.
func Of(dims ...int64) Shape {
	s := make(Shape, len(dims))
	for i, d := range dims {
		s[i] = Const(d)
	}
	return s
}

// Parse reads dimensions separated by commas, "B,T,7168"; the empty text is a
// scalar's shape.
func Parse(text string) (Shape, error) {
	if strings.TrimSpace(text) == "" {
		return Shape{}, nil
	}
	parts := strings.Split(text, ",")
	s := make(Shape, len(parts))
	for i, p := range parts {
		d, err := ParseDim(p)
		if err != nil {
			return nil, fmt.Errorf("shape axis %d: %w", i, err)
		}
		s[i] = d
	}
	return s, nil
}

// Rank returns the number of dimensions.
func (s Shape) Rank() int { return len(s) }

// Numel returns the product of the dimensions, 1 for a scalar. It is invalid on
// overflow, unless a dimension is 0.
func (s Shape) Numel() Dim {
	n := Const(1)
	for _, d := range s {
		if d == (Dim{}) {
			return Dim{}
		}
	}
	for _, d := range s {
		n = n.Mul(d)
	}
	return n
}

// String returns the dimensions separated by commas, without brackets.
func (s Shape) String() string { return string(s.Append(nil)) }

// Append appends the text of String to b.
func (s Shape) Append(b []byte) []byte {
	for i, d := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = d.Append(b)
	}
	return b
}

// Equal reports whether both have the same dimensions in the same order.
func (s Shape) Equal(o Shape) bool {
	if len(s) != len(o) {
		return false
	}
	for i := range s {
		if s[i] != o[i] {
			return false
		}
	}
	return true
}

// IsConst reports whether every dimension is a number.
func (s Shape) IsConst() bool {
	for _, d := range s {
		if !d.IsConst() {
			return false
		}
	}
	return true
}

// Ints returns the dimensions as numbers; it fails when one is symbolic.
func (s Shape) Ints() ([]int64, error) {
	out := make([]int64, len(s))
	for i, d := range s {
		n, ok := d.Value()
		if !ok {
			return nil, fmt.Errorf("shape [%s]: axis %d is %s, expected a number", s, i, d)
		}
		out[i] = n
	}
	return out, nil
}

// Eval returns the dimensions as numbers, with the symbols' values from env.
func (s Shape) Eval(env map[string]int64) ([]int64, error) {
	out := make([]int64, len(s))
	for i, d := range s {
		n, err := d.Eval(env)
		if err != nil {
			return nil, fmt.Errorf("shape [%s], axis %d: %w", s, i, err)
		}
		out[i] = n
	}
	return out, nil
}

// Subst returns the shape with symbols replaced: see [Dim.Subst].
func (s Shape) Subst(env map[string]Dim) Shape {
	out := make(Shape, len(s))
	for i, d := range s {
		out[i] = d.Subst(env)
	}
	return out
}

// Symbols returns the names of all symbols, in order of first appearance.
func (s Shape) Symbols() []string {
	var out []string
	seen := map[string]bool{}
	for _, d := range s {
		for _, n := range d.Symbols() {
			if !seen[n] {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	return out
}

// Err returns the first dimension's error: one that is invalid, or a number below
// zero.
func (s Shape) Err() error {
	for i, d := range s {
		if err := d.Err(); err != nil {
			return fmt.Errorf("shape axis %d: %w", i, err)
		}
		if n, ok := d.Value(); ok && n < 0 {
			return fmt.Errorf("shape [%s]: axis %d is negative", s, i)
		}
	}
	return nil
}

// Broadcast returns the shape that a and b broadcast to by numpy's rule: aligned at
// the last axis, missing axes count as 1, and two dimensions must be equal or one
// of them 1. A symbol is equal to itself alone.
func Broadcast(a, b Shape) (Shape, error) {
	out := make(Shape, max(len(a), len(b)))
	for i := 1; i <= len(out); i++ {
		da, db := Const(1), Const(1)
		if i <= len(a) {
			da = a[len(a)-i]
		}
		if i <= len(b) {
			db = b[len(b)-i]
		}
		at := len(out) - i
		switch one := Const(1); {
		case da == db || db == one:
			out[at] = da
		case da == one:
			out[at] = db
		default:
			return nil, fmt.Errorf("[%s] and [%s] do not broadcast: axis -%d is %s in one and %s in the other", a, b, i, da, db)
		}
	}
	return out, nil
}

// Strides returns how many elements apart neighbours along each axis are in a
// dense row-major tensor. It is nil on a negative dimension or when a stride does
// not fit an int64.
func Strides(dims []int64) []int64 {
	out := make([]int64, len(dims))
	step := int64(1)
	for i := len(dims) - 1; i >= 0; i-- {
		if dims[i] < 0 || step < 0 {
			return nil
		}
		out[i] = step
		if dims[i] > 1 && step > math.MaxInt64/dims[i] {
			step = -1 // too big: wrong only when a stride is still wanted
			continue
		}
		step *= dims[i]
	}
	return out
}
