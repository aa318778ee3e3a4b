package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/frontend/onnx"
	"apogee/ir/op"
)

func init() {
	register(&command{
		name: "ops", args: "[OP…]", short: "Print the table of IR operations",
		long:    "Without arguments, one line an op; with names, everything about them.",
		example: "  apogee ops\n  apogee ops einsum attention\n  apogee ops --markdown > docs/ops.md\n  apogee ops --onnx Reshape Resize",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			md := f.Bool("markdown", false, "print the reference page, docs/ops.md")
			asJSON := f.Bool("json", false, "print JSON")
			foreign := f.Bool("onnx", false, "print the table of ONNX operators that are imported instead: the version from which a lowering holds, and what it does")
			return func(_ context.Context, a *app, args []string) error {
				if *foreign {
					return onnxOperators(a.out, args)
				}
				list := op.All()
				if len(args) > 0 {
					list = nil
					for _, n := range args {
						i := op.Lookup(n)
						if i == nil {
							return unknownName("op", n, op.Names())
						}
						list = append(list, i)
					}
				}
				switch {
				case *asJSON:
					return opsJSON(a.out, list)
				case *md:
					opsMarkdown(a.out, list)
				case len(args) > 0:
					for _, i := range list {
						opText(a.out, i)
					}
				default:
					w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
					for _, i := range list {
						fmt.Fprintf(w, "%s\t%s\t%s\n", i.Name, i.Class, firstSentence(i.Doc))
					}
					return w.Flush()
				}
				return nil
			}
		},
	})
}

// onnxOperators prints the importer's table, or the rows of some operators.
func onnxOperators(w io.Writer, names []string) error {
	rows := onnx.Operators()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	known := map[string]bool{}
	for _, r := range rows {
		known[r.Op] = true
	}
	for _, n := range names {
		if !known[n] {
			var all []string
			for _, r := range rows {
				all = append(all, r.Op)
			}
			return unknownName("ONNX operator", n, all)
		}
	}
	for _, r := range rows {
		if len(names) > 0 && !slices.Contains(names, r.Op) {
			continue
		}
		name := r.Op
		if r.Domain != "" {
			name = r.Domain + "." + name
		}
		fmt.Fprintf(t, "%s\t%d\t%s\n", name, r.Since, r.Doc)
	}
	return t.Flush()
}

func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		return s[:i+1]
	}
	return s
}

func opText(w io.Writer, i *op.Info) {
	fmt.Fprintf(w, "%s (%s)\n\n%s\n", i.Name, i.Class, i.Doc)
	if len(i.Operands) > 0 {
		fmt.Fprint(w, "\nOperands:\n")
		for _, o := range i.Operands {
			fmt.Fprintf(w, "  %-10s %s%s\n", o.Name, o.Doc, operandNote(o))
		}
	}
	if len(i.Attrs) > 0 {
		fmt.Fprint(w, "\nAttributes:\n")
		for _, s := range i.Attrs {
			fmt.Fprintf(w, "  %-10s %s: %s%s\n", s.Name, s.Kind, s.Doc, attrNote(s))
		}
	}
	if len(i.Results) > 0 {
		fmt.Fprintf(w, "\nResults: %s\n", strings.Join(i.Results, ", "))
	}
	fmt.Fprintf(w, "\nExample:\n  %s\n\n", i.Example)
}

func operandNote(o op.Operand) string {
	switch {
	case o.Variadic && o.Optional:
		return " (any number)"
	case o.Variadic:
		return " (one or more)"
	case o.Optional:
		return " (optional)"
	}
	return ""
}

func attrNote(s op.AttrSpec) string {
	n := ""
	if len(s.OneOf) > 0 {
		n += " (" + strings.Join(s.OneOf, ", ") + ")"
	}
	switch {
	case s.Required:
		n += " (required)"
	case s.Default != nil:
		n += fmt.Sprintf(" (default %v)", s.Default)
	}
	return n
}

func opsMarkdown(w io.Writer, list []*op.Info) {
	fmt.Fprint(w, `# Operations

Every op of the IR, at every level. This page is printed by `+"`apogee ops --markdown`"+` from the table in
`+"`ir/op`"+`, which also drives shape inference, the verifier, the reference evaluator and the documentation.

Shapes are written by symbol. Elementwise ops broadcast as NumPy does. The reference evaluator computes floats in
float64 and rounds each result once to its format; a chip's result must be within the bound that follows from its
own formats.

`)
	class := op.Class(255)
	for _, i := range list {
		if i.Class != class {
			class = i.Class
			fmt.Fprintf(w, "## %s%s\n\n", strings.ToUpper(class.String()[:1]), class.String()[1:])
		}
		fmt.Fprintf(w, "### %s\n\n%s\n\n", i.Name, i.Doc)
		for _, o := range i.Operands {
			fmt.Fprintf(w, "- operand `%s`: %s%s\n", o.Name, o.Doc, operandNote(o))
		}
		for _, s := range i.Attrs {
			fmt.Fprintf(w, "- attribute `%s`, %s: %s%s\n", s.Name, s.Kind, s.Doc, attrNote(s))
		}
		if len(i.Results) > 0 {
			fmt.Fprintf(w, "- gives `%s`\n", strings.Join(i.Results, "`, `"))
		}
		fmt.Fprintf(w, "\n    %s\n\n", i.Example)
	}
}

func opsJSON(w io.Writer, list []*op.Info) error {
	type attr struct {
		Name     string   `json:"name"`
		Kind     string   `json:"kind"`
		Required bool     `json:"required,omitempty"`
		OneOf    []string `json:"one_of,omitempty"`
		Doc      string   `json:"doc"`
	}
	type entry struct {
		Name     string   `json:"name"`
		Class    string   `json:"class"`
		Operands []string `json:"operands"`
		Attrs    []attr   `json:"attributes"`
		Results  []string `json:"results"`
		Doc      string   `json:"doc"`
		Example  string   `json:"example"`
	}
	var out []entry
	for _, i := range list {
		e := entry{Name: i.Name, Class: i.Class.String(), Operands: []string{}, Attrs: []attr{}, Results: append([]string{}, i.Results...), Doc: i.Doc, Example: i.Example}
		for _, o := range i.Operands {
			e.Operands = append(e.Operands, o.Name)
		}
		for _, s := range i.Attrs {
			e.Attrs = append(e.Attrs, attr{s.Name, s.Kind.String(), s.Required, s.OneOf, s.Doc})
		}
		out = append(out, e)
	}
	j := json.NewEncoder(w)
	j.SetIndent("", "  ")
	j.SetEscapeHTML(false)
	return j.Encode(out)
}
