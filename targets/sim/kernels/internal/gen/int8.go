package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func emitInt8(g *asm) {
	for rows := 1; rows <= 12; rows++ {
		g.int8VNNI("int8vnni", rows, 2)
	}
	for rows := 1; rows <= 12; rows++ {
		g.int8VNNI("int8vnnihalf", rows, 1)
	}
	for rows := 1; rows <= 3; rows++ {
		g.int8AVX2(rows)
	}
}

// vpdpbusd adds to each 32-bit lane of acc the four products of unsigned bytes
// of u and signed bytes of s. The generator's library does not know it.
func (g *asm) vpdpbusd(s, u, acc reg.Register) {
	g.Instruction(&ir.Instruction{
		Opcode:   "VPDPBUSD",
		Operands: []Op{s, u, acc},
		Inputs:   []Op{s, u, acc},
		Outputs:  []Op{acc},
		ISA:      []string{"AVX512VNNI"},
	})
}

// int8VNNI emits C = A·B + start (+ C) on bytes, four steps of k at a time. The
// instruction wants unsigned bytes on one side: A's sign bit is flipped, which
// adds 128 to each, and start makes up for it.
func (g *asm) int8VNNI(stem string, rows, vectors int) {
	name := fmt.Sprintf("%sx%d", stem, rows)
	g.function(name, "func(groups int, a *int8, aRow int, b *int8, start *int32, c *int32, cRow int, acc bool, mask uint32)",
		fmt.Sprintf("%s multiplies %d rows of A by up to %d columns of a panel of B, AVX-512 VNNI.", name, rows, 16*vectors))
	groups := g.Load(g.Param("groups"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64()).(reg.GPVirtual)
	aRow := g.Load(g.Param("aRow"), g.GP64()).(reg.GPVirtual)
	b := g.Load(g.Param("b"), g.GP64())
	c := g.Load(g.Param("c"), g.GP64())
	cRow := g.Load(g.Param("cRow"), g.GP64())
	m := g.tileMask(tileShape{width: 512, rows: rows, vectors: vectors, masked: true})

	sum := make([][]reg.VecVirtual, rows)
	start := g.Load(g.Param("start"), g.GP64())
	for i := range sum {
		sum[i] = make([]reg.VecVirtual, vectors)
		for h := range sum[i] {
			sum[i][h] = g.ZMM()
			g.VMOVDQU32(Mem{Base: start, Disp: 64 * h}, sum[i][h])
		}
	}
	flag := g.Load(g.Param("acc"), g.GP8())
	g.TESTB(flag, flag)
	g.JZ(LabelRef("start"))
	row := g.GP64()
	g.MOVQ(c, row)
	for i := range sum {
		for h := range sum[i] {
			v := g.ZMM()
			m.load(row, h, v)
			g.VPADDD(v, sum[i][h], sum[i][h])
		}
		if i+1 < rows {
			g.ADDQ(cRow, row)
		}
	}
	g.Label("start")
	sign := g.constant32(512, 0x80808080)
	at := g.rowAddress(a, aRow, rows)
	g.TESTQ(groups, groups)
	g.JLE(LabelRef("done"))

	g.Label("loop")
	bv := make([]reg.VecVirtual, vectors)
	for h := range bv {
		bv[h] = g.ZMM()
		g.VMOVDQU32(Mem{Base: b, Disp: 64 * h}, bv[h])
	}
	g.PREFETCHT0(Mem{Base: b, Disp: 4096})
	g.PREFETCHT0(Mem{Base: b, Disp: 4096 + 64})
	for i := range sum {
		av := g.ZMM()
		g.VPXORD_BCST(at[i], sign, av)
		for h := range bv {
			g.vpdpbusd(bv[h], av, sum[i][h])
		}
	}
	g.ADDQ(U8(4), a)
	g.ADDQ(U32(128), b)
	g.DECQ(groups)
	g.JNZ(LabelRef("loop"))

	g.Label("done")
	for i := range sum {
		for h := range sum[i] {
			m.store(sum[i][h], c, h)
		}
		if i+1 < rows {
			g.ADDQ(cRow, c)
		}
	}
	g.VZEROUPPER()
	g.RET()
}

// int8AVX2 emits out[rows,16] = A·B on bytes by way of 16-bit products: the sums
// of two such products fit 32 bits, where those of bytes would saturate 16.
func (g *asm) int8AVX2(rows int) {
	name := fmt.Sprintf("int8avx2x%d", rows)
	g.function(name, "func(groups int, a *int8, aRow int, b *int8, out *int32)",
		fmt.Sprintf("%s multiplies %d rows of A by 16 columns of a panel of B into out, AVX2.", name, rows))
	groups := g.Load(g.Param("groups"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64()).(reg.GPVirtual)
	aRow := g.Load(g.Param("aRow"), g.GP64()).(reg.GPVirtual)
	b := g.Load(g.Param("b"), g.GP64())
	out := g.Load(g.Param("out"), g.GP64())
	at := g.rowAddress(a, aRow, rows)
	sum := make([][4]reg.VecVirtual, rows)
	for i := range sum {
		for h := range sum[i] {
			sum[i][h] = g.YMM()
			g.zero(sum[i][h])
		}
	}
	g.TESTQ(groups, groups)
	g.JLE(LabelRef("done"))

	g.Label("loop")
	av := make([]reg.VecVirtual, rows)
	for i := range av {
		av[i] = g.YMM()
		g.VPBROADCASTD(at[i], av[i].AsX())
		g.VPMOVSXBW(av[i].AsX(), av[i])
	}
	for h := range 4 {
		bv := g.YMM()
		g.VPMOVSXBW(Mem{Base: b, Disp: 16 * h}, bv)
		for i := range sum {
			if i+1 < rows {
				v := g.YMM()
				g.VPMADDWD(bv, av[i], v)
				g.VPADDD(v, sum[i][h], sum[i][h])
			} else {
				g.VPMADDWD(bv, av[i], bv)
				g.VPADDD(bv, sum[i][h], sum[i][h])
			}
		}
	}
	g.ADDQ(U8(4), a)
	g.ADDQ(U32(128), b)
	g.DECQ(groups)
	g.JNZ(LabelRef("loop"))

	// Each column's sum lies in two neighbouring lanes.
	g.Label("done")
	for i := range sum {
		for h := 0; h < 4; h += 2 {
			g.VPHADDD(sum[i][h+1], sum[i][h], sum[i][h])
			g.VPERMQ(U8(0b11011000), sum[i][h], sum[i][h])
			g.VMOVDQU(sum[i][h], Mem{Base: out, Disp: 64*i + 16*h})
		}
	}
	g.VZEROUPPER()
	g.RET()
}
