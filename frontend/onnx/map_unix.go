//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package onnx

import (
	"math"
	"os"
	"syscall"
)

// mapFile maps a file read-only; nil without an error when it is better read.
func mapFile(f *os.File, size int64) (data []byte, unmap func([]byte) error, err error) {
	if size == 0 || size > math.MaxInt {
		return nil, nil, nil
	}
	data, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		// A file system that cannot map (some network and FUSE ones) can still read.
		return nil, nil, nil
	}
	return data, syscall.Munmap, nil
}
