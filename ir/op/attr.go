package op

import (
	"apogee/ir/format"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// AttrKind says which Go type an attribute's value has.
type AttrKind uint8

// The attribute kinds, each with the Go type that Attr.Value then holds.
const (
	Int     AttrKind = iota // int64
	Float                   // float64
	String                  // string
	Bool                    // bool
	Ints                    // []int64
	Strings                 // []string
	Fmt                     // format.Format
	Dim                     // shape.Dim
	Dims                    // shape.Shape
	Literal                 // *tensor.Tensor
)

var attrKindNames = [...]string{"int", "float", "string", "bool", "ints", "strings", "format", "dim", "dims", "tensor"}

func (k AttrKind) String() string { return attrKindNames[k] }

// Attr is one attribute of an op: a value known when the op is built.
type Attr struct {
	Name  string
	Value any // as the AttrKind of the op's AttrSpec says
}

// Attrs are an op's attributes in the order of its table entry; one that equals its default is left
// out, so that equal ops have equal attributes.
type Attrs []Attr

// Lookup returns the value of the named attribute, or nil.
func (a Attrs) Lookup(name string) any {
	for i := range a {
		if a[i].Name == name {
			return a[i].Value
		}
	}
	return nil
}

// Has reports whether the attribute is set.
func (a Attrs) Has(name string) bool { return a.Lookup(name) != nil }

// Int returns an Int attribute, or def when it is not set.
func (a Attrs) Int(name string, def int64) int64 { return get(a, name, def) }

// Float returns a Float attribute, or def when it is not set.
func (a Attrs) Float(name string, def float64) float64 { return get(a, name, def) }

// Bool returns a Bool attribute, or def when it is not set.
func (a Attrs) Bool(name string, def bool) bool { return get(a, name, def) }

// Str returns a String attribute, or def when it is not set.
func (a Attrs) Str(name, def string) string { return get(a, name, def) }

// Ints returns an Ints attribute, or nil. The caller must not change it.
func (a Attrs) Ints(name string) []int64 { return get[[]int64](a, name, nil) }

// Strs returns a Strings attribute, or nil. The caller must not change it.
func (a Attrs) Strs(name string) []string { return get[[]string](a, name, nil) }

// Format returns a Fmt attribute, or def when it is not set.
func (a Attrs) Format(name string, def format.Format) format.Format { return get(a, name, def) }

// Dim returns a Dim attribute; ok is false when it is not set.
func (a Attrs) Dim(name string) (d shape.Dim, ok bool) {
	d, ok = a.Lookup(name).(shape.Dim)
	return d, ok
}

// Dims returns a Dims attribute, or nil. The caller must not change it.
func (a Attrs) Dims(name string) shape.Shape { return get[shape.Shape](a, name, nil) }

// Tensor returns a Literal attribute, or nil.
func (a Attrs) Tensor(name string) *tensor.Tensor { return get[*tensor.Tensor](a, name, nil) }

func get[T any](a Attrs, name string, def T) T {
	if v, ok := a.Lookup(name).(T); ok {
		return v
	}
	return def
}

// With returns a copy in which the named attribute has the given value (appended when it was not
// set). Use Info.Normalise to bring the result into table order.
func (a Attrs) With(name string, value any) Attrs {
	out := make(Attrs, 0, len(a)+1)
	found := false
	for _, x := range a {
		if x.Name == name {
			x.Value, found = value, true
		}
		out = append(out, x)
	}
	if !found {
		out = append(out, Attr{name, value})
	}
	return out
}

// Without returns a copy that lacks the named attribute.
func (a Attrs) Without(name string) Attrs {
	out := make(Attrs, 0, len(a))
	for _, x := range a {
		if x.Name != name {
			out = append(out, x)
		}
	}
	return out
}

// AttrSpec declares one attribute of an op.
type AttrSpec struct {
	Name     string
	Kind     AttrKind
	Required bool
	Default  any      // what a missing optional attribute means; nil when absence itself has a meaning
	OneOf    []string // for String: the allowed values; empty allows all
	Doc      string
}
