package mg

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/shape"
)

// kind says what a value is while a module is built.
type kind uint8

const (
	kBad    kind = iota // what a mistake gives, reported already: silent wherever it goes
	kNone               // none: a missing optional
	kBool               // n is 0 or 1
	kInt                // n: a number or an expression over symbols
	kRatio              // n / ref.(shape.Dim): a quotient that does not come out even
	kFloat              // f
	kString             // ref.(string)
	kFormat             // n holds the format.Format
	kList               // ref.([]value)
	kTuple              // ref.([]value): several results
	kObject             // ref.(*object)
	kTensor             // ref.(*ir.Value)
	kMark               // the index of a stacked weight, only good in its name
)

var kindNames = [...]string{"an error", "none", "a bool", "an int", "a quotient", "a float", "a string", "a format", "a list", "several results", "an object", "a tensor", "the index of a stack"}

// value is what an expression gives while a module is built: a tensor is a value of the module, all
// else is known now.
type value struct {
	kind kind
	n    shape.Dim
	f    float64
	ref  any
}

// object is a config, or an object in it.
type object struct {
	spec *fields
	vals []value // one a field, in the order of the spec
	path string  // config, or config.rope_scaling
	done int     // how many fields have their value; the others wait for theirs
}

var (
	bad  = value{}
	none = value{kind: kNone}
)

func intValue(n int64) value     { return value{kind: kInt, n: shape.Const(n)} }
func dimValue(d shape.Dim) value { return value{kind: kInt, n: d} }
func floatValue(f float64) value { return value{kind: kFloat, f: f} }
func stringValue(s string) value { return value{kind: kString, ref: s} }
func listValue(l []value) value  { return value{kind: kList, ref: l} }

func boolValue(b bool) value {
	if b {
		return value{kind: kBool, n: shape.Const(1)}
	}
	return value{kind: kBool}
}

func formatValue(f format.Format) value {
	return value{kind: kFormat, n: shape.Const(int64(f))}
}

func tensorValue(v *ir.Value) value { return value{kind: kTensor, ref: v} }

func (v value) bool() bool { n, _ := v.n.Value(); return n != 0 }
func (v value) str() string {
	s, _ := v.ref.(string)
	return s
}
func (v value) format() format.Format { n, _ := v.n.Value(); return format.Format(n) }
func (v value) list() []value {
	l, _ := v.ref.([]value)
	return l
}
func (v value) tensor() *ir.Value {
	t, _ := v.ref.(*ir.Value)
	return t
}

// number reports whether v is an int, quotient or float, and its value where no symbol is in it.
func (v value) number() (f float64, known, ok bool) {
	switch v.kind {
	case kInt:
		n, known := v.n.Value()
		return float64(n), known, true
	case kRatio:
		a, ok1 := v.n.Value()
		b, ok2 := v.ref.(shape.Dim).Value()
		return float64(a) / float64(b), ok1 && ok2, true
	case kFloat:
		return v.f, true, true
	}
	return 0, false, false
}

// int returns the number of an int without symbols. A float that is a whole number counts.
func (v value) int() (int64, bool) {
	switch v.kind {
	case kInt:
		return v.n.Value()
	case kFloat:
		if v.f == math.Trunc(v.f) && math.Abs(v.f) < 1<<53 {
			return int64(v.f), true
		}
	}
	return 0, false
}

// dim returns an int, symbols allowed.
func (v value) dim() (shape.Dim, bool) {
	if v.kind == kInt {
		return v.n, true
	}
	n, ok := v.int()
	return shape.Const(n), ok
}

func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

// String says what a value is, for messages: 64, f32[B,T,64], "silu".
func (v value) String() string {
	switch v.kind {
	case kNone:
		return "none"
	case kBool:
		return strconv.FormatBool(v.bool())
	case kInt:
		return v.n.String()
	case kRatio:
		return fmt.Sprintf("%s / %s", v.n, v.ref.(shape.Dim))
	case kFloat:
		return formatFloat(v.f)
	case kString:
		return strconv.Quote(v.str())
	case kFormat:
		return v.format().String()
	case kList, kTuple:
		var b strings.Builder
		open, end := "[", "]"
		if v.kind == kTuple {
			open, end = "(", ")"
		}
		b.WriteString(open)
		for i, x := range v.list() {
			if i > 0 {
				b.WriteString(", ")
			}
			if i == 8 || b.Len() > 80 {
				fmt.Fprintf(&b, "… %d in all", len(v.list()))
				break
			}
			b.WriteString(x.String())
		}
		return b.String() + end
	case kObject:
		return v.ref.(*object).path
	case kTensor:
		return v.tensor().Type.String()
	}
	return kindNames[v.kind]
}

// describe says what a value is with its kind: the int 64, a tensor f32[B,T,64].
func (v value) describe() string {
	switch v.kind {
	case kNone, kBool, kList, kTuple, kMark, kBad:
		if v.kind == kBool || v.kind == kList {
			return strings.TrimPrefix(kindNames[v.kind], "a ") + " " + v.String()
		}
		return kindNames[v.kind]
	case kTensor:
		return v.String()
	}
	_, word, _ := strings.Cut(kindNames[v.kind], " ")
	return word + " " + v.String()
}

// equal compares values known when the module is built; ok is false where symbols leave it open or the
// kinds do not compare.
func (v value) equal(w value) (eq, ok bool) {
	if v.kind == kNone || w.kind == kNone {
		return v.kind == w.kind, true
	}
	if a, ka, oka := v.number(); oka {
		b, kb, okb := w.number()
		switch {
		case !okb:
			return false, false
		case v.kind == kInt && w.kind == kInt:
			if v.n == w.n {
				return true, true
			}
			_, known := v.n.Sub(w.n).Value()
			return false, known
		}
		return a == b, ka && kb
	}
	if v.kind != w.kind {
		return false, false
	}
	switch v.kind {
	case kBool, kFormat:
		return v.n == w.n, true
	case kString:
		return v.str() == w.str(), true
	case kList, kTuple:
		a, b := v.list(), w.list()
		if len(a) != len(b) {
			return false, true
		}
		for i := range a {
			if eq, ok := a[i].equal(b[i]); !eq || !ok {
				return eq, ok
			}
		}
		return true, true
	}
	return false, false
}
