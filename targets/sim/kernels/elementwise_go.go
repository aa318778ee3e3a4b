package kernels

import "math"

// The definitions of the elementwise operations, which the other levels equal.

func binaryPortable(op BinaryOp, dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	switch op {
	case Add:
		for i, x := range a {
			dst[i] = canonical(x + b[i])
		}
	case Sub:
		for i, x := range a {
			dst[i] = canonical(x - b[i])
		}
	case Mul:
		for i, x := range a {
			dst[i] = canonical(x * b[i])
		}
	case Div:
		for i, x := range a {
			dst[i] = canonical(x / b[i])
		}
	case Max:
		for i, x := range a {
			dst[i] = canonical(max(x, b[i]))
		}
	case Min:
		for i, x := range a {
			dst[i] = canonical(min(x, b[i]))
		}
	case Pow:
		for i, x := range a {
			dst[i] = pow(x, b[i])
		}
	case Rem:
		for i, x := range a {
			dst[i] = rem(x, b[i])
		}
	}
}

func binaryScalarPortable(op BinaryOp, dst, a []float32, s float32, left bool) {
	a = a[:len(dst)]
	switch op {
	case Add:
		for i, x := range a {
			dst[i] = canonical(x + s)
		}
	case Sub:
		for i, x := range a {
			y := s
			if left {
				x, y = y, x
			}
			dst[i] = canonical(x - y)
		}
	case Mul:
		for i, x := range a {
			dst[i] = canonical(x * s)
		}
	case Div:
		for i, x := range a {
			y := s
			if left {
				x, y = y, x
			}
			dst[i] = canonical(x / y)
		}
	case Max:
		for i, x := range a {
			dst[i] = canonical(max(x, s))
		}
	case Min:
		for i, x := range a {
			dst[i] = canonical(min(x, s))
		}
	case Pow, Rem:
		f := pow
		if op == Rem {
			f = rem
		}
		for i, x := range a {
			y := s
			if left {
				x, y = y, x
			}
			dst[i] = f(x, y)
		}
	}
}

func unaryPortable(op UnaryOp, dst, a []float32) {
	switch op {
	case Neg:
		each(dst, a, neg)
	case Abs:
		each(dst, a, abs)
	case Sign:
		each(dst, a, sign)
	case Floor:
		each(dst, a, floor)
	case Ceil:
		each(dst, a, ceil)
	case Round:
		each(dst, a, round)
	case Sqrt:
		each(dst, a, sqrt)
	case Rsqrt:
		each(dst, a, rsqrt)
	case Reciprocal:
		each(dst, a, reciprocal)
	case Exp:
		each(dst, a, exp)
	case Log:
		each(dst, a, log)
	case Sin:
		each(dst, a, sin)
	case Cos:
		each(dst, a, cos)
	case Tanh:
		each(dst, a, tanh)
	case Sigmoid:
		each(dst, a, sigmoid)
	case Erf:
		each(dst, a, erf)
	case Atan:
		each(dst, a, atan)
	}
}

// each is inlined, and with it, where it can be, the function.
func each(dst, a []float32, f func(float32) float32) {
	a = a[:len(dst)]
	for i, x := range a {
		dst[i] = f(x)
	}
}

func neg(x float32) float32 { return math.Float32frombits(math.Float32bits(x) ^ 1<<31) }
func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func sign(x float32) float32 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return canonical(x)
}

func floor(x float32) float32 { return canonical(float32(math.Floor(float64(x)))) }
func ceil(x float32) float32  { return canonical(float32(math.Ceil(float64(x)))) }
func round(x float32) float32 { return canonical(float32(math.RoundToEven(float64(x)))) }

// A float64 root, rounded to float32, is the float32 root: 53 bits are more than
// twice 24 and two.
func sqrt(x float32) float32       { return canonical(float32(math.Sqrt(float64(x)))) }
func rsqrt(x float32) float32      { return canonical(float32(1 / math.Sqrt(float64(x)))) }
func reciprocal(x float32) float32 { return canonical(1 / x) }

// rem is exact: the remainder of two float32 is one.
func rem(x, y float32) float32 { return canonical(float32(math.Mod(float64(x), float64(y)))) }

func fmaPortable(dst, a, b, c []float32) {
	a, b, c = a[:len(dst)], b[:len(dst)], c[:len(dst)]
	for i, x := range a {
		dst[i] = canonical(fma(x, b[i], c[i]))
	}
}

func fmaScalarPortable(dst, a []float32, s float32, c []float32) {
	a, c = a[:len(dst)], c[:len(dst)]
	for i, x := range a {
		dst[i] = canonical(fma(x, s, c[i]))
	}
}
