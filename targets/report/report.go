package report

import (
	"encoding/json"
	"io"
	"sort"
	"strconv"
	"strings"

	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
)

// Report is a timed run made ready to be shown. Fields have their unit in their JSON name.
type Report struct {
	Model     string  `json:"model"`
	Entry     string  `json:"entry"`
	Chip      string  `json:"chip"`
	Precision string  `json:"precision"`
	Seconds   float64 `json:"seconds"`
	Launches  int     `json:"launches"`
	// BoundBy divides the time along the critical path, greatest part first; the fractions sum up to 1.
	BoundBy Shares `json:"bound_by"`
	// Matrix and Memory compare with the chip's peaks, derates not counted.
	Matrix Use `json:"matrix"`
	Memory Use `json:"memory"`
	// Padding is how many of the flops that matrix engines did are padding of tiles, 0 to 1.
	Padding float64 `json:"padding"`
	// Queues is for how much of the time each queue of the busiest core was held.
	Queues []QueueShare `json:"queues"`
	// Kernels and Places group the launches, the longest first: by kernel, and by name with numbers made *, such as
	// layers.*.attn.
	Kernels []Group `json:"kernels"`
	Places  []Group `json:"places"`
	// OverCapacity is by how many bytes the plan exceeds the chip's memory, and Usage says what takes it.
	OverCapacity int64              `json:"over_capacity_bytes"`
	Usage        plan.Usage         `json:"memory_usage"`
	Assumed      []clock.Assumption `json:"assumed"`
	Data         []string           `json:"data_assumptions,omitempty"`
	Notes        []string           `json:"notes,omitempty"`
}

// Share is a reason's part of the time.
type Share struct {
	Reason   clock.Reason `json:"reason"`
	Fraction float64      `json:"fraction"`
	Seconds  float64      `json:"seconds"`
}

// Shares are the parts of a time, greatest first; in JSON an object of fractions by reason.
type Shares []Share

// MarshalJSON writes {"memory": 0.61, …}, in the list's order.
func (s Shares) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, x := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, x.Reason.String())
		b = append(b, ':')
		b = strconv.AppendFloat(b, x.Fraction, 'g', -1, 64)
	}
	return append(b, '}'), nil
}

// Use compares what was reached with what the chip could do: per second, over the whole run.
type Use struct {
	Reached  float64 `json:"reached_per_second"`
	Peak     float64 `json:"peak_per_second"`
	Fraction float64 `json:"fraction"`
}

// QueueShare is how much of the time a queue was held.
type QueueShare struct {
	Name     string  `json:"name"`
	Fraction float64 `json:"fraction"`
}

// Group is some launches together.
type Group struct {
	Name     string  `json:"name"`
	Launches int     `json:"launches"`
	Seconds  float64 `json:"seconds"`
	Fraction float64 `json:"fraction"`
	// BoundBy is the greatest part of its time, and how much that is.
	BoundBy  clock.Reason `json:"bound_by"`
	Bound    float64      `json:"bound_fraction"`
	Flops    float64      `json:"flops"`
	Bytes    float64      `json:"memory_bytes"`
	split    clock.Split
	atPeak   float64 // s that its products would take at the peak of their formats
	peakRate float64
}

// Intensity is how many flops there are a byte of global memory; 0 without bytes.
func (g *Group) Intensity() float64 {
	if g.Bytes > 0 {
		return g.Flops / g.Bytes
	}
	return 0
}

// New makes a report of a plan's timing on its chip.
func New(p *plan.Plan, c *chip.Chip, r *clock.Result) *Report {
	out := &Report{
		Model: p.Model, Entry: p.Entry, Chip: p.Chip, Precision: p.Precision, Seconds: r.Seconds,
		OverCapacity: r.OverCapacity, Usage: r.Usage, Assumed: r.Assumed, Data: r.Data, Notes: r.Notes,
	}
	for i := range r.Steps {
		if r.Steps[i].Launch != plan.None {
			out.Launches += int(r.Steps[i].Count)
		}
	}
	for x := clock.Reason(0); x < clock.NumReasons; x++ {
		if f := r.Total.Fraction(x); f > 0 {
			out.BoundBy = append(out.BoundBy, Share{x, f, r.Second(r.Total[x])})
		}
	}
	sort.SliceStable(out.BoundBy, func(i, j int) bool { return out.BoundBy[i].Fraction > out.BoundBy[j].Fraction })
	for _, q := range r.Queues {
		s := QueueShare{Name: q.Name}
		if r.Seconds > 0 {
			s.Fraction = q.Busy / r.Seconds
		}
		out.Queues = append(out.Queues, s)
	}
	if r.Padded > 0 {
		out.Padding = 1 - r.Flops/r.Padded
	}
	rates := make([]float64, len(p.Kernels))
	for i := range p.Kernels {
		rates[i] = matrixPeak(p, &p.Kernels[i], c)
	}
	out.Kernels = group(p, r, rates, func(s *plan.Step) string { return p.Kernels[s.Kernel].Name })
	out.Places = group(p, r, rates, func(s *plan.Step) string { return starred(s.Name) })
	out.Memory.Peak = 0
	if g := c.Global(); g != nil {
		out.Memory.Peak = g.Bandwidth.Value
	}
	atPeak := 0.0
	for i := range out.Kernels {
		atPeak += out.Kernels[i].atPeak
		out.Matrix.Peak = max(out.Matrix.Peak, out.Kernels[i].peakRate)
	}
	if r.Seconds > 0 {
		out.Matrix.Reached, out.Matrix.Fraction = r.Flops/r.Seconds, atPeak/r.Seconds
		out.Memory.Reached = r.MemoryBytes / r.Seconds
	}
	if out.Memory.Peak > 0 {
		out.Memory.Fraction = out.Memory.Reached / out.Memory.Peak
	}
	return out
}

// matrixPeak is the flop/s of the whole card in the formats of a kernel's first product; 0 if it has none.
func matrixPeak(p *plan.Plan, k *plan.Kernel, c *chip.Chip) float64 {
	for i := range k.Code {
		if in := &k.Code[i]; in.Op == plan.Mma {
			if _, r, ok := c.MatrixAcc(in.A.Format, in.B.Format, in.Dst.Format); ok {
				return r.FlopsPerCycle.Value * c.Cores.Value * c.Clock.Value
			}
		}
	}
	return 0
}

func group(p *plan.Plan, r *clock.Result, rates []float64, name func(*plan.Step) string) []Group {
	index := map[string]int{}
	var out []Group
	for i := range r.Steps {
		x := &r.Steps[i]
		s := &p.Steps[x.Step]
		t := &clock.Timing{}
		t.Split[clock.Launch] = x.Ticks
		n := s.Op.String()
		if x.Launch != plan.None {
			t, n = r.Launches[x.Launch], name(s)
		}
		g, ok := index[n]
		if !ok {
			g = len(out)
			index[n] = g
			out = append(out, Group{Name: n})
		}
		y, times := &out[g], float64(x.Count)
		y.Launches += int(x.Count)
		y.split.Add(&t.Split, x.Count)
		y.Flops += float64(t.Flops * times)
		y.Bytes += float64(t.MemoryBytes * times)
		if rate := rates[s.Kernel]; rate > 0 && x.Launch != plan.None {
			y.atPeak += float64(t.Flops / rate * times)
			y.peakRate = max(y.peakRate, rate)
		}
	}
	for i := range out {
		g := &out[i]
		g.Seconds = r.Second(g.split.Sum())
		if r.Seconds > 0 {
			g.Fraction = g.Seconds / r.Seconds
		}
		g.BoundBy = g.split.Main()
		g.Bound = g.split.Fraction(g.BoundBy)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Seconds > out[j].Seconds })
	return out
}

// starred makes the numbered parts of a name with dots *.
func starred(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, ".")
}

// WriteJSON writes the report as one JSON object. The error is the writer's.
func WriteJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
