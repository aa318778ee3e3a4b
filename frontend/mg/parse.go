package mg

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
)

// Source is one file, read.
type Source struct {
	*diag.Source
	File *File

	lexed lexed
	// lost are the names in pieces of text that did not parse: nothing is said about not finding them.
	lost map[string]bool
}

// repairs is how many broken statements of one declaration are left out, one after the other, to find
// further mistakes behind them.
const repairs = 20

// Parse reads a source. Mistakes go to diags, all of them; the tree holds what could be read.
func Parse(src *diag.Source, diags *diag.List) *Source {
	s := &Source{Source: src, File: &File{}, lost: map[string]bool{}}
	s.lexed = lex(src, diags)
	s.File.Tokens = s.lexed.tokens
	if tooDeep(s.lexed.tokens) {
		return s
	}
	for i, t := range s.lexed.tokens {
		// The grammar lets an item be missing after a comma, for a comma at the end.
		if i > 0 && t.Value == "," && s.lexed.tokens[i-1].Value == "," {
			diags.Errorf(CodeSyntax, src.Range(t.Pos.Offset, t.Pos.Offset+1), "nothing stands between two commas")
		}
	}
	for _, piece := range split(s.lexed.tokens) {
		s.decl(piece, diags)
	}
	return s
}

// tooDeep reports whether the brackets would take the parser deeper than is safe. The lexer has said so
// already.
func tooDeep(tokens []lexer.Token) bool {
	depth := 0
	for i := range tokens {
		switch tokens[i].Value {
		case "(", "[", "{":
			if depth++; depth > MaxNesting {
				return true
			}
		case ")", "]", "}":
			depth = max(0, depth-1)
		}
	}
	return false
}

// split cuts tokens into declarations: at ends of lines outside all brackets, and where a declaration
// begins at the left edge although a bracket is still open.
func split(tokens []lexer.Token) [][]lexer.Token {
	var out [][]lexer.Token
	depth, start := 0, 0
	cut := func(i int) {
		if i > start {
			out = append(out, tokens[start:i])
		}
		start = i + 1
	}
	for i := range tokens {
		t := &tokens[i]
		switch {
		case t.Type == tokEOF:
			cut(i)
		case t.Type == tokEOL && (depth == 0 || opensDecl(&tokens[i+1])):
			depth = 0
			cut(i)
		case t.Type != tokOp:
		case t.Value == "(" || t.Value == "[" || t.Value == "{":
			depth++
		case t.Value == ")" || t.Value == "]" || t.Value == "}":
			depth = max(0, depth-1)
		}
	}
	return out
}

func opensDecl(t *lexer.Token) bool {
	if t.Type != tokKeyword || t.Pos.Column != 1 {
		return false
	}
	switch t.Value {
	case "def", "entry", "import", "model", "config", "options", "state":
		return true
	}
	return false
}

// decl parses the tokens of one declaration, leaving out statements that do not parse.
func (s *Source) decl(tokens []lexer.Token, diags *diag.List) {
	end := lexer.Token{Type: tokEOF, Pos: tokens[len(tokens)-1].Pos}
	end.Pos.Offset += len(tokens[len(tokens)-1].Value)
	torn := false
	for _, at := range s.lexed.torn {
		torn = torn || at >= tokens[0].Pos.Offset && at <= end.Pos.Offset
	}
	for range repairs {
		reader := &tokenReader{tokens: append(tokens[:len(tokens):len(tokens)], end)}
		peek, _ := lexer.Upgrade(reader)
		file, err := grammar().ParseFromLexer(peek)
		if err == nil {
			s.File.Decls = append(s.File.Decls, file.Decls...)
			return
		}
		at, d := s.syntaxError(err, tokens)
		if !torn {
			diags.Add(d)
		}
		lo, hi := statement(tokens, at)
		for _, t := range tokens[lo:hi] {
			if t.Type == tokIdent {
				s.lost[t.Value] = true
			}
		}
		if lo == 0 {
			return
		}
		if hi < len(tokens) && tokens[hi].Type == tokEOL {
			hi++
		} else if tokens[lo-1].Type == tokEOL {
			lo--
		}
		tokens = append(tokens[:lo:lo], tokens[hi:]...)
	}
}

// statement returns the bounds of the innermost statement around token number at: what stands between
// the ends of lines in one pair of braces. lo is 0 when that is the whole declaration.
func statement(tokens []lexer.Token, at int) (lo, hi int) {
	at = min(at, len(tokens)-1)
	depth := 0
	for lo = at; lo > 0; lo-- {
		t := &tokens[lo-1]
		if t.Type == tokEOL && depth <= 0 {
			break
		}
		if t.Value == ")" || t.Value == "]" || t.Value == "}" {
			depth++
		}
		if t.Value == "(" || t.Value == "[" || t.Value == "{" {
			if depth--; depth < 0 && t.Value == "{" {
				break
			}
			depth = max(depth, 0)
		}
	}
	depth = 0
	for hi = lo; hi < len(tokens); hi++ {
		t := &tokens[hi]
		if t.Type == tokEOL && depth == 0 && hi >= at {
			break
		}
		if t.Value == "(" || t.Value == "[" || t.Value == "{" {
			depth++
		}
		if t.Value == ")" || t.Value == "]" || t.Value == "}" {
			if depth--; depth < 0 && t.Value == "}" {
				break
			}
			depth = max(depth, 0)
		}
	}
	return lo, hi
}

// syntaxError turns the parser's error into a diagnostic, and finds the token it is about.
func (s *Source) syntaxError(err error, tokens []lexer.Token) (int, *diag.Diagnostic) {
	var perr participle.Error
	if !errors.As(err, &perr) {
		return 0, diag.Errorf(CodeSyntax, diag.Range{}, "%s", err.Error())
	}
	at := len(tokens)
	for i := range tokens {
		if tokens[i].Pos.Offset == perr.Position().Offset {
			at = i
			break
		}
	}
	end := len(s.Text)
	rng, found := s.Range(end, end), "the end of the file"
	if at < len(tokens) {
		t := tokens[at]
		rng, found = s.Range(t.Pos.Offset, t.Pos.Offset+len(t.Value)), describe(t)
		if t.Type == tokEOL {
			rng.End = rng.Start
		}
	} else if n := len(tokens); n > 0 {
		after := tokens[n-1].Pos.Offset + len(tokens[n-1].Value)
		rng, found = s.Range(after, after), "the end of the line"
	}
	d := diag.Errorf(CodeSyntax, rng, "unexpected %s", found)
	want := ""
	if _, text, ok := strings.Cut(perr.Message(), " (expected "); ok {
		want = expectation(strings.TrimSuffix(text, ")"))
	}
	if want != "" {
		d.Expect(want, found)
	}
	s.hint(d, tokens, at, want)
	return at, d
}

func describe(t lexer.Token) string {
	switch t.Type {
	case tokEOL:
		return "the end of the line"
	case tokEOF:
		return "the end of the file"
	case tokKeyword:
		return fmt.Sprintf("the keyword %s", t.Value)
	case tokString:
		return "the string " + t.Value
	case tokInt, tokFloat:
		return "the number " + t.Value
	}
	return fmt.Sprintf("%q", t.Value)
}

// productions says in words what some parts of the grammar are.
var productions = map[string]string{
	"Expr": "an expression", "Unary": "an expression", "Postfix": "an expression", "Primary": "an expression",
	"Name": "a name", "<ident>": "a name", "(<ident> | <keyword>)": "a name", "<string>": "a string", "Text": "a string",
	"Type": "a type such as f32[B, T, 64]", "Shape": "a shape such as [.., D]", "Block": "a block in braces",
	"Item": "an expression", "Arg": "an argument", "ConfigType": "a type such as int, float?, \"a\" | \"b\", [int] or { … }",
	"Param": "a parameter", "ResultItem": "a type", "Stmt": "a statement", "Decl": "a declaration", "<eol>": "the end of the line",
	"ConfigItem": "a field", "Field": "a field", "IndexItem": "an index", "Fact": "a line such as architectures = [\"…\"]",
}

// expectation says in words what a piece of EBNF begins with.
func expectation(text string) string {
	text = strings.TrimSpace(text)
	for p, words := range productions {
		if rest, ok := strings.CutPrefix(text, p); ok && (rest == "" || strings.ContainsAny(rest[:1], " )?*+")) {
			return words
		}
	}
	if strings.HasPrefix(text, `"`) {
		if i := strings.Index(text[1:], `"`); i >= 0 {
			return text[:i+2]
		}
	}
	return ""
}

// hint adds help for slips that are common.
func (s *Source) hint(d *diag.Diagnostic, tokens []lexer.Token, at int, want string) {
	if at >= len(tokens) {
		return
	}
	t := tokens[at]
	switch {
	case at == 0 && t.Type == tokIdent:
		d.Suggest(t.Value, []string{"def", "entry", "import", "model", "config", "options", "state", "let", "require"})
		d.Expect("a declaration: import, model, config, options, let, state, require, def or entry", describe(t))
	case want == "a name" && t.Type == tokKeyword:
		d.Helpf("%s is a word of the language; choose another name", t.Value)
	case t.Value == "=" && at > 0 && tokens[at-1].Value == "=":
		d.Helpf("equality is written ==")
	case t.Type == tokIdent && at > 0 && tokens[at-1].Type == tokIdent:
		d.Helpf("is there a comma or an operator missing before %s?", t.Value)
	case t.Value == "=" && at > 0:
		d.Helpf("a new name is introduced by let or var; equality is written ==")
	}
}
