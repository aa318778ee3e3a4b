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

// quantiseBlock is the rows and columns that get one scale: those of the source, else a row. It is nil if the source's do not fit its shape.
func quantiseBlock(src *plan.Source) []int64 {
	if len(src.QuantiseBlock) == 0 {
		return []int64{max(src.Shape[len(src.Shape)-1], 1)}
	}
	if len(src.QuantiseBlock) != 2 || len(src.Shape) < 2 || slices.Min(src.QuantiseBlock) < 1 {
		return nil
	}
	return src.QuantiseBlock
}

// madeFormat is the format of the codes or scales that a source asks for.
func madeFormat(src *plan.Source) format.Format {
	switch {
	case !src.Scales:
		return src.Quantise
	case src.MX:
		return format.F8E8M0
	}
	return format.F32
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
			if src.MX {
				scales[k] = format.MXScale(src.Quantise, scales[k])
			} else {
				scales[k] /= largest
			}
		}
		if src.Scales {
			f := madeFormat(src)
			size := len(scales) * f.Bits() / 8
			format.EncodeF32(f, dst[done:][:size], scales, f.DefaultMode())
			done += size
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
			if bits := int64(src.Quantise.Bits()); cols*bits%8 == 0 {
				format.EncodeF32(src.Quantise, dst[r*cols*bits/8:][:cols*bits/8], row, mode)
				continue
			}
			for k, x := range row { // rows do not begin at whole bytes
				format.Put(src.Quantise, dst, int(r*cols)+k, src.Quantise.EncodeMode(float64(x), mode))
			}
		}
		first = last
	}
	return nil
}
