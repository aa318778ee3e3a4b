package tensor

import (
	"fmt"
	"math"
	"slices"
)

// Difference says how far two tensors of one shape lie apart. An element is close
// when |a-b| <= atol + rtol*|b|; equal infinities are close, and a NaN is close to
// a NaN alone.
type Difference struct {
	Elements int64   // how many were compared
	Far      int64   // how many are not close
	Worst    int64   // number of the element that exceeds its tolerance most; -1 when there are none
	Index    []int64 // the same as one index an axis
	A, B     float64 // its two values
	Abs, Rel float64 // |A-B|, and that over |B|
	MaxAbs   float64 // largest |a-b| of all
	RMS      float64 // root mean square of a-b over the pairs of finite values
}

// String says it in one line.
func (d Difference) String() string {
	if d.Worst < 0 {
		return "no elements"
	}
	return fmt.Sprintf("%d of %d elements differ; worst at [%s]: %v against %v, %.3g apart (relative %.3g); rms %.3g",
		d.Far, d.Elements, Dims(d.Index), d.A, d.B, d.Abs, d.Rel, d.RMS)
}

// Compare measures how far a lies from the reference b. It fails when the shapes
// differ or bytes cannot be read; formats may differ.
func Compare(a, b *Tensor, rtol, atol float64) (Difference, error) {
	if !slices.Equal(a.Shape, b.Shape) {
		return Difference{}, fmt.Errorf("shapes differ: %s against %s", a, b)
	}
	xs, err := a.F64s()
	if err != nil {
		return Difference{}, err
	}
	ys, err := b.F64s()
	if err != nil {
		return Difference{}, err
	}
	d := Difference{Elements: a.numel, Worst: -1}
	worst, sum, pairs := math.Inf(-1), 0.0, 0
	for i, x := range xs {
		y := ys[i]
		diff := math.Abs(x - y)
		limit := atol + float64(rtol*math.Abs(y)) // the conversion: not fused, on no machine
		switch {
		case x == y || x != x && y != y:
			diff, limit = 0, atol
			if x-x == 0 {
				pairs++
			}
		case math.IsInf(x, 0) || math.IsInf(y, 0) || x != x || y != y:
			diff, limit = math.Inf(1), 0
		default:
			sum += float64(diff * diff)
			pairs++
		}
		if diff > limit {
			d.Far++
		}
		d.MaxAbs = max(d.MaxAbs, diff)
		if over := diff - limit; over > worst {
			worst, d.Worst, d.A, d.B, d.Abs = over, int64(i), x, y, diff
		}
	}
	if d.Worst >= 0 {
		d.Index = Index(a.Shape, d.Worst)
		d.Rel = d.Abs / math.Abs(d.B)
		if d.Abs == 0 {
			d.Rel = 0
		}
	}
	if pairs > 0 {
		d.RMS = math.Sqrt(sum / float64(pairs))
	}
	return d, nil
}

// AllClose returns nil when every element of a is close to that of the reference b
// (see [Difference]); else an error that names the worst element and counts them.
func AllClose(a, b *Tensor, rtol, atol float64) error {
	d, err := Compare(a, b, rtol, atol)
	if err != nil {
		return err
	}
	if d.Far > 0 {
		return fmt.Errorf("%s, with rtol %g and atol %g", d, rtol, atol)
	}
	return nil
}
