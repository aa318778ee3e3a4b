package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/targets/plan"
)

// Engines that take block scales themselves, as for the OCP's MX formats, read a tile of them beside each tile of codes: one for each row and
// block of K. The scales take the way of the operand that they belong to, into the same memory: all of a tile's to the first memory on the
// way, a step's share from there.

// scaleStep is what a part of K must be a multiple of so that it has scales of its own; 0 where the engine takes none.
func (p *product) scaleStep() int64 {
	if !p.native {
		return 0
	}
	return p.block[1]
}

// scaleBits is what the engine reads of scales for each element of an operand.
func (p *product) scaleBits(s *ir.Value) float64 {
	if !p.native {
		return 0
	}
	return float64(bits(s)) / float64(p.block[1])
}

// blocksOf gives the blocks of a part of K that begins with one: up to most elements from start, of which total blocks follow.
func (c *contraction) blocksOf(p *product, start plan.Val, most int64, total plan.Val) extent {
	g := p.block[1]
	at, n := c.b.divide(start, g), ceilDiv(most, g)
	return extent{at, c.b.Rest(n, total, at), n}
}

// blocksOfDepth gives the blocks of the part of K that a block of the kernel sums.
func (c *contraction) blocksOfDepth(p *product) extent {
	all := c.depth()[0]
	return c.blocksOf(p, all.start, all.max, plan.C(p.blocksOfK()))
}

// blocksWithin gives the blocks of a step, counted from where the block of the kernel begins.
func (c *contraction) blocksWithin(p *product, part extent) extent {
	return c.blocksOf(p, part.start.Add(c.depth()[0].start.Scale(-1)), part.max, c.blocksOfDepth(p).n)
}

// scalesOfRows loads the scales of the tile's rows, for all of K that a block sums: a step's share of them would be a few bytes a row.
func (c *contraction) scalesOfRows(p *product) tile.View {
	k := axisPart{len(p.sa.Type.Shape) - 1, c.blocksOfDepth(p)}
	return c.b.operand(p.sa, c.side(p, axisM, p.inA), nil, []axisPart{k}, p.engine.A, c.once)
}

// scalesOfColumns does so for the tile's columns.
func (c *contraction) scalesOfColumns(p *product, group plan.Val) tile.View {
	var batch []axisPart
	if p.offset != nil {
		batch = []axisPart{{0, extent{group, plan.C(1), 1}}}
	}
	k := axisPart{len(p.sb.Type.Shape) - 1, c.blocksOfDepth(p)}
	return c.b.operand(p.sb, c.side(p, axisN, p.inB), batch, []axisPart{k}, p.engine.B, c.once)
}
