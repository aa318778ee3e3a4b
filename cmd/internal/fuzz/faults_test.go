package fuzz

import (
	"context"
	"testing"

	"apogee/ir"
	"apogee/ir/bound"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/targets/plan"
)

// spoil is a pass that breaks the first op of a kind for which change finds a way.
func spoil(info *op.Info, change func(o *ir.Op) bool) func(*ir.Module) {
	return func(m *ir.Module) {
		for _, f := range m.Funcs {
			done := false
			f.Body.Walk(func(o *ir.Op) {
				if !done && o.Is(info) {
					done = change(o)
				}
			})
		}
	}
}

// become puts another op of the same operands in an op's place.
func become(info *op.Info) func(o *ir.Op) bool {
	return func(o *ir.Op) bool {
		n := ir.At(o).Create(info, nil, o.Args()...)
		if n == nil || !n.Result(0).Type.Equal(o.Result(0).Type) {
			return false
		}
		o.Result(0).ReplaceAllUses(n.Result(0))
		return true
	}
}

// with changes an attribute if the result keeps its type.
func with(name string, change func(any) any) func(o *ir.Op) bool {
	return func(o *ir.Op) bool {
		var attrs op.Attrs
		has := false
		for _, a := range o.Attrs {
			if a.Name == name {
				a.Value, has = change(a.Value), true
			}
			attrs = append(attrs, a)
		}
		if v := change(nil); !has && v != nil {
			attrs = append(attrs, op.Attr{Name: name, Value: v})
		}
		n := ir.At(o).Create(o.Info, attrs, o.Args()...)
		if n == nil {
			return false
		}
		for i, r := range o.Results() {
			if !n.Result(i).Type.Equal(r.Type) {
				n.Erase()
				return false
			}
		}
		for i, r := range o.Results() {
			r.ReplaceAllUses(n.Result(i))
		}
		return true
	}
}

// swap exchanges two operands of one type.
func swap(i, j int) func(o *ir.Op) bool {
	return func(o *ir.Op) bool {
		a, b := o.Arg(i), o.Arg(j)
		if a == b || !a.Type.Equal(b.Type) {
			return false
		}
		o.SetArg(i, b)
		o.SetArg(j, a)
		return true
	}
}

// drop lets an operand stand for the result.
func drop(o *ir.Op) bool {
	if !o.Arg(0).Type.Equal(o.Result(0).Type) {
		return false
	}
	o.Result(0).ReplaceAllUses(o.Arg(0))
	return true
}

func toggle(v any) any {
	b, _ := v.(bool)
	return !b
}

// edit changes the first instruction for which change finds a way, in every kernel.
func edit(change func(in *plan.Instr) bool) func(*plan.Plan) {
	return func(p *plan.Plan) {
		for k := range p.Kernels {
			for i := range p.Kernels[k].Code {
				if change(&p.Kernels[k].Code[i]) {
					break
				}
			}
		}
	}
}

func fn(from, to plan.Fn) func(*plan.Plan) {
	return edit(func(in *plan.Instr) bool {
		if in.Op != plan.Vec || in.Fn != from {
			return false
		}
		in.Fn = to
		return true
	})
}

// faults are mistakes as people make them: in passes, in the code generator, in kernels, in formats.
var faults = []struct {
	name   string
	spoil  func(*ir.Module)
	mutate func(*plan.Plan)
	narrow string // a precision that is worse than the results are held to
	flush  bool   // the chip drops subnormals and does not say so
}{
	{name: "operands of sub swapped", spoil: spoil(op.Sub, swap(0, 1))},
	{name: "neg dropped", spoil: spoil(op.Neg, drop)},
	{name: "branches of select swapped", spoil: spoil(op.Select, swap(1, 2))},
	{name: "mean summed", spoil: spoil(op.Reduce, with("kind", func(v any) any {
		if v == "mean" {
			return "sum"
		}
		return v
	}))},
	{name: "reduced along another axis", spoil: spoil(op.Reduce, with("axes", func(v any) any {
		if a, ok := v.([]int64); ok && len(a) == 1 {
			if a[0] == 0 {
				return []int64{1}
			}
			return []int64{0}
		}
		return v
	}))},
	{name: "transpose undone", spoil: spoil(op.Transpose, drop)},
	{name: "low and high of pad swapped", spoil: spoil(op.Pad, func(o *ir.Op) bool {
		n := ir.At(o).Create(op.Pad, ir.A("low", o.Attrs.Ints("high"), "high", o.Attrs.Ints("low")), o.Args()...)
		o.Result(0).ReplaceAllUses(n.Result(0))
		return true
	})},
	{name: "parts of concat swapped", spoil: spoil(op.Concat, swap(0, 1))},
	{name: "gt took equals", spoil: spoil(op.Gt, become(op.Ge))},
	{name: "ceil rounded down", spoil: spoil(op.Ceil, become(op.Floor))},
	{name: "ties rounded up", spoil: spoil(op.Round, func(o *ir.Op) bool {
		b := ir.At(o)
		half := b.Scalar(o.Arg(0).Type.Format, 0.5)
		o.Result(0).ReplaceAllUses(b.Op(op.Floor, nil, b.Op(op.Add, nil, o.Arg(0), half)))
		return true
	})},
	{name: "running sum exclusive or not", spoil: spoil(op.Cumsum, with("exclusive", toggle))},
	{name: "smallest for largest", spoil: spoil(op.TopK, with("largest", func(v any) any { b, ok := v.(bool); return ok && !b }))},
	{name: "max for min", spoil: spoil(op.Min, become(op.Max))},
	{name: "a factor of einsum read backwards", spoil: spoil(op.Einsum, func(o *ir.Op) bool {
		if len(o.Arg(1).Type.Shape) == 0 {
			return false
		}
		o.SetArg(1, ir.At(o).Op(op.Reverse, ir.A("axes", []int64{-1}), o.Arg(1)))
		return true
	})},
	{name: "causal mask forgotten", spoil: spoil(op.Attention, with("causal", func(any) any { return false }))},
	{name: "constants of one type merged", spoil: func(m *ir.Module) {
		for _, f := range m.Funcs {
			var first []*ir.Op
			f.Body.Walk(func(o *ir.Op) {
				if !o.Is(op.Constant) {
					return
				}
				for _, p := range first {
					if p.Result(0).Type.Equal(o.Result(0).Type) && !same(p.Attrs.Tensor("value"), o.Attrs.Tensor("value")) {
						o.Result(0).ReplaceAllUses(p.Result(0))
						return
					}
				}
				first = append(first, o)
			})
		}
	}},
	{name: "division turned into a product", spoil: spoil(op.Div, become(op.Mul))},
	{name: "reversed order kept", spoil: spoil(op.Reverse, drop)},
	{name: "a vector instruction lost", mutate: edit(func(in *plan.Instr) bool {
		if in.Op != plan.Vec || in.Fn == plan.VCopy {
			return false
		}
		in.Dst.Size = append([]plan.Val(nil), in.Dst.Size...)
		in.Fn, in.B, in.C = plan.VCopy, plan.NoTile, plan.NoTile
		return in.A.Has() && in.A.Format == in.Dst.Format
	})},
	{name: "add for sub", mutate: fn(plan.VSub, plan.VAdd)},
	{name: "sums not begun at zero", mutate: edit(func(in *plan.Instr) bool {
		if in.Op != plan.Mma {
			return false
		}
		in.Acc = plan.C(1)
		return true
	})},
	{name: "a column left out of a reduction", mutate: edit(func(in *plan.Instr) bool {
		n := len(in.A.Size) - 1
		if in.Op != plan.VReduce || !in.A.Size[n].IsConst() || in.A.Size[n].C < 2 {
			return false
		}
		in.A.Size = append([]plan.Val(nil), in.A.Size...)
		in.A.Size[n].C--
		return true
	})},
	{name: "a row repeated", mutate: edit(func(in *plan.Instr) bool {
		if in.Op != plan.Vec || !in.A.Has() {
			return false
		}
		for i, s := range in.A.Stride {
			if s != 0 && in.A.Size[i].IsConst() && in.A.Size[i].C > 1 {
				in.A.Stride = append([]int64(nil), in.A.Stride...)
				in.A.Stride[i] = 0
				return true
			}
		}
		return false
	})},
	{name: "a loop ends early", mutate: edit(func(in *plan.Instr) bool {
		if in.Op != plan.Loop || in.Y.IsConst() && in.Y.C < 2 {
			return false
		}
		in.Y = in.Y.AddC(-1)
		return true
	})},
	{name: "a wait forgotten", mutate: func(p *plan.Plan) {
		for k := range p.Kernels {
			code := p.Kernels[k].Code
			for i := range code {
				if code[i].Op == plan.Wait {
					code[i] = plan.Instr{Op: plan.Set, Reg: plan.Reg(p.Kernels[k].Regs), Fn: plan.VAdd, Dst: plan.NoTile, Dst2: plan.NoTile, A: plan.NoTile, B: plan.NoTile, C: plan.NoTile}
					p.Kernels[k].Regs++
					break
				}
			}
		}
	}},
	{name: "sigmoid for tanh", mutate: fn(plan.VTanh, plan.VSigmoid)},
	{name: "erf by tanh", mutate: fn(plan.VErf, plan.VTanh)},
	{name: "rounded down, not to even", mutate: fn(plan.VRound, plan.VFloor)},
	{name: "operands of products rounded to bf16", narrow: "bf16"},
	{name: "subnormals dropped", flush: true},
}

func same(a, b *tensor.Tensor) bool {
	x, err := a.Bytes()
	if err != nil {
		return false
	}
	y, err := b.Bytes()
	return err == nil && string(x) == string(y)
}

// Every planted fault is found within a thousand models and shrunk to at most five ops.
func TestPlantedFaults(t *testing.T) {
	limit := 1000
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			x := targets(t, "loongson-3c6000")[0]
			if f.narrow != "" {
				x = targets(t, "hygon-k100-ai")[0]
				x.Bounds = &bound.Arithmetic{Narrow: true}
				x.Precision = f.narrow
			}
			if f.flush {
				x.Bounds = &bound.Arithmetic{Narrow: true}
				x.Chip.FlushSubnormals = true
			}
			x.Spoil, x.Mutate = f.spoil, f.mutate
			if f.name == "a wait forgotten" {
				x.Chip = targets(t, "ascend-910b")[0].Chip
			}
			rep, err := Models(context.Background(), Options{N: limit, Targets: []*Target{x}, Stop: 1, Jobs: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Failures) == 0 {
				t.Fatalf("not found in %d models", limit)
			}
			seed := rep.Failures[0].Seed
			s, g := Smallest(context.Background(), Module(seed, 0), rep.Failures[0])
			n := 0
			for _, f := range s.Funcs {
				f.Body.Walk(func(o *ir.Op) {
					if !o.Info.Terminator && !o.Is(op.Constant) {
						n++
					}
				})
			}
			t.Logf("seed %d, %d ops: %v", seed, n, g)
			if n > 5 {
				t.Errorf("%d ops are left:\n%s", n, s)
			}
			if f.spoil != nil && g.Pass != Planted {
				t.Errorf("%s is blamed", g.Pass)
			}
		})
	}
}
