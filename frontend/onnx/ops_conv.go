package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "Conv", Since: 1, Lower: conv, Doc: "Convolution of any rank, with groups, strides, dilations and padding."},
		Row{Op: "ConvTranspose", Since: 1, Lower: convTranspose, Doc: "Transposed convolution: a convolution over x with zeros between its elements."},
		Row{Op: "ConvInteger", Since: 10, Lower: convInteger, Doc: "Convolution of 8-bit codes less their zero points, in i32."},
		Row{Op: "QLinearConv", Since: 10, Lower: qLinearConv, Doc: "Convolution of codes, requantised."},
		Row{Op: "DeformConv", Since: 19, Lower: deformConv, Doc: "Convolution that reads x where offsets say, between elements by interpolation."},
		Row{Op: "Col2Im", Since: 18, Lower: col2Im, Doc: "Adds the columns of windows back to where they came from."},
	)
}

func (n *node) groups() int64 {
	g := n.attrInt("group", 1)
	if g < 1 {
		n.fail("attribute group is %d, expected at least 1", g)
	}
	return g
}

func conv(n *node) {
	x, w := n.arg(0), n.arg(1)
	s := n.spatial(x, n.kernelOf(w))
	y := n.convolve(n.padded(x, s, n.like(x, 0)), w, s, n.groups(), format.Invalid)
	n.set(0, n.addChannel(y, n.opt(2)))
}

func convTranspose(n *node) {
	x, w := n.arg(0), n.arg(1) // [N,C,D…], [C,M/groups,K…]
	kernel := n.kernelOf(w)
	rank := len(kernel)
	groups := n.groups()
	stride, dilation := n.spatialList("strides", rank, 1), n.spatialList("dilations", rank, 1)
	more := n.spatialList("output_padding", rank, 0)
	pads := n.spatialList("pads", 2*rank, 0)
	auto := n.attrStr("auto_pad", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
	want := n.attrInts("output_shape")
	if want != nil && len(want) == rank+2 { // files of the first versions give batch and channels too
		want = want[2:]
	}
	if want != nil && len(want) != rank {
		n.fail("output_shape is %v, expected one size for each of %d spatial axes", want, rank)
	}
	if len(x.Type.Shape) != rank+2 {
		n.fail("x is %s and W is %s: they have as many axes", x.Type, w.Type)
	}
	low, high := make([]int64, rank+2), make([]int64, rank+2)
	for i := range rank {
		reach := (kernel[i]-1)*dilation[i] + 1
		begin, end := pads[i], pads[rank+i]
		target := int64(-1)
		switch {
		case want != nil:
			target = want[i]
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			target = n.size(x.Type.Shape[i+2], "a spatial axis of x") * stride[i]
		case auto == "VALID":
			begin, end = 0, 0
		}
		if target >= 0 {
			total := stride[i]*(n.size(x.Type.Shape[i+2], "a spatial axis of x")-1) + more[i] + reach - target
			end = total >> 1 // rounded down, also where the output is larger than the windows give
			begin = total - end
			if auto == "SAME_UPPER" {
				begin, end = end, begin
			}
		}
		// Zeros between the elements.
		if stride[i] > 1 {
			d := x.Type.Shape[i+2]
			v := n.unsqueeze(x, i+3)
			hi := make([]int64, rank+3)
			hi[i+3] = stride[i] - 1
			v = n.pad(v, make([]int64, rank+3), hi, n.like(x, 0))
			wide := append(shape.Shape{}, x.Type.Shape...)
			wide[i+2] = d.Mul(shape.Const(stride[i]))
			n.checkShape(wide)
			x = n.slice(n.reshape(v, wide), i+2, shape.Const(0), wide[i+2].Sub(shape.Const(stride[i]-1)), 1)
		}
		low[i+2], high[i+2] = reach-1-begin, reach-1-end+more[i]
	}
	x = n.pad(x, low, high, n.like(x, 0))
	// The kernel turned round, its channels' roles exchanged within each group.
	c, m := w.Type.Shape[0], w.Type.Shape[1]
	perC, ok := c.Div(shape.Const(groups))
	if !ok || !c.Equal(x.Type.Shape[1]) {
		n.fail("x is %s and W is %s: expected as many channels in axis 0 of W, a multiple of group = %d", x.Type, w.Type, groups)
	}
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i + 2
	}
	w = n.reverse(w, axes...)
	k := w.Type.Shape[2:]
	w = n.moveAxis(n.reshape(w, append(shape.Shape{shape.Const(groups), perC, m}, k...)), 2, 1)
	w = n.reshape(w, append(shape.Shape{m.Mul(shape.Const(groups)), perC}, k...))
	s := &spatial{kernel: kernel, dilation: dilation, stride: make([]int64, rank), out: make([]int64, rank)}
	for i := range rank {
		s.stride[i], s.out[i] = 1, -1
	}
	n.set(0, n.addChannel(n.convolve(x, w, s, groups, format.Invalid), n.opt(2)))
}

func convInteger(n *node) {
	x, w := n.arg(0), n.arg(1)
	s := n.spatial(x, n.kernelOf(w))
	// Padding is with the zero point, which is zero once that is taken off.
	v := n.padded(n.centred(x, n.opt(2), 1), s, n.scalar(format.I32, 0))
	n.set(0, n.convolve(v, n.centred(w, n.opt(3), 0), s, n.groups(), format.I32))
}

func qLinearConv(n *node) {
	x, w := n.arg(0), n.arg(3)
	s := n.spatial(x, n.kernelOf(w))
	v := n.padded(n.centred(x, n.arg(2), 1), s, n.scalar(format.I32, 0))
	y := n.convolve(v, n.centred(w, n.arg(5), 0), s, n.groups(), format.I32)
	if b := n.opt(8); b != nil {
		y = n.addChannel(y, n.cast(b, format.I32))
	}
	rank := len(y.Type.Shape)
	factor := n.div(n.mul(n.perAxis(n.arg(1), rank, 1), n.perAxis(n.arg(4), rank, 1)), n.perAxis(n.arg(6), rank, 1))
	n.set(0, n.clampRound(n.mul(n.cast(y, format.F32), n.cast(factor, format.F32)), n.perAxis(n.arg(7), rank, 1), n.arg(7).Type.Format))
}

func deformConv(n *node) {
	x, w, offset := n.arg(0), n.arg(1), n.arg(2)
	kernel := n.kernelOf(w)
	rank := len(kernel)
	s := n.spatial(x, kernel)
	groups, parts := n.groups(), n.attrInt("offset_group", 1)
	f := x.Type.Format
	batch, channels := x.Type.Shape[0], x.Type.Shape[1]
	per, ok := channels.Div(shape.Const(parts))
	if parts < 1 || !ok {
		n.fail("x has %s channels, which offset_group = %d does not divide", channels, parts)
	}
	points := int64(1)
	for _, k := range kernel {
		points *= k
	}
	if len(offset.Type.Shape) != rank+2 || !offset.Type.Shape[1].Equal(shape.Const(parts*points*int64(rank))) {
		n.fail("the offsets are %s, expected [N, offset_group·kernel·%d = %d, O…]", offset.Type, rank, parts*points*int64(rank))
	}
	out := offset.Type.Shape[2:]
	// Offsets [N, parts, points, rank, O…] to which the points' own places are added: where each is read.
	work := format.F32
	if f == format.F64 {
		work = f
	}
	at := n.cast(n.reshape(offset, append(shape.Shape{batch, shape.Const(parts), shape.Const(points), shape.Const(int64(rank))}, out...)), work)
	coords := make([]*ir.Value, rank)
	inner := int64(1)
	for i := rank - 1; i >= 0; i-- {
		where := make([]float64, points)
		for p := range where {
			where[p] = float64(int64(p)/inner%kernel[i]*s.dilation[i] - s.low[i])
		}
		inner *= kernel[i]
		c := n.squeeze(n.cut(at, 3, int64(i), int64(i+1)), 3) // [N, parts, points, O…]
		dims := []int64{points}
		for range rank {
			dims = append(dims, 1)
		}
		c = n.add(c, n.floatsConst(work, dims, where))
		along := make(shape.Shape, rank)
		for j := range along {
			along[j] = shape.Const(1)
		}
		along[i] = out[i]
		coords[i] = n.add(c, n.mulc(n.iota(work, along, i), float64(s.stride[i])))
	}
	// Each channel group has its own points: groups become part of the batch.
	grouped := n.reshape(x, append(shape.Shape{batch.Mul(shape.Const(parts)), per}, x.Type.Shape[2:]...))
	flatPoints := append(shape.Shape{batch.Mul(shape.Const(parts)), shape.Const(points)}, out...)
	for i := range coords {
		coords[i] = n.reshape(coords[i], flatPoints)
	}
	v := n.sample(grouped, coords, sampleLinear, outsideZero) // [N·parts, per, points, O…]
	if m := n.opt(4); m != nil {
		v = n.mul(v, n.unsqueeze(n.reshape(n.cast(m, v.Type.Format), flatPoints), 1))
	}
	v = n.cast(n.reshape(v, append(shape.Shape{batch, channels, shape.Const(points)}, out...)), f)
	// One product over channels and points.
	g := shape.Const(groups)
	perC, okC := channels.Div(g)
	perM, okM := w.Type.Shape[0].Div(g)
	if !okC || !okM || !perC.Equal(w.Type.Shape[1]) {
		n.fail("x is %s and W is %s, which does not fit group = %d", x.Type, w.Type, groups)
	}
	ys := axisLetters[:rank]
	v = n.reshape(v, append(shape.Shape{batch, g, perC, shape.Const(points)}, out...))
	y := n.einsum("ngcz"+ys+",gmcz->ngm"+ys, v, n.reshape(w, shape.Shape{g, perM, perC, shape.Const(points)}), format.Invalid)
	y = n.reshape(y, append(shape.Shape{batch, w.Type.Shape[0]}, out...))
	n.set(0, n.addChannel(y, n.opt(3)))
}

func col2Im(n *node) {
	x := n.arg(0) // [N, C·points, windows]
	image, kernel := n.ints(1), n.ints(2)
	rank := len(image)
	if len(kernel) != rank || len(x.Type.Shape) != 3 {
		n.fail("x is %s, image_shape %v and block_shape %v: expected [N, C·block, windows] and as many sizes each", x.Type, image, kernel)
	}
	stride, dilation, pads := n.spatialList("strides", rank, 1), n.spatialList("dilations", rank, 1), n.spatialList("pads", 2*rank, 0)
	points, windows := int64(1), int64(1)
	counts := make([]int64, rank)
	for i := range image {
		reach := (kernel[i]-1)*dilation[i] + 1
		if image[i] < 0 || kernel[i] < 1 || image[i]+pads[i]+pads[rank+i] < reach {
			n.fail("blocks of %v do not fit an image of %v", kernel, image)
		}
		counts[i] = (image[i]+pads[i]+pads[rank+i]-reach)/stride[i] + 1
		points *= kernel[i]
		windows *= counts[i]
	}
	c, ok := x.Type.Shape[1].Div(shape.Const(points))
	if !ok || !x.Type.Shape[2].Equal(shape.Const(windows)) {
		n.fail("x is %s, expected a multiple of %d in axis 1 and %d windows in axis 2", x.Type, points, windows)
	}
	s := append(shape.Shape{x.Type.Shape[0], c}, shape.Of(kernel...)...)
	v := n.reshape(x, append(s, shape.Of(counts...)...)) // [N, C, K…, O…]
	// Axis by axis: each element of a kernel is a product with a matrix of zeros and ones that says where its windows lie.
	for i := range image {
		size := kernel[i] * counts[i] * image[i]
		if size > 1<<24 {
			failf(CodeLimit, "an image axis of %d with %d windows of %d", image[i], counts[i], kernel[i])
		}
		ones := make([]float64, size)
		for k := range kernel[i] {
			for o := range counts[i] {
				if at := o*stride[i] + k*dilation[i] - pads[i]; at >= 0 && at < image[i] {
					ones[(k*counts[i]+o)*image[i]+at] = 1
				}
			}
		}
		mat := n.floatsConst(x.Type.Format, []int64{kernel[i], counts[i], image[i]}, ones)
		// v is [N, C, D1…Di-1, Ki…Kr, Oi…Or]: kernel axis i stands at 2+i and window axis i at 2+rank-... behind the others.
		names := axisLetters[:len(v.Type.Shape)]
		ki, oi := 2+i, 2+i+(rank-i)
		in := names
		res := ""
		for p := range names {
			switch p {
			case ki:
				res += "c"
			case oi:
			default:
				res += names[p : p+1]
			}
		}
		v = n.einsum(in+","+names[ki:ki+1]+names[oi:oi+1]+"c->"+res, v, mat, format.Invalid)
	}
	n.set(0, v)
}
