package format

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// floats32 holds float32 values that matter: all upper halves with the lower halves
// that decide a rounding, and some at random.
func floats32() []float32 {
	var xs []float32
	for hi := range uint32(1 << 16) {
		for _, lo := range []uint32{0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF} {
			xs = append(xs, math.Float32frombits(hi<<16|lo))
		}
	}
	// Ties of the formats that keep more than 7 bits.
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100000 {
		u := rng.Uint32()
		cut := uint32(1) << rng.IntN(23)
		xs = append(xs, math.Float32frombits(u&^(cut-1)), math.Float32frombits(u&^(cut-1)+cut/2), math.Float32frombits(u))
	}
	return xs
}

func TestBulkFromF32(t *testing.T) {
	xs := floats32()
	modes := []Mode{{}, {Saturate: true}, {FlushSubnormals: true}, {Saturate: true, FlushSubnormals: true}, {Round: NearestAway},
		{Round: TowardNegative}}
	for _, f := range All() {
		if testing.Short() && f.IsInt() {
			continue
		}
		size := need(f, len(xs))
		for _, m := range modes {
			if f.IsInt() && m != (Mode{}) {
				continue
			}
			got := bytes.Repeat([]byte{0xA5}, int(size))
			EncodeF32(f, got, xs, m)
			for i, x := range xs {
				if p, want := Get(f, got, i), f.EncodeMode(widen(x), m); p != want {
					t.Fatalf("%s %+v: element %d, %v (%#x), is %#x, want %#x", f, m, i, x, math.Float32bits(x), p, want)
				}
			}
		}
		ys := append([]float32(nil), xs...)
		RoundF32(f, ys)
		for i, x := range xs {
			want := narrow(f.Round(widen(x)))
			if f == F32 || f == F64 {
				want = x
			}
			if math.Float32bits(ys[i]) != math.Float32bits(want) {
				t.Fatalf("%s: RoundF32 of %v (%#x) is %#x, want %#x", f, x, math.Float32bits(x), math.Float32bits(ys[i]), math.Float32bits(want))
			}
		}
	}
}

// TestBulkFromF64 takes values around every tie that float32 has room for, pushed
// off it by less than float32 can tell.
func TestBulkFromF64(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 7))
	var xs []float64
	for _, x := range floats32() {
		v := float64(x)
		xs = append(xs, v)
		if rng.IntN(4) == 0 {
			xs = append(xs, math.Nextafter(v, math.Inf(1)), math.Nextafter(v, math.Inf(-1)))
		}
	}
	for range 20000 {
		xs = append(xs, math.Ldexp(rng.Float64()-0.5, rng.IntN(2200)-1100))
	}
	for _, f := range All() {
		if f.IsInt() && testing.Short() {
			continue
		}
		for _, m := range []Mode{f.DefaultMode(), {Round: ToOdd, Saturate: true}} {
			got := make([]byte, need(f, len(xs)))
			EncodeF64(f, got, xs, m)
			for i, x := range xs {
				if p, want := Get(f, got, i), f.EncodeMode(x, m); p != want {
					t.Fatalf("%s %+v: %v (%#x) is %#x, want %#x", f, m, x, math.Float64bits(x), p, want)
				}
			}
		}
		ys := append([]float64(nil), xs...)
		RoundF64(f, ys)
		for i, x := range xs {
			want := f.Round(x)
			if f == F64 {
				want = x
			}
			if math.Float64bits(ys[i]) != math.Float64bits(want) {
				t.Fatalf("%s: RoundF64 of %v is %v, want %v", f, x, ys[i], want)
			}
		}
	}
}

func TestBulkDecode(t *testing.T) {
	for _, f := range All() {
		n := 1 << min(f.Bits(), 16)
		src := make([]byte, need(f, n))
		rng := rand.New(rand.NewPCG(7, 8))
		for i := range n {
			p := uint64(i)
			if f.Bits() > 16 {
				p = rng.Uint64()
			}
			Put(f, src, i, p)
		}
		d32, d64, ints := make([]float32, n), make([]float64, n), make([]int64, n)
		DecodeF32(f, d32, src)
		DecodeF64(f, d64, src)
		DecodeI64(f, ints, src)
		for i := range n {
			p := Get(f, src, i)
			if math.Float64bits(d64[i]) != math.Float64bits(f.Decode(p)) {
				t.Fatalf("%s: pattern %#x in bulk is %v, want %v", f, p, d64[i], f.Decode(p))
			}
			want := narrow(f.Decode(p))
			switch f {
			case I64:
				want = float32(int64(p))
			case U64:
				want = float32(p)
			}
			if f == F32 {
				want = math.Float32frombits(uint32(p)) // as it is
			} else if f == BF16 {
				want = math.Float32frombits(uint32(p) << 16)
			}
			if got := math.Float32bits(d32[i]); got != math.Float32bits(want) {
				t.Fatalf("%s: pattern %#x in bulk is %#x, want %#x", f, p, got, math.Float32bits(want))
			}
			if ints[i] != f.DecodeInt(p) {
				t.Fatalf("%s: pattern %#x in bulk is %d, want %d", f, p, ints[i], f.DecodeInt(p))
			}
		}
		back := make([]byte, len(src))
		EncodeF64(f, back, d64, f.DefaultMode())
		for i := range n {
			if p, want := Get(f, back, i), f.Encode(d64[i]); p != want {
				t.Fatalf("%s: %v in bulk is %#x, want %#x", f, d64[i], p, want)
			}
		}
		EncodeI64(f, back, ints)
		if (f.IsInt()) && !bytes.Equal(back, src) {
			t.Errorf("%s: integers do not come back", f)
		}
	}
}

func TestPacking(t *testing.T) {
	// The first element is in the low bits.
	for _, c := range []struct {
		f     Format
		codes []uint64
		want  []byte
	}{
		{U4, []uint64{0x1, 0x2, 0x3}, []byte{0x21, 0x03}},
		{U2, []uint64{1, 2, 3, 0, 1}, []byte{0b00_11_10_01, 0b01}},
		{F6E3M2, []uint64{0x01, 0x3F, 0x20, 0x15, 0x2A}, []byte{0b11_000001, 0b0000_1111, 0b010101_10, 0x2A}},
	} {
		got := make([]byte, need(c.f, len(c.codes)))
		for i, p := range c.codes {
			Put(c.f, got, i, p)
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v packs to %08b, want %08b", c.f, c.codes, got, c.want)
		}
		for i, p := range c.codes {
			if g := Get(c.f, got, i); g != p {
				t.Errorf("%s: element %d is %#x, want %#x", c.f, i, g, p)
			}
		}
	}
	// Put leaves the neighbours alone.
	rng := rand.New(rand.NewPCG(9, 9))
	for _, f := range []Format{U2, I4, F6E2M3, U8, F16, F32, F64} {
		buf := make([]byte, need(f, 40))
		want := make([]uint64, 40)
		mask := ^uint64(0) >> (64 - f.Bits())
		for range 400 {
			i, p := rng.IntN(40), rng.Uint64()
			Put(f, buf, i, p)
			want[i] = p & mask
			for j := range want {
				if g := Get(f, buf, j); g != want[j] {
					t.Fatalf("%s: after element %d was put, element %d is %#x, want %#x", f, i, j, g, want[j])
				}
			}
		}
	}
}

func TestBulkDoesNotAllocate(t *testing.T) {
	src, dst := make([]float32, 1024), make([]byte, 8192)
	for _, f := range All() {
		EncodeF32(f, dst, src, f.DefaultMode()) // tables are made on first use
		RoundF32(f, src)
		DecodeF32(f, src, dst)
		if n := testing.AllocsPerRun(3, func() {
			EncodeF32(f, dst, src, f.DefaultMode())
			RoundF32(f, src)
			DecodeF32(f, src, dst)
		}); n != 0 {
			t.Errorf("%s: %v allocations", f, n)
		}
	}
}

var sizes = []int{1 << 10, 1 << 20}

func BenchmarkDecodeF32(b *testing.B) {
	for _, f := range []Format{F32, BF16, F16, F8E4M3FN, HIF8, F4E2M1, I8} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", f, n), func(b *testing.B) {
				src, dst := make([]byte, need(f, n)), make([]float32, n)
				b.SetBytes(int64(len(src)) + int64(4*n))
				for b.Loop() {
					DecodeF32(f, dst, src)
				}
			})
		}
	}
}

func BenchmarkEncodeF32(b *testing.B) {
	for _, f := range []Format{BF16, F16, F8E4M3FN, HIF8, F4E2M1, I8} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", f, n), func(b *testing.B) {
				src, dst := normal(n), make([]byte, need(f, n))
				b.SetBytes(int64(len(dst)) + int64(4*n))
				for b.Loop() {
					EncodeF32(f, dst, src, f.DefaultMode())
				}
			})
		}
	}
}

func BenchmarkRoundF64(b *testing.B) {
	for _, f := range []Format{F32, BF16, F8E4M3FN, I8} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", f, n), func(b *testing.B) {
				xs := make([]float64, n)
				for i, v := range normal(n) {
					xs[i] = float64(v) / 3
				}
				ys := make([]float64, n)
				b.SetBytes(int64(16 * n))
				for b.Loop() {
					copy(ys, xs)
					RoundF64(f, ys)
				}
			})
		}
	}
}

func BenchmarkRoundF32(b *testing.B) {
	for _, f := range []Format{BF16, TF32, F16, F8E4M3FN, F8E5M2, HIF8} {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", f, n), func(b *testing.B) {
				xs := normal(n)
				b.SetBytes(int64(8 * n))
				for b.Loop() {
					RoundF32(f, xs)
				}
			})
		}
	}
}

func BenchmarkFMA32(b *testing.B) {
	xs := normal(1024)
	b.SetBytes(4 * 1024)
	acc := float32(0)
	for b.Loop() {
		for i, x := range xs {
			acc = FMA32(x, xs[1023-i], acc)
		}
	}
	_ = acc
}

func BenchmarkFP8BlockQuantise(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, codes, scales := normal(n), make([]byte, n), make([]float32, n/FP8Group)
			b.SetBytes(int64(5 * n))
			for b.Loop() {
				if err := FP8BlockQuantise(codes, scales, x, n, FP8Group); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func normal(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 1))
	xs := make([]float32, n)
	for i := range xs {
		xs[i] = float32(rng.NormFloat64())
	}
	return xs
}
