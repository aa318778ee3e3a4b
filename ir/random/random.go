package random

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// Options say what a random module is made of. The zero value gives one entry of some 40 ops of all classes on f32,
// bf16 and f16, with constant dimensions, and without weights, states, kernels or control flow.
type Options struct {
	Ops     int                 // about how many; 0 is 40
	Funcs   int                 // how many, all entries; 0 is 1
	Symbols bool                // dimensions B and T in some inputs; Env says what they stand for
	Weights bool                // weight ops, whose tensors are Weights
	States  bool                // one or two states a function
	Kernels bool                // runs of elementwise ops in kernels
	Control bool                // ifs and loops
	Formats []format.Format     // of float inputs; nil is f32, bf16 and f16
	Only    func(*op.Info) bool // which ops may be drawn; nil is all. What they need as operands comes on top
}

// Env binds the symbols that random modules use.
func Env() map[string]int64 { return map[string]int64{"B": 2, "T": 3} }

// Module returns a module that verifies, the same for the same seed and options. Inputs made by Inputs lead to no NaN and,
// in the formats of inputs, to no overflow, as far as the magnitudes followed along say; indices are in range.
func Module(seed uint64, o Options) *ir.Module {
	if o.Ops <= 0 {
		o.Ops = 40
	}
	if o.Funcs <= 0 {
		o.Funcs = 1
	}
	if o.Formats == nil {
		o.Formats = []format.Format{format.F32, format.F32, format.BF16, format.F16}
	}
	m := ir.NewModule(fmt.Sprintf("random_%d", seed))
	m.File("random.mg")
	g := &gen{r: rand.New(rand.NewPCG(seed, 1)), m: m, o: o}
	for i := range o.Funcs {
		g.function(fmt.Sprintf("f%d", i))
	}
	return m
}

// val is a value and what is known of its elements: the largest magnitude of a float, and for an integer, when limit is
// positive, that elements are in 0…limit-1.
type val struct {
	*ir.Value
	bound float64
	limit int64
}

// mild is the largest magnitude that recipes let a float have; every float format of more than 6 bits holds it.
const mild = 100

type gen struct {
	r     *rand.Rand
	m     *ir.Module
	o     Options
	f     *ir.Func
	b     *ir.Builder
	pool  []val
	infos []*op.Info // what is drawn
	depth int        // regions around the builder
	names int
}

func (g *gen) one(n int) bool { return g.r.IntN(n) == 0 }

func choose[T any](g *gen, list ...T) T { return list[g.r.IntN(len(list))] }

func (g *gen) function(name string) {
	f := g.m.NewFunc(name)
	f.Entry = true
	g.f, g.b, g.pool = f, ir.AtEnd(f.Body), nil
	for i := range 2 + g.r.IntN(3) {
		s := g.shape(1 + g.r.IntN(3))
		if g.o.Symbols && g.one(2) {
			s[0] = choose(g, shape.Sym("B"), shape.Sym("T"), shape.Sym("B").Mul(shape.Sym("T")))
		}
		f0 := choose(g, g.o.Formats...)
		g.add(f.AddInput(fmt.Sprintf("x%d", i), ir.Type{Format: f0, Shape: s}), 2, 0)
	}
	g.add(f.AddInput("ids", ir.Type{Format: choose(g, format.I32, format.I64), Shape: g.shape(1 + g.r.IntN(2))}), 4, 4)
	if g.one(2) {
		g.add(f.AddInput("mask", ir.Type{Format: format.Bool, Shape: g.shape(1 + g.r.IntN(2))}), 1, 0)
	}
	if g.o.States {
		for i := range 1 + g.r.IntN(2) {
			s := shape.Of(2, 6, 1+g.r.Int64N(4))
			g.add(f.AddState(fmt.Sprintf("state%d", i), ir.Type{Format: choose(g, g.o.Formats...), Shape: s}), 2, 0)
		}
	}
	g.infos = nil
	for _, i := range op.All() {
		if recipes[i.Name] != nil && (g.o.Only == nil || g.o.Only(i)) && (i != op.Weight || g.o.Weights) && (i != op.If && i != op.Loop || g.o.Control) {
			g.infos = append(g.infos, i)
		}
	}
	for tries := 0; f.Body.Len() < g.o.Ops && tries < 20*g.o.Ops && len(g.infos) > 0; tries++ {
		if g.one(3) {
			g.b.Pos = ir.Pos{File: 1, Line: int32(f.Body.Len()), Col: 1 + g.r.Int32N(40), Scope: g.m.Scope(fmt.Sprintf("layers.%d", g.r.IntN(3)))}
		}
		g.draw()
	}
	if g.o.Kernels {
		g.kernels()
	}
	g.finish()
}

// draw adds an op of the table with what it needs, or nothing.
func (g *gen) draw() {
	i := g.infos[g.r.IntN(len(g.infos))]
	if (i == op.If || i == op.Loop) && g.depth >= deepest {
		return
	}
	recipes[i.Name](g, i)
	if g.b.Err != nil {
		panic(fmt.Sprintf("random: recipe of %s: %v", i.Name, g.b.Err))
	}
}

// finish returns up to six values that nothing reads, or any, and the states' new values.
func (g *gen) finish() {
	var args []*ir.Value
	for i := len(g.pool) - 1; i >= 0 && len(args) < 6; i-- {
		if v := g.pool[i]; v.NumUses() == 0 && v.Def() != nil && v.Def().Block() == g.f.Body {
			args = append(args, v.Value)
		}
	}
	if len(args) == 0 {
		args = append(args, g.f.Body.Params[0])
	}
	for i := range args {
		g.f.Results = append(g.f.Results, fmt.Sprintf("y%d", i))
	}
	for _, s := range g.f.StateParams() {
		v := s
		for _, p := range g.pool {
			if p.Type.Equal(s.Type) && p.bound <= 2 && (p.Def() == nil || p.Def().Block() == g.f.Body) && g.one(2) {
				v = p.Value
			}
		}
		args = append(args, v)
	}
	g.b.Return(args...)
}

// kernels moves runs of elementwise ops into kernels.
func (g *gen) kernels() {
	var run []*ir.Op
	k := 0
	flush := func() {
		for len(run) > 0 {
			n := min(len(run), 1+g.r.IntN(4))
			ops := run[:n]
			run = run[n:]
			inside := map[*ir.Op]bool{}
			for _, o := range ops {
				inside[o] = true
			}
			var outs []*ir.Value
			reads := false
			for _, o := range ops {
				for i := range o.NumArgs() {
					d := o.Arg(i).Def()
					reads = reads || d == nil || !inside[d]
				}
				v := o.Result(0)
				used := v.NumUses() == 0
				v.EachUse(func(u *ir.Op) { used = used || !inside[u] })
				if used {
					outs = append(outs, v)
				}
			}
			if !reads || g.one(4) {
				continue
			}
			o := g.b.Kernel(fmt.Sprintf("k%d", k), "map", ops, outs)
			k++
			for i, r := range o.Results() {
				for j := range g.pool {
					if g.pool[j].Value == outs[i] {
						g.pool[j].Value = r
					}
				}
			}
		}
	}
	for _, o := range g.f.Body.Ops() {
		if o.Info.Class == op.Elementwise {
			run = append(run, o)
			continue
		}
		flush()
	}
	flush()
}

// shape returns small constant dimensions.
func (g *gen) shape(rank int) shape.Shape {
	s := make(shape.Shape, rank)
	for i := range s {
		s[i] = shape.Const(1 + g.r.Int64N(5))
	}
	return s
}

// add puts a value into the pool, sometimes with a name.
func (g *gen) add(v *ir.Value, bound float64, limit int64) val {
	if v.Def() != nil && g.one(3) {
		g.names++
		v.Name = choose(g, "y", "h", "attn.out", "odd name", fmt.Sprintf("v%d", g.names))
	}
	x := val{v, bound, limit}
	g.pool = append(g.pool, x)
	return x
}

// op adds an op of one result to the function and the pool.
func (g *gen) op(i *op.Info, bound float64, attrs op.Attrs, args ...val) val {
	vs := make([]*ir.Value, len(args))
	for k, a := range args {
		vs[k] = a.Value
	}
	return g.add(g.b.Op(i, attrs, vs...), bound, 0)
}

// pick draws a value for which ok is true, newer ones more often.
func (g *gen) pick(ok func(val) bool) (val, bool) {
	for range 12 {
		i := g.r.IntN(len(g.pool))
		if j := g.r.IntN(len(g.pool)); j > i {
			i = j
		}
		if ok(g.pool[i]) {
			return g.pool[i], true
		}
	}
	for i := len(g.pool) - 1; i >= 0; i-- {
		if ok(g.pool[i]) {
			return g.pool[i], true
		}
	}
	return val{}, false
}

// usable excludes the scale format, which has neither zero nor sign.
func usable(f format.Format) bool { return f.IsFloat() && f != format.F8E8M0 }

// float draws a float of at most the given magnitude, brought there by tanh if need be, and of at least the given rank.
func (g *gen) float(bound float64, rank int) (val, bool) {
	x, ok := g.pick(func(v val) bool { return usable(v.Type.Format) && len(v.Type.Shape) >= rank })
	if ok && x.bound > bound {
		x = g.op(op.Tanh, 1, nil, x)
	}
	return x, ok
}

func (g *gen) integer(rank int) (val, bool) {
	return g.pick(func(v val) bool { return v.Type.Format.IsInt() && len(v.Type.Shape) >= rank })
}

func (g *gen) any(rank int) (val, bool) {
	return g.pick(func(v val) bool { return len(v.Type.Shape) >= rank && v.Type.Format != format.F8E8M0 })
}

// scalar adds a constant.
func (g *gen) scalar(f format.Format, x float64) val {
	return g.add(g.b.Scalar(f, x), math.Abs(x), 0)
}

// away returns |x| + 0.5: what may be divided by.
func (g *gen) away(x val) val {
	half := g.scalar(x.Type.Format, 0.5)
	return g.op(op.Add, x.bound+0.5, nil, g.op(op.Abs, x.bound, nil, x), half)
}

// need returns a value of just this type: from the pool, a constant, a weight, or a broadcast scalar. Floats have at most
// the magnitude 2, integers are in 0…limit-1.
func (g *gen) need(t ir.Type, limit int64) val {
	fits := func(v val) bool {
		return v.Type.Equal(t) && v.bound <= 2 && (limit == 0 || v.limit > 0 && v.limit <= limit)
	}
	if g.one(2) {
		if v, ok := g.pick(fits); ok {
			return v
		}
	}
	dims, err := t.Shape.Ints()
	if err != nil || t.Format == format.Bool && g.one(2) {
		c := g.need(ir.Type{Format: t.Format}, limit)
		v := g.op(op.Broadcast, c.bound, ir.A("shape", t.Shape), c)
		v.limit = c.limit
		return v
	}
	if g.o.Weights && limit == 0 && len(dims) > 0 && g.one(2) {
		return g.weight(t)
	}
	top := limit
	if top == 0 {
		top = 4
	}
	data := Tensor(g.r, t.Format, dims, top)
	v := g.b.Op(op.Constant, ir.A("value", data))
	return g.add(v, 2, limit)
}

func (g *gen) weight(t ir.Type) val {
	g.names++
	attrs := ir.A("name", fmt.Sprintf("model.w%d", g.names))
	if t.Format == format.F32 && g.one(4) {
		attrs = ir.A("name", fmt.Sprintf("model.w%d", g.names), "stored", format.BF16)
	}
	return g.add(g.b.Declare(op.Weight, attrs, []ir.Type{t}).Result(0), 2, 0)
}

// partner returns a value that broadcasts with x: of its shape, of its last dimensions, or a scalar.
func (g *gen) partner(x val, bound float64) val {
	if g.one(2) {
		y, ok := g.pick(func(v val) bool {
			_, err := shape.Broadcast(x.Type.Shape, v.Type.Shape)
			return err == nil && v.Type.Format == x.Type.Format && v.bound <= bound
		})
		if ok {
			return y
		}
	}
	s := append(shape.Shape(nil), x.Type.Shape...)
	if n := len(s); n > 0 {
		switch g.r.IntN(4) {
		case 0:
			s = s[g.r.IntN(n):]
		case 1:
			s[g.r.IntN(n)] = shape.Const(1)
		case 2:
			s = nil
		}
	}
	return g.need(ir.Type{Format: x.Type.Format, Shape: s}, 0)
}

// size returns a dimension's size, symbols bound as Env has them.
func size(d shape.Dim) int64 {
	n, err := d.Eval(Env())
	if err != nil {
		return 1
	}
	return n
}

// fixed reports whether all dimensions are numbers.
func fixed(v val) bool { return v.Type.Shape.IsConst() }

// Tensor returns a tensor with elements that are small: floats within ±2, integers in 0…limit-1 as far as the format
// goes, bools either.
func Tensor(r *rand.Rand, f format.Format, dims []int64, limit int64) *tensor.Tensor {
	t, err := tensor.New(f, dims)
	if err != nil {
		panic(err)
	}
	data, err := t.Bytes()
	if err != nil {
		panic(err)
	}
	for i := range int(t.Numel()) {
		var p uint64
		switch {
		case f == format.Bool:
			p = uint64(r.IntN(2))
		case f.IsInt():
			top := limit - 1
			if max := f.MaxUint(); uint64(top) > max {
				top = int64(max)
			}
			p = f.EncodeInt(r.Int64N(top + 1))
		case f == format.F8E8M0:
			p = f.Encode(math.Ldexp(1, r.IntN(5)-2))
		default:
			p = f.Encode(4*r.Float64() - 2)
			if r.IntN(16) == 0 { // the edges of what is mild
				in := f.Info()
				p = f.Encode([]float64{0, math.Copysign(0, -1), 1, -1, 2, -2, in.MinSubnormal, -in.MinNormal, 0.5, 1.5}[r.IntN(10)])
			}
		}
		format.Put(f, data, i, p)
	}
	return t
}

// Inputs returns tensors for the parameters of a function, states included, with symbols bound by env: small numbers as of
// Tensor, the same for the same seed.
func Inputs(f *ir.Func, seed uint64, env map[string]int64) ([]*tensor.Tensor, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	var out []*tensor.Tensor
	for _, p := range f.Body.Params {
		dims, err := p.Type.Shape.Eval(env)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", p.Name, err)
		}
		out = append(out, Tensor(r, p.Type.Format, dims, 4))
	}
	return out, nil
}

// Weights returns tensors for all weights of a module by name, as a checkpoint would hold them: in the stored
// format, stacks in parts. Scales have one element a block.
func Weights(m *ir.Module, seed uint64) (map[string]*tensor.Tensor, error) {
	r := rand.New(rand.NewPCG(seed, 3))
	out := map[string]*tensor.Tensor{}
	put := func(name string, f format.Format, dims []int64) {
		if out[name] == nil {
			out[name] = Tensor(r, f, dims, 4)
		}
	}
	var err error
	for _, f := range m.Funcs {
		f.Body.Walk(func(o *ir.Op) {
			if !o.Is(op.Weight) || err != nil {
				return
			}
			t := o.Result(0).Type
			dims, e := t.Shape.Ints()
			if e != nil {
				err = e
				return
			}
			stored := o.Attrs.Format("stored", t.Format)
			names, scales := []string{o.Attrs.Str("name", "")}, []string{o.Attrs.Str("scale", "")}
			if n := o.Attrs.Int("stack", 0); n > 0 {
				names, scales, dims = expand(names[0], n), expand(scales[0], n), dims[1:]
			}
			for i, name := range names {
				put(name, stored, dims)
				if block := o.Attrs.Ints("block"); len(block) == 2 && len(dims) >= 2 {
					s := append([]int64(nil), dims...)
					k := len(s)
					s[k-2], s[k-1] = (s[k-2]+block[0]-1)/block[0], (s[k-1]+block[1]-1)/block[1]
					put(scales[i], format.F32, s)
				}
			}
		})
	}
	return out, err
}

func expand(name string, n int64) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.Replace(name, "{}", fmt.Sprint(i), 1)
	}
	return out
}
