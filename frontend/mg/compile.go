package mg

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// MaxOperators bounds the operators of one expression, and the suffixes of one value.
const MaxOperators = 500

// compiler resolves the expressions and statements of one declaration.
type compiler struct {
	p     *Program
	file  *file
	diags *diag.List
	def   *defDecl // nil outside a def
	scope *scope
	slots int
	rest  int // slot of the axes that .. stands for, plus one; 0 for none
}

// scope is the names of a block.
type scope struct {
	up    *scope
	names map[string]*local
	sig   bool // parameters and variables of a signature
}

// local is a name in a frame.
type local struct {
	name string
	slot int
	kind localKind
	used bool
	warn bool // say so when nothing uses it
	at   diag.Range
}

type localKind uint8

const (
	localLet localKind = iota
	localVar
	localParam
	localDim
	localFormat
	localRest
	localMark
)

func (c *compiler) push() { c.scope = &scope{up: c.scope, names: map[string]*local{}} }

func (c *compiler) pop() {
	names := make([]*local, 0, len(c.scope.names))
	for _, l := range c.scope.names {
		if l.warn && !l.used && !strings.HasPrefix(l.name, "_") {
			names = append(names, l)
		}
	}
	sort.Slice(names, func(i, j int) bool { return names[i].at.Start < names[j].at.Start })
	for _, l := range names {
		c.diags.Warnf(CodeUnused, l.at, "nothing uses %s", l.name).Helpf("a name that begins with _ may stay unused")
	}
	c.scope = c.scope.up
}

func (c *compiler) find(name string) *local {
	for s := c.scope; s != nil; s = s.up {
		if l := s.names[name]; l != nil {
			l.used = true
			return l
		}
	}
	return nil
}

// add gives a name to a new slot.
func (c *compiler) add(name string, kind localKind, at diag.Range) *local {
	l := &local{name: name, slot: c.slots, kind: kind, at: at}
	c.slots++
	if other := c.scope.names[name]; other != nil {
		c.diags.Errorf(CodeDuplicate, at, "%s is already defined in this block", name).
			Note(other.at, "it is defined here").Helpf("choose another name, or make it a var and assign to it")
		other.used, l.used = true, true
	}
	for s := c.scope.up; s != nil && kind != localParam; s = s.up {
		if other := s.names[name]; s.sig && other != nil {
			c.diags.Errorf(CodeDuplicate, at, "%s is already a name of the signature", name).
				Note(other.at, "it is defined here").Helpf("choose another name")
			break
		}
	}
	if _, isKind := patternWords[name]; isKind {
		c.diags.Errorf(CodeDuplicate, at, "%s is a type", name).Helpf("choose another name")
	}
	c.scope.names[name] = l
	return l
}

func (c *compiler) at(n Syntax) *place { return c.file.placeOf(n) }

func (c *compiler) errorf(code string, n Syntax, format string, args ...any) *diag.Diagnostic {
	return c.diags.Errorf(code, c.file.src.rangeOf(n), format, args...)
}

// badAt is the code of something already reported.
func (c *compiler) badAt(p *place) code { return &constCode{p, bad} }

func (c *compiler) expr(e *Expr) code {
	n := len(e.Rest) + len(e.First.Ops)
	for _, t := range e.Rest {
		n += len(t.Right.Ops)
	}
	if n > MaxOperators {
		c.errorf(CodeNesting, e, "the expression has more than %d operators", MaxOperators)
		return c.badAt(c.at(e))
	}
	return c.folded(c.file.src.fold(e, c.diags))
}

func (c *compiler) folded(x any) code {
	switch x := x.(type) {
	case *binary:
		l, r := c.folded(x.left), c.folded(x.right)
		p := *c.file.placeOfToken(x.op)
		p.start, p.end = min(l.where().start, p.start), max(r.where().end, p.end)
		return &binaryCode{&p, x.op.Value, l, r}
	case *unary:
		y := c.folded(x.operand)
		p := *c.file.placeOfToken(x.op)
		p.end = max(p.end, y.where().end)
		if k, ok := y.(*constCode); ok && x.op.Value == "-" {
			switch k.v.kind {
			case kInt:
				return &constCode{&p, dimValue(shape.Const(0).Sub(k.v.n))}
			case kFloat:
				return &constCode{&p, floatValue(-k.v.f)}
			}
		}
		return &unaryCode{&p, x.op.Value, y}
	case *Postfix:
		return c.postfix(x)
	}
	panic(fmt.Sprintf("mg: folded %T", x))
}

func (c *compiler) postfix(x *Postfix) code {
	if len(x.Suffixes) > MaxOperators {
		c.errorf(CodeNesting, x, "more than %d calls and indices in a row", MaxOperators)
		return c.badAt(c.at(x))
	}
	var y code
	rest := x.Suffixes
	if n, ok := x.Base.(*Name); ok {
		if len(rest) > 0 {
			if call, ok := rest[0].(*Call); ok {
				y = c.call(n, call)
				rest = rest[1:]
			} else if ix, ok := rest[0].(*Index); ok {
				if y = c.stateItem(n, ix); y != nil {
					rest = rest[1:]
				}
			}
		}
		if y == nil {
			y = c.name(n)
		}
	} else {
		y = c.primary(x.Base)
	}
	for _, s := range rest {
		p := *c.at(s)
		p.start, p.line, p.col = y.where().start, y.where().line, y.where().col
		switch s := s.(type) {
		case *Call:
			c.errorf(CodeUse, s, "only a def, an op or a format can be called")
			return c.badAt(&p)
		case *Member:
			y = c.member(y, s, &p)
		case *Index:
			y = c.index(y, s, &p)
		}
	}
	return y
}

func (c *compiler) member(base code, s *Member, p *place) code {
	name := s.Name.Value
	m := &memberCode{p, base, name, -1}
	var spec *fields
	switch b := base.(type) {
	case *rootCode:
		spec = c.p.config
		if b.options {
			spec = c.p.options
		}
	case *memberCode:
		spec = c.specOf(b)
	}
	if spec == nil {
		return m
	}
	if _, m.at = spec.lookup(name); m.at < 0 {
		if c.file.src.lost[name] {
			return c.badAt(p)
		}
		word := string(base.where().rng().Text())
		c.diags.Errorf(CodeUnknown, c.file.src.token(s.Name), "%s has no field %s", word, name).Suggest(name, spec.names()).
			Helpf("declare it in config { … } or options { … }")
		return c.badAt(p)
	}
	return m
}

// specOf is what an object field of config may hold, or nil where that is not known.
func (c *compiler) specOf(m *memberCode) *fields {
	var up *fields
	switch b := m.base.(type) {
	case *rootCode:
		up = c.p.config
		if b.options {
			up = c.p.options
		}
	case *memberCode:
		up = c.specOf(b)
	}
	if up == nil || m.at < 0 {
		return nil
	}
	return up.list[m.at].typ.fields
}

// stateItem resolves kv[i] for a row of states, or nil.
func (c *compiler) stateItem(n *Name, ix *Index) code {
	if c.find(n.Ident.Value) != nil {
		return nil
	}
	s, ok := c.file.lookup(n.Ident.Value).(*stateDecl)
	if !ok || len(ix.Items) != 1 || ix.Items[0].Rest || ix.Items[0].Slice != nil || ix.Items[0].Bare != nil || !s.row {
		return nil
	}
	p := c.at(n)
	p.end = c.at(ix).end
	return &stateCode{p, s, c.expr(ix.Items[0].From)}
}

// name resolves a name that stands for a value.
func (c *compiler) name(n *Name) code {
	word, p := n.Ident.Value, c.at(n)
	if l := c.find(word); l != nil {
		return &localCode{p, l.slot, word}
	}
	switch d := c.file.lookup(word).(type) {
	case *letDecl:
		for i, x := range d.names {
			if x == word {
				return &letCode{p, d, i}
			}
		}
	case *stateDecl:
		return &stateCode{place: p, state: d}
	case *defDecl:
		c.errorf(CodeUse, n, "%s is a def", word).Helpf("call it: %s(…)", word)
		return c.badAt(p)
	}
	if f, ok := format.Parse(word); ok {
		return &constCode{p, formatValue(f)}
	}
	switch word {
	case "act":
		return &actCode{p}
	case "pi":
		return &constCode{p, floatValue(math.Pi)}
	case "inf":
		return &constCode{p, floatValue(math.Inf(1))}
	}
	if c.p.symbols[word] {
		return &symbolCode{p, word}
	}
	return c.unknown(n)
}

// unknown reports a name that means nothing.
func (c *compiler) unknown(n *Name) code {
	word := n.Ident.Value
	if !c.file.src.lost[word] {
		d := c.errorf(CodeUnknown, n, "%s is not defined", word)
		d.Suggest(word, c.candidates())
		c.find(d.Suggestion) // it was meant, so it is not unused
		switch {
		case op.Lookup(word) != nil:
			d.Message = fmt.Sprintf("%s is an op", word)
			d.Suggestion = ""
			d.Helpf("call it: %s(…)", word)
		case builtins[word] != nil:
			d.Message = fmt.Sprintf("%s is a function", word)
			d.Suggestion = ""
			d.Helpf("call it: %s(…)", word)
		case d.Suggestion == "" && c.isField(word):
			d.Helpf("a field of config is written config.%s", word)
		case d.Suggestion == "" && isCapital(word):
			d.Helpf("a symbol is introduced by the type of an entry's input or of a state, a variable by the signature")
		}
	}
	return c.badAt(c.at(n))
}

func (c *compiler) isField(word string) bool {
	_, ok := c.p.config.index[word]
	return ok
}

// candidates are all names that may stand where a value does.
func (c *compiler) candidates() []string {
	var out []string
	for s := c.scope; s != nil; s = s.up {
		names := make([]string, 0, len(s.names))
		for n := range s.names {
			names = append(names, n)
		}
		sort.Strings(names)
		out = append(out, names...)
	}
	out = append(out, c.file.candidates()...)
	out = append(out, c.p.Symbols()...)
	return append(out, "act", "pi", "inf")
}

func (c *compiler) primary(x Primary) code {
	p := c.at(x)
	switch x := x.(type) {
	case *Number:
		return c.number(x, p)
	case *Text:
		return c.text(x, p)
	case *Word:
		switch x.Value.Value {
		case "true", "false":
			return &constCode{p, boolValue(x.Value.Value == "true")}
		case "none":
			return &constCode{p, none}
		}
		return &rootCode{p, x.Value.Value == "options"}
	case *Paren:
		if len(x.Items) == 1 && !trailingComma(x) {
			y := c.expr(x.Items[0])
			y.where().start, y.where().end = p.start, p.end
			return y
		}
		t := &tupleCode{place: p}
		for _, it := range x.Items {
			t.items = append(t.items, c.expr(it))
		}
		return t
	case *List:
		return c.listLiteral(x, p)
	case *If:
		return c.ifExpr(x)
	}
	panic(fmt.Sprintf("mg: primary %T", x))
}

func trailingComma(x *Paren) bool {
	return len(x.Tokens) > 2 && x.Tokens[len(x.Tokens)-2].Value == ","
}

func (c *compiler) number(x *Number, p *place) code {
	text := strings.ReplaceAll(x.Value.Value, "_", "")
	if x.Value.Type == tokInt {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return &constCode{p, intValue(n)}
		}
		if strings.Trim(text, "0123456789") != "" {
			return c.badAt(p) // reported by the lexer
		}
		c.errorf(CodeNumber, x, "%s is too big", text).Expect("an int of at most 63 bits, or a decimal number such as 1e30", text)
		return c.badAt(p)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && math.IsInf(f, 0) {
		c.errorf(CodeNumber, x, "%s is too big for a 64-bit float", text)
	}
	return &constCode{p, floatValue(f)}
}

// expression is the grammar of what stands in the braces of a string.
func expression(tokens []lexer.Token) (*Expr, error) {
	parser, err := participle.ParserForProduction[Expr](grammar())
	if err != nil {
		return nil, err
	}
	peek, err := lexer.Upgrade(&tokenReader{tokens: tokens})
	if err != nil {
		return nil, err
	}
	return parser.ParseFromLexer(peek)
}

// text resolves a string: escapes, and expressions in braces.
func (c *compiler) text(x *Text, p *place) code {
	raw := x.Value.Value
	start := x.Value.Pos.Offset
	var parts []code
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, &constCode{p, stringValue(lit.String())})
			lit.Reset()
		}
	}
	for i := 1; i < len(raw)-1; i++ {
		switch ch := raw[i]; ch {
		case '\\':
			i++
			switch e := raw[i]; e {
			case 'n':
				lit.WriteByte('\n')
			case 't':
				lit.WriteByte('\t')
			case '"', '\\', '{', '}':
				lit.WriteByte(e)
			default:
				c.diags.Errorf(CodeString, c.file.src.Range(start+i-1, start+i+1), "\\%c means nothing", e).
					Expect(`\n, \t, \", \\, \{ or \}`, fmt.Sprintf("\\%c", e))
			}
		case '}':
			c.diags.Errorf(CodeString, c.file.src.Range(start+i, start+i+1), "} without {").Helpf("a brace as such is written \\}")
		case '{':
			end := strings.IndexByte(raw[i:], '}')
			if end < 0 {
				c.diags.Errorf(CodeString, c.file.src.Range(start+i, start+i+1), "{ without }").Helpf("a brace as such is written \\{")
				return c.badAt(p)
			}
			flush()
			if y := c.piece(start+i+1, start+i+end); y != nil {
				parts = append(parts, y)
			} else {
				parts = append(parts, c.badAt(p))
			}
			i += end
		default:
			lit.WriteByte(ch)
		}
	}
	if len(parts) == 0 {
		return &constCode{p, stringValue(lit.String())}
	}
	flush()
	return &textCode{p, parts}
}

// piece resolves the expression between two offsets of the source, or returns nil after an error.
func (c *compiler) piece(start, end int) code {
	src := c.file.src
	lexed := lexPiece(src.Source, start, end, c.diags)
	if len(lexed.tokens) == 1 {
		c.diags.Errorf(CodeSyntax, src.Range(start-1, end+1), "the braces are empty").Expect("an expression such as {i}", "{}")
		return nil
	}
	if tooDeep(lexed.tokens) {
		return nil
	}
	e, err := expression(lexed.tokens)
	if err != nil {
		_, d := src.syntaxError(err, lexed.tokens[:len(lexed.tokens)-1])
		if len(lexed.torn) == 0 {
			c.diags.Add(d)
		}
		return nil
	}
	return c.expr(e)
}

func (c *compiler) listLiteral(x *List, p *place) code {
	if x.Gen != nil {
		return c.generator(x, p)
	}
	l := &listCode{place: p}
	for _, it := range append(x.Items[:len(x.Items):len(x.Items)], x.More...) {
		l.items = append(l.items, c.item(it))
	}
	return l
}

func (c *compiler) item(it *Item) listItem {
	if !it.Spread {
		return listItem{x: c.expr(it.Value)}
	}
	if it.Rest != nil {
		return listItem{spread: true, x: c.expr(it.Rest)}
	}
	if c.rest == 0 {
		c.errorf(CodeUse, it, "nothing is left open here").
			Helpf("in a body, .. stands for the axes that the signature leaves open: write a parameter as x: [.., D]")
		return listItem{x: c.badAt(c.at(it))}
	}
	return listItem{spread: true, x: &localCode{c.at(it), c.rest - 1, ".."}}
}

func (c *compiler) generator(x *List, p *place) code {
	if len(x.More) > 0 || x.Items[0].Spread {
		c.errorf(CodeSyntax, x, "a rule makes the whole list").Helpf("join lists with +, or spread one with ..")
	}
	g := &genCode{place: p, over: c.expr(x.Gen.Over)}
	c.push()
	g.slot = c.add(x.Gen.Var.Ident.Value, localLet, c.file.src.rangeOf(x.Gen.Var)).slot
	if x.Gen.Cond != nil {
		g.cond = c.expr(x.Gen.Cond)
	}
	if x.Items[0].Value != nil {
		g.value = c.expr(x.Items[0].Value)
	} else {
		g.value = c.badAt(p)
	}
	c.pop()
	return g
}

func (c *compiler) index(base code, s *Index, p *place) code {
	y := &indexCode{place: p, base: base}
	rests := 0
	for _, it := range s.Items {
		item := indexItem{place: c.at(it), rest: it.Rest}
		if it.Rest {
			if rests++; rests > 1 {
				c.errorf(CodeSyntax, it, "an index has one .. at most")
			}
		}
		if it.From != nil {
			item.from = c.expr(it.From)
		}
		slice := it.Slice
		if slice == nil {
			slice = it.Bare
		}
		if slice != nil {
			item.slice = true
			if slice.To != nil {
				item.to = c.expr(slice.To)
			}
			if slice.Step != nil {
				item.step = c.expr(slice.Step)
			}
		}
		y.items = append(y.items, item)
	}
	return y
}

func (c *compiler) ifExpr(x *If) code {
	y := &ifCode{place: c.at(x)}
	y.conds = append(y.conds, c.expr(x.Cond))
	y.blocks = append(y.blocks, c.block(x.Then))
	for i, e := range x.Else {
		switch {
		case e.Cond != nil:
			y.conds = append(y.conds, c.expr(e.Cond))
			y.blocks = append(y.blocks, c.block(e.Then))
		case i < len(x.Else)-1:
			c.errorf(CodeSyntax, x.Else[i+1], "nothing follows the last else")
		default:
			y.els = c.block(e.Then)
		}
	}
	return y
}
