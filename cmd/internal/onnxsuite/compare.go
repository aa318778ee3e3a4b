package onnxsuite

import (
	"fmt"
	"math"
	"slices"

	"apogee/ir/tensor"
)

// Compare holds a result against what is demanded: the same format and shape, and |got - want| ≤ atol + rtol·|want| for every
// element, NaN equal to NaN; more, where it is not nil, is added to what each element is allowed. It gives the largest deviation over what is allowed, and an error that says where and by how much.
func Compare(got, want *tensor.Tensor, rtol, atol float64, more []float64) (float64, error) {
	if got.Format != want.Format || !slices.Equal(got.Shape, want.Shape) {
		return math.Inf(1), fmt.Errorf("expected %s, found %s", want, got)
	}
	g, err := values(got)
	if err != nil {
		return 0, err
	}
	w, err := values(want)
	if err != nil {
		return 0, err
	}
	worst, at, wrong := 0.0, -1, 0
	for i := range w {
		allowed := atol + rtol*math.Abs(w[i])
		if i < len(more) {
			allowed += more[i]
		}
		e := deviation(g[i], w[i], allowed)
		if e > 1 {
			wrong++
		}
		if e > worst {
			worst, at = e, i
		}
	}
	if wrong > 0 {
		return worst, fmt.Errorf("%d of %d elements differ, the most at %v: expected %v, found %v", wrong, len(w), tensor.Index(want.Shape, int64(at)), w[at], g[at])
	}
	return worst, nil
}

// deviation is how far a number is off in units of what is allowed.
func deviation(got, want, allowed float64) float64 {
	switch {
	case got == want || got != got && want != want || math.IsInf(allowed, 1) && !math.IsInf(want, 0):
		return 0
	case got != got || want != want || math.IsInf(got, 0) || math.IsInf(want, 0):
		return math.Inf(1)
	}
	return math.Abs(got-want) / allowed
}

// values gives the elements as float64, exact but for integers beyond 2^53.
func values(t *tensor.Tensor) ([]float64, error) { return t.F64s() }
