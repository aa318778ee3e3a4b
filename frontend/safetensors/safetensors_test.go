package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"apogee/ir/format"
	"apogee/ir/tensor"
)

// raw makes a file's bytes from a header and its data.
func raw(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func must(t testing.TB) func(*tensor.Tensor, error) *tensor.Tensor {
	return func(x *tensor.Tensor, err error) *tensor.Tensor {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// A file made by hand from the format's description: what every reader must agree on.
func TestOpen(t *testing.T) {
	const header = `{"__metadata__":{"format":"pt","a\"b":"\u00e9"},` +
		`"w.1":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},` +
		` "s":{"shape":[],"data_offsets":[16,18],"dtype":"BF16"},` +
		`"none":{"dtype":"I64","shape":[3,0],"data_offsets":[18,18]},` +
		`"\u00fcber":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[18,21]}}   `
	data := []byte{0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40, 0x80, 0xBF, 0x38, 0x7E, 0xB8}
	f, err := Open(write(t, t.TempDir(), "x.safetensors", raw(header, data)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := f.Names(), []string{"none", "s", "w.1", "über"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if m := f.Metadata(); m["format"] != "pt" || m[`a"b`] != "é" || len(m) != 2 {
		t.Errorf("metadata %q", m)
	}
	for name, want := range map[string]struct {
		tensor string
		values []float64
	}{
		"w.1":  {"f32[2,2]", []float64{1, 2, 3, 4}},
		"s":    {"bf16[]", []float64{-1}},
		"none": {"i64[3,0]", []float64{}},
		"über": {"f8e4m3fn[3]", []float64{1, 448, -1}},
	} {
		x := must(t)(f.Tensor(name))
		got, err := x.F64s()
		if err != nil || x.String() != want.tensor || !slices.Equal(got, want.values) {
			t.Errorf("%s: %s %v (%v), want %v", name, x, got, err, want)
		}
	}
	if in, ok := f.Lookup("w.1"); !ok || in.Dtype != "F32" || in.Format != format.F32 || in.Offset != int64(8+len(header)) || in.Size != 16 {
		t.Errorf("info %+v %v", in, ok)
	}
	if _, err := f.Tensor("w.2"); err == nil || !strings.Contains(err.Error(), `"w.2"`) {
		t.Errorf("an absent tensor: %v", err)
	}
	x := must(t)(f.Tensor("w.1"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Bytes(); err == nil || !strings.Contains(err.Error(), "w.1") || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a tensor of a closed file: %v", err)
	}
}

func TestTensorsAreViews(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("no mapping here")
	}
	f, err := Open(write(t, t.TempDir(), "x.safetensors", raw(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, []byte{1, 2, 3, 4})))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, err := must(t)(f.Tensor("a")).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	y, _ := must(t)(f.Tensor("a")).Bytes()
	if &x[0] != &y[0] {
		t.Error("two reads of a mapped tensor gave two copies")
	}
}

func TestReadWithoutMapping(t *testing.T) {
	path := write(t, t.TempDir(), "x.safetensors", raw(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, []byte{1, 2, 3, 4}))
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.shards[0]
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s.file, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	got, err := must(t)(f.Tensor("a")).Bytes()
	if err != nil || !bytes.Equal(got, []byte{1, 2, 3, 4}) {
		t.Errorf("%v %v", got, err)
	}
}

func TestMalformed(t *testing.T) {
	entry := func(name, dtype, shape string, from, to int64) string {
		return fmt.Sprintf(`"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}`, name, dtype, shape, from, to)
	}
	huge := binary.LittleEndian.AppendUint64(nil, 1<<40)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "has 0 bytes"},
		{"short", []byte{1, 2, 3}, "has 3 bytes"},
		{"header over the limit", append(huge, '{'), "over the limit"},
		{"header over the file", binary.LittleEndian.AppendUint64(nil, 1000), "only 0 follow"},
		{"no brace", raw(` {}`, nil), "expected '{' as its first byte"},
		{"no header", raw(``, nil), "expected '{' as its first byte"},
		{"html", []byte("<!DOCTYPE html><html></html>"), "over the limit"},
		{"cut", raw(`{"a":`, nil), `tensor "a": byte 5: expected '{' to begin the entry, found the end`},
		{"two values", raw(`{} {}`, nil), "expected the end, found '{'"},
		{"dtype", raw(`{`+entry("a", "F31", "1", 0, 4)+`}`, make([]byte, 4)), `unknown dtype "F31"`},
		{"complex", raw(`{`+entry("a", "C64", "1", 0, 8)+`}`, make([]byte, 8)), `unknown dtype "C64"`},
		{"too long", raw(`{`+entry("a", "F32", "2", 0, 4)+`}`, make([]byte, 4)), `F32[2] takes 8 bytes, but data_offsets [0 4] span 4`},
		{"outside", raw(`{`+entry("a", "F32", "2", 0, 8)+`}`, make([]byte, 4)), `tensor "a": bytes 0 to 8 of the data, of which the file has 4`},
		{"far outside", raw(`{`+entry("a", "U8", "4611686018427387904", 4611686018427387904, 9223372036854775807)+`}`, nil), "takes 4611686018427387904 bytes"},
		{"overflow", raw(`{`+entry("a", "F32", "4611686018427387904,4611686018427387904", 0, 0)+`}`, nil), "does not fit"},
		{"number", raw(`{`+entry("a", "F32", "9223372036854775808", 0, 0)+`}`, nil), "too large"},
		{"negative", raw(`{`+entry("a", "F32", "-1", 0, 0)+`}`, nil), "whole number"},
		{"fraction", raw(`{`+entry("a", "F32", "1.0", 0, 4)+`}`, make([]byte, 4)), "whole number"},
		{"backwards", raw(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}}`, make([]byte, 4)), "an end not before it"},
		{"three offsets", raw(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}}`, nil), "a start and an end"},
		{"overlap", raw(`{`+entry("a", "U8", "4", 0, 4)+`,`+entry("b", "U8", "4", 2, 6)+`}`, make([]byte, 6)), `tensor "b" begins at byte 2 of the data, before "a" ends at 4`},
		{"same place", raw(`{`+entry("a", "U8", "4", 0, 4)+`,`+entry("b", "U8", "4", 0, 4)+`}`, make([]byte, 4)), "they overlap"},
		{"hole", raw(`{`+entry("a", "U8", "4", 0, 4)+`,`+entry("b", "U8", "1", 5, 6)+`}`, make([]byte, 6)), `bytes 4 to 5 of the data, before tensor "b", belong to no tensor`},
		{"hole first", raw(`{`+entry("a", "U8", "4", 1, 5)+`}`, make([]byte, 5)), "bytes 0 to 1"},
		{"trailing", raw(`{`+entry("a", "U8", "4", 0, 4)+`}`, make([]byte, 7)), "the last 3 bytes of the file belong to no tensor"},
		{"twice", raw(`{`+entry("a", "U8", "1", 0, 1)+`,`+entry("a", "U8", "1", 1, 2)+`}`, make([]byte, 2)), `the name "a" comes twice`},
		{"twice, spelled apart", raw(`{`+entry("a", "U8", "1", 0, 1)+`,`+entry(`\u0061`, "U8", "1", 1, 2)+`}`, make([]byte, 2)), `the name "a" comes twice`},
		{"metadata twice", raw(`{"__metadata__":{"k":"1","k":"2"}}`, nil), `"k" comes twice`},
		{"metadata", raw(`{"__metadata__":{"k":1}}`, nil), "in quotes"},
		{"key", raw(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}}`, nil), `unknown key "x"`},
		{"no shape", raw(`{"a":{"dtype":"U8","data_offsets":[0,0]}}`, nil), "lacks shape"},
		{"no dtype", raw(`{"a":{"shape":[0],"data_offsets":[0,0]}}`, nil), "lacks dtype"},
		{"no offsets", raw(`{"a":{"dtype":"U8","shape":[0]}}`, nil), "lacks data_offsets"},
		{"two dtypes", raw(`{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}`, nil), "two dtypes"},
		{"half bytes", raw(`{`+entry("a", "F4", "3", 0, 2)+`}`, make([]byte, 2)), "whole bytes"},
		{"utf8", raw("{\"a\xff\":1}", nil), "UTF-8"},
		{"escape", raw(`{"a\q":1}`, nil), "no JSON string"},
		{"control", raw("{\"a\n\":1}", nil), "control character"},
		{"open string", raw(`{"abc`, nil), "no closing quote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "x.safetensors", c.file)
			f, err := Open(path)
			if err == nil {
				f.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %q, want the path and %q", err, c.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	var tensors []Named
	for _, d := range dtypes {
		x := must(t)(tensor.New(d.format, []int64{2, 4}))
		b, _ := x.Bytes()
		for i := range b {
			b[i] = byte(i + 1)
		}
		tensors = append(tensors, Named{"t." + d.name, x})
	}
	tensors = append(tensors, Named{"scalar", must(t)(tensor.FromF64(format.F32, nil, []float64{2.5}))}, Named{`odd "name"`, must(t)(tensor.New(format.I8, []int64{0}))})
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	meta := map[string]string{"z": "<1>", "format": "pt"}
	if err := Write(a, tensors, meta); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(tensors)
	if err := Write(b, tensors, meta); err != nil {
		t.Fatal(err)
	}
	x, _ := os.ReadFile(a)
	y, _ := os.ReadFile(b)
	if !bytes.Equal(x, y) {
		t.Error("the order of the arguments shows in the file")
	}
	if n := binary.LittleEndian.Uint64(x); n%8 != 0 {
		t.Errorf("a header of %d bytes leaves the data unaligned", n)
	}
	f, err := Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, want := range tensors {
		got := must(t)(f.Tensor(want.Name))
		gb, err := got.Bytes()
		wb, _ := want.Tensor.Bytes()
		if err != nil || got.String() != want.Tensor.String() || !bytes.Equal(gb, wb) {
			t.Errorf("%s came back as %s %v (%v)", want.Name, got, gb, err)
		}
		if in, _ := f.Lookup(want.Name); in.Size > 0 && in.Offset%max(1, int64(in.Format.Bits()/8)) != 0 {
			t.Errorf("%s at %d is not aligned", want.Name, in.Offset)
		}
	}
	if f.Metadata()["z"] != "<1>" {
		t.Errorf("metadata %q", f.Metadata())
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("left beside the files: %v", entries)
	}
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	one := must(t)(tensor.New(format.F32, []int64{1}))
	lost := must(t)(tensor.FromReader(format.F32, []int64{4}, bytes.NewReader(nil), 0))
	for _, c := range []struct {
		tensors []Named
		want    string
	}{
		{[]Named{{"a", one}, {"a", one}}, "taken"},
		{[]Named{{metadataKey, one}}, "taken"},
		{[]Named{{"a", must(t)(tensor.New(format.HIF8, []int64{1}))}}, "no dtype for hif8"},
		{[]Named{{"a", must(t)(tensor.New(format.F4E2M1, []int64{1}))}}, "whole bytes"},
		{[]Named{{"a", one}, {"b", lost}}, "reading 16 bytes"},
	} {
		err := Write(filepath.Join(dir, "x"), c.tensors, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a failed write left %v", entries)
	}
}

// sharded writes two shards and an index that may lie.
func sharded(t *testing.T, index map[string]string) string {
	dir := t.TempDir()
	x := must(t)(tensor.FromF64(format.F32, []int64{2}, []float64{1, 2}))
	for name, tensors := range map[string][]Named{
		"s-1.safetensors": {{"a", x}, {"b", x}},
		"s-2.safetensors": {{"c", x}},
	} {
		if err := Write(filepath.Join(dir, name), tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 24, "x": []any{1, "}", nil, true, -1.5e3}}, "weight_map": index})
	write(t, dir, IndexName, b)
	return dir
}

func TestOpenDir(t *testing.T) {
	good := func() map[string]string {
		return map[string]string{"a": "s-1.safetensors", "b": "s-1.safetensors", "c": "s-2.safetensors"}
	}
	f, err := OpenDir(sharded(t, good()))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names(); !slices.Equal(got, []string{"a", "b", "c"}) || len(f.Files()) != 2 {
		t.Errorf("%q in %q", got, f.Files())
	}
	if in, _ := f.Lookup("c"); filepath.Base(in.File) != "s-2.safetensors" {
		t.Errorf("c in %s", in.File)
	}
	if got, err := must(t)(f.Tensor("c")).F64s(); err != nil || !slices.Equal(got, []float64{1, 2}) {
		t.Errorf("c is %v (%v)", got, err)
	}
	f.Close()
	for _, c := range []struct {
		name   string
		change func(index map[string]string)
		want   []string
	}{
		{"missing shard", func(m map[string]string) { m["d"] = "s-3.safetensors" }, []string{"shard s-3.safetensors", "missing"}},
		{"missing tensors", func(m map[string]string) { m["d"], m["e"] = "s-1.safetensors", "s-2.safetensors" },
			[]string{`"d" should be in s-1.safetensors, which has no such tensor`, `"e" should be in s-2`}},
		{"wrong shard", func(m map[string]string) { m["a"] = "s-2.safetensors" }, []string{`"a" should be in s-2.safetensors, but is in s-1.safetensors`}},
		{"not listed", func(m map[string]string) { delete(m, "b") }, []string{`"b" of s-1.safetensors is not in the index`}},
		{"outside the folder", func(m map[string]string) { m["a"] = "../x.safetensors" }, []string{"no plain file name"}},
		{"absolute", func(m map[string]string) { m["a"] = "/etc/passwd" }, []string{"no plain file name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			index := good()
			c.change(index)
			f, err := OpenDir(sharded(t, index))
			if err == nil {
				f.Close()
				t.Fatal("opened")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %q, want %q", err, w)
				}
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		dir := sharded(t, good())
		x := must(t)(tensor.New(format.F32, []int64{1}))
		if err := Write(filepath.Join(dir, "s-2.safetensors"), []Named{{"a", x}, {"c", x}}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDir(dir); err == nil || !strings.Contains(err.Error(), `tensor "a" is in`) {
			t.Error(err)
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		if _, err := OpenDir(t.TempDir()); err == nil || !strings.Contains(err.Error(), SingleName) || !strings.Contains(err.Error(), IndexName) {
			t.Error(err)
		}
	})
	for _, bad := range []string{``, `{}`, `[]`, `{"weight_map":[]}`, `{"weight_map":{"a":1}}`, `{"weight_map":{},"weight_map":{}}`, `{"weight_map":{"a":"x","a":"x"}}`, `{"metadata":{]},"weight_map":{}}`, `{"weight_map":{}}x`} {
		if _, err := parseIndex([]byte(bad)); err == nil {
			t.Errorf("the index %s was taken", bad)
		}
	}
}

// shared finds a folder of the test material, which is not part of the repository.
func shared(t testing.TB, path string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("APOGEE_CORPUS") == "required" {
			t.Fatalf("the corpus is required but lacks %s", path)
		}
		t.Skipf("the corpus lacks %s", path)
	}
	return dir
}

func TestRealCheckpoints(t *testing.T) {
	for _, c := range []struct {
		dir    string
		count  int
		tensor string
		want   string
	}{
		{"checkpoints/ds-tiny-bf16", 0, "model.embed_tokens.weight", "bf16"},
		{"checkpoints/ds-tiny-fp8", 0, "lm_head.weight", "bf16"},
		{"checkpoints/ds-tiny-fp32", 0, "model.norm.weight", "f32"},
		{"models/r1-nano", 0, "model.layers.3.mlp.gate.e_score_correction_bias", "f32"},
	} {
		t.Run(c.dir, func(t *testing.T) {
			f, err := OpenDir(shared(t, c.dir))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			total := int64(0)
			for _, name := range f.Names() {
				x := must(t)(f.Tensor(name))
				in, _ := f.Lookup(name)
				if x.NumBytes() != in.Size {
					t.Errorf("%s: %d bytes, not %d", name, x.NumBytes(), in.Size)
				}
				if _, err := x.F32s(); err != nil {
					t.Error(err)
				}
				total += in.Size
			}
			size := int64(0)
			for _, path := range f.Files() {
				st, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				size += st.Size()
			}
			if len(f.Names()) < 40 || total > size || total < size*9/10 {
				t.Errorf("%d tensors of %d bytes in files of %d", len(f.Names()), total, size)
			}
			if x := must(t)(f.Tensor(c.tensor)); x.Format.String() != c.want {
				t.Errorf("%s is %s, want %s", c.tensor, x, c.want)
			}
		})
	}
}

// FuzzHeader holds that a header either fails or describes tensors that lie in the file, apart from each other.
func FuzzHeader(f *testing.F) {
	f.Add(raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"x":"y"}}`, make([]byte, 4)))
	f.Add(raw(`{"a":{"dtype":"U8","shape":[2,2],"data_offsets":[2,6]},"b":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, make([]byte, 6)))
	f.Add(raw(`{}`, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := readHeader(bytes.NewReader(file), int64(len(file)), "x")
		if err != nil {
			return
		}
		end := int64(-1)
		for _, in := range h.tensors {
			if in.Offset < end || in.Offset+in.Size > int64(len(file)) || in.Size < 0 {
				t.Fatalf("%+v", in)
			}
			end = in.Offset + in.Size
			x, err := tensor.FromReader(in.Format, in.Shape, bytes.NewReader(file), in.Offset)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := x.Bytes(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":1},"weight_map":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseIndex(b)
		if err != nil {
			return
		}
		for _, file := range m {
			if filepath.Base(file) != file {
				t.Fatalf("%q reaches out of the folder", file)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{100, 1000, 10000, 100000} {
		x := must(b)(tensor.New(format.BF16, []int64{1, 2}))
		var tensors []Named
		for i := range n {
			tensors = append(tensors, Named{fmt.Sprintf("model.layers.%d.mlp.experts.%d.gate_proj.weight", i/256, i%256), x})
		}
		path := filepath.Join(b.TempDir(), "x.safetensors")
		if err := Write(path, tensors, nil); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("tensors=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}
