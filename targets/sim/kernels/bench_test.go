package kernels

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// Run with -cpu 1,2: the number of workers is GOMAXPROCS. Each product is reported
// as a share of the peak, and each streaming kernel as a share of the read rate,
// measured beside it.

func workers() int { return runtime.GOMAXPROCS(0) }

func benchOperand(n int) []float32 { return random(rand.New(rand.NewPCG(1, 1)), n, ordinary) }

func reportWork(b *testing.B, operations float64) {
	rate := operations * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate/1e9, "GFLOP/s")
	if peak := ProbePeakF32(workers()); peak > 0 {
		b.ReportMetric(100*rate/peak, "%peak")
	}
}

func BenchmarkPeakF32(b *testing.B) {
	best := 0.0
	for range b.N {
		best = max(best, ProbePeakF32(workers()))
	}
	b.ReportMetric(best/1e9, "GFLOP/s")
}

func BenchmarkReadRate(b *testing.B) {
	for _, mib := range []int{1, 8, 256} {
		b.Run(fmt.Sprintf("MiB=%d", mib), func(b *testing.B) {
			x := make([]float32, mib<<18)
			for i := range x {
				x[i] = 1
			}
			best := 0.0
			for b.Loop() {
				best = max(best, ProbeReadRate(x, workers()))
			}
			b.ReportMetric(best/1e9, "GB/s")
		})
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, n := range []int{128, 256, 512, 1000, 1024, 2048} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			pa, pb, c := make([]float32, PackedALen(n, n)), make([]float32, PackedBLen(n, n)), make([]float32, n*n)
			PackA(pa, benchOperand(n*n), n, n, n, false)
			PackB(pb, benchOperand(n*n), n, n, n, false)
			for b.Loop() {
				GemmParallel(c, n, pa, pb, n, n, n, false, workers())
			}
			reportWork(b, 2*float64(n)*float64(n)*float64(n))
		})
	}
}

func BenchmarkGemmUnpackedA(b *testing.B) {
	for _, s := range [][3]int{{64, 256, 256}, {128, 1024, 1024}, {1024, 1024, 1024}, {1024, 1024, 1000}} {
		m, n, k := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("m=%d/n=%d/k=%d", m, n, k), func(b *testing.B) {
			a, pb, c := benchOperand(m*k), make([]float32, PackedBLen(k, n)), make([]float32, m*n)
			PackB(pb, benchOperand(k*n), k, n, n, false)
			scratch := make([]float32, workers()*GemmScratch(m, n, k, k))
			for b.Loop() {
				GemmUnpackedAParallel(c, n, a, k, pb, m, n, k, false, scratch, workers())
			}
			reportWork(b, 2*float64(m)*float64(n)*float64(k))
		})
	}
}

func BenchmarkGemmTile(b *testing.B) {
	for _, s := range [][3]int{{16, 16, 16}, {64, 64, 64}, {128, 256, 64}} {
		m, n, k := s[0], s[1], s[2]
		b.Run(fmt.Sprintf("m=%d/n=%d/k=%d", m, n, k), func(b *testing.B) {
			x, y, c := benchOperand(m*k), benchOperand(k*n), make([]float32, m*n)
			for b.Loop() {
				GemmTile(c, n, x, k, false, y, n, m, n, k, false)
			}
			reportWork(b, 2*float64(m)*float64(n)*float64(k))
		})
	}
}

// BenchmarkGemv multiplies few rows by a packed matrix of k × k elements: 64 KiB
// stay in the caches, 256 MiB do not.
func BenchmarkGemv(b *testing.B) {
	for _, k := range []int{128, 1024, 8192} {
		pb := make([]float32, PackedBLen(k, k))
		for i := range pb {
			pb[i] = 1
		}
		for _, m := range []int{1, 4, 11} {
			b.Run(fmt.Sprintf("k=%d/m=%d", k, m), func(b *testing.B) {
				a, c := benchOperand(m*k), make([]float32, m*k)
				for b.Loop() {
					GemmUnpackedAParallel(c, k, a, k, pb, m, k, k, false, nil, workers())
				}
				rate := 4 * float64(k) * float64(k) * float64(b.N) / b.Elapsed().Seconds()
				b.ReportMetric(rate/1e9, "GB/s")
				b.ReportMetric(100*rate/ProbeReadRate(pb, workers()), "%read")
			})
		}
	}
}

func BenchmarkPackB(b *testing.B) {
	for _, trans := range []bool{false, true} {
		for _, n := range []int{256, 2048} {
			b.Run(fmt.Sprintf("trans=%v/n=%d", trans, n), func(b *testing.B) {
				x, pb := benchOperand(n*n), make([]float32, PackedBLen(n, n))
				b.SetBytes(int64(4 * n * n))
				for b.Loop() {
					PackB(pb, x, n, n, n, trans)
				}
			})
		}
	}
}

func BenchmarkGemmInt8(b *testing.B) {
	for _, s := range [][2]int{{1024, 256}, {1024, 1024}, {1, 4096}} {
		m, n := s[0], s[1]
		b.Run(fmt.Sprintf("m=%d/n=%d", m, n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			a, c := randomInt8(r, m*n), make([]int32, m*n)
			var packed Int8B
			packed.Pack(randomInt8(r, n*n), n, n, n, false)
			for b.Loop() {
				GemmInt8Parallel(c, n, a, n, &packed, m, false, workers())
			}
			b.ReportMetric(2*float64(m)*float64(n)*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}

func BenchmarkGemmLimited(b *testing.B) {
	for _, n := range []int{64, 256} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			x, y, c := benchOperand(n*n), benchOperand(n*n), make([]float32, n*n)
			for b.Loop() {
				GemmLimited(c, n, x, n, y, n, n, n, n, false, fp8Unit)
			}
			reportWork(b, 2*float64(n)*float64(n)*float64(n))
		})
	}
}

func benchEach(b *testing.B, name string, f func(dst, x, y []float32)) {
	for _, n := range []int{64, 4096, 1 << 20} {
		b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
			dst, x, y := make([]float32, n), benchOperand(n), benchOperand(n)
			for b.Loop() {
				f(dst, x, y)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
		})
	}
}

func BenchmarkElementwise(b *testing.B) {
	for _, op := range []BinaryOp{Add, Div, Max, Pow} {
		benchEach(b, op.String(), func(dst, x, y []float32) { Binary(op, dst, x, y) })
	}
	benchEach(b, "fma", func(dst, x, y []float32) { FMA(dst, x, y, dst) })
	for _, op := range []UnaryOp{Neg, Sqrt, Rsqrt, Exp, Log, Sin, Tanh, Sigmoid, Erf} {
		benchEach(b, op.String(), func(dst, x, _ []float32) { Unary(op, dst, x) })
	}
	benchEach(b, "sum", func(dst, x, _ []float32) { ReduceRows(Add, 16, dst[:1], x, len(x), 1, len(x)) })
	benchEach(b, "sum in 64 lanes", func(dst, x, _ []float32) { ReduceRows(Add, 64, dst[:1], x, len(x), 1, len(x)) })
	benchEach(b, "max row", func(dst, x, _ []float32) { ReduceRows(Max, 16, dst[:1], x, len(x), 1, len(x)) })
	p := make([]uint8, 1<<20)
	benchEach(b, "lt", func(_, x, y []float32) { Compare(Lt, p[:len(x)], x, y) })
	benchEach(b, "select", func(dst, x, y []float32) { Select(dst, p[:len(x)], x, y) })
}

// BenchmarkExp is the pure Go evaluation beside the level's own.
func BenchmarkExp(b *testing.B) {
	for _, l := range Levels() {
		b.Run(l.String(), func(b *testing.B) {
			defer SetLevel(l)()
			x, dst := benchOperand(4096), make([]float32, 4096)
			for b.Loop() {
				Unary(Exp, dst, x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/element")
		})
	}
}
