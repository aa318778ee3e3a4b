package kernels

// Cache blocking. A block of A (blockM × blockK, 384 KiB) stays in the second-level
// cache while all of B's panels pass, and so does a panel of B (blockK × 32,
// 128 KiB) while all of the block's panels pass. Blocks of k so long beat a panel
// that would fit the first-level cache: C is read and written less often, and a
// second-level cache feeds a tile's 15 bytes a cycle easily.
const (
	blockK = 1024
	blockM = 8 * tileM
)

// left is the left operand, packed or as it lies.
type left struct {
	data   []float32
	packed bool
	ld     int // leading dimension, of one that is not packed
	k      int // number of columns, of a packed one
	from   int // the first column that it has
}

// set points t at h rows from row i on and at its columns from p on. Row i is the
// first of a panel of h rows if the operand is packed.
func (l *left) set(t *tile, i, p, h int) {
	t.rows = h
	p -= l.from
	if l.packed {
		t.a, t.aRow, t.aStep = l.data[i*l.k+p*h:], 1, h
	} else {
		t.a, t.aRow, t.aStep = l.data[i*l.ld+p:], l.ld, 1
	}
}

// Gemm computes C = A·B, or C += A·B with acc, of an m × k by a k × n operand,
// packed by [PackA] and [PackB]. C is row-major with leading dimension ldc.
func Gemm(c []float32, ldc int, pa, pb []float32, m, n, k int, acc bool) {
	checkGemm("Gemm", c, ldc, pb, m, n, k)
	checkAtLeast("Gemm", "packed A", len(pa), PackedALen(m, k))
	g := product{c: c, ldc: ldc, a: left{data: pa, packed: true, k: k}, pb: pb, k: k, acc: acc}
	g.block(0, m, 0, n)
}

// GemmUnpackedA is [Gemm] of a row-major A with leading dimension lda. A is used
// where it lies, unless its rows would collide in the first-level cache: then
// blocks of it are packed into scratch[:GemmScratch(m, n, k, lda)].
func GemmUnpackedA(c []float32, ldc int, a []float32, lda int, pb []float32, m, n, k int, acc bool, scratch []float32) {
	checkGemm("GemmUnpackedA", c, ldc, pb, m, n, k)
	checkMatrix("GemmUnpackedA", "A", len(a), m, k, lda)
	checkAtLeast("GemmUnpackedA", "scratch", len(scratch), GemmScratch(m, n, k, lda))
	gemmUnpackedA(c, ldc, a, lda, pb, m, 0, n, k, acc, scratch)
}

// GemmScratch is the length of the scratch that GemmUnpackedA needs: often 0,
// never more than 98304 elements.
func GemmScratch(m, n, k, lda int) int {
	if !collides(m, n, lda) {
		return 0
	}
	return min(m, blockM) * min(k, blockK)
}

// collides reports whether packing A pays: when its rows are a multiple of 2 KiB
// apart, the 12 that a tile reads share one or two sets of a cache with 8 ways,
// and many panels of B share the cost.
func collides(m, n, lda int) bool { return m > tileM && n >= 1024 && lda%512 == 0 }

// gemmUnpackedA computes columns j0 to j1, j0 a multiple of tileN.
func gemmUnpackedA(c []float32, ldc int, a []float32, lda int, pb []float32, m, j0, j1, k int, acc bool, scratch []float32) {
	if !collides(m, j1-j0, lda) || k == 0 {
		g := product{c: c, ldc: ldc, a: left{data: a, ld: lda}, pb: pb, k: k, acc: acc}
		g.block(0, m, j0, j1)
		return
	}
	step := evenBlocks(k, blockK)
	for p := 0; p < k; p += step {
		kk := min(step, k-p)
		for i := 0; i < m; i += blockM {
			mm := min(blockM, m-i)
			PackA(scratch, a[i*lda+p:], mm, kk, lda, false)
			g := product{c: c[i*ldc:], ldc: ldc, a: left{data: scratch, packed: true, k: kk, from: p}, pb: pb, k: k, acc: acc || p > 0}
			g.part(0, mm, j0, j1, p, kk)
		}
	}
}

// GemmTile computes C = A·B, or C += A·B with acc, of row-major operands that are
// used where they lie: the way for tiles small enough for the first-level cache
// and used once. With transA, A is k × m in memory. A transposed B must be
// packed.
func GemmTile(c []float32, ldc int, a []float32, lda int, transA bool, b []float32, ldb, m, n, k int, acc bool) {
	checkMatrix("GemmTile", "C", len(c), m, n, ldc)
	checkMatrix("GemmTile", "B", len(b), k, n, ldb)
	t := tile{k: k, aRow: lda, aStep: 1, bStep: ldb, cRow: ldc, acc: acc}
	if transA {
		checkMatrix("GemmTile", "A", len(a), k, m, lda)
		t.aRow, t.aStep = 1, lda
	} else {
		checkMatrix("GemmTile", "A", len(a), m, k, lda)
	}
	if k == 0 {
		if !acc {
			clearRows(c, ldc, m, n)
		}
		return
	}
	for j := 0; j < n; j += tileN {
		t.cols = min(tileN, n-j)
		t.b = b[j:]
		for i := 0; i < m; i += tileM {
			t.rows = min(tileM, m-i)
			t.a = a[i*t.aRow:]
			t.c = c[i*ldc+j:]
			t.run()
		}
	}
}

func clearRows(c []float32, ldc, m, n int) {
	for i := range m {
		clear(c[i*ldc:][:n])
	}
}

func checkGemm(fn string, c []float32, ldc int, pb []float32, m, n, k int) {
	checkMatrix(fn, "C", len(c), m, n, ldc)
	if k < 0 {
		panic("kernels: " + fn + ": k is negative")
	}
	checkAtLeast(fn, "packed B", len(pb), PackedBLen(k, n))
}

// product is one multiplication by a packed right operand; parts of it can be
// computed apart.
type product struct {
	c   []float32
	ldc int
	a   left
	pb  []float32
	k   int
	acc bool
}

// block computes rows i0 to i1 and columns j0 to j1 of C. i0 is a multiple of
// tileM and j0 one of tileN.
func (g *product) block(i0, i1, j0, j1 int) { g.steps(i0, i1, j0, j1, 0, g.k) }

// steps is block for steps p to p+kk of k only.
func (g *product) steps(i0, i1, j0, j1, p, kk int) {
	switch {
	case i0 >= i1 || j0 >= j1:
		return
	case kk == 0:
		if !g.acc {
			clearRows(g.c[i0*g.ldc+j0:], g.ldc, i1-i0, j1-j0)
		}
		return
	}
	most := blockK
	if i1-i0 <= tileM {
		// One panel of rows: B is read once, best from end to end. The limit only
		// bounds the time of one call of a micro-kernel, which cannot be preempted.
		most = 64 * blockK
	}
	step := evenBlocks(kk, most)
	for q := 0; q < kk; q += step {
		for i := i0; i < i1; i += blockM {
			g.part(i, min(i+blockM, i1), j0, j1, p+q, min(step, kk-q))
		}
		g.acc = true
	}
}

// part does steps p to p+kk of k of rows i0 to i1 and columns j0 to j1.
func (g *product) part(i0, i1, j0, j1, p, kk int) {
	const ahead = 64 // steps: 8 KiB of B
	t := tile{k: kk, bStep: tileN, cRow: g.ldc, acc: g.acc}
	for j := j0; j < j1; j += tileN {
		t.cols = min(tileN, j1-j)
		t.b = g.pb[j*g.k+p*tileN:]
		if i1-i0 <= tileM {
			// B streams: fetch what comes further on.
			t.nextAt, t.nextStep = ahead*tileN*4, tileN*4
			if p+kk < g.k && kk >= 4*ahead && j+tileN < j1 {
				// What comes after the last steps is not the rest of this panel but the same steps of the next.
				g.a.set(&t, i0, p, i1-i0)
				t.c = g.c[i0*g.ldc+j:]
				t.k = kk - ahead
				t.run()
				g.a.set(&t, i0, p+t.k, i1-i0)
				t.b = t.b[t.k*tileN:]
				t.next, t.nextAt = g.pb[(j+tileN)*g.k+p*tileN:], 0
				t.k, t.acc = ahead, true
				t.run()
				t.next, t.k, t.acc = nil, kk, g.acc
				continue
			}
		} else {
			// Fetch the next panel, shared out among the tiles of this one.
			t.next, t.nextAt, t.nextStep = nil, 0, 0
			if j+tileN < j1 {
				t.next = g.pb[(j+tileN)*g.k+p*tileN:]
				t.nextStep = tileN * 4 * tileM / (i1 - i0)
			}
		}
		for i := i0; i < i1; i += tileM {
			g.a.set(&t, i, p, min(tileM, i1-i))
			t.c = g.c[i*g.ldc+j:]
			t.run()
			if i1-i0 > tileM {
				t.nextAt += kk * t.nextStep
			}
		}
	}
}

// evenBlocks is the length of the blocks that cut n into the fewest of at most
// most, all but the last being equal.
func evenBlocks(n, most int) int {
	count := (n + most - 1) / most
	return (n + count - 1) / count
}
