package kernels

import "fmt"

// BinaryOp is an elementwise operation of two operands.
type BinaryOp uint8

const (
	Add BinaryOp = iota
	Sub
	Mul
	Div
	Max // the larger, +0 above -0; NaN if either is
	Min // the smaller, -0 below +0; NaN if either is
	Pow // a to the power b, within 0.5001 units in the last place; the special cases are C's
	Rem // remainder with the sign of a, exact; NaN for an infinite a or b = 0
)

var binaryNames = [...]string{"add", "sub", "mul", "div", "max", "min", "pow", "rem"}

// String returns the operation's name in lower case.
func (op BinaryOp) String() string { return nameOf(binaryNames[:], uint8(op)) }

// UnaryOp is an elementwise operation of one operand. Neg and Abs change the sign
// bit and nothing else, of NaNs too. The results of Sqrt, Reciprocal, Floor, Ceil,
// Round and Sign are exact or correctly rounded; those of the others are within
// 0.5001 units in the last place, subnormal results included.
type UnaryOp uint8

const (
	Neg UnaryOp = iota
	Abs
	Sign // -1 or 1, or the zero that x is
	Floor
	Ceil
	Round // to the nearest integer, ties to even
	Sqrt
	Rsqrt
	Reciprocal
	Exp
	Log
	Sin // of an angle in radians, however large
	Cos
	Tanh
	Sigmoid
	Erf
	Atan
)

var unaryNames = [...]string{
	"neg", "abs", "sign", "floor", "ceil", "round", "sqrt", "rsqrt", "reciprocal",
	"exp", "log", "sin", "cos", "tanh", "sigmoid", "erf", "atan",
}

// String returns the operation's name in lower case.
func (op UnaryOp) String() string { return nameOf(unaryNames[:], uint8(op)) }

// CompareOp is a comparison. With a NaN on either side only Ne holds.
type CompareOp uint8

const (
	Eq CompareOp = iota
	Ne
	Lt
	Le
	Gt
	Ge
)

var compareNames = [...]string{"eq", "ne", "lt", "le", "gt", "ge"}

// String returns the comparison's name in lower case.
func (op CompareOp) String() string { return nameOf(compareNames[:], uint8(op)) }

func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("op(%d)", i)
}

func checkOp(fn string, names []string, op uint8) {
	if int(op) >= len(names) {
		panic(fmt.Sprintf("kernels: %s: there is no operation %d", fn, op))
	}
}

// Unary sets dst[i] = op(a[i]).
func Unary(op UnaryOp, dst, a []float32) {
	checkOp("Unary", unaryNames[:], uint8(op))
	checkLength("Unary", "a", len(a), len(dst))
	unary(op, dst, a)
}

// Binary sets dst[i] = op(a[i], b[i]).
func Binary(op BinaryOp, dst, a, b []float32) {
	checkOp("Binary", binaryNames[:], uint8(op))
	checkLength("Binary", "a", len(a), len(dst))
	checkLength("Binary", "b", len(b), len(dst))
	binary(op, dst, a, b)
}

// BinaryScalar sets dst[i] = op(a[i], s), or op(s, a[i]) where left says that the
// scalar is the left operand.
func BinaryScalar(op BinaryOp, dst, a []float32, s float32, left bool) {
	checkOp("BinaryScalar", binaryNames[:], uint8(op))
	checkLength("BinaryScalar", "a", len(a), len(dst))
	binaryScalar(op, dst, a, s, left)
}

// BinaryRow combines each row of a matrix with one row: dst[i,j] = op(a[i,j],
// row[j]), or op(row[j], a[i,j]) where left says that the row is the left operand.
// dst and a are m × n with leading dimensions ldd and lda.
func BinaryRow(op BinaryOp, dst []float32, ldd int, a []float32, lda int, row []float32, m, n int, left bool) {
	checkOp("BinaryRow", binaryNames[:], uint8(op))
	checkMatrix("BinaryRow", "dst", len(dst), m, n, ldd)
	checkMatrix("BinaryRow", "a", len(a), m, n, lda)
	checkLength("BinaryRow", "row", len(row), n)
	if n == 0 {
		return
	}
	for i := range m {
		d, x := dst[i*ldd:][:n], a[i*lda:][:n]
		if left {
			binary(op, d, row, x)
		} else {
			binary(op, d, x, row)
		}
	}
}

// BinaryColumn combines each column of a matrix with one column: dst[i,j] =
// op(a[i,j], column[i]), or op(column[i], a[i,j]) with left. dst and a are m × n
// with leading dimensions ldd and lda.
func BinaryColumn(op BinaryOp, dst []float32, ldd int, a []float32, lda int, column []float32, m, n int, left bool) {
	checkOp("BinaryColumn", binaryNames[:], uint8(op))
	checkMatrix("BinaryColumn", "dst", len(dst), m, n, ldd)
	checkMatrix("BinaryColumn", "a", len(a), m, n, lda)
	checkLength("BinaryColumn", "column", len(column), m)
	if n == 0 {
		return
	}
	for i, s := range column {
		binaryScalar(op, dst[i*ldd:][:n], a[i*lda:][:n], s, left)
	}
}

// FMA sets dst[i] = a[i]*b[i] + c[i], rounded once.
func FMA(dst, a, b, c []float32) {
	checkLength("FMA", "a", len(a), len(dst))
	checkLength("FMA", "b", len(b), len(dst))
	checkLength("FMA", "c", len(c), len(dst))
	vectorFMA(dst, a, b, c)
}

// FMAScalar sets dst[i] = a[i]*s + c[i], rounded once.
func FMAScalar(dst, a []float32, s float32, c []float32) {
	checkLength("FMAScalar", "a", len(a), len(dst))
	checkLength("FMAScalar", "c", len(c), len(dst))
	vectorFMAScalar(dst, a, s, c)
}

// Compare sets dst[i] to 1 where a[i] and b[i] compare so, else to 0.
func Compare(op CompareOp, dst []uint8, a, b []float32) {
	checkOp("Compare", compareNames[:], uint8(op))
	checkLength("Compare", "a", len(a), len(dst))
	checkLength("Compare", "b", len(b), len(dst))
	switch op {
	case Eq:
		for i, x := range a {
			dst[i] = bit(x == b[i])
		}
	case Ne:
		for i, x := range a {
			dst[i] = bit(x != b[i])
		}
	case Lt:
		for i, x := range a {
			dst[i] = bit(x < b[i])
		}
	case Le:
		for i, x := range a {
			dst[i] = bit(x <= b[i])
		}
	case Gt:
		for i, x := range a {
			dst[i] = bit(x > b[i])
		}
	case Ge:
		for i, x := range a {
			dst[i] = bit(x >= b[i])
		}
	}
}

// CompareScalar sets dst[i] to 1 where a[i] and s compare so, else to 0.
func CompareScalar(op CompareOp, dst []uint8, a []float32, s float32) {
	checkOp("CompareScalar", compareNames[:], uint8(op))
	checkLength("CompareScalar", "a", len(a), len(dst))
	switch op {
	case Eq:
		for i, x := range a {
			dst[i] = bit(x == s)
		}
	case Ne:
		for i, x := range a {
			dst[i] = bit(x != s)
		}
	case Lt:
		for i, x := range a {
			dst[i] = bit(x < s)
		}
	case Le:
		for i, x := range a {
			dst[i] = bit(x <= s)
		}
	case Gt:
		for i, x := range a {
			dst[i] = bit(x > s)
		}
	case Ge:
		for i, x := range a {
			dst[i] = bit(x >= s)
		}
	}
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// Select sets dst[i] to a[i] where pred[i] is not 0, else to b[i], bit for bit.
func Select(dst []float32, pred []uint8, a, b []float32) {
	checkLength("Select", "pred", len(pred), len(dst))
	checkLength("Select", "a", len(a), len(dst))
	checkLength("Select", "b", len(b), len(dst))
	for i, p := range pred {
		if p != 0 {
			dst[i] = a[i]
		} else {
			dst[i] = b[i]
		}
	}
}
