package passes

import (
	"context"
	"fmt"

	"apogee/ir"
	"apogee/ir/op"
)

// Unfuse cuts a kernel of a function that fuse has been over, and those that are equal to it, in kernels of at most half as many ops
// each: what to do where the code generator finds no room for one. It reports false, and changes nothing, if the kernel
// has a single op that computes. opt is that of [Run].
func Unfuse(ctx context.Context, m *ir.Module, k *ir.Op, opt Options) (bool, error) {
	n := 0
	for o := k.Regions[0].First(); o != nil; o = o.Next() {
		if !free(o) && !buffer(o) && !o.Is(op.Yield) {
			n++
		}
	}
	if n < 2 {
		return false, nil
	}
	body, hash, kind := k.Block(), k.Regions[0].Hash(), k.Attrs.Str("kind", "")
	for o := body.First(); o != nil; {
		next := o.Next()
		if o.Is(op.Kernel) && o.Attrs.Str("kind", "") == kind && o.Regions[0].Hash() == hash {
			inline(o)
		}
		o = next
	}
	_, err := Run(ctx, m, fmt.Sprintf("fuse{max=%d}", n/2), opt)
	return true, err
}

// inline puts a kernel's ops in its place.
func inline(k *ir.Op) {
	g := k.Regions[0]
	for i, p := range g.Params {
		p.ReplaceAllUses(k.Arg(i))
	}
	y := g.Last()
	for i := 0; i < y.NumArgs(); i++ {
		r := k.Result(i)
		if v := y.Arg(i); v.Name == "" {
			v.Name = r.Name
		}
		r.ReplaceAllUses(y.Arg(i))
	}
	y.Erase()
	for o := g.First(); o != nil; {
		next := o.Next()
		o.MoveBefore(k)
		o = next
	}
	k.Erase()
}
