package diag

import (
	"io"
	"strconv"
	"strings"
)

// Options say how diagnostics are shown.
type Options struct {
	// Color adds ANSI colours.
	Color bool
	// MaxErrors is how many diagnostics are shown; 0 means all that the list kept.
	MaxErrors int
	// Width is how many columns of a source line are shown, the rest is cropped around the caret; 0 means
	// 100.
	Width int
}

const (
	reset  = "\x1b[0m"
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	cyan   = "\x1b[1;36m"
	green  = "\x1b[1;32m"
)

func (o Options) paint(b []byte, colour, text string) []byte {
	if !o.Color {
		return append(b, text...)
	}
	b = append(b, colour...)
	b = append(b, text...)
	return append(b, reset...)
}

func (s Severity) colour() string {
	switch s {
	case Error:
		return red
	case Warning:
		return yellow
	}
	return cyan
}

// Render writes the diagnostics of a list in its order, each as
//
//	file:line:col: error[CODE]: message
//	  12 | the source line
//	     |     ^~~~~~
//	  expected …, found …
//	  note: …
//	  help: did you mean "rms_norm"?
//
// and at the end how many are not shown, if any. The error is the writer's.
func Render(w io.Writer, l *List, o Options) error {
	if l == nil {
		return nil
	}
	shown := l.items
	if o.MaxErrors > 0 && len(shown) > o.MaxErrors {
		shown = shown[:o.MaxErrors]
	}
	var b []byte
	for _, d := range shown {
		b = appendDiagnostic(b[:0], d, o)
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if more := len(l.items) - len(shown) + l.dropped; more > 0 {
		_, err := io.WriteString(w, strconv.Itoa(more)+" more not shown\n")
		return err
	}
	return nil
}

// place gives "name:line:col".
func place(r Range) string {
	line, col := r.Source.Position(r.Start)
	return safe(r.Source.Name) + ":" + strconv.Itoa(line) + ":" + strconv.Itoa(col)
}

func appendDiagnostic(b []byte, d *Diagnostic, o Options) []byte {
	switch {
	case d.Range.Valid():
		b = o.paint(b, bold, place(d.Range)+":")
		b = append(b, ' ')
	case d.Where != "":
		b = o.paint(b, bold, safe(d.Where)+":")
		b = append(b, ' ')
	}
	label := d.Severity.String()
	if d.Code != "" {
		label += "[" + safe(d.Code) + "]"
	}
	b = o.paint(b, d.Severity.colour(), label+":")
	b = append(b, ' ')
	b = o.paint(b, bold, safeText(d.Message))
	b = append(b, '\n')
	if d.Range.Valid() {
		b = appendSnippet(b, d.Range, d.Severity.colour(), o)
		if d.Where != "" {
			b = append(b, "  in "+safe(d.Where)+"\n"...)
		}
	}
	switch {
	case d.Expected != "" && d.Found != "":
		b = append(b, "  expected "+safeText(d.Expected)+", found "+safeText(d.Found)+"\n"...)
	case d.Expected != "":
		b = append(b, "  expected "+safeText(d.Expected)+"\n"...)
	case d.Found != "":
		b = append(b, "  found "+safeText(d.Found)+"\n"...)
	}
	for _, n := range d.Notes {
		b = append(b, "  "...)
		if n.Range.Valid() {
			b = o.paint(b, cyan, place(n.Range)+": note:")
		} else {
			b = o.paint(b, cyan, "note:")
		}
		b = append(b, ' ')
		b = append(b, safeText(n.Message)...)
		b = append(b, '\n')
		if n.Range.Valid() {
			b = appendSnippet(b, n.Range, cyan, o)
		}
	}
	help := func(text string) {
		b = append(b, "  "...)
		b = o.paint(b, green, "help:")
		b = append(b, " "+safeText(text)+"\n"...)
	}
	if d.Suggestion != "" {
		help("did you mean " + strconv.Quote(d.Suggestion) + "?")
	}
	if d.Help != "" {
		help(d.Help)
	}
	return b
}

// appendSnippet shows the line of a range's start and a caret line under it. A range over several lines is
// underlined to the end of its first.
func appendSnippet(b []byte, r Range, colour string, o Options) []byte {
	start := r.Source.clamp(r.Start)
	line, lineStart := r.Source.lineStart(start)
	text := r.Source.Line(line + 1)
	from := min(start-lineStart, len(text))
	to := max(from, min(r.Source.clamp(r.End)-lineStart, len(text)))
	width := o.Width
	if width <= 0 {
		width = 100
	}
	shown, pad, under := crop(text, from, to, max(width, 20))
	num := strconv.Itoa(line + 1)
	gutter := strings.Repeat(" ", max(0, 4-len(num)))
	b = append(b, strings.TrimRight(gutter+num+" | "+shown, " ")+"\n"...)
	b = append(b, gutter+strings.Repeat(" ", len(num))+" | "+strings.Repeat(" ", pad)...)
	b = o.paint(b, colour, "^"+strings.Repeat("~", max(0, under-1)))
	return append(b, '\n')
}
