package load

import (
	"context"
	"math"
	"slices"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/plan"
)

// rowFloor is the least magnitude that the scale of a row stands for, so that a row of zeros does not divide by zero.
const rowFloor = 1e-12

// quantiseBlock is the rows and columns that get one scale: those of the source where no stored scales have them, else a row. It is nil if the
// source's do not fit its shape.
func quantiseBlock(src *plan.Source) []int64 {
	if src.Scale != "" || len(src.Block) == 0 {
		return []int64{max(src.Shape[len(src.Shape)-1], 1)}
	}
	if len(src.Block) != 2 || len(src.Shape) < 2 || slices.Min(src.Block) < 1 {
		return nil
	}
	return src.Block
}

// quantise writes the codes of part i's rows or blocks, or their scales, as [plan.Source] says.
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
	// Matrices of rows by cols, in blocks of high by broad.
	rows, high, broad := n/cols, int64(1), cols
	if b := quantiseBlock(src); len(b) == 2 {
		rows, high, broad = src.Shape[len(src.Shape)-2], min(b[0], src.Shape[len(src.Shape)-2]), min(b[1], cols)
	}
	largest := float32(src.Quantise.Info().MaxFinite)
	if src.Quantise.IsInt() {
		largest = float32(src.Quantise.MaxInt())
	}
	mode := src.Quantise.DefaultMode()
	mode.Saturate = true
	row := make([]float32, cols)
	scales := make([]float32, (cols-1)/broad+1) // of one row of blocks
	read := func(r int64) { format.DecodeF32(format.F32, row, wide[r*cols*4:][:cols*4]) }
	done := 0
	for first := int64(0); first < n/cols; {
		if err := ctx.Err(); err != nil {
			return err
		}
		last := min(first+high, (first/rows+1)*rows) // blocks end with their matrix
		for k := range scales {
			scales[k] = rowFloor
		}
		for r := first; r < last; r++ {
			read(r)
			for b := range scales {
				most := scales[b]
				for _, x := range row[int64(b)*broad : min(int64(b+1)*broad, cols)] {
					if x = float32(math.Abs(float64(x))); x > most || x != x {
						most = x
					}
				}
				scales[b] = most
			}
		}
		for k := range scales {
			scales[k] /= largest
		}
		if src.Scales {
			format.EncodeF32(format.F32, dst[done*4:][:len(scales)*4], scales, format.F32.DefaultMode())
			done += len(scales)
			first = last
			continue
		}
		for r := first; r < last; r++ {
			if last-first > 1 {
				read(r)
			}
			for b, scale := range scales {
				part := row[int64(b)*broad : min(int64(b+1)*broad, cols)]
				for k := range part {
					if part[k] /= scale; src.Quantise.IsInt() {
						part[k] = float32(math.RoundToEven(float64(part[k])))
					}
				}
			}
			format.EncodeF32(src.Quantise, dst[r*cols:][:cols], row, mode)
		}
		first = last
	}
	return nil
}
