package kernels

// A tile is at most tileM rows by tileN columns: 24 of the 32 vector registers
// of AVX-512 hold it, the rest hold a row of B and the broadcast elements of A.
const (
	tileM = 12
	tileN = 32
)

// tile is one call of a micro-kernel: C[rows,cols] = A[rows,k]·B[k,cols], plus C
// where acc. A's element (i, p) is a[i*aRow+p*aStep], B's (p, j) is b[p*bStep+j],
// C's (i, j) is c[i*cRow+j]. rows is 1 to tileM, cols 1 to tileN, k at least 1.
// The slices are long enough: whoever makes a tile has checked.
type tile struct {
	k           int
	a           []float32
	aRow, aStep int
	b           []float32
	bStep       int
	c           []float32
	cRow        int
	rows, cols  int
	acc         bool

	// What to prefetch: from nextAt bytes past the start of next (of b, if nil)
	// on, nextStep bytes a step of k. Only a hint.
	next             []float32
	nextAt, nextStep int
}

// runPortable is the definition of a tile's result.
func (t *tile) runPortable() {
	var sum [tileN]float32
	for i := range t.rows {
		c := t.c[i*t.cRow:][:t.cols]
		acc := sum[:len(c)]
		if t.acc {
			copy(acc, c)
		} else {
			clear(acc)
		}
		at := i * t.aRow
		for p := range t.k {
			x := float64(t.a[at])
			at += t.aStep
			b := t.b[p*t.bStep:][:len(acc)]
			// fma, spelt out four at a time: the compiler would not inline it, and
			// on amd64 its conversions form one chain through a register otherwise.
			j := 0
			for ; j+4 <= len(b); j += 4 {
				y, z := b[j:j+4:j+4], acc[j:j+4:j+4]
				p0, p1, p2, p3 := x*float64(y[0]), x*float64(y[1]), x*float64(y[2]), x*float64(y[3])
				z0, z1, z2, z3 := float64(z[0]), float64(z[1]), float64(z[2]), float64(z[3])
				s0, s1, s2, s3 := p0+z0, p1+z1, p2+z2, p3+z3
				z[0], z[1], z[2], z[3] = float32(s0), float32(s1), float32(s2), float32(s3)
				if doubtful(s0) {
					z[0] = roundSum(p0, z0, s0)
				}
				if doubtful(s1) {
					z[1] = roundSum(p1, z1, s1)
				}
				if doubtful(s2) {
					z[2] = roundSum(p2, z2, s2)
				}
				if doubtful(s3) {
					z[3] = roundSum(p3, z3, s3)
				}
			}
			for ; j < len(b); j++ {
				acc[j] = fma(t.a[at-t.aStep], b[j], acc[j])
			}
		}
		for j, v := range acc {
			c[j] = canonical(v)
		}
	}
}
