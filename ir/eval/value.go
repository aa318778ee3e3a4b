package eval

import (
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// Value is a tensor as the evaluator works on it: float formats in F, integers and bools in I, row-major.
type Value struct {
	Format format.Format
	Shape  []int64
	F      []float64
	I      []int64
}

func numel(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func newValue(f format.Format, shape []int64) *Value {
	v := &Value{Format: f, Shape: shape}
	if f.IsFloat() {
		v.F = make([]float64, numel(shape))
	} else {
		v.I = make([]int64, numel(shape))
	}
	return v
}

// FromTensor decodes a tensor.
func FromTensor(t *tensor.Tensor) (*Value, error) {
	v := &Value{Format: t.Format, Shape: t.Shape}
	var err error
	switch {
	case t.Format.IsFloat():
		v.F, err = t.F64s()
	case t.Format == format.U64: // the bits: the evaluator tells large numbers from negative ones by the format
		var b []byte
		if b, err = t.Bytes(); err == nil {
			v.I = make([]int64, t.Numel())
			format.DecodeI64(t.Format, v.I, b)
		}
	default:
		v.I, err = t.I64s()
	}
	return v, err
}

// Tensor encodes the value; its elements are in its format already.
func (v *Value) Tensor() (*tensor.Tensor, error) {
	if v.Format.IsFloat() {
		return tensor.FromF64(v.Format, v.Shape, v.F)
	}
	return tensor.FromI64(v.Format, v.Shape, v.I)
}

// round brings a result to a format.
func round(f format.Format, x float64) float64 {
	switch f {
	case format.F64:
		return x
	case format.F32:
		return float64(float32(x))
	}
	return f.Round(x)
}

// wrap brings an integer result to a format.
func wrap(f format.Format, x int64) int64 {
	switch f {
	case format.I64:
		return x
	case format.I32:
		return int64(int32(x))
	case format.Bool:
		return x & 1
	}
	return f.DecodeInt(f.EncodeInt(x))
}

func strides(shape []int64) []int64 {
	s := make([]int64, len(shape))
	n := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// walk calls f for every index of a shape in row-major order with the element offsets that the given strides lead to.
func walk(shape []int64, strides [][]int64, f func(i int64, off []int64)) {
	total := numel(shape)
	if total == 0 {
		return
	}
	off := make([]int64, len(strides))
	idx := make([]int64, len(shape))
	for i := int64(0); ; {
		f(i, off)
		if i++; i == total {
			return
		}
		for d := len(shape) - 1; ; d-- {
			idx[d]++
			for k := range strides {
				off[k] += strides[k][d]
			}
			if idx[d] < shape[d] {
				break
			}
			for k := range strides {
				off[k] -= strides[k][d] * shape[d]
			}
			idx[d] = 0
		}
	}
}

// broadcastStrides are the strides with which a tensor of shape s is read at the indices of shape to.
func broadcastStrides(s, to []int64) []int64 {
	out := make([]int64, len(to))
	st := strides(s)
	lead := len(to) - len(s)
	for i := range s {
		if s[i] != 1 {
			out[lead+i] = st[i]
		}
	}
	return out
}

// pickFrom builds a value of a shape by reading src at the offsets of a walk.
func pickFrom(src *Value, shape []int64, base int64, st []int64) *Value {
	out := &Value{Format: src.Format, Shape: shape}
	if src.F != nil {
		out.F = make([]float64, numel(shape))
		walk(shape, [][]int64{st}, func(i int64, off []int64) { out.F[i] = src.F[base+off[0]] })
	} else {
		out.I = make([]int64, numel(shape))
		walk(shape, [][]int64{st}, func(i int64, off []int64) { out.I[i] = src.I[base+off[0]] })
	}
	return out
}

func clone(v *Value) *Value {
	return &Value{Format: v.Format, Shape: v.Shape, F: append([]float64(nil), v.F...), I: append([]int64(nil), v.I...)}
}
