package eval

import (
	"math"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
)

func elementwise(o *ir.Op, args []*Value, shape []int64) (*Value, error) {
	f := o.Result(0).Type.Format
	switch o.Info {
	case op.Cast:
		return Cast(args[0], f, o.Attrs.Bool("saturate", false)), nil
	case op.Bitcast:
		return bitcast(args[0], f), nil
	}
	out := newValue(f, shape)
	st := make([][]int64, len(args))
	for i, a := range args {
		st[i] = broadcastStrides(a.Shape, shape)
	}
	real := f.IsFloat()
	for _, a := range args {
		real = real || a.F != nil
	}
	if real {
		x := make([]float64, len(args))
		walk(shape, st, func(i int64, off []int64) {
			for k, a := range args {
				if a.F != nil {
					x[k] = a.F[off[k]]
				} else {
					x[k] = float64(a.I[off[k]])
				}
			}
			y := o.Info.Real(x)
			if f.IsFloat() {
				out.F[i] = round(f, y)
			} else {
				out.I[i] = int64(y)
			}
		})
		return out, nil
	}
	x := make([]int64, len(args))
	width := uint64(0)
	in := args[0].Format
	if o.Info == op.Shl || o.Info == op.Shr {
		width = uint64(in.Bits())
	}
	walk(shape, st, func(i int64, off []int64) {
		for k, a := range args {
			x[k] = a.I[off[k]]
		}
		if width > 0 && uint64(x[1]) >= width {
			if o.Info == op.Shl || x[0] >= 0 || !in.IsSigned() {
				out.I[i] = 0
			} else {
				out.I[i] = -1
			}
			return
		}
		if !in.IsSigned() && in.Bits() == 64 {
			out.I[i] = wrap(f, unsigned(o.Info, x))
			return
		}
		out.I[i] = wrap(f, o.Info.Integer(x))
	})
	return out, nil
}

// unsigned corrects the ops in which 64 unsigned bits differ from 64 signed ones.
func unsigned(i *op.Info, x []int64) int64 {
	b := func(c bool) int64 {
		if c {
			return 1
		}
		return 0
	}
	switch i {
	case op.Abs:
		return x[0]
	case op.Sign:
		return b(x[0] != 0)
	case op.Pow:
		r, a := int64(1), x[0]
		for n := uint64(x[1]); n > 0; n >>= 1 {
			if n&1 != 0 {
				r *= a
			}
			a *= a
		}
		return r
	}
	if len(x) == 2 {
		u, v := uint64(x[0]), uint64(x[1])
		switch i {
		case op.Div:
			if v == 0 {
				return 0
			}
			return int64(u / v)
		case op.Rem:
			if v == 0 {
				return 0
			}
			return int64(u % v)
		case op.Max:
			return int64(max(u, v))
		case op.Min:
			return int64(min(u, v))
		case op.Shr:
			return int64(u >> v)
		case op.Lt:
			return b(u < v)
		case op.Le:
			return b(u <= v)
		case op.Gt:
			return b(u > v)
		case op.Ge:
			return b(u >= v)
		}
	}
	return i.Integer(x)
}

// Cast converts a value as the op table says of cast.
func Cast(x *Value, f format.Format, saturate bool) *Value {
	out := newValue(f, x.Shape)
	mode := f.DefaultMode()
	mode.Saturate = mode.Saturate || saturate
	switch {
	case f.IsFloat() && x.F != nil:
		for i, v := range x.F {
			if saturate || f.Bits() < 32 {
				out.F[i] = f.RoundMode(v, mode)
			} else {
				out.F[i] = round(f, v)
			}
		}
	case f.IsFloat():
		for i, v := range x.I {
			y := float64(v)
			if !x.Format.IsSigned() && x.Format.Bits() == 64 {
				y = float64(uint64(v))
			}
			out.F[i] = f.RoundMode(y, mode)
		}
	case f == format.Bool && x.F != nil:
		for i, v := range x.F {
			if v != 0 {
				out.I[i] = 1
			}
		}
	case f == format.Bool:
		for i, v := range x.I {
			if v != 0 {
				out.I[i] = 1
			}
		}
	case x.F != nil:
		for i, v := range x.F {
			out.I[i] = toInt(f, v)
		}
	default:
		for i, v := range x.I {
			out.I[i] = wrap(f, v)
		}
	}
	return out
}

// toInt truncates toward zero and saturates; NaN gives 0.
func toInt(f format.Format, x float64) int64 {
	if math.IsNaN(x) {
		return 0
	}
	x = math.Trunc(x)
	if !f.IsSigned() {
		if x <= 0 {
			return 0
		}
		if x >= math.Ldexp(1, f.Bits()) {
			return int64(f.MaxUint())
		}
		return int64(uint64(x))
	}
	if x <= float64(f.MinInt()) {
		return f.MinInt()
	}
	if x >= float64(f.MaxInt()) {
		return f.MaxInt()
	}
	return int64(x)
}

func bitcast(x *Value, f format.Format) *Value {
	out := newValue(f, x.Shape)
	bits := func(i int) uint64 {
		if x.F != nil {
			return x.Format.Encode(x.F[i])
		}
		return x.Format.EncodeInt(x.I[i])
	}
	for i := range numel(x.Shape) {
		if f.IsFloat() {
			out.F[i] = f.Decode(bits(int(i)))
		} else {
			out.I[i] = f.DecodeInt(bits(int(i)))
		}
	}
	return out
}
