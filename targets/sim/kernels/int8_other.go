//go:build !amd64

package kernels

func (t *int8Tile) run() { t.runPortable() }
