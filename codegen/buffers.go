package codegen

import (
	"fmt"
	"strconv"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/view"
	"apogee/targets/plan"
)

// newBuffer gives a value a buffer.
func (b *compiler) newBuffer(v *ir.Value, name string, kind plan.BufferKind) int {
	i := b.addBuffer(name, kind, v.Type.Format, shapeOf(v))
	b.buffer[v] = i
	return i
}

// addBuffer adds a buffer whose name is made unique.
func (b *compiler) addBuffer(name string, kind plan.BufferKind, f format.Format, shape []int64) int {
	unnamed := name == ""
	base := name
	if unnamed {
		base = "t"
	}
	for {
		n := b.names[base]
		if unnamed {
			n = b.names[""] // t.0, t.1, …: a value that is called t keeps its name
			b.names[""]++
		} else {
			b.names[base]++
		}
		if n == 0 && !unnamed {
			break
		}
		name = base + "." + strconv.Itoa(n)
		if b.names[name] == 0 {
			b.names[name]++
			break
		}
	}
	size, _ := format.NumBytes(f, numel(shape))
	b.p.Buffers = append(b.p.Buffers, plan.Buffer{Name: name, Kind: kind, Format: f, Shape: shape, Size: size, First: -1, Last: -1})
	return len(b.p.Buffers) - 1
}

// weight gives a weight its buffer; the same tensor loaded in the same way is there once.
func (b *compiler) weight(o *ir.Op) {
	v, name := o.Result(0), o.Attrs.Str("name", "")
	s := &plan.Source{Name: name, Stack: o.Attrs.Int("stack", 0), Stored: o.Attrs.Format("stored", v.Type.Format),
		Scale: o.Attrs.Str("scale", ""), Block: o.Attrs.Ints("block"), Shape: shapeOf(v)}
	if s.Stack > 0 {
		s.Shape = s.Shape[1:]
	}
	s.Quantise, s.QuantiseBlock = o.Attrs.Format("quantise", format.Invalid), o.Attrs.Ints("quantise_block")
	s.MX = o.Attrs.Str("quantise_scale", "exact") == "mx"
	if n := o.Attrs.Int("width", 0); n > 0 {
		s.Scales = true
		s.Shape = append(append([]int64(nil), s.Shape[:len(s.Shape)-1]...), n)
		if rows := o.Attrs.Int("rows", 0); rows > 0 {
			s.Shape[len(s.Shape)-2] = rows
		}
	}
	key := fmt.Sprintf("%s %v %q", v.Type.Format, shapeOf(v), fmt.Sprintf("%+v", *s))
	if i, ok := b.weights[key]; ok {
		b.buffer[v] = i
		return
	}
	i := b.newBuffer(v, name, plan.Weight)
	b.p.Buffers[i].Source = s
	b.weights[key] = i
}

// workspace is the buffer for scratch of kernels, of at least the given size. All steps share it.
func (b *compiler) workspace(size int64) int {
	if b.space < 0 {
		b.space = b.addBuffer("workspace", plan.Workspace, format.U8, []int64{0})
	}
	w := &b.p.Buffers[b.space]
	w.Size = max(w.Size, size)
	w.Shape[0] = w.Size
	return b.space
}

// liveness finds the last op that reads each value, its reshapes included: they are the same bytes.
func (b *compiler) liveness() {
	b.last, b.order = map[*ir.Value]int{}, map[*ir.Op]int{}
	n := 0
	var walk func(g *ir.Block)
	walk = func(g *ir.Block) {
		for o := g.First(); o != nil; o = o.Next() {
			n++
			b.order[o] = n
			if !o.Is(op.Reshape) {
				for i := 0; i < o.NumArgs(); i++ {
					b.last[source(o.Arg(i))] = n
				}
			}
			if !o.Is(op.Kernel) {
				for _, r := range o.Regions {
					walk(r)
				}
			}
		}
	}
	walk(b.f.Body)
}

// source is the value that a reshape at the level of the function has its bytes from.
func source(v *ir.Value) *ir.Value {
	for v.DefIs(op.Reshape) {
		v = v.Def().Arg(0)
	}
	return v
}

// inPlace is the operand in whose buffer result i of a kernel is made, or -1. A result is made in place when it is an update of the
// whole operand, which nothing else in the kernel reads.
func inPlace(o *ir.Op, i int) int {
	r := o.Regions[0].Last().Arg(i)
	if !r.DefIs(op.Update) {
		return -1
	}
	x := r.Def().Arg(0)
	w, ok := view.Of(x)
	if !ok || w.Source.Owner() != o.Regions[0] || !w.Dense() || numel(w.Size) != numel(shapeOf(w.Source)) {
		return -1
	}
	for v := x; ; v = v.Def().Arg(0) {
		if v.NumUses() != 1 {
			return -1
		}
		if v == w.Source {
			return v.Index()
		}
	}
}

// alias gives the buffer of an operand that a kernel writes to. The operand is copied first if somebody reads it later.
func (b *compiler) alias(o *ir.Op, from int) (int, error) {
	x := o.Arg(from)
	buf := b.buffer[x]
	if b.writable(o, from) {
		return buf, nil
	}
	to := b.addBuffer(x.Name, plan.Temp, x.Type.Format, shapeOf(x))
	return to, b.copy(x, buf, to, o)
}

// copy adds the step that copies one buffer to another of the same type.
func (b *compiler) copy(like *ir.Value, from, to int, at *ir.Op) error {
	m := ir.NewModule("copy")
	f := m.NewFunc("copy")
	x := f.AddInput("x", like.Type)
	ir.AtEnd(f.Body).Return(x)
	k := f.Body.NewOp(op.Kernel, ir.Pos{}, []*ir.Value{x}, ir.A("name", "copy", "kind", "copy"), []ir.Type{like.Type}, f.Return())
	r := k.NewRegion()
	ir.AtEnd(r).Yield(r.AddParam("x", like.Type))
	c, err := b.compile(k, plan.Pos{})
	if err != nil {
		return err
	}
	b.steps(c, []int{from}, []int{to}, "copy", b.pos(at.Pos))
	return nil
}

// finish binds results and states to the buffers that the caller reads.
func (b *compiler) finish(ret *ir.Op) error {
	f := b.f
	results := ret.NumArgs() - f.States
	for i := 0; i < results; i++ {
		v := ret.Arg(i)
		name := fmt.Sprintf("result%d", i)
		if i < len(f.Results) {
			name = f.Results[i]
		}
		buf := b.buffer[v]
		if x := &b.p.Buffers[buf]; x.Kind == plan.Temp {
			x.Kind, x.Name, x.Shape = plan.Output, name, shapeOf(v)
			continue
		}
		// An input, a weight, a state or a value returned twice: the result is a copy.
		b.p.Buffers = append(b.p.Buffers, plan.Buffer{Name: name, Kind: plan.Output, Format: v.Type.Format, Shape: shapeOf(v), Size: bytesOf(v), First: -1, Last: -1})
		if err := b.copy(v, buf, len(b.p.Buffers)-1, ret); err != nil {
			return err
		}
	}
	// States may take what another state held.
	var list []move
	for i, s := range f.StateParams() {
		v := ret.Arg(results + i)
		list = append(list, move{v, b.buffer[v], b.buffer[s]})
	}
	return b.moves(list, ret)
}
