package passes

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/passes/rewrite"
)

// controlRules bring ifs and loops into one form: literals, weights and what the loader makes of them stand in the regions that read
// them, where other rules look for them; what is known to happen happens without a look.
var controlRules = rewrite.Set{
	{
		Name: "DropRegionOperand", Doc: "An operand of an if or a loop that no region reads goes, and one that is given twice is given once.",
		Roots: []*op.Info{op.If, op.Loop}, Apply: dropRegionOperand,
	},
	{
		Name: "SinkLiteral", Doc: "A literal, a weight or a view or cast of one is repeated in the regions that read it.", Roots: []*op.Info{op.If, op.Loop}, Apply: sinkLiteral,
	},
	dropResults,
	{
		Name: "ForwardUnchanged", Doc: "What both branches give as they were given it, and what a loop carries without changing it, is the operand.",
		Roots: []*op.Info{op.If, op.Loop}, Apply: forwardUnchanged,
	},
	{
		Name: "RemoveKnownIf", Doc: "An if whose condition is a literal is the branch that it takes.", Roots: []*op.Info{op.If},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			c, ok := constant(o.Arg(0))
			if !ok {
				return false
			}
			g := o.Regions[0]
			if c == 0 {
				g = o.Regions[1]
			}
			inlineRegion(r, o, g, o.Args()[1:])
			return true
		},
	},
	{
		Name: "RemoveEmptyLoop", Doc: "A loop that makes no round is the values that it begins with.", Roots: []*op.Info{op.Loop},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			go1, known := constant(o.Arg(1))
			if n, ok := rounds(o); !(ok && n == 0) && !(known && go1 == 0) {
				return false
			}
			r.Replace(o, o.Args()[2:2+o.Carried()]...)
			return true
		},
	},
	{
		Name: "InlineOnlyRound", Doc: "A loop that makes one round is that round.", Roots: []*op.Info{op.Loop},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			n, ok := rounds(o)
			first, known := constant(o.Arg(1))
			again, told := constant(o.Regions[0].Last().Arg(0))
			if !ok || !known || first == 0 || !(n == 1 || n > 1 && told && again == 0) {
				return false
			}
			b := r.At(o)
			i := b.Scalar(o.Arg(0).Type.Format, 0)
			yield := o.Regions[0].Last()
			yield.SetArgs(yield.Args()[1:])
			inlineRegion(r, o, o.Regions[0], append([]*ir.Value{i}, o.Args()[2:]...))
			return true
		},
	},
}

// dropResults is what dce does as well.
var dropResults = &rewrite.Rule{
	Name: "DropUnusedResults", Doc: "A result of an if that nobody reads goes, and so does a value that a loop carries for nobody.", Roots: []*op.Info{op.If, op.Loop},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		n := dropUnused(o)
		if n != nil {
			pushAll(r, n)
		}
		return n != nil
	},
}

// rounds is how many rounds a loop makes at most; exact if its condition stays true. ok is false if data decides.
func rounds(o *ir.Op) (int64, bool) {
	n := int64(-1)
	if o.Arg(0).DefIs(op.Constant) {
		x, err := o.Arg(0).Def().Attrs.Tensor("value").I64s()
		if err == nil && len(x) == 1 {
			n = max(x[0], 0)
		}
	}
	if d, ok := o.Attrs.Dim("limit"); ok {
		m, ok := d.Value()
		switch {
		case !ok && n != 0:
			return 0, false
		case ok && (n >= 0 && m < n || m == 0):
			n = m
		}
	}
	return n, n >= 0
}

// pushAll has an op and those in its regions looked at again.
func pushAll(r *rewrite.Rewriter, o *ir.Op) {
	r.Push(o)
	for _, g := range o.Regions {
		g.Walk(r.Push)
	}
	for _, v := range o.Results() {
		v.EachUse(r.Push)
	}
}

// inlineRegion puts the ops of a region in the place of its op, which goes.
func inlineRegion(r *rewrite.Rewriter, o *ir.Op, g *ir.Block, args []*ir.Value) {
	g.Walk(r.Push)
	for i := range o.NumArgs() {
		if d := o.Arg(i).Def(); d != nil {
			r.Push(d)
		}
	}
	out := g.Inline(o, args)
	r.Replace(o, out...)
	o.Erase()
}

// unchanged is the first operand of an if or a loop that its regions are given unchanged.
func unchanged(o *ir.Op) int {
	if o.Is(op.Loop) {
		return 2 + o.Carried()
	}
	return 1
}

func dropRegionOperand(r *rewrite.Rewriter, o *ir.Op) bool {
	changed := false
	at := map[*ir.Value]int{}
	for i := unchanged(o); i < o.NumArgs(); {
		uses := 0
		j, twice := at[o.Arg(i)]
		for _, g := range o.Regions {
			p := g.Params[i-1]
			if twice {
				p.EachUse(r.Push)
				p.ReplaceAllUses(g.Params[j-1])
			}
			uses += p.NumUses()
		}
		if uses > 0 {
			at[o.Arg(i)] = i
			i++
			continue
		}
		if d := o.Arg(i).Def(); d != nil {
			r.Push(d)
		}
		o.DropArg(i)
		changed = true
	}
	return changed
}

// sinkable reports whether a value is a literal or a weight, or a view or cast of such.
func sinkable(v *ir.Value, depth int) bool {
	o := v.Def()
	if o == nil || depth > 8 {
		return false
	}
	switch o.Info {
	case op.Constant, op.Weight, op.Iota, op.DimValue:
		return true
	case op.Cast, op.Dequantize, op.Reshape, op.Transpose, op.Slice, op.Broadcast, op.Reverse:
		for i := range o.NumArgs() {
			if !sinkable(o.Arg(i), depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

// repeat clones a sinkable value before an op of another block.
func repeat(v *ir.Value, before *ir.Op, vm ir.ValueMap, made func(*ir.Op)) *ir.Value {
	if w, ok := vm[v]; ok {
		return w
	}
	d := v.Def()
	for i := range d.NumArgs() {
		repeat(d.Arg(i), before, vm, made)
	}
	made(ir.CloneOp(before.Block(), before, d, vm))
	return vm[v]
}

func sinkLiteral(r *rewrite.Rewriter, o *ir.Op) bool {
	changed := false
	maps, first := make([]ir.ValueMap, len(o.Regions)), make([]*ir.Op, len(o.Regions))
	for k, g := range o.Regions {
		maps[k], first[k] = ir.ValueMap{}, g.First()
	}
	for i := unchanged(o); i < o.NumArgs(); {
		v := o.Arg(i)
		if !sinkable(v, 0) {
			i++
			continue
		}
		for k, g := range o.Regions {
			if p := g.Params[i-1]; p.NumUses() > 0 {
				w := repeat(v, first[k], maps[k], r.Push)
				p.EachUse(r.Push)
				p.ReplaceAllUses(w)
			}
		}
		r.Push(v.Def())
		o.DropArg(i)
		changed = true
	}
	return changed
}

// dropUnused rebuilds an if or a loop without the results that nobody reads, a loop's only if no other value that it carries depends on them,
// and returns the new op; nil if there are none.
func dropUnused(o *ir.Op) *ir.Op {
	n := len(o.Results())
	keep := make([]bool, n)
	left := n
	for i, v := range o.Results() {
		if keep[i] = v.NumUses() > 0; keep[i] {
			left--
		}
	}
	if left == 0 {
		return nil
	}
	if !o.Is(op.Loop) {
		return o.Keep(keep)
	}
	// Alive are the ops that the condition or a kept value needs; a carried value that they read is kept as well.
	g := o.Regions[0]
	yield := g.Last()
	alive := map[*ir.Op]bool{}
	var need func(v *ir.Value)
	grew := true
	need = func(v *ir.Value) {
		if d := v.Def(); d != nil {
			if !alive[d] {
				alive[d] = true
				for i := range d.NumArgs() {
					need(d.Arg(i))
				}
			}
		} else if k := v.Index() - 1; k >= 0 && k < n && !keep[k] {
			keep[k], grew = true, true
			left--
		}
	}
	need(yield.Arg(0))
	for grew {
		grew = false
		for i := range keep {
			if keep[i] {
				need(yield.Arg(1 + i))
			}
		}
	}
	if left == 0 {
		return nil
	}
	// What only the others need goes first, so that nothing reads their parameters.
	args := yield.Args()
	for i := range keep {
		if !keep[i] {
			args[1+i] = g.Params[1+i]
		}
	}
	yield.SetArgs(args)
	for d := g.Last().Prev(); d != nil; {
		prev := d.Prev()
		if !alive[d] {
			d.Erase()
		}
		d = prev
	}
	return o.Keep(keep)
}

func forwardUnchanged(r *rewrite.Rewriter, o *ir.Op) bool {
	changed := false
	keep := make([]bool, len(o.Results()))
	for i, v := range o.Results() {
		keep[i] = true
		if o.Is(op.If) {
			x, y := o.Regions[0].Last().Arg(i), o.Regions[1].Last().Arg(i)
			if x.Owner() != o.Regions[0] || y.Owner() != o.Regions[1] || o.Arg(1+x.Index()) != o.Arg(1+y.Index()) || v.NumUses() == 0 {
				continue
			}
			v.EachUse(r.Push)
			v.ReplaceAllUses(o.Arg(1 + x.Index()))
			changed = true
			continue
		}
		g := o.Regions[0]
		p := g.Params[1+i]
		if g.Last().Arg(1+i) != p {
			continue
		}
		v.EachUse(r.Push)
		v.ReplaceAllUses(o.Arg(2 + i))
		if p.NumUses() > 1 { // by more than the yield
			q := o.AddArg(o.Arg(2 + i))[0]
			p.EachUse(r.Push)
			p.ReplaceAllUses(q)
		}
		keep[i], changed = false, true
	}
	if changed && o.Is(op.Loop) {
		pushAll(r, o.Keep(keep))
	}
	return changed
}

// hoistable reports whether an op of a loop's region gives the same in every round: it reads what no round changes, and some of that comes from
// outside.
func hoistable(o *ir.Op, first int) bool {
	if len(o.Regions) > 0 || o.Info.Terminator || view.Is(o) || sinkable(o.Result(0), 0) {
		return false
	}
	outside := false
	for i := range o.NumArgs() {
		v := o.Arg(i)
		switch {
		case v.Def() == nil && v.Index() >= first:
			outside = true
		case v.Def() == nil || !sinkable(v, 0):
			return false
		}
	}
	return outside
}
