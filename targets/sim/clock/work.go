package clock

import (
	"apogee/targets/plan"
)

// work is what a launch of a kernel with a grid does, all blocks together, and the core that has the most of it. It does
// not depend on what the cache holds.
type work struct {
	k     *plan.Kernel
	grid  int64
	costs *costs
	fold  *plan.Folder

	read, written []flow // by parameter
	matrix        float64
	padded        float64
	vector        float64
	bytes         int64 // moved along all paths
	instrs        int64

	core  int64   // the one that is simulated
	share float64 // its part of all bytes from and to global memory
	cores int64   // with anything to do
}

// flow is what goes between a parameter and the cores.
type flow struct {
	bytes     float64 // in whole units of the memory
	raw       float64 // counting elements
	footprint float64 // different bytes, over the whole launch, in whole units as far as rows are short
	wave      float64 // different bytes that as many blocks as there are cores touch
}

// newWork counts a launch. Blocks that cost the same are counted together.
func newWork(m *machine, k *plan.Kernel, grid int64) (*work, error) {
	w := &work{k: k, grid: grid, costs: newCosts(m, k), fold: plan.NewFolder(k)}
	w.read, w.written = make([]flow, len(k.Params)), make([]flow, len(k.Params))
	n := m.cores
	active := min(n, grid)
	queues := len(m.p.Queues)
	// The load of a core: what each queue has to do, and its bytes from and to global memory as time at an equal share.
	load := make([]Ticks, int(active)*(queues+1))
	far := make([]float64, active)
	perByte := 0.0
	if m.memBytes > 0 {
		perByte = m.hz / (m.memBytes / float64(active))
	}
	regs := make([]int64, k.Regs)
	block := make([]Ticks, queues+1)
	single := w.fold.UsesCore()
	spent := int64(0)
	var failed error
	// What is kept for each launch counts as work, too.
	if err := m.spend(k, 64*int64(len(k.Code)+len(k.Params)+k.Regs)+int64(len(load))); err != nil {
		return nil, err
	}
	for b := int64(0); b < grid; {
		k.StartRegs(regs, b, b%n, n)
		end := b + 1
		if !single {
			end = w.fold.Stretch(plan.Blocks, regs, b, grid)
		}
		clear(block)
		blockFar := 0.0
		times := end - b
		if failed = m.spend(k, w.fold.Spent()-spent); failed != nil {
			return nil, failed
		}
		spent = w.fold.Spent()
		w.fold.Walk(regs, func(i int, regs []int64, count int64) bool {
			if n := w.fold.Spent(); n-spent > 1<<12 {
				failed = m.spend(k, n-spent)
				spent = n
				if failed != nil {
					return false
				}
			}
			in := &k.Code[i]
			w.instrs += count * times
			switch in.Op {
			case plan.Loop, plan.End, plan.Set, plan.Signal, plan.Wait:
				return true
			case plan.LoadScalar:
				if in.A.Mem == 0 {
					w.read[in.A.Param].add(float64(m.align), float64(in.A.Format.Bits()/8), float64(count*times))
				}
				return true
			}
			c, err := w.costs.of(i, regs)
			if err != nil {
				failed = err
				return false
			}
			if c.idle {
				return true
			}
			all := float64(count) * float64(times)
			w.bytes += c.bytes * count * times
			w.matrix += float64(c.useful * all)
			w.padded += float64(c.flops * all)
			w.vector += float64(c.elems * all)
			if c.param >= 0 {
				f := &w.read[c.param]
				if c.write {
					f = &w.written[c.param]
				}
				f.add(float64(c.far), float64(c.raw), all)
				blockFar += float64(float64(c.far) * float64(count))
			}
			block[in.Queue] = addLoad(block[in.Queue], c.startup+c.work, count)
			return true
		})
		if failed != nil {
			return nil, failed
		}
		block[queues] = ticks(blockFar * perByte)
		for i := int64(0); i < min(times, active); i++ {
			core := (b + i) % n
			mine := (times - i + n - 1) / n // blocks b+i, b+i+n, … of this run
			if core >= active {
				continue
			}
			far[core] += float64(blockFar * float64(mine))
			row := load[int(core)*(queues+1):][:queues+1]
			for q := range row {
				row[q] = addLoad(row[q], block[q], mine)
			}
		}
		b = end
	}
	w.pick(load, far, queues+1)
	w.footprints(m, n)
	return w, nil
}

func (f *flow) add(bytes, raw, times float64) {
	f.bytes += float64(bytes * times) // the conversions keep every machine from fusing
	f.raw += float64(raw * times)
}

// addLoad adds up times for a comparison of cores; it need not be exact where it overflows.
func addLoad(sum, t Ticks, n int64) Ticks {
	if t > 0 && n > int64(maxTicks/t) || sum > maxTicks {
		return maxTicks
	}
	return sum + t*Ticks(n)
}

// pick chooses the core whose busiest queue has the most to do, the one with most in all of equals, then the first.
func (w *work) pick(load []Ticks, far []float64, queues int) {
	total := 0.0
	var bestMost, bestSum Ticks
	for c := range far {
		total += far[c]
		var most, sum Ticks
		for _, t := range load[c*queues:][:queues] {
			most = max(most, t)
			sum = min(maxTicks, sum+t)
		}
		if sum > 0 {
			w.cores++
		}
		if c == 0 || most > bestMost || most == bestMost && sum > bestSum {
			w.core, bestMost, bestSum = int64(c), most, sum
		}
	}
	w.share = 1
	if total > 0 && far[w.core] > 0 {
		w.share = far[w.core] / total
	}
	w.cores = max(w.cores, 1)
}

// footprints finds how much of what is read is read anew.
func (w *work) footprints(m *machine, cores int64) {
	whole := plan.Footprints(w.k, 0, w.grid-1, cores)
	wave := plan.Footprints(w.k, 0, min(cores, w.grid)-1, cores)
	set := func(f *flow, whole, wave int64) {
		if f.raw <= 0 {
			return
		}
		stretch := f.bytes / f.raw // short rows take whole units
		f.footprint = min(float64(whole)*stretch, f.bytes)
		f.wave = min(float64(wave)*stretch, f.footprint)
	}
	for i := range w.read {
		set(&w.read[i], whole[i].Read, wave[i].Read)
		set(&w.written[i], whole[i].Written, wave[i].Written)
	}
}
