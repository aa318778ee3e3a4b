package exec

import (
	"math"

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
)

func (in *instr) checkMma(rate *chip.MatrixRate) error {
	a, b, d := in.a, in.b, in.dst
	if a == nil || b == nil || in.c != nil {
		return problem("mma has two operands")
	}
	if a.rank != 2 || b.rank != 2 || d.rank != 2 {
		return problem("mma works on tiles of two axes")
	}
	if rate == nil {
		return problem("the chip does not multiply %s by %s into %s", a.fmt, b.fmt, d.fmt)
	}
	in.accBits, in.accGroup = rate.AccBits, rate.AccGroup
	switch {
	case !a.fmt.IsFloat() && !b.fmt.IsFloat() && d.fmt == format.I32 && a.fmt.Bits() <= 16 && b.fmt.Bits() <= 16:
		in.mma = mmaInt
	case !a.fmt.IsFloat() || !b.fmt.IsFloat() || !d.fmt.IsFloat():
		return problem("no product of %s by %s into %s is known", a.fmt, b.fmt, d.fmt)
	case rate.AccBits > 0 && d.fmt == format.F32:
		in.mma = mmaLimited
	case rate.AccBits > 0:
		return problem("an accumulator of %d bits is known in f32 only, found %s", rate.AccBits, d.fmt)
	case d.fmt == format.F32 && a.fmt != format.F64 && b.fmt != format.F64:
		in.mma = mmaF32
	default:
		in.mma = mmaPlain
	}
	return nil
}

func runMma(c *core, f *frame) error {
	in := f.in
	m, n, k := f.dst.n[0], f.dst.n[1], f.a.n[1]
	switch in.mma {
	case mmaF32:
		c.product(f, m, n, k)
	case mmaInt:
		c.productInt(f, m, n, k)
	case mmaLimited:
		c.productLimited(f, m, n, k)
	default:
		c.productPlain(f, m, n, k)
	}
	return nil
}

// matrix is a tile as dense float32: element (i, j) is data[i*ld+j], or data[j*ld+i] when trans.
type matrix struct {
	data  []float32
	ld    int
	trans bool
}

// asMatrix sees a tile of two axes as float32, in place where it is that, else decoded into scratch. tf32 and hf32 are rounded to
// nearest even: that is how their engines take f32 operands.
func (c *core) asMatrix(v *view, scratch *[]float32) matrix {
	o := v.o
	r, q := v.n[0], v.n[1]
	if o.fmt == format.F32 && v.off%4 == 0 {
		s0, s1 := o.stride[0], o.stride[1]
		switch {
		case (s1 == 4 || q == 1) && s0%4 == 0 && (s0 >= 4*q || r == 1):
			if x := f32s(v.buf, v.off, (v.hi-v.off)/4); x != nil {
				return matrix{x, int(max(s0/4, q)), false}
			}
		case (s0 == 4 || r == 1) && s1%4 == 0 && s1 >= 4*r:
			if x := f32s(v.buf, v.off, (v.hi-v.off)/4); x != nil {
				return matrix{x, int(s1 / 4), true}
			}
		}
	}
	*scratch = grow(*scratch, r*q)
	out := *scratch
	b := c.f32()
	f := o.fmt
	round := f == format.TF32 || f == format.HF32
	plain := *o
	if round {
		plain.fmt = format.F32
	}
	// Decode along the axis that is dense in memory.
	trans := o.esize != 0 && o.stride[0] == o.esize && o.stride[1] != o.esize && q > 1
	rows, cols, rs, cs := r, q, o.stride[0], o.colStride()
	if trans {
		rows, cols, rs, cs = q, r, o.stride[1], o.stride[0]
	}
	for i := range rows {
		for j := int64(0); j < cols; j += chunk {
			w := min(chunk, cols-j)
			at := v.off + i*rs
			if o.esize != 0 {
				at += j * cs
			}
			b.load(out[i*cols+j:][:w], &plain, v.buf, at, 0, cs, 1, w, j)
		}
	}
	if round {
		format.RoundF32(f, out)
	}
	return matrix{out, int(cols), trans}
}

// dense copies a matrix to row-major order when it is not.
func (x matrix) dense(r, q int, scratch *[]float32) []float32 {
	if !x.trans && x.ld == q {
		return x.data
	}
	*scratch = grow(*scratch, int64(r*q))
	out := *scratch
	for i := range r {
		if x.trans {
			for j := range q {
				out[i*q+j] = x.data[j*x.ld+i]
			}
		} else {
			copy(out[i*q:][:q], x.data[i*x.ld:])
		}
	}
	return out
}

// product sums in f32, one fused multiply-add a step.
func (c *core) product(f *frame, m, n, k int64) {
	a := c.asMatrix(&f.a, &c.ma)
	b := c.asMatrix(&f.b, &c.mb)
	acc := f.acc != 0
	d, direct := c.accumulator(f, acc)
	c.pa = grow(c.pa, int64(kernels.PackedALen(int(m), int(k))))
	c.pb = grow(c.pb, int64(kernels.PackedBLen(int(k), int(n))))
	kernels.PackA(c.pa, a.data, int(m), int(k), a.ld, a.trans)
	kernels.PackB(c.pb, b.data, int(k), int(n), b.ld, b.trans)
	kernels.Gemm(d.data, d.ld, c.pa, c.pb, int(m), int(n), int(k), acc)
	if !direct {
		c.putBack(f, d)
	}
}

// accumulator sees the result tile as row-major float32, in place where it is that, else as a copy to be put back.
func (c *core) accumulator(f *frame, load bool) (d matrix, direct bool) {
	v := &f.dst
	o := v.o
	if o.stride[1] == 4 && o.stride[0]%4 == 0 && o.stride[0] >= 4*v.n[1] {
		if x := f32s(v.buf, v.off, (v.hi-v.off)/4); x != nil {
			return matrix{x, int(o.stride[0] / 4), false}, true
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
	return matrix{c.md, int(q), false}, false
}

func (c *core) putBack(f *frame, d matrix) {
	v := &f.dst
	for i := range v.n[0] {
		storeRow(c.f32(), v.o, v.buf, v.off+i*v.o.stride[0], d.data[i*v.n[1]:][:v.n[1]], v.o.fmt.DefaultMode())
	}
}

// productInt sums integers, wrapping in 32 bits.
func (c *core) productInt(f *frame, m, n, k int64) {
	a, b, d := &f.a, &f.b, &f.dst
	bank := c.i64()
	c.rowInt = grow(c.rowInt, k+n*k+n)
	x, w, sum := c.rowInt[:k], c.rowInt[k:][:n*k], c.rowInt[k+n*k:]
	for p := range k {
		loadRow(bank, w[p*n:][:n], b.o, b.buf, b.off+p*b.o.stride[0])
	}
	for i := range m {
		loadRow(bank, x, a.o, a.buf, a.off+i*a.o.stride[0])
		at := d.off + i*d.o.stride[0]
		if f.acc != 0 {
			loadRow(bank, sum, d.o, d.buf, at)
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
		storeRow(bank, d.o, d.buf, at, sum, format.Mode{})
	}
}

// productPlain sums one fused multiply-add a step, each rounded to the accumulator's format.
func (c *core) productPlain(f *frame, m, n, k int64) {
	a, b, d := &f.a, &f.b, &f.dst
	bank := c.f64()
	c.row64 = grow(c.row64, k+n*k+n)
	x, w, sum := c.row64[:k], c.row64[k:][:n*k], c.row64[k+n*k:]
	acc := d.o.fmt
	load := func(row []float64, v *view, at int64) {
		o := *v.o
		if o.fmt == format.TF32 || o.fmt == format.HF32 {
			o.fmt = format.F32
		}
		loadRow(bank, row, &o, v.buf, at)
		if o.fmt != v.o.fmt {
			format.RoundF64(v.o.fmt, row)
		}
	}
	for p := range k {
		load(w[p*n:][:n], b, b.off+p*b.o.stride[0])
	}
	for i := range m {
		load(x, a, a.off+i*a.o.stride[0])
		at := d.off + i*d.o.stride[0]
		if f.acc != 0 {
			loadRow(bank, sum, d.o, d.buf, at)
		} else {
			clear(sum)
		}
		for p, v := range x {
			for j, y := range w[int64(p)*n:][:n] {
				if acc == format.F64 {
					sum[j] = math.FMA(v, y, sum[j])
				} else {
					sum[j] = acc.Round(oddSum(v*y, sum[j]))
				}
			}
		}
		storeRow(bank, d.o, d.buf, at, sum, d.o.fmt.DefaultMode())
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

// productLimited sums in groups along K: the exact products of a group and the accumulator are cut, toward zero, to the bits that the
// accumulator keeps below the largest of them, added exactly, and the sum is cut again.
func (c *core) productLimited(f *frame, m, n, k int64) {
	a := c.asMatrix(&f.a, &c.ma).dense(int(m), int(k), &c.ta)
	b := c.asMatrix(&f.b, &c.mb).dense(int(k), int(n), &c.tb)
	d, direct := c.accumulator(f, f.acc != 0)
	group := int64(max(f.in.accGroup, 1))
	for i := range m {
		row := d.data[i*int64(d.ld):][:n]
		if f.acc == 0 {
			clear(row)
		}
		for j := range n {
			s := float64(row[j])
			for p := int64(0); p < k; p += group {
				s = limitedSum(s, a[i*k+p:i*k+min(p+group, k)], b[p*n+j:], n, f.in.accBits)
			}
			row[j] = canonical(float32(s))
		}
	}
	if !direct {
		c.putBack(f, d)
	}
}

func limitedSum(s float64, x, y []float32, ld int64, keep int) float64 {
	top := math.Inf(-1)
	whole := s
	for p, v := range x {
		q := float64(v) * float64(y[int64(p)*ld])
		whole += q
		top = math.Max(top, math.Abs(q))
	}
	top = math.Max(top, math.Abs(s))
	if top-top != 0 || top != top {
		return whole
	}
	if top == 0 {
		return 0
	}
	_, e := math.Frexp(top)
	unit := math.Ldexp(1, e-keep)
	sum := math.Trunc(s/unit) * unit
	for p, v := range x {
		sum += math.Trunc(float64(v)*float64(y[int64(p)*ld])/unit) * unit
	}
	if sum == 0 {
		return 0
	}
	_, e = math.Frexp(sum)
	unit = math.Ldexp(1, e-keep)
	return math.Trunc(sum/unit) * unit
}
