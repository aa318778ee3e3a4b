package eval

import (
	"fmt"

	"apogee/ir"
)

// region runs a region of an op with the given parameters and returns what it yields.
func (r *run) region(b *ir.Block, params []*Value) ([]*Value, error) {
	for i, p := range b.Params {
		r.vals[p] = params[i]
	}
	return r.block(b)
}

func ifOp(r *run, o *ir.Op, a []*Value, _ [][]int64) ([]*Value, error) {
	if a[0].I[0] != 0 {
		return r.region(o.Regions[0], a[1:])
	}
	return r.region(o.Regions[1], a[1:])
}

func loop(r *run, o *ir.Op, a []*Value, _ [][]int64) ([]*Value, error) {
	trip, again, n := a[0].I[0], a[1].I[0], o.Carried()
	if d, ok := o.Attrs.Dim("limit"); ok {
		limit, err := d.Eval(r.env)
		if err != nil {
			return nil, fmt.Errorf("limit: %w", err)
		}
		trip = min(trip, limit)
	}
	params := append([]*Value(nil), a[1:]...)
	for i := int64(0); i < trip && again != 0; i++ {
		params[0] = &Value{Format: a[0].Format, Shape: a[0].Shape, I: []int64{i}}
		out, err := r.region(o.Regions[0], params)
		if err != nil {
			return nil, err
		}
		again = out[0].I[0]
		copy(params[1:], out[1:])
	}
	return params[1 : 1+n], nil
}
