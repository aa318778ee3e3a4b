package passes_test

import (
	"context"
	"fmt"
	"testing"

	"apogee/codegen"
	"apogee/ir"
	"apogee/ir/irtest"
	"apogee/ir/op"
	"apogee/passes"
	"apogee/targets/chips"
)

// Kernels that are cut until nothing is left to cut compute the same bits, and the code generator takes them all the way.
func TestUnfuse(t *testing.T) {
	names, cuts := chips.List(), 0
	for seed := range uint64(30) {
		m := irtest.Random(seed, compilable(seed))
		c := loadChip(t, names[seed%uint64(len(names))])
		opt := passes.Options{Chip: c, Precision: "f32", Bind: irtest.Env(), Verify: true}
		if _, err := passes.Run(context.Background(), m, passes.Default(1), opt); err != nil {
			continue
		}
		f := func(m *ir.Module) error {
			w, err := irtest.WeightTensors(m, seed)
			if err != nil {
				return nil
			}
			in, err := inputsOf(m, seed)
			if err != nil {
				return nil
			}
			want, err := outcome(m, w, in)
			if err != nil {
				return nil
			}
			k := m.Clone()
			for rounds := 0; ; rounds++ {
				if rounds > 200 {
					return fmt.Errorf("it never ends")
				}
				cut := false
				for o := k.Funcs[0].Body.First(); o != nil && !cut; o = o.Next() {
					if o.Is(op.Kernel) {
						if cut, err = passes.Unfuse(context.Background(), k, o, opt); err != nil {
							return err
						}
					}
				}
				if !cut {
					break
				}
				cuts++
			}
			if _, err := codegen.Compile(k.Funcs[0], c, codegen.Options{}); err != nil {
				return err
			}
			got, err := outcome(k, w, in)
			if err != nil {
				return err
			}
			return differ(got, want, 0)
		}
		if err := f(m); err != nil {
			shrunk(t, m, seed, err, f)
		}
	}
	if cuts < 50 {
		t.Errorf("only %d kernels were cut", cuts)
	}
}
