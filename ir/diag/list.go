package diag

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// DefaultLimit is how many errors, and how many warnings, a [List] keeps unless told otherwise.
const DefaultLimit = 200

// List collects the diagnostics of one stage. The zero value is ready to use. It is not safe for concurrent
// use. What is equal in code, place and message to one already there is dropped; what is over the limit is
// counted and dropped.
//
// *List is an error whose Unwrap gives the diagnostics; see [List.Err].
type List struct {
	// Limit is how many errors, and how many others, are kept; 0 means [DefaultLimit].
	Limit int

	items            []*Diagnostic
	seen             map[key]bool
	errors, warnings int // all, the dropped ones included
	kept             [2]int
	dropped          int
}

type key struct {
	rng                  Range
	sev                  Severity
	code, where, message string
}

// Add puts a diagnostic into the list and says whether it was kept.
func (l *List) Add(d *Diagnostic) bool {
	if d == nil {
		return false
	}
	k := key{d.Range, d.Severity, d.Code, d.Where, d.Message}
	if l.seen[k] {
		return false
	}
	class := 0
	switch d.Severity {
	case Error:
		l.errors++
	case Warning:
		l.warnings++
		class = 1
	default:
		class = 1
	}
	limit := l.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	if l.kept[class] >= limit {
		l.dropped++
		return false
	}
	if l.seen == nil {
		l.seen = make(map[key]bool)
	}
	l.seen[k] = true
	l.kept[class]++
	l.items = append(l.items, d)
	return true
}

// Errorf adds an error and returns it, so that the caller can say more about it. The returned diagnostic is
// never nil, even if it was dropped.
func (l *List) Errorf(code string, rng Range, format string, args ...any) *Diagnostic {
	d := Errorf(code, rng, format, args...)
	l.Add(d)
	return d
}

// Warnf adds a warning and returns it.
func (l *List) Warnf(code string, rng Range, format string, args ...any) *Diagnostic {
	d := Errorf(code, rng, format, args...)
	d.Severity = Warning
	l.Add(d)
	return d
}

// Notef adds a remark of its own and returns it.
func (l *List) Notef(code string, rng Range, format string, args ...any) *Diagnostic {
	d := Errorf(code, rng, format, args...)
	d.Severity = Info
	l.Add(d)
	return d
}

// Merge adds all of another list.
func (l *List) Merge(o *List) {
	if o == nil {
		return
	}
	for _, d := range o.items {
		l.Add(d)
	}
	// What the other list dropped for its limit is unknown here but must still count.
	l.dropped += o.dropped
	l.errors += o.errors - o.kept[0]
	l.warnings += max(0, o.warnings-o.kept[1])
}

// AddError adds any error: diagnostics and lists inside it as they are, anything else as an error without a
// place under the given code.
func (l *List) AddError(code string, err error) {
	if err == nil {
		return
	}
	var list *List
	var d *Diagnostic
	switch {
	case errors.As(err, &list):
		l.Merge(list)
	case errors.As(err, &d):
		l.Add(d)
	default:
		l.Errorf(code, Range{}, "%s", err.Error())
	}
}

// Items gives the kept diagnostics in the list's order. The slice is the list's own.
func (l *List) Items() []*Diagnostic { return l.items }

// Len is the number of kept diagnostics of all severities.
func (l *List) Len() int { return len(l.items) }

// Errors is the number of errors, those over the limit included.
func (l *List) Errors() int { return l.errors }

// Warnings is the number of warnings, those over the limit included.
func (l *List) Warnings() int { return l.warnings }

// Dropped is how many diagnostics were over the limit.
func (l *List) Dropped() int { return l.dropped }

// Full says whether no further error would be kept: a stage may stop.
func (l *List) Full() bool {
	limit := l.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	return l.kept[0] >= limit
}

// HasErrors says whether there was at least one error.
func (l *List) HasErrors() bool { return l.errors > 0 }

// Err is nil when there is no error (there may be warnings), otherwise the list itself, sorted:
// errors.As finds the *List and the first *Diagnostic in it.
func (l *List) Err() error {
	if l == nil || !l.HasErrors() {
		return nil
	}
	l.Sort()
	return l
}

// Error gives the rendered list, without colour.
func (l *List) Error() string {
	var b strings.Builder
	_ = Render(&b, l, Options{})
	return strings.TrimSuffix(b.String(), "\n")
}

// Unwrap gives the diagnostics, errors first.
func (l *List) Unwrap() []error {
	var out []error
	for _, d := range l.items {
		if d.Severity == Error {
			out = append(out, d)
		}
	}
	for _, d := range l.items {
		if d.Severity != Error {
			out = append(out, d)
		}
	}
	return out
}

// Sort puts the diagnostics in source order: by the name of the source, then by offset; those without a text
// come last in the order they were added.
func (l *List) Sort() {
	sort.SliceStable(l.items, func(i, j int) bool {
		a, b := l.items[i].Range, l.items[j].Range
		switch {
		case !a.Valid() || !b.Valid():
			return a.Valid() && !b.Valid()
		case a.Source.Name != b.Source.Name:
			return a.Source.Name < b.Source.Name
		case a.Start != b.Start:
			return a.Start < b.Start
		}
		return l.items[i].Severity < l.items[j].Severity
	})
}

// Summary counts what the list holds, such as "2 errors, 1 warning"; "" when it is empty.
func (l *List) Summary() string {
	var parts []string
	count := func(n int, word string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+word)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, word))
		}
	}
	count(l.errors, "error")
	count(l.warnings, "warning")
	return strings.Join(parts, ", ")
}
