package clock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
	"apogee/targets/sim/clock"
	"apogee/targets/trace"
)

func run(t testing.TB, p *plan.Plan, o clock.Options) *clock.Result {
	t.Helper()
	r, err := clock.Run(p, plantest.Chip(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sameTime compares two results of one plan to the tick.
func sameTime(t *testing.T, name string, full, fast *clock.Result) {
	t.Helper()
	if diff := cmp.Diff(full.Total, fast.Total); diff != "" {
		t.Errorf("%s: total %s", name, diff)
	}
	for i := range full.Launches {
		a, b := full.Launches[i], fast.Launches[i]
		if diff := cmp.Diff(a.Instrs, b.Instrs); diff != "" {
			t.Errorf("%s: instructions %s", name, diff)
		}
		if diff := cmp.Diff(a.Queues, b.Queues); diff != "" {
			t.Errorf("%s: queues %s", name, diff)
		}
		if a.Split.Sum() != a.Ticks {
			t.Errorf("%s: the reasons sum up to %d of %d ticks", name, a.Split.Sum(), a.Ticks)
		}
	}
}

// TestExact holds that leaving rounds out changes nothing, to the tick.
func TestExact(t *testing.T) {
	for _, s := range []plantest.Size{
		{M: 64, K: 64 * 100, N: 128, BM: 64, BK: 64, BN: 128}, {M: 64, K: 64*100 + 3, N: 128, BM: 64, BK: 64, BN: 128}, {M: 200, K: 3000, N: 5000, BM: 64, BK: 64, BN: 128},
		{M: 1, K: 7168, N: 2048, BM: 16, BK: 256, BN: 64}, {M: 1000, K: 50, N: 1000, BM: 16, BK: 16, BN: 16}, {M: 64, K: 20000, N: 128, BM: 16, BK: 32, BN: 16},
	} {
		p := plantest.Matmul(s)
		sameTime(t, fmt.Sprintf("%+v", s), run(t, p, clock.Options{Exact: true}), run(t, p, clock.Options{}))
	}
	for seed := uint64(0); seed < 80; seed++ {
		p := plantest.Random(seed)
		full, err := clock.Run(p, plantest.Chip(), clock.Options{Exact: true})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sameTime(t, fmt.Sprintf("seed %d", seed), full, run(t, p, clock.Options{}))
		if t.Failed() {
			t.Fatalf("%s", plan.Text(p, nil))
		}
	}
}

// TestShortcut holds that loops and blocks are not walked to their ends.
func TestShortcut(t *testing.T) {
	for _, s := range []plantest.Size{
		{M: 64, K: 64 * 100_000, N: 128, BM: 64, BK: 64, BN: 128}, {M: 64 * 40_000, K: 64, N: 128, BM: 64, BK: 64, BN: 128}, {M: 4096, K: 7168, N: 18432, BM: 64, BK: 64, BN: 128},
	} {
		l := run(t, plantest.Matmul(s), clock.Options{}).Launches[0]
		if l.Simulated > 100_000 || l.Instructions < 1_000_000 {
			t.Errorf("%+v: %d steps for %d instructions", s, l.Simulated, l.Instructions)
		}
		t.Logf("%+v: %d steps for %d instructions", s, l.Simulated, l.Instructions)
	}
}

// decode is a plan of the size of a step of a large model: layers with kernels of several shapes.
func decode(layers, kernels int) *plan.Plan {
	p := plantest.Matmul(plantest.Size{M: 16, K: 64, N: 64, BM: 16, BK: 64, BN: 64})
	p.Kernels, p.Steps, p.Buffers = nil, nil, nil
	add := func(size, at int64) int {
		p.Buffers = append(p.Buffers, plan.Buffer{Name: fmt.Sprintf("b%d", len(p.Buffers)), Kind: plan.Workspace, Addr: at, Size: size})
		return len(p.Buffers) - 1
	}
	in, out := add(1<<24, 0), add(1<<24, 1<<24)
	for i := 0; i < kernels; i++ {
		s := plantest.Size{M: 16, K: 512 + 512*int64(i%13), N: 1536 + 640*int64(i), BM: 16, BK: 128, BN: 96}
		p.Kernels = append(p.Kernels, plantest.MatmulKernel(s))
	}
	at := int64(1 << 25)
	for l := 0; l < layers; l++ {
		for i := range p.Kernels {
			w := add(p.Kernels[i].Params[1].Size, at)
			at += (p.Kernels[i].Params[1].Size + 31) / 32 * 32
			n := (p.Kernels[i].Params[2].Size/64 + 95) / 96
			p.Steps = append(p.Steps, plan.Step{Name: fmt.Sprintf("layers.%d.%d", l, i), Kernel: i, Grid: n,
				Args: []plan.Arg{{Buffer: in}, {Buffer: w}, {Buffer: out}}})
		}
	}
	return p
}

func BenchmarkRun(b *testing.B) {
	for _, n := range []struct{ layers, kernels int }{{6, 17}, {60, 17}, {60, 40}, {600, 17}} {
		b.Run(fmt.Sprintf("steps=%d/kernels=%d", n.layers*n.kernels, n.kernels), func(b *testing.B) {
			p := decode(n.layers, n.kernels)
			b.ReportAllocs()
			for b.Loop() {
				run(b, p, clock.Options{})
			}
		})
	}
}

func BenchmarkKernel(b *testing.B) {
	for _, s := range []plantest.Size{
		{M: 16, K: 7168, N: 2048, BM: 16, BK: 128, BN: 128}, {M: 4096, K: 7168, N: 18432, BM: 128, BK: 64, BN: 128}, {M: 4000, K: 7000, N: 18000, BM: 128, BK: 64, BN: 128},
	} {
		for _, exact := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dx%dx%d/exact=%v", s.M, s.K, s.N, exact), func(b *testing.B) {
				p := plantest.Matmul(s)
				for b.Loop() {
					run(b, p, clock.Options{Exact: exact})
				}
			})
		}
	}
}

// kernel makes a plan of one kernel over buffers of 1 MiB, as many as it has parameters, launched steps times.
func kernel(b *plantest.Builder, steps int, grid int64) *plan.Plan {
	if b.Regs == 0 {
		b.Regs = 10
	}
	for i := range b.Locals {
		b.Locals[i].Last = len(b.Code) - 1
	}
	p := &plan.Plan{Model: "hand", Entry: "main", Chip: "toy", Memories: plantest.Memories(), Queues: plantest.Queues(),
		Files: []string{"hand.mg"}, Scopes: []string{"s"}, Kernels: []plan.Kernel{b.Kernel}}
	s := plan.Step{Name: "launch", Grid: grid}
	for i := range b.Params {
		p.Buffers = append(p.Buffers, plan.Buffer{Name: b.Params[i].Name, Kind: plan.Workspace, Addr: int64(i) << 20, Size: 1 << 20})
		s.Args = append(s.Args, plan.Arg{Buffer: i})
	}
	for i := 0; i < steps; i++ {
		p.Steps = append(p.Steps, s)
	}
	return p
}

// builder has two parameters and a local of each kind.
func builder() *plantest.Builder {
	b := &plantest.Builder{}
	b.Name = "k"
	b.Params = []plan.Param{{Name: "x", Format: format.F32, Size: 1 << 20, Read: true}, {Name: "y", Format: format.F32, Size: 1 << 20, Write: true}}
	b.Locals = []plan.Local{{Name: "u", Mem: plantest.UB, Size: 64 << 10, Slots: 1}, {Name: "a", Mem: plantest.L0A, Size: 32 << 10, Slots: 1},
		{Name: "b", Mem: plantest.L0B, Size: 32 << 10, Slots: 1}, {Name: "c", Mem: plantest.L0C, Size: 64 << 10, Slots: 1}}
	return b
}

func tile(mem, what int, f format.Format, rows, cols, width int64) plan.Tile {
	return plantest.Tile(mem, what, f, plan.C(0), plantest.Dim{Size: plan.C(rows), Stride: width}, plantest.Dim{Size: plan.C(cols), Stride: int64(f.Bits() / 8)})
}

// TestByHand holds times that were worked out by hand, in cycles of 1 ns after the launch of 2000.
func TestByHand(t *testing.T) {
	const gm, ub = plantest.GM, plantest.UB
	f32 := format.F32
	own := func(x plan.Tile) plan.Tile { // every block has its own
		x.Base = plan.R(plan.RegBlock).Scale(4096)
		return x
	}
	in := func(b *plantest.Builder, rows, cols, width int64) {
		b.Move(plantest.In, plantest.PathUB, tile(ub, 0, f32, rows, cols, cols*4), own(tile(gm, 0, f32, rows, cols, width)))
	}
	out := func(b *plantest.Builder) {
		b.Move(plantest.Out, plantest.PathUBOut, own(tile(gm, 1, f32, 1, 1024, 4096)), tile(ub, 0, f32, 1, 1024, 4096))
	}
	for _, c := range []struct {
		name  string
		grid  int64
		build func(b *plantest.Builder)
		want  float64
		main  clock.Reason
	}{
		// issue 1, start-up 30, 4096 B at 64 B/cycle, latency 500; memory at 100 B/cycle is not the limit
		{"a move", 1, func(b *plantest.Builder) { in(b, 1, 1024, 4096) }, 1 + 30 + 64 + 500, clock.Latency},
		// four cores have 25 B/cycle each
		{"four cores", 4, func(b *plantest.Builder) { in(b, 1, 1024, 4096) }, 1 + 30 + 4096/25.0 + 500, clock.Latency},
		// four cores that read the same: it comes once from memory, and thrice from the cache in 200
		{"four cores share", 4, func(b *plantest.Builder) {
			b.Move(plantest.In, plantest.PathUB, tile(ub, 0, f32, 1, 1024, 4096), tile(gm, 0, f32, 1, 1024, 4096))
		}, 1 + 30 + 64 + 500*0.25 + 200*0.75, clock.Latency},
		// the second starts when the first has left the queue, not when its data is there; half is a hit
		{"two moves", 1, func(b *plantest.Builder) { in(b, 1, 1024, 4096); in(b, 1, 1024, 4096) }, 1 + 30 + 64 + 30 + 64 + 200*0.5 + 500*0.5, clock.Latency},
		// 64 rows of 4 B, 1024 B apart: a unit of 32 B each
		{"short rows", 1, func(b *plantest.Builder) { in(b, 64, 1, 1024) }, 1 + 30 + 64*32/64 + 500, clock.Latency},
		// what leaves has no latency
		{"a move out", 1, out, 1 + 30 + 64, clock.Path},
		// two units, two rows of 64 each at 16 elements/cycle, start-up 10
		{"exp", 1, func(b *plantest.Builder) {
			b.Vec(plan.VExp, 0, tile(ub, 0, f32, 4, 64, 256), tile(ub, 0, f32, 4, 64, 256))
		}, 1 + 10 + 8, clock.Vector},
		// one row goes to one unit
		{"one row", 1, func(b *plantest.Builder) {
			b.Vec(plan.VExp, 0, tile(ub, 0, f32, 1, 256, 0), tile(ub, 0, f32, 1, 256, 0))
		}, 1 + 10 + 16, clock.Vector},
		// 33 columns 512 B apart take 5 lines of 8 elements
		{"lines", 1, func(b *plantest.Builder) {
			b.Vec(plan.VExp, 0, tile(ub, 0, f32, 2, 33, 512), tile(ub, 0, f32, 2, 33, 512))
		}, 1 + 10 + 3, clock.Vector},
		{"sigmoid", 1, func(b *plantest.Builder) {
			b.Vec(plan.VSigmoid, 0, tile(ub, 0, f32, 2, 64, 256), tile(ub, 0, f32, 2, 64, 256))
		}, 1 + 10 + 4 + 8, clock.Vector},
		// 17x33x1 is padded to 32x48x16
		{"a product", 1, func(b *plantest.Builder) {
			b.Mma(tile(plantest.L0C, 3, f32, 17, 1, 4), tile(plantest.L0A, 1, format.F16, 17, 33, 66), tile(plantest.L0B, 2, format.F16, 33, 1, 2), plan.C(0))
		}, 1 + 16 + 2*32*48*16/1024, clock.Matrix},
		// wait, then signal: the product starts 20 cycles after the last byte is there
		{"sync", 1, func(b *plantest.Builder) {
			b.Flags = []plan.Flag{{Name: "f", From: plantest.In, To: plantest.V}}
			in(b, 1, 1024, 4096)
			b.Signal(0)
			b.Wait(0)
			b.Vec(plan.VExp, 0, tile(ub, 0, f32, 2, 64, 256), tile(ub, 0, f32, 2, 64, 256))
		}, 1 + 30 + 64 + 500 + 20 + 10 + 4, clock.Latency},
		// loop, two instructions a round, end, the end of the block
		{"scalars", 1, func(b *plantest.Builder) {
			b.Loop(3, plan.C(0), plan.C(1000))
			b.Set(4, plan.VAdd, plan.R(3), plan.C(1))
			b.Set(5, plan.VAdd, plan.R(4), plan.C(1))
			b.End()
		}, 1 + 3*1000 + 1, clock.Scalar},
		{"an empty tile", 1, func(b *plantest.Builder) { in(b, 0, 1024, 4096) }, 1 + 1, clock.Scalar},
		// the third block of core 0 follows the second
		{"blocks", 9, out, 1 + 3*(30+4096/(100*3/9.0)), clock.Memory},
	} {
		b := builder()
		c.build(b)
		r := run(t, kernel(b, 1, c.grid), clock.Options{})
		if got := r.Seconds*1e9 - 2000; math.Abs(got-c.want) > 0.01 {
			t.Errorf("%s: %.3f cycles, want %.3f (%s)", c.name, got, c.want, &r.Total)
		}
		split := r.Total
		split[clock.Launch] = 0
		if split.Main() != c.main {
			t.Errorf("%s is bound by %s, want %s", c.name, &split, c.main)
		}
	}
}

// TestCache holds that what the launch before left is not read from memory again, and what does not fit is.
func TestCache(t *testing.T) {
	b := builder()
	b.Loop(3, plan.C(0), plan.C(16))
	src := tile(plantest.GM, 0, format.F32, 16, 1024, 4096)
	src.Base = plan.R(3).Scale(16 * 4096)
	b.Move(plantest.In, plantest.PathUB, tile(plantest.UB, 0, format.F32, 16, 1024, 4096), src)
	b.End()
	p := kernel(b, 3, 1)
	r := run(t, p, clock.Options{})
	if got := []int{r.Steps[0].Launch, r.Steps[1].Launch, r.Steps[2].Launch}; !cmp.Equal(got, []int{0, 1, 1}) {
		t.Fatalf("launches %v", got)
	}
	if r.Launches[0].MemoryBytes != 1<<20 || r.Launches[1].MemoryBytes != 0 || r.Launches[1].CacheBytes != 1<<20 {
		t.Errorf("%g and then %g B from memory", r.Launches[0].MemoryBytes, r.Launches[1].MemoryBytes)
	}
	// With two parameters in turn, each of a MiB, nothing is left.
	p.Steps[1].Args = []plan.Arg{{Buffer: 1}, {Buffer: 1}}
	if r = run(t, p, clock.Options{}); r.MemoryBytes != 3<<20 {
		t.Errorf("%g B from memory", r.MemoryBytes)
	}
	// Without a cache every read counts.
	c := plantest.Chip()
	c.Memories = append(c.Memories[:1], c.Memories[2:]...)
	r, err := clock.Run(p, c, clock.Options{})
	if err != nil || r.MemoryBytes != 3<<20 || r.CacheBytes != 0 {
		t.Errorf("without a cache %g B from memory, %g from the cache: %v", r.MemoryBytes, r.CacheBytes, err)
	}
}

// TestUneven holds that the core with most to do is the one that counts, and what data decides is assumed and said.
func TestUneven(t *testing.T) {
	b := builder()
	b.Params = append(b.Params, plan.Param{Name: "offsets", Format: format.I32, Size: 4096, Read: true})
	at := plan.R(plan.RegBlock)
	load := func(r plan.Reg, v plan.Val) {
		b.Load(r, plantest.Tile(plantest.GM, 2, format.I32, v.Scale(4), plantest.Dim{Size: plan.C(1), Stride: 4}),
			&plan.Assume{Index: v, Mul: 8, Div: 32, Why: "tokens spread evenly over experts"})
	}
	load(3, at)
	load(4, at.AddC(1))
	b.Loop(5, plan.R(3), plan.R(4).Add(plan.R(3).Scale(-1)))
	b.Move(plantest.In, plantest.PathUB, tile(plantest.UB, 0, format.F32, 16, 1024, 4096), tile(plantest.GM, 0, format.F32, 16, 1024, 4096))
	b.End()
	r := run(t, kernel(b, 1, 32), clock.Options{})
	// Blocks 3, 7, … have a token each: all on core 3, the other cores only look.
	l := r.Launches[0]
	if l.Core != 3 || l.Instrs[3].Count != 8 {
		t.Errorf("core %d was simulated, with %d moves", l.Core, l.Instrs[3].Count)
	}
	if diff := cmp.Diff([]string{"tokens spread evenly over experts"}, r.Data); diff != "" {
		t.Error(diff)
	}
	if len(r.Assumed) != 1 || r.Assumed[0].Name != "launch" {
		t.Errorf("assumed: %+v", r.Assumed)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(p *plan.Plan, k *plan.Kernel)
		want  []string
	}{
		{"another chip", func(p *plan.Plan, k *plan.Kernel) { p.Chip = "other" }, []string{"CLOCK001", "the plan is for other and cannot be timed on toy"}},
		{"no such queue", func(p *plan.Plan, k *plan.Kernel) { p.Queues[3].Name = "mm" }, []string{"CLOCK001", "a queue mm"}},
		{"no such memory", func(p *plan.Plan, k *plan.Kernel) { p.Memories[3].Name = "mm" }, []string{"CLOCK001", "a memory mm"}},
		{"no such path", func(p *plan.Plan, k *plan.Kernel) { k.Code[15].Path = 0 }, []string{"CLOCK001", "instruction 15", "not from l1 to l0a"}},
		{"no rate", func(p *plan.Plan, k *plan.Kernel) { k.Code[20].A.Format = format.F8E4M3FN },
			[]string{"CLOCK002", "instruction 20", "no engine of queue m multiplies f8e4m3fn by f16 into f32", "mmad l0c:l0_c", "toy.mg:21:3"}},
		{"a signal too few", func(p *plan.Plan, k *plan.Kernel) { k.Code[12].Flag = 3; k.Code[12].Queue = plantest.Feed },
			[]string{"CLOCK003", "instruction 9", "queue mte2 waits for a signal that never comes", "expected a signal of flag l1_free", "queue mte1 waits at instruction 13: wait_flag l1_full"}},
		{"a register too many", func(p *plan.Plan, k *plan.Kernel) { k.Code[10].A.Base = plan.R(99) }, []string{"PLAN020"}},
	} {
		p := plantest.Matmul(plantest.Size{M: 200, K: 300, N: 500, BM: 64, BK: 64, BN: 128})
		c.plant(p, &p.Kernels[0])
		_, err := clock.Run(p, plantest.Chip(), clock.Options{})
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error lacks %q:\n%v", c.name, w, err)
			}
		}
	}
	// A launch that would take years is refused, not walked.
	b := builder()
	b.Loop(3, plan.C(0), plan.C(1<<45))
	b.Vec(plan.VExp, 0, tile(plantest.UB, 0, format.F32, 16, 1024, 4096), tile(plantest.UB, 0, format.F32, 16, 1024, 4096))
	b.End()
	if _, err := clock.Run(kernel(b, 1, 1<<30), plantest.Chip(), clock.Options{}); err == nil || !strings.Contains(err.Error(), "CLOCK004") {
		t.Errorf("a run of years: %v", err)
	}
}

// TestMutants changes plans at random and demands that they are timed or refused, but neither panic nor hang.
func TestMutants(t *testing.T) {
	timed := 0
	for seed := uint64(0); seed < 200; seed++ {
		p := plantest.Random(seed % 40)
		r := rand.New(rand.NewPCG(seed, 7))
		k := &p.Kernels[0]
		for n := 1 + r.IntN(4); n > 0; n-- {
			in := &k.Code[r.IntN(len(k.Code))]
			odd := []int64{-1, 0, 1, 7, 1 << 20, 1 << 45, -1 << 45}[r.IntN(7)]
			switch r.IntN(10) {
			case 0:
				in.Op = plan.Opcode(r.IntN(int(plan.VGroup) + 1))
			case 1:
				in.Queue = r.IntN(len(p.Queues))
			case 2:
				in.Y = plan.C(odd)
			case 3:
				in.X = plan.R(plan.Reg(r.IntN(k.Regs))).Scale(odd)
			case 4:
				in.Flag = r.IntN(max(len(k.Flags), 1))
			case 5:
				if len(in.Dst.Size) > 0 {
					in.Dst.Size[0], in.Dst.Stride[0] = plan.C(odd), odd
				}
			case 6:
				if len(k.Flags) > 0 {
					k.Flags[r.IntN(len(k.Flags))].Credits = int(min(max(odd, 0), 1<<12))
				}
			case 7:
				p.Steps[0].Grid = min(max(odd, 1), 1<<40)
			case 8:
				in.Fn = plan.Fn(r.IntN(int(plan.NumFns)))
			case 9:
				in.Path = r.IntN(7)
			}
		}
		if _, err := clock.Run(p, plantest.Chip(), clock.Options{Steps: 1_000_000}); err == nil {
			timed++
		}
	}
	if timed < 20 {
		t.Errorf("only %d of the plans were timed", timed)
	}
}

func TestCancel(t *testing.T) {
	done := make(chan struct{})
	close(done)
	p := plantest.Matmul(plantest.Size{M: 200, K: 3000, N: 5000, BM: 64, BK: 64, BN: 128})
	if _, err := clock.Run(p, plantest.Chip(), clock.Options{Done: done}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was given up: %v", err)
	}
}

// TestScalarQueue holds that a scalar unit that does vector work itself does it in order.
func TestScalarQueue(t *testing.T) {
	c := plantest.Chip()
	c.Engines[plantest.V].Queue = "s"
	b := builder()
	x := tile(plantest.UB, 0, format.F32, 2, 64, 256)
	b.Vec(plan.VExp, 0, x, x)
	b.Vec(plan.VExp, 0, x, x)
	p := kernel(b, 1, 1)
	p.Queues = p.Queues[:plantest.V]
	for i := range p.Kernels[0].Code {
		p.Kernels[0].Code[i].Queue = plantest.S
	}
	r, err := clock.Run(p, c, clock.Options{})
	if err != nil || r.Launches[0].Ticks != (2000+2*(1+14)+1)*clock.PerCycle {
		t.Errorf("%v: %v", r, err)
	}
}

// TestBound holds that the fractions sum up to one and overload shows.
func TestBound(t *testing.T) {
	p := plantest.Matmul(plantest.Size{M: 200, K: 3000, N: 5000, BM: 64, BK: 64, BN: 128})
	r := run(t, p, clock.Options{})
	sum := 0.0
	for _, f := range r.BoundBy {
		sum += f
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("the fractions sum up to %g", sum)
	}
	if r.Flops != p.Kernels[0].Flops || r.Padded < r.Flops {
		t.Errorf("%g flops, %g with padding, want %g", r.Flops, r.Padded, p.Kernels[0].Flops)
	}
	for _, q := range r.Queues {
		if q.Busy > r.Seconds {
			t.Errorf("queue %s is busy for longer than the run", q.Name)
		}
	}
	p.Memories[0].Size = 1 << 20
	if over := run(t, p, clock.Options{}).OverCapacity; over <= 0 {
		t.Error("a plan that does not fit is not marked")
	}
}

func TestTrace(t *testing.T) {
	p := plantest.Matmul(plantest.Size{M: 64, K: 64 * 100, N: 128, BM: 64, BK: 64, BN: 128})
	p.Steps = append(p.Steps, p.Steps[0])
	tr := &trace.Trace{}
	r := run(t, p, clock.Options{Trace: tr, TraceSteps: []int{1}})
	if tr.Name != "toy main on toy" {
		t.Errorf("the trace is called %q", tr.Name)
	}
	ends := make([]float64, len(tr.Tracks))
	launches, repeated, waited := 0, int64(0), false
	for _, s := range tr.Spans {
		if s.Start < ends[s.Track]-1e-12 || s.End < s.Start || s.End > r.Seconds+1e-12 {
			t.Fatalf("%+v overlaps what stands before on %s", s, tr.Tracks[s.Track])
		}
		ends[s.Track] = s.End
		switch {
		case s.Instr == plan.None:
			launches++
		case s.Times > 0:
			repeated += s.Times
		case s.Step != 1:
			t.Errorf("a span of step %d", s.Step)
		case s.For == "flag l0_full" && s.Wait > 0 && s.Name == "mmad" && s.Place == "toy.mg:21:3 in layers.0.proj":
			waited = true
		}
	}
	if launches != 2 || repeated < 50 || !waited {
		t.Errorf("%d launches, %d rounds repeated, waited: %v", launches, repeated, waited)
	}
	// A trace does not change the time.
	if plain := run(t, p, clock.Options{}); plain.Total != r.Total {
		t.Errorf("traced %v, else %v", r.Total, plain.Total)
	}
}

// TestDeterministic runs one plan twice and demands the same bytes.
func TestDeterministic(t *testing.T) {
	p := decode(2, 5)
	var texts [2]string
	for i := range texts {
		b, err := json.Marshal(run(t, p, clock.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(b)
	}
	if texts[0] != texts[1] {
		t.Error("two runs differ")
	}
	if !strings.Contains(texts[0], `"bound_by":{"`) {
		t.Error(texts[0])
	}
}

// TestImports holds that timing cannot look at data.
func TestImports(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		src, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range src.Imports {
			for _, no := range []string{"sim/exec", "sim/guard", "sim/load", "ir/tensor", "codegen", "passes"} {
				if strings.Contains(i.Path.Value, no) {
					t.Errorf("%s imports %s", f, i.Path.Value)
				}
			}
		}
	}
}
