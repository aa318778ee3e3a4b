package jinja

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// eval computes an expression.
func (r *run) eval(x expr, s *scope) (any, error) {
	if err := r.step(); err != nil {
		return nil, at(x.at(), err)
	}
	if r.depth++; r.depth > maxEval {
		r.depth--
		return nil, at(x.at(), errDeep)
	}
	v, err := r.value(x, s)
	r.depth--
	if err != nil {
		return nil, at(x.at(), err)
	}
	return v, nil
}

func (r *run) value(x expr, s *scope) (any, error) {
	switch x := x.(type) {
	case *constExpr:
		return x.value, nil
	case *nameExpr:
		if v, ok := s.lookup(x.name); ok {
			return v, nil
		}
		return undefined{fmt.Sprintf("%q is not defined", x.name)}, nil
	case *seqExpr:
		items := make([]any, len(x.items))
		for i, e := range x.items {
			var err error
			if items[i], err = r.eval(e, s); err != nil {
				return nil, err
			}
		}
		if x.isTuple {
			return tuple(items), r.built(valueSize * len(items))
		}
		return list(items), r.built(valueSize * len(items))
	case *dictExpr:
		d := NewDict()
		for i := range x.keys {
			k, err := r.eval(x.keys[i], s)
			if err != nil {
				return nil, err
			}
			v, err := r.eval(x.values[i], s)
			if err != nil {
				return nil, err
			}
			if err := r.touch(k); err != nil {
				return nil, err
			}
			if !d.set(k, v) {
				return nil, fmt.Errorf("a %s cannot be a key", typeName(k))
			}
		}
		return d, r.built(4 * valueSize * d.Len())
	case *unaryExpr:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		return unary(x.op, v)
	case *binaryExpr:
		return r.binary(x, s)
	case *compareExpr:
		return r.compareChain(x, s)
	case *condExpr:
		test, err := r.eval(x.test, s)
		switch {
		case err != nil:
			return nil, err
		case truth(test):
			return r.eval(x.x, s)
		case x.y == nil:
			return undefined{"the condition is false and there is no else"}, nil
		}
		return r.eval(x.y, s)
	case *attrExpr:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		return r.attr(v, x.name)
	case *indexExpr:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		i, err := r.eval(x.i, s)
		if err != nil {
			return nil, err
		}
		return r.index(v, i)
	case *sliceExpr:
		return r.slice(x, s)
	case *callExpr:
		fn, args, kwargs, err := r.prepare(x, s)
		if err != nil {
			return nil, err
		}
		return r.invoke(fn, args, kwargs)
	case *filterExpr:
		return r.filterChain(x, nil, s)
	case *testExpr:
		v, err := r.eval(x.x, s)
		if err != nil {
			return nil, err
		}
		args, kwargs, err := r.arguments(x.args, s)
		if err != nil {
			return nil, err
		}
		ok, err := r.test(x.name, v, args, kwargs)
		return ok != x.not, err
	}
	return nil, fmt.Errorf("an unknown expression %T", x)
}

func (r *run) compareChain(x *compareExpr, s *scope) (any, error) {
	a, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		b, err := r.eval(x.ys[i], s)
		if err != nil {
			return nil, err
		}
		ok, err := r.relation(op, a, b)
		if err != nil || !ok {
			return false, err
		}
		a = b
	}
	return true, nil
}

func (r *run) relation(op string, a, b any) (bool, error) {
	switch op {
	case "==", "!=":
		ok, err := r.equal(a, b, 0)
		return ok == (op == "=="), err
	case "in", "not in":
		ok, err := r.contains(b, a)
		return ok == (op == "in"), err
	}
	if _, ok := a.(undefined); ok {
		return false, operandError(op, a, b)
	}
	if _, ok := b.(undefined); ok {
		return false, operandError(op, a, b)
	}
	c, err := r.compare(a, b, 0)
	if err != nil {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

// size is a value's own length, for counting work on it.
func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case list:
		return valueSize * len(v)
	case tuple:
		return valueSize * len(v)
	case *Dict:
		return valueSize * v.Len()
	}
	return 0
}

// contains is Python's x in v.
func (r *run) contains(v, x any) (bool, error) {
	if err := r.touch(x); err != nil {
		return false, err
	}
	switch v := v.(type) {
	case string:
		if err := r.touch(v); err != nil {
			return false, err
		}
		s, ok := x.(string)
		if !ok {
			return false, fmt.Errorf("a string can only hold strings, not %s", typeName(x))
		}
		return strings.Contains(v, s), nil
	case *Dict:
		_, ok := v.get(x)
		return ok, nil
	case undefined:
		return false, nil
	}
	items, ok := sequence(v)
	if !ok {
		return false, fmt.Errorf("cannot look for something in %s", typeName(v))
	}
	for _, y := range items {
		if same, err := r.equal(x, y, 0); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// attr is x.name: a method or attribute, else the item of that name.
func (r *run) attr(v any, name string) (any, error) {
	switch v := v.(type) {
	case undefined:
		return nil, errors.New(v.what)
	case *namespace:
		if x, ok := v.attrs.get(name); ok {
			return x, nil
		}
		return undefined{fmt.Sprintf("the namespace has no attribute %q", name)}, nil
	case *loopState:
		if x, ok := v.attr(r, name); ok {
			return x, nil
		}
		return undefined{fmt.Sprintf("loop has no attribute %q", name)}, nil
	}
	if m := method(v, name); m != nil {
		return m, nil
	}
	if d, ok := v.(*Dict); ok {
		if x, ok := d.get(name); ok {
			return x, nil
		}
	}
	return undefined{fmt.Sprintf("%s has no attribute %q", typeName(v), name)}, nil
}

// index is v[i].
func (r *run) index(v, i any) (any, error) {
	if err := r.touch(i); err != nil { // a key is hashed
		return nil, err
	}
	switch v := v.(type) {
	case undefined:
		return nil, errors.New(v.what)
	case *Dict:
		if x, ok := v.get(i); ok {
			return x, nil
		}
		if name, ok := i.(string); ok {
			if m := method(v, name); m != nil {
				return m, nil
			}
			return undefined{fmt.Sprintf("the dict has no key %q", name)}, nil
		}
		return undefined{"the dict has no such key"}, nil
	}
	if name, ok := i.(string); ok {
		return r.attr(v, name)
	}
	k, _, isInt, ok := number(i)
	if !ok || !isInt {
		return undefined{fmt.Sprintf("%s has no item at a %s", typeName(v), typeName(i))}, nil
	}
	none := undefined{fmt.Sprintf("%s has no item %d", typeName(v), k)}
	if s, ok := v.(string); ok {
		if err := r.stepsFor(len(s) / 64); err != nil {
			return nil, err
		}
		if k < 0 {
			k += int64(utf8.RuneCountInString(s))
		}
		for at, c := range s {
			if k == 0 {
				return s[at : at+utf8.RuneLen(c)], nil
			}
			k--
		}
		return none, nil
	}
	items, ok := sequence(v)
	if !ok {
		return none, nil
	}
	if k < 0 {
		k += int64(len(items))
	}
	if k < 0 || k >= int64(len(items)) {
		return none, nil
	}
	return items[k], nil
}

// slice is v[from:to:step].
func (r *run) slice(x *sliceExpr, s *scope) (any, error) {
	v, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	var bounds [3]*int64
	for k, e := range []expr{x.from, x.to, x.step} {
		if e == nil {
			continue
		}
		b, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		i, _, isInt, ok := number(b)
		if !ok || !isInt {
			return nil, fmt.Errorf("a slice's bounds must be integers, not %s", typeName(b))
		}
		bounds[k] = &i
	}
	switch v := v.(type) {
	case undefined:
		return nil, errors.New(v.what)
	case string:
		if err := r.built(4 * len(v)); err != nil {
			return nil, err
		}
		runes := []rune(v)
		at, err := indices(len(runes), bounds)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		for _, i := range at {
			b.WriteRune(runes[i])
		}
		return r.str(b.String())
	case list, tuple:
		items, _ := sequence(v)
		at, err := indices(len(items), bounds)
		if err != nil {
			return nil, err
		}
		out := make([]any, len(at))
		for k, i := range at {
			out[k] = items[i]
		}
		if _, ok := v.(tuple); ok {
			return tuple(out), r.built(valueSize * len(out))
		}
		return r.seq(out)
	}
	return undefined{fmt.Sprintf("%s cannot be sliced", typeName(v))}, nil
}

// indices lists what from:to:step selects of n (Python's slice.indices).
func indices(n int, bounds [3]*int64) ([]int, error) {
	step := int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return nil, errors.New("a slice's step is zero")
	}
	lo, hi := int64(0), int64(n)
	from, to := lo, hi
	if step < 0 {
		lo, hi = -1, int64(n)-1
		from, to = hi, lo
	}
	clamp := func(b *int64, fallback int64) int64 {
		if b == nil {
			return fallback
		}
		i := *b
		if i < 0 {
			i += int64(n)
		}
		return min(max(i, lo), hi)
	}
	from, to = clamp(bounds[0], from), clamp(bounds[1], to)
	var out []int
	for i := from; (step > 0 && i < to) || (step < 0 && i > to); i += step {
		out = append(out, int(i))
		if step > int64(n) || step < -int64(n) {
			break // the next one is outside, and perhaps beyond 64 bits
		}
	}
	return out, nil
}

// arguments evaluates a call's arguments.
func (r *run) arguments(a callArgs, s *scope) ([]any, *Dict, error) {
	args := make([]any, len(a.args))
	for i, x := range a.args {
		var err error
		if args[i], err = r.eval(x, s); err != nil {
			return nil, nil, err
		}
	}
	kwargs := NewDict()
	for i, name := range a.names {
		v, err := r.eval(a.values[i], s)
		if err != nil {
			return nil, nil, err
		}
		kwargs.set(name, v)
	}
	return args, kwargs, nil
}

// prepare evaluates what is called and with what.
func (r *run) prepare(x *callExpr, s *scope) (fn any, args []any, kwargs *Dict, err error) {
	if fn, err = r.eval(x.fn, s); err != nil {
		return nil, nil, nil, err
	}
	args, kwargs, err = r.arguments(x.args, s)
	return fn, args, kwargs, err
}

func (r *run) invoke(fn any, args []any, kwargs *Dict) (any, error) {
	switch fn := fn.(type) {
	case *function:
		return fn.call(r, args, kwargs)
	case *loopState:
		if fn.again == nil {
			return nil, errors.New("loop() needs a recursive loop")
		}
		if len(args) != 1 {
			return nil, errors.New("loop() takes one argument")
		}
		return fn.again(args[0])
	case undefined:
		return nil, errors.New(fn.what)
	}
	return nil, fmt.Errorf("%s cannot be called", typeName(fn))
}

// filterChain applies a filter to its operand; the innermost of a filter block has none and takes text.
func (r *run) filterChain(x expr, text any, s *scope) (any, error) {
	f, ok := x.(*filterExpr)
	if !ok {
		return nil, errors.New("expected a filter")
	}
	v := text
	var err error
	if f.x != nil {
		if inner, ok := f.x.(*filterExpr); ok && text != nil {
			v, err = r.filterChain(inner, text, s)
		} else {
			v, err = r.eval(f.x, s)
		}
		if err != nil {
			return nil, err
		}
	}
	args, kwargs, err := r.arguments(f.args, s)
	if err != nil {
		return nil, err
	}
	return r.filter(f.name, v, args, kwargs)
}
