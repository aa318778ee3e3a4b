//go:build !amd64 && !arm64 && !loong64 && !riscv64

package kernels

func (t *tile) run() { t.runPortable() }

// compilerFuses: nothing is known of this architecture's compiler.
func compilerFuses() bool { return false }

func vectorFMAFused(dst, x, y, z []float32) { fmaPortable(dst, x, y, z) }
