//go:build !linux

package exec

// hostMemory is a guess of the bytes of memory that this machine has.
func hostMemory() int64 { return guessedMemory }
