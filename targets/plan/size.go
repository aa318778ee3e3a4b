package plan

import "fmt"

// sizeText writes a number of bytes for people, in powers of 1024.
func sizeText[T int64 | uint64 | int](n T) string {
	x := float64(n)
	if x < 0 || x < 10<<10 {
		return fmt.Sprintf("%d B", n)
	}
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if x /= 1024; x < 1024 {
			return fmt.Sprintf("%.4g %s", x, unit)
		}
	}
	return fmt.Sprintf("%.4g PiB", x/1024)
}
