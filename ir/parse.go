package ir

import (
	"math"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// Limits of IR text. What exceeds one is an error.
const (
	MaxText    = math.MaxInt32 // bytes
	maxNesting = 64            // regions in regions, and dimensions of a literal's lists
	maxDims    = 1024          // dimensions of a type
)

// Parse reads the text form of a module. The grammar, with blanks, line ends and // comments anywhere between
// tokens:
//
//	module   = "module" "@" name [ "{" name "=" string { "," … } "}" ] "{" [ "files" list ] [ "scopes" list ] { func } "}"
//	func     = "func" [ "entry" ] "@" name "(" [ [ "state" ] param { "," … } ] ")" "->" "(" [ name { "," … } ] ")"
//	           [ pos ] [ "doc" string ] "{" { op } "}"
//	param    = "%" name ":" type
//	op       = [ "%" name { "," … } "=" ] ident [ "(" [ "%" name { "," … } ] ")" ] [ "{" attr { "," … } "}" ]
//	           { "(" [ param { "," … } ] ")" "{" { op } "}" } [ ":" type { "," … } ] [ pos ]
//	           (an op ends at the end of a line, or before a closing brace)
//	attr     = ident "=" value
//	type     = format "[" [ dim { "," dim } ] "]"
//	pos      = "@" file [ ":" line [ ":" column [ ":" scope ] ] ]
//	name     = ident | string            (of a value also a number: one without a name)
//
// Every op is checked against the op table; what spans ops is Verify's to check. The list holds what is wrong, with
// places, for as many mistakes as are independent. The module is nil if there is an error. The names of the module
// share memory with the text, which must not change.
func Parse(src *diag.Source) (*Module, *diag.List) {
	m, _, list := parse(src, false)
	return m, list
}

// ParseString is Parse for a text in memory; the error is the rendered list.
func ParseString(text string) (*Module, error) {
	m, list := Parse(diag.NewSource("<text>", []byte(text)))
	return m, list.Err()
}

func parse(src *diag.Source, places bool) (*Module, []place, *diag.List) {
	p := &parser{scanner: scanner{src: src.Text, text: src, list: &diag.List{}}, keep: places}
	if len(src.Text) > MaxText {
		p.error(CodeLimit, 0, 0, "the text has %d bytes, more than %d", len(src.Text), MaxText)
		return nil, nil, p.list
	}
	// The caches take a fixed share of the text's size.
	slots := 64
	for slots < 4096 && slots*512 < len(src.Text) {
		slots *= 2
	}
	p.types = make([]typeSlot, slots)
	p.attrSets = make([]attrSlot, slots)
	p.module()
	if p.list.HasErrors() {
		p.list.Sort()
		return nil, nil, p.list
	}
	return p.m, p.places, p.list
}

// place is where an op stands in the text: its name.
type place struct{ from, to int32 }

type parser struct {
	scanner
	m       *Module
	f       *Func
	names   nameTable
	nums    []*Value            // values named by numbers, in order, as the printer gives them
	odd     map[int64]*Value    // those with other numbers
	late    map[string]*lateUse // undefined names, by text
	keep    bool
	places  []place // by op ID
	depth   int
	nothing Value // stands for what could not be read

	// Types and attributes come in few spellings; these remember the last text that fell on each slot.
	types    []typeSlot
	attrSets []attrSlot
	attrMem  slab[op.Attr]
	dimTexts map[string]shape.Dim // what symbolic dimensions mean
	check    checker

	results []nameTok // scratch
	args    []*Value
	stated  []Type
	typesAt place
	attrBuf op.Attrs
}

type lateUse struct{ d []*diag.Diagnostic }

type typeSlot struct {
	text string
	t    Type
}

type attrSlot struct {
	info  *op.Info
	text  string
	attrs op.Attrs
}

// nameTok is a value's name as written.
type nameTok struct {
	name     string
	num      int64 // -1 if it is no number
	from, to int
}

func (p *parser) module() {
	p.m = NewModule("")
	if !p.word("module") {
		p.expected(`"module"`).Helpf("IR text begins with: module @name {")
		return
	}
	if !p.want('@') {
		return
	}
	var ok bool
	if p.m.Name, ok = p.name(); !ok {
		return
	}
	if !p.metas() {
		return
	}
	for _, t := range []struct {
		word string
		list *[]string
	}{{"files", &p.m.Files}, {"scopes", &p.m.Scopes}} {
		if p.word(t.word) && !p.strings(t.list) {
			return
		}
	}
	seen := map[string]bool{}
	for !p.list.Full() {
		if p.take('}') {
			if p.peek() != 0 || p.at < len(p.src) {
				p.expected("the end of the text after the module")
			}
			return
		}
		from := p.at
		if !p.word("func") {
			p.expected(`"func" or "}"`)
			if !p.nextFunc() {
				return
			}
			continue
		}
		if !p.function(seen) && !p.nextFunc() {
			return
		}
		if p.at == from {
			return
		}
	}
}

// nextFunc skips to the next line that begins a function.
func (p *parser) nextFunc() bool {
	for p.at < len(p.src) {
		for p.at < len(p.src) && p.src[p.at] != '\n' {
			p.at++
		}
		p.peek()
		if at := p.at; p.word("func") {
			p.at = at
			return true
		}
	}
	return false
}

// metas reads the facts about the module and the brace that opens it. Facts in braces are told from the module's body
// by the "=" or the brace behind the first name.
func (p *parser) metas() bool {
	if !p.want('{') {
		return false
	}
	start := p.at
	c := p.peek()
	if c != '"' {
		if p.ident() == "" || p.peek() != '=' {
			p.at = start
			return true // the body
		}
		p.at = start
	}
	seen := map[string]bool{}
	for {
		from := p.at
		key, ok := p.name()
		if !ok || !p.want('=') {
			return false
		}
		value, ok := p.str()
		if !ok {
			return false
		}
		if seen[key] {
			p.error(CodeTwice, from, p.at, "the module's %s is given twice", key)
		}
		seen[key] = true
		p.m.Attrs = append(p.m.Attrs, Meta{key, value})
		if p.take('}') {
			return p.want('{')
		}
		if !p.want(',') {
			return false
		}
	}
}

func (p *parser) strings(list *[]string) bool {
	if !p.want('[') {
		return false
	}
	for !p.take(']') {
		s, ok := p.str()
		if !ok {
			return false
		}
		*list = append(*list, s)
		if p.peek() != ']' && !p.want(',') {
			return false
		}
	}
	return true
}

// function reads what follows "func". It is false when the next function has to be looked for.
func (p *parser) function(seen map[string]bool) bool {
	entry := p.word("entry")
	if !p.want('@') {
		return false
	}
	from := p.at
	name, ok := p.name()
	if !ok {
		return false
	}
	if seen[name] {
		p.error(CodeTwice, from, p.at, "the module has a function @%s already", name)
	}
	seen[name] = true
	f := p.m.NewFunc(name)
	f.Entry = entry
	p.f = f
	p.names.reset(0)
	p.nums, p.odd, p.late = p.nums[:0], nil, nil
	if !p.params(f.Body, true) {
		return false
	}
	if p.peek() != '-' || p.at+1 >= len(p.src) || p.src[p.at+1] != '>' {
		p.expected(`"->" and the names of the results`)
		return false
	}
	p.at += 2
	if !p.want('(') {
		return false
	}
	for !p.take(')') {
		r, ok := p.name()
		if !ok {
			return false
		}
		f.Results = append(f.Results, r)
		if p.peek() != ')' && !p.want(',') {
			return false
		}
	}
	if f.Pos, ok = p.pos(); !ok {
		return false
	}
	if p.word("doc") {
		if f.Doc, ok = p.str(); !ok {
			return false
		}
	}
	return p.want('{') && p.block(f.Body)
}

// params reads parameters in parentheses.
func (p *parser) params(b *Block, states bool) bool {
	if !p.want('(') {
		return false
	}
	for !p.take(')') {
		start := p.at
		state := states && p.word("state")
		tok, ok := p.valueName()
		if !ok || !p.want(':') {
			return false
		}
		t, ok := p.typ()
		if !ok {
			return false
		}
		v := b.AddParam("", t)
		p.define(tok, v)
		switch {
		case state:
			p.f.States++
		case states && p.f.States > 0:
			p.error(CodeStructure, start, p.at, "inputs come before states")
		}
		if p.peek() != ')' && !p.want(',') {
			return false
		}
	}
	return true
}

// block reads ops up to the closing brace.
func (p *parser) block(b *Block) bool {
	for {
		switch p.peek() {
		case '}':
			p.at++
			return true
		case 0:
			if p.at >= len(p.src) {
				p.expected(`an op or "}"`)
				return false
			}
		}
		if p.list.Full() {
			return false
		}
		from := p.at
		if !p.op(b) {
			p.skipLine()
			if p.at == from {
				p.at++
			}
		}
	}
}

// op reads one op into a block; false means that the rest of its line is to be skipped.
func (p *parser) op(b *Block) bool {
	// The part before the op's name.
	results := p.results[:0]
	if p.peek() == '%' {
		for {
			tok, ok := p.valueName()
			if !ok {
				return p.poison(results)
			}
			results = append(results, tok)
			if !p.take(',') {
				break
			}
		}
		p.results = results
		if !p.want('=') {
			return p.poison(results)
		}
	}
	opFrom := p.identAt()
	name := p.ident()
	if name == "" {
		p.expected("an op")
		return p.poison(results)
	}
	at := place{int32(opFrom), int32(p.at)}
	info := op.Lookup(name)
	if info == nil {
		p.error(CodeOp, opFrom, p.at, "no op is called %s", name).Suggest(name, op.Names())
		return p.poison(results)
	}

	// Operands.
	args := p.args[:0]
	good := true
	if p.take('(') {
		for !p.take(')') {
			tok, ok := p.valueName()
			if !ok {
				return p.poison(results)
			}
			v := p.use(tok)
			good = good && v.Type.Format != format.Invalid
			args = append(args, v)
			if p.peek() != ')' && !p.want(',') {
				return p.poison(results)
			}
		}
	}
	p.args = args

	// Attributes.
	var attrs op.Attrs
	if p.take('{') {
		a, ok, fatal := p.attrs(info)
		if fatal {
			return p.poison(results)
		}
		attrs, good = a, good && ok
	} else if len(info.Attrs) > 0 {
		if a, err := info.Normalise(nil); err != nil {
			p.error(CodeAttr, opFrom, int(at.to), "%s", err)
			good = false
		} else {
			attrs = a
		}
	}
	if p.next('(') {
		return p.withRegions(b, info, at, attrs, args, results, good)
	}
	stated, pos, ok := p.tail()
	if !ok {
		return p.poison(results)
	}
	if !good || !p.fits(info, at, attrs, args, nil, len(results), stated) {
		p.poison(results)
		return true
	}
	if len(stated) == 0 && len(results) > 0 {
		stated = p.check.types
	}
	o := b.NewOp(info, pos, args, attrs, stated, nil)
	p.defineAll(o, at, results)
	return true
}

func (p *parser) identAt() int {
	p.peek()
	return p.at
}

func (p *parser) defineAll(o *Op, at place, results []nameTok) {
	if p.keep {
		for int(o.id) >= len(p.places) {
			p.places = append(p.places, place{})
		}
		p.places[o.id] = at
	}
	for i := range o.results {
		p.define(results[i], o.results[i])
	}
}

// poison sets names that were read to stand-ins of no type, so that their uses are no further errors. It returns false.
func (p *parser) poison(results []nameTok) bool {
	for _, tok := range results {
		p.define(tok, &Value{})
	}
	return false
}

// withRegions reads the rest of an op that has regions.
func (p *parser) withRegions(b *Block, info *op.Info, at place, attrs op.Attrs, args []*Value, results []nameTok, good bool) bool {
	// The region's ops use the scratch slices.
	results = append([]nameTok(nil), results...)
	for _, a := range args {
		if a.Type.Format == format.Invalid {
			args = nil // the stand-ins must not get into use lists of the module
			break
		}
	}
	o := b.NewOp(info, Pos{}, args, attrs, make([]Type, len(results)), nil)
	if p.depth++; p.depth > maxNesting {
		p.error(CodeLimit, p.at, p.at+1, "regions are nested more than %d deep", maxNesting)
		p.depth--
		return p.poison(results)
	}
	before := p.list.Errors()
	for p.next('(') {
		r := o.NewRegion()
		if !p.params(r, false) || !p.want('{') || !p.block(r) {
			p.depth--
			return p.poison(results)
		}
	}
	p.depth--
	stated, pos, ok := p.tail()
	if !ok {
		return p.poison(results)
	}
	o.Pos = pos
	good = good && p.list.Errors() == before
	if !good || !p.fits(info, at, attrs, o.Args(), o.Regions, len(results), stated) {
		p.poison(results)
		return true
	}
	for i, r := range o.results {
		if len(stated) > 0 {
			r.Type = stated[i]
		} else {
			r.Type = p.check.types[i]
		}
	}
	p.defineAll(o, at, results)
	return true
}

// tail reads the result types and the position.
func (p *parser) tail() (stated []Type, pos Pos, ok bool) {
	stated = p.stated[:0]
	p.typesAt = place{}
	if p.take(':') {
		p.typesAt.from = int32(p.identAt())
		for {
			t, ok := p.typ()
			if !ok {
				return nil, pos, false
			}
			stated = append(stated, t)
			if !p.take(',') {
				break
			}
		}
	}
	p.stated = stated
	p.typesAt.to = int32(p.at)
	if pos, ok = p.pos(); !ok {
		return nil, pos, false
	}
	return stated, pos, p.lineEnd()
}

// lineEnd reports what follows an op on its line; only a comment or a closing brace may.
func (p *parser) lineEnd() bool {
	for p.at < len(p.src) {
		switch c := p.src[p.at]; c {
		case '\n', '}':
			return true
		case ' ', '\t', '\r':
			p.at++
		case '/':
			if p.at+1 < len(p.src) && p.src[p.at+1] == '/' {
				return true
			}
			p.expected("the end of the line after an op")
			return false
		default:
			p.expected("the end of the line after an op")
			return false
		}
	}
	return true
}

// fits holds an op against the op table and reports what does not fit.
func (p *parser) fits(info *op.Info, at place, attrs op.Attrs, args []*Value, regions []*Block, results int, stated []Type) bool {
	if len(stated) == 0 && results > 0 && !info.Declared {
		stated = nil
	} else if len(stated) != results {
		p.error(CodeArgs, int(at.from), int(at.to), "%s is given %d names of results and %d types", info.Name, results, len(stated))
		return false
	}
	problem := p.check.op(info, attrs, args, regions, stated, results)
	if problem == nil {
		return true
	}
	from, to := int(at.from), int(at.to)
	if problem.types {
		from, to = int(p.typesAt.from), int(p.typesAt.to)
	}
	p.error(problem.code, from, to, "%s", problem.message).Expect(problem.expected, problem.found)
	return false
}

// pos reads a position if there is one.
func (p *parser) pos() (pos Pos, ok bool) {
	if !p.next('@') {
		return pos, true
	}
	from := p.at
	p.at++
	for i, field := range [...]*int32{&pos.File, &pos.Line, &pos.Col, &pos.Scope} {
		if i > 0 {
			if p.at >= len(p.src) || p.src[p.at] != ':' {
				break
			}
			p.at++
		}
		n, ok := p.digits(math.MaxInt32)
		if !ok {
			p.error(CodeSyntax, from, p.at+1, "expected a position such as @1:12:5:3 (file, line, column, scope)")
			return pos, false
		}
		*field = int32(n)
	}
	if int(pos.File) > len(p.m.Files) || int(pos.Scope) > len(p.m.Scopes) {
		p.error(CodePosition, from, p.at, "the module has %d files and %d scopes", len(p.m.Files), len(p.m.Scopes))
	}
	return pos, true
}
