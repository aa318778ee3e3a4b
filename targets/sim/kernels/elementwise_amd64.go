package kernels

import "unsafe"

// The AVX2 loops take whole vectors, of 4 or 8 elements; what is left goes the
// portable way.

func binary(op BinaryOp, dst, a, b []float32) {
	n := len(dst)
	d, x, y := unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(b)
	if op > Min || active < AVX2 || n == 0 {
		binaryPortable(op, dst, a, b)
		return
	}
	if active == AVX512 {
		switch op {
		case Add:
			vecAdd512(d, x, y, n)
		case Sub:
			vecSub512(d, x, y, n)
		case Mul:
			vecMul512(d, x, y, n)
		case Div:
			vecDiv512(d, x, y, n)
		case Max:
			vecMax512(d, x, y, n)
		case Min:
			vecMin512(d, x, y, n)
		}
		return
	}
	if n &^= 7; n > 0 {
		switch op {
		case Add:
			vecAdd256(d, x, y, n)
		case Sub:
			vecSub256(d, x, y, n)
		case Mul:
			vecMul256(d, x, y, n)
		case Div:
			vecDiv256(d, x, y, n)
		case Max:
			vecMax256(d, x, y, n)
		case Min:
			vecMin256(d, x, y, n)
		}
	}
	binaryPortable(op, dst[n:], a[n:], b[n:])
}

func binaryScalar(op BinaryOp, dst, a []float32, s float32, left bool) {
	n := len(dst)
	d, x := unsafe.SliceData(dst), unsafe.SliceData(a)
	left = left && (op == Sub || op == Div || op > Min)
	if op > Min || active < AVX2 || n == 0 {
		binaryScalarPortable(op, dst, a, s, left)
		return
	}
	if active == AVX512 {
		switch {
		case left && op == Sub:
			vecSubR512(d, x, s, n)
			return
		case left:
			vecDivR512(d, x, s, n)
			return
		}
		switch op {
		case Add:
			vecAddS512(d, x, s, n)
		case Sub:
			vecSubS512(d, x, s, n)
		case Mul:
			vecMulS512(d, x, s, n)
		case Div:
			vecDivS512(d, x, s, n)
		case Max:
			vecMaxS512(d, x, s, n)
		case Min:
			vecMinS512(d, x, s, n)
		}
		return
	}
	if n &^= 7; n > 0 {
		switch {
		case left && op == Sub:
			vecSubR256(d, x, s, n)
		case left:
			vecDivR256(d, x, s, n)
		case op == Add:
			vecAddS256(d, x, s, n)
		case op == Sub:
			vecSubS256(d, x, s, n)
		case op == Mul:
			vecMulS256(d, x, s, n)
		case op == Div:
			vecDivS256(d, x, s, n)
		case op == Max:
			vecMaxS256(d, x, s, n)
		case op == Min:
			vecMinS256(d, x, s, n)
		}
	}
	binaryScalarPortable(op, dst[n:], a[n:], s, left)
}

func unary(op UnaryOp, dst, a []float32) {
	n := len(dst)
	d, x := unsafe.SliceData(dst), unsafe.SliceData(a)
	switch active {
	case AVX512:
		switch op {
		case Neg:
			vecNeg512(d, x, n)
		case Abs:
			vecAbs512(d, x, n)
		case Floor:
			vecFloor512(d, x, n)
		case Ceil:
			vecCeil512(d, x, n)
		case Round:
			vecRound512(d, x, n)
		case Sqrt:
			vecSqrt512(d, x, n)
		case Rsqrt:
			vecRsqrt512(d, x, n)
		case Reciprocal:
			vecReciprocal512(d, x, n)
		case Exp:
			vecExp512(d, x, n)
		case Tanh:
			vecTanh512(d, x, n)
		case Sigmoid:
			vecSigmoid512(d, x, n)
		default:
			unaryPortable(op, dst, a)
		}
		return
	case AVX2:
		n &^= 7
		switch op {
		case Neg:
			vecNeg256(d, x, n)
		case Abs:
			vecAbs256(d, x, n)
		case Floor:
			vecFloor256(d, x, n)
		case Ceil:
			vecCeil256(d, x, n)
		case Round:
			vecRound256(d, x, n)
		case Sqrt:
			vecSqrt256(d, x, n)
		case Rsqrt:
			vecRsqrt256(d, x, n)
		case Reciprocal:
			vecReciprocal256(d, x, n)
		case Exp:
			vecExp256(d, x, n)
		case Tanh:
			vecTanh256(d, x, n)
		case Sigmoid:
			vecSigmoid256(d, x, n)
		default:
			n = 0
		}
		dst, a = dst[n:], a[n:]
	}
	unaryPortable(op, dst, a)
}

func vectorFMA(dst, a, b, c []float32) {
	n := len(dst)
	d, x, y, z := unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(b), unsafe.SliceData(c)
	switch active {
	case AVX512:
		vecFMA512(d, x, y, z, n)
	case AVX2:
		n &^= 7
		vecFMA256(d, x, y, z, n)
		fmaPortable(dst[n:], a[n:], b[n:], c[n:])
	default:
		fmaPortable(dst, a, b, c)
	}
}

func vectorFMAScalar(dst, a []float32, s float32, c []float32) {
	n := len(dst)
	d, x, z := unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(c)
	switch active {
	case AVX512:
		vecFMAS512(d, x, s, z, n)
	case AVX2:
		n &^= 7
		vecFMAS256(d, x, s, z, n)
		fmaScalarPortable(dst[n:], a[n:], s, c[n:])
	default:
		fmaScalarPortable(dst, a, s, c)
	}
}

func reduceRow(op BinaryOp, lanes int, a []float32) float32 {
	if lanes != reduceLanes && (op == Add || op == Mul) {
		return reduceWide(op, lanes, a)
	}
	p, n := unsafe.SliceData(a), len(a)
	switch active {
	case AVX512:
		switch op {
		case Add:
			return vecReduceAdd512(p, n)
		case Mul:
			return vecReduceMul512(p, n)
		case Max:
			return vecReduceMax512(p, n)
		case Min:
			return vecReduceMin512(p, n)
		}
	case AVX2:
		// This loop has no mask: the last elements come in a vector of their own,
		// filled up with what changes nothing.
		var last [reduceLanes]float32
		for i := range last {
			last[i] = identity(op)
		}
		whole := n &^ (reduceLanes - 1)
		copy(last[:], a[whole:])
		switch op {
		case Add:
			return vecReduceAdd256(p, whole, &last[0])
		case Mul:
			return vecReduceMul256(p, whole, &last[0])
		case Max:
			return vecReduceMax256(p, whole, &last[0])
		case Min:
			return vecReduceMin256(p, whole, &last[0])
		}
	}
	return reducePortable(op, lanes, a)
}

// reduceWide is reduceRow for another number of lanes than the assembly's usual.
func reduceWide(op BinaryOp, lanes int, a []float32) float32 {
	var last [128]float32
	if op == Mul || lanes < 32 || lanes > len(last) || active == Portable || active == AVX2 && lanes > 64 {
		return reducePortable(op, lanes, a)
	}
	p, whole := unsafe.SliceData(a), len(a)&^(lanes-1)
	copy(last[:], a[whole:])
	switch {
	case active == AVX512 && lanes == 32:
		return vecSum32Lanes512(p, whole, &last[0])
	case active == AVX512 && lanes == 64:
		return vecSum64Lanes512(p, whole, &last[0])
	case active == AVX512:
		return vecSum128Lanes512(p, whole, &last[0])
	case lanes == 32:
		return vecSum32Lanes256(p, whole, &last[0])
	}
	return vecSum64Lanes256(p, whole, &last[0])
}
