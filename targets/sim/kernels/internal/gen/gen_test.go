package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCommitted fails when an assembly file or its declarations are not what the
// generator writes.
func TestCommitted(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Errorf("%v: run go generate in targets/sim/kernels", err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate in targets/sim/kernels", name)
		}
	}
	for _, pattern := range []string{"*_amd64.s", "*_decl_amd64.go"} {
		committed, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range committed {
			if files[filepath.Base(path)] == nil {
				t.Errorf("%s is written by no generator", filepath.Base(path))
			}
		}
	}
}
