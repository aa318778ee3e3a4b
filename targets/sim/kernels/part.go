package kernels

// GemmPart does a part of [Gemm]: steps p to p+kk of k, of the columns that pb
// begins with. pa is packed of the m × kk elements of A that these steps need; pb
// is a packed right operand of k steps, from any of its panels on. It is how tiles
// of a large product share one packed B.
func GemmPart(c []float32, ldc int, pa, pb []float32, m, n, k, p, kk int, acc bool) {
	checkPart("GemmPart", c, ldc, pb, m, n, k, p, kk)
	checkAtLeast("GemmPart", "packed A", len(pa), PackedALen(m, kk))
	g := product{c: c, ldc: ldc, a: left{data: pa, packed: true, k: kk, from: p}, pb: pb, k: k, acc: acc}
	g.steps(0, m, 0, n, p, kk)
}

// GemmPartUnpackedA is [GemmPart] of a row-major A with leading dimension lda, used
// where it lies: a begins with the element of the first row and of step p.
func GemmPartUnpackedA(c []float32, ldc int, a []float32, lda int, pb []float32, m, n, k, p, kk int, acc bool) {
	checkPart("GemmPartUnpackedA", c, ldc, pb, m, n, k, p, kk)
	checkMatrix("GemmPartUnpackedA", "A", len(a), m, kk, lda)
	g := product{c: c, ldc: ldc, a: left{data: a, ld: lda, from: p}, pb: pb, k: k, acc: acc}
	g.steps(0, m, 0, n, p, kk)
}

func checkPart(fn string, c []float32, ldc int, pb []float32, m, n, k, p, kk int) {
	checkGemm(fn, c, ldc, pb, m, n, k)
	if p < 0 || kk < 0 || p > k-kk {
		panic("kernels: " + fn + ": the steps are outside of the product")
	}
}
