package ir

import "apogee/ir/op"

// NewModule returns an empty module.
func NewModule(name string) *Module { return &Module{Name: name} }

// NewFunc adds a function without parameters and with an empty body.
func (m *Module) NewFunc(name string) *Func {
	f := &Func{Name: name, Module: m}
	f.Body = &Block{Func: f}
	m.Funcs = append(m.Funcs, f)
	return f
}

// AddInput adds a parameter that is not a state; all inputs come before the states.
func (f *Func) AddInput(name string, t Type) *Value {
	if f.States > 0 {
		panic("ir: inputs come before states")
	}
	return f.Body.AddParam(name, t)
}

// AddState adds a parameter that outlives one run.
func (f *Func) AddState(name string, t Type) *Value {
	f.States++
	return f.Body.AddParam(name, t)
}

// AddParam adds a parameter to a block.
func (b *Block) AddParam(name string, t Type) *Value {
	v := b.Func.Module.newValue()
	v.Type, v.Name, v.own, v.idx = t, name, b, int32(len(b.Params))
	b.Params = append(b.Params, v)
	return v
}

// InsertParam adds a parameter before number i. A function's States is the caller's to keep right.
func (b *Block) InsertParam(i int, name string, t Type) *Value {
	v := b.AddParam(name, t)
	copy(b.Params[i+1:], b.Params[i:])
	b.Params[i] = v
	for j, p := range b.Params[i:] {
		p.idx = int32(i + j)
	}
	return v
}

// RemoveParam removes parameter i, which must have no uses. A function's States is the caller's to keep right.
func (b *Block) RemoveParam(i int) {
	if b.Params[i].nuse != 0 {
		panic("ir: removed parameter %" + b.Params[i].Name + " is still used")
	}
	b.Params[i].own = nil
	b.Params = append(b.Params[:i], b.Params[i+1:]...)
	for j, p := range b.Params[i:] {
		p.idx = int32(i + j)
	}
}

// NewRegion gives an op a new, empty region.
func (o *Op) NewRegion() *Block {
	b := &Block{Parent: o, Func: o.block.Func}
	o.Regions = append(o.Regions, b)
	return b
}

// NewOp makes an op with given result types and puts it before another, or at the end of the block when
// before is nil. It checks nothing: builders use Builder, which infers and checks; the text parser
// and the verifier check afterwards.
func (b *Block) NewOp(info *op.Info, pos Pos, args []*Value, attrs op.Attrs, results []Type, before *Op) *Op {
	m := b.Func.Module
	o := m.ops.one()
	o.Info, o.Attrs, o.Pos, o.id = info, attrs, pos, m.nops
	m.nops++
	if len(args) > 0 {
		o.args = m.uses.take(len(args))
		for i, v := range args {
			o.args[i].op = o
			o.args[i].set(v)
		}
	}
	if len(results) > 0 {
		o.results = m.ptrs.take(len(results))
		for i := range results {
			v := m.newValue()
			v.Type, v.def, v.idx = results[i], o, int32(i)
			o.results[i] = v
		}
	}
	b.insert(o, before)
	return o
}

func (m *Module) newValue() *Value {
	v := m.values.one()
	v.id = m.nvalues
	m.nvalues++
	return v
}

func (u *Use) set(v *Value) {
	u.clear()
	if v == nil {
		return
	}
	u.val, u.prev, u.next = v, nil, v.use
	if v.use != nil {
		v.use.prev = u
	}
	v.use = u
	v.nuse++
}

func (u *Use) clear() {
	v := u.val
	if v == nil {
		return
	}
	if u.prev != nil {
		u.prev.next = u.next
	} else {
		v.use = u.next
	}
	if u.next != nil {
		u.next.prev = u.prev
	}
	v.nuse--
	u.val, u.prev, u.next = nil, nil, nil
}

// SetArg makes operand i another value.
func (o *Op) SetArg(i int, v *Value) { o.args[i].set(v) }

// SetArgs replaces all operands.
func (o *Op) SetArgs(args []*Value) {
	for i := range o.args {
		o.args[i].clear()
	}
	o.args = o.block.Func.Module.uses.take(len(args))
	for i, v := range args {
		o.args[i].op = o
		o.args[i].set(v)
	}
}

// ReplaceAllUses makes every reader of v read w instead.
func (v *Value) ReplaceAllUses(w *Value) {
	if v == w {
		return
	}
	for v.use != nil {
		v.use.set(w)
	}
}

// Erase removes the op from its block. Its results must have no uses left.
func (o *Op) Erase() {
	for _, r := range o.results {
		if r.nuse != 0 {
			panic("ir: erased " + o.String() + " is still used")
		}
	}
	o.drop()
	o.unlink()
}

// drop releases the op's operands and those of the ops in its regions.
func (o *Op) drop() {
	for i := range o.args {
		o.args[i].clear()
	}
	for _, b := range o.Regions {
		for p := b.last; p != nil; p = p.prev {
			p.drop()
		}
	}
}

func (o *Op) unlink() {
	b := o.block
	if b == nil {
		return
	}
	if o.prev != nil {
		o.prev.next = o.next
	} else {
		b.first = o.next
	}
	if o.next != nil {
		o.next.prev = o.prev
	} else {
		b.last = o.prev
	}
	b.n--
	o.block, o.prev, o.next = nil, nil, nil
}

// insert links an op that is in no block before another, or at the end when before is nil.
func (b *Block) insert(o, before *Op) {
	o.block = b
	b.n++
	if before == nil {
		o.prev = b.last
		if b.last != nil {
			b.last.next = o
		} else {
			b.first = o
		}
		b.last = o
		return
	}
	o.next, o.prev = before, before.prev
	if before.prev != nil {
		before.prev.next = o
	} else {
		b.first = o
	}
	before.prev = o
}

// MoveBefore moves the op to stand before another, perhaps in another block.
func (o *Op) MoveBefore(before *Op) {
	if o == before {
		return
	}
	o.unlink()
	before.block.insert(o, before)
}

// MoveToEnd moves the op to the end of a block.
func (o *Op) MoveToEnd(b *Block) {
	o.unlink()
	b.insert(o, nil)
}
