package passes

import (
	"apogee/ir"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/passes/rewrite"
	"apogee/targets/chip"
)

// moveQuantise lets rows that go to several experts, and to shared ones, be quantised once.
var moveQuantise = &rewrite.Rule{
	Name: "MoveQuantiseAboveGather", Doc: "Rows are quantised before they are gathered: codes and scales are gathered instead. A row that is gathered often is quantised once, and fewer bytes move.",
	Roots: []*op.Info{op.Quantize},
	Apply: func(r *rewrite.Rewriter, o *ir.Op) bool {
		g := o.Arg(0).Def()
		if g == nil || !g.Is(op.Gather) || g.Attrs.Int("axis", 0) != 0 || len(o.Attrs.Ints("block")) != 1 || g.Arg(0).Type.Rank() < 2 {
			return false
		}
		x := g.Arg(0)
		b := r.At(o)
		// A view with axes of one element joined is quantised as what it is a view of, so that other readers share it.
		var q *ir.Op
		if v := x.Def(); v != nil && v.Is(op.Reshape) && v.Arg(0).Type.Rank() > 1 && v.Arg(0).Type.Shape[v.Arg(0).Type.Rank()-1].Equal(x.Type.Shape[x.Type.Rank()-1]) {
			q = b.Create(op.Quantize, o.Attrs, v.Arg(0))
		} else {
			q = b.Create(op.Quantize, o.Attrs, x)
		}
		if q == nil {
			return true
		}
		lead := x.Type.Shape[:x.Type.Rank()-1]
		back := func(v *ir.Value) *ir.Value {
			s := append(append(shape.Shape(nil), lead...), v.Type.Shape[v.Type.Rank()-1])
			return b.Op(op.Gather, nil, b.Reshape(v, s), g.Arg(1))
		}
		r.Replace(o, back(q.Result(0)), back(q.Result(1)))
		return true
	},
}

// quantised turns products with weights into products of codes: fp8 takes the weights that are stored as codes with block scales, or, where a
// model stores none, has the loader quantise blocks of any weight; w8a8 has it quantise each row of any weight, mxfp8 and mxfp4 as many
// elements of a row as the engine has a scale for.
//
// Results that the function gives, such as the scores of words, stay as they are, unless that leaves nothing to be quantised.
func quantised(p *Pass, f *ir.Func, want chip.Precision, quantiseAll bool) error {
	q := &quantiser{p: p, want: want, all: quantiseAll}
	for {
		for _, b := range bodies(f) {
			for o := b.First(); o != nil; {
				next := o.Next()
				if o.Is(op.Einsum) || o.Is(op.GroupedMatmul) && o.NumArgs() == 3 {
					if err := q.one(o); err != nil {
						return err
					}
				}
				o = next
			}
		}
		if q.results = !q.results && q.fired == 0 && len(q.kept) > 0; !q.results {
			break
		}
		q.kept = nil
	}
	for _, o := range q.kept {
		p.remark(quantiseProduct, o, "operands stay unquantised: its result is what the function gives, such as the scores of words")
	}
	return nil
}

// quantiser quantises the products of one function.
type quantiser struct {
	p       *Pass
	want    chip.Precision
	all     bool     // the loader quantises weights that are stored otherwise; at fp8 where a model stores no FP8 at all, in DeepSeek's blocks
	results bool     // products are quantised though the function gives their results
	kept    []*ir.Op // products that were not for that reason
	fired   int
}

// one rewrites one product x·w. The activations get a scale for each row and as many elements of K as share one in the weight, as
// DeepSeek-V3 does (arXiv 2412.19437, section 3.3.2); in w8a8 that is all of K, in MX precisions what the engine multiplies with.
func (q *quantiser) one(o *ir.Op) error {
	p, want := q.p, q.want
	x, w := o.Arg(0), o.Arg(1)
	plain := true
	if o.Is(op.Einsum) {
		e, err := op.ParseEinsum(o.Attrs.Str("spec", ""))
		if err != nil {
			return nil
		}
		if loaded(x) && !loaded(w) {
			x, w = w, x
			e.A, e.B = e.B, e.A
		}
		k := len(e.A) - 1
		plain = len(e.B) == 2 && k >= 1 && e.B[1] == e.A[k] && e.Out == e.A[:k]+e.B[:1]
	}
	if !loaded(w) || fromWeight(x) || !x.Type.Format.IsFloat() {
		return nil
	}
	stored := storedCodes(w, want.B)
	if want.Name == "fp8" && !stored && (!q.all || !plainWeight(w)) {
		return nil
	}
	made := want.Name != "fp8" || !stored
	why := ""
	switch {
	case !plain:
		why = "it is no plain matrix product"
	case bothKeysAndValues(o.Result(0)):
		why = "what it gives is cut into keys and values, where it may be absorbed"
	case made && !q.results && returned(o.Result(0)):
		q.kept = append(q.kept, o)
		return nil
	case made && chooses(o.Result(0), 0):
		why = "its result is what a choice is made by, such as a router's"
	}
	if why != "" {
		if q.results {
			return nil // said so already
		}
		p.remark(quantiseProduct, o, "operands stay unquantised: %s", why)
		return nil
	}
	if !p.fire(quantiseProduct, o) {
		return nil
	}
	q.fired++
	b := ir.At(o)
	if want.Name == "hif8" {
		return q.cast(o, b)
	}
	var codes, scale *ir.Value
	var block []int64
	if made {
		if block = weightBlock; want.MX {
			block = []int64{1, p.Chip.ScaleBlock(want.A, want.B)}
		} else if want.Name == "w8a8" {
			block = nil // a row
		}
		var err error
		if codes, scale, err = quantisedWeight(b, w, want.B, block, want.MX); err != nil {
			return err
		}
		if block == nil {
			block = []int64{1, dim(codes, codes.Type.Rank()-1)}
		}
	} else {
		d := w.Def()
		codes, scale, block = d.Arg(0), b.Cast(d.Arg(1), format.F32), d.Attrs.Ints("block")
	}
	kind := "exact"
	switch {
	case want.MX:
		kind = "mx"
	case !made:
		kind = w.Def().Attrs.Str("activations", "exact")
	}
	how := ir.A("block", []int64{block[1]}, "format", want.A, "scale", kind)
	if want.MX { // the specification knows no floor; this is the loader's
		how = how.With("floor", 1e-12)
	}
	act := b.Create(op.Quantize, how, x)
	if act == nil {
		return b.Err
	}
	xs := b.Cast(act.Result(1), scale.Type.Format)
	attrs := ir.A("block", block, "format", o.Result(0).Type.Format)
	var y *ir.Value
	if o.Is(op.GroupedMatmul) {
		y = b.Op(op.GroupedMatmul, attrs, act.Result(0), codes, o.Arg(2), xs, scale)
	} else {
		y = b.Op(op.ScaledMatmul, attrs, act.Result(0), codes, xs, scale)
	}
	if b.Err != nil {
		return b.Err
	}
	y.Name = o.Result(0).Name
	o.Result(0).ReplaceAllUses(y)
	o.Erase()
	return nil
}

// cast gives a product's operands a format that has range enough to do without scales. What is larger than its largest number becomes that.
func (q *quantiser) cast(o *ir.Op, b *ir.Builder) error {
	out := o.Result(0).Type.Format
	for i, f := range []format.Format{q.want.A, q.want.B} {
		attrs := ir.A("format", f)
		if !loaded(o.Arg(i)) {
			attrs = ir.A("format", f, "saturate", true)
		}
		v := b.Op(op.Cast, attrs, o.Arg(i))
		if b.Err != nil {
			return b.Err
		}
		o.SetArg(i, v)
	}
	setFormat(o, out)
	return nil
}

// loaded reports whether a value is a weight, perhaps cast or scaled, seen through no view.
func loaded(v *ir.Value) bool {
	v = through(v, op.Cast)
	return v.DefIs(op.Weight) && v.Type.Format.IsFloat() || v.DefIs(op.Dequantize) && v.Def().Arg(0).DefIs(op.Weight) && v.Def().Arg(1).DefIs(op.Weight)
}

// storedCodes reports whether a weight is codes of a format with scales for blocks of rows and columns.
func storedCodes(w *ir.Value, f format.Format) bool {
	d := w.Def()
	return d != nil && d.Is(op.Dequantize) && d.Arg(0).DefIs(op.Weight) && d.Arg(1).DefIs(op.Weight) && d.Arg(0).Type.Format == f && len(d.Attrs.Ints("block")) == 2
}

// weightBlock is DeepSeek-V3's: so many rows and columns of a weight share a scale (arXiv 2412.19437, section 3.3.2).
var weightBlock = []int64{128, 128}

// plainWeight reports whether a value is a weight, perhaps cast, that is stored as numbers.
func plainWeight(w *ir.Value) bool {
	d := through(w, op.Cast).Def()
	f := d.Attrs.Format("stored", d.Result(0).Type.Format)
	return d.Is(op.Weight) && !d.Attrs.Has("scale") && f.IsFloat() && f.Bits() >= 16 && w.Type.Rank() >= 2
}

// quantisedWeight gives the codes and scales that the loader makes of each block of a weight's rows and columns, or, without block, of each
// row; mx makes the scales powers of two, in f8e8m0. Of a weight that is stored as codes with scales it quantises what these stand for.
func quantisedWeight(b *ir.Builder, w *ir.Value, f format.Format, block []int64, mx bool) (codes, scale *ir.Value, err error) {
	w = through(w, op.Cast)
	d := w.Def()
	attrs := d.Attrs
	stored := w.Type.Format
	if d.Is(op.Dequantize) {
		c, s := d.Arg(0).Def(), d.Arg(1).Def()
		stored = c.Result(0).Type.Format
		attrs = c.Attrs.With("scale", s.Attrs.Str("name", "")).With("block", d.Attrs.Ints("block"))
	}
	if !attrs.Has("stored") {
		attrs = attrs.With("stored", stored)
	}
	attrs = attrs.With("quantise", f)
	scales := ir.Type{Format: format.F32, Shape: append(shape.Shape(nil), w.Type.Shape...)}
	if mx {
		attrs, scales.Format = attrs.With("quantise_scale", "mx"), format.F8E8M0
	}
	rank := len(scales.Shape)
	declare := func(a op.Attrs, t ir.Type) *ir.Value {
		n, e := op.Weight.Normalise(a)
		if e != nil {
			err = e
			return nil
		}
		o := b.Declare(op.Weight, n, []ir.Type{t})
		if o == nil {
			err = b.Err
			return nil
		}
		return o.Result(0)
	}
	sized := attrs.With("width", dim(w, rank-1))
	scales.Shape[rank-1] = one
	if block != nil {
		attrs = attrs.With("quantise_block", block)
		sized = sized.With("quantise_block", block).With("rows", dim(w, rank-2))
		scales.Shape[rank-2], scales.Shape[rank-1] = w.Type.Shape[rank-2].CeilDiv(block[0]), w.Type.Shape[rank-1].CeilDiv(block[1])
	}
	codes = declare(attrs, ir.Type{Format: f, Shape: w.Type.Shape})
	scale = declare(sized, scales)
	return codes, scale, err
}

// returned reports whether a value, perhaps cast or reshaped, is what its function gives.
func returned(v *ir.Value) bool {
	for _, u := range v.Users() {
		if u.Is(op.Return) || (u.Is(op.Cast) || u.Is(op.Reshape)) && returned(u.Result(0)) {
			return true
		}
	}
	return false
}

// chooses reports whether the largest elements of a value, or of what is computed from it element by element, are looked for.
func chooses(v *ir.Value, depth int) bool {
	for _, u := range v.Users() {
		switch {
		case u.Is(op.TopK), u.Is(op.ArgMax):
			return true
		case depth < 12 && (u.Info.Class == op.Elementwise || u.Is(op.Reshape)) && chooses(u.Result(0), depth+1):
			return true
		}
	}
	return false
}

// bothKeysAndValues reports whether a value is read, through views, as the keys and as the values of one attention.
func bothKeysAndValues(v *ir.Value) bool {
	keys, values := map[*ir.Op]bool{}, map[*ir.Op]bool{}
	var walk func(v *ir.Value, depth int)
	walk = func(v *ir.Value, depth int) {
		for _, u := range v.Users() {
			switch {
			case u.Is(op.Attention):
				keys[u] = keys[u] || u.Arg(1) == v
				values[u] = values[u] || u.Arg(2) == v
			case depth < 6 && (u.Is(op.Reshape) || u.Is(op.Slice) || u.Is(op.Transpose) || u.Is(op.Broadcast) || u.Is(op.Cast)):
				walk(u.Result(0), depth+1)
			}
		}
	}
	walk(v, 0)
	for u := range keys {
		if keys[u] && values[u] {
			return true
		}
	}
	return false
}
