package exec

import (
	"unsafe"

	"apogee/ir/format"
	"apogee/targets/plan"
)

const (
	maxRank = plan.MaxTileRank
	// maxRepeat bounds an axis that repeats an element: what such a tile costs is not bounded by a memory's size.
	maxRepeat = 1 << 24
)

// affine is a plan.Val whose registers are known to exist.
type affine struct {
	c     int64
	terms []plan.Term
}

func (a *affine) eval(regs []int64) int64 {
	x := a.c
	for i := range a.terms {
		t := &a.terms[i]
		x += t.K * regs[t.Reg]
	}
	return x
}

func (a *affine) isConst() bool { return len(a.terms) == 0 }

// operand is a tile as compiled: what does not change from one execution to the next.
type operand struct {
	mem, param int
	local      int
	fmt        format.Format
	bits       int64
	esize      int64 // bytes of an element; 0 for a sub-byte format
	rank       int
	base       affine
	size       [maxRank]affine
	fixed      bool // the sizes are constants
	empty      bool // one of them is not above zero
	n          [maxRank]int64
	lo, hi     int64 // with fixed sizes: the bytes from base that are touched
	stride     [maxRank]int64
	most       [maxRank]int64 // sizes above are out of range for sure; keeps products in an int64
	min, max   int64          // bytes that may be touched: of the memory for a local, of the parameter else
	index      *operand
	tile       *plan.Tile
}

// view is an operand in one execution.
type view struct {
	o   *operand
	buf []byte // the core's memory, or the parameter's bytes
	off int64  // of the first element
	n   *[maxRank]int64
	dyn [maxRank]int64 // what n points to when sizes are not constant
	lo  int64          // bytes touched, from the start of buf
	hi  int64
}

func (v *view) has() bool { return v.o != nil }

// extent computes the bytes that n elements along each axis touch, relative to the first; ok is false when a size is above what the
// memory can hold. Axis 0 counts once when indexed.
func (o *operand) extent(n *[maxRank]int64) (lo, hi int64, ok bool) {
	last := o.rank - 1
	for i := 0; i <= last; i++ {
		if n[i] > o.most[i] {
			return 0, 0, false
		}
		if i == 0 && o.index != nil || o.esize == 0 && i == last {
			continue
		}
		if d := (n[i] - 1) * o.stride[i]; d < 0 {
			lo += d
		} else {
			hi += d
		}
	}
	return lo, hi + o.tail(n), true
}

// tail is the bytes from an element's first byte, or a sub-byte row's, to its last.
func (o *operand) tail(n *[maxRank]int64) int64 {
	if o.esize > 0 {
		return o.esize
	}
	if o.rank == 0 {
		return 1
	}
	return (n[o.rank-1]*o.bits + 7) / 8
}

// numel is the number of elements.
func (v *view) numel() int64 {
	n := int64(1)
	for i := 0; i < v.o.rank; i++ {
		n *= v.n[i]
	}
	return n
}

// lastDim is the size of the last axis; 1 for a tile without axes.
func (v *view) lastDim() int64 {
	if v.o.rank == 0 {
		return 1
	}
	return v.n[v.o.rank-1]
}

// rows is the product of all axes but the last.
func (v *view) rows() int64 {
	n := int64(1)
	for i := 0; i < v.o.rank-1; i++ {
		n *= v.n[i]
	}
	return n
}

// rowWalk steps through the first bytes of the rows of a view: all axes but the last, row-major.
type rowWalk struct {
	v   *view
	at  int64
	idx [maxRank]int64
}

func (v *view) walk() rowWalk { return rowWalk{v: v, at: v.off} }

// next moves to the next row.
func (w *rowWalk) next() {
	o := w.v.o
	for a := o.rank - 2; a >= 0; a-- {
		w.at += o.stride[a]
		if w.idx[a]++; w.idx[a] < w.v.n[a] {
			return
		}
		w.at -= o.stride[a] * w.v.n[a]
		w.idx[a] = 0
	}
}

// colStride is the distance of the elements of a row in bytes; 0 in a sub-byte format, whose rows are dense.
func (o *operand) colStride() int64 {
	if o.rank == 0 || o.esize == 0 {
		return o.esize
	}
	return o.stride[o.rank-1]
}

// f32s sees bytes as float32, nil when they are not aligned. Hosts are little-endian: the formats' byte order is the machine's, which
// a test asserts.
func f32s(b []byte, off, n int64) []float32 {
	if n == 0 {
		return nil
	}
	p := unsafe.Pointer(&b[off : off+4*n][0])
	if uintptr(p)&3 != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(p), n)
}

// i32s is f32s for int32.
func i32s(b []byte, off, n int64) []int32 {
	if n == 0 {
		return nil
	}
	p := unsafe.Pointer(&b[off : off+4*n][0])
	if uintptr(p)&3 != 0 {
		return nil
	}
	return unsafe.Slice((*int32)(p), n)
}

// i8s sees bytes as int8.
func i8s(b []byte, off, n int64) []int8 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*int8)(unsafe.Pointer(&b[off : off+n][0])), n)
}

// alloc makes zero bytes aligned to 64 bytes, for vector loads. The memory is not touched: what is never used costs nothing.
func alloc(n int64) []byte {
	if n == 0 {
		return []byte{}
	}
	b := make([]byte, n+64)
	at := -int64(uintptr(unsafe.Pointer(&b[0]))) & 63
	return b[at : at+n : at+n]
}
