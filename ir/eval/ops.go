package eval

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

type meaning func(r *run, o *ir.Op, args []*Value, shapes [][]int64) ([]*Value, error)

// table has the meaning of every op that is neither elementwise nor a kernel; a test demands that none is missing.
var table map[*op.Info]meaning

func one(v *Value) ([]*Value, error) { return []*Value{v}, nil }

func axis(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(a)
}

func init() {
	table = map[*op.Info]meaning{
		op.If:   ifOp,
		op.Loop: loop,
		op.Constant: func(_ *run, o *ir.Op, _ []*Value, _ [][]int64) ([]*Value, error) {
			v, err := FromTensor(o.Attrs.Tensor("value"))
			return []*Value{v}, err
		},
		op.Weight: func(r *run, o *ir.Op, _ []*Value, shapes [][]int64) ([]*Value, error) {
			v, err := r.weight(o, shapes[0])
			return []*Value{v}, err
		},
		op.Iota: func(_ *run, o *ir.Op, _ []*Value, shapes [][]int64) ([]*Value, error) {
			out := newValue(o.Result(0).Type.Format, shapes[0])
			st := make([]int64, len(shapes[0]))
			st[axis(o.Attrs.Int("axis", 0), len(st))] = 1
			walk(shapes[0], [][]int64{st}, func(i int64, off []int64) {
				if out.F != nil {
					out.F[i] = round(out.Format, float64(off[0]))
				} else {
					out.I[i] = wrap(out.Format, off[0])
				}
			})
			return one(out)
		},
		op.DimValue: func(r *run, o *ir.Op, _ []*Value, _ [][]int64) ([]*Value, error) {
			d, _ := o.Attrs.Dim("of")
			n, err := d.Eval(r.env)
			return []*Value{{Format: format.I32, Shape: nil, I: []int64{wrap(format.I32, n)}}}, err
		},
		op.Reshape: func(_ *run, _ *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			return one(&Value{Format: a[0].Format, Shape: shapes[0], F: a[0].F, I: a[0].I})
		},
		op.Transpose: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			in := strides(a[0].Shape)
			st := make([]int64, len(in))
			for i, p := range o.Attrs.Ints("perm") {
				st[i] = in[p]
			}
			return one(pickFrom(a[0], shapes[0], 0, st))
		},
		op.Broadcast: func(_ *run, _ *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			return one(pickFrom(a[0], shapes[0], 0, broadcastStrides(a[0].Shape, shapes[0])))
		},
		op.Slice: func(r *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			ax := axis(o.Attrs.Int("axis", 0), len(a[0].Shape))
			d, _ := o.Attrs.Dim("start")
			e, _ := o.Attrs.Dim("limit")
			start, err := d.Eval(r.env)
			if err != nil {
				return nil, err
			}
			limit, err := e.Eval(r.env)
			if err != nil {
				return nil, err
			}
			if start < 0 || limit < start || limit > a[0].Shape[ax] {
				return nil, fmt.Errorf("[%d:%d] is outside axis %d of %v", start, limit, ax, a[0].Shape)
			}
			st := strides(a[0].Shape)
			base := start * st[ax]
			st[ax] *= o.Attrs.Int("stride", 1)
			return one(pickFrom(a[0], shapes[0], base, st))
		},
		op.Reverse: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			st := strides(a[0].Shape)
			base := int64(0)
			if numel(shapes[0]) > 0 {
				for _, x := range o.Attrs.Ints("axes") {
					ax := axis(x, len(st))
					base += (a[0].Shape[ax] - 1) * st[ax]
					st[ax] = -st[ax]
				}
			}
			return one(pickFrom(a[0], shapes[0], base, st))
		},
		op.Window: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			ax := axis(o.Attrs.Int("axis", 0), len(a[0].Shape))
			if n, reach := a[0].Shape[ax], (o.Attrs.Int("size", 0)-1)*o.Attrs.Int("dilation", 1)+1; n < reach-1 {
				return nil, fmt.Errorf("a window reaches over %d elements, but axis %d of %v has fewer", reach, ax, a[0].Shape)
			}
			in := strides(a[0].Shape)
			st := append([]int64(nil), in[:ax]...)
			st = append(st, in[ax]*o.Attrs.Int("stride", 1), in[ax]*o.Attrs.Int("dilation", 1))
			return one(pickFrom(a[0], shapes[0], 0, append(st, in[ax+1:]...)))
		},
		op.Concat: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			ax := axis(o.Attrs.Int("axis", 0), len(shapes[0]))
			out := newValue(a[0].Format, shapes[0])
			at := int64(0)
			for _, x := range a {
				put(out, x, at*strides(shapes[0])[ax])
				at += x.Shape[ax]
			}
			return one(out)
		},
		op.Pad: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			out := newValue(a[0].Format, shapes[0])
			for i := range out.F {
				out.F[i] = a[1].F[0]
			}
			for i := range out.I {
				out.I[i] = a[1].I[0]
			}
			base := int64(0)
			for i, n := range o.Attrs.Ints("low") {
				base += n * strides(shapes[0])[i]
			}
			put(out, a[0], base)
			return one(out)
		},
		op.Gather: gather,
		op.GatherElements: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			ax := axis(o.Attrs.Int("axis", -1), len(shapes[0]))
			out := newValue(a[0].Format, shapes[0])
			along(a[0].Shape, shapes[0], ax, func(i, base, st int64) {
				at := base + index(a[1].I[i], a[0].Shape[ax])*st
				set(out, i, a[0], at)
			})
			return one(out)
		},
		op.ScatterElements: scatter,
		op.Update:          update,
		op.Reduce:          reduce,
		op.Cumsum:          cumsum,
		op.TopK: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			val, idx := newValue(a[0].Format, shapes[0]), newValue(format.I32, shapes[1])
			n, k := a[0].Shape[len(a[0].Shape)-1], shapes[0][len(shapes[0])-1]
			if n == 0 || k == 0 {
				return []*Value{val, idx}, nil
			}
			for r := int64(0); r < numel(a[0].Shape)/n; r++ {
				for c, p := range order(a[0], r*n, n, o.Attrs.Bool("largest", true))[:k] {
					set(val, r*k+int64(c), a[0], r*n+p)
					idx.I[r*k+int64(c)] = p
				}
			}
			return []*Value{val, idx}, nil
		},
		op.ArgMax: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			ax := axis(o.Attrs.Int("axis", -1), len(a[0].Shape))
			perm := pickFrom(a[0], moveLast(a[0].Shape, ax), 0, moveLast(strides(a[0].Shape), ax))
			out := newValue(format.I32, shapes[0])
			n := a[0].Shape[ax]
			if n == 0 {
				return nil, fmt.Errorf("argmax of nothing: axis %d of %v is empty", ax, a[0].Shape)
			}
			for i := range out.I {
				out.I[i] = order(perm, int64(i)*n, n, true)[0]
			}
			return one(out)
		},
		op.GroupRows: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			g := o.Attrs.Int("groups", 0)
			rows, places, off := newValue(format.I32, shapes[0]), newValue(format.I32, shapes[1]), newValue(format.I32, shapes[2])
			k := a[0].Shape[1]
			at := int64(0)
			for e := int64(0); e < g; e++ {
				off.I[e] = at
				for s, id := range a[0].I {
					if id < 0 || id >= g {
						return nil, fmt.Errorf("slot %d names group %d of %d", s, id, g)
					}
					if id == e {
						rows.I[at], places.I[s] = int64(s)/k, at
						at++
					}
				}
			}
			off.I[g] = at
			return []*Value{rows, places, off}, nil
		},
		op.Einsum: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
			if err != nil {
				return nil, err
			}
			return one(einsum(e, a[0], a[1], o.Result(0).Type.Format, shapes[0]))
		},
		op.Quantize:   quantize,
		op.Dequantize: dequantize,
		op.ScaledMatmul: func(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
			b := o.Attrs.Ints("block")
			n, k := a[1].Shape[0], a[1].Shape[1]
			out := newValue(o.Result(0).Type.Format, shapes[0])
			for r := int64(0); r < numel(a[0].Shape)/max(k, 1); r++ {
				scaledRow(out, a, r, 0, n, k, b)
			}
			return one(out)
		},
		op.GroupedMatmul: groupedMatmul,
		op.Attention:     attention,
	}
}

// put copies x into out from an element offset on.
func put(out, x *Value, base int64) {
	st := strides(out.Shape)
	walk(x.Shape, [][]int64{st}, func(i int64, off []int64) { set(out, base+off[0], x, i) })
}

func set(out *Value, i int64, x *Value, j int64) {
	if x.F != nil {
		out.F[i] = x.F[j]
	} else {
		out.I[i] = x.I[j]
	}
}

// index brings an index into 0…n-1: negative ones count from the end, others are clamped.
func index(i, n int64) int64 {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n-1)
}

// along walks shape; for each index i it gives the offset in a tensor of shape x with the index along ax taken as 0, and the stride of ax.
func along(x, shape []int64, ax int, f func(i, base, stride int64)) {
	st := strides(x)
	s := st[ax]
	st[ax] = 0
	walk(shape, [][]int64{st}, func(i int64, off []int64) { f(i, off[0], s) })
}

func moveLast(s []int64, ax int) []int64 {
	out := append([]int64(nil), s[:ax]...)
	out = append(out, s[ax+1:]...)
	return append(out, s[ax])
}

// order sorts the n elements from base on, best first, equal ones in their order; NaN counts as largest.
func order(v *Value, base, n int64, largest bool) []int64 {
	idx := make([]int64, n)
	for i := range idx {
		idx[i] = int64(i)
	}
	unsignedWide := v.I != nil && !v.Format.IsSigned() && v.Format.Bits() == 64
	above := func(a, b int64) bool {
		if v.F != nil {
			x, y := v.F[base+a], v.F[base+b]
			if math.IsNaN(x) || math.IsNaN(y) {
				return math.IsNaN(x) && !math.IsNaN(y)
			}
			return x > y
		}
		if unsignedWide {
			return uint64(v.I[base+a]) > uint64(v.I[base+b])
		}
		return v.I[base+a] > v.I[base+b]
	}
	sort.SliceStable(idx, func(i, j int) bool {
		if largest {
			return above(idx[i], idx[j])
		}
		return above(idx[j], idx[i])
	})
	return idx
}

func gather(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	ax := axis(o.Attrs.Int("axis", 0), len(a[0].Shape))
	out := newValue(a[0].Format, shapes[0])
	inner := numel(a[0].Shape[ax+1:])
	n, m := a[0].Shape[ax], int64(len(a[1].I))
	if n == 0 && numel(shapes[0]) > 0 {
		return nil, fmt.Errorf("gather from an empty axis %d of %v", ax, a[0].Shape)
	}
	for p := int64(0); p < numel(a[0].Shape[:ax]); p++ {
		for j, i := range a[1].I {
			src, dst := (p*n+index(i, n))*inner, (p*m+int64(j))*inner
			if out.F != nil {
				copy(out.F[dst:dst+inner], a[0].F[src:src+inner])
			} else {
				copy(out.I[dst:dst+inner], a[0].I[src:src+inner])
			}
		}
	}
	return one(out)
}

func scatter(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	ax := axis(o.Attrs.Int("axis", -1), len(shapes[0]))
	out := clone(a[0])
	kind := o.Attrs.Str("reduce", "none")
	along(shapes[0], a[1].Shape, ax, func(i, base, st int64) {
		at := base + index(a[1].I[i], shapes[0][ax])*st
		u := i
		if len(a[2].Shape) == 0 {
			u = 0
		}
		if kind == "none" {
			set(out, at, a[2], u)
			return
		}
		info := map[string]*op.Info{"add": op.Add, "mul": op.Mul, "max": op.Max, "min": op.Min}[kind]
		if out.F != nil {
			out.F[at] = round(out.Format, info.Real([]float64{out.F[at], a[2].F[u]}))
		} else if p := []int64{out.I[at], a[2].I[u]}; out.Format == format.U64 {
			out.I[at] = unsigned(info, p)
		} else {
			out.I[at] = wrap(out.Format, info.Integer(p))
		}
	})
	return one(out)
}

func update(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	ax := axis(o.Attrs.Int("axis", 0), len(shapes[0]))
	out := clone(a[0])
	last := shapes[0][ax] - a[1].Shape[ax]
	st := strides(shapes[0])
	for b := range a[2].I {
		at := a[2].I[b]
		if at < 0 || at > last {
			return nil, fmt.Errorf("update of %v at %d along axis %d: at most %d", shapes[0], at, ax, last)
		}
		y := a[1]
		base := at * st[ax]
		if len(a[2].Shape) == 1 {
			n := numel(y.Shape[1:])
			part := &Value{Format: y.Format, Shape: append([]int64{1}, y.Shape[1:]...)}
			if y.F != nil {
				part.F = y.F[int64(b)*n : int64(b+1)*n]
			} else {
				part.I = y.I[int64(b)*n : int64(b+1)*n]
			}
			y = part
			base += int64(b) * st[0]
		}
		put(out, y, base)
	}
	return one(out)
}

func reduce(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	x := a[0]
	out := newValue(x.Format, shapes[0])
	kind := o.Attrs.Str("kind", "")
	drop := map[int]bool{}
	for _, ax := range o.Attrs.Ints("axes") {
		drop[axis(ax, len(x.Shape))] = true
	}
	st := make([]int64, len(x.Shape))
	n, count := int64(1), int64(1)
	for i := len(x.Shape) - 1; i >= 0; i-- {
		if drop[i] {
			count *= x.Shape[i]
			continue
		}
		st[i] = n
		n *= x.Shape[i]
	}
	if x.F != nil {
		start := map[string]float64{"prod": 1, "max": math.Inf(-1), "min": math.Inf(1)}[kind]
		acc := make([]float64, len(out.F))
		comp := make([]float64, len(out.F)) // Neumaier's compensation: sums do not depend on length
		for i := range acc {
			acc[i] = start
		}
		walk(x.Shape, [][]int64{st}, func(i int64, off []int64) {
			v, j := x.F[i], off[0]
			switch kind {
			case "sum", "mean":
				acc[j], comp[j] = add2(acc[j], comp[j], v)
			case "prod":
				acc[j] *= v
			case "max":
				acc[j] = op.Max.Real([]float64{acc[j], v})
			case "min":
				acc[j] = op.Min.Real([]float64{acc[j], v})
			}
		})
		for i := range acc {
			v := settle(acc[i], comp[i])
			if kind == "mean" {
				v /= float64(count)
			}
			out.F[i] = round(x.Format, v)
		}
		return one(out)
	}
	start := startInt(kind, x.Format)
	for i := range out.I {
		out.I[i] = start
	}
	info := map[string]*op.Info{"sum": op.Add, "prod": op.Mul, "max": op.Max, "min": op.Min, "all": op.And, "any": op.Or}[kind]
	wide := !x.Format.IsSigned() && x.Format.Bits() == 64
	walk(x.Shape, [][]int64{st}, func(i int64, off []int64) {
		p := []int64{out.I[off[0]], x.I[i]}
		if wide {
			out.I[off[0]] = unsigned(info, p)
		} else {
			out.I[off[0]] = wrap(x.Format, info.Integer(p))
		}
	})
	return one(out)
}

// add2 adds v to a sum kept in two parts (Neumaier 1974).
func add2(sum, c, v float64) (float64, float64) {
	t := sum + v
	if math.Abs(sum) >= math.Abs(v) {
		c += (sum - t) + v
	} else {
		c += (v - t) + sum
	}
	return t, c
}

func settle(sum, c float64) float64 {
	if math.IsNaN(c) || math.IsInf(sum, 0) {
		return sum
	}
	return sum + c
}

func cumsum(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	x := a[0]
	ax := axis(o.Attrs.Int("axis", 0), len(x.Shape))
	out := newValue(x.Format, shapes[0])
	kind := o.Attrs.Str("kind", "sum")
	excl, reverse := o.Attrs.Bool("exclusive", false), o.Attrs.Bool("reverse", false)
	info := map[string]*op.Info{"sum": op.Add, "prod": op.Mul, "max": op.Max, "min": op.Min}[kind]
	firstF := map[string]float64{"prod": 1, "max": math.Inf(-1), "min": math.Inf(1)}[kind]
	firstI := startInt(kind, x.Format)
	wide := !x.Format.IsSigned() && x.Format.Bits() == 64
	n := x.Shape[ax]
	rest := append([]int64(nil), x.Shape...)
	rest[ax] = 1
	st := strides(x.Shape)
	walk(rest, [][]int64{st}, func(_ int64, off []int64) {
		f, c, s := firstF, 0.0, firstI
		for k := int64(0); k < n; k++ {
			i := k
			if reverse {
				i = n - 1 - k
			}
			p := off[0] + i*st[ax]
			if x.F != nil {
				if excl {
					out.F[p] = round(x.Format, settle(f, c))
				}
				if kind == "sum" {
					f, c = add2(f, c, x.F[p])
				} else {
					f = info.Real([]float64{f, x.F[p]})
				}
				if !excl {
					out.F[p] = round(x.Format, settle(f, c))
				}
				continue
			}
			if excl {
				out.I[p] = s
			}
			if wide {
				s = unsigned(info, []int64{s, x.I[p]})
			} else {
				s = wrap(x.Format, info.Integer([]int64{s, x.I[p]}))
			}
			if !excl {
				out.I[p] = s
			}
		}
	})
	return one(out)
}

// startInt is what a fold of integers begins with.
func startInt(kind string, f format.Format) int64 {
	switch kind {
	case "prod", "all":
		return 1
	case "max":
		return f.MinInt()
	case "min":
		if !f.IsSigned() && f.Bits() == 64 {
			return -1 // all bits
		}
		return f.MaxInt()
	}
	return 0
}

// weight reads a tensor of the checkpoint as the op says.
func (r *run) weight(o *ir.Op, shape []int64) (*Value, error) {
	name := o.Attrs.Str("name", "")
	f := o.Result(0).Type.Format
	quant, width := o.Attrs.Format("quantise", format.Invalid), o.Attrs.Int("width", 0)
	block, kind := o.Attrs.Ints("quantise_block"), o.Attrs.Str("quantise_scale", "exact")
	key := fmt.Sprint(f, shape, o.Attrs)
	if v := r.e.weights[key]; v != nil {
		return v, nil
	}
	if r.e.Weights == nil {
		return nil, fmt.Errorf("weight %s: there are no weights", name)
	}
	parts, each := []string{name}, shape
	scale := o.Attrs.Str("scale", "")
	n := o.Attrs.Int("stack", -1)
	if n >= 0 {
		parts, each = nil, shape[1:]
		for i := int64(0); i < n; i++ {
			parts = append(parts, strings.Replace(name, "{}", strconv.FormatInt(i, 10), 1))
		}
	}
	out := newValue(f, shape)
	got := f // the format in which a part is wanted from the file
	stored := each
	if quant != format.Invalid {
		got = format.F32
		if width > 0 {
			stored = append(append([]int64(nil), each[:len(each)-1]...), width)
			if rows := o.Attrs.Int("rows", 0); rows > 0 {
				stored[len(stored)-2] = rows
			}
		}
	}
	for i, p := range parts {
		v, err := r.tensor(p, o.Attrs.Format("stored", f), stored)
		if err != nil {
			return nil, err
		}
		if scale != "" {
			s, err := r.e.Weights.Tensor(strings.Replace(scale, "{}", strconv.Itoa(i), 1))
			if err != nil {
				return nil, err
			}
			sv, err := FromTensor(s)
			if err != nil {
				return nil, err
			}
			if v, err = scaleBlocks(v, sv, o.Attrs.Ints("block"), got); err != nil {
				return nil, fmt.Errorf("weight %s: %w", p, err)
			}
		} else if v.Format != got {
			v = Cast(v, got, false)
		}
		if quant != format.Invalid {
			n := len(stored)
			scales := append(append([]int64(nil), stored[:n-1]...), 1)
			by := []int64{max(stored[n-1], 1)}
			if len(block) == 2 {
				by, scales[n-2], scales[n-1] = block, ceilDiv(stored[n-2], block[0]), ceilDiv(stored[n-1], block[1])
			}
			pair := quantiseBlocks(v, quant, by, kind, 1e-12, stored, scales)
			if v = pair[0]; width > 0 {
				v = Cast(pair[1], f, false)
			}
		}
		if out.F != nil {
			copy(out.F[int64(i)*numel(each):], v.F)
		} else {
			copy(out.I[int64(i)*numel(each):], v.I)
		}
	}
	if r.e.weights == nil {
		r.e.weights = map[string]*Value{}
	}
	r.e.weights[key] = out
	return out, nil
}

func (r *run) tensor(name string, f format.Format, shape []int64) (*Value, error) {
	t, err := r.e.Weights.Tensor(name)
	if err != nil {
		return nil, err
	}
	if t.Format != f || fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
		return nil, fmt.Errorf("weight %s: expected %s%v, found %s%v", name, f, shape, t.Format, t.Shape)
	}
	return FromTensor(t)
}
