package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "DFT", Since: 17, Lower: func(n *node) { n.lowerDFT(n.attrInt("axis", 1)) }, Doc: "Discrete Fourier transform; the axis is an attribute."},
		Row{Op: "DFT", Since: 20, Lower: func(n *node) {
			axis := int64(-2)
			if n.has(2) {
				axis = n.int(2)
			}
			n.lowerDFT(axis)
		}, Doc: "The axis is an operand."},
		Row{Op: "STFT", Since: 17, Lower: lowerSTFT, Doc: "The transform of windows that slide over a signal."},
		Row{Op: "HannWindow", Since: 17, Lower: cosineWindow(0.5, 0.5, 0), Doc: "0.5 - 0.5 cos."},
		Row{Op: "HammingWindow", Since: 17, Lower: cosineWindow(25.0/46, 21.0/46, 0), Doc: "25/46 - 21/46 cos."},
		Row{Op: "BlackmanWindow", Since: 17, Lower: cosineWindow(0.42, 0.5, 0.08), Doc: "0.42 - 0.5 cos + 0.08 cos of the double."},
		Row{Op: "MelWeightMatrix", Since: 17, Lower: melWeights, Doc: "Triangles that are even on the mel scale."},
	)
}

// maxDFT bounds the length of a transform: it is a product with a matrix.
const maxDFT = 1 << 13

// turns gives cos and sin of 2π·k·i/n for k below rows and i below columns, as [columns, rows].
func (n *node) turns(f format.Format, columns, rows, length int64) (cos, sin *ir.Value) {
	if length > maxDFT {
		failf(CodeLimit, "a Fourier transform of %d elements, more than %d", length, maxDFT)
	}
	c, s := make([]float64, columns*rows), make([]float64, columns*rows)
	for i := range columns {
		for k := range rows {
			a := 2 * math.Pi * float64(k*i%length) / float64(length)
			c[i*rows+k], s[i*rows+k] = math.Cos(a), math.Sin(a)
		}
	}
	return n.floatsConst(f, []int64{columns, rows}, c), n.floatsConst(f, []int64{columns, rows}, s)
}

// fit cuts an axis to a length, or pads it with zeros.
func (n *node) fit(x *ir.Value, axis int, length int64) *ir.Value {
	hi := make([]int64, len(x.Type.Shape))
	hi[axis] = length - n.size(x.Type.Shape[axis], "the axis of the transform")
	return n.pad(x, make([]int64, len(hi)), hi, n.like(x, 0))
}

// transform is the transform of re + i·im along an axis, im nil for a real signal; rows are how many frequencies are wanted.
func (n *node) transform(re, im *ir.Value, axis int, length, rows int64, inverse bool) (outRe, outIm *ir.Value) {
	cos, sin := n.turns(re.Type.Format, length, rows, length)
	times := func(x, m *ir.Value) *ir.Value {
		names := axisLetters[:len(x.Type.Shape)]
		return n.einsum(names+","+names[axis:axis+1]+"c->"+names[:axis]+"c"+names[axis+1:], x, m, format.Invalid)
	}
	// e^(-ia) = cos a - i sin a; the inverse has the other sign.
	outRe, outIm = times(re, cos), n.neg(times(re, sin))
	if inverse {
		outIm = n.neg(outIm)
	}
	if im != nil {
		s := times(im, sin)
		if inverse {
			s = n.neg(s)
		}
		outRe, outIm = n.add(outRe, s), n.add(outIm, times(im, cos))
	}
	if inverse {
		outRe, outIm = n.divc(outRe, float64(length)), n.divc(outIm, float64(length))
	}
	return outRe, outIm
}

// complexParts splits the last axis, of one or two elements, into real and imaginary parts; the second is nil for real signals.
func (n *node) complexParts(x *ir.Value) (re, im *ir.Value) {
	last := len(x.Type.Shape) - 1
	switch n.size(x.Type.Shape[last], "the last axis") {
	case 1:
		return n.squeeze(x, last), nil
	case 2:
		return n.squeeze(n.cut(x, last, 0, 1), last), n.squeeze(n.cut(x, last, 1, 2), last)
	}
	n.fail("the last axis of %s has real and imaginary part, or the real part alone", x.Type)
	return nil, nil
}

// joined puts real and imaginary parts into a last axis.
func (n *node) joined(re, im *ir.Value) *ir.Value {
	last := len(re.Type.Shape)
	return n.concat(last, n.unsqueeze(re, last), n.unsqueeze(im, last))
}

func (n *node) lowerDFT(axisAttr int64) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	axis := n.axis(axisAttr, rank)
	if rank < 2 || axis == rank-1 {
		n.fail("axis %d of %s is no axis of the signal", axisAttr, x.Type)
	}
	inverse, half := n.attrBool("inverse", false), n.attrBool("onesided", false)
	size := n.size(x.Type.Shape[axis], "the axis of the transform")
	length := size
	if inverse && half {
		length = 2 * (size - 1)
	}
	if n.has(1) {
		length = n.int(1)
	}
	if length < 1 {
		n.fail("the length of the transform is %d", length)
	}
	re, im := n.complexParts(n.wide(x))
	if !(inverse && half) {
		rows := length
		if half {
			rows = length/2 + 1
		}
		re = n.fit(re, axis, length)
		if im != nil {
			im = n.fit(im, axis, length)
		}
		a, b := n.transform(re, im, axis, length, rows, inverse)
		n.set(0, n.cast(n.joined(a, b), x.Type.Format))
		return
	}
	// Half of a spectrum back to a real signal: each frequency but the first and, of an even length, the last counts twice.
	bins := length/2 + 1
	cos, sin := n.turns(re.Type.Format, bins, length, length)
	count := make([]float64, bins)
	for k := range count {
		count[k] = 2
		if k == 0 || int64(2*k) == length {
			count[k] = 1
		}
	}
	weight := n.floatsConst(re.Type.Format, []int64{bins, 1}, count)
	cos, sin = n.mul(cos, weight), n.mul(sin, weight)
	times := func(x, m *ir.Value) *ir.Value {
		names := axisLetters[:rank-1]
		return n.einsum(names+","+names[axis:axis+1]+"c->"+names[:axis]+"c"+names[axis+1:], x, m, format.Invalid)
	}
	y := times(n.fit(re, axis, bins), cos)
	if im != nil {
		y = n.sub(y, times(n.fit(im, axis, bins), sin))
	}
	n.set(0, n.cast(n.unsqueeze(n.divc(y, float64(length)), rank-1), x.Type.Format))
}

func lowerSTFT(n *node) {
	x := n.arg(0) // [B, L, 1 or 2]
	step := n.int(1)
	window := n.opt(2)
	if len(x.Type.Shape) == 2 {
		x = n.unsqueeze(x, 2)
	}
	if len(x.Type.Shape) != 3 || step < 1 {
		n.fail("the signal is %s and frame_step %d, expected [batch, length, 1 or 2] and at least 1", x.Type, step)
	}
	signal := n.size(x.Type.Shape[1], "the length of the signal")
	length := signal
	switch {
	case n.has(3):
		length = n.int(3)
	case window != nil:
		length = n.size(window.Type.Shape[0], "the length of the window")
	}
	if length < 1 || length > signal {
		n.fail("frames of %d do not fit a signal of %d", length, signal)
	}
	re, im := n.complexParts(n.wide(x))
	frames := func(v *ir.Value) *ir.Value {
		if v == nil {
			return nil
		}
		v = n.do(op.Window, ir.A("axis", 1, "size", length, "stride", step), v) // [B, frames, length]
		if window != nil {
			if !window.Type.Shape.Equal(shape.Of(length)) {
				n.fail("the window is %s, expected %d elements", window.Type, length)
			}
			v = n.mul(v, n.cast(window, v.Type.Format))
		}
		return v
	}
	rows := length
	if n.attrBool("onesided", true) {
		rows = length/2 + 1
	}
	a, b := n.transform(frames(re), frames(im), 2, length, rows, false)
	n.set(0, n.cast(n.joined(a, b), x.Type.Format))
}

// cosineWindow is a - b·cos(2πi/N) + c·cos(4πi/N), N the size of a periodic window and one less of a symmetric one.
func cosineWindow(a, b, c float64) func(n *node) {
	return func(n *node) {
		size := n.int(0)
		f := n.attrFormat("output_datatype", format.F32)
		if size < 0 || size > 1<<20 {
			n.fail("a window of %d elements", size)
		}
		period := float64(size)
		if !n.attrBool("periodic", true) {
			period--
		}
		v := make([]float64, size)
		for i := range v {
			t := 0.0
			if period > 0 {
				t = 2 * math.Pi * float64(i) / period
			}
			v[i] = a - b*math.Cos(t) + c*math.Cos(2*t)
		}
		n.set(0, n.floatsConst(f, []int64{size}, v))
	}
}

func melWeights(n *node) {
	bins, length, rate := n.int(0), n.int(1), n.int(2)
	lower, upper := n.float(3), n.float(4)
	if bins < 1 || length < 1 || rate < 1 || bins > 1<<20 || length > 1<<24 || bins*(length/2+1) > 1<<23 {
		n.fail("%d bins of a transform of %d at %d Hz", bins, length, rate)
	}
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	lo := mel(lower)
	step := (mel(upper) - lo) / float64(bins+2)
	rows := length/2 + 1
	point := make([]int64, bins+2)
	for i := range point {
		hz := 700 * (math.Pow(10, (float64(i)*step+lo)/2595) - 1)
		point[i] = int64(math.Floor(float64(length+1) * hz / float64(rate)))
		if point[i] < 0 || point[i] >= rows {
			n.fail("the frequencies %v to %v Hz reach beyond half of %d Hz", lower, upper, rate)
		}
	}
	w := make([]float64, rows*bins)
	for i := range bins {
		left, centre, right := point[i], point[i+1], point[i+2]
		if left == centre {
			w[centre*bins+i] = 1
		}
		for j := left; j <= centre && left < centre; j++ {
			w[j*bins+i] = float64(j-left) / float64(centre-left)
		}
		for j := centre; j < right; j++ {
			w[j*bins+i] = float64(right-j) / float64(right-centre)
		}
	}
	n.set(0, n.floatsConst(n.attrFormat("output_datatype", format.F32), []int64{rows, bins}, w))
}
