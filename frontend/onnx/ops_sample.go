package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	gridSample := func(names map[string]sampleKind) func(n *node) {
		return func(n *node) { n.gridSample(names) }
	}
	register(
		Row{Op: "GridSample", Since: 16, Lower: gridSample(map[string]sampleKind{"bilinear": sampleLinear, "nearest": sampleNearest, "bicubic": sampleCubic}), Doc: "Reads x at the places of a grid, in two dimensions."},
		Row{Op: "GridSample", Since: 20, Lower: gridSample(map[string]sampleKind{"linear": sampleLinear, "nearest": sampleNearest, "cubic": sampleCubic}), Doc: "Of any rank."},
		Row{Op: "AffineGrid", Since: 20, Lower: affineGrid, Doc: "The grid of an affine map."},
		Row{Op: "RoiAlign", Since: 10, Lower: roiAlign, Doc: "Samples regions of interest in bins, without rounding their corners."},
	)
}

// sampleKind is how values between elements are found.
type sampleKind uint8

const (
	sampleLinear sampleKind = iota
	sampleNearest
	sampleCubic // convolution of Keys (1981) with a = -0.75
)

// outside is what counts beyond the edges.
type outside uint8

const (
	outsideZero outside = iota
	outsideBorder
	outsideReflect
)

// tap is one element along an axis that has a part in a sample: its index as a float, and its weight.
type tap struct{ at, weight *ir.Value }

// taps gives the elements along one axis at coordinate c.
func (n *node) taps(c *ir.Value, kind sampleKind) []tap {
	switch kind {
	case sampleNearest:
		return []tap{{c, nil}}
	case sampleLinear:
		low := n.do(op.Floor, nil, c)
		t := n.sub(c, low)
		return []tap{{low, n.sub(n.like(t, 1), t)}, {n.addc(low, 1), t}}
	}
	low := n.do(op.Floor, nil, c)
	t := n.sub(c, low)
	var out []tap
	for k := -1; k <= 2; k++ {
		out = append(out, tap{n.addc(low, float64(k)), n.cubicWeight(n.abs(n.subc(t, float64(k))), cubicA, k == 0 || k == 1)})
	}
	return out
}

// cubicA is the parameter of the cubic kernel that GridSample and Resize have by default.
const cubicA = -0.75

// cubicWeight is the kernel of Keys at distance d: its inner polynomial up to 1, else the outer one up to 2.
func (n *node) cubicWeight(d *ir.Value, a float64, inner bool) *ir.Value {
	if inner { // ((a+2)d - (a+3))d² + 1
		return n.addc(n.mul(n.mul(n.subc(n.mulc(d, a+2), a+3), d), d), 1)
	}
	// ((a·d - 5a)d + 8a)d - 4a
	return n.subc(n.mul(n.addc(n.mul(n.subc(n.mulc(d, a), 5*a), d), 8*a), d), 4*a)
}

// reflect brings coordinates into lo…hi by mirroring them at the ends.
func (n *node) reflect(c, lo, hi *ir.Value) *ir.Value {
	span := n.sub(hi, lo)
	round := n.mulc(span, 2)
	safe := n.sel(n.eq(span, n.like(span, 0)), n.like(span, 1), round)
	m := n.do(op.Rem, nil, n.abs(n.sub(c, lo)), safe)
	m = n.sel(n.gt(m, span), n.sub(safe, m), m)
	return n.add(lo, n.sel(n.eq(span, n.like(span, 0)), n.like(m, 0), m))
}

// sample reads x [N,C,D…] at coordinates [N,Q…], one tensor for each spatial axis, in elements; it gives [N,C,Q…].
func (n *node) sample(x *ir.Value, coords []*ir.Value, kind sampleKind, out outside, edges ...[2]*ir.Value) *ir.Value {
	var sum *ir.Value
	n.eachTap(x, coords, kind, out, edges, func(v *ir.Value) {
		if sum == nil {
			sum = v
		} else {
			sum = n.add(sum, v)
		}
	})
	return sum
}

// eachTap gives each element that has a part in a sample times its weight, [N,C,Q…] in the coordinates' format.
func (n *node) eachTap(x *ir.Value, coords []*ir.Value, kind sampleKind, out outside, edges [][2]*ir.Value, f func(v *ir.Value)) {
	rank := len(coords)
	s := x.Type.Shape
	q := coords[0].Type.Shape[1:]
	work := coords[0].Type.Format
	flat := n.reshape(n.cast(x, work), shape.Shape{s[0], s[1], s[2:].Numel()})
	axes := make([][]tap, rank)
	for i := range axes {
		axes[i] = n.taps(coords[i], kind)
	}
	var rec func(i int, index, weight, inside *ir.Value)
	rec = func(i int, index, weight, inside *ir.Value) {
		if i == rank {
			points := shape.Shape{s[0], shape.Const(1), q.Numel()}
			at := n.broadcast(n.reshape(n.cast(index, format.I32), points), shape.Shape{s[0], s[1], points[2]})
			v := n.do(op.GatherElements, ir.A("axis", 2), flat, at)
			v = n.reshape(v, append(shape.Shape{s[0], s[1]}, q...))
			if weight != nil {
				v = n.mul(v, n.unsqueeze(weight, 1))
			}
			if inside != nil {
				v = n.sel(n.unsqueeze(inside, 1), v, n.like(v, 0))
			}
			f(v)
			return
		}
		last := n.addc(n.dim(work, s[2+i]), -1)
		for _, t := range axes[i] {
			at, in := t.at, inside
			switch out {
			case outsideZero:
				here := n.and(n.ge(at, n.like(at, 0)), n.le(at, last))
				if in == nil {
					in = here
				} else {
					in = n.and(in, here)
				}
			case outsideReflect:
				at = n.reflect(at, edges[i][0], edges[i][1])
			}
			at = n.min(n.maxc(at, 0), last)
			w := t.weight
			if weight != nil {
				w = n.mul(weight, t.weight)
			}
			next := at
			if index != nil {
				next = n.add(n.mul(index, n.dim(work, s[2+i])), at)
			}
			rec(i+1, next, w, in)
		}
	}
	rec(0, nil, nil, nil)
}

// workFormat is the float in which places are computed.
func workFormat(f format.Format) format.Format {
	if f == format.F64 {
		return f
	}
	return format.F32
}

func (n *node) gridSample(names map[string]sampleKind) {
	x, grid := n.arg(0), n.arg(1)
	rank := len(x.Type.Shape) - 2
	if rank < 1 || len(grid.Type.Shape) != rank+2 || !grid.Type.Shape[rank+1].Equal(shape.Const(int64(rank))) {
		n.fail("x is %s and the grid %s: expected [N,C,D…] and [N,O…,%d]", x.Type, grid.Type, rank)
	}
	def, allowed := "linear", []string{}
	for _, name := range []string{"linear", "bilinear", "nearest", "cubic", "bicubic"} {
		if _, ok := names[name]; ok {
			allowed = append(allowed, name)
		}
	}
	if _, ok := names[def]; !ok {
		def = "bilinear"
	}
	kind := names[n.attrStr("mode", def, allowed...)]
	out := map[string]outside{"zeros": outsideZero, "border": outsideBorder, "reflection": outsideReflect}[n.attrStr("padding_mode", "zeros", "zeros", "border", "reflection")]
	corners := n.attrBool("align_corners", false)
	work := workFormat(x.Type.Format)
	g := n.cast(grid, work)
	coords, edges := make([]*ir.Value, rank), make([][2]*ir.Value, rank)
	for i := range rank {
		size := n.dim(work, x.Type.Shape[i+2])
		last := int64(rank - 1 - i) // the grid has the last axis first
		v := n.addc(n.squeeze(n.cut(g, rank+1, last, last+1), rank+1), 1)
		if corners {
			v = n.mul(n.divc(v, 2), n.addc(size, -1))
			edges[i] = [2]*ir.Value{n.scalar(work, 0), n.addc(size, -1)}
		} else {
			v = n.divc(n.addc(n.mul(v, size), -1), 2)
			edges[i] = [2]*ir.Value{n.scalar(work, -0.5), n.addc(size, -0.5)}
		}
		if kind == sampleNearest {
			v = n.do(op.Round, nil, v)
		}
		switch {
		case out == outsideBorder && kind != sampleCubic: // beyond the border a cubic's weights go on, of elements that are the border's
			v = n.min(n.maxc(v, 0), n.addc(size, -1))
		case out == outsideReflect:
			v = n.reflect(v, edges[i][0], edges[i][1])
		}
		coords[i] = v
	}
	n.set(0, n.cast(n.sample(x, coords, kind, out, edges...), x.Type.Format))
}

func affineGrid(n *node) {
	theta := n.arg(0) // [N, rank, rank+1]
	size := n.dimsOf(1)
	rank := len(size) - 2
	if rank < 1 || len(theta.Type.Shape) != 3 || !theta.Type.Shape[1].Equal(shape.Const(int64(rank))) || !theta.Type.Shape[2].Equal(shape.Const(int64(rank+1))) {
		n.fail("theta is %s for a size of %d axes, expected [N, %d, %d]", theta.Type, len(size), rank, rank+1)
	}
	work := workFormat(theta.Type.Format)
	t := n.cast(theta, work)
	corners := n.attrBool("align_corners", false)
	spatial := shape.Shape(size[2:])
	// Each axis adds its coordinate times a column of theta; the last axis has the first column.
	column := func(i int64) *ir.Value {
		c := n.cut(t, 2, i, i+1) // [N, rank, 1]
		to := shape.Shape{t.Type.Shape[0]}
		for range rank {
			to = append(to, shape.Const(1))
		}
		return n.reshape(c, append(to, shape.Const(int64(rank))))
	}
	sum := column(int64(rank))
	for i := range rank {
		along := make(shape.Shape, rank+2)
		for j := range along {
			along[j] = shape.Const(1)
		}
		along[i+1] = spatial[i]
		c := n.iota(work, along, i+1)
		d := n.dim(work, spatial[i])
		if corners { // from -1 to 1; a single element stands at 0
			steps := n.addc(d, -1)
			c = n.sub(n.mul(c, n.div(n.scalar(work, 2), n.maxc(steps, 1))), n.minc(steps, 1))
		} else {
			c = n.subc(n.div(n.addc(n.mulc(c, 2), 1), d), 1)
		}
		sum = n.add(sum, n.mul(c, column(int64(rank-1-i))))
	}
	n.set(0, n.cast(n.broadcast(sum, append(append(shape.Shape{t.Type.Shape[0]}, spatial...), shape.Const(int64(rank)))), theta.Type.Format))
}

func roiAlign(n *node) {
	x, rois, batch := n.arg(0), n.arg(1), n.arg(2)
	if len(x.Type.Shape) != 4 || len(rois.Type.Shape) != 2 || !rois.Type.Shape[1].Equal(shape.Const(4)) {
		n.fail("x is %s and the regions %s, expected [N,C,H,W] and [R,4]", x.Type, rois.Type)
	}
	count := rois.Type.Shape[0]
	bins := [2]int64{n.attrInt("output_height", 1), n.attrInt("output_width", 1)}
	ratio := n.attrInt("sampling_ratio", 0)
	scale := n.attrFloat("spatial_scale", 1)
	mode := n.attrStr("mode", "avg", "avg", "max")
	half := n.version >= 16 && n.attrStr("coordinate_transformation_mode", "half_pixel", "half_pixel", "output_half_pixel") == "half_pixel"
	if bins[0] < 1 || bins[1] < 1 || ratio < 0 {
		n.fail("the output is %d x %d with sampling_ratio %d", bins[0], bins[1], ratio)
	}
	work := workFormat(x.Type.Format)
	r := n.cast(rois, work)
	shift := 0.0
	if half {
		shift = 0.5
	}
	column := func(i int64) *ir.Value { return n.subc(n.mulc(n.squeeze(n.cut(r, 1, i, i+1), 1), scale), shift) }
	// Along each axis: where samples lie, [R, bins, samples], and which of them count.
	var at, counts [2]*ir.Value
	var live [2]*ir.Value
	samples := [2]int64{ratio, ratio}
	for axis, c := range [2][2]int64{{1, 3}, {0, 2}} {
		start, length := column(c[0]), n.sub(column(c[1]), column(c[0]))
		if !half {
			length = n.maxc(length, 1)
		}
		bin := n.divc(length, float64(bins[axis]))
		grid := n.full(work, shape.Shape{count}, float64(ratio))
		if ratio == 0 { // as many as the bin has elements
			grid = n.do(op.Ceil, nil, bin)
			known := n.static(n.maxc(n.reduce("max", grid, false, 0), 0), "the number of samples of a bin, which regions of interest decide,")
			v, err := known.F64s()
			if err != nil || !(v[0] < 1<<16) {
				n.fail("the regions ask for %v samples a bin", v)
			}
			samples[axis] = max(int64(v[0]), 1)
		}
		i := n.addc(n.iota(work, dims(1, 1, samples[axis]), 2), 0.5)
		b := n.iota(work, dims(1, bins[axis], 1), 1)
		u := func(v *ir.Value) *ir.Value { return n.unsqueeze(v, 1, 2) }
		safe := n.maxc(grid, 1)
		at[axis] = n.add(n.add(u(start), n.mul(b, u(bin))), n.div(n.mul(i, u(bin)), u(safe)))
		live[axis] = n.lt(n.iota(work, dims(1, 1, samples[axis]), 2), u(grid))
		counts[axis] = grid
	}
	// Samples [R, bins0, samples0, bins1, samples1].
	full := shape.Shape{count, shape.Const(bins[0]), shape.Const(samples[0]), shape.Const(bins[1]), shape.Const(samples[1])}
	spread := func(v *ir.Value, axis int) *ir.Value {
		if axis == 0 {
			return n.unsqueeze(v, 3, 4)
		}
		return n.unsqueeze(v, 1, 2)
	}
	inside := n.and(spread(live[0], 0), spread(live[1], 1))
	coords := make([]*ir.Value, 2)
	for axis := range coords {
		c := spread(at[axis], axis)
		last := n.addc(n.dim(work, x.Type.Shape[2+axis]), -1)
		inside = n.and(inside, n.and(n.ge(c, n.like(c, -1)), n.le(c, n.addc(last, 1))))
		coords[axis] = n.broadcast(n.min(n.maxc(c, 0), last), full)
	}
	picked := n.gather(x, n.cast(batch, format.I64), 0) // [R,C,H,W]
	in := n.unsqueeze(n.broadcast(inside, full), 1)
	fold := func(kind string, v *ir.Value) *ir.Value { return n.reduce(kind, v, false, 3, 5) }
	if mode == "avg" {
		v := n.sample(picked, coords, sampleLinear, outsideBorder)
		sum := fold("sum", n.sel(in, v, n.like(v, 0)))
		total := n.maxc(n.mul(counts[0], counts[1]), 1)
		n.set(0, n.cast(n.div(sum, n.unsqueeze(total, 1, 2, 3)), x.Type.Format))
		return
	}
	// The largest of what each of the four elements around a sample adds to it.
	var best *ir.Value
	n.eachTap(picked, coords, sampleLinear, outsideBorder, nil, func(v *ir.Value) {
		if best == nil {
			best = v
		} else {
			best = n.max(best, v)
		}
	})
	counted := n.unsqueeze(n.broadcast(n.and(spread(live[0], 0), spread(live[1], 1)), full), 1)
	best = n.sel(in, best, n.like(best, 0)) // outside of x it is zero
	best = fold("max", n.sel(counted, best, n.lowest(work)))
	n.set(0, n.cast(n.sel(n.eq(best, n.lowest(work)), n.like(best, 0), best), x.Type.Format))
}
