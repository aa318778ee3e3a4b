package ir

import (
	"fmt"
	"strconv"

	"apogee/ir/diag"
	"apogee/ir/op"
)

// Verify checks every rule that a module keeps between passes, in time linear in its ops:
//
//   - an op's operands, regions and attributes are as the op table says, attributes in the table's order without defaults,
//     and its results have the types that its shape rule gives;
//   - an op reads only what stands before it in its own block: a region sees its parameters and nothing from outside;
//   - a function's body ends in return and a region in yield, and neither stands elsewhere;
//   - return gives one value for each result, then one for each state, of the state's type;
//   - functions have names of their own, and so have a function's results; an entry's inputs, states and results all have
//     names, each once, since users give and take them by name;
//   - positions refer to files and scopes of the module's tables;
//   - blocks, owners and use lists agree.
//
// The list names the op and its position; its Err is nil if all is well.
func Verify(m *Module) *diag.List { return VerifyAfter(m, "") }

// VerifyAfter is Verify with a note in every diagnostic that names the pass that ran last.
func VerifyAfter(m *Module, pass string) *diag.List {
	v := verifier{m: m, pass: pass, list: &diag.List{}}
	v.module()
	return v.list
}

// Load parses and verifies; what Verify finds gets its place in the text.
func Load(src *diag.Source) (*Module, *diag.List) {
	m, places, list := parse(src, true)
	if m == nil {
		return nil, list
	}
	v := verifier{m: m, list: list, src: src, places: places}
	v.module()
	if list.HasErrors() {
		list.Sort()
		return nil, list
	}
	return m, list
}

type verifier struct {
	m      *Module
	f      *Func
	pass   string
	list   *diag.List
	src    *diag.Source
	places []place
	names  *Names // made once there is something to say
	named  *Func  // whose names they are

	set   []uint64 // by value ID: the value is set above
	check checker
	types []Type
	args  []*Value
}

func (v *verifier) module() {
	v.set = make([]uint64, (v.m.nvalues+63)/64)
	funcs := make(map[string]bool, len(v.m.Funcs))
	for i, f := range v.m.Funcs {
		if f == nil || f.Body == nil || f.Module != v.m {
			v.report(CodeBroken, nil, "function %d is of another module, or has no body", i)
			continue
		}
		v.f = f
		if f.Name == "" {
			v.report(CodeStructure, nil, "function %d has no name", i)
		}
		if funcs[f.Name] {
			v.report(CodeTwice, nil, "two functions have this name")
		}
		funcs[f.Name] = true
		v.function()
		if v.list.Full() {
			return
		}
	}
}

// report adds an error about an op, or about the function when o is nil.
func (v *verifier) report(code string, o *Op, format string, args ...any) *diag.Diagnostic {
	d := diag.Errorf(code, diag.Range{}, format, args...)
	if v.f != nil {
		d.Where = "@" + v.f.Name
	}
	if o != nil {
		text := v.namesOf().Text(o)
		d.Where += ": "
		if len(o.results) > 0 {
			d.Where += string(v.names.append(nil, o.results[0])) + " = "
		}
		d.Where += o.Info.Name
		if at := v.m.PosString(o.Pos); at != "" {
			d.Where += " at " + at
		}
		if v.src != nil && int(o.id) < len(v.places) {
			d.Range = v.src.Range(int(v.places[o.id].from), int(v.places[o.id].to))
		} else {
			d.Note(diag.Range{}, "the op is: %s", clip(text, 400))
		}
	}
	if v.pass != "" {
		d.Note(diag.Range{}, "after pass %s", v.pass)
	}
	v.list.Add(d)
	return d
}

func (v *verifier) namesOf() *Names {
	if v.names == nil {
		v.names = &Names{label: make([]int32, v.m.nvalues)}
	}
	if v.named != v.f {
		v.names.add(v.f)
		v.named = v.f
	}
	return v.names
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

func (v *verifier) function() {
	f := v.f
	if f.Body.Func != f || f.Body.Parent != nil {
		v.report(CodeBroken, nil, "the body belongs to another function or op")
		return
	}
	if f.States < 0 || f.States > len(f.Body.Params) {
		v.report(CodeStructure, nil, "the function has %d parameters but %d states", len(f.Body.Params), f.States)
		return
	}
	v.position(nil, f.Pos)
	v.resultNames()
	if f.Entry {
		v.entry()
	}
	v.block(f.Body, op.Return, 0)
	ret := f.Body.last
	if ret == nil || ret.Info != op.Return {
		return
	}
	if n := len(f.Results) + f.States; len(ret.args) != n {
		v.report(CodeStructure, ret, "return gives the results, then the states").
			Expect(fmt.Sprintf("%d values (%d results and %d states)", n, len(f.Results), f.States), strconv.Itoa(len(ret.args)))
		return
	}
	for i, s := range f.StateParams() {
		if x := ret.args[len(f.Results)+i].val; x != nil && !x.Type.Equal(s.Type) {
			v.report(CodeStructure, ret, "the new value of state %s has another type than the state", s.Name).Expect(s.Type.String(), x.Type.String())
		}
	}
}

func (v *verifier) resultNames() {
	names := map[string]bool{}
	for i, r := range v.f.Results {
		switch {
		case r == "":
			v.report(CodeStructure, nil, "result %d has no name", i+1)
			return
		case names[r]:
			v.report(CodeTwice, nil, "two results are called %s", r)
			return
		}
		names[r] = true
	}
}

// entry checks what users refer to by name.
func (v *verifier) entry() {
	seen := map[string]bool{}
	for i, p := range v.f.Body.Params {
		switch {
		case p.Name == "":
			v.report(CodeStructure, nil, "parameter %d of an entry has no name", i+1)
			return
		case seen[p.Name]:
			v.report(CodeTwice, nil, "two parameters of an entry are called %s", p.Name)
			return
		}
		seen[p.Name] = true
	}
	if len(v.f.Results)+v.f.States == 0 {
		v.report(CodeStructure, nil, "an entry gives no result and keeps no state")
	}
}

func (v *verifier) position(o *Op, p Pos) {
	if p == (Pos{}) {
		return
	}
	if p.File < 0 || int(p.File) > len(v.m.Files) || p.Scope < 0 || int(p.Scope) > len(v.m.Scopes) || p.Line < 0 || p.Col < 0 {
		v.report(CodePosition, o, "the position @%d:%d:%d:%d is not in the module's tables of %d files and %d scopes",
			p.File, p.Line, p.Col, p.Scope, len(v.m.Files), len(v.m.Scopes))
	}
}

func (v *verifier) isSet(x *Value) bool { return v.set[x.id>>6]&(1<<(x.id&63)) != 0 }

// define notes that a value is set, and checks its use list.
func (v *verifier) define(x *Value, o *Op) {
	if x.id < 0 || x.id >= v.m.nvalues || v.isSet(x) {
		v.report(CodeBroken, o, "a value is set twice, or is of another module")
		return
	}
	v.set[x.id>>6] |= 1 << (x.id & 63)
	n := int32(0)
	for u := x.use; u != nil; u = u.next {
		if n++; n > x.nuse || u.val != x || u.op == nil || u.op.block == nil {
			v.report(CodeBroken, o, "the use list of %%%s is inconsistent, or holds an op that was erased", x.Name)
			return
		}
	}
	if n != x.nuse {
		v.report(CodeBroken, o, "%%%s has %d uses but counts %d", x.Name, n, x.nuse)
	}
}

func (v *verifier) block(b *Block, terminator *op.Info, depth int) {
	if depth > maxNesting {
		v.report(CodeLimit, b.Parent, "regions are nested more than %d deep", maxNesting)
		return
	}
	for i, p := range b.Params {
		if p.own != b || p.def != nil || int(p.idx) != i {
			v.report(CodeBroken, b.Parent, "parameter %d of a block has another owner", i+1)
			return
		}
		v.define(p, b.Parent)
		if err := p.Type.Shape.Err(); err != nil || !p.Type.Format.Valid() {
			v.report(CodeType, b.Parent, "parameter %%%s has no valid type: %s", p.Name, p.Type)
		}
	}
	n := 0
	var prev *Op
	for o := b.first; o != nil; o = o.next {
		if n++; n > b.n || o.block != b || o.prev != prev || o.Info == nil {
			v.report(CodeBroken, b.Parent, "the ops of a block are not one list")
			return
		}
		v.op(o, depth)
		if o.Info.Terminator && (o.next != nil || o.Info != terminator) {
			v.report(CodeStructure, o, "%s ends a block, and here a block ends in %s", o.Info.Name, terminator.Name)
		}
		if v.list.Full() {
			return
		}
		prev = o
	}
	if b.last != prev || n != b.n {
		v.report(CodeBroken, b.Parent, "the ops of a block are not one list")
		return
	}
	if prev == nil || !prev.Info.Terminator {
		d := v.report(CodeStructure, b.Parent, "the block does not end in %s", terminator.Name)
		if b.Parent == nil {
			d.Message = "the function does not end in " + terminator.Name
		}
	}
}

func (v *verifier) op(o *Op, depth int) {
	ok := v.operands(o) && v.attributes(o)
	v.position(o, o.Pos)
	for _, r := range o.Regions {
		if r.Parent != o || r.Func != v.f {
			v.report(CodeBroken, o, "a region belongs to another op or function")
			ok = false
			break
		}
		before := v.list.Errors()
		v.block(r, op.Yield, depth+1)
		ok = ok && v.list.Errors() == before
	}
	// The results are set in any case, so that one mistake is not told again at every reader.
	if !v.results(o) || !ok {
		return
	}
	v.types = v.types[:0]
	for _, r := range o.results {
		v.types = append(v.types, r.Type)
	}
	v.args = v.args[:0]
	for i := range o.args {
		v.args = append(v.args, o.args[i].val)
	}
	if v.types == nil {
		v.types = []Type{}
	}
	if p := v.check.op(o.Info, o.Attrs, v.args, o.Regions, v.types, len(v.types)); p != nil {
		v.report(p.code, o, "%s", p.message).Expect(p.expected, p.found)
	}
}

func (v *verifier) operands(o *Op) bool {
	for i := range o.args {
		u := &o.args[i]
		x := u.val
		if x == nil {
			v.report(CodeBroken, o, "operand %d is missing", i+1)
			return false
		}
		if u.op != o || u.prev == nil && x.use != u || u.prev != nil && u.prev.next != u || u.next != nil && u.next.prev != u {
			v.report(CodeBroken, o, "operand %d is not in its value's use list", i+1)
			return false
		}
		from := x.own
		if x.def != nil {
			from = x.def.block
		}
		if from != o.block || x.id >= v.m.nvalues || !v.isSet(x) {
			v.dominance(o, x, from)
			return false
		}
	}
	return true
}

func (v *verifier) attributes(o *Op) bool {
	if len(o.Attrs) == 0 && len(o.Info.Attrs) == 0 {
		return true
	}
	norm, err := o.Info.Normalise(o.Attrs)
	switch {
	case err != nil:
		v.report(CodeAttr, o, "%s", err)
		return false
	case len(norm) != len(o.Attrs) || len(norm) > 0 && &norm[0] != &o.Attrs[0]:
		v.report(CodeAttr, o, "the attributes are not in the order of the op table, or state a default")
	}
	return true
}

func (v *verifier) results(o *Op) bool {
	for i, r := range o.results {
		if r.def != o || r.own != nil || int(r.idx) != i {
			v.report(CodeBroken, o, "result %d belongs to another op", i+1)
			return false
		}
		v.define(r, o)
		if !r.Type.Format.Valid() {
			v.report(CodeType, o, "result %d has no valid type", i+1)
			return false
		}
	}
	return true
}

// dominance reports an operand that is not set before the op in its block.
func (v *verifier) dominance(o *Op, x *Value, from *Block) {
	text := string(v.namesOf().append(nil, x))
	switch {
	case from == nil:
		v.report(CodeDominance, o, "%s is the result of an op that was erased", text)
	case from.Func != v.f:
		v.report(CodeDominance, o, "%s is a value of another function", text)
	case from == o.block:
		v.report(CodeDominance, o, "%s is set after this op", text)
	case o.block.Parent != nil:
		v.report(CodeDominance, o, "%s is set outside this region, which sees its own parameters only", text)
	default:
		v.report(CodeDominance, o, "%s is set inside a region, which only the region sees", text)
	}
}
