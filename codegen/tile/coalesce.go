package tile

import "apogee/targets/plan"

// coalesce gives the tiles of one instruction as few axes as their strides allow: axes of one element go, and two neighbours become one where
// every tile steps through them evenly. Missing operands are left alone. With keep, the last axis stays as it is (it is the
// one that reductions and searches work along) and its sizes may differ between tiles.
func coalesce(keep bool, views ...*View) {
	var first *View
	var vs []*View
	for _, v := range views {
		if v.Valid() {
			if first == nil {
				first = v
			}
			vs = append(vs, v)
		}
	}
	if first == nil {
		return
	}
	n := len(first.Size)
	for _, v := range vs {
		if len(v.Size) != n {
			return // axes that differ in number are the instruction's business
		}
	}
	end := n
	if keep {
		end--
	}
	type axis struct {
		size   plan.Val
		stride []int64
	}
	var out []axis
	for i := 0; i < end; i++ {
		s := first.Size[i]
		if s.IsConst() && s.C == 1 {
			continue
		}
		a := axis{size: s}
		for _, v := range vs {
			a.stride = append(a.stride, v.Stride[i])
		}
		if len(out) > 0 && s.IsConst() {
			p := &out[len(out)-1]
			even := true
			for k := range vs {
				even = even && p.stride[k] == a.stride[k]*s.C
			}
			if even {
				p.size, p.stride = p.size.Scale(s.C), a.stride
				continue
			}
		}
		out = append(out, a)
	}
	if len(out) == 0 && !keep {
		a := axis{size: plan.C(1)}
		for _, v := range vs {
			a.stride = append(a.stride, v.Stride[max(n-1, 0)])
		}
		out = append(out, a)
	}
	for k, v := range vs {
		last, lastStride := v.Size[n-1], v.Stride[n-1]
		v.Size, v.Stride = nil, nil
		for _, a := range out {
			v.Size, v.Stride = append(v.Size, a.size), append(v.Stride, a.stride[k])
		}
		if keep {
			v.Size, v.Stride = append(v.Size, last), append(v.Stride, lastStride)
		}
	}
}
