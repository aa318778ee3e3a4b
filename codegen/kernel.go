package codegen

import (
	"errors"
	"fmt"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/targets/plan"
)

// compiled is the code of one kernel op: the launches that it takes, one after the other, and the buffers that hold what goes
// from one to the next. Most kernels are one launch.
type compiled struct {
	launches []launch
	temps    []temp
}

// launch is one kernel of the plan, and what its parameters are bound to.
type launch struct {
	kernel *plan.Kernel
	grid   int64
	args   []binding
}

// binding names the buffer of a parameter.
type binding struct {
	kind  bindKind
	index int
}

type bindKind uint8

const (
	toOperand bindKind = iota // of the kernel op
	toResult
	toTemp
	toWorkspace
)

// temp is a buffer of the kernel's own that outlives a launch.
type temp struct {
	format format.Format
	shape  []int64
}

// job is the kernel op that a template works on.
type job struct {
	t       *tile.Target
	op      *ir.Op
	region  *ir.Block
	results []*ir.Value // what the region yields
	inPlace []int       // of each result that is an update done in the operand's buffer: that operand; else -1
	pos     plan.Pos
	tried   string // the tiling of the attempt before, to see whether another one differs
	out     compiled
}

// A template compiles kernels of one kind: it adds launches to the job's output.
type template func(j *job) error

// errApart says that an op can be done between kernels, where tensors are whole, but not within one.
var errApart = errors.New("it cannot be done within a kernel; cast it first")

// errTight says that a template cannot make its tiles any smaller.
var errTight = errors.New("it cannot be tiled any smaller")

// templates by the kind of a kernel. What each accepts is said at its function.
var templates = map[string]template{
	"map": mapKernel, "copy": mapKernel, "reduce": mapKernel, "scatter": mapKernel, "gather": mapKernel, "search": searchKernel,
	"contract": contractKernel, "grouped": contractKernel, "attention": attentionKernel,
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
		j.inPlace = append(j.inPlace, inPlace(o, i))
	}
	for _, v := range j.values() {
		if _, err := v.Type.Shape.Ints(); err != nil {
			return nil, fmt.Errorf("a kernel's shapes are numbers by now: %w", err)
		}
	}
	if err := f(j); err != nil {
		return nil, err
	}
	return &j.out, nil
}

// fit makes a part of the job's output, trying again with smaller tiles until everything fits. tight is by how much less than a
// memory's size the attempt must plan with, from 1 on; one that has nothing smaller to offer returns errTight.
func (j *job) fit(try func(tight float64) error) error {
	launches, temps := len(j.out.launches), len(j.out.temps)
	j.tried = ""
	var full error
	for tight := 1.0; ; {
		j.out.launches, j.out.temps = j.out.launches[:launches], j.out.temps[:temps]
		err := try(tight)
		if err == nil {
			return nil
		}
		if errors.Is(err, errSame) {
			if tight *= 1.1; tight < 1e9 {
				continue
			}
			err = errTight
		}
		var f *tile.Full
		if !errors.As(err, &f) {
			if errors.Is(err, errTight) && full != nil {
				err = fmt.Errorf("%w: %w", full, errTight)
			}
			return err
		}
		full = err
		tight *= max(1.08, 1.02*float64(f.Need)/float64(f.Have))
	}
}

// errSame says that an attempt comes to the tiling of the one before.
var errSame = errors.New("the same tiling as before")

// settled returns errSame if a template is about to try the same tiling again.
func (j *job) settled(tiling ...any) error {
	s := fmt.Sprint(tiling...)
	if s == j.tried {
		return errSame
	}
	j.tried = s
	return nil
}

// values are all values of the region.
func (j *job) values() []*ir.Value {
	out := append([]*ir.Value(nil), j.region.Params...)
	for o := j.region.First(); o != nil; o = o.Next() {
		out = append(out, o.Results()...)
	}
	return out
}

// build is one launch being built. Parameters are declared as they are used.
type build struct {
	*tile.K
	j     *job
	bound []binding
	index map[binding]int
}

func (j *job) begin() *build {
	b := &build{K: tile.New(j.t, j.op.Attrs.Str("name", "kernel")), j: j, index: map[binding]int{}}
	if n := len(j.out.launches); n > 0 {
		b.Kern.Name = fmt.Sprintf("%s.%d", b.Kern.Name, n+1)
	}
	b.Pos = j.pos
	return b
}

func (b *build) param(to binding, name string, f format.Format, bytes int64, read, write bool) int {
	p, ok := b.index[to]
	if !ok {
		b.sync()
		p = b.Param(name, f, bytes, read, write)
		b.bound = append(b.bound, to)
		b.index[to] = p
	}
	b.Kern.Params[p].Read = b.Kern.Params[p].Read || read
	b.Kern.Params[p].Write = b.Kern.Params[p].Write || write
	return p
}

// sync notes parameters that the builder itself declared: the workspace.
func (b *build) sync() {
	for len(b.bound) < len(b.Kern.Params) {
		b.bound = append(b.bound, binding{toWorkspace, 0})
	}
}

// in is the parameter for reading a parameter of the region.
func (b *build) in(v *ir.Value) int {
	return b.param(binding{toOperand, v.Index()}, paramName(v, "in", v.Index()), v.Type.Format, bytesOf(v), true, false)
}

// result is the parameter for writing result i.
func (b *build) result(i int) int {
	r := b.j.op.Result(i)
	return b.param(binding{toResult, i}, paramName(r, "out", i), r.Type.Format, bytesOf(r), false, true)
}

// newTemp adds a buffer that later launches read.
func (j *job) newTemp(f format.Format, shape ...int64) int {
	j.out.temps = append(j.out.temps, temp{f, shape})
	return len(j.out.temps) - 1
}

// temp is the parameter for a buffer of the kernel's own.
func (b *build) temp(i int, read, write bool) int {
	t := b.j.out.temps[i]
	return b.param(binding{toTemp, i}, fmt.Sprintf("temp%d", i), t.format, tile.TileBytes(t.format, t.shape), read, write)
}

func paramName(v *ir.Value, prefix string, i int) string {
	if v.Name != "" {
		return v.Name
	}
	return fmt.Sprintf("%s%d", prefix, i)
}

// end finishes a launch. flops is the useful arithmetic of all its blocks.
func (b *build) end(grid int64, flops float64) error {
	kern, err := b.Finish()
	if err != nil {
		return err
	}
	b.sync()
	kern.Flops = flops
	b.j.out.launches = append(b.j.out.launches, launch{kern, max(grid, 1), b.bound})
	return nil
}

// flops is the useful arithmetic of the kernel op as the op table counts it.
func (j *job) flops() float64 {
	n := 0.0
	j.region.Walk(func(o *ir.Op) {
		if o.Info.Flops != nil {
			n += o.Info.Flops(o.Input(), o.ResultTypes())
		} else if o.Info.Class == op.Elementwise {
			n += float64(numel(shapeOf(o.Result(0))))
		}
	})
	return n
}

// name is the kernel's, for errors.
func (j *job) name() string { return j.op.Attrs.Str("name", "kernel") }

// digits splits the number of a block, or of a tile, into indices: the last one asked for varies slowest.
type digits struct {
	k     *tile.K
	rest  plan.Val
	count int64 // how many numbers there are so far
	total int64 // of all, when known: the last index needs no division
}

func (d *digits) next(n int64) plan.Val {
	d.count *= max(n, 1)
	if n <= 1 {
		return plan.C(0)
	}
	if d.count == d.total {
		return d.rest
	}
	i := d.k.Mod(d.rest, n)
	d.rest = d.k.Div(d.rest, n)
	return i
}

// digits starts splitting block numbers below total.
func newDigits(k *tile.K, number plan.Val, total int64) *digits {
	return &digits{k: k, rest: number, count: 1, total: total}
}

// shapeOf gives the concrete shape, never nil.
func shapeOf(v *ir.Value) []int64 {
	s, _ := v.Type.Shape.Ints()
	if s == nil {
		return []int64{}
	}
	return s
}

// numel is the number of elements of a shape.
func numel(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

func bytesOf(v *ir.Value) int64 {
	b, _ := format.NumBytes(v.Type.Format, numel(shapeOf(v)))
	return b
}

// axisOf brings an axis that may count from the end into 0…rank-1.
func axisOf(axis int64, rank int) int {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis)
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

func up(n, to int64) int64 { return (n + to - 1) / to * to }

func equalInts(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
