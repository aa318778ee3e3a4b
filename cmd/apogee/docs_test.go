package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
			out = append(out, got...)
		}
		out = append(out, lines[i])
	}
	return strings.Join(out, "\n")
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
	return len(got) > 0 && want[0] == strings.TrimRight(got[0], " ") && matchLines(want[1:], got[1:])
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
