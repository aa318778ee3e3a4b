// Package view says which elements a chain of movement ops reads, as strides over its source.
//
// A reshape, transpose, slice, broadcast, reverse or window moves no data when whoever reads the result can step through
// the source with the right strides. Passes use it to decide which such ops may join a kernel, codegen to address tiles.
// The package must not know chips.
package view

import (
	"apogee/ir"
	"apogee/ir/op"
)

// View addresses the elements of a source value: element (i0, i1, …) is the source's element number Offset + Σ ik·Stride[k], the
// source counted in row-major order. A stride of 0 repeats.
type View struct {
	Source *ir.Value
	Offset int64
	Size   []int64
	Stride []int64
}

// Is reports whether an op only moves elements in a way that strides can describe.
func Is(o *ir.Op) bool {
	switch o.Info {
	case op.Reshape, op.Transpose, op.Slice, op.Broadcast, op.Reverse, op.Window:
		return true
	}
	return false
}

// Whole is the view of a value by itself; ok is false while its shape has symbols.
func Whole(v *ir.Value) (w View, ok bool) {
	size, err := v.Type.Shape.Ints()
	if err != nil {
		return View{}, false
	}
	return View{Source: v, Size: size, Stride: Strides(size)}, true
}

// Strides are the row-major strides, in elements, of a dense shape.
func Strides(size []int64) []int64 {
	s := make([]int64, len(size))
	n := int64(1)
	for i := len(size) - 1; i >= 0; i-- {
		s[i] = n
		n *= size[i]
	}
	return s
}

// Of resolves a value through the movement ops that define it, as far as strides can follow. It always succeeds for
// concrete shapes: where a step cannot be described, the view ends at that step's result.
func Of(v *ir.Value) (View, bool) {
	return Until(v, func(*ir.Value) bool { return false })
}

// Until is Of, but goes no further back than the first value for which stop is true.
func Until(v *ir.Value, stop func(*ir.Value) bool) (View, bool) {
	o := v.Def()
	if o == nil || !Is(o) || stop(v) {
		return Whole(v)
	}
	w, ok := Until(o.Arg(0), stop)
	if !ok {
		return View{}, false
	}
	if r, ok := w.Apply(o); ok {
		return r, true
	}
	return Whole(v)
}

// Apply is the view of the op's result, given the view of its operand; ok is false if strides cannot describe it.
func (w View) Apply(o *ir.Op) (View, bool) {
	out := View{Source: w.Source, Offset: w.Offset}
	res, err := o.Result(0).Type.Shape.Ints()
	if err != nil {
		return out, false
	}
	switch o.Info {
	case op.Transpose:
		for _, a := range o.Attrs.Ints("perm") {
			out.Size = append(out.Size, w.Size[a])
			out.Stride = append(out.Stride, w.Stride[a])
		}
		return out, true
	case op.Slice:
		ax := o.Attrs.Int("axis", 0)
		if ax < 0 {
			ax += int64(len(w.Size))
		}
		d, _ := o.Attrs.Dim("start")
		start, ok := d.Value()
		out.Size = res
		out.Stride = append([]int64(nil), w.Stride...)
		out.Offset += start * w.Stride[ax]
		out.Stride[ax] *= o.Attrs.Int("stride", 1)
		return out, ok
	case op.Reverse:
		out.Size = res
		out.Stride = append([]int64(nil), w.Stride...)
		for _, a := range o.Attrs.Ints("axes") {
			if a < 0 {
				a += int64(len(res))
			}
			if res[a] > 0 {
				out.Offset += (res[a] - 1) * w.Stride[a]
			}
			out.Stride[a] = -w.Stride[a]
		}
		return out, true
	case op.Window:
		ax := o.Attrs.Int("axis", 0)
		if ax < 0 {
			ax += int64(len(w.Size))
		}
		s := w.Stride[ax]
		out.Size = res
		out.Stride = append(append([]int64(nil), w.Stride[:ax]...), s*o.Attrs.Int("stride", 1), s*o.Attrs.Int("dilation", 1))
		out.Stride = append(out.Stride, w.Stride[ax+1:]...)
		return out, true
	case op.Broadcast:
		out.Size = res
		out.Stride = make([]int64, len(res))
		lead := len(res) - len(w.Size)
		for i := range w.Size {
			if w.Size[i] == res[lead+i] {
				out.Stride[lead+i] = w.Stride[i]
			}
		}
		return out, true
	case op.Reshape:
		return w.Reshape(res)
	}
	return out, false
}

// Reshape gives the view another shape with as many elements; ok is false if the strides do not allow it.
func (w View) Reshape(size []int64) (View, bool) {
	out := View{Source: w.Source, Offset: w.Offset, Size: size, Stride: make([]int64, len(size))}
	// Drop axes of one element, then match runs of old axes with runs of new ones.
	var os, ost []int64
	total := int64(1)
	for i, n := range w.Size {
		total *= n
		if n != 1 {
			os, ost = append(os, n), append(ost, w.Stride[i])
		}
	}
	if total == 0 {
		copy(out.Stride, Strides(size))
		return out, true
	}
	i := 0
	for j := 0; j < len(size); {
		if size[j] == 1 {
			j++
			continue
		}
		if i == len(os) {
			return out, false
		}
		ni, nj := os[i], size[j]
		i2, j2 := i+1, j+1
		for ni != nj {
			if ni < nj {
				if i2 == len(os) {
					return out, false
				}
				ni *= os[i2]
				i2++
			} else {
				if j2 == len(size) {
					return out, false
				}
				nj *= size[j2]
				j2++
			}
		}
		for k := i; k+1 < i2; k++ {
			if ost[k] != ost[k+1]*os[k+1] {
				return out, false
			}
		}
		s := ost[i2-1]
		for k := j2 - 1; k >= j; k-- {
			out.Stride[k] = s
			s *= size[k]
		}
		i, j = i2, j2
	}
	return out, i == len(os)
}

// Dense reports whether the view reads its elements in row-major order without gaps.
func (w View) Dense() bool {
	n := int64(1)
	for i := len(w.Size) - 1; i >= 0; i-- {
		if w.Size[i] != 1 && w.Stride[i] != n {
			return false
		}
		n *= w.Size[i]
	}
	return true
}

// Align prepends axes of size 1 and broadcasts the view to a shape by NumPy's rule; the shapes must broadcast.
func (w View) Align(size []int64) View {
	out := View{Source: w.Source, Offset: w.Offset, Size: size, Stride: make([]int64, len(size))}
	lead := len(size) - len(w.Size)
	for i := range w.Size {
		if w.Size[i] != 1 {
			out.Stride[lead+i] = w.Stride[i]
		}
	}
	return out
}
