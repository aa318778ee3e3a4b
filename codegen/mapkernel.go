package codegen

import (
	"errors"
	"fmt"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// mapKernel compiles kernels of any mix of elementwise ops, movements, reductions, searches, scaling and gathers, in which every result
// has axes in front that all ops treat row by row (package passes, type space, finds them by the same rules). Tiles take a part of those
// axes and have the others whole, so these must fit on chip together with what is computed from them; if they do not, the error says by
// how much. What is only moved (results or parts of them that come from buffers by way of views, concat and pad) is
// not bound by that: it is streamed at any size. Results may differ in rank and shape.
//
// It never splits a reduction, a search or a sort over blocks.
func mapKernel(j *job) error {
	var before, after []sink
	for i := range j.results {
		b, a := j.sinks(i)
		before, after = append(before, b...), append(after, a...)
	}
	flops := j.flops()
	for _, list := range [][]sink{before, after} { // an update must find the whole of what it updates
		if len(list) == 0 {
			continue
		}
		if err := j.mapSinks(list, flops); err != nil {
			return err
		}
		flops = 0
	}
	return nil
}

// mapSinks adds the launches that fill sinks: one if they have an iteration in common, else one for each part of them that has.
func (j *job) mapSinks(list []sink, flops float64) error {
	var computed, moved []sink
	used := j.computedFrom(list)
	for _, s := range list {
		if s.v == nil || isLeaf(s.v) && !used[s.v] {
			moved = append(moved, s)
		} else {
			computed = append(computed, s)
		}
	}
	err := j.fit(func(tight float64) error { return j.mapLaunch(computed, moved, flops, tight) })
	if err == nil || len(computed)+min(len(moved), 1) < 2 || !errors.Is(err, errTight) && !errors.Is(err, errShape) {
		return err
	}
	for _, s := range computed {
		s := s
		if err := j.fit(func(tight float64) error { return j.mapLaunch([]sink{s}, nil, flops, tight) }); err != nil {
			return err
		}
		flops = 0
	}
	if len(moved) == 0 {
		return nil
	}
	return j.fit(func(tight float64) error { return j.mapLaunch(nil, moved, flops, tight) })
}

// errShape says that the results of a map kernel have no iteration in common.
var errShape = errors.New("its results share no iteration")

// computedFrom lists the values that the computed ones among the sinks need.
func (j *job) computedFrom(list []sink) map[*ir.Value]bool {
	used := map[*ir.Value]bool{}
	var visit func(v *ir.Value)
	visit = func(v *ir.Value) {
		if v.Def() == nil {
			return
		}
		for _, a := range v.Def().Args() {
			if !used[a] {
				used[a] = true
				if !isLeaf(a) {
					visit(a)
				}
			}
		}
	}
	for _, s := range list {
		if s.v != nil && !isLeaf(s.v) {
			visit(s.v)
		}
	}
	return used
}

// mapTiling is how a map launch is cut.
type mapTiling struct {
	ext   []int64 // of each outer axis
	tiles int64
	slots int
}

// mapLaunch adds one launch that computes some sinks tile by tile, and moves the data of others: the first blocks compute, those
// after move.
func (j *job) mapLaunch(computed, moved []sink, flops, tight float64) error {
	b := j.begin()
	grid := int64(0)
	if len(computed) > 0 {
		s := findSpace(sinkValues(computed), nil)
		if s == nil {
			return fmt.Errorf("kernel %s: %w", j.name(), errShape)
		}
		t, err := j.mapTiles(s, computed, tight)
		if err != nil {
			return err
		}
		cores := j.t.Cores()
		grid = min(t.tiles, cores)
		work := func() {
			b.LoopAhead(b.Div(plan.C(t.tiles+grid-1).Add(b.Block().Scale(-1)), grid), func(i plan.Val) {
				b.mapTile(s, t, b.Block().Add(i.Scale(grid)), computed)
			})
		}
		switch {
		case t.tiles <= cores && len(moved) == 0:
			b.mapTile(s, t, b.Block(), computed)
		case t.tiles <= cores:
			b.If(b.Less(b.Block(), plan.C(grid)), func() { b.mapTile(s, t, b.Block(), computed) })
		case len(moved) == 0:
			work()
		default:
			b.If(b.Less(b.Block(), plan.C(grid)), work)
		}
	}
	if len(moved) > 0 {
		m, err := b.newMover(moved, tight)
		if err != nil {
			return err
		}
		if len(computed) == 0 {
			if err := j.settled(m.budget); err != nil {
				return err
			}
		}
		grid = m.emit(grid)
	}
	if grid == 0 {
		return nil
	}
	return b.end(grid, flops)
}

func sinkValues(list []sink) []*ir.Value {
	var out []*ir.Value
	for _, s := range list {
		out = append(out, s.v)
	}
	return out
}

// mapTile emits the work on one tile of a map launch.
func (b *build) mapTile(s *space, t *mapTiling, number plan.Val, sinks []sink) {
	part := make([]extent, len(t.ext))
	d := newDigits(b.K, number, t.tiles)
	for c := len(t.ext) - 1; c >= 0; c-- {
		start := d.next(ceilDiv(max(s.outer[c], 1), t.ext[c])).Scale(t.ext[c])
		part[c] = extent{start, b.Rest(t.ext[c], plan.C(s.outer[c]), start), t.ext[c]}
	}
	e := b.newEval(s, part, t.slots)
	e.count(sinkValues(sinks)...)
	for i := range sinks {
		e.final[sinks[i].v] = true
	}
	for i := range sinks {
		e.store(&sinks[i], e.value(sinks[i].v))
		e.drop(sinks[i].v)
	}
}

// line is how many bytes of a row that is contiguous in global memory a tile should have at least: shorter rows waste the
// memory's units of transfer.
const line = 256

// mapTiles chooses how much of each outer axis one tile takes: some tiles for each core, so that loading, computing and storing overlap,
// but none too small to be worth its instructions, and none too large for the memory.
func (j *job) mapTiles(s *space, sinks []sink, tight float64) (*mapTiling, error) {
	// What one row of the outer axes occupies in the largest value, and how many such values there are at once, about.
	row, leaves := int64(1), int64(0)
	least := make([]int64, len(s.outer))
	most := append([]int64(nil), s.outer...)
	for i := range least {
		least[i], most[i] = 1, max(most[i], 1)
	}
	for _, v := range s.placed {
		n := int64(v.Type.Format.Bits())
		for i, d := range shapeOf(v) {
			if i+s.lead[v] >= len(s.outer) {
				n *= d
			}
		}
		row = max(row, ceilDiv(n, 8))
		if isLeaf(v) {
			leaves++
			w, _ := view.Of(v)
			s.atLeast(v, w.Size, w.Stride, least)
		}
	}
	for i := range sinks {
		s.atLeast(sinks[i].v, sinks[i].size, sinks[i].stride, least)
		if sinks[i].perRow() {
			if len(most) == 0 {
				return nil, fmt.Errorf("kernel %s: %w: an update with several starts is not row by row", j.name(), errShape)
			}
			most[0] = 1
		}
	}
	mem, _, err := j.t.VectorMem(vecFormat)
	if err != nil {
		return nil, err
	}
	total := numel(s.outer)
	have := float64(j.t.Memories[mem].Size) / tight / float64(row*(2*min(leaves, 4)+3))
	rows := max(ceilDiv(total, 4*j.t.Cores()), ceilDiv(4<<10, row))
	rows = max(min(rows, max(32<<10/row, 1), int64(have)), 1)
	t := &mapTiling{slots: 2}
	t.ext = chooseTile(s.outer, least, most, rows)
	t.tiles = 1
	for c, n := range s.outer {
		t.tiles *= ceilDiv(max(n, 1), t.ext[c])
	}
	if t.tiles <= j.t.Cores() || have < 1 { // one tile a core, or none to spare
		t.slots = 1
	}
	return t, j.settled(t.ext, t.slots)
}

// atLeast raises the smallest tile of the outer axis along which a value is contiguous in global memory.
func (s *space) atLeast(v *ir.Value, size, stride []int64, least []int64) {
	bits := int64(v.Type.Format.Bits())
	lead := s.lead[v]
	for i, n := range size {
		if c := i + lead; c >= 0 && c < len(least) && n > 1 && (stride[i] == 1 || stride[i] == -1) {
			if bits < 8 {
				least[c] = n
				continue
			}
			least[c] = max(least[c], min(n, line*8/bits))
		}
	}
}

// chooseTile chooses a tile of about rows elements of a space, from its last axis on, no less along an axis than least if it can be
// helped and no more than most. Tiles are even rather than the last one being ragged.
func chooseTile(size, least, most []int64, rows int64) []int64 {
	ext := make([]int64, len(size))
	for c := range size {
		ext[c] = max(min(least[c], size[c], most[c]), 1)
	}
	for prod(ext) > max(rows, 1) { // too much already: halve the largest
		big := 0
		for c := range ext {
			if ext[c] > ext[big] {
				big = c
			}
		}
		if ext[big] == 1 {
			break
		}
		ext[big] = ceilDiv(ext[big], 2)
	}
	for c := len(size) - 1; c >= 0; c-- {
		full := max(min(size[c], most[c]), 1)
		room := rows / (prod(ext) / ext[c])
		if room <= ext[c] {
			if ext[c] < full {
				break
			}
			continue
		}
		low := ext[c]
		ext[c] = min(room, full)
		if ext[c] < full {
			ext[c] = max(ceilDiv(size[c], ceilDiv(size[c], ext[c])), low, 1)
			break
		}
	}
	return ext
}

// store writes a tile of a sink's value to the result's buffer.
func (e *eval) store(s *sink, l *local) {
	size, dims := e.size(s.v)
	p := len(e.space.outer)
	at := plan.C(s.offset)
	stride := make([]int64, len(size))
	for i := range s.size {
		if i < p {
			if s.size[i] != 1 {
				stride[i] = s.stride[i]
				at = at.Add(e.part[i].start.Scale(s.stride[i]))
			}
		} else {
			stride[e.innerAxis(s.v, int64(i))] = s.stride[i]
		}
	}
	if s.update != nil {
		row := plan.C(0)
		if s.perRow() {
			row = e.part[0].start
		}
		at = at.Add(e.b.start(s.update, s.last, row).Scale(s.step))
	}
	g := e.b.global(e.b.result(s.result), s.v.Type.Format, at, size, stride)
	e.b.Transfer(stretch(l.v, size), 0, dims, e.slots, g)
}

// global is a view of a parameter by elements. Sub-byte formats are addressed by whole bytes.
func (b *build) global(param int, f format.Format, at plan.Val, size []plan.Val, stride []int64) tile.View {
	bits := int64(f.Bits())
	v := tile.View{Param: param, Format: f, Size: size, Stride: make([]int64, len(stride))}
	if bits >= 8 {
		v.Base = at.Scale(bits / 8)
		for i, s := range stride {
			v.Stride[i] = s * bits / 8
		}
		return v
	}
	whole := at.C*bits%8 == 0
	v.Base = plan.C(at.C * bits / 8)
	for _, t := range at.Terms {
		whole = whole && t.K*bits%8 == 0
		v.Base = v.Base.Add(plan.R(t.Reg).Scale(t.K * bits / 8))
	}
	for i, s := range stride {
		one := size[i].IsConst() && size[i].C == 1
		if i == len(stride)-1 {
			whole = whole && (s == 1 || one)
			continue
		}
		whole = whole && (s*bits%8 == 0 || one)
		v.Stride[i] = s * bits / 8
	}
	if !whole {
		b.Fail("%s: rows of %s that do not begin at whole bytes cannot be addressed: cast it first", b.What, f)
	}
	return v
}

// start is where an update begins, clamped to what fits; row is the index of axis 0, which counts where each has its own.
func (b *build) start(o *ir.Op, last int64, row plan.Val) plan.Val {
	b.What = o.Info.Name
	assume := plan.Assume{Index: plan.C(last), Mul: 1, Div: 1, Why: "the state is filled up to its last place"}
	return b.Min(b.Max(b.integer(o.Arg(2), row, assume), plan.C(0)), plan.C(last))
}

// integer gives the scalar unit a number that is a scalar, or element row of a list: a constant, from a buffer, or computed.
func (b *build) integer(v *ir.Value, row plan.Val, assume plan.Assume) plan.Val {
	if c, ok := scalar(v); ok {
		return plan.C(int64(c))
	}
	if isLeaf(v) {
		w, _ := view.Of(v)
		at := plan.C(w.Offset)
		if len(w.Stride) == 1 {
			at = at.Add(row.Scale(w.Stride[0]))
		}
		return b.LoadScalar(b.global(b.in(w.Source), v.Type.Format, at, tile.Consts(1), []int64{1}), assume)
	}
	s := trySpace([]*ir.Value{v}, nil, len(v.Type.Shape))
	if s == nil {
		s = trySpace([]*ir.Value{v}, nil, 0)
	}
	if s == nil {
		b.Fail("%s: a number that the scalar unit needs is computed in a way that a map kernel has not", b.What)
		return plan.C(0)
	}
	part := make([]extent, len(s.outer))
	for i := range part {
		part[i] = extent{row, plan.C(1), 1}
		if s.outer[i] == 1 {
			part[i].start = plan.C(0)
		}
	}
	e := b.newEval(s, part, 1)
	e.count(v)
	x := e.value(v).v
	if len(s.outer) == 0 && len(v.Type.Shape) == 1 && numel(shapeOf(v)) > 1 {
		x.Base = x.Base.Add(row.Scale(x.Stride[0]))
	}
	return b.LoadScalar(x, assume)
}
