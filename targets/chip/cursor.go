package chip

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// cursor reads the words of one statement from left to right. The first mistake of a statement is reported; what
// is then unreadable is not reported again.
type cursor struct {
	r       *reader
	s       *stmt
	i       int
	prefix  string // what the statement describes, such as "memory ub"
	pending []pending
	bad     bool
}

// pending is a number whose source has not been read yet. The number is in q; whole, if set, gets its value too.
type pending struct {
	name string
	q    *Quantity
}

var confidenceWords = []string{"published", "measured", "derived", "reported", "assumed"}

func confidenceOf(word string) Confidence {
	for i, w := range confidenceWords {
		if w == word {
			return Published + Confidence(i)
		}
	}
	return Unstated
}

// isClause says whether a word begins a source clause.
func isClause(word string) bool { return word == "source" || confidenceOf(word) != Unstated }

func (c *cursor) peek() *arg {
	if c.i < len(c.s.Args) {
		return c.s.Args[c.i]
	}
	return nil
}

func (c *cursor) peekWord() string {
	if a := c.peek(); a != nil && a.Tok.Type == tWord {
		return a.Tok.Value
	}
	return ""
}

// here is the place of the next word, or the end of the statement.
func (c *cursor) here() diag.Range {
	if a := c.peek(); a != nil {
		return c.s.rangeOf(a)
	}
	return c.s.end()
}

// found describes the next word for a message.
func (c *cursor) found() string {
	a := c.peek()
	switch {
	case a == nil:
		return "the end of the line"
	case a.Tok.Type == tString || a.Tok.Type == tOpenStr:
		return "a string"
	case a.Tok.Type == tNumber:
		return "the number " + a.Tok.Value
	}
	return strconv.Quote(a.Tok.Value)
}

// fail reports the first mistake of the statement; after that it gives a diagnostic that nobody sees.
func (c *cursor) fail(code string, rng diag.Range, format string, args ...any) *diag.Diagnostic {
	if c.bad {
		return &diag.Diagnostic{}
	}
	c.bad = true
	return c.r.list.Errorf(code, rng, format, args...)
}

// want reports that the next word is not what it should be.
func (c *cursor) want(expected string) {
	c.fail(codeArgument, c.here(), "%s: this does not fit here", c.s.key()).Expect(expected, c.found())
}

func (c *cursor) take(t lexer.TokenType, expected string) (string, diag.Range) {
	a := c.peek()
	if a == nil || a.Tok.Type != t {
		c.want(expected)
		return "", diag.Range{}
	}
	c.i++
	return a.Tok.Value, c.s.rangeOf(a)
}

func (c *cursor) accept(t lexer.TokenType) bool {
	if a := c.peek(); !c.bad && a != nil && a.Tok.Type == t {
		c.i++
		return true
	}
	return false
}

func (c *cursor) acceptWord(w string) bool {
	if !c.bad && c.peekWord() == w {
		c.i++
		return true
	}
	return false
}

// str reads a string that is not blank, perhaps in several pieces.
func (c *cursor) str(what string) string {
	a := c.peek()
	if a == nil || (a.Tok.Type != tString && a.Tok.Type != tOpenStr) {
		c.want(what + " in quotes")
		return ""
	}
	c.i++
	pieces := []string{unquote(a.Tok.Value)}
	for b := c.peek(); b != nil && b.Tok.Type == tString; b = c.peek() {
		pieces = append(pieces, unquote(b.Tok.Value))
		c.i++
	}
	s := strings.Join(pieces, " ")
	if strings.TrimSpace(s) == "" {
		c.fail(codeEmpty, c.s.rangeOf(a), "%s: this says nothing", c.s.key()).Expect(what, "an empty string")
	}
	return s
}

// name reads a name: a word, or a string for names that are not words.
func (c *cursor) name(what string) (string, diag.Range) {
	a := c.peek()
	if a == nil || (a.Tok.Type != tWord && a.Tok.Type != tString) {
		c.want(what)
		return "", diag.Range{}
	}
	rng := c.s.rangeOf(a)
	if a.Tok.Type == tString {
		return c.str(what), rng
	}
	c.i++
	return a.Tok.Value, rng
}

// word reads one of some words.
func (c *cursor) word(what string, options []string) string {
	w, rng := c.take(tWord, "one of "+strings.Join(options, ", "))
	if c.bad {
		return ""
	}
	for _, o := range options {
		if o == w {
			return w
		}
	}
	c.fail(codeWord, rng, "%q is not a %s", w, what).
		Expect("one of "+strings.Join(options, ", "), strconv.Quote(w)).Suggest(w, options)
	return ""
}

// index is word for enumerations whose names stand in a table from 1.
func (c *cursor) index(what string, names []string) int {
	w := c.word(what, names[1:])
	for i, n := range names {
		if n == w && w != "" {
			return i
		}
	}
	return 0
}

// format reads a number format.
func (c *cursor) format() format.Format {
	w, rng := c.take(tWord, "a format, such as f16")
	if c.bad {
		return format.Invalid
	}
	f, ok := format.Parse(w)
	if !ok {
		var names []string
		for _, f := range format.All() {
			names = append(names, f.String())
		}
		c.fail(codeFormat, rng, "there is no format %q", w).Suggest(w, names)
	}
	return f
}

// maxThings is how many of one kind a chip may have: memories, engines, rates of an engine, words of a list. It
// keeps checks that look at pairs of them short.
const maxThings = 256

// room reports when there are too many of something.
func (c *cursor) room(have int, what string) bool {
	if have < maxThings {
		return true
	}
	c.fail(codeTooBig, c.s.line(), "too many %s", what).Expect(fmt.Sprintf("at most %d", maxThings), "more")
	return false
}

// each reads a list with commas.
func (c *cursor) each(read func()) {
	for n := 0; !c.bad && c.room(n, "words in a list"); n++ {
		if read(); !c.accept(tComma) {
			return
		}
	}
}

// formats reads "f16, bf16, …".
func (c *cursor) formats() (out []format.Format) {
	c.each(func() { out = append(out, c.format()) })
	return out
}

// pairs reads "f32 -> f16, f16 -> f32, …".
func (c *cursor) pairs() (out []FormatPair) {
	c.each(func() {
		from := c.format()
		c.arrow()
		if !c.bad {
			out = append(out, FormatPair{from, c.format()})
		}
	})
	return out
}

func (c *cursor) arrow() {
	if !c.bad {
		c.take(tArrow, `"->"`)
	}
}

// memory reads the name of a memory, which is looked up when the whole file is read.
func (c *cursor) memory() string { return c.ref("memory") }

// ref reads the name of something else in the file.
func (c *cursor) ref(kind string) string {
	if c.bad {
		return ""
	}
	n, rng := c.name("the name of a " + kind)
	if !c.bad {
		c.r.refs = append(c.r.refs, ref{kind, n, rng})
	}
	return n
}

// number reads a number and its unit into q, and its source clause if it stands right behind.
func (c *cursor) number(q *Quantity, name string, d dim) {
	if c.bad {
		return
	}
	a := c.peek()
	if a == nil || a.Tok.Type != tNumber {
		c.want(d.wants())
		return
	}
	c.i++
	rng := c.s.rangeOf(a)
	v, err := strconv.ParseFloat(a.Tok.Value, 64)
	if err != nil || math.IsInf(v, 0) {
		c.fail(codeRange, rng, "%s is no number that can be worked with", a.Tok.Value)
		return
	}
	written := a.Tok.Value
	w := c.peekWord()
	u, known := units[w]
	got := dimCount
	switch {
	case known:
		rng = rng.Join(c.here())
		c.i++
		v = u.convert(v)
		got = u.dim
		written += " " + w
	case w != "" && !isClause(w) && d != dimCount && d != dimRatio:
		c.fail(codeUnit, c.here(), "%s: there is no unit %q", c.s.key(), w).
			Expect(d.wants(), strconv.Quote(w)).Suggest(w, unitsOf(d))
		return
	case d != dimCount && d != dimRatio:
		c.fail(codeNoUnit, rng, "%s: this number has no unit", c.s.key()).Expect(d.wants(), "a bare number")
		return
	case d == dimRatio:
		got = dimRatio
	}
	if !d.takes(got) {
		c.fail(codeUnit, rng, "%s: this unit measures something else", c.s.key()).
			Expect(d.wants(), strconv.Quote(written)+", "+dims[got].what)
		return
	}
	if got != d { // seconds and cycles
		if c.r.clock == 0 {
			c.bad = true // the missing clock has been or will be reported
			return
		}
		switch {
		case got == dimCycles:
			v /= c.r.clock
		case d == dimCycles:
			v *= c.r.clock
		}
	}
	*q = Quantity{Value: v, Unit: dims[d].base, Written: written, Range: rng}
	c.pending = append(c.pending, pending{name, q})
	c.clause()
}

// limits of what a number may be; they keep every product of two of them within an int.
const (
	maxCount = 1 << 24
	maxBytes = 1 << 50
)

// positive reads a number above zero.
func (c *cursor) positive(q *Quantity, name string, d dim) {
	c.number(q, name, d)
	c.inRange(q, math.SmallestNonzeroFloat64, math.MaxFloat64, "a number above 0")
}

// size reads a whole number of bytes above zero.
func (c *cursor) size(q *Quantity, name string) {
	c.number(q, name, dimBytes)
	c.inRange(q, 1, maxBytes, "a size from 1 B to 1 PiB")
	c.whole(q)
}

// count reads a whole number from lo up.
func (c *cursor) count(q *Quantity, name string, lo int) {
	c.number(q, name, dimCount)
	c.inRange(q, float64(lo), maxCount, "a number from "+strconv.Itoa(lo)+" to "+strconv.Itoa(maxCount))
	c.whole(q)
}

// bits reads a whole number of bits.
func (c *cursor) bits(q *Quantity, name string) {
	c.number(q, name, dimBits)
	c.inRange(q, 1, 64, "1 to 64 bits")
	c.whole(q)
}

func (c *cursor) inRange(q *Quantity, lo, hi float64, expected string) {
	if !c.bad && (q.Value < lo || q.Value > hi) {
		c.fail(codeRange, q.Range, "%s: out of range", c.s.key()).Expect(expected, q.Written)
	}
}

func (c *cursor) whole(q *Quantity) {
	if !c.bad && q.Value != math.Trunc(q.Value) {
		c.fail(codeRange, q.Range, "%s: not a whole number", c.s.key()).Expect("a whole number", q.Written)
	}
}

// tile reads MxKxN; it is one fact.
func (c *cursor) tile(q *Quantity, name string) (m, k, n int) {
	if c.bad {
		return 0, 0, 0
	}
	a := c.peek()
	if a == nil || a.Tok.Type != tTile {
		c.want("a tile MxKxN, such as 16x16x16")
		return 0, 0, 0
	}
	c.i++
	rng := c.s.rangeOf(a)
	var dims [3]int
	parts := strings.Split(a.Tok.Value, "x")
	if len(parts) != 3 {
		c.fail(codeArgument, rng, "%s: this is no tile", c.s.key()).Expect("MxKxN, such as 16x16x16", a.Tok.Value)
		return 0, 0, 0
	}
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 1 || v > 1<<12 {
			c.fail(codeRange, rng, "%s: out of range", c.s.key()).Expect("sides from 1 to 4096", a.Tok.Value)
			return 0, 0, 0
		}
		dims[i] = v
	}
	*q = Quantity{Value: float64(dims[0] * dims[1] * dims[2]), Written: a.Tok.Value, Range: rng}
	c.pending = append(c.pending, pending{name, q})
	c.clause()
	return dims[0], dims[1], dims[2]
}

// clause reads who says so, if that comes next, for all numbers that wait for it:
//
//	source NAME ["detail"] [confidence ["formula or reason"]]
//	confidence "citation, formula or reason" [confidence ["formula or reason"]]
func (c *cursor) clause() {
	w := c.peekWord()
	if c.bad || !isClause(w) {
		return
	}
	c.i++
	var text string
	conf := confidenceOf(w)
	if w != "source" {
		text = c.str(map[Confidence]string{
			Published: "the document", Reported: "who reported it", Measured: "who measured it, and how",
			Derived: "the formula", Assumed: "the reason",
		}[conf])
	} else {
		name, rng := c.take(tWord, "the name of a source")
		if c.bad {
			return
		}
		src := c.r.source(name)
		if src == nil {
			var names []string
			for _, s := range c.r.chip.Sources {
				names = append(names, s.Name)
			}
			c.fail(codeSource, rng, "no source is called %q", name).Suggest(name, names).
				Helpf("declare it: sources { %s published \"…\" }", name)
			return
		}
		c.r.usedSource[name] = true
		text, conf = src.Text, src.Confidence
		if a := c.peek(); a != nil && a.Tok.Type == tString {
			text += ": " + c.str("the place in the source")
		}
	}
	if k := confidenceOf(c.peekWord()); k != Unstated && !c.bad {
		c.i++
		conf = max(conf, k) // what is derived from a report is no better than the report
		if a := c.peek(); a != nil && a.Tok.Type == tString {
			text += "; " + c.str("the formula or reason")
		}
	}
	if c.bad {
		return
	}
	for _, p := range c.pending {
		p.q.Source, p.q.Confidence = text, conf
		name := p.name
		if c.prefix != "" {
			name = c.prefix + ": " + name
		}
		c.r.chip.Facts = append(c.r.chip.Facts, Fact{name, *p.q})
	}
	c.pending = nil
}

// finish reports words left over and numbers without a source.
func (c *cursor) finish() {
	if c.bad {
		return
	}
	if len(c.pending) > 0 {
		p := c.pending[0]
		c.fail(codeNoSource, p.q.Range, "%s: nobody is named for this number", c.s.key()).
			Expect(`source NAME, or published, reported, measured, derived or assumed "…"`, c.found()).
			Suggest(c.peekWord(), append([]string{"source"}, confidenceWords...)).
			Helpf(`if nobody published it, write: assumed "the reason for the value"`)
		return
	}
	if a := c.peek(); a != nil {
		c.fail(codeArgument, c.s.rangeOf(a), "%s: this is too much", c.s.key()).
			Expect("the end of the line", c.found())
	}
}
