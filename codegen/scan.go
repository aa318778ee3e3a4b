package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// scanLaunch adds the launch of a running sum over rows too long for a core's memory: a block takes some rows and walks them chunk by
// chunk, carrying the sum so far. It serves a cumsum of a buffer that stands alone; s is where its result goes.
func (j *job) scanLaunch(s sink, flops, tight float64) error {
	o := s.v.Def()
	b := j.begin()
	b.What = o.Info.Name
	mem, queue, err := j.t.VectorMem(vecFormat)
	if err != nil {
		return err
	}
	ax := axisOf(o.Attrs.Int("axis", 0), len(s.size))
	reverse, exclusive := o.Attrs.Bool("reverse", false), o.Attrs.Bool("exclusive", false)
	f := s.v.Type.Format
	w, _ := view.Of(o.Arg(0))
	// Rows and the chunk of a tile.
	n := s.size[ax]
	least, most := make([]int64, len(s.size)), append([]int64(nil), s.size...)
	for i := range least {
		least[i], most[i] = 1, max(most[i], 1)
	}
	room := max(int64(float64(j.t.Memories[mem].Size)/tight)*8/bits(s.v)/6, 1)
	most[ax] = 1
	rows := chooseTile(s.size, least, most, min(ceilDiv(numel(s.size)/max(n, 1), j.t.Cores()), room))
	most[ax] = max(room/prod(rows), 1)
	chunk := min(n, most[ax])
	if err := j.settled(rows, chunk); err != nil {
		return err
	}
	tiles := int64(1)
	for i := range rows {
		if i != ax {
			tiles *= ceilDiv(s.size[i], rows[i])
		}
	}
	d := newDigits(b.K, b.Block(), tiles)
	from, to := plan.C(w.Offset), plan.C(s.offset)
	size := make([]plan.Val, len(rows))
	dims := append([]int64(nil), rows...)
	for i := len(rows) - 1; i >= 0; i-- {
		if i == ax {
			continue
		}
		start := d.next(ceilDiv(s.size[i], rows[i])).Scale(rows[i])
		size[i] = b.Rest(rows[i], plan.C(s.size[i]), start)
		from, to = from.Add(start.Scale(w.Stride[i])), to.Add(start.Scale(s.stride[i]))
	}
	dims[ax] = 1
	size[ax] = plan.C(1)
	carry := b.New("carry", mem, f, dims, append([]plan.Val(nil), size...), 1)
	none := tile.View{}
	kind := o.Attrs.Str("kind", "sum")
	fn := reduceFns[kind]
	b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Imm: neutral(kind, f)}, carry, none, none, none)
	dims[ax] = chunk
	b.TilesAhead(plan.C(n), chunk, func(start, m plan.Val) {
		if reverse { // chunks from the end, and each from its end
			start = plan.C(n).Add(start.Scale(-1)).Add(m.Scale(-1))
		}
		part := append([]plan.Val(nil), size...)
		part[ax] = m
		src := b.New("x", mem, f, dims, part, 2)
		b.Transfer(b.global(b.in(w.Source), f, from.Add(start.Scale(w.Stride[ax])), part, w.Stride), mem, dims, 2, src)
		dst := b.New("y", mem, f, dims, part, 2)
		in, out := src, dst
		if reverse {
			in, out = backwards(src, ax), backwards(dst, ax)
		}
		i := plan.Instr{Op: plan.VScan, Fn: fn}
		if exclusive {
			i.Imm = 1
		}
		b.Vec(queue, i, lastView(out, ax), lastView(in, ax), lastView(carry, ax), none)
		last := func(v tile.View) tile.View { return v.Slice(ax, m.AddC(-1), plan.C(1)) }
		if exclusive {
			b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: fn}, carry, last(out), last(in), none)
		} else {
			b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, carry, last(out), none, none)
		}
		b.Transfer(dst, 0, dims, 2, b.global(b.result(s.result), f, to.Add(start.Scale(s.stride[ax])), part, s.stride))
	})
	return b.end(tiles, flops)
}

// scans reports whether a sink can be served by scanLaunch.
func (s *sink) scans() bool {
	return s.v != nil && s.v.DefIs(op.Cumsum) && isLeaf(s.v.Def().Arg(0)) && s.update == nil && bits(s.v) >= 8
}
