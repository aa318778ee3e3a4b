package mg

import (
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
)

// Format prints a source in the one canonical form: two columns of indent, lines of at most 120 columns where words
// allow it, one blank between words, comments kept where they stand. Formatting what it gives changes nothing. The
// error is a *diag.List when the source does not parse.
func Format(name string, src []byte) ([]byte, error) {
	var diags diag.List
	s := Parse(diag.NewSource(name, src), &diags)
	if err := diags.Err(); err != nil {
		return nil, err
	}
	f := formatter{src: s}
	for i := range s.lexed.tokens {
		if t := &s.lexed.tokens[i]; t.Type != tokEOL {
			f.tokens = append(f.tokens, t)
		}
	}
	out := render(f.file())
	return []byte(strings.TrimRight(out, "\n \t") + "\n"), nil
}

// formatter turns the tree into a doc. Tokens are printed in their order, so that each comment goes to the token it
// stands beside.
type formatter struct {
	src    *Source
	tokens []*lexer.Token // without ends of lines
	at     int            // the next token
	note   int            // the next comment
}

// token prints the next token, with the comments around it: those on lines of their own before it go above the line
// that it comes to stand in, one behind it goes to the line's end.
func (f *formatter) token() *doc {
	t := f.tokens[f.at]
	f.at++
	var kids []*doc
	for f.note < len(f.src.lexed.comments) && f.src.lexed.comments[f.note].offset < t.Pos.Offset {
		c := f.src.lexed.comments[f.note]
		f.note++
		kind := docAbove
		if !c.own {
			kind = docSuffix
		}
		kids = append(kids, &doc{kind: kind, text: c.text, hard: true})
	}
	kids = append(kids, text(t.Value))
	kids = append(kids, f.behind()...)
	if len(kids) == 1 {
		return kids[0]
	}
	return cat(kids...)
}

// behind takes the comments on the line of the token just printed, where nothing but commas stands between.
func (f *formatter) behind() []*doc {
	next := f.at
	for next < len(f.tokens) && f.tokens[next].Value == "," {
		next++
	}
	var kids []*doc
	for f.note < len(f.src.lexed.comments) {
		c := f.src.lexed.comments[f.note]
		if c.own || next < len(f.tokens) && f.tokens[next].Type != tokEOF && c.offset > f.tokens[next].Pos.Offset {
			break
		}
		f.note++
		kids = append(kids, &doc{kind: docSuffix, text: c.text, hard: true})
	}
	return kids
}

// skip drops the next token if it is the given one, and prints nothing.
func (f *formatter) skip(value string) bool {
	if f.at < len(f.tokens) && f.tokens[f.at].Value == value {
		f.at++
		return true
	}
	return false
}

// all prints the tokens of a piece of the tree as they stand, without a blank between them.
func (f *formatter) all(n Syntax) *doc {
	last := n.node().Tokens[len(n.node().Tokens)-1].Pos.Offset
	var kids []*doc
	for f.at < len(f.tokens) && f.tokens[f.at].Pos.Offset <= last {
		kids = append(kids, f.token())
	}
	return cat(kids...)
}

// ownComments takes the comments on lines of their own before the next token, as lines, with one empty line kept
// where there were some. prev is the last line printed, 0 at the beginning of a block.
func (f *formatter) ownComments(prev int) (kids []*doc, last int) {
	limit := 1 << 62
	if f.at < len(f.tokens) && f.tokens[f.at].Type != tokEOF {
		limit = f.tokens[f.at].Pos.Offset
	}
	last = prev
	for f.note < len(f.src.lexed.comments) {
		c := f.src.lexed.comments[f.note]
		if c.offset > limit {
			break
		}
		f.note++
		kids = append(kids, f.gap(last, c.line)...)
		kids = append(kids, text(c.text))
		last = c.line
	}
	return kids, last
}

// gap is the break before a line: an empty line where the source has one, nothing at the beginning of a block.
func (f *formatter) gap(prev, next int) []*doc {
	switch {
	case prev == 0:
		return nil
	case next > prev+1:
		return []*doc{hardline(), hardline()}
	}
	return []*doc{hardline()}
}

// endLine is the line on which the token just printed stands.
func (f *formatter) endLine() int { return f.tokens[f.at-1].Pos.Line }

// lines prints pieces one a line, with the comments between them and before the closing brace.
func (f *formatter) lines(n int, print func(i int) *doc, apart func(i int) bool) *doc {
	var kids []*doc
	prev := 0
	for i := range n {
		own, last := f.ownComments(prev)
		if len(own) > 0 && i > 0 && apart != nil && apart(i) {
			own = append([]*doc{hardline()}, dropGap(own)...)
			own = append([]*doc{hardline()}, own...)
		}
		kids = append(kids, own...)
		next := f.tokens[f.at].Pos.Line
		if len(own) == 0 && i > 0 && apart != nil && apart(i) {
			kids = append(kids, hardline(), hardline())
		} else {
			kids = append(kids, f.gap(last, next)...)
		}
		kids = append(kids, print(i))
		prev = f.endLine()
	}
	own, _ := f.ownComments(prev)
	kids = append(kids, own...)
	return cat(kids...)
}

// dropGap removes the breaks at the beginning.
func dropGap(kids []*doc) []*doc {
	for len(kids) > 0 && kids[0].kind == docHard {
		kids = kids[1:]
	}
	return kids
}

func (f *formatter) file() *doc {
	decls := f.src.File.Decls
	return f.lines(len(decls), func(i int) *doc { return f.decl(decls[i]) }, func(i int) bool {
		return tall(decls[i]) || tall(decls[i-1]) || kindOf(decls[i]) != kindOf(decls[i-1])
	})
}

// tall reports whether a declaration has a block and so stands apart from its neighbours.
func tall(d Decl) bool {
	switch d.(type) {
	case *Model, *Config, *Def:
		return true
	}
	return false
}

func kindOf(d Decl) int {
	switch d.(type) {
	case *Import:
		return 1
	case *Let:
		return 2
	case *State:
		return 3
	case *Require:
		return 4
	}
	return 0
}

// braces prints a block: an opening brace, lines, a closing brace.
func (f *formatter) braces(n int, print func(i int) *doc) *doc {
	open := f.token()
	if n == 0 && f.noComments() {
		return cat(open, f.token())
	}
	body := f.lines(n, print, nil)
	return cat(open, indent(hardline(), body), hardline(), f.token())
}

// noComments reports whether no comment stands before the next token.
func (f *formatter) noComments() bool {
	return f.note >= len(f.src.lexed.comments) || f.src.lexed.comments[f.note].offset > f.tokens[f.at].Pos.Offset
}

func (f *formatter) decl(d Decl) *doc {
	switch d := d.(type) {
	case *Import:
		return cat(f.token(), text(" "), f.token())
	case *Model:
		head := cat(f.token(), text(" "), f.token(), text(" "))
		return cat(head, f.braces(len(d.Facts), func(i int) *doc {
			return cat(f.token(), text(" "), f.token(), text(" "), f.expr(d.Facts[i].Value))
		}))
	case *Config:
		head := cat(f.token(), text(" "))
		return cat(head, f.braces(len(d.Items), func(i int) *doc { return f.configItem(d.Items[i]) }))
	case *State:
		kids := []*doc{f.token(), text(" "), f.token()}
		if d.Count != nil {
			kids = append(kids, f.token(), f.expr(d.Count), f.token())
		}
		return cat(append(kids, f.token(), text(" "), f.typ(d.Type))...)
	case *Def:
		return f.def(d)
	}
	return f.stmt(d)
}

func (f *formatter) configItem(it *ConfigItem) *doc {
	if it.Field == nil {
		word := cat(f.token(), text(" "))
		kids := []*doc{}
		for i := range it.Ignore {
			if i > 0 {
				kids = append(kids, line())
			}
			d := f.token()
			if i < len(it.Ignore)-1 {
				d = cat(d, f.comma())
			}
			kids = append(kids, d)
		}
		return cat(word, indent(with(docFill, kids)))
	}
	d := it.Field
	var kids []*doc
	for i := range d.Names {
		if i > 0 {
			kids = append(kids, f.comma(), text(" "))
		}
		kids = append(kids, f.token())
	}
	kids = append(kids, f.token(), text(" "), f.configType(d.Type))
	if d.Default != nil {
		kids = append(kids, text(" "), f.token(), text(" "), f.expr(d.Default))
	}
	if d.Where != nil {
		kids = append(kids, text(" "), f.token(), text(" "))
		if d.Where.Op != nil {
			kids = append(kids, f.token(), text(" "))
		}
		kids = append(kids, f.expr(d.Where.Cond))
	}
	return cat(kids...)
}

// comma prints the comma that comes next.
func (f *formatter) comma() *doc { return f.token() }

func (f *formatter) configType(t *ConfigType) *doc {
	var kids []*doc
	switch {
	case t.Word != nil:
		kids = append(kids, f.token())
	case len(t.Values) > 0:
		for i := range t.Values {
			if i > 0 {
				kids = append(kids, text(" "), f.token(), text(" "))
			}
			kids = append(kids, f.token())
		}
	case t.Elem != nil:
		kids = append(kids, f.token(), f.configType(t.Elem), f.token())
	case t.Fields != nil:
		kids = append(kids, f.braces(len(t.Fields.Items), func(i int) *doc { return f.configItem(t.Fields.Items[i]) }))
	}
	if t.Optional {
		kids = append(kids, f.token())
	}
	return cat(kids...)
}

func (f *formatter) def(d *Def) *doc {
	kids := []*doc{f.token(), text(" "), f.token()}
	kids = append(kids, f.items("()", len(d.Params), func(i int) *doc {
		p := d.Params[i]
		k := []*doc{f.token()}
		if p.Type != nil {
			k = append(k, f.token(), text(" "), f.typ(p.Type))
		}
		if p.Default != nil {
			k = append(k, text(" "), f.token(), text(" "), f.expr(p.Default))
		}
		return cat(k...)
	}))
	if r := d.Result; r != nil {
		kids = append(kids, text(" "), f.token(), text(" "))
		if r.Type != nil {
			kids = append(kids, f.typ(r.Type))
		} else {
			kids = append(kids, together(f.items("()", len(r.Items), func(i int) *doc {
				it := r.Items[i]
				if it.Type == nil {
					return f.typ(it.Name)
				}
				return cat(f.typ(it.Name), f.token(), text(" "), f.typ(it.Type))
			})))
		}
	}
	kids = append(kids, text(" "), f.block(d.Body))
	return cat(kids...)
}

// items prints a list in brackets; the tokens of the brackets and commas are taken here.
func (f *formatter) items(brackets string, n int, print func(i int) *doc) *doc {
	var before []*doc
	open := f.token()
	if open.kind == docCat { // comments at the bracket: the bracket itself comes from the list
		for _, k := range open.kids {
			if k.kind != docText {
				before = append(before, k)
			}
		}
	}
	var kids []*doc
	for i := range n {
		d := print(i)
		if f.at < len(f.tokens) && f.tokens[f.at].Value == "," {
			f.at++
			if more := f.behind(); len(more) > 0 {
				d = cat(append([]*doc{d}, more...)...)
			}
		}
		if i == 0 && len(before) > 0 {
			d = cat(append(before, d)...)
			before = nil
		}
		kids = append(kids, d)
	}
	if !f.noComments() {
		own, _ := f.ownComments(0)
		c := cat(own...)
		c.text, c.hard = "comments", true
		kids = append(kids, c)
	}
	shut := f.token()
	list := bracketed(brackets, kids)
	after := before
	if shut.kind == docCat {
		for _, k := range shut.kids {
			if k.kind != docText {
				after = append(after, k)
			}
		}
	}
	if len(after) > 0 {
		return cat(append([]*doc{list}, after...)...)
	}
	return list
}

// together keeps a list on one line, so that another one breaks in its place.
func together(d *doc) *doc {
	if d.kind != docList || d.hard {
		return d
	}
	kids := []*doc{text(d.text[:1])}
	for i, k := range d.kids {
		if i > 0 {
			kids = append(kids, text(", "))
		}
		kids = append(kids, k)
	}
	return cat(append(kids, text(d.text[1:]))...)
}

func (f *formatter) typ(t *Type) *doc {
	var kids []*doc
	shape := t.Shape
	if t.Word != nil {
		kids = append(kids, f.token())
	} else {
		shape = t.Bare
	}
	if shape != nil { // never broken: a type is one word to the eye
		kids = append(kids, f.token())
		for i := range shape.Dims {
			kids = append(kids, f.item(shape.Dims[i]))
			if i < len(shape.Dims)-1 {
				kids = append(kids, f.comma(), text(" "))
			}
		}
		f.skip(",")
		kids = append(kids, f.token())
	}
	if t.Optional {
		kids = append(kids, f.token())
	}
	return cat(kids...)
}

func (f *formatter) item(it *Item) *doc {
	if !it.Spread {
		return f.expr(it.Value)
	}
	d := f.token()
	if it.Rest != nil {
		return cat(d, f.expr(it.Rest))
	}
	return d
}

func (f *formatter) block(b *Block) *doc {
	return f.braces(len(b.Stmts), func(i int) *doc { return f.stmt(b.Stmts[i]) })
}

func (f *formatter) stmt(s Stmt) *doc {
	switch s := s.(type) {
	case *Let:
		kids := []*doc{f.token(), text(" ")}
		for i := range s.Names {
			if i > 0 {
				kids = append(kids, f.comma(), text(" "))
			}
			kids = append(kids, f.token())
		}
		if s.Type != nil {
			kids = append(kids, f.token(), text(" "), f.typ(s.Type))
		}
		return cat(append(kids, text(" "), f.token(), text(" "), f.expr(s.Value))...)
	case *Weight:
		kids := []*doc{f.token(), text(" "), f.token()}
		if s.Stack != nil {
			kids = append(kids, f.token(), f.token(), text(" "), f.token(), text(" "), f.expr(s.Stack.Range), f.token())
		}
		kids = append(kids, f.token(), text(" "), f.typ(s.Type))
		return cat(append(kids, text(" "), f.token(), text(" "), f.expr(s.Value))...)
	case *For:
		head := cat(f.token(), text(" "), f.token(), text(" "), f.token(), text(" "), f.expr(s.Over), text(" "))
		return cat(head, f.block(s.Body))
	case *Scope:
		return cat(f.token(), text(" "), f.expr(s.Name))
	case *Tap:
		return cat(f.token(), text(" "), f.expr(s.Name), f.comma(), text(" "), f.expr(s.Value))
	case *Require:
		kids := []*doc{f.token(), text(" "), f.expr(s.Cond)}
		if s.Message != nil {
			kids = append(kids, f.comma(), text(" "), f.expr(s.Message))
		}
		return cat(kids...)
	case *ExprStmt:
		d := f.expr(s.Target)
		if s.Value != nil {
			return cat(d, text(" "), f.token(), text(" "), f.expr(s.Value))
		}
		return d
	}
	return f.all(s)
}
