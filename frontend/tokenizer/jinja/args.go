package jinja

import (
	"errors"
	"fmt"
)

// binder takes a function's arguments apart, by position and by name, remembering the first error.
type binder struct {
	what   string
	args   []any
	kwargs *Dict
	used   int // of kwargs
	next   int // of args
	err    error
}

func bindArgs(what string, args []any, kwargs *Dict) *binder {
	if kwargs == nil {
		kwargs = NewDict()
	}
	return &binder{what: what, args: args, kwargs: kwargs}
}

// any takes the next argument, or the one of that name.
func (b *binder) any(name string, fallback any) any {
	v, byName := b.kwargs.get(name)
	if byName {
		b.used++
	}
	if b.next < len(b.args) {
		if byName && b.err == nil {
			b.err = fmt.Errorf("%s is given the argument %q twice", b.what, name)
		}
		v, byName = b.args[b.next], true
		b.next++
	}
	if !byName {
		return fallback
	}
	return v
}

func (b *binder) bad(name, want string, v any) {
	if b.err != nil {
		return
	}
	if u, ok := v.(undefined); ok {
		b.err = errors.New(u.what)
		return
	}
	b.err = fmt.Errorf("%s: the argument %q must be %s, not %s", b.what, name, want, typeName(v))
}

// required is a fallback that no template can write.
type required struct{}

// str takes a string; it must be given.
func (b *binder) str(name string) string {
	v := b.any(name, required{})
	if _, missing := v.(required); missing {
		if b.err == nil {
			b.err = fmt.Errorf("%s: the argument %q is missing", b.what, name)
		}
		return ""
	}
	s, ok := v.(string)
	if !ok {
		b.bad(name, "a string", v)
	}
	return s
}

// optStr takes a string or None, which it is when it is not given.
func (b *binder) optStr(name string) (string, bool) {
	v := b.any(name, nil)
	if v == nil {
		return "", false
	}
	s, ok := v.(string)
	if !ok {
		b.bad(name, "a string", v)
	}
	return s, ok
}

// integer takes an integer.
func (b *binder) integer(name string, fallback int64) int64 {
	v := b.any(name, fallback)
	i, _, isInt, ok := number(v)
	if !ok || !isInt {
		b.bad(name, "an integer", v)
	}
	return i
}

// truth takes anything as a boolean.
func (b *binder) truth(name string, fallback bool) bool { return truth(b.any(name, fallback)) }

// done reports the first error, or arguments that nothing took.
func (b *binder) done() error {
	switch {
	case b.err != nil:
		return b.err
	case b.next < len(b.args):
		return fmt.Errorf("%s takes at most %d arguments, not %d", b.what, b.next, len(b.args))
	case b.used < b.kwargs.Len():
		return fmt.Errorf("%s has no parameter for one of its arguments by name", b.what)
	}
	return nil
}
