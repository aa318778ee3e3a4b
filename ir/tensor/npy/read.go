package npy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// ReadFile reads the .npy file at path. Errors name the path. Bytes beyond the
// array are an error.
func ReadFile(path string) (*tensor.Tensor, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size := int64(-1)
	if st, err := file.Stat(); err == nil && st.Mode().IsRegular() {
		size = st.Size()
	} else if err == nil && st.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	t, err := read(file, size)
	return t, at(err, path)
}

// ReadFileAs is ReadFile followed by [As].
func ReadFileAs(path string, f format.Format) (*tensor.Tensor, error) {
	t, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err = As(t, f)
	return t, at(err, path)
}

// at puts the path into a diagnostic.
func at(err error, path string) error {
	var d *diag.Diagnostic
	if errors.As(err, &d) && d.Where == "" {
		d.Where = path
	}
	return err
}

// Parse reads an .npy file in memory. The tensor's bytes are data's own where
// neither byte order nor axis order has to change.
func Parse(data []byte) (*tensor.Tensor, error) {
	r := bytes.NewReader(data)
	h, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	if err := h.checkSize(int64(len(data))); err != nil {
		return nil, err
	}
	body := data[h.length:]
	if h.bigEndian {
		body = bytes.Clone(body)
	}
	return h.finish(body)
}

// Read reads one array from r and nothing beyond it. Memory is taken as bytes
// arrive, not as the header announces.
func Read(r io.Reader) (*tensor.Tensor, error) { return read(r, -1) }

// read reads an array from a source of that many bytes, -1 when unknown.
func read(r io.Reader, size int64) (*tensor.Tensor, error) {
	h, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	var body []byte
	if size >= 0 {
		if err := h.checkSize(size); err != nil {
			return nil, err
		}
		body = make([]byte, h.bytes)
		if n, err := io.ReadFull(r, body); err != nil {
			return nil, short(err, fmt.Sprintf("%d bytes of data (found %d)", h.bytes, n))
		}
	} else {
		var buf bytes.Buffer
		n, err := io.Copy(&buf, io.LimitReader(r, h.bytes))
		if err == nil && n < h.bytes {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, short(err, fmt.Sprintf("%d bytes of data (found %d)", h.bytes, n))
		}
		body = buf.Bytes()
	}
	return h.finish(body)
}

// checkSize compares what the header announces with the size of the whole file.
func (h *header) checkSize(size int64) error {
	if have := size - h.length; have != h.bytes {
		return diag.Errorf(CodeSize, diag.Range{}, "the data has the wrong size").
			Expect(fmt.Sprintf("%d bytes for %s[%s]", h.bytes, h.format, tensor.Dims(h.shape)), fmt.Sprintf("%d", have))
	}
	return nil
}

// finish brings the data, which it may change, into the tensor's order.
func (h *header) finish(body []byte) (*tensor.Tensor, error) {
	if h.bigEndian {
		swap(body, h.size)
	}
	if h.fortran && len(h.shape) > 1 && h.elements > 0 {
		body = toRowMajor(body, h.shape, h.size)
	}
	return tensor.FromBytes(h.format, h.shape, body)
}

// swap reverses the bytes of each element.
func swap(b []byte, size int) {
	for ; len(b) >= size; b = b[size:] {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}

// toRowMajor copies a column-major array. It walks the output in order and moves
// through the input like an odometer.
func toRowMajor(src []byte, dims []int64, size int) []byte {
	dst := make([]byte, len(src))
	rank := len(dims)
	step := make([]int, rank) // bytes from one index to the next in src
	s := size
	for i, d := range dims {
		step[i] = s
		s *= int(d)
	}
	index := make([]int64, rank)
	from := 0
	for to := 0; to < len(dst); to += size {
		copy(dst[to:to+size], src[from:])
		for a := rank - 1; a >= 0; a-- {
			index[a]++
			from += step[a]
			if index[a] < dims[a] {
				break
			}
			from -= step[a] * int(dims[a])
			index[a] = 0
		}
	}
	return dst
}

// As gives t the format f, undoing what [Write] did to formats that numpy has no
// type for: unsigned integers of f's width become its patterns, one-byte integers
// are packed into i4, u4, i2, u2, f6 or f4, and f32 becomes tf32 or hf32. A t that
// has the format already comes back as it is. It fails when t is neither, and when
// a value does not fit.
func As(t *tensor.Tensor, f format.Format) (*tensor.Tensor, error) {
	if t.Format == f {
		return t, nil
	}
	wrong := func() error {
		return diag.Errorf(CodeFormat, diag.Range{}, "cannot be read as %s", f).
			Expect(fmt.Sprintf("%s, stored as %s", f, storedAs(f)), t.String())
	}
	if !f.Valid() || storedAs(f) != t.Format {
		return nil, wrong()
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	switch {
	case f == format.TF32 || f == format.HF32:
		for i := range int(t.Numel()) {
			p := format.Get(f, b, i)
			if v := f.Decode(p); v == v && f.Encode(v) != p {
				return nil, notHeld(f, i, format.F32.Decode(p))
			}
		}
	case f.Bits() == t.Format.Bits():
	default:
		n, _ := format.NumBytes(f, t.Numel())
		packed := make([]byte, n)
		for i := range int(t.Numel()) {
			v := t.Format.DecodeInt(uint64(b[i]))
			if f.IsInt() && f.SaturateInt(v) != v || !f.IsInt() && v>>f.Bits() != 0 {
				return nil, notHeld(f, i, float64(v))
			}
			format.Put(f, packed, i, uint64(v))
		}
		b = packed
	}
	return tensor.FromBytes(f, t.Shape, b)
}

func notHeld(f format.Format, i int, v float64) error {
	return diag.Errorf(CodeFormat, diag.Range{}, "element %d is %v, which %s does not hold", i, v, f)
}
