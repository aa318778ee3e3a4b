package codegen

import (
	"fmt"
	"math"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

// attentionBound: scores are off by the rounding of their sums, w·2^-24 times the largest sum of magnitudes that numbers of this
// size give (some 6 deviations: 20·w), and as much in the exponent's argument is that much in a weight; weights round to the values'
// format and sums over s keys in f32. All of it is relative to values below 5.
func attentionBound(f format.Format, width, s int64, scale float64) bound {
	eps := math.Exp2(-24)
	e := 2*scale*20*float64(width)*float64(width)*eps + float64(s+20)*eps
	if f.Bits() < 32 {
		e += 2 * math.Exp2(-float64(f.Info().ManBits))
	}
	return bound{ulps: 1, abs: 5 * e}
}

type attCase struct {
	b, t, h, g, s, d, e int64
	d2, g2              int64
	pos                 string // "", "all" or "each"
	mask                string // "", "bool" or "float"
	maskShape           []int64
	causal, joined      bool
	softcap             float64
}

var attCases = []attCase{
	{b: 1, t: 1, h: 1, g: 1, s: 1, d: 8, e: 8},
	{b: 2, t: 7, h: 6, g: 2, s: 40, d: 16, e: 24, causal: true, pos: "each"},
	{b: 1, t: 1, h: 4, g: 1, s: 300, d: 64, e: 64, d2: 8, g2: 1, joined: true},
	{b: 1, t: 1, h: 8, g: 2, s: 700, d: 32, e: 32, causal: true, pos: "all"},
	{b: 1, t: 5, h: 4, g: 4, s: 9, d: 16, e: 16, mask: "bool", maskShape: []int64{5, 9}, softcap: 3},
	{b: 2, t: 3, h: 2, g: 1, s: 20, d: 8, e: 8, mask: "float", maskShape: []int64{2, 1, 3, 20}},
	{b: 2, t: 3, h: 2, g: 1, s: 20, d: 8, e: 8, mask: "float", maskShape: []int64{2, 1, 1}},
	{b: 1, t: 70, h: 2, g: 2, s: 70, d: 24, e: 16, causal: true},
	{b: 1, t: 4, h: 6, g: 3, s: 33, d: 16, e: 16, d2: 4, g2: 1, causal: true, pos: "all"},
	{b: 1, t: 2, h: 4, g: 2, s: 65, d: 130, e: 150, d2: 10, g2: 2},
	{b: 3, t: 2, h: 2, g: 2, s: 5, d: 3, e: 5, causal: true}, // the last queries see all, none sees nothing
	{b: 0, t: 2, h: 2, g: 1, s: 4, d: 8, e: 8},
}

func (a attCase) build(f *fn, fm format.Format) *ir.Value {
	var with []string
	q := f.in(fm, a.b, a.t, a.h, a.d)
	k := f.in(fm, a.b, a.s, a.g, a.d)
	v := k
	if !a.joined {
		v = f.in(fm, a.b, a.s, a.g, a.e)
	}
	args := []*ir.Value{q, k, v}
	if a.d2 > 0 {
		with = append(with, "q2", "k2")
		args = append(args, f.in(fm, a.b, a.t, a.h, a.d2), f.in(fm, a.b, a.s, a.g2, a.d2))
	}
	switch a.pos {
	case "all":
		with = append(with, "pos")
		args = append(args, f.input(index, max(a.s-a.t, 1), format.I32))
	case "each":
		with = append(with, "pos")
		args = append(args, f.input(index, max(a.s-a.t, 1), format.I32, a.b))
	}
	switch a.mask {
	case "bool":
		with = append(with, "mask")
		args = append(args, f.in(format.Bool, a.maskShape...))
	case "float":
		with = append(with, "mask")
		args = append(args, f.in(fm, a.maskShape...))
	}
	attrs := ir.A("scale", 0.25, "causal", a.causal, "softcap", a.softcap)
	if with != nil {
		attrs = append(attrs, ir.A("with", with)...)
	}
	return f.Op(op.Attention, attrs, args...)
}

func TestAttention(t *testing.T) {
	eachTarget(t, func(t *testing.T, c target) {
		for _, fm := range []format.Format{format.F32, format.BF16, format.F16} {
			if _, _, ok := c.Matrix(fm, fm); !ok {
				continue
			}
			f := newFn()
			f.orders = true
			for _, a := range attCases {
				f.out(attentionBound(fm, a.d+a.d2, a.s, 0.25), a.build(f, fm))
			}
			t.Run(fm.String(), func(t *testing.T) { f.hold(t, c, true) })
		}
	})
}

// TestAttentionKernels: what an attention may stand between.
func TestAttentionKernels(t *testing.T) {
	params := `%q: f32[2,3,4,16], %k: f32[2,20,2,16], %v: f32[2,20,2,8], %flat: f32[2,20,48], %g: f32[2,3,32]`
	for i, src := range []string{
		`%y = attention(%q, %k, %v) {scale=0.25} : f32[2,3,4,8]
		 %f = reshape(%y) {shape=[2,3,32]} : f32[2,3,32]
		 %s = sigmoid(%g) : f32[2,3,32]
		 %z = mul(%f, %s) : f32[2,3,32]
		 yield(%z)`,
		`%y = attention(%q, %k, %v) {scale=0.25} : f32[2,3,4,8]
		 %t = transpose(%y) {perm=[0,2,1,3]} : f32[2,4,3,8]
		 yield(%t)`,
		`%a = slice(%flat) {axis=2, start=0, limit=32} : f32[2,20,32]
		 %b = slice(%flat) {axis=2, start=32, limit=48} : f32[2,20,16]
		 %kk = reshape(%a) {shape=[2,20,2,16]} : f32[2,20,2,16]
		 %vv = reshape(%b) {shape=[2,20,2,8]} : f32[2,20,2,8]
		 %qq = tanh(%q) : f32[2,3,4,16]
		 %y = attention(%qq, %kk, %vv) {scale=0.25} : f32[2,3,4,8]
		 %n = neg(%g) : f32[2,3,32]
		 yield(%y, %n)`,
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			eachTarget(t, func(t *testing.T, c target) {
				kernel(t, params, "attention", src, attentionBound(format.F32, 16, 20, 0.25)).hold(t, c, false)
			})
		})
	}
}
