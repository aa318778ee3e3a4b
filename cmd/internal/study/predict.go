package study

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/clock"
)

// Prediction is what the simulator says of a row.
type Prediction struct {
	// Seconds is the expected time; Low and High bound what it may be, see [clock.Spread].
	Seconds float64 `json:"seconds"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	// Bound is what most of the time goes into.
	Bound string `json:"bound_by"`
	// Form is how it was found: plan, lanes or wire.
	Form string `json:"form"`
}

// timed is a case as it can be timed again and again for one chip, with other derates.
type timed struct {
	plan  *plan.Plan
	extra int // launches that the library makes beside the plan's
	lanes *clock.Lanes
	wire  *Wire
	err   error
}

// prepare compiles what a row times.
func prepare(ctx context.Context, r *Row, c *chip.Chip) timed {
	if r.Wire != nil {
		return timed{wire: r.Wire}
	}
	if k, ok := r.Case.form(); ok && c.Lanes.Stated() {
		return timed{lanes: &k}
	}
	p, err := r.Case.Compile(ctx, c)
	return timed{plan: p, extra: kinds[r.Case.Kind].extra, err: err}
}

// run times what was prepared on the chip, or on one with other derates. fast takes loops to be regular.
func (t *timed) run(ctx context.Context, c *chip.Chip) (Prediction, error) {
	switch {
	case t.err != nil:
		return Prediction{}, t.err
	case t.wire != nil:
		s, err := t.wire.seconds(c)
		p := Prediction{Seconds: s, Bound: "link", Form: "wire"}
		p.Low, p.High = clock.Spread(c, map[clock.Reason]float64{clock.Link: s})
		return p, err
	case t.lanes != nil:
		k, err := clock.RunLanes(t.lanes, c)
		if err != nil {
			return Prediction{}, err
		}
		p := Prediction{Seconds: k.Seconds, Bound: k.Main().String(), Form: "lanes"}
		p.Low, p.High = clock.Spread(c, k.By)
		return p, nil
	}
	k, err := clock.Run(t.plan, c, clock.Options{Done: ctx.Done()})
	if err != nil {
		return Prediction{}, err
	}
	by := k.By()
	more := float64(t.extra) * c.Launch.Value / c.Derate("launch", "")
	by[clock.Launch] += more
	p := Prediction{Seconds: k.Seconds + more, Bound: k.Total.Main().String(), Form: "plan"}
	p.Low, p.High = clock.Spread(c, by)
	return p, nil
}

// loose is by how much wider the range of a row is whose library does more than the kernel's form says: attention, grouped and FP8 products
// choose among kernels and start others beside, softmax has one for every width.
const loose = 1.8

func isLoose(c Case) bool {
	switch c.Class() {
	case Attention, Grouped, Softmax:
		return true
	}
	return c.Format == "f8e4m3fn"
}

// add makes of a kernel's time what the benchmark reads.
func (p Prediction) add(r *Row) Prediction {
	if r.Wire == nil && isLoose(r.Case) && p.Low > 0 {
		p.Low = p.Seconds / (1 + loose*(p.Seconds/p.Low-1))
		p.High = p.Seconds * (1 + loose*(p.High/p.Seconds-1))
	}
	p.Seconds, p.Low, p.High = r.of(p.Seconds), r.of(p.Low), r.of(p.High)
	if r.Host.Total > 0 {
		p.Low, p.High = min(p.Low, 0.85*p.Seconds), max(p.High, 1.15*p.Seconds)
	}
	return p
}

//go:embed nodes.tsv
var nodesText string

// node is how cards are joined in machines that their chips' links do not describe.
type node struct {
	joined int
	rest   float64 // B/s
}

var nodes = func() map[string]node {
	m := map[string]node{}
	for _, line := range strings.Split(nodesText, "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		n, err1 := strconv.Atoi(f[1])
		b, err2 := strconv.ParseFloat(f[2], 64)
		if err1 != nil || err2 != nil {
			panic("nodes.tsv: " + line) // embedded, and tested
		}
		m[f[0]] = node{n, b * 1e9}
	}
	return m
}()

// seconds is how long a transfer takes between cards of a chip.
func (w *Wire) seconds(c *chip.Chip) (float64, error) {
	per := w.PerNode
	if per < 1 || per > w.Cards {
		per = w.Cards
	}
	k := clock.Collective{Op: w.Op, Bytes: float64(w.Bytes), Cards: w.Cards, Nodes: (w.Cards + per - 1) / per}
	if w.Peers > 0 && per > w.Peers { // through the host
		k.Inside = clock.Wire{Bandwidth: w.Rest, Latency: 8e-6}
	} else if in, ok := clock.WireOf(c, "node", per); ok {
		k.Inside = in
	} else if per > 1 {
		return 0, fmt.Errorf("%s states no link that joins %d cards of a node", c.Name, per)
	}
	if k.Nodes > 1 {
		k.Between, _ = clock.WireOf(c, "cluster", w.Cards)
	}
	return k.Seconds(c)
}

// chips loads descriptions once.
type chipSet struct {
	mu  sync.Mutex
	all map[string]*loaded
}

type loaded struct {
	shipped, sheet *chip.Chip
	err            error
}

func (s *chipSet) get(name string) *loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]*loaded{}
	}
	l, ok := s.all[name]
	if !ok {
		l = &loaded{}
		if l.shipped, l.err = chip.Load(name); l.err == nil {
			l.sheet = Sheet(l.shipped)
		}
		s.all[name] = l
	}
	return l
}
