//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package onnx

import "os"

// mapFile maps nothing on this system: files are read where they are used.
func mapFile(*os.File, int64) (data []byte, unmap func([]byte) error, err error) {
	return nil, nil, nil
}
