package passes

import (
	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
	"apogee/passes/rewrite"
)

// movementRules are about ops that only move elements.
var movementRules = rewrite.Set{
	{
		Name: "RemoveIdentityMove", Doc: "A reshape, broadcast or transpose to the same shape in the same order, a slice of everything, a pad by nothing, a reverse of axes of one element and a concat of one go.",
		Roots: []*op.Info{op.Reshape, op.Broadcast, op.Transpose, op.Slice, op.Pad, op.Reverse, op.Concat},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			x := o.Arg(0)
			switch o.Info {
			case op.Transpose:
				if !isIdentityPerm(o.Attrs.Ints("perm")) {
					return false
				}
			case op.Slice:
				start, _ := o.Attrs.Dim("start")
				if !start.Equal(shape.Dim{}) || o.Attrs.Int("stride", 1) != 1 {
					return false
				}
			case op.Reverse:
				for _, a := range axes(o.Attrs.Ints("axes"), x.Type.Rank()) {
					if !x.Type.Shape[a].Equal(one) {
						return false
					}
				}
			case op.Concat:
				if o.NumArgs() != 1 {
					return false
				}
			}
			if !sameShape(x, o.Result(0)) {
				return false
			}
			r.Replace(o, x)
			return true
		},
	},
	{
		Name: "MergeReshapePair", Doc: "A reshape of a reshape is one reshape.", Roots: []*op.Info{op.Reshape},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Reshape) {
				return false
			}
			r.Replace(o, r.At(o).Reshape(d.Arg(0), o.Result(0).Type.Shape))
			return true
		},
	},
	{
		Name: "ReshapeRepeated", Doc: "One element repeated to a shape and then given another is repeated to that.", Roots: []*op.Info{op.Reshape},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Broadcast) || d.Arg(0).Type.Rank() != 0 {
				return false
			}
			r.Replace(o, r.At(o).Op(op.Broadcast, ir.A("shape", o.Result(0).Type.Shape), d.Arg(0)))
			return true
		},
	},
	{
		Name: "ShapeIota", Doc: "An iota along its only long axis that is given axes of one element is an iota of that shape.", Roots: []*op.Info{op.Reshape},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Iota) {
				return false
			}
			ax := axis(d.Attrs.Int("axis", 0), o.Arg(0).Type.Rank())
			at := -1
			for i, n := range o.Arg(0).Type.Shape {
				if i != ax && !n.Equal(one) {
					return false
				}
			}
			for i, n := range o.Result(0).Type.Shape {
				if n.Equal(o.Arg(0).Type.Shape[ax]) && at < 0 {
					at = i
				} else if !n.Equal(one) {
					return false
				}
			}
			if at < 0 {
				return false
			}
			r.Replace(o, r.At(o).Op(op.Iota, ir.A("format", o.Result(0).Type.Format, "shape", o.Result(0).Type.Shape, "axis", at)))
			return true
		},
	},
	{
		Name: "ShrinkSplat", Doc: "An elementwise op takes a scalar in place of a literal whose elements are all equal, if its other operands give the result its shape.",
		Roots: elementwiseOps(),
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if o.NumArgs() < 2 {
				return false
			}
			for i := 0; i < o.NumArgs(); i++ {
				a := o.Arg(i)
				if !isConst(a) || a.Type.Rank() == 0 {
					continue
				}
				var s shape.Shape
				ok := true
				for k := 0; k < o.NumArgs() && ok; k++ {
					if k != i {
						var err error
						s, err = shape.Broadcast(s, o.Arg(k).Type.Shape)
						ok = err == nil
					}
				}
				if !ok || !s.Equal(o.Result(0).Type.Shape) {
					continue
				}
				if t := splatOf(a.Def().Attrs.Tensor("value")); t != nil {
					r.SetArg(o, i, r.At(o).Op(op.Constant, ir.A("value", t)))
					return true
				}
			}
			return false
		},
	},
	{
		Name: "MergeTransposePair", Doc: "A transpose of a transpose is one transpose.", Roots: []*op.Info{op.Transpose},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Transpose) {
				return false
			}
			outer, inner := o.Attrs.Ints("perm"), d.Attrs.Ints("perm")
			perm := make([]int64, len(outer))
			for i, a := range outer {
				perm[i] = inner[a]
			}
			r.Replace(o, r.At(o).Op(op.Transpose, ir.A("perm", perm), d.Arg(0)))
			return true
		},
	},
	{
		Name: "MergeBroadcastPair", Doc: "A broadcast of a broadcast is one broadcast.", Roots: []*op.Info{op.Broadcast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Broadcast) {
				return false
			}
			r.Replace(o, r.At(o).Op(op.Broadcast, o.Attrs, d.Arg(0)))
			return true
		},
	},
	{
		Name: "MergeSlicePair", Doc: "A slice of a slice along the same axis, both with stride 1, is one slice.", Roots: []*op.Info{op.Slice},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Slice) || o.Attrs.Int("stride", 1) != 1 || d.Attrs.Int("stride", 1) != 1 {
				return false
			}
			rank := o.Arg(0).Type.Rank()
			ax := axis(o.Attrs.Int("axis", 0), rank)
			if ax != axis(d.Attrs.Int("axis", 0), rank) {
				return false
			}
			base, _ := d.Attrs.Dim("start")
			start, _ := o.Attrs.Dim("start")
			limit, _ := o.Attrs.Dim("limit")
			r.Replace(o, slice(r.At(o), d.Arg(0), ax, base.Add(start), base.Add(limit), 1))
			return true
		},
	},
	{
		Name: "RemoveImplicitBroadcast", Doc: "An elementwise op takes the operand of a broadcast itself if its other operands give the result its shape.",
		Roots: elementwiseOps(),
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if o.NumArgs() < 2 {
				return false
			}
			for i := 0; i < o.NumArgs(); i++ {
				d := o.Arg(i).Def()
				if d == nil || !d.Is(op.Broadcast) {
					continue
				}
				s := d.Arg(0).Type.Shape
				ok := true
				for k := 0; k < o.NumArgs() && ok; k++ {
					if k != i {
						var err error
						s, err = shape.Broadcast(s, o.Arg(k).Type.Shape)
						ok = err == nil
					}
				}
				if ok && s.Equal(o.Result(0).Type.Shape) {
					r.SetArg(o, i, d.Arg(0))
					return true
				}
			}
			return false
		},
	},
	{
		Name: "MoveBroadcastDown", Doc: "An elementwise op of one operand works on what is repeated before it is repeated.", Roots: elementwiseOps(),
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			if o.NumArgs() != 1 {
				return false
			}
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Broadcast) {
				return false
			}
			b := r.At(o)
			r.Replace(o, b.Op(op.Broadcast, d.Attrs, b.Op(o.Info, o.Attrs, d.Arg(0))))
			return true
		},
	},
	{
		Name: "MergeConcats", Doc: "A concat of what only it reads of a concat along the same axis is one concat.", Roots: []*op.Info{op.Concat},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			rank := o.Arg(0).Type.Rank()
			ax := axis(o.Attrs.Int("axis", 0), rank)
			var args []*ir.Value
			found := false
			for i := 0; i < o.NumArgs(); i++ {
				d := o.Arg(i).Def()
				if d != nil && d.Is(op.Concat) && o.Arg(i).NumUses() == 1 && axis(d.Attrs.Int("axis", 0), rank) == ax {
					args = append(args, d.Args()...)
					found = true
				} else {
					args = append(args, o.Arg(i))
				}
			}
			if !found {
				return false
			}
			r.Replace(o, r.At(o).Op(op.Concat, o.Attrs, args...))
			return true
		},
	},
	{
		Name: "MergeSlicesInConcat", Doc: "Neighbouring operands of a concat that are adjoining slices of one value along its axis are one slice.", Roots: []*op.Info{op.Concat},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			rank := o.Arg(0).Type.Rank()
			ax := axis(o.Attrs.Int("axis", 0), rank)
			part := func(v *ir.Value) *ir.Op {
				d := v.Def()
				if d != nil && d.Is(op.Slice) && d.Attrs.Int("stride", 1) == 1 && axis(d.Attrs.Int("axis", 0), rank) == ax {
					return d
				}
				return nil
			}
			for i := 0; i+1 < o.NumArgs(); i++ {
				a, b := part(o.Arg(i)), part(o.Arg(i+1))
				if a == nil || b == nil || a.Arg(0) != b.Arg(0) {
					continue
				}
				start, _ := a.Attrs.Dim("start")
				mid, _ := a.Attrs.Dim("limit")
				mid2, _ := b.Attrs.Dim("start")
				limit, _ := b.Attrs.Dim("limit")
				if !mid.Equal(mid2) {
					continue
				}
				bl := r.At(o)
				whole := slice(bl, a.Arg(0), ax, start, limit, 1)
				args := append(append(o.Args()[:i:i], whole), o.Args()[i+2:]...)
				r.Replace(o, bl.Op(op.Concat, o.Attrs, args...))
				return true
			}
			return false
		},
	},
	{
		Name: "MergeReversePair", Doc: "A reverse of a reverse along the same axes is nothing.", Roots: []*op.Info{op.Reverse},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Reverse) {
				return false
			}
			rank := o.Arg(0).Type.Rank()
			set := func(x *ir.Op) (m uint64) {
				for _, a := range axes(x.Attrs.Ints("axes"), rank) {
					m ^= 1 << (a & 63)
				}
				return m
			}
			if rank > 64 || set(o) != set(d) {
				return false
			}
			r.Replace(o, d.Arg(0))
			return true
		},
	},
	{
		Name: "SkipSliceOfConcat", Doc: "A slice that lies within one operand of a concat along its axis is a slice of that operand.", Roots: []*op.Info{op.Slice},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !d.Is(op.Concat) {
				return false
			}
			rank := o.Arg(0).Type.Rank()
			ax := axis(o.Attrs.Int("axis", 0), rank)
			if ax != axis(d.Attrs.Int("axis", 0), rank) {
				return false
			}
			sd, _ := o.Attrs.Dim("start")
			ld, _ := o.Attrs.Dim("limit")
			start, ok1 := sd.Value()
			limit, ok2 := ld.Value()
			if !ok1 || !ok2 {
				return false
			}
			at := int64(0)
			for i := 0; i < d.NumArgs(); i++ {
				n, ok := d.Arg(i).Type.Shape[ax].Value()
				if !ok {
					return false
				}
				if start >= at && limit <= at+n && (limit > start || n > 0) {
					r.Replace(o, slice(r.At(o), d.Arg(i), ax, shape.Const(start-at), shape.Const(limit-at), o.Attrs.Int("stride", 1)))
					return true
				}
				at += n
			}
			return false
		},
	},
}

// elementwiseOps are the ops of class elementwise.
func elementwiseOps() []*op.Info {
	var out []*op.Info
	for _, i := range op.All() {
		if i.Class == op.Elementwise {
			out = append(out, i)
		}
	}
	return out
}

// splatOf gives the scalar that all elements of a literal are, or nil.
func splatOf(t *tensor.Tensor) *tensor.Tensor {
	if t.Numel() == 0 || t.NumBytes() > 1<<16 || t.Format.Bits()%8 != 0 {
		return nil
	}
	b, err := t.Bytes()
	if err != nil {
		return nil
	}
	n := t.Format.Bits() / 8
	for i := n; i < len(b); i++ {
		if b[i] != b[i-n] {
			return nil
		}
	}
	x, err := tensor.FromBytes(t.Format, nil, append([]byte(nil), b[:n]...))
	if err != nil {
		return nil
	}
	return x
}
