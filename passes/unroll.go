package passes

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/passes/rewrite"
)

var unrollInfo = &Info{
	Name: "unroll",
	Doc: "Makes straight code of ifs and loops where that is cheaper than to look and to launch: loops whose number of rounds is known are written out up to `max` ops, " +
		"small ifs compute both sides and select, and what every round computes alike is computed once before. No value changes by a bit.",
	Options: []OptionInfo{
		{Name: "max", Default: "128", Number: true, Doc: "the most ops that a loop may become, views and literals not counted"},
		{Name: "select", Default: "8", Number: true, Doc: "the most ops of both sides of an if that becomes a select"},
		{Name: "elements", Default: "65536", Number: true, Doc: "the most elements that one of these ops may give"},
	},
	Rules: rewrite.Set{unrollLoop, turnIfIntoSelect, hoistInvariant},
	run:   unroll,
}

// unrolling is what the rules of unroll know.
type unrolling struct{ max, choose, elements int64 }

func unroll(p *Pass) error {
	found := false
	for _, f := range p.Module.Funcs {
		found = found || len(bodies(f)) > 1
	}
	if !found {
		return nil
	}
	data := &unrolling{p.number("max"), p.number("select"), p.number("elements")}
	for {
		before := p.Control.Fired()
		if err := p.rewrite(p.Info.Rules, data); err != nil {
			return err
		}
		if p.Control.Fired() == before {
			return nil
		}
		// A round's number is a literal now, and so may be what an inner loop goes by.
		if err := p.rewrite(foldInfo.Rules, int64(foldMost)); err != nil {
			return err
		}
		if err := p.rewrite(canonicaliseInfo.Rules, nil); err != nil {
			return err
		}
	}
}

// foldMost is what fold's max is unless told otherwise.
const foldMost = 4096

// work counts the ops of a block that become instructions, those in regions included.
func work(b *ir.Block) int64 {
	n := int64(0)
	b.Walk(func(o *ir.Op) {
		if !o.Info.Terminator && !free(o) && !buffer(o) {
			n++
		}
	})
	return n
}

var unrollLoop = &rewrite.Rule{
	Name: "UnrollLoop", Doc: "A loop with a known number of rounds and a body that is small beside it is written out.", Roots: []*op.Info{op.Loop},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		n, ok := rounds(o)
		first, known := constant(o.Arg(1))
		g := o.Regions[0]
		again, told := constant(g.Last().Arg(0))
		if !ok || !known || first == 0 || !told || again == 0 || n > 1024 {
			return false
		}
		if w := work(g); n*max(w, 1) > r.Data.(*unrolling).max {
			r.Remark(o, "stays a loop: its %d rounds would be %d ops", n, n*w)
			return false
		}
		b := r.At(o)
		carried := o.Args()[2 : 2+o.Carried()]
		others := o.Args()[2+o.Carried():]
		for k := range n {
			args := append([]*ir.Value{b.Scalar(o.Arg(0).Type.Format, float64(k))}, carried...)
			carried = g.CloneInline(o, append(args, others...))[1:]
		}
		r.Replace(o, carried...)
		return true
	},
}

var turnIfIntoSelect = &rewrite.Rule{
	Name: "TurnIfIntoSelect", Doc: "An if whose sides are a few ops element by element on small values computes both and selects.", Roots: []*op.Info{op.If},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		u := r.Data.(*unrolling)
		if work(o.Regions[0])+work(o.Regions[1]) > u.choose {
			return false
		}
		for _, v := range o.Results() {
			if !fewElements(v, u.elements) || v.Type.Format.Bits() < 8 {
				return false
			}
		}
		for _, g := range o.Regions {
			for d := g.First(); d != g.Last(); d = d.Next() {
				if !(d.Info.Class == op.Elementwise || view.Is(d) || d.Is(op.Constant) || d.Is(op.Iota)) || !fewElements(d.Result(0), u.elements) {
					return false
				}
				if (d.Is(op.Div) || d.Is(op.Rem) || d.Is(op.Pow)) && !d.Result(0).Type.Format.IsFloat() {
					return false // which may not be computed for just any operands
				}
			}
		}
		b := r.At(o)
		args := o.Args()[1:]
		var sides [2][]*ir.Value
		for k, g := range o.Regions {
			g.Walk(r.Push)
			sides[k] = g.Inline(o, args)
		}
		out := make([]*ir.Value, len(o.Results()))
		for i := range out {
			if out[i] = sides[0][i]; sides[1][i] != out[i] {
				out[i] = b.Op(op.Select, nil, o.Arg(0), sides[0][i], sides[1][i])
			}
		}
		r.Replace(o, out...)
		o.Erase()
		return true
	},
}

// fewElements reports whether a value has at most so many elements.
func fewElements(v *ir.Value, most int64) bool { return v.Type.Shape.IsConst() && count(v) <= most }

var hoistInvariant = &rewrite.Rule{
	Name: "HoistInvariant", Doc: "What every round of a loop computes alike is computed once, before the loop.", Roots: []*op.Info{op.Loop},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		g := o.Regions[0]
		first := 1 + o.Carried()
		for d := g.First(); d != g.Last(); d = d.Next() {
			if !hoistable(d, first) {
				continue
			}
			vm := ir.ValueMap{}
			for i := range d.NumArgs() {
				if v := d.Arg(i); v.Def() == nil {
					vm[v] = o.Arg(v.Index() + 1)
				} else {
					repeat(v, o, vm, r.Push)
				}
			}
			n := ir.CloneOp(o.Block(), o, d, vm)
			r.Push(n)
			for i, v := range d.Results() {
				v.EachUse(r.Push)
				v.ReplaceAllUses(o.AddArg(n.Result(i))[0])
			}
			d.Erase()
			return true
		}
		return false
	},
}
