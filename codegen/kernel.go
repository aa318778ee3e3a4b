package codegen

import (
	"errors"
	"fmt"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// compiled is one kernel's code and how it is launched: parameters are the kernel op's operands, then its results, then
// the workspace if it needs one.
type compiled struct {
	kernel    *plan.Kernel
	grid      int64
	workspace int64 // bytes; 0 for none
}

// job is what a template works on.
type job struct {
	t       *tile.Target
	op      *ir.Op
	region  *ir.Block
	results []*ir.Value // what the region yields
	pos     plan.Pos
}

// template compiles a kernel of one kind with a certain tightness: 0 is the most generous use of memory; a template that has
// nothing smaller to offer at a level returns errTight.
type template func(j *job, level int) (*compiled, error)

var errTight = errors.New("cannot be tiled any smaller")

var templates = map[string]template{
	"map": mapKernel, "copy": mapKernel, "reduce": mapKernel, "scatter": mapKernel,
}

// compileKernel compiles a kernel op, taking smaller tiles until everything fits.
func compileKernel(t *tile.Target, o *ir.Op, pos plan.Pos) (*compiled, error) {
	kind := o.Attrs.Str("kind", "")
	f := templates[kind]
	if f == nil {
		return nil, fmt.Errorf("no template for kernels of kind %q", kind)
	}
	j := &job{t: t, op: o, region: o.Regions[0], pos: pos}
	y := j.region.Last()
	for i := 0; i < y.NumArgs(); i++ {
		j.results = append(j.results, y.Arg(i))
	}
	var first error
	for level := 0; ; level++ {
		c, err := f(j, level)
		if err == nil {
			return c, nil
		}
		var full *tile.Full
		if !errors.As(err, &full) {
			if errors.Is(err, errTight) && first != nil {
				err = fmt.Errorf("%w: %w", errTight, first)
			}
			return nil, err
		}
		first = err
	}
}

// begin starts the kernel's builder and declares its parameters.
func (j *job) begin() (*tile.K, map[*ir.Value]int, []int) {
	k := tile.New(j.t, j.op.Attrs.Str("name", "kernel"))
	k.Pos = j.pos
	params := map[*ir.Value]int{}

	for i, p := range j.region.Params {
		params[p] = k.Param(paramName(p, "in", i), p.Type.Format, bytesOf(p), true, false)
	}
	var outs []int
	for i, r := range j.results { // an update's operand and result are bound to one buffer
		outs = append(outs, k.Param(paramName(j.op.Result(i), "out", i), r.Type.Format, bytesOf(r), false, true))
	}
	return k, params, outs
}

func paramName(v *ir.Value, prefix string, i int) string {
	if v.Name != "" {
		return v.Name
	}
	return fmt.Sprintf("%s%d", prefix, i)
}

func bytesOf(v *ir.Value) int64 {
	n := int64(1)
	for _, d := range shapeOf(v) {
		n *= d
	}
	b, _ := format.NumBytes(v.Type.Format, n)
	return b
}

// end finishes a kernel.
func (j *job) end(k *tile.K, grid int64) (*compiled, error) {
	kern, err := k.Finish()
	if err != nil {
		return nil, err
	}
	in := j.flops()
	kern.Flops = in
	c := &compiled{kernel: kern, grid: grid}
	if w := k.Workspace(); w >= 0 {
		c.workspace = kern.Params[w].Size
	}
	return c, nil
}

// flops is the useful arithmetic of the kernel as the op table counts it.
func (j *job) flops() float64 {
	n := 0.0
	j.region.Walk(func(o *ir.Op) {
		if o.Info.Flops != nil {
			n += o.Info.Flops(o.Input(), o.ResultTypes())
		} else if o.Info.Class == op.Elementwise {
			e := 1.0
			for _, d := range shapeOf(o.Result(0)) {
				e *= float64(d)
			}
			n += e
		}
	})
	return n
}

// mapKernel computes its results tile by tile of their outer axes, everything inner at once.
func mapKernel(j *job, level int) (*compiled, error) {
	s := findSpace(j.results, nil)
	if s == nil {
		return nil, fmt.Errorf("the results of kernel %s share no iteration", j.op.Attrs.Str("name", ""))
	}
	k, params, outs := j.begin()
	slots := 2
	shrink := level
	if level > 0 {
		slots, shrink = 1, level-1
	}
	ext, err := mapTile(j, s, shrink)
	if err != nil {
		return nil, err
	}
	grid := int64(1)
	for c, n := range s.outer {
		grid *= ceilDiv(n, ext[c])
	}
	if empty(j) {
		return j.end(k, 1)
	}
	part := make([]extent, len(ext))
	rest := k.Block()
	for c := len(ext) - 1; c >= 0; c-- {
		tiles := ceilDiv(s.outer[c], ext[c])
		i := plan.C(0)
		if tiles > 1 {
			i = rest
			if c > 0 && tilesBefore(s.outer, ext, c) > 1 {
				i = k.Mod(rest, tiles)
				rest = k.Div(rest, tiles)
			}
		}
		start := i.Scale(ext[c])
		n := plan.C(ext[c])
		if s.outer[c]%ext[c] != 0 {
			n = k.Rest(ext[c], plan.C(s.outer[c]), start)
		}
		part[c] = extent{start, n, ext[c]}
	}
	e, err := newEval(k, s, part, params, slots)
	if err != nil {
		return nil, err
	}
	rows := make([]*ir.Value, len(j.results))
	for i, r := range j.results {
		rows[i] = rowsOf(r)
	}
	e.count(rows...)
	for _, r := range rows {
		e.final[r] = true
	}
	for i, r := range j.results {
		e.store(r, e.value(rows[i]), outs[i])
		e.drop(rows[i])
	}
	return j.end(k, grid)
}

func empty(j *job) bool {
	for _, r := range j.results {
		if bytesOf(rowsOf(r)) != 0 {
			return false
		}
	}
	return true
}

func tilesBefore(outer, ext []int64, c int) int64 {
	n := int64(1)
	for i := 0; i < c; i++ {
		n *= ceilDiv(outer[i], ext[i])
	}
	return n
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// mapTile chooses how much of each outer axis one block takes: as much as fits from the last axis on, but no more than leaves a
// block for every core. Each level halves the tile.
func mapTile(j *job, s *space, level int) ([]int64, error) {
	// What one row of the outer axes occupies in all values of the region: the widest matter most.
	row := int64(0)
	n := int64(0)
	seen := map[*ir.Value]bool{}
	count := func(v *ir.Value) {
		lead, ok := s.lead[v]
		if !ok || seen[v] {
			return
		}
		seen[v] = true
		b := int64(v.Type.Format.Bits()+7) / 8
		for i, d := range shapeOf(v) {
			if i+lead >= len(s.outer) {
				b *= d
			}
		}
		row = max(row, b)
		n++
	}
	for v := range s.lead {
		count(v)
	}
	mem, _, err := j.t.VectorMem(format.F32)
	if err != nil {
		return nil, err
	}
	have := j.t.Memories[mem].Size
	rows := have / max(row*min(max(n, 3)+2, 12), 1)
	total := int64(1)
	for _, d := range s.outer {
		total *= max(d, 1)
	}
	// A block for each core, but not less than a kilobyte of work in one.
	rows = min(rows, max(ceilDiv(total, j.t.Cores()), ceilDiv(1024, max(row, 1))))
	for _, p := range updates(j) {
		if p == 1 { // one start for each index of axis 0: a block stays within one
			rows = min(rows, max(total/max(s.outer[0], 1), 1))
		}
	}
	rows = max(rows, 1)
	for i := 0; i < level; i++ {
		if rows == 1 {
			return nil, errTight
		}
		rows = ceilDiv(rows, 2)
	}
	ext := make([]int64, len(s.outer))
	for c := len(ext) - 1; c >= 0; c-- {
		d := max(s.outer[c], 1)
		ext[c] = min(d, max(rows, 1))
		if ext[c] < d {
			// Even tiles rather than a ragged last one.
			ext[c] = ceilDiv(d, ceilDiv(d, ext[c]))
			rows = 1
		} else {
			rows /= d
		}
	}
	return ext, nil
}

// updates lists the ranks of the start operands of the results that are updates.
func updates(j *job) []int {
	var out []int
	for _, r := range j.results {
		if r.DefIs(op.Update) {
			out = append(out, len(r.Def().Arg(2).Type.Shape))
		}
	}
	return out
}

// store writes a result's tile to its buffer.
func (e *eval) store(r *ir.Value, l *local, param int) {
	y := rowsOf(r)
	size, dims := e.size(y)
	lead := e.space.lead[y]
	shape := shapeOf(r) // of the whole, which for an update is longer along its axis
	stride := view.Strides(shape)
	bytes := int64(r.Type.Format.Bits()) / 8
	p := len(e.space.outer)
	g := tile.View{Param: param, Format: r.Type.Format, Size: size, Stride: make([]int64, len(size))}
	for i := range shape {
		if c := i + lead; c < p {
			if shapeOf(y)[i] != 1 {
				g.Stride[c] = stride[i] * bytes
				g.Base = g.Base.Add(e.part[c].start.Scale(stride[i] * bytes))
			}
		} else {
			g.Stride[e.innerAxis(y, int64(i))] = stride[i] * bytes
		}
	}
	if r.DefIs(op.Update) {
		o := r.Def()
		ax := o.Attrs.Int("axis", 0)
		if ax < 0 {
			ax += int64(len(shape))
		}
		g.Base = g.Base.Add(e.start(o, shape[ax]-shapeOf(y)[ax]).Scale(stride[ax] * bytes))
	}
	if r.Type.Format.Bits()%8 != 0 {
		e.k.Fail("a %s tensor cannot be written by element: cast it first", r.Type.Format)
		return
	}
	if l.buf != nil && l.buf.refs == 1 && e.final[y] && e.uses[y] == 1 && !repeats(l.v, size) {
		e.out(l.v, g, dims)
		return
	}
	src := e.alloc("store", r.Type.Format, dims, size, e.slots)
	e.k.Vec(e.queue, plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, src.v, stretch(l.v, size), tile.View{}, tile.View{})
	e.out(src.v, g, dims)
	e.giveBack(src)
}

// repeats reports whether a view shows some element more than once.
func repeats(v tile.View, size []plan.Val) bool {
	for i, s := range stretch(v, size).Stride {
		if s == 0 && !(size[i].IsConst() && size[i].C == 1) {
			return true
		}
	}
	return false
}

// out moves a tile to global memory, over other memories if it must.
func (e *eval) out(src, dst tile.View, dims []int64) {
	e.k.Transfer(src, 0, dims, e.slots, dst)
}

// start loads where an update begins, clamped to what fits.
func (e *eval) start(o *ir.Op, last int64) plan.Val {
	at := o.Arg(2)
	if c, ok := scalar(at); ok {
		return plan.C(min(max(int64(c), 0), last))
	}
	w, ok := view.Of(at)
	if !ok || w.Source.Def() != nil {
		e.k.Fail("the start of an update must come from a buffer")
		return plan.C(0)
	}
	bytes := int64(at.Type.Format.Bits()) / 8
	src := e.k.Global(e.params[w.Source], at.Type.Format, plan.C(w.Offset*bytes), tile.Consts(1), []int64{bytes})
	if len(at.Type.Shape) == 1 {
		src.Base = src.Base.Add(e.part[0].start.Scale(w.Stride[0] * bytes))
	}
	r := e.k.LoadScalar(src, plan.Assume{Index: plan.C(last), Mul: 1, Div: 1, Why: "the state is filled up to its last place"})
	return e.k.Min(e.k.Max(r, plan.C(0)), plan.C(last))
}
