package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/conform"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/targets/chip"
)

func init() {
	registerChip(chipCommand{
		name: "check", args: "CHIP", short: "lint it, then compile and run every op in every format on it, and see how it does them and what it lacks",
		flags: []string{"json", "quick", "op", "format", "random", "jobs"}, run: chipCheck,
	}, func(f *pflag.FlagSet) {
		f.Bool("quick", false, "check: without times, random modules and what would be gained")
		f.String("op", "", "check: these ops alone, with commas between them, a line for each format")
		f.String("format", "", "check: these formats alone, a line for each op")
		f.Int("random", 50, "check: how many random modules")
		f.Int("jobs", 0, "check: how much is done at once; 0 is one a processor")
	})
}

// chipCheck runs the conformance suite on a chip.
func chipCheck(ctx context.Context, a *app, f *pflag.FlagSet, args []string) error {
	if len(args) != 1 {
		return usagef("expected: apogee chip check CHIP")
	}
	asJSON, _ := f.GetBool("json")
	var opt conform.Options
	opt.Quick, _ = f.GetBool("quick")
	opt.Ops, _ = f.GetString("op")
	opt.Formats, _ = f.GetString("format")
	opt.Random, _ = f.GetInt("random")
	opt.Jobs, _ = f.GetInt("jobs")
	if opt.Random < 0 || opt.Jobs < 0 {
		return usagef("--random and --jobs are not negative")
	}
	if err := knownNames(opt); err != nil {
		return err
	}
	c, err := chip.Load(args[0])
	if err != nil {
		return err
	}
	r, err := conform.Check(ctx, c, opt)
	if err != nil {
		return err
	}
	switch {
	case asJSON:
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	case opt.Ops != "" || opt.Formats != "":
		if err = r.WriteList(a.out); err == nil {
			err = r.WriteSummary(a.out)
		}
	default:
		if err = r.WriteMatrix(a.out); err == nil {
			a.out.Write([]byte("\n"))
			err = r.WriteSummary(a.out)
		}
	}
	if err == nil && !r.OK() {
		return errFound
	}
	return err
}

// knownNames refuses ops and formats that there are not.
func knownNames(opt conform.Options) error {
	for _, n := range splitList(opt.Ops) {
		if n != "" && n != "none" && op.Lookup(n) == nil {
			return usagef("there is no op %q; apogee ops lists them", n)
		}
	}
	for _, n := range splitList(opt.Formats) {
		if _, ok := format.Parse(n); !ok && n != "" {
			return usagef("there is no format %q; apogee chips --json and docs/ops.md name them", n)
		}
	}
	return nil
}
