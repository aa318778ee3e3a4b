package passes

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/passes/rewrite"
)

var dceInfo = &Info{
	Name:  "dce",
	Doc:   "Erases ops that nothing reads, from the last to the first, in kernels and in ifs and loops too, and drops results of those that nothing reads.",
	Rules: rewrite.Set{eraseDead, dropResults},
	run:   dce,
}

var eraseDead = &rewrite.Rule{Name: "EraseDeadOp", Doc: "An op whose results nobody reads goes."}

func unusedResult(o *ir.Op) bool {
	for _, v := range o.Results() {
		if v.NumUses() == 0 {
			return true
		}
	}
	return false
}

func dce(p *Pass) error {
	for _, f := range p.Module.Funcs {
		dceBlock(p, f.Body)
	}
	return nil
}

func dceBlock(p *Pass, b *ir.Block) {
	for o := b.Last(); o != nil; {
		prev := o.Prev()
		if rewrite.Dead(o) && p.fire(eraseDead, o) {
			o.Erase()
		} else {
			if (o.Is(op.If) || o.Is(op.Loop)) && unusedResult(o) && p.fire(dropResults, o) {
				if n := dropUnused(o); n != nil {
					o = n
				}
			}
			for _, r := range o.Regions {
				dceBlock(p, r)
			}
		}
		o = prev
	}
}
