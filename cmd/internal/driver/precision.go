package driver

import (
	"fmt"
	"strings"

	"apogee/ir/format"
	"apogee/targets/chip"
)

// Auto is the precision that a chip would really use for a model.
const Auto = "auto"

// choosePrecision finds what a chip does for a name as --precision has it. Auto takes FP8 for a checkpoint that stores FP8 when the chip
// multiplies it, else the first of the chip's own order. An unknown or impossible name is an error that lists what the chip can do.
func choosePrecision(c *chip.Chip, name string, storesFP8 bool) (chip.Precision, error) {
	if name == "" || name == Auto {
		if p, ok := c.Precision("fp8"); ok && storesFP8 {
			return p, nil
		}
		if auto := c.AutoPrecisions(); len(auto) > 0 {
			return auto[0], nil
		}
		name = "f32"
	}
	if p, ok := c.Precision(name); ok {
		return p, nil
	}
	var can []string
	for _, p := range c.Precisions {
		can = append(can, p.Name)
	}
	return chip.Precision{}, fmt.Errorf("%s cannot do --precision %s; it can do auto, %s", c.Name, name, strings.Join(can, ", "))
}

// activation is the format in which a model's values between products are kept.
func activation(c *chip.Chip, p chip.Precision) format.Format {
	switch p.Name {
	case "f32", "tf32", "hf32":
		return format.F32
	case "bf16":
		return format.BF16
	case "f16":
		return format.F16
	}
	// Narrow products leave the values between them to the widest 16-bit precision that the chip has, bf16 first for its range.
	for _, n := range []string{"bf16", "f16"} {
		if q, ok := c.Precision(n); ok {
			return q.Activation
		}
	}
	return format.F32
}
