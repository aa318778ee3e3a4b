package eval

import (
	"fmt"
	"math"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

// einsum sums over all indices that the result lacks.
func einsum(e op.EinsumSpec, a, b *Value, f format.Format, shape []int64) *Value {
	out := newValue(f, shape)
	sa, sb := strides(a.Shape), strides(b.Shape)
	stride := func(spec string, st []int64, c byte) int64 {
		if i := strings.IndexByte(spec, c); i >= 0 {
			return st[i]
		}
		return 0
	}
	oa, ob := make([]int64, len(e.Out)), make([]int64, len(e.Out))
	for i := range e.Out {
		oa[i], ob[i] = stride(e.A, sa, e.Out[i]), stride(e.B, sb, e.Out[i])
	}
	var ks, ka, kb []int64
	for i := range e.A {
		if c := e.A[i]; strings.IndexByte(e.Out, c) < 0 {
			ks, ka, kb = append(ks, a.Shape[i]), append(ka, sa[i]), append(kb, stride(e.B, sb, c))
		}
	}
	for i := range e.B {
		if c := e.B[i]; strings.IndexByte(e.Out, c) < 0 && strings.IndexByte(e.A, c) < 0 {
			ks, ka, kb = append(ks, b.Shape[i]), append(ka, 0), append(kb, sb[i])
		}
	}
	n := numel(ks)
	// Offsets of the summed indices, so that the inner loop is plain.
	pa, pb := make([]int64, 0, n), make([]int64, 0, n)
	walk(ks, [][]int64{ka, kb}, func(_ int64, off []int64) { pa, pb = append(pa, off[0]), append(pb, off[1]) })
	walk(shape, [][]int64{oa, ob}, func(i int64, off []int64) {
		if out.F != nil {
			s := 0.0
			for k := range pa {
				s += a.F[off[0]+pa[k]] * b.F[off[1]+pb[k]]
			}
			out.F[i] = round(f, s)
			return
		}
		s := int64(0)
		for k := range pa {
			s += a.I[off[0]+pa[k]] * b.I[off[1]+pb[k]]
		}
		out.I[i] = wrap(f, s)
	})
	return out
}

func at(v *Value, i int64) float64 {
	if v.F != nil {
		return v.F[i]
	}
	return float64(v.I[i])
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// scaleBlocks multiplies codes by the scale of their block, in f32, and rounds to a format.
func scaleBlocks(x, s *Value, block []int64, f format.Format) (*Value, error) {
	out := newValue(f, x.Shape)
	st := strides(s.Shape)
	rank := len(x.Shape)
	if len(s.Shape) != rank || len(block) > rank {
		return nil, fmt.Errorf("scales %v do not fit %v in blocks of %v", s.Shape, x.Shape, block)
	}
	for i := range x.Shape {
		b := int64(1)
		if k := i - (rank - len(block)); k >= 0 {
			b = block[k]
		}
		if s.Shape[i] != ceilDiv(x.Shape[i], b) {
			return nil, fmt.Errorf("scales %v do not fit %v in blocks of %v", s.Shape, x.Shape, block)
		}
	}
	xs := strides(x.Shape)
	for i := range numel(x.Shape) {
		at0, rest := int64(0), i
		for d := range x.Shape {
			p := rest / xs[d]
			rest %= xs[d]
			if k := d - (rank - len(block)); k >= 0 {
				p /= block[k]
			}
			at0 += p * st[d]
		}
		out.F[i] = round(f, float64(float32(at(x, i))*float32(s.F[at0])))
	}
	return out, nil
}

func dequantize(_ *run, o *ir.Op, a []*Value, _ [][]int64) ([]*Value, error) {
	v, err := scaleBlocks(a[0], a[1], o.Attrs.Ints("block"), o.Result(0).Type.Format)
	return []*Value{v}, err
}

func quantize(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	return quantiseBlocks(a[0], o.Result(0).Type.Format, o.Attrs.Ints("block"), o.Attrs.Str("scale", "exact"), float32(o.Attrs.Float("floor", 1e-4)), shapes[0], shapes[1]), nil
}

// quantiseBlocks gives the codes of x in format f and the scales of its blocks, of the kind that the op quantize names.
func quantiseBlocks(x *Value, f format.Format, block []int64, kind string, floor float32, codeShape, scaleShape []int64) []*Value {
	codes, scale := newValue(f, codeShape), newValue(format.F32, scaleShape)
	rank := len(x.Shape)
	xs, ss := strides(x.Shape), strides(scale.Shape)
	where := func(i int64) int64 {
		at0, rest := int64(0), i
		for d := range x.Shape {
			p := rest / xs[d]
			rest %= xs[d]
			if k := d - (rank - len(block)); k >= 0 {
				p /= block[k]
			}
			at0 += p * ss[d]
		}
		return at0
	}
	for i, v := range x.F {
		s := where(int64(i))
		scale.F[s] = math.Max(scale.F[s], math.Abs(float64(float32(v))))
	}
	for i := range scale.F {
		most := max(float32(scale.F[i]), floor)
		switch kind {
		case "mx":
			scale.F[i] = float64(format.MXScale(f, most))
		case "ue8m0":
			scale.F[i] = float64(format.CeilScale(f, most))
		default:
			scale.F[i] = float64(most / float32(f.LargestCode()))
		}
	}
	mode := f.DefaultMode()
	mode.Saturate = true
	for i, v := range x.F {
		q := float64(float32(v) / float32(scale.F[where(int64(i))]))
		if f.IsInt() {
			codes.I[i] = toInt(f, math.RoundToEven(q))
		} else {
			codes.F[i] = f.RoundMode(q, mode)
		}
	}
	return []*Value{codes, scale}
}

// scaledRow computes one row of a scaled product: a = codes, b = codes of one matrix that begins at element base, and their scales.
func scaledRow(out *Value, a []*Value, row, group, n, k int64, block []int64) {
	x, w, sx, sw := a[0], a[1], a[2], a[3]
	h, g := block[0], block[1]
	kb, nb := ceilDiv(k, g), ceilDiv(n, h)
	for c := int64(0); c < n; c++ {
		var sum float32
		for b := int64(0); b < kb; b++ {
			s := 0.0
			for i := b * g; i < min((b+1)*g, k); i++ {
				s += at(x, row*k+i) * at(w, (group*n+c)*k+i)
			}
			t := float32(s) * float32(sx.F[row*kb+b])
			t *= float32(sw.F[(group*nb+c/h)*kb+b])
			sum += t
		}
		out.F[row*n+c] = round(out.Format, float64(sum))
	}
}

func groupedMatmul(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	x, w, off := a[0], a[1], a[2]
	e, f, d := w.Shape[0], w.Shape[1], w.Shape[2]
	out := newValue(o.Result(0).Type.Format, shapes[0])
	for g := int64(0); g < e; g++ {
		lo, hi := off.I[g], off.I[g+1]
		if lo < 0 || hi < lo || hi > x.Shape[0] {
			return nil, fmt.Errorf("group %d has rows %d to %d of %d", g, lo, hi, x.Shape[0])
		}
		for r := lo; r < hi; r++ {
			if len(a) > 3 {
				scaledRow(out, []*Value{x, w, a[3], a[4]}, r, g, f, d, o.Attrs.Ints("block"))
				continue
			}
			for c := int64(0); c < f; c++ {
				s := 0.0
				for i := int64(0); i < d; i++ {
					s += at(x, r*d+i) * at(w, (g*f+c)*d+i)
				}
				out.F[r*f+c] = round(out.Format, s)
			}
		}
	}
	return one(out)
}

func attention(_ *run, o *ir.Op, a []*Value, shapes [][]int64) ([]*Value, error) {
	arg := func(name string) *Value {
		if i := op.AttentionOperand(o.Attrs, name); i >= 0 {
			return a[i]
		}
		return nil
	}
	q, k, v, q2, k2, pos, mask := a[0], a[1], a[2], arg("q2"), arg("k2"), arg("pos"), arg("mask")
	out := newValue(q.Format, shapes[0])
	nb, nt, nh := q.Shape[0], q.Shape[1], q.Shape[2]
	ns, ng, ne := k.Shape[1], k.Shape[2], v.Shape[3]
	scale, softcap := o.Attrs.Float("scale", 1), o.Attrs.Float("softcap", 0)
	causal := o.Attrs.Bool("causal", false)
	var ms []int64
	if mask != nil {
		ms = broadcastStrides(mask.Shape, []int64{nb, nh, nt, ns})
	}
	score := make([]float64, ns)
	dot := func(q, k *Value, b, t, h, s int64) float64 {
		d, g := q.Shape[3], k.Shape[2]
		qi, ki := ((b*nt+t)*nh+h)*d, ((b*ns+s)*g+h/(nh/g))*d
		x := 0.0
		for i := int64(0); i < d; i++ {
			x += q.F[qi+i] * k.F[ki+i]
		}
		return x
	}
	for b := int64(0); b < nb; b++ {
		first := int64(0)
		if pos != nil {
			first = pos.I[0]
			if len(pos.Shape) == 1 {
				first = pos.I[b]
			}
		}
		for t := int64(0); t < nt; t++ {
			for h := int64(0); h < nh; h++ {
				big := math.Inf(-1)
				for s := range ns {
					x := dot(q, k, b, t, h, s)
					if q2 != nil {
						x += dot(q2, k2, b, t, h, s)
					}
					x *= scale
					if softcap > 0 {
						x = softcap * math.Tanh(x/softcap)
					}
					if mask != nil {
						i := b*ms[0] + h*ms[1] + t*ms[2] + s*ms[3]
						if mask.I != nil {
							if mask.I[i] == 0 {
								x = math.Inf(-1)
							}
						} else {
							x += mask.F[i]
						}
					}
					if causal && s > first+t {
						x = math.Inf(-1)
					}
					score[s] = x
					big = math.Max(big, x)
				}
				if math.IsInf(big, -1) {
					continue // sees nothing: 0
				}
				sum := 0.0
				for s := range score {
					score[s] = math.Exp(score[s] - big)
					sum += score[s]
				}
				for e := int64(0); e < ne; e++ {
					y := 0.0
					for s := int64(0); s < ns; s++ {
						if score[s] != 0 {
							y += score[s] * v.F[((b*ns+s)*ng+h/(nh/ng))*ne+e]
						}
					}
					out.F[((b*nt+t)*nh+h)*ne+e] = round(q.Format, y/sum)
				}
			}
		}
	}
	return one(out)
}
