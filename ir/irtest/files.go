package irtest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"apogee/ir"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files with what the tests get")

// Update reports whether the test was run with -update.
func Update() bool { return *update }

// Golden compares what a test got with a file, mostly in testdata. With -update it writes the file.
func Golden(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run the test with -update to write it)", err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s is not what the test got (run it with -update to accept):\n%s", file, ir.TextDiff("golden", string(want), "got", string(got)))
	}
}

// Case is one txtar archive: a comment and named files.
type Case struct {
	Path    string
	archive *txtar.Archive
	changed bool
}

// Cases runs a test for every archive that matches the pattern, such as testdata/*.txtar, each named as its file. It fails
// when there is none.
func Cases(t *testing.T, pattern string, run func(t *testing.T, c *Case)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file matches %s", pattern)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name[:len(name)-len(filepath.Ext(name))], func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := &Case{Path: file, archive: a}
			run(t, c)
			if c.changed {
				if err := os.WriteFile(file, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Comment is the text before the first file.
func (c *Case) Comment() string { return string(c.archive.Comment) }

// Names are the names of the files, in order.
func (c *Case) Names() []string {
	var out []string
	for _, f := range c.archive.Files {
		out = append(out, f.Name)
	}
	return out
}

// File returns a file's text; ok is false when the archive does not hold it.
func (c *Case) File(name string) (text string, ok bool) {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

// Must returns a file's text and fails the test without it.
func (c *Case) Must(t testing.TB, name string) string {
	t.Helper()
	text, ok := c.File(name)
	if !ok {
		t.Fatalf("%s has no file %s", c.Path, name)
	}
	return text
}

// Expect compares what a test got with a file of the archive. With -update it puts it there.
func (c *Case) Expect(t testing.TB, name, got string) {
	t.Helper()
	want, ok := c.File(name)
	if want == got && ok {
		return
	}
	if !*update {
		t.Errorf("%s: %s is not what the test got (run it with -update to accept):\n%s", c.Path, name, ir.TextDiff("expected", want, "got", got))
		return
	}
	c.changed = true
	for i := range c.archive.Files {
		if c.archive.Files[i].Name == name {
			c.archive.Files[i].Data = []byte(got)
			return
		}
	}
	c.archive.Files = append(c.archive.Files, txtar.File{Name: name, Data: []byte(got)})
}

// Root returns the root of the repository: the folder of go.mod above the test's.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Corpus returns a path in the corpus of real models, configurations and data sheets, the folder shared beside the
// repository. Without it the test is skipped, or fails where APOGEE_CORPUS is "required".
func Corpus(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{filepath.Dir(Root(t)), "shared"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("APOGEE_CORPUS") == "required" {
			t.Fatalf("the corpus is required: %v", err)
		}
		t.Skipf("needs the corpus, which is not part of the repository: %v", err)
	}
	return path
}

// Parse reads and verifies IR text and fails the test if there is an error.
func Parse(t testing.TB, text string) *ir.Module {
	t.Helper()
	m, err := ir.ParseString(text)
	if err == nil {
		err = ir.Verify(m).Err()
	}
	if err != nil {
		t.Fatalf("the module does not parse or verify:\n%v\n%s", err, text)
	}
	return m
}

// Verify fails the test if a module breaks a rule.
func Verify(t testing.TB, m *ir.Module) {
	t.Helper()
	if err := ir.Verify(m).Err(); err != nil {
		t.Fatalf("the module does not verify:\n%v\n%s", err, m)
	}
}
