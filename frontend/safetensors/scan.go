package safetensors

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// scanner reads the little JSON that headers and indexes are made of, strictly, in one pass, and knows at each moment
// at which byte it is; headers of large checkpoints have ten megabytes.
type scanner struct {
	buf []byte
	pos int
	err error
}

// failf records the first error; everything after it reads as empty.
func (s *scanner) failf(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: %s", s.pos, fmt.Sprintf(format, args...))
		s.pos = len(s.buf)
	}
}

func (s *scanner) space() {
	for s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, or 0.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.buf) {
		return s.buf[s.pos]
	}
	return 0
}

// found describes the next item for an error.
func (s *scanner) found() string {
	switch c := s.peek(); {
	case s.pos >= len(s.buf):
		return "the end"
	case c < 0x20 || c >= 0x7F:
		return fmt.Sprintf("byte 0x%02x", c)
	default:
		return fmt.Sprintf("%q", rune(c))
	}
}

// expect takes one punctuation byte. Texts for errors are passed in parts, since a header has many and few fail.
func (s *scanner) expect(c byte, where, what string) bool {
	if s.peek() != c {
		s.failf("expected %q %s %s, found %s", rune(c), where, what, s.found())
		return false
	}
	s.pos++
	return true
}

// object calls member for each key; member must consume the value.
func (s *scanner) object(what string, member func(key string)) {
	if !s.expect('{', "to begin", what) {
		return
	}
	if s.peek() == '}' {
		s.pos++
		return
	}
	for s.err == nil {
		key := s.str("a name")
		if !s.expect(':', "after a name in", what) {
			return
		}
		member(key)
		if s.err != nil {
			return
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		s.expect('}', "or ',' in", what)
		return
	}
}

// str reads a string.
func (s *scanner) str(what string) string {
	if s.peek() != '"' {
		s.failf("expected %s in quotes, found %s", what, s.found())
		return ""
	}
	start := s.pos
	plain := true
	for s.pos++; s.pos < len(s.buf); s.pos++ {
		switch c := s.buf[s.pos]; {
		case c == '"':
			s.pos++
			raw := s.buf[start:s.pos]
			if !utf8.Valid(raw) {
				s.pos = start
				s.failf("%s is not valid UTF-8", what)
				return ""
			}
			if plain {
				return string(raw[1 : len(raw)-1])
			}
			var out string
			if err := json.Unmarshal(raw, &out); err != nil {
				s.pos = start
				s.failf("%s is no JSON string: %v", what, err)
				return ""
			}
			return out
		case c == '\\':
			plain = false
			s.pos++
		case c < 0x20:
			s.failf("a control character in %s", what)
			return ""
		}
	}
	s.pos = start
	s.failf("%s has no closing quote", what)
	return ""
}

// integer reads a whole number from 0 to 2^63-1.
func (s *scanner) integer(what string) int64 {
	if c := s.peek(); c < '0' || c > '9' {
		s.failf("expected a whole number from 0 in %s, found %s", what, s.found())
		return 0
	}
	start := s.pos
	v := uint64(0)
	for ; s.pos < len(s.buf) && s.buf[s.pos] >= '0' && s.buf[s.pos] <= '9'; s.pos++ {
		if v > (1<<63-1)/10 {
			s.pos = start
			s.failf("a number in %s is too large", what)
			return 0
		}
		v = v*10 + uint64(s.buf[s.pos]-'0')
	}
	if v > 1<<63-1 {
		s.pos = start
		s.failf("a number in %s is too large", what)
		return 0
	}
	if s.buf[start] == '0' && s.pos > start+1 {
		s.pos = start
		s.failf("a number in %s begins with a zero", what)
		return 0
	}
	if s.pos < len(s.buf) {
		switch s.buf[s.pos] {
		case '.', 'e', 'E':
			s.failf("a number in %s is not a whole number", what)
			return 0
		}
	}
	return int64(v)
}

// integers reads a list of them.
func (s *scanner) integers(what string) []int64 {
	out := make([]int64, 0, 4)
	if !s.expect('[', "to begin", what) {
		return out
	}
	if s.peek() == ']' {
		s.pos++
		return out
	}
	for s.err == nil {
		out = append(out, s.integer(what))
		if s.err != nil {
			break
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		s.expect(']', "or ',' in", what)
		break
	}
	return out
}

// skip passes over any value; only an index's "metadata" needs it.
func (s *scanner) skip() {
	s.space()
	depth := 0
	for s.err == nil {
		switch c := s.peek(); c {
		case '"':
			s.str("a string")
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			if depth--; depth < 0 {
				s.failf("expected a value, found %s", s.found())
				return
			}
			s.pos++
		case ',', ':':
			if depth == 0 {
				s.failf("expected a value, found %s", s.found())
				return
			}
			s.pos++
			continue
		case 0:
			s.failf("expected a value, found %s", s.found())
			return
		default:
			start := s.pos
			for s.pos < len(s.buf) && (s.buf[s.pos] >= '0' && s.buf[s.pos] <= '9' || s.buf[s.pos] >= 'a' && s.buf[s.pos] <= 'z' || s.buf[s.pos] == '-' || s.buf[s.pos] == '+' || s.buf[s.pos] == '.' || s.buf[s.pos] == 'E') {
				s.pos++
			}
			if s.pos == start {
				s.failf("expected a value, found %s", s.found())
				return
			}
		}
		if depth == 0 {
			return
		}
	}
}

// end checks that only white space is left.
func (s *scanner) end() {
	if s.err == nil && (s.peek() != 0 || s.pos < len(s.buf)) {
		s.failf("expected the end, found %s", s.found())
	}
}
