package ir

import (
	"apogee/ir/op"
)

// If adds an if and returns its results. The two functions fill the regions and return what they yield, values of the same
// types; they may use any value that stands before the op, and what they use becomes its operands (see Op.Capture).
func (b *Builder) If(cond *Value, then, otherwise func(*Builder) []*Value) []*Value {
	if b.Err != nil {
		return nil
	}
	o := b.Block.NewOp(op.If, b.Pos, []*Value{cond}, nil, nil, b.Before)
	for _, fill := range []func(*Builder) []*Value{then, otherwise} {
		in := &Builder{Block: o.NewRegion(), Pos: b.Pos}
		out := fill(in)
		in.Yield(out...)
		b.Err = in.Err
		if b.Err != nil {
			break
		}
	}
	return b.closed(o)
}

// Loop adds a loop and returns its results, the carried values after the last round. The function fills the region: given
// the number of the round and the carried values it returns whether to go on and the next carried values. It may use any
// value that stands before the op, as for If. The attributes are the limit, or none.
func (b *Builder) Loop(trip, cond *Value, attrs op.Attrs, carried []*Value, body func(b *Builder, i *Value, carried []*Value) (*Value, []*Value)) []*Value {
	if b.Err != nil {
		return nil
	}
	if attrs, b.Err = op.Loop.Normalise(attrs); b.Err != nil {
		return nil
	}
	o := b.Block.NewOp(op.Loop, b.Pos, append([]*Value{trip, cond}, carried...), attrs, nil, b.Before)
	r := o.NewRegion()
	i := r.AddParam("i", trip.Type)
	params := make([]*Value, len(carried))
	for k, v := range carried {
		params[k] = r.AddParam(v.Name, v.Type)
	}
	in := &Builder{Block: r, Pos: b.Pos}
	again, next := body(in, i, params)
	in.Yield(append([]*Value{again}, next...)...)
	b.Err = in.Err
	return b.closed(o)
}

// closed gives an op whose regions are filled its operands and results. After an error it erases the op.
func (b *Builder) closed(o *Op) []*Value {
	var types []Type
	if b.Err == nil {
		o.Capture()
		types, b.Err = o.Info.Infer(o.Input())
	}
	if b.Err != nil {
		o.Erase()
		return nil
	}
	o.setResults(types)
	return o.Results()
}

// setResults gives results to an op that has none.
func (o *Op) setResults(types []Type) {
	m := o.block.Func.Module
	o.results = m.ptrs.take(len(types))
	for i, t := range types {
		v := m.newValue()
		v.Type, v.def, v.idx = t, o, int32(i)
		o.results[i] = v
	}
}

// Capture makes the regions of an if or a loop see only their own parameters: what their ops read from outside becomes an
// operand of the op, unless it is one already whose parameter stays the same in every round, and a parameter of every
// region. Of both ops, parameter i stands for operand i+1, but that the first of a loop's counts the rounds.
func (o *Op) Capture() {
	args := o.Args()
	first := o.invariants()
	at := map[*Value]int{} // the operand that a value from outside is
	for i := first; i < len(args); i++ {
		if at[args[i]] == 0 {
			at[args[i]] = i
		}
	}
	for _, r := range o.Regions {
		for in := r.first; in != nil; in = in.next {
			for k := range in.args {
				v := in.args[k].val
				if v.own == r || v.def != nil && v.def.block == r {
					continue
				}
				if at[v] == 0 {
					at[v] = len(args)
					args = append(args, v)
					for _, each := range o.Regions {
						each.AddParam(v.Name, v.Type)
					}
				}
				in.args[k].set(r.Params[at[v]-1])
			}
		}
	}
	if len(args) > len(o.args) {
		o.SetArgs(args)
	}
}

// invariants is the first operand of an if or a loop that regions are given the same in every round.
func (o *Op) invariants() int {
	if o.Info == op.Loop {
		return 2 + o.Carried()
	}
	return 1
}

// Carried is how many values a loop carries from round to round: the operands from the third on, the region's parameters from
// the second on.
func (o *Op) Carried() int { return len(o.Regions[0].last.args) - 1 }

// Inline moves a region's ops, but for its terminator, before another op and returns what the terminator's operands have
// become. args take the place of the parameters. The region is empty afterwards, and its op is to be erased.
func (b *Block) Inline(before *Op, args []*Value) []*Value {
	for i, p := range b.Params {
		p.ReplaceAllUses(args[i])
	}
	out := b.last.Args()
	b.last.Erase()
	for b.first != nil {
		b.first.MoveBefore(before)
	}
	return out
}

// CloneInline is Inline with copies: the region stays as it is.
func (b *Block) CloneInline(before *Op, args []*Value) []*Value {
	vm := make(ValueMap, len(b.Params)+b.n)
	for i, p := range b.Params {
		vm[p] = args[i]
	}
	for o := b.first; o != b.last; o = o.next {
		CloneOp(before.block, before, o, vm)
	}
	out := make([]*Value, len(b.last.args))
	for i := range out {
		out[i] = vm.of(b.last.args[i].val)
	}
	return out
}

// DropArg removes operand i of an if or a loop, which no round changes, with its parameter in every region. The parameters must have
// no uses.
func (o *Op) DropArg(i int) {
	for _, r := range o.Regions {
		r.RemoveParam(i - 1)
	}
	args := o.Args()
	o.SetArgs(append(args[:i], args[i+1:]...))
}

// AddArg gives an if or a loop one more operand, the same in every round, and returns its parameters, one a region.
func (o *Op) AddArg(v *Value) []*Value {
	params := make([]*Value, len(o.Regions))
	for i, r := range o.Regions {
		params[i] = r.AddParam(v.Name, v.Type)
	}
	o.SetArgs(append(o.Args(), v))
	return params
}

// Keep replaces an if or a loop by one with only those results for which keep is true, and returns that. The others must have no uses,
// nor, for a loop, the parameters of the values carried for them but as the next such value.
func (o *Op) Keep(keep []bool) *Op {
	var types []Type
	var kept []*Value
	for i, r := range o.results {
		if keep[i] {
			types, kept = append(types, r.Type), append(kept, r)
		}
	}
	first := 0 // the yield's operand for result 0
	args := o.Args()
	if o.Info == op.Loop {
		first = 1
		values := args[:2:2]
		for i, v := range args[2:] {
			if i >= len(keep) || keep[i] {
				values = append(values, v)
			}
		}
		args = values
	}
	for _, r := range o.Regions {
		yields := r.last.Args()
		next := yields[:first:first]
		for i, v := range yields[first:] {
			if keep[i] {
				next = append(next, v)
			}
		}
		r.last.SetArgs(next)
		if o.Info == op.Loop {
			for i := len(keep) - 1; i >= 0; i-- {
				if !keep[i] {
					r.RemoveParam(1 + i)
				}
			}
		}
	}
	n := o.block.NewOp(o.Info, o.Pos, args, o.Attrs, types, o)
	n.Regions, o.Regions = o.Regions, nil
	for _, r := range n.Regions {
		r.Parent = n
	}
	for i, r := range kept {
		n.results[i].Name = r.Name
		r.ReplaceAllUses(n.results[i])
	}
	o.Erase()
	return n
}
