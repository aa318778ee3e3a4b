package op

import (
	"apogee/ir/format"
	"apogee/ir/shape"
)

// Type is the type of one value: the number format of its elements and its shape. A scalar has the
// empty shape.
type Type struct {
	Format format.Format
	Shape  shape.Shape
}

// String prints the type as the IR text has it: bf16[B,T,7168], or i32[] for a scalar.
func (t Type) String() string { return t.Format.String() + "[" + t.Shape.String() + "]" }

// Equal reports whether both formats and all dimensions are the same.
func (t Type) Equal(u Type) bool { return t.Format == u.Format && t.Shape.Equal(u.Shape) }

// Rank is the number of dimensions.
func (t Type) Rank() int { return len(t.Shape) }
