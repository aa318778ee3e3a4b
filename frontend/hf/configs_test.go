package hf

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"apogee/frontend/mg"
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/irtest"
	"apogee/ir/op"
)

// parameters counts the elements of the weights that a function reads, each name once and scales left out, and how many of
// them one token uses: all but the experts that it does not go to.
func parameters(f *ir.Func, experts, chosen int64) (all, used int64) {
	seen := map[string]bool{}
	for o := f.Body.First(); o != nil; o = o.Next() {
		if !o.Is(op.Weight) {
			continue
		}
		name := o.Attrs.Str("name", "")
		if seen[name] || strings.HasSuffix(name, "_scale_inv") {
			continue
		}
		seen[name] = true
		n, _ := o.Result(0).Type.Shape.Numel().Value()
		all += n
		if o.Attrs.Has("stack") {
			n = n / experts * chosen
		}
		if !strings.HasSuffix(name, "e_score_correction_bias") { // it steers the choice; the table leaves it out
			used += n
		}
	}
	return all, used
}

var row = regexp.MustCompile(`(?m)^\| ([\w.-]+) \| ([\d,]+) \| ([\d,]+) \|$`)

// TestParameterCounts lowers the real configs and holds the number of parameters against what was counted from their fields by
// others: a check on every shape.
func TestParameterCounts(t *testing.T) {
	dir := irtest.Corpus(t, "configs")
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 9 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(strings.ReplaceAll(s, ",", ""), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, r := range rows {
		t.Run(r[1], func(t *testing.T) {
			c := open(t, filepath.Join(dir, r[1], "config.json"))
			for _, entry := range []string{"prefill", "decode"} {
				low, err := c.Lower(mg.Options{Entries: []string{entry}, Activation: format.BF16})
				if err != nil {
					t.Fatal(err)
				}
				irtest.Verify(t, low.Module)
				experts, chosen := field(c, "n_routed_experts", "num_experts"), field(c, "num_experts_per_tok")
				all, used := parameters(low.Module.Func(entry), max(experts, 1), chosen)
				if all != number(r[2]) || used != number(r[3]) {
					t.Errorf("%s: %d parameters, %d used by a token; expected %s and %s", entry, all, used, r[2], r[3])
				}
			}
		})
	}
}

// field is a number of the config by the first of the names that it has, or 0.
func field(c *Checkpoint, names ...string) int64 {
	for _, n := range names {
		if j := c.Config.Get(n); j != nil {
			v, _ := strconv.ParseInt(j.String(), 10, 64)
			return v
		}
	}
	return 0
}

// TestUnrolledModule bounds the module of DeepSeek-V3 with its experts one by one: every expert is there, and the ops
// grow with them and no more.
func TestUnrolledModule(t *testing.T) {
	if testing.Short() {
		t.Skip("builds 300,000 ops")
	}
	c := open(t, irtest.Corpus(t, "configs", "deepseek-v3", "config.json"))
	low, err := c.Lower(mg.Options{Entries: []string{"prefill"}, Set: map[string]string{"experts": "unrolled"}})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := parameters(low.Module.Func("prefill"), 1, 1)
	if all != 671026419200 {
		t.Errorf("%d parameters", all)
	}
	if n := low.Module.NumOps(); n < 270_000 || n > 320_000 {
		t.Errorf("%d ops", n)
	}
}
