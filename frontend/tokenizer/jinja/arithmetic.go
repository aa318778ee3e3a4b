package jinja

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// unary is -v, +v or not v.
func unary(op string, v any) (any, error) {
	if op == "not" {
		return !truth(v), nil
	}
	i, f, isInt, ok := number(v)
	switch {
	case !ok:
		return nil, operandError(op, v, nil)
	case op == "+" && isInt:
		return i, nil
	case op == "+":
		return f, nil
	case !isInt:
		return -f, nil
	case i == math.MinInt64:
		return nil, errOverflow
	}
	return -i, nil
}

var errOverflow = errors.New("an integer does not fit 64 bits")

// operandError says that op does not work on what it was given.
func operandError(op string, a, b any) error {
	for _, v := range []any{a, b} {
		if u, ok := v.(undefined); ok {
			return errors.New(u.what)
		}
	}
	if b == nil {
		return fmt.Errorf("%q does not work on %s", op, typeName(a))
	}
	return fmt.Errorf("%q does not work on %s and %s", op, typeName(a), typeName(b))
}

// binary evaluates a binary expression; and and or leave out the right side where the left decides.
func (r *run) binary(x *binaryExpr, s *scope) (any, error) {
	a, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	switch {
	case x.op == "and" && !truth(a), x.op == "or" && truth(a):
		return a, nil
	}
	b, err := r.eval(x.y, s)
	if err != nil {
		return nil, err
	}
	switch x.op {
	case "and", "or":
		return b, nil
	case "%":
		if err := r.touch(a); err != nil { // a format
			return nil, err
		}
	case "~":
		p, err := r.toText(a)
		if err != nil {
			return nil, err
		}
		q, err := r.toText(b)
		if err != nil {
			return nil, err
		}
		if err := r.mayBuild(len(p) + len(q)); err != nil {
			return nil, err
		}
		return r.str(p + q)
	}
	return r.arithmetic(x.op, a, b)
}

// arithmetic is a op b for all types.
func (r *run) arithmetic(op string, a, b any) (any, error) {
	ai, af, aInt, aNum := number(a)
	bi, bf, bInt, bNum := number(b)
	if aNum && bNum {
		if aInt && bInt {
			return intArithmetic(op, ai, bi)
		}
		return floatArithmetic(op, af, bf)
	}
	switch op {
	case "+":
		switch a := a.(type) {
		case string:
			if b, ok := b.(string); ok {
				if err := r.mayBuild(len(a) + len(b)); err != nil {
					return nil, err
				}
				return r.str(a + b)
			}
		case list:
			if b, ok := b.(list); ok {
				if err := r.mayBuild(valueSize * (len(a) + len(b))); err != nil {
					return nil, err
				}
				return r.seq(append(a[:len(a):len(a)], b...))
			}
		case tuple:
			if b, ok := b.(tuple); ok {
				if err := r.mayBuild(valueSize * (len(a) + len(b))); err != nil {
					return nil, err
				}
				return append(a[:len(a):len(a)], b...), r.built(valueSize * (len(a) + len(b)))
			}
		}
	case "*":
		if aInt {
			a, b, bi, bInt = b, a, ai, true
		}
		if bInt {
			return r.repeat(a, bi)
		}
	case "%":
		if f, ok := a.(string); ok {
			args, isTuple := b.(tuple)
			if !isTuple {
				args = tuple{b}
			}
			return r.percent(f, args)
		}
	}
	return nil, operandError(op, a, b)
}

// repeat is Python's sequence * n.
func (r *run) repeat(v any, n int64) (any, error) {
	n = max(n, 0)
	switch v := v.(type) {
	case string:
		if len(v) > 0 && n > int64(r.memory/len(v)) {
			return nil, errMemory
		}
		return r.str(strings.Repeat(v, int(n)))
	case list:
		if len(v) > 0 && n > int64(r.memory/(valueSize*len(v))) {
			return nil, errMemory
		}
		out := list{}
		for range n {
			if len(v) == 0 {
				break
			}
			out = append(out, v...)
		}
		return r.seq(out)
	}
	return nil, operandError("*", v, n)
}

// intArithmetic is Python's, with an error where the result does not fit.
func intArithmetic(op string, a, b int64) (any, error) {
	switch op {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return c, nil
		}
		return nil, errOverflow
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return c, nil
		}
		return nil, errOverflow
	case "*":
		if a == 0 || b == 0 {
			return int64(0), nil
		}
		if c := a * b; c/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64) {
			return c, nil
		}
		return nil, errOverflow
	case "/":
		if b == 0 {
			return nil, errors.New("division by zero")
		}
		return float64(a) / float64(b), nil
	case "//", "%":
		if b == 0 {
			return nil, errors.New("division by zero")
		}
		if a == math.MinInt64 && b == -1 {
			if op == "%" {
				return int64(0), nil
			}
			return nil, errOverflow
		}
		q, m := a/b, a%b
		if m != 0 && (m < 0) != (b < 0) { // towards minus infinity, as in Python
			q, m = q-1, m+b
		}
		if op == "//" {
			return q, nil
		}
		return m, nil
	case "**":
		if b < 0 {
			return floatArithmetic(op, float64(a), float64(b))
		}
		out := int64(1)
		for ; b > 0; b-- {
			if a == 0 || a == 1 {
				return a, nil
			}
			if a == -1 {
				return 1 - 2*(b%2), nil
			}
			v, err := intArithmetic("*", out, a)
			if err != nil {
				return nil, err
			}
			out = v.(int64)
		}
		return out, nil
	}
	return nil, operandError(op, a, b)
}

// floatArithmetic is Python's.
func floatArithmetic(op string, a, b float64) (any, error) {
	switch op {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "/", "//", "%":
		if b == 0 {
			return nil, errors.New("division by zero")
		}
		switch op {
		case "/":
			return a / b, nil
		case "//":
			return math.Floor(a / b), nil
		}
		m := math.Mod(a, b)
		if m != 0 && (m < 0) != (b < 0) {
			m += b
		}
		return m, nil
	case "**":
		return math.Pow(a, b), nil
	}
	return nil, operandError(op, a, b)
}
