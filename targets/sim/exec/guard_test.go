package exec

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// drop removes instructions and mends the jumps.
func drop(k *plan.Kernel, gone func(i int, in *plan.Instr) bool) {
	to := make([]int, len(k.Code)+1)
	var code []plan.Instr
	for i := range k.Code {
		to[i] = len(code)
		if !gone(i, &k.Code[i]) {
			code = append(code, k.Code[i])
		}
	}
	for i := range code {
		if code[i].Op == plan.Loop || code[i].Op == plan.End {
			code[i].Jump = to[code[i].Jump]
		}
	}
	k.Code = code
	for i := range k.Locals {
		k.Locals[i].Last = len(code) - 1
	}
}

type run struct {
	b *builder
	x *tensor.Tensor
	w weights
}

func newRun(t *testing.T, name string) run {
	r := rand.New(rand.NewSource(2))
	s := gemms[name]
	s.tm, s.tn, s.tk = 32, 32, 16
	s = s.sized(64, 75, 48)
	b := gemmPlan(t, s)
	b.c.Cores.Value = 2 // several blocks a core
	return run{b, random(t, r, s.f, s.m, s.k), weights{"w": random(t, r, s.f, s.n, s.k)}}
}

func (r run) do(t *testing.T, opt Options) (*tensor.Tensor, error) {
	t.Helper()
	opt.Guard = true
	m, err := New(r.b.p, r.b.c, r.w, opt)
	if err != nil {
		return nil, err
	}
	var out map[string]*tensor.Tensor
	for range 2 {
		if out, err = m.Run(context.Background(), map[string]*tensor.Tensor{"x": r.x}); err != nil {
			return nil, err
		}
	}
	return out["y"], nil
}

// TestOrders runs a correct plan in many orders, watched: no fault, and the same bits.
func TestOrders(t *testing.T) {
	for _, name := range []string{"loongson", "h100", "ascend"} {
		r := newRun(t, name)
		want, err := r.do(t, Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		for seed := range uint64(12) {
			got, err := r.do(t, Options{Order: Random(seed), Workers: 1 + int(seed%3)})
			if err != nil {
				t.Fatal(name, err)
			}
			if ok, _ := got.Equal(want); !ok {
				t.Fatalf("%s: another result in order %d", name, seed)
			}
		}
		// A recorded order, played again.
		rec := map[[2]int64][]int{}
		_, err = r.do(t, Options{Workers: 1, Order: func(step int, core int64) Chooser {
			c := Random(7)(step, core)
			key := [2]int64{int64(step), core}
			rec[key] = nil
			scalar := r.b.queue("scalar")
			return func(ready []int) int {
				q := c(ready)
				if q != scalar {
					rec[key] = append(rec[key], q)
				}
				return q
			}
		}})
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := r.do(t, Options{Order: Replay(func(step int, core int64) []int { return rec[[2]int64{int64(step), core}] })})
		if err != nil {
			t.Fatal(name, err)
		}
		if ok, _ := got.Equal(want); !ok {
			t.Fatalf("%s: another result when replayed", name)
		}
	}
}

// TestMissingWait removes each flag of a correct plan in turn: the guard finds it in plan order, where the numbers are still right, and
// names both instructions.
func TestMissingWait(t *testing.T) {
	// Another flag between the same queues, raised later or waited for earlier, does what these do.
	redundant := map[string]bool{"al2_full": true, "asmem_full": true, "al0a_full": true, "wl2_free": true, "wsmem_free": true, "wl0b_free": true}
	for _, name := range []string{"loongson", "h100", "ascend"} {
		flags := newRun(t, name).b.p.Kernels[0].Flags
		for flag := range flags {
			r := newRun(t, name)
			k := &r.b.p.Kernels[0]
			drop(k, func(_ int, in *plan.Instr) bool {
				return (in.Op == plan.Signal || in.Op == plan.Wait) && in.Flag == flag
			})
			_, err := r.do(t, Options{})
			if redundant[flags[flag].Name] {
				if err != nil {
					t.Errorf("%s: flag %s is not needed, but without it: %v", name, flags[flag].Name, err)
				}
				continue
			}
			var f *guard.Fault
			if !errors.As(err, &f) {
				t.Errorf("%s: without flag %s: %v", name, flags[flag].Name, err)
				continue
			}
			if f.Kind != guard.NotArrived && f.Kind != guard.TwoQueues {
				t.Errorf("%s: without flag %s: %v", name, flags[flag].Name, err)
			}
			at, other := k.Code[f.At.Instr], k.Code[f.Other.Instr]
			if at.Queue != flags[flag].To || other.Queue != flags[flag].From {
				t.Errorf("%s: without flag %s from %d to %d: names queues %d and %d\n%v", name, flags[flag].Name, flags[flag].From, flags[flag].To, other.Queue, at.Queue, err)
			}
			for _, want := range []string{"kernel gemm", fmt.Sprintf("instruction %d", f.At.Instr), fmt.Sprintf("instruction %d", f.Other.Instr), "model.mg:", "layers.0", "block", "bytes 0x"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: the error lacks %q: %v", name, want, err)
				}
			}
		}
	}
}

// TestPlanted plants one mistake of each kind.
func TestPlanted(t *testing.T) {
	find := func(k *plan.Kernel, op plan.Opcode, nth int) *plan.Instr {
		for i := range k.Code {
			if k.Code[i].Op == op {
				if nth == 0 {
					return &k.Code[i]
				}
				nth--
			}
		}
		panic("no such instruction")
	}
	for _, c := range []struct {
		name  string
		plant func(b *builder, k *plan.Kernel)
		kind  guard.Kind
		words []string
	}{
		{"unwritten local", func(b *builder, k *plan.Kernel) {
			at := slices.IndexFunc(k.Code, func(in plan.Instr) bool { return in.Op == plan.Move && in.A.Mem == 0 && in.A.Param == 0 })
			drop(k, func(i int, _ *plan.Instr) bool { return i == at })
		}, guard.Unwritten, []string{"nothing has written", "local"}},
		{"first sum without start", func(b *builder, k *plan.Kernel) {
			find(k, plan.Mma, 0).Acc = plan.C(1)
		}, guard.Unwritten, []string{".acc"}},
		{"beyond the buffer", func(b *builder, k *plan.Kernel) {
			in := find(k, plan.Move, 0)
			in.A.Base = in.A.Base.AddC(k.Params[0].Size / 2)
		}, guard.OutOfRange, []string{"parameter x (buffer x)", "x["}},
		{"beyond the local", func(b *builder, k *plan.Kernel) {
			in := find(k, plan.Mma, 0)
			in.Dst.Base = in.Dst.Base.AddC(4)
		}, guard.OutOfRange, []string{"acc"}},
		{"write below the local", func(b *builder, k *plan.Kernel) {
			in := find(k, plan.Move, 0)
			in.Dst.Base = in.Dst.Base.AddC(-4)
		}, guard.OutOfRange, []string{"reaches outside"}},
		{"overlapping locals", func(b *builder, k *plan.Kernel) {
			other := 1 + slices.IndexFunc(k.Locals[1:], func(l plan.Local) bool { return l.Mem == k.Locals[0].Mem })
			k.Locals[other].Addr = k.Locals[0].Addr + k.Locals[0].Size - 4
		}, guard.Overlap, []string{"locals", "share the bytes"}},
		{"after its lifetime", func(b *builder, k *plan.Kernel) {
			k.Locals[len(k.Locals)-1].Last = len(k.Code) - 4
		}, guard.Lifetime, []string{"local acc is alive"}},
		{"output not written", func(b *builder, k *plan.Kernel) {
			b.p.Steps[0].Grid--
		}, guard.Unwritten, []string{"output y"}},
		{"two cores on one tile", func(b *builder, k *plan.Kernel) {
			b.p.Steps[0].Grid++
			in := find(k, plan.Set, 0)
			in.X = plan.C(0)
		}, guard.TwoCores, []string{"core"}},
		{"wait without signal", func(b *builder, k *plan.Kernel) {
			at := slices.IndexFunc(k.Code, func(in plan.Instr) bool { return in.Op == plan.Signal && k.Flags[in.Flag].Name == "done" })
			drop(k, func(i int, _ *plan.Instr) bool { return i == at })
		}, guard.Stuck, []string{"done"}},
		{"signal too many", func(b *builder, k *plan.Kernel) {
			at := slices.IndexFunc(k.Code, func(in plan.Instr) bool { return in.Op == plan.Signal && k.Flags[in.Flag].Name == "done" })
			k.Code = append(k.Code, k.Code[at])
			b.c.Cores.Value = 64 // one block a core: the next one does not take it
		}, guard.Stuck, []string{"done"}},
	} {
		for _, name := range []string{"loongson", "h100", "ascend"} {
			r := newRun(t, name)
			c.plant(r.b, &r.b.p.Kernels[0])
			_, err := r.do(t, Options{})
			var f *guard.Fault
			if !errors.As(err, &f) || f.Kind != c.kind {
				t.Errorf("%s on %s: %v", c.name, name, err)
				continue
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s on %s: the error lacks %q: %v", c.name, name, w, err)
				}
			}
			if testing.Verbose() && name == "ascend" {
				t.Logf("%s:\n%v", c.name, err)
			}
		}
	}
}

// TestScalarRead checks the scalar unit's reads: a count that a DMA brings must have arrived, and a read through another local's bytes is
// found.
func TestScalarRead(t *testing.T) {
	for _, synced := range []bool{true, false} {
		b := newBuilder(t, loadChip(t, "ascend-910b"))
		x, y := b.buffer("x", plan.Input, format.I32, 16), b.buffer("y", plan.Output, format.I32, 16)
		b.kernel("count")
		px, py := b.param(x, true, false), b.param(y, false, true)
		l := b.local("n", "ub", 64, 1)
		_, q := b.path("gm", "ub")
		s := b.queue("scalar")
		here := b.flag("here", q, s, 0)
		if synced {
			_, out := b.path("ub", "gm")
			free := b.flag("free", out, q, 1)
			b.wait(free)
			b.move(b.at(l, format.I32, plan.C(0), 16), b.global(px, format.I32, plan.C(0), 16))
			b.signal(here)
			b.wait(here)
			n := b.reg()
			b.emit(plan.Instr{Op: plan.LoadScalar, Queue: s, A: b.at(l, format.I32, plan.C(4), 1), Reg: n})
			v := b.queue("vector")
			gone := b.flag("gone", s, v, 0)
			b.signal(gone)
			b.wait(gone)
			b.emit(plan.Instr{Op: plan.VIota, Queue: v, Dst: b.at(l, format.I32, plan.C(0), 16), X: plan.R(n), Z: plan.C(1)})
			there := b.flag("there", v, out, 0)
			b.signal(there)
			b.wait(there)
			b.move(b.global(py, format.I32, plan.C(0), 16), b.at(l, format.I32, plan.C(0), 16))
			b.signal(free)
		} else {
			b.move(b.at(l, format.I32, plan.C(0), 16), b.global(px, format.I32, plan.C(0), 16))
			b.emit(plan.Instr{Op: plan.LoadScalar, Queue: s, A: b.at(l, format.I32, plan.C(4), 1), Reg: b.reg()})
		}
		b.launch(1, x, y)
		m, err := New(b.p, b.c, nil, Options{Guard: true})
		if err != nil {
			t.Fatal(err)
		}
		in, _ := tensor.FromI64(format.I32, []int64{16}, []int64{3, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		out, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": in})
		var f *guard.Fault
		if !synced {
			if !errors.As(err, &f) || f.Kind != guard.NotArrived {
				t.Errorf("read before arrival: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got, _ := out["y"].I64s()
		if got[0] != 40 || got[15] != 55 {
			t.Errorf("got %v", got)
		}
	}
}

// TestLateSignal runs a plan whose consumer is issued before its producer: right on queues, and right here.
func TestLateSignal(t *testing.T) {
	b := newBuilder(t, loadChip(t, "ascend-910b"))
	x, y := b.buffer("x", plan.Input, format.F32, 64), b.buffer("y", plan.Output, format.F32, 64)
	b.kernel("late")
	px, py := b.param(x, true, false), b.param(y, false, true)
	l := b.local("a", "ub", 256, 1)
	_, in := b.path("gm", "ub")
	_, out := b.path("ub", "gm")
	v := b.queue("vector")
	here, there := b.flag("here", in, v, 0), b.flag("there", v, out, 0)
	free := b.flag("free", out, in, 1)
	t32 := b.at(l, format.F32, plan.C(0), 64)
	b.wait(there)
	b.move(b.global(py, format.F32, plan.C(0), 64), t32)
	b.signal(free)
	b.wait(here)
	b.emit(plan.Instr{Op: plan.Vec, Queue: v, Fn: plan.VNeg, Dst: t32, A: t32})
	b.signal(there)
	b.wait(free)
	b.move(t32, b.global(px, format.F32, plan.C(0), 64))
	b.signal(here)
	b.launch(1, x, y)
	for _, o := range []Order{nil, Random(1), Random(2)} {
		m, err := New(b.p, b.c, nil, Options{Guard: true, Order: o})
		if err != nil {
			t.Fatal(err)
		}
		one := make([]float64, 64)
		for i := range one {
			one[i] = float64(i)
		}
		in, _ := tensor.FromF64(format.F32, []int64{64}, one)
		res, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": in})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := res["y"].F64s()
		if got[63] != -63 {
			t.Errorf("got %v", got)
		}
	}
}
