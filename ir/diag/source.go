package diag

import (
	"bytes"
	"sort"
	"sync"
	"unicode/utf8"
)

// Source is one text that diagnostics point into: a file, or a string a user typed.
// It is safe for concurrent use; Text must not change after [NewSource].
type Source struct {
	// Name is what the user calls the text: a path, or a word such as "<pipeline>".
	Name string
	// Text is the whole text, not necessarily valid UTF-8.
	Text []byte

	once  sync.Once
	lines []int // byte offset of the start of each line; lines[0] is 0

	mu   sync.Mutex
	last struct{ start, off, col int } // the last position asked for, so that a scan in order is linear
}

// NewSource makes a source of a named text. The text is kept, not copied.
func NewSource(name string, text []byte) *Source {
	return &Source{Name: name, Text: text}
}

func (s *Source) index() []int {
	s.once.Do(func() {
		s.lines = make([]int, 1, 1+bytes.Count(s.Text, []byte{'\n'}))
		for i := 0; ; {
			j := bytes.IndexByte(s.Text[i:], '\n')
			if j < 0 {
				break
			}
			i += j + 1
			s.lines = append(s.lines, i)
		}
	})
	return s.lines
}

// clamp brings an offset into 0…len(Text).
func (s *Source) clamp(offset int) int {
	return max(0, min(offset, len(s.Text)))
}

// lineStart gives the 0-based line that holds a clamped offset and the line's first byte.
func (s *Source) lineStart(offset int) (line, start int) {
	lines := s.index()
	line = sort.SearchInts(lines, offset+1) - 1
	return line, lines[line]
}

// Position turns a byte offset into a line and a column, both counted from 1. A column counts runes; a byte
// that is not valid UTF-8 counts as one, and so does a tab. An offset outside the text is brought into it.
func (s *Source) Position(offset int) (line, col int) {
	if s == nil {
		return 0, 0
	}
	offset = s.clamp(offset)
	line, start := s.lineStart(offset)
	s.mu.Lock()
	defer s.mu.Unlock()
	from, n := start, 0
	if l := s.last; l.start == start && l.off >= start && l.off <= offset {
		from, n = l.off, l.col
	}
	for from < offset {
		_, size := utf8.DecodeRune(s.Text[from:])
		if from+size > offset { // inside a rune: its column
			break
		}
		from += size
		n++
	}
	s.last.start, s.last.off, s.last.col = start, from, n
	return line + 1, n + 1
}

// Line gives the bytes of a 1-based line without its end-of-line characters; nil when there is no such line.
func (s *Source) Line(line int) []byte {
	if s == nil {
		return nil
	}
	lines := s.index()
	if line < 1 || line > len(lines) {
		return nil
	}
	end := len(s.Text)
	if line < len(lines) {
		end = lines[line] - 1
	}
	text := s.Text[lines[line-1]:end]
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	return text
}

// Range makes a range of this source.
func (s *Source) Range(start, end int) Range {
	return Range{Source: s, Start: start, End: end}
}

// Range is a piece of a source, as byte offsets: Start is the first byte, End the one after the last.
// Start equal to End is a place between two characters. The zero value means "no text".
type Range struct {
	Source     *Source
	Start, End int
}

// Valid says whether the range points into a text.
func (r Range) Valid() bool { return r.Source != nil }

// Text gives the bytes of the range, cut to the source.
func (r Range) Text() []byte {
	if r.Source == nil {
		return nil
	}
	a, b := r.Source.clamp(r.Start), r.Source.clamp(r.End)
	return r.Source.Text[a:max(a, b)]
}

// Join gives the smallest range that holds both; if only one is valid, that one. Ranges of two sources do not
// join: the first is returned.
func (r Range) Join(o Range) Range {
	switch {
	case !o.Valid():
		return r
	case !r.Valid():
		return o
	case r.Source != o.Source:
		return r
	}
	return Range{Source: r.Source, Start: min(r.Start, o.Start), End: max(r.End, o.End)}
}

// String gives "name:line:col", or "-" without a source.
func (r Range) String() string {
	if r.Source == nil {
		return "-"
	}
	return place(r)
}
