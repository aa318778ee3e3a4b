package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"apogee/frontend/mg"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/targets/chip"
)

func init() {
	register(&command{
		name: "fmt", args: "FILE…", short: "Print .mg and .chip files in their one canonical form",
		long:    "Files are rewritten in place; - reads standard input and writes standard output. With --check nothing is written, and files that are not in canonical form are listed and make the exit code 1.",
		example: "  apogee fmt model.mg my.chip\n  apogee fmt --check *.mg\n  apogee fmt - < model.mg", complete: "file",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			check := f.Bool("check", false, "list files that would change; write nothing")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) == 0 {
					return usagef("fmt takes files, or - for standard input")
				}
				return formatFiles(a, args, *check)
			}
		},
	})
}

func formatFiles(a *app, files []string, check bool) error {
	var bad diag.List
	changed := 0
	for _, name := range files {
		var text []byte
		var err error
		if name == "-" {
			text, err = io.ReadAll(a.in)
		} else {
			text, err = os.ReadFile(name)
		}
		if err != nil {
			return err
		}
		out, err := formatText(name, text)
		if err != nil {
			bad.AddError("", err)
			continue
		}
		switch {
		case name == "-":
			if _, err := a.out.Write(out); err != nil {
				return err
			}
		case bytes.Equal(text, out):
		case check:
			changed++
			fmt.Fprintln(a.out, name)
		default:
			if err := writeWhole(name, out); err != nil {
				return err
			}
		}
	}
	if err := bad.Err(); err != nil {
		return err
	}
	if changed > 0 {
		return fmt.Errorf("%d of %d files are not in canonical form; apogee fmt rewrites them", changed, len(files))
	}
	return nil
}

func formatText(name string, text []byte) ([]byte, error) {
	src := diag.NewSource(name, text)
	switch strings.ToLower(filepath.Ext(name)) {
	case ".chip":
		return chip.Format(src)
	case ".ir":
		m, l := ir.Parse(src)
		if err := l.Err(); err != nil {
			return nil, err
		}
		return []byte(m.String()), nil
	}
	return mg.Format(name, text)
}

// writeWhole replaces a file so that it is whole or as it was.
func writeWhole(name string, data []byte) error {
	mode := os.FileMode(0o644)
	if s, err := os.Stat(name); err == nil {
		mode = s.Mode().Perm()
	}
	t, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name())
	if _, err := t.Write(data); err != nil {
		t.Close()
		return err
	}
	if err := t.Chmod(mode); err != nil {
		t.Close()
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return os.Rename(t.Name(), name)
}
