package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/cmd/internal/driver"
)

func init() {
	register(&command{
		name: "time", args: "MODEL|FILE.plan", short: "Time a model on a simulated chip, without weights",
		long: `
Times the plan of an entry, or, for a model with both, a prefill and a decode step. Symbols that --set leaves open are B=1, T=128 (1 for decode)
and S=4096; a decode step is timed with a full cache. A plan that exceeds the chip's memory is timed all the same and marked.`,
		example: `  apogee time examples/r1-nano --target ascend-910b
  apogee time config.json --target nvidia-h100 --set B=8,T=1024,S=8192 --steps 10
  apogee time decode.plan --target ascend-910b --json`,
		complete: "model",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			m := addModelFlags(f)
			asJSON := f.Bool("json", false, "print JSON")
			steps := f.Int("steps", 0, "show the launches that take most, so many of them")
			return func(ctx context.Context, a *app, args []string) error {
				path, err := one(args, "MODEL")
				if err != nil {
					return err
				}
				c, err := m.chip()
				if err != nil {
					return err
				}
				if c == nil {
					return usagef("the reference has no time; name a chip with --target")
				}
				model, err := driver.Open(path)
				if err != nil {
					return err
				}
				defer model.Close()
				req, err := m.request(model, c)
				if err != nil {
					return err
				}
				a.progress.Step("timing "+path, 0, 0)
				list, err := model.Time(ctx, req)
				if err != nil {
					return err
				}
				if *asJSON {
					return timesJSON(a.out, c.Name, list, *steps)
				}
				for i, t := range list {
					if i > 0 {
						fmt.Fprintln(a.out)
					}
					printTime(a.out, c.Name, t, *steps)
				}
				return nil
			}
		},
	})
}

func printTime(w io.Writer, chip string, t driver.Timed, steps int) {
	r := t.Result
	at := ""
	if t.Built != nil {
		at = " at " + t.Built.Precision.Name
		for _, s := range t.Built.Plan.Symbols {
			at += fmt.Sprintf(" %s=%d", s.Name, s.Value)
		}
	}
	fmt.Fprintf(w, "%s on %s%s: %s\n", t.Entry, chip, at, seconds(r.Seconds))
	fmt.Fprintf(w, "bound by: %s\n", shares(r.BoundBy))
	fmt.Fprintf(w, "memory traffic %s, %.4g flop in products (%.4g with padding), %d launches\n", size(int64(r.MemoryBytes)), r.Flops, r.Padded, len(r.Steps))
	fmt.Fprintf(w, "memory: %s\n", r.Usage)
	if r.OverCapacity > 0 {
		fmt.Fprintf(w, "OVER CAPACITY by %s: no such card can run this; the time is what its engines would need\n", size(r.OverCapacity))
	}
	for _, n := range driver.Notes(r) {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if steps > 0 {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, s := range slowest(t, steps) {
			fmt.Fprintf(tw, "  %s\t%s\t%.1f %%\t%s\n", seconds(s.Seconds), s.Name, 100*s.Seconds/r.Seconds, s.BoundBy)
		}
		tw.Flush()
	}
}

type launch struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	BoundBy string  `json:"bound_by"`
}

func slowest(t driver.Timed, n int) []launch {
	var out []launch
	for _, s := range t.Result.Steps {
		out = append(out, launch{s.Name, s.Seconds, s.BoundBy.String()})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Seconds > out[j].Seconds })
	return out[:min(n, len(out))]
}

func timesJSON(w io.Writer, chip string, list []driver.Timed, steps int) error {
	type entry struct {
		Entry        string             `json:"entry"`
		Target       string             `json:"target"`
		Precision    string             `json:"precision,omitempty"`
		Symbols      map[string]int64   `json:"symbols,omitempty"`
		Seconds      float64            `json:"seconds"`
		BoundBy      map[string]float64 `json:"bound_by"`
		MemoryBytes  float64            `json:"memory_traffic_bytes"`
		Flops        float64            `json:"flops"`
		Launches     int                `json:"launches"`
		Weights      int64              `json:"weight_bytes"`
		State        int64              `json:"state_bytes"`
		Activations  int64              `json:"activation_bytes"`
		Total        int64              `json:"total_bytes"`
		Capacity     int64              `json:"capacity_bytes"`
		OverCapacity int64              `json:"over_capacity_bytes"`
		Notes        []string           `json:"notes,omitempty"`
		Slowest      []launch           `json:"slowest,omitempty"`
	}
	var out []entry
	for _, t := range list {
		r := t.Result
		e := entry{Entry: t.Entry, Target: chip, Seconds: r.Seconds, BoundBy: r.BoundBy, MemoryBytes: r.MemoryBytes, Flops: r.Flops, Launches: len(r.Steps),
			Weights: r.Usage.Weights, State: r.Usage.State, Activations: r.Usage.Activation, Total: r.Usage.Total, Capacity: r.Usage.Size, OverCapacity: r.OverCapacity,
			Notes: driver.Notes(r), Slowest: slowest(t, steps)}
		if t.Built != nil {
			e.Precision = t.Built.Precision.Name
			e.Symbols = map[string]int64{}
			for _, s := range t.Built.Plan.Symbols {
				e.Symbols[s.Name] = s.Value
			}
		}
		out = append(out, e)
	}
	j := json.NewEncoder(w)
	j.SetIndent("", "  ")
	j.SetEscapeHTML(false)
	return j.Encode(out)
}
