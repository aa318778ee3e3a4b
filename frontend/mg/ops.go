package mg

import (
	"fmt"
	"math"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// binaryOps are the ops of the operators between tensors.
var binaryOps = map[string]*op.Info{
	"+": op.Add, "-": op.Sub, "*": op.Mul, "/": op.Div, "%": op.Rem,
	"==": op.Eq, "!=": op.Ne, "<": op.Lt, "<=": op.Le, ">": op.Gt, ">=": op.Ge,
	"and": op.And, "or": op.Or,
}

// one gives the single result of an op that was just added.
func one(o *ir.Op) value {
	if o == nil {
		return bad
	}
	return tensorValue(o.Result(0))
}

func (l *lowering) unaryOp(c *unaryCode, x value) value {
	info := op.Neg
	if c.op == "not" {
		info = op.Not
	}
	return one(l.emit(c.place, info, nil, x.tensor()))
}

func (l *lowering) tensorBinary(c *binaryCode, a, b value) value {
	if c.op == "@" {
		return l.matmul(c, a, b)
	}
	x, y := a.tensor(), b.tensor()
	if x == nil {
		if x = l.scalar(a, y.Type.Format, c.left.where()); x == nil {
			return bad
		}
	}
	if y == nil {
		if y = l.scalar(b, x.Type.Format, c.right.where()); y == nil {
			return bad
		}
	}
	if x.Type.Format != y.Type.Format {
		l.report(CodeFormat, c.place, "%s takes tensors of one format", c.op).
			Expect(x.Type.String(), y.Type.String()).
			Helpf("cast one: %s(%s)", x.Type.Format, clipped(c.right.where()))
		return bad
	}
	if !x.Type.Shape.Equal(y.Type.Shape) {
		if _, err := shape.Broadcast(x.Type.Shape, y.Type.Shape); err != nil {
			if l.abstract && openType(x.Type, y.Type) {
				return bad
			}
			l.report(CodeShape, c.place, "the shapes of %s do not broadcast", c.op).Expect(x.Type.String(), y.Type.String()).
				Note(diag.Range{}, "%s", err.Error())
			return bad
		}
	}
	return one(l.emit(c.place, binaryOps[c.op], nil, x, y))
}

// clipped is a piece of source short enough for a message.
func clipped(p *place) string {
	s := string(p.rng().Text())
	if len(s) > 40 || strings.ContainsAny(s, "\n") {
		return "…"
	}
	return s
}

// matmul is a @ b: [.., M, K] @ [K, N], or with the same leading axes on both sides.
func (l *lowering) matmul(c *binaryCode, a, b value) value {
	x, y := a.tensor(), b.tensor()
	if x == nil || y == nil {
		l.report(CodeType, c.place, "@ multiplies tensors").Expect("two tensors", a.describe()+" and "+b.describe())
		return bad
	}
	spec := "..mk,..kn->..mn"
	if y.Type.Rank() == 2 {
		spec = "..mk,kn->..mn"
	}
	if x.Type.Rank() < 2 || y.Type.Rank() < 2 {
		l.report(CodeShape, c.place, "@ multiplies matrices").Expect("[.., M, K] and [K, N]", x.Type.String()+" and "+y.Type.String())
		return bad
	}
	return l.einsum(c.place, spec, x, y, nil)
}

// scalar brings a number or bool known now to a tensor of a format, or a dimension to an op that gives
// it; nil after an error. Equal constants of an entry are one op.
func (l *lowering) scalar(v value, f format.Format, at *place) *ir.Value {
	switch v.kind {
	case kTensor:
		return v.tensor()
	case kBad:
		return nil
	case kBool:
		if f != format.Bool {
			l.report(CodeConstant, at, "a bool does not go with %s", f).Expect(f.String(), v.describe())
			return nil
		}
		n, _ := v.n.Value()
		return l.constant(constKey{f, uint64(n), true}, at)
	case kInt:
		n, known := v.n.Value()
		if !known {
			return l.dimScalar(v.n, f, at)
		}
		if f.IsInt() && !fits(f, n) || f == format.Bool {
			l.report(CodeConstant, at, "%d does not fit %s", n, f)
			return nil
		}
		return l.constant(constKey{f, uint64(n), true}, at)
	case kRatio, kFloat:
		x, known, _ := v.number()
		if !known {
			l.report(CodeOpen, at, "%s is not known when the module is built", v)
			return nil
		}
		if !f.IsFloat() {
			l.report(CodeConstant, at, "%s does not hold %s", f, v).Expect("an int", v.describe()).Helpf("cast the tensor to a float format")
			return nil
		}
		return l.constant(constKey{f, math.Float64bits(x), false}, at)
	}
	l.report(CodeType, at, "%s cannot be computed with", v.describe()).Expect("a tensor or a number", v.describe())
	return nil
}

func fits(f format.Format, n int64) bool {
	bits := f.Bits()
	if f.IsSigned() {
		return bits == 64 || n >= -1<<(bits-1) && n < 1<<(bits-1)
	}
	return n >= 0 && (bits == 64 || n < 1<<bits)
}

// constant returns the op of a scalar constant.
func (l *lowering) constant(k constKey, at *place) *ir.Value {
	if v := l.consts[k]; v != nil {
		return v
	}
	var t *tensor.Tensor
	var err error
	if k.int {
		t, err = tensor.FromI64(k.f, nil, []int64{int64(k.bits)})
	} else {
		t, err = tensor.FromF64(k.f, nil, []float64{math.Float64frombits(k.bits)})
	}
	if err != nil {
		l.report(CodeConstant, at, "%s", err.Error())
		return nil
	}
	o := l.emit(at, op.Constant, ir.A("value", t))
	if o == nil {
		return nil
	}
	l.consts[k] = o.Result(0)
	return o.Result(0)
}

// dimScalar gives the value of a dimension expression as a scalar tensor.
func (l *lowering) dimScalar(d shape.Dim, f format.Format, at *place) *ir.Value {
	o := l.emit(at, op.DimValue, ir.A("of", d))
	if o == nil {
		return nil
	}
	return l.castTo(o.Result(0), f, at)
}

// castTo adds a cast unless the value has the format; nil after an error.
func (l *lowering) castTo(v *ir.Value, f format.Format, at *place) *ir.Value {
	if v.Type.Format == f {
		return v
	}
	o := l.emit(at, op.Cast, ir.A("format", f), v)
	if o == nil {
		return nil
	}
	return o.Result(0)
}

func (c *castCode) eval(l *lowering, fr []value) value {
	to, x := c.to.eval(l, fr), c.x.eval(l, fr)
	if to.kind == kBad || x.kind == kBad {
		return bad
	}
	if to.kind != kFormat {
		l.report(CodeUse, c.to.where(), "%s cannot be called", to.describe()).Expect("a def, an op or a format", to.describe())
		return bad
	}
	f := to.format()
	if x.kind == kTensor {
		if x.tensor().Type.Format == f {
			return x
		}
		return one(l.emit(c.place, op.Cast, ir.A("format", f), x.tensor()))
	}
	if x.kind == kList {
		return l.literal(x, f, c.x.where())
	}
	v := l.scalar(x, f, c.x.where())
	if v == nil {
		return bad
	}
	return tensorValue(v)
}

// literal makes a constant tensor of a list of numbers, or of lists of one length.
func (l *lowering) literal(v value, f format.Format, at *place) value {
	var dims []int64
	for x := v; x.kind == kList; {
		dims = append(dims, int64(len(x.list())))
		if len(x.list()) == 0 || len(dims) > 8 {
			break
		}
		x = x.list()[0]
	}
	var nums []float64
	var ints []int64
	ok := true
	var walk func(x value, depth int)
	walk = func(x value, depth int) {
		if !ok {
			return
		}
		if depth < len(dims) {
			if x.kind != kList || int64(len(x.list())) != dims[depth] {
				ok = false
				l.report(CodeType, at, "a tensor needs lists of one length").Expect(fmt.Sprintf("a list of %d", dims[depth]), x.describe())
				return
			}
			for _, y := range x.list() {
				walk(y, depth+1)
			}
			return
		}
		if f.IsFloat() {
			n, known, isNum := x.number()
			if !isNum || !known {
				ok = false
				l.report(CodeType, at, "a tensor is made of numbers").Expect("a number", x.describe())
				return
			}
			nums = append(nums, n)
		} else {
			n, isInt := x.int()
			if x.kind == kBool && f == format.Bool {
				n, isInt = x.n.Value()
			}
			if !isInt || f.IsInt() && !fits(f, n) {
				ok = false
				l.report(CodeConstant, at, "%s does not hold %s", f, x)
				return
			}
			ints = append(ints, n)
		}
	}
	walk(v, 0)
	if !ok {
		return bad
	}
	var t *tensor.Tensor
	var err error
	if f.IsFloat() {
		t, err = tensor.FromF64(f, dims, nums)
	} else {
		t, err = tensor.FromI64(f, dims, ints)
	}
	if err != nil {
		l.report(CodeConstant, at, "%s", err.Error())
		return bad
	}
	return one(l.emit(at, op.Constant, ir.A("value", t)))
}

// indexOperands are the operands that take whole numbers, so that a number given there becomes an i32.
var indexOperands = map[string]bool{"indices": true, "at": true, "ids": true, "order": true, "offsets": true}

func (c *opCode) eval(l *lowering, fr []value) value {
	if !l.step(c.place) {
		return bad
	}
	var buf [4]value
	args := buf[:0]
	ok, tensors := true, false
	for _, x := range c.args {
		v := x.eval(l, fr)
		ok = ok && v.kind != kBad
		tensors = tensors || v.kind == kTensor
		args = append(args, v)
	}
	if !ok {
		return bad
	}
	if !tensors && len(args) > 0 && len(c.attrs) == 0 {
		if v, ok := l.fold(c, args); ok {
			return v
		}
	}
	vals, ok := l.operands(c, args)
	if !ok {
		return bad
	}
	if c.info == op.Einsum {
		return l.einsumCall(c, vals, fr)
	}
	var attrs op.Attrs
	if len(c.attrs) > 0 {
		attrs = make(op.Attrs, 0, len(c.attrs))
		for _, a := range c.attrs {
			v, ok := l.attr(a.spec, a.x, fr)
			if !ok {
				return bad
			}
			if v != nil {
				attrs = append(attrs, op.Attr{Name: a.spec.Name, Value: v})
			}
		}
	}
	if c.info == op.Cast && vals[0].Type.Format == attrs.Format("format", format.Invalid) {
		return tensorValue(vals[0])
	}
	if c.info == op.Reshape && vals[0].Type.Shape.Equal(attrs.Dims("shape")) {
		return tensorValue(vals[0])
	}
	o := l.emit(c.place, c.info, attrs, vals...)
	if o == nil {
		return bad
	}
	if rs := o.Results(); len(rs) != 1 {
		list := make([]value, len(rs))
		for i, r := range rs {
			list[i] = tensorValue(r)
		}
		return value{kind: kTuple, ref: list}
	}
	return one(o)
}

// operands brings arguments to tensors: a number takes the format of the first tensor beside it.
func (l *lowering) operands(c *opCode, args []value) ([]*ir.Value, bool) {
	f := format.Invalid
	for i, a := range args {
		if a.kind == kTensor && (c.info != op.Select || i > 0) && !indexOperands[operandName(c.info, i)] {
			f = a.tensor().Type.Format
			break
		}
	}
	vals := make([]*ir.Value, len(args))
	for i, a := range args {
		if a.kind == kTensor {
			vals[i] = a.tensor()
			continue
		}
		at := c.args[i].where()
		want := f
		switch {
		case indexOperands[operandName(c.info, i)]:
			want = format.I32
		case c.info == op.Select && i == 0:
			want = format.Bool
		}
		if want == format.Invalid {
			_, _, isNum := a.number()
			d := l.report(CodeType, at, "the operand %s of %s is a tensor", operandName(c.info, i), c.info.Name).Expect("a tensor", a.describe())
			if isNum {
				d.Helpf("give the number a format: f32(%s)", clipped(at))
			}
			return nil, false
		}
		if vals[i] = l.scalar(a, want, at); vals[i] == nil {
			return nil, false
		}
	}
	return vals, true
}

func operandName(info *op.Info, i int) string {
	if i < len(info.Operands) {
		return info.Operands[i].Name
	}
	return info.Operands[len(info.Operands)-1].Name
}

// fold computes an elementwise op on numbers known now, in float64; ints stay ints where the op keeps
// them.
func (l *lowering) fold(c *opCode, args []value) (value, bool) {
	if c.info.Class != op.Elementwise || c.info.Real == nil || c.info == op.Select {
		return bad, false
	}
	ints := true
	for _, a := range args {
		if _, _, ok := a.number(); !ok {
			return bad, false
		}
		ints = ints && a.kind == kInt
	}
	if v, ok := l.foldRounding(c, args[0]); ok {
		return v, true
	}
	if ints && (c.info == op.Max || c.info == op.Min) {
		r, why := compareValues("<", args[0], args[1])
		if why == "" {
			if r == (c.info == op.Min) {
				return args[0], true
			}
			return args[1], true
		}
	}
	xs := make([]float64, len(args))
	for i, a := range args {
		x, known, _ := a.number()
		if !known {
			l.report(CodeOpen, c.args[i].where(), "%s of %s is not known when the module is built", c.info.Name, a).
				Helpf("dim(%s) gives a dimension as a tensor", clipped(c.args[i].where()))
			return bad, true
		}
		xs[i] = x
	}
	y := c.info.Real(xs)
	if math.IsNaN(y) && !math.IsNaN(xs[0]) {
		l.report(CodeMath, c.place, "%s of %s has no value", c.info.Name, args[0])
		return bad, true
	}
	if ints && (c.info == op.Abs || c.info == op.Sign || c.info == op.Pow && xs[1] >= 0) && math.Abs(y) < 1<<53 {
		return intValue(int64(y)), true
	}
	return floatValue(y), true
}

// foldRounding rounds a number to an int: exactly for ints and quotients, symbols included.
func (l *lowering) foldRounding(c *opCode, a value) (value, bool) {
	if c.info != op.Floor && c.info != op.Ceil && c.info != op.Round {
		return bad, false
	}
	switch a.kind {
	case kInt:
		return a, true
	case kRatio:
		k, known := a.ref.(shape.Dim).Value()
		if n := a.n; known && c.info != op.Round {
			if k < 0 {
				n, k = shape.Const(0).Sub(n), -k
			}
			if c.info == op.Ceil {
				return l.checkDim(n.CeilDiv(k), c.place), true
			}
			return l.checkDim(n.FloorDiv(k), c.place), true
		}
	}
	x, known, _ := a.number()
	if !known {
		return bad, false
	}
	y := c.info.Real([]float64{x})
	if math.Abs(y) < 1<<53 {
		return intValue(int64(y)), true
	}
	return floatValue(y), true
}

// attr brings the value of an attribute to what the table says it is; nil, true leaves it out.
func (l *lowering) attr(s *op.AttrSpec, x code, fr []value) (any, bool) {
	v := x.eval(l, fr)
	switch {
	case v.kind == kBad:
		return nil, false
	case v.kind == kNone && !s.Required:
		return nil, true
	}
	want := s.Kind.String()
	switch s.Kind {
	case op.Int:
		if n, ok := v.int(); ok {
			return n, true
		}
		want = "an int"
	case op.Float:
		if f, known, ok := v.number(); ok && known {
			return f, true
		}
		want = "a number"
	case op.String:
		if v.kind == kString {
			return v.str(), true
		}
		want = "a string"
	case op.Bool:
		if v.kind == kBool {
			return v.bool(), true
		}
		want = "true or false"
	case op.Fmt:
		if v.kind == kFormat {
			return v.format(), true
		}
		if v.kind == kTensor {
			return v.tensor().Type.Format, true
		}
		want = "a format such as f32, or a tensor whose format is taken"
	case op.Dim:
		if d, ok := v.dim(); ok {
			return d, true
		}
		want = "a dimension"
	case op.Ints:
		if n, ok := v.int(); ok {
			return []int64{n}, true
		}
		if v.kind == kList {
			out := make([]int64, len(v.list()))
			for i, y := range v.list() {
				n, ok := y.int()
				if !ok {
					l.report(CodeType, x.where(), "%s is a list of ints", s.Name).Expect("an int", y.describe())
					return nil, false
				}
				out[i] = n
			}
			return out, true
		}
		want = "a list of ints"
	case op.Strings:
		if v.kind == kList {
			out := make([]string, len(v.list()))
			for i, y := range v.list() {
				if y.kind != kString {
					l.report(CodeType, x.where(), "%s is a list of strings", s.Name).Expect("a string", y.describe())
					return nil, false
				}
				out[i] = y.str()
			}
			return out, true
		}
		want = "a list of strings"
	case op.Dims:
		if v.kind == kList {
			return l.dims(v, x)
		}
		want = "a list of dimensions such as [B, T, 64]"
	}
	l.report(CodeType, x.where(), "the attribute %s is of another kind", s.Name).Expect(want, v.describe()).Helpf("%s", s.Doc)
	return nil, false
}

// dims makes a shape of a list.
func (l *lowering) dims(v value, x code) (shape.Shape, bool) {
	out := make(shape.Shape, len(v.list()))
	lc, _ := x.(*listCode)
	for i, y := range v.list() {
		d, ok := y.dim()
		n, known := d.Value()
		if ok && (!known || n >= 0) {
			out[i] = d
			continue
		}
		at := x.where()
		if lc != nil && len(lc.items) == len(out) {
			at = lc.items[i].x.where()
		}
		code, help := CodeType, ""
		if y.kind == kRatio || y.kind == kFloat {
			code = CodeMath
		}
		if known && n < 0 {
			help = "there is no -1 for the rest: compute the dimension"
		}
		l.report(code, at, "a dimension is a whole number").Expect("an int of at least 0", y.describe()).Helpf("%s", help)
		return nil, false
	}
	return out, true
}
