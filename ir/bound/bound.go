package bound

import (
	"context"
	"fmt"
	"math"

	"apogee/ir"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
)

// Arithmetic is how accurately somebody computes. The zero value is that of f32 as every chip has it: basic operations rounded once, to
// nearest even; sums in any order in f32; transcendental functions within Function units of the last place.
type Arithmetic struct {
	// Operand is the unit roundoff with which operands of products are rounded before they are multiplied, such as 2^-8 for bf16; 0 is none.
	Operand float64
	// Tiny is the smallest number of the operands' format: what is smaller may become zero, or it.
	Tiny float64
	// Sum is the unit roundoff of the accumulators of products; 0 is that of f32.
	Sum float64
	// Function is the error of transcendental functions in units of the last place of f32; 0 is 4.
	Function float64
	// Flush is the magnitude below which a result may be zero, since the chip flushes subnormals; 0 is none.
	Flush float64
	// Narrow says that values in formats narrower than f32 may have been kept in f32, or rounded to their format, from op to op.
	Narrow bool
}

// Value is what the reference gives and, for each element, how far from it another result may be: +Inf where it may be anything.
type Value struct {
	*eval.Value
	Err []float64
}

// exact makes a value without error.
func exact(v *eval.Value) *Value { return &Value{v, make([]float64, size(v))} }

func size(v *eval.Value) int { return max(len(v.F), len(v.I)) }

// at is element i as a real number.
func (v *Value) at(i int) float64 {
	switch {
	case v.F != nil:
		return v.F[i]
	case v.Format == format.U64:
		return float64(uint64(v.I[i]))
	}
	return float64(v.I[i])
}

// isExact says that no element has an error.
func (v *Value) isExact() bool {
	for _, e := range v.Err {
		if e != 0 {
			return false
		}
	}
	return true
}

// Check holds a result against the value. The error names the first element that is too far off.
func (v *Value) Check(got *tensor.Tensor) error {
	g, err := eval.FromTensor(got)
	if err != nil {
		return err
	}
	if got.Format != v.Format || fmt.Sprint(got.Shape) != fmt.Sprint(v.Shape) && size(v.Value) != 1 || size(g) != size(v.Value) {
		return fmt.Errorf("expected %s%v, found %s%v", v.Format, v.Shape, got.Format, got.Shape)
	}
	other := &Value{Value: g}
	bad, first := 0, -1
	for i, e := range v.Err {
		x, y := v.at(i), other.at(i)
		switch {
		case v.F == nil && e == 0: // all 64 bits
			if v.I[i] == g.I[i] {
				continue
			}
		case math.IsInf(e, 1), x == y, math.IsNaN(x) && math.IsNaN(y), math.Abs(x-y) <= e:
			continue
		}
		if bad++; first < 0 {
			first = i
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d elements are off, first element %d: %v instead of %v (±%.3g)", bad, len(v.Err), first, other.show(first), v.show(first), v.Err[first])
}

func (v *Value) show(i int) any {
	switch {
	case v.F != nil:
		return v.F[i]
	case v.Format == format.U64:
		return uint64(v.I[i])
	}
	return v.I[i]
}

// Runner runs functions whose dimensions are all concrete.
type Runner struct {
	Eval  *eval.Evaluator
	Arith Arithmetic
}

// Run runs a function. Arguments are for its parameters in order, states included; the results are its results and new states in order.
func (r *Runner) Run(ctx context.Context, f *ir.Func, args []*tensor.Tensor) ([]*Value, error) {
	if len(args) != len(f.Body.Params) {
		return nil, fmt.Errorf("%s takes %d arguments, found %d", f.Name, len(f.Body.Params), len(args))
	}
	vals := make([]*Value, len(args))
	for i, a := range args {
		v, err := eval.FromTensor(a)
		if err != nil {
			return nil, err
		}
		vals[i] = exact(v)
	}
	x := &run{Runner: r, ctx: ctx, vals: map[*ir.Value]*Value{}}
	if x.Arith.Sum == 0 {
		x.Arith.Sum = 0x1p-24
	}
	if x.Arith.Function == 0 {
		x.Arith.Function = 4
	}
	return x.block(f.Body, vals)
}

type run struct {
	*Runner
	ctx  context.Context
	vals map[*ir.Value]*Value
}

// block runs a block and gives the operands of its terminator.
func (r *run) block(b *ir.Block, args []*Value) ([]*Value, error) {
	for i, p := range b.Params {
		r.vals[p] = args[i]
	}
	for o := b.First(); o != nil; o = o.Next() {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		args := make([]*Value, o.NumArgs())
		for i := range args {
			args[i] = r.vals[o.Arg(i)]
		}
		if o.Info.Terminator {
			return args, nil
		}
		res, err := r.op(o, args)
		if err != nil {
			return nil, err
		}
		for i, v := range res {
			r.vals[o.Result(i)] = v
		}
	}
	return nil, fmt.Errorf("a block without terminator")
}

func (r *run) op(o *ir.Op, args []*Value) ([]*Value, error) {
	switch o.Info {
	case op.Kernel:
		return r.block(o.Regions[0], args)
	case op.If:
		return r.branch(o, args)
	case op.Loop:
		return r.loop(o, args)
	}
	plain := make([]*eval.Value, len(args))
	for i, a := range args {
		plain[i] = a.Value
	}
	res, err := r.Eval.Op(r.ctx, o, plain)
	if err != nil {
		return nil, err
	}
	out := make([]*Value, len(res))
	for i, v := range res {
		out[i] = exact(v)
	}
	rule := rules[o.Info]
	if rule == nil && o.Info.Class == op.Elementwise {
		rule = elementwise
	}
	if rule == nil {
		return nil, fmt.Errorf("there is no error bound for %s", o.Info.Name)
	}
	clean := true
	for _, a := range args {
		clean = clean && a.isExact()
	}
	if err := rule(r, o, args, out); err != nil {
		return nil, err
	}
	for _, v := range out {
		r.settle(v, clean)
	}
	return out, nil
}

// settle makes errors sound that arithmetic on infinities left undefined, and those of results beyond their format.
func (r *run) settle(v *Value, clean bool) {
	most := v.Format.Info().MaxFinite
	for i, e := range v.Err {
		y := v.at(i)
		switch {
		case math.IsNaN(e) || e > 0 && (math.IsNaN(y) || math.IsInf(y, 0)):
			e = math.Inf(1)
			if clean && v.F != nil && (math.IsNaN(y) || math.IsInf(y, 0)) {
				e = 0
			}
		case e > 0 && v.F != nil && math.Abs(y)+e > most:
			e = math.Inf(1)
		case e > 0 && v.F == nil && v.Format != format.Bool && (y+e > v.Format.Info().MaxFinite || y-e < float64(v.Format.MinInt())):
			e = math.Inf(1)
		}
		if v.F != nil && r.Arith.Flush > 0 && !math.IsInf(e, 1) && math.Abs(y)-e < r.Arith.Flush {
			e += r.Arith.Flush
		}
		v.Err[i] = e
	}
}

// ulp is the distance of the numbers of a format around x.
func ulp(f format.Format, x float64) float64 {
	in := f.Info()
	if x = math.Abs(x); !(x >= in.MinNormal) {
		x = in.MinNormal
	}
	if math.IsInf(x, 0) {
		return 0
	}
	_, e := math.Frexp(x)
	bits := in.ManBits
	if far := max(e-1, 1-e); f == format.HIF8 { // fewer bits far from 1
		switch {
		case far >= 8:
			bits = 1
		case far >= 4:
			bits = 2
		}
	}
	return math.Ldexp(1, e-1-bits)
}

// working is the format in which results of a format are computed.
func working(f format.Format) format.Format {
	if f == format.F64 {
		return f
	}
	return format.F32
}

// rounded adds what rounding to a value's format does to errors that come in: a result near a tie may go the other way.
func (r *run) rounded(v *Value) {
	if v.F == nil {
		return
	}
	for i, e := range v.Err {
		if e > 0 || r.Arith.Narrow && v.Format.Info().ManBits < 23 && v.Format != format.F8E8M0 { // nobody computes in f8e8m0
			v.Err[i] = e + ulp(v.Format, math.Abs(v.F[i])+min(e, v.Format.Info().MaxFinite))
		}
	}
}
