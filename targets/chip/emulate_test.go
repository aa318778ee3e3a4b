package chip_test

import (
	"testing"

	"apogee/ir/format"
	"apogee/targets/chip"
)

// TestEmulate: a format without a rate has that of a routine, slower than the words it is made of, the more so the wider it is; an engine
// without integers has none.
func TestEmulate(t *testing.T) {
	e := &chip.Engine{Kind: chip.Vector, Vector: []chip.VectorRate{
		{Format: format.F32, Op: chip.Basic, ElementsPerCycle: chip.Quantity{Value: 64}},
		{Format: format.I32, Op: chip.Basic, ElementsPerCycle: chip.Quantity{Value: 64}},
	}}
	rate := func(f format.Format, op chip.OpClass) float64 {
		r := e.Emulate(f, op)
		if r == nil || r.Emulated() == "" || r.Format != f || r.Op != op {
			t.Fatalf("%s %s: %+v", f, op, r)
		}
		return r.ElementsPerCycle.Value
	}
	last := 64.0
	for _, f := range []format.Format{format.U32, format.I64, format.F64} {
		if v := rate(f, chip.Basic); !(v < last) {
			t.Errorf("%s basic runs at %g, and what is simpler at %g", f, v, last)
		} else {
			last = v
		}
		for _, op := range []chip.OpClass{chip.Divide, chip.Transcendental, chip.Reduce, chip.Sort} {
			if v := rate(f, op); !(v < last) {
				t.Errorf("%s %s runs at %g, basic at %g", f, op, v, last)
			}
		}
	}
	if r := e.EmulateCast(format.F64, format.F8E4M3FN); r == nil || !(r.ElementsPerCycle.Value < 64) {
		t.Errorf("a conversion: %+v", r)
	}
	e.Vector = e.Vector[:1]
	if r := e.Emulate(format.I64, chip.Basic); r != nil {
		t.Errorf("without integers: %+v", r)
	}
}
