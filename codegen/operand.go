package codegen

import (
	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// axisPart is the part of one axis of an operand that a tile takes; axis -1 is one that the operand lacks.
type axisPart struct {
	axis int
	extent
}

// side lists the axes of an operand that are rows (of a) or columns (of b) of the tile, or its batch axes.
func (c *contraction) side(p *product, kind axisKind, at []int) []axisPart {
	var out []axisPart
	for _, i := range p.axes(kind) {
		out = append(out, axisPart{at[i], c.part[i]})
	}
	return out
}

func sumParts(axes []int, parts []extent) []axisPart {
	var out []axisPart
	for i, a := range axes {
		out = append(out, axisPart{a, parts[i]})
	}
	return out
}

// left loads a tile of a product's left operand as [rows, K].
func (c *contraction) left(p *product, parts []extent, slots int) tile.View {
	return c.b.operand(p.a, c.side(p, axisM, p.inA), c.side(p, axisBatch, p.inA), sumParts(p.kA, parts), p.engine.A, slots)
}

// right loads a tile of a product's right operand as [columns, K].
func (c *contraction) right(p *product, parts []extent, group plan.Val) tile.View {
	batch := c.side(p, axisBatch, p.inB)
	if p.offset != nil {
		batch = append(batch, axisPart{0, extent{group, plan.C(1), 1}})
	}
	return c.b.operand(p.b, c.side(p, axisN, p.inB), batch, sumParts(p.kB, parts), p.engine.B, c.slots)
}

// operand brings a tile of an operand towards a matrix memory as [rows, columns], rows and cols being the axes that make them up: into
// the first memory on the way there. The layout follows the source's: its contiguous axis stays the contiguous one.
func (b *build) operand(v *ir.Value, rows, batch, cols []axisPart, mem string, slots int) tile.View {
	n := len(v.Type.Shape)
	ext := make([]extent, n)
	for i := range ext {
		ext[i] = extent{plan.C(0), plan.C(1), 1}
	}
	for _, ps := range [][]axisPart{rows, batch, cols} {
		for _, p := range ps {
			if p.axis >= 0 {
				ext[p.axis] = p.extent
			}
		}
	}
	near := b.T.Route(0, b.T.Mem(mem))[0]
	f := v.Type.Format
	var at plan.Val
	var stride []int64 // elements
	var src tile.View  // when computed
	leaf := isLeaf(v)
	if leaf {
		w, _ := view.Of(v)
		stride = w.Stride
		at = plan.C(w.Offset)
		for i := range ext {
			at = at.Add(ext[i].start.Scale(w.Stride[i]))
		}
		src.Param = b.in(w.Source)
	} else {
		src = b.computed(v, ext, slots)
		for _, s := range src.Stride {
			stride = append(stride, s*8/int64(f.Bits()))
		}
	}
	step := func(p axisPart) int64 {
		if p.axis < 0 {
			return 0
		}
		return stride[p.axis]
	}
	// Rows are the contiguous side if more of their elements follow one another than of the columns'. Both do so in windows.
	run := func(ps []axisPart) int64 {
		n := int64(1)
		for i := len(ps) - 1; i >= 0; i-- {
			if ps[i].max == 1 {
				continue
			}
			if step(ps[i]) != n {
				break
			}
			n *= ps[i].max
		}
		return n
	}
	swap := run(rows) > run(cols)
	first, second := rows, cols
	if swap {
		first, second = cols, rows
	}
	var dims []int64
	var size []plan.Val
	var strides []int64
	for _, ps := range [][]axisPart{batch, first, second} {
		for _, p := range ps {
			if p.max == 1 && p.n.IsConst() {
				continue
			}
			dims, size, strides = append(dims, p.max), append(size, p.n), append(strides, step(p))
		}
	}
	if len(dims) == 0 {
		dims, size, strides = []int64{1}, tile.Consts(1), []int64{1}
	}
	lay := src
	if leaf {
		lay = b.global(src.Param, f, at, size, strides)
		if f.Bits() < 8 && swap {
			b.Fail("%s: a %s operand needs its summed axis contiguous", b.What, f)
		}
	} else {
		lay.Size, lay.Stride = size, make([]int64, len(strides))
		for i, s := range strides {
			lay.Stride[i] = s * int64(f.Bits()) / 8
		}
	}
	if !leaf && lay.Mem() == near {
		slots = 1
	}
	dst := lay
	if leaf || lay.Mem() != near || repeats(lay) {
		dst = b.Transfer(lay, near, dims, slots, tile.View{})
		if dst.Buf == lay.Buf && lay.Mem() == near { // no path from a memory to itself: it has to be copied
			dst = b.copyDense(lay, dims)
		}
	} else if !dense(lay, dims) {
		dst = b.copyDense(lay, dims)
	}
	// The tile is dense: fold its axes into two.
	out := dst
	width := int64(1)
	for _, p := range second {
		width *= p.max
	}
	bits := int64(f.Bits())
	row := width * bits / 8
	if bits < 8 {
		row = (width*bits + 7) / 8
	}
	out.Size = []plan.Val{fold(first), fold(second)}
	out.Stride = []int64{row, bits / 8}
	if swap {
		out.Size[0], out.Size[1] = out.Size[1], out.Size[0]
		out.Stride[0], out.Stride[1] = out.Stride[1], out.Stride[0]
	}
	return out
}

func fold(ps []axisPart) plan.Val {
	var ext []extent
	for _, p := range ps {
		ext = append(ext, p.extent)
	}
	return product1(ext)
}

// copyDense copies a tile of the vector memory into a dense one.
func (b *build) copyDense(v tile.View, dims []int64) tile.View {
	mem, queue, err := b.T.VectorMem(vecFormat)
	if err != nil || v.Mem() != mem {
		b.Fail("%s: a tile in %s cannot be copied in place", b.What, b.T.Memories[v.Mem()].Name)
		return v
	}
	out := b.New("dense", mem, v.Format, dims, v.Size, 1)
	b.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, out, v, tile.View{}, tile.View{})
	return out
}

// computed evaluates a tile of an operand that is no plain view of a buffer, such as a cast of one, and leaves it in the vector
// memory, with one axis for each of the operand's.
func (b *build) computed(v *ir.Value, ext []extent, slots int) tile.View {
	s, err := newSpace([]*ir.Value{v}, nil)
	var part []extent
	if err == nil {
		part, err = s.parts(b, v, ext)
	}
	if err != nil {
		b.Fail("an operand of a product: %v", err)
		n := len(v.Type.Shape)
		return tile.View{Format: v.Type.Format, Size: make([]plan.Val, n), Stride: make([]int64, n)}
	}
	e := b.newEval(s, part, slots)
	e.count(v)
	e.final[v] = true
	l := e.value(v)
	if l.buf == nil || repeats(l.v) {
		l = e.dense(l, v.Type.Format)
	}
	return l.v
}
