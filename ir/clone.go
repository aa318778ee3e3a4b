package ir

// ValueMap says which value of a copy stands for which of the original.
type ValueMap map[*Value]*Value

// of returns what stands for a value: itself when nothing does.
func (vm ValueMap) of(v *Value) *Value {
	if w, ok := vm[v]; ok {
		return w
	}
	return v
}

// Clone returns a copy of the module that shares nothing that changes. IDs are given anew, without gaps.
func (m *Module) Clone() *Module {
	c := NewModule(m.Name)
	c.Attrs = append([]Meta(nil), m.Attrs...)
	c.Files = append([]string(nil), m.Files...)
	c.Scopes = append([]string(nil), m.Scopes...)
	cl := cloner{dense: make([]*Value, m.nvalues)}
	for _, f := range m.Funcs {
		cl.function(c, f, f.Name)
	}
	return c
}

// CloneFunc adds a copy of a function of any module to m, under a name. Positions follow into m's tables.
func (m *Module) CloneFunc(f *Func, name string) *Func {
	cl := cloner{dense: make([]*Value, f.Module.nvalues)}
	if f.Module != m {
		cl.pos = positionsInto(m, f.Module)
	}
	return cl.function(m, f, name)
}

// CloneBlock appends copies of a block's parameters and ops to another block, which may be of another module if positions
// are none or tables are equal. vm, which may not be nil, says what stands for values from outside (others stand for
// themselves) and gets those of the block.
func CloneBlock(dst, src *Block, vm ValueMap) {
	for _, p := range src.Params {
		vm[p] = dst.AddParam(p.Name, p.Type)
	}
	for o := src.first; o != nil; o = o.next {
		CloneOp(dst, nil, o, vm)
	}
}

// CloneOp puts a copy of an op, its regions included, into a block before another op, or at the end when before is nil. vm is
// as for CloneBlock.
func CloneOp(dst *Block, before, o *Op, vm ValueMap) *Op {
	cl := cloner{sparse: vm}
	return cl.op(dst, before, o)
}

// cloner copies; it looks values up in a slice by ID when whole functions are copied, else in a map.
type cloner struct {
	dense  []*Value
	sparse ValueMap
	pos    func(Pos) Pos
	args   []*Value
	types  []Type
}

func (c *cloner) value(v *Value) *Value {
	if c.dense == nil {
		return c.sparse.of(v)
	}
	if w := c.dense[v.id]; w != nil {
		return w
	}
	return v
}

func (c *cloner) set(v, w *Value) {
	w.Name = v.Name
	if c.dense == nil {
		c.sparse[v] = w
	} else {
		c.dense[v.id] = w
	}
}

func (c *cloner) at(p Pos) Pos {
	if c.pos == nil {
		return p
	}
	return c.pos(p)
}

func (c *cloner) function(m *Module, f *Func, name string) *Func {
	g := m.NewFunc(name)
	g.Entry, g.Doc, g.States, g.Pos = f.Entry, f.Doc, f.States, c.at(f.Pos)
	g.Results = append([]string(nil), f.Results...)
	c.block(g.Body, f.Body)
	return g
}

func (c *cloner) block(dst, src *Block) {
	for _, p := range src.Params {
		c.set(p, dst.AddParam(p.Name, p.Type))
	}
	for o := src.first; o != nil; o = o.next {
		c.op(dst, nil, o)
	}
}

func (c *cloner) op(dst *Block, before, o *Op) *Op {
	args, types := c.args[:0], c.types[:0]
	for i := range o.args {
		args = append(args, c.value(o.args[i].val))
	}
	for _, r := range o.results {
		types = append(types, r.Type)
	}
	c.args, c.types = args, types
	n := dst.NewOp(o.Info, c.at(o.Pos), args, o.Attrs, types, before)
	for _, r := range o.Regions {
		c.block(n.NewRegion(), r)
	}
	for i, r := range o.results {
		c.set(r, n.results[i])
	}
	return n
}

// positionsInto returns what carries a position of one module over to the tables of another.
func positionsInto(dst, src *Module) func(Pos) Pos {
	files := make([]int32, len(src.Files)+1)
	scopes := make([]int32, len(src.Scopes)+1)
	in := func(i int32, cache []int32, names []string, add func(string) int32) int32 {
		if i <= 0 || int(i) >= len(cache) {
			return 0
		}
		if cache[i] == 0 {
			cache[i] = add(names[i-1])
		}
		return cache[i]
	}
	return func(p Pos) Pos {
		p.File = in(p.File, files, src.Files, dst.File)
		p.Scope = in(p.Scope, scopes, src.Scopes, dst.Scope)
		return p
	}
}

// Extract copies ops of one block, given in their order, into the one entry of a new module: what they read from outside
// becomes its inputs in order of first use, outs its results. The second result holds the values that the inputs
// stand for. Outs must be results of the ops or values they read.
func Extract(name string, ops []*Op, outs []*Value) (*Module, []*Value) {
	m := NewModule(name)
	f := m.NewFunc(name)
	f.Entry = true
	vm := ValueMap{}
	inside := make(map[*Op]bool, len(ops))
	for _, o := range ops {
		inside[o] = true
	}
	var inputs []*Value
	used := freshNames{}
	input := func(v *Value) {
		if vm[v] != nil || v.def != nil && inside[v.def] {
			return
		}
		n := used.of(v.Name, "x")
		vm[v] = f.AddInput(n, v.Type)
		inputs = append(inputs, v)
	}
	for _, o := range ops {
		for i := range o.args {
			input(o.args[i].val)
		}
	}
	for _, v := range outs {
		input(v)
	}
	if len(ops) > 0 {
		cl := cloner{sparse: vm, pos: positionsInto(m, ops[0].Func().Module)}
		for _, o := range ops {
			cl.op(f.Body, nil, o)
		}
	}
	results := freshNames{}
	args := make([]*Value, len(outs))
	for i, v := range outs {
		args[i] = vm.of(v)
		f.Results = append(f.Results, results.of(v.Name, "y"))
	}
	AtEnd(f.Body).Return(args...)
	return m, inputs
}

// freshNames gives out names, each once.
type freshNames map[string]int32 // the next number to put behind a name

// of returns the name given, or base where it is empty, with a number behind it if it was given out already.
func (u freshNames) of(name, base string) string {
	if name == "" {
		name = base
	}
	k := u[name]
	out := name
	for k > 0 {
		if out = string(withSuffix(nil, name, k)); u[out] == 0 {
			break
		}
		k++
	}
	u[name] = k + 1
	if out != name {
		u[out] = 1
	}
	return out
}
