package mg

import (
	"strings"

	"apogee/ir/format"
)

// head reads a def's parameter names before anything is resolved, for the calls of it.
func (d *defDecl) head(x *Def, s *Source) {
	for _, p := range x.Params {
		d.paramNames = append(d.paramNames, p.Name.Ident.Value)
		d.paramDefault = append(d.paramDefault, p.Default != nil)
	}
	rng := s.rangeOf(x.Name)
	if len(x.Body.Tokens) > 0 {
		rng.End = x.Body.Tokens[0].Pos.Offset
	}
	d.signature = strings.Join(strings.Fields(string(rng.Text())), " ")
}

// define resolves a def or entry.
func (c *compiler) define(x *Def, d *defDecl) {
	c.def = d
	c.scope.sig = true
	for _, p := range x.Params {
		q := &param{name: p.Name.Ident.Value, at: c.at(p)}
		if p.Default != nil {
			q.def = c.expr(p.Default)
		}
		q.slot = c.add(q.name, localParam, c.file.src.rangeOf(p.Name)).slot
		d.params = append(d.params, q)
	}
	for i, p := range x.Params {
		if p.Type != nil {
			d.params[i].typ = c.pattern(p.Type, !d.entry)
		}
	}
	if r := x.Result; r != nil {
		if r.Type != nil {
			d.results = append(d.results, c.pattern(r.Type, !d.entry))
			d.names = append(d.names, "")
		}
		d.several = r.Type == nil && len(r.Items) > 1
		for _, it := range r.Items {
			name, t := "", it.Type
			if t == nil {
				t = it.Name
			} else {
				w := it.Name
				if w.Word == nil || w.Shape != nil || w.Optional {
					c.errorf(CodeSyntax, w, "the name of a result is a word")
				} else {
					name = w.Word.Ident.Value
				}
			}
			d.results = append(d.results, c.pattern(t, !d.entry))
			d.names = append(d.names, name)
		}
	}
	d.body = c.block(x.Body)
	d.slots = c.slots
	if len(d.results) > 0 && d.body.result == nil && len(c.file.src.lost) == 0 {
		end := x.Body.Tokens[len(x.Body.Tokens)-1]
		c.diags.Errorf(CodeUse, c.file.src.token(end), "%s gives no value", d.name).
			Expect(string(c.file.src.rangeOf(x.Result).Text()), "nothing").
			Helpf("the value of a block is that of its last line, which must be an expression")
	}
	if d.entry {
		c.entry(x, d)
	}
}

// entry checks that a signature can be run.
func (c *compiler) entry(x *Def, d *defDecl) {
	for i, p := range d.params {
		t := p.typ
		if t == nil || t.word != patTensor || t.fmtCode == nil || t.rest >= 0 || t.opt || p.def != nil {
			found := string(c.file.src.rangeOf(x.Params[i]).Text())
			c.errorf(CodeEntry, x.Params[i], "the input %s of entry %s is not a tensor of a given format and shape", p.name, d.name).
				Expect("a type such as i32[B, T]", found)
		}
	}
	if len(d.results) == 0 {
		c.errorf(CodeEntry, x.Name, "the entry %s gives no result", d.name).
			Helpf("write its results after the parameters: entry %s(…) -> (logits: f32[B, T, V])", d.name)
	}
	seen := map[string]bool{}
	for i, t := range d.results {
		if t.word != patTensor || t.opt {
			c.diags.Errorf(CodeEntry, t.rng(), "a result of an entry is a tensor").Expect("a type such as f32[B, T]", t.text)
		}
		if n := d.names[i]; n != "" && seen[n] {
			c.diags.Errorf(CodeDuplicate, t.rng(), "two results are named %s", n)
		} else {
			seen[n] = true
		}
	}
}

// pattern resolves a type. In a signature (sig), names with a capital that mean nothing yet become
// variables.
func (c *compiler) pattern(t *Type, sig bool) *pattern {
	p := &pattern{place: c.at(t), opt: t.Optional, fmtSlot: -1, rest: -1}
	p.text = string(c.file.src.rangeOf(t).Text())
	shape := t.Shape
	if t.Bare != nil {
		shape = t.Bare
	}
	if t.Word != nil {
		c.patternWord(p, t, shape, sig)
	}
	if shape == nil {
		return p
	}
	for _, it := range shape.Dims {
		if it.Spread {
			if p.rest >= 0 {
				c.errorf(CodeSyntax, it, "a shape leaves axes open in one place at most")
				continue
			}
			p.rest = len(p.dims)
		}
		p.dims = append(p.dims, c.dimPattern(it, sig))
	}
	return p
}

func (c *compiler) patternWord(p *pattern, t *Type, shape *Shape, sig bool) {
	word := t.Word.Ident.Value
	if shape == nil {
		kind, ok := patternWords[word]
		if !ok {
			d := c.errorf(CodeUnknown, t.Word, "%s is no type", word)
			if _, isFormat := format.Parse(word); isFormat || word == "act" {
				d.Message = "a tensor's type has a shape"
				d.Helpf("a scalar is %s[], any shape %s[..]", word, word)
			} else {
				d.Suggest(word, []string{"int", "float", "bool", "string", "format", "list", "object", "any", "dim"})
			}
			kind = patAny
		}
		p.word = kind
		return
	}
	if l := c.find(word); l != nil {
		if l.kind == localFormat {
			p.fmtSlot = l.slot
		}
		p.fmtCode = &localCode{c.at(t.Word), l.slot, word}
		return
	}
	_, isFormat := format.Parse(word)
	switch {
	case isFormat || word == "act" || c.file.lookup(word) != nil:
		p.fmtCode = c.name(t.Word)
	case sig && isCapital(word):
		p.fmtSlot = c.add(word, localFormat, c.file.src.rangeOf(t.Word)).slot
		p.fmtCode = &localCode{c.at(t.Word), p.fmtSlot, word}
	default:
		names := []string{"act"}
		for _, f := range format.All() {
			names = append(names, f.String())
		}
		d := c.errorf(CodeUnknown, t.Word, "%s is no format", word).Suggest(word, names)
		if sig {
			d.Helpf("a variable for a format begins with a capital")
		}
		p.fmtCode = c.badAt(c.at(t.Word))
	}
}

func (c *compiler) dimPattern(it *Item, sig bool) dimPattern {
	d := dimPattern{rest: it.Spread, slot: -1}
	if it.Spread {
		switch {
		case it.Rest == nil && (c.rest > 0 || sig):
			if c.rest == 0 {
				c.rest = c.slots + 1
				c.slots++
			}
			d.slot = c.rest - 1
			d.name = ".."
		case it.Rest != nil:
			n := bareName(it.Rest)
			l := (*local)(nil)
			if n != nil {
				l = c.find(n.Ident.Value)
			}
			switch {
			case l != nil && l.kind == localRest:
				d.slot, d.name = l.slot, l.name
			case l == nil && n != nil && sig && isCapital(n.Ident.Value):
				d.slot, d.name = c.add(n.Ident.Value, localRest, c.file.src.rangeOf(n)).slot, n.Ident.Value
			default:
				c.errorf(CodeSyntax, it, "after .. stands a name with a capital, or nothing")
			}
		}
		return d
	}
	if n := bareName(it.Value); n != nil {
		word := n.Ident.Value
		l := c.find(word)
		switch {
		case l != nil && l.kind == localDim:
			d.slot, d.name = l.slot, word
			return d
		case l != nil && l.kind == localRest:
			c.errorf(CodeUse, it, "%s stands for several axes", word).Helpf("write ..%s", word)
		case l == nil && sig && isCapital(word) && c.file.lookup(word) == nil:
			d.slot, d.name = c.add(word, localDim, c.file.src.rangeOf(n)).slot, word
			return d
		}
		d.x = c.expr(it.Value)
		return d
	}
	seen := map[string]bool{}
	for i, t := range it.Value.Tokens {
		if t.Type != tokIdent || seen[t.Value] || i > 0 && it.Value.Tokens[i-1].Value == "." {
			continue
		}
		seen[t.Value] = true
		l := c.find(t.Value)
		if l == nil && sig && isCapital(t.Value) && c.file.lookup(t.Value) == nil {
			l = c.add(t.Value, localDim, c.file.src.token(t))
		}
		if l != nil && l.kind == localDim {
			d.vars = append(d.vars, dimVar{l.slot, t.Value})
		}
	}
	d.x = c.expr(it.Value)
	return d
}

// bareName returns the name that an expression is, or nil.
func bareName(e *Expr) *Name {
	if e == nil || len(e.Rest) > 0 || len(e.First.Ops) > 0 || len(e.First.Operand.Suffixes) > 0 {
		return nil
	}
	n, _ := e.First.Operand.Base.(*Name)
	return n
}

// block resolves the statements of a block in a scope of its own.
func (c *compiler) block(b *Block) *blockCode {
	y := &blockCode{place: c.at(b)}
	c.push()
	for i, s := range b.Stmts {
		if e, ok := s.(*ExprStmt); ok && e.Value == nil && i == len(b.Stmts)-1 {
			y.result = c.expr(e.Target)
			break
		}
		if st := c.stmt(s); st != nil {
			y.stmts = append(y.stmts, st)
		}
	}
	c.pop()
	return y
}

func (c *compiler) stmt(s Stmt) stmt {
	switch s := s.(type) {
	case *Let:
		return c.let(s)
	case *Weight:
		return c.weight(s)
	case *For:
		st := &forStmt{place: c.at(s.Var), over: c.expr(s.Over)}
		c.push()
		st.slot = c.add(s.Var.Ident.Value, localLet, c.file.src.rangeOf(s.Var)).slot
		st.body = c.block(s.Body)
		c.pop()
		return st
	case *Scope:
		return &scopeStmt{c.at(s), c.expr(s.Name)}
	case *Tap:
		return &tapStmt{c.at(s), c.expr(s.Name), c.expr(s.Value)}
	case *Require:
		return c.require(s)
	case *ExprStmt:
		if s.Value != nil {
			return c.assign(s)
		}
		x := c.expr(s.Target)
		switch x.(type) {
		case *binaryCode, *unaryCode, *localCode, *memberCode, *indexCode, *listCode, *castCode, *textCode:
			c.diags.Warnf(CodeUnused, c.file.src.rangeOf(s), "the value is not used").Helpf("name it with let, or leave it out")
		}
		return &exprStmt{c.at(s), x}
	}
	return nil
}

func (c *compiler) require(s *Require) *requireStmt {
	st := &requireStmt{place: c.at(s.Cond), cond: c.expr(s.Cond)}
	if s.Message != nil {
		st.message = c.expr(s.Message)
	}
	return st
}

func (c *compiler) let(s *Let) stmt {
	st := &letStmt{place: c.at(s), x: c.expr(s.Value), multi: len(s.Names) > 1}
	if s.Type != nil {
		st.typ = c.pattern(s.Type, false)
		if st.multi {
			c.errorf(CodeSyntax, s.Type, "a type is given to one name")
		}
	}
	kind := localLet
	if s.Kind.Value == "var" {
		kind = localVar
	}
	for _, n := range s.Names {
		if n.Ident.Value == "_" {
			st.slots = append(st.slots, -1)
			st.names = append(st.names, "")
			continue
		}
		l := c.add(n.Ident.Value, kind, c.file.src.rangeOf(n))
		l.warn = true
		st.slots = append(st.slots, l.slot)
		st.names = append(st.names, l.name)
	}
	return st
}

func (c *compiler) weight(s *Weight) stmt {
	st := &weightStmt{place: c.at(s.Name), name: s.Name.Ident.Value, mark: -1}
	if s.Stack != nil {
		st.over = c.expr(s.Stack.Range)
	}
	st.typ = c.pattern(s.Type, false)
	if st.typ.word != patTensor || st.typ.rest >= 0 || st.typ.opt {
		c.errorf(CodeDeclaration, s.Type, "a weight has a shape").Expect("a type such as [F, D] or f32[F, D]", st.typ.text)
	}
	c.push()
	if s.Stack != nil {
		l := c.add(s.Stack.Var.Ident.Value, localMark, c.file.src.rangeOf(s.Stack.Var))
		l.warn = true
		st.mark = l.slot
	}
	st.path = c.expr(s.Value)
	st.pathP = c.at(s.Value)
	c.pop()
	l := c.add(st.name, localLet, c.file.src.rangeOf(s.Name))
	l.warn = true
	st.slot = l.slot
	return st
}

// assign resolves an assignment: to a var of the block, or to a state.
func (c *compiler) assign(s *ExprStmt) stmt {
	x := c.expr(s.Value)
	p := c.at(s.Target)
	u := s.Target.First
	n, ok := u.Operand.Base.(*Name)
	if !ok || len(s.Target.Rest) > 0 || len(u.Ops) > 0 || len(u.Operand.Suffixes) > 1 {
		c.errorf(CodeUse, s.Target, "this cannot be assigned").Expect("a var or a state", string(p.rng().Text()))
		return nil
	}
	word := n.Ident.Value
	var ix *Index
	if len(u.Operand.Suffixes) == 1 {
		if ix, ok = u.Operand.Suffixes[0].(*Index); !ok {
			c.errorf(CodeUse, s.Target, "this cannot be assigned").Expect("a var or a state", string(p.rng().Text()))
			return nil
		}
	}
	if l := c.find(word); l != nil {
		switch {
		case l.kind != localVar:
			c.errorf(CodeUse, n, "%s cannot be assigned", word).Expect("a var or a state", localNames[l.kind]+" "+word).
				Note(l.at, "it is defined here").Helpf("define it with var")
			return nil
		case ix != nil:
			c.errorf(CodeUse, s.Target, "a part of %s cannot be assigned", word).Helpf("use update(x, y, at, axis=…), which gives the changed tensor")
			return nil
		}
		return &assignStmt{p, l.slot, word, x}
	}
	switch d := c.file.lookup(word).(type) {
	case *stateDecl:
		st := &assignState{place: p, state: d, x: x}
		if ix == nil && !d.row {
			return st
		}
		if ix == nil || !d.row || len(ix.Items) != 1 || ix.Items[0].From == nil || ix.Items[0].Slice != nil {
			want := word
			if d.row {
				want += "[i]"
			}
			c.errorf(CodeUse, s.Target, "a state is assigned whole").Expect(want, string(p.rng().Text())).
				Helpf("use update(x, y, at, axis=…), which gives the changed tensor").Note(d.at, "it is declared here")
			return nil
		}
		st.index = c.expr(ix.Items[0].From)
		return st
	case nil:
		if !c.file.src.lost[word] {
			c.errorf(CodeUnknown, n, "%s is not defined", word).Suggest(word, c.candidates()).Helpf("a new name is introduced by let or var")
		}
		return nil
	}
	c.errorf(CodeUse, n, "%s cannot be assigned", word).Expect("a var or a state", word)
	return nil
}

var localNames = [...]string{"the constant", "the var", "the parameter", "the dimension", "the format", "the axes", "the index"}
