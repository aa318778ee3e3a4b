package regex

import (
	"sync"
	"unicode/utf8"
)

var wordSet = sync.OnceValue(func() *set { return newSet(looseWord()) })

// The backtracker may take grace steps, and then stepsPerByte for each byte up to the furthest that it has looked at;
// beyond that, or with more than maxStack choices open, the table takes over for the rest of the text. Ordinary patterns
// and texts take two to six steps a byte.
const (
	grace        = 1 << 12
	stepsPerByte = 64
	maxStack     = 1 << 14
)

// tooLong is the backtracker's answer when its allowance is spent.
const tooLong = -2

// matcher finds the matches of one text.
type matcher struct {
	re    *Regexp
	text  string
	stack []choice
	steps int   // taken so far, over all searches in this text
	reach int   // the furthest position looked at so far
	ends  []int // the table, once it was needed
	from  int   // the table's first position
}

// choice is a way not yet taken: pc at pos, and after it, for a fused loop, at each shorter length down to low.
type choice struct {
	pc, low, pos int
}

// find returns the leftmost match at or after at.
func (m *matcher) find(at int) (Span, bool) {
	if m.ends == nil {
		if s, ok, done := m.search(at); done {
			return s, ok
		}
		m.ends, m.from = m.re.table(m.text, at), at
		m.stack = nil
	}
	for p := at; p <= len(m.text); p++ {
		if e := m.ends[p-m.from]; e != fail {
			return Span{p, e}, true
		}
	}
	return Span{}, false
}

// search is find by backtracking; done is false when the allowance ran out.
func (m *matcher) search(at int) (s Span, ok, done bool) {
	re := m.re
	for p := at; ; {
		r, w := rune(-1), 1
		if p < len(m.text) {
			if c := m.text[p]; c < utf8.RuneSelf {
				r = rune(c)
			} else {
				r, w = utf8.DecodeRuneInString(m.text[p:])
			}
		}
		m.steps++
		if re.first == nil || r >= 0 && re.first.has(r) {
			for k := range re.alts {
				a := &re.alts[k]
				if a.first != nil && (r < 0 || !a.first.has(r)) {
					continue
				}
				m.stack = m.stack[:0]
				end := m.run(a.start, p)
				if end >= 0 {
					return Span{p, end}, true, true
				}
				if end == tooLong {
					return Span{}, false, false
				}
			}
		}
		if p >= len(m.text) {
			return Span{}, false, true
		}
		p += w
	}
}

// run matches the program at pc against the text at pos and returns where the match ends, fail or tooLong.
func (m *matcher) run(pc int32, pos int) int {
	insts, text := m.re.fast.insts, m.text
	base := len(m.stack)
	limit := grace + stepsPerByte*max(m.reach, pos)
	for {
		if m.steps++; m.steps > limit {
			m.reach = max(m.reach, pos)
			if limit = grace + stepsPerByte*m.reach; m.steps > limit {
				return tooLong
			}
		}
		i := &insts[pc]
		ok := false
		switch i.op {
		case opMatch:
			m.stack = m.stack[:base]
			return pos
		case opSet:
			if pos < len(text) {
				r, w := rune(text[pos]), 1
				if r >= utf8.RuneSelf {
					r, w = utf8.DecodeRuneInString(text[pos:])
				}
				if ok = i.set.has(r); ok {
					pos += w
					pc = i.next
				}
			}
		case opSplit:
			if len(m.stack) >= maxStack {
				return tooLong
			}
			m.stack = append(m.stack, choice{int(i.other), pos, pos})
			pc, ok = i.next, true
		case opMust:
			pc, ok = i.other, true
			if pos < len(text) {
				if r, w := utf8.DecodeRuneInString(text[pos:]); i.set.has(r) {
					pos += w
					pc = i.next
				}
			}
		case opSpan:
			low, end, n := pos, pos, int32(0)
			for end < len(text) && n != i.max {
				r, w := rune(text[end]), 1
				if r >= utf8.RuneSelf {
					r, w = utf8.DecodeRuneInString(text[end:])
				}
				if !i.set.has(r) {
					break
				}
				end += w
				if n++; n == i.min {
					low = end
				}
			}
			m.steps += int(n)
			m.reach = max(m.reach, end)
			if n >= i.min {
				if low < end {
					if len(m.stack) >= maxStack {
						return tooLong
					}
					m.stack = append(m.stack, choice{int(i.next), low, back(text, end)})
				}
				pos, pc, ok = end, i.next, true
			}
		case opAssert:
			ok = holds(i.assert, text, pos)
			pc = i.next
		case opBehind:
			ok = endsHere(i.behind, text, pos) != i.not
			pc = i.next
		case opLook, opAtomic:
			end := m.run(i.other, pos)
			if end == tooLong {
				return tooLong
			}
			if i.op == opLook {
				ok = (end != fail) != i.not
			} else if ok = end != fail; ok {
				pos = end
			}
			pc = i.next
		}
		if ok {
			continue
		}
		if len(m.stack) == base {
			return fail
		}
		c := &m.stack[len(m.stack)-1]
		pc, pos = int32(c.pc), c.pos
		if c.pos > c.low {
			c.pos = back(text, c.pos)
		} else {
			m.stack = m.stack[:len(m.stack)-1]
		}
	}
}

// back returns the position one code point before p.
func back(text string, p int) int {
	for p--; p > 0 && !utf8.RuneStart(text[p]); p-- {
	}
	return p
}
