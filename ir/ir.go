package ir

import (
	"fmt"

	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
)

// Type is the type of a value.
type Type = op.Type

// Module is a set of functions that share weights, dimension symbols and a table of source files.
type Module struct {
	Name  string
	Attrs []Meta // facts about the module, such as its level or chip, in the order they were set
	Files []string
	// Scopes names places in the model that positions refer to, such as layers.3.attn.
	Scopes []string
	Funcs  []*Func

	fileIndex  map[string]int32
	scopeIndex map[string]int32
	ops        slab[Op]
	values     slab[Value]
	uses       slab[Use]
	ptrs       slab[*Value]
	nops       int32 // how many ops and values were ever made; the next one's ID
	nvalues    int32
}

// MaxOp and MaxValue are one more than the largest ID of an op and of a value of the module, so that a side table is
// a slice and not a map.
func (m *Module) MaxOp() int { return int(m.nops) }

// MaxValue: see MaxOp.
func (m *Module) MaxValue() int { return int(m.nvalues) }

// Meta is a named fact about a module.
type Meta struct{ Key, Value string }

// Meta returns the value of a fact, or "".
func (m *Module) Meta(key string) string {
	for _, a := range m.Attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// SetMeta sets a fact; an empty value removes it.
func (m *Module) SetMeta(key, value string) {
	for i, a := range m.Attrs {
		if a.Key == key {
			if value == "" {
				m.Attrs = append(m.Attrs[:i], m.Attrs[i+1:]...)
			} else {
				m.Attrs[i].Value = value
			}
			return
		}
	}
	if value != "" {
		m.Attrs = append(m.Attrs, Meta{key, value})
	}
}

// Pos is where an op comes from: a source file's line and column (1-based; 0 is unknown) and the
// place in the model, such as layers.3.attn. File and Scope index Module.Files and Module.Scopes,
// plus one; 0 is none.
type Pos struct{ File, Line, Col, Scope int32 }

// File returns the index of a source file for Pos.File, adding it to the table when it is new.
func (m *Module) File(name string) int32 { return index(&m.fileIndex, &m.Files, name) }

// Scope returns the index of a place in the model for Pos.Scope, adding it when it is new.
func (m *Module) Scope(name string) int32 { return index(&m.scopeIndex, &m.Scopes, name) }

func index(ix *map[string]int32, list *[]string, name string) int32 {
	if name == "" {
		return 0
	}
	if *ix == nil {
		*ix = make(map[string]int32, len(*list)+1)
		for i, s := range *list {
			(*ix)[s] = int32(i + 1)
		}
	}
	if i, ok := (*ix)[name]; ok {
		return i
	}
	*list = append(*list, name)
	(*ix)[name] = int32(len(*list))
	return int32(len(*list))
}

// PosString prints a position as file:line:col (scope), leaving out what is unknown.
func (m *Module) PosString(p Pos) string {
	s := ""
	if p.File > 0 && int(p.File) <= len(m.Files) {
		s = m.Files[p.File-1]
		if p.Line > 0 {
			s += fmt.Sprintf(":%d:%d", p.Line, p.Col)
		}
	}
	if p.Scope > 0 && int(p.Scope) <= len(m.Scopes) {
		if s != "" {
			s += " "
		}
		s += "(" + m.Scopes[p.Scope-1] + ")"
	}
	return s
}

// Func returns the function of a name, or nil.
func (m *Module) Func(name string) *Func {
	for _, f := range m.Funcs {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Entries returns the functions that a user can run.
func (m *Module) Entries() []*Func {
	var out []*Func
	for _, f := range m.Funcs {
		if f.Entry {
			out = append(out, f)
		}
	}
	return out
}

// Func is a function: inputs and states in, results and new states out.
//
// Body.Params holds the inputs first, then the states. The body ends in op.Return, whose operands are
// the results (named by Results), then one new value for each state, in the order of the states.
type Func struct {
	Name    string
	Entry   bool
	Doc     string
	Body    *Block
	States  int // how many of the last parameters are states
	Results []string
	Pos     Pos
	Module  *Module
}

// Inputs returns the parameters that are not states.
func (f *Func) Inputs() []*Value { return f.Body.Params[:len(f.Body.Params)-f.States] }

// StateParams returns the parameters that are states.
func (f *Func) StateParams() []*Value { return f.Body.Params[len(f.Body.Params)-f.States:] }

// Return returns the op that ends the body, or nil while it has none.
func (f *Func) Return() *Op { return f.Body.Last() }

// Block is a sequence of ops with parameters: a function's body or an op's region.
type Block struct {
	Params      []*Value
	Parent      *Op   // the op whose region this is, or nil for a function's body
	Func        *Func // the function it is in
	first, last *Op
	n           int
}

// First and Last return the block's ends, nil when it is empty. Walk with Op.Next.
func (b *Block) First() *Op { return b.first }

// Last returns the block's last op, or nil.
func (b *Block) Last() *Op { return b.last }

// Len is the number of ops in the block, regions not counted.
func (b *Block) Len() int { return b.n }

// Ops returns the ops in order as a new slice, safe to range over while ops are erased or added.
func (b *Block) Ops() []*Op {
	out := make([]*Op, 0, b.n)
	for o := b.first; o != nil; o = o.next {
		out = append(out, o)
	}
	return out
}

// Op is one operation. Its Info and results never change; operands and attributes may, if the
// meaning of the module stays.
type Op struct {
	Info *op.Info
	// Attrs are in the normal form of op.Info.Normalise. Ops may share one list: give an op another, never write into it.
	Attrs   op.Attrs
	Regions []*Block
	Pos     Pos

	args       []Use
	results    []*Value
	block      *Block
	prev, next *Op
	// Mark is scratch for whoever walks the module; it means nothing between walks.
	Mark int32
	id   int32
}

// Value is what an op or a block parameter gives: it has one type and is set once.
type Value struct {
	Type Type
	Name string // kept from the source, without %; "" prints as a number
	def  *Op
	own  *Block // set instead of def for a parameter
	idx  int32  // which result or parameter
	nuse int32
	use  *Use
	// Mark is scratch, as Op.Mark.
	Mark int32
	id   int32
}

// Use is one operand slot: it ties a value to an op that reads it.
type Use struct {
	val        *Value
	op         *Op
	next, prev *Use
}

// ID numbers the ops of a module in the order they were made; it never changes and is below Module.MaxOp.
func (o *Op) ID() int { return int(o.id) }

// ID numbers the values of a module in the order they were made; it never changes and is below Module.MaxValue.
func (v *Value) ID() int { return int(v.id) }

// Next and Prev walk the block.
func (o *Op) Next() *Op { return o.next }

// Prev returns the op before, or nil.
func (o *Op) Prev() *Op { return o.prev }

// Block returns the block the op stands in, nil once it is erased.
func (o *Op) Block() *Block { return o.block }

// Func returns the function the op stands in.
func (o *Op) Func() *Func { return o.block.Func }

// NumArgs is the number of operands.
func (o *Op) NumArgs() int { return len(o.args) }

// Arg returns operand i.
func (o *Op) Arg(i int) *Value { return o.args[i].val }

// Args returns the operands as a new slice.
func (o *Op) Args() []*Value {
	out := make([]*Value, len(o.args))
	for i := range o.args {
		out[i] = o.args[i].val
	}
	return out
}

// Results returns the results. The caller must not change the slice.
func (o *Op) Results() []*Value { return o.results }

// Result returns result i.
func (o *Op) Result(i int) *Value { return o.results[i] }

// Is reports whether the op is of the given kind.
func (o *Op) Is(i *op.Info) bool { return o.Info == i }

// String names the op for messages: %y = add at model.mg:3:5 (layers.0).
func (o *Op) String() string {
	s := o.Info.Name
	if len(o.results) > 0 && o.results[0].Name != "" {
		s = "%" + o.results[0].Name + " = " + s
	}
	if o.block != nil && o.block.Func != nil {
		if p := o.block.Func.Module.PosString(o.Pos); p != "" {
			s += " at " + p
		}
	}
	return s
}

// Def returns the op that gives the value, or nil for a parameter.
func (v *Value) Def() *Op { return v.def }

// DefIs reports whether the value comes from an op of the given kind.
func (v *Value) DefIs(i *op.Info) bool { return v.def != nil && v.def.Info == i }

// Owner returns the block whose parameter the value is, or nil.
func (v *Value) Owner() *Block { return v.own }

// Index is which result of its op, or which parameter of its block, the value is.
func (v *Value) Index() int { return int(v.idx) }

// NumUses is how many operand slots read the value.
func (v *Value) NumUses() int { return int(v.nuse) }

// OnlyUser returns the op that reads the value if exactly one operand slot does, else nil.
func (v *Value) OnlyUser() *Op {
	if v.nuse == 1 {
		return v.use.op
	}
	return nil
}

// Users returns the ops that read the value, one entry an operand slot, latest use first.
func (v *Value) Users() []*Op {
	out := make([]*Op, 0, v.nuse)
	for u := v.use; u != nil; u = u.next {
		out = append(out, u.op)
	}
	return out
}

// EachUse calls f for each operand slot that reads the value; f must not change uses.
func (v *Value) EachUse(f func(user *Op)) {
	for u := v.use; u != nil; u = u.next {
		f(u.op)
	}
}

// Input gathers what the op's shape rule and verifier see.
func (o *Op) Input() op.Input {
	in := op.Input{Attrs: o.Attrs}
	if len(o.args) > 0 {
		in.Args = make([]Type, len(o.args))
		for i := range o.args {
			in.Args[i] = o.args[i].val.Type
		}
	}
	for _, r := range o.Regions {
		var reg op.Region
		for _, p := range r.Params {
			reg.Params = append(reg.Params, p.Type)
		}
		if r.last != nil {
			for i := range r.last.args {
				reg.Results = append(reg.Results, r.last.args[i].val.Type)
			}
		}
		in.Regions = append(in.Regions, reg)
	}
	return in
}

// ResultTypes returns the types of the results.
func (o *Op) ResultTypes() []Type {
	out := make([]Type, len(o.results))
	for i, r := range o.results {
		out[i] = r.Type
	}
	return out
}

// Walk calls f for every op of the block in order, an op before those in its regions. f may erase the op it is
// given, or add ops before it.
func (b *Block) Walk(f func(*Op)) {
	for o := b.first; o != nil; {
		next := o.next
		regions := o.Regions
		f(o)
		for _, r := range regions {
			r.Walk(f)
		}
		o = next
	}
}

// NumOps counts the module's ops, those in regions included.
func (m *Module) NumOps() int {
	n := 0
	for _, f := range m.Funcs {
		f.Body.Walk(func(*Op) { n++ })
	}
	return n
}

// Symbols returns the dimension symbols of a function's parameters, in order of appearance.
func (f *Func) Symbols() []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range f.Body.Params {
		for _, d := range p.Type.Shape {
			for _, s := range d.Symbols() {
				if !seen[s] {
					seen[s] = true
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// Tensor is short for a Type.
func Tensor(f format.Format, dims ...shape.Dim) Type { return Type{Format: f, Shape: dims} }
