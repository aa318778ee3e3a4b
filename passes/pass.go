package passes

import (
	"context"
	"fmt"
	"strconv"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

// Remark is what a pass has to say about one place, mostly why something did not happen.
type Remark = rewrite.Remark

// OptionInfo declares an option of a pass.
type OptionInfo struct {
	Name    string
	Default string
	Doc     string
	Number  bool // the value is a number of at least 0; else a word
}

// Info is one row of the table of passes.
type Info struct {
	Name    string
	Doc     string // what it needs, what it leaves, what it never does
	Options []OptionInfo
	Rules   rewrite.Set
	Chip    bool // asks the chip, so one must be given
	run     func(p *Pass) error
}

// Pass is one pass at work.
type Pass struct {
	Info    *Info
	Module  *ir.Module
	Chip    *chip.Chip // nil when none was given
	Options Options
	Control *rewrite.Control

	shared  *shared
	ctx     context.Context
	values  map[string]string
	remarks func(Remark)
}

// number gives the value of a numeric option.
func (p *Pass) number(name string) int64 {
	n, _ := strconv.ParseInt(p.word(name), 10, 64)
	return n
}

// word gives the value of an option.
func (p *Pass) word(name string) string {
	if v, ok := p.values[name]; ok {
		return v
	}
	for _, o := range p.Info.Options {
		if o.Name == name {
			return o.Default
		}
	}
	panic("passes: " + p.Info.Name + " has no option " + name)
}

// rewrite applies rules to every function of the module.
func (p *Pass) rewrite(rules rewrite.Set, data any) error {
	for _, f := range p.Module.Funcs {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if err := rewrite.Run(f, rules, p.Control, data, p.remarks); err != nil {
			return err
		}
	}
	return nil
}

// fire counts a firing of a rule at an op if it is allowed, for passes that drive their rules themselves.
func (p *Pass) fire(r *rewrite.Rule, o *ir.Op) bool {
	p.Control.Op, p.Control.Rule = o, r
	return p.Control.Fire(r)
}

// remark records something about an op.
func (p *Pass) remark(r *rewrite.Rule, o *ir.Op, format string, args ...any) {
	m := Remark{Pass: p.Info.Name, Op: rewrite.Name(o), Message: fmt.Sprintf(format, args...)}
	if r != nil {
		m.Rule = r.Name
	}
	if o.Block() != nil {
		m.Pos = p.Module.PosString(o.Pos)
	}
	p.remarks(m)
}

// fail is an error of a pass about an op.
func (p *Pass) fail(code string, o *ir.Op, format string, args ...any) *diag.Diagnostic {
	d := diag.Errorf(code, diag.Range{}, format, args...)
	d.Where = where(p.Module, o)
	return d
}

func where(m *ir.Module, o *ir.Op) string {
	s := rewrite.Name(o)
	if o.Block() != nil && o.Block().Func != nil {
		s = "@" + o.Block().Func.Name + ": " + s
	}
	if at := m.PosString(o.Pos); at != "" {
		s += " at " + at
	}
	return s
}

// table lists the passes in the order in which `apogee passes` shows them.
var table []*Info

// List returns the table of passes.
func List() []*Info {
	initTable()
	return table
}

// Lookup returns a pass by its name, or nil.
func Lookup(name string) *Info {
	initTable()
	for _, i := range table {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// Rules returns the rules of all passes, each once.
func Rules() rewrite.Set {
	var sets []rewrite.Set
	seen := map[string]bool{}
	for _, i := range List() {
		var own rewrite.Set
		for _, r := range i.Rules {
			if !seen[r.Name] {
				seen[r.Name] = true
				own = append(own, r)
			}
		}
		sets = append(sets, own)
	}
	return rewrite.Join(sets...)
}
