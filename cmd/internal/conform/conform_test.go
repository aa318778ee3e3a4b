package conform_test

import (
	"context"
	"flag"
	"os"
	"slices"
	"testing"

	"apogee/cmd/internal/conform"
	"apogee/targets/chip"
)

var (
	opNames = flag.String("ops", "", "ops to check")
	formats = flag.String("formats", "", "formats to check")
	only    = flag.String("chip", "", "chip to check")
	all     = flag.Bool("all", os.Getenv("APOGEE_CORPUS") == "required", "check every format on every kind of chip; a few otherwise")
)

// check runs the suite on a chip and fails for whatever is wrong. What is impossible is so on every chip, and in the list.
func check(t *testing.T, name string, opt conform.Options) {
	t.Helper()
	c, err := chip.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := conform.Check(context.Background(), c, opt)
	if err != nil {
		t.Fatal(err)
	}
	count := map[conform.Status]int{}
	for _, c := range r.Cells {
		count[c.Status]++
		impossible := c.Status == conform.Impossible && c.Op+" "+c.Format != "bitcast f4e2m1" // bits of floats of four bits
		if c.Status == conform.Wrong || impossible {
			t.Errorf("%s %s on %s: %s %.600s%s", c.Op, c.Format, name, c.Status, c.Error, c.How)
		}
		if *opNames != "" {
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

// TestFamilies: a chip of each kind of execution computes every op right, and every pattern. -all takes every format, -chip one chip.
func TestFamilies(t *testing.T) {
	opt := conform.Options{Cache: &conform.Cache{}, Ops: *opNames, Formats: *formats, Random: 5}
	if !*all && *formats == "" && *opNames == "" && *only == "" {
		opt.Formats, opt.Quick = "f64,bf16,f8e4m3fn,i64,i4", true
	}
	for _, name := range []string{"ascend-910b", "hygon-k100-ai", "loongson-3c6000", "nvidia-h100"} {
		if *only == "" || name == *only {
			check(t, name, opt)
		}
	}
	if *only != "" && !slices.Contains([]string{"ascend-910b", "hygon-k100-ai", "loongson-3c6000", "nvidia-h100"}, *only) {
		check(t, *only, opt)
	}
}

// TestKinds: all shipped chips that a compiler can tell apart; with -all every op in every format, else a few ops, the patterns and the
// small models, on every eighth of them.
func TestKinds(t *testing.T) {
	if *only != "" || *opNames != "" || *formats != "" {
		t.Skip("one chip or op is asked for")
	}
	opt := conform.Options{Cache: &conform.Cache{}, Quick: true}
	for i, name := range chip.Kinds() {
		if *all {
			check(t, name, opt)
		} else if i%8 == 0 {
			opt.Ops = "none"
			check(t, name, opt)
		}
	}
	t.Logf("%d runs of equal plans were not needed", opt.Cache.Saved)
}
