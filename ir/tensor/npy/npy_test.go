package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/tensor"
)

// file makes an .npy file of a version around a header's text.
func file(version byte, text string, data []byte) []byte {
	b := []byte(magic)
	b = append(b, version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	}
	return append(append(b, text...), data...)
}

func TestRead(t *testing.T) {
	le := func(vs ...uint32) (b []byte) {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	one, two, three := math.Float32bits(1), math.Float32bits(2), math.Float32bits(3)
	six := []byte{1, 2, 3, 4, 5, 6}
	cases := []struct {
		name, text string
		data       []byte
		want       string // format and shape
		vals       []float64
	}{
		{"f4", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", le(one, two, three), "f32[3]", []float64{1, 2, 3}},
		{"big-endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", []byte{0x3F, 0x80, 0, 0}, "f32[1]", []float64{1}},
		{"big i2", "{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", []byte{0xFF, 0xFE, 1, 0}, "i16[2]", []float64{-2, 256}},
		{"big i8", "{'descr': '>i8', 'fortran_order': False, 'shape': (), }", []byte{0, 0, 0, 0, 0, 0, 1, 2}, "i64[]", []float64{258}},
		{"fortran", "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", six, "u8[2,3]", []float64{1, 3, 5, 2, 4, 6}},
		{"fortran 3d", "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 3, 2), }", six, "u8[1,3,2]", []float64{1, 4, 2, 5, 3, 6}},
		{"fortran 1d", "{'descr': '|u1', 'fortran_order': True, 'shape': (6,), }", six, "u8[6]", []float64{1, 2, 3, 4, 5, 6}},
		{"fortran big", "{'descr': '>u2', 'fortran_order': True, 'shape': (1, 3), }", six, "u16[1,3]", []float64{258, 772, 1286}},
		{"fortran none", "{'descr': '>u2', 'fortran_order': True, 'shape': (0, 3), }", nil, "u16[0,3]", nil},
		{"f2", "{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", []byte{0, 0x3C}, "f16[1]", []float64{1}},
		{"f8", "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", []byte{0, 0, 0, 0, 0, 0, 0xF0, 0x3F}, "f64[]", []float64{1}},
		{"native order", "{'descr': '=i4', 'fortran_order': False, 'shape': (1,), }", le(7), "i32[1]", []float64{7}},
		{"no order", "{'descr': 'u4', 'fortran_order': False, 'shape': (1,), }", le(7), "u32[1]", []float64{7}},
		{"bool", "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", []byte{0, 1}, "bool[2]", []float64{0, 1}},
		{"bool ?", "{'descr': '?', 'fortran_order': False, 'shape': (1,), }", []byte{1}, "bool[1]", []float64{1}},
		{"bf16", "{'descr': '<V2', 'fortran_order': False, 'shape': (1,), }", []byte{0x80, 0x3F}, "bf16[1]", []float64{1}},
		{"bf16 as |V2", "{'descr': '|V2', 'fortran_order': False, 'shape': (1,), }", []byte{0x80, 0x3F}, "bf16[1]", []float64{1}},
		{"any order of keys", `{"shape": (1 ,) ,'fortran_order':False,"descr":"|i1"}`, []byte{0xFF}, "i8[1]", []float64{-1}},
		{"python 2", "{'descr': '|u1', 'fortran_order': False, 'shape': (6L,), }\n", six, "u8[6]", []float64{1, 2, 3, 4, 5, 6}},
		{"no elements", "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }", nil, "f32[3,0]", nil},
		{"no comma after two", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}      \n", six, "u8[2,3]", []float64{1, 2, 3, 4, 5, 6}},
		{"comma after two", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3,)}", six, "u8[2,3]", []float64{1, 2, 3, 4, 5, 6}},
	}
	for _, c := range cases {
		for version := byte(1); version <= 3; version++ {
			f := file(version, c.text, c.data)
			path := filepath.Join(t.TempDir(), "x.npy")
			if err := os.WriteFile(path, f, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(f); err != nil || !bytes.HasSuffix(f, c.data) {
				t.Errorf("%s: Parse changes what it reads: %v", c.name, err)
			}
			trailing := append(slices.Clone(f), "after"...)
			for way, read := range map[string]func() (*tensor.Tensor, error){
				"Parse":      func() (*tensor.Tensor, error) { return Parse(slices.Clone(f)) },
				"ReadFile":   func() (*tensor.Tensor, error) { return ReadFile(path) },
				"Read":       func() (*tensor.Tensor, error) { return Read(iotest.OneByteReader(bytes.NewReader(trailing))) },
				"ReadFileAs": func() (*tensor.Tensor, error) { return ReadFileAs(path, formatOf(c.want)) },
			} {
				x, err := read()
				if err != nil {
					t.Errorf("%s, version %d, %s: %v", c.name, version, way, err)
					continue
				}
				if x.String() != c.want {
					t.Errorf("%s: %s, want %s", c.name, x, c.want)
				}
				if got, _ := x.F64s(); !slices.Equal(got, c.vals) {
					t.Errorf("%s, %s: %v, want %v", c.name, way, got, c.vals)
				}
			}
		}
	}
}

func formatOf(s string) format.Format {
	f, _ := format.Parse(s[:strings.IndexByte(s, '[')])
	return f
}

// TestReadStops: Read takes one array and no byte more.
func TestReadStops(t *testing.T) {
	one := file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", []byte{1, 2})
	r := bytes.NewReader(append(slices.Clone(one), one...))
	for range 2 {
		if _, err := Read(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Read(r); err == nil {
		t.Error("a third array is read from two")
	}
}

// TestHostile: what is wrong is said, with its code, and no memory is taken for
// what a header only claims.
func TestHostile(t *testing.T) {
	good := "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
	head := func(text string) []byte { return file(1, text, make([]byte, 8)) }
	shape := func(s string) []byte { return head("{'descr': '<f4', 'fortran_order': False, 'shape': " + s + ", }") }
	descr := func(s string) []byte { return head("{'descr': " + s + ", 'fortran_order': False, 'shape': (2,), }") }
	longHeader := append([]byte(magic), 2, 0, 0xFF, 0xFF, 0xFF, 0xFF)
	cases := []struct {
		name string
		data []byte
		code string
		want string
	}{
		{"empty", nil, CodeSize, "cut off"},
		{"text", []byte("hello, world"), CodeMagic, "not an .npy file"},
		{"zip", []byte("PK\x03\x04aaaaaaaaaa"), CodeMagic, `found "PK`},
		{"version", append([]byte(magic), 9, 0, 1, 0), CodeMagic, "9.0"},
		{"version 0", append([]byte(magic), 0, 1, 1, 0), CodeMagic, "1, 2 or 3"},
		{"no length", []byte(magic + "\x01\x00\x05"), CodeSize, "length of the header"},
		{"header of 4 GB", longHeader, CodeHeader, "4294967295"},
		{"cut header", file(1, good, nil)[:30], CodeSize, "header"},
		{"cut data", file(1, good, make([]byte, 7)), CodeSize, "8 bytes"},
		{"more data", file(1, good, make([]byte, 9)), CodeSize, "8 bytes for f32[2]"},
		{"2^60 elements", shape("(1152921504606846976,)"), CodeSize, "4611686018427387904 bytes"},
		{"2^63 bytes", shape("(4611686018427387904,)"), CodeShape, "does not fit"},
		{"2^64 elements", shape("(4294967296, 4294967296)"), CodeShape, "does not fit"},
		{"2^70", shape("(1180591620717411303424,)"), CodeShape, "no valid dimension"},
		{"negative", shape("(-2,)"), CodeShape, "-2"},
		{"minus", shape("(-,)"), CodeShape, "no valid dimension"},
		{"number", shape("(2.5,)"), CodeHeader, "byte"},
		{"no tuple", shape("[2]"), CodeHeader, "'('"},
		{"int in brackets", shape("(2)"), CodeHeader, "',' after the only dimension"},
		{"unclosed", shape("(2, "), CodeHeader, "a number or ')'"},
		{"rank 65", shape("(" + strings.Repeat("1, ", 65) + ")"), CodeShape, "64 dimensions"},
		{"complex", descr("'<c8'"), CodeType, `"<c8"`},
		{"object", descr("'|O'"), CodeType, "expected"},
		{"string", descr("'<U5'"), CodeType, "expected"},
		{"f16 bytes", descr("'<f16'"), CodeType, "expected"},
		{"empty type", descr("''"), CodeType, "expected"},
		{"order alone", descr("'<'"), CodeType, "expected"},
		{"structured", descr("[('a', '<f4')]"), CodeType, "structured"},
		{"escape", descr(`'\x3cf4'`), CodeHeader, "escapes"},
		{"unquoted", descr("f4"), CodeHeader, "quoted string"},
		{"unended", head("{'descr"), CodeHeader, "end of a string"},
		{"no dict", head("[1, 2]"), CodeHeader, "'{'"},
		{"empty dict", head("{}"), CodeHeader, "lacks"},
		{"no descr", head("{'fortran_order': False, 'shape': (2,)}"), CodeHeader, `"descr"`},
		{"no order", head("{'descr': '<f4', 'shape': (2,)}"), CodeHeader, `"fortran_order"`},
		{"unknown key", head("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}"), CodeHeader, `"x"`},
		{"twice", head("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"), CodeHeader, "each key once"},
		{"yes", head("{'descr': '<f4', 'fortran_order': Yes, 'shape': (2,)}"), CodeHeader, "True or False"},
		{"no colon", head("{'descr' '<f4'}"), CodeHeader, "':'"},
		{"after", head(good + "x"), CodeHeader, "blanks"},
		{"nul", head(good + "\x00"), CodeHeader, "blanks"},
		{"comma", head("{,}"), CodeHeader, "quoted"},
		{"unclosed dict", head("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), "), CodeHeader, "quoted"},
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "bad.npy")
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, errParse := Parse(c.data)
		_, errFile := ReadFile(path)
		var errRead error
		if c.name != "more data" {
			_, errRead = Read(bytes.NewReader(c.data))
		} else {
			errRead = errParse
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: %d bytes were allocated", c.name, got)
		}
		for way, err := range map[string]error{"Parse": errParse, "ReadFile": errFile, "Read": errRead} {
			var d *diag.Diagnostic
			if !errors.As(err, &d) {
				t.Errorf("%s: %s gives %v, no diagnostic", c.name, way, err)
				continue
			}
			if d.Code != c.code {
				t.Errorf("%s: %s gives code %s, want %s: %v", c.name, way, d.Code, c.code, err)
			}
			if way != "Read" && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s gives %q, which does not say %q", c.name, way, err, c.want)
			}
			if way == "ReadFile" && !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %q does not name the file", c.name, err)
			}
		}
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none.npy")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	if _, err := ReadFile(t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a folder gives %v", err)
	}
	if _, err := Read(iotest.ErrReader(errors.New("disk on fire"))); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("a failing reader gives %v", err)
	}
}

// TestExamples: the code's own example triggers the code.
func TestExamples(t *testing.T) {
	for _, id := range []string{CodeMagic, CodeHeader, CodeType, CodeShape, CodeSize, CodeFormat} {
		c, ok := diag.LookupCode(id)
		if !ok || c.Doc == "" {
			t.Errorf("%s is not registered", id)
			continue
		}
		if c.Example == "" {
			continue
		}
		var d *diag.Diagnostic
		if _, err := Parse(file(1, c.Example, make([]byte, 8))); !errors.As(err, &d) || d.Code != id {
			t.Errorf("%s: its example gives %v", id, err)
		}
	}
}

func randomTensor(t testing.TB, rng *rand.Rand, f format.Format, shape []int64) *tensor.Tensor {
	x, err := tensor.New(f, shape)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := x.Bytes()
	for i := range int(x.Numel()) {
		p := rng.Uint64()
		switch {
		case f == format.Bool:
			p &= 1
		case f == format.TF32 || f == format.HF32:
			p = f.Encode(rng.NormFloat64())
		}
		format.Put(f, b, i, p)
	}
	return x
}

// TestRoundTrip writes every format and reads it back to the bit.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, f := range format.All() {
		for _, shape := range [][]int64{nil, {0}, {1}, {7}, {3, 5}, {2, 0, 4}, {2, 3, 2, 2}} {
			x := randomTensor(t, rng, f, shape)
			var buf bytes.Buffer
			if err := Write(&buf, x); err != nil {
				t.Fatal(err)
			}
			y, err := Parse(buf.Bytes())
			if err != nil {
				t.Fatalf("%s: %v", x, err)
			}
			if y.Format != storedAs(f) {
				t.Errorf("%s is stored as %s, want %s", x, y.Format, storedAs(f))
			}
			z, err := As(y, f)
			if err != nil {
				t.Fatalf("%s: %v", x, err)
			}
			if same, _ := z.Equal(x); !same {
				t.Errorf("%s does not come back", x)
			}
		}
	}
	// More elements than are written at a time, packed.
	x := randomTensor(t, rng, format.F6E3M2, []int64{1<<18 + 3})
	path := filepath.Join(t.TempDir(), "x.npy")
	if err := WriteFile(path, x); err != nil {
		t.Fatal(err)
	}
	if y, err := ReadFileAs(path, format.F6E3M2); err != nil {
		t.Fatal(err)
	} else if same, _ := y.Equal(x); !same {
		t.Error("a long packed tensor does not come back")
	}
}

// TestBytes is what numpy 1.x writes for the same array.
func TestBytes(t *testing.T) {
	x, _ := tensor.FromF64(format.F32, []int64{1, 2}, []float64{1, -2})
	var buf bytes.Buffer
	if err := Write(&buf, x); err != nil {
		t.Fatal(err)
	}
	text := "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"
	want := "\x93NUMPY\x01\x00\x76\x00" + text + strings.Repeat(" ", 118-len(text)-1) + "\n\x00\x00\x80\x3f\x00\x00\x00\xc0"
	if buf.String() != want {
		t.Errorf("got  %q\nwant %q", buf.String(), want)
	}
	for _, c := range []struct {
		f    format.Format
		want string
	}{{format.BF16, "'<V2'"}, {format.F8E4M3FN, "'|u1'"}, {format.I4, "'|i1'"}, {format.Bool, "'|b1'"}, {format.HF32, "'<f4'"},
		{format.U64, "'<u8'"}, {format.F4E2M1, "'|u1'"}, {format.F16, "'<f2'"}, {format.U2, "'|u1'"}, {format.I8, "'|i1'"}} {
		y, _ := tensor.New(c.f, nil)
		buf.Reset()
		if err := Write(&buf, y); err != nil || !strings.Contains(buf.String(), "'descr': "+c.want+", 'fortran_order': False, 'shape': (), }") {
			t.Errorf("%s: %q, %v", c.f, buf.String(), err)
		}
	}
}

// TestCorpusRewrites: what numpy wrote is written again to the byte.
func TestCorpusRewrites(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(corpus(t, "checkpoints"), "ds-tiny-fp8", "reference_w8a8", "*.npy"))
	for _, path := range files {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		x, err := Parse(want)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := Write(&buf, x); err != nil || !bytes.Equal(buf.Bytes(), want) {
			t.Errorf("%s changes: %v", path, err)
		}
	}
}

func TestAsRefuses(t *testing.T) {
	ints := func(f format.Format, vs ...int64) *tensor.Tensor {
		x, err := tensor.FromI64(f, []int64{int64(len(vs))}, vs)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	pi, _ := tensor.FromF64(format.F32, nil, []float64{math.Pi})
	for name, c := range map[string]struct {
		x *tensor.Tensor
		f format.Format
	}{
		"wide":    {ints(format.U16, 1), format.F8E4M3FN},
		"signed":  {ints(format.I8, 1), format.F8E4M3FN},
		"i4":      {ints(format.I8, 7, 8), format.I4},
		"u2":      {ints(format.U8, 4), format.U2},
		"f6":      {ints(format.U8, 64), format.F6E3M2},
		"f32":     {ints(format.I32, 1), format.F32},
		"tf32":    {pi, format.TF32},
		"invalid": {pi, format.Invalid},
	} {
		if y, err := As(c.x, c.f); err == nil {
			t.Errorf("%s: %s became %s", name, c.x, y)
		}
	}
	if y, err := As(pi, format.F32); err != nil || y != pi {
		t.Errorf("what has the format already: %v", err)
	}
}

// failing is a source that breaks off.
type failing struct{}

func (failing) ReadAt(p []byte, off int64) (int, error) {
	if off > 1<<20 && len(p) > 1 {
		return 0, errors.New("disk on fire")
	}
	return len(p), nil
}

// TestWriteFileIsWholeOrAbsent: a failure leaves what was there, and nothing else.
func TestWriteFileIsWholeOrAbsent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.npy")
	bad, err := tensor.FromReader(format.F32, []int64{1 << 20}, failing{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := func() string {
		es, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var ns []string
		for _, e := range es {
			ns = append(ns, e.Name())
		}
		return strings.Join(ns, " ")
	}
	if err := WriteFile(path, bad); err == nil || !strings.Contains(err.Error(), "disk on fire") || names() != "" {
		t.Errorf("%v, leaving %q", err, names())
	}
	good, _ := tensor.FromF64(format.F32, []int64{2}, []float64{1, 2})
	if err := WriteFile(path, good); err != nil || names() != "out.npy" {
		t.Fatalf("%v, leaving %q", err, names())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, bad); err == nil || names() != "out.npy" {
		t.Errorf("%v, leaving %q", err, names())
	}
	if x, err := ReadFile(path); err != nil {
		t.Error(err)
	} else if same, _ := x.Equal(good); !same {
		t.Error("a failed write changed the file")
	}
	link := filepath.Join(dir, "link.npy")
	if err := os.Symlink("out.npy", link); err == nil {
		other, _ := tensor.FromF64(format.F32, []int64{1}, []float64{5})
		if err := WriteFile(link, other); err != nil {
			t.Error(err)
		}
		if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link became %v, %v", st, err)
		}
		if x, err := ReadFile(path); err != nil || x.String() != "f32[1]" {
			t.Errorf("the link's target is %v, %v", x, err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("permissions became %v, %v", st.Mode(), err)
		}
	}
	if err := WriteFile(dir, good); err == nil {
		t.Error("a folder is overwritten")
	}
	if err := WriteFile(filepath.Join(dir, "none", "x.npy"), good); err == nil {
		t.Error("a missing folder is no error")
	}
	if err := Write(io.Discard, &tensor.Tensor{}); err == nil {
		t.Error("a tensor of no format is written")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", make([]byte, 8)))
	f.Add(file(2, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }", make([]byte, 12)))
	f.Add(file(3, "{'descr': '|u1', 'fortran_order': False, 'shape': (), }", make([]byte, 1)))
	f.Add(file(1, "{'descr': '|b1', 'fortran_order': True, 'shape': (0, 9223372036854775807), }", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := Parse(slices.Clone(data))
		if err != nil {
			var d *diag.Diagnostic
			if !errors.As(err, &d) || d.Code == "" {
				t.Fatalf("no diagnostic with a code: %v", err)
			}
			return
		}
		if y, err := Read(bytes.NewReader(data)); err != nil {
			t.Fatalf("Parse takes what Read does not: %v", err)
		} else if same, _ := x.Equal(y); !same {
			t.Fatal("Parse and Read differ")
		}
		var buf bytes.Buffer
		if err := Write(&buf, x); err != nil {
			t.Fatal(err)
		}
		y, err := Parse(buf.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if same, _ := x.Equal(y); !same {
			t.Fatal("writing and reading changes the tensor")
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, order, fortran string }{{"le", "<", "False"}, {"be", ">", "False"}, {"fortran", "<", "True"}} {
		for _, n := range []int{1 << 6, 1 << 10} {
			b.Run(fmt.Sprintf("%s/%dx%d", c.name, n, n), func(b *testing.B) {
				f := file(1, fmt.Sprintf("{'descr': '%sf4', 'fortran_order': %s, 'shape': (%d, %d), }", c.order, c.fortran, n, n), make([]byte, 4*n*n))
				b.SetBytes(int64(len(f)))
				for b.Loop() {
					if _, err := Parse(f); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
