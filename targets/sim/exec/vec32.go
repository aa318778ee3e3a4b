package exec

import (
	"apogee/ir/format"
	"apogee/targets/sim/kernels"
)

// rowKind is how an operand of f32 lies along a row.
type rowKind uint8

const (
	rowDense rowKind = iota
	rowOne           // one element, repeated
)

// rows32 computes f32 tiles where they lie, when every row is dense or one element repeated. False when some tile is something else:
// nothing is done then.
func (c *core) rows32(f *frame) bool {
	in := f.in
	d := &f.dst
	if d.o.fmt != format.F32 || d.off&3 != 0 {
		return false
	}
	srcs := [3]*view{&f.a, &f.b, &f.c}
	for i, s := range srcs {
		if i < in.arity && s.has() && (s.o.fmt != format.F32 || s.off&3 != 0) {
			return false
		}
	}
	l := &c.loop
	l.build(0, d, srcs[0], srcs[1], srcs[2])
	if l.cs[0] != 4 && l.cols > 1 || l.rs[0]&3 != 0 {
		return false
	}
	for k := range l.outer {
		if (l.s[0][k]|l.s[1][k]|l.s[2][k]|l.s[3][k])&3 != 0 {
			return false
		}
	}
	var kind [3]rowKind
	for i := range in.arity {
		switch cs := l.cs[i+1]; {
		case cs == 4 || l.cols == 1:
			if !srcs[i].has() {
				kind[i] = rowOne
			}
		case cs == 0:
			kind[i] = rowOne
		default:
			return false
		}
		if l.rs[i+1]&3 != 0 {
			return false
		}
	}
	imm := float32(in.imm)
	st := steps{at: [4]int64{d.off, f.a.off, f.b.off, f.c.off}}
	if f32s(d.buf, d.off, 1) == nil {
		return false
	}
	for i, s := range srcs {
		if i < in.arity && s.has() && f32s(s.buf, s.off, 1) == nil {
			return false
		}
	}
	cols := l.cols
	for {
		for r := range l.rows {
			out := f32s(d.buf, st.at[0]+r*l.rs[0], cols)
			var row [3][]float32
			var one [3]float32
			for i := range in.arity {
				s := srcs[i]
				switch {
				case !s.has():
					one[i] = imm
				case kind[i] == rowOne:
					one[i] = f32s(s.buf, st.at[i+1]+r*l.rs[i+1], 1)[0]
				default:
					row[i] = f32s(s.buf, st.at[i+1]+r*l.rs[i+1], cols)
				}
			}
			c.row32fn(in, out, kind, row, one)
		}
		if !st.next(l) {
			return true
		}
	}
}

// row32fn computes one row.
func (c *core) row32fn(in *instr, out []float32, kind [3]rowKind, row [3][]float32, one [3]float32) {
	switch in.arity {
	case 1:
		x := row[0]
		if kind[0] == rowOne {
			x = out[:1]
			x[0] = one[0]
			kernels.Unary(in.unary, x, x)
			fill(out, x[0])
			return
		}
		kernels.Unary(in.unary, out, x)
	case 2:
		switch {
		case kind[0] == rowDense && kind[1] == rowDense:
			kernels.Binary(in.binary, out, row[0], row[1])
		case kind[0] == rowDense:
			kernels.BinaryScalar(in.binary, out, row[0], one[1], false)
		case kind[1] == rowDense:
			kernels.BinaryScalar(in.binary, out, row[1], one[0], true)
		default:
			x := out[:1]
			x[0] = one[0]
			kernels.BinaryScalar(in.binary, x, x, one[1], false)
			fill(out, x[0])
		}
	case 3:
		if kind[0] != rowDense {
			row[0], row[1], one[0], one[1] = row[1], row[0], one[1], one[0]
			kind[0], kind[1] = kind[1], kind[0]
		}
		b := c.f32()
		for k := 0; k < len(out); k += chunk {
			o := out[k:min(k+chunk, len(out))]
			x, z := b.v[0][:len(o)], b.v[2][:len(o)]
			if kind[0] == rowDense {
				x = row[0][k:][:len(o)]
			} else {
				fill(x, one[0])
			}
			if kind[2] == rowDense {
				z = row[2][k:][:len(o)]
			} else {
				fill(z, one[2])
			}
			if kind[1] == rowDense {
				kernels.FMA(o, x, row[1][k:][:len(o)], z)
			} else {
				kernels.FMAScalar(o, x, one[1], z)
			}
		}
	}
}

// compare32 compares tiles of float formats that f32 holds.
func (c *core) compare32(f *frame) {
	in := f.in
	d := &f.dst
	b := c.f32()
	srcs := [2]*view{&f.a, &f.b}
	l := &c.loop
	l.build(0, d, srcs[0], srcs[1])
	cn, rn := l.cols, l.rows
	if cn > chunk {
		cn, rn = chunk, 1
	} else if cn*rn > chunk {
		rn = max(chunk/max(cn, 1), 1)
	}
	for i, s := range srcs {
		if !s.has() {
			fill(b.v[i][:cn*rn], float32(in.imm))
		}
	}
	st := steps{at: [4]int64{d.off, f.a.off, f.b.off}}
	for {
		for r := int64(0); r < l.rows; r += rn {
			rows := min(rn, l.rows-r)
			for k := int64(0); k < l.cols; k += cn {
				cols := min(cn, l.cols-k)
				n := rows * cols
				var x [2][]float32
				for i, s := range srcs {
					x[i] = b.v[i][:n]
					if !s.has() {
						continue
					}
					at, rs, cs := st.at[i+1]+r*l.rs[i+1], l.rs[i+1], l.cs[i+1]
					if s.o.esize != 0 {
						at += k * cs
					}
					if p := direct[float32](s.o, s.buf, at, rs, cs, rows, cols); p != nil && !in.flush {
						x[i] = p
						continue
					}
					b.load(x[i], s.o, s.buf, at, rs, cs, rows, cols, k)
					if in.flush {
						flushLane(s.o.fmt, x[i])
					}
				}
				at, rs, cs := st.at[0]+r*l.rs[0]+k*l.cs[0], l.rs[0], l.cs[0]
				if (cs == 1 || cols == 1) && (rs == cols || rows == 1) {
					kernels.Compare(in.comparison, d.buf[at:at+n], x[0], x[1])
					continue
				}
				out := b.raw[:n]
				kernels.Compare(in.comparison, out, x[0], x[1])
				for i := range rows {
					scatter(d.buf, at+i*rs, cs, out[i*cols:], cols, 1)
				}
			}
		}
		if !st.next(l) {
			return
		}
	}
}
