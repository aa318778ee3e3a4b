package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// apogee runs a command line in this process.
func apogee(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// good writes a valid file of every kind into the current folder and gives their names: a checkpoint and what is in it, a source, a
// chip, IR, a plan in both forms, and an array.
func good(t testing.TB) {
	t.Helper()
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("ckpt", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"} {
		copyFile(t, filepath.Join(examples, "r1-nano", n), filepath.Join("ckpt", n))
	}
	copyFile(t, filepath.Join(examples, "r1-nano", "reference", "len7.tokens.npy"), "t.npy")
	copyFile(t, filepath.Join(examples, "norm.mg"), "m.mg")
	must := func(file string, args ...string) {
		t.Helper()
		code, out, errs := apogee(args...)
		if code != 0 {
			t.Fatalf("apogee %s: exit code %d\n%s", strings.Join(args, " "), code, errs)
		}
		if file != "" {
			write(t, file, out)
		}
	}
	must("m.ir", "dump", "m.mg")
	must("", "compile", "m.mg", "--target", "nvidia-h100", "--set", "T=4,N=8", "-o", "m.plan")
	must("p.txt", "dump", "m.plan", "--emit", "plan")
	must("c.chip", "chip", "show", "ascend-910b", "--source")
	write(t, "c.chip", strings.Replace(read(t, "c.chip"), `chip "ascend-910b"`, `chip "c"`, 1))
	must("", "check", "ckpt", "m.mg", "m.ir", "m.plan", "p.txt", "c.chip", "t.npy")
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	write(t, to, read(t, from))
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// npyFile is an .npy file with a header and so many bytes behind it.
func npyFile(header string, data int) string {
	b := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(b[8:], uint16(len(header)))
	return string(b) + header + strings.Repeat("\x00", data)
}

// safe is a .safetensors file with a header and so many bytes behind it.
func safe(header string, data int) string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(len(header)))
	return string(b[:]) + header + strings.Repeat("\x00", data)
}

// TestMalformed: a file that is broken in one way is refused with exit code 1 and a message that says which file and what is wrong,
// nothing is printed or written, and no memory is taken for what a file merely claims.
func TestMalformed(t *testing.T) {
	good(t)
	const out = "out"
	check := func(f string) []string { return []string{"check", f} }
	run := []string{"run", "ckpt", "--target", "reference", "--input", "tokens=bad.npy", "--output", "logits=out"}
	timed := func(f string) []string { return []string{"time", f, "--target", "nvidia-h100"} }
	chat := []string{"generate", "ckpt", "--target", "reference", "--chat", "1+1=", "-n", "2"}
	deep := func(open, close string) string { return strings.Repeat(open, 100000) + strings.Repeat(close, 100000) }
	for _, c := range []struct {
		name string
		file string // written anew
		text string
		args []string
		want []string // in the message
		mib  uint64   // that may be allocated in all, besides what every run takes
	}{
		{"source that is no text", "bad.mg", "\xff\xfe\x00", check("bad.mg"), []string{"bad.mg:1:1: error[MG001]", "not valid UTF-8"}, 0},
		{"empty source", "bad.mg", "", check("bad.mg"), []string{"bad.mg:1:1: error[MG108]", "has no entry"}, 0},
		{"source cut short", "bad.mg", "entry f(x: f32[B", check("bad.mg"), []string{"bad.mg:1:", "error[MG006]"}, 0},
		{"source with deep brackets", "bad.mg", "let a = " + deep("(", ")"), check("bad.mg"), []string{"bad.mg:1:", "error[MG004]"}, 0},
		{"source with many signs", "bad.mg", "let a = " + strings.Repeat("-", 200000) + "1", check("bad.mg"), []string{"bad.mg:1:", "error[MG"}, 0},
		{"source too big", "bad.mg", strings.Repeat("// x\n", 300000), check("bad.mg"), []string{"bad.mg", "error[MG005]", "1048576 bytes"}, 0},
		{"source that imports itself", "bad.mg", "import \"bad.mg\"\n", check("bad.mg"), []string{"bad.mg:1:", "error[MG102]"}, 0},
		{"source without end", "bad.mg", "entry f(x: f32[B]) -> (y: f32[B]) { x * sum([i * j for i in 0..900000 for j in 0..9]) }", check("bad.mg"), []string{"bad.mg:1:"}, 0},
		{"dimensions beyond measure", "bad.mg", "entry f(x: f32[9000000000, 9000000000]) -> (y: f32[9000000000, 9000000000]) { x + 1 }", timed("bad.mg"), []string{"x", "too large"}, 0},
		{"source of a huge constant", "bad.mg", "entry f(x: f32[4]) -> (y: f32[4]) { x + sum(full(f32, [4000000, 4000000], 1.0), axis=[0, 1]) }", []string{"run", "bad.mg", "--target", "reference", "--input", "x=t.npy"}, []string{"input x"}, 0},

		{"IR that is no text", "bad.ir", "\x00\x01\x02", check("bad.ir"), []string{"bad.ir:1:1: error[IR001]"}, 0},
		{"IR cut short", "bad.ir", "module @m {\n  func entry @f(%x: f32[B]) -> (y) {\n", check("bad.ir"), []string{"bad.ir:3:", "error[IR"}, 0},
		{"IR with an unknown op", "bad.ir", "module @m {\n  func entry @f(%x: f32[4]) -> (y) {\n    %0 = reshap(%x) {shape=[4]} : f32[4]\n    return(%0)\n  }\n}\n", check("bad.ir"), []string{"bad.ir:3:", `"reshape"`}, 0},
		{"IR whose types do not hold", "bad.ir", "module @m {\n  func entry @f(%x: f32[4]) -> (y) {\n    %0 = add(%x, %x) : f32[5]\n    return(%0)\n  }\n}\n", check("bad.ir"), []string{"f32[4]", "f32[5]"}, 0},
		{"IR with a value from nowhere", "bad.ir", "module @m {\n  func entry @f(%x: f32[4]) -> (y) {\n    return(%7)\n  }\n}\n", check("bad.ir"), []string{"bad.ir:3:", "%7"}, 0},
		{"IR with deep brackets", "bad.ir", "module @m {" + deep("{", "}"), check("bad.ir"), []string{"bad.ir:1:"}, 0},

		{"plan that is none", "bad.plan", "hello", timed("bad.plan"), []string{"bad.plan: error[PLAN010]: this is not a plan"}, 0},
		{"plan cut short", "bad.plan", read(t, "m.plan")[:900], timed("bad.plan"), []string{"bad.plan: error[PLAN012]"}, 0},
		{"plan with a header alone", "bad.plan", read(t, "m.plan")[:12], timed("bad.plan"), []string{"bad.plan: error[PLAN"}, 0},
		{"plan with a flipped bit", "bad.plan", flip(read(t, "m.plan"), 2000), timed("bad.plan"), []string{"bad.plan: error[PLAN013]", "checksum"}, 0},
		{"plan of another version", "bad.plan", flip(read(t, "m.plan"), 9), timed("bad.plan"), []string{"bad.plan: error[PLAN011]", "version"}, 0},
		{"plan text with an unknown memory", "bad.txt", strings.Replace(read(t, "p.txt"), " <- gm:", " <- gmm:", 1), check("bad.txt"), []string{"bad.txt:", `there is no memory "gmm"`, `did you mean "gm"?`}, 0},
		{"plan text cut short", "bad.txt", read(t, "p.txt")[:3000], check("bad.txt"), []string{"bad.txt:"}, 0},

		{"array that is none", "bad.npy", "hello, world", run, []string{"in input tokens:\nbad.npy: error[NPY001]: not an .npy file"}, 0},
		{"empty array file", "bad.npy", "", run, []string{"bad.npy: error[NPY005]: the file is cut off"}, 0},
		{"array cut short", "bad.npy", read(t, "t.npy")[:140], run, []string{"bad.npy: error[NPY005]"}, 0},
		{"array that claims much", "bad.npy", npyFile("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1000000000000), }", 4), run, []string{"bad.npy: error[NPY005]"}, 0},
		{"array beyond measure", "bad.npy", npyFile("{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387904, 8), }", 4), run, []string{"bad.npy: error[NPY004]"}, 0},
		{"array of objects", "bad.npy", npyFile("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8), run, []string{"bad.npy:", "error[NPY003]", "|O"}, 0},
		{"array of a complex type", "bad.npy", npyFile("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8), run, []string{"bad.npy:", "error[NPY003]"}, 0},
		{"array with code as its header", "bad.npy", npyFile("__import__('os').system('x')", 8), run, []string{"bad.npy:", "error[NPY002]"}, 0},
		{"array of a wrong rank", "bad.npy", npyFile("{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", 12), run, []string{"input tokens: expected i32[B,T]", "found i32[3]"}, 0},
		{"tokens as floats", "bad.npy", npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }", 12), run, []string{"input tokens: expected i32[B,T]", "found f32[1,3]"}, 0},

		{"weights cut short", "ckpt/model.safetensors", read(t, "ckpt/model.safetensors")[:1000000], chat, []string{"ckpt/model.safetensors", "may be cut short"}, 0},
		{"weights cut in the header", "ckpt/model.safetensors", read(t, "ckpt/model.safetensors")[:2000], chat, []string{"ckpt/model.safetensors", "the header's length is given as"}, 0},
		{"weights that claim much", "ckpt/model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", chat, []string{"ckpt/model.safetensors", "the header's length"}, 0},
		{"weights that claim 99 MB", "ckpt/model.safetensors", "\x00\x00\xf0\x05\x00\x00\x00\x00{}", chat, []string{"ckpt/model.safetensors", "the header's length"}, 0},
		{"empty weights", "ckpt/model.safetensors", "", chat, []string{"ckpt/model.safetensors"}, 0},
		{"weights without JSON", "ckpt/model.safetensors", safe("hello", 0), chat, []string{"ckpt/model.safetensors"}, 0},
		{"weights that overlap", "ckpt/model.safetensors", safe(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), chat, []string{"ckpt/model.safetensors", "they overlap"}, 0},
		{"weights beyond measure", "ckpt/model.safetensors", safe(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}`, 8), chat, []string{"ckpt/model.safetensors", `"a"`}, 0},
		{"weights of another type", "ckpt/model.safetensors", safe(`{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}`, 8), chat, []string{"ckpt/model.safetensors", "C64"}, 0},
		{"weights that lack a tensor", "ckpt/model.safetensors", strings.Replace(read(t, "ckpt/model.safetensors"), "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_porj.weight", 1), chat, []string{`the checkpoint has no tensor "model.layers.0.mlp.up_proj.weight"`, `did you mean "model.layers.0.mlp.up_porj.weight"?`}, 0},
		{"weights of another shape", "ckpt/model.safetensors", strings.Replace(read(t, "ckpt/model.safetensors"), `"shape":[32,128]`, `"shape":[128,32]`, 1), chat, []string{"has another shape", "found bf16[128,32]"}, 0},

		{"config without an end", "ckpt/config.json", "{", chat, []string{"ckpt/config.json:1:", "error[MG201]"}, 0},
		{"config with deep brackets", "ckpt/config.json", deep("[", "]"), chat, []string{"ckpt/config.json:1:", "error[MG201]"}, 0},
		{"config of an unknown model", "ckpt/config.json", `{"model_type": "gpt9"}`, chat, []string{"ckpt/config.json:1:16: error[HF001]", "DeepseekV3ForCausalLM"}, 0},
		{"config with a field twice", "ckpt/config.json", strings.Replace(read(t, "ckpt/config.json"), `"vocab_size"`, `"hidden_size": 1, "vocab_size"`, 1), chat, []string{"ckpt/config.json:", "hidden_size"}, 0},
		{"config with a misspelt field", "ckpt/config.json", strings.Replace(read(t, "ckpt/config.json"), `"hidden_size"`, `"hidden_sise"`, 1), chat, []string{"ckpt/config.json:", `config has no field "hidden_sise"`, `did you mean "hidden_size"?`, "config.hidden_size is missing"}, 0},
		{"config with a number that is none", "ckpt/config.json", strings.Replace(read(t, "ckpt/config.json"), `"num_hidden_layers": 4`, `"num_hidden_layers": "4"`, 1), chat, []string{"ckpt/config.json:", "config.num_hidden_layers has the wrong type", `found "4"`}, 0},
		{"config with a billion layers", "ckpt/config.json", strings.Replace(read(t, "ckpt/config.json"), `"num_hidden_layers": 4`, `"num_hidden_layers": 2000000000`, 1), chat, []string{"the range has more than"}, 0},
		{"config of more layers than the weights", "ckpt/config.json", strings.Replace(read(t, "ckpt/config.json"), `"num_hidden_layers": 4`, `"num_hidden_layers": 3000`, 1), chat, []string{`no tensor "model.layers.4.`}, 0},
		{"config of negative size", "ckpt/config.json", strings.Replace(read(t, "ckpt/config.json"), `"hidden_size": 128`, `"hidden_size": -128`, 1), chat, []string{"ckpt/config.json:", "error[MG205]"}, 0},
		{"eos that is no token", "ckpt/generation_config.json", `{"eos_token_id": "x"}`, chat, []string{"ckpt/generation_config.json:1:", "eos_token_id is not a token"}, 0},

		{"tokenizer that is no JSON", "ckpt/tokenizer.json", "x", chat, []string{"ckpt", "tokenizer.json"}, 0},
		{"tokenizer without a model", "ckpt/tokenizer.json", "{}", chat, []string{"tokenizer.json: model: missing"}, 0},
		{"tokenizer of an unknown kind", "ckpt/tokenizer.json", `{"model": {"type": "Magic"}}`, chat, []string{"tokenizer.json", "Magic"}, 0},
		{"tokenizer with deep brackets", "ckpt/tokenizer.json", deep("[", "]"), chat, []string{"tokenizer.json"}, 0},
		{"template that never ends", "ckpt/tokenizer_config.json", `{"chat_template": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"}`, chat, []string{"chat template"}, 512},
		{"template that does not parse", "ckpt/tokenizer_config.json", `{"chat_template": "{% if %}"}`, chat, []string{"template"}, 0},
		{"no template", "ckpt/tokenizer_config.json", `{}`, chat, []string{"has no chat template"}, 0},

		{"chip that is no text", "bad.chip", "\xff\x00", check("bad.chip"), []string{"bad.chip:1:1: error[CHIP001]"}, 0},
		{"empty chip", "bad.chip", "", check("bad.chip"), []string{"bad.chip:1:1: error[CHIP017]"}, 0},
		{"chip with an unknown key", "bad.chip", strings.Replace(read(t, "c.chip"), "  launch ", "  lanch ", 1), []string{"time", "m.mg", "--target", "bad.chip", "--set", "T=4,N=8"}, []string{"bad.chip:", `unknown key "lanch"`, `did you mean "launch"?`}, 0},
		{"chip without a number", "bad.chip", strings.Replace(read(t, "c.chip"), "  launch ", "  // launch ", 1), []string{"time", "m.mg", "--target", "./bad.chip", "--set", "T=4,N=8"}, []string{"bad.chip:", "launch"}, 0},
		{"chip with deep braces", "bad.chip", deep("a {", "}"), check("bad.chip"), []string{"bad.chip:1:"}, 0},
		{"chip that extends itself", "bad.chip", `chip "bad" { extends "bad" }`, check("./bad.chip"), []string{"bad.chip:1:"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, had := os.ReadFile(c.file)
			write(t, c.file, c.text)
			var was, is runtime.MemStats
			runtime.ReadMemStats(&was)
			code, stdout, errs := apogee(c.args...)
			runtime.ReadMemStats(&is)
			if code != exitFailure {
				t.Errorf("exit code %d, expected 1", code)
			}
			for _, w := range c.want {
				if !strings.Contains(errs, w) {
					t.Errorf("the message lacks %q", w)
				}
			}
			if t.Failed() || strings.Contains(errs, "broken invariant") {
				t.Errorf("%s\n%s", strings.Join(c.args, " "), errs)
			}
			if stdout != "" {
				t.Errorf("standard output: %q", stdout)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("an output was left behind")
			}
			if took, limit := is.TotalAlloc-was.TotalAlloc, (64+c.mib)<<20+500*uint64(len(c.text)); took > limit {
				t.Errorf("%d MiB were allocated for a file of %d bytes", took>>20, len(c.text))
			}
			if had == nil {
				write(t, c.file, string(before))
			} else {
				os.Remove(c.file)
			}
		})
	}
	noTemporaries(t, ".")
}

func noTemporaries(t *testing.T, dir string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	if err != nil || len(list) > 0 {
		t.Errorf("left behind: %v %v", list, err)
	}
}

func flip(s string, at int) string {
	b := []byte(s)
	b[at] ^= 0x55
	return string(b)
}

// TestMutated: whatever a valid file is made into, the commands that read it end with 0 or 1 and say something when it is 1.
func TestMutated(t *testing.T) {
	good(t)
	run := []string{"run", "m.mg", "--target", "nvidia-h100", "--input", "x=t.npy"}
	for _, c := range []struct {
		file string
		cmds [][]string
	}{
		{"m.mg", [][]string{{"check", "m.mg"}, {"time", "m.mg", "--target", "ascend-910b", "--set", "T=4,N=8"}, {"fmt", "--check", "m.mg"}}},
		{"m.ir", [][]string{{"check", "m.ir"}, {"time", "m.ir", "--target", "ascend-910b", "--set", "T=4,N=8"}}},
		{"m.plan", [][]string{{"check", "m.plan"}, {"time", "m.plan"}}},
		{"p.txt", [][]string{{"check", "p.txt"}, {"time", "p.txt"}, {"dump", "p.txt", "--emit", "plan"}}},
		{"c.chip", [][]string{{"check", "c.chip"}, {"chip", "show", "c.chip"}, {"time", "m.mg", "--target", "c.chip", "--set", "T=4,N=8"}, {"fmt", "--check", "c.chip"}}},
		{"t.npy", [][]string{{"check", "t.npy"}, run}},
		{"ckpt/config.json", [][]string{{"check", "ckpt"}, {"time", "ckpt/config.json", "--target", "nvidia-h100"}}},
		{"ckpt/generation_config.json", [][]string{{"check", "ckpt"}}},
		{"ckpt/tokenizer.json", [][]string{{"check", "ckpt/tokenizer.json"}}},
		{"ckpt/tokenizer_config.json", [][]string{{"check", "ckpt/tokenizer.json"}}},
		{"ckpt/model.safetensors", [][]string{{"check", "ckpt"}}},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			text := read(t, c.file)
			defer write(t, c.file, text)
			seed := uint64(len(text)) | 1
			next := func(n int) int {
				seed ^= seed << 13
				seed ^= seed >> 7
				seed ^= seed << 17
				return int(seed % uint64(n))
			}
			head := min(len(text), 24<<10) // of weights the header is what matters
			for i := range 16 {
				bad := []byte(text)
				what := ""
				switch i % 4 {
				case 0:
					n := next(head)
					bad, what = bad[:n], fmt.Sprintf("cut to %d bytes", n)
				case 1:
					at := next(head)
					bad[at] ^= byte(1 << next(8))
					what = fmt.Sprintf("bit flipped at %d", at)
				case 2:
					at, n := next(head), next(40)
					bad = append(bad[:at:at], text[min(at+n, len(text)):]...)
					what = fmt.Sprintf("%d bytes taken out at %d", n, at)
				case 3:
					at, from := next(head), next(head)
					piece := text[from:min(from+next(60), len(text))]
					bad = append(append(bad[:at:at], piece...), text[at:]...)
					what = fmt.Sprintf("%q put in at %d", piece, at)
				}
				write(t, c.file, string(bad))
				for _, cmd := range c.cmds {
					code, _, errs := apogee(cmd...)
					if code != exitOK && code != exitFailure || code == exitFailure && errs == "" && cmd[0] != "fmt" || strings.Contains(errs, "broken invariant") {
						t.Errorf("%s with %s: exit code %d\n%s", strings.Join(cmd, " "), what, code, errs)
					}
				}
			}
		})
	}
	noTemporaries(t, ".")
}
