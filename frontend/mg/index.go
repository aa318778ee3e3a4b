package mg

import (
	"fmt"
	"strconv"

	"apogee/ir"
	"apogee/ir/op"
	"apogee/ir/shape"
)

func (c *indexCode) eval(l *lowering, fr []value) value {
	base := c.base.eval(l, fr)
	switch base.kind {
	case kBad:
		return bad
	case kTensor:
		return l.indexTensor(c, base.tensor(), fr)
	case kList, kTuple:
		return l.indexList(c, base, fr)
	}
	l.report(CodeType, c.base.where(), "%s has no parts", base.describe()).Expect("a tensor or a list", base.describe())
	return bad
}

// indexList takes an item or a part of a list.
func (l *lowering) indexList(c *indexCode, base value, fr []value) value {
	list := base.list()
	it := c.items[0]
	if len(c.items) > 1 || it.rest || it.step != nil {
		l.report(CodeType, c.place, "a list has one index").Expect("an int or a:b", string(c.rng().Text()))
		return bad
	}
	at := func(x code, def int) (int, bool) {
		if x == nil {
			return def, true
		}
		v := x.eval(l, fr)
		n, ok := v.int()
		if !ok {
			if v.kind != kBad {
				l.report(CodeType, x.where(), "the index of a list is an int").Expect("an int", v.describe())
			}
			return 0, false
		}
		if n < 0 {
			n += int64(len(list))
		}
		if n < 0 || n > int64(len(list)) || n == int64(len(list)) && !it.slice {
			l.report(CodeType, x.where(), "the list has no such index").Expect("an index below "+strconv.Itoa(len(list)), v.String())
			return 0, false
		}
		return int(n), true
	}
	i, ok := at(it.from, 0)
	if !ok {
		return bad
	}
	if !it.slice {
		return list[i]
	}
	j, ok := at(it.to, len(list))
	if !ok {
		return bad
	}
	return listValue(list[i:max(i, j):max(i, j)])
}

// indexTensor adds a slice for each axis that is cut, and a reshape that drops the axes with a position.
func (l *lowering) indexTensor(c *indexCode, x *ir.Value, fr []value) value {
	rank := x.Type.Rank()
	fixed := len(c.items)
	for _, it := range c.items {
		if it.rest {
			fixed--
		}
	}
	if fixed > rank {
		l.report(CodeShape, c.place, "more indices than axes").Expect(fmt.Sprintf("at most %d", rank), strconv.Itoa(fixed)).
			Helpf("the tensor is %s", x.Type)
		return bad
	}
	axis := 0
	drop := make([]bool, rank)
	dropped := false
	for i := range c.items {
		it := &c.items[i]
		if it.rest {
			axis += rank - fixed
			continue
		}
		var ok bool
		if x, ok = l.cut(it, x, axis, fr); !ok {
			return bad
		}
		if !it.slice {
			drop[axis], dropped = true, true
		}
		axis++
	}
	if !dropped {
		return tensorValue(x)
	}
	s := make(shape.Shape, 0, rank)
	for i, d := range x.Type.Shape {
		if !drop[i] {
			s = append(s, d)
		}
	}
	return one(l.emit(c.place, op.Reshape, ir.A("shape", s), x))
}

// cut slices one axis.
func (l *lowering) cut(it *indexItem, x *ir.Value, axis int, fr []value) (*ir.Value, bool) {
	size := x.Type.Shape[axis]
	bound := func(e code, def shape.Dim) (shape.Dim, bool) {
		if e == nil {
			return def, true
		}
		v := e.eval(l, fr)
		if v.kind == kTensor {
			l.report(CodeType, e.where(), "an index is known when the module is built").Expect("an int", v.describe()).
				Helpf("gather(x, ids, axis=…) takes parts by a tensor of indices")
			return def, false
		}
		d, ok := v.dim()
		if !ok {
			d, ok = l.maybeWhole(v)
		}
		if !ok {
			if v.kind != kBad {
				l.report(CodeType, e.where(), "an index is a whole number").Expect("an int", v.describe())
			}
			return def, false
		}
		if n, known := d.Value(); known && n < 0 {
			d = size.Add(d)
		}
		return d, true
	}
	start, ok := bound(it.from, shape.Const(0))
	if !ok {
		return nil, false
	}
	limit, step := start.Add(shape.Const(1)), int64(1)
	if it.slice {
		if limit, ok = bound(it.to, size); !ok {
			return nil, false
		}
		if it.step != nil {
			v := it.step.eval(l, fr)
			if step, ok = v.int(); !ok || step < 1 {
				if v.kind != kBad {
					l.report(CodeType, it.step.where(), "the step of a slice is an int").Expect("an int of at least 1", v.describe())
				}
				return nil, false
			}
		}
	}
	if start == shape.Const(0) && limit == size && step == 1 {
		return x, true
	}
	n, known := size.Value()
	a, ok1 := start.Value()
	b, ok2 := limit.Value()
	if ok1 && a < 0 || ok1 && ok2 && b < a || known && ok2 && b > n || known && ok1 && a > n {
		l.report(CodeShape, it.place, "the index is outside the axis").
			Expect("an index from 0 to "+size.String(), start.String()+":"+limit.String()).Helpf("the tensor is %s", x.Type)
		return nil, false
	}
	attrs := ir.A("axis", axis, "start", start, "limit", limit)
	if step != 1 {
		attrs = append(attrs, op.Attr{Name: "stride", Value: step})
	}
	o := l.emit(it.place, op.Slice, attrs, x)
	if o == nil {
		return nil, false
	}
	return o.Result(0), true
}
