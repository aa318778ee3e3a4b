package chip

// merge lays the statements of a file over those of the one it extends: a statement of the same identity
// replaces the other's words if it has any beyond that identity, and blocks are merged in the same way; what is
// new comes last. "without KEY NAME" takes a statement away.
func (r *reader) merge(keys []key, base, over []*stmt) []*stmt {
	out := make([]*stmt, 0, len(base)+len(over))
	at := map[string]int{}
	for _, s := range base {
		k := find(keys, s.key())
		if k == nil || k.name == "extends" {
			continue
		}
		if id := k.identity(s); s.isCode() {
			if _, dup := at[id]; !dup {
				at[id] = len(out)
			}
			out = append(out, s)
		}
	}
	fresh := map[string]bool{} // stated by over: a second one is a mistake that block reports
	for _, s := range over {
		if !s.isCode() {
			continue
		}
		if s.key() == "without" {
			r.without(keys, out, at, s)
			continue
		}
		k := find(keys, s.key())
		if k == nil {
			out = append(out, s)
			continue
		}
		id := k.identity(s)
		i, replaces := at[id]
		if !replaces || fresh[id] || out[i] == nil {
			if !replaces {
				at[id] = len(out)
			}
			fresh[id] = true
			out = append(out, s)
			continue
		}
		fresh[id] = true
		out[i] = r.overlay(k, out[i], s)
	}
	kept := out[:0]
	for _, s := range out {
		if s != nil {
			kept = append(kept, s)
		}
	}
	return kept
}

func (r *reader) without(keys []key, out []*stmt, at map[string]int, s *stmt) {
	if len(s.Args) > 1 && s.Args[1].Tok.Type == tWord {
		rest := &stmt{Args: s.Args[1:], src: s.src}
		if k := find(keys, rest.key()); k != nil {
			if i, ok := at[k.identity(rest)]; ok && out[i] != nil && out[i].src != s.src {
				out[i] = nil
				delete(at, k.identity(rest))
				return
			}
		}
	}
	r.list.Errorf(codeWithout, s.line(), "there is nothing of this name to take away").
		Helpf("write: without KEY NAME, as it stands in the file that this one extends")
}

// overlay puts one statement over another of the same identity.
func (r *reader) overlay(k *key, base, over *stmt) *stmt {
	m := *over
	// With a block and no more than its identity, it only changes the block.
	if k.names < 0 && over.Block != nil && !hasNumber(over) {
		m.Args, m.src = base.Args, base.src
	}
	switch {
	case base.Block == nil:
	case over.Block == nil:
		m.Block = base.Block
	case k.open:
		b := *base.Block
		b.Stmts = mergeOpen(base.Block.Stmts, over.Block.Stmts)
		m.Block = &b
	default:
		b := *base.Block
		b.Stmts = r.merge(k.inner, base.Block.Stmts, over.Block.Stmts)
		m.Block = &b
	}
	return &m
}

func hasNumber(s *stmt) bool {
	for _, a := range s.Args {
		if a.Tok.Type == tNumber {
			return true
		}
	}
	return false
}

// mergeOpen merges blocks whose keys are names.
func mergeOpen(base, over []*stmt) []*stmt {
	out := append([]*stmt(nil), base...)
	at := map[string]int{}
	for i, s := range out {
		if s.isCode() {
			at[s.key()] = i
		}
	}
	for _, s := range over {
		if i, ok := at[s.key()]; ok && s.isCode() && out[i].src != s.src {
			out[i] = s
		} else {
			out = append(out, s)
		}
	}
	return out
}
