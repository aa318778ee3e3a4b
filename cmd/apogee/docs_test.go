package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"apogee/targets/chip"
	"apogee/targets/chips"
	"apogee/targets/plan"
)

var update = flag.Bool("update", false, "rewrite the expected output in documents and golden files")

// root moves to the repository's root, where the documents' commands are run.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return dir
}

// TestDocuments runs every command that a document shows in a ```console block and holds what it prints, on both streams, against what
// stands below it. A line … stands for any number of lines. A line that begins with # is a remark. Commands are apogee or
// go run ./cmd/apogee; what another program does is no business of a test and must not stand in such a block.
func TestDocuments(t *testing.T) {
	dir := root(t)
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	for _, d := range append([]string{"README.md"}, docs...) {
		text, err := os.ReadFile(filepath.Join(dir, d))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(d), func(t *testing.T) {
			out := runBlocks(t, d, string(text), scratch)
			if *update && out != string(text) {
				if err := os.WriteFile(filepath.Join(dir, d), []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func runBlocks(t *testing.T, name, text, scratch string) string {
	t.Helper()
	var out []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		out = append(out, lines[i])
		if strings.TrimSpace(lines[i]) != "```console" {
			continue
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; {
			cmd, ok := strings.CutPrefix(lines[i], "$ ")
			if !ok {
				t.Fatalf("%s:%d: a console block begins with a command, found %q", name, i+1, lines[i])
			}
			out = append(out, lines[i])
			at := i + 1
			var want []string
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```" && !strings.HasPrefix(lines[i], "$ "); i++ {
				want = append(want, lines[i])
			}
			got := strings.Split(strings.TrimRight(shell(t, name, at, cmd, scratch), "\n"), "\n")
			for i, l := range got {
				got[i] = strings.TrimRight(l, " ")
			}
			if len(got) == 1 && got[0] == "" {
				got = nil
			}
			if matchLines(want, got) {
				out = append(out, want...)
				continue
			}
			if !*update {
				t.Errorf("%s:%d: %s\nexpected:\n%s\nfound:\n%s", name, at, cmd, strings.Join(want, "\n"), strings.Join(got, "\n"))
			}
			out = append(out, abridge(want, got)...)
		}
		out = append(out, lines[i])
	}
	return strings.Join(out, "\n")
}

// abridge leaves out of an output what the document left out of it before: of the lines between two …, those from the first that
// begins with the same word as they did, as many as there were.
func abridge(want, got []string) []string {
	if !slices.Contains(want, "…") {
		return got
	}
	var out []string
	at := 0
	for len(want) > 0 {
		n := slices.Index(want, "…")
		last := n < 0
		if last {
			n = len(want)
		}
		piece := want[:n]
		want = want[min(n+1, len(want)):]
		switch {
		case last:
			at = max(at, len(got)-len(piece))
		case len(out) > 0 && len(piece) > 0:
			word, _, _ := strings.Cut(strings.TrimLeft(piece[0], " "), " ")
			for i := at; i < len(got); i++ {
				if first, _, _ := strings.Cut(strings.TrimLeft(got[i], " "), " "); first == word {
					at = i
					break
				}
			}
		}
		end := min(at+len(piece), len(got))
		if len(piece) > 1 && !last {
			// It ends where it ended before, if there is such a line.
			if n := slices.Index(got[at:], piece[len(piece)-1]); n >= 0 {
				end = at + n + 1
			}
		}
		out = append(out, got[at:end]...)
		if at = end; !last {
			out = append(out, "…")
		}
	}
	return out
}

// matchLines compares lines; … in want stands for any number of lines.
func matchLines(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "…" {
		for i := 0; i <= len(got); i++ {
			if matchLines(want[1:], got[i:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && strings.TrimRight(want[0], " ") == got[0] && matchLines(want[1:], got[1:])
}

// shell runs one command line in this process. Words split at blanks, quotes group; $TMP is a scratch folder.
func shell(t *testing.T, name string, line int, cmd, scratch string) string {
	t.Helper()
	cmd = strings.ReplaceAll(cmd, "$TMP", scratch)
	words, err := split(cmd)
	if err != nil {
		t.Fatalf("%s:%d: %v", name, line, err)
	}
	switch {
	case len(words) > 3 && words[0] == "go" && words[1] == "run" && words[2] == "./cmd/apogee":
		words = words[3:]
	case len(words) > 0 && words[0] == "apogee":
		words = words[1:]
	default:
		t.Fatalf("%s:%d: a console block runs apogee, found %q", name, line, cmd)
	}
	var both bytes.Buffer
	Main(words, strings.NewReader(""), &both, &both)
	return strings.ReplaceAll(both.String(), scratch, "$TMP")
}

func split(s string) ([]string, error) {
	var out []string
	var cur strings.Builder
	in, has := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case in != 0 && c == in:
			in = 0
		case in != 0:
			cur.WriteByte(c)
		case c == '\'' || c == '"':
			in, has = c, true
		case c == ' ':
			if has || cur.Len() > 0 {
				out = append(out, cur.String())
			}
			cur.Reset()
			has = false
		default:
			cur.WriteByte(c)
		}
	}
	if in != 0 {
		return nil, fmt.Errorf("a quote is not closed: %s", s)
	}
	if has || cur.Len() > 0 {
		out = append(out, cur.String())
	}
	return out, nil
}

// TestOpsPage: docs/ops.md is what the table prints.
func TestOpsPage(t *testing.T) {
	root(t)
	var got bytes.Buffer
	if code := Main([]string{"ops", "--markdown"}, nil, &got, &got); code != 0 {
		t.Fatalf("exit code %d: %s", code, &got)
	}
	if *update {
		if err := os.WriteFile("docs/ops.md", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("docs/ops.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("docs/ops.md is stale; go test ./cmd/apogee -run TestOpsPage -update writes it")
	}
}

// section replaces what stands between a marker and its end in a document, or fails when it differs.
func section(t *testing.T, doc, name, want string) {
	t.Helper()
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	begin := strings.Index(text, "<!-- "+name)
	end := strings.Index(text, "<!-- end of "+name+" -->")
	if begin < 0 || end < begin {
		t.Fatalf("%s has no section %q", doc, name)
	}
	begin += strings.Index(text[begin:], "-->") + len("-->")
	want = "\n\n" + strings.Trim(want, "\n") + "\n\n"
	if text[begin:end] == want {
		return
	}
	if !*update {
		t.Errorf("%s: section %s is stale; go test ./cmd/apogee -update writes it", doc, name)
		return
	}
	if err := os.WriteFile(doc, []byte(text[:begin]+want+text[end:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestChipsPage: what docs/chips.md says of the language and of the chips is what the reader and the files say.
func TestChipsPage(t *testing.T) {
	root(t)
	const doc = "docs/chips.md"
	var b strings.Builder
	for _, n := range chips.List() {
		c, err := chip.Load(n)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "**%s** (%s, %s, %d). %s\n", c.Name, c.Vendor, c.Family, c.Year, c.Doc)
		if c.Variant != "" {
			fmt.Fprintf(&b, "*Variant:* %s\n", c.Variant)
		}
		fmt.Fprintf(&b, "*Trust:* %s.\n\n", c.Trust())
	}
	section(t, doc, "trust", b.String())

	text, err := os.ReadFile("examples/my-npu.chip")
	if err != nil {
		t.Fatal(err)
	}
	section(t, doc, "example", "    "+strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    "))

	b.Reset()
	block := ""
	for _, k := range chip.Keywords() {
		if k.Block != block {
			block = k.Block
			fmt.Fprintf(&b, "\nIn a `%s` block:\n\n| | | |\n|---|---|---|\n", block)
		}
		required := ""
		if k.Required {
			required = "required"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ReplaceAll(k.Syntax, "|", "\\|"), k.Doc, required)
	}
	section(t, doc, "keywords", strings.ReplaceAll(b.String(), "\n    \n", "\n\n"))
	section(t, doc, "units", "`"+strings.Join(chip.Units(), "` `")+"`")
}

// TestPlanPage: docs/plan.md names every neutral word.
func TestPlanPage(t *testing.T) {
	root(t)
	var fns []string
	for _, w := range plan.Words() {
		if fn, ok := strings.CutPrefix(w, "vec_"); ok {
			fns = append(fns, fn)
		}
	}
	section(t, "docs/plan.md", "words", "`"+strings.Join(fns, "` `")+"`")
	text, err := os.ReadFile("docs/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range plan.Words() {
		family, _, _ := strings.Cut(w, "_")
		if !strings.Contains(string(text), "`"+w) && !strings.Contains(string(text), "`"+family+"_") {
			t.Errorf("docs/plan.md does not name %s", w)
		}
	}
}

// TestArchitecturePage: docs/architecture.md names every package, and none that is not there.
func TestArchitecturePage(t *testing.T) {
	root(t)
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	folder := ""
	for _, l := range strings.Split(string(text), "\n") {
		cells := strings.Split(l, "|")
		if len(cells) != 4 {
			continue
		}
		for i, w := range strings.Split(cells[1], "`") {
			switch {
			case i%2 == 0:
			case strings.HasSuffix(w, "/"):
				folder = w
			case w+"/" == folder || strings.HasPrefix(w, folder):
				named[w] = true
			default:
				named[folder+w] = true
			}
		}
	}
	for _, top := range []string{"cmd", "codegen", "frontend", "ir", "passes", "targets"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "testdata" {
				return filepath.SkipDir
			}
			files, err := filepath.Glob(filepath.Join(path, "*.go"))
			files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
			if name := filepath.ToSlash(path); len(files) > 0 && !named[name] {
				t.Errorf("docs/architecture.md does not name %s", name)
			} else if delete(named, name); len(files) == 0 && named[name] {
				t.Errorf("docs/architecture.md names %s, which holds no package", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range named {
		t.Errorf("docs/architecture.md names %s, which is not there", name)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinks: what a document links to is there.
func TestLinks(t *testing.T) {
	root(t)
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(docs, "README.md", "examples/README.md", "examples/r1-nano/README.md") {
		text, err := os.ReadFile(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(d), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", d, m[1])
			}
		}
	}
}
