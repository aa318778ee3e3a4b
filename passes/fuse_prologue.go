package passes

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/passes/rewrite"
)

var fusePrologue = &rewrite.Rule{Name: "FusePrologue", Doc: "A conversion of an operand that only one product reads joins the product's kernel, where it takes fewer bytes to load what is converted: quantised weights are brought to the product's format on the way."}

// prologueRows is up to how many rows of the other operand a conversion is worth doing again for each tile of them.
const prologueRows = 256

// pullPrologues moves conversions of operands into the kernels of the products that read them.
func (u *fuser) pullPrologues() {
	if u.max < 2 || !u.p.Control.Allowed(fusePrologue) {
		return
	}
	for _, o := range u.ops {
		c := u.clusterOf(o)
		if c == nil || c.kind != "contract" && c.kind != "grouped" || !isProduct(o) || o.Is(op.ScaledMatmul) || o.Is(op.GroupedMatmul) && o.NumArgs() > 3 {
			continue
		}
		w := o.Arg(1)
		d := w.Def()
		if d == nil || u.rootOf(w) != w {
			continue
		}
		m := u.clusterOf(d)
		if m == nil || m == c || m.kind != "map" || len(m.ops)+len(c.ops) > u.max || !u.converts(m, c) || u.rows(o) > prologueRows {
			continue
		}
		if !u.p.fire(fusePrologue, o) {
			return
		}
		c.ops = append(append([]*ir.Op(nil), m.ops...), c.ops...)
		u.sort(c.ops)
		for _, x := range m.ops {
			u.cl[x.ID()] = c
		}
		m.into = c
	}
}

// converts reports whether a kernel does nothing but bring codes to another format for one reader, scaled or not, and reads less than it
// gives.
func (u *fuser) converts(m, c *cluster) bool {
	last := m.ops[len(m.ops)-1]
	for i, o := range m.ops {
		switch {
		case o.Is(op.Cast): // dequantize works along its blocks, which tiles of the product would cut
		case o.Is(op.Mul) && i > 0:
			if d := u.rootOf(o.Arg(1)).Def(); d != nil && u.clusterOf(d) != nil {
				return false // a factor that is no buffer yet
			}
		default:
			return false
		}
		for _, user := range u.cons[o.Result(0).ID()] {
			if to := u.clusterOf(user); to != m && (to != c || o != last) || to == nil {
				return false
			}
		}
		if i > 0 && o.Arg(0) != m.ops[i-1].Result(0) {
			return false // one chain
		}
	}
	from := m.ops[0].Arg(0).Type.Format
	return from.Bits() >= 8 && from.Bits() < last.Result(0).Type.Format.Bits() // less than a byte is addressed by whole rows
}

// rows is how many rows of the left operand meet each column of the right one, in a group of a grouped product about.
func (u *fuser) rows(o *ir.Op) int64 {
	a, _ := o.Arg(0).Type.Shape.Numel().Value()
	k := int64(1)
	if s := o.Arg(1).Type.Shape; len(s) > 0 {
		k, _ = s[len(s)-1].Value()
	}
	n := a / max(k, 1)
	if o.Is(op.GroupedMatmul) {
		g, _ := o.Arg(1).Type.Shape[0].Value()
		n = (n + max(g, 1) - 1) / max(g, 1)
	}
	return n
}
