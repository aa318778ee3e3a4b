package random

import (
	"apogee/ir"
	"apogee/ir/op"
)

// Shrink returns a smaller module for which fails is still true. It must be true for m, which is not changed; what
// fails is given verifies. The work is some hundred calls for a module of a hundred ops.
//
// It drops functions, results, states and inputs, cuts ops off by making what they give an input, and puts an operand of the
// same type in an op's place, many at a time as long as that works.
func Shrink(m *ir.Module, fails func(*ir.Module) bool) *ir.Module {
	s := shrinker{m: m.Clone(), fails: fails}
	// Where the failure lies in ops that nothing reads, those are not swept out with every step.
	s.sweep = true
	s.sweep = s.attempt(func(*ir.Module) bool { return true }, false)
	for changed := true; changed; {
		// What a kernel computes in vain goes when the kernel is dissolved, unless it is let be.
		if changed = s.each(inline); !changed && s.sweep {
			s.sweep = false
			changed = s.each(inline)
			s.sweep = !changed
		}
		if len(innerOps(s.m)) > 0 {
			changed = s.each(oneSide(0)) || changed
			changed = s.each(oneSide(1)) || changed
			changed = s.each(oneRound) || changed
			changed = s.inner() || changed
		}
		changed = s.funcs() || changed
		changed = s.results() || changed
		changed = s.each(cut) || changed
		changed = s.each(bypass) || changed
		changed = s.try(unread) || changed
	}
	s.attempt(clean, false)
	return s.m
}

type shrinker struct {
	m     *ir.Module
	fails func(*ir.Module) bool
	sweep bool
}

// try applies a change to a copy and keeps it if it changed something and the failure is still there.
func (s *shrinker) try(change func(*ir.Module) bool) bool { return s.attempt(change, true) }

// attempt is try, where shrink says that a change which leaves the same ops is none.
func (s *shrinker) attempt(change func(*ir.Module) bool, shrink bool) bool {
	c := s.m.Clone()
	if !change(c) {
		return false
	}
	if s.sweep {
		sweep(c)
	}
	if ir.Verify(c).HasErrors() || shrink && c.Hash() == s.m.Hash() || !s.fails(c) {
		return false
	}
	s.m = c
	return true
}

func (s *shrinker) funcs() (changed bool) {
	for i := 0; i < len(s.m.Funcs) && len(s.m.Funcs) > 1; {
		if s.try(func(c *ir.Module) bool {
			c.Funcs = append(c.Funcs[:i], c.Funcs[i+1:]...)
			return true
		}) {
			changed = true
			continue
		}
		i++
	}
	return changed
}

// results drops results, the last first, and states.
func (s *shrinker) results() (changed bool) {
	for fi := range s.m.Funcs {
		for i := len(s.m.Funcs[fi].Results) - 1; i >= 0; i-- {
			changed = s.try(func(c *ir.Module) bool {
				f := c.Funcs[fi]
				if len(f.Results)+f.States < 2 {
					return false
				}
				f.Results = append(f.Results[:i], f.Results[i+1:]...)
				args := f.Return().Args()
				f.Return().SetArgs(append(args[:i], args[i+1:]...))
				return true
			}) || changed
		}
		// The last state becomes an input when nothing comes of it.
		for s.try(func(c *ir.Module) bool {
			f := c.Funcs[fi]
			if f.States == 0 || len(f.Results)+f.States < 2 {
				return false
			}
			args := f.Return().Args()
			at := len(f.Results)
			f.States--
			f.Return().SetArgs(append(args[:at], args[at+1:]...))
			return true
		}) {
			changed = true
		}
	}
	return changed
}

// each applies a change to runs of ops, from the end of each function: first halves, then quarters, down to single ops.
func (s *shrinker) each(change func(*ir.Op) bool) (changed bool) {
	for fi := range s.m.Funcs {
		for size := s.m.Funcs[fi].Body.Len() / 2; size > 0; size /= 2 {
			for to := s.m.Funcs[fi].Body.Len() - 1; to > 0; to -= size {
				n := s.m.Funcs[fi].Body.Len()
				if to > n-1 {
					to = n - 1
				}
				changed = s.try(func(c *ir.Module) bool {
					any := false
					ops := c.Funcs[fi].Body.Ops()
					for i := to - 1; i >= 0 && i >= to-size; i-- {
						any = change(ops[i]) || any
					}
					return any
				}) || changed
			}
		}
	}
	return changed
}

// cut makes what an op gives an input.
func cut(o *ir.Op) bool {
	f := o.Func()
	for _, r := range o.Results() {
		if r.NumUses() > 0 {
			r.ReplaceAllUses(insertInput(f, r))
		}
	}
	o.Erase()
	return true
}

// insertInput adds an input after the others and before the states.
func insertInput(f *ir.Func, like *ir.Value) *ir.Value {
	names := map[string]bool{}
	for _, p := range f.Body.Params {
		names[p.Name] = true
	}
	name := like.Name
	if name == "" {
		name = "x"
	}
	for names[name] {
		name += "_"
	}
	states := f.States
	v := f.Body.InsertParam(len(f.Body.Params)-states, name, like.Type)
	return v
}

// bypass puts an operand in the place of a result of the same type.
func bypass(o *ir.Op) bool {
	changed := false
	for _, r := range o.Results() {
		for i := range o.NumArgs() {
			if a := o.Arg(i); r.NumUses() > 0 && a.Type.Equal(r.Type) {
				r.ReplaceAllUses(a)
				changed = true
			}
		}
	}
	return changed
}

// inline puts a kernel's ops in its place.
func inline(o *ir.Op) bool {
	if !o.Is(op.Kernel) {
		return false
	}
	for i, v := range o.Regions[0].Inline(o, o.Args()) {
		o.Result(i).ReplaceAllUses(v)
	}
	o.Erase()
	return true
}

// oneSide puts one side of an if in its place.
func oneSide(side int) func(*ir.Op) bool {
	return func(o *ir.Op) bool {
		if !o.Is(op.If) {
			return false
		}
		replaceBy(o, o.Regions[side].Inline(o, o.Args()[1:]))
		return true
	}
}

// oneRound puts the first round of a loop in its place.
func oneRound(o *ir.Op) bool {
	if !o.Is(op.Loop) {
		return false
	}
	zero := ir.At(o).Scalar(o.Arg(0).Type.Format, 0)
	replaceBy(o, o.Regions[0].Inline(o, append([]*ir.Value{zero}, o.Args()[2:]...))[1:])
	return true
}

func replaceBy(o *ir.Op, values []*ir.Value) {
	for i, v := range values {
		o.Result(i).ReplaceAllUses(v)
	}
	o.Erase()
}

// inner does with the ops in the regions of ifs and loops, one after another from the last on, what each does with the others.
func (s *shrinker) inner() (changed bool) {
	for _, change := range []func(*ir.Op) bool{oneSide(0), oneSide(1), oneRound, bypass, eraseUnread} {
		for i := len(innerOps(s.m)) - 1; i >= 0; i-- {
			changed = s.try(func(c *ir.Module) bool {
				ops := innerOps(c)
				return i < len(ops) && change(ops[i])
			}) || changed
		}
	}
	for _, change := range []func(*ir.Op) bool{keepCarried, keepGoing, dropResults, dropOperands} {
		changed = s.try(func(c *ir.Module) bool {
			any := false
			for _, f := range c.Funcs {
				f.Body.Walk(func(o *ir.Op) { any = change(o) || any })
			}
			return any
		}) || changed
	}
	return changed
}

// eraseUnread drops an op that nothing reads.
func eraseUnread(o *ir.Op) bool {
	for _, r := range o.Results() {
		if r.NumUses() > 0 {
			return false
		}
	}
	o.Erase()
	return true
}

// keepCarried has a loop carry its values without changing them.
func keepCarried(o *ir.Op) bool {
	if !o.Is(op.Loop) {
		return false
	}
	changed := false
	yield := o.Regions[0].Last()
	for i := 1; i < yield.NumArgs(); i++ {
		if p := o.Regions[0].Params[i]; yield.Arg(i) != p {
			yield.SetArg(i, p)
			changed = true
		}
	}
	return changed
}

// keepGoing has a loop ask the same before each round.
func keepGoing(o *ir.Op) bool {
	if !o.Is(op.Loop) {
		return false
	}
	yield := o.Regions[0].Last()
	if c := yield.Arg(0); c.Def() == nil && c.Index() > o.Carried() {
		return false
	}
	yield.SetArg(0, o.AddArg(o.Arg(1))[0])
	return true
}

// dropResults drops results of an if or a loop that nothing reads, and what a loop carries for them.
func dropResults(o *ir.Op) bool {
	if !o.Is(op.If) && !o.Is(op.Loop) {
		return false
	}
	keep := make([]bool, len(o.Results()))
	changed := false
	for i, r := range o.Results() {
		keep[i] = r.NumUses() > 0
		if o.Is(op.Loop) {
			g := o.Regions[0]
			uses := g.Params[1+i].NumUses()
			keep[i] = keep[i] || uses > 1 || uses == 1 && g.Last().Arg(1+i) != g.Params[1+i]
		}
		changed = changed || !keep[i]
	}
	if changed {
		o.Keep(keep)
	}
	return changed
}

// innerOps are the ops in the regions of ifs and loops, in program order.
func innerOps(m *ir.Module) []*ir.Op {
	var out []*ir.Op
	for _, f := range m.Funcs {
		f.Body.Walk(func(o *ir.Op) {
			if p := o.Block().Parent; p != nil && !p.Is(op.Kernel) && !o.Info.Terminator {
				out = append(out, o)
			}
		})
	}
	return out
}

// dropOperands drops what the regions of an if or a loop do not read.
func dropOperands(o *ir.Op) bool {
	changed := false
	if !o.Is(op.If) && !o.Is(op.Loop) {
		return false
	}
	first := 1
	if o.Is(op.Loop) {
		first = 2 + o.Carried()
	}
	for i := o.NumArgs() - 1; i >= first; i-- {
		uses := 0
		for _, g := range o.Regions {
			uses += g.Params[i-1].NumUses()
		}
		if uses == 0 {
			o.DropArg(i)
			changed = true
		}
	}
	return changed
}

// unread drops inputs that nothing reads.
func unread(m *ir.Module) bool {
	changed := false
	for _, f := range m.Funcs {
		for i := len(f.Body.Params) - f.States - 1; i >= 0; i-- {
			if f.Body.Params[i].NumUses() == 0 {
				f.Body.RemoveParam(i)
				changed = true
			}
		}
	}
	return changed
}

// clean drops docs and positions.
func clean(m *ir.Module) bool {
	for _, f := range m.Funcs {
		f.Doc, f.Pos = "", ir.Pos{}
		f.Body.Walk(func(o *ir.Op) { o.Pos = ir.Pos{} })
	}
	m.Files, m.Scopes = nil, nil
	return true
}

// sweep erases ops that nothing reads.
func sweep(m *ir.Module) {
	for _, f := range m.Funcs {
		sweepBlock(f.Body)
	}
}

func sweepBlock(b *ir.Block) {
	for o := b.Last(); o != nil; {
		prev := o.Prev()
		dead := !o.Info.Terminator
		for _, r := range o.Results() {
			dead = dead && r.NumUses() == 0
		}
		switch {
		case dead:
			o.Erase()
		case o.Is(op.If), o.Is(op.Loop):
			for _, g := range o.Regions {
				sweepBlock(g)
			}
		}
		o = prev
	}
}
