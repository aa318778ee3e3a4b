package jinja

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// test is v is name(args).
func (r *run) test(name string, v any, args []any, kwargs *Dict) (bool, error) {
	want := 0
	switch name {
	case "in", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=", "divisibleby", "sameas":
		want = 1
	}
	if len(args) != want || kwargs.Len() > 0 {
		return false, fmt.Errorf("the test %q takes %d arguments, not %d", name, want, len(args)+kwargs.Len())
	}
	_, isUndefined := v.(undefined)
	switch name {
	case "lower", "upper", "in", "divisibleby":
		if err := r.touch(append(args, v)...); err != nil {
			return false, err
		}
	}
	switch name {
	case "defined":
		return !isUndefined, nil
	case "undefined":
		return isUndefined, nil
	case "none":
		return v == nil, nil
	case "string":
		_, ok := v.(string)
		return ok, nil
	case "mapping":
		_, ok := v.(*Dict)
		return ok, nil
	case "sequence":
		// What has a length and items: in Jinja2, dicts, strings and undefined values too.
		switch v.(type) {
		case string, list, tuple, *Dict, undefined:
			return true, nil
		}
		return false, nil
	case "iterable":
		switch v.(type) {
		case string, list, tuple, *Dict, undefined:
			return true, nil
		}
		return false, nil
	case "number":
		_, _, _, ok := number(v)
		return ok, nil
	case "integer":
		_, ok := v.(int64)
		return ok, nil
	case "float":
		_, ok := v.(float64)
		return ok, nil
	case "boolean":
		_, ok := v.(bool)
		return ok, nil
	case "true":
		return v == true, nil
	case "false":
		return v == false, nil
	case "callable":
		_, ok := v.(*function)
		return ok, nil
	case "escaped":
		return false, nil
	case "odd", "even":
		i, _, isInt, ok := number(v)
		if !ok || !isInt {
			return false, operandError(name, v, nil)
		}
		return (i%2 != 0) == (name == "odd"), nil
	case "divisibleby":
		m, err := r.arithmetic("%", v, args[0])
		return err == nil && !truth(m), err
	case "lower", "upper":
		s, err := r.toText(v)
		if err != nil {
			return false, err
		}
		return caseIs(s, name == "upper"), nil
	case "in":
		return r.contains(args[0], v)
	case "eq", "equalto", "==":
		return r.equal(v, args[0], 0)
	case "ne", "!=":
		ok, err := r.equal(v, args[0], 0)
		return !ok, err
	case "sameas":
		if typeName(v) != typeName(args[0]) {
			return false, nil
		}
		return r.equal(v, args[0], 0)
	case "lt", "lessthan", "<":
		return r.relation("<", v, args[0])
	case "le", "<=":
		return r.relation("<=", v, args[0])
	case "gt", "greaterthan", ">":
		return r.relation(">", v, args[0])
	case "ge", ">=":
		return r.relation(">=", v, args[0])
	}
	return false, fmt.Errorf("there is no test %q", name)
}

// caseIs is Python's isupper or islower: all cased characters have the case, and there is one.
func caseIs(s string, upper bool) bool {
	any := false
	for _, c := range s {
		switch {
		case unicode.IsUpper(c) || unicode.IsTitle(c):
			if !upper || unicode.IsTitle(c) {
				return false
			}
			any = true
		case unicode.IsLower(c):
			if upper {
				return false
			}
			any = true
		}
	}
	return any
}

// title is Python's str.title, or, for the filter, Jinja2's, which begins words after white space and brackets alone.
func title(s string, jinja bool) string {
	begin := true
	var b strings.Builder
	for _, c := range s {
		if begin {
			b.WriteRune(unicode.ToTitle(c))
		} else {
			b.WriteRune(unicode.ToLower(c))
		}
		if jinja {
			begin = isSpace(c) || strings.ContainsRune("-({[<", c)
		} else {
			begin = !unicode.IsLetter(c)
		}
	}
	return b.String()
}

// capitalize is Python's str.capitalize.
func capitalize(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return string(unicode.ToTitle(first)) + strings.ToLower(s[n:])
}
