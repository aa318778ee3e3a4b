package bound

import (
	"math"
	"sort"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

// sorts bounds top_k. The k-th largest element of a row moves no further than the row's elements do; which one it is is known only where its
// neighbours in order are further away than that.
func sorts(_ *run, o *ir.Op, args, out []*Value) error {
	x, val, idx := args[0], out[0], out[1]
	if x.isExact() {
		return nil
	}
	n, k := int(x.Shape[len(x.Shape)-1]), int(val.Shape[len(val.Shape)-1])
	for r := 0; n > 0 && r < len(x.Err)/n; r++ {
		unknown := x.unknown(r*n, 1, n)
		worst := 0.0
		for i := range n {
			worst = max(worst, x.Err[r*n+i])
		}
		for c := range k {
			val.Err[r*k+c] = worst
			if unknown[idx.I[r*k+c]] {
				idx.Err[r*k+c] = math.Inf(1)
			}
		}
	}
	return nil
}

// unknown says for each of n elements whether its place in their order is not known.
func (v *Value) unknown(base, stride, n int) []bool {
	at := func(i int) int { return base + i*stride }
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return v.at(at(order[a])) < v.at(at(order[b])) })
	out := make([]bool, n)
	close := func(a, b int) bool {
		e := v.Err[at(a)] + v.Err[at(b)]
		return e != 0 && !(math.Abs(v.at(at(a))-v.at(at(b))) > e)
	}
	worst := 0.0
	for i := range n {
		worst = max(worst, v.Err[at(i)])
	}
	for p, i := range order {
		// An element with a large error may come between others that are far from it in order.
		for q := p + 1; q < n && v.at(at(order[q]))-v.at(at(i)) <= 2*worst; q++ {
			if close(i, order[q]) {
				out[i], out[order[q]] = true, true
			}
		}
		if math.IsNaN(v.at(at(i))) && v.Err[at(i)] != 0 || math.IsInf(worst, 1) {
			out[i] = true
		}
	}
	return out
}

func largest(_ *run, o *ir.Op, args, out []*Value) error {
	x, v := args[0], out[0]
	if x.isExact() {
		return nil
	}
	ax := axisOf(o.Attrs.Int("axis", -1), len(x.Shape))
	inner := 1
	for _, d := range x.Shape[ax+1:] {
		inner *= int(d)
	}
	n := int(x.Shape[ax])
	for i := range v.Err {
		base := i/inner*n*inner + i%inner
		if x.unknown(base, inner, n)[v.I[i]] {
			v.Err[i] = math.Inf(1)
		}
	}
	return nil
}

func groups(_ *run, _ *ir.Op, args, out []*Value) error {
	if !args[0].isExact() {
		for _, v := range out {
			v.lose()
		}
	}
	return nil
}

// quantises bounds codes and scales: both are monotone in the largest magnitude of a block and in the element.
func quantises(r *run, o *ir.Op, args, out []*Value) error {
	x, codes, scale := args[0], out[0], out[1]
	if x.isExact() {
		return nil
	}
	block := o.Attrs.Ints("block")
	f := codes.Format
	most := f.LargestCode()
	worst, amax := make([]float64, len(scale.Err)), make([]float64, len(scale.Err))
	where := blockOf(x.Shape, scale.Shape, block)
	for i, e := range x.Err {
		b := where[i]
		worst[b], amax[b] = max(worst[b], e), math.Max(amax[b], math.Abs(x.F[i]))
	}
	lo, hi := make([]float64, len(scale.Err)), make([]float64, len(scale.Err)) // between which a scale is
	floor := o.Attrs.Float("floor", 1e-4)
	for i, s := range scale.F {
		if kind := o.Attrs.Str("scale", "exact"); kind != "exact" { // it stays, unless a power of two is near
			power := func(x float64) float64 {
				if kind == "mx" {
					return float64(format.MXScale(f, float32(math.Max(x, floor))))
				}
				return float64(format.CeilScale(f, float32(math.Max(x, floor))))
			}
			lo[i], hi[i] = power(amax[i]-worst[i]), power(amax[i]+worst[i])
			scale.Err[i] = max(s-lo[i], hi[i]-s)
			continue
		}
		scale.Err[i] = worst[i]/most + 2*ulp(format.F32, s)
		lo[i], hi[i] = s-scale.Err[i], s+scale.Err[i]
	}
	mode := f.DefaultMode()
	mode.Saturate = true
	for i := range codes.Err {
		b, y, e := where[i], x.F[i], x.Err[i]
		if lo[b] <= 0 || math.IsInf(worst[b], 1) {
			codes.Err[i] = math.Inf(1)
			continue
		}
		d := 0.0
		for _, num := range []float64{y - e, y + e} {
			for _, den := range []float64{lo[b], hi[b]} {
				q := num / den
				if f.IsInt() {
					q = math.Max(math.Min(math.RoundToEven(q), most), float64(f.MinInt()))
				} else {
					q = f.RoundMode(q, mode)
				}
				d = max(d, math.Abs(q-codes.at(i)))
			}
		}
		codes.Err[i] = d
	}
	r.rounded(scale)
	return nil
}

// blockOf gives the scale of each element.
func blockOf(to, scales, block []int64) []int {
	n := 1
	for _, d := range to {
		n *= int(d)
	}
	out := make([]int, n)
	idx := make([]int64, len(to))
	for i := range out {
		at := int64(0)
		for d := range to {
			p := idx[d]
			if k := d - (len(to) - len(block)); k >= 0 {
				p /= block[k]
			}
			at = at*scales[d] + p
		}
		out[i] = int(at)
		for d := len(to) - 1; d >= 0; d-- {
			if idx[d]++; idx[d] < to[d] {
				break
			}
			idx[d] = 0
		}
	}
	return out
}

func dequantises(r *run, o *ir.Op, args, out []*Value) error {
	codes, scale, v := args[0], args[1], out[0]
	where := blockOf(codes.Shape, scale.Shape, o.Attrs.Ints("block"))
	for i := range v.Err {
		s, ds, x, e := math.Abs(scale.F[where[i]]), scale.Err[where[i]], math.Abs(codes.at(i)), codes.Err[i]
		if e != 0 || ds != 0 {
			v.Err[i] = x*ds + e*s + e*ds + ulp(format.F32, x*s)
		}
	}
	r.rounded(v)
	return nil
}

// attends bounds attention: scores known within δ give weights within a factor exp(2δ).
func attends(r *run, o *ir.Op, args, out []*Value) error {
	v := out[0]
	u := r.unit(v.Format)
	if r.Arith.Operand > 0 {
		u += r.Arith.Operand
	}
	for i := 3; i < len(args); i++ {
		if args[i].F == nil && !args[i].isExact() {
			v.lose()
			return nil
		}
	}
	norm := func(x *Value) (most, err float64) {
		for i := range x.Err {
			most, err = max(most, math.Abs(x.at(i))), max(err, x.Err[i])
		}
		return most, err
	}
	scale := math.Abs(o.Attrs.Float("scale", 1))
	score := func(q, k *Value) float64 {
		d := float64(q.Shape[3])
		mq, eq := norm(q)
		mk, ek := norm(k)
		eq, ek = eq+r.Arith.Tiny, ek+r.Arith.Tiny
		return d * (mq*ek + mk*eq + eq*ek + (d+4)*u*(mq+eq)*(mk+ek))
	}
	delta := score(args[0], args[1])
	for i := 3; i+1 < len(args); i++ {
		if args[i].F != nil && len(args[i].Shape) == 4 && args[i+1].F != nil && len(args[i+1].Shape) == 4 && op.AttentionOperand(o.Attrs, "q2") == i {
			delta += score(args[i], args[i+1])
		}
	}
	delta *= scale
	if i := op.AttentionOperand(o.Attrs, "mask"); i >= 0 && args[i].F != nil {
		_, e := norm(args[i])
		delta += e
	}
	delta += r.Arith.Function * 0x1p-22 * 8
	mv, ev := norm(args[2])
	ev += r.Arith.Tiny
	n := float64(args[1].Shape[1])
	e := ev + math.Expm1(2*delta)*2*(mv+ev) + (n+8)*2*u*(mv+ev)
	v.take(func(int) float64 { return e })
	r.rounded(v)
	return nil
}
