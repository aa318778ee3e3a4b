package driver

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"apogee/targets/plan"
	"apogee/targets/sim/clock"
)

// BoundBy divides the time of a prefill and so many decode steps by reason, as fractions.
func (t *Timing) BoundBy(steps int) map[string]float64 {
	out := map[string]float64{}
	total := t.Prefill.Seconds + float64(max(steps, 0))*t.Decode.Seconds
	if total <= 0 {
		return out
	}
	for k, v := range t.Prefill.BoundBy {
		out[k] += v * t.Prefill.Seconds / total
	}
	for k, v := range t.Decode.BoundBy {
		out[k] += v * float64(max(steps, 0)) * t.Decode.Seconds / total
	}
	return out
}

// Notes gathers what the times lean on: assumed numbers of the chip, and what is assumed of data.
func (t *Timing) Notes() []string { return Notes(t.Prefill, t.Decode) }

// Notes gathers what times lean on.
func Notes(results ...*clock.Result) []string {
	seen := map[string]bool{}
	assumed := map[string]bool{}
	var out []string
	add := func(s string) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for _, r := range results {
		for _, n := range r.Notes {
			add(n)
		}
		for _, d := range r.Data {
			add("assumed of the data: " + d)
		}
		for _, a := range r.Assumed {
			assumed[a.Name] = true
		}
	}
	if len(assumed) > 0 {
		var names []string
		for n := range assumed {
			names = append(names, n)
		}
		sort.Strings(names)
		add(fmt.Sprintf("leans on %d numbers of the chip that nobody published; apogee chip show lists them", len(names)))
	}
	return out
}

// Timed is the timing of one entry.
type Timed struct {
	Plan   *plan.Plan
	Result *clock.Result
}

// Time times entries of a model: the one that is asked for, or all of prefill and decode that there are.
func (m *Model) Time(ctx context.Context, req Request, opt clock.Options) ([]Timed, error) {
	if m.Plan != nil {
		r, err := clock.Run(m.Plan, req.Chip, opt)
		if err != nil {
			return nil, err
		}
		return []Timed{{m.Plan, r}}, nil
	}
	entries := []string{req.Entry}
	if req.Entry == "" {
		names, err := m.Entries()
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, "prefill") && slices.Contains(names, "decode") {
			entries = []string{"prefill", "decode"}
		}
	}
	var out []Timed
	for _, e := range entries {
		r := req
		r.Entry = e
		if e == "decode" && req.Entry == "" {
			// T is the prompt's; a decode step writes one token.
			r.Bind = map[string]int64{}
			for k, v := range req.Bind {
				r.Bind[k] = v
			}
			r.Bind["T"] = 1
		}
		b, err := m.Compile(ctx, r)
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, err := clock.Run(b.Plan, req.Chip, opt)
		if err != nil {
			return nil, err
		}
		out = append(out, Timed{b.Plan, t})
	}
	return out, nil
}
