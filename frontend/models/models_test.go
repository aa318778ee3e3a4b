package models

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apogee/frontend/mg"
	"apogee/ir/diag"
	"apogee/ir/irtest"
)

func TestShippedFilesLoad(t *testing.T) {
	for _, name := range Names() {
		p, err := Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		h, _ := Header(name)
		if p.Name != name || len(h.Architectures) == 0 || len(p.Entries()) < 2 {
			t.Errorf("%s: a model named %s for %v with entries %v", name, p.Name, h.Architectures, p.Entries())
		}
		if got, ok := Pick(h.Architectures, ""); !ok || got != name {
			t.Errorf("%v picks %q", h.Architectures, got)
		}
	}
	if name, ok := Pick([]string{"NoSuchForCausalLM"}, "kimi_k2"); !ok || name != "deepseek_v3" {
		t.Errorf("kimi_k2 picks %q", name)
	}
	if name, ok := Pick([]string{"NoSuchForCausalLM"}, "none"); ok {
		t.Errorf("an unknown architecture picks %q", name)
	}
}

// TestShippedFilesAreCanonical holds the shipped files in the form that the formatter prints. With -update it writes it.
func TestShippedFilesAreCanonical(t *testing.T) {
	for _, name := range Files() {
		_, text, err := shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := mg.Format(name+".mg", text)
		if err != nil {
			t.Error(err)
			continue
		}
		irtest.Golden(t, name+".mg", out)
		if n := bytes.Count(out, []byte("\n")); name == "deepseek_v3" && n > 200 {
			t.Errorf("DeepSeek-V3 takes %d lines; 200 is what a reader has", n)
		}
	}
}

// TestNoWarnings holds that the shipped files are as clean as they ask others to be.
func TestNoWarnings(t *testing.T) {
	for _, name := range Files() {
		full, text, err := shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, diags := mg.Check(diag.NewSource(full, text), Import); diags.Len() > 0 {
			t.Error(diags)
		}
	}
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.mg": "import \"b.mg\"\nimport \"std\"\nlet x = y\n", "b.mg": "let y = 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(text string) error {
		_, err := mg.Load(diag.NewSource(filepath.Join(dir, "main.mg"), []byte(text)), Import)
		return err
	}
	if err := load("import \"a.mg\"\nlet z = x\n"); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		"import \"c.mg\"\n": "no such file", "import \"sdt\"\n": "did you mean \"std\"", "import \"../..\"\n": "no file of that name is shipped",
		"import \"a.mg\"\nlet z = y\n": "y is not defined",
	} {
		if err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: expected %q, found %v", text, want, err)
		}
	}
}

// TestShapesWithoutConfig checks the shipped files as their author would, with no config at hand.
func TestShapesWithoutConfig(t *testing.T) {
	for _, name := range Files() {
		p, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if diags := mg.CheckShapes(p); diags.Len() > 0 {
			t.Error(diags)
		}
	}
	if p, err := Load("llama"); err != nil || len(p.Missing()) == 0 {
		t.Errorf("llama needs no config: %v", err)
	}
}
