package chip

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/targets/chips"
)

func fmtSscan(s string, v *float64) (int, error) { return fmt.Sscan(s, v) }

func TestLoad(t *testing.T) {
	_, err := Load("ascend-910bb")
	if err == nil || !strings.Contains(err.Error(), `did you mean "ascend-910b"?`) || !strings.Contains(err.Error(), chips.List()[0]) {
		t.Errorf("an unknown name must suggest and list: %v", err)
	}
	for name, want := range map[string]string{"cloudmatrix384": "is a system", "family-simt": "apogee chip new NAME --from family-simt"} {
		if _, err := Load(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s as a chip: %v", name, err)
		}
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := write("example.chip", Example)
	if c, err := Load(base); err != nil || c.Name != "example" {
		t.Errorf("Load(%s) = %v", base, err)
	}
	// A file next to it comes first, then the shipped ones.
	if c, err := Load(write("next.chip", "chip \"next\" {\n extends \"example\"\n cores 7 assumed \"lucky\"\n}\n")); err != nil || c.Cores.Value != 7 || c.Memory("l1") == nil {
		t.Errorf("extending a file beside: %v", err)
	}
	if c, err := Load(write("a.chip", "chip \"a\" {\n extends \"ascend-910b\"\n cores 20 assumed \"cut\"\n}\n")); err != nil || c.Cores.Value != 20 || c.Name != "a" {
		t.Errorf("extending a shipped one: %v", err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"loop.chip", "chip \"loop\" { extends \"loop2\" }", "loop extends itself: loop → loop2 → loop"},
		{"climb.chip", "chip \"climb\" { extends \"../example\" }", "it must stand in the same folder"},
		{"lost.chip", "chip \"lost\" { extends \"exampel\" }", `there is no chip "exampel" to extend`},
	} {
		write("loop2.chip", "chip \"loop2\" { extends \"loop\" }")
		if _, err := Load(write(c.name, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Load(filepath.Join(dir, "absent.chip")); !strings.Contains(fmt.Sprint(err), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(dir + "/"); err == nil {
		t.Error("a folder is no chip")
	}
	_, err = Load(write("big.chip", strings.Repeat("// nothing\n", maxFile/10)))
	var list *diag.List
	if !errors.As(err, &list) || list.Items()[0].Code != codeTooBig {
		t.Errorf("a huge file: %v", err)
	}
	// A mistake in the extended file is shown there.
	write("example.chip", strings.Replace(Example, "scope     card", "scope     crad", 1))
	if _, err := Load(filepath.Join(dir, "next.chip")); err == nil || !strings.Contains(err.Error(), "example.chip:") || !strings.Contains(err.Error(), `"card"`) {
		t.Errorf("a mistake in the extended file: %v", err)
	}
}

// What a file says replaces what the extended one says, at every depth, and the rest stays.
func TestExtends(t *testing.T) {
	c, l := with(t, `
  memory l1 { size 2 MiB source sheet }
  engine mul {
    rate f16, f16 -> f32 4096 flop/cycle tile 16x16x16 source sheet
    rate i8, i8 -> i32 8192 flop/cycle tile 16x32x16 source sheet { accumulate 24 bit source sheet }
  }
  engine vec { without rate f32 sort; rate f32 sort 32 element/cycle source sheet }
  without path l1 -> gm
  path l1 -> gm { engine dma; rate 64 B/cycle source sheet; startup 1 cycles source sheet; dims 2 source sheet; indirect }
  words { mma "own" }
  sources { other measured "a bench" }
  power 100 W source other`)
	if l.Len() > 0 {
		t.Fatal(l)
	}
	l1 := c.Memory("l1")
	if l1.Size.Value != 2<<20 || !l1.Is(RoleScratch) || l1.Align != 32 {
		t.Errorf("l1: %+v", l1)
	}
	if _, r, _ := c.Matrix(format.F16, format.F16); r.FlopsPerCycle.Value != 4096 {
		t.Errorf("f16 rate: %+v", r)
	}
	if _, r, _ := c.Matrix(format.I8, format.I8); r == nil || r.AccBits != 24 {
		t.Errorf("i8 rate: %+v", r)
	}
	if _, _, ok := c.Matrix(format.F32, format.F32); !ok {
		t.Error("the rate that was not replaced is gone")
	}
	if r := c.Engine("vec").Rate(format.F32, Sort); r == nil || r.ElementsPerCycle.Value != 32 {
		t.Errorf("sort: %+v", r)
	}
	if p := c.Path("l1", "gm"); p.Rate.Value != 64 || !p.Indirect {
		t.Errorf("path: %+v", p)
	}
	if c.Power.Confidence != Measured || c.Word("mma") != "own" {
		t.Error("new sources or words are lost")
	}
	if len(c.Engines) != 3 || len(c.Memories) != 2 || len(c.Paths) != 2 {
		t.Errorf("%d engines, %d memories, %d paths", len(c.Engines), len(c.Memories), len(c.Paths))
	}
	// The same file twice says the same: nothing depends on map order.
	d, _ := with(t, "")
	e, _ := with(t, "")
	if d.Trust() != e.Trust() || len(d.Facts) != len(e.Facts) {
		t.Error("not deterministic")
	}
}

// Every code has an example that triggers it.
func TestCodes(t *testing.T) {
	n := 0
	for _, code := range diag.Codes() {
		if !strings.HasPrefix(code.ID, "CHIP") {
			continue
		}
		n++
		t.Run(code.ID, func(t *testing.T) {
			if code.Doc == "" {
				t.Error("no doc")
			}
			var l *diag.List
			if code.ID == codeTotal {
				_, l = ReadSystem(diag.NewSource("x.system", []byte(wrongTotal)), Shipped)
			} else if code.ID == codeUnknown {
				_, l = LoadAll("no-such-chip")
			} else {
				_, l = Read(diag.NewSource("x.chip", []byte(code.Example)), openExample)
			}
			for _, d := range l.Items() {
				if d.Code == code.ID {
					return
				}
			}
			t.Errorf("the example does not trigger it:\n%s\n%v", code.Example, l)
		})
	}
	if n < 30 {
		t.Errorf("only %d codes", n)
	}
}

// The example itself is flawless.
func TestExample(t *testing.T) {
	c, l := Read(diag.NewSource("example.chip", []byte(Example)), openExample)
	if l.Len() > 0 {
		t.Fatal(l)
	}
	if len(Check(c).Items()) > 0 {
		t.Error("Check finds what Read did not")
	}
}

// Each file in testdata/errors has mistakes; beside it stands all that is said about them.
func TestErrors(t *testing.T) {
	files, _ := filepath.Glob("testdata/errors/*.chip")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, l := Read(diag.NewSource(name, text), openExample)
			golden(t, strings.TrimSuffix(path, ".chip")+".txt", []byte(l.Error()+"\n"))
		})
	}
}

func TestFormat(t *testing.T) {
	files, _ := filepath.Glob("testdata/format/*.chip")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			once, err := Format(diag.NewSource(path, text))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(path, ".chip")+".golden", once)
			twice, err := Format(diag.NewSource(path, once))
			if err != nil || string(twice) != string(once) {
				t.Errorf("formatting again changes it: %v\n%s", err, twice)
			}
		})
	}
	if out, err := Format(diag.NewSource("x", []byte("chip {"))); err == nil || string(out) != "chip {" {
		t.Error("a text with syntax errors must come back as it is, with the error")
	}
}

func TestKeywords(t *testing.T) {
	for _, k := range Keywords() {
		if k.Doc == "" || k.Syntax == "" || !strings.HasPrefix(k.Syntax, k.Name) {
			t.Errorf("%s.%s: syntax %q, doc %q", k.Block, k.Name, k.Syntax, k.Doc)
		}
	}
	if len(Units()) != len(units) {
		t.Errorf("%d of %d units listed", len(Units()), len(units))
	}
}

// Whatever the text, reading it does not panic, and what can be formatted means the same afterwards and is
// formatted once and for all.
// TestFormatRefuses: what would say something else on lines of its own is not printed.
func TestFormatRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"chip \"a\" {\n  doc \"x\" ;\n  \"y\"\n}\n":   "a statement begins with a word",
		"chip \"a\" {\n  extends b, ;\n  year 1\n}\n": "nothing follows the comma",
		"chip \"a\" {\n  {\n    7 w\n  }\n}\n":        "a statement begins with a word",
	} {
		got, err := Format(diag.NewSource("f.chip", []byte(text)))
		if err == nil || !strings.Contains(err.Error(), want) || string(got) != text {
			t.Errorf("%q: %v, and %q", text, err, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(Example)
	for _, code := range diag.Codes() {
		f.Add(code.Example)
	}
	for i, name := range append(chips.Families(), chips.List()...) {
		if i < len(chips.Families()) || i%8 == 0 {
			text, _ := chips.Text(name)
			f.Add(string(text))
		}
	}
	f.Add("chip \"a\" { doc \"x\"\t;\n\"y \\\" z\" // c\n}\n// d")
	f.Add("\"\" {\n\"\" {,;\n0}}")
	f.Add("chip \"a\" {\n\" // x\"\n\"y \\\" \x90\" // c\n}\n// d")
	f.Add("chip \"a\" { doc \"x\"\n\"y \\\" z\" // c\n}\n// d")
	f.Fuzz(func(t *testing.T, text string) {
		c, l := Read(diag.NewSource("f.chip", []byte(text)), openExample)
		_ = l.Error()
		if c != nil {
			_ = c.Trust()
		}
		once, err := Format(diag.NewSource("f.chip", []byte(text)))
		if err != nil {
			return
		}
		d, l2 := Read(diag.NewSource("f.chip", once), openExample)
		if (c == nil) != (d == nil) || l.Errors() != l2.Errors() {
			t.Fatalf("formatting changes what is said:\n%v\n%v\n%s", l, l2, once)
		}
		if c != nil && c.Trust() != d.Trust() {
			t.Fatalf("formatting changes the chip:\n%s\n%s", c.Trust(), d.Trust())
		}
		twice, err := Format(diag.NewSource("f.chip", once))
		if err != nil || string(twice) != string(once) {
			t.Fatalf("formatting again changes it: %v\n%q\n%q", err, once, twice)
		}
	})
}

// Every shipped system loads without a warning, and in canonical form.
func TestShippedSystems(t *testing.T) {
	if len(chips.Systems()) < 8 {
		t.Errorf("only %d systems", len(chips.Systems()))
	}
	for _, name := range chips.Systems() {
		s, l := LoadSystemAll(name)
		if l.Len() > 0 {
			t.Errorf("%s: %v", name, l)
			continue
		}
		if s.Name != name || s.Chip == nil || s.Count.Value < 2 || len(s.Links) == 0 || s.Doc == "" {
			t.Errorf("%s is incomplete: %+v", name, s)
		}
		out, err := Format(s.File)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("..", "chips", "system", name+".system"), out)
	}
	if _, err := LoadSystem("cloudmatrix38"); err == nil || !strings.Contains(err.Error(), `did you mean "cloudmatrix384"?`) {
		t.Errorf("an unknown system: %v", err)
	}
}

// Whatever the text, reading a system does not panic and is deterministic.
func FuzzReadSystem(f *testing.F) {
	f.Add(wrongTotal)
	for _, name := range chips.Systems() {
		text, _ := chips.SystemText(name)
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, l := ReadSystem(diag.NewSource("f.system", []byte(text)), Shipped)
		_, again := ReadSystem(diag.NewSource("f.system", []byte(text)), Shipped)
		if l.Error() != again.Error() {
			t.Fatalf("twice read, two answers:\n%v\n%v", l, again)
		}
		if s != nil && (s.Chip == nil || s.Count.Value < 1) {
			t.Fatalf("a system without a chip: %+v", s)
		}
	})
}
