package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// lengths around every vector's edge, and one of many vectors.
var lengths = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 1000}

func allOps(names []string) []uint8 {
	ops := make([]uint8, len(names))
	for i := range ops {
		ops[i] = uint8(i)
	}
	return ops
}

// TestElementwiseLevels: at every level each operation has the portable
// definition's bits, for every length, form and kind of operand, in place too.
func TestElementwiseLevels(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 16))
		for _, n := range lengths {
			for k := range kinds {
				a, b, c := random(r, n, k), random(r, n, k), random(r, n, k)
				s := randomElement(r, k)
				want, got := make([]float32, n), make([]float32, n)
				same := func(what string, place ...any) {
					t.Helper()
					sameBits(t, fmt.Sprint(what, " of ", n, " ", k, " elements ", place), got, want)
				}
				for _, o := range allOps(unaryNames[:]) {
					op := UnaryOp(o)
					unaryPortable(op, want, a)
					Unary(op, got, a)
					same(op.String())
					copy(got, a)
					Unary(op, got, got)
					same(op.String(), "in place")
				}
				for _, o := range allOps(binaryNames[:]) {
					op := BinaryOp(o)
					binaryPortable(op, want, a, b)
					Binary(op, got, a, b)
					same(op.String())
					copy(got, b)
					Binary(op, got, a, got)
					same(op.String(), "in place")
					for _, left := range []bool{false, true} {
						for i := range a {
							x, y := a[i:i+1], []float32{s}
							if left {
								x, y = y, x
							}
							binaryPortable(op, want[i:i+1], x, y)
						}
						BinaryScalar(op, got, a, s, left)
						same(op.String(), "by a scalar", s, left)
					}
				}
				fmaPortable(want, a, b, c)
				FMA(got, a, b, c)
				same("FMA")
				copy(got, c)
				FMA(got, a, b, got)
				same("FMA", "in place")
				for i := range a {
					want[i] = canonical(fma(a[i], s, c[i]))
				}
				FMAScalar(got, a, s, c)
				same("FMA by a scalar")
				for _, op := range []BinaryOp{Add, Mul, Max, Min} {
					one := make([]float32, 1)
					ReduceRows(op, 16, one, a, n, 1, n)
					sameBits(t, fmt.Sprint("reduce ", op, " of ", n, " ", k), one, []float32{reducePortable(op, 16, a)})
				}
			}
		}
	})
}

// TestTranscendentalLevels compares the levels over all of float32, in steps.
func TestTranscendentalLevels(t *testing.T) {
	const n, step = 1 << 16, 65521 // a prime
	x := make([]float32, n)
	for i := range x {
		x[i] = math.Float32frombits(uint32(i * step))
	}
	want, got := make([]float32, n), make([]float32, n)
	for _, o := range allOps(unaryNames[:]) {
		op := UnaryOp(o)
		unaryPortable(op, want, x)
		for _, l := range Levels() {
			restore := SetLevel(l)
			Unary(op, got, x)
			restore()
			sameBits(t, fmt.Sprint(op, " ", l), got, want)
		}
	}
}

func TestBinaryMeaning(t *testing.T) {
	inf, minus := float32(math.Inf(1)), float32(math.Copysign(0, -1))
	for _, c := range []struct {
		op         BinaryOp
		a, b, want float32
	}{
		{Max, 0, minus, 0}, {Max, minus, 0, 0}, {Max, nan, 1, nan}, {Max, 1, nan, nan}, {Max, -inf, -1, -1}, {Max, minus, minus, minus},
		{Min, 0, minus, minus}, {Min, minus, 0, minus}, {Min, nan, 1, nan}, {Min, 1, nan, nan}, {Min, inf, 3, 3},
		{Add, inf, -inf, nan}, {Sub, 5, 3, 2}, {Mul, 0, inf, nan}, {Div, 0, 0, nan}, {Div, 1, minus, -inf}, {Div, 0x1p-126, 2, 0x1p-127},
		{Add, 1, 0x1p-24, 1}, {Add, 1 + 0x1p-23, 0x1p-24, 1 + 0x1p-22},
		{Rem, 5.5, 2, 1.5}, {Rem, -5.5, 2, -1.5}, {Rem, 1, 0, nan}, {Rem, inf, 1, nan}, {Rem, 3, inf, 3},
		{Pow, 2, 10, 1024}, {Pow, -2, 3, -8}, {Pow, -8, 1.0 / 3, nan}, {Pow, 0, -1, inf},
	} {
		for n := range 20 { // in every lane
			a, b, dst := make([]float32, n+1), make([]float32, n+1), make([]float32, n+1)
			a[n], b[n] = c.a, c.b
			Binary(c.op, dst, a, b)
			if math.Float32bits(dst[n]) != math.Float32bits(c.want) {
				t.Fatalf("%s(%g, %g) = %g, want %g", c.op, c.a, c.b, dst[n], c.want)
			}
		}
	}
}

func TestRowColumn(t *testing.T) {
	const m, n, lda, ldd = 3, 5, 6, 7
	r := rand.New(rand.NewPCG(17, 18))
	a, row, column := random(r, m*lda, ordinary), random(r, n, ordinary), random(r, m, ordinary)
	for _, left := range []bool{false, true} {
		byRow, byColumn := random(r, m*ldd, ordinary), random(r, m*ldd, ordinary)
		want, want2 := append([]float32(nil), byRow...), append([]float32(nil), byColumn...)
		for i := range m {
			for j := range n {
				x, y, z := a[i*lda+j], row[j], column[i]
				want[i*ldd+j], want2[i*ldd+j] = x-y, x-z
				if left {
					want[i*ldd+j], want2[i*ldd+j] = y-x, z-x
				}
			}
		}
		BinaryRow(Sub, byRow, ldd, a, lda, row, m, n, left)
		BinaryColumn(Sub, byColumn, ldd, a, lda, column, m, n, left)
		sameBits(t, "BinaryRow", byRow, want)
		sameBits(t, "BinaryColumn", byColumn, want2)
	}
}

// TestReduceOrder spells the documented order out once more.
func TestReduceOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	eachLevel(t, func(t *testing.T) {
		for _, n := range append([]int{500, 513}, lengths...) {
			a := random(r, 3*(n+2), ordinary)
			got := make([]float32, 3)
			for _, lanes := range []int{1, 8, 16, 32, 64, 128, 256} {
				ReduceRows(Add, lanes, got, a, n+2, 3, n)
				for i := range got {
					lane := make([]float32, lanes)
					for j, x := range a[i*(n+2):][:n] {
						lane[j%lanes] += x
					}
					for half := lanes / 2; half > 0; half /= 2 {
						for l := range half {
							lane[l] += lane[l+half]
						}
					}
					sameBits(t, fmt.Sprint("row ", i, " of ", n, " in ", lanes, " lanes"), got[i:i+1], lane[:1])
				}
			}
		}
		for op, want := range map[BinaryOp]float32{Add: 0, Mul: 1, Max: float32(math.Inf(-1)), Min: float32(math.Inf(1))} {
			got := []float32{5}
			for _, lanes := range []int{4, 16, 32, 64, 128} {
				ReduceRows(op, lanes, got, nil, 0, 1, 0)
				sameBits(t, "nothing reduced with "+op.String(), got, []float32{want})
				for n := 1; n < 40; n++ {
					a := make([]float32, n)
					a[n-1] = nan
					ReduceRows(op, lanes, got, a, n, 1, n)
					sameBits(t, "a NaN at last with "+op.String(), got, []float32{nan})
				}
			}
		}
		got := []float32{5}
		minus := float32(math.Copysign(0, -1))
		ReduceRows(Min, 16, got, []float32{0, minus, 0}, 3, 1, 3)
		sameBits(t, "min of zeros", got, []float32{minus})
		ReduceRows(Max, 16, got, []float32{minus, minus, 0}, 3, 1, 3)
		sameBits(t, "max of zeros", got, []float32{0})
	})
}

func TestCompareSelect(t *testing.T) {
	a, b := []float32{1, 2, 3, nan, 0}, []float32{2, 2, 2, 1, float32(math.Copysign(0, -1))}
	for op, want := range map[CompareOp]string{
		Eq: "[0 1 0 0 1]", Ne: "[1 0 1 1 0]", Lt: "[1 0 0 0 0]", Le: "[1 1 0 0 1]", Gt: "[0 0 1 0 0]", Ge: "[0 1 1 0 1]",
	} {
		dst, one := make([]uint8, 5), make([]uint8, 1)
		Compare(op, dst, a, b)
		if fmt.Sprint(dst) != want {
			t.Errorf("%s: %v, want %s", op, dst, want)
		}
		for i := range a {
			CompareScalar(op, one, a[i:i+1], b[i])
			if one[0] != dst[i] {
				t.Errorf("%s(%g, %g) by a scalar: %d", op, a[i], b[i], one[0])
			}
		}
	}
	odd := math.Float32frombits(0x7f800001) // a signalling NaN passes untouched
	dst := make([]float32, 5)
	Select(dst, []uint8{1, 0, 255, 1, 0}, []float32{1, 2, 3, odd, 5}, []float32{6, odd, 8, 9, 10})
	sameBits(t, "Select", dst, []float32{1, odd, 3, odd, 10})
	for _, l := range Levels() {
		restore := SetLevel(l)
		Unary(Neg, dst[:1], []float32{odd})
		Unary(Abs, dst[1:2], []float32{-odd})
		restore()
		sameBits(t, "Neg, Abs", dst[:2], []float32{math.Float32frombits(0xff800001), odd})
	}
}

func TestElementwiseChecks(t *testing.T) {
	x, p := make([]float32, 4), make([]uint8, 4)
	for what, f := range map[string]func(){
		"Unary":        func() { Unary(Exp, x, x[:3]) },
		"unary op":     func() { Unary(99, x, x) },
		"Binary a":     func() { Binary(Add, x, x[:3], x) },
		"Binary b":     func() { Binary(Add, x, x, x[:3]) },
		"binary op":    func() { Binary(99, x, x, x) },
		"scalar":       func() { BinaryScalar(Add, x[:3], x, 1, false) },
		"scalar op":    func() { BinaryScalar(99, x, x, 1, false) },
		"row":          func() { BinaryRow(Add, x, 2, x, 2, x[:3], 2, 2, false) },
		"row dst":      func() { BinaryRow(Add, x[:3], 2, x, 2, x[:2], 2, 2, false) },
		"column":       func() { BinaryColumn(Add, x, 2, x, 2, x[:3], 2, 2, false) },
		"column a":     func() { BinaryColumn(Add, x, 2, x[:3], 2, x[:2], 2, 2, false) },
		"FMA":          func() { FMA(x, x, x, x[:3]) },
		"FMAScalar":    func() { FMAScalar(x, x, 1, x[:3]) },
		"Compare":      func() { Compare(Eq, p[:3], x, x) },
		"compare op":   func() { Compare(99, p, x, x) },
		"CompareScl":   func() { CompareScalar(Eq, p[:3], x, 1) },
		"Select":       func() { Select(x, p[:3], x, x) },
		"reduce":       func() { ReduceRows(Add, 16, x[:2], x, 2, 3, 2) },
		"reduce short": func() { ReduceRows(Add, 16, x[:3], x, 2, 3, 2) },
		"reduce op":    func() { ReduceRows(Sub, 16, x[:2], x, 2, 2, 2) },
		"reduce lanes": func() { ReduceRows(Add, 48, x[:2], x, 2, 2, 2) },
	} {
		mustPanic(t, what, f)
	}
	if got := fmt.Sprint(Add, Erf, Ge, BinaryOp(77)); got != "add erf ge op(77)" {
		t.Error(got)
	}
}
