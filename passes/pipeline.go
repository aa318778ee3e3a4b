package passes

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"apogee/ir/diag"
)

// step is one pass of a pipeline with its options.
type step struct {
	info   *Info
	values map[string]string
	rng    diag.Range
}

// parsePipeline reads a pipeline: names of passes separated by commas, each with options in braces if it has some. It reports
// all mistakes, each at its place in the text.
func parsePipeline(text string) ([]step, *diag.List) {
	src := diag.NewSource("<pipeline>", []byte(text))
	list := &diag.List{}
	var steps []step
	at := 0
	space := func() {
		for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
		}
	}
	word := func(more string) string {
		from := at
		for at < len(text) && (text[at] >= 'a' && text[at] <= 'z' || text[at] >= 'A' && text[at] <= 'Z' || text[at] >= '0' && text[at] <= '9' ||
			text[at] == '_' || text[at] == '-' || strings.IndexByte(more, text[at]) >= 0) {
			at++
		}
		return text[from:at]
	}
	here := func() string {
		if at >= len(text) {
			return "the end"
		}
		return strconv.Quote(text[at : at+1])
	}
	expect := func(what string) {
		list.Errorf(CodePipeline, src.Range(at, min(at+1, len(text))), "a pipeline is pass,pass{option=value},…").Expect(what, here())
	}
	space()
	if at == len(text) {
		return nil, list
	}
	for {
		space()
		from := at
		name := word("")
		if name == "" {
			expect("the name of a pass")
			return nil, list
		}
		s := step{values: map[string]string{}, rng: src.Range(from, at)}
		for _, i := range table {
			if i.Name == name {
				s.info = i
			}
		}
		if s.info == nil {
			list.Errorf(CodePass, s.rng, "no pass is called %q", name).Suggest(name, passNames())
		}
		space()
		if at < len(text) && text[at] == '{' {
			at++
			for {
				space()
				if at < len(text) && text[at] == '}' {
					at++
					break
				}
				kfrom := at
				key := word("")
				kto := at
				space()
				if key == "" || at >= len(text) || text[at] != '=' {
					expect("option=value or }")
					return nil, list
				}
				at++
				space()
				vfrom := at
				value := word(".+")
				if value == "" {
					expect("a value")
					return nil, list
				}
				if s.info != nil {
					checkOption(&s, key, value, src.Range(kfrom, kto), src.Range(vfrom, at), list)
				}
				space()
				if at < len(text) && text[at] == ',' {
					at++
				} else if at >= len(text) || text[at] != '}' {
					expect("a comma or }")
					return nil, list
				}
			}
		}
		steps = append(steps, s)
		space()
		if at == len(text) {
			return steps, list
		}
		if text[at] != ',' {
			expect("a comma")
			return nil, list
		}
		at++
	}
}

func passNames() []string {
	var out []string
	for _, i := range table {
		out = append(out, i.Name)
	}
	return out
}

func checkOption(s *step, key, value string, krng, vrng diag.Range, list *diag.List) {
	var names []string
	for _, o := range s.info.Options {
		names = append(names, o.Name)
		if o.Name != key {
			continue
		}
		if _, twice := s.values[key]; twice {
			list.Errorf(CodeOption, krng, "option %s of %s is given twice", key, s.info.Name)
		}
		if n, err := strconv.ParseInt(value, 10, 64); o.Number && (err != nil || n < 0) {
			list.Errorf(CodeOption, vrng, "option %s of %s takes a number", key, s.info.Name).Expect("a number of at least 0", value)
		}
		s.values[key] = value
		return
	}
	d := list.Errorf(CodeOption, krng, "pass %s has no option %q", s.info.Name, key)
	if len(names) == 0 {
		d.Helpf("it takes none")
	} else {
		d.Suggest(key, names).Helpf("it has %s", strings.Join(names, ", "))
	}
}

// String prints the step as pipelines have it.
func (s step) String() string {
	if len(s.values) == 0 {
		return s.info.Name
	}
	keys := make([]string, 0, len(s.values))
	for k := range s.values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for i, k := range keys {
		keys[i] = k + "=" + s.values[k]
	}
	return fmt.Sprintf("%s{%s}", s.info.Name, strings.Join(keys, ","))
}

// Format returns the canonical text of a pipeline, or its errors.
func Format(pipeline string) (string, error) {
	initTable()
	steps, list := parsePipeline(pipeline)
	if err := list.Err(); err != nil {
		return "", err
	}
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = s.String()
	}
	return strings.Join(out, ","), nil
}
