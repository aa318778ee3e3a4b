package ir_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/irtest"
)

// benchSizes are the numbers of ops that the benchmarks below run at, so that growth shows. Their text is some 150 bytes an op.
var benchSizes = []int{10_000, 100_000, irtest.LargeOps, 1_000_000}

func benchmarkSizes(b *testing.B, run func(b *testing.B, m *ir.Module, text []byte)) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("ops=%d", n), func(b *testing.B) {
			m := irtest.Large(n)
			var text bytes.Buffer
			if err := ir.Print(&text, m); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, m, text.Bytes())
			b.ReportMetric(float64(m.NumOps())*float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, m *ir.Module, text []byte) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, list := ir.Parse(diag.NewSource("large.ir", text)); list.HasErrors() {
				b.Fatal(list.Err())
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, m *ir.Module, text []byte) {
		for b.Loop() {
			if list := ir.Verify(m); list.HasErrors() {
				b.Fatal(list.Err())
			}
		}
	})
}

func BenchmarkPrint(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, m *ir.Module, text []byte) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if err := ir.Print(io.Discard, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHash(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, m *ir.Module, text []byte) {
		for b.Loop() {
			m.Hash()
		}
	})
}

func BenchmarkClone(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, m *ir.Module, text []byte) {
		for b.Loop() {
			m.Clone()
		}
	})
}

// BenchmarkEqualOps is the part of common subexpression elimination that is the IR's: a key for every op and one comparison.
func BenchmarkEqualOps(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, m *ir.Module, text []byte) {
		for b.Loop() {
			seen := make(map[uint64]*ir.Op, m.MaxOp())
			for o := m.Funcs[0].Body.First(); o != nil; o = o.Next() {
				k := o.HashKey()
				if p := seen[k]; p != nil && !ir.EqualOp(p, o) {
					b.Fatal("two different ops have one key")
				}
				seen[k] = o
			}
		}
	})
}

func TestLargeModule(t *testing.T) {
	m := irtest.Large(3000)
	if err := ir.Verify(m).Err(); err != nil {
		t.Fatal(err)
	}
	text := m.String()
	back, err := ir.ParseString(text)
	if err != nil {
		t.Fatal(err)
	}
	if back.String() != text {
		t.Error("the text changed on its way through the parser")
	}
	if d := ir.Diff(m, back); d != "" {
		t.Error(d)
	}
	if m.Hash() != back.Hash() {
		t.Error("equal modules have different hashes")
	}
	if n := m.NumOps(); n < 2900 || n > 3100 {
		t.Errorf("Large(3000) has %d ops", n)
	}
	var other strings.Builder
	if err := irtest.LargeMLIR(&other, 3000); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(other.String(), " = "); n < 2900 {
		t.Errorf("the other text has %d ops", n)
	}
}
