package kernels

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns n elements that end where an unreadable page begins.
func guarded(t *testing.T, n int) []float32 {
	t.Helper()
	page := syscall.Getpagesize()
	size := (n*4 + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(mem) })
	if err := syscall.Mprotect(mem[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[size-n*4])), n)
}

func guardedCopy(t *testing.T, x []float32) []float32 {
	y := guarded(t, len(x))
	copy(y, x)
	return y
}

// TestGemmBounds: nothing beyond an operand is touched; reading there kills the
// test.
func TestGemmBounds(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, s := range [][3]int{{1, 1, 1}, {1, 33, 3}, {5, 17, 4}, {12, 32, 5}, {11, 15, 3}, {14, 40, 9}, {13, 1025, 3}} {
			m, n, k := s[0], s[1], s[2]
			a, b := random(r, m*k, ordinary), random(r, k*n, ordinary)
			want, c := make([]float32, m*n), guarded(t, m*n)
			slowGemm(want, n, a, k, b, n, m, n, k, false)
			ga, gb := guardedCopy(t, a), guardedCopy(t, b)
			pa, pb := guarded(t, PackedALen(m, k)), guarded(t, PackedBLen(k, n))
			PackA(pa, ga, m, k, k, false)
			PackB(pb, gb, k, n, n, false)
			GemmTile(c, n, ga, k, false, gb, n, m, n, k, false)
			sameBits(t, "GemmTile", c, want)
			clear(c)
			Gemm(c, n, pa, pb, m, n, k, false)
			sameBits(t, "Gemm", c, want)
			clear(c)
			GemmUnpackedA(c, n, ga, k, pb, m, n, k, false, nil)
			sameBits(t, "GemmUnpackedA", c, want)
			PackB(pb, guardedCopy(t, transposed(b, k, n, n, 0)), k, n, k, true)
			clear(c)
			Gemm(c, n, pa, pb, m, n, k, false)
			sameBits(t, "Gemm", c, want)
		}
	})
}

func TestElementwiseBounds(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 22))
		for n := range 40 {
			a, b, dst := guardedCopy(t, random(r, n, ordinary)), guardedCopy(t, random(r, n, ordinary)), guarded(t, n)
			for op := range unaryNames {
				Unary(UnaryOp(op), dst, a)
			}
			for op := range binaryNames {
				Binary(BinaryOp(op), dst, a, b)
				BinaryScalar(BinaryOp(op), dst, a, 3, true)
			}
			FMA(dst, a, b, dst)
			FMAScalar(dst, a, 3, dst)
			for _, op := range []BinaryOp{Add, Mul, Max, Min} {
				for _, lanes := range []int{16, 32, 64, 128} {
					ReduceRows(op, lanes, make([]float32, 1), a, n, 1, n)
				}
			}
		}
	})
}

func TestInt8Bounds(t *testing.T) {
	eachInt8Path(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(23, 24))
		for k := 1; k < 10; k++ {
			for _, m := range []int{1, 3, 12, 14} {
				words := guarded(t, (m*k+3)/4)
				all := unsafe.Slice((*int8)(unsafe.Pointer(&words[0])), 4*len(words))
				a := all[len(all)-m*k:]
				copy(a, randomInt8(r, m*k))
				var b Int8B
				b.Pack(randomInt8(r, k*5), k, 5, 5, false)
				GemmInt8(make([]int32, m*5), 5, a, k, &b, m, false)
			}
		}
	})
}
