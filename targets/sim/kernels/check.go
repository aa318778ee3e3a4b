package kernels

import "fmt"

// checkMatrix panics unless rows × cols elements with leading dimension ld lie
// within a slice of length have.
func checkMatrix(fn, what string, have, rows, cols, ld int) {
	switch {
	case rows < 0 || cols < 0:
		panic(fmt.Sprintf("kernels: %s: %s is %d × %d", fn, what, rows, cols))
	case rows == 0 || cols == 0:
	case rows > 1 && ld < cols:
		panic(fmt.Sprintf("kernels: %s: %s has %d columns and a leading dimension of %d", fn, what, cols, ld))
	case have < cols || rows > 1 && rows-1 > (have-cols)/ld:
		panic(fmt.Sprintf("kernels: %s: %s is %d × %d with leading dimension %d, in a slice of %d", fn, what, rows, cols, ld, have))
	}
}

// checkLength panics unless a slice has exactly want elements.
func checkLength(fn, what string, have, want int) {
	if have != want {
		panic(fmt.Sprintf("kernels: %s: %s has %d elements, not %d", fn, what, have, want))
	}
}

// checkAtLeast panics unless a slice has want elements or more.
func checkAtLeast(fn, what string, have, want int) {
	if want < 0 || have < want {
		panic(fmt.Sprintf("kernels: %s: %s has %d elements, fewer than %d", fn, what, have, want))
	}
}
