package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func emitLimited(g *asm) {
	for rows := 1; rows <= 4; rows++ {
		g.limited(512, rows)
	}
	for rows := 1; rows <= 2; rows++ {
		g.limited(256, rows)
	}
	for _, w := range []int{512, 256} {
		g.span(w)
	}
}

// limited emits C += A·B as an accumulator with few bits sums, two vectors of columns. Exponents are in units of 2^23, each biased by
// 127, so those of products by 254. A group is gone through twice: for the largest exponent, then for the sum of the products
// in its units, cut toward zero as they are converted to integers.
func (g *asm) limited(width, rows int) {
	const vectors = 2
	name := fmt.Sprintf("limited%dx%d", width, rows)
	g.function(name, "func(k, group int, a *float32, b *float32, c *float32, with *uint32)",
		fmt.Sprintf("%s adds the products of %d rows of A by %d columns of a panel of B to C, %d-bit vectors. At each step A holds the rows' elements, then their exponents; C's rows are 32 elements.", name, rows, vectors*width/32, width))
	k := g.Load(g.Param("k"), g.GP64())
	group := g.Load(g.Param("group"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64())
	b := g.Load(g.Param("b"), g.GP64())
	c := g.Load(g.Param("c"), g.GP64())
	with := g.Load(g.Param("with"), g.GP64())
	bytes, step := width/8, uint32(8*rows)
	at := func(i, h int) Mem { return Mem{Base: c, Disp: 128*i + bytes*h} }
	tile := func() [][]reg.VecVirtual {
		t := make([][]reg.VecVirtual, rows)
		for i := range t {
			t[i] = []reg.VecVirtual{g.vector(width), g.vector(width)}
		}
		return t
	}
	broadcast := func(field int) reg.VecVirtual {
		v := g.vector(width)
		g.VPBROADCASTD(Mem{Base: with, Disp: 4 * field}, v)
		return v
	}
	g.TESTQ(k, k)
	g.JLE(LabelRef("done"))
	count, n := g.GP64(), g.GP64()
	pa, pb := g.GP64(), g.GP64()
	exponents := g.constant32(width, 0x7f800000)
	magnitudes := g.constant32(width, 0x7fffffff)
	least := broadcast(0)
	zero := g.vector(width)
	if width == 256 {
		g.zero(zero)
	}

	g.Label("group")
	g.MOVQ(group, count)
	g.CMPQ(k, group)
	g.CMOVQLT(k, count)
	g.SUBQ(count, k)
	// The largest exponent, that of the accumulator among them.
	largest := tile()
	bias, floor := g.constant32(width, 127<<23), g.constant32(width, 154<<23)
	for i := range largest {
		for h, v := range largest[i] {
			g.vpand(width, at(i, h), exponents, v)
			g.VPADDD(bias, v, v)
			g.VPMAXUD(floor, v, v)
		}
	}
	g.MOVQ(a, pa)
	g.MOVQ(b, pb)
	g.MOVQ(count, n)
	g.Label("exponents")
	ev := make([]reg.VecVirtual, vectors)
	for h := range ev {
		y, e := g.vector(width), g.vector(width)
		g.VMOVUPS(Mem{Base: pb, Disp: bytes * h}, y)
		g.vpand(width, y, exponents, e)
		if width == 512 {
			g.VPTESTMD(magnitudes, y, reg.K1)
			g.VPMAXUD_Z(least, e, reg.K1, e)
		} else {
			g.VPAND(magnitudes, y, y)
			g.VPCMPEQD(zero, y, y)
			g.VPMAXUD(least, e, e)
			g.VPANDN(e, y, e)
		}
		ev[h] = e
	}
	for i := range rows {
		x := g.vector(width)
		from := Mem{Base: pa, Disp: 4*rows + 4*i}
		if width == 256 {
			g.VPBROADCASTD(from, x)
		}
		for h := range ev {
			t := g.vector(width)
			if width == 512 {
				g.VPADDD_BCST(from, ev[h], t)
			} else {
				g.VPADDD(x, ev[h], t)
			}
			g.VPMAXUD(t, largest[i][h], largest[i][h])
		}
	}
	g.ADDQ(U32(step), pa)
	g.ADDQ(U32(128), pb)
	g.DECQ(n)
	g.JNZ(LabelRef("exponents"))

	// What brings a product to units of the sum's last bit.
	scale := largest
	from := broadcast(1)
	sum := tile()
	for i := range scale {
		for h, v := range scale[i] {
			g.VPSUBD(v, from, v)
			t := g.vector(width)
			g.VMULPS(at(i, h), v, t)
			g.VCVTTPS2DQ(t, sum[i][h])
		}
	}
	g.MOVQ(count, n)
	g.Label("products")
	yv := make([]reg.VecVirtual, vectors)
	for h := range yv {
		yv[h] = g.vector(width)
		g.VMOVUPS(Mem{Base: b, Disp: bytes * h}, yv[h])
	}
	for i := range rows {
		x := g.vector(width)
		from := Mem{Base: a, Disp: 4 * i}
		if width == 256 {
			g.VBROADCASTSS(from, x)
		}
		for h := range yv {
			t := g.vector(width)
			if width == 512 {
				g.VMULPS_BCST(from, yv[h], t)
			} else {
				g.VMULPS(x, yv[h], t)
			}
			g.VMULPS(scale[i][h], t, t)
			g.VCVTTPS2DQ(t, t)
			g.VPADDD(t, sum[i][h], sum[i][h])
		}
	}
	g.ADDQ(U32(step), a)
	g.ADDQ(U32(128), b)
	g.DECQ(n)
	g.JNZ(LabelRef("products"))

	// Back: the sum cut to the accumulator's bits, times what its last bit is worth.
	both, mask := g.constant32(width, 254<<23), broadcast(2)
	for i := range sum {
		for h, v := range sum[i] {
			g.VPSUBD(scale[i][h], both, scale[i][h])
			g.VCVTDQ2PS(v, v)
			g.vpand(width, v, mask, v)
			g.VMULPS(scale[i][h], v, v)
			g.VMOVUPS(v, at(i, h))
		}
	}
	g.TESTQ(k, k)
	g.JG(LabelRef("group"))
	g.Label("done")
	g.VZEROUPPER()
	g.RET()
}

// vpand emits a bitwise and of vectors of either width.
func (g *asm) vpand(width int, a Op, b, to reg.VecVirtual) {
	if width == 512 {
		g.VPANDD(a, b, to)
	} else {
		g.VPAND(a, b, to)
	}
}

// span emits a look at many numbers: the largest magnitude, the smallest one less 1 (of zeros the largest there is), and all bits.
func (g *asm) span(width int) {
	name := fmt.Sprintf("span%d", width)
	g.function(name, "func(n int, x *float32, out *[3][16]uint32)",
		fmt.Sprintf("%s finds of n numbers, a multiple of %d, the largest magnitude, the smallest one less 1 and the bits set in any, lane by lane, %d-bit vectors.", name, width/32, width))
	n := g.Load(g.Param("n"), g.GP64())
	x := g.Load(g.Param("x"), g.GP64())
	out := g.Load(g.Param("out"), g.GP64())
	magnitudes, ones := g.constant32(width, 0x7fffffff), g.constant32(width, 0xffffffff)
	largest, smallest, set := g.vector(width), g.vector(width), g.vector(width)
	for i, v := range []reg.VecVirtual{largest, smallest, set} {
		g.VMOVUPS(Mem{Base: out, Disp: 64 * i}, v)
	}
	g.SUBQ(U8(uint8(width/32)), n)
	g.JL(LabelRef("done"))
	g.Label("loop")
	v := g.vector(width)
	g.vpand(width, Mem{Base: x}, magnitudes, v)
	if width == 512 {
		g.VPORD(v, set, set)
	} else {
		g.VPOR(v, set, set)
	}
	g.VPMAXUD(v, largest, largest)
	g.VPADDD(ones, v, v)
	g.VPMINUD(v, smallest, smallest)
	g.ADDQ(U8(uint8(width/8)), x)
	g.SUBQ(U8(uint8(width/32)), n)
	g.JGE(LabelRef("loop"))
	g.Label("done")
	for i, v := range []reg.VecVirtual{largest, smallest, set} {
		g.VMOVUPS(v, Mem{Base: out, Disp: 64 * i})
	}
	g.VZEROUPPER()
	g.RET()
}
