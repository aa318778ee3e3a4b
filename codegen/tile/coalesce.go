package tile

import "apogee/targets/plan"

// coalesce gives the tiles of one instruction as few axes as their strides allow: axes of one element go, and two neighbours become one where
// every tile steps through them evenly. Missing operands are left alone. With keep, the last axis stays as it is (it is the
// one that reductions and searches work along) and its sizes may differ between tiles.
func (k *K) coalesce(keep bool, views ...*View) {
	var vs []*View
	for _, v := range views {
		if v.Valid() {
			vs = append(vs, v)
		}
	}
	n := len(vs[0].Size)
	for _, v := range vs {
		if len(v.Size) != n {
			k.Fail("%stiles of %d and %d axes in one instruction", k.what(), n, len(v.Size))
			return
		}
	}
	end := n
	if keep {
		end--
	} else if n == 0 { // a scalar is a row of one
		for _, v := range vs {
			v.Size, v.Stride = Consts(1), []int64{int64(v.Format.Bits()+7) / 8}
		}
		return
	}
	type axis struct {
		size   plan.Val
		stride []int64
	}
	var out []axis
	bits := false // a sub-byte row keeps its axis: its stride says nothing
	for _, v := range vs {
		bits = bits || v.Format.Bits() < 8
	}
	for i := 0; i < end; i++ {
		s := vs[0].Size[i]
		if s.IsConst() && s.C == 1 && !(bits && i == n-1) {
			continue
		}
		a := axis{size: s}
		for _, v := range vs {
			a.stride = append(a.stride, v.Stride[i])
		}
		if len(out) > 0 && s.IsConst() && !(bits && i == n-1) {
			p := &out[len(out)-1]
			even := true
			for j := range vs {
				even = even && p.stride[j] == a.stride[j]*s.C
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
			a.stride = append(a.stride, int64(v.Format.Bits()+7)/8)
		}
		out = append(out, a)
	}
	for j, v := range vs {
		var last plan.Val
		var lastStride int64
		if keep {
			last, lastStride = v.Size[n-1], v.Stride[n-1]
		}
		v.Size, v.Stride = nil, nil
		for _, a := range out {
			v.Size, v.Stride = append(v.Size, a.size), append(v.Stride, a.stride[j])
		}
		if keep {
			v.Size, v.Stride = append(v.Size, last), append(v.Stride, lastStride)
		}
	}
}

// coalesceRows is coalesce for tiles whose first axis is a list of rows: it stays.
func (k *K) coalesceRows(dst, src *View) {
	rows := [2]View{*dst, *src}
	cut := func(v View) View {
		v.Size, v.Stride = v.Size[1:], v.Stride[1:]
		if len(v.Size) == 0 {
			v.Size, v.Stride = Consts(1), []int64{int64(v.Format.Bits()+7) / 8}
		}
		return v
	}
	d, s := cut(*dst), cut(*src)
	k.coalesce(false, &d, &s)
	for i, p := range [...]*View{&d, &s} {
		r := rows[i]
		r.Size = append([]plan.Val{r.Size[0]}, p.Size...)
		r.Stride = append([]int64{r.Stride[0]}, p.Stride...)
		rows[i] = r
	}
	*dst, *src = rows[0], rows[1]
}

// spread cuts a long row of an elementwise instruction in as many rows as the vector engine has units, which work on
// rows side by side.
func (k *K) spread(views ...*View) {
	units := k.T.units
	d := views[0]
	if units < 2 || len(d.Size) != 1 || !d.Size[0].IsConst() || d.Size[0].C%units != 0 || d.Size[0].C < 16*units {
		return
	}
	n := d.Size[0].C / units
	for _, v := range views {
		if v.Valid() && v.Format.Bits() < 8 {
			return
		}
	}
	for _, v := range views {
		if v.Valid() {
			v.Size, v.Stride = Consts(units, n), []int64{v.Stride[0] * n, v.Stride[0]}
		}
	}
}
