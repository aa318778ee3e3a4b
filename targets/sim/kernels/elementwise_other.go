//go:build !amd64

package kernels

func unary(op UnaryOp, dst, a []float32)                    { unaryPortable(op, dst, a) }
func binary(op BinaryOp, dst, a, b []float32)               { binaryPortable(op, dst, a, b) }
func reduceRow(op BinaryOp, lanes int, a []float32) float32 { return reducePortable(op, lanes, a) }

func binaryScalar(op BinaryOp, dst, a []float32, s float32, left bool) {
	binaryScalarPortable(op, dst, a, s, left)
}

func vectorFMA(dst, a, b, c []float32) {
	if active == Fused {
		vectorFMAFused(dst, a, b, c)
	} else {
		fmaPortable(dst, a, b, c)
	}
}

func vectorFMAScalar(dst, a []float32, s float32, c []float32) { fmaScalarPortable(dst, a, s, c) }
