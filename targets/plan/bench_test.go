package plan_test

import (
	"fmt"
	"testing"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/plan"
	"apogee/targets/plan/plantest"
)

// big makes a plan with as many kernels and launches as asked for.
func big(kernels, steps int) *plan.Plan {
	p := plantest.Matmul(ragged)
	k := p.Kernels[0]
	p.Kernels = nil
	for i := 0; i < kernels; i++ {
		k.Name = fmt.Sprintf("matmul_%d", i)
		k.Code = append([]plan.Instr(nil), k.Code...)
		for len(k.Code) < 100 {
			k.Code = append(k.Code, k.Code[0])
		}
		p.Kernels = append(p.Kernels, k)
	}
	s := p.Steps[0]
	p.Steps = nil
	for i := 0; i < steps; i++ {
		s.Kernel, s.Name = i%kernels, fmt.Sprintf("layers.%d.proj", i)
		p.Steps = append(p.Steps, s)
		b := plan.Buffer{Name: fmt.Sprintf("t%d", i), Kind: plan.Temp, Format: format.F32, Shape: []int64{1024}, Addr: 1<<20 + int64(i%7)*4096, Size: 4096,
			First: i, Last: i + 6}
		p.Buffers = append(p.Buffers, b)
	}
	return p
}

func bench(b *testing.B, f func(b *testing.B, p *plan.Plan)) {
	for _, n := range []struct{ kernels, steps int }{{4, 100}, {40, 1000}, {400, 10000}} {
		b.Run(fmt.Sprintf("kernels=%d/steps=%d", n.kernels, n.steps), func(b *testing.B) {
			p := big(n.kernels, n.steps)
			b.ReportAllocs()
			b.ResetTimer()
			f(b, p)
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	bench(b, func(b *testing.B, p *plan.Plan) {
		for b.Loop() {
			encoded(p)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	bench(b, func(b *testing.B, p *plan.Plan) {
		data := encoded(p)
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := plan.Decode(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPrint(b *testing.B) {
	bench(b, func(b *testing.B, p *plan.Plan) {
		for b.Loop() {
			b.SetBytes(int64(len(plan.Text(p, vocab))))
		}
	})
}

func BenchmarkParse(b *testing.B) {
	bench(b, func(b *testing.B, p *plan.Plan) {
		src := plan.Text(p, vocab)
		b.SetBytes(int64(len(src)))
		for b.Loop() {
			if _, err := plan.Parse(diag.NewSource("b", src)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	bench(b, func(b *testing.B, p *plan.Plan) {
		for b.Loop() {
			if l := plan.Check(p, rules()); l.HasErrors() {
				b.Fatal(l)
			}
		}
	})
}
