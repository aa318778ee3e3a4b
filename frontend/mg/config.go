package mg

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"apogee/ir/diag"
)

// fields is what an object may hold.
type fields struct {
	list   []*field
	index  map[string]int // every name of every field
	ignore map[string]diag.Range
}

// field is one field of config, options or an object in them.
type field struct {
	names  []string // the first is the one .mg text uses
	typ    *fieldType
	def    code // nil for none
	frame  int  // slots that def and cond need
	where  *constraint
	at     diag.Range
	source *Source
}

// constraint is what follows where.
type constraint struct {
	op   string // comparison with the field's value; "" when cond stands alone
	cond code
	at   diag.Range
}

// fieldType is the type of a field.
type fieldType struct {
	kind     fieldKind
	oneOf    []string
	elem     *fieldType
	fields   *fields
	optional bool
}

type fieldKind uint8

const (
	fieldInt fieldKind = iota
	fieldFloat
	fieldBool
	fieldString
	fieldOneOf
	fieldList
	fieldObject
)

var fieldWords = map[string]fieldKind{"int": fieldInt, "float": fieldFloat, "bool": fieldBool, "string": fieldString}

// String spells a field's type as its declaration does.
func (t *fieldType) String() string {
	s := ""
	switch t.kind {
	case fieldOneOf:
		for i, v := range t.oneOf {
			if i > 0 {
				s += " | "
			}
			s += strconv.Quote(v)
		}
	case fieldList:
		s = "[" + t.elem.String() + "]"
	case fieldObject:
		s = "an object"
	default:
		for w, k := range fieldWords {
			if k == t.kind {
				s = w
			}
		}
	}
	if t.optional {
		s += " or null"
	}
	return s
}

func newFields() *fields { return &fields{index: map[string]int{}, ignore: map[string]diag.Range{}} }

func (f *fields) lookup(name string) (*field, int) {
	if i, ok := f.index[name]; ok {
		return f.list[i], i
	}
	return nil, -1
}

func (f *fields) names() []string {
	out := make([]string, 0, len(f.list))
	for _, x := range f.list {
		out = append(out, x.names...)
	}
	return out
}

// fill makes an object from JSON text, which is nil where nothing is given. Mistakes are shown in the
// text, with a note where the field is declared. The object grows field by field, so that a default may
// use the fields before it; grow is given it first.
func (l *lowering) fill(spec *fields, j *JSON, path string, grow func(*object)) *object {
	o := &object{spec: spec, path: path, vals: make([]value, len(spec.list))}
	if grow != nil {
		grow(o)
	}
	var obj *JSONObject
	if j != nil {
		var ok bool
		if obj, ok = j.Value.(*JSONObject); !ok {
			l.diags.Errorf(CodeConfigType, j.Range, "%s is not an object", path).Expect("an object in braces", j.String())
			return o
		}
		l.unknownKeys(spec, obj, path)
	}
	for i, f := range spec.list {
		o.vals[i] = l.fillField(f, j, obj, path)
		o.done = i + 1
		l.constrain(f, o.vals[i], j, path)
	}
	return o
}

// unknownKeys reports the keys that are neither fields nor ignored.
func (l *lowering) unknownKeys(spec *fields, obj *JSONObject, path string) {
	for i, k := range obj.Keys {
		if _, at := spec.lookup(k); at >= 0 {
			continue
		}
		if _, ok := spec.ignore[k]; ok {
			continue
		}
		known := spec.names()
		for n := range spec.ignore {
			known = append(known, n)
		}
		sort.Strings(known)
		l.diags.Errorf(CodeConfigUnknown, obj.Ranges[i], "%s has no field %q", path, k).Suggest(k, known).
			Helpf("a field that changes nothing in the model is named after ignore in the config of the .mg file")
	}
}

// fillField finds the value of one field: given, default, or none.
func (l *lowering) fillField(f *field, j *JSON, obj *JSONObject, path string) value {
	name := path + "." + f.names[0]
	var given *JSON
	if obj != nil {
		first := ""
		for i, k := range obj.Keys {
			if !isOneOf(k, f.names) {
				continue
			}
			v := obj.Values[i]
			if given != nil && v.Value == nil {
				continue // null under one of two names says nothing
			}
			if given != nil && given.Value != nil && given.String() != v.String() {
				l.diags.Errorf(CodeConfigType, obj.Ranges[i], "%s and %s are the same field and differ", first, k).
					Expect(given.String(), v.String())
			}
			given, first = v, k
		}
	}
	if set, ok := l.override(name); ok {
		if v, ok := l.fromText(f, set, name); ok {
			return v
		}
		return bad
	}
	if given != nil && given.Value != nil {
		v, ok := l.fromJSON(f.typ, given, name)
		if !ok {
			l.noteField(f)
		}
		return v
	}
	if f.def != nil && (given == nil || !f.typ.optional) {
		return l.conform(f, f.def.eval(l, newFrame(f.frame)), name)
	}
	if f.typ.optional {
		return none
	}
	d := &diag.Diagnostic{Code: CodeConfigMissing, Message: fmt.Sprintf("%s is missing", name), Expected: f.typ.String()}
	switch {
	case given != nil:
		d.Range, d.Found = given.Range, "null"
	case j != nil:
		d.Range = j.Range.Source.Range(j.Range.Start, j.Range.Start+1)
	default:
		d.Range = f.at
		d.Helpf("give a config.json, a default in the declaration, or set %s=…", f.names[0])
	}
	if j != nil {
		d.Note(f.at, "it is declared here")
	}
	l.diags.Add(d)
	return bad
}

func isOneOf(s string, list []string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// noteField adds to the latest diagnostic where the field is declared.
func (l *lowering) noteField(f *field) {
	if items := l.diags.Items(); len(items) > 0 {
		items[len(items)-1].Note(f.at, "it is declared here")
	}
}

// conform checks the default of a field against its type; ints become floats.
func (l *lowering) conform(f *field, v value, name string) value {
	if v.kind == kBad {
		return bad // what it is made of is missing or wrong, and was said so
	}
	w, ok := f.typ.accept(v)
	if !ok {
		l.diags.Errorf(CodeConfigType, f.at, "the default of %s does not fit", name).Expect(f.typ.String(), v.describe())
		return bad
	}
	return w
}

// accept brings a value known now to a field's type.
func (t *fieldType) accept(v value) (value, bool) {
	if v.kind == kNone {
		return v, t.optional
	}
	switch t.kind {
	case fieldInt:
		n, ok := v.int()
		return intValue(n), ok
	case fieldFloat:
		f, known, ok := v.number()
		return floatValue(f), known && ok
	case fieldBool:
		return v, v.kind == kBool
	case fieldString:
		return v, v.kind == kString
	case fieldOneOf:
		return v, v.kind == kString && isOneOf(v.str(), t.oneOf)
	case fieldList:
		if v.kind != kList {
			return v, false
		}
		out := make([]value, len(v.list()))
		for i, x := range v.list() {
			var ok bool
			if out[i], ok = t.elem.accept(x); !ok {
				return v, false
			}
		}
		return listValue(out), true
	}
	return v, false
}

// fromJSON brings a JSON value to a field's type.
func (l *lowering) fromJSON(t *fieldType, j *JSON, name string) (value, bool) {
	switch v := j.Value.(type) {
	case nil:
		if t.optional {
			return none, true
		}
	case bool:
		if t.kind == fieldBool {
			return boolValue(v), true
		}
	case json.Number:
		if n, ok := numberValue(t, v.String()); ok {
			return n, true
		}
	case string:
		if t.kind == fieldString || t.kind == fieldOneOf && isOneOf(v, t.oneOf) {
			return stringValue(v), true
		}
		if t.kind == fieldOneOf {
			l.diags.Errorf(CodeConfigType, j.Range, "%s is not one that the model supports", name).
				Expect(t.String(), j.String()).Suggest(v, t.oneOf)
			return bad, false
		}
	case []*JSON:
		if t.kind == fieldList {
			out := make([]value, len(v))
			good := true
			for i, x := range v {
				var ok bool
				out[i], ok = l.fromJSON(t.elem, x, fmt.Sprintf("%s[%d]", name, i))
				good = good && ok
			}
			return listValue(out), good
		}
	case *JSONObject:
		if t.kind == fieldObject {
			return value{kind: kObject, ref: l.fill(t.fields, j, name, nil)}, true
		}
	}
	l.diags.Errorf(CodeConfigType, j.Range, "%s has the wrong type", name).Expect(t.String(), j.String())
	return bad, false
}

// numberValue reads a number for an int or float field. 1.0 is an int, as some writers of config.json
// have it.
func numberValue(t *fieldType, text string) (value, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return bad, false
	}
	switch t.kind {
	case fieldFloat:
		return floatValue(f), true
	case fieldInt:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return intValue(n), true
		}
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return intValue(int64(f)), true
		}
	}
	return bad, false
}

// fromText reads a field's value from a setting on a command line.
func (l *lowering) fromText(f *field, text, name string) (value, bool) {
	t := f.typ
	switch {
	case t.optional && (text == "none" || text == "null"):
		return none, true
	case t.kind == fieldBool && (text == "true" || text == "false"):
		return boolValue(text == "true"), true
	case t.kind == fieldString, t.kind == fieldOneOf && isOneOf(text, t.oneOf):
		return stringValue(text), true
	case t.kind == fieldInt || t.kind == fieldFloat:
		if v, ok := numberValue(t, text); ok {
			return v, true
		}
	}
	l.diags.Errorf(CodeConfigType, diag.Range{}, "%s cannot be set to %q", name, text).
		Expect(t.String(), strconv.Quote(text)).Suggest(text, t.oneOf).Note(f.at, "it is declared here")
	return bad, false
}

// override returns the setting for a field, by its full name or the last part.
func (l *lowering) override(name string) (string, bool) {
	if strings.Count(name, ".") > 1 {
		v, ok := l.opt.Set[name]
		return v, ok
	}
	for _, k := range []string{name, name[strings.IndexByte(name, '.')+1:]} {
		if v, ok := l.opt.Set[k]; ok {
			return v, true
		}
	}
	return "", false
}

// constrain checks what follows where.
func (l *lowering) constrain(f *field, v value, j *JSON, path string) {
	if f.where == nil || v.kind == kBad || v.kind == kNone {
		return
	}
	want := f.where.cond.eval(l, newFrame(f.frame))
	if want.kind == kBad {
		return
	}
	text := string(f.where.at.Text())
	ok := want.kind == kBool && want.bool()
	if f.where.op != "" {
		got := l.compare(f.where.op, v, want, f.where.at)
		if got.kind == kBad {
			return
		}
		ok = got.bool()
		text = f.where.op + " " + want.String()
	}
	if ok {
		return
	}
	name := path + "." + f.names[0]
	rng := f.at
	if g := fieldOf(j, f); g != nil {
		rng = g.Range
	}
	d := l.diags.Errorf(CodeConfigWhere, rng, "%s is out of its bounds", name).Expect(text, v.String())
	if rng != f.at {
		d.Note(f.where.at, "the bounds stand here")
	}
}

func fieldOf(j *JSON, f *field) *JSON {
	var null *JSON
	for _, n := range f.names {
		switch g := j.Get(n); {
		case g == nil:
		case g.Value != nil:
			return g
		case null == nil:
			null = g
		}
	}
	return null
}

// member returns a field of an object that has its value.
func (l *lowering) member(c *memberCode, o *object) value {
	i := c.at
	if i < 0 || i >= len(o.vals) {
		if _, i = o.spec.lookup(c.name); i < 0 {
			l.report(CodeUnknown, c.place, "%s has no field %s", o.path, c.name).Suggest(c.name, o.spec.names())
			return bad
		}
	}
	if i >= o.done {
		l.report(CodeConfigMissing, c.place, "%s.%s has no value yet", o.path, c.name).
			Note(o.spec.list[i].at, "it is declared here").Helpf("a default may use the fields above it")
		return bad
	}
	return o.vals[i]
}
