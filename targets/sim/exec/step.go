package exec

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"apogee/targets/plan"
	"apogee/targets/sim/guard"
)

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
	var traces []*trace
	if prog.traceable && m.guard == nil && m.d.opt.Order == nil {
		if m.traces[i] == nil {
			m.traces[i] = make([]*trace, active)
		}
		traces = m.traces[i]
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
		c.stop, c.plan, c.params, c.args, c.launch, c.grid, c.cores, c.bufs = stop, m.p, params, args, s.Name, s.Grid, m.numCores, m.bufs
		c.guard, c.watched, c.record = nil, watched, nil
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
			var err error
			if m.d.opt.Order != nil {
				c.choose = m.d.opt.Order(i, id)
			}
			if traces == nil {
				err = c.run(prog, id)
			} else {
				err = c.runTraced(prog, id, &traces[id], &m.traceLeft)
			}
			if err != nil {
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

// shares says whether two buffers have bytes in common.
func (m *Machine) shares(a, b int) bool {
	x, y := &m.p.Buffers[a], &m.p.Buffers[b]
	return a == b || x.Addr < y.Addr+y.Size && y.Addr < x.Addr+x.Size
}
