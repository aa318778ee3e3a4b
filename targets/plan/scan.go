package plan

import (
	"fmt"
	"math"
	"strconv"

	"apogee/ir/diag"
	"apogee/ir/format"
)

// scanner reads the characters of a plan's text, line by line. The first mistake of a line is reported; the
// rest of that line then reads as nothing.
type scanner struct {
	src  *diag.Source
	text []byte
	at   int
	list diag.List
	bad  bool // the line has a mistake
}

func (s *scanner) fail(code string, start, end int, format string, args ...any) *diag.Diagnostic {
	if s.bad {
		return &diag.Diagnostic{}
	}
	s.bad = true
	return s.list.Errorf(code, s.src.Range(start, end), format, args...)
}

// want reports that something else should stand here.
func (s *scanner) want(expected string) {
	end := s.at
	for end < len(s.text) && end < s.at+40 && nameChar(s.text[end]) {
		end++
	}
	if end == s.at && end < len(s.text) && s.text[end] != '\n' {
		end++
	}
	found := strconv.Quote(string(s.text[s.at:end]))
	if s.at >= len(s.text) {
		found = "the end of the text"
	} else if s.text[s.at] == '\n' {
		found = "the end of the line"
	}
	s.fail(codeSyntax, s.at, end, "this does not fit here").Expect(expected, found)
}

// space skips blanks and a comment.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.at++
		case c == '/' && s.at+1 < len(s.text) && s.text[s.at+1] == '/':
			for s.at < len(s.text) && s.text[s.at] != '\n' {
				s.at++
			}
		default:
			return
		}
	}
}

// peek gives the next character that is not blank, 0 at the end of the line or after a mistake.
func (s *scanner) peek() byte {
	if s.bad {
		return 0
	}
	s.space()
	if s.at >= len(s.text) || s.text[s.at] == '\n' {
		return 0
	}
	return s.text[s.at]
}

// nextLine goes to the start of the next line that is not blank and says whether there is one. What is left of
// the line before is an error.
func (s *scanner) nextLine() bool {
	if s.at > 0 && s.peek() != 0 {
		s.want("the end of the line")
	}
	for s.bad && s.at < len(s.text) && s.text[s.at] != '\n' {
		s.at++
	}
	s.bad = s.list.Full()
	for !s.bad {
		s.space()
		if s.at >= len(s.text) {
			return false
		}
		if s.text[s.at] != '\n' {
			return true
		}
		s.at++
	}
	return false
}

// accept takes a sign if it stands here.
func (s *scanner) accept(sign string) bool {
	if s.peek() == 0 || len(s.text)-s.at < len(sign) || string(s.text[s.at:s.at+len(sign)]) != sign {
		return false
	}
	s.at += len(sign)
	return true
}

func (s *scanner) need(sign string) {
	if !s.accept(sign) {
		s.want(strconv.Quote(sign))
	}
}

func nameChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '/' || c == '-'
}

// word reads a run of name characters; "" if none stands here.
func (s *scanner) word() string {
	if s.peek() == 0 {
		return ""
	}
	start := s.at
	for s.at < len(s.text) && nameChar(s.text[s.at]) && !(s.text[s.at] == '/' && s.at+1 < len(s.text) && s.text[s.at+1] == '/') {
		s.at++
	}
	return string(s.text[start:s.at])
}

// acceptWord takes a word if it stands here.
func (s *scanner) acceptWord(w string) bool {
	s.peek()
	at := s.at
	if s.word() == w {
		return true
	}
	s.at = at
	return false
}

func (s *scanner) needWord(w string) {
	if !s.acceptWord(w) {
		s.want(strconv.Quote(w))
	}
}

// quoted reads a string in quotes.
func (s *scanner) quoted() string {
	if s.peek() != '"' {
		s.want("a string in quotes")
		return ""
	}
	end := s.at + 1
	for end < len(s.text) && s.text[end] != '"' && s.text[end] != '\n' {
		if s.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.text) || s.text[end] != '"' {
		s.fail(codeSyntax, s.at, min(end, len(s.text)), "the string is not closed").Helpf(`end it with a "`)
		return ""
	}
	out, err := strconv.Unquote(string(s.text[s.at : end+1]))
	if err != nil {
		s.fail(codeSyntax, s.at, end+1, "the string has an escape that means nothing").Helpf("write it as Go does")
		return ""
	}
	s.at = end + 1
	return out
}

// name reads a name, in quotes or plain.
func (s *scanner) name() string {
	if s.peek() == '"' {
		return s.quoted()
	}
	at := s.at
	w := s.word()
	if !plain(w) {
		s.at = at
		s.want("a name")
	}
	return w
}

// int reads an integer, decimal or after 0x.
func (s *scanner) int() int64 {
	neg := s.accept("-")
	s.peek()
	start := s.at
	u, ok := s.digits()
	if !ok {
		return 0
	}
	if neg && u <= 1<<63 {
		return int64(-u)
	}
	if u > math.MaxInt64 {
		s.fail(codeSyntax, start, s.at, "the number is too large").Expect("a number that fits 64 bits", string(s.text[start:s.at]))
		return 0
	}
	return int64(u)
}

// digits reads an unsigned integer of at most 64 bits.
func (s *scanner) digits() (uint64, bool) {
	if s.peek() == 0 {
		s.want("a number")
		return 0, false
	}
	start, base := s.at, 10
	if len(s.text)-s.at > 2 && s.text[s.at] == '0' && s.text[s.at+1] == 'x' {
		base, start = 16, s.at+2
	}
	isDigit := func(c byte) bool {
		return c >= '0' && c <= '9' || base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
	}
	end := start
	for end < len(s.text) && isDigit(s.text[end]) {
		end++
	}
	if end == start {
		s.want("a number")
		return 0, false
	}
	u, err := strconv.ParseUint(string(s.text[start:end]), base, 64)
	if err != nil {
		s.fail(codeSyntax, start, end, "the number is too large").Expect("a number that fits 64 bits", clip(string(s.text[start:end])))
		return 0, false
	}
	s.at = end
	return u, true
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// index reads an integer that fits 32 bits.
func (s *scanner) index() int {
	s.peek()
	start := s.at
	x := s.int()
	if x < math.MinInt32 || x > math.MaxInt32 {
		s.fail(codeSyntax, start, s.at, "the number is too large").Expect("a number that fits 32 bits", strconv.FormatInt(x, 10))
		return 0
	}
	return int(x)
}

func (s *scanner) float() float64 {
	s.peek()
	start := s.at
	if s.accept("nan(") {
		u, _ := s.digits()
		s.need(")")
		return math.Float64frombits(u)
	}
	end := s.at
	for end < len(s.text) && (nameChar(s.text[end]) || s.text[end] == '+') {
		end++
	}
	x, err := strconv.ParseFloat(string(s.text[start:end]), 64)
	if err != nil {
		s.want("a number")
		return 0
	}
	s.at = end
	return x
}

func (s *scanner) ints() []int64 {
	s.need("[")
	var out []int64
	for !s.accept("]") && !s.bad {
		if len(out) > 0 {
			s.need(",")
		}
		out = append(out, s.int())
	}
	return out
}

func (s *scanner) format() format.Format {
	s.peek()
	at := s.at
	w := s.word()
	f, ok := format.Parse(w)
	if !ok && w != format.Invalid.String() {
		var all []string
		for _, f := range format.All() {
			all = append(all, f.String())
		}
		if !s.bad {
			s.fail(codeName, at, s.at, "there is no format %s", quoteClip(w)).Suggest(w, all)
		}
	}
	return f
}

func quoteClip(s string) string { return strconv.Quote(clip(s)) }

// ref reads a reference into a table: a name that is there, or # and a number.
func (s *scanner) ref(what string, t *table) int {
	if s.accept("#") {
		return s.index()
	}
	s.peek()
	at := s.at
	name := s.name()
	i, ok := t.index[name]
	if !ok && !s.bad {
		d := s.fail(codeName, at, s.at, "there is no %s %s", what, quoteClip(name))
		if len(t.list) <= 200 {
			d.Suggest(name, t.list)
		}
	}
	return i
}

// table is the names of one kind of things; of equal ones the first counts.
type table struct {
	list  []string
	index map[string]int
}

func (t *table) add(name string) {
	if t.index == nil {
		t.index = map[string]int{}
	}
	if _, dup := t.index[name]; !dup {
		t.index[name] = len(t.list)
	}
	t.list = append(t.list, name)
}

// one reads one of a few words and gives its number.
func (s *scanner) one(what string, words []string) int {
	s.peek()
	at := s.at
	w := s.word()
	for i, x := range words {
		if x == w {
			return i
		}
	}
	if !s.bad {
		s.fail(codeSyntax, at, s.at, "there is no %s %s", what, quoteClip(w)).Expect(fmt.Sprint("one of ", words), quoteClip(w)).Suggest(w, words)
	}
	return 0
}

// reg reads a register.
func (s *scanner) reg() Reg {
	s.peek()
	at := s.at
	if at < len(s.text) && s.text[at] == 'r' {
		s.at++
		if s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
			u, _ := s.digits()
			if u > math.MaxUint16 {
				s.fail(codeSyntax, at, s.at, "there is no such register").Expect("r0 to r65535", "r"+strconv.FormatUint(u, 10))
			}
			return Reg(u)
		}
		s.at = at
	}
	end := at
	for end < len(s.text) && s.text[end] >= 'a' && s.text[end] <= 'z' {
		end++
	}
	for i, n := range regNames {
		if !s.bad && string(s.text[at:end]) == n {
			s.at = end
			return Reg(i)
		}
	}
	s.want("a register such as r3, block, core or cores")
	return 0
}

// val reads an affine value, a sum of registers, products of a register and a number, and numbers.
func (s *scanner) val() Val {
	var v Val
	for first := true; !s.bad; first = false {
		neg := false
		switch {
		case s.accept("-"):
			neg = true
		case s.accept("+") || first:
		default:
			return v
		}
		c := s.peek()
		if c >= '0' && c <= '9' {
			u, _ := s.digits()
			if neg {
				u = -u
			}
			v.C += int64(u)
			continue
		}
		t := Term{Reg: s.reg(), K: 1}
		if s.accept("*") {
			if s.accept("-") {
				neg = !neg
			}
			u, _ := s.digits()
			t.K = int64(u)
		}
		if neg {
			t.K = -t.K
		}
		v.Terms = append(v.Terms, t)
	}
	return v
}
