package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

func init() {
	register(&command{
		name: "check", args: "FILE…", short: "Check files of any kind apogee reads",
		long: `
A .mg file is parsed, resolved and, where its config has defaults, lowered and verified; a checkpoint's config, weights and tokenizer are held
against its model; a .chip file is linted; IR is verified; a plan's memory, ranges and synchronisation are proved anew.
All mistakes of all files are reported.`,
		example: "  apogee check model.mg my.chip\n  apogee check examples/r1-nano\n  apogee check decode.plan", complete: "file",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			asJSON := f.Bool("json", false, "print the findings as JSON")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) == 0 {
					return usagef("check takes files")
				}
				var all diag.List
				for _, p := range args {
					l, err := checkFile(p)
					if l != nil {
						all.Merge(l)
					}
					if err != nil {
						all.AddError("", err)
					}
					if err == nil && (l == nil || !l.HasErrors()) && !*asJSON {
						fmt.Fprintf(a.out, "%s: ok\n", p)
					}
				}
				if *asJSON {
					if err := diag.RenderJSON(a.out, &all); err != nil {
						return err
					}
					if all.HasErrors() {
						return fmt.Errorf("%s", all.Summary())
					}
					return nil
				}
				if err := all.Err(); err != nil {
					return err
				}
				if all.Len() > 0 {
					return diag.Render(a.err, &all, diag.Options{Color: a.color})
				}
				return nil
			}
		},
	})
}

// checkFile checks one file by its kind.
func checkFile(path string) (*diag.List, error) {
	if strings.EqualFold(filepath.Ext(path), ".chip") {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		_, l := chip.LoadAll("./" + filepath.ToSlash(relative(path)))
		return l, nil
	}
	m, err := driver.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	switch {
	case m.Plan != nil:
		var rules *plan.Rules
		if c, err := chip.Load(m.Plan.Chip); err == nil {
			rules = bind.Rules(c)
		}
		return plan.Check(m.Plan, rules), nil
	case m.IR != "":
		mod, l := ir.Parse(diag.NewSource(path, []byte(m.IR)))
		if l.HasErrors() {
			return l, nil
		}
		return ir.Verify(mod), nil
	}
	return m.Check()
}

func relative(path string) string {
	if filepath.IsAbs(path) {
		if wd, err := os.Getwd(); err == nil {
			if r, err := filepath.Rel(wd, path); err == nil {
				return r
			}
		}
	}
	return path
}
