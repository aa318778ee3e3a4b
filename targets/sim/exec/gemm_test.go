package exec

import (
	"context"
	"math/rand"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

// gemmShape describes a product C[M,N] = A[M,K]·W[N,K]ᵀ tiled for a chip.
type gemmShape struct {
	chip     string
	engine   string
	f        format.Format // of A and W
	acc      format.Format // of C
	m, n, k  int64
	tm       int64
	tn, tk   int64
	viaA     []string // memories of A and of W on the way, the operand's last
	viaB     []string
	accMem   string
	weightKN bool // W is [K,N]
}

var gemms = map[string]gemmShape{
	"loongson": {chip: "loongson-3c6000", engine: "fma", f: format.F32, acc: format.F32, tm: 96, tn: 128, tk: 64, viaA: []string{"l2"}, viaB: []string{"l2"}, accMem: "l2"},
	"h100":     {chip: "nvidia-h100", engine: "fma", f: format.F32, acc: format.F32, tm: 128, tn: 128, tk: 64, viaA: []string{"smem"}, viaB: []string{"smem"}, accMem: "regs"},
	"ascend":   {chip: "ascend-910b", engine: "cube", f: format.F32, acc: format.F32, tm: 128, tn: 128, tk: 64, viaA: []string{"l1", "l0a"}, viaB: []string{"l1", "l0b"}, accMem: "l0c"},
}

// gemmPlan builds it with two slots for each operand and explicit synchronisation.
func gemmPlan(t testing.TB, s gemmShape) *builder {
	b := newBuilder(t, loadChip(t, s.chip))
	es := int64(s.f.Bits() / 8)
	cs := int64(s.acc.Bits() / 8)
	x := b.buffer("x", plan.Input, s.f, s.m, s.k)
	ws := []int64{s.n, s.k}
	if s.weightKN {
		ws = []int64{s.k, s.n}
	}
	w := b.buffer("w", plan.Weight, s.f, ws...)
	y := b.buffer("y", plan.Output, s.acc, s.m, s.n)
	b.kernel("gemm")
	px, pw, py := b.param(x, true, false), b.param(w, true, false), b.param(y, false, true)
	type side struct {
		local []int
		full  []int // one a hop
		free  []int
	}
	mq := b.queue(s.engine)
	hops := func(name string, via []string, bytes int64) side {
		var r side
		from := "" // the memory before
		for i, mem := range via {
			r.local = append(r.local, b.local(name+mem, mem, bytes, 2))
			src := from
			if i == 0 {
				src = b.p.Memories[0].Name
			}
			_, q := b.path(src, mem)
			next := mq
			if i+1 < len(via) {
				_, next = b.path(mem, via[i+1])
			}
			r.full = append(r.full, b.flag(name+mem+"_full", q, next, 0))
			r.free = append(r.free, b.flag(name+mem+"_free", next, q, 2))
			from = mem
		}
		return r
	}
	a := hops("a", s.viaA, s.tm*s.tk*es)
	w2 := hops("w", s.viaB, s.tk*s.tn*es)
	acc := b.local("acc", s.accMem, s.tm*s.tn*cs, 1)
	g := b.p.Memories[0].Name
	_, oq := b.path(s.accMem, g)
	done, stored := b.flag("done", mq, oq, 0), b.flag("stored", oq, mq, 1)

	nt := (s.n + s.tn - 1) / s.tn
	mi := b.set(plan.SDiv, plan.R(plan.RegBlock), plan.C(nt))
	ni := b.set(plan.SMod, plan.R(plan.RegBlock), plan.C(nt))
	tm := b.set(plan.VMin, plan.C(s.tm), plan.C(s.m).Add(mi.Scale(-s.tm)))
	tn := b.set(plan.VMin, plan.C(s.tn), plan.C(s.n).Add(ni.Scale(-s.tn)))
	if s.m%s.tm == 0 {
		tm = plan.C(s.tm)
	}
	if s.n%s.tn == 0 {
		tn = plan.C(s.tn)
	}
	b.wait(stored)
	kt := b.begin(plan.C((s.k + s.tk - 1) / s.tk))
	// The slots go round from one block to the next, as the flags do.
	turn := b.reg()
	slot := plan.R(turn)
	tk := plan.C(s.tk)
	if s.k%s.tk != 0 {
		tk = b.set(plan.VMin, plan.C(s.tk), plan.C(s.k).Add(kt.Scale(-s.tk)))
	}
	size := func(t plan.Tile, n ...plan.Val) plan.Tile { t.Size = n; return t }
	hop := func(sd side, src plan.Tile, r, c int64, nr, nc plan.Val) plan.Tile {
		for i, l := range sd.local {
			dst := size(b.at(l, s.f, slot.Scale(b.k.Locals[l].Size/2), r, c), nr, nc)
			if i > 0 {
				b.wait(sd.full[i-1])
			}
			b.wait(sd.free[i])
			b.move(dst, src)
			b.signal(sd.full[i])
			if i > 0 {
				b.signal(sd.free[i-1])
			}
			src = dst
		}
		return src
	}
	at := hop(a, strided(size(b.global(px, s.f, mi.Scale(s.tm*s.k*es).Add(kt.Scale(s.tk*es)), s.tm, s.tk), tm, tk), s.k*es, es), s.tm, s.tk, tm, tk)
	var bt plan.Tile
	if s.weightKN {
		bt = hop(w2, strided(size(b.global(pw, s.f, kt.Scale(s.tk*s.n*es).Add(ni.Scale(s.tn*es)), s.tk, s.tn), tk, tn), s.n*es, es), s.tk, s.tn, tk, tn)
	} else {
		// Rows of W are columns of the product: moved as they lie, transposed by the strides.
		l := hop(w2, strided(size(b.global(pw, s.f, ni.Scale(s.tn*s.k*es).Add(kt.Scale(s.tk*es)), s.tn, s.tk), tn, tk), s.k*es, es), s.tn, s.tk, tn, tk)
		bt = l
		bt.Size = []plan.Val{tk, tn}
		bt.Stride = []int64{l.Stride[1], l.Stride[0]}
	}
	la, lb := len(a.full)-1, len(w2.full)-1
	b.wait(a.full[la])
	b.wait(w2.full[lb])
	ct := size(b.at(acc, s.acc, plan.C(0), s.tm, s.tn), tm, tn)
	b.emit(plan.Instr{Op: plan.Mma, Queue: mq, Dst: ct, A: at, B: bt, Acc: kt})
	b.signal(a.free[la])
	b.signal(w2.free[lb])
	b.emit(plan.Instr{Op: plan.Set, Fn: plan.SMod, X: slot.AddC(1), Y: plan.C(2), Reg: turn})
	b.end()
	b.signal(done)
	b.wait(done)
	b.move(strided(size(b.global(py, s.acc, mi.Scale(s.tm*s.n*cs).Add(ni.Scale(s.tn*cs)), s.tm, s.tn), tm, tn), s.n*cs, cs), ct)
	b.signal(stored)
	b.launch((s.m+s.tm-1)/s.tm*nt, x, w, y)
	return b
}

func (s gemmShape) sized(m, n, k int64) gemmShape { s.m, s.n, s.k = m, n, k; return s }

// TestGEMM compares whole products with chains of fused multiply-adds, on every chip, whatever the number of workers.
func TestGEMM(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for name, base := range gemms {
		for _, d := range [][3]int64{{100, 130, 70}, {1, 300, 129}, {130, 140, 90}} {
			for _, kn := range []bool{false, true} {
				s := base.sized(d[0], d[1], d[2])
				s.weightKN = kn
				b := gemmPlan(t, s)
				x := random(t, r, s.f, s.m, s.k)
				shape := []int64{s.n, s.k}
				if kn {
					shape = []int64{s.k, s.n}
				}
				w := random(t, r, s.f, shape...)
				want := make([]float32, s.m*s.n)
				xs, _ := x.F32s()
				ws, _ := w.F32s()
				for i := range s.m {
					for j := range s.n {
						sum := float32(0)
						for k := range s.k {
							v := ws[min(j*s.k+k, int64(len(ws)-1))]
							if kn {
								v = ws[k*s.n+j]
							}
							sum = format.FMA32(xs[i*s.k+k], v, sum)
						}
						want[i*s.n+j] = sum
					}
				}
				for _, workers := range []int{1, 5} {
					m, err := New(b.p, b.c, weights{"w": w}, Options{Workers: workers})
					if err != nil {
						t.Fatal(name, err)
					}
					for range 2 {
						out, err := m.Run(context.Background(), map[string]*tensor.Tensor{"x": x})
						if err != nil {
							t.Fatal(name, err)
						}
						got, _ := out["y"].F32s()
						for i := range want {
							if got[i] != want[i] {
								t.Fatalf("%s %v: element %d is %v, want %v", name, d, i, got[i], want[i])
							}
						}
					}
				}
			}
		}
	}
}
