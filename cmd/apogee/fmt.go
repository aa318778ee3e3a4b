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
		name: "fmt", args: "FILE…", short: "Print .mg, .chip and .system files in their one canonical form",
		long:    "Files are rewritten in place; - reads standard input and writes standard output. With --check nothing is written, and files that are not in canonical form are listed and make the exit code 1.",
		example: "  apogee fmt model.mg my.chip\n  apogee fmt --check *.mg\n  apogee fmt - < model.mg", complete: "file",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			check := f.Bool("check", false, "list files that would change; write nothing")
			return func(ctx context.Context, a *app, args []string) error {
				if len(args) == 0 {
					return usagef("fmt takes files, or - for standard input")
				}
				return formatFiles(ctx, a, args, *check)
			}
		},
	})
}

func formatFiles(ctx context.Context, a *app, files []string, check bool) error {
	var bad diag.List
	changed := 0
	for _, name := range files {
		text, err := readSource(a, name)
		if err != nil {
			bad.AddError("", err)
			continue
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
			w, err := a.files.Create(ctx, name)
			if err != nil {
				return err
			}
			if _, err := w.Write(out); err != nil {
				return fmt.Errorf("cannot write %s: %w", name, reason(err))
			}
		}
	}
	if err := a.files.Commit(); err != nil {
		return err
	}
	if err := bad.Err(); err != nil {
		return err
	}
	if changed > 0 {
		return fmt.Errorf("%d of %d files are not in canonical form; apogee fmt rewrites them", changed, len(files))
	}
	return nil
}

// mostSource bounds a text to be formatted.
const mostSource = 1 << 28

func readSource(a *app, name string) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, reason(err))
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, mostSource+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	}
	if len(text) > mostSource {
		return nil, fmt.Errorf("%s: more than the %d bytes that a text may have", name, mostSource)
	}
	return text, nil
}

func formatText(name string, text []byte) ([]byte, error) {
	src := diag.NewSource(name, text)
	switch strings.ToLower(filepath.Ext(name)) {
	case ".chip", ".system":
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
