package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/chips"
)

func init() {
	register(&command{
		name: "chips", args: "", short: "List the chips that ship with apogee",
		example: "  apogee chips\n  apogee chips --json",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			asJSON := f.Bool("json", false, "print JSON")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) > 0 {
					return usagef("chips takes no arguments; apogee chip show %s prints one", args[0])
				}
				return listChips(a, *asJSON)
			}
		},
	})
	register(&command{
		name: "chip", args: "show CHIP", short: "Show one chip: its numbers, their sources, how far to trust them",
		example: "  apogee chip show ascend-910b\n  apogee chip show ./my.chip\n  apogee chip show nvidia-h100 --source", complete: "chip",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			source := f.Bool("source", false, "print the chip file in its canonical form")
			asJSON := f.Bool("json", false, "print JSON")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) != 2 || args[0] != "show" {
					return usagef("expected: apogee chip show CHIP")
				}
				if *source && *asJSON {
					return usagef("--source and --json do not go together")
				}
				return showChip(a, args[1], *source, *asJSON)
			}
		},
	})
}

type chipLine struct {
	Name       string   `json:"name"`
	Vendor     string   `json:"vendor"`
	Variant    string   `json:"variant,omitempty"`
	Year       int      `json:"year,omitempty"`
	Family     string   `json:"family"`
	Cores      int64    `json:"cores"`
	Memory     float64  `json:"memory_bytes"`
	Bandwidth  float64  `json:"bandwidth_bytes_per_second"`
	Formats    []string `json:"matrix_formats"`
	Precisions []string `json:"precisions"`
	Auto       string   `json:"auto"`
	Trust      string   `json:"trust"`

	memory, bandwidth string // as the file has them
}

func describe(c *chip.Chip) chipLine {
	l := chipLine{Name: c.Name, Vendor: c.Vendor, Variant: c.Variant, Year: c.Year, Family: c.Family.String(), Cores: int64(c.Cores.Value), Trust: c.Trust()}
	g := c.Global()
	l.Memory, l.Bandwidth = g.Size.Value, g.Bandwidth.Value
	l.memory, l.bandwidth = g.Size.Written, g.Bandwidth.Written
	seen := map[format.Format]bool{}
	for _, e := range c.Engines {
		for _, r := range e.Matrix {
			if !seen[r.A] {
				seen[r.A] = true
				l.Formats = append(l.Formats, r.A.String())
			}
		}
	}
	for _, p := range c.Precisions {
		l.Precisions = append(l.Precisions, p.Name)
	}
	if auto := c.AutoPrecisions(); len(auto) > 0 {
		l.Auto = auto[0].Name
	}
	return l
}

func listChips(a *app, asJSON bool) error {
	var lines []chipLine
	for _, n := range chips.List() {
		c, err := chip.Load(n)
		if err != nil {
			return err
		}
		lines = append(lines, describe(c))
	}
	if asJSON {
		j := json.NewEncoder(a.out)
		j.SetIndent("", "  ")
		return j.Encode(lines)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CHIP\tVENDOR\tFAMILY\tCORES\tMEMORY\tBANDWIDTH\tAUTO\tPRECISIONS")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", l.Name, l.Vendor, l.Family, l.Cores, l.memory, l.bandwidth, l.Auto, strings.Join(l.Precisions, " "))
	}
	return w.Flush()
}

func showChip(a *app, name string, source, asJSON bool) error {
	c, err := chip.Load(name)
	if err != nil {
		return err
	}
	if source {
		b, err := chip.Format(c.File)
		if err != nil {
			return err
		}
		_, err = a.out.Write(b)
		return err
	}
	if asJSON {
		return chipJSON(a.out, c)
	}
	fmt.Fprintf(a.out, "%s: %s, %s, %d\n%s\n", c.Name, c.Vendor, c.Family, c.Year, wrap(c.Doc, 100))
	if c.Variant != "" {
		fmt.Fprintln(a.out, wrap("variant: "+c.Variant, 100))
	}
	fmt.Fprintf(a.out, "%s\n\n", wrap("trust: "+c.Trust(), 100))
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, f := range c.Facts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Name, f.Written, f.Confidence, f.Source)
	}
	return w.Flush()
}

func chipJSON(w io.Writer, c *chip.Chip) error {
	type fact struct {
		Name       string  `json:"name"`
		Value      float64 `json:"value"`
		Unit       string  `json:"unit"`
		Confidence string  `json:"confidence"`
		Source     string  `json:"source"`
	}
	facts := []fact{}
	for _, f := range c.Facts {
		facts = append(facts, fact{f.Name, f.Value, f.Unit, f.Confidence.String(), f.Source})
	}
	j := json.NewEncoder(w)
	j.SetIndent("", "  ")
	j.SetEscapeHTML(false)
	return j.Encode(struct {
		chipLine
		Doc   string   `json:"doc"`
		Hash  string   `json:"hash"`
		Lacks []string `json:"lacks"`
		Facts []fact   `json:"facts"`
	}{describe(c), c.Doc, c.Hash(), append([]string{}, c.Lacks...), facts})
}
