package kernels

import (
	"math"
	"math/bits"
)

// sin and cos: x = k·π/2 + r with |r| <= π/4, then sin r = r·(1 + z·(sin0 + …)) or
// cos r = 1 - z/2 + z²·(cos0 + …) with z = r².
const (
	twoOverPi = 0x1.45f306dc9c883p-1
	piHalf    = 0x1.921fb54442d18p0
	// π/2 in three parts, of 33 bits the first two: their products with k, of at
	// most 20 bits, are exact (Cody and Waite).
	piHalf1 = 0x1.921fb544p0
	piHalf2 = 0x1.0b4611a6p-34
	piHalf3 = 0x1.3198a2e037073p-69
	sin0    = -0x1.5555555555555p-3
	sin1    = 0x1.1111111110bb1p-7
	sin2    = -0x1.a01a019e8357dp-13
	sin3    = 0x1.71de37961e4c6p-19
	sin4    = -0x1.ae600a926c89ap-26
	sin5    = 0x1.5e0af186af739p-33
	cos0    = 0x1.5555555555555p-5
	cos1    = -0x1.6c16c16c16966p-10
	cos2    = 0x1.a01a019f4e867p-16
	cos3    = -0x1.27e4fa17a41b4p-22
	cos4    = 0x1.1eeb68b109173p-29
	cos5    = -0x1.907d7aebd5e3dp-37
)

func sin(x float32) float32 { return sinCos(x, 0) }
func cos(x float32) float32 { return sinCos(x, 1) }

// sinCos is sin(x + quarter·π/2).
func sinCos(x float32, quarter uint64) float32 {
	f := float64(x)
	if f-f != 0 {
		return nan
	}
	var k uint64
	if math.Abs(f) < 1<<20 {
		n := float64(f*twoOverPi) + roundInt
		k = math.Float64bits(n)
		n -= roundInt
		f = f - float64(n*piHalf1) - float64(n*piHalf2) - float64(n*piHalf3)
	} else {
		k, f = reduceLarge(x)
	}
	k += quarter
	z := float64(f * f)
	z2 := float64(z * z)
	var y float64
	if k&1 == 0 {
		p := (sin0 + float64(z*sin1)) + float64(z2*((sin2+float64(z*sin3))+float64(z2*(sin4+float64(z*sin5)))))
		y = f * (1 + float64(z*p))
	} else {
		p := (cos0 + float64(z*cos1)) + float64(z2*((cos2+float64(z*cos3))+float64(z2*(cos4+float64(z*cos5)))))
		y = (1 - float64(z*0.5)) + float64(z2*p)
	}
	if k&2 != 0 {
		y = -y
	}
	return float32(y)
}

// twoOverPiBits are 64 zeros, the integer part of 2/π, and its first 320 bits
// after the point.
var twoOverPiBits = [6]uint64{
	0, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561, 0xb7246e3a424dd2e0,
}

// reduceLarge returns k modulo 4 and r for |x| of 2^20 or more (Payne and Hanek).
// x is m·2^e with an integer m. Bit j of the table weighs 2^(63-j), so m·2^e times
// one of the first 62+e is a multiple of 4 and does not matter. The next 128 bits
// times m, modulo 2^128, are x·2/π modulo 4 in units of 2^-126, short by less than
// 2^-102; and r is never below 2^-30 for a float32.
func reduceLarge(x float32) (k uint64, r float64) {
	u := math.Float32bits(x)
	m := uint64(u&(1<<23-1) | 1<<23)
	skip := int(u>>23&255) - 150 + 62
	word, shift := skip/64, uint(skip%64)
	window := func(i int) uint64 {
		return twoOverPiBits[word+i]<<shift | twoOverPiBits[word+i+1]>>1>>(63-shift)
	}
	p1, p0 := bits.Mul64(m, window(1))
	p1 += m * window(0)
	k = p1 >> 62
	p1, p0 = p1<<2|p0>>62, p0<<2
	up := p1>>63 != 0
	if up { // the next multiple is nearer
		k++
		var borrow uint64
		p0, borrow = bits.Sub64(0, p0, 0)
		p1, _ = bits.Sub64(0, p1, borrow)
	}
	n := bits.LeadingZeros64(p1)
	p1 = p1<<n | p0>>(64-n)
	r = math.Ldexp(float64(p1>>11), -53-n) * piHalf
	if up {
		r = -r
	}
	if u>>31 != 0 {
		return -k, -r
	}
	return k, r
}
