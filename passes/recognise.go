package passes

import (
	"apogee/ir/op"
	"apogee/passes/rewrite"
)

var recogniseInfo = &Info{
	Name: "recognise",
	Doc: "Finds compositions that have an op of their own, written in whatever primitive ops: attention (scores, mask, softmax, values) and routed experts (a product with gathered matrices). " +
		"It needs numbers for all dimensions, and leaves everything else as it is.",
	Rules: rewrite.Join(rewrite.Set{recogniseAttention}, expertRules),
	run:   func(p *Pass) error { return p.rewrite(p.Info.Rules, nil) },
}

var recogniseAttention = &rewrite.Rule{
	Name:  "RecogniseAttention",
	Doc:   "softmax(mask(scale·(q·k + q2·k2)))·v is attention: the scores never leave the chip. Heads may be grouped, keys shared, the mask causal from a position on, or any.",
	Roots: []*op.Info{op.Einsum},
	Apply: matchAttention,
}
