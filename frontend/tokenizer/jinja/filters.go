package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keyOrder lists the indices of a dict's keys, sorted or as they were put in.
func (r *run) keyOrder(d *Dict, sorted bool) ([]int, error) {
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	if !sorted {
		return order, nil
	}
	return order, r.sortBy(order, func(i, j int) (int, error) { return r.compare(d.keys[i], d.keys[j], 0) })
}

// sortBy sorts stably with a comparison that may fail.
func (r *run) sortBy(order []int, cmp func(i, j int) (int, error)) error {
	var failed error
	slices.SortStableFunc(order, func(i, j int) int {
		if failed != nil {
			return 0
		}
		c, err := cmp(i, j)
		if err != nil {
			failed = err
		}
		return c
	})
	return failed
}

// filters by name, but for those that take other filters or tests along (see filter).
var filters map[string]func(r *run, v any, b *binder) (any, error)

func init() {
	filters = map[string]func(r *run, v any, b *binder) (any, error){
		"abs":        absFilter,
		"batch":      batchFilter,
		"capitalize": textFilter(capitalize),
		"count":      lengthFilter,
		"d":          defaultFilter,
		"default":    defaultFilter,
		"dictsort":   dictsortFilter,
		"e":          escapeFilter,
		"escape":     escapeFilter,
		"first":      func(r *run, v any, b *binder) (any, error) { return r.end(v, b, true) },
		"float":      floatFilter,
		"format":     func(r *run, v any, b *binder) (any, error) { return r.formatFilter(v, b) },
		"indent":     indentFilter,
		"int":        intFilter,
		"items":      itemsFilter,
		"join":       joinFilter,
		"last":       func(r *run, v any, b *binder) (any, error) { return r.end(v, b, false) },
		"length":     lengthFilter,
		"list":       listFilter,
		"lower":      textFilter(strings.ToLower),
		"max":        func(r *run, v any, b *binder) (any, error) { return r.extreme(v, b, 1) },
		"min":        func(r *run, v any, b *binder) (any, error) { return r.extreme(v, b, -1) },
		"replace":    replaceFilter,
		"reverse":    reverseFilter,
		"round":      roundFilter,
		"safe":       textFilter(func(s string) string { return s }),
		"sort":       sortFilter,
		"string":     textFilter(func(s string) string { return s }),
		"sum":        sumFilter,
		"title":      textFilter(func(s string) string { return title(s, true) }),
		"tojson":     tojsonFilter,
		"trim":       trimFilter,
		"unique":     uniqueFilter,
		"upper":      textFilter(strings.ToUpper),
		"wordcount":  wordcountFilter,
	}
}

// filter is v|name(args).
func (r *run) filter(name string, v any, args []any, kwargs *Dict) (any, error) {
	if err := r.touch(append(args[:len(args):len(args)], kwargs.values...)...); err != nil {
		return nil, err
	}
	switch name {
	case "length", "count", "default", "d":
		// They take no time, whatever they are given; a string is counted where it is looked at.
	default:
		if err := r.touch(v); err != nil {
			return nil, err
		}
	}
	switch name {
	case "map":
		return r.mapFilter(v, args, kwargs)
	case "select", "reject", "selectattr", "rejectattr":
		return r.selectFilter(name, v, args, kwargs)
	}
	f, ok := filters[name]
	if !ok {
		return nil, fmt.Errorf("there is no filter %q", name)
	}
	b := bindArgs("the filter "+strconv.Quote(name), args, kwargs)
	out, err := f(r, v, b)
	if err != nil {
		return nil, err
	}
	return out, b.done()
}

// textFilter makes a filter of a function on text, whose result is of about the same length.
func textFilter(f func(string) string) func(*run, any, *binder) (any, error) {
	return func(r *run, v any, b *binder) (any, error) {
		s, err := r.toText(v)
		if err != nil {
			return nil, err
		}
		return r.str(f(s))
	}
}

func lengthFilter(r *run, v any, b *binder) (any, error) {
	switch v := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), r.stepsFor(len(v) / 64)
	case list:
		return int64(len(v)), nil
	case tuple:
		return int64(len(v)), nil
	case *Dict:
		return int64(v.Len()), nil
	case undefined:
		return int64(0), nil
	}
	return nil, fmt.Errorf("%s has no length", typeName(v))
}

func defaultFilter(r *run, v any, b *binder) (any, error) {
	fallback, falsy := b.any("default_value", ""), b.truth("boolean", false)
	if _, none := v.(undefined); none || falsy && !truth(v) {
		return fallback, nil
	}
	return v, nil
}

func trimFilter(r *run, v any, b *binder) (any, error) {
	s, err := r.toText(v)
	if err != nil {
		return nil, err
	}
	return r.str(strip(s, b, "chars", true, true))
}

// strip cuts characters, or white space, from the ends.
func strip(s string, b *binder, param string, left, right bool) string {
	cut := isSpace
	if chars, given := b.optStr(param); given {
		members := map[rune]bool{}
		for _, c := range chars {
			members[c] = true
		}
		cut = func(c rune) bool { return members[c] }
	}
	if left {
		s = strings.TrimLeftFunc(s, cut)
	}
	if right {
		s = strings.TrimRightFunc(s, cut)
	}
	return s
}

func joinFilter(r *run, v any, b *binder) (any, error) {
	sep, err := r.toText(b.any("d", ""))
	if err != nil {
		return nil, err
	}
	by := b.any("attribute", nil)
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for i, x := range items {
		if by != nil {
			if x, err = r.attrPath(x, by); err != nil {
				return nil, err
			}
		}
		s, err := r.toText(x)
		if err != nil {
			return nil, err
		}
		if err := r.mayBuild(out.Len() + len(s) + len(sep)); err != nil {
			return nil, err
		}
		if i > 0 {
			out.WriteString(sep)
		}
		out.WriteString(s)
	}
	return r.str(out.String())
}

// attrPath is what filters with an attribute take: "a.b.0" or an index.
func (r *run) attrPath(v, path any) (any, error) {
	name, ok := path.(string)
	if !ok {
		return r.index(v, path)
	}
	for _, part := range strings.Split(name, ".") {
		var key any = part
		if i, err := strconv.ParseInt(part, 10, 64); err == nil {
			key = i
		}
		var err error
		if v, err = r.index(v, key); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func replaceFilter(r *run, v any, b *binder) (any, error) {
	s, err := r.toText(v)
	if err != nil {
		return nil, err
	}
	old, replacement := b.str("old"), b.str("new")
	n := int64(-1)
	if c := b.any("count", nil); c != nil {
		i, _, isInt, _ := number(c)
		if !isInt {
			b.bad("count", "an integer", c)
		}
		n = i
	}
	if b.err != nil {
		return nil, b.err
	}
	return r.replace(s, old, replacement, n)
}

// replace is Python's str.replace; a negative n means all.
func (r *run) replace(s, old, replacement string, n int64) (any, error) {
	found := int64(strings.Count(s, old))
	if n >= 0 {
		found = min(found, n)
	}
	if len(replacement) > 0 && found > int64((r.memory-min(len(s), r.memory))/len(replacement)) {
		return nil, errMemory
	}
	return r.str(strings.Replace(s, old, replacement, int(found)))
}

func reverseFilter(r *run, v any, b *binder) (any, error) {
	if s, ok := v.(string); ok {
		runes := []rune(s)
		slices.Reverse(runes)
		return r.str(string(runes))
	}
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(items)
	slices.Reverse(out)
	return r.seq(out)
}

func listFilter(r *run, v any, b *binder) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	return r.seq(slices.Clone(items))
}

func itemsFilter(r *run, v any, b *binder) (any, error) {
	switch v := v.(type) {
	case undefined:
		return list{}, nil
	case *Dict:
		return v.items(), r.built(4 * valueSize * v.Len())
	}
	return nil, errors.New("the filter \"items\" needs a dict")
}

func dictsortFilter(r *run, v any, b *binder) (any, error) {
	d, ok := v.(*Dict)
	if !ok {
		return nil, errors.New("the filter \"dictsort\" needs a dict")
	}
	sensitive, by, reverse := b.truth("case_sensitive", false), b.any("by", "key"), b.truth("reverse", false)
	from := d.keys
	switch by {
	case "key":
	case "value":
		from = d.values
	default:
		return nil, errors.New(`dictsort sorts by "key" or "value"`)
	}
	order, err := r.keyOrder(d, false)
	if err != nil {
		return nil, err
	}
	if err := r.sortBy(order, r.folded(from, sensitive, reverse)); err != nil {
		return nil, err
	}
	out := make(list, len(order))
	for n, i := range order {
		out[n] = tuple{d.keys[i], d.values[i]}
	}
	return out, r.built(4 * valueSize * len(out))
}

// folded compares the elements of a list, strings without regard to case unless it matters.
func (r *run) folded(vs []any, sensitive, reverse bool) func(i, j int) (int, error) {
	key := func(v any) any {
		if s, ok := v.(string); ok && !sensitive {
			return strings.ToLower(s)
		}
		return v
	}
	return func(i, j int) (int, error) {
		c, err := r.compare(key(vs[i]), key(vs[j]), 0)
		if reverse {
			c = -c
		}
		return c, err
	}
}

func sortFilter(r *run, v any, b *binder) (any, error) {
	reverse, sensitive, by := b.truth("reverse", false), b.truth("case_sensitive", false), b.any("attribute", nil)
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.keysBy(items, by)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	if err := r.sortBy(order, r.folded(keys, sensitive, reverse)); err != nil {
		return nil, err
	}
	out := make(list, len(items))
	for n, i := range order {
		out[n] = items[i]
	}
	return r.seq(out)
}

// keysBy returns the attribute of each item, or the items themselves.
func (r *run) keysBy(items []any, by any) ([]any, error) {
	if by == nil {
		return items, nil
	}
	keys := make([]any, len(items))
	for i, x := range items {
		var err error
		if keys[i], err = r.attrPath(x, by); err != nil {
			return nil, err
		}
	}
	return keys, r.built(valueSize * len(keys))
}

func uniqueFilter(r *run, v any, b *binder) (any, error) {
	sensitive, by := b.truth("case_sensitive", false), b.any("attribute", nil)
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.keysBy(items, by)
	if err != nil {
		return nil, err
	}
	seen := map[any]bool{}
	var out list
	for i, k := range keys {
		if s, ok := k.(string); ok && !sensitive {
			k = strings.ToLower(s)
		}
		id, ok := keyOf(k)
		if !ok {
			return nil, fmt.Errorf("unique does not work on %s", typeName(k))
		}
		if !seen[id] {
			seen[id] = true
			out = append(out, items[i])
		}
	}
	return r.seq(out)
}

func (r *run) extreme(v any, b *binder, want int) (any, error) {
	sensitive, by := b.truth("case_sensitive", false), b.any("attribute", nil)
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"the list is empty"}, nil
	}
	keys, err := r.keysBy(items, by)
	if err != nil {
		return nil, err
	}
	cmp := r.folded(keys, sensitive, false)
	best := 0
	for i := range keys {
		c, err := cmp(i, best)
		if err != nil {
			return nil, err
		}
		if c == want {
			best = i
		}
	}
	return items[best], nil
}

func sumFilter(r *run, v any, b *binder) (any, error) {
	by, total := b.any("attribute", nil), b.any("start", int64(0))
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.keysBy(items, by)
	if err != nil {
		return nil, err
	}
	for _, x := range keys {
		if err := r.step(); err != nil {
			return nil, err
		}
		if total, err = r.arithmetic("+", total, x); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func (r *run) end(v any, b *binder, first bool) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	switch {
	case len(items) == 0:
		return undefined{"the list is empty"}, nil
	case first:
		return items[0], nil
	}
	return items[len(items)-1], nil
}

func batchFilter(r *run, v any, b *binder) (any, error) {
	n, fill := b.integer("linecount", 0), b.any("fill_with", nil)
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, errors.New("batch needs a positive number")
	}
	var out list
	for len(items) > 0 {
		k := min(int64(len(items)), n)
		row := list(slices.Clone(items[:k]))
		items = items[k:]
		if fill != nil && k < n {
			if err := r.mayBuild(valueSize * int(min(n, 1<<40))); err != nil {
				return nil, err
			}
			for int64(len(row)) < n {
				row = append(row, fill)
			}
		}
		if _, err := r.seq(row); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return r.seq(out)
}

func wordcountFilter(r *run, v any, b *binder) (any, error) {
	s, err := r.toText(v)
	if err != nil {
		return nil, err
	}
	n := int64(len(strings.FieldsFunc(s, func(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsNumber(c) })))
	return n, r.built(len(s))
}

func escapeFilter(r *run, v any, b *binder) (any, error) {
	s, err := r.toText(v)
	if err != nil {
		return nil, err
	}
	if err := r.mayBuild(5 * len(s)); err != nil {
		return nil, err
	}
	return r.str(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s))
}

func indentFilter(r *run, v any, b *binder) (any, error) {
	s, err := r.toText(v)
	if err != nil {
		return nil, err
	}
	width, first, blank := b.any("width", int64(4)), b.truth("first", false), b.truth("blank", false)
	pad, isText := width.(string)
	if n, _, isInt, _ := number(width); isInt {
		if err := r.mayBuild(int(min(max(n, 0), 1<<40))); err != nil {
			return nil, err
		}
		pad = strings.Repeat(" ", int(max(n, 0)))
	} else if !isText {
		return nil, errors.New("indent needs a number or a string")
	}
	lines := strings.Split(s+"\n", "\n")
	lines = lines[:len(lines)-1]
	if err := r.mayBuild(len(s) + len(lines)*(len(pad)+valueSize)); err != nil {
		return nil, err
	}
	var out strings.Builder
	for i, line := range lines {
		if i > 0 {
			out.WriteByte('\n')
		}
		if (i > 0 || first) && (blank || line != "") {
			out.WriteString(pad)
		}
		out.WriteString(line)
	}
	return r.str(out.String())
}

func tojsonFilter(r *run, v any, b *binder) (any, error) {
	ascii := b.truth("ensure_ascii", false)
	indent := b.any("indent", nil)
	b.any("separators", nil)
	sortKeys := b.truth("sort_keys", false)
	n := int64(-1)
	if indent != nil {
		i, _, isInt, _ := number(indent)
		if !isInt {
			return nil, errors.New("tojson: indent must be an integer")
		}
		n = max(i, 0)
	}
	s, err := r.toJSON(v, int(min(n, 64)), ascii, sortKeys)
	return s, err
}

// formatFilter is printf-style: "%s: %d"|format(a, b).
func (r *run) formatFilter(v any, b *binder) (any, error) {
	f, err := r.toText(v)
	if err != nil {
		return nil, err
	}
	args := tuple(b.args[b.next:])
	b.next = len(b.args)
	return r.percent(f, args)
}

// mapFilter is map(attribute=…, default=…) or map("filter", …).
func (r *run) mapFilter(v any, args []any, kwargs *Dict) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	out := make(list, len(items))
	if by, ok := kwargs.get("attribute"); ok {
		fallback, hasFallback := kwargs.get("default")
		for i, x := range items {
			if err := r.step(); err != nil {
				return nil, err
			}
			if out[i], err = r.attrPath(x, by); err != nil {
				return nil, err
			}
			if _, none := out[i].(undefined); none && hasFallback {
				out[i] = fallback
			}
		}
		return r.seq(out)
	}
	if len(args) == 0 {
		return nil, errors.New("map needs a filter or an attribute")
	}
	name, ok := args[0].(string)
	if !ok {
		return nil, errors.New("map needs the name of a filter")
	}
	for i, x := range items {
		if err := r.step(); err != nil {
			return nil, err
		}
		if out[i], err = r.nested(name, x, args[1:], kwargs); err != nil {
			return nil, err
		}
	}
	return r.seq(out)
}

// nested applies a filter from within a filter.
func (r *run) nested(name string, v any, args []any, kwargs *Dict) (any, error) {
	leave, err := r.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return r.filter(name, v, args, kwargs)
}

// selectFilter is select, reject, selectattr and rejectattr, with a test or plain truth.
func (r *run) selectFilter(name string, v any, args []any, kwargs *Dict) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	keys := items
	if strings.HasSuffix(name, "attr") {
		if len(args) == 0 {
			return nil, fmt.Errorf("%s needs an attribute", name)
		}
		if keys, err = r.keysBy(items, args[0]); err != nil {
			return nil, err
		}
		args = args[1:]
	}
	test := ""
	if len(args) > 0 {
		var ok bool
		if test, ok = args[0].(string); !ok {
			return nil, fmt.Errorf("%s needs the name of a test", name)
		}
		args = args[1:]
	}
	keep := strings.HasPrefix(name, "select")
	var out list
	for i, k := range keys {
		if err := r.step(); err != nil {
			return nil, err
		}
		ok := truth(k)
		if test != "" {
			if ok, err = r.test(test, k, args, kwargs); err != nil {
				return nil, err
			}
		}
		if ok == keep {
			out = append(out, items[i])
		}
	}
	return r.seq(out)
}
