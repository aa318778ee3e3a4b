package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachLevel runs a test at every level of this machine.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	for _, l := range Levels() {
		t.Run(l.String(), func(t *testing.T) {
			defer SetLevel(l)()
			f(t)
		})
	}
}

// kind is what a test's random operands look like.
type kind int

const (
	ordinary kind = iota // normal numbers around one
	awkward              // ties, cancellation, subnormals, zeros of both signs
	special              // awkward, and infinities and NaNs
	kinds
)

func (k kind) String() string { return [...]string{"ordinary", "awkward", "special"}[k] }

func random(r *rand.Rand, n int, k kind) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = randomElement(r, k)
	}
	return x
}

func randomElement(r *rand.Rand, k kind) float32 {
	if k == ordinary {
		return float32(r.NormFloat64())
	}
	switch r.IntN(8) {
	case 0:
		return float32(r.IntN(9)-4) / 4
	case 1: // few bits: sums fall on ties
		return float32(math.Ldexp(float64(r.IntN(513)-256), r.IntN(40)-30))
	case 2: // subnormal
		return math.Float32frombits(r.Uint32() & 0x807fffff)
	case 3: // products are subnormal
		return float32(math.Ldexp(r.NormFloat64(), -60-r.IntN(20)))
	case 4:
		return float32(math.Copysign(0, r.NormFloat64()))
	case 5:
		if k == special && r.IntN(40) == 0 {
			return math.Float32frombits([]uint32{0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0xffffffff}[r.IntN(6)])
		}
		return 1 + 0x1p-12
	case 6:
		if k == special && r.IntN(40) == 0 {
			return math.Float32frombits(r.Uint32())
		}
		return -1 - 0x1p-11
	}
	return float32(r.NormFloat64())
}

// sameBits fails the test at the first element that differs in any bit.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if math.Float32bits(got[i]) != math.Float32bits(w) {
			t.Fatalf("%s: element %d is %g (%#08x), want %g (%#08x)", what, i, got[i], math.Float32bits(got[i]), w, math.Float32bits(w))
		}
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

func TestLevels(t *testing.T) {
	ls := Levels()
	if ls[0] != Portable || Active() != ls[len(ls)-1] {
		t.Errorf("levels %v, active %v", ls, Active())
	}
	restore := SetLevel(Portable)
	if Active() != Portable {
		t.Error("SetLevel did not")
	}
	restore()
	if Active() != ls[len(ls)-1] {
		t.Error("restore did not")
	}
	mustPanic(t, "an unknown level", func() { SetLevel(99) })
	if got := fmt.Sprint(AVX512, Level(99)); got != "avx512 level(99)" {
		t.Error(got)
	}
}
