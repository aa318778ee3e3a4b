package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"apogee/ir/diag"
	"apogee/passes"
)

func init() {
	register(&command{
		name: "passes", args: "[PASS…]", short: "List the passes, their order and the reasons for it",
		long:    "Without arguments, one line a pass and the pipeline that runs by default; with names, everything about them.",
		example: "  apogee passes\n  apogee passes fuse\n  apogee passes --rules\n  apogee compile m.mg --target nvidia-h100 --pipeline 'specialise,canonicalise,legalise,fuse{max=1}' -o m.plan",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			rules := f.Bool("rules", false, "list the rewrite rules of each pass as well")
			asJSON := f.Bool("json", false, "print JSON")
			return func(_ context.Context, a *app, args []string) error {
				list := passes.List()
				if len(args) > 0 {
					list = nil
					for _, n := range args {
						i := passes.Lookup(n)
						if i == nil {
							return unknownName("pass", n, passNames())
						}
						list = append(list, i)
					}
				}
				switch {
				case *asJSON:
					return passesJSON(a.out, list)
				case len(args) > 0:
					for i, p := range list {
						if i > 0 {
							fmt.Fprintln(a.out)
						}
						passText(a.out, p)
					}
					return nil
				}
				return listPasses(a.out, list, *rules)
			}
		},
	})
}

func passNames() []string {
	var out []string
	for _, p := range passes.List() {
		out = append(out, p.Name)
	}
	return out
}

func passesJSON(w io.Writer, list []*passes.Info) error {
	type rule struct {
		Name string `json:"name"`
		Doc  string `json:"doc"`
	}
	type option struct {
		Name    string `json:"name"`
		Default string `json:"default"`
		Doc     string `json:"doc"`
	}
	type pass struct {
		Name    string   `json:"name"`
		Doc     string   `json:"doc"`
		Chip    bool     `json:"asks_the_chip"`
		Options []option `json:"options"`
		Rules   []rule   `json:"rules"`
	}
	out := []pass{}
	for _, i := range list {
		p := pass{Name: i.Name, Doc: i.Doc, Chip: i.Chip, Options: []option{}, Rules: []rule{}}
		for _, o := range i.Options {
			p.Options = append(p.Options, option{o.Name, fmt.Sprint(o.Default), o.Doc})
		}
		for _, r := range i.Rules {
			p.Rules = append(p.Rules, rule{r.Name, r.Doc})
		}
		out = append(out, p)
	}
	j := json.NewEncoder(w)
	j.SetIndent("", "  ")
	j.SetEscapeHTML(false)
	return j.Encode(struct {
		Default string   `json:"default"`
		Passes  []pass   `json:"passes"`
		Order   []string `json:"order"`
	}{passes.Default(passes.MaxLevel), out, passes.Order()})
}

// passText prints everything about a pass.
func passText(w io.Writer, i *passes.Info) {
	fmt.Fprintln(w, wrap(i.Name+": "+i.Doc, 100))
	if i.Chip {
		fmt.Fprintln(w, "It asks the chip, so it needs a --target.")
	}
	for _, o := range i.Options {
		fmt.Fprintf(w, "\noption %s, default %v: %s\n", o.Name, o.Default, o.Doc)
	}
	if len(i.Rules) > 0 {
		fmt.Fprintln(w, "\nrules:")
		for _, r := range i.Rules {
			fmt.Fprintf(w, "  %s: %s\n", r.Name, r.Doc)
		}
	}
	for n, o := range ordersOf(i.Name) {
		if n == 0 {
			fmt.Fprintln(w, "\norder:")
		}
		fmt.Fprintf(w, "  %s\n", o)
	}
}

// ordersOf are the reasons for a pass's place.
func ordersOf(name string) []string {
	var out []string
	for _, o := range passes.Order() {
		before, _, _ := strings.Cut(o, ",")
		if slices.Contains(strings.Fields(before), name) {
			out = append(out, o)
		}
	}
	return out
}

func listPasses(out io.Writer, list []*passes.Info, rules bool) error {
	fmt.Fprintf(out, "default: %s\n\n", passes.Default(passes.MaxLevel))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s\n", i.Name, firstSentence(i.Doc))
		if rules {
			for _, r := range i.Rules {
				fmt.Fprintf(w, "  %s\t%s\n", r.Name, firstSentence(r.Doc))
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, o := range passes.Order() {
		fmt.Fprintln(out, o)
	}
	return nil
}

// wrap breaks text at blanks into lines of at most so many characters.
func wrap(text string, width int) string {
	var b strings.Builder
	n := 0
	for i, word := range strings.Fields(text) {
		l := utf8.RuneCountInString(word)
		switch {
		case i > 0 && n+1+l > width:
			b.WriteByte('\n')
			n = 0
		case i > 0:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += l
	}
	return b.String()
}

// unknownName says that there is no such thing, and what was probably meant.
func unknownName(what, name string, all []string) error {
	d := diag.Errorf("", diag.Range{}, "no %s is called %q", what, name).Suggest(name, all)
	d.Expected = "one of " + strings.Join(all, ", ")
	return d
}
