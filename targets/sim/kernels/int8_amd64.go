package kernels

import "unsafe"

func (t *int8Tile) run() {
	switch {
	case active == AVX512 && hasVNNI:
		t.runVNNI()
	case active >= AVX2:
		t.run256()
	default:
		t.runPortable()
	}
}

// noStart: nothing to make up for.
var noStart [tileN]int32

// runVNNI does whole groups of four steps on A as it lies, and the rest of a row,
// where four bytes may not exist, on a copy.
func (t *int8Tile) runVNNI() {
	groups, rest := t.k/4, t.k%4
	start, acc := unsafe.SliceData(t.start), t.acc
	if groups > 0 {
		t.callVNNI(groups, unsafe.SliceData(t.a), t.aRow, t.b, start, acc)
		start, acc = &noStart[0], true
	}
	if rest > 0 {
		tail := t.tail(groups, rest)
		t.callVNNI(1, &tail[0][0], 4, t.b[groups*4*tileN:], start, acc)
	}
}

// tail copies the last steps of each row.
func (t *int8Tile) tail(groups, rest int) (tail [tileM][4]int8) {
	for i := range t.rows {
		copy(tail[i][:rest], t.a[i*t.aRow+4*groups:])
	}
	return tail
}

func (t *int8Tile) callVNNI(groups int, a *int8, ar int, panel []int8, start *int32, acc bool) {
	b, c, cr := unsafe.SliceData(panel), unsafe.SliceData(t.c), t.cRow*4
	mask := uint32(1<<t.cols - 1)
	if t.cols <= tileN/2 {
		switch t.rows {
		case 1:
			int8vnnihalfx1(groups, a, ar, b, start, c, cr, acc, mask)
		case 2:
			int8vnnihalfx2(groups, a, ar, b, start, c, cr, acc, mask)
		case 3:
			int8vnnihalfx3(groups, a, ar, b, start, c, cr, acc, mask)
		case 4:
			int8vnnihalfx4(groups, a, ar, b, start, c, cr, acc, mask)
		case 5:
			int8vnnihalfx5(groups, a, ar, b, start, c, cr, acc, mask)
		case 6:
			int8vnnihalfx6(groups, a, ar, b, start, c, cr, acc, mask)
		case 7:
			int8vnnihalfx7(groups, a, ar, b, start, c, cr, acc, mask)
		case 8:
			int8vnnihalfx8(groups, a, ar, b, start, c, cr, acc, mask)
		case 9:
			int8vnnihalfx9(groups, a, ar, b, start, c, cr, acc, mask)
		case 10:
			int8vnnihalfx10(groups, a, ar, b, start, c, cr, acc, mask)
		case 11:
			int8vnnihalfx11(groups, a, ar, b, start, c, cr, acc, mask)
		case 12:
			int8vnnihalfx12(groups, a, ar, b, start, c, cr, acc, mask)
		}
		return
	}
	switch t.rows {
	case 1:
		int8vnnix1(groups, a, ar, b, start, c, cr, acc, mask)
	case 2:
		int8vnnix2(groups, a, ar, b, start, c, cr, acc, mask)
	case 3:
		int8vnnix3(groups, a, ar, b, start, c, cr, acc, mask)
	case 4:
		int8vnnix4(groups, a, ar, b, start, c, cr, acc, mask)
	case 5:
		int8vnnix5(groups, a, ar, b, start, c, cr, acc, mask)
	case 6:
		int8vnnix6(groups, a, ar, b, start, c, cr, acc, mask)
	case 7:
		int8vnnix7(groups, a, ar, b, start, c, cr, acc, mask)
	case 8:
		int8vnnix8(groups, a, ar, b, start, c, cr, acc, mask)
	case 9:
		int8vnnix9(groups, a, ar, b, start, c, cr, acc, mask)
	case 10:
		int8vnnix10(groups, a, ar, b, start, c, cr, acc, mask)
	case 11:
		int8vnnix11(groups, a, ar, b, start, c, cr, acc, mask)
	case 12:
		int8vnnix12(groups, a, ar, b, start, c, cr, acc, mask)
	}
}

// run256 computes 3 rows by 16 columns at a time and adds them to C in Go.
func (t *int8Tile) run256() {
	groups, rest := t.k/4, t.k%4
	var tail [tileM][4]int8
	if rest > 0 {
		tail = t.tail(groups, rest)
	}
	var out, last [3][16]int32
	for i := 0; i < t.rows; i += 3 {
		rows := min(3, t.rows-i)
		for j := 0; j < t.cols; j += 16 {
			dot256(rows, groups, unsafe.SliceData(t.a[i*t.aRow:]), t.aRow, t.b[4*j:], &out)
			if rest > 0 {
				dot256(rows, 1, &tail[i][0], 4, t.b[groups*4*tileN+4*j:], &last)
			}
			for r := range rows {
				c := t.c[(i+r)*t.cRow+j:][:min(16, t.cols-j)]
				if !t.acc {
					clear(c)
				}
				for q := range c {
					c[q] += out[r][q] + last[r][q]
				}
			}
		}
	}
}

func dot256(rows, groups int, a *int8, aRow int, panel []int8, out *[3][16]int32) {
	b, o := unsafe.SliceData(panel), &out[0][0]
	switch rows {
	case 1:
		int8avx2x1(groups, a, aRow, b, o)
	case 2:
		int8avx2x2(groups, a, aRow, b, o)
	case 3:
		int8avx2x3(groups, a, aRow, b, o)
	}
}
