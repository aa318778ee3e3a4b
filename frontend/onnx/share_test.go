package onnx

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page on ONNX says how much of the importer is rows of the table and their decompositions, and how much is what all of them
// share; and how many operators there are.
func TestShare(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rows, core := 0, 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, l := range strings.Split(string(text), "\n") {
			if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "//") {
				lines++
			}
		}
		if strings.HasPrefix(f, "ops_") {
			rows += lines
		} else {
			core += lines
		}
	}
	ops := map[string]bool{}
	for _, r := range Operators() {
		ops[r.Domain+":"+r.Op] = true
		if r.Doc == "" || r.Lower == nil {
			t.Errorf("%s: a row has a sentence and a function", r.Op)
		}
	}
	near := func(n, step int) int { return (n + step/2) / step * step }
	want := fmt.Sprintf("%d operators in %d rows; of about %d lines of code, %d in a hundred are rows and their decompositions.",
		len(ops), len(Operators()), near(rows+core, 1000), near(100*rows/(rows+core), 5))
	path := filepath.Join("..", "..", "docs", "onnx.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin = "The table holds "
	at := strings.Index(string(page), begin)
	if at < 0 {
		t.Fatalf("%s has no sentence that begins with %q", path, begin)
	}
	at += len(begin)
	end := at + strings.Index(string(page[at:]), "\n")
	if got := string(page[at:end]); got != want {
		if u := flag.Lookup("update"); u == nil || u.Value.String() != "true" {
			t.Fatalf("expected %q, found %q: go test ./frontend/onnx -run Share -update", want, got)
		}
		if err := os.WriteFile(path, []byte(string(page[:at])+want+string(page[end:])), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
