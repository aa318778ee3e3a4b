//go:build unix

package npy

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// TestWriteFileToPipe: what is no regular file is written to, not replaced.
func TestWriteFileToPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	// Opened for both, so that neither end waits for the other; the pipe's buffer
	// holds the whole file.
	end, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	x, err := tensor.FromF64(format.F32, []int64{2}, []float64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, x); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe became %v, %v", st.Mode(), err)
	}
	y, err := Read(io.LimitReader(end, 128+8))
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := x.Equal(y); !same {
		t.Error("the tensor does not come through the pipe")
	}
}
