package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
	"apogee/frontend/safetensors"
	"apogee/frontend/tokenizer"
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
against its model; a .chip or .system file is linted; IR is verified; a plan's memory, ranges and synchronisation are proved anew; of an ONNX
model, all operators that cannot be imported are listed; a .npy, .pb, .safetensors or tokenizer.json is read. All mistakes of all files are reported.`,
		example: "  apogee check model.mg my.chip\n  apogee check examples/r1-nano\n  apogee check decode.plan", complete: "file",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			asJSON := f.Bool("json", false, "print the findings as JSON")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) == 0 {
					return usagef("check takes files")
				}
				return checkFiles(a, args, *asJSON)
			}
		},
	})
}

// errFound ends a command whose findings are printed already.
var errFound = errors.New("")

func checkFiles(a *app, files []string, asJSON bool) error {
	var all diag.List
	for _, p := range files {
		a.progress.Step("checking "+p, 0, 0)
		one := &diag.List{}
		l, err := checkFile(p)
		one.Merge(l)
		one.AddError("", err)
		one.Sort()
		all.Merge(one)
		if asJSON {
			continue
		}
		a.warn(one)
		if !one.HasErrors() {
			fmt.Fprintf(a.out, "%s: ok\n", p)
		}
	}
	if asJSON {
		if err := diag.RenderJSON(a.out, &all); err != nil {
			return err
		}
	}
	if all.HasErrors() {
		return errFound
	}
	return nil
}

// checkFile checks one file by its kind. Errors of the returned list and the returned error both count.
func checkFile(path string) (*diag.List, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".chip":
		_, l := chip.LoadAll(path)
		return l, nil
	case ext == ".system":
		_, l := chip.LoadSystemAll(path)
		return l, nil
	case ext == ".npy", ext == ".pb":
		_, err := readTensor(path)
		return nil, err
	case ext == ".safetensors":
		f, err := safetensors.Open(path)
		if err == nil {
			f.Close()
		}
		return nil, err
	case filepath.Base(path) == "tokenizer.json":
		_, err := tokenizer.Load(filepath.Dir(path))
		return nil, err
	}
	m, err := driver.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	switch {
	case m.Plan != nil:
		var rules *plan.Rules
		l := &diag.List{}
		if c, err := chip.Load(m.Plan.Chip); err != nil {
			l.Notef("", diag.Range{}, "%s: the chip %s does not ship with apogee, so the plan is not held against it", path, m.Plan.Chip)
		} else if rules = bind.Rules(c); c.Hash() != m.Plan.ChipHash {
			l.Warnf("", diag.Range{}, "%s: compiled for another version of %s", path, m.Plan.Chip)
		}
		l.Merge(plan.Check(m.Plan, rules))
		return l, nil
	case m.IR != nil:
		mod, l := ir.Parse(diag.NewSource(path, m.IR))
		if l.HasErrors() {
			return l, nil
		}
		return ir.Verify(mod), nil
	}
	return m.Check()
}
