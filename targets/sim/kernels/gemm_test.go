package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// slowGemm is the definition: for each element a chain of fused multiply-adds.
func slowGemm(c []float32, ldc int, a []float32, lda int, b []float32, ldb, m, n, k int, acc bool) {
	for i := range m {
		for j := range n {
			var s float32
			if acc {
				s = c[i*ldc+j]
			}
			for p := range k {
				s = fma(a[i*lda+p], b[p*ldb+j], s)
			}
			c[i*ldc+j] = canonical(s)
		}
	}
}

// transposed returns the n × m transpose of x, with leading dimension m+pad.
func transposed(x []float32, m, n, ld, pad int) []float32 {
	y := make([]float32, n*(m+pad))
	for i := range m {
		for j := range n {
			y[j*(m+pad)+i] = x[i*ld+j]
		}
	}
	return y
}

// gemmSizes are m, n, k: every ragged edge of a tile, and more than one block.
func gemmSizes() [][3]int {
	s := [][3]int{{1, 1, 1}, {12, 32, 1}, {97, 33, 2}, {25, 65, 1030}, {13, 1030, 7}, {30, 1056, 40}, {0, 5, 5}, {5, 0, 5}, {5, 5, 0}}
	for m := 1; m <= 14; m++ {
		s = append(s, [3]int{m, 1 + m*5%37, 3 + m})
	}
	for n := 1; n <= 34; n++ {
		s = append(s, [3]int{1 + n%13, n, 1 + n%9})
	}
	return s
}

func TestGemm(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, size := range gemmSizes() {
			m, n, k := size[0], size[1], size[2]
			kd := kind(r.IntN(int(kinds)))
			lda, ldb, ldc := k+r.IntN(3), n+r.IntN(3), n+r.IntN(3)
			if n >= 1024 && k > 8 {
				lda = 512 // makes GemmUnpackedA pack
			}
			a, b := random(r, m*lda, kd), random(r, k*ldb, kd)
			c0 := random(r, m*ldc, kd)
			at, bt := transposed(a, m, k, lda, 1), transposed(b, k, n, ldb, 2)
			pa, pa2 := make([]float32, PackedALen(m, k)), make([]float32, PackedALen(m, k))
			pb, pb2 := random(r, PackedBLen(k, n), special), random(r, PackedBLen(k, n), special)
			PackA(pa, a, m, k, lda, false)
			PackA(pa2, at, m, k, m+1, true)
			sameBits(t, "PackA of the transpose", pa2, pa)
			PackB(pb, b, k, n, ldb, false)
			PackB(pb2, bt, k, n, k+2, true)
			sameBits(t, "PackB of the transpose", pb2, pb)
			for _, trans := range []bool{false, true} {
				clear(pb2)
				PackBRows(pb2, k, n, trans, make([]float32, PackBRowsScratch(k, n, trans)), func(i int, out []float32) {
					if trans {
						copy(out, bt[i*(k+2):])
					} else {
						copy(out, b[i*ldb:])
					}
				})
				sameBits(t, "PackBRows", pb2, pb)
			}
			for _, acc := range []bool{false, true} {
				want := append([]float32(nil), c0...)
				slowGemm(want, ldc, a, lda, b, ldb, m, n, k, acc)
				name := fmt.Sprintf("%d × %d × %d %v acc=%v", m, n, k, kd, acc)
				run := func(what string, f func(c []float32)) {
					t.Helper()
					c := append([]float32(nil), c0...)
					f(c)
					sameBits(t, what+" "+name, c, want)
				}
				run("Gemm", func(c []float32) { Gemm(c, ldc, pa, pb, m, n, k, acc) })
				scratch := make([]float32, 3*GemmScratch(m, n, k, lda))
				run("GemmUnpackedA", func(c []float32) { GemmUnpackedA(c, ldc, a, lda, pb, m, n, k, acc, scratch) })
				run("GemmTile", func(c []float32) { GemmTile(c, ldc, a, lda, false, b, ldb, m, n, k, acc) })
				run("GemmTile transA", func(c []float32) { GemmTile(c, ldc, at, m+1, true, b, ldb, m, n, k, acc) })
				run("GemmParallel", func(c []float32) { GemmParallel(c, ldc, pa, pb, m, n, k, acc, 3) })
				run("GemmUnpackedAParallel", func(c []float32) {
					GemmUnpackedAParallel(c, ldc, a, lda, pb, m, n, k, acc, scratch, 3)
				})
				run("Gemm in two parts of k", func(c []float32) {
					h := k / 3
					GemmTile(c, ldc, a, lda, false, b, ldb, m, n, h, acc)
					GemmTile(c, ldc, a[min(h, len(a)):], lda, false, b[min(h*ldb, len(b)):], ldb, m, n, k-h, true)
				})
			}
		}
	})
}

// TestGemmLarge crosses every block boundary and really shares out work; the
// levels are held against each other.
func TestGemmLarge(t *testing.T) {
	m, n, k := 109, 170, 1100
	r := rand.New(rand.NewPCG(5, 6))
	a, b := random(r, m*k, special), random(r, n*k, awkward)
	pa, pb := make([]float32, PackedALen(m, k)), make([]float32, PackedBLen(k, n))
	PackA(pa, a, m, k, k, false)
	PackB(pb, b, k, n, k, true)
	var want []float32
	eachLevel(t, func(t *testing.T) {
		for workers := range 5 {
			if workers > 1 && workers != 3 && Active() < AVX2 {
				continue
			}
			c := make([]float32, m*n)
			GemmParallel(c, n, pa, pb, m, n, k, false, workers)
			if want == nil {
				want = c
			}
			sameBits(t, fmt.Sprint(workers, " workers"), c, want)
			clear(c)
			GemmUnpackedAParallel(c, n, a, k, pb, m, n, k, false, nil, workers)
			sameBits(t, fmt.Sprint("A unpacked, ", workers, " workers"), c, want)
		}
	})
	nans := 0
	for _, v := range want {
		if v != v {
			nans++
			if math.Float32bits(v) != 0x7fc00000 {
				t.Fatalf("NaN %#x is not canonical", math.Float32bits(v))
			}
		}
	}
	if nans == 0 || nans == len(want) {
		t.Errorf("%d of %d elements are NaN: the test tests less than it should", nans, len(want))
	}
}

// TestSplit: the parts cover C once, and their edges are on panels.
func TestSplit(t *testing.T) {
	for _, c := range []struct{ m, n, workers int }{{1, 1000, 2}, {1000, 1, 2}, {1024, 1024, 2}, {300, 5000, 16}, {5, 40, 8}, {700, 33, 3}, {11, 90, 8}} {
		seen := make([]int, c.m*c.n)
		parts := split(c.m, c.n, c.workers)
		if c.m*c.n > 1000 && len(parts) < c.workers {
			t.Errorf("%v: %d parts", c, len(parts))
		}
		for _, p := range parts {
			if p.i0%tileM != 0 || p.j0%tileN != 0 {
				t.Errorf("%v: part %v is not on panels", c, p)
			}
			for i := p.i0; i < p.i1; i++ {
				for j := p.j0; j < p.j1; j++ {
					seen[i*c.n+j]++
				}
			}
		}
		for i, s := range seen {
			if s != 1 {
				t.Fatalf("%v: element %d is computed %d times", c, i, s)
			}
		}
	}
}

func TestGemmChecks(t *testing.T) {
	x, big := make([]float32, 1000), make([]float32, 13*1024)
	ok := func(f func()) { t.Helper(); f() }
	ok(func() { Gemm(x[:13], 5, x[:6], x[:96], 3, 3, 2, true) })
	for what, f := range map[string]func(){
		"C short":       func() { Gemm(x[:12], 5, x[:6], x[:96], 3, 3, 2, true) },
		"A short":       func() { Gemm(x[:13], 5, x[:5], x[:96], 3, 3, 2, true) },
		"B short":       func() { Gemm(x[:13], 5, x[:6], x[:63], 3, 3, 2, true) },
		"ldc":           func() { Gemm(x, 2, x, x, 3, 3, 2, true) },
		"negative":      func() { Gemm(x, 5, x, x, -1, 3, 2, true) },
		"k negative":    func() { Gemm(x, 5, x, x, 1, 3, -2, true) },
		"huge":          func() { Gemm(x, math.MaxInt, x, x, 3, 3, 2, true) },
		"huge m":        func() { GemmTile(x, 3, x, 3, false, x, 3, math.MaxInt/2, 3, 3, true) },
		"lda":           func() { GemmUnpackedA(x, 5, x, 1, x, 3, 3, 2, true, nil) },
		"scratch":       func() { GemmUnpackedA(big, 1024, big, 512, big, 13, 1024, 2, true, make([]float32, 25)) },
		"PackB short":   func() { PackB(x[:63], x, 2, 3, 3, false) },
		"PackB src":     func() { PackB(x, x[:5], 2, 3, 3, false) },
		"PackB trans":   func() { PackB(x, x[:5], 2, 3, 2, true) },
		"PackA dst":     func() { PackA(x[:5], x, 2, 3, 3, false) },
		"PackBRows":     func() { PackBRows(x, 2, 3, false, x[:2], func(int, []float32) {}) },
		"tile A":        func() { GemmTile(x, 3, x[:8], 3, false, x, 3, 3, 3, 3, true) },
		"tile A, trans": func() { GemmTile(x, 3, x[:8], 3, true, x, 3, 3, 3, 3, true) },
		"tile B":        func() { GemmTile(x, 3, x, 3, false, x[:8], 3, 3, 3, 3, true) },
		"parallel":      func() { GemmParallel(x[:8], 3, x, x, 3, 3, 3, true, 2) },
		"parallel A":    func() { GemmUnpackedAParallel(x, 3, x[:8], 3, x, 3, 3, 3, true, nil, 2) },
	} {
		mustPanic(t, what, f)
	}
}
