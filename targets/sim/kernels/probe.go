package kernels

import (
	"sync"
	"time"
)

// Probes say what the machine can do, for an efficiency to be quoted beside it.
// They measure time, so their results differ from run to run.

// ProbePeakF32 measures how many floating-point operations a second so many
// workers make at most: fused multiply-adds, two operations each, on registers
// alone and with the widest vectors of the level in use. It takes about 20 ms, and
// returns 0 for a level without vectors.
func ProbePeakF32(workers int) float64 {
	const steps = 200000
	each := probeOperations()
	if each == 0 {
		return 0
	}
	best := bestTime(10, func() {
		together(workers, func(int) { probeFMA(steps) })
	})
	return float64(workers) * steps * each / best
}

// ProbeReadRate measures how many bytes of x a second so many workers read at
// most, each a part of its own. x should be far larger than the caches to measure
// the memory. It reads x a few times.
func ProbeReadRate(x []float32, workers int) float64 {
	part := len(x) / workers &^ 127
	best := bestTime(5, func() {
		together(workers, func(w int) { probeRead(x[w*part:][:part]) })
	})
	return 4 * float64(part*workers) / best
}

func together(workers int, do func(worker int)) {
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { do(w) })
	}
	do(0)
	wg.Wait()
}

// bestTime is the shortest of n runs, in seconds.
func bestTime(n int, f func()) float64 {
	best := time.Duration(1<<63 - 1)
	for range n {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return max(best.Seconds(), 1e-9)
}
