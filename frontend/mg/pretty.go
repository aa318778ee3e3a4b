package mg

import (
	"strings"
	"unicode/utf8"
)

// A doc is text with places where a line may break; render chooses the breaks. The idea is Wadler's ("A
// prettier printer", 2003), with lists that have three shapes and comments that are not in the way.
type doc struct {
	kind docKind
	text string
	kids []*doc
	hard bool // a line surely breaks inside
}

type docKind uint8

const (
	docText   docKind = iota
	docCat            // kids, one after the other
	docLine           // a blank, or a new line
	docSoft           // nothing, or a new line
	docHard           // a new line
	docIndent         // kids, lines inside two columns further right
	docGroup          // kids, with every line of it broken or none
	docFill           // kids and the lines between them, each broken only if what follows does not fit
	docList           // text is the two brackets; kids on one line, on a line of their own, or one a line
	docSuffix         // a comment put at the end of the line
	docAbove          // a comment put on a line of its own above this line
)

// width is where lines end, in columns.
const width = 120

func text(s string) *doc      { return &doc{kind: docText, text: s} }
func line() *doc              { return &doc{kind: docLine} }
func hardline() *doc          { return &doc{kind: docHard, hard: true} }
func cat(kids ...*doc) *doc   { return with(docCat, kids) }
func group(kids ...*doc) *doc { return with(docGroup, kids) }
func indent(kids ...*doc) *doc {
	return with(docIndent, kids)
}

func with(k docKind, kids []*doc) *doc {
	d := &doc{kind: k, kids: kids}
	for _, x := range kids {
		d.hard = d.hard || x.hard
	}
	return d
}

// bracketed is a list in brackets, with a comma behind every item but the last; where each item has its own line,
// behind the last as well.
func bracketed(brackets string, items []*doc) *doc {
	if len(items) == 0 {
		return text(brackets)
	}
	d := with(docList, items)
	d.text = brackets
	return d
}

type mode uint8

const (
	flat mode = iota
	broken
)

type item struct {
	indent int
	mode   mode
	d      *doc
}

// render lays a doc out.
func render(d *doc) string {
	r := renderer{work: []item{{0, broken, d}}}
	r.run()
	r.flushSuffix()
	return string(r.out)
}

type renderer struct {
	out    []byte
	col    int
	start  int // where the current line begins in out
	suffix []string
	work   []item
}

func (r *renderer) push(indent int, m mode, d *doc) { r.work = append(r.work, item{indent, m, d}) }

func (r *renderer) put(s string) {
	r.out = append(r.out, s...)
	r.col += utf8.RuneCountInString(s)
}

func (r *renderer) flushSuffix() {
	for _, s := range r.suffix {
		r.out = append(r.out, ' ')
		r.out = append(r.out, s...)
	}
	r.suffix = r.suffix[:0]
}

// newline ends the line, with its comments, without blanks at its end.
func (r *renderer) newline(indent int) {
	for len(r.out) > r.start && r.out[len(r.out)-1] == ' ' {
		r.out = r.out[:len(r.out)-1]
	}
	if len(r.suffix) > 0 && len(r.out) == r.start {
		// A line of nothing but its comment keeps its indent.
		r.out = append(r.out, strings.Repeat(" ", indent)...)
		r.out = append(r.out, r.suffix[0]...)
		r.suffix = r.suffix[1:]
	}
	r.flushSuffix()
	r.out = append(r.out, '\n')
	r.start = len(r.out)
	r.out = append(r.out, strings.Repeat(" ", indent)...)
	r.col = indent
}

// above puts a comment on a line of its own above the current one.
func (r *renderer) above(s string) {
	ind := 0
	for r.start+ind < len(r.out) && r.out[r.start+ind] == ' ' {
		ind++
	}
	whole := strings.Repeat(" ", ind) + s + "\n"
	rest := string(r.out[r.start:])
	r.out = append(append(r.out[:r.start], whole...), rest...)
	r.start += len(whole)
}

func (r *renderer) run() {
	for len(r.work) > 0 {
		it := r.work[len(r.work)-1]
		r.work = r.work[:len(r.work)-1]
		d := it.d
		switch d.kind {
		case docText:
			r.put(d.text)
		case docCat:
			r.pushAll(it.indent, it.mode, d.kids)
		case docIndent:
			r.pushAll(it.indent+2, it.mode, d.kids)
		case docLine, docSoft:
			if it.mode == broken {
				r.newline(it.indent)
			} else if d.kind == docLine {
				r.put(" ")
			}
		case docHard:
			r.newline(it.indent)
		case docSuffix:
			r.suffix = append(r.suffix, d.text)
		case docAbove:
			r.above(d.text)
		case docGroup:
			m := broken
			if !d.hard && r.fits(item{it.indent, flat, d}, width-r.col) {
				m = flat
			}
			r.pushAll(it.indent, m, d.kids)
		case docFill:
			r.fill(it)
		case docList:
			r.list(it)
		}
	}
}

func (r *renderer) pushAll(indent int, m mode, kids []*doc) {
	for i := len(kids) - 1; i >= 0; i-- {
		r.push(indent, m, kids[i])
	}
}

// fill lays out content, separator, content, …: a separator breaks where the content behind it does not fit.
func (r *renderer) fill(it item) {
	kids := it.d.kids
	if it.mode == flat {
		r.pushAll(it.indent, flat, kids)
		return
	}
	if len(kids) == 1 {
		r.push(it.indent, broken, kids[0])
		return
	}
	rest := &doc{kind: docFill, kids: kids[2:], hard: it.d.hard}
	m := broken
	if r.fitsAfter(it.indent, kids[0], kids[1], kids[2]) {
		m = flat
	}
	r.push(it.indent, broken, rest)
	r.push(it.indent, m, kids[1])
	r.push(it.indent, broken, kids[0])
}

// fitsAfter reports whether first, a blank and the next content fit on the line.
func (r *renderer) fitsAfter(indent int, first, sep, next *doc) bool {
	return r.fits(item{indent, flat, cat(first, sep, next)}, width-r.col)
}

// list chooses one of the three shapes.
func (r *renderer) list(it item) {
	d := it.d
	open, shut := d.text[:1], d.text[1:]
	joined := func() []*doc {
		var kids []*doc
		for i, k := range d.kids {
			if i > 0 {
				kids = append(kids, text(","), line())
			}
			kids = append(kids, k)
		}
		return kids
	}
	if it.mode == flat || !d.hard && r.fits(item{it.indent, flat, d}, width-r.col) {
		r.push(it.indent, flat, text(shut))
		r.pushAll(it.indent, flat, joined())
		r.put(open)
		return
	}
	if len(d.kids) == 1 && hugs(d.kids[0]) {
		// What breaks inside anyway need not stand on a line of its own.
		r.push(it.indent, broken, text(shut))
		r.push(it.indent, broken, d.kids[0])
		r.put(open)
		return
	}
	if inner := append(joined(), text(","), hardline()); !d.hard && r.fits(item{it.indent + 2, flat, cat(inner...)}, width-it.indent-2) {
		r.push(it.indent, broken, text(shut))
		r.push(it.indent, broken, hardline())
		r.pushAll(it.indent+2, flat, inner[:len(inner)-1])
		r.push(it.indent+2, broken, hardline())
		r.put(open)
		return
	}
	r.push(it.indent, broken, text(shut))
	r.push(it.indent, broken, hardline())
	for i := len(d.kids) - 1; i >= 0; i-- {
		if d.kids[i].kind != docAbove && !isComments(d.kids[i]) {
			r.push(it.indent+2, broken, text(","))
		}
		r.push(it.indent+2, broken, d.kids[i])
		r.push(it.indent+2, broken, hardline())
	}
	r.put(open)
}

// hugs reports whether a list with this single item keeps its brackets around it: an item that is a list itself.
func hugs(d *doc) bool { return d.kind == docList && !d.hard }

// isComments reports whether a doc is the comments before a closing bracket.
func isComments(d *doc) bool { return d.kind == docCat && len(d.kids) > 0 && d.text == "comments" }

// fits reports whether a doc, and what follows it up to the next place where the line breaks, has room.
func (r *renderer) fits(first item, room int) bool {
	stack := []item{first}
	rest := len(r.work)
	for room >= 0 {
		if len(stack) == 0 {
			if rest == 0 {
				return true
			}
			rest--
			stack = append(stack, r.work[rest])
			continue
		}
		it := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		d := it.d
		switch d.kind {
		case docText:
			room -= utf8.RuneCountInString(d.text)
		case docCat, docIndent:
			for i := len(d.kids) - 1; i >= 0; i-- {
				stack = append(stack, item{it.indent, it.mode, d.kids[i]})
			}
		case docGroup, docFill:
			m := it.mode
			if d.kind == docGroup && !d.hard {
				m = flat
			}
			for i := len(d.kids) - 1; i >= 0; i-- {
				stack = append(stack, item{it.indent, m, d.kids[i]})
			}
		case docLine:
			if it.mode == broken {
				return true
			}
			room--
		case docSoft:
			if it.mode == broken {
				return true
			}
		case docHard:
			return true
		case docList:
			room -= 2
			if it.mode == broken || d.hard {
				return room >= -1 // its bracket is the last thing on the line if need be
			}
			for i := len(d.kids) - 1; i >= 0; i-- {
				stack = append(stack, item{it.indent, flat, d.kids[i]})
				if i > 0 {
					room -= 2
				}
			}
		}
	}
	return false
}
