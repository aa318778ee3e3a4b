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
		Row{Op: "MaxPool", Since: 1, Lower: maxPool, Doc: "The largest element of each window, and where it stands."},
		Row{Op: "AveragePool", Since: 1, Lower: averagePool, Doc: "The mean of each window, with or without the padding."},
		Row{Op: "LpPool", Since: 1, Lower: lpPool, Doc: "The p-norm of each window."},
		Row{Op: "GlobalMaxPool", Since: 1, Lower: func(n *node) { n.set(0, n.reduce("max", n.arg(0), true, n.spatialAxes(n.arg(0))...)) }, Doc: "The largest element of each channel."},
		Row{Op: "GlobalAveragePool", Since: 1, Lower: func(n *node) { n.set(0, n.reduce("mean", n.arg(0), true, n.spatialAxes(n.arg(0))...)) }, Doc: "The mean of each channel."},
		Row{Op: "GlobalLpPool", Since: 1, Lower: func(n *node) { n.set(0, n.pNorm(n.arg(0), n.power(), n.spatialAxes(n.arg(0))...)) }, Doc: "The p-norm of each channel."},
		Row{Op: "MaxUnpool", Since: 9, Lower: maxUnpool, Doc: "Puts elements back to where MaxPool found them."},
		Row{Op: "MaxRoiPool", Since: 1, Lower: maxRoiPool, Doc: "The largest element of each bin of regions of interest."},
	)
}

// spatialAxes are those behind batch and channels.
func (n *node) spatialAxes(x *ir.Value) []int {
	if len(x.Type.Shape) < 2 {
		n.fail("x is %s, expected [N, C, D…]", x.Type)
	}
	var out []int
	for i := 2; i < len(x.Type.Shape); i++ {
		out = append(out, i)
	}
	return out
}

// pooled gives windows of x as [N, C, O…, points].
func (n *node) pooled(x *ir.Value, s *spatial, outside *ir.Value) *ir.Value {
	v := n.windows(n.padded(x, s, outside), s)
	rank := len(s.kernel)
	perm := []int{0, 1}
	points := int64(1)
	to := shape.Shape{x.Type.Shape[0], x.Type.Shape[1]}
	for i := range rank {
		perm = append(perm, 2+2*i)
		to = append(to, v.Type.Shape[2+2*i])
		points *= s.kernel[i]
	}
	for i := range rank {
		perm = append(perm, 3+2*i)
	}
	return n.reshape(n.transpose(v, perm...), append(to, shape.Const(points)))
}

// fold reduces windows of x without forming them: the kernel's axes are folded where they stand.
func (n *node) foldWindows(kind string, x *ir.Value, s *spatial, outside *ir.Value) *ir.Value {
	v := n.windows(n.padded(x, s, outside), s)
	var axes []int
	for i := range s.kernel {
		axes = append(axes, 3+2*i)
	}
	return n.reduce(kind, v, false, axes...)
}

// lowest is the least number of a format.
func (n *node) lowest(f format.Format) *ir.Value {
	if f.IsFloat() {
		return n.scalar(f, math.Inf(-1))
	}
	return n.scalar(f, float64(f.MinInt()))
}

func (n *node) poolKernel() []int64 {
	n.need("kernel_shape")
	return append([]int64(nil), n.attrInts("kernel_shape")...)
}

func maxPool(n *node) {
	x := n.arg(0)
	s := n.spatial(x, n.poolKernel())
	n.set(0, n.foldWindows("max", x, s, n.lowest(x.Type.Format)))
	if !n.wants(1) {
		return
	}
	// Padding is no element: integers that are as low as can be are wider here, so that padding is lower still.
	wide := x
	if f := x.Type.Format; !f.IsFloat() && f.Bits() < 32 {
		wide = n.cast(x, format.I32)
	}
	best := n.cast(n.do(op.ArgMax, ir.A("axis", -1), n.pooled(wide, s, n.lowest(wide.Type.Format))), format.I64) // [N,C,O…]
	rank := len(s.kernel)
	sizes := n.sizes(x.Type.Shape, "the shape of x")
	columns := n.attrInt("storage_order", 0) != 0 // the first spatial axis runs fastest
	step := make([]int64, rank)
	total := int64(1)
	for j := range rank {
		i := rank - 1 - j
		if columns {
			i = j
		}
		step[i] = total
		total *= sizes[i+2]
	}
	out := best.Type.Shape
	lead := n.add(n.mulc(n.iota(format.I64, shape.Shape{out[0], shape.Const(1)}, 0), float64(sizes[1])), n.iota(format.I64, shape.Shape{shape.Const(1), out[1]}, 1))
	var ones []int
	for i := range rank {
		ones = append(ones, i+2)
	}
	index := n.mulc(n.unsqueeze(lead, ones...), float64(total))
	inner := int64(1)
	for i := rank - 1; i >= 0; i-- {
		k := n.do(op.Rem, nil, n.divc(best, float64(inner)), n.like(best, float64(s.kernel[i])))
		inner *= s.kernel[i]
		along := make(shape.Shape, len(out))
		for j := range along {
			along[j] = shape.Const(1)
		}
		along[i+2] = out[i+2]
		o := n.iota(format.I64, along, i+2)
		at := n.subc(n.add(n.mulc(o, float64(s.stride[i])), n.mulc(k, float64(s.dilation[i]))), float64(s.low[i]))
		index = n.add(index, n.mulc(at, float64(step[i])))
	}
	n.set(1, index)
}

func averagePool(n *node) {
	x := n.arg(0)
	s := n.spatial(x, n.poolKernel())
	include := n.attrBool("count_include_pad", false)
	w := n.wide(x)
	sum := n.foldWindows("sum", w, s, n.like(w, 0))
	points, plain := 1.0, true
	for i := range s.kernel {
		points *= float64(s.kernel[i])
		plain = plain && s.extra[i] == 0 && (include || s.low[i] == 0 && s.high[i] == 0)
	}
	if plain {
		n.set(0, n.cast(n.divc(sum, points), x.Type.Format))
		return
	}
	// How many elements count differs at the edges: a vector for each axis.
	for i := range s.kernel {
		size := n.size(x.Type.Shape[i+2], "a spatial axis of x")
		count := make([]float64, s.out[i])
		for o := range count {
			for k := range s.kernel[i] {
				at := int64(o)*s.stride[i] + k*s.dilation[i] - s.low[i]
				in := at >= 0 && at < size
				if include {
					in = at >= -s.low[i] && at < size+s.high[i]-s.extra[i]
				}
				if in {
					count[o]++
				}
			}
		}
		dims := make([]int64, len(sum.Type.Shape)-2-i)
		for j := range dims {
			dims[j] = 1
		}
		dims[0] = s.out[i]
		sum = n.div(sum, n.floatsConst(sum.Type.Format, dims, count))
	}
	n.set(0, n.cast(sum, x.Type.Format))
}

// power is attribute p, which was a float in the first version.
func (n *node) power() float64 {
	if n.version < 2 {
		return n.attrFloat("p", 2)
	}
	return float64(n.attrInt("p", 2))
}

// root gives the p-th root of sums of powers.
func (n *node) root(x *ir.Value, p float64) *ir.Value {
	switch p {
	case 1:
		return x
	case 2:
		return n.sqrt(x)
	}
	return n.pow(x, n.like(x, 1/p))
}

// toPower is |x|^p.
func (n *node) toPower(x *ir.Value, p float64) *ir.Value {
	switch p {
	case 1:
		return n.abs(x)
	case 2:
		return n.mul(x, x)
	}
	return n.pow(n.abs(x), n.like(x, p))
}

// pNorm folds axes by the p-norm.
func (n *node) pNorm(x *ir.Value, p float64, axes ...int) *ir.Value {
	w := n.wide(x)
	return n.cast(n.root(n.reduce("sum", n.toPower(w, p), true, axes...), p), x.Type.Format)
}

func lpPool(n *node) {
	x := n.arg(0)
	s := n.spatial(x, n.poolKernel())
	p := n.power()
	w := n.wide(x)
	sum := n.foldWindows("sum", n.toPower(w, p), s, n.like(w, 0))
	n.set(0, n.cast(n.root(sum, p), x.Type.Format))
}

func maxUnpool(n *node) {
	x, index := n.arg(0), n.arg(1)
	kernel := n.poolKernel()
	rank := len(kernel)
	if len(x.Type.Shape) != rank+2 {
		n.fail("x is %s, which does not fit a kernel of %d axes", x.Type, rank)
	}
	stride, pads := n.spatialList("strides", rank, 1), n.spatialList("pads", 2*rank, 0)
	to := n.sizes(x.Type.Shape, "the shape of x")
	for i := range rank {
		to[i+2] = (to[i+2]-1)*stride[i] - pads[i] - pads[rank+i] + kernel[i]
		if to[i+2] < 0 {
			n.fail("pads %v are more than there is", pads)
		}
	}
	numel := shape.Of(to...).Numel()
	flat := n.full(x.Type.Format, shape.Shape{numel}, 0)
	count := shape.Shape{x.Type.Shape.Numel()}
	y := n.do(op.ScatterElements, ir.A("axis", 0), flat, n.reshape(index, count), n.reshape(x, count))
	y = n.reshape(y, shape.Of(to...))
	if n.has(2) { // larger than the sizes that follow: zeros behind
		want := n.ints(2)
		if len(want) != len(to) {
			n.fail("output_shape has %d sizes, expected %d", len(want), len(to))
		}
		hi := make([]int64, len(to))
		for i := range to {
			hi[i] = want[i] - to[i]
		}
		y = n.pad(y, make([]int64, len(to)), hi, n.like(x, 0))
	}
	n.set(0, y)
}

// roundAway rounds halves away from zero, as Fast R-CNN, which the operator is of, places regions. The specification does not say.
func (n *node) roundAway(x *ir.Value) *ir.Value {
	return n.mul(n.do(op.Sign, nil, x), n.do(op.Floor, nil, n.addc(n.abs(x), 0.5)))
}

func maxRoiPool(n *node) {
	x, rois := n.arg(0), n.arg(1) // [N,C,H,W], [R,5]: batch, x1, y1, x2, y2
	pooled := n.attrInts("pooled_shape")
	if len(pooled) != 2 || len(x.Type.Shape) != 4 || len(rois.Type.Shape) != 2 {
		n.fail("x is %s, the regions %s and pooled_shape %v: expected [N,C,H,W], [R,5] and two sizes", x.Type, rois.Type, pooled)
	}
	scale := n.attrFloat("spatial_scale", 1)
	f := x.Type.Format
	column := func(i int64) *ir.Value { return n.squeeze(n.cut(rois, 1, i, i+1), 1) }
	picked := n.gather(x, n.cast(column(0), format.I64), 0) // [R,C,H,W]
	// Each bin covers floor(start) … ceil(end) of its part of the region; a bin without elements is zero.
	for axis, c := range [][2]int64{{2, 4}, {1, 3}} {
		size := x.Type.Shape[2+axis]
		bins := pooled[axis]
		first := n.roundAway(n.mulc(column(c[0]), scale))
		last := n.roundAway(n.mulc(column(c[1]), scale))
		length := n.maxc(n.addc(n.sub(last, first), 1), 1)
		step := n.unsqueeze(n.divc(length, float64(bins)), 1)
		bin := n.iota(f, dims(1, bins), 1)
		limit := n.dim(f, size)
		clip := func(v *ir.Value) *ir.Value { return n.min(n.maxc(n.add(v, n.unsqueeze(first, 1)), 0), limit) }
		from := clip(n.do(op.Floor, nil, n.mul(bin, step)))
		to := clip(n.do(op.Ceil, nil, n.mul(n.addc(bin, 1), step)))
		at := n.iota(f, shape.Shape{shape.Const(1), shape.Const(1), size}, 2)
		in := n.and(n.ge(at, n.unsqueeze(from, 2)), n.lt(at, n.unsqueeze(to, 2))) // [R, bins, size]
		// picked [R,C,H,W] or, after the rows, [R,C,P,W]: the axis becomes bins.
		v := n.unsqueeze(picked, 2+axis) // the bins' axis in front of the one that is folded
		mask := n.unsqueeze(in, 1)
		if axis == 0 {
			mask = n.unsqueeze(mask, 4)
		} else {
			mask = n.unsqueeze(mask, 2)
		}
		picked = n.reduce("max", n.sel(mask, v, n.lowest(f)), false, 3+axis)
	}
	n.set(0, n.sel(n.eq(picked, n.lowest(f)), n.like(picked, 0), picked))
}
