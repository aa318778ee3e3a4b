package onnxsuite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"apogee/cmd/internal/driver"
	"apogee/frontend/onnx"
	"apogee/ir"
	"apogee/ir/bound"
	"apogee/ir/diag"
	"apogee/targets/chip"
	"apogee/targets/sim/exec"
)

// Status is what became of a test.
type Status string

// The states. Unsupported means that the model holds something that the importer says it does not take.
const (
	Pass        Status = "pass"
	Fail        Status = "fail"
	Unsupported Status = "unsupported"
)

// Result is one test's.
type Result struct {
	Test   string  `json:"test"`             // the folder, from the root that was given
	Status Status  `json:"status"`           //
	Why    string  `json:"why,omitempty"`    // where it differs and by how much, or what is unsupported
	Ops    string  `json:"ops"`              // the operators of the model, with counts
	Error  float64 `json:"error,omitempty"`  // the largest deviation over what is allowed; above 1 is a failure
	Millis int64   `json:"millis,omitempty"` // wall time, only with Options.Times
}

// Options say how to run. On a chip at another precision than f32, each element is allowed what Rtol and Atol say and, besides, how far
// the formats and accumulators of that precision can take it from the reference (see package bound).
type Options struct {
	Chip      *chip.Chip // nil is the reference
	Precision string
	Rtol      float64
	Atol      float64
	Timeout   time.Duration // of one test; 0 is none
	MaxBytes  int64         // of the tensors that one test may make; 0 is no limit
	Guard     bool
	Jobs      int
	Times     bool
	// Done, when set, is called for each result in the order of the tests.
	Done func(r Result)
}

// Find gives the test folders below a root, which may be a link, in the order of their paths: those that hold a model.onnx.
func Find(root string) ([]string, error) {
	if i, err := os.Stat(root); err != nil || !i.IsDir() {
		return nil, fmt.Errorf("%s: this is no folder; expected one with tests, each a folder with a model.onnx", root)
	}
	var out []string
	err := filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && d.Name() == "model.onnx" {
			out = append(out, filepath.Dir(path))
		}
		return nil
	})
	sort.Strings(out)
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: no folder below it holds a model.onnx", root)
	}
	return out, err
}

// Run runs tests in so many jobs and gives their results in order.
func Run(ctx context.Context, root string, tests []string, opt Options) ([]Result, error) {
	results := make([]Result, len(tests))
	done := make([]chan struct{}, len(tests))
	for i := range done {
		done[i] = make(chan struct{})
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(opt.Jobs, 1) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				results[i] = one(ctx, tests[i], opt)
				if rel, err := filepath.Rel(root, tests[i]); err == nil && rel != "." {
					results[i].Test = filepath.ToSlash(rel)
				} else {
					results[i].Test = filepath.ToSlash(tests[i])
				}
				close(done[i])
			}
		}()
	}
	go func() {
		defer close(next)
		for i := range tests {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	for i := range tests {
		select {
		case <-done[i]:
			if opt.Done != nil {
				opt.Done(results[i])
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	wg.Wait()
	return results, nil
}

// one runs a test within its time. A test that does not heed the end of its time is left behind.
func one(ctx context.Context, dir string, opt Options) Result {
	start := time.Now()
	if opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.Timeout)
		defer cancel()
	}
	end := make(chan Result, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				end <- Result{Status: Fail, Why: fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}
			}
		}()
		end <- test(ctx, dir, opt)
	}()
	var r Result
	select {
	case r = <-end:
		if r.Status == Fail && ctx.Err() != nil {
			r.Why = fmt.Sprintf("not done within %s", opt.Timeout)
		}
	case <-ctx.Done():
		r = Result{Status: Fail, Why: fmt.Sprintf("not done within %s", opt.Timeout)}
	}
	if opt.Times {
		r.Millis = time.Since(start).Milliseconds()
	}
	return r
}

// noisy are operators whose expected values near zero are the rounding noise of a sum of products with sines, and the absolute
// deviation that they are allowed at least: the noise of an f32 transform grows with its length and its magnitudes.
var noisy = map[string]float64{"DFT": 1e-3, "STFT": 1e-3}

// tolerance is the absolute deviation that a model's results are allowed.
func tolerance(m *onnx.Model, atol float64) float64 {
	for _, o := range strings.Split(m.OpTypes(), ",") {
		o, _, _ = strings.Cut(o, "*")
		atol = max(atol, noisy[o])
	}
	return atol
}

// test runs the data sets of a folder, the first failure being the result.
func test(ctx context.Context, dir string, opt Options) Result {
	m, err := driver.Open(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return Result{Status: Fail, Why: err.Error()}
	}
	defer m.Close()
	r := Result{Status: Pass, Ops: m.ONNX.OpTypes()}
	opt.Atol = tolerance(m.ONNX, opt.Atol)
	if l := m.ONNX.Check(); l.HasErrors() {
		r.Status, r.Why = Unsupported, reasons(m.ONNX, l.Err())
		return r
	}
	sets, err := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	if err == nil && len(sets) == 0 {
		err = errors.New("the folder holds no test_data_set_*")
	}
	if err != nil {
		r.Status, r.Why = Fail, err.Error()
		return r
	}
	slices.SortFunc(sets, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, set := range sets {
		worst, err := dataSet(ctx, m, set, opt)
		r.Error = max(r.Error, worst)
		if err == nil {
			continue
		}
		r.Status, r.Why = Fail, reasons(m.ONNX, err)
		var d *diag.Diagnostic
		if errors.As(err, &d) && d.Code == onnx.CodeScope {
			r.Status = Unsupported
		}
		if len(sets) > 1 {
			r.Why = filepath.Base(set) + ": " + r.Why
		}
		return r
	}
	return r
}

// reasons puts an error into one line: the messages of diagnostics with their places.
func reasons(m *onnx.Model, err error) string {
	var l *diag.List
	if !errors.As(err, &l) {
		var d *diag.Diagnostic
		if errors.As(err, &d) {
			return message(m, d)
		}
		return strings.ReplaceAll(err.Error(), "\n", " ")
	}
	var out []string
	for _, d := range l.Items() {
		if d.Severity == diag.Error {
			out = append(out, message(m, d))
		}
	}
	return strings.Join(out, "; ")
}

func message(m *onnx.Model, d *diag.Diagnostic) string {
	s := d.Message
	if n := m.Node(d); n != "" {
		s = n + ": " + s
	} else if d.Where != "" && d.Where != m.Path {
		s = d.Where + ": " + s
	}
	if d.Help != "" {
		s += " (" + d.Help + ")"
	}
	return strings.ReplaceAll(s, "\n", " ")
}

// dataSet runs one set of inputs and holds the results against the outputs. It gives the largest deviation over what is allowed.
func dataSet(ctx context.Context, m *driver.Model, dir string, opt Options) (float64, error) {
	inputs := driver.Tensors{}
	for i, p := range m.ONNX.GraphInputs() {
		file := filepath.Join(dir, fmt.Sprintf("input_%d.pb", i))
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		t, _, err := onnx.ReadTensor(file)
		if err != nil {
			return 0, fmt.Errorf("input_%d.pb: %w", i, err)
		}
		if !m.ONNX.HasInitialiser(p) {
			inputs[p] = t
		}
	}
	req := driver.Request{Chip: opt.Chip, Precision: opt.Precision, Check: func(mod *ir.Module) error { return fits(mod, opt.MaxBytes) }}
	var got driver.Tensors
	var err error
	if opt.Chip == nil {
		got, err = m.RunReference(ctx, req, inputs)
	} else {
		got, _, err = m.Run(ctx, req, inputs, exec.Options{Guard: opt.Guard})
	}
	if err != nil {
		return 0, err
	}
	var slack map[string]*bound.Value
	if opt.Chip != nil && opt.Precision != "f32" {
		if slack, err = m.Bounds(ctx, req, inputs); err != nil {
			return 0, fmt.Errorf("error bounds: %w", err)
		}
	}
	worst := 0.0
	for i, p := range m.ONNX.Outputs() {
		want, _, err := onnx.ReadTensor(filepath.Join(dir, fmt.Sprintf("output_%d.pb", i)))
		if err != nil {
			return worst, fmt.Errorf("output_%d.pb: %w", i, err)
		}
		have := got[p.Name]
		if have == nil {
			return worst, fmt.Errorf("output %q: there is none", p.Name)
		}
		var more []float64
		if v := slack[p.Name]; v != nil {
			more = v.Err
		}
		e, err := Compare(have, want, opt.Rtol, opt.Atol, more)
		worst = max(worst, e)
		if err != nil {
			return worst, fmt.Errorf("output %q: %w", p.Name, err)
		}
	}
	return worst, nil
}

// fits refuses a module whose values would take more memory than is allowed.
func fits(mod *ir.Module, most int64) error {
	if most <= 0 {
		return nil
	}
	total := int64(0)
	for _, f := range mod.Funcs {
		var over error
		f.Body.Walk(func(o *ir.Op) {
			for _, r := range o.Results() {
				n := int64(1)
				for _, d := range r.Type.Shape {
					v, ok := d.Value()
					if !ok {
						return
					}
					if v > 0 && n > most/v {
						over = fmt.Errorf("%s makes %s, which takes more than the %d MiB that a test may", o, r.Type, most>>20)
						return
					}
					n *= v
				}
				if total += 8 * n; total > most && over == nil {
					over = fmt.Errorf("the values of the graph take more than the %d MiB that a test may", most>>20)
				}
			}
		})
		if over != nil {
			return over
		}
	}
	return nil
}
