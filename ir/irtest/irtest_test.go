package irtest_test

import (
	"math/rand/v2"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/irtest"
	"apogee/ir/op"
)

func options(seed uint64) irtest.RandomOptions {
	r := rand.New(rand.NewPCG(seed, 9))
	return irtest.RandomOptions{
		Ops: 10 + r.IntN(80), Funcs: 1 + r.IntN(2),
		Symbols: r.IntN(2) == 0, Weights: r.IntN(2) == 0, States: r.IntN(2) == 0, Kernels: r.IntN(2) == 0, Control: r.IntN(2) == 0,
	}
}

func TestRandomModulesAreValid(t *testing.T) {
	for seed := range uint64(300) {
		m := irtest.Random(seed, options(seed))
		irtest.Verify(t, m)
		text := m.String()
		back := irtest.Parse(t, text)
		if got := back.String(); got != text {
			t.Fatalf("seed %d changed on its way through the parser:\n%s", seed, ir.TextDiff("before", text, "after", got))
		}
		if d := ir.Diff(m, back); d != "" {
			t.Fatalf("seed %d: %s", seed, d)
		}
		if again := irtest.Random(seed, options(seed)); again.String() != text {
			t.Fatalf("seed %d gives two modules", seed)
		}
		for _, f := range m.Funcs {
			if _, err := irtest.Inputs(f, seed, irtest.Env()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if _, err := irtest.WeightTensors(m, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestRandomCoversTable(t *testing.T) {
	seen := map[*op.Info]bool{op.Yield: true}
	for seed := range uint64(60) {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 120, Weights: true, Kernels: true, Control: true, Symbols: seed%2 == 0})
		for _, f := range m.Funcs {
			f.Body.Walk(func(o *ir.Op) { seen[o.Info] = true })
		}
	}
	for _, i := range op.All() {
		if !seen[i] {
			t.Errorf("random modules never hold %s: it needs a recipe", i.Name)
		}
	}
}

func TestShrink(t *testing.T) {
	fails := func(m *ir.Module) bool {
		found := false
		for _, f := range m.Funcs {
			f.Body.Walk(func(o *ir.Op) {
				if o.Is(op.Cast) && o.Arg(0).DefIs(op.Tanh) {
					found = true
				}
			})
		}
		return found
	}
	n := 0
	for seed := uint64(0); n < 10; seed++ {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 100, Funcs: 2, States: true, Kernels: true, Symbols: true})
		if !fails(m) {
			continue
		}
		n++
		before := m.String()
		s := irtest.Shrink(m, fails)
		if m.String() != before {
			t.Fatal("Shrink changed what it was given")
		}
		if !fails(s) || ir.Verify(s).HasErrors() {
			t.Fatalf("seed %d: the shrunk module does not fail", seed)
		}
		if s.NumOps() > 4 || len(s.Funcs) != 1 {
			t.Errorf("seed %d: %d ops are left, where 3 to 4 would do:\n%s", seed, s.NumOps(), s)
		}
	}
}

// A failure inside of an if or a loop is shrunk to that.
func TestShrinkControl(t *testing.T) {
	fails := func(m *ir.Module) bool {
		found := false
		for _, f := range m.Funcs {
			f.Body.Walk(func(o *ir.Op) {
				p := o.Block().Parent
				found = found || o.Is(op.Mul) && p != nil && p.Is(op.Loop)
			})
		}
		return found
	}
	n := 0
	for seed := uint64(0); n < 5; seed++ {
		m := irtest.Random(seed, irtest.RandomOptions{Ops: 60, Control: true})
		if !fails(m) {
			continue
		}
		n++
		s := irtest.Shrink(m, fails)
		if !fails(s) || ir.Verify(s).HasErrors() {
			t.Fatalf("seed %d: the shrunk module does not fail", seed)
		}
		if s.NumOps() > 6 {
			t.Errorf("seed %d: %d ops are left where 4 would do:\n%s", seed, s.NumOps(), s)
		}
	}
}

func TestWant(t *testing.T) {
	src := diag.NewSource("a.ir", []byte("x // want \"bad x\"\ny\nz // want `no`\nw // want \"missing\"\n"))
	list := &diag.List{}
	list.Errorf("A1", src.Range(0, 1), "a bad x")
	list.Errorf("A1", src.Range(17, 18), "a bad y")
	got := irtest.Mismatches(src, list)
	want := []string{"a.ir:1: not expected: error[A1] 1:18: a bad y", "a.ir:4: expected, but not found: missing"}
	if len(got) != 2 || got[1] != want[1] {
		t.Errorf("got %q", got)
	}
}
