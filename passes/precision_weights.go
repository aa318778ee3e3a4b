package passes

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/passes/rewrite"
)

var quantiseWeight = &rewrite.Rule{Name: "QuantiseWeight", Doc: "A weight that a product reads is kept as codes with scales, and brought to the product's format on the way."}

// quantisedWeights keeps the weights that products read as i8 codes, which the loader makes of each row. What chooses, such as a router,
// and what the function gives, such as the scores of words, keep their weights.
func quantisedWeights(p *Pass, f *ir.Func, to format.Format) error {
	for _, b := range bodies(f) {
		for o := b.First(); o != nil; o = o.Next() {
			if !o.Is(op.Einsum) && !(o.Is(op.GroupedMatmul) && o.NumArgs() == 3) {
				continue
			}
			for i := range 2 {
				w := o.Arg(i)
				if !loaded(w) || !plainWeight(w) && !w.DefIs(op.Dequantize) || w.Type.Rank() < 2 {
					continue
				}
				switch {
				case returned(o.Result(0)):
					p.remark(quantiseWeight, o, "the weight stays as it is: the result is what the function gives, such as the scores of words")
					continue
				case bothKeysAndValues(o.Result(0)):
					p.remark(quantiseWeight, o, "the weight stays as it is: what it gives is cut into keys and values, where it may be absorbed")
					continue
				case chooses(o.Result(0), 0):
					p.remark(quantiseWeight, o, "the weight stays as it is: the result is what a choice is made by, such as a router's")
					continue
				}
				if !p.fire(quantiseWeight, o) {
					return nil
				}
				at := ir.At(o)
				codes, scale, err := quantisedWeight(at, w, format.I8, nil, false)
				if err != nil {
					return err
				}
				d := at.Cast(at.Op(op.Mul, nil, at.Cast(codes, format.F32), scale), to)
				out := o.Result(0).Type.Format
				if at.Err != nil {
					return at.Err
				}
				o.SetArg(i, d)
				if other := o.Arg(1 - i); other.Type.Format != to {
					castOperand(p, o, 1-i, to)
				}
				setFormat(o, out)
			}
		}
	}
	return nil
}
