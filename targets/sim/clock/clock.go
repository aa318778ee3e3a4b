package clock

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/trace"
)

// Options say how a plan is timed. The zero value is what users want.
type Options struct {
	// Exact walks every loop to its end. The result is the same to the tick; it takes longer.
	Exact bool
	// Trace, if not nil, is given a span for every launch, and for the launches of TraceSteps (indices into Plan.Steps) one for
	// every instruction, rounds that repeat written once.
	Trace      *trace.Trace
	TraceSteps []int
	// Steps is how many steps the simulation may take before it refuses the plan; 0 means 100 million, some seconds. A
	// decode step of a model with 671B parameters takes some 100,000.
	Steps int64
	// Ran is how often each step of the plan ran when it was run, as exec's Machine.Ran gives it: then ifs and loops go as they went.
	Ran []int64
	// Done, if not nil, gives up the run when it is closed, as a context's; the error is then context.Canceled.
	Done <-chan struct{}
}

// Result is how long a plan takes, and why.
type Result struct {
	// Seconds is the time of one run, the sum of the launches'.
	Seconds float64 `json:"seconds"`
	// Total is the same in ticks, divided by reason: what lies on the critical path.
	Total Split `json:"-"`
	// BoundBy is Total as fractions, by the reasons' words; they sum up to 1.
	BoundBy map[string]float64 `json:"bound_by"`

	// MemoryBytes went between global memory and cores or cache, CacheBytes between cache and cores, PathBytes along all
	// paths.
	MemoryBytes float64 `json:"memory_bytes"`
	CacheBytes  float64 `json:"cache_bytes"`
	PathBytes   float64 `json:"path_bytes"`
	// Flops are those of products without padding, Padded with it; a multiply-add counts two. VectorElements are those
	// that vector engines went through.
	Flops          float64 `json:"flops"`
	Padded         float64 `json:"padded_flops"`
	VectorElements float64 `json:"vector_elements"`
	Instructions   int64   `json:"instructions"`

	// Queues is for how long each queue of the busiest core was held, in the plan's order.
	Queues []QueueUse `json:"queues"`
	// Steps are the launches and decisions in order, those of rounds that repeat once; Launches what is equal among them.
	Steps    []Step    `json:"steps"`
	Launches []*Timing `json:"-"`

	// OverCapacity is by how many bytes the plan exceeds the chip's memory; Usage has the breakdown.
	OverCapacity int64      `json:"over_capacity_bytes"`
	Usage        plan.Usage `json:"-"`
	// Assumed are the chip's numbers that went into the result and that nobody published, Data what is assumed of values that
	// only data can tell, Notes the plan's own notes.
	Assumed []Assumption `json:"assumed"`
	Data    []string     `json:"data_assumptions,omitempty"`
	Notes   []string     `json:"notes,omitempty"`

	hz float64
}

// Assumption is a number of the chip that nobody published.
type Assumption struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// QueueUse is how long a queue was held.
type QueueUse struct {
	Name string  `json:"name"`
	Busy float64 `json:"busy_seconds"`
}

// Step is one launch, or a look at what an if or a loop goes by.
type Step struct {
	Name    string  `json:"name"`
	Step    int     `json:"-"` // index into Plan.Steps
	Launch  int     `json:"-"` // index into Result.Launches; plan.None for a look
	Count   int64   `json:"count"`
	Start   float64 `json:"start_seconds"` // of the first
	Seconds float64 `json:"seconds"`       // of each
	BoundBy Reason  `json:"bound_by"`

	// Ticks is each one's time, that of a look entirely for Launch.
	Ticks Ticks `json:"-"`
	start Ticks
}

// Timing is a launch of a kernel with a grid, and how long it takes: the same for all steps that share it.
type Timing struct {
	Kernel int
	Grid   int64
	Cores  int64 // that have anything to do
	Core   int64 // the one that was simulated, with most to do
	Steps  int   // that share it
	// Ticks is from the end of the launch before to the end of this one; Split divides it.
	Ticks Ticks
	Split Split
	// The work of all cores.
	MemoryBytes, CacheBytes, PathBytes float64
	Flops, Padded, VectorElements      float64
	Instructions                       int64
	// Of the simulated core: how long queues were held, and for each instruction of the kernel how often it ran, how long it held
	// its queue, and how long a wait held it.
	Queues []Ticks
	Instrs []InstrUse
	// Simulated is how many steps the simulation took; the rest of the instructions were known from these.
	Simulated int64
	data      []string
	spans     []relSpan
}

// InstrUse is what one instruction did on the simulated core.
type InstrUse struct {
	Count      int64
	Busy, Held Ticks
}

// Seconds turns ticks of the chip's clock into seconds.
func (r *Result) Second(t Ticks) float64 { return t.Cycles() / r.hz }

// Run times a plan on the chip that it was made for. The error is a diagnostic that names the instruction: a rate that the chip
// lacks, a wait that never ends, a plan for another chip; or what [plan.Validate] says.
func Run(p *plan.Plan, c *chip.Chip, o Options) (*Result, error) {
	if err := plan.Validate(p); err != nil {
		return nil, err
	}
	m, err := newMachine(p, c)
	if err != nil {
		return nil, err
	}
	m.done = o.Done
	if o.Steps > 0 {
		m.budget = o.Steps
	}
	r := &runner{m: m, o: o, works: map[workKey]*work{}, classes: map[string]int{}, traced: map[int]bool{}}
	if m.cache != nil {
		r.cache.size = int64(m.cache.Size.Value)
	}
	for _, s := range o.TraceSteps {
		r.traced[s] = true
	}
	res := &Result{hz: m.hz, BoundBy: map[string]float64{}, Usage: plan.Measure(p), Notes: p.Notes}
	w := &walker{runner: r, entries: make([]Step, 0, len(p.Steps))}
	w.to, _ = plan.Nest(p.Steps)
	if err := w.walk(0, len(p.Steps)); err != nil {
		return nil, err
	}
	res.Steps = w.entries
	for i := range res.Steps {
		s := &res.Steps[i]
		s.Start, s.Seconds = res.Second(s.start), res.Second(s.Ticks)
		if s.Launch == plan.None {
			res.Total[Launch] += m.launch * Ticks(s.Count)
		} else {
			r.timings[s.Launch].Steps += int(s.Count)
		}
		if o.Trace != nil {
			r.trace(res, s)
		}
	}
	for _, n := range w.notes {
		if !slices.Contains(res.Data, n) {
			res.Data = append(res.Data, n)
		}
	}
	r.finish(res)
	return res, nil
}

// runner times the steps of one plan.
type runner struct {
	m       *machine
	o       Options
	works   map[workKey]*work
	classes map[string]int
	timings []*Timing
	cache   lru
	key     []byte
	traced  map[int]bool
	// laid is the kernel of the launch before, from 1: what a spatial array is laid out for.
	laid int
}

type workKey struct {
	kernel int
	grid   int64
}

// step gives the number of the timing of a step, which is simulated if it is the first of its kind.
func (r *runner) step(s *plan.Step) (int, error) {
	wk := workKey{s.Kernel, s.Grid}
	w := r.works[wk]
	if w == nil {
		var err error
		if w, err = newWork(r.m, &r.m.p.Kernels[s.Kernel], s.Grid); err != nil {
			return 0, err
		}
		r.works[wk] = w
	}
	resident := r.cache.before(s, w)
	r.cache.after(s, w)
	key := binary.AppendVarint(r.key[:0], int64(s.Kernel))
	key = binary.AppendVarint(key, s.Grid)
	for _, n := range resident {
		key = binary.AppendVarint(key, n)
	}
	anew := r.m.configure > 0 && r.laid != s.Kernel+1
	if r.laid = s.Kernel + 1; anew {
		key = append(key, 1)
	}
	r.key = key
	if n, ok := r.classes[string(key)]; ok {
		return n, nil
	}
	t, err := r.time(w, s.Kernel, resident, anew)
	if err != nil {
		return 0, err
	}
	n := len(r.timings)
	r.timings = append(r.timings, t)
	r.classes[string(key)] = n
	return n, nil
}

// time simulates a launch; anew: before it the chip is laid out for the kernel.
func (r *runner) time(w *work, kernel int, resident []int64, anew bool) (*Timing, error) {
	if err := r.m.spend(w.k, 16*int64(len(w.k.Code))); err != nil { // what is kept for each timing
		return nil, err
	}
	tr := w.divide(r.m, resident)
	c := newCore(r.m, w, tr)
	c.exact = r.o.Exact
	t := &Timing{
		Kernel: kernel, Grid: w.grid, Cores: w.cores, Core: w.core,
		MemoryBytes: tr.memory, CacheBytes: tr.cache, PathBytes: float64(w.bytes),
		Flops: w.matrix, Padded: w.padded, VectorElements: w.vector, Instructions: w.instrs,
	}
	if len(r.traced) > 0 {
		c.hook = func(e event) { t.record(r.m, w.k, e) }
	}
	end, err := c.run()
	if err != nil {
		return nil, err
	}
	t.Split = end.by
	launch := r.m.launch
	if anew {
		launch += r.m.configure
	}
	t.Split[Launch] += launch
	t.Ticks = end.t + launch
	t.Queues = c.queueBusy
	t.Simulated = c.events
	t.Instrs = make([]InstrUse, len(c.count))
	for i := range t.Instrs {
		t.Instrs[i] = InstrUse{c.count[i], Ticks(c.busy[i]), Ticks(c.held[i])}
	}
	for why := range c.loads {
		t.data = append(t.data, why)
	}
	sort.Strings(t.data)
	return t, nil
}

// finish sums up.
func (r *runner) finish(res *Result) {
	res.Launches = r.timings
	queues := make([]Ticks, len(r.m.p.Queues))
	data := map[string]bool{}
	for _, t := range r.timings {
		n := int64(t.Steps)
		f := float64(n)
		res.Total.Add(&t.Split, n)
		res.MemoryBytes += float64(t.MemoryBytes * f)
		res.CacheBytes += float64(t.CacheBytes * f)
		res.PathBytes += float64(t.PathBytes * f)
		res.Flops += float64(t.Flops * f)
		res.Padded += float64(t.Padded * f)
		res.VectorElements += float64(t.VectorElements * f)
		res.Instructions += t.Instructions * n
		for q := range queues {
			queues[q] += t.Queues[q] * Ticks(n)
		}
		for _, why := range t.data {
			data[why] = data[why] || n > 0
		}
	}
	res.Seconds = res.Second(res.Total.Sum())
	for q, t := range queues {
		res.Queues = append(res.Queues, QueueUse{r.m.p.Queues[q].Name, res.Second(t)})
	}
	for x := Reason(0); x < NumReasons; x++ {
		if f := res.Total.Fraction(x); f > 0 {
			res.BoundBy[x.String()] = f
		}
	}
	var known []string
	for why, used := range data {
		if used {
			known = append(known, why)
		}
	}
	sort.Strings(known)
	res.Data = append(known, res.Data...)
	res.OverCapacity = res.Usage.Over()
	res.Assumed = r.m.assumed()
}

// relSpan is an event of a launch, counted from when its first core begins.
type relSpan struct {
	queue int
	span  trace.Span
}

// maxRecorded is how many events of one launch are kept for a trace.
const maxRecorded = 200_000

func (t *Timing) record(m *machine, k *plan.Kernel, e event) {
	if len(t.spans) >= maxRecorded {
		return
	}
	in := &k.Code[e.i]
	sec := func(x Ticks) float64 { return x.Cycles() / m.hz }
	s := trace.Span{Start: sec(e.start), End: sec(e.end), Instr: e.i, Place: plan.PosText(m.p, in.Pos)}
	if e.times > 0 {
		s.Name, s.Times = fmt.Sprintf("… %d rounds", e.times), e.times
		t.spans = append(t.spans, relSpan{-1, s})
		return
	}
	s.Name = m.word(in)
	s.Bound, s.Bytes, s.Flops = e.bound.String(), e.c.bytes, e.c.useful
	if e.held > 0 {
		s.Wait, s.For = sec(e.held), "issue"
		if e.flag >= 0 {
			s.For = "flag " + k.Flags[e.flag].Name
		}
	}
	t.spans = append(t.spans, relSpan{in.Queue, s})
}

// trace writes the spans of a step.
func (r *runner) trace(res *Result, x *Step) {
	tr, p := r.o.Trace, r.m.p
	if tr.Name == "" {
		tr.Name = p.Model + " " + p.Entry + " on " + p.Chip
	}
	s := &p.Steps[x.Step]
	span := trace.Span{Track: tr.Track("launches"), Name: s.Name, Start: x.Start, End: x.Start + x.Seconds, Bound: x.BoundBy.String(),
		Step: x.Step, Instr: plan.None, Place: plan.PosText(p, s.Pos)}
	if x.Count > 1 {
		span.Times = x.Count
	}
	if x.Launch == plan.None {
		tr.Add(span)
		return
	}
	t := r.timings[x.Launch]
	span.Bytes, span.Flops = int64(t.MemoryBytes), t.Flops
	tr.Add(span)
	if !r.traced[x.Step] {
		return
	}
	begin := x.Start + res.Second(r.m.launch)
	for _, y := range t.spans {
		name := "repeated"
		if y.queue >= 0 {
			name = p.Queues[y.queue].Name
		}
		span := y.span
		span.Track = tr.Track(name)
		span.Start, span.End, span.Step = span.Start+begin, span.End+begin, x.Step
		tr.Add(span)
	}
}
