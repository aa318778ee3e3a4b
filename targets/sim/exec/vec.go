package exec

import (
	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/sim/kernels"
)

// class is the type that an elementwise instruction computes in.
type class uint8

const (
	inF32 class = iota
	inF64
	inI64
	inU64 // 64 bits without sign: as inI64, but for order and division
)

func classOf(f format.Format) class {
	switch {
	case f == format.F64:
		return inF64
	case f == format.U64:
		return inU64
	case f.IsFloat():
		return inF32
	}
	return inI64
}

// arity is how many operands a function of elements has; 0 when Vec does not take it.
func arity(fn plan.Fn) int {
	switch {
	case fn <= plan.VBitcast:
		return 1
	case fn <= plan.VGe:
		return 2
	case fn <= plan.VFma:
		return 3
	}
	return 0
}

func isCompare(fn plan.Fn) bool { return fn >= plan.VEq && fn <= plan.VGe }

// arithmetic says whether a function computes: whether a chip that flushes subnormals does so here.
func arithmetic(fn plan.Fn) bool {
	switch fn {
	case plan.VCopy, plan.VCast, plan.VNeg, plan.VAbs, plan.VNot, plan.VBitcast, plan.VSelect:
		return false
	}
	return true
}

// runLane computes elements in lane T: chunks of the operands are decoded, unless they lie as the lane has them, and the results encoded.
func runLane[T lane](c *core, f *frame, b *bank[T], from int, d *view, srcs [3]*view, fn func(d, x, y, z []T)) {
	in := f.in
	l := &c.loop
	l.build(from, d, srcs[0], srcs[1], srcs[2])
	imm := T(0)
	if in.useImm {
		imm = toLane[T](in.imm)
	}
	cn, rn := l.cols, l.rows
	if cn > chunk {
		cn, rn = chunk, 1
	} else if cn*rn > chunk {
		rn = max(chunk/max(cn, 1), 1)
	}
	for i, s := range srcs {
		if s != nil && !s.has() && i < in.arity {
			fill(b.v[i][:cn*rn], imm)
		}
	}
	st := steps{at: [4]int64{d.off}}
	for i, s := range srcs {
		if s.has() {
			st.at[i+1] = s.off
		}
	}
	for {
		for r := int64(0); r < l.rows; r += rn {
			rows := min(rn, l.rows-r)
			for k := int64(0); k < l.cols; k += cn {
				cols := min(cn, l.cols-k)
				var x [3][]T
				for i, s := range srcs {
					if i >= in.arity {
						break
					}
					x[i] = b.v[i][:rows*cols]
					if !s.has() {
						continue
					}
					at, rs, cs := st.at[i+1]+r*l.rs[i+1], l.rs[i+1], l.cs[i+1]
					if s.o.esize != 0 {
						at += k * cs
					}
					if p := direct[T](s.o, s.buf, at, rs, cs, rows, cols); p != nil && !in.flush {
						x[i] = p
						continue
					}
					b.load(x[i], s.o, s.buf, at, rs, cs, rows, cols, k)
					if in.flush {
						flushLane(s.o.fmt, x[i])
					}
				}
				at, rs, cs := st.at[0]+r*l.rs[0], l.rs[0], l.cs[0]
				if d.o.esize != 0 {
					at += k * cs
				}
				if p := direct[T](d.o, d.buf, at, rs, cs, rows, cols); p != nil && !in.mode.Saturate {
					fn(p, x[0], x[1], x[2])
					if in.flush {
						flushLane(d.o.fmt, p)
					}
					continue
				}
				out := b.v[3][:rows*cols]
				fn(out, x[0], x[1], x[2])
				if in.flush && d.o.fmt == format.F32 {
					flushLane(d.o.fmt, out)
				}
				b.store(d.o, d.buf, at, rs, cs, rows, cols, k, out, in.mode)
			}
		}
		if !st.next(l) {
			return
		}
	}
}

// direct sees the elements in place when they are dense float32 and the lane is that.
func direct[T lane](o *operand, buf []byte, at, rs, cs, rows, cols int64) []T {
	if o.fmt != format.F32 || cs != 4 && cols > 1 || rows > 1 && rs != 4*cols {
		return nil
	}
	var t any = (*[]T)(nil)
	if _, ok := t.(*[]float32); !ok {
		return nil
	}
	s := f32s(buf, at, rows*cols)
	return any(s).([]T)
}

func toLane[T lane](x float64) T {
	var v T
	switch p := any(&v).(type) {
	case *int64:
		*p = int64(format.I64.Encode(x))
	case *float32:
		*p = float32(x)
	case *float64:
		*p = x
	}
	return v
}

// flushLane turns the subnormals of a format into zeros of their sign.
func flushLane[T lane](f format.Format, x []T) {
	least := f.Info().MinNormal
	switch x := any(x).(type) {
	case []float32:
		m := float32(least)
		for i, v := range x {
			if v < m && v > -m {
				x[i] = v * 0
			}
		}
	case []float64:
		for i, v := range x {
			if v < least && v > -least {
				x[i] = v * 0
			}
		}
	}
}

// runVec computes elements.
func runVec(c *core, f *frame) error {
	in := f.in
	srcs := [3]*view{&f.a, &f.b, &f.c}
	switch in.fn {
	case plan.VCopy, plan.VBitcast:
		if !f.a.has() {
			return c.fillTile(f)
		}
		l := &c.loop
		l.build(0, &f.dst, &f.a)
		size := f.dst.o.esize
		if size == 0 {
			l.cols = (l.cols*f.dst.o.bits + 7) / 8
			l.cs[0], l.cs[1] = 1, 1
			size = 1
		}
		copyLoop(l, f.dst.buf, f.dst.off, f.a.buf, f.a.off, size)
		return nil
	case plan.VCast:
		return c.castTile(f, &f.dst, &f.a, 0)
	case plan.VSelect:
		return c.selectTile(f)
	}
	switch in.class {
	case inF32:
		if isCompare(in.fn) {
			c.compare32(f)
		} else if in.flush || !c.rows32(f) {
			runLane(c, f, c.f32(), 0, &f.dst, srcs, in.fn32)
		}
	case inF64:
		runLane(c, f, c.f64(), 0, &f.dst, srcs, in.fn64)
	default:
		runLane(c, f, c.i64(), 0, &f.dst, srcs, in.fnInt)
	}
	return nil
}

// fillTile writes Imm to every element.
func (c *core) fillTile(f *frame) error {
	in := f.in
	pattern := in.pattern
	d := &f.dst
	l := &c.loop
	l.build(0, d)
	st := steps{at: [4]int64{d.off}}
	size := d.o.esize
	n := min(l.cols, chunk)
	row := c.bytes(8 * chunk)
	b := max(d.o.bits, 1)
	for i := range n {
		format.Put(d.o.fmt, row, int(i), pattern)
	}
	for {
		for r := range l.rows {
			at := st.at[0] + r*l.rs[0]
			for k := int64(0); k < l.cols; k += n {
				m := min(n, l.cols-k)
				switch {
				case size == 0:
					copy(d.buf[at+k*b/8:][:(m*b+7)/8], row)
				case l.cs[0] == size:
					copy(d.buf[at+k*size:][:m*size], row)
				default:
					scatter(d.buf, at+k*l.cs[0], l.cs[0], row, m, size)
				}
			}
		}
		if !st.next(l) {
			return nil
		}
	}
}

// castTile converts all axes from the given one on.
func (c *core) castTile(f *frame, d, a *view, from int) error {
	in := f.in
	srcs := [3]*view{a, &noView, &noView}
	switch in.class {
	case inF32:
		runLane(c, f, c.f32(), from, d, srcs, copyLane[float32])
	case inF64:
		b := c.f64()
		if in.odd {
			b = c.odd64()
		}
		runLane(c, f, b, from, d, srcs, copyLane[float64])
	default:
		runLane(c, f, c.i64(), from, d, srcs, copyLane[int64])
	}
	return nil
}

var noView view

func copyLane[T lane](d, x, _, _ []T) { copy(d, x) }

// castClass is the type a cast goes through, so that it rounds once; odd says that 64-bit integers are to be rounded to odd on
// the way, after which the second rounding is exact.
func castClass(from, to format.Format) (cl class, odd bool) {
	switch {
	case !from.IsFloat() && !to.IsFloat():
		return inI64, false
	case !from.IsFloat():
		if to == format.F32 {
			return inF32, false
		}
		return inF64, from.Bits() == 64 && to != format.F64
	case !to.IsFloat() || from == format.F64 || to == format.F64:
		return inF64, false
	}
	return inF32, false
}

// selectTile chooses between two tiles bit by bit.
func (c *core) selectTile(f *frame) error {
	d := &f.dst
	l := &c.loop
	l.build(0, d, &f.a, &f.b, &f.c)
	size := d.o.esize
	n := min(l.cols, chunk)
	tmp := c.bytes(4 * 8 * chunk)
	mask, x, y, out := tmp[:n], tmp[8*chunk:][:8*n], tmp[16*chunk:][:8*n], tmp[24*chunk:][:8*n]
	for i, v := range []*view{&f.b, &f.c} {
		if !v.has() {
			to := [][]byte{x, y}[i]
			for k := range n {
				format.Put(d.o.fmt, to, int(k), f.in.pattern)
			}
		}
	}
	st := steps{at: [4]int64{d.off, f.a.off, f.b.off, f.c.off}}
	for {
		for r := range l.rows {
			for k := int64(0); k < l.cols; k += n {
				m := min(n, l.cols-k)
				dense(mask, f.a.buf, st.at[1]+r*l.rs[1]+k*l.cs[1], l.cs[1], m, 1)
				if f.b.has() {
					dense(x, f.b.buf, st.at[2]+r*l.rs[2]+k*l.cs[2], l.cs[2], m, size)
				}
				if f.c.has() {
					dense(y, f.c.buf, st.at[3]+r*l.rs[3]+k*l.cs[3], l.cs[3], m, size)
				}
				choose(out, mask[:m], x, y, size)
				at := st.at[0] + r*l.rs[0] + k*l.cs[0]
				if l.cs[0] == size {
					copy(d.buf[at:at+m*size], out)
				} else {
					scatter(d.buf, at, l.cs[0], out, m, size)
				}
			}
		}
		if !st.next(l) {
			return nil
		}
	}
}

// dense is gather with a fast way for rows that are dense already.
func dense(dst, src []byte, at, stride, n, size int64) {
	if stride == size {
		copy(dst[:n*size], src[at:at+n*size])
		return
	}
	gather(dst, src, at, stride, n, size)
}

func choose(out, mask, x, y []byte, size int64) {
	n := int64(len(mask))
	if size == 4 {
		kernels.Select(f32s(out, 0, n), mask, f32s(x, 0, n), f32s(y, 0, n))
		return
	}
	for i, m := range mask {
		from := y
		if m != 0 {
			from = x
		}
		copy(out[int64(i)*size:][:size], from[int64(i)*size:])
	}
}

// checkVec finds how a Vec instruction is computed; the error is a sentence.
func (in *instr) checkVec(flush bool) error {
	fn := in.fn
	in.arity = arity(fn)
	if in.arity == 0 {
		return problem("%s is no function of elements", fn)
	}
	ops := []*operand{in.a, in.b, in.c}
	for i := in.arity; i < 3; i++ {
		if ops[i] != nil {
			return problem("%s takes %d operands", fn, in.arity)
		}
	}
	in.useImm = false
	for i := range in.arity {
		in.useImm = in.useImm || ops[i] == nil
	}
	d := in.dst
	in.mode = d.fmt.DefaultMode()
	switch fn {
	case plan.VCopy:
		if in.a != nil && in.a.fmt != d.fmt {
			return problem("copy keeps the format, found %s to %s: a cast changes it", in.a.fmt, d.fmt)
		}
		in.pattern = encodeImm(d.fmt, in.imm)
		return nil
	case plan.VBitcast:
		if in.a == nil || in.a.bits != d.bits {
			return problem("bitcast needs formats of one width")
		}
		return nil
	case plan.VCast:
		if in.a == nil {
			return problem("cast needs an operand")
		}
		in.setCast(in.a.fmt, d.fmt)
		return nil
	case plan.VSelect:
		if in.a == nil || in.a.fmt != format.Bool {
			return problem("select takes a bool tile first")
		}
		for _, o := range ops[1:] {
			if o != nil && o.fmt != d.fmt {
				return problem("select chooses between tiles of the result's format %s, found %s", d.fmt, o.fmt)
			}
		}
		if d.esize == 0 {
			return problem("select does not take the sub-byte format %s", d.fmt)
		}
		in.pattern = encodeImm(d.fmt, in.imm)
		return nil
	}
	var f format.Format
	for _, o := range ops {
		if o == nil {
			continue
		}
		if f == format.Invalid {
			f = o.fmt
		}
		if classOf(o.fmt) != classOf(f) {
			return problem("%s mixes %s and %s", fn, f, o.fmt)
		}
	}
	if f == format.Invalid {
		return problem("%s needs an operand", fn)
	}
	in.class = classOf(f)
	if isCompare(fn) {
		if d.fmt != format.Bool {
			return problem("%s gives bool, found %s", fn, d.fmt)
		}
	} else if classOf(d.fmt) != in.class {
		return problem("%s of %s gives %s: a cast changes it", fn, f, d.fmt)
	}
	in.flush = flush && arithmetic(fn) && f.IsFloat()
	if in.flush && d.fmt.IsFloat() {
		in.mode.FlushSubnormals = true
	}
	in.fn32, in.fn64, in.fnInt = laneF32(fn), laneF64(fn), laneInt(fn, in.class, f)
	in.unary, in.binary, in.comparison = kernelUnary[fn], kernelBinary[fn], kernelCompare[fn]
	if in.class == inF32 && in.fn32 == nil && !isCompare(fn) || in.class == inF64 && in.fn64 == nil || in.class >= inI64 && in.fnInt == nil {
		return problem("%s does not take %s", fn, f)
	}
	return nil
}

func (in *instr) setCast(from, to format.Format) {
	in.cast = true
	in.arity = 1
	in.class, in.odd = castClass(from, to)
	in.mode = to.DefaultMode()
	in.mode.Saturate = in.saturate
	if !to.IsFloat() {
		in.mode.Round = format.TowardZero
	}
}

func encodeImm(f format.Format, x float64) uint64 {
	if f.IsFloat() {
		return f.Encode(x)
	}
	return f.EncodeMode(x, format.Mode{Round: format.TowardZero})
}
