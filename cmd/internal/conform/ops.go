package conform

import (
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// recipe adds an op in a format to a case: at small and odd sizes, ranks, broadcasts and axes, or once at the standard size.
type recipe func(b *builder, i *op.Info, f format.Format)

// recipes has one for every op that is neither elementwise nor a part of the structure.
var recipes = map[*op.Info]recipe{
	op.Cast: casts, op.Bitcast: bitcasts, op.Select: selects, op.Iota: iotas,
	op.Reduce: reduces, op.Cumsum: cumsums, op.TopK: topKs, op.ArgMax: argMaxes, op.GroupRows: groupRows, op.Einsum: einsums,
	op.Reshape: reshapes, op.Transpose: transposes, op.Broadcast: broadcasts, op.Slice: sliced, op.Concat: concats, op.Pad: pads,
	op.Reverse: reverses, op.Window: windows, op.Gather: gathers, op.GatherElements: gatherElements, op.ScatterElements: scatters, op.Update: updates,
	op.Dequantize: dequantises, op.Quantize: quantises, op.ScaledMatmul: scaledMatmuls, op.Attention: attentions, op.GroupedMatmul: groupedMatmuls,
}

func recipeOf(i *op.Info) recipe {
	if r := recipes[i]; r != nil {
		return r
	}
	if i.Class == op.Elementwise {
		if len(i.Operands) == 1 {
			return unary
		}
		return binary
	}
	return nil
}

// Sizes: a scalar, nothing, single elements, ragged ones, six axes.
var shapes = [][]int64{{}, {0}, {3, 0, 2}, {1}, {33}, {5, 1, 3}, {2, 3, 1, 5, 1, 4}, {3, 401}}

// Shapes that broadcast, on either side and on both.
var pairs = [][2][]int64{
	{{}, {}}, {{}, {5}}, {{7, 3}, {}}, {{3, 1}, {1, 4}}, {{2, 3, 4}, {4}}, {{4}, {2, 3, 4}}, {{2, 1, 4}, {3, 1}}, {{0, 3}, {1, 3}},
	{{2, 1, 3, 1, 2, 1}, {1, 5, 1, 2, 1, 3}}, {{5, 300}, {5, 1}},
}

var standard = []int64{1024, 1024}

func kindFor(i *op.Info) numbers {
	switch i {
	case op.Log, op.Sqrt, op.Rsqrt, op.Reciprocal, op.Div, op.Rem, op.Pow:
		return positive
	}
	return normal
}

func unary(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, nil, b.input(kindFor(i), 0, f, standard...))
		return
	}
	for _, s := range shapes {
		b.op(i, nil, b.input(kindFor(i), 0, f, s...))
	}
}

func binary(b *builder, i *op.Info, f format.Format) {
	k := kindFor(i)
	if b.std {
		b.op(i, nil, b.input(k, 0, f, standard...), b.input(k, 0, f, standard...))
		return
	}
	for _, p := range pairs {
		b.op(i, nil, b.input(k, 0, f, p[0]...), b.input(k, 0, f, p[1]...))
	}
	x := b.input(k, 0, f, 3, 5)
	b.op(i, nil, x, b.Scalar(f, 1))
	b.op(i, nil, b.Scalar(f, 1), x)
}

func selects(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, nil, b.x(format.Bool, standard...), b.x(f, standard...), b.x(f, standard...))
		return
	}
	for _, p := range pairs {
		b.op(i, nil, b.x(format.Bool, p[0]...), b.x(f, p[1]...), b.x(f, p[0]...))
	}
	b.op(i, nil, b.x(format.Bool, 3, 1), b.Scalar(f, 1), b.x(f, 3, 5))
}

func casts(b *builder, i *op.Info, f format.Format) {
	if b.std {
		to := format.F32
		if f == to {
			to = format.I32
		}
		b.op(i, ir.A("format", to), b.x(f, standard...))
		return
	}
	x, y, z := b.x(f, 5, 8), b.x(f), b.x(f, 0, 2)
	for _, to := range format.All() {
		b.op(i, ir.A("format", to), x)
		b.op(i, ir.A("format", to), y)
		b.op(i, ir.A("format", to), z)
		if to.IsFloat() {
			b.op(i, ir.A("format", to, "saturate", true), x)
		}
	}
}

func bitcasts(b *builder, i *op.Info, f format.Format) {
	for _, to := range format.All() {
		if to == f || to == format.Bool || f == format.Bool || to.IsFloat() && to.Bits() < 16 || f.Bits() != to.Bits() {
			continue
		}
		if b.std {
			b.op(i, ir.A("format", to), b.x(f, standard...))
			return
		}
		b.op(i, ir.A("format", to), b.x(f, 4, 8))
	}
}

func iotas(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("format", f, "shape", shape.Of(standard...), "axis", 1))
		return
	}
	for ax := range 2 {
		b.op(i, ir.A("format", f, "shape", shape.Of(3, 4), "axis", ax))
	}
	b.op(i, ir.A("format", f, "shape", shape.Of(0), "axis", 0))
}

func reduces(b *builder, i *op.Info, f format.Format) {
	kinds := []string{"sum", "prod", "max", "min", "mean", "all", "any"}
	if b.std {
		x := b.x(f, standard...)
		for _, k := range kinds {
			if b.op(i, ir.A("kind", k, "axes", []int64{1}), x) {
				return
			}
		}
		return
	}
	for _, s := range [][]int64{{}, {9}, {4, 5, 6}, {2, 1, 130}, {2, 2, 3, 2, 1, 3}} {
		x := b.x(f, s...)
		if len(s) == 0 {
			b.op(i, ir.A("kind", "sum", "axes", []int64{}), x)
		}
		for mask := 1; mask < 1<<len(s); mask += 1 + len(s)/4*6 {
			var axes []int64
			for k := range s {
				if mask>>k&1 != 0 {
					axes = append(axes, int64(k))
				}
			}
			for _, k := range kinds {
				b.op(i, ir.A("kind", k, "axes", axes, "keep", mask&1 == 0), x)
			}
		}
	}
	x := b.x(f, 2, 0)
	for _, k := range kinds {
		if k != "mean" {
			b.op(i, ir.A("kind", k, "axes", []int64{1}), x)
		}
	}
}

func cumsums(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 1), b.x(f, standard...))
		return
	}
	for _, s := range [][]int64{{7}, {0, 2}, {3, 4, 5}} {
		for ax := range s {
			x := b.x(f, s...)
			for k, kind := range []string{"sum", "prod", "max", "min"} {
				b.op(i, ir.A("axis", ax, "kind", kind, "exclusive", (ax+k)&1 != 0 && (kind == "sum" || f.IsInt()), "reverse", k&2 != 0), x)
			}
			b.op(i, ir.A("axis", ax, "exclusive", true, "reverse", true), x)
		}
	}
}

func topKs(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("k", shape.Const(8)), b.x(f, standard...))
		return
	}
	for _, s := range [][]int64{{1}, {3, 17}, {2, 3, 64}} {
		x := b.x(f, s...)
		n := s[len(s)-1]
		for j, k := range []int64{0, 1, n/2 + 1, n} {
			if k <= n {
				b.op(i, ir.A("k", shape.Const(k), "largest", j%2 == 0), x)
			}
		}
	}
}

func argMaxes(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, nil, b.x(f, standard...))
		return
	}
	for _, s := range [][]int64{{1}, {3, 17}, {4, 3, 6}} {
		x := b.x(f, s...)
		for ax := range s {
			b.op(i, ir.A("axis", ax), x)
		}
	}
}

func groupRows(b *builder, i *op.Info, f format.Format) {
	if f != format.I32 {
		return
	}
	if b.std {
		b.op(i, ir.A("groups", 64), b.input(index, 64, f, 1024, 8))
		return
	}
	for _, s := range [][3]int64{{1, 1, 1}, {5, 2, 3}, {0, 2, 4}, {40, 8, 16}} {
		b.op(i, ir.A("groups", s[2]), b.input(index, s[2], f, s[0], s[1]))
	}
}

var contractions = []struct {
	spec string
	a, b []int64
}{
	{"mk,nk->mn", []int64{1, 1}, []int64{1, 1}}, {"mk,nk->mn", []int64{1, 200}, []int64{33, 200}}, {"mk,kn->mn", []int64{17, 40}, []int64{40, 65}},
	{"km,nk->nm", []int64{40, 17}, []int64{9, 40}}, {"bthd,bshd->bhts", []int64{2, 5, 3, 16}, []int64{2, 7, 3, 16}},
	{"thd,dhe->the", []int64{5, 3, 8}, []int64{8, 3, 6}}, {"abc,dbc->ad", []int64{5, 6, 32}, []int64{9, 6, 32}}, {"a,b->ab", []int64{20}, []int64{23}},
	{"a,a->", []int64{77}, []int64{77}}, {"ab,cb->c", []int64{3, 32}, []int64{5, 32}}, {"mk,nk->mn", []int64{0, 8}, []int64{4, 8}}, {"mk,nk->mn", []int64{3, 0}, []int64{4, 0}},
}

func einsums(b *builder, i *op.Info, f format.Format) {
	outs := []format.Format{f}
	switch {
	case f.IsFloat() && f.Bits() < 32:
		outs = append(outs, format.F32)
	case f.IsInt() && f.Bits() < 32:
		outs = append(outs, format.I32)
	}
	if b.std {
		b.op(i, ir.A("spec", "mk,nk->mn", "format", outs[len(outs)-1]), b.x(f, standard...), b.x(f, standard...))
		return
	}
	for _, s := range contractions {
		for _, out := range outs {
			b.op(i, ir.A("spec", s.spec, "format", out), b.x(f, s.a...), b.x(f, s.b...))
		}
	}
	if other := map[format.Format]format.Format{format.I8: format.U8, format.U8: format.I8, format.BF16: format.F32, format.F16: format.BF16}[f]; other != format.Invalid {
		b.op(i, ir.A("spec", "mk,nk->mn", "format", outs[len(outs)-1]), b.x(f, 9, 60), b.x(other, 12, 60))
	}
}

// moved are sizes for ops that move elements; the last axis fills bytes in every format.
var moved = [][]int64{{0}, {8}, {3, 8}, {2, 0, 8}, {4, 1, 8}, {30, 16}, {2, 3, 4, 8}}

func reshapes(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("shape", shape.Of(1<<20)), b.x(f, standard...))
		return
	}
	for _, s := range moved {
		b.op(i, ir.A("shape", shape.Of(prod(s))), b.x(f, s...))
	}
	b.op(i, ir.A("shape", shape.Of(4, 6, 8)), b.x(f, 3, 8, 8))
	b.op(i, ir.A("shape", shape.Of()), b.x(f, 1, 1))
}

func transposes(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("perm", []int64{1, 0}), b.x(f, standard...))
		return
	}
	for _, s := range append(moved, []int64{2, 3, 2, 1, 2, 3, 2, 8}) {
		n := len(s)
		perm, back := make([]int64, n), make([]int64, n)
		for k := range perm {
			perm[k], back[k] = int64((k+1)%n), int64(n-1-k)
		}
		x := b.x(f, s...)
		b.op(i, ir.A("perm", perm), x)
		b.op(i, ir.A("perm", back), x)
	}
}

func broadcasts(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("shape", shape.Of(standard...)), b.x(f, 1024))
		return
	}
	b.op(i, ir.A("shape", shape.Of(3, 8)), b.x(f))
	b.op(i, ir.A("shape", shape.Of(2, 3, 4, 8)), b.x(f, 4, 8))
	b.op(i, ir.A("shape", shape.Of(4, 8)), b.x(f, 4, 1))
	b.op(i, ir.A("shape", shape.Of(2, 0, 8)), b.x(f, 1, 8))
}

func sliced(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 1, "start", shape.Const(0), "limit", shape.Const(512)), b.x(f, standard...))
		return
	}
	for _, s := range moved {
		for ax := range s {
			x := b.x(f, s...)
			b.op(i, ir.A("axis", ax, "start", shape.Const(s[ax]/3), "limit", shape.Const(s[ax])), x)
			b.op(i, ir.A("axis", ax, "start", shape.Const(0), "limit", shape.Const(s[ax]), "stride", 2), x)
		}
	}
}

func concats(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 1), b.x(f, standard...), b.x(f, standard...))
		return
	}
	for _, s := range moved {
		for ax := range s {
			x := b.x(f, s...)
			b.op(i, ir.A("axis", ax), x, b.x(f, s...), x)
		}
	}
	var many []*ir.Value
	for k := range int64(17) {
		many = append(many, b.x(f, 2, k, 8))
	}
	b.op(i, ir.A("axis", 1), many...)
}

func pads(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("low", []int64{1, 1}, "high", []int64{1, 1}), b.x(f, standard...), b.Scalar(f, 1))
		return
	}
	for _, s := range moved {
		for ax := range s {
			lo, hi := make([]int64, len(s)), make([]int64, len(s))
			lo[ax], hi[(ax+1)%len(s)] = 2, 4
			b.op(i, ir.A("low", lo, "high", hi), b.x(f, s...), b.Scalar(f, 1))
			b.op(i, ir.A("low", hi, "high", lo), b.x(f, s...), b.x(f))
		}
	}
}

func reverses(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axes", []int64{1}), b.x(f, standard...))
		return
	}
	for _, s := range moved {
		x := b.x(f, s...)
		var all []int64
		for ax := range s {
			all = append(all, int64(ax))
			b.op(i, ir.A("axes", []int64{int64(ax)}), x)
		}
		b.op(i, ir.A("axes", all), x)
	}
}

func windows(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 0, "size", 3), b.x(f, 512, 1024))
		return
	}
	for _, s := range [][]int64{{8}, {9, 8}, {2, 7, 8}, {5, 0, 8}} {
		for ax := range s {
			x := b.x(f, s...)
			for _, w := range [][3]int64{{1, 1, 1}, {2, 1, 1}, {3, 2, 1}, {2, 3, 2}} {
				b.op(i, ir.A("axis", ax, "size", w[0], "stride", w[1], "dilation", w[2]), x)
			}
		}
	}
}

func gathers(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 0), b.x(f, standard...), b.input(index, 1024, format.I32, 1024))
		return
	}
	for _, ix := range []format.Format{format.I32, format.I64} {
		for _, s := range []struct {
			x, i []int64
			ax   int
		}{
			{[]int64{5, 8}, []int64{4}, 0}, {[]int64{5, 8}, []int64{}, 0}, {[]int64{5, 8}, []int64{2, 4}, 1}, {[]int64{4, 5, 8}, []int64{3, 2}, 1},
			{[]int64{3, 2, 8}, []int64{1, 1, 2}, -1}, {[]int64{7, 2, 8}, []int64{0}, 0}, {[]int64{8}, []int64{40, 2}, 0},
		} {
			n := s.x[(s.ax+len(s.x))%len(s.x)]
			b.op(i, ir.A("axis", s.ax), b.x(f, s.x...), b.input(anyIndex, n, ix, s.i...))
		}
	}
}

func gatherElements(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 1), b.x(f, standard...), b.input(index, 1024, format.I32, standard...))
		return
	}
	for _, ix := range []format.Format{format.I32, format.I64} {
		for _, s := range [][]int64{{8}, {3, 8}, {2, 4, 8}} {
			for ax := range s {
				is := append([]int64{}, s...)
				is[ax] = 4
				b.op(i, ir.A("axis", ax), b.x(f, s...), b.input(anyIndex, s[ax], ix, is...))
			}
		}
	}
}

func scatters(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 1), b.x(f, standard...), b.input(index, 1024, format.I32, standard...), b.x(f, standard...))
		return
	}
	for _, s := range [][]int64{{8}, {3, 8}, {2, 4, 8}} {
		for ax := range s {
			is := append([]int64{}, s...)
			is[ax] = 4
			ix := b.input(anyIndex, s[ax], format.I32, is...)
			x := b.x(f, s...)
			for _, r := range []string{"none", "add", "mul", "max", "min"} {
				if f == format.Bool && r != "none" || f == format.F8E8M0 && r != "none" {
					continue
				}
				b.op(i, ir.A("axis", ax, "reduce", r), x, ix, b.x(f, is...))
			}
			b.op(i, ir.A("axis", ax), x, b.input(anyIndex, s[ax], format.I64, is...), b.Scalar(f, 1))
		}
	}
}

func updates(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("axis", 0), b.x(f, standard...), b.x(f, 16, 1024), b.input(index, 1000, format.I32))
		return
	}
	for _, s := range []struct {
		x, y []int64
		ax   int
	}{{[]int64{2, 9, 8}, []int64{2, 3, 8}, 1}, {[]int64{7, 8}, []int64{2, 8}, 0}, {[]int64{3, 4, 60}, []int64{3, 4, 20}, -1}, {[]int64{4, 1, 8}, []int64{4, 0, 8}, 1}} {
		ax := (s.ax + len(s.x)) % len(s.x)
		room := s.x[ax] - s.y[ax] + 1
		if s.ax == -1 && f.Bits() < 8 {
			continue
		}
		b.op(i, ir.A("axis", s.ax), b.x(f, s.x...), b.x(f, s.y...), b.input(index, room, format.I32))
		if ax > 0 {
			b.op(i, ir.A("axis", s.ax), b.x(f, s.x...), b.x(f, s.y...), b.input(index, room, format.I64, s.x[0]))
		}
	}
}

var blocks = []struct{ x, block, scale []int64 }{
	{[]int64{8}, []int64{8}, []int64{1}}, {[]int64{3, 10}, []int64{4}, []int64{3, 3}}, {[]int64{3, 300}, []int64{128}, []int64{3, 3}},
	{[]int64{2, 6, 10}, []int64{4, 4}, []int64{2, 2, 3}}, {[]int64{4, 8}, []int64{3, 1}, []int64{2, 8}},
}

func dequantises(b *builder, i *op.Info, f format.Format) {
	if f.Bits() > 8 || f == format.Bool {
		return
	}
	if b.std {
		b.op(i, ir.A("block", []int64{128}, "format", format.BF16), b.x(f, standard...), b.input(positive, 0, format.F32, 1024, 8))
		return
	}
	for _, s := range blocks {
		for _, sf := range []format.Format{format.F32, format.F8E8M0} {
			b.op(i, ir.A("block", s.block, "format", format.F32), b.x(f, s.x...), b.input(positive, 0, sf, s.scale...))
		}
		b.op(i, ir.A("block", s.block, "format", format.BF16), b.x(f, s.x...), b.input(positive, 0, format.F16, s.scale...))
	}
}

func quantises(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("block", []int64{128}, "format", f), b.x(format.F32, standard...))
		return
	}
	for _, s := range blocks {
		b.op(i, ir.A("block", s.block, "format", f), b.x(format.F32, s.x...))
		b.op(i, ir.A("block", s.block, "format", f), b.x(format.F16, s.x...))
		b.op(i, ir.A("block", s.block, "format", f, "scale", "mx"), b.x(format.F32, s.x...)) // where the format has such scales
	}
}

func scaledMatmuls(b *builder, i *op.Info, f format.Format) {
	if f.Bits() > 8 || f == format.Bool {
		return
	}
	if b.std {
		b.op(i, ir.A("block", []int64{128, 128}, "format", format.F32), b.x(f, standard...), b.x(f, standard...), b.input(positive, 0, format.F32, 1024, 8), b.input(positive, 0, format.F32, 8, 8))
		return
	}
	for _, s := range []struct {
		a       []int64
		n, h, g int64
	}{{[]int64{5, 64}, 40, 32, 32}, {[]int64{2, 3, 96}, 20, 1, 96}, {[]int64{1, 128}, 9, 8, 128}, {[]int64{7, 96}, 33, 1, 32}, {[]int64{3, 72}, 10, 1, 32}} {
		k := s.a[len(s.a)-1]
		scale := append([]int64{}, s.a...)
		scale[len(scale)-1] = (k + s.g - 1) / s.g
		for _, sf := range []format.Format{format.F32, format.F8E8M0} {
			b.op(i, ir.A("block", []int64{s.h, s.g}, "format", format.F32), b.x(f, s.a...), b.x(f, s.n, k), b.input(positive, 0, sf, scale...),
				b.input(positive, 0, sf, (s.n+s.h-1)/s.h, (k+s.g-1)/s.g))
		}
	}
}

func attentions(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, ir.A("scale", 0.125, "causal", true), b.x(f, 1, 256, 16, 64), b.x(f, 1, 256, 4, 64), b.x(f, 1, 256, 4, 64))
		return
	}
	b.op(i, ir.A("scale", 0.35), b.x(f, 1, 1, 1, 8), b.x(f, 1, 1, 1, 8), b.x(f, 1, 1, 1, 8))
	b.op(i, ir.A("scale", 0.25, "causal", true), b.x(f, 2, 7, 6, 16), b.x(f, 2, 40, 2, 16), b.x(f, 2, 40, 2, 24))
	b.op(i, ir.A("scale", 0.25, "with", []string{"mask"}, "softcap", 3.0), b.x(f, 1, 5, 4, 16), b.x(f, 1, 9, 4, 16), b.x(f, 1, 9, 4, 16), b.x(format.Bool, 5, 9))
}

func groupedMatmuls(b *builder, i *op.Info, f format.Format) {
	if b.std {
		b.op(i, nil, b.x(f, 1024, 512), b.x(f, 8, 512, 512), b.input(offsets, 1024, format.I32, 9))
		return
	}
	b.op(i, nil, b.x(f, 20, 16), b.x(f, 3, 24, 16), b.input(offsets, 20, format.I32, 4))
	b.op(i, nil, b.x(f, 7, 40), b.x(f, 9, 12, 40), b.input(offsets, 7, format.I32, 10))
}

func prod(s []int64) int64 {
	n := int64(1)
	for _, d := range s {
		n *= d
	}
	return n
}

// named finds ops by a list such as "add,mul"; all that have a recipe when it is empty.
func named(list string) (out []*op.Info) {
	for _, i := range op.All() {
		if recipeOf(i) == nil {
			continue
		}
		if list == "" || strings.Contains(","+list+",", ","+i.Name+",") {
			out = append(out, i)
		}
	}
	return out
}
