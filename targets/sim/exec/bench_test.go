package exec

import (
	"context"
	"fmt"
	"math/rand"
	"runtime"
	"testing"
	"time"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
	"apogee/targets/sim/kernels"
)

func benchGEMM(b *testing.B, s gemmShape, opt Options) {
	bl := gemmPlan(b, s)
	r := rand.New(rand.NewSource(1))
	x := random(b, r, s.f, s.m, s.k)
	shape := []int64{s.n, s.k}
	if s.weightKN {
		shape = []int64{s.k, s.n}
	}
	m, err := New(bl.p, bl.c, weights{"w": random(b, r, s.f, shape...)}, opt)
	if err != nil {
		b.Fatal(err)
	}
	in := map[string]*tensor.Tensor{"x": x}
	if _, err := m.Run(context.Background(), in); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	start := time.Now()
	for range b.N {
		if _, err := m.Run(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(start).Seconds()
	b.StopTimer()
	workers := opt.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	flops := 2 * float64(s.m) * float64(s.n) * float64(s.k) * float64(b.N) / took
	b.ReportMetric(flops/1e9, "GFLOP/s")
	if s.m > 1 {
		b.ReportMetric(100*flops/kernels.ProbePeakF32(workers), "%peak")
	} else {
		rate := float64(s.n*s.k*4) * float64(b.N) / took
		b.ReportMetric(rate/1e9, "GB/s")
		memory := make([]float32, s.n*s.k)
		for i := range memory {
			memory[i] = 1 // pages of its own
		}
		b.ReportMetric(100*rate/kernels.ProbeReadRate(memory, workers), "%read")
	}
}

// BenchmarkGEMM runs square products end to end, weights packed in the first run, beside the machine's peak.
func BenchmarkGEMM(b *testing.B) {
	for _, chip := range []string{"loongson", "h100", "ascend"} {
		for _, n := range []int64{256, 512, 1024, 2048} {
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/N=%d/workers=%d", chip, n, workers), func(b *testing.B) {
					benchGEMM(b, gemms[chip].sized(n, n, n), Options{Workers: workers})
				})
			}
			b.Run(fmt.Sprintf("%s/N=%d/workers=1/guard", chip, n), func(b *testing.B) {
				benchGEMM(b, gemms[chip].sized(n, n, n), Options{Workers: 1, Guard: true})
			})
		}
	}
}

// BenchmarkGEMV multiplies one row by a matrix that does not fit the caches: what counts is bytes a second, beside what the machine
// reads.
func BenchmarkGEMV(b *testing.B) {
	for _, workers := range []int{1, 2} {
		for _, chip := range []string{"loongson", "h100", "ascend"} {
			b.Run(fmt.Sprintf("%s/N=8192/workers=%d", chip, workers), func(b *testing.B) {
				s := gemms[chip].sized(1, 8192, 8192)
				s.tm = 1
				if chip != "ascend" {
					s.tk = 192 // what the memory holds twice beside a single row
				}
				benchGEMM(b, s, Options{Workers: workers})
			})
		}
	}
}

// BenchmarkInstrOverhead runs instructions on tiles of one row of eight, so that what is measured is everything but the work.
func BenchmarkInstrOverhead(b *testing.B) {
	c := testChip()
	for _, kind := range []string{"set", "signal+wait", "move", "vec", "vec-bf16", "reduce", "mma"} {
		for _, watched := range []bool{false, true} {
			name := kind
			if watched {
				name += "/guard"
			}
			b.Run(name, func(b *testing.B) {
				const rounds = 1000
				bl := newBuilder(b, c)
				x := bl.buffer("x", plan.Input, format.F32, 8, 8)
				y := bl.buffer("y", plan.Output, format.F32, 8)
				bl.kernel("loop")
				px, py := bl.param(x, true, false), bl.param(y, false, true)
				l := bl.local("l", "ub", 1024, 1)
				l0a, l0b, l0c := bl.local("a", "l0a", 512, 1), bl.local("b", "l0b", 512, 1), bl.local("c", "l0c", 1024, 1)
				v, q := bl.queue("vector"), bl.queue("cube")
				tile := bl.at(l, format.F32, plan.C(0), 1, 8)
				narrow := bl.at(l, format.BF16, plan.C(512), 1, 8)
				_, in := bl.path("gm", "ub")
				_, out := bl.path("ub", "gm")
				f := bl.flag("f", v, v, 0)
				ready, done := bl.flag("ready", in, v, 0), bl.flag("done", v, out, 0)
				fill := func(t plan.Tile, q int) {
					bl.emit(plan.Instr{Op: plan.Vec, Queue: q, Fn: plan.VCopy, Dst: t, Imm: 1})
				}
				bl.move(tile, bl.global(px, format.F32, plan.C(0), 1, 8))
				bl.signal(ready)
				bl.wait(ready)
				fill(narrow, v)
				fill(bl.at(l0a, format.F32, plan.C(0), 8, 8), q)
				fill(bl.at(l0b, format.F32, plan.C(0), 8, 8), q)
				i := bl.begin(plan.C(rounds))
				switch kind {
				case "set":
					bl.set(plan.VMin, i, plan.C(8))
				case "signal+wait":
					bl.signal(f)
					bl.wait(f)
				case "move":
					bl.move(bl.at(l, format.F32, plan.C(256), 1, 8), bl.global(px, format.F32, plan.C(0), 1, 8))
				case "vec":
					bl.emit(plan.Instr{Op: plan.Vec, Queue: v, Fn: plan.VAdd, Dst: tile, A: tile, B: tile})
				case "vec-bf16":
					bl.emit(plan.Instr{Op: plan.Vec, Queue: v, Fn: plan.VAdd, Dst: narrow, A: narrow, B: narrow})
				case "reduce":
					bl.emit(plan.Instr{Op: plan.VReduce, Queue: v, Fn: plan.VMax, Dst: bl.at(l, format.F32, plan.C(128), 1, 1), A: tile})
				case "mma":
					bl.emit(plan.Instr{Op: plan.Mma, Queue: q, Dst: bl.at(l0c, format.F32, plan.C(0), 8, 8), A: bl.at(l0a, format.F32, plan.C(0), 8, 8), B: bl.at(l0b, format.F32, plan.C(0), 8, 8)})
				}
				bl.end()
				bl.signal(done)
				bl.wait(done)
				bl.move(bl.global(py, format.F32, plan.C(0), 1, 8), tile)
				bl.launch(1, x, y)
				m, err := New(bl.p, c, nil, Options{Workers: 1, Guard: watched})
				if err != nil {
					b.Fatal(err)
				}
				data, _ := tensor.New(format.F32, []int64{8, 8})
				b.ResetTimer()
				start := time.Now()
				for range b.N {
					if _, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": data}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(b.N)/rounds, "ns/instr")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
