package codegen

import (
	"fmt"
	"strings"

	"apogee/codegen/tile"
	"apogee/ir"
	"apogee/ir/op"
	"apogee/targets/chip"
)

// axisKind says where an axis of a product's result comes from.
type axisKind uint8

const (
	axisBatch axisKind = iota // both operands
	axisM                     // the left one
	axisN                     // the right one
)

// product is one sum of products in a kernel, its axes sorted out.
type product struct {
	op     *ir.Op
	a, b   *ir.Value
	sa, sb *ir.Value // scales of a and b, or nil
	block  []int64   // h and g of the scales
	native bool      // the engine takes the scales itself
	res    *ir.Value
	kind   []axisKind // of each axis of the result
	inA    []int      // where the axis stands in a, or -1
	inB    []int
	kA, kB []int // the summed axes in a and b; -1 for one that only the other has, which then repeats
	kSize  []int64
	offset *ir.Value // of grouped products: where the groups begin; axis 0 of b is the group

	engine *chip.Engine
	rate   *chip.MatrixRate
	// what the kernel builds
	acc tile.View // [M,N] in the engine's accumulator
	sum tile.View // running f32 sum beside the accumulator, when there are scales or promotion
	// rows [M, blocks of K] and cols [N, blocks of K] are the scales on chip; without cols, rows holds both.
	rows, cols tile.View
}

func isProduct(o *ir.Op) bool {
	return o.Is(op.Einsum) || o.Is(op.ScaledMatmul) || o.Is(op.GroupedMatmul)
}

// newProduct sorts out the axes of a product and finds the engine that computes it.
func newProduct(t *tile.Target, o *ir.Op) (*product, error) {
	p := &product{op: o, a: o.Arg(0), b: o.Arg(1), res: o.Result(0)}
	rank := len(p.res.Type.Shape)
	p.kind, p.inA, p.inB = make([]axisKind, rank), make([]int, rank), make([]int, rank)
	switch o.Info {
	case op.Einsum:
		e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
		if err != nil {
			return nil, err
		}
		for i := 0; i < rank; i++ {
			p.inA[i], p.inB[i] = strings.IndexByte(e.A, e.Out[i]), strings.IndexByte(e.B, e.Out[i])
			switch {
			case p.inB[i] < 0:
				p.kind[i] = axisM
			case p.inA[i] < 0:
				p.kind[i] = axisN
			}
		}
		for i := 0; i < len(e.A); i++ {
			if strings.IndexByte(e.Out, e.A[i]) < 0 {
				p.kA, p.kB, p.kSize = append(p.kA, i), append(p.kB, strings.IndexByte(e.B, e.A[i])), append(p.kSize, shapeOf(p.a)[i])
			}
		}
		for i := 0; i < len(e.B); i++ {
			if strings.IndexByte(e.Out, e.B[i]) < 0 && strings.IndexByte(e.A, e.B[i]) < 0 {
				p.kA, p.kB, p.kSize = append(p.kA, -1), append(p.kB, i), append(p.kSize, shapeOf(p.b)[i])
			}
		}
		if len(p.kSize) == 0 { // an outer product sums one term
			p.kA, p.kB, p.kSize = []int{-1}, []int{-1}, []int64{1}
		}
	case op.ScaledMatmul, op.GroupedMatmul:
		lead := 0
		if o.Is(op.GroupedMatmul) {
			lead, p.offset = 1, o.Arg(2)
			if o.NumArgs() > 3 {
				p.sa, p.sb = o.Arg(3), o.Arg(4)
			}
		} else {
			p.sa, p.sb = o.Arg(2), o.Arg(3)
		}
		p.block = o.Attrs.Ints("block")
		for i := 0; i < rank; i++ {
			p.kind[i], p.inA[i], p.inB[i] = axisM, i, -1
		}
		p.kind[rank-1], p.inA[rank-1], p.inB[rank-1] = axisN, -1, lead
		k := len(p.a.Type.Shape) - 1
		p.kA, p.kB, p.kSize = []int{k}, []int{lead + 1}, []int64{shapeOf(p.a)[k]}
	}
	var ok bool
	p.engine, p.rate, ok = t.Chip.Matrix(p.a.Type.Format, p.b.Type.Format)
	if !ok {
		return nil, fmt.Errorf("%s: %s multiplies no %s by %s", o.Info.Name, t.Chip.Name, p.a.Type.Format, p.b.Type.Format)
	}
	p.native = p.sa != nil && p.rate.TakesScales(p.sa.Type.Format, p.sb.Type.Format, p.block)
	return p, nil
}

// sameIteration reports whether two products of one kernel can share their tiles.
func (p *product) sameIteration(q *product) error {
	if !equalInts(shapeOf(p.res), shapeOf(q.res)) || !equalInts(p.kSize, q.kSize) || (p.offset == nil) != (q.offset == nil) {
		return fmt.Errorf("the products differ in shape: %s and %s", p.res.Type, q.res.Type)
	}
	for i := range p.kind {
		if p.kind[i] != q.kind[i] {
			return fmt.Errorf("axis %d of the products comes from different operands", i)
		}
	}
	if (p.sa == nil) != (q.sa == nil) || p.sa != nil && !equalInts(p.block, q.block) || p.native != q.native {
		return fmt.Errorf("the products are scaled in different blocks")
	}
	return nil
}

// axes lists the result's axes of one kind.
func (p *product) axes(kind axisKind) []int {
	var out []int
	for i, x := range p.kind {
		if x == kind {
			out = append(out, i)
		}
	}
	return out
}

// bands splits a number of elements over axes from the last one on: as much as fits of each, one of the axes before a cut one.
func bands(size []int64, want int64) []int64 {
	out := make([]int64, len(size))
	for i := len(size) - 1; i >= 0; i-- {
		d := max(size[i], 1)
		out[i] = min(d, max(want, 1))
		if out[i] < d {
			want = 1
		} else {
			want /= d
		}
	}
	return out
}

func pick(size []int64, axes []int) []int64 {
	out := make([]int64, len(axes))
	for i, a := range axes {
		out[i] = size[a]
	}
	return out
}

// prod is the product of sizes, empty axes counting as one.
func prod(s []int64) int64 {
	n := int64(1)
	for _, x := range s {
		n *= max(x, 1)
	}
	return n
}
