package tensor

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"apogee/ir/format"
)

// Tensor is elements of one format in a shape. Its fields are read, not written,
// by users of the package; make one with New, FromBytes, FromReader, FromF64 or
// FromI64.
type Tensor struct {
	Format format.Format
	Shape  []int64 // outermost first; empty for a scalar

	numel int64
	data  []byte      // the bytes, when in memory
	src   io.ReaderAt // else where they are read from
	off   int64       // and the offset of the first there
	name  string      // of the source, for errors
}

// Viewer is an [io.ReaderAt] that has its bytes in memory already, such as a mapped
// file. A lazy tensor over one hands out slices of it instead of copies.
type Viewer interface {
	io.ReaderAt
	// View returns the n bytes at off, which the caller does not change.
	View(off, n int64) ([]byte, error)
}

// Count returns the number of elements of a shape and the bytes they take in f. It
// fails on an unknown format, a negative dimension, and when either number does
// not fit an int64.
func Count(f format.Format, dims []int64) (elements, bytes int64, err error) {
	if !f.Valid() {
		return 0, 0, fmt.Errorf("tensor [%s]: no valid format", Dims(dims))
	}
	n := int64(1)
	zero := false
	for i, d := range dims {
		if d < 0 {
			return 0, 0, fmt.Errorf("tensor %s[%s]: axis %d is negative", f, Dims(dims), i)
		}
		zero = zero || d == 0
	}
	if zero {
		return 0, 0, nil
	}
	for _, d := range dims {
		if n > math.MaxInt64/d {
			return 0, 0, fmt.Errorf("tensor %s[%s]: the number of elements does not fit an int64", f, Dims(dims))
		}
		n *= d
	}
	b, ok := format.NumBytes(f, n)
	if !ok || b > math.MaxInt {
		return 0, 0, fmt.Errorf("tensor %s[%s]: the number of bytes does not fit an int64", f, Dims(dims))
	}
	return n, b, nil
}

// Dims prints dimensions separated by commas.
func Dims(dims []int64) string {
	var b []byte
	for i, d := range dims {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, d, 10)
	}
	return string(b)
}

// New returns a tensor of zero bytes in memory. It fails as [Count] does; the
// caller bounds the size before asking.
func New(f format.Format, shape []int64) (*Tensor, error) {
	n, size, err := Count(f, shape)
	if err != nil {
		return nil, err
	}
	return &Tensor{Format: f, Shape: slices.Clone(shape), numel: n, data: make([]byte, size)}, nil
}

// FromBytes returns a tensor over data, which it keeps. The length must be exactly
// what format and shape need.
func FromBytes(f format.Format, shape []int64, data []byte) (*Tensor, error) {
	n, size, err := Count(f, shape)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != size {
		return nil, fmt.Errorf("tensor %s[%s]: expected %d bytes, found %d", f, Dims(shape), size, len(data))
	}
	return &Tensor{Format: f, Shape: slices.Clone(shape), numel: n, data: data}, nil
}

// Option changes what FromReader makes.
type Option func(*Tensor)

// Named gives the source a name, used in errors.
func Named(name string) Option { return func(t *Tensor) { t.name = name } }

// FromReader returns a tensor whose bytes begin at off in r, which it keeps. Nothing
// is read now. Later reads go to r each time and keep nothing, so that a model of
// any size can be open; where r is a [Viewer], they do not copy either. That the
// bytes are there is checked when they are read, before memory is taken for them.
func FromReader(f format.Format, shape []int64, r io.ReaderAt, off int64, opts ...Option) (*Tensor, error) {
	n, size, err := Count(f, shape)
	if err != nil {
		return nil, err
	}
	if off < 0 || off > math.MaxInt64-size {
		return nil, fmt.Errorf("tensor %s[%s]: no valid offset: %d", f, Dims(shape), off)
	}
	t := &Tensor{Format: f, Shape: slices.Clone(shape), numel: n, src: r, off: off}
	for _, o := range opts {
		o(t)
	}
	return t, nil
}

// Numel returns the number of elements.
func (t *Tensor) Numel() int64 { return t.numel }

// NumBytes returns the number of bytes.
func (t *Tensor) NumBytes() int64 {
	n, _ := format.NumBytes(t.Format, t.numel)
	return n
}

// Lazy reports whether the bytes are read from elsewhere on each use.
func (t *Tensor) Lazy() bool { return t.src != nil }

// String returns format and shape, such as f32[2,3].
func (t *Tensor) String() string {
	return t.Format.String() + "[" + Dims(t.Shape) + "]"
}

// Bytes returns all bytes: those of the tensor itself when it is in memory, a view
// of a Viewer, else a copy read now.
func (t *Tensor) Bytes() ([]byte, error) { return t.ReadRange(0, t.NumBytes()) }

// ReadRange returns the n bytes from byte off on, as Bytes does.
func (t *Tensor) ReadRange(off, n int64) ([]byte, error) {
	size := t.NumBytes()
	if off < 0 || n < 0 || off > size-n {
		return nil, fmt.Errorf("tensor %s: bytes %d to %d asked of %d", t, off, off+n, size)
	}
	if t.src == nil {
		return t.data[off : off+n : off+n], nil
	}
	if n == 0 {
		return []byte{}, nil
	}
	if v, ok := t.src.(Viewer); ok {
		b, err := v.View(t.off+off, n)
		if err != nil {
			return nil, t.readError(off, n, err)
		}
		return b, nil
	}
	// The last byte first: a source that is too short is found before memory is
	// taken for what it lacks.
	var last [1]byte
	if k, err := t.src.ReadAt(last[:], t.off+off+n-1); k != 1 {
		return nil, t.readError(off, n, err)
	}
	b := make([]byte, n)
	if k, err := t.src.ReadAt(b, t.off+off); int64(k) != n {
		return nil, t.readError(off, n, err)
	}
	return b, nil
}

func (t *Tensor) readError(off, n int64, err error) error {
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	name := t.name
	if name == "" {
		name = "tensor"
	}
	return fmt.Errorf("%s: %s: reading %d bytes at offset %d: %w", name, t, n, t.off+off, err)
}

// F64s returns all elements as float64, exact for every format but i64 and u64.
func (t *Tensor) F64s() ([]float64, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float64, t.numel)
	format.DecodeF64(t.Format, out, b)
	return out, nil
}

// F32s returns all elements as float32, rounded to nearest even where they do not
// fit.
func (t *Tensor) F32s() ([]float32, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.numel)
	format.DecodeF32(t.Format, out, b)
	return out, nil
}

// I64s returns all elements of an integer or bool tensor; it fails for floats, and
// for a u64 above the largest int64.
func (t *Tensor) I64s() ([]int64, error) {
	if !t.Format.IsInt() && t.Format != format.Bool {
		return nil, fmt.Errorf("tensor %s: expected an integer format", t)
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]int64, t.numel)
	format.DecodeI64(t.Format, out, b)
	if t.Format == format.U64 {
		for i, v := range out {
			if v < 0 {
				return nil, fmt.Errorf("tensor %s: element %d is %d, which does not fit an int64", t, i, uint64(v))
			}
		}
	}
	return out, nil
}

// FromF64 returns a tensor of f with the values rounded as [format.Format.Encode]
// has it. Their number must be that of the shape.
func FromF64(f format.Format, shape []int64, values []float64) (*Tensor, error) {
	t, err := newFor(f, shape, len(values))
	if err != nil {
		return nil, err
	}
	format.EncodeF64(f, t.data, values, f.DefaultMode())
	return t, nil
}

// FromF32 is FromF64 for float32 values.
func FromF32(f format.Format, shape []int64, values []float32) (*Tensor, error) {
	t, err := newFor(f, shape, len(values))
	if err != nil {
		return nil, err
	}
	format.EncodeF32(f, t.data, values, f.DefaultMode())
	return t, nil
}

// FromI64 returns a tensor of f with the values: integer formats wrap, floats
// round, once.
func FromI64(f format.Format, shape []int64, values []int64) (*Tensor, error) {
	t, err := newFor(f, shape, len(values))
	if err != nil {
		return nil, err
	}
	if !f.IsFloat() {
		format.EncodeI64(f, t.data, values)
		return t, nil
	}
	for i, v := range values {
		x := float64(v)
		if f != format.F64 {
			x = oddF64(v)
		}
		format.Put(f, t.data, i, f.Encode(x))
	}
	return t, nil
}

// oddF64 returns v as a float64 rounded to odd, so that rounding the result to a
// format of at most 51 bits is rounding v itself.
func oddF64(v int64) float64 {
	x := float64(v)
	if v > -1<<53 && v < 1<<53 {
		return x
	}
	if x >= 1<<63 || int64(x) != v {
		u := math.Float64bits(x)
		if away := x >= 1<<63 || (v > 0) == (int64(x) > v); away {
			u-- // back to the one nearer to zero
		}
		x = math.Float64frombits(u | 1)
	}
	return x
}

func newFor(f format.Format, shape []int64, n int) (*Tensor, error) {
	count, _, err := Count(f, shape)
	if err != nil {
		return nil, err
	}
	if count != int64(n) {
		return nil, fmt.Errorf("tensor %s[%s]: expected %d values, found %d", f, Dims(shape), count, n)
	}
	return New(f, shape)
}

// Reshape returns a view of t in another shape with as many elements.
func (t *Tensor) Reshape(shape []int64) (*Tensor, error) {
	n, _, err := Count(t.Format, shape)
	if err != nil {
		return nil, err
	}
	if n != t.numel {
		return nil, fmt.Errorf("tensor %s of %d elements cannot take shape [%s] of %d", t, t.numel, Dims(shape), n)
	}
	v := *t
	v.Shape = slices.Clone(shape)
	return &v, nil
}

// Slice returns the part from lo to hi (exclusive) along the first axis, a view,
// except where elements narrower than a byte would begin inside one: those are
// copied.
func (t *Tensor) Slice(lo, hi int64) (*Tensor, error) {
	if len(t.Shape) == 0 {
		return nil, fmt.Errorf("tensor %s: a scalar has no axis to slice", t)
	}
	if lo < 0 || lo > hi || hi > t.Shape[0] {
		return nil, fmt.Errorf("tensor %s: slice %d:%d of an axis of %d", t, lo, hi, t.Shape[0])
	}
	v := *t
	v.Shape = slices.Clone(t.Shape)
	v.Shape[0] = hi - lo
	row := int64(0)
	if t.Shape[0] > 0 {
		row = t.numel / t.Shape[0]
	}
	v.numel = row * (hi - lo)
	first, bits := row*lo, int64(t.Format.Bits())
	if v.numel == 0 {
		v.data, v.src = []byte{}, nil
		return &v, nil
	}
	if bits < 8 && first*bits%8 != 0 {
		return t.copySlice(&v, first)
	}
	start := first / 8 * bits
	if bits >= 8 {
		start = first * (bits / 8)
	} else {
		start += first % 8 * bits / 8
	}
	if t.src != nil {
		v.off += start
	} else {
		v.data = t.data[start : start+v.NumBytes()]
	}
	return &v, nil
}

// copySlice fills v with the elements of t from first on.
func (t *Tensor) copySlice(v *Tensor, first int64) (*Tensor, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	data := make([]byte, v.NumBytes())
	for i := range int(v.numel) {
		format.Put(v.Format, data, i, format.Get(t.Format, b, int(first)+i))
	}
	v.data, v.src = data, nil
	return v, nil
}

// Load returns t with its bytes in memory; t itself when they are already.
func (t *Tensor) Load() (*Tensor, error) {
	if t.src == nil {
		return t, nil
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return FromBytes(t.Format, t.Shape, b)
}

// piece is how many bytes Hash and Equal read at a time.
const piece = 1 << 20

// Hash returns the sha256 of format, shape and bytes, in an encoding that no two
// different tensors share. Bits beyond the last element do not count. It fails when
// bytes cannot be read.
func (t *Tensor) Hash() ([32]byte, error) {
	h := sha256.New()
	h.Write([]byte(t.String() + "\n"))
	size := t.NumBytes()
	for at := int64(0); at < size; at += piece {
		n := min(piece, size-at)
		b, err := t.ReadRange(at, n)
		if err != nil {
			return [32]byte{}, err
		}
		if at+n == size {
			h.Write(b[:n-1])
			b = []byte{b[n-1] & t.lastMask()}
		}
		h.Write(b)
	}
	return [32]byte(h.Sum(nil)), nil
}

// Equal reports whether format, shape and every bit of the elements are the same;
// bits beyond the last element do not count. It fails when bytes cannot be read.
func (t *Tensor) Equal(o *Tensor) (bool, error) {
	if t.Format != o.Format || !slices.Equal(t.Shape, o.Shape) {
		return false, nil
	}
	size := t.NumBytes()
	for at := int64(0); at < size; at += piece {
		n := min(piece, size-at)
		a, err := t.ReadRange(at, n)
		if err != nil {
			return false, err
		}
		b, err := o.ReadRange(at, n)
		if err != nil {
			return false, err
		}
		last := n
		if at+n == size {
			last-- // its bits may lie beyond the last element
			if (a[last]^b[last])&t.lastMask() != 0 {
				return false, nil
			}
		}
		if !bytes.Equal(a[:last], b[:last]) {
			return false, nil
		}
	}
	return true, nil
}

// lastMask selects the bits of the last byte that belong to an element.
func (t *Tensor) lastMask() byte {
	if used := t.numel % 8 * int64(t.Format.Bits()) % 8; used != 0 {
		return 1<<used - 1
	}
	return 0xFF
}

// Index turns an element's number into one index an axis.
func Index(dims []int64, i int64) []int64 {
	out := make([]int64, len(dims))
	for a := len(dims) - 1; a >= 0; a-- {
		if dims[a] > 0 {
			out[a] = i % dims[a]
			i /= dims[a]
		}
	}
	return out
}
