package passes

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

var specialiseInfo = &Info{
	Name: "specialise",
	Doc: "Gives dimension symbols their values in all types and attributes and turns dim into constants. Afterwards every shape is made of numbers. " +
		"A symbol without a value, and a value under which an op makes no sense, is an error.",
	run: specialise,
}

// specialise costs one visit an op; equal dimensions are evaluated once.
func specialise(p *Pass) error {
	list := &diag.List{}
	names := make([]string, 0, len(p.Options.Bind))
	for n, v := range p.Options.Bind {
		names = append(names, n)
		if v < 0 {
			list.Errorf(CodeSymbol, diag.Range{}, "symbol %s is %d", n, v).Expect("a size of at least 0", fmt.Sprint(v))
		}
	}
	sort.Strings(names)
	s := &specialiser{p: p, dims: map[shape.Dim]shape.Dim{}, missing: map[string]bool{}, env: map[string]shape.Dim{}, changed: make([]uint64, p.Module.MaxValue()/64+1)}
	for _, n := range names {
		s.env[n] = shape.Const(p.Options.Bind[n])
	}
	s.with = make([]string, 0, len(names))
	for _, n := range names {
		s.with = append(s.with, n+"="+fmt.Sprint(p.Options.Bind[n]))
	}
	for _, f := range p.Module.Funcs {
		s.list, s.silent = &diag.List{}, list.HasErrors()
		s.block(f.Body)
		if len(s.missing) > 0 {
			var missing []string
			for n := range s.missing {
				missing = append(missing, n)
			}
			sort.Strings(missing)
			with := "nothing"
			if len(names) > 0 {
				with = strings.Join(names, ", ")
			}
			list.Errorf(CodeSymbol, diag.Range{}, "function %s has dimension symbols without a value: %s", f.Name, strings.Join(missing, ", ")).
				Expect("a value for each of "+strings.Join(missing, ", "), "values for "+with).
				Helpf("give them with --set, such as --set %s=1", strings.Join(missing, "=1,"))
			s.missing = map[string]bool{}
			continue
		}
		list.Merge(s.list)
	}
	return list.Err()
}

type specialiser struct {
	p       *Pass
	env     map[string]shape.Dim
	dims    map[shape.Dim]shape.Dim
	missing map[string]bool
	shapes  [256]specialised // what was specialised lately, by a hash of its dimensions
	changed []uint64         // by value ID: the shape had symbols
	args    []*ir.Value

	list   *diag.List // what does not fit, if nothing is missing
	silent bool       // an earlier error says enough
	with   []string   // the bindings, for messages
}

// specialised is a shape with symbols and what it became. Values of equal shapes share one afterwards.
type specialised struct{ from, to shape.Shape }

func (s *specialiser) dim(d shape.Dim) shape.Dim {
	if d.IsConst() {
		return d
	}
	if n, ok := s.dims[d]; ok {
		return n
	}
	n := d.Subst(s.env)
	if n.Valid() && !n.IsConst() {
		for _, m := range n.Symbols() {
			s.missing[m] = true
		}
	}
	s.dims[d] = n
	return n
}

func (s *specialiser) shape(x shape.Shape) (shape.Shape, bool) {
	symbolic := false
	h := uint64(len(x))
	for _, d := range x {
		n, ok := d.Value()
		symbolic = symbolic || !ok
		h = (h ^ uint64(n)) * 0x9e3779b97f4a7c15
	}
	if !symbolic {
		return x, false
	}
	at := &s.shapes[h>>56]
	if at.from.Equal(x) {
		return at.to, true
	}
	out := append(shape.Shape(nil), x...)
	for i := range out {
		out[i] = s.dim(out[i])
	}
	*at = specialised{x, out}
	return out, true
}

// value gives a value its shape in numbers.
func (s *specialiser) value(v *ir.Value) bool {
	to, changed := s.shape(v.Type.Shape)
	if changed {
		v.Type.Shape = to
		s.changed[v.ID()>>6] |= 1 << (v.ID() & 63)
	}
	return changed
}

func (s *specialiser) block(b *ir.Block) {
	for _, v := range b.Params {
		if s.value(v) && s.judging() {
			if err := v.Type.Shape.Err(); err != nil {
				s.list.Errorf(CodeSymbol, diag.Range{}, "%%%s of function %s with %s: %s", v.Name, b.Func.Name, strings.Join(s.with, ", "), err)
			}
		}
	}
	for o := b.First(); o != nil; o = o.Next() {
		changed := false
		for i := 0; i < o.NumArgs(); i++ {
			id := o.Arg(i).ID()
			changed = changed || s.changed[id>>6]&(1<<(id&63)) != 0
		}
		for _, v := range o.Results() {
			changed = s.value(v) || changed
		}
		var attrs bool
		if o.Attrs, attrs = s.attrs(o.Attrs); attrs || changed { // what had no symbols is as it was verified
			s.check(o)
		}
		for _, r := range o.Regions {
			s.block(r)
		}
		if o.Is(op.DimValue) {
			s.constant(o)
		}
	}
}

// constant turns a dim op into a constant in place: the op keeps its result.
func (s *specialiser) constant(o *ir.Op) {
	d, _ := o.Attrs.Dim("of")
	n, ok := d.Value()
	if !ok {
		return
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return // stays, and fold says so if it matters
	}
	t, err := tensor.FromI64(o.Result(0).Type.Format, nil, []int64{n})
	if err != nil {
		return
	}
	o.Info, o.Attrs = op.Constant, op.Attrs{{Name: "value", Value: t}}
}

func (s *specialiser) attrs(a op.Attrs) (op.Attrs, bool) {
	changed := false
	for i := range a {
		switch v := a[i].Value.(type) {
		case shape.Dim:
			if !v.IsConst() {
				a, changed = a.With(a[i].Name, s.dim(v)), true
			}
		case shape.Shape:
			if x, c := s.shape(v); c {
				a, changed = a.With(a[i].Name, x), true
			}
		}
	}
	return a, changed
}

// judging reports whether ops are held against their shape rules: not once a symbol lacks its value.
func (s *specialiser) judging() bool { return !s.silent && len(s.missing) == 0 && !s.list.Full() }

// check holds an op against its shape rule with the numbers in place.
func (s *specialiser) check(o *ir.Op) {
	if !s.judging() {
		return
	}
	var err error
	for _, r := range o.Results() {
		if e := r.Type.Shape.Err(); e != nil && err == nil {
			err = e
		}
	}
	if err == nil && !o.Info.Declared && len(o.Regions) == 0 {
		s.args = s.args[:0]
		for i := 0; i < o.NumArgs(); i++ {
			s.args = append(s.args, o.Arg(i))
		}
		var types []ir.Type
		types, _, err = ir.Check(o.Info, o.Attrs, s.args, nil)
		for i := range types {
			if err == nil && !types[i].Equal(o.Result(i).Type) {
				err = fmt.Errorf("%s gives %s, but %s was inferred before the symbols had values", o.Info.Name, types[i], o.Result(i).Type)
			}
		}
	}
	if err != nil {
		d := s.p.fail(CodeSymbol, o, "%s", err)
		d.Note(diag.Range{}, "with %s", strings.Join(s.with, ", "))
		s.list.Add(d)
	}
}
