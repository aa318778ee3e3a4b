package onnx

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	for _, r := range []struct {
		name string
		f    func(n *node)
		doc  string
	}{
		{"RNN", func(n *node) { n.recurrent(&simpleCell) }, "One layer of a simple recurrent network."},
		{"GRU", func(n *node) { n.recurrent(&gruCell) }, "One layer of gated recurrent units."},
		{"LSTM", func(n *node) { n.recurrent(&lstmCell) }, "One layer of long short-term memory, with peepholes."},
	} {
		register(Row{Op: r.name, Since: 1, Lower: r.f, Doc: r.doc})
	}
}

// cell is a kind of recurrent layer.
type cell struct {
	gates      int64    // in W, R and each half of B
	activation []string // by default
	peepholes  bool
	memory     bool // beside the hidden state
	// step gives the next hidden state and memory. x [B, gates·H] is the input's part with the biases of W.
	step func(l *layer, x, h, c *ir.Value) (*ir.Value, *ir.Value)
}

// layer is one direction of a recurrent layer.
type layer struct {
	*node
	size   shape.Dim // H
	r      *ir.Value // [gates·H, H]
	rb, p  *ir.Value // biases of R [gates·H] and peepholes [3·H], or nil
	act    []activation
	clip   float64
	couple bool // input and forget gates
	linear bool // before reset
}

// activation is a function of gates with its parameters.
type activation struct {
	name        string
	alpha, beta float64
}

// activations are the functions that a layer may name, with the defaults of their parameters and whether they take them.
var activations = map[string]struct {
	alpha, beta       float64
	hasAlpha, hasBeta bool
	f                 func(n *node, x *ir.Value, alpha, beta float64) *ir.Value
}{
	"relu":     {f: func(n *node, x *ir.Value, _, _ float64) *ir.Value { return n.maxc(x, 0) }},
	"tanh":     {f: func(n *node, x *ir.Value, _, _ float64) *ir.Value { return n.do(op.Tanh, nil, x) }},
	"sigmoid":  {f: func(n *node, x *ir.Value, _, _ float64) *ir.Value { return n.do(op.Sigmoid, nil, x) }},
	"softsign": {f: func(n *node, x *ir.Value, _, _ float64) *ir.Value { return n.div(x, n.addc(n.abs(x), 1)) }},
	"softplus": {f: func(n *node, x *ir.Value, _, _ float64) *ir.Value {
		return n.add(n.maxc(x, 0), n.log(n.addc(n.exp(n.neg(n.abs(x))), 1)))
	}},
	"affine": {alpha: 1, hasAlpha: true, hasBeta: true, f: func(n *node, x *ir.Value, a, b float64) *ir.Value { return n.addc(n.mulc(x, a), b) }},
	"leakyrelu": {alpha: 0.01, hasAlpha: true, f: func(n *node, x *ir.Value, a, _ float64) *ir.Value {
		return n.sel(n.lt(x, n.like(x, 0)), n.mulc(x, a), x)
	}},
	"thresholdedrelu": {alpha: 1, hasAlpha: true, f: func(n *node, x *ir.Value, a, _ float64) *ir.Value {
		return n.sel(n.ge(x, n.like(x, a)), x, n.like(x, 0))
	}},
	"scaledtanh": {alpha: 1, beta: 1, hasAlpha: true, hasBeta: true, f: func(n *node, x *ir.Value, a, b float64) *ir.Value {
		return n.mulc(n.do(op.Tanh, nil, n.mulc(x, b)), a)
	}},
	"hardsigmoid": {alpha: 0.2, beta: 0.5, hasAlpha: true, hasBeta: true, f: func(n *node, x *ir.Value, a, b float64) *ir.Value {
		return n.minc(n.maxc(n.addc(n.mulc(x, a), b), 0), 1)
	}},
	"elu": {alpha: 1, hasAlpha: true, f: func(n *node, x *ir.Value, a, _ float64) *ir.Value {
		return n.sel(n.lt(x, n.like(x, 0)), n.mulc(n.subc(n.exp(n.minc(x, 0)), 1), a), x)
	}},
}

// activate applies the layer's activation i to the input of a gate.
func (l *layer) activate(i int, x *ir.Value) *ir.Value {
	if l.clip > 0 {
		x = l.minc(l.maxc(x, -l.clip), l.clip)
	}
	a := l.act[i]
	return activations[a.name].f(l.node, x, a.alpha, a.beta)
}

// gate takes gate i of the last axis.
func (l *layer) gate(x *ir.Value, i int64) *ir.Value {
	axis := len(x.Type.Shape) - 1
	return l.slice(x, axis, l.size.Mul(shape.Const(i)), l.size.Mul(shape.Const(i+1)), 1)
}

// hidden is h·Rᵀ with the biases of R, for gates from to to.
func (l *layer) hidden(h *ir.Value, from, to int64) *ir.Value {
	lo, hi := l.size.Mul(shape.Const(from)), l.size.Mul(shape.Const(to))
	y := l.einsum("bh,gh->bg", h, l.slice(l.r, 0, lo, hi, 1), format.Invalid)
	if l.rb != nil {
		y = l.add(y, l.slice(l.rb, 0, lo, hi, 1))
	}
	return y
}

var simpleCell = cell{gates: 1, activation: []string{"tanh"}, step: func(l *layer, x, h, _ *ir.Value) (*ir.Value, *ir.Value) {
	return l.activate(0, l.add(x, l.hidden(h, 0, 1))), nil
}}

var gruCell = cell{gates: 3, activation: []string{"sigmoid", "tanh"}, step: func(l *layer, x, h, _ *ir.Value) (*ir.Value, *ir.Value) {
	both := l.hidden(h, 0, 2)
	z := l.activate(0, l.add(l.gate(x, 0), l.gate(both, 0)))
	r := l.activate(0, l.add(l.gate(x, 1), l.gate(both, 1)))
	var part *ir.Value
	if l.linear {
		part = l.mul(r, l.hidden(h, 2, 3))
	} else {
		part = l.hidden(l.mul(r, h), 2, 3)
	}
	t := l.activate(1, l.add(l.gate(x, 2), part))
	return l.add(l.mul(l.sub(l.like(z, 1), z), t), l.mul(z, h)), nil
}}

// The gates of an LSTM stand in the order input, output, forget, cell.
var lstmCell = cell{gates: 4, activation: []string{"sigmoid", "tanh", "tanh"}, peepholes: true, memory: true, step: func(l *layer, x, h, c *ir.Value) (*ir.Value, *ir.Value) {
	all := l.add(x, l.hidden(h, 0, 4))
	look := func(g, c *ir.Value, i int64) *ir.Value {
		if l.p == nil {
			return g
		}
		return l.add(g, l.mul(c, l.gate(l.p, i)))
	}
	in := l.activate(0, look(l.gate(all, 0), c, 0))
	forget := l.sub(l.like(in, 1), in)
	if !l.couple {
		forget = l.activate(0, look(l.gate(all, 2), c, 2))
	}
	next := l.add(l.mul(forget, c), l.mul(in, l.activate(1, l.gate(all, 3))))
	out := l.activate(0, look(l.gate(all, 1), next, 1))
	a := l.act[2] // clipping is for the gates' inputs, not the memory
	return l.mul(out, activations[a.name].f(l.node, next, a.alpha, a.beta)), next
}}

// activationsOf reads the activations of all directions in order, each taking its parameters from the lists as it needs them.
func (n *node) activationsOf(c *cell, directions int64) []activation {
	names := n.attrStrs("activations")
	if len(names) == 0 {
		for range directions {
			names = append(names, c.activation...)
		}
	}
	if len(names) != len(c.activation)*int(directions) {
		n.fail("attribute activations names %d functions, expected %d", len(names), len(c.activation)*int(directions))
	}
	alphas, betas := n.attrFloats("activation_alpha"), n.attrFloats("activation_beta")
	next := func(list *[]float64, takes bool, def float64) float64 {
		if !takes || len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	var out []activation
	for _, name := range names {
		key := strings.ToLower(name)
		a, ok := activations[key]
		if !ok {
			n.fail("there is no activation %q", name)
		}
		out = append(out, activation{key, next(&alphas, a.hasAlpha, a.alpha), next(&betas, a.hasBeta, a.beta)})
	}
	return out
}

// recurrent lowers a layer: the inputs' part of all gates is one product for all steps, what depends on the step before is a loop.
func (n *node) recurrent(c *cell) {
	x, w, r := n.arg(0), n.arg(1), n.arg(2)
	if len(x.Type.Shape) != 3 || len(w.Type.Shape) != 3 || len(r.Type.Shape) != 3 {
		n.fail("X, W and R have 3 axes, found %s, %s and %s", x.Type, w.Type, r.Type)
	}
	f := x.Type.Format
	batchFirst := n.attrInt("layout", 0) != 0
	if batchFirst {
		x = n.transpose(x, 1, 0, 2)
	}
	direction := n.attrStr("direction", "forward", "forward", "reverse", "bidirectional")
	directions := int64(1)
	if direction == "bidirectional" {
		directions = 2
	}
	if d, ok := w.Type.Shape[0].Value(); ok && d != directions {
		n.fail("direction is %q, but W is %s", direction, w.Type)
	}
	size := r.Type.Shape[2]
	if h := n.attrInt("hidden_size", 0); h != 0 && !size.Equal(shape.Const(h)) {
		n.fail("hidden_size is %d, but R is %s", h, r.Type)
	}
	if !w.Type.Shape[1].Equal(size.Mul(shape.Const(c.gates))) || !r.Type.Shape[1].Equal(w.Type.Shape[1]) || !w.Type.Shape[2].Equal(x.Type.Shape[2]) {
		n.fail("X %s, W %s and R %s do not fit: expected [steps, batch, I], [directions, %d·H, I] and [directions, %d·H, H]", x.Type, w.Type, r.Type, c.gates, c.gates)
	}
	acts := n.activationsOf(c, directions)
	lengths := n.opt(4)
	var ys, hs, cs []*ir.Value
	for d := range directions {
		pick := func(i int) *ir.Value {
			v := n.opt(i)
			if v == nil {
				return nil
			}
			axis := 0
			if batchFirst && (i == 5 || i == 6) {
				axis = 1
			}
			return n.wide(n.squeeze(n.cut(v, axis, d, d+1), axis))
		}
		l := &layer{node: n, size: size, r: pick(2), act: acts[int(d)*len(c.activation) : int(d+1)*len(c.activation)], clip: n.attrFloat("clip", 0),
			couple: n.attrBool("input_forget", false), linear: n.attrBool("linear_before_reset", false)}
		backward := direction == "reverse" || d == 1
		y, h, mem := n.direction(c, l, x, pick(1), pick(3), lengths, pick(5), pick(6), pick(7), backward)
		ys, hs, cs = append(ys, n.cast(y, f)), append(hs, n.cast(h, f)), append(cs, nil)
		if mem != nil {
			cs[d] = n.cast(mem, f)
		}
	}
	join := func(axis int, list []*ir.Value) *ir.Value {
		parts := make([]*ir.Value, len(list))
		for i, v := range list {
			parts[i] = n.unsqueeze(v, axis)
		}
		return n.concat(axis, parts...)
	}
	y, at := join(1, ys), 0 // [T, directions, B, H]
	if batchFirst {
		y, at = n.transpose(y, 2, 0, 1, 3), 1
	}
	n.set(0, y)
	n.set(1, join(at, hs))
	if c.memory {
		n.set(2, join(at, cs))
	}
}

// direction runs one direction and gives its outputs [T,B,H], the last hidden state and the last memory.
func (n *node) direction(c *cell, l *layer, x, w, bias, lengths, h, mem, peep *ir.Value, backward bool) (y, last, lastMem *ir.Value) {
	x = n.wide(x)
	steps, batch := x.Type.Shape[0], x.Type.Shape[1]
	half := l.size.Mul(shape.Const(c.gates))
	in := n.einsum("tbi,gi->tbg", n.turned(x, lengths, backward), w, format.Invalid)
	if bias != nil {
		in = n.add(in, n.slice(bias, 0, shape.Const(0), half, 1))
		l.rb = n.slice(bias, 0, half, half.Add(half), 1)
	}
	if c.peepholes {
		l.p = peep
	}
	zero := n.full(x.Type.Format, shape.Shape{batch, l.size}, 0)
	if h == nil {
		h = zero
	}
	carried := []*ir.Value{n.full(x.Type.Format, shape.Shape{steps, batch, l.size}, 0), h}
	if c.memory {
		if mem == nil {
			mem = zero
		}
		carried = append(carried, mem)
	}
	res := n.rounds(steps, carried, func(i *ir.Value, v []*ir.Value) []*ir.Value {
		h, m := v[1], (*ir.Value)(nil)
		if c.memory {
			m = v[2]
		}
		next, nm := c.step(l, n.at(in, i, 0), h, m)
		out := next
		if lengths != nil { // beyond its length a sequence gives zero and keeps its state
			live := n.unsqueeze(n.lt(n.cast(i, lengths.Type.Format), lengths), 1)
			out, next = n.sel(live, next, n.like(next, 0)), n.sel(live, next, h)
			if nm != nil {
				nm = n.sel(live, nm, m)
			}
		}
		r := []*ir.Value{n.put(v[0], out, i, 0), next}
		if nm != nil {
			r = append(r, nm)
		}
		return r
	})
	if c.memory {
		lastMem = res[2]
	}
	return n.turned(res[0], lengths, backward), res[1], lastMem
}

// turned gives sequences [T,B,…] in the order in which a direction reads them: each is reversed within its length.
func (n *node) turned(x, lengths *ir.Value, backward bool) *ir.Value {
	if !backward {
		return x
	}
	if lengths == nil {
		return n.reverse(x, 0)
	}
	return n.reverseSequence(x, n.cast(lengths, format.I64), 0, 1)
}

// reverseSequence reverses the first lengths[b] elements along axis time for each index b of axis batch.
func (b *builder) reverseSequence(x, lengths *ir.Value, time, batch int) *ir.Value {
	s := x.Type.Shape
	per := make(shape.Shape, len(s))
	for i := range per {
		per[i] = shape.Const(1)
	}
	along := append(shape.Shape{}, per...)
	along[time] = s[time]
	per[batch] = s[batch]
	at, len := b.iota(lengths.Type.Format, along, time), b.reshape(lengths, per)
	index := b.sel(b.lt(at, len), b.sub(b.subc(len, 1), at), at)
	return b.do(op.GatherElements, ir.A("axis", time), x, b.broadcast(index, s))
}
