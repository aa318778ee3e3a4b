package exec

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"apogee/ir/format"
	"apogee/targets/plan"
)

// Instructions that work along rows: the last axis; all other axes count the rows.

// grow returns a slice of at least n elements.
func grow[T any](s []T, n int64) []T {
	if int64(cap(s)) < n {
		return make([]T, n)
	}
	return s[:n]
}

// loadRow decodes one row of n elements.
func loadRow[T lane](b *bank[T], dst []T, o *operand, buf []byte, at int64) {
	if o.esize == 0 {
		b.decodeBits(dst, o, buf, at, 0)
		return
	}
	cs := o.colStride()
	for k := 0; k < len(dst); k += chunk {
		part := dst[k:min(k+chunk, len(dst))]
		b.load(part, o, buf, at+int64(k)*cs, 0, cs, 1, int64(len(part)), 0)
	}
}

func storeRow[T lane](b *bank[T], o *operand, buf []byte, at int64, src []T, m format.Mode) {
	if o.esize == 0 {
		b.encodeBits(o, buf, at, 0, src, m)
		return
	}
	cs := o.colStride()
	for k := 0; k < len(src); k += chunk {
		part := src[k:min(k+chunk, len(src))]
		b.store(o, buf, at+int64(k)*cs, 0, cs, 1, int64(len(part)), 0, part, m)
	}
}

// runScan computes running sums, products, maxima and minima; they stay in the lane's type and each result is rounded once.
func runScan(c *core, f *frame) error {
	switch f.in.class {
	case inF32:
		scanRows(c.f32(), &c.row32, f)
	case inF64:
		scanRows(c.f64(), &c.row64, f)
	default:
		scanRows(c.i64(), &c.rowInt, f)
	}
	return nil
}

func scanRows[T lane](b *bank[T], scratch *[]T, f *frame) {
	in := f.in
	cols := f.a.lastDim()
	d, a := f.dst.walk(), f.a.walk()
	var before rowWalk
	if f.b.has() {
		before = f.b.walk()
	}
	*scratch = grow(*scratch, cols)
	row := (*scratch)[:cols]
	var sum [1]T
	start := scanStart[T](in.fn, f.a.o.fmt)
	for range f.a.rows() {
		sum[0] = start
		if f.b.has() {
			loadRow(b, sum[:], f.b.o, f.b.buf, before.at)
			before.next()
		}
		loadRow(b, row, f.a.o, f.a.buf, a.at)
		if in.flush {
			flushLane(f.a.o.fmt, row)
			flushLane(f.dst.o.fmt, sum[:])
		}
		s := sum[0]
		for i, v := range row {
			if in.imm == 1 {
				row[i] = s
			}
			s = scanStep(in.fn, in.class, s, v)
			if in.imm != 1 {
				row[i] = s
			}
			if in.flush {
				sum[0] = s
				flushLane(format.F32, sum[:])
				s = sum[0]
			}
			if row[i] != row[i] {
				row[i] = nanOf[T]()
			}
		}
		storeRow(b, f.dst.o, f.dst.buf, d.at, row, in.mode)
		d.next()
		a.next()
	}
}

// scanStart is what a running fold begins with.
func scanStart[T lane](fn plan.Fn, f format.Format) T {
	var v T
	switch p := any(&v).(type) {
	case *float32:
		*p = map[plan.Fn]float32{plan.VMul: 1, plan.VMax: float32(math.Inf(-1)), plan.VMin: float32(math.Inf(1))}[fn]
	case *float64:
		*p = map[plan.Fn]float64{plan.VMul: 1, plan.VMax: math.Inf(-1), plan.VMin: math.Inf(1)}[fn]
	case *int64:
		*p = map[plan.Fn]int64{plan.VMul: 1, plan.VMax: f.MinInt(), plan.VMin: int64(f.MaxUint())}[fn]
	}
	return v
}

func scanStep[T lane](fn plan.Fn, cl class, s, v T) T {
	switch fn {
	case plan.VMul:
		return s * v
	case plan.VMax, plan.VMin:
		if cl == inU64 {
			if (uint64(v) > uint64(s)) == (fn == plan.VMax) {
				return v
			}
			return s
		}
		if fn == plan.VMax {
			return max(s, v)
		}
		return min(s, v)
	}
	return s + v
}

func nanOf[T lane]() T {
	var v T
	switch p := any(&v).(type) {
	case *float32:
		*p = canonical(float32(math.NaN()))
	case *float64:
		*p = canonical64(math.NaN())
	}
	return v
}

func (in *instr) checkScan(flush bool) error {
	if in.a == nil || in.c != nil {
		return problem("scan takes a tile and perhaps the sums so far")
	}
	f := in.a.fmt
	in.class = classOf(f)
	if f == format.Bool || classOf(in.dst.fmt) != in.class || in.b != nil && classOf(in.b.fmt) != in.class {
		return problem("scan of %s gives %s", f, in.dst.fmt)
	}
	switch in.fn {
	case plan.VAdd, plan.VMul, plan.VMax, plan.VMin:
	default:
		return problem("a scan adds, multiplies or takes the largest or smallest, found %s", in.fn)
	}
	in.mode = in.dst.fmt.DefaultMode()
	in.flush = flush && f.IsFloat()
	in.mode.FlushSubnormals = in.flush
	return nil
}

// runIota counts.
func runIota(c *core, f *frame) error {
	d := &f.dst
	o := d.o
	cols := d.lastDim()
	w := d.walk()
	c.rowInt = grow(c.rowInt, cols)
	row := c.rowInt
	bank := c.i64()
	for r := range d.rows() {
		v := f.x + r*f.y
		for i := range row {
			row[i] = v
			v += f.z
		}
		if !o.fmt.IsFloat() {
			storeRow(bank, o, d.buf, w.at, row, format.Mode{})
		} else {
			var one [8]byte
			for i, v := range row {
				p := o.fmt.Encode(oddFloat(v, o.fmt))
				if o.esize == 0 {
					format.Put(o.fmt, d.buf[w.at:], i, p)
					continue
				}
				format.Put(o.fmt, one[:], 0, p)
				copy(d.buf[w.at+int64(i)*o.colStride():][:o.esize], one[:])
			}
		}
		w.next()
	}
	return nil
}

// oddFloat is v as a float64 that a format narrower than f64 rounds as it would round v itself.
func oddFloat(v int64, f format.Format) float64 {
	x := float64(v)
	if f == format.F64 || v > -1<<53 && v < 1<<53 {
		return x
	}
	if x >= 1<<63 || int64(x) != v {
		u := math.Float64bits(x)
		if x >= 1<<63 || (v > 0) == (int64(x) > v) {
			u--
		}
		x = math.Float64frombits(u | 1)
	}
	return x
}

// decodeOdd decodes 64-bit integers for a rounding that is still to come.
func decodeOdd(f format.Format, dst []float64, src []byte) {
	for i := range dst {
		u := binary.LittleEndian.Uint64(src[8*i:])
		if f == format.U64 && u>>63 != 0 {
			// Half the value, its last bit kept odd, then doubled: exact.
			dst[i] = 2 * oddFloat(int64(u>>1|u&1), format.F32)
			continue
		}
		dst[i] = oddFloat(int64(u), format.F32)
	}
}

// runTopK writes the best of each row, best first.
func runTopK(c *core, f *frame) error {
	a, d := &f.a, &f.dst
	cols, k := a.lastDim(), d.lastDim()
	size := a.o.esize
	aw, dw := a.walk(), d.walk()
	var iw rowWalk
	if f.dst2.has() {
		iw = f.dst2.walk()
	}
	c.order = grow(c.order, cols)
	if cap(c.raw) < int(k*size) {
		c.raw = make([]byte, k*size)
	}
	for range a.rows() {
		c.rankRow(f, aw.at, cols, k)
		// The values may lie over the row they come from.
		raw := c.raw[:k*size]
		as, ds := a.o.colStride(), d.o.colStride()
		for i, col := range c.order[:k] {
			copy(raw[int64(i)*size:][:size], a.buf[aw.at+int64(col)*as:])
		}
		scatter(d.buf, dw.at, ds, raw, k, size)
		if f.dst2.has() {
			is := f.dst2.o.colStride()
			for i, col := range c.order[:k] {
				binary.LittleEndian.PutUint32(f.dst2.buf[iw.at+int64(i)*is:], uint32(col))
			}
			iw.next()
		}
		aw.next()
		dw.next()
	}
	return nil
}

// rankRow puts the columns of the k best elements of a row first in c.order.
func (c *core) rankRow(f *frame, at, cols, k int64) {
	in := f.in
	a := &f.a
	order := c.order[:cols]
	largest := in.fn == plan.VMax
	switch in.class {
	case inF32, inF64:
		// Keys that sort as the values do: NaN above all.
		c.row64 = grow(c.row64, cols)
		loadRow(c.f64(), c.row64, a.o, a.buf, at)
		row := c.row64
		best(order, int(k), func(x, y int32) int {
			p, q := row[x], row[y]
			s := 0
			switch {
			case p != p && q != q:
			case p != p:
				s = 1
			case q != q:
				s = -1
			default:
				s = cmp.Compare(p, q)
			}
			if largest {
				s = -s
			}
			return s
		})
	default:
		c.rowInt = grow(c.rowInt, cols)
		loadRow(c.i64(), c.rowInt, a.o, a.buf, at)
		row := c.rowInt
		if in.class == inU64 {
			for i := range row {
				row[i] ^= math.MinInt64
			}
		}
		best(order, int(k), func(x, y int32) int {
			s := cmp.Compare(row[x], row[y])
			if largest {
				s = -s
			}
			return s
		})
	}
}

// best puts the numbers of the k first elements by the order in front, ties by number. Few are kept in a sorted list on the
// way; many are sorted out of all.
func best(order []int32, k int, compare func(x, y int32) int) {
	if k > 64 {
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, compare)
		return
	}
	if k == 0 {
		return
	}
	have := 0
	for i := range order {
		x := int32(i)
		if have == k && compare(x, order[k-1]) >= 0 {
			continue
		}
		j := have
		if have < k {
			have++
		} else {
			j = k - 1
		}
		for j > 0 && compare(x, order[j-1]) < 0 {
			order[j] = order[j-1]
			j--
		}
		order[j] = x
	}
}

func (in *instr) checkTopK() error {
	switch {
	case in.a == nil || in.a.fmt != in.dst.fmt || in.b != nil || in.c != nil:
		return problem("top_k takes one tile and gives its format")
	case in.a.esize == 0 || in.a.fmt == format.Bool:
		return problem("top_k does not take %s", in.a.fmt)
	case in.dst2 != nil && in.dst2.fmt != format.I32:
		return problem("top_k gives columns as i32, found %s", in.dst2.fmt)
	case in.fn != plan.VMax && in.fn != plan.VMin:
		return problem("top_k takes the largest (max) or the smallest (min), found %s", in.fn)
	}
	in.class = classOf(in.a.fmt)
	return nil
}

// column reads an index of a row and checks it.
func (c *core) column(f *frame, v *view, at, i, n int64) (int64, error) {
	p := at + i*v.o.colStride()
	x := int64(int32(binary.LittleEndian.Uint32(v.buf[p:])))
	if x < 0 || x >= n {
		return 0, c.outside(f, v, p, p+4, "index %d is outside of a row of %d", x, n)
	}
	return x, nil
}

// runTake picks along rows.
func runTake(c *core, f *frame) error {
	d, a, b := &f.dst, &f.a, &f.b
	cols, n := d.lastDim(), a.lastDim()
	size := a.o.esize
	dw, aw, bw := d.walk(), a.walk(), b.walk()
	if cap(c.raw) < int(cols*size) {
		c.raw = make([]byte, cols*size)
	}
	raw := c.raw[:cols*size]
	as := a.o.colStride()
	for range d.rows() {
		for i := range cols {
			x, err := c.column(f, b, bw.at, i, n)
			if err != nil {
				return err
			}
			copy(raw[i*size:][:size], a.buf[aw.at+x*as:])
		}
		scatter(d.buf, dw.at, d.o.colStride(), raw, cols, size)
		dw.next()
		aw.next()
		bw.next()
	}
	return nil
}

func (in *instr) checkTake() error {
	switch {
	case in.a == nil || in.b == nil || in.c != nil:
		return problem("take has two operands")
	case in.a.fmt != in.dst.fmt || in.a.esize == 0:
		return problem("take of %s gives %s", in.a.fmt, in.dst.fmt)
	case in.b.fmt != format.I32:
		return problem("take wants columns as i32, found %s", in.b.fmt)
	}
	return nil
}

// runPut puts along rows.
func runPut(c *core, f *frame) error {
	d, a, b := &f.dst, &f.a, &f.b
	in := f.in
	cols, n := a.lastDim(), d.lastDim()
	size := d.o.esize
	dw, aw, bw := d.walk(), a.walk(), b.walk()
	ds, as := d.o.colStride(), a.o.colStride()
	for range a.rows() {
		for i := range cols {
			x, err := c.column(f, b, bw.at, i, n)
			if err != nil {
				return err
			}
			to := d.buf[dw.at+x*ds:][:size]
			from := a.buf[aw.at+i*as:][:size]
			if in.fn == plan.VCopy {
				copy(to, from)
				continue
			}
			switch in.class {
			case inF32:
				combine(c.f32(), in, d.o.fmt, to, from, in.fn32)
			case inF64:
				combine(c.f64(), in, d.o.fmt, to, from, in.fn64)
			default:
				combine(c.i64(), in, d.o.fmt, to, from, in.fnInt)
			}
		}
		dw.next()
		aw.next()
		bw.next()
	}
	return nil
}

func combine[T lane](b *bank[T], in *instr, f format.Format, to, from []byte, fn func(d, x, y, z []T)) {
	x, y := b.v[0][:1], b.v[1][:1]
	b.decode(f, x, to)
	b.decode(f, y, from)
	if in.flush {
		flushLane(f, x)
		flushLane(f, y)
	}
	fn(x, x, y, nil)
	if in.flush && f == format.F32 {
		flushLane(f, x)
	}
	b.encode(f, to, x, in.mode)
}

func (in *instr) checkPut(flush bool) error {
	switch {
	case in.a == nil || in.b == nil || in.c != nil:
		return problem("put has two operands")
	case in.a.fmt != in.dst.fmt || in.a.esize == 0:
		return problem("put of %s gives %s", in.a.fmt, in.dst.fmt)
	case in.b.fmt != format.I32:
		return problem("put wants columns as i32, found %s", in.b.fmt)
	}
	f := in.dst.fmt
	in.class = classOf(f)
	in.mode = f.DefaultMode()
	switch in.fn {
	case plan.VCopy:
		return nil
	case plan.VAdd, plan.VMul, plan.VMax, plan.VMin:
		in.fn32, in.fn64, in.fnInt = laneF32(in.fn), laneF64(in.fn), laneInt(in.fn, in.class, f)
		in.flush = flush && f.IsFloat()
		in.mode.FlushSubnormals = in.flush
		if f == format.Bool {
			return problem("put does not combine bool")
		}
		return nil
	}
	return problem("put does not combine with %s", in.fn)
}

// runGroup sorts slots by the group they name, stably.
func runGroup(c *core, f *frame) error {
	a, d, d2 := &f.a, &f.dst, &f.dst2
	n, groups := a.numel(), d2.numel()-1
	c.rowInt = grow(c.rowInt, groups+1)
	at := c.rowInt
	clear(at)
	c.order = grow(c.order, n)
	ids := c.order
	as := a.o.colStride()
	for i := range n {
		p := a.off + i*as
		g := int64(int32(binary.LittleEndian.Uint32(a.buf[p:])))
		if g < 0 || g >= groups {
			return c.outside(f, a, p, p+4, "slot %d names group %d of %d", i, g, groups)
		}
		ids[i] = int32(g)
		at[g+1]++
	}
	for g := range groups {
		at[g+1] += at[g]
	}
	s := d2.o.colStride()
	for g, v := range at {
		binary.LittleEndian.PutUint32(d2.buf[d2.off+int64(g)*s:], uint32(v))
	}
	s = d.o.colStride()
	for i, g := range ids {
		binary.LittleEndian.PutUint32(d.buf[d.off+at[g]*s:], uint32(i))
		at[g]++
	}
	return nil
}

func (in *instr) checkGroup() error {
	if in.a == nil || in.dst2 == nil || in.b != nil || in.c != nil {
		return problem("group takes one tile and gives two")
	}
	for _, o := range []*operand{in.a, in.dst, in.dst2} {
		if o.fmt != format.I32 {
			return problem("group works on i32, found %s", o.fmt)
		}
		for i := 0; i < o.rank-1; i++ {
			if !o.size[i].isConst() || o.size[i].c != 1 {
				return problem("group works on one row")
			}
		}
	}
	return nil
}
