package passes

import (
	"apogee/ir"
	"apogee/passes/rewrite"
)

var cseInfo = &Info{
	Name: "cse",
	Doc: "Of ops that are equal the first stays: two ops are equal if they are of one kind with the same operands, attributes and result types, in one block. " +
		"Operands of a commutative op may be swapped. Ops with regions are never equal.",
	Rules: rewrite.Set{mergeEqual},
	run:   cse,
}

var mergeEqual = &rewrite.Rule{Name: "MergeEqualOps", Doc: "Readers of an op that equals an earlier one of its block read that one."}

// cse looks for an equal op among the readers of one operand, the one that was made last: mostly that has one reader or two, which lie
// near each other in memory. Once a value has many readers they go into a hash table, and so do ops without operands. Each op is put there
// at most once, so that all costs are linear in the ops whatever the module; the table holds no pointers, so that the collector
// does not walk it.
func cse(p *Pass) error {
	for _, f := range p.Module.Funcs {
		c := &merger{p: p, seen: make([]uint64, p.Module.MaxOp()/64+1), many: make([]uint64, p.Module.MaxValue()/64+1)}
		c.block(f.Body)
	}
	return nil
}

// merger merges the equal ops of one function's blocks.
type merger struct {
	p    *Pass
	seen []uint64 // by op ID: the op stays and stands before the current one
	many []uint64 // by value ID: the value's readers are in the table

	slots  []cseSlot
	kept   []*ir.Op
	hashes []uint64 // of kept
}

// cseSlot is an op in the table: half of its hash, and its place in kept plus one; 0 is free.
type cseSlot struct{ hash, at uint32 }

// manyReaders is how many readers of a value are looked through one by one.
const manyReaders = 16

func (c *merger) block(b *ir.Block) {
	slots, kept, hashes := c.slots, c.kept, c.hashes
	c.slots, c.kept, c.hashes = make([]cseSlot, 64), nil, nil
	for o := b.First(); o != nil; {
		next := o.Next()
		for _, r := range o.Regions {
			c.block(r)
		}
		if !o.Info.Terminator && len(o.Regions) == 0 {
			c.op(o)
		}
		o = next
	}
	c.slots, c.kept, c.hashes = slots, kept, hashes
}

// key is the operand whose readers are looked through: equal ops have the same, since they have the same operands.
func key(o *ir.Op) *ir.Value {
	var v *ir.Value
	for i := 0; i < o.NumArgs(); i++ {
		if a := o.Arg(i); v == nil || a.ID() > v.ID() {
			v = a
		}
	}
	return v
}

func (c *merger) op(o *ir.Op) {
	var equal *ir.Op
	v := key(o)
	table := v == nil || c.many[v.ID()>>6]&(1<<(v.ID()&63)) != 0
	if !table && v.NumUses() > manyReaders {
		c.many[v.ID()>>6] |= 1 << (v.ID() & 63)
		table = true
		for _, u := range v.Users() {
			if c.stays(u, o) && key(u) == v {
				c.add(u, u.HashKey())
			}
		}
	}
	switch {
	case table:
		h := o.HashKey()
		if equal = c.find(o, h); equal == nil {
			c.add(o, h)
		}
	case v.NumUses() > 1:
		v.EachUse(func(u *ir.Op) {
			if u.Info == o.Info && equal == nil && c.stays(u, o) && ir.EqualOp(u, o) {
				equal = u
			}
		})
	}
	if equal == nil || !c.p.fire(mergeEqual, o) {
		c.seen[o.ID()>>6] |= 1 << (o.ID() & 63)
		return
	}
	for i, r := range o.Results() {
		if v := equal.Result(i); v.Name == "" {
			v.Name = r.Name
		}
		r.ReplaceAllUses(equal.Result(i))
	}
	o.Erase()
}

// stays reports whether an op stands before o in its block, and was not merged.
func (c *merger) stays(u, o *ir.Op) bool {
	return u != o && u.Block() == o.Block() && c.seen[u.ID()>>6]&(1<<(u.ID()&63)) != 0
}

// find looks an equal op up in the table.
func (c *merger) find(o *ir.Op, h uint64) *ir.Op {
	mask := uint64(len(c.slots) - 1)
	for at := h & mask; c.slots[at].at != 0; at = (at + 1) & mask {
		if c.slots[at].hash == uint32(h>>32) {
			if e := c.kept[c.slots[at].at-1]; ir.EqualOp(e, o) {
				return e
			}
		}
	}
	return nil
}

// add puts an op into the table, which grows fourfold when it is half full.
func (c *merger) add(o *ir.Op, h uint64) {
	if 2*(len(c.kept)+1) > len(c.slots) {
		c.slots = make([]cseSlot, 4*len(c.slots))
		for i, k := range c.hashes {
			c.insert(k, uint32(i+1))
		}
	}
	c.kept, c.hashes = append(c.kept, o), append(c.hashes, h)
	c.insert(h, uint32(len(c.kept)))
}

func (c *merger) insert(h uint64, at uint32) {
	mask := uint64(len(c.slots) - 1)
	i := h & mask
	for c.slots[i].at != 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = cseSlot{uint32(h >> 32), at}
}
