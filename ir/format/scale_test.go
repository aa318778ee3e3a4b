package format

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestMX checks single blocks by hand: scale = 2^(floor(log2(amax)) - emax).
func TestMX(t *testing.T) {
	f32 := func(xs ...float32) []float32 { return xs }
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	cases := []struct {
		name  string
		f     Format
		x     []float32
		scale byte
		want  []float32
	}{
		{"e4m3: 448 needs no scale", F8E4M3FN, f32(448, -1, 0.3), 127, f32(448, -1, 0.3125)},
		{"e4m3: what exceeds 448 at the block's exponent saturates", F8E4M3FN, f32(511, 1), 127, f32(448, 1)},
		{"e4m3: scaled up", F8E4M3FN, f32(1024, 1), 129, f32(1024, 1)},
		{"e2m1: 6 is the largest", F4E2M1, f32(6, 5, 2.5, 0.2, -0.3), 127, f32(6, 4, 2, 0, -0.5)},
		{"e2m1: 7 rounds to 8 and saturates to 6", F4E2M1, f32(7, 3), 127, f32(6, 3)},
		{"e2m3", F6E2M3, f32(7.5, 0.0624), 127, f32(7.5, 0)},
		{"e3m2", F6E3M2, f32(28, 0.0625), 127, f32(28, 0.0625)},
		{"e5m2", F8E5M2, f32(57344, 1.125), 127, f32(57344, 1)},
		{"int8 counts in 1/64", I8, f32(1.984375, -1.984375, 0.015625, 0.0078125), 127, f32(1.984375, -1.984375, 0.015625, 0)},
		{"int8 never has -128", I8, f32(-1.999, 1), 127, f32(-1.984375, 1)},
		{"zeros", F4E2M1, f32(0, 0), 0, f32(0, 0)},
		{"smallest scale", F4E2M1, f32(math.SmallestNonzeroFloat32), 0, f32(0)},
		{"largest float32", F4E2M1, f32(math.MaxFloat32), 252, f32(6 * float32(math.Ldexp(1, 125)))},
		{"an infinity spoils the block", F8E4M3FN, f32(1, -inf), 255, f32(nan, nan)},
		{"a NaN spoils the block", F4E2M1, f32(nan, 2), 255, f32(nan, nan)},
	}
	for _, c := range cases {
		codes, scales := make([]byte, need(c.f, len(c.x))), make([]byte, 1)
		if err := MXQuantise(c.f, codes, scales, c.x, len(c.x)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if scales[0] != c.scale {
			t.Errorf("%s: scale %d, want %d", c.name, scales[0], c.scale)
		}
		got := make([]float32, len(c.x))
		if err := MXDequantise(c.f, got, codes, scales, len(c.x)); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !sameValue(float64(got[i]), float64(c.want[i])) && !(got[i] == 0 && c.want[i] == 0) {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, got[i], c.want[i])
			}
		}
	}
}

// TestMXBlocks: each block of 32 along a row has its own scale, a row's last block
// may be short, and no value is off by more than half a step of its block.
func TestMXBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const rows, cols = 3, 70
	for _, f := range []Format{F8E4M3FN, F8E5M2, F6E3M2, F6E2M3, F4E2M1, I8} {
		x := make([]float32, rows*cols)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * math.Ldexp(1, i%cols/MXBlock*10-10))
		}
		codes, scales := make([]byte, need(f, len(x))), make([]byte, rows*3)
		if err := MXQuantise(f, codes, scales, x, cols); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(x))
		if err := MXDequantise(f, got, codes, scales, cols); err != nil {
			t.Fatal(err)
		}
		emax, _ := mxEmax(f)
		for i, v := range x {
			s := F8E8M0.Decode(uint64(scales[i/cols*3+i%cols/MXBlock]))
			in := f.Info()
			top, step := in.MaxFinite, in.MinSubnormal
			if f == I8 {
				top, step = 127.0/64, 1.0/64
			} else if a := math.Abs(float64(v)) / s; a >= in.MinNormal {
				step = math.Ldexp(1, math.Ilogb(a)-in.ManBits)
			}
			if a := math.Abs(float64(v)) / s; a >= math.Ldexp(2, emax) {
				t.Fatalf("%s: element %d, %v, is beyond the binade of its scale %v", f, i, v, s)
			} else if a > top {
				step = 2 * (a - top)
			}
			if math.Abs(float64(got[i]-v)) > step/2*s {
				t.Fatalf("%s: element %d, %v, comes back as %v: more than half of %v", f, i, v, got[i], step*s)
			}
		}
	}
}

func TestFP8Block(t *testing.T) {
	const rows, cols = 2, 300
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, rows*cols)
	for i := range x {
		x[i] = float32(rng.NormFloat64()) * 50
	}
	x[0], x[130] = 1e-7, 0
	for i := 256; i < 300; i++ {
		x[i] = 1e-7 // a group under the floor
	}
	codes, scales := make([]byte, len(x)), make([]float32, rows*3)
	if err := FP8BlockQuantise(codes, scales, x, cols, FP8Group); err != nil {
		t.Fatal(err)
	}
	if want := float32(1e-4) / 448; scales[2] != want {
		t.Errorf("scale under the floor is %v, want %v", scales[2], want)
	}
	for r := range rows {
		for g := range 3 {
			amax := float32(1e-4)
			lo, hi := r*cols+g*128, r*cols+min(g*128+128, cols)
			for _, v := range x[lo:hi] {
				amax = max(amax, v, -v)
			}
			if s := scales[r*3+g]; s != amax/448 {
				t.Fatalf("row %d group %d: scale %v, want %v", r, g, s, amax/448)
			}
			for i := lo; i < hi; i++ {
				if want := F8E4M3FN.Encode(float64(x[i] / scales[r*3+g])); uint64(codes[i]) != want {
					t.Fatalf("element %d: code %#x, want %#x", i, codes[i], want)
				}
			}
		}
	}
	back := make([]float32, len(x))
	if err := FP8BlockDequantise(back, codes, scales, cols, FP8Group); err != nil {
		t.Fatal(err)
	}
	for i, v := range x {
		s := scales[i/cols*3+i%cols/128]
		if d := math.Abs(float64(back[i] - v)); d > math.Abs(float64(v))/16+float64(s)/512 {
			t.Fatalf("element %d: %v comes back as %v", i, v, back[i])
		}
	}
	nan := float32(math.NaN())
	special := []float32{nan, 1, float32(math.Inf(1)), 2}
	codes, scales = make([]byte, 4), make([]float32, 2)
	if err := FP8BlockQuantise(codes, scales, special, 4, 2); err != nil {
		t.Fatal(err)
	}
	if scales[0] == scales[0] || codes[0] != 0x7F || codes[1] != 0x7F || codes[2] != 0x7F || codes[3] != 0 {
		t.Errorf("NaN and infinity give scales %v, codes %#x", scales, codes)
	}
	// Whatever makes a NaN, it is the same one.
	got := make([]float32, 6)
	weird := math.Float32frombits(0xFFC12345)
	if err := FP8BlockDequantise(got, []byte{0xFF, 0x7F, 0x00, 0xFF, 0x38, 0x80}, []float32{1, float32(math.Inf(1)), weird}, 6, 2); err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if math.Float32bits(v) != 0x7FC00000 {
			t.Errorf("element %d is %#x, want the canonical NaN", i, math.Float32bits(v))
		}
	}
}

func TestFP8Tile(t *testing.T) {
	// 3 x 5 in tiles of 2 x 2: ragged at both edges.
	const rows, cols = 3, 5
	codes := make([]byte, rows*cols)
	for i := range codes {
		codes[i] = byte(F8E4M3FN.Encode(float64(i + 1)))
	}
	scales := []float32{1, 10, 100, 2, 20, 200}
	got := make([]float32, rows*cols)
	if err := FP8TileDequantise(got, codes, scales, cols, 2, 2); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		r, c := i/cols, i%cols
		want := float32(F8E4M3FN.Round(float64(i+1))) * scales[r/2*3+c/2]
		if got[i] != want {
			t.Errorf("[%d][%d] = %v, want %v", r, c, got[i], want)
		}
	}
}

func TestScaleLengths(t *testing.T) {
	x := make([]float32, 64)
	fails := map[string]error{
		"no MX format":     MXQuantise(F16, make([]byte, 128), make([]byte, 2), x, 64),
		"too few scales":   MXQuantise(F4E2M1, make([]byte, 32), make([]byte, 1), x, 64),
		"too few codes":    MXQuantise(F4E2M1, make([]byte, 31), make([]byte, 2), x, 64),
		"no whole rows":    MXQuantise(F4E2M1, make([]byte, 32), make([]byte, 2), x, 60),
		"no columns":       MXDequantise(F4E2M1, x, make([]byte, 32), make([]byte, 2), 0),
		"group of zero":    FP8BlockQuantise(make([]byte, 64), make([]float32, 1), x, 64, 0),
		"fp8 scales":       FP8BlockDequantise(x, make([]byte, 64), make([]float32, 2), 64, 128),
		"tile of zero":     FP8TileDequantise(x, make([]byte, 64), make([]float32, 1), 8, 0, 8),
		"tile scales":      FP8TileDequantise(x, make([]byte, 64), make([]float32, 3), 8, 4, 8),
		"tile codes":       FP8TileDequantise(x, make([]byte, 63), make([]float32, 2), 8, 4, 8),
		"tile of no whole": FP8TileDequantise(x, make([]byte, 64), make([]float32, 2), 7, 128, 128),
	}
	for name, err := range fails {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := FP8BlockQuantise(make([]byte, 64), make([]float32, 1), x, 64, math.MaxInt); err != nil {
		t.Errorf("one group a row: %v", err)
	}
	if err := MXQuantise(F4E2M1, nil, nil, nil, 0); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if err := FP8TileDequantise(nil, nil, nil, 8, 128, 128); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

// TestCeilScale: the least power of two that is not below the exact scale.
func TestCeilScale(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, f := range []Format{F8E4M3FN, F8E5M2, F4E2M1, HIF8, I8} {
		for i := range 10000 {
			amax := float32(math.Ldexp(1+rng.Float64(), rng.IntN(60)-30))
			if i%5 == 0 { // where the exact scale is a power of two, and just beside
				amax = float32(f.LargestCode() * math.Ldexp(1, rng.IntN(40)-20))
				amax = math.Nextafter32(amax, amax*float32(i%3))
			}
			exact := amax / float32(f.LargestCode())
			got := CeilScale(f, amax)
			if m, _ := math.Frexp(float64(got)); m != 0.5 || got < exact || got/2 >= exact {
				t.Fatalf("%s, %g: scale %g for %g", f, amax, got, exact)
			}
		}
		for _, x := range []float64{math.Inf(1), math.NaN()} {
			if got := CeilScale(f, float32(x)); !math.IsInf(float64(got), 1) {
				t.Errorf("%s, %g: scale %g", f, x, got)
			}
		}
	}
}
