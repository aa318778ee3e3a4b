package tile

import "apogee/targets/plan"

// Issuing ahead. The scalar unit issues in the order of the code, and a queue that is full holds it up, so in a loop whose rounds
// compute much, the loads of the next round would be issued late. A loop made by LoopAhead is therefore turned into
//
//	the part ahead of round 0
//	loop i:
//	   the part ahead of round i+1, if there is one
//	   the rest of round i
//
// The part ahead is what moves from parameters, and what [K.Ahead] marked. Every queue then meets the same instructions,
// signals and waits, but those of the part ahead earlier. That is right as long as what orders the two parts are flags, which count, and not
// merely their order on one queue; and it cannot hang as long as the part ahead of round i+1 waits for nothing of round i. Both hold if
// every buffer that the parts share has a slot of its own for each round.

// Ahead marks what f adds to the innermost loop, which must be a [K.LoopAhead], as part of what runs a round ahead.
func (k *K) Ahead(f func()) {
	n := len(k.cur.body)
	f()
	for _, c := range k.cur.body[n:] {
		c.first = true
	}
}

// hoist does this for every loop marked ahead, inner ones first.
func (k *K) hoist(l *node) {
	for _, c := range l.body {
		if c.loop {
			k.hoist(c)
		}
	}
	if l.ahead {
		k.hoistLoop(l)
	}
}

// chooseAhead finds the children of a loop that are to run a round ahead of the others.
func (k *K) chooseAhead(l *node, home map[*Buf]*node) map[*node]bool {
	take := map[*node]bool{}
	for _, c := range l.body {
		work, loads, sets := false, true, true
		c.walk(func(n *node) {
			if !n.loop && n.ins.Queue != k.T.scalar {
				work = true
				loads = loads && n.isLoad()
			} else if !n.loop && n.ins.Op != plan.Set && !l.loadsFixed(n) {
				sets = false
			}
		})
		if work && sets && (c.first || loads) {
			take[c] = true
		}
	}
	// What must not run ahead after all.
	clash := func(t *node) bool {
		bad := false
		t.walk(func(n *node) {
			for _, x := range n.access {
				if x.buf.Slots > 1 && home[x.buf] == l {
					continue
				}
				for _, c := range l.body {
					if take[c] {
						continue
					}
					c.walk(func(m *node) {
						for _, y := range m.access {
							bad = bad || x.buf == y.buf && (x.write || y.write)
						}
					})
				}
			}
		})
		return bad
	}
	for again := true; again; {
		again = false
		for _, c := range l.body {
			if take[c] && clash(c) {
				delete(take, c)
				again = true
				if c.first { // marked parts go together
					for _, d := range l.body {
						if d.first {
							delete(take, d)
						}
					}
				}
			}
		}
	}
	return take
}

// hoistLoop moves the part ahead, if the registers that it needs are known a round ahead.
func (k *K) hoistLoop(l *node) {
	take := l.take
	var list []*node
	needs := map[plan.Reg]bool{}
	for _, c := range l.body {
		if take[c] {
			list = append(list, c)
			c.reads(needs)
		}
	}
	if len(list) == 0 {
		return
	}
	// The registers that they need are computed by Set at the top of the loop, or come from outside.
	var sets []*node
	sub := map[plan.Reg]plan.Reg{}
	inside := map[plan.Reg]bool{}
	l.walk(func(n *node) {
		if n != l && (n.ins.Op == plan.Set || n.ins.Op == plan.LoadScalar || n.loop) {
			inside[n.ins.Reg] = true
		}
	})
	slots := map[plan.Reg]int64{}
	for _, b := range k.bufs {
		if b.Slots > 1 {
			slots[b.slot] = int64(b.Slots)
		}
	}
	var next []*node
	for i := len(l.body) - 1; i >= 0; i-- {
		c := l.body[i]
		if c.loop || !needs[c.ins.Reg] || c.ins.Op != plan.Set && c.ins.Op != plan.LoadScalar {
			continue
		}
		r := c.ins.Reg
		if n, ok := slots[r]; ok { // the rotation at the end of a round: the round after is in the next slot
			in := plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: plan.SMod, X: plan.R(r).AddC(1), Y: plan.C(n), Pos: c.ins.Pos}
			k.clearTiles(&in)
			sub[r] = k.Reg()
			in.Reg = sub[r]
			next = append(next, &node{ins: in})
			continue
		}
		if c.ins.Op == plan.LoadScalar && !l.loadsFixed(c) {
			return
		}
		if _, twice := sub[r]; twice {
			return
		}
		sub[r] = k.Reg()
		sets = append([]*node{c}, sets...)
		c.reads(needs)
	}
	own := map[plan.Reg]bool{} // counters of loops that are taken
	for _, c := range list {
		c.walk(func(n *node) {
			if n.loop || n.ins.Op == plan.Set {
				own[n.ins.Reg] = true
			}
		})
	}
	for r := range needs {
		if _, ok := sub[r]; !ok && inside[r] && !own[r] {
			return
		}
	}
	group := func(counter plan.Reg, sub map[plan.Reg]plan.Reg) []*node {
		fresh := map[plan.Reg]plan.Reg{l.ins.Reg: counter}
		for a, b := range sub {
			fresh[a] = b
		}
		var out []*node
		for _, c := range append(append([]*node(nil), sets...), list...) {
			out = append(out, k.clone(c, fresh))
		}
		return out
	}
	// Round 0, if there is one. The slot is the current one.
	first := map[plan.Reg]plan.Reg{}
	for _, s := range sets {
		first[s.ins.Reg] = k.Reg()
	}
	one := plan.C(1)
	if !l.ins.Y.IsConst() || l.ins.Y.C < 1 {
		r := k.Reg()
		in := plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: plan.VMin, X: plan.C(1), Y: l.ins.Y, Reg: r, Pos: l.ins.Pos}
		k.clearTiles(&in)
		l.prologue = append(l.prologue, &node{ins: in})
		one = plan.R(r)
	}
	l.prologue = append(l.prologue, k.guardLoop(l, l.ins.X, one, func(c plan.Reg) []*node { return group(c, first) }))
	// Round i+1, if there is one: from + n - 1 - i rounds are left, of which one is taken.
	r := k.Reg()
	in := plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: plan.VMin, X: plan.C(1),
		Y: l.ins.X.Add(l.ins.Y).AddC(-1).Add(plan.R(l.ins.Reg).Scale(-1)), Reg: r, Pos: l.ins.Pos}
	k.clearTiles(&in)
	body := append(next, &node{ins: in}, k.guardLoop(l, plan.R(l.ins.Reg).AddC(1), plan.R(r), func(c plan.Reg) []*node { return group(c, sub) }))
	for _, c := range l.body {
		if !take[c] {
			body = append(body, c)
		}
	}
	l.body = body
}

// loadsFixed reports whether a node loads a scalar from a core's memory that the loop does not write.
func (l *node) loadsFixed(n *node) bool {
	if n.ins.Op != plan.LoadScalar || len(n.access) != 1 || n.access[0].buf.Mem == 0 {
		return false
	}
	fixed := true
	l.walk(func(m *node) {
		for _, a := range m.access {
			fixed = fixed && !(a.write && a.buf == n.access[0].buf)
		}
	})
	return fixed
}

// guardLoop is a loop of at most one round whose counter starts at from.
func (k *K) guardLoop(like *node, from, n plan.Val, body func(counter plan.Reg) []*node) *node {
	r := k.Reg()
	g := &node{loop: true, ins: plan.Instr{Op: plan.Loop, Queue: k.T.scalar, Reg: r, X: from, Y: n, Pos: like.ins.Pos}}
	k.clearTiles(&g.ins)
	g.body = body(r)
	return g
}

// isLoad reports whether an instruction moves from a parameter to a memory of the core.
func (n *node) isLoad() bool {
	in := &n.ins
	if in.Op != plan.Move || in.A.Mem != 0 || in.A.Param < 0 || in.Dst.Mem == 0 || in.A.Index != nil || in.Dst.Index != nil {
		return false
	}
	return true
}

func (n *node) walk(f func(*node)) {
	f(n)
	for _, c := range n.prologue {
		c.walk(f)
	}
	for _, c := range n.body {
		c.walk(f)
	}
}

// reads adds the registers that a node's instructions use.
func (n *node) reads(out map[plan.Reg]bool) {
	n.walk(func(m *node) {
		eachVal(&m.ins, func(v *plan.Val) {
			for _, t := range v.Terms {
				out[t.Reg] = true
			}
		})
	})
}

// eachVal calls f for every value in an instruction.
func eachVal(in *plan.Instr, f func(*plan.Val)) {
	f(&in.X)
	f(&in.Y)
	f(&in.Z)
	f(&in.Acc)
	for _, t := range in.Tiles() {
		for ; t != nil && t.Has(); t = t.Index {
			f(&t.Base)
			for i := range t.Size {
				f(&t.Size[i])
			}
		}
	}
	if in.Assume != nil {
		f(&in.Assume.Index)
	}
}

// clone copies a node with other registers. What loops inside set stays, since the node that is copied goes away. Waits and
// signals go with it.
func (k *K) clone(n *node, sub map[plan.Reg]plan.Reg) *node {
	c := &node{ins: n.ins, loop: n.loop, before: n.before, after: n.after, access: n.access}
	for _, t := range c.ins.Tiles() {
		if !t.Has() {
			continue
		}
		t.Size = append([]plan.Val(nil), t.Size...)
		if t.Index != nil {
			x := *t.Index
			x.Size = append([]plan.Val(nil), x.Size...)
			t.Index = &x
		}
	}
	if c.ins.Assume != nil {
		a := *c.ins.Assume
		c.ins.Assume = &a
	}
	eachVal(&c.ins, func(v *plan.Val) { *v = rename(*v, sub) })
	if to, ok := sub[n.ins.Reg]; ok && (n.ins.Op == plan.Set || n.ins.Op == plan.LoadScalar) {
		c.ins.Reg = to
	}
	for _, p := range n.prologue {
		c.prologue = append(c.prologue, k.clone(p, sub))
	}
	for _, b := range n.body {
		c.body = append(c.body, k.clone(b, sub))
	}
	return c
}

func rename(v plan.Val, sub map[plan.Reg]plan.Reg) plan.Val {
	out := plan.Val{C: v.C}
	for _, t := range v.Terms {
		if r, ok := sub[t.Reg]; ok {
			t.Reg = r
		}
		out.Terms = append(out.Terms, t)
	}
	return out
}
