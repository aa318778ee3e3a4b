package irtest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"apogee/ir/diag"
)

// want is one expectation: // want "pattern", with as many patterns as there are diagnostics on the line.
type want struct {
	line int
	re   *regexp.Regexp
}

var wantComment = regexp.MustCompile(`//\s*want((?:\s+"(?:[^"\\]|\\.)*")+)\s*$`)
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// Want compares diagnostics with the comments of their source: a line that ends in
//
//	// want "pattern" "pattern"
//
// must have just that many diagnostics, each matched by one of the regular expressions, in any order; other lines have
// none. A pattern is matched against text such as
//
//	error[IR006] 3:5: message (expected a, found b) (did you mean c) (help: d)
func Want(t testing.TB, src *diag.Source, list *diag.List) {
	t.Helper()
	for _, problem := range Mismatches(src, list) {
		t.Error(problem)
	}
}

// Mismatches is what Want reports.
func Mismatches(src *diag.Source, list *diag.List) []string {
	var problems []string
	var wants []*want
	for i, text := range bytes.Split(src.Text, []byte("\n")) {
		m := wantComment.FindSubmatch(text)
		if m == nil {
			continue
		}
		for _, q := range quoted.FindAllString(string(m[1]), -1) {
			s, err := strconv.Unquote(q)
			var re *regexp.Regexp
			if err == nil {
				re, err = regexp.Compile(s)
			}
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s:%d: bad want %s: %v", src.Name, i+1, q, err))
				continue
			}
			wants = append(wants, &want{i + 1, re})
		}
	}
	for _, d := range list.Items() {
		line := 0
		if d.Range.Valid() {
			line, _ = d.Range.Source.Position(d.Range.Start)
		}
		text, found := Line(d), false
		for i, w := range wants {
			if w != nil && w.line == line && w.re.MatchString(text) {
				wants[i], found = nil, true
				break
			}
		}
		if !found {
			problems = append(problems, fmt.Sprintf("%s:%d: not expected: %s", src.Name, line, text))
		}
	}
	for _, w := range wants {
		if w != nil {
			problems = append(problems, fmt.Sprintf("%s:%d: expected, but not found: %s", src.Name, w.line, w.re))
		}
	}
	return problems
}

// Line prints a diagnostic on one line, as Want sees it.
func Line(d *diag.Diagnostic) string {
	var b strings.Builder
	b.WriteString(d.Severity.String())
	if d.Code != "" {
		b.WriteString("[" + d.Code + "]")
	}
	if d.Range.Valid() {
		line, col := d.Range.Source.Position(d.Range.Start)
		fmt.Fprintf(&b, " %d:%d", line, col)
	}
	b.WriteString(": " + d.Message)
	if d.Expected != "" || d.Found != "" {
		fmt.Fprintf(&b, " (expected %s, found %s)", d.Expected, d.Found)
	}
	if d.Suggestion != "" {
		b.WriteString(" (did you mean " + d.Suggestion + ")")
	}
	if d.Help != "" {
		b.WriteString(" (help: " + d.Help + ")")
	}
	return b.String()
}
