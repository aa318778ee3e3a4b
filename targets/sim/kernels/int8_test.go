package kernels

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func randomInt8(r *rand.Rand, n int) []int8 {
	x := make([]int8, n)
	for i := range x {
		x[i] = []int8{-128, 127, int8(r.Uint32())}[min(2, r.IntN(8))]
	}
	return x
}

// eachInt8Path runs a test at every level, and with AVX-512 but without VNNI.
func eachInt8Path(t *testing.T, f func(t *testing.T)) {
	eachLevel(t, f)
	restore := withoutVNNI()
	defer restore()
	t.Run("without VNNI", f)
}

func TestGemmInt8(t *testing.T) {
	eachInt8Path(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		var packed, again Int8B
		for _, s := range gemmSizes() {
			m, n, k := s[0], s[1], s[2]
			lda, ldb, ldc := k+r.IntN(3), n+r.IntN(3), n+r.IntN(3)
			a, b := randomInt8(r, m*lda), randomInt8(r, k*ldb)
			packed.Pack(b, k, n, ldb, false)
			bt := make([]int8, n*(k+1))
			for p := range k {
				for j := range n {
					bt[j*(k+1)+p] = b[p*ldb+j]
				}
			}
			again.Pack(bt, k, n, k+1, true)
			if !slices.Equal(again.data, packed.data) || !slices.Equal(again.start, packed.start) {
				t.Fatalf("%v: the transpose packs otherwise", s)
			}
			if pk, pn := packed.Size(); pk != k || pn != n {
				t.Fatalf("%v: size %d × %d", s, pk, pn)
			}
			for _, acc := range []bool{false, true} {
				c := make([]int32, m*ldc)
				for i := range c {
					c[i] = int32(r.Uint32())
				}
				want := slices.Clone(c)
				for i := range m {
					for j := range n {
						sum := want[i*ldc+j]
						if !acc {
							sum = 0
						}
						for p := range k {
							sum += int32(a[i*lda+p]) * int32(b[p*ldb+j])
						}
						want[i*ldc+j] = sum
					}
				}
				c2 := slices.Clone(c)
				GemmInt8(c, ldc, a, lda, &packed, m, acc)
				GemmInt8Parallel(c2, ldc, a, lda, &packed, m, acc, 3)
				if !slices.Equal(c, want) {
					t.Fatalf("%v acc=%v: wrong", s, acc)
				}
				if !slices.Equal(c2, want) {
					t.Fatalf("%v acc=%v: wrong in parallel", s, acc)
				}
			}
		}
	})
}

// TestGemmInt8Extreme: sums that wrap, and the most that 8-bit kernels which
// saturate would lose.
func TestGemmInt8Extreme(t *testing.T) {
	eachInt8Path(t, func(t *testing.T) {
		const k, n, m = 1 << 16, 33, 13
		for _, v := range [][2]int8{{-128, -128}, {127, -128}, {-128, 127}, {127, 127}} {
			a, b := slices.Repeat([]int8{v[0]}, m*k), slices.Repeat([]int8{v[1]}, k*n)
			var packed Int8B
			packed.Pack(b, k, n, n, false)
			c := slices.Repeat([]int32{1 << 30}, m*n)
			GemmInt8(c, n, a, k, &packed, m, true)
			start := int32(1 << 30)
			want := start + int32(v[0])*int32(v[1])*k
			if i := slices.IndexFunc(c, func(x int32) bool { return x != want }); i >= 0 {
				t.Fatalf("%v: element %d is %d, want %d", v, i, c[i], want)
			}
		}
	})
}

func TestUnpackInt4(t *testing.T) {
	got := make([]int8, 7)
	UnpackInt4(got, []byte{0x10, 0x87, 0xf9, 0x3e})
	if fmt.Sprint(got) != "[0 1 7 -8 -7 -1 -2]" {
		t.Error(got)
	}
	mustPanic(t, "too short", func() { UnpackInt4(got[:6], make([]byte, 4)) })
}

func TestGemmInt8Checks(t *testing.T) {
	var b Int8B
	b.Pack(make([]int8, 6), 2, 3, 3, false)
	c, a := make([]int32, 6), make([]int8, 4)
	GemmInt8(c, 3, a, 2, &b, 2, false)
	mustPanic(t, "C", func() { GemmInt8(c[:5], 3, a, 2, &b, 2, false) })
	mustPanic(t, "A", func() { GemmInt8(c, 3, a[:3], 2, &b, 2, false) })
	mustPanic(t, "A parallel", func() { GemmInt8Parallel(c, 3, a[:3], 2, &b, 2, false, 2) })
	mustPanic(t, "Pack", func() { b.Pack(make([]int8, 5), 2, 3, 3, false) })
	mustPanic(t, "Pack trans", func() { b.Pack(make([]int8, 5), 2, 3, 2, true) })
}
