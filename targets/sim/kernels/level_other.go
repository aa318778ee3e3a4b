//go:build !amd64

package kernels

func detect() []Level {
	if compilerFuses() {
		return []Level{Portable, Fused}
	}
	return []Level{Portable}
}
