package fuzz

import (
	"context"
	"flag"
	"testing"

	"apogee/targets/chip"
	"apogee/targets/chips"
)

var (
	from = flag.Uint64("fuzz.from", 0, "first seed")
	many = flag.Int("fuzz.n", 60, "modules")
)

func targets(t testing.TB, names ...string) []*Target {
	t.Helper()
	var out []*Target
	for _, n := range names {
		c, err := chip.Load(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &Target{Chip: c, Precision: "f32"})
	}
	return out
}

// families are one shipped chip of each family, the first by name.
func families(t testing.TB) []string {
	t.Helper()
	seen := map[chip.Family]bool{}
	var out []string
	for _, n := range chips.List() {
		c, err := chip.Load(n)
		if err != nil {
			t.Fatal(err)
		}
		if !seen[c.Family] {
			seen[c.Family] = true
			out = append(out, n)
		}
	}
	return out
}

// Random modules give what the evaluator gives, after each pass and on a chip of each family.
func TestNoMismatch(t *testing.T) {
	bad := 0
	rep, err := Models(context.Background(), Options{Seed: *from, N: *many, Targets: targets(t, families(t)...), Stop: 20, Each: func(seed uint64, _ []error, f *Failure) {
		if f == nil {
			return
		}
		s, g := Smallest(context.Background(), Module(seed, 0), f)
		t.Errorf("seed %d: %v\nsmallest: %v\n%s", seed, f, g, s)
		bad++
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d modules, %d runs, refused %v", rep.Tried, rep.Runs, rep.Refused)
}
