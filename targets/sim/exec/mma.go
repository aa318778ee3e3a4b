package exec

import (
	"math"
	"unsafe"

	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/sim/kernels"
)

// mmaKind is how a matrix product is summed.
type mmaKind uint8

const (
	mmaF32     mmaKind = iota // one fused multiply-add in f32 a step
	mmaInt                    // integers into i32
	mmaLimited                // an accumulator that keeps fewer bits
	mmaPlain                  // one fused multiply-add in the accumulator's format a step
	mmaScaled                 // blocks along K summed from zero as mmaF32 or mmaLimited, and added times their scales
)

func (in *instr) checkMma(rate *chip.MatrixRate) error {
	a, b, d := in.a, in.b, in.dst
	if a == nil || b == nil || (in.c == nil) != (in.d == nil) {
		return problem("mma has two operands, and scales of both or of none")
	}
	if a.rank != 2 || b.rank != 2 || d.rank != 2 {
		return problem("mma works on tiles of two axes")
	}
	if rate == nil {
		return problem("the chip does not multiply %s by %s into %s", a.fmt, b.fmt, d.fmt)
	}
	switch {
	case !a.fmt.IsFloat() && !b.fmt.IsFloat() && d.fmt == format.I32 && a.fmt.Bits() <= 16 && b.fmt.Bits() <= 16:
		in.mma = mmaInt
		in.int8 = in.isInt8()
	case !a.fmt.IsFloat() || !b.fmt.IsFloat() || !d.fmt.IsFloat():
		return problem("no product of %s by %s into %s is known", a.fmt, b.fmt, d.fmt)
	case rate.AccBits >= 24 && d.fmt == format.F32 && a.fmt != format.F64 && b.fmt != format.F64:
		in.mma = mmaF32
	case rate.AccBits > 1 && d.fmt == format.F32 && rate.AccGroup <= 1<<16:
		in.mma = mmaLimited
		in.limited = limitedBy(rate.AccBits, rate.AccGroup, a.fmt, b.fmt)
	case rate.AccBits > 0:
		return problem("no accumulator of %d bits in %s is known", rate.AccBits, d.fmt)
	case d.fmt == format.F32 && a.fmt != format.F64 && b.fmt != format.F64:
		in.mma = mmaF32
	default:
		in.mma = mmaPlain
	}
	if in.c != nil {
		return in.checkScales(rate)
	}
	return nil
}

// checkScales makes a product one with scales.
func (in *instr) checkScales(rate *chip.MatrixRate) error {
	switch s := rate.Scale; {
	case rate.ScaleBlock == 0:
		return problem("the chip takes no scales where it multiplies %s by %s", in.a.fmt, in.b.fmt)
	case in.c.fmt != s || in.d.fmt != s:
		return problem("scales in %s and %s, expected %s", in.c.fmt, in.d.fmt, s)
	case !s.IsFloat() || s.Info().ManBits > mostScaleBits || in.mma != mmaF32 && in.mma != mmaLimited ||
		in.a.bits*int64(rate.ScaleBlock)%8 != 0 || in.b.bits*int64(rate.ScaleBlock)%8 != 0:
		return problem("no product of %s by %s into %s with scales in %s is known", in.a.fmt, in.b.fmt, in.dst.fmt, s)
	}
	in.scaleBlock = int64(rate.ScaleBlock)
	in.mma, in.within = mmaScaled, in.mma
	return nil
}

// mostScaleBits is how long a scale's mantissa may be for the product of a sum in f32 and two scales to be exact in f64.
const mostScaleBits = 13

func runMma(c *core, f *frame) error {
	in := f.in
	m, n, k := f.dst.n[0], f.dst.n[1], f.a.n[1]
	a, b := c.ref(f, &f.a), c.ref(f, &f.b)
	if (in.mma == mmaF32 || in.int8) && a.stable && b.stable {
		c.chain(f, a, b, m, n, k)
		return nil
	}
	if len(c.sums) > 0 {
		c.settleSums(&f.dst)
	}
	if c.record != nil {
		c.noteInstr(effectProduct, f, a, b)
	}
	c.productNow(f, a, b)
	return nil
}

// productNow multiplies operands that were found.
func (c *core) productNow(f *frame, a, b operandRef) {
	in := f.in
	m, n, k := f.dst.n[0], f.dst.n[1], f.a.n[1]
	switch in.mma {
	case mmaF32:
		d, direct := c.accumulator(&f.dst, f.acc != 0)
		c.product(d, a, b, m, n, k, f.acc != 0)
		if !direct {
			c.putBack(&f.dst, d)
		}
	case mmaInt:
		if !in.int8 || !c.productInt8(&f.dst, a, b, m, n, k, f.acc != 0) {
			c.productInt(&f.dst, a, b, m, n, k, f.acc != 0)
		}
	case mmaLimited:
		d, direct := c.accumulator(&f.dst, f.acc != 0)
		c.productLimited(d, &in.limited, a, b, m, n, k, f.acc != 0)
		if !direct {
			c.putBack(&f.dst, d)
		}
	case mmaScaled:
		c.productScaled(f, a, b, m, n, k)
	default:
		c.productPlain(&f.dst, a, b, m, n, k, f.acc != 0)
	}
}

// ref finds where the elements of a matrix operand are.
func (c *core) ref(f *frame, v *view) operandRef {
	o := v.o
	if o.esize == 0 && f.in.turned && v == &f.b {
		return operandRef{v.buf, -1, v.off, 0, o.stride[0], o.fmt, false, false}
	}
	if o.local >= 0 && c.lazyOn && c.prog.lazy[o.local] {
		var from [maxRank]int64
		if src, ok := c.whence(v, &from); ok {
			return operandRef{src.buf, src.buffer, src.off, from[0], from[1], o.fmt, src.fixed, true}
		}
	}
	if o.param >= 0 {
		if a := &c.args[o.param]; a.stable && o.esize > 0 {
			return operandRef{a.buf, a.buffer, a.off + v.off, o.stride[0], o.stride[1], o.fmt, a.fixed, true}
		}
	}
	return operandRef{v.buf, -1, v.off, o.stride[0], o.stride[1], o.fmt, false, false}
}

// sum is a product whose steps are still coming in: tiles that follow each other along K, added to the same result, are multiplied as
// one. The bits are the same, since each element sums with K ascending either way.
type sum struct {
	dst     view
	a, b    operandRef
	m, n, k int64
	acc     bool
}

// maxSums is how many results are kept open at a time, for kernels that take turns between several.
const maxSums = 4

// chain adds a product to the open sums.
func (c *core) chain(f *frame, a, b operandRef, m, n, k int64) {
	for i := range c.sums {
		s := &c.sums[i]
		if s.dst.off != f.dst.off || s.dst.o.mem != f.dst.o.mem || s.dst.o.param != f.dst.o.param {
			continue
		}
		if f.acc != 0 && s.m == m && s.n == n && s.dst.o.stride == f.dst.o.stride && s.a.follows(&a, s.k*s.a.s1) && s.b.follows(&b, s.k*s.b.s0) {
			s.k += k
			return
		}
		break
	}
	c.settleSums(&f.dst)
	if len(c.sums) == maxSums {
		c.closeSum(0)
	}
	s := sum{a: a, b: b, m: m, n: n, k: k, acc: f.acc != 0, dst: f.dst}
	s.dst.dyn = *f.dst.n
	c.sums = append(c.sums, s)
}

// follows says whether b is what comes d bytes after a in the same matrix.
func (a *operandRef) follows(b *operandRef, d int64) bool {
	return unsafe.SliceData(a.buf) == unsafe.SliceData(b.buf) && a.off+d == b.off && a.s0 == b.s0 && a.s1 == b.s1 && a.fmt == b.fmt
}

// settleSums multiplies what is open over the bytes of a tile.
func (c *core) settleSums(v *view) {
	for i := 0; i < len(c.sums); {
		d := &c.sums[i].dst
		if d.o.mem == v.o.mem && (d.o.mem > 0 || unsafe.SliceData(d.buf) == unsafe.SliceData(v.buf)) && d.lo < v.hi && v.lo < d.hi {
			c.closeSum(i)
		} else {
			i++
		}
	}
}

// closeSum multiplies an open sum.
func (c *core) closeSum(i int) {
	s := &c.sums[i]
	s.dst.n = &s.dst.dyn
	c.noteSum(s)
	c.multiply(s)
	c.sums = append(c.sums[:i], c.sums[i+1:]...)
}

// multiply computes a sum.
func (c *core) multiply(s *sum) {
	if !s.a.fmt.IsFloat() {
		if !c.productInt8(&s.dst, s.a, s.b, s.m, s.n, s.k, s.acc) {
			c.productInt(&s.dst, s.a, s.b, s.m, s.n, s.k, s.acc)
		}
	} else {
		d, direct := c.accumulator(&s.dst, s.acc)
		c.product(d, s.a, s.b, s.m, s.n, s.k, s.acc)
		if !direct {
			c.putBack(&s.dst, d)
		}
	}
}

// matrix is row-major float32.
type matrix struct {
	data []float32
	ld   int
}

// product sums in f32, one fused multiply-add a step.
func (c *core) product(d matrix, a, b operandRef, m, n, k int64, acc bool) {
	mi, ni, ki := int(m), int(n), int(k)
	var pb []float32
	whole, p := k, int64(0)
	ok := false
	if b.fixed {
		pb, whole, p, ok = c.packed(b, k, n)
	}
	x, lda, trans := a.inPlace(m, k)
	if !ok {
		// A tile that lies row by row and is used once is not worth packing, unless many rows use it.
		if y, ldb, tr := b.inPlace(k, n); y != nil && !tr && m <= 4*12 && x != nil {
			kernels.GemmTile(d.data, d.ld, x, lda, trans, y, ldb, mi, ni, ki, acc)
			return
		}
		if m <= turnedRows && n > m && b.s0 == int64(b.fmt.Bits()/8) {
			c.productTurned(d, a, b, m, n, k, acc)
			return
		}
		c.pb = grow(c.pb, int64(kernels.PackedBLen(ki, ni)))
		pb = c.pb
		c.packB(pb, b, k, n)
	}

	if x != nil && !trans && m <= 12 {
		kernels.GemmPartUnpackedA(d.data, d.ld, x, lda, pb, mi, ni, int(whole), int(p), ki, acc)
		return
	}
	var pa []float32
	if a.stable {
		pa = c.packedLeft(a, m, k)
	}
	if pa == nil {
		if x != nil && !trans {
			kernels.GemmPartUnpackedA(d.data, d.ld, x, lda, pb, mi, ni, int(whole), int(p), ki, acc)
			return
		}
		c.pa = grow(c.pa, m*k)
		pa = c.pa
		c.packA(pa, a, m, k)
	}
	kernels.GemmPart(d.data, d.ld, pa, pb, mi, ni, int(whole), int(p), ki, acc)
}

// turnedRows is up to how many rows a product by a transposed matrix that is used once is done the other way round.
const turnedRows = 16

// productTurned computes the transpose, Bᵀ·Aᵀ, for a B whose columns are dense and few rows of A: then B is used as it lies, and A is
// packed. The bits are the same, since factors commute.
func (c *core) productTurned(d matrix, a, b operandRef, m, n, k int64, acc bool) {
	b.s0, b.s1 = b.s1, b.s0
	y, ldy, trans := b.inPlace(n, k)
	if y == nil || trans {
		y, ldy = c.dense32(&c.tb, b, n, k), int(k)
	}
	a.s0, a.s1 = a.s1, a.s0
	c.pb = grow(c.pb, int64(kernels.PackedBLen(int(k), int(m))))
	c.packB(c.pb, a, k, m)
	if m == 1 {
		c.ta = grow(c.ta, n)
		if acc {
			copy(c.ta, d.data[:n])
		}
		kernels.GemmPartUnpackedA(c.ta, 1, y, ldy, c.pb, int(n), 1, int(k), 0, int(k), acc)
		copy(d.data[:n], c.ta)
		return
	}
	c.ta = grow(c.ta, n*m)
	t := c.ta
	if acc {
		for i := range m {
			for j, v := range d.data[i*int64(d.ld):][:n] {
				t[int64(j)*m+i] = v
			}
		}
	}
	kernels.GemmPartUnpackedA(t, int(m), y, ldy, c.pb, int(n), int(m), int(k), 0, int(k), acc)
	for i := range m {
		row := d.data[i*int64(d.ld):][:n]
		for j := range row {
			row[j] = t[int64(j)*m+i]
		}
	}
}

// dense32 decodes a matrix row by row.
func (c *core) dense32(scratch *[]float32, a operandRef, r, q int64) []float32 {
	if x, ld, trans := a.inPlace(r, q); x != nil && !trans && int64(ld) == q {
		return x
	}
	*scratch = grow(*scratch, r*q)
	out := *scratch
	for i := range r {
		c.decodeRow(out[i*q:][:q], a.fmt, a.buf, a.off+i*a.s0, a.s1)
	}
	return out
}

// accumulator sees the result tile as row-major float32, in place where it is that, else as a copy to be put back.
func (c *core) accumulator(v *view, load bool) (d matrix, direct bool) {
	o := v.o
	if o.stride[1] == 4 && o.stride[0]%4 == 0 && o.stride[0] >= 4*v.n[1] {
		if x := f32s(v.buf, v.off, (v.hi-v.off)/4); x != nil {
			return matrix{x, int(o.stride[0] / 4)}, true
		}
	}
	r, q := v.n[0], v.n[1]
	c.md = grow(c.md, r*q)
	if load {
		b := c.f32()
		for i := range r {
			loadRow(b, c.md[i*q:][:q], o, v.buf, v.off+i*o.stride[0])
		}
	}
	return matrix{c.md, int(q)}, false
}

func (c *core) putBack(v *view, d matrix) {
	for i := range v.n[0] {
		storeRow(c.f32(), v.o, v.buf, v.off+i*v.o.stride[0], d.data[i*v.n[1]:][:v.n[1]], v.o.fmt.DefaultMode())
	}
}

// productInt sums integers, wrapping in 32 bits.
func (c *core) productInt(d *view, a, b operandRef, m, n, k int64, acc bool) {
	bank := c.i64()
	c.rowInt = grow(c.rowInt, k+n*k+n)
	x, w, sum := c.rowInt[:k], c.rowInt[k:][:n*k], c.rowInt[k+n*k:]
	ao, bo := a.operand(), b.operand()
	for p := range k {
		loadRow(bank, w[p*n:][:n], &bo, b.buf, b.off+p*b.s0)
	}
	for i := range m {
		loadRow(bank, x, &ao, a.buf, a.off+i*a.s0)
		to := d.off + i*d.o.stride[0]
		if acc {
			loadRow(bank, sum, d.o, d.buf, to)
		} else {
			clear(sum)
		}
		for p, v := range x {
			if v != 0 {
				for j, y := range w[int64(p)*n:][:n] {
					sum[j] += v * y
				}
			}
		}
		storeRow(bank, d.o, d.buf, to, sum, format.Mode{})
	}
}

// operand describes the rows of a matrix to decode them.
func (a *operandRef) operand() operand {
	o := operand{fmt: a.fmt, bits: int64(a.fmt.Bits()), rank: 2}
	if o.bits >= 8 {
		o.esize = o.bits / 8
	}
	o.stride[0], o.stride[1] = a.s0, a.s1
	if a.fmt == format.TF32 || a.fmt == format.HF32 {
		o.fmt = format.F32
	}
	return o
}

// productPlain sums one fused multiply-add a step, each rounded to the accumulator's format.
func (c *core) productPlain(d *view, a, b operandRef, m, n, k int64, keep bool) {
	bank := c.f64()
	c.row64 = grow(c.row64, k+n*k+n)
	x, w, sum := c.row64[:k], c.row64[k:][:n*k], c.row64[k+n*k:]
	acc := d.o.fmt
	load := func(row []float64, a *operandRef, at int64) {
		o := a.operand()
		loadRow(bank, row, &o, a.buf, at)
		if o.fmt != a.fmt {
			format.RoundF64(a.fmt, row)
		}
	}
	for p := range k {
		load(w[p*n:][:n], &b, b.off+p*b.s0)
	}
	for i := range m {
		load(x, &a, a.off+i*a.s0)
		to := d.off + i*d.o.stride[0]
		if keep {
			loadRow(bank, sum, d.o, d.buf, to)
		} else {
			clear(sum)
		}
		for p, v := range x {
			for j, y := range w[int64(p)*n:][:n] {
				if acc == format.F64 {
					sum[j] = canonical64(math.FMA(v, y, sum[j]))
				} else {
					sum[j] = acc.Round(oddSum(v*y, sum[j]))
				}
			}
		}
		storeRow(bank, d.o, d.buf, to, sum, d.o.fmt.DefaultMode())
	}
}

// oddSum is p+s rounded to odd, so that rounding it again to a narrower format rounds the exact sum.
func oddSum(p, s float64) float64 {
	sum := p + s
	if sum-sum != 0 || sum == 0 {
		return sum
	}
	z := sum - p
	lost := (p - (sum - z)) + (s - z)
	if u := math.Float64bits(sum); lost != 0 && u&1 == 0 {
		if (lost > 0) == (sum > 0) {
			u++
		} else {
			u--
		}
		return math.Float64frombits(u)
	}
	return sum
}

// productLimited sums as units do that add the products of a group in fixed point and keep few bits; see [kernels.Limited]. The chip
// states how many significant bits the accumulator keeps; terms are aligned to as many and cut toward zero.
func (c *core) productLimited(d matrix, l *kernels.Limited, x, y operandRef, m, n, k int64, acc bool) {
	a := c.dense32(&c.ta, x, m, k)
	var pb []float32
	whole, p, fits := k, int64(0), false
	if y.fixed {
		if z, j, from := c.packOf(y, k, n); z != nil {
			pb, whole, p = z.columns(c, j, n), z.k, from
			fits = z.narrow(l, j, n)
		}
	}
	if pb == nil {
		c.pb = grow(c.pb, int64(kernels.PackedBLen(int(k), int(n))))
		pb = c.pb
		c.packB(pb, y, k, n)
	}
	kernels.GemmLimitedPart(d.data, d.ld, a, int(k), pb, int(m), int(n), int(whole), int(p), int(k), acc, *l, fits)
}

// limitedBy describes the accumulator of a rate.
func limitedBy(bits, group int, a, b format.Format) kernels.Limited {
	exp := func(f format.Format) int {
		_, e := math.Frexp(f.Info().MinNormal)
		return max(e-1, -126)
	}
	return kernels.Limited{Group: max(group, 1), FracBits: bits - 1, AccBits: bits - 1, MinExpA: exp(a), MinExpB: exp(b)}
}
