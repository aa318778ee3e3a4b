package ir_test

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"apogee/ir/irtest"
)

// goFiles returns the module's Go files that are no tests, as paths from the root with slashes.
func goFiles(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			out = append(out, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no Go files")
	}
	return out
}

// layers say which top folders a top folder may import, itself included.
var layers = map[string][]string{
	"ir":       {"ir"},
	"frontend": {"ir", "frontend"},
	"targets":  {"ir", "targets"},
	"passes":   {"ir", "targets", "passes"},
	"codegen":  {"ir", "targets", "passes", "codegen"},
	"cmd":      {"ir", "frontend", "targets", "passes", "codegen", "cmd", "examples"},
	"examples": {"ir"},
}

// never are pairs of folders, with what lies below them: the first must not import the second.
var never = []struct{ from, to, why string }{
	{"ir/diag", "ir", "diagnostics know nothing of graphs"},
	{"ir/format", "ir", "formats know nothing of graphs"},
	{"ir/shape", "ir", "shapes know nothing of graphs"},
	{"ir/tensor", "ir", "tensors know nothing of graphs"},
	{"ir/op", "ir", "the op table works on types, not on nodes"},
	{"targets/sim", "ir/eval", "the oracle and the simulator test each other and share only formats"},
	{"ir/eval", "targets/sim", "the oracle and the simulator test each other and share only formats"},
	{"targets/sim/exec", "targets/sim/clock", "meaning never asks for time"},
	{"targets/sim/clock", "targets/sim/exec", "time never reads a tensor"},
}

// arrow says why one package of the module must not import another, or "".
func arrow(from, to string) string {
	top, _, _ := strings.Cut(from, "/")
	toTop, _, _ := strings.Cut(to, "/")
	allowed, ok := layers[top]
	if !ok {
		return "the folder " + top + " has no place in the table of layers"
	}
	if !slices.Contains(allowed, toTop) {
		return top + " may import " + strings.Join(allowed, ", ") + " only"
	}
	if to == "ir/irtest" {
		return "irtest is for tests"
	}
	for _, n := range never {
		// "ir" stands for the graph's own package: its folders are ruled by their own lines.
		if within(from, n.from) && (to == n.to || n.to != "ir" && within(to, n.to)) {
			return n.why
		}
	}
	return ""
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestImports(t *testing.T) {
	root := irtest.Root(t)
	for _, file := range goFiles(t, root) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
		if err != nil {
			continue // the compiler's to report
		}
		from := filepath.ToSlash(filepath.Dir(file))
		for _, i := range f.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				continue
			}
			switch to, ok := strings.CutPrefix(path, "apogee/"); {
			case path == "C":
				t.Errorf("%s uses cgo", file)
			case ok:
				if why := arrow(from, to); why != "" {
					t.Errorf("%s imports %s: %s", file, path, why)
				}
			}
		}
	}
}

func TestArrowsAreTold(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"frontend/mg", "ir", true},
		{"frontend/mg", "passes", false},
		{"frontend/mg", "targets/chip", false},
		{"targets/sim", "codegen", false},
		{"targets/sim/exec", "ir/eval", false},
		{"targets/sim/exec", "ir/format", true},
		{"targets/sim/exec", "targets/sim/clock", false},
		{"targets/sim/clock", "targets/sim/exec", false},
		{"targets/sim", "targets/sim/exec", true},
		{"passes", "targets/chip", true},
		{"passes", "codegen", false},
		{"codegen/tile", "passes", true},
		{"cmd/apogee", "frontend/mg", true},
		{"ir", "ir/op", true},
		{"ir/op", "ir", false},
		{"ir/op", "ir/tensor", true},
		{"ir/eval", "ir", true},
		{"ir", "ir/irtest", false},
	} {
		if why := arrow(c.from, c.to); (why == "") != c.ok {
			t.Errorf("%s → %s: %q", c.from, c.to, why)
		}
	}
}

var vendorLine = regexp.MustCompile(`(?m)^\s*vendor\s+"([^"]+)"`)

// chipWords are the names of the chip files, the words in them that name something, and the vendors, in lower case.
func chipWords(t *testing.T, root string) []string {
	files, err := filepath.Glob(filepath.Join(root, "targets/chips/*.chip"))
	if err != nil || len(files) == 0 {
		t.Fatal("no chip files")
	}
	set := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".chip")
		set[name] = true
		for _, w := range strings.Split(name, "-") {
			if len(w) > 3 {
				set[w] = true
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if m := vendorLine.FindSubmatch(text); m != nil {
			set[strings.ToLower(string(m[1]))] = true
		}
	}
	var out []string
	for w := range set {
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// A chip is data: no name of a chip or vendor stands in the code, neither in an identifier nor in a string. Comments and
// strings that cite a source may name them, and so may the help texts of the commands, which show examples.
func TestNoChipNames(t *testing.T) {
	root := irtest.Root(t)
	words := chipWords(t, root)
	for _, file := range goFiles(t, root) {
		src, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range chipNamesIn(file, src, words) {
			t.Error(hit)
		}
	}
	planted := "package p\n// ascend is fine here\nvar x = \"ascend-910b\"\nvar y = \"Source: Huawei, a paper\"\nfunc isNvidia() {}\n"
	if hits := chipNamesIn("codegen/p.go", []byte(planted), words); len(hits) != 2 {
		t.Errorf("planted names: got %q", hits)
	}
}

func chipNamesIn(file string, src []byte, words []string) []string {
	var hits []string
	fset := token.NewFileSet()
	var s scanner.Scanner
	s.Init(fset.AddFile(file, -1, len(src)), src, nil, 0)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return hits
		}
		if tok != token.IDENT && tok != token.STRING || strings.Contains(lit, "Source:") {
			continue
		}
		low := strings.ReplaceAll(strings.ToLower(lit), "amd64", "") // an architecture, as Go calls it
		for _, w := range words {
			// A small letter behind it makes another word of it: ascending.
			at := strings.Index(low, w)
			hit := at >= 0 && (at+len(w) >= len(low) || low[at+len(w)] < 'a' || low[at+len(w)] > 'z')
			if strings.HasPrefix(file, "cmd/") && tok == token.STRING {
				hit = strings.Trim(low, "\"`") == w
			}
			if hit {
				hits = append(hits, fset.Position(pos).String()+": "+lit+" names a chip or a vendor; ask the chip description instead")
				break
			}
		}
	}
}

// Every package says what it promises and what it must not know.
func TestPackagesAreDocumented(t *testing.T) {
	root := irtest.Root(t)
	docs := map[string]string{}
	for _, file := range goFiles(t, root) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			continue
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		if f.Name.Name == "main" || strings.Contains(dir, "internal/gen") {
			continue
		}
		docs[dir] += docOf(f)
	}
	for dir, doc := range docs {
		if !strings.HasPrefix(doc, "Package ") {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func docOf(f *ast.File) string {
	if f.Doc == nil {
		return ""
	}
	return f.Doc.Text()
}
