package kernels

import "unsafe"

// probeOperations is what one step of probeFMA makes.
func probeOperations() float64 {
	switch active {
	case AVX512:
		return 2 * 12 * 16
	case AVX2:
		return 2 * 12 * 8
	}
	return 0
}

func probeFMA(steps int) {
	if active == AVX512 {
		probeFMA512(steps)
	} else {
		probeFMA256(steps)
	}
}

// probeRead reads x, a multiple of 128 elements.
func probeRead(x []float32) {
	switch {
	case len(x) == 0:
	case active == AVX512:
		probeRead512(unsafe.SliceData(x), len(x)/128)
	case active == AVX2:
		probeRead256(unsafe.SliceData(x), len(x)/64)
	default:
		_ = reducePortable(Max, reduceLanes, x)
	}
}
