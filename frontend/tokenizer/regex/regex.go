package regex

import (
	"unicode/utf8"
)

// Regexp is a compiled pattern. It may be used by several goroutines at once.
type Regexp struct {
	pattern string
	fast    *program // with fused loops, for the backtracker
	plain   *program // without, for the table
	order   []int32  // of plain
	first   *set     // what a match begins with; nil when anything
	alts    []alt    // the alternatives at the top, tried in order
}

// alt is an alternative at the top of the pattern.
type alt struct {
	start int32
	first *set // nil: no condition
}

// Compile reads a pattern in Oniguruma's syntax, as tokenizer files hold them. The error is a *SyntaxError.
func Compile(pattern string) (*Regexp, error) {
	n, err := parse(pattern)
	if err != nil {
		return nil, err
	}
	return build(pattern, n)
}

// Literal returns the Regexp that matches text and nothing else.
func Literal(text string) (*Regexp, error) {
	if len(text) > maxPattern/16 {
		return nil, &SyntaxError{text, 0, "the text to look for is too long"}
	}
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{text, 0, "the text to look for is not valid UTF-8"}
	}
	n := &node{kind: nCat}
	for _, r := range text {
		n.subs = append(n.subs, &node{kind: nSet, set: ranges{{r, r}}})
	}
	return build(text, n)
}

func build(pattern string, n *node) (*Regexp, error) {
	re := &Regexp{pattern: pattern}
	sets := map[string]*set{}
	var err error
	if re.fast, err = compile(pattern, n, true, sets); err != nil {
		return nil, err
	}
	if re.plain, err = compile(pattern, n, false, sets); err != nil {
		return nil, err
	}
	re.order = re.plain.order()
	if f, ok := first(n); ok {
		re.first = newSet(f)
	}
	// A chain of splits at the start is the pattern's alternation: its alternatives are tried only where they can begin.
	var tops []*node
	if n.kind == nAlt && len(n.subs) <= 64 {
		tops = n.subs
	}
	at := re.fast.start
	for k, s := range tops {
		a := alt{start: at}
		if k < len(tops)-1 {
			a.start = re.fast.insts[at].next
			at = re.fast.insts[at].other
		}
		if f, ok := first(s); ok {
			a.first = newSet(f)
		}
		re.alts = append(re.alts, a)
	}
	if tops == nil {
		re.alts = []alt{{start: at, first: re.first}}
	}
	return re, nil
}

// String returns the pattern.
func (re *Regexp) String() string { return re.pattern }

// Span is a match: text[Start:End].
type Span struct{ Start, End int }

// All appends every match in text to dst, from left to right, as a search that starts again at the end of each match
// finds them; an empty match right at the end of the one before does not count. text must be valid UTF-8.
func (re *Regexp) All(dst []Span, text string) []Span {
	m := matcher{re: re, text: text}
	lastEnd := -1
	for at := 0; at <= len(text); {
		s, ok := m.find(at)
		if !ok {
			break
		}
		if s.Start == s.End && s.End == lastEnd {
			_, w := utf8.DecodeRuneInString(text[at:])
			at += max(w, 1)
			continue
		}
		dst = append(dst, s)
		at, lastEnd = s.End, s.End
	}
	return dst
}

// holds says whether position p of text has the property.
func holds(a assertion, text string, p int) bool {
	switch a {
	case lineStart:
		// Not after a newline that ends the text, as in Oniguruma.
		return p == 0 || text[p-1] == '\n' && p < len(text)
	case lineEnd:
		return p == len(text) || text[p] == '\n'
	case textStart:
		return p == 0
	case textEnd:
		return p == len(text)
	case textEndNewline:
		return p == len(text) || p == len(text)-1 && text[p] == '\n'
	}
	before, _ := utf8.DecodeLastRuneInString(text[:p])
	after, _ := utf8.DecodeRuneInString(text[p:])
	edge := (p > 0 && wordSet().has(before)) != (p < len(text) && wordSet().has(after))
	return edge == (a == wordEdge)
}

// endsHere says whether one of the alternatives ends at p.
func endsHere(alts [][]*set, text string, p int) bool {
next:
	for _, a := range alts {
		q := p
		for i := len(a) - 1; i >= 0; i-- {
			if q == 0 {
				continue next
			}
			r, w := utf8.DecodeLastRuneInString(text[:q])
			if !a[i].has(r) {
				continue next
			}
			q -= w
		}
		return true
	}
	return false
}
