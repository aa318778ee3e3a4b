package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"apogee/codegen"
	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/passes"
	"apogee/targets/chip"
	"apogee/targets/plan"
)

// Request says what to make of a model.
type Request struct {
	Entry     string // "" takes the only one, or prefill
	Chip      *chip.Chip
	Precision string            // "" is auto
	Set       map[string]string // options, config fields and symbols, as --set has them
	Bind      map[string]int64  // symbols
	Taps      []string          // internal values to give as results as well
	// Inputs are the tensors of a run, for models whose shapes depend on them; Run and RunReference fill it in.
	Inputs Tensors
	// Context ends what lowering such a model runs; nil is the background.
	Context context.Context
	// Check, when set, judges the module of a run before it is compiled or evaluated.
	Check func(m *ir.Module) error
	// States are what a run begins with: each state of the entry, by name; nil is zeros. Left, when set, is handed what they are afterwards.
	States   Tensors
	Left     func(Tensors) error
	Keep     []string       // results that must be among those of the entry; known to be missing before anything is run
	Pipeline string         // "" is the default for the chip
	Verify   bool           // verify after every pass
	Passes   passes.Options // further options of the passes; Chip, Precision and Bind are filled in
}

// Built is a compiled entry.
type Built struct {
	Plan      *plan.Plan
	Module    *ir.Module // of kernels, what the plan was made from
	Report    *passes.Report
	Precision chip.Precision
}

// choose finds the entry that a request means among those that a model has.
func choose(names []string, name string) (string, error) {
	switch {
	case name != "" && slices.Contains(names, name):
		return name, nil
	case name != "":
		d := diag.Errorf("", diag.Range{}, "the model has no entry %q", name).Suggest(name, names)
		d.Expected = "one of " + strings.Join(names, ", ")
		return "", d
	case len(names) == 0:
		return "", fmt.Errorf("the model has no entry: mark one with entry")
	case len(names) == 1:
		return names[0], nil
	case slices.Contains(names, "prefill"):
		return "prefill", nil
	}
	return "", fmt.Errorf("the model has several entries; choose one with --entry: %s", strings.Join(names, ", "))
}

// Lower gives the module of one entry at the level of primitive ops, its symbols free but for what is bound.
func (m *Model) Lower(req Request) (*ir.Module, *ir.Func, error) {
	names, err := m.Entries()
	if err != nil {
		return nil, nil, err
	}
	name, err := choose(names, req.Entry)
	if err != nil {
		return nil, nil, err
	}
	mod, err := m.LowerAll(req, name)
	if err != nil {
		return nil, nil, err
	}
	return mod, mod.Func(name), nil
}

// LowerAll gives the module of some entries, or of all.
func (m *Model) LowerAll(req Request, entries ...string) (*ir.Module, error) {
	act := format.F32
	if req.Chip != nil {
		p, err := choosePrecision(req.Chip, req.Precision, m.StoresFP8())
		if err != nil {
			return nil, err
		}
		act = activation(req.Chip, p)
	} else if req.Precision != "" && req.Precision != Auto && req.Precision != "f32" {
		return nil, fmt.Errorf("the reference computes in f32 only, --precision %s is a chip's", req.Precision)
	}
	low, err := m.lower(req, act, entries)
	if err != nil {
		return nil, err
	}
	m.Warnings.Merge(low.Warnings)
	return low.Module, nil
}

// Compile compiles one entry for a chip.
func (m *Model) Compile(ctx context.Context, req Request) (*Built, error) {
	prec, err := choosePrecision(req.Chip, req.Precision, m.StoresFP8())
	if err != nil {
		return nil, err
	}
	mod, f, bind, report, err := m.passes(ctx, req, prec, req.Pipeline)
	if err != nil {
		return nil, err
	}
	var syms []plan.Symbol
	for k, v := range bind {
		syms = append(syms, plan.Symbol{Name: k, Value: v})
	}
	sort.Slice(syms, func(i, j int) bool { return syms[i].Name < syms[j].Name })
	opt := m.options(req, prec, bind)
	var p *plan.Plan
	for {
		p, err = codegen.Compile(mod.Func(f.Name), req.Chip, codegen.Options{Precision: prec.Name, Symbols: syms})
		var full *codegen.Error
		if !errors.As(err, &full) || !full.Tight() || ctx.Err() != nil {
			break
		}
		// More was fused than a core has room for: fewer ops in a kernel.
		cut, unfused := passes.Unfuse(ctx, mod, full.Op, opt)
		if unfused != nil {
			return nil, unfused
		}
		if !cut {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return &Built{Plan: p, Module: mod, Report: report, Precision: prec}, nil
}

// Passes runs a pipeline on one entry and gives the module as it leaves it. Without a chip only passes that ask none can run.
func (m *Model) Passes(ctx context.Context, req Request, pipeline string) (*ir.Module, error) {
	var prec chip.Precision
	if req.Chip != nil {
		var err error
		if prec, err = choosePrecision(req.Chip, req.Precision, m.StoresFP8()); err != nil {
			return nil, err
		}
	}
	mod, _, _, _, err := m.passes(ctx, req, prec, pipeline)
	return mod, err
}

// options are those of the passes.
func (m *Model) options(req Request, prec chip.Precision, bind map[string]int64) passes.Options {
	opt := req.Passes
	opt.Chip, opt.Precision, opt.Bind, opt.Verify = req.Chip, prec.Name, bind, req.Verify
	return opt
}

func (m *Model) passes(ctx context.Context, req Request, prec chip.Precision, pipeline string) (*ir.Module, *ir.Func, map[string]int64, *passes.Report, error) {
	mod, f, err := m.Lower(req)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	only(mod, f)
	bind := m.bindings(f, req.Bind)
	if missing := unbound(f, bind); len(missing) > 0 {
		return nil, nil, nil, nil, fmt.Errorf("entry %s needs values for %s: give them with --set %s=…", f.Name, strings.Join(missing, ", "), missing[0])
	}
	opt := m.options(req, prec, bind)
	if pipeline == "" {
		pipeline = passes.Default(passes.MaxLevel)
	}
	report, err := passes.Run(ctx, mod, pipeline, opt)
	return mod, f, bind, report, err
}

// only drops the functions that are not being compiled.
func only(m *ir.Module, f *ir.Func) {
	m.Funcs = []*ir.Func{f}
}

// bindings completes the symbols of an entry with what a model is usually asked: one sequence, 128 tokens to read or one to
// write, and room for 4096.
func (m *Model) bindings(f *ir.Func, given map[string]int64) map[string]int64 {
	bind := map[string]int64{}
	for k, v := range given {
		bind[k] = v
	}
	if m.ONNX != nil {
		return bind // the letters of its dimensions are its own
	}
	decode := false
	for _, p := range f.Inputs() {
		decode = decode || p.Name == "pos"
	}
	set := func(s string, v int64) {
		if _, ok := bind[s]; !ok {
			for _, n := range f.Symbols() {
				if n == s {
					bind[s] = v
				}
			}
		}
	}
	set("B", 1)
	if decode {
		set("T", 1)
	} else {
		set("T", 128)
	}
	room := int64(4096)
	if n := m.MaxPositions(); n > 0 {
		room = min(room, n)
	}
	set("S", max(room, bind["T"]))
	return bind
}

func unbound(f *ir.Func, bind map[string]int64) []string {
	var out []string
	for _, s := range f.Symbols() {
		if _, ok := bind[s]; !ok {
			out = append(out, s)
		}
	}
	return out
}
