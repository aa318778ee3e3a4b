package passes

import (
	"context"
	"testing"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// doubled appends a copy of a function's ops to its body, so that each op stands there twice.
func doubled(m *ir.Module) {
	for _, f := range m.Funcs {
		vm := ir.ValueMap{}
		ret := f.Return()
		for _, o := range f.Body.Ops() {
			if o != ret {
				ir.CloneOp(f.Body, ret, o, vm)
			}
		}
		// Read by the same number of readers each, in turn.
		for i := 0; i < ret.NumArgs()-f.States; i += 2 {
			if w := vm[ret.Arg(i)]; w != nil {
				ret.SetArg(i, w)
			}
		}
	}
}

// After cse no two ops of a block are equal, whatever had many readers or few.
func TestCSEIsComplete(t *testing.T) {
	mods := []*ir.Module{irtest.Large(600)}
	for seed := range uint64(40) {
		mods = append(mods, irtest.Random(seed, irtest.RandomOptions{Ops: 120, Weights: true, Kernels: seed%3 == 0}))
	}
	// One value with many readers, equal in pairs, some of them before it has many.
	m := ir.NewModule("many")
	f := m.NewFunc("f")
	x := f.AddInput("x", ir.Tensor(format.F32, shape.Const(8)))
	b := ir.AtEnd(f.Body)
	sum := x
	for i := range 200 {
		c := b.Scalar(format.F32, float64(i%50))
		sum = b.Op(op.Add, nil, sum, b.Op(op.Mul, nil, b.Op(op.Neg, nil, x), c))
	}
	f.Results = []string{"y"}
	b.Return(sum)
	if b.Err != nil {
		t.Fatal(b.Err)
	}
	mods = append(mods, m)
	for _, m := range mods {
		doubled(m)
		if _, err := Run(context.Background(), m, "cse", Options{Verify: true}); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Funcs {
			ops := f.Body.Ops()
			for i, a := range ops {
				for _, b := range ops[i+1:] {
					if !a.Info.Terminator && len(a.Regions) == 0 && ir.EqualOp(a, b) {
						t.Fatalf("%s: two equal ops are left:\n%s\n%s", m.Name, a.Text(), b.Text())
					}
				}
			}
		}
	}
}
