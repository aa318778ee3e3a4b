package safetensors

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// errClosed is what reading after Close gives.
var errClosed = errors.New("the file is closed")

// shard is one open file: mapped, or read through its descriptor.
type shard struct {
	path string
	size int64

	mu    sync.RWMutex
	data  []byte // the mapping
	unmap func([]byte) error
	file  *os.File // where there is no mapping
}

// openShard opens a file and checks its header.
func openShard(path string) (*shard, *header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	if !st.Mode().IsRegular() {
		f.Close()
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	h, err := readHeader(f, st.Size(), path)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &shard{path: path, size: st.Size(), file: f}
	if s.data, s.unmap, err = mapFile(f, s.size); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: mapping: %w", path, err)
	}
	if s.data != nil {
		// The mapping stays when the descriptor goes.
		s.file = nil
		f.Close()
	}
	return s, h, nil
}

// ReadAt implements io.ReaderAt.
func (s *shard) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.data != nil:
		if off < 0 || off >= int64(len(s.data)) {
			return 0, io.EOF
		}
		n := copy(p, s.data[off:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	case s.file != nil:
		return s.file.ReadAt(p, off)
	}
	return 0, errClosed
}

// close lets go of the file; a second call does nothing.
func (s *shard) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch {
	case s.data != nil:
		err = s.unmap(s.data)
	case s.file != nil:
		err = s.file.Close()
	}
	s.data, s.file = nil, nil
	return err
}

// mapped adds tensor.Viewer to a shard that has its bytes in memory.
type mapped struct{ *shard }

// View returns the n bytes at off, without a copy.
func (m mapped) View(off, n int64) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.data == nil {
		return nil, errClosed
	}
	if off < 0 || n < 0 || off > int64(len(m.data))-n {
		return nil, io.ErrUnexpectedEOF
	}
	return m.data[off : off+n : off+n], nil
}

// reader returns what tensors read from.
func (s *shard) reader() io.ReaderAt {
	if s.data != nil {
		return mapped{s}
	}
	return s
}
