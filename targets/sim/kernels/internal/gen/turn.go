package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitTurn emits the transposition that packing columns is.
func emitTurn(g *asm) {
	g.function("turn8", "func(blocks int, src *float32, ld int, dst *float32)",
		"turn8 writes 8 rows of src, ld bytes apart, of 8 elements a block, as columns of a panel: 8 of its 32, AVX2.")
	blocks := g.Load(g.Param("blocks"), g.GP64())
	src := g.Load(g.Param("src"), g.GP64()).(reg.GPVirtual)
	ld := g.Load(g.Param("ld"), g.GP64()).(reg.GPVirtual)
	dst := g.Load(g.Param("dst"), g.GP64())
	at := g.rowAddress(src, ld, 8)
	g.TESTQ(blocks, blocks)
	g.JLE(LabelRef("done"))
	g.Label("loop")
	var r, t [8]reg.VecVirtual
	for i := range r {
		r[i], t[i] = g.YMM(), g.YMM()
		g.VMOVUPS(at[i], r[i])
	}
	for i := 0; i < 8; i += 2 { // pairs of rows
		g.VUNPCKLPS(r[i+1], r[i], t[i])
		g.VUNPCKHPS(r[i+1], r[i], t[i+1])
	}
	for i := 0; i < 8; i += 4 { // fours
		for h := range 2 {
			g.VSHUFPS(U8(0x44), t[i+h+2], t[i+h], r[i+2*h])
			g.VSHUFPS(U8(0xee), t[i+h+2], t[i+h], r[i+2*h+1])
		}
	}
	for i := range 4 { // all eight
		g.VPERM2F128(U8(0x20), r[i+4], r[i], t[i])
		g.VPERM2F128(U8(0x31), r[i+4], r[i], t[i+4])
	}
	for i := range t {
		g.VMOVUPS(t[i], Mem{Base: dst, Disp: 128 * i})
	}
	g.ADDQ(U8(32), src)
	g.ADDQ(U32(8*128), dst)
	g.DECQ(blocks)
	g.JNZ(LabelRef("loop"))
	g.Label("done")
	g.VZEROUPPER()
	g.RET()
}
