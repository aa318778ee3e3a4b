package chip

import (
	"fmt"
	"strings"

	"apogee/ir/diag"
)

// WithDerates gives the text of a chip file with derates put in: each line is a derate statement and takes the place of the one for the
// same thing that stands in this file. The result is canonical; the error is that of a file that cannot be read.
func WithDerates(src *diag.Source, lines []string) ([]byte, error) {
	l := &diag.List{}
	f := parse(src, l)
	if err := l.Err(); err != nil {
		return nil, err
	}
	var top *stmt
	for _, s := range f.stmts {
		if s.key() == "chip" && s.Block != nil {
			top = s
			break
		}
	}
	if top == nil {
		return nil, diag.Errorf(codeOneChip, src.Range(0, 0), "this file describes no chip").Expect(`chip "NAME" { … }`, "none")
	}
	k := find(chipKeys, "derate")
	fresh := map[string]bool{}
	for _, line := range lines {
		g := parse(diag.NewSource("derate", []byte(line)), l)
		if g == nil || len(g.stmts) != 1 || g.stmts[0].key() != "derate" {
			return nil, fmt.Errorf("%q is no derate", line)
		}
		fresh[k.identity(g.stmts[0])] = true
	}
	text := string(src.Text)
	var out strings.Builder
	at := 0
	for _, s := range top.Block.Stmts {
		if s.key() != "derate" || !fresh[k.identity(s)] {
			continue
		}
		out.WriteString(strings.TrimRight(text[at:s.head().Start], " \t"))
		at = s.line().End
		if s.Trail != nil {
			at = s.Trail.Pos.Offset + len(s.Trail.Value)
		}
	}
	end := top.Block.Close.Pos.Offset
	out.WriteString(strings.TrimRight(text[at:end], " \t\n") + "\n\n" + strings.Join(lines, "\n") + "\n")
	out.WriteString(text[end:])
	return Format(diag.NewSource(src.Name, []byte(out.String())))
}
