package rewrite

import (
	"fmt"

	"apogee/ir"
	"apogee/ir/op"
)

// Rewriter is what a rule changes a function through, so that the driver knows what to look at again.
type Rewriter struct {
	// Data is whatever the pass gave to Run: what its rules need to know.
	Data any

	ctl    *Control
	remark func(Remark)
	b      ir.Builder
	list   []*ir.Op
	queued []uint64 // by op ID: is in the list
}

// At returns the builder that adds ops before o, with its position. New ops are looked at after the firing. The driver
// fails when the builder has an error.
func (r *Rewriter) At(o *ir.Op) *ir.Builder {
	r.b = ir.Builder{Block: o.Block(), Before: o, Pos: o.Pos}
	return &r.b
}

// Replace makes all readers of o's results read the given values. The op dies of having no uses. A result without a name of its own
// gets that of what it replaces.
func (r *Rewriter) Replace(o *ir.Op, values ...*ir.Value) {
	for i, v := range values {
		old := o.Result(i)
		if old == v {
			continue
		}
		if v.Name == "" && v.Def() != nil {
			v.Name = old.Name
		}
		old.EachUse(r.Push)
		old.ReplaceAllUses(v)
	}
	r.Push(o)
}

// SetArg makes operand i of o another value.
func (r *Rewriter) SetArg(o *ir.Op, i int, v *ir.Value) {
	if d := o.Arg(i).Def(); d != nil {
		r.Push(d)
	}
	o.SetArg(i, v)
	r.Push(o)
}

// Push has an op looked at again. Rules need it only for ops they put elsewhere than before their root.
func (r *Rewriter) Push(o *ir.Op) {
	id := o.ID()
	for id>>6 >= len(r.queued) {
		r.queued = append(r.queued, 0)
	}
	if r.queued[id>>6]&(1<<(id&63)) != 0 {
		return
	}
	r.queued[id>>6] |= 1 << (id & 63)
	r.list = append(r.list, o)
}

// Remark records why a rule did or did not fire at an op.
func (r *Rewriter) Remark(o *ir.Op, format string, args ...any) {
	if r.remark == nil {
		return
	}
	m := Remark{Op: Name(o), Message: fmt.Sprintf(format, args...)}
	if r.ctl.Rule != nil {
		m.Rule = r.ctl.Rule.Name
	}
	if f := o.Func(); f != nil {
		m.Pos = f.Module.PosString(o.Pos)
	}
	r.remark(m)
}

// Name is an op as remarks name it: %y = add.
func Name(o *ir.Op) string {
	if len(o.Results()) > 0 && o.Result(0).Name != "" {
		return "%" + o.Result(0).Name + " = " + o.Info.Name
	}
	return o.Info.Name
}

// Dead reports whether nothing reads what an op gives.
func Dead(o *ir.Op) bool {
	if o.Info.Terminator {
		return false
	}
	for _, v := range o.Results() {
		if v.NumUses() != 0 {
			return false
		}
	}
	return true
}

// Run applies rules to a function, its regions included, until none fires. Ops that nobody reads are erased on the way. The
// error is a *RunawayError, or says what a rule built wrongly.
func Run(f *ir.Func, rules Set, ctl *Control, data any, remark func(Remark)) error {
	byRoot := make([][]*Rule, len(op.All()))
	for _, rule := range rules {
		for _, root := range rule.Roots {
			byRoot[root.ID] = append(byRoot[root.ID], rule)
		}
	}
	m := f.Module
	r := &Rewriter{Data: data, ctl: ctl, remark: remark, queued: make([]uint64, m.MaxOp()/64+1)}
	r.list = make([]*ir.Op, 0, f.Body.Len())
	n := fill(r, f.Body)
	for i, j := 0, len(r.list)-1; i < j; i, j = i+1, j-1 { // taken from the end: program order
		r.list[i], r.list[j] = r.list[j], r.list[i]
	}
	fired, most := int64(0), 64*int64(n)+4096
	mine := map[*Rule]int64{}
	defer func() {
		for rule, k := range mine {
			if ctl.counts == nil {
				ctl.counts = map[string]int64{}
			}
			ctl.counts[rule.Name] += k
		}
	}()
	for len(r.list) > 0 {
		o := r.list[len(r.list)-1]
		r.list = r.list[:len(r.list)-1]
		r.queued[o.ID()>>6] &^= 1 << (o.ID() & 63)
		if o.Block() == nil || o.NumArgs() > 0 && o.Arg(0) == nil { // erased, perhaps with the kernel it was in
			continue
		}
		if Dead(o) {
			for i := 0; i < o.NumArgs(); i++ {
				if d := o.Arg(i).Def(); d != nil && d.Block() == o.Block() && d != o {
					r.Push(d)
				}
			}
			o.Erase()
			continue
		}
		for _, rule := range byRoot[o.Info.ID] {
			if !ctl.Allowed(rule) {
				continue
			}
			ctl.Op, ctl.Rule = o, rule
			block, before := o.Block(), o.Prev()
			made := m.MaxOp()
			if !rule.Apply(r, o) {
				continue
			}
			if r.b.Err != nil {
				return fmt.Errorf("rule %s at %s: %w", rule.Name, o, r.b.Err)
			}
			ctl.fired++
			fired++
			mine[rule]++
			if fired > most {
				return runaway(mine, fired, n, o)
			}
			r.Push(o)
			// What the rule added stands before the root.
			at := block.First()
			if before != nil {
				at = before.Next()
			}
			for ; at != nil && at != o && at.ID() >= made; at = at.Next() {
				r.Push(at)
			}
			break
		}
		ctl.Op, ctl.Rule = nil, nil
	}
	return nil
}

func fill(r *Rewriter, b *ir.Block) int {
	n := 0
	for o := b.First(); o != nil; o = o.Next() {
		n++
		r.Push(o)
		for _, g := range o.Regions {
			n += fill(r, g)
		}
	}
	return n
}

func runaway(counts map[*Rule]int64, fired int64, ops int, o *ir.Op) error {
	e := &RunawayError{Fired: fired, Ops: ops, Where: o.String()}
	var first, second int64
	better := func(n int64, name string, m int64, than string) bool { return n > m || n == m && name < than }
	for r, n := range counts {
		switch {
		case better(n, r.Name, first, e.Rule):
			second, e.Second = first, e.Rule
			first, e.Rule = n, r.Name
		case better(n, r.Name, second, e.Second):
			second, e.Second = n, r.Name
		}
	}
	return e
}
