package safetensors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// maxHeader is the longest header, 100 MB, as in the reference implementation (MAX_HEADER_SIZE).
const maxHeader = 100_000_000

// metadataKey is the header's one name that is no tensor.
const metadataKey = "__metadata__"

// Info says what a tensor is and where it lies.
type Info struct {
	Name   string
	Dtype  string        // as the header has it, such as "BF16"
	Format format.Format // what that is here
	Shape  []int64       // outermost first; empty for a scalar
	File   string        // the shard's path
	Offset int64         // of the first byte in that file
	Size   int64         // in bytes
}

// header is a checked header.
type header struct {
	tensors  []Info // in the order of their places; Offset from the start of the file
	metadata map[string]string
}

// readHeader reads and checks the header of a file of size bytes. Errors name the tensor or the byte of the header, but
// not the file.
func readHeader(r io.ReaderAt, size int64, path string) (*header, error) {
	if size < 8 {
		return nil, fmt.Errorf("the file has %d bytes; a safetensors file begins with 8 bytes that give its header's length", size)
	}
	var prefix [8]byte
	if err := readFull(r, prefix[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader {
		return nil, fmt.Errorf("the header's length is given as %d bytes, over the limit of %d; this may be no safetensors file", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, fmt.Errorf("the header's length is given as %d bytes, but only %d follow; the file is cut short or no safetensors file", n, size-8)
	}
	buf := make([]byte, n)
	if err := readFull(r, buf, 8); err != nil {
		return nil, err
	}
	h, err := parseHeader(buf, path)
	if err != nil {
		return nil, err
	}
	return h, h.check(int64(n)+8, size)
}

func readFull(r io.ReaderAt, buf []byte, off int64) error {
	if n, err := r.ReadAt(buf, off); n < len(buf) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading %d bytes at %d: %w", len(buf), off, err)
	}
	return nil
}

// parseHeader reads the JSON and checks each tensor by itself; Offset is still counted from the start of the data.
func parseHeader(buf []byte, path string) (*header, error) {
	if len(buf) == 0 || buf[0] != '{' {
		return nil, fmt.Errorf("header: expected '{' as its first byte; this may be no safetensors file")
	}
	h := &header{metadata: map[string]string{}}
	seen := map[string]bool{}
	s := &scanner{buf: buf}
	s.object("the header", func(name string) {
		if s.err != nil {
			return
		}
		if seen[name] {
			s.failf("the name %q comes twice", name)
			return
		}
		seen[name] = true
		if name == metadataKey {
			s.object(metadataKey, func(key string) {
				value := s.str("the value of a metadata entry")
				if _, twice := h.metadata[key]; twice {
					s.failf("the name %q comes twice in %s", key, metadataKey)
				}
				h.metadata[key] = value
			})
			return
		}
		h.tensors = append(h.tensors, s.tensor(name, path))
		if s.err != nil {
			s.err = fmt.Errorf("tensor %q: %w", name, s.err)
		}
	})
	s.end()
	if s.err != nil {
		return nil, fmt.Errorf("header: %w", s.err)
	}
	return h, nil
}

// tensor reads one tensor's entry. Errors do not name it.
func (s *scanner) tensor(name, path string) Info {
	t := Info{Name: name, File: path}
	var offsets []int64
	var haveDtype, haveShape bool
	s.object("the entry", func(key string) {
		switch key {
		case "dtype":
			if haveDtype {
				s.failf("two dtypes")
			}
			haveDtype = true
			t.Dtype = s.str("a dtype")
		case "shape":
			if haveShape {
				s.failf("two shapes")
			}
			haveShape = true
			t.Shape = s.integers("the shape")
		case "data_offsets":
			if offsets != nil {
				s.failf("data_offsets comes twice")
			}
			offsets = s.integers("data_offsets")
		default:
			s.failf("unknown key %q; known are dtype, shape and data_offsets", key)
		}
	})
	if s.err != nil {
		return t
	}
	switch {
	case !haveDtype:
		s.failf("the entry lacks dtype")
	case !haveShape:
		s.failf("the entry lacks shape")
	case offsets == nil:
		s.failf("the entry lacks data_offsets")
	case len(offsets) != 2 || offsets[1] < offsets[0]:
		s.failf("data_offsets must be a start and an end not before it, found %v", offsets)
	}
	if s.err != nil {
		return t
	}
	i := slices.IndexFunc(dtypes, func(d dtype) bool { return d.name == t.Dtype })
	if i < 0 {
		s.failf("unknown dtype %q; known are %s", t.Dtype, dtypeNames())
		return t
	}
	t.Dtype, t.Format = dtypes[i].name, dtypes[i].format // the table's string, so that the header's is let go
	n, size, err := tensor.Count(t.Format, t.Shape)
	if err != nil {
		s.failf("%v", err)
		return t
	}
	if bits := t.Format.Bits(); bits < 8 && n*int64(bits)%8 != 0 {
		s.failf("%s[%s] does not fill whole bytes", t.Dtype, tensor.Dims(t.Shape))
		return t
	}
	t.Offset, t.Size = offsets[0], offsets[1]-offsets[0]
	if t.Size != size {
		s.failf("%s[%s] takes %d bytes, but data_offsets %v span %d", t.Dtype, tensor.Dims(t.Shape), size, offsets, t.Size)
	}
	return t
}

// check sees that the places cover the data, which begins at base in a file of size bytes, and counts Offset from the
// file's start from here on.
func (h *header) check(base, size int64) error {
	slices.SortFunc(h.tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), cmp.Compare(a.Name, b.Name))
	})
	end, last := int64(0), ""
	for i := range h.tensors {
		t := &h.tensors[i]
		if t.Offset > size-base || t.Size > size-base-t.Offset {
			return fmt.Errorf("tensor %q: bytes %d to %d of the data, of which the file has %d; it may be cut short", t.Name, t.Offset, t.Offset+t.Size, size-base)
		}
		if t.Offset < end {
			return fmt.Errorf("tensor %q begins at byte %d of the data, before %q ends at %d: they overlap", t.Name, t.Offset, last, end)
		}
		if t.Offset > end {
			return fmt.Errorf("bytes %d to %d of the data, before tensor %q, belong to no tensor", end, t.Offset, t.Name)
		}
		end, last = t.Offset+t.Size, t.Name
		t.Offset += base
	}
	if end != size-base {
		return fmt.Errorf("the last %d bytes of the file belong to no tensor", size-base-end)
	}
	return nil
}
