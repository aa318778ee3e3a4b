package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"apogee/passes"
)

func init() {
	register(&command{
		name: "passes", args: "", short: "List the passes, their order and the reasons for it",
		example: "  apogee passes\n  apogee passes --rules\n  apogee compile m.mg --target nvidia-h100 --pipeline 'specialise,canonicalise,legalise,fuse{max=1}' -o m.plan",
		setup: func(f *pflag.FlagSet) func(context.Context, *app, []string) error {
			rules := f.Bool("rules", false, "list the rewrite rules of each pass as well")
			asJSON := f.Bool("json", false, "print JSON")
			return func(_ context.Context, a *app, args []string) error {
				if len(args) > 0 {
					return usagef("passes takes no arguments")
				}
				return listPasses(a, *rules, *asJSON)
			}
		},
	})
}

func listPasses(a *app, rules, asJSON bool) error {
	if asJSON {
		type rule struct {
			Name string `json:"name"`
			Doc  string `json:"doc"`
		}
		type pass struct {
			Name  string `json:"name"`
			Doc   string `json:"doc"`
			Chip  bool   `json:"asks_the_chip"`
			Rules []rule `json:"rules"`
		}
		var out []pass
		for _, i := range passes.List() {
			p := pass{Name: i.Name, Doc: i.Doc, Chip: i.Chip, Rules: []rule{}}
			for _, r := range i.Rules {
				p.Rules = append(p.Rules, rule{r.Name, r.Doc})
			}
			out = append(out, p)
		}
		j := json.NewEncoder(a.out)
		j.SetIndent("", "  ")
		j.SetEscapeHTML(false)
		return j.Encode(map[string]any{"default": passes.Default(passes.MaxLevel), "passes": out})
	}
	fmt.Fprintf(a.out, "default: %s\n\n", passes.Default(passes.MaxLevel))
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, i := range passes.List() {
		fmt.Fprintf(w, "%s\t%s\n", i.Name, i.Doc)
		if rules {
			for _, r := range i.Rules {
				fmt.Fprintf(w, "  %s\t%s\n", r.Name, r.Doc)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	for _, o := range passes.Order() {
		fmt.Fprintln(a.out, o)
	}
	return nil
}
