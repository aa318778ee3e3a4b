package jinja

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Values are nil (None), bool, int64, float64, string, list, tuple, *Dict, undefined, *namespace and callables.
type (
	list  []any
	tuple []any

	// undefined is a name without a value: it prints as nothing, is false and iterates over nothing, but has no parts.
	undefined struct{ what string }

	// namespace is what namespace() makes: the only object whose attributes a template may set.
	namespace struct{ attrs *Dict }

	// function is a built-in or a bound method.
	function struct {
		name string
		call func(r *run, args []any, kwargs *Dict) (any, error)
	}
)

// Dict is a mapping in order of insertion. Its keys are strings, integers, floats, booleans or None.
type Dict struct {
	keys   []any
	values []any
	index  map[any]int
}

// NewDict returns an empty Dict.
func NewDict() *Dict { return &Dict{index: map[any]int{}} }

// keyOf makes equal keys identical: True is 1, 2.0 is 2.
func keyOf(k any) (any, bool) {
	switch k := k.(type) {
	case nil, string, int64:
		return k, true
	case bool:
		if k {
			return int64(1), true
		}
		return int64(0), true
	case float64:
		if i := int64(k); float64(i) == k {
			return i, true
		}
		return k, true
	}
	return nil, false
}

// Set puts a value in; a key that is there keeps its place. The value is one of those that [Template.Render] takes.
func (d *Dict) Set(key string, value any) { d.set(key, fromGo(value)) }

func (d *Dict) set(key, value any) bool {
	k, ok := keyOf(key)
	if !ok {
		return false
	}
	if i, there := d.index[k]; there {
		d.values[i] = value
		return true
	}
	d.index[k] = len(d.keys)
	d.keys = append(d.keys, key)
	d.values = append(d.values, value)
	return true
}

func (d *Dict) get(key any) (any, bool) {
	k, ok := keyOf(key)
	if !ok {
		return nil, false
	}
	i, ok := d.index[k]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// Len returns the number of keys.
func (d *Dict) Len() int { return len(d.keys) }

// items returns the pairs.
func (d *Dict) items() list {
	out := make(list, len(d.keys))
	for i := range d.keys {
		out[i] = tuple{d.keys[i], d.values[i]}
	}
	return out
}

// fromGo turns a Go value into one of ours: nil, bool, integers, floats, strings, []any, []string, map[string]any (in
// the order of its keys), *Dict and what [FromJSON] returns. Anything else becomes undefined.
func fromGo(v any) any {
	switch v := v.(type) {
	case nil, bool, int64, float64, string, list, tuple, *Dict:
		return v
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case []any:
		out := make(list, len(v))
		for i, x := range v {
			out[i] = fromGo(x)
		}
		return out
	case []string:
		out := make(list, len(v))
		for i, x := range v {
			out[i] = x
		}
		return out
	case map[string]any:
		d := NewDict()
		for _, k := range slices.Sorted(maps.Keys(v)) {
			d.set(k, fromGo(v[k]))
		}
		return d
	}
	return undefined{fmt.Sprintf("a Go %T", v)}
}

// typeName is Python's name of a value's type.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case list:
		return "list"
	case tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case undefined:
		return "Undefined"
	case *namespace:
		return "Namespace"
	}
	return "function"
}

// sequence returns the elements of a list or a tuple.
func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case list:
		return v, true
	case tuple:
		return v, true
	}
	return nil, false
}

// truth is Python's bool().
func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case list:
		return len(v) > 0
	case tuple:
		return len(v) > 0
	case *Dict:
		return v.Len() > 0
	}
	return true
}

// number returns a value as int or float; booleans count as integers.
func number(v any) (i int64, f float64, isInt, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int64:
		return v, float64(v), true, true
	case float64:
		return 0, v, false, true
	}
	return 0, 0, false, false
}

// maxNesting is how deep lists and dicts may hold each other where one is printed, compared or read.
const maxNesting = 200

// equal is Python's ==.
func (r *run) equal(a, b any, depth int) (bool, error) {
	if depth > maxNesting {
		return false, fmt.Errorf("values are nested more than %d deep", maxNesting)
	}
	if err := r.stepsFor(1 + size(a)/64); err != nil { // lists may share parts, so the whole can be far larger
		return false, err
	}
	if ai, af, aInt, ok := number(a); ok {
		bi, bf, bInt, ok := number(b)
		if !ok {
			return false, nil
		}
		if aInt && bInt {
			return ai == bi, nil
		}
		return af == bf, nil
	}
	switch a := a.(type) {
	case nil:
		return b == nil, nil
	case string:
		s, ok := b.(string)
		return ok && a == s, nil
	case undefined:
		_, ok := b.(undefined)
		return ok, nil
	case list:
		b, ok := b.(list)
		if !ok {
			return false, nil
		}
		return r.equalSeq(a, b, depth)
	case tuple:
		b, ok := b.(tuple)
		if !ok {
			return false, nil
		}
		return r.equalSeq(a, b, depth)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || a.Len() != b.Len() {
			return false, nil
		}
		for i, k := range a.keys {
			v, ok := b.get(k)
			if !ok {
				return false, nil
			}
			if same, err := r.equal(a.values[i], v, depth+1); !same || err != nil {
				return false, err
			}
		}
		return true, nil
	case *namespace:
		b, ok := b.(*namespace)
		return ok && a == b, nil
	case *function:
		b, ok := b.(*function)
		return ok && a == b, nil
	}
	return false, nil
}

func (r *run) equalSeq(a, b []any, depth int) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		if same, err := r.equal(a[i], b[i], depth+1); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare is Python's ordering: -1, 0 or 1.
func (r *run) compare(a, b any, depth int) (int, error) {
	if depth > maxNesting {
		return 0, fmt.Errorf("values are nested more than %d deep", maxNesting)
	}
	if err := r.stepsFor(1 + size(a)/64); err != nil {
		return 0, err
	}
	if ai, af, aInt, ok := number(a); ok {
		if bi, bf, bInt, ok := number(b); ok {
			if aInt && bInt {
				return sign(ai < bi, ai > bi), nil
			}
			return sign(af < bf, af > bf), nil
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), nil // UTF-8 sorts as code points do
		}
	}
	x, okA := sequence(a)
	y, okB := sequence(b)
	if okA && okB && typeName(a) == typeName(b) {
		for i := 0; i < len(x) && i < len(y); i++ {
			same, err := r.equal(x[i], y[i], depth+1)
			if err != nil {
				return 0, err
			}
			if !same {
				return r.compare(x[i], y[i], depth+1)
			}
		}
		return sign(len(x) < len(y), len(x) > len(y)), nil
	}
	return 0, fmt.Errorf("%s and %s have no order", typeName(a), typeName(b))
}

func sign(less, greater bool) int {
	switch {
	case less:
		return -1
	case greater:
		return 1
	}
	return 0
}

// toText is Python's str().
func (r *run) toText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case undefined:
		return "", nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool, nil, float64:
		return scalarText(v), nil
	}
	var b strings.Builder
	if err := r.repr(&b, v, 0); err != nil {
		return "", err
	}
	return b.String(), r.built(b.Len())
}

func scalarText(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case float64:
		return floatText(v)
	}
	return ""
}

// floatText is Python's repr of a float: the shortest digits that read back, with an exponent outside 1e-4 … 1e16.
func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f != f:
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		return s
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// repr writes Python's repr().
func (r *run) repr(b *strings.Builder, v any, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("values are nested more than %d deep", maxNesting)
	}
	if err := r.step(); err != nil {
		return err
	}
	// A value that holds one big string a million times prints far beyond its size.
	if b.Len() > r.memory {
		return errMemory
	}
	switch v := v.(type) {
	case string:
		b.WriteString(quote(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case list:
		b.WriteByte('[')
		if err := r.reprAll(b, v, depth); err != nil {
			return err
		}
		b.WriteByte(']')
	case tuple:
		b.WriteByte('(')
		if err := r.reprAll(b, v, depth); err != nil {
			return err
		}
		if len(v) == 1 {
			b.WriteByte(',')
		}
		b.WriteByte(')')
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			if err := r.repr(b, k, depth+1); err != nil {
				return err
			}
			b.WriteString(": ")
			if err := r.repr(b, v.values[i], depth+1); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case undefined:
		b.WriteString("Undefined")
	case *namespace:
		b.WriteString("<Namespace ")
		if err := r.repr(b, v.attrs, depth+1); err != nil {
			return err
		}
		b.WriteByte('>')
	case *function:
		b.WriteString("<function " + v.name + ">")
	default:
		b.WriteString(scalarText(v))
	}
	return nil
}

func (r *run) reprAll(b *strings.Builder, vs []any, depth int) error {
	for i, x := range vs {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.repr(b, x, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// quote is Python's repr of a string.
func quote(s string) string {
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b := []byte{q}
	for _, c := range s {
		switch {
		case c == rune(q) || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ' || c == 0x7F:
			b = fmt.Appendf(b, `\x%02x`, c)
		case c < 0x7F || unicode.IsPrint(c):
			b = append(b, string(c)...)
		case c <= 0xFF:
			b = fmt.Appendf(b, `\x%02x`, c)
		case c <= 0xFFFF:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = fmt.Appendf(b, `\U%08x`, c)
		}
	}
	return string(append(b, q))
}
