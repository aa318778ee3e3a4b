package codegen

import (
	"fmt"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/view"
)

// space is the iteration that the values of a map kernel share. Axes of different values that must be cut alike are one class: those
// of an elementwise op and its operands, of a reduction and what it keeps, of a reshape as far as it regroups whole runs, of scales and the
// blocks they stand for. A class that some op works along (a reduced axis, one that is sorted, scanned, sliced, joined) is
// whole: a tile has all of it. So is one that some result lacks, since its tiles would be stored again and again.
type space struct {
	classes []class               // that can be cut, in the order of the first result's axes
	at      map[*ir.Value][]coord // of each axis of each value
	placed  []*ir.Value           // the values, in the order they were met
}

// class is an axis of the iteration. It counts elements of the axis that has the most; an axis of which an index stands for several of
// them has a weight. Cuts are at multiples of unit, which all weights divide.
type class struct{ size, unit int64 }

// coord says where an axis of a value is in the iteration: in class number class with a weight, or whole (-1).
type coord struct {
	class  int
	weight int64
}

// isLeaf reports whether tiles of the value come from a buffer: it is a parameter of the region, or strides over one.
func isLeaf(v *ir.Value) bool {
	w, ok := view.Of(v)
	return ok && w.Source.Def() == nil
}

// newSpace finds the iteration of some results. Values in fixed are taken as given (their producers are not looked into). An op that
// has no place in a map kernel is an error.
func newSpace(results []*ir.Value, fixed map[*ir.Value]bool) (*space, error) {
	b := &spacer{space: &space{at: map[*ir.Value][]coord{}}, first: map[*ir.Value]int{}, fixed: fixed}
	for _, r := range results {
		if err := b.visit(r); err != nil {
			return nil, err
		}
	}
	b.settle(results)
	return b.space, nil
}

// spacer builds a space: its nodes are the axes of the values, joined into groups.
type spacer struct {
	*space
	fixed map[*ir.Value]bool
	first map[*ir.Value]int // the node of a value's axis 0
	nodes []spaceNode
}

type spaceNode struct {
	size   int64
	group  *spaceGroup
	weight int64
}

type spaceGroup struct {
	members []int
	whole   bool
}

func (b *spacer) node(v *ir.Value, axis int) int { return b.first[v] + axis }

// visit adds a value and all that it is computed from.
func (b *spacer) visit(v *ir.Value) error {
	if _, ok := b.first[v]; ok {
		return nil
	}
	b.first[v] = len(b.nodes)
	b.placed = append(b.placed, v)
	shape := shapeOf(v)
	for i, n := range shape {
		g := &spaceGroup{members: []int{len(b.nodes)}}
		b.nodes = append(b.nodes, spaceNode{n, g, 1})
		// Rows narrower than bytes are moved as a whole.
		g.whole = v.Type.Format.Bits() < 8 && i == len(shape)-1
	}
	if b.fixed[v] || isLeaf(v) {
		return nil
	}
	o := v.Def()
	if o == nil {
		return nil
	}
	for i := 0; i < o.NumArgs(); i++ {
		if o.Is(op.Gather) && i == 0 {
			if !isLeaf(o.Arg(0)) {
				return fmt.Errorf("gather takes rows of a buffer")
			}
			continue
		}
		if err := b.visit(o.Arg(i)); err != nil {
			return err
		}
	}
	for _, r := range o.Results() { // results that are computed together are cut alike
		if r != v {
			if err := b.visit(r); err != nil {
				return err
			}
		}
	}
	return b.relate(o, v)
}

// relate joins the axes of an op's operands and one of its results.
func (b *spacer) relate(o *ir.Op, v *ir.Value) error {
	rank := len(v.Type.Shape)
	all := func(x *ir.Value, but map[int]bool) { // axis by axis
		for i := range x.Type.Shape {
			if but[i] {
				b.whole(x, i)
				if i < rank {
					b.whole(v, i)
				}
			} else {
				b.tie(x, i, 1, v, i, 1)
			}
		}
	}
	along := func(axes ...int64) map[int]bool {
		m := map[int]bool{}
		for _, a := range axes {
			m[axisOf(a, rank)] = true
		}
		return m
	}
	trailing := func(x *ir.Value) { // as broadcasting aligns them
		d := rank - len(x.Type.Shape)
		for i := range x.Type.Shape {
			b.tie(x, i, 1, v, i+d, 1)
		}
	}
	switch o.Info {
	case op.Constant:
		if numel(shapeOf(v)) != 1 {
			return fmt.Errorf("a constant of several elements is no part of a kernel")
		}
	case op.Iota, op.DimValue:
	case op.Reduce, op.ArgMax:
		x := o.Arg(0)
		axes := o.Attrs.Ints("axes")
		keep := o.Attrs.Bool("keep", false)
		if o.Is(op.ArgMax) {
			axes = []int64{o.Attrs.Int("axis", -1)}
		}
		gone := map[int]bool{}
		for _, a := range axes {
			gone[axisOf(a, len(x.Type.Shape))] = true
		}
		j := 0
		for i := range x.Type.Shape {
			switch {
			case gone[i]:
				b.whole(x, i)
				if keep {
					j++
				}
			default:
				b.tie(x, i, 1, v, j, 1)
				j++
			}
		}
	case op.TopK:
		all(o.Arg(0), along(-1))
	case op.Cumsum:
		all(o.Arg(0), along(o.Attrs.Int("axis", 0)))
	case op.Slice, op.Concat:
		for _, x := range o.Args() {
			all(x, along(o.Attrs.Int("axis", 0)))
		}
	case op.Reverse:
		all(o.Arg(0), along(o.Attrs.Ints("axes")...))
	case op.Pad:
		but := map[int]bool{}
		lo, hi := o.Attrs.Ints("low"), o.Attrs.Ints("high")
		for i := range lo {
			but[i] = lo[i]+hi[i] > 0
		}
		all(o.Arg(0), but)
	case op.GatherElements:
		but := along(o.Attrs.Int("axis", -1))
		all(o.Arg(0), but)
		all(o.Arg(1), but)
	case op.ScatterElements:
		but := along(o.Attrs.Int("axis", -1))
		all(o.Arg(0), but)
		all(o.Arg(1), but)
		if len(o.Arg(2).Type.Shape) > 0 {
			all(o.Arg(2), but)
		}
	case op.Window:
		ax := axisOf(o.Attrs.Int("axis", 0), len(o.Arg(0).Type.Shape))
		for i := range o.Arg(0).Type.Shape {
			switch {
			case i < ax:
				b.tie(o.Arg(0), i, 1, v, i, 1)
			case i > ax:
				b.tie(o.Arg(0), i, 1, v, i+1, 1)
			default:
				b.whole(o.Arg(0), i)
				b.whole(v, i)
				b.whole(v, i+1)
			}
		}
	case op.Transpose:
		for i, a := range o.Attrs.Ints("perm") {
			b.tie(o.Arg(0), int(a), 1, v, i, 1)
		}
	case op.Reshape:
		b.regroup(o.Arg(0), v)
	case op.Gather:
		ax := axisOf(o.Attrs.Int("axis", 0), len(o.Arg(0).Type.Shape))
		for i := range o.Arg(1).Type.Shape {
			b.tie(o.Arg(1), i, 1, v, ax+i, 1)
		}
	case op.Quantize, op.Dequantize:
		b.scales(o)
	default:
		if o.Info.Class != op.Elementwise && o.Info != op.Broadcast {
			return fmt.Errorf("%s cannot be part of a map kernel", o.Info.Name)
		}
		for _, x := range o.Args() {
			trailing(x)
		}
	}
	return nil
}

// scales relates codes, their values and the scales of their blocks.
func (b *spacer) scales(o *ir.Op) {
	x, y := o.Arg(0), o.Result(0)
	s := o.Result(len(o.Results()) - 1)
	if o.Is(op.Dequantize) {
		s = o.Arg(1)
	}
	block := o.Attrs.Ints("block")
	shape := shapeOf(x)
	for i, n := range shape {
		b.tie(x, i, 1, y, i, 1)
		g := int64(1)
		if k := i - (len(shape) - len(block)); k >= 0 {
			g = block[k]
		}
		if n%g != 0 { // a ragged last block
			b.whole(x, i)
			b.whole(s, i)
			continue
		}
		b.tie(x, i, 1, s, i, g)
	}
}

// regroup relates the axes of a reshape: where a run of axes becomes another run, the first of both are cut together, as often as
// that makes whole indices of either, and the others are whole.
func (b *spacer) regroup(x, y *ir.Value) {
	xs, ys := shapeOf(x), shapeOf(y)
	if numel(xs) == 0 {
		for i := range xs {
			b.whole(x, i)
		}
		for i := range ys {
			b.whole(y, i)
		}
		return
	}
	for i, j := 0, 0; ; {
		for i < len(xs) && xs[i] == 1 {
			i++
		}
		for j < len(ys) && ys[j] == 1 {
			j++
		}
		if i == len(xs) || j == len(ys) {
			return
		}
		i2, j2 := i+1, j+1
		for n, m := xs[i], ys[j]; n != m; {
			if n < m {
				n *= xs[i2]
				i2++
			} else {
				m *= ys[j2]
				j2++
			}
		}
		inner, outer := numel(xs[i+1:i2]), numel(ys[j+1:j2])
		b.tie(x, i, inner, y, j, outer)
		for k := i + 1; k < i2; k++ {
			b.whole(x, k)
		}
		for k := j + 1; k < j2; k++ {
			b.whole(y, k)
		}
		i, j = i2, j2
	}
}

func (b *spacer) whole(v *ir.Value, axis int) { b.nodes[b.node(v, axis)].group.whole = true }

// tie joins two axes of which one index stands for rx and ry elements of something. Axes of one element are repeated, not tied.
func (b *spacer) tie(x *ir.Value, i int, rx int64, y *ir.Value, j int, ry int64) {
	p, q := &b.nodes[b.node(x, i)], &b.nodes[b.node(y, j)]
	if p.size*rx == 1 || q.size*ry == 1 || p.size == 1 && q.size != 1 && rx == ry || q.size == 1 && p.size != 1 && rx == ry {
		return
	}
	if p.size*rx != q.size*ry {
		p.group.whole, q.group.whole = true, true
		return
	}
	// p's weight to q's as rx to ry.
	num, den := rx*q.weight, ry*p.weight
	d := gcd(num, den)
	num, den = num/d, den/d
	if p.group == q.group {
		p.group.whole = p.group.whole || num != den
		return
	}
	g, h := p.group, q.group
	for _, m := range g.members {
		b.nodes[m].weight *= num
	}
	for _, m := range h.members {
		b.nodes[m].weight *= den
		b.nodes[m].group = g
	}
	g.members = append(g.members, h.members...)
	g.whole = g.whole || h.whole
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, 1)
}

// settle decides which groups can be cut and numbers them.
func (b *spacer) settle(results []*ir.Value) {
	has := func(v *ir.Value, g *spaceGroup) (n int) {
		for i := range v.Type.Shape {
			if b.nodes[b.node(v, i)].group == g {
				n++
			}
		}
		return n
	}
	number := map[*spaceGroup]int{}
	add := func(g *spaceGroup) {
		if _, done := number[g]; done {
			return
		}
		number[g] = -1
		if g.whole {
			return
		}
		for _, r := range results {
			if has(r, g) != 1 {
				return
			}
		}
		for _, v := range b.placed {
			if has(v, g) > 1 {
				return
			}
		}
		base, unit := int64(0), int64(1)
		for _, m := range g.members {
			base = gcd(base, b.nodes[m].weight)
		}
		for _, m := range g.members {
			n := &b.nodes[m]
			n.weight /= base
			unit = unit / gcd(unit, n.weight) * n.weight
		}
		first := &b.nodes[g.members[0]]
		if size := first.size * first.weight; size > unit {
			number[g] = len(b.classes)
			b.classes = append(b.classes, class{size, unit})
		}
	}
	for _, r := range results {
		for i := range r.Type.Shape {
			add(b.nodes[b.node(r, i)].group)
		}
	}
	for _, v := range b.placed {
		at := make([]coord, len(v.Type.Shape))
		for i := range at {
			n := &b.nodes[b.node(v, i)]
			at[i] = coord{-1, 1}
			if c, ok := number[n.group]; ok && c >= 0 {
				at[i] = coord{c, n.weight}
			}
		}
		b.at[v] = at
	}
}

// parts turns the parts of a value's axes into those of the classes: the value is one that others were computed from, such as a
// product. An error says that some axis cannot be cut as given.
func (s *space) parts(b *build, v *ir.Value, ext []extent) ([]extent, error) {
	out := make([]extent, len(s.classes))
	set := make([]bool, len(s.classes))
	for i, n := range shapeOf(v) {
		c := s.at[v][i]
		if c.class < 0 {
			if ext[i].max < n {
				return nil, fmt.Errorf("axis %d of %s is worked along as a whole, but too long for one tile", i, v.Type)
			}
			continue
		}
		if step := s.step(v, i); ext[i].max < n && ext[i].max%step != 0 {
			return nil, fmt.Errorf("axis %d of %s is cut in tiles of %d, and has to be in multiples of %d", i, v.Type, ext[i].max, step)
		}
		out[c.class] = extent{ext[i].start.Scale(c.weight), ext[i].n.Scale(c.weight), ext[i].max * c.weight}
		set[c.class] = true
	}
	for k := range set {
		if !set[k] {
			return nil, fmt.Errorf("results have an axis that %s has not", v.Type)
		}
	}
	return out, nil
}

// step is what the size of a tile along an axis of a value must be a multiple of.
func (s *space) step(v *ir.Value, axis int) int64 {
	c := s.at[v][axis]
	if c.class < 0 {
		return shapeOf(v)[axis]
	}
	return max(s.classes[c.class].unit/c.weight, 1)
}
