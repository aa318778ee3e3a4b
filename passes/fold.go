package passes

import (
	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/passes/rewrite"
)

var foldInfo = &Info{
	Name: "fold",
	Doc: "Evaluates ops whose operands are literals with the reference evaluator, so that a folded value has the very bits that the op would give. " +
		"A result of more than `max` elements stays an op unless it is smaller than its operands.",
	Options: []OptionInfo{{Name: "max", Default: "4096", Number: true, Doc: "the largest result, in elements"}},
	Rules:   rewrite.Set{foldConstant},
	run: func(p *Pass) error {
		return p.rewrite(p.Info.Rules, p.number("max"))
	},
}

// maxFoldWork bounds the elements that a folded op reads, so that folding is never what compiling waits for.
const maxFoldWork = 1 << 20

var foldConstant = &rewrite.Rule{
	Name: "FoldConstant", Doc: "An op of literals is a literal.", Roots: foldable(),
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		most := r.Data.(int64)
		read := int64(0)
		for i := 0; i < o.NumArgs(); i++ {
			switch a := o.Arg(i); {
			case isConst(a):
			case a.DefIs(op.Iota) && o.Result(0).Type.Format.IsFloat() && a.Type.Shape.IsConst() && count(a) <= most:
				// A table such as rope's frequencies. Integers counted out stay: masks are recognised by them.
			default:
				return false
			}
			read += count(o.Arg(i))
		}
		for _, v := range o.Results() {
			if !v.Type.Shape.IsConst() {
				return false
			}
			if n := count(v); n > most && n > read || n > maxFoldWork {
				return false
			}
		}
		if read > maxFoldWork || o.Is(op.Iota) || o.Is(op.Broadcast) && count(o.Result(0)) > count(o.Arg(0)) {
			return false // an iota and a repeated literal are shorter as they are
		}
		if o.Is(op.Einsum) && o.Info.Flops(o.Input(), o.ResultTypes()) > maxFoldWork {
			return false
		}
		args := make([]*eval.Value, o.NumArgs())
		for i := range args {
			d := o.Arg(i).Def()
			if d.Is(op.Iota) {
				v, err := eval.Op(d, nil)
				if err != nil {
					return false
				}
				args[i] = v[0]
				continue
			}
			v, err := eval.FromTensor(d.Attrs.Tensor("value"))
			if err != nil {
				return false
			}
			args[i] = v
		}
		res, err := eval.Op(o, args)
		if err != nil {
			r.Remark(o, "stays: %v", err)
			return false
		}
		ts := make([]*tensor.Tensor, len(res))
		for i, v := range res {
			if ts[i], err = v.Tensor(); err != nil {
				return false
			}
			if !v.Format.IsFloat() {
				if _, err := ts[i].I64s(); err != nil {
					return false // beyond what a reader of literals takes
				}
			}
		}
		b := r.At(o)
		vs := make([]*ir.Value, len(res))
		for i, t := range ts {
			vs[i] = b.Op(op.Constant, ir.A("value", t))
		}
		r.Replace(o, vs...)
		return true
	},
}

func foldable() []*op.Info {
	var out []*op.Info
	for _, i := range op.All() {
		if i.Class != op.Structural && i.Class != op.Fused || i == op.DimValue {
			out = append(out, i)
		}
	}
	return out
}
