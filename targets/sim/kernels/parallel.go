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
	if !worthSharing(m, n, k, workers) {
		g.block(0, m, 0, n)
		return
	}
	shared := g // one that may move to the heap
	parts := split(m, n, workers)
	share(len(parts), workers, func(_, i int) {
		part, p := shared, parts[i]
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
	if !worthSharing(m, n, k, workers) {
		gemmUnpackedA(c, ldc, a, lda, pb, m, 0, n, k, acc, scratch[:each])
		return
	}
	parts := split(m, n, workers)
	share(len(parts), workers, func(worker, i int) {
		p := parts[i]
		gemmUnpackedA(c[p.i0*ldc:], ldc, a[p.i0*lda:], lda, pb, p.i1-p.i0, p.j0, p.j1, k, acc, scratch[worker*each:][:each])
	})
}

// area is a part of C.
type area struct{ i0, i1, j0, j1 int }

// worthSharing reports whether several workers beat one.
func worthSharing(m, n, k, workers int) bool {
	return workers > 1 && m > 0 && n > 0 && k > 0 && m*n >= parallelWork/k
}

// split cuts C into parts for workers, along its longer side in panels, a few
// parts a worker so that one who is held up holds up little.
func split(m, n, workers int) []area {
	panels, size := (n+tileN-1)/tileN, tileN
	rowPanels := (m + tileM - 1) / tileM
	rows := rowPanels > 2*panels || panels < workers && rowPanels > panels
	if rows {
		panels, size = rowPanels, tileM
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
