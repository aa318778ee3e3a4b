package passes

import (
	"apogee/ir"
	"apogee/passes/rewrite"
)

var dceInfo = &Info{
	Name:  "dce",
	Doc:   "Erases ops that nothing reads, from the last to the first, in kernels too.",
	Rules: rewrite.Set{eraseDead},
	run:   dce,
}

var eraseDead = &rewrite.Rule{Name: "EraseDeadOp", Doc: "An op whose results nobody reads goes."}

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
			for _, r := range o.Regions {
				dceBlock(p, r)
			}
		}
		o = prev
	}
}
