package mg

import (
	"fmt"
	"strconv"
	"strings"

	"apogee/ir"
	"apogee/ir/diag"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/shape"
	"apogee/ir/tensor"
)

// MaxStack bounds how many tensors one stacked weight has.
const MaxStack = 1 << 16

func (s *weightStmt) run(l *lowering, fr []value) {
	fr[s.slot] = bad
	stack := int64(-1)
	if s.over != nil {
		list, ok := l.iterable(s.over, fr)
		if !ok {
			return
		}
		for i, v := range list {
			if n, ok := v.int(); !ok || n != int64(i) {
				l.report(CodeWeight, s.over.where(), "a stack counts from 0").Expect("a range such as 0..n", string(s.over.where().rng().Text()))
				return
			}
		}
		if len(list) == 0 || len(list) > MaxStack {
			l.report(CodeWeight, s.over.where(), "a stack of %s", plural(len(list), "tensor")).Expect(fmt.Sprintf("1 to %d", MaxStack), strconv.Itoa(len(list)))
			return
		}
		stack = int64(len(list))
		fr[s.mark] = value{kind: kMark}
	}
	name := s.path.eval(l, fr)
	t, ok := l.typeOf(s.typ, fr)
	if name.kind == kBad || !ok {
		return
	}
	if name.kind != kString || name.str() == "" {
		l.report(CodeWeight, s.pathP, "the name of a weight is a string").Expect("a string", name.describe())
		return
	}
	if n := strings.Count(name.str(), "{}"); stack >= 0 && n != 1 || stack < 0 && n != 0 {
		l.report(CodeWeight, s.pathP, "the name of a stacked weight holds the index of the stack once").
			Expect("one {"+"e}", strconv.Itoa(n))
		return
	}
	v := l.weight(s, name.str(), stack, t)
	if v == nil {
		return
	}
	if v.Name == "" {
		v.Name = s.name
	}
	fr[s.slot] = tensorValue(v)
}

// weight returns the value of a weight in the format the source declares: as it is stored, or widened.
// One name of an entry is one op.
func (l *lowering) weight(s *weightStmt, name string, stack int64, t ir.Type) *ir.Value {
	key := name
	if stack >= 0 {
		key = name + "*" + strconv.FormatInt(stack, 10)
	}
	declared := t.Format
	if !l.storedAs(s, name, stack, &t) {
		return nil
	}
	if t.Format == format.Invalid {
		t.Format = l.opt.StoredFormat
	}
	if stack >= 0 {
		t.Shape = append(shape.Shape{shape.Const(stack)}, t.Shape...)
	}
	if !t.Shape.IsConst() && l.abstract {
		if l.fn == nil {
			return nil
		}
		if declared != format.Invalid {
			t.Format = declared
		}
		return l.fn.Body.AddParam(s.name, t)
	}
	if !t.Shape.IsConst() {
		l.report(CodeWeight, s.typ.place, "a weight's shape is known when the module is built").Expect("numbers", t.String())
		return nil
	}
	dims, _ := t.Shape.Ints()
	if _, _, err := tensor.Count(t.Format, dims); err != nil {
		l.report(CodeWeight, s.typ.place, "%s", err.Error())
		return nil
	}
	v := l.weights[key]
	if v == nil {
		o := l.emitWeight(s, name, stack, t)
		if o == nil {
			return nil
		}
		v = o.Result(0)
		l.weights[key] = v
	} else if !v.Type.Equal(t) {
		l.report(CodeWeight, s.typ.place, "the weight %q is declared in two ways", name).Expect(v.Type.String(), t.String())
		return nil
	}
	if declared != format.Invalid {
		return l.castWeight(v, declared, s)
	}
	return v
}

func (l *lowering) castWeight(v *ir.Value, f format.Format, s *weightStmt) *ir.Value {
	if v.Type.Format == f {
		return v
	}
	o := l.emit(s.place, op.Cast, ir.A("format", f), v)
	if o == nil {
		return nil
	}
	return o.Result(0)
}

func (l *lowering) emitWeight(s *weightStmt, name string, stack int64, t ir.Type) *ir.Op {
	if l.fn == nil || l.noTensor != "" || l.halted {
		return l.emit(s.place, op.Weight, nil) // says why not
	}
	if l.ops++; l.ops > l.opt.MaxOps {
		l.halt(s.place, "the module has more than %d ops", l.opt.MaxOps)
		return nil
	}
	attrs := ir.A("name", name)
	use := WeightUse{Name: name}
	if stack >= 0 {
		attrs = append(attrs, op.Attr{Name: "stack", Value: stack})
		use.Stack = stack
	}
	if !l.usesSeen[name] {
		l.usesSeen[name] = true
		l.uses = append(l.uses, use)
	}
	l.b.Pos = l.pos(s.place)
	o := l.b.Declare(op.Weight, attrs, []ir.Type{t})
	if l.b.Err != nil {
		l.report(CodeOp, s.place, "%s", l.b.Err.Error())
		l.b.Err = nil
		return nil
	}
	return o
}

// storedAs asks the checkpoint for a weight and puts the stored format into t. Every tensor of a stack is
// looked at.
func (l *lowering) storedAs(s *weightStmt, name string, stack int64, t *ir.Type) bool {
	if l.opt.Stored == nil {
		return true
	}
	if stack < 0 {
		return l.storedOne(s, name, t, nil)
	}
	var first Stored
	for i := int64(0); i < stack; i++ {
		if !l.storedOne(s, strings.Replace(name, "{}", strconv.FormatInt(i, 10), 1), t, &first) {
			return false
		}
	}
	return true
}

// storedOne checks one tensor. first is that of a stack, whose others have its format.
func (l *lowering) storedOne(s *weightStmt, name string, t *ir.Type, first *Stored) bool {
	st, ok := l.opt.Stored(name)
	if !ok {
		d := diag.Errorf(CodeWeightMissing, s.pathP.rng(), "the checkpoint has no tensor %q", name)
		d.Expect(name+": "+weightType(*t), "nothing of that name")
		if l.opt.Nearest != nil {
			d.Suggestion = l.opt.Nearest(name)
		}
		l.diags.Add(d)
		return false
	}
	fits := len(st.Shape) == len(t.Shape)
	for i := 0; fits && i < len(st.Shape); i++ {
		fits = t.Shape[i] == shape.Const(st.Shape[i])
	}
	if !fits {
		d := diag.Errorf(CodeWeightShape, s.typ.rng(), "the tensor %q has another shape", name)
		d.Expect("["+t.Shape.String()+"]", st.Format.String()+"["+tensor.Dims(st.Shape)+"]")
		l.diags.Add(d)
		return false
	}
	if first != nil && first.Format != format.Invalid && first.Format != st.Format {
		l.diags.Add(diag.Errorf(CodeWeightFormat, s.typ.rng(), "the tensor %q is of another format than those it is stacked with", name).
			Expect(first.Format.String(), st.Format.String()))
		return false
	}
	if first != nil && first.Format == format.Invalid {
		*first = st
		if t.Format != format.Invalid && !widens(st.Format, t.Format) {
			return l.badFormat(s, name, t, st)
		}
		t.Format = st.Format
		return true
	}
	if first == nil {
		if t.Format != format.Invalid && !widens(st.Format, t.Format) {
			return l.badFormat(s, name, t, st)
		}
		t.Format = st.Format
	}
	return true
}

func (l *lowering) badFormat(s *weightStmt, name string, t *ir.Type, st Stored) bool {
	d := diag.Errorf(CodeWeightFormat, s.typ.rng(), "the tensor %q has another format", name)
	d.Expect(t.Format.String()+", or a format that widens to it", st.Format.String())
	l.diags.Add(d)
	return false
}

func weightType(t ir.Type) string {
	if t.Format == format.Invalid {
		return "[" + t.Shape.String() + "]"
	}
	return t.String()
}

// widens reports whether every number of one format is a number of the other.
func widens(from, to format.Format) bool {
	if from == to {
		return true
	}
	if !from.IsFloat() || !to.IsFloat() {
		return from.IsInt() && to.IsInt() && from.IsSigned() == to.IsSigned() && from.Bits() <= to.Bits()
	}
	a, b := from.Info(), to.Info()
	return a.ManBits <= b.ManBits && a.MaxFinite <= b.MaxFinite && a.MinSubnormal >= b.MinSubnormal && b.Signed
}
