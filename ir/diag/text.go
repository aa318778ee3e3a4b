package diag

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tabStop is the number of columns between tab stops in a shown line; tabs are shown as blanks.
const tabStop = 4

// cell is one rune, or one invalid byte, as it is shown.
type cell struct {
	text  string
	width int
}

// cellOf gives what stands for a rune in the output. Runes that could steer a terminal or reorder the line
// are shown as escapes.
func cellOf(r rune, size int, b byte) cell {
	switch {
	case r == utf8.RuneError && size <= 1:
		return cell{fmt.Sprintf("\\x%02x", b), 4}
	case r < 0x20 || r == 0x7f:
		return cell{fmt.Sprintf("\\x%02x", r), 4}
	case unicode.In(r, unicode.Mn, unicode.Me):
		return cell{string(r), 0}
	case !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r):
		s := fmt.Sprintf("<U+%04X>", r)
		return cell{s, len(s)}
	case wide(r):
		return cell{string(r), 2}
	}
	return cell{string(r), 1}
}

// wide says whether a terminal shows a rune over two columns: the East Asian Wide and Fullwidth blocks and the
// pictographs, after Unicode Standard Annex 11, by block and not by rune.
func wide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115f,
		r >= 0x2e80 && r <= 0x303e,
		r >= 0x3041 && r <= 0xa4cf,
		r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f300 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd:
		return true
	}
	return false
}

// crop lays out the part of a line around the bytes from…to in at most width columns. It gives the text, the
// number of columns before the caret and the number of columns to underline (at least 1). The work depends
// on width, not on the length of the line.
func crop(line []byte, from, to, width int) (shown string, pad, under int) {
	// Where to begin: at the line's start if the caret then fits, otherwise so that the caret has a
	// third of the width before it.
	begin, cut := 0, false
	if !fits(line[:from], width*2/3) {
		cut = true
		begin = from
		for n := 0; begin > 0 && n < width/3; n++ {
			_, size := utf8.DecodeLastRune(line[:begin])
			begin -= size
		}
	}
	var b strings.Builder
	col := 0
	if cut {
		b.WriteString("…")
		col = 1
	}
	start, end := -1, -1
	for i := begin; i < len(line); {
		if i >= from && start < 0 {
			start = col
		}
		if i >= to && end < 0 {
			end = col
		}
		r, size := utf8.DecodeRune(line[i:])
		c := cellOf(r, size, line[i])
		if r == '\t' {
			n := tabStop - col%tabStop
			c = cell{strings.Repeat(" ", n), n}
		}
		if col+c.width >= width && i+size < len(line) {
			b.WriteString("…")
			col++
			break
		}
		b.WriteString(c.text)
		col += c.width
		i += size
	}
	if start < 0 {
		start = col
	}
	if end < 0 {
		end = col
	}
	return b.String(), start, max(1, end-start)
}

// fits says whether a text is at most width columns wide, looking at no more of it than that takes.
func fits(text []byte, width int) bool {
	if len(text) > width*utf8.UTFMax {
		return false
	}
	col := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == '\t' {
			col += tabStop - col%tabStop
		} else {
			col += cellOf(r, size, text[i]).width
		}
		if col > width {
			return false
		}
		i += size
	}
	return true
}

// maxText is how many bytes of a message or a name are shown.
const maxText = 4096

// safe makes a name printable on one line: newlines and what could steer a terminal become escapes, and what
// is too long is cut.
func safe(s string) string { return clean(s, false) }

// safeText is safe for messages, which may have several lines.
func safeText(s string) string { return clean(s, true) }

func clean(s string, lines bool) string {
	plain := len(s) <= maxText
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20 && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if b.Len() > maxText {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n' && lines:
			b.WriteString("\n  ")
		case r == '\t':
			b.WriteByte(' ')
		default:
			b.WriteString(cellOf(r, size, s[i]).text)
		}
		i += size
	}
	return b.String()
}
