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

// Methods of Python's types, by name. Those that change their object do not exist: the sandbox forbids them.
var (
	stringMethods map[string]func(r *run, s string, b *binder) (any, error)
	dictMethods   map[string]func(r *run, d *Dict, b *binder) (any, error)
	listMethods   map[string]func(r *run, l []any, b *binder) (any, error)
)

// method returns the bound method of that name, or nil.
func method(v any, name string) *function {
	// Whatever a method does takes no longer than its object and arguments, together, are long.
	call := func(f func(r *run, b *binder) (any, error)) *function {
		return &function{name, func(r *run, args []any, kwargs *Dict) (any, error) {
			if err := r.touch(append(append(args[:len(args):len(args)], kwargs.values...), v)...); err != nil {
				return nil, err
			}
			b := bindArgs(name, args, kwargs)
			out, err := f(r, b)
			if b.err != nil {
				return nil, b.err
			}
			if err != nil {
				return nil, err
			}
			return out, b.done()
		}}
	}
	switch v := v.(type) {
	case string:
		if m, ok := stringMethods[name]; ok {
			return call(func(r *run, b *binder) (any, error) { return m(r, v, b) })
		}
	case *Dict:
		if m, ok := dictMethods[name]; ok {
			return call(func(r *run, b *binder) (any, error) { return m(r, v, b) })
		}
	case list, tuple:
		items, _ := sequence(v)
		if m, ok := listMethods[name]; ok {
			return call(func(r *run, b *binder) (any, error) { return m(r, items, b) })
		}
	}
	return nil
}

type stringMethod = func(r *run, s string, b *binder) (any, error)

// textMethod makes a method of a function whose result is about as long as its text.
func textMethod(f func(string) string) stringMethod {
	return func(r *run, s string, b *binder) (any, error) { return r.str(f(s)) }
}

// allMethod asks whether a string is not empty and all its characters are of a kind.
func allMethod(is func(rune) bool) stringMethod {
	return func(r *run, s string, b *binder) (any, error) {
		return s != "" && strings.IndexFunc(s, func(c rune) bool { return !is(c) }) < 0, nil
	}
}

func init() {
	stringMethods = map[string]stringMethod{
		"capitalize": textMethod(capitalize),
		"casefold":   textMethod(strings.ToLower),
		"lower":      textMethod(strings.ToLower),
		"title":      textMethod(func(s string) string { return title(s, false) }),
		"upper":      textMethod(strings.ToUpper),
		"isalnum":    allMethod(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"isalpha":    allMethod(unicode.IsLetter),
		"isdecimal":  allMethod(func(c rune) bool { return unicode.Is(unicode.Nd, c) }),
		"isdigit":    allMethod(unicode.IsDigit),
		"isnumeric":  allMethod(unicode.IsNumber),
		"isspace":    allMethod(isSpace),
		"islower":    func(r *run, s string, b *binder) (any, error) { return caseIs(s, false), nil },
		"isupper":    func(r *run, s string, b *binder) (any, error) { return caseIs(s, true), nil },
		"strip":      func(r *run, s string, b *binder) (any, error) { return r.str(strip(s, b, "chars", true, true)) },
		"lstrip":     func(r *run, s string, b *binder) (any, error) { return r.str(strip(s, b, "chars", true, false)) },
		"rstrip":     func(r *run, s string, b *binder) (any, error) { return r.str(strip(s, b, "chars", false, true)) },
		"startswith": func(r *run, s string, b *binder) (any, error) { return affix(s, b, strings.HasPrefix) },
		"endswith":   func(r *run, s string, b *binder) (any, error) { return affix(s, b, strings.HasSuffix) },
		"removeprefix": func(r *run, s string, b *binder) (any, error) {
			return strings.TrimPrefix(s, b.str("prefix")), nil
		},
		"removesuffix": func(r *run, s string, b *binder) (any, error) {
			return strings.TrimSuffix(s, b.str("suffix")), nil
		},
		"count": func(r *run, s string, b *binder) (any, error) { return int64(strings.Count(s, b.str("sub"))), nil },
		"find": func(r *run, s string, b *binder) (any, error) {
			return runeIndex(s, strings.Index(s, b.str("sub"))), nil
		},
		"rfind": func(r *run, s string, b *binder) (any, error) {
			return runeIndex(s, strings.LastIndex(s, b.str("sub"))), nil
		},
		"index": func(r *run, s string, b *binder) (any, error) {
			i := strings.Index(s, b.str("sub"))
			if i < 0 {
				return nil, errors.New("index: the text does not occur")
			}
			return runeIndex(s, i), nil
		},
		"replace": func(r *run, s string, b *binder) (any, error) {
			old, replacement, n := b.str("old"), b.str("new"), b.integer("count", -1)
			if b.err != nil {
				return nil, b.err
			}
			return r.replace(s, old, replacement, n)
		},
		"split":      func(r *run, s string, b *binder) (any, error) { return r.split(s, b, false) },
		"rsplit":     func(r *run, s string, b *binder) (any, error) { return r.split(s, b, true) },
		"splitlines": splitLines,
		"partition": func(r *run, s string, b *binder) (any, error) {
			sep := b.str("sep")
			if i := strings.Index(s, sep); i >= 0 && sep != "" {
				return tuple{s[:i], sep, s[i+len(sep):]}, nil
			}
			return tuple{s, "", ""}, nil
		},
		"rpartition": func(r *run, s string, b *binder) (any, error) {
			sep := b.str("sep")
			if i := strings.LastIndex(s, sep); i >= 0 && sep != "" {
				return tuple{s[:i], sep, s[i+len(sep):]}, nil
			}
			return tuple{"", "", s}, nil
		},
		"join": func(r *run, s string, b *binder) (any, error) {
			items, err := r.iterate(b.any("iterable", required{}))
			if err != nil {
				return nil, err
			}
			size := 0
			texts := make([]string, len(items))
			for i, x := range items {
				t, ok := x.(string)
				if !ok {
					return nil, fmt.Errorf("join: expected strings, found %s", typeName(x))
				}
				texts[i] = t
				if size += len(t) + len(s); size > r.memory {
					return nil, errMemory
				}
			}
			return r.str(strings.Join(texts, s))
		},
		"format": func(r *run, s string, b *binder) (any, error) { return r.braces(s, b) },
		"ljust":  func(r *run, s string, b *binder) (any, error) { return r.justify(s, b, 0, 1) },
		"rjust":  func(r *run, s string, b *binder) (any, error) { return r.justify(s, b, 1, 0) },
		"center": func(r *run, s string, b *binder) (any, error) { return r.justify(s, b, 1, 1) },
		"zfill": func(r *run, s string, b *binder) (any, error) {
			n := b.integer("width", 0) - int64(utf8.RuneCountInString(s))
			if n <= 0 {
				return s, nil
			}
			zeros, err := r.repeat("0", n)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
				return r.str(s[:1] + zeros.(string) + s[1:])
			}
			return r.str(zeros.(string) + s)
		},
	}
	dictMethods = map[string]func(r *run, d *Dict, b *binder) (any, error){
		"items":  func(r *run, d *Dict, b *binder) (any, error) { return d.items(), r.built(4 * valueSize * d.Len()) },
		"keys":   func(r *run, d *Dict, b *binder) (any, error) { return r.seq(slices.Clone(d.keys)) },
		"values": func(r *run, d *Dict, b *binder) (any, error) { return r.seq(slices.Clone(d.values)) },
		"get": func(r *run, d *Dict, b *binder) (any, error) {
			key, fallback := b.any("key", required{}), b.any("default", nil)
			if v, ok := d.get(key); ok {
				return v, nil
			}
			return fallback, nil
		},
		"copy": func(r *run, d *Dict, b *binder) (any, error) { return dictFn(r, []any{d}, NewDict()) },
	}
	listMethods = map[string]func(r *run, l []any, b *binder) (any, error){
		"count": func(r *run, l []any, b *binder) (any, error) {
			x, n := b.any("value", required{}), int64(0)
			for _, y := range l {
				same, err := r.equal(x, y, 0)
				if err != nil {
					return nil, err
				}
				if same {
					n++
				}
			}
			return n, nil
		},
		"index": func(r *run, l []any, b *binder) (any, error) {
			x := b.any("value", required{})
			for i, y := range l {
				same, err := r.equal(x, y, 0)
				if err != nil {
					return nil, err
				}
				if same {
					return int64(i), nil
				}
			}
			return nil, errors.New("index: the value is not in the list")
		},
		"copy": func(r *run, l []any, b *binder) (any, error) { return r.seq(slices.Clone(l)) },
	}
}

// runeIndex turns an offset in bytes into one in characters; -1 stays.
func runeIndex(s string, i int) int64 {
	if i < 0 {
		return -1
	}
	return int64(utf8.RuneCountInString(s[:i]))
}

// affix is startswith and endswith: one text, or a tuple of them.
func affix(s string, b *binder, has func(s, t string) bool) (any, error) {
	v := b.any("prefix", required{})
	if t, ok := v.(tuple); ok {
		for _, x := range t {
			if p, ok := x.(string); ok && has(s, p) {
				return true, nil
			}
		}
		return false, nil
	}
	p, ok := v.(string)
	if !ok {
		b.bad("prefix", "a string or a tuple of strings", v)
		return nil, b.err
	}
	return has(s, p), nil
}

// split is Python's str.split and str.rsplit.
func (r *run) split(s string, b *binder, fromRight bool) (any, error) {
	sep, given := b.optStr("sep")
	n := b.integer("maxsplit", -1)
	if b.err != nil {
		return nil, b.err
	}
	if given && sep == "" {
		return nil, errors.New("split: the separator is empty")
	}
	pieces := 1 + len(s)
	if given {
		pieces = 1 + strings.Count(s, sep)
	}
	if err := r.mayBuild(valueSize * pieces); err != nil {
		return nil, err
	}
	var parts []string
	switch {
	case !given:
		parts = splitSpace(s, n, fromRight)
	case n < 0:
		parts = strings.Split(s, sep)
	case !fromRight:
		parts = strings.SplitN(s, sep, int(min(n+1, int64(pieces))))
	default:
		for n > 0 {
			i := strings.LastIndex(s, sep)
			if i < 0 {
				break
			}
			parts = append(parts, s[i+len(sep):])
			s = s[:i]
			n--
		}
		parts = append(parts, s)
		slices.Reverse(parts)
	}
	return r.seq(texts(parts))
}

func texts(parts []string) list {
	out := make(list, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out
}

// splitSpace splits at runs of white space, at most n times unless n is negative.
func splitSpace(s string, n int64, fromRight bool) []string {
	var parts []string
	if !fromRight {
		for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
			i := strings.IndexFunc(s, isSpace)
			if i < 0 || n == 0 {
				return append(parts, s)
			}
			parts = append(parts, s[:i])
			s = s[i:]
			n--
		}
		return parts
	}
	for s = strings.TrimRightFunc(s, isSpace); s != ""; s = strings.TrimRightFunc(s, isSpace) {
		i := strings.LastIndexFunc(s, isSpace)
		if i < 0 || n == 0 {
			parts = append(parts, s)
			break
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		parts = append(parts, s[i+w:])
		s = s[:i]
		n--
	}
	slices.Reverse(parts)
	return parts
}

// splitLines is Python's str.splitlines.
func splitLines(r *run, s string, b *binder) (any, error) {
	keep := b.truth("keepends", false)
	if err := r.mayBuild(valueSize * len(s)); err != nil {
		return nil, err
	}
	var parts []string
	for s != "" {
		i := strings.IndexFunc(s, func(c rune) bool {
			return c >= '\n' && c <= '\r' || c >= 0x1C && c <= 0x1E || c == 0x85 || c == 0x2028 || c == 0x2029
		})
		if i < 0 {
			parts = append(parts, s)
			break
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			w = 2
		}
		if keep {
			parts = append(parts, s[:i+w])
		} else {
			parts = append(parts, s[:i])
		}
		s = s[i+w:]
	}
	return r.seq(texts(parts))
}

// justify pads a text to a width, before and after it.
func (r *run) justify(s string, b *binder, before, after int64) (any, error) {
	width := b.integer("width", 0)
	fill, given := b.optStr("fillchar")
	if !given {
		fill = " "
	}
	if b.err != nil {
		return nil, b.err
	}
	if utf8.RuneCountInString(fill) != 1 {
		return nil, errors.New("the fill must be one character")
	}
	n := width - int64(utf8.RuneCountInString(s))
	if n <= 0 {
		return s, nil
	}
	left := n * before / (before + after)
	if before == after {
		left = n/2 + (n & width & 1) // as Python's str.center
	}
	p, err := r.repeat(fill, left)
	if err != nil {
		return nil, err
	}
	q, err := r.repeat(fill, n-left)
	if err != nil {
		return nil, err
	}
	return r.str(p.(string) + s + q.(string))
}

// braces is Python's str.format with {}, {0} and {name}, and no format after a colon.
func (r *run) braces(s string, b *binder) (any, error) {
	args, kwargs := b.args, b.kwargs
	b.next, b.used = len(args), kwargs.Len()
	var out strings.Builder
	next := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '{' && c != '}' {
			out.WriteByte(c)
			continue
		}
		if i+1 < len(s) && s[i+1] == c {
			out.WriteByte(c)
			i++
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if c == '}' || end < 0 {
			return nil, errors.New("format: a brace without its partner")
		}
		name := s[i+1 : i+end]
		i += end
		var v any
		k, err := strconv.Atoi(name)
		switch {
		case name == "":
			k, err = next, nil
			next++
			fallthrough
		case err == nil:
			if k < 0 || k >= len(args) {
				return nil, fmt.Errorf("format: there is no argument %d", k)
			}
			v = args[k]
		default:
			var ok bool
			if v, ok = kwargs.get(name); !ok {
				return nil, fmt.Errorf("format: %q is not supported, or there is no such argument", name)
			}
		}
		t, err := r.toText(v)
		if err != nil {
			return nil, err
		}
		if err := r.mayBuild(out.Len() + len(t)); err != nil {
			return nil, err
		}
		out.WriteString(t)
	}
	return r.str(out.String())
}

// percent is Python's printf-style formatting with %s, %r, %d, %f, %x and %%, their flags, width and precision.
func (r *run) percent(f string, args tuple) (any, error) {
	var out strings.Builder
	next := 0
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			out.WriteByte(f[i])
			continue
		}
		start := i
		i++
		for i < len(f) && strings.IndexByte("-+ #0123456789.", f[i]) >= 0 {
			i++
		}
		if i >= len(f) || i-start > 8 {
			return nil, errors.New("an incomplete format")
		}
		if f[i] == '%' {
			out.WriteByte('%')
			continue
		}
		if next >= len(args) {
			return nil, errors.New("not enough arguments for the format")
		}
		v := args[next]
		next++
		spec := f[start:i]
		// A width of thousands has no use here, and one of millions an evil one.
		if digits := strings.FieldsFunc(spec, func(c rune) bool { return c < '0' || c > '9' }); slices.ContainsFunc(digits, func(d string) bool { return len(d) > 4 }) {
			return nil, errors.New("a width over 9999 in a format")
		}
		var text string
		switch f[i] {
		case 's', 'r':
			s, err := r.toText(v)
			if f[i] == 'r' && err == nil {
				var b strings.Builder
				err = r.repr(&b, v, 0)
				s = b.String()
			}
			if err != nil {
				return nil, err
			}
			text = fmt.Sprintf(spec+"s", s)
		case 'd', 'i', 'x', 'X', 'o':
			n, fl, isInt, ok := number(v)
			if !ok {
				return nil, operandError("%d", v, nil)
			}
			if !isInt {
				n = int64(fl)
			}
			verb := string(f[i])
			if verb == "i" {
				verb = "d"
			}
			text = fmt.Sprintf(spec+verb, n)
		case 'f', 'F', 'e', 'E', 'g', 'G':
			_, fl, _, ok := number(v)
			if !ok {
				return nil, operandError("%f", v, nil)
			}
			text = fmt.Sprintf(spec+string(f[i]), fl)
		default:
			return nil, fmt.Errorf("the format %%%c is not supported", f[i])
		}
		if err := r.mayBuild(out.Len() + len(text)); err != nil {
			return nil, err
		}
		out.WriteString(text)
	}
	if next < len(args) {
		return nil, errors.New("more arguments than the format takes")
	}
	return r.str(out.String())
}
