package kernels

import (
	"math/rand"
	"slices"
	"testing"
)

// TestGemmPart cuts products along k and n, and gives the bits of the whole.
func TestGemmPart(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	for _, d := range [][3]int{{1, 70, 100}, {12, 64, 33}, {130, 100, 1100}, {29, 33, 7}} {
		m, n, k := d[0], d[1], d[2]
		a, b := random(m*k), random(k*n)
		pb := make([]float32, PackedBLen(k, n))
		PackB(pb, b, k, n, n, false)
		pa := make([]float32, PackedALen(m, k))
		PackA(pa, a, m, k, k, false)
		want := make([]float32, m*n)
		Gemm(want, n, pa, pb, m, n, k, false)
		for _, packed := range []bool{true, false} {
			got := random(m * n)
			for j := 0; j < n; j += 32 {
				cols := min(32, n-j)
				for p := 0; p < k; {
					kk := min(1+r.Intn(k), k-p)
					if packed {
						PackA(pa, a[p:], m, kk, k, false)
						GemmPart(got[j:], n, pa, pb[j*k:], m, cols, k, p, kk, p > 0)
					} else {
						GemmPartUnpackedA(got[j:], n, a[p:], k, pb[j*k:], m, cols, k, p, kk, p > 0)
					}
					p += kk
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v, packed %v: parts differ from the whole", d, packed)
			}
		}
	}
}
