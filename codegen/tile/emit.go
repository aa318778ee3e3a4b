package tile

import (
	"apogee/ir/format"
	"apogee/targets/bind"
	"apogee/targets/plan"
)

// Move copies a tile along the direct path between the two memories. Axes beyond what one transfer has are stepped through by the
// scalar unit.
func (k *K) Move(dst, src View) {
	p := k.T.path(src.Mem(), dst.Mem())
	if p < 0 {
		k.Fail("no path from %s to %s", k.T.Memories[src.Mem()].Name, k.T.Memories[dst.Mem()].Name)
		return
	}
	k.coalesce(false, &dst, &src)
	if limit := min(max(k.T.Chip.Paths[p].MaxDims, 2), plan.MaxTileRank); len(dst.Size) > limit {
		k.Loop(dst.Size[0], func(i plan.Val) { k.Move(dst.drop(i), src.drop(i)) })
		return
	}
	if dst.Format != src.Format && !k.T.PathCasts(src.Mem(), dst.Mem(), src.Format, dst.Format) {
		k.Fail("the path from %s to %s does not convert %s to %s", k.T.Memories[src.Mem()].Name, k.T.Memories[dst.Mem()].Name, src.Format, dst.Format)
	}
	k.emit(plan.Instr{Op: plan.Move, Queue: k.T.Queue(k.T.Chip.Paths[p].Engine), Path: p, Dst: k.tile(dst), A: k.tile(src)},
		access{dst.Buf, true}, access{src.Buf, false})
}

// MoveRows copies rows by a list of row numbers (i32, one axis): axis 0 of the indexed side counts rows of its stride. The path must
// be [Target.Indirect]. Either index may be missing.
func (k *K) MoveRows(dst, src, dstIndex, srcIndex View) {
	p := k.T.path(src.Mem(), dst.Mem())
	if p < 0 || !k.T.Chip.Paths[p].Indirect {
		k.Fail("no path from %s to %s takes an index list", k.T.Memories[src.Mem()].Name, k.T.Memories[dst.Mem()].Name)
		return
	}
	k.coalesceRows(&dst, &src)
	if len(dst.Size) > min(k.T.Chip.Paths[p].MaxDims, plan.MaxTileRank) {
		k.Loop(dst.Size[1], func(i plan.Val) {
			k.MoveRows(dst.dropSecond(i), src.dropSecond(i), dstIndex, srcIndex)
		})
		return
	}
	i := plan.Instr{Op: plan.Move, Queue: k.T.Queue(k.T.Chip.Paths[p].Engine), Path: p, Dst: k.tile(dst), A: k.tile(src)}
	acc := []access{{dst.Buf, true}, {src.Buf, false}}
	if dstIndex.Valid() {
		t := k.tile(dstIndex)
		i.Dst.Index = &t
		acc = append(acc, access{dstIndex.Buf, false})
	}
	if srcIndex.Valid() {
		t := k.tile(srcIndex)
		i.A.Index = &t
		acc = append(acc, access{srcIndex.Buf, false})
	}
	k.emit(i, acc...)
}

func (v View) dropSecond(i plan.Val) View {
	v.Base = v.Base.Add(i.Scale(v.Stride[1]))
	v.Size = append([]plan.Val{v.Size[0]}, v.Size[2:]...)
	v.Stride = append([]int64{v.Stride[0]}, v.Stride[2:]...)
	return v
}

// Transfer brings a tile to another memory, over intermediate memories where no direct path exists; those stages
// get buffers of their own with the given number of slots. dims are the tile's largest sizes. The destination must be a buffer of mem or
// a parameter, or an invalid view to have a buffer allocated. It returns the tile at its destination.
func (k *K) Transfer(src View, mem int, dims []int64, slots int, dst View) View {
	way := k.T.Route(src.Mem(), mem)
	if way == nil {
		k.Fail("no way from %s to %s", k.T.Memories[src.Mem()].Name, k.T.Memories[mem].Name)
		return src
	}
	for i, m := range way {
		var next View
		if i == len(way)-1 && dst.Valid() {
			next = dst
		} else {
			next = k.New("stage", m, src.Format, dims, src.Size, slots)
		}
		k.Move(next, src)
		src = next
	}
	return src
}

// Mma adds A·B to acc, or sets acc to it while keep is 0.
func (k *K) Mma(engine string, acc, a, b View, keep plan.Val) {
	k.emit(plan.Instr{Op: plan.Mma, Queue: k.T.Queue(engine), Dst: k.tile(acc), A: k.tile(a), B: k.tile(b), Acc: keep},
		access{a.Buf, false}, access{b.Buf, false}, access{acc.Buf, true})
}

// MmaScaled is Mma on an engine that takes scales: sa [M, blocks of K] and sb [blocks of K, N].
func (k *K) MmaScaled(engine string, acc, a, b, sa, sb View, keep plan.Val) {
	k.emit(plan.Instr{Op: plan.Mma, Queue: k.T.Queue(engine), Dst: k.tile(acc), A: k.tile(a), B: k.tile(b), C: k.tile(sa), D: k.tile(sb), Acc: keep},
		access{a.Buf, false}, access{b.Buf, false}, access{sa.Buf, false}, access{sb.Buf, false}, access{acc.Buf, true})
}

// Vec emits an instruction of the vector family (Vec, VReduce, VScan, VIota, VTopK, VTake, VPut, VGroup) on the queue of the vector
// engine; the caller fills everything but Queue and the tiles. What the engine has no rate for is an error that names chip, format and
// class of operation.
func (k *K) Vec(queue int, i plan.Instr, dst, a, b, c View) { k.Vec2(queue, i, dst, View{}, a, b, c) }

// Vec2 is Vec with a second result.
func (k *K) Vec2(queue int, i plan.Instr, dst, dst2, a, b, c View) {
	i.Queue = queue
	rows := false // whether the last axis is one the instruction works along
	switch i.Op {
	case plan.Vec:
		k.coalesce(false, &dst, &a, &b, &c)
		k.spread(&dst, &a, &b, &c)
	case plan.VReduce, plan.VScan, plan.VTopK, plan.VTake, plan.VPut:
		rows = true
		k.coalesce(true, &dst, &dst2, &a, &b, &c)
	}
	if n := len(dst.Size); n > plan.MaxTileRank && (i.Op == plan.Vec || rows) {
		step := func(v View, j plan.Val) View {
			if v.Valid() {
				return v.drop(j)
			}
			return v
		}
		k.Loop(dst.Size[0], func(j plan.Val) {
			k.Vec2(queue, i, step(dst, j), step(dst2, j), step(a, j), step(b, j), step(c, j))
		})
		return
	}
	i.Dst, i.Dst2, i.A, i.B, i.C = k.tile(dst), k.tile(dst2), k.tile(a), k.tile(b), k.tile(c)
	class, f, ok := bind.VectorRate(k.T.Chip, k.T.Queues[queue].Name, &i)
	native := bind.NativeRate(k.T.Chip, k.T.Queues[queue].Name, &i)
	if !native && i.Op == plan.Vec && (i.Fn == plan.VCopy || i.Fn == plan.VSelect) && dst.Format.Bits() == 64 {
		k.halves(queue, i, dst, a, b, c)
		return
	}
	if !ok {
		k.Fail("%s%s has no vector rate for %s operations on %s", k.what(), k.T.Chip.Name, class, f)
	}
	k.emit(i, access{a.Buf, false}, access{b.Buf, false}, access{c.Buf, false}, access{dst.Buf, true}, access{dst2.Buf, true})
}

// halves copies or selects 64-bit elements as two of 32 bits each, for engines that know nothing wider.
func (k *K) halves(queue int, i plan.Instr, dst, a, b, c View) {
	pattern := dst.Format.Encode(i.Imm)
	if dst.Format.IsInt() {
		pattern = dst.Format.EncodeMode(i.Imm, format.Mode{Round: format.TowardZero})
	}
	for h := int64(0); h < 2; h++ {
		half := func(v View) View {
			if v.Valid() && v.Format.Bits() == 64 {
				v.Format = format.I32
				v.Base = v.Base.AddC(4 * h)
			}
			return v
		}
		j := plan.Instr{Op: i.Op, Fn: i.Fn, Imm: float64(int32(pattern >> (32 * h)))}
		k.Vec(queue, j, half(dst), half(a), half(b), half(c))
	}
}

func (k *K) what() string {
	if k.What == "" {
		return ""
	}
	return k.What + ": "
}

// LoadScalar reads one integer (i32 or i64) into a new register. src has one element, in global memory or one where the scalar unit
// reads ([Target.ScalarReads]); assume stands for it when there is no data.
func (k *K) LoadScalar(src View, assume plan.Assume) plan.Val {
	r := k.Reg()
	if src.Format != format.I32 && src.Format != format.I64 {
		k.Fail("%sa scalar register is loaded from i32 or i64, not %s", k.what(), src.Format)
	}
	if m := src.Mem(); m != 0 && !k.T.ScalarReads(m) {
		k.Fail("%sthe scalar unit of %s does not read %s", k.what(), k.T.Chip.Name, k.T.Memories[m].Name)
	}
	src.Size, src.Stride = Consts(1), []int64{int64(src.Format.Bits()) / 8}
	k.emit(plan.Instr{Op: plan.LoadScalar, Queue: k.T.scalar, A: k.tile(src), Reg: r, Assume: &assume}, access{src.Buf, false})
	return plan.R(r)
}
