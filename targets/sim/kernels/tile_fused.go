//go:build arm64 || loong64 || riscv64

package kernels

import "math"

func (t *tile) run() {
	if active == Fused {
		t.runFused()
	} else {
		t.runPortable()
	}
}

// runFused is runPortable for a compiler that turns x*y+z on float32 into one
// fused instruction. The language allows that and does not promise it, so
// [compilerFuses] tries this very function before it is used.
func (t *tile) runFused() {
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
			x := t.a[at]
			at += t.aStep
			b := t.b[p*t.bStep:][:len(acc)]
			j := 0
			for ; j+4 <= len(b); j += 4 {
				y, z := b[j:j+4:j+4], acc[j:j+4:j+4]
				z[0] = x*y[0] + z[0]
				z[1] = x*y[1] + z[1]
				z[2] = x*y[2] + z[2]
				z[3] = x*y[3] + z[3]
			}
			for ; j < len(b); j++ {
				acc[j] = x*b[j] + acc[j]
			}
		}
		for j, v := range acc {
			c[j] = canonical(v)
		}
	}
}

// compilerFuses reports whether runFused and vectorFMAFused give what
// runPortable and fma do, on operands for which two roundings would show in
// every column of the unrolled loop and of its tail.
func compilerFuses() bool {
	const k, n = 9, 31
	a, b := make([]float32, k), make([]float32, k*n)
	// 1+2^-12 squared is a tie in float32 and 1+2^-11+2^-24 exactly.
	for p := range a {
		a[p] = 1 + 0x1p-12
	}
	for i := range b {
		b[i] = 1 + 0x1p-12 + float32(i/5)*0x1p-22
	}
	fused, want := make([]float32, n), make([]float32, n)
	for j := range want {
		fused[j] = -1 - 0x1p-11
		want[j] = fused[j]
	}
	t := tile{k: k, a: a, aRow: k, aStep: 1, b: b, bStep: n, c: fused, cRow: n, rows: 1, cols: n, acc: true}
	t.runFused()
	t.c = want
	t.runPortable()
	if !equalBits(fused, want) {
		return false
	}
	for j := range want {
		want[j] = fma(b[j], b[n+j], -b[2*n+j])
		fused[j] = -b[2*n+j]
	}
	vectorFMAFused(fused, b[:n], b[n:2*n], fused)
	return equalBits(fused, want)
}

func equalBits(x, y []float32) bool {
	for i, v := range x {
		if math.Float32bits(v) != math.Float32bits(y[i]) {
			return false
		}
	}
	return true
}

// vectorFMAFused is dst = x*y+z, trusted only after compilerFuses.
func vectorFMAFused(dst, x, y, z []float32) {
	x, y, z = x[:len(dst)], y[:len(dst)], z[:len(dst)]
	for i := range dst {
		dst[i] = canonical(x[i]*y[i] + z[i])
	}
}
