package passes

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

// Options steer a run of passes.
type Options struct {
	// Chip is what is compiled for; nil leaves out whatever asks the chip, and is an error for passes that must.
	Chip *chip.Chip
	// Precision is how matrix products run: auto, f32, bf16, f16, fp8 or w8a8. "" is f32 without a chip and auto with one.
	Precision string
	// Bind gives dimension symbols their values.
	Bind map[string]int64
	// Verify checks the module after each pass and names the pass that broke it.
	Verify bool
	// Disable names rules that must not fire.
	Disable []string
	// StopAfter is how many rules may fire in all; 0 is no limit.
	StopAfter int64
	// After, when set, is called after each pass: changed says whether the module's text is another one now (it is only found out
	// when CompareText is set, else it is whether any rule fired).
	After func(pass string, m *ir.Module, changed bool)
	// CompareText finds out for After by the module's hash whether a pass changed anything.
	CompareText bool
}

// PassReport says what one pass did.
type PassReport struct {
	Pass    string
	Time    time.Duration
	Fired   []rewrite.Count
	Changed bool
}

// Report says what a run did.
type Report struct {
	Passes  []PassReport
	Remarks []Remark
	// Precision is what "auto" came out as; empty when no pass chose one.
	Precision string
}

// Fired returns how often a rule fired in all passes.
func (r *Report) Fired(rule string) int64 {
	n := int64(0)
	for _, p := range r.Passes {
		for _, c := range p.Fired {
			if c.Rule == rule {
				n += c.N
			}
		}
	}
	return n
}

// Run runs a pipeline on a module in place. Errors that a user can mend are diagnostics in a *diag.List; a crash inside a pass
// is one as well and names the pass, the op and its position. The report covers what ran, also after an error.
func Run(ctx context.Context, m *ir.Module, pipeline string, opt Options) (*Report, error) {
	initTable()
	rep := &Report{}
	steps, list := parsePipeline(pipeline)
	ctl := &rewrite.Control{Limit: opt.StopAfter, Disabled: map[string]bool{}}
	if len(opt.Disable) > 0 {
		names := Rules().Names()
		for _, n := range opt.Disable {
			known := false
			for _, k := range names {
				known = known || k == n
			}
			if !known {
				list.Errorf(CodeRule, diag.Range{}, "no rule is called %q", n).Suggest(n, names)
			}
			ctl.Disabled[n] = true
		}
	}
	if err := list.Err(); err != nil {
		return rep, err
	}
	var hash [32]byte
	if opt.CompareText {
		hash = m.Hash()
	}
	shared := &shared{}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if s.info.Chip && opt.Chip == nil {
			list.Errorf(CodeNeeds, diag.Range{}, "pass %s asks the chip, and no chip was given", s.info.Name).Helpf("name one with --target; apogee chips lists them")
			return rep, list.Err()
		}
		p := &Pass{Info: s.info, Module: m, Chip: opt.Chip, Options: opt, Control: ctl, shared: shared, ctx: ctx, values: s.values}
		p.remarks = func(r Remark) {
			r.Pass = s.info.Name
			rep.Remarks = append(rep.Remarks, r)
		}
		before := ctl.Counts()
		fired := ctl.Fired()
		start := time.Now()
		err := p.guarded()
		pr := PassReport{Pass: s.info.Name, Time: time.Since(start), Fired: difference(ctl.Counts(), before), Changed: ctl.Fired() != fired}
		rep.Precision = shared.precision
		if err == nil && opt.Verify {
			err = verified(m, s.info.Name)
		}
		if err == nil && opt.CompareText {
			h := m.Hash()
			pr.Changed = h != hash
			hash = h
		}
		rep.Passes = append(rep.Passes, pr)
		if err != nil {
			return rep, err
		}
		if opt.After != nil {
			opt.After(s.info.Name, m, pr.Changed)
		}
	}
	return rep, nil
}

func verified(m *ir.Module, pass string) error {
	return ir.VerifyAfter(m, pass).Err()
}

func difference(after, before []rewrite.Count) []rewrite.Count {
	old := map[string]int64{}
	for _, c := range before {
		old[c.Rule] = c.N
	}
	var out []rewrite.Count
	for _, c := range after {
		if n := c.N - old[c.Rule]; n > 0 {
			out = append(out, rewrite.Count{Rule: c.Rule, N: n})
		}
	}
	return out
}

// guarded runs the pass and turns a crash into an error.
func (p *Pass) guarded() (err error) {
	defer func() {
		x := recover()
		if x == nil {
			return
		}
		d := diag.Errorf(CodeCrash, diag.Range{}, "pass %s broke down: %v", p.Info.Name, x)
		if r := p.Control.Rule; r != nil {
			d.Note(diag.Range{}, "in rule %s", r.Name)
		}
		if o := p.Control.Op; o != nil {
			d.Where = crashed(p.Module, o)
		}
		d.Note(diag.Range{}, "%s", frames(debug.Stack()))
		d.Helpf("this is a mistake in Apogee: please report it with the module printed before this pass")
		err = d
	}()
	err = p.Info.run(p)
	var run *rewrite.RunawayError
	if errors.As(err, &run) {
		err = diag.Errorf(CodeCrash, diag.Range{}, "pass %s: %v", p.Info.Name, run)
	}
	p.Control.Op, p.Control.Rule = nil, nil
	return err
}

// crashed names an op that may be in any state.
func crashed(m *ir.Module, o *ir.Op) (s string) {
	defer func() {
		if recover() != nil {
			s = o.Info.Name
		}
	}()
	return where(m, o)
}

// frames keeps the functions of a stack that say where it broke.
func frames(stack []byte) string {
	var out []string
	for _, l := range strings.Split(string(stack), "\n") {
		l = strings.TrimSpace(l)
		if i := strings.LastIndex(l, "/"); strings.Contains(l, ".go:") && i >= 0 {
			l = l[i+1:]
			if j := strings.IndexByte(l, ' '); j >= 0 {
				l = l[:j]
			}
			out = append(out, l)
		}
	}
	if len(out) > 3 { // this function, the runtime's panic
		out = out[3:]
	}
	return fmt.Sprintf("from %s", strings.Join(out[:min(len(out), 6)], ", "))
}

// shared is what passes of one run leave for those that follow.
type shared struct {
	precision string
}
