package onnx

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

func init() {
	register(
		Row{Op: "Resize", Since: 10, Lower: func(n *node) { n.resize10(n.floats(1)) }, Doc: "Nearest or linear, by scales."},
		Row{Op: "Resize", Since: 11, Lower: resize, Doc: "Every way to map places, to interpolate and to treat edges."},
		Row{Op: "Upsample", Since: 1, Lower: func(n *node) {
			n.resize10([]float64{1, 1, n.attrFloat("height_scale", 1), n.attrFloat("width_scale", 1)})
		}, Doc: "Two scales as attributes."},
		Row{Op: "Upsample", Since: 7, Lower: func(n *node) { n.resize10(n.attrFloats("scales")) }, Doc: "Scales as an attribute."},
		Row{Op: "Upsample", Since: 9, Lower: func(n *node) { n.resize10(n.floats(1)) }, Doc: "Scales as an operand."},
	)
}

// resizing is how one axis is resized.
type resizing struct {
	in, out  int64
	scale    float64
	place    string // coordinate_transformation_mode
	mode     string // nearest, linear or cubic
	nearest  string // nearest_mode
	a        float64
	lo, hi   float64 // of the region of interest
	smooth   bool    // antialias
	exclude  bool    // exclude_outside
	extra    float64 // extrapolation_value
	hasExtra bool
	single   bool // places are computed in f32
}

// resize10 is the first form: places are x/scale, nearest ones rounded down.
func (n *node) resize10(scales []float64) {
	x := n.arg(0)
	if len(scales) != len(x.Type.Shape) {
		n.fail("there are %d scales for %s", len(scales), x.Type)
	}
	mode := n.attrStr("mode", "nearest", "nearest", "linear", "bilinear")
	if mode == "bilinear" {
		mode = "linear"
	}
	for i, s := range scales {
		if !(s > 0) {
			n.fail("scale %v of axis %d is not positive", s, i)
		}
		if s == 1 {
			continue
		}
		in := n.size(x.Type.Shape[i], "an axis that is resized")
		r := &resizing{in: in, out: n.outSize(float64(in) * s), scale: s, place: "asymmetric", mode: mode, nearest: "floor", single: true}
		x = n.resizeAxis(x, i, r)
	}
	n.set(0, x)
}

// outSize is a size that scaling gave, rounded down.
func (n *node) outSize(v float64) int64 {
	// Scales are f32: 3/0.6 is to give 5.
	out := math.Floor(v)
	if c := math.Ceil(v); c-v < 1e-6*c && float32(v) == float32(c) {
		out = c
	}
	if !(out >= 0 && out < 1<<31) {
		n.fail("an axis would be resized to %v elements", v)
	}
	return int64(out)
}

func resize(n *node) {
	x := n.arg(0)
	rank := len(x.Type.Shape)
	mode := n.attrStr("mode", "nearest", "nearest", "linear", "cubic")
	place := n.attrStr("coordinate_transformation_mode", "half_pixel", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn")
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if list := n.attrInts("axes"); list != nil {
		axes = n.axes(list, rank)
	}
	plan := make([]resizing, len(axes))
	for k, ax := range axes {
		plan[k] = resizing{place: place, mode: mode, nearest: n.attrStr("nearest_mode", "round_prefer_floor", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
			a: n.attrFloat("cubic_coeff_a", cubicA), smooth: n.attrBool("antialias", false), exclude: n.attrBool("exclude_outside", false),
			extra: n.attrFloat("extrapolation_value", 0), hasExtra: place == "tf_crop_and_resize", hi: 1}
		_ = ax
	}
	empty := func(i int) bool {
		if !n.has(i) {
			return true
		}
		count, ok := n.arg(i).Type.Shape.Numel().Value()
		return ok && count == 0
	}
	switch {
	case !empty(2):
		scales := n.floats(2)
		if len(scales) != len(axes) {
			n.fail("there are %d scales for %d axes", len(scales), len(axes))
		}
		for k, s := range scales {
			if !(s > 0) {
				n.fail("scale %v is not positive", s)
			}
			plan[k].scale, plan[k].single = s, true
			if s == 1 && place != "tf_crop_and_resize" {
				continue
			}
			plan[k].in = n.size(x.Type.Shape[axes[k]], "an axis that is resized")
			plan[k].out = n.outSize(float64(plan[k].in) * s)
		}
	case !empty(3):
		sizes := n.ints(3)
		if len(sizes) != len(axes) {
			n.fail("there are %d sizes for %d axes", len(sizes), len(axes))
		}
		policy := n.attrStr("keep_aspect_ratio_policy", "stretch", "stretch", "not_larger", "not_smaller")
		common := math.NaN()
		for k := range sizes {
			plan[k].in = n.size(x.Type.Shape[axes[k]], "an axis that is resized")
			plan[k].out, plan[k].scale = sizes[k], float64(sizes[k])/float64(plan[k].in)
			if sizes[k] < 0 || sizes[k] >= 1<<31 {
				n.fail("an axis would be resized to %d elements", sizes[k])
			}
			switch {
			case math.IsNaN(common):
				common = plan[k].scale
			case policy == "not_larger":
				common = min(common, plan[k].scale)
			case policy == "not_smaller":
				common = max(common, plan[k].scale)
			}
		}
		if policy != "stretch" {
			for k := range plan {
				plan[k].scale = common
				plan[k].out = int64(math.Floor(common*float64(plan[k].in) + 0.5))
			}
		}
	default:
		n.fail("neither scales nor sizes are given")
	}
	if place == "tf_crop_and_resize" {
		roi := n.floats(1)
		if len(roi) != 2*len(axes) {
			n.fail("roi has %d elements for %d axes, expected two each", len(roi), len(axes))
		}
		for k := range plan {
			plan[k].lo, plan[k].hi, plan[k].single = roi[k], roi[len(axes)+k], true
		}
	}
	for k, ax := range axes {
		if r := &plan[k]; r.in > 0 || r.out > 0 {
			x = n.resizeAxis(x, ax, r)
		}
	}
	n.set(0, x)
}

// at gives the place of output o among the input's elements. Scales and regions are f32, and so are places that come of them: where
// one falls on a boundary, rounding decides. A scale that is a quotient of sizes is exact enough to need none.
func (r *resizing) at(o int64) float64 {
	if r.single {
		return float64(place(r, float32(o), float32(r.in), float32(r.scale), float32(r.lo), float32(r.hi)))
	}
	return place(r, float64(o), float64(r.in), r.scale, r.lo, r.hi)
}

// place is at in the arithmetic of a type.
func place[T float32 | float64](r *resizing, x, in, scale, lo, hi T) T {
	out := scale * in
	switch r.place {
	case "align_corners":
		if out == 1 {
			return 0
		}
		return x * (in - 1) / (out - 1)
	case "asymmetric":
		return x / scale
	case "tf_crop_and_resize":
		if out == 1 {
			return (hi-lo)*(in-1)/2 + lo*(in-1)
		}
		return x*(hi-lo)*(in-1)/(out-1) + lo*(in-1)
	case "pytorch_half_pixel":
		if out == 1 {
			return -0.5
		}
	case "tf_half_pixel_for_nn":
		return (x + 0.5) / scale
	case "half_pixel_symmetric":
		return in/2*(1-T(r.out)/out) + (x+0.5)/scale - 0.5
	}
	return (x+0.5)/scale - 0.5
}

// weights gives the elements that output o is made of, the first one's index and their weights. Indices may be outside.
func (r *resizing) weights(o int64) (first int64, w []float64) {
	at := r.at(o)
	low := math.Floor(at)
	t := at - low
	switch r.mode {
	case "nearest":
		switch r.nearest {
		case "floor":
		case "ceil":
			low = math.Ceil(at)
		case "round_prefer_ceil":
			low = math.Floor(at + 0.5)
		default:
			low = math.Ceil(at - 0.5)
		}
		return int64(low), []float64{1}
	case "linear":
		if r.smooth && r.scale < 1 {
			return r.spread(low, t, 1, func(d float64) float64 { return max(1-d, 0) })
		}
		return int64(low), []float64{1 - t, t}
	}
	cubic := func(d float64) float64 {
		switch {
		case d <= 1:
			return ((r.a+2)*d-(r.a+3))*d*d + 1
		case d < 2:
			return ((r.a*d-5*r.a)*d+8*r.a)*d - 4*r.a
		}
		return 0
	}
	if r.smooth && r.scale < 1 {
		return r.spread(low, t, 2, cubic)
	}
	return int64(low) - 1, []float64{cubic(t + 1), cubic(t), cubic(1 - t), cubic(2 - t)}
}

// spread widens a kernel that reaches so far to the elements that one output stands for, and brings its weights to a sum of 1.
func (r *resizing) spread(low, t, reach float64, kernel func(d float64) float64) (int64, []float64) {
	start := int64(math.Floor(-reach/r.scale)) + 1
	var w []float64
	sum := 0.0
	for i := start; i < 2-start; i++ {
		v := kernel(math.Abs((float64(i) - t) * r.scale))
		w = append(w, v)
		sum += v
	}
	for i := range w {
		w[i] /= sum
	}
	return int64(low) + start, w
}

// maxTaps is how many elements an output may be made of before a product with a matrix takes the place of sums.
const maxTaps = 4

// maxResized is how long an axis may become: where its elements come from is written into the module.
const maxResized = 1 << 20

// resizeAxis resizes one axis.
func (n *node) resizeAxis(x *ir.Value, axis int, r *resizing) *ir.Value {
	if r.out > maxResized {
		failf(CodeLimit, "axis %d is resized to %d elements, more than %d", axis, r.out, maxResized)
	}
	if r.smooth && r.mode != "nearest" && float64(r.out)/r.scale > 1<<22 { // each is made of as many as it stands for
		failf(CodeLimit, "axis %d of %d elements is resized to %d with antialias", axis, r.in, r.out)
	}
	if r.in == 0 || r.out == 0 {
		s := append(shape.Shape{}, x.Type.Shape...)
		s[axis] = shape.Const(r.out)
		if r.in == 0 && r.out > 0 {
			n.fail("an axis without elements cannot be resized to %d", r.out)
		}
		return n.full(x.Type.Format, s, 0)
	}
	taps := 0
	firsts, weights := make([]int64, r.out), make([][]float64, r.out)
	for o := range firsts {
		firsts[o], weights[o] = r.weights(int64(o))
		taps = max(taps, len(weights[o]))
		if r.exclude && r.mode != "nearest" {
			sum := 0.0
			for k := range weights[o] {
				if i := firsts[o] + int64(k); i < 0 || i >= r.in {
					weights[o][k] = 0
				}
				sum += weights[o][k]
			}
			for k := range weights[o] {
				weights[o][k] /= sum
			}
		}
	}
	inside := func(i int64) int64 { return min(max(i, 0), r.in-1) } // beyond the edges the last element stands
	f := x.Type.Format
	var y *ir.Value
	index := func(k int) *ir.Value {
		at := make([]int64, r.out)
		for o := range at {
			at[o] = inside(firsts[o] + int64(k))
		}
		return n.intsConst(format.I64, at...)
	}
	switch {
	case r.mode == "nearest":
		y = n.gather(x, index(0), axis)
	case !f.IsFloat():
		y = n.cast(n.roundTo(n.resizeBlend(n.cast(x, format.F32), axis, r, firsts, weights, taps, inside, index), f), f)
	default:
		y = n.cast(n.resizeBlend(n.wide(x), axis, r, firsts, weights, taps, inside, index), f)
	}
	if r.hasExtra {
		out := make([]int64, r.out)
		any := false
		for o := range out {
			if at := r.at(int64(o)); at < 0 || at > float64(r.in-1) {
				out[o], any = 1, true
			}
		}
		if any {
			to := make(shape.Shape, len(y.Type.Shape))
			for i := range to {
				to[i] = shape.Const(1)
			}
			to[axis] = shape.Const(r.out)
			flag := n.ne(n.reshape(n.intsConst(format.I64, out...), to), n.scalar(format.I64, 0))
			y = n.sel(flag, n.like(y, r.extra), y)
		}
	}
	return y
}

// roundTo brings a float that becomes an integer into its range.
func (n *node) roundTo(x *ir.Value, f format.Format) *ir.Value {
	lo, hi := limits(f)
	return n.minc(n.maxc(x, lo), hi)
}

// resizeBlend sums weighted elements.
func (n *node) resizeBlend(x *ir.Value, axis int, r *resizing, firsts []int64, weights [][]float64, taps int, inside func(int64) int64, index func(int) *ir.Value) *ir.Value {
	rank := len(x.Type.Shape)
	if taps <= maxTaps || rank > 20 || r.in > (1<<24)/r.out {
		var sum *ir.Value
		for k := range taps {
			w := make([]float64, r.out)
			for o := range w {
				if k < len(weights[o]) {
					w[o] = weights[o][k]
				}
			}
			dims := make([]int64, rank-axis)
			for i := range dims {
				dims[i] = 1
			}
			dims[0] = r.out
			v := n.mul(n.gather(x, index(k), axis), n.floatsConst(x.Type.Format, dims, w))
			if sum == nil {
				sum = v
			} else {
				sum = n.add(sum, v)
			}
		}
		return sum
	}
	mat := make([]float64, r.in*r.out)
	for o := range firsts {
		for k, w := range weights[o] {
			mat[inside(firsts[o]+int64(k))*r.out+int64(o)] += w
		}
	}
	names := axisLetters[:rank]
	out := names[:axis] + "c" + names[axis+1:]
	return n.einsum(names+","+names[axis:axis+1]+"c->"+out, x, n.floatsConst(x.Type.Format, []int64{r.in, r.out}, mat), format.Invalid)
}
