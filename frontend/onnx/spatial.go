package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// spatial is how a kernel slides over the axes behind batch and channels, as the attributes of convolutions and pools say it.
type spatial struct {
	kernel, stride, dilation []int64
	low, high                []int64 // padding; high may reach further than the pads, so that the last window fits (ceil_mode)
	extra                    []int64 // how much of high is that
	out                      []int64 // windows along each axis; -1 where the axis is a symbol
}

// reach is how many elements window i spans.
func (s *spatial) reach(i int) int64 { return (s.kernel[i]-1)*s.dilation[i] + 1 }

// list or ones.
func (n *node) spatialList(name string, count int, def int64) []int64 {
	v := n.attrInts(name)
	if v == nil {
		v = make([]int64, count)
		for i := range v {
			v[i] = def
		}
		return v
	}
	if len(v) != count {
		n.fail("attribute %s has %d elements, expected %d", name, len(v), count)
	}
	for _, x := range v {
		if x < def {
			n.fail("attribute %s holds %d, expected at least %d", name, x, def)
		}
	}
	return append([]int64(nil), v...)
}

// spatial reads the attributes for x [N,C,D…] and a kernel.
func (n *node) spatial(x *ir.Value, kernel []int64) *spatial {
	rank := len(x.Type.Shape) - 2
	if rank < 0 || len(kernel) != rank {
		n.fail("x is %s, which does not fit a kernel of %d axes: expected [N, C, D…]", x.Type, len(kernel))
	}
	for _, k := range kernel {
		if k < 1 {
			n.fail("the kernel is %v, expected at least 1 along each axis", kernel)
		}
	}
	s := &spatial{kernel: kernel, stride: n.spatialList("strides", rank, 1), dilation: n.spatialList("dilations", rank, 1)}
	pads := n.spatialList("pads", 2*rank, 0)
	s.low, s.high, s.extra, s.out = pads[:rank:rank], append([]int64(nil), pads[rank:]...), make([]int64, rank), make([]int64, rank)
	auto := n.attrStr("auto_pad", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
	ceil := n.attrBool("ceil_mode", false)
	for i := range kernel {
		d := x.Type.Shape[i+2]
		size, known := d.Value()
		if !known && (ceil || auto == "SAME_UPPER" || auto == "SAME_LOWER") {
			size = n.size(d, "a spatial axis of x")
			known = true
		}
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			out := (size + s.stride[i] - 1) / s.stride[i]
			total := max((out-1)*s.stride[i]+s.reach(i)-size, 0)
			s.low[i], s.high[i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				s.low[i], s.high[i] = s.high[i], s.low[i]
			}
		case "VALID":
			s.low[i], s.high[i] = 0, 0
		}
		s.out[i] = -1
		if !known {
			continue
		}
		span := size + s.low[i] + s.high[i] - s.reach(i)
		if span < 0 && !ceil {
			n.fail("a window of %d elements does not fit axis %d of x, which has %d with its padding", s.reach(i), i+2, size+s.low[i]+s.high[i])
		}
		s.out[i] = span/s.stride[i] + 1
		if ceil {
			s.out[i] = max((span+s.stride[i]-1)/s.stride[i]+1, 0)
			if (s.out[i]-1)*s.stride[i] >= size+s.low[i] { // windows that begin in the padding behind are left out
				s.out[i]--
			}
			s.extra[i] = max((s.out[i]-1)*s.stride[i]+s.reach(i)-size-s.low[i]-s.high[i], 0)
			s.high[i] += s.extra[i]
		}
	}
	return s
}

// padded surrounds x's spatial axes with a value.
func (n *node) padded(x *ir.Value, s *spatial, value *ir.Value) *ir.Value {
	rank := len(x.Type.Shape)
	lo, hi := make([]int64, rank), make([]int64, rank)
	copy(lo[rank-len(s.low):], s.low)
	copy(hi[rank-len(s.high):], s.high)
	return n.pad(x, lo, hi, value)
}

// windows gives padded x [..., D1, D2, …] as [..., O1, K1, O2, K2, …]: axis first+2i counts windows along spatial axis i and the next one
// the elements of a window.
func (n *node) windows(x *ir.Value, s *spatial) *ir.Value {
	first := len(x.Type.Shape) - len(s.kernel)
	for i := range s.kernel {
		x = n.do(op.Window, ir.A("axis", first+2*i, "size", s.kernel[i], "stride", s.stride[i], "dilation", s.dilation[i]), x)
		if at := first + 2*i; s.out[i] >= 0 && !x.Type.Shape[at].Equal(shape.Const(s.out[i])) { // what is left behind the last window
			x = n.cut(x, at, 0, s.out[i])
		}
	}
	return x
}

// letters for axes in einsum specs; those of spatial axes follow.
const axisLetters = "hijklopqrstuvwxyzabdef"

// convolve multiplies windows of padded x [N,C,D…] with w [M,C/groups,K…] into [N,M,O…]. It is one contraction over a view: windows are
// strides.
func (n *node) convolve(x, w *ir.Value, s *spatial, groups int64, out format.Format) *ir.Value {
	rank := len(s.kernel)
	if 2*rank > len(axisLetters) {
		failf(CodeLimit, "a convolution over %d axes", rank)
	}
	m, c := w.Type.Shape[0], x.Type.Shape[1]
	perM, okM := m.Div(shape.Const(groups))
	perC, okC := c.Div(shape.Const(groups))
	if !okM || !okC || !perC.Equal(w.Type.Shape[1]) {
		n.fail("x is %s and W is %s: with group = %d, W has %d-th the channels of x in axis 1, and a multiple of %d kernels in axis 0", x.Type, w.Type, groups, groups, groups)
	}
	v := n.windows(x, s)
	xs, ws, ys := "", "", ""
	var spatialOut shape.Shape
	for i := range rank {
		o, k := axisLetters[2*i:2*i+1], axisLetters[2*i+1:2*i+2]
		xs, ws, ys = xs+o+k, ws+k, ys+o
		spatialOut = append(spatialOut, v.Type.Shape[2+2*i])
	}
	if groups == 1 {
		return n.einsum("nc"+xs+",mc"+ws+"->nm"+ys, v, w, out)
	}
	g := shape.Const(groups)
	tail := v.Type.Shape[2:]
	one := shape.Const(1)
	kernel := w.Type.Shape[2:]
	var y *ir.Value
	switch {
	case perC.Equal(one) && perM.Equal(one): // depthwise
		y = n.einsum("ng"+xs+",g"+ws+"->ng"+ys, v, n.reshape(w, append(shape.Shape{g}, kernel...)), out)
	case perC.Equal(one):
		y = n.einsum("ng"+xs+",gm"+ws+"->ngm"+ys, v, n.reshape(w, append(shape.Shape{g, perM}, kernel...)), out)
	default:
		v = n.reshape(v, append(shape.Shape{x.Type.Shape[0], g, perC}, tail...))
		y = n.einsum("ngc"+xs+",gmc"+ws+"->ngm"+ys, v, n.reshape(w, append(shape.Shape{g, perM, perC}, kernel...)), out)
	}
	return n.reshape(y, append(shape.Shape{x.Type.Shape[0], m}, spatialOut...))
}

// addChannel adds a value a channel, axis 1 of y.
func (n *node) addChannel(y, bias *ir.Value) *ir.Value {
	if bias == nil {
		return y
	}
	return n.add(y, n.perAxis(bias, len(y.Type.Shape), 1))
}

// kernelOf gives the kernel's sizes from W [M,C/groups,K…], which kernel_shape must agree with.
func (n *node) kernelOf(w *ir.Value) []int64 {
	if len(w.Type.Shape) < 2 {
		n.fail("W is %s, expected [M, C/group, K…]", w.Type)
	}
	k := n.sizes(w.Type.Shape[2:], "the kernel's shape")
	if given := n.attrInts("kernel_shape"); given != nil {
		if len(given) != len(k) {
			n.fail("kernel_shape is %v, but W is %s", given, w.Type)
		}
		for i := range k {
			if k[i] != given[i] {
				n.fail("kernel_shape is %v, but W is %s", given, w.Type)
			}
		}
	}
	return k
}
