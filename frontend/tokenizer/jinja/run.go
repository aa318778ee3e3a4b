package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The bounds of one rendering, beside what is proportional to the input.
const (
	baseSteps  = 1 << 21
	baseMemory = 1 << 24
	perByte    = 64
	maxEval    = 4000 // expressions within expressions, through macros too
)

var (
	errSteps  = errors.New("the template takes too many steps; it may loop without end")
	errMemory = errors.New("the template builds too much text")
	errDeep   = errors.New("expressions or macros are nested too deep")
)

// Options are what a rendering may know beside its variables.
type Options struct {
	// Now is the time that strftime_now formats. When it is zero, that function is not defined, which templates that
	// can do without ask for; so a prompt depends on the day only if the caller says so.
	Now time.Time
}

// run is one rendering.
type run struct {
	steps   int // left
	memory  int // bytes that may still be built
	depth   int
	out     *strings.Builder
	global  *scope
	options Options
}

// scope is a level of variables.
type scope struct {
	vars  map[string]any
	outer *scope
}

func (s *scope) child() *scope { return &scope{outer: s} }

func (s *scope) lookup(name string) (any, bool) {
	for ; s != nil; s = s.outer {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (s *scope) set(name string, v any) {
	if s.vars == nil {
		s.vars = map[string]any{}
	}
	s.vars[name] = v
}

// Render renders the template with variables, whose values are nil, bool, int, int64, float64, string, []any, []string,
// map[string]any (its keys taken in order), *[Dict] and what [FromJSON] returns. The error is an *[Error].
func (t *Template) Render(vars map[string]any, options Options) (string, error) {
	root := &scope{vars: map[string]any{}}
	size := t.size
	for name, v := range vars {
		x := fromGo(v)
		size += inputSize(x, 0)
		root.vars[name] = x
	}
	var out strings.Builder
	r := &run{
		steps: baseSteps + perByte*size, memory: baseMemory + perByte*size,
		out: &out, global: &scope{vars: globals(options), outer: nil}, options: options,
	}
	root.outer = r.global
	if _, err := r.exec(t.body, root); err != nil {
		return "", err
	}
	return out.String(), nil
}

// inputSize estimates how much a value holds.
func inputSize(v any, depth int) int {
	if depth > maxNesting {
		return 0
	}
	n := 8
	switch v := v.(type) {
	case string:
		n += len(v)
	case list:
		for _, x := range v {
			n += inputSize(x, depth+1)
		}
	case *Dict:
		for i, k := range v.keys {
			n += inputSize(k, depth+1) + inputSize(v.values[i], depth+1)
		}
	}
	return n
}

// step counts one step.
func (r *run) step() error {
	if r.steps--; r.steps < 0 {
		return errSteps
	}
	return nil
}

// steps counts many.
func (r *run) stepsFor(n int) error {
	if r.steps -= n; r.steps < 0 {
		return errSteps
	}
	return nil
}

// touch counts the steps of looking at values as a whole: one for each 32 bytes of a string or two elements of a list.
func (r *run) touch(vs ...any) error {
	n := 1
	for _, v := range vs {
		n += size(v) / (2 * valueSize)
	}
	return r.stepsFor(n)
}

// built counts bytes of a string or list that is made.
func (r *run) built(n int) error {
	if r.memory -= n; r.memory < 0 {
		return errMemory
	}
	return nil
}

// mayBuild says whether n bytes are left, before they are made.
func (r *run) mayBuild(n int) error {
	if n < 0 || n > r.memory {
		return errMemory
	}
	return nil
}

// valueSize is what an element of a list counts, in bytes.
const valueSize = 16

// str counts and returns a string.
func (r *run) str(s string) (any, error) {
	if err := r.built(len(s)); err != nil {
		return nil, err
	}
	return s, nil
}

// seq counts and returns a list.
func (r *run) seq(l list) (any, error) {
	if err := r.built(valueSize * len(l)); err != nil {
		return nil, err
	}
	return l, nil
}

// at gives an error the line it happened on, unless it has one.
func at(line int, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	var own raised
	return &Error{line, err.Error(), errors.As(err, &own)}
}

// jump is how a block of statements ended.
type jump uint8

const (
	jumpNone jump = iota
	jumpBreak
	jumpContinue
)

// exec runs statements, writing to r.out.
func (r *run) exec(body []stmt, s *scope) (jump, error) {
	for _, st := range body {
		if err := r.step(); err != nil {
			return 0, at(st.at(), err)
		}
		j, err := r.statement(st, s)
		if err != nil {
			return 0, at(st.at(), err)
		}
		if j != jumpNone {
			return j, nil
		}
	}
	return jumpNone, nil
}

func (r *run) write(text string) error {
	if err := r.built(len(text)); err != nil {
		return err
	}
	r.out.WriteString(text)
	return nil
}

// capture runs statements and returns what they write.
func (r *run) capture(body []stmt, s *scope) (string, error) {
	saved := r.out
	r.out = &strings.Builder{}
	_, err := r.exec(body, s)
	text := r.out.String()
	r.out = saved
	return text, err
}

func (r *run) statement(st stmt, s *scope) (jump, error) {
	switch st := st.(type) {
	case *textStmt:
		return 0, r.write(st.text)
	case *printStmt:
		v, err := r.eval(st.x, s)
		if err != nil {
			return 0, err
		}
		text, err := r.toText(v)
		if err != nil {
			return 0, err
		}
		return 0, r.write(text)
	case *ifStmt:
		for i, test := range st.tests {
			v, err := r.eval(test, s)
			if err != nil {
				return 0, err
			}
			if truth(v) {
				return r.exec(st.bodies[i], s)
			}
		}
		if len(st.bodies) > len(st.tests) {
			return r.exec(st.bodies[len(st.tests)], s)
		}
		return 0, nil
	case *forStmt:
		v, err := r.eval(st.iter, s)
		if err != nil {
			return 0, err
		}
		return 0, r.loop(st, v, s, 0)
	case *setStmt:
		return 0, r.setStatement(st, s)
	case *withStmt:
		inner := s.child()
		for i, x := range st.values {
			v, err := r.eval(x, s)
			if err != nil {
				return 0, err
			}
			if err := r.assign(st.targets[i], v, inner); err != nil {
				return 0, err
			}
		}
		return r.exec(st.body, inner)
	case *macroStmt:
		s.set(st.macro.name, r.bind(st.macro, s))
		return 0, nil
	case *callStmt:
		return 0, r.callBlock(st, s)
	case *filterStmt:
		text, err := r.capture(st.body, s.child())
		if err != nil {
			return 0, err
		}
		v, err := r.filterChain(st.filter, text, s)
		if err != nil {
			return 0, err
		}
		if text, err = r.toText(v); err != nil {
			return 0, err
		}
		return 0, r.write(text)
	case *blockStmt:
		return r.exec(st.body, s)
	case *jumpStmt:
		if st.isBreak {
			return jumpBreak, nil
		}
		return jumpContinue, nil
	}
	return 0, fmt.Errorf("an unknown statement %T", st)
}

func (r *run) setStatement(st *setStmt, s *scope) error {
	if st.value != nil {
		v, err := r.eval(st.value, s)
		if err != nil {
			return err
		}
		return r.assign(st.target, v, s)
	}
	text, err := r.capture(st.body, s.child())
	if err != nil {
		return err
	}
	var v any = text
	if st.filter != nil {
		if v, err = r.filterChain(st.filter, text, s); err != nil {
			return err
		}
	}
	return r.assign(st.target, v, s)
}

// assign gives a target its value.
func (r *run) assign(t target, v any, s *scope) error {
	switch {
	case t.attr != "":
		ns, _ := s.lookup(t.name)
		n, ok := ns.(*namespace)
		if !ok {
			return fmt.Errorf("cannot set %s.%s: %s is no namespace", t.name, t.attr, t.name)
		}
		n.attrs.set(t.attr, v)
	case t.many != nil:
		items, err := r.iterate(v)
		if err != nil {
			return err
		}
		if len(items) != len(t.many) {
			return fmt.Errorf("cannot assign %d values to %d names", len(items), len(t.many))
		}
		for i, x := range items {
			if err := r.assign(t.many[i], x, s); err != nil {
				return err
			}
		}
	default:
		s.set(t.name, v)
	}
	return nil
}

// iterate returns what a loop over v sees.
func (r *run) iterate(v any) ([]any, error) {
	switch v := v.(type) {
	case list:
		return v, nil
	case tuple:
		return v, nil
	case *Dict:
		return v.keys, nil
	case undefined:
		return nil, nil
	case string:
		if err := r.mayBuild(valueSize * len(v)); err != nil {
			return nil, err
		}
		out := make([]any, 0, len(v))
		for _, c := range v {
			out = append(out, string(c))
		}
		return out, r.built(valueSize * len(out))
	}
	return nil, fmt.Errorf("cannot iterate over %s", typeName(v))
}

// loop runs a for statement over v.
func (r *run) loop(st *forStmt, v any, s *scope, depth int) error {
	leave, err := r.enter()
	if err != nil {
		return err
	}
	defer leave()
	items, err := r.iterate(v)
	if err != nil {
		return err
	}
	if st.filter != nil {
		var kept []any
		for _, x := range items {
			inner := s.child()
			if err := r.assign(st.target, x, inner); err != nil {
				return err
			}
			ok, err := r.eval(st.filter, inner)
			if err != nil {
				return err
			}
			if truth(ok) {
				kept = append(kept, x)
			}
		}
		if err := r.built(valueSize * len(kept)); err != nil {
			return err
		}
		items = kept
	}
	if len(items) == 0 {
		_, err := r.exec(st.orElse, s)
		return err
	}
	l := &loopState{items: items, depth: depth}
	if st.recursive {
		l.again = func(v any) (string, error) {
			saved := r.out
			r.out = &strings.Builder{}
			err := r.loop(st, v, s, depth+1)
			text := r.out.String()
			r.out = saved
			return text, err
		}
	}
	for i, x := range items {
		if err := r.step(); err != nil {
			return err
		}
		l.index = i
		inner := s.child()
		inner.set("loop", l)
		if err := r.assign(st.target, x, inner); err != nil {
			return err
		}
		j, err := r.exec(st.body, inner)
		if err != nil {
			return err
		}
		if j == jumpBreak {
			break
		}
	}
	return nil
}

// enter counts a level of evaluation.
func (r *run) enter() (func(), error) {
	if r.depth++; r.depth > maxEval {
		r.depth--
		return nil, errDeep
	}
	return func() { r.depth-- }, nil
}

// loopState is the variable loop.
type loopState struct {
	items []any
	index int
	depth int
	last  any // of loop.changed
	asked bool
	again func(v any) (string, error)
}

func (l *loopState) attr(r *run, name string) (any, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.index + 1), true
	case "index0":
		return int64(l.index), true
	case "revindex":
		return int64(n - l.index), true
	case "revindex0":
		return int64(n - l.index - 1), true
	case "first":
		return l.index == 0, true
	case "last":
		return l.index == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if l.index == 0 {
			return undefined{"there is no previous item"}, true
		}
		return l.items[l.index-1], true
	case "nextitem":
		if l.index == n-1 {
			return undefined{"there is no next item"}, true
		}
		return l.items[l.index+1], true
	case "cycle":
		return &function{"cycle", func(_ *run, args []any, _ *Dict) (any, error) {
			if len(args) == 0 {
				return nil, errors.New("loop.cycle without arguments")
			}
			return args[l.index%len(args)], nil
		}}, true
	case "changed":
		return &function{"changed", func(r *run, args []any, _ *Dict) (any, error) {
			now := list(args)
			same, err := false, error(nil)
			if l.asked {
				same, err = r.equal(l.last, now, 0)
			}
			l.last, l.asked = now, true
			return !same, err
		}}, true
	}
	return nil, false
}

// bind makes a macro callable. It sees the variables of the scope that it is defined in.
func (r *run) bind(m *macro, s *scope) *function {
	return &function{m.name, func(r *run, args []any, kwargs *Dict) (any, error) {
		leave, err := r.enter()
		if err != nil {
			return nil, err
		}
		defer leave()
		inner := s.child()
		if len(args) > len(m.params) {
			return nil, fmt.Errorf("%s takes %d arguments, not %d", m.name, len(m.params), len(args))
		}
		used := 0
		for i, p := range m.params {
			var v any = undefined{fmt.Sprintf("the parameter %q was not given", p)}
			given, byName := any(nil), false
			if kwargs != nil {
				given, byName = kwargs.get(p)
			}
			k := i - (len(m.params) - len(m.defaults))
			switch {
			case i < len(args) && byName:
				return nil, fmt.Errorf("%s is given the argument %q twice", m.name, p)
			case i < len(args):
				v = args[i]
			case byName:
				v = given
				used++
			case k >= 0:
				if v, err = r.eval(m.defaults[k], inner); err != nil {
					return nil, err
				}
			}
			inner.set(p, v)
		}
		if kwargs != nil {
			if caller, ok := kwargs.get("caller"); ok {
				inner.set("caller", caller)
				used++
			}
			if used < kwargs.Len() {
				return nil, fmt.Errorf("%s has no parameter for one of its arguments by name", m.name)
			}
		}
		return r.capture(m.body, inner)
	}}
}

func (r *run) callBlock(st *callStmt, s *scope) error {
	fn, args, kwargs, err := r.prepare(st.call, s)
	if err != nil {
		return err
	}
	kwargs.set("caller", r.bind(st.caller, s))
	v, err := r.invoke(fn, args, kwargs)
	if err != nil {
		return err
	}
	text, err := r.toText(v)
	if err != nil {
		return err
	}
	return r.write(text)
}
