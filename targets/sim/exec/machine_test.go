package exec

import (
	"context"
	"errors"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// addPlan is y = x + w + s, s += x, on a chip with one vector memory: a state, a weight, a temporary and a constant. With twice, x counts
// double: another plan over the same weight and state.
func addPlan(t testing.TB, twice bool) *builder {
	b := newBuilder(t, loadChip(t, "ascend-910b"))
	f := format.F32
	x, y := b.buffer("x", plan.Input, f, 8), b.buffer("y", plan.Output, f, 8)
	s, w := b.buffer("s", plan.State, f, 8), b.buffer("w", plan.Weight, f, 8)
	k := b.buffer("two", plan.Const, f, 8)
	tmp := b.buffer("t", plan.Temp, f, 8)
	two, _ := tensor.FromF64(f, []int64{8}, []float64{2, 2, 2, 2, 2, 2, 2, 2})
	b.p.Buffers[k].Data, _ = two.Bytes()
	_, qi := b.path("gm", "ub")
	_, qo := b.path("ub", "gm")
	v := b.queue("vector")
	step := func(name string, fn plan.Fn, dst, a, c int) {
		b.kernel(name)
		pa, pc, pd := b.param(a, true, false), b.param(c, true, false), b.param(dst, false, true)
		la, lc := b.local("a", "ub", 32, 1), b.local("c", "ub", 32, 1)
		in, out := b.flag("in", qi, v, 0), b.flag("out", v, qo, 0)
		b.move(b.at(la, f, plan.C(0), 8), b.global(pa, f, plan.C(0), 8))
		b.move(b.at(lc, f, plan.C(0), 8), b.global(pc, f, plan.C(0), 8))
		b.signal(in)
		b.wait(in)
		b.emit(plan.Instr{Op: plan.Vec, Queue: v, Fn: fn, Dst: b.at(la, f, plan.C(0), 8), A: b.at(la, f, plan.C(0), 8), B: b.at(lc, f, plan.C(0), 8)})
		b.signal(out)
		b.wait(out)
		b.move(b.global(pd, f, plan.C(0), 8), b.at(la, f, plan.C(0), 8))
		b.launch(1, a, c, dst)
	}
	if twice {
		step("double", plan.VMul, tmp, x, k)
	} else {
		step("copy", plan.VMax, tmp, x, x)
	}
	step("sum", plan.VAdd, s, s, tmp)
	step("out", plan.VAdd, y, s, w)
	return b
}

func vector(t testing.TB, x ...float64) *tensor.Tensor {
	for len(x) < 8 {
		x = append(x, 0)
	}
	v, err := tensor.FromF64(format.F32, []int64{8}, x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDevice runs two plans in turn on one device: they share the weight, read once, and the state.
func TestDevice(t *testing.T) {
	one, two := addPlan(t, false), addPlan(t, true)
	d := NewDevice(one.c, weights{"w": vector(t, 100)}, Options{Guard: true})
	m1, err := d.Machine(one.p)
	if err != nil {
		t.Fatal(err)
	}
	m2, err := d.Machine(two.p)
	if err != nil {
		t.Fatal(err)
	}
	run := func(m *Machine, x, want float64) {
		t.Helper()
		out, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": vector(t, x)})
		if err != nil {
			t.Fatal(err)
		}
		if got := f64s(t, out["y"]); got[0] != want {
			t.Errorf("got %v, want %v", got[0], want)
		}
	}
	run(m1, 1, 101)
	run(m2, 1, 103)
	run(m1, 5, 108)
	m2.ResetStates()
	run(m1, 1, 101)
	d.ResetStates()
	run(m2, 3, 106)
	if m1.Plan() != one.p {
		t.Error("the machine runs another plan")
	}
	// Outputs are the caller's: another run leaves them alone.
	a, _ := m1.Run(context.Background(), map[string]*tensor.Tensor{"x": vector(t, 1)})
	before := f64s(t, a["y"])[0]
	if _, err := m1.Run(context.Background(), map[string]*tensor.Tensor{"x": vector(t, 1000)}); err != nil {
		t.Fatal(err)
	}
	if f64s(t, a["y"])[0] != before {
		t.Error("a later run changed an earlier output")
	}
	// A plan that means something else by the same name is refused.
	three := addPlan(t, false)
	three.p.Buffers[2].Shape = []int64{4, 2}
	if _, err := d.Machine(three.p); err == nil || !strings.Contains(err.Error(), "state s is f32[8] in one plan") {
		t.Errorf("another state: %v", err)
	}
	three = addPlan(t, false)
	three.p.Buffers[3].Source.Name = "other"
	if _, err := d.Machine(three.p); err == nil || !strings.Contains(err.Error(), "weight w is") {
		t.Errorf("another weight: %v", err)
	}
}

// TestNew refuses plans that cannot run, with a reason.
func TestNew(t *testing.T) {
	w := weights{"w": vector(t, 1)}
	for _, c := range []struct {
		name string
		edit func(b *builder)
		opt  Options
		want string
	}{
		{"another chip", func(b *builder) { b.p.Chip = "other" }, Options{}, "for chip other"},
		{"no global memory", func(b *builder) { b.p.Memories[0].Name = "l1" }, Options{}, "memory 0 is the global one"},
		{"unknown memory", func(b *builder) { b.p.Memories[1].Name = "l9" }, Options{}, `memory "l9"`},
		{"too much local memory", func(b *builder) { b.p.Memories[b.mem("ub")].Size *= 2 }, Options{}, "wants more of memory ub"},
		{"over capacity", func(b *builder) { b.p.Buffers[0].Addr = 1 << 50 }, Options{}, "does not fit chip ascend-910b"},
		{"shared bytes", func(b *builder) { b.p.Buffers[1].Addr = b.p.Buffers[0].Addr + 16 }, Options{}, "buffers x and y lie over each other"},
		{"wrong size", func(b *builder) { b.p.Buffers[0].Size = 31 }, Options{}, "takes 32 bytes, the plan says 31"},
		{"constant without data", func(b *builder) { b.p.Buffers[4].Data = nil }, Options{}, "constant two has 0 bytes"},
		{"unknown kernel", func(b *builder) { b.p.Steps[0].Kernel = 9 }, Options{}, "kernel 9 of 3"},
		{"no block", func(b *builder) { b.p.Steps[0].Grid = 0 }, Options{}, "a grid of 0 blocks"},
		{"arguments", func(b *builder) { b.p.Steps[0].Args = b.p.Steps[0].Args[:1] }, Options{}, "has 3 parameters, found 1"},
		{"argument too small", func(b *builder) { b.p.Steps[0].Args[0].Offset = 4 }, Options{}, "does not fit buffer x"},
		{"writes a weight", func(b *builder) { b.p.Steps[0].Args[2].Buffer = 3 }, Options{}, "writes buffer w, which is weight"},
		{"temporary out of its life", func(b *builder) { b.p.Buffers[5].First = 1 }, Options{}, "in use from step 1"},
		{"too much for this machine", func(b *builder) {}, Options{MemoryLimit: 1000}, "too much memory of this machine"},
		{"unknown register", func(b *builder) { b.p.Kernels[0].Code[0].A.Base = plan.R(99) }, Options{}, "register 99"},
		{"jump", func(b *builder) {
			b.p.Kernels[0].Code[0] = plan.Instr{Op: plan.Loop, Reg: 3, Jump: 1, Dst: plan.NoTile, Dst2: plan.NoTile, A: plan.NoTile, B: plan.NoTile, C: plan.NoTile, D: plan.NoTile}
			b.p.Kernels[0].Regs = 4
		}, Options{}, "a loop without end"},
		{"path", func(b *builder) { b.p.Kernels[0].Code[0].Path = 0 }, Options{}, "path 0 goes from gm to l1"},
	} {
		b := addPlan(t, false)
		c.edit(b)
		c.opt.Guard = true
		_, err := New(b.p, b.c, w, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
	b := addPlan(t, false)
	if _, err := New(b.p, b.c, weights{}, Options{}); err == nil || !strings.Contains(err.Error(), `no tensor "w"`) {
		t.Errorf("missing weight: %v", err)
	}
}

func TestInputs(t *testing.T) {
	b := addPlan(t, false)
	m, err := New(b.p, b.c, weights{"w": vector(t, 1)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	half, _ := tensor.New(format.F16, []int64{8})
	for _, c := range []struct {
		in   map[string]*tensor.Tensor
		want string
	}{
		{nil, "input x is missing"},
		{map[string]*tensor.Tensor{"x": half}, "expected f32[8], found f16[8]"},
		{map[string]*tensor.Tensor{"x": vector(t, 1), "xs": half}, `no input "xs"`},
	} {
		if _, err := m.Run(context.Background(), c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want an error with %q", err, c.want)
		}
	}
}

// endless is a kernel that loops for longer than anybody waits, on two cores.
func endless(t testing.TB) *builder {
	b := addPlan(t, false)
	k := &b.p.Kernels[0]
	k.Regs = 4
	none := plan.Instr{Dst: plan.NoTile, Dst2: plan.NoTile, A: plan.NoTile, B: plan.NoTile, C: plan.NoTile, D: plan.NoTile}
	loop, end := none, none
	loop.Op, loop.Reg, loop.Y, loop.Jump = plan.Loop, 3, plan.C(1<<60), len(k.Code)+1
	end.Op, end.Jump = plan.End, len(k.Code)
	k.Code = append(k.Code, loop, end)
	b.p.Steps[0].Grid = 2
	return b
}

// TestCancel stops a run that would not end.
func TestCancel(t *testing.T) {
	for _, workers := range []int{1, 2} {
		b := endless(t)
		m, err := New(b.p, b.c, weights{"w": vector(t, 1)}, Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := m.Run(ctx, map[string]*tensor.Tensor{"x": vector(t, 1)})
			done <- err
		}()
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want it to say that it was cancelled", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the run did not stop")
		}
	}
	b := endless(t)
	m, err := New(b.p, b.c, weights{"w": vector(t, 1)}, Options{MaxInstructions: 10000})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Run(context.Background(), map[string]*tensor.Tensor{"x": vector(t, 1)})
	var f *guard.Fault
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "more instructions than the limit") {
		t.Errorf("limit: %v", err)
	}
}

// TestFirstFault: with several faulty blocks the one reported does not depend on the number of workers.
func TestFirstFault(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		for range 5 {
			b := addPlan(t, false)
			k := &b.p.Kernels[0]
			k.Code[0].A.Base = plan.R(plan.RegBlock).AddC(-3).Scale(-4) // blocks from 4 on reach outside, block 3 is right
			b.p.Steps[0].Grid = 20
			k.Code[0].A.Size[0] = plan.C(4)
			k.Code[0].Dst.Size[0] = plan.C(4)
			m, err := New(b.p, b.c, weights{"w": vector(t, 1)}, Options{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.Run(context.Background(), map[string]*tensor.Tensor{"x": vector(t, 1)})
			var f *guard.Fault
			if !errors.As(err, &f) || f.At.Block != 4 {
				t.Fatalf("%d workers: %v", workers, err)
			}
		}
	}
}

// mutate changes a plan in some places, as the bytes say.
func mutate(p *plan.Plan, data []byte) {
	r := rand.New(rand.NewSource(0))
	next := func() int64 {
		if len(data) == 0 {
			return int64(r.Intn(256))
		}
		b := data[0]
		data = data[1:]
		return int64(b)
	}
	number := func(old int64) int64 {
		switch next() % 8 {
		case 0:
			return -old
		case 1:
			return old + next() - 128
		case 2:
			return next()
		case 3:
			return -next()
		case 4:
			return 1 << (next() % 64)
		case 5:
			return old * (next() % 5)
		case 6:
			return 1<<(next()%63) - 1
		}
		return 0
	}
	val := func(v *plan.Val, regs int) {
		switch next() % 3 {
		case 0:
			v.C = number(v.C)
		case 1:
			v.Terms = append([]plan.Term{{Reg: plan.Reg(next() % int64(regs+1)), K: number(1)}}, v.Terms...)
		default:
			v.Terms = nil
		}
	}
	tile := func(k *plan.Kernel, t *plan.Tile) {
		switch next() % 9 {
		case 0:
			t.Mem = int(number(int64(t.Mem)))
		case 1:
			t.Param = int(next()) - 1
		case 2:
			t.Local = int(next() % int64(len(k.Locals)+1))
		case 3:
			t.Format = format.Format(next() % 32)
		case 4:
			val(&t.Base, k.Regs)
		case 5, 6:
			if len(t.Size) > 0 {
				val(&t.Size[next()%int64(len(t.Size))], k.Regs)
			}
		case 7:
			if len(t.Stride) > 0 {
				i := next() % int64(len(t.Stride))
				t.Stride[i] = number(t.Stride[i])
			}
		case 8:
			x := *t
			x.Format = format.I32
			x.Size, x.Stride = x.Size[:min(1, len(x.Size))], []int64{4}
			t.Index = &x
		}
	}
	for range 1 + next()%6 {
		k := &p.Kernels[next()%int64(len(p.Kernels))]
		in := &k.Code[next()%int64(len(k.Code))]
		switch next() % 22 {
		case 0:
			in.Op = plan.Opcode(next() % 18)
		case 1:
			in.Fn = plan.Fn(next() % 48)
		case 2:
			in.Queue = int(next()) - 1
		case 3:
			in.Flag = int(next()) - 1
		case 4:
			in.Jump = int(next()) - 1
		case 5:
			in.Path = int(next()) - 1
		case 6:
			in.Reg = plan.Reg(next())
		case 7:
			val([]*plan.Val{&in.X, &in.Y, &in.Z, &in.Acc}[next()%4], k.Regs)
		case 8:
			in.Imm = float64(number(1))
		case 9:
			in.B = in.A
		case 10:
			in.C, in.B = in.B, in.Dst
		case 11:
			in.Dst2 = in.Dst
		case 12:
			l := &k.Locals[next()%int64(len(k.Locals))]
			l.Addr, l.Size = number(l.Addr), number(l.Size)
		case 13:
			f := &k.Flags[next()%int64(len(k.Flags))]
			f.Credits = int(number(int64(f.Credits)))
		case 14:
			q := &k.Params[next()%int64(len(k.Params))]
			q.Size, q.Read, q.Write = number(q.Size), next()%2 == 0, next()%2 == 0
		case 15:
			b := &p.Buffers[next()%int64(len(p.Buffers))]
			b.Kind, b.Size, b.Addr = plan.BufferKind(next()%8), number(b.Size), number(b.Addr)
		case 16:
			s := &p.Steps[next()%int64(len(p.Steps))]
			s.Grid = number(s.Grid)
		default:
			tile(k, in.Tiles()[next()%6])
		}
	}
}

// wild is a plan with most instructions in it, to be mutated.
func wild(t testing.TB, which int64) (*builder, weights, map[string]*tensor.Tensor) {
	r := rand.New(rand.NewSource(which))
	if which%7 == 6 {
		c := loadChip(t, "ascend-950pr")
		fm := []format.Format{format.F8E4M3FN, format.F4E2M1}[which/7%2]
		in := map[string]*tensor.Tensor{"x": random(t, r, fm, 10, 70), "w": random(t, r, fm, 9, 70)}
		for n, rows := range map[string]int64{"sx": 10, "sw": 9} {
			s, err := tensor.FromF64(format.F8E8M0, []int64{rows, 3}, slices.Repeat([]float64{0.5, 1, 8}, int(rows)))
			if err != nil {
				t.Fatal(err)
			}
			in[n] = s
		}
		return scaledPlan(t, c, fm, format.F8E8M0, 10, 9, 70, 32, true, false), nil, in
	}
	if which%3 > 0 {
		name := []string{"ascend", "h100"}[which%2]
		s := gemms[name].sized(40, 50, 130)
		s.tm, s.tn, s.tk = 32, 32, 64
		b := gemmPlan(t, s)
		return b, weights{"w": random(t, r, s.f, s.n, s.k)}, map[string]*tensor.Tensor{"x": random(t, r, s.f, s.m, s.k)}
	}
	b := newBuilder(t, loadChip(t, "nvidia-h100"))
	f := format.F32
	x, ix := b.buffer("x", plan.Input, f, 12, 20), b.buffer("ix", plan.Input, format.I32, 12)
	y, st := b.buffer("y", plan.Output, f, 12, 20), b.buffer("s", plan.State, f, 12, 20)
	b.kernel("wild")
	px, pi, py, ps := b.param(x, true, false), b.param(ix, true, false), b.param(y, false, true), b.param(st, true, true)
	q, lsu := b.queue("alu"), b.queue("lsu")
	here, done := b.flag("here", lsu, q, 0), b.flag("done", q, lsu, 0)
	free := b.flag("free", lsu, q, 1)
	a, i, d, n := b.local("a", "regs", 960, 1), b.local("i", "regs", 960, 1), b.local("d", "regs", 960, 1), b.local("n", "regs", 256, 1)
	at := func(l int, f format.Format, size ...int64) plan.Tile { return b.at(l, f, plan.C(0), size...) }
	it := at(n, format.I32, 12)
	b.move(it, b.global(pi, format.I32, plan.C(0), 12))
	src := b.global(px, f, plan.C(0), 12, 20)
	src.Index = &it
	b.move(at(a, f, 12, 20), src)
	b.signal(here)
	b.wait(here)
	b.wait(free)
	vec := func(in plan.Instr) { in.Queue = q; b.emit(in) }
	vec(plan.Instr{Op: plan.VIota, Dst: at(i, format.I32, 12, 20), Y: plan.C(0), Z: plan.C(1)})
	vec(plan.Instr{Op: plan.VTake, Dst: at(d, f, 12, 20), A: at(a, f, 12, 20), B: at(i, format.I32, 12, 20)})
	vec(plan.Instr{Op: plan.VPut, Fn: plan.VAdd, Dst: at(d, f, 12, 20), A: at(a, f, 12, 20), B: at(i, format.I32, 12, 20)})
	k := b.begin(plan.C(3))
	vec(plan.Instr{Op: plan.Vec, Fn: plan.VMul, Dst: at(d, f, 12, 20), A: at(d, f, 12, 20), Imm: 0.5})
	vec(plan.Instr{Op: plan.VScan, Fn: plan.VAdd, Dst: at(d, f, 12, 20), A: at(d, f, 12, 20)})
	vec(plan.Instr{Op: plan.Vec, Fn: plan.VCast, Dst: at(a, format.BF16, 12, 20), A: at(d, f, 12, 20), X: k})
	vec(plan.Instr{Op: plan.Vec, Fn: plan.VCast, Dst: at(d, f, 12, 20), A: at(a, format.BF16, 12, 20)})
	b.end()
	vec(plan.Instr{Op: plan.VReduce, Fn: plan.VMax, Dst: at(n, f, 12, 1), A: at(d, f, 12, 20)})
	vec(plan.Instr{Op: plan.VTopK, Fn: plan.VMax, Dst: at(a, f, 12, 4), Dst2: at(i, format.I32, 12, 4), A: at(d, f, 12, 20)})
	vec(plan.Instr{Op: plan.Vec, Fn: plan.VCopy, Dst: at(i, format.I32, 1, 20), Imm: 1})
	vec(plan.Instr{Op: plan.VGroup, Dst: at(n, format.I32, 1, 20), Dst2: at(a, format.I32, 1, 4), A: at(i, format.I32, 1, 20)})
	b.signal(done)
	b.wait(done)
	b.emit(plan.Instr{Op: plan.LoadScalar, Queue: b.queue("scalar"), A: b.global(pi, format.I32, plan.C(8), 1), Reg: b.reg()})
	to := b.global(ps, f, plan.C(0), 12, 20)
	to.Index = nil
	b.move(to, at(d, f, 12, 20))
	b.move(b.global(py, f, plan.C(0), 12, 20), at(d, f, 12, 20))
	b.signal(free)
	b.launch(1, x, ix, y, st)
	idx, _ := tensor.FromI64(format.I32, []int64{12}, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	return b, nil, map[string]*tensor.Tensor{"x": random(t, r, f, 12, 20), "ix": idx}
}

func runWild(t testing.TB, data []byte) {
	which := int64(0)
	if len(data) > 0 {
		which, data = int64(data[0]), data[1:]
	}
	b, w, in := wild(t, which)
	b.c.Cores.Value = 2
	if len(data) > 0 {
		mutate(b.p, data)
	}
	opt := Options{Guard: which&8 != 0, MemoryLimit: 64 << 20, MaxInstructions: 2000, Workers: 2}
	if which&16 != 0 {
		opt.Order = Random(uint64(which))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := New(b.p, b.c, w, opt)
	if err != nil {
		if len(data) == 0 {
			t.Fatalf("the plan itself: %v", err)
		}
		return
	}
	for range 2 {
		_, err = m.Run(ctx, in)
		if err != nil && len(data) == 0 {
			t.Fatalf("the plan itself: %v", err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("the run takes too long")
		}
	}
}

// FuzzRun runs mutated plans: whatever they ask, the answer is a result or an error, in bounded time and memory.
func FuzzRun(f *testing.F) {
	r := rand.New(rand.NewSource(15))
	for which := range byte(32) {
		f.Add([]byte{which})
		data := make([]byte, 40)
		r.Read(data)
		data[0] = which
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { runWild(t, data) })
}

// TestWild runs many mutated plans.
func TestWild(t *testing.T) {
	r := rand.New(rand.NewSource(16))
	for range 400 {
		data := make([]byte, 2+r.Intn(40))
		r.Read(data)
		runWild(t, data)
	}
}
