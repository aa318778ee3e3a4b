package op

import (
	"fmt"
	"math"

	"apogee/ir/format"
	"apogee/ir/shape"
)

// domain says which element formats an elementwise op takes.
type domain uint8

const (
	floats domain = 1 << iota
	ints
	bools
)

func (d domain) has(f format.Format) bool {
	return d&floats != 0 && f.IsFloat() || d&ints != 0 && f.IsInt() || d&bools != 0 && f == format.Bool
}

func (d domain) String() string {
	s := ""
	for _, x := range []struct {
		d domain
		n string
	}{{floats, "float"}, {ints, "integer"}, {bools, "bool"}} {
		if d&x.d != 0 {
			if s != "" {
				s += " or "
			}
			s += x.n
		}
	}
	return s
}

func inferUnary(name string, d domain) func(Input) ([]Type, error) {
	return func(in Input) ([]Type, error) {
		if !d.has(in.Args[0].Format) {
			return nil, fmt.Errorf("%s takes a %s tensor, found %s", name, d, in.Args[0])
		}
		return in.Args[:1:1], nil
	}
}

func inferBinary(name string, d domain, toBool bool) func(Input) ([]Type, error) {
	return func(in Input) ([]Type, error) {
		a, b := in.Args[0], in.Args[1]
		if a.Format != b.Format {
			return nil, fmt.Errorf("%s takes two tensors of one format, found %s and %s: cast one of them", name, a, b)
		}
		if !d.has(a.Format) {
			return nil, fmt.Errorf("%s takes %s tensors, found %s", name, d, a)
		}
		s, err := broadcast(name, a, b)
		if err != nil {
			return nil, err
		}
		t := Type{a.Format, s}
		if toBool {
			t.Format = format.Bool
		}
		return []Type{t}, nil
	}
}

// broadcast applies NumPy's rule without allocating in the common case of equal shapes.
func broadcast(name string, a, b Type) (shape.Shape, error) {
	if len(b.Shape) == 0 || a.Shape.Equal(b.Shape) {
		return a.Shape, nil
	}
	if len(a.Shape) == 0 {
		return b.Shape, nil
	}
	s, err := shape.Broadcast(a.Shape, b.Shape)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

func unary(name, doc string, d domain, real func(float64) float64, integer func(int64) int64) *Info {
	i := &Info{
		Name: name, Class: Elementwise, Doc: doc, Results: []string{"y"},
		Operands: []Operand{{Name: "x", Doc: d.String() + " tensor of any shape"}},
		Infer:    inferUnary(name, d),
		Example:  "%y = " + name + "(%x) : f32[B,D]",
	}
	if real != nil {
		i.Real = func(x []float64) float64 { return real(x[0]) }
	}
	if integer != nil {
		i.Integer = func(x []int64) int64 { return integer(x[0]) }
	}
	return i
}

func binary(name, doc string, d domain, commutative, toBool bool, real func(a, b float64) float64, integer func(a, b int64) int64) *Info {
	i := &Info{
		Name: name, Class: Elementwise, Doc: doc, Results: []string{"y"}, Commutative: commutative,
		Operands: []Operand{
			{Name: "a", Doc: d.String() + " tensor"},
			{Name: "b", Doc: "of the same format; shapes broadcast by NumPy's rule"},
		},
		Infer:   inferBinary(name, d, toBool),
		Example: "%y = " + name + "(%a, %b) : " + map[bool]string{false: "f32", true: "bool"}[toBool] + "[B,D]",
	}
	if real != nil {
		i.Real = func(x []float64) float64 { return real(x[0], x[1]) }
	}
	if integer != nil {
		i.Integer = func(x []int64) int64 { return integer(x[0], x[1]) }
	}
	return i
}

func compare(name, doc string, d domain, commutative bool, real func(a, b float64) bool, integer func(a, b int64) bool) *Info {
	return binary(name, doc, d, commutative, true,
		func(a, b float64) float64 { return b2f(real(a, b)) },
		func(a, b int64) int64 { return int64(b2f(integer(a, b))) })
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Elementwise ops of one operand.
var (
	Neg        = unary("neg", "`-x`.", floats|ints, func(x float64) float64 { return -x }, func(x int64) int64 { return -x })
	Abs        = unary("abs", "`|x|`.", floats|ints, math.Abs, func(x int64) int64 { return max(x, -x) })
	Sign       = unary("sign", "-1, 0 or 1; NaN stays NaN.", floats|ints, sign, func(x int64) int64 { return int64(sign(float64(x))) })
	Exp        = unary("exp", "e to the power x.", floats, math.Exp, nil)
	Log        = unary("log", "Natural logarithm; NaN below zero, -inf at zero.", floats, math.Log, nil)
	Sqrt       = unary("sqrt", "Square root; NaN below zero.", floats, math.Sqrt, nil)
	Rsqrt      = unary("rsqrt", "`1/sqrt(x)`.", floats, func(x float64) float64 { return 1 / math.Sqrt(x) }, nil)
	Reciprocal = unary("reciprocal", "`1/x`.", floats, func(x float64) float64 { return 1 / x }, nil)
	Sin        = unary("sin", "Sine of x in radians.", floats, math.Sin, nil)
	Cos        = unary("cos", "Cosine of x in radians.", floats, math.Cos, nil)
	Tanh       = unary("tanh", "Hyperbolic tangent.", floats, math.Tanh, nil)
	Sigmoid    = unary("sigmoid", "`1/(1+exp(-x))`.", floats, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, nil)
	Erf        = unary("erf", "Gauss error function.", floats, math.Erf, nil)
	Atan       = unary("atan", "Inverse tangent, in -π/2…π/2.", floats, math.Atan, nil)
	Floor      = unary("floor", "Largest integer not above x.", floats, math.Floor, nil)
	Ceil       = unary("ceil", "Smallest integer not below x.", floats, math.Ceil, nil)
	Round      = unary("round", "Nearest integer, ties to even.", floats, math.RoundToEven, nil)
	Not        = unary("not", "Logical not of a bool; bitwise complement of an integer.", ints|bools, nil, func(x int64) int64 { return ^x })
)

// Elementwise ops of two operands.
var (
	Add = binary("add", "`a + b`; integers wrap.", floats|ints, true, false, func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b })
	Sub = binary("sub", "`a - b`; integers wrap.", floats|ints, false, false, func(a, b float64) float64 { return a - b }, func(a, b int64) int64 { return a - b })
	Mul = binary("mul", "`a * b`; integers wrap.", floats|ints, true, false, func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b })
	Div = binary("div", "`a / b`; integers truncate toward zero, and division by zero gives 0.", floats|ints, false, false, func(a, b float64) float64 { return a / b }, idiv)
	Rem = binary("rem", "Remainder with the sign of a (C's fmod and %); an integer remainder by zero is 0.", floats|ints, false, false, math.Mod, irem)
	Pow = binary("pow", "a to the power b.", floats|ints, false, false, math.Pow, ipow)
	Max = binary("max", "The larger; NaN if either is NaN.", floats|ints, true, false, nanMax, func(a, b int64) int64 { return max(a, b) })
	Min = binary("min", "The smaller; NaN if either is NaN.", floats|ints, true, false, func(a, b float64) float64 { return -nanMax(-a, -b) }, func(a, b int64) int64 { return min(a, b) })

	And = binary("and", "Logical and of bools; bitwise and of integers.", ints|bools, true, false, nil, func(a, b int64) int64 { return a & b })
	Or  = binary("or", "Logical or of bools; bitwise or of integers.", ints|bools, true, false, nil, func(a, b int64) int64 { return a | b })
	Xor = binary("xor", "Logical or bitwise exclusive or.", ints|bools, true, false, nil, func(a, b int64) int64 { return a ^ b })
	Shl = binary("shl", "Shift left by b bits; b is taken as unsigned, and a shift by the width or more gives 0.", ints, false, false, nil, func(a, b int64) int64 { return a << uint64(b) })
	Shr = binary("shr", "Shift right by b bits; arithmetic for signed formats.", ints, false, false, nil, func(a, b int64) int64 { return a >> uint64(b) })

	Eq = compare("eq", "`a == b`.", floats|ints|bools, true, func(a, b float64) bool { return a == b }, func(a, b int64) bool { return a == b })
	Ne = compare("ne", "`a != b`; true if either is NaN.", floats|ints|bools, true, func(a, b float64) bool { return a != b }, func(a, b int64) bool { return a != b })
	Lt = compare("lt", "`a < b`.", floats|ints, false, func(a, b float64) bool { return a < b }, func(a, b int64) bool { return a < b })
	Le = compare("le", "`a <= b`.", floats|ints, false, func(a, b float64) bool { return a <= b }, func(a, b int64) bool { return a <= b })
	Gt = compare("gt", "`a > b`.", floats|ints, false, func(a, b float64) bool { return a > b }, func(a, b int64) bool { return a > b })
	Ge = compare("ge", "`a >= b`.", floats|ints, false, func(a, b float64) bool { return a >= b }, func(a, b int64) bool { return a >= b })
)

// Select chooses between two tensors by a mask.
var Select = &Info{
	Name: "select", Class: Elementwise, Results: []string{"y"},
	Doc: "`a` where the condition is true, else `b`; the three shapes broadcast. Neither side's NaN leaks from where it was not chosen.",
	Operands: []Operand{
		{Name: "c", Doc: "bool tensor"},
		{Name: "a", Doc: "where true"},
		{Name: "b", Doc: "where false, of the same format as a"},
	},
	Infer: func(in Input) ([]Type, error) {
		c, a, b := in.Args[0], in.Args[1], in.Args[2]
		if c.Format != format.Bool {
			return nil, fmt.Errorf("select takes a bool condition, found %s", c)
		}
		if a.Format != b.Format {
			return nil, fmt.Errorf("select chooses between tensors of one format, found %s and %s", a, b)
		}
		s, err := broadcast("select", a, b)
		if err != nil {
			return nil, err
		}
		if s, err = broadcast("select", Type{a.Format, s}, c); err != nil {
			return nil, err
		}
		return []Type{{a.Format, s}}, nil
	},
	Real: func(x []float64) float64 {
		if x[0] != 0 {
			return x[1]
		}
		return x[2]
	},
	Integer: func(x []int64) int64 {
		if x[0] != 0 {
			return x[1]
		}
		return x[2]
	},
	Example: "%y = select(%mask, %a, %b) : f32[T,S]",
}

// Cast changes the number format.
var Cast = &Info{
	Name: "cast", Class: Elementwise, Results: []string{"y"},
	Doc: "Converts to another format: to a float, rounding to nearest even; from float to integer, truncating toward zero and saturating (NaN gives 0); " +
		"between integers, wrapping; to bool, whether x is not zero. " +
		"`saturate` says what a value beyond a float format's range becomes: the largest finite value, or what the format has for overflow (infinity or NaN).",
	Operands: []Operand{{Name: "x", Doc: "tensor of any format"}},
	Attrs: []AttrSpec{
		{Name: "format", Kind: Fmt, Required: true, Doc: "the result's format"},
		{Name: "saturate", Kind: Bool, Default: false, Doc: "clamp to the largest finite value"},
	},
	Infer: func(in Input) ([]Type, error) {
		f := in.Attrs.Format("format", format.Invalid)
		if f == format.Invalid {
			return nil, fmt.Errorf("cast needs a format")
		}
		return []Type{{f, in.Args[0].Shape}}, nil
	},
	Example: "%y = cast(%x) {format=bf16} : bf16[B,D]",
}

// Bitcast reads the same bits as another format of the same width.
var Bitcast = &Info{
	Name: "bitcast", Class: Elementwise, Results: []string{"y"},
	Doc:      "The same bits read as another format of the same width.",
	Operands: []Operand{{Name: "x", Doc: "tensor of any format"}},
	Attrs:    []AttrSpec{{Name: "format", Kind: Fmt, Required: true, Doc: "the result's format, as wide as x's"}},
	Infer: func(in Input) ([]Type, error) {
		f := in.Attrs.Format("format", format.Invalid)
		if f.Bits() != in.Args[0].Format.Bits() {
			return nil, fmt.Errorf("bitcast needs formats of one width, found %s (%d bits) and %s (%d bits)",
				in.Args[0].Format, in.Args[0].Format.Bits(), f, f.Bits())
		}
		return []Type{{f, in.Args[0].Shape}}, nil
	},
	Example: "%y = bitcast(%x) {format=u8} : u8[B,D]",
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}

func nanMax(a, b float64) float64 {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return math.Max(a, b)
}

func idiv(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func irem(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return a % b
}

func ipow(a, b int64) int64 {
	if b < 0 {
		switch a {
		case 1:
			return 1
		case -1:
			return 1 - 2*(b&1)
		}
		return 0
	}
	r := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			r *= a
		}
		a *= a
	}
	return r
}
