package passes

import (
	"fmt"
	"sort"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

var legaliseInfo = &Info{
	Name: "legalise",
	Doc: "Rewrites what the chip cannot do into what it can, asking its description alone: ops in formats without arithmetic are done in wider ones, casts take the ways that exist, " +
		"products get operands that a matrix engine takes or become sums of elementwise products, and rows that do not fit the vector memory are cut. What nothing can stand in for is an error that lists what the chip has. " +
		"It needs numbers for all dimensions; no value changes but by rounding to a format at least as wide, except where a remark says so.",
	Rules: rewrite.Join(rewrite.Set{replaceWide}, formatRules, productRules, rowRules, loadRules),
	Chip:  true,
	run:   legalise,
}

func legalise(p *Pass) error {
	a := newAbility(p.Chip)
	l := &legaliser{ability: a, p: p, list: &diag.List{}, limit: rowLimit(p.Chip)}
	for _, f := range p.Module.Funcs {
		if err := l.replaceWide(f); err != nil {
			return err
		}
	}
	// What the loader does is done; then rows: what they become may need other formats.
	if err := p.rewrite(rewrite.Join(productRules, loadRules, rowRules, formatRules), l); err != nil {
		return err
	}
	for _, f := range p.Module.Funcs {
		f.Body.Walk(func(o *ir.Op) {
			if !o.Is(op.Kernel) && !l.list.Full() {
				l.check(o)
			}
		})
	}
	return l.list.Err()
}

// legaliser is what the rules of legalise know.
type legaliser struct {
	*ability
	p     *Pass
	list  *diag.List
	limit int64 // bytes that a row of a map kernel may take
	space *space
}

// ability answers what the vector engine that kernels use can do.
type ability struct {
	c       *chip.Chip
	engines []*chip.Engine // those that share the queue of the engine for f32
}

func newAbility(c *chip.Chip) *ability {
	a := &ability{c: c}
	if e, _, ok := c.Vector(format.F32, chip.Basic); ok {
		for _, x := range c.EnginesOf(chip.Vector) {
			if x.Queue == e.Queue {
				a.engines = append(a.engines, x)
			}
		}
	}
	return a
}

// has reports whether some engine has all classes of operations on a format.
func (a *ability) has(f format.Format, classes ...chip.OpClass) bool {
	for _, e := range a.engines {
		ok := true
		for _, c := range classes {
			r := e.Rate(f, c)
			if r == nil && c == chip.Basic && f == format.Bool {
				for i := range e.Vector { // a bool is worked on as the narrowest integer
					if e.Vector[i].Op == chip.Basic && e.Vector[i].Format.IsInt() {
						r = &e.Vector[i]
					}
				}
			}
			ok = ok && r != nil
		}
		if ok {
			return true
		}
	}
	return false
}

// moves reports whether elements of a format can be copied and selected: bits that nothing looks at.
func (a *ability) moves(f format.Format) bool {
	if f.Bits()%8 != 0 {
		return false
	}
	for _, e := range a.engines {
		for i := range e.Vector {
			if e.Vector[i].Op == chip.Basic && e.Vector[i].Format.Bits() >= f.Bits() {
				return true
			}
		}
	}
	return false
}

func (a *ability) casts(from, to format.Format) bool {
	for _, e := range a.engines {
		if e.CanCast(from, to) {
			return true
		}
	}
	return false
}

// route is the shortest chain of conversions from one format to another whose formats in between keep every value that keep is true for;
// nil if there is none.
func (a *ability) route(from, to format.Format, keep func(format.Format) bool) []format.Format {
	prev := map[format.Format]format.Format{from: from}
	for queue := []format.Format{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			var way []format.Format
			for ; at != from; at = prev[at] {
				way = append([]format.Format{at}, way...)
			}
			return way
		}
		for _, e := range a.engines {
			for _, p := range e.Casts {
				if _, seen := prev[p.To]; p.From == at && !seen && (p.To == to || keep(p.To)) {
					prev[p.To] = at
					queue = append(queue, p.To)
				}
			}
		}
	}
	return nil
}

// formats lists what the engine computes in.
func (a *ability) formats() string {
	seen := map[string]bool{}
	for _, e := range a.engines {
		for _, r := range e.Vector {
			if r.Op == chip.Basic {
				seen[r.Format.String()] = true
			}
		}
	}
	return join(seen)
}

// products lists the operand formats of the matrix engines.
func (a *ability) products() string {
	seen := map[string]bool{}
	for _, e := range a.c.EnginesOf(chip.Matrix) {
		for _, r := range e.Matrix {
			seen[fmt.Sprintf("%s by %s", r.A, r.B)] = true
		}
	}
	return join(seen)
}

func join(set map[string]bool) string {
	out := make([]string, 0, len(set))
	for s := range set {
		out = append(out, s)
	}
	sort.Strings(out)
	return strings.Join(out, ", ")
}

// standIn is the format that an op of these classes is done in instead of f: f itself if it has them all. Invalid means that there
// is none. Every value of f is one of the stand-in's.
func (a *ability) standIn(f format.Format, classes ...chip.OpClass) format.Format {
	if a.has(f, classes...) {
		return f
	}
	var list []format.Format
	switch {
	case f.IsFloat():
		list = []format.Format{format.F32, format.F64}
	case f == format.Bool:
		list = []format.Format{format.I32, format.F32}
	default:
		list = []format.Format{format.I32, format.I64, format.F32}
	}
	for _, g := range list {
		if exact(f, g) && a.has(g, classes...) {
			return g
		}
	}
	return format.Invalid
}

// classesOf are the classes of operations that an elementwise op is made of.
func classesOf(o *ir.Op) []chip.OpClass {
	switch o.Info {
	case op.Exp, op.Log, op.Sqrt, op.Rsqrt, op.Sin, op.Cos, op.Tanh, op.Erf, op.Atan:
		return []chip.OpClass{chip.Transcendental}
	case op.Sigmoid:
		return []chip.OpClass{chip.Transcendental, chip.Divide}
	case op.Pow:
		return []chip.OpClass{chip.Transcendental, chip.Basic}
	case op.Reciprocal, op.Div, op.Rem:
		return []chip.OpClass{chip.Divide}
	}
	return []chip.OpClass{chip.Basic}
}

var replaceWide = &rewrite.Rule{Name: "ReplaceWideFormat", Doc: "Where the chip has no arithmetic in i64, u64, u32 or f64, values of it inside a function are i32 or f32 (or the wider one it has); what the function takes and gives keeps its format."}

// replaceWide gives values of formats that are wider than anything the chip computes in the widest format of their kind that it does.
func (l *legaliser) replaceWide(f *ir.Func) error {
	to := map[format.Format]format.Format{}
	for _, x := range []struct {
		from format.Format
		to   []format.Format
	}{
		{format.I64, []format.Format{format.I32}},
		{format.U64, []format.Format{format.I64, format.I32}},
		{format.U32, []format.Format{format.I64, format.I32}},
		{format.F64, []format.Format{format.F32}},
	} {
		if l.has(x.from, chip.Basic) {
			continue
		}
		for _, t := range x.to {
			if l.has(t, chip.Basic) {
				to[x.from] = t
				break
			}
		}
	}
	if len(to) == 0 || !has(f, func(x format.Format) bool { return to[x] != format.Invalid }) || !l.p.fire(replaceWide, f.Body.First()) {
		return nil
	}
	ret := f.Return()
	var old []format.Format
	for i := 0; i < ret.NumArgs(); i++ {
		old = append(old, ret.Arg(i).Type.Format)
	}
	first := f.Body.First()
	said := map[format.Format]bool{}
	say := func(o *ir.Op, from format.Format) {
		if !said[from] {
			said[from] = true
			l.p.remark(replaceWide, o, "%s has no arithmetic in %s: it is done in %s, so values beyond its range or precision are wrong", l.c.Name, from, to[from])
		}
	}
	for i, v := range f.Body.Params {
		from := v.Type.Format
		t, ok := to[from]
		if !ok || v.NumUses() == 0 || onlyIndex(v) {
			continue
		}
		say(first, from)
		if i >= len(f.Inputs()) { // a state keeps its format; it is read and written through casts
			continue
		}
		users := v.Users()
		w := ir.At(first).Op(op.Cast, ir.A("format", t), v)
		for _, u := range users {
			for k := 0; k < u.NumArgs(); k++ {
				if u.Arg(k) == v && u != w.Def() && !isIndex(u, k) {
					u.SetArg(k, w)
				}
			}
		}
	}
	states := map[*ir.Value]bool{}
	for _, s := range f.StateParams() {
		states[s] = true
	}
	for o := f.Body.First(); o != nil; o = o.Next() {
		change := false
		for _, r := range o.Results() {
			_, ok := to[r.Type.Format]
			change = change || ok
		}
		if o.Is(op.Update) && states[through(o.Arg(0), op.Reshape)] {
			// The rows written to a state are cast to its format.
			if s, y := o.Arg(0).Type.Format, o.Arg(1).Type.Format; s != y {
				o.SetArg(1, ir.At(o).Cast(o.Arg(1), s))
			}
			continue
		}
		if !o.Info.Terminator && !o.Is(op.Kernel) && !o.Is(op.Bitcast) && !o.Is(op.Cast) {
			// Operands that kept a wide format, such as a weight of integers, are cast.
			for i := 0; i < o.NumArgs(); i++ {
				if t, ok := to[o.Arg(i).Type.Format]; ok && !isIndex(o, i) {
					if b := ir.At(o); o.Arg(i).Owner() != nil || o.Arg(i).DefIs(op.Weight) {
						o.SetArg(i, b.Op(op.Cast, ir.A("format", t), o.Arg(i)))
					}
				}
			}
		}
		if !change || o.Is(op.Kernel) || o.Is(op.Bitcast) {
			continue
		}
		for _, r := range o.Results() {
			if _, ok := to[r.Type.Format]; ok {
				say(o, r.Type.Format)
			}
		}
		switch o.Info {
		case op.Weight:
			if !o.Result(0).Type.Format.IsFloat() {
				continue // the loader converts floats only; readers cast
			}
			a := o.Attrs
			if !a.Has("stored") {
				a = a.With("stored", o.Result(0).Type.Format)
			}
			n, err := op.Weight.Normalise(a)
			if err != nil {
				return err
			}
			o.Attrs = n
		case op.Constant:
			t, err := convert(o.Attrs.Tensor("value"), to[o.Result(0).Type.Format])
			if err != nil {
				return l.p.fail(CodeFormat, o, "%v", err)
			}
			o.Attrs = ir.A("value", t)
		default:
			if f := o.Attrs.Format("format", format.Invalid); f != format.Invalid {
				if t, ok := to[f]; ok {
					o.Attrs = o.Attrs.With("format", t)
				}
			}
		}
		for _, r := range o.Results() {
			if t, ok := to[r.Type.Format]; ok {
				r.Type.Format = t
			}
		}
	}
	b := ir.At(ret)
	for i, want := range old {
		if v := ret.Arg(i); v.Type.Format != want {
			ret.SetArg(i, b.Cast(v, want))
		}
	}
	return b.Err
}

// isIndex reports whether an operand is read as an index by the scalar unit, which takes i64 as well.
func isIndex(o *ir.Op, i int) bool {
	return o.Is(op.Gather) && i == 1 || o.Is(op.Update) && i == 2
}

func onlyIndex(v *ir.Value) bool {
	only := true
	for _, u := range v.Users() {
		for i := 0; i < u.NumArgs(); i++ {
			if u.Arg(i) == v && !isIndex(u, i) {
				only = false
			}
		}
	}
	return only
}

// convert gives a literal another format; integers must fit.
func convert(t *tensor.Tensor, f format.Format) (*tensor.Tensor, error) {
	if t.Format.IsFloat() {
		x, err := t.F64s()
		if err != nil {
			return nil, err
		}
		return tensor.FromF64(f, t.Shape, x)
	}
	x, err := t.I64s()
	if err != nil {
		return nil, err
	}
	for i, n := range x {
		if n < f.MinInt() || n > f.MaxInt() {
			// The least and greatest numbers stand for "beyond everything".
			if n == t.Format.MinInt() || n == t.Format.MaxInt() {
				x[i] = f.SaturateInt(n)
				continue
			}
			return nil, fmt.Errorf("a literal holds %d, which %s does not", n, f)
		}
	}
	return tensor.FromI64(f, t.Shape, x)
}

// check reports an op that no kernel could compute.
func (l *legaliser) check(o *ir.Op) {
	bad := func(f format.Format, classes ...chip.OpClass) bool { return !l.has(f, classes...) }
	report := func(f format.Format, what string) {
		l.list.Add(l.p.fail(CodeFormat, o, "%s cannot %s in %s", l.c.Name, what, f).
			Expect("one of "+l.formats(), f.String()).Helpf("cast it in the source, or choose another precision"))
	}
	switch {
	case o.Is(op.Cast):
		if f, t := o.Arg(0).Type.Format, o.Result(0).Type.Format; f != t && !l.casts(f, t) {
			l.list.Add(l.p.fail(CodeFormat, o, "%s has no conversion from %s to %s, nor a way round", l.c.Name, f, t))
		}
	case o.Is(op.Select), o.Is(op.Bitcast), o.Is(op.Concat), o.Is(op.Pad), o.Is(op.GatherElements):
		if f := o.Result(0).Type.Format; !l.moves(f) {
			report(f, "move elements")
		}
	case o.Info.Class == op.Elementwise:
		if f := o.Arg(0).Type.Format; bad(f, classesOf(o)...) {
			report(f, o.Info.Name)
		}
	case o.Is(op.Reduce), o.Is(op.Cumsum):
		if f := o.Arg(0).Type.Format; bad(f, chip.Reduce) {
			report(f, o.Info.Name)
		}
	case o.Is(op.TopK), o.Is(op.ArgMax):
		if f := o.Arg(0).Type.Format; bad(f, chip.Sort) {
			report(f, "sort")
		}
	case o.Is(op.Quantize):
		if f := o.Result(0).Type.Format; l.route(format.F32, f, func(g format.Format) bool { return exact(f, g) }) == nil {
			l.list.Add(l.p.fail(CodeFormat, o, "%s has no conversion from f32 to %s", l.c.Name, f))
		}
	case o.Is(op.Dequantize):
		if f := o.Arg(0).Type.Format; l.route(f, format.F32, func(g format.Format) bool { return exact(f, g) }) == nil {
			l.list.Add(l.p.fail(CodeFormat, o, "%s has no conversion from %s to f32", l.c.Name, f))
		}
	case o.Is(op.Einsum), o.Is(op.GroupedMatmul), o.Is(op.ScaledMatmul):
		if a, b := o.Arg(0).Type.Format, o.Arg(1).Type.Format; !l.multiplies(a, b) {
			l.list.Add(l.p.fail(CodeFormat, o, "%s multiplies no %s by %s", l.c.Name, a, b).Expect("one of "+l.products(), fmt.Sprintf("%s by %s", a, b)))
		}
	case o.Is(op.Attention):
		q, k, v := o.Arg(0).Type.Format, o.Arg(1).Type.Format, o.Arg(2).Type.Format
		if !l.multiplies(q, k) || !l.multiplies(v, v) {
			l.list.Add(l.p.fail(CodeFormat, o, "%s multiplies no %s by %s", l.c.Name, q, k).Expect("one of "+l.products(), fmt.Sprintf("%s by %s", q, k)))
		}
	}
}

func (a *ability) multiplies(x, y format.Format) bool {
	_, _, ok := a.c.Matrix(x, y)
	return ok
}
