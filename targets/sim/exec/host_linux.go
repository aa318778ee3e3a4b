package exec

import (
	"bufio"
	"math"
	"os"
	"strconv"
	"strings"
)

// hostMemory is the bytes of memory that this machine has, or a guess when it does not say.
func hostMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return guessedMemory
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "MemTotal:")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/1024 {
			break
		}
		return n * 1024
	}
	return guessedMemory
}
