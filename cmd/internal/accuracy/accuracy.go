package accuracy

import (
	"math"

	"apogee/ir/bound"
	"apogee/ir/format"
	"apogee/targets/chip"
)

// Of is how accurately a chip computes at a precision: operands of products are rounded to its formats, sums are kept in its accumulator,
// and values between ops may be in its activation format.
func Of(c *chip.Chip, p chip.Precision) bound.Arithmetic {
	a := bound.Arithmetic{Narrow: true}
	if c.FlushSubnormals {
		a.Flush = format.F32.Info().MinNormal
	}
	for _, f := range []format.Format{p.Activation, p.Weight, p.A, p.B} {
		if f.IsFloat() && f.Info().ManBits < 23 {
			a.Operand = max(a.Operand, unit(f))
			a.Tiny = max(a.Tiny, f.Info().MinSubnormal)
		}
	}
	if _, r, ok := c.MatrixAcc(p.A, p.B, p.Acc); ok && p.Acc.IsFloat() {
		a.Sum = max(unit(p.Acc), unit(format.F32))
		if r.AccBits > 0 {
			a.Sum = max(a.Sum, math.Ldexp(1, -r.AccBits))
		}
	}
	return a
}

// unit is the unit roundoff of a format: half the distance from 1 to the next number.
func unit(f format.Format) float64 { return math.Ldexp(1, -f.Info().ManBits-1) }
