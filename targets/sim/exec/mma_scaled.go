package exec

import (
	"apogee/targets/sim/kernels"
)

// productScaled multiplies operands whose blocks along K have scales, as engines for the OCP's MX formats do (Microscaling Formats
// Specification 1.0, section 6.2): the products of a block are summed from zero as the chip's rate says, and the sum, times the scales of
// both sides, is added to the result with one rounding, blocks in ascending order. How the sum within a block rounds is the
// implementation's own, the specification says.
func (c *core) productScaled(f *frame, a, b operandRef, m, n, k int64) {
	in := f.in
	g := in.scaleBlock
	blocks := (k + g - 1) / g
	sa, sb := c.scales(&c.scalesA, &f.c, m, blocks), c.scales(&c.scalesB, &f.d, blocks, n)
	d, direct := c.accumulator(&f.dst, f.acc != 0)
	if f.acc == 0 {
		for i := range m {
			clear(d.data[i*int64(d.ld):][:n])
		}
	}
	c.blockSums, c.factors = grow(c.blockSums, m*n), grow(c.factors, n)
	part := matrix{c.blockSums, int(n)}
	for q := range blocks {
		x, y, steps := a.along(a.s1, true, q*g), b.along(b.s0, in.turned, q*g), min(g, k-q*g)
		if in.within == mmaLimited {
			c.productLimited(part, &in.limited, x, y, m, n, steps, false)
		} else {
			c.product(part, x, y, m, n, steps, false)
		}
		for i := range m {
			c.addScaled(d.data[i*int64(d.ld):][:n], part.data[i*n:][:n], sa[i*blocks+q], sb[q*n:][:n])
		}
	}
	if !direct {
		c.putBack(&f.dst, d)
	}
}

// addScaled adds a row of sums times a scale of the row and one of each column.
func (c *core) addScaled(d, sums []float32, row float64, cols []float64) {
	exact := true
	for j, s := range cols {
		c.factors[j] = float32(row * s)
		exact = exact && float64(c.factors[j]) == row*s
	}
	if exact {
		kernels.FMA(d, sums, c.factors[:len(d)], d)
		return
	}
	for j, s := range cols { // a factor beyond f32: the products are exact in f64
		d[j] = float32(oddSum(float64(sums[j])*row*s, float64(d[j])))
	}
}

// scales decodes a tile of scales.
func (c *core) scales(scratch *[]float64, v *view, rows, cols int64) []float64 {
	*scratch = grow(*scratch, rows*cols)
	out := *scratch
	for i := range rows {
		loadRow(c.f64(), out[i*cols:][:cols], v.o, v.buf, v.off+i*v.o.stride[0])
	}
	return out
}

// along is an operand from step k of an axis on, given the axis's stride; of a format with several elements a byte, dense says that it is
// the axis along which they follow one another.
func (a operandRef) along(stride int64, dense bool, k int64) operandRef {
	if bits := int64(a.fmt.Bits()); bits < 8 && dense {
		a.off += k * bits / 8
	} else {
		a.off += k * stride
	}
	return a
}
