//go:build !amd64

package kernels

func withoutVNNI() (restore func()) { return func() {} }
