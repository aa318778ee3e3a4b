package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// storedAs returns the format whose numpy type carries f in a file.
func storedAs(f format.Format) format.Format {
	switch f {
	case format.TF32, format.HF32:
		return format.F32
	case format.I4, format.I2:
		return format.I8
	case format.U4, format.U2:
		return format.U8
	}
	if f.IsFloat() && f.Bits() <= 8 {
		return format.U8
	}
	return f
}

// descrOf returns the numpy type of what storedAs returned.
func descrOf(f format.Format) string {
	size := f.Bits() / 8
	order := "<"
	if size == 1 {
		order = "|"
	}
	switch {
	case f == format.Bool:
		return "|b1"
	case f == format.BF16:
		return "<V2"
	case f.IsFloat():
		return fmt.Sprintf("%sf%d", order, size)
	case f.IsSigned():
		return fmt.Sprintf("%si%d", order, size)
	}
	return fmt.Sprintf("%su%d", order, size)
}

// Write writes t as an .npy file, version 1.0 (2.0 when the header needs it),
// little-endian, row-major. Formats that numpy lacks are stored as the package
// documentation says.
func Write(w io.Writer, t *tensor.Tensor) error {
	if !t.Format.Valid() {
		return fmt.Errorf("npy: tensor %s has no valid format", t)
	}
	if _, err := w.Write(headerFor(t)); err != nil {
		return err
	}
	stored := storedAs(t.Format)
	const piece = 1 << 18 // elements; a multiple of 8, so that pieces begin on a byte
	for at := int64(0); at < t.Numel(); at += piece {
		n := min(piece, t.Numel()-at)
		from, _ := format.NumBytes(t.Format, at)
		size, _ := format.NumBytes(t.Format, n)
		b, err := t.ReadRange(from, size)
		if err != nil {
			return err
		}
		if stored.Bits() != t.Format.Bits() {
			wide := make([]byte, n)
			for i := range wide {
				p := format.Get(t.Format, b, i)
				if t.Format.IsInt() {
					p = stored.EncodeInt(t.Format.DecodeInt(p))
				}
				wide[i] = byte(p)
			}
			b = wide
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// headerFor returns everything before the data, padded so that the data begins at
// a multiple of 64 bytes.
func headerFor(t *tensor.Tensor) []byte {
	dims := strings.ReplaceAll(tensor.Dims(t.Shape), ",", ", ")
	if len(t.Shape) == 1 {
		dims += ","
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descrOf(storedAs(t.Format)), dims)
	fixed := 10
	if len(text)+64 > 1<<16-1 {
		fixed = 12
	}
	length := (fixed+len(text)+1+63)/64*64 - fixed
	b := make([]byte, fixed, fixed+length)
	copy(b, magic)
	b[6] = 1
	if fixed == 12 {
		b[6] = 2
		binary.LittleEndian.PutUint32(b[8:], uint32(length))
	} else {
		binary.LittleEndian.PutUint16(b[8:], uint16(length))
	}
	b = append(b, text...)
	for len(b) < fixed+length-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// WriteFile writes t to path. The bytes go to a temporary file in the same folder,
// which then takes path's name, so that path is the whole new file or what it was
// before. What is there and is no regular file, such as a pipe or /dev/stdout, is
// written directly; a symbolic link keeps pointing where it does.
func WriteFile(path string, t *tensor.Tensor) (err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := os.FileMode(0o644)
	if st, err := os.Stat(path); err == nil {
		if st.IsDir() {
			return &os.PathError{Op: "write", Path: path, Err: fmt.Errorf("is a directory")}
		}
		if !st.Mode().IsRegular() {
			return writeDirect(path, t)
		}
		mode = st.Mode().Perm()
	}
	tmp, err := createBeside(path, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := Write(tmp, t); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.Rename(tmp.Name(), path)
}

// createBeside makes a new file next to path. Unlike os.CreateTemp it leaves the
// permissions to mode and the user's mask, as a file written in place would have
// them.
func createBeside(path string, mode os.FileMode) (*os.File, error) {
	for i := 0; ; i++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d-%d.tmp", filepath.Base(path), os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if os.IsExist(err) && i < 10000 {
			continue
		}
		return f, err
	}
}

func writeDirect(path string, t *tensor.Tensor) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := Write(f, t); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
