package exec

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"apogee/ir/diag"
	"apogee/ir/tensor"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/guard"
	"apogee/targets/sim/kernels"
	"apogee/targets/sim/load"
)

// Weights finds tensors by name.
type Weights = load.Weights

// Options say how plans are run. The zero value is a good choice.
type Options struct {
	// Workers is how many cores of the chip are played at once; 0 takes GOMAXPROCS. Results do not depend on it.
	Workers int
	// MemoryLimit bounds the bytes that a machine takes for buffers and core memories beside the weights; 0 is what this computer
	// has. Memory that a run does not touch costs nothing on most systems.
	MemoryLimit int64
	// PackLimit bounds the bytes of weights that are kept packed for matrix products beside the weights themselves; 0 is 4 GiB,
	// negative is none. Weights beyond it are packed anew each time.
	PackLimit int64
	// MaxInstructions bounds what a core does in one launch, for plans that nobody trusts; 0 is no limit.
	MaxInstructions int64
	// Guard watches for what silicon does not report: see package guard. It costs some microseconds a tile that is not dense, less else.
	Guard bool
	// Order is the order in which queues do what is issued to them; nil is the order of issue.
	Order Order
	// VerifyHash compares weights with the hashes in the plan when they are loaded.
	VerifyHash bool
}

// guessedMemory stands for a computer's memory when it does not say.
const guessedMemory = 16 << 30

// Device is a simulated card: a chip, the weights and the states in its memory. Machines on one device share both by buffer name.
// Runs on one device take turns.
type Device struct {
	chip    *chip.Chip
	vocab   plan.Vocab
	weights Weights
	opt     Options

	mu     sync.Mutex
	loaded map[string]*weight
	states map[string]*state
	cores  []*core
	mems   []plan.Memory // of the cores
	packs  packs
	lefts  lefts
}

// weight is a weight buffer of one or more plans.
type weight struct {
	buf  *plan.Buffer
	src  *load.Source
	data []byte // nil until loaded
}

type state struct {
	buf  *plan.Buffer
	data []byte
}

// NewDevice makes a card without anything in its memory. w may be nil when no plan needs weights.
func NewDevice(c *chip.Chip, w Weights, opt Options) *Device {
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	if opt.MemoryLimit <= 0 {
		opt.MemoryLimit = hostMemory()
	}
	if opt.MaxInstructions <= 0 {
		opt.MaxInstructions = math.MaxInt64
	}
	if opt.PackLimit == 0 {
		opt.PackLimit = 4 << 30
	}
	return &Device{chip: c, vocab: bind.Vocab(c), weights: w, opt: opt, loaded: map[string]*weight{}, states: map[string]*state{},
		packs: packs{all: map[packKey]*pack{}, ints: map[packKey]*kernels.Int8B{}, limit: opt.PackLimit}, lefts: lefts{all: map[leftKey]*leftPack{}}}
}

// ResetStates sets all states to zero.
func (d *Device) ResetStates() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.states {
		s.data = alloc(s.buf.Size)
	}
}

// Machine is a plan on a device.
type Machine struct {
	d        *Device
	p        *plan.Plan
	progs    []*program
	bufs     [][]byte
	weights  []*weight // by buffer, nil for others
	states   []*state
	slabs    []slab
	guard    *guard.Guard
	ready    bool
	took     []time.Duration // by step: what the last launch took
	numCores int64
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

func planErr(format string, args ...any) *diag.Diagnostic {
	return diag.Errorf(codePlan, diag.Range{}, format, args...)
}

// Machine checks a plan and puts it on the device: everything that can be wrong before data is there is found now. Weights are looked
// up but not read before the first run. A plan that needs more than the chip has is refused.
func (d *Device) Machine(p *plan.Plan) (*Machine, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &Machine{d: d, p: p, took: make([]time.Duration, len(p.Steps)), numCores: int64(d.chip.Cores.Int())}
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

func (m *Machine) checkMemories() error {
	p, c := m.p, m.d.chip
	g := c.Global()
	if len(p.Memories) == 0 || g == nil || p.Memories[0].Name != g.Name {
		return planErr("memory 0 is the global one of chip %s", c.Name)
	}
	seen := map[string]bool{}
	for i, mem := range p.Memories {
		cm := c.Memory(mem.Name)
		if cm == nil || seen[mem.Name] {
			return planErr("the plan uses memory %q, which chip %s does not have", mem.Name, c.Name)
		}
		seen[mem.Name] = true
		if have := int64(cm.Size.Value) * int64(max(cm.Units, 1)); i > 0 && (mem.Size < 0 || mem.Size > have) {
			return diag.Errorf(codeFull, diag.Range{}, "the plan wants more of memory %s than a core of chip %s has", mem.Name, c.Name).
				Expect(fmt.Sprintf("at most %d bytes", have), fmt.Sprint(mem.Size))
		}
	}
	return nil
}

// checkBuffers holds sizes and addresses against the chip, and finds buffers that share memory while both are in use.
func (m *Machine) checkBuffers() error {
	p := m.p
	var total, need [8]int64
	top := int64(0)
	order := make([]int, 0, len(p.Buffers))
	for i := range p.Buffers {
		b := &p.Buffers[i]
		if int(b.Kind) > int(plan.Workspace) {
			return planErr("buffer %s is of unknown kind %d", b.Name, b.Kind)
		}
		_, size, err := tensor.Count(b.Format, b.Shape)
		if err != nil {
			return planErr("buffer %s: %v", b.Name, err)
		}
		if b.Size < size || b.Size < 0 || b.Kind != plan.Workspace && b.Size != size && b.Kind != plan.Temp {
			return planErr("buffer %s: %s[%s] takes %d bytes, the plan says %d", b.Name, b.Format, tensor.Dims(b.Shape), size, b.Size)
		}
		if b.Addr < 0 || b.Addr > math.MaxInt64-b.Size {
			return planErr("buffer %s: address %d", b.Name, b.Addr)
		}
		if b.Kind == plan.Const && int64(len(b.Data)) != b.Size {
			return planErr("constant %s has %d bytes, the plan says %d", b.Name, len(b.Data), b.Size)
		}
		need[b.Kind] += b.Size
		total[b.Kind] = max(total[b.Kind], b.Addr+b.Size)
		top = max(top, b.Addr+b.Size)
		if b.Size > 0 {
			order = append(order, i)
		}
	}
	if have := int64(m.d.chip.Global().Size.Value); top > have {
		e := diag.Errorf(codeFull, diag.Range{}, "the plan does not fit chip %s", m.d.chip.Name).
			Expect(fmt.Sprintf("at most %d bytes of %s", have, p.Memories[0].Name), fmt.Sprint(top))
		for k := plan.Input; k <= plan.Workspace; k++ {
			if need[k] > 0 {
				e.Note(diag.Range{}, "%s: %d bytes", k, need[k])
			}
		}
		return e.Helpf("it can be timed; to run it, lower the batch or the context, or choose a narrower precision")
	}
	// A sweep by address; buffers in use at the same time must lie apart.
	sort.Slice(order, func(i, j int) bool {
		a, b := &p.Buffers[order[i]], &p.Buffers[order[j]]
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(order[i], order[j])) < 0
	})
	var live []int
	for _, i := range order {
		b := &p.Buffers[i]
		live = slices.DeleteFunc(live, func(j int) bool { return p.Buffers[j].Addr+p.Buffers[j].Size <= b.Addr })
		for _, j := range live {
			if o := &p.Buffers[j]; together(b, o) {
				return planErr("buffers %s and %s lie over each other while both are in use: bytes %#x to %#x and %#x to %#x",
					o.Name, b.Name, o.Addr, o.Addr+o.Size, b.Addr, b.Addr+b.Size)
			}
		}
		live = append(live, i)
	}
	return nil
}

// together says whether two buffers are in use at the same time.
func together(a, b *plan.Buffer) bool {
	if a.Kind != plan.Temp || b.Kind != plan.Temp {
		return true
	}
	return a.First <= b.Last && b.First <= a.Last
}

func (m *Machine) checkSteps() error {
	p := m.p
	for i := range p.Steps {
		s := &p.Steps[i]
		fail := func(format string, args ...any) error {
			return planErr("step %d, %s: "+format, append([]any{i, s.Name}, args...)...)
		}
		if s.Kernel < 0 || s.Kernel >= len(p.Kernels) {
			return fail("kernel %d of %d", s.Kernel, len(p.Kernels))
		}
		k := &p.Kernels[s.Kernel]
		if s.Grid < 1 {
			return fail("a grid of %d blocks", s.Grid)
		}
		if len(s.Args) != len(k.Params) {
			return fail("kernel %s has %d parameters, found %d arguments", k.Name, len(k.Params), len(s.Args))
		}
		for j, a := range s.Args {
			q := &k.Params[j]
			if a.Buffer < 0 || a.Buffer >= len(p.Buffers) {
				return fail("parameter %s: buffer %d of %d", q.Name, a.Buffer, len(p.Buffers))
			}
			b := &p.Buffers[a.Buffer]
			if q.Size < 0 || a.Offset < 0 || a.Offset > b.Size-q.Size {
				return fail("parameter %s of %d bytes does not fit buffer %s of %d at offset %d", q.Name, q.Size, b.Name, b.Size, a.Offset)
			}
			if q.Write && (b.Kind == plan.Weight || b.Kind == plan.Const || b.Kind == plan.Input) {
				return fail("parameter %s writes buffer %s, which is %s", q.Name, b.Name, b.Kind)
			}
			if b.Kind == plan.Temp && (i < b.First || i > b.Last) {
				return fail("buffer %s is in use from step %d to step %d only", b.Name, b.First, b.Last)
			}
		}
	}
	return nil
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

func (m *Machine) hostFull(need int64) error {
	return diag.Errorf(codeHost, diag.Range{}, "the plan needs too much memory of this machine").
		Expect(fmt.Sprintf("at most %d bytes", m.d.opt.MemoryLimit), fmt.Sprint(need))
}

func sameWeight(a, b *plan.Buffer) bool {
	x, y := a.Source, b.Source
	if a.Format != b.Format || !slices.Equal(a.Shape, b.Shape) || (x == nil) != (y == nil) {
		return false
	}
	return x == nil || x.Name == y.Name && x.Stack == y.Stack && x.Stored == y.Stored && x.Scale == y.Scale &&
		slices.Equal(x.Block, y.Block) && slices.Equal(x.Shape, y.Shape)
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
	for i := range m.p.Steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := m.step(ctx, &stop, i); err != nil {
			return nil, err
		}
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

// shares says whether two buffers have bytes in common.
func (m *Machine) shares(a, b int) bool {
	x, y := &m.p.Buffers[a], &m.p.Buffers[b]
	return a == b || x.Addr < y.Addr+y.Size && y.Addr < x.Addr+x.Size
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

// borrow makes sure that the device's cores have the memories that a plan wants.
func (d *Device) borrow(p *plan.Plan) error {
	if !slices.Equal(d.mems, p.Memories) {
		d.cores, d.mems = nil, slices.Clone(p.Memories)
	}
	for len(d.cores) < d.opt.Workers {
		d.cores = append(d.cores, newCore(d, p))
	}
	return nil
}

// worthWorkers is how long a launch must have taken the last time for several workers to share it: starting them takes some microseconds.
const worthWorkers = 30 * time.Microsecond

// step launches one kernel and waits for it.
func (m *Machine) step(ctx context.Context, stop *atomic.Bool, i int) error {
	s := &m.p.Steps[i]
	prog := m.progs[s.Kernel]
	params := make([][]byte, len(s.Args))
	for j, a := range s.Args {
		params[j] = m.bufs[a.Buffer][a.Offset:][:prog.kernel.Params[j].Size]
	}
	args := make([]binding, len(s.Args))
	for j, a := range s.Args {
		kind := m.p.Buffers[a.Buffer].Kind
		args[j] = binding{m.bufs[a.Buffer], a.Buffer, a.Offset, true, kind == plan.Weight || kind == plan.Const}
		for k, o := range s.Args {
			if prog.kernel.Params[k].Write && m.shares(a.Buffer, o.Buffer) {
				args[j].stable = false
			}
		}
	}
	m.d.lefts.reset()
	var watched *guard.Launch
	if m.guard != nil {
		watched = m.guard.Launch(i)
	}
	active := min(s.Grid, m.numCores)
	workers := int(min(int64(m.d.opt.Workers), active))
	if workers > 1 && m.took[i] < worthWorkers {
		workers = 1
	}
	start := time.Now()
	defer func() { m.took[i] = time.Since(start) * time.Duration(workers) }()
	var next, failed atomic.Int64
	failed.Store(math.MaxInt64)
	errs := make([]error, workers)
	ids := make([]int64, workers)
	panics := make([]any, workers)
	work := func(w int) {
		defer func() {
			if r := recover(); r != nil {
				panics[w] = r
				stop.Store(true)
			}
		}()
		c := m.d.cores[w]
		c.stop, c.plan, c.params, c.args, c.launch, c.grid, c.cores = stop, m.p, params, args, s.Name, s.Grid, m.numCores
		c.guard, c.watched = nil, watched
		if watched != nil {
			if c.watcher == nil {
				c.watcher = new(guard.Core)
			}
			c.guard = c.watcher
		}
		c.bound = func(p int) string { return " (buffer " + m.p.Buffers[s.Args[p].Buffer].Name + ")" }
		for {
			// The error of the first core that fails is the one reported, whatever the number of workers.
			id := next.Add(1) - 1
			if id >= active || id > failed.Load() {
				return
			}
			c.left = m.d.opt.MaxInstructions
			c.choose = nil
			if m.d.opt.Order != nil {
				c.choose = m.d.opt.Order(i, id)
			}
			if err := c.run(prog, id); err != nil {
				errs[w], ids[w] = err, id
				for {
					f := failed.Load()
					if id >= f || failed.CompareAndSwap(f, id) {
						break
					}
				}
				return
			}
		}
	}
	if workers == 1 {
		work(0)
	} else {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() { work(w) })
		}
		wg.Wait()
	}
	for _, r := range panics {
		if r != nil {
			panic(r)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	at := int64(math.MaxInt64)
	for w := range workers {
		if errs[w] != nil && ids[w] < at {
			err, at = errs[w], ids[w]
		}
	}
	return err
}
