//go:build !amd64

package kernels

func (g *limitedProduct) fast() bool { return false }
