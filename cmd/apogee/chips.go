package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/chips"
)

func init() {
	register(&command{
		name: "chips", args: "", short: "List the chips and systems that ship with apogee",
		example: "  apogee chips\n  apogee chips --json\n  apogee chips --systems --json",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			asJSON := f.Bool("json", false, "print JSON: the chips, or with --systems the systems")
			systems := f.Bool("systems", false, "list the systems only")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) > 0 {
					return usagef("chips takes no arguments; apogee chip show %s prints one", args[0])
				}
				return listChips(a, *systems, *asJSON)
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
	Vector     []string `json:"vector_formats"`
	Power      float64  `json:"power_watts,omitempty"`
	Width      int      `json:"width,omitempty"`
	Devices    int      `json:"devices_per_card"`
	Dies       int      `json:"dies"`
	Confidence string   `json:"confidence"`
	Known      float64  `json:"known"`
	Trust      string   `json:"trust"`

	memory, bandwidth string // as the file has them
}

func describe(c *chip.Chip) chipLine {
	l := chipLine{Name: c.Name, Vendor: c.Vendor, Variant: c.Variant, Year: c.Year, Family: c.Family.String(), Cores: int64(c.Cores.Value), Trust: c.Trust()}
	g := c.Global()
	l.Memory, l.Bandwidth = g.Size.Value, g.Bandwidth.Value
	l.memory, l.bandwidth = g.Size.Written, g.Bandwidth.Written
	if strings.Contains(l.memory+l.bandwidth, " x ") { // of several dies
		l.memory, l.bandwidth = decimal(g.Size.Value, "B"), decimal(g.Bandwidth.Value, "B/s")
	}
	l.Power, l.Width, l.Devices, l.Dies = c.Power.Value, c.Width.Int(), c.Devices, 1
	if c.Dies != nil {
		l.Dies = c.Dies.Count
	}
	grade, part := c.Grade()
	l.Confidence, l.Known = grade.String(), math.Round(100*part)/100
	computes := map[format.Format]bool{}
	for _, e := range c.Engines {
		for _, r := range e.Vector {
			if r.Op == chip.Basic && !computes[r.Format] {
				computes[r.Format] = true
				l.Vector = append(l.Vector, r.Format.String())
			}
		}
	}
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

func listChips(a *app, systems, asJSON bool) error {
	var lines []chipLine
	for _, n := range chips.List() {
		c, err := chip.Load(n)
		if err != nil {
			return err
		}
		lines = append(lines, describe(c))
	}
	machines := []systemLine{}
	for _, n := range chips.Systems() {
		y, err := chip.LoadSystem(n)
		if err != nil {
			return err
		}
		machines = append(machines, describeSystem(y))
	}
	if asJSON {
		j := json.NewEncoder(a.out)
		j.SetIndent("", "  ")
		if systems {
			return j.Encode(machines)
		}
		return j.Encode(lines)
	}
	if !systems {
		if err := tableOfChips(a, lines); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SYSTEM\tVENDOR\tCHIP\tDEVICES\tA NODE\tLINK\tONE WAY\tMEMORY")
	for _, l := range machines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", l.Name, l.Vendor, l.Chip, l.Devices, l.Node, l.Links[0].Name,
			decimal(l.Links[0].Bandwidth, "B/s"), decimal(l.Memory, "B"))
	}
	return w.Flush()
}

func tableOfChips(a *app, lines []chipLine) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CHIP\tVENDOR\tFAMILY\tCORES\tMEMORY\tBANDWIDTH\tAUTO\tPRECISIONS\tCONFIDENCE")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Vendor, l.Family, l.Cores, l.memory, l.bandwidth, l.Auto,
			strings.Join(l.Precisions, " "), l.Confidence)
	}
	return w.Flush()
}

type systemLine struct {
	Name    string     `json:"name"`
	Vendor  string     `json:"vendor"`
	Doc     string     `json:"doc"`
	Year    int        `json:"year"`
	Chip    string     `json:"chip"`
	Devices int        `json:"devices"`
	Node    int        `json:"devices_per_node"`
	Memory  float64    `json:"memory_bytes"`
	Power   float64    `json:"power_watts,omitempty"`
	Links   []linkLine `json:"links"`
}

type linkLine struct {
	Name      string  `json:"name"`
	Scope     string  `json:"scope"`
	Topology  string  `json:"topology"`
	Peers     int     `json:"peers"`
	Bandwidth float64 `json:"bandwidth_bytes_per_second"`
	Latency   float64 `json:"latency_seconds"`
}

func describeSystem(y *chip.System) systemLine {
	l := systemLine{Name: y.Name, Vendor: y.Vendor, Doc: y.Doc, Year: y.Year, Chip: y.Chip.Name, Devices: y.Count.Int(), Node: y.Node.Int(),
		Memory: y.Count.Value * y.Chip.Global().Size.Value, Power: y.Power.Value, Links: []linkLine{}}
	for _, k := range y.Links {
		l.Links = append(l.Links, linkLine{k.Name, k.Scope, k.Topology, k.Peers, k.Bandwidth.Value, k.Latency.Value})
	}
	return l
}

// decimal writes a number of bytes with a decimal prefix and four digits.
func decimal(v float64, unit string) string {
	for _, p := range []struct {
		name string
		v    float64
	}{{"P", 1e15}, {"T", 1e12}, {"G", 1e9}, {"M", 1e6}} {
		if v >= p.v {
			return fmt.Sprintf("%.4g %s%s", v/p.v, p.name, unit)
		}
	}
	return fmt.Sprintf("%.4g %s", v, unit)
}

func showChip(a *app, name string, source, asJSON bool) error {
	if source {
		if text, ok := chips.Text(name); ok { // a family's too, which is no chip
			_, err := a.out.Write(text)
			return err
		}
	}
	if _, ok := chips.SystemText(name); ok || chip.IsSystemPath(name) && strings.HasSuffix(name, ".system") {
		return showSystem(a, name, source, asJSON)
	}
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
	return facts(a, c.Facts)
}

func facts(a *app, list []chip.Fact) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, f := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Name, f.Written, f.Confidence, f.Source)
	}
	return w.Flush()
}

func showSystem(a *app, name string, source, asJSON bool) error {
	y, err := chip.LoadSystem(name)
	if err != nil {
		return err
	}
	if source {
		b, err := chip.Format(y.File)
		if err != nil {
			return err
		}
		_, err = a.out.Write(b)
		return err
	}
	if asJSON {
		j := json.NewEncoder(a.out)
		j.SetIndent("", "  ")
		return j.Encode(describeSystem(y))
	}
	fmt.Fprintf(a.out, "%s: %s, %d x %s, %d\n%s\n", y.Name, y.Vendor, y.Count.Int(), y.Chip.Name, y.Year, wrap(y.Doc, 100))
	fmt.Fprintf(a.out, "%s\n\n", wrap("trust in its chip: "+y.Chip.Trust(), 100))
	return facts(a, y.Facts)
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
