package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is what is wrong with a template, or went wrong in rendering it.
type Error struct {
	Line    int // from 1
	Message string
	Raised  bool // the template itself refused its input, with raise_exception
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

type tokenKind uint8

const (
	tEnd     tokenKind = iota
	tData              // text between tags
	tVarOpen           // {{
	tVarEnd            // }}
	tTagOpen           // {%
	tTagEnd            // %}
	tName
	tString
	tInt
	tFloat
	tOp
)

type tok struct {
	kind tokenKind
	text string // of tData, tName, tString (its value), tOp; of numbers as written
	line int
}

// describe names a token for an error.
func (t tok) describe() string {
	switch t.kind {
	case tEnd:
		return "the end of the template"
	case tData:
		return "text"
	case tVarOpen:
		return "'{{'"
	case tVarEnd:
		return "'}}'"
	case tTagOpen:
		return "'{%'"
	case tTagEnd:
		return "'%}'"
	case tString:
		return "a string"
	}
	return fmt.Sprintf("%q", t.text)
}

type lexer struct {
	src       string
	pos       int
	line      int
	toks      []tok
	lineStart bool // what comes next begins a line
}

func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F }

// lex cuts a template into tokens, applying white space control with trim_blocks and lstrip_blocks on (Jinja2's
// lexer.py, Lexer.tokeniter).
func lex(src string) ([]tok, error) {
	src = strings.ReplaceAll(src, "\r\n", "\n")
	src = strings.ReplaceAll(src, "\r", "\n")
	src = strings.TrimSuffix(src, "\n")
	if !utf8.ValidString(src) {
		return nil, &Error{1, "the template is not valid UTF-8", false}
	}
	l := &lexer{src: src, line: 1, lineStart: true}
	for {
		at := l.nextTag()
		text := l.src[l.pos:]
		if at >= 0 {
			text = l.src[l.pos:at]
		}
		if at < 0 {
			l.data(text)
			l.line += strings.Count(l.src[l.pos:], "\n")
			l.toks = append(l.toks, tok{tEnd, "", l.line})
			return l.toks, nil
		}
		kind := l.src[at+1]
		sign := byte(0)
		if at+2 < len(l.src) && (l.src[at+2] == '-' || l.src[at+2] == '+') {
			sign = l.src[at+2]
		}
		raw := text
		switch {
		case sign == '-':
			text = strings.TrimRightFunc(text, isSpace)
		case sign != '+' && kind != '{':
			from := strings.LastIndexByte(text, '\n') + 1
			if (from > 0 || l.lineStart) && strings.TrimFunc(text[from:], isSpace) == "" {
				text = text[:from]
			}
		}
		l.data(text)
		l.line += strings.Count(raw, "\n")
		l.pos = at + 2
		if sign != 0 {
			l.pos++
		}
		l.lineStart = false
		var err error
		switch kind {
		case '#':
			err = l.comment()
		case '{':
			l.toks = append(l.toks, tok{tVarOpen, "", l.line})
			err = l.code("}}", tVarEnd)
		default:
			var isRaw bool
			if isRaw, err = l.raw(); !isRaw && err == nil {
				l.toks = append(l.toks, tok{tTagOpen, "", l.line})
				err = l.code("%}", tTagEnd)
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

func (l *lexer) data(text string) {
	if text != "" {
		l.toks = append(l.toks, tok{tData, text, l.line})
	}
}

// nextTag returns where the next {{, {% or {# begins, or -1.
func (l *lexer) nextTag() int {
	for i := l.pos; ; i++ {
		k := strings.IndexByte(l.src[i:], '{')
		if k < 0 || i+k+1 >= len(l.src) {
			return -1
		}
		i += k
		switch l.src[i+1] {
		case '{', '%', '#':
			return i
		}
	}
}

func (l *lexer) fail(format string, args ...any) error {
	return &Error{l.line, fmt.Sprintf(format, args...), false}
}

// closing takes a block's or comment's end if it is next: -%}, +%} or %}, with what it does to the text after it.
func (l *lexer) closing(end string) bool {
	rest := l.src[l.pos:]
	switch {
	case strings.HasPrefix(rest, "-"+end):
		l.pos += 1 + len(end)
		l.eatSpace()
	case strings.HasPrefix(rest, "+"+end) && end != "}}":
		l.pos += 1 + len(end)
		l.lineStart = false
	case strings.HasPrefix(rest, end):
		l.pos += len(end)
		l.lineStart = false
		if end != "}}" && strings.HasPrefix(l.src[l.pos:], "\n") {
			l.pos++
			l.line++
			l.lineStart = true
		}
	default:
		return false
	}
	return true
}

// eatSpace passes over white space after a -%}.
func (l *lexer) eatSpace() {
	rest := strings.TrimLeftFunc(l.src[l.pos:], isSpace)
	eaten := l.src[l.pos : len(l.src)-len(rest)]
	l.line += strings.Count(eaten, "\n")
	l.pos += len(eaten)
	l.lineStart = strings.HasSuffix(eaten, "\n")
}

func (l *lexer) comment() error {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 {
		return l.fail("a comment without its #}")
	}
	body := l.src[l.pos : l.pos+end]
	l.line += strings.Count(body, "\n")
	l.pos += end
	if strings.HasSuffix(body, "-") || strings.HasSuffix(body, "+") {
		l.pos--
	}
	l.closing("#}")
	return nil
}

// raw reads {% raw %} … {% endraw %} after its {%.
func (l *lexer) raw() (bool, error) {
	rest := strings.TrimLeftFunc(l.src[l.pos:], isSpace)
	if !strings.HasPrefix(rest, "raw") {
		return false, nil
	}
	rest = strings.TrimLeftFunc(rest[3:], isSpace)
	if !strings.HasPrefix(rest, "%}") && !strings.HasPrefix(rest, "-%}") {
		return false, nil
	}
	at := len(l.src) - len(rest)
	l.line += strings.Count(l.src[l.pos:at], "\n")
	l.pos = at
	l.closing("%}")
	for i := l.pos; ; i += 2 {
		k := strings.Index(l.src[i:], "{%")
		if k < 0 {
			return true, l.fail("a raw block without its endraw")
		}
		i += k
		inner := l.src[i+2:]
		sign := byte(0)
		if strings.HasPrefix(inner, "-") || strings.HasPrefix(inner, "+") {
			sign = inner[0]
			inner = inner[1:]
		}
		inner = strings.TrimLeftFunc(inner, isSpace)
		if !strings.HasPrefix(inner, "endraw") {
			continue
		}
		inner = strings.TrimLeftFunc(inner[6:], isSpace)
		if !strings.HasPrefix(inner, "%}") && !strings.HasPrefix(inner, "-%}") && !strings.HasPrefix(inner, "+%}") {
			continue
		}
		text := l.src[l.pos:i]
		switch from := strings.LastIndexByte(text, '\n') + 1; {
		case sign == '-':
			text = strings.TrimRightFunc(text, isSpace)
		case sign != '+' && (from > 0 || l.lineStart) && strings.TrimFunc(text[from:], isSpace) == "":
			text = text[:from]
		}
		l.data(text)
		at := len(l.src) - len(inner)
		l.line += strings.Count(l.src[l.pos:at], "\n")
		l.pos = at
		l.closing("%}")
		return true, nil
	}
}

// code reads an expression or a tag up to its end.
func (l *lexer) code(end string, kind tokenKind) error {
	var open []byte // brackets that are not closed: inside, }} is two braces
	for {
		for l.pos < len(l.src) {
			r, n := utf8.DecodeRuneInString(l.src[l.pos:])
			if !isSpace(r) {
				break
			}
			if r == '\n' {
				l.line++
			}
			l.pos += n
		}
		if l.pos >= len(l.src) {
			return l.fail("the template ends inside a tag")
		}
		line := l.line
		if len(open) == 0 && l.closing(end) {
			l.toks = append(l.toks, tok{kind, "", line})
			return nil
		}
		t, err := l.item()
		if err != nil {
			return err
		}
		if t.kind == tOp {
			switch t.text {
			case "(", "[", "{":
				open = append(open, t.text[0])
			case ")", "]", "}":
				want := map[string]byte{")": '(', "]": '[', "}": '{'}[t.text]
				if len(open) == 0 || open[len(open)-1] != want {
					return l.fail("a %s that closes nothing", t.text)
				}
				open = open[:len(open)-1]
			}
		}
		t.line = line
		l.toks = append(l.toks, t)
	}
}

// operators, longest first.
var operators = []string{"**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

// item reads one token of an expression.
func (l *lexer) item() (tok, error) {
	rest := l.src[l.pos:]
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '_' || unicode.IsLetter(r):
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		})
		if n < 0 {
			n = len(rest)
		}
		l.pos += n
		return tok{kind: tName, text: rest[:n]}, nil
	case r >= '0' && r <= '9':
		return l.number(rest)
	case r == '"' || r == '\'':
		return l.str(rest)
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			l.pos += len(op)
			return tok{kind: tOp, text: op}, nil
		}
	}
	return tok{}, l.fail("unexpected character %q", r)
}

func (l *lexer) number(rest string) (tok, error) {
	digits := func(s string, hex bool) int {
		n := 0
		for n < len(s) && (s[n] >= '0' && s[n] <= '9' || n > 0 && s[n] == '_' || hex && (s[n]|32 >= 'a' && s[n]|32 <= 'f')) {
			n++
		}
		return n
	}
	if len(rest) > 2 && rest[0] == '0' && strings.ContainsRune("xXbBoO", rune(rest[1])) {
		n := 2 + digits(rest[2:], rest[1]|32 == 'x')
		l.pos += n
		v, err := strconv.ParseInt(strings.ReplaceAll(rest[:n], "_", ""), 0, 64)
		if err != nil {
			return tok{}, l.fail("%.40q is no number", rest[:n])
		}
		return tok{kind: tInt, text: strconv.FormatInt(v, 10)}, nil
	}
	n := digits(rest, false)
	kind := tInt
	// A dot needs digits after it: 1.x is an attribute of 1.
	if n+1 < len(rest) && rest[n] == '.' && rest[n+1] >= '0' && rest[n+1] <= '9' {
		n += 1 + digits(rest[n+1:], false)
		kind = tFloat
	}
	if n < len(rest) && rest[n]|32 == 'e' {
		e := n + 1
		if e < len(rest) && (rest[e] == '+' || rest[e] == '-') {
			e++
		}
		if e < len(rest) && rest[e] >= '0' && rest[e] <= '9' {
			n = e + digits(rest[e:], false)
			kind = tFloat
		}
	}
	l.pos += n
	return tok{kind: kind, text: strings.ReplaceAll(rest[:n], "_", "")}, nil
}

// str reads a string with Python's escapes.
func (l *lexer) str(rest string) (tok, error) {
	q := rest[0]
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		c := rest[i]
		switch {
		case c == q:
			l.pos += i + 1
			return tok{kind: tString, text: b.String()}, nil
		case c == '\n':
			l.line++
			b.WriteByte(c)
		case c != '\\' || i+1 >= len(rest):
			b.WriteByte(c)
		default:
			i++
			hex := 0
			switch e := rest[i]; e {
			case '\n':
				l.line++
			case '\\', '\'', '"':
				b.WriteByte(e)
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case 'a':
				b.WriteByte('\a')
			case 'b':
				b.WriteByte('\b')
			case 'f':
				b.WriteByte('\f')
			case 'v':
				b.WriteByte('\v')
			case 'x':
				hex = 2
			case 'u':
				hex = 4
			case 'U':
				hex = 8
			case '0', '1', '2', '3', '4', '5', '6', '7':
				n := 1
				for n < 3 && i+n < len(rest) && rest[i+n] >= '0' && rest[i+n] <= '7' {
					n++
				}
				v, _ := strconv.ParseUint(rest[i:i+n], 8, 16)
				b.WriteRune(rune(v))
				i += n - 1
			default:
				b.WriteByte('\\')
				i--
				// The character itself is taken in the next round, whole.
			}
			if hex > 0 {
				if i+hex >= len(rest) {
					return tok{}, l.fail("a string with a broken escape")
				}
				v, err := strconv.ParseUint(rest[i+1:i+1+hex], 16, 32)
				if err != nil || v > unicode.MaxRune {
					return tok{}, l.fail("a string with a broken escape \\%.9s", rest[i:])
				}
				b.WriteRune(rune(v))
				i += hex
			}
		}
	}
	return tok{}, l.fail("a string without its closing quote")
}
