package passes

import (
	"sort"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
)

func sameView(a, b view.View) bool {
	if a.Source != b.Source || a.Offset != b.Offset || len(a.Size) != len(b.Size) {
		return false
	}
	for i := range a.Size {
		if a.Size[i] != b.Size[i] || a.Size[i] != 1 && a.Stride[i] != b.Stride[i] {
			return false
		}
	}
	return true
}

func (u *fuser) sort(ops []*ir.Op) {
	sort.Slice(ops, func(i, j int) bool { return u.before(ops[i], ops[j]) })
}

// emit makes the kernels, each after those that it reads from, otherwise in the order of their last ops, and erases what is left over.
func (u *fuser) emit() {
	ret := u.body.Last()
	u.dependencies()
	var visit func(c *cluster)
	visit = func(c *cluster) {
		if c.state != 0 {
			return
		}
		c.state = 1
		for _, p := range c.needs {
			visit(p)
		}
		u.readersFirst(c, visit)
		u.kernel(c, ret)
	}
	for _, o := range u.ops {
		if c := u.clusterOf(o); c != nil && c.ops[len(c.ops)-1] == o {
			visit(c)
		}
	}
	// What return still reads through reshapes stands behind the kernels.
	u.viewsOf(ret, ret)
	for o := ret.Prev(); o != nil; {
		prev := o.Prev()
		if len(o.Regions) == 0 && deadOp(o) {
			o.Erase()
		}
		o = prev
	}
}

// viewsOf moves the views through which an op reads buffers before ret, but for those that were moved for an op before.
func (u *fuser) viewsOf(o, ret *ir.Op) {
	for i := 0; i < o.NumArgs(); i++ {
		var chain []*ir.Op
		for d := o.Arg(i).Def(); d != nil && view.Is(d) && !u.moved[d]; d = d.Arg(0).Def() {
			chain = append(chain, d)
		}
		for k := len(chain) - 1; k >= 0; k-- {
			chain[k].MoveBefore(ret)
			u.moved[chain[k]] = true
		}
	}
}

func deadOp(o *ir.Op) bool {
	for _, v := range o.Results() {
		if v.NumUses() != 0 {
			return false
		}
	}
	return true
}

// readersFirst has the kernels that read a state as it was run before the one that updates it in place, so that it need not be copied.
func (u *fuser) readersFirst(c *cluster, visit func(*cluster)) {
	for _, k := range c.readers {
		if k.state == 0 && !u.needs(k, c) {
			visit(k)
		}
	}
}

// needs reports whether kernel k waits for kernel c.
func (u *fuser) needs(k, c *cluster) bool {
	u.visit++
	first := u.pos[c.first().ID()]
	var walk func(k *cluster) bool
	walk = func(k *cluster) bool {
		if k == c {
			return true
		}
		if k.visit == u.visit || k.state == 2 {
			return false
		}
		k.visit = u.visit
		if k.state == 1 { // being emitted: it may not be asked for again
			return true
		}
		if u.pos[k.ops[len(k.ops)-1].ID()] < first {
			return false
		}
		for _, p := range k.needs {
			if walk(p) {
				return true
			}
		}
		return false
	}
	return walk(k)
}

// dependencies lists for each kernel those that it reads from and those that read a state as it is before the kernel updates it. Once
// kernels are being made the ops no longer tell.
func (u *fuser) dependencies() {
	for _, o := range u.ops {
		c := u.clusterOf(o)
		if c == nil {
			continue
		}
		for i := 0; i < o.NumArgs(); i++ {
			if d := u.rootOf(o.Arg(i)).Def(); d != nil {
				if p := u.clusterOf(d); p != nil && p != c {
					c.needs = addOnce(c.needs, p)
				}
			}
		}
		if o.Is(op.Update) {
			for _, r := range u.cons[u.rootOf(o.Arg(0)).ID()] {
				if k := u.clusterOf(r); k != nil && k != c {
					c.readers = addOnce(c.readers, k)
				}
			}
		}
	}
}

func addOnce(list []*cluster, c *cluster) []*cluster {
	for _, x := range list {
		if x == c {
			return list
		}
	}
	return append(list, c)
}

// kernel makes one kernel and moves its ops into it.
func (u *fuser) kernel(c *cluster, ret *ir.Op) {
	c.state = 2
	if c.kind == "kernel" {
		u.viewsOf(c.ops[0], ret)
		c.ops[0].MoveBefore(ret)
		return
	}
	u.mark(c.ops)
	results := u.escaping(c.ops)
	main := c.ops[len(c.ops)-1]
	if p := c.product(); p != nil {
		main = p
	}
	types := make([]ir.Type, len(results))
	for i, r := range results {
		types[i] = r.Type
	}
	k := u.body.NewOp(op.Kernel, main.Pos, nil, ir.A("name", kernelName(c), "kind", c.kind), types, ret)
	g := k.NewRegion()
	e := &emitter{u: u, g: g, at: map[emitKey]*ir.Value{}}
	for _, o := range c.ops {
		args := make([]*ir.Value, o.NumArgs())
		for i := range args {
			args[i] = e.resolve(o.Arg(i), needsBuffer(o, i))
		}
		o.MoveToEnd(g)
		for i, a := range args {
			o.SetArg(i, a)
		}
	}
	for i, r := range results {
		res := k.Result(i)
		res.Name = r.Name
		for _, user := range r.Users() {
			if user.Block() == g {
				continue
			}
			for j := 0; j < user.NumArgs(); j++ {
				if user.Arg(j) == r {
					user.SetArg(j, res)
				}
			}
		}
	}
	g.NewOp(op.Yield, main.Pos, results, nil, nil, nil)
	k.SetArgs(e.inputs)
	mergeInKernel(g)
}

// needsBuffer reports whether a template reads operand i of an op from a buffer even if it is a literal scalar.
func needsBuffer(o *ir.Op, i int) bool {
	switch o.Info {
	case op.Einsum, op.ScaledMatmul, op.GroupedMatmul, op.Gather, op.GroupRows:
		return true
	case op.Attention:
		return i != op.AttentionOperand(o.Attrs, "pos")
	case op.Update:
		return i == 0
	}
	return false
}

type emitKey struct {
	v      *ir.Value
	buffer bool
}

// emitter gives the values that a kernel's ops read from outside their place in its region.
type emitter struct {
	u      *fuser
	g      *ir.Block
	inputs []*ir.Value
	at     map[emitKey]*ir.Value
}

func (e *emitter) resolve(v *ir.Value, buffer bool) *ir.Value {
	d := v.Def()
	if d != nil && d.Block() == e.g {
		return v
	}
	key := emitKey{v, buffer}
	if w := e.at[key]; w != nil {
		return w
	}
	var w *ir.Value
	switch {
	case d != nil && view.Is(d):
		// A view that was made a buffer is the result of a kernel by now.
		x := e.resolve(d.Arg(0), buffer)
		n := e.g.NewOp(d.Info, d.Pos, []*ir.Value{x}, d.Attrs, d.ResultTypes(), nil)
		w = n.Result(0)
		w.Name = v.Name
	case d != nil && !buffer && free(d), d != nil && (d.Is(op.Iota) || d.Is(op.DimValue)):
		n := e.g.NewOp(d.Info, d.Pos, nil, d.Attrs, d.ResultTypes(), nil)
		w = n.Result(0)
		w.Name = v.Name
	default:
		other := emitKey{v, !buffer}
		if w = e.at[other]; w != nil && w.Owner() == e.g {
			break
		}
		w = e.g.AddParam(v.Name, v.Type)
		e.inputs = append(e.inputs, v)
	}
	e.at[key] = w
	return w
}

// kernelName is what traces call a kernel: what it is best known for.
func kernelName(c *cluster) string {
	has := map[*op.Info]int{}
	for _, o := range c.ops {
		has[o.Info]++
	}
	last := c.ops[len(c.ops)-1]
	name := last.Info.Name
	switch {
	case has[op.Attention] > 0:
		name = "attention"
	case has[op.GroupedMatmul] > 1:
		name = "gated_experts"
	case has[op.GroupedMatmul] > 0:
		name = "experts"
	case has[op.Einsum]+has[op.ScaledMatmul] > 1:
		name = "gated_linear"
	case has[op.Einsum]+has[op.ScaledMatmul] > 0:
		name = "linear"
	case c.kind != "map":
	case has[op.TopK] > 0 && len(c.ops) > 2:
		name = "route"
	case has[op.Rsqrt] > 0 && has[op.Reduce] > 0:
		name = "norm"
	case has[op.Exp] > 0 && has[op.Reduce] > 1:
		name = "softmax"
	case has[op.Cos] > 0 && has[op.Sin] > 0:
		name = "rotary"
	case has[op.Concat] > 0 && has[op.Mul] > 2:
		name = "rope"
	case has[op.Sigmoid] > 0 && has[op.Mul] > 0:
		name = "silu"
	case has[op.Reduce] > 0:
		name = "reduce"
	}
	if c.kind == "contract" || c.kind == "grouped" {
		if has[op.Sigmoid] > 0 {
			name += "_silu"
		}
		if has[op.Add] > 0 {
			name += "_add"
		}
	}
	if has[op.Quantize] > 0 && name != "quantize" {
		name += "_quantize"
	}
	if has[op.Update] > 0 && name != "update" {
		name += "_update"
	}
	return name
}

// mergeInKernel merges casts of one value that were repeated for readers that ended up in one kernel.
func mergeInKernel(g *ir.Block) {
	for o := g.First(); o != nil; o = o.Next() {
		if !o.Is(op.Cast) {
			continue
		}
		for _, c := range o.Arg(0).Users() {
			if c != o && c.Is(op.Cast) && c.Block() == g && after(o, c) && ir.EqualOp(o, c) {
				c.Result(0).ReplaceAllUses(o.Result(0))
				c.Erase()
			}
		}
	}
}

// after reports whether op b stands behind op a in their block.
func after(a, b *ir.Op) bool {
	for o := a.Next(); o != nil; o = o.Next() {
		if o == b {
			return true
		}
	}
	return false
}
