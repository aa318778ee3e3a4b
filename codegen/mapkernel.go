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

// mapKernel compiles kernels of any mix of elementwise ops, movements, reductions, searches, scaling and gathers. Axes that no op works
// along and all results have are cut in tiles (see space); the others a tile has whole, so these must fit on chip together
// with what is computed from them; if they do not, the error says by how much. What is only moved (results or parts of them that
// come from buffers by way of views, concat and pad) is not bound by that: it is streamed at any size, and so is a running sum that stands
// alone. Results may differ in rank and shape; those with no iteration in common take a launch each.
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
	if errors.Is(err, errTight) && len(computed) == 1 && computed[0].scans() {
		if err := j.fit(func(tight float64) error { return j.scanLaunch(computed[0], flops, tight) }); err != nil {
			return err
		}
		computed, err = nil, nil
		if len(moved) > 0 {
			err = j.fit(func(tight float64) error { return j.mapLaunch(nil, moved, 0, tight) })
		}
		return err
	}
	if err == nil || len(computed)+min(len(moved), 1) < 2 || !errors.Is(err, errTight) {
		return err
	}
	for _, s := range computed {
		if err := j.mapSinks([]sink{s}, flops); err != nil {
			return err
		}
		flops = 0
	}
	if len(moved) == 0 {
		return nil
	}
	return j.fit(func(tight float64) error { return j.mapLaunch(nil, moved, flops, tight) })
}

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
	ext   []int64 // of each class of axes
	tiles int64
	slots int
}

// mapLaunch adds one launch that computes some sinks tile by tile, and moves the data of others: the first blocks compute, those
// after move.
func (j *job) mapLaunch(computed, moved []sink, flops, tight float64) error {
	b := j.begin()
	grid := int64(0)
	if len(computed) > 0 {
		s, err := newSpace(sinkValues(computed), nil)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", j.name(), err)
		}
		t, err := j.mapTiles(s, computed, tight)
		if err != nil {
			return err
		}
		cores := j.t.Cores()
		grid = min(t.tiles, cores)
		work := func(block plan.Val) {
			if t.tiles <= cores {
				b.mapTile(s, t, block, computed)
				return
			}
			b.LoopAhead(b.Div(plan.C(t.tiles+grid-1).Add(block.Scale(-1)), grid), func(i plan.Val) {
				b.mapTile(s, t, block.Add(i.Scale(grid)), computed)
			})
		}
		if len(moved) == 0 {
			work(b.Block())
		} else { // bounded, so that it shows from the number alone that nothing is reached outside
			b.If(b.Less(b.Block(), plan.C(grid)), func() { work(b.Min(b.Block(), plan.C(grid-1))) })
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
		n := s.classes[c].size
		start := d.next(ceilDiv(n, t.ext[c])).Scale(t.ext[c])
		part[c] = extent{start, b.Rest(t.ext[c], plan.C(n), start), t.ext[c]}
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

// mapTiles chooses how much of each class one tile takes: some tiles for each core, so that loading, computing and storing overlap,
// but none too small to be worth its instructions, and none too large for the memory.
func (j *job) mapTiles(s *space, sinks []sink, tight float64) (*mapTiling, error) {
	// Sizes are counted in units of the classes, so that every number of them is a cut.
	n := len(s.classes)
	size, least := make([]int64, n), make([]int64, n)
	for c, x := range s.classes {
		size[c], least[c] = ceilDiv(x.size, x.unit), 1
	}
	// What one unit of all classes occupies in the largest value, and how many such values there are at once, about.
	row, leaves := 1.0, int64(0)
	for _, v := range s.placed {
		bytes := float64(bits(v)) / 8
		for i, d := range shapeOf(v) {
			if c := s.at[v][i]; c.class < 0 {
				bytes *= float64(d)
			} else {
				bytes *= float64(s.classes[c.class].unit / c.weight)
			}
		}
		row = max(row, bytes)
		if isLeaf(v) {
			leaves++
			w, _ := view.Of(v)
			s.atLeast(v, w.Size, w.Stride, least)
		}
	}
	for i := range sinks {
		s.atLeast(sinks[i].v, sinks[i].size, sinks[i].stride, least)
	}
	mem, _, err := j.t.VectorMem(vecFormat)
	if err != nil {
		return nil, err
	}
	total := numel(size)
	have := float64(j.t.Memories[mem].Size) / tight / (row * float64(2*min(leaves, 4)+3))
	rows := max(ceilDiv(total, 4*j.t.Cores()), int64(4096/row))
	rows = max(min(rows, max(int64(32768/row), 1), int64(have)), 1)
	t := &mapTiling{slots: 2, ext: chooseTile(size, least, size, rows), tiles: 1}
	for c, x := range s.classes {
		t.tiles *= ceilDiv(size[c], t.ext[c])
		t.ext[c] = min(t.ext[c]*x.unit, x.size)
	}
	if t.tiles <= j.t.Cores() || have < 1 { // one tile a core, or none to spare
		t.slots = 1
	}
	return t, j.settled(t.ext, t.slots)
}

// atLeast raises the smallest tile of the class along which a value is contiguous in global memory.
func (s *space) atLeast(v *ir.Value, size, stride []int64, least []int64) {
	for i, n := range size {
		c := s.at[v][i]
		if c.class < 0 || n < 2 || abs(stride[i]) != 1 {
			continue
		}
		least[c.class] = max(least[c.class], min(n, line*8/bits(v))*c.weight/s.classes[c.class].unit)
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
	at := plan.C(s.offset)
	stride := make([]int64, len(size))
	for i, n := range s.size {
		if n != 1 {
			stride[i] = s.stride[i]
			at = at.Add(e.start(s.v, i).Scale(s.stride[i]))
		}
	}
	f := s.v.Type.Format
	put := func(src tile.View, at plan.Val, size []plan.Val, stride, dims []int64) {
		e.b.Transfer(src, 0, dims, e.slots, e.b.global(e.b.result(s.result), f, at, size, stride))
	}
	src := stretch(l.v, size)
	switch {
	case s.update == nil:
		put(src, at, size, stride, dims)
	case s.perRow(): // one start for each index of axis 0
		e.b.Loop(size[0], func(i plan.Val) {
			start := e.b.start(s.update, s.last, e.start(s.v, 0).Add(i))
			put(dropAxis(src, i), at.Add(i.Scale(stride[0])).Add(start.Scale(s.step)), size[1:], stride[1:], dims[1:])
		})
	default:
		put(src, at.Add(e.b.start(s.update, s.last, plan.C(0)).Scale(s.step)), size, stride, dims)
	}
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
	s, err := newSpace([]*ir.Value{v}, nil)
	if err != nil {
		b.Fail("%s: a number that the scalar unit needs: %v", b.What, err)
		return plan.C(0)
	}
	part := make([]extent, len(s.classes))
	for i, c := range s.classes {
		part[i] = extent{row.Scale(c.unit), plan.C(c.unit), c.unit}
	}
	e := b.newEval(s, part, 1)
	e.count(v)
	x := e.value(v).v
	if len(v.Type.Shape) == 1 && len(s.classes) == 0 && numel(shapeOf(v)) > 1 { // all of them at once
		x.Base = x.Base.Add(row.Scale(x.Stride[0]))
	}
	return b.LoadScalar(x, assume)
}
