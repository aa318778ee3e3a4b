package regex

import "fmt"

// opcode of an instruction.
type opcode uint8

const (
	opMatch  opcode = iota // done
	opSet                  // one code point of set, then next
	opSplit                // next, and if that fails, other
	opMust                 // when the code point here is in set: next, else other; never both (a possessive loop's head)
	opSpan                 // min to max code points of set, as many as possible, then next; fused, in the backtracker only
	opAssert               // the position has the property, then next
	opLook                 // the program at other matches here (or not), then next
	opBehind               // one of the look-behind's alternatives ends here (or not), then next
	opAtomic               // the program at other, and from the end of its preferred match, next
)

// inst is one instruction. Control flows to next and other; there is no implicit successor.
type inst struct {
	op          opcode
	not         bool
	nullable    bool // opAtomic: it may match without consuming
	assert      assertion
	next, other int32
	min, max    int32 // opSpan; max may be unbounded
	set         *set
	behind      [][]*set // opBehind: alternatives, each in text order
}

// program is a compiled pattern; its pattern starts at start.
type program struct {
	insts []inst
	start int32
}

// compiler emits instructions from the end of the pattern to its start, so that each knows its successor.
type compiler struct {
	pattern string
	fused   bool
	insts   []inst
	sets    map[string]*set
	calls   int
}

func (c *compiler) emit(i inst) int32 {
	if len(c.insts) == maxInsts {
		panic(&SyntaxError{c.pattern, 0, fmt.Sprintf("the pattern needs more than %d instructions", maxInsts)})
	}
	c.insts = append(c.insts, i)
	return int32(len(c.insts) - 1)
}

// set returns the compiled form of a class, one for each different class.
func (c *compiler) set(r ranges) *set {
	key := make([]byte, 0, 8*len(r))
	for _, s := range r {
		key = append(key, byte(s.lo), byte(s.lo>>8), byte(s.lo>>16), byte(s.hi), byte(s.hi>>8), byte(s.hi>>16))
	}
	if s, ok := c.sets[string(key)]; ok {
		return s
	}
	if len(c.sets) == maxSets {
		panic(&SyntaxError{c.pattern, 0, fmt.Sprintf("the pattern has more than %d different classes", maxSets)})
	}
	s := newSet(r)
	c.sets[string(key)] = s
	return s
}

// gen emits n followed by next and returns where it starts.
func (c *compiler) gen(n *node, next int32) int32 {
	if c.calls++; c.calls > 16*maxInsts {
		panic(&SyntaxError{c.pattern, 0, "the pattern's repetitions multiply to too large a program"})
	}
	switch n.kind {
	case nSet:
		return c.emit(inst{op: opSet, set: c.set(n.set), next: next})
	case nCat:
		for i := len(n.subs) - 1; i >= 0; i-- {
			next = c.gen(n.subs[i], next)
		}
		return next
	case nAlt:
		at := c.gen(n.subs[len(n.subs)-1], next)
		for i := len(n.subs) - 2; i >= 0; i-- {
			at = c.emit(inst{op: opSplit, next: c.gen(n.subs[i], next), other: at})
		}
		return at
	case nRep:
		return c.rep(n, next)
	case nLook:
		return c.emit(inst{op: opLook, not: n.not, other: c.gen(n.subs[0], c.emit(inst{op: opMatch})), next: next})
	case nAtomic:
		return c.emit(inst{op: opAtomic, nullable: nullable(n.subs[0]), other: c.gen(n.subs[0], c.emit(inst{op: opMatch})), next: next})
	case nBehind:
		alts, _ := behind(n.subs[0])
		i := inst{op: opBehind, not: n.not, next: next}
		for _, a := range alts {
			var s []*set
			for _, r := range a {
				s = append(s, c.set(r))
			}
			i.behind = append(i.behind, s)
		}
		return c.emit(i)
	case nAssert:
		return c.emit(inst{op: opAssert, assert: n.assert, next: next})
	}
	return next
}

func (c *compiler) rep(n *node, next int32) int32 {
	body := n.subs[0]
	if n.mode == possessive {
		// The body is one class: a possessive loop never asks the way out while the class goes on.
		s := c.set(body.set)
		out := next
		if n.max == unbounded {
			at := c.emit(inst{op: opMust, set: s, other: next})
			c.insts[at].next = at
			out = at
		} else {
			for range n.max - n.min {
				out = c.emit(inst{op: opMust, set: s, next: out, other: next})
			}
		}
		for range n.min {
			out = c.emit(inst{op: opSet, set: s, next: out})
		}
		return out
	}
	if c.fused && n.mode == greedy && body.kind == nSet {
		return c.emit(inst{op: opSpan, set: c.set(body.set), min: int32(n.min), max: int32(n.max), next: next})
	}
	split := func(in, out int32) inst {
		if n.mode == lazy {
			return inst{op: opSplit, next: out, other: in}
		}
		return inst{op: opSplit, next: in, other: out}
	}
	out := next
	if n.max == unbounded {
		at := c.emit(inst{op: opSplit})
		c.insts[at] = split(c.gen(body, at), next)
		out = at
		if n.min > 0 && body.kind != nSet {
			// One copy of the body serves as the loop and as its last obligatory round.
			out = c.gen(body, at)
			n = &node{kind: nRep, subs: n.subs, min: n.min - 1, max: n.max, mode: n.mode}
		}
	} else {
		for range n.max - n.min {
			out = c.emit(split(c.gen(body, out), next))
		}
	}
	for range n.min {
		out = c.gen(body, out)
	}
	return out
}

// compile turns a pattern into a program. fused allows opSpan.
func compile(pattern string, n *node, fused bool, sets map[string]*set) (p *program, err error) {
	c := &compiler{pattern: pattern, fused: fused, sets: sets}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*SyntaxError)
			if !ok {
				panic(r)
			}
			p, err = nil, e
		}
	}()
	start := c.gen(n, c.emit(inst{op: opMatch}))
	return &program{c.insts, start}, nil
}

// first returns what a match can begin with; false when it can begin with anything, or be empty.
func first(n *node) (ranges, bool) {
	switch n.kind {
	case nSet:
		return n.set, true
	case nCat:
		var out ranges
		for _, s := range n.subs {
			if s.kind == nAssert || s.kind == nLook || s.kind == nBehind || s.kind == nEmpty {
				continue // consumes nothing: what follows still comes first
			}
			f, ok := first(s)
			if ok {
				return union(out, f), true
			}
			// An optional item: its own beginning, or that of what follows.
			if s.kind != nRep || s.min != 0 {
				return nil, false
			}
			if f, ok = first(s.subs[0]); !ok {
				return nil, false
			}
			out = union(out, f)
		}
		return nil, false
	case nAlt:
		var out ranges
		for _, s := range n.subs {
			f, ok := first(s)
			if !ok {
				return nil, false
			}
			out = union(out, f)
		}
		return out, true
	case nRep:
		if n.min == 0 {
			return nil, false
		}
		return first(n.subs[0])
	case nAtomic:
		return first(n.subs[0])
	}
	return nil, false
}
