package conform

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"

	"apogee/codegen"
	"apogee/ir"
	"apogee/ir/bound"
	"apogee/ir/diag"
	"apogee/ir/eval"
	"apogee/ir/format"
	"apogee/ir/op"
	"apogee/ir/tensor"
	"apogee/passes"
	"apogee/targets/bind"
	"apogee/targets/chip"
	"apogee/targets/plan"
	"apogee/targets/sim/exec"
)

// Cache keeps what the reference gave for a module and which plans gave the right numbers, so that chips that differ in their rates alone
// run each plan once. The zero value is ready; it may be shared by chips.
type Cache struct {
	mu   sync.Mutex
	want map[[32]byte][]*bound.Value
	runs map[[32]byte]error
	// Saved counts the runs that were not needed.
	Saved int
}

// errImpossible wraps what the chip says it cannot do.
var errImpossible = errors.New("impossible")

// suite checks one chip.
type suite struct {
	c     *chip.Chip
	arith bound.Arithmetic
	cache *Cache
}

func newSuite(c *chip.Chip, cache *Cache) *suite {
	s := &suite{c: c, cache: cache, arith: bound.Arithmetic{Narrow: true}}
	if c.FlushSubnormals {
		s.arith.Flush = format.F32.Info().MinNormal
	}
	return s
}

func hash(parts ...any) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%v\x00", p)
	}
	return [32]byte(h.Sum(nil))
}

// arithmeticFor is how accurately the chip multiplies the formats of a function: an accumulator may keep fewer bits than f32, and where codes are
// multiplied in a narrow format, the weights of an attention are rounded to it too.
func (s *suite) arithmeticFor(f *ir.Func) bound.Arithmetic {
	a := s.arith
	f.Body.Walk(func(o *ir.Op) {
		if !o.Is(op.Einsum) && !o.Is(op.ScaledMatmul) && !o.Is(op.GroupedMatmul) && !o.Is(op.Attention) {
			return
		}
		fm := o.Arg(0).Type.Format
		_, r, ok := s.c.Matrix(fm, fm)
		if !ok || !fm.IsFloat() {
			return
		}
		if r.AccBits > 0 {
			a.Sum = max(a.Sum, math.Ldexp(1, 1-r.AccBits))
		}
		if o.Is(op.Attention) && fm.Info().ManBits < 23 {
			a.Operand = max(a.Operand, math.Ldexp(1, -fm.Info().ManBits-1))
		}
	})
	return a
}

// reference evaluates a function with error bounds.
func (s *suite) reference(ctx context.Context, f *ir.Func, in []*tensor.Tensor) ([]*bound.Value, error) {
	arith := s.arithmeticFor(f)
	key := hash(f.Module.String(), arith)
	s.cache.mu.Lock()
	v, ok := s.cache.want[key]
	s.cache.mu.Unlock()
	if ok {
		return v, nil
	}
	r := bound.Runner{Eval: &eval.Evaluator{}, Arith: arith}
	v, err := r.Run(ctx, f, in)
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if s.cache.want == nil {
		s.cache.want = map[[32]byte][]*bound.Value{}
	}
	s.cache.want[key] = v
	return v, nil
}

// asWritten is the pipeline without the pass that gives products and values other formats: what is left is what the chip does with those that
// are asked for.
var asWritten = strings.ReplaceAll(passes.Default(passes.MaxLevel), ",precision", "")

// compile brings a module to a plan for the chip; the module is changed.
func (s *suite) compile(ctx context.Context, m *ir.Module, pipeline string) (p *plan.Plan, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	if _, err := passes.Run(ctx, m, pipeline, passes.Options{Chip: s.c, Precision: "f32"}); err != nil {
		if strings.Contains(err.Error(), passes.CodeFormat) {
			return nil, fmt.Errorf("%w: %w", errImpossible, err)
		}
		return nil, err
	}
	return codegen.Compile(m.Funcs[0], s.c, codegen.Options{Precision: "f32"})
}

// try compiles a function by a pipeline, checks its plan, runs it under the guard and holds its results against the reference.
func (s *suite) try(ctx context.Context, m *ir.Module, in map[string]input, seed uint64, pipeline string) error {
	f := m.Funcs[0]
	args, err := data(f, in, seed)
	if err != nil {
		return err
	}
	want, err := s.reference(ctx, f, args)
	if err != nil {
		return err
	}
	c := m.Clone()
	p, err := s.compile(ctx, c, pipeline)
	if err != nil {
		return err
	}
	q := *p
	q.Chip, q.ChipHash = "", ""
	key := hash(plan.Hash(&q), hash(m.String()), seed, s.arithmetic())
	s.cache.mu.Lock()
	done, ok := s.cache.runs[key]
	if ok {
		s.cache.Saved++
	}
	s.cache.mu.Unlock()
	if ok {
		return done
	}
	err = s.run(ctx, p, f, c.Funcs[0], args, want)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if s.cache.runs == nil {
		s.cache.runs = map[[32]byte]error{}
	}
	s.cache.runs[key] = err
	return err
}

// arithmetic is what a run of a plan depends on beside the plan.
func (s *suite) arithmetic() string {
	var b strings.Builder
	fmt.Fprint(&b, s.c.FlushSubnormals, s.c.FoldLanes())
	for _, e := range s.c.EnginesOf(chip.Matrix) {
		for _, r := range e.Matrix {
			fmt.Fprint(&b, e.Queue, r.A, r.B, r.Acc, r.AccBits, r.AccGroup, r.Promote, r.Scale, r.ScaleBlock)
		}
	}
	return b.String()
}

func (s *suite) run(ctx context.Context, p *plan.Plan, f, lowered *ir.Func, args []*tensor.Tensor, want []*bound.Value) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	for _, d := range plan.Check(p, bind.Rules(s.c)).Items() {
		if d.Severity != diag.Info {
			return fmt.Errorf("the plan breaks a rule: %w", d)
		}
	}
	in := map[string]*tensor.Tensor{}
	for i := range p.Buffers {
		if b := &p.Buffers[i]; b.Kind == plan.Input {
			for k, q := range lowered.Body.Params {
				if q.Name == b.Name {
					in[b.Name] = args[k]
				}
			}
		}
	}
	m, err := exec.New(p, s.c, nil, exec.Options{Guard: true, Workers: 1})
	if err != nil {
		return err
	}
	got, err := m.Run(ctx, in)
	if err != nil {
		return err
	}
	for i, name := range f.Results {
		if got[name] == nil {
			return fmt.Errorf("there is no result %s", name)
		}
		if err := want[i].Check(got[name]); err != nil {
			return fmt.Errorf("%s: %w", describe(f, i), err)
		}
	}
	return nil
}

// describe writes the op of a result with the types of its operands.
func describe(f *ir.Func, i int) string {
	v := f.Return().Arg(i)
	o := v.Def()
	if o == nil {
		return v.Type.String()
	}
	var args []string
	for _, a := range o.Args() {
		args = append(args, a.Type.String())
	}
	attrs := ""
	for _, a := range o.Attrs {
		attrs += fmt.Sprintf(" %s=%v", a.Name, a.Value)
	}
	return fmt.Sprintf("%s(%s)%s", o.Info.Name, strings.Join(args, ", "), attrs)
}

// alone finds the first result of a function that fails by itself, so that an error says which.
func (s *suite) alone(ctx context.Context, m *ir.Module, in map[string]input, seed uint64) error {
	for i := range m.Funcs[0].Results {
		c := m.Clone()
		f := c.Funcs[0]
		ret := f.Return()
		v := ret.Arg(i)
		f.Results = []string{m.Funcs[0].Results[i]}
		ret.Erase()
		ir.AtEnd(f.Body).Return(v)
		if _, err := passes.Run(ctx, c, "dce", passes.Options{}); err != nil {
			return err
		}
		if err := s.try(ctx, c, in, seed, passes.Default(passes.MaxLevel)); err != nil && !errors.Is(err, errImpossible) {
			return fmt.Errorf("%s: %w", describe(m.Funcs[0], i), err)
		}
	}
	return nil
}

// ops lists what the ops of a function are, each once, in order: "add f32".
func ops(f *ir.Func) (out []string) {
	seen := map[string]bool{}
	f.Body.Walk(func(o *ir.Op) {
		if o.Info.Class == op.Structural && o.Info != op.Iota {
			return
		}
		w := o.Info.Name
		t := o.Result(0).Type.Format
		if o.NumArgs() > 0 {
			t = o.Arg(o.NumArgs() - 1).Type.Format
			if o.Is(op.Gather) || o.Is(op.GatherElements) || o.Is(op.Reduce) {
				t = o.Arg(0).Type.Format
			}
		}
		w += " " + t.String()
		if o.Is(op.Cast) {
			w += " to " + o.Result(0).Type.Format.String()
		}
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	})
	return out
}
