package kernels

import (
	"sync"
	"sync/atomic"
)

// Products of fewer multiply-adds than this are computed by one worker: starting
// another takes longer than it saves.
const parallelWork = 1 << 18

// GemmParallel is [Gemm] by up to workers goroutines, the caller's one included.
// The bits do not depend on their number.
func GemmParallel(c []float32, ldc int, pa, pb []float32, m, n, k int, acc bool, workers int) {
	checkGemm("GemmParallel", c, ldc, pb, m, n, k)
	checkAtLeast("GemmParallel", "packed A", len(pa), PackedALen(m, k))
	g := product{c: c, ldc: ldc, a: left{data: pa, packed: true, k: k}, pb: pb, k: k, acc: acc}
	parts := g.split(m, n, workers)
	share(len(parts), workers, func(_, i int) {
		part, p := g, parts[i]
		part.block(p.i0, p.i1, p.j0, p.j1)
	})
}

// GemmUnpackedAParallel is [GemmUnpackedA] by up to workers goroutines, the
// caller's one included. scratch holds workers × GemmScratch(m, n, k, lda) elements.
func GemmUnpackedAParallel(c []float32, ldc int, a []float32, lda int, pb []float32, m, n, k int, acc bool, scratch []float32, workers int) {
	checkGemm("GemmUnpackedAParallel", c, ldc, pb, m, n, k)
	checkMatrix("GemmUnpackedAParallel", "A", len(a), m, k, lda)
	workers = max(workers, 1)
	each := GemmScratch(m, n, k, lda)
	checkAtLeast("GemmUnpackedAParallel", "scratch", len(scratch), workers*each)
	parts := (&product{k: k}).split(m, n, workers)
	share(len(parts), workers, func(worker, i int) {
		p := parts[i]
		if p.i0 >= p.i1 {
			return
		}
		gemmUnpackedA(c[p.i0*ldc:], ldc, a[min(p.i0*lda, len(a)):], lda, pb, p.i1-p.i0, p.j0, p.j1, k, acc, scratch[worker*each:][:each])
	})
}

// area is a part of C.
type area struct{ i0, i1, j0, j1 int }

// split cuts C into parts for workers, along its longer side in panels, a few
// parts a worker so that one who is held up holds up little.
func (g *product) split(m, n, workers int) []area {
	whole := []area{{0, m, 0, n}}
	if workers <= 1 || m == 0 || n == 0 || g.k == 0 || m*n < parallelWork/g.k {
		return whole
	}
	panels, size := (n+tileN-1)/tileN, tileN
	rows := panels < workers || (m+tileM-1)/tileM > 2*panels
	if rows {
		panels, size = (m+tileM-1)/tileM, tileM
	}
	// At least four panels a part: what the part shares is read again for each.
	count := min(panels, max(workers, min(4*workers, panels/4)))
	parts := make([]area, 0, count)
	for p := range count {
		from, to := panels*p/count*size, panels*(p+1)/count*size
		if rows {
			parts = append(parts, area{from, min(to, m), 0, n})
		} else {
			parts = append(parts, area{0, m, from, min(to, n)})
		}
	}
	return parts
}

// share calls do(worker, i) for each i below n, by up to workers goroutines of
// which the caller's is worker 0. It returns when all calls have.
func share(n, workers int, do func(worker, i int)) {
	workers = min(workers, n)
	var next atomic.Int64
	work := func(worker int) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(worker, i)
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { work(w) })
	}
	work(0)
	wg.Wait()
}
