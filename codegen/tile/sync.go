package tile

import (
	"slices"

	"fmt"

	"apogee/targets/plan"
)

// The rule of synchronisation. Take one buffer and one loop (or the whole code of a block, which is a loop over the core's
// blocks), and number the loop's direct children. Whenever an access must come after another one on another queue — a read after
// the last write, a write after the reads since, or after the last write if nobody read it — then:
//
//   - forward: if the two stand under different children, the earlier child is followed by a signal and the later one preceded by a
//     wait, flag credits 0;
//   - carried: the accesses that end a round precede, in the next round, the accesses that begin it: signal after the child of the
//     former, wait before the child of the latter, flag credits 1, or the number of slots if this loop rotates them.
//
// An access in a loop that may have no round counts, but what was before it counts on: both may be the last.
//
// Signals and waits stand at the level of the loop's children, so each happens once a round whatever the inner loops do, even if they run
// zero times. Edges within one child are the business of the loop inside it. Every flag therefore ends a kernel at its
// credits. Edges of the same kind between the same places share one flag, since a signal covers all earlier work of its queue.

type edge struct {
	from, to   int // queues
	after, bef int // children
	carried    bool
	credits    int
}

// sync adds the signals and waits of the whole kernel.
func (k *K) sync() {
	home := k.homes()
	for _, b := range k.bufs {
		if h := home[b]; b.Slots > 1 && h != nil {
			k.rotate(b, h)
		}
	}
	k.syncLoop(k.root, home)
}

// homes finds for every buffer the innermost loop that contains all its accesses.
func (k *K) homes() map[*Buf]*node {
	home := map[*Buf]*node{}
	var visit func(n *node)
	visit = func(n *node) {
		for _, a := range n.access {
			if h, ok := home[a.buf]; ok {
				home[a.buf] = common(h, n.parent)
			} else {
				home[a.buf] = n.parent
			}
		}
		for _, c := range n.body {
			visit(c)
		}
	}
	visit(k.root)
	return home
}

func common(a, b *node) *node {
	depth := func(n *node) (d int) {
		for ; n.parent != nil; n = n.parent {
			d++
		}
		return
	}
	for da, db := depth(a), depth(b); a != b; {
		if da >= db {
			a, da = a.parent, da-1
		} else {
			b, db = b.parent, db-1
		}
	}
	return a
}

// rotate moves a buffer to its next slot at the end of each round of its home loop.
func (k *K) rotate(b *Buf, h *node) {
	i := plan.Instr{Op: plan.Set, Queue: k.T.scalar, Fn: plan.SMod, X: plan.R(b.slot).AddC(1), Y: plan.C(int64(b.Slots)), Reg: b.slot, Pos: k.Pos}
	k.clearTiles(&i)
	h.body = append(h.body, &node{ins: i, parent: h})
}

// event is one access under a child of the loop in question; sure says that it happens in every round.
type event struct {
	child int
	queue int
	write bool
	sure  bool
}

// frontier is what an access must come after: the writes that may be the last, and the reads since.
type frontier struct {
	writes, reads []event
	read          []bool // of each write: a read that surely happens came after it, so that what comes after the read does as well
}

// meet calls order for everything in the frontier that e must come after.
func (f *frontier) meet(e event, order func(event)) {
	for i, w := range f.writes {
		if !e.write || !f.read[i] {
			order(w)
		}
	}
	if e.write {
		for _, r := range f.reads {
			order(r)
		}
	}
}

// pass makes e part of the frontier.
func (f *frontier) pass(e event) {
	switch {
	case !e.write:
		f.reads = append(f.reads, e)
		for i := range f.read {
			f.read[i] = f.read[i] || e.sure
		}
	case e.sure:
		f.writes, f.reads, f.read = []event{e}, nil, []bool{false}
	default:
		f.writes, f.read = append(f.writes, e), append(f.read, false)
	}
}

func (k *K) syncLoop(l *node, home map[*Buf]*node) {
	if l.ahead {
		l.take = k.chooseAhead(l, home)
	}
	events := map[*Buf][]event{}
	for i, c := range l.body {
		collect(c, i, true, events)
		if c.loop {
			k.syncLoop(c, home)
		}
	}
	var edges []edge
	seen := map[edge]bool{}
	add := func(e edge) {
		if e.from != e.to && !seen[e] {
			seen[e] = true
			edges = append(edges, e)
		}
	}
	for _, b := range k.bufs {
		ev := events[b]
		// Outside the home loop nothing is left to order: the home loop's flags keep counting from one entry to the next.
		if len(ev) == 0 || home[b] != l && inside(home[b], l) {
			continue
		}
		credits := 1
		if home[b] == l {
			credits = b.Slots
		}
		var f frontier
		wrote := false
		for _, e := range ev {
			f.meet(e, func(x event) {
				if x.child != e.child {
					add(edge{from: x.queue, to: e.queue, after: x.child, bef: e.child})
				}
			})
			f.pass(e)
			wrote = wrote || e.write
		}
		if !wrote {
			continue
		}
		// What ends a round, and what begins the next.
		for _, e := range ev {
			f.meet(e, func(x event) {
				add(edge{from: x.queue, to: e.queue, after: x.child, bef: e.child, carried: true, credits: credits})
			})
			if e.write && e.sure {
				break
			}
		}
	}
	for _, e := range l.needed(edges) {
		f := len(k.Kern.Flags)
		k.Kern.Flags = append(k.Kern.Flags, plan.Flag{
			Name: fmt.Sprintf("%s_%s_%d", k.T.Queues[e.from].Name, k.T.Queues[e.to].Name, f), From: e.from, To: e.to, Credits: e.credits,
		})
		s, w := l.body[e.after], l.body[e.bef]
		si := plan.Instr{Op: plan.Signal, Queue: e.from, Flag: f, Pos: posOf(s)}
		wi := plan.Instr{Op: plan.Wait, Queue: e.to, Flag: f, Pos: posOf(w)}
		k.clearTiles(&si)
		k.clearTiles(&wi)
		s.after = append(s.after, si)
		w.before = append(w.before, wi)
	}
}

// needed leaves out edges that others imply: between the same queues, a signal that comes later and a wait that comes earlier order
// all that the others do, since both queues work in order. What runs a round ahead comes earlier than the rest.
func (l *node) needed(edges []edge) []edge {
	type group struct {
		from, to int
		carried  bool
		credits  int
	}
	ahead := make([]bool, len(l.body))
	for i, c := range l.body {
		ahead[i] = l.take[c]
	}
	groups := map[group][]edge{}
	for _, e := range edges {
		g := group{e.from, e.to, e.carried, e.credits}
		groups[g] = append(groups[g], e)
	}
	for _, list := range groups {
		// Those that wait the earliest first: they imply the most, and are found the soonest.
		slices.SortStableFunc(list, func(a, b edge) int {
			if a.bef != b.bef {
				return a.bef - b.bef
			}
			return b.after - a.after
		})
	}
	var out []edge
	for _, e := range edges {
		implied := false
		for _, f := range groups[group{e.from, e.to, e.carried, e.credits}] {
			if f.bef > e.bef {
				break
			}
			if f.after == e.after && f.bef == e.bef {
				continue // itself
			}
			later := f.after >= e.after && (ahead[e.after] || !ahead[f.after])
			if later && (ahead[f.bef] || !ahead[e.bef]) {
				implied = true
				break
			}
		}
		if !implied {
			out = append(out, e)
		}
	}
	return out
}

// inside reports whether n stands somewhere under l.
func inside(n, l *node) bool {
	for ; n != nil; n = n.parent {
		if n == l {
			return true
		}
	}
	return false
}

func posOf(n *node) plan.Pos {
	for n.loop && len(n.body) > 0 {
		n = n.body[0]
	}
	return n.ins.Pos
}

// collect lists the accesses under a child in order; an instruction reads before it writes.
func collect(n *node, child int, sure bool, events map[*Buf][]event) {
	if n.loop {
		sure = sure && n.ins.Y.IsConst() && n.ins.Y.C > 0
	}
	for pass := 0; pass < 2; pass++ {
		for _, a := range n.access {
			if a.write == (pass == 1) {
				events[a.buf] = append(events[a.buf], event{child, n.ins.Queue, a.write, sure})
			}
		}
	}
	for _, c := range n.body {
		collect(c, child, sure, events)
	}
}
