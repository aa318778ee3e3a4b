package plan_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with testdata/name, or rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

var ragged = plantest.Size{M: 200, K: 300, N: 500, BM: 64, BK: 64, BN: 128}

var vocab = plan.Vocab{"dma_gm_l1": "copy_gm_to_cbuf", "dma_in": "copy_gm_to_ubuf", "dma_out": "copy_cc_to_gm", "dma_local": "load_cbuf",
	"wait": "wait_flag", "signal": "set_flag", "mma": "mad", "vec_exp": "vexp", "reduce_max": "vmax", "vec_max": "vmax", "nonsense": "x", "loop": "bad word"}

func plans() map[string]*plan.Plan {
	return map[string]*plan.Plan{"matmul": plantest.Matmul(ragged), "sink": plantest.Sink(), "empty": {}}
}

// TestText holds the text form to the golden files, and reads it back.
func TestText(t *testing.T) {
	for name, p := range plans() {
		for _, v := range []plan.Vocab{nil, vocab} {
			text := plan.Text(p, v)
			if v != nil {
				golden(t, name+".plan.txt", text)
			}
			q, err := plan.Parse(diag.NewSource(name, text))
			if err != nil {
				t.Fatalf("%s does not read back: %v", name, err)
			}
			if diff := cmp.Diff(string(text), string(plan.Text(q, v))); diff != "" {
				t.Errorf("%s prints differently when read back:\n%s", name, diff)
			}
			if !same(p, q) {
				t.Errorf("%s is another plan when read back from its text", name)
			}
		}
	}
}

// same compares plans by their binary form, since one NaN is not another's equal.
func same(p, q *plan.Plan) bool { return plan.Hash(p) == plan.Hash(q) }

func encoded(p *plan.Plan) []byte {
	var b bytes.Buffer
	_ = plan.Encode(&b, p)
	return b.Bytes()
}

func TestBinary(t *testing.T) {
	for name, p := range plans() {
		b := encoded(p)
		q, err := plan.Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(b, encoded(q)) {
			t.Errorf("%s: encoding what was decoded gives other bytes", name)
		}
		if diff := cmp.Diff(string(plan.Text(p, nil)), string(plan.Text(q, nil))); diff != "" {
			t.Errorf("%s changes in its binary form:\n%s", name, diff)
		}
		if name == "matmul" {
			if diff := cmp.Diff(p, q); diff != "" {
				t.Errorf("%s changes in its binary form:\n%s", name, diff)
			}
		}
	}
}

// TestDamage holds that no damaged file is taken, and that each says what happened.
func TestDamage(t *testing.T) {
	whole := encoded(plantest.Matmul(ragged))
	code := func(b []byte) string {
		_, err := plan.Decode(b)
		var d *diag.Diagnostic
		if !errors.As(err, &d) {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		return d.Code
	}
	for n := range whole {
		want := "PLAN012"
		if n < 8 {
			want = "PLAN010"
		}
		if got := code(whole[:n]); got != want {
			t.Errorf("cut to %d bytes: %s, want %s", n, got, want)
		}
	}
	if got := code(append(bytes.Clone(whole), 0)); got != "PLAN012" {
		t.Errorf("a byte too many: %s", got)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		got := code(b)
		switch {
		case i < 8 && got == "PLAN010", i >= 8 && i < 12 && got == "PLAN011", i >= 16 && i < 24 && got == "PLAN012":
		case got != "PLAN013":
			t.Errorf("byte %d changed: %s", i, got)
		}
	}
	b := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(b[8:], plan.BinaryVersion+1)
	if _, err := plan.Decode(b); !strings.Contains(err.Error(), "use the newer apogee that wrote it") {
		t.Errorf("a newer version: %v", err)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.plan")
	for _, size := range []plantest.Size{ragged, {M: 64, K: 64, N: 64, BM: 64, BK: 64, BN: 64}} {
		p := plantest.Matmul(size)
		if err := plan.Save(path, p); err != nil {
			t.Fatal(err)
		}
		q, err := plan.Load(path)
		if err != nil || !same(p, q) {
			t.Fatalf("not what was saved: %v", err)
		}
	}
	if err := os.WriteFile(path, plan.Text(plantest.Sink(), vocab), 0o644); err != nil {
		t.Fatal(err)
	}
	if q, err := plan.Load(path); err != nil || !same(q, plantest.Sink()) {
		t.Errorf("a text is not loaded: %v", err)
	}
	if err := plan.Save(filepath.Join(dir, "none", "x.plan"), &plan.Plan{}); err == nil {
		t.Error("saving into a missing folder succeeds")
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(names) != 1 || len(hidden) != 0 {
		t.Errorf("files are left: %v %v", names, hidden)
	}
	bad := plantest.Matmul(ragged)
	bad.Kernels[0].Code[10].A.Param = 77
	if err := plan.Save(path, bad); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Load(path); err == nil || !strings.Contains(err.Error(), "tile A is of parameter 77, which is not there") {
		t.Errorf("a senseless plan is loaded: %v", err)
	}
}

// TestEdit changes a plan in its text as a person would.
func TestEdit(t *testing.T) {
	text := string(plan.Text(plantest.Matmul(ragged), vocab))
	lines := strings.Split(text, "\n")
	var out []string
	for _, l := range lines {
		switch {
		case strings.Contains(l, "12: mte2"): // deleted
			continue
		case strings.Contains(l, "19: m "):
			out = append(out, "m wait_flag l0_full // by hand", "  // a line of its own")
			continue
		}
		out = append(out, strings.Replace(l, "live 0..26", "live 12..25", 1))
	}
	p, err := plan.Parse(diag.NewSource("edited", []byte(strings.Join(out, "\n"))))
	if err != nil {
		t.Fatal(err)
	}
	k := &p.Kernels[0]
	if len(k.Code) != 26 || k.Code[5].Jump != 21 || k.Code[21].Jump != 5 {
		t.Errorf("%d instructions, loop from %d to %d", len(k.Code), k.Code[21].Jump, k.Code[5].Jump)
	}
	if l := k.Locals[0]; l.First != 12 || l.Last != 24 {
		t.Errorf("the locals live in %d..%d", l.First, l.Last)
	}
	if in := k.Code[18]; in.Op != plan.Wait || in.Queue != plantest.M || in.Flag != 3 {
		t.Errorf("the instruction without a number is %+v", in)
	}
}

func TestParseErrors(t *testing.T) {
	var out bytes.Buffer
	for _, text := range []string{
		"",
		"module",
		"apogee-plan 2\n",
		"apogee-plan 1\nmemory gm size 1e9 align 32\nmemory gm size 0x align\nqueue q vectr\nmodle \"x\"\nnote \"open\nnote \"a\\q\"\n",
		"apogee-plan 1\nmemory gm size 9 align 1\nqueue mte2 dma\nkernel k regs 4 flops 0 {\n param x f16 size 4 read\ncode\n 5: mte2 dma_in _ <- gm:y[0] f16{}\n" +
			" 4: mte2 dma_in _ <- gm:x[r3-] f61{1:2}\n 6: mte3 wait f\n 7: mte2 mulitply\n 8: mte2 mma acc=1 what=3\n 9: mte2 loop r99999 from 1 times 2\n",
		"apogee-plan 1\nword dmma_in x\nword mma add\nword mma vec_add\nword vec_add add\nstep s k grid 1 (\n data 00\nbuffer b weight f16 [1 2] at 0 size 1 steps 0..0\n data 0\n",
	} {
		_, err := plan.Parse(diag.NewSource("p", []byte(text)))
		if err == nil {
			t.Errorf("%q is read", text)
			continue
		}
		fmt.Fprintf(&out, "%s\n\n", err)
	}
	golden(t, "errors.txt", out.Bytes())
}

// rules are the toy chip's.
func rules() *plan.Rules {
	f16, f32 := format.F16, format.F32
	return &plan.Rules{
		Paths: []plan.PathRule{
			{From: "gm", To: "l1", Queue: "mte2"}, {From: "l1", To: "l0a", Queue: "mte1"}, {From: "l1", To: "l0b", Queue: "mte1"},
			{From: "l0c", To: "gm", Queue: "fix", Casts: []plan.Cast{{From: f32, To: f16}}},
			{From: "gm", To: "ub", Queue: "mte2", Indirect: true}, {From: "ub", To: "gm", Queue: "fix"},
		},
		Matrix: []plan.MatrixRule{{Queue: "m", MemA: "l0a", MemB: "l0b", MemAcc: "l0c", A: f16, B: f16, Acc: f32}},
		Vector: []plan.VectorRule{{Queue: "v", Mems: []string{"ub"}, Formats: []format.Format{f16, f32}}},
		Cores:  4, Vocab: vocab,
	}
}

// exampleRules fit the examples of the codes.
func exampleRules() *plan.Rules {
	return &plan.Rules{Paths: []plan.PathRule{{From: "gm", To: "l1", Queue: "in"}}}
}

// TestCodes demands that every code has an example that shows it, and is registered by this package.
func TestCodes(t *testing.T) {
	n := 0
	for _, c := range diag.Codes() {
		if !strings.HasPrefix(c.ID, "PLAN") {
			continue
		}
		n++
		if c.Example == "" {
			if !strings.Contains(c.Doc, "No text shows it") {
				t.Errorf("%s has no example and does not say why", c.ID)
			}
			continue
		}
		p, err := plan.Parse(diag.NewSource(c.ID, []byte(c.Example)))
		var items []*diag.Diagnostic
		if err == nil {
			items = plan.Check(p, exampleRules()).Items()
		} else {
			var l *diag.List
			errors.As(err, &l)
			items = l.Items()
		}
		found := false
		for _, d := range items {
			found = found || d.Code == c.ID
		}
		if !found {
			t.Errorf("the example of %s does not show it: %v, %v", c.ID, err, items)
		}
	}
	if n < 15 {
		t.Errorf("only %d codes", n)
	}
}

// TestCheckClean holds that nothing is found in good plans, ragged ones included.
func TestCheckClean(t *testing.T) {
	for _, s := range []plantest.Size{
		ragged, {M: 1, K: 1, N: 1, BM: 64, BK: 64, BN: 128}, {M: 64, K: 64, N: 128, BM: 64, BK: 64, BN: 128}, {M: 129, K: 65, N: 1000, BM: 64, BK: 64, BN: 128},
		{M: 4096, K: 7168, N: 18432, BM: 64, BK: 64, BN: 128},
	} {
		if l := plan.Check(plantest.Matmul(s), rules()); l.Len() > 0 {
			t.Errorf("%+v: %v", s, l)
		}
	}
	if err := plan.Validate(plantest.Sink()); err != nil {
		t.Error(err)
	}
	for _, p := range plans() {
		for i := range p.Kernels {
			for j := range p.Kernels[i].Code {
				_ = plan.InstrText(p, &p.Kernels[i], j, nil)
			}
		}
	}
}

// TestPlanted plants one fault each and demands that it is found where it is.
func TestPlanted(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(p *plan.Plan, k *plan.Kernel)
		want  []string // in the report
	}{
		{"missing wait", func(p *plan.Plan, k *plan.Kernel) { drop(k, 13) },
			[]string{"PLAN036", "kernel matmul, instruction 12", "flag l1_full is not back at its credits", "set_flag l1_full", "toy.mg:13:3 in layers.0.proj"}},
		{"signal of the wrong queue", func(p *plan.Plan, k *plan.Kernel) { k.Code[12].Queue = plantest.M },
			[]string{"PLAN036", "this signal is not on the flag's From queue", "expected mte2, found m"}},
		{"wait in the wrong loop", func(p *plan.Plan, k *plan.Kernel) { k.Code[24].Flag, k.Code[24].Queue = 1, plantest.Feed },
			[]string{"PLAN036", "flag l1_full is not back"}},
		{"tile beyond its parameter", func(p *plan.Plan, k *plan.Kernel) { k.Code[10].A.Base.C += 8 },
			[]string{"PLAN033", "instruction 10", "the instruction reaches outside parameter a", "expected bytes 0 to 120000, found bytes 115720 to 120008 in block 15", "copy_gm_to_cbuf", "with r3 = 3, r7 = 4"}},
		{"tile before its parameter", func(p *plan.Plan, k *plan.Kernel) { k.Code[10].A.Base.C -= 2 },
			[]string{"PLAN033", "instruction 10", "found bytes -2 to"}},
		{"slot beyond its local", func(p *plan.Plan, k *plan.Kernel) { k.Code[7].Y = plan.C(3) },
			[]string{"PLAN033", "outside local l1_a", "outside local l0_b"}},
		{"ragged edge forgotten", func(p *plan.Plan, k *plan.Kernel) { k.Code[2].Y = plan.C(1 << 20) },
			[]string{"PLAN033", "outside parameter a", "outside parameter c"}},
		{"overlapping buffers", func(p *plan.Plan, k *plan.Kernel) { p.Buffers[2].Addr -= 64 },
			[]string{"PLAN031", "memory gm", "b and c share", "steps 0..0"}},
		{"overlapping locals", func(p *plan.Plan, k *plan.Kernel) { k.Locals[1].Addr -= 32 },
			[]string{"PLAN031", "kernel matmul, memory l1", "local l1_a and local l1_b share 32 B"}},
		{"unaligned buffer", func(p *plan.Plan, k *plan.Kernel) { p.Buffers[2].Addr += 4 }, []string{"PLAN030", "buffer c"}},
		{"local outside its memory", func(p *plan.Plan, k *plan.Kernel) { k.Locals[4].Addr = 128<<10 - 32 },
			[]string{"PLAN032", "local l0_c does not fit into l0c"}},
		{"use after the end of life", func(p *plan.Plan, k *plan.Kernel) { k.Locals[0].Last = 12 },
			[]string{"PLAN032", "instruction 15", "local l1_a is used outside its lifetime", "expected instructions 0 to 12, found 15"}},
		{"no such path", func(p *plan.Plan, k *plan.Kernel) { k.Code[15].Path = plantest.PathB },
			[]string{"PLAN035", "expected path 1 from l1 to l0a, found path 2 from l1 to l0b"}},
		{"memories without a path", func(p *plan.Plan, k *plan.Kernel) {
			k.Code[10].Dst.Mem, k.Code[10].Dst.Local = plantest.L0A, 2
		}, []string{"PLAN035", "the chip has no path from gm to l0a"}},
		{"path that does not convert", func(p *plan.Plan, k *plan.Kernel) { k.Code[10].A.Format = format.F32 },
			[]string{"PLAN035", "does not convert f32 to f16"}},
		{"move on the wrong queue", func(p *plan.Plan, k *plan.Kernel) { k.Code[15].Queue = plantest.In },
			[]string{"PLAN034", "queue mte2 has no engine for dma"}},
		{"product on a vector queue", func(p *plan.Plan, k *plan.Kernel) { k.Code[20].Queue = plantest.V },
			[]string{"PLAN034", "queue v does not run mma"}},
		{"formats that nobody multiplies", func(p *plan.Plan, k *plan.Kernel) { k.Code[20].A.Format = format.BF16 },
			[]string{"PLAN037", "found bf16 · f16 → f32"}},
		{"operands in the wrong memory", func(p *plan.Plan, k *plan.Kernel) {
			k.Code[20].A, k.Code[20].B = k.Code[20].B, k.Code[20].A
		}, []string{"PLAN035", "found l0b · l0a → l0c"}},
		{"vector work in a format that the engine lacks", func(p *plan.Plan, k *plan.Kernel) { vector(k, plan.VExp, format.BF16, format.BF16) },
			[]string{"PLAN037", "instruction 20", "no vector engine of queue v works on bf16", "expected one of f16, f32, found bf16"}},
		{"a cast that the engine lacks", func(p *plan.Plan, k *plan.Kernel) { vector(k, plan.VCast, format.F16, format.F32) },
			[]string{"PLAN037", "no vector engine of queue v converts f32 to f16"}},
		{"vector work in another memory", func(p *plan.Plan, k *plan.Kernel) {
			vector(k, plan.VExp, format.F32, format.F32)
			k.Locals[5].Mem, k.Code[20].A.Mem, k.Code[20].Dst.Mem = plantest.L0C, plantest.L0C, plantest.L0C
		}, []string{"PLAN035", "the engines of queue v do not work in l0c"}},
		{"sizes that differ", func(p *plan.Plan, k *plan.Kernel) {
			k.Code[25].A.Size[1], k.Code[25].Dst.Size[1] = plan.C(4), plan.C(5)
		}, []string{"PLAN038", "axis 1 of A"}},
		{"loop that jumps elsewhere", func(p *plan.Plan, k *plan.Kernel) { k.Code[5].Jump = 21 }, []string{"PLAN023", "instruction 5"}},
		{"end without a loop", func(p *plan.Plan, k *plan.Kernel) { k.Code[25] = plantest.Instr(plan.End, 0) }, []string{"PLAN023", "instruction 25", "this end ends no loop"}},
		{"write to a weight", func(p *plan.Plan, k *plan.Kernel) { p.Buffers[2].Kind = plan.Weight }, []string{"PLAN039", "kernel matmul writes weight c"}},
		{"parameter not declared as written", func(p *plan.Plan, k *plan.Kernel) { k.Params[2].Write = false },
			[]string{"PLAN039", "parameter c is written but not declared so"}},
		{"buffer too small", func(p *plan.Plan, k *plan.Kernel) { p.Buffers[1].Size -= 32 }, []string{"PLAN021", "buffer b"}},
		{"register that is not there", func(p *plan.Plan, k *plan.Kernel) { k.Code[10].A.Base = plan.R(11) }, []string{"PLAN020", "there is no register 11"}},
		{"zero tile where one may be", func(p *plan.Plan, k *plan.Kernel) {
			k.Code[20] = plantest.Instr(plan.Vec, plantest.V)
			k.Code[20].Fn, k.Code[20].Dst, k.Code[20].A, k.Code[20].B = plan.VAdd, k.Code[25].A, k.Code[25].A, plan.Tile{}
		}, []string{"PLAN022", "the tile B is neither given nor missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := plantest.Matmul(ragged)
			c.plant(p, &p.Kernels[0])
			l := plan.Check(p, rules())
			if !l.HasErrors() {
				t.Fatal("nothing found")
			}
			for _, w := range c.want {
				if !strings.Contains(l.Error(), w) {
					t.Errorf("the report lacks %q:\n%v", w, l)
				}
			}
		})
	}
}

// vector makes a vector instruction of the product, in the vector memory.
func vector(k *plan.Kernel, fn plan.Fn, to, from format.Format) {
	k.Locals = append(k.Locals, plan.Local{Name: "u", Mem: plantest.UB, Size: 64, Slots: 1, Last: len(k.Code) - 1})
	row := func(f format.Format) plan.Tile {
		return plantest.Tile(plantest.UB, len(k.Locals)-1, f, plan.C(0), plantest.Dim{Size: plan.C(16), Stride: int64(f.Bits() / 8)})
	}
	k.Code[20] = plantest.Instr(plan.Vec, plantest.V)
	k.Code[20].Fn, k.Code[20].Dst, k.Code[20].A = fn, row(to), row(from)
}

// drop removes an instruction from a kernel with one loop.
func drop(k *plan.Kernel, i int) {
	k.Code = append(k.Code[:i], k.Code[i+1:]...)
	var open []int
	for j := range k.Code {
		switch k.Code[j].Op {
		case plan.Loop:
			open = append(open, j)
		case plan.End:
			k.Code[j].Jump = open[len(open)-1]
			k.Code[k.Code[j].Jump].Jump = j
			open = open[:len(open)-1]
		}
	}
	for j := range k.Locals {
		k.Locals[j].Last--
	}
}

func TestCapacity(t *testing.T) {
	p := plantest.Matmul(ragged)
	p.Memories[0].Size = 800_000
	p.Buffers = append(p.Buffers,
		plan.Buffer{Name: "t1", Kind: plan.Temp, Format: format.F32, Shape: []int64{1024}, Addr: 1 << 20, Size: 4096, First: 0, Last: 0},
		plan.Buffer{Name: "t2", Kind: plan.Temp, Format: format.F32, Shape: []int64{1024}, Addr: 1 << 20, Size: 4096, First: 1, Last: 2},
		plan.Buffer{Name: "s", Kind: plan.State, Format: format.F32, Shape: []int64{1024}, Addr: 1<<20 + 4096, Size: 4096},
	)
	want := plan.Usage{Weights: 300000, State: 4096, Inout: 520000, Activation: 4096, Total: 1<<20 + 8192, Size: 800000}
	if diff := cmp.Diff(want, plan.Measure(p)); diff != "" {
		t.Error(diff)
	}
	l := plan.Check(p, rules())
	if l.HasErrors() || l.Warnings() != 1 {
		t.Fatalf("over capacity must be one warning: %v", l)
	}
	if text := l.Error(); !strings.Contains(text, "PLAN041") || !strings.Contains(text, "weights 293 KiB, state 4096 B, activations 4096 B") ||
		!strings.Contains(text, "the plan needs 250.8 KiB more") || !strings.Contains(text, "2 chips would hold it") {
		t.Error(text)
	}
}

// TestCount holds the folded counts against those of a walk through every round of every block.
func TestCount(t *testing.T) {
	for _, s := range []plantest.Size{ragged, {M: 64, K: 64, N: 128, BM: 64, BK: 64, BN: 128}, {M: 3, K: 1000, N: 1000, BM: 16, BK: 48, BN: 64}} {
		p := plantest.Matmul(s)
		k, grid := &p.Kernels[0], p.Steps[0].Grid
		got := plan.Count(k, grid, 4)
		nk, nm, nn := (s.K+s.BK-1)/s.BK, (s.M+s.BM-1)/s.BM, (s.N+s.BN-1)/s.BN
		if got.MatrixFlops != k.Flops {
			t.Errorf("%+v: %g flops, want %g", s, got.MatrixFlops, k.Flops)
		}
		in := s.M*s.K*2*nn + s.K*s.N*2*nm
		if got.GlobalRead != in || got.GlobalWritten != s.M*s.N*4 {
			t.Errorf("%+v: %d read and %d written, want %d and %d", s, got.GlobalRead, got.GlobalWritten, in, s.M*s.N*4)
		}
		if diff := cmp.Diff([]int64{in, s.M * s.K * 2 * nn, s.K * s.N * 2 * nm, s.M * s.N * 4}, got.Bytes); diff != "" {
			t.Errorf("%+v: bytes by path: %s", s, diff)
		}
		if got.Instrs[plan.Mma] != grid*nk || got.Instrs[plan.Set] != grid*(4+3*nk) || got.Instrs[plan.Wait] != grid*(2+4*nk) {
			t.Errorf("%+v: %v", s, got.Instrs)
		}
	}
}

// TestStretch holds that rounds which are said to cost the same do.
func TestStretch(t *testing.T) {
	p := plantest.Matmul(ragged)
	k := &p.Kernels[0]
	f := plan.NewFolder(k)
	regs := make([]int64, k.Regs)
	k.StartRegs(regs, 0, 0, 1)
	for i := 0; i < 4; i++ {
		regs[k.Code[i].Reg] = k.Code[i].Fn.Scalar(k.Code[i].X.Eval(regs), k.Code[i].Y.Eval(regs))
	}
	if got := f.Stretch(5, regs, 0, 5); got != 4 {
		t.Errorf("full rounds of K reach to %d, want 4", got)
	}
	if got := f.Stretch(5, regs, 4, 5); got != 5 {
		t.Errorf("the ragged round reaches to %d, want 5", got)
	}
	var ends []int64
	for b := int64(0); b < 16; {
		k.StartRegs(regs, b, 0, 1)
		b = f.Stretch(plan.Blocks, regs, b, 16)
		ends = append(ends, b)
	}
	if diff := cmp.Diff([]int64{3, 4, 7, 8, 11, 12, 15, 16}, ends); diff != "" {
		t.Errorf("stretches of blocks end at %s", diff)
	}
}

func TestFootprints(t *testing.T) {
	p := plantest.Matmul(ragged)
	k := &p.Kernels[0]
	if diff := cmp.Diff([]plan.Footprint{{Read: 120000}, {Read: 300000}, {Written: 400000}}, plan.Footprints(k, 0, 15, 4)); diff != "" {
		t.Error(diff)
	}
	// Four blocks side by side share their rows of A: whole tiles, but no more than lies between the first byte and the last.
	got := plan.Footprints(k, 0, 3, 4)
	if got[0].Read != 63*600+640 || got[1].Read != 300000 || got[2].Written != 63*2000+2048 {
		t.Errorf("%+v", got)
	}
	// Rows of half bytes: sixteen of them, 60 elements each.
	in := plantest.Instr(plan.Move, plantest.In)
	in.A = plantest.Tile(plantest.GM, 0, format.F4E2M1, plan.C(0), plantest.Dim{Size: plan.C(16), Stride: 40}, plantest.Dim{Size: plan.C(60)})
	half := &plan.Kernel{Regs: int(plan.FirstReg), Params: []plan.Param{{Name: "x", Size: 640, Read: true}}, Code: []plan.Instr{in}}
	if got := plan.Footprints(half, 0, 0, 1); got[0].Read != 16*30 {
		t.Errorf("rows of half bytes: %+v", got)
	}
}

func TestSizes(t *testing.T) {
	p := plantest.Sink()
	for _, set := range []func(){
		func() { p.Kernels[0].Regs = math.MaxInt32 }, func() { p.Steps[0].Grid = 0 }, func() { p.Steps[0].Args = nil },
		func() { p.Buffers[0].Shape = []int64{1 << 40, 1 << 40} }, func() { p.Buffers[0].Addr = -1 }, func() { p.Memories[0].Align = 0 },
		func() { p.Kernels[0].Code[0].X.C = math.MaxInt64 }, func() { p.Kernels[0].Code[0].Op = 200 }, func() { p.Queues[0].Kind = 9 },
	} {
		p = plantest.Sink()
		set()
		if err := plan.Validate(p); err == nil {
			t.Error("a senseless plan passes")
		}
		_ = plan.Text(p, nil)
	}
}

func FuzzDecode(f *testing.F) {
	for _, p := range plans() {
		f.Add(encoded(p))
	}
	if p, err := plan.Parse(diag.NewSource("control", []byte(control))); err == nil {
		f.Add(encoded(p))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Bytes behind the header are tried with the right length and checksum, else the fuzzer would never get past it.
		p, err := plan.Decode(plan.Reseal(b))
		if err != nil {
			return
		}
		if q, err := plan.Decode(encoded(p)); err != nil || !same(p, q) {
			t.Fatalf("not stable: %v", err)
		}
		use(p)
	})
}

func FuzzParse(f *testing.F) {
	for _, p := range plans() {
		f.Add(plan.Text(p, vocab))
	}
	for _, c := range diag.Codes() {
		f.Add([]byte(c.Example))
	}
	f.Add([]byte(control))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := plan.Parse(diag.NewSource("f", b))
		if err != nil {
			return
		}
		text := plan.Text(p, vocab)
		q, err := plan.Parse(diag.NewSource("g", text))
		if err != nil {
			t.Fatalf("what was printed is not read: %v\n%s", err, text)
		}
		if again := plan.Text(q, vocab); !bytes.Equal(text, again) {
			t.Fatalf("not stable:\n%s\n%s", text, again)
		}
		use(p)
	})
}

// use does with a plan from anywhere what programs do.
func use(p *plan.Plan) {
	_ = plan.Text(p, vocab)
	if plan.Validate(p) != nil {
		return
	}
	_ = plan.Check(p, rules())
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Op == plan.LaunchStep && s.Grid < 100 {
			plan.Footprints(&p.Kernels[s.Kernel], 0, s.Grid-1, 4)
		}
	}
}

// TestAllocation holds that reading takes no more than a small constant times the file, for files made to take the most.
func TestAllocation(t *testing.T) {
	p := &plan.Plan{Memories: plantest.Memories(), Queues: plantest.Queues()}
	code := make([]plan.Instr, 20000)
	for i := range code {
		code[i] = plantest.Instr(plan.End, 0)
	}
	p.Kernels = []plan.Kernel{{Regs: 3, Code: code}}
	b := encoded(p)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := plan.Decode(b); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 48*uint64(len(b)) {
		t.Errorf("%d bytes for a file of %d", n, len(b))
	}
	// A list that claims more than there is allocates nothing.
	claim := bytes.Clone(encoded(&plan.Plan{}))
	claim[len(claim)-1] = 0x7f
	if _, err := plan.Decode(plan.Reseal(claim)); err == nil {
		t.Error("a list longer than the file is read")
	}
}
