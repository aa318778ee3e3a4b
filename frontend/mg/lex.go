package mg

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
)

// Limits of a source text. What exceeds one is an error, never a crash.
const (
	MaxSource  = 1 << 20 // bytes of one file
	MaxTokens  = 200_000 // tokens of one file: the tree takes some hundred bytes for each
	MaxNesting = 100     // brackets inside brackets
)

// The kinds of tokens, as participle numbers them.
const (
	tokEOF lexer.TokenType = -(iota + 1)
	tokIdent
	tokKeyword
	tokInt
	tokFloat
	tokString
	tokOp
	tokEOL
)

// symbols names the token kinds for the grammar in grammar.go.
var symbols = map[string]lexer.TokenType{
	"EOF": tokEOF, "Ident": tokIdent, "Keyword": tokKeyword, "Int": tokInt, "Float": tokFloat,
	"String": tokString, "Op": tokOp, "EOL": tokEOL,
}

// keywords are the words that cannot be names. The value tells whether a line may end after the word.
var keywords = map[string]bool{
	"and": false, "config": true, "def": false, "else": false, "entry": false, "false": true, "for": false,
	"if": false, "ignore": false, "import": false, "in": false, "let": false, "model": false, "none": true,
	"not": false, "options": true, "or": false, "require": false, "scope": false, "state": false,
	"tap": false, "true": true, "var": false, "weight": false, "where": false,
}

// comment is a // comment with its place: what the syntax tree leaves out and the formatter puts back.
type comment struct {
	text   string // with the slashes, without blanks at the end
	offset int
	line   int
	own    bool // nothing but blanks before it on its line
}

// lexed is a source cut into tokens. The last token is EOF.
type lexed struct {
	tokens   []lexer.Token
	comments []comment
	// torn are the offsets of brackets without a partner, which are reported: what the parser says about
	// the declarations around them is not worth showing.
	torn []int
}

// operators, the longer of a common beginning first.
var operators = []string{
	"..", "->", "==", "!=", "<=", ">=",
	"(", ")", "[", "]", "{", "}", ",", ":", "=", ".", "?", "|", "+", "-", "*", "/", "%", "@", "<", ">", ";",
}

// lex cuts a source into tokens, reporting what no token begins with. A line that ends where a
// statement can end gives an EOL token; inside parentheses and brackets lines do not matter.
func lex(src *diag.Source, diags *diag.List) lexed {
	l := scanner{src: src, text: src.Text, line: 1, col: 1, diags: diags}
	if len(l.text) > MaxSource {
		diags.Errorf(CodeTooBig, src.Range(0, 0), "the source has %d bytes", len(l.text)).
			Expect(fmt.Sprintf("at most %d bytes", MaxSource), fmt.Sprint(len(l.text)))
		l.text = nil
	}
	l.run()
	return lexed{l.tokens, l.comments, l.torn}
}

// lexPiece cuts the bytes from start to end of a source, as lex does the whole. It is for what stands
// inside a string's braces.
func lexPiece(src *diag.Source, start, end int, diags *diag.List) lexed {
	line, col := src.Position(start)
	l := scanner{src: src, text: src.Text[:end], at: start, line: line, col: col, diags: diags}
	l.run()
	return lexed{l.tokens, l.comments, l.torn}
}

type scanner struct {
	src      *diag.Source
	text     []byte
	at       int
	line     int
	col      int
	brackets []lexer.Token
	tooDeep  bool
	torn     []int
	tokens   []lexer.Token
	comments []comment
	diags    *diag.List
}

func (l *scanner) pos() lexer.Position {
	return lexer.Position{Offset: l.at, Line: l.line, Column: l.col}
}

// skip moves on by n bytes that hold no newline and only ASCII.
func (l *scanner) skip(n int) {
	l.at += n
	l.col += n
}

func (l *scanner) emit(typ lexer.TokenType, n int) {
	l.tokens = append(l.tokens, lexer.Token{Type: typ, Value: string(l.text[l.at : l.at+n]), Pos: l.pos()})
	l.skip(n)
}

func (l *scanner) last() *lexer.Token {
	if len(l.tokens) == 0 {
		return nil
	}
	return &l.tokens[len(l.tokens)-1]
}

// endsStatement reports whether a newline after t may end a statement.
func endsStatement(t *lexer.Token) bool {
	switch t.Type {
	case tokIdent, tokInt, tokFloat, tokString:
		return true
	case tokKeyword:
		return keywords[t.Value]
	case tokOp:
		return t.Value == ")" || t.Value == "]" || t.Value == "}" || t.Value == "?"
	}
	return false
}

func (l *scanner) run() {
	for l.at < len(l.text) {
		if len(l.tokens) > MaxTokens {
			l.diags.Errorf(CodeTooBig, l.src.Range(l.at, l.at), "the source has more than %d tokens", MaxTokens)
			l.tokens, l.text = nil, nil
			break
		}
		switch c := l.text[l.at]; {
		case c == '\n':
			l.newline()
		case c == ' ' || c == '\t' || c == '\r':
			l.skip(1)
		case c == '/' && l.at+1 < len(l.text) && l.text[l.at+1] == '/':
			l.comment()
		case isLetter(c):
			l.word()
		case isDigit(c):
			l.number()
		case c == '"':
			l.str()
		default:
			l.operator()
		}
	}
	l.unclosed(0)
	if t := l.last(); t != nil && t.Type == tokEOL {
		l.tokens = l.tokens[:len(l.tokens)-1]
	}
	l.tokens = append(l.tokens, lexer.Token{Type: tokEOF, Pos: l.pos()})
}

func (l *scanner) newline() {
	n := len(l.brackets)
	if t := l.last(); t != nil && endsStatement(t) && (n == 0 || l.brackets[n-1].Value == "{") {
		l.tokens = append(l.tokens, lexer.Token{Type: tokEOL, Value: "\n", Pos: l.pos()})
	}
	l.at++
	l.line++
	l.col = 1
	if n > 0 && l.beginsDecl() {
		// Nothing but a declaration is written so at the left edge: what is open was forgotten.
		l.unclosed(0)
		if t := l.last(); t.Type != tokEOL {
			l.tokens = append(l.tokens, lexer.Token{Type: tokEOL, Value: "\n", Pos: l.pos()})
		}
	}
}

// beginsDecl reports whether a word that only begins a declaration stands here, followed by a blank.
func (l *scanner) beginsDecl() bool {
	rest := l.text[l.at:]
	for _, w := range []string{"def", "entry", "import", "model", "config", "options", "state"} {
		if len(rest) > len(w) && string(rest[:len(w)]) == w && (rest[len(w)] == ' ' || rest[len(w)] == '\t') {
			return true
		}
	}
	return false
}

// unclosed reports the open brackets but for the outermost keep, and forgets them.
func (l *scanner) unclosed(keep int) {
	for _, b := range l.brackets[keep:] {
		l.diags.Errorf(CodeBracket, l.src.Range(b.Pos.Offset, b.Pos.Offset+1), "%q is never closed", b.Value)
		l.torn = append(l.torn, b.Pos.Offset)
	}
	l.brackets = l.brackets[:keep]
}

var partner = map[string]string{")": "(", "]": "[", "}": "{", "(": ")", "[": "]", "{": "}"}

// close takes the bracket that op closes off the stack.
func (l *scanner) close(op string) {
	rng := l.src.Range(l.at, l.at+1)
	for i := len(l.brackets) - 1; i >= 0; i-- {
		if l.brackets[i].Value == partner[op] {
			l.unclosed(i + 1)
			l.brackets = l.brackets[:i]
			return
		}
	}
	l.torn = append(l.torn, l.at)
	d := l.diags.Errorf(CodeBracket, rng, "%q closes nothing", op)
	if n := len(l.brackets); n > 0 {
		b := l.brackets[n-1]
		d.Expect(fmt.Sprintf("%q", partner[b.Value]), fmt.Sprintf("%q", op))
		d.Note(l.src.Range(b.Pos.Offset, b.Pos.Offset+1), "%q was opened here", b.Value)
	}
}

func (l *scanner) comment() {
	start := l.at
	for l.at < len(l.text) && l.text[l.at] != '\n' {
		l.at++
	}
	end := l.at
	for end > start && (l.text[end-1] == ' ' || l.text[end-1] == '\t' || l.text[end-1] == '\r') {
		end--
	}
	own := true
	for i := start - 1; i >= 0 && l.text[i] != '\n'; i-- {
		if c := l.text[i]; c != ' ' && c != '\t' && c != '\r' {
			own = false
			break
		}
	}
	text := l.text[start:end]
	if !utf8.Valid(text) {
		l.diags.Errorf(CodeCharacter, l.src.Range(start, end), "the comment is not valid UTF-8")
	}
	l.comments = append(l.comments, comment{string(text), start, l.line, own})
}

func (l *scanner) word() {
	n := 1
	for l.at+n < len(l.text) && (isLetter(l.text[l.at+n]) || isDigit(l.text[l.at+n])) {
		n++
	}
	typ := tokIdent
	word := string(l.text[l.at : l.at+n])
	if _, ok := keywords[word]; ok {
		typ = tokKeyword
		if word == "else" { // `}` newline `else` goes on: the newline was none of an end
			if t := l.last(); t != nil && t.Type == tokEOL && len(l.tokens) > 1 && l.tokens[len(l.tokens)-2].Value == "}" {
				l.tokens = l.tokens[:len(l.tokens)-1]
			}
		}
	}
	l.emit(typ, n)
}

// number reads 12, 1_000, 1.5, 1e-6 and 1.5e3. The dots of 0..n are not part of a number.
func (l *scanner) number() {
	n, typ := 0, tokInt
	digits := func() {
		for l.at+n < len(l.text) && (isDigit(l.text[l.at+n]) || l.text[l.at+n] == '_') {
			n++
		}
	}
	at := func(i int) byte {
		if l.at+i < len(l.text) {
			return l.text[l.at+i]
		}
		return 0
	}
	digits()
	if at(n) == '.' && isDigit(at(n+1)) {
		typ = tokFloat
		n++
		digits()
	}
	if c := at(n); c == 'e' || c == 'E' {
		m := n + 1
		if c := at(m); c == '+' || c == '-' {
			m++
		}
		if isDigit(at(m)) {
			typ, n = tokFloat, m
			digits()
		}
	}
	if c := at(n); isLetter(c) {
		bad := n
		for isLetter(at(n)) || isDigit(at(n)) {
			n++
		}
		l.diags.Errorf(CodeNumber, l.src.Range(l.at, l.at+n), "%q is not a number", l.text[l.at:l.at+n]).
			Helpf("a name cannot begin with a digit; write a product as %s*%s", l.text[l.at:l.at+bad], l.text[l.at+bad:l.at+n])
	}
	l.emit(typ, n)
}

// str reads a string with its quotes. It does not look at escapes but to find the end; see unquote.
func (l *scanner) str() {
	start := l.pos()
	i := l.at + 1
	for i < len(l.text) && l.text[i] != '"' && l.text[i] != '\n' {
		if l.text[i] == '\\' && i+1 < len(l.text) && l.text[i+1] != '\n' {
			i++
		}
		i++
	}
	closed := i < len(l.text) && l.text[i] == '"'
	if closed {
		i++
	} else {
		l.diags.Errorf(CodeString, l.src.Range(l.at, i), "the string has no end").
			Helpf("close it with \" on the same line; a newline inside is written \\n")
	}
	text := l.text[l.at:i]
	if !utf8.Valid(text) {
		l.diags.Errorf(CodeCharacter, l.src.Range(l.at, i), "the string is not valid UTF-8")
	}
	value := string(text)
	if !closed {
		value += `"`
	}
	l.tokens = append(l.tokens, lexer.Token{Type: tokString, Value: value, Pos: start})
	l.col += utf8.RuneCount(text)
	l.at = i
}

func (l *scanner) operator() {
	rest := l.text[l.at:]
	for _, op := range operators {
		if len(rest) < len(op) || string(rest[:len(op)]) != op {
			continue
		}
		switch op {
		case "(", "[", "{":
			l.brackets = append(l.brackets, lexer.Token{Value: op, Pos: l.pos()})
			if len(l.brackets) > MaxNesting && !l.tooDeep {
				l.tooDeep = true
				l.diags.Errorf(CodeNesting, l.src.Range(l.at, l.at+1), "brackets are nested more than %d deep", MaxNesting).
					Helpf("name a part with let, or move it into a def")
			}
		case ")", "]", "}":
			l.close(op)
			if t := l.last(); op == "}" && t != nil && t.Type == tokEOL {
				l.tokens = l.tokens[:len(l.tokens)-1]
			}
		case ";":
			// As a newline, for those who write two statements on a line.
			if t := l.last(); t != nil && endsStatement(t) {
				l.emit(tokEOL, 1)
				l.last().Value = "\n"
			} else {
				l.skip(1)
			}
			return
		}
		l.emit(tokOp, len(op))
		return
	}
	r, n := utf8.DecodeRune(rest)
	what := fmt.Sprintf("%q", r)
	if r == utf8.RuneError && n <= 1 {
		what = fmt.Sprintf("byte 0x%02x, which is not valid UTF-8", rest[0])
	}
	d := l.diags.Errorf(CodeCharacter, l.src.Range(l.at, l.at+n), "unexpected %s", what)
	switch {
	case r == '\'':
		d.Helpf("strings are written in double quotes")
	case r == '#':
		d.Helpf("a comment begins with //")
	case r == '&':
		d.Suggestion = "and"
	case r == '!':
		d.Suggestion = "not"
	case r > unicode.MaxASCII && unicode.IsLetter(r):
		d.Helpf("names have the letters a to z, digits and _")
	}
	l.at += n
	l.col++
}

func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// definition serves the grammar its token names. Parsing never lexes through it: a file is cut by lex
// and parsed piece by piece (see parse.go).
type definition struct{}

func (definition) Symbols() map[string]lexer.TokenType { return symbols }

func (definition) Lex(name string, r io.Reader) (lexer.Lexer, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxSource+1))
	if err != nil {
		return nil, err
	}
	var diags diag.List
	out := lex(diag.NewSource(name, text), &diags)
	return &tokenReader{tokens: out.tokens}, diags.Err()
}

// tokenReader gives out tokens already cut, ending in EOF.
type tokenReader struct{ tokens []lexer.Token }

func (t *tokenReader) Next() (lexer.Token, error) {
	tok := t.tokens[0]
	if len(t.tokens) > 1 {
		t.tokens = t.tokens[1:]
	}
	return tok, nil
}
