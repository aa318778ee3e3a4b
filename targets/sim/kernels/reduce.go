package kernels

import (
	"fmt"
	"math"
)

// ReduceRows reduces each row of an m × n matrix with leading dimension lda:
// dst[i] = a[i,0] op … op a[i,n-1]. op is Add, Mul, Max or Min; lanes is a power of
// two up to [MaxLanes].
//
// The order is the same on every machine. The lanes begin with op's identity
// (+0, 1, -Inf, +Inf); element j joins lane j mod lanes, j ascending; then, of 16
// lanes, l and l+8 are joined for l below 8, l and l+4, l and l+2, and the last
// two. So a row of no elements gives the identity, and a sum is never -0.
func ReduceRows(op BinaryOp, lanes int, dst, a []float32, lda, m, n int) {
	if lanes < 1 || lanes > MaxLanes || lanes&(lanes-1) != 0 {
		panic(fmt.Sprintf("kernels: ReduceRows: %d lanes", lanes))
	}
	switch op {
	case Add, Mul, Max, Min:
	default:
		panic("kernels: ReduceRows: cannot reduce with " + op.String())
	}
	checkMatrix("ReduceRows", "a", len(a), m, n, lda)
	checkLength("ReduceRows", "dst", len(dst), m)
	for i := range dst {
		if n == 0 {
			dst[i] = reducePortable(op, lanes, nil)
		} else {
			dst[i] = reduceRow(op, lanes, a[i*lda:][:n])
		}
	}
}

// MaxLanes is the most lanes that a reduction may have.
const MaxLanes = 256

// reduceLanes is how many lanes the assembly's extremes and products have. An extreme is the same in any order.
const reduceLanes = 16

// reducePortable is the definition of a reduction's result.
func reducePortable(op BinaryOp, lanes int, a []float32) float32 {
	var all [MaxLanes]float32
	lane := all[:lanes]
	for l := range lane {
		lane[l] = identity(op)
	}
	for len(a) > 0 {
		n := min(lanes, len(a))
		joinLanes(op, lane[:n], a[:n])
		a = a[n:]
	}
	for half := lanes / 2; half > 0; half /= 2 {
		joinLanes(op, lane[:half], lane[half:2*half])
	}
	return canonical(lane[0])
}

// identity is what changes nothing when it is joined.
func identity(op BinaryOp) float32 {
	switch op {
	case Mul:
		return 1
	case Max:
		return float32(math.Inf(-1))
	case Min:
		return float32(math.Inf(1))
	}
	return 0
}

func joinLanes(op BinaryOp, into, x []float32) {
	x = x[:len(into)]
	switch op {
	case Add:
		for l, v := range x {
			into[l] += v
		}
	case Mul:
		for l, v := range x {
			into[l] *= v
		}
	case Max:
		for l, v := range x {
			into[l] = max(into[l], v)
		}
	case Min:
		for l, v := range x {
			into[l] = min(into[l], v)
		}
	}
}
