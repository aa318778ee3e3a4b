package kernels

import "math"

// atanTable is atan(i/8): atan x = atan c + atan((x-c)/(1+x·c)), with c = i/8 the nearest to |x| or, beyond 1, to 1/|x|; what is left
// is at most 1/16, and eight terms of the series t - t³/3 + t⁵/5 - … are then exact to 2^-60 of it.
var atanTable = [9]float64{
	0, 0x1.fd5ba9aac2f6ep-4, 0x1.f5b75f92c80ddp-3, 0x1.6f61941e4def1p-2, 0x1.dac670561bb4fp-2, 0x1.1e00babdefeb4p-1,
	0x1.4978fa3269ee1p-1, 0x1.700a7c5784634p-1, 0x1.921fb54442d18p-1,
}

func atan(x float32) float32 {
	if x != x {
		return nan
	}
	sign := math.Float32bits(x) & (1 << 31)
	a := float64(abs(x))
	large := a > 1
	if large {
		a = 1 / a
	}
	i := int(float64(a*8) + 0.5)
	c := float64(float64(i) * 0.125)
	t := (a - c) / (1 + float64(a*c))
	z := float64(t * t)
	p := 1.0 / 15
	for k := 13.0; k >= 1; k -= 2 {
		p = 1/k - float64(z*p)
	}
	y := atanTable[i] + float64(t*p)
	if large {
		y = piHalf - y
	}
	return math.Float32frombits(math.Float32bits(float32(y)) | sign)
}
