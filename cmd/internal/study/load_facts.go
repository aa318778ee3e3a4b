package study

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// readFacts reads a table of facts: one measured figure a line, its shape among the conditions, as "m=16 k=2048 n=2048".
func readFacts(t *table, add func(Row)) error {
	return t.each(func(c *cells) {
		chip := strings.ToLower(c.text("chip"))
		if n := chipNames[chip]; n != "" {
			chip = n
		}
		r := c.row(chip, c.text("benchmark"))
		f := fact{cells: c, row: &r, cond: conditions(c.text("conditions"))}
		f.read()
		if c.err == nil {
			add(r)
		}
	})
}

// fact is one line of a table of facts.
type fact struct {
	*cells
	row  *Row
	cond map[string]string
}

// conditions reads the words of the form name=value, and the word behind "shape".
func conditions(s string) map[string]string {
	out := map[string]string{}
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ';' || r == ',' })
	for i, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			out[k] = v
		} else if w == "shape" && i+1 < len(words) {
			out["shape"] = words[i+1]
		}
	}
	return out
}

// dim reads a size among the conditions.
func (f *fact) dim(name string) int64 {
	v, err := strconv.ParseInt(f.cond[name], 10, 64)
	if err != nil || v < 1 || v > maxSize {
		f.fail("conditions", "a whole number for "+name+"=")
		return 1
	}
	return v
}

// shape reads so many sizes joined by dashes. All of them are at least 1, those of a faulty shape too.
func (f *fact) shape(n int) []int64 {
	out := slices.Repeat([]int64{1}, n)
	parts := strings.Split(f.cond["shape"], "-")
	if len(parts) > 0 && len(parts) == n+1 {
		parts = parts[1:] // a word before the sizes
	}
	for i := range out {
		v := int64(0)
		if len(parts) == n {
			v, _ = strconv.ParseInt(parts[i], 10, 64)
		}
		if v < 1 || v > maxSize {
			f.fail("conditions", fmt.Sprintf("shape and %d sizes joined by dashes", n))
			return out
		}
		out[i] = v
	}
	return out
}

// perGroup gives how many heads share a group.
func (f *fact) perGroup(shape []int64) int64 {
	if shape[0]%shape[1] != 0 {
		f.fail("conditions", "a shape whose heads are a multiple of its groups")
		return 1
	}
	return shape[0] / shape[1]
}

// seconds reads the value as a time.
func (f *fact) seconds() float64 {
	unit := f.text("unit")
	scale, ok := map[string]float64{"us": 1e-6, "ms": 1e-3, "s": 1, "ns": 1e-9}[unit]
	if !ok {
		f.fail("unit", "s, ms, us or ns")
		return 1
	}
	return f.number("value") * scale
}

func (f *fact) skip(why string) { f.row.Skip = why }

// set makes the row one of a case.
func (f *fact) set(kind, format string, seconds float64, dims ...int64) {
	f.row.Case = newCase(kind, format, dims...)
	f.row.Class = kinds[kind].class
	f.row.Seconds = seconds
}

// probe is the size of kernels that measure a peak where the page does not say: products of 8192 each way, copies of a GiB. What they
// take is the peak's part; nothing hangs on the exact size.
const (
	probeProduct = 8192
	probeCopy    = 1 << 28 // elements of 4 bytes
)

func (f *fact) read() {
	b := f.text("benchmark")
	suite, what, _ := strings.Cut(b, "/")
	switch {
	case suite == "infersim":
		f.inference(what)
	case strings.HasPrefix(suite, "flagperf-base"), strings.HasPrefix(suite, "flagperf-toolkit"), strings.HasPrefix(suite, "flagperf-operation"):
		f.peak(what)
	case suite == "roofline-microbench":
		f.micro(what)
	case suite == "STREAM":
		f.bandwidth("triad", 3, 8)
	case strings.HasSuffix(suite, "-decode"):
		f.layer(suite, what)
	case suite == "awq-w4a16-gemm":
		f.quantised()
	case suite == "allreduce":
		f.skip("the page prints two bandwidths without saying which is which")
	case strings.HasPrefix(suite, "flagperf-training"), strings.HasPrefix(suite, "flagperf-inference"):
		f.skip("throughput of a whole training or evaluation program, not the time of a kernel")
	default:
		f.skip("the page does not give the shape")
	}
}

// inference reads the tables of an inference simulator's kernel measurements.
func (f *fact) inference(what string) {
	s := f.seconds()
	// bytes in a format's word
	kv := map[string]string{"bf16": "bf16", "fp8": "f8e4m3fn", "fp16": "f16", "": "bf16"}[f.cond["kv_dtype"]]
	switch {
	case what == "gemm":
		f.set("gemm", "f8e4m3fn", s, f.dim("m"), f.dim("k"), f.dim("n"))
	case strings.HasPrefix(what, "grouped_gemm"):
		k, n := f.dim("hidden"), 2*f.dim("inter")
		if strings.HasPrefix(f.text("metric"), "down") {
			k, n = f.dim("inter"), f.dim("hidden")
		}
		// Tokens choose experts as they like: of those with a few tokens on average, a part e^-average has none and is not read.
		local, tokens := f.dim("local"), f.dim("tok_per_expert")
		if f.cond["bs_per_gpu"] != "" {
			each := float64(f.dim("bs_per_gpu")) * float64(f.dim("gpus")) * float64(f.dim("topk")) / float64(f.dim("experts"))
			chosen := max(1, int64(math.Round(float64(local)*-math.Expm1(-each))))
			tokens = max(1, int64(math.Ceil(float64(local)*each/float64(chosen))))
			local = chosen
		}
		f.set("grouped", "f8e4m3fn", s, local, tokens, k, n)
	case what == "mha_decode":
		d := f.shape(3)
		f.set("decode", kv, s, f.dim("batch_size"), f.dim("kv_len"), d[1], f.perGroup(d), d[2])
	case what == "mha_prefill":
		d := f.shape(3)
		f.set("prefill", "bf16", s, 1, f.dim("seq_len"), d[1], f.perGroup(d), d[2], d[2])
	case what == "mla_decode":
		d := f.shape(3)
		f.set("mla_decode", kv, s, f.dim("batch_size"), f.dim("kv_len"), d[0], d[1], d[2])
	case what == "mla_prefill":
		d := f.shape(3)
		f.set("prefill", "bf16", s, 1, f.dim("seq_len"), d[0], 1, d[1]+d[2], d[1])
	case what == "dsa_decode":
		d := f.shape(3)
		// The chosen keys only, whose number is fixed; the cache may be FP8, the products are of bf16.
		f.set("mla_decode", "bf16", s, f.dim("batch_size"), d[2], d[0], max(1, d[1]-64), 64)
	case what == "dsa_prefill" && strings.HasPrefix(f.cond["shape"], "logits"):
		// The scores of the index: heads and channels are summed over; of the last queries' keys half are after them.
		d := f.shape(2)
		q, keys := f.dim("s_q"), f.dim("s_kv")
		f.set("scores", "f8e4m3fn", s, q, d[0]*d[1], max(1, keys-min(q, keys)/2))
	case what == "dsa_prefill":
		f.skip("sparse prefill gathers other keys for every query; no kernel of that form")
	case strings.HasPrefix(what, "gdn"):
		f.skip("a gated delta net; no kernel of that form")
	default:
		f.skip("not a kernel that is known")
	}
	if strings.Contains(f.text("metric"), "latency") {
		return
	}
	f.skip("not a time")
}

// rate reads the value as flop a second.
func (f *fact) rate() (float64, bool) {
	v := f.number("value")
	switch f.text("unit") {
	case "TFLOPS", "TOPS":
		return v * 1e12, true
	case "GFLOPS", "Gop/s":
		return v * 1e9, true
	}
	return 0, false
}

var productFormat = map[string]string{"FP16": "f16", "BF16": "bf16", "TF32": "tf32", "FP32": "f32", "FP64": "f64", "INT8": "i8", "FP8": "f8e4m3fn"}

// peak reads measured peaks of computation, memory and links.
func (f *fact) peak(what string) {
	name, word, _ := strings.Cut(what, "-")
	switch {
	case name == "computation":
		format, ok := productFormat[word]
		v, isRate := f.rate()
		switch {
		case !ok:
			f.skip("a format that is not known")
		case !isRate:
			f.skip("a part of a peak that the page does not disclose")
		default:
			const n = probeProduct
			f.set("gemm", format, 2*n*n*n/v, n, n, n)
		}
	case name == "main_memory" && word == "bandwidth":
		f.bandwidth("copy", 2, 4)
	case what == "linear" || strings.HasPrefix(what, "addmm"):
		if strings.Contains(f.text("metric"), "flaggems") {
			f.skip("not the vendor's library")
			return
		}
		f.skip("the page does not give the shape")
	case name == "interconnect":
		f.skip("a bandwidth whose message size the page does not give")
	case name == "main_memory":
		f.skip("a size, not a time")
	case name == "power":
		f.skip("a power, not a time")
	default:
		f.skip("not the time of a kernel")
	}
}

// bandwidth reads the bandwidth of a kernel that moves so many arrays of elements of so many bytes.
func (f *fact) bandwidth(kind string, arrays, size int64) {
	if f.text("unit") != "GB/s" {
		f.fail("unit", "GB/s")
		return
	}
	n := int64(probeCopy) / size * 4
	f.set(kind, map[int64]string{4: "f32", 8: "f64"}[size], float64(arrays*size*n)/(f.number("value")*1e9), n)
}

// micro reads microbenchmarks of single mechanisms. What one chip number states is no row for a prediction.
func (f *fact) micro(what string) {
	switch {
	case strings.HasPrefix(what, "mmac_"):
		v, ok := f.rate()
		if !ok {
			f.fail("unit", "TFLOPS or TOPS")
			return
		}
		const n = probeProduct
		f.set("gemm", map[string]string{"f16": "f16", "bf16": "bf16", "i8": "i8"}[strings.TrimPrefix(what, "mmac_")], 2*n*n*n/v, n, n, n)
		if f.row.Case.Format == "" {
			f.skip("a format that is not known")
		}
	case what == "hbm_read_vs_ctas":
		blocks, _, _ := strings.Cut(f.text("conditions"), " ")
		n, err := strconv.ParseInt(blocks, 10, 64)
		if err != nil || n < 1 || n > 1<<20 {
			f.fail("conditions", "a number of workgroups")
			return
		}
		// Every group reads 16 MiB.
		f.set("read", "f32", float64(n*(16<<20))/(f.number("value")*1e9), n, 4<<20)
	default:
		f.skip("one number of the chip's description; nothing to predict")
	}
}

// layer reads single layers of a decode step: the shape is that of the model.
func (f *fact) layer(suite, what string) {
	if f.text("metric") != "wall time" {
		f.skip("the mean over blocks of a part of the kernel, not its time")
		return
	}
	shapes := map[string]map[string][2]int64{
		// hidden 5120, 40 heads and 8 groups of 128, 17408 in the feed-forward layer (the model's config)
		"qwen3-14b-decode": {"q_proj": {5120, 5120}, "k_proj": {5120, 1024}, "v_proj": {5120, 1024}, "o_proj": {5120, 5120},
			"gate_proj": {5120, 17408}, "up_proj": {5120, 17408}, "down_proj": {17408, 5120}},
	}
	s, ok := shapes[suite][what]
	if !ok {
		f.skip("the page does not give the shape")
		return
	}
	f.set("gemm", "bf16", f.seconds(), f.dim("M"), s[0], s[1])
}

// quantised reads products of activations with weights of four bits, whose shape is a list in brackets.
func (f *fact) quantised() {
	f.skip("weights of four bits; no kernel of that form")
}
