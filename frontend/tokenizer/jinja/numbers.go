package jinja

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

func absFilter(r *run, v any, b *binder) (any, error) {
	i, f, isInt, ok := number(v)
	switch {
	case !ok:
		return nil, operandError("abs", v, nil)
	case !isInt:
		return math.Abs(f), nil
	case i < 0:
		return unary("-", i)
	}
	return i, nil
}

func intFilter(r *run, v any, b *binder) (any, error) {
	fallback, base := b.any("default", int64(0)), b.integer("base", 10)
	if i, f, isInt, ok := number(v); ok {
		switch {
		case isInt:
			return i, nil
		case f > -1<<63 && f < 1<<63:
			return int64(f), nil
		}
		return fallback, nil
	}
	s, ok := v.(string)
	if !ok || base < 2 || base > 36 {
		return fallback, nil
	}
	s = strings.ReplaceAll(strings.TrimFunc(s, isSpace), "_", "")
	if i, err := strconv.ParseInt(s, int(base), 64); err == nil {
		return i, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1<<63 && f < 1<<63 {
		return int64(f), nil
	}
	return fallback, nil
}

func floatFilter(r *run, v any, b *binder) (any, error) {
	fallback := b.any("default", 0.0)
	if _, f, _, ok := number(v); ok {
		return f, nil
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(s, isSpace), 64); err == nil {
			return f, nil
		}
	}
	return fallback, nil
}

func roundFilter(r *run, v any, b *binder) (any, error) {
	precision, how := b.integer("precision", 0), b.any("method", "common")
	_, f, _, ok := number(v)
	if !ok {
		return nil, operandError("round", v, nil)
	}
	precision = min(max(precision, -300), 300)
	scale := math.Pow(10, float64(precision))
	switch how {
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	case "common":
		if precision < 0 {
			return math.RoundToEven(f*scale) / scale, nil
		}
		// The decimal of that precision nearest to the exact value, ties to even, as Python's round.
		out, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(precision), 64), 64)
		return out, err
	}
	return nil, errors.New(`round rounds "common", "ceil" or "floor"`)
}
