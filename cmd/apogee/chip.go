package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/pflag"

	"apogee/targets/chip"
)

// chipCommand is what may stand behind apogee chip.
type chipCommand struct {
	name, args, short string
	// flags are those that it takes, of those that setup functions declare for all.
	flags []string
	run   func(ctx context.Context, a *app, f *pflag.FlagSet, args []string) error
}

// chipCommands is filled by the files of the subcommands.
var chipCommands []chipCommand

// chipFlags declares the flags of all of them.
var chipFlags []func(f *pflag.FlagSet)

func registerChip(c chipCommand, flags func(f *pflag.FlagSet)) {
	chipCommands = append(chipCommands, c)
	sort.Slice(chipCommands, func(i, j int) bool { return chipCommands[i].name < chipCommands[j].name })
	if flags != nil {
		chipFlags = append(chipFlags, flags)
	}
}

func init() {
	registerChip(chipCommand{name: "show", args: "CHIP", short: "its numbers, their sources, how far to trust them", flags: []string{"source", "json"}, run: chipShow},
		func(f *pflag.FlagSet) {
			f.Bool("source", false, "show: print the chip file in its canonical form")
			f.Bool("json", false, "print JSON")
		})
	registerChip(chipCommand{name: "new", args: "NAME", short: "begin a chip file: what a data sheet gives is marked, the rest is another chip's", flags: []string{"from", "output"}, run: chipNew},
		func(f *pflag.FlagSet) {
			f.String("from", "family-simt", "new: the chip or family that the new one is like: family-simt, family-decoupled, family-simd, family-dataflow")
			f.StringP("output", "o", "", "new: the file to write; NAME.chip unless given, - for standard output")
		})
	register(&command{
		name: "chip", args: "show|new|check|fit CHIP", short: "Show a chip or system, begin, check or fit a chip file",
		long: `
show CHIP prints what is known of a chip or system: its numbers, who says so, and in one line how far its times can be trusted.

new NAME begins a chip file that is like another chip, or like what a family has in common: what a data sheet gives is marked, the rest is
the other's.

check CHIP lints it, then compiles and runs every op in every format on it, the patterns that passes fuse, random modules and small
models, against the reference; it says what is native, legalised, emulated or impossible, what that costs, and what it lacks by what a
DeepSeek model would gain.

fit CHIP TABLE… derives derates from tables of measured times and says how good the fit is; without arguments it lists the columns.`,
		example: `  apogee chip show ascend-910b
  apogee chip show ./my.chip
  apogee chip show cloudmatrix384
  apogee chip show nvidia-h100 --source
  apogee chip new my-chip --from nvidia-a100
  apogee chip check my-chip.chip
  apogee chip fit my-chip.chip measured.csv --write`, complete: "chip",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			for _, declare := range chipFlags {
				declare(f)
			}
			return func(ctx context.Context, a *app, args []string) error {
				var words []string
				for _, c := range chipCommands {
					words = append(words, fmt.Sprintf("  apogee chip %s %s: %s", c.name, c.args, c.short))
				}
				if len(args) == 0 {
					return usagef("say what to do:\n%s", strings.Join(words, "\n"))
				}
				for _, c := range chipCommands {
					if c.name != args[0] {
						continue
					}
					var wrong []string
					f.Visit(func(x *pflag.Flag) {
						takes := false
						for _, n := range c.flags {
							takes = takes || n == x.Name
						}
						if !takes && f.ShorthandLookup("h") != x && x.Name != "help" {
							wrong = append(wrong, "--"+x.Name)
						}
					})
					if len(wrong) > 0 {
						return usagef("chip %s takes no %s", c.name, strings.Join(wrong, ", "))
					}
					return c.run(ctx, a, f, args[1:])
				}
				return usagef("there is no apogee chip %s, only:\n%s", args[0], strings.Join(words, "\n"))
			}
		},
	})
}

func chipShow(_ context.Context, a *app, f *pflag.FlagSet, args []string) error {
	if len(args) != 1 {
		return usagef("expected: apogee chip show CHIP")
	}
	source, _ := f.GetBool("source")
	asJSON, _ := f.GetBool("json")
	if source && asJSON {
		return usagef("--source and --json do not go together")
	}
	return showChip(a, args[0], source, asJSON)
}

func chipNew(ctx context.Context, a *app, f *pflag.FlagSet, args []string) error {
	if len(args) != 1 {
		return usagef("expected: apogee chip new NAME [--from CHIP] [-o FILE]")
	}
	from, _ := f.GetString("from")
	path, _ := f.GetString("output")
	name := strings.TrimSuffix(args[0], ".chip")
	open := chip.Shipped
	if strings.HasSuffix(from, ".chip") { // a file of the user's own, beside which the new one will stand
		open = chip.Beside(filepath.Dir(from))
		if path == "" {
			path = filepath.Join(filepath.Dir(from), name+".chip")
		}
		from = strings.TrimSuffix(filepath.Base(from), ".chip")
	}
	text, err := chip.New(name, from, open)
	if err != nil {
		return err
	}
	switch path {
	case "-":
		_, err := a.out.Write(text)
		return err
	case "":
		path = name + ".chip"
	}
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s is there already: name another file with -o, or remove it first", path)
	}
	w, err := a.files.Create(ctx, path)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := a.files.Commit(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s: fill in what is marked, then apogee check %s\n", path, path)
	return nil
}
