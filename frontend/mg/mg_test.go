package mg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/irtest"
)

// run loads and lowers a text and gives every diagnostic. config is the text of a config.json, or "".
func run(src *diag.Source, config string, opt Options, imports Importer) (*Lowered, *diag.List) {
	p, diags := Check(src, imports)
	if diags.HasErrors() {
		return nil, diags
	}
	if config != "" {
		opt.Config = ParseJSON(diag.NewSource("config.json", []byte(config)), diags)
		if diags.HasErrors() {
			return nil, diags
		}
	}
	low, err := Lower(p, opt)
	diags.Merge(low.Warnings)
	diags.AddError("", err)
	diags.Sort()
	return low, diags
}

// self finds a text under the name it asks for.
func self(src *diag.Source) Importer {
	return func(_, path string) (string, []byte, error) {
		if path == "self" {
			return src.Name, src.Text, nil
		}
		return "", nil, errors.New("no such file")
	}
}

// TestCodes runs the example of every code, which must raise it.
func TestCodes(t *testing.T) {
	for _, c := range diag.Codes() {
		if !strings.HasPrefix(c.ID, "MG") {
			continue
		}
		t.Run(c.ID, func(t *testing.T) {
			if c.Doc == "" {
				t.Error("no doc")
			}
			if c.Example == "" {
				if !strings.Contains(c.Doc, "triggers it") && !strings.Contains(c.Doc, "trigger it") {
					t.Error("neither an example nor a word on why there is none")
				}
				return
			}
			src := diag.NewSource("example.mg", []byte(c.Example))
			_, diags := run(src, "", Options{}, self(src))
			for _, d := range diags.Items() {
				if d.Code == c.ID {
					return
				}
			}
			t.Errorf("the example raises %v", diags)
		})
	}
}

// TestErrors holds the mistakes of each file in testdata/errors against the comments beside them: all are found, at the very word,
// and nothing else. The files show how each is put, too: see the golden files.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.mg")
	if err != nil || len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			src := diag.NewSource(filepath.Base(file), text)
			_, diags := run(src, "", Options{}, self(src))
			irtest.Want(t, src, diags)
			var b strings.Builder
			if err := diag.Render(&b, diags, diag.Options{}); err != nil {
				t.Fatal(err)
			}
			irtest.Golden(t, strings.TrimSuffix(file, ".mg")+".golden", []byte(b.String()))
		})
	}
}

// TestLower lowers the sources of testdata/lower: in.mg with config.json and other files beside it, to out.ir.
func TestLower(t *testing.T) {
	irtest.Cases(t, "testdata/lower/*.txtar", func(t *testing.T, c *irtest.Case) {
		opt := Options{Set: map[string]string{}}
		for _, word := range strings.Fields(c.Comment()) {
			switch k, v, ok := strings.Cut(word, "="); {
			case !ok:
			case k == "act":
				opt.Activation, _ = format.Parse(v)
			case k == "tap":
				opt.Taps = append(opt.Taps, v)
			default:
				opt.Set[k] = v
			}
		}
		imports := func(_, name string) (string, []byte, error) {
			text, ok := c.File(name + ".mg")
			if !ok {
				return "", nil, errors.New("no such file")
			}
			return name + ".mg", []byte(text), nil
		}
		config, _ := c.File("config.json")
		low, diags := run(diag.NewSource("in.mg", []byte(c.Must(t, "in.mg"))), config, opt, imports)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		irtest.Verify(t, low.Module)
		c.Expect(t, "out.ir", low.Module.String())
		again, _ := run(diag.NewSource("in.mg", []byte(c.Must(t, "in.mg"))), config, opt, imports)
		if again.Module.String() != low.Module.String() {
			t.Error("lowering twice gives two modules")
		}
	})
}

// TestFormat prints in.mg of the cases as out.mg, which printed again stays as it is.
func TestFormat(t *testing.T) {
	irtest.Cases(t, "testdata/format/*.txtar", func(t *testing.T, c *irtest.Case) {
		out, err := Format("in.mg", []byte(c.Must(t, "in.mg")))
		if err != nil {
			t.Fatal(err)
		}
		c.Expect(t, "out.mg", string(out))
		again, err := Format("out.mg", out)
		if err != nil || string(again) != string(out) {
			t.Errorf("a second time it gives\n%s%v", again, err)
		}
		if err := sameMeaning(c.Must(t, "in.mg"), string(out)); err != nil {
			t.Error(err)
		}
	})
}

// sameMeaning compares the tokens of two texts, commas and ends of lines left out, and their comments.
func sameMeaning(a, b string) error {
	var diags diag.List
	x, y := lex(diag.NewSource("a", []byte(a)), &diags), lex(diag.NewSource("b", []byte(b)), &diags)
	words := func(l lexed) []string {
		var out []string
		for _, t := range l.tokens {
			if t.Type != tokEOL && t.Type != tokEOF && t.Value != "," {
				out = append(out, t.Value)
			}
		}
		return out
	}
	p, q := words(x), words(y)
	for i := range max(len(p), len(q)) {
		if i >= len(p) || i >= len(q) || p[i] != q[i] {
			return fmt.Errorf("the texts part at word %d: %v and %v", i, p[min(i, len(p)):min(i+5, len(p))], q[min(i, len(q)):min(i+5, len(q))])
		}
	}
	notes := func(l lexed) string {
		var b strings.Builder
		for _, c := range l.comments {
			b.WriteString(strings.Join(strings.Fields(strings.ReplaceAll(c.text, "//", " ")), ""))
		}
		return b.String()
	}
	if len(notes(x)) != len(notes(y)) {
		return fmt.Errorf("comments are lost: %q and %q", notes(x), notes(y))
	}
	return nil
}

// TestGrammar keeps the grammar and the codes in the language's description those that the parser has.
func TestGrammar(t *testing.T) {
	file := filepath.Join(irtest.Root(t), "docs", "language.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var codes strings.Builder
	codes.WriteString("| code | what is wrong |\n|---|---|\n")
	for _, c := range diag.Codes() {
		if strings.HasPrefix(c.ID, "MG") {
			fmt.Fprintf(&codes, "| %s | %s |\n", c.ID, c.Doc)
		}
	}
	got := string(text)
	for _, part := range []struct{ begin, end, text string }{
		{"<!-- grammar: printed by the parser, see TestGrammar in frontend/mg -->\n```ebnf\n", "```\n<!-- end of grammar -->", Grammar() + "\n"},
		{"<!-- codes: from the table of codes, see TestGrammar in frontend/mg -->\n\n", "<!-- end of codes -->", codes.String() + "\n"},
	} {
		i := strings.Index(got, part.begin)
		j := strings.Index(got, part.end)
		if i < 0 || j < i {
			t.Fatalf("%s has no place for %q", file, part.begin)
		}
		got = got[:i] + part.begin + part.text + got[j:]
	}
	irtest.Golden(t, file, []byte(got))
}

// TestHostile holds that what would grow without bound, or nest without end, is an error and takes little time.
func TestHostile(t *testing.T) {
	entry := "entry f(x: f32[B]) -> f32[B] { x }\n"
	double := "def d0(x: [..]) -> [..] { -x }\n"
	for i := 1; i < 40; i++ {
		double += fmt.Sprintf("def d%d(x: [..]) -> [..] { d%d(d%d(x)) }\n", i, i-1, i-1)
	}
	for name, c := range map[string]struct{ text, code string }{
		"brackets":     {"let a = " + strings.Repeat("(", 50000) + "\n" + entry, CodeNesting},
		"blocks":       {"def f() {" + strings.Repeat("if true {", 50000), CodeNesting},
		"signs":        {"let a = " + strings.Repeat("-", 20000) + "1\n" + entry, CodeNesting},
		"operators":    {"let a = 1" + strings.Repeat("+1", 20000) + "\n" + entry, CodeNesting},
		"suffixes":     {"let a = [1]" + strings.Repeat("[0]", 10000) + "\n" + entry, CodeNesting},
		"else":         {"let a = if false { 1 }" + strings.Repeat(" else if false { 1 }", 10000) + "\n" + entry, ""},
		"loop":         {"entry f(x: f32[B]) -> f32[B] {\n  for i in 0..900000 {\n    for j in 0..900000 {\n      let _a = 1\n    }\n  }\n  x\n}\n", CodeLimit},
		"range":        {"let a = 0..9000000000000000000\n" + entry, CodeLimit},
		"ops":          {"entry f(x: f32[B]) -> f32[B] {\n  var y = x\n  for i in 0..900000 {\n    y = -(-(-(-(-(-(-y))))))\n  }\n  y\n}\n", CodeLimit},
		"rows":         {"state s[90000]: f32[B]\nentry f(x: f32[B]) -> f32[B] { x + s[0] }\n", CodeLimit},
		"doubling":     {double + "entry f(x: f32[B]) -> f32[B] { d39(x) }\n", CodeLimit},
		"list":         {"entry f(x: f32[B]) -> f32[B] {\n  var l = [1, 1]\n  for i in 0..64 {\n    l = l + l\n  }\n  x\n}\n", CodeLimit},
		"text":         {"entry f(x: f32[B]) -> f32[B] {\n  var l = \"aa\"\n  for i in 0..64 {\n    l = l + l\n  }\n  x\n}\n", CodeLimit},
		"states":       {"state s[99999999]: f32[B]\nentry f(x: f32[B]) -> f32[B] { x + s[0] }\n", CodeType},
		"stack":        {"entry f(x: f32[B]) -> f32[B] {\n  weight w[e in 0..999999]: [4] = \"{e}\"\n  x\n}\n", CodeWeight},
		"weight":       {"entry f(x: f32[B]) -> f32[B] {\n  weight w: [9223372036854775807, 9] = \"w\"\n  x\n}\n", CodeWeight},
		"self":         {"let a = b\nlet b = a\n" + entry, CodeRecursion},
		"tokens":       {strings.Repeat("let a = b(c)\n", 40000), CodeTooBig},
		"long":         {strings.Repeat("// a comment\n", MaxSource/10), CodeTooBig},
		"braces":       {"let a = \"" + strings.Repeat("{", 5000) + "\"\n" + entry, CodeString},
		"many strings": {"let a = \"" + strings.Repeat("{1}", 5000) + "\"\n" + entry, CodeLimit},
		"mistakes":     {strings.Repeat("def f(a b) { let = }\n", 2000), CodeSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := run(diag.NewSource("hostile.mg", []byte(c.text)), "", Options{MaxOps: 100000}, nil)
			for _, d := range diags.Items() {
				if d.Code == c.code {
					return
				}
			}
			if c.code != "" || diags.HasErrors() {
				text := diags.Error()
				t.Errorf("expected %s, found %s", c.code, text[:min(len(text), 2000)])
			}
		})
	}
}

// What asks for too many ops is refused before they are made, with the limit and what would have been.
func TestTooManyOps(t *testing.T) {
	const limit = 1_500_000
	for name, c := range map[string]struct{ text, says string }{
		"layers": {"state s[config.layers]: f32[B]\nentry f(x: f32[B]) -> f32[B] {\n  var y = x\n  for i in 0..config.layers {\n    y = -(-(y + s[i]))\n    s[i] = y\n  }\n  y\n}\n", "more than 65536 states"},
		"rounds": {"entry f(x: f32[B]) -> f32[B] {\n  var y = x\n  for i in 0..config.layers {\n    y = " + strings.Repeat("-(", 90) + "y" + strings.Repeat(")", 90) + "\n  }\n  y\n}\n", "some 8.1e+07 ops, and may have 1500000"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Load(diag.NewSource("big.mg", []byte("config {\n  layers: int = 900000\n}\n"+c.text)), nil)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			low, err := Lower(p, Options{MaxOps: limit})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("expected %q, found %v", c.says, err)
			}
			if n := low.Module.MaxOp(); n > 50_000 {
				t.Errorf("%d ops were made first", n)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 100<<20 {
				t.Errorf("%d MB were allocated first", n>>20)
			}
		})
	}
	// One that stays below is built, though its loop is long.
	text := "entry f(x: f32[B]) -> f32[B] {\n  var y = x\n  for i in 0..60000 {\n    if i < 50000 {\n      y = -y\n    }\n  }\n  y\n}\n"
	if _, diags := run(diag.NewSource("long.mg", []byte(text)), "", Options{MaxOps: 51_000}, nil); diags.HasErrors() {
		t.Error(diags.Err())
	}
}

// Once the list of mistakes is full, nothing further is built.
func TestFullListStops(t *testing.T) {
	var b strings.Builder
	b.WriteString("entry f(x: f32[B]) -> f32[B] {\n")
	for i := range 400 {
		fmt.Fprintf(&b, "  let a%d = x + full(f32, [%d, B, 7], 0) + full(f32, [3], %d)\n", i, i+2, i)
	}
	b.WriteString("  var y = x\n  for i in 0..900000 {\n    y = -y\n  }\n  y\n}\n")
	p, err := Load(diag.NewSource("wrong.mg", []byte(b.String())), nil)
	if err != nil {
		return // found without lowering: as good
	}
	low, err := Lower(p, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	if n := low.Module.MaxOp(); n > 2000 {
		t.Errorf("%d ops were made after the list was full", n)
	}
}
