package fuzz

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"apogee/cmd/internal/accuracy"
	"apogee/codegen"
	"apogee/ir"
	"apogee/ir/bound"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/random"
	"apogee/ir/tensor"
	"apogee/passes"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// Target is what modules are tried on: a chip at a precision.
type Target struct {
	Chip      *chip.Chip
	Precision string // as --precision names it
	// Spoil, when set, runs as the first pass, under the name Planted, and Mutate changes each plan before it runs. They serve to plant
	// faults.
	Spoil  func(*ir.Module)
	Mutate func(*plan.Plan)
	// Bounds, when set, is how far results may be off, whatever the chip and the precision say.
	Bounds *bound.Arithmetic

	stopAfter int64            // rules that may fire, 0 is no limit; and
	counts    map[string]int64 // how often each did
}

// Stage says how far a module had come when it went wrong.
type Stage string

// The stages.
const (
	Evaluator Stage = "evaluator" // the module itself could not be evaluated
	Pass      Stage = "pass"      // the evaluator gives something else after a pass
	Compile   Stage = "codegen"   // there is no plan
	Run       Stage = "simulator" // the plan could not be run, or broke a rule that the guard watches
	Result    Stage = "result"    // the plan computes something else
)

// Planted is the name of the pass that [Target.Spoil] is.
const Planted = "planted"

// Failure is one module that went wrong on one target.
type Failure struct {
	Seed   uint64
	Target *Target
	Stage  Stage
	Pass   string // the pass after which the evaluator gives something else
	Func   string
	Result string // the result or state that differs
	Err    error
}

func (f *Failure) Error() string {
	on := ""
	if f.Target != nil {
		on = " for " + f.Target.Chip.Name
	}
	switch f.Stage {
	case Pass:
		return fmt.Sprintf("pass %s%s: %s of %s: %v", f.Pass, on, f.Result, f.Func, f.Err)
	case Result:
		return fmt.Sprintf("code generator or simulator%s: %s of %s: %v", on, f.Result, f.Func, f.Err)
	}
	return fmt.Sprintf("%s%s: %v", f.Stage, on, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// weights are tensors by name.
type weights map[string]*tensor.Tensor

// Tensor gives a weight.
func (w weights) Tensor(name string) (*tensor.Tensor, error) {
	if t := w[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no weight %s", name)
}

// oracle is what the reference says of a module.
type oracle struct {
	m    *ir.Module
	seed uint64
	w    weights
	in   map[string][]*tensor.Tensor // by function: its parameters in order
	want map[string][]*bound.Value   // by function: results, then states
}

// ask evaluates all functions of a module.
func ask(ctx context.Context, m *ir.Module, seed uint64, arith bound.Arithmetic) (*oracle, error) {
	o := &oracle{m: m.Clone(), seed: seed, in: map[string][]*tensor.Tensor{}, want: map[string][]*bound.Value{}}
	if _, err := passes.Run(ctx, o.m, "specialise", passes.Options{Bind: random.Env()}); err != nil {
		return nil, err
	}
	w, err := random.Weights(o.m, seed)
	if err != nil {
		return nil, err
	}
	o.w = w
	for _, f := range o.m.Funcs {
		in, err := random.Inputs(f, seed, nil)
		if err != nil {
			return nil, err
		}
		o.in[f.Name] = in
		r := bound.Runner{Eval: &eval.Evaluator{Weights: o.w, Bind: random.Env()}, Arith: arith}
		if o.want[f.Name], err = r.Run(ctx, f, o.in[f.Name]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// arithmetic says how far a target's results may be off.
func (t *Target) arithmetic() bound.Arithmetic {
	if t.Bounds != nil {
		return *t.Bounds
	}
	p, ok := t.Chip.Precision(t.Precision)
	if auto := t.Chip.AutoPrecisions(); !ok && len(auto) > 0 {
		p = auto[0]
	}
	return accuracy.Of(t.Chip, p)
}

// Try runs a module on targets. A refusal is a clear answer of a chip that cannot do something: it is no failure.
func Try(ctx context.Context, m *ir.Module, seed uint64, targets []*Target) (refused []error, fail *Failure) {
	for _, t := range targets {
		f, r := tryOne(ctx, m, seed, t)
		if f != nil {
			f.Seed, f.Target = seed, t
			return refused, f
		}
		if r != nil {
			refused = append(refused, errors.New(reason(r, t.Chip.Name)))
		}
	}
	return refused, nil
}

func tryOne(ctx context.Context, m *ir.Module, seed uint64, t *Target) (fail *Failure, refused error) {
	stage := Evaluator
	defer func() {
		if x := recover(); x != nil {
			fail = &Failure{Stage: stage, Err: fmt.Errorf("panic: %v\n%s", x, firstFrames(debug.Stack()))}
		}
	}()
	o, err := ask(ctx, m, seed, t.arithmetic())
	if err != nil {
		return &Failure{Stage: Evaluator, Err: err}, nil
	}
	c := m.Clone()
	stage = Pass
	var broke *Failure
	opt := passes.Options{Chip: t.Chip, Precision: t.Precision, Bind: random.Env(), Verify: true, CompareText: true, StopAfter: t.stopAfter}
	opt.After = func(pass string, m *ir.Module, changed bool) {
		if broke == nil && changed {
			broke = o.evaluated(ctx, m, pass)
		}
	}
	if t.Spoil != nil {
		t.Spoil(c)
		if broke = o.evaluated(ctx, c, Planted); broke != nil {
			return broke, nil
		}
	}
	report, err := passes.Run(ctx, c, passes.Default(passes.MaxLevel), opt)
	if report != nil && t.counts != nil {
		for _, p := range report.Passes {
			for _, c := range p.Fired {
				t.counts[c.Rule] += c.N
			}
		}
	}
	switch {
	case broke != nil:
		return broke, nil
	case err != nil && strings.Contains(err.Error(), passes.CodeFormat):
		return nil, err // the chip cannot do it and says so
	case err != nil:
		return &Failure{Stage: Pass, Pass: "pipeline", Err: err}, nil
	}
	for _, f := range c.Funcs {
		stage = Compile
		p, err := codegen.Compile(f, t.Chip, codegen.Options{Precision: t.Precision})
		var full *codegen.Error
		for errors.As(err, &full) && full.Tight() { // as every compilation does: fewer ops in the kernel
			if cut, unfused := passes.Unfuse(ctx, c, full.Op, opt); unfused != nil || !cut {
				break
			}
			full = nil
			p, err = codegen.Compile(f, t.Chip, codegen.Options{Precision: t.Precision})
		}
		if err != nil {
			return &Failure{Stage: Compile, Func: f.Name, Err: err}, nil
		}
		if t.Mutate != nil {
			t.Mutate(p)
		}
		stage = Run
		if fail := o.ran(ctx, f, p, t); fail != nil {
			return fail, nil
		}
	}
	return nil, nil
}

// firstFrames shortens a stack to where the panic was.
func firstFrames(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, l := range lines {
		if strings.Contains(l, "panic(") {
			lines = lines[i:]
			break
		}
	}
	return strings.Join(lines[:min(len(lines), 12)], "\n")
}

// evaluated holds the evaluator's results for a module as a pass left it against those of the module before.
func (o *oracle) evaluated(ctx context.Context, m *ir.Module, pass string) *Failure {
	for _, f := range m.Funcs {
		in, states := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
		n := len(f.Inputs())
		for i, p := range f.Body.Params {
			x, err := as(o.in[f.Name][i], p.Type.Format)
			if err != nil {
				return &Failure{Stage: Pass, Pass: pass, Func: f.Name, Err: err}
			}
			if i < n {
				in[p.Name] = x
			} else {
				states[p.Name] = x
			}
		}
		e := eval.Evaluator{Weights: o.w, Bind: random.Env()}
		res, next, err := e.Run(ctx, f, in, states)
		if err != nil {
			return &Failure{Stage: Pass, Pass: pass, Func: f.Name, Err: err}
		}
		if name, err := o.check(f, res, next); err != nil {
			return &Failure{Stage: Pass, Pass: pass, Func: f.Name, Result: name, Err: err}
		}
	}
	return nil
}

// check compares results and states by name.
func (o *oracle) check(f *ir.Func, res, next map[string]*tensor.Tensor) (string, error) {
	want := o.want[f.Name]
	for i, w := range want {
		name, got := "", (*tensor.Tensor)(nil)
		if i < len(f.Results) {
			name, got = f.Results[i], res[f.Results[i]]
		} else {
			name = f.StateParams()[i-len(f.Results)].Name
			if next == nil {
				continue
			}
			var err error
			if got = next[name]; got != nil { // precision f32 keeps states in f32
				if got, err = as(got, w.Format); err != nil {
					return name, err
				}
			}
		}
		if got == nil {
			return name, errors.New("there is no such result")
		}
		if err := w.Check(got); err != nil {
			return name, err
		}
	}
	return "", nil
}

// as gives a tensor in another format.
func as(t *tensor.Tensor, f format.Format) (*tensor.Tensor, error) {
	if t.Format == f {
		return t, nil
	}
	v, err := eval.FromTensor(t)
	if err != nil {
		return nil, err
	}
	return eval.Cast(v, f, false).Tensor()
}

// ran runs a plan under the guard.
func (o *oracle) ran(ctx context.Context, f *ir.Func, p *plan.Plan, t *Target) *Failure {
	in := map[string]*tensor.Tensor{}
	for i, q := range f.Body.Params {
		x, err := as(o.in[f.Name][i], q.Type.Format)
		if err != nil {
			return &Failure{Stage: Run, Func: f.Name, Err: err}
		}
		in[q.Name] = x
	}
	mach, err := exec.New(p, t.Chip, o.w, exec.Options{Guard: true, Workers: 1})
	if err != nil {
		return &Failure{Stage: Run, Func: f.Name, Err: err}
	}
	states := map[string]*tensor.Tensor{}
	for _, q := range f.StateParams() {
		if has(p, plan.State, q.Name) {
			states[q.Name] = in[q.Name]
		}
	}
	if err := mach.SetStates(states); err != nil {
		return &Failure{Stage: Run, Func: f.Name, Err: err}
	}
	for name := range in { // inputs that nothing reads are no buffers of the plan
		if !has(p, plan.Input, name) {
			delete(in, name)
		}
	}
	res, err := mach.Run(ctx, in)
	if err != nil {
		return &Failure{Stage: Run, Func: f.Name, Err: err}
	}
	next, err := mach.States()
	if err != nil {
		return &Failure{Stage: Run, Func: f.Name, Err: err}
	}
	for _, q := range f.StateParams() {
		if next[q.Name] == nil { // one that nothing touches is no buffer of the plan, and stays
			if next[q.Name], err = as(o.in[f.Name][q.Index()], q.Type.Format); err != nil {
				return &Failure{Stage: Run, Func: f.Name, Err: err}
			}
		}
	}
	if name, err := o.check(f, res, next); err != nil {
		return &Failure{Stage: Result, Func: f.Name, Result: name, Err: err}
	}
	return nil
}

// has reports whether a plan has a buffer of a kind and a name.
func has(p *plan.Plan, kind plan.BufferKind, name string) bool {
	for i := range p.Buffers {
		if p.Buffers[i].Kind == kind && p.Buffers[i].Name == name {
			return true
		}
	}
	return false
}

// options gives the make-up of the module of a seed: all kinds in turn.
func options(seed uint64, ops int) random.Options {
	n := ops
	if n == 0 {
		n = 4 + int(seed%29)
	}
	return random.Options{
		Ops: n, Symbols: seed%3 == 0, Weights: seed%2 == 0, States: seed%5 == 0, Control: seed%7 == 3,
		Formats: [][]format.Format{{format.F32}, {format.F32, format.BF16}, {format.F32, format.F16}, {format.F32, format.F32, format.F64}}[seed%4],
	}
}
