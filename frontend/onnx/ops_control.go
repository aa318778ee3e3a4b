package onnx

import (
	"fmt"

	pb "apogee/frontend/onnx/onnxpb"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

func init() {
	register(
		Row{Op: "If", Since: 1, Lower: lowerIf, Doc: "One of two graphs, as a bool says."},
		Row{Op: "Loop", Since: 1, Lower: lowerLoop, Doc: "A graph run while a condition holds, with carried values and stacked results."},
		Row{Op: "Scan", Since: 8, Lower: scan8, Doc: "A graph run along sequences, for each element of the batch."},
		Row{Op: "Scan", Since: 9, Lower: scan9, Doc: "A graph run along axes, with carried values and stacked results."},
	)
}

// attempt runs f as if it might not have happened: when something in it could not be imported, its ops and complaints are taken back and
// the first complaint is returned.
func (n *node) attempt(f func()) error {
	im := n.importer
	outer, b := im.diags, im.b
	last, count := b.Block.Last(), im.nodes
	trial := &diag.List{}
	im.diags = trial
	err := im.guard(f)
	im.diags = outer
	if err == nil {
		err = trial.Err()
	}
	if err == nil {
		return nil
	}
	im.b, im.nodes = b, count
	im.b.Err = nil
	eraseAfter(b.Block, last)
	if err == error(errSkipped) && trial.Err() != nil {
		err = trial.Err()
	}
	return err
}

// eraseAfter erases the ops behind one, the last first.
func eraseAfter(b *ir.Block, last *ir.Op) {
	for b.Last() != last {
		b.Last().Erase()
	}
}

// again reports why something cannot be imported; it does not return.
func again(err error) {
	if l, ok := err.(*diag.List); ok && l.Len() > 0 {
		panic(bail{l.Items()[0]})
	}
	panic(bail{err})
}

func lowerIf(n *node) {
	cond := n.arg(0)
	then, otherwise := n.attrGraph("then_branch"), n.attrGraph("else_branch")
	if count, ok := cond.Type.Shape.Numel().Value(); !ok || count != 1 || cond.Type.Format != format.Bool {
		n.fail("the condition is one bool, found %s", cond.Type)
	}
	take := func(yes bool) {
		g, name := otherwise, "else"
		if yes {
			g, name = then, "then"
		}
		for i, v := range n.inline(g, name) {
			n.set(i, v)
		}
	}
	truth := func(v []int64) bool { return v[0] != 0 }
	if t := n.known[cond]; t != nil {
		v, err := t.I64s()
		if err != nil {
			n.fail("the condition: %s", err)
		}
		take(truth(v))
		return
	}
	if len(then.Output) != len(otherwise.Output) {
		n.fail("then_branch gives %d results and else_branch %d", len(then.Output), len(otherwise.Output))
	}
	// Both branches, where their results have the same types; else the one that is taken, which must be known.
	imported := 0 // branches that are right by themselves
	branch := func(g *pb.GraphProto, name string) func() []*ir.Value {
		return func() []*ir.Value {
			v := n.inline(g, name)
			imported++
			return v
		}
	}
	err := n.attempt(func() {
		for i, v := range n.branch(n.reshape(cond, dims()), branch(then, "then"), branch(otherwise, "else")) {
			n.set(i, v)
		}
	})
	if err == nil {
		return
	}
	if n.importer.opt.Eval == nil && n.importer.opt.Values == nil && imported < 2 {
		again(err)
	}
	take(truth(n.ints(0)))
}

// iteration is a loop of the format: a graph with carried values and values that are stacked.
type iteration struct {
	*node
	body    *pb.GraphProto
	carried []*ir.Value
	stacked int // results behind the carried ones
	// args gives the graph's operands in round i, next the carried values and the stacked ones among what the graph gave.
	args func(i *ir.Value, carried []*ir.Value) []*ir.Value
	next func(out []*ir.Value) (carried, stacked []*ir.Value)
	// place is where round i of total writes stacked value k, and along which axis.
	place func(k int, i, total *ir.Value) (*ir.Value, int)
}

// probe imports the body once to learn the types that it gives, and takes that back. fits says whether carried values keep their types.
func (it *iteration) probe() (stacked []ir.Type, fits bool, err error) {
	last := it.b.Block.Last()
	err = it.attempt(func() {
		i := it.free(ir.Type{Format: format.I64})
		free := make([]*ir.Value, len(it.carried))
		for k, v := range it.carried {
			free[k] = it.free(v.Type)
		}
		next, st := it.next(it.inline(it.body, "probe", it.args(i, free)...))
		fits = true
		for k, v := range next {
			fits = fits && v.Type.Equal(it.carried[k].Type)
		}
		for _, v := range st {
			stacked = append(stacked, v.Type)
		}
	})
	if err == nil {
		eraseAfter(it.b.Block, last)
	}
	return stacked, fits, err
}

// free is a value of a type of which nothing is known, for a probe.
func (n *node) free(t ir.Type) *ir.Value {
	zero, err := tensor.New(t.Format, nil)
	if err != nil {
		n.fail("%s", err)
	}
	v := n.b.Op(op.Constant, ir.A("value", zero)) // no shared one, whose number others know
	n.built()
	if len(t.Shape) == 0 {
		return v
	}
	return n.broadcast(v, t.Shape)
}

// run runs a known number of rounds and gives the carried values and the stacked ones. Where a round needs to know what only running
// tells, or carried values change their types, rounds are written out.
func (it *iteration) run(total shape.Dim) []*ir.Value {
	count, known := total.Value()
	if known && count < 0 {
		count = 0
	}
	types, fits, err := it.probe()
	if err == nil && fits && !(known && count <= maxUnroll) {
		var out []*ir.Value
		err = it.attempt(func() {
			trip := it.dim(format.I64, total)
			carried := append([]*ir.Value(nil), it.carried...)
			for k, t := range types {
				carried = append(carried, it.full(t.Format, it.stackShape(k, t, total), 0))
			}
			out = it.rounds(total, carried, func(i *ir.Value, c []*ir.Value) []*ir.Value {
				next, st := it.next(it.inline(it.body, "", it.args(i, c[:len(it.carried)])...))
				for k, v := range st {
					at, axis := it.place(k, i, trip)
					next = append(next, it.put(c[len(it.carried)+k], v, at, axis))
				}
				return next
			})
		})
		if err == nil {
			return out
		}
	}
	if !known {
		if err != nil {
			again(err)
		}
		it.symbolic(total, "the number of rounds")
	}
	return it.written(count, types)
}

// written writes out rounds.
func (it *iteration) written(count int64, types []ir.Type) []*ir.Value {
	carried := it.carried
	stacks := make([][]*ir.Value, it.stacked)
	trip := it.dim(format.I64, shape.Const(count))
	for i := range count {
		it.spend()
		var st []*ir.Value
		carried, st = it.next(it.inline(it.body, fmt.Sprint(i), it.args(it.dim(format.I64, shape.Const(i)), carried)...))
		for k, v := range st {
			stacks[k] = append(stacks[k], v)
		}
	}
	out := append([]*ir.Value(nil), carried...)
	for k, parts := range stacks {
		out = append(out, it.stack(k, parts, types, trip))
	}
	return out
}

// stack joins the values that rounds gave.
func (it *iteration) stack(k int, parts []*ir.Value, types []ir.Type, trip *ir.Value) *ir.Value {
	if len(parts) == 0 {
		if k >= len(types) {
			it.fail("a loop without rounds stacks values whose type is not known")
		}
		return it.full(types[k].Format, it.stackShape(k, types[k], shape.Const(0)), 0)
	}
	_, axis := it.place(k, trip, trip)
	first := it.dim(format.I64, shape.Const(0))
	at, _ := it.place(k, first, it.dim(format.I64, shape.Const(int64(len(parts)))))
	joined := make([]*ir.Value, len(parts))
	for i, v := range parts {
		joined[i] = it.unsqueeze(v, axis)
	}
	if t := it.known[at]; t != nil {
		if v, err := t.I64s(); err == nil && v[0] != 0 { // from the end
			for i, j := 0, len(joined)-1; i < j; i, j = i+1, j-1 {
				joined[i], joined[j] = joined[j], joined[i]
			}
		}
	}
	return it.concat(axis, joined...)
}

// stackShape is the shape of stacked value k of so many rounds.
func (it *iteration) stackShape(k int, t ir.Type, total shape.Dim) shape.Shape {
	i := it.dim(format.I64, shape.Const(0))
	_, axis := it.place(k, i, i)
	if axis > len(t.Shape) {
		it.fail("a value %s cannot be stacked along axis %d", t, axis)
	}
	s := append(append(append(shape.Shape{}, t.Shape[:axis]...), total), t.Shape[axis:]...)
	return s
}

func lowerLoop(n *node) {
	body := n.attrGraph("body")
	carried := n.args(2)
	if len(body.Input) != len(carried)+2 || len(body.Output) < len(carried)+1 {
		n.fail("the body takes %d values and gives %d; with %d carried ones it takes %d and gives at least %d", len(body.Input), len(body.Output), len(carried), len(carried)+2, len(carried)+1)
	}
	scalar := func(v *ir.Value, what string) *ir.Value {
		if k, ok := v.Type.Shape.Numel().Value(); !ok || k != 1 {
			n.fail("%s is one number, found %s", what, v.Type)
		}
		return n.reshape(v, dims())
	}
	var trip, cond *ir.Value
	if n.has(0) {
		trip = n.cast(scalar(n.arg(0), "M"), format.I64)
	}
	if n.has(1) {
		cond = scalar(n.arg(1), "cond")
	}
	it := &iteration{node: n, body: body, carried: carried, stacked: len(body.Output) - 1 - len(carried)}
	lastCond := (*ir.Value)(nil)
	yes := func() *ir.Value { return n.boolConst(true) }
	it.args = func(i *ir.Value, c []*ir.Value) []*ir.Value { return append([]*ir.Value{i, yes()}, c...) }
	it.next = func(out []*ir.Value) ([]*ir.Value, []*ir.Value) {
		lastCond = scalar(out[0], "the condition that the body gives")
		return out[1 : 1+len(carried)], out[1+len(carried):]
	}
	it.place = func(_ int, i, _ *ir.Value) (*ir.Value, int) { return i, 0 }

	types, fits, err := it.probe()
	// Without cond the condition that the body gives is ignored, and one that is always true changes nothing.
	forever := cond == nil || err == nil && n.isTrue(lastCond)
	start := cond == nil || n.isTrue(cond)
	set := func(out []*ir.Value) {
		for i, v := range out {
			n.set(i, v)
		}
	}
	if forever && start && trip != nil {
		if d := n.exprs(trip); d != nil { // a number, or one that symbols give
			set(it.run(d[0]))
			return
		}
		if it.stacked > 0 || !fits {
			set(it.run(shape.Const(max(n.int(0), 0))))
			return
		}
	}
	if cond == nil {
		cond = yes()
	}
	if err == nil && fits {
		// Data says how many rounds there are. How many values are stacked must be known all the same.
		var limit *shape.Dim
		if trip == nil {
			trip = n.dim(format.I64, shape.Const(1<<62))
		} else if d := n.exprs(trip); d != nil {
			limit = &d[0]
		}
		var out []*ir.Value
		err = n.attempt(func() {
			zero := n.dim(format.I64, shape.Const(0))
			out = n.loop(trip, cond, limit, append([]*ir.Value{zero}, carried...), func(i *ir.Value, c []*ir.Value) (*ir.Value, []*ir.Value) {
				next, _ := it.next(n.inline(body, "", it.args(i, c[1:])...))
				return lastCond, append([]*ir.Value{n.add(c[0], n.dim(format.I64, shape.Const(1)))}, next...)
			})
		})
		if err == nil && it.stacked == 0 {
			set(out[1:])
			return
		}
		if err == nil {
			rounds := n.static(out[0], "the number of rounds of the loop")
			v, err := rounds.I64s()
			if err != nil {
				n.fail("the number of rounds: %s", err)
			}
			set(it.run(shape.Const(v[0])))
			return
		}
	}
	if n.importer.opt.Eval == nil && err != nil {
		again(err)
	}
	// Rounds change the types of what they carry: they are written out one by one, each condition being asked for.
	most := int64(-1)
	if n.has(0) {
		most = n.int(0)
	}
	values, stacks := carried, make([][]*ir.Value, it.stacked)
	for i := int64(0); (most < 0 || i < most) && n.truthOf(cond); i++ {
		n.spend()
		next, st := it.next(n.inline(body, fmt.Sprint(i), append([]*ir.Value{n.dim(format.I64, shape.Const(i)), cond}, values...)...))
		if values = next; n.has(1) {
			cond = lastCond
		}
		for k, v := range st {
			stacks[k] = append(stacks[k], v)
		}
	}
	out := append([]*ir.Value(nil), values...)
	for k, parts := range stacks {
		out = append(out, it.stack(k, parts, types, cond))
	}
	set(out)
}

// isTrue says whether a bool is known to be true.
func (n *node) isTrue(v *ir.Value) bool {
	t := n.known[v]
	if t == nil {
		return false
	}
	x, err := t.I64s()
	return err == nil && len(x) == 1 && x[0] != 0
}

// truthOf gives a bool that must be known.
func (n *node) truthOf(v *ir.Value) bool {
	t := n.static(v, "the condition of the loop")
	x, err := t.I64s()
	if err != nil || len(x) != 1 {
		n.fail("the condition of the loop is %s, expected one bool", t)
	}
	return x[0] != 0
}

// scan runs a body along axes: states and elements go in, states and values to be stacked come out.
func (n *node) scan(body *pb.GraphProto, states, inputs []*ir.Value, inAxes, outAxes []int64, inBack, outBack []bool, length *ir.Value) []*ir.Value {
	if len(inputs) == 0 {
		n.fail("there is nothing to scan")
	}
	stacked := len(body.Output) - len(states)
	if len(body.Input) != len(states)+len(inputs) || stacked < 0 {
		n.fail("the body takes %d values and gives %d; with %d states and %d inputs it takes %d", len(body.Input), len(body.Output), len(states), len(inputs), len(states)+len(inputs))
	}
	axes := make([]int, len(inputs))
	for k, x := range inputs {
		axes[k] = n.axis(inAxes[k], len(x.Type.Shape))
	}
	total := inputs[0].Type.Shape[axes[0]]
	for k, x := range inputs {
		if !x.Type.Shape[axes[k]].Equal(total) {
			n.fail("input %d is scanned along an axis of %s elements, the first along one of %s", k+1, x.Type.Shape[axes[k]], total)
		}
	}
	steps := n.dim(format.I64, total)
	end := length // where a sequence that is read from its end begins
	if end == nil {
		end = steps
	}
	from := func(i, end *ir.Value) *ir.Value { return n.sub(n.subc(end, 1), i) }
	var now *ir.Value
	it := &iteration{node: n, body: body, carried: states, stacked: stacked}
	var before []*ir.Value
	it.args = func(i *ir.Value, c []*ir.Value) []*ir.Value {
		now, before = i, c
		out := append([]*ir.Value(nil), c...)
		for k, x := range inputs {
			at := i
			if inBack[k] {
				at = from(i, end)
				if length != nil { // beyond the length any element will do
					at = n.maxc(at, 0)
				}
			}
			out = append(out, n.at(x, at, axes[k]))
		}
		return out
	}
	it.next = func(out []*ir.Value) ([]*ir.Value, []*ir.Value) {
		next, st := append([]*ir.Value(nil), out[:len(states)]...), append([]*ir.Value(nil), out[len(states):]...)
		if length != nil {
			live := n.lt(now, length)
			for k, v := range next {
				next[k] = n.sel(live, v, before[k])
			}
			for k, v := range st {
				st[k] = n.sel(live, v, n.full(v.Type.Format, v.Type.Shape, 0))
			}
		}
		return next, st
	}
	it.place = func(k int, i, total *ir.Value) (*ir.Value, int) {
		axis := 0
		if outAxes != nil {
			axis = int(outAxes[k])
		}
		if outBack[k] {
			return from(i, total), axis
		}
		return i, axis
	}
	// Axes of results may count from the end, which takes their types to tell.
	for k, a := range outAxes {
		if a < 0 {
			types, _, err := it.probe()
			if err != nil {
				again(err)
			}
			outAxes[k] = a + int64(len(types[k].Shape)) + 1
		}
	}
	return it.run(total)
}

// backward reads a list of directions, 1 being from the end; nil is forward for all.
func (n *node) backward(name string, count int) []bool {
	out := make([]bool, count)
	for i, d := range n.list(name, count) {
		if d != 0 && d != 1 {
			n.fail("attribute %s holds %d, expected 0 or 1", name, d)
		}
		out[i] = d == 1
	}
	return out
}

// list is an attribute of so many integers, or zeros.
func (n *node) list(name string, count int) []int64 {
	v := n.attrInts(name)
	if v == nil {
		return make([]int64, count)
	}
	if len(v) != count {
		n.fail("attribute %s has %d elements, expected %d", name, len(v), count)
	}
	return append([]int64(nil), v...)
}

// scanParts splits operands into states and inputs.
func (n *node) scanParts(from int) (states, inputs []*ir.Value) {
	n.need("num_scan_inputs")
	m := n.attrInt("num_scan_inputs", 0)
	all := n.args(from)
	if m < 1 || m > int64(len(all)) {
		n.fail("num_scan_inputs is %d of %d operands", m, len(all))
	}
	return all[:len(all)-int(m)], all[len(all)-int(m):]
}

func scan9(n *node) {
	body := n.attrGraph("body")
	states, inputs := n.scanParts(0)
	outs := max(len(body.Output)-len(states), 0)
	res := n.scan(body, states, inputs, n.list("scan_input_axes", len(inputs)), n.list("scan_output_axes", outs),
		n.backward("scan_input_directions", len(inputs)), n.backward("scan_output_directions", outs), nil)
	for i, v := range res {
		n.set(i, v)
	}
}

func scan8(n *node) {
	body := n.attrGraph("body")
	states, inputs := n.scanParts(1)
	outs := max(len(body.Output)-len(states), 0)
	if len(inputs[0].Type.Shape) < 2 {
		n.fail("inputs have a batch and a sequence axis, found %s", inputs[0].Type)
	}
	batch := n.size(inputs[0].Type.Shape[0], "the batch")
	parts := make([][]*ir.Value, len(states)+outs)
	pick := func(list []*ir.Value, b int64) []*ir.Value {
		out := make([]*ir.Value, len(list))
		for i, v := range list {
			if len(v.Type.Shape) == 0 {
				n.fail("states and inputs have a batch axis, found %s", v.Type)
			}
			out[i] = n.squeeze(n.cut(v, 0, b, b+1), 0)
		}
		return out
	}
	for b := range batch {
		var length *ir.Value
		if l := n.opt(0); l != nil {
			length = n.cast(n.squeeze(n.cut(l, 0, b, b+1), 0), format.I64)
		}
		res := n.scan(body, pick(states, b), pick(inputs, b), make([]int64, len(inputs)), nil, n.backward("directions", len(inputs)), make([]bool, outs), length)
		for i, v := range res {
			parts[i] = append(parts[i], n.unsqueeze(v, 0))
		}
	}
	for i, p := range parts {
		if len(p) == 0 {
			n.fail("the batch is empty")
		}
		n.set(i, n.concat(0, p...))
	}
}
