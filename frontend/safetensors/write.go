package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"apogee/ir/tensor"
)

// Named is a tensor with its name.
type Named struct {
	Name   string
	Tensor *tensor.Tensor
}

// Write writes a file with the tensors and the metadata, which may be nil: whole or not at all, since it is written
// beside path and renamed. As the reference implementation does, it puts the widest dtypes first and orders equal ones
// by name, so that each tensor is aligned to its elements; the same tensors give the same bytes in whatever order they
// come.
func Write(path string, tensors []Named, metadata map[string]string) (err error) {
	head, sorted, err := layOut(tensors, metadata)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	if err := encode(f, head, sorted); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Encode writes what Write does to a writer, which may be left with a part after an error.
func Encode(w io.Writer, tensors []Named, metadata map[string]string) error {
	head, sorted, err := layOut(tensors, metadata)
	if err != nil {
		return err
	}
	return encode(w, head, sorted)
}

func encode(to io.Writer, head []byte, sorted []Named) error {
	w := bufio.NewWriterSize(to, 1<<20)
	if err := binary.Write(w, binary.LittleEndian, uint64(len(head))); err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range sorted {
		if err := copyTensor(w, t.Tensor); err != nil {
			return err
		}
	}
	return w.Flush()
}

// copyTensor writes a tensor's bytes, a piece at a time, so that a lazy one is never in memory whole.
func copyTensor(w io.Writer, t *tensor.Tensor) error {
	const chunk = 1 << 22
	for off, size := int64(0), t.NumBytes(); off < size; off += chunk {
		b, err := t.ReadRange(off, min(chunk, size-off))
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// layOut makes the header and the order of the data.
func layOut(tensors []Named, metadata map[string]string) ([]byte, []Named, error) {
	rank := func(t Named) int {
		return slices.IndexFunc(dtypes, func(d dtype) bool { return d.format == t.Tensor.Format })
	}
	sorted := slices.Clone(tensors)
	slices.SortFunc(sorted, func(a, b Named) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(a.Name, b.Name))
	})
	var b bytes.Buffer
	b.WriteByte('{')
	if len(metadata) > 0 {
		b.WriteString(quoted(metadataKey) + ":{")
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoted(key) + ":" + quoted(metadata[key]))
		}
		b.WriteByte('}')
	}
	seen := map[string]bool{metadataKey: true}
	off := int64(0)
	for _, t := range sorted {
		name, ok := Dtype(t.Tensor.Format)
		switch {
		case !ok:
			return nil, nil, fmt.Errorf("tensor %q: safetensors has no dtype for %s", t.Name, t.Tensor.Format)
		case seen[t.Name]:
			return nil, nil, fmt.Errorf("tensor %q: the name is taken", t.Name)
		}
		seen[t.Name] = true
		if bits := t.Tensor.Format.Bits(); bits < 8 && t.Tensor.Numel()*int64(bits)%8 != 0 {
			return nil, nil, fmt.Errorf("tensor %q: %s does not fill whole bytes", t.Name, t.Tensor)
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		end := off + t.Tensor.NumBytes()
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}`, quoted(t.Name), name, tensor.Dims(t.Tensor.Shape), off, end)
		off = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, nil, fmt.Errorf("the header takes %d bytes, over the limit of %d", b.Len(), maxHeader)
	}
	return b.Bytes(), sorted, nil
}

func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}
