package format

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	want := "f64 f32 tf32 hf32 bf16 f16 f8e4m3fn f8e5m2 f8e4m3fnuz f8e5m2fnuz f8e8m0 hif8 f6e3m2 f6e2m3 f4e2m1 " +
		"i64 i32 i16 i8 i4 i2 u64 u32 u16 u8 u4 u2 bool"
	var got []string
	for _, f := range All() {
		got = append(got, f.String())
		if back, ok := Parse(f.String()); !ok || back != f {
			t.Errorf("Parse(%q) = %v, %v", f.String(), back, ok)
		}
		if f.Info().Doc == "" {
			t.Errorf("%s has no doc", f)
		}
	}
	if s := strings.Join(got, " "); s != want {
		t.Errorf("formats are %s", s)
	}
	for _, bad := range []string{"", "invalid", "F32", "f128"} {
		if f, ok := Parse(bad); ok {
			t.Errorf("Parse(%q) = %v", bad, f)
		}
	}
	if s := Format(200).String(); s != "invalid" || Format(200).Bits() != 0 || Format(200).Valid() {
		t.Errorf("what is no format is %s", s)
	}
	for _, r := range allRounding {
		if back, ok := ParseRoundingMode(r.String()); !ok || back != r {
			t.Errorf("ParseRoundingMode(%q) = %v, %v", r, back, ok)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, f := range All() {
		name := f.String()
		isFloat := strings.ContainsAny(name[:1], "fth") || strings.HasPrefix(name, "bf")
		isInt := name != "bool" && strings.ContainsAny(name[:1], "iu")
		if f.IsFloat() != isFloat || f.IsInt() != isInt {
			t.Errorf("%s: IsFloat %v, IsInt %v", f, f.IsFloat(), f.IsInt())
		}
		signed := name[0] != 'u' && name != "bool" && name != "f8e8m0"
		if f.IsSigned() != signed {
			t.Errorf("%s: IsSigned %v", f, f.IsSigned())
		}
	}
	if Invalid.IsFloat() || Invalid.IsInt() || Invalid.IsSigned() {
		t.Error("Invalid has a kind")
	}
}

// TestFigures holds the figures against those printed in the specifications.
func TestFigures(t *testing.T) {
	p2 := func(e int) float64 { return math.Ldexp(1, e) }
	cases := []struct {
		f                          Format
		exp, man, bias             int
		inf, nan                   bool
		max, minNormal, minSubnorm float64
	}{
		{F64, 11, 52, 1023, true, true, math.MaxFloat64, p2(-1022), math.SmallestNonzeroFloat64},
		{F32, 8, 23, 127, true, true, math.MaxFloat32, p2(-126), math.SmallestNonzeroFloat32},
		{TF32, 8, 10, 127, true, true, (2 - p2(-10)) * p2(127), p2(-126), p2(-136)},
		{HF32, 8, 11, 127, true, true, (2 - p2(-11)) * p2(127), p2(-126), p2(-137)},
		{BF16, 8, 7, 127, true, true, (2 - p2(-7)) * p2(127), p2(-126), p2(-133)},
		{F16, 5, 10, 15, true, true, 65504, p2(-14), p2(-24)},
		{F8E4M3FN, 4, 3, 7, false, true, 448, p2(-6), p2(-9)},
		{F8E5M2, 5, 2, 15, true, true, 57344, p2(-14), p2(-16)},
		{F8E4M3FNUZ, 4, 3, 8, false, true, 240, p2(-7), p2(-10)},
		{F8E5M2FNUZ, 5, 2, 16, false, true, 57344, p2(-15), p2(-17)},
		{F8E8M0, 8, 0, 127, false, true, p2(127), p2(-127), p2(-127)},
		{HIF8, 4, 3, 0, true, true, 32768, p2(-15), p2(-22)},
		{F6E3M2, 3, 2, 3, false, false, 28, 0.25, 0.0625},
		{F6E2M3, 2, 3, 1, false, false, 7.5, 1, 0.125},
		{F4E2M1, 2, 1, 1, false, false, 6, 1, 0.5},
	}
	for _, c := range cases {
		in := c.f.Info()
		in.Doc = ""
		want := Info{ExpBits: c.exp, ManBits: c.man, Bias: c.bias, HasInf: c.inf, HasNaN: c.nan,
			MaxFinite: c.max, MinNormal: c.minNormal, MinSubnormal: c.minSubnorm,
			HasZero: c.f != F8E8M0, Signed: c.f != F8E8M0,
			HasMinus: c.f != F8E4M3FNUZ && c.f != F8E5M2FNUZ && c.f != F8E8M0 && c.f != HIF8}
		if in != want {
			t.Errorf("%s: %+v, want %+v", c.f, in, want)
		}
	}
}

func TestNumBytes(t *testing.T) {
	cases := []struct {
		f    Format
		n    int64
		want int64
		ok   bool
	}{
		{F32, 0, 0, true}, {F32, 3, 12, true}, {BF16, 5, 10, true}, {Bool, 3, 3, true},
		{I4, 0, 0, true}, {I4, 1, 1, true}, {I4, 2, 1, true}, {I4, 3, 2, true},
		{U2, 4, 1, true}, {U2, 5, 2, true}, {F6E3M2, 1, 1, true}, {F6E3M2, 2, 2, true}, {F6E3M2, 4, 3, true},
		{F6E3M2, 5, 4, true}, {F32, -1, 0, false}, {Invalid, 1, 0, false},
		{F64, math.MaxInt64 / 8, math.MaxInt64 / 8 * 8, true}, {F64, math.MaxInt64/8 + 1, 0, false},
		{U8, math.MaxInt64, math.MaxInt64, true}, {I4, math.MaxInt64, math.MaxInt64/2 + 1, true},
		{F6E2M3, math.MaxInt64, 6917529027641081856, true}, {I2, math.MaxInt64, 1 << 61, true},
	}
	for _, c := range cases {
		if got, ok := NumBytes(c.f, c.n); got != c.want || ok != c.ok {
			t.Errorf("NumBytes(%s, %d) = %d, %v, want %d, %v", c.f, c.n, got, ok, c.want, c.ok)
		}
	}
}

// TestOneRounding takes values whose first rounding to float32 would create a tie.
func TestOneRounding(t *testing.T) {
	tiny := math.Ldexp(1, -40)
	cases := []struct {
		f    Format
		x    float64
		want float64
	}{
		{BF16, 1 + math.Ldexp(1, -8) + tiny, 1 + math.Ldexp(1, -7)},
		{BF16, 1 + 3*math.Ldexp(1, -8) - tiny, 1 + math.Ldexp(1, -7)},
		{F16, 1 + math.Ldexp(1, -11) + tiny, 1 + math.Ldexp(1, -10)},
		{TF32, 1 + math.Ldexp(1, -11) + tiny, 1 + math.Ldexp(1, -10)},
		{HF32, 1 + math.Ldexp(1, -12) + tiny, 1 + math.Ldexp(1, -11)},
		{F8E4M3FN, 1.0625 + tiny, 1.125},
		{F32, 1 + math.Ldexp(1, -24) + math.Ldexp(1, -52), 1 + math.Ldexp(1, -23)},
	}
	for _, c := range cases {
		if got := c.f.Round(c.x); got != c.want {
			t.Errorf("%s: %v rounds to %v, want %v", c.f, c.x, got, c.want)
		}
	}
}

// TestWideFormats holds the formats with too many patterns to walk against
// math/big, at random points and beside ties.
func TestWideFormats(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		f    Format
		prec uint
	}{{F32, 24}, {TF32, 11}, {HF32, 12}, {BF16, 8}} {
		ref := func(x float64) float64 {
			// Precision falls in the subnormal range, where the step is fixed.
			prec := c.prec
			if e := math.Ilogb(x); e < -126 {
				if drop := uint(-126 - e); drop >= prec {
					prec = 0
				} else {
					prec -= drop
				}
			}
			if prec == 0 {
				// Between zero and the smallest subnormal: compare with its half.
				least := math.Ldexp(1, -126-int(c.prec)+1)
				if math.Abs(x) > least/2 {
					return math.Copysign(least, x)
				}
				return math.Copysign(0, x)
			}
			v, _ := new(big.Float).SetPrec(prec).SetMode(big.ToNearestEven).SetFloat64(x).Float64()
			if math.Abs(v) >= math.Ldexp(1, 128) {
				return math.Inf(int(v))
			}
			return v
		}
		check := func(x float64) {
			want := ref(x)
			if math.IsInf(want, 0) {
				want = math.Inf(1)
				if x < 0 {
					want = math.Inf(-1)
				}
			}
			if got := c.f.Round(x); !sameValue(got, want) {
				t.Fatalf("%s: %v (%#x) rounds to %v, want %v", c.f, x, math.Float64bits(x), got, want)
			}
		}
		for range 200000 {
			e := rng.IntN(300) - 160
			x := math.Ldexp(1+rng.Float64(), e)
			if rng.IntN(2) == 0 {
				// Make it a tie or a value of the format, or next to one.
				u := math.Float64bits(x) >> (52 - c.prec) << (52 - c.prec)
				x = math.Float64frombits(u + uint64(rng.IntN(3)) - 1)
			}
			check(x)
			check(-x)
		}
	}
}

func TestPaddingIsIgnored(t *testing.T) {
	for _, c := range []struct {
		f   Format
		pad uint64
	}{{TF32, 1<<13 - 1}, {HF32, 1<<12 - 1}} {
		if v := c.f.Decode(uint64(math.Float32bits(1.5)) | c.pad); v != 1.5 {
			t.Errorf("%s: padding changes 1.5 to %v", c.f, v)
		}
		if v := c.f.Decode(0x7F800000 | 1); v == v {
			t.Errorf("%s: a NaN whose payload is in the padding reads as %v", c.f, v)
		}
		if p := c.f.Encode(math.Pi); p&c.pad != 0 {
			t.Errorf("%s: padding of pi is written as %#x", c.f, p)
		}
	}
}

func TestE8M0(t *testing.T) {
	cases := []struct {
		x    float64
		want uint64
	}{
		{1, 127}, {2, 128}, {0.5, 126}, {math.Ldexp(1, 127), 254}, {math.Ldexp(1, -127), 0},
		{1.49, 127}, {1.51, 128}, {1.5, 128}, {3, 128}, // ties to the even pattern
		{0, 0}, {math.Copysign(0, -1), 0}, {math.Ldexp(1, -140), 0}, {-1, 255},
		{math.NaN(), 255}, {math.Inf(1), 255}, {math.Inf(-1), 255}, {math.Ldexp(1.9, 127), 254}, {math.Ldexp(1, 200), 254},
	}
	for _, c := range cases {
		if got := F8E8M0.Encode(c.x); got != c.want {
			t.Errorf("f8e8m0: %v is %d, want %d", c.x, got, c.want)
		}
	}
	if got := F8E8M0.EncodeMode(math.Inf(1), Mode{Saturate: true}); got != 254 {
		t.Errorf("f8e8m0: infinity saturates to %d", got)
	}
	for p := range uint64(255) {
		if v := F8E8M0.Decode(p); v != math.Ldexp(1, int(p)-127) {
			t.Errorf("f8e8m0: %d is %v", p, v)
		}
	}
}

func TestIntegers(t *testing.T) {
	cases := []struct {
		f        Format
		min, max int64
		in, wrap int64
	}{
		{I64, math.MinInt64, math.MaxInt64, math.MinInt64, math.MinInt64},
		{I32, math.MinInt32, math.MaxInt32, 1 << 31, -1 << 31},
		{I16, -32768, 32767, 32768, -32768}, {I8, -128, 127, 200, -56},
		{I4, -8, 7, 8, -8}, {I2, -2, 1, 3, -1},
		{U64, 0, math.MaxInt64, -1, -1}, {U32, 0, math.MaxUint32, -1, math.MaxUint32},
		{U16, 0, 65535, -2, 65534}, {U8, 0, 255, 256, 0}, {U4, 0, 15, 17, 1}, {U2, 0, 3, 7, 3},
		{Bool, 0, 1, 5, 1},
	}
	for _, c := range cases {
		if c.f.MinInt() != c.min || c.f.MaxInt() != c.max {
			t.Errorf("%s: range %d to %d", c.f, c.f.MinInt(), c.f.MaxInt())
		}
		if got := c.f.DecodeInt(c.f.EncodeInt(c.in)); got != c.wrap {
			t.Errorf("%s: %d wraps to %d, want %d", c.f, c.in, got, c.wrap)
		}
		if lo, hi := c.f.SaturateInt(math.MinInt64), c.f.SaturateInt(math.MaxInt64); lo != c.min || hi != c.max {
			t.Errorf("%s: saturates to %d and %d", c.f, lo, hi)
		}
		if got := c.f.Decode(c.f.Encode(math.Inf(-1))); c.f != Bool && got != float64(c.min) {
			t.Errorf("%s: -inf is %v", c.f, got)
		}
		if got := c.f.Decode(c.f.Encode(1e30)); got != float64(c.f.MaxUint()) {
			t.Errorf("%s: 1e30 is %v", c.f, got)
		}
		if got := c.f.Encode(math.NaN()); c.f != Bool && got != 0 {
			t.Errorf("%s: NaN is %v", c.f, got)
		}
	}
	round := []struct {
		r    RoundingMode
		want [6]int64 // of 0.5 1.5 2.5 -0.5 -1.5 2.2
	}{
		{NearestEven, [6]int64{0, 2, 2, 0, -2, 2}}, {NearestAway, [6]int64{1, 2, 3, -1, -2, 2}},
		{TowardZero, [6]int64{0, 1, 2, 0, -1, 2}}, {TowardPositive, [6]int64{1, 2, 3, 0, -1, 3}},
		{TowardNegative, [6]int64{0, 1, 2, -1, -2, 2}}, {ToOdd, [6]int64{1, 1, 3, -1, -1, 3}},
	}
	for _, c := range round {
		for i, x := range []float64{0.5, 1.5, 2.5, -0.5, -1.5, 2.2} {
			if got := I32.DecodeInt(I32.EncodeMode(x, Mode{Round: c.r})); got != c.want[i] {
				t.Errorf("i32: %v %s is %d, want %d", x, c.r, got, c.want[i])
			}
		}
	}
	if got := U64.Encode(math.Ldexp(1, 63) + 4096); got != 1<<63+4096 {
		t.Errorf("u64: 2^63+4096 is %d", got)
	}
	if got := U64.Decode(math.MaxUint64); got != math.Ldexp(1, 64) {
		t.Errorf("u64: the largest reads as %v", got)
	}
	if U32.Encode(-3) != 0 {
		t.Error("u32: -3 is not 0")
	}
}

// TestHiF8 checks the counts that the paper's abstract states (7 exponents with 3
// mantissa bits, 8 with 2, 16 with 1, 7 further powers of 2 below) and the ends.
func TestHiF8(t *testing.T) {
	perExp := map[int]int{}
	seen := map[float64]uint64{}
	for p := range uint64(128) {
		v := HIF8.Decode(p)
		if neg := HIF8.Decode(p | 0x80); p != 0 && neg != -v {
			t.Errorf("pattern %#x is %v, with sign %v", p, v, neg)
		}
		if math.IsInf(v, 0) || v == 0 {
			continue
		}
		if q, dup := seen[v]; dup {
			t.Errorf("%v has patterns %#x and %#x", v, q, p)
		}
		seen[v] = p
		perExp[math.Ilogb(v)]++
	}
	for e := -22; e <= 15; e++ {
		want := 1 // below the normal range
		switch a := max(e, -e); {
		case a <= 3:
			want = 8
		case a <= 7:
			want = 4
		case a <= 15:
			want = 2
		}
		if e == 15 {
			want = 1 // the other is infinity
		}
		if perExp[e] != want {
			t.Errorf("%d values with exponent %d, want %d", perExp[e], e, want)
		}
	}
	for p, want := range map[uint64]float64{
		0x00: 0, 0x08: 1, 0x09: 1.125, 0x10: 2, 0x18: 0.5, 0x20: 4, 0x38: 0.125, 0x27: 7.5, 0x28: 8, 0x40: 16, 0x43: 28,
		0x60: 256, 0x6E: 32768, 0x6F: math.Inf(1), 0xEF: math.Inf(-1), 0x7E: math.Ldexp(1, -15), 0x01: math.Ldexp(1, -22),
		0x07: math.Ldexp(1, -16), 0x88: -1,
	} {
		if got := HIF8.Decode(p); got != want {
			t.Errorf("hif8: %#x is %v, want %v", p, got, want)
		}
	}
	if v := HIF8.Decode(0x80); v == v {
		t.Errorf("hif8: 0x80 is %v", v)
	}
}

func TestHiF8Rounding(t *testing.T) {
	var l ladder
	for x := math.Ldexp(1, -23); ; {
		// Ascending by search over all patterns for the next greater value.
		next, code := math.Inf(1), uint64(0)
		for p := range uint64(128) {
			if v := HIF8.Decode(p); v > x && v < next {
				next, code = v, p
			}
		}
		if math.IsInf(next, 1) {
			break
		}
		l.values, l.codes, x = append(l.values, next), append(l.codes, code), next
	}
	l.values, l.codes = append([]float64{0}, l.values...), append([]uint64{0}, l.codes...)
	l.beyond = 1.5 * 32768
	for _, r := range allRounding {
		for _, neg := range []bool{false, true} {
			l.probes(func(x float64) {
				mag := l.nearest(x, neg, r)
				want, saturated := mag, mag
				if mag == overflowed {
					want, saturated = 0x6F, 0x6E
				}
				if neg {
					x = -x
					if want != 0 {
						want, saturated = want|0x80, saturated|0x80
					}
				}
				if got := HIF8.EncodeMode(x, Mode{Round: r}); got != want {
					t.Fatalf("hif8: %v %s is %#x, want %#x", x, r, got, want)
				}
				if got := HIF8.EncodeMode(x, Mode{Round: r, Saturate: true}); got != saturated {
					t.Fatalf("hif8: %v %s, saturating, is %#x, want %#x", x, r, got, saturated)
				}
			})
		}
	}
	// The default rounds ties away; thresholds as in the public conversion of
	// MindSpore: from 2^-23 up not zero, from 1.25*2^15 up infinite.
	for x, want := range map[float64]uint64{
		math.Ldexp(1, -23): 1, math.Ldexp(0.999, -23): 0, 1.25 * 32768: 0x6F, 1.2499 * 32768: 0x6E,
		1.0625: 0x09, -1.0625: 0x89, math.Copysign(0, -1): 0,
	} {
		if got := HIF8.Encode(x); got != want {
			t.Errorf("hif8: %v is %#x, want %#x", x, got, want)
		}
	}
	if got := HIF8.EncodeMode(math.Ldexp(1, -20), Mode{FlushSubnormals: true}); got != 0 {
		t.Errorf("hif8: 2^-20 flushes to %#x", got)
	}
}

func TestNaN(t *testing.T) {
	for _, f := range All() {
		if !f.IsFloat() {
			continue
		}
		for _, x := range []float64{math.NaN(), math.Float64frombits(0x7FF0000000000001), math.Float64frombits(0xFFF0000000000001),
			math.Float64frombits(0xFFFFFFFFFFFFFFFF)} {
			v := f.Round(x)
			if f.Info().HasNaN {
				if v == v {
					t.Errorf("%s: NaN %#x becomes %v", f, math.Float64bits(x), v)
				}
			} else if v != f.Info().MaxFinite {
				t.Errorf("%s: NaN becomes %v, want the largest value", f, v)
			}
		}
	}
	for _, f := range []Format{F32, BF16, F16, TF32, HF32, F8E5M2} {
		neg := f.Encode(math.Float64frombits(0xFFF8000000000000))
		if neg>>(f.Bits()-1) != 1 {
			t.Errorf("%s: a NaN loses its sign: %#x", f, neg)
		}
	}
}
