package mg

import (
	"sort"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
)

// resolver binds the names of a program's declarations.
type resolver struct {
	p     *Program
	diags *diag.List
	defs  map[*Def]*defDecl
	lets  map[*Let]*letDecl
	sts   map[*State]*stateDecl
	fills []func()
}

// run declares all names first and then resolves what they stand for, so that order in a file does not
// matter.
func (r *resolver) run() {
	r.defs, r.lets, r.sts = map[*Def]*defDecl{}, map[*Let]*letDecl{}, map[*State]*stateDecl{}
	for _, f := range r.p.files {
		r.declare(f)
	}
	for _, f := range r.p.files {
		r.visible(f)
		r.symbols(f)
	}
	for _, f := range r.p.files {
		for _, d := range f.src.File.Decls {
			if c, ok := d.(*Config); ok {
				r.config(f, c)
			}
		}
	}
	for _, fill := range r.fills { // when every field is known
		fill()
	}
	for _, f := range r.p.files {
		for _, d := range f.src.File.Decls {
			r.decl(f, d)
		}
	}
	// The main file's entries come first: the first is what runs when none is named.
	sort.SliceStable(r.p.entries, func(i, j int) bool {
		return r.p.entries[i].place.id == r.p.main.id && r.p.entries[j].place.id != r.p.main.id
	})
	seen := map[string]*defDecl{}
	for _, e := range r.p.entries {
		if other := seen[e.name]; other != nil {
			r.diags.Errorf(CodeDuplicate, e.at, "the entry %s is already defined", e.name).Note(other.at, "it is defined here")
		}
		seen[e.name] = e
	}
	if r.p.Doc == "" {
		r.p.Doc = r.p.main.src.header()
	}
	r.recursion()
}

func (r *resolver) declare(f *file) {
	for _, d := range f.src.File.Decls {
		switch d := d.(type) {
		case *Let:
			ld := &letDecl{at: f.src.rangeOf(d.Names[0]), index: len(r.p.lets)}
			for _, n := range d.Names {
				ld.names = append(ld.names, n.Ident.Value)
				r.name(f, n, ld)
			}
			r.p.lets = append(r.p.lets, ld)
			r.lets[d] = ld
			if d.Kind.Value == "var" {
				r.diags.Errorf(CodeDeclaration, f.src.token(d.Kind), "a var at the top of a file cannot be assigned").Suggestion = "let"
			}
		case *State:
			sd := &stateDecl{name: d.Name.Ident.Value, row: d.Count != nil, at: f.src.rangeOf(d.Name), index: len(r.p.states)}
			r.name(f, d.Name, sd)
			r.p.states = append(r.p.states, sd)
			r.sts[d] = sd
		case *Def:
			dd := &defDecl{name: d.Name.Ident.Value, at: f.src.rangeOf(d.Name), entry: d.Kind.Value == "entry", doc: f.src.docOf(d)}
			dd.place = f.placeOf(d.Name)
			dd.head(d, f.src)
			r.name(f, d.Name, dd)
			r.defs[d] = dd
			if dd.entry {
				r.p.entries = append(r.p.entries, dd)
			}
		}
	}
}

// name puts a declaration under a name of a file.
func (r *resolver) name(f *file, n *Name, d decl) {
	word, rng := n.Ident.Value, f.src.rangeOf(n)
	if what := reserved(word); what != "" {
		r.diags.Errorf(CodeDuplicate, rng, "%s is %s", word, what).Helpf("choose another name")
		return
	}
	if other, ok := f.names[word]; ok {
		r.diags.Errorf(CodeDuplicate, rng, "%s is already defined", word).Note(other.declared(), "it is defined here")
		return
	}
	f.names[word] = d
}

// reserved says what a word already means in the language, or "".
func reserved(word string) string {
	if op.Lookup(word) != nil {
		return "an op"
	}
	if _, ok := format.Parse(word); ok || word == "act" {
		return "a format"
	}
	if _, ok := builtins[word]; ok {
		return "a function of the language"
	}
	if _, ok := patternWords[word]; ok {
		return "a type"
	}
	return ""
}

// visible reports names that two imports of a file both define and the file uses; a file's own names
// hide those it imports.
func (r *resolver) visible(f *file) {
	for i, a := range f.imports {
		for _, b := range f.imports[i+1:] {
			var both []string
			for n := range b.names {
				if _, ok := a.names[n]; ok && f.names[n] == nil {
					both = append(both, n)
				}
			}
			sort.Strings(both)
			for _, n := range both {
				r.diags.Errorf(CodeDuplicate, b.names[n].declared(), "%s is defined by two imports of %s", n, f.src.Name).
					Note(a.names[n].declared(), "it is also defined here")
			}
		}
	}
}

// lookup finds a name of a file or of its imports.
func (f *file) lookup(name string) decl {
	if d, ok := f.names[name]; ok {
		return d
	}
	for _, g := range f.imports {
		if d, ok := g.names[name]; ok {
			if dd, isDef := d.(*defDecl); isDef && dd.entry {
				continue
			}
			return d
		}
	}
	return nil
}

// candidates are the names that a file may use, for suggestions.
func (f *file) candidates() []string {
	var out []string
	add := func(names map[string]decl) {
		for n := range names {
			out = append(out, n)
		}
	}
	add(f.names)
	for _, g := range f.imports {
		add(g.names)
	}
	sort.Strings(out)
	return out
}

// symbols collects the dimension symbols of a file's entries and states: names that begin with a
// capital and are no constants.
func (r *resolver) symbols(f *file) {
	add := func(s *Shape) {
		if s == nil {
			return
		}
		for _, it := range s.Dims {
			for _, t := range it.Tokens {
				if t.Type == tokIdent && isCapital(t.Value) && f.lookup(t.Value) == nil {
					r.p.symbols[t.Value] = true
				}
			}
		}
	}
	shapes := func(t *Type) {
		if t != nil {
			add(t.Shape)
			add(t.Bare)
		}
	}
	for _, d := range f.src.File.Decls {
		switch d := d.(type) {
		case *State:
			shapes(d.Type)
		case *Def:
			if d.Kind.Value == "entry" {
				for _, p := range d.Params {
					shapes(p.Type)
				}
			}
		}
	}
}

func isCapital(s string) bool { return s != "" && s[0] >= 'A' && s[0] <= 'Z' }

// placeOf is the place of a piece of the tree.
func (f *file) placeOf(n Syntax) *place {
	t := n.node().Tokens
	if len(t) == 0 {
		return &place{src: f.src, id: f.id, line: 1, col: 1}
	}
	last := t[len(t)-1]
	return &place{
		src: f.src, id: f.id, start: int32(t[0].Pos.Offset), end: int32(last.Pos.Offset + len(last.Value)),
		line: int32(t[0].Pos.Line), col: int32(t[0].Pos.Column),
	}
}

// placeOfToken is the place of a token.
func (f *file) placeOfToken(t lexer.Token) *place {
	return &place{
		src: f.src, id: f.id, start: int32(t.Pos.Offset), end: int32(t.Pos.Offset + len(t.Value)),
		line: int32(t.Pos.Line), col: int32(t.Pos.Column),
	}
}

func (r *resolver) compiler(f *file) *compiler {
	return &compiler{p: r.p, file: f, diags: r.diags, scope: &scope{names: map[string]*local{}}}
}

func (r *resolver) decl(f *file, d Decl) {
	c := r.compiler(f)
	switch d := d.(type) {
	case *Model:
		r.model(f, d)
	case *Let:
		ld := r.lets[d]
		ld.x = c.expr(d.Value)
		if d.Type != nil {
			ld.typ = c.pattern(d.Type, false)
		}
		ld.slots = c.slots
	case *State:
		sd := r.sts[d]
		if d.Count != nil {
			sd.count = c.expr(d.Count)
		}
		sd.typ = c.pattern(d.Type, false)
		sd.slots = c.slots
		if sd.typ.word != patTensor || sd.typ.rest >= 0 || sd.typ.fmtCode == nil {
			r.diags.Errorf(CodeDeclaration, f.src.rangeOf(d.Type), "a state is a tensor with a format and a shape").
				Expect("a type such as act[B, S, 64]", string(f.src.rangeOf(d.Type).Text()))
		}
	case *Require:
		st := c.require(d)
		r.p.requires = append(r.p.requires, st)
		r.p.reqSlots = max(r.p.reqSlots, c.slots)
	case *Def:
		c.define(d, r.defs[d])
	}
}

// model reads a model declaration. Only that of the main file says anything.
func (r *resolver) model(f *file, m *Model) {
	if f != r.p.main {
		return
	}
	r.p.Name = m.Name.Value
	r.p.Doc = f.src.docOf(m)
	seen := map[string]bool{}
	for _, fact := range m.Facts {
		name := fact.Name.Value
		if seen[name] {
			r.diags.Errorf(CodeDuplicate, f.src.token(fact.Name), "%s is given twice", name)
			continue
		}
		seen[name] = true
		switch name {
		case "architectures", "model_types":
			list := literalStrings(fact.Value)
			if list == nil {
				r.diags.Errorf(CodeDeclaration, f.src.rangeOf(fact.Value), "%s is a list of strings", name).
					Expect(`a list such as ["LlamaForCausalLM"]`, string(f.src.rangeOf(fact.Value).Text()))
			}
			if name == "architectures" {
				r.p.Architectures = list
			} else {
				r.p.ModelTypes = list
			}
		case "extra":
			c := r.compiler(f)
			r.p.extra = c.expr(fact.Value)
			r.p.reqSlots = max(r.p.reqSlots, c.slots)
		default:
			r.diags.Errorf(CodeDeclaration, f.src.token(fact.Name), "a model has no %q", name).
				Suggest(name, []string{"architectures", "model_types", "extra"}).
				Expect("architectures, model_types or extra", name)
		}
	}
}

// literalStrings returns the items of a list of plain strings, or nil.
func literalStrings(e *Expr) []string {
	if len(e.Rest) > 0 || len(e.First.Ops) > 0 || len(e.First.Operand.Suffixes) > 0 {
		return nil
	}
	l, ok := e.First.Operand.Base.(*List)
	if !ok || l.Gen != nil {
		return nil
	}
	var out []string
	for _, it := range append(l.Items[:len(l.Items):len(l.Items)], l.More...) {
		if it.Value == nil || len(it.Value.Tokens) != 1 || it.Value.Tokens[0].Type != tokString {
			return nil
		}
		out = append(out, unquoted(it.Value.Tokens[0].Value))
	}
	return out
}

// config adds a config or options declaration to the program's.
func (r *resolver) config(f *file, c *Config) {
	into := r.p.config
	if c.Kind.Value == "options" {
		into = r.p.options
	}
	r.items(f, into, c.Items)
}

func (r *resolver) items(f *file, into *fields, items []*ConfigItem) {
	for _, it := range items {
		for _, n := range it.Ignore {
			into.ignore[n.Ident.Value] = f.src.rangeOf(n)
		}
		if it.Field == nil {
			continue
		}
		c := r.compiler(f)
		fd := &field{at: f.src.rangeOf(it.Field.Names[0]), typ: r.fieldType(f, it.Field.Type), source: f.src}
		for _, n := range it.Field.Names {
			word := n.Ident.Value
			if other, _ := into.lookup(word); other != nil {
				r.diags.Errorf(CodeDuplicate, f.src.rangeOf(n), "the field %s is already declared", word).Note(other.at, "it is declared here")
				continue
			}
			into.index[word] = len(into.list)
			fd.names = append(fd.names, word)
		}
		if len(fd.names) == 0 {
			continue
		}
		into.list = append(into.list, fd)
		r.fills = append(r.fills, func() {
			if it.Field.Default != nil {
				fd.def = c.expr(it.Field.Default)
			}
			if w := it.Field.Where; w != nil {
				fd.where = &constraint{cond: c.expr(w.Cond), at: f.src.rangeOf(w)}
				if w.Op != nil {
					fd.where.op = w.Op.Op.Value
				}
			}
			fd.frame = c.slots
		})
	}
}

func (r *resolver) fieldType(f *file, t *ConfigType) *fieldType {
	out := &fieldType{optional: t.Optional}
	switch {
	case t.Word != nil:
		kind, ok := fieldWords[t.Word.Ident.Value]
		if !ok {
			words := make([]string, 0, len(fieldWords))
			for w := range fieldWords {
				words = append(words, w)
			}
			sort.Strings(words)
			r.diags.Errorf(CodeUnknown, f.src.rangeOf(t.Word), "%s is no type of a field", t.Word.Ident.Value).
				Suggest(t.Word.Ident.Value, words).
				Expect(`int, float, bool, string, "a" | "b", [int] or { … }`, t.Word.Ident.Value)
		}
		out.kind = kind
	case len(t.Values) > 0:
		out.kind = fieldOneOf
		for _, v := range t.Values {
			out.oneOf = append(out.oneOf, unquoted(v.Value.Value))
		}
	case t.Elem != nil:
		out.kind, out.elem = fieldList, r.fieldType(f, t.Elem)
	case t.Fields != nil:
		out.kind, out.fields = fieldObject, newFields()
		r.items(f, out.fields, t.Fields.Items)
	}
	return out
}

// recursion reports defs that call themselves: a depth-first search over the calls.
func (r *resolver) recursion() {
	var path []*defDecl
	var visit func(d *defDecl)
	visit = func(d *defDecl) {
		d.state = 1
		path = append(path, d)
		for _, e := range d.calls {
			switch e.to.state {
			case 0:
				visit(e.to)
			case 1:
				names := []string{}
				for i := len(path) - 1; i >= 0; i-- {
					names = append([]string{path[i].name}, names...)
					if path[i] == e.to {
						break
					}
				}
				r.diags.Errorf(CodeRecursion, e.at.rng(), "%s calls itself", e.to.name).
					Helpf("%s calls %s: a def is expanded where it is called, so this has no end; use a loop", strings.Join(names, " calls "), e.to.name)
			}
		}
		path = path[:len(path)-1]
		d.state = 2
	}
	for _, f := range r.p.files {
		for _, d := range f.src.File.Decls {
			if x, ok := d.(*Def); ok && r.defs[x].state == 0 {
				visit(r.defs[x])
			}
		}
	}
}
