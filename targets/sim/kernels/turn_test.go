package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Transposed packing puts every element in its place, whatever the shape, and nothing beyond.
func TestPackBTransposed(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for _, level := range Levels() {
		t.Run(level.String(), func(t *testing.T) {
			defer SetLevel(level)()
			for _, n := range []int{1, 7, 8, 9, 16, 31, 32, 33, 40, 71} {
				for _, k := range []int{1, 7, 8, 15, 16, 17, 24, 63, 64, 65, 72, 200} {
					ldb := k + r.IntN(4)
					b := make([]float32, (n-1)*ldb+k)
					for i := range b {
						b[i] = float32(i + 1)
					}
					got := make([]float32, PackedBLen(k, n)+8)
					for i := range got {
						got[i] = -1
					}
					PackB(got[:PackedBLen(k, n)], b, k, n, ldb, true)
					want := make([]float32, len(got))
					for i := range 8 {
						want[len(want)-1-i] = -1
					}
					for j := range n {
						for p := range k {
							want[j/tileN*tileN*k+p*tileN+j%tileN] = b[j*ldb+p]
						}
					}
					sameBits(t, fmt.Sprintf("%d columns of %d", n, k), got, want)
				}
			}
		})
	}
}

// BenchmarkPackBTransposed packs a weight as checkpoints hold it.
func BenchmarkPackBTransposed(b *testing.B) {
	const n, k = 1024, 4096
	x, dst := benchOperand(n*k), make([]float32, PackedBLen(k, n))
	for _, level := range Levels() {
		b.Run(level.String(), func(b *testing.B) {
			defer SetLevel(level)()
			b.SetBytes(4 * n * k)
			for b.Loop() {
				PackB(dst, x, k, n, k, true)
			}
		})
	}
}
