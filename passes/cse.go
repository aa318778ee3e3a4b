package passes

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
	"apogee/ir/tensor"
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

// cse costs one hash and mostly one comparison an op. The table is open-addressed over the ops of a block; it holds no pointers, so that
// the collector does not walk it, and costs some 24 bytes an op.
func cse(p *Pass) error {
	for _, f := range p.Module.Funcs {
		cseBlock(p, f.Body)
	}
	return nil
}

// cseSlot is an op that stays: half of its hash, and its place in the list of those plus one; 0 is free.
type cseSlot struct{ hash, at uint32 }

func cseBlock(p *Pass, b *ir.Block) {
	size := 16
	for size < b.Len()*2 {
		size *= 2
	}
	slots := make([]cseSlot, size)
	mask := uint64(size - 1)
	kept := make([]*ir.Op, 0, b.Len())
	for o := b.First(); o != nil; {
		next := o.Next()
		for _, r := range o.Regions {
			cseBlock(p, r)
		}
		if o.Info.Terminator || len(o.Regions) > 0 {
			o = next
			continue
		}
		h := hashOp(o)
		half := uint32(h >> 32)
		at := h & mask
		var equal *ir.Op
		for ; slots[at].at != 0; at = (at + 1) & mask {
			if slots[at].hash == half {
				if e := kept[slots[at].at-1]; equalOps(e, o) {
					equal = e
					break
				}
			}
		}
		switch {
		case equal == nil:
			kept = append(kept, o)
			slots[at] = cseSlot{half, uint32(len(kept))}
		case p.fire(mergeEqual, o):
			for i, r := range o.Results() {
				if v := equal.Result(i); v.Name == "" {
					v.Name = r.Name
				}
				r.ReplaceAllUses(equal.Result(i))
			}
			o.Erase()
		}
		o = next
	}
}

// mix folds a number into a hash (the multiply-xorshift step of Steele et al.'s SplitMix64, OOPSLA 2014).
func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0xbf58476d1ce4e5b9
	return h ^ h>>29
}

func hashOp(o *ir.Op) uint64 {
	h := uint64(o.Info.ID) + 1
	n := o.NumArgs()
	if n == 2 && o.Info.Commutative {
		a, b := uint64(o.Arg(0).ID()), uint64(o.Arg(1).ID())
		h = mix(mix(h, min(a, b)), max(a, b))
	} else {
		for i := 0; i < n; i++ {
			h = mix(h, uint64(o.Arg(i).ID()))
		}
	}
	for i := range o.Attrs {
		h = mix(h, hashAttr(o.Attrs[i].Value))
	}
	for _, r := range o.Results() {
		h = mix(h, uint64(r.Type.Format))
		if o.Info.Declared {
			h = mix(h, uint64(len(r.Type.Shape)))
		}
	}
	return h
}

func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func hashDim(d shape.Dim) uint64 {
	if n, ok := d.Value(); ok {
		return uint64(n)
	}
	return hashString(d.String())
}

func hashAttr(v any) uint64 {
	switch v := v.(type) {
	case int64:
		return uint64(v)
	case float64:
		return math.Float64bits(v)
	case string:
		return hashString(v)
	case bool:
		if v {
			return 1
		}
		return 2
	case format.Format:
		return uint64(v)
	case shape.Dim:
		return hashDim(v)
	case shape.Shape:
		h := uint64(len(v))
		for _, d := range v {
			h = mix(h, hashDim(d))
		}
		return h
	case []int64:
		h := uint64(len(v))
		for _, n := range v {
			h = mix(h, uint64(n))
		}
		return h
	case []string:
		h := uint64(len(v))
		for _, s := range v {
			h = mix(h, hashString(s))
		}
		return h
	case *tensor.Tensor:
		h := mix(uint64(v.Format), uint64(v.Numel()))
		if v.NumBytes() <= 64 {
			if b, err := v.Bytes(); err == nil {
				for _, c := range b {
					h = mix(h, uint64(c))
				}
			}
		} else if s, err := v.Hash(); err == nil {
			for i := 0; i < 8; i++ {
				h = h<<8 ^ uint64(s[i])
			}
		}
		return h
	}
	return 0
}

func equalOps(a, b *ir.Op) bool {
	if a.Info != b.Info || a.NumArgs() != b.NumArgs() || len(a.Attrs) != len(b.Attrs) {
		return false
	}
	same := true
	for i := 0; i < a.NumArgs() && same; i++ {
		same = a.Arg(i) == b.Arg(i)
	}
	if !same && !(a.Info.Commutative && a.NumArgs() == 2 && a.Arg(0) == b.Arg(1) && a.Arg(1) == b.Arg(0)) {
		return false
	}
	for i := range a.Attrs {
		if a.Attrs[i].Name != b.Attrs[i].Name || !equalAttr(a.Attrs[i].Value, b.Attrs[i].Value) {
			return false
		}
	}
	for i, r := range a.Results() {
		if !r.Type.Equal(b.Result(i).Type) {
			return false
		}
	}
	return true
}

func equalAttr(a, b any) bool {
	switch x := a.(type) {
	case shape.Shape:
		y, ok := b.(shape.Shape)
		return ok && x.Equal(y)
	case []int64:
		y, ok := b.([]int64)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i] != y[i] {
				return false
			}
		}
		return true
	case []string:
		y, ok := b.([]string)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i] != y[i] {
				return false
			}
		}
		return true
	case float64:
		y, ok := b.(float64)
		return ok && math.Float64bits(x) == math.Float64bits(y)
	case *tensor.Tensor:
		y, ok := b.(*tensor.Tensor)
		if !ok {
			return false
		}
		if x == y {
			return true
		}
		e, err := x.Equal(y)
		return err == nil && e
	}
	return a == b
}
