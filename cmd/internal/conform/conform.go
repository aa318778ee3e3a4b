package conform

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/passes"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
)

// Status is how a chip does an op in a format.
type Status string

// The ways of doing an op, from best to worst.
const (
	// Native: the op as it is, at rates that the chip file states.
	Native Status = "native"
	// Legalised: as other ops or in other formats that the chip has; Cell.How names them.
	Legalised Status = "legalised"
	// Emulated: by a routine of instructions on words; Cell.How says which.
	Emulated Status = "emulated"
	// Impossible: nothing will do; Cell.How says why.
	Impossible Status = "impossible"
	// Wrong: it compiles to nothing, breaks a rule, or computes something else. Cell.Error says what.
	Wrong Status = "wrong"
)

// Cell is one op in one format.
type Cell struct {
	Op     string `json:"op"`
	Format string `json:"format"`
	Status Status `json:"status"`
	// How says what the op becomes, by what routine it is done, or why it is impossible.
	How string `json:"how,omitempty"`
	// Seconds is the simulated time at the standard size: 1024×1024 elements, a product of 1024³, attention of 256 queries on 256 keys in
	// 16 heads of 64, experts of 8 × 512 × 512 on 1024 rows.
	Seconds float64 `json:"seconds,omitempty"`
	// Error is what is wrong.
	Error string `json:"error,omitempty"`
}

// Outcome is one pattern, random module or model.
type Outcome struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
}

// Result is what the suite found on a chip.
type Result struct {
	Chip     string    `json:"chip"`
	Cells    []Cell    `json:"cells"`
	Patterns []Outcome `json:"patterns"`
	Models   []Outcome `json:"models"`
	Random   []Outcome `json:"random,omitempty"` // those that failed
	// RandomTried is how many random modules there were.
	RandomTried int `json:"random_tried"`
	// Unlock lists what costs a DeepSeek decode step the most because the chip lacks it, most first.
	Unlock []Gain `json:"unlock,omitempty"`
	// UnlockNote says what was compiled for Unlock, or why there is none.
	UnlockNote string `json:"unlock_note,omitempty"`
}

// OK reports whether nothing is wrong.
func (r *Result) OK() bool { return r.Failed() == 0 }

// Failed counts what is wrong.
func (r *Result) Failed() (n int) {
	for _, c := range r.Cells {
		if c.Status == Wrong {
			n++
		}
	}
	for _, o := range slices.Concat(r.Patterns, r.Models, r.Random) {
		if o.Error != "" {
			n++
		}
	}
	return n
}

// Options say how much is checked.
type Options struct {
	// Ops and Formats, when set, are the names of those that are checked, with commas between them. Ops "none" is no op.
	Ops, Formats string
	// Random is how many random modules are tried.
	Random int
	// Quick leaves out the times, the random modules and the order of unlocking.
	Quick bool
	// Jobs is how much is done at once; 0 is one a processor.
	Jobs int
	// Cache may be shared by the checks of several chips.
	Cache *Cache
}

// Check runs the suite on a chip. The error is the context's; what is wrong with the chip is in the result.
func Check(ctx context.Context, c *chip.Chip, opt Options) (*Result, error) {
	if opt.Cache == nil {
		opt.Cache = &Cache{}
	}
	s := newSuite(c, opt.Cache)
	r := &Result{Chip: c.Name}
	var work []func()
	for _, i := range named(opt.Ops) {
		for _, f := range format.All() {
			if opt.Formats != "" && !strings.Contains(","+opt.Formats+",", ","+f.String()+",") {
				continue
			}
			b := newBuilder(false)
			recipeOf(i)(b, i, f)
			m, err := b.done()
			if err == nil && m == nil {
				continue // the op does not take the format
			}
			r.Cells = append(r.Cells, Cell{Op: i.Name, Format: f.String()})
			at := len(r.Cells) - 1
			work = append(work, func() {
				if err != nil {
					r.Cells[at].Status, r.Cells[at].Error = Wrong, err.Error()
					return
				}
				s.cell(ctx, &r.Cells[at], i, f, m, b.in, opt.Quick)
			})
		}
	}
	if opt.Ops == "" || opt.Ops == "none" {
		list := patterns
		if !opt.Quick {
			list = slices.Concat(list, large)
		}
		r.Patterns = make([]Outcome, len(list))
		for k := range list {
			work = append(work, func() {
				r.Patterns[k].Name = list[k].name
				if err := s.pattern(ctx, &list[k]); err != nil {
					r.Patterns[k].Error = err.Error()
				}
			})
		}
		r.Models = make([]Outcome, len(models))
		for k := range models {
			work = append(work, func() { r.Models[k] = s.model(ctx, &models[k]) })
		}
		if !opt.Quick {
			r.RandomTried = opt.Random
			random := make([]Outcome, opt.Random)
			for k := range random {
				work = append(work, func() { random[k] = s.random(ctx, uint64(k)) })
			}
			defer func() {
				for _, o := range random {
					if o.Error != "" {
						r.Random = append(r.Random, o)
					}
				}
			}()
			work = append(work, func() { r.Unlock, r.UnlockNote = s.unlock(ctx) })
		}
	}
	jobs := opt.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	// The longest first: what unlocks and the random modules stand last in the list.
	next := make(chan func())
	var wg sync.WaitGroup
	for range jobs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for f := range next {
				if ctx.Err() == nil {
					f()
				}
			}
		}()
	}
	for i := len(work) - 1; i >= 0; i-- {
		next <- work[i]
	}
	close(next)
	wg.Wait()
	return r, ctx.Err()
}

// cell fills one cell of the matrix.
func (s *suite) cell(ctx context.Context, c *Cell, i *op.Info, f format.Format, m *ir.Module, in map[string]input, quick bool) {
	err := s.try(ctx, m, in, 1, asWritten)
	if err != nil && ctx.Err() != nil {
		return
	}
	if errors.Is(err, errImpossible) {
		c.Status, c.How = Impossible, reason(err)
		return
	}
	if err != nil {
		c.Status, c.Error = Wrong, err.Error()
		if one := s.alone(ctx, m, in, 1); one != nil {
			c.Error = one.Error()
		}
		return
	}
	b := newBuilder(true)
	recipeOf(i)(b, i, f)
	std, err := b.done()
	if err != nil || std == nil {
		c.Status = Native
		return
	}
	before := strings.Join(ops(std.Funcs[0]), ", ")
	legal := std.Clone()
	if _, err := passes.Run(ctx, legal, "legalise,dce", passes.Options{Chip: s.c, Precision: "f32"}); err != nil {
		c.Status, c.Error = Wrong, "at the standard size: "+err.Error()
		return
	}
	after := strings.Join(ops(legal.Funcs[0]), ", ")
	c.Status = Native
	if before != after {
		c.Status, c.How = Legalised, after
	}
	p, err := s.compile(ctx, std.Clone(), asWritten)
	if err != nil {
		c.Status, c.Error = Wrong, "at the standard size: "+err.Error()
		return
	}
	if how := s.routine(p); how != "" {
		c.Status, c.How = Emulated, how
	}
	if quick {
		return
	}
	t, err := clock.Run(p, s.c, clock.Options{Done: ctx.Done()})
	if err != nil {
		c.Status, c.Error = Wrong, "timing the standard size: "+err.Error()
		return
	}
	c.Seconds = t.Seconds
}

// routine says by what routine some instruction of a plan is done; "" when all are the chip's own.
func (s *suite) routine(p *plan.Plan) string {
	for k := range p.Kernels {
		for i := range p.Kernels[k].Code {
			in := &p.Kernels[k].Code[i]
			if in.Op < plan.Vec {
				continue
			}
			if how := bind.Emulated(s.c, p.Queues[in.Queue].Name, in); how != "" {
				f := in.WorkFormat()
				if in.Op == plan.Vec && in.Fn == plan.VCast {
					return fmt.Sprintf("%s to %s: %s", in.A.Format, in.Dst.Format, how)
				}
				return fmt.Sprintf("%s: %s", f, how)
			}
		}
	}
	return ""
}

// reason is the first line of why something is impossible.
func reason(err error) string {
	text := strings.TrimPrefix(err.Error(), errImpossible.Error()+": ")
	text, _, _ = strings.Cut(text, "\n")
	if _, after, ok := strings.Cut(text, "]: "); ok {
		text = after
	}
	return text
}
