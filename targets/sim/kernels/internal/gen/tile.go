package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// canonicalNaN is the one NaN that kernels write.
const canonicalNaN = 0x7fc00000

// tileSignature: strides are in bytes. A's element (i, p) is at
// a + i*aRow + p*aStep, B's row p at b + p*bStep, C's row i at c + i*cRow. At each
// step the cache line at next is prefetched and next advanced by nextStep.
const tileSignature = "func(k int, a *float32, aRow, aStep int, b *float32, bStep int, c *float32, cRow int, acc bool, mask %s, next uintptr, nextStep int)"

// tileShape is one micro-kernel: rows × vectors registers of width bits hold its
// part of C. A masked one reads and writes only the columns that mask names.
type tileShape struct {
	name                 string
	width, rows, vectors int
	masked               bool
}

func emitTiles(g *asm) {
	for rows := 1; rows <= 12; rows++ {
		g.tile(tileShape{"tile512", 512, rows, 2, true})
	}
	for rows := 1; rows <= 12; rows++ {
		g.tile(tileShape{"tile512half", 512, rows, 1, true})
	}
	for rows := 1; rows <= 2; rows++ {
		g.tile(tileShape{"tile256wide", 256, rows, 4, false})
	}
	for rows := 1; rows <= 6; rows++ {
		g.tile(tileShape{"tile256", 256, rows, 2, false})
	}
	for rows := 1; rows <= 4; rows++ {
		g.tile(tileShape{"tile256edge", 256, rows, 2, true})
	}
}

// tile emits C = A·B (+ C), one fused multiply-add for each element and step.
func (g *asm) tile(s tileShape) {
	name := fmt.Sprintf("%sx%d", s.name, s.rows)
	maskType, columns := "*int32", fmt.Sprintf("%d columns", s.vectors*s.width/32)
	if s.width == 512 {
		maskType = "uint32"
	}
	if s.masked {
		columns = "up to " + columns
	}
	g.function(name, fmt.Sprintf(tileSignature, maskType),
		fmt.Sprintf("%s multiplies %d rows of A by %s of B, %d-bit vectors.", name, s.rows, columns, s.width))

	k := g.Load(g.Param("k"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64()).(reg.GPVirtual)
	aRow := g.Load(g.Param("aRow"), g.GP64()).(reg.GPVirtual)
	b := g.Load(g.Param("b"), g.GP64())
	c := g.Load(g.Param("c"), g.GP64())
	m := g.tileMask(s)

	acc := make([][]reg.VecVirtual, s.rows)
	for i := range acc {
		acc[i] = make([]reg.VecVirtual, s.vectors)
		for h := range acc[i] {
			acc[i][h] = g.vector(s.width)
		}
	}
	cRow, row := g.Load(g.Param("cRow"), g.GP64()), g.GP64()
	flag := g.Load(g.Param("acc"), g.GP8())
	g.MOVQ(c, row)
	g.TESTB(flag, flag)
	g.JZ(LabelRef("zero"))
	for i := range acc {
		for h := range acc[i] {
			m.load(row, h, acc[i][h])
		}
		g.ADDQ(cRow, row)
	}
	g.JMP(LabelRef("start"))
	g.Label("zero")
	for i := range acc {
		for h := range acc[i] {
			g.zero(acc[i][h])
		}
		g.ADDQ(cRow, row)
	}
	g.Label("start")
	if s.rows == 12 {
		// The tile below comes next, and the hardware cannot foresee C's rows.
		for range acc {
			for h := range s.vectors {
				g.PREFETCHT0(Mem{Base: row, Disp: 64 * h})
			}
			g.ADDQ(cRow, row)
		}
	}
	at := g.rowAddress(a, aRow, s.rows)
	aStep := g.Load(g.Param("aStep"), g.GP64())
	bStep := g.Load(g.Param("bStep"), g.GP64())
	next := g.Load(g.Param("next"), g.GP64())
	nextStep := g.Load(g.Param("nextStep"), g.GP64())
	g.TESTQ(k, k)
	g.JLE(LabelRef("done"))

	g.Label("loop")
	bv := make([]reg.VecVirtual, s.vectors)
	for h := range bv {
		bv[h] = g.vector(s.width)
		m.load(b, h, bv[h])
	}
	g.ADDQ(bStep, b)
	if s.rows == 12 {
		// 12 rows take long enough for one line a step, kept out of the first cache.
		g.PREFETCHT1(Mem{Base: next})
	} else {
		g.PREFETCHT0(Mem{Base: next})
		if s.vectors*s.width > 512 {
			g.PREFETCHT0(Mem{Base: next, Disp: 64})
		}
	}
	g.ADDQ(nextStep, next)
	for i := range acc {
		av := g.vector(s.width)
		g.VBROADCASTSS(at[i], av)
		for h := range bv {
			g.VFMADD231PS(bv[h], av, acc[i][h])
		}
	}
	g.ADDQ(aStep, a)
	g.DECQ(k)
	g.JNZ(LabelRef("loop"))
	g.Label("done")

	g.canonicalise(s.width, acc)
	cRow = g.Load(g.Param("cRow"), g.GP64())
	for i := range acc {
		for h := range acc[i] {
			m.store(acc[i][h], c, h)
		}
		if i+1 < s.rows {
			g.ADDQ(cRow, c)
		}
	}
	g.VZEROUPPER()
	g.RET()
}

// rowAddress gives the operands that address rows 0 to rows-1 at base, using
// the x86 scales and as few registers for odd multiples as needed.
func (g *asm) rowAddress(base, stride reg.GPVirtual, rows int) []Mem {
	multiple := map[int]reg.GPVirtual{1: stride}
	for odd := 3; odd < rows; odd += 2 {
		r := g.GP64()
		g.LEAQ(Mem{Base: multiple[odd-2], Index: stride, Scale: 2}, r)
		multiple[odd] = r
	}
	at := make([]Mem, rows)
	for i := range at {
		at[i] = Mem{Base: base}
		if i > 0 {
			odd, scale := i, uint8(1)
			for odd%2 == 0 && scale < 8 {
				odd, scale = odd/2, scale*2
			}
			at[i].Index, at[i].Scale = multiple[odd], scale
		}
	}
	return at
}

// masks loads and stores the vectors of a row, all of them or those columns that
// exist.
type masks struct {
	g      *asm
	width  int
	opmask []reg.Register   // 512 bits
	vector []reg.VecVirtual // 256 bits
}

func (g *asm) tileMask(s tileShape) masks {
	m := masks{g: g, width: s.width}
	switch {
	case !s.masked:
	case s.width == 512:
		bits := g.Load(g.Param("mask"), g.GP32())
		m.opmask = []reg.Register{reg.K1, reg.K2}[:s.vectors]
		g.KMOVW(bits, reg.K1)
		if s.vectors > 1 {
			g.SHRL(U8(16), bits)
			g.KMOVW(bits, reg.K2)
		}
	default:
		p := g.Load(g.Param("mask"), g.GP64())
		for h := range s.vectors {
			m.vector = append(m.vector, g.YMM())
			g.VMOVDQU(Mem{Base: p, Disp: 32 * h}, m.vector[h])
		}
	}
	return m
}

func (m masks) load(base reg.Register, h int, to reg.VecVirtual) {
	from := Mem{Base: base, Disp: h * m.width / 8}
	switch {
	case m.opmask != nil:
		m.g.VMOVUPS_Z(from, m.opmask[h], to)
	case m.vector != nil:
		m.g.VMASKMOVPS(from, m.vector[h], to)
	default:
		m.g.VMOVUPS(from, to)
	}
}

func (m masks) store(from reg.VecVirtual, base reg.Register, h int) {
	to := Mem{Base: base, Disp: h * m.width / 8}
	switch {
	case m.opmask != nil:
		m.g.VMOVUPS(from, m.opmask[h], to)
	case m.vector != nil:
		m.g.VMASKMOVPS(from, m.vector[h], to)
	default:
		m.g.VMOVUPS(from, to)
	}
}

// canonicalise replaces every NaN. NaNs are rare: one test, two registers a
// compare, finds out whether there is any.
func (g *asm) canonicalise(width int, acc [][]reg.VecVirtual) {
	unordered := U8(3)
	if width == 512 {
		g.KXORW(reg.K3, reg.K3, reg.K3)
		for _, r := range acc {
			for h := 0; h < len(r); h += 2 {
				g.VCMPPS(unordered, r[h], r[min(h+1, len(r)-1)], reg.K4)
				g.KORW(reg.K4, reg.K3, reg.K3)
			}
		}
		g.KORTESTW(reg.K3, reg.K3)
		g.JZ(LabelRef("store"))
		nan := g.nan(width)
		for _, r := range acc {
			for _, v := range r {
				g.VCMPPS(unordered, v, v, reg.K3)
				g.VMOVAPS(nan, reg.K3, v)
			}
		}
	} else {
		any, one := g.YMM(), g.YMM()
		g.zero(any)
		for _, r := range acc {
			for h := 0; h < len(r); h += 2 {
				g.VCMPPS(unordered, r[h], r[h+1], one)
				g.VORPS(one, any, any)
			}
		}
		g.VPTEST(any, any)
		g.JZ(LabelRef("store"))
		nan := g.nan(width)
		for _, r := range acc {
			for _, v := range r {
				g.VCMPPS(unordered, v, v, one)
				g.VBLENDVPS(one, nan, v, v)
			}
		}
	}
	g.Label("store")
}

// nan returns a vector full of the canonical NaN.
func (g *asm) nan(width int) reg.VecVirtual { return g.constant32(width, canonicalNaN) }

// constant32 returns a vector full of a 32-bit pattern.
func (g *asm) constant32(width int, bits uint32) reg.VecVirtual {
	r, v := g.GP32(), g.vector(width)
	g.MOVL(U32(bits), r)
	if width == 512 {
		g.VPBROADCASTD(r, v)
	} else {
		g.VMOVD(r, v.AsX())
		g.VPBROADCASTD(v.AsX(), v)
	}
	return v
}
