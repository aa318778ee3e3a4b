package conform

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"apogee/cmd/internal/driver"
	"apogee/ir/format"
	"apogee/targets/chip"
	"apogee/targets/sim/clock"
)

// Gain is what a decode step of DeepSeek would gain if the chip had something that it lacks.
type Gain struct {
	// What the chip lacks, and Assumed how fast it is taken to be.
	What    string `json:"what"`
	Assumed string `json:"assumed"`
	// Before and After are the seconds of the step without and with it.
	Before float64 `json:"before"`
	After  float64 `json:"after"`
}

// Speedup is how many times as many tokens a second there would be.
func (g *Gain) Speedup() float64 { return g.Before / g.After }

// deepseek is the configuration of DeepSeek-V3 and R1, as published with their weights (deepseek-ai/DeepSeek-V3, config.json): the fields
// that the computation depends on.
//
//go:embed deepseek.json
var deepseek []byte

// The step that is timed: eight sequences that have 4096 tokens.
const deepseekStep = "DeepSeek-V3 decode, 8 sequences at 4096 tokens, one card without regard to capacity, at auto"

// unlock finds, for everything that the chip lacks and others have, how much sooner a decode step would be done with it: a copy of the chip is
// given it, the model compiled anew (at what auto then takes) and timed.
func (s *suite) unlock(ctx context.Context) (gains []Gain, note string) {
	dir, err := os.MkdirTemp("", "apogee")
	if err != nil {
		return nil, err.Error()
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, deepseek, 0o600); err != nil {
		return nil, err.Error()
	}
	before, precision, err := deepseekTime(ctx, file, s.c)
	if err != nil {
		return nil, err.Error()
	}
	note = fmt.Sprintf("%s: %s, %.4g ms a step", deepseekStep, precision, before*1e3)
	for _, l := range lacking(s.c) {
		if ctx.Err() != nil {
			return nil, note
		}
		after, _, err := deepseekTime(ctx, file, l.chip)
		if err == nil && after < before*0.9995 {
			gains = append(gains, Gain{What: l.what, Assumed: l.assumed, Before: before, After: after})
		}
	}
	sort.SliceStable(gains, func(i, j int) bool { return gains[i].After < gains[j].After })
	return gains, note
}

func deepseekTime(ctx context.Context, config string, c *chip.Chip) (seconds float64, precision string, err error) {
	m, err := driver.Open(config)
	if err != nil {
		return 0, "", err
	}
	defer m.Close()
	t, err := m.Time(ctx, driver.Request{Entry: "decode", Chip: c, Bind: map[string]int64{"B": 8, "T": 1, "S": 4096}}, clock.Options{Done: ctx.Done()})
	if err != nil {
		return 0, "", err
	}
	return t[0].Result.Seconds, t[0].Plan.Precision, nil
}

// lack is something that a chip has not, with a copy of the chip that has it.
type lack struct {
	what, assumed string
	chip          *chip.Chip
}

// lacking lists what other chips have and this one does not. Rates follow from those it has: half the bits, twice the rate.
func lacking(c *chip.Chip) (out []lack) {
	add := func(what, assumed string, change func(*chip.Chip) bool) {
		if d := copyOf(c); change(d) {
			out = append(out, lack{what, assumed, d})
		}
	}
	base := format.Invalid // the fastest products of 16 bits
	for _, f := range []format.Format{format.BF16, format.F16, format.F32} {
		if c.Peak(f) > c.Peak(base) {
			base = f
		}
	}
	for _, f := range []format.Format{format.F8E4M3FN, format.BF16, format.F16} {
		if _, _, ok := c.Matrix(f, f); ok || base == format.Invalid {
			continue
		}
		times := float64(base.Bits()) / float64(f.Bits())
		add("matrix products in "+f.String(), fmt.Sprintf("%.3g × the rate of %s, conversions at the rate of vectors", times, base), func(d *chip.Chip) bool {
			e, r, ok := d.Matrix(base, base)
			if !ok {
				return false
			}
			n := *r
			n.A, n.B, n.Acc, n.AccBits, n.AccGroup, n.Promote = f, f, format.F32, 0, 0, 0
			n.FlopsPerCycle.Value *= times
			n.K = int(math.Ceil(float64(n.K) * times))
			e.Matrix = append(e.Matrix, n)
			addCasts(d, f)
			name := map[format.Format]string{format.F8E4M3FN: "fp8", format.BF16: "bf16", format.F16: "f16"}[f]
			d.Precisions = append([]chip.Precision{}, d.Precisions...)
			for i := range d.Precisions {
				d.Precisions[i].Auto += min(d.Precisions[i].Auto, 1)
			}
			for i := range d.Precisions { // what was a stand-in until now
				if d.Precisions[i].Name == name {
					d.Precisions = append(d.Precisions[:i], d.Precisions[i+1:]...)
					break
				}
			}
			d.Precisions = append(d.Precisions, chip.Precision{Name: name, Weight: f, Activation: f, A: f, B: f, Acc: format.F32, Auto: 1})
			return true
		})
	}
	for _, f := range []format.Format{format.BF16, format.F16, format.I8, format.I64} {
		if c.CanVector(f) {
			continue
		}
		from := format.F32
		if f.IsInt() {
			from = format.I32
		}
		times := min(32/float64(f.Bits()), 2)
		add("vector arithmetic in "+f.String(), fmt.Sprintf("%.3g × the rates of %s", times, from), func(d *chip.Chip) bool {
			done := false
			for _, e := range d.EnginesOf(chip.Vector) {
				for _, op := range chip.OpClasses {
					if r := e.Rate(from, op); r != nil {
						n := *r
						n.Format = f
						n.ElementsPerCycle.Value *= times
						e.Vector = append(e.Vector, n)
						done = true
					}
				}
			}
			addCasts(d, f)
			return done
		})
	}
	add("conversions between all float formats", "one step at the rate of vectors", func(d *chip.Chip) bool {
		n := 0
		for _, e := range d.EnginesOf(chip.Vector) {
			n -= len(e.Casts)
		}
		for _, f := range []format.Format{format.F32, format.F16, format.BF16, format.F8E4M3FN, format.I32} {
			addCasts(d, f)
		}
		for _, e := range d.EnginesOf(chip.Vector) {
			n += len(e.Casts)
		}
		return n > 0
	})
	add("rows gathered by a list in one transfer", "on the paths from global memory", func(d *chip.Chip) bool {
		changed := false
		for _, p := range d.Paths {
			if p.From == d.Global().Name && !p.Indirect {
				p.Indirect, changed = true, true
			}
		}
		return changed
	})
	add("conversion of results on their way out of the matrix engine", "at the path's rate", func(d *chip.Chip) bool {
		changed := false
		for _, p := range d.Paths {
			m := d.Memory(p.From)
			if m == nil || !m.Is(chip.RoleAccumulator) || m.Is(chip.RoleVector) {
				continue
			}
			for _, to := range []format.Format{format.BF16, format.F16, format.F8E4M3FN} {
				if !p.CanCast(format.F32, to) {
					p.Casts = append(p.Casts, chip.FormatPair{From: format.F32, To: to})
					changed = true
				}
			}
		}
		return changed
	})
	return out
}

// addCasts lets the vector engines convert between a format and the usual ones.
func addCasts(c *chip.Chip, f format.Format) {
	for _, e := range c.EnginesOf(chip.Vector) {
		for _, g := range []format.Format{format.F32, format.F16, format.BF16, format.I32} {
			if f == g || e.Rate(format.F32, chip.Basic) == nil {
				continue
			}
			if !e.CanCast(f, g) {
				e.Casts = append(e.Casts, chip.FormatPair{From: f, To: g})
			}
			if !e.CanCast(g, f) {
				e.Casts = append(e.Casts, chip.FormatPair{From: g, To: f})
			}
		}
	}
}

// copyOf copies a chip as deep as lacking changes it.
func copyOf(c *chip.Chip) *chip.Chip {
	d := *c
	d.Engines, d.Paths = nil, nil
	for _, e := range c.Engines {
		x := *e
		x.Matrix, x.Vector, x.Casts = append([]chip.MatrixRate{}, e.Matrix...), append([]chip.VectorRate{}, e.Vector...), append([]chip.FormatPair{}, e.Casts...)
		d.Engines = append(d.Engines, &x)
	}
	for _, p := range c.Paths {
		x := *p
		x.Casts = append([]chip.FormatPair{}, p.Casts...)
		d.Paths = append(d.Paths, &x)
	}
	return &d
}

// Order writes the gains, most first.
func (r *Result) Order() string {
	if r.UnlockNote == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintln(&b, r.UnlockNote)
	for i, g := range r.Unlock {
		fmt.Fprintf(&b, "%2d. %-62s %5.2f × the tokens (%s)\n", i+1, g.What, g.Speedup(), g.Assumed)
	}
	if len(r.Unlock) == 0 {
		fmt.Fprintln(&b, "nothing that other chips have would make it faster")
	}
	return b.String()
}
