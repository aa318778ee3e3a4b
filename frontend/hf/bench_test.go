package hf

import (
	"testing"

	"apogee/frontend/mg"
	"apogee/ir/irtest"
)

// BenchmarkDeepSeekV3 is the config of the 671B model to modules: an entry with the experts gathered, and one with the experts
// one by one.
func BenchmarkDeepSeekV3(b *testing.B) {
	c, err := Open(irtest.Corpus(b, "configs", "deepseek-v3", "config.json"))
	if err != nil {
		b.Fatal(err)
	}
	for _, experts := range []string{"grouped", "unrolled"} {
		b.Run(experts, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				low, err := c.Lower(mg.Options{Entries: []string{"prefill"}, Set: map[string]string{"experts": experts}})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(low.Module.NumOps()), "IRops")
			}
		})
	}
}
