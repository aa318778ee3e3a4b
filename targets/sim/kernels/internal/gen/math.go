package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Transcendental functions, in float64: operation for operation what the Go
// functions of the same names do, so that the bits are the same. A loop takes 8
// elements (512 bits) or 4 (256 bits) at a time; only the former masks its last.

func emitMath(g *asm) {
	g.mathConstants()
	for _, w := range widths {
		g.math(w, "Exp", func(m *mathEmitter, x reg.VecVirtual) reg.VecVirtual {
			return m.exp(m.clamp(x))
		})
		g.math(w, "Sigmoid", func(m *mathEmitter, x reg.VecVirtual) reg.VecVirtual {
			m.VXORPD(m.constant("sign"), x, x)
			y := m.exp(m.clamp(x))
			m.VADDPD(m.constant("one"), y, y)
			one := m.load("one")
			m.VDIVPD(y, one, y)
			return y
		})
		g.math(w, "Tanh", func(m *mathEmitter, x reg.VecVirtual) reg.VecVirtual {
			sign, a := m.vector(w), m.vector(w)
			m.VANDPD(m.constant("sign"), x, sign)
			m.VANDPD(m.constant("abs"), x, a)
			m.VMINPD(m.constant("tanhHigh"), a, a) // the limit for NaN, too
			m.VADDPD(a, a, a)
			s, q := m.expParts(a)
			m.VMULPD(s, q, q)
			m.VSUBPD(m.constant("one"), s, s)
			m.VADDPD(q, s, s)
			m.VADDPD(m.constant("two"), s, q)
			m.VDIVPD(q, s, s)
			m.VORPD(sign, s, s)
			return s
		})
		g.math(w, "Rsqrt", func(m *mathEmitter, x reg.VecVirtual) reg.VecVirtual {
			m.VSQRTPD(x, x)
			one := m.load("one")
			m.VDIVPD(x, one, x)
			return x
		})
	}
}

// mathConstant is a constant of the Go functions, by the name it has there.
type mathConstant struct {
	name string
	bits uint64
}

func f64(name string, x float64) mathConstant { return mathConstant{name, math.Float64bits(x)} }

var mathConstantList = []mathConstant{
	f64("exp16Ln2", 0x1.71547652b82fep4),
	f64("expLn2Hi", 0x1.62e42fefa2p-5),
	f64("expLn2Lo", 0x1.9ef35793c7673p-45),
	f64("roundInt", 0x1.8p52),
	f64("exp0", 0x1p-1),
	f64("exp1", 0x1.55555554dcc9bp-3),
	f64("exp2", 0x1.55555555190f9p-5),
	f64("exp3", 0x1.11120b77051e7p-7),
	f64("exp4", 0x1.6c17bbd1f560ap-10),
	f64("expLow", -110),
	f64("expHigh", 110),
	f64("one", 1),
	f64("two", 2),
	f64("tanhHigh", 20),
	{"sign", 1 << 63},
	{"abs", 1<<63 - 1},
	{"index", 15},
}

// exp2Table is 2^(i/16).
var exp2Table = [16]float64{
	0x1p0, 0x1.0b5586cf9890fp0, 0x1.172b83c7d517bp0, 0x1.2387a6e756238p0,
	0x1.306fe0a31b715p0, 0x1.3dea64c123422p0, 0x1.4bfdad5362a27p0, 0x1.5ab07dd485429p0,
	0x1.6a09e667f3bcdp0, 0x1.7a11473eb0187p0, 0x1.8ace5422aa0dbp0, 0x1.9c49182a3f09p0,
	0x1.ae89f995ad3adp0, 0x1.c199bdd85529cp0, 0x1.d5818dcfba487p0, 0x1.ea4afa2a490dap0,
}

// mathConstants writes each constant eight times over, a vector, and the table.
func (g *asm) mathConstants() {
	g.StaticGlobal("mathConstants")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	offset := 0
	for _, c := range mathConstantList {
		for range 8 {
			g.AddDatum(offset, U64(c.bits))
			offset += 8
		}
	}
	g.StaticGlobal("mathTable")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, x := range exp2Table {
		g.AddDatum(8*i, U64(math.Float64bits(x)))
	}
}

// mathEmitter is the state of one function's body.
type mathEmitter struct {
	*asm
	w                int
	constants, table reg.Register
	lo, hi           reg.VecVirtual // 512 bits: the table in registers
}

func (m *mathEmitter) constant(name string) Mem {
	for i, c := range mathConstantList {
		if c.name == name {
			return Mem{Base: m.constants, Disp: 64 * i}
		}
	}
	panic("no constant " + name)
}

func (m *mathEmitter) load(name string) reg.VecVirtual {
	v := m.vector(m.w)
	m.VMOVUPD(m.constant(name), v)
	return v
}

// clamp limits x as clampExp does: NaN becomes the lower limit.
func (m *mathEmitter) clamp(x reg.VecVirtual) reg.VecVirtual {
	m.VMAXPD(m.constant("expLow"), x, x)
	m.VMINPD(m.constant("expHigh"), x, x)
	return x
}

// exp returns s + s·q.
func (m *mathEmitter) exp(x reg.VecVirtual) reg.VecVirtual {
	s, q := m.expParts(x)
	m.VMULPD(s, q, q)
	m.VADDPD(q, s, s)
	return s
}

// expParts is the Go function of this name.
func (m *mathEmitter) expParts(x reg.VecVirtual) (s, q reg.VecVirtual) {
	new := func() reg.VecVirtual { return m.vector(m.w) }
	z, kf, t, r, r2, p := new(), new(), new(), new(), new(), new()
	m.VMULPD(m.constant("exp16Ln2"), x, z)
	m.VADDPD(m.constant("roundInt"), z, z)
	m.VSUBPD(m.constant("roundInt"), z, kf)
	m.VMULPD(m.constant("expLn2Hi"), kf, t)
	m.VSUBPD(t, x, r)
	m.VMULPD(m.constant("expLn2Lo"), kf, t)
	m.VSUBPD(t, r, r)
	m.VMULPD(r, r, r2)

	m.VMULPD(m.constant("exp3"), r, p)
	m.VADDPD(m.constant("exp2"), p, p)
	m.VMULPD(m.constant("exp4"), r2, t)
	m.VADDPD(t, p, p)
	m.VMULPD(r2, p, p)
	m.VMULPD(m.constant("exp1"), r, t)
	m.VADDPD(m.constant("exp0"), t, t)
	m.VADDPD(p, t, p)
	q = new()
	m.VMULPD(r2, p, q)
	m.VADDPD(q, r, q)

	s = new()
	if m.w == 512 {
		m.VMOVAPD(z, s)
		m.VPERMI2PD(m.hi, m.lo, s)
		m.VPSRLQ(U8(4), z, z)
		m.VPSLLQ(U8(52), z, z)
		m.VPADDQ(z, s, s)
	} else {
		index, all := new(), new()
		m.VANDPD(m.constant("index"), z, index)
		m.VPCMPEQQ(all, all, all)
		m.VGATHERQPD(all, Mem{Base: m.table, Index: index, Scale: 8}, s)
		m.VPSRLQ(U8(4), z, z)
		m.VPSLLQ(U8(52), z, z)
		m.VPADDQ(z, s, s)
	}
	return s, q
}

func (g *asm) math(w int, op string, body func(*mathEmitter, reg.VecVirtual) reg.VecVirtual) {
	name := vectorName(op, w)
	g.function(name, "func(dst, a *float32, n int)", fmt.Sprintf("%s is dst = %s(a), %d bits.", name, op, w))
	m := &mathEmitter{asm: g, w: w, constants: g.GP64(), table: g.GP64()}
	g.LEAQ(NewDataAddr(Symbol{Name: "mathConstants", Static: true}, 0), m.constants)
	g.LEAQ(NewDataAddr(Symbol{Name: "mathTable", Static: true}, 0), m.table)
	if w == 512 {
		m.lo, m.hi = g.ZMM(), g.ZMM()
		g.VMOVUPD(Mem{Base: m.table}, m.lo)
		g.VMOVUPD(Mem{Base: m.table, Disp: 64}, m.hi)
	}
	n := g.Load(g.Param("n"), g.GP64())
	dst := g.Load(g.Param("dst"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64())
	lanes := w / 64
	half := func() reg.VecVirtual {
		if w == 512 {
			return g.YMM()
		}
		return g.XMM()
	}
	bits, nan := g.GP32(), half()
	g.MOVL(U32(canonicalNaN), bits)
	g.VMOVD(bits, nan.AsX())
	g.VPBROADCASTD(nan.AsX(), nan)

	one := func(x reg.VecVirtual) reg.VecVirtual {
		wide := g.vector(w)
		g.VCVTPS2PD(x, wide)
		y := half()
		result := body(m, wide)
		if w == 512 {
			g.VCVTPD2PS(result, y)
		} else {
			g.VCVTPD2PSY(result, y)
		}
		if op == "Rsqrt" {
			x = y // a NaN can come of a number
		}
		if w == 512 {
			g.VCMPPS(U8(3), x, x, reg.K2)
			g.VMOVAPS(nan, reg.K2, y)
		} else {
			mask := half()
			g.VCMPPS(U8(3), x, x, mask)
			g.VBLENDVPS(mask, nan, y, y)
		}
		return y
	}

	g.SUBQ(U8(uint8(lanes)), n)
	g.JL(LabelRef("tail"))
	g.Label("loop")
	x := half()
	g.VMOVUPS(Mem{Base: a}, x)
	g.VMOVUPS(one(x), Mem{Base: dst})
	g.ADDQ(U8(uint8(4*lanes)), a)
	g.ADDQ(U8(uint8(4*lanes)), dst)
	g.SUBQ(U8(uint8(lanes)), n)
	g.JGE(LabelRef("loop"))
	g.Label("tail")
	if w == 512 {
		g.ADDQ(U8(uint8(lanes)), n)
		g.JZ(LabelRef("done"))
		g.tailMask(n, reg.K1)
		x := half()
		g.VMOVUPS_Z(Mem{Base: a}, reg.K1, x)
		g.VMOVUPS(one(x), reg.K1, Mem{Base: dst})
		g.Label("done")
	}
	g.VZEROUPPER()
	g.RET()
}
