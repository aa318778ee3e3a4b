package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Elementwise loops. Those of 512 bits take any length and mask the last vector;
// those of 256 bits take a multiple of 8 elements.

var widths = []int{512, 256}

func emitVectors(g *asm) {
	for _, w := range widths {
		for _, op := range []string{"Add", "Sub", "Mul", "Div", "Max", "Min"} {
			for _, scalar := range []bool{false, true} {
				g.binary(w, op, scalar)
			}
		}
		for _, op := range []string{"Sub", "Div"} {
			g.reversed(w, op)
		}
		g.fma(w, false)
		g.fma(w, true)
		for _, op := range []string{"Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Abs", "Neg"} {
			g.unary(w, op)
		}
		for _, op := range []string{"Add", "Mul", "Max", "Min"} {
			g.reduce(w, op)
		}
		for lanes := 32; lanes <= 128 && lanes <= 512*w/256/8; lanes *= 2 { // 8 vectors of them at most
			g.sum(w, lanes)
		}
	}
}

// elementwise emits a loop over n elements at dst and the given sources. body
// computes into the first of the loaded vectors, or returns another.
func (g *asm) elementwise(w int, sources []string, body func(v []reg.VecVirtual) reg.VecVirtual) {
	n := g.Load(g.Param("n"), g.GP64())
	dst := g.Load(g.Param("dst"), g.GP64())
	src := make([]reg.Register, len(sources))
	for i, s := range sources {
		src[i] = g.Load(g.Param(s), g.GP64())
	}
	at := g.GP64()
	g.XORQ(at, at)
	lanes := w / 32
	g.SUBQ(U8(uint8(lanes)), n)
	g.JL(LabelRef("tail"))
	g.Label("loop")
	address := func(base reg.Register) Mem { return Mem{Base: base, Index: at, Scale: 4} }
	v := make([]reg.VecVirtual, len(src))
	for i := range src {
		v[i] = g.vector(w)
		g.VMOVUPS(address(src[i]), v[i])
	}
	g.VMOVUPS(body(v), address(dst))
	g.ADDQ(U8(uint8(lanes)), at)
	g.SUBQ(U8(uint8(lanes)), n)
	g.JGE(LabelRef("loop"))
	g.Label("tail")
	if w == 512 {
		g.ADDQ(U8(uint8(lanes)), n)
		g.JZ(LabelRef("done"))
		g.tailMask(n, reg.K1)
		for i := range src {
			v[i] = g.vector(w)
			g.VMOVUPS_Z(address(src[i]), reg.K1, v[i])
		}
		g.VMOVUPS(body(v), reg.K1, address(dst))
		g.Label("done")
	}
	g.VZEROUPPER()
	g.RET()
}

// tailMask sets the n lowest bits of a mask; n is below 64.
func (g *asm) tailMask(n, k reg.Register) {
	bits, count := g.GP64(), g.GP64()
	g.MOVQ(n, count)
	g.MOVQ(I32(-1), bits)
	g.BZHIQ(count, bits, bits)
	g.KMOVQ(bits, k)
}

func vectorName(op string, w int) string { return fmt.Sprintf("vec%s%d", op, w) }

func (g *asm) binary(w int, op string, scalar bool) {
	name, what := vectorName(op, w), "dst = "+op+"(a, b)"
	signature, sources := "func(dst, a, b *float32, n int)", []string{"a", "b"}
	if scalar {
		name, what = vectorName(op+"S", w), "dst = "+op+"(a, s)"
		signature, sources = "func(dst, a *float32, s float32, n int)", sources[:1]
	}
	g.function(name, signature, fmt.Sprintf("%s is %s, %d bits.", name, what, w))
	var s reg.VecVirtual
	if scalar {
		s = g.broadcastParam(w, "s")
	}
	apply := g.operation(w, op)
	g.elementwise(w, sources, func(v []reg.VecVirtual) reg.VecVirtual {
		b := s
		if !scalar {
			b = v[1]
		}
		return apply(v[0], b)
	})
}

func (g *asm) reversed(w int, op string) {
	name := vectorName(op+"R", w)
	g.function(name, "func(dst, a *float32, s float32, n int)", fmt.Sprintf("%s is dst = %s(s, a), %d bits.", name, op, w))
	s := g.broadcastParam(w, "s")
	apply := g.operation(w, op)
	g.elementwise(w, []string{"a"}, func(v []reg.VecVirtual) reg.VecVirtual {
		r := g.vector(w)
		g.VMOVAPS(s, r)
		return apply(r, v[0])
	})
}

func (g *asm) broadcastParam(w int, name string) reg.VecVirtual {
	s := g.vector(w)
	p, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSS(p.Addr, s)
	return s
}

// operation prepares the constants of a binary operation and returns what emits
// it, on a copy of neither: the result is in a.
func (g *asm) operation(w int, op string) func(a, b reg.VecVirtual) reg.VecVirtual {
	nan := g.nan(w)
	arithmetic := map[string]func(...Op){"Add": g.VADDPS, "Sub": g.VSUBPS, "Mul": g.VMULPS, "Div": g.VDIVPS}[op]
	if arithmetic != nil {
		return func(a, b reg.VecVirtual) reg.VecVirtual {
			arithmetic(b, a, a)
			g.fixNaN(w, nan, a, a, a)
			return a
		}
	}
	return func(a, b reg.VecVirtual) reg.VecVirtual {
		r := g.extreme(w, op, a, b)
		g.fixNaN(w, nan, a, b, r)
		return r
	}
}

// extreme emits the larger or smaller of a and b, with -0 below +0. NaNs are the
// caller's to fix.
func (g *asm) extreme(w int, op string, a, b reg.VecVirtual) reg.VecVirtual {
	r := g.vector(w)
	if w == 512 {
		// Bits 0 and 1 select, bits 2 and 3 take the sign from the comparison.
		imm := map[string]U8{"Min": 0b0100, "Max": 0b0101}[op]
		g.VRANGEPS(imm, b, a, r)
		return r
	}
	// The instruction returns its second operand when both are zeros: do both
	// ways, and join the signs.
	other := g.vector(w)
	if op == "Max" {
		g.VMAXPS(b, a, r)
		g.VMAXPS(a, b, other)
		g.VANDPS(other, r, r)
	} else {
		g.VMINPS(b, a, r)
		g.VMINPS(a, b, other)
		g.VORPS(other, r, r)
	}
	return r
}

// fixNaN puts the canonical NaN in the elements of r where a or b is NaN.
func (g *asm) fixNaN(w int, nan, a, b, r reg.VecVirtual) {
	if w == 512 {
		g.VCMPPS(U8(3), a, b, reg.K2)
		g.VMOVAPS(nan, reg.K2, r)
		return
	}
	m := g.vector(w)
	g.VCMPPS(U8(3), a, b, m)
	g.VBLENDVPS(m, nan, r, r)
}

func (g *asm) fma(w int, scalar bool) {
	name, what := vectorName("FMA", w), "dst = a*b + c"
	signature, sources := "func(dst, a, b, c *float32, n int)", []string{"a", "c", "b"}
	if scalar {
		name, what = vectorName("FMAS", w), "dst = a*s + c"
		signature, sources = "func(dst, a *float32, s float32, c *float32, n int)", sources[:2]
	}
	g.function(name, signature, fmt.Sprintf("%s is %s, rounded once, %d bits.", name, what, w))
	var s reg.VecVirtual
	if scalar {
		s = g.broadcastParam(w, "s")
	}
	nan := g.nan(w)
	g.elementwise(w, sources, func(v []reg.VecVirtual) reg.VecVirtual {
		b := s
		if !scalar {
			b = v[2]
		}
		g.VFMADD231PS(b, v[0], v[1])
		g.fixNaN(w, nan, v[1], v[1], v[1])
		return v[1]
	})
}

func (g *asm) unary(w int, op string) {
	name := vectorName(op, w)
	g.function(name, "func(dst, a *float32, n int)", fmt.Sprintf("%s is dst = %s(a), %d bits.", name, op, w))
	round := func(mode U8) func(x, r reg.VecVirtual) {
		return func(x, r reg.VecVirtual) {
			if w == 512 {
				g.VRNDSCALEPS(mode, x, r)
			} else {
				g.VROUNDPS(mode, x, r)
			}
		}
	}
	var emit func(x, r reg.VecVirtual)
	signs := true // only the sign changes: NaNs stay
	switch op {
	case "Abs":
		mask := g.constant32(w, 0x7fffffff)
		emit = func(x, r reg.VecVirtual) { g.VANDPS(mask, x, r) }
	case "Neg":
		mask := g.constant32(w, 0x80000000)
		emit = func(x, r reg.VecVirtual) { g.VXORPS(mask, x, r) }
	default:
		signs = false
		one := g.constant32(w, 0x3f800000)
		emit = map[string]func(x, r reg.VecVirtual){
			"Sqrt":       func(x, r reg.VecVirtual) { g.VSQRTPS(x, r) },
			"Reciprocal": func(x, r reg.VecVirtual) { g.VDIVPS(x, one, r) },
			"Floor":      round(1),
			"Ceil":       round(2),
			"Round":      round(0),
		}[op]
	}
	nan := g.nan(w)
	g.elementwise(w, []string{"a"}, func(v []reg.VecVirtual) reg.VecVirtual {
		emit(v[0], v[0])
		if !signs {
			g.fixNaN(w, nan, v[0], v[0], v[0])
		}
		return v[0]
	})
}

// reduce emits the sum, product or extreme of n elements in 16 lanes, element i
// in lane i mod 16, and then lanes l and l+8, l and l+4, l and l+2, 0 and 1
// together. For 256 bits n is a multiple of 16, and 16 more elements are at last.
func (g *asm) reduce(w int, op string) {
	name := vectorName("Reduce"+op, w)
	signature := "func(a *float32, n int) float32"
	if w == 256 {
		signature = "func(a *float32, n int, last *float32) float32"
	}
	g.function(name, signature, fmt.Sprintf("%s reduces n elements with %s, %d bits.", name, op, w))
	n := g.Load(g.Param("n"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64())
	identity := map[string]uint32{"Add": 0, "Mul": 0x3f800000, "Max": 0xff800000, "Min": 0x7f800000}[op]
	extreme := op == "Max" || op == "Min"

	lanes := make([]reg.VecVirtual, 512/w)
	some := make([]reg.VecVirtual, len(lanes)) // 256 bits: where a NaN was seen
	for i := range lanes {
		lanes[i] = g.constant32(w, identity)
		if extreme && w == 256 {
			some[i] = g.vector(w)
			g.zero(some[i])
		}
	}
	if extreme && w == 512 {
		g.KXORW(reg.K3, reg.K3, reg.K3)
	}
	join := func(x, into reg.VecVirtual) {
		switch op {
		case "Add":
			g.VADDPS(x, into, into)
		case "Mul":
			g.VMULPS(x, into, into)
		default:
			r := g.extreme(w, op, into, x)
			g.VMOVAPS(r, into)
		}
	}
	step := func(i int, x reg.VecVirtual) {
		if extreme {
			if w == 512 {
				g.VCMPPS(U8(3), x, x, reg.K2)
				g.KORW(reg.K2, reg.K3, reg.K3)
			} else {
				m := g.vector(w)
				g.VCMPPS(U8(3), x, x, m)
				g.VORPS(m, some[i], some[i])
			}
		}
		join(x, lanes[i])
	}

	g.SUBQ(U8(16), n)
	g.JL(LabelRef("tail"))
	g.Label("loop")
	for i := range lanes {
		x := g.vector(w)
		g.VMOVUPS(Mem{Base: a, Disp: i * w / 8}, x)
		step(i, x)
	}
	g.ADDQ(U8(64), a)
	g.SUBQ(U8(16), n)
	g.JGE(LabelRef("loop"))
	g.Label("tail")
	if w == 512 {
		g.ADDQ(U8(16), n)
		g.JZ(LabelRef("lanes"))
		g.tailMask(n, reg.K1)
		x := g.constant32(w, identity)
		g.VMOVUPS(Mem{Base: a}, reg.K1, x)
		step(0, x)
		g.Label("lanes")
	} else {
		last := g.Load(g.Param("last"), g.GP64())
		for i := range lanes {
			x := g.vector(w)
			g.VMOVUPS(Mem{Base: last, Disp: i * w / 8}, x)
			step(i, x)
		}
	}

	r := g.joinSixteen(w, op, lanes)
	bits := g.GP32()
	g.MOVL(U32(canonicalNaN), bits)
	switch {
	case extreme && w == 512:
		g.KORTESTW(reg.K3, reg.K3)
	case extreme:
		g.VORPS(some[1], some[0], some[0])
		g.VPTEST(some[0], some[0])
	default:
		g.VUCOMISS(r, r)
		g.JNP(LabelRef("number"))
	}
	if extreme {
		g.JZ(LabelRef("number"))
	}
	g.VMOVD(bits, r)
	g.Label("number")
	g.Store(r, g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
}

// joinSixteen joins lanes l and l+8 of sixteen, l and l+4, l and l+2, 0 and 1.
func (g *asm) joinSixteen(w int, op string, lanes []reg.VecVirtual) reg.VecVirtual {
	// All lanes of these vectors are as good as the lowest; the rest is ignored.
	half := g.YMM()
	y := lanes[0].AsY()
	if w == 512 {
		g.VEXTRACTF32X8(U8(1), lanes[0], half)
	} else {
		half = lanes[1]
	}
	r := g.pair(op, y, half)
	quarter := g.XMM()
	g.VEXTRACTF128(U8(1), r, quarter)
	r = g.pair(op, r.AsX(), quarter)
	for _, imm := range []U8{0b1110, 0b01} {
		other := g.XMM()
		g.VPSHUFD(imm, r, other)
		r = g.pair(op, r, other)
	}
	return r
}

// sum emits the sum of n elements, a multiple of count, and count more at last, in that many lanes: element i in lane i mod count, and then
// halves of the lanes together until there is one.
func (g *asm) sum(w, count int) {
	name := vectorName(fmt.Sprintf("Sum%dLanes", count), w)
	g.function(name, "func(a *float32, n int, last *float32) float32", fmt.Sprintf("%s sums n elements and %d more in %d lanes, %d bits.", name, count, count, w))
	n := g.Load(g.Param("n"), g.GP64())
	a := g.Load(g.Param("a"), g.GP64())
	lanes := make([]reg.VecVirtual, count*32/w)
	for i := range lanes {
		lanes[i] = g.vector(w)
		g.zero(lanes[i])
	}
	g.TESTQ(n, n)
	g.JZ(LabelRef("last"))
	g.Label("loop")
	for i := range lanes {
		g.VADDPS(Mem{Base: a, Disp: i * w / 8}, lanes[i], lanes[i])
	}
	g.ADDQ(U32(4*count), a)
	g.SUBQ(U32(count), n)
	g.JNZ(LabelRef("loop"))
	g.Label("last")
	last := g.Load(g.Param("last"), g.GP64())
	for i := range lanes {
		g.VADDPS(Mem{Base: last, Disp: i * w / 8}, lanes[i], lanes[i])
	}
	for n := len(lanes) / 2; n*w >= 512; n /= 2 {
		for i := range n {
			g.VADDPS(lanes[i+n], lanes[i], lanes[i])
		}
	}
	r := g.joinSixteen(w, "Add", lanes)
	bits := g.GP32()
	g.MOVL(U32(canonicalNaN), bits)
	g.VUCOMISS(r, r)
	g.JNP(LabelRef("number"))
	g.VMOVD(bits, r)
	g.Label("number")
	g.Store(r, g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
}

// pair emits op on two vectors of 128 or 256 bits.
func (g *asm) pair(op string, a, b reg.Register) reg.VecVirtual {
	x, y := a.(reg.VecVirtual), b.(reg.VecVirtual)
	r := g.XMM()
	if x.Size() == 32 {
		r = g.YMM()
	}
	switch op {
	case "Add":
		g.VADDPS(y, x, r)
	case "Mul":
		g.VMULPS(y, x, r)
	case "Max":
		g.VMAXPS(y, x, r)
		g.VMAXPS(x, y, x)
		g.VANDPS(x, r, r)
	case "Min":
		g.VMINPS(y, x, r)
		g.VMINPS(x, y, x)
		g.VORPS(x, r, r)
	}
	return r
}
