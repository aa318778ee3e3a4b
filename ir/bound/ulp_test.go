package bound

import (
	"math"
	"slices"
	"testing"

	"apogee/ir/format"
)

// No number of a narrow format is further from the one below than its unit in the last place.
func TestUlp(t *testing.T) {
	for _, f := range format.All() {
		if !f.IsFloat() || f.Bits() > 16 || !f.Info().HasZero {
			continue
		}
		var all []float64
		for p := range uint64(1) << f.Bits() {
			if x := f.Decode(p); x >= 0 && !math.IsInf(x, 1) {
				all = append(all, x)
			}
		}
		slices.Sort(all)
		for i, x := range all[1:] {
			if x-all[i] > ulp(f, x) {
				t.Errorf("%s: between %g and %g is more than %g", f, all[i], x, ulp(f, x))
			}
		}
	}
}
