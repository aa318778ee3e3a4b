package exec

import (
	"encoding/binary"

	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

// runMove copies a tile.
func runMove(c *core, f *frame) error {
	in := f.in
	if in.lazy && c.lazyOn {
		if c.moveLater(f) {
			return nil
		}
		if c.record != nil {
			c.noteInstr(effectInstr, f, operandRef{}, operandRef{})
		}
	}
	return c.moveTile(f)
}

// moveTile copies a tile now.
func (c *core) moveTile(f *frame) error {
	in := f.in
	if in.dst.index == nil && in.a.index == nil {
		return c.copyTile(f, &f.dst, &f.a, 0)
	}
	// Row by row: one index each.
	d, a := f.dst, f.a
	for i := int64(0); i < f.dst.n[0]; i++ {
		var err error
		if d.off, err = c.indexed(f, &f.dst, &f.dstIndex, i); err != nil {
			return err
		}
		if a.off, err = c.indexed(f, &f.a, &f.aIndex, i); err != nil {
			return err
		}
		if err := c.copyTile(f, &d, &a, 1); err != nil {
			return err
		}
	}
	return nil
}

// indexed is where row i of a view begins; the index list, when there is one, says which row that is.
func (c *core) indexed(f *frame, v, index *view, i int64) (int64, error) {
	o := v.o
	if o.index == nil {
		return v.off + i*o.stride[0], nil
	}
	row := int64(int32(binary.LittleEndian.Uint32(index.buf[index.off+i*index.o.colStride():])))
	if row > o.most[0] || row < -o.most[0] {
		return 0, c.outside(f, v, v.off, v.off, "index %d, element %d of the list, is out of range", row, i)
	}
	at := v.off + row*o.stride[0]
	if at+v.lo-v.off < o.min || at+v.hi-v.off > o.max {
		return 0, c.outside(f, v, at+v.lo-v.off, at+v.hi-v.off, "index %d, element %d of the list, is out of range", row, i)
	}
	return at, nil
}

// copyTile copies all axes from the given one on.
func (c *core) copyTile(f *frame, d, a *view, from int) error {
	if f.in.cast {
		return c.castTile(f, d, a, from)
	}
	l := &c.loop
	l.build(from, d, a)
	if d.o.esize == 0 {
		// Sub-byte rows are dense: whole bytes.
		l.cols = (l.cols*d.o.bits + 7) / 8
		l.cs[0], l.cs[1] = 1, 1
		copyLoop(l, d.buf, d.off, a.buf, a.off, 1)
		return nil
	}
	copyLoop(l, d.buf, d.off, a.buf, a.off, d.o.esize)
	return nil
}

func copyLoop(l *loop, dst []byte, d int64, src []byte, s int64, size int64) {
	st := steps{at: [4]int64{d, s}}
	for {
		copy2(dst, st.at[0], l.rs[0], l.cs[0], src, st.at[1], l.rs[1], l.cs[1], l.rows, l.cols, size)
		if !st.next(l) {
			return
		}
	}
}

// copy2 copies rows × cols elements of the given size in bytes.
func copy2(dst []byte, d, drs, dcs int64, src []byte, s, srs, scs int64, rows, cols, size int64) {
	if dcs == size && scs == size {
		n := cols * size
		for ; rows > 0; rows-- {
			copy(dst[d:d+n], src[s:s+n])
			d += drs
			s += srs
		}
		return
	}
	if dcs != size && drs == size && rows > 1 {
		// Write along the rows: better one read far away than one write.
		rows, cols = cols, rows
		drs, dcs, srs, scs = dcs, drs, scs, srs
	}
	if size == 4 && dcs == 4 && cols > 1 && rows > 1 && srs == 4 {
		transpose4(dst, d, drs, src, s, scs, rows, cols)
		return
	}
	for ; rows > 0; rows-- {
		i, j := d, s
		switch size {
		case 1:
			for range cols {
				dst[i] = src[j]
				i += dcs
				j += scs
			}
		case 2:
			for range cols {
				binary.LittleEndian.PutUint16(dst[i:], binary.LittleEndian.Uint16(src[j:]))
				i += dcs
				j += scs
			}
		case 4:
			for range cols {
				binary.LittleEndian.PutUint32(dst[i:], binary.LittleEndian.Uint32(src[j:]))
				i += dcs
				j += scs
			}
		case 8:
			for range cols {
				binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[j:]))
				i += dcs
				j += scs
			}
		}
		d += drs
		s += srs
	}
}

// transpose4 writes rows × cols elements of four bytes, read down the columns, in blocks that fit the first-level cache.
func transpose4(dst []byte, d, drs int64, src []byte, s, scs int64, rows, cols int64) {
	const block = 16
	for r := int64(0); r < rows; r += block {
		rn := min(block, rows-r)
		for k := int64(0); k < cols; k += block {
			kn := min(block, cols-k)
			for i := int64(0); i < rn; i++ {
				to := d + (r+i)*drs + k*4
				at := s + (r+i)*4 + k*scs
				for j := int64(0); j < kn; j++ {
					binary.LittleEndian.PutUint32(dst[to:], binary.LittleEndian.Uint32(src[at:]))
					to += 4
					at += scs
				}
			}
		}
	}
}

// runLoadScalar reads one integer into a register.
func runLoadScalar(c *core, f *frame) error {
	a := &f.a
	at := a.off
	switch a.o.esize {
	case 4:
		c.regs[f.in.reg] = int64(int32(binary.LittleEndian.Uint32(a.buf[at:])))
	default:
		c.regs[f.in.reg] = int64(binary.LittleEndian.Uint64(a.buf[at:]))
	}
	return nil
}

// setRegister computes a scalar function.
func (c *core) setRegister(in *instr) error {
	x, y := in.x.eval(c.regs), in.y.eval(c.regs)
	switch in.fn {
	case plan.VAdd:
		x += y
	case plan.VSub:
		x -= y
	case plan.VMul:
		x *= y
	case plan.VMax:
		x = max(x, y)
	case plan.VMin:
		x = min(x, y)
	case plan.SDiv, plan.SMod:
		if y <= 0 {
			return c.fault(in, guard.BadValue, "division of %d by %d: the divisor must be positive", x, y)
		}
		q := x / y
		if x%y < 0 {
			q--
		}
		if in.fn == plan.SMod {
			q = x - y*q
		}
		x = q
	case plan.SLt:
		if x < y {
			x = 1
		} else {
			x = 0
		}
	}
	c.regs[in.reg] = x
	return nil
}
