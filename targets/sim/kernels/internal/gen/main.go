// Command gen writes the amd64 assembly of package kernels and the Go
// declarations that go with it. Run it through go generate in the package's
// folder; a test fails when what is committed differs from what it writes.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// unit is one assembly file with its declarations.
type unit struct {
	name string
	emit func(*asm)
}

// units are all files written, by the stem of their name.
var units = []unit{
	{"tile", emitTiles},
	{"int8", emitInt8},
	{"limited", emitLimited},
	{"turn", emitTurn},
	{"vector", emitVectors},
	{"math", emitMath},
	{"probe", emitProbes},
}

// asm is one file's build context, with the idioms that all kernels share.
type asm struct {
	*build.Context
}

// function starts a leaf function.
func (g *asm) function(name, signature string, doc ...string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr(signature)
	g.Doc(doc...)
}

var cfg = printer.Config{Argv: []string{"go", "generate"}, Pkg: "kernels"}

// generate returns the files' contents by name.
func generate() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, u := range units {
		ctx := build.NewContext()
		ctx.ConstraintExpr("amd64")
		u.emit(&asm{ctx})
		f, err := ctx.Result()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.name, err)
		}
		if err := pass.Compile.Execute(f); err != nil {
			return nil, fmt.Errorf("%s: %w", u.name, err)
		}
		text, err := printer.NewGoAsm(cfg).Print(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.name, err)
		}
		files[u.name+"_amd64.s"] = append(bytes.TrimRight(text, "\n"), '\n')
		if files[u.name+"_decl_amd64.go"], err = declarations(f); err != nil {
			return nil, fmt.Errorf("%s: %w", u.name, err)
		}
	}
	return files, nil
}

// declarations is the Go source that declares a file's functions.
func declarations(f *ir.File) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// %s\n\n//go:build amd64\n\npackage %s\n", cfg.GeneratedWarning(), cfg.Pkg)
	for _, fn := range f.Functions() {
		fmt.Fprintf(&b, "\n// %s\n//\n//go:noescape\nfunc %s%s\n", strings.Join(fn.Doc, "\n// "), fn.Name, fn.Signature)
	}
	return format.Source(b.Bytes())
}

func main() {
	out := "." // go generate runs in the folder of package kernels
	files, err := generate()
	if err == nil {
		for name, text := range files {
			if err = os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
				break
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
