package passes

import (
	"fmt"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

var precisionInfo = &Info{
	Name: "precision",
	Doc: "Gives matrix products the formats that --precision asks for. f32 makes all of the model f32: nothing is rounded to a narrower float but what a function takes and gives, and products of codes that the model states become products of what the codes stand for. " +
		"tf32 and hf32 make it f32 as well, and round the operands of products as the matrix engine does. bf16 and f16 cast operands of products, except f32 ones that were widened on purpose, such as a router's. fp8 quantises, in blocks of K, the activations that meet a weight stored in FP8 with block scales; in a model that stores none, weights are quantised at load, 128 by 128 elements to a scale. hif8 casts weights at load and the activations that meet them, without scales, which a format of such a range does not need. mxfp8 and mxfp4 quantise weights at load and activations to f8e4m3fn or f4e2m1 in the MX blocks of the engine, so many elements of K to a power of two. w8a16 has the loader quantise each row of weights to i8, and multiplies what the codes stand for in 16 bits. w8a8 quantises each row of weights at load and of activations to i8. " +
		"Casts and scales of weights move into the weight, so that the loader does them once.",
	Rules: rewrite.Join(rewrite.Set{widenFloats, castOperands, quantiseProduct, quantiseWeight, moveQuantise, dequantiseProduct}, loadRules),
	run:   setPrecision,
}

var (
	widenFloats     = &rewrite.Rule{Name: "WidenFloats", Doc: "All values of a function that have a 16-bit float format become f32; one firing a function."}
	castOperands    = &rewrite.Rule{Name: "CastOperands", Doc: "An operand of a matrix product is cast to the precision's format."}
	quantiseProduct = &rewrite.Rule{Name: "QuantiseProduct", Doc: "A product with a quantised weight becomes a product of codes with scales."}
)

// dequantiseAtLoad leaves the scaling of a weight to the loader.
var dequantiseAtLoad = &rewrite.Rule{
	Name: "DequantiseWeightAtLoad", Doc: "A weight times its block scales, themselves a weight, is a weight that the loader scales.", Roots: []*op.Info{op.Dequantize},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		c, s := o.Arg(0).Def(), o.Arg(1).Def()
		block := o.Attrs.Ints("block")
		if c == nil || s == nil || !c.Is(op.Weight) || !s.Is(op.Weight) || c.Attrs.Has("stored") || c.Attrs.Has("scale") || s.Attrs.Has("scale") ||
			len(block) != 2 || c.Attrs.Int("stack", 0) != s.Attrs.Int("stack", 0) {
			return false
		}
		a := c.Attrs.With("stored", c.Result(0).Type.Format).With("scale", s.Attrs.Str("name", "")).With("block", block)
		a, err := op.Weight.Normalise(a)
		if err != nil {
			return false
		}
		b := r.At(o)
		b.Pos = c.Pos
		w := b.Declare(op.Weight, a, []ir.Type{o.Result(0).Type})
		if w == nil {
			return false
		}
		w.Result(0).Name = c.Result(0).Name
		r.Replace(o, w.Result(0))
		return true
	},
}

// castsAtLoad reports whether the loader can do a cast of a weight: it converts between floats, and rounds once.
func castsAtLoad(w, cast *ir.Op) bool {
	from, to := w.Result(0).Type.Format, cast.Result(0).Type.Format
	return from.IsFloat() && to.IsFloat() && !cast.Attrs.Bool("saturate", false) && !w.Attrs.Has("quantise") && (!w.Attrs.Has("stored") || exact(to, from))
}

// loadRules move what is done to a weight before its first use into the weight itself.
var loadRules = rewrite.Set{
	{
		Name: "ConvertWeightAtLoad", Doc: "A cast of a weight is a weight that the loader converts.", Roots: []*op.Info{op.Cast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			f := o.Result(0).Type.Format
			if d == nil || !d.Is(op.Weight) || !castsAtLoad(d, o) {
				return false
			}
			from := d.Result(0).Type.Format
			a := d.Attrs
			switch {
			case d.Attrs.Format("stored", from) == f && !d.Attrs.Has("scale"):
				a = a.Without("stored")
			case !d.Attrs.Has("stored"):
				a = a.With("stored", from)
			}
			a, err := op.Weight.Normalise(a)
			if err != nil {
				return false
			}
			b := r.At(o)
			b.Pos = d.Pos
			w := b.Declare(op.Weight, a, []ir.Type{{Format: f, Shape: o.Result(0).Type.Shape}})
			if w == nil {
				return false
			}
			w.Result(0).Name = d.Result(0).Name
			r.Replace(o, w.Result(0))
			return true
		},
	},
	dequantiseAtLoad,
	{
		Name: "MoveCastToWeight", Doc: "A cast of a view of a weight becomes a view of the weight cast, which the loader does.", Roots: []*op.Info{op.Cast},
		Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
			d := o.Arg(0).Def()
			if d == nil || !(d.Is(op.Reshape) || d.Is(op.Slice) || d.Is(op.Transpose)) {
				return false
			}
			if w := through(d.Arg(0), op.Reshape, op.Slice, op.Transpose); !w.DefIs(op.Weight) || !castsAtLoad(w.Def(), o) {
				return false
			}
			if o.Result(0).Type.Format.Bits() < 8 {
				return false // MergeBitReshapes wants the view before the cast
			}
			b := r.At(o)
			r.Replace(o, b.Op(d.Info, d.Attrs, b.Op(op.Cast, o.Attrs, d.Arg(0))))
			return true
		},
	},
}

// choosePrecision finds what --precision asks for on the chip, in view of what the model's weights are stored in.
func choosePrecision(c *chip.Chip, name string, m *ir.Module) (chip.Precision, error) {
	if c == nil {
		if name == "" || name == "f32" {
			return chip.Precision{Name: "f32", Weight: format.F32, Activation: format.F32, A: format.F32, B: format.F32, Acc: format.F32}, nil
		}
		return chip.Precision{}, diag.Errorf(CodePrecision, diag.Range{}, "precision %s is how a chip multiplies, and no chip was given", name).Helpf("name one with --target")
	}
	var can []string
	for _, p := range c.Precisions {
		can = append(can, p.Name)
	}
	if name == "" || name == "auto" {
		if p, ok := c.Precision("fp8"); ok && storesFP8(m) {
			return p, nil
		}
		if auto := c.AutoPrecisions(); len(auto) > 0 {
			return auto[0], nil
		}
		name = "f32"
	}
	if p, ok := c.Precision(name); ok {
		return p, nil
	}
	known := false
	for _, n := range chip.PrecisionNames {
		known = known || n == name
	}
	what := fmt.Sprintf("%s cannot run products in %s", c.Name, name)
	if !known {
		what = fmt.Sprintf("there is no precision %q", name)
	}
	return chip.Precision{}, diag.Errorf(CodePrecision, diag.Range{}, "%s", what).
		Expect("auto or one of "+strings.Join(can, ", "), name).Suggest(name, append(can, "auto"))
}

// storesFP8 reports whether a matrix weight comes as FP8 codes with block scales.
func storesFP8(m *ir.Module) bool {
	found := false
	for _, f := range m.Funcs {
		for _, b := range bodies(f) {
			for o := b.First(); o != nil && !found; o = o.Next() {
				found = o.Is(op.Dequantize) && o.Arg(0).DefIs(op.Weight) && o.Arg(1).DefIs(op.Weight) && o.Arg(0).Type.Format == format.F8E4M3FN
			}
		}
	}
	return found
}

func setPrecision(p *Pass) error {
	want, err := choosePrecision(p.Chip, p.Options.Precision, p.Module)
	if err != nil {
		return err
	}
	p.shared.precision = want.Name
	if want.Name == "f32" || want.Name == "tf32" || want.Name == "hf32" {
		if err := p.rewrite(rewrite.Set{dequantiseProduct}, nil); err != nil {
			return err
		}
	}
	quantiseAll := want.Name != "fp8" || !storesFP8(p.Module)
	for _, f := range p.Module.Funcs {
		switch want.Name {
		case "f32":
			if err := widen(p, f); err != nil {
				return err
			}
		case "tf32", "hf32":
			if err := widen(p, f); err != nil {
				return err
			}
			narrow(p, f, want.A, want.B)
		case "bf16", "f16":
			narrow(p, f, want.A, want.B)
		case "w8a16":
			if err := quantisedWeights(p, f, want.B); err != nil {
				return err
			}
			narrow(p, f, want.A, want.B)
		case "fp8", "hif8", "w8a8", "mxfp8", "mxfp4":
			if err := quantised(p, f, want, quantiseAll); err != nil {
				return err
			}
		}
	}
	return p.rewrite(rewrite.Join(loadRules, rewrite.Set{moveQuantise}), nil)
}

// narrowFloat reports whether a format is a rounded f32 that a model computes in, not a format of codes.
func narrowFloat(f format.Format) bool {
	return f == format.BF16 || f == format.F16 || f == format.TF32 || f == format.HF32
}

// has reports whether a value of a function has a format of a kind.
func has(f *ir.Func, is func(format.Format) bool) bool {
	for _, b := range bodies(f) {
		for _, v := range b.Params {
			if is(v.Type.Format) {
				return true
			}
		}
		for o := b.First(); o != nil; o = o.Next() {
			for _, r := range o.Results() {
				if is(r.Type.Format) {
					return true
				}
			}
		}
	}
	return false
}

// widen makes every value of a narrow float format f32. Inputs and results keep their formats and are cast; states become f32.
func widen(p *Pass, f *ir.Func) error {
	if !has(f, narrowFloat) || !p.fire(widenFloats, f.Body.First()) {
		return nil
	}
	results := f.Return()
	var old []format.Format
	for i := 0; i < results.NumArgs(); i++ {
		old = append(old, results.Arg(i).Type.Format)
	}
	for _, b := range bodies(f) {
		for o := b.First(); o != nil; o = o.Next() {
			if o.Is(op.Bitcast) {
				frameBitcast(o)
			}
		}
	}
	first := f.Body.First()
	for _, v := range f.Inputs() {
		if narrowFloat(v.Type.Format) && v.NumUses() > 0 {
			users := v.Users()
			w := ir.At(first).Op(op.Cast, ir.A("format", format.F32), v)
			for _, u := range users {
				for i := 0; i < u.NumArgs(); i++ {
					if u.Arg(i) == v && u != w.Def() {
						u.SetArg(i, w)
					}
				}
			}
		}
	}
	for _, v := range f.StateParams() {
		if narrowFloat(v.Type.Format) {
			v.Type.Format = format.F32
		}
	}
	for _, b := range bodies(f) {
		if b != f.Body {
			for _, v := range b.Params {
				if narrowFloat(v.Type.Format) {
					v.Type.Format = format.F32
				}
			}
		}
		for o := b.First(); o != nil; o = o.Next() {
			if err := widenOp(p, o); err != nil {
				return err
			}
		}
	}
	b := ir.At(results)
	for i, want := range old[:len(old)-f.States] {
		if v := results.Arg(i); v.Type.Format != want {
			results.SetArg(i, b.Cast(v, want))
		}
	}
	return b.Err
}

// frameBitcast puts a cast before a bitcast from a narrow float, to what it was, and one after it to f32 where its result is narrow.
func frameBitcast(o *ir.Op) {
	if f := o.Arg(0).Type.Format; narrowFloat(f) {
		o.SetArg(0, ir.At(o).Op(op.Cast, ir.A("format", f), o.Arg(0)))
	}
	if y := o.Result(0); narrowFloat(y.Type.Format) && y.NumUses() > 0 {
		users := y.Users()
		w := ir.At(o.Next()).Op(op.Cast, ir.A("format", format.F32), y)
		for _, u := range users {
			for i := 0; i < u.NumArgs(); i++ {
				if u.Arg(i) == y {
					u.SetArg(i, w)
				}
			}
		}
	}
}

// framesBitcast reports whether a cast gives a bitcast the format whose bits it reads.
func framesBitcast(o *ir.Op) bool {
	users := o.Result(0).Users()
	return len(users) == 1 && users[0].Is(op.Bitcast) && narrowFloat(o.Result(0).Type.Format)
}

func widenOp(p *Pass, o *ir.Op) error {
	touched := false
	for _, v := range o.Results() {
		touched = touched || narrowFloat(v.Type.Format)
	}
	switch o.Info {
	case op.Kernel:
		return nil
	case op.If, op.Loop, op.Yield:
		b := ir.At(o)
		for i := range o.NumArgs() {
			if narrowFloat(o.Arg(i).Type.Format) { // what kept its format
				o.SetArg(i, b.Cast(o.Arg(i), format.F32))
			}
		}
		if b.Err != nil {
			return b.Err
		}
	case op.Bitcast: // bits are bits; framed has put casts around it
		return nil
	case op.Cast:
		if framesBitcast(o) {
			return nil
		}
	}
	if !touched {
		return nil
	}
	p.Control.Op = o
	switch o.Info {
	case op.Weight:
		used := false
		for _, u := range o.Result(0).Users() {
			used = used || u.Is(op.Dequantize)
		}
		if used {
			return nil
		}
		a := o.Attrs
		if !a.Has("stored") {
			a = a.With("stored", o.Result(0).Type.Format)
		} else if a.Format("stored", format.Invalid) == format.F32 {
			a = a.Without("stored")
		}
		a, err := op.Weight.Normalise(a)
		if err != nil {
			return err
		}
		o.Attrs = a
	case op.Constant:
		t := o.Attrs.Tensor("value")
		x, err := t.F64s()
		if err != nil {
			return err
		}
		w, err := tensor.FromF64(format.F32, t.Shape, x)
		if err != nil {
			return err
		}
		o.Attrs = ir.A("value", w)
	default:
		if f := o.Attrs.Format("format", format.Invalid); narrowFloat(f) {
			o.Attrs = o.Attrs.With("format", format.F32)
		}
	}
	for _, v := range o.Results() {
		if narrowFloat(v.Type.Format) {
			v.Type.Format = format.F32
		}
	}
	return nil
}

// widened reports whether a value was cast, perhaps before it was moved, from a narrower float: its author wants it in f32.
func widened(v *ir.Value) bool {
	v = through(v, op.Reshape, op.Transpose, op.Slice, op.Broadcast)
	d := v.Def()
	return d != nil && d.Is(op.Cast) && d.Arg(0).Type.Format.IsFloat() && d.Arg(0).Type.Format.Bits() < v.Type.Format.Bits()
}

func fromWeight(v *ir.Value) bool {
	return through(v, op.Reshape, op.Transpose, op.Slice, op.Cast, op.Gather).DefIs(op.Weight) ||
		through(v, op.Reshape, op.Transpose, op.Slice, op.Cast, op.Gather).DefIs(op.Dequantize)
}

// narrow casts the operands of products to formats a (left) and b (right).
func narrow(p *Pass, f *ir.Func, a, b format.Format) {
	for _, g := range bodies(f) {
		narrowBlock(p, g, a, b)
	}
}

func narrowBlock(p *Pass, g *ir.Block, a, b format.Format) {
	for o := g.First(); o != nil; o = o.Next() {
		switch o.Info {
		case op.Einsum, op.GroupedMatmul:
			x, y := o.Arg(0), o.Arg(1)
			if !x.Type.Format.IsFloat() || x.Type.Format == format.F64 || y.Type.Format == format.F64 || o.NumArgs() > 3 {
				continue
			}
			if !(fromWeight(x) || x.Type.Format != format.F32 || !widened(x)) || !(fromWeight(y) || y.Type.Format != format.F32 || !widened(y)) {
				continue // meant to be f32
			}
			out := o.Result(0).Type.Format
			castOperand(p, o, 0, a)
			castOperand(p, o, 1, b)
			setFormat(o, out)
		case op.Attention:
			out := o.Result(0).Type.Format
			for _, n := range []string{"q", "k", "v", "q2", "k2"} {
				i := op.AttentionOperand(o.Attrs, n)
				if i < 0 {
					continue
				}
				to := b
				if n == "q" || n == "q2" {
					to = a
				}
				castOperand(p, o, i, to)
			}
			if q := o.Arg(0).Type.Format; q != out { // attention gives what its queries are
				retype(o, q, out)
			}
		}
	}
}

// castOperand casts one operand unless it has the format.
func castOperand(p *Pass, o *ir.Op, i int, to format.Format) {
	x := o.Arg(i)
	if x.Type.Format == to || !x.Type.Format.IsFloat() || !p.fire(castOperands, o) {
		return
	}
	// Casting what a cast or view was made from keeps it next to its source, where copies of it merge.
	o.SetArg(i, ir.At(o).Op(op.Cast, ir.A("format", to), x))
}

// setFormat states the format of a product's result.
func setFormat(o *ir.Op, out format.Format) {
	a := o.Attrs.Without("format")
	if o.Arg(0).Type.Format != out {
		a = a.With("format", out)
	}
	if n, err := o.Info.Normalise(a); err == nil {
		o.Attrs = n
	}
}

// retype changes the format of an op's only result and casts it back for its readers.
func retype(o *ir.Op, to, back format.Format) {
	r := o.Result(0)
	users := r.Users()
	r.Type.Format = to
	b := &ir.Builder{Block: o.Block(), Before: o.Next(), Pos: o.Pos}
	c := b.Op(op.Cast, ir.A("format", back), r)
	for _, u := range users {
		for i := 0; i < u.NumArgs(); i++ {
			if u.Arg(i) == r {
				u.SetArg(i, c)
			}
		}
	}
}
