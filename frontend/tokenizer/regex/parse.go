package regex

import (
	"fmt"
	"unicode/utf8"
)

// kind says what a node matches.
type kind uint8

const (
	nEmpty  kind = iota
	nSet         // one code point out of set
	nCat         // subs one after the other
	nAlt         // the first of subs that leads to a match
	nRep         // subs[0], min to max times
	nLook        // subs[0] matches here, nothing is consumed
	nBehind      // subs[0] matches what ends here
	nAtomic      // subs[0], and no second thoughts
	nAssert      // a property of the position
)

// mode of a repetition.
type mode uint8

const (
	greedy mode = iota
	lazy
	possessive
)

// assertion is a property of a position.
type assertion uint8

const (
	lineStart assertion = iota
	lineEnd
	textStart
	textEnd
	textEndNewline
	wordEdge
	noWordEdge
)

const unbounded = -1

// node is a parsed pattern.
type node struct {
	kind     kind
	set      ranges
	subs     []*node
	min, max int // repetition; max may be unbounded
	mode     mode
	not      bool // negated look-around
	assert   assertion
}

// Limits on a pattern. The patterns of published tokenizers stay below a tenth of each.
const (
	maxPattern = 1 << 16 // bytes
	maxDepth   = 100     // nested groups and classes
	maxRepeat  = 1000    // a bound in {n,m}
	maxInsts   = 4000    // instructions
	maxSets    = 256     // different classes
	maxStacked = 4       // quantifiers on one item
)

// SyntaxError says where a pattern is malformed or uses what this engine lacks.
type SyntaxError struct {
	Pattern string
	Offset  int // in bytes
	Reason  string
}

func (e *SyntaxError) Error() string {
	p := e.Pattern
	if len(p) > 200 {
		p = p[:200] + "…"
	}
	return fmt.Sprintf("pattern %q: at byte %d: %s", p, e.Offset, e.Reason)
}

type flags struct{ fold, dotAll, extended bool }

type parser struct {
	src   string
	pos   int
	depth int
	flags flags
}

// fail unwinds to parse, which returns the error.
func (p *parser) fail(format string, args ...any) {
	panic(&SyntaxError{p.src, p.pos, fmt.Sprintf(format, args...)})
}

// parse reads a pattern.
func parse(src string) (n *node, err error) {
	p := &parser{src: src}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*SyntaxError)
			if !ok {
				panic(r)
			}
			n, err = nil, e
		}
	}()
	if len(src) > maxPattern {
		p.fail("the pattern has %d bytes, more than the %d that are accepted", len(src), maxPattern)
	}
	if !utf8.ValidString(src) {
		p.fail("the pattern is not valid UTF-8")
	}
	n = p.alternation()
	if p.pos < len(src) {
		p.fail("a ) without its (")
	}
	return n, nil
}

func (p *parser) more() bool { return p.pos < len(p.src) }

func (p *parser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *parser) next() rune {
	r, n := utf8.DecodeRuneInString(p.src[p.pos:])
	if n == 0 {
		p.fail("the pattern ends too early")
	}
	p.pos += n
	return r
}

func (p *parser) take(s string) bool {
	if len(p.src)-p.pos >= len(s) && p.src[p.pos:p.pos+len(s)] == s {
		p.pos += len(s)
		return true
	}
	return false
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail("groups are nested more than %d deep", maxDepth)
	}
}

func (p *parser) alternation() *node {
	p.enter()
	defer func() { p.depth-- }()
	saved := p.flags
	alts := []*node{p.sequence()}
	for p.take("|") {
		alts = append(alts, p.sequence())
	}
	p.flags = saved
	if len(alts) == 1 {
		return alts[0]
	}
	return &node{kind: nAlt, subs: alts}
}

func (p *parser) sequence() *node {
	var items []*node
	for p.more() && p.peek() != '|' && p.peek() != ')' {
		if p.flags.extended {
			if c := p.peek(); c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v' {
				p.pos++
				continue
			} else if c == '#' {
				for p.more() && p.next() != '\n' {
				}
				continue
			}
		}
		n := p.atom()
		if n == nil {
			continue
		}
		items = append(items, p.quantified(n))
	}
	switch len(items) {
	case 0:
		return &node{kind: nEmpty}
	case 1:
		return items[0]
	}
	return &node{kind: nCat, subs: items}
}

// quantified reads the quantifiers after an atom.
func (p *parser) quantified(n *node) *node {
	for count := 0; ; count++ {
		lo, hi, interval := 0, 0, false
		at := p.pos
		switch {
		case p.take("*"):
			lo, hi = 0, unbounded
		case p.take("+"):
			lo, hi = 1, unbounded
		case p.take("?"):
			lo, hi = 0, 1
		case p.peek() == '{':
			var ok bool
			if lo, hi, ok = p.interval(); !ok {
				return n
			}
			interval = true
		default:
			return n
		}
		if count == maxStacked {
			p.fail("more than %d quantifiers on one item", maxStacked)
		}
		if n.kind == nAssert || n.kind == nLook || n.kind == nBehind {
			p.pos = at
			p.fail("a repetition of what consumes no text")
		}
		m := greedy
		switch {
		case p.peek() == '?' && !(interval && lo == hi):
			p.pos++
			m = lazy
		case p.peek() == '+' && !interval:
			// After an interval a + repeats the interval, in Oniguruma's syntax.
			p.pos++
			m = possessive
		}
		n = p.repeat(n, lo, hi, m, at)
	}
}

// repeat builds n{lo,hi}. A loop whose body can match nothing has no first iteration to stop at, and engines disagree on
// what it then means; the few shapes with one plain meaning are rewritten, the others refused.
func (p *parser) repeat(n *node, lo, hi int, m mode, at int) *node {
	if hi == 1 && lo == 1 {
		return n
	}
	if hi == 0 {
		return &node{kind: nEmpty}
	}
	if n.kind == nEmpty {
		return n
	}
	if m != possessive && hi == unbounded && n.kind == nRep && n.mode == m && n.min <= 1 && (n.max == 1 || n.max == unbounded) && (n.min == 0 || lo <= 1) && !nullable(n.subs[0]) {
		if n.min == 0 || lo == 0 {
			return &node{kind: nRep, subs: n.subs, min: 0, max: unbounded, mode: m}
		}
		return &node{kind: nRep, subs: n.subs, min: 1, max: unbounded, mode: m}
	}
	if hi == unbounded && nullable(n) {
		p.pos = at
		p.fail("a loop whose body can match nothing")
	}
	r := &node{kind: nRep, subs: []*node{n}, min: lo, max: hi, mode: m}
	if m == possessive && n.kind != nSet {
		r.mode = greedy
		return &node{kind: nAtomic, subs: []*node{r}}
	}
	return r
}

// nullable says whether n can match without consuming.
func nullable(n *node) bool {
	switch n.kind {
	case nSet:
		return false
	case nCat:
		for _, s := range n.subs {
			if !nullable(s) {
				return false
			}
		}
		return true
	case nAlt:
		for _, s := range n.subs {
			if nullable(s) {
				return true
			}
		}
		return false
	case nRep:
		return n.min == 0 || nullable(n.subs[0])
	case nAtomic:
		return nullable(n.subs[0])
	}
	return true
}

// interval reads {n}, {n,}, {,m} or {n,m}; anything else leaves the brace as an ordinary character.
func (p *parser) interval() (lo, hi int, ok bool) {
	start := p.pos
	p.pos++
	number := func() (int, bool) {
		v, any := 0, false
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			if v = v*10 + int(c-'0'); v > maxRepeat {
				p.fail("a repetition count over %d", maxRepeat)
			}
			p.pos++
			any = true
		}
		return v, any
	}
	lo, haveLo := number()
	hi, haveHi := lo, haveLo
	if p.take(",") {
		if hi, haveHi = number(); !haveHi {
			hi = unbounded
			haveHi = haveLo
		}
	}
	if !haveHi || !p.take("}") {
		p.pos = start
		return 0, 0, false
	}
	if hi != unbounded && hi < lo {
		lo, hi = hi, lo // as Oniguruma does
	}
	return lo, hi, true
}

// one makes the node of a class, in the case mode in force.
func (p *parser) one(r ranges) *node {
	if p.flags.fold {
		r = fold(r)
	}
	return &node{kind: nSet, set: r}
}

// atom reads one item; nil when it was a comment or a change of flags.
func (p *parser) atom() *node {
	switch c := p.peek(); c {
	case '(':
		return p.group()
	case '[':
		p.pos++
		return &node{kind: nSet, set: p.class()}
	case '.':
		p.pos++
		if p.flags.dotAll {
			return &node{kind: nSet, set: all}
		}
		return &node{kind: nSet, set: negate(ranges{{'\n', '\n'}})}
	case '^':
		p.pos++
		return &node{kind: nAssert, assert: lineStart}
	case '$':
		p.pos++
		return &node{kind: nAssert, assert: lineEnd}
	case '*', '+', '?':
		p.fail("%q repeats nothing", c)
	case '\\':
		return p.escape()
	case '{':
		at := p.pos
		if _, _, ok := p.interval(); ok {
			p.pos = at
			p.fail("an interval that repeats nothing")
		}
	}
	r := p.next()
	return p.one(ranges{{r, r}})
}

func (p *parser) group() *node {
	p.pos++ // (
	if !p.take("?") {
		return p.closed(p.alternation())
	}
	switch {
	case p.take(":"):
		return p.closed(p.alternation())
	case p.take(">"):
		return &node{kind: nAtomic, subs: []*node{p.closed(p.alternation())}}
	case p.take("="):
		return &node{kind: nLook, subs: []*node{p.closed(p.alternation())}}
	case p.take("!"):
		return &node{kind: nLook, not: true, subs: []*node{p.closed(p.alternation())}}
	case p.take("<="), p.take("<!"):
		not := p.src[p.pos-1] == '!'
		at := p.pos
		n := &node{kind: nBehind, not: not, subs: []*node{p.closed(p.alternation())}}
		if _, ok := behind(n.subs[0]); !ok {
			p.pos = at
			p.fail("a look-behind may only hold alternatives of at most %d single characters or classes", maxBehind)
		}
		return n
	case p.take("#"):
		for p.next() != ')' {
		}
		return nil
	case p.take("<"), p.take("P<"):
		for p.next() != '>' {
		}
		return p.closed(p.alternation())
	}
	f, on := p.flags, true
	for {
		switch p.next() {
		case 'i':
			f.fold = on
		case 'm':
			f.dotAll = on
		case 'x':
			f.extended = on
		case '-':
			on = false
		case ')':
			// For the rest of the enclosing group, which restores the flags at its end. The alternatives after it
			// belong to the flag group too: (?i)a|b is (?i:a|b).
			p.flags = f
			n := p.alternationWith(f)
			return n
		case ':':
			n := p.alternationWith(f)
			return p.closed(n)
		default:
			p.pos--
			p.fail("an unknown kind of group; known are (?:…), (?=…), (?!…), (?<=…), (?<!…), (?>…) and the flags i, m, x")
		}
	}
}

func (p *parser) alternationWith(f flags) *node {
	saved := p.flags
	p.flags = f
	n := p.alternation()
	p.flags = saved
	return n
}

func (p *parser) closed(n *node) *node {
	if !p.take(")") {
		p.fail("a ( without its )")
	}
	return n
}

// escape reads a backslash item outside a class.
func (p *parser) escape() *node {
	at := p.pos
	p.pos++
	assert := func(a assertion) *node { return &node{kind: nAssert, assert: a} }
	c := p.next()
	switch c {
	case 'A':
		return assert(textStart)
	case 'z':
		return assert(textEnd)
	case 'Z':
		return assert(textEndNewline)
	case 'b':
		return assert(wordEdge)
	case 'B':
		return assert(noWordEdge)
	case 'R':
		// The two characters of a CR LF are taken together or not at all.
		return &node{kind: nAtomic, subs: []*node{{kind: nAlt, subs: []*node{
			{kind: nCat, subs: []*node{{kind: nSet, set: ranges{{'\r', '\r'}}}, {kind: nSet, set: ranges{{'\n', '\n'}}}}},
			{kind: nSet, set: ranges{{'\n', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}}},
		}}}}
	case 'G', 'K', 'X', 'k', 'g', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		p.pos = at
		p.fail("\\%c is not supported: neither back-references nor positions of an earlier match", c)
	}
	if c == 'w' {
		return &node{kind: nSet, set: looseWord()}
	}
	if c == 'W' {
		return &node{kind: nSet, set: negate(looseWord())}
	}
	p.pos = at + 1
	r, isClass := p.escaped()
	if isClass {
		return &node{kind: nSet, set: r}
	}
	return p.one(r)
}

// maxBehind is the longest look-behind, in characters.
const maxBehind = 64

// behind flattens a look-behind's body into alternatives of classes; false when it is anything else.
func behind(n *node) ([][]ranges, bool) {
	switch n.kind {
	case nSet:
		return [][]ranges{{n.set}}, true
	case nEmpty:
		return [][]ranges{{}}, true
	case nAlt:
		var out [][]ranges
		for _, s := range n.subs {
			alts, ok := behind(s)
			if !ok || len(out)+len(alts) > maxBehind {
				return nil, false
			}
			out = append(out, alts...)
		}
		return out, true
	case nCat:
		out := []ranges{}
		for _, s := range n.subs {
			alts, ok := behind(s)
			if !ok || len(alts) != 1 || len(out)+len(alts[0]) > maxBehind {
				return nil, false
			}
			out = append(out, alts[0]...)
		}
		return [][]ranges{out}, true
	case nRep:
		alts, ok := behind(n.subs[0])
		if !ok || len(alts) != 1 || n.min != n.max || n.min*len(alts[0]) > maxBehind {
			return nil, false
		}
		out := []ranges{}
		for range n.min {
			out = append(out, alts[0]...)
		}
		return [][]ranges{out}, true
	}
	return nil, false
}
