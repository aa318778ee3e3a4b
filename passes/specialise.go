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
	s := &specialiser{p: p, dims: map[shape.Dim]shape.Dim{}, missing: map[string]bool{}, env: map[string]shape.Dim{}}
	for _, n := range names {
		s.env[n] = shape.Const(p.Options.Bind[n])
	}
	for _, f := range p.Module.Funcs {
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
		if list.HasErrors() {
			continue
		}
		s.check(f.Body, list)
	}
	return list.Err()
}

type specialiser struct {
	p       *Pass
	env     map[string]shape.Dim
	dims    map[shape.Dim]shape.Dim
	missing map[string]bool
}

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
	for i, d := range x {
		if d.IsConst() {
			continue
		}
		out := append(shape.Shape(nil), x...)
		for ; i < len(x); i++ {
			out[i] = s.dim(x[i])
		}
		return out, true
	}
	return x, false
}

func (s *specialiser) block(b *ir.Block) {
	for _, v := range b.Params {
		v.Type.Shape, _ = s.shape(v.Type.Shape)
	}
	for o := b.First(); o != nil; o = o.Next() {
		for _, v := range o.Results() {
			v.Type.Shape, _ = s.shape(v.Type.Shape)
		}
		o.Attrs = s.attrs(o.Info, o.Attrs)
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

func (s *specialiser) attrs(info *op.Info, a op.Attrs) op.Attrs {
	for i := range a {
		switch v := a[i].Value.(type) {
		case shape.Dim:
			if !v.IsConst() {
				a = a.With(a[i].Name, s.dim(v))
			}
		case shape.Shape:
			if x, changed := s.shape(v); changed {
				a = a.With(a[i].Name, x)
			}
		}
	}
	return a
}

// check holds every op against its shape rule with the numbers in place.
func (s *specialiser) check(b *ir.Block, list *diag.List) {
	with := make([]string, 0, len(s.env))
	for n, d := range s.env {
		with = append(with, n+"="+d.String())
	}
	sort.Strings(with)
	for _, v := range b.Params {
		if err := v.Type.Shape.Err(); err != nil {
			list.Errorf(CodeSymbol, diag.Range{}, "%%%s of function %s with %s: %s", v.Name, b.Func.Name, strings.Join(with, ", "), err)
		}
	}
	for o := b.First(); o != nil; o = o.Next() {
		var err error
		for _, r := range o.Results() {
			if e := r.Type.Shape.Err(); e != nil && err == nil {
				err = e
			}
		}
		if err == nil && !o.Info.Declared && len(o.Regions) == 0 {
			var types []ir.Type
			types, _, err = ir.Check(o.Info, o.Attrs, o.Args(), nil)
			for i := range types {
				if err == nil && !types[i].Equal(o.Result(i).Type) {
					err = fmt.Errorf("%s gives %s, but %s was inferred before the symbols had values", o.Info.Name, types[i], o.Result(i).Type)
				}
			}
		}
		if err != nil {
			d := s.p.fail(CodeSymbol, o, "%s", err)
			d.Note(diag.Range{}, "with %s", strings.Join(with, ", "))
			list.Add(d)
			if list.Full() {
				return
			}
		}
		for _, r := range o.Regions {
			s.check(r, list)
		}
	}
}
