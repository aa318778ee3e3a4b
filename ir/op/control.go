package op

import (
	"fmt"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// Ops whose regions run or do not run, or run more than once, as data decides. A region sees its parameters alone.
var (
	If = &Info{
		Name: "if", Class: Structural, Regions: 2, Results: []string{"results"},
		Doc: "What the first region yields if `cond` is true, else what the second yields; only that one runs. " +
			"Both regions take the operands behind `cond` and yield values of the same types.",
		Operands: []Operand{
			{Name: "cond", Doc: "bool scalar"},
			{Name: "args", Optional: true, Variadic: true, Doc: "what the regions read"},
		},
		Infer: func(in Input) ([]Type, error) {
			if c := in.Args[0]; !isScalar(c, format.Bool) {
				return nil, fmt.Errorf("if: the condition is bool[], found %s", c)
			}
			for i, r := range in.Regions {
				if err := sameTypes(fmt.Sprintf("parameters of region %d of if", i+1), r.Params, in.Args[1:]); err != nil {
					return nil, err
				}
			}
			if err := sameTypes("values that the second region of if yields", in.Regions[1].Results, in.Regions[0].Results); err != nil {
				return nil, err
			}
			return in.Regions[0].Results, nil
		},
		Example: "%y = if(%c, %x) {…} {…} : f32[B,D]",
	}
	Loop = &Info{
		Name: "loop", Class: Structural, Regions: 1, Results: []string{"results"},
		Doc: "Runs its region round after round while less than `trip` rounds are done and the condition holds: `cond` before the first round, then what the last round yielded. " +
			"The region's parameters are the round's number from 0 on, in `trip`'s format, then one for each of `values`; it yields the condition, then the next of each *carried* value. " +
			"Carried are the first of `values`, as many as the region yields beside the condition; the others are the same in every round. " +
			"The results are the carried values after the last round: the operands themselves when there is no round. " +
			"With `limit`, there are never more rounds than that.",
		Operands: []Operand{
			{Name: "trip", Doc: "i32 or i64 scalar"},
			{Name: "cond", Doc: "bool scalar"},
			{Name: "values", Optional: true, Variadic: true, Doc: "the carried values, then what every round reads"},
		},
		Attrs: []AttrSpec{{Name: "limit", Kind: Dim, Doc: "the most rounds, whatever the data; it is also what a timed run takes where data decides"}},
		Infer: func(in Input) ([]Type, error) {
			trip, cond, values, r := in.Args[0], in.Args[1], in.Args[2:], in.Regions[0]
			if !isScalar(trip, format.I32) && !isScalar(trip, format.I64) {
				return nil, fmt.Errorf("loop: the trip count is i32[] or i64[], found %s", trip)
			}
			if !isScalar(cond, format.Bool) {
				return nil, fmt.Errorf("loop: the condition is bool[], found %s", cond)
			}
			if d, ok := in.Attrs.Dim("limit"); ok {
				if n, ok := d.Value(); ok && n < 0 {
					return nil, fmt.Errorf("loop: the limit is %d rounds", n)
				}
			}
			if err := sameTypes("parameters of the loop's region", r.Params, append([]Type{trip}, values...)); err != nil {
				return nil, err
			}
			if len(r.Results) == 0 || !isScalar(r.Results[0], format.Bool) {
				return nil, fmt.Errorf("loop: the region yields whether to go on, bool[], then the carried values")
			}
			carried := r.Results[1:]
			if len(carried) > len(values) {
				return nil, fmt.Errorf("loop: the region yields %d carried values, but the loop is given %d values", len(carried), len(values))
			}
			if err := sameTypes("carried values that the loop's region yields", carried, values[:len(carried)]); err != nil {
				return nil, err
			}
			return carried, nil
		},
		Example: "%y = loop(%n, %go, %x, %w) {limit=16} {…} : f32[B,D]",
	}
)

func isScalar(t Type, f format.Format) bool { return t.Equal(Type{Format: f, Shape: shape.Shape{}}) }

// sameTypes says where two lists of types differ.
func sameTypes(what string, found, expected []Type) error {
	if len(found) != len(expected) {
		return fmt.Errorf("%s: expected %d, found %d", what, len(expected), len(found))
	}
	for i := range found {
		if !found[i].Equal(expected[i]) {
			return fmt.Errorf("%s: number %d is %s, expected %s", what, i+1, found[i], expected[i])
		}
	}
	return nil
}
