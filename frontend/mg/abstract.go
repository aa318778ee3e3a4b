package mg

import (
	"sort"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// Missing returns the fields of config that have neither a default nor the right to be missing: without a
// config.json, the program cannot be lowered.
func (p *Program) Missing() []string {
	var out []string
	for _, f := range p.config.list {
		if f.def == nil && !f.typ.optional {
			out = append(out, f.names[0])
		}
	}
	return out
}

// CheckShapes checks every def and entry of a program by itself, as its signature has it, with no config at hand.
// Variables of a signature stand for themselves, so that what fits for one size alone is found; a call gives what
// the signature of its def says; both sides of a choice are looked at. What hangs on config is not known and is not
// judged: an error that is reported is one whatever the config says, but not every one is found.
func CheckShapes(p *Program) *diag.List {
	var found *diag.List
	for axes := range 6 { // how many axes .. stands for: what fails for some numbers alone is not judged
		l := newAbstract(p, axes)
		for _, f := range p.files {
			l.checkFile(f)
		}
		if found == nil {
			found = l.diags
			continue
		}
		found = both(found, l.diags)
	}
	found.Sort()
	return found
}

// both keeps the diagnostics of a that b has at the same place.
func both(a, b *diag.List) *diag.List {
	seen := map[diag.Range]bool{}
	for _, d := range b.Items() {
		seen[d.Range] = true
	}
	out := &diag.List{}
	for _, d := range a.Items() {
		if seen[d.Range] {
			out.Add(d)
		}
	}
	return out
}

// abstractOps bounds the ops of one check, which makes each def once.
const abstractOps = 200_000

func newAbstract(p *Program, axes int) *lowering {
	l := newLowering(p, Options{Activation: format.F32, StoredFormat: format.F32, MaxOps: abstractOps})
	l.abstract, l.axes = true, axes
	l.config = l.unknownObject(p.config, "config")
	l.options = l.unknownObject(p.options, "options")
	l.lets = make([][]value, len(p.lets))
	l.letState = make([]uint8, len(p.lets))
	return l
}

// unknownObject is a config of which nothing is known but the types.
func (l *lowering) unknownObject(spec *fields, path string) *object {
	o := &object{spec: spec, path: path, vals: make([]value, len(spec.list)), done: len(spec.list)}
	for i, f := range spec.list {
		switch {
		case f.typ.optional:
		case f.typ.kind == fieldInt:
			o.vals[i] = dimValue(shape.Sym(path + "." + f.names[0]))
		case f.typ.kind == fieldFloat:
			o.vals[i] = floatValue(0.5)
		case f.typ.kind == fieldString:
			o.vals[i] = stringValue(f.names[0])
		case f.typ.kind == fieldObject:
			o.vals[i] = value{kind: kObject, ref: l.unknownObject(f.typ.fields, path+"."+f.names[0])}
		}
	}
	return o
}

// open reports whether a dimension hangs on what an abstract check does not know. Symbols of config, of parameters
// and of axes left open have a dot in their name.
func open(d shape.Dim) bool {
	if d.IsConst() {
		return false
	}
	for _, s := range d.Symbols() {
		if strings.Contains(s, ".") {
			return true
		}
	}
	return false
}

// openType is open for any dimension of some types.
func openType(types ...ir.Type) bool {
	for _, t := range types {
		for _, d := range t.Shape {
			if open(d) {
				return true
			}
		}
	}
	return false
}

// judged reports whether an abstract check may speak about a code: the others hang on values or formats, which it
// does not know.
func judged(code string) bool {
	switch code {
	case CodeShape, CodeType, CodeUnknown, CodeArguments, CodeOp:
		return true
	}
	return false
}

// judgedOp reports whether an abstract check may speak about operands that the op table refuses: about shapes that
// hang on nothing unknown, and on no format.
func judgedOp(info *op.Info, args []*ir.Value) bool {
	if info.Class != op.Movement {
		return false
	}
	for i, a := range args {
		if openType(a.Type) || a.Type.Format != args[0].Type.Format && !indexOperands[operandName(info, i)] {
			return false
		}
	}
	return true
}

func (l *lowering) checkFile(f *file) {
	var defs []*defDecl
	for _, d := range f.names {
		if dd, ok := d.(*defDecl); ok {
			defs = append(defs, dd)
		}
	}
	sort.Slice(defs, func(i, j int) bool { return defs[i].at.Start < defs[j].at.Start })
	for _, d := range defs {
		l.checkDef(d)
	}
}

// checkDef evaluates the body of a def with parameters of the types that its signature names.
func (l *lowering) checkDef(d *defDecl) {
	l.begin(l.mod.NewFunc(d.name))
	l.halted, l.steps, l.ops = false, 0, 0
	fr, save := l.frame(d.slots)
	defer l.release(save)
	for _, p := range d.params {
		if p.typ != nil && p.typ.word == patTensor {
			l.freshVariables(p.typ, fr)
		}
	}
	for _, p := range d.params {
		fr[p.slot] = l.unknownParam(p, fr)
	}
	v := d.body.eval(l, fr)
	if v.kind != kBad && len(d.results) > 0 {
		l.matchResults(d, fr, v)
	}
	l.fn = nil
}

// freshVariables lets the variables of a pattern stand for themselves.
func (l *lowering) freshVariables(p *pattern, fr []value) {
	if p.fmtSlot >= 0 {
		fr[p.fmtSlot] = formatValue(format.F32)
	}
	set := func(slot int, name string) {
		if fr[slot].kind == kBad {
			fr[slot] = dimValue(shape.Sym(name))
		}
	}
	for i := range p.dims {
		d := &p.dims[i]
		switch {
		case d.rest && d.slot >= 0 && fr[d.slot].kind == kBad:
			var axes []value
			for k := range l.axes {
				axes = append(axes, dimValue(shape.Sym("axis."+strconv.Itoa(k+1))))
			}
			fr[d.slot] = listValue(axes)
		case !d.rest && d.slot >= 0:
			set(d.slot, d.name)
		}
		for _, v := range d.vars {
			set(v.slot, v.name)
		}
	}
}

// unknownParam is a parameter of which nothing but the type is known.
func (l *lowering) unknownParam(p *param, fr []value) value {
	if p.typ == nil || p.typ.opt {
		return bad
	}
	switch p.typ.word {
	case patTensor:
		return l.unknownTensor(p.typ, fr, p.name)
	case patInt:
		return dimValue(shape.Sym("parameter." + p.name))
	case patFloat:
		return floatValue(0.5)
	case patString:
		return stringValue(p.name)
	case patFormat:
		return formatValue(format.F32)
	}
	return bad
}

// unknownTensor is a tensor of a pattern's type; nothing where a variable of it is not bound.
func (l *lowering) unknownTensor(p *pattern, fr []value, name string) value {
	for i := range p.dims {
		if d := &p.dims[i]; d.rest && (d.slot < 0 || fr[d.slot].kind == kBad) {
			return bad
		}
	}
	t, ok := l.typeOf(p, fr)
	if !ok {
		return bad
	}
	if t.Format == format.Invalid {
		t.Format = format.F32
	}
	return tensorValue(l.fn.Body.AddParam(name, t))
}

// callAbstract gives what the signature of a def says of a call. Arguments that are not known are not judged.
func (l *lowering) callAbstract(c *callCode, f []value) value {
	known := true
	for _, p := range c.def.params {
		known = known && f[p.slot].kind != kBad
	}
	if !l.matchParams(c, f) {
		return bad
	}
	if len(c.def.results) == 0 {
		return bad
	}
	vals := make([]value, len(c.def.results))
	for i, p := range c.def.results {
		if p.word == patTensor && !p.opt {
			vals[i] = l.unknownTensor(p, f, "")
		}
		if vals[i].kind == kBad && known && p.word == patTensor {
			return c.expand(l, f) // a variable of the results alone: the body knows
		}
	}
	if !c.def.several {
		return vals[0]
	}
	return value{kind: kTuple, ref: vals}
}

// ifAbstract looks at every side of a choice that is not known.
func (c *ifCode) ifAbstract(l *lowering, fr []value) value {
	before := append([]value(nil), fr...)
	after := append([]value(nil), fr...)
	var result value
	blocks := c.blocks
	if c.els != nil {
		blocks = append(blocks[:len(blocks):len(blocks)], c.els)
	}
	for i, b := range blocks {
		copy(fr, before)
		v := b.eval(l, fr)
		if i == 0 {
			result = v
			copy(after, fr)
			continue
		}
		if !alike(result, v) {
			result = bad
		}
		for k := range fr {
			if !alike(after[k], fr[k]) {
				after[k] = bad
			}
		}
	}
	if c.els == nil {
		result = bad
		for k := range fr {
			if !alike(after[k], before[k]) {
				after[k] = bad
			}
		}
	}
	copy(fr, after)
	return result
}

// alike reports whether two values mean the same to an abstract check: tensors of one type, or equal values.
func alike(a, b value) bool {
	if a.kind != b.kind || a.kind == kBad {
		return false
	}
	switch a.kind {
	case kTensor:
		return a.tensor().Type.Equal(b.tensor().Type)
	case kTuple:
		x, y := a.list(), b.list()
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if !alike(x[i], y[i]) {
				return false
			}
		}
		return true
	case kObject:
		return a.ref == b.ref
	}
	eq, ok := a.equal(b)
	return eq && ok
}
