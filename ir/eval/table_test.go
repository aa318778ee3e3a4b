package eval

import (
	"testing"

	"apogee/ir/op"
)

// TestEveryOpHasAMeaning: an op without one could not be judged anywhere.
func TestEveryOpHasAMeaning(t *testing.T) {
	for _, i := range op.All() {
		if i.Terminator || i == op.Kernel || i == op.Cast || i == op.Bitcast {
			continue
		}
		if i.Class == op.Elementwise {
			if i.Real == nil && i.Integer == nil {
				t.Errorf("%s: neither Real nor Integer", i.Name)
			}
		} else if table[i] == nil {
			t.Errorf("%s: no entry in the evaluator's table", i.Name)
		}
	}
}
