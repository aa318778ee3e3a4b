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
		Row{Op: "Attention", Since: 23, Lower: attention, Doc: "Scaled dot-product attention with grouped heads, masks, and a cache inside or outside."},
		Row{Op: "RotaryEmbedding", Since: 23, Lower: rotaryEmbedding, Doc: "Rotary position embedding, in halves or interleaved."},
		Row{Op: "TensorScatter", Since: 24, Lower: tensorScatter, Doc: "Writes a part of a cache, each batch row at its own place, circular or not."},
		Row{Op: "LinearAttention", Since: 27, Lower: linearAttention, Doc: "Recurrent attention with a matrix as state: linear, gated, delta and gated delta rules."},
		Row{Op: "CausalConvWithState", Since: 27, Lower: causalConvWithState, Doc: "Depthwise causal convolution that carries the last inputs on."},
		Row{Domain: "ai.onnx.preview", Op: "FlexAttention", Since: 1, Lower: flexAttention, Doc: "Attention whose scores and probabilities graphs may change."},
	)
}

// heads gives a tensor [B,T,H·D] as [B,H,T,D]; one of four axes is that already.
func (n *node) heads(x *ir.Value, count int64, attr string) *ir.Value {
	s := x.Type.Shape
	if len(s) == 4 {
		return x
	}
	if len(s) != 3 {
		n.fail("expected 3 or 4 axes, found %s", x.Type)
	}
	if count < 1 {
		n.fail("attribute %s is missing: an operand with 3 axes needs it", attr)
	}
	d, ok := s[2].Div(shape.Const(count))
	if !ok {
		n.fail("the last axis of %s is no multiple of %s = %d", x.Type, attr, count)
	}
	return n.transpose(n.reshape(x, shape.Shape{s[0], s[1], shape.Const(count), d}), 0, 2, 1, 3)
}

// flatHeads takes heads back.
func (n *node) flatHeads(x *ir.Value) *ir.Value {
	s := x.Type.Shape
	return n.reshape(n.transpose(x, 0, 2, 1, 3), shape.Shape{s[0], s[2], s[1].Mul(s[3])})
}

// grouped multiplies per head, keys and values being shared by groups of query heads: x [B,H,T,K] with y [B,G,…], H a multiple of G.
// spec names the last two axes of both and of the result.
func (n *node) grouped(x, y *ir.Value, xs, ys, out string, to format.Format) *ir.Value {
	h, g := x.Type.Shape[1], y.Type.Shape[1]
	if h.Equal(g) {
		return n.einsum("bg"+xs+",bg"+ys+"->bg"+out, x, y, to)
	}
	r, ok := h.Div(g)
	if !ok {
		n.fail("%s query heads are no multiple of %s heads of keys and values", h, g)
	}
	s := x.Type.Shape
	split := n.reshape(x, append(shape.Shape{s[0], g, r}, s[2:]...))
	v := n.einsum("bgr"+xs+",bg"+ys+"->bgr"+out, split, y, to)
	return n.reshape(v, append(shape.Shape{s[0], h}, v.Type.Shape[3:]...))
}

// blocked is what is added to a score that does not count.
func (n *node) blocked(f format.Format) *ir.Value { return n.scalar(f, math.Inf(-1)) }

func attention(n *node) {
	q, k, v := n.arg(0), n.arg(1), n.arg(2)
	flat := len(q.Type.Shape) == 3
	q = n.heads(q, n.attrInt("q_num_heads", 0), "q_num_heads")
	k = n.heads(k, n.attrInt("kv_num_heads", 0), "kv_num_heads")
	v = n.heads(v, n.attrInt("kv_num_heads", 0), "kv_num_heads")
	f := q.Type.Format
	offset := n.scalar(format.I64, 0) // valid keys before the first query
	if n.has(4) != n.has(5) {
		n.fail("past_key and past_value go together")
	}
	length := n.opt(6)
	if n.has(4) {
		if length != nil {
			n.fail("nonpad_kv_seqlen does not go with past_key and past_value")
		}
		k, v = n.concat(2, n.arg(4), k), n.concat(2, n.arg(5), v)
		offset = n.dim(format.I64, n.arg(4).Type.Shape[2])
	}
	n.set(1, k)
	n.set(2, v)
	queries, keys := q.Type.Shape[2], k.Type.Shape[2]

	// The scores. Narrow formats scale both factors, so that the sum does not overflow; others the sum.
	scale := n.attrFloat("scale", 0)
	if !n.hasAttr("scale") {
		scale = 1 / math.Sqrt(float64(n.size(q.Type.Shape[3], "the size of a head")))
	}
	var scores *ir.Value
	if f.Bits() < 32 && scale >= 0 {
		root := math.Sqrt(scale)
		scores = n.grouped(n.mulc(q, root), n.mulc(k, root), "td", "sd", "ts", f)
	} else {
		scores = n.mulc(n.grouped(q, k, "td", "sd", "ts", f), scale)
	}
	raw := scores
	if c := n.attrFloat("softcap", 0); c > 0 {
		scores = n.mulc(n.do(op.Tanh, nil, n.divc(scores, c)), c)
	}
	capped := scores

	bias, allowed := n.attentionBias(f, keys), n.attentionMask(keys, queries, offset, length)
	if allowed != nil {
		b := n.sel(allowed, n.scalar(f, 0), n.blocked(f))
		if bias == nil {
			bias = b
		} else {
			bias = n.add(bias, b)
		}
	}
	var none *ir.Value // rows that see no key
	if bias != nil {
		if len(bias.Type.Shape) == 0 {
			bias = n.unsqueeze(bias, 0)
		}
		scores = n.add(scores, bias)
		none = n.eq(n.reduce("max", bias, true, -1), n.blocked(f))
	}
	biased := scores
	if p := n.attrFormat("softmax_precision", f); p != f {
		scores = n.cast(scores, p)
	}
	probs := n.maskedSoftmax(scores, none)
	weights := probs
	if probs.Type.Format != v.Type.Format {
		weights = n.cast(probs, v.Type.Format)
	}
	y := n.cast(n.grouped(weights, v, "ts", "sd", "td", v.Type.Format), f)
	if flat {
		y = n.flatHeads(y)
	}
	n.set(0, y)
	switch n.attrInt("qk_matmul_output_mode", 0) {
	case 0:
		n.set(3, raw)
	case 1:
		n.set(3, capped)
	case 2:
		n.set(3, biased)
	case 3:
		n.set(3, n.cast(probs, f))
	default:
		n.fail("attribute qk_matmul_output_mode is %d, expected 0 to 3", n.attrInt("qk_matmul_output_mode", 0))
	}
}

// maskedSoftmax is softmax along the last axis, zero in rows that see nothing.
func (n *node) maskedSoftmax(x, none *ir.Value) *ir.Value {
	if none == nil {
		return n.softmax(x, -1)
	}
	zero := n.like(x, 0)
	return n.sel(none, zero, n.softmax(n.sel(none, zero, x), -1))
}

// attentionBias is operand attn_mask as what is added to scores: a bool mask adds nothing or minus infinity. A mask with fewer keys than
// there are leaves the others out.
func (n *node) attentionBias(f format.Format, keys shape.Dim) *ir.Value {
	m := n.opt(3)
	if m == nil {
		return nil
	}
	if m.Type.Format == format.Bool {
		m = n.sel(m, n.scalar(f, 0), n.blocked(f))
	}
	m = n.cast(m, f)
	last := len(m.Type.Shape) - 1
	if last < 0 || m.Type.Shape[last].Equal(keys) || m.Type.Shape[last].Equal(shape.Const(1)) {
		return m
	}
	more := n.size(keys.Sub(m.Type.Shape[last]), "the number of keys that attn_mask leaves out")
	if more < 0 {
		n.fail("attn_mask has %s keys where there are %s", m.Type.Shape[last], keys)
	}
	lo, hi := make([]int64, last+1), make([]int64, last+1)
	hi[last] = more
	return n.pad(m, lo, hi, n.blocked(f))
}

// attentionMask says which query sees which key by their places: causal, within a window, not padding. nil is all.
func (n *node) attentionMask(keys, queries shape.Dim, offset, length *ir.Value) *ir.Value {
	causal := n.attrBool("is_causal", false)
	left, right := n.attrInt("left_window_size", -1), n.attrInt("right_window_size", -1)
	if left < -1 || right < -1 {
		n.fail("a window size is -1 or not negative, found %d and %d", left, right)
	}
	var allowed *ir.Value
	both := func(m *ir.Value) {
		if allowed == nil {
			allowed = m
		} else {
			allowed = n.and(allowed, m)
		}
	}
	key := n.iota(format.I64, shape.Shape{shape.Const(1), keys}, 1)
	if causal || left >= 0 || right >= 0 {
		if length != nil { // each batch row has its own offset
			per := n.sub(n.cast(length, format.I64), n.dim(format.I64, queries))
			offset = n.reshape(per, shape.Shape{length.Type.Shape[0], shape.Const(1), shape.Const(1), shape.Const(1)})
		}
		at := n.add(n.iota(format.I64, shape.Shape{queries, shape.Const(1)}, 0), offset)
		if causal {
			both(n.le(key, at))
		}
		if left >= 0 {
			both(n.le(n.subc(at, float64(left)), key))
		}
		if right >= 0 {
			both(n.le(key, n.addc(at, float64(right))))
		}
	}
	if length != nil {
		l := n.reshape(n.cast(length, format.I64), shape.Shape{length.Type.Shape[0], shape.Const(1), shape.Const(1), shape.Const(1)})
		both(n.lt(key, l))
	}
	return allowed
}

func rotaryEmbedding(n *node) {
	x, cos, sin := n.arg(0), n.arg(1), n.arg(2)
	flat := len(x.Type.Shape) == 3
	x = n.heads(x, n.attrInt("num_heads", 0), "num_heads") // [B,H,T,D]
	d := n.size(x.Type.Shape[3], "the size of a head")
	rot := n.attrInt("rotary_embedding_dim", 0)
	if rot == 0 {
		rot = d
	}
	if rot < 0 || rot > d || rot%2 != 0 {
		n.fail("attribute rotary_embedding_dim is %d, expected an even number up to %d", rot, d)
	}
	if pos := n.opt(3); pos != nil {
		cos, sin = n.gather(cos, pos, 0), n.gather(sin, pos, 0)
	}
	cos, sin = n.unsqueeze(cos, 1), n.unsqueeze(sin, 1) // [B,1,T,rot/2]
	if !cos.Type.Shape[len(cos.Type.Shape)-1].Equal(shape.Const(rot / 2)) {
		n.fail("the cosines are %s; expected %d, half of the rotated part of a head, in the last axis", cos.Type, rot/2)
	}
	turn, rest := n.cut(x, 3, 0, rot), n.cut(x, 3, rot, d)
	var a, b *ir.Value
	inter := n.attrBool("interleaved", false)
	if inter {
		a, b = n.slice(turn, 3, shape.Const(0), shape.Const(rot), 2), n.slice(turn, 3, shape.Const(1), shape.Const(rot), 2)
	} else {
		a, b = n.cut(turn, 3, 0, rot/2), n.cut(turn, 3, rot/2, rot)
	}
	re := n.sub(n.mul(cos, a), n.mul(sin, b))
	im := n.add(n.mul(sin, a), n.mul(cos, b))
	var y *ir.Value
	if inter {
		y = n.reshape(n.concat(4, n.unsqueeze(re, 4), n.unsqueeze(im, 4)), turn.Type.Shape)
	} else {
		y = n.concat(3, re, im)
	}
	if rot < d {
		y = n.concat(3, y, rest)
	}
	if flat {
		y = n.flatHeads(y)
	}
	n.set(0, y)
}

func tensorScatter(n *node) {
	cache, part := n.arg(0), n.arg(1)
	rank := len(cache.Type.Shape)
	if len(part.Type.Shape) != rank {
		n.fail("the cache is %s and what is written %s: they have as many axes", cache.Type, part.Type)
	}
	ax := n.axis(n.attrInt("axis", -2), rank)
	if ax == 0 {
		n.fail("axis 0 is that of the batch")
	}
	for i, d := range part.Type.Shape {
		if i != ax && !d.Equal(cache.Type.Shape[i]) {
			n.fail("the cache is %s and what is written %s: they differ in axis %d", cache.Type, part.Type, i)
		}
	}
	one := make(shape.Shape, rank)
	for i := range one {
		one[i] = shape.Const(1)
	}
	along := append(shape.Shape{}, one...)
	along[ax] = part.Type.Shape[ax]
	at := n.iota(format.I64, along, ax)
	if w := n.opt(2); w != nil {
		per := append(shape.Shape{}, one...)
		per[0] = cache.Type.Shape[0]
		at = n.add(at, n.reshape(n.cast(w, format.I64), per))
	}
	if n.attrStr("mode", "linear", "linear", "circular") == "circular" {
		at = n.do(op.Rem, nil, at, n.dim(format.I64, cache.Type.Shape[ax]))
	}
	n.set(0, n.do(op.ScatterElements, ir.A("axis", ax), cache, n.broadcast(at, part.Type.Shape), part))
}

func causalConvWithState(n *node) {
	x, w := n.arg(0), n.arg(1)
	if len(x.Type.Shape) != 3 || len(w.Type.Shape) != 3 {
		n.fail("expected an input [batch, channels, length] and a weight [channels, 1, k], found %s and %s", x.Type, w.Type)
	}
	k := n.size(w.Type.Shape[2], "the length of the kernel")
	if k < 1 {
		n.fail("the kernel has no element")
	}
	f := x.Type.Format
	var padded *ir.Value
	if p := n.opt(3); p != nil {
		padded = n.concat(2, n.cast(p, f), x)
	} else {
		padded = n.pad(x, []int64{0, 0, k - 1}, []int64{0, 0, 0}, n.scalar(f, 0))
	}
	win := n.do(op.Window, ir.A("axis", 2, "size", k), padded)                     // [B,C,L,K]
	y := n.einsum("bclk,ck->bcl", win, n.cast(n.squeeze(w, 1), f), format.Invalid) // one channel each
	if b := n.opt(2); b != nil {
		y = n.add(y, n.unsqueeze(n.cast(b, f), 1))
	}
	if n.attrStr("activation", "none", "none", "silu", "swish") != "none" {
		z := n.wide(y)
		y = n.cast(n.mul(z, n.do(op.Sigmoid, nil, z)), f)
	}
	n.set(0, y)
	total := padded.Type.Shape[2]
	n.set(1, n.slice(padded, 2, total.Sub(shape.Const(k-1)), total, 1))
}

func linearAttention(n *node) {
	rule := n.attrStr("update_rule", "gated_delta", "linear", "gated", "delta", "gated_delta")
	gated, delta := rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
	hq, hk := n.attrInt("q_num_heads", 0), n.attrInt("kv_num_heads", 0)
	if hq < 1 || hk < 1 || hq%hk != 0 {
		n.fail("q_num_heads = %d is no positive multiple of kv_num_heads = %d", hq, hk)
	}
	if n.has(4) != gated {
		n.fail("update_rule %q and the operand decay do not go together", rule)
	}
	if n.has(5) != delta {
		n.fail("update_rule %q and the operand beta do not go together", rule)
	}
	f := n.arg(0).Type.Format
	q := n.heads(n.cast(n.arg(0), format.F32), hq, "q_num_heads")
	k := n.heads(n.cast(n.arg(1), format.F32), hk, "kv_num_heads")
	v := n.heads(n.cast(n.arg(2), format.F32), hk, "kv_num_heads")
	batch, steps, dk, dv := q.Type.Shape[0], q.Type.Shape[2], k.Type.Shape[3], v.Type.Shape[3]
	scale := n.attrFloat("scale", 0)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(n.size(dk, "the size of a head")))
	}
	// The decay is one a head, or one for each element of a key; beta one a head or one for all.
	per := func(x *ir.Value, count int64) *ir.Value {
		return n.heads(n.cast(x, format.F32), count, "kv_num_heads")
	}
	var decay, beta *ir.Value
	if gated {
		decay = n.exp(per(n.arg(4), hk)) // [B,Hk,T,1 or dk]
	}
	if delta {
		count := hk
		if n.arg(5).Type.Shape[len(n.arg(5).Type.Shape)-1].Equal(shape.Const(1)) {
			count = 1
		}
		beta = per(n.arg(5), count) // [B,Hk or 1,T,1]
	}
	stateShape := shape.Shape{batch, shape.Const(hk), dk, dv}
	stateFormat := f
	state := n.full(format.F32, stateShape, 0)
	if s := n.opt(3); s != nil {
		stateFormat, state = s.Type.Format, n.cast(s, format.F32)
	}
	out := n.full(format.F32, shape.Shape{batch, shape.Const(hq), steps, dv}, 0)
	res := n.rounds(steps, []*ir.Value{state, out}, func(i *ir.Value, c []*ir.Value) []*ir.Value {
		state, out := c[0], c[1]
		qi, ki, vi := n.at(q, i, 2), n.at(k, i, 2), n.at(v, i, 2)
		if gated {
			state = n.mul(state, n.unsqueeze(n.at(decay, i, 2), 3))
		}
		if delta {
			seen := n.einsum("bhdm,bhd->bhm", state, ki, format.Invalid)
			vi = n.mul(n.at(beta, i, 2), n.sub(vi, seen))
		}
		state = n.add(state, n.mul(n.unsqueeze(ki, 3), n.unsqueeze(vi, 2)))
		y := n.grouped(n.unsqueeze(qi, 2), state, "td", "dm", "tm", format.F32)
		return []*ir.Value{state, n.put(out, n.mulc(n.squeeze(y, 2), scale), i, 2)}
	})
	n.set(0, n.cast(n.flatHeads(res[1]), f))
	n.set(1, n.cast(res[0], stateFormat))
}

func flexAttention(n *node) {
	q, k, v := n.arg(0), n.arg(1), n.arg(2)
	for _, x := range []*ir.Value{q, k, v} {
		if len(x.Type.Shape) != 4 {
			n.fail("expected 4 axes, found %s", x.Type)
		}
	}
	f := q.Type.Format
	scale := n.attrFloat("scale", 0)
	if !n.hasAttr("scale") {
		scale = 1 / math.Sqrt(float64(n.size(q.Type.Shape[3], "the size of a head")))
	}
	root := math.Sqrt(scale)
	scores := n.grouped(n.mulc(q, root), n.mulc(k, root), "td", "sd", "ts", f)
	work := f
	if f.Bits() < 32 {
		work = format.F32
	}
	if work = n.attrFormat("softmax_precision", work); !work.IsFloat() {
		n.fail("attribute softmax_precision names %s, no float", work)
	}
	scores = n.cast(scores, work)
	changed := func(name string, x *ir.Value) *ir.Value {
		if !n.hasAttr(name) {
			return x
		}
		out := n.inline(n.attrGraph(name), name, x)
		if len(out) != 1 {
			n.fail("the graph %s gives %d results, expected one", name, len(out))
		}
		return n.cast(out[0], work)
	}
	scores = changed("score_mod", scores)
	probs := changed("prob_mod", n.softmax(scores, -1))
	n.set(0, n.cast(n.grouped(probs, n.cast(v, work), "ts", "sd", "td", work), v.Type.Format))
}
