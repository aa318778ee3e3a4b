package exec

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"sort"
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

func list(t testing.TB, f format.Format, shape []int64, x ...float64) *tileOf {
	out, err := tensor.FromF64(f, shape, x)
	if err != nil {
		t.Fatal(err)
	}
	return &tileOf{t: out}
}

func f64s(t testing.TB, x *tensor.Tensor) []float64 {
	v, err := x.F64s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// numbers are formats that most instructions take, with how they compute.
var numbers = []format.Format{format.F64, format.F32, format.BF16, format.F16, format.F8E4M3FN, format.F8E5M2, format.I64, format.I32, format.I16, format.I8, format.U8}

func randomTile(t testing.TB, r *rand.Rand, f format.Format, shape ...int64) *tileOf {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Round(r.NormFloat64()*64) / 8
		if !f.IsFloat() {
			x[i] = float64(r.Intn(13) - 6)
		}
		if f == format.U8 {
			x[i] = math.Abs(x[i])
		}
		if f == format.Bool {
			x[i] = float64(r.Intn(2))
		}
	}
	return list(t, f, shape, x...)
}

func TestReduce(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	folds := map[plan.Fn]func(a, b float64) float64{
		plan.VAdd: func(a, b float64) float64 { return a + b }, plan.VMul: func(a, b float64) float64 { return a * b },
		plan.VMax: func(a, b float64) float64 { return nan2(a, b, math.Max) }, plan.VMin: func(a, b float64) float64 { return nan2(a, b, math.Min) },
		plan.VAbsMax: func(a, b float64) float64 { return nan2(math.Abs(a), math.Abs(b), math.Max) },
		plan.VAnd:    func(a, b float64) float64 { return float64(int64(a) & int64(b)) }, plan.VOr: func(a, b float64) float64 { return float64(int64(a) | int64(b)) },
	}
	for fn := plan.VAdd; fn <= plan.VAbsMax; fn++ {
		fold := folds[fn]
		if fold == nil {
			continue
		}
		for _, f := range append(slices.Clone(numbers), format.Bool) {
			if (fn == plan.VAnd || fn == plan.VOr) == f.IsFloat() || f == format.Bool && fn != plan.VAnd && fn != plan.VOr {
				continue
			}
			for _, acc := range []int64{0, 1} {
				for _, cols := range []int64{1, 7, 64, 5000} {
					if fn == plan.VMul && cols > 64 {
						continue
					}
					rows := int64(5)
					a := randomTile(t, r, f, rows, cols)
					if fn == plan.VMul {
						for i, v := range f64s(t, a.t) { // powers of two: products are exact
							b, _ := a.t.Bytes()
							format.Put(f, b, i, f.Encode(map[bool]float64{true: 1, false: -1}[v < 3]))
							if f == format.U8 {
								format.Put(f, b, i, 1+uint64(i%2))
							}
						}
					}
					d := randomTile(t, r, f, rows, 1)
					out, _, err := apply(t, testChip(), plan.Instr{Op: plan.VReduce, Fn: fn, Acc: plan.C(acc)}, d, nil, a, nil, nil)
					if err != nil {
						t.Fatal(err)
					}
					x, old, got := f64s(t, a.t), f64s(t, d.t), f64s(t, out)
					for i := range rows {
						row := x[i*cols : (i+1)*cols]
						want := row[0]
						sum := math.Abs(row[0])
						if fn == plan.VAbsMax {
							want = sum
						}
						for _, v := range row[1:] {
							want = fold(want, v)
							sum += math.Abs(v)
						}
						if acc == 1 {
							want = fold(want, old[i])
						}
						if !f.IsFloat() {
							want = float64(f.DecodeInt(f.EncodeInt(int64(want))))
							if got[i] != want {
								t.Fatalf("%s of %s: %v, want %v", fn, f, got[i], want)
							}
							continue
						}
						// The lane's error, at most one rounding a step, and one rounding to the format.
						slack := sum * float64(cols) * 0x1p-23
						if fn != plan.VAdd {
							slack = 0
						}
						lo, hi := f.Round(want-slack), f.Round(want+slack)
						if got[i] < lo || got[i] > hi || got[i] != got[i] && lo == lo && hi == hi {
							t.Fatalf("%s of %s, %d columns: %v, want %v (from %v to %v)", fn, f, cols, got[i], f.Round(want), lo, hi)
						}
					}
				}
			}
		}
	}
	nan := list(t, format.F32, []int64{2, 3}, 1, math.NaN(), 2, 1, 2, 3)
	for _, fn := range []plan.Fn{plan.VAdd, plan.VMax, plan.VMin, plan.VAbsMax} {
		out, _, err := apply(t, testChip(), plan.Instr{Op: plan.VReduce, Fn: fn}, zeros(t, format.F32, 2, 1), nil, nan, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := f64s(t, out); v[0] == v[0] || v[1] != v[1] {
			t.Errorf("%s with NaN: %v", fn, v)
		}
	}
}

func TestScan(t *testing.T) {
	r := rand.New(rand.NewSource(6))
	for _, f := range numbers {
		for _, exclusive := range []float64{0, 1} {
			for _, start := range []bool{false, true} {
				a := randomTile(t, r, f, 3, 9)
				var b *tileOf
				from := make([]float64, 3)
				if start {
					b = randomTile(t, r, f, 3, 1)
					from = f64s(t, b.t)
				}
				out, _, err := apply(t, testChip(), plan.Instr{Op: plan.VScan, Fn: plan.VAdd, Imm: exclusive}, zeros(t, f, 3, 9), nil, a, b, nil)
				if err != nil {
					t.Fatal(err)
				}
				x, got := f64s(t, a.t), f64s(t, out)
				for i := range 3 {
					s := from[i]
					for j := range 9 {
						v := x[i*9+j]
						want := s + v
						if exclusive == 1 {
							want = s
						}
						s += v // small multiples of 1/8: exact
						if f.IsFloat() {
							want = f.Round(want)
						} else {
							want = float64(f.DecodeInt(f.EncodeInt(int64(want))))
						}
						if got[i*9+j] != want {
							t.Fatalf("%s, exclusive %v: element %d,%d is %v, want %v", f, exclusive, i, j, got[i*9+j], want)
						}
					}
				}
			}
		}
	}
}

func TestIota(t *testing.T) {
	for _, f := range numbers {
		out, _, err := apply(t, testChip(), plan.Instr{Op: plan.VIota, X: plan.C(3), Y: plan.C(10), Z: plan.C(2)}, zeros(t, f, 2, 3, 4), nil, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range f64s(t, out) {
			want := float64(3 + i/4*10 + i%4*2)
			if f.IsFloat() {
				want = f.Round(want)
			}
			if got != want {
				t.Fatalf("%s: element %d is %v, want %v", f, i, got, want)
			}
		}
	}
}

func TestTopK(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	for _, f := range numbers {
		for _, fn := range []plan.Fn{plan.VMax, plan.VMin} {
			for _, k := range []int64{1, 8, 100, 200} {
				const cols = 200
				a := randomTile(t, r, f, 4, cols)
				data, _ := a.t.Bytes()
				if f.IsFloat() && f.Info().HasNaN {
					format.Put(f, data, 17, f.Encode(math.NaN()))
					format.Put(f, data, 90, f.Encode(math.NaN()))
					format.Put(f, data, 3, f.Encode(math.Copysign(0, -1)))
				}
				x := f64s(t, a.t)
				out, idx, err := apply(t, testChip(), plan.Instr{Op: plan.VTopK, Fn: fn}, zeros(t, f, 4, k), zeros(t, format.I32, 4, k), a, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				got, at := f64s(t, out), f64s(t, idx)
				for i := range 4 {
					row := x[i*cols:][:cols]
					order := make([]int, cols)
					for j := range order {
						order[j] = j
					}
					key := func(j int) float64 {
						if row[j] != row[j] {
							return math.Inf(1)
						}
						return row[j]
					}
					sort.SliceStable(order, func(p, q int) bool {
						if fn == plan.VMax {
							return key(order[p]) > key(order[q])
						}
						return key(order[p]) < key(order[q])
					})
					for j := range k {
						if w := order[j]; int(at[int64(i)*k+j]) != w || !sameFloat(got[int64(i)*k+j], row[w]) {
							t.Fatalf("%s %s of %d, row %d: place %d is column %v (%v), want %d (%v)", f, fn, k, i, j, at[int64(i)*k+j], got[int64(i)*k+j], w, row[w])
						}
					}
				}
			}
		}
	}
	if _, _, err := apply(t, testChip(), plan.Instr{Op: plan.VTopK, Fn: plan.VMax}, zeros(t, format.F32, 1, 5), nil, zeros(t, format.F32, 1, 4), nil, nil); err == nil || !strings.Contains(err.Error(), "best 5 of a row of 4") {
		t.Errorf("more than there are: %v", err)
	}
}

func TestTakePut(t *testing.T) {
	r := rand.New(rand.NewSource(8))
	for _, f := range numbers {
		a := randomTile(t, r, f, 3, 20)
		idx := make([]float64, 3*8)
		for i := range idx {
			idx[i] = float64(r.Intn(20))
		}
		b := list(t, format.I32, []int64{3, 8}, idx...)
		out, _, err := apply(t, testChip(), plan.Instr{Op: plan.VTake}, zeros(t, f, 3, 8), nil, a, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		x, got := f64s(t, a.t), f64s(t, out)
		for i := range got {
			if want := x[i/8*20+int(idx[i])]; got[i] != want {
				t.Fatalf("take of %s: element %d is %v, want %v", f, i, got[i], want)
			}
		}
		for fn, combine := range map[plan.Fn]func(old, v float64) float64{
			plan.VCopy: func(_, v float64) float64 { return v }, plan.VAdd: func(o, v float64) float64 { return o + v },
			plan.VMul: func(o, v float64) float64 { return o * v }, plan.VMax: math.Max, plan.VMin: math.Min,
		} {
			d, u := randomTile(t, r, f, 3, 20), randomTile(t, r, f, 3, 8)
			out, _, err := apply(t, testChip(), plan.Instr{Op: plan.VPut, Fn: fn}, d, nil, u, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			want, v := f64s(t, d.t), f64s(t, u.t)
			for i := range v {
				at := i/8*20 + int(idx[i])
				w := combine(want[at], v[i])
				if f.IsFloat() {
					w = once(f, w)
				} else {
					w = float64(f.DecodeInt(f.EncodeInt(int64(w))))
				}
				want[at] = w
			}
			for i, g := range f64s(t, out) {
				if !sameFloat(g, want[i]) && g != want[i] {
					t.Fatalf("put.%s of %s: element %d is %v, want %v", fn, f, i, g, want[i])
				}
			}
		}
	}
	bad := list(t, format.I32, []int64{1, 1}, 20)
	_, _, err := apply(t, testChip(), plan.Instr{Op: plan.VTake}, zeros(t, format.F32, 1, 1), nil, zeros(t, format.F32, 1, 20), bad, nil)
	if err == nil || !strings.Contains(err.Error(), "index 20 is outside of a row of 20") {
		t.Errorf("index out of range: %v", err)
	}
}

func TestGroup(t *testing.T) {
	r := rand.New(rand.NewSource(9))
	const n, groups = 300, 7
	ids := make([]float64, n)
	for i := range ids {
		ids[i] = float64(r.Intn(groups))
		if ids[i] == 3 {
			ids[i] = 4 // one group stays empty
		}
	}
	order, offsets, err := apply(t, testChip(), plan.Instr{Op: plan.VGroup}, zeros(t, format.I32, 1, n), zeros(t, format.I32, 1, groups+1), list(t, format.I32, []int64{1, n}, ids...), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, off := f64s(t, order), f64s(t, offsets)
	k := 0
	for g := range groups {
		if int(off[g]) != k {
			t.Fatalf("group %d begins at %v, want %d", g, off[g], k)
		}
		for i, id := range ids {
			if int(id) == g {
				if int(got[k]) != i {
					t.Fatalf("place %d holds slot %v, want %d", k, got[k], i)
				}
				k++
			}
		}
	}
	if off[groups] != n {
		t.Errorf("the groups end at %v", off[groups])
	}
	ids[5] = groups
	_, _, err = apply(t, testChip(), plan.Instr{Op: plan.VGroup}, zeros(t, format.I32, 1, n), zeros(t, format.I32, 1, groups+1), list(t, format.I32, []int64{1, n}, ids...), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "slot 5 names group 7 of 7") {
		t.Errorf("group out of range: %v", err)
	}
}

// TestLayouts runs an addition, a copy, a selection and a fill over tiles of random ranks, strides, broadcasts and transposes.
func TestLayouts(t *testing.T) {
	r := rand.New(rand.NewSource(10))
	for _, f := range []format.Format{format.F32, format.BF16, format.I8, format.I32, format.F64} {
		es := int64(f.Bits() / 8)
		for range 40 {
			rank := 1 + r.Intn(5)
			size := make([]int64, rank)
			for i := range size {
				size[i] = 1 + int64(r.Intn(6))
			}
			if r.Intn(4) == 0 {
				size[rank-1] = 2100 + int64(r.Intn(1000)) // beyond one chunk
				for i := range size[:rank-1] {
					size[i] = 1
					if i == 0 {
						size[i] = 2
					}
				}
			}
			n := int64(1)
			for _, d := range size {
				n *= d
			}
			// A random order of the axes in memory, gaps, and, for sources, repeats.
			layout := func(es int64, source bool) (stride []int64, span int64) {
				stride = make([]int64, rank)
				at := es
				for _, a := range r.Perm(rank) {
					if source && r.Intn(4) == 0 {
						continue
					}
					stride[a] = at
					at *= size[a]
					if r.Intn(3) == 0 {
						at += es * int64(r.Intn(2))
					}
				}
				if r.Intn(2) == 0 { // dense
					at = es
					for a := rank - 1; a >= 0; a-- {
						stride[a] = at
						at *= size[a]
					}
				}
				return stride, at / es
			}
			view := func(s []int64) func(plan.Tile) plan.Tile {
				return func(x plan.Tile) plan.Tile {
					x.Size = nil
					for _, d := range size {
						x.Size = append(x.Size, plan.C(d))
					}
					x.Stride = s
					return x
				}
			}
			at := func(s []int64, es, i int64) int64 {
				o := int64(0)
				for a := rank - 1; a >= 0; a-- {
					o += i % size[a] * s[a]
					i /= size[a]
				}
				return o / es
			}
			ds, dn := layout(es, false)
			as, an := layout(es, true)
			bs, bn := layout(es, true)
			ms, mn := layout(1, true)
			d, a, b, m := randomTile(t, r, f, dn), randomTile(t, r, f, an), randomTile(t, r, f, bn), randomTile(t, r, format.Bool, mn)
			d.view, a.view, b.view, m.view = view(ds), view(as), view(bs), view(ms)
			old, x, y, mask := f64s(t, d.t), f64s(t, a.t), f64s(t, b.t), f64s(t, m.t)
			for _, c := range []struct {
				in      plan.Instr
				a, b, c *tileOf
				want    func(i int64) float64
			}{
				{plan.Instr{Fn: plan.VAdd}, a, b, nil, func(i int64) float64 { return x[at(as, es, i)] + y[at(bs, es, i)] }},
				{plan.Instr{Fn: plan.VMul, Imm: 3}, a, nil, nil, func(i int64) float64 { return x[at(as, es, i)] * 3 }},
				{plan.Instr{Fn: plan.VCopy}, a, nil, nil, func(i int64) float64 { return x[at(as, es, i)] }},
				{plan.Instr{Fn: plan.VCopy, Imm: -5}, nil, nil, nil, func(i int64) float64 { return -5 }},
				{plan.Instr{Fn: plan.VSelect}, m, a, b, func(i int64) float64 {
					if mask[at(ms, 1, i)] != 0 {
						return x[at(as, es, i)]
					}
					return y[at(bs, es, i)]
				}},
				{plan.Instr{Fn: plan.VSelect, Imm: 7}, m, a, nil, func(i int64) float64 {
					if mask[at(ms, 1, i)] != 0 {
						return x[at(as, es, i)]
					}
					return 7
				}},
			} {
				c.in.Op = plan.Vec
				out, _, err := apply(t, testChip(), c.in, d, nil, c.a, c.b, c.c)
				if err != nil {
					t.Fatalf("%s: %v", c.in.Fn, err)
				}
				want := slices.Clone(old)
				for i := range n {
					v := c.want(i)
					if f.IsFloat() {
						v = f.Round(v)
					}
					want[at(ds, es, i)] = v
				}
				for i, g := range f64s(t, out) {
					if g != want[i] {
						t.Fatalf("%s of %s %v, strides %v = %v, %v: element %d is %v, want %v", c.in.Fn, f, size, ds, as, bs, i, g, want[i])
					}
				}
			}
		}
	}
}

// TestOdd adds f32 tiles whose rows are not a multiple of four bytes apart.
func TestOdd(t *testing.T) {
	for _, stride := range [][]int64{{34, 17, 4}, {38, 20, 4}, {18, 4, 1}, {70, 22, 5}, {35, 8, 4}} {
		size := []int64{2, 2, 4}
		span := stride[0] + stride[1] + 3*stride[2] + 4
		raw := make([]byte, span)
		for i := range raw {
			raw[i] = byte(i*7 + 3)
		}
		b, _ := tensor.FromBytes(format.U8, []int64{span}, raw)
		src := &tileOf{t: b, view: func(x plan.Tile) plan.Tile {
			x.Format, x.Stride, x.Size = format.F32, stride, nil
			for _, n := range size {
				x.Size = append(x.Size, plan.C(n))
			}
			return x
		}}
		out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: plan.VAdd}, zeros(t, format.F32, size...), nil, src, src, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := f64s(t, out)
		for i := range got {
			at := int64(i)/8*stride[0] + int64(i)/4%2*stride[1] + int64(i)%4*stride[2]
			v := format.F32.Decode(format.Get(format.F32, raw[at:], 0))
			if want := once(format.F32, v+v); !sameFloat(got[i], want) {
				t.Errorf("strides %v, element %d: %v, want %v", stride, i, got[i], want)
			}
		}
	}
}

// TestNarrow checks the dense rows of sub-byte formats: casts, copies and fills, with odd lengths.
func TestNarrow(t *testing.T) {
	r := rand.New(rand.NewSource(11))
	for _, f := range []format.Format{format.I4, format.U4, format.I2, format.U2, format.F4E2M1, format.F6E3M2, format.F6E2M3} {
		for _, cols := range []int64{1, 7, 16, 4099} {
			const rows = 3
			row, _ := format.NumBytes(f, cols)
			pitch := row + 2
			bytes := make([]byte, rows*pitch)
			r.Read(bytes)
			raw, err := tensor.FromBytes(format.U8, []int64{rows * pitch}, bytes)
			if err != nil {
				t.Fatal(err)
			}
			src := &tileOf{t: raw, view: func(x plan.Tile) plan.Tile {
				x.Format = f
				x.Size = []plan.Val{plan.C(rows), plan.C(cols)}
				x.Stride = []int64{pitch, 0}
				return x
			}}
			to := format.F32
			out, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: plan.VCast}, zeros(t, to, rows, cols), nil, src, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := f64s(t, out)
			for i := range rows * cols {
				want := f.Decode(format.Get(f, bytes[i/cols*pitch:], int(i%cols)))
				if got[i] != want {
					t.Fatalf("%s to f32: element %d is %v, want %v", f, i, got[i], want)
				}
			}
			// And back: the bytes of the rows are those they were, those between untouched.
			back := &tileOf{t: raw, view: src.view}
			again, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: plan.VCast}, back, nil, &tileOf{t: out}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			data, _ := again.Bytes()
			if string(data) != string(bytes) {
				t.Fatalf("%s: f32 to %s changes the bytes", f, f)
			}
			fill := &tileOf{t: raw, view: src.view}
			filled, _, err := apply(t, testChip(), plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Imm: 1}, fill, nil, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			data, _ = filled.Bytes()
			for i := range rows * cols {
				if g := f.Decode(format.Get(f, data[i/cols*pitch:], int(i%cols))); g != 1 {
					t.Fatalf("%s: element %d is filled with %v", f, i, g)
				}
			}
		}
	}
}

// TestFlush checks a chip that takes and gives subnormals as zero: arithmetic does, copies and casts do not.
func TestFlush(t *testing.T) {
	c := *testChip()
	c.FlushSubnormals = true
	for _, f := range []format.Format{format.F32, format.F16, format.BF16, format.F64} {
		sub := f.Info().MinNormal / 2
		least := f.Info().MinNormal
		x := list(t, f, []int64{4}, sub, -sub, least, 1)
		for _, k := range []struct {
			fn   plan.Fn
			imm  float64
			want []float64
		}{
			{plan.VAdd, 0, []float64{0, 0, least, 1}},
			{plan.VMul, 0.5, []float64{0, math.Copysign(0, -1), 0, 0.5}},
			{plan.VNeg, 0, []float64{-sub, sub, -least, -1}},
			{plan.VCopy, 0, []float64{sub, -sub, least, 1}},
			{plan.VCast, 0, []float64{sub, -sub, least, 1}},
		} {
			out, _, err := apply(t, &c, plan.Instr{Op: plan.Vec, Fn: k.fn, Imm: k.imm}, zeros(t, f, 4), nil, x, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := f64s(t, out)
			for i, w := range k.want {
				if k.fn == plan.VAdd && w == 0 && got[i] == 0 {
					continue
				}
				if !sameFloat(got[i], w) {
					t.Errorf("%s of %s, element %d: %v, want %v", k.fn, f, i, got[i], w)
				}
			}
		}
		out, _, err := apply(t, &c, plan.Instr{Op: plan.VReduce, Fn: plan.VAdd}, zeros(t, f, 1, 1), nil, list(t, f, []int64{1, 4}, sub, sub, sub, sub), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := f64s(t, out); got[0] != 0 {
			t.Errorf("sum of subnormals of %s: %v", f, got[0])
		}
	}
}

// TestRefused gives instructions that make no sense: each is an error with a reason before anything runs.
func TestRefused(t *testing.T) {
	f32, i32, b8 := zeros(t, format.F32, 4, 4), zeros(t, format.I32, 4, 4), zeros(t, format.Bool, 4, 4)
	col := zeros(t, format.F32, 4, 1)
	for i, c := range []struct {
		in           plan.Instr
		dst, a, b, c *tileOf
		want         string
	}{
		{plan.Instr{Op: plan.Vec, Fn: plan.VAdd}, f32, f32, i32, nil, "mixes f32 and i32"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VAdd}, i32, f32, f32, nil, "a cast changes it"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VExp}, i32, i32, nil, nil, "does not take i32"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VAnd}, f32, f32, f32, nil, "does not take f32"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VLt}, f32, f32, f32, nil, "gives bool"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VNeg}, f32, f32, f32, nil, "takes 1 operands"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VSelect}, f32, f32, f32, f32, "bool tile first"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VSelect}, f32, b8, f32, i32, "of the result's format"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VCopy}, f32, i32, nil, nil, "a cast changes it"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VBitcast}, f32, b8, nil, nil, "of one width"},
		{plan.Instr{Op: plan.Vec, Fn: plan.SLt}, f32, f32, f32, nil, "no function of elements"},
		{plan.Instr{Op: plan.Vec, Fn: plan.VAdd}, f32, f32, col, nil, "different sizes"},
		{plan.Instr{Op: plan.VReduce, Fn: plan.VAdd}, f32, f32, nil, nil, "one element a row"},
		{plan.Instr{Op: plan.VReduce, Fn: plan.VSub}, col, f32, nil, nil, "does not fold"},
		{plan.Instr{Op: plan.VTopK, Fn: plan.VAdd}, f32, f32, nil, nil, "the largest"},
		{plan.Instr{Op: plan.VTake}, f32, f32, f32, nil, "columns as i32"},
		{plan.Instr{Op: plan.VIota}, b8, nil, nil, nil, "gives numbers"},
		{plan.Instr{Op: plan.Mma}, f32, f32, f32, nil, "elements lie over each other"},
		{plan.Instr{Op: 99}, f32, f32, f32, nil, "opcode 99"},
	} {
		if c.in.Op == plan.Mma {
			c.dst = &tileOf{t: c.dst.t, view: func(x plan.Tile) plan.Tile { x.Stride = []int64{0, 4}; return x }}
		}
		_, _, err := apply(t, testChip(), c.in, c.dst, nil, c.a, c.b, c.c)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: %v, want an error with %q", i, err, c.want)
		}
	}
}

// TestIndex gathers and scatters rows by lists.
func TestIndex(t *testing.T) {
	b := newBuilder(t, loadChip(t, "nvidia-h100"))
	x, ix := b.buffer("x", plan.Input, format.BF16, 10, 6), b.buffer("ix", plan.Input, format.I32, 4)
	y, z := b.buffer("y", plan.Output, format.BF16, 4, 6), b.buffer("z", plan.State, format.BF16, 10, 6)
	zo := b.buffer("zo", plan.Output, format.BF16, 10, 6)
	b.kernel("rows")
	px, pi, py, pz, po := b.param(x, true, false), b.param(ix, true, false), b.param(y, false, true), b.param(z, true, true), b.param(zo, false, true)
	rows, idx, all := b.local("rows", "regs", 48, 1), b.local("ix", "regs", 16, 1), b.local("all", "regs", 120, 1)
	_, q := b.path("gm", "regs")
	_ = q
	b.move(b.at(idx, format.I32, plan.C(0), 4), b.global(pi, format.I32, plan.C(0), 4))
	it := b.at(idx, format.I32, plan.C(0), 4)
	src := b.global(px, format.BF16, plan.C(0), 4, 6)
	src.Index = &it
	b.move(b.at(rows, format.BF16, plan.C(0), 4, 6), src)
	b.move(b.global(py, format.BF16, plan.C(0), 4, 6), b.at(rows, format.BF16, plan.C(0), 4, 6))
	to := b.global(pz, format.BF16, plan.C(0), 4, 6)
	to.Index = &it
	b.move(to, b.at(rows, format.BF16, plan.C(0), 4, 6))
	b.move(b.at(all, format.BF16, plan.C(0), 10, 6), b.global(pz, format.BF16, plan.C(0), 10, 6))
	b.move(b.global(po, format.BF16, plan.C(0), 10, 6), b.at(all, format.BF16, plan.C(0), 10, 6))
	b.launch(1, x, ix, y, z, zo)
	m, err := New(b.p, b.c, nil, Options{Guard: true})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewSource(12))
	in := random(t, r, format.BF16, 10, 6)
	run := func(idx ...int64) (map[string]*tensor.Tensor, error) {
		l, _ := tensor.FromI64(format.I32, []int64{4}, idx)
		return m.Run(t.Context(), map[string]*tensor.Tensor{"x": in, "ix": l})
	}
	out, err := run(9, 0, 3, 3)
	if err != nil {
		t.Fatal(err)
	}
	xs, ys, zs := f64s(t, in), f64s(t, out["y"]), f64s(t, out["zo"])
	for i, row := range []int{9, 0, 3, 3} {
		for j := range 6 {
			if ys[i*6+j] != xs[row*6+j] || zs[row*6+j] != xs[row*6+j] {
				t.Fatalf("row %d, column %d: %v and %v, want %v", i, j, ys[i*6+j], zs[row*6+j], xs[row*6+j])
			}
		}
	}
	if zs[6] != 0 {
		t.Errorf("row 1 was not to be written: %v", zs[6:12])
	}
	// The state keeps it for the next run, and a reset clears it.
	if out, err = run(1, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	if zs := f64s(t, out["zo"]); zs[9*6] != xs[9*6] || zs[6] != xs[6] {
		t.Error("the state was not kept")
	}
	m.ResetStates()
	if out, err = run(1, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	if zs := f64s(t, out["zo"]); zs[9*6] != 0 {
		t.Error("the state was not reset")
	}
	for _, bad := range []int64{10, -1, math.MaxInt32, math.MinInt32} {
		if _, err = run(0, 1, bad, 2); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("index %d, element 2 of the list", bad)) {
			t.Errorf("index %d: %v", bad, err)
		}
	}
}
