package diag

import (
	"encoding/json"
	"io"
)

type jsonPlace struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
}

type jsonNote struct {
	Place   *jsonPlace `json:"place,omitempty"`
	Message string     `json:"message"`
}

type jsonDiagnostic struct {
	Severity   string     `json:"severity"`
	Code       string     `json:"code,omitempty"`
	Place      *jsonPlace `json:"place,omitempty"`
	Where      string     `json:"where,omitempty"`
	Message    string     `json:"message"`
	Expected   string     `json:"expected,omitempty"`
	Found      string     `json:"found,omitempty"`
	Notes      []jsonNote `json:"notes,omitempty"`
	Suggestion string     `json:"suggestion,omitempty"`
	Help       string     `json:"help,omitempty"`
}

type jsonList struct {
	Diagnostics []jsonDiagnostic `json:"diagnostics"`
	Errors      int              `json:"errors"`
	Warnings    int              `json:"warnings"`
	Dropped     int              `json:"dropped,omitempty"`
}

// RenderJSON writes a list as one JSON object: {"diagnostics": […], "errors": n, "warnings": n}. Lines and
// columns count from 1 as in [Source.Position]; invalid UTF-8 becomes U+FFFD. The error is the writer's.
func RenderJSON(w io.Writer, l *List) error {
	out := jsonList{Diagnostics: []jsonDiagnostic{}}
	if l != nil {
		out.Errors, out.Warnings, out.Dropped = l.errors, l.warnings, l.dropped
		for _, d := range l.items {
			j := jsonDiagnostic{
				Severity: d.Severity.String(), Code: d.Code, Place: jsonPlaceOf(d.Range), Where: d.Where,
				Message: d.Message, Expected: d.Expected, Found: d.Found, Suggestion: d.Suggestion, Help: d.Help,
			}
			for _, n := range d.Notes {
				j.Notes = append(j.Notes, jsonNote{jsonPlaceOf(n.Range), n.Message})
			}
			out.Diagnostics = append(out.Diagnostics, j)
		}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func jsonPlaceOf(r Range) *jsonPlace {
	if !r.Valid() {
		return nil
	}
	p := &jsonPlace{File: r.Source.Name}
	p.Line, p.Column = r.Source.Position(r.Start)
	p.EndLine, p.EndColumn = r.Source.Position(max(r.Start, r.End))
	return p
}
