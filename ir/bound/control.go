package bound

import (
	"math"

	"apogee/ir"
	"apogee/ir/eval"
)

// branch runs the branch that the condition takes. If the condition is not known for sure, the other branch may have run instead: results
// are then known only as far as both branches agree.
func (r *run) branch(o *ir.Op, args []*Value) ([]*Value, error) {
	taken, other := 0, 1
	if args[0].I[0] == 0 {
		taken, other = 1, 0
	}
	out, err := r.block(o.Regions[taken], args[1:])
	if err != nil || args[0].Err[0] == 0 {
		return out, err
	}
	alt, err := r.block(o.Regions[other], args[1:])
	if err != nil {
		return nil, err
	}
	for i, v := range out {
		both := &Value{v.Value, make([]float64, len(v.Err))}
		for k := range both.Err {
			both.Err[k] = max(v.Err[k], math.Abs(v.at(k)-alt[i].at(k))+alt[i].Err[k])
		}
		out[i] = both
	}
	return out, nil
}

// loop runs rounds as the reference does. Where it is not known for sure whether a round runs, what is carried is not known any more.
func (r *run) loop(o *ir.Op, args []*Value) ([]*Value, error) {
	trip, again := args[0].I[0], args[1]
	if d, ok := o.Attrs.Dim("limit"); ok {
		if n, err := d.Eval(r.Eval.Bind); err == nil {
			trip = min(trip, n)
		}
	}
	n := o.Carried()
	carried, fixed := append([]*Value(nil), args[2:2+n]...), args[2+n:]
	sure := args[0].Err[0] == 0
	for i := int64(0); i < trip && again.I[0] != 0; i++ {
		sure = sure && again.Err[0] == 0
		count := exact(&eval.Value{Format: args[0].Format, I: []int64{i}})
		res, err := r.block(o.Regions[0], append(append([]*Value{count}, carried...), fixed...))
		if err != nil {
			return nil, err
		}
		again, carried = res[0], res[1:]
	}
	if !sure || again.Err[0] != 0 {
		for i, v := range carried {
			v = &Value{v.Value, make([]float64, len(v.Err))}
			v.lose()
			carried[i] = v
		}
	}
	return carried, nil
}
