package passes

import (
	"fmt"
	"sort"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/passes/rewrite"
)

// joinMaps walks the ops in program order. Each that is computed row by row joins the kernels of its operands if it may, else it
// begins one; every other op is the anchor of a kernel of its own.
func (u *fuser) joinMaps() {
	for _, o := range u.ops {
		if o.Info.Terminator {
			continue
		}
		kind := kernelKind(o)
		if len(o.Regions) > 0 {
			kind = "kernel"
		}
		own := &cluster{kind: kind, ops: []*ir.Op{o}}
		u.cl[o.ID()] = own
		if kind != "map" || widens(o) && u.max > 1 {
			continue // a widening cast waits for its reader, so that the narrow value is what is stored
		}
		rule := joinRule(o)
		if rule == nil {
			continue
		}
		with := u.producers(own)
		if len(with) == 0 {
			continue
		}
		if len(with) > 1 && u.merge(rule, o, append([]*cluster{own}, with...)) == "" {
			continue
		}
		// Not all of them: the one from which most would have to be read.
		sort.SliceStable(with, func(i, j int) bool { return u.shared(with[i], own) > u.shared(with[j], own) })
		why := ""
		for _, c := range with {
			w := u.merge(rule, o, []*cluster{u.clusterOf(o), c})
			if w == "" {
				why = ""
				break
			}
			if why == "" {
				why = w
			}
		}
		if why != "" {
			u.later(rule, o, with[0].first(), why)
		}
	}
}

// widens reports whether an op is a cast to a format with more bits.
func widens(o *ir.Op) bool {
	return o.Is(op.Cast) && o.Arg(0).Type.Format.Bits() < o.Result(0).Type.Format.Bits()
}

// said is a remark that counts only if the two ops are in different kernels in the end.
type said struct {
	rule *rewrite.Rule
	o    *ir.Op
	from *ir.Op // in the other kernel; nil when it counts in any case
	why  string
}

// later keeps a remark about op o, which did not join the kernel of from.
func (u *fuser) later(rule *rewrite.Rule, o, from *ir.Op, why string) {
	u.said = append(u.said, said{rule, o, from, why})
}

// say records the remarks that still hold: one for each rule, pair of kernels and reason.
func (u *fuser) say() {
	type key struct {
		rule *rewrite.Rule
		a, b *cluster
		why  string
	}
	seen := map[key]bool{}
	for _, s := range u.said {
		k := key{s.rule, u.clusterOf(s.o), nil, s.why}
		if s.from != nil {
			if k.b = u.clusterOf(s.from); k.a == k.b {
				continue
			}
		}
		if !seen[k] {
			seen[k] = true
			u.p.remark(s.rule, s.o, "%s", s.why)
		}
	}
}

// joinAgain gives every map kernel a second chance to join its producers, now that it is whole: a value that had to be stored while its
// readers were still to come may be inner now.
func (u *fuser) joinAgain() {
	for _, o := range u.ops {
		c := u.clusterOf(o)
		if c == nil || c.kind != "map" || c.first() != o {
			continue
		}
		for _, d := range u.producers(c) {
			if d = d.find(); d != c.find() {
				c = c.find()
				if r := joinRule(c.first()); r != nil {
					u.merge(r, c.first(), []*cluster{c, d})
				}
			}
		}
	}
}

// joinSiblings merges map kernels that read the same buffer. Each looks at the few that follow it among the buffer's readers, so that
// a buffer that all layers read costs no more than its readers.
func (u *fuser) joinSiblings() {
	if u.max < 2 || !u.p.Control.Allowed(fuseSiblings) {
		return
	}
	const ahead = 3
	// Readers of parameters and weights are looked at too.
	readers := map[*ir.Value][]*ir.Op{}
	var order []*ir.Value
	for _, o := range u.ops {
		if c := u.clusterOf(o); c == nil || c.kind != "map" {
			continue
		}
		for i := 0; i < o.NumArgs(); i++ {
			v := u.rootOf(o.Arg(i))
			if d := v.Def(); d != nil && (u.clusterOf(d) == u.clusterOf(o) || free(d) && !u.force[v.ID()]) {
				continue
			}
			if len(readers[v]) == 0 {
				order = append(order, v)
			}
			readers[v] = append(readers[v], o)
		}
	}
	for _, v := range order {
		list := readers[v]
		for i, a := range list {
			seen := 0
			for _, b := range list[i+1:] {
				c, d := u.clusterOf(a), u.clusterOf(b)
				if c == d {
					continue
				}
				if seen++; seen > ahead {
					break
				}
				if u.merge(fuseSiblings, b, []*cluster{c, d}) == "" {
					seen--
				}
			}
		}
	}
}

func (c *cluster) find() *cluster {
	for c.into != nil {
		c = c.into
	}
	return c
}

// producers lists the map kernels that a kernel reads from, in the order of its ops.
func (u *fuser) producers(c *cluster) []*cluster {
	var out []*cluster
	for _, o := range c.ops {
		for i := 0; i < o.NumArgs(); i++ {
			if o.Is(op.Update) && i != 1 {
				continue
			}
			d := u.rootOf(o.Arg(i)).Def()
			if d == nil {
				continue
			}
			p := u.clusterOf(d)
			if p == nil || p == c || p.kind != "map" {
				continue
			}
			seen := false
			for _, q := range out {
				seen = seen || q == p
			}
			if !seen {
				out = append(out, p)
			}
		}
	}
	return out
}

// shared is how many bytes one kernel reads of what another gives.
func (u *fuser) shared(from, by *cluster) int64 {
	n := int64(0)
	for _, o := range by.ops {
		for i := 0; i < o.NumArgs(); i++ {
			if d := u.rootOf(o.Arg(i)).Def(); d != nil && u.clusterOf(d) == from {
				n += bytes(u.rootOf(o.Arg(i)))
			}
		}
	}
	return n
}

// merge makes one kernel of several map kernels because op o reads what others give. It returns why it did not, or "".
func (u *fuser) merge(rule *rewrite.Rule, o *ir.Op, cs []*cluster) string {
	var all []*ir.Op
	for _, c := range cs {
		all = append(all, c.ops...)
	}
	if len(all) > u.max {
		return fmt.Sprintf("the kernel would have %d ops, more than max=%d", len(all), u.max)
	}
	if !u.p.Control.Allowed(rule) {
		return "the rule is switched off"
	}
	sort.Slice(all, func(i, j int) bool { return u.before(all[i], all[j]) })
	if why := u.judge(all); why != "" {
		return why
	}
	if u.waitsForItself(cs) {
		return "another kernel stands between the two"
	}
	apart := 0.0
	for _, c := range cs {
		u.mark(c.ops)
		apart += u.seconds(c.ops)
	}
	u.mark(all)
	if together := u.seconds(all); together > apart {
		return fmt.Sprintf("one kernel with %d blocks would take %.2g s, apart they take %.2g s", u.blocks(), together, apart)
	}
	u.p.fire(rule, o)
	u.unite(cs, all)
	return ""
}

func (u *fuser) unite(cs []*cluster, all []*ir.Op) {
	to := cs[0]
	for _, c := range cs[1:] {
		if c.kind != "map" {
			to = c
		}
	}
	for _, c := range cs {
		if c != to {
			c.into, c.ops = to, nil
		}
	}
	to.ops = all
}

// judge marks the ops and says why they cannot be one map kernel, or "".
func (u *fuser) judge(ops []*ir.Op) string {
	u.mark(ops)
	results := u.escaping(ops)
	for _, o := range ops {
		if !o.Is(op.Update) {
			continue
		}
		// The start is read as a number by the scalar unit, and the state must not be read by the same kernel.
		if at := o.Arg(2); !u.leaf(at) && !isConst(u.rootOf(at)) {
			return "the start of the update is computed in the kernel"
		}
		if !u.leaf(o.Arg(0)) {
			return "what is updated is computed in the kernel"
		}
		state := u.rootOf(o.Arg(0))
		for _, x := range ops {
			for i := 0; i < x.NumArgs(); i++ {
				if (x != o || i != 0) && u.rootOf(x.Arg(i)) == state {
					return "the kernel also reads the state that it updates"
				}
			}
		}
	}
	if len(results) == 0 {
		return "nothing reads it"
	}
	if !u.space.find(results) {
		return "the results share no iteration: each would cut the others' rows"
	}
	if n := u.space.row(results, u.mem); n > u.mem {
		return fmt.Sprintf("a row of all that is alive at once takes %s or more, which does not fit %s (%s for it)", size(n), u.name, size(u.mem))
	}
	return ""
}

// size prints a number of bytes.
func size(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// blocks is how many blocks the iteration that was found last can be cut into at most.
func (u *fuser) blocks() int64 {
	n := int64(1)
	for _, d := range u.space.outer {
		n *= max(d, 1)
	}
	return n
}

// seconds estimates how long a map kernel of the marked ops takes: a launch, and its traffic at the share of the memory's bandwidth
// that its blocks' cores can draw.
func (u *fuser) seconds(ops []*ir.Op) float64 {
	results := u.escaping(ops)
	share := 1.0
	if u.space.find(results) {
		if n := u.blocks(); n < u.cores {
			share = float64(max(n, 1)) / float64(u.cores)
		}
	}
	return u.launch + float64(u.traffic(ops, results))/(u.bandwidth*share)
}

// traffic is the bytes that a kernel of the marked ops reads and writes.
func (u *fuser) traffic(ops []*ir.Op, results []*ir.Value) int64 {
	n := int64(0)
	for _, r := range results {
		n += bytes(rowsOf(r))
	}
	var seen [16]*ir.Value
	var more map[*ir.Value]bool
	k := 0
	for _, o := range ops {
		for i := 0; i < o.NumArgs(); i++ {
			a := o.Arg(i)
			if o.Is(op.Update) && i == 0 || !u.leaf(a) {
				continue
			}
			old := more[a]
			for _, s := range seen[:k] {
				old = old || s == a
			}
			if old {
				continue
			}
			if k < len(seen) {
				seen[k] = a
				k++
			} else {
				if more == nil {
					more = map[*ir.Value]bool{}
				}
				more[a] = true
			}
			n += u.read(a)
		}
	}
	return n
}

// read is how many bytes reading a value once takes: what is repeated is read once.
func (u *fuser) read(v *ir.Value) int64 {
	w := u.viewOf(v)
	n := int64(1)
	for i, d := range w.Size {
		if w.Stride[i] != 0 {
			n *= d
		}
	}
	return min(n*int64(max(v.Type.Format.Bits(), 8))/8, max(bytes(w.Source), 1))
}

// waitsForItself reports whether a kernel made of the given ones would need, by way of others, something that it gives itself.
func (u *fuser) waitsForItself(cs []*cluster) bool {
	u.visit++
	first := int32(1 << 30)
	for _, c := range cs {
		first = min(first, u.pos[c.first().ID()])
	}
	inside := func(c *cluster) bool {
		for _, x := range cs {
			if x == c {
				return true
			}
		}
		return false
	}
	var reaches func(c *cluster) bool
	reaches = func(c *cluster) bool { // whether c needs one of cs
		if c.visit == u.visit {
			return false
		}
		c.visit = u.visit
		if u.pos[c.ops[len(c.ops)-1].ID()] < first {
			return false
		}
		for _, o := range c.ops {
			for i := 0; i < o.NumArgs(); i++ {
				d := u.rootOf(o.Arg(i)).Def()
				if d == nil {
					continue
				}
				p := u.clusterOf(d)
				if p == nil || p == c {
					continue
				}
				if inside(p) || reaches(p) {
					return true
				}
			}
		}
		return false
	}
	for _, c := range cs {
		for _, o := range c.ops {
			for i := 0; i < o.NumArgs(); i++ {
				d := u.rootOf(o.Arg(i)).Def()
				if d == nil {
					continue
				}
				if p := u.clusterOf(d); p != nil && !inside(p) && reaches(p) {
					return true
				}
			}
		}
	}
	return false
}
