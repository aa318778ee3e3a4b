package mg

func (s *letStmt) run(l *lowering, fr []value) {
	v := s.x.eval(l, fr)
	if s.typ != nil && v.kind != kBad && !l.matchValue(s.typ, fr, v, s.x.where(), s.names[0]) {
		v = bad
	}
	if !s.multi {
		if v.kind == kTuple {
			v = l.spread(v, 1, s.x.where())[0]
		}
		l.bind(s.slots[0], s.names[0], v, fr)
		return
	}
	for i, x := range l.spread(v, len(s.slots), s.x.where()) {
		l.bind(s.slots[i], s.names[i], x, fr)
	}
}

// bind puts a value in a slot, and the name on a tensor that has none yet.
func (l *lowering) bind(slot int, name string, v value, fr []value) {
	if slot < 0 {
		return
	}
	fr[slot] = v
	if v.kind == kTensor {
		if t := v.tensor(); t.Name == "" && t.Def() != nil && t.Def().Info.Name != "constant" {
			t.Name = name
		}
	}
}

func (s *assignStmt) run(l *lowering, fr []value) {
	v := s.x.eval(l, fr)
	old := fr[s.slot]
	if v.kind == kBad || old.kind == kBad {
		fr[s.slot] = bad
		return
	}
	if v.kind == kTensor && old.kind == kTensor {
		if l.abstract && openType(v.tensor().Type, old.tensor().Type) {
			v = bad
		} else if !v.tensor().Type.Equal(old.tensor().Type) {
			l.report(CodeShape, s.x.where(), "%s changes its type", s.name).Expect(old.String(), v.String()).
				Helpf("a var keeps its type; give the new value another name")
			v = bad
		}
	} else if v.kind != old.kind && old.kind != kNone && (!isNumber(v) || !isNumber(old)) {
		l.report(CodeType, s.x.where(), "%s changes its kind", s.name).Expect(old.describe(), v.describe())
		v = bad
	}
	l.bind(s.slot, s.name, v, fr)
}

func isNumber(v value) bool { _, _, ok := v.number(); return ok }

func (s *assignState) run(l *lowering, fr []value) {
	v := s.x.eval(l, fr)
	slot := l.stateSlot(s.state, s.index, fr, s.place)
	if slot == nil || v.kind == kBad {
		return
	}
	if v.kind != kTensor {
		l.report(CodeType, s.x.where(), "a state is a tensor").Expect((*slot).Type.String(), v.describe())
		return
	}
	if t := v.tensor().Type; !t.Equal((*slot).Type) {
		if l.abstract && openType(t, (*slot).Type) {
			return
		}
		code := CodeShape
		if t.Format != (*slot).Type.Format {
			code = CodeFormat
		}
		l.report(code, s.x.where(), "the state %s keeps its type", s.state.name).Expect((*slot).Type.String(), t.String()).
			Note(s.state.at, "it is declared here")
		return
	}
	*slot = v.tensor()
}

func (s *forStmt) run(l *lowering, fr []value) {
	over, ok := l.iterable(s.over, fr)
	if !ok {
		return
	}
	before := l.ops
	for i, x := range over {
		if !l.step(s.place) {
			return
		}
		fr[s.slot] = x
		s.body.eval(l, fr)
		if i >= roundsToJudge && (i&(roundsToJudge-1)) == 0 {
			l.judgeLoop(s.place, before, i+1, len(over))
		}
	}
}

// A loop is judged by its first rounds, so that one that asks for too much is refused at once and not after gigabytes.
const (
	roundsToJudge = 256
	opsToJudge    = 20_000
)

// judgeLoop refuses a loop that gave many ops in its first rounds if as many in each further one came to more than a fourth beyond the limit.
func (l *lowering) judgeLoop(at *place, before, done, rounds int) {
	made := l.ops - before
	if made < opsToJudge {
		return
	}
	most := l.opt.MaxOps
	if total := float64(before) + float64(made)/float64(done)*float64(rounds); total > 1.25*float64(most) {
		l.halt(at, "the module would have some %.2g ops, and may have %d: this loop adds %d a round, %d times", total, most, made/done, rounds)
	}
}

func (s *scopeStmt) run(l *lowering, fr []value) {
	v := s.name.eval(l, fr)
	if v.kind != kString {
		if v.kind != kBad {
			l.report(CodeType, s.name.where(), "the name of a scope is a string").Expect("a string", v.describe())
		}
		return
	}
	name := v.str()
	if l.scope != "" {
		name = l.scope + "." + name
	}
	if len(name) > MaxText {
		l.halt(s.place, "the name of the scope has more than %d bytes", MaxText)
		return
	}
	l.scope, l.scopeID = name, l.mod.Scope(name)
}

func (s *tapStmt) run(l *lowering, fr []value) {
	name, v := s.name.eval(l, fr), s.x.eval(l, fr)
	switch {
	case name.kind == kBad || v.kind == kBad:
	case name.kind != kString:
		l.report(CodeType, s.name.where(), "the name of a tap is a string").Expect("a string", name.describe())
	case v.kind != kTensor:
		l.report(CodeType, s.x.where(), "a tap takes a tensor").Expect("a tensor", v.describe())
	default:
		l.tap(s.place, name.str(), v.tensor())
	}
}

func (s *requireStmt) run(l *lowering, fr []value) {
	yes, ok := l.condition(s.cond, fr)
	if !ok || yes {
		return
	}
	msg := "what is required does not hold"
	if s.message != nil {
		if m := s.message.eval(l, fr); m.kind == kString {
			msg = m.str()
		}
	}
	l.report(CodeRequire, s.place, "%s", msg).Expect(string(s.place.rng().Text()), "false")
}

func (s *exprStmt) run(l *lowering, fr []value) { s.x.eval(l, fr) }
