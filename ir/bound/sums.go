package bound

import (
	"context"
	"fmt"
	"math"
	"strings"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

var rules map[*op.Info]rule

func init() {
	rules = map[*op.Info]rule{
		op.Constant: known, op.Weight: known, op.Iota: known, op.DimValue: known,
		op.Reshape: moves, op.Transpose: moves, op.Broadcast: moves, op.Slice: moves, op.Concat: moves, op.Pad: moves, op.Reverse: moves, op.Window: moves,
		op.Gather: picks, op.GatherElements: picks, op.Update: updates, op.ScatterElements: scatters,
		op.Reduce: reduces, op.Cumsum: cumulates, op.TopK: sorts, op.ArgMax: largest, op.GroupRows: groups,
		op.Einsum: contracts, op.GroupedMatmul: contracts, op.ScaledMatmul: contracts, op.Attention: attends,
		op.Quantize: quantises, op.Dequantize: dequantises,
	}
}

func known(*run, *ir.Op, []*Value, []*Value) error { return nil }

// like evaluates an op of o's kind in f64 on other operands, with o's attributes but those to drop.
func (r *run) like(o *ir.Op, drop []string, args ...*eval.Value) ([]*eval.Value, error) {
	m := ir.NewModule("bound")
	f := m.NewFunc("f")
	ps := make([]*ir.Value, len(args))
	for i, a := range args {
		ps[i] = f.AddInput(fmt.Sprint("x", i), ir.Type{Format: a.Format, Shape: shape.Of(a.Shape...)})
	}
	var attrs op.Attrs
	for _, a := range o.Attrs {
		keep := true
		for _, d := range drop {
			keep = keep && a.Name != d
		}
		if keep {
			attrs = append(attrs, a)
		}
	}
	b := ir.AtEnd(f.Body)
	c := b.Create(o.Info, attrs, ps...)
	if b.Err != nil {
		return nil, b.Err
	}
	return r.Eval.Op(context.Background(), c, args)
}

// errors are a value's errors as an f64 tensor, large numbers in place of infinite ones so that a zero factor takes them out.
func (v *Value) errors() *eval.Value {
	e := &eval.Value{Format: format.F64, Shape: v.Shape, F: make([]float64, len(v.Err))}
	for i, x := range v.Err {
		e.F[i] = min(x, huge)
	}
	return e
}

// huge stands for an unknown in sums; what reaches unknown is unknown.
const (
	huge    = 1e200
	unknown = 1e100
)

// magnitude is |x| in f64.
func (v *Value) magnitude() *eval.Value {
	m := &eval.Value{Format: format.F64, Shape: v.Shape, F: make([]float64, len(v.Err))}
	for i := range m.F {
		m.F[i] = math.Abs(v.at(i))
	}
	return m
}

// take makes errors of what sums of errors gave.
func (v *Value) take(f func(i int) float64) {
	for i := range v.Err {
		e := f(i)
		if e >= unknown || math.IsNaN(e) {
			e = math.Inf(1)
		}
		v.Err[i] = e
	}
}

// moves bounds ops whose elements come from their operands' unchanged.
func moves(r *run, o *ir.Op, args, out []*Value) error {
	es := make([]*eval.Value, len(args))
	for i, a := range args {
		es[i] = a.errors()
	}
	res, err := r.like(o, nil, es...)
	if err != nil {
		return err
	}
	out[0].take(func(i int) float64 { return res[0].F[i] })
	return nil
}

// picks bounds gathers: an element whose index is not known is anything.
func picks(r *run, o *ir.Op, args, out []*Value) error {
	res, err := r.like(o, nil, args[0].errors(), args[1].Value)
	if err != nil {
		return err
	}
	out[0].take(func(i int) float64 { return res[0].F[i] })
	if args[1].isExact() {
		return nil
	}
	x, idx := args[0], args[1]
	if o.Is(op.GatherElements) {
		for i, e := range idx.Err {
			if e != 0 {
				out[0].Err[i] = math.Inf(1)
			}
		}
		return nil
	}
	ax := axisOf(o.Attrs.Int("axis", 0), len(x.Shape))
	inner, outer := 1, 1
	for i, d := range x.Shape {
		switch {
		case i < ax:
			outer *= int(d)
		case i > ax:
			inner *= int(d)
		}
	}
	for p := range outer {
		for j, e := range idx.Err {
			if e == 0 {
				continue
			}
			for k := range inner {
				out[0].Err[(p*len(idx.Err)+j)*inner+k] = math.Inf(1)
			}
		}
	}
	return nil
}

func (v *Value) lose() {
	for i := range v.Err {
		v.Err[i] = math.Inf(1)
	}
}

func updates(r *run, o *ir.Op, args, out []*Value) error {
	if !args[2].isExact() {
		out[0].lose()
		return nil
	}
	res, err := r.like(o, nil, args[0].errors(), args[1].errors(), args[2].Value)
	if err != nil {
		return err
	}
	out[0].take(func(i int) float64 { return res[0].F[i] })
	return nil
}

func scatters(r *run, o *ir.Op, args, out []*Value) error {
	v := out[0]
	if !args[1].isExact() {
		v.lose()
		return nil
	}
	x, idx, u := args[0], args[1].Value, args[2]
	switch o.Attrs.Str("reduce", "none") {
	case "none", "max", "min":
		attrs := o.Attrs
		if o.Attrs.Str("reduce", "none") != "none" { // the error of one of those that met there
			attrs = nil
			for _, a := range o.Attrs {
				if a.Name == "reduce" {
					a.Value = "max"
				}
				attrs = append(attrs, a)
			}
		}
		res, err := r.likeWith(o, attrs, x.errors(), idx, u.errors())
		if err != nil {
			return err
		}
		v.take(func(i int) float64 { return res[0].F[i] })
	case "add":
		if x.F == nil { // exact, and it wraps
			res, err := r.like(o, nil, x.errors(), idx, u.errors())
			if err != nil {
				return err
			}
			v.take(func(i int) float64 { return res[0].F[i] })
			return nil
		}
		es, err := r.like(o, nil, x.errors(), idx, u.errors())
		if err != nil {
			return err
		}
		mag, err := r.like(o, nil, x.magnitude(), idx, u.magnitude())
		if err != nil {
			return err
		}
		n := float64(len(idx.I) + 1)
		step := ulp(v.Format, 1)
		v.take(func(i int) float64 { return es[0].F[i] + n*step*(mag[0].F[i]+es[0].F[i]) })
	default:
		if !x.isExact() || !u.isExact() {
			v.lose()
			return nil
		}
		if x.F != nil {
			n := float64(len(idx.I) + 1)
			v.take(func(i int) float64 { return n * ulp(v.Format, v.F[i]) * 4 })
		}
	}
	r.rounded(v)
	return nil
}

func (r *run) likeWith(o *ir.Op, attrs op.Attrs, args ...*eval.Value) ([]*eval.Value, error) {
	saved := o.Attrs
	o.Attrs = attrs
	defer func() { o.Attrs = saved }()
	return r.like(o, nil, args...)
}

// unit is the unit roundoff of sums of a format's numbers.
func (r *run) unit(f format.Format) float64 {
	if f == format.F64 {
		return 0x1p-53
	}
	return r.Arith.Sum
}

// axisOf brings an axis that may count from the end into 0…rank-1.
func axisOf(axis int64, rank int) int {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis)
}

// fold evaluates o, a reduction or a running one, as one of another kind on other numbers.
func (r *run) fold(o *ir.Op, kind string, x *eval.Value) ([]float64, error) {
	res, err := r.likeWith(o, o.Attrs.With("kind", kind), x)
	if err != nil {
		return nil, err
	}
	return res[0].F, nil
}

// sums bounds sums, or means, of n numbers: the errors add up, and each addition rounds.
func (r *run) sums(o *ir.Op, kind string, x, v *Value, n float64) error {
	e, err := r.fold(o, kind, x.errors())
	if err != nil {
		return err
	}
	m, err := r.fold(o, kind, x.magnitude())
	if err != nil {
		return err
	}
	v.take(func(i int) float64 {
		if v.F == nil {
			return e[i]
		}
		return e[i] + (n+2)*r.unit(v.Format)*(m[i]+e[i])
	})
	return nil
}

// prods bounds products of n numbers by that of the largest magnitudes.
func (r *run) prods(o *ir.Op, x, v *Value, n float64) error {
	if x.F == nil {
		v.lose()
		return nil
	}
	wide := x.magnitude()
	for i := range wide.F {
		wide.F[i] += min(x.Err[i], huge)
	}
	hi, err := r.fold(o, "prod", wide)
	if err != nil {
		return err
	}
	lo, err := r.fold(o, "prod", x.magnitude())
	if err != nil {
		return err
	}
	v.take(func(i int) float64 { return math.Abs(hi[i]-lo[i]) + 2*(n+2)*r.unit(v.Format)*hi[i] })
	return nil
}

// extremes bounds what moves no further than the numbers that it is one of.
func (r *run) extremes(o *ir.Op, x, v *Value) error {
	e, err := r.fold(o, "max", x.errors())
	if err != nil {
		return err
	}
	v.take(func(i int) float64 {
		if v.Format == format.Bool {
			return min(e[i], 1)
		}
		return max(e[i], 0)
	})
	return nil
}

func reduces(r *run, o *ir.Op, args, out []*Value) error {
	x, v := args[0], out[0]
	kind := o.Attrs.Str("kind", "")
	if x.isExact() && (x.F == nil || kind == "max" || kind == "min") {
		return nil
	}
	n := 1.0
	if len(v.Err) > 0 {
		n = float64(len(x.Err)) / float64(len(v.Err))
	}
	var err error
	switch kind {
	case "sum", "mean":
		err = r.sums(o, kind, x, v, n)
	case "prod":
		err = r.prods(o, x, v, n)
	default:
		err = r.extremes(o, x, v)
	}
	if err != nil {
		return err
	}
	r.rounded(v)
	return nil
}

func cumulates(r *run, o *ir.Op, args, out []*Value) error {
	x, v := args[0], out[0]
	if x.isExact() && x.F == nil {
		return nil
	}
	n := float64(x.Shape[axisOf(o.Attrs.Int("axis", 0), len(x.Shape))])
	var err error
	switch o.Attrs.Str("kind", "sum") {
	case "sum":
		err = r.sums(o, "sum", x, v, n)
	case "prod":
		err = r.prods(o, x, v, n)
	default:
		err = r.extremes(o, x, v)
	}
	if err != nil {
		return err
	}
	r.rounded(v)
	return nil
}

// contracts bounds products: |a|·δb + δa·|b| + δa·δb, and (n+2)u·|a||b| for the sums (Higham, section 3.5), and what underflow costs.
func contracts(r *run, o *ir.Op, args, out []*Value) error {
	a, b, v := args[0], args[1], out[0]
	scaled := len(o.Attrs.Ints("block")) > 0
	var offsets []*eval.Value // of a grouped product
	if o.Is(op.GroupedMatmul) {
		if !args[2].isExact() {
			v.lose()
			return nil
		}
		offsets = append(offsets, args[2].Value)
	}
	if a.F == nil && b.F == nil && v.F == nil && a.isExact() && b.isExact() {
		return nil
	}
	product := func(x, y *eval.Value) ([]float64, error) {
		if scaled {
			return products(x, y, offsets), nil
		}
		res, err := r.like(o, []string{"format"}, append([]*eval.Value{x, y}, offsets...)...)
		if err != nil {
			return nil, err
		}
		return res[0].F, nil
	}
	n, err := terms(o, a, b)
	if err != nil {
		return err
	}
	ma, mb, ea, eb := a.magnitude(), b.magnitude(), a.errors(), b.errors()
	if u := r.Arith.Operand; u > 0 && a.F != nil {
		for i := range ea.F {
			ea.F[i] += u*ma.F[i] + r.Arith.Tiny
		}
		for i := range eb.F {
			eb.F[i] += u*mb.F[i] + r.Arith.Tiny
		}
	}
	if scaled { // products of what the codes stand for
		block := o.Attrs.Ints("block")
		scaleBy(ma, ea, args[len(args)-2], block[1:])
		scaleBy(mb, eb, args[len(args)-1], block)
	}
	wide := &eval.Value{Format: format.F64, Shape: a.Shape, F: make([]float64, len(ma.F))}
	for i := range wide.F {
		wide.F[i] = ma.F[i] + ea.F[i]
	}
	left, err := product(ea, mb)
	if err != nil {
		return err
	}
	right, err := product(wide, eb)
	if err != nil {
		return err
	}
	all, err := product(wide, mb)
	if err != nil {
		return err
	}
	v.take(func(i int) float64 {
		e := left[i] + right[i]
		if v.F != nil {
			e += (n + 4) * r.unit(v.Format) * (all[i] + right[i])
			if w := working(v.Format); w == format.F64 || all[i]+right[i] > 0 { // products may underflow, in f64 these bounds too
				e += (n + 4) * w.Info().MinSubnormal
			}
		}
		return e
	})
	r.rounded(v)
	return nil
}

// scaleBy multiplies magnitudes of codes and their errors by the scales of their blocks.
func scaleBy(magn, errs *eval.Value, scales *Value, block []int64) {
	where := blockOf(magn.Shape, scales.Shape, block)
	for i, w := range where {
		s, ds := math.Abs(scales.F[w]), min(scales.Err[w], huge)
		errs.F[i] = min(errs.F[i]*(s+ds)+magn.F[i]*ds, huge)
		magn.F[i] *= s
	}
}

// products multiplies rows of x by matrices of rows of K: one matrix, or one for each group of rows that offsets bound.
func products(x, y *eval.Value, offsets []*eval.Value) []float64 {
	k, n := y.Shape[len(y.Shape)-1], y.Shape[len(y.Shape)-2]
	rows := int64(1)
	for _, d := range x.Shape[:len(x.Shape)-1] {
		rows *= d
	}
	out := make([]float64, rows*n)
	group := int64(0)
	for row := range rows {
		for _, o := range offsets {
			for group+1 < int64(len(o.I))-1 && row >= o.I[group+1] {
				group++
			}
		}
		for c := range n {
			s := 0.0
			for i := range k {
				s += x.F[row*k+i] * y.F[(group*n+c)*k+i]
			}
			out[row*n+c] = s
		}
	}
	return out
}

// terms is the number of products that are summed for one element: of all letters that the result lacks.
func terms(o *ir.Op, a, b *Value) (float64, error) {
	if !o.Is(op.Einsum) {
		return float64(a.Shape[len(a.Shape)-1]), nil
	}
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	if err != nil {
		return 0, err
	}
	n := 1.0
	for i := range len(e.A) {
		if strings.IndexByte(e.Out, e.A[i]) < 0 {
			n *= float64(a.Shape[i])
		}
	}
	for i := range len(e.B) {
		if strings.IndexByte(e.Out, e.B[i]) < 0 && strings.IndexByte(e.A, e.B[i]) < 0 {
			n *= float64(b.Shape[i])
		}
	}
	return n, nil
}
