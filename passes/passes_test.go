package passes

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/irtest"
	"apogee/targets/chip"
)

// TestCases runs every archive of testdata: in.ir through pipeline gives out.ir. Further files: "expect" and "expect-not" name rules that
// must and must not fire, "remarks" is what was remarked, "chip", "precision" and "bind" are the options.
func TestCases(t *testing.T) {
	irtest.Cases(t, "testdata/*.txtar", func(t *testing.T, c *irtest.Case) {
		m, l := ir.Load(diag.NewSource("in.ir", []byte(c.Must(t, "in.ir"))))
		if l.HasErrors() {
			t.Fatal(l.Err())
		}
		opt := Options{Verify: true, Bind: map[string]int64{}}
		if name, ok := c.File("chip"); ok {
			opt.Chip = loadNamed(t, strings.TrimSpace(name))
		}
		p, _ := c.File("precision")
		opt.Precision = strings.TrimSpace(p)
		bind, _ := c.File("bind")
		for _, b := range strings.Fields(bind) {
			k, v, _ := strings.Cut(b, "=")
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			opt.Bind[k] = n
		}
		rep, err := Run(context.Background(), m, strings.TrimSpace(c.Must(t, "pipeline")), opt)
		if want, ok := c.File("error"); ok {
			if err == nil {
				t.Fatalf("no error, expected %s", want)
			}
			c.Expect(t, "error", err.Error()+"\n")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Expect(t, "out.ir", m.String())
		expect, _ := c.File("expect")
		for _, r := range strings.Fields(expect) {
			if rep.Fired(r) == 0 {
				t.Errorf("rule %s did not fire", r)
			}
		}
		not, _ := c.File("expect-not")
		for _, r := range strings.Fields(not) {
			if n := rep.Fired(r); n != 0 {
				t.Errorf("rule %s fired %d times", r, n)
			}
		}
		if _, ok := c.File("remarks"); ok {
			var s strings.Builder
			for _, r := range rep.Remarks {
				fmt.Fprintln(&s, r)
			}
			c.Expect(t, "remarks", s.String())
		}
	})
}

func BenchmarkPass(b *testing.B) {
	for _, pass := range []string{"canonicalise", "cse", "canonicalise,cse", "dce", "fold", "specialise"} {
		for _, n := range []int{10_000, 30_000, irtest.LargeOps, 1_000_000} {
			b.Run(fmt.Sprintf("%s/ops=%d", strings.ReplaceAll(pass, ",", "+"), n), func(b *testing.B) {
				src := irtest.Large(n)
				opt := Options{Bind: map[string]int64{"B": 1, "T": 128}}
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					m := src.Clone()
					runtime.GC() // of what the copies leave behind: it would run beside the pass and take its memory's bandwidth
					b.StartTimer()
					if _, err := Run(context.Background(), m, pass, opt); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/op-in-module")
			})
		}
	}
}

// Every rule has a case in which it fires and one in which it must not.
func TestEveryRuleHasCases(t *testing.T) {
	fires, keeps := map[string]bool{}, map[string]bool{}
	irtest.Cases(t, "testdata/*.txtar", func(t *testing.T, c *irtest.Case) {
		expect, _ := c.File("expect")
		for _, r := range strings.Fields(expect) {
			fires[r] = true
		}
		not, _ := c.File("expect-not")
		for _, r := range strings.Fields(not) {
			keeps[r] = true
		}
	})
	for _, r := range Rules() {
		if !fires[r.Name] {
			t.Errorf("no case expects rule %s to fire", r.Name)
		}
		if !keeps[r.Name] {
			t.Errorf("no case expects rule %s not to fire", r.Name)
		}
		if r.Doc == "" || (r.Apply == nil) != (len(r.Roots) == 0) {
			t.Errorf("rule %s lacks its doc, or has roots without a function", r.Name)
		}
		delete(fires, r.Name)
		delete(keeps, r.Name)
	}
	for n := range fires {
		t.Errorf("a case expects %s to fire, which is no rule", n)
	}
	for n := range keeps {
		t.Errorf("a case expects %s not to fire, which is no rule", n)
	}
}

func loadNamed(t testing.TB, name string) *chip.Chip {
	t.Helper()
	c, err := chip.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// BenchmarkWhole is what a text of so many ops costs from its first byte to its last: parse, verify, canonicalise, cse and print. Its growth and
// its memory an op are what users of large modules feel.
func BenchmarkWhole(b *testing.B) {
	for _, n := range []int{10_000, 100_000, irtest.LargeOps, 1_000_000} {
		b.Run(fmt.Sprintf("ops=%d", n), func(b *testing.B) {
			text := []byte(irtest.Large(n).String())
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				runtime.GC()
				b.StartTimer()
				m, l := ir.Load(diag.NewSource("large.ir", text))
				if l.HasErrors() {
					b.Fatal(l.Err())
				}
				if _, err := Run(context.Background(), m, "canonicalise,cse", Options{}); err != nil {
					b.Fatal(err)
				}
				if err := ir.Print(io.Discard, m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/op-in-module")
		})
	}
}
