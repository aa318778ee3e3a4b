package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// stdout is standard output, buffered, with the first error kept: a command that cannot say what it found has failed.
type stdout struct {
	mu  sync.Mutex
	buf *bufio.Writer
	err error
}

func newStdout(w io.Writer) *stdout { return &stdout{buf: bufio.NewWriter(w)} }

func (s *stdout) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.buf.Write(b)
	s.keep(err)
	return n, err
}

// Flush hands on what is held back and gives the first error there was.
func (s *stdout) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(s.buf.Flush())
	return s.err
}

func (s *stdout) keep(err error) {
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("standard output: %w", reason(err))
	}
}

// stderr lets standard output go first, so that the two stand in order where they meet.
type stderr struct {
	w   io.Writer
	out *stdout
}

func (s *stderr) Write(b []byte) (int, error) {
	_ = s.out.Flush() // its error is kept, and reported at the end
	return s.w.Write(b)
}

// outputs are the files that a command writes. Each is written beside its place, and all take their places together when the
// command has succeeded; whatever else happens, nothing is left behind.
type outputs struct {
	mu     sync.Mutex
	files  []*outFile
	closed bool // no more files, the command is over
}

// outFile is a file that is being written.
type outFile struct {
	ctx        context.Context
	path, temp string // temp is "" for what is written in place, such as a pipe
	f          *os.File
}

// Create opens a file for writing. Files that cannot be written where they are wanted are found now, before any work.
func (o *outputs) Create(ctx context.Context, path string) (*outFile, error) {
	w := &outFile{ctx: ctx, path: path}
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, reason(err))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		w.discard()
		return nil, context.Canceled
	}
	o.files = append(o.files, w)
	return w, nil
}

func (w *outFile) open() (err error) {
	if real, err := filepath.EvalSymlinks(w.path); err == nil {
		w.path = real
	}
	mode := os.FileMode(0o666)
	switch st, err := os.Stat(w.path); {
	case err == nil && st.IsDir():
		return errors.New("it is a folder")
	case err == nil && !st.Mode().IsRegular():
		w.f, err = os.OpenFile(w.path, os.O_WRONLY, 0)
		return err
	case err == nil:
		mode = st.Mode().Perm()
	}
	for i := 0; ; i++ {
		w.temp = filepath.Join(filepath.Dir(w.path), fmt.Sprintf(".%s.%d-%d.tmp", filepath.Base(w.path), os.Getpid(), i))
		w.f, err = os.OpenFile(w.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, os.ErrExist) || i == 1000 {
			return err
		}
	}
}

func (w *outFile) discard() {
	w.f.Close()
	if w.temp != "" {
		os.Remove(w.temp)
	}
}

func (w *outFile) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.f.Write(b)
}

// Commit puts all files in their places.
func (o *outputs) Commit() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return context.Canceled
	}
	for _, w := range o.files {
		if err := w.f.Close(); err != nil {
			return fmt.Errorf("cannot write %s: %w", w.path, reason(err))
		}
	}
	for _, w := range o.files {
		if w.temp == "" {
			continue
		}
		if err := os.Rename(w.temp, w.path); err != nil {
			return fmt.Errorf("cannot write %s: %w", w.path, reason(err))
		}
		w.temp = ""
	}
	o.files = nil
	return nil
}

// Discard removes what was not committed. Later calls of Create and Commit fail.
func (o *outputs) Discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, w := range o.files {
		w.discard()
	}
	o.files = nil
}

// reason is an error of the file system without the name of a file, which the message has already.
func reason(err error) error {
	var p *os.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// named is an error of the file system as "file: reason"; others have the file's name in them.
func named(file string, err error) error {
	if r := reason(err); r != err {
		return fmt.Errorf("%s: %w", file, r)
	}
	return err
}
