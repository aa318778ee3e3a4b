package accuracy

import (
	"testing"

	"apogee/ir/bound"
	"apogee/targets/chip"
)

// TestOf: figures written out from the definitions of the formats and from what the files say.
func TestOf(t *testing.T) {
	for _, r := range []struct {
		chip, precision string
		want            bound.Arithmetic
	}{
		{"nvidia-h100", "f32", bound.Arithmetic{Narrow: true, Sum: 0x1p-24}},
		{"nvidia-h100", "bf16", bound.Arithmetic{Narrow: true, Operand: 0x1p-8, Tiny: 0x1p-133, Sum: 0x1p-24}},
		{"nvidia-h100", "f16", bound.Arithmetic{Narrow: true, Operand: 0x1p-11, Tiny: 0x1p-24, Sum: 0x1p-24}},
		{"nvidia-h100", "fp8", bound.Arithmetic{Narrow: true, Operand: 0x1p-4, Tiny: 0x1p-9, Sum: 0x1p-14}}, // an accumulator of 14 bits
	} {
		t.Run(r.chip+"/"+r.precision, func(t *testing.T) {
			c, err := chip.Load(r.chip)
			if err != nil {
				t.Fatal(err)
			}
			p, ok := c.Precision(r.precision)
			if !ok {
				t.Fatalf("no precision %s", r.precision)
			}
			if got := Of(c, p); got != r.want {
				t.Errorf("%+v, expected %+v", got, r.want)
			}
		})
	}
	if a := Of(&chip.Chip{FlushSubnormals: true}, chip.Precision{}); a.Flush != 0x1p-126 {
		t.Errorf("a chip that flushes: %g", a.Flush)
	}
}
