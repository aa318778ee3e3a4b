package jinja

import (
	"errors"
	"fmt"
	"time"
)

// globals are the functions that every template may call.
func globals(o Options) map[string]any {
	g := map[string]any{
		"range":           &function{"range", rangeFn},
		"namespace":       &function{"namespace", namespaceFn},
		"dict":            &function{"dict", dictFn},
		"raise_exception": &function{"raise_exception", raiseFn},
	}
	if !o.Now.IsZero() {
		g["strftime_now"] = &function{"strftime_now", func(r *run, args []any, kwargs *Dict) (any, error) {
			b := bindArgs("strftime_now", args, kwargs)
			layout := b.str("format")
			if err := b.done(); err != nil {
				return nil, err
			}
			s, err := strftime(o.Now, layout)
			if err != nil {
				return nil, err
			}
			return r.str(s)
		}}
	}
	return g
}

func rangeFn(r *run, args []any, kwargs *Dict) (any, error) {
	b := bindArgs("range", args, kwargs)
	from, to, step := int64(0), b.integer("stop", 0), int64(1)
	if len(args) > 1 {
		from, to = to, b.integer("stop", 0)
		step = b.integer("step", 1)
	}
	if err := b.done(); err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, errors.New("range needs an argument")
	}
	if step == 0 {
		return nil, errors.New("range: the step is zero")
	}
	n := uint64(0)
	switch {
	case step > 0 && from < to:
		n = (uint64(to)-uint64(from)-1)/uint64(step) + 1
	case step < 0 && from > to:
		n = (uint64(from)-uint64(to)-1)/(-uint64(step)) + 1
	}
	if n > uint64(r.memory/valueSize) {
		return nil, errMemory
	}
	out := make(list, n)
	for i := range out {
		out[i] = from + int64(i)*step
	}
	return r.seq(out)
}

func namespaceFn(r *run, args []any, kwargs *Dict) (any, error) {
	attrs, err := dictFn(r, args, kwargs)
	if err != nil {
		return nil, err
	}
	return &namespace{attrs.(*Dict)}, nil
}

func dictFn(r *run, args []any, kwargs *Dict) (any, error) {
	out := NewDict()
	if len(args) > 1 {
		return nil, fmt.Errorf("expected at most one argument without a name, found %d", len(args))
	}
	if len(args) == 1 {
		from, ok := args[0].(*Dict)
		if !ok {
			return nil, fmt.Errorf("expected a dict, not %s", typeName(args[0]))
		}
		for i, k := range from.keys {
			out.set(k, from.values[i])
		}
	}
	for i, k := range kwargs.keys {
		out.set(k, kwargs.values[i])
	}
	return out, r.built(4 * valueSize * out.Len())
}

// raiseFn ends the rendering with the template's own message.
func raiseFn(r *run, args []any, kwargs *Dict) (any, error) {
	b := bindArgs("raise_exception", args, kwargs)
	message, err := r.toText(b.any("message", ""))
	if err == nil {
		err = b.done()
	}
	if err != nil {
		return nil, err
	}
	return nil, raised(message)
}

// raised is the message of raise_exception on its way to an Error.
type raised string

func (m raised) Error() string { return string(m) }

// strftime formats a time as C does, in English.
func strftime(t time.Time, layout string) (string, error) {
	out := make([]byte, 0, len(layout)+16)
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' || i+1 == len(layout) {
			out = append(out, layout[i])
			continue
		}
		i++
		c := layout[i]
		pad := true
		if c == '-' && i+1 < len(layout) {
			pad = false
			i++
			c = layout[i]
		}
		num := func(v, width int) {
			if pad {
				out = fmt.Appendf(out, "%0*d", width, v)
			} else {
				out = fmt.Appendf(out, "%d", v)
			}
		}
		hour12 := (t.Hour()+11)%12 + 1
		switch c {
		case 'd':
			num(t.Day(), 2)
		case 'm':
			num(int(t.Month()), 2)
		case 'y':
			num(t.Year()%100, 2)
		case 'Y':
			num(t.Year(), 4)
		case 'H':
			num(t.Hour(), 2)
		case 'I':
			num(hour12, 2)
		case 'M':
			num(t.Minute(), 2)
		case 'S':
			num(t.Second(), 2)
		case 'f':
			num(t.Nanosecond()/1000, 6)
		case 'j':
			num(t.YearDay(), 3)
		case 'w':
			num(int(t.Weekday()), 1)
		case 'u':
			num((int(t.Weekday())+6)%7+1, 1)
		default:
			layouts := map[byte]string{
				'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'p': "PM", 'z': "-0700", 'Z': "MST",
				'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
			}
			f, ok := layouts[c]
			switch {
			case ok:
				out = t.AppendFormat(out, f)
			case c == '%':
				out = append(out, '%')
			case c == 'n':
				out = append(out, '\n')
			case c == 't':
				out = append(out, '\t')
			default:
				return "", fmt.Errorf("strftime_now does not know %%%c", c)
			}
		}
	}
	return string(out), nil
}
