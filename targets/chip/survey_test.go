package chip

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/targets/chips"
)

// surveyed are the attributes of the survey that a chip file states as numbers: what the file says, the fact's name for what it says is
// contested, and the unit of the survey.
var surveyed = map[string]struct {
	unit float64
	fact func(c *Chip) string
	got  func(c *Chip) float64
}{
	"core_count":          {1, named("cores"), func(c *Chip) float64 { return c.Cores.Value }},
	"core_clock":          {1e9, named("clock"), func(c *Chip) float64 { return c.Clock.Value }},
	"warp_width":          {1, named("width"), func(c *Chip) float64 { return c.Width.Value }},
	"wave_width":          {1, named("width"), func(c *Chip) float64 { return c.Width.Value }},
	"tdp":                 {1, named("power"), func(c *Chip) float64 { return c.Power.Value }},
	"mem_size":            {1e9, ofGlobal("size"), func(c *Chip) float64 { return c.Global().Size.Value }},
	"mem_bw":              {1e9, ofGlobal("bandwidth"), func(c *Chip) float64 { return c.Global().Rated.Value }},
	"l2":                  {1 << 20, named("memory l2: size"), func(c *Chip) float64 { return sizeOf(c, "l2") }},
	"shared_mem_per_core": {1024, named("memory smem: size"), func(c *Chip) float64 { return max(sizeOf(c, "smem"), sizeOf(c, "lds")) }},
	"registers_per_core":  {4, named("memory regs: size"), func(c *Chip) float64 { return sizeOf(c, "regs") }},
	"link_bw":             {1e9, nodeLink, func(c *Chip) float64 { return node(c).Bandwidth.Value }},
	"peak_fp8":            {1e12, named("peak f8e4m3fn"), quotedPeak(format.F8E4M3FN)},
	"peak_fp16":           {1e12, named("peak f16"), quotedPeak(format.F16)},
	"peak_bf16":           {1e12, named("peak bf16"), quotedPeak(format.BF16)},
	"peak_tf32":           {1e12, named("peak tf32"), quotedPeak(format.TF32)},
	"peak_fp32":           {1e12, named("peak f32"), quotedPeak(format.F32)},
	"peak_fp64":           {1e12, named("peak f64"), quotedPeak(format.F64)},
	"peak_int8":           {1e12, named("peak i8"), quotedPeak(format.I8)},
	"peak_int4":           {1e12, named("peak i4"), quotedPeak(format.I4)},
}

func named(fact string) func(*Chip) string { return func(*Chip) string { return fact } }

func ofGlobal(key string) func(*Chip) string {
	return func(c *Chip) string { return "memory " + c.Global().Name + ": " + key }
}

// node is the link of a card to those beside it: the widest.
func node(c *Chip) *Link {
	widest := &Link{}
	for _, k := range c.Links {
		if k.Bandwidth.Value > widest.Bandwidth.Value {
			widest = k
		}
	}
	return widest
}

func nodeLink(c *Chip) string { return "link " + node(c).Name + ": bandwidth" }

func sizeOf(c *Chip, memory string) float64 {
	if m := c.Memory(memory); m != nil {
		return m.Size.Value
	}
	return 0
}

func quotedPeak(f format.Format) func(*Chip) float64 {
	return func(c *Chip) float64 {
		for _, p := range c.Peaks {
			if p.Format == f {
				return p.FlopsPerSecond.Value
			}
		}
		return 0
	}
}

// otherwise are rows of the survey that a file takes in another sense than their first number, and why.
var otherwise = map[string]string{
	"hygon-k100-ai/tdp":          "300 or 400: the middle",
	"ascend-910b/peak_int8":      "listing of a rented card, as its 280 TFLOPS, of no die of the platform files",
	"nvidia-h800/peak_fp64":      "about, and cut: no rate of the matrix units",
	"ascend-950pr/peak_bf16":     "the quoted peak is 547; the rates give 530.8",
	"nvidia-h20/peak_fp32":       "of the vector units",
	"loongson-3a6000/l2":         "in KiB, of a core",
	"loongson-3c6000/l2":         "in KiB, of a core",
	"iluvatar-bi-v150/peak_fp32": "inferred, about: it is in the source of the rate",
	"metax-c500/peak_fp32":       "18 is the vector units', 36 the matrix units'",
	"nvidia-a100/peak_fp64":      "9.7 without tensor cores",
	"nvidia-h100/peak_fp32":      "of the vector units, in their rates",
	"nvidia-h100/peak_fp64":      "with and without tensor cores",
}

// TestSurveyEveryChip: what the survey of published figures gives for a chip is what its file states, or names as contested; native FP8 is
// there where the survey has it and nowhere else.
func TestSurveyEveryChip(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "chips", "chips.tsv"))
	if err != nil {
		if os.Getenv("APOGEE_CORPUS") == "required" {
			t.Fatal(err)
		}
		t.Skip("the survey is not beside this checkout: ", err)
	}
	have := map[string]*Chip{}
	for _, n := range chips.List() {
		c, err := Load(n)
		if err != nil {
			t.Fatal(err)
		}
		have[n] = c
	}
	seen := 0
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Split(line, "\t")
		if len(f) < 7 || have[f[0]] == nil {
			continue
		}
		c, attr, value := have[f[0]], f[2], f[3]
		if attr == "native_fp8" {
			_, _, has := c.Matrix(format.F8E4M3FN, format.F8E4M3FN)
			switch {
			case strings.HasPrefix(value, "no") && has:
				t.Errorf("%s: multiplies f8, the survey says it does not", c.Name)
			case strings.HasPrefix(value, "yes") && !has:
				t.Errorf("%s: does not multiply f8, the survey says it does", c.Name)
			}
			continue
		}
		s, ok := surveyed[attr]
		if !ok || f[6] == "unknown" {
			continue
		}
		got, fact := s.got(c), s.fact(c)
		var values []float64 // of several variants, the file has one
		for _, w := range strings.FieldsFunc(value, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
			if v, err := strconv.ParseFloat(w, 64); err == nil {
				values = append(values, v*s.unit)
			}
		}
		if len(values) == 0 {
			continue
		}
		seen++
		// Sizes are quoted in either unit; links in either or both directions; cards may be several devices, a package several dies.
		var fits bool
		try := func(x float64) {
			for _, k := range []float64{1, 1.024, 1.048576, 1.073741824, 0.5, 2, 1 / 1.073741824} {
				if (k < 1.01 && k > 0.99) || (k > 1.01 && k < 1.1 || k < 1 && k > 0.9) && strings.HasSuffix(fact, "size") || (k == 0.5 || k == 2) && attr == "link_bw" {
					for _, v := range values {
						fits = fits || math.Abs(x*k/v-1) < 0.021
					}
				}
			}
		}
		try(got)
		if c.Devices > 1 {
			try(got * float64(c.Devices))
		}
		for _, x := range c.Contested {
			if x.Fact == fact {
				for _, q := range x.Also {
					try(q.Value)
				}
			}
		}
		switch why := otherwise[c.Name+"/"+attr]; {
		case !fits && why == "":
			t.Errorf("%s: %s is %s %s in the survey, %g here", c.Name, attr, value, f[4], got/s.unit)
		case fits && why != "":
			t.Errorf("%s: %s is as in the survey, and needs no excuse", c.Name, attr)
		}
	}
	if seen < 150 {
		t.Errorf("only %d rows compared", seen)
	}
}
