package exec

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"sync"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

var testChip = sync.OnceValue(func() *chip.Chip {
	c, err := chip.Load("ascend-910b")
	if err != nil {
		panic(err)
	}
	return c
})

// tileOf is how a test lays an operand out: its tensor in the local, and the tile that the instruction sees of it.
type tileOf struct {
	t    *tensor.Tensor
	view func(t plan.Tile) plan.Tile // nil: dense
}

// apply runs one vector instruction: operands come from inputs, the results start as given and are read back.
func apply(t testing.TB, c *chip.Chip, in plan.Instr, dst, dst2, a, b, x *tileOf) (*tensor.Tensor, *tensor.Tensor, error) {
	t.Helper()
	bl := newBuilder(t, c)
	inputs := map[string]*tensor.Tensor{}
	ops := []*tileOf{dst, dst2, a, b, x}
	tiles := []*plan.Tile{&in.Dst, &in.Dst2, &in.A, &in.B, &in.C}
	names := []string{"dst", "dst2", "a", "b", "c"}
	var bufs, outs []int
	for i, o := range ops {
		if o == nil {
			continue
		}
		bufs = append(bufs, bl.buffer(names[i], plan.Input, o.t.Format, o.t.Shape...))
		inputs[names[i]] = o.t
		if i < 2 {
			outs = append(outs, bl.buffer("out"+names[i], plan.Output, o.t.Format, o.t.Shape...))
		}
	}
	bl.kernel("op")
	_, qi := bl.path("gm", "ub")
	_, qo := bl.path("ub", "gm")
	v := bl.queue("vector")
	in.Queue = v
	ready, done := bl.flag("ready", qi, v, 0), bl.flag("done", v, qo, 0)
	k := 0
	whole := make([]plan.Tile, 5)
	for i, o := range ops {
		if o == nil {
			continue
		}
		p := bl.param(bufs[k], true, false)
		k++
		l := bl.local(names[i], "ub", o.t.NumBytes(), 1)
		whole[i] = bl.at(l, o.t.Format, plan.C(0), o.t.Shape...)
		bl.move(whole[i], bl.global(p, o.t.Format, plan.C(0), o.t.Shape...))
		*tiles[i] = whole[i]
		if o.view != nil {
			*tiles[i] = o.view(whole[i])
		}
	}
	bl.signal(ready)
	bl.wait(ready)
	for i, tile := range tiles {
		if ops[i] == nil {
			*tile = plan.NoTile
		}
	}
	bl.emit(in)
	bl.signal(done)
	bl.wait(done)
	args := bufs
	for i, o := range ops[:2] {
		if o != nil {
			p := bl.param(outs[i], false, true)
			args = append(args, outs[i])
			bl.move(bl.global(p, o.t.Format, plan.C(0), o.t.Shape...), whole[i])
		}
	}
	bl.launch(1, args...)
	m, err := New(bl.p, c, nil, Options{Guard: true, Workers: 1})
	if err != nil {
		return nil, nil, err
	}
	out, err := m.Run(context.Background(), inputs)
	if err != nil {
		return nil, nil, err
	}
	return out["outdst"], out["outdst2"], nil
}

func zeros(t testing.TB, f format.Format, shape ...int64) *tileOf {
	z, err := tensor.New(f, shape)
	if err != nil {
		t.Fatal(err)
	}
	return &tileOf{t: z}
}

// patterns is a tensor of the given bit patterns.
func patterns(t testing.TB, f format.Format, p []uint64) *tileOf {
	n, _ := format.NumBytes(f, int64(len(p)))
	data := make([]byte, n)
	for i, x := range p {
		format.Put(f, data, i, x)
	}
	out, err := tensor.FromBytes(f, []int64{int64(len(p))}, data)
	if err != nil {
		t.Fatal(err)
	}
	return &tileOf{t: out}
}

// values gives patterns that cover a format: all of a small one, edges and random ones of a wide one.
func values(f format.Format, r *rand.Rand, most int) []uint64 {
	bits := f.Bits()
	if bits <= 8 || bits <= 16 && most >= 1<<16 {
		p := make([]uint64, 1<<bits)
		for i := range p {
			p[i] = uint64(i)
			if f == format.Bool {
				p[i] = uint64(i & 1)
			}
		}
		return p
	}
	p := make([]uint64, 0, most)
	for _, x := range []float64{0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, 1e-3, 100, -100, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat32, 1e-40, -1e-45, 0.1, 88, -88, 1e9} {
		p = append(p, f.Encode(x))
	}
	for len(p) < most {
		if len(p)%3 == 0 {
			p = append(p, r.Uint64()&(1<<bits-1))
		} else if f.IsFloat() {
			p = append(p, f.Encode(r.NormFloat64()*4))
		} else {
			p = append(p, f.EncodeInt(int64(r.Intn(64)-32)))
		}
	}
	return p
}

type function struct {
	fn    plan.Fn
	real  func(x, y, z float64) float64
	loose bool // computed approximately: one step of f32 is allowed
	whole func(x, y, z int64) int64
	cmp   bool
	bools bool
}

func b01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func nan2(x, y float64, g func(x, y float64) float64) float64 {
	if x != x || y != y {
		return math.NaN()
	}
	return g(x, y)
}

var functions = []function{
	{fn: plan.VNeg, real: func(x, _, _ float64) float64 { return -x }, whole: func(x, _, _ int64) int64 { return -x }},
	{fn: plan.VAbs, real: func(x, _, _ float64) float64 { return math.Abs(x) }, whole: func(x, _, _ int64) int64 {
		if x < 0 {
			return -x
		}
		return x
	}},
	{fn: plan.VSign, real: func(x, _, _ float64) float64 {
		if x > 0 {
			return 1
		} else if x < 0 {
			return -1
		}
		return x
	}, whole: func(x, _, _ int64) int64 {
		if x > 0 {
			return 1
		} else if x < 0 {
			return -1
		}
		return 0
	}},
	{fn: plan.VExp, real: func(x, _, _ float64) float64 { return math.Exp(x) }, loose: true},
	{fn: plan.VLog, real: func(x, _, _ float64) float64 { return math.Log(x) }, loose: true},
	{fn: plan.VSqrt, real: func(x, _, _ float64) float64 { return math.Sqrt(x) }},
	{fn: plan.VRsqrt, real: func(x, _, _ float64) float64 { return 1 / math.Sqrt(x) }, loose: true},
	{fn: plan.VReciprocal, real: func(x, _, _ float64) float64 { return 1 / x }},
	{fn: plan.VSin, real: func(x, _, _ float64) float64 { return math.Sin(x) }, loose: true},
	{fn: plan.VCos, real: func(x, _, _ float64) float64 { return math.Cos(x) }, loose: true},
	{fn: plan.VTanh, real: func(x, _, _ float64) float64 { return math.Tanh(x) }, loose: true},
	{fn: plan.VSigmoid, real: func(x, _, _ float64) float64 { return 1 / (1 + math.Exp(-x)) }, loose: true},
	{fn: plan.VAtan, real: func(x, _, _ float64) float64 { return math.Atan(x) }, loose: true},
	{fn: plan.VErf, real: func(x, _, _ float64) float64 { return math.Erf(x) }, loose: true},
	{fn: plan.VFloor, real: func(x, _, _ float64) float64 { return math.Floor(x) }},
	{fn: plan.VCeil, real: func(x, _, _ float64) float64 { return math.Ceil(x) }},
	{fn: plan.VRound, real: func(x, _, _ float64) float64 { return math.RoundToEven(x) }},
	{fn: plan.VNot, whole: func(x, _, _ int64) int64 { return ^x }, bools: true},
	{fn: plan.VAdd, real: func(x, y, _ float64) float64 { return x + y }, whole: func(x, y, _ int64) int64 { return x + y }},
	{fn: plan.VSub, real: func(x, y, _ float64) float64 { return x - y }, whole: func(x, y, _ int64) int64 { return x - y }},
	{fn: plan.VMul, real: func(x, y, _ float64) float64 { return x * y }, whole: func(x, y, _ int64) int64 { return x * y }},
	{fn: plan.VDiv, real: func(x, y, _ float64) float64 { return x / y }, whole: func(x, y, _ int64) int64 {
		if y == 0 {
			return 0
		}
		return x / y
	}},
	{fn: plan.VRem, real: func(x, y, _ float64) float64 { return math.Mod(x, y) }, whole: func(x, y, _ int64) int64 {
		if y == 0 {
			return 0
		}
		return x % y
	}},
	{fn: plan.VPow, real: func(x, y, _ float64) float64 { return math.Pow(x, y) }, loose: true},
	{fn: plan.VMax, real: func(x, y, _ float64) float64 { return nan2(x, y, math.Max) }, whole: func(x, y, _ int64) int64 { return max(x, y) }},
	{fn: plan.VMin, real: func(x, y, _ float64) float64 { return nan2(x, y, math.Min) }, whole: func(x, y, _ int64) int64 { return min(x, y) }},
	{fn: plan.VAnd, whole: func(x, y, _ int64) int64 { return x & y }, bools: true},
	{fn: plan.VOr, whole: func(x, y, _ int64) int64 { return x | y }, bools: true},
	{fn: plan.VXor, whole: func(x, y, _ int64) int64 { return x ^ y }, bools: true},
	{fn: plan.VEq, cmp: true, bools: true, real: func(x, y, _ float64) float64 { return b01(x == y) }, whole: func(x, y, _ int64) int64 { return int64(b01(x == y)) }},
	{fn: plan.VNe, cmp: true, bools: true, real: func(x, y, _ float64) float64 { return b01(x != y) }, whole: func(x, y, _ int64) int64 { return int64(b01(x != y)) }},
	{fn: plan.VLt, cmp: true, real: func(x, y, _ float64) float64 { return b01(x < y) }, whole: func(x, y, _ int64) int64 { return int64(b01(x < y)) }},
	{fn: plan.VLe, cmp: true, real: func(x, y, _ float64) float64 { return b01(x <= y) }, whole: func(x, y, _ int64) int64 { return int64(b01(x <= y)) }},
	{fn: plan.VGt, cmp: true, real: func(x, y, _ float64) float64 { return b01(x > y) }, whole: func(x, y, _ int64) int64 { return int64(b01(x > y)) }},
	{fn: plan.VGe, cmp: true, real: func(x, y, _ float64) float64 { return b01(x >= y) }, whole: func(x, y, _ int64) int64 { return int64(b01(x >= y)) }},
	{fn: plan.VFma, real: math.FMA, whole: func(x, y, z int64) int64 { return x*y + z }},
}

// once rounds a float64 result to what f32 and then the format make of it.
func once(f format.Format, v float64) float64 {
	if f == format.F64 {
		return v
	}
	if v != v {
		return f.Round(v)
	}
	return f.Round(float64(float32(v)))
}

func sameFloat(a, b float64) bool {
	return a == b && math.Signbit(a) == math.Signbit(b) || a != a && b != b
}

// TestFunctions runs every function of elements on every format against plain float64 or int64 arithmetic: on all pairs of patterns of the
// formats of eight bits and less, on all patterns of 16 bits for one operand.
func TestFunctions(t *testing.T) {
	for _, fn := range functions {
		for _, f := range format.All() {
			if f.IsFloat() && fn.real == nil || !f.IsFloat() && fn.whole == nil || f == format.Bool && !fn.bools || f == format.TF32 || f == format.HF32 {
				continue
			}
			if f == format.U64 {
				continue // TestWide
			}
			t.Run(fn.fn.String()+"/"+f.String(), func(t *testing.T) {
				t.Parallel()
				testFunction(t, fn, f)
			})
		}
	}
}

func testFunction(t *testing.T, fn function, f format.Format) {
	r := rand.New(rand.NewSource(3))
	n := arity(fn.fn)
	var ops [3]*tileOf
	var vals [3][]uint64
	rows := int64(0)
	for i := range n {
		most := 400
		if n == 1 {
			most = 1 << 16
			if f.Bits() > 16 {
				most = 5000
			}
		}
		vals[i] = values(f, r, most)
		switch {
		case n > 1 && f.Bits() <= 8 && i == 0:
			// Every pattern against every other.
			rows = int64(len(vals[0]))
		case n > 1 && f.Bits() <= 8 && i == 2:
			for k := range vals[2] {
				vals[2][k] = vals[2][r.Intn(len(vals[2]))]
			}
		case n > 1:
			r.Shuffle(len(vals[i]), func(a, b int) { vals[i][a], vals[i][b] = vals[i][b], vals[i][a] })
		}
		ops[i] = patterns(t, f, vals[i])
	}
	df := f
	if fn.cmp {
		df = format.Bool
	}
	cols := int64(len(vals[0]))
	count := cols
	dst := zeros(t, df, cols)
	if rows > 0 && f.Bits() == 8 {
		dst = zeros(t, df, rows, cols)
		count = rows * cols
		es := int64(1)
		spread := func(s0, s1 int64) func(plan.Tile) plan.Tile {
			return func(x plan.Tile) plan.Tile {
				x.Size = []plan.Val{plan.C(rows), plan.C(cols)}
				x.Stride = []int64{s0, s1}
				return x
			}
		}
		ops[0].view = spread(es, 0)
		ops[1].view = spread(0, es)
		if n > 2 {
			ops[2].view = spread(0, es)
		}
	} else {
		rows = 0
	}
	out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: fn.fn}, dst, nil, ops[0], ops[1], ops[2])
	if err != nil {
		t.Fatal(err)
	}
	data, _ := out.Bytes()
	slips := 0
	for i := range count {
		var p [3]uint64
		for k := range n {
			j := i
			if rows > 0 {
				j = i % cols
				if k == 0 {
					j = i / cols
				}
			}
			p[k] = vals[k][j]
		}
		got := format.Get(df, data, int(i))
		if f.IsFloat() {
			x, y, z := f.Decode(p[0]), f.Decode(p[1]), f.Decode(p[2])
			want := fn.real(x, y, z)
			g := df.Decode(got)
			if fn.fn == plan.VNeg || fn.fn == plan.VAbs {
				want = df.Round(want)
			} else if !fn.cmp {
				want = once(df, want)
			}
			if fn.fn == plan.VFma && f == format.F32 {
				want = float64(format.FMA32(float32(x), float32(y), float32(z)))
			}
			if want == 0 && g == 0 && fn.loose {
				continue
			}
			if !sameFloat(g, want) {
				if fn.loose && near(df, got, df.Encode(want)) {
					slips++
					continue
				}
				if fn.fn == plan.VFma && f != format.F64 && near(df, got, df.Encode(want)) {
					slips++ // the reference rounds to float64 on the way
					continue
				}
				t.Fatalf("%s(%v, %v, %v) = %v, want %v", fn.fn, x, y, z, g, want)
			}
			continue
		}
		want := df.EncodeInt(fn.whole(f.DecodeInt(p[0]), f.DecodeInt(p[1]), f.DecodeInt(p[2])))
		if f == format.Bool && fn.fn == plan.VNot {
			want = 1 - p[0]
		}
		if got != want {
			t.Fatalf("%s(%d, %d, %d) = %#x, want %#x", fn.fn, f.DecodeInt(p[0]), f.DecodeInt(p[1]), f.DecodeInt(p[2]), got, want)
		}
	}
	if slips*1000 > int(count)*4 {
		t.Errorf("%d of %d are off by a step", slips, count)
	}
}

// near says whether two patterns are neighbours.
func near(f format.Format, a, b uint64) bool {
	if f == format.F64 {
		return a-b+4 <= 8
	}
	return a-b+1 <= 2
}

// TestWide checks the functions of u64 that look at the top bit.
func TestWide(t *testing.T) {
	f := format.U64
	x := patterns(t, f, []uint64{1 << 63, 5, math.MaxUint64, 7})
	y := patterns(t, f, []uint64{5, 1 << 63, 3, 0})
	for _, c := range []struct {
		fn   plan.Fn
		want []uint64
	}{
		{plan.VDiv, []uint64{1 << 63 / 5, 0, math.MaxUint64 / 3, 0}},
		{plan.VRem, []uint64{1 << 63 % 5, 5, 0, 0}},
		{plan.VMax, []uint64{1 << 63, 1 << 63, math.MaxUint64, 7}},
		{plan.VMin, []uint64{5, 5, 3, 0}},
		{plan.VShr, []uint64{1 << 58, 0, math.MaxUint64 >> 3, 7}},
		{plan.VShl, []uint64{0, 0, math.MaxUint64 - 7, 7}},
	} {
		out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: c.fn}, zeros(t, f, 4), nil, x, y, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := out.Bytes()
		for i, w := range c.want {
			if got := format.Get(f, data, i); got != w {
				t.Errorf("%s, element %d: %d, want %d", c.fn, i, got, w)
			}
		}
	}
	out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: plan.VLt}, zeros(t, format.Bool, 4), nil, x, y, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := out.Bytes(); fmt.Sprint(b) != "[0 1 0 0]" {
		t.Errorf("lt: %v", b)
	}
}

// TestShifts checks shifts on every integer format, by all amounts.
func TestShifts(t *testing.T) {
	for _, f := range format.All() {
		if !f.IsInt() || f.Bits() < 8 {
			continue
		}
		var xs, ns []uint64
		for n := range 70 {
			for _, x := range []int64{1, -1, 77, f.MinInt(), f.MaxInt()} {
				xs = append(xs, f.EncodeInt(x))
				ns = append(ns, f.EncodeInt(int64(n)))
			}
		}
		for _, fn := range []plan.Fn{plan.VShl, plan.VShr} {
			out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: fn}, zeros(t, f, int64(len(xs))), nil, patterns(t, f, xs), patterns(t, f, ns), nil)
			if err != nil {
				t.Fatal(err)
			}
			data, _ := out.Bytes()
			for i := range xs {
				n := ns[i]
				var want uint64
				switch {
				case fn == plan.VShl && n < uint64(f.Bits()):
					want = xs[i] << n & (^uint64(0) >> (64 - f.Bits()))
				case fn == plan.VShl:
				case f.IsSigned():
					want = f.EncodeInt(f.DecodeInt(xs[i]) >> min(n, 63))
				case n < 64:
					want = xs[i] >> n
				}
				if got := format.Get(f, data, i); got != want {
					t.Fatalf("%s of %s: %#x by %d is %#x, want %#x", fn, f, xs[i], n, got, want)
				}
			}
		}
	}
}

// TestCasts converts between every two formats: all patterns of the small ones.
func TestCasts(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	for _, from := range format.All() {
		vals := values(from, r, 1500)
		if from.Bits() == 64 && !from.IsFloat() {
			// Halfway cases that rounding twice would get wrong.
			vals = append(vals, 1<<24|1<<0, 1<<25+1<<1+1, 1<<60+1<<36, 1<<60+1<<36+1, 1<<60+1<<51+1, 1<<63+1<<39+1, 1<<63, math.MaxUint64, 1<<11+1, 0x8000000000000401)
		}
		for _, to := range format.All() {
			for _, sat := range []bool{false, true} {
				if sat && !to.IsFloat() {
					continue
				}
				n := int64(len(vals))
				out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: plan.VCast, Saturate: sat}, zeros(t, to, n), nil, patterns(t, from, vals), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				data, _ := out.Bytes()
				m := to.DefaultMode()
				m.Saturate = sat
				for i, p := range vals {
					var want uint64
					switch {
					case !from.IsFloat() && !to.IsFloat():
						want = to.EncodeInt(from.DecodeInt(p))
					case !to.IsFloat():
						want = to.EncodeMode(from.Decode(p), format.Mode{Round: format.TowardZero})
					case from.Bits() == 64 && !from.IsFloat():
						want = castWide(from, to, p, m)
					default:
						want = to.EncodeMode(from.Decode(p), m)
					}
					if got := format.Get(to, data, i); got != want && !(math.IsNaN(to.Decode(got)) && math.IsNaN(to.Decode(want))) {
						t.Fatalf("%s to %s (saturate %v): %#x (%v) gives %#x (%v), want %#x (%v)", from, to, sat, p, from.Decode(p), got, to.Decode(got), want, to.Decode(want))
					}
				}
			}
		}
	}
}

// castWide rounds a 64-bit integer to a float in one step: by halves that are exact in float64, cut to odd.
func castWide(from, to format.Format, p uint64, m format.Mode) uint64 {
	neg := false
	if from == format.I64 && int64(p) < 0 {
		neg, p = true, -p
	}
	hi, lo := p>>12, p&0xfff
	if lo != 0 {
		hi |= 1
	}
	x := math.Ldexp(float64(hi), 12)
	if p>>52 == 0 {
		x = float64(p)
	}
	if to == format.F64 {
		x = float64(p)
	}
	if neg {
		x = -x
	}
	return to.EncodeMode(x, m)
}
