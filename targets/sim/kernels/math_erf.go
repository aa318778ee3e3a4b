package kernels

import "math"

// erf x: up to 1/2, x·p(x²) with the first row; from i/2 to (i+1)/2, a polynomial
// in x - (i/2 + 1/4), row i. From 4 on it rounds to 1.
var erfTable = [8][11]float64{
	{0x1.20dd750429b6ap0, -0x1.812746b0360e2p-2, 0x1.ce2f219e34cc1p-4, -0x1.b82ce20b0d02dp-6, 0x1.565b8c26bce7fp-8, -0x1.c01c4d48c53fbp-11, 0x1.f70acf658bd21p-14, -0x1.c0b68bc7545bbp-17},
	{0x1.6c1c9759d0e5fp-1, 0x1.492e42d79af0ap-1, -0x1.edc5644358601p-2, 0x1.b6e856f884cd9p-6, 0x1.349b5eb5a0577p-3, -0x1.b429b8110db66p-5, -0x1.b84799c97a713p-6, 0x1.2def5ae5f4191p-6, 0x1.2dd8566f65b84p-9, -0x1.fa417c01ddd1p-9, 0x1.60b9795a53b4bp-13},
	{0x1.d8865d98abe01p-1, 0x1.e4652fadaf147p-3, -0x1.2ebf3dcca188fp-2, 0x1.571d01e936acbp-3, -0x1.93a9a6fba807dp-8, -0x1.8281ffbb86e22p-5, 0x1.5cfff2e80dbb5p-6, 0x1.dbb5ae5ba731bp-9, -0x1.755d9882f40a2p-8, 0x1.af7c8265d0ec9p-11, 0x1.9b3f6891eb78ep-11},
	{0x1.f92d077f8d56dp-1, 0x1.b05530321df77p-5, -0x1.7a4a8a2bd0a5bp-4, 0x1.7148c3d75f48ap-4, -0x1.8a0da5619c848p-5, 0x1.b2224d784576bp-8, 0x1.25b3a3a1d00d9p-7, -0x1.8d0f8c2bb600fp-8, 0x1.7e5fc6de99801p-11, 0x1.d4257135639e1p-11, -0x1.c3f9057326902p-12},
	{0x1.ff404760319b4p-1, 0x1.d4143a9eb9b3fp-8, -0x1.074b60f8ef23bp-6, 0x1.63ef61ada9eccp-6, -0x1.38a983139ba61p-6, 0x1.5d3b40ad066d7p-7, -0x1.7cae45233f92ep-9, -0x1.5fe0b15cdaed6p-11, 0x1.0612e3882bc25p-10, -0x1.779cc0aff17e6p-12, -0x1.00ba02add0f6ep-16},
	{0x1.fff2cfb0453d9p-1, 0x1.3360ccd0dadcap-11, -0x1.a6a519a122fc2p-10, 0x1.69cf46dbc0a44p-9, -0x1.ab0c2731f05c1p-9, 0x1.69356f2381d69p-9, -0x1.b2756220c2fe6p-10, 0x1.52cc6ece25739p-11, -0x1.754995bd44647p-14, -0x1.35f0f3fdd7fbbp-14, 0x1.cba93f52c4f07p-15},
	{0x1.ffff6f9f67e55p-1, 0x1.e9b5e8c785d9fp-16, -0x1.8de3cd27ab05fp-14, 0x1.9aa48b38b364ep-13, -0x1.2c7d5f5e28e06p-12, 0x1.490a1190a8536p-12, -0x1.14543e792cdb9p-12, 0x1.64906a83ea82dp-13, -0x1.568a713e85e0bp-14, 0x1.aa54ec177efa1p-16, -0x1.0ca448b2514afp-19},
	{0x1.fffffc2f171e3p-1, 0x1.d9371e76943dp-21, -0x1.bba3ac4ee140cp-19, 0x1.0b6a758a899d5p-17, -0x1.d06f57c786977p-17, 0x1.3437b3fa88326p-16, -0x1.4357d039a648cp-16, 0x1.10ea831f75b78p-16, -0x1.755eff579586fp-17, 0x1.a2d4499b6dc3ap-18, -0x1.5f61cd2db161dp-19},
}

func erf(x float32) float32 {
	sign := math.Float32bits(x) & (1 << 31)
	a := widen(abs(x))
	switch {
	case a >= 4:
		if x != x {
			return nan
		}
		return math.Float32frombits(0x3f800000 | sign)
	case a < 0x1p-126:
		a = float64(abs(x))
	}
	i := int(a * 2)
	c := &erfTable[i]
	t, scale := a-(float64(float64(i)*0.5)+0.25), 1.0
	if i == 0 {
		t, scale = float64(a*a), a
	}
	t2 := float64(t * t)
	t4 := float64(t2 * t2)
	lo := (c[0] + float64(t*c[1])) + float64(t2*(c[2]+float64(t*c[3])))
	mid := (c[4] + float64(t*c[5])) + float64(t2*(c[6]+float64(t*c[7])))
	hi := (c[8] + float64(t*c[9])) + float64(t2*c[10])
	y := float64(scale * (lo + float64(t4*(mid+float64(t4*hi)))))
	return math.Float32frombits(math.Float32bits(float32(y)) | sign)
}
