package mg

import (
	"os"
	"path/filepath"
	"testing"

	"apogee/ir"
	"apogee/ir/diag"
)

// seeds adds the sources at hand: the shipped models, the tests' own, the examples of the codes.
func seeds(f *testing.F) {
	for _, pattern := range []string{"../models/*.mg", "testdata/errors/*.mg", "testdata/lower/*.txtar", "testdata/format/*.txtar"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil {
				f.Add(text)
			}
		}
	}
	for _, c := range diag.Codes() {
		f.Add([]byte(c.Example))
	}
}

// FuzzFormat holds that any text parses or fails without a panic, that what parses prints, and that what is printed
// parses, means the same and prints as itself.
func FuzzFormat(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		out, err := Format("a", text)
		if err != nil {
			return
		}
		again, err := Format("b", out)
		if err != nil {
			t.Fatalf("what is printed does not parse: %v\n%s", err, out)
		}
		if string(again) != string(out) {
			t.Fatalf("printed twice:\n%s\nand once:\n%s", again, out)
		}
		if err := sameMeaning(string(text), string(out)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

// FuzzLower holds that any text loads and lowers, with what config it may have, or fails with a diagnostic; and that
// the module of what lowers is valid.
func FuzzLower(f *testing.F) {
	std, err := os.ReadFile("../models/std.mg")
	if err != nil {
		f.Fatal(err)
	}
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		imports := func(_, name string) (string, []byte, error) {
			if name == "std" {
				return "std.mg", std, nil
			}
			return "", nil, os.ErrNotExist
		}
		if p, err := Load(diag.NewSource("a", text), imports); err == nil {
			_ = CheckShapes(p).Error()
		}
		low, diags := run(diag.NewSource("a", text), "", Options{MaxOps: 5000}, imports)
		if diags.HasErrors() {
			_ = diags.Error()
			return
		}
		if l := ir.Verify(low.Module); l.HasErrors() {
			t.Fatalf("the module is not valid: %v", l.Err())
		}
	})
}

// FuzzConfig holds that any config.json fills a config or fails with a diagnostic.
func FuzzConfig(f *testing.F) {
	p, err := Load(diag.NewSource("a", []byte(`config {
  n: int = 3 where > 0
  x: float?
  k: "a" | "b" = "a"
  l: [int] = []
  o, oo: {
    p: int = config.n
    q: [[float]] = []
  }?
  ignore z
}
entry f(x: f32[B]) -> f32[B] { x * config.n }
`)), nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{}`, `{"n": 1.0, "x": 1e5, "k": "b", "l": [1, 2], "o": {"p": 7, "q": [[1], []]}, "z": {}}`, `{"n": 0}`,
		`{"o": {}, "oo": {"p": 1}}`, `[1]`, `{"n": 1`, `{"n": 1} {}`, `{"n": null, "k": null}`, `{"a": [[[[[[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var diags diag.List
		j := ParseJSON(diag.NewSource("config.json", text), &diags)
		if diags.HasErrors() {
			_ = diags.Error()
			return
		}
		if _, err := Lower(p, Options{Config: j}); err != nil {
			_ = err.Error()
		}
	})
}
