package conform_test

import (
	"context"
	"flag"
	"slices"
	"testing"

	"apogee/cmd/internal/conform"
	"apogee/targets/chip"
)

var (
	opNames = flag.String("ops", "", "ops to check")
	formats = flag.String("formats", "", "formats to check")
	only    = flag.String("chip", "", "chip to check")
	all     = flag.Bool("all", false, "check every format; a few otherwise")
)

// TestFamilies: chips that differ in kind compute every op right. -all takes every format, -chip one chip.
func TestFamilies(t *testing.T) {
	if !*all && *formats == "" && *opNames == "" && *only == "" {
		*formats = "f64,f32,bf16,f8e4m3fn,i64,u8,i4,bool"
	}
	cache := &conform.Cache{}
	for _, name := range []string{"ascend-910b", "hygon-k100-ai", "loongson-3c6000", "nvidia-h100"} {
		if *only != "" && name != *only {
			continue
		}
		c, err := chip.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := conform.Check(context.Background(), c, conform.Options{Cache: cache, Ops: *opNames, Formats: *formats, Random: 20})
		if err != nil {
			t.Fatal(err)
		}
		count := map[conform.Status]int{}
		for _, c := range r.Cells {
			count[c.Status]++
			if c.Status == conform.Wrong || c.Status == conform.Impossible {
				t.Errorf("%s %s on %s: %s %.600s%s", c.Op, c.Format, name, c.Status, c.Error, c.How)
			}
			if testing.Verbose() {
				t.Logf("%s %s %s %s %.3g us", c.Op, c.Format, c.Status, c.How, c.Seconds*1e6)
			}
		}
		for _, o := range slices.Concat(r.Patterns, r.Models, r.Random) {
			if o.Error != "" {
				t.Errorf("%s on %s: %s", o.Name, name, o.Error)
			}
		}
		t.Log(name, count)
	}
}
