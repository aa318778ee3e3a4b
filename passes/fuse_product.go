package passes

import (
	"fmt"
	"slices"
	"strings"

	"apogee/ir"
	"apogee/ir/op"
)

// isProduct reports whether an op is a sum of products that a matrix engine does.
func isProduct(o *ir.Op) bool {
	return o.Is(op.Einsum) || o.Is(op.ScaledMatmul) || o.Is(op.GroupedMatmul)
}

// product is the first matrix product of a kernel, or nil.
func (c *cluster) product() *ir.Op {
	for _, o := range c.ops {
		if isProduct(o) {
			return o
		}
	}
	return nil
}

// pullEpilogues moves elementwise ops from the map kernels that read a matrix product into the product's kernel.
//
// What could move is closed under operands: elementwise ops of the product's shape whose other operands are buffers that do not wait for the
// product. Of those, the ops at the end are left behind as long as that moves less data: a cast to a wider format stays with its
// readers, a residual sum moves.
func (u *fuser) pullEpilogues() {
	if u.max < 2 || !u.p.Control.Allowed(fuseEpilogue) {
		return
	}
	for _, o := range u.ops {
		c := u.clusterOf(o)
		if c == nil || c.kind != "contract" && c.kind != "grouped" || c.first() != o {
			continue
		}
		// Each reader in turn: what is pulled from one may make the next one's operands inner.
		for _, r := range append([]*ir.Op(nil), u.cons[o.Result(0).ID()]...) {
			if m := u.clusterOf(r); m != nil && m != c && m.kind == "map" {
				u.pull(c, m)
			}
		}
	}
}

func (u *fuser) pull(c, m *cluster) {
	product := c.product()
	shape := product.Result(0).Type.Shape
	in := map[*ir.Op]bool{}
	for _, o := range c.ops {
		in[o] = true
	}
	taken := map[*ir.Op]bool{}
	room := u.max - len(c.ops)
	why, refused := "", product
	for _, o := range m.ops {
		touches := false
		for i := 0; i < o.NumArgs(); i++ {
			if d := u.rootOf(o.Arg(i)).Def(); d != nil && in[d] {
				touches = true
			}
		}
		no := ""
		switch {
		case o.Info.Class != op.Elementwise:
			no = "only elementwise ops can follow a matrix product in its kernel"
		case !o.Result(0).Type.Shape.Equal(shape):
			no = "its result has another shape than the product"
		case room == 0:
			no = "the kernel is full"
		case inParts(o) && batched(product):
			no = "its elements are narrower than a byte, and the product gives them one by one"
		}
		for i := 0; i < o.NumArgs() && no == ""; i++ {
			a := o.Arg(i)
			d := u.rootOf(a).Def()
			switch {
			case d == nil:
			case in[d]:
				if u.rootOf(a) != a {
					no = "it reads the product through a view"
				}
			case u.clusterOf(d) == m:
				no = "it reads what its own kernel computes from the product"
			case free(d) && !u.force[u.rootOf(a).ID()] && !d.Is(op.Constant):
				no = "it reads an iota"
			}
		}
		if no != "" {
			if touches && why == "" {
				why, refused = no, o
			}
			continue
		}
		// An op that reads nothing of the product moves only if what it gives is read by one that does.
		in[o], taken[o] = true, true
		room--
	}
	// Drop what does not hang on the product.
	u.trimLoose(c, m, taken)
	if len(taken) == 0 {
		if why != "" {
			u.later(fuseEpilogue, refused, product, why)
		}
		return
	}
	split := func() (head, tail []*ir.Op) {
		head = append([]*ir.Op(nil), c.ops...)
		for _, o := range m.ops {
			if taken[o] {
				head = append(head, o)
			} else {
				tail = append(tail, o)
			}
		}
		return head, tail
	}
	cost := func() float64 {
		head, tail := split()
		u.mark(head)
		s := u.launch + float64(u.traffic(head, u.escaping(head)))/u.bandwidth
		if len(tail) > 0 {
			u.mark(tail)
			s += u.seconds(tail)
		}
		return s
	}
	u.mark(c.ops)
	base := u.launch + float64(u.traffic(c.ops, u.escaping(c.ops)))/u.bandwidth
	u.mark(m.ops)
	base += u.seconds(m.ops)
	best := cost()
	for improved := true; improved && len(taken) > 0; {
		improved = false
		for k := len(m.ops) - 1; k >= 0; k-- {
			o := m.ops[k]
			if !taken[o] || u.feeds(o, taken) {
				continue
			}
			delete(taken, o)
			s := base
			if len(taken) > 0 {
				s = cost()
			}
			if s <= best*(1+1e-12) { // equal is progress too: the next may be better
				best, improved = s, true
				break
			}
			taken[o] = true
		}
	}
	if len(taken) == 0 || best >= base {
		u.later(fuseEpilogue, product, nil, fmt.Sprintf("what follows would not move less data in the product's kernel: %.3g s instead of %.3g s", best, base))
		return
	}
	head, tail := split()
	if len(tail) > 0 {
		if why := u.judge(tail); why != "" {
			u.later(fuseEpilogue, product, nil, "what would be left of the kernel that follows cannot stand alone: "+why)
			return
		}
	}
	old := *c
	c.ops, m.ops = head, tail
	for o := range taken {
		u.cl[o.ID()] = c
	}
	if len(tail) == 0 {
		m.into = c
	}
	if u.waitsForItself([]*cluster{c}) {
		*c, m.into = old, nil
		m.ops = nil
		for _, o := range head[len(old.ops):] {
			u.cl[o.ID()] = m
		}
		m.ops = append(append([]*ir.Op(nil), head[len(old.ops):]...), tail...)
		u.sort(m.ops)
		u.later(fuseEpilogue, product, nil, "another kernel stands between the product and what follows")
		return
	}
	u.p.fire(fuseEpilogue, product)
}

// inParts reports whether an op reads or gives elements narrower than a byte, which a kernel writes in rows of whole bytes.
func inParts(o *ir.Op) bool {
	for _, v := range append(o.Args(), o.Results()...) {
		if v.Type.Format.Bits() < 8 {
			return true
		}
	}
	return false
}

// batched reports whether the last axis of a product is one of both operands, along which a tile has one element.
func batched(o *ir.Op) bool {
	e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
	n := len(e.Out)
	return err == nil && n > 0 && strings.IndexByte(e.A, e.Out[n-1]) >= 0 && strings.IndexByte(e.B, e.Out[n-1]) >= 0
}

// trimLoose takes out of taken what neither reads the product nor is read, within taken, by something that does.
func (u *fuser) trimLoose(c, m *cluster, taken map[*ir.Op]bool) {
	hangs := map[*ir.Op]bool{}
	for _, o := range c.ops {
		hangs[o] = true
	}
	for _, o := range m.ops {
		if !taken[o] {
			continue
		}
		for i := 0; i < o.NumArgs(); i++ {
			if d := u.rootOf(o.Arg(i)).Def(); d != nil && hangs[d] {
				hangs[o] = true
			}
		}
	}
	for k := len(m.ops) - 1; k >= 0; k-- {
		o := m.ops[k]
		if taken[o] && !hangs[o] && !u.feeds(o, taken) {
			delete(taken, o)
		}
	}
	// What is left of the loose ones feeds something that hangs; its own operands are buffers, so it may move.
	for _, o := range m.ops {
		if !taken[o] {
			continue
		}
		for i := 0; i < o.NumArgs(); i++ {
			d := u.rootOf(o.Arg(i)).Def()
			if d != nil && u.clusterOf(d) == m && !taken[d] {
				delete(taken, o)
				u.trimLoose(c, m, taken)
				return
			}
		}
	}
}

// feeds reports whether one of the ops reads what o gives.
func (u *fuser) feeds(o *ir.Op, ops map[*ir.Op]bool) bool {
	for _, r := range o.Results() {
		for _, c := range u.cons[r.ID()] {
			if ops[c] {
				return true
			}
		}
	}
	return false
}

// mergeGates puts a product that only another product's epilogue reads into that one's kernel, if both have the same left operand and
// equal axes: then one tile of the left operand serves both.
func (u *fuser) mergeGates() {
	if u.max < 2 || !u.p.Control.Allowed(fuseGate) {
		return
	}
	for _, o := range u.ops {
		c := u.clusterOf(o)
		if c == nil || c.kind != "contract" && c.kind != "grouped" || c.first() != o {
			continue
		}
		for again := true; again; {
			again = false
			for _, x := range c.ops {
				for i := 0; i < x.NumArgs() && !again; i++ {
					d := u.rootOf(x.Arg(i)).Def()
					if d == nil || u.rootOf(x.Arg(i)) != x.Arg(i) || isProduct(x) {
						continue
					}
					e := u.clusterOf(d)
					if e == nil || e == c || e.kind != c.kind || len(e.ops)+len(c.ops) > u.max {
						continue
					}
					again = u.gate(c, e, x)
				}
				if again {
					break
				}
			}
		}
	}
}

func (u *fuser) gate(c, e *cluster, at *ir.Op) bool {
	a, b := c.product(), e.product()
	for _, o := range e.ops {
		for _, r := range o.Results() {
			for _, k := range u.cons[r.ID()] {
				if x := u.clusterOf(k); x != c && x != e {
					return false // it has other readers: no gate
				}
			}
		}
	}
	why := ""
	switch {
	case a.Arg(0) != b.Arg(0) && !(u.rootOf(a.Arg(0)) == u.rootOf(b.Arg(0)) && sameView(u.viewOf(a.Arg(0)), u.viewOf(b.Arg(0)))):
		why = "the two products have different left operands"
	case !sameAxes(a, b):
		why = "the two products have different axes"
	}
	all := append(append([]*ir.Op(nil), c.ops...), e.ops...)
	u.sort(all)
	if why == "" && u.waitsForItself([]*cluster{c, e}) {
		why = "another kernel stands between the two"
	}
	if why != "" {
		u.later(fuseGate, at, b, why)
		return false
	}
	if !u.p.fire(fuseGate, at) {
		return false
	}
	e.into, e.ops = c, nil
	c.ops = all
	return true
}

// sameAxes reports whether two products have results of one shape whose axes come from the same side, and sum as many elements.
func sameAxes(a, b *ir.Op) bool {
	if a.Info != b.Info || !a.Result(0).Type.Shape.Equal(b.Result(0).Type.Shape) || !a.Arg(0).Type.Equal(b.Arg(0).Type) || !a.Arg(1).Type.Equal(b.Arg(1).Type) {
		return false
	}
	if !a.Is(op.Einsum) {
		for i := 2; i < a.NumArgs(); i++ {
			if a.NumArgs() != b.NumArgs() || !a.Arg(i).Type.Equal(b.Arg(i).Type) {
				return false
			}
		}
		if a.Is(op.GroupedMatmul) && a.Arg(2) != b.Arg(2) {
			return false
		}
		return slices.Equal(a.Attrs.Ints("block"), b.Attrs.Ints("block"))
	}
	x, err1 := op.ParseEinsum(a.Attrs.Str("spec", ""))
	y, err2 := op.ParseEinsum(b.Attrs.Str("spec", ""))
	return err1 == nil && err2 == nil && normalSpec(x) == normalSpec(y)
}

// normalSpec renames the letters in order of appearance.
func normalSpec(e op.EinsumSpec) string {
	s := e.String()
	var out strings.Builder
	names := map[byte]byte{}
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if ch >= 'a' && ch <= 'z' {
			n, ok := names[ch]
			if !ok {
				n = 'a' + byte(len(names))
				names[ch] = n
			}
			ch = n
		}
		out.WriteByte(ch)
	}
	return out.String()
}
