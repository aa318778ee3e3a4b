package clock

import (
	"context"
	"fmt"
	"math"
	"sort"

	"apogee/ir/diag"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

var (
	codeChip = diag.Register("CLOCK001", "The plan is for another chip, or for another description of it: compile the model again. Plans are binary, so no text shows it.", "")
	codeRate = diag.Register("CLOCK002", "The chip's description has no rate for what an instruction does: add it to the chip file. It takes a plan and a chip, so no text shows it.", "")
	codeHang = diag.Register("CLOCK003", "The plan waits for a signal that never comes. It takes a plan and a chip, so no text shows it.", "")
	codeLong = diag.Register("CLOCK004", "The plan takes too long to simulate or to run: its loops do not become regular. It takes a plan and a chip, so no text shows it.", "")
)

// machine is the chip as the clock needs it, its numbers turned into ticks.
type machine struct {
	p     *plan.Plan
	c     *chip.Chip
	hz    float64
	cores int64

	launch, sync, issue Ticks
	configure           Ticks // what a launch takes longer when its kernel is another than the one before's
	width               int64 // lanes that execute together
	queues              []queueInfo
	mems                []*chip.Memory // by the plan's number

	// Of global memory and the cache in front of it, which may be missing.
	memory, cache         *chip.Memory
	memBytes, cacheBytes  float64 // B/s with derate; 0: not the limit
	memLatency, cacheLate Ticks
	align                 int64

	used  map[string]chip.Quantity // assumed numbers that went into a time, by name
	words map[*plan.Instr]string   // for traces

	done   <-chan struct{}
	budget int64 // steps left, of simulation and of counting
}

// maxSteps is how many steps all launches of a run may take together unless told otherwise, so that no plan takes minutes.
const maxSteps = 100_000_000

// spend takes steps off the budget, and looks whether the run was given up.
func (m *machine) spend(k *plan.Kernel, n int64) error {
	if m.budget -= n; m.budget < 0 {
		return m.errLong(k, "the plan's loops, blocks and launches differ too much from one another to be timed")
	}
	select {
	case <-m.done:
		return context.Canceled
	default:
		return nil
	}
}

type queueInfo struct {
	name    string
	scalar  bool
	engines []*chip.Engine
}

func newMachine(p *plan.Plan, c *chip.Chip) (*machine, error) {
	m := &machine{p: p, c: c, hz: c.Clock.Value, cores: int64(c.Cores.Value), used: map[string]chip.Quantity{}, budget: maxSteps}
	bad := func(format string, args ...any) error {
		return diag.Errorf(codeChip, diag.Range{}, format, args...).At("plan for "+p.Chip).
			Helpf("compile the model again for %s", c.Name)
	}
	if p.Chip != c.Name {
		return nil, bad("the plan is for %s and cannot be timed on %s", p.Chip, c.Name)
	}
	if m.hz <= 0 || m.cores < 1 || m.cores > 1<<20 {
		return nil, bad("the description of %s has no clock or no cores", c.Name)
	}
	m.use("clock", c.Clock)
	m.use("cores", c.Cores)
	m.launch = m.seconds(m.use("launch", c.Launch) / m.derate("launch", ""))
	if c.Configure.Stated() {
		m.configure = m.seconds(m.use("configure", c.Configure))
	}
	m.width = 1
	if c.Width.Stated() {
		m.width = max(1, int64(m.use("width", c.Width)))
	}
	m.sync = ticks(m.use("sync latency", c.SyncLatency))
	m.issue = PerCycle
	for i, pm := range p.Memories {
		cm := c.Memory(pm.Name)
		if cm == nil {
			return nil, bad("the plan uses a memory %s that %s does not have", pm.Name, c.Name)
		}
		if i == 0 && !cm.Is(chip.RoleGlobal) {
			return nil, bad("the plan's global memory %s is not that of %s", pm.Name, c.Name)
		}
		m.mems = append(m.mems, cm)
	}
	for _, q := range p.Queues {
		info := queueInfo{name: q.Name, scalar: q.Kind == plan.Scalar}
		for _, e := range c.Engines {
			if e.Queue == q.Name {
				info.engines = append(info.engines, e)
			}
			if e.Queue == q.Name && e.Kind == chip.Scalar && e.Startup.Stated() {
				m.issue = max(1, ticks(m.use("engine "+e.Name+": startup", e.Startup)))
			}
		}
		if len(info.engines) == 0 {
			return nil, bad("the plan uses a queue %s that %s does not have", q.Name, c.Name)
		}
		m.queues = append(m.queues, info)
	}
	if len(m.mems) == 0 {
		return m, nil
	}
	m.memory = m.mems[0]
	m.align = max(1, int64(m.memory.Align))
	bandwidth := func(mem *chip.Memory) float64 {
		if !mem.Bandwidth.Stated() {
			return 0
		}
		return m.use("memory "+mem.Name+": bandwidth", mem.Bandwidth) * m.derate("memory", mem.Name)
	}
	m.memBytes = bandwidth(m.memory)
	if m.memory.Latency.Stated() {
		m.memLatency = m.seconds(m.use("memory "+m.memory.Name+": latency", m.memory.Latency) / m.derate("latency", m.memory.Name))
	}
	if d := c.Dies; d != nil {
		// What is not local crosses from die to die: each takes in what the link gives, and waits for its latency.
		if far := 1 - m.use("dies: local", d.Local); far > 0 && d.Bandwidth.Value > 0 {
			if cross := m.use("dies: bandwidth", d.Bandwidth) * float64(d.Count) / far; m.memBytes == 0 || cross < m.memBytes {
				m.memBytes = cross
			}
			m.memLatency += m.seconds(m.use("dies: latency", d.Latency) * far)
		}
	}
	if m.cache = c.CacheOf(m.memory.Name); m.cache != nil {
		m.cacheBytes = bandwidth(m.cache)
		m.use("memory "+m.cache.Name+": size", m.cache.Size)
		if m.cache.Latency.Stated() {
			m.cacheLate = m.seconds(m.use("memory "+m.cache.Name+": latency", m.cache.Latency) / m.derate("latency", m.cache.Name))
		}
	}
	return m, nil
}

// use gives a number of the chip and remembers it if it is assumed.
func (m *machine) use(name string, q chip.Quantity) float64 {
	if q.Confidence == chip.Assumed {
		m.used[name] = q
	}
	return q.Value
}

func (m *machine) derate(kind, name string) float64 {
	if name != "" {
		kind += " " + name
	}
	for _, d := range m.c.Derates {
		if d.What == kind && d.Factor.Value > 0 {
			return m.use("derate "+d.What, d.Factor)
		}
	}
	return 1
}

// assumed lists the assumed numbers that went into a time, sorted by name.
func (m *machine) assumed() []Assumption {
	out := make([]Assumption, 0, len(m.used))
	for name, q := range m.used {
		value := q.Written
		if value == "" {
			value = fmt.Sprintf("%g %s", q.Value, q.Unit)
		}
		out = append(out, Assumption{Name: name, Value: value, Why: q.Source})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// ticks rounds cycles to ticks; what cannot be a time becomes the longest one, which the simulation refuses.
func ticks(cycles float64) Ticks {
	x := math.Round(cycles * PerCycle)
	switch {
	case !(x >= 0):
		return 0
	case x >= float64(maxTicks):
		return maxTicks
	}
	return Ticks(x)
}

// whole is ticks of whole cycles, rounded up: an engine works in steps of its clock.
func whole(cycles float64) Ticks { return ticks(math.Ceil(cycles - 1e-9)) }

// word gives the chip's own word for an instruction.
func (m *machine) word(in *plan.Instr) string {
	w, ok := m.words[in]
	if !ok {
		if m.words == nil {
			m.words = map[*plan.Instr]string{}
		}
		w = plan.Mnemonic(m.p, in, bind.Vocab(m.c))
		m.words[in] = w
	}
	return w
}

func (m *machine) seconds(s float64) Ticks { return ticks(s * m.hz) }

// at makes an error about an instruction.
func (m *machine) at(code string, k *plan.Kernel, i int, format string, args ...any) *diag.Diagnostic {
	d := diag.Errorf(code, diag.Range{}, format, args...)
	d.Where = fmt.Sprintf("kernel %s, instruction %d", k.Name, i)
	d.Note(diag.Range{}, "%s", plan.InstrText(m.p, k, i, bind.Vocab(m.c)))
	if pos := plan.PosText(m.p, k.Code[i].Pos); pos != "" {
		d.Note(diag.Range{}, "it comes from %s", pos)
	}
	return d
}
