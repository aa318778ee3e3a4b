package codegen

import (
	"slices"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/targets/plan"
)

// How ifs and loops become steps. A region's parameters are the buffers of the operands. What a branch yields is brought into the
// buffer of the result; what a round yields into the buffer of the carried value, where the next round and the loop's readers
// find it. Where nothing else would read the old bytes, a kernel writes there at once; else the value is copied at the end.

// block compiles the ops of a block.
func (b *compiler) block(g *ir.Block) error {
	for o := g.First(); o != nil; o = o.Next() {
		if err := b.step(o); err != nil {
			if _, ok := err.(*Error); ok {
				return err
			}
			return &Error{o, b.f.Module.PosString(o.Pos), err}
		}
	}
	return nil
}

// writable reports whether an op that takes a value last may write to the value's buffer: nobody reads it later, nothing outside
// of the region relies on it, and no other operand is the same bytes.
func (b *compiler) writable(o *ir.Op, at int) bool {
	x := o.Arg(at)
	buf := b.buffer[x]
	if b.frozen[source(x)] || b.last[source(x)] > b.order[o] {
		return false
	}
	for i := 0; i < o.NumArgs(); i++ {
		if c, ok := b.buffer[o.Arg(i)]; ok && i != at && c == buf {
			return false
		}
	}
	k := b.p.Buffers[buf].Kind
	return k == plan.State || k == plan.Temp
}

// resultBuffer is where a value is made: where its reader wants it, else a new temporary.
func (b *compiler) resultBuffer(v *ir.Value) int {
	if t, ok := b.target[v]; ok {
		b.buffer[v] = t
		return t
	}
	return b.newBuffer(v, v.Name, plan.Temp)
}

// control adds a step that is no launch.
func (b *compiler) control(o plan.StepOp, at *ir.Op, c *plan.Control) *plan.Step {
	s := plan.Step{Op: o, Control: c}
	if c != nil {
		s.Pos, s.Name = b.pos(at.Pos), b.scoped(at, at.Info.Name)
	}
	b.p.Steps = append(b.p.Steps, s)
	return &b.p.Steps[len(b.p.Steps)-1]
}

// move brings the bytes of a value from one buffer to another.
type move struct {
	like     *ir.Value
	from, to int
}

// moves copies all at once: no copy destroys what another still has to read. Where buffers change places one waits in a temporary.
func (b *compiler) moves(list []move, at *ir.Op) error {
	list = slices.DeleteFunc(list, func(m move) bool { return m.from == m.to })
	readers := map[int]int{}
	for _, m := range list {
		readers[m.from]++
	}
	for len(list) > 0 {
		i := slices.IndexFunc(list, func(m move) bool { return readers[m.to] == 0 })
		if i < 0 {
			from := list[0].from
			like := list[0].like
			t := b.addBuffer(like.Name, plan.Temp, like.Type.Format, shapeOf(like))
			if err := b.copy(like, from, t, at); err != nil {
				return err
			}
			for j := range list {
				if list[j].from == from {
					list[j].from = t
				}
			}
			readers[t], readers[from] = readers[from], 0
			continue
		}
		m := list[i]
		if err := b.copy(m.like, m.from, m.to, at); err != nil {
			return err
		}
		readers[m.from]--
		list = slices.Delete(list, i, i+1)
	}
	return nil
}

// home follows what is made in place back to a parameter of the region, nil if the value has bytes of its own.
func home(v *ir.Value) *ir.Value {
	for {
		v = source(v)
		o := v.Def()
		switch {
		case o == nil:
			return v
		case o.Is(op.Kernel):
			at := inPlace(o, v.Index())
			if at < 0 {
				return nil
			}
			v = o.Arg(at)
		case o.Is(op.Loop):
			v = o.Arg(2 + v.Index())
		default:
			return nil
		}
	}
}

// branch compiles an if.
func (b *compiler) branch(o *ir.Op) error {
	cond := b.buffer[o.Arg(0)]
	for i := 1; i < o.NumArgs(); i++ {
		free := b.writable(o, i)
		for _, r := range o.Regions {
			p := r.Params[i-1]
			b.buffer[p], b.frozen[p] = b.buffer[o.Arg(i)], !free
		}
	}
	// A result is made in an operand's buffer where a branch gives that operand, changed in place or as it is.
	taken := map[int]bool{}
	for i, r := range o.Results() {
		at := -1
		for _, g := range o.Regions {
			p := home(g.Last().Arg(i))
			if p != nil && p.Owner() == g && !b.frozen[p] && !taken[b.buffer[p]] && bytesOf(p) == bytesOf(r) {
				at = b.buffer[p]
				break
			}
		}
		if at < 0 {
			b.resultBuffer(r)
			continue
		}
		taken[at] = true
		b.buffer[r] = at
	}
	b.control(plan.IfStep, o, &plan.Control{Cond: cond, Trip: plan.None, Index: plan.None, Limit: plan.NoLimit})
	for k, g := range o.Regions {
		if k > 0 {
			b.control(plan.ElseStep, o, nil)
		}
		yield := g.Last()
		for i, r := range o.Results() {
			if v := source(yield.Arg(i)); !taken[b.buffer[r]] && v.Def() != nil && v.Def().Block() == g {
				b.aim(v, b.buffer[r])
			}
		}
		if err := b.block(g); err != nil {
			return err
		}
		var list []move
		for i, r := range o.Results() {
			list = append(list, move{yield.Arg(i), b.buffer[yield.Arg(i)], b.buffer[r]})
		}
		if err := b.moves(list, o); err != nil {
			return err
		}
	}
	b.control(plan.EndStep, o, nil)
	return nil
}

// aim has a value made in a buffer, unless another reader wants it elsewhere already.
func (b *compiler) aim(v *ir.Value, buffer int) {
	if _, ok := b.target[v]; !ok {
		b.target[v] = buffer
	}
}

// truth is what a literal condition says; ok is false if it is none.
func truth(v *ir.Value) (yes, ok bool) {
	n, ok := number(v)
	return n != 0, ok
}

// number is a literal integer or bool.
func number(v *ir.Value) (int64, bool) {
	if !v.DefIs(op.Constant) {
		return 0, false
	}
	x, err := v.Def().Attrs.Tensor("value").I64s()
	if err != nil || len(x) != 1 {
		return 0, false
	}
	return x[0], true
}

// How many rounds a timed run takes a loop to make that ends when data says so: the most it can make if they are so few that they
// are meant as an estimate, else a guess, which the report names as one.
const (
	mostAssumed = 1 << 16
	guess       = 16
)

// loop compiles a loop.
func (b *compiler) loop(o *ir.Op) error {
	g, n := o.Regions[0], o.Carried()
	yield := g.Last()
	x := &plan.Control{Cond: plan.None, Trip: plan.None, Index: plan.None, Limit: plan.NoLimit}
	if d, ok := o.Attrs.Dim("limit"); ok {
		x.Limit, _ = d.Value()
	}
	if trip, ok := number(o.Arg(0)); ok {
		if trip = max(trip, 0); x.Limit < 0 || trip < x.Limit {
			x.Limit = trip
		}
	} else {
		x.Trip = b.buffer[o.Arg(0)]
	}

	// Carried values.
	for k := range n {
		a := o.Arg(2 + k)
		to := b.buffer[a]
		if !b.writable(o, 2+k) {
			to = b.resultBuffer(o.Result(k))
			if err := b.copy(a, b.buffer[a], to, o); err != nil {
				return err
			}
		}
		b.buffer[g.Params[1+k]], b.buffer[o.Result(k)] = to, to
	}
	for i := 2 + n; i < o.NumArgs(); i++ {
		b.buffer[g.Params[i-1]], b.frozen[g.Params[i-1]] = b.buffer[o.Arg(i)], true
	}
	if i := g.Params[0]; i.NumUses() > 0 {
		x.Index = b.newBuffer(i, i.Name, plan.Temp)
		b.frozen[i] = true
	}

	// The condition.
	var list []move
	first, known := truth(o.Arg(1))
	again, always := truth(yield.Arg(0))
	switch {
	case always && again && known && first:
	case always && again:
		x.Cond = b.buffer[o.Arg(1)]
	default:
		x.Cond = b.addBuffer(b.scoped(o, "go"), plan.Temp, o.Arg(1).Type.Format, nil)
		if err := b.copy(o.Arg(1), b.buffer[o.Arg(1)], x.Cond, o); err != nil {
			return err
		}
		if v := source(yield.Arg(0)); v.Def() != nil && v.Def().Block() == g {
			b.aim(v, x.Cond)
		}
	}
	if x.Data() {
		if x.Assume = x.Limit; x.Limit < 0 || x.Limit > mostAssumed {
			x.Assume = guess
		}
	}
	for k := range n {
		if v := source(yield.Arg(1 + k)); v.Def() != nil && v.Def().Block() == g && b.doneWith(g.Params[1+k], v.Def()) {
			b.aim(v, b.buffer[g.Params[1+k]])
		}
	}
	b.control(plan.LoopStep, o, x)
	if err := b.block(g); err != nil {
		return err
	}
	for k := range n {
		v := yield.Arg(1 + k)
		list = append(list, move{v, b.buffer[v], b.buffer[g.Params[1+k]]})
	}
	if x.Cond != plan.None && !(always && again) {
		list = append(list, move{yield.Arg(0), b.buffer[yield.Arg(0)], x.Cond})
	}
	if err := b.moves(list, o); err != nil {
		return err
	}
	b.control(plan.EndStep, o, nil)
	return nil
}

// doneWith reports whether nothing reads a carried value's buffer once a kernel of the same region begins, so that the kernel may write
// there.
func (b *compiler) doneWith(p *ir.Value, maker *ir.Op) bool {
	if b.last[p] >= b.order[maker] {
		return false
	}
	var plain func(v *ir.Value) bool // no reader gives its result in v's buffer
	plain = func(v *ir.Value) bool {
		ok := true
		v.EachUse(func(u *ir.Op) {
			switch {
			case u.Is(op.Reshape):
				ok = ok && plain(u.Result(0))
			case u.Is(op.Kernel):
				for i := range u.Results() {
					if at := inPlace(u, i); at >= 0 && u.Arg(at) == v {
						ok = false
					}
				}
			default:
				ok = false
			}
		})
		return ok
	}
	return plain(p)
}

// unread reports whether a literal is only read by loops that know what it says.
func unread(v *ir.Value) bool {
	only := true
	for _, u := range v.Users() {
		for i := 0; i < u.NumArgs(); i++ {
			if u.Arg(i) != v {
				continue
			}
			ok := false
			switch {
			case u.Is(op.Loop) && i == 0:
				ok = true
			case u.Is(op.Loop) && i == 1:
				yes, _ := truth(v)
				again, always := truth(u.Regions[0].Last().Arg(0))
				ok = yes && always && again
			case u.Is(op.Yield) && i == 0 && u.Block().Parent.Is(op.Loop):
				ok, _ = truth(v)
			}
			only = only && ok
		}
	}
	return only
}
