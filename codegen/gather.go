package codegen

import (
	"fmt"
	"math"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

func init() {
	templates["gather"] = gatherKernel
	templates["search"] = searchKernel
}

var negInf = math.Inf(-1)

func only(j *job, info *op.Info) *ir.Op {
	for o := j.region.First(); o != nil; o = o.Next() {
		if o.Is(info) {
			return o
		}
	}
	return nil
}

// gatherKernel moves slices by index: the scalar unit reads an index, a transfer moves the slice.
func gatherKernel(j *job, level int) (*compiled, error) {
	o := only(j, op.Gather)
	if o == nil || len(j.results) != 1 || j.results[0] != o.Result(0) || !isLeaf(o.Arg(0)) || !isLeaf(o.Arg(1)) {
		return nil, fmt.Errorf("kernel %s: a gather kernel gathers from a buffer by indices from a buffer", j.op.Attrs.Str("name", ""))
	}
	k, params, outs := j.begin()
	if empty(j) {
		return j.end(k, 1)
	}
	x, _ := view.Of(o.Arg(0))
	ix, _ := view.Of(o.Arg(1))
	axis := int(o.Attrs.Int("axis", 0))
	if axis < 0 {
		axis += len(x.Size)
	}
	f := o.Result(0).Type.Format
	bytes := int64(f.Bits()) / 8
	if f.Bits()%8 != 0 {
		return nil, fmt.Errorf("a %s tensor cannot be gathered by element: cast it first", f)
	}
	mem, _, err := j.t.VectorMem(format.F32)
	if err != nil {
		return nil, err
	}
	// Result axes: those before, the index's, those behind. A block takes some indices and a run of what is behind.
	before, behind := x.Size[:axis], x.Size[axis+1:]
	n := prod(ix.Size)
	row := prod(behind)
	ext := bands(behind, max(min(row, j.t.Memories[mem].Size/(bytes*8)>>level, 1<<14), 1))
	if level > 12 {
		return nil, errTight
	}
	blocks := int64(1)
	rest := k.Block()
	digit := func(m int64) plan.Val {
		blocks *= m
		if m == 1 {
			return plan.C(0)
		}
		d := k.Mod(rest, m)
		rest = k.Div(rest, m)
		return d
	}
	src := tile.View{Param: params[x.Source], Format: f, Base: plan.C(x.Offset * bytes)}
	dst := tile.View{Param: outs[0], Format: f}
	outStride := view.Strides(shapeOf(o.Result(0)))
	for i := len(behind) - 1; i >= 0; i-- {
		start := digit(ceilDiv(behind[i], ext[i])).Scale(ext[i])
		size := k.Rest(ext[i], plan.C(behind[i]), start)
		if behind[i]%ext[i] == 0 {
			size = plan.C(ext[i])
		}
		so, do := x.Stride[axis+1+i]*bytes, outStride[axis+len(ix.Size)+i]*bytes
		src.Base, dst.Base = src.Base.Add(start.Scale(so)), dst.Base.Add(start.Scale(do))
		src.Size = append([]plan.Val{size}, src.Size...)
		src.Stride = append([]int64{so}, src.Stride...)
		dst.Stride = append([]int64{do}, dst.Stride...)
	}
	for i := len(before) - 1; i >= 0; i-- {
		at := digit(before[i])
		src.Base, dst.Base = src.Base.Add(at.Scale(x.Stride[i]*bytes)), dst.Base.Add(at.Scale(outStride[i]*bytes))
	}
	if len(src.Size) == 0 {
		src.Size, src.Stride, dst.Stride, ext = tile.Consts(1), []int64{bytes}, []int64{bytes}, []int64{1}
	}
	dst.Size = src.Size
	per := max(ceilDiv(n, max(j.t.Cores()/blocks, 1)), 1)
	first := digit(ceilDiv(n, per)).Scale(per)
	count := k.Rest(per, plan.C(n), first)
	k.Loop(count, func(i plan.Val) {
		at := first.Add(i)
		isrc := tile.View{Param: params[ix.Source], Format: o.Arg(1).Type.Format, Size: tile.Consts(1)}
		ib := int64(isrc.Format.Bits()) / 8
		isrc.Stride = []int64{ib}
		isrc.Base = plan.C(ix.Offset * ib)
		to := at
		left := at
		for d := len(ix.Size) - 1; d >= 0; d-- {
			digit := left
			if d > 0 {
				digit = k.Mod(left, ix.Size[d])
				left = k.Div(left, ix.Size[d])
			}
			isrc.Base = isrc.Base.Add(digit.Scale(ix.Stride[d] * ib))
		}
		index := k.LoadScalar(isrc, plan.Assume{Index: at, Mul: 1, Div: max(ceilDiv(n, max(x.Size[axis], 1)), 1), Why: "gathered indices are spread over the table"})
		size := x.Size[axis]
		if !inRange(o.Arg(1), size) {
			wrap := k.Set(plan.SLt, index, plan.C(0))
			index = k.Min(k.Max(index.Add(wrap.Scale(size)), plan.C(0)), plan.C(size-1))
		}
		from := src
		from.Base = from.Base.Add(index.Scale(x.Stride[axis] * bytes))
		into := dst
		oAxis := int64(1)
		if len(ix.Size) > 0 {
			oAxis = outStride[axis+len(ix.Size)-1]
		}
		into.Base = into.Base.Add(to.Scale(oAxis * bytes))
		t := k.Transfer(from, mem, ext, 2, tile.View{})
		k.Transfer(t, 0, ext, 2, into)
	})
	return j.end(k, blocks)
}

// searchKernel serves group_rows; other searches work row by row.
func searchKernel(j *job, level int) (*compiled, error) {
	o := only(j, op.GroupRows)
	if o == nil {
		return mapKernel(j, level)
	}
	if level > 0 {
		return nil, errTight
	}
	ids, ok := view.Of(o.Arg(0))
	if !ok || ids.Source.Def() != nil {
		return nil, fmt.Errorf("group_rows takes its ids from a buffer")
	}
	k, params, outs := j.begin()
	if empty(j) && bytesOf(o.Arg(0)) == 0 {
		// No slots: the offsets are all 0, and buffers begin at 0.
		return j.end(k, 1)
	}
	mem, queue, err := j.t.VectorMem(format.F32)
	if err != nil {
		return nil, err
	}
	shape := shapeOf(o.Arg(0))
	n, width := prod(shape), shape[1]
	groups := o.Attrs.Int("groups", 0)
	none := tile.View{}
	line := func(name string, f format.Format, n int64) tile.View {
		return k.Dense(k.Alloc(name, mem, tile.TileBytes(f, []int64{1, n}), 1), f, []int64{1, n}, tile.Consts(1, n))
	}
	in := line("ids", format.I32, n)
	two := in
	two.Size, two.Stride = tile.Consts(shape...), tile.DenseStrides(format.I32, shape)
	k.Transfer(tile.View{Param: params[ids.Source], Format: format.I32, Base: plan.C(ids.Offset * 4), Size: two.Size,
		Stride: []int64{ids.Stride[0] * 4, ids.Stride[1] * 4}}, mem, shape, 1, two)
	order, offsets := line("order", format.I32, n), line("offsets", format.I32, groups+1)
	k.Vec2(queue, plan.Instr{Op: plan.VGroup}, order, offsets, in, none, none)
	store := func(v tile.View, param int, n int64) {
		k.Transfer(v, 0, []int64{1, n}, 1, tile.View{Param: param, Format: format.I32, Size: tile.Consts(1, n), Stride: []int64{n * 4, 4}})
	}
	for i, r := range j.results {
		switch r {
		case o.Result(2):
			store(offsets, outs[i], groups+1)
		case o.Result(0):
			// The row of a slot is slot / width: exact in f32 below 2^23 slots.
			if n >= 1<<23 {
				return nil, fmt.Errorf("group_rows of %d slots: at most %d", n, 1<<23)
			}
			f, rows := line("slot", format.F32, n), line("rows", format.I32, n)
			k.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, f, order, none, none)
			k.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VAdd, Imm: 0.5}, f, f, none, none)
			k.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VDiv, Imm: float64(width)}, f, f, none, none)
			k.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VFloor}, f, f, none, none)
			k.Vec(queue, plan.Instr{Op: plan.Vec, Fn: plan.VCast}, rows, f, none, none)
			store(rows, outs[i], n)
		case o.Result(1):
			count, places := line("count", format.I32, n), line("places", format.I32, n)
			k.Vec(queue, plan.Instr{Op: plan.VIota, Z: plan.C(1)}, count, none, none, none)
			k.Vec(queue, plan.Instr{Op: plan.VPut, Fn: plan.VCopy}, places, count, order, none)
			store(places, outs[i], n)
		}
	}
	return j.end(k, 1)
}
