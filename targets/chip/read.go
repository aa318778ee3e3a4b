package chip

import (
	"strings"

	"apogee/ir/diag"
)

// reader turns statements into a description.
type reader struct {
	chip       *Chip
	list       *diag.List
	clock      float64 // Hz; 0 while unknown
	refs       []ref
	usedSource map[string]bool
	auto       []string
	autoAt     diag.Range
}

// ref is the use of a name, checked when all names are known.
type ref struct {
	kind, name string
	rng        diag.Range
}

func (r *reader) source(name string) *Source {
	for i := range r.chip.Sources {
		if r.chip.Sources[i].Name == name {
			return &r.chip.Sources[i]
		}
	}
	return nil
}

// within is what a block describes: one of the pointers is set, besides chip.
type within struct {
	name string // for facts: "memory ub"
	chip *Chip
	mem  *Memory
	eng  *Engine
	rate *MatrixRate
	path *Path
	link *Link
	dies *Dies
	// contest is read when all numbers are.
	contest *Contested
	sys     *System
	served  *Served
}

// block reads the statements of a block. at is where missing keys are reported.
func (r *reader) block(keys []key, stmts []*stmt, in within, at diag.Range) {
	first := map[string]*stmt{}
	have := map[string]bool{}
	for _, s := range stmts {
		if !s.isCode() {
			continue
		}
		k := find(keys, s.key())
		if k == nil {
			r.unknown(keys, s)
			continue
		}
		have[k.name] = true
		id := k.identity(s)
		if f := first[id]; f != nil {
			d := r.list.Errorf(codeTwice, s.line(), "%s stands twice", id)
			d.Note(f.line(), "here it stands first")
			if hasNumber(s) && hasNumber(f) {
				d.Helpf("if sources contradict one another, keep one and name the other under contested")
			}
			continue
		}
		first[id] = s
		if k.late {
			continue
		}
		r.statement(k, s, in)
	}
	for _, k := range keys {
		if k.required && !have[k.name] {
			r.list.Errorf(codeMissing, at, "%s has no %s", in.what(), k.name).Helpf("add: %s", k.syntax)
		}
	}
}

// late reads the statements of one key that had to wait.
func (r *reader) only(name string, keys []key, stmts []*stmt, in within) {
	k := find(keys, name)
	done := map[string]bool{}
	for _, s := range stmts {
		if s.isCode() && s.key() == name && !done[k.identity(s)] {
			done[k.identity(s)] = true
			r.statement(k, s, in)
		}
	}
}

func (r *reader) statement(k *key, s *stmt, in within) {
	c := &cursor{r: r, s: s, i: 1, prefix: in.name}
	switch {
	case s.Block != nil && k.inner == nil && !k.open:
		c.fail(codeArgument, tokRange(s.src, s.Block.Open), "%s takes no block", k.name).Helpf("write: %s", k.syntax)
		return
	case s.Block == nil && (k.inner != nil || k.open) && !k.optional:
		c.fail(codeArgument, s.line(), "%s needs a block", k.name).Helpf("write: %s", k.syntax)
		return
	}
	k.read(c, in)
	c.finish()
}

func (w within) what() string {
	if w.name != "" {
		return w.name
	}
	return "the chip"
}

// unknown reports a key that the block does not have.
func (r *reader) unknown(keys []key, s *stmt) {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	w := s.key()
	if w == "" {
		r.list.Errorf(codeKey, s.head(), "a statement begins with a word").
			Expect("one of "+strings.Join(names, ", "), s.Args[0].Tok.Value)
		return
	}
	d := r.list.Errorf(codeKey, s.head(), "unknown key %q", w).Suggest(w, names)
	if d.Suggestion == "" {
		d.Expected = "one of " + strings.Join(names, ", ")
		for _, b := range blocks {
			if find(b.keys, w) != nil {
				d.Helpf("%s is a key of %s", w, b.name)
				break
			}
		}
	}
}

// read turns the body of a chip statement into a description.
func (r *reader) read(body []*stmt, at diag.Range) {
	in := within{chip: r.chip}
	r.only("sources", chipKeys, body, in)
	r.only("clock", chipKeys, body, in)
	r.block(chipKeys, body, in, at)
	r.aggregate()
	r.only("contested", chipKeys, body, in)
	r.resolve()
	r.finish()
}

// resolve looks up the names that were used.
func (r *reader) resolve() {
	var mems, engines []string
	for _, m := range r.chip.Memories {
		mems = append(mems, m.Name)
	}
	for _, e := range r.chip.Engines {
		engines = append(engines, e.Name)
	}
	for _, f := range r.refs {
		switch f.kind {
		case "memory":
			if r.chip.Memory(f.name) == nil {
				r.list.Errorf(codeMemory, f.rng, "there is no memory %q", f.name).Suggest(f.name, mems)
			}
		case "DMA engine":
			e := r.chip.Engine(f.name)
			if e == nil {
				r.list.Errorf(codeEngine, f.rng, "there is no engine %q", f.name).Suggest(f.name, engines)
			} else if e.Kind != DMA && e.Kind != 0 {
				r.list.Errorf(codeEngine, f.rng, "engine %s moves no data", f.name).
					Expect("an engine of kind dma", "kind "+e.Kind.String())
			}
		}
	}
}
