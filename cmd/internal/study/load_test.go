package study

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const layerHead = "time_stats.attn_pre_proj.median,time_stats.post_attention_layernorm.median,time_stats.add.median,n_head,n_kv_head,n_embd,n_expanded_embd,vocab_size,use_gated_mlp,num_tokens,num_tensor_parallel_workers\n"

// TestLayouts: every layout of a table is told by its header and read into cases.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		name, path, text string
		chip, what       string
		class            Class
		seconds          float64
		rows             int
	}{
		{"products", "matmul_A100.csv", "m,n,k,latency_ms,tflops\n64,12288,4096,0.1900,101.7\n", "nvidia-a100", "gemm f16 T=64 K=12288 N=4096", GEMM, 190e-6, 1},
		{"softmax", "softmax_MI210.csv", "m,n,gelements_per_s\n1000,500,0.5\n", "amd-mi210", "softmax f16 T=1000 D=500", Softmax, 1e-3, 1},
		{"gelu", "gelu_A100.csv", "elements,gelements_per_s\n2000,2\n", "nvidia-a100", "gelu f16 T=1 N=2000", Elementwise, 1e-6, 1},
		{"all-reduce", "allreduce_A100x4_nvlink3.csv", "bytes,latency_us\n16,13.92\n", "nvidia-a100", "all-reduce 16 B cards=4 per-node=4", Collective, 13.92e-6, 1},
		{"one layer on four cards", "transformer_A100x4.csv", "operator,latency_s\nwo_proj,0.0045\n", "nvidia-a100", "gemm f16 T=16384 K=3072 N=12288", GEMM, 0.0045, 1},
		{"operations of a layer", "compute/h100/mlp.csv", layerHead + "0.1,0.02,0.03,64,8,8192,28672,32768,True,1024,2\n", "nvidia-h100", "gemm f16 T=1024 K=8192 N=5120", GEMM, 100e-6, 3},
		{"transfers", "network/h100_dgx/all_reduce.csv", "time_stats.all_reduce.median,rank,num_workers,size,collective,devices_per_node,max_devices_per_node\n0.19,0,8,30670848,all_reduce,8,8\n",
			"nvidia-h100", "all-reduce 30670848 B cards=8 per-node=8", Collective, 190e-6, 1},
		{"facts", "facts.tsv", "chip\tbenchmark\tmetric\tvalue\tunit\trated\tratio\tconditions\tsource\nnvidia-h20\tinfersim/gemm\tlatency\t6.584\tus\t\t0.06\tFP8 DeepGEMM m=16 k=2048 n=1024; ratio=MFU\tx\n",
			"nvidia-h20", "gemm f8e4m3fn T=16 K=2048 N=1024", GEMM, 6.584e-6, 1},
		{"one's own, without a chip", "own.csv", "kind,format,T,D,seconds\nsoftmax,f16,10,20,1e-5\n", "", "softmax f16 T=10 D=20", Softmax, 1e-5, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), filepath.FromSlash(c.path))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			rows, _, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != c.rows {
				t.Fatalf("%d rows, want %d", len(rows), c.rows)
			}
			r := rows[0]
			if r.Chip != c.chip || r.What() != c.what || r.Class != c.class || r.Skip != "" {
				t.Errorf("got %s %s %s %q, want %s %s %s", r.Chip, r.Class, r.What(), r.Skip, c.chip, c.class, c.what)
			}
			if d := r.Seconds/c.seconds - 1; d > 1e-9 || d < -1e-9 {
				t.Errorf("%g s, want %g", r.Seconds, c.seconds)
			}
		})
	}
}

// TestFacts: shapes stand among the conditions, and what is no time of a kernel says so.
func TestFacts(t *testing.T) {
	read := func(benchmark, metric, value, unit, conditions string) Row {
		tab, err := parseTable("f.tsv", []byte("chip\tbenchmark\tmetric\tvalue\tunit\tconditions\nc\t"+strings.Join([]string{benchmark, metric, value, unit, conditions}, "\t")+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var out Row
		if err := readFacts(tab, func(r Row) { out = r }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct{ benchmark, metric, value, unit, conditions, want string }{
		{"infersim/mha_decode", "latency", "10", "us", "shape 32-4-128; dtype=bf16 kv_dtype=fp8 batch_size=16 kv_len=1024", "decode f8e4m3fn B=16 S=1024 G=4 P=8 D=128"},
		{"infersim/mla_prefill", "latency", "10", "us", "shape 128-128-64; dtype=bf16 seq_len=4096", "prefill bf16 B=1 S=4096 G=128 P=1 D=192 E=128"},
		{"infersim/grouped_gemm_decode", "down_proj latency", "10", "us", "experts=96 gpus=8 local=12 topk=8 hidden=2048 inter=1560 bs_per_gpu=16 tok_per_expert=11", "grouped f8e4m3fn E=12 T=11 K=1560 N=2048"},
		{"infersim/grouped_gemm_decode", "up_proj latency", "10", "us", "experts=96 gpus=8 local=12 topk=8 hidden=2048 inter=1560 bs_per_gpu=16 tok_per_expert=11", "grouped f8e4m3fn E=12 T=11 K=2048 N=3120"},
		{"infersim/grouped_gemm_decode", "up_proj latency", "10", "us", "experts=256 gpus=1 local=256 topk=8 hidden=7168 inter=2048 bs_per_gpu=32 tok_per_expert=1", "grouped f8e4m3fn E=162 T=2 K=7168 N=4096"},
		{"flagperf-base/computation-FP16", "achieved", "300", "TFLOPS", "8 cards", "gemm f16 T=8192 K=8192 N=8192"},
	} {
		if r := read(c.benchmark, c.metric, c.value, c.unit, c.conditions); r.What() != c.want || r.Skip != "" {
			t.Errorf("%s %s: %s %q, want %s", c.benchmark, c.conditions, r.What(), r.Skip, c.want)
		}
	}
	for _, c := range [][]string{
		{"flagperf-training/llama2", "throughput", "100", "tokens/s/card", ""}, {"flagperf-base/main_memory-capacity", "achieved", "60", "GiB", ""},
		{"infersim/gdn_decode/conv", "latency", "8", "us", "batch=1"}, {"something/else", "value", "1", "W", ""},
	} {
		if r := read(c[0], c[1], c[2], c[3], c[4]); r.Skip == "" {
			t.Errorf("%s is taken for a time of %s", c[0], r.What())
		}
	}
}

// TestBadTables: a table that does not fit says where and what was expected.
func TestBadTables(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no header that is known", "a,b,c\n1,2,3\n", "the header is none that is known"},
		{"a short line", "m,n,k,latency_ms\n1,2,3\n", "the line has 3 columns, the header 4"},
		{"no number", "m,n,k,latency_ms\n64,64,64,fast\n", "column latency_ms"},
		{"nothing in no time", "m,n,k,latency_ms\n64,64,64,0\n", "column latency_ms"},
		{"a negative size", "m,n,k,latency_ms\n-64,64,64,1\n", "column m"},
		{"half a row", "m,n,k,latency_ms\n64.5,64,64,1\n", "column m"},
		{"a size beyond all chips", "m,n,k,latency_ms\n1e14,64,64,1\n", "column m"},
		{"not a number", "m,n,k,latency_ms\nNaN,64,64,1\n", "column m"},
		{"a quote that never ends", "m,n,k,latency_ms\n\"64,64,64,1\n", "\""},
		{"heads that do not divide", layerHead + "0.1,0.02,0.03,7,7,8192,28672,32768,True,1024,2\n", "column n_head"},
		{"a kind that is none", "kind,format,seconds\nguess,f16,1\n", "column kind"},
		{"a missing size", "kind,format,T,seconds\nsoftmax,f16,1,1\n", "column D"},
		{"a fact without its shape", "chip\tbenchmark\tmetric\tvalue\tunit\tconditions\nc\tinfersim/gemm\tlatency\t1\tus\tm=16\n", "column conditions"},
		{"a fact whose shape has no numbers", "chip\tbenchmark\tmetric\tvalue\tunit\tconditions\nc\tinfersim/mha_decode\tlatency\t1\tus\tshape a-b-c; batch_size=1 kv_len=1\n", "column conditions"},
		{"a fact of another unit", "chip\tbenchmark\tmetric\tvalue\tunit\tconditions\nc\tinfersim/gemm\tlatency\t1\tfortnight\tm=16 k=1 n=1\n", "column unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "t.csv")
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			rows, _, err := Load(file)
			if err == nil {
				t.Fatalf("read as %v", rows)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	if _, _, err := Load(filepath.Join(t.TempDir(), "nothing")); err == nil || !strings.Contains(err.Error(), "no measurements at") {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no measurements below") {
		t.Errorf("an empty folder: %v", err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add("chip\tbenchmark\tmetric\tvalue\tunit\tconditions\nc\tinfersim/mha_decode\tlatency\t1\tus\tshape 1-2-3; batch_size=1\n")
	f.Add(layerHead + "0.1,0.02,0.03,64,8,8192,28672,32768,True,1024,2\n")
	f.Add("m,n,gelements_per_s\n1,2,3\n")
	f.Add("kind,format,T,D,seconds\nsoftmax,f16,1,1,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		tab, err := parseTable("softmax_a100.csv", []byte(text))
		if err != nil {
			return
		}
		if l := tab.layout(); l != nil {
			_ = l.read(tab, func(r Row) {
				if r.Skip == "" && (!(r.Seconds > 0) || r.What() == "") {
					t.Errorf("a row without a time: %+v", r)
				}
			})
		}
	})
}

// TestSample: the same rows every time, so many of each benchmark.
func TestSample(t *testing.T) {
	var rows []Row
	for i := range 100 {
		rows = append(rows, Row{File: "f", Line: i, Benchmark: []string{"a", "b"}[i%2], Case: newCase("add", "f16", int64(i+1))})
	}
	s := Sample(rows, 7)
	if len(s) != 14 || !reflect.DeepEqual(s, Sample(rows, 7)) {
		t.Errorf("%d rows", len(s))
	}
	if len(Sample(rows, -1)) != 100 {
		t.Error("below 0 takes all")
	}
}
