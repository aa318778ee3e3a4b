package exec

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"
	"time"
	"unsafe"

	"apogee/ir/diag"
	"apogee/ir/tensor"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
	"apogee/targets/sim/load"
)

// Machine is a plan on a device.
type Machine struct {
	d         *Device
	p         *plan.Plan
	progs     []*program
	bufs      [][]byte
	weights   []*weight // by buffer, nil for others
	states    []*state
	slabs     []slab
	guard     *guard.Guard
	ready     bool
	took      []time.Duration // by step: what the last launch took
	nest      []int           // by step, as plan.Nest gives it
	ran       []int64         // by step: see Ran
	traces    [][]*trace      // by step and core, nil where there is none yet
	traceLeft atomic.Int64    // bytes that traces may still take
	numCores  int64
}

// slab is a piece of global memory that buffers share, at the plan's addresses.
type slab struct {
	lo, hi int64
	data   []byte
}

// New makes a machine on a device of its own. See [Device.Machine].
func New(p *plan.Plan, c *chip.Chip, w Weights, opt Options) (*Machine, error) {
	return NewDevice(c, w, opt).Machine(p)
}

// Machine checks a plan and puts it on the device: everything that can be wrong before data is there is found now. Weights are looked
// up but not read before the first run. A plan that needs more than the chip has is refused.
func (d *Device) Machine(p *plan.Plan) (*Machine, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &Machine{d: d, p: p, took: make([]time.Duration, len(p.Steps)), traces: make([][]*trace, len(p.Steps)), numCores: int64(d.chip.Cores.Int())}
	m.traceLeft.Store(traceLimit)
	if p.Chip != d.chip.Name {
		return nil, planErr("the plan is for chip %s, but %s is to run it", p.Chip, d.chip.Name)
	}
	if m.numCores < 1 {
		return nil, planErr("chip %s has no core", d.chip.Name)
	}
	if err := m.checkMemories(); err != nil {
		return nil, err
	}
	if err := m.checkBuffers(); err != nil {
		return nil, err
	}
	z := newCompiler(p, d)
	for i := range p.Kernels {
		prog, err := z.kernel(&p.Kernels[i])
		if err != nil {
			return nil, err
		}
		m.progs = append(m.progs, prog)
		if d.opt.Guard {
			if err := guard.Check(p, &p.Kernels[i], d.vocab); err != nil {
				return nil, err
			}
		}
	}
	if err := m.checkSteps(); err != nil {
		return nil, err
	}
	if err := m.bind(); err != nil {
		return nil, err
	}
	return m, nil
}

// bind finds weights, makes states, and cuts global memory for the rest.
func (m *Machine) bind() error {
	p, d := m.p, m.d
	m.bufs = make([][]byte, len(p.Buffers))
	m.weights = make([]*weight, len(p.Buffers))
	m.states = make([]*state, len(p.Buffers))
	need := int64(0)
	for i := 1; i < len(p.Memories); i++ {
		need += p.Memories[i].Size * int64(d.opt.Workers)
	}
	var spans []slab
	for i := range p.Buffers {
		b := &p.Buffers[i]
		switch b.Kind {
		case plan.Weight:
			w := d.loaded[b.Name]
			if w == nil {
				src, err := load.Find(b, d.weights)
				if err != nil {
					return err
				}
				w = &weight{buf: b, src: src}
				d.loaded[b.Name] = w
			} else if !sameWeight(w.buf, b) {
				return planErr("weight %s is %s[%s] in one plan of this device and %s[%s] in another", b.Name,
					w.buf.Format, tensor.Dims(w.buf.Shape), b.Format, tensor.Dims(b.Shape))
			}
			m.weights[i] = w
		case plan.State:
			s := d.states[b.Name]
			if s == nil {
				if need += b.Size; need > d.opt.MemoryLimit {
					return m.hostFull(need)
				}
				s = &state{b, alloc(b.Size)}
				d.states[b.Name] = s
			} else if s.buf.Format != b.Format || !slices.Equal(s.buf.Shape, b.Shape) {
				return planErr("state %s is %s[%s] in one plan of this device and %s[%s] in another", b.Name,
					s.buf.Format, tensor.Dims(s.buf.Shape), b.Format, tensor.Dims(b.Shape))
			}
			m.states[i] = s
		case plan.Const:
			m.bufs[i] = b.Data
		case plan.Input, plan.Output:
			// The caller's, and the caller's to be.
			if b.Kind == plan.Output {
				need += b.Size
			}
		default:
			if b.Size > 0 {
				spans = append(spans, slab{lo: b.Addr, hi: b.Addr + b.Size})
			}
		}
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i].lo < spans[j].lo })
	for _, s := range spans {
		if n := len(m.slabs); n > 0 && s.lo <= m.slabs[n-1].hi {
			m.slabs[n-1].hi = max(m.slabs[n-1].hi, s.hi)
		} else {
			m.slabs = append(m.slabs, s)
		}
	}
	for _, s := range m.slabs {
		need += s.hi - s.lo
	}
	if need > d.opt.MemoryLimit {
		return m.hostFull(need)
	}
	return nil
}

// Plan is the plan that the machine runs.
func (m *Machine) Plan() *plan.Plan { return m.p }

// ResetStates sets the states of this plan to zero, for all machines that share them.
func (m *Machine) ResetStates() {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	for _, s := range m.states {
		if s != nil {
			s.data = alloc(s.buf.Size)
		}
	}
}

// Load reads the weights, which the first run would do otherwise.
func (m *Machine) Load(ctx context.Context) error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	return m.load(ctx)
}

func (m *Machine) load(ctx context.Context) error {
	for i, w := range m.weights {
		if w == nil {
			continue
		}
		if w.data == nil {
			data, err := w.src.Load(ctx, load.Options{VerifyHash: m.d.opt.VerifyHash})
			if err != nil {
				return err
			}
			w.data = data
		}
		m.bufs[i] = w.data
	}
	for i, s := range m.states {
		if s != nil {
			m.bufs[i] = s.data
		}
	}
	for i := range m.p.Buffers {
		if b := &m.p.Buffers[i]; b.Kind == plan.Output {
			m.bufs[i] = alloc(b.Size)
		}
	}
	if m.ready {
		return nil
	}
	for i := range m.slabs {
		m.slabs[i].data = alloc(m.slabs[i].hi - m.slabs[i].lo)
	}
	for i := range m.p.Buffers {
		b := &m.p.Buffers[i]
		switch b.Kind {
		case plan.Temp, plan.Workspace:
		default:
			continue
		}
		if b.Size == 0 {
			m.bufs[i] = []byte{}
			continue
		}
		j := sort.Search(len(m.slabs), func(j int) bool { return m.slabs[j].hi >= b.Addr+b.Size })
		s := &m.slabs[j]
		m.bufs[i] = s.data[b.Addr-s.lo:][:b.Size:b.Size]
	}
	if m.d.opt.Guard {
		m.guard = guard.New(m.p, newCompiler(m.p, m.d).scalar, m.d.vocab)
	}
	m.ready = true
	return nil
}

// Run executes the plan once. inputs holds a tensor of the buffer's format and shape for each input; the result one for each output,
// both by buffer name. States keep what the run leaves in them, also when it fails. The error is a *guard.Fault when an
// instruction is at fault, ctx's when it is cancelled.
func (m *Machine) Run(ctx context.Context, inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	if err := m.fill(inputs); err != nil {
		return nil, err
	}
	if err := m.d.borrow(m.p); err != nil {
		return nil, err
	}
	var stop atomic.Bool
	done := context.AfterFunc(ctx, func() { stop.Store(true) })
	defer done()
	if m.guard != nil {
		m.guard.Begin()
	}
	m.ran = make([]int64, len(m.p.Steps))
	if err := m.steps(ctx, &stop, 0, len(m.p.Steps)); err != nil {
		return nil, err
	}
	if m.guard != nil {
		if err := m.guard.End(); err != nil {
			return nil, err
		}
	}
	out := map[string]*tensor.Tensor{}
	for i := range m.p.Buffers {
		b := &m.p.Buffers[i]
		if b.Kind != plan.Output {
			continue
		}
		t, err := tensor.FromBytes(b.Format, b.Shape, m.bufs[i])
		if err != nil {
			return nil, err
		}
		m.bufs[i] = nil
		out[b.Name] = t
	}
	return out, nil
}

// fill copies the inputs to their buffers.
func (m *Machine) fill(inputs map[string]*tensor.Tensor) error {
	var names []string
	var first *diag.Diagnostic
	for i := range m.p.Buffers {
		b := &m.p.Buffers[i]
		if b.Kind != plan.Input {
			continue
		}
		names = append(names, b.Name)
		t := inputs[b.Name]
		want := fmt.Sprintf("%s[%s]", b.Format, tensor.Dims(b.Shape))
		switch {
		case t == nil:
			first = diag.Errorf(codeIn, diag.Range{}, "input %s is missing", b.Name).Expect(want, "nothing")
		case t.Format != b.Format || !slices.Equal(t.Shape, b.Shape):
			first = diag.Errorf(codeIn, diag.Range{}, "input %s does not fit the plan", b.Name).Expect(want, t.String())
		default:
			// No plan writes an input and nothing shares its memory, so the caller's bytes serve as they are.
			data, err := t.Bytes()
			if err != nil {
				return err
			}
			if uintptr(unsafe.Pointer(unsafe.SliceData(data)))%8 != 0 {
				data = append(alloc(b.Size)[:0], data...)
			}
			m.bufs[i] = data
			continue
		}
		return first
	}
	extra := make([]string, 0)
	for name := range inputs {
		if !slices.Contains(names, name) {
			extra = append(extra, name)
		}
	}
	if len(extra) > 0 {
		slices.Sort(extra)
		return diag.Errorf(codeIn, diag.Range{}, "the plan has no input %q", extra[0]).Suggest(extra[0], names)
	}
	return nil
}
