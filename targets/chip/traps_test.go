package chip

import (
	"strings"
	"testing"

	"apogee/ir/diag"
)

// The slips that figures of accelerators invite, planted into chip files: each is found, at the number that is wrong, with the right
// figure, or the word to write, in what is said.
func TestTraps(t *testing.T) {
	for _, c := range []struct {
		name, file string // the body of a chip
		code       string
		at         string // the text under the caret
		says       string // in the help or the expectation
	}{
		{"cores, tile and clock give another peak", `extends "ascend-910b3"; peak bf16 313 TFLOPS reported "press"`,
			codePeak, "313 TFLOPS", "write: at 1.91 GHz"},
		{"a listing that is below what was measured", `extends "ascend-910b"; peak f16 280 TFLOPS reported "a rented card"; without contested "peak f16"`,
			codeReached, "313.182 TFLOPS", "choose the variant whose peak is above it"},
		{"the cores' limit taken for the memory's rating", `extends "ascend-950dt"; memory gm { without core_rate; bandwidth 5184 GB/s derived "80 x 36 x 1.8" }`,
			codeCoreSide, "5184 GB/s", "write core_rate 80 B/cycle"},
		{"another one", `extends "ascend-950pr"; memory gm { without core_rate; bandwidth 2008.8 GB/s derived "31 B/cycle and core" }`,
			codeCoreSide, "2008.8 GB/s", "write core_rate 31 B/cycle"},
		{"a package's peak on the cores of a die", `extends "ascend-910c-die"; peak bf16 752 TFLOPS reported "the paper"`,
			codePeak, "752 TFLOPS", "one of a card of two devices"},
		{"a die's peak on the cores of a package", `extends "ascend-910c"; peak bf16 376 TFLOPS of device reported "the paper"`,
			codePeak, "376 TFLOPS", "write of die"},
		{"cores of a package that do not divide", `extends "ascend-950pr"; cores 35 reported "press"`,
			codeLevel, "35", "numbers die"},
		{"a peak of a die where there is one", `extends "nvidia-h100"; peak bf16 989 TFLOPS of die reported "press"`,
			codeLevel, "peak bf16 989 TFLOPS of die", "state dies"},
		{"a card's peak on one of its two devices", `extends "atlas-300i-duo"; peak f16 140 TFLOPS reported "the card"`,
			codePeak, "140 TFLOPS", "of card"},
		{"logical devices: the citation speaks of both dies", `extends "nvidia-a100"; peak f16 312 TFLOPS reported "page of the card, both dies"`,
			codeText, "312 TFLOPS", "of which level"},
		{"a measured ratio to a peak that nobody disclosed", `extends "nvidia-a100"; memory gm { bandwidth 1843 GB/s assumed "from the ratio" }
			derate memory gm 84 % measured "the page prints a ratio only"`,
			codeReached, "84 %", "find the peak the ratio was printed against"},
		{"rated at another clock than the device's", `extends "family-simt"; vendor "v"; year 2023 reported "x"; clock 1.6 GHz reported "properties"; cores 104 reported "properties"
			memory gm { size 64 GB reported "x"; bandwidth 1600 GB/s reported "x" }
			engine tensor { rate f16, f16 -> f32 2048 flop/cycle tile 16x16x16 reported "x" }
			peak f16 280 TFLOPS reported "sheet"`,
			codePeak, "280 TFLOPS", "write: at 1.315 GHz"},
		{"a rate worked out from a peak at another clock", `extends "nvidia-a100"; engine tensor { rate f16, f16 -> f32 1683 flop/cycle tile 16x16x8 derived "280e12/(104*1.6e9)" }`,
			codeStep, "1683 flop/cycle", "rounds to a power of two"},
		{"sources contradict one another", `extends "nvidia-a100"; memory gm { bandwidth 1.6 TB/s reported "press; 1.8 TB/s and 2.4 TB/s appear as well" }`,
			codeText, "1.6 TB/s", `contested "memory gm: bandwidth" { also 1.8 TB/s`},
		{"the same twice, with two figures", "extends \"nvidia-a100\"\n peak bf16 256 TFLOPS reported \"a\"\n peak bf16 314 TFLOPS reported \"b\"",
			codeTwice, "peak bf16 314 TFLOPS reported \"b\"", "contested"},
		{"sparse for dense", `extends "nvidia-h100"; peak bf16 1979 TFLOPS reported "sheet"`,
			codePeak, "1979 TFLOPS", "it is the peak of"},
		{"sparse for dense, alone", `extends "ascend-910b"; peak i8 1415.6 TOPS reported "sheet"`,
			codePeak, "1415.6 TOPS", "write sparse behind it"},
		{"sparse in the citation", `extends "nvidia-h100"; peak bf16 989 TFLOPS reported "sheet, with sparsity"`,
			codeText, "989 TFLOPS", "989 TFLOPS sparse"},
		{"FP8 at four times BF16", `extends "nvidia-h100"; engine tensor { rate f8e4m3fn, f8e4m3fn -> f32 16384 flop/cycle tile 64x32x8 reported "x" }`,
			codeRatio, "rate f8e4m3fn", "sparsity"},
		{"FP8 slower than BF16 by four", `extends "nvidia-h100"; engine tensor { rate f8e4m3fn, f8e4m3fn -> f32 1024 flop/cycle tile 64x32x8 reported "x" }`,
			codeRatio, "rate f8e4m3fn", "swapped"},
		{"INT8 at eight times FP16", `extends "nvidia-a100"; engine tensor { rate i8, i8 -> i32 16384 flop/cycle tile 16x32x8 reported "x" }`,
			codeRatio, "rate i8", "sparsity"},
		{"an absurd ratio", `extends "nvidia-a100"; engine tensor { rate i8, i8 -> i32 409600 flop/cycle tile 16x32x8 reported "x" }`,
			codeRatio, "rate i8", "1 or 2 or 4 times"},
		{"TOPS for TFLOPS", `extends "nvidia-h100"; peak bf16 989.4 TOPS reported "sheet"`, codeTops, "989.4 TOPS", "expected TFLOPS"},
		{"TFLOPS for TOPS", `extends "nvidia-h100"; peak i8 1978.9 TFLOPS reported "sheet"`, codeTops, "1978.9 TFLOPS", "expected TOPS"},
		{"PFLOPS for TFLOPS", `extends "nvidia-h100"; peak bf16 989.4 PFLOPS reported "sheet"`, codePeak, "989.4 PFLOPS", "the prefix of a unit"},
		{"KB for KiB", `extends "nvidia-a100"; memory smem { size 163 KB reported "x" }`, codeSize, "163 KB", "163 KiB"},
		{"Gb/s for GB/s on an adapter", `extends "nvidia-h100"; link ib { bandwidth 400 GB/s reported "one adapter" }`, codeLink, "400 GB/s", "400 Gb/s"},
		{"both directions for one", `extends "nvidia-h100"; link nvlink { bandwidth 900 GB/s reported "sheet" }`, codeLink, "900 GB/s", "900 GB/s both_ways"},
		{"both directions in the citation", `extends "ascend-910b"; link hccs { bandwidth 392 GB/s reported "sheet, bidirectional" }`, codeLink, "392 GB/s", "392 GB/s both_ways"},
		{"bits of memory", `extends "nvidia-a100"; memory gm { bandwidth 16312 GB/s reported "x" }`, codeField, "16312 GB/s", "bits taken for bytes"},
		{"lanes for cores", `extends "nvidia-a100"; cores 6912 reported "CUDA cores"`, codeField, "6912", "not a lane"},
		{"a clock of the memory", `extends "nvidia-a100"; clock 14 GHz reported "x"`, codeField, "14 GHz", "MHz"},
		{"the cores cannot take it", `extends "nvidia-a100"; path gm -> smem { rate 8 B/cycle reported "x" }`, codeCoreSide, "2039 GB/s", "a path's rate is of one core"},
		{"a cache slower than its memory", `extends "nvidia-h100"; memory l2 { bandwidth 550 GB/s reported "x" }`, codeCacheRate, "550 GB/s", "at least 3350"},
		{"server's power", `extends "nvidia-h100"; power 70 kW reported "x"`, codeField, "70 kW", "a server"},
		{"power of a chip in kW", `extends "nvidia-h100"; power 7 W reported "x"`, codeField, "7 W", "TFLOPS/W"},
		{"the memory's rating overwritten by the cores' limit", `extends "ascend-950dt"; memory gm { bandwidth 5184 GB/s reported "x" }`, codeCoreSide, "5184 GB/s", "the rating of the memory itself"},
		{"the cores' limit without a word", `extends "ascend-950dt"; memory gm { without core_rate; bandwidth 5184 GB/s reported "x" }`, codeCoreSide, "5184 GB/s", "core_rate 80"},
		{"a tile of another format", `extends "ascend-910b"; engine cube { rate i8, i8 -> i32 16384 flop/cycle tile 16x16x16 reported "x" }`, codeStep, "rate i8", "another format"},
		{"promotion between steps", `extends "nvidia-h100"; engine tensor { rate f8e4m3fn, f8e4m3fn -> f32 { promote 100 reported "x" } }`, codeStep, "rate", "a multiple of 32"},
		{"scales that are too long", `extends "nvidia-h100"; engine tensor { rate f8e4m3fn, f8e4m3fn -> f32 { scale f32 128 reported "x" } }`, codeFormat, "f32", "f8e8m0"},
		{"more bits than there are", `extends "nvidia-h100"; engine tensor { rate f8e4m3fn, f8e4m3fn -> f32 { accumulate 32 bit reported "x" } }`, codeStep, "rate", "leave accumulate out"},
		{"us for ns", `extends "nvidia-h100"; memory gm { latency 400 us reported "x" }`, codeField, "400 us", "us for ns"},
		{"a memory in MB", `extends "nvidia-h100"; memory gm { size 80 MB reported "x" }`, codeField, "80 MB", "prefix"},
		{"a path of the whole card", `extends "nvidia-h100"; path gm -> regs { rate 15000 B/cycle reported "x" }`, codeField, "15000 B/cycle", "of one core"},
		{"a derate that hides a wrong peak", `extends "nvidia-h100"; derate engine tensor 12 % reported "x"`, codeField, "12 %", "another limit"},
		{"a missing rate", `extends "nvidia-a100"; engine alu { without rate f32 reduce }`, codeVector, `"x"`, "add: rate f32 reduce NUMBER"},
		{"a memory path with a gap", `extends "ascend-910b"; without path gm -> l1; without path l0c -> l1`, codeReach, "l1", "add: path ub -> l1"},
		{"a bad unit", `extends "nvidia-a100"; clock 1410 Mhz reported "x"`, codeUnit, "Mhz", `did you mean "MHz"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := diag.NewSource("x.chip", []byte("chip \"x\" {\n"+c.file+"\n}\n"))
			_, l := Read(src, Shipped)
			for _, d := range l.Items() {
				under := ""
				if d.Range.Source != nil {
					under = string(d.Range.Source.Text[d.Range.Start:d.Range.End])
				}
				if text := one(d); d.Code == c.code && strings.HasPrefix(under, c.at) && strings.Contains(text, c.says) && strings.Contains(text, "^") {
					return
				}
			}
			t.Errorf("want %s at %q with %q, got\n%v", c.code, c.at, c.says, l)
		})
	}
}

func one(d *diag.Diagnostic) string { return d.Error() }

// A doubt that the file answers is silent, and an answer to none is not.
func TestAccept(t *testing.T) {
	body := "extends \"nvidia-h100\"\n peak bf16 1050 TFLOPS reported \"x\"\n"
	for answer, want := range map[string]string{"": codePeak, "accept CHIP035 \"boost\"": "", "accept CHIP035 \"boost\"\n accept CHIP051 \"none\"": codeAccept} {
		_, l := Read(diag.NewSource("x.chip", []byte("chip \"x\" {\n"+body+answer+"\n}\n")), Shipped)
		got := ""
		for _, d := range l.Items() {
			got += d.Code
		}
		if got != want {
			t.Errorf("%q: %v, want %q", answer, l, want)
		}
	}
}

// wrongTotal quotes an interconnect that is neither one direction nor both.
const wrongTotal = `system "x" {
  vendor "v"
  year   2025 reported "x"
  chip   "ascend-910c" 384 reported "x"
  node   8 reported "x"
  link ub {
    scope     cluster
    topology  switch
    peers     384 reported "x"
    bandwidth 392 GB/s one_way reported "x"
    latency   1.2 us reported "x"
    library   "HCCL"
  }
  quoted interconnect 269 TB/s reported "x"
}
`

// The slips of figures of whole systems and of serving.
func TestSystemTraps(t *testing.T) {
	system := func(edit func(string) string) *diag.List {
		_, l := ReadSystem(diag.NewSource("x.system", []byte(edit(wrongTotal))), Shipped)
		return l
	}
	swap := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	served := func(body string) func(string) string {
		return swap("quoted interconnect 269 TB/s reported \"x\"", "served \"R1\" {\n"+body+"\n}")
	}
	total := "quoted interconnect 269 TB/s"
	for _, c := range []struct {
		name string
		edit func(string) string
		code string // "": nothing is found
		says string
	}{
		{"interconnect of neither direction", swap("", ""), codeTotal, "700.5 GB/s a device"},
		{"named as contested", swap(total+` reported "x"`, total+` reported "x"`+"\n contested \"quoted interconnect\" { also 301.1 TB/s derived \"2 x 392 x 384\"; why \"what it counts is not said\" }"), "", ""},
		{"memory of dies for devices", swap(total, "quoted memory 98.3 TB"), codeTotal, "twice"},
		{"peak of half", swap(total, "quoted peak bf16 144.4 PFLOPS"), codeTotal, "half"},
		{"the totals of the paper", swap(total, "quoted peak bf16 288.8 PFLOPS"), "", ""},
		{"dies counted where devices are meant", swap("node   8", "node   10"), codeLevel, "neither dies nor cards"},
		{"a link wider than the system", swap("peers     384", "peers     768"), codeLevel, "joins 768"},
		{"prefill with cache hits", served(`rate 73700 token/s reported "average, includes prefix-cache hits"
			per node
			devices 8 reported "x"`), codeServed, "cache_hits"},
		{"with their part stated", served(`rate 73700 token/s reported "average, includes prefix-cache hits"
			per node
			devices 8 reported "x"
			cache_hits 56.3 % reported "x"`), "", ""},
		{"offline decode that adds up", served(`rate 1821.75 token/s reported "x"
			per device
			devices 16 reported "x"
			batch 256 reported "x"
			tpot 8.78 ms reported "x"`), "", ""},
		{"the batch of one device", served(`rate 1821.75 token/s reported "x"
			per device
			devices 16 reported "x"
			batch 16 reported "x"
			tpot 8.78 ms reported "x"`), codeServed, "is the batch that of one device"},
		{"cards for dies", served(`rate 1821.75 token/s reported "x"
			per device
			devices 32 reported "x"
			batch 256 reported "x"
			tpot 8.78 ms reported "x"`), codeServed, "dies for devices"},
		{"another simulator's figure", served(`rate 9034 token/s reported "SIMULATED, another simulator"
			per device`), codeServed, "simulated"},
		{"a rate of unknown width", served(`rate 9034 token/s reported "x"
			per system`), codeServed, "how many devices"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := system(c.edit)
			if c.code == "" {
				if l.Len() > 0 {
					t.Errorf("nothing is wrong here: %v", l)
				}
				return
			}
			for _, d := range l.Items() {
				if d.Code == c.code && strings.Contains(d.Error(), c.says) && strings.Contains(d.Error(), "^") {
					return
				}
			}
			t.Errorf("want %s with %q, got\n%v", c.code, c.says, l)
		})
	}
	if rate, ok := (Served{Rate: Quantity{Value: 73700}, Per: "node", Devices: Quantity{Value: 8, Confidence: Reported}, CacheHits: Quantity{Value: 0.563}}).Computed(); !ok || rate < 4025 || rate > 4027 {
		t.Errorf("computed tokens a device: %g", rate)
	}
}
