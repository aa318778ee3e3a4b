package kernels

// Packed operands are what a micro-kernel reads in order.
//
// B (k × n) is cut into panels of 32 columns, each k × 32 and row-major, the
// last filled up with zeros: element (p, j) is at (j/32)*32*k + p*32 + j%32.
// Panels stand alone, so that packing can be shared out: columns j0 to j1, j0 a
// multiple of 32, are packed by themselves at dst[j0*k:].
//
// A (m × k) is cut into panels of 12 rows, each column-major: element (i, p) is
// at (i/12)*12*k + p*h + i%12, where h is the panel's height, 12 but for the last
// panel. There is no padding.

// PackedBLen is the length of a packed k × n right operand.
func PackedBLen(k, n int) int { return k * ((n + tileN - 1) / tileN * tileN) }

// PackedALen is the length of a packed m × k left operand.
func PackedALen(m, k int) int { return m * k }

// PackB packs b, a row-major k × n matrix with leading dimension ldb, into
// dst[:PackedBLen(k, n)]. With trans, b is n × k and its transpose is packed:
// that is how most checkpoints hold the weights of a linear layer.
func PackB(dst, b []float32, k, n, ldb int, trans bool) {
	if trans {
		checkMatrix("PackB", "B", len(b), n, k, ldb)
	} else {
		checkMatrix("PackB", "B", len(b), k, n, ldb)
	}
	checkAtLeast("PackB", "dst", len(dst), PackedBLen(k, n))
	for j := 0; j < n; j += tileN {
		panel := dst[j*k:][:k*tileN]
		cols := min(tileN, n-j)
		if trans {
			packColumns(panel, b[min(j*ldb, len(b)):], k, cols, ldb)
		} else {
			packRows(panel, b[min(j, len(b)):], k, cols, ldb)
		}
	}
}

// packRows fills a panel from k rows of cols elements.
func packRows(panel, b []float32, k, cols, ldb int) {
	for p := range k {
		row := panel[p*tileN:][:tileN]
		n := copy(row, b[p*ldb:][:cols])
		clear(row[n:])
	}
}

// packColumns fills a panel from cols rows of k elements, 16 elements of a row
// at a time: that is a cache line of each source row and 16 of the panel.
func packColumns(panel, b []float32, k, cols, ldb int) {
	if cols < tileN {
		clear(panel)
	}
	doneCols, doneSteps := turn(panel, b, k, cols, ldb)
	for p := 0; p < k; p += 16 {
		h := min(16, k-p)
		block := panel[p*tileN:][:h*tileN]
		first := 0
		if p+h <= doneSteps {
			first = doneCols
		}
		for j := first; j < cols; j++ {
			for q, v := range b[j*ldb+p:][:h] {
				block[q*tileN+j] = v
			}
		}
	}
}

// PackBRows packs a k × n right operand whose elements are not float32 in
// memory. row decodes row i of the source into out: of k rows of n elements, or,
// with trans, of n rows of k elements, which are then B's columns. It is called
// once a row, in order. scratch holds PackBRowsScratch(k, n, trans) elements.
//
// Products of values of at most 12 significant bits, as bf16, f16 and all 8-bit
// floats have, are exact in float32: one kernel serves all these formats.
func PackBRows(dst []float32, k, n int, trans bool, scratch []float32, row func(i int, out []float32)) {
	checkAtLeast("PackBRows", "dst", len(dst), PackedBLen(k, n))
	checkAtLeast("PackBRows", "scratch", len(scratch), PackBRowsScratch(k, n, trans))
	if !trans {
		out := scratch[:n]
		for p := range k {
			row(p, out)
			for j := 0; j < n; j += tileN {
				to := dst[j*k+p*tileN:][:tileN]
				clear(to[copy(to, out[j:]):])
			}
		}
		return
	}
	for j := 0; j < n; j += tileN {
		cols := min(tileN, n-j)
		for q := range cols {
			row(j+q, scratch[q*k:][:k])
		}
		packColumns(dst[j*k:][:k*tileN], scratch, k, cols, k)
	}
}

// PackBRowsScratch is the length of scratch that PackBRows needs.
func PackBRowsScratch(k, n int, trans bool) int {
	if trans {
		return k * min(n, tileN)
	}
	return n
}

// PackA packs a, a row-major m × k matrix with leading dimension lda, into
// dst[:PackedALen(m, k)]. With trans, a is k × m and its transpose is packed.
func PackA(dst, a []float32, m, k, lda int, trans bool) {
	if trans {
		checkMatrix("PackA", "A", len(a), k, m, lda)
	} else {
		checkMatrix("PackA", "A", len(a), m, k, lda)
	}
	checkAtLeast("PackA", "dst", len(dst), PackedALen(m, k))
	if m == 0 || k == 0 {
		return
	}
	for i := 0; i < m; i += tileM {
		h := min(tileM, m-i)
		panel := dst[i*k:][:h*k]
		if trans {
			for p := range k {
				copy(panel[p*h:][:h], a[p*lda+i:])
			}
		} else {
			packPanelA(panel, a[i*lda:], h, k, lda)
		}
	}
}

// packPanelA writes h rows of k elements column by column.
func packPanelA(panel, a []float32, h, k, lda int) {
	if h != tileM {
		for i := range h {
			for p, v := range a[i*lda:][:k] {
				panel[p*h+i] = v
			}
		}
		return
	}
	r := [tileM][]float32{}
	for i := range r {
		r[i] = a[i*lda:][:k]
	}
	for p := range k {
		to := panel[p*tileM:][:tileM]
		to[0], to[1], to[2], to[3] = r[0][p], r[1][p], r[2][p], r[3][p]
		to[4], to[5], to[6], to[7] = r[4][p], r[5][p], r[6][p], r[7][p]
		to[8], to[9], to[10], to[11] = r[8][p], r[9][p], r[10][p], r[11][p]
	}
}
