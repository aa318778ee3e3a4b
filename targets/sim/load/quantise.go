package load

import (
	"context"
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// rowFloor is the least magnitude that the scale of a row stands for, so that a row of zeros does not divide by zero.
const rowFloor = 1e-12

// quantise writes the codes of part i's rows, or their scales, as [plan.Source] says.
func (s *Source) quantise(ctx context.Context, dst []byte, i int, data []byte) error {
	src := s.buf.Source
	cols := src.Shape[len(src.Shape)-1]
	n := int64(1)
	for _, d := range src.Shape {
		n *= d
	}
	if n == 0 {
		return nil
	}
	wide := alloc(n * 4) // the values in f32, scaled if there are scales
	if len(s.scales) > 0 {
		scale, err := s.scales[i].F32s()
		if err != nil {
			return diag.Errorf(codeRead, diag.Range{}, "%v", err).At("weight " + s.buf.Name)
		}
		if err := dequantise(ctx, wide, format.F32, data, src.Stored, src.Shape, scale, src.Block); err != nil {
			return err
		}
	} else if err := convert(ctx, wide, format.F32, data, src.Stored, n); err != nil {
		return err
	}
	largest := float32(src.Quantise.Info().MaxFinite)
	if src.Quantise.IsInt() {
		largest = float32(src.Quantise.MaxInt())
	}
	mode := src.Quantise.DefaultMode()
	mode.Saturate = true
	row := make([]float32, cols)
	for r := range n / cols {
		if r%64 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		format.DecodeF32(format.F32, row, wide[r*cols*4:][:cols*4])
		most := float32(rowFloor)
		for _, x := range row {
			if x = float32(math.Abs(float64(x))); x > most || x != x {
				most = x
			}
		}
		scale := most / largest
		if src.Scales {
			format.EncodeF32(format.F32, dst[r*4:][:4], []float32{scale}, format.F32.DefaultMode())
			continue
		}
		for k := range row {
			row[k] /= scale
			if src.Quantise.IsInt() {
				row[k] = float32(math.RoundToEven(float64(row[k])))
			}
		}
		format.EncodeF32(src.Quantise, dst[r*cols:][:cols], row, mode)
	}
	return nil
}
