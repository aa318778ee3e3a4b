package chip

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/chips"
)

var update = flag.Bool("update", false, "rewrite golden files")

// openExample lets test files extend [Example].
func openExample(name string) (*diag.Source, error) {
	if name == "example" {
		return diag.NewSource("example.chip", []byte(Example)), nil
	}
	return Shipped(name)
}

// with reads a chip that extends Example by some statements; it must have no errors in its text.
func with(t *testing.T, body string) (*Chip, *diag.List) {
	t.Helper()
	c, l := Read(diag.NewSource("x.chip", []byte(ex(body))), openExample)
	if c == nil {
		t.Fatalf("%v", l)
	}
	return c, l
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// Every shipped chip loads without so much as a warning, stands in canonical form, and can run every model in
// f32.
func TestShipped(t *testing.T) {
	for _, name := range chips.List() {
		t.Run(name, func(t *testing.T) {
			c, l := LoadAll(name)
			if l.Len() > 0 {
				t.Fatalf("%v", l)
			}
			if c.Name != name || c.Year == 0 || c.Vendor == "" || c.Doc == "" {
				t.Errorf("identity is incomplete: %q, %q, %d", c.Name, c.Vendor, c.Year)
			}
			out, err := Format(c.File)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("..", "chips", name+".chip"), out) // the canonical form
			if _, ok := c.Precision("f32"); !ok {
				t.Error("cannot do --precision f32")
			}
			if auto := c.AutoPrecisions(); len(auto) == 0 {
				t.Error("--precision auto has nothing to take")
			}
			for _, f := range c.Facts {
				if !f.Stated() || f.Source == "" || f.Name == "" || f.Written == "" {
					t.Errorf("%s: %s has no source", f.Range, f.Name)
				}
			}
			for _, q := range []Quantity{c.Launch, c.Barrier, c.SyncLatency, c.Clock, c.Cores} {
				if !q.Stated() || q.Value <= 0 {
					t.Errorf("a number of the chip is missing: %+v", q)
				}
			}
			if len(c.Links) == 0 {
				t.Error("no link: several of them cannot be simulated")
			}
		})
	}
}

// What the four chips must say, where the published figures leave no choice.
func TestShippedFigures(t *testing.T) {
	load := func(name string) *Chip {
		c, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if got < want*0.97 || got > want*1.03 {
			t.Errorf("%s = %g, want %g", what, got, want)
		}
	}
	ascend := load("ascend-910b")
	near("910B f16 peak", ascend.Peak(format.F16), 353.9e12)
	near("910B i8 peak", ascend.Peak(format.I8), 707.8e12)
	if ascend.CanVector(format.BF16) || !ascend.CanVector(format.F16) || ascend.Family != Decoupled {
		t.Error("910B: bf16 is cast, not computed in, by its vector cores")
	}
	if ascend.Path("l0c", "ub") != nil {
		t.Error("910B: cube and vector cores exchange through global memory only")
	}
	if ub := ascend.Memory("ub"); ub.Units != 2 || ub.Size.Value != 192<<10 {
		t.Errorf("910B: ub is %d x %g", ub.Units, ub.Size.Value)
	}
	if _, _, ok := ascend.Matrix(format.F8E4M3FN, format.F8E4M3FN); ok {
		t.Error("910B has no FP8")
	}
	h := load("nvidia-h100")
	near("H100 bf16 peak", h.Peak(format.BF16), 989.4e12)
	near("H100 fp8 peak", h.Peak(format.F8E4M3FN), 1978.9e12)
	if _, r, _ := h.Matrix(format.F8E4M3FN, format.F8E4M3FN); r.AccBits != 14 || r.Promote != 128 || r.AccGroup != 32 {
		t.Errorf("H100 fp8 accumulates in %d bits, groups of %d, promoted every %d", r.AccBits, r.AccGroup, r.Promote)
	}
	near("H100 memory", h.Global().Bandwidth.Value, 3.35e12)
	k := load("hygon-k100-ai")
	near("K100-AI f16 peak", k.Peak(format.F16), 192e12)
	near("K100-AI i8 peak", k.Peak(format.I8), 392e12)
	if !strings.Contains(k.Trust(), "cores") || !strings.Contains(k.Trust(), "memory gm: bandwidth") {
		t.Errorf("K100-AI: the trust line hides what matters: %s", k.Trust())
	}
	l := load("loongson-3c6000")
	near("3C6000 memory", l.Global().Bandwidth.Value, 102.4e9)
	if p := l.AutoPrecisions(); l.Family != SIMD || p[0].Name != "f32" || l.CanVector(format.F16) || l.CanVector(format.BF16) {
		t.Error("3C6000 computes in f32, f64 and integers only")
	}
}

// The survey of published figures, where it is at hand: numbers agree, and what was measured stays below the
// peak that the description gives.
func TestAgainstSurvey(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "chips")
	text, err := os.ReadFile(filepath.Join(path, "chips.tsv"))
	if err != nil {
		if os.Getenv("APOGEE_CORPUS") == "required" {
			t.Fatal(err)
		}
		t.Skip("the survey is not beside this checkout: ", err)
	}
	survey := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Split(line, "\t"); len(f) >= 4 {
			survey[f[0]+"/"+f[2]] = f[3]
		}
	}
	number := func(key string) float64 {
		t.Helper()
		var v float64
		if _, err := fmtSscan(survey[key], &v); err != nil {
			t.Fatalf("%s: %q: %v", key, survey[key], err)
		}
		return v
	}
	for _, c := range []struct {
		chip, row, attr string
		unit, tolerance float64
		got             func(*Chip) float64
	}{
		{"ascend-910b", "ascend-910b2", "core_clock", 1e9, 0, func(c *Chip) float64 { return c.Clock.Value }},
		{"ascend-910b", "ascend-910b2", "core_count", 1, 0, func(c *Chip) float64 { return c.Cores.Value }},
		{"ascend-910b", "ascend-910b2", "l1", 1024, 0, func(c *Chip) float64 { return c.Memory("l1").Size.Value }},
		{"ascend-910b", "ascend-910b2", "l0c", 1024, 0, func(c *Chip) float64 { return c.Memory("l0c").Size.Value }},
		{"ascend-910b", "ascend-910b2", "rate_l1_to_l0a", 1, 0, func(c *Chip) float64 { return c.Path("l1", "l0a").Rate.Value }},
		{"ascend-910b", "ascend-910b2", "rate_l2_read", 1, 0, func(c *Chip) float64 { return c.Path("gm", "l1").Rate.Value }},
		{"ascend-910b", "ascend-910b2", "core_side_ddr_cap", 1e9, 0, func(c *Chip) float64 { return c.Global().Bandwidth.Value }},
		{"nvidia-h100", "nvidia-h100", "core_count", 1, 0, func(c *Chip) float64 { return c.Cores.Value }},
		{"nvidia-h100", "nvidia-h100", "mem_bw", 1e9, 0, func(c *Chip) float64 { return c.Global().Bandwidth.Value }},
		{"nvidia-h100", "nvidia-h100", "tdp", 1, 0, func(c *Chip) float64 { return c.Power.Value }},
		{"nvidia-h100", "nvidia-h100", "peak_tf32", 1e12, 0.01, func(c *Chip) float64 { return c.Peak(format.TF32) }},
		{"hygon-k100-ai", "hygon-k100-ai", "peak_tf32", 1e12, 0.03, func(c *Chip) float64 { return c.Peak(format.TF32) }},
		{"hygon-k100-ai", "hygon-k100-ai", "peak_fp32", 1e12, 0.03, func(c *Chip) float64 { return c.Peak(format.F32) }},
		{"loongson-3c6000", "loongson-3c6000", "core_clock", 1e9, 0, func(c *Chip) float64 { return c.Clock.Value }},
		{"loongson-3c6000", "loongson-3c6000", "mem_bw", 1e9, 0, func(c *Chip) float64 { return c.Global().Bandwidth.Value }},
	} {
		d, err := Load(c.chip)
		if err != nil {
			t.Fatal(err)
		}
		want := number(c.row+"/"+c.attr) * c.unit
		if got := c.got(d); got < want*(1-c.tolerance-1e-9) || got > want*(1+c.tolerance+1e-9) {
			t.Errorf("%s: %s is %g, the survey says %g", c.chip, c.attr, got, want)
		}
	}
	text, err = os.ReadFile(filepath.Join(path, "measured.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Split(line, "\t")
		for _, b := range []struct {
			bench string
			f     format.Format
		}{{"flagperf-base/computation-FP16", format.F16}, {"flagperf-base/computation-INT8", format.I8}} {
			if len(f) < 4 || f[1] != b.bench {
				continue
			}
			c, err := Load(f[0])
			if err != nil {
				continue // not described yet
			}
			var v float64
			if _, err := fmtSscan(f[3], &v); err != nil {
				t.Fatal(err)
			}
			seen++
			if v*1e12 >= c.Peak(b.f)*float64(c.Devices) { // a card may be several devices
				t.Errorf("%s: %s measured at %g T, above the peak of %g T", c.Name, b.f, v, c.Peak(b.f)/1e12)
			}
		}
	}
	if seen < 2 {
		t.Errorf("only %d measurements found", seen)
	}
}

func TestQuestions(t *testing.T) {
	c, err := Load("ascend-910b")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ from, to, want string }{
		{"gm", "l0a", "gm->l1 l1->l0a"},
		{"l0c", "ub", "l0c->gm gm->ub"},
		{"ub", "l0b", "ub->gm gm->l1 l1->l0b"},
		{"l0c", "l0a", "l0c->l1 l1->l0a"},
		{"gm", "gm", ""},
		{"l0a", "gm", "none"},
		{"gm", "l2", "none"},
		{"gm", "nowhere", "none"},
	} {
		route, ok := c.Route(r.from, r.to)
		got := "none"
		if ok {
			var parts []string
			for _, p := range route {
				parts = append(parts, p.From+"->"+p.To)
			}
			got = strings.Join(parts, " ")
		}
		if got != r.want {
			t.Errorf("Route(%s, %s) = %s, want %s", r.from, r.to, got, r.want)
		}
	}
	if e, r, ok := c.Matrix(format.BF16, format.BF16); !ok || e.Name != "cube" || r.Acc != format.F32 || r.K != 16 {
		t.Errorf("Matrix(bf16, bf16) = %v, %v", e, r)
	}
	if _, _, ok := c.MatrixAcc(format.F16, format.F16, format.F16); ok {
		t.Error("no f16 accumulator is described")
	}
	if e := c.Engine("vector"); !e.CanCast(format.F32, format.BF16) || e.CanCast(format.F32, format.F8E4M3FN) || e.Rate(format.F32, Sort) == nil {
		t.Error("casts or rates of the vector engine are wrong")
	}
	if !c.Path("l0c", "gm").CanCast(format.F32, format.F16) || c.Path("gm", "l1").CanCast(format.F32, format.F16) {
		t.Error("fixpipe converts, mte2 does not")
	}
	if got := c.CacheOf("gm"); got == nil || got.Name != "l2" {
		t.Errorf("CacheOf(gm) = %v", got)
	}
	if c.Word("mma") != "mmad" || c.Word("nothing_special") != "nothing_special" {
		t.Error("words are not looked up")
	}
	if c.Derate("engine", "cube") != 0.885 || c.Derate("engine", "vector") != 1 {
		t.Errorf("derates: %g, %g", c.Derate("engine", "cube"), c.Derate("engine", "vector"))
	}
	if got := c.Cycles(1e-6); got != 1800 {
		t.Errorf("1 us = %g cycles", got)
	}
	if got := c.Queues(); len(got) != len(c.Engines) {
		t.Errorf("each pipe has a queue of its own: %v", got)
	}
	h, err := Load("nvidia-h100")
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Queues()) != len(h.Engines)-1 {
		t.Errorf("fma and alu share a queue: %v", h.Queues())
	}
}

// Units: decimal and binary prefixes, ratios, and cycles against seconds.
func TestQuantities(t *testing.T) {
	c, _ := with(t, `
  cores     8        source sheet
  clock     2 GHz    source sheet
  launch    1000 cycles source sheet
  sync { latency 0.5 us source sheet }
  memory gm { size 16 GB source sheet; bandwidth 1 TiB/s source sheet; latency 100 cycles measured "me" }
  derate memory gm 82 % source sheet`)
	for _, q := range []struct {
		what string
		q    Quantity
		want float64
		unit string
	}{
		{"clock", c.Clock, 2e9, "Hz"},
		{"launch", c.Launch, 5e-7, "s"},
		{"sync latency", c.SyncLatency, 1000, "cycle"},
		{"size", c.Memory("gm").Size, 16e9, "B"},
		{"bandwidth", c.Memory("gm").Bandwidth, 1 << 40, "B/s"},
		{"latency", c.Memory("gm").Latency, 5e-8, "s"},
		{"derate", c.Derates[0].Factor, 0.82, ""},
		{"cores", c.Cores, 8, ""},
	} {
		if q.q.Value != q.want || q.q.Unit != q.unit {
			t.Errorf("%s = %g %s, want %g %s", q.what, q.q.Value, q.q.Unit, q.want, q.unit)
		}
	}
	if lat := c.Memory("gm").Latency; lat.Confidence != Measured || lat.Source != "me" || lat.Written != "100 cycles" {
		t.Errorf("provenance is lost: %+v", lat)
	}
}

func TestProvenance(t *testing.T) {
	c, _ := with(t, `
  clock 1 GHz source sheet "page 3"
  cores 4 source sheet "page 4" derived "2 x 2"
  launch 5 us assumed "no idea"`)
	for _, q := range []struct {
		q    Quantity
		conf Confidence
		text string
	}{
		{c.Clock, Published, "the made-up data sheet: page 3"},
		{c.Cores, Derived, "the made-up data sheet: page 4; 2 x 2"},
		{c.Launch, Assumed, "no idea"},
	} {
		if q.q.Confidence != q.conf || q.q.Source != q.text {
			t.Errorf("got %s %q, want %s %q", q.q.Confidence, q.q.Source, q.conf, q.text)
		}
	}
	var names []string
	for _, f := range c.Assumed() {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"year", "launch"}, names); diff != "" {
		t.Error(diff)
	}
	if want := "good, 90 % of what times lean on is known; 29 numbers: 26 published, 1 derived, 2 assumed; assumed and decisive: launch"; c.Trust() != want {
		t.Errorf("Trust() = %q, want %q", c.Trust(), want)
	}
}

func TestPrecisions(t *testing.T) {
	names := func(ps []Precision) string {
		var out []string
		for _, p := range ps {
			out = append(out, p.Name)
		}
		return strings.Join(out, " ")
	}
	c, _ := with(t, "")
	if all, auto := names(c.Precisions), names(c.AutoPrecisions()); all != "f32 f16 w8a16" || auto != "f16 f32" {
		t.Errorf("from the rates: %s; auto: %s", all, auto)
	}
	c, _ = with(t, `
  auto f32
  precision bf16 { weight bf16; activation f32; rate f32, f32 -> f32 }`)
	if all, auto := names(c.Precisions), names(c.AutoPrecisions()); all != "f32 bf16 f16 w8a16" || auto != "f32" {
		t.Errorf("as stated: %s; auto: %s", all, auto)
	}
	if p, _ := c.Precision("bf16"); p.Weight != format.BF16 || p.A != format.F32 {
		t.Errorf("the precision block is lost: %+v", p)
	}
}

// The precisions of MX blocks are those of chips whose engines multiply with the scales of such blocks, and auto takes none of them.
func TestBlockPrecisions(t *testing.T) {
	for _, name := range chips.List() {
		c, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.EnginesOf(Matrix) {
			for _, r := range e.Matrix {
				if want, ok := map[format.Format]string{format.F8E4M3FN: "mxfp8", format.F4E2M1: "mxfp4"}[r.A]; ok && r.A == r.B {
					p, has := c.Precision(want)
					if has != (r.Scale == format.F8E8M0) || has && (!p.MX || p.Auto > 0 || c.ScaleBlock(p.A, p.B) != int64(r.ScaleBlock)) {
						t.Errorf("%s: %s is %+v, with scales %s %d", name, want, p, r.Scale, r.ScaleBlock)
					}
				}
			}
		}
		if _, ok := c.Precision("mxfp8"); ok && c.ScaleBlock(format.F8E4M3FN, format.F8E4M3FN) == 0 {
			t.Errorf("%s has mxfp8 without scales", name)
		}
	}
	c, _ := with(t, `
  precision mxfp8 { weight f16; activation f16; rate f16, f16 -> f32 }`)
	if err := Check(c).Err(); err == nil || !strings.Contains(err.Error(), "needs a matrix rate f16, f16 -> f32 that multiplies scales") {
		t.Errorf("scales that the rate lacks: %v", err)
	}
}
