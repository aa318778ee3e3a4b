package onnx

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func init() {
	register(Row{Op: "NonMaxSuppression", Since: 10, Lower: nonMaxSuppression, Doc: "Keeps boxes that overlap no better one; how many there are must be known."})
}

// maxBoxes bounds the comparison of each box with each other.
const maxBoxes = 1 << 13

func nonMaxSuppression(n *node) {
	boxes, scores := n.arg(0), n.arg(1) // [B,N,4], [B,C,N]
	if len(boxes.Type.Shape) != 3 || len(scores.Type.Shape) != 3 || !boxes.Type.Shape[2].Equal(shape.Const(4)) || !boxes.Type.Shape[1].Equal(scores.Type.Shape[2]) {
		n.fail("the boxes are %s and the scores %s, expected [B,N,4] and [B,C,N]", boxes.Type, scores.Type)
	}
	batch, classes, count := n.size(scores.Type.Shape[0], "the batch"), n.size(scores.Type.Shape[1], "the number of classes"), n.size(scores.Type.Shape[2], "the number of boxes")
	if count > maxBoxes {
		failf(CodeLimit, "%d boxes, more than %d", count, maxBoxes)
	}
	empty := func() { n.set(0, n.full(format.I64, dims(0, 3), 0)) }
	if !n.has(2) || batch*classes*count == 0 {
		empty()
		return
	}
	most := n.cast(n.reshape(n.arg(2), dims()), format.I32)
	f := scores.Type.Format
	limit := n.scalar(f, 0)
	if n.has(3) {
		limit = n.cast(n.reshape(n.arg(3), dims()), f)
	}
	sorted := n.emit(op.TopK, ir.A("k", shape.Const(count)), scores)
	best, order := sorted[0], sorted[1] // [B,C,N]
	live := n.full(format.Bool, dims(batch, classes, count), 1)
	if n.has(4) {
		live = n.gt(best, n.cast(n.reshape(n.arg(4), dims()), f))
	}
	overlap := n.overlaps(n.cast(boxes, f)) // [B,N,N]
	hits := n.gt(overlap, limit)
	// Rank by rank: a box stays if it is wanted and no better one that stayed overlaps it.
	wide := n.cast(hits, format.F32)
	kept := n.rounds(shape.Const(count), []*ir.Value{n.full(format.F32, dims(batch, classes, count), 0), n.full(format.Bool, dims(batch, classes, count), 0)},
		func(r *ir.Value, c []*ir.Value) []*ir.Value {
			taken, stays := c[0], c[1] // by box as f32, by rank
			box := n.at(order, r, 2)   // [B,C]
			// Which boxes this one overlaps, [B,C,N].
			rows := n.do(op.GatherElements, ir.A("axis", 1), wide, n.broadcast(n.unsqueeze(box, 2), dims(batch, classes, count)))
			clash := n.gt(n.reduce("max", n.mul(rows, taken), false, 2), n.scalar(format.F32, 0))
			soFar := n.reduce("sum", taken, false, 2)
			stay := n.and(n.at(live, r, 2), n.and(n.not(clash), n.lt(soFar, n.cast(most, format.F32))))
			mine := n.eq(n.iota(format.I32, dims(1, 1, count), 2), n.unsqueeze(box, 2))
			taken = n.add(taken, n.cast(n.and(mine, n.unsqueeze(stay, 2)), format.F32))
			return []*ir.Value{taken, n.put(stays, stay, r, 2)}
		})[1]
	at := n.places(n.reshape(kept, dims(batch*classes*count)), "the number of boxes that are kept")
	size := func(k int64) *ir.Value { return n.scalar(format.I32, float64(k)) }
	found := at.Type.Shape[0]
	column := func(v *ir.Value) *ir.Value {
		return n.reshape(n.cast(v, format.I64), shape.Shape{found, shape.Const(1)})
	}
	flat := n.div(at, size(count))
	n.set(0, n.concat(1,
		column(n.div(flat, size(classes))),
		column(n.do(op.Rem, nil, flat, size(classes))),
		column(n.gather(n.reshape(order, dims(batch*classes*count)), at, 0))))
}

// overlaps gives for each two boxes of [B,N,4] the part of their union that both cover, [B,N,N].
func (n *node) overlaps(boxes *ir.Value) *ir.Value {
	part := func(i int64) *ir.Value { return n.cut(boxes, 2, i, i+1) } // [B,N,1]
	var lo, hi [2]*ir.Value
	if n.attrInt("center_point_box", 0) != 0 { // x, y, width, height
		for a := range 2 {
			half := n.divc(part(int64(2+a)), 2)
			lo[a], hi[a] = n.sub(part(int64(a)), half), n.add(part(int64(a)), half)
		}
	} else { // y1, x1, y2, x2 of any two opposite corners
		for a := range 2 {
			p, q := part(int64(a)), part(int64(2+a))
			lo[a], hi[a] = n.min(p, q), n.max(p, q)
		}
	}
	row := func(v *ir.Value) *ir.Value { return n.transpose(v, 0, 2, 1) }
	var both *ir.Value
	area := n.mul(n.sub(hi[0], lo[0]), n.sub(hi[1], lo[1]))
	for a := range 2 {
		side := n.maxc(n.sub(n.min(hi[a], row(hi[a])), n.max(lo[a], row(lo[a]))), 0)
		if both == nil {
			both = side
		} else {
			both = n.mul(both, side)
		}
	}
	union := n.sub(n.add(area, row(area)), both)
	none := n.le(union, n.like(union, 0))
	return n.sel(none, n.like(union, 0), n.div(both, n.sel(none, n.like(union, 1), union)))
}
