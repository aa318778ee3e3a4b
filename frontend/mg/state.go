package mg

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
)

// initStates makes the states parameters of the entry, on the first touch of one.
func (l *lowering) initStates(at *place) bool {
	if l.hasStates {
		return true
	}
	if l.fn == nil || l.noTensor != "" {
		l.report(CodeType, at, "a state cannot be used here: %s", l.noTensor)
		return false
	}
	l.hasStates = true
	total := int64(0)
	for _, s := range l.p.states {
		fr := newFrame(s.slots)
		n := int64(1)
		if s.row {
			v := s.count.eval(l, fr)
			c, ok := v.int()
			if l.abstract && !ok {
				c, ok = 1, true
			}
			if !ok || c < 0 || c > MaxList {
				if v.kind != kBad {
					l.report(CodeType, s.count.where(), "the number of states is an int").Expect("an int of at least 0", v.describe())
				}
				c = 0
			}
			n = c
		}
		if total += n; total > MaxStates {
			if s.row {
				at = s.count.where()
			}
			l.halt(at, "the entry has more than %d states: %s alone has %d", MaxStates, s.name, n)
			return false
		}
		t, ok := l.typeOf(s.typ, fr)
		row := make([]*ir.Value, 0, min(n, 1024))
		for i := int64(0); i < n && ok; i++ {
			name := s.name
			if s.row {
				name += "." + strconv.FormatInt(i, 10)
			}
			row = append(row, l.fn.AddState(name, t))
		}
		l.states = append(l.states, row)
	}
	return true
}

// stateSlot finds a state of a row; nil after an error.
func (l *lowering) stateSlot(s *stateDecl, index code, fr []value, at *place) **ir.Value {
	if !l.initStates(at) {
		return nil
	}
	if s.index >= len(l.states) {
		return nil // there were too many
	}
	row := l.states[s.index]
	i := int64(0)
	if index != nil {
		v := index.eval(l, fr)
		if v.kind == kBad {
			return nil
		}
		var ok bool
		if i, ok = v.int(); !ok {
			if l.abstract && v.kind == kInt && len(row) > 0 {
				return &row[0]
			}
			l.report(CodeType, index.where(), "the index of a state is an int").Expect("an int", v.describe())
			return nil
		}
	} else if s.row {
		l.report(CodeType, at, "%s is a row of states", s.name).Helpf("write %s[i]", s.name)
		return nil
	}
	if i < 0 || i >= int64(len(row)) {
		if len(row) > 0 || s.row {
			l.report(CodeType, at, "%s has no state %d", s.name, i).Expect(fmt.Sprintf("an index below %d", len(row)), strconv.FormatInt(i, 10))
		}
		return nil
	}
	return &row[i]
}

// tap keeps a value as a further result if its name was asked for.
func (l *lowering) tap(at *place, name string, v *ir.Value) {
	if !l.tapSeen[name] {
		l.tapSeen[name] = true
		l.taps = append(l.taps, name)
	}
	for _, p := range l.opt.Taps {
		if ok, err := path.Match(p, name); err != nil || !ok {
			continue
		}
		if l.tapAt[name] {
			l.report(CodeDuplicate, at, "two taps are named %q", name)
			return
		}
		l.tapAt[name] = true
		l.tapped = append(l.tapped, v)
		l.tapNames = append(l.tapNames, name)
		return
	}
}

// tapsMatched reports patterns that no tap matched.
func (l *lowering) tapsMatched() {
	if l.diags.HasErrors() {
		return
	}
	for _, p := range l.opt.Taps {
		found := false
		for _, t := range l.taps {
			ok, err := path.Match(p, t)
			if err != nil {
				l.diags.Errorf(CodeSet, diag.Range{}, "%q is not a pattern of tap names", p)
				found = true
				break
			}
			found = found || ok
		}
		if !found {
			list := l.taps
			if len(list) > 12 {
				list = append(list[:12:12], "…")
			}
			l.diags.Errorf(CodeSet, diag.Range{}, "no tap of %s is named %q", l.p.Name, p).Suggest(p, l.taps).
				Expect("one of "+strings.Join(list, ", "), p)
		}
	}
}
