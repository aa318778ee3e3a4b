package kernels

import "unsafe"

// turnSteps is how many steps of a panel are turned at a time: its lines stay in the first cache until all columns are in them.
const turnSteps = 64

// turn packs whole blocks of 8 columns by 8 steps and says how many columns and steps it did.
func turn(panel, b []float32, k, cols, ldb int) (doneCols, doneSteps int) {
	cols, k = cols/8*8, k/8*8
	if active < AVX2 || cols == 0 || k == 0 {
		return 0, 0
	}
	for p := 0; p < k; p += turnSteps {
		h := min(turnSteps, k-p)
		for j := 0; j < cols; j += 8 {
			_ = b[(j+7)*ldb+p+h-1]
			turn8(h/8, unsafe.SliceData(b[j*ldb+p:]), 4*ldb, unsafe.SliceData(panel[p*tileN+j:]))
		}
	}
	return cols, k
}
