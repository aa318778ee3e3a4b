package ir

import (
	"strconv"
	"unicode/utf8"
	"unsafe"

	"apogee/ir/diag"
)

// scanner reads the bytes of IR text. Tokens need no blanks between them where they stay apart without; // begins a comment
// to the end of the line.
type scanner struct {
	src  []byte
	at   int
	text *diag.Source
	list *diag.List
}

// sub returns a piece of the text as a string without copying: a source's text does not change.
func (s *scanner) sub(from, to int) string {
	if from >= to {
		return ""
	}
	return unsafe.String(&s.src[from], to-from)
}

// peek skips blanks and comments and returns the byte that follows, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.src) {
		switch c := s.src[s.at]; c {
		case ' ', '\n', '\t', '\r':
			s.at++
		case '/':
			if s.at+1 >= len(s.src) || s.src[s.at+1] != '/' {
				return c
			}
			for s.at < len(s.src) && s.src[s.at] != '\n' {
				s.at++
			}
		default:
			return c
		}
	}
	return 0
}

// take skips blanks and the given byte if it is next; else it moves nowhere.
func (s *scanner) take(c byte) bool {
	if s.next(c) {
		s.at++
		return true
	}
	return false
}

// next skips blanks before the given byte if it is next; else it moves nowhere.
func (s *scanner) next(c byte) bool {
	at := s.at
	if at < len(s.src) && s.src[at] == c || s.peek() == c {
		return true
	}
	s.at = at
	return false
}

// ident reads an identifier; "" when there is none.
func (s *scanner) ident() string {
	if !identStart[s.peek()] {
		return ""
	}
	from := s.at
	for s.at++; s.at < len(s.src) && identByte[s.src[s.at]]; s.at++ {
	}
	return s.sub(from, s.at)
}

// word takes an identifier if it is the given one.
func (s *scanner) word(w string) bool {
	s.peek()
	end := s.at + len(w)
	if end > len(s.src) || s.sub(s.at, end) != w || end < len(s.src) && identByte[s.src[end]] {
		return false
	}
	s.at = end
	return true
}

// token describes what comes next, for messages, and gives its end.
func (s *scanner) token() (found string, end int) {
	c := s.peek()
	end = s.at
	switch {
	case s.at >= len(s.src):
		return "the end of the text", end
	case c == '%' || c == '@':
		for end++; end < len(s.src) && identByte[s.src[end]]; end++ {
		}
	case identByte[c]:
		for end++; end < len(s.src) && identByte[s.src[end]]; end++ {
		}
	case c == '"':
		return "a string", min(s.at+1, len(s.src))
	default:
		_, n := utf8.DecodeRune(s.src[s.at:])
		end += n
	}
	return strconv.Quote(string(s.src[s.at:min(end, s.at+60)])), end
}

// str reads a string in quotes; ok is false when there is none, or after an error, which is reported.
func (s *scanner) str() (v string, ok bool) {
	if s.peek() != '"' {
		s.expected("a string in quotes")
		return "", false
	}
	from := s.at
	i := from + 1
	for ; i < len(s.src) && plainByte[s.src[i]]; i++ {
	}
	if i < len(s.src) && s.src[i] == '"' {
		s.at = i + 1
		return s.sub(from+1, i), true
	}
	for ; i < len(s.src) && s.src[i] != '"' && s.src[i] != '\n'; i++ {
		if s.src[i] == '\\' {
			i++
		}
	}
	if i >= len(s.src) || s.src[i] != '"' {
		s.error(CodeSyntax, from, from+1, "this string has no end on its line")
		s.at = min(i, len(s.src))
		return "", false
	}
	v, err := strconv.Unquote(s.sub(from, i+1))
	if err != nil {
		s.error(CodeSyntax, from, i+1, "this string is malformed").Helpf(`escapes are those of Go: \n, \t, \", \\, \xff, \u00e9`)
		s.at = i + 1
		return "", false
	}
	s.at = i + 1
	return v, true
}

// name reads an identifier or a string.
func (s *scanner) name() (string, bool) {
	if s.peek() == '"' {
		return s.str()
	}
	if v := s.ident(); v != "" {
		return v, true
	}
	s.expected("a name")
	return "", false
}

// digits reads a number of at most max; ok is false when there is none or it is too large.
func (s *scanner) digits(max int64) (n int64, ok bool) {
	from := s.at
	for s.at < len(s.src) {
		c := s.src[s.at] - '0'
		if c > 9 {
			break
		}
		n = n*10 + int64(c)
		if n > max {
			return 0, false
		}
		s.at++
	}
	return n, s.at > from
}

func (s *scanner) error(code string, from, to int, format string, args ...any) *diag.Diagnostic {
	return s.list.Errorf(code, s.text.Range(from, to), format, args...)
}

// expected reports that what comes next is not what has to be there.
func (s *scanner) expected(what string) *diag.Diagnostic {
	found, end := s.token()
	return s.error(CodeSyntax, s.at, end, "expected %s, found %s", what, found)
}

// want takes a byte or reports that it is missing.
func (s *scanner) want(c byte) bool {
	if s.take(c) {
		return true
	}
	s.expected(strconv.Quote(string(rune(c))))
	return false
}

// skipLine moves to the end of the line; braces opened on the way are closed first, so that a region goes with the op that was
// not understood. A closing brace that was opened before stays.
func (s *scanner) skipLine() {
	depth := 0
	for s.at < len(s.src) {
		switch s.src[s.at] {
		case '\n':
			if depth == 0 {
				return
			}
		case '"':
			for s.at++; s.at < len(s.src) && s.src[s.at] != '"' && s.src[s.at] != '\n'; s.at++ {
				if s.src[s.at] == '\\' {
					s.at++
				}
			}
			if s.at < len(s.src) && s.src[s.at] == '\n' {
				continue
			}
		case '/':
			if s.at+1 < len(s.src) && s.src[s.at+1] == '/' {
				for s.at < len(s.src) && s.src[s.at] != '\n' {
					s.at++
				}
				continue
			}
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return
			}
			depth--
		}
		s.at++
	}
	s.at = len(s.src)
}
