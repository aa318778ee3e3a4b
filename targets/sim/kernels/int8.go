package kernels

// Int8B is a right operand of 8-bit integers, packed for [GemmInt8]. The zero
// value is empty; Pack may be called again and uses the memory it has.
//
// Columns lie in panels of 32, the last filled up with zeros; in a panel, four
// steps of k lie together: element (p, j) is at
// (j/32)*32*K + (p/4)*128 + (j%32)*4 + p%4, K being k rounded up to four.
type Int8B struct {
	k, n  int
	data  []int8
	start []int32 // for each column, -128 times its sum: see Pack
}

// Size returns the operand's k and n.
func (b *Int8B) Size() (k, n int) { return b.k, b.n }

// Pack packs src, a row-major k × n matrix with leading dimension ld, or with
// trans its n × k transpose.
func (b *Int8B) Pack(src []int8, k, n, ld int, trans bool) {
	if trans {
		checkMatrix("Int8B.Pack", "B", len(src), n, k, ld)
	} else {
		checkMatrix("Int8B.Pack", "B", len(src), k, n, ld)
	}
	panels, k4 := (n+tileN-1)/tileN, (k+3)/4*4
	b.k, b.n = k, n
	b.data = resized(b.data, panels*tileN*k4)
	b.start = resized(b.start, panels*tileN)
	clear(b.data)
	clear(b.start)
	if k == 0 {
		return
	}
	for j := range n {
		column := b.data[j/tileN*tileN*k4+j%tileN*4:]
		var sum int32
		for p := range k {
			var v int8
			if trans {
				v = src[j*ld+p]
			} else {
				v = src[p*ld+j]
			}
			column[p/4*(4*tileN)+p%4] = v
			sum += int32(v)
		}
		// The AVX-512 kernel multiplies by A + 128.
		b.start[j] = -128 * sum
	}
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// GemmInt8 computes C = A·B, or C += A·B with acc, in 32-bit integers that wrap.
// A is row-major m × k with leading dimension lda and is used where it lies; C is
// row-major with leading dimension ldc.
func GemmInt8(c []int32, ldc int, a []int8, lda int, b *Int8B, m int, acc bool) {
	checkMatrix("GemmInt8", "C", len(c), m, b.n, ldc)
	checkMatrix("GemmInt8", "A", len(a), m, b.k, lda)
	b.multiply(c, ldc, a, lda, 0, m, 0, b.n, acc)
}

// GemmInt8Parallel is [GemmInt8] by up to workers goroutines, the caller's one
// included.
func GemmInt8Parallel(c []int32, ldc int, a []int8, lda int, b *Int8B, m int, acc bool, workers int) {
	checkMatrix("GemmInt8Parallel", "C", len(c), m, b.n, ldc)
	checkMatrix("GemmInt8Parallel", "A", len(a), m, b.k, lda)
	if !worthSharing(m, b.n, (b.k+3)/4, workers) {
		b.multiply(c, ldc, a, lda, 0, m, 0, b.n, acc)
		return
	}
	parts := split(m, b.n, workers)
	share(len(parts), workers, func(_, i int) {
		p := parts[i]
		b.multiply(c, ldc, a, lda, p.i0, p.i1, p.j0, p.j1, acc)
	})
}

// multiply computes rows i0 to i1 and columns j0 to j1, j0 a multiple of tileN.
func (b *Int8B) multiply(c []int32, ldc int, a []int8, lda int, i0, i1, j0, j1 int, acc bool) {
	if b.k == 0 && !acc {
		for i := i0; i < i1; i++ {
			clear(c[i*ldc+j0 : i*ldc+j1])
		}
	}
	if b.k == 0 {
		return
	}
	k4 := (b.k + 3) / 4 * 4
	t := int8Tile{k: b.k, aRow: lda, cRow: ldc, acc: acc}
	for i := i0; i < i1; i += blockM {
		iEnd := min(i+blockM, i1)
		for j := j0; j < j1; j += tileN {
			t.cols = min(tileN, j1-j)
			t.b, t.start = b.data[j*k4:], b.start[j:]
			for ii := i; ii < iEnd; ii += tileM {
				t.rows = min(tileM, iEnd-ii)
				t.a, t.c = a[ii*lda:], c[ii*ldc+j:]
				t.run()
			}
		}
	}
}

// int8Tile is one call of a micro-kernel, as [tile] is.
type int8Tile struct {
	k          int
	a          []int8
	aRow       int
	b          []int8
	start      []int32
	c          []int32
	cRow       int
	rows, cols int
	acc        bool
}

// runPortable is the definition of a tile's result.
func (t *int8Tile) runPortable() {
	var sum [tileN]int32
	for i := range t.rows {
		c := t.c[i*t.cRow:][:t.cols]
		acc := sum[:len(c)]
		if t.acc {
			copy(acc, c)
		} else {
			clear(acc)
		}
		for p, x := range t.a[i*t.aRow:][:t.k] {
			b := t.b[p/4*(4*tileN)+p%4:]
			for j := range acc {
				acc[j] += int32(x) * int32(b[4*j])
			}
		}
		copy(c, acc)
	}
}

// UnpackInt4 writes the 4-bit integers of src, two a byte with the first in the
// low bits, to dst as 8-bit integers with the same sign. dst has 2·len(src)
// elements, or one less.
func UnpackInt4(dst []int8, src []byte) {
	if len(dst) != 2*len(src) {
		checkLength("UnpackInt4", "dst", len(dst), 2*len(src)-1)
	}
	for i := range dst {
		dst[i] = int8(src[i/2]<<(4-i%2*4)) >> 4
	}
}
