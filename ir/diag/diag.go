package diag

import "fmt"

// Severity says how bad a diagnostic is.
type Severity uint8

const (
	// Error means that the result cannot be used.
	Error Severity = iota
	// Warning means that the result is usable but probably not what was meant.
	Warning
	// Info is a remark.
	Info
)

// String gives the word as it is printed: error, warning or note.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "note"
}

// Note is a second place, or a further sentence, that explains a diagnostic.
type Note struct {
	// Range is the place, or the zero value.
	Range Range
	// Message is one sentence.
	Message string
}

// Diagnostic is one finding: where, what is wrong, what was expected, what was found, what to do.
type Diagnostic struct {
	Severity Severity
	// Code names the kind of mistake, such as "CHIP003"; see [Register]. May be empty.
	Code string
	// Range is the place in the user's text; the zero value when there is no text.
	Range Range
	// Where names the op, tensor or layer, such as "prefill/layer.3/attn/%12", when there is no text or in
	// addition to it. May be empty.
	Where string
	// Message is one sentence without a full stop.
	Message string
	// Expected and Found spell out the two sides of a mismatch; either may be empty.
	Expected, Found string
	// Notes are further places and sentences, in the order to be shown.
	Notes []Note
	// Suggestion is what was probably meant, as text to put in place of the range: a bare name, as
	// [DidYouMean] returns it. It is shown as: help: did you mean "…"?
	Suggestion string
	// Help is a sentence that says what to do, shown as: help: …
	Help string
}

// Expect sets what was expected and what was found, and returns d.
func (d *Diagnostic) Expect(expected, found string) *Diagnostic {
	d.Expected, d.Found = expected, found
	return d
}

// At sets Where and returns d.
func (d *Diagnostic) At(where string) *Diagnostic {
	d.Where = where
	return d
}

// Note adds a note and returns d. The range may be the zero value.
func (d *Diagnostic) Note(rng Range, format string, args ...any) *Diagnostic {
	d.Notes = append(d.Notes, Note{Range: rng, Message: sprintf(format, args)})
	return d
}

// Suggest sets the suggestion to the candidate most like name, if there is one, and returns d.
func (d *Diagnostic) Suggest(name string, candidates []string) *Diagnostic {
	d.Suggestion = DidYouMean(name, candidates)
	return d
}

// Helpf sets the help sentence and returns d.
func (d *Diagnostic) Helpf(format string, args ...any) *Diagnostic {
	d.Help = sprintf(format, args)
	return d
}

// Error gives the rendered text, without colour and without a final newline.
func (d *Diagnostic) Error() string {
	return string(trimNewline(appendDiagnostic(nil, d, Options{})))
}

// Errorf makes an error that is not yet in a list. Like [fmt.Sprintf], but a format without arguments is
// taken as it is.
func Errorf(code string, rng Range, format string, args ...any) *Diagnostic {
	return &Diagnostic{Severity: Error, Code: code, Range: rng, Message: sprintf(format, args)}
}

func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

func trimNewline(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}
