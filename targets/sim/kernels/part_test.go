package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestGemmPart cuts products along k and n, and gives the bits of the whole.
func TestGemmPart(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(27, 28))
		for _, d := range [][3]int{{1, 70, 100}, {12, 64, 33}, {130, 100, 1100}, {29, 33, 7}, {1, 300, 1500}, {5, 130, 900}} {
			m, n, k := d[0], d[1], d[2]
			a, b := random(r, m*k, special), random(r, k*n, awkward)
			pb, pa := make([]float32, PackedBLen(k, n)), make([]float32, PackedALen(m, k))
			PackB(pb, b, k, n, n, false)
			PackA(pa, a, m, k, k, false)
			want := make([]float32, m*n)
			Gemm(want, n, pa, pb, m, n, k, false)
			for _, packed := range []bool{true, false} {
				got := random(r, m*n, special)
				for j := 0; j < n; {
					cols := min(tileN*(1+r.IntN(5)), n-j)
					for p := 0; p < k; {
						kk := min(1+r.IntN(k), k-p)
						if packed {
							PackA(pa, a[p:], m, kk, k, false)
							GemmPart(got[j:], n, pa, pb[j*k:], m, cols, k, p, kk, p > 0)
						} else {
							GemmPartUnpackedA(got[j:], n, a[p:], k, pb[j*k:], m, cols, k, p, kk, p > 0)
						}
						p += kk
					}
					j += cols
				}
				sameBits(t, fmt.Sprint(d, " packed ", packed), got, want)
			}
		}
	})
	x := make([]float32, 64)
	mustPanic(t, "steps", func() { GemmPart(x, 1, x, x, 1, 1, 2, 1, 2, false) })
	mustPanic(t, "A", func() { GemmPartUnpackedA(x, 1, x[:1], 2, x, 1, 1, 2, 0, 2, false) })
}
