// Package codegentest helps tests that need kernels without the fuse pass: it makes every op of a function a kernel of its own.
//
// It is for tests only; it must not know chips or plans, so that tests of any package can use it.
package codegentest

import (
	"apogee/ir"
	"apogee/ir/op"
)

// Kind is the kind of the kernel that an op makes alone; "" for ops that stay in the function's body.
func Kind(o *ir.Op) string {
	switch o.Info {
	case op.Weight, op.Return, op.Yield, op.Kernel, op.Constant:
		return ""
	case op.Einsum, op.ScaledMatmul:
		return "contract"
	case op.GroupedMatmul:
		return "grouped"
	case op.Attention:
		return "attention"
	case op.Gather:
		return "gather"
	case op.ScatterElements:
		return "scatter"
	case op.TopK, op.ArgMax, op.GroupRows:
		return "search"
	case op.Reduce, op.Cumsum:
		return "reduce"
	}
	return "map"
}

// EachAlone makes a kernel of every op of a function, as if nothing fused. Constants of one element join the kernels that read
// them.
func EachAlone(f *ir.Func) {
	for _, o := range f.Body.Ops() {
		kind := Kind(o)
		if kind == "" {
			continue
		}
		ops := []*ir.Op{o}
		for i := 0; i < o.NumArgs(); i++ {
			if a := o.Arg(i); a.DefIs(op.Constant) && one(a) {
				c := ir.At(o).Create(op.Constant, a.Def().Attrs)
				o.SetArg(i, c.Result(0))
				ops = append([]*ir.Op{c}, ops...)
			}
		}
		ir.AtEnd(f.Body).Kernel(o.Info.Name, kind, ops, o.Results())
	}
	for _, o := range f.Body.Ops() {
		if o.Is(op.Constant) && o.Result(0).NumUses() == 0 {
			o.Erase()
		}
	}
}

func one(v *ir.Value) bool {
	s, err := v.Type.Shape.Ints()
	n := int64(1)
	for _, d := range s {
		n *= d
	}
	return err == nil && n == 1
}
