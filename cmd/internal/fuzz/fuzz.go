package fuzz

import (
	"context"
	"runtime"
	"sync"

	"apogee/ir"
	"apogee/ir/random"
)

// Options say what is tried.
type Options struct {
	Seed    uint64 // of the first module; the others follow
	N       int    // how many modules
	Ops     int    // about how many ops each; 0 is 4 to 32
	Targets []*Target
	Jobs    int // modules at once; 0 is one a processor
	Stop    int // after so many failures; 0 is never
	// Module gives the module of a seed; nil is Module with Ops.
	Module func(seed uint64) *ir.Module
	// Each, when set, is told of each module tried, in order of seeds.
	Each func(seed uint64, refused []error, fail *Failure)
}

// Report sums up a run.
type Report struct {
	Tried    int
	Runs     int // modules times targets that gave a result
	Refused  map[string]int
	Failures []*Failure
}

// Module is the module of a seed.
func Module(seed uint64, ops int) *ir.Module { return random.Module(seed, options(seed, ops)) }

// Models tries modules until it has tried as many as asked, found as many failures, or is cancelled: then the error is the context's.
func Models(ctx context.Context, opt Options) (*Report, error) {
	jobs := opt.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	module := opt.Module
	if module == nil {
		module = func(seed uint64) *ir.Module { return Module(seed, opt.Ops) }
	}
	type outcome struct {
		seed    uint64
		refused []error
		fail    *Failure
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	seeds, outs := make(chan uint64), make(chan outcome, jobs)
	var wg sync.WaitGroup
	for range jobs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for s := range seeds {
				refused, fail := Try(inner, module(s), s, opt.Targets)
				outs <- outcome{s, refused, fail}
			}
		}()
	}
	go func() {
		defer close(seeds)
		for i := range opt.N {
			select {
			case seeds <- opt.Seed + uint64(i):
			case <-inner.Done():
				return
			}
		}
	}()
	go func() { wg.Wait(); close(outs) }()
	// Outcomes are told in order of seeds, whichever worker is first, so that two runs say the same.
	rep := &Report{Refused: map[string]int{}}
	early := map[uint64]outcome{}
	next := opt.Seed
	for o := range outs {
		early[o.seed] = o
		for {
			o, ok := early[next]
			if !ok || inner.Err() != nil {
				break
			}
			delete(early, next)
			next++
			rep.Tried++
			rep.Runs += len(opt.Targets) - len(o.refused)
			for _, err := range o.refused {
				rep.Refused[err.Error()]++
			}
			if o.fail != nil {
				rep.Failures = append(rep.Failures, o.fail)
			}
			if opt.Each != nil {
				opt.Each(o.seed, o.refused, o.fail)
			}
			if opt.Stop > 0 && len(rep.Failures) >= opt.Stop {
				cancel()
			}
		}
	}
	return rep, ctx.Err()
}
