package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitProbes emits the loops that measure the machine: what no kernel can beat.
func emitProbes(g *asm) {
	for _, width := range []int{512, 256} {
		probeFMA(g, width)
		probeRead(g, width)
	}
}

func (g *asm) vector(width int) reg.VecVirtual {
	if width == 512 {
		return g.ZMM()
	}
	return g.YMM()
}

func (g *asm) zero(v reg.VecVirtual) {
	if v.Size() == 64 {
		g.VPXORD(v, v, v)
	} else {
		g.VPXOR(v, v, v)
	}
}

// probeFMA emits 12 independent chains of fused multiply-adds in registers.
func probeFMA(g *asm, width int) {
	name := fmt.Sprintf("probeFMA%d", width)
	g.function(name, "func(n int)",
		fmt.Sprintf("%s makes n × 12 fused multiply-adds on vectors of %d bits.", name, width))
	n := g.Load(g.Param("n"), g.GP64())
	var chain [12]reg.VecVirtual
	for i := range chain {
		chain[i] = g.vector(width)
		g.zero(chain[i])
	}
	x := g.vector(width)
	g.zero(x)
	g.Label("loop")
	for _, c := range chain {
		g.VFMADD231PS(x, x, c)
	}
	g.DECQ(n)
	g.JG(LabelRef("loop"))
	g.VZEROUPPER()
	g.RET()
}

// probeRead emits a plain sum: the fastest that memory can be read.
func probeRead(g *asm, width int) {
	name := fmt.Sprintf("probeRead%d", width)
	g.function(name, "func(p *float32, n int) float32",
		fmt.Sprintf("%s adds up n × %d bytes; the result means nothing.", name, width))
	p := g.Load(g.Param("p"), g.GP64())
	n := g.Load(g.Param("n"), g.GP64())
	var sum [8]reg.VecVirtual
	for i := range sum {
		sum[i] = g.vector(width)
		g.zero(sum[i])
	}
	g.Label("loop")
	for i, s := range sum {
		g.VADDPS(Mem{Base: p, Disp: i * width / 8}, s, s)
	}
	g.ADDQ(U32(width), p)
	g.DECQ(n)
	g.JG(LabelRef("loop"))
	for _, s := range sum[1:] {
		g.VADDPS(s, sum[0], sum[0])
	}
	g.Store(sum[0].AsX(), g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
}
