package chip

import (
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"apogee/ir/diag"
)

// The syntax knows statements only: a line of words, strings and numbers, perhaps with a block of further
// statements; strings that follow one another, on one line or several, are one with a blank between, and a line
// that ends in a comma goes on in the next. What the words mean is the schema's business (schema.go), so that a
// mistake in one line does not hide the next.

const (
	// maxFile is the largest chip file in bytes; a data sheet has some fifteen thousand.
	maxFile = 64 << 10
	// maxDepth is how deep blocks may nest; the language needs three.
	maxDepth = 8
)

var chipLexer = lexer.MustSimple([]lexer.SimpleRule{
	{Name: "Comment", Pattern: `//[^\n]*`},
	{Name: "String", Pattern: `"(\\[^\n]|[^"\\\n])*"`},
	{Name: "OpenString", Pattern: `"[^\n]*`},
	{Name: "Tile", Pattern: `[0-9]+(x[0-9]+)+`},
	{Name: "Number", Pattern: `[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?`},
	{Name: "Word", Pattern: `[\p{L}_%][\p{L}\p{N}_%]*(/[\p{L}_][\p{L}\p{N}_]*)*`},
	{Name: "Arrow", Pattern: `->`},
	{Name: "Comma", Pattern: `,`},
	{Name: "Open", Pattern: `\{`},
	{Name: "Close", Pattern: `\}`},
	{Name: "End", Pattern: `[\n;]`},
	{Name: "Space", Pattern: `[ \t\r]+`},
	{Name: "Bad", Pattern: `(?s).`},
})

var (
	symbols   = chipLexer.Symbols()
	tString   = symbols["String"]
	tOpenStr  = symbols["OpenString"]
	tTile     = symbols["Tile"]
	tNumber   = symbols["Number"]
	tWord     = symbols["Word"]
	tArrow    = symbols["Arrow"]
	tComma    = symbols["Comma"]
	tOpen     = symbols["Open"]
	tClose    = symbols["Close"]
	tEnd      = symbols["End"]
	tSpace    = symbols["Space"]
	tBad      = symbols["Bad"]
	chipParse = participle.MustBuild[fileNode](participle.Lexer(chipLexer), participle.UseLookahead(1))
)

type fileNode struct {
	Stmts []*stmt `parser:"( @@ | End )*"`
}

// stmt is one statement; either a comment on a line of its own, or words with or without a block.
type stmt struct {
	Comment *lexer.Token `parser:"@Comment"`
	Args    []*arg       `parser:"| ( @@+"`
	Block   *block       `parser:"@@?"`
	Bare    *block       `parser:"| @@ )"`
	Trail   *lexer.Token `parser:"@Comment?"`

	src *diag.Source
}

// arg is one word, string, number or sign.
type arg struct {
	Tok lexer.Token `parser:"@( String | OpenString | Tile | Number | Word | Arrow | Comma )"`
}

type block struct {
	Open  lexer.Token `parser:"@Open"`
	Stmts []*stmt     `parser:"( @@ | End )*"`
	Close lexer.Token `parser:"@Close"`
}

// file is the syntax of one text.
type file struct {
	src   *diag.Source
	stmts []*stmt
}

// sliceLexer feeds tokens that were already read.
type sliceLexer struct {
	toks []lexer.Token
	eof  lexer.Token
}

// Next implements lexer.Lexer.
func (l *sliceLexer) Next() (lexer.Token, error) {
	if len(l.toks) == 0 {
		return l.eof, nil
	}
	t := l.toks[0]
	l.toks = l.toks[1:]
	return t, nil
}

func tokRange(src *diag.Source, t lexer.Token) diag.Range {
	return src.Range(t.Pos.Offset, t.Pos.Offset+len(t.Value))
}

// parse reads the syntax of a text. It reports all bad characters and what is wrong with braces; with bad
// braces there is no file.
func parse(src *diag.Source, l *diag.List) *file {
	if len(src.Text) > maxFile {
		l.Errorf(codeTooBig, src.Range(0, 0), "this is too large for a chip file").
			Expect("at most "+bytesText(maxFile), bytesText(len(src.Text)))
		return nil
	}
	lex, err := chipLexer.LexString(src.Name, string(src.Text))
	if err != nil {
		l.Errorf(codeSyntax, src.Range(0, 0), "cannot read this text: %s", err)
		return nil
	}
	var toks []lexer.Token
	var open []lexer.Token
	badEnd := -1
	broken := false
	var eof lexer.Token
	for {
		t, err := lex.Next()
		if err != nil {
			l.Errorf(codeSyntax, src.Range(0, 0), "cannot read this text: %s", err)
			return nil
		}
		if t.EOF() {
			eof = t
			break
		}
		switch t.Type {
		case tSpace:
			continue
		case tBad:
			if t.Pos.Offset != badEnd { // one report for a run
				what := "this character means nothing here"
				if r, n := utf8.DecodeRuneInString(t.Value); r == utf8.RuneError && n <= 1 {
					what = "this is not UTF-8"
				}
				d := l.Errorf(codeChar, tokRange(src, t), "%s", what)
				if t.Value == "#" {
					d.Helpf("comments begin with //")
				}
			}
			badEnd = t.Pos.Offset + len(t.Value)
			continue
		case tString:
			// A line that begins with a string goes on with the string before it.
			if n := len(toks); n > 1 && toks[n-1].Type == tEnd && toks[n-1].Value == "\n" && toks[n-2].Type == tString {
				toks = toks[:n-1]
			}
		case tEnd:
			// A line that ends in a comma goes on.
			if n := len(toks); n > 0 && toks[n-1].Type == tComma && t.Value == "\n" {
				continue
			}
		case tOpenStr:
			l.Errorf(codeChar, tokRange(src, t), "this string is not closed on its line").Helpf(`add a " at its end`)
		case tOpen:
			open = append(open, t)
			if len(open) > maxDepth {
				l.Errorf(codeTooBig, tokRange(src, t), "blocks nest too deep").Expect("at most 8 levels", "more")
				return nil
			}
		case tClose:
			if len(open) == 0 {
				l.Errorf(codeSyntax, tokRange(src, t), "this brace closes nothing")
				broken = true
			} else {
				open = open[:len(open)-1]
			}
		}
		toks = append(toks, t)
	}
	for _, t := range open {
		l.Errorf(codeSyntax, tokRange(src, t), "this brace is not closed").Expect(`"}"`, "the end of the file")
		broken = true
	}
	if broken {
		return nil
	}
	peek, err := lexer.Upgrade(&sliceLexer{toks, eof})
	if err != nil {
		l.Errorf(codeSyntax, src.Range(0, 0), "cannot read this text: %s", err)
		return nil
	}
	node, err := chipParse.ParseFromLexer(peek)
	if err != nil {
		at := src.Range(0, 0)
		msg := err.Error()
		if pe, ok := err.(participle.Error); ok {
			at = src.Range(pe.Position().Offset, pe.Position().Offset+1)
			msg = pe.Message()
		}
		l.Errorf(codeSyntax, at, "%s", msg)
		return nil
	}
	f := &file{src: src, stmts: node.Stmts}
	adopt(f.stmts, src, l)
	return f
}

// adopt tells each statement its source and reports blocks without a key.
func adopt(stmts []*stmt, src *diag.Source, l *diag.List) {
	for _, s := range stmts {
		s.src = src
		if s.Bare != nil {
			l.Errorf(codeSyntax, tokRange(src, s.Bare.Open), "this block has no name before it")
			adopt(s.Bare.Stmts, src, l)
		}
		if s.Block != nil {
			adopt(s.Block.Stmts, src, l)
		}
	}
}

// rangeOf is where an argument stands.
func (s *stmt) rangeOf(a *arg) diag.Range { return tokRange(s.src, a.Tok) }

// head is the range of the first word.
func (s *stmt) head() diag.Range { return s.rangeOf(s.Args[0]) }

// line is the range of all words, without the block.
func (s *stmt) line() diag.Range {
	return s.head().Join(s.rangeOf(s.Args[len(s.Args)-1]))
}

// end is the place after the last word.
func (s *stmt) end() diag.Range {
	e := s.line().End
	return s.src.Range(e, e)
}

// key is the first word; "" when the statement begins with something else.
func (s *stmt) key() string {
	if len(s.Args) > 0 && s.Args[0].Tok.Type == tWord {
		return s.Args[0].Tok.Value
	}
	return ""
}

// isCode says whether the statement is more than a comment.
func (s *stmt) isCode() bool { return len(s.Args) > 0 }

// unquote gives the text of a string token. Besides \" and \\ there are \n and \t.
func unquote(raw string) string {
	raw = strings.TrimPrefix(raw, `"`)
	if !strings.Contains(raw, `\`) {
		return strings.TrimSuffix(raw, `"`)
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			return b.String()
		case c != '\\' || i+1 == len(raw):
			b.WriteByte(c)
		default:
			i++
			switch raw[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			default:
				b.WriteByte(raw[i])
			}
		}
	}
	return b.String()
}
