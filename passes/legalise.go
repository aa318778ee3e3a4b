package passes

import (
	"fmt"
	"sort"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

var legaliseInfo = &Info{
	Name: "legalise",
	Doc: "Rewrites what the chip cannot do into what it can, asking its description alone: ops in formats without arithmetic are done in wider ones or, where there is none, by routines of the instructions that there are; casts take the ways that exist, " +
		"products get operands that a matrix engine takes or become sums of elementwise products, and rows that do not fit the vector memory are cut. What nothing can stand in for is an error that lists what the chip has. " +
		"It needs numbers for all dimensions; no value changes but by rounding to a format at least as wide.",
	Rules: rewrite.Join(expandRules, bitRules, formatRules, productRules, rowRules, loadRules),
	Chip:  true,
	run:   legalise,
}

func legalise(p *Pass) error {
	a := newAbility(p.Chip)
	l := &legaliser{ability: a, p: p, list: &diag.List{}, limit: rowLimit(p.Chip)}
	// What the loader does is done; then rows: what they become may need other formats.
	if err := p.rewrite(rewrite.Join(expandRules, productRules, loadRules, rowRules, bitRules, formatRules), l); err != nil {
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
	engines chip.VectorUnit
}

func newAbility(c *chip.Chip) *ability { return &ability{c, c.VectorUnit()} }

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

// can reports whether some engine does these classes of operations on a format, by itself or by routines of its own instructions.
func (a *ability) can(f format.Format, classes ...chip.OpClass) bool {
	if a.has(f, classes...) {
		return true
	}
	for _, e := range a.engines {
		ok := true
		for _, c := range classes {
			ok = ok && (e.Rate(f, c) != nil || e.Emulate(f, c) != nil)
		}
		if ok {
			return true
		}
	}
	return false
}

// moves reports whether elements of a format can be copied and selected: bits that nothing looks at, as long as they fill bytes.
func (a *ability) moves(f format.Format) bool { return f.Bits()%8 == 0 && a.can(f, chip.Basic) }

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

// standIn is the format that an op of these classes is done in instead of f: f itself if the engine has them all, or if there is no other
// and it emulates them. Invalid means that nothing will do. Every value of f is one of the stand-in's.
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
	if f.Bits()%8 == 0 && a.can(f, classes...) {
		return f
	}
	for _, g := range list { // formats that do not fill bytes are computed in wider ones
		if exact(f, g) && a.can(g, classes...) {
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

// check reports an op that no kernel could compute.
func (l *legaliser) check(o *ir.Op) {
	bad := func(f format.Format, classes ...chip.OpClass) bool { return !l.can(f, classes...) }
	report := func(f format.Format, what string) {
		l.list.Add(l.p.fail(CodeFormat, o, "%s cannot %s in %s", l.c.Name, what, f).
			Expect("one of "+l.formats(), f.String()).Helpf("cast it in the source, or choose another precision"))
	}
	switch {
	case o.Is(op.Cast):
		if f, t := o.Arg(0).Type.Format, o.Result(0).Type.Format; f != t && !l.engines.CanCast(f, t) && !l.can(t, chip.Basic) {
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
		if f := o.Result(0).Type.Format; l.engines.CastRoute(format.F32, f, func(g format.Format) bool { return exact(f, g) }) == nil && !l.can(f, chip.Basic) {
			l.list.Add(l.p.fail(CodeFormat, o, "%s has no conversion from f32 to %s", l.c.Name, f))
		}
	case o.Is(op.Dequantize):
		if f := o.Arg(0).Type.Format; l.engines.CastRoute(f, format.F32, func(g format.Format) bool { return exact(f, g) }) == nil && !l.can(f, chip.Basic) {
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
