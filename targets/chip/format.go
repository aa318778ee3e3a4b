package chip

import (
	"strings"
	"unicode/utf8"

	"apogee/ir/diag"
)

// Format prints a chip file in its one canonical form: a statement a line, two blanks a level, values and
// sources in columns, comments and single empty lines kept. Formatting twice changes nothing. A text with
// syntax errors is returned as it is, with the error; unknown keys do not matter here.
func Format(src *diag.Source) ([]byte, error) {
	l := &diag.List{}
	f := parse(src, l)
	if f != nil {
		statements(f.stmts, l)
	}
	if err := l.Err(); err != nil {
		return src.Text, err
	}
	p := &printer{src: src}
	p.stmts(f.stmts, 0)
	return []byte(p.b.String()), nil
}

// statements reports those that would be others on lines of their own: a string would join the one before it, a comma take in the next line.
func statements(list []*stmt, l *diag.List) {
	for _, s := range list {
		if s.isCode() {
			if s.key() == "" {
				l.Errorf(codeKey, s.head(), "a statement begins with a word").Expect("a key", s.Args[0].Tok.Value)
			}
			if last := s.Args[len(s.Args)-1]; last.Tok.Type == tComma {
				l.Errorf(codeSyntax, s.rangeOf(last), "nothing follows the comma").Expect("another word, or no comma", "the end of the statement")
			}
		}
		if s.Block != nil {
			statements(s.Block.Stmts, l)
		}
		if s.Bare != nil {
			statements(s.Bare.Stmts, l)
		}
	}
}

type printer struct {
	src *diag.Source
	b   strings.Builder
}

// row is a statement laid out in cells: its key, the names and the number of its value, its source, and a
// comment behind it.
type row struct {
	key, names, number, clause, trail string
	stmt                              *stmt
	gap                               bool // an empty line stood before it
}

const (
	// maxCell is the widest cell that others are aligned to; longer ones stand out.
	maxCell = 48
	// maxLine is the width at which long strings are broken.
	maxLine = 116
	// maxHang is the rightmost column under which the rest of a string stands.
	maxHang = 72
)

func (p *printer) stmts(list []*stmt, depth int) {
	var run []row
	lastLine := -1
	for i, s := range list {
		r := layout(s)
		line := p.firstLine(s)
		r.gap = i > 0 && line > lastLine+1
		lastLine = p.lastLine(s)
		if r.gap || s.Block != nil || s.Comment != nil {
			p.flush(run, depth)
			run = run[:0]
		}
		run = append(run, r)
		if s.Block != nil || s.Comment != nil {
			p.flush(run, depth)
			run = run[:0]
		}
	}
	p.flush(run, depth)
}

// flush prints rows that are aligned to one another.
func (p *printer) flush(run []row, depth int) {
	indent := strings.Repeat("  ", depth)
	var keyWidth, nameWidth, valueWidth int
	for _, r := range run {
		keyWidth = max(keyWidth, utf8.RuneCountInString(r.key))
		if n := utf8.RuneCountInString(r.names); r.number != "" && n <= maxCell {
			nameWidth = max(nameWidth, n)
		}
	}
	value := func(r row) string {
		switch {
		case r.names == "":
			return r.number
		case r.number == "":
			return r.names
		}
		return pad(r.names, nameWidth) + " " + r.number
	}
	for _, r := range run {
		if n := utf8.RuneCountInString(value(r)); r.clause != "" && n <= 2*maxCell {
			valueWidth = max(valueWidth, n)
		}
	}
	for _, r := range run {
		if r.gap {
			p.b.WriteByte('\n')
		}
		if r.stmt.Comment != nil {
			p.b.WriteString(indent + strings.TrimRight(r.stmt.Comment.Value, " \t\r") + "\n")
			continue
		}
		line := r.key
		if v := value(r); v != "" {
			line = pad(line, keyWidth) + " " + v
		}
		if r.clause != "" {
			line = pad(line, keyWidth+1+valueWidth) + " " + r.clause
		}
		body := r.stmt.Block
		if body != nil {
			line += " {"
			if len(body.Stmts) == 0 {
				line += "}"
			}
		}
		if r.trail != "" && (body == nil || len(body.Stmts) == 0) {
			line += "  " + r.trail
		}
		p.line(indent+line, depth*2+min(keyWidth+1, 12))
		if body != nil && len(body.Stmts) > 0 {
			p.stmts(body.Stmts, depth+1)
			p.b.WriteString(indent + "}")
			if r.trail != "" {
				p.b.WriteString("  " + r.trail)
			}
			p.b.WriteByte('\n')
		}
	}
}

// line writes a line. Where it is too long, a string is broken, the rest of it standing under its beginning if
// there is room, or a list after a comma; the rest then stands at column hang.
func (p *printer) line(s string, hang int) {
	inString := false
	open, col := 0, 0   // columns: of the string's quote, of the next rune
	begin, cut := 0, -1 // bytes: of what is not written yet, of the last blank where the line may be broken
	cutString := false
	for i, r := range s {
		switch {
		case r == '"' && !escaped(s, i):
			inString = !inString
			if inString {
				open = col
			}
		case !inString && r == '/' && strings.HasPrefix(s[i:], "//"): // nothing to break in a comment
			p.b.WriteString(s[begin:] + "\n")
			return
		case r == ' ' && i > 0 && i+1 < len(s) && !strings.ContainsRune(` \"`, rune(s[i-1])) && !strings.ContainsRune(` "`, rune(s[i+1])):
			if inString || s[i-1] == ',' {
				cut, cutString = i, inString
			}
		}
		col++
		if col <= maxLine || cut <= begin {
			continue
		}
		to := hang
		if cutString {
			if open <= maxHang {
				to = open
			}
			p.b.WriteString(s[begin:cut] + "\"\n" + strings.Repeat(" ", to) + "\"")
			to++
		} else {
			p.b.WriteString(s[begin:cut] + "\n" + strings.Repeat(" ", to))
		}
		begin = cut + 1
		col = to + utf8.RuneCountInString(s[begin:i+utf8.RuneLen(r)])
		cut = -1
	}
	p.b.WriteString(s[begin:] + "\n")
}

// escaped says whether the byte at i stands behind an odd number of backslashes.
func escaped(s string, i int) bool {
	n := 0
	for i > 0 && s[i-1] == '\\' {
		i--
		n++
	}
	return n%2 == 1
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// layout splits a statement into cells. Statements with a block are not aligned.
func layout(s *stmt) row {
	r := row{stmt: s}
	if s.Trail != nil {
		r.trail = strings.TrimRight(s.Trail.Value, " \t\r")
	}
	if s.Comment != nil {
		return r
	}
	var cells [4][]byte
	const key, names, number, clause = 0, 1, 2, 3
	cell := key
	last := lastNumber(s.Args)
	for i, a := range s.Args {
		t := a.Tok
		if s.Block == nil && cell != clause {
			switch {
			case i > 0 && (t.Type == tNumber || t.Type == tTile):
				cell = number
			case i > 1 && i > last && t.Type == tWord && isClause(t.Value):
				cell = clause // with no further numbers behind it
			case i == 1:
				cell = names
			}
		}
		b := cells[cell]
		if i > 0 && len(b) > 0 && t.Type == tString && s.Args[i-1].Tok.Type == tString { // pieces of one string
			b[len(b)-1] = ' '
			cells[cell] = append(b, t.Value[1:]...)
			continue
		}
		if i > 0 && t.Type != tComma && len(b) > 0 {
			b = append(b, ' ')
		}
		cells[cell] = append(b, t.Value...)
	}
	r.key, r.names, r.number, r.clause = string(cells[key]), string(cells[names]), string(cells[number]), string(cells[clause])
	return r
}

// lastNumber is the index of the last number of a statement, or -1.
func lastNumber(args []*arg) int {
	for i := len(args) - 1; i >= 0; i-- {
		if t := args[i].Tok.Type; t == tNumber || t == tTile {
			return i
		}
	}
	return -1
}

func (p *printer) firstLine(s *stmt) int {
	at := 0
	switch {
	case s.Comment != nil:
		at = s.Comment.Pos.Offset
	case len(s.Args) > 0:
		at = s.Args[0].Tok.Pos.Offset
	}
	line, _ := p.src.Position(at)
	return line
}

func (p *printer) lastLine(s *stmt) int {
	at := 0
	switch {
	case s.Comment != nil:
		at = s.Comment.Pos.Offset
	case s.Block != nil:
		at = s.Block.Close.Pos.Offset
	case len(s.Args) > 0:
		at = s.Args[len(s.Args)-1].Tok.Pos.Offset
	}
	line, _ := p.src.Position(at)
	return line
}
